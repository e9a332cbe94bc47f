"""Values beside the learning rate that follow schedules of their own, in one fit."""

import numpy as np

from nnfast.schedules.schedule import Schedule


def is_scheduled(value):
    """Whether the value of a parameter is a pair of an initial value and a schedule."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and (isinstance(value[1], str | Schedule) or callable(value[1]))
    )


def initial_value(value):
    """The value of a parameter, or of a pair with a schedule the initial one."""
    return value[0] if is_scheduled(value) else value


class ScheduledValues:
    """What follows schedules beside the learning rate's: see `Schedule.start`.

    Parameters
    ----------
    schedules : dict of str to (float or None, Schedule)
        Initial values, None for that of the learning rate, and schedules that do not react.
    run : ScheduleRun
        The learning rate's.
    max_iter : int
        Epochs of this fit.
    adds : bool
        Whether these come after the epochs done before.
    states : dict
        What `state` was at the end of an earlier fit.
    """

    def __init__(self, schedules, run, max_iter, *, adds=False, states):
        self._run, self._runs, self._is_rate = run, {}, {}
        for key, (initial, schedule) in schedules.items():
            state = states.get(key)
            if state is not None and state["schedule"] != schedule.name:
                state = None
            n_done = state["n_epochs"] if adds and state is not None else 0
            self._is_rate[key] = initial is None
            initial = run.learning_rate_init if initial is None else initial
            self._runs[key] = schedule.start(initial, run.steps_per_epoch, n_done + max_iter, state=state)

    @property
    def state(self):
        """What a later fit goes on from: a dict of the runs' states."""
        return {key: run.state for key, run in self._runs.items()}

    def beside(self, rates):
        """The learning rates of the next epoch's steps, and in further columns the values."""
        return self._columns(rates, [run.rates() for run in self._runs.values()])

    def ahead(self, rates, n_samples_seen, n_samples):
        """`beside` for several epochs, whose learning rates have shape (n_epochs, steps_per_epoch)."""
        runs = self._runs.values()
        return self._columns(rates, [run.rates_ahead(len(rates), n_samples_seen, n_samples) for run in runs])

    def _columns(self, rates, values):
        if not values:
            return rates
        for i, (key, is_rate) in enumerate(self._is_rate.items()):
            if is_rate:
                values[i] = values[i] * self._run.scale
            elif key != "weight_decay" and not ((values[i] >= 0) & (values[i] < 1)).all():
                raise ValueError(f"The schedule of {key} must stay in [0, 1), got {values[i].max()}.")
        return np.stack([rates, *values], axis=-1)

    def after_epoch(self, n_samples_seen):
        """To be called when an epoch is over: see `ScheduleRun.after_epoch`."""
        for run in self._runs.values():
            run.after_epoch(n_samples_seen)
