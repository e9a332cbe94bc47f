"""The rates of one fit by its schedule."""

from copy import copy

import numpy as np

from nnfast.schedules.checks import is_real


class ScheduleRun:
    """The rates of one fit: see `Schedule.start`.

    Attributes
    ----------
    learning_rate : float
        The rate of the next step. Setting it scales this and all later rates of the run, the floor among
        them.
    """

    def __init__(self, schedule, learning_rate_init, steps_per_epoch, max_epochs, state):
        self.schedule, self.learning_rate_init = schedule, learning_rate_init
        self.steps_per_epoch, self.max_epochs = steps_per_epoch, max_epochs
        steps = {"steps": 1, "epochs": steps_per_epoch, "fraction": max_epochs * steps_per_epoch}
        self.n_warmup = state.get("n_warmup", round(schedule.warmup * steps[schedule.warmup_unit]))
        self.n_steps, self.n_epochs = state.get("n_steps", 0), state.get("n_epochs", 0)
        self.e, self.scale = state.get("e", 0.0), state.get("scale", 1.0)
        self.memory = schedule._memory(learning_rate_init)
        if state.get("schedule") == schedule.name:
            self.memory.update((key, state[key]) for key in self.memory)
        before = state.get("learning_rate_init", learning_rate_init)
        if before != learning_rate_init:
            self.scale = 1.0
            if "rate" in self.memory:
                self.memory["rate"] = max(self.memory["rate"] * learning_rate_init / before, schedule.floor)
        self._fractions = np.arange(steps_per_epoch) / steps_per_epoch

    @property
    def state(self):
        """What `Schedule.start` needs to go on from here: a dict of numbers and the schedule's name."""
        return {
            "schedule": self.schedule.name,
            "n_warmup": self.n_warmup,
            "n_steps": self.n_steps,
            "n_epochs": self.n_epochs,
            "e": self.e,
            "scale": self.scale,
            "learning_rate_init": self.learning_rate_init,
            **self.memory,
        }

    @property
    def learning_rate(self):
        return float(self._next(1)[0])

    @learning_rate.setter
    def learning_rate(self, value):
        if not (is_real(value) and value > 0):
            raise ValueError(f"learning_rate must be a positive number, got {value!r}.")
        self.scale, before = 1.0, self.scale
        scheduled = self.learning_rate
        if scheduled == 0:
            self.scale = before
            raise ValueError(
                f"learning_rate={value!r} cannot be set where {self.schedule!r} has come down to 0. Give it a"
                " floor."
            )
        self.scale = float(value) / scheduled

    def rates(self):
        """The rates of the next epoch's steps: float64 (steps_per_epoch,). Asking changes nothing."""
        return self._next(self.steps_per_epoch)

    def rates_ahead(self, n_epochs, n_samples_seen, n_samples):
        """What `rates` will be for the next epochs, of a schedule that does not react: float64 (n_epochs,
        steps_per_epoch).

        Parameters
        ----------
        n_epochs : int
        n_samples_seen : int
            Rows trained on so far.
        n_samples : int
            Rows of an epoch.
        """
        ahead, rates = copy(self), []
        ahead.memory = dict(self.memory)
        for _ in range(n_epochs):
            rates.append(ahead.rates())
            n_samples_seen += n_samples
            ahead.after_epoch(n_samples_seen)
        return np.array(rates)

    def after_epoch(self, n_samples_seen, metric=None):
        """To be called when an epoch is over.

        Parameters
        ----------
        n_samples_seen : int
            Rows trained on so far, over all fits.
        metric : float, optional
            What is monitored, the lower the better: a loss, or minus a score. "plateau" needs it.
        """
        self.e = self._start() + 1
        self.n_steps += self.steps_per_epoch
        self.n_epochs += 1
        self.schedule._after_epoch(self, n_samples_seen, metric)

    def after_stall(self):
        """Whether to go on after n_iter_no_change epochs without progress, and what to say: (bool, str)."""
        return self.schedule._after_stall(self)

    def measure_anew(self):
        """To be called where the metric is not what it was: what later ones were to be compared with is
        forgotten.
        """
        self.memory.update(self.schedule._comparison())

    @property
    def warming_up(self):
        """Whether the steps so far were all of the warmup."""
        return 0 < self.n_steps <= self.n_warmup

    def _start(self):
        """The time of the next step: epochs since the end of the warmup, negative before it."""
        # A warmup is a count of steps, and an epoch may have another number of them than the last one had.
        left = self.n_warmup - self.n_steps
        return self.e if left <= 0 else -left / self.steps_per_epoch

    def _next(self, n):
        start = self._start()
        length = self.max_epochs - self.n_epochs + start
        n_low = min(max(self.n_warmup - self.n_steps, 0), n)
        if n_low == 0:
            rates = self._floored(start + self._fractions[:n], length)
        else:
            rates = np.arange(self.n_steps + 1, self.n_steps + n + 1) / self.n_warmup
            # A warmup may be longer than the run, of which nothing is left then for the schedule proper.
            rates[:n_low] *= self._floored(np.zeros(1), length if length > 0 else self.max_epochs)
            if n_low < n:
                rates[n_low:] = self._floored(start + self._fractions[n_low:n], length)
        return rates if self.scale == 1 else rates * self.scale

    def _floored(self, e, length):
        rates = self.schedule._rates(self, e, length)
        return np.maximum(rates, self.schedule.floor) if self.schedule.floor else rates
