"""What the tests of the engine share: a network with all that a session needs, child processes, and the count of threads."""

import gc
import os
import signal
import warnings

import numpy as np
import scipy.sparse

from nnfast.engines import cython as engine
from nnfast.network import Network
from nnfast.optimizers import Adam


class Problem:
    """A network with its table, targets, weights and parameters, all drawn from one seed."""

    def __init__(self, units=(12, 9, 3), n_samples=50, *, activation="relu", loss="log_loss", kind="dense", weighted=False, dtype=np.float64):
        rng = np.random.RandomState(0)
        self.network, self.dtype = Network(units, activation, loss), dtype
        n_outputs = units[-1]
        self.X = rng.normal(size=(n_samples, units[0])).astype(dtype)
        if kind == "sparse":
            self.X *= rng.uniform(size=self.X.shape) < 0.05
        self.table = self.X if kind == "dense" else scipy.sparse.csr_array(self.X)
        self.y = {
            "log_loss": rng.randint(0, n_outputs, n_samples),
            "binary_log_loss": rng.randint(0, 2, (n_samples, n_outputs)).astype(dtype),
            "squared_error": rng.normal(size=(n_samples, n_outputs)).astype(dtype),
            "poisson": rng.poisson(1.5, (n_samples, n_outputs)).astype(dtype),
        }[loss]
        self.weight = rng.uniform(0, 2, n_samples) if weighted else None
        self.rows = np.arange(n_samples, dtype=np.intp)

    def parameters(self):
        coefs, intercepts = self.network.initialize(np.random.RandomState(1), self.dtype)
        return coefs, intercepts

    def session(self, table=None, *, batch_size=None, optimizer=Adam(), alpha=0.01, n_threads=1, dtype=None, load=True):
        session = engine.Session(
            self.network, self.table if table is None else table, self.y, self.weight, dtype=dtype or self.dtype,
            batch_size=batch_size or len(self.rows), optimizer=optimizer, alpha=alpha, n_threads=n_threads,
        )
        if load:
            session.load(*self.parameters())
        return session

    def predicting(self, table=None, **arguments):
        session = engine.Session(self.network, self.table if table is None else table, dtype=self.dtype, batch_size=len(self.rows), **arguments)
        session.load(*self.parameters())
        return session

    def stored(self, session):
        coefs, intercepts = ([np.empty_like(array) for array in arrays] for arrays in self.parameters())
        session.store(coefs, intercepts)
        return coefs + intercepts


def n_tasks():
    """Threads of this process, those that Python does not know of included; 0 where the system does not tell."""
    gc.collect()
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0


def in_child(function, seconds=30):
    """Call `function` in a forked child; the child's wait status: 0 if it returned something true in time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forking while NumPy's BLAS has threads
        child = os.fork()
    if not child:
        code = 2
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            code = 0 if function() else 3
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]
