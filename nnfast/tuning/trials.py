"""A fitted search read into plain columns, whoever wrote the search: what pictures, importances and reports
rest on.

Searches of nnfast know the scales of their parameters (`search.space`); of scikit-learn's, scales are guessed
from the values (`columns.py`). Nothing else in these pictures looks into a search.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.validation import check_is_fitted

from nnfast.suggestions import did_you_mean
from nnfast.tuning.columns import columns_of
from nnfast.tuning.texts import without_steps

# Scores that differ by less, relatively, are equal: means over folds are rounded.
ROUNDING = 1e-12

NO_CURVE = {"loss": np.empty(0), "score_epochs": np.empty(0, int), "score": np.empty(0)}


@dataclass(frozen=True)
class Trials:
    """The trials of a search.

    Attributes
    ----------
    metric : str
        What the scores are, as it is written beside them.
    key : str
        Its name in `cv_results_`: `mean_test_<key>`.
    columns : list of Column
    scores : ndarray of shape (n_trials,)
        Means over the folds, greater is better; NaN where there is none.
    status : ndarray of str of shape (n_trials,)
        "complete", "pruned", "diverged", "failed" or "unfinished".
    best : int or None
        The best trial, if one has a score.
    curves : list of dict
        As in `cv_results_["learning_curve"]`, empty ones where nothing was measured.
    unit : str
        What the curves go by.
    resources : ndarray of shape (n_trials,) or None
        Epochs, or what successive halving gives, that scores are comparable at: of finished trials, the same.
    """

    metric: str
    key: str
    columns: list
    scores: np.ndarray
    status: np.ndarray
    best: int | None
    curves: list
    unit: str = "epoch"
    resources: np.ndarray | None = None

    def __len__(self):
        return len(self.scores)

    @cached_property
    def complete(self):
        """bool of shape (n_trials,): trials that were finished and scored."""
        return (self.status == "complete") & np.isfinite(self.scores)

    @cached_property
    def last_scores(self):
        """float of shape (n_trials,): the scores, or of what was stopped before it had one, the last of its
        curve.
        """
        last = [curve["score"][-1] if len(curve["score"]) else np.nan for curve in self.curves]
        stopped = np.isin(self.status, ("pruned", "unfinished")) & np.isnan(self.scores)
        return np.where(stopped & np.isfinite(last), last, self.scores)

    @cached_property
    def limits(self):
        """The range of scores worth a scale, or None; see `worth_a_scale`."""
        scores = self.scores[self.complete if self.complete.any() else np.isfinite(self.scores)]
        return worth_a_scale(scores) if len(scores) else None

    def short_names(self):
        """The columns' names without the steps of a pipeline, where they stay different."""
        names = without_steps([column.name for column in self.columns])
        return [name + column.remark for name, column in zip(names, self.columns, strict=True)]


def read(search, metric=None):
    """The trials of a fitted search.

    Parameters
    ----------
    search : fitted search of nnfast.tuning or scikit-learn
    metric : str, optional
        One of the metrics of a search with several; by default the one that it refits by.

    Returns
    -------
    Trials

    Raises
    ------
    TypeError
        If `search` is not a search.
    NotFittedError
        If it is not fitted.
    ValueError
        If the metric is not one of the search, or has to be named.
    """
    check_search(search)
    results = search.cv_results_
    key = _metric_key(search, metric)
    scores = np.asarray(results[f"mean_test_{key}"], dtype=float)
    scores = np.where(np.isfinite(scores), scores, np.nan)
    status = statuses(search, scores)
    curves, unit = _curves(search, scores)
    shown = key if key != "score" else search.scoring if isinstance(search.scoring, str) else "score"
    best = _best(search, key, scores, status)
    return Trials(
        shown, key, columns_of(search), scores, status, best, curves, unit, _resources(results, status)
    )


def worth_a_scale(values):
    """The lowest and highest of values, greater ones better, without outliers such as an R2 of -1e9.

    The best value is always in the range. It goes down as far as quantiles do that spread at most 20 times as
    much as those above them (of few values, 3000 / n^2 times), and twice as far again.
    """
    best, spread = values.max(), 0.0
    for share in (0.75, 0.5, 0.25, 0.1, 0.0):
        wider = best - np.quantile(values, share, method="higher")
        if spread > ROUNDING * abs(best) and wider > max(20, 3000 / len(values) ** 2) * spread:
            break
        spread = wider
    return float(max(values.min(), best - 3 * spread)), float(best)


def check_search(search):
    """Raise TypeError unless it is a search, NotFittedError unless it is fitted."""
    if not isinstance(search, BaseSearchCV):
        raise TypeError(
            "search must be a fitted search of nnfast.tuning or sklearn.model_selection, such as "
            f"GridSearchCV, got {type(search).__name__}."
        )
    check_is_fitted(search, "cv_results_")


def statuses(search, scores):
    """The status of every trial of a fitted search, ndarray of str: its own, or what its scores tell."""
    if "status" in search.cv_results_:
        return np.asarray(search.cv_results_["status"], dtype=str)
    status = np.where(np.isnan(scores), "failed", "complete")
    iteration = np.asarray(search.cv_results_.get("iter", np.zeros(len(scores))))
    # what successive halving did not keep, or went on with elsewhere, was scored with fewer resources
    return np.where((status == "complete") & (iteration < iteration.max(initial=0)), "pruned", status)


def count_statuses(status):
    """How many trials became what: [(status, number)], the complete ones first."""
    names, counts = np.unique(status, return_counts=True)
    return sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda item: item[0] != "complete")


def metrics(search):
    """The names of a fitted search's metrics."""
    return [name.removeprefix("mean_test_") for name in search.cv_results_ if name.startswith("mean_test_")]


def _metric_key(search, metric):
    there = metrics(search)
    if metric is None:
        if len(there) == 1:
            return there[0]
        if isinstance(search.refit, str):
            return search.refit
        raise ValueError(
            f"metric must name one of {', '.join(there)}: the search does not say by refit which counts."
        )
    if metric in there:
        return metric
    if there == ["score"] and metric == search.scoring:
        return "score"
    raise ValueError(
        f"metric must be one of {', '.join(there)}, got {metric!r}.{did_you_mean(metric, there)}"
    )


def _resources(results, status):
    given = next((results[key] for key in ("n_epochs", "n_resources") if key in results), None)
    if given is None:
        return None
    given = np.asarray(given, dtype=float)
    return np.where(status == "complete", given.max(initial=1), np.maximum(given, 1))


def _best(search, key, scores, status):
    refits = getattr(search, "multimetric_", False) is False or key == search.refit
    if refits and hasattr(search, "best_index_") and np.isfinite(scores[search.best_index_]):
        return int(search.best_index_)
    for eligible in (status == "complete", status != ""):
        rest = np.where(eligible, scores, np.nan)
        if np.isfinite(rest).any():
            return int(np.nanargmax(rest))
    return None


def _curves(search, scores):
    results = search.cv_results_
    if "learning_curve" in results:
        return [NO_CURVE | (curve or {}) for curve in results["learning_curve"]], "epoch"
    curves = [NO_CURVE] * len(scores)
    if "n_resources" not in results:
        return curves, "epoch"
    # successive halving: what became of a candidate is told by its last row
    rows = {}
    for i, params in enumerate(results["params"]):
        rows.setdefault(repr(params), []).append(i)
    for its in rows.values():
        resources = np.asarray(results["n_resources"])[its]
        curves[its[-1]] = NO_CURVE | {"score_epochs": resources, "score": scores[its]}
    return curves, "samples" if search.resource == "n_samples" else search.resource
