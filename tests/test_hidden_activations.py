"""Hidden layers' activations, and networks with their own activations and normalization, against NumPy."""

import pickle

import numpy as np
import pytest
import reference
from sklearn.exceptions import NotFittedError
from small import BOTH, QUIET, UNUSED_OPTIONS, small, table

from nnfast import MLPRegressor
from nnfast.network import Network, Parameters

pytestmark = QUIET

ACTIVATIONS = {
    "name": "tanh",
    "alias": "sigmoid",
    "tuple": ("leaky_relu", 0.3),
    "list": ["selu", ("elu", 0.5), "gelu"],
}
ENTRIES = {
    "name": "tanh",
    "alias": "logistic",
    "tuple": [("leaky_relu", 0.3)] * 3,
    "list": ["selu", ("elu", 0.5), "gelu"],
}


def randomized(cls, activation, normalization, dtype=np.float64, **parameters):
    """A fitted estimator with three hidden layers, none of whose arrays is at its start."""
    X, y = table()
    X = X.astype(dtype)
    rng = np.random.RandomState(0)
    parameters = {
        "hidden_layer_sizes": (6, 5, 3),
        "activation": activation,
        "normalization": normalization,
    } | parameters
    estimator = small(cls, **parameters).fit(X, y)
    for name in ("norm_scales_", "norm_shifts_", "running_means_", "running_variances_"):
        for array in getattr(estimator, name, ()):
            array[...] = rng.uniform(0.5, 2, len(array))
    return estimator, X


def twin(estimator, activations):
    """The same network in NumPy."""
    norms = {name: getattr(estimator, f"norm_{name}_", ()) for name in ("scales", "shifts")}
    norms |= {name: getattr(estimator, f"running_{name}_", ()) for name in ("means", "variances")}
    return reference.Network(
        estimator.coefs_,
        estimator.intercepts_,
        activations,
        "squared_error",
        normalization=estimator.normalization,
        eps=estimator.norm_eps,
        **norms,
    )


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("kind", ACTIVATIONS)
@BOTH
def test_layers_are_those_of_numpy(cls, kind, normalization):
    estimator, X = randomized(
        cls, ACTIVATIONS[kind], normalization, **({"norm_eps": 0.1} if normalization else {})
    )
    logits, tape = twin(estimator, ENTRIES[kind]).forward(X)
    outputs = estimator.predict(X) if cls is MLPRegressor else estimator.predict_proba(X)[:, 1]
    expected = logits if cls is MLPRegressor else reference.sigmoid(logits)
    np.testing.assert_allclose(outputs, expected.ravel(), rtol=1e-9, atol=1e-12)
    for layer in (1, 2, 3):
        for number in (layer, layer - 4, np.int64(layer)):
            found = estimator.hidden_activations(X, number)
            np.testing.assert_allclose(found, tape[layer]["input"], rtol=1e-9, atol=1e-12)
    assert np.array_equal(estimator.hidden_activations(X), estimator.hidden_activations(X, 3))
    assert np.array_equal(
        pickle.loads(pickle.dumps(estimator)).hidden_activations(X), estimator.hidden_activations(X)
    )
    one = estimator.hidden_activations(X[:1], 2)
    np.testing.assert_allclose(one, tape[2]["input"][:1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ["relu", "logistic", "softplus", "mish"])
@pytest.mark.parametrize(
    "fitted, given", [("f4", "f4"), ("f4", "f8"), ("f8", "f4"), ("f4", "i8"), ("f4", "f2")]
)
def test_dtypes_are_those_of_predictions(activation, normalization, fitted, given):
    estimator, X = randomized(MLPRegressor, activation, normalization, fitted)
    rows = X.astype(given)
    assert {array.dtype for name in vars(estimator) for array in parts(estimator, name)} == {np.dtype(fitted)}
    for precision in ("auto", "float32", "float64"):
        estimator.set_params(precision=precision)
        assert estimator.hidden_activations(rows).dtype == estimator.predict(rows).dtype


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_numpy_numbers_leave_the_dtype(normalization):
    estimator, X = randomized(MLPRegressor, "relu", normalization, "f4", norm_eps=np.float64(1e-5))
    plain = randomized(MLPRegressor, "relu", normalization, "f4", norm_eps=1e-5)[0]
    for method in (MLPRegressor.predict, MLPRegressor.hidden_activations):
        found = method(estimator, X)
        assert found.dtype == np.float32
        assert np.array_equal(found, method(plain, X))


def parts(estimator, name):
    value = getattr(estimator, name)
    return value if name in ("coefs_", "intercepts_") or name.startswith(("norm_s", "running_")) else []


@BOTH
def test_layers_that_are_not_there(cls):
    X, y = table()
    with pytest.raises(NotFittedError):
        small(cls).hidden_activations(X)
    estimator = small(cls, hidden_layer_sizes=(3, 2)).fit(X, y)
    for layer in (0, 3, -3, 1.0, True, None):
        with pytest.raises(ValueError, match=f"layer .*of 2 in all, got {layer}"):
            estimator.hidden_activations(X, layer)
    with pytest.raises(ValueError, match="of 0 in all"):
        small(cls, hidden_layer_sizes=()).fit(X, y).hidden_activations(X)
    with pytest.raises(ValueError, match="3 features"):
        estimator.hidden_activations(X[:, :3])


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@BOTH
def test_normalization_in_fitted_attributes(cls, normalization):
    X, y = table()
    estimator = small(cls, hidden_layer_sizes=(6, 3), normalization=normalization, warm_start=True).fit(X, y)
    present = {
        None: [],
        "layer": ["norm_scales_", "norm_shifts_"],
        "batch": ["norm_scales_", "norm_shifts_", "running_means_", "running_variances_"],
    }[normalization]
    for name in ("norm_scales_", "norm_shifts_", "running_means_", "running_variances_"):
        assert hasattr(estimator, name) == (name in present)
        if name in present:
            assert [array.shape for array in getattr(estimator, name)] == [(6,), (3,)]
    before = estimator._parameters().copy()
    estimator.fit(X, y)
    estimator.partial_fit(X, y)
    assert all(
        not np.array_equal(a, b) for a, b in zip(before.scales, estimator._parameters().scales, strict=True)
    )
    for other in {None, "batch", "layer"} - {normalization}:
        with pytest.raises(ValueError, match=f"normalization={normalization!r}.*normalization={other!r}"):
            estimator.set_params(normalization=other).fit(X, y)
    estimator.set_params(warm_start=False, normalization=None).fit(X, y)
    assert not any(hasattr(estimator, name) for name in present)


@UNUSED_OPTIONS
@BOTH
def test_normalization_without_hidden_layers(cls):
    X, y = table()
    for normalization in ("batch", "layer"):
        estimator = (
            small(cls, hidden_layer_sizes=(), normalization=normalization, warm_start=True)
            .fit(X, y)
            .fit(X, y)
        )
        assert not hasattr(estimator, "norm_scales_")
        assert estimator.predict(X).shape == y.shape


def test_aliases_draw_what_their_names_draw():
    X, y = table()
    ours, plain = (small(activation=name).fit(X, y) for name in ("sigmoid", "logistic"))
    assert ours.loss_curve_ == plain.loss_curve_
    assert isinstance(plain._parameters(), Parameters)
    assert Network((4, 5, 1), "logistic", "binary_log_loss").shapes == [coef.shape for coef in plain.coefs_]
