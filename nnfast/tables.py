"""Tables for the command line: those that scikit-learn bundles, and a CSV or Parquet file, made ready to train on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

# A numeric target of more distinct values than this is a quantity, not a class.
MOST_NUMERIC_CLASSES = 20
# A column of text with more categories than this, an identifier say, keeps the most frequent ones.
MOST_CATEGORIES = 50
# Fewer rows than this leave too little to score on.
FEWEST_ROWS = 10
TEST_SIZE = 0.25


class TableError(ValueError):
    """A table that cannot be read or trained on. The message is for the user, and says what would do."""


@dataclass(frozen=True)
class RawTable:
    """A table split but not scaled, with the encoder that makes features of its columns, which nobody has fitted.

    The encoder is to be fitted on the rows trained on alone: on `X_train` for one fit, on a part of it in each fold of a
    cross-validation. X is a DataFrame, or an array where the columns have no names. y has mean 0 and variance 1 over
    `y_train` for "regression", and is 0, 1, ... for "classification".

    `parameters` are those that estimators should have for this table, where the defaults do not suit it.
    """

    name: str
    task: str
    X_train: object
    X_test: object
    y_train: np.ndarray
    y_test: np.ndarray
    encoder: object
    notes: tuple[str, ...] = ()
    parameters: dict = field(default_factory=dict)

    def encoded(self):
        """The `Table` of it: both parts as features, by an encoder fitted on the part to train on."""
        encoder = clone(self.encoder)
        X_train, X_test = encoder.fit_transform(self.X_train), encoder.transform(self.X_test)
        return Table(self.name, self.task, X_train, X_test, self.y_train, self.y_test, self.notes, self.parameters)


@dataclass(frozen=True)
class Table:
    """A table split and scaled: y has mean 0 and variance 1 for "regression", and is 0, 1, ... for "classification".

    `parameters` are those that estimators should have for this table, where the defaults do not suit it.
    """

    name: str
    task: str
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    notes: tuple[str, ...] = ()
    parameters: dict = field(default_factory=dict)

    @property
    def n_rows(self):
        return len(self.y_train) + len(self.y_test)

    @property
    def n_features(self):
        return self.X_train.shape[1]

    @property
    def n_outputs(self):
        n_classes = self.y_train.max() + 1
        return n_classes if self.task == "classification" and n_classes > 2 else 1


def bundled() -> Iterator[Table]:
    """The real tables that come with scikit-learn."""
    for name, load, task, parameters in (
        ("digits", load_digits, "classification", {}),
        ("breast cancer", load_breast_cancer, "classification", {}),
        # 331 noisy rows to train on: without a strong penalty any network learns them by heart.
        ("diabetes", load_diabetes, "regression", {"alpha": 10.0}),
    ):
        X, y = load(return_X_y=True)
        yield _split(name, task, X, y, StandardScaler(), parameters=parameters).encoded()


def read(path, target, *, task=None, max_rows=None) -> Table:
    """The table in a file, ready to train on; see `read_raw`."""
    return read_raw(path, target, task=task, max_rows=max_rows).encoded()


def read_raw(path, target, *, task=None, max_rows=None) -> RawTable:
    """The table in a file, split, with an encoder that makes it ready to train on.

    Numbers are imputed with the median and scaled, dates count as days, everything else is one-hot encoded.

    Parameters
    ----------
    path : str or Path
        A Parquet file, or text with a header and columns separated by commas, semicolons, tabs or bars.

    target : str
        The column to predict.

    task : {"classification", "regression"}, default=None
        None guesses from the target: text, booleans and few whole numbers are classes.

    max_rows : int, default=None
        Most rows to keep, drawn at random.

    Raises
    ------
    TableError
        If the file cannot be read, or there is nothing in it to learn.
    """
    path = Path(path)
    frame = _read_frame(path)
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise TableError(f"{path} is empty: it has {frame.shape[0]} rows and {frame.shape[1]} columns.")
    frame.columns = [str(name) for name in frame.columns]
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise TableError(f"{path} has more than one column {twice!r}; names must differ.")
    if target not in frame.columns:
        raise TableError(f"{path} has no column {target!r}; it has {_listed(frame.columns)}.")

    notes = []
    has_target = frame[target].notna().to_numpy()
    if not has_target.all():
        notes.append(f"{np.count_nonzero(~has_target):,} rows without a target were left out.")
    if max_rows is not None and np.count_nonzero(has_target) > max_rows:
        notes.append(f"{max_rows:,} of {np.count_nonzero(has_target):,} rows, drawn at random (--rows takes more).")
        frame = frame[has_target].sample(max_rows, random_state=0)
    else:
        frame = frame[has_target]
    if len(frame) < FEWEST_ROWS:
        raise TableError(f"{path} has {len(frame)} rows with a target; at least {FEWEST_ROWS} are needed.")

    if task is None:
        task = _guess_task(frame[target])
        notes.append(f"Task: {task}, guessed from {_values(frame[target])} (--task says otherwise).")
    y = _classes(frame[target], path) if task == "classification" else _quantities(frame[target], path)
    encoder, X = _encoder(frame.drop(columns=target).dropna(axis="columns", how="all"), path, notes)
    return _split(path.stem, task, X, y, encoder, notes)


# ---------------------------------------------------------------------------------------------------------------------
# Files


def _pandas():
    try:
        import pandas
    except ImportError:
        raise TableError("Reading a table needs pandas, which is not installed: pip install 'nnfast[table]'.") from None
    return pandas


def _read_frame(path):
    pandas = _pandas()
    try:
        with path.open("rb") as file:
            start = file.read(4)
            first_line = start + file.readline(1 << 16)
        if start == b"PAR1" or path.suffix in (".parquet", ".pq"):
            return pandas.read_parquet(path)
        separator = max(b",;\t|", key=first_line.count)  # the first of the most frequent
        return pandas.read_csv(path, sep=chr(separator), low_memory=False)
    except pandas.errors.EmptyDataError:
        raise TableError(f"{path} is empty: it has no header and no rows.") from None
    except ImportError:
        raise TableError(
            "Reading Parquet needs pyarrow, which is not installed: pip install 'nnfast[table]'."
        ) from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, pandas.errors.ParserError) as error:  # ValueError: also pyarrow's errors, UnicodeDecodeError
        raise TableError(f"{path} cannot be read as CSV or Parquet: {_first_line(error)}") from None


def _first_line(error):
    return str(error).strip().partition("\n")[0]


def _listed(names, most=8):
    listed = ", ".join(repr(name) for name in names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"


# ---------------------------------------------------------------------------------------------------------------------
# The target


def _guess_task(target):
    numbers = _as_numbers(target)
    if numbers is None:
        return "classification"
    distinct = np.unique(numbers)
    whole = np.array_equal(distinct, np.round(distinct))
    return "classification" if whole and len(distinct) <= MOST_NUMERIC_CLASSES else "regression"


def _values(target):
    return f"{target.nunique():,} distinct values in {target.name!r}"


def _classes(target, path):
    codes, classes = _pandas().factorize(target)
    if len(classes) < 2:
        raise TableError(f"{path}: column {target.name!r} has one class only, {_shown(classes[0])}; two are needed.")
    if len(classes) > len(target) / 2:
        raise TableError(
            f"{path}: column {target.name!r} has {len(classes):,} classes in {len(target):,} rows, such as "
            f"{_shown(classes[0])}; classification needs classes that recur, regression (--task) needs numbers."
        )
    return codes


def _quantities(target, path):
    numbers = _as_numbers(target)
    if numbers is None:
        is_text = _pandas().to_numeric(target.astype(object), errors="coerce").isna()
        example = target[is_text].iloc[0] if is_text.any() else target.iloc[0]
        raise TableError(f"{path}: regression needs numbers in column {target.name!r}, got {_shown(example)}.")
    if not np.isfinite(numbers).all():
        raise TableError(f"{path}: regression needs finite numbers in column {target.name!r}, got an infinite one.")
    if numbers.min() == numbers.max():
        raise TableError(f"{path}: column {target.name!r} has one value only, {numbers[0]:g}; nothing can be learned.")
    return numbers


def _shown(value):
    return repr(value.item() if isinstance(value, np.generic) else value)


# ---------------------------------------------------------------------------------------------------------------------
# The features


def _as_numbers(column):
    """A column as float64, dates and spans of time in days, or None if it holds anything else."""
    pandas = _pandas()
    kind = pandas.api.types.infer_dtype(column, skipna=True)
    if kind == "date":
        column, kind = pandas.to_datetime(column), "datetime64"
    if kind in ("datetime64", "datetime"):
        column = pandas.to_datetime(column)
        column, kind = column - column.min(), "timedelta64"
    if kind in ("timedelta64", "timedelta"):
        column = column / pandas.Timedelta(days=1)
    elif kind not in ("integer", "floating", "boolean", "mixed-integer-float", "decimal"):
        return None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _encoder(frame, path, notes):
    """(The transformer for a frame's columns, the frame as it takes it: float64 columns, and object columns of str.)"""
    pandas = _pandas()
    numbers, categories = {}, {}
    for name, column in frame.items():
        values = _as_numbers(column)
        if values is None:
            categories[name] = column.astype(object).map(str, na_action="ignore").astype(object)
        else:
            numbers[name] = np.where(np.isfinite(values), values, np.nan)
    if not numbers and not categories:
        raise TableError(f"{path} has no column to learn from beside the target.")
    counts = (len(numbers), "numeric"), (len(categories), "categorical")
    notes.append(f"Columns: {' and '.join(f'{count} {kind}' for count, kind in counts if count)}.")

    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    encode = OneHotEncoder(max_categories=MOST_CATEGORIES, handle_unknown="ignore")
    encoder = make_column_transformer(
        (make_pipeline(impute, StandardScaler()), list(numbers)),
        (encode, list(categories)),
        sparse_threshold=0,
    )
    return encoder, pandas.DataFrame(numbers | categories, index=frame.index)


def _split(name, task, X, y, encoder, notes=(), parameters=()):
    counts = np.bincount(y) if task == "classification" else None
    # A class of one row can only be on one side.
    stratify = y if counts is not None and counts.min() >= 2 and len(counts) <= TEST_SIZE * len(y) else None
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=TEST_SIZE, random_state=0, stratify=stratify)
    if len(np.unique(y_train)) < 2:
        raise TableError(f"{name}: the rows to train on have one class only; the others are too rare.")
    if task == "regression":
        mean, std = y_train.mean(), y_train.std()
        y_train, y_test = (y_train - mean) / std, (y_test - mean) / std
    return RawTable(name, task, X_train, X_test, y_train, y_test, encoder, tuple(notes), dict(parameters))
