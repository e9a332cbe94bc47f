"""What the columns of a table are taken for, such as numbers, dates and categories, and why."""

import re
from dataclasses import asdict, dataclass

import numpy as np

from nnfast.tables import dates, numbers
from nnfast.tables.errors import TableError, import_pandas, listed, shown

# Where at least this share of the texts that are there are numbers, or dates, the others count as missing.
CLEAR_MAJORITY = 0.95
# Text among so few distinct numbers may be a level like them, as "3+" among 0, 1, 2: these are categories.
FEW_NUMBERS = 20
# Fewer rows than this do not show that a column is an identifier, free text or constant.
FEWEST_ROWS = 10
# Texts of at least so many words on average, of which at least this share differ, are free text.
TEXT_WORDS, TEXT_DISTINCT = 3, 0.9
# Texts in lower case that stand for a missing value among numbers or dates; pandas knows others when it
# reads.
MISSING = {
    *(
        "?",
        "??",
        "-",
        "--",
        "---",
        "–",
        "—",
        ".",
        "..",
        "*",
        "na",
        "n/a",
        "n.a.",
        "nan",
        "null",
        "none",
        "nil",
    ),
    *("missing", "unknown", "unk", "not available", "not applicable", "tbd"),
    *("#n/a", "#na", "#value!", "#ref!", "#div/0!", "#null!", "#num!", "#name?"),
}
# Distinct texts that are tried before all are.
TRIED = 2000

_ID_WORDS = {"id", "ids", "uuid", "guid", "identifier", "rowid"}
_ROW_NUMBERS = {
    *(
        "",
        "#",
        "index",
        "idx",
        "key",
        "nr",
        "no",
        "row",
        "rownum",
        "row_number",
        "rownames",
        "unnamed: 0",
        "level_0",
    ),
}


@dataclass(frozen=True)
class Column:
    """What a column is taken for.

    Attributes
    ----------
    column : str
        Its name.

    taken_for : str
        "number", "boolean", "date", "duration" (days, as numbers) or "category"; or what has nothing to learn
        from: "identifier", "text", "constant" or "empty".

    used : bool
        Whether it is in the frame.

    dtype : str
        In the frame, or in the file where it is not used.

    missing : int
        Rows without a value, those with `junk` and infinite numbers among them.

    note : str
        What is not plain about it.

    format : str
        How text is read: "." or ",", the decimal mark of numbers, or the order of a date's parts.

    junk : tuple of str
        Examples of text that is neither a value nor a usual sign for a missing one.
    """

    column: str
    taken_for: str
    used: bool
    dtype: str
    missing: int
    note: str = ""
    format: str = ""
    junk: tuple[str, ...] = ()

    def record(self):
        """What `--json` says of it: a dict of strings, numbers and lists."""
        return {**asdict(self), "junk": list(self.junk)}


def take(column, *, decimal, keep):
    """Decide what a column is taken for.

    Parameters
    ----------
    column : Series
        As a file has it.

    decimal : {".", ","}
        The decimal mark of text that does not show it.

    keep : bool
        Whether the column is used in any case.

    Returns
    -------
    decision : Column

    values : Series
        Of int64, float64, bool, datetime64[us] or, of categories, str objects and NaN.
    """
    reading = _typed(column) or _of_text(_Texts(column), decimal)
    kind, values, notes, junk = reading.kind, reading.values, list(reading.notes), reading.junk
    if values.dtype.kind == "f" and (infinite := np.isinf(values)).any():
        notes.append(f"{np.count_nonzero(infinite):,} infinite, taken for missing")
        values, junk = values.where(~infinite), (*junk, "inf")
    reason, why = _left_out(kind, values, reading.texts)
    used = reason is None or keep
    if not used:
        kind, notes = reason, [why]
    elif reason is not None and reason != "empty":
        notes.insert(0, f"kept: {why}")
    dtype = str(values.dtype if used else column.dtype)
    note = "; ".join(notes)
    return Column(
        column.name, kind, used, dtype, int(values.isna().sum()), note, reading.format, junk
    ), values


def convert(column, decision):
    """A column of another file, read as `decision` says; what does not fit is missing."""
    wanted = decision.taken_for
    if wanted == "category":
        return _Texts(column).categories()
    reading = _typed(column)
    if reading is None:
        texts, text_format = _Texts(column), decision.format
        # they were numbers in the file that was decided by, not texts
        if wanted == "number" and not text_format:
            text_format = numbers.decimal_mark(texts.distinct) or "."
        return texts.spread(_PARSERS[wanted](texts.distinct, text_format))
    if wanted == "date" and reading.kind == "number":
        return _series(dates.parse_compact(reading.values.to_numpy(np.float64)), column)
    if (wanted == "date") != (reading.kind == "date"):
        raise TableError(
            f"Column {column.name!r} holds a {reading.kind} in each row, where a {wanted} is needed."
        )
    values = reading.values.astype(np.float64) if decision.dtype == "float64" else reading.values
    return values.where(~np.isinf(values)) if values.dtype.kind == "f" else values


# ------------------------------------------------------------------------------------------------------------
# Columns that have a type


@dataclass(frozen=True)
class _Reading:
    kind: str
    values: object
    format: str = ""
    notes: tuple[str, ...] = ()
    junk: tuple[str, ...] = ()
    texts: object = None  # of a category


def _series(values, like):
    return import_pandas().Series(values, index=like.index, name=like.name)


def _typed(column):
    """The reading of a column that is not text, else None."""
    pandas = import_pandas()
    if isinstance(column.dtype, pandas.CategoricalDtype):
        return _category(_Texts(column))
    kind = pandas.api.types.infer_dtype(column, skipna=True)
    if kind == "empty" or column.isna().all():
        return _Reading("number", _series(np.full(len(column), np.nan), column))
    if kind in ("date", "datetime", "datetime64"):
        when = (
            pandas.to_datetime(column, errors="coerce", utc=True)
            .dt.tz_localize(None)
            .astype("datetime64[us]")
        )
        return _Reading("date", when, notes=(_span(when),))
    if kind in ("timedelta", "timedelta64"):
        days = pandas.to_timedelta(column) / pandas.Timedelta(days=1)
        return _Reading("duration", days.astype(np.float64), notes=("in days",))
    if kind == "boolean":
        return _Reading("boolean", _booleans(column.to_numpy(dtype=np.float64, na_value=np.nan), column))
    if kind not in ("integer", "integer-na", "floating", "mixed-integer-float", "decimal"):
        return None
    if kind == "integer" and not column.isna().any() and column.max() < 2**63:
        values = _series(column.to_numpy(dtype=np.int64), column)
        compact = None if _is_named_identifier(values) else _compact_dates(values)
        return _Reading("number", values) if compact is None else compact
    return _Reading("number", _series(column.to_numpy(dtype=np.float64, na_value=np.nan), column))


def _booleans(numbers, like):
    """As bool, or where values are missing as float64."""
    return _series(numbers if np.isnan(numbers).any() else numbers.astype(bool), like)


def _compact_dates(values):
    """The reading of whole numbers that all are dates such as 20240131, else None."""
    if values.min() < 1800_01_01 or values.max() > 2200_12_31:
        return None
    when = dates.parse_compact(values.to_numpy(np.float64))
    if np.isnat(when).any() or values.nunique() < FEWEST_ROWS:
        return None
    when = _series(when, values)
    return _Reading("date", when, dates.COMPACT, (f"{_span(when)}, {dates.COMPACT}",))


def _span(when):
    return f"{when.min():%Y-%m-%d} to {when.max():%Y-%m-%d}" if when.notna().any() else "no date"


# ------------------------------------------------------------------------------------------------------------
# Text


class _Texts:
    """A column as text without spaces around it.

    `distinct` are its values, `codes` which of them each row has (-1 where it is missing), `counts` how many
    rows have each.
    """

    def __init__(self, column):
        pandas = import_pandas()
        if isinstance(column.dtype, pandas.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        if pandas.api.types.is_float_dtype(column.dtype) and (column.dropna() % 1 == 0).all():
            column = column.astype("Int64")  # 1.0 is 1, with a gap elsewhere in the column
        if column.dtype == object:
            column = column.map(str, na_action="ignore")
        codes, distinct = pandas.factorize(column)
        stripped, distinct = pandas.factorize(pandas.Series(distinct).astype(str).str.strip())
        self.codes = np.where(codes < 0, -1, stripped[codes]) if len(distinct) else codes
        self.distinct = pandas.Series(distinct)
        self.counts = np.bincount(self.codes[self.codes >= 0], minlength=len(distinct))
        self._column = column

    def spread(self, values):
        """A value for each row, of one for each distinct text: missing where the text is."""
        return (
            import_pandas()
            .Series(values)
            .reindex(self.codes)
            .set_axis(self._column.index)
            .rename(self._column.name)
        )

    def categories(self):
        return self.spread(self.distinct.astype(object))


def _category(texts):
    return _Reading("category", texts.categories(), notes=(f"{len(texts.distinct):,} values",), texts=texts)


def _parse_booleans(texts, _):
    return texts.str.lower().map({"true": 1.0, "false": 0.0}).to_numpy(dtype=np.float64)


_PARSERS = {
    "boolean": _parse_booleans,
    "number": numbers.parse,
    "date": dates.parse,
    "duration": lambda texts, _: dates.parse_durations(texts),
}


def _of_text(texts, decimal):
    """The reading of a column of text."""
    pandas = import_pandas()
    is_value = ~texts.distinct.str.lower().isin([*MISSING, ""]).to_numpy()
    numbered = np.flatnonzero(is_value)
    if not len(numbered):
        return _category(texts)
    tried = texts.distinct[numbered[:: -(-len(numbered) // TRIED)]]
    order, ambiguous = dates.order_of(tried)
    formats = {"boolean": "", "number": numbers.decimal_mark(tried) or decimal, "date": order, "duration": ""}
    for kind, parse in _PARSERS.items():
        # Most columns of text show after a few that they are not of a kind.
        if pandas.isna(parse(tried, formats[kind])).mean() > 0.5:
            continue
        values = parse(texts.distinct, formats[kind])
        is_junk = pandas.isna(values)
        n_junk = texts.counts[is_value & is_junk].sum()
        if n_junk > (0 if kind == "boolean" else (1 - CLEAR_MAJORITY) * texts.counts[is_value].sum()):
            continue
        if n_junk and kind == "number" and len(np.unique(values[~is_junk])) <= FEW_NUMBERS:
            continue
        return _parsed(texts, kind, values, formats[kind], is_value, ambiguous)
    return _category(texts)


def _parsed(texts, kind, values, text_format, is_value, ambiguous):
    pandas = import_pandas()
    is_junk, notes = pandas.isna(values), []
    rows = texts.spread(values)
    if kind == "boolean":
        rows = _booleans(rows.to_numpy(), rows)
    elif kind == "number":
        if text_format == ",":
            notes.append("decimal comma")
        if numbers.groups_thousands(texts.distinct[~is_junk], text_format):
            notes.append(f"{'.' if text_format == ',' else ','!r} groups thousands")
    elif kind == "duration":
        notes.append("in days")
    else:
        which = f"{text_format}, which day and month do not show" if ambiguous else text_format
        notes.append(f"{_span(rows)}, {which}")
    if n_junk := texts.counts[is_junk].sum():
        examples = texts.distinct[is_junk].iloc[np.argsort(-texts.counts[is_junk], kind="stable")]
        notes.append(f"{n_junk:,} taken for missing: {listed(map(str, examples), 3)}")
    junk = tuple(map(str, texts.distinct[is_value & is_junk][:3]))
    return _Reading(kind, rows, text_format, tuple(notes), junk)


# ------------------------------------------------------------------------------------------------------------
# Nothing to learn from


def _left_out(kind, values, texts):
    """(What a column is that has nothing to learn from, why), or (None, "")."""
    present = values.dropna()
    if present.empty:
        return "empty", "no values"
    if len(values) < FEWEST_ROWS:
        return None, ""
    if kind == "category":
        return _left_out_category(len(values), len(present), texts)
    if present.min() == present.max():
        return "constant", f"all are {shown(present.iloc[0])}" + (
            ", or missing" if len(present) < len(values) else ""
        )
    if kind == "number" and len(present) == len(values) and _is_named_identifier(values):
        return "identifier", f"{len(values):,} different whole numbers, and its name"
    return None, ""


def _left_out_category(n_rows, n_present, texts):
    n_distinct = len(texts.distinct)
    if n_distinct == 1 and n_present == n_rows:
        return "constant", f"all are {shown(texts.distinct[0])}"
    if n_present >= FEWEST_ROWS and n_distinct >= TEXT_DISTINCT * n_present:
        n_words = np.average(texts.distinct.str.count(r"\S+"), weights=texts.counts)
        if n_words >= TEXT_WORDS:
            return "text", f"{n_distinct:,} different texts of {n_words:.0f} words"
        if n_distinct == n_present:
            return "identifier", f"{n_distinct:,} different texts, one a row"
    return None, ""


def _is_named_identifier(values):
    """Whether whole numbers, no two alike, have an identifier's name, or ascend under the name of a row's
    number.
    """
    name = str(values.name).strip()
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    named = not words.isdisjoint(_ID_WORDS)
    numbered = name.lower() in _ROW_NUMBERS and (
        values.is_monotonic_increasing or values.is_monotonic_decreasing
    )
    return (named or numbered) and bool((values % 1 == 0).all()) and values.is_unique
