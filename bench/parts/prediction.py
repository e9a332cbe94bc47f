"""Prediction: microseconds of a call for 1 row, for 10, 1,000 and 100,000. The outputs have to agree."""

import time
from dataclasses import asdict

import numpy as np

from bench import machine
from bench.parts.training import compare
from bench.shapes import SHAPES
from bench.sides import Side, usual_sides
from bench.work import check_apart

ROWS = (1, 10, 1_000, 100_000)
SECONDS, MOST_CALLS = 0.1, 10_000  # of a sample
# Of a probability, after an epoch in float32. PyTorch's Adam adds its epsilon after the correction of the
# second moment, scikit-learn's before: weights of tiny gradients begin otherwise.
TOLERANCE = 2e-2


def run(session):
    """A row for each shape, number of rows and side."""
    session.open(
        [
            *usual_sides(session.n_threads),
            Side("nnfast compiled()", "nnfast compiled", "float32", session.n_threads),
        ]
    )
    return [row for name in "sl" for row in measure(session, SHAPES[name])]


def measure(session, shape):
    # all have the same weights
    trained = [row["side"] for row in compare(session, shape, epochs=1, rounds=1, whole=True)]
    found = []
    for n_rows in ROWS:
        answers = {
            name: session.attempt(name, __name__, "open_rows", shape=shape, n_rows=n_rows) for name in trained
        }
        opened = {name: probabilities for name, probabilities in answers.items() if probabilities is not None}
        reference = next(iter(opened.values()), None)
        for name, probabilities in opened.items():
            session.check(
                check_apart,
                f"{name}, {shape}, {n_rows} rows: probabilities",
                np.abs(probabilities - reference).max(),
                TOLERANCE,
            )

        for name, taken in session.in_turns(__name__, "sample_calls", {name: {} for name in opened}).items():
            found.append(
                {
                    "point": f"{shape.name}, {n_rows:,} rows",
                    "shape": asdict(shape),
                    "rows": n_rows,
                    "flops": shape.flops_a_row * n_rows,
                    "side": name,
                    "group": session.processes[name].side.group,
                    "us": [1e6 * sample["seconds"] for sample in taken],
                    "peak": [sample["peak"] for sample in taken],
                    "company": [sample["company"] for sample in taken],
                }
            )
            print(f"{found[-1]['point']:40} {name:32} {min(found[-1]['us']):10.1f} us", flush=True)
    return found


# ------------------------------------------------------------------------------------------------------------
# In the side's process

_call = None


def open_rows(shape, n_rows):
    """Take up a table of so many rows; the probabilities of the last class."""
    global _call
    from bench.parts.training import opened_trainer

    trainer = opened_trainer()
    X = trainer.rows(shape.table(np.float64, n_rows=max(n_rows, shape.n_classes), seed=1)[0][:n_rows])
    _call = lambda: trainer.predict(X)
    _call()
    return np.asarray(_call()).reshape(n_rows, -1)[:, -1]


def sample_calls():
    """Seconds of a call, over as many as fill a tenth of a second."""
    start = time.perf_counter()
    _call()
    calls = int(min(max(1, SECONDS / (time.perf_counter() - start)), MOST_CALLS))
    with machine.Company() as company:
        start = time.perf_counter()
        for _ in range(calls):
            _call()
        seconds = (time.perf_counter() - start) / calls
    return {"seconds": seconds, "company": company.share}
