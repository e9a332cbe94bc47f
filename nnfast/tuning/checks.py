"""Whether an estimator takes the parameters of a space: asked before the first candidate is trained."""

from itertools import product

import numpy as np
from sklearn.base import clone

from nnfast.activations import resolve_activations
from nnfast.base import BaseMLP
from nnfast.parameters import check_dropout, check_parameter, check_quantile
from nnfast.suggestions import did_you_mean
from nnfast.tuning.distributions import Distribution
from nnfast.tuning.networks import last_step, network_of
from nnfast.tuning.spaces import Tied
from nnfast.validation import check_hidden_layer_sizes

# Unit coordinates at which numbers are tried. Not the ends themselves: they are not drawn, and may not be
# accepted.
_NEXT_TO_THE_ENDS = (1e-9, 1 - 1e-9)
# Quantiles at which SciPy's distributions are tried: their tails may have numbers that are hardly ever drawn.
_QUANTILES = (0.05, 0.5, 0.95)
# Of more choices than that, only so many are tried.
_MOST_CHOICES = 200


def check_space(estimator, space):
    """Raise ValueError where an estimator lacks a parameter of a space, or where a network does not take a
    value of it.

    Names are those that `set_params` takes, of any estimator. Values are checked where the parameter is a
    network's, or where the value is a network: the choices, and two or three numbers of each scale. What the
    table, or several parameters together, make impossible is left to the trials.

    Parameters
    ----------
    estimator : estimator
    space : Space
    """
    for name in space:
        # Where the space chooses the step of a pipeline, too, it is enough if one of the choices takes the
        # value.
        steps = [other for other in space if name.startswith(f"{other}__")]
        combinations = product(*(_values(space[step]) for step in steps))
        choices = [dict(zip(steps, chosen, strict=True)) for chosen in combinations]
        for value in _values(space[name]):
            errors = [_error(estimator, space, chosen, name, value) for chosen in choices]
            if all(errors):
                raise errors[0]
    network, prefix = network_of(estimator)
    if network is not None and not any(prefix.startswith(f"{step}__") for step in space):
        _check_others(network, prefix, space)


def _values(scale):
    """Values of a scale to try: choices, or some numbers; of several axes, one axis at a time."""
    scale = scale.scale if isinstance(scale, Tied) else scale
    axes, values = scale.axes(""), []
    middle = {name: axis.from_unit(0.5) for name, axis in axes.items()}
    units = _QUANTILES if isinstance(scale, Distribution) else _NEXT_TO_THE_ENDS
    for name, axis in axes.items():
        if axis.warp == "choice":
            points = axis.choices[:: -(-len(axis.choices) // _MOST_CHOICES)]
        else:
            points = map(axis.from_unit, units)
        values += [scale.join("", middle | {name: point}) for point in points]
    return values


def _error(estimator, space, chosen, name, value):
    """Why an estimator with chosen steps does not take a value of a parameter: a ValueError; None where it
    does.
    """
    candidate = clone(estimator)
    try:
        candidate.set_params(**clone(chosen | {name: value}, safe=False))
        params = candidate.get_params()
        step, _, parameter = name.rpartition("__")
        owner, value = params.get(step) if step else candidate, params.get(name)
        if isinstance(owner, BaseMLP):
            _check_value(owner, parameter)
        if isinstance(value, BaseMLP):
            _check_others(value, f"{name}__", space)
    except (AttributeError, TypeError, ValueError) as error:
        accepted = candidate.get_params()
        if name in accepted:
            return ValueError(f"{name} of the space: {error}")
        return ValueError(
            f"space must have parameters of the estimator, which its get_params() lists, got {name!r}."
            f"{_meant(name, estimator, accepted)}"
        )
    return None


def _meant(name, estimator, accepted):
    """A sentence of which parameter an unknown name may have meant, such as one without the prefix of its
    step.
    """
    _, prefix = last_step(estimator)
    in_last_step = prefix + name.rpartition("__")[2]
    if in_last_step in accepted:
        return f" Did you mean {in_last_step!r}?"
    return did_you_mean(name, accepted) or did_you_mean(prefix + name, accepted)


def _check_others(network, prefix, space):
    """Raise ValueError where a network does not take the value of a parameter that is none of the space."""
    for name in network.get_params(deep=False):
        if prefix + name not in space:
            _check_value(network, name)


def _check_value(network, name):
    """Raise ValueError where a network does not take the value of one of its parameters, whatever the others
    are.
    """
    check_parameter(network, name)
    value = getattr(network, name)
    if name == "hidden_layer_sizes":
        check_hidden_layer_sizes(value)
    elif name == "activation":
        resolve_activations(value, None, len(value) if isinstance(value, list) else 1)
    elif name == "dropout":
        check_dropout(value, len(value) if np.ndim(np.asarray(value, dtype=object)) else 1)
    elif name == "quantile":
        check_quantile(value)
