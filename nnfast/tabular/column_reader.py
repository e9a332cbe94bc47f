"""Tables of any library read into numbers and codes of levels, by what their columns are taken for."""

import warnings
from copy import copy
from dataclasses import replace
from numbers import Integral

import numpy as np

from nnfast.exceptions import UnexpectedValuesWarning
from nnfast.suggestions import did_you_mean
from nnfast.tabular.columns import MANY_RARE, MISSING, as_kind, decide, decide_category
from nnfast.tabular.typed_table import TypedTable, side_by_side
from nnfast.tabular.values import as_levels, columns_of, values_of

# Rows that are looked at to describe a column of numbers.
MOST_ROWS = 100_000
_SHOWN = 5


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
                decision, taker = decide_category(name, values, MANY_RARE if self.merges_rare else None)
            else:
                decision, taker = decide(name, values, rows, targets)
            self.columns.append(decision)
            self._takers.append(taker)
            new = taker.take(as_levels(values) if taker.is_category else values)
            (codes if taker.is_category else numbers).extend(new)
        self.number_names, self.number_columns = self._outputs(category=False)
        self.category_names, self.category_columns = self._outputs(category=True)
        self.levels = [taker.levels for taker in self._takers if taker.is_category]
        self._had_missing = [decision.n_missing > 0 for decision in self.columns]
        self._warned = {}
        return TypedTable(
            side_by_side(numbers, len(values), np.float64), side_by_side(codes, len(values), np.int32)
        )

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
            new = taker.take(as_kind(values, decision, called))
            self._warn_of(j, decision, taker, new[0])
            (codes if taker.is_category else numbers).extend(new)
        n_rows = len(given[0])
        return TypedTable(side_by_side(numbers, n_rows, np.float64), side_by_side(codes, n_rows, np.int32))

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
