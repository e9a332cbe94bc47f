"""What the checks of kernels compute with: shapes, tables, and the parameters of activations and optimizers.

Shapes straddle vectors, panels, and the depth at which products are cut.
"""

import numpy as np
import reference
import scipy.sparse
from nnfast.kernels import engine

from nnfast.activations import ACTIVATIONS
from nnfast.optimizers import SGD, AdaBelief, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop
from nnfast.regularization import kept_units

ISAS = engine.instruction_sets()
DTYPES = ("float32", "float64")
SIZES = (1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97)


def shapes():
    """(rows, inputs, outputs): every size in every place, more inputs or outputs than DEPTH = 256, narrow
    outputs.
    """
    for turn in (0, 3, 7):
        for i, rows in enumerate(SIZES):
            yield rows, SIZES[(i * 3 + turn) % 11], SIZES[(i * 7 + 2 * turn + 1) % 11]
    yield from (
        (9, 300, 20),
        (7, 513, 33),
        (5, 20, 300),
        (3, 33, 257),
        (70, 257, 1),
        (12, 5, 2),
        (6, 40, 3),
        (530, 6, 4),
    )


def wide(*arrays):
    return tuple(a.astype(np.float64) for a in arrays)


def product(x, w, b, eps):
    """x @ w + b, and the bound on the error of any order of summation."""
    x, w, b = wide(x, w, b)
    return x @ w + b, (x.shape[1] + 3) * eps * (abs(x) @ abs(w) + abs(b))


def layer(table, rows, n_in, n_out, rng):
    return tuple(
        rng.normal(size=shape).astype(table.dtype)
        for shape in ((rows, n_in), (n_in, n_out), (n_out,), (rows, n_out))
    )


def sparse_table(n_rows, n_in, rng, dtype, index_dtype):
    """CSR with empty rows, entries out of order, and some entries twice."""
    lengths = rng.integers(0, min(n_in, 9) + 1, n_rows) * rng.integers(0, 2, n_rows)
    lengths[-1] = max(lengths[-1], 2)
    indices = rng.integers(0, n_in, lengths.sum())
    indices[-2:] = n_in - 1
    X = scipy.sparse.csr_array((n_rows, n_in), dtype=dtype)
    X.data, X.indices = rng.normal(size=len(indices)).astype(dtype), indices.astype(index_dtype)
    X.indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(index_dtype)
    return X


def dense_of(X):
    """The sum of duplicates in float64 and, per element, of their magnitudes."""
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    values, magnitudes = np.zeros(X.shape), np.zeros(X.shape)
    np.add.at(values, (rows, X.indices), X.data)
    np.add.at(magnitudes, (rows, X.indices), abs(X.data))
    return values, magnitudes


def sparse_kinds(table, rows, n_in, rng):
    for dtype, index_dtype in (("float32", np.int32), ("float64", np.int64), (table.dtype, np.int32)):
        X = sparse_table(rows + 3, n_in, rng, dtype, index_dtype)
        yield X, f"{dtype} {index_dtype.__name__}"


# Activations with their parameters, of which the first few are done by the products, or give their derivative
# from their values.
PARAMETERS = {"leaky_relu": (0.01, 0.3, 1.5), "elu": (1.0, 0.3, 3.0), "softplus": (1.0, 0.5, 3.0)}
FUSED = ("identity", "relu", "leaky_relu")
FROM_VALUES = ("identity", "logistic", "tanh", "relu", "leaky_relu")


def entries(names, dtype):
    """(record, parameter) of these activations; parameters that the dtype has exactly."""
    for name in names:
        record = ACTIVATIONS[name]
        for parameter in PARAMETERS.get(name, (0.0,)):
            yield record, float(np.dtype(dtype).type(parameter))


def activated(table, record, parameter, z, z_bound):
    """f(z) and the bound on its error: the steepest activation here is an ELU of slope 3."""
    a = record.function(z, parameter)
    # NumPy's are less exact where they are tiny
    return a, 3 * z_bound + 5 * np.finfo(table.dtype).eps * (abs(a) + 0.1)


def dropped_inputs(shape, rate, seed, step, row=0):
    """What dropout multiplies the inputs of a batch's rows from `row` on by."""
    return kept_units(rate, row + shape[0], shape[1], seed=seed, step=step, layer=0)[row:] / (1 - rate)


def base_of(seed, step, layer):
    return reference.mix((reference.mix((seed + 0x9E3779B97F4A7C15 * (step + 1)) % 2**64) + layer) % 2**64)


RULES = (
    SGD(nesterov=False),
    SGD(),
    Adam(epsilon=1e-3),
    AdamW(epsilon=1e-3, weight_decay=0.3),
    NAdam(epsilon=1e-3),
    RMSprop(epsilon=1e-3),
    Adagrad(epsilon=1e-3),
    Lion(weight_decay=0.3),
    AdaBelief(epsilon=1e-3, epsilon_root=1e-4),
)


def settings_of(rule, rate, t):
    """What the kernels take of a step."""
    own = dict(zip(rule.scalar_names(), rule.rates(rate, t), strict=True))
    return own | {"learning_rate": rate, "shrink": rule.shrink(rate)}
