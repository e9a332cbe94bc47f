"""What a function of the user's own costs: the time of a training step on shape m, divided by that of the
same step with the built-in one.

Whole epochs of the engine, each between two of the built-in one, so that a machine that changes speed changes
both; the median over the rounds. One promise is asserted: an own GELU costs at most 40 % more. Beside it,
nanoseconds an element of the kernels alone, and how long one takes to compile.
"""

import math
import time

import numpy as np
import pytest

from bench.test_options import BATCHES, N_THREADS, ROUNDS, SHAPE, open_session, seconds
from nnfast import Activation, Loss

pytest.importorskip("numba")

from nnfast.kernels.jit import elementwise

from nnfast.activations import ACTIVATIONS


def gelu(z):
    return 0.5 * z * (1 + math.erf(z / math.sqrt(2)))


def silu(z):
    return z / (1 + math.exp(-z))


def tanh(z):
    return math.tanh(z)


def squared_error(y, z):
    return 0.5 * (z - y) ** 2


def cross_entropy(y, z):
    return np.logaddexp(0, z) - y * z


PAIRS = {
    "gelu": ({"activation": Activation(gelu)}, {"activation": "gelu"}),
    "silu": ({"activation": Activation(silu)}, {"activation": "silu"}),
    "tanh": ({"activation": Activation(tanh)}, {"activation": "tanh"}),
    "squared_error": ({"loss": Loss(squared_error)}, {"loss": "squared_error"}),
    "binary_log_loss": (
        {"loss": Loss(cross_entropy, out_activation="logistic")},
        {"loss": "binary_log_loss"},
    ),
}
LIMITS = {"gelu": 1.4}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PAIRS)
def test_cost_over_the_built_in_one(name, dtype, report):
    rows = np.arange(SHAPE.batch_size * BATCHES)
    own, built_in = PAIRS[name]
    with (
        open_session(np.dtype(dtype).type, built_in) as usual,
        open_session(np.dtype(dtype).type, own) as session,
    ):
        ratios, usual_seconds = [], []
        for _ in range(ROUNDS):
            before, between, after = seconds(usual, rows), seconds(session, rows), seconds(usual, rows)
            ratios.append(2 * between / (before + after))
            usual_seconds += [before, after]
    cost, limit = float(np.median(ratios)), LIMITS.get(name) if dtype == "float32" else None
    report(
        f"Own functions on shape {SHAPE}: times the step with the built-in one, {N_THREADS} threads, median"
        f" of {ROUNDS}; limits in brackets",
        function=name,
        dtype=dtype,
        built_in_us=f"{min(usual_seconds) / BATCHES * 1e6:.0f}",
        times_built_in=f"{cost:.2f}" + (f" ({limit})" if limit else ""),
    )
    assert cost < (limit or 1.6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["relu", "tanh", "logistic", "elu", "gelu", "mish", "softplus"])
def test_kernels_of_records_beside_numpy(name, dtype, report, monkeypatch):
    record, n = ACTIVATIONS[name], 1 << 14
    z = (3 * np.random.default_rng(0).standard_normal(n)).astype(dtype)
    a, slope = z.copy(), np.empty_like(z)
    monkeypatch.setattr(elementwise, "_made", {})  # to compile it now
    start = time.perf_counter()
    kernel = elementwise.activation(
        record.f, record.df, dtype, has_parameter=record.parameter_name is not None
    )
    compiling = time.perf_counter() - start

    def nanoseconds(function):
        times = []
        for _ in range(200):
            a[...] = z
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return min(times) / n * 1e9

    pointers, parameter = (a.ctypes.data, slope.ctypes.data), record.default or 0.0
    of_a_call = nanoseconds(lambda: kernel.call(*pointers, 0, parameter))
    alone = nanoseconds(lambda: kernel.call(pointers[0], None, n, parameter)) - of_a_call
    both = nanoseconds(lambda: kernel.call(*pointers, n, parameter)) - of_a_call
    by_numpy = nanoseconds(lambda: record.function(z))
    report(
        f"Kernels of the records' formulas by Numba, {n} numbers in the caches, one thread",
        activation=name,
        dtype=dtype,
        ns_value=f"{alone:.2f}",
        ns_value_and_slope=f"{both:.2f}",
        ns_by_numpy=f"{by_numpy:.2f}",
        ms_to_compile=f"{compiling * 1e3:.0f}",
    )
    if name not in ("relu", "tanh"):  # which NumPy has vector code for
        assert alone < by_numpy / 2
