"""Sizes that are no multiple of a vector: whether they cost in proportion. Epochs of the engine alone, without the estimator around it.

One size at a time of a net of 64 inputs, hidden layers of 64 and 64 units, 16 classes and batches of 256. Percent of peak counts useful
arithmetic only, so that a layer of 17 units, which takes two vectors of 16, cannot have more than half of what 32 have.
"""

import time

import numpy as np

from bench import machine
from bench.shapes import Shape
from bench.sides import Side

BASE = {"features": 64, "width": 64, "classes": 16, "batch": 256}
_AROUND = sorted({near for step in (16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288) for near in (step - 1, step, step + 1)})
AXES = {
    "width": (*range(1, 15), *_AROUND, 300),
    "batch": (*range(1, 15), *_AROUND, 300, 400, 500, 511, 512, 513, 514, 520, 544, 576, 640, 768, 1000, 1023, 1024, 1025, 1100, 1536),
    "features": (*range(1, 15), *_AROUND, 300),
    "classes": (*range(3, 15), *_AROUND, 300),
}
SECONDS = 0.003  # of an epoch, roughly


def run(session):
    """A row for each axis, value, dtype and number of threads: the least microseconds a step, percent of peak."""
    session.open([Side("nnfast", "nnfast", "float32")])
    if not session.processes:
        return []
    call = session.processes["nnfast"].call
    rows = []
    for axis, values in AXES.items():
        for dtype in ("float32", "float64"):
            for threads in sorted({1, min(2, session.n_threads)}):
                swept = call(__name__, "sweep", axis=axis, values=values[:: 3 if session.quick else 1], dtype=dtype, threads=threads, rounds=session.rounds + 2)
                rows += [{"axis": axis, "dtype": dtype, "threads": threads, **each} for each in swept]
                print(f"cliffs: {axis}, {dtype}, {threads} threads: {len(swept)} points", flush=True)
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# In the side's process


def sweep(axis, values, dtype, threads, rounds):
    """Least microseconds a step at every value. Each round passes over all of them, so that the machine's moods strike all alike."""
    from bench.timing import peak_gflops

    shapes = {value: shape_of(axis, value) for value in values}
    rows = {value: {"value": value, "us": [], "peak": [], "company": []} for value in values}
    for _ in range(rounds):
        for value, shape in shapes.items():
            with machine.Company() as company:
                us = _microseconds(shape, dtype, threads)
            rows[value]["us"].append(us)
            rows[value]["peak"].append(peak_gflops(dtype, threads, 100_000))
            rows[value]["company"].append(company.share)
    return [row | {"flops": shapes[value].flops_a_step, "percent": percent(row, shapes[value])} for value, row in rows.items()]


def percent(row, shape):
    """Of the median peak, by the fastest round."""
    return 100 * shape.flops_a_step / min(row["us"]) / 1e3 / float(np.median(row["peak"]))


def shape_of(axis, value):
    """The Shape with this one size changed."""
    sizes = BASE | {axis: value}
    return Shape("", sizes["features"], (sizes["width"],) * 2, sizes["classes"], sizes["batch"], 1)


def _microseconds(shape, dtype, threads):
    """Of a step: the least of three epochs."""
    from nnfast.engines import cython as engine
    from nnfast.network import Network
    from nnfast.optimizers import Adam

    batches = int(max(4, min(500, SECONDS * 50e9 / (shape.flops_a_step + 500_000))))
    X = np.random.default_rng(0).standard_normal((shape.batch_size * batches, shape.n_features)).astype(dtype)
    y = np.arange(len(X)) % shape.n_classes
    network = Network(shape.layer_units, "relu", "log_loss")
    rows, times = np.arange(len(X)), []
    with engine.Session(network, X, y, dtype=dtype, batch_size=shape.batch_size, optimizer=Adam(), n_threads=threads) as session:
        session.load(network.initialize(np.random.RandomState(0), np.dtype(dtype)))
        for _ in range(4):
            start = time.perf_counter()
            session.epoch(rows, 1e-5)
            times.append(time.perf_counter() - start)
    return 1e6 * min(times[1:]) / batches
