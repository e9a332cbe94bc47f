"""An axis: the numbers, or the choices, that one hyperparameter is drawn from, and its coordinate from 0 to
1.

The unit coordinate is uniform over what is drawn: with warp "log" it is linear in log(value), with
"one_minus_log" in -log(1 - value). Integers have a cell each, from value - 0.5 to value + 0.5 on the axis
before the warp; choices have cells of equal length.
"""

import math
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

# Base 10, in which round numbers stay round: 0.001 lies between 0.0001 and 0.01 exactly.
_WARPS = {
    "linear": (lambda value: value, lambda t: t),
    "log": (math.log10, lambda t: 10.0**t),
    "one_minus_log": (lambda value: -math.log10(1 - value), lambda t: 1 - 10.0**-t),
}


@dataclass(frozen=True, repr=False)
class Axis:
    """One number that is drawn, or one of several choices.

    Parameters
    ----------
    low, high : float or int, optional
        The ends, both included; None with choices. They may be equal: a number that is fixed.
    warp : {"linear", "log", "one_minus_log", "choice"}, default="linear"
        What the unit coordinate is linear in: the value, its logarithm, or the logarithm of 1 - value.
    integer : bool, default=False
        Whether values are int.
    choices : tuple, optional
        Values of any kind, in place of the ends.

    Examples
    --------
    >>> axis = Axis(0.0001, 1.0, warp="log")
    >>> axis.to_unit(0.01), axis.from_unit(0.25), axis.zoom(0.25, 0.5)
    (0.5, 0.001, Axis(0.001, 0.01, warp='log'))
    """

    low: float | None = None
    high: float | None = None
    warp: str = "linear"
    integer: bool = False
    choices: tuple | None = None

    def __post_init__(self):
        if self.warp == "choice":
            if not isinstance(self.choices, tuple) or not self.choices:
                raise ValueError(
                    f"choices of an Axis must be a tuple of one or more values, got {self.choices!r}."
                )
        elif self.warp not in _WARPS:
            accepted = ", ".join(map(repr, (*_WARPS, "choice")))
            raise ValueError(f"warp of an Axis must be one of {accepted}, got {self.warp!r}.")
        else:
            self._check_ends()

    def _check_ends(self):
        for name, end in (("low", self.low), ("high", self.high)):
            if not isinstance(end, Real) or not math.isfinite(end):
                raise ValueError(
                    f"{name} of an Axis with warp={self.warp!r} must be a finite number, got {end!r}."
                )
        if not self.low <= self.high:
            raise ValueError(f"low of an Axis must be at most high={self.high!r}, got {self.low!r}.")
        margin = 0.5 if self.integer else 0  # of the cells of integers
        if self.warp == "log" and not self.low - margin > 0:
            raise ValueError(f"low of an Axis with warp='log' must be positive, got {self.low!r}.")
        if self.warp == "one_minus_log" and not self.high + margin < 1:
            raise ValueError(f"high of an Axis with warp='one_minus_log' must be below 1, got {self.high!r}.")

    def __repr__(self):
        if self.warp == "choice":
            return f"Axis(choices={self.choices!r}, warp='choice')"
        integer = ", integer=True" if self.integer else ""
        return f"Axis({self.low!r}, {self.high!r}, warp={self.warp!r}{integer})"

    def to_unit(self, value):
        """The unit coordinate of a value; of a number beyond the ends, that of the end.

        Parameters
        ----------
        value : object
            A number, or one of the choices.

        Returns
        -------
        u : float
            In [0, 1]; the middle of its cell for an integer or a choice, and 0.5 where only one value is
            possible.

        Raises
        ------
        ValueError
            If it is not among the choices.
        """
        if self.warp == "choice":
            return (self._index(value) + 0.5) / len(self.choices)
        start, end = self._ends()
        if start == end:
            return 0.5
        t = _WARPS[self.warp][0](min(max(value, self.low), self.high))
        return float(min(max((t - start) / (end - start), 0.0), 1.0))

    def from_unit(self, u):
        """The value at a unit coordinate from 0 to 1: a float, an int or a choice."""
        if not 0 <= u <= 1:
            raise ValueError(f"u must be a number from 0 to 1, got {u!r}.")
        if self.warp == "choice":
            return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]
        if u in (0, 1):
            value = self.high if u else self.low
        else:
            value = self._unwarped(u)
            value = min(max(math.floor(value + 0.5) if self.integer else value, self.low), self.high)
        return int(value) if self.integer else float(value)

    def grid(self, n):
        """n values at even distances of the unit coordinate, the ends among them; of integers, without
        duplicates.

        Parameters
        ----------
        n : int
            With 1, the middle. Choices have no distances: all of them are returned, whatever n is.

        Returns
        -------
        list
        """
        if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"n of grid must be an integer, 1 or more, got {n!r}.")
        if self.warp == "choice":
            return list(self.choices)
        # From the middle of the first cell to that of the last: powers of 2 come out as such.
        start, end = (self.to_unit(self.low), self.to_unit(self.high)) if self.integer else (0.0, 1.0)
        units = np.linspace(start, end, n) if n > 1 else np.array([(start + end) / 2])
        return list(dict.fromkeys(map(self.from_unit, units.tolist())))

    def suggest(self, trial, name):
        """A value by Optuna's trial, on the same scale; "one_minus_log" is the trial's parameter "1 - name".

        Choices other than None, bool, int, float and str are Optuna's by their repr, or by their place among
        the choices where that says no more than an address.
        """
        if self.warp == "choice":
            keys = _categories(self.choices)
            return self.choices[keys.index(trial.suggest_categorical(name, keys))]
        if self.integer:
            return int(trial.suggest_int(name, self.low, self.high, log=self.warp == "log"))
        if self.warp == "one_minus_log":
            rest = trial.suggest_float(f"1 - {name}", 1 - self.high, 1 - self.low, log=True)
            return float(min(max(1 - rest, self.low), self.high))
        return float(trial.suggest_float(name, self.low, self.high, log=self.warp == "log"))

    def zoom(self, low_u, high_u):
        """The part of a numeric axis between two unit coordinates.

        Integers whose cells it touches are in it, at least one.

        Raises
        ------
        ValueError
            If it is not 0 <= low_u <= high_u <= 1, or for choices, which `keep` is for.
        """
        if self.warp == "choice":
            raise ValueError(f"zoom is for numbers; of choices, keep(choices) takes some: {self!r}.")
        if not 0 <= low_u <= high_u <= 1:
            raise ValueError(f"zoom takes 0 <= low_u <= high_u <= 1, got low_u={low_u!r}, high_u={high_u!r}.")
        if not self.integer:
            low = self.from_unit(low_u)
            return replace(self, low=low, high=max(low, self.from_unit(high_u)))
        # An end within rounding of the border of two cells touches but one.
        low = math.floor(self._unwarped(low_u) + 0.5 + 1e-9)
        high = math.ceil(self._unwarped(high_u) - 0.5 - 1e-9)
        low = min(max(low, self.low), self.high)
        return replace(self, low=low, high=min(max(high, low), self.high))

    def keep(self, choices):
        """The axis of some of the choices, in the order of this axis.

        Raises
        ------
        ValueError
            If there is none, if one is not among the axis's, or for numbers, which `zoom` is for.
        """
        if self.warp != "choice":
            raise ValueError(f"keep is for choices; zoom(low_u, high_u) takes a part of numbers: {self!r}.")
        indices = {self._index(value) for value in choices}
        return replace(self, choices=tuple(self.choices[i] for i in sorted(indices)))

    def _ends(self):
        """The warped ends: of integers, of the first and the last cell."""
        warp, margin = _WARPS[self.warp][0], 0.5 if self.integer else 0
        return warp(self.low - margin), warp(self.high + margin)

    def _unwarped(self, u):
        start, end = self._ends()
        return _WARPS[self.warp][1](start + u * (end - start))

    def _index(self, value):
        for same in (lambda choice: same_value(choice, value), lambda choice: _equal(choice, value)):
            for i, choice in enumerate(self.choices):
                if same(choice):
                    return i
        raise ValueError(f"the value must be one of the choices {list(self.choices)!r}, got {value!r}.")


def same_value(a, b):
    """Whether two choices are the same: equal, and of one type, as True and 1 are not."""
    return a is b or (type(a) is type(b) and _equal(a, b))


def _equal(a, b):
    return np.array_equal(a, b) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else bool(a == b)


def _categories(choices):
    """What Optuna takes for the choices: a list of plain and different values."""
    if all(choice is None or type(choice) in (bool, int, float, str) for choice in choices):
        if len(set(choices)) == len(choices):  # it takes True and 1 for the same
            return list(choices)
    texts = [repr(choice) for choice in choices]
    if len(set(texts)) < len(texts) or any(" at 0x" in text for text in texts):
        return list(range(len(choices)))
    return texts
