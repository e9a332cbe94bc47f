"""scikit-learn's three schedules, with its arithmetic."""

from dataclasses import dataclass
from typing import ClassVar

from nnfast.schedules.checks import is_real
from nnfast.schedules.schedule import Schedule


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
        self._check("power_t", "a number", is_real(self.power_t))

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
    _outlasts_stalls: ClassVar[bool] = True
    _assumption: ClassVar[str] = "if it stalls every 11 epochs"

    def _memory(self, learning_rate_init):
        return {"rate": learning_rate_init}

    def _after_stall(self, run):
        rate = run.memory["rate"]
        if rate * run.scale <= 1e-6 or rate <= self.floor:
            return False, "Learning rate too small. Stopping."
        run.memory["rate"] = rate = max(rate / 5.0, self.floor)
        return True, f"Setting learning rate to {rate * run.scale:f}"
