"""Checks of arrays and numbers on their way down to compiled code, which checks nothing."""

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
INDICES = (np.dtype(np.int32), np.dtype(np.int64))
ROW_NUMBERS = (np.dtype(np.intp),)
TINY = {dtype.char: float(np.finfo(dtype).tiny) for dtype in FLOATS}


def checked_arrays(arrays, shapes, writes=False):
    """The arrays, float32 or float64, if they have these names and shapes, both dicts, as a list in the order
    of the shapes; converted where they are only read.
    """
    if arrays.keys() != shapes.keys():
        differ = ", ".join(sorted(arrays.keys() ^ shapes.keys()))
        raise ValueError(
            f"the network has {len(shapes)} such arrays, got {len(arrays)}; they differ by {differ}"
        )
    arrays_checked = []
    for name, shape in shapes.items():
        array = arrays[name]
        if not writes:
            array = np.require(array, np.float32 if array.dtype == np.float32 else np.float64, "CA")
        arrays_checked.append(checked(array, name, FLOATS, shape, writes))
    return arrays_checked


def row_numbers(order):
    """The array, if it can hold numbers of rows."""
    return checked(order, "order", ROW_NUMBERS, np.shape(order))


def checked(array, name, dtypes, shape, writes=False):
    """The array, if the compiled code can take it as it is."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be an array, got {type(array).__name__}")
    if array.dtype not in dtypes or array.shape != shape:
        accepted = " or ".join(dtype.name for dtype in dtypes)
        raise ValueError(
            f"{name} must be of dtype {accepted} and shape {shape}, got {array.dtype} and {array.shape}"
        )
    flags = array.flags
    if not flags.c_contiguous or not flags.aligned or (writes and not flags.writeable):
        raise ValueError(f"{name} must be C-contiguous and aligned{', and writable' if writes else ''}")
    return array


def checked_csr(X, dtype):
    """(data, indices, indptr) of a CSR matrix: data of a float dtype, and indices of one dtype. ValueError if
    it is none that can be read.

    Another thread may write to X while compiled code reads it. indptr, a number a row, is a copy; indices,
    which would take half as much memory as the table, are not, and compiled code checks each as it reads it.
    """
    data = X.data if X.data.dtype in FLOATS else X.data.astype(dtype)
    indices, indptr = X.indices, np.array(X.indptr)
    if indices.dtype != indptr.dtype or indices.dtype not in INDICES:
        indices, indptr = indices.astype(np.int64), indptr.astype(np.int64)
    data, indices = (np.require(array, requirements="CA") for array in (data, indices))
    if (
        len(indptr) != X.shape[0] + 1
        or indptr[0] != 0
        or indptr[-1] > min(len(indices), len(data))
        or (np.diff(indptr) < 0).any()
    ):
        raise ValueError("X is not a valid CSR matrix: its indptr does not fit its indices and data")
    if len(indices) and not 0 <= indices.min() <= indices.max() < X.shape[1]:
        raise ValueError(f"X is not a valid CSR matrix: its indices are not all within 0 .. {X.shape[1] - 1}")
    return data, indices, indptr


def checked_rates(learning_rate, n_batches, columns):
    """The learning rate of each batch as float64 of shape (n_batches, 1 + n_columns), with what has a
    schedule beside it.
    """
    rates = np.atleast_1d(np.asarray(learning_rate, np.float64))
    n_columns = 1 + len(columns)
    if n_columns > 1:
        if rates.shape != (n_batches, n_columns):
            raise ValueError(
                f"learning_rate must have shape {(n_batches, n_columns)}, for each batch the rate and "
                f"{', '.join(columns)}, got {rates.shape}"
            )
        return rates
    if rates.shape not in ((1,), (n_batches,)):
        raise ValueError(
            f"learning_rate must be a number, or have one for each of {n_batches} batches, got {rates.shape}"
        )
    return (rates if len(rates) == n_batches else np.repeat(rates, n_batches))[:, np.newaxis]


def at_least_tiny(value, dtype):
    """The value, but if it is positive, it stays so in the dtype."""
    return max(value, TINY[dtype.char]) if value > 0 else value
