"""What each option costs: the time of a training step on shape m, divided by that of the plain one (ReLU,
Adam, float32 or float64).

Whole epochs of the engine, each between two plain ones of the same session, so that a machine that changes
speed changes both; the median over the rounds. Two promises are asserted: GELU costs at most a quarter,
dropout at most a tenth.
"""

import time

import numpy as np
import pytest

from bench.shapes import SHAPES
from nnfast.activations import ACTIVATIONS
from nnfast.engines import cython as engine
from nnfast.losses import CLASSIFIER_LOSSES, LOSSES
from nnfast.network import Network
from nnfast.normalization import NORMALIZATIONS
from nnfast.optimizers import OPTIMIZERS, Adam
from nnfast.regularization import Regularization
from nnfast.threads import n_threads_available

SHAPE = SHAPES["m"]
N_THREADS = min(2, n_threads_available())
ROUNDS = 25
BATCHES = 12
PLAIN = {
    "activation": "relu",
    "loss": "binary_log_loss",
    "normalization": None,
    "optimizer": Adam(),
    "penalties": {},
    "weighted": False,
    "rates": 1,
}
TEN_CLASSES = {"loss": "log_loss", "n_outputs": 10}  # of which the plain step is another

OPTIONS = {
    **{name: {"activation": name} for name in ACTIVATIONS if name != "relu"},
    **{f"{name} normalization": {"normalization": name} for name in NORMALIZATIONS},
    "dropout of 0.3": {"penalties": {"dropout": (0.3, 0.3)}},
    "dropout of 0.3, inputs 0.1": {"penalties": {"dropout": (0.3, 0.3), "input_dropout": 0.1}},
    "gelu, dropout of 0.3": {"activation": "gelu", "penalties": {"dropout": (0.3, 0.3)}},
    "selu, alpha dropout of 0.1": {
        "activation": "selu",
        "penalties": {"dropout": (0.1, 0.1), "alpha_dropout": True},
    },
    "l1": {"penalties": {"l1": 0.01}},
    "clip_value": {"penalties": {"clip_value": 1.0}},
    "clip_norm": {"penalties": {"clip_norm": 1.0}},
    "max_norm": {"penalties": {"max_norm": 3.0}},
    **{
        f"solver {name}": {"optimizer": optimizer()}
        for name, optimizer in OPTIMIZERS.items()
        if name != "adam"
    },
    **{
        f"loss {name}": {"loss": name}
        for name in LOSSES
        if name not in (*CLASSIFIER_LOSSES, "binary_log_loss")
    },
    "label_smoothing, ten classes": TEN_CLASSES | {"loss_parameters": (0.1,)},
    "loss focal, ten classes": TEN_CLASSES | {"loss": "focal"},
    "sample or class weights": {"weighted": True},
    "a learning rate for each step": {"rates": BATCHES},
}
LIMITS = {"gelu": 1.25, "dropout of 0.3": 1.10}


def open_session(dtype, option):
    option = PLAIN | option
    n_outputs = option.get("n_outputs", 1)
    X, y = SHAPE.table(dtype, SHAPE.batch_size * BATCHES)
    if n_outputs == 1:
        y = (y[:, np.newaxis] + (option["loss"] == "gamma")).astype(dtype)
    units = (*SHAPE.layer_units[:-1], n_outputs)
    network = Network(
        units,
        option["activation"],
        option["loss"],
        option.get("loss_parameters", ()),
        normalization=option["normalization"],
    )
    session = engine.Session(
        network,
        X,
        y,
        np.linspace(0.5, 1.5, len(X)) if option["weighted"] else None,
        dtype=dtype,
        batch_size=SHAPE.batch_size,
        optimizer=option["optimizer"],
        regularization=Regularization(alpha=1e-4, **option["penalties"]),
        n_threads=N_THREADS,
    )
    session.load(network.initialize(np.random.RandomState(0), dtype))
    return session


def seconds(session, rows, rates=1):
    rates = np.full(rates, 1e-5)
    start = time.perf_counter()
    session.epoch(rows, rates)
    return time.perf_counter() - start


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIONS)
def test_cost_over_the_plain_step(name, dtype, report, benchmark):
    rows = np.arange(SHAPE.batch_size * BATCHES)
    option = OPTIONS[name]
    alike = TEN_CLASSES if "n_outputs" in option else {}
    with (
        open_session(np.dtype(dtype).type, alike) as plain,
        open_session(np.dtype(dtype).type, option) as session,
    ):
        ratios, plain_seconds = [], []
        for _ in range(ROUNDS):
            before, between, after = (
                seconds(plain, rows),
                seconds(session, rows, option.get("rates", 1)),
                seconds(plain, rows),
            )
            ratios.append(2 * between / (before + after))
            plain_seconds += [before, after]
        benchmark.pedantic(session.epoch, (rows, np.full(option.get("rates", 1), 1e-5)), rounds=ROUNDS)
    cost = benchmark.extra_info["times_plain"] = float(np.median(ratios))
    limit = LIMITS.get(name) if dtype == "float32" else None
    report(
        f"Options on shape {SHAPE}: times the plain step, {N_THREADS} threads, median of {ROUNDS}; limits in"
        " brackets",
        option=name,
        dtype=dtype,
        plain_us=f"{min(plain_seconds) / BATCHES * 1e6:.0f}",
        times_plain=f"{cost:.2f}" + (f" ({limit})" if limit else ""),
    )
    assert cost < (limit or 2.5) * 1.2  # noisy machines pass, a lost optimisation does not
