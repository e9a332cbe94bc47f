"""Activations: what a unit makes of its pre-activation z.

Each record holds the function and its derivative as readable NumPy (the definition that the compiled kernels are
tested against), the range, and the name under which the kernel is found.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class Activation:
    """One activation: a = function(z), and da/dz from z and a together, since either may be the cheaper source."""

    name: str
    formula: str
    range: str
    function: Callable[[np.ndarray], np.ndarray]
    derivative: Callable[[np.ndarray, np.ndarray], np.ndarray]
    kernel: str
    reference: str = ""


_ALL = (
    Activation(
        name="identity",
        formula="a = z",
        range="(-inf, inf)",
        function=lambda z: z,
        derivative=lambda z, a: np.ones_like(z),
        kernel="identity",
    ),
    Activation(
        name="logistic",
        formula="a = 1 / (1 + exp(-z))",
        range="(0, 1)",
        function=expit,
        derivative=lambda z, a: a * (1 - a),
        kernel="logistic",
    ),
    Activation(
        name="tanh",
        formula="a = tanh(z)",
        range="(-1, 1)",
        function=np.tanh,
        derivative=lambda z, a: 1 - a * a,
        kernel="tanh",
        reference="LeCun et al., Efficient BackProp, 1998",
    ),
    Activation(
        name="relu",
        formula="a = max(0, z)",
        range="[0, inf)",
        function=lambda z: np.maximum(z, 0),
        # 0 at z = 0, scikit-learn's choice of subgradient
        derivative=lambda z, a: (a > 0).astype(z.dtype),
        kernel="relu",
        reference="Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, 2010",
    ),
)

ACTIVATIONS = {activation.name: activation for activation in _ALL}
