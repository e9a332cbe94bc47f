"""Weights of rows and classes, of any scale."""

import numpy as np
import pytest

from nnfast import MLPClassifier, MLPRegressor
from nnfast.weights import LARGEST, NEGLIGIBLE, SMALLEST, in_range

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*(iterations|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)

N = 60
RNG = np.random.RandomState(0)
X = RNG.standard_normal((N, 4))
Y = (X[:, 0] > 0).astype(int)

FITS = {
    "float64": {},
    "float32": {"precision": "float32"},
    "batches of a row": {"precision": "float32", "batch_size": 1},
    "sgd": {"solver": "sgd", "alpha": 0.1, "precision": "float32"},
    "l1": {"l1": 0.01, "precision": "float32"},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True},
}


def fitted(kw, weight, **more):
    return MLPClassifier((8,), max_iter=5, random_state=0, **kw).fit(X, Y, sample_weight=weight, **more)


@pytest.mark.parametrize("scale", [5e-324, 1e-308, 1e-200, 1e-30, 1e-13, 1e13, 1e30, 1e200, 1e308])
@pytest.mark.parametrize("name", FITS)
def test_weights_that_no_arithmetic_can_use_count_relative_to_their_mean(name, scale):
    got, expected = (fitted(FITS[name], np.full(N, weight)).predict_proba(X) for weight in (scale, 1.0))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-250, 1e-30, 1e30, 1e250])
def test_ratios_are_kept(scale):
    weight = RNG.uniform(0.5, 2, N)
    got = fitted({}, weight * scale, X_val=X, y_val=Y, sample_weight_val=weight * scale)
    expected = fitted({}, weight / weight.mean(), X_val=X, y_val=Y, sample_weight_val=weight)
    np.testing.assert_allclose(got.predict_proba(X), expected.predict_proba(X), rtol=1e-9)
    np.testing.assert_allclose(got.validation_loss_curve_, expected.validation_loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("small", [0.0, 5e-324, 1e-300, 1e-30])
@pytest.mark.parametrize("name", FITS)
def test_weights_that_are_next_to_nothing_beside_others_are_nothing(name, small):
    got, expected = (
        fitted(FITS[name], np.where(np.arange(N) % 3, 1.0, each)).predict_proba(X) for each in (small, 0.0)
    )
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_class_weights(scale):
    for precision in ("float32", "float64"):
        kw = {"max_iter": 5, "random_state": 0, "precision": precision}
        got, expected = (
            MLPClassifier((8,), class_weight={0: each, 1: 3 * each}, **kw).fit(
                X, Y, sample_weight=np.full(N, scale)
            )
            for each in (scale, 0.5)
        )
        np.testing.assert_allclose(got.predict_proba(X), expected.predict_proba(X), rtol=1e-3)
        labels = np.column_stack([Y, 1 - Y])
        dicts = [{0: scale, 1: scale}] * 2
        assert np.isfinite(
            MLPClassifier((8,), class_weight=dicts, **kw).fit(X, labels).predict_proba(X)
        ).all()


@pytest.mark.parametrize("scale", [SMALLEST * 2, 1e-9, 1e-3, 1.0, 1e3, 1e9, LARGEST / 2])
def test_ordinary_weights_are_the_same_to_the_bit(scale):
    for weight in (
        np.full(N, scale),
        np.where(np.arange(N) % 2, scale, 0.0),
        RNG.uniform(0.5, 1, N) * scale,
        -np.full(N, scale),
    ):
        assert in_range(weight) is weight
    assert in_range(np.array([scale, -scale / 2, 2 * NEGLIGIBLE])).tolist() == [
        scale,
        -scale / 2,
        2 * NEGLIGIBLE,
    ]
    assert in_range(None) is None


WRONG = {
    "NaN": (np.full(N, np.nan), "NaN"),
    "infinite": (np.full(N, np.inf), "infinity"),
    "text": (["a"] * N, "'a'"),
    "one text": ("balanced", "balanced"),
    "two columns": (np.ones((N, 2)), "1D"),
    "too few": (np.ones(3), r"\(3,\)"),
    "dates": (np.arange(N).astype("M8[D]"), "datetime64"),
    "durations": (np.arange(N).astype("m8[D]"), "timedelta64"),
    "complex": (np.ones(N) * 1j, "complex128"),
    "zeros": (np.zeros(N), "zero|positive"),
    "a negative sum": (-np.ones(N), "positive, got -60.0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_weights(name):
    weight, words = WRONG[name]
    regressor = MLPRegressor(max_iter=2)
    for call in (regressor.fit, regressor.partial_fit, MLPRegressor(solver="lbfgs", max_iter=2).fit):
        with pytest.raises((TypeError, ValueError), match=rf"(?s)sample_weight\b.*({words})") as caught:
            call(X, X[:, 0], sample_weight=weight)
        assert len(str(caught.value)) < 300
    with pytest.raises((TypeError, ValueError), match=rf"(?s)sample_weight_val\b.*({words})"):
        regressor.fit(X, X[:, 0], X_val=X, y_val=X[:, 0], sample_weight_val=weight)


def test_what_scikit_learn_accepts_is_accepted():
    for weight in (
        2.0,
        3,
        [1] * N,
        np.ones(N, bool),
        np.ones(N, "f2"),
        np.where(np.arange(N) % 9, 1.0, -1.0),
        np.ones(N, object),
    ):
        assert np.isfinite(fitted({}, weight).predict_proba(X)).all()
