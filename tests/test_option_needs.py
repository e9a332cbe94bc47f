"""Options without effect: the table of what each option needs, by experiment, and the warnings and errors made of it."""

import inspect
import warnings
from functools import cache

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from small import BOTH, QUIET, small, table

from nnfast import MLPClassifier, MLPRegressor, UnusedOptionWarning
from nnfast.callbacks import Callback
from nnfast.option_needs import OPTIONS
from nnfast.optimizers import SGD, Adam

pytestmark = QUIET

# What lets every option show: the fit stalls before it ends.
BASE = {
    "hidden_layer_sizes": (5,),
    "batch_size": 16,
    "max_iter": 20,
    "learning_rate_init": 0.02,
    "random_state": 0,
    "tol": 0.05,
    "n_iter_no_change": 3,
}
GIVEN = "rows given to fit"

# What the other options are: parameters by what they are for, of both classes or of one.
SETTINGS = {
    "base": {},
    **{solver: {"solver": solver} for solver in ("sgd", "adamw", "nadam", "rmsprop", "adagrad", "lion")},
    "lbfgs": {"solver": "lbfgs", "max_iter": 5, "tol": 1e-9},
    "sgd without momentum": {"solver": "sgd", "momentum": 0.0},
    "record of sgd": {"solver": SGD()},
    "record of adam": {"solver": Adam()},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "adam with invscaling": {"learning_rate": "invscaling"},
    "lbfgs with invscaling": {"solver": "lbfgs", "max_iter": 5, "tol": 1e-9, "learning_rate": "invscaling"},
    "no stalls": {"solver": "sgd", "n_iter_no_change": np.inf},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.5},
    "early stopping by loss": {"early_stopping": True, "monitor": "loss", "learning_rate_init": 2.0},
    "lbfgs with early stopping": {"solver": "lbfgs", "max_iter": 5, "tol": 1e-9, "early_stopping": True},
    "given rows": {GIVEN: True},
    "given rows, early stopping": {GIVEN: True, "early_stopping": True, "learning_rate_init": 0.5},
    "given rows, lbfgs": {GIVEN: True, "solver": "lbfgs", "max_iter": 5, "tol": 1e-9},
    "batch normalization": {"normalization": "batch"},
    "layer normalization": {"normalization": "layer"},
    "linear": {"hidden_layer_sizes": ()},
    "linear with normalization": {"hidden_layer_sizes": (), "normalization": "batch"},
    "linear with he_normal": {"hidden_layer_sizes": (), "initializer": "he_normal"},
    "selu": {"activation": "selu"},
    "selu with dropout": {"activation": "selu", "dropout": 0.2},
    "linear selu with dropout": {"hidden_layer_sizes": (), "activation": "selu", "dropout": 0.2},
    "leaky_relu": {"activation": "leaky_relu"},
    "leaky_relu with its parameter": {"activation": ("leaky_relu", 0.3)},
    "linear leaky_relu": {"hidden_layer_sizes": (), "activation": "leaky_relu"},
}
OWN_SETTINGS = {
    MLPClassifier: {"focal": {"loss": "focal"}},
    MLPRegressor: {"huber": {"loss": "huber"}, "quantile": {"loss": "quantile"}},
}


class Stop(Callback):
    def on_epoch_end(self, estimator, state):
        state.stop()


# Values other than the default, each with an effect wherever there is one.
VALUES = {
    "hidden_layer_sizes": [(3,)],
    "activation": ["tanh", "logistic"],
    "solver": ["nadam"],
    "alpha": [1.0],
    "batch_size": [7],
    "learning_rate": ["adaptive", "invscaling", "cosine"],
    "learning_rate_init": [0.005],
    "power_t": [0.3],
    "max_iter": [2],
    "shuffle": [False],
    "random_state": [1],
    "tol": [0.5, 1e-5],
    "verbose": [True],
    "warm_start": [True],
    "momentum": [0.5],
    "nesterovs_momentum": [False],
    "early_stopping": [True],
    "validation_fraction": [0.3],
    "beta_1": [0.7],
    "beta_2": [0.9],
    "epsilon": [0.01],
    "n_iter_no_change": [1],
    "max_fun": [2],
    "activation_params": [{"negative_slope": 0.5}],
    "initializer": ["lecun_normal"],
    "normalization": ["batch", "layer"],
    "norm_momentum": [0.5],
    "norm_eps": [0.1],
    "dropout": [0.3],
    "input_dropout": [0.3],
    "alpha_dropout": [True],
    "l1": [0.5],
    "clip_norm": [0.01],
    "clip_value": [0.01],
    "max_norm": [0.5],
    "weight_decay": [1.0],
    "rho": [0.5],
    "scoring": ["loss"],
    "monitor": ["loss"],
    "restore_best": [False],
    "callbacks": [[Stop()]],
    "precision": ["float32"],
    "n_threads": [1],
    "engine": ["cython"],
    "profile": [True],
    "class_weight": [{0: 3.0}],
    "label_smoothing": [0.3],
    "focal_gamma": [1.0],
    "huber_delta": [0.1],
    "quantile": [0.9],
}
LOSSES = {MLPClassifier: "focal", MLPRegressor: "log_cosh"}
# Where an option has an effect that no state shows: see its note.
UNSEEN = {("tol", "no stalls")}


def values_of(cls, name):
    return [LOSSES[cls]] if name == "loss" else VALUES[name]


def fitted(cls, parameters, given, n_fits=1):
    """What a fit leaves behind, by name; the unused options that it told of, by name."""
    X, y = table(60)
    given = {"X_val": X[40:], "y_val": y[40:]} if given else {}
    estimator = cls(**parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(n_fits):
            estimator.fit(X[:40], y[:40], **given)
    told = [str(each.message).partition("=")[0] for each in caught if each.category is UnusedOptionWarning]
    state = {name: value for name, value in vars(estimator).items() if name.endswith("_")} | {"predicted": estimator.predict(X)}
    state |= {"probabilities": estimator.predict_proba(X)} if is_classifier(estimator) else {}
    state["history_"] = {name: values for name, values in state["history_"].items() if name != "seconds"}
    state.pop("profile_", None)
    return state, told


@cache
def fitted_once(cls, setting, n_fits):
    """The same, without an option more than the setting's."""
    parameters = BASE | (SETTINGS | OWN_SETTINGS[cls])[setting]
    return fitted(cls, parameters, parameters.pop(GIVEN, False), n_fits)[0]


def equal(a, b):
    """Whether two states are the same, to the bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f") and type(a) is type(b)


def met(estimator, needs, given=False):
    return all(need.is_met(estimator, given) for need in needs)


def experiments(cls, name):
    """(value, setting, parameters, whether fit is given rows) of every experiment with an option."""
    for setting, others in (SETTINGS | OWN_SETTINGS[cls]).items():
        if name not in others and (name, setting) not in UNSEEN:
            for value in values_of(cls, name):
                parameters = BASE | others | {name: value}
                yield value, setting, parameters, parameters.pop(GIVEN, False)


EACH_OPTION = pytest.mark.parametrize("cls, name", [(cls, name) for cls in OWN_SETTINGS for name in inspect.signature(cls).parameters])


@BOTH
def test_the_table_has_every_parameter(cls):
    names = set(inspect.signature(cls).parameters)
    assert names <= set(OPTIONS)
    assert set(OPTIONS) == {name for each in OWN_SETTINGS for name in inspect.signature(each).parameters}
    assert names <= {*VALUES, "loss"}


@EACH_OPTION
def test_every_need_has_an_experiment_that_does_not_meet_it(cls, name):
    needs, unmet = {*OPTIONS[name].needs, *OPTIONS[name].strict}, set()
    for _, _, parameters, given in experiments(cls, name):
        estimator = cls(**parameters)
        unmet |= {need for need in needs if not need.is_met(estimator, given)}
    assert unmet == needs


@EACH_OPTION
def test_the_table_is_true(cls, name, capsys):
    """An option that needs something has no effect at all without it, and a warning; with it, it has one, and no warning."""
    option, n_fits, seen = OPTIONS[name], 2 if name == "warm_start" else 1, {}
    for value, setting, parameters, given in experiments(cls, name):
        estimator = cls(**parameters)
        if not met(estimator, option.strict, given):
            with pytest.raises(ValueError, match=f"{name}=.* needs "):
                fitted(cls, parameters, given)
            continue
        try:
            state, told = fitted(cls, parameters, given, n_fits)
        except ValueError as error:
            assert name in str(error) and option.note
            continue
        used = met(estimator, option.needs, given)
        assert told.count(name) == (0 if used else n_fits), setting
        differs = not equal(state, fitted_once(cls, setting, n_fits))
        assert not differs or used and option.on_results, (value, setting)
        if used:
            seen[setting] = seen.get(setting, False) or differs
    assert not option.on_results or seen and all(seen.values()), seen
