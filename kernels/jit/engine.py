"""The class Engine: one network, its memory, and the kernels that it is made of. What kernels/engine.pyx is
for the other engine.

Nothing is packed: parameters are one flat vector in the order of Parameters.learned, and a row-major matrix
product a layer is BLAS's.
"""

import os
from functools import cache
from threading import Lock
from time import perf_counter

import numpy as np
from nnfast.kernels.jit import clock as clocks
from nnfast.kernels.jit import network, normalization, run
from nnfast.kernels.jit.memory import blas
from nnfast.kernels.jit.tables import TableArrays, gatherer
from threadpoolctl import ThreadpoolController

from nnfast.optimizers import SCALARS

POLL_SECONDS = 0.1  # a signal's handler can run after so long
_NO_RATES = np.zeros((0, 0, 0))


class Engine:
    """One network over one table. Built in steps: the constructor says what there is, `use_...` give it a
    table and targets, `attach` memory.

    Parameters
    ----------
    dtype : dtype
        T, the arithmetic.
    layer_units : sequence of int
    activations : list of (kernel, parameter)
        Of the hidden layers; all kernels are those of `elementwise.py`.
    loss : record of nnfast.losses, or what presents the same
    loss_kernels : (of values, of slopes or None, of exp, of the output activation or None)
        Those of `of_records.py`.
    loss_parameters : sequence of float
    optimizer : record of nnfast.optimizers, or None
    update : kernel, or None
    normalization : {"batch", "layer"} or None
    norm_eps, norm_momentum : float
    n_threads : int
        Of BLAS.
    capacity, batch_size : int
        Rows of a chunk and of a batch.
    trains, times : bool
        Whether there are targets, and whether there will be phase_seconds().
    """

    def __init__(
        self,
        dtype,
        layer_units,
        activations,
        loss,
        loss_kernels,
        loss_parameters,
        optimizer,
        update,
        normalization,
        norm_eps,
        norm_momentum,
        n_threads,
        *,
        capacity,
        batch_size,
        trains,
        times,
    ):
        self._dtype, self._units, self._optimizer = np.dtype(dtype), list(layer_units), optimizer
        self._capacity, self._batch_size, self._trains, self._n_threads = (
            capacity,
            batch_size,
            trains,
            n_threads,
        )
        self._normalization, self._norm_eps, self._norm_momentum = normalization, norm_eps, norm_momentum
        self._activations, self._update_kernel = activations, update
        self._loss, self._loss_kernels, self._loss_parameters, self._gradient_scale = (
            loss,
            loss_kernels,
            loss_parameters,
            1.0,
        )
        self._kept = []
        self._dropout, self._limits, self._groups, self._penalized = ([], 0), {}, [], np.zeros(0)
        self._clock = np.zeros(
            clocks.SLOTS + len(clocks.PHASES) * (len(layer_units) - 1) if times else 0, np.int64
        )
        self._seconds_a_tick = 0.0
        self.n_moments = optimizer.n_moments if optimizer else 0
        self.raised, self.stopped, self.step, self.rows_begun, self.t = None, False, 0, 0, 0
        none, number, T = np.zeros(0, np.int64), np.zeros(0), self._dtype
        self._table = TableArrays(
            x=0,
            row_bytes=0,
            column_bytes=0,
            gather=0,
            is_csr=False,
            is_sparse=False,
            data=number.astype(T),
            indices=none,
            indptr=none,
            y=np.zeros((0, 0), T),
            labels=none,
            weight=number,
        )

    # --------------------------------------------------------------------------------------------------------
    # What it works on

    def use_dense(self, X):
        """The table, of any dtype of numbers, with any strides."""
        address, kernel = gatherer(X.dtype, self._dtype)
        self._kept += [kernel, X]
        row_bytes, column_bytes = X.strides
        self._table = self._table._replace(
            x=X.ctypes.data, row_bytes=row_bytes, column_bytes=column_bytes, gather=address
        )

    def use_csr(self, data, indices, indptr, is_sparse, chunk_entries):
        """The table in CSR form; is_sparse: the first layer goes over its non-zeros."""
        data, indices, indptr = (
            data.astype(self._dtype, copy=False),
            indices.astype(np.int64, copy=False),
            indptr.astype(np.int64, copy=False),
        )
        self._table = self._table._replace(
            is_csr=True,
            is_sparse=is_sparse,
            data=_writable(data),
            indices=_writable(indices),
            indptr=_writable(indptr),
        )
        self._kept += [data, indices, indptr]

    def use_targets(self, y, weight, gradient_scale):
        """Class numbers, or the other losses' rows of targets; weight may be None."""
        self._kept += [y, weight]
        if self._loss.of_classes:
            self._table = self._table._replace(labels=_writable(y))
        else:
            self._table = self._table._replace(y=_writable(y))
        if weight is not None:
            self._table = self._table._replace(weight=_writable(weight))
        self._gradient_scale = gradient_scale

    def set_update(
        self, groups, penalized, *, alpha=0.0, l1=0.0, clip_norm=0.0, clip_value=0.0, max_norm=0.0
    ):
        """groups: the number of the group of every array that is learned; penalized: whether alpha and l1
        concern a group; limits of 0 are none.
        """
        self._groups, self._penalized = groups, np.array(penalized, float)
        self._limits = {
            "alpha": alpha,
            "l1": l1,
            "clip_norm": clip_norm,
            "clip_value": clip_value,
            "max_norm": max_norm,
        }

    def use_dropout(self, rates, seed):
        """For inputs and every hidden layer: the rate, and what is done to units that are kept (scale, shift)
        and dropped (value).
        """
        self._dropout = rates, seed

    def attach(self):
        """Take the memory."""
        T, units, capacity, memory = self._dtype, self._units, self._capacity, _Plan()
        layers = np.zeros(len(units) - 1, network.LAYER)
        layers["n_in"], layers["n_out"] = units[:-1], units[1:]
        hidden, is_normalized, is_batch = (
            layers[:-1],
            self._normalization is not None,
            self._normalization == "batch",
        )
        # What is learned, in the order of Parameters.learned; then what goes with it number by number.
        layers["w"] = memory.take(layers["n_in"] * layers["n_out"])
        n_weights = memory.used
        layers["b"] = memory.take(layers["n_out"])
        if is_normalized:
            hidden["scale"] = memory.take(hidden["n_out"])
            hidden["shift"] = memory.take(hidden["n_out"])
        n = memory.used
        gradient, *moments = (
            memory.take([n * wanted])[0] for wanted in (self._trains, self.n_moments > 0, self.n_moments > 1)
        )
        self._moments = list(zip(moments, range(self.n_moments)))
        if is_batch:
            self._statistics = memory.used
            hidden["mean"] = memory.take(hidden["n_out"])
            hidden["variance"] = memory.take(hidden["n_out"])
        # Room for a chunk's rows.
        at = memory.take(np.multiply(units, capacity))
        layers["x"], layers["a"] = at[:-1], at[1:]
        if self._trains:
            hidden["slope"] = memory.take(hidden["n_out"] * capacity)
        if is_normalized:
            hidden["normal"] = memory.take(hidden["n_out"] * capacity * self._trains)
            hidden["root"] = memory.take(hidden["n_out"] if is_batch else np.full(len(hidden), capacity))
        widest = max(units)
        dz, other_dz = memory.take([widest * capacity * self._trains] * 2)
        columns, *of_rows = memory.take([2 * widest, *[capacity] * 3])
        *of_outputs, loss_parameters = memory.take([units[-1] * capacity * self._trains] * 5)
        if self._activations:
            hidden["activation"], hidden["parameter"] = zip(
                *((kernel.address, parameter) for kernel, parameter in self._activations)
            )
        rates, seed = self._dropout
        rates = [(int(rate * 2**32), *kept) for rate, *kept in rates] or [(0, 1.0, 0.0, 0.0)]
        for name, values in zip(("drop_below", "kept_scale", "kept_shift", "dropped"), zip(*rates[1:])):
            hidden[name] = values
        value, slope, exp, output = (kernel.address if kernel else 0 for kernel in self._loss_kernels)
        n_outputs, is_mean, (product, dot, axpy) = units[-1], self._loss.is_mean, blas(T)
        normalize, normalize_back = (
            (kernel(T).address for kernel in normalization.BY_NAME[self._normalization])
            if is_normalized
            else (0, 0)
        )
        self._memory = np.zeros(memory.used, T)
        own = self._memory[loss_parameters : loss_parameters + n_outputs * capacity * self._trains]
        own.reshape(-1, n_outputs)[:] = self._loss_parameters or 0.0
        if len(self._clock):
            self._clock[clocks.N_LAYERS] = len(layers)
        self._net = network.Net(
            layers=layers,
            memory=self._memory,
            scalars=np.zeros(16),
            losses=np.zeros(capacity),
            clock=self._clock,
            capacity=capacity,
            n_weights=n_weights,
            n_parameters=n,
            gradient=gradient,
            m=moments[0],
            v=moments[1],
            dz=dz,
            other_dz=other_dz,
            columns=columns,
            of_rows=tuple(of_rows),
            of_outputs=tuple(of_outputs),
            gemm=product,
            dot=dot,
            axpy=axpy,
            normalize=normalize,
            normalize_back=normalize_back,
            by_batch=is_batch,
            eps=float(self._norm_eps),
            momentum=float(self._norm_momentum),
            of_classes=self._loss.of_classes,
            loss=value,
            slope=slope,
            exp=exp,
            output=output,
            output_kind=network.OUTPUT_KINDS.index(self._loss.out_activation),
            loss_parameters=loss_parameters,
            mean_factor=1 / n_outputs if is_mean else 1.0,
            slope_factor=T.type(self._gradient_scale),
            input_drop_below=np.array([rates[0][0]], np.uint32),
            input_scale=np.array([rates[0][1]], T),
            seed=np.uint64(seed),
        )
        limits = dict.fromkeys(("alpha", "l1", "clip_norm", "clip_value", "max_norm"), 0.0) | self._limits
        sizes = [*layers["n_in"] * layers["n_out"], *layers["n_out"], *[*hidden["n_out"]] * 2 * is_normalized]
        self._update = run.Update(
            kernel=self._update_kernel.address if self._update_kernel else 0,
            n_moments=self.n_moments,
            ranges=_ranges(sizes, self._groups),
            penalized=self._penalized,
            **limits,
        )

    # --------------------------------------------------------------------------------------------------------
    # Parameters

    def load(self, learned, statistics, moments, t):
        """Take float32 or float64 arrays; learned: those of all coefs, intercepts, scales and shifts;
        moments: likewise for each, or None for zeros.
        """
        _pack(learned, self._memory)
        _pack(statistics, self._memory[self._statistics :])
        for start, which in self._moments:
            moment = self._memory[start : start + self._net.n_parameters]
            moment[:] = 0
            if moments is not None:
                _pack(moments[which], moment)
        self.t = t

    def store(self, learned, statistics):
        """Write the parameters into arrays."""
        _unpack(self._memory, learned)
        _unpack(self._memory[self._statistics :], statistics)

    def release_weights(self):
        """After it only release_moment() and close() may be called. Here all memory is one, and goes with
        close().
        """

    def release_moment(self, which, arrays):
        """Write moment 0 or 1 into arrays."""
        _unpack(self._memory[self._moments[which][0] :], arrays)

    def store_gradient(self, arrays):
        """Write what differentiate() left into arrays."""
        _unpack(self._memory[self._net.gradient :], arrays)

    # --------------------------------------------------------------------------------------------------------
    # Runs

    def train(self, order, windows):
        """One update a batch over the rows `order`: the mean loss, or None if a loss or gradient was not
        finite, in step `step`.

        A run goes on for about POLL_SECONDS at a time: a signal's handler runs where Python code does. Where
        it raises, `stopped` is true.

        windows: see the other engine's.
        """
        n_batches = -(-len(order) // self._batch_size)
        scalars, dropouts = self._kernel_scalars(*next(windows))
        order = _writable(order)
        self._begin(evaluates=False)
        total, self.step, self.stopped, window = 0.0, 0, True, 0
        batches = max(
            1, n_batches if self._expected_seconds(len(order)) < POLL_SECONDS else self._batches_a_poll()
        )
        with blas_threads(self._n_threads):
            while self.step < n_batches:
                if self.step == window + len(scalars):
                    window = self.step
                    scalars, dropouts = self._kernel_scalars(*next(windows))
                now = scalars[self.step - window :][:batches]
                first = self.step * self._batch_size
                end = first + len(now) * self._batch_size
                began = perf_counter()
                status, done, updates, total, _ = self._run(
                    run.TRAIN, order[first:end], now, dropouts[self.step - window :], total
                )
                self._note_speed(len(order[first:end]), perf_counter() - began)
                self.step += done
                self.t += updates
                self.rows_begun = min(len(order), end)
                if status == run.NON_FINITE:
                    self.stopped = False
                    self._end()
                    return None
                batches = self._batches_a_poll()
        self.stopped = False
        self._end()
        return total / len(order)

    _statistics = 0
    # How many rows a second go through, for an expectation of how long a run takes.
    _rows_a_second = 0.0

    def _expected_seconds(self, n_rows):
        return n_rows / self._rows_a_second if self._rows_a_second else np.inf

    def _batches_a_poll(self):
        return max(1, int(POLL_SECONDS * self._rows_a_second / self._batch_size))

    def _note_speed(self, n_rows, seconds):
        self._rows_a_second = n_rows / max(seconds, 1e-9)

    def _kernel_scalars(self, table, dropouts):
        """What each step's kernel takes of a group, in its own order: see `run.move`; and what `run` takes of
        dropout.
        """
        columns = [SCALARS.index(name) for name in self._optimizer.scalar_names()]
        scalars = np.zeros((*table.shape[:2], run.RATES + len(columns)))
        scalars[:, :, run.RATES :] = table[:, :, columns]
        scalars[:, :, run.THRESHOLD] = table[:, :, SCALARS.index("learning_rate")]
        scalars[:, :, run.SHRINK] = table[:, :, SCALARS.index("shrink")]
        return scalars, _NO_RATES if dropouts is None else dropouts

    def differentiate(self, order):
        """The loss of all rows as one batch; its gradient is left for store_gradient(). None where the rows'
        weights sum to zero.
        """
        self._begin(evaluates=False)
        with blas_threads(self._n_threads):
            *_, loss, weight = self._run(run.DIFFERENTIATE, _writable(order))
        self._end()
        self.rows_begun = len(order)
        return loss / len(order) if weight else None

    def predict(self, order, out):
        """Outputs of the rows `order`, row-major, in T."""
        self._evaluate(run.PREDICT, order, out)

    def evaluate(self, order, out):
        """predict(), and the mean loss of the rows; None where their weights sum to zero."""
        *_, loss, weight = self._evaluate(run.EVALUATE, order, out)
        return loss / weight if weight else None

    def _evaluate(self, mode, order, out):
        self._begin(evaluates=True)
        with blas_threads(self._n_threads):
            answer = self._run(mode, _writable(order), out=out.reshape(-1))
        self._end()
        self.rows_begun = len(order)
        return answer

    def _run(self, mode, order, rates=_NO_RATES, dropouts=_NO_RATES, total=0.0, out=None):
        out = self._memory[:0] if out is None else out
        batch_size, t = (self._batch_size, self.t) if mode == run.TRAIN else (len(order), 0)
        return run.run(
            mode, self._net, self._table, self._update, order, batch_size, rates, dropouts, t, total, out
        )

    def close(self):
        """Let go of the memory. Nothing else may be called after it."""
        self._net = self._update = self._table = self._kept = self._memory = None

    # --------------------------------------------------------------------------------------------------------
    # The clock of a profile

    def _begin(self, evaluates):
        if len(self._clock):
            self._clock[clocks.EVALUATES] = evaluates
            self._began = perf_counter(), clocks.start(self._clock)

    def _end(self):
        if len(self._clock):
            began, began_ticks = self._began
            self._seconds_a_tick = (perf_counter() - began) / max(1, clocks.stop(self._clock) - began_ticks)

    def phase_seconds(self):
        """Of every phase of PHASES, the seconds in all runs so far by layer."""
        counted = self._clock[clocks.SLOTS :].reshape(len(clocks.PHASES), -1) * self._seconds_a_tick
        return dict(zip(clocks.PHASES, counted.tolist()))


def blas_gflops(dtype, n_threads, rounds):
    """GFLOP/s of products of large matrices, the best of some; `rounds` says how many, 64
    multiply-adds each.
    """
    a = np.ones((512, 512), dtype)
    out, best = np.empty_like(a), np.inf
    with blas_threads(n_threads):
        for _ in range(max(3, rounds * 64 // a.size // len(a))):
            began = perf_counter()
            np.dot(a, a, out)
            best = min(best, perf_counter() - began)
    return 2 * a.size * len(a) / best / 1e9


# ------------------------------------------------------------------------------------------------------------
# Arrays


class _Plan:
    """Hands out places in an array."""

    def __init__(self):
        self.used = 0

    def take(self, sizes):
        """Where pieces of these sizes begin, one after the other."""
        ends = self.used + np.cumsum(sizes, dtype=np.int64)
        starts = ends - sizes
        self.used = int(ends[-1]) if len(ends) else self.used
        return starts.tolist()


def _ranges(sizes, groups):
    """Of arrays one after the other: (first, end, group) of neighbours of one group, int64 (n, 3)."""
    ranges, end = [], 0
    for size, group in zip(sizes, groups):
        first, end = end, end + size
        if ranges and ranges[-1][2] == group:
            ranges[-1] = (ranges[-1][0], end, group)
        else:
            ranges.append((first, end, group))
    return np.array(ranges, np.int64).reshape(-1, 3)


def _pack(arrays, flat):
    start = 0
    for array in arrays:
        flat[start : start + array.size] = array.ravel()
        start += array.size


def _unpack(flat, arrays):
    start = 0
    for array in arrays:
        array[...] = flat[start : start + array.size].reshape(array.shape)
        start += array.size


class _Memory:
    def __init__(self, interface):
        self.__array_interface__ = interface


def _writable(array):
    """The array, as one that may be written to: compiled code would be compiled once more for others. It
    writes to none of these.
    """
    if array.flags.writeable:
        return array
    interface = array.__array_interface__
    return np.asarray(_Memory(interface | {"data": (interface["data"][0], False)}))


class blas_threads:
    """A context in which BLAS uses at most so many threads. BLAS has one number for the process: of calls
    that go on at the same time, the least counts.
    """

    _lock, _asked, _before = Lock(), [], []

    def __init__(self, n_threads):
        self._n_threads = n_threads

    def __enter__(self):
        with self._lock:
            if not self._asked:
                self._before[:] = [library.num_threads for library in _blas()]
            self._asked.append(self._n_threads)
            self._set(min(self._asked))

    def __exit__(self, *error):
        with self._lock:
            self._asked.remove(self._n_threads)
            self._set(min(self._asked, default=np.inf))

    def _set(self, number):
        for library, before in zip(_blas(), self._before):
            if library.num_threads != min(before, number):
                library.set_num_threads(min(before, number))


@cache
def _blas():
    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


def _start_anew():
    """In a forked child, where the other calls' threads do not exist."""
    blas_threads._lock = Lock()
    blas_threads._asked.clear()


os.register_at_fork(after_in_child=_start_anew)
