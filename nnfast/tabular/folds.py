"""Which rows the members of an ensemble train on, and which validate them."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupKFold, KFold


# Parts of a table in order of time: encodings by the targets leave out a row's own.
PERIODS = 40


@dataclass(frozen=True)
class Fold:
    """The rows that a member trains on and those that validate it: arrays of row numbers, ascending.

    `groups` are numbers of groups of the rows to train on, or None: encodings by the targets treat a group as a row.
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
    splits = GroupKFold(min(n_folds, n_groups), shuffle=True, random_state=seed).split(np.zeros(len(groups)), groups=groups)
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
    starts = np.searchsorted(when[order], when[order][np.minimum(edges, n_rows - 1)])  # of the rows of one time
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
