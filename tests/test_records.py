"""The records' formulas: derivatives against central differences, values against the reference network."""

import numpy as np
import pytest
import reference

from nnfast.activations import ACTIVATIONS
from nnfast.losses import LOSS_BY_OUT_ACTIVATION, LOSSES
from nnfast.network import Network
from nnfast.optimizers import OPTIMIZERS, SGD, Adam
from nnfast.schedules import SCHEDULES, Adaptive, Constant, InvScaling

STEP = 1e-6


def targets(loss, rng, n=7, n_outputs=3):
    return {
        "log_loss": rng.integers(0, n_outputs, n),
        "binary_log_loss": rng.integers(0, 2, (n, n_outputs)).astype(float),
        "squared_error": rng.normal(size=(n, n_outputs)),
        "poisson": rng.integers(0, 4, (n, n_outputs)).astype(float),
    }[loss]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    record = ACTIVATIONS[name]
    z = np.linspace(-4, 4, 60)  # zero, relu's kink, is not among them
    function, derivative = reference.ACTIVATIONS[name]
    a = record.function(z)
    np.testing.assert_allclose(a, function(z), rtol=1e-14)
    np.testing.assert_allclose(record.derivative(z, a), derivative(a), rtol=1e-14)
    slope = (record.function(z + STEP) - record.function(z - STEP)) / (2 * STEP)
    np.testing.assert_allclose(record.derivative(z, a), slope, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    record, rng = LOSSES[name], np.random.default_rng(0)
    y, z = targets(name, rng), 2 * rng.normal(size=(7, 3))
    np.testing.assert_allclose(record.value(y, z), reference.row_losses(name, y, z), rtol=1e-13)
    np.testing.assert_allclose(record.output(z), reference.OUTPUTS[name](z), rtol=1e-13)
    descent = record.descent_scale(3) * record.gradient(y, z)
    np.testing.assert_allclose(descent, reference.output_delta(name, y, z), rtol=1e-12, atol=1e-15)
    for k in range(3):
        step = STEP * np.eye(3)[k]
        slope = (record.value(y, z + step) - record.value(y, z - step)) / (2 * STEP)
        np.testing.assert_allclose(record.gradient(y, z)[:, k], slope, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_from_far_logits(name):
    # From probabilities these would be log(0), clipped or not.
    z = np.array([[800.0, -800.0, 0.0]] * 2)
    if name != "poisson":  # exp(800) is infinite, and so is the loss
        assert np.isfinite(LOSSES[name].value(targets(name, np.random.default_rng(0), 2), z)).all()


def test_losses_by_output_activation():
    assert {name: loss.name for name, loss in LOSS_BY_OUT_ACTIVATION.items()} == {
        "softmax": "log_loss",
        "logistic": "binary_log_loss",
        "identity": "squared_error",
        "exp": "poisson",
    }


@pytest.mark.parametrize("sample_weight", [None, np.array([0.0, 1.0, 2.0, 0.5, 0.0, 3.0, 1.0])])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_reference_differentiates_its_loss(loss, activation, sample_weight):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(7, 4)), targets(loss, rng)
    network = Network((4, 5, 3), activation, loss)
    flat = network.pack(*network.initialize(np.random.RandomState(0), np.float64))
    assert flat.size == network.n_parameters

    def value(flat):
        return reference.loss_and_gradients(
            *network.unpack(flat), X, y, activation, loss, 0.3, sample_weight, as_scikit_learn=False
        )

    gradient = np.concatenate([array.ravel() for array in value(flat)[1]])
    slopes = [(value(flat + step)[0] - value(flat - step)[0]) / (2 * STEP) for step in STEP * np.eye(flat.size)]
    np.testing.assert_allclose(gradient, slopes, atol=1e-7)


@pytest.mark.parametrize(
    "record, oracle",
    [
        (Adam(0.8, 0.95, 1e-3), reference.Adam(0.8, 0.95, 1e-3)),
        (SGD(0.7, True), reference.SGD(0.7, True)),
        (SGD(0.7, False), reference.SGD(0.7, False)),
    ],
)
def test_optimizers(record, oracle):
    rng = np.random.default_rng(2)
    w = rng.normal(size=(3, 4))
    expected = w.copy()
    moments = [np.zeros_like(w) for _ in range(record.n_moments)]
    for t in range(1, 6):
        g = rng.normal(size=w.shape)
        record.update(w, moments, g, 0.1, t)
        oracle.step([expected], [g], 0.1)
    np.testing.assert_allclose(w, expected, rtol=1e-13)
    assert OPTIMIZERS[record.name] is type(record)


def test_schedules():
    assert set(SCHEDULES) == {"constant", "invscaling", "adaptive"}
    assert Constant(0.1).after_epoch(0.1, 50) == 0.1
    assert Constant(0.1).after_stall(0.1)[0] is None
    assert InvScaling(0.1, 0.5).after_epoch(0.03, 99) == pytest.approx(0.01)
    assert Adaptive(0.1).after_stall(0.1)[0] == pytest.approx(0.02)
    assert Adaptive(0.1).after_stall(1e-6)[0] is None
