"""Odd tables: no error, no warning, no NaN, and no predictor that is worse than a constant by more than
noise.
"""

import datetime
import string

import numpy as np
import pandas as pd
import pytest

from nnfast.tabular import TabularClassifier, TabularRegressor

N_TEST = 150
# What counts as noise: so many standard errors of the mean difference of losses, and this part of the
# constant's loss, or of a loss of 0.1: probabilities of a constant have a row more, which is a bit of each
# class.
NOISE, LITTLE = 3.5, 0.02


# ------------------------------------------------------------------------------------------------------------
# Columns: functions of (rng, n, s), s in [-1, 1] a hidden number that the targets depend on


def words(rng, n, s, k):
    return np.array([f"word {i}" for i in range(k)], dtype=object)[rng.integers(0, k, n)]


def holes(values, rng, share=0.3):
    return np.where(rng.random(len(values)) < share, None, np.asarray(values, dtype=object))


def days(s, unit="D"):
    return pd.Timestamp("2020-06-01") + pd.to_timedelta(np.round(s * 700), unit=unit)


COLUMNS = {
    "signal": lambda rng, n, s: s,
    "noise": lambda rng, n, s: rng.normal(size=n),
    "float32": lambda rng, n, s: s.astype(np.float32),
    "constant": lambda rng, n, s: np.ones(n),
    "constant text": lambda rng, n, s: np.full(n, "same", dtype=object),
    "all missing": lambda rng, n, s: np.full(n, np.nan),
    "all None": lambda rng, n, s: np.full(n, None, dtype=object),
    "all NaT": lambda rng, n, s: np.full(n, "NaT", dtype="M8[us]"),
    "constant or missing": lambda rng, n, s: np.where(s > 0, 1.0, np.nan),
    "nearly constant": lambda rng, n, s: 1e9 + np.where(np.arange(n) == 1, 1e-6, 0),
    "missing where it counts": lambda rng, n, s: np.where(s > 0, rng.normal(size=n), np.nan),
    "mostly missing": lambda rng, n, s: np.where(rng.random(n) < 0.95, np.nan, s),
    "tails of 1e30": lambda rng, n, s: s * 10 ** rng.uniform(-30, 30, n),
    "tails of 1e300": lambda rng, n, s: s * 10 ** rng.uniform(-300, 300, n),
    "one at 1e300": lambda rng, n, s: np.where(np.arange(n) % 37 == 5, 1e300, s),
    "denormal": lambda rng, n, s: s * 1e-310,
    "two denormal": lambda rng, n, s: np.where(s > 0, 5e-324, 0),
    "largest": lambda rng, n, s: np.where(s > 0, 1.7e308, -1.7e308),
    "infinite": lambda rng, n, s: np.where(s > 0.5, np.inf, np.where(s < -0.5, -np.inf, s)),
    "all infinite": lambda rng, n, s: np.full(n, np.inf),
    "log-normal": lambda rng, n, s: np.exp(10 * s),
    "cauchy": lambda rng, n, s: rng.standard_cauchy(n) + s,
    "mostly zero": lambda rng, n, s: np.where(rng.random(n) < 0.9, 0, s),
    "huge int64": lambda rng, n, s: (s * 9e18).astype(np.int64),
    "huge uint64": lambda rng, n, s: ((s + 1) * 9e18).astype(np.uint64),
    "huge int": lambda rng, n, s: np.array([int(1000 * v) * 10**400 for v in s], dtype=object),
    "few integers": lambda rng, n, s: np.round(3 * s).astype(int),
    "boolean": lambda rng, n, s: s > 0,
    "boolean with holes": lambda rng, n, s: holes(s > 0, rng),
    "digits": lambda rng, n, s: np.round(4 * s).astype(int).astype(str).astype(object),
    "numbers as text": lambda rng, n, s: s.round(3).astype(str).astype(object),
    "mixed": lambda rng, n, s: np.array(
        [[v, str(v), v > 0, None, datetime.date(2020, 1, 1)][i % 5] for i, v in enumerate(s)], dtype=object
    ),
    "empty text": lambda rng, n, s: np.where(s > 0, "", " ").astype(object),
    "text and empty text": lambda rng, n, s: holes(np.where(s > 0, "", "x"), rng),
    "unicode": lambda rng, n, s: np.array(["naïve", "日本", "🙂", "\u0000", "a\u0301", "\n"], dtype=object)[
        np.round(2.5 * s + 2.5).astype(int)
    ],
    "long text": lambda rng, n, s: np.array(
        [string.printable * 100 + "xy"[int(v > 0)] for v in s], dtype=object
    ),
    "10,000 levels": lambda rng, n, s: words(rng, n, s, 10_000),
    "all different": lambda rng, n, s: np.array([f"row {v!r}" for v in rng.random(n)], dtype=object),
    "one rare level": lambda rng, n, s: np.where(np.arange(n) == 2, "rare", "frequent").astype(object),
    "levels": lambda rng, n, s: np.array(list("abcde"), dtype=object)[np.round(2 * s + 2).astype(int)],
    "levels with holes": lambda rng, n, s: holes(
        np.array(list("abcde"))[np.round(2 * s + 2).astype(int)], rng
    ),
    "dates": lambda rng, n, s: days(s),
    "hours": lambda rng, n, s: days(s, "h"),
    "dates with holes": lambda rng, n, s: days(s).where(rng.random(n) < 0.7),
    "two dates": lambda rng, n, s: np.where(
        s > 0, np.datetime64("1700-01-01"), np.datetime64("2200-12-31")
    ).astype("M8[us]"),
    "zoned dates": lambda rng, n, s: days(s).tz_localize("UTC").tz_convert("Asia/Tokyo"),
    "durations": lambda rng, n, s: pd.to_timedelta(s, unit="D"),
    "categories of numbers": lambda rng, n, s: pd.Categorical(np.round(3 * s)),
}

# Tables of more than one column: names of columns, or a number of columns of noise beside the signal.
TABLES = {name: [name] for name in COLUMNS} | {
    "duplicates": ["signal"] * 4 + ["levels"] * 3,
    "only dates": ["dates", "hours", "dates with holes", "zoned dates"],
    "only booleans": ["boolean", "boolean with holes", "boolean"],
    "only missing": ["all missing", "all None", "all NaT", "all infinite"],
    "constants and one signal": ["constant", "constant text", "signal"],
    "noise": ["noise"] * 5,
    "noise levels": ["10,000 levels", "all different"],
    "all kinds": list(COLUMNS),
    "wide": ["signal"] + ["noise"] * 100,
}


def table(rng, n, columns):
    s = rng.uniform(-1, 1, n)
    return pd.DataFrame({f"{j} {name}": COLUMNS[name](rng, n, s) for j, name in enumerate(columns)}), s


# ------------------------------------------------------------------------------------------------------------
# Targets: functions of (rng, s)

CLASSES = {
    "two classes": lambda rng, s: np.where(s + 0.5 * rng.normal(size=len(s)) > 0, "yes", "no"),
    "five classes": lambda rng, s: np.clip(np.round(2 * s + 2 + 0.5 * rng.normal(size=len(s))), 0, 4).astype(
        int
    ),
    "a rare class": lambda rng, s: np.where(s == s.max(), 7, 3),
    "random classes": lambda rng, s: rng.integers(0, 3, len(s)),
    "labels": lambda rng, s: np.stack([s > 0, rng.random(len(s)) < 0.5, s == s.min()], axis=1).astype(int),
}
NUMBERS = {
    "numbers": (lambda rng, s: s**2 + 0.1 * rng.normal(size=len(s)), {}),
    "random numbers": (lambda rng, s: rng.normal(size=len(s)), {}),
    "cauchy": (lambda rng, s: s + rng.standard_cauchy(len(s)), {"loss": "absolute_error"}),
    "one at 1e30": (lambda rng, s: np.where(s == s.max(), 1e30, s), {}),
    "numbers of 1e300": (lambda rng, s: 1e300 * s, {}),
    "numbers of 1e-300": (lambda rng, s: 1e-300 * s, {"loss": "huber", "huber_delta": 1e-300}),
    "huge integers": (lambda rng, s: (1e18 * s).astype(np.int64), {}),
    "two outputs": (
        lambda rng, s: np.stack([s, 1e6 * rng.normal(size=len(s))], axis=1),
        {"loss": "log_cosh"},
    ),
    "counts": (lambda rng, s: rng.poisson(np.exp(s)), {"loss": "poisson"}),
    "rare counts": (lambda rng, s: (s == s.max()).astype(int), {"loss": "poisson"}),
    "gamma": (lambda rng, s: rng.gamma(2, np.exp(s)), {"loss": "gamma"}),
    "gamma over many scales": (lambda rng, s: np.exp(50 * s), {"loss": "gamma"}),
    "quantiles": (
        lambda rng, s: s + rng.normal(size=len(s)),
        {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]},
    ),
}
TASKS = [*CLASSES, *NUMBERS]


def fitted(task, X, y, **more):
    parameters = {"quality": "fast", "random_state": 0, "n_jobs": 1} | more
    if task in CLASSES:
        return TabularClassifier(**parameters).fit(X, y)
    return TabularRegressor(**NUMBERS[task][1], **parameters).fit(X, y)


def outputs(estimator, X):
    return estimator.predict_proba(X) if hasattr(estimator, "classes_") else estimator.predict(X)


# ------------------------------------------------------------------------------------------------------------
# Losses of rows, by formulas of their own, and the constants that minimize them


def class_losses(p, y, classes):
    if y.ndim == 2:
        p = np.clip(p, 1e-3, 1 - 1e-3)
        return -np.log(np.where(y == 1, p, 1 - p)).mean(axis=1)
    known = np.isin(y, classes)
    code = np.searchsorted(classes, np.where(known, y, classes[0]))
    return -np.log(np.clip(np.where(known, p[np.arange(len(y)), code], 0), 1e-3, 1))


def number_losses(z, y, parameters):
    z, y = (np.asarray(each, dtype=np.float64).reshape(len(y), -1) for each in (z, y))
    loss, scale = parameters.get("loss"), np.maximum(np.abs(y).max(axis=0), 1e-300)
    if loss in ("poisson", "gamma"):
        z = np.maximum(z, 1e-6 * y.mean())
        return (z - y * np.log(z) if loss == "poisson" else y / z + np.log(z))[:, 0]
    error = (z - y) / scale
    if loss == "quantile":
        return np.where(
            error < 0, -error * parameters["quantile"], error * (1 - np.array(parameters["quantile"]))
        ).mean(axis=1)
    return (np.abs(error) if loss else error**2).mean(axis=1)


def constant(y, task):
    if task in CLASSES:
        return y.mean(axis=0) if y.ndim == 2 else np.unique(y, return_counts=True)[1] / len(y)
    loss = NUMBERS[task][1].get("loss", "")
    if loss == "quantile":
        return np.quantile(y, NUMBERS[task][1]["quantile"])
    return (np.median if loss in ("absolute_error", "huber", "log_cosh") else np.mean)(
        y.astype(np.float64), axis=0
    )


def check(task, columns, n, seed=0, **more):
    """Fit to n rows, and compare with the best constant on others: mean difference of losses, in standard
    errors.
    """
    rng = np.random.default_rng(seed)
    X, s = table(rng, n + N_TEST, columns)
    y = CLASSES[task](rng, s) if task in CLASSES else NUMBERS[task][0](rng, s)
    estimator = fitted(task, X[:n], y[:n], **more)
    predicted = outputs(estimator, X)
    assert np.isfinite(predicted).all()
    assert len(estimator.predict(X)) == len(X)
    trivial = np.broadcast_to(constant(y[:n], task), predicted.shape)
    if task in CLASSES:
        assert (predicted >= 0).all() and (predicted <= 1).all()
        if y.ndim == 1:
            np.testing.assert_allclose(predicted.sum(axis=1), 1, rtol=1e-12)
        losses = [
            class_losses(each, y, getattr(estimator, "classes_", None)) for each in (predicted, trivial)
        ]
        # Where the rows that judge lack a class or a label, their spread says nothing of it: that of all rows
        # does.
        lacks = (
            (y[n:] == y[n]).all(axis=0).any()
            if y.ndim == 2
            else len(np.unique(y[n:])) < len(np.unique(y[:n]))
        )
        judging = (losses[0] - losses[1])[0 if lacks else n :]
    else:
        losses = [number_losses(each[n:], y[n:], NUMBERS[task][1]) for each in (predicted, trivial)]
        judging = losses[0] - losses[1]
    worse, least = (losses[0] - losses[1])[-N_TEST:].mean(), abs(losses[1][-N_TEST:].mean())
    # The rows of the fit have chosen between the two, by the same losses, and others judge: both are samples.
    error = judging.std() * (1 / n + 1 / N_TEST) ** 0.5
    assert worse <= NOISE * error + LITTLE * max(0.1, least), (worse, error, least)


UNSEEN = pytest.mark.filterwarnings(
    "ignore::nnfast.exceptions.UnexpectedValuesWarning"
)  # test rows may have what is rare


@UNSEEN
@pytest.mark.parametrize("task", ["five classes", "numbers"])
@pytest.mark.parametrize("columns", TABLES)
def test_odd_tables(columns, task):
    check(task, TABLES[columns], 40)


@UNSEEN
@pytest.mark.parametrize("columns", ["all kinds", "signal", "noise levels"])
@pytest.mark.parametrize("task", TASKS)
def test_odd_targets(columns, task):
    check(task, TABLES[columns], 60, seed=1)


@UNSEEN
@pytest.mark.parametrize("task", ["two classes", "five classes", "labels", "numbers", "counts"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 10, 50])
def test_few_rows(n, task):
    check(task, ["signal", "levels", "dates"], n, seed=2)


@UNSEEN
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("columns", ["signal", pytest.param("all kinds", marks=pytest.mark.slow)])
def test_odd_targets_with_trees(columns, task):
    if task not in ("labels", "two outputs", "quantiles", "numbers of 1e-300"):  # which they do not have
        check(task, TABLES[columns], 60, seed=3, blend="trees")


# Tables that take seconds each: many columns, many rows beside few of a class, many levels.
@UNSEEN
@pytest.mark.slow
@pytest.mark.parametrize("task", ["two classes", "a rare class", "numbers", "labels"])
@pytest.mark.parametrize(
    "columns, n",
    [
        (["signal"] + ["noise"] * 1999, 200),
        (["signal", "levels"], 3000),
        (["10,000 levels", "signal"], 20_000),
    ],
)
def test_large_odd_tables(columns, n, task):
    check(task, columns, n, seed=4)


@UNSEEN
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 14))
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("columns", TABLES)
def test_many_odd_tables(columns, task, seed):
    check(task, TABLES[columns], 30 + seed, seed=seed)
