"""What a network is: its layers, their shapes, and its parameters as plain arrays."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from nnfast.custom_functions import Activation, Loss
from nnfast.initializers import initializer_for
from nnfast.losses import loss_of


@dataclass
class Parameters:
    """All arrays of a network: what it learns, and with batch normalization what it has seen.

    `coefs` and `intercepts` have one array a layer, of shapes (fan_in, fan_out) and (fan_out,). With
    normalization, `scales` and `shifts` have one of shape (fan_out,) a hidden layer, and with batch
    normalization `means` and `variances`, the running statistics, too; otherwise these are empty.
    """

    coefs: list
    intercepts: list
    scales: list = field(default_factory=list)
    shifts: list = field(default_factory=list)
    means: list = field(default_factory=list)
    variances: list = field(default_factory=list)

    def learned(self):
        """What the optimizer moves, in the order that gradients, moments and flat vectors have."""
        return [*self.coefs, *self.intercepts, *self.scales, *self.shifts]

    def arrays(self):
        """All arrays."""
        return [*self.learned(), *self.means, *self.variances]

    def map(self, function):
        """The parameters whose arrays are function(array)."""
        return Parameters(*([function(array) for array in arrays] for arrays in vars(self).values()))

    def copy(self):
        """Copies of all arrays."""
        return self.map(np.copy)

    def are_finite(self):
        """Whether all numbers are."""
        return all(np.isfinite(array).all() for array in self.arrays())

    def assign(self, other):
        """Write the other's numbers into these arrays."""
        for array, source in zip(self.arrays(), other.arrays(), strict=True):
            array[...] = source


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron without its parameters.

    Parameters
    ----------
    layer_units : tuple of int
        Units of every layer, inputs first, outputs last.
    activation : str, nnfast.Activation or tuple of (one of these, float or None)
        Activation of all hidden layers, a name in `nnfast.activations` or the user's own; or each one's, with
        its own parameter (None: the default).
    loss : str or nnfast.Loss
        A name in `nnfast.losses`, or the user's own; it decides the output activation.
    loss_parameters : tuple of float, default=()
        The loss's own: see its record.
    normalization : {"batch", "layer"} or None, default=None
        Of the hidden layers' pre-activations: see `nnfast.normalization`.
    norm_eps, norm_momentum : float, default=1e-5 and 0.1
        What is added to a variance, and the weight of a batch in the running statistics.
    """

    layer_units: tuple[int, ...]
    activation: str | Activation | tuple
    loss: str | Loss
    loss_parameters: tuple[float, ...] = ()
    normalization: str | None = None
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1

    @property
    def activations(self):
        """Name and parameter (or None) of every hidden layer's activation."""
        if isinstance(self.activation, tuple):
            return self.activation
        return ((self.activation, None),) * (len(self.layer_units) - 2)

    @property
    def out_activation(self):
        """Name of the output activation."""
        return loss_of(self.loss).out_activation

    @property
    def n_outputs(self):
        """Units of the output layer."""
        return self.layer_units[-1]

    @property
    def shapes(self):
        """Shape (fan_in, fan_out) of every layer's weights."""
        return list(pairwise(self.layer_units))

    @property
    def learned_shapes(self):
        """Shapes of the arrays of `Parameters.learned`."""
        vectors = [(n,) for n in self.layer_units[1:]]
        return [*self.shapes, *vectors, *(vectors[:-1] * 2 if self.normalization else ())]

    @property
    def learned_names(self):
        """Names of the arrays of `Parameters.learned`, such as "layers.0.weight"."""
        layers = range(len(self.layer_units) - 1)
        roles = ["weight", "bias", *(["norm.scale", "norm.shift"] if self.normalization else ())]
        return [
            f"layers.{i}.{role}" for role in roles for i in (layers if "." not in role else layers[:-1])
        ]

    @property
    def array_shapes(self):
        """Shapes of the arrays of `Parameters.arrays`."""
        hidden = [(n,) for n in self.layer_units[1:-1]]
        return [*self.learned_shapes, *(hidden * 2 if self.normalization == "batch" else ())]

    @property
    def n_parameters(self):
        """How many numbers are learned."""
        return sum(map(math.prod, self.learned_shapes))

    def initialize(self, random_state, dtype, initializer="glorot_uniform"):
        """Draw what a fit starts from, layer by layer as scikit-learn does: `Parameters`."""
        names = [name for name, _ in self.activations]
        # The output layer is drawn as the last hidden one by scikit-learn's rule, and as a linear one by
        # "auto".
        last = (
            self.activation if not isinstance(self.activation, tuple) else names[-1] if names else "identity"
        )
        parameters = self.blank(dtype)
        for i, shape in enumerate(self.shapes):
            hidden = i < len(names)
            rule = initializer_for(initializer, names[i] if hidden else "identity")
            drawn = rule.function(*shape, names[i] if hidden else last, random_state, dtype)
            parameters.coefs[i], parameters.intercepts[i] = drawn
        return parameters

    def blank(self, dtype):
        """Parameters of the right shapes: zero weights and biases, and normalization as it starts."""
        hidden = self.layer_units[1:-1]
        ones, zeros = ((lambda make=make: [make(n, dtype) for n in hidden]) for make in (np.ones, np.zeros))
        norms = [ones(), zeros(), zeros(), ones()][: {None: 0, "layer": 2, "batch": 4}[self.normalization]]
        coefs = [np.zeros(shape, dtype) for shape in self.shapes]
        return Parameters(coefs, [np.zeros(n, dtype) for n in self.layer_units[1:]], *norms)

    def pack(self, parameters):
        """What is learned as one float64 vector of shape (n_parameters,), each array in row-major order."""
        return np.concatenate([array.ravel() for array in parameters.learned()], dtype=np.float64)

    def unpack(self, flat):
        """The inverse of `pack`, as copies, with the running statistics of the start."""
        parameters, start = self.blank(np.float64), 0
        for array in parameters.learned():
            array[...] = flat[start : start + array.size].reshape(array.shape)
            start += array.size
        return parameters
