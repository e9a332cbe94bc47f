"""The layer that applies an activation."""

from dataclasses import dataclass
from typing import Any

from nnfast.activations import activation_of
from nnfast.layers.layer import Layer


@dataclass(frozen=True)
class Activate(Layer):
    """An activation, number by number.

        y = f(x),    dx = f'(x) dy

    with x and y of shape (n_rows, n_units).

    Parameters
    ----------
    activation : str or nnfast.Activation
        A name in `nnfast.activations`, which has formulas and sources, or the user's own.
    parameter : float or None, default=None
        The activation's own; None is its default.
    """

    activation: Any
    parameter: float | None = None

    @property
    def record(self):
        """The activation's record."""
        return activation_of(self.activation)

    def forward(self, values, x, step=None):
        y = self.record.function(x, self.parameter)
        return y, (x, y)

    def slope(self, cache):
        """f'(x)."""
        return self.record.derivative(*cache, self.parameter)

    def backward(self, values, cache, dy):
        return dy * self.slope(cache), {}
