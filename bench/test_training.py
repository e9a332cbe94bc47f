"""Training: microseconds a step, percent of the FMA peak, and how many times faster than scikit-learn.

Both sides fit the same data with the same parameters through their estimators, and all of the fit counts: its
seconds are divided by its steps. In each round the peak, nnfast and scikit-learn take turns; the table gives
the best time of each, and the median of the percentages of the peak just before and after. The ratios are
also asserted, at a third of their targets: noisy machines pass, a lost optimisation does not.
"""

import warnings

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning

import nnfast
from bench.shapes import SHAPES
from bench.timing import beside_peak, percent_of_peak
from nnfast.threads import n_threads_available

N_THREADS = min(2, n_threads_available())
ROUNDS = 7

# Epochs of nnfast's fits, so that a fit takes a tenth of a second or more; scikit-learn's take long enough
# with two.
EPOCHS = {"xs": 40, "s": 20, "m": 10, "t": 5, "l": 5}

# shape: (percent of peak fp32, fp64; microseconds a step fp32; times faster than scikit-learn's fp64: fp32,
# fp64)
TARGETS = {
    "xs": (None, None, 4, 35, 25),
    "s": (None, None, 40, 11, 6),
    "m": (60, None, None, 8, 4.8),
    "t": (78, 70, None, 7, 4.4),
    "l": (78, 70, None, 6, 3.3),
}


@pytest.fixture(autouse=True)
def ignore_convergence():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is what is being measured
        yield


@pytest.mark.parametrize("name", SHAPES)
def test_step(name, report, benchmark):
    shape = SHAPES[name]
    parameters = {
        "hidden_layer_sizes": shape.hidden,
        "batch_size": shape.batch_size,
        "tol": 0,
        "n_iter_no_change": 10**6,
        "random_state": 0,
    }
    X, y = shape.table(np.float64)
    sides = {
        "sklearn": (sklearn.neural_network.MLPClassifier(**parameters), 2),
        "float32": (nnfast.MLPClassifier(**parameters, precision="float32"), EPOCHS[name]),
        "float64": (nnfast.MLPClassifier(**parameters), EPOCHS[name]),
        "float32, 1 thread": (
            nnfast.MLPClassifier(**parameters, precision="float32", n_threads=1),
            EPOCHS[name],
        ),
    }
    turns = {side: [] for side in sides}  # (seconds of a step, peak)
    for number in range(ROUNDS):
        for side, (estimator, epochs) in sides.items():
            if side == "sklearn" and name in "tl" and number % 2:
                continue  # the slow side gets fewer turns where one takes seconds
            estimator.set_params(max_iter=epochs)
            whole, peak = beside_peak(
                lambda estimator=estimator: estimator.fit(X, y),
                "float64" if side == "float64" else "float32",
                N_THREADS,
            )
            turns[side].append((whole / epochs / shape.batches, peak))
    best = {side: min(turns[side])[0] for side in sides}

    percent_32, percent_64, microseconds, times_32, times_64 = TARGETS[name]
    for dtype, percent, target in (("float32", percent_32, times_32), ("float64", percent_64, times_64)):
        gflops = shape.flops_a_step / best[dtype] / 1e9
        of_peak = percent_of_peak(shape.flops_a_step, turns[dtype])
        ratio = best["sklearn"] / best[dtype]
        report(
            f"Training, {N_THREADS} threads at most, best of {ROUNDS} rounds; targets in brackets",
            shape=shape,
            dtype=dtype,
            us_a_step=f"{best[dtype] * 1e6:.1f}"
            + (f" ({microseconds})" if dtype == "float32" and microseconds else ""),
            GFLOPS=f"{gflops:.0f}",
            percent_of_peak=f"{of_peak:.0f}" + (f" ({percent})" if percent else ""),
            sklearn_us=f"{best['sklearn'] * 1e6:.0f}",
            times_faster=f"{ratio:.1f} ({target})",
            one_thread_us=f"{best['float32, 1 thread'] * 1e6:.1f}" if dtype == "float32" else "",
        )
        benchmark.extra_info[dtype] = {
            "microseconds_a_step": best[dtype] * 1e6,
            "gflops": gflops,
            "percent_of_peak": of_peak,
            "times_faster_than_sklearn": ratio,
        }
    benchmark.pedantic(sides["float32"][0].fit, (X, y), rounds=3)
    assert best["sklearn"] / best["float32"] > times_32 / 3
    assert best["sklearn"] / best["float64"] > times_64 / 3
