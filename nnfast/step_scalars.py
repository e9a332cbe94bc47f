"""The scalars of every step, for both engines: what the optimizer's formula takes, by group of parameters.

The array of shape (n_steps, n_groups, n_scalars) has the columns of `nnfast.optimizers.SCALARS`. What only
the executor knows, the sum of a batch's weights and the norm of its gradient, is not in it.
"""

from dataclasses import dataclass, fields, replace
from numbers import Real

import numpy as np

from nnfast.optimizers import SCALARS, Optimizer

# An epoch of more steps is run window by window: a table of all would not stay in the caches.
WINDOW = 4096

_LEARNING_RATE, _SHRINK, _EPSILON = map(SCALARS.index, ("learning_rate", "shrink", "epsilon"))


@dataclass(frozen=True)
class Group:
    """Parameters that are moved with the same scalars.

    Parameters
    ----------
    optimizer : record of nnfast.optimizers
        With the group's own hyperparameters.
    is_penalized : bool
        Whether `alpha` and `l1` concern it.
    weight_decay : float
        A factor on the optimizer's.
    """

    optimizer: Optimizer | None
    is_penalized: bool
    weight_decay: float


def group_parameters(optimizer, names):
    """The groups of a network's parameters: weights decay and are penalized, all others are neither.

    Parameters
    ----------
    optimizer : record of nnfast.optimizers, or None
    names : list of str
        Those of `Network.learned`.

    Returns
    -------
    groups : list of Group
    numbers : list of int
        That of the group of each name.
    """
    groups = [Group(optimizer, True, 1.0), Group(optimizer, False, 0.0)]
    return groups, [0 if name.endswith(".weight") else 1 for name in names]


class StepScalars:
    """Makes the tables of one fit.

    Parameters
    ----------
    groups : list of Group
    power : callable
        The engine's: see `Optimizer.rates`.
    tiny : float
        Smallest normal number of the arithmetic: what is positive stays so.
    """

    def __init__(self, groups, power, tiny):
        self._power, self._tiny = power, tiny
        self._groups = [replace(group, optimizer=_at_least(group.optimizer, tiny)) for group in groups]
        self._constants = np.zeros((len(groups), len(SCALARS)))
        self._constants[:, _SHRINK] = 1
        self._memory, self._columns, self._accumulated = np.empty((0, *self._constants.shape)), {}, {}
        for row, group in zip(self._constants, self._groups, strict=True):
            optimizer = group.optimizer
            scalars = optimizer.rates(np.zeros(1), np.ones(1))
            varying = []
            for i, (name, value) in enumerate(zip(optimizer.scalar_names(), scalars, strict=True)):
                if np.ndim(value) == 0:
                    row[SCALARS.index(name)] = value
                else:
                    varying.append((i, SCALARS.index(name)))
            self._columns[optimizer] = varying

    def table(self, learning_rates, t):
        """The scalars of consecutive steps.

        Parameters
        ----------
        learning_rates : ndarray of shape (n_steps,)
        t : ndarray of shape (n_steps,)
            Numbers of the steps from 1, over the whole fit: see `Optimizer.rates`.

        Returns
        -------
        float64 ndarray of shape (n_steps, n_groups, n_scalars)
            Until the next call, which writes to the same memory: the system would have to clear more of it.
        """
        if len(self._memory) < len(t):
            self._memory = np.empty((len(t), *self._constants.shape))
        table, made = self._memory[: len(t)], {}
        table[:] = self._constants
        table[:, :, _LEARNING_RATE] = learning_rates[:, np.newaxis]
        for number, group in enumerate(self._groups):
            optimizer = group.optimizer
            if optimizer not in made:
                made[optimizer] = self._rates(optimizer, learning_rates, t)
            for i, column in self._columns[optimizer]:
                table[:, number, column] = made[optimizer][i]
            if group.weight_decay:
                table[:, number, _SHRINK] = optimizer.shrink(learning_rates * group.weight_decay)
        np.maximum(table[:, :, _EPSILON], self._tiny, out=table[:, :, _EPSILON])
        return table

    def _rates(self, optimizer, learning_rates, t):
        accumulated = optimizer.accumulate(t[0] - 1, self._power, self._accumulated.get(optimizer))
        self._accumulated[optimizer] = accumulated
        return optimizer.rates(learning_rates, t, self._power, accumulated)


def _at_least(optimizer, tiny):
    """The record with hyperparameters that are positive in the arithmetic, too."""
    numbers = {field.name: getattr(optimizer, field.name) for field in fields(optimizer)}
    return replace(
        optimizer,
        **{
            name: max(value, tiny)
            for name, value in numbers.items()
            if isinstance(value, Real) and not isinstance(value, bool) and value > 0
        },
    )
