"""What a fit may cost beside time on a quiet machine: memory, company on the cores, overfitting."""

import multiprocessing
import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import nnfast
from bench.shapes import SHAPES
from bench.timing import seconds
from nnfast.threads import n_threads_available


@pytest.fixture(autouse=True)
def ignore_convergence():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peak_memory(dtype, early_stopping, report, benchmark):
    """At most six times the parameters, beside X and the buffers of a batch."""
    X, y = SHAPES["l"].table(dtype, n_rows=1000)
    fit = nnfast.MLPClassifier(
        (1024, 1024, 512), batch_size=64, max_iter=2, early_stopping=early_stopping, random_state=0
    )
    fit.fit(X[:100], y[:100])  # imports, and what else is paid once
    tracemalloc.start()
    fit.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parameters = sum(array.nbytes for array in fit.coefs_ + fit.intercepts_)
    buffers = (
        64 * 2 * (X.shape[1] + sum(array.nbytes // array.itemsize for array in fit.intercepts_)) * X.itemsize
    )
    times = benchmark.extra_info["times_parameters"] = (peak - buffers) / parameters
    benchmark.pedantic(fit.fit, (X, y), rounds=3)
    report(
        "Peak memory of a fit, beside X and the batch's buffers",
        dtype=dtype,
        early_stopping=early_stopping,
        times_parameters=f"{times:.2f} (6)",
    )
    assert times <= 6


def _spin(started, stop):
    started.release()
    while not stop.is_set():
        sum(range(10_000))


@pytest.mark.parametrize("name", ["s", "m", "t"])
def test_busy_cores(name, report, benchmark):
    """With one busy process on each core, a fit slows by no more than four times."""
    shape = SHAPES[name]
    X, y = shape.table(np.float32)
    fit = nnfast.MLPClassifier(shape.hidden, batch_size=shape.batch_size, max_iter=10, random_state=0)
    alone = min(seconds(lambda: fit.fit(X, y)) for _ in range(5))
    context = multiprocessing.get_context("spawn")
    started, stop = context.Semaphore(0), context.Event()
    busy = [
        context.Process(target=_spin, args=(started, stop), daemon=True) for _ in range(n_threads_available())
    ]
    for process in busy:
        process.start()
    for _ in busy:
        started.acquire()
    try:
        crowded = np.median([seconds(lambda: fit.fit(X, y)) for _ in range(5)])
    finally:
        stop.set()
        for process in busy:
            process.join()
    benchmark.extra_info["times_slower"] = crowded / alone
    benchmark.pedantic(fit.fit, (X, y), rounds=5)
    report(
        "A fit beside one busy process on each core",
        shape=shape,
        alone_ms=f"{alone * 1e3:.0f}",
        busy_ms=f"{crowded * 1e3:.0f}",
        times_slower=f"{crowded / alone:.1f} (4)",
    )
    assert crowded / alone <= 4


def test_learned_by_heart(report, benchmark):
    """A net whose gradients have shrunk to subnormals trains as fast as a fresh one."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8192, 50)).astype(np.float32)
    y = X[:, 0] > 0
    fit = nnfast.MLPClassifier(
        (128, 128),
        batch_size=256,
        max_iter=20,
        tol=0,
        n_iter_no_change=10**6,
        warm_start=True,
        random_state=0,
    )
    times = [seconds(lambda: fit.fit(X, y)) for _ in range(15)]
    early, late = min(times[:4]), min(times[-4:])
    benchmark.extra_info["times_slower"] = late / early
    benchmark.pedantic(fit.fit, (X, y), rounds=5)
    report(
        "A net that overfits its table, float32",
        early_ms=f"{early * 1e3:.0f}",
        late_ms=f"{late * 1e3:.0f}",
        times_slower=f"{late / early:.2f}",
    )
    assert late < 1.5 * early
