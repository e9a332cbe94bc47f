"""What the estimators accept as tables and weights, made ready for the engine without copying X."""

import re
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from nnfast import engines, targets
from nnfast.blocks import KEPT, check_finite
from nnfast.frames import naming_columns, refuse_complex, refuse_dates
from nnfast.mapped import check_whole, is_large, memory, root_of
from nnfast.numeric_table import NumericTable
from nnfast.overflow import IN_FLOAT32, check_held
from nnfast.solvers import solver_of

FLOATS = _FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def common_dtype(table, parameters):
    """The dtype that NumPy gives to a product of arrays of these dtypes."""
    return table if table == parameters else np.result_type(table, parameters)


def arithmetic_dtype(precision, common):
    """The dtype to compute in: what `precision` says, or for "auto" that of scikit-learn, which is the
    `common` one.
    """
    if precision == "auto":
        return _FLOAT32 if common == _FLOAT32 else _FLOAT64
    return _FLOAT32 if precision == "bfloat16" else np.dtype(precision)


def fit_dtype(estimator):
    """The dtype that a fit computes in at least."""
    low_precision = solver_of(estimator.solver).low_precision
    return np.float32 if estimator.precision in IN_FLOAT32 and low_precision else np.float64


def check_hidden_layer_sizes(hidden_layer_sizes):
    """The units of the hidden layers as a tuple of int."""
    sizes = hidden_layer_sizes if hasattr(hidden_layer_sizes, "__iter__") else [hidden_layer_sizes]
    sizes = [size.item() if isinstance(size, np.generic) else size for size in sizes]
    if any(isinstance(size, bool) or not isinstance(size, Integral) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    if any(size > _MOST_UNITS for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be at most {_MOST_UNITS} each, got {sizes}.")
    return tuple(sizes)


_MOST_UNITS = np.iinfo(np.intp).max
_LARGE_BYTES = 1 << 30  # of a network whose size is compared with the memory


def check_memory(layer_units, dtype):
    """Raise MemoryError if the parameters of a network, which a fit has twice at least, are beyond this
    process's memory.
    """
    n_parameters = sum((n_in + 1) * n_out for n_in, n_out in pairwise(layer_units))
    needed = 2 * n_parameters * np.dtype(dtype).itemsize
    if needed > _LARGE_BYTES and needed > (available := memory()):
        raise MemoryError(
            f"hidden_layer_sizes={layer_units[1:-1]} with {layer_units[0]} inputs and {layer_units[-1]} "
            f"outputs makes {n_parameters:.3g} parameters. A fit needs {needed / 1e9:.3g} GB for them at "
            f"least, and this process may use {available / 1e9:.3g} GB."
        )


def check_table(estimator, X, y, *, reset, kind=NumericTable, names=("X", "y")):
    """Validate X and y of a fit as scikit-learn does, but leave X's integers, strides and memory map as they
    are. Returns X as a table of the class `kind`, and y.

    `names` are what the caller knows X and y by. A regressor's y is numbers, a classifier's labels: see
    `nnfast.targets`.

    CSC becomes CSR, and a Fortran-ordered array in memory becomes C-ordered: every epoch gathers rows in
    random order, which costs a cache line a number there. A large mapped table is looked through block by
    block, and where it is read in blocks later, keeps any dtype of numbers.
    """
    check_whole(X)
    y_numeric = estimator._y_numeric
    if not reset and _needs_no_look(estimator, X, y):
        return kind(X), y
    for values, name in zip((X, y), names, strict=True):
        refuse_complex(values, name)
    refuse_dates(X, names[0], estimator)
    if y_numeric:
        refuse_dates(y, names[1])
    large = is_large(X)
    as_it_is = large and kind.keeps_any_dtype
    kept = as_it_is or (isinstance(X, np.ndarray) and X.dtype in KEPT)
    by_block = large and kept
    several_targets = len(getattr(y, "columns", ())) > 1
    with (
        nullcontext() if names == ("X", "y") else blaming(", ".join(names)),
        naming_columns(X, names[0], estimator),
        naming_columns(y, names[1], advises=False) if several_targets else nullcontext(),
    ):
        X, y = validate_data(
            estimator,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            dtype=None if kept else (np.float64, np.float32),
            ensure_all_finite=not by_block,
            reset=reset,
        )
        dtype = fit_dtype(estimator)
        if by_block:
            check_finite(X, type(estimator).__name__, dtype)
        elif not get_config()["assume_finite"]:
            check_held(X, dtype, names[0])
    if not issparse(X) and not as_it_is:
        if X.flags.f_contiguous and root_of(X) is None:
            X = np.ascontiguousarray(X)
        X = np.require(X, requirements="A")
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    y = (targets.as_numbers if y_numeric else targets.as_labels)(y, names[1])
    return kind(X), y


def _needs_no_look(estimator, X, y):
    """Whether scikit-learn's validation of X and y would change nothing and say nothing: it takes half a
    millisecond.

    That is so of a finite float array in C order with a number or a label of finite numbers a row, for a
    fitted estimator that knows no names of columns.
    """
    known = vars(estimator)
    return (
        type(y) is np.ndarray
        and y.ndim == 1
        and y.dtype.kind in "biuf"
        and y.dtype.isnative
        and not is_large(X)
        and engines.get_engine(estimator.engine).are_finite_rows(X, estimator.precision in IN_FLOAT32)
        and X.flags.c_contiguous
        and X.shape == (len(y), known.get("n_features_in_"))
        and "feature_names_in_" not in known
        and (y.dtype.kind != "f" or bool(np.isfinite(y).all()))
    )


def check_rows(estimator, X):
    """Validate X of a prediction: (X as the engine takes it, X's dtype as scikit-learn would compute with
    it).

    The ordinary case, a finite float array for an estimator without feature names, in which scikit-learn's
    validation would change nothing and say nothing, takes a microsecond; any other goes through it, and it
    words the errors. A large mapped table is looked through block by block, and stays as it is.
    """
    if getattr(X, "base", None) is not None:  # rows in memory of their own are spared the look
        check_whole(X)
    large = is_large(X)
    if (
        not large
        and engines.get_engine(estimator.engine).are_finite_rows(X, estimator.precision in IN_FLOAT32)
        and X.shape[1] == estimator.n_features_in_
        and "feature_names_in_" not in vars(estimator)
    ):
        return X, X.dtype
    refuse_complex(X, "X")
    refuse_dates(X, "X", estimator)
    with naming_columns(X, "X", estimator):
        X = validate_data(estimator, X, accept_sparse="csr", ensure_all_finite=not large, reset=False)
        given = X.dtype
        if not large and given not in (FLOATS if issparse(X) else KEPT):
            check_held(X, np.float64)  # of long doubles
            # an array of objects may fail here
            X = X.astype(np.float32 if given == np.float16 else np.float64)
    dtype = np.float32 if estimator.precision in IN_FLOAT32 else np.float64
    if large:
        check_finite(X, type(estimator).__name__, dtype)
        return X, given
    if not get_config()["assume_finite"]:
        check_held(X, dtype)
    return X if issparse(X) else np.require(X, requirements="A"), given


def check_sample_weight(sample_weight, X, name="sample_weight"):
    """float64 weights of shape (n_samples,), or None. That they sum to something is for the fit to check."""
    if sample_weight is None:
        return None
    given = np.asarray(sample_weight)
    refuse_complex(given, name)
    if given.dtype.kind in "mM":
        raise TypeError(f"{name} must be numbers, got dtype {given.dtype}.")
    with blaming(name):
        return _check_sample_weight(sample_weight, X, dtype=np.float64)


# ------------------------------------------------------------------------------------------------------------
# Rows held out of the training


class HeldOut(NamedTuple):
    """What `fit` is given to validate on: X_val, y_val and sample_weight_val, or validation_indices."""

    X: Any = None
    y: Any = None
    sample_weight: Any = None
    indices: Any = None


NOTHING_HELD_OUT = HeldOut()


def check_held_out(held_out):
    """Raise ValueError unless at most one kind of validation rows is given, and that completely."""
    X_val, y_val, sample_weight_val, validation_indices = held_out
    if X_val is not None and validation_indices is not None:
        raise ValueError("fit takes X_val and y_val, or validation_indices, not both.")
    if (X_val is None) != (y_val is None):
        given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise ValueError(f"fit got {given} without {missing}: validation rows need both.")
    if sample_weight_val is not None and X_val is None:
        raise ValueError(
            "fit got sample_weight_val without X_val and y_val, whose rows it weighs. Rows of "
            "validation_indices, or of early_stopping's own split, have their weights in sample_weight."
        )


@contextmanager
def blaming(what):
    """Begin what an error says with the argument that it is about, unless it says that already."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if re.search(rf"\b{what}\b", str(error)):
            raise
        raise (TypeError if isinstance(error, TypeError) else ValueError)(f"{what}: {error}") from error


def check_validation_indices(validation_indices, n_samples):
    """Row numbers from a list of them, which may be negative, or from a mask: intp of shape (n_held_out,)."""
    if isinstance(validation_indices, tuple | list) and [*map(type, validation_indices)] == [np.ndarray] * 2:
        raise ValueError(
            "validation_indices must be row numbers or a mask of booleans, got a pair of arrays: of the "
            "rows to train on and the rows to hold out, as scikit-learn's splitters give them, pass the "
            "second."
        )
    with blaming("validation_indices"):
        indices = np.asarray(validation_indices)
    if indices.shape == (0,):
        indices = indices.astype(np.intp)  # an empty list is of floats
    if indices.ndim != 1 or indices.dtype.kind not in "biu":
        raise ValueError(
            "validation_indices must be row numbers or a mask of booleans, of one dimension, got "
            f"{indices.dtype} of shape {indices.shape}."
        )
    if indices.dtype.kind == "b":
        if len(indices) != n_samples:
            raise ValueError(
                f"A mask as validation_indices must have n_samples={n_samples} rows, got {len(indices)}."
            )
        indices = np.flatnonzero(indices)
    outside = indices[(indices < -n_samples) | (indices >= n_samples)]
    if len(outside):
        raise ValueError(f"validation_indices must be row numbers of X, below {n_samples}, got {outside[0]}.")
    indices = indices.astype(np.intp)  # before n_samples is added, which int8 may not hold
    indices = np.where(indices < 0, indices + n_samples, indices)
    numbers, counts = np.unique(indices, return_counts=True)
    if len(numbers) < len(indices):
        raise ValueError(
            f"validation_indices must name a row once, got row {numbers[counts > 1][0]} several times."
        )
    if not 0 < len(indices) < n_samples:
        raise ValueError(
            "validation_indices must hold out at least one row and leave at least one to train on, got "
            f"{len(indices)} of {n_samples}."
        )
    return indices
