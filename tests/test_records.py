"""The records' formulas: against central differences, PyTorch, papers' equations and the reference
network.
"""

import inspect

import numpy as np
import pytest
import reference

from nnfast.activations import ACTIVATIONS, ALIASES, resolve_activations
from nnfast.initializers import INITIALIZERS
from nnfast.losses import CLASSIFIER_LOSSES, LOSS_BY_OUT_ACTIVATION, LOSSES, REGRESSOR_LOSSES
from nnfast.normalization import NORMALIZATIONS, advance_statistics, fold
from nnfast.optimizers import (
    OPTIMIZERS,
    SGD,
    AdaBelief,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    NAdam,
    RMSprop,
    resolve_optimizer,
)
from nnfast.regularization import soft_threshold

STEP = 1e-6

# Every activation, at its default and at other values of its own parameter.
ACTIVATION_CASES = [(name, None) for name in ACTIVATIONS] + [
    ("leaky_relu", 0.0),
    ("leaky_relu", 0.3),
    ("leaky_relu", 1.5),
    ("elu", 0.0),
    ("elu", 0.2),
    ("elu", 2.0),
    ("softplus", 0.5),
    ("softplus", 5.0),
]

# Every loss, at its default and at other parameters; three outputs.
LOSS_CASES = [(name, ()) for name in LOSSES] + [
    ("log_loss", (0.1,)),
    ("log_loss", (0.5,)),
    ("focal", (0.0,)),
    ("focal", (0.5,)),
    ("focal", (5.0,)),
    ("binary_focal", (0.0,)),
    ("binary_focal", (0.5,)),
    ("binary_focal", (5.0,)),
    ("huber", (0.3,)),
    ("huber", (20.0,)),
    ("quantile", (0.9,)),
    ("quantile", (0.1, 0.5, 0.8)),
]

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


def targets(loss, rng, n=7, n_outputs=3):
    """Targets that the loss is defined for."""
    if loss in ("log_loss", "focal"):
        return rng.integers(0, n_outputs, n)
    if loss.startswith("binary"):
        return rng.integers(0, 2, (n, n_outputs)).astype(float)
    if loss == "poisson":
        return rng.integers(0, 4, (n, n_outputs)).astype(float)
    return rng.gamma(2.0, size=(n, n_outputs)) if loss == "gamma" else rng.normal(size=(n, n_outputs))


def slopes(function, z):
    """Central differences of a function of z, by every component of z: shape of its values, then of z."""
    steps = STEP * np.eye(z.size).reshape(z.size, *z.shape)
    differences = [(function(z + step) - function(z - step)) / (2 * STEP) for step in steps]
    return np.moveaxis(np.array(differences), 0, -1).reshape(*np.shape(differences[0]), *z.shape)


@pytest.mark.parametrize("key", RECORDS)
def test_every_record_explains_itself(key):
    record, name = RECORDS[key], key.split()[1]
    assert record.name == name and len(record.advice) > 20 and record.advice.endswith(".")
    assert len(record.formula) >= 5
    assert "References" in record.__doc__ if inspect.isclass(record) else len(record.reference) > 20
    if not key.startswith("initializer"):
        assert record.kernel == name


# ------------------------------------------------------------------------------------------------------------
# Activations


@pytest.mark.parametrize("name, parameter", ACTIVATION_CASES)
def test_activations(name, parameter):
    record = ACTIVATIONS[name]
    z = np.linspace(-4, 4, 60)  # zero, relu's kink, is not among them
    function, derivative = reference.ACTIVATIONS[name]
    own = record.default if parameter is None else parameter
    assert reference.ACTIVATION_DEFAULTS.get(name) == record.default
    a = record.function(z, parameter)
    slope = record.derivative(z, a, parameter)
    np.testing.assert_allclose(a, function(z, own), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(slope, derivative(z, own), rtol=1e-12, atol=1e-15)
    differences = (record.function(z + STEP, parameter) - record.function(z - STEP, parameter)) / (2 * STEP)
    np.testing.assert_allclose(slope, differences, atol=1e-8)
    np.testing.assert_array_equal(record.function(z), record.function(z, record.default))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_the_dtype(name):
    record, z = ACTIVATIONS[name], np.linspace(-4, 4, 9)
    a = record.function(z.astype(np.float32))
    slope = record.derivative(z.astype(np.float32), a)
    assert a.dtype == slope.dtype == np.float32
    np.testing.assert_allclose(a, record.function(z), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(slope, record.derivative(z, record.function(z)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name, parameter", ACTIVATION_CASES)
def test_activations_far_out(name, parameter):
    record = ACTIVATIONS[name]
    z = np.array([-np.inf, -1e300, -1e30, -1e4, -800.0, -80.0, 80.0, 800.0, 1e4, 1e30, 1e300, np.inf])
    z = z[1:-1] if name == "leaky_relu" else z  # 0 * inf
    a = record.function(z, parameter)
    slope = record.derivative(z, a, parameter)
    assert not np.isnan(a).any() and np.isfinite(slope).all()
    if name in ("logistic", "tanh"):
        np.testing.assert_allclose(a[z > 0], 1, rtol=1e-15)
        np.testing.assert_allclose(slope, 0, atol=1e-15)
    elif name not in ("identity", "selu"):
        np.testing.assert_allclose(a[z > 0], z[z > 0], rtol=1e-15)
        np.testing.assert_allclose(slope[z > 0], 1, rtol=1e-15)
    if "gelu" in name or name in ("silu", "mish", "hard_swish", "softplus", "relu"):
        np.testing.assert_allclose(a[z < 0], 0, atol=1e-8)
        np.testing.assert_allclose(slope[z < 0], 0, atol=1e-8)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "gelu_sigmoid", "silu", "mish"])
def test_gates_keep_their_digits(name):
    # The left tail as z times what the gate is there in closed form; 1 + tanh or 1 + erf would have lost all
    # digits.
    z = np.array([-10.0, -20.0])
    u = np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)
    upper = -np.expm1(-(z**2) / 2) * np.exp(-(z**2) / 2) / (-z * np.sqrt(2 * np.pi))  # Phi(z) within 1 / z^2
    gate = {
        "gelu": upper,
        "gelu_tanh": np.exp(2 * u),
        "gelu_sigmoid": np.exp(1.702 * z),
        "silu": np.exp(z),
        "mish": np.exp(z),
    }[name]
    np.testing.assert_allclose(
        ACTIVATIONS[name].function(z), z * gate, rtol=0.011 if name == "gelu" else 1e-4
    )


@pytest.mark.torch
@pytest.mark.parametrize("name, parameter", ACTIVATION_CASES)
def test_activations_agree_with_torch(name, parameter):
    import torch
    from torch.nn import functional as F

    functions = {
        "logistic": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": F.relu,
        "selu": F.selu,
        "gelu": F.gelu,
        "silu": F.silu,
        "mish": F.mish,
        "hard_swish": F.hardswish,
        "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
        "leaky_relu": lambda z: F.leaky_relu(z, 0.01 if parameter is None else parameter),
        "elu": lambda z: F.elu(z, 1.0 if parameter is None else parameter),
        "softplus": lambda z: F.softplus(z, 1.0 if parameter is None else parameter, threshold=1e3),
    }
    if name not in functions:
        pytest.skip("not in PyTorch")
    z = np.linspace(-8, 8, 161)  # zero among them, for the kinks' subgradients
    z[80] = 0
    tensor = torch.tensor(z, requires_grad=True)
    expected = functions[name](tensor)
    expected.sum().backward()
    record = ACTIVATIONS[name]
    a = record.function(z, parameter)
    np.testing.assert_allclose(a, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        record.derivative(z, a, parameter), tensor.grad.numpy(), rtol=1e-11, atol=1e-14
    )


@pytest.mark.parametrize(
    "activation, activation_params, expected",
    [
        ("relu", None, (("relu", None),) * 3),
        ("sigmoid", {}, (("logistic", None),) * 3),
        ("leaky_relu", {"negative_slope": 0.2}, (("leaky_relu", 0.2),) * 3),
        (("elu", 0.5), None, (("elu", 0.5),) * 3),
        (("elu", {"alpha": 2}), None, (("elu", 2.0),) * 3),
        (("elu", {}), {"alpha": 3}, (("elu", 3.0),) * 3),
        (["linear", ("softplus", 2), "tanh"], None, (("identity", None), ("softplus", 2.0), ("tanh", None))),
        (["elu", ("elu", 0.5), "relu"], {"alpha": 0.1}, (("elu", 0.1), ("elu", 0.5), ("relu", None))),
    ],
)
def test_resolving_activations(activation, activation_params, expected):
    assert resolve_activations(activation, activation_params, 3) == expected


@pytest.mark.parametrize(
    "activation, activation_params, words",
    [
        ("gleu", None, ["activation", "'gleu'", "'mish'", "'sigmoid'", "Did you mean 'gelu'"]),
        ("ReLU", None, ["Did you mean 'relu'"]),
        (("relu", "tanh"), None, ["list", "['relu', 'tanh']"]),
        (("relu", "tanh", "elu"), None, ["list", "['relu', 'tanh', 'elu']"]),
        (["relu", "relu"], None, ["3 hidden layers", "2 entries"]),
        (["elu", 0.5, "relu"], None, ["0.5", "tuple"]),
        (("relu", 0.1), None, ["'relu' has no parameter", "0.1", "'elu' (alpha)"]),
        (("elu", -1.0), None, ["alpha", "'elu'", ">= 0", "-1.0"]),
        (("softplus", 0), None, ["beta", "> 0", "0"]),
        (("elu", np.nan), None, ["alpha", "nan"]),
        (("elu", True), None, ["alpha", "True"]),
        (("elu", {"beta": 1.0}), None, ["'elu'", "'beta'", "alpha"]),
        ("elu", {"beta": 1.0}, ["activation_params", "'beta'", "accepted: alpha"]),
        ("relu", {"alpha": 1.0}, ["activation_params", "'alpha'", "relu", "accepted: none"]),
        ("elu", {"alpha": "x"}, ["alpha", "'x'"]),
        ("elu", 0.5, ["activation_params must be a dict", "0.5"]),
        (None, None, ["activation", "None"]),
    ],
)
def test_activations_that_are_not_accepted(activation, activation_params, words):
    with pytest.raises(ValueError) as error:
        resolve_activations(activation, activation_params, 3)
    for word in words:
        assert word in str(error.value)


def test_activations_of_a_linear_model():
    assert resolve_activations("tanh", None, 0) == resolve_activations([], None, 0) == ()
    with pytest.raises(ValueError, match="gleu"):
        resolve_activations("gleu", None, 0)


def test_aliases():
    assert set(ALIASES.values()) <= set(ACTIVATIONS) and not set(ALIASES) & set(ACTIVATIONS)
    assert {record.initializer for record in ACTIVATIONS.values()} <= set(INITIALIZERS)


# ------------------------------------------------------------------------------------------------------------
# Losses


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


# ------------------------------------------------------------------------------------------------------------
# Optimizers

RULES = [
    SGD(0.7, True),
    SGD(0.7, False),
    SGD(0.0, False),
    Adam(0.8, 0.95, 1e-3),
    AdamW(0.8, 0.95, 1e-3, 0.1),
    AdamW(weight_decay=0.0),
    NAdam(0.8, 0.95, 1e-3),
    NAdam(momentum_decay=0.1),
    RMSprop(0.8, 1e-3),
    Adagrad(1e-3),
    Lion(0.8, 0.95, 0.1),
    Lion(),
    AdaBelief(0.8, 0.95, 1e-3),
    AdaBelief(epsilon_root=1e-3),
]


def run(record, gradients, rates, decays=True):
    """A parameter's path: its values after every step."""
    w = np.random.default_rng(2).normal(size=gradients.shape[1:])
    moments = [np.zeros_like(w) for _ in range(record.n_moments)]
    path = [w.copy()]
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        record.update(w, moments, g, rate, t, decays)
        path.append(w.copy())
    return np.array(path)


@pytest.mark.parametrize("decays", [True, False])
@pytest.mark.parametrize("record", RULES, ids=str)
def test_optimizers(record, decays):
    rng = np.random.default_rng(3)
    gradients, rates = rng.normal(size=(40, 3, 4)), rng.uniform(0.01, 0.1, 40)
    path = run(record, gradients, rates, decays)
    slow, w = reference.optimizer_like(record), path[0].copy()
    for g, rate in zip(gradients, rates, strict=True):
        slow.step([w], [g], rate, n_weights=int(decays))
    np.testing.assert_allclose(path[-1], w, rtol=1e-12)
    assert OPTIMIZERS[record.name] is type(record) and slow.n_moments == record.n_moments


@pytest.fixture
def torch64():
    """PyTorch computing even scalars, such as NAdam's product, in float64."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.torch
@pytest.mark.parametrize("record", RULES, ids=str)
def test_optimizers_agree_with_torch(record, torch64):
    torch = torch64
    make = {
        # PyTorch's nesterov is scikit-learn's for a constant rate
        "sgd": lambda w: torch.optim.SGD(
            w, 0.05, record.momentum, nesterov=record.nesterov and record.momentum > 0
        ),
        "adamw": lambda w: torch.optim.AdamW(
            w, 0.05, (record.beta_1, record.beta_2), record.epsilon, record.weight_decay
        ),
        "nadam": lambda w: torch.optim.NAdam(
            w, 0.05, (record.beta_1, record.beta_2), record.epsilon, momentum_decay=record.momentum_decay
        ),
        "rmsprop": lambda w: torch.optim.RMSprop(w, 0.05, record.rho, record.epsilon),
        "adagrad": lambda w: torch.optim.Adagrad(w, 0.05, eps=record.epsilon),
    }
    if record.name not in make:
        pytest.skip("not in PyTorch, or not with scikit-learn's epsilon")
    gradients = np.random.default_rng(4).normal(size=(100, 3, 4))
    path = run(record, gradients, np.full(100, 0.05))
    tensor = torch.tensor(path[0].copy(), requires_grad=True)
    theirs = make[record.name]([tensor])
    for g, expected in zip(gradients, path[1:], strict=True):
        tensor.grad = torch.tensor(g)
        theirs.step()
        np.testing.assert_allclose(expected, tensor.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_adam_and_lion_are_their_papers():
    rng = np.random.default_rng(5)
    gradients, rates = rng.normal(size=(100, 6)), rng.uniform(0.01, 0.1, 100)
    for decays in (True, False):
        adam, lion = Adam(0.8, 0.95, 1e-3), Lion(0.8, 0.95, 0.1)
        path, other = run(adam, gradients, rates, decays), run(lion, gradients, rates, decays)
        theta, m, v = path[0].copy(), 0, 0
        for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
            # Kingma and Ba, section 2: alpha_t = alpha sqrt(1 - beta_2^t) / (1 - beta_1^t), theta -= alpha_t
            # m_t / (sqrt(v_t) + epsilon)
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
            theta = theta - rate * np.sqrt(1 - 0.95**t) / (1 - 0.8**t) * m / (np.sqrt(v) + 1e-3)
            np.testing.assert_allclose(path[t], theta, rtol=1e-12, atol=1e-13)
        theta, m = other[0].copy(), 0
        for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
            # Chen et al., algorithm 2: c = beta_1 m + (1 - beta_1) g, theta -= eta (sign(c) + lambda theta),
            # m = beta_2 m + (1 - beta_2) g
            c = 0.8 * m + 0.2 * g
            theta = theta - rate * (np.sign(c) + (0.1 * theta if decays else 0))
            m = 0.95 * m + 0.05 * g
            np.testing.assert_allclose(other[t], theta, rtol=1e-12, atol=1e-13)


def test_momentum_as_textbooks_write_it_is_a_smaller_rate():
    gradients, w, v = np.random.default_rng(6).normal(size=(50, 4)), None, 0
    path = run(SGD(0.9, False), gradients, np.full(50, 0.1 * (1 - 0.9)))
    w = path[0]
    for t, g in enumerate(gradients, 1):
        v = 0.9 * v + (1 - 0.9) * g
        w = w - 0.1 * v
        np.testing.assert_allclose(path[t], w, rtol=1e-12)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SGD(momentum=1.5), ["momentum of SGD", "[0, 1]", "1.5"]),
        (lambda: SGD(nesterov=3), ["nesterov of SGD", "True or False", "3"]),
        (lambda: Adam(beta_1=1.0), ["beta_1 of Adam", "[0, 1)", "1.0"]),
        (lambda: NAdam(beta_2=-0.1), ["beta_2 of NAdam"]),
        (lambda: AdamW(weight_decay=-1), ["weight_decay of AdamW", ">= 0", "-1"]),
        (lambda: RMSprop(rho="x"), ["rho of RMSprop", "'x'"]),
        (lambda: Adagrad(epsilon=0), ["epsilon of Adagrad", "> 0"]),
        (lambda: Lion(beta_2=np.nan), ["beta_2 of Lion", "nan"]),
    ],
)
def test_hyperparameters_that_are_not_accepted(make, words):
    with pytest.raises(ValueError) as error:
        make()
    for word in words:
        assert word in str(error.value)


class Parameters:
    """An estimator, as far as optimizers see it."""

    momentum, nesterovs_momentum, beta_1, beta_2, epsilon, rho, weight_decay = (
        0.8,
        False,
        0.7,
        0.95,
        1e-6,
        0.85,
        0.02,
    )

    def __init__(self, solver):
        self.solver = solver


@pytest.mark.parametrize(
    "expected",
    [
        SGD(0.8, False),
        Adam(0.7, 0.95, 1e-6),
        AdamW(0.7, 0.95, 1e-6, 0.02),
        NAdam(0.7, 0.95, 1e-6),
        RMSprop(0.85, 1e-6),
        Adagrad(1e-6),
        Lion(0.7, 0.95, 0.02),
        AdaBelief(0.7, 0.95, 1e-6),
    ],
    ids=lambda record: record.name,
)
def test_resolving_optimizers(expected):
    assert resolve_optimizer(Parameters(expected.name)) == expected
    assert resolve_optimizer(Parameters(expected)) is expected
    for solver in ("adamm", 3):
        with pytest.raises(ValueError, match=f"solver must be one of .*'nadam'.*got {solver!r}"):
            resolve_optimizer(Parameters(solver))


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
