"""Learning-rate schedules: the rate of every step.

A schedule is a record of hyperparameters; `start` makes the `ScheduleRun` of one fit, which knows how far the
fit is. The formulas below use

    r  learning_rate_init
    e  epochs since the end of the warmup, with fractions: e = 2.5 is half way through the third
    p  the share of the run since the end of the warmup, from 0 to 1; it stays 1 after max_iter epochs

The warmup climbs linearly: its i-th step of n (from 1) has i/n of the rate that the schedule starts at. After
it no rate is below `floor`.
"""

from nnfast.schedules.checks import is_real
from nnfast.schedules.cyclic import CosineRestarts, Cyclic, OneCycle
from nnfast.schedules.falling import Cosine, Exponential, Linear, Polynomial, Step
from nnfast.schedules.following import Custom, Plateau
from nnfast.schedules.run import ScheduleRun
from nnfast.schedules.schedule import Schedule
from nnfast.schedules.scikit_learn import Adaptive, Constant, InvScaling
from nnfast.suggestions import did_you_mean

__all__ = [
    "Adaptive",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Custom",
    "Cyclic",
    "Exponential",
    "InvScaling",
    "Linear",
    "OneCycle",
    "Plateau",
    "Polynomial",
    "SCHEDULES",
    "Schedule",
    "ScheduleRun",
    "Step",
]

SCHEDULES = {
    schedule.name: schedule
    for schedule in (
        Constant,
        InvScaling,
        Adaptive,
        Step,
        Exponential,
        Polynomial,
        Cosine,
        CosineRestarts,
        Linear,
        OneCycle,
        Cyclic,
        Plateau,
    )
}


def resolve_schedule(learning_rate, power_t=0.5):
    """The schedule that the parameter learning_rate means.

    Parameters
    ----------
    learning_rate : str, Schedule or callable
        A name in SCHEDULES, a schedule, or a function f(progress) -> factor of learning_rate_init.
    power_t : float, default=0.5
        Of the name "invscaling".

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        For anything else.
    """
    if isinstance(learning_rate, Schedule):
        return learning_rate
    if isinstance(learning_rate, str) and learning_rate in SCHEDULES:
        return InvScaling(power_t) if learning_rate == InvScaling.name else SCHEDULES[learning_rate]()
    if callable(learning_rate) and not isinstance(learning_rate, type):
        return Custom(learning_rate)
    hint = ""
    if isinstance(learning_rate, str):
        hint = did_you_mean(learning_rate, SCHEDULES)
    elif isinstance(learning_rate, type) and issubclass(learning_rate, Schedule):
        hint = f" Did you mean {learning_rate.__name__}()?"
    elif is_real(learning_rate):
        hint = " The rate itself is learning_rate_init."
    accepted = ", ".join(map(repr, SCHEDULES))
    raise ValueError(
        f"learning_rate must be one of {accepted}, a schedule of nnfast.schedules, or a function "
        f"f(progress) -> factor, got {learning_rate!r}.{hint}"
    )


def __dir__():
    return __all__
