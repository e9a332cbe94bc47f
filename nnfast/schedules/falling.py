"""Schedules that fall."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from nnfast.schedules.checks import ROUNDING, half_cosine, is_positive, share_over
from nnfast.schedules.schedule import Schedule


@dataclass(frozen=True, repr=False)
class Step(Schedule):
    """A drop every so many epochs: r factor^floor(e / every), or r factor^(how many of `at` are past).

    For fits whose length is known from experience: train at a high rate until the loss levels off, then drop.

    Parameters
    ----------
    factor : float, default=0.1
    every : float, default=30
        Epochs between drops.
    at : sequence of increasing floats, optional
        The epochs to drop at, in place of `every`.

    References
    ----------
    torch's StepLR and MultiStepLR; He et al., Deep Residual Learning for Image Recognition, 2015,
    arXiv:1512.03385.
    """

    factor: float = 0.1
    every: float = 30
    at: Sequence[float] | None = None

    name: ClassVar[str] = "step"

    def __post_init__(self):
        super().__post_init__()
        self._check("factor", "a positive number", is_positive(self.factor))
        self._check("every", "a positive number of epochs", is_positive(self.every))
        if self.at is not None:
            at = tuple(self.at) if isinstance(self.at, Sequence | np.ndarray) else ()
            ok = len(at) > 0 and all(map(is_positive, at)) and all(a < b for a, b in pairwise(at))
            self._check("at", "None or increasing positive numbers of epochs", ok)
            object.__setattr__(self, "at", at)  # a list would not hash

    def _rates(self, run, e, length):
        if self.at is None:
            drops = np.floor(e / self.every + ROUNDING)
        else:
            drops = np.searchsorted(self.at, e + ROUNDING, side="right").astype(float)
        return run.learning_rate_init * self.factor**drops


@dataclass(frozen=True, repr=False)
class Exponential(Schedule):
    """The same share of the rate lost in every epoch, smoothly by step: r factor^e.

    For fits of unknown length that should calm down steadily. A factor above 1 climbs: a range test, which
    shows the rate from which the loss grows.

    Parameters
    ----------
    factor : float, default=0.95
        What is left of the rate after an epoch.

    References
    ----------
    torch's ExponentialLR, with a step in place of its epoch.
    """

    factor: float = 0.95

    name: ClassVar[str] = "exponential"

    def __post_init__(self):
        super().__post_init__()
        self._check("factor", "a positive number", is_positive(self.factor))

    def _rates(self, run, e, length):
        return run.learning_rate_init * self.factor**e


@dataclass(frozen=True, repr=False)
class Polynomial(Schedule):
    """From r down to the floor by a power of what is left of the run: floor + (r - floor) (1 - p)^power.

    For fits of known length. A power above 1 falls early and ends flat, one below 1 stays high and falls
    late.

    Parameters
    ----------
    power : float, default=1.0
        With 1, "linear".

    References
    ----------
    torch's PolynomialLR; Chen et al., DeepLab, 2016, arXiv:1606.00915 (power 0.9).
    """

    power: float = 1.0

    name: ClassVar[str] = "polynomial"
    plans_end: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        self._check("power", "a positive number", is_positive(self.power))

    def _rates(self, run, e, length):
        return self.floor + (run.learning_rate_init - self.floor) * (1 - share_over(e, length)) ** self.power


@dataclass(frozen=True, repr=False)
class Linear(Schedule):
    """From r straight down to the floor: floor + (r - floor) (1 - p).

    For fits of known length, with a warmup the usual choice for fine-tuning.

    References
    ----------
    Defazio et al., Optimal Linear Decay Learning Rate Schedules and Further Refinements, 2023,
    arXiv:2310.07831.
    """

    name: ClassVar[str] = "linear"
    plans_end: ClassVar[bool] = True

    def _rates(self, run, e, length):
        return self.floor + (run.learning_rate_init - self.floor) * (1 - share_over(e, length))


@dataclass(frozen=True, repr=False)
class Cosine(Schedule):
    """From r down to the floor along half a cosine: floor + (r - floor) (1 + cos(pi p)) / 2.

    The first to try for fits of known length: high for long, and flat at the end, where the fit settles. Set
    max_iter to the epochs meant, and n_iter_no_change so high that the fit is not stopped while the rate is
    high.

    References
    ----------
    Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2016, arXiv:1608.03983;
    torch's CosineAnnealingLR.
    """

    name: ClassVar[str] = "cosine"
    plans_end: ClassVar[bool] = True

    def _rates(self, run, e, length):
        return half_cosine(run.learning_rate_init, self.floor, share_over(e, length))
