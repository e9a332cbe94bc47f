"""Validation scores: how well predictions fit held-out rows, for early stopping.

The same numbers as scikit-learn's `accuracy_score` and `r2_score`, which validate their inputs for longer than a
small network trains. Each function here takes what stays the same over a fit and returns the function of the
predictions.
"""

import numpy as np


def accuracy(y, sample_weight=None):
    """Weighted share of rows whose largest output is their class.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Class numbers.
    sample_weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    score : function of an ndarray of shape (n_samples, n_classes)
    """
    return lambda predicted: _mean(predicted.argmax(axis=1) == y, sample_weight)


def subset_accuracy(y, sample_weight=None):
    """Weighted share of rows all of whose outputs are on the side of 0.5 that their labels are on.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_outputs)
        Labels, 0 or 1; one output is a binary problem.
    sample_weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    score : function of an ndarray of shape (n_samples, n_outputs)
    """
    labels = y > 0.5
    return lambda predicted: _mean(((predicted > 0.5) == labels).all(axis=1), sample_weight)


def single_class_accuracy(y, sample_weight=None):
    """1: with one class there is one prediction. The arguments are those of `subset_accuracy`."""
    return lambda predicted: 1.0


def r2(y, sample_weight=None):
    """Coefficient of determination, 1 - sum w (y - p)^2 / sum w (y - mean(y))^2, averaged over the outputs.

    A constant output scores 1 where it is predicted exactly, else 0; predictions that are not finite score NaN.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    score : function of an ndarray of shape (n_samples, n_outputs)
    """
    y = y.astype(np.float64, copy=False)
    weight = 1.0 if sample_weight is None else sample_weight[:, np.newaxis]
    total = (weight * (y - np.average(y, axis=0, weights=sample_weight)) ** 2).sum(axis=0)
    varies = total != 0
    divisor = np.where(varies, total, 1.0)

    def score(predicted):
        residual = (weight * (y - predicted) ** 2).sum(axis=0)
        by_output = np.where(varies, 1 - residual / divisor, residual == 0)
        mean = float(by_output.mean())
        # The sums are finite unless a prediction is not, or its square overflows: only then look which it was.
        return mean if np.isfinite(mean) or np.isfinite(predicted).all() else np.nan

    return score


def _mean(hits, sample_weight):
    if sample_weight is None:
        return int(np.count_nonzero(hits)) / len(hits)
    return float(np.average(hits, weights=sample_weight))
