"""The Numba engine: the network in readable Python, compiled when it is first used, for machines where
nothing else was compiled.

What it computes is in kernels/jit: `network.py` is where to begin. It takes the records' own formulas, and
BLAS for products; so it is slower than the Cython engine, and its numbers are that engine's to rounding only.
"""

import numpy as np

from nnfast.activations import activation_of
from nnfast.custom_functions import Loss
from nnfast.custom_kernels import activation_kernel, loss_kernel
from nnfast.engines.arrays import FLOATS, at_least_tiny, row_numbers
from nnfast.engines.metrics import Metrics
from nnfast.engines.session import (
    CHUNK_ROWS,  # noqa: F401, as SPARSE_BELOW: engines' own
    BaseSession,
    NonFinite,  # noqa: F401
)
from nnfast.engines.tables import SPARSE_BELOW  # noqa: F401
from nnfast.kernels.jit import engine as _compiled
from nnfast.kernels.jit import metrics as _compiled_metrics
from nnfast.kernels.jit import of_records
from nnfast.kernels.jit.run import power
from nnfast.losses import LOSS_BY_OUT_ACTIVATION, loss_of
from nnfast.plan import Forms


def instruction_sets():
    """Names of the instruction sets that there are to choose from: the CPU's own."""
    return ("native",)


def instruction_set():
    """Name of the instruction set in use: whatever the CPU has."""
    return "native"


def peak_gflops(dtype, n_threads, rounds=2_000_000):
    """GFLOP/s of multiply-adds that `dtype` is known to reach, by n_threads at once, in BLAS's products of
    large matrices.
    """
    return _compiled.blas_gflops(np.dtype(dtype), n_threads, rounds)


def shuffle(order, random_state):
    """Shuffle row numbers in place, with the very draws of ``sklearn.utils.shuffle(order,
    random_state=random_state)``.

    Parameters
    ----------
    order : ndarray of intp, shape (n,), contiguous
    random_state : numpy.random.RandomState
    """
    random_state.shuffle(row_numbers(order))


def bfloat16_units():
    """Names of the units for bfloat16 products: none."""
    return ()


def bfloat16_unit():
    """Name of the unit for bfloat16 products.

    Raises
    ------
    ValueError
        There is none.
    """
    raise ValueError(
        "precision='bfloat16' needs engine='cython'. precision='float32' runs with both engines."
    )


def forms(dtype):
    """What the kernels can do in one go: see `nnfast.plan.Forms`."""
    return Forms(fuses_derivative=False)


class Session(BaseSession):
    __doc__ = BaseSession.__doc__

    _flops_a_thread = 15_000_000  # BLAS's threads are of use in large products alone
    _bfloat16_unit = staticmethod(bfloat16_unit)
    _are_rows = staticmethod(_compiled_metrics.are_rows)
    _power = staticmethod(power)
    _forms = staticmethod(forms)

    def _new_engine(self, optimizer, loss_parameters, **sizes):
        network = self._network
        return _compiled.Engine(
            self._dtype,
            network.layer_units,
            [_activation(*each, self._dtype.name) for each in network.activations],
            loss_of(network.loss),
            _loss_kernels(network.loss, self._dtype.name),
            loss_parameters,
            optimizer,
            of_records.update(optimizer, self._dtype) if optimizer else None,
            network.normalization,
            at_least_tiny(network.norm_eps, self._dtype),
            network.norm_momentum,
            self._n_threads,
            **sizes,
        )

    def _attach(self):
        self._engine.attach()


def _activation(activation, parameter, dtype):
    """(kernel, parameter) of a hidden layer's activation."""
    record = activation_of(activation)
    parameter = record.default if parameter is None else parameter
    return activation_kernel(record, dtype), 0.0 if parameter is None else parameter


def _loss_kernels(loss, dtype):
    """What the compiled Engine takes."""
    if isinstance(loss, Loss):
        return (
            loss_kernel(loss, dtype),
            None,
            *of_records.output(LOSS_BY_OUT_ACTIVATION[loss.out_activation], dtype),
        )
    return *of_records.loss(loss_of(loss), dtype), *of_records.output(loss_of(loss), dtype)


def predict(network, parameters, X, *, dtype, n_threads=None):
    """Outputs of a whole table, shape (n_samples, n_outputs), with the output activation; see `Session` for
    the parameters.
    """
    with Session(network, X, dtype=dtype, batch_size=max(1, X.shape[0]), n_threads=n_threads) as session:
        session.load(parameters)
        return session.predict()


def predict_few(activation, loss, norm_eps, arrays, X, dtype):
    """None: `predict` is the quickest that this engine has for few rows, too. The parameters are those of the
    Cython engine.
    """
    return None


def predictor(activation, loss, norm_eps, arrays, dtypes, float32_gives):
    """An object whose `predict(X, out, columns)` checks X and out, and leaves the answer to others. The
    parameters are those of the Cython engine.
    """
    return _Predictor(arrays[0][0].shape[0], np.dtype(float32_gives))


class _Predictor:
    """What kernels/predictor.pxi's Predictor does before it answers."""

    def __init__(self, n_features, float32_gives):
        self._n_features, self._float32_gives = n_features, float32_gives

    def predict(self, X, out, columns):
        """None, if X and out are what they have to be."""
        _check_table(X, self._n_features)
        if out is not None:
            _check_out(
                out,
                X,
                FLOATS[1] if X.dtype == FLOATS[1] else self._float32_gives,
                (len(X), columns) if columns else (len(X),),
            )


def _check_table(X, n_features):
    if not isinstance(X, np.ndarray):
        raise TypeError(
            f"X must be a NumPy array of float32 or float64, got {type(X).__name__}: tables of other kinds "
            "are for the estimator, or for np.asarray or their own to_numpy() or toarray()."
        )
    if X.dtype not in FLOATS or not X.dtype.isnative or not X.flags.aligned:
        raise TypeError(
            f"X must be of dtype float32 or float64, aligned, in native byte order, got {X.dtype}"
            f"{'' if X.flags.aligned else ', not aligned'}: X.astype(np.float64) is."
        )
    if X.ndim != 2:
        raise ValueError(
            f"X must have two dimensions, (n_samples, n_features), got shape {X.shape}: a single row is"
            " X.reshape(1, -1)."
        )
    if X.shape[1] != n_features:
        raise ValueError(f"X must have {n_features} features, as the table fitted on had, got {X.shape[1]}.")


def _check_out(out, X, dtype, shape):
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}.")
    if out.dtype != dtype or out.shape != shape:
        raise ValueError(
            f"out must be of dtype {dtype.name} and shape {shape}, got {out.dtype} and {out.shape}."
        )
    if not (out.flags.carray and out.dtype.isnative):
        raise ValueError("out must be C-contiguous, aligned, in native byte order and writable.")
    if np.may_share_memory(X, out):
        raise ValueError("out must not share memory with X.")


def are_finite_rows(X, in_float32=False):
    """Whether X is a NumPy array, and of no subclass, of float32 or float64 and shape (n_samples,
    n_features), with a row or more, and all finite; with `in_float32` float64 rounded to float32, too.
    """
    if not (type(X) is np.ndarray and X.ndim == 2 and len(X) and X.dtype in FLOATS and X.dtype.isnative):
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(X.astype(np.float32) if in_float32 else X).all())


def fingerprint(attributes, names):
    """A value that is equal as long as attributes are the same objects, and arrays in lists and tuples of the
    same dtype and shape.

    Parameters
    ----------
    attributes : dict
    names : tuple of (str or (str, tuple of str))
        The attributes that count; a pair stands for an attribute and for some of its own.
    """
    found = []
    for name in names:
        name, inner = name if isinstance(name, tuple) else (name, ())
        value = attributes.get(name, _ABSENT)
        if isinstance(value, list | tuple):
            found.append(
                tuple(
                    (id(item), getattr(item, "shape", None), getattr(item, "dtype", None)) for item in value
                )
            )
        else:
            found += [id(value), *(id(getattr(value, each, _ABSENT)) for each in inner)]
    return tuple(found)


_ABSENT = object()

_metrics = Metrics(_compiled_metrics)
accuracy, subset_accuracy, log_loss = _metrics.accuracy, _metrics.subset_accuracy, _metrics.log_loss
roc_auc, squared_errors = _metrics.roc_auc, _metrics.squared_errors
