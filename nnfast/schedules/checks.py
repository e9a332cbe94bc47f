"""Numbers that hyperparameters of schedules may be, and curves that several schedules follow."""

import math
from numbers import Integral, Real

import numpy as np

# Where a time is reckoned in epochs, the step that ends a cycle can come out a rounding error before its end.
ROUNDING = 1e-9


def is_real(value, low=-math.inf, high=math.inf):
    return (
        isinstance(value, Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )


def is_whole(value):
    return isinstance(value, Integral) and is_real(value, 0)


def is_positive(value, high=math.inf):
    return is_real(value, 0, high) and value > 0


def share_over(e, length):
    """The share of `length` that is over at the times e >= 0, at most 1."""
    return np.minimum(e / length, 1.0) if length > 0 else np.ones_like(e)


def half_cosine(start, end, q):
    return end + (start - end) * ((1 + np.cos(np.pi * q)) / 2)
