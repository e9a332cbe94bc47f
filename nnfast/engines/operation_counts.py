"""How many multiplications and additions the products of a session were."""

import numpy as np

from nnfast.plan import KINDS


class OperationCounts:
    """Counts of the products alone: two operations a weight and row, or where the first layer goes over the
    non-zeros, two a weight and non-zero.

    Parameters
    ----------
    plan : nnfast.plan.Plan
    network : nnfast.network.Network
    entries : ndarray or None
        The indptr of a sparse table whose first layer goes over the non-zeros.
    """

    def __init__(self, plan, network, entries):
        self._plan, self._network, self._entries = plan, network, entries
        # rows, and the numbers in them that the first layer multiplies
        self._trained, self._evaluated = np.zeros((2, 2), np.int64)

    def add(self, rows, *, trains):
        """Count these rows, trained on or evaluated."""
        done = self._trained if trains else self._evaluated
        entries = (
            len(rows) * self._network.layer_units[0]
            if self._entries is None
            else (self._entries[rows + 1] - self._entries[rows]).sum()
        )
        done += len(rows), entries

    def by_phase(self):
        """Dict of lists, a number a layer."""
        dense = [kind for kind in KINDS if kind.startswith("dense")]
        backward = [kind for kind in KINDS if kind.startswith("backward")]
        trained, evaluated = self._trained.tolist(), self._evaluated.tolist()
        forward = self._flops(dense, *trained)
        return {
            "forward": forward,
            "backward": self._flops(backward, *trained),
            "gradient and update": forward,
            "evaluation": self._flops(dense, *evaluated, training=False),
        }

    def _flops(self, kinds, rows, entries, training=True):
        flops = self._plan.flops(*kinds, training=training and bool(self._plan.training)).tolist()
        per_entry = 2 * self._network.layer_units[1]
        return [per_entry * entries if i == 0 and flops[0] else rows * n for i, n in enumerate(flops)]
