"""Weights of rows, as ensembles take them."""

import numpy as np


def joined(weights, weights_val, n_rows, n_val):
    """The weights of the rows to train on and of those that validate, 1 where there are none; None of none at
    all.
    """
    if weights is None and weights_val is None:
        return None
    return np.concatenate(
        [np.ones(n) if each is None else each for each, n in ((weights, n_rows), (weights_val, n_val))]
    )


def of_mean_one(weights):
    """Weights whose scale is that of no weights, as encodings count rows; None if they are all the same."""
    if weights is None:
        return None
    if (weights < 0).any():
        raise ValueError(f"sample_weight must not be negative, got {weights.min()}.")
    if (weights == weights[0]).all():
        return None
    weights = weights / weights.max()  # whose sum does not overflow
    return weights / weights.mean()
