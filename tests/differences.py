"""Targets of every loss, and central differences."""

import numpy as np

from nnfast.losses import LOSSES

STEP = 1e-6

# Every loss, at its default and at other parameters; three outputs.
LOSS_CASES = [(name, ()) for name in LOSSES] + [
    ("log_loss", (0.1,)),
    ("log_loss", (0.5,)),
    ("focal", (0.0,)),
    ("focal", (0.5,)),
    ("focal", (5.0,)),
    ("binary_focal", (0.0,)),
    ("binary_focal", (0.5,)),
    ("binary_focal", (5.0,)),
    ("huber", (0.3,)),
    ("huber", (20.0,)),
    ("quantile", (0.9,)),
    ("quantile", (0.1, 0.5, 0.8)),
]


def targets(loss, rng, n=7, n_outputs=3):
    """Targets that the loss is defined for."""
    if loss in ("log_loss", "focal"):
        return rng.integers(0, n_outputs, n)
    if loss.startswith("binary"):
        return rng.integers(0, 2, (n, n_outputs)).astype(float)
    if loss == "poisson":
        return rng.integers(0, 4, (n, n_outputs)).astype(float)
    return rng.gamma(2.0, size=(n, n_outputs)) if loss == "gamma" else rng.normal(size=(n, n_outputs))


def slopes(function, z):
    """Central differences of a function of z, by every component of z: shape of its values, then of z."""
    steps = STEP * np.eye(z.size).reshape(z.size, *z.shape)
    differences = [(function(z + step) - function(z - step)) / (2 * STEP) for step in steps]
    return np.moveaxis(np.array(differences), 0, -1).reshape(*np.shape(differences[0]), *z.shape)
