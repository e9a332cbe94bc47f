"""Boosted trees of scikit-learn beside the networks: `blend="trees"`."""

from dataclasses import dataclass, field

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

# Levels of a column that scikit-learn's trees can tell apart; others count as one.
MOST_LEVELS = 250
# Rows that one thread predicts.
FEW_ROWS = 10_000
# Losses of `MLPRegressor` that the trees have, by their names there.
LOSSES = {
    "squared_error": "squared_error",
    "absolute_error": "absolute_error",
    "poisson": "poisson",
    "gamma": "gamma",
    "quantile": "quantile",
}


@dataclass
class TreeRound:
    """Boosted trees, one model a fold. What `Round` is of networks.

    Attributes
    ----------
    members : list of (model, readout)
    weight : float
        Of the mean of their outputs.
    """

    members: list = field(default_factory=list)
    weight: float = 1.0

    def outputs(self, table):
        X = _features(table)
        # Of few rows, the threads' waiting for each other would take longer than the trees.
        with threadpool_limits(1 if len(table) < FEW_ROWS else None, "openmp"):
            return self._mean(X)

    def _mean(self, X):
        return sum(readout.outputs(model, X) for model, readout in self.members) / len(self.members)


def why_not(task):
    """Why there are no trees for a task, or None."""
    if task.y.ndim == 2:
        return "y has several outputs, and scikit-learn's HistGradientBoosting predicts one"
    loss = task.network_parameters.get("loss")
    if loss is not None and (loss not in LOSSES or task.n_outputs > 1):
        several = " with several levels" if loss in LOSSES else ""
        return f"scikit-learn's HistGradientBoostingRegressor has no loss={loss!r}{several}"
    return None


def fit_trees(table, task, fold, weights, seed, n_threads):
    """A fitted model for a fold: (model, readout)."""
    categories = np.arange(table.numbers.shape[1], table.numbers.shape[1] + table.codes.shape[1])
    if task.classifies:
        model = HistGradientBoostingClassifier(
            categorical_features=categories, early_stopping=False, random_state=seed
        )
    else:
        loss, quantile = task.network_parameters["loss"], task.network_parameters.get("quantile")
        model = HistGradientBoostingRegressor(
            loss=LOSSES[loss],
            quantile=None if quantile is None else float(np.ravel(quantile)[0]),
            categorical_features=categories,
            early_stopping=False,
            random_state=seed,
        )
    part = table.take(fold.train)
    with threadpool_limits(n_threads if len(part) >= FEW_ROWS else 1, "openmp"):
        model.fit(_features(part), task.y[fold.train], None if weights is None else weights[fold.train])
    return model, task.readout(fold.train)


def _features(table):
    """Numbers, and codes of levels: the most frequent levels have the smallest."""
    codes = np.where(table.codes < 0, np.nan, np.minimum(table.codes, MOST_LEVELS))
    return np.concatenate([table.numbers, codes], axis=1)
