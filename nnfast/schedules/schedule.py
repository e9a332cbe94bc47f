"""What all schedules have: a warmup, a floor, a run of each fit, a plot."""

from dataclasses import MISSING, dataclass, fields
from typing import ClassVar

import numpy as np

from nnfast import plotting
from nnfast.schedules.checks import is_real
from nnfast.schedules.run import ScheduleRun

# What `plot` supposes, as the schedules' _assumption says: scikit-learn's default batch and its patience of
# ten epochs
_PLOT_ROWS = 200
_PLOT_STALL = 11


@dataclass(frozen=True, kw_only=True, repr=False)
class Schedule:
    """What all schedules have: a warmup and a floor.

    Parameters
    ----------
    warmup : int or float, default=0
        Length of the warmup, which starts low and climbs to the schedule's first rate. The schedule proper,
        with all that it counts in epochs, starts when the warmup ends.
    warmup_unit : {"steps", "epochs", "fraction"}, default="steps"
        What `warmup` counts: updates, epochs, or the share of max_iter epochs. The last two are rounded to
        steps.
    floor : float, default=0.0
        The lowest rate after the warmup, itself a learning rate, at most learning_rate_init.
    """

    warmup: float = 0
    warmup_unit: str = "steps"
    floor: float = 0.0

    name: ClassVar[str]
    plans_end: ClassVar[bool] = False  # whether it is where it wants to be after max_iter epochs
    reacts: ClassVar[bool] = False  # whether rates depend on what is monitored
    _outlasts_stalls: ClassVar[bool] = False  # whether a fit that stalls goes on, with another rate
    _assumption: ClassVar[str] = ""  # what `plot` supposes of a run that decides its own rates

    def __post_init__(self):
        units = ("steps", "epochs", "fraction")
        self._check("warmup_unit", '"steps", "epochs" or "fraction"', self.warmup_unit in units)
        if self.warmup_unit == "steps":
            self._check(
                "warmup",
                "a whole number of steps, 0 or more",
                is_real(self.warmup, 0) and self.warmup % 1 == 0,
            )
        elif self.warmup_unit == "epochs":
            self._check("warmup", "a number of epochs, 0 or more", is_real(self.warmup, 0))
        else:
            self._check("warmup", 'from 0 to 1 with warmup_unit="fraction"', is_real(self.warmup, 0, 1))
        self._check("floor", "a learning rate, 0 or more", is_real(self.floor, 0))

    def __repr__(self):
        own_first = sorted(fields(self), key=lambda field: field.kw_only)
        values = ((field.name, getattr(self, field.name), field.default) for field in own_first)
        changed = (
            f"{name}={value!r}" for name, value, default in values if default is MISSING or value != default
        )
        return f"{type(self).__name__}({', '.join(changed)})"

    def start(self, learning_rate_init, steps_per_epoch, max_epochs, state=None):
        """The run of one fit, from the beginning or from an earlier run's state.

        Parameters
        ----------
        learning_rate_init : float
            The highest rate of the schedules that fall or cycle. Where it is another one than that of
            `state`, the run continues as if it had had this rate from its first step, and a rate that was
            set by `ScheduleRun.learning_rate` no longer counts.
        steps_per_epoch : int
            Updates in an epoch of this fit; it may be another number in the fit that `state` comes from.
        max_epochs : int
            Length of the whole run, counted from where it began without a state.
        state : dict, optional
            `ScheduleRun.state`.

        Returns
        -------
        ScheduleRun
        """
        self._check(
            "floor", f"at most learning_rate_init={learning_rate_init}", self.floor <= learning_rate_init
        )
        return ScheduleRun(self, float(learning_rate_init), steps_per_epoch, max_epochs, state or {})

    def plot(self, learning_rate_init=0.001, *, max_epochs=200, steps_per_epoch=10, ax=None):
        """Draw the rate of every step.

        Where the run decides the rates ("invscaling", "adaptive", "plateau"), the title says what is supposed
        of it.

        Parameters
        ----------
        learning_rate_init : float, default=0.001
        max_epochs, steps_per_epoch : int, default=200 and 10
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
        run, rates = self.start(learning_rate_init, steps_per_epoch, max_epochs), []
        for epoch in range(1, max_epochs + 1):
            rates.append(run.rates())
            run.after_epoch(epoch * steps_per_epoch * _PLOT_ROWS, metric=1.0)
            if self._outlasts_stalls and epoch % _PLOT_STALL == 0 and not run.after_stall()[0]:
                break
        ax = plotting.axes(ax)
        rates = np.concatenate(rates)
        ax.plot(np.arange(len(rates)) / steps_per_epoch, rates)
        ax.set(
            xlabel="epoch",
            ylabel="learning rate",
            title=self.name + (self._assumption and f", {self._assumption}"),
        )
        return ax

    def _check(self, parameter, accepted, ok):
        if not ok:
            raise ValueError(
                f"{parameter} of {type(self).__name__} must be {accepted}, got {getattr(self, parameter)!r}."
            )

    # What the kinds differ in. `run` is the ScheduleRun, and its `memory` the plain numbers that the schedule
    # keeps there.

    def _memory(self, learning_rate_init):
        return {}

    def _comparison(self):
        """The part of the memory that metrics are compared with, as it begins."""
        return {}

    def _rates(self, run, e, length):
        """The rates at the times e, an array in epochs; the run ends at e = length. Not yet floored."""
        return np.full(e.shape, run.memory.get("rate", run.learning_rate_init))

    def _after_epoch(self, run, n_samples_seen, metric):
        pass

    def _after_stall(self, run):
        return False, "Stopping."
