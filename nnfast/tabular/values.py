"""The columns of a table in memory, of any library: their names, and their values as numbers, dates or levels."""

from dataclasses import dataclass
from datetime import date, timedelta, timezone
from numbers import Number

import numpy as np
from scipy.sparse import issparse

# Types of Python objects that stand for a missing value.
_MISSING = ("NoneType", "NAType", "NaTType")
# What a value of a column of objects is taken for, by its type; anything else is a level.
_KINDS = (
    ((bool, np.bool_), "boolean"),
    ((Number,), "number"),
    ((date, np.datetime64), "date"),
    ((timedelta, np.timedelta64), "duration"),
)


@dataclass(frozen=True)
class Values:
    """The values of a column.

    Attributes
    ----------
    kind : {"number", "boolean", "date", "duration", "category", "empty"}
        "empty" is a column without any value that does not say what it would hold.
    values : ndarray or list
        float64, NaN where a value is missing; of dates datetime64[us] in UTC, NaT where one is missing; of categories
        a list of str, None where one is missing.
    dtype : str
        What the table says of the column.
    """

    kind: str
    values: object
    dtype: str

    def __len__(self):
        return len(self.values)


def columns_of(X):
    """The columns of a table, and whether they have names.

    Parameters
    ----------
    X : DataFrame of pandas, polars, pyarrow or any library that narwhals reads; or array-like of two dimensions

    Returns
    -------
    columns : list of (name, column)
        A name is a string where the table has names, else the column's number. `values_of` reads a column.
    named : bool

    Raises
    ------
    TypeError
        If X is sparse, or of complex numbers.
    ValueError
        If X is not of two dimensions, has no rows or no columns, or two columns of one name.
    """
    if issparse(X):
        raise TypeError(
            "Sparse data was passed, but the estimators of nnfast.tabular take dense tables: X must be a DataFrame or "
            "an array of two dimensions. X.toarray() is one; MLPClassifier and MLPRegressor take a sparse X."
        )
    frame = None if isinstance(X, np.ndarray | list | tuple) else _frame(X)
    if frame is not None:
        if frame.shape[1] == 0:
            raise ValueError(f"0 feature(s) (shape={frame.shape}) while a minimum of 1 is required: X has no columns.")
        if len(frame) == 0:
            raise ValueError(f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required.")
        names = frame.columns
        if all(isinstance(name, str) for name in names):
            return [(name, frame[name]) for name in names], True
        return [(j, frame[:, j]) for j in range(len(names))], False
    array = _array(X)
    return [(j, array[:, j]) for j in range(array.shape[1])], False


def _frame(X):
    """X as a DataFrame of narwhals, or None if it is none."""
    import narwhals.stable.v2 as nw  # which takes a while, and only data frames need

    try:
        return nw.from_native(X, eager_only=True)
    except nw.exceptions.DuplicateError as error:
        raise ValueError(f"X has two columns of one name: {error}") from error
    except TypeError:
        return None


def _array(X):
    if not isinstance(X, np.ndarray):
        if not hasattr(X, "__array__") and not isinstance(X, list | tuple):
            raise TypeError(f"X must be a DataFrame or an array of two dimensions, got {type(X).__name__}.")
        X = _of_lists(X) if isinstance(X, list | tuple) else np.asarray(X)
    if X.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: X must hold real numbers, got dtype {X.dtype}. Use X.real.")
    if X.ndim != 2:
        hint = "Reshape your data: X.reshape(-1, 1) if it has one column, X.reshape(1, -1) if it is one row."
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead: X has shape {X.shape}. {hint}")
    for n, what in zip(X.shape, ("sample(s)", "feature(s)"), strict=True):
        if n == 0:
            raise ValueError(f"Found array with 0 {what} (shape={X.shape}) while a minimum of 1 is required.")
    return X


def _of_lists(rows):
    """An array of lists: of numbers where they are, else of objects."""
    try:
        array = np.asarray(rows)
    except ValueError as error:
        raise ValueError(f"X must have rows of one length: {error}") from error
    return array if array.dtype.kind in "biufcmM" else np.array(rows, dtype=object)


def values_of(column):
    """The `Values` of a column, as `columns_of` gives it."""
    if isinstance(column, np.ndarray):
        return _of_array(column)
    return _of_series(column)


def _of_array(column):
    kind, dtype = column.dtype.kind, str(column.dtype)
    if kind == "b":
        return Values("boolean", column.astype(np.float64), dtype)
    if kind in "iuf":
        return Values("number", _finite(column.astype(np.float64)), dtype)
    if kind == "M":
        return Values("date", column.astype("M8[us]"), dtype)
    if kind == "m":
        return Values("duration", _days(column), dtype)
    return _of_objects(column.tolist(), dtype)


def _of_series(series):
    native = series.to_native()
    dtype = str(getattr(native, "dtype", None) or getattr(native, "type", ""))
    import narwhals.stable.v2 as nw

    kind = series.dtype
    if kind == nw.Boolean or kind.is_numeric():
        numbers = _floats(series, nw)
        return Values("boolean" if kind == nw.Boolean else "number", _finite(numbers), dtype)
    if kind in (nw.Date, nw.Datetime):
        return Values("date", _dates(series, nw), dtype)
    if kind == nw.Duration:
        return Values("duration", _days(np.asarray(series.to_numpy(), dtype="m8[us]")), dtype)
    return _of_objects(series.to_list(), dtype)


def _floats(series, nw):
    """Numbers as float64, NaN where they are missing."""
    if not series.dtype.is_float():
        series = series.cast(nw.Float64)
    if series.is_null().any():
        series = series.fill_null(np.nan)
    return np.array(series.to_numpy(), dtype=np.float64)


def _dates(series, nw):
    """Dates as datetime64[us], in UTC where they have a time zone."""
    if series.dtype == nw.Datetime and series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return np.array(series.to_numpy()).astype("M8[us]")


def _days(durations):
    """Durations as days, NaN where they are missing."""
    return np.where(np.isnat(durations), np.nan, durations / np.timedelta64(1, "D"))


def _finite(numbers):
    """Numbers with NaN in place of infinite ones."""
    numbers[np.isinf(numbers)] = np.nan
    return numbers


def _of_objects(values, dtype):
    """The `Values` of a list of any Python objects."""
    types = set(map(type, values))
    void = {each for each in types if each.__name__ in _MISSING}
    if any(_kind(each) != "category" for each in types - void):  # NaN and NaT differ from themselves
        values = [None if type(value) in void or value != value else value for value in values]
    elif void:
        values = [None if type(value) in void else value for value in values]
    types = set(map(type, values)) - {type(None)}
    kinds = {_kind(each) for each in types}
    if not kinds:
        return Values("empty", np.full(len(values), np.nan), dtype)
    if kinds <= {"number", "boolean"}:
        numbers = np.array([np.nan if value is None else float(value) for value in values])
        return Values("number" if "number" in kinds else "boolean", _finite(numbers), dtype)
    if kinds == {"date"}:
        return Values("date", np.array(list(map(_without_zone, values)), dtype="M8[us]"), dtype)
    if kinds == {"duration"}:
        return Values("duration", _days(np.array(values, dtype="m8[us]")), dtype)
    return Values("category", values if types == {str} else list(map(level_of, values)), dtype)


def _kind(kind_of):
    return next((kind for types, kind in _KINDS if issubclass(kind_of, types)), "category")


def _without_zone(when):
    if getattr(when, "tzinfo", None) is None:
        return when
    return when.astimezone(timezone.utc).replace(tzinfo=None)


def level_of(value):
    """The name of a level: a value as text, so that 1, 1.0 and "1" are one; None of None.

    Examples
    --------
    >>> [level_of(value) for value in ("a", 1, 1.0, 2.5, True, None)]
    ['a', '1', '1', '2.5', '1', None]
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Number):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value)
