"""Interrupts between any two lines of a fit."""

import pickle
import sys
import warnings
from itertools import product

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from small_fits import (
    HELD_OUT,
    _quiet,  # noqa: F401
    same,
    small,
    table,
)

import nnfast.lbfgs
import nnfast.stochastic_fit
from nnfast import MLPClassifier
from nnfast.callbacks import Callback


class Watcher(Callback):
    def on_epoch_end(self, estimator, state):
        assert estimator.n_iter_ == state.epoch


def cheap_score(estimator, X, y):
    return float(estimator.coefs_[0][0, 0])


OPTIONS = [
    {},
    {"early_stopping": True},
    {"early_stopping": True, "scoring": cheap_score},
    {"callbacks": [Watcher()]},
    {
        "early_stopping": True,
        "scoring": cheap_score,
        "monitor": "loss",
        "callbacks": [Watcher()],
        "restore_best": False,
    },
]
FILES = tuple(
    f"{name}.py"
    for name in (
        "training",
        "stochastic_fit",
        "monitoring",
        "patience",
        "criterion",
        "epoch_records",
        "validator",
        "schedules/run",
        "reporting",
        "callbacks/protocol",
        "scores",
        "base",
    )
)


def interrupted_before_each_line(within, files, make, fit):
    """Estimators whose fit was interrupted, once before each line that it runs in `files` and below `within`,
    a function.

    Python raises KeyboardInterrupt between any two lines; here it is raised before each line in turn.
    """
    code = within.__code__
    wanted, reached, inside = -1, -1, False

    def local(frame, event, argument):
        nonlocal reached, inside
        if event == "line" and inside:
            reached += 1
            if reached == wanted:
                raise KeyboardInterrupt
        elif event == "return" and frame.f_code is code:
            inside = False
        return local

    def on_call(frame, event, argument):
        nonlocal inside
        inside = inside or frame.f_code is code
        return local if inside and frame.f_code.co_filename.endswith(files) else None

    tracer = sys.gettrace()
    while True:
        wanted, reached, inside = wanted + 1, -1, False
        estimator, interrupted = make(), False
        sys.settrace(on_call)
        try:
            fit(estimator)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(tracer)
        if not interrupted:
            assert reached < wanted
            return
        yield estimator


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "own_table"), [*product(OPTIONS, [False]), ({}, True), (OPTIONS[2], True)]
)
def test_interrupts_between_any_two_lines_of_an_epoch(options, own_table):
    X, y, _ = table()
    more = {"X_val": X[:20], "y_val": y[:20]} if own_table else {}
    parameters = {"max_iter": 2, "validation_fraction": 0.3, "n_iter_no_change": 1000} | options
    whole = [small(**parameters | {"max_iter": n, "restore_best": False}).fit(X, y, **more) for n in (1, 2)]
    n_interrupted = n_with_moments = 0
    for estimator in interrupted_before_each_line(
        nnfast.stochastic_fit.StochasticFit._epoch,
        FILES,
        lambda: small(**parameters),
        lambda estimator: estimator.fit(X, y, **more),
    ):
        n_interrupted += 1
        if not hasattr(estimator, "coefs_"):  # before there was a whole epoch
            continue
        n_iter = estimator.n_iter_
        for name in ("loss_curve_", "learning_rate_curve_", "validation_loss_curve_", "validation_scores_"):
            assert (getattr(estimator, name) is None) == (getattr(whole[0], name) is None)
        assert_as_of(estimator, n_iter, whole)
        has_moments = estimator._optimizer["moments"] is not None
        assert estimator.predict(X).shape == y.shape
        if has_moments and not estimator.early_stopping:
            expected = pickle.loads(pickle.dumps(whole[n_iter - 1])).partial_fit(X, y)
            assert same(estimator.partial_fit(X, y), expected)
        n_with_moments += has_moments
    assert n_interrupted > 80
    assert n_with_moments > 10


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"callbacks": [Watcher()]}, {"scoring": cheap_score}])
def test_interrupts_between_any_two_lines_of_lbfgs(more):
    X, y, _ = table()
    parameters = {"solver": "lbfgs", "max_iter": 3, **more}
    held_out = {"validation_indices": HELD_OUT} if "scoring" in more else {}
    whole = [small(**parameters | {"max_iter": n}).fit(X, y, **held_out) for n in (1, 2, 3)]
    n_interrupted = 0
    for estimator in interrupted_before_each_line(
        nnfast.lbfgs.LbfgsFit._iterated,
        ("lbfgs.py", *FILES),
        lambda: small(**parameters),
        lambda estimator: estimator.fit(X, y, **held_out),
    ):
        n_interrupted += 1
        if not hasattr(estimator, "coefs_"):
            continue
        n_iter = estimator.n_iter_
        assert {len(values) for values in estimator.history_.values()} == {n_iter}
        assert same(estimator, whole[n_iter - 1])
        assert estimator.loss_ == whole[n_iter - 1].loss_ == estimator.history_["loss"][-1]
        if "scoring" in more:
            assert len(estimator.validation_scores_) == n_iter
        assert estimator.predict(X).shape == y.shape
    assert n_interrupted > 30


def assert_as_of(estimator, n_iter, whole):
    expected = whole[n_iter - 1]
    assert same(estimator, expected)
    assert estimator.loss_ == expected.loss_
    assert estimator.t_ == expected.t_
    assert estimator.loss_curve_ == expected.loss_curve_
    assert estimator.learning_rate_curve_ == expected.learning_rate_curve_
    assert estimator.validation_loss_curve_ == expected.validation_loss_curve_
    if estimator.scoring is None:
        assert estimator.validation_scores_ == expected.validation_scores_
    else:  # the last is NaN if the scorer was interrupted
        assert estimator.validation_scores_[:-1] == expected.validation_scores_[:-1]
        assert estimator.validation_scores_[-1] in (
            expected.validation_scores_[-1],
            pytest.approx(np.nan, nan_ok=True),
        )
    assert {len(values) for values in estimator.history_.values()} == {n_iter}


# ------------------------------------------------------------------------------------------------------------
# With normalization and dropout


def all_arrays(estimator):
    names = ("coefs_", "intercepts_", "norm_scales_", "norm_shifts_", "running_means_", "running_variances_")
    return [array for name in names for array in vars(estimator).get(name, ())]


REGULARIZED = [
    {"normalization": "batch"},
    {"normalization": "layer"},
    {"dropout": 0.3},
    {
        "normalization": "batch",
        "dropout": 0.2,
        "input_dropout": 0.1,
        "l1": 0.01,
        "max_norm": 1.0,
        "clip_norm": 1.0,
    },
]


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("more", REGULARIZED)
def test_all_arrays_are_restored_and_gone_on_with(more, early_stopping):
    X, y, _ = table()
    parameters = {"shuffle": False, "learning_rate_init": 0.3, "monitor": "loss", **more}
    seen = []

    def look(estimator, X, y):
        seen.append([array.copy() for array in all_arrays(estimator)])
        return 0.0

    whole = small(
        **parameters, early_stopping=early_stopping, scoring=look, max_iter=12, n_iter_no_change=100
    )
    whole.fit(X, y, validation_indices=HELD_OUT)
    best = int(np.argmin(whole.validation_loss_curve_)) if early_stopping else 11
    assert best < 11 or not early_stopping or "dropout" in more
    assert all(np.array_equal(a, b) for a, b in zip(all_arrays(whole), seen[best], strict=True))
    if "dropout" not in more and not early_stopping:  # each fit draws a seed for dropout
        pieces = small(**parameters, warm_start="full", max_iter=6)
        for _ in range(2):
            pieces.fit(X, y, validation_indices=HELD_OUT)
        assert all(np.array_equal(a, b) for a, b in zip(all_arrays(whole), all_arrays(pieces), strict=True))


def test_only_dropout_draws_a_seed():
    X, y, _ = table()
    states = []
    for more in ({}, {"normalization": "batch"}, {"dropout": 0.5}, {"input_dropout": 0.5}):
        random_state = np.random.RandomState(3)
        small(random_state=random_state, shuffle=False, max_iter=1, **more).fit(X, y)
        states.append(random_state.randint(10**9))
    assert states[0] == states[1] != states[2] == states[3]


@pytest.mark.parametrize(
    "learning_rate, warns",
    [
        ("constant", True),
        ("step", True),
        ("cosine", False),
        ("one_cycle", False),
        (lambda p: 1 - p / 2, False),
    ],
)
def test_a_schedule_that_plans_its_end_is_not_said_to_have_missed_it(learning_rate, warns):
    X, y = np.random.RandomState(0).normal(size=(60, 3)), np.arange(60) % 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MLPClassifier((4,), max_iter=2, solver="sgd", learning_rate=learning_rate, random_state=0).fit(X, y)
    assert [warning.category for warning in caught] == [ConvergenceWarning] * warns
