"""What float32 cannot hold: numbers of a table, and outputs of a network."""

import numpy as np
from scipy.sparse import issparse

# A precision whose arithmetic is float32, whatever X is of.
IN_FLOAT32 = ("float32", "bfloat16")


def check_held(X, dtype, name="X", first=0):
    """Raise ValueError if a finite number of a table, an array or sparse, is infinite in the dtype; `first`
    is its first row's number.
    """
    numbers, largest = X.data if issparse(X) else X, np.finfo(dtype).max
    if numbers.dtype.kind != "f" or numbers.dtype.itemsize <= np.dtype(dtype).itemsize or not numbers.size:
        return
    if numbers.max() <= largest and numbers.min() >= -largest:
        return
    too_large = np.argwhere(np.isfinite(numbers) & (np.abs(numbers) > largest))
    if len(too_large):
        at = tuple(too_large[0].tolist())
        where = "" if issparse(X) else f" in row {first + at[0]}, column {at[1]}"
        remedy = ", or use precision='float64'" if np.dtype(dtype) == np.float32 else ""
        raise ValueError(
            f"{name} has {numbers[at]!s}{where}, and the arithmetic, of {np.dtype(dtype)}, holds numbers up "
            f"to {largest:g}. Scale {name}, for example with sklearn.preprocessing.StandardScaler{remedy}."
        )


def check_overflow(X, outputs, *, loss, arrays):
    """Raise ValueError if float32 gives a row of finite numbers an output that is not finite, although the
    parameters are.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_samples, n_features)
    outputs : ndarray of as many rows
    loss : str
        Its output activation is that of the outputs: of "poisson" it is exp, which may be infinite.
    arrays : tuple of list of ndarray
        The parameters.
    """
    outputs = outputs.reshape(X.shape[0], -1)
    bad = np.flatnonzero((np.isnan(outputs) if loss == "poisson" else ~np.isfinite(outputs)).any(axis=1))
    rows = X[bad].toarray() if issparse(X) else X[bad]
    bad = bad[np.isfinite(rows).all(axis=1)]
    if len(bad) and all(np.isfinite(array).all() for kind in arrays for array in kind):
        raise ValueError(
            f"X: row {bad[0]} overflows in the network, whose arithmetic is float32. Scale X, for example "
            "with sklearn.preprocessing.StandardScaler, or use precision='float64'."
        )
