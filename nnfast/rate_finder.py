"""The learning-rate range test: a network trained by rates that climb tells which of them it learns by.

It trains a session of its own from the parameters of a `nnfast.task.Task`, which stay as they are, and
draws from a copy of the fit's generator: a fit that follows is the same as one that was given the rate as a
number.
"""

import math
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils.random import sample_without_replacement

from nnfast import plotting
from nnfast.exceptions import DivergenceError
from nnfast.numeric_table import NumericTable
from nnfast.parameter_groups import group_parameters
from nnfast.reporting import SCALE

__all__ = ["RateCurve"]

HIGH, SMOOTHING = 10.0, 0.8
# Where it is not given, the lowest rate is the first of these within a decade of which the loss does not
# explode.
LOWS = (1e-6, 1e-10, 1e-14, 1e-18)
# Of a test whose length is not given. The more steps, the lower the rates by which the loss comes down.
STEPS_PER_DECADE = 32
# Below this there is no slope to be had of a decade.
_FEWEST_PER_DECADE = 4
# The loss explodes where it is so many times its least value, or its way down, above the least; an odd batch
# is not enough.
_EXPLODES, _IN_A_ROW = 3.0, 3


@dataclass(frozen=True, eq=False, repr=False)
class RateCurve:
    """The loss over rates that climb, and the rates that follow from it.

    Attributes
    ----------
    rates : ndarray of shape (n_steps,)
        The learning rate of every step up to where the loss exploded.
    losses : ndarray of shape (n_steps,)
        The loss of every step's batch before the step, penalties included.
    smoothed : ndarray of shape (n_steps,)
        Their exponential moving average, corrected for its start.
    steepest : float
        The rate at which the smoothed loss falls most, by the logarithm of the rate: the slope is that of a
        straight line through the half decades on both sides, and where a decade's mean is least the way down
        ends.
    minimum : float
        The rate from there on at which the smoothed loss is least: the next ones make it worse. A tenth of it
        is the other usual choice.
    suggestion : float
        The lower of `steepest` and `minimum` / 10, to two digits.
    diverged_at : float or None
        The rate at which the loss exploded; None if it did not.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    steepest: float
    minimum: float
    suggestion: float
    diverged_at: float | None

    def __repr__(self):
        end = "no divergence" if self.diverged_at is None else f"diverged at {self.diverged_at:.2g}"
        return (
            f"RateCurve: suggestion {self.suggestion:.2g}; steepest {self.steepest:.2g}, minimum / 10 "
            f"{self.minimum / 10:.2g}, {end}, {len(self.rates)} steps"
        )

    def plot(self, ax=None):
        """Draw the loss over the rate, and mark `steepest`, `minimum` / 10 and where the loss exploded.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Made where there are none.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        ax, smoothed = plotting.axes(ax), self.smoothed
        ax.plot(self.rates, self.losses, color="C7", alpha=0.5, linewidth=0.8, label="loss of a batch")
        ax.plot(self.rates, smoothed, color="C0", label="smoothed")
        for rate, color, name in (
            (self.steepest, "C2", "steepest"),
            (self.minimum / 10, "C1", "minimum / 10"),
        ):
            chosen = ", suggested" if rate == min(self.steepest, self.minimum / 10) else ""
            ax.axvline(rate, color=color, linestyle="--", label=f"{name}: {rate:.2g}{chosen}")
        if self.diverged_at is not None:
            ax.axvline(self.diverged_at, color="C3", linestyle=":", label=f"diverged: {self.diverged_at:.2g}")
        # What matters is the way down. The explosion would make a flat line of it.
        before = smoothed[: np.searchsorted(self.rates, self.minimum) + 1]
        least, most = before.min(), before.max()
        height = most - least or abs(most) or 1.0
        ax.set_ylim(least - 0.1 * height, most + 0.4 * height)
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
        ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize="small")
        return ax


def range_test(
    task,
    rows,
    batch_size,
    p,
    engine,
    random_state,
    *,
    low=None,
    high=HIGH,
    n_epochs=None,
    smoothing=SMOOTHING,
):
    """Train by rates that climb exponentially from step to step, until the loss explodes.

    Parameters
    ----------
    task : nnfast.task.Task
    rows : ndarray of intp, or nnfast.blocks.BlockOrder
        Those to train on. What is drawn of them is the same for any number of threads. Of a table that is
        read in blocks, as many as a buffer has, in memory.
    batch_size : int
    p : estimator
        Read for `n_threads` and `precision`.
    engine : module
    random_state : numpy.random.RandomState
        Copied, not drawn from.
    low, high : float
        The first rate, and the last. None: see `LOWS`.
    n_epochs : int, optional
        Passes over the rows; more where they are too few for a lower rate of `LOWS` than the first. None: as
        many, or such a part of one, as `STEPS_PER_DECADE` take.
    smoothing : float
        Weight of what went before in the moving average, in [0, 1).

    Returns
    -------
    RateCurve

    Raises
    ------
    DivergenceError
        If the loss explodes within a decade of the lowest rate.
    """
    random_state = deepcopy(random_state)
    rows = task.table.weighed(rows, task.sample_weight)  # a batch of weights 0 would have no loss
    batch_size = min(batch_size, len(rows))
    for lowest in LOWS if low is None else (low,):
        decades = math.log10(high) - math.log10(lowest)  # their ratio may overflow
        n_steps = _n_steps(
            decades, n_epochs, len(rows), batch_size, lengthen=low is None and lowest != LOWS[0]
        )
        rates = np.geomspace(lowest, high, n_steps)
        losses, smoothed, diverged = _climb(task, rows, batch_size, p, engine, random_state, rates, smoothing)
        window = round((len(rates) - 1) / decades / 2) * 2 + 1  # steps of a decade
        if len(smoothed) > window:
            return _read(rates, losses, smoothed, window, diverged)
    raise DivergenceError(
        f"The loss explodes within a decade of the lowest learning rate tried, {lowest:g}. {SCALE}"
    )


def _n_steps(decades, n_epochs, n_rows, batch_size, *, lengthen):
    """Steps of a test of so many epochs, or if that is None of the usual length.

    Too few epochs become the fewest that will do, or if `lengthen` is false, an error.
    """
    if n_epochs is None:
        return round(decades * STEPS_PER_DECADE) + 1
    per_epoch = n_rows // batch_size
    fewest = math.ceil(round(decades * _FEWEST_PER_DECADE, 6)) + 1
    enough = -(-fewest // per_epoch)
    if lengthen:
        n_epochs = max(n_epochs, enough)
    if n_epochs < enough:
        raise ValueError(
            f"n_epochs must be enough for {fewest} steps, {_FEWEST_PER_DECADE} a decade of rates, got "
            f"{n_epochs}, which are {n_epochs * per_epoch} steps of {batch_size} rows. Accepted is {enough} "
            "or more, or None."
        )
    return n_epochs * per_epoch


def _read(rates, losses, smoothed, window, diverged):
    """The curve, as far as it came, and its rates."""
    n, half = len(smoothed), window // 2
    # Of the least-squares line through every window: the slope, but for a factor, and the level in its
    # middle.
    bounded = np.minimum(smoothed, 1e100)  # what explodes may be near the largest number
    slopes = np.correlate(bounded, np.arange(-half, half + 1.0))
    levels = np.correlate(bounded, np.ones(window))
    # On the way down, which the lowest decade ends, noise of single steps apart.
    steepest = half + int(np.argmin(slopes[: np.argmin(levels) + 1]))
    least = steepest + int(np.argmin(smoothed[steepest:]))
    steepest, minimum = float(rates[steepest]), float(rates[least])
    return RateCurve(
        rates=rates[:n],
        losses=losses,
        smoothed=smoothed,
        steepest=steepest,
        minimum=minimum,
        suggestion=float(f"{min(steepest, minimum / 10):.1e}"),
        diverged_at=float(rates[diverged]) if diverged is not None else None,
    )


def _climb(task, rows, batch_size, p, engine, random_state, rates, smoothing):
    """(losses, smoothed, step at which the loss exploded or None) of a step a rate."""
    task, rows = _in_memory(task, rows, len(rates) * batch_size, batch_size, random_state)
    batch_size = min(batch_size, len(rows))
    session = task.session(
        engine,
        dtype=task.dtype,
        batch_size=batch_size,
        optimizer=task.optimizer,
        regularization=task.regularization,
        groups=group_parameters(task.optimizer, task.network.learned, task.param_groups),
        seed=int(random_state.randint(2**32, dtype=np.uint64)),
        n_threads=p.n_threads,
        bfloat16=p.precision == "bfloat16",
        counts=task.counts,
    )
    losses, smoothed, average, least = [], [], 0.0, math.inf
    with session:
        session.load(task.parameters)
        for step, batch in enumerate(_batches(rows, batch_size, len(rates), random_state)):
            try:
                loss = session.epoch(batch, rates[step])
            except engine.NonFinite:
                return np.array(losses), np.array(smoothed), step
            average = smoothing * average + (1 - smoothing) * loss
            losses.append(loss)
            smoothed.append(average / (1 - smoothing ** (step + 1)))
            least = min(least, smoothed[-1])
            limit = least + _EXPLODES * max(abs(least), smoothed[0] - least)
            if not min(smoothed[-1], *losses[-_IN_A_ROW:]) <= limit:
                return np.array(losses), np.array(smoothed), step
    return np.array(losses), np.array(smoothed), None


def _batches(rows, batch_size, n_steps, random_state):
    """A batch a step, all of the same size: what an epoch leaves over is left out, since it would have a
    noisy loss.
    """
    per_epoch = len(rows) // batch_size
    if n_steps < per_epoch:
        rows = rows[sample_without_replacement(len(rows), n_steps * batch_size, random_state=random_state)]
        per_epoch = n_steps
    for step in range(n_steps):
        place = step % per_epoch
        if place == 0:
            order = random_state.permutation(rows)
        yield order[place * batch_size : (place + 1) * batch_size]


def _in_memory(task, rows, n_rows, batch_size, random_state):
    """A task whose rows can be read in any order, and the numbers of those to train on: of a table that is
    read in blocks, some.
    """
    numbers = task.table.sample(rows, n_rows, batch_size, random_state)
    if numbers is None:
        return task, rows
    weight = None if task.sample_weight is None else task.sample_weight[numbers]
    if weight is not None and (weight > 0).any():
        numbers, weight = numbers[weight > 0], weight[weight > 0]
    table = NumericTable(task.table.take(numbers))
    part = replace(task, table=table, y=task.y[numbers], sample_weight=weight)
    return part, np.arange(len(numbers))


def __dir__():
    return __all__
