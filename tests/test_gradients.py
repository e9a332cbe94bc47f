"""The gradient of a whole network's loss: against central differences, the reference network, and PyTorch's autograd where it is installed."""

import numpy as np
import pytest
import scipy.sparse
from reference import loss_and_gradients

from nnfast.activations import ACTIVATIONS
from nnfast.engines import cython as engine
from nnfast.losses import LOSSES
from nnfast.network import Network

TABLES = ("dense", "sparse", "densified")
ALPHA = 0.7

every_combination = [
    pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"]),
    pytest.mark.parametrize("kind", TABLES),
    pytest.mark.parametrize("loss", LOSSES),
    pytest.mark.parametrize("activation", ACTIVATIONS),
]


def over_every_combination(test):
    for mark in every_combination:
        test = mark(test)
    return test


def problem(kind, activation, loss, weighted, hidden=(7, 5), n_outputs=3, n_samples=11, n_features=23, dtype=np.float64):
    """A network, a table in the form `kind` (and dense), targets, weights, and parameters in one vector."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features)).astype(dtype)
    if kind != "dense":  # under 10 % of non-zeros is handled as sparse
        X *= rng.random(X.shape) < (0.07 if kind == "sparse" else 0.3)
    y = {
        "log_loss": rng.integers(0, n_outputs, n_samples),
        "binary_log_loss": rng.integers(0, 2, (n_samples, n_outputs)).astype(dtype),
        "squared_error": rng.normal(size=(n_samples, n_outputs)).astype(dtype),
        "poisson": rng.poisson(1.5, (n_samples, n_outputs)).astype(dtype),
    }[loss]
    weight = rng.uniform(0, 2, n_samples) * (rng.random(n_samples) < 0.8) if weighted else None
    network = Network((n_features, *hidden, n_outputs), activation, loss)
    flat = rng.normal(size=network.n_parameters) / 3
    table = X if kind == "dense" else scipy.sparse.csr_array(X)
    if kind == "sparse":
        assert table.nnz < engine.SPARSE_BELOW * X.size
    return network, table, X, y, weight, flat


def differentiate(network, table, y, weight, flat, dtype=np.float64, alpha=ALPHA, n_threads=1):
    """(loss, gradient) by the engine; and the session's function, for more points."""
    gradient = np.full_like(flat, np.nan)
    rows = np.arange(table.shape[0], dtype=np.intp)
    with engine.Session(network, table, y, weight, dtype=dtype, batch_size=len(rows), alpha=alpha, n_threads=n_threads) as session:
        return session.loss_gradient(flat, gradient, rows), gradient


@over_every_combination
def test_central_differences(activation, loss, kind, weighted):
    for n_outputs in (1, 3) if loss != "log_loss" else (3,):
        network, table, _, y, weight, flat = problem(kind, activation, loss, weighted, n_outputs=n_outputs)
        rows = np.arange(table.shape[0], dtype=np.intp)
        gradient, other, numeric = (np.full_like(flat, np.nan) for _ in range(3))
        with engine.Session(network, table, y, weight, dtype=np.float64, batch_size=len(rows), alpha=ALPHA, n_threads=1) as session:
            session.loss_gradient(flat, gradient, rows)
            step = 1e-5
            for i in range(len(flat)):
                there, back = flat.copy(), flat.copy()
                there[i] += step
                back[i] -= step
                numeric[i] = (session.loss_gradient(there, other, rows) - session.loss_gradient(back, other, rows)) / (there[i] - back[i])
        assert np.abs(gradient).max() > 1e-2
        np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-7 * np.abs(gradient).max())


def assert_is_the_references(network, table, X, y, weight, flat, dtype, rtol, **arguments):
    loss, gradient = differentiate(network, table, y, weight, flat, dtype, **arguments)
    coefs, intercepts = network.unpack(flat)
    X = X.astype(np.float64)
    y = y if network.loss == "log_loss" else y.astype(np.float64)
    expected, gradients = loss_and_gradients(
        coefs, intercepts, X, y, network.activation, network.loss, ALPHA, weight, as_scikit_learn=False
    )
    n = len(coefs)
    expected_gradient = network.pack(gradients[:n], gradients[n:])
    np.testing.assert_allclose(loss, expected, rtol=rtol)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=rtol, atol=rtol * np.abs(expected_gradient).max())


@over_every_combination
@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-12), (np.float32, 2e-5)], ids=["float64", "float32"])
def test_reference(activation, loss, kind, weighted, dtype, rtol):
    assert_is_the_references(*problem(kind, activation, loss, weighted, dtype=dtype), dtype, rtol)


SHAPES = {
    "no hidden layer": {"hidden": ()},
    "no hidden layer, wide": {"hidden": (), "n_outputs": 70},
    "several panels": {"hidden": (97, 33), "n_outputs": 40, "n_features": 65},
    "deeper than a pass": {"hidden": (300,), "n_features": 530},
    "several chunks": {"hidden": (17,), "n_samples": 2 * engine.CHUNK_ROWS + 37},
    "one row": {"n_samples": 1, "n_features": 99},
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_reference_at_other_shapes(shape, loss, kind):
    arguments = problem(kind, "tanh", loss, shape != "one row", **SHAPES[shape])
    for n_threads in (1, 2):
        assert_is_the_references(*arguments, np.float64, 1e-11, n_threads=n_threads)


@over_every_combination
def test_torch(activation, loss, kind, weighted):
    torch = pytest.importorskip("torch")
    network, table, X, y, weight, flat = problem(kind, activation, loss, weighted)
    parameters = torch.tensor(flat, requires_grad=True)
    coefs, intercepts, start = [], [], 0
    for shape in network.shapes:
        coefs.append(parameters[start : start + shape[0] * shape[1]].reshape(shape))
        start += shape[0] * shape[1]
    for _, n_out in network.shapes:
        intercepts.append(parameters[start : start + n_out])
        start += n_out
    function = {"identity": lambda z: z, "logistic": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[activation]
    z = torch.tensor(X)
    for i, (w, b) in enumerate(zip(coefs, intercepts)):
        z = z @ w + b
        if i < len(coefs) - 1:
            z = function(z)
    target = torch.tensor(y)
    F = torch.nn.functional
    row_loss = {
        "log_loss": lambda: F.cross_entropy(z, target, reduction="none"),
        "binary_log_loss": lambda: F.binary_cross_entropy_with_logits(z, target, reduction="none").sum(1),
        "squared_error": lambda: F.mse_loss(z, target, reduction="none").mean(1) / 2,
        "poisson": lambda: (F.poisson_nll_loss(z, target, reduction="none") + torch.xlogy(target, target) - target).sum(1),
    }[loss]()
    by = torch.ones(len(X), dtype=torch.float64) if weight is None else torch.tensor(weight)
    value = ((by * row_loss).sum() + ALPHA / 2 * sum((w**2).sum() for w in coefs)) / by.sum()
    value.backward()
    got, gradient = differentiate(network, table, y, weight, flat)
    np.testing.assert_allclose(got, float(value.detach()), rtol=1e-11)
    expected = parameters.grad.numpy()
    np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-11 * np.abs(expected).max())
