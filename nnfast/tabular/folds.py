"""Which rows the members of an ensemble train on, and which validate them."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from nnfast.suggestions import did_you_mean
from nnfast.tabular.values import as_levels, columns_of, values_of

# Parts of a table in order of time: encodings by the targets leave out a row's own.
PERIODS = 40


@dataclass(frozen=True)
class Fold:
    """The rows that a member trains on and those that validate it: arrays of row numbers, ascending.

    `groups` are numbers of groups of the rows to train on, or None: encodings by the targets treat a group as
    a row.
    """

    train: np.ndarray
    validation: np.ndarray
    groups: np.ndarray | None = None


def random_folds(n_rows, n_folds, strata, seed):
    """Folds drawn at random, with the same share of each stratum but for a row."""
    n_folds = min(n_folds, n_rows)
    rows = np.zeros(n_rows)
    if strata is None or np.bincount(strata).max() < n_folds:
        return _folds(KFold(n_folds, shuffle=True, random_state=seed).split(rows))
    # Rare strata are dealt out in turn: StratifiedKFold warns of those with fewer rows than folds.
    order = np.random.default_rng(seed).permutation(n_rows)
    order = order[np.argsort(strata[order], kind="stable")]
    fold_of = np.empty(n_rows, dtype=np.intp)
    fold_of[order] = np.arange(n_rows) % n_folds
    return [Fold(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)) for k in range(n_folds)]


def group_folds(groups, n_folds, seed):
    """Folds of which none shares a group with another."""
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise ValueError(f"groups must have at least two different values, got {n_groups}.")
    splits = GroupKFold(min(n_folds, n_groups), shuffle=True, random_state=seed).split(
        np.zeros(len(groups)), groups=groups
    )
    return [Fold(each.train, each.validation, groups[each.train]) for each in _folds(splits)]


def time_folds(when, n_folds):
    """Folds that validate on later rows than they train on: the last half of the rows, a part a fold.

    Rows of one time are in one part.
    """
    order = np.argsort(when, kind="stable")
    n_rows = len(order)
    periods = np.empty(n_rows, dtype=np.intp)
    periods[order] = np.arange(n_rows) * PERIODS // n_rows
    edges = np.linspace(n_rows // 2, n_rows, n_folds + 1).astype(np.intp)
    # of the rows of one time
    starts = np.searchsorted(when[order], when[order][np.minimum(edges, n_rows - 1)])
    starts[-1] = n_rows
    found = []
    for first, last in zip(starts[:-1], starts[1:], strict=True):
        if 0 < first < last:
            train = np.sort(order[:first])
            found.append(Fold(train, np.sort(order[first:last]), periods[train]))
    if not found:
        raise ValueError("time_column must have at least two different times, the later ones to validate on.")
    return found


def _folds(splits):
    return [Fold(np.sort(train), np.sort(validation)) for train, validation in splits]


def of_weighted_rows(folds_of, weights):
    """The same folds without the rows of weight 0, if some are left on both sides."""
    if weights is None or weights.all():
        return folds_of

    def weighted(number, n_folds):
        folds = [_weighted(each, weights) for each in folds_of(number, n_folds)]
        return [each for each in folds if len(each.train) and len(each.validation)]

    return weighted


def _weighted(fold, weights):
    """The rows of a fold whose weights are not 0."""
    train, validation = weights[fold.train] > 0, weights[fold.validation] > 0
    groups = None if fold.groups is None else fold.groups[train]
    return Fold(fold.train[train], fold.validation[validation], groups)


def group_codes(groups, n_rows):
    """Numbers of the groups of the rows."""
    groups = np.asarray(groups)
    if groups.shape != (n_rows,):
        raise ValueError(f"groups must have a label for each of the {n_rows} rows, got shape {groups.shape}.")
    labels = np.array(as_levels(values_of(groups)).values, dtype=object)
    missing = np.equal(labels, None)
    if missing.any():
        raise ValueError(
            f"groups must have a label for each row, and row {np.flatnonzero(missing)[0]} has none."
        )
    return np.unique(labels.astype(str), return_inverse=True)[1]


def times(X, name):
    """The numbers that order rows by time."""
    columns, named = columns_of(X)
    by_name = dict(enumerate(column for _, column in columns)) | dict(columns)
    if isinstance(name, Integral) and -len(columns) <= name < 0:
        name += len(columns)
    if name not in by_name:
        hint = did_you_mean(name, [each for each, _ in columns]) if named and isinstance(name, str) else ""
        raise ValueError(f"time_column must be the name or the number of a column of X, got {name!r}.{hint}")
    values = values_of(by_name[name])
    if values.kind == "category":
        raise ValueError(f"time_column must hold dates or numbers, got text in column {name!r}.")
    when = values.values
    if np.isnat(when).any() if values.kind == "date" else np.isnan(when).any():
        raise ValueError(f"time_column must have a value in each row, and column {name!r} lacks some.")
    return when
