"""Search spaces: a scale for every hyperparameter, and hyperparameters that are drawn together.

>>> from nnfast.tuning import Space, layers, log_uniform, tied
>>> sizes = layers((1, 4), (32, 256))
>>> space = Space({"learning_rate_init": log_uniform(0.0001, 0.1), "hidden_layer_sizes": sizes})
>>> sorted(space.sample(random_state=0))
['hidden_layer_sizes', 'learning_rate_init']
>>> list(space.axes)
['learning_rate_init', 'hidden_layer_sizes.depth', 'hidden_layer_sizes.width']
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import check_random_state

from nnfast.suggestions import did_you_mean
from nnfast.tuning.batches import check_rows, check_rule, rate_factor
from nnfast.tuning.distributions import Distribution, from_scipy, is_distribution
from nnfast.tuning.scales import Scale, Single, choice

_ACCEPTED = (
    "a scale of nnfast.tuning such as log_uniform(0.0001, 0.1), a list of values, or a frozen distribution "
    "of scipy.stats with rvs, cdf and ppf"
)

# What batch_size="auto" means on all but small tables.
_AUTO = 200


@dataclass(frozen=True, repr=False)
class Tied(Scale):
    """A learning rate that is scaled with the batch size: see `tied`."""

    scale: Scale
    to: str
    base: int
    rule: str

    def axes(self, name):
        return self.scale.axes(name)

    def split(self, name, value):
        return self.scale.split(name, value)

    def join(self, name, values):
        return self.scale.join(name, values)

    def replace(self, name, axes):
        return replace(self, scale=self.scale.replace(name, axes))

    def target(self, name):
        """The name of the parameter that it is tied to, with the prefix of its own name."""
        prefix, separator, _ = name.rpartition("__")
        return prefix + separator + self.to

    def factor(self, batch):
        """What a value is multiplied by where batches of `batch` rows, or "auto", are drawn with it."""
        return rate_factor(_AUTO if batch == "auto" else batch, self.base, self.rule)

    def __repr__(self):
        return f"tied({self.scale!r}, to={self.to!r}, base={self.base!r}, rule={self.rule!r})"


def tied(scale, to="batch_size", base=200, rule="linear"):
    """A learning rate drawn for batches of `base` rows, and scaled for the batch size that is drawn with it.

    value (batch / base), or by the square root of that. So the search finds the rate and the batch size one
    by one, rather than along a diagonal. A `Space` does the scaling; drawn by itself, in scikit-learn's
    `RandomizedSearchCV` say, the rate is that for batches of `base` rows.

    Parameters
    ----------
    scale : scale or frozen distribution of scipy.stats
        Of positive numbers.
    to : str, default="batch_size"
        The parameter it is tied to, without the prefix ``step__`` of the tied parameter's own name, which it
        shares. Its value "auto" counts as 200 rows.
    base : int, default=200
        Rows of the batches that `scale` is meant for.
    rule : {"linear", "sqrt"}, default="linear"
        See `scaled_learning_rate`: "linear" for "sgd", "sqrt" for "adam" and its like.

    Returns
    -------
    Scale

    Examples
    --------
    >>> from nnfast.tuning import Space, log_uniform, tied
    >>> space = Space({"learning_rate_init": tied(log_uniform(0.0001, 0.1), base=32), "batch_size": [128]})
    >>> space.join({"learning_rate_init": 0.01, "batch_size": 128})
    {'learning_rate_init': 0.04, 'batch_size': 128}
    >>> space.split({"learning_rate_init": 0.04, "batch_size": 128})
    {'learning_rate_init': 0.01, 'batch_size': 128}
    """
    original = scale
    if not isinstance(scale, Scale) and is_distribution(scale):
        scale = from_scipy(scale)
    ok = isinstance(scale, (Single, Distribution))
    if ok:
        lowest = scale.axis.choices or scale.grid(2)
        ok = all(
            isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 for value in lowest
        )
    if not ok:
        raise ValueError(
            "scale of tied must be a scale of positive numbers such as log_uniform(0.0001, 0.1), got"
            f" {original!r}."
        )
    if not isinstance(to, str) or not to or "__" in to:
        raise ValueError(f"to of tied must be the name of a parameter without a prefix, got {to!r}.")
    check_rows("base of tied", base)
    check_rule(rule)
    return Tied(scale, to, int(base), rule)


class Space(Mapping):
    """A search space: a scale for every parameter.

    It is a mapping of names to scales and does not change; ``dict(space)`` is what scikit-learn's searches
    take, and ``Space({**space, "alpha": log_uniform(0.0001, 10)})`` is one of more parameters.

    Parameters
    ----------
    scales : mapping
        Parameter name, with the prefixes ``step__`` of pipelines, -> what `nnfast.tuning` has for it: a scale
        such as `log_uniform(0.0001, 0.1)`, one that is `tied` to another parameter, a list of values
        (`choice`), or a frozen distribution of scipy.stats.

    Attributes
    ----------
    axes : dict
        Axis name -> `Axis`: the numbers and choices that a search varies. Most parameters have one axis of
        their own name, `layers` has ``name.depth`` and ``name.width``, and a distribution of SciPy other than
        uniform, loguniform and randint has ``name.quantile``.

    Raises
    ------
    TypeError
        If it is no mapping, or if a parameter has none of these.
    ValueError
        If there is no parameter, or if one is tied to what the space does not have, or has no number of rows
        for.

    Examples
    --------
    >>> from nnfast.tuning import Space, log_uniform, one_minus_log_uniform
    >>> Space({"solver": ["sgd"], "momentum": one_minus_log_uniform(0.9, 0.999)})
    Space({'solver': choice('sgd'), 'momentum': one_minus_log_uniform(0.9, 0.999)})
    """

    def __init__(self, scales):
        if not isinstance(scales, Mapping):
            raise TypeError(f"a space must be a mapping of parameter names to scales, got {scales!r}.")
        if not scales:
            raise ValueError("a space must have one or more parameters, got none.")
        self._scales = {name: _scale_of(name, value) for name, value in scales.items()}
        for name, target in self._ties().items():
            self._check_target(name, target)

    def __getitem__(self, name):
        return self._scales[name]

    def __iter__(self):
        return iter(self._scales)

    def __len__(self):
        return len(self._scales)

    def __repr__(self):
        items = [f"{name!r}: {scale!r}" for name, scale in self.items()]
        line = f"Space({{{', '.join(items)}}})"
        return line if len(line) <= 88 else "Space({\n    " + ",\n    ".join(items) + ",\n})"

    @property
    def axes(self):
        return {each: axis for name, scale in self.items() for each, axis in scale.axes(name).items()}

    def sample(self, random_state=None):
        """Draw values for all parameters.

        Parameters
        ----------
        random_state : int, RandomState, Generator or None, default=None
            Parameters draw in the order of the alphabet, so that their order in the space does not matter.

        Returns
        -------
        params : dict
            As `set_params` takes them, in the order of the space.
        """
        random = (
            random_state
            if isinstance(random_state, np.random.Generator)
            else check_random_state(random_state)
        )
        drawn = {name: self[name].rvs(random_state=random) for name in sorted(self)}
        return self._tie({name: drawn[name] for name in self})

    def split(self, params):
        """Where a candidate lies: dict axis name -> value, with tied rates as they are for batches of their
        base.

        Raises
        ------
        ValueError
            If these are not the parameters of the space.
        """
        self._check_names("params", params, self)
        params = dict(params)
        for name, target in self._ties().items():
            params[name] = params[name] / self[name].factor(params[target])
        return {
            each: value
            for name, scale in self.items()
            for each, value in scale.split(name, params[name]).items()
        }

    def join(self, values):
        """The candidate at a place, dict axis name -> value: the inverse of `split`."""
        self._check_names("values", values, self.axes)
        return self._tie({name: scale.join(name, values) for name, scale in self.items()})

    def suggest(self, trial):
        """The candidate that a trial of Optuna suggests; the trial's parameters are named as the axes."""
        return self._tie({name: scale.suggest(trial, name) for name, scale in self.items()})

    def replace(self, axes):
        """The space with other axes, dict axis name -> `Axis`; those not named stay.

        Examples
        --------
        >>> from nnfast.tuning import Space, log_uniform
        >>> space = Space({"alpha": log_uniform(0.0001, 1.0)})
        >>> space.replace({"alpha": space.axes["alpha"].zoom(0.25, 0.5)})
        Space({'alpha': log_uniform(0.001, 0.01)})
        """
        unknown = [name for name in axes if name not in self.axes]
        if unknown:
            raise ValueError(
                f"axes must be named as those of the space, {', '.join(self.axes)}, got {unknown[0]!r}."
            )
        return Space({name: scale.replace(name, axes) for name, scale in self.items()})

    def _ties(self):
        return {name: scale.target(name) for name, scale in self.items() if isinstance(scale, Tied)}

    def _tie(self, params):
        for name, target in self._ties().items():
            params[name] = params[name] * self[name].factor(params[target])
        return params

    def _check_target(self, name, target):
        if target not in self:
            raise ValueError(
                f"{name} is tied to {target!r}, which must be in the space too, got {', '.join(self)}."
                f"{did_you_mean(target, [other for other in self if other != name])}"
            )
        scale = self[target]
        ok = isinstance(scale, Single)
        if ok and scale.axis.warp == "choice":
            ok = all(value == "auto" or _is_rows(value) for value in scale.axis.choices)
        elif ok:
            ok = scale.axis.integer and scale.axis.low >= 1
        if not ok:
            raise ValueError(
                f"{target}, which {name} is tied to, must be a scale of rows, integers of 1 or more, or a "
                f"list of them or 'auto', got {scale!r}."
            )

    @staticmethod
    def _check_names(parameter, given, wanted):
        missing, unknown = (
            [name for name in wanted if name not in given],
            [name for name in given if name not in wanted],
        )
        if missing or unknown:
            got = f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is none of them"
            raise ValueError(f"{parameter} must be those of the space, {', '.join(wanted)}: {got}.")


def _is_rows(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _scale_of(name, value):
    """The scale that a value of a space means."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"the names of a space must be those of parameters, str, got {name!r}.")
    if isinstance(value, Scale):
        return value
    if isinstance(value, (list, tuple, range)) or (isinstance(value, np.ndarray) and value.ndim == 1):
        try:
            return choice(list(value))
        except ValueError as error:
            raise ValueError(f"{name} of a space: {error}") from None
    if is_distribution(value):
        return from_scipy(value)
    hint = "" if callable(value) or isinstance(value, Mapping) else f" For one value, use [{value!r}]."
    raise TypeError(f"{name} of a space must be {_ACCEPTED}, got {value!r}.{hint}")
