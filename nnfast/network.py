"""What a network is: its layers, their shapes, and its parameters as plain arrays."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nnfast.initializers import glorot_uniform
from nnfast.losses import LOSSES


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron without its parameters.

    Parameters
    ----------
    layer_units : tuple of int
        Units of every layer, inputs first, outputs last.
    activation : str
        Activation of the hidden layers, a name in `nnfast.activations`.
    loss : str
        A name in `nnfast.losses`; it decides the output activation.
    """

    layer_units: tuple[int, ...]
    activation: str
    loss: str

    @property
    def out_activation(self):
        """Name of the output activation."""
        return LOSSES[self.loss].out_activation

    @property
    def n_outputs(self):
        """Units of the output layer."""
        return self.layer_units[-1]

    @property
    def shapes(self):
        """Shape (fan_in, fan_out) of every layer's weights."""
        return list(pairwise(self.layer_units))

    @property
    def n_parameters(self):
        """Number of weights and biases."""
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in self.shapes)

    def initialize(self, random_state, dtype):
        """Draw the parameters a fit starts from, layer by layer as scikit-learn does: (coefs, intercepts)."""
        layers = [glorot_uniform(*shape, self.activation, random_state, dtype) for shape in self.shapes]
        return [coef for coef, _ in layers], [intercept for _, intercept in layers]

    def pack(self, coefs, intercepts):
        """One float64 vector of shape (n_parameters,): every layer's weights in row-major order, then every layer's
        biases."""
        return np.concatenate([array.ravel() for array in (*coefs, *intercepts)], dtype=np.float64)

    def unpack(self, flat):
        """The inverse of `pack`, as copies: (coefs, intercepts)."""
        arrays, start = [], 0
        for shape in (*self.shapes, *((fan_out,) for _, fan_out in self.shapes)):
            size = int(np.prod(shape))
            arrays.append(flat[start : start + size].reshape(shape).copy())
            start += size
        n_layers = len(self.shapes)
        return arrays[:n_layers], arrays[n_layers:]
