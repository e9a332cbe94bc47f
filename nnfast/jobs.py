"""Many fits at once, on threads of one process: nothing is copied to them, and the kernels run without the
GIL.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from joblib import effective_n_jobs
from sklearn import config_context, get_config
from threadpoolctl import threadpool_limits

from nnfast.threads import at_most, n_threads_available


class Limits:
    """When to stop: once the time is over, or the user interrupts. Asked by all jobs.

    Parameters
    ----------
    seconds : float or None
        From now on.
    """

    def __init__(self, seconds=None):
        self.start = time.monotonic()
        self._deadline = None if seconds is None else self.start + seconds
        self._interrupted = threading.Event()

    @property
    def timed(self):
        """Whether there is a time that can be over."""
        return self._deadline is not None

    @property
    def interrupted(self):
        return self._interrupted.is_set()

    @property
    def over(self):
        """Whether to stop."""
        return self.interrupted or (self._deadline is not None and time.monotonic() >= self._deadline)

    @property
    def elapsed(self):
        """Seconds since the beginning."""
        return time.monotonic() - self.start

    def interrupt(self):
        """Have all jobs stop."""
        self._interrupted.set()


def n_jobs_of(n_jobs):
    """How many jobs run at once: None is for as many as there are threads for, else as joblib counts."""
    return n_threads_available() if n_jobs is None else effective_n_jobs(n_jobs)


class Jobs:
    """Runs jobs, each with its share of the threads that there are: one, where there are as many jobs.

    Parameters
    ----------
    n_jobs : int
    limits : Limits
        Once it is over, no further job begins; those that run have to ask it themselves. Ctrl-C interrupts
        it.

    Attributes
    ----------
    busy : bool
        Whether threads may be running jobs: still so after a second Ctrl-C, which is raised at once.
    """

    def __init__(self, n_jobs, limits):
        self._n_jobs, self._limits, self.busy = n_jobs, limits, False

    def run(self, function, items, done):
        """Call ``function(item)`` for all items, and ``done(item)`` here for each that came to its end.

        What a function raises stops the others, and is raised.
        """
        items = list(items)
        n_at_once = min(self._n_jobs, len(items))
        if n_at_once <= 1:
            self._run_here(function, items, done)
            return
        share = max(1, n_threads_available() // n_at_once)
        settings = get_config()  # scikit-learn's, which are the thread's own

        def job(item):
            if self._limits.over:
                return False
            with at_most(share), config_context(**settings):
                function(item)
            return True

        # BLAS's threads, which the other steps of a pipeline may use, would be as many again for every job.
        with threadpool_limits(share):
            pool, wait, self.busy = ThreadPoolExecutor(n_at_once, thread_name_prefix="nnfast"), True, True
            try:
                self._collect({pool.submit(job, item): item for item in items}, done)
            except KeyboardInterrupt:
                wait = False  # the user would not even wait for the epochs that run
                raise
            finally:
                pool.shutdown(wait=wait, cancel_futures=True)
                self.busy = not wait

    def _collect(self, futures, done):
        """Call ``done(item)`` as the jobs end: `futures` is a dict of future -> item."""
        waiting = set(futures)
        while waiting:
            try:
                for future in as_completed(waiting):
                    waiting.discard(future)
                    if future.result():
                        done(futures[future])
            except KeyboardInterrupt:
                if self._limits.interrupted:
                    raise
                self._limits.interrupt()
            except BaseException:
                self._limits.interrupt()
                raise

    def _run_here(self, function, items, done):
        for item in items:
            if self._limits.over:
                return
            try:
                function(item)
                done(item)
            except KeyboardInterrupt:
                self._limits.interrupt()
