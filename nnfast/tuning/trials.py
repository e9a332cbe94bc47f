"""A fitted search read into plain columns, whoever wrote the search: what pictures, importances and reports
rest on.

Searches of nnfast know the scales of their parameters (`search.space`); of scikit-learn's, scales are guessed
from the values. Nothing else in these pictures looks into a search.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real

import numpy as np
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.validation import check_is_fitted

from nnfast.suggestions import did_you_mean
from nnfast.tuning.axes import Axis
from nnfast.tuning.distributions import Distribution, is_distribution
from nnfast.tuning.scales import Scale
from nnfast.tuning.spaces import Space, Tied

# Positive numbers over more than this factor are taken for logarithmic.
_LOG_FACTOR = 100
# So many numbers, one of them zero, are choices where the others would be logarithmic.
_FEW = 12
# Scores that differ by less, relatively, are equal: means over folds are rounded.
ROUNDING = 1e-12

NO_CURVE = {"loss": np.empty(0), "score_epochs": np.empty(0, int), "score": np.empty(0)}


@dataclass(frozen=True)
class Column:
    """One axis of the search: a parameter, or a part of one.

    Attributes
    ----------
    name : str
    axis : Axis
    values : list of length n_trials
        None also where a trial does not have the parameter.
    positions : ndarray of shape (n_trials,)
        The axis' unit coordinates, from 0 to 1; NaN where a trial does not have the parameter.
    remark : str
        What to write behind the name.
    """

    name: str
    axis: Axis
    values: list
    positions: np.ndarray
    remark: str = ""

    @property
    def n_choices(self):
        """How many choices it has; 0 of numbers."""
        return len(self.axis.choices) if self.axis.warp == "choice" else 0

    @property
    def constant(self):
        """Whether all trials have the same value."""
        known = self.positions[np.isfinite(self.positions)]
        return len(known) == 0 or np.ptp(known) == 0

    def ticks(self, at_most=6):
        """Positions in [0, 1], and what to write there; of many choices only some."""
        axis = self.axis
        if self.n_choices:
            values = axis.choices[:: -(-self.n_choices // (2 * at_most))]
        else:
            values = (
                _tick_values(axis.warp, axis.low, axis.high, axis.integer, at_most)
                if axis.low < axis.high
                else [axis.low]
            )
        return [axis.to_unit(value) for value in values], [text(value) for value in values]


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
        shown, key, _columns(search), scores, status, best, curves, unit, _resources(results, status)
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


# ---- columns
# -------------------------------------------------------------------------------------------------------


def _columns(search):
    trials = search.cv_results_["params"]
    names = list(dict.fromkeys(name for params in trials for name in params))
    space = getattr(search, "space", None)
    if space is None:
        scales, split = _scales_given(search), None
    else:
        scales = Space(space)
        # This undoes what is tied. The estimator as it was given, where the time was too short, has no
        # parameters.
        split = [scales.split({name: params[name] for name in scales}) if params else {} for params in trials]
        names = list(scales)  # not what the search sets by itself, as Hyperband does the epochs
    columns = []
    for name in names:
        scale = scales.get(name)
        if scale is None or isinstance(scale, Distribution):  # whose axis, a quantile, nobody would recognise
            columns.append(_guessed(name, trials, _choices_given(search, name)))
            continue
        if split is not None:
            parts = split
        else:
            parts = [scale.split(name, params[name]) if name in params else {} for params in trials]
        remark = f" at {scale.base} rows" if isinstance(scale, Tied) and split is not None else ""
        columns += [_column(each, axis, parts, remark) for each, axis in scale.axes(name).items()]
    return columns


def _spaces_given(search):
    """The mappings that a search of scikit-learn was given."""
    given = next(
        (getattr(search, at) for at in ("param_grid", "param_distributions") if hasattr(search, at)), ()
    )
    return [given] if isinstance(given, Mapping) else list(given)


def _scales_given(search):
    """The scales and distributions that a search of scikit-learn was given: dict name -> Scale."""
    spaces = _spaces_given(search)
    if len(spaces) != 1:
        return {}
    known = {
        name: value for name, value in spaces[0].items() if isinstance(value, Scale) or is_distribution(value)
    }
    return {name: Space({name: value})[name] for name, value in known.items() if not isinstance(value, Tied)}


def _choices_given(search, name):
    """The values that a search of scikit-learn was given to choose from, in the user's order."""
    lists = [
        space[name] for space in _spaces_given(search) if name in space and not hasattr(space[name], "rvs")
    ]
    return [plain(value) for values in lists for value in values]


def _column(name, axis, parts, remark=""):
    """The column of an axis, from what each trial has on its axes."""
    values = [plain(part.get(name)) for part in parts]
    positions = [axis.to_unit(part[name]) if name in part else np.nan for part in parts]
    return Column(name, axis, values, np.array(positions, dtype=float), remark)


def _guessed(name, trials, given):
    """The column of a parameter whose scale nobody tells."""
    parts = [{name: plain(params[name])} if name in params else {} for params in trials]
    known = [part[name] for part in parts if part]
    if all(_is_number(value) for value in known):
        low, high = min(known), max(known)
        above_zero = min((value for value in known if value > 0), default=low)
        wide = high > _LOG_FACTOR * above_zero > 0
        if not wide or low > 0 or low < 0 or len(set(known)) > _FEW:
            integer = all(isinstance(value, Integral) for value in known)
            return _column(name, Axis(low, high, "log" if wide and low > 0 else "linear", integer), parts)
    by_repr = {repr(value): value for value in known}
    ranks = {repr(value): i for i, value in reversed(list(enumerate(given)))}
    order = sorted(by_repr, key=lambda key: (ranks.get(key, 0), *_order(by_repr[key])))
    parts = [{name: by_repr[repr(part[name])]} if part else {} for part in parts]
    return _column(name, Axis(warp="choice", choices=tuple(by_repr[key] for key in order)), parts)


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(value))


def _order(value):
    """Numbers first, by size; then layers, by depth; then the rest, by name."""
    if _is_number(value):
        return 0, float(value), 0.0, ""
    if isinstance(value, tuple | list) and all(_is_number(item) for item in value):
        return 1, len(value), float(sum(value)), ""
    return 2, 0.0, 0.0, text(value)


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


# ---- words
# ---------------------------------------------------------------------------------------------------------


def without_steps(names):
    """Names of parameters without the steps of a pipeline, where they stay different."""
    short = [name.rpartition("__")[2] for name in names]
    return [s if short.count(s) == 1 else name for s, name in zip(short, names, strict=True)]


def plain(value):
    """NumPy's scalars as Python's, within tuples and lists too, and its arrays as lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
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
