"""Learning-rate schedules: the rate of every step.

A schedule is a record of hyperparameters; `start` makes the `ScheduleRun` of one fit, which knows how far the
fit is. The formulas below use

    r  learning_rate_init
    e  epochs since the end of the warmup, with fractions: e = 2.5 is half way through the third
    p  the share of the run since the end of the warmup, from 0 to 1; it stays 1 after max_iter epochs

The warmup climbs linearly: its i-th step of n (from 1) has i/n of the rate that the schedule starts at. After
it no rate is below `floor`.
"""

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from numbers import Integral, Real
from typing import ClassVar

import numpy as np

from nnfast import plotting
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

# Where a time is reckoned in epochs, the step that ends a cycle can come out a rounding error before its end.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, repr=False)
class Schedule:
    """What all schedules have: a warmup and a floor.

    Parameters
    ----------
    warmup : int or float, default=0
        Length of the warmup, which starts low and climbs to the schedule's first rate. The schedule proper,
        with all that it counts in epochs, starts when the warmup ends.
    warmup_unit : {"steps", "epochs", "fraction"}, default="steps"
        What `warmup` counts: updates, epochs, or the share of max_iter epochs. The last two are rounded to
        steps.
    floor : float, default=0.0
        The lowest rate after the warmup, itself a learning rate, at most learning_rate_init.
    """

    warmup: float = 0
    warmup_unit: str = "steps"
    floor: float = 0.0

    name: ClassVar[str]
    plans_end: ClassVar[bool] = False  # whether it is where it wants to be after max_iter epochs
    reacts: ClassVar[bool] = False  # whether rates depend on what is monitored
    _assumption: ClassVar[str] = ""  # what `plot` supposes of a run that decides its own rates

    def __post_init__(self):
        units = ("steps", "epochs", "fraction")
        self._check("warmup_unit", '"steps", "epochs" or "fraction"', self.warmup_unit in units)
        if self.warmup_unit == "steps":
            self._check(
                "warmup", "a whole number of steps, 0 or more", _real(self.warmup, 0) and self.warmup % 1 == 0
            )
        elif self.warmup_unit == "epochs":
            self._check("warmup", "a number of epochs, 0 or more", _real(self.warmup, 0))
        else:
            self._check("warmup", 'from 0 to 1 with warmup_unit="fraction"', _real(self.warmup, 0, 1))
        self._check("floor", "a learning rate, 0 or more", _real(self.floor, 0))

    def __repr__(self):
        own_first = sorted(fields(self), key=lambda field: field.kw_only)
        values = ((field.name, getattr(self, field.name), field.default) for field in own_first)
        changed = (
            f"{name}={value!r}" for name, value, default in values if default is MISSING or value != default
        )
        return f"{type(self).__name__}({', '.join(changed)})"

    def start(self, learning_rate_init, steps_per_epoch, max_epochs, state=None):
        """The run of one fit, from the beginning or from an earlier run's state.

        Parameters
        ----------
        learning_rate_init : float
            The highest rate of the schedules that fall or cycle. Where it is another one than that of
            `state`, the run goes on as if it had been this one from the beginning, and what
            `ScheduleRun.learning_rate` was set to is over.
        steps_per_epoch : int
            Updates in an epoch of this fit; it may be another number in the fit that `state` comes from.
        max_epochs : int
            Length of the whole run, counted from where it began without a state.
        state : dict, optional
            `ScheduleRun.state`.

        Returns
        -------
        ScheduleRun
        """
        self._check(
            "floor", f"at most learning_rate_init={learning_rate_init}", self.floor <= learning_rate_init
        )
        return ScheduleRun(self, float(learning_rate_init), steps_per_epoch, max_epochs, state or {})

    def plot(self, learning_rate_init=0.001, *, max_epochs=200, steps_per_epoch=10, ax=None):
        """Draw the rate of every step.

        Where the run decides the rates ("invscaling", "adaptive", "plateau"), the title says what is supposed
        of it.

        Parameters
        ----------
        learning_rate_init : float, default=0.001
        max_epochs, steps_per_epoch : int, default=200 and 10
        ax : matplotlib axes, optional
            Made where there are none.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        run, rates = self.start(learning_rate_init, steps_per_epoch, max_epochs), []
        for epoch in range(1, max_epochs + 1):
            rates.append(run.rates())
            run.after_epoch(epoch * steps_per_epoch * _PLOT_ROWS, metric=1.0)
            if isinstance(self, Adaptive) and epoch % _PLOT_STALL == 0 and not run.after_stall()[0]:
                break
        ax = plotting.axes(ax)
        rates = np.concatenate(rates)
        ax.plot(np.arange(len(rates)) / steps_per_epoch, rates)
        ax.set(
            xlabel="epoch",
            ylabel="learning rate",
            title=self.name + (self._assumption and f", {self._assumption}"),
        )
        return ax

    def _check(self, parameter, accepted, ok):
        if not ok:
            raise ValueError(
                f"{parameter} of {type(self).__name__} must be {accepted}, got {getattr(self, parameter)!r}."
            )

    # What the kinds differ in. `run` is the ScheduleRun, and its `memory` the plain numbers that the schedule
    # keeps there.

    def _memory(self, learning_rate_init):
        return {}

    def _comparison(self):
        """The part of the memory that metrics are compared with, as it begins."""
        return {}

    def _rates(self, run, e, length):
        """The rates at the times e, an array in epochs; the run ends at e = length. Not yet floored."""
        return np.full(e.shape, run.memory.get("rate", run.learning_rate_init))

    def _after_epoch(self, run, n_samples_seen, metric):
        pass

    def _after_stall(self, run):
        return False, "Stopping."


class ScheduleRun:
    """The rates of one fit: see `Schedule.start`.

    Attributes
    ----------
    learning_rate : float
        The rate of the next step. Setting it scales this and all later rates of the run, the floor among
        them.
    """

    def __init__(self, schedule, learning_rate_init, steps_per_epoch, max_epochs, state):
        self.schedule, self.learning_rate_init = schedule, learning_rate_init
        self.steps_per_epoch, self.max_epochs = steps_per_epoch, max_epochs
        steps = {"steps": 1, "epochs": steps_per_epoch, "fraction": max_epochs * steps_per_epoch}
        self.n_warmup = state.get("n_warmup", round(schedule.warmup * steps[schedule.warmup_unit]))
        self.n_steps, self.n_epochs = state.get("n_steps", 0), state.get("n_epochs", 0)
        self.e, self.scale = state.get("e", 0.0), state.get("scale", 1.0)
        self.memory = schedule._memory(learning_rate_init)
        if state.get("schedule") == schedule.name:
            self.memory.update((key, state[key]) for key in self.memory)
        before = state.get("learning_rate_init", learning_rate_init)
        if before != learning_rate_init:
            self.scale = 1.0
            if "rate" in self.memory:
                self.memory["rate"] = max(self.memory["rate"] * learning_rate_init / before, schedule.floor)
        self._fractions = np.arange(steps_per_epoch) / steps_per_epoch

    @property
    def state(self):
        """What `Schedule.start` needs to go on from here: a dict of numbers and the schedule's name."""
        return {
            "schedule": self.schedule.name,
            "n_warmup": self.n_warmup,
            "n_steps": self.n_steps,
            "n_epochs": self.n_epochs,
            "e": self.e,
            "scale": self.scale,
            "learning_rate_init": self.learning_rate_init,
            **self.memory,
        }

    @property
    def learning_rate(self):
        return float(self._next(1)[0])

    @learning_rate.setter
    def learning_rate(self, value):
        if not (_real(value) and value > 0):
            raise ValueError(f"learning_rate must be a positive number, got {value!r}.")
        self.scale, before = 1.0, self.scale
        scheduled = self.learning_rate
        if scheduled == 0:
            self.scale = before
            raise ValueError(
                f"learning_rate={value!r} cannot be set where {self.schedule!r} has come down to 0. Give it a"
                " floor."
            )
        self.scale = float(value) / scheduled

    def rates(self):
        """The rates of the next epoch's steps: float64 (steps_per_epoch,). Asking changes nothing."""
        return self._next(self.steps_per_epoch)

    def rates_ahead(self, n_epochs, n_samples_seen, n_samples):
        """What `rates` will be for the next epochs, of a schedule that does not react: float64 (n_epochs,
        steps_per_epoch).

        Parameters
        ----------
        n_epochs : int
        n_samples_seen : int
            Rows trained on so far.
        n_samples : int
            Rows of an epoch.
        """
        ahead, rates = copy(self), []
        ahead.memory = dict(self.memory)
        for _ in range(n_epochs):
            rates.append(ahead.rates())
            n_samples_seen += n_samples
            ahead.after_epoch(n_samples_seen)
        return np.array(rates)

    def after_epoch(self, n_samples_seen, metric=None):
        """To be called when an epoch is over.

        Parameters
        ----------
        n_samples_seen : int
            Rows trained on so far, over all fits.
        metric : float, optional
            What is monitored, the lower the better: a loss, or minus a score. "plateau" needs it.
        """
        self.e = self._start() + 1
        self.n_steps += self.steps_per_epoch
        self.n_epochs += 1
        self.schedule._after_epoch(self, n_samples_seen, metric)

    def after_stall(self):
        """Whether to go on after n_iter_no_change epochs without progress, and what to say: (bool, str)."""
        return self.schedule._after_stall(self)

    def measure_anew(self):
        """To be called where the metric is not what it was: what later ones were to be compared with is
        forgotten.
        """
        self.memory.update(self.schedule._comparison())

    @property
    def warming_up(self):
        """Whether the steps so far were all of the warmup."""
        return 0 < self.n_steps <= self.n_warmup

    def _start(self):
        """The time of the next step: epochs since the end of the warmup, negative before it."""
        # A warmup is a count of steps, and an epoch may have another number of them than the last one had.
        left = self.n_warmup - self.n_steps
        return self.e if left <= 0 else -left / self.steps_per_epoch

    def _next(self, n):
        start = self._start()
        length = self.max_epochs - self.n_epochs + start
        n_low = min(max(self.n_warmup - self.n_steps, 0), n)
        if n_low == 0:
            rates = self._floored(start + self._fractions[:n], length)
        else:
            rates = np.arange(self.n_steps + 1, self.n_steps + n + 1) / self.n_warmup
            # A warmup may be longer than the run, of which nothing is left then for the schedule proper.
            rates[:n_low] *= self._floored(np.zeros(1), length if length > 0 else self.max_epochs)
            if n_low < n:
                rates[n_low:] = self._floored(start + self._fractions[n_low:n], length)
        return rates if self.scale == 1 else rates * self.scale

    def _floored(self, e, length):
        rates = self.schedule._rates(self, e, length)
        return np.maximum(rates, self.schedule.floor) if self.schedule.floor else rates


# ------------------------------------------------------------------------------------------------------------
# scikit-learn's three, with its arithmetic


@dataclass(frozen=True, repr=False)
class Constant(Schedule):
    """The same rate throughout: r.

    The rule for Adam on tables of moderate size, and the baseline for anything else.
    """

    name: ClassVar[str] = "constant"


@dataclass(frozen=True, repr=False)
class InvScaling(Schedule):
    """A power of the rows seen, renewed after every epoch: r / (n + 1)^power_t, n rows since the warmup.

    It falls by a factor of hundreds in the first epoch of a large table: it is for a large
    learning_rate_init, and for the guarantees of convex problems. Where the warmup ends within an epoch, n
    counts that epoch's rows.

    Parameters
    ----------
    power_t : float, default=0.5

    References
    ----------
    Robbins and Monro, A Stochastic Approximation Method, 1951; scikit-learn's learning_rate="invscaling".
    """

    power_t: float = 0.5

    name: ClassVar[str] = "invscaling"
    _assumption: ClassVar[str] = "if a step has 200 rows"

    def __post_init__(self):
        super().__post_init__()
        self._check("power_t", "a number", _real(self.power_t))

    def _memory(self, learning_rate_init):
        return {"rate": learning_rate_init, "n_samples_warmup": 0}

    def _after_epoch(self, run, n_samples_seen, metric):
        if run.warming_up:
            run.memory["n_samples_warmup"] = n_samples_seen
        else:
            n = n_samples_seen - run.memory["n_samples_warmup"]
            try:  # an integer to a huge one would take forever
                run.memory["rate"] = run.learning_rate_init / (n + 1) ** min(self.power_t, 1024)
            except OverflowError:
                run.memory["rate"] = 0.0


@dataclass(frozen=True, repr=False)
class Adaptive(Schedule):
    """A fifth of the rate at every stall; the fit stops when a stall finds it at 1e-6, or at the floor.

    For SGD when nobody knows how long the fit should be: it goes on until lower rates no longer help. A stall
    is n_iter_no_change epochs without progress of at least tol.

    References
    ----------
    scikit-learn's learning_rate="adaptive".
    """

    name: ClassVar[str] = "adaptive"
    _assumption: ClassVar[str] = "if it stalls every 11 epochs"

    def _memory(self, learning_rate_init):
        return {"rate": learning_rate_init}

    def _after_stall(self, run):
        rate = run.memory["rate"]
        if rate * run.scale <= 1e-6 or rate <= self.floor:
            return False, "Learning rate too small. Stopping."
        run.memory["rate"] = rate = max(rate / 5.0, self.floor)
        return True, f"Setting learning rate to {rate * run.scale:f}"


# ------------------------------------------------------------------------------------------------------------
# Those that fall


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
        self._check("factor", "a positive number", _positive(self.factor))
        self._check("every", "a positive number of epochs", _positive(self.every))
        if self.at is not None:
            at = tuple(self.at) if isinstance(self.at, Sequence | np.ndarray) else ()
            ok = len(at) > 0 and all(map(_positive, at)) and all(a < b for a, b in pairwise(at))
            self._check("at", "None or increasing positive numbers of epochs", ok)
            object.__setattr__(self, "at", at)  # a list would not hash

    def _rates(self, run, e, length):
        if self.at is None:
            drops = np.floor(e / self.every + _ROUNDING)
        else:
            drops = np.searchsorted(self.at, e + _ROUNDING, side="right").astype(float)
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
        self._check("factor", "a positive number", _positive(self.factor))

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
        self._check("power", "a positive number", _positive(self.power))

    def _rates(self, run, e, length):
        return self.floor + (run.learning_rate_init - self.floor) * (1 - _progress(e, length)) ** self.power


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
        return self.floor + (run.learning_rate_init - self.floor) * (1 - _progress(e, length))


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
        return _cosine(run.learning_rate_init, self.floor, _progress(e, length))


# ------------------------------------------------------------------------------------------------------------
# Those that rise and fall


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
        self._check("cycle", "a positive number of epochs", _positive(self.cycle))
        self._check("multiplier", "a number, 1 or more", _real(self.multiplier, 1))

    def _rates(self, run, e, length):
        cycles, m = e / self.cycle, self.multiplier
        if m == 1:
            q = cycles - np.floor(cycles + _ROUNDING)
        else:  # the k-th cycle starts at 1 + m + ... + m^(k-1) = (m^k - 1) / (m - 1) first cycles
            power = float(m) ** np.floor(np.log1p((m - 1) * cycles) / math.log(m) + _ROUNDING)
            q = (cycles - (power - 1) / (m - 1)) / power
        return _cosine(run.learning_rate_init, self.floor, np.maximum(q, 0.0))


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
            "rise", "a share of the run, 0 or more and below 1", _real(self.rise, 0, 1) and self.rise < 1
        )
        self._check("start_factor", "a positive number, at most 1", _positive(self.start_factor, 1))
        self._check("end_factor", "from 0 to 1", _real(self.end_factor, 0, 1))

    def _rates(self, run, e, length):
        top = run.learning_rate_init
        start = max(top * self.start_factor, self.floor)
        end = max(start * self.end_factor, self.floor)
        step = 1 / run.steps_per_epoch
        peak = max(self.rise * length - step, 0.0)
        side = np.interp(e, (0.0, peak, max(length - step, peak)), (-1.0, 0.0, 1.0))  # of the peak
        return _cosine(top, np.where(side < 0, start, end), side)


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
        self._check("cycle", "a positive number of epochs", _positive(self.cycle))
        modes = ("triangular", "triangular2", "exponential")
        self._check("mode", '"triangular", "triangular2" or "exponential"', self.mode in modes)
        self._check("factor", "a positive number, at most 1", _positive(self.factor, 1))
        self._check("start_factor", "from 0 to 1", _real(self.start_factor, 0, 1))
        ok = self.warmup == 0 or self.start_factor > 0 or self.floor > 0
        self._check("warmup", "0 where start_factor and floor are 0, and so is the first rate", ok)

    def _rates(self, run, e, length):
        low = max(self.start_factor * run.learning_rate_init, self.floor)
        cycles = e / self.cycle
        k = np.floor(cycles + _ROUNDING)
        rise = (run.learning_rate_init - low) * np.maximum(1 - np.abs(2 * (cycles - k) - 1), 0.0)
        if self.mode == "triangular2":
            rise *= 0.5**k
        elif self.mode == "exponential":
            rise *= self.factor**e
        return low + rise


# ------------------------------------------------------------------------------------------------------------
# Those that follow the run, or the user


@dataclass(frozen=True, repr=False)
class Plateau(Schedule):
    """A drop when what is monitored has stopped improving: the rate times factor after patience + 1 bad
    epochs.

    An epoch is bad where the metric is not below best - threshold |best|. For fits of unknown length. A stall
    of n_iter_no_change epochs still stops the fit, so patience has to be shorter: the default leaves five
    epochs at the lower rate to scikit-learn's default of ten. Epochs of the warmup are never bad.

    Parameters
    ----------
    factor : float, default=0.1
    patience : int, default=5
        Bad epochs that are put up with.
    threshold : float, default=1e-4
        The improvement that counts, relative to the best.
    cooldown : int, default=0
        Epochs after a drop that are not counted as bad.

    References
    ----------
    torch's ReduceLROnPlateau, whose relative threshold takes a negative metric for better than itself; this
    does not.
    """

    factor: float = 0.1
    patience: int = 5
    threshold: float = 1e-4
    cooldown: int = 0

    name: ClassVar[str] = "plateau"
    reacts: ClassVar[bool] = True
    _assumption: ClassVar[str] = "if only the first epoch improves"

    def __post_init__(self):
        super().__post_init__()
        self._check("factor", "above 0 and below 1", _positive(self.factor, 1) and self.factor < 1)
        self._check("patience", "an integer, 0 or more", _whole(self.patience))
        self._check("threshold", "from 0 to 1", _real(self.threshold, 0, 1))
        self._check("cooldown", "an integer, 0 or more", _whole(self.cooldown))

    def _memory(self, learning_rate_init):
        return {"rate": learning_rate_init, **self._comparison()}

    def _comparison(self):
        return {"best": math.inf, "n_bad": 0, "n_cooldown": 0}

    def _after_epoch(self, run, n_samples_seen, metric):
        if metric is None:
            raise ValueError('learning_rate="plateau" needs the metric of every epoch, got None.')
        memory, metric = run.memory, float(metric)
        best = memory["best"]
        if not best < math.inf or metric < best - self.threshold * abs(best):
            memory["best"], memory["n_bad"] = min(best, metric), 0  # never NaN
        else:
            memory["n_bad"] += 1
        if memory["n_cooldown"] > 0:
            memory["n_cooldown"] -= 1
            memory["n_bad"] = 0
        if run.warming_up:
            memory["n_bad"] = 0
        if memory["n_bad"] > self.patience:
            memory["rate"] = max(memory["rate"] * self.factor, self.floor)
            memory["n_bad"], memory["n_cooldown"] = 0, self.cooldown


@dataclass(frozen=True, repr=False)
class Custom(Schedule):
    """A function of the run's progress: r function(p). A function given as learning_rate becomes this.

    Parameters
    ----------
    function : callable
        Takes p, a float from 0 to 1, once a step, and returns a factor, finite and not negative. An estimator
        with a lambda does not pickle; one with a function of a module does.
    """

    function: Callable[[float], float]

    name: ClassVar[str] = "custom"
    plans_end: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        ok = callable(self.function) and not isinstance(self.function, type)
        self._check("function", "a function of the progress, f(progress) -> factor", ok)

    def _rates(self, run, e, length):
        progress = _progress(e, length)
        factors = np.array([self.function(p) for p in progress.tolist()], dtype=float)
        bad = ~(np.isfinite(factors) & (factors >= 0))
        if bad.any():
            raise ValueError(
                "The function given as learning_rate must return a factor that is finite and not negative, "
                f"got {factors[bad][0]} at progress {progress[bad][0]}."
            )
        return run.learning_rate_init * factors


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
    elif _real(learning_rate):
        hint = " The rate itself is learning_rate_init."
    accepted = ", ".join(map(repr, SCHEDULES))
    raise ValueError(
        f"learning_rate must be one of {accepted}, a schedule of nnfast.schedules, or a function "
        f"f(progress) -> factor, got {learning_rate!r}.{hint}"
    )


# ------------------------------------------------------------------------------------------------------------

# What `plot` supposes, as the schedules' _assumption says: scikit-learn's default batch and its patience of
# ten epochs
_PLOT_ROWS = 200
_PLOT_STALL = 11


def _progress(e, length):
    """The share of `length` that is over at the times e >= 0, at most 1."""
    return np.minimum(e / length, 1.0) if length > 0 else np.ones_like(e)


def _cosine(start, end, q):
    return end + (start - end) * ((1 + np.cos(np.pi * q)) / 2)


def _real(value, low=-math.inf, high=math.inf):
    return (
        isinstance(value, Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )


def _whole(value):
    return isinstance(value, Integral) and _real(value, 0)


def _positive(value, high=math.inf):
    return _real(value, 0, high) and value > 0


def __dir__():
    return __all__
