"""Constructor parameters: every one of them with values that are accepted and values that are refused."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import InvalidParameterError
from small import BOTH, QUIET, UNUSED_OPTIONS, small, table

import nnfast
from nnfast import MLPClassifier, MLPRegressor, QuantileCrossingWarning
from nnfast.activations import ACTIVATIONS, ALIASES
from nnfast.callbacks import Callback, TimeLimit
from nnfast.engines import ENGINES
from nnfast.engines.cython import bfloat16_units
from nnfast.initializers import INITIALIZERS
from nnfast.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from nnfast.normalization import NORMALIZATIONS
from nnfast.optimizers import OPTIMIZERS, Lion
from nnfast.parameters import CLASSIFIER_CONSTRAINTS, REGRESSOR_CONSTRAINTS
from nnfast.schedules import SCHEDULES

pytestmark = QUIET


def halved(progress):
    return 1 - progress / 2


def scorer(estimator, X, y):
    return (accuracy_score if isinstance(estimator, MLPClassifier) else r2_score)(y, estimator.predict(X))


# name: (values that are accepted, with what else they need; values that are refused)
BOTHS = {
    "hidden_layer_sizes": (
        [(), (3,), [4, 2], 5, np.array([2, 2])],
        [0, (3, 0), (3, -1), (3, 2.5), "wide", None],
    ),
    "activation": (
        [*ACTIVATIONS, *ALIASES, ("leaky_relu", 0.3), ("elu", {"alpha": 0.5}), ["tanh"], [("softplus", 2.0)]],
        [
            "rellu",
            3,
            None,
            ["relu", "tanh"],
            ["rellu"],
            ("relu", 0.1),
            ("elu", -1.0),
            ("relu", "tanh"),
            np.tanh,
            [np.tanh],
            nnfast.Loss(max),
        ],
    ),
    "solver": (["lbfgs", *OPTIMIZERS, Lion(beta_2=0.9)], ["adamx", 3, None, Lion, ("adam",)]),
    "alpha": ([0, 0.1], [-1.0, "much", None]),
    "batch_size": (["auto", 1, 7], [0, 2.5, "aut", None]),
    "learning_rate": ([*SCHEDULES, halved, SCHEDULES["cosine"]()], ["cosin", 0.1, None, SCHEDULES["cosine"]]),
    "learning_rate_init": ([0.01, "auto"], [0, -0.1, None, "Auto"]),
    "power_t": ([0, 0.3], [-1.0, None]),
    "max_iter": ([1, 3], [0, 2.5, None]),
    "shuffle": ([True, False, "blocks"], ["yes", "block", None]),
    "random_state": ([None, 7, np.random.RandomState(0)], ["seed", -1]),
    "tol": ([0, 0.1], [-0.1, None]),
    "verbose": ([True, 2, "progress"], ["progres", None]),
    "warm_start": ([True, "full"], ["ful", None]),
    "momentum": ([0, 0.5, 1], [1.5, -0.1, None]),
    "nesterovs_momentum": ([True, False], ["yes", None]),
    "early_stopping": ([True, False], ["yes", None]),
    "validation_fraction": ([0, 0.3], [1.0, -0.1, None]),
    "beta_1": ([0, 0.5], [1.0, -0.1, None]),
    "beta_2": ([0, 0.5], [1.0, -0.1, None]),
    "epsilon": ([1e-3], [0, None]),
    "n_iter_no_change": ([1, np.inf], [0, None]),
    "max_fun": ([1, 30], [0, None]),
    "activation_params": (
        [None, ({"negative_slope": 0.2}, {"activation": "leaky_relu"})],
        [{"slope": 1}, 0.2],
    ),
    "initializer": (["auto", *INITIALIZERS], ["he_norm", None, 3]),
    "normalization": ([None, *NORMALIZATIONS], ["bach", True]),
    "norm_momentum": ([0.5, 1], [0, 1.1, None]),
    "norm_eps": ([1e-3], [0, None]),
    "dropout": (
        [0, 0.3, [0.3], (0.5,), np.array([0.2]), (0.3, "cosine"), [(0.3, SCHEDULES["linear"]())]],
        [1.0, -0.1, [1.0], [0.1, 0.2], [[0.1]], [0.1, [0.1]], ["a"], "half", None, (1.0, "cosine")],
    ),
    "input_dropout": ([0, 0.3, (0.3, halved)], [1.0, -0.1, [0.1], None, (0.1, 0.2), (0.1, "cosin")]),
    "alpha_dropout": ([False, (True, {"activation": "selu", "dropout": 0.1})], ["yes", None]),
    "l1": ([0, 0.1], [-0.1, None]),
    "clip_norm": ([None, 1.0], [0, -1.0, "1"]),
    "clip_value": ([None, 1.0], [0, -1.0, "1"]),
    "max_norm": ([None, 1.0], [0, -1.0, "1"]),
    "weight_decay": (
        [0, 0.1, (0.1, "cosine")],
        [-0.1, None, (-0.1, "cosine"), (0.1, "plateau"), (0.1,)],
    ),
    "rho": ([0, 0.5], [1.0, -0.1, None]),
    "param_groups": (
        [None, {}, {"*.bias": {"learning_rate": 0.5, "schedule": "cosine"}, "layers.0.*": {"beta_1": 0.5}}],
        [[], 0.1, "*", {"layers.9.*": {}}, {"*": 0.1}, {"*": {"lr": 1}}, {"*": {"beta_1": 1.0}}],
    ),
    "scoring": ([None, "loss", scorer], ["los", 3]),
    "monitor": (["score", "loss"], ["los", None]),
    "restore_best": ([True, False], ["yes", None]),
    "callbacks": ([None, [], [TimeLimit(60)], (TimeLimit(60),)], [TimeLimit(60), "print"]),
    "precision": (
        ["auto", "float32", "float64", *(["bfloat16"] if bfloat16_units() else [])],
        ["float16", "flaot32", None],
    ),
    "n_threads": ([None, 1, 2], [0, "all"]),
    "engine": (["auto", *ENGINES], ["blas", "cythn", None]),
    "profile": ([True, False], ["yes", None]),
}
ONES = {
    MLPClassifier: {
        "loss": ([*CLASSIFIER_LOSSES], ["logloss", "focall", "squared_error", None, max, nnfast.Loss(max)]),
        "class_weight": (
            [None, "balanced", {0: 2.0}, {0: 1, 1: 3}],
            ["balance", 3, {0: -1.0}, {0: "a"}, {7: 1.0}, [{0: 1.0}]],
        ),
        "label_smoothing": ([0, 0.1], [1.0, -0.1, None]),
        "focal_gamma": ([0, 1, 2.5], [-0.1, None]),
    },
    MLPRegressor: {
        "loss": (
            [each for each in REGRESSOR_LOSSES if each != "gamma"],
            ["huberr", "log_loss", "mse", None, max, nnfast.Activation(abs)],
        ),
        "huber_delta": ([0.1], [0, None]),
        "quantile": (
            [0.9, [0.1, 0.9], (0.5,), np.array([0.2, 0.7])],
            [0, 1.0, "a", [0.9, 0.1], [0.5, 0.5], [0.0, 0.5], [], [[0.5]], [0.1, [0.2]], None],
        ),
    },
}
# What a refused value is only seen with.
NEEDS = {"quantile": {"loss": "quantile"}, "dropout": {}}


def _cases(which):
    for cls, own in ONES.items():
        for name, values in (BOTHS | own).items():
            for i, value in enumerate(values[which]):
                with_more = (
                    which == 0 and isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict)
                )
                with_more = with_more and name in ("activation_params", "alpha_dropout")
                value, more = value if with_more else (value, {})
                yield pytest.param(
                    cls, name, value, NEEDS.get(name, {}) | more, id=f"{cls.__name__}-{name}-{i}"
                )


def same(a, b):
    """Whether two values of a parameter are the same, or at least of the same kind."""
    return type(a) is type(b) and (
        repr(a) == repr(b) or not isinstance(a, str | int | float | list | tuple | dict)
    )


@BOTH
def test_the_table_is_complete(cls):
    names = set(inspect.signature(cls).parameters)
    assert names == set(BOTHS | ONES[cls]) == set(cls._parameter_constraints)
    assert CLASSIFIER_CONSTRAINTS is MLPClassifier._parameter_constraints
    assert REGRESSOR_CONSTRAINTS is MLPRegressor._parameter_constraints


@UNUSED_OPTIONS
@pytest.mark.parametrize("cls, name, value, more", list(_cases(0)))
def test_accepted(cls, name, value, more, capsys):
    X, y = table()
    estimator = small(cls, **{"max_iter": 2} | more | {name: value})
    for copy in (
        clone(estimator),
        pickle.loads(pickle.dumps(estimator)),
        small(cls, **more).set_params(**{name: value}),
    ):
        assert same(copy.get_params()[name], value)
    assert name in repr(estimator) or same(value, inspect.signature(cls).parameters[name].default)
    estimator.fit(X, y)
    again = pickle.loads(pickle.dumps(estimator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuantileCrossingWarning)
        assert np.array_equal(again.predict(X), estimator.predict(X))
    if name != "warm_start":
        assert clone(estimator).fit(X, y).n_iter_ == estimator.n_iter_


@BOTH
def test_an_estimator_pickled_before_a_parameter_existed_has_its_default(cls):
    X, y = table()
    defaults = cls().get_params()
    for name, default in defaults.items():
        estimator = cls(max_iter=2, random_state=0).fit(X, y)
        expected = estimator.predict(X)
        delattr(estimator, name)
        again = pickle.loads(pickle.dumps(estimator))
        assert again.get_params()[name] is default or again.get_params()[name] == default
        assert name not in repr(again) and name not in repr(clone(again))
        np.testing.assert_array_equal(again.predict(X), expected)
    assert again.fit(X, y) is again
    # What an estimator has is not replaced by a default.
    estimator = cls((3,), activation="tanh", profile=True)
    assert pickle.loads(pickle.dumps(estimator)).get_params() == estimator.get_params()


@pytest.mark.parametrize("cls, name, value, more", list(_cases(1)))
def test_refused(cls, name, value, more):
    X, y = table()
    with pytest.raises((ValueError, TypeError), match=name) as caught:
        small(cls, **more | {name: value}).fit(X, y)
    message = str(caught.value)
    if isinstance(value, dict):
        assert any(repr(each) in message for each in (*value, *value.values()))
    elif isinstance(value, list | tuple) and value and isinstance(value[0], str):
        assert repr(value[0]) in message
    else:
        assert repr(value).strip("()[]") in message


@BOTH
@pytest.mark.parametrize(
    "name, value, meant",
    [
        ("activation", "rellu", "relu"),
        ("activation", "ReLU", "relu"),
        ("activation", ["rellu"], "relu"),
        ("activation", "sigmod", "sigmoid"),
        ("solver", "AdamW", "adamw"),
        ("solver", "l-bfgs", "lbfgs"),
        ("learning_rate", "cosin", "cosine"),
        ("loss", None, None),
        ("initializer", "he-normal", "he_normal"),
        ("normalization", "batchnorm", "batch"),
        ("precision", "single", "float32"),
        ("precision", "flaot32", "float32"),
        ("engine", "cyton", "cython"),
        ("monitor", "los", "loss"),
        ("scoring", "acuracy", "accuracy"),
        ("verbose", "progres", "progress"),
        ("warm_start", "Full", "full"),
        ("batch_size", "autoo", "auto"),
    ],
)
def test_misspelt_words_are_guessed(cls, name, value, meant):
    if name == "loss":
        value, meant = ("focla", "focal") if cls is MLPClassifier else ("squared_eror", "squared_error")
    with pytest.raises(ValueError) as caught:
        small(cls, **{name: value}).fit(*table())
    message = str(caught.value)
    assert ("Did you mean" in message) == (meant is not None)
    assert meant is None or message.endswith(f" Did you mean {meant!r}?")
    if isinstance(value, str):
        assert isinstance(caught.value, InvalidParameterError)
        assert message.startswith(f"The {name!r} parameter of {cls.__name__} must be ")
        assert f"Got {value!r} instead." in message


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"alpha_dropout": True}, "alpha_dropout=True .*'selu'.*'relu'"),
        (
            {"alpha_dropout": True, "activation": ["selu", "tanh"], "hidden_layer_sizes": (3, 3)},
            "alpha_dropout.*'tanh'",
        ),
        (
            {"alpha_dropout": True, "activation": "selu", "dropout": 0.1, "normalization": "batch"},
            "alpha_dropout=True .*normalization='batch'.*normalization=None, or alpha_dropout=False",
        ),
        (
            {"alpha_dropout": True, "activation": "selu", "dropout": [0.1], "normalization": "layer"},
            "normalization='layer'",
        ),
        ({"loss": "focal", "label_smoothing": 0.1}, "label_smoothing=0.1.*'focal'"),
        ({"solver": "lbfgs", "normalization": "batch"}, "'lbfgs'.*normalization='batch'"),
        ({"solver": "lbfgs", "dropout": 0.1}, "dropout=0.1.*'lbfgs'"),
        ({"solver": "lbfgs", "dropout": [0.1]}, "dropout=.*'lbfgs'"),
        ({"solver": "lbfgs", "input_dropout": 0.1}, "input_dropout=0.1.*'lbfgs'"),
        ({"solver": "lbfgs", "l1": 0.1}, "l1=0.1.*'lbfgs'"),
        ({"solver": "lbfgs", "clip_norm": 1.0}, "clip_norm=1.0.*'lbfgs'"),
        ({"solver": "lbfgs", "clip_value": 1.0}, "clip_value=1.0.*'lbfgs'"),
        ({"solver": "lbfgs", "max_norm": 1.0}, "max_norm=1.0.*'lbfgs'"),
        ({"activation": ["relu"], "hidden_layer_sizes": (3, 3)}, "activation.*2 hidden layers"),
        ({"dropout": [0.1], "hidden_layer_sizes": (3, 3)}, "dropout.*2 hidden layers"),
        (
            {"activation_params": {"slope": 0.1}, "activation": "leaky_relu"},
            "activation_params.*'slope'.*negative_slope",
        ),
        (
            {"activation_params": {"negative_slop": 0.1}, "activation": "leaky_relu"},
            r"Did you mean 'negative_slope'\?$",
        ),
        ({"callbacks": [3]}, "callbacks.*on_epoch_end.*3"),
        ({"callbacks": [Callback]}, r"callbacks.*Did you mean Callback\(\)\?"),
        ({"callbacks": TimeLimit(3)}, r"callbacks.*Did you mean a list, \[TimeLimit\(\.\.\.\)\]\?$"),
        ({"callbacks": TimeLimit}, r"callbacks.*Did you mean a list, \[TimeLimit\(\.\.\.\)\]\?$"),
        ({"solver": Lion}, r"solver.*Did you mean Lion\(\)\?$"),
        ({"learning_rate": SCHEDULES["cosine"]}, r"learning_rate.*Did you mean Cosine\(\)\?$"),
        ({"learning_rate": 0.1}, r"learning_rate.*The rate itself is learning_rate_init\.$"),
    ],
)
def test_contradictions(parameters, words):
    X, y = table()
    estimator = small(**parameters)
    before = pickle.dumps(estimator)
    with pytest.raises((ValueError, TypeError), match=f"(?s){words}"):
        estimator.fit(X, y)
    assert pickle.dumps(estimator) == before


@UNUSED_OPTIONS
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_alpha_dropout_of_nothing_has_no_effect(normalization):
    X, y = table()
    ours, plain = (
        small(
            activation="selu", normalization=normalization, input_dropout=0.1, alpha_dropout=alpha_dropout
        ).fit(X, y)
        for alpha_dropout in (True, False)
    )
    assert ours.loss_curve_ == plain.loss_curve_


def test_lbfgs_takes_the_rest():
    X, y = table()
    parameters = {
        "activation": [("elu", 0.5), "gelu"],
        "initializer": "auto",
        "normalization": "layer",
        "class_weight": "balanced",
    }
    estimator = small(hidden_layer_sizes=(4, 3), solver="lbfgs", label_smoothing=0.1, **parameters).fit(X, y)
    assert len(estimator.norm_scales_) == 2
    assert not hasattr(estimator, "running_means_")
    small(MLPRegressor, solver="lbfgs", loss="quantile", quantile=[0.2, 0.8]).fit(X, y)


def test_grids():
    X, y = table()
    grid = {
        "activation": ["relu", ["selu", ("elu", 0.5)]],
        "dropout": [0.0, [0.1, 0.2]],
        "solver": ["adam", Lion()],
        "class_weight": [None, {0: 2.0}],
    }
    search = GridSearchCV(small(hidden_layer_sizes=(3, 3), max_iter=1), grid, cv=2, error_score="raise").fit(
        X, y
    )
    assert len(search.cv_results_["params"]) == 16
    search = GridSearchCV(
        small(MLPRegressor, max_iter=1), {"loss": ["huber", "quantile"], "quantile": [0.5, [0.1, 0.9]]}, cv=2
    )
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()


def test_a_subclass_may_validate_less():
    class Loose(MLPClassifier):
        _parameter_constraints = {**MLPClassifier._parameter_constraints, "alpha": "no_validation"}

        def __init__(self, alpha=0.1):
            super().__init__(alpha=alpha, max_iter=1)

    assert Loose(alpha=np.float32(0.1)).fit(*table()).n_iter_ == 1


def test_layers_in_the_place_of_the_loss():
    """scikit-learn's order of arguments, which the classifier does not have."""
    with pytest.raises(
        InvalidParameterError,
        match=r"'loss' parameter .* Got \(64, 64\) instead.* did you mean hidden_layer_sizes\?",
    ):
        MLPRegressor((64, 64)).fit([[0.0], [1.0]], [0.0, 1.0])
