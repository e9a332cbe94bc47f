"""bfloat16 products: each unit's kernels against their definition, bit by bit; whole trainings against a
reference that rounds.

The units' definitions are those of the "Intel 64 and IA-32 Architectures Software Developer's Manual" for
VCVTNE2PS2BF16, VDPBF16PS and TDPBF16PS.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import reference
from digests import digest
from kernel_data import PARAMETERS, SIZES
from nnfast.kernels import engine as compiled
from problems import Problem, arrays_of
from test_engine import CHUNK, RUNS

from nnfast.activations import ACTIVATIONS
from nnfast.engines import cython as engine
from nnfast.optimizers import SGD, Adam
from nnfast.regularization import Regularization

UNITS = engine.bfloat16_units()
needs_a_unit = pytest.mark.skipif(
    not UNITS, reason="needs a CPU with AVX512-BF16 or AMX, and NNFAST_ISA=avx512"
)
every_unit = lambda test: needs_a_unit(pytest.mark.parametrize("unit", UNITS or [None])(test))
BLOCK = 32


def bfloat16(x):
    """Round to nearest, ties to even; subnormals become zeros and NaNs quiet."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    exponent, mantissa = bits >> 23 & 0xFF, bits & 0x7FFFFF
    rounded = np.where(exponent == 0, bits & 0x80000000, rounded)
    rounded = np.where((exponent == 255) & (mantissa != 0), bits & 0xFFFF0000 | 0x400000, rounded)
    return rounded.astype(np.uint32).view(np.float32)


def padded(x, rows=BLOCK, columns=BLOCK):
    """x with zeros up to multiples."""
    return np.pad(x, [(0, -x.shape[0] % rows), (0, -x.shape[1] % columns)])


def product(unit, a, b, start=0):
    """start + a @ b as the unit adds up the products, which float32 holds exactly."""
    a, b = bfloat16(padded(a, 1)), bfloat16(padded(b, columns=1))
    total = np.broadcast_to(np.float32(start), (len(a), b.shape[1])).copy()
    term = lambda k: a[:, k, np.newaxis] * b[k]
    for first in range(0, a.shape[1], BLOCK):
        pairs = range(first, first + BLOCK, 2)
        if unit == "amx":
            even, odd = np.zeros_like(total), np.zeros_like(total)
            for k in pairs:
                even, odd = even + term(k), odd + term(k + 1)
            total = total + (even + odd)
        else:
            for k in pairs:
                total = total + term(k + 1) + term(k)
    return total


def shapes():
    """(rows, inputs, outputs): every size in every place, and several blocks of everything."""
    for i, rows in enumerate(SIZES):
        yield rows, SIZES[(i * 3 + 4) % 11], SIZES[(i * 7 + 1) % 11]
    yield from ((64, 32, 32), (5, 300, 20), (7, 33, 130), (200, 40, 70))


def drawn(seed, *shapes):
    """Numbers over some orders of magnitude, among them zeros."""
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=shape) * rng.choice([0, 0.01, 1, 1, 30], shape)).astype(np.float32)
        for shape in shapes
    ]


def fused(dtype=np.float32):
    for name in ("identity", "relu", "leaky_relu"):
        for parameter in PARAMETERS.get(name, (0.0,)):
            yield ACTIVATIONS[name], float(dtype(parameter))


# ------------------------------------------------------------------------------------------------------------
# Kernels


def test_every_kernel_of_a_unit_has_a_check():
    assert set(compiled.STANDALONE_BF16.values()) == set(CHECKS)
    header = Path(__file__).parents[1] / "kernels" / "src" / "kernels.h"
    if header.exists():
        entries = re.search(
            r"typedef struct \{\n    const char \*unit;(.*?)\} Bf16Kernels;", header.read_text(), re.DOTALL
        )[1]
        assert set(re.findall(r"\(\*(\w+)\)\(", entries)) == set(compiled.STANDALONE_BF16)


def rounded(table, unit, rows, n_in, n_out):
    (x,) = drawn(0, (rows, n_in))
    for form in table.rounded(x):
        yield form, bfloat16(padded(x))


def rounded_weights(table, unit, rows, n_in, n_out):
    (w,) = drawn(0, (n_in, n_out))
    for form, expected in zip(table.rounded_weights(w), (w, w.T, w), strict=True):
        yield form, bfloat16(padded(expected))


def dense_forward(table, unit, rows, n_in, n_out):
    x, w, b = drawn(0, (rows, n_in), (n_in, n_out), n_out)
    z = product(unit, x, w, b)
    for record, p in fused():
        yield table.dense_forward(x, w, b, record.kernel, p), record.function(z, np.float32(p))


def dense_backward(table, unit, rows, n_in, n_out):
    z_below, dz, w = drawn(0, (rows, n_in), (rows, n_out), (n_in, n_out))
    da = product(unit, dz, w.T)
    for record, p in fused():
        a = record.function(z_below, np.float32(p))
        slope = record.derivative(z_below, a, np.float32(p)).astype(np.float32)
        yield table.dense_backward(dz, w, a, record.kernel, p), da * slope
    yield table.dense_backward(dz, w, z_below, "stored"), da * z_below
    yield (
        table.dense_backward(dz, w, z_below, "tanh"),
        da * (1 - z_below.astype(float) ** 2).astype(np.float32),
    )
    yield table.dense_backward(dz, w, z_below, "logistic"), da * z_below * (1 - z_below)


def dense_gradient(table, unit, rows, n_in, n_out):
    x, dz, w = drawn(0, (rows, n_in), (rows, n_out), (n_in, n_out))
    for chunk_rows in (rows, 1 + rows // 2, 1 + rows // 3):
        total = 0
        for start in range(0, rows, chunk_rows):
            part = slice(start, start + chunk_rows)
            total = product(unit, x[part].T, dz[part]) + total
        yield table.dense_gradient(x, dz, w, chunk_rows=chunk_rows), total
        velocity = np.ones_like(w)
        got = table.dense_gradient(
            x,
            dz,
            w,
            "sgd",
            chunk_rows=chunk_rows,
            moments=[velocity],
            learning_rate=0.25,
            momentum=0.5,
            scale=0.125,
        )
        yield got["moments"][0], (0.5 - np.float64(total) * 2.0**-5).astype(np.float32)
        yield got["w"], w + got["moments"][0]
        for copy, expected in zip(got["rounded"], (got["w"], got["w"].T), strict=True):
            yield copy, bfloat16(padded(expected))
        squares = (got["w"].astype(float) ** 2).sum()
        assert abs(got["squares"] - squares) <= 1e-5 * squares


CHECKS = {
    check.__name__: check
    for check in (rounded, rounded_weights, dense_forward, dense_backward, dense_gradient)
}


@every_unit
@pytest.mark.parametrize("method", CHECKS)
def test_agrees_with_the_definition_bit_by_bit(method, unit):
    table = compiled.Bf16Table(unit)
    for shape in shapes():
        for got, expected in CHECKS[method](table, unit, *shape):
            assert got.dtype == expected.dtype == np.float32
            np.testing.assert_array_equal(
                got, expected, err_msg=f"{method} of (rows, inputs, outputs) {shape}"
            )


@every_unit
def test_rounding_of_numbers_of_every_kind(unit):
    """Every exponent; halfway between two bfloat16 numbers, just below and above; the largest; subnormals,
    infinities and NaNs.
    """
    upper = np.arange(1 << 16, dtype=np.uint32) << 16
    x = (
        np.concatenate([upper | lower for lower in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)])
        .view(np.float32)
        .reshape(-1, 64)
    )
    table = compiled.Bf16Table(unit)
    for form in (*table.rounded(x), table.rounded_weights(x)[0], table.rounded_weights(x)[1].T):
        np.testing.assert_array_equal(form.view(np.uint32), bfloat16(x).view(np.uint32))


@every_unit
def test_products_show_what_is_not_finite_and_take_subnormals_as_zeros(unit):
    table, b = compiled.Bf16Table(unit), np.zeros(40, np.float32)
    x, w = np.ones((33, 40), np.float32), np.ones((40, 40), np.float32)
    x[5, 3], x[7, 3], w[9, 2] = np.nan, np.inf, 1e-39
    z = table.dense_forward(x, w, b, "identity")
    assert (
        np.isnan(z[5]).all() and np.isposinf(z[7]).all() and np.isfinite(np.delete(z, [5, 7], axis=0)).all()
    )
    np.testing.assert_array_equal(z[0], np.where(np.arange(40) == 2, 39, 40))


# ------------------------------------------------------------------------------------------------------------
# Training

# Wide outputs, more blocks than one of everything, batches that are no multiple of 16, and what rounds at
# other times than plain layers do.
WIDE = {"units": (70, 97, 65, 40), "n_samples": 115}
LARGE = {"units": (40, 65, 33), "n_samples": CHUNK + 61, "weighted": True}
MORE = {
    "wide": (WIDE, {}),
    "wide, batch norm": (WIDE | {"normalization": "batch", "activation": "tanh"}, {}),
    "wide, layer norm": (WIDE | {"normalization": "layer", "activation": "mish"}, {}),
    "wide, sparse": (WIDE | {"kind": "sparse"}, {}),
    "wide, clip_norm and max_norm": (WIDE, {"clip_norm": 0.3, "max_norm": 0.5}),
    "wide, no hidden layer, batch norm": ({"units": (70, 33), "normalization": "batch"}, {}),
    "wide, dropout, chunks": (LARGE, {"dropout": (0.3,), "input_dropout": 0.2, "batch_size": CHUNK + 31}),
    "wide, layer norm, clip_norm, chunks": (
        LARGE | {"normalization": "layer"},
        {"clip_norm": 0.3, "batch_size": CHUNK + 31},
    ),
    "wide, batch norm, large batch": (LARGE | {"normalization": "batch"}, {"batch_size": CHUNK + 31}),
}
ROUNDED_RUNS = dict(RUNS)
for name, (made, arguments) in MORE.items():
    limits = {key: value for key, value in arguments.items() if key != "batch_size"}
    ROUNDED_RUNS[name] = (
        made,
        {
            "batch_size": arguments.get("batch_size", 37),
            "regularization": Regularization(**{"alpha": 0.01} | limits),
        },
    )


def rounding_layers(problem):
    """Those whose products are in bfloat16: not an output layer of up to four units, nor a first layer that
    goes over a table's non-zeros.
    """
    sparse = (
        not isinstance(problem.table, np.ndarray) and problem.table.nnz < engine.SPARSE_BELOW * problem.X.size
    )
    last = len(problem.network.layer_units) - 2
    return {
        i
        for i, n in enumerate(problem.network.layer_units[1:])
        if (i < last or n > 4) and not (i == 0 and sparse)
    }


class RoundedNetwork(reference.Network):
    rounds = frozenset()

    def operand(self, i, array, factor=1.0):
        return bfloat16(array * factor).astype(np.float64) / factor if i in self.rounds else array


def distance(ours, theirs):
    """The Euclidean distance of two lists of arrays, relative to the second's length."""
    ours, theirs = (np.concatenate([array.ravel() for array in arrays]) for arrays in (ours, theirs))
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@every_unit
@pytest.mark.parametrize("run", ROUNDED_RUNS)
def test_training_is_the_references_with_rounded_operands(run, unit, monkeypatch):
    """To a few times float32's error: where a sum's last bits decide which way a number is rounded, that
    number is off by a bfloat16's.
    """
    monkeypatch.setenv("NNFAST_BFLOAT16", unit)
    made, arguments = ROUNDED_RUNS[run]
    problem = Problem(**made, dtype=np.float32)
    arguments = {
        "batch_size": len(problem.rows),
        "optimizer": Adam(),
        "regularization": Regularization(alpha=0.01),
    } | arguments
    random_state, rows = np.random.RandomState(0), problem.rows.copy()
    engine.shuffle(rows, random_state)
    references = []
    for rounds in (rounding_layers(problem), frozenset()):
        slow, X, y = problem.reference(arguments["regularization"], make=RoundedNetwork)
        slow.rounds = rounds
        rule = reference.optimizer_like(arguments["optimizer"])
        references.append((slow.epoch(X, y, rows, arguments["batch_size"], rule, 0.01, problem.weight), slow))
    (expected, slow), (_, exact) = references
    with problem.session(**arguments, bfloat16=True, n_threads=2) as session:
        np.testing.assert_allclose(session.epoch(rows, 0.01), expected, rtol=5e-5)
        got = problem.stored(session)
        error = distance(got, arrays_of(slow))
        assert error < 1e-3
        assert error < 0.1 * distance(got, arrays_of(exact)) or not rounding_layers(problem)
        np.testing.assert_allclose(session.predict(), slow.predict(X), rtol=5e-3, atol=1e-3)


def run_digest(problem, arguments, n_threads, bfloat16=True):
    return digest(problem, arguments | {"bfloat16": bfloat16}, n_threads)


@every_unit
@pytest.mark.parametrize("run", ROUNDED_RUNS)
def test_same_bits_for_any_number_of_threads(run, unit, monkeypatch):
    """And other bits than those of float32, where a layer rounds."""
    monkeypatch.setenv("NNFAST_BFLOAT16", unit)
    made, arguments = ROUNDED_RUNS[run]
    problem = Problem(**made, dtype=np.float32)
    digests = {run_digest(problem, arguments, n_threads) for n_threads in (1, 2, 3, 5, 1)}
    assert len(digests) == 1
    assert (digests == {run_digest(problem, arguments, 1, bfloat16=False)}) == (not rounding_layers(problem))


@every_unit
def test_batches_of_every_size(unit, monkeypatch):
    """The last blocks of rows are full, or hold one row, or half a tile and one more."""
    monkeypatch.setenv("NNFAST_BFLOAT16", unit)
    for n_rows in (*SIZES, 130):
        problem = Problem((33, 40, 6), n_rows, dtype=np.float32, activation="tanh")
        slow, X, y = problem.reference(make=RoundedNetwork)
        slow.rounds = rounding_layers(problem)
        expected = slow.epoch(X, y, problem.rows, n_rows, reference.SGD(0.9, True), 0.1)
        with problem.session(bfloat16=True, optimizer=SGD(), n_threads=3) as session:
            np.testing.assert_allclose(session.epoch(problem.rows, 0.1), expected, rtol=1e-5)
            assert distance(problem.stored(session), arrays_of(slow)) < 1e-5


@needs_a_unit
def test_predictions_are_float32s():
    problem = Problem((33, 40, 17, 6), dtype=np.float32)
    with problem.session(bfloat16=True) as session, problem.predicting() as predicting:
        assert np.array_equal(session.predict(), predicting.predict())
        assert np.array_equal(session.evaluate()[1], predicting.predict())


@needs_a_unit
@pytest.mark.parametrize("arguments", [{"dtype": np.float64}, {"optimizer": None}], ids=str)
def test_a_session_in_bfloat16_trains_in_float32(arguments):
    with pytest.raises(ValueError, match="bfloat16 products are for training in float32"):
        Problem(dtype=arguments.get("dtype", np.float32)).session(bfloat16=True, **arguments)
