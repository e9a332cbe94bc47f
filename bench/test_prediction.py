"""Prediction: a large table in percent of the FMA peak, and one row in microseconds, all validation
included.
"""

import warnings
from functools import partial

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning

import nnfast
from bench.shapes import SHAPES
from bench.timing import beside_peak, in_turns, percent_of_peak, seconds
from nnfast.threads import n_threads_available

N_THREADS = min(2, n_threads_available())


def fitted(kind, shape, X, y, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind(hidden_layer_sizes=shape.hidden, max_iter=1, random_state=0, **parameters).fit(X, y)


@pytest.mark.parametrize("name", ["s", "l"])
def test_large_table(name, report, benchmark):
    shape = SHAPES[name]
    X, y = shape.table(np.float32)
    ours, theirs = (
        fitted(kind, shape, X, y) for kind in (nnfast.MLPClassifier, sklearn.neural_network.MLPClassifier)
    )
    rows = shape.table(np.float32, n_rows=100_000)[0]
    flops = sum(2 * n_in * n_out for n_in, n_out in zip(shape.layer_units, shape.layer_units[1:])) * len(rows)
    turns = [beside_peak(lambda: ours.predict_proba(rows), np.float32, N_THREADS) for _ in range(5)]
    mine, sklearns = min(turns)[0], min(seconds(lambda: theirs.predict_proba(rows)) for _ in range(3))
    percent = percent_of_peak(flops, turns)
    report(
        "predict_proba on 100,000 rows, float32",
        shape=shape,
        ms=f"{mine * 1e3:.1f}",
        percent_of_peak=f"{percent:.0f}" + (" (75)" if name == "l" else ""),
        sklearn_ms=f"{sklearns * 1e3:.0f}",
        times_faster=f"{sklearns / mine:.1f}",
    )
    benchmark.extra_info["percent_of_peak"] = percent
    benchmark.pedantic(ours.predict_proba, (rows,), rounds=3)
    assert percent > 15


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_row(dtype, report, benchmark):
    shape, calls_a_turn = SHAPES["s"], 200  # a turn is over before the system gives the core to another
    X, y = shape.table(dtype)
    ours, theirs = (
        fitted(kind, shape, X, y) for kind in (nnfast.MLPClassifier, sklearn.neural_network.MLPClassifier)
    )
    row, compiled = X[:1], ours.compiled()
    out = np.empty((1, shape.n_classes), dtype)
    np.testing.assert_array_equal(compiled.predict_proba(row, out=out), ours.predict_proba(row))
    calls = {
        "predict_proba": lambda: ours.predict_proba(row),
        "compiled": lambda: compiled.predict_proba(row),
        "compiled, out=": lambda: compiled.predict_proba(row, out=out),
        "sklearn": lambda: theirs.predict_proba(row),
    }
    turns = (
        in_turns([partial(repeat, call, calls_a_turn) for call in calls.values()], 15) / calls_a_turn * 1e6
    )
    best, usual = (dict(zip(calls, each)) for each in (turns.min(axis=0), np.median(turns, axis=0)))
    for name, limit in {"predict_proba": 15, "compiled": 2, "compiled, out=": 2}.items():
        report(
            "one row, microseconds",
            shape=shape,
            dtype=dtype,
            call=name,
            us=f"{best[name]:.2f} ({limit})",
            median=f"{usual[name]:.2f}",
            sklearn_us=f"{best['sklearn']:.0f}",
            times_faster=f"{best['sklearn'] / best[name]:.0f}",
        )
        assert best[name] < 3 * limit
    benchmark.extra_info.update({f"{name}_us": value for name, value in best.items()})
    benchmark(compiled.predict_proba, row)


def repeat(function, times):
    for _ in range(times):
        function()
