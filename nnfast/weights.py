"""Weights of rows, of whatever scale: brought to one that the arithmetic can compute with."""

import numpy as np

# A weight is multiplied with gradients, and penalties are divided by the sum of a batch's weights, in float32
# at worst. Where the largest weight is within these, all stay as they are, to the bit.
SMALLEST, LARGEST = 2.0**-40, 2.0**40
# Of less weight than this, a row counts as none: a batch of such rows would divide the penalties by next to
# nothing.
NEGLIGIBLE = 2.0**-60


def in_range(weights):
    """The weights, divided by their mean if the largest is not from SMALLEST to LARGEST; negligible ones are
    0.

    Parameters
    ----------
    weights : ndarray of float64, finite, or None

    Returns
    -------
    weights : the same array if nothing is to be changed; None of None
    """
    if weights is None:
        return None
    sizes = np.abs(weights)
    largest = sizes.max(initial=0.0)
    if largest > 0 and not SMALLEST <= largest <= LARGEST:
        weights = weights / largest  # whose sum does not overflow
        weights = weights / np.abs(weights).mean()
        sizes = np.abs(weights)
    if np.count_nonzero(sizes >= NEGLIGIBLE) < np.count_nonzero(sizes):
        weights = np.where(sizes >= NEGLIGIBLE, weights, 0.0)
    return weights
