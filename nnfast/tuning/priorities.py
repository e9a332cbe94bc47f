"""Priorities: which hyperparameters to tune first, and over which ranges."""

from dataclasses import replace

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from nnfast.base import BaseMLP
from nnfast.optimizers import Optimizer
from nnfast.solvers import SOLVERS, solver_of
from nnfast.suggestions import did_you_mean
from nnfast.tuning.networks import last_step
from nnfast.tuning.scales import choice, int_log_uniform, layers, log_uniform, one_minus_log_uniform
from nnfast.tuning.spaces import Space, tied

# Where the rates are that work, by solver; the others' are Adam's.
_RATES = {"sgd": (1e-4, 1.0), "adagrad": (1e-4, 1.0), "lion": (1e-6, 1e-2)}
_ADAM_RATES = (1e-5, 1e-1)

# The decay worth tuning, by solver: Adam's betas and epsilon are left at their defaults.
_MOMENTA = {"sgd": "momentum", "rmsprop": "rho"}

# The same ranges for records of solvers, which do not come from a scale.
_STEPS = {
    "momentum": (0.9, 0.95, 0.98, 0.99, 0.995, 0.999),
    "rho": (0.9, 0.95, 0.98, 0.99, 0.995, 0.999),
    "weight_decay": (0.001, 0.003, 0.01, 0.03, 0.1),
}


def default_space(estimator, tier=2, *, n_samples=None):
    """The hyperparameters worth tuning, in the order in which they are worth it.

    ======  ===========================  ==================================================================
    tier    hyperparameter               scale
    ======  ===========================  ==================================================================
    1       `learning_rate_init`         log_uniform: (1e-5, 0.1); "sgd", "adagrad" (1e-4, 1); "lion"
                                         (1e-6, 0.01)
    2       `momentum` of "sgd",         one_minus_log_uniform(0.9, 0.999)
            `rho` of "rmsprop"
    ..      `hidden_layer_sizes`         layers of the present depth and a width of 64 to 512
    ..      `batch_size`                 int_log_uniform(32, 512), with the learning rate tied to it: in
                                         proportion for "sgd", by the square root for the adaptive solvers
    3       `hidden_layer_sizes`         the depth as well, 1 to 6 layers
    ..      `learning_rate`              whether the rate falls: constant, by epoch, or to `max_iter`
    ..      `alpha`, or `weight_decay`   log_uniform(1e-4, 10), or of "adamw" and "lion" (1e-3, 0.1)
    ======  ===========================  ==================================================================

    A tier has those below it as well. ``solver="lbfgs"`` has neither rate nor batches: `alpha` is its first
    tier, the width its second, the depth its third. Adam's `beta_1`, `beta_2` and `epsilon` are left as they
    are.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor of nnfast or scikit-learn, or a Pipeline that ends in one
        Need not be fitted. Of a pipeline, the names have the prefix of the last step. Where `solver` is a
        record such as ``SGD(momentum=0.95)``, it is the record that varies in momentum or weight decay. A
        `learning_rate` other than "constant" stays, and so does the depth where `activation` or `dropout` has
        a value a layer.
    tier : {1, 2, 3}, default=2
        How far to go.
    n_samples : int, optional
        Rows of the table: batches then have at most a quarter of them.

    Returns
    -------
    Space

    Raises
    ------
    TypeError
        If the estimator is another.
    ValueError
        If `tier`, `n_samples` or the estimator's solver is not what it has to be.

    Examples
    --------
    >>> from nnfast import MLPClassifier
    >>> from nnfast.tuning import default_space
    >>> default_space(MLPClassifier(), tier=1)
    Space({'learning_rate_init': log_uniform(1e-05, 0.1)})
    >>> default_space(MLPClassifier((64, 64), solver="sgd"))
    Space({
        'learning_rate_init': tied(log_uniform(0.0001, 1.0), to='batch_size', base=200, rule='linear'),
        'momentum': one_minus_log_uniform(0.9, 0.999),
        'hidden_layer_sizes': layers(depth=2, width=(64, 512), shape='constant'),
        'batch_size': int_log_uniform(32, 512),
    })

    References
    ----------
    Bengio, Practical Recommendations for Gradient-Based Training of Deep Architectures, 2012,
    arXiv:1206.5533.
    """
    p, prefix = last_step(estimator)
    if not isinstance(p, (BaseMLP, MLPClassifier, MLPRegressor)):
        raise TypeError(
            "estimator must be an MLPClassifier or MLPRegressor of nnfast or scikit-learn, or a Pipeline "
            f"that ends in one, got {estimator!r}."
        )
    if isinstance(tier, (bool, np.bool_)) or not isinstance(tier, (int, np.integer)) or tier not in (1, 2, 3):
        raise ValueError(f"tier must be 1, 2 or 3, got {tier!r}.")
    if n_samples is not None and not (isinstance(n_samples, (int, np.integer)) and n_samples >= 1):
        raise ValueError(
            f"n_samples must be a number of rows, an integer of 1 or more, or None, got {n_samples!r}."
        )
    record, name = isinstance(p.solver, Optimizer), _solver_name(p)
    by_minibatches = solver_of(p.solver).minibatches
    penalty = "weight_decay" if name in ("adamw", "lion") else "alpha"
    scales = {}

    def add(parameter, scale):
        if record and hasattr(p.solver, parameter):  # whose hyperparameters are its own
            values = sorted({getattr(p.solver, parameter), *_STEPS[parameter]})
            parameter, scale = "solver", choice([replace(p.solver, **{parameter: value}) for value in values])
        scales[parameter] = scale

    if not by_minibatches:
        add("alpha", log_uniform(1e-4, 10))
    else:
        rate = log_uniform(*_RATES.get(name, _ADAM_RATES))
        if tier >= 2:
            base = 200 if isinstance(p.batch_size, str) else p.batch_size
            rate = tied(rate, to="batch_size", base=base, rule="linear" if name == "sgd" else "sqrt")
        add("learning_rate_init", rate)
    if tier >= 2:
        if name in _MOMENTA:
            add(_MOMENTA[name], one_minus_log_uniform(0.9, 0.999))
        add("hidden_layer_sizes", layers(depth=(1, 6) if tier == 3 and _depth_is_free(p) else _depth(p)))
        if by_minibatches:
            add("batch_size", _batch_sizes(n_samples))
    if tier == 3 and by_minibatches:
        decays = _decays(p, name)
        if decays:
            add("learning_rate", choice(decays))
        add(penalty, log_uniform(1e-3, 1e-1) if penalty == "weight_decay" else log_uniform(1e-4, 10))
    return Space({prefix + parameter: scale for parameter, scale in scales.items()})


def _solver_name(p):
    if isinstance(p.solver, Optimizer):
        return p.solver.name
    accepted = tuple(SOLVERS) if isinstance(p, BaseMLP) else ("adam", "sgd", "lbfgs")
    if not isinstance(p.solver, str) or p.solver not in accepted:
        raise ValueError(
            f"solver must be one of {', '.join(map(repr, accepted))}, or for nnfast a record of "
            f"nnfast.optimizers, got {p.solver!r}.{did_you_mean(p.solver, accepted)}"
        )
    return p.solver


def _depth(p):
    """Present hidden layers, and one where there is none to have a width."""
    return max(1, np.size(p.hidden_layer_sizes))


def _depth_is_free(p):
    """Whether no parameter has a value a layer."""
    return not isinstance(p.activation, (tuple, list)) and np.ndim(getattr(p, "dropout", 0)) == 0


def _batch_sizes(n_samples):
    high = 512 if n_samples is None else min(512, max(2, n_samples // 4))
    return int_log_uniform(min(32, max(1, high // 4)), high)


def _decays(p, name):
    """Values of `learning_rate` that fall slowly, fast and not at all; none where one has been set
    already.
    """
    if not isinstance(p.learning_rate, str) or p.learning_rate != "constant":
        return []
    if isinstance(p, BaseMLP):
        return ["constant", "exponential", "cosine"]
    return ["constant", "adaptive"] if name == "sgd" else []  # scikit-learn's Adam does not listen to it
