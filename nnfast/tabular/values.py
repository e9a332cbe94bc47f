"""The columns of a table in memory, of any library: their names, and their values as numbers, dates or
levels.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from numbers import Number

import numpy as np
from scipy.sparse import issparse

# Larger numbers count as this one: differences, and sums of products, are then finite.
LARGEST = 1e150
# Types of Python objects that stand for a missing value; and those of which some values do, which differ from
# themselves.
_MISSING = ("NoneType", "NAType", "NaTType")
_WITH_MISSING = (float, np.floating, Decimal, np.datetime64, np.timedelta64)
# Whole numbers from here on are named as floats.
LARGEST_WHOLE = 1e15
_COMPLEX = (complex, np.complexfloating)
# What a value of a column of objects is taken for, by its type; anything else is a level.
_KINDS = (
    ((bool, np.bool_), "boolean"),
    ((np.timedelta64, timedelta, time), "duration"),  # timedelta64 is one of NumPy's integers
    ((Number,), "number"),
    ((date, np.datetime64), "date"),
)


@dataclass(frozen=True)
class Values:
    """The values of a column.

    Attributes
    ----------
    kind : {"number", "boolean", "date", "duration", "category", "empty"}
        "empty" is a column without any value that does not say what it would hold.
    values : ndarray or list
        float64, NaN where a value is missing or infinite, and none beyond `LARGEST`; durations, and times of
        the day, are days. Of dates datetime64[us] in UTC, NaT where one is missing; of categories a list of
        str, None where one is missing.
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
    X : DataFrame of pandas, polars, pyarrow or any library that narwhals reads; or array-like of two
    dimensions

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
            "Sparse data was passed, but the estimators of nnfast.tabular take dense tables: X must be a "
            "DataFrame or an array of two dimensions. X.toarray() is one; MLPClassifier and MLPRegressor "
            "take a sparse X."
        )
    frame = None if isinstance(X, np.ndarray | list | tuple) else _frame(X)
    if frame is not None:
        _refuse_no_rows_or_columns(frame.shape)
        names = frame.columns
        if any(isinstance(name, str) for name in names):
            as_text = [str(name) for name in names]
            if twice := next((name for name in as_text if as_text.count(name) > 1), None):
                raise ValueError(
                    f"X must have columns of different names, got {twice!r} twice, as text and as another"
                    " type."
                )
            return [(name, frame[:, j]) for j, name in enumerate(as_text)], True
        return [(j, frame[:, j]) for j in range(len(names))], False
    array = _array(X)
    return [(j, array[:, j]) for j in range(array.shape[1])], False


def _frame(X):
    """X as a DataFrame of narwhals, or None if it is none."""
    import narwhals.stable.v2 as nw  # which takes a while, and only data frames need

    try:
        return nw.from_native(X, eager_only=True)
    except nw.exceptions.DuplicateError as error:
        raise ValueError(
            f"X must have columns of different names: {' '.join(str(error).split())}."
        ) from error
    except TypeError:
        return None


def _array(X):
    if isinstance(X, np.matrix):
        raise TypeError(
            "np.matrix is not supported: X must be an array of two dimensions. Use np.asarray(X)."
        )
    if isinstance(X, list | tuple):
        X = np.array(X, dtype=object)  # each column keeps its types
        if X.ndim == 1 and any(isinstance(row, list | tuple) for row in X):
            raise ValueError(
                f"X must have rows of one length, got a list with rows of {sorted(set(map(np.size, X)))}"
                " values."
            )
    elif not hasattr(X, "__array__"):
        collect = " Use X.collect()." if hasattr(X, "collect") else ""
        raise TypeError(
            f"X must be a DataFrame or an array of two dimensions, got {type(X).__name__}.{collect}"
        )
    if isinstance(X, np.ma.MaskedArray):
        mask, X = np.ma.getmaskarray(X), X.data.astype(object)
        X[mask] = None
    X = np.asarray(X)
    if X.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: X must hold real numbers, got dtype {X.dtype}. Use X.real."
        )
    if X.ndim != 2:
        hint = "Reshape your data: X.reshape(-1, 1) if it has one column, X.reshape(1, -1) if it is one row."
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead: X has shape {X.shape}. {hint}")
    _refuse_no_rows_or_columns(X.shape)
    return X


def _refuse_no_rows_or_columns(shape):
    for n, what in zip(shape, ("sample(s)", "feature(s)"), strict=True):
        if n == 0:
            raise ValueError(
                f"Found array with 0 {what} (shape={shape}) while a minimum of 1 is required by nnfast."
            )


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
        with np.errstate(over="ignore"):  # of longdouble
            return Values("number", _bounded(column.astype(np.float64)), dtype)
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
    if kind in (nw.Categorical, nw.Enum):
        return _levels(series.to_list(), dtype)
    if kind == nw.Decimal:  # whose casts do not all round alike
        return _of_objects(series.to_list(), dtype)
    if kind == nw.Boolean or kind.is_numeric():
        return Values("boolean" if kind == nw.Boolean else "number", _bounded(_floats(series, nw)), dtype)
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
    if series.dtype == nw.Date:
        series = series.cast(nw.Datetime("us"))
    elif series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return np.array(series.to_numpy()).astype("M8[us]")


def _days(durations):
    """Durations as days, NaN where they are missing."""
    return np.where(np.isnat(durations), np.nan, durations / np.timedelta64(1, "D"))


def _bounded(numbers):
    """Numbers with NaN in place of infinite ones, and none beyond `LARGEST`; changes the array."""
    numbers[np.isinf(numbers)] = np.nan
    return np.clip(numbers, -LARGEST, LARGEST, out=numbers)


# ------------------------------------------------------------------------------------------------------------
# Python objects


def _of_objects(values, dtype):
    """The `Values` of a list of any Python objects."""
    types = set(map(type, values))
    if any(issubclass(each, _COMPLEX) for each in types):
        raise ValueError(
            "Complex data not supported: X must hold real numbers, and a column has complex ones."
        )
    values, types = _without_missing(values, types)
    kinds = {_kind(each) for each in types}
    if not kinds:
        return Values("empty", np.full(len(values), np.nan), dtype)
    if kinds <= {"number", "boolean"}:
        numbers = np.array([np.nan if value is None else _float(value) for value in values])
        return Values("number" if "number" in kinds else "boolean", _bounded(numbers), dtype)
    if kinds == {"date"}:
        return Values("date", np.array(list(map(_plain_date, values)), dtype="M8[us]"), dtype)
    if kinds == {"duration"}:
        return Values("duration", _days(np.array(list(map(_plain_duration, values)), dtype="m8[us]")), dtype)
    return Values("category", values if types == {str} else list(map(level_of, values)), dtype)


def _levels(values, dtype):
    """The `Values` of a list of any Python objects that are levels whatever they are."""
    values, types = _without_missing(values, set(map(type, values)))
    if not types:
        return Values("empty", np.full(len(values), np.nan), dtype)
    return Values("category", values if types == {str} else list(map(level_of, values)), dtype)


def _without_missing(values, types):
    """The values with None for each that is missing, and the types of the others."""
    void = {each for each in types if each.__name__ in _MISSING}
    doubtful = {each for each in types if issubclass(each, _WITH_MISSING)}
    if doubtful:
        values = [
            None if type(each) in void or (type(each) in doubtful and each != each) else each
            for each in values
        ]
        types = set(map(type, values))
    elif void - {type(None)}:
        values = [None if type(each) in void else each for each in values]
    return values, types - void - {type(None)}


def _kind(kind_of):
    if kind_of.__name__ == "Period":  # of pandas
        return "date"
    return next((kind for types, kind in _KINDS if issubclass(kind_of, types)), "category")


def _float(value):
    try:
        return float(value)
    except OverflowError:  # of a large int
        return np.inf if value > 0 else -np.inf


def _plain_date(when):
    """What NumPy makes a datetime64 in UTC of."""
    if type(when).__name__ == "Period":
        when = when.to_timestamp()
    if getattr(when, "tzinfo", None) is None:
        return when
    return when.astimezone(UTC).replace(tzinfo=None)


def _plain_duration(duration):
    """What NumPy makes a timedelta64 of: of a time of the day, the time since midnight."""
    if isinstance(duration, time):
        return datetime.combine(date.min, duration.replace(tzinfo=None)) - datetime.min
    return duration


# ------------------------------------------------------------------------------------------------------------
# Levels


def level_of(value):
    """The name of a level: a value as text, so that 1, 1.0 and "1" are one; None of what is missing.

    Examples
    --------
    >>> [level_of(value) for value in ("a", 1, 1.0, 2.5, True, b"a", date(2020, 2, 1), None)]
    ['a', '1', '1', '2.5', '1', 'a', '2020-02-01', None]
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    kind = _kind(type(value))
    if kind in ("number", "boolean"):
        return _level_of_number(_float(value))
    if kind == "date":
        return _level_of_date(np.datetime64(_plain_date(value), "us"))
    if kind == "duration":
        return _level_of_number(float(_days(np.timedelta64(_plain_duration(value), "us"))))
    return str(value)


def _level_of_number(number):
    if not np.isfinite(number):
        return None
    return str(int(number)) if number.is_integer() and abs(number) < LARGEST_WHOLE else repr(number)


def _level_of_date(when):
    day = when.astype("M8[D]")
    return str(day) if when == day else str(when.astype("M8[s]")).replace("T", " ")


def as_levels(values):
    """`Values` of any kind as those of a category."""
    if values.kind == "category":
        return values
    distinct, inverse = np.unique(values.values, return_inverse=True)
    if values.kind == "date":
        names = [None if np.isnat(each) else _level_of_date(each) for each in distinct]
    else:
        names = [_level_of_number(each) for each in distinct.tolist()]
    return replace(values, kind="category", values=np.array(names, dtype=object)[inverse].tolist())
