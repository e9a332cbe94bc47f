"""The losses' formulas: against central differences, PyTorch and papers' equations."""

import numpy as np
import pytest
import reference
from differences import LOSS_CASES, slopes, targets

from nnfast.losses import CLASSIFIER_LOSSES, LOSS_BY_OUT_ACTIVATION, LOSSES, REGRESSOR_LOSSES
from nnfast.optimizers import OPTIMIZERS, RMSprop


@pytest.mark.parametrize("name, parameters", LOSS_CASES)
def test_losses(name, parameters):
    record, rng = LOSSES[name], np.random.default_rng(0)
    y, z = targets(name, rng), 2 * rng.normal(size=(7, 3))
    assert record.check(parameters) == parameters
    assert record.in_domain(y).all()
    gradient = record.gradient(y, z, parameters)
    own = parameters or record.defaults
    np.testing.assert_allclose(
        record.value(y, z, parameters), reference.row_losses(name, y, z, own), rtol=1e-12
    )
    np.testing.assert_allclose(record.output(z), reference.OUTPUTS[name](z), rtol=1e-13)
    descent = record.descent_scale(3) * gradient
    np.testing.assert_allclose(descent, reference.output_delta(name, y, z, own), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(gradient, reference.row_gradients(name, y, z, own), rtol=1e-11, atol=1e-14)
    differences = slopes(lambda z: record.value(y, z, parameters).sum(), z)
    np.testing.assert_allclose(gradient, differences, atol=1e-7)


@pytest.mark.parametrize("name, parameters", LOSS_CASES)
def test_losses_from_far_logits(name, parameters):
    # From probabilities these would be log(0), clipped or not.
    record, rng = LOSSES[name], np.random.default_rng(0)
    z = np.array([[800.0, -800.0, 0.0], [-800.0, 0.0, 800.0], [1e-9, 0.0, -1e-9]] * 3)
    if record.out_activation == "exp":  # exp(800) is infinite, and so is the loss
        z = np.clip(z, -100, 100)
    y = targets(name, rng, 9)
    assert np.isfinite(record.value(y, z, parameters)).all()
    assert np.isfinite(record.gradient(y, z, parameters)).all()


def test_focal_loss_without_focus_is_the_log_loss():
    rng = np.random.default_rng(1)
    z = 300 * rng.normal(size=(50, 3))
    for focal, plain in [("focal", "log_loss"), ("binary_focal", "binary_log_loss")]:
        y = targets(focal, rng, 50)
        np.testing.assert_allclose(
            LOSSES[focal].value(y, z, (0,)), LOSSES[plain].value(y, z), rtol=1e-12, atol=1e-15
        )
        np.testing.assert_allclose(
            LOSSES[focal].gradient(y, z, (0,)), LOSSES[plain].gradient(y, z), rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_keeps_its_digits(gamma):
    # As p tends to 1 the loss tends to q^(gamma + 1) and its slope by the logit to -(gamma + 1) q^(gamma +
    # 1), q = 1 - p = exp(-30).
    q = np.exp(-30.0)
    for name, y, z in [
        ("focal", np.array([0]), np.array([[30.0, 0.0]])),
        ("binary_focal", np.ones((1, 1)), np.array([[30.0]])),
    ]:
        np.testing.assert_allclose(LOSSES[name].value(y, z, (gamma,)), q ** (gamma + 1), rtol=1e-12)
        np.testing.assert_allclose(
            LOSSES[name].gradient(y, z, (gamma,))[0, 0], -(gamma + 1) * q ** (gamma + 1), rtol=1e-12
        )


def test_log_cosh_keeps_its_digits():
    error = np.array([[1e-12], [1e-5], [0.999999], [1.000001], [710.0], [1e8]])
    expected = [
        0.5e-24,
        0.5e-10 - 1e-20 / 12,
        np.log(np.cosh(0.999999)),
        np.log(np.cosh(1.000001)),
        710 - np.log(2),
        1e8 - np.log(2),
    ]
    np.testing.assert_allclose(LOSSES["log_cosh"].value(np.zeros((6, 1)), error), expected, rtol=1e-14)


@pytest.mark.torch
@pytest.mark.parametrize("name, parameters", LOSS_CASES)
def test_losses_agree_with_torch(name, parameters):
    import torch
    from torch.nn import functional as F

    functions = {
        "log_loss": lambda y, z: F.cross_entropy(
            z, y, label_smoothing=parameters[0] if parameters else 0.0, reduction="none"
        ),
        "binary_log_loss": lambda y, z: F.binary_cross_entropy_with_logits(z, y, reduction="none").sum(dim=1),
        "squared_error": lambda y, z: F.mse_loss(z, y, reduction="none").mean(dim=1) / 2,
        "absolute_error": lambda y, z: F.l1_loss(z, y, reduction="none").mean(dim=1),
        "huber": lambda y, z: F.huber_loss(
            z, y, delta=parameters[0] if parameters else 1.0, reduction="none"
        ).mean(dim=1),
        # less the term that makes a perfect fit 0
        "poisson": lambda y, z: (F.poisson_nll_loss(z, y, reduction="none") + torch.xlogy(y, y) - y).sum(
            dim=1
        ),
    }
    if name not in functions:
        pytest.skip("not in PyTorch")
    rng = np.random.default_rng(3)
    y, z = targets(name, rng, 20), 2 * rng.normal(size=(20, 3))
    tensor = torch.tensor(z, requires_grad=True)
    expected = functions[name](torch.tensor(y), tensor)
    expected.sum().backward()
    np.testing.assert_allclose(
        LOSSES[name].value(y, z, parameters), expected.detach().numpy(), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(
        LOSSES[name].gradient(y, z, parameters), tensor.grad.numpy(), rtol=1e-11, atol=1e-14
    )


def test_losses_at_their_kinks():
    y = z = np.zeros((1, 3))
    for name in ("absolute_error", "quantile", "huber", "log_cosh"):
        assert not LOSSES[name].gradient(y, z).any() and not LOSSES[name].value(y, z).any()


@pytest.mark.parametrize(
    "name, outside",
    [
        ("poisson", [-1.0, np.inf]),
        ("gamma", [0.0, -1.0]),
        ("binary_focal", [0.5]),
        ("binary_log_loss", [-0.1, 2.0]),
        ("log_loss", [-1, 0.5]),
        ("squared_error", [np.nan]),
    ],
)
def test_domains_of_targets(name, outside):
    assert not LOSSES[name].in_domain(np.array(outside)).any()


@pytest.mark.parametrize(
    "name, parameters, words",
    [
        ("focal", (-1.0,), ["focal_gamma", ">= 0", "-1.0"]),
        ("huber", (0.0,), ["huber_delta", "> 0"]),
        ("quantile", (0.5, 1.0), ["quantile", "(0, 1)", "1.0"]),
        ("log_loss", (1.0,), ["label_smoothing", "[0, 1)"]),
        ("huber", (np.nan,), ["nan"]),
        ("poisson", (1.0,), ["no parameters"]),
    ],
)
def test_parameters_of_losses_that_are_not_accepted(name, parameters, words):
    with pytest.raises(ValueError) as error:
        LOSSES[name].check(parameters)
    for word in words:
        assert word in str(error.value)


def test_losses_by_output_activation():
    assert {name: loss.name for name, loss in LOSS_BY_OUT_ACTIVATION.items()} == {
        "softmax": "log_loss",
        "logistic": "binary_log_loss",
        "identity": "squared_error",
        "exp": "poisson",
    }
    for loss in LOSSES.values():
        z = np.random.default_rng(0).normal(size=(5, 3))
        np.testing.assert_array_equal(loss.output(z), LOSS_BY_OUT_ACTIVATION[loss.out_activation].output(z))
    assert {*CLASSIFIER_LOSSES, *REGRESSOR_LOSSES, "binary_log_loss", "binary_focal"} == set(LOSSES)


def test_the_formula_of_an_optimizer_is_its_docstrings():
    assert RMSprop.formula == "v <- rho v + (1 - rho) g^2; w <- w - learning_rate g / (sqrt(v) + epsilon)"
    assert all(
        record.formula.count("<-") >= 2 or "as Adam's" in record.formula for record in OPTIMIZERS.values()
    )
