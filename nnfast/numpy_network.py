"""A fitted network's passes in NumPy, in float64: they show of every row and layer what the compiled ones
keep to themselves.
"""

from dataclasses import dataclass

import numpy as np

from nnfast.activations import activation_of, resolve_activations
from nnfast.normalization import NORMALIZATIONS

# Numbers of the widest layer that are in memory at once.
_CHUNK = 2**21


@dataclass(frozen=True)
class Layer:
    """What a forward pass met in a layer.

    `a` is the layer's input and `u` what goes into its activation, normalised where the network normalises;
    that of the output layer is the logits. `cache` is the normalization's.
    """

    a: np.ndarray
    u: np.ndarray
    cache: tuple | None = None


class NumpyNetwork:
    """The passes of one fitted network.

    Parameters
    ----------
    estimator : fitted MLPClassifier or MLPRegressor

    Attributes
    ----------
    n_hidden : int
    coefs : list of float64 ndarray of shape (fan_in, fan_out)
    activations : tuple of (Activation, float or None)
        Record and parameter of every hidden layer's.
    by_batch : bool
        Whether a row's training pass depends on the other rows.
    """

    def __init__(self, estimator):
        self._parameters = estimator._parameters().map(lambda array: array.astype(np.float64))
        self.coefs = self._parameters.coefs
        self.n_hidden = len(self.coefs) - 1
        named = resolve_activations(estimator.activation, estimator.activation_params, self.n_hidden)
        self.activations = tuple((activation_of(name), parameter) for name, parameter in named)
        self._normalization, self._eps = (
            NORMALIZATIONS.get(estimator._normalization()),
            float(estimator.norm_eps),
        )
        self.by_batch = self._normalization is not None and self._normalization.keeps_statistics

    def chunks(self, n_rows):
        """Slices of all rows, of a size whose activations fit in memory."""
        step = max(1, _CHUNK // max(map(max, (coef.shape for coef in self.coefs))))
        return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]

    def forward(self, X, *, training=False):
        """A `Layer` for each layer; with `training`, batch normalization goes by the statistics of these
        rows.
        """
        a, layers = X.astype(np.float64), []
        for i, (coef, intercept) in enumerate(zip(self.coefs, self._parameters.intercepts, strict=True)):
            u, cache = a @ coef + intercept, None
            if i < self.n_hidden and self._normalization is not None:
                u, cache = self._normalize(u, i, training)
            layers.append(Layer(a, u, cache))
            if i < self.n_hidden:
                activation, parameter = self.activations[i]
                a = activation.function(u, parameter)
        return layers

    def _normalize(self, z, i, training):
        p = self._parameters
        running = (p.means[i], p.variances[i]) if self.by_batch else None
        arguments = z, p.scales[i], p.shifts[i], self._eps, running
        return (
            self._normalization.forward(*arguments)
            if training
            else (self._normalization.predict(*arguments), None)
        )

    def slope(self, layers, i):
        """The derivative of hidden layer i's activation, row by row and unit by unit."""
        activation, parameter = self.activations[i]
        return activation.derivative(layers[i].u, layers[i + 1].a, parameter)

    def backward(self, layers, du):
        """From the output layer to the first, (number, du, dw): the gradients by the layer's `u` and by its
        weights.

        `layers` are those of a training pass and `du` the gradient by its logits, shape (n_rows, n_outputs).
        """
        for i in reversed(range(len(layers))):
            layer = layers[i]
            dz = du if layer.cache is None else self._normalization.backward(du, layer.cache)[0]
            yield i, du, layer.a.T @ dz
            if i:
                du = (dz @ self.coefs[i].T) * self.slope(layers, i - 1)
