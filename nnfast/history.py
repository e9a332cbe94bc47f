"""What `partial_fit` and warm starts go on with from an earlier fit, checked before they do."""

from dataclasses import fields
from numbers import Integral, Real

import numpy as np

from nnfast.optimizers import OPTIMIZERS
from nnfast.schedules import SCHEDULES
from nnfast.state import are_finite, in_words
from nnfast.validation import FLOATS

_CURVES = ("loss_curve_", "learning_rate_curve_", "validation_loss_curve_", "validation_scores_")
_COUNTS = ("t_", "n_iter_", "_no_improvement_count")
_NUMBERS = ("best_loss_", "best_validation_score_")

# Of `_optimizer` and of its "schedule": see nnfast.continuation and nnfast.schedules.ScheduleRun.state.
_OPTIMIZER_KEYS = (
    "name",
    "hyperparameters",
    "learning_rate",
    "learning_rate_init",
    "power_t",
    "schedule",
    "t",
    "moments",
    "best",
)
_SCHEDULE_COUNTS = ("n_warmup", "n_steps", "n_epochs")
_TINY = np.finfo(np.float64).tiny


def check_history(history, network, engine, *, goes_on):
    """What an earlier fit has left for the next one, if a fit can go on with it.

    Parameters
    ----------
    history : dict
        Fitted attributes.
    network : nnfast.network.Network
    engine : module
        See `nnfast.engines`.
    goes_on : bool
        Whether the optimizer's moments go on, too. Where they do not, `_optimizer` may be another library's,
        and is left out.

    Returns
    -------
    dict

    Raises
    ------
    TypeError, ValueError
        If an attribute is not what it has to be.
    """
    for name in _COUNTS:
        _check_count(name, history.get(name, 0))
    for name in _NUMBERS:
        if history.get(name) is not None:
            _check_number(name, history[name], "a number or None")
    for name in _CURVES:
        curve = history.get(name)
        if not (curve is None or isinstance(curve, list)):
            raise TypeError(
                f"{name} must be a list of numbers, one an epoch, or None, got {in_words(curve)}."
            )
    if history.get("loss_curve_"):
        _check_records(history.get("_history", {}), len(history["loss_curve_"]))
    optimizer = history.get("_optimizer")
    if optimizer is None:
        return history
    if not isinstance(optimizer, dict):
        if goes_on:
            raise TypeError(
                "partial_fit and warm_start='full' go on from _optimizer, the dict with the moments that a "
                f"fit of nnfast leaves, got {type(optimizer).__name__}: moments of scikit-learn's optimizers "
                "are not read. Delete the attribute _optimizer, and the moments start from zero."
            )
        return {name: value for name, value in history.items() if name != "_optimizer"}
    _check_optimizer(optimizer, network, engine)
    return history


def _check_number(name, value, accepted="a number", least=-np.inf):
    if isinstance(value, bool) or not isinstance(value, Real) or not value >= least:
        raise ValueError(f"{name} must be {accepted}, got {value!r}.")


def _check_count(name, value):
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= value < 2**62:
        raise ValueError(f"{name} must be an integer from 0 to 2**62, got {value!r}.")


def _check_records(records, n_epochs):
    if not isinstance(records, dict):
        raise TypeError(f"_history must be a dict of lists, got {type(records).__name__}.")
    # of which there may be a million: `partial_fit` does not look at each
    for name, values in records.items():
        if not isinstance(values, list) or len(values) != n_epochs:
            raise ValueError(
                f"_history[{name!r}] must have {n_epochs} numbers, one for each in loss_curve_, got"
                f" {in_words(values)}."
            )


def check_last_parameters(kept, engine):
    """Raise unless `_last_parameters` is what early stopping leaves beside its best epoch: see
    `nnfast.continuation`.
    """
    if kept is None:
        return
    if not (isinstance(kept, dict) and kept.keys() == {"published", "last"}):
        raise TypeError(
            f"_last_parameters must be None, or a dict of 'published' and 'last', got {in_words(kept)}."
        )
    for key, parameters in kept.items():
        _check_named_arrays(f"_last_parameters[{key!r}]", parameters, engine)


def _check_named_arrays(place, arrays, engine, shapes=None):
    """Raise unless it is a dict of finite arrays by name; with `shapes`, a dict, of these names and shapes,
    and infinity is allowed.
    """
    if not isinstance(arrays, dict) or (shapes is not None and arrays.keys() != shapes.keys()):
        of = "" if shapes is None else f" called {', '.join(map(repr, shapes))}"
        got = f"one of {', '.join(map(repr, arrays))}" if isinstance(arrays, dict) else in_words(arrays)
        raise TypeError(f"{place} must be a dict of arrays{of}, got {got}.")
    for name, array in arrays.items():
        of = "" if shapes is None else f" and shape {shapes[name]}"
        if not (isinstance(array, np.ndarray) and array.dtype in FLOATS) or (
            of and array.shape != shapes[name]
        ):
            raise TypeError(
                f"{place}[{name!r}] must be an array of float32 or float64{of}, got {in_words(array)}."
            )
        if not are_finite(engine, array) and (shapes is None or np.isnan(array).any()):
            what = "finite numbers, got NaN or infinity" if shapes is None else "numbers, got NaN"
            raise ValueError(f"{place}[{name!r}] must hold {what}.")


def _check_optimizer(optimizer, network, engine):
    _check_keys("_optimizer", optimizer, _OPTIMIZER_KEYS)
    name, hyperparameters, moments = optimizer["name"], optimizer["hyperparameters"], optimizer["moments"]
    if not (isinstance(name, str) and name in OPTIMIZERS):
        raise ValueError(
            f"_optimizer['name'] must be one of {', '.join(map(repr, OPTIMIZERS))}, got {name!r}."
        )
    record = OPTIMIZERS[name]
    if not isinstance(hyperparameters, dict) or not hyperparameters.keys() <= {
        field.name for field in fields(record)
    }:
        raise ValueError(
            f"_optimizer['hyperparameters'] must be a dict of those of {record.__name__}, got"
            f" {hyperparameters!r}."
        )
    _check_number(
        "_optimizer['learning_rate_init']", optimizer["learning_rate_init"], "a positive number", least=_TINY
    )
    for key in ("power_t", "best"):
        _check_number(f"_optimizer[{key!r}]", optimizer[key])
    _check_count("_optimizer['t']", optimizer["t"])
    if not isinstance(optimizer.get("found", False), bool) or not isinstance(
        optimizer.get("monitored", {}), dict
    ):
        raise TypeError(
            "_optimizer['found'] must be True or False, and _optimizer['monitored'] a dict, got "
            f"{optimizer.get('found')!r} and {optimizer.get('monitored')!r}."
        )
    _check_schedule("_optimizer['schedule']", optimizer["schedule"])
    scheduled = optimizer.get("scheduled", {})
    if not isinstance(scheduled, dict):
        raise TypeError(f"_optimizer['scheduled'] must be a dict, got {type(scheduled).__name__}.")
    for key, schedule in scheduled.items():
        _check_schedule(f"_optimizer['scheduled'][{key!r}]", schedule)
    if moments is not None:
        _check_moments(moments, record.n_moments, network.learned, engine)


def _check_schedule(place, schedule):
    """Raise unless a dict can be the state of a schedule's run."""
    if not isinstance(schedule, dict):
        raise TypeError(f"{place} must be a dict, got {type(schedule).__name__}.")
    name = schedule.get("schedule")
    if not isinstance(name, str):
        raise TypeError(f"{place}['schedule'] must be a schedule's name, got {name!r}.")
    memory = SCHEDULES[name]()._memory(1.0) if name in SCHEDULES else {}
    _check_keys(place, schedule, ("n_epochs", *memory))
    for key, value in schedule.items():
        if key in _SCHEDULE_COUNTS:
            _check_count(f"{place}[{key!r}]", value)
        elif key in ("e", "rate"):
            _check_number(f"{place}[{key!r}]", value, "a number of at least 0", least=0)
        elif key in ("scale", "learning_rate_init"):
            _check_number(f"{place}[{key!r}]", value, "a positive number", least=_TINY)
        elif key in memory:
            _check_number(f"{place}[{key!r}]", value)


def _check_keys(name, given, needed):
    missing = [key for key in needed if key not in given]
    if missing:
        needed, missing = (", ".join(map(repr, keys)) for keys in (needed, missing))
        raise ValueError(f"{name} must have the keys {needed}, and lacks {missing}.")


def _check_moments(moments, n_moments, shapes, engine):
    place = "_optimizer['moments']"
    if not isinstance(moments, list | tuple) or len(moments) != n_moments:
        raise ValueError(
            f"{place} must be None, or a list of {n_moments}, as the optimizer has moments, got"
            f" {_length(moments)}."
        )
    for which, arrays in enumerate(moments):
        _check_named_arrays(f"{place}[{which}]", arrays, engine, shapes)


def _length(value):
    return (
        f"{type(value).__name__} of {len(value)}" if isinstance(value, list | tuple) else type(value).__name__
    )
