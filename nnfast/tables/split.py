"""Tables split into rows to train on and rows held out: those in files, and those that scikit-learn
bundles.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from nnfast.exceptions import UnexpectedValuesWarning
from nnfast.tables import numbers
from nnfast.tables.columns import FEWEST_ROWS
from nnfast.tables.encoder import make_encoder
from nnfast.tables.errors import TableError, shown
from nnfast.tables.listing import column_lines
from nnfast.tables.reading import check_name, read_table

# A numeric target of more distinct values than this is a quantity, not a class.
MOST_NUMERIC_CLASSES = 20
TEST_SIZE = 0.25
# Larger numbers than this have squares that overflow.
MOST_LARGE = 1e150


@dataclass(frozen=True)
class RawTable:
    """A table split but not scaled, with the encoder that makes features of its columns, which nobody has
    fitted.

    The encoder is to be fitted on the rows trained on alone: on `X_train` for one fit, on a part of it in
    each fold of a cross-validation. X is a DataFrame, or an array where the columns have no names.

    Attributes
    ----------
    target_train, target_test : ndarray
        What to predict: classes, or quantities in their own units.

    y_train, y_test : ndarray
        The same; for "regression" scaled to mean 0 and variance 1 over `y_train`.

    parameters : dict
        What estimators should have for this table, where the defaults do not suit it.

    facts : dict
        What `--json` says of the table.

    steps : SplitSteps or None
        How the file was read and split; None for a bundled table.
    """

    name: str
    task: str
    X_train: object
    X_test: object
    target_train: np.ndarray
    target_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    encoder: object
    notes: tuple[str, ...] = ()
    parameters: dict = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    steps: object = None

    def encoded(self):
        """The `SplitTable` of it: both parts as features, by an encoder fitted on the part to train on."""
        encoder = clone(self.encoder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnexpectedValuesWarning)  # a rare level may be on one side alone
            parts = encoder.fit_transform(self.X_train, self.y_train), encoder.transform(self.X_test)
        X_train, X_test = (part.astype(np.float64) for part in parts)  # as people give them to scikit-learn
        y_train, y_test = self.y_train, self.y_test
        if self.task == "classification":
            codes = np.unique(np.concatenate([y_train, y_test]), return_inverse=True)[1]
            y_train, y_test = codes[: len(y_train)], codes[len(y_train) :]
        return SplitTable(
            self.name,
            self.task,
            X_train,
            X_test,
            y_train,
            y_test,
            self,
            self.notes,
            self.parameters,
            self.facts,
        )


@dataclass(frozen=True)
class SplitSteps:
    """How a file became a `RawTable`, for a script that does it again.

    Attributes
    ----------
    path : str
    options : dict
        Arguments of `read_table`.
    target : str
    dtype : str or None
        What the target is converted to.
    sampled : int or None
        Rows that were drawn.
    stratified : bool
        Whether both parts have the same share of each class.
    columns : list of Column
        What the columns were taken for.
    """

    path: str
    options: dict
    target: str
    dtype: str | None
    sampled: int | None
    stratified: bool
    columns: list


@dataclass(frozen=True)
class SplitTable:
    """A table split and scaled: y has mean 0 and variance 1 for "regression", and is 0, 1, ... for
    "classification".

    `raw` is the table that was encoded. `parameters` are those that estimators should have for this table,
    where the defaults do not suit it.
    """

    name: str
    task: str
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    raw: RawTable
    notes: tuple[str, ...] = ()
    parameters: dict = field(default_factory=dict)
    facts: dict = field(default_factory=dict)

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


def bundled() -> Iterator[SplitTable]:
    """The real tables that come with scikit-learn."""
    for name, load, task, parameters in (
        ("digits", load_digits, "classification", {}),
        ("breast cancer", load_breast_cancer, "classification", {}),
        # 331 noisy rows to train on: without a strong penalty any network overfits.
        ("diabetes", load_diabetes, "regression", {"alpha": 10.0}),
    ):
        X, y = load(return_X_y=True)
        yield _split(
            name, task, X, y, StandardScaler(), {"table": name, "task": task}, parameters=parameters
        ).encoded()


def read(path, target, **options) -> SplitTable:
    """The table in a file, ready to train on; see `read_raw`."""
    return read_raw(path, target, **options).encoded()


def read_raw(path, target, *, task=None, max_rows=None, keep=(), **options) -> RawTable:
    """The table in a file, split, with an encoder that makes it ready to train on.

    Parameters
    ----------
    path : str or Path
        As in `read_table`.

    target : str
        The column to predict.

    task : {"classification", "regression"}, default=None
        None guesses from the target: text, booleans and few whole numbers are classes.

    max_rows : int, default=None
        Most rows to keep, drawn at random.

    keep, **options
        As in `read_table`.

    Raises
    ------
    TableError
        If the file cannot be read, or there is nothing in it to learn.
    """
    if target in options.get("drop", ()):
        raise TableError(f"--drop {target!r} is the target (--target), which cannot be left out.")
    options = {name: value for name, value in options.items() if value not in (None, (), [])}
    frame, columns, notes = read_table(path, keep=[*keep, target], **options)
    file = "standard input" if str(path) == "-" else str(path)
    check_name(target, [each.column for each in columns], file)
    _check_copies(frame, target, file, notes)

    n_read = len(frame)
    frame = frame[frame[target].notna()]
    n_labelled, sampled = len(frame), None
    if n_labelled < n_read:
        notes.append(f"{n_read - n_labelled:,} rows without a target were left out.")
    if max_rows is not None and n_labelled > max_rows:
        notes.append(f"{max_rows:,} of {n_labelled:,} rows, drawn at random (--rows takes more).")
        frame, sampled = frame.sample(max_rows, random_state=0), max_rows
    if len(frame) < FEWEST_ROWS:
        raise TableError(f"{file} has {len(frame)} rows with a target; at least {FEWEST_ROWS} are needed.")

    decision = next(each for each in columns if each.column == target)
    if task is None:
        task = _guess_task(frame[target], decision, file)
        notes.append(f"Task: {task}, guessed from {_values(frame[target])} (--task says otherwise).")
    _check_size(frame, target, file)
    y, dtype = (_classes if task == "classification" else _quantities)(frame[target], decision, file)
    X = frame.drop(columns=target)
    notes += column_lines(columns, target)
    if X.shape[1] == 0:
        left_out = next((each for each in columns if not each.used), None)
        hint = (
            f" {left_out.column!r} was left out as {left_out.taken_for} (--keep {left_out.column!r} uses it)."
            if left_out
            else ""
        )
        raise TableError(f"{file} has no column to learn from beside the target.{hint}")

    stratified = task == "classification" and _can_be_stratified(y)
    steps = SplitSteps(
        str(path), {**options, "keep": [*keep, target]}, target, dtype, sampled, stratified, columns
    )
    facts = {
        "table": str(path),
        "target": target,
        "task": task,
        "columns": [each.record() for each in columns],
        "rows": {
            "read": n_read,
            "without_target": n_read - n_labelled,
            "not_drawn": n_labelled - len(frame),
            "used": len(frame),
        },
    }
    return _split(_name(path), task, X, y, make_encoder(X), facts, notes, steps=steps)


def _name(path):
    """What results call the table: the file's name without its endings."""
    if str(path) == "-":
        return "stdin"
    path = Path(path)
    return path.with_suffix("").stem if path.suffix in (".gz", ".bz2", ".xz", ".zip") else path.stem


# ------------------------------------------------------------------------------------------------------------
# The target


def _check_copies(frame, target, file, notes):
    """Say which columns equal the target, and refuse one that has its name but for the number that pandas
    adds.
    """
    y = frame[target].dropna()
    for name in frame.columns.drop(target):
        if frame[name].dtype.kind != y.dtype.kind or not frame.loc[y.index, name].eq(y).all():
            continue
        if re.fullmatch(rf"{re.escape(target)}\.\d+", name):
            raise TableError(
                f"{file} has the target {target!r} twice, also as {name!r}: the copy gives the answer away "
                f"(--drop {name!r})."
            )
        notes.append(
            f"WARNING: column {name!r} equals the target {target!r} in each row: it gives the answer away "
            f"(--drop {name!r})."
        )


def _check_size(frame, target, file):
    """Raise TableError for a column of numbers whose squares overflow, as a scaler sums them."""
    for name, column in frame.select_dtypes("number").items():
        largest = np.nanmax(np.abs(column.to_numpy(np.float64, na_value=np.nan)), initial=0)
        if MOST_LARGE < largest < np.inf:
            remedy = "scale it" if name == target else f"scale it, or leave it out (--drop {name!r})"
            raise TableError(
                f"{file}: column {name!r} has numbers as large as {largest:.0e}, and at most {MOST_LARGE:.0e}"
                f" is accepted; {remedy}."
            )


def _guess_task(target, decision, file):
    if decision.taken_for in ("category", "boolean"):
        return "classification"
    if decision.taken_for == "date":
        raise TableError(
            f"{file}: column {target.name!r} holds dates, which cannot be predicted; "
            "a number of days can, or classes (--task classification)."
        )
    distinct = target.unique()
    whole = np.array_equal(distinct, np.round(distinct))
    return "classification" if whole and len(distinct) <= MOST_NUMERIC_CLASSES else "regression"


def _values(target):
    return f"{target.nunique():,} distinct values in {target.name!r}"


def _check_junk(decision, file):
    """Refuse a target of numbers or dates of which some are neither these nor a usual sign for a missing
    value.
    """
    if "inf" in decision.junk:
        raise TableError(
            f"{file}: regression needs finite numbers in column {decision.column!r}, got an infinite one."
        )
    if decision.junk:
        raise TableError(
            f"{file}: column {decision.column!r}, the target, holds a {decision.taken_for} in most rows, but "
            f"also {shown(decision.junk[0])}; rows where it is empty would be left out."
        )


def _classes(target, decision, file):
    """(The classes of all rows, what the column is converted to for them.)"""
    _check_junk(decision, file)
    dtype = None
    if decision.taken_for == "boolean":
        dtype = "bool"
    elif target.dtype.kind == "f":
        dtype = "int64" if (target % 1 == 0).all() else "str"
    elif target.dtype.kind == "M":
        dtype = "str"
    y = (target if dtype is None else target.astype(dtype)).to_numpy()
    classes = np.unique(y)
    if len(classes) < 2:
        raise TableError(
            f"{file}: column {target.name!r} has one class only, {shown(classes[0])}; two are needed."
        )
    if len(classes) > len(target) / 2:
        raise TableError(
            f"{file}: column {target.name!r} has {len(classes):,} classes in {len(target):,} rows, such as "
            f"{shown(y[0])}; classification needs classes that recur, regression (--task) needs numbers."
        )
    return y, dtype


def _quantities(target, decision, file):
    """(The quantities of all rows, what the column is converted to for them.)"""
    if decision.taken_for not in ("number", "boolean", "duration"):
        texts = target.astype(str)
        is_text = np.isnan(numbers.parse(texts, "."))
        example = texts[is_text].iloc[0] if is_text.any() else texts.iloc[0]
        raise TableError(f"{file}: regression needs numbers in column {target.name!r}, got {shown(example)}.")
    _check_junk(decision, file)
    y = target.to_numpy(dtype=np.float64)
    if y.min() == y.max():
        raise TableError(
            f"{file}: column {target.name!r} has one value only, {y[0]:g}; nothing can be learned."
        )
    return y, "float64"


# ------------------------------------------------------------------------------------------------------------
# The two parts


def _can_be_stratified(classes):
    """Whether each class can be on both sides: one of a single row cannot."""
    counts = np.unique(classes, return_counts=True)[1]
    return bool(counts.min() >= 2 and len(counts) <= TEST_SIZE * len(classes))


def _split(name, task, X, y, encoder, facts, notes=(), parameters=(), steps=None):
    stratify = y if task == "classification" and _can_be_stratified(y) else None
    X_train, X_test, target_train, target_test = train_test_split(
        X, y, test_size=TEST_SIZE, random_state=0, stratify=stratify
    )
    if len(np.unique(target_train)) < 2:
        raise TableError(f"{name}: the rows to train on have one class only; the others are too rare.")
    y_train, y_test = target_train, target_test
    if task == "regression":
        scaler = StandardScaler().fit(target_train[:, None])
        y_train, y_test = (scaler.transform(part[:, None]).ravel() for part in (target_train, target_test))
    rows = {**facts.get("rows", {"used": len(y)}), "train": len(y_train), "held_out": len(y_test)}
    return RawTable(
        name,
        task,
        X_train,
        X_test,
        target_train,
        target_test,
        y_train,
        y_test,
        encoder,
        tuple(notes),
        dict(parameters),
        {**facts, "rows": rows},
        steps,
    )
