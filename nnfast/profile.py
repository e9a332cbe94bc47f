"""Where a fit's time went: by phase, and how far from the machine's peak."""

import os
import sys
import warnings
from dataclasses import asdict, dataclass
from functools import wraps
from time import perf_counter

from nnfast import engines
from nnfast.threads import n_cores_available

__all__ = ["Phase", "Profile"]

_VARIABLE = "NNFAST_PROFILE"
# Of some milliseconds each; the best counts, since what disturbs a peak lowers it.
_PEAK_TRIALS = 4


@dataclass(frozen=True)
class Phase:
    """Time and arithmetic of one phase of a fit.

    Attributes
    ----------
    name : str
    seconds : float
        In the mean over the threads, so that the phases add up to the fit's time on the clock.
    share : float
        Of the fit's time, from 0 to 1.
    operations : int
        Floating-point multiplications and additions of the matrix products; activations, updates and all else
        are not counted. 0 in phases without products.
    gflops : float or None
        Operations / seconds / 10^9, by all threads; None without operations.
    percent_of_peak : float or None
        100 * `gflops` / the peak of the cores that the threads which worked on it can have. None without
        operations, and where the peak could not be measured.
    """

    name: str
    seconds: float
    share: float
    operations: int
    gflops: float | None
    percent_of_peak: float | None


@dataclass(frozen=True)
class Profile:
    """Where the time of a fit went.

    Attributes
    ----------
    seconds : float
        From the beginning of `fit` or `partial_fit` to its end.
    n_threads : int
        Threads of the fit.
    dtype : {"float32", "float64"}
        The arithmetic.
    instruction_set : str
        What it ran on.
    peak_gflops : float or None
        What the cores that the threads can have, one each as long as there are as many, reach together in
        multiply-adds that touch no memory, measured after the fit. None, with a warning, if that failed.
    phases : tuple of Phase
        All of them, in the order of a step; their shares add up to 1.
    layers : tuple of Phase
        Those of the phases' parts that belong to a layer: "forward 1" is the first layer's.
    """

    seconds: float
    n_threads: int
    dtype: str
    instruction_set: str
    peak_gflops: float | None
    phases: tuple[Phase, ...]
    layers: tuple[Phase, ...]

    def __getitem__(self, name):
        """The phase of that name, or the layer's part of one."""
        for phase in self.phases + self.layers:
            if phase.name == name:
                return phase
        raise KeyError(
            f"no phase {name!r}; there are {', '.join(phase.name for phase in self.phases + self.layers)}"
        )

    def to_dict(self):
        """Everything as dicts, lists, numbers and strings: `json.dumps` takes it, and `pandas.DataFrame` its
        "phases".
        """
        made = asdict(self)
        return made | {name: list(made[name]) for name in ("phases", "layers")}

    def __str__(self):
        threads = f"{self.n_threads} thread{'s' * (self.n_threads > 1)}"
        peak = "unknown" if self.peak_gflops is None else f"{self.peak_gflops:.0f} GFLOP/s"
        return "\n".join(
            (
                f"{self.seconds:.3f} s, {threads}, {self.dtype}, {self.instruction_set}: peak {peak}",
                f"{'phase':<22}{'seconds':>10}{'share %':>9}{'GFLOP/s':>9}{'% of peak':>11}",
                *map(_line, self.phases),
                "by layer",
                *map(_line, self.layers),
            )
        )


def _line(phase):
    line = f"{phase.name:<22}{phase.seconds:>10.4f}{100 * phase.share:>9.1f}"
    if phase.gflops is not None:
        line += f"{phase.gflops:>9.1f}"
    return line if phase.percent_of_peak is None else f"{line}{phase.percent_of_peak:>11.1f}"


def profiled(fit):
    """A decorator of a method that fits: where a profile is asked for, it is given `counts`, a list for the
    engine's sessions to append to, and the estimator `profile_`.
    """

    @wraps(fit)
    def profiling_fit(estimator, *args, **kwargs):
        prints = _environment_asks()
        if not (estimator.profile or prints):
            return fit(estimator, *args, **kwargs)
        counts, before, start = [], vars(estimator), perf_counter()

        def report():
            seconds = perf_counter() - start
            if counts:  # or it failed before there was anything to count
                profile = _profile(counts, seconds, engines.get_engine(estimator.engine))
                if vars(estimator) is not before:  # the fit has published
                    estimator.profile_ = profile
                if prints and sys.stderr is not None:
                    print(profile, file=sys.stderr)

        try:
            fitted = fit(estimator, *args, counts=counts, **kwargs)
        except BaseException as error:
            try:
                report()
            # such as a warning that is to be an error: what the fit raised comes first
            except Exception as another:
                error.add_note(f"Its profile failed: {another!r}")
            raise
        report()
        return fitted

    return profiling_fit


def _environment_asks():
    value = os.environ.get(_VARIABLE, "")
    if value not in ("", "0", "1"):
        raise ValueError(f"the environment variable {_VARIABLE} must be 0 or 1, got {value!r}")
    return value == "1"


def _profile(counts, seconds, engine):
    """What the sessions of a fit counted, and what is left of its seconds, as a Profile."""
    n_threads, dtype, cores = (
        max(each["n_threads"] for each in counts),
        counts[0]["dtype"],
        n_cores_available(),
    )
    peak = _peak_gflops(engine, dtype, min(n_threads, cores))

    def phase(name, layers=slice(None)):
        on_clock, on_cores, operations = 0.0, 0.0, 0
        for each in counts:
            spent = sum(each["seconds"][name][layers])
            # Nothing else runs while a session's arrays are packed: one thread's time is the fit's.
            on_clock += spent if name == "packing" else spent / each["n_threads"]
            on_cores += spent * min(1, cores / each["n_threads"])
            operations += sum(each["operations"].get(name, [])[layers])
        return made(name, on_clock, on_cores, operations)

    def made(name, on_clock, on_cores=0.0, operations=0):
        gflops = percent = None
        if operations:
            gflops = operations / on_clock / 1e9
            if peak is not None:
                percent = 100 * operations / on_cores / 1e9 / (peak / min(n_threads, cores))
        return Phase(name, on_clock, on_clock / seconds, operations, gflops, percent)

    phases = [phase(name) for name in counts[0]["seconds"]]
    # All that the engine has no part in: checks, shuffling, scores, callbacks, SciPy's L-BFGS.
    phases.append(made("Python", seconds - sum(each.seconds for each in phases)))
    layers = []
    for name in ("forward", "backward", "gradient and update", "normalization"):
        for i in range(len(counts[0]["seconds"][name])):
            part = phase(name, slice(i, i + 1))
            if part.seconds:
                layers.append(Phase(f"{name} {i + 1}", *list(vars(part).values())[1:]))
    return Profile(seconds, n_threads, dtype, engine.instruction_set(), peak, tuple(phases), tuple(layers))


def _peak_gflops(engine, dtype, n_cores):
    """What so many cores reach. None, with a warning, where that cannot be measured: no fit is to be lost for
    it.
    """
    try:
        return max(engine.peak_gflops(dtype, n_cores) for _ in range(_PEAK_TRIALS))
    except Exception as error:
        warnings.warn(
            f"profile=True could not measure the peak of {n_cores} cores: {error!r}.", RuntimeWarning
        )
        return None


def __dir__():
    return __all__
