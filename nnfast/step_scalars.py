"""The scalars of every step, for both engines: what the optimizer's formula takes, by group of parameters.

The array of shape (n_steps, n_groups, n_scalars) has the columns of `nnfast.optimizers.SCALARS`. What only
the executor knows, the sum of a batch's weights and the norm of its gradient, is not in it.
"""

from dataclasses import fields, replace
from numbers import Real

import numpy as np

from nnfast.optimizers import SCALARS
from nnfast.regularization import SELU_FLOOR, alpha_dropout_constants

# An epoch of more steps is run window by window: a table of all would not stay in the caches.
WINDOW = 4096

_LEARNING_RATE, _SHRINK, _EPSILON = map(SCALARS.index, ("learning_rate", "shrink", "epsilon"))


class StepScalars:
    """Makes the tables of one fit.

    Parameters
    ----------
    groups : list of nnfast.parameter_groups.Group
    power : callable
        The engine's: see `Optimizer.rates`.
    tiny : float
        Smallest normal number of the arithmetic: what is positive stays so.
    columns : sequence of str, default=()
        What the rates of a step have beside the learning rate: "weight_decay", and keys of groups' schedules.
    """

    def __init__(self, groups, power, tiny, columns=()):
        self._power, self._tiny = power, tiny
        places = {column: 1 + i for i, column in enumerate(columns)}
        self._rate_columns = [places.get(group.schedule, 0) for group in groups]
        self._decay_column = places.get("weight_decay")
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

    def table(self, rates, t):
        """The scalars of consecutive steps.

        Parameters
        ----------
        rates : ndarray of shape (n_steps, 1 + n_columns)
            The learning rate, and what has a schedule beside it.
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
        for number, (group, column) in enumerate(zip(self._groups, self._rate_columns, strict=True)):
            optimizer, key = group.optimizer, (group.optimizer, column, group.learning_rate)
            if key not in made:
                learning_rates = rates[:, column]
                if group.learning_rate != 1:
                    learning_rates = learning_rates * group.learning_rate
                made[key] = learning_rates, self._rates(optimizer, learning_rates, t)
            learning_rates, scalars = made[key]
            table[:, number, _LEARNING_RATE] = learning_rates
            for i, place in self._columns[optimizer]:
                table[:, number, place] = scalars[i]
            if group.weight_decay and hasattr(optimizer, "weight_decay"):
                decay = optimizer.weight_decay if self._decay_column is None else rates[:, self._decay_column]
                table[:, number, _SHRINK] = 1 - learning_rates * (decay * group.weight_decay)
        np.maximum(table[:, :, _EPSILON], self._tiny, out=table[:, :, _EPSILON])
        return table

    def _rates(self, optimizer, learning_rates, t):
        accumulated = optimizer.accumulate(t[0] - 1, self._power, self._accumulated.get(optimizer))
        self._accumulated[optimizer] = accumulated
        return optimizer.rates(learning_rates, t, self._power, accumulated)


class StepDropout:
    """What dropout does in each step of one fit.

    Parameters
    ----------
    regularization : nnfast.regularization.Regularization
        With the initial rates of what has a schedule.
    n_hidden : int
        Hidden layers.
    columns : sequence of str, default=()
        What the rates of a step have beside the learning rate: "input_dropout", and "dropout[i]" of hidden
        layer i.

    Attributes
    ----------
    initial : ndarray of shape (1 + n_hidden, 4)
        For inputs and every hidden layer: the rate, what units that are kept are multiplied by and what is
        added to them, and what others become.
    """

    def __init__(self, regularization, n_hidden, columns=()):
        self._is_alpha = regularization.alpha_dropout
        rates = [regularization.input_dropout, *(regularization.dropout or [0.0] * n_hidden)]
        self.initial = np.stack([self._numbers(layer, rate) for layer, rate in enumerate(rates)])
        names = ["input_dropout", *(f"dropout[{i}]" for i in range(n_hidden))]
        self._columns = [(i, 1 + columns.index(name)) for i, name in enumerate(names) if name in columns]

    def table(self, rates):
        """`initial` of consecutive steps: (n_steps, 1 + n_hidden, 4), or None if nothing has a schedule.

        rates: ndarray of shape (n_steps, 1 + n_columns).
        """
        if not self._columns:
            return None
        table = np.empty((len(rates), *self.initial.shape))
        table[:] = self.initial
        for layer, column in self._columns:
            table[:, layer] = self._numbers(layer, rates[:, column])
        return table

    def _numbers(self, layer, rate):
        if layer and self._is_alpha:
            scale, shift = alpha_dropout_constants(rate)
            return np.stack([rate, scale, shift, np.where(rate, scale * SELU_FLOOR + shift, 0.0)], axis=-1)
        return np.stack([rate, 1 / (1 - rate), np.zeros_like(rate), np.zeros_like(rate)], axis=-1)


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
