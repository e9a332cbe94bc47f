"""Initializers: the distributions that they promise, and scikit-learn's own draws."""

import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor

from nnfast.activations import ACTIVATIONS
from nnfast.initializers import INITIALIZERS, glorot_uniform, initializer_for

FAN_IN, FAN_OUT = 300, 200

# Variance of a weight, and the largest weight where there is one.
MOMENTS = {
    "glorot_uniform": (2 / (FAN_IN + FAN_OUT), np.sqrt(6 / (FAN_IN + FAN_OUT))),
    "glorot_normal": (2 / (FAN_IN + FAN_OUT), None),
    "he_normal": (2 / FAN_IN, None),
    "he_uniform": (2 / FAN_IN, np.sqrt(6 / FAN_IN)),
    "lecun_normal": (1 / FAN_IN, None),
    "lecun_uniform": (1 / FAN_IN, np.sqrt(3 / FAN_IN)),
    "orthogonal": (1 / FAN_IN, None),  # columns of norm 1
}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_distributions(name):
    coef, intercept = INITIALIZERS[name].function(
        FAN_IN, FAN_OUT, "tanh", np.random.RandomState(0), np.float64
    )
    assert coef.shape == (FAN_IN, FAN_OUT) and intercept.shape == (FAN_OUT,) and coef.flags.c_contiguous
    assert intercept.any() == (name == "glorot_uniform")
    variance, bound = MOMENTS[name]
    assert abs(coef.mean()) < 4 * np.sqrt(variance / coef.size)
    assert coef.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / coef.size))
    kurtosis = (coef**4).mean() / coef.var() ** 2
    assert kurtosis == pytest.approx(1.8 if bound else 3.0, abs=0.1)
    if bound:
        assert 0.999 * bound < np.abs(coef).max() <= bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_draws(name, dtype):
    function = INITIALIZERS[name].function
    states = [np.random.RandomState(1) for _ in range(2)]
    coef, intercept = function(7, 5, "relu", states[0], dtype)
    exact, _ = function(7, 5, "relu", states[1], np.float64)
    assert coef.dtype == intercept.dtype == dtype
    np.testing.assert_array_equal(coef, exact.astype(dtype))
    # one number a weight, drawn in one go; glorot_uniform draws a bias too
    other = np.random.RandomState(1)
    draws = other.uniform if "uniform" in name else other.normal
    draws(size=7 * 5 + (5 if name == "glorot_uniform" else 0))
    assert states[0].uniform() == other.uniform()


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 5), (5, 1), (1, 1)])
def test_orthogonal(shape):
    coef, _ = INITIALIZERS["orthogonal"].function(*shape, "tanh", np.random.RandomState(0), np.float64)
    product = coef.T @ coef if shape[0] >= shape[1] else coef @ coef.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_is_uniform():
    # With the signs as LAPACK leaves them, the first entry is never positive.
    random_state = np.random.RandomState(0)
    corners = [
        INITIALIZERS["orthogonal"].function(3, 3, "tanh", random_state, np.float64)[0][0, 0]
        for _ in range(1000)
    ]
    assert abs(np.mean(corners)) < 4 * np.sqrt(1 / 3 / 1000)
    assert np.var(corners) == pytest.approx(1 / 3, rel=0.2)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_glorot_uniform_is_scikit_learns(activation):
    X, y = np.random.RandomState(0).normal(size=(10, 4)), np.arange(10.0)
    theirs = MLPRegressor(
        hidden_layer_sizes=(3,),
        activation=activation,
        solver="sgd",
        learning_rate_init=1e-300,
        max_iter=1,
        random_state=5,
    )
    with pytest.warns(UserWarning, match="Maximum iterations"):
        theirs.fit(X, y)
    random_state = np.random.RandomState(5)
    for i, shape in enumerate([(4, 3), (3, 1)]):
        coef, intercept = glorot_uniform(*shape, activation, random_state, np.float64)
        np.testing.assert_array_equal(coef, theirs.coefs_[i])
        np.testing.assert_array_equal(intercept, theirs.intercepts_[i])
    assert INITIALIZERS["glorot_uniform"].function is glorot_uniform


def test_initializer_for():
    chosen = {name: initializer_for("auto", record.initializer).name for name, record in ACTIVATIONS.items()}
    he = {
        "relu",
        "leaky_relu",
        "elu",
        "gelu",
        "gelu_tanh",
        "gelu_sigmoid",
        "silu",
        "mish",
        "hard_swish",
        "softplus",
    }
    expected = (
        dict.fromkeys(ACTIVATIONS, "glorot_uniform")
        | dict.fromkeys(he, "he_normal")
        | {"selu": "lecun_normal"}
    )
    assert chosen == expected
    assert all(initializer_for(name, "he_normal") is record for name, record in INITIALIZERS.items())
    with pytest.raises(ValueError, match="initializer must be one of .*'auto', got 'he'.*"):
        initializer_for("he")
    with pytest.raises(ValueError, match="got 'orthogonl'. Did you mean 'orthogonal'?"):
        initializer_for("orthogonl")
