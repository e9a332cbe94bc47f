"""Learning-rate schedules: the rate of the next epoch.

A schedule is asked twice: after every epoch, and when the loss (or the validation score) has stalled for more than
`n_iter_no_change` epochs, where it either stops the fit or goes on with another rate. The current rate is the
caller's to keep, so a schedule has no state.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Constant:
    """learning_rate_init throughout; a stall stops the fit."""

    learning_rate_init: float
    power_t: float = 0.5

    name: ClassVar[str] = "constant"

    def after_epoch(self, learning_rate, n_samples_seen):
        """The rate of the next epoch, from the current one and the rows trained on so far, over all fits."""
        return learning_rate

    def after_stall(self, learning_rate):
        """The rate to go on with, or None to stop; and what to say about it."""
        return None, "Stopping."


@dataclass(frozen=True)
class InvScaling(Constant):
    """learning_rate_init / (n_samples_seen + 1)^power_t, renewed after every epoch."""

    name: ClassVar[str] = "invscaling"

    def after_epoch(self, learning_rate, n_samples_seen):
        return self.learning_rate_init / (n_samples_seen + 1) ** self.power_t


@dataclass(frozen=True)
class Adaptive(Constant):
    """A fifth of the rate at every stall; the fit stops when a stall finds it at 1e-6 or below."""

    name: ClassVar[str] = "adaptive"

    def after_stall(self, learning_rate):
        if learning_rate <= 1e-6:
            return None, "Learning rate too small. Stopping."
        learning_rate /= 5.0
        return learning_rate, f"Setting learning rate to {learning_rate:f}"


SCHEDULES = {schedule.name: schedule for schedule in (Constant, InvScaling, Adaptive)}
