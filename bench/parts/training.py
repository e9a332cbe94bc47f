"""Training on the five shapes: microseconds a step of every library, whose losses have to agree."""

import math
import time
from dataclasses import asdict

from bench import machine
from bench.shapes import SHAPES
from bench.sides import training_sides
from bench.work import Problem, check_losses

SECONDS, MOST_EPOCHS = 0.25, 100  # of a sample, roughly


def run(session):
    """A row for each shape and side."""
    session.open(training_sides(session.n_threads))
    return [row for shape in SHAPES.values() for row in compare(session, shape)]


def compare(session, shape, epochs=None, libraries=None, rounds=None, whole=False):
    """Rows of one shape: samples of all sides, or those of some libraries, in turns.

    `epochs` of a sample are by default each side's own, as many as fill a quarter of a second; losses are
    compared after the last epoch that both sides have. `whole`: see `sample`. Sides that fail are left out.
    """
    opened = {}
    for name, process in session.processes.items():
        side = process.side
        if libraries is None or side.framework in libraries:
            answer = session.attempt(
                name,
                __name__,
                "open_trainer",
                library=side.framework,
                shape=shape,
                dtype=side.dtype,
                n_threads=side.threads,
            )
            if answer is not None:
                opened[name] = answer | ({"epochs": epochs} if epochs else {})

    samples = session.in_turns(
        __name__,
        "sample",
        {name: {"epochs": answer["epochs"], "whole": whole} for name, answer in opened.items()},
        rounds,
    )
    reference = "scikit-learn float64" if "scikit-learn float64" in samples else next(iter(samples), None)
    rows = []
    for name, taken in samples.items():
        side, losses = session.processes[name].side, taken[-1]["losses"]
        both = {side.dtype, session.processes[reference].side.dtype}
        row = {
            "point": str(shape),
            "shape": asdict(shape),
            "flops": shape.flops_a_step,
            "side": name,
            "group": side.group,
            "epochs": opened[name]["epochs"],
            "us": [1e6 * sample["seconds"] / (opened[name]["epochs"] * shape.batches) for sample in taken],
            "peak": [sample["peak"] for sample in taken],
            "company": [sample["company"] for sample in taken],
            "losses": losses,
            "difference": session.check(
                check_losses, f"{name}, {shape}", losses, samples[reference][-1]["losses"], min(both)
            ),
            "pools": opened[name]["pools"],
        }
        rows.append(row)
        print(f"{row['point']:40} {name:32} {min(row['us']):10.1f} us", flush=True)
    return rows


# ------------------------------------------------------------------------------------------------------------
# In the side's process

_trainer = None


def open_trainer(library, shape, dtype, n_threads):
    """Set up and warm up; how many epochs make a sample, and the thread pools that are at work."""
    global _trainer
    from bench.peers import trainer

    _trainer = None  # whose memory the next may need
    _trainer = trainer(library)(Problem(shape, dtype), n_threads)
    sample(epochs=1)
    epochs = math.ceil(SECONDS / sample(epochs=1, whole=True)["seconds"])
    return {"epochs": max(2, min(epochs, MOST_EPOCHS)), "pools": machine.blas()}


def opened_trainer():
    """The trainer that was opened last."""
    return _trainer


def sample(epochs, whole=False):
    """One timed run from the start.

    What an estimator's `fit` does once, such as validation and drawing the weights, is not timed of the
    frameworks. `whole` fits have it; otherwise it is taken off: the time of a fit of one epoch from that of a
    fit of one epoch more than asked for.
    """
    set_up = None if whole or not _trainer.sets_up else _trainer.ready(1)
    train = _trainer.ready(epochs if set_up is None else epochs + 1)
    seconds = 0.0
    with machine.Company() as company:
        if set_up is not None:
            seconds -= _timed(set_up)[0]
        seconds_of_all, losses = _timed(train)
    return {
        "seconds": seconds + seconds_of_all,
        "losses": [float(loss) for loss in losses[:epochs]],
        "company": company.share,
    }


def _timed(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result
