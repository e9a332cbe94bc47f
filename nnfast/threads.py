"""How many threads a call gets: what the process may use, what the work deserves, what other calls already use."""

import os
from numbers import Integral

# Work that makes a thread worth waking up twice a step: about ten microseconds of arithmetic on one core.
FLOPS_A_THREAD = 1_500_000


def n_threads_available():
    """The most threads a call may use: `NNFAST_NUM_THREADS`, else `OMP_NUM_THREADS`, else the CPUs that affinity, cgroup limits and
    `LOKY_MAX_CPU_COUNT` leave to this process.

    A joblib worker process has `OMP_NUM_THREADS` set to its share, so `GridSearchCV(n_jobs=...)` does not oversubscribe.
    """
    for variable in ("NNFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").split(",")[0].strip()  # OpenMP allows a list, one a nesting level
        if value:
            if not value.isdigit() or int(value) < 1:
                raise ValueError(f"the environment variable {variable} must be a positive integer, got {value!r}")
            return int(value)
    from joblib import cpu_count

    return cpu_count()


def choose_n_threads(n_threads, rows, n_parameters):
    """Threads for a network of `n_parameters` that works on `rows` rows at a time.

    Parameters
    ----------
    n_threads : int or None
        The user's wish; None: as many as the work deserves, of those available.
    """
    if n_threads is not None:
        if not isinstance(n_threads, Integral) or n_threads < 1:
            raise ValueError(f"n_threads must be None or a positive integer, got {n_threads!r}")
        return int(n_threads)
    worthwhile = 6 * rows * n_parameters // FLOPS_A_THREAD
    return 1 if worthwhile < 2 else min(worthwhile, n_threads_available())
