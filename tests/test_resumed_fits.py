"""Fits that go on from earlier ones, by `partial_fit` and warm starts."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import scale
from small_fits import (
    HELD_OUT,
    STOCHASTIC,
    _quiet,  # noqa: F401
    same,
    small,
    table,
)

from nnfast import MLPClassifier
from nnfast.schedules import Cosine, Plateau, Step


def assert_went_on(ours, whole):
    """`ours`, in pieces, is to the bit what `whole` is in one."""
    assert same(ours, whole)
    assert ours.t_ == whole.t_
    for name in ("loss_curve_", "learning_rate_curve_", "validation_scores_", "validation_loss_curve_"):
        assert getattr(ours, name) == getattr(whole, name), name
    assert ours._optimizer["t"] == whole._optimizer["t"]
    for mine, others in zip(ours._optimizer["moments"], whole._optimizer["moments"], strict=True):
        assert mine.keys() == others.keys()
        assert all(np.array_equal(mine[name], others[name]) for name in mine)


@pytest.mark.parametrize(
    "learning_rate",
    ["constant", "invscaling", "adaptive", "step", "exponential", "plateau", "cosine_restarts"],
)
@pytest.mark.parametrize("solver", STOCHASTIC)
def test_fits_and_partial_fits_in_pieces_are_one_fit(solver, learning_rate):
    X, y, _ = table()
    parameters = {
        "solver": solver,
        "learning_rate": learning_rate,
        "shuffle": False,
        "n_iter_no_change": 1,
        "tol": 0.02,
    }
    whole = small(**parameters, max_iter=6).fit(X, y)
    n_iter = whole.n_iter_
    pieces = small(**parameters, warm_start="full")
    while n_iter:
        pieces.set_params(max_iter=min(2, n_iter)).fit(X, y)
        n_iter -= pieces.n_iter_
    assert_went_on(pieces, whole)
    steps = small(**parameters, max_iter=6)
    for _ in range(whole.n_iter_):
        steps.partial_fit(X, y, classes=[-1, 3])
    assert_went_on(steps, whole)


@pytest.mark.parametrize("monitor", ["score", "loss"])
def test_full_warm_starts_go_on_with_early_stopping(monitor):
    X, y, _ = table()
    parameters = {
        "shuffle": False,
        "early_stopping": True,
        "monitor": monitor,
        "restore_best": False,
        "n_iter_no_change": 100,
    }
    whole = small(**parameters, max_iter=4).fit(X, y, validation_indices=HELD_OUT)
    pieces = small(**parameters, max_iter=2, warm_start="full")
    for _ in range(2):
        pieces.fit(X, y, validation_indices=HELD_OUT)
    assert_went_on(pieces, whole)
    assert pieces.best_validation_score_ == max(whole.validation_scores_[2:])  # the given rows may be others


MEASURES = {
    "training loss": ({}, {}),
    "accuracy": ({"early_stopping": True}, {}),
    "validation loss": ({"early_stopping": True, "monitor": "loss"}, {}),
    "scorer": ({"early_stopping": True, "scoring": "neg_log_loss"}, {}),
    "function": ({"early_stopping": True, "scoring": lambda estimator, X, y: -10.0}, {}),
    "other loss": ({"loss": "focal"}, {}),
    "other gamma": ({"loss": "focal", "focal_gamma": 0.1}, {}),
    "given rows": ({"early_stopping": True}, {"validation_indices": HELD_OUT}),
    "other given rows": ({"early_stopping": True}, {"validation_indices": HELD_OUT - 1}),
}


@pytest.mark.parametrize("before", MEASURES)
@pytest.mark.parametrize("now", MEASURES)
def test_patience_goes_on_where_the_training_loss_is_the_same_as_before(before, now):
    X, y, _ = table()
    estimator = small(
        max_iter=3, warm_start=True, validation_fraction=0.3, learning_rate="plateau", solver="sgd"
    )
    parameters, rows = MEASURES[before]
    estimator.set_params(**parameters).fit(X, y, **rows)
    goes_on = before == now and not MEASURES[now][0].get("early_stopping")
    # As if the earlier fit had come to what no later one does, and had stalled.
    estimator._optimizer |= {
        "best": 1e9,
        "schedule": estimator._optimizer["schedule"] | {"best": -1e9, "n_bad": 5},
    }
    estimator._no_improvement_count = 10
    estimator = pickle.loads(pickle.dumps(estimator)) if before != "function" else estimator
    defaults = {
        "early_stopping": False,
        "monitor": "score",
        "scoring": None,
        "loss": "log_loss",
        "focal_gamma": 2.0,
    }
    parameters, rows = MEASURES[now]
    estimator.set_params(**defaults | parameters).fit(X, y, **rows)
    assert estimator.n_iter_ == (1 if goes_on else 3)
    assert (estimator._optimizer["best"] == 1e9) == goes_on
    assert estimator._optimizer["schedule"]["rate"] == pytest.approx(0.001 if goes_on else 0.01)
    if estimator.early_stopping and not goes_on:
        assert estimator.best_validation_score_ == max(estimator.validation_scores_[-3:])


def test_a_warm_start_with_another_score_restores_its_own_best():
    X, y, _ = table()
    estimator = small(
        early_stopping=True, scoring=lambda estimator, X, y: 1e9, warm_start=True, n_iter_no_change=2
    ).fit(X, y)
    assert estimator.n_iter_ == 4
    before = pickle.loads(pickle.dumps(estimator.coefs_))
    estimator.set_params(scoring="loss", learning_rate_init=0.001).fit(X, y)
    assert estimator.n_iter_ == 5
    assert estimator.best_validation_score_ == max(estimator.validation_scores_[-5:]) < 0
    assert not np.array_equal(estimator.coefs_[0], before[0])


@pytest.mark.parametrize("warm_start", [True, "full"])
@pytest.mark.parametrize("name", ["digits", "cancer", "wine"])
def test_many_fits_with_early_stopping_learn_as_much_as_one(name, warm_start):
    X, y = {"digits": load_digits, "cancer": load_breast_cancer, "wine": load_wine}[name](return_X_y=True)
    parameters = {"hidden_layer_sizes": (32,), "early_stopping": True, "n_iter_no_change": 1000}
    rng = np.random.default_rng(0)
    for seed in range(2):
        whole = (
            MLPClassifier(max_iter=60, random_state=seed, **parameters).fit(scale(X), y).score(scale(X), y)
        )
        for longest in (1, 20):
            pieces, left = MLPClassifier(warm_start=warm_start, random_state=seed, **parameters), 60
            while left:
                n_epochs = min(left, int(rng.integers(1, longest + 1)))
                pieces.set_params(max_iter=n_epochs).fit(scale(X), y)
                left -= n_epochs
            assert pieces.score(scale(X), y) > whole - 0.015


def test_the_last_weights_are_gone_on_with_and_the_best_are_kept():
    X, y, _ = table()
    scores = [0.1, 0.9, 0.2, 0.3]
    parameters = {"early_stopping": True, "shuffle": False, "max_iter": 4, "n_iter_no_change": 100}
    given = iter(scores)
    estimator = small(scoring=lambda *_: next(given), **parameters).fit(X, y, validation_indices=HELD_OUT)
    ends = [small(max_iter=n, shuffle=False).fit(X, y, validation_indices=HELD_OUT) for n in (2, 4)]
    assert same(estimator, ends[0])  # the best
    for change in ({"warm_start": "full", "max_iter": 1, "early_stopping": False}, None):
        again = pickle.loads(pickle.dumps(estimator.set_params(scoring=None)))
        if change is None:
            again.set_params(early_stopping=False).partial_fit(X, y)
            expected = pickle.loads(pickle.dumps(ends[1])).partial_fit(X, y)
        else:
            again.set_params(**change).fit(X, y, validation_indices=HELD_OUT)
            expected = small(max_iter=5, shuffle=False).fit(X, y, validation_indices=HELD_OUT)
        assert same(again, expected)
        assert again._last_parameters is None
    # An array of the user's own is what a fit starts from.
    mine = copy.deepcopy(estimator).set_params(early_stopping=False)
    mine.coefs_[0] = np.zeros_like(mine.coefs_[0])
    start = copy.deepcopy(mine)
    start._last_parameters = None
    assert same(mine.partial_fit(X, y), start.partial_fit(X, y))


def test_plateau_keeps_its_rate_where_the_measure_changes():
    X, y, _ = table()
    estimator = small(
        max_iter=8, warm_start=True, learning_rate=Plateau(patience=0, threshold=1), solver="sgd"
    ).fit(X, y)
    rate = estimator._optimizer["schedule"]["rate"]
    assert rate < 0.01
    estimator.set_params(early_stopping=True, max_iter=1).fit(X, y)
    assert estimator.learning_rate_curve_[-1] == estimator._optimizer["schedule"]["rate"] == rate


def test_warm_starts_forget_moments_and_scikit_learns_schedules():
    X, y, _ = table()
    parameters = {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "tol": 10.0,
        "n_iter_no_change": 1,
        "max_iter": 8,
    }
    plain, full = (small(**parameters, warm_start=warm_start).fit(X, y) for warm_start in (True, "full"))
    assert same(plain, full)
    assert plain.learning_rate_curve_[-1] < 0.01
    for estimator in (plain, full):
        estimator.fit(X, y)
    assert plain.learning_rate_curve_[8] == 0.01
    assert full.learning_rate_curve_[8] < 0.01
    assert not same(plain, full)
    step = {"solver": "sgd", "learning_rate": "step", "max_iter": 6}
    plain, full = (small(**step, warm_start=warm_start).fit(X, y).fit(X, y) for warm_start in (True, "full"))
    assert plain.learning_rate_curve_ == full.learning_rate_curve_
    assert not same(plain, full)


def test_what_does_not_fit_is_not_gone_on_with():
    X, y, _ = table()
    estimator = small(warm_start="full", learning_rate="cosine").fit(X, y)
    for other in (
        {"solver": "sgd"},
        {"solver": "lion"},
        {"learning_rate": "step"},
        {"solver": "lbfgs"},
        {"solver": "adam"},
    ):
        assert np.isfinite(estimator.set_params(**other).fit(X, y).loss_)


def test_partial_fit_goes_on_with_what_began():
    X, y, _ = table()
    ours, expected = (small(beta_1=0.5).partial_fit(X, y, classes=[-1, 3]) for _ in range(2))
    ours.set_params(beta_1=0.1, learning_rate_init=9.0).partial_fit(X, y)
    assert same(ours, expected.partial_fit(X, y))


@pytest.mark.parametrize("began", ["step", Step(every=1, factor=0.5), lambda progress: 1 - progress])
@pytest.mark.parametrize("later", ["constant", Cosine(), lambda progress: 9.0])
def test_partial_fit_goes_on_with_the_schedule_that_began(began, later):
    X, y, _ = table()
    ours, expected = (small(learning_rate=began).partial_fit(X, y, classes=[-1, 3]) for _ in range(2))
    ours.set_params(learning_rate=later)
    for _ in range(2):
        assert same(ours.partial_fit(X, y), expected.partial_fit(X, y))
    assert ours.learning_rate_curve_ == expected.learning_rate_curve_


def test_moments_are_kept_in_the_fitted_dtype_and_pickle():
    X, y, _ = table()
    whole = small(shuffle=False, max_iter=4).fit(X.astype(np.float32), y)
    pieces = small(shuffle=False, max_iter=2, warm_start="full").fit(X.astype(np.float32), y)
    assert_went_on(pickle.loads(pickle.dumps(pieces)).fit(X.astype(np.float32), y), whole)
