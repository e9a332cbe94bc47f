"""Options without effect: the table of what each option needs, by experiment, and the warnings and errors
made of it.
"""

import inspect
import pickle
import warnings
from functools import cache

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import BOTH, QUIET, small, table

from nnfast import MLPClassifier, MLPRegressor, UnusedOptionWarning
from nnfast.callbacks import Callback
from nnfast.optimizers import SGD, Adam
from nnfast.option_needs import OPTIONS
from nnfast.tuning import CoarseToFineSearchCV, HyperbandSearchCV, lr_find

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
    **{
        solver: {"solver": solver}
        for solver in ("sgd", "adamw", "nadam", "rmsprop", "adagrad", "lion", "adabelief")
    },
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
    "tol": [10.0, 1e-5],
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
    "param_groups": [{"*.bias": {"learning_rate": 3.0}}],
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
    state = {name: value for name, value in vars(estimator).items() if name.endswith("_")} | {
        "predicted": estimator.predict(X)
    }
    state |= {"probabilities": estimator.predict_proba(X)} if is_classifier(estimator) else {}
    state["history_"] = {name: values for name, values in estimator.history_.items() if name != "seconds"}
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


EACH_OPTION = pytest.mark.parametrize(
    "cls, name", [(cls, name) for cls in OWN_SETTINGS for name in inspect.signature(cls).parameters]
)


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
    """An option that needs something has no effect at all without it, and a warning; with it, it has one, and
    no warning.
    """
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


# ------------------------------------------------------------------------------------------------------------
# What is said, and when


def told(call, *args, **kwargs):
    """The messages of a call's UnusedOptionWarnings, as Python's own filters show them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("default", category=UnusedOptionWarning)
        call(*args, **kwargs)
    return [str(each.message) for each in caught]


@BOTH
def test_the_message(cls):
    X, y = table()
    (message,) = told(small(cls, weight_decay=10.0).fit, X, y)
    assert message == (
        "weight_decay=10.0 has no effect: it needs solver='adamw' or 'lion', got solver='adam'. Leave it at "
        "0.01, or silence this by warnings.simplefilter('ignore', nnfast.UnusedOptionWarning)."
    )
    (message,) = told(small(cls, momentum=0.5, solver=SGD()).fit, X, y)
    assert "solver=SGD(momentum=0.9, nesterov=True), which has hyperparameters of its own." in message
    (message,) = told(
        small(cls, validation_fraction=0.2, early_stopping=True).fit,
        X,
        y,
        validation_indices=[0, 1, 2, 3, 4, 5],
    )
    assert "it needs a split of X, but fit was given rows to validate on." in message
    (message,) = told(small(cls, power_t=0.2).fit, X, y)
    assert (
        "other than 'adam', got solver='adam', and learning_rate='invscaling', got learning_rate='constant'."
        in message
    )
    # the filters of these tests: an error, which leaves the estimator as it was
    with pytest.raises(UnusedOptionWarning):
        small(cls, weight_decay=10.0).fit(X, y)


@BOTH
def test_values_equal_to_the_default_are_none(cls):
    X, y = table()
    equal = {
        "weight_decay": np.float32(0.01).astype(float).round(2),
        "momentum": float("0.9"),
        "nesterovs_momentum": np.True_,
        "validation_fraction": np.float64(0.1),
        "max_fun": np.int64(15000),
        "activation_params": {},
        "monitor": "".join(["sc", "ore"]),
    }
    equal |= {"quantile": [0.5]} if cls is MLPRegressor else {"focal_gamma": 2}
    assert told(small(cls, **equal).fit, X, y) == []
    assert told(small(cls, hidden_layer_sizes=(), dropout=[], activation=[]).fit, X, y) == []
    assert told(small(cls, solver="lbfgs", batch_size="auto", dropout=[0.0], l1=0).fit, X, y) == []
    assert told(pickle.loads(pickle.dumps(small(cls))).fit, X, y) == []


@BOTH
def test_partial_fit_tells_once(cls):
    X, y = table()
    estimator = small(cls, monitor="loss")
    classes = {"classes": [0, 1]} if cls is MLPClassifier else {}
    assert [len(told(estimator.partial_fit, X, y, **classes)) for _ in range(3)] == [1, 0, 0]
    assert [len(told(estimator.fit, X, y)) for _ in range(2)] == [1, 1]  # every fit does
    assert told(estimator.partial_fit, X, y) == []


@BOTH
def test_subclasses_have_defaults_of_their_own(cls):
    class Momentous(cls):
        def __init__(self, momentum=0.5, **parameters):
            super().__init__(momentum=momentum, **parameters)

    X, y = table()
    assert told(Momentous(max_iter=2).fit, X, y) == []
    assert len(told(Momentous(momentum=0.9, max_iter=2, rho=0.8).fit, X, y)) == 2


def test_errors_come_first():
    X, y = table()
    with pytest.raises(
        ValueError,
        match=(
            "label_smoothing=0.1 needs loss='log_loss', got loss='focal'. Otherwise use label_smoothing=0.0."
        ),
    ):
        small(loss="focal", label_smoothing=0.1, rho=0.5).fit(X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small(rho=0.5).fit(X, y[:-1])


# ------------------------------------------------------------------------------------------------------------
# Searches

SPACE = {"solver": ["adam", "sgd"], "momentum": [0.5, 0.8]}
STEPPED = {f"mlpclassifier__{name}": values for name, values in SPACE.items()}
SEARCHES = {
    "grid": lambda estimator, space: GridSearchCV(estimator, space, cv=2),
    "drawn": lambda estimator, space: RandomizedSearchCV(estimator, space, n_iter=4, cv=2, random_state=0),
    "coarse to fine": lambda estimator, space: CoarseToFineSearchCV(
        estimator, space, cv=2, n_candidates=4, n_rounds=1, random_state=0
    ),
    "hyperband": lambda estimator, space: HyperbandSearchCV(
        estimator, space, cv=2, max_epochs=3, random_state=0
    ),
}
ESTIMATORS = {
    "network": (small, SPACE),
    "pipeline": (lambda **parameters: make_pipeline(StandardScaler(), small(**parameters)), STEPPED),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("search", SEARCHES)
def test_searches_tell_of_what_they_do_not_draw(search, kind):
    X, y = table()
    make, space = ESTIMATORS[kind]

    # Once, not once a candidate and fold, for the one that is fitted at the end.
    messages = told(SEARCHES[search](make(rho=0.5), space).fit, X, y)
    assert [message for message in messages if message.startswith("rho=0.5 ")] == messages[-1:]
    # scikit-learn's do not say which options of that one they have drawn.
    assert len(messages) == 1 or "momentum" in messages[0] and search in ("grid", "drawn")
    assert told(SEARCHES[search](make(rho=0.5), space).set_params(refit=False).fit, X, y) == []


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_search_of_other_estimators_does_not_tell_of_its_candidates(solver):
    X, y = table()
    space = {"regressor__max_iter": [2, 3], "regressor__rho": [0.5, 0.6]}
    inner = small(MLPRegressor, solver=solver, batch_size="auto")
    assert (
        told(
            CoarseToFineSearchCV(
                TransformedTargetRegressor(inner), space, cv=2, n_candidates=4, n_rounds=1, random_state=0
            ).fit,
            X,
            y,
        )
        == []
    )


def test_the_rate_finder_tells_nothing():
    assert told(lr_find, small(monitor="loss"), *table(200)) == []
