"""The estimators' constructor parameters: what is accepted, one by one and together.

Names and defaults stand in the constructors, where Python and its tools look for them, and the words that
document them in `nnfast.documentation`.
"""

from functools import cache
from numbers import Integral, Real

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    make_constraint,
    validate_parameter_constraints,
)

from nnfast.activations import ACTIVATIONS, ALIASES, activation_of
from nnfast.callbacks import HOOKS
from nnfast.custom_functions import Activation, Loss, name_of
from nnfast.engines import ENGINES
from nnfast.initializers import INITIALIZERS
from nnfast.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from nnfast.normalization import NORMALIZATIONS
from nnfast.optimizers import OPTIMIZERS, Optimizer
from nnfast.option_needs import refuse_options
from nnfast.schedules import SCHEDULES, Schedule, resolve_schedule
from nnfast.schedules.checks import is_real
from nnfast.schedules.values import initial_value, is_scheduled
from nnfast.solvers import SOLVERS, solver_of
from nnfast.suggestions import did_you_mean

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_BELOW_ONE = Interval(Real, 0, 1, closed="left")
_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")

CONSTRAINTS = {
    "hidden_layer_sizes": ["array-like", _AT_LEAST_ONE],
    "activation": [StrOptions({*ACTIVATIONS, *ALIASES}), Activation, tuple, list],
    "solver": [StrOptions(set(SOLVERS)), Optimizer],
    "alpha": [_NOT_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), _AT_LEAST_ONE],
    "learning_rate": [StrOptions(set(SCHEDULES)), Schedule, callable],
    "learning_rate_init": [_POSITIVE, StrOptions({"auto"})],
    "power_t": [_NOT_NEGATIVE],
    "max_iter": [_AT_LEAST_ONE],
    "shuffle": ["boolean", StrOptions({"blocks"})],
    "random_state": ["random_state"],
    "tol": [_NOT_NEGATIVE],
    "verbose": ["verbose", StrOptions({"progress"})],
    "warm_start": ["boolean", StrOptions({"full"})],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [_BELOW_ONE],
    "beta_1": [_BELOW_ONE],
    "beta_2": [_BELOW_ONE],
    "epsilon": [_POSITIVE],
    "n_iter_no_change": [_AT_LEAST_ONE, Options(Real, {np.inf})],
    "max_fun": [_AT_LEAST_ONE],
    "activation_params": [dict, None],
    "initializer": [StrOptions({"auto", *INITIALIZERS})],
    "normalization": [StrOptions(set(NORMALIZATIONS)), None],
    "norm_momentum": [Interval(Real, 0, 1, closed="right")],
    "norm_eps": [_POSITIVE],
    "dropout": [_BELOW_ONE, "array-like"],
    "input_dropout": [_BELOW_ONE, tuple],
    "alpha_dropout": ["boolean"],
    "l1": [_NOT_NEGATIVE],
    "clip_norm": [_POSITIVE, None],
    "clip_value": [_POSITIVE, None],
    "max_norm": [_POSITIVE, None],
    "weight_decay": [_NOT_NEGATIVE, tuple],
    "rho": [_BELOW_ONE],
    "param_groups": [dict, None],
    "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
    "monitor": [StrOptions({"score", "loss"})],
    "restore_best": ["boolean"],
    "callbacks": [list, tuple, None],
    "precision": [StrOptions({"auto", "float32", "float64", "bfloat16"})],
    "n_threads": [_AT_LEAST_ONE, None],
    "engine": [StrOptions({"auto", *ENGINES})],
    "profile": ["boolean"],
}

CLASSIFIER_CONSTRAINTS = CONSTRAINTS | {
    "loss": [StrOptions(set(CLASSIFIER_LOSSES)), Loss],
    "class_weight": [StrOptions({"balanced"}), dict, list, None],
    "label_smoothing": [_BELOW_ONE],
    "focal_gamma": [_NOT_NEGATIVE],
}

REGRESSOR_CONSTRAINTS = CONSTRAINTS | {
    "loss": [StrOptions(set(REGRESSOR_LOSSES)), Loss],
    "huber_delta": [_POSITIVE],
    "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like"],
}


# Integers of more bits are beyond float64.
_FLOAT_BITS = 1023


@cache
def _constraints(cls):
    """scikit-learn's objects for a class's constraints, made once: it makes them anew for every fit."""
    return {
        name: [make_constraint(constraint) for constraint in constraints]
        for name, constraints in cls._parameter_constraints.items()
        if constraints != "no_validation"
    }


def check_parameters(estimator):
    """Check every constructor parameter by itself: see `check_parameter`."""
    for name in _constraints(type(estimator)):
        check_parameter(estimator, name)


def check_parameter(estimator, name):
    """Check one constructor parameter by itself; one of a user's own class that says nothing of it is
    accepted.

    Raises
    ------
    InvalidParameterError
        With scikit-learn's sentence, and one of what the value may have meant.
    """
    constraints = _constraints(type(estimator)).get(name)
    if constraints is None or not hasattr(estimator, name):
        return
    value = getattr(estimator, name)
    if not any(constraint.is_satisfied_by(value) for constraint in constraints):
        try:
            validate_parameter_constraints(
                {name: type(estimator)._parameter_constraints[name]}, {name: value}, type(estimator).__name__
            )
        except InvalidParameterError as error:
            accepted = [option for c in constraints if isinstance(c, StrOptions) for option in c.options]
            raise InvalidParameterError(f"{error}{_hint(name, value, accepted)}") from None
    if type(value) is int and value.bit_length() > _FLOAT_BITS:
        raise InvalidParameterError(
            f"The {name!r} parameter of {type(estimator).__name__} must be a number that a float can hold, "
            f"got an integer of {value.bit_length()} bits."
        )


def _hint(name, value, accepted):
    """A sentence of what a value that is not accepted may have meant; none where nothing is close."""
    if name == "loss" and isinstance(value, int | tuple | list):  # MLPRegressor((64, 64))
        return " It comes first, as in scikit-learn: did you mean hidden_layer_sizes?"
    for cls, losses in (("MLPClassifier", CLASSIFIER_LOSSES), ("MLPRegressor", REGRESSOR_LOSSES)):
        # which this estimator does not accept
        if name == "loss" and isinstance(value, str) and value in losses:
            return f" {value!r} is a loss of {cls}."
    if name in ("activation", "loss") and callable(value):
        cls = {"activation": Activation, "loss": Loss}[name].__name__
        return f" Did you mean nnfast.{cls}({name_of(value)})?"
    if name == "solver" and isinstance(value, type) and issubclass(value, Optimizer):
        return f" Did you mean {value.__name__}()?"
    if name == "learning_rate" and isinstance(value, Real):
        return " The rate itself is learning_rate_init."
    if name == "callbacks" and any(hasattr(value, hook) for hook in HOOKS):
        cls = value if isinstance(value, type) else type(value)
        return f" Did you mean a list, [{cls.__name__}(...)]?"
    return did_you_mean(value, accepted)


# ------------------------------------------------------------------------------------------------------------
# Parameters that depend on each other


def check_dropout(dropout, n_hidden):
    """One rate a hidden layer as a tuple of float, or () if nothing is dropped; of one with a schedule the
    initial rate.
    """
    rates = [initial_value(value) for value in _each_dropout(dropout, n_hidden)]
    if not all(isinstance(rate, Real) and 0 <= rate < 1 for rate in rates):
        raise ValueError(f"dropout must be rates in [0, 1), got {dropout!r}.")
    return tuple(map(float, rates)) if any(rates) else ()


def _each_dropout(dropout, n_hidden):
    """A rate, or a pair of one and a schedule, for each hidden layer; one for all becomes as many."""
    if is_scheduled(dropout) or np.ndim(np.asarray(dropout, dtype=object)) == 0:
        return [dropout] * n_hidden
    if len(dropout) != n_hidden or any(np.ndim(initial_value(value)) for value in dropout):
        raise ValueError(
            "dropout must be a rate in [0, 1), or a list of one a hidden layer: there are "
            f"{n_hidden} hidden layers, got {dropout!r}."
        )
    return list(dropout)


def scheduled_values(p, n_hidden):
    """What has a schedule beside the learning rate, but for parameter groups: see `ScheduledValues`.

    Parameters
    ----------
    p : estimator
    n_hidden : int

    Raises
    ------
    ValueError
        If the initial value or the schedule is not what it has to be.
    """
    values = {f"dropout[{i}]": value for i, value in enumerate(_each_dropout(p.dropout, n_hidden))}
    values |= {"input_dropout": p.input_dropout, "weight_decay": p.weight_decay}
    found = {}
    for name, value in values.items():
        if isinstance(value, tuple):
            schedule = _check_scheduled(name, value, p.power_t)
            if value[0] > 0:
                found[name] = float(value[0]), schedule
    if not (isinstance(p.solver, str) and hasattr(OPTIMIZERS.get(p.solver), "weight_decay")):
        found.pop("weight_decay", None)
    return found


def _check_scheduled(name, value, power_t):
    """The schedule of a pair."""
    words, limit = ("a number of at least 0", np.inf) if name == "weight_decay" else ("a rate in [0, 1)", 1)
    if not (is_scheduled(value) and is_real(value[0], 0) and value[0] < limit):
        raise ValueError(
            f"{name} must be {words}, or a pair of one and a schedule, as in (0.1, 'cosine'), got {value!r}."
        )
    try:
        schedule = resolve_schedule(value[1], power_t)
    except ValueError as error:
        raise ValueError(f"The schedule of {name}={value!r}: {error}") from None
    if schedule.reacts:
        raise ValueError(
            f"The schedule of {name} must go by time alone, got {value!r}: {schedule!r} goes by the loss."
        )
    return schedule


def check_quantile(quantile):
    """The levels of loss="quantile" as a tuple of float."""
    levels = np.asarray(quantile, dtype=object)  # see check_dropout
    n_dimensions, levels = levels.ndim, levels.ravel().tolist()
    if (
        n_dimensions > 1
        or not levels
        or not all(isinstance(level, Real) and 0 < level < 1 for level in levels)
    ):
        raise ValueError(f"quantile must be a level between 0 and 1, or a list of them, got {quantile!r}.")
    if any(after <= before for before, after in zip(levels, levels[1:], strict=False)):
        raise ValueError(f"The levels of a list of quantile must increase, got {quantile!r}.")
    return tuple(map(float, levels))


def check_together(p, activation, regularization):
    """Raise ValueError where parameters contradict each other.

    Parameters
    ----------
    p : estimator
    activation : str or tuple
        What `p` asks for, as in `nnfast.network.Network`.
    regularization : Regularization
        What `p` asks for.

    See Also
    --------
    nnfast.option_needs : What options need of others, where that is all that there is to say.
    """
    if p.alpha_dropout:
        named = activation if isinstance(activation, tuple) else ((activation, None),)
        names = {activation_of(each).name for each, _ in named}
        others = sorted(names - {"selu"})
        if others:
            raise ValueError(
                "alpha_dropout=True keeps the mean and variance of activation='selu' alone, got hidden "
                f"layers of {', '.join(map(repr, others))}. Use activation='selu', or alpha_dropout=False."
            )
        if p.normalization is not None and regularization.dropout:
            raise ValueError(
                f"alpha_dropout=True keeps the mean and variance that normalization={p.normalization!r} sets "
                "anew. Use normalization=None, or alpha_dropout=False."
            )
    solver = solver_of(p.solver)
    if p.precision == "bfloat16" and not solver.low_precision:
        raise ValueError(
            f"solver={p.solver!r} computes in float64, got precision='bfloat16'. Use 'auto', 'float32' or "
            "'float64', which all mean the same arithmetic there, or a stochastic solver such as 'adam'."
        )
    if p.normalization == "batch" and not solver.batch_statistics:
        raise ValueError(
            f"solver={p.solver!r} has no batches to take statistics of, got normalization='batch'. Use "
            "normalization='layer' or None, or a stochastic solver such as 'adam'."
        )
    refuse_options(p)
