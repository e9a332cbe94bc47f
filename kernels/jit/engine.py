"""The class Engine: one network, its memory, and the kernels that it is made of. What kernels/engine.pyx is for the other engine.

Nothing is packed: parameters are one flat vector in the order of Parameters.learned, and a row-major matrix product a layer is BLAS's.
"""

from functools import cache
from inspect import signature
from itertools import accumulate
from time import perf_counter

import numpy as np
from threadpoolctl import ThreadpoolController

from nnfast.kernels.jit import clock as clocks
from nnfast.kernels.jit import elementwise, network, run
from nnfast.kernels.jit.tables import Table, gatherer
from nnfast.normalization import NORMALIZATIONS
from nnfast.regularization import soft_threshold

POLL_SECONDS = 0.1  # a signal's handler can run after so long

# Number of the way, by the names of the records: see network.py.
_NORMALIZATIONS = {None: network.BY_NONE} | {
    name: network.BY_BATCH if record.keeps_statistics else network.BY_LAYER for name, record in NORMALIZATIONS.items()
}


class Engine:
    """One network over one table. Built in steps: the constructor says what there is, `use_...` give it a table and targets, `attach` takes memory.

    Parameters
    ----------
    dtype : dtype
        T, the arithmetic.
    layer_units : sequence of int
    activations : list of (record, parameter or None)
        Of the hidden layers.
    loss : record of nnfast.losses
    loss_parameters : sequence of float
    optimizer : record of nnfast.optimizers, or None
    normalization : {"batch", "layer"} or None
    norm_eps, norm_momentum : float
    n_threads : int
        Of BLAS.
    capacity, batch_size : int
        Rows of a chunk and of a batch.
    trains, times : bool
        Whether there are targets, and whether there will be phase_seconds().
    """

    def __init__(self, dtype, layer_units, activations, loss, loss_parameters, optimizer, normalization, norm_eps, norm_momentum, n_threads, *,
                 capacity, batch_size, trains, times):
        self._dtype, self._units, self._optimizer = np.dtype(dtype), np.array(layer_units), optimizer
        self._sizes = [n_in * n_out for n_in, n_out in zip(layer_units, layer_units[1:])]
        self._capacity, self._batch_size, self._trains, self._n_threads = capacity, batch_size, trains, n_threads
        self._normalization, self._norm_eps, self._norm_momentum = _NORMALIZATIONS[normalization], norm_eps, norm_momentum
        kernels = [_activation(record, self._dtype) for record, _ in activations]
        self._activations = np.array([kernel.address for kernel in kernels], np.intp)
        self._parameters = np.array([record.default if own is None else own for record, own in activations], np.float64)
        self._parameters = np.nan_to_num(self._parameters)  # of records that have none
        self._loss_record, self._loss_parameters = loss, loss_parameters
        self._update_kernel = _update(optimizer, self._dtype) if optimizer else None
        self._loss_kernels = _loss(loss, self._dtype)
        self._kept = [kernels, self._update_kernel, self._loss_kernels]
        self._dropout = None
        self._settings = {}
        self._clock = np.zeros(clocks.SLOTS + len(clocks.PHASES) * (len(layer_units) - 1) if times else 0, np.int64)
        self._seconds_a_tick = 0.0
        self.n_moments = optimizer.n_moments if optimizer else 0
        self.raised, self.stopped, self.step, self.rows_begun, self.t = None, False, 0, 0, 0
        self._table = Table(0, 0, 0, 0, False, False, *self._csr(), *self._targets())

    def _csr(self):
        return np.zeros(0, self._dtype), np.zeros(0, np.int64), np.zeros(0, np.int64)

    def _targets(self):
        return np.zeros((0, 0), self._dtype), np.zeros(0, np.intp), np.zeros(0)

    # -----------------------------------------------------------------------------------------------------------------
    # What it works on

    def use_dense(self, X):
        """The table, of any dtype of numbers, with any strides."""
        address, kernel = gatherer(X.dtype, self._dtype)
        self._kept += [kernel, X]
        row_bytes, column_bytes = X.strides
        self._table = self._table._replace(address=X.ctypes.data, row_bytes=row_bytes, column_bytes=column_bytes, gather=address)

    def use_csr(self, data, indices, indptr, is_sparse, chunk_entries):
        """The table in CSR form; is_sparse: the first layer goes over its non-zeros."""
        data, indices, indptr = data.astype(self._dtype, copy=False), indices.astype(np.int64, copy=False), indptr.astype(np.int64, copy=False)
        self._table = self._table._replace(
            is_csr=True, is_sparse=is_sparse, data=_writable(data), indices=_writable(indices), indptr=_writable(indptr)
        )
        self._kept += [data, indices, indptr]

    def use_targets(self, y, weight, gradient_scale):
        """Class numbers, or the other losses' rows of targets; weight may be None."""
        no_y, no_labels, no_weight = self._targets()
        self._kept += [y, weight]
        of_classes = self._loss_record.of_classes
        self._table = self._table._replace(
            y=no_y if of_classes else _writable(y),
            labels=_writable(y) if of_classes else no_labels,
            weight=no_weight if weight is None else _writable(weight),
        )
        self._gradient_scale = gradient_scale

    def set_update(self, *, alpha=0.0, l1=0.0, clip_norm=0.0, clip_value=0.0, max_norm=0.0):
        """Regularization; limits of 0 are none."""
        self._settings = {"alpha": alpha, "l1": l1, "clip_norm": clip_norm, "clip_value": clip_value, "max_norm": max_norm}

    def use_dropout(self, rates, seed):
        """For inputs and every hidden layer: the rate, and what is done to units that are kept (scale, shift) and dropped (value)."""
        self._dropout = rates, seed

    def attach(self):
        """Take the memory."""
        T, units, n_hidden = self._dtype, self._units.tolist(), len(self._units) - 2
        lengths = [*self._sizes, *units[1:], *(units[1:-1] * 2 if self._normalization else ())]
        starts = np.array([0, *accumulate(lengths)])
        n_layers, capacity = n_hidden + 1, self._capacity
        coefs, intercepts, scales, shifts = np.split(starts[:-1], np.cumsum([n_layers, n_layers, n_hidden if self._normalization else 0]))
        n_parameters, n_seen = starts[-1], sum(units[1:-1]) if self._normalization == network.BY_BATCH else 0
        widest, n_outputs = max(units), units[-1]
        at = np.array([0, *accumulate(n * max(1, capacity) for n in units)])[:-1]
        n_values = capacity * sum(units)
        n_trained, normalized = n_values * self._trains, n_values * bool(self._normalization)
        whole = self._batch_size <= capacity and (self._optimizer is not None or not self._trains)
        rates, seed = self._dropout or ([(0.0, 1.0, 0.0, 0.0)], 0)
        rates = rates + [(0.0, 1.0, 0.0, 0.0)] * (n_layers - len(rates))
        limits, *dropout = zip(*rates)
        exp, value, slope, output = self._loss_kernels
        self._net = network.Net(
            units=self._units.astype(np.int64),
            w=np.zeros(n_parameters, T),
            coefs=coefs, intercepts=intercepts, scales=scales, shifts=shifts,
            means=np.zeros(n_seen, T), variances=np.ones(n_seen, T),
            hidden=np.array([0, *accumulate(units[1:-1])])[:-1],
            normalization=self._normalization, eps=T.type(self._norm_eps), momentum=T.type(self._norm_momentum),
            activations=self._activations, parameters=self._parameters,
            loss=network.Loss(
                of=network.OF_CLASSES if self._loss_record.of_classes else network.OF_OUTPUTS,
                value=value.address, slope=slope.address if slope else 0, exp=exp.address, output=output.address if output else 0,
                output_kind=network.OUTPUT_KINDS[self._loss_record.out_activation],
                parameters=np.resize(np.array(self._loss_parameters or (0.0,), T), n_outputs),
                mean_factor=1 / n_outputs if self._loss_record.is_mean else 1.0,
                slope_factor=T.type(getattr(self, "_gradient_scale", 1.0)),
            ),
            dropout=network.Dropout(
                np.array([int(rate * 2**32) for rate in limits], np.uint32), *(np.array(each, T) for each in dropout), seed=np.uint64(seed)
            ),
        )
        self._buffers = network.Buffers(
            at=at, a=np.zeros(n_values, T), slopes=np.zeros(n_trained, T), normal=np.zeros(n_trained * bool(normalized), T),
            roots=np.zeros(n_values * bool(normalized) + widest, T), dz=np.zeros(capacity * widest * self._trains, T), da=np.zeros(capacity * widest * self._trains, T),
            g=np.zeros(n_parameters * self._trains, T), part=np.zeros(0 if whole else n_parameters, T),
            row_loss=np.zeros(capacity), log_p=np.zeros(capacity, T), q=np.zeros(capacity, T), mean_log_p=np.zeros(capacity, T),
            is_y=np.zeros(n_outputs, T), terms=np.zeros(n_outputs, T), scalars=np.zeros(16), clock=self._clock,
        )
        moments = [np.zeros(n_parameters if i < self.n_moments else 0, T) for i in range(2)]
        self._moments = moments[: self.n_moments]
        self._update = run.Update(
            self._update_kernel.address if self._update_kernel else 0, *moments, self.n_moments,
            **{"alpha": 0.0, "l1": 0.0, "clip_norm": 0.0, "clip_value": 0.0, "max_norm": 0.0} | self._settings,
        )
        if len(self._clock):
            self._clock[clocks.N_LAYERS] = n_layers

    # -----------------------------------------------------------------------------------------------------------------
    # Parameters

    def load(self, learned, means, variances, moments, t):
        """Take float32 or float64 arrays; learned: those of all coefs, intercepts, scales and shifts; moments: likewise for each, or None for zeros."""
        _pack(learned, self._net.w)
        _pack(means, self._net.means)
        _pack(variances, self._net.variances)
        for i, moment in enumerate(self._moments):
            moment[:] = 0
            if moments is not None:
                _pack(moments[i], moment)
        self.t = t

    def store(self, learned, means, variances):
        """Write the parameters into arrays."""
        _unpack(self._net.w, learned)
        _unpack(self._net.means, means)
        _unpack(self._net.variances, variances)

    def release_weights(self):
        """Let go of all memory but the moments; after it only release_moment() and close() may be called."""
        self._net = self._buffers = self._update = None

    def release_moment(self, which, arrays):
        """Write moment 0 or 1 into arrays, and let go of its memory."""
        _unpack(self._moments[which], arrays)
        self._moments[which] = None

    def store_gradient(self, arrays):
        """Write what differentiate() left into arrays."""
        _unpack(self._buffers.g, arrays)

    # -----------------------------------------------------------------------------------------------------------------
    # Runs

    def train(self, order, rates):
        """One update a batch over the rows `order`, each with its learning rate, or all with one: the mean loss, or None if a loss or gradient was not
        finite, in step `step`.

        A run goes on for about POLL_SECONDS at a time: a signal's handler runs where Python code does. Where it raises, `stopped` is true.
        """
        n_batches = -(-len(order) // self._batch_size)
        scalars = self._scalars(np.broadcast_to(rates, n_batches))
        order = _writable(order)
        self._begin(evaluates=False)
        total, self.step, self.stopped = 0.0, 0, True
        batches = max(1, n_batches if self._expected_seconds(len(order)) < POLL_SECONDS else self._batches_a_poll())
        with blas_threads(self._n_threads):
            while self.step < n_batches:
                first = self.step * self._batch_size
                end = first + batches * self._batch_size
                began = perf_counter()
                status, steps, loss = run.train(
                    self._net, self._table, self._buffers, self._update, order[first:end], self._batch_size, scalars[self.step : self.step + batches], self.t
                )
                self._note_speed(len(order[first:end]), perf_counter() - began)
                self.step += steps
                self.t += steps
                total += loss
                self.rows_begun = min(len(order), end)
                if status == run.NON_FINITE:
                    self.stopped = False
                    self._end()
                    return None
                batches = self._batches_a_poll()
        self.stopped = False
        self._end()
        return total / len(order)

    # How many rows a second go through, for an expectation of how long a run takes.
    _rows_a_second = 0.0

    def _expected_seconds(self, n_rows):
        return n_rows / self._rows_a_second if self._rows_a_second else np.inf

    def _batches_a_poll(self):
        return max(1, int(POLL_SECONDS * self._rows_a_second / self._batch_size))

    def _note_speed(self, n_rows, seconds):
        self._rows_a_second = n_rows / max(seconds, 1e-9)

    def _scalars(self, rates):
        """What each step's kernel takes, a row each: see `run.move`."""
        steps = self.t + 1 + np.arange(len(rates))
        columns = np.zeros((len(rates), run.RATES)), *(np.broadcast_to(each, len(rates))[:, None] for each in self._optimizer.rates(rates, steps))
        scalars = np.hstack(columns)
        scalars[:, run.THRESHOLD], scalars[:, run.SHRINK] = rates, self._optimizer.shrink(rates)
        return scalars

    def differentiate(self, order):
        """The loss of all rows as one batch; its gradient is left for store_gradient(). None where the rows' weights sum to zero."""
        self._begin(evaluates=False)
        with blas_threads(self._n_threads):
            loss, weight = run.loss_gradient(self._net, self._table, self._buffers, self._update, _writable(order))
        self._end()
        self.rows_begun = len(order)
        return loss if weight else None

    def predict(self, order, out):
        """Outputs of the rows `order`, row-major, in T."""
        self._evaluate(order, out, False)

    def evaluate(self, order, out):
        """predict(), and the mean loss of the rows; None where their weights sum to zero."""
        loss, weight = self._evaluate(order, out, True)
        return loss / weight if weight else None

    def _evaluate(self, order, out, loses):
        self._begin(evaluates=True)
        with blas_threads(self._n_threads):
            answer = run.evaluate(self._net, self._table, self._buffers, _writable(order), out, loses)
        self._end()
        self.rows_begun = len(order)
        return answer

    def close(self):
        """Let go of the memory. Nothing else may be called after it."""
        self._net = self._buffers = self._update = self._table = self._kept = None

    # -----------------------------------------------------------------------------------------------------------------
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
    """GFLOP/s of products of large matrices, the best of some; `rounds` says how many, 64 multiply-adds each."""
    a = np.ones((512, 512), dtype)
    out, best = np.empty_like(a), np.inf
    with blas_threads(n_threads):
        for _ in range(max(3, rounds * 64 // a.size // len(a))):
            began = perf_counter()
            np.dot(a, a, out)
            best = min(best, perf_counter() - began)
    return 2 * a.size * len(a) / best / 1e9


# ---------------------------------------------------------------------------------------------------------------------
# Kernels, from the records


def _activation(record, dtype):
    return elementwise.activation(record.f, record.df, dtype, has_parameter=record.parameter_name is not None, name=record.name)


def _exp(z):
    return np.exp(z)


def _loss(record, dtype):
    """(of exp, of the loss's values, of its slopes or None, of the output activation or None)."""
    exp = elementwise.output(_exp, dtype, name="exp")
    output = None if record.out_activation in ("identity", "softmax") else elementwise.output(record.output, dtype, name=f"{record.name}_output")
    if not record.of_classes:
        return exp, elementwise.loss(record.f, record.df, dtype, has_parameter=record.parameter_name is not None, name=record.name), None, output

    def slope(p_k, is_y, p, q, log_p, n_outputs, *own):
        return record.df(p_k, is_y, p, q, log_p, n_outputs, *own)

    n_own = len(record.defaults)
    value = elementwise.elementwise(record.f, 3, n_own, dtype, name=record.name)
    return exp, value, elementwise.elementwise(slope, 2, 4 + n_own, dtype, name=f"{record.name}_slope"), output


def _update(optimizer, dtype):
    """Weights w, moments and gradients g, with SCALE, DECAY, CLIP, THRESHOLD and SHRINK of run.py, then the optimizer's rates."""
    n_moments = optimizer.n_moments
    n_rates = len(signature(optimizer.step).parameters) - 2 - n_moments

    def update(w, *others):
        moments, g = others[:n_moments], others[n_moments]
        scale, decay, clip, threshold, shrink, *rates = others[n_moments + 1 :]
        g = np.clip(g * scale + w * decay, -clip, clip)
        w, *moments = optimizer.step(w * shrink, g, *moments, *rates)
        return soft_threshold(w, threshold), *moments

    return elementwise.elementwise(update, n_moments + 2, run.RATES + n_rates, dtype, name=optimizer.name)


# ---------------------------------------------------------------------------------------------------------------------
# Arrays


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
    """The array, as one that may be written to: compiled code would be compiled once more for others. It writes to none of these."""
    if array.flags.writeable:
        return array
    interface = array.__array_interface__
    return np.asarray(_Memory(interface | {"data": (interface["data"][0], False)}))


@cache
def _blas():
    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


class blas_threads:
    """A context in which BLAS uses at most so many threads."""

    def __init__(self, n_threads):
        self._n_threads = n_threads

    def __enter__(self):
        self._before = [library.num_threads for library in _blas()]
        self._set([min(before, self._n_threads) for before in self._before])

    def __exit__(self, *error):
        self._set(self._before)

    def _set(self, numbers):
        for library, number in zip(_blas(), numbers):
            if library.num_threads != number:
                library.set_num_threads(number)
