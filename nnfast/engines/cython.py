"""The Cython engine: checks everything that goes down to the compiled code, and owns the memory that it works on."""

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache

import numpy as np

from nnfast.activations import activation_of
from nnfast.kernels import engine as _compiled
from nnfast.losses import LOSSES, LOSS_BY_OUT_ACTIVATION, loss_of
from nnfast.own_functions import Activation, Loss
from nnfast.regularization import SELU_FLOOR, Regularization, alpha_dropout_constants
from nnfast.threads import release_threads, reserve_threads

_SOURCES = {np.dtype(name): code for name, code in _compiled.SOURCES.items()} | {np.dtype(bool): _compiled.SOURCES["uint8"]}

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_INDICES = (np.dtype(np.int32), np.dtype(np.int64))
_ROW_NUMBERS = (np.dtype(np.intp),)

# A batch goes through the network in chunks of at most this many rows, whose activations stay in the caches.
CHUNK_ROWS = 512
# Below this share of non-zeros a sparse table's first layer goes over the non-zeros, above it over a densified minibatch.
SPARSE_BELOW = 0.10


class NonFinite(ArithmeticError):
    """A loss or gradient of a run was not finite.

    Attributes
    ----------
    step : int
        The 0-based step of the epoch in which it showed.
    """

    def __init__(self, step):
        super().__init__(f"a loss or gradient was not finite in step {step}")
        self.step = step


def instruction_sets():
    """Names of the instruction sets that were compiled in and that this CPU has, slowest first."""
    return _compiled.instruction_sets()


def _choose_instruction_set():
    available = instruction_sets()
    if not available:
        raise ImportError("nnfast's compiled code needs at least SSE4.2 and POPCNT on x86-64; this CPU lacks them.")
    asked = os.environ.get("NNFAST_ISA")
    if not asked:
        return available[-1]
    if asked not in available:
        raise ValueError(f"NNFAST_ISA={asked!r} is not available on this machine; available are: {', '.join(available)}.")
    return asked


_isa = _choose_instruction_set()


def instruction_set():
    """Name of the instruction set in use: the best one, or what the environment variable NNFAST_ISA asked for at import."""
    return _isa


def peak_gflops(dtype, n_threads, rounds=2_000_000):
    """GFLOP/s of multiply-adds in registers, by n_threads at once, with the instruction set in use: what arithmetic in `dtype` can reach.

    By the time that each thread had a core: one taken away for a moment does not count. Two million rounds take about 5 ms.
    """
    table = _compiled.Table(_isa, dtype)

    def rate(rounds):
        start = time.thread_time()
        return table.multiply_add(rounds) / (time.thread_time() - start) / 1e9

    with ThreadPoolExecutor(n_threads) as pool:
        return sum(pool.map(rate, [rounds] * n_threads))


def shuffle(order, random_state):
    """Shuffle row numbers in place, with the very draws of ``sklearn.utils.shuffle(order, random_state=random_state)``.

    Parameters
    ----------
    order : ndarray of intp, shape (n,), contiguous
    random_state : numpy.random.RandomState
    """
    _compiled.shuffle(_row_numbers(order), random_state)


def bfloat16_units():
    """Names of the units for bfloat16 products that go with the instruction set in use, slowest first."""
    return _compiled.bfloat16_units() if _isa == "avx512" else ()


def bfloat16_unit():
    """Name of the unit for bfloat16 products: the best one, or what the environment variable NNFAST_BFLOAT16 asks for.

    Raises
    ------
    ValueError
        If there is none.
    """
    units = bfloat16_units()
    if not units:
        raise ValueError(
            "precision='bfloat16' needs a CPU with AVX512-BF16 or AMX, an operating system that lets programs use it, a build of nnfast by a compiler "
            f"that knows it, and NNFAST_ISA=avx512, which is the default there; in use is {_isa!r}, and no such unit. precision='float32' runs everywhere."
        )
    asked = os.environ.get("NNFAST_BFLOAT16")
    if asked and asked not in units:
        raise ValueError(f"NNFAST_BFLOAT16={asked!r} is not available on this machine; available are: {', '.join(units)}.")
    return asked or units[-1]


class Session:
    """One network over one table: packed parameters, buffers and threads, alive for one call. A context manager.

    Parameters
    ----------
    network : nnfast.network.Network
    X : ndarray or CSR of shape (n_samples, n_features)
        Any integer, bool, float32 or float64; any strides. Not copied, like y and sample_weight: who overwrites what they hold, between calls,
        calls `check_targets` after.
    y : ndarray or None
        For "log_loss" and "focal" intp class numbers, shape (n_samples,); for the other losses shape (n_samples, n_outputs), `dtype`, C-contiguous.
        None for a session that only predicts.
    sample_weight : float64 ndarray of shape (n_samples,), or None
    dtype : {np.float32, np.float64}
        The arithmetic.
    batch_size : int
        Rows of an update; in a session that only predicts, the rows that one call is likely to have.
    optimizer : record of nnfast.optimizers, or None
        None: the session predicts, or with targets evaluates and differentiates.
    regularization : nnfast.regularization.Regularization
        A session that differentiates knows `alpha` only.
    seed : int
        Of dropout, from 0 to 2^64 - 1.
    n_threads : int or None
        None: as many as the work deserves and the process may use.
    bfloat16 : bool
        Whether training's products take bfloat16 numbers, which needs an optimizer and float32. What a session predicts is float32's all the same.
    counts : list or None
        A list, where the session's time is wanted: `close` appends a dict of "n_threads", the name "dtype", "seconds" and "operations". The last
        two are dicts of lists, a number a layer for every phase in nnfast.kernels.engine.PHASES, of seconds summed over the threads, and for some
        phases of the multiplications and additions of the products.

    Attributes
    ----------
    whole_epochs : bool
        Whether the parameters and moments are those of the end of an epoch.

    Raises
    ------
    MemoryError
        If the buffers cannot be had; nothing has changed then.
    """

    # What close() finds where __init__ did not come so far.
    _n_threads, _engine, _role, _labels, _counts = 0, None, "closed", None, None

    def __init__(self, network, X, y=None, sample_weight=None, *, dtype, batch_size, optimizer=None, regularization=Regularization(), seed=0,
                 n_threads=None, bfloat16=False, counts=None):
        dtype = np.dtype(dtype)
        if dtype not in _FLOATS:
            raise TypeError(f"dtype must be float32 or float64, got {dtype}")
        if bfloat16 and (optimizer is None or dtype != np.float32):
            raise ValueError("bfloat16 products are for training in float32")
        self._unit = bfloat16_unit() if bfloat16 else None
        self._n_samples, n_features = X.shape
        if n_features != network.layer_units[0]:
            raise ValueError(f"X has {n_features} features, the network {network.layer_units[0]} inputs")
        self._network, self._dtype, self._shapes = network, dtype, network.learned_shapes
        self._raised, self.whole_epochs, self._batch_size = None, True, int(batch_size)
        # Batch normalization needs the whole batch at once.
        capacity = int(batch_size) if network.normalization == "batch" and y is not None else min(int(batch_size), CHUNK_ROWS)
        self._trained, self._evaluated = np.zeros((2, 2), np.int64)  # rows and non-zeros, where there are counts
        self._n_threads = reserve_threads(n_threads, capacity, sum(map(math.prod, self._shapes)))
        try:
            self._open(X, y, sample_weight, optimizer, regularization, seed, capacity, int(batch_size), counts is not None)
            self._counts = counts
        except BaseException:
            self.close()
            raise

    def _open(self, X, y, sample_weight, optimizer, regularization, seed, capacity, batch_size, times):
        trains, network = y is not None, self._network
        n_hidden = len(network.layer_units) - 2
        if len(regularization.dropout) not in (0, n_hidden):
            raise ValueError(f"dropout must have one rate for each of {n_hidden} hidden layers, or none, got {regularization.dropout!r}")
        if optimizer and network.normalization and regularization.alpha_dropout and any(regularization.dropout):
            raise ValueError("alpha dropout goes with no normalization")
        self._engine = _compiled.Engine(
            _isa,
            self._dtype.itemsize == 8,
            network.layer_units,
            [_activation(*each, self._dtype.name) for each in network.activations],
            _loss_code(network.loss),
            _loss_parameters(network),
            capacity=capacity,
            batch_size=batch_size,
            n_threads=self._n_threads,
            trains=trains,
            update=_compiled.UPDATES[optimizer.kernel] if optimizer else _compiled.UPDATES["none"],
            n_moments=optimizer.n_moments if optimizer else 0,
            normalization=_compiled.NORMALIZATIONS[network.normalization],
            norm_eps=_at_least_tiny(network.norm_eps, self._dtype),
            norm_momentum=network.norm_momentum,
            times=times,
            unit=self._unit,
            own_loss=_own_loss(network.loss, self._dtype.name),
        )
        self._use_table(X, capacity)
        if trains:
            self._use_targets(y, sample_weight, with_true_gradient=optimizer is None)
            self._engine.set_update(**_update_settings(optimizer, regularization, self._dtype))
            if optimizer:
                self._engine.use_dropout(_dropout(regularization), seed)
        self._role = "predict" if not trains else "train" if optimizer else "differentiate"
        self._engine.attach([np.zeros(size, np.uint8) if size else _NOTHING for size in self._engine.measure()])

    def _use_table(self, X, capacity):
        self._entries = None
        if isinstance(X, np.ndarray):
            if X.dtype not in _SOURCES or not X.flags.aligned or not X.dtype.isnative:
                raise TypeError(f"X must be an aligned array of a native integer type, bool, float32 or float64, got {X.dtype}")
            self._engine.use_dense(_SOURCES[X.dtype], X)
            return
        data = X.data if X.data.dtype in (np.float32, np.float64) else X.data.astype(self._dtype)
        indices, indptr = X.indices, X.indptr
        if indices.dtype != indptr.dtype or indices.dtype not in _INDICES:
            indices, indptr = indices.astype(np.int64), indptr.astype(np.int64)
        data, indices, indptr = map(np.ascontiguousarray, (data, indices, indptr))
        if len(indptr) != X.shape[0] + 1 or indptr[0] != 0 or indptr[-1] > min(len(indices), len(data)) or (np.diff(indptr) < 0).any():
            raise ValueError("X is not a valid CSR matrix: its indptr does not fit its indices and data")
        if len(indices) and not 0 <= indices.min() <= indices.max() < X.shape[1]:
            raise ValueError(f"X is not a valid CSR matrix: its indices are not all within 0 .. {X.shape[1] - 1}")
        lengths = np.diff(indptr)
        longest = np.partition(lengths, len(lengths) - capacity)[-capacity:] if capacity < len(lengths) else lengths
        sparse = indptr[-1] < SPARSE_BELOW * X.shape[0] * X.shape[1]
        self._entries = indptr if sparse else None
        self._engine.use_csr(data, indices, indptr, sparse, int(longest.sum()))

    def _use_targets(self, y, sample_weight, with_true_gradient):
        labels = self._network.loss in _CLASS_LOSSES
        shape = (self._n_samples,) if labels else (self._n_samples, self._network.n_outputs)
        y = _checked(y, "y", _ROW_NUMBERS if labels else (self._dtype,), shape)
        self._labels = y if labels else None
        self.check_targets()
        if sample_weight is not None:
            sample_weight = _checked(sample_weight, "sample_weight", (np.dtype(np.float64),), (self._n_samples,))
        # Where a loss is a mean over the outputs, steps go along the sum, as scikit-learn's do: right for them, not for a line search.
        scale = 1 / loss_of(self._network.loss).descent_scale(self._network.n_outputs) if with_true_gradient else 1.0
        self._engine.use_targets(y, sample_weight, scale)

    def check_targets(self):
        """Raise ValueError unless all class numbers are those of outputs."""
        y = self._labels
        if y is not None and len(y) and not 0 <= y.min() <= y.max() < self._network.n_outputs:
            raise ValueError(f"y must hold class numbers 0 .. {self._network.n_outputs - 1}, got {y.min()} .. {y.max()}")

    def _require(self, *roles):
        """Raise unless the session was opened for one of these, and is open."""
        if self._role not in roles:
            raise RuntimeError(f"the session must be one for {' or '.join(roles)}, got one for {self._role}: with targets and an optimizer it "
                               "is for train, with targets alone for differentiate, with neither for predict, until it is closed.")

    def load(self, parameters, moments=None, t=0):
        """Start from these parameters (arrays of a float dtype) and optimizer state (None: zeros)."""
        self._require("train", "differentiate", "predict")
        learned = self._checked(parameters.learned())
        statistics = self._checked_statistics(parameters)
        if moments is not None:
            if len(moments) != self._engine.n_moments:
                raise ValueError(f"the optimizer has {self._engine.n_moments} moments, got {len(moments)}")
            moments = [self._checked(moment) for moment in moments]
        self._engine.load(learned, *statistics, moments, t)

    def store(self, parameters):
        """Write the current parameters into these arrays."""
        self._require("train", "differentiate", "predict")
        self._engine.store(self._checked(parameters.learned(), writes=True), *self._checked_statistics(parameters, writes=True))

    def _checked(self, arrays, writes=False):
        """The arrays of what is learned, or of a moment of it, as the compiled code takes them."""
        return _checked_arrays(arrays, self._shapes, writes)

    def _checked_statistics(self, parameters, writes=False):
        if self._network.normalization != "batch":
            return (), ()
        shapes = [(n,) for n in self._network.layer_units[1:-1]]
        return [_checked_arrays(arrays, shapes, writes) for arrays in (parameters.means, parameters.variances)]

    @property
    def t(self):
        """Updates done since the first `load`, whose t they continue."""
        return self._engine.t

    def take_moments(self):
        """The optimizer's moments: for each, arrays in the order of `Parameters.learned`. Ends the session, whose memory they take over
        piece by piece: nothing may be called after it."""
        self._require("train")
        self._role = "closed"
        moments = []
        self._engine.release_weights()
        for which in range(self._engine.n_moments):
            arrays = [np.empty(shape, self._dtype) for shape in self._shapes]
            self._engine.release_moment(which, arrays)
            moments.append(arrays)
        return moments

    def epoch(self, order, learning_rate):
        """One pass over the rows `order`, an update a batch.

        Parameters
        ----------
        order : ndarray of intp
            Each row at most once: buffers for sparse tables are sized for that.
        learning_rate : float, or float64 ndarray of shape (n_batches,)
            One for all, or one for each batch.

        Returns
        -------
        loss : float
            The mean over the rows of their batches' losses, penalties included.

        Raises
        ------
        NonFinite
            In the step whose loss or gradient was not finite.
        KeyboardInterrupt, or what another signal's handler raised
            Within 0.2 s: from this call, or, where its end was near, from the next one (from leaving the session, if there is none).
            `whole_epochs` tells: it is False where the parameters are those of a broken epoch.
        """
        self._require("train")
        self._raise_pending()
        order = self._row_numbers_of_table(order)
        rates = np.atleast_1d(np.asarray(learning_rate, np.float64))
        n_batches = -(-len(order) // self._batch_size)
        if rates.shape not in ((1,), (n_batches,)):
            raise ValueError(f"learning_rate must be a number, or have one for each of {n_batches} batches, got {rates.shape}")
        loss = self._engine.train(order, np.ascontiguousarray(rates))
        self._count(self._trained, order)
        self.whole_epochs = loss is not None and not self._engine.stopped
        if loss is None:
            raise NonFinite(self._engine.step)
        self._after_run()
        return loss

    def _after_run(self):
        """Keep what a signal handler raised, and raise it if the run was left for it."""
        self._raised = self._engine.raised or self._raised
        if self._engine.stopped:
            self._raise_pending()

    def _raise_pending(self):
        if self._raised is not None:
            error, self._raised = self._raised, None
            raise error

    def loss_gradient(self, flat, gradient, order):
        """The loss of the rows `order` as one batch at the parameters `flat`, and its gradient written to `gradient`.

        Both are vectors of shape (n_parameters,): see `Network.pack`. With batch normalization the statistics are the batch's, which may have
        at most `batch_size` rows.
        """
        self._require("differentiate")
        self._raise_pending()
        n = self._network.n_parameters
        views = self._views(_checked(flat, "flat", (np.dtype(np.float64),), (n,)))
        blank = self._network.blank(np.float64)
        self._engine.load(views, blank.means, blank.variances, None, 0)
        if self._network.normalization == "batch" and len(order) > self._batch_size:
            raise ValueError(f"with batch normalization a batch has at most batch_size={self._batch_size} rows, got {len(order)}")
        loss = self._engine.differentiate(self._row_numbers_of_table(order))
        self._count(self._trained, order)
        self._after_run()
        if loss is None:
            raise ValueError("sample_weight must not sum to zero over the rows of a loss")
        self._engine.store_gradient(self._views(_checked(gradient, "gradient", (np.dtype(np.float64),), (n,), writes=True)))
        return loss

    def _views(self, flat):
        views, start = [], 0
        for shape in self._shapes:
            size = math.prod(shape)
            views.append(flat[start : start + size].reshape(shape))
            start += size
        return views

    def evaluate(self, rows=None, out=None):
        """The weighted mean loss of the rows numbered `rows` (None: all) without any penalty, and their outputs: (loss, outputs).

        As in predictions there is no dropout, and batch normalization uses the running statistics.
        """
        self._require("train", "differentiate")
        rows, out = self._rows_and_out(rows, out)
        loss = self._engine.evaluate(rows, out)
        self._count(self._evaluated, rows)
        self._after_run()
        if loss is None:
            raise ValueError("sample_weight must not sum to zero over the rows of a loss")
        return loss, out

    def predict(self, rows=None, out=None):
        """Outputs, with the output activation, of the rows numbered `rows` (None: all), shape (n_rows, n_outputs)."""
        self._require("train", "differentiate", "predict")
        rows, out = self._rows_and_out(rows, out)
        if len(rows):
            self._engine.predict(rows, out)
            self._count(self._evaluated, rows)
            self._after_run()
        return out

    def _rows_and_out(self, rows, out):
        rows = np.arange(self._n_samples) if rows is None else self._row_numbers_of_table(rows)
        shape = (len(rows), self._network.n_outputs)
        return rows, np.empty(shape, self._dtype) if out is None else _checked(out, "out", (self._dtype,), shape, writes=True)

    def _row_numbers_of_table(self, order):
        order = _row_numbers(order)
        if not _compiled.are_rows(order, self._n_samples):
            raise IndexError(f"row numbers must be within 0 .. {self._n_samples - 1}, and at least one")
        return order

    def _count(self, done, order):
        """Add the rows of the run that has just ended, and the numbers in them that the first layer multiplies."""
        if self._counts is not None:
            rows = order[: self._engine.rows_begun]
            n_features = self._network.layer_units[0]
            entries = len(rows) * n_features if self._entries is None else (self._entries[rows + 1] - self._entries[rows]).sum()
            done += len(rows), entries

    def _operations(self):
        """Of the products alone: two a weight and row, or where the first layer goes over the non-zeros, two a weight and non-zero."""
        units = self._network.layer_units
        forward, evaluation = (
            [2 * entries * units[1], *(2 * rows * n_in * n_out for n_in, n_out in zip(units[1:], units[2:]))]
            for rows, entries in (self._trained.tolist(), self._evaluated.tolist())
        )
        return {"forward": forward, "backward": [0, *forward[1:]], "gradient and update": forward, "evaluation": evaluation}

    def close(self):
        """Join the threads and free the buffers."""
        self._role = "closed"
        if self._counts is not None:
            counts, self._counts = self._counts, None
            counts.append({
                "n_threads": self._n_threads, "dtype": self._dtype.name,
                "seconds": self._engine.phase_seconds(), "operations": self._operations(),
            })
        if self._n_threads:
            release_threads()
            self._n_threads = 0
        if self._engine is not None:
            self._engine.close()

    __del__ = close

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.close()
        if kind is None:
            self._raise_pending()


_NOTHING = np.zeros(0, np.uint8)
_CLASS_LOSSES = ("log_loss", "focal")


def _activation(activation, parameter, dtype):
    """(number, parameter, address of an own one or 0) of a hidden layer's activation."""
    if isinstance(activation, Activation):
        return _compiled.OWN_ACTIVATION, 0.0, _own_kernels().activation_kernel(activation, dtype).address
    record = activation_of(activation)
    parameter = record.default if parameter is None else parameter
    return _compiled.ACTIVATIONS[record.kernel], 0.0 if parameter is None else parameter, 0


def _loss_code(loss):
    return _compiled.OWN_LOSS if isinstance(loss, Loss) else _compiled.LOSSES[LOSSES[loss].kernel]


def _own_loss(loss, dtype):
    """(address, whether it is a mean over outputs, the loss that has its output activation) of the user's own loss; else None."""
    if not isinstance(loss, Loss):
        return None
    output = _loss_code(LOSS_BY_OUT_ACTIVATION[loss.out_activation].name)
    return _own_kernels().loss_kernel(loss, dtype).address, loss.is_mean, output


@cache
def _own_kernels():
    from nnfast.engines import own_kernels  # which nothing else needs

    return own_kernels


def _loss_parameters(network):
    loss = loss_of(network.loss)
    parameters = network.loss_parameters or loss.defaults
    expected = network.n_outputs if network.loss == "quantile" else len(loss.defaults)
    if network.loss == "quantile" and len(parameters) == 1:
        parameters = parameters * expected
    if len(parameters) not in (0, expected):
        raise ValueError(f"loss {network.loss!r} takes {expected} parameters, got {parameters!r}")
    return parameters


def _update_settings(optimizer, regularization, dtype):
    """What Engine.set_update takes. What is positive stays so in the dtype."""
    if optimizer is None:
        return {"alpha": regularization.alpha}
    settings = {name: getattr(regularization, name) or 0.0 for name in ("alpha", "l1", "clip_norm", "clip_value", "max_norm")}
    for name in ("momentum", "nesterov", "beta_1", "beta_2", "epsilon", "weight_decay", "momentum_decay"):
        if hasattr(optimizer, name):
            settings[name] = getattr(optimizer, name)
    if hasattr(optimizer, "rho"):
        settings["beta_2"] = optimizer.rho
    settings = {name: _at_least_tiny(value, dtype) for name, value in settings.items()}
    return settings | {"corrects_epsilon": optimizer.kernel in ("adamw", "nadam")}


def _at_least_tiny(value, dtype):
    return max(value, float(np.finfo(dtype).tiny)) if value > 0 else value


def _dropout(regularization):
    """For inputs and every hidden layer: (rate, scale and shift of what is kept, value of what is dropped)."""
    rates = []
    for layer, rate in enumerate((regularization.input_dropout, *regularization.dropout)):
        scale, shift = alpha_dropout_constants(rate) if layer and regularization.alpha_dropout else (1 / (1 - rate), 0.0)
        rates.append((rate, scale, shift, scale * SELU_FLOOR + shift if shift else 0.0))
    return rates


def _checked_arrays(arrays, shapes, writes=False):
    """The arrays, float32 or float64, if they have these shapes; converted where they are only read."""
    if len(arrays) != len(shapes):
        raise ValueError(f"the network has {len(shapes)} such arrays, got {len(arrays)}")
    checked = []
    for array, shape in zip(arrays, shapes):
        if not writes and (array.dtype not in _FLOATS or not array.flags.c_contiguous):
            array = np.ascontiguousarray(array, dtype=np.float32 if array.dtype == np.float32 else np.float64)
        checked.append(_checked(array, "an array of parameters", _FLOATS, shape, writes))
    return checked


def _row_numbers(order):
    return _checked(order, "order", _ROW_NUMBERS, np.shape(order))


def _checked(array, name, dtypes, shape, writes=False):
    """The array, if the compiled code can take it as it is."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be an array, got {type(array).__name__}")
    if array.dtype not in dtypes or array.shape != shape:
        accepted = " or ".join(dtype.name for dtype in dtypes)
        raise ValueError(f"{name} must be of dtype {accepted} and shape {shape}, got {array.dtype} and {array.shape}")
    flags = array.flags
    if not flags.c_contiguous or not flags.aligned or (writes and not flags.writeable):
        raise ValueError(f"{name} must be C-contiguous and aligned{', and writable' if writes else ''}")
    return array


def predict(network, parameters, X, *, dtype, n_threads=None):
    """Outputs of a whole table, shape (n_samples, n_outputs), with the output activation; see `Session` for the parameters."""
    with Session(network, X, dtype=dtype, batch_size=max(1, X.shape[0]), n_threads=n_threads) as session:
        session.load(parameters)
        return session.predict()


def predict_few(activation, loss, norm_eps, arrays, X, dtype):
    """What `predict` gives, to the bit, for an array of so few rows that taking them one at a time through the plain arrays is quicker; else None.

    Parameters
    ----------
    activation, loss, norm_eps
        As for a `Network`.
    arrays : tuple of list of ndarray
        Coefs, intercepts, and scales and shifts of layer normalization, or two empty lists.
    X : ndarray of shape (n_samples, n_features)
        Aligned. None is the answer if it is something else, or neither float32 nor float64.
    dtype : dtype
        The arithmetic, float32 or float64.
    """
    is_double = dtype.itemsize == 8
    return _compiled.predict_few(_isa, is_double, _row_settings(activation, len(arrays[0]) - 1, loss, norm_eps, is_double), arrays, X)


def predictor(activation, loss, norm_eps, arrays, dtypes, float32_gives):
    """A compiled object with copies of the arrays, whose `predict(X, out, columns)` checks X and out and answers few rows: see Predictor in
    kernels/predictor.pxi. The first parameters are those of `predict_few`.

    Parameters
    ----------
    dtypes : pair of dtype
        The arithmetic for X of float32 and of float64.
    float32_gives : dtype
        Of the answers for X of float32; those for X of float64 are float64.
    """
    networks = {}
    for is_double in {dtype.itemsize == 8 for dtype in dtypes}:
        settings = _row_settings(activation, len(arrays[0]) - 1, loss, norm_eps, is_double)
        networks[is_double] = _compiled.RowNetwork(_isa, is_double, *settings, *arrays, True)
    return _compiled.Predictor(*(networks[dtype.itemsize == 8] for dtype in dtypes), float32_gives.itemsize == 8)


def _row_settings(activation, n_hidden, loss, norm_eps, is_double):
    """Codes and numbers for the compiled code: (those of every hidden layer's activation, the loss's, epsilon)."""
    named = activation if isinstance(activation, tuple) else ((activation, None),) * n_hidden
    own = any(isinstance(each, Activation) for each, _ in named)  # whose addresses may change
    return (_find_row_settings.__wrapped__ if own else _find_row_settings)(named, loss, norm_eps, is_double)


@lru_cache
def _find_row_settings(named, loss, norm_eps, is_double):
    eps = _at_least_tiny(float(norm_eps), np.dtype(np.float64 if is_double else np.float32))
    dtype = "float64" if is_double else "float32"
    return tuple(_activation(*each, dtype) for each in named), _loss_code(loss), eps


def are_finite_rows(X):
    """Whether X is a NumPy array, and of no subclass, of float32 or float64 and shape (n_samples, n_features), that the compiled code can read,
    with a row or more, and all finite."""
    return _compiled.are_finite_rows(_isa, X)


# ---------------------------------------------------------------------------------------------------------------------
# Metrics of outputs, shape (n_samples, n_outputs) of float32 or float64, with weights (float64, or None for 1 a row). Sums are in float64.


def accuracy(outputs, y, sample_weight=None):
    """Weighted share of rows whose first largest output is number y (intp, shape (n_samples,))."""
    hits, total = _compiled.accuracy(*_outputs_and_numbers(outputs, y), _weights(outputs, sample_weight))
    return hits / total


def subset_accuracy(outputs, labels, sample_weight=None):
    """Weighted share of rows all of whose outputs are above 0.5 where the labels (bool, of outputs' shape) are true, and not where they are false."""
    labels = _checked(labels, "labels", (np.dtype(bool),), outputs.shape).view(np.uint8)
    hits, total = _compiled.subset_accuracy(_outputs(outputs), labels, _weights(outputs, sample_weight))
    return hits / total


def log_loss(outputs, y, sample_weight=None):
    """Weighted mean of -log(p), p a row's probability of class number y (intp), kept from 0 and 1 by the outputs' machine epsilon. One column of outputs is
    that of class 1 of 2."""
    epsilon = float(np.finfo(outputs.dtype).eps)
    loss, total = _compiled.log_loss(*_outputs_and_numbers(outputs, y), _weights(outputs, sample_weight), epsilon)
    return loss / total


def roc_auc(outputs, column, y, positive, sample_weight=None):
    """Area under the ROC curve of one column of the outputs, for telling the rows with y = positive (intp, shape (n_samples,)) from the others.

    NaN where the weights of one of the two kinds are zero.
    """
    column = range(outputs.shape[1])[column]
    order = outputs[:, column].argsort().astype(np.intp, copy=False)
    outputs, y = _outputs_and_numbers(outputs, y)
    return _compiled.roc_auc(outputs, column, order, y, positive, _weights(outputs, sample_weight))


def squared_errors(outputs, y, sample_weight=None):
    """Weighted mean over the rows of (y - output)^2 for each output: shape (n_outputs,); y is float64 and of outputs' shape."""
    errors = np.empty(outputs.shape[1])
    y = _checked(y, "y", (np.dtype(np.float64),), outputs.shape)
    total = _compiled.squared_errors(_outputs(outputs), y, _weights(outputs, sample_weight), errors)
    return errors / total


def _outputs(outputs):
    return _checked(outputs, "outputs", _FLOATS, (*np.shape(outputs)[:1], max(1, np.shape(outputs)[-1])))


def _outputs_and_numbers(outputs, y):
    outputs = _outputs(outputs)
    y = _checked(y, "y", _ROW_NUMBERS, (len(outputs),))
    if not _compiled.are_rows(y, max(2, outputs.shape[1])):
        raise ValueError(f"y must hold class numbers 0 .. {max(2, outputs.shape[1]) - 1}, and one at least")
    return outputs, y


def _weights(outputs, sample_weight):
    return None if sample_weight is None else _checked(sample_weight, "sample_weight", (np.dtype(np.float64),), (len(outputs),))
