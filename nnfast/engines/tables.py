"""Tables on their way down to compiled code: which it reads, and how it goes over sparse ones."""

import numpy as np

from nnfast.engines.arrays import checked_csr

# Of tables.
SOURCES = tuple(
    map(
        np.dtype,
        (
            "float32",
            "float64",
            "bool",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
        ),
    )
)

# Below this share of non-zeros a sparse table's first layer goes over the non-zeros, above it over a
# densified minibatch.
SPARSE_BELOW = 0.10


def check_dense(X):
    """Raise TypeError unless compiled code can read the array."""
    if X.dtype not in SOURCES or not X.flags.aligned or not X.dtype.isnative:
        raise TypeError(
            f"X must be an aligned array of a native integer type, bool, float32 or float64, got {X.dtype}"
        )


def checked_sparse(X, dtype, capacity):
    """What an engine's `use_csr` takes of a CSR matrix: data, indices, indptr, whether the first layer goes
    over the non-zeros, and the most of them that `capacity` rows hold.
    """
    data, indices, indptr = checked_csr(X, dtype)
    lengths = np.diff(indptr)
    longest = (
        np.partition(lengths, len(lengths) - capacity)[-capacity:] if capacity < len(lengths) else lengths
    )
    sparse = bool(indptr[-1] < SPARSE_BELOW * X.shape[0] * X.shape[1])
    return data, indices, indptr, sparse, int(longest.sum())
