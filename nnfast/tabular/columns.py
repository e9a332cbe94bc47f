"""What the columns of a table are taken for, and their values as numbers and as codes of levels."""

import warnings
from collections import Counter
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import repeat
from numbers import Integral

import numpy as np

from nnfast.exceptions import UnexpectedValuesWarning
from nnfast.suggestions import did_you_mean
from nnfast.tabular.dates import parts_of, useful_parts
from nnfast.tabular.values import as_levels, columns_of, values_of

__all__ = ["Column"]

# Whole numbers of at most so many different values may be levels as well as quantities: as numbers, each
# value is an edge of the bins, so that the networks can tell all of them apart, and their order is not lost.
FEW_VALUES = 17
# Rows that are looked at to describe a column of numbers.
MOST_ROWS = 100_000
MISSING, UNSEEN = -1, -2
# From so many levels of one row on, a column's count as one where the reader merges them.
MANY_RARE = 10
RARE = "rare"
_SHOWN = 5


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
class TypedTable:
    """A table as the encodings take it.

    Attributes
    ----------
    numbers : ndarray of float64, shape (n_samples, n_numbers), Fortran-ordered
        NaN where a value is missing.
    codes : ndarray of int32, shape (n_samples, n_categories), Fortran-ordered
        Numbers of levels; -1 where the value is missing, -2 where `fit` saw no such level.
    """

    numbers: np.ndarray
    codes: np.ndarray

    def __len__(self):
        return len(self.numbers)

    def take(self, rows):
        """Some of its rows."""
        return TypedTable(_taken(self.numbers, rows), _taken(self.codes, rows))

    @staticmethod
    def stacked(tables):
        """The rows of several tables, one after the other."""
        return TypedTable(
            np.asfortranarray(np.concatenate([each.numbers for each in tables])),
            np.asfortranarray(np.concatenate([each.codes for each in tables])),
        )


def _taken(matrix, rows):
    out = np.empty((len(rows), matrix.shape[1]), dtype=matrix.dtype, order="F")
    for j in range(matrix.shape[1]):
        np.take(matrix[:, j], rows, out=out[:, j], mode="clip")
    return out


def _stacked(arrays, n_rows, dtype):
    """Arrays as the columns of one; the list is emptied meanwhile, or all would be in memory twice."""
    out = np.empty((n_rows, len(arrays)), dtype=dtype, order="F")
    for j in reversed(range(len(arrays))):
        out[:, j] = arrays.pop()
    return out


class ColumnReader:
    """Decides what the columns of a table are taken for, and reads tables by that.

    Parameters
    ----------
    categorical_features : "auto" or array-like of str, int or bool
        Columns that are taken for categories whatever they hold: names, numbers, or a mask.
    seed : int
        Of the rows that are looked at where there are more than `MOST_ROWS`.
    merges_rare : bool
        Whether levels of one row count as one level of a column, the last, where there are at least
        `MANY_RARE`: levels that `fit` has not seen are of it, too. Their text is not kept.

    Attributes
    ----------
    columns : list of Column
        What each column was taken for.
    named : bool
        Whether columns have names.
    number_names, category_names : list of str
        The columns of `TypedTable.numbers` and `TypedTable.codes`.
    number_columns, category_columns : list of int
        Which of `columns` each of them is made of.
    levels : list of list of str
        The levels of each column of categories, the most frequent first.
    """

    def __init__(self, categorical_features="auto", seed=0, merges_rare=False):
        self.categorical_features, self.seed, self.merges_rare = categorical_features, seed, merges_rare

    def fit(self, X, targets=None):
        """Decide, and return X as a `TypedTable`.

        Parameters
        ----------
        X : DataFrame or array-like of two dimensions

        targets : ndarray of shape (n_samples, n_targets), default=None
            Numbers that tell which parts of a date are used. None: all that vary.
        """
        given, self.named = columns_of(X)
        names = [name for name, _ in given]
        forced = self._categories(names)
        self.columns, self._takers = [], []
        rows, numbers, codes = None, [], []
        for j, (name, column) in enumerate(given):
            values = values_of(column)
            rows = self._sample(len(values)) if rows is None else rows
            if j in forced and values.kind != "empty":
                values = as_levels(values)
            if values.kind == "category":
                decision, taker = _decide_category(name, values, MANY_RARE if self.merges_rare else None)
            else:
                decision, taker = _decide(name, values, rows, targets)
            self.columns.append(decision)
            self._takers.append(taker)
            new = taker.take(as_levels(values) if taker.is_category else values)
            (codes if taker.is_category else numbers).extend(new)
        self.number_names, self.number_columns = self._outputs(category=False)
        self.category_names, self.category_columns = self._outputs(category=True)
        self.levels = [taker.levels for taker in self._takers if taker.is_category]
        self._had_missing = [decision.n_missing > 0 for decision in self.columns]
        self._warned = {}
        return TypedTable(_stacked(numbers, len(values), np.float64), _stacked(codes, len(values), np.int32))

    def read(self, X, whose="This transformer", called="X"):
        """Another table as a `TypedTable`; `whose` columns they are, and what the table is called, for
        errors.

        Levels that `fit` has not seen count as none of its levels, or as rare. Columns may come in another
        order where they have names, and more of them are ignored.

        Raises
        ------
        ValueError
            If a column is missing, or holds values of another kind.

        Warns
        -----
        UnexpectedValuesWarning
            Once a reader and column: of unseen levels, where rare ones are merged of more such levels than
            expected, and of missing values where `fit` saw none. Of columns too many, once each.
        """
        given = self._matched(*columns_of(X), whose, called)
        numbers, codes = [], []
        for j, (decision, taker, column) in enumerate(zip(self.columns, self._takers, given, strict=True)):
            if not decision.used:
                continue
            values = values_of(column)
            new = taker.take(_as_kind(values, decision, called))
            self._warn_of(j, decision, taker, new[0])
            (codes if taker.is_category else numbers).extend(new)
        n_rows = len(given[0])
        return TypedTable(_stacked(numbers, n_rows, np.float64), _stacked(codes, n_rows, np.int32))

    def __getstate__(self):
        return vars(self) | {"_warned": {}}

    def renamed(self, names):
        """The same reader, whose columns are called `names` in the names of numbers and categories."""
        other = copy(self)
        other.columns = [replace(each, name=name) for each, name in zip(self.columns, names, strict=True)]
        other.number_names, _ = other._outputs(category=False)
        other.category_names, _ = other._outputs(category=True)
        return other

    # --------------------------------------------------------------------------------------------------------

    def _sample(self, n_rows):
        """The rows that are looked at, or all of them as a slice."""
        if n_rows <= MOST_ROWS:
            return slice(None)
        return np.sort(np.random.default_rng(self.seed).choice(n_rows, MOST_ROWS, replace=False))

    def _categories(self, names):
        """Numbers of the columns that are taken for categories in any case."""
        wanted = self.categorical_features
        if isinstance(wanted, str):
            if wanted == "auto":
                return frozenset()
            wanted = [wanted]
        wanted = [] if wanted is None else list(wanted)
        if wanted and all(isinstance(each, bool | np.bool_) for each in wanted):
            if len(wanted) != len(names):
                raise ValueError(
                    f"categorical_features must have a boolean for each of the {len(names)} columns of X, "
                    f"got {len(wanted)}."
                )
            return frozenset(np.flatnonzero(wanted).tolist())
        found = set()
        for each in wanted:
            if isinstance(each, str) and each in names:
                found.add(names.index(each))
            elif (
                isinstance(each, Integral) and not isinstance(each, bool) and -len(names) <= each < len(names)
            ):
                found.add(int(each) % len(names))
            else:
                hint = did_you_mean(each, names) if isinstance(each, str) and self.named else ""
                accepted = "names of columns of X, their numbers, or a mask"
                raise ValueError(
                    f"categorical_features must be 'auto' or a list of {accepted}, got {each!r}.{hint}"
                )
        return frozenset(found)

    def _outputs(self, *, category):
        names, columns = [], []
        for j, (decision, taker) in enumerate(zip(self.columns, self._takers, strict=True)):
            if decision.used and taker.is_category == category:
                new = [f"{decision.name}{part}" for part in taker.parts]
                names, columns = names + new, columns + [j] * len(new)
        return names, columns

    def _matched(self, given, named, whose, called):
        """The columns that `fit` was given, in its order."""
        if self.named != named and self._is_first("names"):
            have, had = ("has", "without") if named else ("does not have valid", "with")
            _warn(
                f"{called} {have} feature names, but {whose} was fitted {had} feature names: columns count in"
                " their order."
            )
        if not (self.named and named):
            if len(given) != len(self.columns):
                raise ValueError(
                    f"{called} has {len(given)} features, but {whose} is expecting {len(self.columns)} "
                    "features as input. Without names of columns there must be as many as in fit, in the "
                    "same order."
                )
            return [column for _, column in given]
        by_name = dict(given)
        if missing := [each.name for each in self.columns if each.used and each.name not in by_name]:
            hint = did_you_mean(missing[0], list(by_name))
            raise ValueError(f"{called} lacks columns that it had in fit: {_listed(missing)}.{hint}")
        known = {each.name for each in self.columns}
        if more := [name for name in by_name if name not in known and self._is_first((name, "column"))]:
            _warn(f"{called} has columns that it did not have in fit, which are ignored: {_listed(more)}.")
        first = given[0][1]
        # those that are not used may be missing
        return [by_name.get(each.name, first) for each in self.columns]

    def _warn_of(self, j, decision, taker, values):
        unseen = taker.surprising(values) if taker.is_category else 0
        missing = np.count_nonzero(values == MISSING if taker.is_category else np.isnan(values))
        if unseen and self._is_first((j, "unseen")):
            if taker.share_rare:
                what = "that fit saw in one row or not at all", "as one level"
            else:
                what = "that fit did not see", "as none of its levels"
            _warn(f"Column {decision.name!r} has levels {what[0]}, in {_rows(unseen)}; they count {what[1]}.")
        if missing and not self._had_missing[j] and self._is_first((j, "missing")):
            _warn(f"Column {decision.name!r} has missing values in {_rows(missing)}, and had none in fit.")

    def _is_first(self, key):
        """Whether this is the first warning of a kind; of several threads that ask at once, one is
        told so.
        """
        asked = object()
        return self._warned.setdefault(key, asked) is asked


def _warn(message):
    # From the line that calls an estimator's method, which calls `_outputs`, `read` and one of its helpers.
    warnings.warn(message, UnexpectedValuesWarning, stacklevel=6)


def _rows(n):
    return "1 row" if n == 1 else f"{n:,} rows"


def _listed(names):
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


# ------------------------------------------------------------------------------------------------------------
# Columns one by one


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


def _decide(name, values, rows, targets):
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


def _decide_category(name, values, many_rare):
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


def _as_kind(values, decision, called):
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


def __dir__():
    return __all__
