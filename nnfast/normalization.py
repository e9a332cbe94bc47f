"""Normalizations: hidden layers' pre-activations brought to mean 0 and variance 1, then scaled and shifted.

    y = scale (z - mean) / sqrt(variance + eps) + shift

Both take the biased variance; they differ in what they average over. The records hold the passes as readable
NumPy, the definition that the compiled kernels are tested against.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["NORMALIZATIONS", "Normalization", "fold"]

DEFAULT_EPS = 1e-5
# The weight of the new batch in the running statistics, as in PyTorch; Keras calls 1 minus this momentum.
DEFAULT_MOMENTUM = 0.1


@dataclass(frozen=True)
class Normalization:
    """One normalization, of the mean and variance along `axis`: 0 the batch's rows, 1 the layer's units.

    `keeps_statistics` tells whether predictions use running statistics in place of their own. They start at
    mean 0 and variance 1; scale starts at 1 and shift at 0.
    """

    name: str
    formula: str
    axis: int
    keeps_statistics: bool
    kernel: str
    advice: str
    reference: str

    def forward(self, z, scale, shift, eps=DEFAULT_EPS, running=None):
        """One training pass over a batch: (y, cache for `backward`).

        Each row counts once, whatever its sample weight.

        Parameters
        ----------
        z : ndarray of shape (n_rows, n_units)
        scale, shift : ndarray of shape (n_units,)
        eps : float
        running : (mean, variance), of shape (n_units,) each, or None
            The running statistics, needed where there are any: a batch of one row, whose own variance is 0,
            is normalised by them.

        Returns
        -------
        y : ndarray of shape (n_rows, n_units)
        cache : tuple
        """
        by_running = self.keeps_statistics and len(z) == 1
        mean, variance = running if by_running else _statistics(z, self.axis)
        root = np.sqrt(variance + eps)
        normal = (z - mean) / root
        return scale * normal + shift, (normal, root, scale, by_running)

    def backward(self, dy, cache):
        """The gradients (dz, dscale, dshift) from y's and from what `forward` left."""
        normal, root, scale, by_running = cache
        dnormal = dy * scale
        if not by_running:  # else mean and root are constants
            along = normal * (dnormal * normal).mean(axis=self.axis, keepdims=True)
            dnormal = dnormal - dnormal.mean(axis=self.axis, keepdims=True) - along
        return dnormal / root, (dy * normal).sum(axis=0), dy.sum(axis=0)

    def predict(self, z, scale, shift, eps=DEFAULT_EPS, running=None):
        """y outside training: by the running statistics where there are any."""
        mean, variance = running if self.keeps_statistics else _statistics(z, self.axis)
        return scale * (z - mean) / np.sqrt(variance + eps) + shift


def _statistics(z, axis):
    return z.mean(axis=axis, keepdims=True), z.var(axis=axis, keepdims=True)


def advance_statistics(mean, variance, z, momentum=DEFAULT_MOMENTUM):
    """Take a batch's pre-activations into batch normalization's running statistics, in place.

        mean <- (1 - momentum) mean + momentum (mean of the batch)
        variance <- (1 - momentum) variance + momentum (unbiased variance of the batch)

    A batch of one row leaves them alone.
    """
    if len(z) > 1:
        mean += momentum * (z.mean(axis=0) - mean)
        variance += momentum * (z.var(axis=0, ddof=1) - variance)


def fold(coef, intercept, scale, shift, mean, variance, eps=DEFAULT_EPS):
    """Weights and biases of the layer that gives a batch-normalised layer's predictions by itself.

        coef' = coef scale / sqrt(variance + eps)
        intercept' = (intercept - mean) scale / sqrt(variance + eps) + shift

    Parameters
    ----------
    coef : ndarray of shape (fan_in, fan_out)
    intercept, scale, shift, mean, variance : ndarray of shape (fan_out,)
    eps : float

    Returns
    -------
    coef : ndarray of shape (fan_in, fan_out)
    intercept : ndarray of shape (fan_out,)
    """
    factor = scale / np.sqrt(variance + eps)
    return coef * factor, (intercept - mean) * factor + shift


_ALL = (
    Normalization(
        name="batch",
        formula=(
            "y = scale (z - m) / sqrt(v + eps) + shift, m and v each unit's mean and variance over the"
            " batch's rows; in predictions their running means"
        ),
        axis=0,
        keeps_statistics=True,
        kernel="batch",
        advice="Lets deep networks train fast and at higher rates, given batches of 32 rows or more.",
        reference=(
            "Ioffe and Szegedy, Batch Normalization: Accelerating Deep Network Training by Reducing Internal "
            "Covariate Shift, 2015, arXiv:1502.03167"
        ),
    ),
    Normalization(
        name="layer",
        formula=(
            "y = scale (z - m) / sqrt(v + eps) + shift, m and v each row's mean and variance over the units"
        ),
        axis=1,
        keeps_statistics=False,
        kernel="layer",
        advice=(
            "The same in training and prediction and at any batch size: for small batches, and for"
            " solver='lbfgs'."
        ),
        reference="Ba, Kiros and Hinton, Layer Normalization, 2016, arXiv:1607.06450",
    ),
)

NORMALIZATIONS = {normalization.name: normalization for normalization in _ALL}


def __dir__():
    return __all__
