"""Every kernel of the compiled table, alone, in every instruction set and dtype, against NumPy in float64.

CHECKS has a generator for each method of `Table`: it calls the method and yields (what, got, expected, bound), the bound on the
absolute error derived from the number of roundings. Shapes straddle vectors, panels, and the depth at which products are cut.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from nnfast.activations import ACTIVATIONS
from nnfast.kernels import engine
from nnfast.losses import LOSSES
from nnfast.optimizers import SGD, Adam

ISAS = engine.instruction_sets()
DTYPES = ("float32", "float64")
SIZES = (1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97)


def shapes():
    """(rows, inputs, outputs): every size in every place, more inputs or outputs than DEPTH = 256, narrow outputs."""
    for turn in (0, 3, 7):
        for i, rows in enumerate(SIZES):
            yield rows, SIZES[(i * 3 + turn) % 11], SIZES[(i * 7 + 2 * turn + 1) % 11]
    yield from ((9, 300, 20), (7, 513, 33), (5, 20, 300), (3, 33, 257), (70, 257, 1), (12, 5, 2), (6, 40, 3), (530, 6, 4))


def wide(*arrays):
    return tuple(a.astype(np.float64) for a in arrays)


def product(x, w, b, eps):
    """x @ w + b, and the bound on the error of any order of summation."""
    x, w, b = wide(x, w, b)
    return x @ w + b, (x.shape[1] + 3) * eps * (abs(x) @ abs(w) + abs(b))


def layer(table, rows, n_in, n_out, rng):
    return tuple(rng.normal(size=shape).astype(table.dtype) for shape in ((rows, n_in), (n_in, n_out), (n_out,), (rows, n_out)))


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


# ---------------------------------------------------------------------------------------------------------------------
# Tables into panels


def gather(table, rows, n_in, n_out, rng):
    index = rng.integers(0, rows + 2, rows)
    for name in (*engine.SOURCES, "bool"):
        dtype = np.dtype(name)
        if dtype.kind == "f":
            base = rng.normal(size=(rows + 2, 2 * n_in)).astype(dtype)
        else:
            base = rng.integers(0, 256, (rows + 2, 2 * n_in * dtype.itemsize), dtype=np.uint8)
            base = base.view(dtype) if dtype != bool else base > 127
        read_only = base[:, :n_in].copy()
        read_only.flags.writeable = False
        tables = {"C": base[:, :n_in].copy(), "F": np.asfortranarray(base[:, :n_in]), "sliced": base[:, ::2], "negative": base[::-1, ::-2],
                  "broadcast": np.broadcast_to(base[0, :n_in], (rows + 2, n_in)), "read-only": read_only}
        for layout, X in tables.items():
            yield f"{name} {layout}", table.gather(X, index), X[index].astype(table.dtype), 0


def densify(table, rows, n_in, n_out, rng):
    index = rng.integers(0, rows + 3, rows)
    for X, kind in sparse_kinds(table, rows, n_in, rng):
        values, magnitudes = dense_of(X)
        yield kind, table.densify(X, index), values[index], 9 * np.finfo(table.dtype).eps * magnitudes[index]


# ---------------------------------------------------------------------------------------------------------------------
# Layers


def activated(table, activation, z, z_bound):
    """f(z) and the bound on its error: no activation here has a slope above 1."""
    a = ACTIVATIONS[activation].function(z)
    return a, z_bound + 5 * np.finfo(table.dtype).eps * abs(a)


def dense_forward(table, rows, n_in, n_out, rng):
    x, w, b, _ = layer(table, rows, n_in, n_out, rng)
    z = product(x, w, b, np.finfo(table.dtype).eps)
    for activation in ACTIVATIONS:
        yield activation, table.dense_forward(x, w, b, activation), *activated(table, activation, *z)


def dense_forward_narrow(table, rows, n_in, n_out, rng):
    for n_out in range(1, 5):
        x, w, b, _ = layer(table, rows, n_in, n_out, rng)
        yield f"{n_out} outputs", table.dense_forward_narrow(x, w, b), *product(x, w, b, np.finfo(table.dtype).eps)


def dense_forward_sparse(table, rows, n_in, n_out, rng):
    index = rng.integers(0, rows + 3, rows)
    _, w, b, _ = layer(table, rows, n_in, n_out, rng)
    for X, kind in sparse_kinds(table, rows, n_in, rng):
        values, magnitudes = dense_of(X)
        z = values[index] @ w.astype(float) + b
        bound = 14 * np.finfo(table.dtype).eps * (magnitudes[index] @ abs(w).astype(float) + abs(b))
        for activation in ACTIVATIONS:
            yield f"{kind} {activation}", table.dense_forward_sparse(X, index, w, b, activation), *activated(table, activation, z, bound)


def dense_backward(table, rows, n_in, n_out, rng):
    z_below, w, _, dz = layer(table, rows, n_in, n_out, rng)
    eps = np.finfo(table.dtype).eps
    da, bound = product(dz, w.T, np.zeros(n_in), eps)
    for activation, record in ACTIVATIONS.items():
        a = record.function(z_below).astype(table.dtype)
        slope = record.derivative(*wide(z_below, a))
        yield activation, table.dense_backward(dz, w, a, activation), da * slope, bound * abs(slope) + 6 * eps * abs(da)


def gradients(call, table, x, magnitudes, dz, w, b, n_terms):
    """dw and db in one chunk and in several; then the same with SGD's and Adam's update at once, by the optimizers' own formulas."""
    eps, scale, decay = np.finfo(table.dtype).eps, 0.13, 0.07  # no powers of two: those would hide how products are contracted to FMA
    settings = {"scale": scale, "decay": decay}
    (n, _), (dz_, w_, b_) = dz.shape, wide(dz, w, b)
    dw, db = scale * (x.T @ dz_) + decay * w_, scale * dz_.sum(axis=0)
    dw_bound = (n_terms + 5) * eps * (scale * magnitudes.T @ abs(dz_) + decay * abs(w_))
    db_bound = (n + 5) * eps * scale * abs(dz_).sum(axis=0)
    for chunk_rows in (n, 1 + n // 2, 1 + n // 3):
        got = call("none", chunk_rows=chunk_rows, **settings)
        yield f"dw by {chunk_rows}", got["dw"], dw, dw_bound
        yield f"db by {chunk_rows}", got["db"], db, db_bound
        for optimizer, update in ((SGD(nesterov=False), {"momentum": 0.9}), (SGD(), {"momentum": 0.9, "nesterov": True}),
                                  (Adam(epsilon=1e-3), {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-3})):
            moments = [(1 + abs(np.sin(k + w)), 1 + abs(np.sin(k + b))) for k in range(optimizer.n_moments)]
            rate, what = 0.11, f"{optimizer.name} by {chunk_rows}"
            if optimizer.name == "adam":  # the kernel takes the rate after the bias corrections: here those of step 3
                rate *= np.sqrt(1 - 0.999**3) / (1 - 0.9**3)
            got = call(optimizer.kernel, chunk_rows=chunk_rows, moments=moments, rate=rate, **settings, **update)
            for k, (parameter, name, g, bound) in enumerate(((w_, "w", dw, dw_bound), (b_, "b", db, db_bound))):
                new, new_moments = parameter.copy(), [moment[k].astype(float) for moment in moments]
                optimizer.update(new, new_moments, g, 0.11, 3)
                slack = 20 * eps * (1 + abs(parameter) + abs(g) + abs(new - parameter)) + 4 * bound
                yield f"{name} {what}", got[name], new, slack
                for i, moment in enumerate(new_moments):
                    yield f"moment {i} of {name} {what}", got["moments"][i][k], moment, slack * (1 + abs(g))
            if got["w_transposed"] is not None:
                yield f"transposed {what}", got["w_transposed"], got["w"].T, 0
            squares = (got["w"].astype(float) ** 2).sum()
            yield f"squares {what}", got["squares"], squares, 40 * eps * squares


def dense_gradient(table, rows, n_in, n_out, rng):
    for narrow, n_out in ((False, n_out), (True, 1 + n_out % 4)):
        x, w, b, dz = layer(table, rows, n_in, n_out, rng)

        def call(kind, **arguments):
            return table.dense_gradient(x, dz, w, b, kind, narrow=narrow, **arguments)

        yield from gradients(call, table, x.astype(float), abs(x).astype(float), dz, w, b, rows)


def dense_gradient_sparse(table, rows, n_in, n_out, rng):
    _, w, b, _ = layer(table, rows, n_in, n_out, rng)
    dz = rng.normal(size=(rows + 3, n_out)).astype(table.dtype)
    for X, kind in sparse_kinds(table, rows, n_in, rng):

        def call(kind, **arguments):
            return table.dense_gradient_sparse(X, dz, w, b, kind, **arguments)

        for what, *rest in gradients(call, table, *dense_of(X), dz, w, b, rows + 12):
            yield f"{kind} {what}", *rest


# ---------------------------------------------------------------------------------------------------------------------
# Elementwise, losses, updates, layouts


def activation(table, rows, n_in, n_out, rng):
    z = (4 * rng.normal(size=(rows, n_in))).astype(table.dtype)
    for name in ACTIVATIONS:
        yield name, table.activation(name, z), *activated(table, name, z.astype(float), 0)


def derivative(table, rows, n_in, n_out, rng):
    z, da = rng.normal(size=(2, rows, n_in)).astype(table.dtype)
    for name, record in ACTIVATIONS.items():
        a = record.function(z).astype(table.dtype)
        slope = record.derivative(*wide(z, a))
        yield name, table.derivative(name, a, da), da * slope, 4 * np.finfo(table.dtype).eps * abs(da)


def targets(name, shape, rng):
    if name == "log_loss":
        return rng.integers(0, shape[1], shape[0])
    return {"binary_log_loss": rng.integers(0, 2, shape), "squared_error": rng.normal(size=shape), "poisson": rng.poisson(1.5, shape)}[name]


def output_bound(name, z, p, eps):
    """Bound on the error of the output activation at logits z with value p."""
    distance = abs(z - z.max(axis=1, keepdims=True)) if name == "log_loss" else 0
    return eps * (10 + z.shape[1] + distance) * p + 1e-44 if name != "squared_error" else 0 * p  # 1e-44: float32's subnormals


def loss(table, rows, n_in, n_out, rng):
    for name, record in LOSSES.items():
        z = (rng.normal(size=(rows, n_out)) * rng.choice([1, 10 if name == "poisson" else 100], (rows, 1))).astype(table.dtype)
        y = targets(name, z.shape, rng)
        y = y.astype(np.intp if name == "log_loss" else table.dtype)
        z_, y_ = z.astype(float), y if name == "log_loss" else y.astype(float)
        eps, p = np.finfo(table.dtype).eps, record.output(z_)
        dz = record.gradient(y_, z_) * record.descent_scale(n_out)
        terms = 1 + abs(z_).sum(axis=1) + record.value(y_, z_)  # the magnitudes that are added up to the loss
        if name == "poisson":
            terms = terms + (p + abs(y_ * z_) + y_ * (1 + np.log(y_ + 1))).sum(axis=1)
        elif name == "squared_error":
            terms = terms + (z_**2 + y_**2).sum(axis=1)
        dz_bound = output_bound(name, z_, abs(p), eps) + 3 * eps * (1 if name == "log_loss" else abs(y_) + abs(p))
        for weight, scale in ((None, 1.0), (rng.uniform(0, 3, rows) * rng.integers(0, 2, rows), 0.5)):
            by = np.ones(rows) if weight is None else weight
            row_loss, got = table.loss(name, y, z, weight, scale)
            what = name if weight is None else f"{name}, weighted"
            yield f"{what}: rows", row_loss, record.value(y_, z_) * by, (10 + n_out) * eps * terms * by
            factor = scale * by[:, None]
            yield f"{what}: dz", got, dz * factor, factor * (dz_bound + 3 * eps * abs(dz)) + 1e-44


def output(table, rows, n_in, n_out, rng):
    for name, record in LOSSES.items():
        z = (5 * rng.normal(size=(rows, n_out))).astype(table.dtype)
        p = record.output(z.astype(float))
        yield name, table.output(name, z), p, output_bound(name, z.astype(float), p, np.finfo(table.dtype).eps)


def update(table, rows, n_in, n_out, rng):
    """Several steps; among the weights some whose gradient is always zero, some whose gradients are tiny or huge."""
    size, eps = rows * n_in, np.finfo(table.dtype).eps
    extremes = np.array([0, 1e-30, 1e-19, 1e-6, 1e6, 1e18] if table.dtype == np.float32 else [0, 1e-200, 1e-160, 1e-6, 1e6, 1e150])
    size_of = np.where(rng.random(size) < 0.5, 1, extremes[rng.integers(0, 6, size)])
    for optimizer, given in ((SGD(nesterov=False), {}), (SGD(nesterov=True), {"nesterov": True}), (SGD(momentum=0, nesterov=False), None), (Adam(), {})):
        hyperparameters = {key: getattr(optimizer, key) for key in ("momentum", "beta_1", "beta_2", "epsilon") if hasattr(optimizer, key)}
        w = rng.normal(size=size).astype(table.dtype)
        moments = [np.zeros_like(w) for _ in range(optimizer.n_moments)]
        w_, moments_ = w.astype(float), [m.astype(float) for m in moments]
        path, moment_path = abs(w_), [0 * w_ for _ in moments]
        for t in range(1, 5):
            g = (rng.normal(size=size) * size_of).astype(table.dtype)
            rate = 0.01 * (np.sqrt(1 - 0.999**t) / (1 - 0.9**t) if optimizer.name == "adam" else 1)
            before = w_.copy()
            optimizer.update(w_, moments_, g.astype(float), 0.01, t)
            table.update(optimizer.kernel, w, g, () if given is None else moments, rate=rate, **hyperparameters, **(given or {}))
            path = path + abs(w_ - before) + (0.01 * abs(g) + sum(abs(m) for m in moments_) if optimizer.name == "sgd" else 0.1)
            for i, m in enumerate(moments_):
                moment_path[i] = moment_path[i] + abs(m) + (abs(g) if i == 0 else 0)
        yield f"{optimizer}: w", w, w_, 20 * eps * path
        tiny = np.finfo(table.dtype).smallest_normal
        for i, m in enumerate(moments if given is not None else ()):
            yield f"{optimizer}: moment {i}", m, moments_[i], 20 * eps * moment_path[i] + tiny


def squares(table, rows, n_in, n_out, rng):
    w = rng.normal(size=(min(n_in, 32), n_out)).astype(table.dtype)
    expected = (w.astype(float) ** 2).sum(axis=0)
    yield "columns", table.squares(w), expected, 33 * np.finfo(table.dtype).eps * expected


def packed(table, rows, n_in, n_out, rng):
    for dtype in DTYPES:
        w = rng.normal(size=(n_in, n_out)).astype(dtype)
        yield dtype, table.packed(w), w.astype(table.dtype).astype(dtype), 0


def packed_transposed(table, rows, n_in, n_out, rng):
    for dtype in DTYPES:
        w = rng.normal(size=(n_in, n_out)).astype(dtype)
        yield dtype, table.packed_transposed(w), w.astype(table.dtype).astype(dtype), 0


def transposed(table, rows, n_in, n_out, rng):
    w = rng.normal(size=(n_in, n_out)).astype(table.dtype)
    yield "w", table.transposed(w), w.T, 0


def map_(table, rows, n_in, n_out, rng):
    x = rng.uniform(0.01, 1, rows * n_in).astype(table.dtype)
    oracles = {"exp": np.exp, "log": np.log, "log1p_unit": np.log1p, "sqrt": np.sqrt, "reciprocal": np.reciprocal}
    for name in engine.FUNCTIONS:
        expected = oracles[name](x.astype(float))
        yield name, table.map(name, x), expected, 5 * np.finfo(table.dtype).eps * abs(expected)


def multiply_add(table, rows, n_in, n_out, rng):
    yield "operations a vector and round", table.multiply_add(rows) / (table.panel * rows), 12.0, 0


CHECKS = {check.__name__.rstrip("_"): check for check in (
    gather, densify, dense_forward, dense_forward_narrow, dense_forward_sparse, dense_backward, dense_gradient, dense_gradient_sparse,
    activation, derivative, loss, output, update, squares, packed, packed_transposed, transposed, map_,
    multiply_add,
)}


# ---------------------------------------------------------------------------------------------------------------------
# The properties


def results(method, isa, dtype, shape, seed=0):
    return CHECKS[method](engine.Table(isa, dtype), *shape, np.random.default_rng(seed))


def assert_agrees(method, isa, dtype, shape, seed=0):
    for what, got, expected, bound in results(method, isa, dtype, shape, seed):
        error = np.abs(got - expected)
        assert np.shape(got) == np.shape(expected) and np.all(error <= bound), (
            f"{method} ({isa}, {dtype}) of (rows, inputs, outputs) {shape}: {what} is off by {np.max(error)}, "
            f"{np.nanmax(error / (np.asarray(bound) + 1e-300)):.3g} times its bound"
        )


def test_every_kernel_has_a_check():
    assert set(CHECKS) == set(engine.STANDALONE.values())
    header = Path(__file__).parents[1] / "kernels" / "src" / "kernels.h"
    if header.exists():
        table = re.search(r"typedef struct \{\n    const char \*isa;(.*?)\} Kernels;", header.read_text(), re.DOTALL)[1]
        fields = re.findall(r"\(\*(\w+)\)\(", table) + re.findall(r"gather_fn \*(\w+)\[", table)
        assert len(fields) > 20
        assert set(fields) == set(engine.STANDALONE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("method", CHECKS)
def test_agrees_with_numpy(method, isa, dtype):
    for seed, shape in enumerate(shapes()):
        assert_agrees(method, isa, dtype, shape, seed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", CHECKS)
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(shape=st.tuples(st.integers(1, 70), st.integers(1, 110), st.integers(1, 110)), seed=st.integers(0, 1000))
def test_agrees_with_numpy_at_any_shape(method, dtype, shape, seed):
    for isa in ISAS:
        assert_agrees(method, isa, dtype, shape, seed)


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="needs a CPU with AVX-512")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", CHECKS)
def test_avx2_and_avx512_return_the_same_bits(method, dtype):
    for seed, shape in enumerate(shapes()):
        narrow, wide = (results(method, isa, dtype, shape, seed) for isa in ("avx2", "avx512"))
        for (what, a, *_), (_, b, *_) in zip(narrow, wide, strict=True):
            if "squares " not in what:  # Table adds these up in an order of its own; the engine's are in test_engine.py's losses
                assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), f"{method} of {shape}: {what}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_logit_that_is_not_a_number_shows_in_its_rows_loss_alone(name, isa, dtype):
    rng = np.random.default_rng(0)
    for rows, n_out in ((17, 3), (33, 40), (5, 1)):
        z = rng.normal(size=(rows, n_out)).astype(dtype)
        z[rows // 2, n_out // 2] = np.nan
        y = np.zeros(rows, np.intp) if name == "log_loss" else np.zeros((rows, n_out), dtype)
        row_loss, _ = engine.Table(isa, dtype).loss(name, y, z)
        np.testing.assert_array_equal(np.isnan(row_loss), np.arange(rows) == rows // 2)


@pytest.mark.parametrize("isa", ISAS)
def test_adam_does_not_hide_an_overflow(isa):
    """g^2 overflows float32: the weight must not be finite, so that the fit stops."""
    w, m, v = (np.zeros(20, np.float32) for _ in range(3))
    g = np.full(20, 1e25, np.float32)
    engine.Table(isa, "float32").update("adam", w, g, (m, v), rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    assert not np.isfinite(w).any()
