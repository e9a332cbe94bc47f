"""Schedules that follow the run, or the user."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnfast.schedules.checks import is_positive, is_real, is_whole, share_over
from nnfast.schedules.schedule import Schedule


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
        self._check("factor", "above 0 and below 1", is_positive(self.factor, 1) and self.factor < 1)
        self._check("patience", "an integer, 0 or more", is_whole(self.patience))
        self._check("threshold", "from 0 to 1", is_real(self.threshold, 0, 1))
        self._check("cooldown", "an integer, 0 or more", is_whole(self.cooldown))

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
        progress = share_over(e, length)
        factors = np.array([self.function(p) for p in progress.tolist()], dtype=float)
        bad = ~(np.isfinite(factors) & (factors >= 0))
        if bad.any():
            raise ValueError(
                "The function given as learning_rate must return a factor that is finite and not negative, "
                f"got {factors[bad][0]} at progress {progress[bad][0]}."
            )
        return run.learning_rate_init * factors
