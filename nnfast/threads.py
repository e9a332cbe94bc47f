"""How many threads a call gets: what the process may use, what the work deserves, what other calls already
use.
"""

import os
import threading
from contextlib import contextmanager
from numbers import Integral

# Work that makes a thread worth waking up twice a step: about ten microseconds of arithmetic on one core.
FLOPS_A_THREAD = 1_500_000
# More than any chunk of rows has work for.
MOST_THREADS = 256

_lock = threading.Lock()
_thread = threading.local()  # its `share`: the threads that calls made in this thread may use, or None
_calls = 0  # that have reserved threads and not released them yet


def n_threads_available():
    """The most threads a call may use.

    `NNFAST_NUM_THREADS`, else `OMP_NUM_THREADS`, else `n_cores_available()`.

    A joblib worker process has `OMP_NUM_THREADS` set to its share, so `GridSearchCV(n_jobs=...)` does not
    oversubscribe.
    """
    for variable in ("NNFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        # OpenMP allows a list, one for each level of nesting
        value = os.environ.get(variable, "").split(",")[0].strip()
        if value:
            if not (value.isascii() and value.isdigit()) or int(value) < 1:
                raise ValueError(
                    f"the environment variable {variable} must be a positive integer, got {value!r}"
                )
            return int(value)
    return n_cores_available()


def n_cores_available():
    """The CPUs that affinity, cgroup limits and `LOKY_MAX_CPU_COUNT` leave to this process."""
    from joblib import cpu_count

    return cpu_count()


@contextmanager
def at_most(n_threads):
    """For calls made in this thread meanwhile, `n_threads` are what is available, whatever other calls run
    beside them.
    """
    before = getattr(_thread, "share", None)
    _thread.share = n_threads
    try:
        yield
    finally:
        _thread.share = before


def reserve_threads(n_threads, rows, n_parameters, flops_a_thread=FLOPS_A_THREAD):
    """Threads for a call that works on `rows` rows at a time in a network of `n_parameters`;
    release_threads() ends it.

    Parameters
    ----------
    n_threads : int or None
        The user's wish. None: as many as the work deserves, of this call's share of those available: calls
        that run at the same time in other threads (``GridSearchCV`` with joblib's threading backend, a
        server's ``predict``) have theirs, or what `at_most` says.
    flops_a_thread : int
        Work of a step that deserves a thread.
    """
    global _calls
    if n_threads is not None and (not isinstance(n_threads, Integral) or n_threads < 1):
        raise ValueError(f"n_threads must be None or a positive integer, got {n_threads!r}")
    deserved, share = 6 * rows * n_parameters // flops_a_thread, getattr(_thread, "share", None)
    available = n_threads_available() if share is None and n_threads is None and deserved > 1 else 1
    with _lock:
        _calls += 1
        share = max(1, min(deserved, available // _calls if share is None else share))
    return min(share if n_threads is None else int(n_threads), MOST_THREADS)


def release_threads():
    """The end of a call that reserve_threads() began."""
    global _calls
    with _lock:
        _calls = max(0, _calls - 1)  # a forked child closes what it inherited, too


def _start_anew():
    """In a forked child, where the other calls' threads do not exist."""
    global _calls, _lock
    _calls, _lock = 0, threading.Lock()


os.register_at_fork(after_in_child=_start_anew)
