"""The parameters of a search as columns of values and positions, by their scales, or by guesses from the
values where nobody tells these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from nnfast.tuning.axes import Axis
from nnfast.tuning.distributions import Distribution, is_distribution
from nnfast.tuning.scales import Scale
from nnfast.tuning.spaces import Space, Tied
from nnfast.tuning.texts import plain, text

# Positive numbers over more than this factor are taken for logarithmic.
_LOG_FACTOR = 100
# So many numbers, one of them zero, are choices where the others would be logarithmic.
_FEW = 12


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


def columns_of(search):
    """The columns of a fitted search: list of `Column`."""
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
