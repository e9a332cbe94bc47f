"""A fitted network in NumPy, in float64: it shows of every row and layer what the compiled engines keep to
themselves.
"""

import numpy as np

from nnfast.fitted import network_activation
from nnfast.layers import Activate, Dense, Normalize, Step
from nnfast.losses import LOSS_BY_OUT_ACTIVATION
from nnfast.network import Network

# Numbers of the widest layer that are in memory at once.
_CHUNK = 2**21


class NumpyNetwork:
    """A network that runs node by node.

    Parameters
    ----------
    network : nnfast.network.Network
    parameters : nnfast.network.Parameters
    **dropout
        What `Network.nodes` takes, for training.

    Attributes
    ----------
    nodes : tuple of nnfast.network.Node
    values : list of dict
        The nodes' own arrays, in float64.
    dense, activations : list of int
        Numbers of the nodes of these kinds; a hidden layer has one of each.
    coefs : list of float64 ndarray of shape (fan_in, fan_out)
    by_batch : bool
        Whether a row's training pass depends on the other rows.
    """

    def __init__(self, network, parameters, **dropout):
        parameters = parameters.map(lambda array: array.astype(np.float64))
        self.nodes = network.nodes(**dropout)
        self.values = [node.values(parameters) for node in self.nodes]
        self.coefs = parameters.coefs
        self.dense, self.activations = (
            [i for i, node in enumerate(self.nodes) if isinstance(node.layer, kind)]
            for kind in (Dense, Activate)
        )
        self.by_batch = network.normalization == "batch"

    @classmethod
    def of_estimator(cls, estimator):
        """That of a fitted MLPClassifier or MLPRegressor."""
        return cls(network_of(estimator), estimator._parameters())

    @property
    def n_hidden(self):
        """Hidden layers."""
        return len(self.activations)

    def layer(self, i):
        """The layer of node i."""
        return self.nodes[i].layer

    def chunks(self, n_rows):
        """Slices of all rows, of a size whose activations fit in memory."""
        step = max(1, _CHUNK // max(map(max, (coef.shape for coef in self.coefs))))
        return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]

    def forward(self, X, step=None):
        """(outputs, caches), lists with an item a node; the last output is the logits.

        `step`, a `nnfast.layers.Step`, is that of a training pass: batch normalization goes by the statistics
        of these rows then.
        """
        table, outputs, caches = X.astype(np.float64), [], []
        for node, values in zip(self.nodes, self.values, strict=True):
            (x,) = (outputs[i] if i >= 0 else table for i in node.inputs)
            y, cache = node.layer.forward(values, x, step)
            outputs.append(y)
            caches.append(cache)
        return outputs, caches

    def backward(self, caches, dy):
        """By node, from the last to the first: (number, gradient with respect to its output, those with
        respect to its parameters).

        `caches` are those of a training pass and `dy` the gradient with respect to the logits, shape
        (n_rows, n_outputs).
        """
        gradients = {len(self.nodes) - 1: dy}
        for i in reversed(range(len(self.nodes))):
            node, dy = self.nodes[i], gradients.pop(i)
            dx, by_values = node.layer.backward(self.values[i], caches[i], dy)
            yield i, dy, by_values
            for source in node.inputs:
                gradients[source] = gradients[source] + dx if source in gradients else dx

    def gradient(self, X, dy_of, step=None):
        """The gradients with respect to all learned parameters, a dict by name; `dy_of` makes from logits the
        gradient with respect to them.
        """
        outputs, caches = self.forward(X, step or Step())
        return {
            f"{self.nodes[i].name}.{name}": array
            for i, _, by_values in self.backward(caches, dy_of(outputs[-1]))
            for name, array in by_values.items()
        }

    def advance(self, X, momentum, step=None):
        """Take a training batch into the running statistics."""
        outputs, _ = self.forward(X, step or Step())
        for node, values in zip(self.nodes, self.values, strict=True):
            if isinstance(node.layer, Normalize):
                node.layer.advance(values, outputs[node.inputs[0]], momentum)


def network_of(estimator):
    """The `Network` of a fitted MLPClassifier or MLPRegressor, with a loss of the same output activation."""
    coefs = estimator.coefs_
    return Network(
        (len(coefs[0]), *(coef.shape[1] for coef in coefs)),
        network_activation(estimator, len(coefs) - 1),
        LOSS_BY_OUT_ACTIVATION[estimator.out_activation_].name,
        normalization=estimator._normalization(),
        norm_eps=float(estimator.norm_eps),
    )
