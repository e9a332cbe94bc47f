"""The sides of a comparison: a library with a precision, threads and settings, each in a fresh process of its
own.
"""

import os
import pickle
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "nnfast": "nnfast",
    "nnfast compiled": "nnfast",
    "scikit-learn": "scikit-learn",
    "PyTorch": "torch",
    "torch.compile": "torch",
    "JAX": "jax",
    "skorch": "skorch",
    "LightGBM": "lightgbm",
    "XGBoost": "xgboost",
}
MULTILAYER = ("nnfast", "scikit-learn")  # which have estimators of either precision


class Failed(RuntimeError):
    """What was asked of a side's process raised; the message is its traceback."""


@dataclass(frozen=True)
class Side:
    """A framework, or any other library, as it is set up. `threads` None leaves them to the library, as users
    do.
    """

    name: str
    framework: str
    dtype: str
    threads: int | None = None
    environment: dict = field(default_factory=dict, hash=False)

    @property
    def group(self):
        """What its times are compared as: those of the fastest setting in a group. With settings that few
        users know it is another library.
        """
        names = (
            (f"{self.framework} {self.dtype}", *self.environment.values())
            if self.framework in MULTILAYER
            else (self.framework,)
        )
        return ", ".join(names)


def training_sides(n_threads):
    """All sides that train, nnfast's first.

    The other frameworks are tried with one thread, too, which is faster for small networks, and scikit-learn
    with OpenBLAS's best kernel, where that is not what OpenBLAS chooses: apart from scikit-learn as users run
    it.
    """
    found = usual_sides(n_threads)
    if (kernel := better_kernel()) is not None:
        found += [
            Side(
                f"{side.name}, {kernel}", side.framework, side.dtype, n_threads, {"OPENBLAS_CORETYPE": kernel}
            )
            for side in found
            if side.framework == "scikit-learn"
        ]
    return found + [
        Side(f"torch.compile, {_threads(count)}", "torch.compile", "float32", count)
        for count in sorted({1, n_threads})
    ]


def usual_sides(n_threads):
    """Those that train fastest, or as most users do."""
    found = [
        Side(f"{library} {dtype}", library, dtype, n_threads)
        for library in MULTILAYER
        for dtype in ("float32", "float64")
    ]
    return found + [
        Side(f"{library}, {_threads(count)}", library, "float32", count)
        for library in ("PyTorch", "JAX")
        for count in sorted({1, n_threads})
    ]


def _threads(count):
    return f"{count} thread{'s' * (count > 1)}"


def better_kernel():
    """OpenBLAS's kernel for this CPU's vectors, if NumPy's OpenBLAS has chosen one for shorter ones; else
    None.
    """
    from nnfast.engines import cython as engine

    chosen = {pool.get("architecture") for pool in machine.blas()} - {None}
    narrow = {"Haswell", "Zen", "Sandybridge", "Nehalem", "Prescott"}
    return "SkylakeX" if engine.instruction_sets()[-1] == "avx512" and chosen & narrow else None


class Process:
    """The process of one side, started when it is made: `call(module, function, **arguments)`."""

    def __init__(self, side):
        if machine.version_of(PACKAGES[side.framework]) is None:
            raise ModuleNotFoundError(f"{PACKAGES[side.framework]} is not installed")
        self.side = side
        environment = dict(side.environment)
        if side.threads is not None:
            environment |= dict.fromkeys(
                ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(side.threads)
            )
        command = [sys.executable, "-m", "bench.worker"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if side.threads is not None:
            self.call("bench.worker", "use_cpus", n_threads=side.threads)

    def call(self, module, function, /, **arguments):
        """What the function returns in the side's process. Raises Failed."""
        try:
            pickle.dump((module, function, arguments), self._process.stdin)
            self._process.stdin.flush()
            succeeded, answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            raise Failed(
                f"the process of {self.side.name} ended with status {self._process.wait()}"
            ) from None
        if not succeeded:
            raise Failed(answer)
        return answer

    def close(self):
        """End the process."""
        with suppress(BrokenPipeError):  # of a process that has ended before
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
