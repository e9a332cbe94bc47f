"""Schedules that rise and fall."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnfast.schedules.checks import ROUNDING, half_cosine, is_positive, is_real
from nnfast.schedules.schedule import Schedule


@dataclass(frozen=True, repr=False)
class CosineRestarts(Schedule):
    """Cosines one after another, each from r to the floor: floor + (r - floor) (1 + cos(pi q)) / 2, q through
    a cycle.

    For snapshots at the ends of cycles, and where "cosine" settles in a poor minimum. The loss rises at a
    restart: n_iter_no_change should be longer than a cycle.

    Parameters
    ----------
    cycle : float, default=10
        Epochs of the first cycle.
    multiplier : float, default=1
        How many times as long as the last the next cycle is; 1 or more, 2 in the paper's best runs.

    References
    ----------
    Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2016, arXiv:1608.03983;
    torch's CosineAnnealingWarmRestarts.
    """

    cycle: float = 10
    multiplier: float = 1

    name: ClassVar[str] = "cosine_restarts"

    def __post_init__(self):
        super().__post_init__()
        self._check("cycle", "a positive number of epochs", is_positive(self.cycle))
        self._check("multiplier", "a number, 1 or more", is_real(self.multiplier, 1))

    def _rates(self, run, e, length):
        cycles, m = e / self.cycle, self.multiplier
        if m == 1:
            q = cycles - np.floor(cycles + ROUNDING)
        else:  # the k-th cycle starts at 1 + m + ... + m^(k-1) = (m^k - 1) / (m - 1) first cycles
            power = float(m) ** np.floor(np.log1p((m - 1) * cycles) / math.log(m) + ROUNDING)
            q = (cycles - (power - 1) / (m - 1)) / power
        return half_cosine(run.learning_rate_init, self.floor, np.maximum(q, 0.0))


@dataclass(frozen=True, repr=False)
class OneCycle(Schedule):
    """One rise to r and one long fall, both along half a cosine, over the whole run.

        start = start_factor r  ->  r                   over the first `rise` of the run
        r  ->  end = end_factor start                   over the rest; neither is below the floor

    For short fits with a large learning_rate_init, several times what "constant" bears. As in torch the last
    step of the run has the end's rate; momentum is left as it is.

    Parameters
    ----------
    rise : float, default=0.3
        The share of the run that rises, below 1.
    start_factor : float, default=0.04
        The first rate as a share of r.
    end_factor : float, default=1e-4
        The last rate as a share of the first.

    References
    ----------
    Smith and Topin, Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates,
    2017, arXiv:1708.07120; torch's OneCycleLR.
    """

    rise: float = 0.3
    start_factor: float = 0.04
    end_factor: float = 1e-4

    name: ClassVar[str] = "one_cycle"
    plans_end: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        self._check(
            "rise", "a share of the run, 0 or more and below 1", is_real(self.rise, 0, 1) and self.rise < 1
        )
        self._check("start_factor", "a positive number, at most 1", is_positive(self.start_factor, 1))
        self._check("end_factor", "from 0 to 1", is_real(self.end_factor, 0, 1))

    def _rates(self, run, e, length):
        top = run.learning_rate_init
        start = max(top * self.start_factor, self.floor)
        end = max(start * self.end_factor, self.floor)
        step = 1 / run.steps_per_epoch
        peak = max(self.rise * length - step, 0.0)
        side = np.interp(e, (0.0, peak, max(length - step, peak)), (-1.0, 0.0, 1.0))  # of the peak
        return half_cosine(top, np.where(side < 0, start, end), side)


@dataclass(frozen=True, repr=False)
class Cyclic(Schedule):
    """Smith's triangles: up from a low rate to r and down again, in every cycle.

        low + (r - low) (1 - |2 q - 1|) height,   low = max(start_factor r, floor)

    with q from 0 to 1 through a cycle.

    For finding good fits without tuning the rate finely: r may be near the largest that trains at all. Stop
    where a cycle ends; n_iter_no_change should be longer than a cycle.

    Parameters
    ----------
    cycle : float, default=8
        Epochs up and down again. Smith: 4 to 20.
    mode : {"triangular", "triangular2", "exponential"}, default="triangular"
        height is 1; halved after every cycle; or factor^e.
    factor : float, default=0.95
        Of "exponential": what is left of the height after an epoch.
    start_factor : float, default=0.25
        The low rate as a share of r. Smith: 1/4 or 1/3. With 0 the low rate is the floor.

    References
    ----------
    Smith, Cyclical Learning Rates for Training Neural Networks, 2017, arXiv:1506.01186; torch's CyclicLR.
    """

    cycle: float = 8
    mode: str = "triangular"
    factor: float = 0.95
    start_factor: float = 0.25

    name: ClassVar[str] = "cyclic"

    def __post_init__(self):
        super().__post_init__()
        self._check("cycle", "a positive number of epochs", is_positive(self.cycle))
        modes = ("triangular", "triangular2", "exponential")
        self._check("mode", '"triangular", "triangular2" or "exponential"', self.mode in modes)
        self._check("factor", "a positive number, at most 1", is_positive(self.factor, 1))
        self._check("start_factor", "from 0 to 1", is_real(self.start_factor, 0, 1))
        ok = self.warmup == 0 or self.start_factor > 0 or self.floor > 0
        self._check("warmup", "0 where start_factor and floor are 0, and so is the first rate", ok)

    def _rates(self, run, e, length):
        low = max(self.start_factor * run.learning_rate_init, self.floor)
        cycles = e / self.cycle
        k = np.floor(cycles + ROUNDING)
        rise = (run.learning_rate_init - low) * np.maximum(1 - np.abs(2 * (cycles - k) - 1), 0.0)
        if self.mode == "triangular2":
            rise *= 0.5**k
        elif self.mode == "exponential":
            rise *= self.factor**e
        return low + rise
