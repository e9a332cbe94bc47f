"""The layer that normalizes."""

from dataclasses import dataclass

from nnfast.layers.layer import Layer, Param
from nnfast.normalization import DEFAULT_EPS, NORMALIZATIONS, advance_statistics


@dataclass(frozen=True)
class Normalize(Layer):
    """Batch or layer normalization: see `nnfast.normalization` for formulas and sources.

        y = scale (x - mean) / sqrt(variance + eps) + shift

    with x and y of shape (n_rows, n_units), scale and shift (n_units,). Batch normalization has its running
    statistics, mean and variance of shape (n_units,), too.

    Parameters
    ----------
    kind : {"batch", "layer"}
    n_units : int
    eps : float, default=1e-5
    """

    kind: str
    n_units: int
    eps: float = DEFAULT_EPS

    @property
    def record(self):
        """The normalization's record."""
        return NORMALIZATIONS[self.kind]

    @property
    def params(self):
        shape = (self.n_units,)
        learned = (
            Param("scale", shape, "vector", "vectors", start=1.0),
            Param("shift", shape, "vector", "vectors"),
        )
        if not self.record.keeps_statistics:
            return learned
        return *learned, Param("mean", shape, "vector", None), Param("variance", shape, "vector", None, 1.0)

    def forward(self, values, x, step=None):
        running = (values["mean"], values["variance"]) if self.record.keeps_statistics else None
        arguments = x, values["scale"], values["shift"], self.eps, running
        return self.record.forward(*arguments) if step else (self.record.predict(*arguments), None)

    def backward(self, values, cache, dy):
        dx, dscale, dshift = self.record.backward(dy, cache)
        return dx, {"scale": dscale, "shift": dshift}

    def advance(self, values, x, momentum):
        if self.record.keeps_statistics:
            advance_statistics(values["mean"], values["variance"], x, momentum)
