"""The activations' formulas: against central differences, PyTorch and papers' equations."""

import numpy as np
import pytest
import reference
from differences import STEP

from nnfast.activations import ACTIVATIONS, ALIASES, resolve_activations
from nnfast.initializers import INITIALIZERS

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
