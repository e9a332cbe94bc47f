"""Sizes that are no multiple of a vector: whether they cost in proportion. Epochs of the engine alone,
without the estimator around it.

One size at a time of a net of 64 inputs, hidden layers of 64 and 64 units, 16 classes and batches of 256.
Percent of peak counts useful arithmetic only, so that a layer of 17 units, which takes two vectors of 16,
cannot have more than half of what 32 have.
"""

import functools
import time

import numpy as np

from bench import machine
from bench.cliff_rules import compared
from bench.shapes import Shape
from bench.sides import Side
from bench.timing import peak_gflops
from nnfast.engines import cython as engine
from nnfast.network import Network
from nnfast.optimizers import Adam

BASE = {"features": 64, "width": 64, "classes": 16, "batch": 256}
_AROUND = sorted(
    {
        near
        for step in (16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288)
        for near in (step - 1, step, step + 1)
    }
)
AXES = {
    "width": (*range(1, 15), *_AROUND, 300),
    "batch": (
        *range(1, 15),
        *_AROUND,
        300,
        400,
        500,
        511,
        512,
        513,
        514,
        520,
        544,
        576,
        640,
        768,
        1000,
        1023,
        1024,
        1025,
        1100,
        1536,
    ),
    "features": (*range(1, 15), *_AROUND, 300),
    "classes": (*range(3, 15), *_AROUND, 300),
}
SECONDS = 0.003  # of an epoch, roughly
# So often, and so many seconds apart, what is flagged is measured again, beside what it is compared with:
# shared machines have slow moments.
AGAIN, APART = 3, 1


def run(session):
    """A row for each axis, value, dtype and number of threads: microseconds a step, flops, and the peak."""
    session.open([Side("nnfast", "nnfast", "float32")])
    if not session.processes:
        return []
    found = []
    for axis, values in AXES.items():
        for dtype in ("float32", "float64"):
            for threads in sorted({1, min(2, session.n_threads)}):
                found += _sweep(session, axis, values[:: 3 if session.quick else 1], dtype, threads)
    return found


def _sweep(session, axis, values, dtype, threads):
    rows = {
        value: {
            "axis": axis,
            "value": value,
            "dtype": dtype,
            "threads": threads,
            "round": [],
            "us": [],
            "peak": [],
            "company": [],
        }
        for value in values
    }
    for again in range(1 + AGAIN):
        swept = session.processes["nnfast"].call(
            __name__, "sweep", axis=axis, values=values, dtype=dtype, threads=threads, rounds=session.rounds
        )
        for value, samples in swept.items():
            rows[value]["flops"] = shape_of(axis, value).flops_a_step
            rows[value]["round"] += range(again * session.rounds, (again + 1) * session.rounds)
            for name, sample in samples.items():
                rows[value][name] += sample
        values = compared(list(rows.values()))
        if not values:
            break
        time.sleep(APART)
    print(
        f"cliffs: {axis}, {dtype}, {threads} threads: {len(rows)} points, {len(values)} compared again",
        flush=True,
    )
    return list(rows.values())


# ------------------------------------------------------------------------------------------------------------
# In the side's process


def sweep(axis, values, dtype, threads, rounds):
    """Samples of every value. Each round passes over all of them, so that the machine's moods strike all
    alike.
    """
    samples = {value: {"us": [], "peak": [], "company": []} for value in values}
    for _ in range(rounds):
        for value in values:
            with machine.Company() as company:
                samples[value]["us"].append(_microseconds(shape_of(axis, value), dtype, threads))
            samples[value]["peak"].append(peak_gflops(dtype, threads, 500_000))
            samples[value]["company"].append(company.share)
    return samples


def shape_of(axis, value):
    """The Shape with this one size changed."""
    sizes = BASE | {axis: value}
    return Shape("", sizes["features"], (sizes["width"],) * 2, sizes["classes"], sizes["batch"], 1)


def _microseconds(shape, dtype, threads):
    """Of a step: the least of three epochs."""
    batches = int(max(4, min(500, SECONDS * 50e9 / (shape.flops_a_step + 500_000))))
    X = np.resize(_numbers(dtype), (shape.batch_size * batches, shape.n_features))
    y = np.arange(len(X)) % shape.n_classes
    network = Network(shape.layer_units, "relu", "log_loss")
    rows, times = np.arange(len(X)), []
    with engine.Session(
        network, X, y, dtype=dtype, batch_size=shape.batch_size, optimizer=Adam(), n_threads=threads
    ) as session:
        session.load(network.initialize(np.random.RandomState(0), np.dtype(dtype)))
        for _ in range(4):
            start = time.perf_counter()
            session.epoch(rows, 1e-5)
            times.append(time.perf_counter() - start)
    return 1e6 * min(times[1:]) / batches


@functools.cache
def _numbers(dtype):
    return np.random.default_rng(0).standard_normal(99_991).astype(dtype)
