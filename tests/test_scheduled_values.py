"""Dropout and weight decay by schedules of their own."""

import pickle

import numpy as np
import pytest
from problems import Problem, arrays_of
from reference_optimizers import optimizer_like
from sklearn.base import clone
from small import BOTH, QUIET, small, table

from nnfast import MLPClassifier, MLPRegressor
from nnfast.callbacks import Callback
from nnfast.engines import cython, session
from nnfast.optimizers import SGD, AdamW, Lion
from nnfast.regularization import Regularization
from nnfast.schedules import Cosine, Custom, Linear

try:
    from nnfast.engines import numba
except ImportError:
    numba = None
ENGINES = [cython, *([numba] if numba else [])]
EACH_ENGINE = pytest.mark.parametrize(
    "engine", ENGINES, ids=lambda engine: engine.__name__.rsplit(".", 1)[-1]
)

pytestmark = QUIET

# ------------------------------------------------------------------------------------------------------------
# The path of a run

N_STEPS = 8
FALLING, RISING = np.linspace(0.4, 0, N_STEPS), np.linspace(0.05, 0.3, N_STEPS)
RUNS = {
    "relu": {"activation": "relu"},
    "tanh": {"activation": "tanh"},
    "alpha dropout": {"activation": "selu", "alpha_dropout": True},
    "sparse": {"activation": "relu", "kind": "sparse"},
    "csr": {"activation": "relu", "kind": "csr"},
    "layer norm": {"activation": "relu", "normalization": "layer"},
}


@EACH_ENGINE
@pytest.mark.parametrize("window", [4096, 3])
@pytest.mark.parametrize("name", RUNS)
def test_dropout_of_every_step_is_the_references(engine, window, name, monkeypatch):
    monkeypatch.setattr("problems.engine", engine)
    monkeypatch.setattr(session, "WINDOW", window)
    run = dict(RUNS[name])
    regularization = Regularization(
        alpha=0.01,
        dropout=(0.2, 0.4),
        input_dropout=0.05,
        alpha_dropout=run.pop("alpha_dropout", False),
    )
    problem = Problem((12, 9, 7, 3), n_samples=N_STEPS * 6, **run)
    slow, X, y = problem.reference(regularization)
    rule, losses = optimizer_like(SGD()), []
    for i, rows in enumerate(problem.rows.reshape(N_STEPS, 6)):
        slow.rates = [RISING[i], 0.2, FALLING[i]]
        losses.append(slow.step(X[rows], y[rows], None, rule, 0.02))
    columns = np.column_stack([np.full(N_STEPS, 0.02), FALLING, RISING])
    with problem.session(
        optimizer=SGD(),
        batch_size=6,
        regularization=regularization,
        columns=("dropout[1]", "input_dropout"),
    ) as fast:
        np.testing.assert_allclose(fast.epoch(problem.rows, columns), np.mean(losses), rtol=1e-9)
        for got, w in zip(problem.stored(fast), arrays_of(slow), strict=True):
            np.testing.assert_allclose(got, w, rtol=1e-8, atol=1e-9 * np.abs(w).max())


@EACH_ENGINE
@pytest.mark.parametrize("optimizer", [AdamW(epsilon=1e-3), Lion()], ids=["adamw", "lion"])
def test_weight_decay_of_every_step_is_the_references(engine, optimizer, monkeypatch):
    monkeypatch.setattr("problems.engine", engine)
    problem, decays = Problem(n_samples=N_STEPS * 6), 5 * FALLING
    slow, X, y = problem.reference()
    rule = optimizer_like(optimizer)
    for decay, rows in zip(decays, problem.rows.reshape(N_STEPS, 6), strict=True):
        rule.weight_decay = decay
        slow.step(X[rows], y[rows], None, rule, 0.02)
    with problem.session(optimizer=optimizer, batch_size=6, columns=("weight_decay",)) as fast:
        fast.epoch(problem.rows, np.column_stack([np.full(N_STEPS, 0.02), decays]))
        for got, w in zip(problem.stored(fast), arrays_of(slow), strict=True):
            np.testing.assert_allclose(got, w, rtol=1e-8, atol=1e-9 * np.abs(w).max())


# ------------------------------------------------------------------------------------------------------------
# What estimators make of them

VALUES = {
    "dropout": ({"dropout": (0.3, Linear())}, {"dropout": (0.3, "constant")}, {"dropout": 0.3}),
    "dropout of a layer": (
        {"dropout": [0.2, (0.3, Linear())]},
        {"dropout": ((0.2, "constant"), (0.3, Custom(np.ones_like)))},
        {"dropout": [0.2, 0.3]},
    ),
    "input_dropout": (
        {"input_dropout": (0.2, "step")},
        {"input_dropout": (0.2, "constant")},
        {"input_dropout": 0.2},
    ),
    "weight_decay": (
        {"weight_decay": (0.5, Cosine()), "solver": "adamw"},
        {"weight_decay": (0.5, "constant"), "solver": "adamw"},
        {"weight_decay": 0.5, "solver": "adamw"},
    ),
}
SETTINGS = {"hidden_layer_sizes": (6, 5), "max_iter": 40, "batch_size": 16, "learning_rate_init": 0.01}


def learned(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


def same(ours, theirs):
    return all(map(np.array_equal, learned(ours), learned(theirs)))


@BOTH
@pytest.mark.parametrize("warm_start", [False, True, "full"])
@pytest.mark.parametrize("case", VALUES)
def test_a_constant_schedule_changes_nothing(cls, warm_start, case):
    X, y = table()
    falling, constant, plain = (
        cls(**SETTINGS | options, random_state=0, warm_start=warm_start) for options in VALUES[case]
    )
    for _ in range(2):
        assert same(constant.fit(X, y), plain.fit(X, y))
        assert not same(falling.fit(X, y), plain) or "step" in str(VALUES[case][0])


@BOTH
@EACH_ENGINE
@pytest.mark.parametrize("case", VALUES)
def test_whoever_watches_changes_nothing(cls, engine, case):
    # several epochs in one call of the engine, or one by one
    X, y = table()
    options = SETTINGS | VALUES[case][0] | {"engine": engine.__name__.rsplit(".", 1)[-1], "random_state": 0}
    estimator = cls(**options)
    assert same(
        clone(pickle.loads(pickle.dumps(estimator))).fit(X, y),
        cls(**options, callbacks=[Callback()]).fit(X, y),
    )


@BOTH
def test_partial_fits_go_on_with_the_schedule(cls):
    X, y = table()
    options = {"random_state": 0, "max_iter": 6, "dropout": (0.4, Linear())}
    classes = {"classes": [0, 1]} if cls is MLPClassifier else {}
    estimator, rates = small(cls, **options), []
    for _ in range(6):
        estimator.partial_fit(X, y, **classes)
        rates.append(estimator._optimizer["scheduled"]["dropout[0]"]["n_epochs"])
    assert rates == [1, 2, 3, 4, 5, 6]
    seen = small(cls, **options).fit(X, y)
    assert seen._optimizer["scheduled"]["dropout[0]"]["n_steps"] == 18


WRONG = {
    "rate": ({"dropout": (1.0, "cosine")}, ["dropout", "[0, 1)", "(1.0, 'cosine')"]),
    "input": (
        {"input_dropout": (-0.1, "cosine")},
        ["input_dropout must be a rate in [0, 1), or a pair", "-0.1"],
    ),
    "pair": (
        {"input_dropout": (0.1, 0.2)},
        ["input_dropout must be a rate in [0, 1), or a pair", "(0.1, 0.2)"],
    ),
    "decay": ({"weight_decay": (-1, "cosine")}, ["weight_decay", "-1"]),
    "name": ({"dropout": (0.1, "cosin")}, ["The schedule of dropout[0]=(0.1, 'cosin')", "'cosine'"]),
    "reacts": ({"dropout": (0.1, "plateau")}, ["must go by time alone, got (0.1, 'plateau')"]),
    "too much": ({"dropout": (0.5, lambda progress: 3)}, ["dropout[0] must stay in [0, 1), got 1.5"]),
    "lbfgs": ({"dropout": (0.5, "cosine"), "solver": "lbfgs"}, ["needs a solver other than 'lbfgs'"]),
}


@BOTH
@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(cls, case):
    options, words = WRONG[case]
    with pytest.raises(ValueError) as error:
        small(cls, **{"solver": "adamw"} | options).fit(*table())
    for each in words:
        assert each in str(error.value)


def test_a_record_has_a_weight_decay_of_its_own():
    X, y = table()
    with pytest.warns(UserWarning, match="has no effect"):
        ours = small(MLPRegressor, solver=AdamW(weight_decay=0.2), weight_decay=(0.5, "cosine")).fit(X, y)
    assert same(ours, small(MLPRegressor, solver=AdamW(weight_decay=0.2)).fit(X, y))
    assert ours._optimizer["scheduled"] == {}
