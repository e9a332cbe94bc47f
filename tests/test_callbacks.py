"""Callbacks, the progress bar, and scikit-learn's callback protocol."""

import copy
import csv
import math
import os
import pickle
import re
import stat
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import scipy.optimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nnfast.callbacks
from nnfast import DivergenceError, MLPClassifier, MLPRegressor, UnusedOptionWarning, engines
from nnfast.callbacks import Callback, Checkpoint, CSVLog, LiveControl, StopAt, TimeLimit

SOLVERS = pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
READY_MADE = {
    "StopAt": lambda folder: StopAt(loss=0.1),
    "TimeLimit": lambda folder: TimeLimit(3.5),
    "Checkpoint": lambda folder: Checkpoint(str(folder / "net.joblib"), every=2),
    "CSVLog": lambda folder: CSVLog(str(folder / "log.csv")),
}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UnusedOptionWarning)  # all solvers are given the same
        yield


def table(n_samples=60):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_samples, 4))
    return X, (X[:, 0] + 0.5 * rng.normal(size=n_samples) > 0).astype(int)


def small(cls=MLPClassifier, **parameters):
    return cls(
        **{"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0, "batch_size": 16} | parameters
    )


def same(ours, others):
    pairs = zip(ours.coefs_ + ours.intercepts_, others.coefs_ + others.intercepts_, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


class Log(Callback):
    """Notes every call, and fails where it is told to."""

    def __init__(self, calls, name="", fails_in=None, error=RuntimeError, at=2):
        self.calls, self.name, self.fails_in, self.error, self.at = calls, name, fails_in, error, at

    def note(self, hook, state):
        self.calls.append((self.name, hook, state.epoch))
        if hook == self.fails_in and (hook != "on_epoch_end" or state.epoch == self.at):
            raise self.error(f"{hook} of {self.name}")

    def on_fit_begin(self, estimator, state):
        self.note("on_fit_begin", state)

    def on_epoch_end(self, estimator, state):
        self.note("on_epoch_end", state)

    def on_fit_end(self, estimator, state):
        self.note("on_fit_end", state)


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


# ------------------------------------------------------------------------------------------------------------
# Ready-made callbacks


@pytest.mark.parametrize("name", READY_MADE)
def test_ready_made_callbacks_clone_pickle_and_print(name, tmp_path):
    callback = READY_MADE[name](tmp_path)
    estimator = small(callbacks=[callback])
    assert clone(estimator).get_params() == estimator.get_params()
    assert pickle.loads(pickle.dumps(callback)) == callback
    assert eval(repr(callback), vars(nnfast.callbacks)) == callback
    search = GridSearchCV(
        make_pipeline(StandardScaler(), estimator), {"mlpclassifier__alpha": [0.1, 1]}, cv=2, n_jobs=2
    )
    assert 0 <= search.fit(*table()).best_score_ <= 1


@pytest.mark.parametrize("name", ["loss", "validation_loss", "score"])
def test_stop_at(name):
    X, y = table()
    plain = small(max_iter=200, learning_rate_init=0.01).fit(X, y, X_val=X, y_val=y)
    curve = {
        "loss": "loss_curve_",
        "validation_loss": "validation_loss_curve_",
        "score": "validation_scores_",
    }[name]
    curve = np.array(getattr(plain, curve))
    limit = curve[60]
    estimator = clone(plain).set_params(callbacks=[StopAt(**{name: limit})]).fit(X, y, X_val=X, y_val=y)
    reached = curve >= limit if name == "score" else curve <= limit
    assert estimator.n_iter_ == 1 + int(reached.argmax())
    if name != "loss":
        with pytest.raises(ValueError, match=f"StopAt.{name}=.*validation set"):
            small(callbacks=[StopAt(**{name: limit})]).fit(X, y)
    with pytest.raises(ValueError, match="StopAt needs one of"):
        small(callbacks=[StopAt()]).fit(X, y)


def test_time_limit():
    X, y = table()
    start = time.monotonic()
    estimator = small(max_iter=10**7, n_iter_no_change=10**7, callbacks=[TimeLimit(0.1)]).fit(X, y)
    assert 0.1 <= time.monotonic() - start < 5
    assert estimator.n_iter_ < 10**7
    assert small(callbacks=[TimeLimit(0)]).fit(X, y).n_iter_ == 1


@SOLVERS
def test_checkpoints(solver, tmp_path):
    X, y = table()
    path = tmp_path / "net-{epoch}.joblib"
    estimator = small(solver=solver, callbacks=[Checkpoint(path, every=2)]).fit(X, y)
    assert sorted(os.listdir(tmp_path)) == [f"net-{n}.joblib" for n in (2, 4, 5)]
    for n in (2, 4, 5):
        saved = joblib.load(str(path).format(epoch=n))
        assert same(saved, small(solver=solver, max_iter=n).fit(X, y))
        assert saved.n_iter_ == n
        assert len(saved.set_params(solver="adam").partial_fit(X, y).predict(X)) == len(X)
    assert same(saved, estimator) is False  # it went on


def test_checkpoints_of_the_best_alone(tmp_path):
    X, y = table()
    parameters = {
        "max_iter": 60,
        "learning_rate_init": 0.5,
        "early_stopping": True,
        "monitor": "loss",
        "n_iter_no_change": 99,
    }
    estimator = small(callbacks=[Checkpoint(tmp_path / "best.joblib", best_only=True)], **parameters)
    estimator.fit(X, y, validation_indices=np.arange(20))
    saved = joblib.load(tmp_path / "best.joblib")
    assert same(saved, estimator)
    assert saved.n_iter_ < 60
    assert saved.n_iter_ == 1 + int(np.argmin(estimator.validation_loss_curve_))


def test_a_checkpoint_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    X, y = table()
    dump, calls = joblib.dump, []

    def fails_later(value, path):
        calls.append(path)
        if len(calls) >= 3:
            with open(path, "w") as file:
                file.write("half")
            raise OSError("disk full")
        return dump(value, path)

    monkeypatch.setattr(joblib, "dump", fails_later)
    with pytest.raises(OSError, match="disk full"):
        small(callbacks=[Checkpoint(tmp_path / "net.joblib")]).fit(X, y)
    assert os.listdir(tmp_path) == ["net.joblib"]
    assert joblib.load(tmp_path / "net.joblib").n_iter_ == 2


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
def test_checkpoints_have_the_mode_of_other_files(tmp_path):
    X, y = table()
    path = tmp_path / "net.joblib"
    before = os.umask(0o027)
    try:
        for mode in (0o640, 0o640, 0o604, 0o444):
            if path.exists():
                path.chmod(mode)
            small(callbacks=[Checkpoint(path)]).fit(X, y)
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)


def test_checkpoints_are_on_the_disk_before_they_replace_others(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: calls.append(os.fstat(file).st_ino) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *paths: calls.append(paths[0].stat().st_ino) or replace(*paths))
    small(callbacks=[Checkpoint(tmp_path / "net.joblib", every=5)], max_iter=9).fit(*table())
    assert len(calls) == 4
    assert calls[::2] == calls[1::2]


def test_a_checkpoint_ends_with_what_the_fit_returns(tmp_path):
    X, y = table()
    parameters = {
        "max_iter": 30,
        "learning_rate_init": 0.5,
        "early_stopping": True,
        "monitor": "loss",
        "n_iter_no_change": 99,
    }
    estimator = small(callbacks=[Checkpoint(tmp_path / "net.joblib")], **parameters)
    estimator.fit(X, y, validation_indices=np.arange(20))
    assert np.argmin(estimator.validation_loss_curve_) < 29
    saved = joblib.load(tmp_path / "net.joblib")
    assert same(saved, estimator)
    assert saved._optimizer["moments"] is not None


@pytest.mark.parametrize("path", [None, 5, "", ".", "/", b"net", Path()])
@pytest.mark.parametrize("callback", [Checkpoint, CSVLog, LiveControl])
def test_paths_are_those_of_files(callback, path):
    message = f"path of {callback.__name__} must be the path of a file, got {path!r}."
    with pytest.raises(ValueError, match=re.escape(message)):
        callback(path)


@pytest.mark.parametrize("value", ["a", math.nan, True, [1]])
def test_limits_are_numbers(value):
    for name in ("loss", "validation_loss", "score"):
        with pytest.raises(
            ValueError, match=re.escape(f"{name} of StopAt must be a number, or None, got {value!r}.")
        ):
            StopAt(**{name: value})
    with pytest.raises(ValueError, match=re.escape(f"seconds of TimeLimit must be a number, got {value!r}.")):
        TimeLimit(value)
    assert TimeLimit(np.float32(0.5)) == TimeLimit(0.5)


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_checkpoints_are_some_epochs_apart(every):
    with pytest.raises(ValueError, match=f"every of Checkpoint must be an integer, 1 or more, got {every}"):
        Checkpoint("net.joblib", every=every)


def test_a_checkpoint_needs_its_folder_before_the_first_epoch(tmp_path):
    path, calls = tmp_path / "there" / "net-{epoch}.joblib", []
    with pytest.raises(FileNotFoundError, match="path of Checkpoint.*there"):
        small(callbacks=[Checkpoint(path), Log(calls)]).fit(*table())
    assert not calls


@pytest.mark.parametrize("validates", [False, True])
@SOLVERS
def test_csv_log(solver, validates, tmp_path):
    X, y = table()
    path = tmp_path / "log.csv"
    more = {"X_val": X, "y_val": y} if validates else {}
    for append, n_fits in ((False, 1), (False, 1), (True, 2)):
        estimator = small(solver=solver, callbacks=[CSVLog(path, append=append)]).fit(X, y, **more)
        with open(path, newline="", encoding="utf-8") as file:
            names, *rows = csv.reader(file)
        assert names == ["epoch", *estimator.history_]
        assert len(rows) == n_fits * estimator.n_iter_
        values = np.array(rows[-estimator.n_iter_ :], dtype=float)
        assert np.array_equal(values[:, 0], np.arange(1, estimator.n_iter_ + 1))
        assert np.array_equal(values[:, 1:], np.column_stack(list(estimator.history_.values())))


def test_csv_log_of_other_columns_is_not_gone_on_with(tmp_path):
    X, y = table()
    path = tmp_path / "log.csv"
    estimator = small(callbacks=[CSVLog(path, append=True)]).fit(X, y)
    before = path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="log.csv' has epoch, loss.*this fit writes .*validation_loss"):
        estimator.fit(X, y, X_val=X, y_val=y)
    assert path.read_text(encoding="utf-8") == before


# ------------------------------------------------------------------------------------------------------------
# The progress bar


@SOLVERS
@pytest.mark.parametrize("validates", [False, True])
def test_the_progress_bar(solver, validates, capsys):
    pytest.importorskip("tqdm")
    X, y = table()
    more = {"X_val": X, "y_val": y} if validates else {}
    estimator = small(solver=solver, verbose="progress").fit(X, y, **more)
    out, err = capsys.readouterr()
    last = err.rstrip().rpartition("\r")[2]
    assert out == ""
    assert "MLPClassifier" in last
    assert f"{estimator.n_iter_}/5" in last
    assert f"loss={estimator.loss_:.4g}" in last
    assert "<" in last  # time left
    assert ("score=" in last) == validates
    assert same(estimator, small(solver=solver).fit(X, y, **more))


def test_the_progress_bar_is_closed_by_whatever_ends_the_fit(capsys):
    tqdm = pytest.importorskip("tqdm.std").tqdm
    X, y = table()
    with pytest.raises(RuntimeError):
        small(verbose="progress", callbacks=[Log([], fails_in="on_epoch_end")]).fit(X, y)
    assert not list(tqdm._instances)
    assert "2/5" in capsys.readouterr().err


def test_the_progress_bar_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm.std", None)
    estimator = small(verbose="progress")
    with pytest.raises(ImportError, match=r"pip install 'nnfast\[progress\]'"):
        estimator.fit(*table())
    assert not hasattr(estimator, "coefs_")


# ------------------------------------------------------------------------------------------------------------
# scikit-learn's protocol


class Recorder:
    """A callback of scikit-learn's protocol that notes what it is told, here and in clones."""

    max_propagation_depth = None
    stop_after = None

    def __init__(self):
        self.calls, self.kept = [], []

    def __deepcopy__(self, memo):
        return self

    def setup(self, estimator, context):
        self.calls.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.calls.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        loss = None
        if context.task_name == "epoch" and fitted_estimator is not None:
            loss = fitted_estimator.loss_
            assert np.array_equal(fitted_estimator.coefs_[0], estimator.coefs_[0])
            assert fitted_estimator.predict(X).shape == y.shape
            self.kept.append((fitted_estimator.coefs_[0], fitted_estimator.coefs_[0].copy()))
        self.calls.append(("end", context.task_name, context.task_id, loss, metadata))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


@SOLVERS
def test_scikit_learns_hooks_are_called(solver):
    pytest.importorskip("sklearn.callback")
    X, y = table()
    weight = np.ones(len(y))
    recorder = Recorder()
    estimator = small(solver=solver).set_callbacks(recorder)
    assert same(estimator.fit(X, y, weight), small(solver=solver).fit(X, y, weight))
    epochs = [call for call in recorder.calls if call[0] == "end" and call[1] == "epoch"]
    assert [call[3] for call in epochs[: estimator.n_iter_]] == list(estimator.history_["loss"])
    assert all(np.array_equal(kept, then) for kept, then in recorder.kept)  # no later epoch has written there
    assert all(
        call[4]["sample_weight"] is weight or np.array_equal(call[4]["sample_weight"], weight)
        for call in epochs
    )
    assert recorder.calls[:3] == [("setup", "fit"), ("begin", "fit", 0), ("begin", "epoch", 0)]
    assert recorder.calls[-1] == ("teardown", "fit")
    assert recorder.calls[-2][:2] == ("end", "fit")
    begun = sum(call[:2] == ("begin", "epoch") for call in recorder.calls)
    assert begun == len(epochs) or solver == "lbfgs"
    assert [name for name in vars(estimator) if "callback" in name] == ["callbacks", "_skl_callbacks"]
    recorder.stop_after, recorder.calls = 2, []
    assert estimator.fit(X, y).n_iter_ == 2
    assert not [name for name in vars(estimator.set_callbacks()) if "skl" in name]
    assert estimator.fit(X, y).n_iter_ == small(solver=solver).fit(X, y).n_iter_


@SOLVERS
def test_scikit_learns_callbacks_are_torn_down_after_a_failure(solver):
    pytest.importorskip("sklearn.callback")
    X, y = table()
    recorder = Recorder()
    estimator = small(solver=solver, callbacks=[Log([], fails_in="on_epoch_end")]).set_callbacks(recorder)
    with pytest.raises(RuntimeError):
        estimator.fit(X, y)
    assert recorder.calls[-1] == ("teardown", "fit")
    assert [name for name in vars(estimator) if "callback" in name] == ["callbacks", "_skl_callbacks"]
    with pytest.raises(ValueError, match="samples"):
        estimator.fit(X[:3], y)
    assert recorder.calls[-1] == ("teardown", "fit")


def test_checkpoints_beside_scikit_learns_callbacks(tmp_path):
    pytest.importorskip("sklearn.callback")
    X, y = table()
    estimator = (
        small(callbacks=[Checkpoint(tmp_path / "net.joblib", every=2)]).set_callbacks(Recorder()).fit(X, y)
    )
    saved = joblib.load(tmp_path / "net.joblib")
    assert "_callback_fit_ctx" not in vars(saved)
    assert same(saved.fit(X, y), estimator)


def test_scoring_monitor():
    callback = pytest.importorskip("sklearn.callback")
    X, y = table()
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    estimator = small().set_callbacks(monitor).fit(X, y)
    scores = [row["neg_log_loss"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    expected = [
        -np.mean(-np.log(small(max_iter=n).fit(X, y).predict_proba(X)[np.arange(60), y])) for n in range(1, 6)
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-9)
    assert estimator.n_iter_ == 5


@pytest.mark.parametrize("n_jobs", [1, 2])
@SOLVERS
def test_scikit_learns_progress_bar(solver, n_jobs, capsys):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    X, y = table()
    small(solver=solver).set_callbacks(callback.ProgressBar()).fit(X, y)
    assert "MLPClassifier" in capsys.readouterr().out
    search = GridSearchCV(small(solver=solver), {"alpha": [0.1, 1]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, y)
    out = capsys.readouterr().out
    assert "GridSearchCV" in out
    assert "MLPClassifier" in out
    assert "100%" in out


def test_callbacks_of_scikit_learn_reach_pipelines():
    pytest.importorskip("sklearn.callback")
    X, y = table()
    recorder = Recorder()
    make_pipeline(StandardScaler(), small()).set_callbacks(recorder).fit(X, y)
    assert sum(call[:2] == ("begin", "epoch") for call in recorder.calls) == 5
