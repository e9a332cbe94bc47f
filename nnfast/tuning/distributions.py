"""Frozen distributions of scipy.stats as scales."""

import math
from dataclasses import dataclass, replace
from typing import Any

from nnfast.tuning.axes import Axis
from nnfast.tuning.scales import Scale, Single, log_uniform, uniform

# How far into a tail without an end draws go.
_TAIL = 0.001


@dataclass(frozen=True, repr=False)
class Distribution(Scale):
    """A frozen distribution of SciPy as a scale; its axis is the quantile, a number from 0 to 1.

    Where the distribution has no end, what lies beyond its quantiles of 0.001 or 0.999 is left out.
    """

    distribution: Any
    axis: Axis

    def __repr__(self):
        args = [
            *map(repr, self.distribution.args),
            *(f"{name}={value!r}" for name, value in self.distribution.kwds.items()),
        ]
        ends = (
            () if (self.axis.low, self.axis.high) == _ends(self.distribution) else (f", axis={self.axis!r}",)
        )
        return f"Distribution({self.distribution.dist.name}({', '.join(args)}){''.join(ends)})"

    def axes(self, name):
        return {f"{name}.quantile": self.axis}

    def split(self, name, value):
        quantile = self.distribution.cdf(value)
        if hasattr(self.distribution, "pmf"):
            quantile -= self.distribution.pmf(value) / 2
        return {f"{name}.quantile": float(quantile)}

    def join(self, name, values):
        value = self.distribution.ppf(values[f"{name}.quantile"])
        return (
            int(max(value, self.distribution.support()[0]))
            if hasattr(self.distribution, "pmf")
            else float(value)
        )

    def replace(self, name, axes):
        return replace(self, axis=axes.get(f"{name}.quantile", self.axis))


def from_scipy(distribution):
    """The scale of a frozen distribution of SciPy: that of `uniform`, `loguniform` and `randint` is nnfast's
    own.
    """
    low, high = distribution.support()
    kind = distribution.dist.name
    if kind == "uniform":
        return uniform(low, high)
    if (
        kind in ("loguniform", "reciprocal")
        and low > 0
        and math.isclose(distribution.median(), math.sqrt(low * high))
    ):
        return log_uniform(low, high)
    if kind == "randint":
        return Single(Axis(int(low), int(high), "linear", integer=True))
    return Distribution(distribution, Axis(*_ends(distribution)))


def _ends(distribution):
    """The lowest and the highest quantile to draw."""
    low, high = distribution.support()
    return 0.0 if math.isfinite(low) else _TAIL, 1.0 if math.isfinite(high) else 1 - _TAIL


def is_distribution(value):
    """Whether it has what a frozen distribution of one number has."""
    return all(hasattr(value, each) for each in ("dist", "rvs", "cdf", "ppf", "support"))
