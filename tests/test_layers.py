"""Layers' records: gradients by central differences, and networks of them against engines and reference."""

import numpy as np
import pytest
from problems import Problem, arrays_of

from nnfast.activations import ACTIVATIONS
from nnfast.engines import cython, numba
from nnfast.layers import LEARNED, STATISTICS, Activate, Dense, Dropout, Normalize, Step
from nnfast.losses import LOSSES, loss_of
from nnfast.network import Network, role_of
from nnfast.numpy_network import NumpyNetwork
from nnfast.regularization import Regularization

STEP = Step(seed=3, number=5)
LAYERS = {
    "dense": Dense(4, 3),
    "dense of one unit": Dense(4, 1),
    **{f"activation {name}": Activate(name) for name in ACTIVATIONS},
    "activation with a parameter": Activate("leaky_relu", 0.3),
    "batch normalization": Normalize("batch", 4),
    "layer normalization": Normalize("layer", 4, eps=0.1),
    "dropout": Dropout(0.4, 2),
    "alpha dropout": Dropout(0.4, 2, alpha=True),
    "no dropout": Dropout(0.0, 2),
}


def drawn(layer, rng):
    """Values that are nothing in particular, but for what has to be positive."""
    values = {param.name: rng.normal(size=param.shape) for param in layer.params}
    return values | {"variance": rng.uniform(0.5, 2, 4)} if "variance" in values else values


def central_differences(function, x):
    """The gradient of a number with respect to an array, which is changed in place meanwhile."""
    gradient, h = np.empty_like(x), 1e-5
    for i in range(x.size):
        kept = x.flat[i]
        x.flat[i] = kept + h
        above = function()
        x.flat[i] = kept - h
        gradient.flat[i] = (above - function()) / (2 * h)
        x.flat[i] = kept
    return gradient


@pytest.mark.parametrize("n_rows", [1, 2, 7])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_central_differences(name, n_rows):
    layer, rng = LAYERS[name], np.random.default_rng(0)
    x, values = rng.uniform(0.2, 2, (n_rows, 4)) * rng.choice([-1, 1], (n_rows, 4)), drawn(layer, rng)
    y, cache = layer.forward(values, x, STEP)
    assert y.shape == (n_rows, layer.n_outputs(4))
    dy = rng.normal(size=y.shape)
    dx, gradients = layer.backward(values, cache, dy)

    def value():
        return float((dy * layer.forward(values, x, STEP)[0]).sum())

    learned = [param.name for param in layer.params if param.group is not None]
    assert sorted(gradients) == sorted(learned)
    for array, gradient in [(x, dx), *((values[each], gradients[each]) for each in learned)]:
        assert gradient.shape == array.shape
        np.testing.assert_allclose(gradient, central_differences(value, array), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS)
def test_initial_and_blank_values_have_the_shapes(name):
    layer = LAYERS[name]
    for dtype in (np.float32, np.float64):
        for values in (layer.initialize(np.random.RandomState(0), None, dtype), layer.blank(dtype)):
            assert {key: (array.shape, array.dtype) for key, array in values.items()} == {
                param.name: (param.shape, dtype) for param in layer.params
            }


def test_predictions_have_no_dropout_and_take_running_statistics():
    x = np.random.default_rng(0).normal(size=(5, 4))
    assert Dropout(0.4, 1).forward({}, x)[0] is x
    layer = Normalize("batch", 4, eps=1e-30)
    values = layer.blank(np.float64)
    np.testing.assert_array_equal(layer.forward(values, x)[0], x)
    layer.advance(values, x, momentum=1.0)
    np.testing.assert_allclose(values["mean"], x.mean(axis=0))
    np.testing.assert_allclose(values["variance"], x.var(axis=0, ddof=1))


@pytest.mark.parametrize("normalization", [None, "layer", "batch"])
def test_names_and_groups(normalization):
    network = Network((3, 4, 5, 2), "relu", "squared_error", normalization=normalization)
    parameters = network.initialize(np.random.RandomState(0), np.float64)
    assert list(parameters) == list(network.params) == list(network.blank(float))
    roles = [role_of(name) for name in parameters]
    assert sorted(roles, key=[*LEARNED, *STATISTICS].index) == roles
    for name, param in network.params.items():
        assert parameters[name].shape == param.shape
        assert (param.group is not None) == (role_of(name) in LEARNED) == (name in network.learned)
        assert (param.group == "weights") == (param.kind == "matrix") == (len(param.shape) == 2)
    assert parameters["layers.1.weight"] is parameters.coefs[1]
    assert [array.shape for array in parameters.scales] == ([(4,), (5,)] if normalization else [])
    again = network.unpack(network.pack(parameters))
    assert all(np.array_equal(again[name], parameters[name]) for name in network.learned)
    if normalization:
        with pytest.raises(ValueError, match=f"normalization={normalization!r}; hidden_layer_sizes"):
            Network((3, 4, 5, 2), "relu", "squared_error").check(parameters)


@pytest.mark.parametrize("engine", [cython, numba], ids=["cython", "numba"])
@pytest.mark.parametrize("normalization", [None, "layer", "batch"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_network_of_records_has_the_gradient_of_the_engines(loss, normalization, engine):
    problem = Problem((12, 9, 17, 3), loss=loss, activation="tanh", normalization=normalization)
    network, parameters = problem.network, problem.parameters()
    gradient = np.empty(network.n_parameters)
    with engine.Session(
        network,
        problem.X,
        problem.y,
        dtype=np.float64,
        batch_size=len(problem.rows),
        regularization=Regularization(alpha=0),
    ) as session:
        session.loss_gradient(network.pack(parameters), gradient, problem.rows)
        session.load(parameters)
        outputs = session.predict()

    def by_logits(logits):
        return loss_of(loss).gradient(problem.y, logits, network.loss_parameters) / len(problem.y)

    records = NumpyNetwork(network, parameters)
    expected = records.gradient(problem.X, by_logits)
    assert expected.keys() == network.learned.keys()
    for name, view in network.views(gradient).items():
        np.testing.assert_allclose(view, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
    logits = records.forward(problem.X)[0][-1]
    np.testing.assert_allclose(outputs, loss_of(loss).output(logits), rtol=1e-10)


@pytest.mark.parametrize("alpha_dropout", [False, True])
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_a_network_of_records_trains_as_the_reference(normalization, alpha_dropout):
    problem = Problem((12, 9, 17, 3), activation="selu", normalization=normalization)
    options = {"dropout": (0.3, 0.2), "input_dropout": 0.1, "alpha_dropout": alpha_dropout}
    slow, X, y = problem.reference(Regularization(alpha=0, **options), seed=STEP.seed)
    slow.t = STEP.number
    tape = slow.forward(X, training=True)
    _, expected = slow.loss_and_gradients(X, y, tape=tape)
    records = NumpyNetwork(problem.network, problem.parameters(), **options)
    gradients = records.gradient(X, lambda z: loss_of("log_loss").gradient(y, z, ()) / len(y), STEP)
    for name, array in zip(problem.network.learned, expected, strict=True):
        np.testing.assert_allclose(gradients[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
    if normalization:
        records.advance(X, 0.1, STEP)
        for (mean, variance), layer, i in zip(
            zip(slow.means, slow.variances, strict=True), tape[1], (0, 1), strict=False
        ):
            values = next(
                v
                for node, v in zip(records.nodes, records.values, strict=True)
                if node.name == f"layers.{i}.norm"
            )
            np.testing.assert_allclose(values["mean"], 0.9 * mean + 0.1 * layer["z"].mean(axis=0))
            np.testing.assert_allclose(
                values["variance"], 0.9 * variance + 0.1 * layer["z"].var(axis=0, ddof=1)
            )
    assert len(arrays_of(slow)) == len(problem.network.params)
