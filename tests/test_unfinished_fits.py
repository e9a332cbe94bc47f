"""Fits that do not end well: failures, interrupts (those between any two lines are in
test_training_interrupts.py), divergence.
"""

import os
import pickle
import signal
import threading
import time
import types

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from small import BOTH, QUIET, UNUSED_OPTIONS, frozen, small, table

import nnfast.stochastic_fit
from nnfast import DivergenceError, MLPRegressor, engines

pytestmark = QUIET

SENTENCE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
    " preprocessed."
)


def engine_with(monkeypatch, **methods):
    """Replace methods of the engine's Session for one test."""
    engine = engines.get_engine()
    fake = types.SimpleNamespace(**{name: getattr(engine, name) for name in dir(engine)})
    if "epoch" in methods:
        methods = {"several_epochs": False} | methods
    fake.Session = type("Session", (engine.Session,), methods)
    fake.NonFinite = engine.NonFinite
    monkeypatch.setattr(engines, "get_engine", lambda name="auto": fake)
    return engine


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@BOTH
def test_a_failure_before_training_changes_nothing(cls, solver, monkeypatch):
    X, y = table()
    fitted, fresh = small(cls, solver=solver).fit(X, y), small(cls, solver=solver)

    def no_memory(self, *args, **kwargs):
        raise MemoryError

    before = frozen(fitted), frozen(fresh)
    engine_with(monkeypatch, __init__=no_memory)
    for estimator in (fitted, fresh):
        with pytest.raises(MemoryError):
            estimator.fit(X[:, :2], y * 2)
    assert (frozen(fitted), frozen(fresh)) == before
    for wrong in (X[:, :2] * np.nan, X[:3], X[0]):
        with pytest.raises(ValueError):
            fitted.fit(wrong, y)
    assert frozen(fitted) == before[0]


def assert_as_of_a_whole_epoch(estimator, X, y):
    """The estimator is, to the bit, what a fit of n_iter_ epochs gives. Returns whether it still has its
    moments.
    """
    n_iter = estimator.n_iter_
    assert len(estimator.loss_curve_) == n_iter
    assert estimator.t_ == n_iter * len(X)
    same = (
        clone(estimator).set_params(max_iter=max(1, n_iter), n_iter_no_change=10**6, verbose=False).fit(X, y)
    )
    if n_iter:
        assert estimator.loss_ == same.loss_
        assert estimator.loss_curve_ == same.loss_curve_
        assert estimator.best_loss_ == same.best_loss_
        for mine, other in zip(
            estimator.coefs_ + estimator.intercepts_, same.coefs_ + same.intercepts_, strict=True
        ):
            assert np.array_equal(mine, other)
    assert estimator.predict(X).shape == y.shape
    has_moments = estimator._optimizer["moments"] is not None
    estimator.partial_fit(X, y)
    assert len(estimator.loss_curve_) == n_iter + 1
    if n_iter and has_moments:
        assert all(
            np.array_equal(a, b) for a, b in zip(estimator.coefs_, same.partial_fit(X, y).coefs_, strict=True)
        )
    return has_moments


@BOTH
@pytest.mark.parametrize("at", [1, 2, 4])
def test_interrupts_within_an_epoch(cls, at, monkeypatch):
    X, y = table()
    calls = []
    plain = engines.get_engine().Session.epoch

    def epoch(self, order, learning_rate):
        calls.append(None)
        loss = plain(self, order, learning_rate)
        if len(calls) == at:
            raise KeyboardInterrupt
        return loss

    estimator = small(cls)
    with monkeypatch.context() as patch:
        engine_with(patch, epoch=epoch)
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, y)
    if at == 1:
        assert not hasattr(estimator, "coefs_")
        return
    assert estimator.n_iter_ == at - 1
    assert_as_of_a_whole_epoch(estimator, X, y)


@BOTH
@pytest.mark.parametrize("done", [False, True])
def test_interrupts_within_several_epochs(cls, done, monkeypatch):
    X, y = table()
    plain, numbers = engines.get_engine().Session.epochs, []

    def epochs(self, orders, learning_rates):
        numbers.append(len(orders))
        if len(numbers) == 1 or done:
            losses = plain(self, orders, learning_rates)
        if len(numbers) == 2:
            raise KeyboardInterrupt
        return losses

    estimator = small(cls, max_iter=100, n_iter_no_change=9)
    with monkeypatch.context() as patch:
        engine_with(patch, epochs=epochs)
        patch.setattr(nnfast.stochastic_fit, "AHEAD_SECONDS", 1e9)
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, y)
    assert estimator.n_iter_ == 1 + numbers[0] and numbers[0] > 5
    has_moments = assert_as_of_a_whole_epoch(estimator, X, y)
    assert has_moments == (not done)


@UNUSED_OPTIONS
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_control_c(solver):
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGINT"):
        pytest.skip("signals arrive in the main thread")
    X, y = table(4000, 20)
    estimator = small(solver=solver, max_iter=10**8, max_fun=10**9, tol=0, n_iter_no_change=10**9)
    if solver == "lbfgs":
        y = np.random.RandomState(0).randint(0, 2, len(X))
        estimator.set_params(hidden_layer_sizes=(100, 100), tol=1e-300)
    sent = []

    def press():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert time.perf_counter() - sent[0] < 0.5  # 0.2 s, and room for a busy machine
    timer.join()
    assert estimator.n_iter_ > 0
    assert np.isfinite(estimator.loss_)
    assert estimator.predict(X).shape == y.shape
    estimator.set_params(solver="adam").partial_fit(X, y)


def test_an_interrupted_first_epoch_keeps_an_earlier_fit(monkeypatch):
    X, y = table()
    fitted, fresh = small().fit(X, y), small()
    before = frozen(fitted)

    def epoch(self, order, learning_rate):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        engine_with(patch, epoch=epoch)
        for call in (fitted.fit, fitted.partial_fit, fresh.fit):
            with pytest.raises(KeyboardInterrupt):
                call(X, y)
    assert frozen(fitted) == before
    assert not hasattr(fresh, "coefs_")


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_divergence_raises_and_names_epoch_and_step(cls, solver):
    X, y = table()
    estimator = small(
        cls, solver=solver, activation="identity", learning_rate_init=1e200, hidden_layer_sizes=(5, 5)
    )
    with np.errstate(all="ignore"), pytest.raises(DivergenceError) as caught:
        estimator.fit(X, y)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert message.startswith(SENTENCE)
    assert "epoch 1, step " in message
    assert "learning_rate_init" in message
    assert not hasattr(estimator, "coefs_")
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


@UNUSED_OPTIONS
def test_divergence_later_has_the_last_whole_epoch(monkeypatch):
    X, y = table()
    engine = engines.get_engine()
    plain = engine.Session.epoch
    calls = []

    def epoch(self, order, learning_rate):
        calls.append(None)
        loss = plain(self, order, learning_rate)
        if len(calls) == 4:
            raise engine.NonFinite(1)
        return loss

    for early_stopping in (False, True):
        calls.clear()
        estimator = small(early_stopping=early_stopping, validation_fraction=0.3)
        with monkeypatch.context() as patch:
            engine_with(patch, epoch=epoch)
            if early_stopping:
                with pytest.warns(ConvergenceWarning, match="epoch 4, step 2.*best epoch"):
                    estimator.fit(X, y)
                assert len(estimator.validation_scores_) == 3
                assert estimator.best_validation_score_ == max(estimator.validation_scores_)
            else:
                with pytest.raises(DivergenceError, match="epoch 4, step 2") as caught:
                    estimator.fit(X, y)
                assert not hasattr(estimator, "coefs_")
                estimator = caught.value.estimator_
        assert estimator.n_iter_ == 3
        expected = small(early_stopping=early_stopping, validation_fraction=0.3, max_iter=3).fit(X, y)
        assert estimator.loss_curve_ == expected.loss_curve_
        assert all(np.array_equal(a, b) for a, b in zip(estimator.coefs_, expected.coefs_, strict=True))


def test_lbfgs_from_a_point_without_a_finite_loss():
    X, y = table()
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="Scale X") as caught:
        small(MLPRegressor, solver="lbfgs").fit(X * 1e300, y)
    assert str(caught.value).startswith(SENTENCE)
