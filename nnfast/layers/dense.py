"""The dense layer."""

from dataclasses import dataclass
from typing import Any

from nnfast.activations import activation_of
from nnfast.initializers import initializer_for
from nnfast.layers.layer import Layer, Param


@dataclass(frozen=True)
class Dense(Layer):
    """A linear map of all inputs to all units.

        y = x weight + bias

    with x of shape (n_rows, n_in), weight (n_in, n_out), bias (n_out,) and y (n_rows, n_out).

    Parameters
    ----------
    n_in, n_out : int
    initializer : str, default="glorot_uniform"
        A name in `nnfast.initializers`, or "auto", which goes by `activation`.
    activation : str or nnfast.Activation, default="identity"
        What follows the layer.
    gain_activation : str or nnfast.Activation, default="identity"
        Whose gain "glorot_uniform" takes: for an output layer scikit-learn takes the hidden layers'.

    References
    ----------
    Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, 1986.
    """

    n_in: int
    n_out: int
    initializer: str = "glorot_uniform"
    activation: Any = "identity"
    gain_activation: Any = "identity"

    @property
    def params(self):
        return (
            Param("weight", (self.n_in, self.n_out), "matrix", "weights"),
            Param("bias", (self.n_out,), "vector", "vectors"),
        )

    def n_outputs(self, n_inputs):
        return self.n_out

    def initialize(self, random_state, X_sample, dtype):
        rule = initializer_for(self.initializer, activation_of(self.activation).initializer)
        weight, bias = rule.function(self.n_in, self.n_out, self.gain_activation, random_state, dtype)
        return {"weight": weight, "bias": bias}

    def forward(self, values, x, step=None):
        return x @ values["weight"] + values["bias"], x

    def backward(self, values, cache, dy):
        return dy @ values["weight"].T, {"weight": cache.T @ dy, "bias": dy.sum(axis=0)}
