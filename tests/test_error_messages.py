"""Errors of the estimators name the parameter or argument, its value, and what is accepted."""

import functools

import numpy as np
import pytest
from sklearn.metrics import make_scorer, r2_score
from small import QUIET, UNUSED_OPTIONS

import nnfast.validation
from nnfast import MLPClassifier, MLPRegressor

pytestmark = QUIET

N = 40
X = np.random.RandomState(0).standard_normal((N, 3))
Y = (X[:, 0] > 0).astype(int)
NAMES = np.array(["no", "yes"])[Y]

# ------------------------------------------------------------------------------------------------------------
# The rows that early stopping holds out

SPLITS = {
    "nothing held out": (MLPClassifier, 0, Y, "that is 0, and leaves 40"),
    "one row for two classes": (
        MLPClassifier,
        0.01,
        Y,
        "that is 1, and leaves 39 to train on: too few for the 2 classes",
    ),
    "nothing left": (MLPClassifier, 0.99, Y, "that is 40, and leaves 0"),
    "one row left for two classes": (
        MLPClassifier,
        0.96,
        NAMES,
        "that is 39, and leaves 1 to train on: too few for the 2 classes",
    ),
    "a class of one row": (
        MLPClassifier,
        0.3,
        np.where(np.arange(N) == 7, "rare", "often"),
        "class rare has one row in all",
    ),
    "labels, nothing held out": (MLPClassifier, 0, np.column_stack([Y, Y]), "that is 0"),
    "one row": (MLPRegressor, 0.01, X[:, 0], "too small"),
    "no row": (MLPRegressor, 0.0, X[:, 0], "that is 0"),
    "none left": (MLPRegressor, 0.99, X[:, 0], "leaves 0"),
}


@pytest.mark.parametrize("shuffle", [True, "blocks"])
@pytest.mark.parametrize("name", SPLITS)
def test_rows_held_out_that_cannot_be_drawn(name, shuffle):
    cls, fraction, y, words = SPLITS[name]
    if shuffle == "blocks" and name not in ("nothing held out", "no row", "nothing left", "none left"):
        pytest.skip("blocks are drawn without a look at the classes")
    with pytest.raises(ValueError, match=rf"validation_fraction={fraction} of 40 samples") as caught:
        cls(early_stopping=True, validation_fraction=fraction, shuffle=shuffle).fit(X, y)
    assert words in str(caught.value)
    assert "test_size" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------------
# Scores

SCORES = {
    "a regressor's, of text": (MLPClassifier, "r2", NAMES),
    "a regressor's scorer, of text": (MLPClassifier, make_scorer(r2_score), NAMES),
    "a classifier's": (MLPRegressor, "accuracy", X[:, 0]),
    "a classifier's, of whole numbers": (MLPRegressor, "accuracy", np.arange(float(N))),
    "of probabilities": (MLPRegressor, "neg_log_loss", X[:, 0]),
    "of decisions": (MLPRegressor, "roc_auc", X[:, 0]),
    "of two classes": (MLPClassifier, "f1", np.arange(N) % 3),
    "of clusters": (MLPRegressor, "rand_score", np.column_stack([Y, Y])),
    "text": (MLPClassifier, lambda estimator, X, y: "good", Y),
    "complex": (MLPClassifier, lambda estimator, X, y: 1j, Y),
    "None": (MLPClassifier, lambda estimator, X, y: None, Y),
    "two numbers": (MLPRegressor, lambda estimator, X, y: np.ones(2), X[:, 0]),
    "a metric": (MLPRegressor, r2_score, X[:, 0]),
}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("name", SCORES)
def test_scores_of_the_wrong_kind(name, solver):
    cls, scoring, y = SCORES[name]
    estimator = cls(scoring=scoring, solver=solver, early_stopping=solver == "adam", max_iter=2)
    with pytest.raises(ValueError, match="scoring") as caught:
        estimator.fit(X, y, X_val=X, y_val=y)
    assert repr(scoring) in str(caught.value)
    if isinstance(scoring, str):
        assert "Use a score for a" in str(caught.value)
        assert caught.value.__cause__ is not None


class TheirOwn(Exception):
    pass


def test_errors_of_the_users_scorer_are_theirs():
    def scorer(estimator, X, y):
        raise TheirOwn("mine")

    with pytest.raises(TheirOwn, match="^mine") as caught:
        MLPClassifier(scoring=scorer, early_stopping=True).fit(X, Y)
    assert str(caught.value) == "mine"
    assert any("scoring=" in note for note in caught.value.__notes__)


# ------------------------------------------------------------------------------------------------------------
# Sizes

SIZES = [2**62, 2**63, 2**70, (10**9, 10**9), (2**40, 2**40), [2**62], [5, 2**63], np.array([2**62])]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_networks_that_no_memory_can_hold(size, solver):
    for cls in (MLPClassifier, MLPRegressor):
        with pytest.raises((ValueError, MemoryError), match=r"hidden_layer_sizes") as caught:
            cls(hidden_layer_sizes=size, solver=solver).fit(X, Y)
        assert str(max(np.ravel(np.array(size, dtype=object)).tolist())) in str(caught.value)


def test_a_network_may_take_half_of_the_memory(monkeypatch):
    monkeypatch.setattr(nnfast.validation, "_LARGE_BYTES", 0)
    monkeypatch.setattr(nnfast.validation, "memory", lambda: 2 * 8 * (4 * 5 + 6))
    MLPRegressor(hidden_layer_sizes=(5,), max_iter=1, tol=1e9).fit(X, Y)
    with pytest.raises(
        MemoryError, match=r"hidden_layer_sizes=\(6,\) with 3 inputs and 1 outputs makes 31 parameters"
    ):
        MLPRegressor(hidden_layer_sizes=(6,), max_iter=1, tol=1e9).fit(X, Y)


REALS = {
    "alpha": {},
    "learning_rate_init": {},
    "tol": {},
    "epsilon": {},
    "l1": {},
    "clip_norm": {},
    "clip_value": {},
    "max_norm": {},
    "norm_eps": {"normalization": "layer"},
    "weight_decay": {"solver": "adamw"},
    "power_t": {"solver": "sgd", "learning_rate": "invscaling"},
    "max_iter": {},
    "n_iter_no_change": {},
    "batch_size": {},
    "n_threads": {},
    "max_fun": {"solver": "lbfgs"},
}


@pytest.mark.parametrize("name", [*REALS, "hidden_layer_sizes"])
def test_integers_beyond_any_float(name):
    with pytest.raises(ValueError, match=f"{name}.*1329 bits"):
        MLPRegressor(**{name: 10**400} | REALS.get(name, {})).fit(X, Y)
    if name == "alpha":
        with pytest.raises(ValueError, match="huber_delta"):
            MLPRegressor(loss="huber", huber_delta=10**400).fit(X, Y)
        with pytest.raises(ValueError, match="focal_gamma"):
            MLPClassifier(loss="focal", focal_gamma=10**400).fit(X, Y)


@UNUSED_OPTIONS
@pytest.mark.parametrize("value", [2**31, 2**40, 2**62, 2**63, 2**70])
@pytest.mark.parametrize(
    "name", ["max_iter", "n_iter_no_change", "n_threads", "max_fun", "power_t", "batch_size"]
)
def test_huge_integers_are_numbers_like_others(name, value):
    parameters = {"max_iter": 3, "tol": 1e9, "n_iter_no_change": 1} | REALS[name] | {name: value}
    estimator = MLPRegressor(hidden_layer_sizes=(3,), random_state=0, **parameters)
    if name == "batch_size":
        with pytest.warns(UserWarning, match="batch_size"):
            estimator.fit(X, X[:, 0])
    else:
        estimator.fit(X, X[:, 0])
    assert np.isfinite(estimator.predict(X)).all()


# ------------------------------------------------------------------------------------------------------------
# Arguments


def fitted():
    return MLPClassifier(hidden_layer_sizes=(3,), random_state=0).partial_fit(X, Y, classes=[0, 1])


def fit(cls=MLPClassifier, **parameters):
    return cls(hidden_layer_sizes=(3,), max_iter=1, tol=1e9, **parameters).fit


# what: (call, arguments, keywords, all that the error has to say)
ARGUMENTS = {
    "X with NaN": (fit(), (np.where(X > 1, np.nan, X), Y), {}, ["X", "NaN"]),
    "X with infinity": (fit(), (np.where(X > 1, np.inf, X), Y), {}, ["X", "infinity"]),
    "X of one dimension": (fit(), (X[:, 0], Y), {}, ["2D array", "1D array"]),
    "X of no rows": (fit(), (X[:0], Y[:0]), {}, ["0 sample"]),
    "X of complex numbers": (fit(), (X * 1j, Y), {}, ["X", "complex128"]),
    "X of another width": (fitted().predict, (X[:, :2],), {}, ["X has 2 features", "3"]),
    "y is None": (fit(), (X, None), {}, ["y", "None"]),
    "y of another length": (fit(), (X, Y[:9]), {}, ["[40, 9]"]),
    "y with NaN": (fit(MLPRegressor), (X, np.where(Y, np.nan, 1.0)), {}, ["y", "NaN"]),
    "y of three dimensions": (fit(MLPRegressor), (X, np.ones((N, 2, 2))), {}, ["dim"]),
    "X_val alone": (fit(), (X, Y), {"X_val": X}, ["X_val", "y_val"]),
    "y_val alone": (fit(), (X, Y), {"y_val": Y}, ["X_val", "y_val"]),
    "X_val of another width": (fit(), (X, Y), {"X_val": X[:, :2], "y_val": Y}, ["X_val", "2 features"]),
    "X_val with NaN": (fit(), (X, Y), {"X_val": X * np.nan, "y_val": Y}, ["X_val", "NaN"]),
    "y_val of another length": (fit(), (X, Y), {"X_val": X, "y_val": Y[:9]}, ["y_val", "[40, 9]"]),
    "y_val of another class": (fit(), (X, Y), {"X_val": X, "y_val": Y + 7}, ["y_val", "7"]),
    "y_val of two columns": (
        fit(MLPRegressor),
        (X, X[:, 0]),
        {"X_val": X, "y_val": X[:, :2]},
        ["y_val", "(40, 2)"],
    ),
    "indices and X_val": (
        fit(),
        (X, Y),
        {"X_val": X, "y_val": Y, "validation_indices": [1]},
        ["X_val", "validation_indices"],
    ),
    "indices beyond X": (fit(), (X, Y), {"validation_indices": [99]}, ["validation_indices", "99", "40"]),
    "indices that are text": (
        fit(),
        (X, Y),
        {"validation_indices": ["a"]},
        ["validation_indices", "row numbers"],
    ),
    "classes missing": (MLPClassifier().partial_fit, (X, Y), {}, ["classes"]),
    "classes that y lacks": (
        MLPClassifier().partial_fit,
        (X, Y + 5),
        {"classes": [0, 1]},
        ["y", "classes", "5"],
    ),
    "other classes": (fitted().partial_fit, (X, Y), {"classes": [0, 1, 2]}, ["classes", "[0, 1, 2]"]),
    "y is None in partial_fit": (
        functools.partial(MLPClassifier().partial_fit, classes=[0, 1]),
        (X, None),
        {},
        ["y", "None"],
    ),
    "layer": (fitted().hidden_activations, (X, 3), {}, ["layer", "3", "1"]),
    "class_weight of text": (fit(class_weight={0: "a", 1: 1}), (X, Y), {}, ["class_weight", "'a'", "0"]),
    "class_weight of NaN": (fit(class_weight={0: np.nan, 1: 1}), (X, Y), {}, ["class_weight", "nan"]),
    "class_weight below 0": (fit(class_weight={0: -1, 1: 1}), (X, Y), {}, ["class_weight", "-1"]),
    "class_weight of other classes": (fit(class_weight={5: 1}), (X, Y), {}, ["class_weight", "5"]),
    "class_weight of a list": (fit(class_weight=[{0: 1}]), (X, Y), {}, ["class_weight", "{0: 1}"]),
    "quantile": (
        fit(MLPRegressor, loss="quantile", quantile=[0.5, 0.1]),
        (X, Y),
        {},
        ["quantile", "[0.5, 0.1]"],
    ),
    "dropout": (fit(dropout=[0.1, 0.2]), (X, Y), {}, ["dropout", "[0.1, 0.2]", "1 hidden"]),
    "hidden_layer_sizes of a float": (MLPClassifier([2.5]).fit, (X, Y), {}, ["hidden_layer_sizes", "2.5"]),
    "hidden_layer_sizes of 0": (MLPClassifier([0]).fit, (X, Y), {}, ["hidden_layer_sizes", "0"]),
    "random_state": (fit(random_state=2**70), (X, Y), {}, ["random_state", str(2**70), "4294967295"]),
    "random_state of text": (fit(random_state="a"), (X, Y), {}, ["random_state", "'a'"]),
    "early_stopping in partial_fit": (
        functools.partial(MLPClassifier(early_stopping=True).partial_fit, classes=[0, 1]),
        (X, Y),
        {},
        ["early_stopping", "True", "partial_fit"],
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_errors_name_arguments_and_values(name):
    call, arguments, keywords, words = ARGUMENTS[name]
    with pytest.raises((TypeError, ValueError)) as caught:
        call(*arguments, **keywords)
    said = str(caught.value)
    assert [word for word in words if word not in said] == [], said
