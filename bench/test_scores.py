"""What scoring a validation set costs: the compiled scores of a tenth of the rows, in percent of an epoch
over the rest, which is followed by that.

The epoch is the engine's; what a fit's validation costs besides, the prediction of the rows and their loss,
is not in it.
"""

import time

import numpy as np
import pytest

from bench.shapes import SHAPES
from nnfast import MLPClassifier, MLPRegressor, scores
from nnfast.engines import cython as engine
from nnfast.network import Network
from nnfast.optimizers import Adam
from nnfast.threads import n_threads_available

N_THREADS = min(2, n_threads_available())
ROUNDS = 15
LIMIT = 5  # percent
BINARY, CLASSES, NUMBERS = (
    ("accuracy", "neg_log_loss", "roc_auc"),
    ("accuracy", "neg_log_loss", "roc_auc_ovr"),
    ("r2", "neg_root_mean_squared_error"),
)
CASES = [
    (name, scoring)
    for name in SHAPES
    for scoring in (BINARY if SHAPES[name].n_classes == 2 else CLASSES) + NUMBERS
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "scoring"), CASES)
def test_scores_cost_little(name, scoring, dtype, report, benchmark):
    shape = SHAPES[name]
    X, labels = shape.table(dtype)
    rows, held_out = np.arange(len(X) // 10, len(X)), np.arange(len(X) // 10)
    if scoring in NUMBERS:
        estimator, loss, units, labels = (
            MLPRegressor(),
            "squared_error",
            (*shape.layer_units[:-1], 1),
            labels.astype(np.float64),
        )
        y = labels[:, np.newaxis].astype(dtype)
    else:
        estimator, loss, units = (
            MLPClassifier(),
            "binary_log_loss" if shape.n_classes == 2 else "log_loss",
            shape.layer_units,
        )
        y = labels[:, np.newaxis].astype(dtype) if shape.n_classes == 2 else labels.astype(np.intp)
    network = Network(units, "relu", loss)
    score = scores.compiled(
        scoring, engine, estimator, labels[held_out], y[held_out], units[-1], np.dtype(dtype)
    )
    with engine.Session(
        network, X, y, dtype=dtype, batch_size=shape.batch_size, optimizer=Adam(), n_threads=N_THREADS
    ) as session:
        session.load(network.initialize(np.random.RandomState(0), dtype))
        percent = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            session.epoch(rows, 1e-3)
            trained = time.perf_counter()
            _, outputs = session.evaluate(held_out)
            begun = time.perf_counter()
            score(outputs)
            percent.append(100 * (time.perf_counter() - begun) / (trained - start))
        benchmark.pedantic(score, (outputs,), rounds=ROUNDS)
    cost = benchmark.extra_info["percent_of_epoch"] = float(np.median(percent))
    report(
        f"Scores of a tenth of the rows, percent of an epoch over the rest, {N_THREADS} threads, median of"
        f" {ROUNDS}; at most {LIMIT}",
        shape=str(shape),
        scoring=scoring,
        dtype=dtype,
        percent=f"{cost:.2f}",
    )
    assert cost < LIMIT
