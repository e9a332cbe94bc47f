"""precision="bfloat16" beside "float32": `python -m bench.bfloat16 scores TABLE.parquet ...` and `python -m
bench.bfloat16 speed`.

scores: the mean and standard deviation, over seeds, of the score on the rows held out, and of the difference
of the two precisions at the same seed; on digits, and on tables whose column to predict is called "target".
speed: microseconds a step of a fit with each of this CPU's units, the medians of turns, and the median over
the turns of how many times faster than float32. Both print Markdown.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import nnfast
from bench.shapes import SHAPES, Shape
from bench.timing import peak_gflops
from nnfast import tables
from nnfast.engines import cython as engine
from nnfast.threads import n_threads_available

HIDDEN, EPOCHS, SEEDS = (256, 256), 20, 5
TIMED = {name: SHAPES[name] for name in "smtl"} | {"wide": Shape("wide", 784, (1024, 1024), 10, 512, 6)}
TURNS = 11


def main(arguments=None):
    parser = argparse.ArgumentParser("python -m bench.bfloat16")
    parser.add_argument("part", choices=("scores", "speed"))
    parser.add_argument(
        "tables",
        nargs="*",
        type=Path,
        metavar="TABLE",
        help="of scores: Parquet files with a column 'target'",
    )
    parser.add_argument("--threads", type=int, default=min(2, n_threads_available()), metavar="N")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is what is being compared
    print_table(
        scores(options.tables, options.threads) if options.part == "scores" else speed(options.threads)
    )


def print_table(rows):
    """Rows as they come; the first gives the titles."""
    for number, row in enumerate(rows):
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
        if number == 0:
            print("|" + "---|" * len(row))


def scores(paths, n_threads):
    yield "table", "score", "float32", "bfloat16", "difference", "standard error"
    for table in [next(tables.bundled()), *(tables.read(path, "target") for path in paths)]:
        make = nnfast.MLPClassifier if table.task == "classification" else nnfast.MLPRegressor
        reached = np.array(
            [
                [
                    make(
                        hidden_layer_sizes=HIDDEN,
                        max_iter=EPOCHS,
                        tol=0,
                        n_iter_no_change=EPOCHS,
                        random_state=seed,
                        precision=precision,
                        n_threads=n_threads,
                    )
                    .fit(table.X_train, table.y_train)
                    .score(table.X_test, table.y_test)
                    for precision in ("float32", "bfloat16")
                ]
                for seed in range(SEEDS)
            ]
        )
        means, deviations = reached.mean(axis=0), reached.std(axis=0, ddof=1)
        difference = reached[:, 1] - reached[:, 0]
        yield (
            table.name,
            "accuracy" if table.task == "classification" else "R2",
            *(f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in zip(means, deviations)),
            f"{difference.mean():+.4f}",
            f"{difference.std(ddof=1) / np.sqrt(SEEDS):.4f}",
        )


def speed(n_threads):
    sides = (None, *engine.bfloat16_units())
    yield (
        "shape",
        *(f"{unit or 'float32'}, us" for unit in sides),
        *(f"{unit}, times faster" for unit in sides[1:]),
        *(f"{unit or 'float32'}, % of peak" for unit in sides),
    )
    for shape in TIMED.values():
        X, y = shape.table(np.float32)
        turns = [
            (
                peak_gflops("float32", n_threads),
                *(microseconds(shape, X, y, unit, n_threads) for unit in sides),
            )
            for _ in range(TURNS)
        ]
        peak, times = np.array(turns)[:, :1], np.array(turns)[:, 1:]
        of_peak = shape.flops_a_step / times / 1e3 / peak
        median = lambda numbers: np.median(numbers, axis=0)
        yield (
            shape,
            *(f"{x:.0f}" for x in median(times)),
            *(f"{x:.2f}" for x in median(times[:, :1] / times[:, 1:])),
            *(f"{100 * x:.0f}" for x in median(of_peak)),
        )


def microseconds(shape, X, y, unit, n_threads):
    """Of a step, in a fit of some tenths of a second; unit None: float32."""
    epochs = max(2, int(6e10 / shape.flops_a_step / shape.batches))
    os.environ["NNFAST_BFLOAT16"] = unit or ""
    estimator = nnfast.MLPClassifier(
        shape.hidden,
        batch_size=shape.batch_size,
        max_iter=epochs,
        tol=0,
        n_iter_no_change=epochs,
        random_state=0,
        n_threads=n_threads,
        precision="bfloat16" if unit else "float32",
    )
    start = time.perf_counter()
    estimator.fit(X, y)
    return (time.perf_counter() - start) / epochs / shape.batches * 1e6


if __name__ == "__main__":
    main()
