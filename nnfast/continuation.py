"""What a fit goes on with from an earlier one: the optimizer's moments and the schedule's state, and when.

===========================  ===========  ===========================================  ===============
call                         moments      schedule                                     hyperparameters
===========================  ===========  ===========================================  ===============
fit                          start        starts                                       the estimator's
fit, warm_start=True         start        scikit-learn's three start; others continue  the estimator's
fit, warm_start="full"       continue     continues                                    the estimator's
partial_fit                  continue     continues                                    the first call's
===========================  ===========  ===========================================  ===============

The state is the fitted attribute `_optimizer`, a plain dict. Moments of another optimizer than the present
one, and states of another schedule, are not gone on with, nor is the best so far where something else is
monitored now. What has a schedule beside the learning rate continues in warm starts and `partial_fit`, by
the estimator's values and schedules of the time. The best of early stopping, its patience and its validation
rows belong to one fit: the next one begins anew, and from the parameters of the last epoch, which are kept
apart in `_last_parameters` where the estimator has those of the best one.
"""

from contextlib import nullcontext

from nnfast.network import Parameters
from nnfast.optimizers import OPTIMIZERS
from nnfast.schedules import resolve_schedule
from nnfast.schedules.values import ScheduledValues
from nnfast.validation import blaming

# scikit-learn's own, which its 'adam' does not use, and which its warm starts begin anew.
_SCIKIT_LEARNS = ("constant", "invscaling", "adaptive")


def initial_rate(earlier, p, optimizer, *, one_epoch):
    """The initial learning rate, or None where learning_rate_init="auto" has to find one. The arguments are
    those of `go_on`.

    One that was found is gone on with, for it would be another one for a network that has learned; but not
    with another optimizer, whose rates are others.
    """
    if not isinstance(p.learning_rate_init, str):
        return float(p.learning_rate_init)
    if earlier is None:
        return None
    goes_on = one_epoch or (p.warm_start and earlier.get("found") and earlier["name"] == optimizer.name)
    return earlier["learning_rate_init"] if goes_on else None


def go_on(earlier, p, optimizer, rate_init, steps_per_epoch, *, one_epoch):
    """The optimizer, the run of the schedule, and the state for later calls, as of now: (optimizer, run,
    state).

    Parameters
    ----------
    earlier : dict or None
        The state that an earlier call left.
    p : estimator
        Read for `learning_rate`, `learning_rate_init`, `power_t`, `max_iter` and `warm_start`.
    optimizer : record of nnfast.optimizers
        The one that `p` asks for.
    rate_init : float
        See `initial_rate`.
    steps_per_epoch : int
    one_epoch : bool
        Whether this is `partial_fit`.
    """
    learning_rate, power_t, found = p.learning_rate, p.power_t, isinstance(p.learning_rate_init, str)
    if one_epoch and earlier is not None:
        with blaming("_optimizer['hyperparameters']"):
            optimizer = OPTIMIZERS[earlier["name"]](**earlier["hyperparameters"])
        rate_init, power_t = earlier["learning_rate_init"], earlier["power_t"]
        learning_rate, found = earlier["learning_rate"], earlier.get("found", False)
    name = learning_rate if isinstance(learning_rate, str) else None
    full = one_epoch or p.warm_start == "full"
    same_optimizer = earlier is not None and earlier["name"] == optimizer.name

    unused = optimizer.name == "adam" and name in _SCIKIT_LEARNS
    with blaming("_optimizer['learning_rate']") if one_epoch and earlier is not None else nullcontext():
        schedule = resolve_schedule("constant" if unused else learning_rate, power_t)
    run_state = None
    if earlier is not None and earlier["schedule"]["schedule"] == schedule.name:
        if full or (p.warm_start and name not in _SCIKIT_LEARNS):
            run_state = earlier["schedule"]
    # partial_fit is one of max_iter epochs; a warm start adds max_iter to those done, or it might begin at
    # rate 0.
    n_done = 0 if one_epoch or run_state is None else run_state["n_epochs"]
    run = schedule.start(rate_init, steps_per_epoch, n_done + p.max_iter, state=run_state)

    keeps_moments = full and same_optimizer
    state = {
        "name": optimizer.name,
        "hyperparameters": dict(vars(optimizer)),
        "learning_rate": learning_rate,
        "learning_rate_init": rate_init,
        "found": found,
        "power_t": power_t,
        "schedule": run.state,
        "t": earlier["t"] if keeps_moments else 0,
        "moments": earlier["moments"] if keeps_moments else None,
    }
    return optimizer, run, state


def go_on_with_values(earlier, p, schedules, run, *, one_epoch):
    """The run of what has a schedule beside the learning rate: `ScheduledValues`.

    Parameters
    ----------
    earlier, p, one_epoch
        Those of `go_on`.
    schedules : dict
        What `ScheduledValues` takes, as of now.
    run : ScheduleRun
        The learning rate's.
    """
    goes_on = earlier is not None and (one_epoch or bool(p.warm_start))
    states = earlier.get("scheduled", {}) if goes_on else {}
    return ScheduledValues(schedules, run, p.max_iter, adds=not one_epoch, states=states)


def monitored(task, p):
    """What patience watches in a fit, as a plain dict: values of one dict can be compared, those of two
    cannot.
    """
    network = task.network
    return {
        "loss": [network.loss, *map(float, network.loss_parameters)],
        "early_stopping": bool(p.early_stopping),
    }


def comparable(earlier, now):
    """Whether the patience of an earlier fit, by its state or None, is gone on with where `now` is
    `monitored`.
    """
    return earlier is not None and earlier.get("monitored") == now and not now["early_stopping"]


def apart(published, last):
    """The attribute `_last_parameters` of an estimator that has the `published` ones, both `Parameters`."""
    return {"published": dict(published), "last": dict(last)}


def parameters_to_go_on_from(published, kept):
    """Those of the last epoch, unless the estimator has other ones by now than the fit has published.

    Parameters
    ----------
    published : Parameters
        The estimator's.
    kept : dict or None
        Its attribute `_last_parameters`.
    """
    if kept is not None:
        then = kept["published"]
        if then.keys() == published.keys() and all(then[name] is published[name] for name in then):
            return Parameters(kept["last"])
    return published
