"""A fitted search read into plain columns, whoever wrote the search: what pictures, importances and reports rest on.

Searches of nnfast know the scales of their parameters (`search.space`); of scikit-learn's, scales are guessed from the
values. Nothing else in these pictures looks into a search.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real

import numpy as np
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.validation import check_is_fitted

from nnfast.words import did_you_mean

# Positive numbers over more than this factor are taken for logarithmic.
_LOG_FACTOR = 100
# So many numbers, one of them zero, are choices where the others would be logarithmic.
_FEW = 12
# How many times the spread of the better trials a worse part may spread and still be drawn to scale.
_SPREAD = 20

NO_CURVE = {"loss": np.empty(0), "score_epochs": np.empty(0, int), "score": np.empty(0)}


@dataclass(frozen=True)
class Column:
    """One axis of the search: a parameter, or a part of one.

    Attributes
    ----------
    name : str
    values : list of length n_trials
        `None` also where a trial does not have the parameter.
    positions : ndarray of shape (n_trials,)
        On the axis' scale, from 0 to 1; NaN where a trial does not have the parameter.
    warp : {"linear", "log", "one_minus_log", "choice"}
    low, high : float
        Ends of the axis; None of choices.
    integer : bool
    choices : list
        In the order of the axis; empty of numbers.
    """

    name: str
    values: list
    positions: np.ndarray
    warp: str
    low: float | None = None
    high: float | None = None
    integer: bool = False
    choices: list = ()

    @property
    def constant(self):
        """Whether all trials have the same value."""
        known = self.positions[np.isfinite(self.positions)]
        return len(known) == 0 or np.ptp(known) == 0

    def ticks(self, at_most=6):
        """Positions in [0, 1], and what to write there."""
        if self.warp == "choice":
            step = -(-len(self.choices) // (2 * at_most))
            shown = list(enumerate(self.choices))[::step]
            return [choice_position(i, len(self.choices)) for i, _ in shown], [text(choice) for _, choice in shown]
        if not self.low < self.high:
            return [0.5], [text(self.low)]
        numbers = _tick_values(self.warp, self.low, self.high, self.integer, at_most)
        return [position(number, self.warp, self.low, self.high) for number in numbers], [text(n) for n in numbers]


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
    """

    metric: str
    key: str
    columns: list
    scores: np.ndarray
    status: np.ndarray
    best: int | None
    curves: list
    unit: str = "epoch"

    def __len__(self):
        return len(self.scores)

    @cached_property
    def complete(self):
        """bool of shape (n_trials,): trials that were finished and scored."""
        return (self.status == "complete") & np.isfinite(self.scores)

    @cached_property
    def limits(self):
        """The range of scores worth a scale, or None; see `worth_a_scale`."""
        scores = self.scores[self.complete if self.complete.any() else np.isfinite(self.scores)]
        return worth_a_scale(scores) if len(scores) else None

    def short_names(self):
        """The columns' names without the steps of a pipeline, where they stay different."""
        short = [column.name.rpartition("__")[2] for column in self.columns]
        return [s if short.count(s) == 1 else column.name for s, column in zip(short, self.columns, strict=True)]


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
    if not isinstance(search, BaseSearchCV):
        raise TypeError(
            "search must be a fitted search of nnfast.tuning or sklearn.model_selection, such as GridSearchCV, "
            f"got {type(search).__name__}."
        )
    check_is_fitted(search, "cv_results_")
    results = search.cv_results_
    key = _metric_key(search, metric)
    scores = np.asarray(results[f"mean_test_{key}"], dtype=float)
    scores = np.where(np.isfinite(scores), scores, np.nan)
    status = _status(search, scores)
    curves, unit = _curves(search, scores)
    shown = key if key != "score" else search.scoring if isinstance(search.scoring, str) else "score"
    best = _best(search, key, scores, status)
    return Trials(shown, key, _columns(search), scores, status, best, curves, unit)


def worth_a_scale(values):
    """The lowest and highest of values, greater ones better, without outliers such as an R2 of -1e9.

    The best value is always in the range. It goes down as far as quantiles do that spread at most 20 times as much as
    those above them, and twice as far again.
    """
    best, spread = values.max(), 0.0
    for share in (0.75, 0.5, 0.25, 0.1, 0.0):
        wider = best - np.quantile(values, share)
        if spread and wider > _SPREAD * spread:
            break
        spread = wider
    return float(max(values.min(), best - 3 * spread)), float(best)


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
        raise ValueError(f"metric must name one of {', '.join(there)}: the search does not say by refit which counts.")
    if metric in there:
        return metric
    if there == ["score"] and metric == search.scoring:
        return "score"
    raise ValueError(f"metric must be one of {', '.join(there)}, got {metric!r}.{did_you_mean(metric, there)}")


def _status(search, scores):
    if "status" in search.cv_results_:
        return np.asarray(search.cv_results_["status"], dtype=str)
    status = np.where(np.isnan(scores), "failed", "complete")
    iteration = np.asarray(search.cv_results_.get("iter", np.zeros(len(scores))))
    # what successive halving did not keep, or went on with elsewhere, was scored with fewer resources
    return np.where((status == "complete") & (iteration < iteration.max(initial=0)), "pruned", status)


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


# ---- columns -------------------------------------------------------------------------------------------------------


def _columns(search):
    trials = search.cv_results_["params"]
    names = list(dict.fromkeys(name for params in trials for name in params))
    space = _space(search)
    if space is None:
        return [_guessed(name, trials, _given(search, name)) for name in names]
    split = [space.split(params) for params in trials]
    return [_of_axis(name, axis, split) for name, axis in space.axes.items()]


def _space(search):
    """The Space of a search of nnfast, or None."""
    if getattr(search, "space", None) is None:
        return None
    from nnfast.tuning.spaces import Space

    return search.space if isinstance(search.space, Space) else Space(search.space)


def _of_axis(name, axis, split):
    """The column of an axis whose scale the space tells."""
    there = np.array([name in values for values in split])
    values = [plain(values.get(name)) for values in split]
    positions = np.full(len(values), np.nan)
    if axis.warp == "choice":
        units = np.array([axis.to_unit(choice) for choice in axis.choices])
        for i in np.flatnonzero(there):
            nearest = np.argmin(abs(units - axis.to_unit(split[i][name])))
            positions[i] = choice_position(int(nearest), len(units))
        return Column(name, values, positions, "choice", choices=[plain(choice) for choice in axis.choices])
    positions[there] = [position(values[i], axis.warp, axis.low, axis.high) for i in np.flatnonzero(there)]
    return Column(name, values, positions, axis.warp, axis.low, axis.high, axis.integer)


def _given(search, name):
    """The values that a search of scikit-learn was given to choose from, in the user's order."""
    spaces = next((getattr(search, at) for at in ("param_grid", "param_distributions") if hasattr(search, at)), ())
    spaces = [spaces] if isinstance(spaces, dict) else spaces
    lists = (space[name] for space in spaces if name in space and not hasattr(space[name], "rvs"))
    return [plain(value) for values in lists for value in values]


def _guessed(name, trials, given):
    """The column of a parameter whose scale nobody tells."""
    there = np.array([name in params for params in trials])
    values = [plain(params.get(name)) for params in trials]
    known = [value for value, has in zip(values, there, strict=True) if has]
    positions = np.full(len(values), np.nan)
    if all(isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(value) for value in known):
        numbers = sorted({float(value) for value in known})
        positive = [number for number in numbers if number > 0]
        wide = bool(positive) and positive[-1] > _LOG_FACTOR * positive[0]
        if not (wide and numbers[0] == 0 and len(numbers) <= _FEW):
            warp, low, high = "log" if wide and numbers[0] > 0 else "linear", numbers[0], numbers[-1]
            positions[there] = [position(value, warp, low, high) for value in known]
            return Column(name, values, positions, warp, low, high, all(isinstance(v, Integral) for v in known))
    by_name = {repr(value): value for value in known}
    ranks = {repr(value): i for i, value in enumerate(given)}
    order = sorted(by_name, key=lambda key: (ranks.get(key, 0), *_order(by_name[key])))
    positions[there] = [choice_position(order.index(repr(value)), len(order)) for value in known]
    return Column(name, values, positions, "choice", choices=[by_name[key] for key in order])


def _order(value):
    """Numbers first, by size; then layers, by depth; then the rest, by name."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return 0, float(value), 0.0, ""
    if isinstance(value, tuple | list) and all(isinstance(item, Real) for item in value):
        return 1, len(value), float(sum(value)), ""
    return 2, 0.0, 0.0, text(value)


def position(value, warp, low, high):
    """Where a number is on an axis from `low` to `high`, from 0 to 1."""
    if low == high:
        return 0.5
    if warp == "one_minus_log":
        return 1 - position(1 - value, "log", 1 - high, 1 - low)
    if warp == "log":
        value, low, high = np.log(value), np.log(low), np.log(high)
    return float((value - low) / (high - low))


def choice_position(i, n_choices):
    """Where the i-th of so many choices is on its axis."""
    return 0.5 if n_choices == 1 else i / (n_choices - 1)


def _tick_values(warp, low, high, integer, at_most):
    from matplotlib.ticker import LogLocator, MaxNLocator

    if warp == "one_minus_log":
        return [1 - number for number in _tick_values("log", 1 - high, 1 - low, False, at_most)][::-1]
    if warp == "log":
        for digits in ((1,), (1, 3), (1, 2, 5)):
            numbers = LogLocator(subs=digits, numticks=at_most).tick_values(low, high)
            numbers = numbers[(numbers >= low * (1 - 1e-9)) & (numbers <= high * (1 + 1e-9))]
            if len(numbers) > 2:
                return list(numbers)
    numbers = MaxNLocator(at_most - 1, integer=integer, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    margin = 1e-9 * (high - low)
    return list(numbers[(numbers >= low - margin) & (numbers <= high + margin)])


# ---- words ---------------------------------------------------------------------------------------------------------


def plain(value):
    """NumPy's scalars as Python's, within tuples and lists too."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (tuple, list):
        return type(value)(plain(item) for item in value)
    return value


def text(value):
    """A value as it is written at an axis or in a table: 0.001, 1e-5, relu, 64-64."""
    value = plain(value)
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, Integral):
        return str(value)
    if isinstance(value, Real):
        shown = f"{float(value):.4g}"
        if 0.9 < value < 1:  # what matters of 0.9995 is how far it is from 1
            shown = f"{round(value, 2 - math.floor(math.log10(1 - value))):.15g}"
        return re.sub(r"e([+-])0*", lambda exponent: "e" + exponent[1].replace("+", ""), shown)
    if isinstance(value, tuple | list) and value and all(isinstance(item, Integral) for item in value):
        return "-".join(map(str, value))
    return " ".join(repr(value).split())
