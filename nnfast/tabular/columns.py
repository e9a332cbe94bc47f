"""What each column of a table is taken for, and what takes its values."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import repeat

import numpy as np

from nnfast.tabular.dates import parts_of, useful_parts
from nnfast.tabular.values import as_levels

__all__ = ["Column"]

# Whole numbers of at most so many different values may be levels as well as quantities: as numbers, each
# value is an edge of the bins, so that the networks can tell all of them apart, and their order is not lost.
FEW_VALUES = 17
MISSING, UNSEEN = -1, -2
# From so many levels of one row on, a column's count as one where the reader merges them.
MANY_RARE = 10
RARE = "rare"


@dataclass(frozen=True)
class Column:
    """What a column is taken for, and what it becomes.

    Attributes
    ----------
    name : str or int
        Its name, or its number where columns have no names.
    taken_for : str
        "number", "boolean", "category", "date" or "duration" (in days); or what is not used: "constant", of
        one value or of text that is different in each row, or "empty".
    dtype : str
        In the table that `fit` was given.
    n_distinct : int
        Different values; of more than 100,000 rows, among so many of them.
    n_missing : int
        Rows without a value, those with infinite numbers among them.
    note : str
        What is not plain about it.
    became : dict of str to int
        Inputs of the networks that are made of it, by encoding.
    """

    name: object
    taken_for: str
    dtype: str
    n_distinct: int
    n_missing: int
    note: str = ""
    became: dict = field(default_factory=dict)

    @property
    def used(self):
        """Whether the networks see it."""
        return self.taken_for not in ("constant", "empty")


@dataclass(frozen=True)
class _NumberTaker:
    is_category = False
    parts = ("",)

    def take(self, values):
        return [values.values]


@dataclass(frozen=True)
class _Nothing:
    """Of a column that is not used."""

    is_category = False
    parts = ()

    def take(self, values):
        return []


@dataclass(frozen=True)
class _DateTaker:
    origin: np.datetime64
    names: tuple[str, ...]
    is_category = False

    @property
    def parts(self):
        return ("_days", *(f"_{name}" for name in self.names))

    def take(self, values):
        return parts_of(values.values, self.origin, self.names)


class _LevelTaker:
    """Codes of levels; with `share_rare`, of the rows of `fit`, others have the code after those of
    `known`.
    """

    is_category = True
    parts = ("",)

    def __init__(self, known, share_rare):
        self.known, self.share_rare = known, share_rare
        self._codes = {level: code for code, level in enumerate(known)} | {None: MISSING}

    @property
    def levels(self):
        return [*self.known, RARE] if self.share_rare else self.known

    def __getstate__(self):
        return {"known": self.known, "share_rare": self.share_rare}

    def __setstate__(self, state):
        self.__init__(**state)

    def take(self, values):
        levels, other = values.values, len(self.known) if self.share_rare else UNSEEN
        return [np.fromiter(map(self._codes.get, levels, repeat(other)), dtype=np.int32, count=len(levels))]

    def surprising(self, codes):
        """How many codes are of levels that `fit` has not seen, or of rare ones if these are more than
        expected.
        """
        if not self.share_rare:
            return np.count_nonzero(codes == UNSEEN)
        n_rare = np.count_nonzero(codes == len(self.known))
        return n_rare if n_rare > MANY_RARE + 3 * self.share_rare * len(codes) else 0


def decide(name, values, rows, targets):
    """(`Column`, what takes its values) of a column of numbers or dates."""
    is_missing = _missing_in(values)
    n_missing = int(np.count_nonzero(is_missing))
    n_rows = len(is_missing)
    if n_missing == n_rows:
        return Column(name, "empty", values.dtype, 0, n_missing, "no values"), _Nothing()
    looked_at = values.values[rows][~is_missing[rows]]
    distinct = np.unique(looked_at)
    column = Column(name, values.kind, values.dtype, len(distinct), n_missing)
    there = values.values[~is_missing] if n_missing else values.values
    if there.min() == there.max():
        if not n_missing:
            return replace(column, taken_for="constant", note=f"all are {_shown(there[0])}"), _Nothing()
        column = replace(column, note=f"all are {_shown(there[0])}, or missing")
    if values.kind == "date":
        parts = tuple(useful_parts(looked_at, None if targets is None else targets[rows][~is_missing[rows]]))
        note = f"{_shown(there.min())} to {_shown(there.max())}"
        return replace(column, note=column.note or note), _DateTaker(there.min(), parts)
    whole = (
        values.kind == "number" and 2 < len(distinct) <= FEW_VALUES and (distinct == np.floor(distinct)).all()
    )
    if whole and not column.note:
        column = replace(column, note=f"{len(distinct)} whole numbers")
    return column, _NumberTaker()


def decide_category(name, values, many_rare):
    """The same of a column of categories. From `many_rare` levels of one row on, these are one;
    None: never.
    """
    counts = Counter(values.values)
    n_missing = counts.pop(None, 0)
    if not counts:
        return Column(name, "empty", values.dtype, 0, n_missing, "no values"), _Nothing()
    n_rare = sum(count == 1 for count in counts.values())
    if many_rare is None or n_rare < many_rare:
        n_rare = 0
    known = sorted(counts, key=lambda level: (-counts[level], level))[: len(counts) - n_rare]
    column = Column(name, "category", values.dtype, len(counts), n_missing, _frequent(known, n_rare))
    if len(known) + (n_rare > 0) == 1 and not n_missing:
        note = "all differ" if n_rare else f"all are {_cut(known[0])!r}"
        return replace(column, taken_for="constant", note=note), _Nothing()
    return column, _LevelTaker(known, n_rare / len(values))


def _frequent(levels, n_rare):
    """The most frequent levels, and how many rare ones there are beside them."""
    if not levels:
        return "each in one row"
    shown = ", ".join(_cut(level) for level in levels[:3]) + (", ..." if len(levels) > 3 else "")
    return f"{shown}; {n_rare:,} in one row each, as one" if n_rare else shown


def _cut(text, width=24):
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."


def _shown(value):
    return str(value.astype("M8[D]")) if isinstance(value, np.datetime64) else f"{value:g}"


def as_kind(values, decision, called):
    """Values as the column's decision needs them."""
    wanted, got = decision.taken_for, values.kind
    if got == wanted or {got, wanted} == {"number", "boolean"}:
        return values
    if got != "category" and _missing_in(values).all():
        nothing = {
            "category": [None] * len(values),
            "date": np.full(len(values), np.datetime64("NaT"), dtype="M8[us]"),
        }
        return replace(values, kind=wanted, values=nothing.get(wanted, np.full(len(values), np.nan)))
    if wanted == "category":
        return as_levels(values)
    plural = f"text such as {_cut(_text_in(values.values))!r}" if got == "category" else f"{got}s"
    raise ValueError(
        f"Column {decision.name!r} of {called} holds {plural} (dtype {values.dtype}), where fit saw a "
        f"{wanted} (dtype {decision.dtype}) in each row."
    )


def _missing_in(values):
    """Which values of dates or numbers are missing."""
    return np.isnat(values.values) if values.kind == "date" else np.isnan(values.values)


def _text_in(levels):
    """The first of some levels that is no number, or the first."""
    there = [level for level in levels if level is not None]
    return next((level for level in there if not _is_number(level)), there[0])


def _is_number(level):
    try:
        float(level)
    except ValueError:
        return False
    return True


def __getattr__(name):
    if name == "ColumnReader":  # which pickles of version 0.1 look for here
        from nnfast.tabular.column_reader import ColumnReader

        return ColumnReader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
