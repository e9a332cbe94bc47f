"""What the tests of the engine share: a network with all that a session needs, child processes, and the count
of threads.
"""

import gc
import os
import signal
import warnings

import numpy as np
import reference
import scipy.sparse

from nnfast.engines import cython as engine
from nnfast.losses import loss_of
from nnfast.network import Network
from nnfast.optimizers import Adam
from nnfast.regularization import Regularization


def targets(loss, shape, rng, dtype):
    """Such as the loss is defined for, as a session takes them."""
    kind = loss_of(loss).out_activation
    if kind == "softmax":
        return rng.integers(0, shape[1], shape[0])
    if kind == "logistic":
        return rng.integers(0, 2, shape).astype(dtype)
    drawn = {"poisson": rng.poisson(1.5, shape), "gamma": rng.gamma(2.0, size=shape) + 0.01}.get(loss)
    return (rng.normal(size=shape) if drawn is None else drawn).astype(dtype)


class Problem:
    """A network with its table, targets, weights and parameters, all drawn from one seed. kind: of the table,
    "dense", "sparse" (so much that its first layer goes over non-zeros) or "csr"; the rest of the arguments
    are the network's.
    """

    def __init__(
        self,
        units=(12, 9, 3),
        n_samples=50,
        *,
        activation="relu",
        loss="log_loss",
        kind="dense",
        weighted=False,
        dtype=np.float64,
        **network,
    ):
        rng = np.random.default_rng(0)
        self.network, self.dtype = Network(units, activation, loss, **network), dtype
        self.X = rng.normal(size=(n_samples, units[0])).astype(dtype)
        if kind == "sparse":
            self.X *= rng.uniform(size=self.X.shape) < 0.05
        self.table = self.X if kind == "dense" else scipy.sparse.csr_array(self.X)
        self.y = targets(loss, (n_samples, units[-1]), rng, dtype)
        self.weight = rng.uniform(0, 2, n_samples) if weighted else None
        self.rows = np.arange(n_samples, dtype=np.intp)

    def parameters(self):
        rng = np.random.default_rng(1)
        parameters = self.network.initialize(np.random.RandomState(1), self.dtype)
        for arrays, low in (
            (parameters.scales, 0.5),
            (parameters.shifts, -1),
            (parameters.means, -1),
            (parameters.variances, 0.5),
        ):
            for array in arrays:
                array[...] = rng.uniform(low, 2, len(array))
        if self.network.normalization == "batch":  # which takes them away
            for array in parameters.intercepts[:-1]:
                array[...] = 0
        return parameters

    def session(
        self,
        table=None,
        *,
        batch_size=None,
        optimizer=Adam(),
        regularization=Regularization(alpha=0.01),
        seed=7,
        n_threads=1,
        dtype=None,
        load=True,
        bfloat16=False,
        **others,
    ):
        session = engine.Session(
            self.network,
            self.table if table is None else table,
            self.y,
            self.weight,
            dtype=dtype or self.dtype,
            batch_size=batch_size or len(self.rows),
            optimizer=optimizer,
            regularization=regularization,
            seed=seed,
            n_threads=n_threads,
            bfloat16=bfloat16,
            **others,
        )
        if load:
            session.load(self.parameters())
        return session

    def predicting(self, table=None, **arguments):
        session = engine.Session(
            self.network,
            self.table if table is None else table,
            dtype=self.dtype,
            batch_size=len(self.rows),
            **arguments,
        )
        session.load(self.parameters())
        return session

    def stored(self, session):
        """All arrays of the session's parameters."""
        parameters = self.network.blank(self.dtype)
        session.store(parameters)
        return parameters.arrays()

    def reference(self, regularization=Regularization(alpha=0.01), seed=7, make=reference.Network):
        """The network in NumPy and float64, from the same parameters, with X and y for it."""
        p, network = self.parameters().map(lambda array: array.astype(np.float64)), self.network
        slow = make(
            p.coefs,
            p.intercepts,
            network.activations,
            network.loss,
            network.loss_parameters,
            normalization=network.normalization,
            eps=network.norm_eps,
            momentum=network.norm_momentum,
            scales=p.scales,
            shifts=p.shifts,
            means=p.means,
            variances=p.variances,
            seed=seed,
            **vars(regularization),
        )
        return (
            slow,
            self.X.astype(np.float64),
            self.y if self.y.dtype.kind == "i" else self.y.astype(np.float64),
        )


def arrays_of(network):
    """All arrays of a network of reference.py, in the order of Parameters.arrays()."""
    return [*network.learned(), *network.means, *network.variances]


def same(ours, theirs):
    """Whether two lists of arrays are equal, bit by bit but for the sign of zero."""
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def n_tasks():
    """Threads of this process, those that Python does not know of included; 0 where the system does
    not tell.
    """
    gc.collect()
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0


def in_child(function, seconds=30):
    """Call `function` in a forked child; the child's wait status: 0 if it returned something true in time."""
    with warnings.catch_warnings():
        # Python warns of forking while NumPy's BLAS has threads
        warnings.simplefilter("ignore", DeprecationWarning)
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
