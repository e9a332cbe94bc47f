"""States that are moved over from scikit-learn: they predict, or the error names what is missing."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from small import QUIET
from states import THREE, X

from nnfast import (
    MLPClassifier,
    MLPRegressor,
)

pytestmark = QUIET


# ------------------------------------------------------------------------------------------------------------
# scikit-learn's own fitted state

RNG = np.random.RandomState(0)
THEIRS = {
    "two classes": (TheirClassifier, MLPClassifier, THREE > 0),
    "three classes": (TheirClassifier, MLPClassifier, np.array(["a", "b", "c"])[THREE]),
    "labels": (TheirClassifier, MLPClassifier, RNG.randint(0, 2, (12, 3))),
    "one target": (TheirRegressor, MLPRegressor, X[:, 0]),
    "several targets": (TheirRegressor, MLPRegressor, X[:, :2]),
}


def their_fit(what, solver, dtype):
    theirs, ours, y = THEIRS[what]
    return (
        theirs(hidden_layer_sizes=(5, 3), solver=solver, max_iter=3, random_state=0).fit(X.astype(dtype), y),
        ours,
        y,
    )


def by_attributes(theirs, cls):
    ours = cls(**theirs.get_params())
    moved = {
        name: copy.deepcopy(value)
        for name, value in vars(theirs).items()
        if name.endswith("_") or name in ("_label_binarizer", "_optimizer")
    }
    vars(ours).update(moved)
    return ours


def by_state(theirs, cls):
    ours = cls()
    ours.__setstate__(copy.deepcopy(theirs).__getstate__())
    return ours


@pytest.mark.parametrize("move", [by_attributes, by_state])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("what", THEIRS)
def test_a_state_of_scikit_learn_predicts_the_same(what, solver, dtype, move):
    theirs, cls, y = their_fit(what, solver, dtype)
    ours, table, tolerance = (
        move(theirs, cls),
        X.astype(dtype),
        {"rtol": 1e-5 if dtype == "float32" else 1e-12},
    )
    assert ours.get_params().items() >= theirs.get_params().items()
    for method in (
        ("predict_proba", "predict_log_proba") if hasattr(theirs, "predict_proba") else ("predict",)
    ):
        expected, got = getattr(theirs, method)(table), getattr(ours, method)(table)
        np.testing.assert_allclose(got, expected, **tolerance)
        assert got.dtype == expected.dtype
    np.testing.assert_array_equal(ours.predict(table).shape, theirs.predict(table).shape)
    assert ours.score(table, y) == pytest.approx(theirs.score(table, y), rel=1e-5)
    if cls is MLPClassifier:
        np.testing.assert_array_equal(ours.predict(table), theirs.predict(table))
        np.testing.assert_array_equal(ours.compiled().predict(table), theirs.predict(table))
    assert not hasattr(ours, "_sklearn_version")


@pytest.mark.parametrize("move", [by_attributes, by_state])
@pytest.mark.parametrize("what", THEIRS)
def test_partial_fit_on_a_state_of_scikit_learn_says_what_is_missing(what, move):
    theirs, cls, y = their_fit(what, "adam", "float64")
    ours = move(theirs, cls)
    before = pickle.dumps(ours.coefs_)
    for go_on in (lambda: ours.partial_fit(X, y), lambda: ours.set_params(warm_start="full").fit(X, y)):
        with pytest.raises(
            TypeError,
            match=(
                "_optimizer, the dict with the moments .* got AdamOptimizer.* Delete the attribute _optimizer"
            ),
        ):
            go_on()
        assert pickle.dumps(ours.coefs_) == before
    # A plain warm start takes no moments, as scikit-learn's does not: the same run.
    theirs.set_params(warm_start=True, max_iter=4, random_state=0).fit(X, y)
    again = (
        move(their_fit(what, "adam", "float64")[0], cls)
        .set_params(warm_start=True, max_iter=4, random_state=0)
        .fit(X, y)
    )
    np.testing.assert_allclose(again.loss_curve_, theirs.loss_curve_, rtol=1e-10)
    del ours._optimizer
    assert len(ours.partial_fit(X, y).loss_curve_) == 3 + 1
