"""Scales: what a hyperparameter is drawn from, and how evenly.

A learning rate matters by its order of magnitude, a momentum by the window 1 / (1 - momentum) that it
averages over, a number of layers by itself: each scale spreads its draws evenly over what matters. A scale is
a plain value; it works

- in scikit-learn's `RandomizedSearchCV` and `ParameterSampler` as it is, by `rvs`,
- in `GridSearchCV` and `ParameterGrid` by `grid(n)`,
- in Optuna by `suggest(trial, name)`,
- in the searches of `nnfast.tuning`, which see its axes.

>>> from sklearn.model_selection import ParameterGrid, ParameterSampler
>>> from nnfast.tuning import log_uniform, one_minus_log_uniform
>>> log_uniform(0.0001, 0.1).grid(4)
[0.0001, 0.001, 0.01, 0.1]
>>> one_minus_log_uniform(0.9, 0.999).grid(3)
[0.9, 0.99, 0.999]
>>> len(ParameterSampler({"momentum": one_minus_log_uniform(0.9, 0.999)}, 5, random_state=0))
5
"""

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from nnfast.suggestions import did_you_mean
from nnfast.tuning.axes import Axis, same_value

SHAPES = ("constant", "wider_first", "pyramid")

# What a single argument of `choice` holds its values in.
_HOLDERS = (list, tuple, range, np.ndarray)


class Scale(ABC):
    """What all scales do; `uniform` and its like, `choice` and `layers` make them."""

    @abstractmethod
    def axes(self, name):
        """The axes of a parameter of that name: dict axis name -> Axis, one of them called `name` for most
        scales.
        """

    @abstractmethod
    def split(self, name, value):
        """The value on each axis: dict axis name -> value."""

    @abstractmethod
    def join(self, name, values):
        """The value of the parameter, from a value on each axis: the inverse of `split`."""

    @abstractmethod
    def replace(self, name, axes):
        """The scale with other axes, dict axis name -> Axis; those not named stay."""

    def rvs(self, size=None, random_state=None):
        """Draw values, uniformly in the unit coordinates of the axes.

        Parameters
        ----------
        size : int or tuple of int, optional
            Shape of the array to draw.
        random_state : int, RandomState, Generator or None, default=None
            An int gives the same draws every time.

        Returns
        -------
        value : object or ndarray of shape `size`
            Without a size, a plain float, int, tuple or choice.
        """
        random = (
            random_state
            if isinstance(random_state, np.random.Generator)
            else check_random_state(random_state)
        )
        shape = () if size is None else (size,) if isinstance(size, Integral) else tuple(size)
        axes = self.axes("")
        units = random.random((*shape, len(axes))).reshape(-1, len(axes)).tolist()
        values = [
            self.join(
                "", {name: axis.from_unit(u) for (name, axis), u in zip(axes.items(), row, strict=True)}
            )
            for row in units
        ]
        if size is None:
            return values[0]
        array = np.empty(len(values), dtype=object)
        array[:] = values
        types = set(map(type, values))
        return (array.astype(types.pop()) if types in ({float}, {int}, {bool}) else array).reshape(shape)

    def grid(self, n):
        """n values for a grid, evenly spaced on the scale with both ends among them; the middle for n=1.

        Integers that come twice are left out; all choices are in the grid, whatever n is; `layers` has n
        depths times n widths.

        Returns
        -------
        list
        """
        axes = self.axes("")
        grids = (axis.grid(n) for axis in axes.values())
        return [self.join("", dict(zip(axes, values, strict=True))) for values in itertools.product(*grids)]

    def suggest(self, trial, name):
        """The value that a trial of Optuna suggests for the parameter `name`.

        The trial's parameters are the axes; that of `one_minus_log_uniform` is called "1 - name".
        """
        return self.join(name, {each: axis.suggest(trial, each) for each, axis in self.axes(name).items()})

    def __sklearn_clone__(self):
        return self  # it does not change


@dataclass(frozen=True, repr=False)
class Single(Scale):
    """A scale of one axis."""

    axis: Axis

    def axes(self, name):
        return {name: self.axis}

    def split(self, name, value):
        return {name: value}

    def join(self, name, values):
        return values[name]

    def replace(self, name, axes):
        return Single(axes.get(name, self.axis))

    def __repr__(self):
        axis = self.axis
        if axis.warp == "choice" or axis.low == axis.high:
            values = axis.choices or (axis.low,)
            held = len(values) == 1 and isinstance(values[0], _HOLDERS)
            return f"choice({list(values)!r})" if held else f"choice({', '.join(map(repr, values))})"
        return f"{_NAMES[axis.warp, axis.integer]}({axis.low!r}, {axis.high!r})"


_NAMES = {
    ("linear", False): "uniform",
    ("log", False): "log_uniform",
    ("linear", True): "int_uniform",
    ("log", True): "int_log_uniform",
    ("one_minus_log", False): "one_minus_log_uniform",
}


@dataclass(frozen=True, repr=False)
class Layers(Scale):
    """The scale that `layers` makes."""

    depth: Axis
    width: Axis
    shape: str
    narrowest: int

    def axes(self, name):
        return {f"{name}.depth": self.depth, f"{name}.width": self.width}

    def split(self, name, value):
        sizes = tuple(value) if np.iterable(value) else (value,)
        if sizes:
            width = sizes[0] // 2 if self.shape == "wider_first" else sizes[0]
            values = {f"{name}.depth": len(sizes), f"{name}.width": width}
            if self.join(name, values) == sizes:
                return values
        raise ValueError(
            f"{name} must be hidden layers of the shape {self.shape!r} as of {self!r}, got {value!r}."
        )

    def join(self, name, values):
        depth, width = values[f"{name}.depth"], values[f"{name}.width"]
        if self.shape == "pyramid":
            return tuple(max(width >> i, min(width, self.narrowest)) for i in range(depth))
        return (2 * width if self.shape == "wider_first" else width,) + (width,) * (depth - 1)

    def replace(self, name, axes):
        return replace(
            self, depth=axes.get(f"{name}.depth", self.depth), width=axes.get(f"{name}.width", self.width)
        )

    def __repr__(self):
        depth, width = _size_repr(self.depth, "linear"), _size_repr(self.width, "log")
        other = self.shape == "pyramid" and self.narrowest != _lowest(self.width)
        narrowest = f", narrowest={self.narrowest}" if other else ""
        return f"layers(depth={depth}, width={width}, shape={self.shape!r}{narrowest})"


# ------------------------------------------------------------------------------------------------------------
# What users call


def uniform(low, high):
    """A number, as likely in one part of the range as in another.

    For what matters by its size: a rate of dropout, a fraction.

    Parameters
    ----------
    low, high : float
        The ends, low < high.

    Returns
    -------
    Scale

    Examples
    --------
    >>> uniform(0.1, 0.5)
    uniform(0.1, 0.5)
    >>> uniform(0.0, 0.5).grid(3)
    [0.0, 0.25, 0.5]
    """
    return Single(Axis(*_ends("uniform", low, high)))


def log_uniform(low, high):
    """A number whose logarithm is uniform: every order of magnitude is as likely as another.

    For what matters by its order of magnitude: learning rates, penalties. Drawn uniformly from 0.0001 to 1,
    nine tenths of all rates would lie above 0.1; here a quarter does.

    Parameters
    ----------
    low, high : float
        The ends, 0 < low < high.

    Returns
    -------
    Scale

    Examples
    --------
    >>> log_uniform(0.0001, 1).grid(5)
    [0.0001, 0.001, 0.01, 0.1, 1.0]
    """
    return Single(Axis(*_ends("log_uniform", low, high, "a positive number", above=0), "log"))


def int_uniform(low, high):
    """An integer, each as likely as another.

    For counts of a narrow range, such as layers.

    Parameters
    ----------
    low, high : int
        The ends, both included, low < high.

    Returns
    -------
    Scale

    Examples
    --------
    >>> int_uniform(1, 5).grid(3)
    [1, 3, 5]
    """
    return Single(Axis(*_ends("int_uniform", low, high, "an integer", integer=True), "linear", integer=True))


def int_log_uniform(low, high):
    """An integer whose order of magnitude is uniform.

    For counts of a wide range, units or rows of a batch: as many are drawn from 32 to 64 as from 256 to 512.
    The integer k stands for all numbers from k - 0.5 to k + 0.5, so that both ends have their share.

    Parameters
    ----------
    low, high : int
        The ends, both included, 1 <= low < high.

    Returns
    -------
    Scale

    Examples
    --------
    >>> int_log_uniform(32, 512).grid(5)
    [32, 64, 128, 256, 512]
    """
    ends = _ends("int_log_uniform", low, high, "an integer, 1 or more", above=0, integer=True)
    return Single(Axis(*ends, "log", integer=True))


def one_minus_log_uniform(low, high):
    """A number b for which log(1 - b) is uniform, and so is the order of magnitude of the window 1 / (1 - b).

    For momentum and the betas, means over about 1 / (1 - b) steps: from 0.9 to 0.9005 nothing changes, ten
    steps stay ten; from 0.999 to 0.9995, a thousand steps become two thousand.

    Parameters
    ----------
    low, high : float
        The ends, low < high < 1.

    Returns
    -------
    Scale

    Examples
    --------
    >>> one_minus_log_uniform(0.9, 0.999).grid(3)
    [0.9, 0.99, 0.999]
    """
    ends = _ends("one_minus_log_uniform", low, high, "a number below 1", below=1)
    return Single(Axis(*ends, "one_minus_log"))


def choice(*values):
    """One of several values of any kind, each as likely as another.

    Parameters
    ----------
    *values : objects, or one list of them
        Different values. A single list, tuple, range or array is what holds them: ``choice([(64, 64)])`` has
        one choice, a tuple. Numbers of NumPy become Python's.

    Returns
    -------
    Scale

    Examples
    --------
    >>> choice("relu", "gelu")
    choice('relu', 'gelu')
    >>> choice([32, 64, 128]).grid(2)
    [32, 64, 128]
    """
    if len(values) == 1 and isinstance(values[0], _HOLDERS):
        values = tuple(values[0])
    if not values:
        raise ValueError("choice must have one or more values, got none.")
    values = tuple(value.item() if isinstance(value, np.generic) else value for value in values)
    for i, value in enumerate(values):
        if any(same_value(value, earlier) for earlier in values[:i]):
            raise ValueError(f"The values of choice must differ, got {value!r} twice.")
    return Single(Axis(warp="choice", choices=values))


def layers(depth=(1, 6), width=(64, 512), shape="constant", *, narrowest=None):
    """Hidden layers, a tuple for `hidden_layer_sizes`: their number and their width are drawn.

    Parameters
    ----------
    depth : int, pair of int or scale, default=(1, 6)
        Hidden layers: a number, the ends of an `int_uniform`, or a scale of integers.
    width : int, pair of int or scale, default=(64, 512)
        Units of a layer: a number, the ends of an `int_log_uniform`, or a scale of integers.
    shape : {"constant", "wider_first", "pyramid"}, default="constant"
        "constant" gives all layers `width` units: one number in place of several, and the one to start with.
        "wider_first" gives the first twice as many as the others, which have `width`. "pyramid" begins with
        `width`, and every further layer has half of the one before.
    narrowest : int, optional
        The fewest units of a layer of a "pyramid", unless it begins with fewer. Default: the lowest width.

    Returns
    -------
    Scale
        Its axes are ``name.depth`` and ``name.width``, where `name` is the parameter's.

    Examples
    --------
    >>> layers(depth=3, width=(64, 256)).grid(3)
    [(64, 64, 64), (128, 128, 128), (256, 256, 256)]
    >>> layers(depth=3, width=(64, 256), shape="wider_first").grid(1)
    [(256, 128, 128)]
    >>> layers(depth=4, width=(64, 256), shape="pyramid").grid(2)
    [(64, 64, 64, 64), (256, 128, 64, 64)]
    """
    if shape not in SHAPES:
        accepted = ", ".join(map(repr, SHAPES))
        raise ValueError(
            f"shape of layers must be one of {accepted}, got {shape!r}.{did_you_mean(shape, SHAPES)}"
        )
    depth, width = _size_axis("depth", depth, int_uniform), _size_axis("width", width, int_log_uniform)
    if narrowest is None:
        narrowest = _lowest(width)
    elif not _is_size(narrowest):
        raise ValueError(f"narrowest of layers must be an integer, 1 or more, got {narrowest!r}.")
    return Layers(depth, width, shape, int(narrowest))


# ------------------------------------------------------------------------------------------------------------
# Checks


def _ends(scale, low, high, accepted="a number", *, above=-math.inf, below=math.inf, integer=False):
    """low and high as Python's own numbers."""
    for parameter, value in (("low", low), ("high", high)):
        ok = isinstance(value, Integral if integer else Real) and not isinstance(value, (bool, np.bool_))
        if not (ok and math.isfinite(value) and above < value < below):
            raise ValueError(f"{parameter} of {scale} must be {accepted}, got {value!r}.")
    if not low < high:
        raise ValueError(
            f"low of {scale} must be below high={high!r}, got {low!r}. For one value, use choice([value])."
        )
    return (int(low), int(high)) if integer else (float(low), float(high))


def _is_size(value):
    return isinstance(value, Integral) and not isinstance(value, (bool, np.bool_)) and value >= 1


def _size_axis(parameter, value, scale):
    """The axis that `depth` or `width` of `layers` means."""
    if _is_size(value):
        value = Single(replace(scale(1, 2).axis, low=int(value), high=int(value)))
    elif isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_size, value)):
        value = scale(*value)
    if isinstance(value, Single):
        axis = value.axis
        if all(map(_is_size, axis.choices)) if axis.warp == "choice" else axis.integer and axis.low >= 1:
            return axis
    raise ValueError(
        f"{parameter} of layers must be an integer, 1 or more, a pair (low, high) of them, or a scale of "
        f"them such as int_uniform(1, 4) or choice(1, 2, 4), got {value!r}."
    )


def _size_repr(axis, warp):
    if axis.warp != "choice" and axis.low == axis.high:
        return repr(axis.low)
    return repr((axis.low, axis.high) if axis.warp == warp else Single(axis))


def _lowest(axis):
    return min(axis.choices) if axis.warp == "choice" else axis.low
