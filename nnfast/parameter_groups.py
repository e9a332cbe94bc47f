"""Parameter groups: which of a network's arrays are moved with which hyperparameters.

Without `param_groups` there are two: weights, which decay and which `alpha` and `l1` concern, and all others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase

from nnfast.optimizers import OPTIMIZERS, Optimizer
from nnfast.schedules import resolve_schedule
from nnfast.schedules.checks import is_real
from nnfast.suggestions import did_you_mean

# What each setting of a group has to be, in words and as a check.
_SETTINGS = {
    "learning_rate": ("a factor of the learning rate, 0 or more", lambda value: is_real(value, 0)),
    "weight_decay": ("a factor of the weight decay, 0 or more", lambda value: is_real(value, 0)),
    "beta_1": ("a number in [0, 1)", lambda value: is_real(value, 0) and value < 1),
    "beta_2": ("a number in [0, 1)", lambda value: is_real(value, 0) and value < 1),
    "schedule": ("a schedule that goes by time alone", lambda value: not value.reacts),
}


@dataclass(frozen=True)
class Group:
    """Parameters that are moved with the same scalars.

    Parameters
    ----------
    optimizer : record of nnfast.optimizers
        With the group's own hyperparameters.
    is_penalized : bool
        Whether `alpha` and `l1` concern it.
    weight_decay, learning_rate : float
        Factors of the optimizer's, and of the schedule's.
    schedule : str or None
        The key that `group_schedules` has for the group's own schedule.
    """

    optimizer: Optimizer | None
    is_penalized: bool
    weight_decay: float
    learning_rate: float = 1.0
    schedule: str | None = None


def group_parameters(optimizer, names, param_groups=None):
    """The groups of a network's parameters.

    Parameters
    ----------
    optimizer : record of nnfast.optimizers, or None
    names : list of str
        Those of `Network.learned`.
    param_groups : dict, optional
        The estimators' parameter, as `check_param_groups` accepts it.

    Returns
    -------
    groups : list of Group
    numbers : list of int
        That of the group of each name.
    """
    if not param_groups:
        groups = [Group(optimizer, True, 1.0), Group(optimizer, False, 0.0)]
        return groups, [int(not name.endswith(".weight")) for name in names]
    groups, numbers = [], []
    for name in names:
        is_weight, settings = name.endswith(".weight"), {}
        for pattern, own in param_groups.items():
            if fnmatchcase(name, pattern):
                key = {"schedule": _key(pattern)} if own.get("schedule") is not None else {}
                settings |= {**own, **key}
        betas = {name: settings.pop(name) for name in ("beta_1", "beta_2") if name in settings}
        group = Group(
            replace(optimizer, **betas) if betas else optimizer,
            is_penalized=is_weight,
            **{"weight_decay": float(is_weight)} | settings,
        )
        if group not in groups:
            groups.append(group)
        numbers.append(groups.index(group))
    return groups, numbers


def group_schedules(param_groups, power_t=0.5):
    """The groups' own schedules, by the keys that `Group.schedule` has: a dict."""
    return {
        _key(pattern): resolve_schedule(own["schedule"], power_t)
        for pattern, own in (param_groups or {}).items()
        if own.get("schedule") is not None
    }


def _key(pattern):
    return f"param_groups[{pattern!r}]"


def check_param_groups(param_groups, optimizer, names):
    """Raise unless the estimators' parameter `param_groups` is what it has to be.

    Parameters
    ----------
    param_groups : object
    optimizer : record of nnfast.optimizers
    names : list of str
        Those of `Network.learned`.

    Raises
    ------
    TypeError, ValueError
    """
    for pattern, settings in (param_groups or {}).items():
        if not isinstance(pattern, str) or not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"param_groups has the pattern {pattern!r}, which matches none of the network's parameters: "
                f"{', '.join(names)}."
            )
        place = _key(pattern)
        if not isinstance(settings, Mapping):
            raise TypeError(f"{place} must be a dict of settings, got {settings!r}.")
        for name, value in settings.items():
            if name not in _SETTINGS:
                raise ValueError(
                    f"{place} must have settings of {', '.join(map(repr, _SETTINGS))}, got {name!r}."
                    f"{did_you_mean(name, _SETTINGS)}"
                )
            _check_setting(f"{place}[{name!r}]", name, value, optimizer)


def _check_setting(place, name, value, optimizer):
    if name == "schedule":
        try:
            value = resolve_schedule(value)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
    words, accepts = _SETTINGS[name]
    if not accepts(value):
        raise ValueError(f"{place} must be {words}, got {value!r}.")
    having = [each.name for each in OPTIMIZERS.values() if name in {field.name for field in fields(each)}]
    if having and not hasattr(optimizer, name):
        raise ValueError(f"{place} needs a solver of {', '.join(map(repr, having))}, got {optimizer.name!r}.")
