"""Dates and durations written as text or as whole numbers, read by NumPy's calendar, for any year from 1 to
9999.
"""

import numpy as np

from nnfast.tables.errors import import_pandas

# How the parts of a date follow each other. In text they are separated; COMPACT is eight digits, such as
# 20240131.
YEAR_FIRST, DAY_FIRST, MONTH_FIRST, COMPACT = "year-first", "day-first", "month-first", "YYYYMMDD"

# So many texts are read at once without a look for a format that they share.
FEW = 500

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
)
_WEEKDAY = r"(?:(?:[Mm]on|[Tt]ue|[Ww]ed|[Tt]hu|[Ff]ri|[Ss]at|[Ss]un)[a-z]*,?\s+)?"
_FIRST, _MIDDLE, _LAST = (
    r"(?P<first>\d{4}|\d{1,2}|[A-Za-z]{3,9})",
    r"(?P<middle>\d{1,2}|[A-Za-z]{3,9})",
    r"(?P<last>\d{4}|\d{1,2})",
)
_DATE = rf"{_WEEKDAY}{_FIRST}\.?[-/. ]\s*{_MIDDLE}(?:\.?,?[-/. ]\s*{_LAST})?"
_PATTERN = rf"^\s*{_DATE}{_TIME}\s*$"
_DURATION = (
    r"^(?P<sign>[+-])?(?:(?P<days>\d+) ?days?,? ?)?"
    r"(?:\+?(?P<hours>\d+):(?P<minutes>\d{2})(?::(?P<seconds>\d{2}(?:\.\d+)?))?)?$"
)


def parse(texts, order):
    """Texts as datetime64[us], in UTC where they name a time zone; NaT where a text is no date.

    Parameters
    ----------
    texts : Series of str
    order : {"year-first", "day-first", "month-first"}
            Dates that begin with four digits begin with the year, and months by name are found, whatever is
            said here.

    Examples
    --------
    >>> import pandas
    >>> dates = pandas.Series(["3.1.2024", "2024-01-31T10:30Z", "Jan 5, 2024 1:00 PM", "30.2.2024"])
    >>> parse(dates, "day-first")
    array(['2024-01-03T00:00:00.000000', '2024-01-31T10:30:00.000000',
           '2024-01-05T13:00:00.000000',                        'NaT'],
          dtype='datetime64[us]')
    """
    if len(texts) <= FEW:
        return _by_parts(texts, order)
    values = np.full(len(texts), "NaT", dtype="M8[us]")
    text_format = _common_format(texts[:: len(texts) // FEW], order)
    if text_format is not None:
        values = _by_format(texts, text_format)
    odd = np.isnat(values)
    if odd.any():
        values[odd] = _by_parts(texts[odd], order)
    return values


def _by_parts(texts, order):
    parts = texts.str.extract(_PATTERN)
    return _dates(*_in_order(parts, order)) + _time(parts)


def _by_format(texts, text_format):
    """By pandas, which needs a format, and is ten times as fast."""
    when = import_pandas().to_datetime(texts, format=text_format, errors="coerce", utc=True)
    return when.dt.tz_localize(None).to_numpy(dtype="M8[us]", copy=True)


def _common_format(texts, order):
    """A format by which pandas reads many of some texts, and reads none of them otherwise than `_by_parts`;
    or None.
    """
    from pandas.tseries.api import guess_datetime_format

    expected = _by_parts(texts, order)
    valid = texts[~np.isnat(expected)]
    if valid.empty:
        return None
    text_format = (
        "ISO8601"
        if order == YEAR_FIRST
        else guess_datetime_format(valid.iloc[0], dayfirst=order == DAY_FIRST)
    )
    if text_format is None:
        return None
    found = _by_format(texts, text_format)
    return text_format if np.array_equal(found[~np.isnat(found)], expected[~np.isnat(found)]) else None


def order_of(texts):
    """(In what order most texts are dates, whether the other orders of day and month would do as well.)"""
    parts = texts.str.extract(_PATTERN)
    valid = {
        order: np.count_nonzero(~np.isnat(_dates(*_in_order(parts, order))))
        for order in (DAY_FIRST, MONTH_FIRST)
    }
    n_year_first = np.count_nonzero(
        parts["first"].str.fullmatch(r"\d{4}").to_numpy(dtype=bool, na_value=False)
    )
    if n_year_first and n_year_first >= max(valid.values()):
        return YEAR_FIRST, False
    named = parts[["first", "middle"]].apply(
        lambda part: part.str.contains("[A-Za-z]").to_numpy(dtype=bool, na_value=False)
    )
    ambiguous = valid[DAY_FIRST] == valid[MONTH_FIRST] > np.count_nonzero(named.any(axis=1)) + n_year_first
    return (MONTH_FIRST if valid[MONTH_FIRST] > valid[DAY_FIRST] else DAY_FIRST), ambiguous


def parse_compact(numbers):
    """Whole numbers such as 20240131 as datetime64[us]; NaT where a number is no date."""
    numbers = np.where(np.isfinite(numbers) & (numbers == np.round(numbers)), numbers, 0)
    return _dates(numbers // 10_000, numbers // 100 % 100, numbers % 100).astype("M8[us]")


def parse_durations(texts):
    """Texts such as "1 day 02:30:00" or "12:30" as days; NaN where a text is no duration.

    Examples
    --------
    >>> import pandas
    >>> parse_durations(pandas.Series(["1 days 12:00:00", "-06:00", "3 days", "x"]))
    array([ 1.5 , -0.25,  3.  ,   nan])
    """
    parts = texts.str.strip().str.extract(_DURATION)
    days, hours, minutes, seconds = (
        _numbers(parts[name]) for name in ("days", "hours", "minutes", "seconds")
    )
    present = ~(np.isnan(days) & np.isnan(hours))
    valid = present & ~(minutes > 59) & ~(seconds >= 60)
    total = sum(
        np.nan_to_num(part, nan=0.0) / unit
        for part, unit in ((days, 1), (hours, 24), (minutes, 1440), (seconds, 86400))
    )
    total[~valid] = np.nan
    return np.where(parts["sign"].eq("-").to_numpy(dtype=bool, na_value=False), -total, total)


def _in_order(parts, order):
    """Year, month and day as float64, NaN where there is none.

    Years of two digits are from 1969 to 2068, as POSIX has it.
    """
    first, middle, last = (_numbers(parts[name], named=True) for name in ("first", "middle", "last"))
    first_is_name, middle_is_name = (
        parts[name].str.match("[A-Za-z]").to_numpy(dtype=bool, na_value=False) for name in ("first", "middle")
    )
    year_first = parts["first"].str.fullmatch(r"\d{4}").to_numpy(dtype=bool, na_value=False)
    n_digits = parts["last"].str.len().to_numpy(dtype=np.float64, na_value=0)
    month_first = (first_is_name | (order == MONTH_FIRST)) & ~middle_is_name
    year = np.select(
        [year_first, n_digits == 4, n_digits == 2],
        [first, last, last + np.where(last < 69, 2000, 1900)],
        np.nan,
    )
    month = np.where(year_first | ~month_first, middle, first)
    day = np.where(year_first, np.where(n_digits == 0, 1, last), np.where(month_first, middle, first))
    return year, month, day


def _numbers(parts, named=False):
    pandas = import_pandas()
    if named:
        is_name = parts.str.match("[A-Za-z]").to_numpy(dtype=bool, na_value=False)
        if is_name.any():
            names = (
                parts[is_name].str[:3].str.lower().map({name: str(i + 1) for i, name in enumerate(_MONTHS)})
            )
            parts = parts.astype(object)
            parts[is_name] = names
    return pandas.to_numeric(parts, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)


def _dates(year, month, day):
    """datetime64[D] of arrays of numbers; NaT where they are no date."""
    valid = (year >= 1) & (year <= 9999) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    year, month, day = (np.where(valid, part, 1).astype(np.int64) for part in (year, month, day))
    months = (year - 1970).astype("M8[Y]").astype("M8[M]") + (month - 1)
    dates = months.astype("M8[D]") + (day - 1)
    dates[~valid | (dates.astype("M8[M]") != months)] = np.datetime64("NaT")
    return dates


def _time(parts):
    """The time of day as timedelta64[us], less the offset from UTC; NaT where it is none."""
    hour, minute, second = (
        np.nan_to_num(_numbers(parts[name]), nan=0.0) for name in ("hour", "minute", "second")
    )
    fraction = np.nan_to_num(_numbers("0." + parts["fraction"]), nan=0.0)
    half = parts["half"].str[0].str.lower()
    is_half, is_pm = (
        half.isin(letters).to_numpy(dtype=bool, na_value=False) for letters in (["a", "p"], ["p"])
    )
    valid = (hour <= np.where(is_half, 12, 24)) & (minute <= 59) & (second <= 60) & ~(is_half & (hour < 1))
    hour = np.where(is_half, hour % 12 + 12 * is_pm, hour)
    zone = parts["zone"].str.extract(r"^([+-])(\d{2}):?(\d{2})?$")
    offset = np.nan_to_num(_numbers(zone[1]), nan=0.0) * 60 + np.nan_to_num(_numbers(zone[2]), nan=0.0)
    offset = np.where(zone[0].eq("-").to_numpy(dtype=bool, na_value=False), -offset, offset)
    seconds = (hour * 60 + minute - offset) * 60 + second
    time = (seconds * 1e6 + np.round(fraction * 1e6)).astype("m8[us]")
    time[~valid] = np.timedelta64("NaT")
    return time
