"""Validation scores: how well predictions fit held-out rows.

`accuracy` to `r2` give the same numbers as scikit-learn's `accuracy_score` and `r2_score`, which validate their inputs
for longer than a small network trains. Each takes what stays the same over a fit and returns the function of the
predictions. `scikit_learns` makes the same of any of scikit-learn's scorers.
"""

import copy
import inspect
from numbers import Real

import numpy as np
from sklearn.metrics import check_scoring


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



def pinball_d2(levels, y, sample_weight=None):
    """Share of the pinball loss explained, 1 - loss(p) / loss(quantile of y), averaged over the outputs.

    A constant output scores 1 where it is predicted exactly, else 0; predictions that are not finite score NaN.

    Parameters
    ----------
    levels : tuple of float
        One an output.
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    score : function of an ndarray of shape (n_samples, n_outputs)

    References
    ----------
    Koenker and Machado, Goodness of Fit and Related Inference Processes for Quantile Regression, 1999.
    """
    y, levels = y.astype(np.float64, copy=False), np.array(levels)
    weight = np.ones(len(y)) if sample_weight is None else sample_weight

    def losses(predicted):
        error = y - predicted
        return weight @ np.maximum(levels * error, (levels - 1) * error)

    def quantile(column, level):
        order = np.argsort(column)
        share = np.cumsum(weight[order])
        # Between two values of y any constant is as good, so it does not matter how a quantile interpolates.
        return column[order[np.searchsorted(share, level * share[-1])]]

    total = losses([quantile(column, level) for column, level in zip(y.T, levels, strict=True)])
    varies = total != 0
    divisor = np.where(varies, total, 1.0)

    def score(predicted):
        residual = losses(predicted)
        mean = float(np.where(varies, 1 - residual / divisor, residual == 0).mean())
        return mean if np.isfinite(mean) or np.isfinite(predicted).all() else np.nan

    return score


def _mean(hits, sample_weight):
    if sample_weight is None:
        return int(np.count_nonzero(hits)) / len(hits)
    return float(np.average(hits, weights=sample_weight))


def scikit_learns(scoring, estimator, X, y, sample_weight=None):
    """The score that a scikit-learn scorer gives an estimator.

    Parameters
    ----------
    scoring : str or callable
        A name in `sklearn.metrics.get_scorer_names()`, or a function (estimator, X, y) or
        (estimator, X, y, sample_weight) of a number, the higher the better.
    estimator : estimator
        Fitted by the time that the score is asked for, over and over.
    X, y : table and targets
    sample_weight : ndarray of shape (n_samples,), default=None
        Left out where the scorer takes none.

    Returns
    -------
    score : function without arguments
    """
    scorer = check_scoring(estimator, scoring=scoring)
    weights = {"sample_weight": sample_weight} if sample_weight is not None and _takes_weights(scorer) else {}

    def score():
        # X has lost its column names in validation: without this, scikit-learn warns of that in every epoch.
        nameless = copy.copy(estimator)
        vars(nameless).pop("feature_names_in_", None)
        value = scorer(nameless, X, y, **weights)
        value = value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value
        if not isinstance(value, Real):
            raise ValueError(f"scoring={scoring!r} must give a number, got {value!r} of type {type(value).__name__}.")
        return float(value)

    return score


def _takes_weights(scorer):
    function = getattr(scorer, "_score_func", scorer)  # scikit-learn's scorers hand any keyword on to this
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # of some compiled functions
        return False
