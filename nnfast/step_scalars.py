"""The scalars of every step, for both engines: what the optimizer's formula takes, by group of parameters.

The array of shape (n_steps, n_groups, n_scalars) has the columns of `nnfast.optimizers.SCALARS`. What only
the executor knows, the sum of a batch's weights and the norm of its gradient, is not in it.
"""

from dataclasses import fields, replace
from functools import lru_cache
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
        self._decay_column = 1 + columns.index("weight_decay") if "weight_decay" in columns else None
        self._kinds, self._constants = _kinds(tuple(groups), tiny, tuple(columns))
        self._accumulated = [None] * len(self._kinds)
        self._memory = np.empty((0, *self._constants.shape))

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
            self._memory[:] = self._constants
        table = self._memory[: len(t)]
        for i, kind in enumerate(self._kinds):
            learning_rates, scalars, self._accumulated[i] = kind.scalars(
                rates, t, self._power, self._accumulated[i]
            )
            table[:, kind.numbers, _LEARNING_RATE] = learning_rates[:, np.newaxis]
            for column, values in scalars:
                if column == _EPSILON:
                    values = np.maximum(values, self._tiny)
                table[:, kind.numbers, column] = values[:, np.newaxis]
            for number, factor in kind.decays:
                decay = kind.weight_decay if self._decay_column is None else rates[:, self._decay_column]
                table[:, number, _SHRINK] = 1 - learning_rates * (decay * factor)
        return table


class _Kind:
    """Groups with the same scalars but for decay: those of an optimizer, by one schedule, with one factor."""

    def __init__(self, optimizer, rate_column, learning_rate, numbers, weight_decays):
        self._optimizer, self._rate_column, self._factor = optimizer, rate_column, learning_rate
        first, end = numbers[0], numbers[-1] + 1
        # a slice, where there is one, is quicker
        self.numbers = slice(first, end) if len(numbers) == end - first else numbers
        self.weight_decay = getattr(optimizer, "weight_decay", 0.0)
        self.decays = [
            (number, factor)
            for number, factor in zip(numbers, weight_decays, strict=True)
            if factor and hasattr(optimizer, "weight_decay")
        ]
        self.constants, self._varying = _columns(optimizer)

    def scalars(self, rates, t, power, accumulated):
        """The learning rates of consecutive steps, pairs of a column and the scalars there, and what to give
        as `accumulated` the next time; the first time it is None.
        """
        learning_rates = rates[:, self._rate_column]
        if self._factor != 1:
            learning_rates = learning_rates * self._factor
        accumulated = self._optimizer.accumulate(t[0] - 1, power, accumulated)
        found = self._optimizer.rates(learning_rates, t, power, accumulated)
        return learning_rates, [(column, found[i]) for i, column in self._varying], accumulated


# For short fits one after the other, this is remembered, as `_columns` and `_at_least` are.
@lru_cache(64)
def _kinds(groups, tiny, columns):
    """The `_Kind`s of groups, and the scalars of shape (n_groups, n_scalars) that no step changes."""
    places = {column: 1 + i for i, column in enumerate(columns)}
    numbers = {}
    for number, group in enumerate(groups):
        key = _at_least(group.optimizer, tiny), places.get(group.schedule, 0), group.learning_rate
        numbers.setdefault(key, []).append(number)
    kinds = [_Kind(*key, each, [groups[i].weight_decay for i in each]) for key, each in numbers.items()]
    constants = np.zeros((len(groups), len(SCALARS)))
    constants[:, _SHRINK] = 1
    for kind in kinds:
        for column, value in kind.constants.items():
            constants[kind.numbers, column] = value
    constants[:, _EPSILON] = np.maximum(constants[:, _EPSILON], tiny)
    return kinds, constants


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
        self.initial = np.array([self._numbers(layer, rate) for layer, rate in enumerate(rates)])
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
            for i, values in enumerate(self._numbers(layer, rates[:, column])):
                table[:, layer, i] = values
        return table

    def _numbers(self, layer, rate):
        if layer and self._is_alpha:
            scale, shift = alpha_dropout_constants(rate)
            return rate, scale, shift, (rate > 0) * (scale * SELU_FLOOR + shift)
        return rate, 1 / (1 - rate), 0.0, 0.0


@lru_cache(64)
def _columns(optimizer):
    """The scalars that are the same in every step, by column, and (number, column) of the others."""
    constants, varying = {}, []
    scalars = optimizer.rates(np.zeros(1), np.ones(1))
    for i, (name, value) in enumerate(zip(optimizer.scalar_names(), scalars, strict=True)):
        if np.ndim(value):
            varying.append((i, SCALARS.index(name)))
        else:
            constants[SCALARS.index(name)] = value
    return constants, varying


@lru_cache(64)
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
