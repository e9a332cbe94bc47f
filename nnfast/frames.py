"""Tables with columns that are no finite numbers: which they are, and what to do about them.

Data frames of pandas, polars, pyarrow and others are read through narwhals; columns of other tables have
numbers.
"""

from collections import namedtuple
from contextlib import contextmanager
from datetime import date, time, timedelta

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier

_SHOWN = 5  # columns that an error names
DATES = (date, time, timedelta, np.datetime64, np.timedelta64)

# `what` is a key of _WORDS.
_Column = namedtuple("_Column", "name dtype what")

_WORDS = {
    "text": "text or categories in",
    "dates": "dates, times or durations in",
    "missing": "missing values in",
    "infinite": "infinite or too large numbers in",
    "other": "what is no number in",
}


def refuse_complex(table, name):
    """Raise ValueError if a table, or y, is of complex numbers: scikit-learn's error prints all of it, but no
    name.
    """
    dtype = getattr(table, "dtype", None)
    if getattr(dtype, "kind", None) == "c":
        raise ValueError(
            f"Complex data not supported: {name} must hold real numbers, got dtype {dtype}. Use {name}.real."
        )


def refuse_dates(table, name, estimator=None):
    """Raise TypeError if a table has dates, times or durations: a cast would make numbers of them, in
    whatever unit.

    Parameters
    ----------
    table : anything that may be given as X or y
    name : str
        What the caller knows it by.
    estimator : MLPClassifier, MLPRegressor or None
        What X is given to, for the name of the estimator that takes it as it is. None for y.
    """
    if _has_dates(table) and (dates := [column for column in _columns(table) if column.what == "dates"]):
        raise TypeError(_explained(table, dates, name, True, estimator))


def _has_dates(table):
    """Whether there may be a column of dates; of an array of objects or a list, the first row tells."""
    if isinstance(table, np.ndarray) and table.dtype.kind != "O":
        return table.dtype.kind in "mM"
    if isinstance(table, np.ndarray | list | tuple):
        first = table[0] if len(table) else None
        return isinstance(first, np.ndarray | list | tuple) and any(
            isinstance(value, DATES) for value in first
        )
    # By the dtypes' own words: narwhals takes as long for a schema as scikit-learn for its validation.
    dtypes = getattr(table, "dtypes", None) if hasattr(table, "columns") else ()
    dtypes = getattr(getattr(table, "schema", None), "types", ()) if dtypes is None else dtypes
    return any(str(dtype).lower().startswith(("date", "time", "duration", "period")) for dtype in set(dtypes))


@contextmanager
def naming_columns(table, name, estimator=None, *, advises=True):
    """Have what scikit-learn's validation raises about the numbers in a table say in which columns they are.

    Parameters
    ----------
    table : anything that may be given as X
    name : str
        What the caller knows it by.
    estimator : MLPClassifier, MLPRegressor or None
        As in `refuse_dates`.
    advises : bool, default=True
        Whether to say how the columns become numbers.
    """
    try:
        yield
    except (OverflowError, TypeError, ValueError) as error:
        of_numbers = issparse(table) or (isinstance(table, np.ndarray) and table.dtype.kind in "biufc")
        if (
            of_numbers
            or str(error).startswith("The feature names should match")
            or not (columns := _columns(table))
        ):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{str(error).splitlines()[0].rstrip('.')}."
            f" {_explained(table, columns, name, advises, estimator)}"
        ) from error


# ------------------------------------------------------------------------------------------------------------
# The columns


def _columns(table):
    """The columns of a table that are not all finite numbers: a list of `_Column`."""
    if isinstance(table, np.ndarray) and table.dtype.kind in "mM":
        return [_Column(j, str(table.dtype), "dates") for j in range(table[:1].size)]
    if isinstance(table, np.ndarray | list | tuple):
        table = _array_of_objects(table)
        return [_Column(j, *found) for j, column in enumerate(table.T) if (found := _find(column))]
    import narwhals.stable.v2 as nw  # which takes a while, and only data frames need

    try:
        frame = nw.from_native(table, eager_only=True)
    # no data frame, or one with two columns of the same name
    except (TypeError, nw.exceptions.NarwhalsError):
        return []
    return [
        _Column(series.name, *found) for series in frame.iter_columns() if (found := _find_in_series(series))
    ]


def _array_of_objects(table):
    """A table of lists or of an array; without columns where it is not one of two dimensions."""
    try:
        table = np.array(table, dtype=object)
    except ValueError:  # rows of several lengths
        table = np.empty(0)
    return table if table.ndim == 2 else np.empty((0, 0))


def _find_in_series(series):
    """(dtype, what) of a column of a data frame, or None if all are finite numbers."""
    native = series.to_native()
    dtype = str(getattr(native, "dtype", None) or native.type)
    if series.dtype.is_temporal():
        return dtype, "dates"
    if not series.dtype.is_numeric():
        found = _find(series.to_list())
        return found and (dtype, found[1])
    if series.is_null().any() or (series.dtype.is_float() and series.is_nan().any()):
        return dtype, "missing"
    return (dtype, "infinite") if series.dtype.is_float() and not series.is_finite().all() else None


def _find(values):
    """(type, what) of what is no finite number among values, missing ones last, or None."""
    missing = None
    for value in values:
        what = _what(value)
        if what == "missing":
            missing = missing or (type(value).__name__, what)
        elif what is not None:
            return type(value).__name__, what
    return missing


def _what(value):
    """The key of _WORDS for a value, or None for what float() makes a finite number of."""
    if isinstance(value, DATES) or type(value).__name__ == "Period":  # of pandas
        return "dates"
    if value is None or type(value).__name__ == "NAType":
        return "missing"
    try:
        number = float(value)
    except OverflowError:
        return "infinite"
    except (TypeError, ValueError):
        return "text" if isinstance(value, str | bytes) else "other"
    return None if np.isfinite(number) else "missing" if np.isnan(number) else "infinite"


# ------------------------------------------------------------------------------------------------------------
# What to do


def _explained(table, columns, name, advises, estimator):
    by_what = {what: [column for column in columns if column.what == what] for what in _WORDS}
    got = ", ".join(f"{words} {_listed(by_what[what])}" for what, words in _WORDS.items() if by_what[what])
    sentence = f"{name} must have columns of finite numbers, got {got}."
    names = {what: [column.name for column in found] for what, found in by_what.items()}
    # pyarrow
    if not hasattr(table, "assign") and not hasattr(table, "with_columns") and hasattr(table, "to_pandas"):
        name = f"{name}.to_pandas(date_as_object=False)"
    remedies = []
    if advises:
        remedies = [
            _whole_remedy(estimator, names),
            _remedy_of_dates(table, by_what["dates"], name),
            _remedy(names, name),
        ]
    return " ".join([sentence, *filter(None, remedies)])


def _whole_remedy(estimator, names):
    if estimator is None or names["other"] or not (names["text"] or names["dates"] or names["missing"]):
        return ""
    kind = "Classifier" if is_classifier(estimator) else "Regressor"
    return (
        f"nnfast.tabular.Tabular{kind} takes such tables as they are, and TableEncoder() makes numbers of"
        " them."
    )


def _listed(columns):
    named = [
        repr(column.name) if isinstance(column.name, str) else f"column {column.name}"
        for column in columns[:_SHOWN]
    ]
    shown = ", ".join(f"{name} ({column.dtype})" for name, column in zip(named, columns, strict=False))
    return f"{shown} and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else shown


def _remedy(names, name):
    steps = {"text": 'OneHotEncoder(handle_unknown="ignore")', "missing": "SimpleImputer()"}
    steps = [f'("{what}", {step}, {names[what]})' for what, step in steps.items() if names[what]]
    if not steps:
        return ""
    ordinal = " OrdinalEncoder() makes one column of many categories." if names["text"] else ""
    transformer = f'ColumnTransformer([{", ".join(steps)}], remainder="passthrough")'
    given = f", and give it {name}" if "(" in name else ""
    return f"Or put scikit-learn's {transformer} before the network, in a Pipeline{given}.{ordinal}"


def days_of(name, kind):
    """An expression for the days of dates (kind "M") or durations ("m") in an array, a list or a series; NaN
    where they are missing.
    """
    if kind == "m":
        return f'np.asarray({name}, "m8[s]") / np.timedelta64(1, "D")'
    return f'(np.asarray({name}, "M8[s]") - np.datetime64(0, "s")) / np.timedelta64(1, "D")'


def _remedy_of_dates(table, columns, name):
    names = [column.name for column in columns]
    if not columns:
        return ""
    if isinstance(table, np.ndarray) and table.dtype.kind in "mM":
        return f"{days_of(name, table.dtype.kind)} are days."
    if hasattr(table, "with_columns"):  # polars
        return (
            f"{name}.with_columns({name}[each].to_physical() for each in {names}) has numbers in their place."
        )
    if hasattr(table, "assign") or "(" in name:  # pandas
        if any(column.dtype.startswith("period") for column in columns):
            return f'{name}.assign(**{name}[{names}].astype("int64")) has numbers in their place.'
        dates = '.astype("datetime64[s]")' if any(column.dtype == "object" for column in columns) else ""
        days = "lambda each: (each - each.min()).dt.total_seconds() / 86400"
        return f"{name}.assign(**{name}[{names}]{dates}.apply({days})) has days in their place."
    return 'Make numbers of them, for example days, by .astype("datetime64[D]").astype("int64") in NumPy.'
