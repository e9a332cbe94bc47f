"""The Cython engine: checks everything that goes down to the compiled code, and owns the memory that it works
on.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial

import numpy as np

from nnfast import custom_kernels
from nnfast.activations import activation_of
from nnfast.custom_functions import Activation, Loss
from nnfast.engines.arrays import at_least_tiny, row_numbers
from nnfast.engines.metrics import Metrics
from nnfast.engines.programs import tables
from nnfast.engines.session import (
    CHUNK_ROWS,  # noqa: F401, as SPARSE_BELOW: engines' own
    BaseSession,
    NonFinite,
)
from nnfast.engines.tables import SPARSE_BELOW  # noqa: F401
from nnfast.kernels import engine as _compiled
from nnfast.losses import LOSS_BY_OUT_ACTIVATION, LOSSES
from nnfast.overflow import check_held, check_overflow
from nnfast.plan import Forms


def instruction_sets():
    """Names of the instruction sets that were compiled in and that this CPU has, slowest first."""
    return _compiled.instruction_sets()


def _choose_instruction_set():
    available = instruction_sets()
    if not available:
        raise ImportError(
            "nnfast's compiled code needs at least SSE4.2 and POPCNT on x86-64; this CPU lacks them."
        )
    asked = os.environ.get("NNFAST_ISA")
    if not asked:
        return available[-1]
    if asked not in available:
        raise ValueError(
            f"NNFAST_ISA={asked!r} is not available on this machine; available are: {', '.join(available)}."
        )
    return asked


_isa = _choose_instruction_set()


def instruction_set():
    """Name of the instruction set in use: the best one, or what the environment variable NNFAST_ISA asked for
    at import.
    """
    return _isa


def peak_gflops(dtype, n_threads, rounds=2_000_000):
    """GFLOP/s of multiply-adds in registers, by n_threads at once, with the instruction set in use: what
    arithmetic in `dtype` can reach.

    By the time that each thread had a core: one taken away for a moment does not count. Two million rounds
    take about 5 ms.
    """
    table = _compiled.KernelTable(_isa, dtype)

    def rate(rounds):
        start = time.thread_time()
        return table.multiply_add(rounds) / (time.thread_time() - start) / 1e9

    with ThreadPoolExecutor(n_threads) as pool:
        return sum(pool.map(rate, [rounds] * n_threads))


def shuffle(order, random_state):
    """Shuffle row numbers in place, with the very draws of ``sklearn.utils.shuffle(order,
    random_state=random_state)``.

    Parameters
    ----------
    order : ndarray of intp, shape (n,), contiguous
    random_state : numpy.random.RandomState
    """
    _compiled.shuffle(row_numbers(order), random_state)


def bfloat16_units():
    """Names of the units for bfloat16 products that go with the instruction set in use, slowest first."""
    return _compiled.bfloat16_units() if _isa == "avx512" else ()


def bfloat16_unit():
    """Name of the unit for bfloat16 products: the best one, or what the environment variable NNFAST_BFLOAT16
    asks for.

    Raises
    ------
    ValueError
        If there is none.
    """
    units = bfloat16_units()
    if not units:
        raise ValueError(
            "precision='bfloat16' needs a CPU with AVX512-BF16 or AMX, an operating system that lets "
            "programs use it, a build of nnfast by a compiler that knows it, and NNFAST_ISA=avx512, which "
            f"is the default there; in use is {_isa!r}, and no such unit. precision='float32' runs "
            "everywhere."
        )
    asked = os.environ.get("NNFAST_BFLOAT16")
    if asked and asked not in units:
        raise ValueError(
            f"NNFAST_BFLOAT16={asked!r} is not available on this machine; available are: {', '.join(units)}."
        )
    return asked or units[-1]


def forms(dtype):
    """What the kernels in use can do in one go: see `nnfast.plan.Forms`."""
    return _forms(_isa, dtype)


@cache
def _forms(isa, dtype):
    return Forms(panel=_compiled.KernelTable(isa, dtype).panel, **_compiled.FORMS)


class Session(BaseSession):
    __doc__ = BaseSession.__doc__

    _bfloat16_unit = staticmethod(bfloat16_unit)
    _are_rows = staticmethod(_compiled.are_rows)
    _power = staticmethod(_compiled.power)
    _forms = staticmethod(forms)
    several_epochs = True

    def epochs(self, orders, learning_rates):
        """Several epochs without coming back to Python between them, to the bit as by as many calls of
        `epoch`. For short ones: no signal ends them.

        Parameters
        ----------
        orders : ndarray of intp, shape (n_epochs, n_rows)
        learning_rates : float64 ndarray of shape (n_epochs, n_batches), or (..., 1 + n_columns)

        Returns
        -------
        losses : ndarray of shape (n_epochs,)

        Raises
        ------
        NonFinite
            The parameters are then those of the end of the last whole epoch.
        KeyboardInterrupt, or what another signal's handler raised
            As from `epoch`, where a call's end is always near.
        """
        self._require("train")
        self._raise_pending()
        n_epochs, n_rows = orders.shape
        order = self._row_numbers_of_table(orders.reshape(-1))
        n_batches = -(-n_rows // self._batch_size)
        columns = (1 + len(self._columns),) if self._columns else ()
        if learning_rates.shape != (n_epochs, n_batches, *columns):
            raise ValueError(
                f"learning_rates must have one for each of {n_epochs} times {n_batches} batches, got"
                f" {learning_rates.shape}"
            )
        losses = np.empty(n_epochs)
        rates = np.asarray(learning_rates, np.float64).reshape(n_epochs * n_batches, -1)
        n = self._engine.train_epochs(order, self._windows(order, rates, n_epochs), losses)
        self._count(order)
        self.whole_epochs = n == n_epochs
        if n < n_epochs:
            raise NonFinite(self._engine.step - n * n_batches, losses[:n].tolist())
        self._after_run()
        return losses

    def _new_engine(self, optimizer, loss_parameters, **sizes):
        network = self._network
        program = _compiled.Program(
            _isa,
            self._dtype.itemsize == 8,
            tables(self._plan, _COLUMNS, _compiled.PHASES),
            [_activation(*each, self._dtype.name) for each in network.activations],
            _loss_code(network.loss),
            loss_parameters,
            unit=self._unit,
            own_loss=_own_loss(network.loss, self._dtype.name),
        )
        return _compiled.Engine(
            program,
            n_threads=self._n_threads,
            update=_compiled.UPDATES[optimizer.kernel] if optimizer else _compiled.UPDATES["none"],
            n_moments=optimizer.n_moments if optimizer else 0,
            norm_eps=at_least_tiny(network.norm_eps, self._dtype),
            norm_momentum=network.norm_momentum,
            **sizes,
        )

    def _attach(self):
        self._engine.attach(
            [np.zeros(size, np.uint8) if size else _NOTHING for size in self._engine.measure()]
        )


_NOTHING = np.zeros(0, np.uint8)
_COLUMNS = (
    ("operations", _compiled.OPERATION_COLUMNS),
    ("segments", _compiled.SEGMENT_COLUMNS),
    ("buffers", _compiled.BUFFER_COLUMNS),
    ("params", _compiled.PARAM_COLUMNS),
    ("norms", _compiled.NORM_COLUMNS),
)


def _activation(activation, parameter, dtype):
    """(number, parameter, address of an own one or 0) of a hidden layer's activation."""
    if isinstance(activation, Activation):
        return _compiled.OWN_ACTIVATION, 0.0, custom_kernels.activation_kernel(activation, dtype).address
    record = activation_of(activation)
    parameter = record.default if parameter is None else parameter
    return _compiled.ACTIVATIONS[record.kernel], 0.0 if parameter is None else parameter, 0


def _loss_code(loss):
    return _compiled.OWN_LOSS if isinstance(loss, Loss) else _compiled.LOSSES[LOSSES[loss].kernel]


def _own_loss(loss, dtype):
    """(address, whether it is a mean over outputs, the loss that has its output activation) of the user's own
    loss; else None.
    """
    if not isinstance(loss, Loss):
        return None
    output = _loss_code(LOSS_BY_OUT_ACTIVATION[loss.out_activation].name)
    return custom_kernels.loss_kernel(loss, dtype).address, loss.is_mean, output


def predict(network, parameters, X, *, dtype, n_threads=None):
    """Outputs of a whole table, shape (n_samples, n_outputs), with the output activation; see `Session` for
    the parameters.
    """
    with Session(network, X, dtype=dtype, batch_size=max(1, X.shape[0]), n_threads=n_threads) as session:
        session.load(parameters)
        return session.predict()


def predict_few(activation, loss, norm_eps, arrays, X, dtype):
    """What `predict` gives, to the bit, for an array of so few rows that taking them one at a time through
    the plain arrays is quicker; else None.

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
    return _compiled.predict_few(
        _isa, is_double, _row_settings(activation, len(arrays[0]) - 1, loss, norm_eps, is_double), arrays, X
    )


def predictor(activation, loss, norm_eps, arrays, dtypes, float32_gives):
    """A compiled object with copies of the arrays, whose `predict(X, out, columns)` checks X and out and
    answers few rows: see Predictor in kernels/predictor.pxi. The first parameters are those of `predict_few`.

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
    by_dtype = (networks[dtype.itemsize == 8] for dtype in dtypes)
    return _compiled.Predictor(
        _isa,
        *by_dtype,
        float32_gives.itemsize == 8,
        check_held,
        partial(check_overflow, loss=loss, arrays=arrays),
    )


def _row_settings(activation, n_hidden, loss, norm_eps, is_double):
    """Codes and numbers for the compiled code: (those of every hidden layer's activation, the loss's,
    epsilon).
    """
    named = activation if isinstance(activation, tuple) else ((activation, None),) * n_hidden
    own = any(isinstance(each, Activation) for each, _ in named)  # whose addresses may change
    return (_find_row_settings.__wrapped__ if own else _find_row_settings)(named, loss, norm_eps, is_double)


@lru_cache
def _find_row_settings(named, loss, norm_eps, is_double):
    eps = at_least_tiny(float(norm_eps), np.dtype(np.float64 if is_double else np.float32))
    dtype = "float64" if is_double else "float32"
    return tuple(_activation(*each, dtype) for each in named), _loss_code(loss), eps


def are_finite_rows(X, in_float32=False):
    """Whether X is a NumPy array, and of no subclass, of float32 or float64 and shape (n_samples,
    n_features), that the compiled code can read, with a row or more, and all finite; with `in_float32`
    float64 rounded to float32, too.
    """
    return _compiled.are_finite_rows(_isa, X, in_float32)


def fingerprint(attributes, names):
    """A value that is equal as long as attributes are the same objects, and arrays in lists and tuples of the
    same dtype and shape.

    Parameters
    ----------
    attributes : dict
    names : tuple of (str or (str, tuple of str))
        The attributes that count; a pair stands for an attribute and for some of its own.
    """
    return _compiled.fingerprint(attributes, names)


_metrics = Metrics(_compiled)
accuracy, subset_accuracy, log_loss = _metrics.accuracy, _metrics.subset_accuracy, _metrics.log_loss
roc_auc, squared_errors = _metrics.roc_auc, _metrics.squared_errors
