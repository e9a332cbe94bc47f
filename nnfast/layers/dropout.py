"""The layer that drops units while a network trains."""

from dataclasses import dataclass

import numpy as np

from nnfast.layers.layer import Layer
from nnfast.regularization import alpha_drop_out, alpha_dropout_constants, drop_out, kept_units


@dataclass(frozen=True)
class Dropout(Layer):
    """Dropout, in training alone.

        y = x / (1 - rate) where a unit is kept, else 0

    Alpha dropout, for selu, keeps means and variances: see `nnfast.regularization`.

    Parameters
    ----------
    rate : float
        Share of units that are dropped, in [0, 1).
    number : int
        Of the layer whose units are dropped, 0 for the inputs: masks are made from it.
    alpha : bool, default=False

    References
    ----------
    Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, 2014; Klambauer et
    al., Self-Normalizing Neural Networks, 2017, arXiv:1706.02515.
    """

    rate: float
    number: int
    alpha: bool = False

    def forward(self, values, x, step=None):
        if step is None or self.rate == 0:
            return x, None
        kept = kept_units(self.rate, *x.shape, seed=step.seed, step=step.number, layer=self.number)
        return (alpha_drop_out if self.alpha else drop_out)(x, kept, self.rate), kept

    def backward(self, values, cache, dy):
        if cache is None:
            return dy, {}
        scale = alpha_dropout_constants(self.rate)[0] if self.alpha else 1 / (1 - self.rate)
        return np.where(cache, dy * scale, 0), {}
