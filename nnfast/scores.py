"""Validation scores: how well predictions fit held-out rows.

They give the same numbers as scikit-learn's metrics, which validate their inputs for longer than a small
network trains, and which get their predictions from an estimator. `accuracy` to `pinball_d2` take the engine
and what stays the same over a fit, and return the function of the network's outputs; `compiled` finds the one
for a scorer's name. `scikit_learns` makes a score of any of scikit-learn's scorers.
"""

import copy
import inspect
from functools import partial
from numbers import Real

import numpy as np
from sklearn.base import is_regressor
from sklearn.metrics import check_scoring


def accuracy(engine, y, sample_weight=None):
    """Weighted share of rows whose largest output is their class.

    Parameters
    ----------
    engine : module
        Of `nnfast.engines`.
    y : ndarray of intp of shape (n_samples,)
        Class numbers.
    sample_weight : ndarray of float64 of shape (n_samples,), default=None

    Returns
    -------
    score : function of an ndarray of shape (n_samples, n_classes)
    """
    return partial(engine.accuracy, y=y, sample_weight=sample_weight)


def subset_accuracy(engine, y, sample_weight=None):
    """Weighted share of rows all of whose outputs are on the side of 0.5 that their labels are on.

    Parameters
    ----------
    engine : module
    y : ndarray of shape (n_samples, n_outputs)
        Labels, 0 or 1; one output is a binary problem.
    sample_weight : ndarray of float64 of shape (n_samples,), default=None

    Returns
    -------
    score : function of an ndarray of shape (n_samples, n_outputs)
    """
    return partial(engine.subset_accuracy, labels=y > 0.5, sample_weight=sample_weight)


def single_class_accuracy(engine, y, sample_weight=None):
    """1: with one class there is one prediction. The arguments are those of `subset_accuracy`."""
    return lambda outputs: 1.0


def r2(engine, y, sample_weight=None):
    """Coefficient of determination, 1 - sum w (y - p)^2 / sum w (y - mean(y))^2, averaged over the outputs.

    A constant output scores 1 where it is predicted exactly, else 0; predictions that are not finite score
    NaN.

    Parameters
    ----------
    engine : module
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of float64 of shape (n_samples,), default=None

    Returns
    -------
    score : function of an ndarray of shape (n_samples, n_outputs)
    """
    y = y.astype(np.float64, copy=False)
    total = np.average((y - np.average(y, axis=0, weights=sample_weight)) ** 2, axis=0, weights=sample_weight)
    varies = total != 0
    divisor = np.where(varies, total, 1.0)

    def score(outputs):
        residual = engine.squared_errors(outputs, y, sample_weight)
        mean = float(np.where(varies, 1 - residual / divisor, residual == 0).mean())
        # The sums are finite unless a prediction is not, or its square overflows: only then look which it
        # was.
        return mean if np.isfinite(mean) or np.isfinite(outputs).all() else np.nan

    return score


def pinball_d2(levels, engine, y, sample_weight=None):
    """Share of the pinball loss explained, 1 - loss(p) / loss(quantile of y), averaged over the outputs.

    A constant output scores 1 where it is predicted exactly, else 0; predictions that are not finite score
    NaN.

    Parameters
    ----------
    levels : tuple of float
        One an output.
    engine : module
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


def compiled(scoring, engine, estimator, labels, y, n_outputs, dtype, sample_weight=None):
    """The score that a scikit-learn scorer gives, from the network's outputs and by compiled code.

    Parameters
    ----------
    scoring : str or callable
        As `scikit_learns` takes it. Compiled are "accuracy", "neg_log_loss", "roc_auc", "roc_auc_ovr" and
        "roc_auc_ovr_weighted" of one label a row, "r2", "neg_mean_squared_error" and
        "neg_root_mean_squared_error".
    engine : module
    estimator : MLPClassifier or MLPRegressor
    labels : ndarray
        y as scikit-learn's scorers take it.
    y : ndarray
        y as the engine takes it.
    n_outputs : int
        Of the network.
    dtype : dtype
        Of what the estimator predicts.
    sample_weight : ndarray of float64 of shape (n_samples,), default=None

    Returns
    -------
    score : function of an ndarray of shape (n_samples, n_outputs), or None
        None where there is nothing compiled, or where scikit-learn would refuse or warn, as of a class
        without rows.
    """
    if not isinstance(scoring, str):
        return None
    if is_regressor(estimator):
        return _compiled_of_numbers(scoring, engine, labels, n_outputs, sample_weight)
    return _compiled_of_classes(scoring, engine, labels, y, n_outputs, dtype, sample_weight)


def _compiled_of_numbers(scoring, engine, labels, n_outputs, sample_weight):
    y = np.ascontiguousarray(labels.reshape(len(labels), -1), np.float64)
    if y.shape[1] != n_outputs:  # several quantiles of one target
        return None
    if scoring == "r2":
        return r2(engine, y, sample_weight) if len(y) > 1 else None
    if scoring == "neg_mean_squared_error":
        return lambda outputs: -float(engine.squared_errors(outputs, y, sample_weight).mean())
    if scoring == "neg_root_mean_squared_error":
        return lambda outputs: -float(np.sqrt(engine.squared_errors(outputs, y, sample_weight)).mean())
    return None


def _compiled_of_classes(scoring, engine, labels, y, n_outputs, dtype, sample_weight):
    if labels.ndim > 1:  # several labels a row
        return None
    classes = np.arange(max(2, n_outputs))
    y = y if y.ndim == 1 else (y[:, 0] > 0.5).astype(np.intp)
    weights = np.bincount(y, sample_weight, len(classes))
    # else there may be one class in all, which is always predicted
    if scoring == "accuracy" and np.count_nonzero(weights) > 1:
        return (
            accuracy(engine, y, sample_weight)
            if n_outputs > 1
            else subset_accuracy(engine, y[:, None], sample_weight)
        )
    if not (weights > 0).all():
        return None
    if scoring == "neg_log_loss":
        return lambda outputs: -engine.log_loss(outputs.astype(dtype, copy=False), y, sample_weight)
    if scoring in ("roc_auc_ovr", "roc_auc_ovr_weighted", *(("roc_auc",) if n_outputs == 1 else ())):
        shares = (
            weights / weights.sum()
            if scoring.endswith("weighted") and n_outputs > 1
            else np.full(n_outputs, 1 / n_outputs)
        )
        return lambda outputs: float(engine.roc_auc(outputs, y, sample_weight) @ shares)
    return None


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
        try:
            value = scorer(nameless, X, y, **weights)
        except Exception as error:
            if not _is_scikit_learns(scorer):
                error.add_note(
                    f"Raised by scoring={scoring!r}, which was asked for the score of the validation set."
                )
                raise
            kind, accepted = _KINDS[is_regressor(estimator)]
            raise ValueError(
                f"scoring={scoring!r} cannot score the validation set of this {type(estimator).__name__}: "
                f"{str(error).splitlines()[0].rstrip('.:')}. Use a score for a {kind}, such as {accepted}."
            ) from error
        value = value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value
        if not isinstance(value, Real):
            raise ValueError(
                f"scoring={scoring!r} must give a number, got {value!r} of type {type(value).__name__}."
            )
        return float(value)

    return score


_KINDS = {
    False: ("classifier", "'accuracy', 'roc_auc_ovr' or 'neg_log_loss'"),
    True: ("regressor", "'r2' or 'neg_mean_squared_error'"),
}


def _is_scikit_learns(scorer):
    """Whether a scorer computes one of scikit-learn's metrics: errors of others are the user's own."""
    return str(getattr(getattr(scorer, "_score_func", None), "__module__", "")).startswith("sklearn.")


def _takes_weights(scorer):
    function = getattr(scorer, "_score_func", scorer)  # scikit-learn's scorers hand any keyword on to this
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # of some compiled functions
        return False
