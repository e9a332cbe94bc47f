"""Initializers: the parameters that a fit starts from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nnfast.suggestions import did_you_mean

__all__ = ["INITIALIZERS", "Initializer"]

# Glorot and Bengio derive 6 for units of slope 1 at zero; scikit-learn uses 2 for the logistic, whatever the
# layer.
_GLOROT_FACTORS = {"logistic": 2.0}
_GLOROT_FACTOR = 6.0


def glorot_uniform(fan_in, fan_out, activation, random_state, dtype):
    """Draw one layer's weights and biases from U(-bound, bound), bound = sqrt(factor / (fan_in + fan_out)).

    The numbers are drawn as float64, weights first, exactly as scikit-learn draws them, and then rounded to
    `dtype`.

    Parameters
    ----------
    fan_in, fan_out : int
        Units of the layer below, and of this layer.
    activation : str
        Activation of the hidden layers; the factor is 2 for "logistic" and 6 for the others.
    random_state : numpy.random.RandomState
    dtype : numpy dtype

    Returns
    -------
    coef : ndarray of shape (fan_in, fan_out)
    intercept : ndarray of shape (fan_out,)

    References
    ----------
    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.
    """
    bound = np.sqrt(_GLOROT_FACTORS.get(activation, _GLOROT_FACTOR) / (fan_in + fan_out))
    coef = random_state.uniform(-bound, bound, (fan_in, fan_out))
    intercept = random_state.uniform(-bound, bound, fan_out)
    return coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)


@dataclass(frozen=True)
class Initializer:
    """One initializer: function(fan_in, fan_out, activation, random_state, dtype) -> (coef, intercept).

    The numbers are drawn as float64 and then rounded to `dtype`. All but `glorot_uniform` start from zero
    biases and do not look at the activation.
    """

    name: str
    formula: str
    function: Callable[..., tuple[np.ndarray, np.ndarray]]
    advice: str
    reference: str


def _with_zero_biases(draw):
    """The initializer that draws weights by draw(fan_in, fan_out, random_state)."""

    def function(fan_in, fan_out, activation, random_state, dtype):
        return draw(fan_in, fan_out, random_state).astype(dtype, copy=False), np.zeros(fan_out, dtype)

    return function


def _normal(variance):
    def draw(fan_in, fan_out, random_state):
        return random_state.normal(0, np.sqrt(variance(fan_in, fan_out)), (fan_in, fan_out))

    return _with_zero_biases(draw)


def _uniform(variance):
    def draw(fan_in, fan_out, random_state):
        bound = np.sqrt(3 * variance(fan_in, fan_out))
        return random_state.uniform(-bound, bound, (fan_in, fan_out))

    return _with_zero_biases(draw)


def _draw_orthogonal(fan_in, fan_out, random_state):
    tall = random_state.normal(size=(max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(tall)
    # QR's signs are LAPACK's choice; with R's diagonal made positive the result is uniform over orthogonal
    # matrices.
    q *= np.where(np.diag(r) < 0, -1, 1)
    return np.ascontiguousarray(q if fan_in >= fan_out else q.T)


_GLOROT = "Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010"
_HE = "He et al., Delving Deep into Rectifiers, 2015, arXiv:1502.01852"
_LECUN = "LeCun et al., Efficient BackProp, 1998"

_ALL = (
    Initializer(
        name="glorot_uniform",
        formula="coef, intercept ~ U(-b, b), b = sqrt(6 / (fan_in + fan_out)), for logistic 2 in place of 6",
        function=glorot_uniform,
        advice=(
            "scikit-learn's, with the very draws; made for tanh, and good enough for shallow networks of any"
            " kind."
        ),
        reference=_GLOROT,
    ),
    Initializer(
        name="glorot_normal",
        formula="coef ~ N(0, 2 / (fan_in + fan_out)), intercept = 0",
        function=_normal(lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        advice="For identity, logistic and tanh.",
        reference=_GLOROT,
    ),
    Initializer(
        name="he_normal",
        formula="coef ~ N(0, 2 / fan_in), intercept = 0",
        function=_normal(lambda fan_in, fan_out: 2 / fan_in),
        advice="For relu and what resembles it; the deeper the network, the more it matters.",
        reference=_HE,
    ),
    Initializer(
        name="he_uniform",
        formula="coef ~ U(-b, b), b = sqrt(6 / fan_in), intercept = 0",
        function=_uniform(lambda fan_in, fan_out: 2 / fan_in),
        advice="he_normal's variance without its tails.",
        reference=_HE,
    ),
    Initializer(
        name="lecun_normal",
        formula="coef ~ N(0, 1 / fan_in), intercept = 0",
        function=_normal(lambda fan_in, fan_out: 1 / fan_in),
        advice="For selu, whose theory asks for it.",
        reference=f"{_LECUN}; Klambauer et al., Self-Normalizing Neural Networks, 2017, arXiv:1706.02515",
    ),
    Initializer(
        name="lecun_uniform",
        formula="coef ~ U(-b, b), b = sqrt(3 / fan_in), intercept = 0",
        function=_uniform(lambda fan_in, fan_out: 1 / fan_in),
        advice="lecun_normal's variance without its tails.",
        reference=_LECUN,
    ),
    Initializer(
        name="orthogonal",
        formula=(
            "coef: the shorter side's rows or columns orthonormal, from the QR of a normal matrix;"
            " intercept = 0"
        ),
        function=_with_zero_biases(_draw_orthogonal),
        advice="For deep networks of identity or tanh units: signals neither grow nor shrink on their way.",
        reference=(
            "Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning in deep"
            " linear neural networks, 2014, arXiv:1312.6120"
        ),
    ),
)

INITIALIZERS = {initializer.name: initializer for initializer in _ALL}


def initializer_for(name, auto="glorot_uniform"):
    """The record called `name`; "auto" is the one for the activation of the layer's units.

    Parameters
    ----------
    name : str
        In `INITIALIZERS`, or "auto".
    auto : str, default='glorot_uniform'
        The `initializer` of the activation's record; the default is that of an output layer, "identity".

    Raises
    ------
    ValueError
        If there is no initializer of that name.
    """
    if name == "auto":
        return INITIALIZERS[auto]
    if name not in INITIALIZERS:
        accepted = [*INITIALIZERS, "auto"]
        meant = did_you_mean(name, accepted)
        raise ValueError(f"initializer must be one of {', '.join(map(repr, accepted))}, got {name!r}.{meant}")
    return INITIALIZERS[name]


def __dir__():
    return __all__
