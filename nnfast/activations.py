"""Activations: what a unit makes of its pre-activation z.

Each record holds the function and its derivative as readable NumPy (the definition that the compiled kernels
are tested against), the range, its own parameter where it has one, and the name under which the kernel is
found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy.special import expit, ndtr

from nnfast import selu
from nnfast.custom_functions import Activation, name_of
from nnfast.suggestions import did_you_mean

__all__ = ["ACTIVATIONS", "ActivationRecord"]


@dataclass(frozen=True)
class ActivationRecord:
    """One activation: a = function(z), and da/dz from z and a together, since either may be the cheaper
    source.

    `f(z)` and `df(z, a)` are the formulas; with a parameter it is their last argument. `function` and
    `derivative` fill in its default. `initializer` is what initializer="auto" draws the weights below such
    units with. `by_value` tells whether compiled code takes the derivative from a, as scikit-learn does; else
    the forward pass stores it.
    """

    name: str
    formula: str
    range: str
    f: Callable[..., np.ndarray]
    df: Callable[..., np.ndarray]
    kernel: str
    advice: str
    reference: str
    initializer: str = "glorot_uniform"
    parameter_name: str | None = None
    default: float | None = None
    domain: str | None = None
    in_domain: Callable[[float], bool] | None = None
    by_value: bool = False

    def function(self, z, parameter=None):
        """a, of z's shape and dtype; None stands for the parameter's default."""
        return self.f(z, *self._own(parameter))

    def derivative(self, z, a, parameter=None):
        """da/dz, of z's shape and dtype; None stands for the parameter's default."""
        return self.df(z, a, *self._own(parameter))

    def _own(self, parameter):
        return (
            () if self.parameter_name is None else (self.default if parameter is None else float(parameter),)
        )

    def check(self, parameter):
        """The parameter as a float, or None for None; ValueError if it is not one that the activation
        accepts.
        """
        if parameter is None:
            return None
        if self.parameter_name is None:
            having = ", ".join(
                f"{each.name!r} ({each.parameter_name})" for each in _ALL if each.parameter_name
            )
            raise ValueError(
                f"activation {self.name!r} has no parameter, got {parameter!r}; those with one: {having}."
            )
        real = isinstance(parameter, Real) and not isinstance(parameter, (bool, np.bool_))
        if not real or not np.isfinite(parameter) or not self.in_domain(parameter):
            what = f"{self.parameter_name} of activation {self.name!r}"
            raise ValueError(f"{what} must be {self.domain}, got {parameter!r}.")
        return float(parameter)


# Beyond this every gate below is 0 or 1 to the last bit; inf * 0 and overflows are kept out by stopping
# there.
_FAR = 1e3


def _near(z):
    return np.clip(z, -_FAR, _FAR)


def _gated(z, gate):
    """z times the gate near it; with the derivative's own arguments, since compiled code computes only once
    what both have.
    """
    return np.maximum(z, -_FAR) * gate(_near(z))


def _elu(z, alpha):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def _elu_derivative(z, a, alpha):
    return np.where(z > 0, np.ones_like(z), alpha * np.exp(np.minimum(z, 0)))


def _gelu_derivative(z, a):
    z = _near(z)
    return ndtr(z) + z * np.exp(-0.5 * z * z) / (2 * np.pi) ** 0.5


# 0.5 (1 + tanh(u)) is the logistic of 2u, which keeps its digits where tanh(u) comes near -1.
_GELU_TANH = 2 * (2 / np.pi) ** 0.5


def _gelu_tanh_argument(z):
    return _GELU_TANH * (z + 0.044715 * z**3)


def _gelu_tanh_derivative(z, a):
    z = _near(z)
    u = _gelu_tanh_argument(z)
    return expit(u) + z * _GELU_TANH * (1 + 3 * 0.044715 * z * z) * expit(u) * expit(-u)


def _swish_derivative(z, a, steepness):
    z = _near(z)
    gate = expit(steepness * z)
    return gate + steepness * z * gate * expit(-steepness * z)


def _mish_gate(z):
    return np.tanh(np.logaddexp(0, z))


def _mish_derivative(z, a):
    z = _near(z)
    gate = _mish_gate(z)
    return gate + z * expit(z) * (1 - gate * gate)


def _hard_swish_derivative(z, a):
    return np.where(abs(z) < 3, z / 3 + 0.5, np.where(z > 0, np.ones_like(z), np.zeros_like(z)))


_ALL = (
    ActivationRecord(
        name="identity",
        formula="a = z",
        range="(-inf, inf)",
        f=lambda z: z,
        df=lambda z, a: np.ones_like(z),
        kernel="identity",
        by_value=True,
        advice="For a linear model, or a linear bottleneck between two layers.",
        reference="Baldi and Hornik, Neural networks and principal component analysis, 1989",
    ),
    ActivationRecord(
        name="logistic",
        formula="a = 1 / (1 + exp(-z))",
        range="(0, 1)",
        f=expit,
        df=lambda z, a: a * (1 - a),
        kernel="logistic",
        by_value=True,
        advice=(
            "Saturates on both sides and is not centred on zero; tanh is nearly always the better of the two."
        ),
        reference="Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, 1986",
    ),
    ActivationRecord(
        name="tanh",
        formula="a = tanh(z)",
        range="(-1, 1)",
        f=np.tanh,
        df=lambda z, a: 1 - a * a,
        kernel="tanh",
        by_value=True,
        advice="Smooth and centred on zero: good for small and shallow networks, and with solver='lbfgs'.",
        reference="LeCun et al., Efficient BackProp, 1998",
    ),
    ActivationRecord(
        name="relu",
        formula="a = max(0, z)",
        range="[0, inf)",
        f=lambda z: np.maximum(z, 0),
        # 0 at z = 0, scikit-learn's choice of subgradient
        df=lambda z, a: np.where(a > 0, np.ones_like(z), 0),
        kernel="relu",
        by_value=True,
        initializer="he_normal",
        advice="The cheapest, and the one to start with.",
        reference="Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, 2010",
    ),
    ActivationRecord(
        name="leaky_relu",
        formula="a = z if z > 0 else negative_slope z",
        range="(-inf, inf)",
        f=lambda z, slope: np.where(z > 0, z, slope * z),
        df=lambda z, a, slope: np.where(z > 0, np.ones_like(z), slope),
        kernel="leaky_relu",
        by_value=True,
        initializer="he_normal",
        parameter_name="negative_slope",
        default=0.01,
        domain="a number >= 0",
        in_domain=lambda slope: slope >= 0,
        advice="Where many relu units die: its gradient is nowhere zero.",
        reference=(
            "Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, 2013"
        ),
    ),
    ActivationRecord(
        name="elu",
        formula="a = z if z > 0 else alpha (exp(z) - 1)",
        range="(-alpha, inf)",
        f=_elu,
        df=_elu_derivative,
        kernel="elu",
        initializer="he_normal",
        parameter_name="alpha",
        default=1.0,
        domain="a number >= 0",
        in_domain=lambda alpha: alpha >= 0,
        advice="As relu, with means nearer to zero and no dead units; often converges in fewer epochs.",
        reference=(
            "Clevert, Unterthiner and Hochreiter, Fast and Accurate Deep Network Learning by Exponential"
            " Linear Units, 2016, arXiv:1511.07289"
        ),
    ),
    ActivationRecord(
        name="selu",
        formula="a = lambda (z if z > 0 else alpha (exp(z) - 1)), lambda = 1.0507..., alpha = 1.6733...",
        range="(-lambda alpha, inf) = (-1.7581, inf)",
        f=lambda z: selu.LAMBDA * _elu(z, selu.ALPHA),
        df=lambda z, a: selu.LAMBDA * _elu_derivative(z, a, selu.ALPHA),
        kernel="selu",
        initializer="lecun_normal",
        advice=(
            "For deep networks without normalization, on standardised inputs, with initializer='lecun_normal'"
            " and alpha_dropout."
        ),
        reference="Klambauer et al., Self-Normalizing Neural Networks, 2017, arXiv:1706.02515",
    ),
    ActivationRecord(
        name="gelu",
        formula="a = z Phi(z), Phi the standard normal distribution function",
        range="[-0.17, inf)",
        f=lambda z: _gated(z, ndtr),
        df=_gelu_derivative,
        kernel="gelu",
        initializer="he_normal",
        advice="A smooth relu; often a little more accurate than relu, and somewhat slower.",
        reference="Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, arXiv:1606.08415",
    ),
    ActivationRecord(
        name="gelu_tanh",
        formula="a = 0.5 z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3)))",
        range="[-0.1701, inf)",
        f=lambda z: _gated(z, lambda z: expit(_gelu_tanh_argument(z))),
        df=_gelu_tanh_derivative,
        kernel="gelu_tanh",
        initializer="he_normal",
        advice=(
            "gelu within 5e-4, as other libraries approximate it: for weights that come from there or go"
            " there."
        ),
        reference="Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, arXiv:1606.08415",
    ),
    ActivationRecord(
        name="gelu_sigmoid",
        formula="a = z / (1 + exp(-1.702 z))",
        range="[-0.1636, inf)",
        f=lambda z: _gated(z, lambda z: expit(1.702 * z)),
        df=lambda z, a: _swish_derivative(z, a, 1.702),
        kernel="gelu_sigmoid",
        initializer="he_normal",
        advice="gelu within 0.021, and cheaper.",
        reference="Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, arXiv:1606.08415",
    ),
    ActivationRecord(
        name="silu",
        formula="a = z / (1 + exp(-z))",
        range="[-0.2785, inf)",
        f=lambda z: _gated(z, expit),
        df=lambda z, a: _swish_derivative(z, a, 1.0),
        kernel="silu",
        initializer="he_normal",
        advice="Also called swish: a smooth relu, to try where relu is good.",
        reference=(
            "Elfwing, Uchibe and Doya, Sigmoid-Weighted Linear Units for Neural Network Function"
            " Approximation, 2018, arXiv:1702.03118; Ramachandran, Zoph and Le, Searching for Activation"
            " Functions, 2017, arXiv:1710.05941"
        ),
    ),
    ActivationRecord(
        name="mish",
        formula="a = z tanh(log(1 + exp(z)))",
        range="[-0.3089, inf)",
        f=lambda z: _gated(z, _mish_gate),
        df=_mish_derivative,
        kernel="mish",
        initializer="he_normal",
        advice="Much like silu, and somewhat slower.",
        reference="Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019, arXiv:1908.08681",
    ),
    ActivationRecord(
        name="hard_swish",
        formula="a = z min(max(z + 3, 0), 6) / 6",
        range="[-0.375, inf)",
        f=lambda z: _gated(z, lambda z: (np.clip(z, -3, 3) + 3) / 6),
        df=_hard_swish_derivative,
        kernel="hard_swish",
        initializer="he_normal",
        advice="Silu in straight pieces, without an exponential: nearly as cheap as relu.",
        reference="Howard et al., Searching for MobileNetV3, 2019, arXiv:1905.02244",
    ),
    ActivationRecord(
        name="softplus",
        formula="a = log(1 + exp(beta z)) / beta",
        range="(0, inf)",
        f=lambda z, beta: np.logaddexp(0, beta * z) / beta,
        df=lambda z, a, beta: expit(beta * z),
        kernel="softplus",
        initializer="he_normal",
        parameter_name="beta",
        default=1.0,
        domain="a number > 0",
        in_domain=lambda beta: beta > 0,
        advice=(
            "A relu with a rounded corner, sharper with a larger beta: where the fitted function has to be"
            " smooth."
        ),
        reference=(
            "Dugas et al., Incorporating Second-Order Functional Knowledge for Better Option Pricing, 2000"
        ),
    ),
)

ACTIVATIONS = {activation.name: activation for activation in _ALL}
ALIASES = {"sigmoid": "logistic", "linear": "identity"}


def activation_of(named):
    """The record of a name, or the user's own activation itself, which presents what a record does."""
    return named if isinstance(named, Activation) else ACTIVATIONS[named]


# ------------------------------------------------------------------------------------------------------------
# From an estimator's parameters


def resolve_activations(activation, activation_params, n_hidden):
    """Name and parameter of every hidden layer's activation, from what an estimator accepts.

    Parameters
    ----------
    activation : str, nnfast.Activation, tuple or list
        A name in `ACTIVATIONS` or `ALIASES`; one of the user's own; a tuple of a name and the activation's
        own parameter, as a number or as a dict of its name and number; or a list of these, one a hidden
        layer.
    activation_params : dict or None
        Numbers by parameter name, for all hidden layers whose activation has such a parameter and no tuple of
        its own.
    n_hidden : int
        Hidden layers.

    Returns
    -------
    tuple of (str or nnfast.Activation, float or None)
        One a hidden layer, aliases replaced; None stands for the activation's default.

    Raises
    ------
    ValueError
        If one of them is not accepted.

    Examples
    --------
    >>> resolve_activations(["relu", ("elu", 0.5), "leaky_relu"], {"negative_slope": 0.2}, 3)
    (('relu', None), ('elu', 0.5), ('leaky_relu', 0.2))
    """
    if isinstance(activation, list):
        if len(activation) != n_hidden:
            raise ValueError(
                f"activation must be a name, or a list with one entry a hidden layer: there are {n_hidden} "
                f"hidden layers, got {len(activation)} entries, {activation!r}."
            )
        hint = " (A list means layers: for an activation with its parameter use a tuple.)"
        entries = [_resolve_entry(entry, hint) for entry in activation]
    else:
        entries = [_resolve_entry(activation, "")] * max(n_hidden, 1)
    common = _check_common(activation_params, entries)
    resolved = []
    for name, parameter in entries:
        record = activation_of(name)
        if parameter is None and record.parameter_name in common:
            parameter = record.check(common[record.parameter_name])
        resolved.append((name, parameter))
    return tuple(resolved[:n_hidden])


def _resolve_entry(entry, hint):
    """(name, parameter or None) of one name or tuple."""
    if not isinstance(entry, tuple):
        return _resolve_name(entry, hint), None
    if len(entry) != 2 or isinstance(entry[1], (str, tuple)):
        raise ValueError(
            f"activation must be a name or a tuple of a name and its parameter's value, got {entry!r}: for "
            f"one a hidden layer use a list, {list(entry)!r}."
        )
    name, parameter = _resolve_name(entry[0], hint), entry[1]
    record = activation_of(name)
    if isinstance(parameter, dict):
        for key in parameter:
            if key != record.parameter_name:
                accepted = record.parameter_name or "none"
                raise ValueError(
                    f"activation {name!r} has no parameter {key!r}, got {parameter}; it has {accepted}."
                )
        parameter = parameter.get(record.parameter_name)
    return name, record.check(parameter)


def _resolve_name(name, hint):
    if isinstance(name, Activation):
        return name
    if isinstance(name, str) and ALIASES.get(name, name) in ACTIVATIONS:
        return ALIASES.get(name, name)
    accepted = [*ACTIVATIONS, *ALIASES]
    own = f" Did you mean nnfast.Activation({name_of(name)})?" if callable(name) else ""
    meant = own or did_you_mean(name, accepted) or hint
    raise ValueError(f"activation must be one of {', '.join(map(repr, accepted))}, got {name!r}.{meant}")


def _check_common(activation_params, entries):
    """activation_params as a dict whose every key is a parameter of one of the activations."""
    if activation_params is None:
        return {}
    if not isinstance(activation_params, dict):
        raise ValueError(
            "activation_params must be a dict such as {'negative_slope': 0.2} or None, got"
            f" {activation_params!r}."
        )
    records = [activation_of(name) for name, _ in entries]
    names = sorted({record.name for record in records})
    accepted = {record.parameter_name for record in records} - {None}
    for key in activation_params:
        if key not in accepted:
            raise ValueError(
                f"activation_params has the key {key!r}, which no activation of this network has "
                f"({', '.join(names)}); accepted: "
                f"{', '.join(sorted(accepted)) or 'none'}.{did_you_mean(key, accepted)}"
            )
    return activation_params


def __dir__():
    return __all__
