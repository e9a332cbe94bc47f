"""What figures were measured on: the processor, versions, BLAS kernels; and who else was using it at the
time.
"""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib", "skorch", "lightgbm", "xgboost")


def facts(n_threads):
    """A dict of names and values, the same for all libraries of a run."""
    from nnfast import __version__
    from nnfast.engines import cython as engine

    return {
        "cpu": cpu(),
        "cpus": n_cpus(),
        "threads": n_threads,
        "instruction set": engine.instruction_set(),
        "platform": platform.platform(),
        "versions": {
            "nnfast": __version__,
            "python": platform.python_version(),
            **{name: version_of(name) for name in PACKAGES},
        },
        "date": time.strftime("%Y-%m-%d"),
    }


def version_of(package):
    """The installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu():
    """The processor's name."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def n_cpus():
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def blas():
    """The thread pools of this process: library, version, kernel ("architecture") and threads of each."""
    from threadpoolctl import threadpool_info

    names = ("internal_api", "version", "architecture", "num_threads")
    return [{name: pool[name] for name in names if pool.get(name)} for pool in threadpool_info()]


class Company:
    """The share of all CPUs that others took within a `with` block: other processes, and other tenants of the
    host. 0 where nobody can tell.
    """

    share = 0.0

    def __enter__(self):
        self._busy, self._own, self._start = _busy_seconds(), time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_):
        own, passed = time.process_time() - self._own, time.perf_counter() - self._start
        if self._busy is not None:
            self.share = max(0.0, (_busy_seconds() - self._busy - own) / (passed * os.cpu_count()))


def _busy_seconds():
    """CPU seconds that anybody has used since the machine started; None where there is no /proc/stat."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, stat.read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
