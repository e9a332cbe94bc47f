"""Made-up tables for `python -m bench.tabular cost`: time and memory of fits by rows, and by columns."""

import numpy as np
import pandas as pd

N_TEST, COLUMNS, ROWS = 1000, 30, 10_000
BY_ROWS = [1000, 3000, 10_000, 30_000, 100_000]
BY_COLUMNS = [5, 10, 30, 100, 300]
CATEGORIES = (1, 4, 7)  # of ten columns
SHARE_MISSING = 0.03
METRICS = {"classification": "auc", "regression": "rmse"}


def points(is_quick=False):
    """The jobs: the axis that varies, the task, rows to train on, and columns."""
    rows, columns, fixed_rows = ([100, 200], [5, 10], 100) if is_quick else (BY_ROWS, BY_COLUMNS, ROWS)
    sizes = [("rows", n, COLUMNS) for n in rows] + [("columns", fixed_rows, n) for n in columns]
    return [
        {"axis": axis, "task": task, "rows": n_rows, "columns": n_columns}
        for axis, n_rows, n_columns in sizes
        for task in METRICS
    ]


def made_up(n_rows, n_columns, task, seed=0):
    """A DataFrame of numbers and categories, and a Series of two classes or of numbers.

    The target adds up effects of the first ten columns, a joint one of two of them, and noise.
    """
    rng = np.random.default_rng(seed)
    columns, effects = {}, rng.normal(size=n_rows)
    for i in range(n_columns):
        if i % 10 in CATEGORIES:
            n_levels = rng.integers(2, 50)
            codes = np.minimum(rng.geometric(0.1, n_rows), n_levels) - 1  # of unequal frequencies
            values, effect = (
                np.char.add("level ", codes.astype(str)).astype(object),
                rng.normal(size=n_levels)[codes],
            )
        elif i % 2:
            values = rng.normal(size=n_rows)
            effect = np.sin(2 * values)
        else:
            values = np.round(rng.lognormal(size=n_rows), 1)
            effect = np.log1p(values)
        effects += effect if i < 10 else 0
        columns[f"column {i}"] = values
    effects += np.sign(columns["column 3"]) * np.log1p(columns["column 0"])
    X, y = pd.DataFrame(columns), pd.Series(effects)
    return X.mask(rng.random(X.shape) < SHARE_MISSING), y if task == "regression" else (y > y.median()).map(
        {True: "yes", False: "no"}
    )


def measure(job):
    """Fit a made-up table: what `bench.tabular.measure` says of a development table."""
    from bench.tabular import measure_fit

    X, y = made_up(job["rows"] + N_TEST, job["columns"], job["task"])
    n = job["rows"]
    rest = [each.iloc[n:].reset_index(drop=True) for each in (X, y)]
    return measure_fit(job, METRICS[job["task"]], X.iloc[:n], rest[0], y.iloc[:n], rest[1])
