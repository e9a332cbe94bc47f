"""Prediction: a large table in percent of the FMA peak, and one row in microseconds, all validation included."""

import warnings

import numpy as np
import pytest
import sklearn.neural_network
from shapes import SHAPES
from sklearn.exceptions import ConvergenceWarning
from timing import beside_peak, in_turns, percent_of_peak, seconds

import nnfast
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
    ours, theirs = (fitted(kind, shape, X, y) for kind in (nnfast.MLPClassifier, sklearn.neural_network.MLPClassifier))
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
    shape = SHAPES["s"]
    X, y = shape.table(dtype)
    ours, theirs = (fitted(kind, shape, X, y) for kind in (nnfast.MLPClassifier, sklearn.neural_network.MLPClassifier))
    row = X[:1]
    calls = [lambda: [ours.predict_proba(row) for _ in range(1000)], lambda: [theirs.predict_proba(row) for _ in range(1000)]]
    mine, sklearns = in_turns(calls, 5).min(axis=0) / 1000
    report(
        "predict_proba on one row",
        shape=shape,
        dtype=dtype,
        us=f"{mine * 1e6:.1f} (25)",
        sklearn_us=f"{sklearns * 1e6:.0f}",
        times_faster=f"{sklearns / mine:.1f}",
    )
    benchmark(ours.predict_proba, row)
    assert mine < 75e-6
