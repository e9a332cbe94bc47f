"""Regularization: what keeps a network from overfitting.

The functions are readable NumPy, the definitions that the compiled kernels are tested against. In one step:

    g = (sum over rows of weight * gradient + alpha w) / W        W: the sum of the batch's sample weights
    g clipped by value, then all g together by their norm
    the optimizer's weight decay and update
    w = soft_threshold(w, learning_rate * l1 / W)
    w = limit_norms(w, max_norm)                                  hidden layers only

alpha, l1 and weight decay concern weights, not biases, scales or shifts. The loss of a step is that of its
batch, of the weights before it, plus (0.5 alpha (sum of w^2) + l1 (sum of |w|)) / W.
"""

from dataclasses import dataclass

import numpy as np

from nnfast import selu

__all__ = ["Regularization", "alpha_dropout_constants", "kept_units"]


@dataclass(frozen=True)
class Regularization:
    """What a session does against overfitting; the defaults do nothing.

    Parameters
    ----------
    alpha, l1 : float
        Strength of the penalties 0.5 w^2 and |w|.
    clip_norm, clip_value : float or None
        Largest norm of all gradients together, and of a gradient's component.
    max_norm : float or None
        Largest norm of the weights that come into a hidden unit.
    dropout : tuple of float
        Share of units to drop, one a hidden layer, or none.
    input_dropout : float
        Share of inputs to drop.
    alpha_dropout : bool
        Whether hidden layers are dropped out as `alpha_dropout_constants` says; inputs are not.
    """

    alpha: float = 0.0
    l1: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    max_norm: float | None = None
    dropout: tuple[float, ...] = ()
    input_dropout: float = 0.0
    alpha_dropout: bool = False

    def drops(self, n_hidden):
        """Whether units are dropped, of the inputs and of every hidden layer: a tuple of bool."""
        return tuple(rate > 0 for rate in (self.input_dropout, *(self.dropout or (0.0,) * n_hidden)))

    def check_dropout(self, n_hidden, normalization):
        """Raise ValueError unless a network of so many hidden layers, with that normalization or None, can be
        trained with this dropout.
        """
        if len(self.dropout) not in (0, n_hidden):
            raise ValueError(
                f"dropout must have one rate for each of {n_hidden} hidden layers, or none, got"
                f" {self.dropout!r}"
            )
        if normalization and self.alpha_dropout and any(self.dropout):
            raise ValueError("alpha dropout goes with no normalization")

    def draw_seed(self, random_state):
        """Dropout's seed, drawn only where it is used: without dropout, the draws are scikit-learn's."""
        if any(self.dropout) or self.input_dropout:
            return int(random_state.randint(2**32, dtype=np.uint64))
        return 0


# ------------------------------------------------------------------------------------------------------------
# Dropout. What is dropped is a function of where it is, not of who computes it: the same bits for any number
# of threads and any instruction set.

# 2^64 and 2^32 over the golden ratio, made odd: consecutive multiples are spread evenly.
_GOLDEN_64 = np.uint64(0x9E3779B97F4A7C15)
_GOLDEN_32 = np.uint32(0x9E3779B1)


def mix(x):
    """splitmix64's finalizer, of uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def layer_key(seed, step, layer):
    """What a step's masks of a layer are made from, as `kept_units` numbers them; all are uint64."""
    return mix(mix(seed + _GOLDEN_64 * (step + np.uint64(1))) + layer)


def row_key(key, row):
    """What the mask of a row of the batch is made from; both are uint64."""
    return mix(key + _GOLDEN_64 * row)


def unit_hash(key, unit):
    """A uint32 for each unit (uint32) of a row: those below rate * 2^32 are dropped."""
    low, high = np.uint32(key), np.uint32(key >> np.uint64(32))
    h = np.uint32(_GOLDEN_32 * unit + low)
    h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D))
    h = np.uint32((h ^ (h >> np.uint32(15)) ^ high) * np.uint32(0x846CA68B))
    return h ^ (h >> np.uint32(16))


def kept_units(rate, n_rows, n_units, *, seed, step, layer):
    """Which units of which rows dropout keeps, a bool array of shape (n_rows, n_units).

    A unit is kept with probability 1 - rate, by a hash of seed, step, layer, row and unit.

    Parameters
    ----------
    rate : float
        In [0, 1).
    n_rows, n_units : int
        Rows of the batch, and units of the layer.
    seed : int
        From 0 to 2^64 - 1.
    step : int
        Steps done before this one.
    layer : int
        0 for the inputs, l for hidden layer l, counted from 1.

    References
    ----------
    Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, 2014. The hash:
    Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014, and its 32-bit sibling by
    Wellons, lowbias32.
    """
    # scalars would warn as they wrap around
    key = layer_key(*(np.array([number], np.uint64) for number in (seed, step, layer)))
    rows, units = np.arange(n_rows, dtype=np.uint64)[:, np.newaxis], np.arange(n_units, dtype=np.uint32)
    return unit_hash(row_key(key, rows), units) >= np.uint32(int(rate * 2**32))


def drop_out(a, kept, rate):
    """a with what is not kept set to 0 and the rest scaled by 1 / (1 - rate), so that means stay."""
    return np.where(kept, a / (1 - rate), 0)


# selu's limit on the left: what alpha dropout drops units to
SELU_FLOOR = -selu.LAMBDA * selu.ALPHA


def alpha_dropout_constants(rate):
    """(a, b) of alpha dropout, x -> a x + b with a dropped x at SELU_FLOOR first: means of 0 and variances of
    1 stay.

        a = (q + floor^2 q rate)^-0.5,    b = -a floor rate,    q = 1 - rate

    References
    ----------
    Klambauer et al., Self-Normalizing Neural Networks, 2017, arXiv:1706.02515.
    """
    q = 1 - rate
    a = (q + SELU_FLOOR**2 * q * rate) ** -0.5
    return a, -a * SELU_FLOOR * rate


def alpha_drop_out(x, kept, rate):
    """x after alpha dropout."""
    a, b = alpha_dropout_constants(rate)
    return a * np.where(kept, x, SELU_FLOOR) + b


# ------------------------------------------------------------------------------------------------------------
# Gradients and weights


def clip_values(gradients, limit):
    """Bring every component of every gradient to [-limit, limit], in place.

    References
    ----------
    Mikolov, Statistical Language Models Based on Neural Networks, 2012.
    """
    for g in gradients:
        np.clip(g, -limit, limit, out=g)


def clip_norm(gradients, limit):
    """Scale all gradients by min(1, limit / (norm + 1e-6)), in place; norm is that of all of them as one
    vector.

    References
    ----------
    Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013,
    arXiv:1211.5063.
    """
    norm = np.sqrt(sum((g * g).sum() for g in gradients))
    for g in gradients:
        g *= min(1, limit / (norm + 1e-6))


def soft_threshold(w, threshold):
    """sign(w) max(|w| - threshold, 0): the l1 penalty's proximal step, which makes weights exactly 0.

    References
    ----------
    Duchi and Singer, Efficient Online and Batch Learning Using Forward Backward Splitting, 2009.
    """
    return np.sign(w) * np.maximum(np.abs(w) - threshold, 0)


def limit_norms(w, max_norm):
    """w with each unit's incoming weights, a column, scaled down to a norm of max_norm where it is above.

    References
    ----------
    Srebro and Shraibman, Rank, Trace-Norm and Max-Norm, 2005; Srivastava et al., Dropout, 2014.
    """
    norms = np.sqrt((w * w).sum(axis=0))
    return w * np.where(norms > max_norm, max_norm / np.maximum(norms, max_norm), 1)


def __dir__():
    return __all__
