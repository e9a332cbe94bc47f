"""The gradient of a whole network's loss: against central differences, the reference network, and PyTorch's
autograd where it is installed.

Every activation, loss, kind of table and normalization, with and without weights: not every combination of
all, but every activation with two losses, every loss with three activations, and every table and
normalization together.
"""

import numpy as np
import pytest
import reference
import scipy.sparse
from problems import targets

from nnfast.activations import ACTIVATIONS
from nnfast.engines import cython as engine
from nnfast.losses import LOSSES
from nnfast.network import Network
from nnfast.regularization import Regularization

TABLES = ("dense", "sparse", "densified")
NORMALIZATIONS = (None, "batch", "layer")
ALPHA = 0.7

OWN = {"leaky_relu": 0.3, "elu": 0.4, "softplus": 2.0}
LOSS_PARAMETERS = {"log_loss": (0.1,), "focal": (0.7,), "binary_focal": (1.5,), "huber": (0.3,)}
CASES = {}


def add(activation, loss, kind="dense", weighted=False, normalization=None, **others):
    own = " of its own parameters" if others.get("own") else ""
    CASES[
        f"{activation}, {loss}, {kind}, {'weighted' if weighted else 'unweighted'}, {normalization}{own}"
    ] = dict(
        activation=activation, loss=loss, kind=kind, weighted=weighted, normalization=normalization, **others
    )


for number, name in enumerate(ACTIVATIONS):
    add(name, "log_loss")
    add(name, "squared_error", TABLES[number % 3], True, NORMALIZATIONS[number % 3], own=True)
for number, name in enumerate(LOSSES):
    add("tanh", name)
    add("relu", name, TABLES[number % 3], True)
    add("silu", name, TABLES[number % 2], True, NORMALIZATIONS[1 + number % 2], own=True)
for name in NORMALIZATIONS:
    for kind in TABLES:
        for weighted in (False, True):
            add("gelu", "log_loss", kind, weighted, name)
            add("logistic", "poisson", kind, weighted, name)

every_case = pytest.mark.parametrize("case", CASES)


def problem(
    activation,
    loss,
    kind="dense",
    weighted=False,
    normalization=None,
    *,
    own=False,
    hidden=(7, 5),
    n_outputs=3,
    n_samples=11,
    n_features=23,
    dtype=np.float64,
):
    """A network, a table in the form `kind` (and dense), targets, weights, and parameters in one vector.

    own: the activation and the loss have parameters of their own, not the defaults.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features)).astype(dtype)
    if kind != "dense":  # under 10 % of non-zeros is handled as sparse
        X *= rng.random(X.shape) < (0.07 if kind == "sparse" else 0.3)
    y = targets(loss, (n_samples, n_outputs), rng, dtype)
    weight = rng.uniform(0, 2, n_samples) * (rng.random(n_samples) < 0.8) if weighted else None
    parameters = (
        LOSS_PARAMETERS.get(loss, tuple(rng.uniform(size=n_outputs)) if loss == "quantile" else ())
        if own
        else ()
    )
    activations = ((activation, OWN.get(activation) if own else None),) * len(hidden)
    network = Network(
        (n_features, *hidden, n_outputs), activations, loss, parameters, normalization, norm_eps=0.01
    )
    flat = rng.normal(size=network.n_parameters) / 3
    table = X if kind == "dense" else scipy.sparse.csr_array(X)
    if kind == "sparse":
        assert table.nnz < engine.SPARSE_BELOW * X.size
    return network, table, X, y, weight, flat


def session_of(network, table, y, weight, dtype=np.float64, n_threads=1):
    regularization = Regularization(alpha=ALPHA)
    return engine.Session(
        network,
        table,
        y,
        weight,
        dtype=dtype,
        batch_size=table.shape[0],
        regularization=regularization,
        n_threads=n_threads,
    )


def differentiate(network, table, y, weight, flat, dtype=np.float64, n_threads=1):
    """(loss, gradient) by the engine."""
    gradient = np.full_like(flat, np.nan)
    with session_of(network, table, y, weight, dtype, n_threads) as session:
        return session.loss_gradient(flat, gradient, np.arange(table.shape[0])), gradient


@every_case
def test_central_differences(case):
    for n_outputs in (1, 3) if LOSSES[CASES[case]["loss"]].out_activation != "softmax" else (3,):
        network, table, _, y, weight, flat = problem(**CASES[case], n_outputs=n_outputs)
        rows = np.arange(table.shape[0], dtype=np.intp)
        gradient, other, numeric = (np.full_like(flat, np.nan) for _ in range(3))
        with session_of(network, table, y, weight) as session:
            session.loss_gradient(flat, gradient, rows)
            step = 1e-5
            for i in range(len(flat)):
                there, back = flat.copy(), flat.copy()
                there[i] += step
                back[i] -= step
                numeric[i] = (
                    session.loss_gradient(there, other, rows) - session.loss_gradient(back, other, rows)
                ) / (there[i] - back[i])
        assert np.abs(gradient).max() > 1e-2
        np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-7 * np.abs(gradient).max())


def assert_is_the_references(network, table, X, y, weight, flat, dtype, rtol, **arguments):
    loss, gradient = differentiate(network, table, y, weight, flat, dtype, **arguments)
    p = network.unpack(flat)
    slow = reference.Network(
        p.coefs,
        p.intercepts,
        network.activations,
        network.loss,
        network.loss_parameters,
        normalization=network.normalization,
        eps=network.norm_eps,
        scales=p.scales,
        shifts=p.shifts,
        alpha=ALPHA,
    )
    y = y if y.dtype.kind == "i" else y.astype(np.float64)
    expected, gradients = slow.loss_and_gradients(X.astype(np.float64), y, weight, as_scikit_learn=False)
    expected_gradient = np.concatenate([array.ravel() for array in gradients])
    np.testing.assert_allclose(loss, expected, rtol=rtol)
    np.testing.assert_allclose(
        gradient, expected_gradient, rtol=rtol, atol=rtol * np.abs(expected_gradient).max()
    )


@every_case
@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-11), (np.float32, 5e-5)], ids=["float64", "float32"])
def test_reference(case, dtype, rtol):
    assert_is_the_references(*problem(**CASES[case], dtype=dtype), dtype, rtol)


SHAPES = {
    "no hidden layer": {"hidden": ()},
    "no hidden layer, wide": {"hidden": (), "n_outputs": 70},
    "several panels": {"hidden": (97, 33), "n_outputs": 40, "n_features": 65},
    "deeper than a pass": {"hidden": (300,), "n_features": 530},
    "several chunks": {"hidden": (17,), "n_samples": 2 * engine.CHUNK_ROWS + 37},
    "one row": {"n_samples": 1, "n_features": 99},
}


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("loss", ["log_loss", "squared_error", "binary_focal"])
@pytest.mark.parametrize("shape", SHAPES)
def test_reference_at_other_shapes(shape, loss, kind, normalization):
    arguments = problem("tanh", loss, kind, shape != "one row", normalization, **SHAPES[shape])
    for n_threads in (1, 2):
        assert_is_the_references(*arguments, np.float64, 1e-11, n_threads=n_threads)


@pytest.mark.torch
@every_case
def test_torch(case):
    import torch_network

    network, table, X, y, weight, flat = problem(**CASES[case])
    twin = torch_network.Twin(network, network.unpack(flat))
    value = twin.objective(X, y, weight, ALPHA)
    value.backward()
    got, gradient = differentiate(network, table, y, weight, flat)
    np.testing.assert_allclose(got, float(value.detach()), rtol=1e-11)
    expected = np.concatenate([tensor.grad.numpy().ravel() for tensor in twin.learned])
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-11 * np.abs(expected).max())


def test_alpha_is_all_that_a_gradient_knows_of_regularization():
    network, table, _, y, weight, flat = problem("selu", "log_loss")
    rows, results = np.arange(len(table)), []
    everything = Regularization(ALPHA, 0.3, 1.0, 0.1, 0.5, (0.3, 0.4), 0.2, True)
    for regularization in (Regularization(ALPHA), everything):
        gradient = np.empty_like(flat)
        with engine.Session(
            network, table, y, weight, dtype=np.float64, batch_size=11, regularization=regularization
        ) as session:
            results.append((session.loss_gradient(flat, gradient, rows), *gradient))
    assert results[0] == results[1]


def test_batch_statistics_need_the_whole_batch_at_once():
    network, table, _, y, weight, flat = problem("tanh", "log_loss", normalization="batch")
    gradient = np.empty_like(flat)
    with engine.Session(network, table, y, weight, dtype=np.float64, batch_size=5) as session:
        session.loss_gradient(flat, gradient, np.arange(5))
        with pytest.raises(ValueError, match="at most batch_size=5 rows, got 6"):
            session.loss_gradient(flat, gradient, np.arange(6))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_wrong_vectors_are_errors(normalization):
    network, table, _, y, weight, flat = problem("tanh", "log_loss", normalization=normalization)
    rows = np.arange(11)
    with session_of(network, table, y, weight) as session:
        for wrong in (
            flat[:-1],
            np.append(flat, 0),
            flat.astype(np.float32),
            flat[:, np.newaxis],
            np.repeat(flat, 2)[::2],
        ):
            with pytest.raises(ValueError, match="flat must be"):
                session.loss_gradient(wrong, flat.copy(), rows)
            with pytest.raises(ValueError, match="gradient must be"):
                session.loss_gradient(flat, wrong.copy() if wrong.strides == flat.strides else wrong, rows)
