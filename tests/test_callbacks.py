"""Callbacks: when they are called and with what, how they steer, and their exceptions."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import scipy.optimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from watched_fits import (
    SOLVERS,
    Log,
    _quiet,  # noqa: F401
    same,
    small,
    table,
)

from nnfast import DivergenceError, MLPClassifier, MLPRegressor, engines
from nnfast.callbacks import Callback


class Function(Callback):
    """Calls a function after every epoch."""

    def __init__(self, function):
        self.function = function

    def on_epoch_end(self, estimator, state):
        self.function(estimator, state)


# ------------------------------------------------------------------------------------------------------------
# When they are called, and with what


@SOLVERS
@pytest.mark.parametrize(
    "more", [{}, {"early_stopping": True}, {"scoring": "accuracy", "early_stopping": True}]
)
def test_order_of_calls(solver, more):
    X, y = table()
    calls = []
    estimator = small(solver=solver, callbacks=[Log(calls, "a"), Log(calls, "b")], **more).fit(X, y)
    n_iter = estimator.n_iter_
    hooks = [("on_fit_begin", 0), *(("on_epoch_end", n + 1) for n in range(n_iter)), ("on_fit_end", n_iter)]
    assert calls == [(name, *hook) for hook in hooks for name in "ab"]
    assert same(estimator, small(solver=solver, **more).fit(X, y))


def test_partial_fit_calls_back():
    X, y = table()
    calls = []
    estimator = small(callbacks=[Log(calls)])
    for _ in range(2):
        estimator.partial_fit(X, y, classes=[0, 1])
    assert [call[1:] for call in calls] == 2 * [("on_fit_begin", 0), ("on_epoch_end", 1), ("on_fit_end", 1)]
    assert len(estimator.history_["loss"]) == 2


@pytest.mark.parametrize("more", [{}, {"early_stopping": True}, {"early_stopping": True, "monitor": "loss"}])
@SOLVERS
def test_the_state_is_that_of_the_estimator(solver, more):
    X, y = table()
    seen = []

    def look(estimator, state):
        assert (
            state.epoch == estimator.n_iter_ == len(estimator.history_["loss"]) == len(state.history["loss"])
        )
        assert state.max_epochs == 5
        assert state.loss == estimator.loss_ == state.history["loss"][-1]
        assert all(a is b for a, b in zip(state.parameters.coefs, estimator.coefs_, strict=True))
        if solver != "lbfgs":
            assert state.learning_rate == 0.001
            assert (state.validation_score is None) == (not more)
            if more:
                assert state.validation_score == estimator.validation_scores_[-1]
                assert state.validation_loss == estimator.validation_loss_curve_[-1]
                losses, scores = estimator.validation_loss_curve_, estimator.validation_scores_
                assert state.best == (min(losses) if "monitor" in more else max(scores))
            else:
                assert state.best == min(estimator.loss_curve_)
        else:
            assert state.learning_rate is None
            with pytest.raises(AttributeError, match="lbfgs"):
                state.learning_rate = 0.1
        seen.append(small(solver=solver, max_iter=state.epoch, restore_best=False, **more).fit(X, y))
        assert same(estimator, seen[-1])

    estimator = small(solver=solver, callbacks=[Function(look)], **more).fit(X, y)
    assert len(seen) == estimator.n_iter_


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_norms(cls, solver, n_threads):
    X, y = table()
    weight = np.linspace(0.1, 2, len(y))
    targets = y if cls is MLPClassifier else np.c_[X[:, 0], y]
    norms = []

    def look(estimator, state):
        norms.append((state.weight_norms(), state.gradient_norms()))

    estimator = small(
        cls, solver=solver, alpha=0.3, activation="tanh", n_threads=n_threads, callbacks=[Function(look)]
    )
    plain = clone(estimator).set_params(callbacks=None).fit(X, targets, weight)
    estimator.fit(X, targets, weight)
    assert same(estimator, plain)

    def loss(flat):
        parts = np.split(flat, np.cumsum([array.size for array in arrays])[:-1])
        a, b, c, d = (part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True))
        z = np.tanh(X @ a + c) @ b + d
        rows = (
            np.logaddexp(0, z[:, 0]) - y * z[:, 0]
            if cls is MLPClassifier
            else ((z - targets) ** 2).mean(axis=1) / 2
        )
        return (weight @ rows + 0.15 * ((a**2).sum() + (b**2).sum())) / weight.sum()

    arrays = estimator.coefs_ + estimator.intercepts_
    gradient = scipy.optimize.approx_fprime(np.concatenate([array.ravel() for array in arrays]), loss, 1e-6)
    gradients = np.split(gradient, np.cumsum([array.size for array in arrays])[:-1])
    weights, expected = norms[-1], [np.linalg.norm(part) for part in gradients]
    np.testing.assert_allclose(
        [*weights[1]["coefs"], *weights[1]["intercepts"]], expected, rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(
        [*weights[0]["coefs"], *weights[0]["intercepts"]],
        [np.linalg.norm(array) for array in arrays],
        rtol=1e-12,
    )
    assert len(norms) == estimator.n_iter_


@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_norms_with_normalization(normalization):
    X, y = table()
    norms = []
    look = Function(lambda estimator, state: norms.append((state.weight_norms(), state.gradient_norms())))
    estimator = small(normalization=normalization, hidden_layer_sizes=(5, 3), callbacks=[look]).fit(X, y)
    for which in norms[-1]:
        assert {name: len(values) for name, values in which.items()} == {
            "coefs": 3,
            "intercepts": 3,
            "scales": 2,
            "shifts": 2,
        }
        assert all(np.isfinite(values).all() for values in which.values())
    np.testing.assert_allclose(
        norms[-1][0]["scales"], [np.linalg.norm(scale) for scale in estimator.norm_scales_]
    )
    assert same(estimator, small(normalization=normalization, hidden_layer_sizes=(5, 3)).fit(X, y))


def test_a_state_that_is_kept_pickles_and_copies():
    class Keeper(Callback):
        def on_epoch_end(self, estimator, state):
            self.state = state

    globals()["Keeper"], Keeper.__qualname__ = Keeper, "Keeper"
    X, y = table()
    estimator = small(callbacks=[Keeper()]).fit(X, y)
    kept = pickle.loads(pickle.dumps(estimator)).callbacks[0].state
    assert kept.loss == copy.deepcopy(estimator.callbacks)[0].state.loss == estimator.loss_
    assert kept.epoch == 5
    assert kept.learning_rate == 0.001
    for copied in (kept, pickle.loads(pickle.dumps(kept))):
        assert {name: list(values) for name, values in copied.history.items()} == {
            name: list(values) for name, values in estimator.history_.items()
        }
    with pytest.raises(AttributeError, match="not the fit"):
        kept.gradient_norms()
    with pytest.raises(AttributeError, match="not the fit"):
        kept.learning_rate = 0.1
    assert clone(estimator).fit(X, y).loss_ == estimator.loss_


def test_objects_with_some_of_the_methods_do():
    class Some:
        n = 0

        def on_epoch_end(self, estimator, state):
            self.n += 1

    some = Some()
    small(callbacks=(some,)).fit(*table())
    assert some.n == 5


@SOLVERS
@pytest.mark.parametrize("callbacks", [[object()], [Callback], [Callback(), print], ["progress"]])
def test_other_objects_are_refused(callbacks, solver):
    estimator = small(solver=solver, callbacks=callbacks)
    with pytest.raises(
        TypeError, match="callbacks must be a list of objects with a method on_fit_begin, on_epoch_end"
    ):
        estimator.fit(*table())
    assert not hasattr(estimator, "coefs_")


@pytest.mark.parametrize("callbacks", [Callback(), "progress", 3])
def test_callbacks_are_a_list(callbacks):
    with pytest.raises((TypeError, ValueError), match="callbacks"):
        small(callbacks=callbacks).fit(*table())


# ------------------------------------------------------------------------------------------------------------
# Steering


@SOLVERS
@pytest.mark.parametrize("at", [1, 3])
def test_stopping(solver, at, capsys):
    X, y = table()
    stop = Function(lambda estimator, state: state.stop("enough") if state.epoch == at else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        estimator = small(solver=solver, callbacks=[stop], verbose=solver != "lbfgs").fit(X, y)
    assert estimator.n_iter_ == at
    assert same(estimator, small(solver=solver, max_iter=at).fit(X, y))
    if solver != "lbfgs":
        assert "Stopped by a callback: enough" in capsys.readouterr().out
        assert same(
            estimator.partial_fit(X, y), small(solver=solver, max_iter=at).fit(X, y).partial_fit(X, y)
        )


@SOLVERS
def test_stopping_before_the_first_epoch(solver):
    class Never(Callback):
        def on_fit_begin(self, estimator, state):
            state.stop()

    X, y = table()
    estimator = small(solver=solver, callbacks=[Never()]).fit(X, y)
    assert estimator.n_iter_ == 0
    assert estimator.predict(X).shape == y.shape
    fitted = small(solver=solver).fit(X, y)
    before = copy.deepcopy(fitted.coefs_)
    fitted.set_params(callbacks=[Never()], warm_start=True).fit(X, y)
    assert all(np.array_equal(a, b) for a, b in zip(before, fitted.coefs_, strict=True))


def test_stopping_with_early_stopping_restores_the_best():
    X, y = table()
    stop = Function(lambda estimator, state: state.stop() if state.epoch == 40 else None)
    parameters = {
        "learning_rate_init": 0.1,
        "early_stopping": True,
        "n_iter_no_change": 1000,
        "monitor": "loss",
    }
    estimator = small(callbacks=[stop], max_iter=50, **parameters).fit(X, y)
    assert same(estimator, small(max_iter=40, **parameters).fit(X, y))
    best = 1 + int(np.argmin(estimator.validation_loss_curve_))
    assert best < estimator.n_iter_ == 40
    assert same(estimator, small(**parameters | {"restore_best": False, "max_iter": best}).fit(X, y))


@pytest.mark.parametrize("learning_rate", ["constant", "cosine", "plateau"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_learning_rate_takes_effect_in_the_next_epoch(solver, learning_rate):
    X, y = table()

    def steer(estimator, state):
        if state.epoch == 2:
            state.learning_rate = 0.5
            assert state.learning_rate == pytest.approx(0.5)

    parameters = {"solver": solver, "learning_rate": learning_rate, "shuffle": False}
    steered = small(**parameters, callbacks=[Function(steer)]).fit(X, y)
    plain = small(**parameters).fit(X, y)
    assert steered.loss_curve_[:2] == plain.loss_curve_[:2]
    assert steered.loss_curve_[3] != plain.loss_curve_[3]
    rates = steered.learning_rate_curve_
    assert rates[:2] == plain.learning_rate_curve_[:2]
    assert 0.1 < rates[2] <= 0.5
    # the new rate belongs to the state that partial_fit goes on with
    step = small(**parameters, callbacks=[Function(steer)], max_iter=5).partial_fit(X, y, classes=[0, 1])
    step.callbacks[0].function = lambda estimator, state: setattr(state, "learning_rate", 0.25)
    step.partial_fit(X, y).set_params(callbacks=None).partial_fit(X, y)
    assert 0.05 < step.learning_rate_curve_[2] <= 0.25


@SOLVERS
@pytest.mark.parametrize("fitted", [False, True])
def test_what_is_set_at_the_beginning_stays(solver, fitted):
    class Sets(Callback):
        def on_fit_begin(self, estimator, state):
            estimator.set_params(n_iter_no_change=77)
            estimator.note, estimator.coefs_, estimator.classes_ = "kept", None, None

    X, y = table()
    estimator = small(solver=solver)
    if fitted:
        estimator.fit(X, y)
    estimator.set_params(callbacks=[Sets()]).fit(X, y)
    assert estimator.n_iter_no_change == 77
    assert estimator.note == "kept"
    assert same(estimator, small(solver=solver).fit(X, y))
    assert list(estimator.classes_) == [0, 1]


def test_weights_of_a_state_are_not_the_engines():
    X, y = table()

    def write(estimator, state):
        state.parameters.coefs[0][:] = 1e9

    estimator = small(callbacks=[Function(write)], max_iter=2).fit(X, y)
    assert estimator.loss_curve_ == small(max_iter=2).fit(X, y).loss_curve_


# ------------------------------------------------------------------------------------------------------------
# Exceptions


@SOLVERS
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, StopIteration, MemoryError])
def test_an_exception_leaves_the_estimator_as_of_the_last_whole_epoch(solver, error):
    X, y = table()
    calls = []
    callbacks = [Log(calls, "a"), Log(calls, "b", "on_epoch_end", error), Log(calls, "c")]
    estimator = small(solver=solver, callbacks=callbacks)
    with pytest.raises(error, match="on_epoch_end of b"):
        estimator.fit(X, y)
    assert calls[-5:] == [
        ("a", "on_epoch_end", 2),
        ("b", "on_epoch_end", 2),
        *((name, "on_fit_end", 2) for name in "abc"),
    ]
    expected = small(solver=solver, max_iter=2).fit(X, y)
    assert estimator.n_iter_ == len(estimator.history_["loss"]) == 2
    assert same(estimator, expected)
    assert same(
        *(each.set_params(solver="adam", callbacks=None).partial_fit(X, y) for each in (estimator, expected))
    )


@SOLVERS
def test_exceptions_at_the_beginning(solver):
    X, y = table()
    calls = []
    callbacks = [Log(calls, "a"), Log(calls, "b", "on_fit_begin"), Log(calls, "c")]
    estimator = small(solver=solver).fit(X, y)
    before = pickle.dumps(estimator.coefs_), estimator.n_iter_
    with pytest.raises(RuntimeError, match="on_fit_begin of b"):
        estimator.set_params(callbacks=callbacks).fit(X, y)
    assert calls == [("a", "on_fit_begin", 0), ("b", "on_fit_begin", 0), ("a", "on_fit_end", 0)]
    assert before == (pickle.dumps(estimator.coefs_), estimator.n_iter_)


@SOLVERS
def test_exceptions_at_the_end_do_not_hide_each_other(solver):
    X, y = table()
    calls = []
    callbacks = [
        Log(calls, "a", "on_fit_end"),
        Log(calls, "b", "on_epoch_end", KeyError),
        Log(calls, "c", "on_fit_end"),
    ]
    with pytest.raises(KeyError, match="on_epoch_end of b") as caught:
        small(solver=solver, callbacks=callbacks).fit(X, y)
    assert [note.partition(":")[2] for note in caught.value.__notes__] == [
        f" RuntimeError('on_fit_end of {name}')" for name in "ac"
    ]
    estimator = small(
        solver=solver, callbacks=[Log(calls, "a", "on_fit_end", KeyError), Log(calls, "c", "on_fit_end")]
    )
    with pytest.raises(KeyError, match="on_fit_end of a"):
        estimator.fit(X, y)
    assert same(estimator, small(solver=solver).fit(X, y))


def test_the_end_is_told_of_a_fit_that_diverges(monkeypatch):
    X, y = table()
    engine = engines.get_engine()

    def epoch(self, order, rates):
        raise engine.NonFinite(0)

    monkeypatch.setattr(engine.Session, "epoch", epoch)
    calls = []
    with pytest.raises(DivergenceError, match="epoch 1, step 1"):
        small(callbacks=[Log(calls)]).fit(X, y)
    assert calls == [("", "on_fit_begin", 0), ("", "on_fit_end", 0)]
