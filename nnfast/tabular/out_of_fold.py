"""Means of targets by groups of rows, with and without the rows of a fold."""

import numpy as np


def fold_numbers(n_rows, n_folds, seed, groups=None):
    """The fold of each row, drawn at random, of folds that differ by a row at most; rows of a group have one
    fold.
    """
    if groups is None:
        return np.random.default_rng(seed).permutation(np.arange(n_rows) % n_folds)
    distinct, numbers = np.unique(groups, return_inverse=True)
    return fold_numbers(len(distinct), n_folds, seed)[numbers]


class FoldSums:
    """Sums of targets by group and fold.

    Parameters
    ----------
    groups : ndarray of int, shape (n_rows,)
        The group of each row, from 0.
    n_groups : int
    targets : ndarray of shape (n_rows, n_targets)
    weights : ndarray of shape (n_rows,), default=None
    folds : ndarray of int, shape (n_rows,), default=None
        The fold of each row; None: there is one.
    """

    def __init__(self, groups, n_groups, targets, weights=None, folds=None):
        n_folds = 1 if folds is None else int(folds.max()) + 1
        self._groups, self._cells = groups, groups if folds is None else groups * n_folds + folds
        shape = n_groups, n_folds
        self._counts = np.bincount(self._cells, weights, minlength=n_groups * n_folds).reshape(shape)
        weighted = targets if weights is None else targets * weights[:, np.newaxis]
        sums = [
            np.bincount(self._cells, each, minlength=n_groups * n_folds).reshape(shape) for each in weighted.T
        ]
        self._sums = np.stack(sums, axis=-1)

    def means(self, smoothing):
        """(sum of targets, less their mean over all rows) / (rows + smoothing): shape (n_groups,
        n_targets).
        """
        sums, counts = self._sums.sum(axis=1), self._counts.sum(axis=1)[:, np.newaxis]
        return _ratio(sums - counts * _ratio(sums.sum(axis=0), counts.sum(axis=0), 0), counts, smoothing)

    def means_without_own_fold(self, smoothing):
        """The same for each row, of the rows of its group in other folds, less the mean target in other
        folds.

        So nothing of it tells of the targets of the row's fold, by which the mean of all targets is known to
        be 0.
        """
        sums = self._sums.sum(axis=1, keepdims=True) - self._sums
        counts = (self._counts.sum(axis=1, keepdims=True) - self._counts)[..., np.newaxis]
        sums -= counts * _ratio(sums.sum(axis=0), counts.sum(axis=0), 0)
        means = _ratio(sums, counts, smoothing)
        return means.reshape(-1, means.shape[-1])[self._cells]


def _ratio(sums, counts, smoothing):
    divisor = counts + smoothing
    return np.divide(sums, divisor, out=np.zeros_like(sums), where=divisor > 1e-9)
