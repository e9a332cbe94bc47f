"""The sides of a comparison: a library with a precision, threads and settings, each in a fresh process of its own."""

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import version_of

ROOT = Path(__file__).parents[1]
PACKAGES = {"nnfast": "nnfast", "scikit-learn": "scikit-learn", "PyTorch": "torch", "torch.compile": "torch", "JAX": "jax"}


class Failed(RuntimeError):
    """What was asked of a side's process raised; the message is its traceback."""


@dataclass(frozen=True)
class Side:
    """A library as it is set up; `group` is what its times are compared as, the best of a group's settings."""

    name: str
    library: str
    dtype: str
    threads: int
    environment: dict = field(default_factory=dict, hash=False)

    @property
    def group(self):
        return f"{self.library} {self.dtype}" if self.library in ("nnfast", "scikit-learn") else self.library


def sides(n_threads, best_kernel):
    """All sides that train, nnfast's first.

    Each of the peers is tried with one thread, too: for small networks that is faster. `best_kernel` is OpenBLAS's for this CPU, or None
    where it is what OpenBLAS chooses.
    """
    found = [Side(f"nnfast {dtype}", "nnfast", dtype, n_threads) for dtype in ("float32", "float64")]
    kernels = {"": {}} | ({f", {best_kernel}": {"OPENBLAS_CORETYPE": best_kernel}} if best_kernel else {})
    for dtype in ("float64", "float32"):
        found += [Side(f"scikit-learn {dtype}{words}", "scikit-learn", dtype, n_threads, kernel) for words, kernel in kernels.items()]
    for library in ("PyTorch", "torch.compile", "JAX"):
        found += [Side(f"{library}, {threads} threads"[: None if threads > 1 else -1], library, "float32", threads) for threads in sorted({1, n_threads})]
    return found


class Process:
    """The process of one side, started when it is made: `call(module, function, **arguments)`."""

    def __init__(self, side):
        if version_of(PACKAGES[side.library]) is None:
            raise ModuleNotFoundError(f"{PACKAGES[side.library]} is not installed")
        self.side = side
        threads = str(side.threads)
        environment = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **side.environment}
        command = [sys.executable, "-m", "bench.worker"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.call("bench.worker", "use_cpus", n_threads=side.threads)

    def call(self, module, function, **arguments):
        """What the function returns in the side's process. Raises Failed."""
        pickle.dump((module, function, arguments), self._process.stdin)
        self._process.stdin.flush()
        try:
            succeeded, answer = pickle.load(self._process.stdout)
        except EOFError:
            raise Failed(f"the process of {self.side.name} ended with status {self._process.wait()}") from None
        if not succeeded:
            raise Failed(answer)
        return answer

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
