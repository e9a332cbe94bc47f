"""Training on the five shapes: microseconds a step of every library, whose losses have to agree."""

import math
import time
from dataclasses import asdict

from bench import machine
from bench.shapes import SHAPES
from bench.work import Problem, check_equal

SECONDS, MOST_EPOCHS = 0.25, 100  # of a sample, roughly


def run(session):
    """A row for each shape and side."""
    return [row for shape in SHAPES.values() for row in compare(session, shape)]


def compare(session, shape, names=None):
    """Rows of one shape: samples of all sides (or those named) in turns."""
    opened = {}
    for name, process in session.processes.items():
        if names is not None and name not in names:
            continue
        side = process.side
        answer = session.attempt(name, __name__, "open_trainer", library=side.library, shape=shape, dtype=side.dtype, n_threads=side.threads)
        if answer is not None:
            opened[name] = answer
    calls = {name: (lambda name=name: session.processes[name].call(__name__, "sample", epochs=opened[name]["epochs"]), session.processes[name].side.dtype)
             for name in opened}
    samples = session.in_turns(calls)
    reference = next((name for name in opened if name == "scikit-learn float64"), next(iter(opened)))
    rows = []
    for name, taken in samples.items():
        side, losses = session.processes[name].side, taken[-1]["losses"]
        dtype = "float32" if "float32" in (side.dtype, session.processes[reference].side.dtype) else "float64"
        steps = opened[name]["epochs"] * shape.batches
        rows.append({
            "point": str(shape), "shape": asdict(shape), "flops": shape.flops_a_step, "side": name, "group": side.group, "dtype": side.dtype, "epochs": opened[name]["epochs"],
            "us": [1e6 * sample["seconds"] / steps for sample in taken],
            "peak": [sample["peak"] for sample in taken],
            "company": [sample["company"] for sample in taken],
            "losses": losses,
            "difference": check_equal(f"{name}, {shape}", losses, samples[reference][-1]["losses"], dtype),
            "pools": opened[name]["pools"],
        })
        print(f"{str(shape):32} {name:32} {sorted(rows[-1]['us'])[len(taken) // 2]:10.1f} us  difference {rows[-1]['difference']:.1e}", flush=True)
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# In the side's process

_trainer = None


def open_trainer(library, shape, dtype, n_threads):
    """Set up and warm up: how many epochs make a sample, and the thread pools that are at work."""
    global _trainer
    from bench.peers import trainer

    _trainer = None  # free the one before
    _trainer = trainer(library)(Problem(shape, dtype), n_threads)
    sample(epochs=2)
    epochs = math.ceil(SECONDS / (sample(epochs=2)["seconds"] / 2))
    return {"epochs": max(2, min(epochs, MOST_EPOCHS)), "pools": machine.blas()}


def sample(epochs):
    """One timed run from the start."""
    train = _trainer.ready(epochs)
    with machine.Company() as company:
        start = time.perf_counter()
        losses = train()
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "losses": [float(loss) for loss in losses], "company": company.share}
