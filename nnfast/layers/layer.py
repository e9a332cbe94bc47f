"""What all kinds of layers have in common."""

from dataclasses import dataclass

import numpy as np

# By the end of a parameter's name, the fitted attribute that has such arrays, one a layer, and how callbacks
# call the list. First what is learned, in the order of flat vectors, of moments and of sums over parameters.
LEARNED = {
    "weight": ("coefs_", "coefs"),
    "bias": ("intercepts_", "intercepts"),
    "norm.scale": ("norm_scales_", "scales"),
    "norm.shift": ("norm_shifts_", "shifts"),
}
STATISTICS = {
    "norm.mean": ("running_means_", "means"),
    "norm.variance": ("running_variances_", "variances"),
}
ATTRIBUTES = LEARNED | STATISTICS


@dataclass(frozen=True)
class Param:
    """One array of a layer.

    Parameters
    ----------
    name : str
        Such as "weight": what follows the layer's own name in "layers.0.weight".
    shape : tuple of int
    kind : {"matrix", "vector"}
        Of a matrix a row is an input's and a column a unit's; a vector has a number a unit.
    group : {"weights", "vectors"} or None
        What penalties, decay and limits apply to: the weights alone. None: it is not learned.
    start : float, default=0
        What `blank` parameters have.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    group: str | None
    start: float = 0.0

    def blank(self, dtype):
        """The array that `start` fills."""
        return np.full(self.shape, self.start, dtype) if self.start else np.zeros(self.shape, dtype)


@dataclass(frozen=True)
class Step:
    """The training step that a forward pass belongs to: what dropout's masks are made from."""

    seed: int = 0
    number: int = 0


class Layer:
    """One kind of layer: a function of rows with parameters of its own, in readable NumPy.

    A layer is a value: it holds sizes and settings. Parameters come as `values`, a dict from the names in
    `params` to arrays. What compiled code does is tested against `forward` and `backward`.
    """

    params: tuple[Param, ...] = ()

    def n_outputs(self, n_inputs):
        """Units that it gives for so many inputs."""
        return n_inputs

    def initialize(self, random_state, X_sample, dtype):
        """What a fit starts from, as `values`. `X_sample`, some rows of the layer's input, or None, is for
        layers that look at data.
        """
        return self.blank(dtype)

    def blank(self, dtype):
        """`values` without draws."""
        return {param.name: param.blank(dtype) for param in self.params}

    def forward(self, values, x, step=None):
        """The output for rows x, shape (n_rows, n_inputs): (y, what `backward` needs).

        `step` is the training step, and None in predictions.
        """
        raise NotImplementedError

    def backward(self, values, cache, dy):
        """The gradients with respect to x and to every learned parameter: (dx, dict), from that with respect
        to y.
        """
        raise NotImplementedError

    def advance(self, values, x, momentum):
        """Take a training batch into the parameters that are not learned, in place."""
