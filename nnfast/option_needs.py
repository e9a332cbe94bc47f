"""Which options have an effect only together with others: one table, for the checks of a fit, its warnings
and the docs.

`OPTIONS` has all parameters of both estimators. What an option needs is said in words and as a check. A fit
warns of an option that was set to another value than its default where a need is not met, or refuses it where
ignoring it would train another kind of network than was asked for: see `refuse_options` and
`warn_of_unused_options`.
"""

import inspect
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from nnfast.activations import activation_of, resolve_activations
from nnfast.exceptions import UnusedOptionWarning
from nnfast.losses import CLASSIFIER_LOSSES, LOSSES, REGRESSOR_LOSSES
from nnfast.optimizers import ESTIMATOR_NAMES, OPTIMIZERS, Optimizer
from nnfast.solvers import solver_of, solvers_with


@dataclass(frozen=True)
class Need:
    """What an option needs to have an effect.

    Attributes
    ----------
    parameter : str or None
        The parameter that decides; None for the arguments of `fit`.
    words : str
        What is needed, after "it needs".
    is_met : function of (estimator, bool) that returns a bool
        The second argument: whether `fit` was given rows to validate on.
    """

    parameter: str | None
    words: str
    is_met: Callable[[object, bool], bool]

    def unmet_words(self, p):
        """What is needed, and what there is instead."""
        if self.parameter is None:
            return f"{self.words}, but fit was given rows to validate on"
        value = getattr(p, self.parameter)
        its_own = ", which has hyperparameters of its own" if isinstance(value, Optimizer) else ""
        return f"{self.words}, got {self.parameter}={value!r}{its_own}"


@dataclass(frozen=True)
class Option:
    """What a parameter of the estimators needs to have an effect, if anything.

    Attributes
    ----------
    needs : tuple of Need
        Without one of these it has no effect.
    strict : tuple of Need
        Without one of these it is an error.
    note : str
        What else there is to say of its effect.
    on_results : bool
        Whether it can change what the network learns or predicts.
    """

    needs: tuple[Need, ...] = ()
    strict: tuple[Need, ...] = ()
    note: str = ""
    on_results: bool = True


# ------------------------------------------------------------------------------------------------------------
# Needs


def listed(words, conjunction="and"):
    """Words as a list within a sentence."""
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def _is_one_of(value, names):
    return isinstance(value, str) and value in names


def _one_of(parameter, values):
    """That a parameter has one of these values."""
    return Need(
        parameter,
        f"{parameter}={listed(map(repr, values), 'or')}",
        lambda p, given: _is_one_of(getattr(p, parameter), values),
    )


def _solver_with(name):
    """That the solver is one, by its name, that has this hyperparameter."""
    having = [
        cls.name
        for cls in OPTIMIZERS.values()
        if name in {ESTIMATOR_NAMES.get(f.name, f.name) for f in fields(cls)}
    ]
    return _one_of("solver", having)


def _loss_with(name, losses):
    """That the loss is one that has this parameter."""
    return _one_of("loss", [loss for loss in losses if LOSSES[loss].parameter_name == name])


def _solver_name(p):
    return p.solver.name if isinstance(p.solver, Optimizer) else p.solver


def _solver_that(capability):
    """That the solver has a capability, an attribute of `nnfast.solvers.Solver`."""
    others = listed(map(repr, solvers_with(capability, False)), "or")
    return Need(
        "solver",
        f"a solver other than {others}",
        lambda p, given: getattr(solver_of(p.solver), capability),
    )


def _has_hidden_layers(p, given=False):
    return np.size(p.hidden_layer_sizes) > 0


def _activation_matters(p, given):
    # scikit-learn's initializer looks at the activation for the output layer, too, and has another rule for
    # this one.
    draws_otherwise = p.initializer == "glorot_uniform" and _is_one_of(p.activation, ("logistic", "sigmoid"))
    return _has_hidden_layers(p) or draws_otherwise


def _activation_params_matter(p, given):
    layers = resolve_activations(p.activation, None, np.size(p.hidden_layer_sizes))
    return any(
        own is None and activation_of(name).parameter_name in p.activation_params for name, own in layers
    )


_STOCHASTIC, _REGULARIZERS = _solver_that("minibatches"), _solver_that("regularizers")
_EARLY_STOPPING = Need("early_stopping", "early_stopping=True", lambda p, given: bool(p.early_stopping))
_HIDDEN_LAYERS = Need("hidden_layer_sizes", "a hidden layer", _has_hidden_layers)
_NORMALIZATION = _one_of("normalization", ("batch", "layer"))
_BATCH_NORMALIZATION = _one_of("normalization", ("batch",))
_MOMENTUM = Need("momentum", "a momentum above 0", lambda p, given: p.momentum > 0)
_DROPOUT = Need("dropout", "a dropout above 0", lambda p, given: bool(np.any(p.dropout)))
_VALIDATION = Need(
    "early_stopping",
    f"rows to validate on, by early_stopping=True and {_STOCHASTIC.words}, or given to fit",
    lambda p, given: given or bool(p.early_stopping) and solver_of(p.solver).minibatches,
)
_NONE_GIVEN = Need(None, "a split of X", lambda p, given: not given)
_NOT_ADAM = Need("solver", "a solver other than 'adam'", lambda p, given: _solver_name(p) != "adam")
# As in scikit-learn, whose schedules these are.
_NOT_ADAM_FOR_SOME = Need(
    "solver",
    "a solver other than 'adam' for 'invscaling' and 'adaptive'",
    lambda p, given: _solver_name(p) != "adam" or not _is_one_of(p.learning_rate, ("invscaling", "adaptive")),
)
_INVSCALING = _one_of("learning_rate", ("invscaling",))
_STALLS = Need(
    "n_iter_no_change",
    "a finite n_iter_no_change for 'adaptive'",
    lambda p, given: not _is_one_of(p.learning_rate, ("adaptive",)) or p.n_iter_no_change < np.inf,
)
_ACTIVATION = Need(
    "hidden_layer_sizes",
    "a hidden layer, but for 'logistic' with initializer='glorot_uniform'",
    _activation_matters,
)
_ACTIVATION_WITH_PARAMETER = Need(
    "activation",
    "a hidden layer whose activation has such a parameter and no tuple of its own",
    _activation_params_matter,
)
_LOG_LOSS = _one_of("loss", ("log_loss",))


# ------------------------------------------------------------------------------------------------------------
# The table

OPTIONS = {
    "hidden_layer_sizes": Option(),
    "activation": Option((_ACTIVATION,)),
    "solver": Option(),
    "alpha": Option(),
    "batch_size": Option((_STOCHASTIC,)),
    "learning_rate": Option((_STOCHASTIC, _NOT_ADAM_FOR_SOME, _STALLS)),
    "learning_rate_init": Option((_STOCHASTIC,)),
    "power_t": Option((_STOCHASTIC, _NOT_ADAM, _INVSCALING)),
    "max_iter": Option(),
    "shuffle": Option((_STOCHASTIC,)),
    "random_state": Option(),
    "tol": Option(note="With n_iter_no_change=inf it changes only what callbacks see."),
    "verbose": Option(
        note="It changes only what is printed. With SciPy 1.15 or later, True prints nothing for 'lbfgs'.",
        on_results=False,
    ),
    "warm_start": Option(note="From the second fit on."),
    "momentum": Option((_solver_with("momentum"),)),
    "nesterovs_momentum": Option((_solver_with("nesterovs_momentum"), _MOMENTUM)),
    "early_stopping": Option((_STOCHASTIC,)),
    "validation_fraction": Option((_STOCHASTIC, _EARLY_STOPPING, _NONE_GIVEN)),
    "beta_1": Option((_solver_with("beta_1"),)),
    "beta_2": Option((_solver_with("beta_2"),)),
    "epsilon": Option((_solver_with("epsilon"),)),
    "n_iter_no_change": Option((_STOCHASTIC,)),
    "max_fun": Option((_one_of("solver", solvers_with("line_search")),)),
    "activation_params": Option(
        (_ACTIVATION_WITH_PARAMETER,), note="A name that no activation of the network has is an error."
    ),
    "initializer": Option(),
    "normalization": Option((_HIDDEN_LAYERS,), note="'batch' with solver='lbfgs' is an error."),
    "norm_momentum": Option((_BATCH_NORMALIZATION, _HIDDEN_LAYERS)),
    "norm_eps": Option((_NORMALIZATION, _HIDDEN_LAYERS)),
    "dropout": Option((_HIDDEN_LAYERS,), (_REGULARIZERS,)),
    "input_dropout": Option((), (_REGULARIZERS,)),
    "alpha_dropout": Option(
        (_HIDDEN_LAYERS, _DROPOUT),
        note="Other activations than 'selu' are an error with it, and so is normalization.",
    ),
    "l1": Option((), (_REGULARIZERS,)),
    "clip_norm": Option((), (_REGULARIZERS,)),
    "clip_value": Option((), (_REGULARIZERS,)),
    "max_norm": Option((_HIDDEN_LAYERS,), (_REGULARIZERS,)),
    "weight_decay": Option((_solver_with("weight_decay"),)),
    "rho": Option((_solver_with("rho"),)),
    "param_groups": Option((), (_STOCHASTIC,)),
    "scoring": Option((_VALIDATION,)),
    "monitor": Option((_STOCHASTIC, _EARLY_STOPPING)),
    "restore_best": Option((_STOCHASTIC, _EARLY_STOPPING)),
    "callbacks": Option(),
    "precision": Option(note="With solver='lbfgs' it changes only predictions, and 'bfloat16' is an error."),
    "n_threads": Option(note="It changes only time and memory.", on_results=False),
    "engine": Option(note="It changes only time, and results by rounding.", on_results=False),
    "profile": Option(note="It adds profile_.", on_results=False),
    "loss": Option(),
    "class_weight": Option(),
    "label_smoothing": Option((), (_LOG_LOSS,)),
    "focal_gamma": Option((_loss_with("focal_gamma", CLASSIFIER_LOSSES),)),
    "huber_delta": Option((_loss_with("huber_delta", REGRESSOR_LOSSES),)),
    "quantile": Option((_loss_with("quantile", REGRESSOR_LOSSES),)),
}


# ------------------------------------------------------------------------------------------------------------
# Checks


@cache
def _defaults(cls, kind):
    """(name, default, needs) of every parameter of a class that has needs of this kind, "needs" or
    "strict".
    """
    defaults = {}
    for each in reversed(cls.__mro__):
        if "__init__" in vars(each):
            defaults |= {
                parameter.name: parameter.default
                for parameter in inspect.signature(each.__init__).parameters.values()
            }
    options = {name: getattr(option, kind) for name, option in OPTIONS.items()}
    return [(name, defaults[name], needs) for name, needs in options.items() if needs and name in defaults]


def _unmet(p, kind, given):
    """(name, default, unmet needs) of every option that is not at its default, where there are any."""
    state = vars(p)
    for name, default, needs in _defaults(type(p), kind):
        value = state.get(name, default)
        if value is default or _is_default(value, default):
            continue
        unmet = [need for need in needs if not need.is_met(p, given)]
        if unmet:
            yield name, default, unmet


def _is_default(value, default):
    """Whether a value is the default's, in another type perhaps, or, in a list of one a layer, the default
    throughout.
    """
    if type(value) in (bool, int, float, str):
        return value == default
    if isinstance(value, dict):
        return not value
    return all(each == default for each in np.ravel(np.asarray(value, dtype=object)).tolist())


def refuse_options(p):
    """Raise ValueError where an option was set that the others do not go with.

    Parameters
    ----------
    p : estimator
    """
    for name, default, needs in _unmet(p, "strict", False):
        words = ", and ".join(need.unmet_words(p) for need in needs)
        raise ValueError(f"{name}={getattr(p, name)!r} needs {words}. Otherwise use {name}={default!r}.")


def warn_of_unused_options(p, held_out):
    """Give an UnusedOptionWarning for every option that was set and has no effect.

    Parameters
    ----------
    p : estimator
        With parameters that are accepted, by themselves and together.
    held_out : tuple
        What `fit` was given to validate on, None each where it was not.
    """
    for name, default, needs in _unmet(p, "needs", any(each is not None for each in held_out)):
        if name in _not_told.get() or _is_candidate_of_scikit_learn():
            continue
        words = ", and ".join(need.unmet_words(p) for need in needs)
        # Without a stacklevel: see `nnfast.reporting.warn`.
        warnings.warn(
            f"{name}={getattr(p, name)!r} has no effect: it needs {words}. Leave it at {default!r}, or "
            "silence this by warnings.simplefilter('ignore', nnfast.UnusedOptionWarning).",
            UnusedOptionWarning,
        )


# ------------------------------------------------------------------------------------------------------------
# Searches: in a candidate, one of the options drawn may leave another without effect, such as "adam" a
# momentum. So they tell of their best candidate alone, which is fitted last.

_not_told = ContextVar("not_told", default=frozenset())


@contextmanager
def not_told(names):
    """Within this context, fits do not warn of these options; the names may have those of a pipeline's steps
    before them.
    """
    token = _not_told.set(frozenset(name.rpartition("__")[2] for name in names))
    try:
        yield
    finally:
        _not_told.reset(token)


def _is_candidate_of_scikit_learn():
    """Whether one of scikit-learn's searches is fitting a candidate, in which case `not_told` has nobody to
    call it.

    There would be a warning for every candidate and fold, since scikit-learn starts Python's filters anew for
    each.
    """
    frame = sys._getframe()
    while frame is not None:
        if (
            frame.f_code.co_name == "_fit_and_score"
            and frame.f_globals.get("__name__") == "sklearn.model_selection._validation"
        ):
            return bool(frame.f_locals.get("parameters"))
        frame = frame.f_back
    return False
