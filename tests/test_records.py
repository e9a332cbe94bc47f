"""The records: what each says of itself, normalizations, and the reference network."""

import inspect

import numpy as np
import pytest
import reference
from differences import LOSS_CASES, STEP, slopes, targets

from nnfast.activations import ACTIVATIONS
from nnfast.initializers import INITIALIZERS
from nnfast.losses import LOSSES
from nnfast.normalization import NORMALIZATIONS, advance_statistics, fold
from nnfast.optimizers import OPTIMIZERS
from nnfast.regularization import soft_threshold

RECORDS = {
    f"{kind} {name}": record
    for kind, registry in {
        "activation": ACTIVATIONS,
        "loss": LOSSES,
        "initializer": INITIALIZERS,
        "normalization": NORMALIZATIONS,
        "optimizer": OPTIMIZERS,
    }.items()
    for name, record in registry.items()
}


@pytest.mark.parametrize("key", RECORDS)
def test_every_record_explains_itself(key):
    record, name = RECORDS[key], key.split()[1]
    assert record.name == name and len(record.advice) > 20 and record.advice.endswith(".")
    assert len(record.formula) >= 5
    assert "References" in record.__doc__ if inspect.isclass(record) else len(record.reference) > 20
    if not key.startswith("initializer"):
        assert record.kernel == name


# ------------------------------------------------------------------------------------------------------------
# Normalization


@pytest.mark.torch
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalizations_agree_with_torch(name):
    import torch

    record, rng = NORMALIZATIONS[name], np.random.default_rng(7)
    scale, shift = rng.normal(size=(2, 6))
    layer = torch.nn.BatchNorm1d(6, 1e-3, 0.2) if name == "batch" else torch.nn.LayerNorm(6, 1e-3)
    layer.double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(scale))
        layer.bias.copy_(torch.tensor(shift))
    mean, variance = np.zeros(6), np.ones(6)
    for _ in range(3):
        z, dy = rng.normal(2, 3, size=(9, 6)), rng.normal(size=(9, 6))
        tensor = torch.tensor(z, requires_grad=True)
        layer.zero_grad()
        expected = layer(tensor)
        expected.backward(torch.tensor(dy))
        y, cache = record.forward(z, scale, shift, 1e-3, (mean, variance))
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
        for got, theirs in zip(
            record.backward(dy, cache), (tensor.grad, layer.weight.grad, layer.bias.grad), strict=True
        ):
            np.testing.assert_allclose(got, theirs.numpy(), rtol=1e-10, atol=1e-12)
        if record.keeps_statistics:
            advance_statistics(mean, variance, z, 0.2)
            np.testing.assert_allclose(mean, layer.running_mean.numpy(), rtol=1e-10)
            np.testing.assert_allclose(variance, layer.running_var.numpy(), rtol=1e-10)
    layer.eval()
    expected = layer(torch.tensor(z)).detach().numpy()
    np.testing.assert_allclose(
        record.predict(z, scale, shift, 1e-3, (mean, variance)), expected, rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("n_rows", [1, 2, 7])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalizations_differentiate(name, n_rows):
    record, rng = NORMALIZATIONS[name], np.random.default_rng(8)
    z, dy, (scale, shift, mean) = (
        rng.normal(size=(n_rows, 4)),
        rng.normal(size=(n_rows, 4)),
        rng.normal(size=(3, 4)),
    )
    variance = rng.uniform(0.5, 2, 4)

    def value(z, scale, shift):
        return (dy * record.forward(z, scale, shift, 0.1, (mean, variance))[0]).sum()

    gradients = record.backward(dy, record.forward(z, scale, shift, 0.1, (mean, variance))[1])
    differences = (
        (lambda z: value(z, scale, shift), z),
        (lambda s: value(z, s, shift), scale),
        (lambda s: value(z, scale, s), shift),
    )
    for got, (function, at) in zip(gradients, differences, strict=True):
        np.testing.assert_allclose(got, slopes(function, at), atol=1e-8)


def test_batch_normalization_of_one_row_and_folding():
    record, rng = NORMALIZATIONS["batch"], np.random.default_rng(9)
    coef, (intercept, scale, shift, mean), variance = (
        rng.normal(size=(3, 4)),
        rng.normal(size=(4, 4)),
        rng.uniform(0.5, 2, 4),
    )
    x = rng.normal(size=(1, 3))
    z = x @ coef + intercept
    y, _ = record.forward(z, scale, shift, 1e-5, (mean, variance))
    np.testing.assert_allclose(y, record.predict(z, scale, shift, 1e-5, (mean, variance)), rtol=1e-14)
    folded, bias = fold(coef, intercept, scale, shift, mean, variance, 1e-5)
    np.testing.assert_allclose(y, x @ folded + bias, rtol=1e-12)
    before = mean.copy(), variance.copy()
    advance_statistics(mean, variance, z)
    np.testing.assert_array_equal((mean, variance), before)


# ------------------------------------------------------------------------------------------------------------
# The reference network

WEIGHT = np.array([0.0, 1.0, 2.0, 0.5, 0.0, 3.0, 1.0])

OPTIONS = {
    "plain": {},
    "weighted": {"weight": WEIGHT},
    "no hidden layer": {"units": (4, 3)},
    "several activations": {
        "units": (4, 5, 6, 4, 3),
        "activations": [("leaky_relu", 0.3), "gelu", ("softplus", 2.0)],
    },
    "batch": {"normalization": "batch"},
    "batch, weighted, deep": {"normalization": "batch", "weight": WEIGHT, "units": (4, 5, 6, 3)},
    "batch of one row": {"normalization": "batch", "n": 1},
    "batch in prediction": {"normalization": "batch", "training": False},
    "layer": {"normalization": "layer", "units": (4, 5, 6, 3)},
    "layer of one row": {"normalization": "layer", "n": 1},
    "dropout": {"dropout": (0.4, 0.2), "input_dropout": 0.3, "units": (4, 5, 6, 3), "t": 3},
    "alpha dropout": {"dropout": (0.4,), "input_dropout": 0.3, "alpha_dropout": True, "activations": "selu"},
    "dropout and batch": {"dropout": (0.4,), "normalization": "batch"},
}

NETWORKS = (
    [(activation, "log_loss", (), {}) for activation in ACTIVATIONS]
    + [("tanh", loss, parameters, {}) for loss, parameters in LOSS_CASES]
    + [("tanh", loss, (), options) for options in OPTIONS.values() for loss in ("log_loss", "squared_error")]
)


@pytest.mark.parametrize("activation, loss, parameters, options", NETWORKS)
def test_the_reference_differentiates_its_loss(activation, loss, parameters, options):
    options = {
        "units": (4, 5, 3),
        "n": 7,
        "activations": activation,
        "weight": None,
        "training": True,
    } | options
    units, n, activations, weight, training = (
        options.pop(name) for name in ("units", "n", "activations", "weight", "training")
    )
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(n, units[0])), targets(loss, rng, n)
    coefs = [rng.normal(size=shape) for shape in zip(units[:-1], units[1:], strict=True)]
    intercepts = [rng.normal(size=fan_out) for fan_out in units[1:]]
    network = reference.Network(
        coefs, intercepts, activations, loss, parameters or LOSSES[loss].defaults, alpha=0.3, **options
    )
    for array in (*network.scales, *network.means, *network.variances):
        array += rng.uniform(0, 0.5, array.shape)

    def value():
        return network.loss_and_gradients(X, y, weight, as_scikit_learn=False, training=training)

    unlearned = [id(b) for b in intercepts[:-1]] if network.normalization == "batch" else []
    for array, gradient in zip(network.learned(), value()[1], strict=True):
        if id(array) in unlearned:
            assert not gradient.any()
            if n == 1 or not training:
                # the running statistics do not take the bias away: it is left alone, not without effect
                continue
        for index in np.ndindex(array.shape):
            middle = array[index]
            array[index] = middle + STEP
            above = value()[0]
            array[index] = middle - STEP
            below = value()[0]
            array[index] = middle
            assert gradient[index] == pytest.approx((above - below) / (2 * STEP), abs=2e-7, rel=1e-6)


def test_the_references_training():
    """Every option at once learns; penalties and limits do what they say."""
    rng = np.random.default_rng(12)
    X = rng.normal(size=(200, 4))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    coefs, intercepts = (
        [rng.normal(size=(4, 20)) / 2, rng.normal(size=(20, 2)) / 4],
        [np.zeros(20), np.zeros(2)],
    )
    network = reference.Network(
        coefs,
        intercepts,
        "elu",
        normalization="batch",
        alpha=1e-3,
        l1=0.5,
        clip_value=1.0,
        clip_norm=2.0,
        max_norm=1.5,
        dropout=(0.1,),
        input_dropout=0.05,
    )
    adam = reference.AdamW()
    losses = [
        network.epoch(X, y, rng.permutation(200), 21, adam, np.geomspace(0.02, 0.01, 10)) for _ in range(40)
    ]
    assert losses[-1] < 0.8 * losses[0] and network.t == adam.t == 400
    assert (coefs[0] == 0).any() and (coefs[0] ** 2).sum(axis=0).max() < 1.5**2 * (1 + 1e-12)
    assert (network.predict(X).argmax(axis=1) == y).mean() > 0.9
    np.testing.assert_allclose(network.means[0], (X @ coefs[0]).mean(axis=0), atol=0.2)


def test_the_references_penalties():
    rng = np.random.default_rng(14)
    X, y, weight = rng.normal(size=(7, 4)), rng.integers(0, 3, 7), WEIGHT
    coefs, intercepts = [rng.normal(size=(4, 3))], [rng.normal(size=3)]
    w = coefs[0].copy()
    plain, penalised = (
        reference.Network(coefs, intercepts, **penalties) for penalties in ({}, {"alpha": 0.3, "l1": 0.2})
    )
    value, (g, _) = plain.loss_and_gradients(X, y, weight)
    expected = value + (0.15 * (w**2).sum() + 0.2 * np.abs(w).sum()) / 7.5
    assert penalised.step(X, y, weight, reference.SGD(0.0, False), 0.1) == pytest.approx(expected)
    moved = w - 0.1 * (g + 0.3 * w / 7.5)
    np.testing.assert_allclose(coefs[0], soft_threshold(moved, 0.1 * 0.2 / 7.5), rtol=1e-12)


def test_the_references_short_forms():
    rng = np.random.default_rng(13)
    X, y = rng.normal(size=(7, 4)), rng.integers(0, 3, 7)
    coefs, intercepts = (
        [rng.normal(size=(4, 5)), rng.normal(size=(5, 3))],
        [rng.normal(size=5), rng.normal(size=3)],
    )
    layers = reference.forward(coefs, intercepts, X, "tanh")
    np.testing.assert_allclose(layers[1], np.tanh(X @ coefs[0] + intercepts[0]))
    np.testing.assert_allclose(
        reference.softmax(layers[2]), reference.predict(coefs, intercepts, X, "tanh", "log_loss")
    )
    network = reference.Network(coefs, intercepts, "tanh")
    value, gradients = reference.loss_and_gradients(coefs, intercepts, X, y, "tanh", "log_loss")
    assert value == pytest.approx(network.evaluate(X, y)) and len(gradients) == 4
    before = coefs[0].copy()
    assert reference.epoch(
        coefs, intercepts, X, y, np.arange(7), 7, reference.SGD(), 0.1, "tanh", "log_loss", 0.0
    ) == pytest.approx(value)
    assert (coefs[0] != before).any()
