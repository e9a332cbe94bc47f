"""The contract of nnfast/publishing.py: what a call that ends by an exception leaves behind, for every
exception at every point.
"""

import gc
import pickle
import threading
import types
import warnings
import weakref

import numpy as np
import pytest
from small import QUIET, UNUSED_OPTIONS, frozen, table

from nnfast import DivergenceError, MLPClassifier, MLPRegressor, engines, preparation, publishing
from nnfast.schedules import SCHEDULES

pytestmark = [QUIET, UNUSED_OPTIONS]

X, Y = table()
HELD_OUT = np.arange(12)
AT = 3  # the epoch, iteration or call in which something is raised

# How a call begins: (the parameters of an earlier fit, or None; the method; the parameters of the call)
CALLS = {
    "first fit": (None, "fit", {}),
    "second fit": ({}, "fit", {}),
    "warm start": ({}, "fit", {"warm_start": True}),
    "full warm start": ({}, "fit", {"warm_start": "full"}),
    "warm start after early stopping": ({"early_stopping": True}, "fit", {"warm_start": True}),
    "partial_fit": ({}, "partial_fit", {}),
    "partial_fit after lbfgs": ({"solver": "lbfgs"}, "partial_fit", {}),
}


class Raises:
    """A callback that raises in the nth call of a hook."""

    def __init__(self, hook, error, at=AT):
        self.error, self.at, self.n = error, at, 0
        setattr(self, hook, self.call)

    def call(self, estimator, state):
        self.n += 1
        if self.n == self.at:
            raise self.error

    def __reduce__(self):  # as a constant: what it counts is no part of the estimator
        return str, ("callback",)


class Watches:
    def on_epoch_end(self, estimator, state):
        estimator.predict(X)


class Scorer:
    """A scorer that raises in its nth call."""

    def __init__(self, error):
        self.error, self.n = error, 0

    def __call__(self, estimator, X, y):
        self.n += 1
        if self.n == AT:
            raise self.error
        return self.n

    def __reduce__(self):
        return str, ("scorer",)


def raising(method, error, at):
    """A method of Session in place of `method`, that raises in its nth call after the work is done."""
    plain = getattr(engines.get_engine().Session, method)
    calls = []

    def replacement(self, *args, **kwargs):
        result = plain(self, *args, **kwargs)
        calls.append(None)
        if len(calls) == at:
            raise error() if isinstance(error, type) else error
        return result

    return replacement


@pytest.fixture
def sessions(monkeypatch):
    """Give the engine's sessions other methods."""

    def replace(**methods):
        monkeypatch.undo()
        engine = engines.get_engine()
        fake = types.SimpleNamespace(**{name: getattr(engine, name) for name in dir(engine)})
        fake.Session = type("Session", (engine.Session,), {"several_epochs": False} | methods)
        monkeypatch.setattr(engines, "get_engine", lambda name="auto": fake)

    return replace


def made(call, cls, more):
    """(estimator ready for the call, the call, epochs that it had before)"""
    before, method, parameters = CALLS[call]
    estimator = cls(
        hidden_layer_sizes=(5,), max_iter=5, random_state=0, batch_size=16, learning_rate_init=0.01
    )
    estimator.set_params(n_iter_no_change=100, tol=0)
    n_before = 0
    if before is not None:
        estimator.set_params(**before).fit(X, Y)
        n_before = (
            len(getattr(estimator, "loss_curve_", ()))
            if parameters.get("warm_start") or method == "partial_fit"
            else 0
        )
        estimator.set_params(solver="adam", early_stopping=False)
    estimator.set_params(**parameters | more)
    classes = {"classes": [0, 1]} if method == "partial_fit" and cls is MLPClassifier else {}
    return (
        estimator,
        lambda estimator, **held_out: getattr(estimator, method)(X, Y, **classes, **held_out),
        n_before,
    )


def as_of(call, cls, more, n_epochs, held_out):
    """What the call gives that stops after so many epochs."""
    estimator, train, _ = made(
        call, cls, more | {"max_iter": n_epochs, "restore_best": False, "callbacks": None}
    )
    return train(estimator, **held_out)


def assert_whole(estimator, expected):
    for name in ("coefs_", "intercepts_", "loss_curve_", "validation_loss_curve_"):
        mine, other = getattr(estimator, name, None), getattr(expected, name, None)
        assert (mine is None) == (other is None)
        if mine is not None:
            assert len(mine) == len(other) and all(
                np.array_equal(a, b) for a, b in zip(mine, other, strict=True)
            ), name
    assert estimator.n_iter_ == expected.n_iter_
    lengths = {len(values) for values in estimator.history_.values()}
    assert lengths == {len(expected.history_["loss"])}
    assert np.isfinite(estimator.predict(X)).all()
    pickle.loads(pickle.dumps(estimator)).set_params(
        solver="adam", early_stopping=False, callbacks=None
    ).partial_fit(X, Y)


ERRORS = [
    RuntimeError("no"),
    MemoryError("no"),
    DivergenceError("no"),
    StopIteration("no"),
    KeyboardInterrupt("no"),
    SystemExit("no"),
]
NAMES = [type(error).__name__ for error in ERRORS]
ALL_CALLS = pytest.mark.parametrize("call", CALLS)
ALL_ERRORS = pytest.mark.parametrize("error", ERRORS, ids=NAMES)
BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])


@ALL_ERRORS
@ALL_CALLS
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_callbacks(call, error, solver, early_stopping):
    is_partial = CALLS[call][1] == "partial_fit"
    if is_partial and (early_stopping or solver == "lbfgs"):
        return  # which partial_fit refuses
    at = 1 if is_partial else AT
    more = {"solver": solver, "early_stopping": early_stopping}
    estimator, train, _ = made(call, MLPClassifier, more | {"callbacks": [Raises("on_epoch_end", error, at)]})
    with pytest.raises(type(error)) as caught:
        train(estimator)
    assert caught.value is error
    assert_whole(estimator, as_of(call, MLPClassifier, more, at, {}))
    # Before there is an epoch, there is nothing to keep.
    estimator, train, _ = made(call, MLPClassifier, more | {"callbacks": [Raises("on_fit_begin", error, 1)]})
    before = frozen(estimator)
    with pytest.raises(type(error)):
        train(estimator)
    assert frozen(estimator) == before


@ALL_ERRORS
@pytest.mark.parametrize("call", [call for call in CALLS if CALLS[call][1] == "fit"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("watched", [False, True])
def test_scorers(call, error, solver, watched):
    more = {"solver": solver, "scoring": Scorer(error), "callbacks": [Watches()] if watched else None}
    estimator, train, n_before = made(call, MLPClassifier, more)
    before, held_out = frozen(estimator), {"validation_indices": HELD_OUT}
    with pytest.raises(type(error)):
        train(estimator, **held_out)
    if isinstance(error, Exception):
        assert frozen(estimator) == before
    else:
        assert_whole(estimator, as_of(call, MLPClassifier, {"solver": solver}, AT, held_out))


@BOTH
@ALL_CALLS
@pytest.mark.parametrize("at", [1, AT])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(
    "error", [None, KeyboardInterrupt, MemoryError], ids=["divergence", "interrupt", "memory"]
)
def test_the_engine(call, cls, at, watched, error, sessions):
    if CALLS[call][1] == "partial_fit":
        at = 1
    callbacks = [Watches()] if watched else None
    estimator, train, n_before = made(call, cls, {"callbacks": callbacks})
    before = frozen(estimator)
    sessions(epoch=raising("epoch", engines.get_engine().NonFinite(1) if error is None else error, at))
    with pytest.raises(DivergenceError if error is None else error) as caught:
        train(estimator)
    sessions()
    if error is KeyboardInterrupt and at > 1:
        assert_whole(estimator, as_of(call, cls, {}, at - 1, {}))
    else:
        assert frozen(estimator) == before
    if error is None and at > 1:
        assert_whole(caught.value.estimator_, as_of(call, cls, {}, at - 1, {}))
        assert caught.value.estimator_ is not estimator
    elif error is None:
        assert caught.value.estimator_ is None


@ALL_CALLS
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("method", ["__init__", "load", "store", "take_moments", "evaluate"])
def test_memory(call, method, early_stopping, sessions):
    if CALLS[call][1] == "partial_fit":
        early_stopping = False
    if method == "evaluate" and not early_stopping:
        return
    for at in (1, 2, 3):
        estimator, train, _ = made(
            call, MLPClassifier, {"early_stopping": early_stopping, "callbacks": [Watches()]}
        )
        before = frozen(estimator)
        sessions(**{method: raising(method, MemoryError, at)})
        try:
            train(estimator)
        except MemoryError:
            assert frozen(estimator) == before
        else:
            assert at > 1  # there are fewer calls of it
        sessions()


WRONG = {
    "validation rows of another width": {"X_val": X[:5, :2], "y_val": Y[:5]},
    "validation rows that are not finite": {"X_val": X[:5] * np.nan, "y_val": Y[:5]},
    "targets of another length": {"X_val": X[:5], "y_val": Y[:4]},
    "unknown class": {"X_val": X[:5], "y_val": Y[:5] + 7},
    "no targets": {"X_val": X[:5]},
    "weights without a sum": {"X_val": X[:5], "y_val": Y[:5], "sample_weight_val": np.zeros(5)},
    "no such rows": {"validation_indices": [1000]},
    "all rows": {"validation_indices": np.arange(len(X))},
    "both": {"X_val": X[:5], "y_val": Y[:5], "validation_indices": [1]},
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("call", [call for call in CALLS if CALLS[call][1] == "fit"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_wrong_validation_data(call, solver, wrong):
    estimator, train, _ = made(call, MLPClassifier, {"solver": solver})
    before = frozen(estimator)
    with pytest.raises(ValueError):
        train(estimator, **WRONG[wrong])
    assert frozen(estimator) == before


@ALL_CALLS
def test_wrong_tables(call):
    _, method, _ = CALLS[call]
    estimator, _, _ = made(call, MLPClassifier, {})
    before = frozen(estimator)
    for wrong in (X * np.nan, X[:3], X[0], np.empty((0, 4))):
        with pytest.raises(ValueError):
            getattr(estimator, method)(wrong, Y)
        assert frozen(estimator) == before


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("max_iter", [1, 2, 50])
def test_parameters_that_float32_cannot_hold(early_stopping, watched, max_iter):
    # The arithmetic is float64, in which nothing overflows; the estimator keeps float32.
    X32, y = X.astype(np.float32), X[:, 0]
    estimator = MLPRegressor(
        hidden_layer_sizes=(4,),
        solver="sgd",
        momentum=0,
        precision="float64",
        max_iter=max_iter,
        random_state=0,
    )
    estimator.set_params(
        early_stopping=early_stopping, callbacks=[Watches()] if watched else None, validation_fraction=0.3
    )
    unfitted = frozen(estimator)
    with np.errstate(over="ignore"), pytest.raises(DivergenceError, match="epoch"):
        estimator.fit(X32, y * 1e45)
    assert frozen(estimator) == unfitted
    fitted = estimator.set_params(early_stopping=False).fit(X32, y)
    before = frozen(fitted)
    with np.errstate(over="ignore"), pytest.raises(DivergenceError):
        fitted.partial_fit(X32, y * 1e45)
    assert frozen(fitted) == before


def test_divergence_of_lbfgs():
    X_large = X * 1e300
    fitted = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=5, random_state=0).fit(X, X[:, 0])
    before = frozen(fitted)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="Scale X"):
        fitted.fit(X_large, X[:, 0])
    assert frozen(fitted) == before


def test_a_divergence_pickles_without_the_estimator():
    error = DivergenceError("sentence")
    error.estimator_ = threading.Lock()  # such as a callback that does not pickle
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == "sentence" and again.estimator_ is None


# ------------------------------------------------------------------------------------------------------------
# No best epoch that is none


class Given:
    """A scorer that gives these scores in turn, and the last one from then on."""

    def __init__(self, *scores):
        self.scores, self.n = scores, 0

    def __call__(self, estimator, X, y):
        self.n += 1
        return self.scores[min(self.n, len(self.scores)) - 1]


@BOTH
@pytest.mark.parametrize("restore_best", [False, True])
@pytest.mark.parametrize("scores", [(np.nan,), (-np.inf,), (np.nan, -np.inf, np.nan)])
def test_scores_without_a_best(cls, scores, restore_best):
    parameters = {"hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0, "batch_size": 16}
    scorer = Given(*scores)
    estimator = cls(
        **parameters, early_stopping=True, restore_best=restore_best, scoring=scorer, n_iter_no_change=100
    )
    with pytest.warns(
        UserWarning, match="Validation score of 12 rows was NaN or infinite in all 6 epochs.*last epoch"
    ):
        estimator.fit(X, Y, validation_indices=HELD_OUT)
    expected = cls(**parameters).fit(X, Y, validation_indices=HELD_OUT)
    assert all(np.array_equal(a, b) for a, b in zip(estimator.coefs_, expected.coefs_, strict=True))


def test_one_number_among_scores_of_nan_is_the_best():
    parameters = {"hidden_layer_sizes": (5,), "random_state": 0, "batch_size": 16}
    estimator = MLPClassifier(
        **parameters, max_iter=6, early_stopping=True, scoring=Given(np.nan, np.nan, 0.1, np.nan)
    )
    estimator.fit(X, Y, validation_indices=HELD_OUT)
    expected = MLPClassifier(**parameters, max_iter=3).fit(X, Y, validation_indices=HELD_OUT)
    assert all(np.array_equal(a, b) for a, b in zip(estimator.coefs_, expected.coefs_, strict=True))


def test_an_area_under_the_curve_of_one_class():
    zeros = np.flatnonzero(Y == 0)[:10]
    estimator = MLPClassifier((5,), max_iter=5, random_state=0, early_stopping=True, scoring="roc_auc")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        estimator.fit(X, Y, X_val=X[zeros], y_val=Y[zeros])
    assert any("scoring='roc_auc'" in str(warning.message) for warning in seen)


@pytest.mark.parametrize("monitor", ["score", "loss"])
@pytest.mark.parametrize("scoring", [None, "neg_mean_squared_error", "explained_variance"])
def test_an_epoch_whose_outputs_are_not_finite_is_not_the_best(monitor, scoring, sessions):
    plain = engines.get_engine().Session.evaluate

    def evaluate(self, rows=None, out=None):
        loss, outputs = plain(self, rows, out)
        evaluated.append(None)
        if len(evaluated) > 2:
            outputs[0] = np.nan
            loss = -np.inf  # better than any
        return loss, outputs

    evaluated = []
    sessions(evaluate=evaluate)
    parameters = {"hidden_layer_sizes": (5,), "random_state": 0, "batch_size": 16, "learning_rate_init": 1e-5}
    estimator = MLPRegressor(**parameters, early_stopping=True, monitor=monitor, scoring=scoring, max_iter=6)
    estimator.fit(X, X[:, 0], validation_indices=HELD_OUT)
    assert (
        np.isnan(estimator.validation_scores_[2:]).all()
        and np.isfinite(estimator.validation_scores_[:2]).all()
    )
    sessions()
    whole = [
        MLPRegressor(**parameters, max_iter=n).fit(X, X[:, 0], validation_indices=HELD_OUT) for n in (1, 2)
    ]
    assert any(np.array_equal(estimator.coefs_[0], each.coefs_[0]) for each in whole)


CONSTANT = {
    "one row": (MLPRegressor, X[:, 0], {"X_val": X[:1], "y_val": X[:1, 0]}),
    "targets that are all the same": (MLPRegressor, X[:, 0], {"X_val": X[:9], "y_val": np.full(9, 2.0)}),
    "no row right in all of many labels": (
        MLPClassifier,
        (np.random.RandomState(0).rand(len(X), 30) > 0.5).astype(int),
        {"validation_indices": HELD_OUT},
    ),
}


@pytest.mark.parametrize("kind", CONSTANT)
def test_a_score_that_cannot_move(kind):
    cls, y, held_out = CONSTANT[kind]
    estimator = cls(
        hidden_layer_sizes=(5,), early_stopping=True, random_state=0, max_iter=300, learning_rate_init=1e-4
    )
    with pytest.warns(
        UserWarning, match="Validation score of .* rows was 0 in all 12 epochs.*monitor='loss'"
    ):
        estimator.fit(X, y, **held_out)
    assert estimator.n_iter_ == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Stochastic Optimizer")
        estimator.set_params(monitor="loss", max_iter=30).fit(X, y, **held_out)  # which moves


def test_a_best_epoch_on_which_rows_trained_on_overflow_is_not_restored(sessions):
    def evaluate(self, rows=None, out=None):
        loss, outputs = plain(self, rows, out)
        return (np.nan if len(outputs) > len(HELD_OUT) else loss), outputs

    plain = engines.get_engine().Session.evaluate
    sessions(evaluate=evaluate, epoch=raising("epoch", engines.get_engine().NonFinite(1), AT))
    estimator = MLPClassifier((5,), early_stopping=True, random_state=0, batch_size=16)
    with pytest.raises(DivergenceError):
        estimator.fit(X, Y, validation_indices=HELD_OUT)
    assert not hasattr(estimator, "coefs_")


# ------------------------------------------------------------------------------------------------------------
# Faults on top of faults, and what is left behind in memory


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_memory_that_stays_exhausted(at, error, monkeypatch):
    ended, n = [], [0]

    class Ends:
        def on_epoch_end(self, estimator, state):
            pass

        def on_fit_end(self, estimator, state):
            ended.append(state.undone)

        def __reduce__(self):
            return str, ("callback",)

    estimator, train, _ = made("warm start", MLPClassifier, {"callbacks": [Ends()]})
    before, take = frozen(estimator), publishing.Snapshot.take

    def taking(self, session):
        n[0] += 1
        if n[0] >= at:
            raise error
        take(self, session)

    monkeypatch.setattr(publishing.Snapshot, "take", taking)
    with pytest.raises(error):
        train(estimator)
    assert frozen(estimator) == before and ended == [True]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", ["divergence", "callback", "interrupt", "scorer"])
def test_a_fit_that_fails_is_freed_at_once(kind, solver):
    class Table(np.ndarray):
        pass

    table = X.copy().view(Table)
    # Classes: an exception that is kept has its traceback, and with it the fit.
    callbacks = {
        "callback": Raises("on_epoch_end", RuntimeError, 1),
        "interrupt": Raises("on_epoch_end", KeyboardInterrupt, 1),
    }
    more = {
        "callbacks": [callbacks[kind]] if kind in callbacks else None,
        "scoring": Scorer(RuntimeError) if kind == "scorer" else None,
    }
    estimator, _, _ = made("first fit", MLPRegressor, {"solver": solver, **more})
    y = X[:, 0] * (1e200 if kind == "divergence" else 1)
    gc.collect()
    gc.disable()
    try:
        alive = weakref.WeakSet()
        task = preparation.Task

        class Watched(task):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                alive.add(self)

            __hash__ = object.__hash__

        with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
            patch.setattr(preparation, "Task", Watched)
            try:
                estimator.fit(table, y, validation_indices=HELD_OUT)
            except BaseException:
                assert len(alive) == 1
            else:
                pytest.fail("the fit is meant to fail")
        assert len(alive) == 0
    finally:
        gc.enable()


def test_an_overflow_in_a_later_epoch_has_the_epoch_before():
    # Linear units whose weights grow by a factor an epoch, until float32 cannot hold them.
    parameters = {
        "activation": "identity",
        "solver": "sgd",
        "momentum": 0,
        "learning_rate_init": 1.0,
        "precision": "float64",
        "random_state": 0,
    }
    seen = []

    class Notes:
        def on_epoch_end(self, estimator, state):
            seen.append(estimator.coefs_[0].copy())

    estimator = MLPRegressor(hidden_layer_sizes=(6,), max_iter=200, callbacks=[Notes()], **parameters)
    with np.errstate(over="ignore"), pytest.raises(DivergenceError) as caught:
        estimator.fit(X.astype(np.float32), X[:, 0].astype(np.float32))
    assert not hasattr(estimator, "coefs_")
    trained = caught.value.estimator_
    assert trained.n_iter_ == len(trained.loss_curve_) == len(trained.history_["loss"]) == len(seen) > 1
    assert np.array_equal(trained.coefs_[0], seen[-1]) and np.isfinite(seen[-1]).all()


@pytest.mark.parametrize(
    "change", [{"early_stopping": True}, {"early_stopping": False}, {"monitor": "loss"}], ids=str
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_what_callbacks_set_of_early_stopping_counts_from_the_next_fit_on(change, early_stopping):
    class Sets:
        def on_epoch_end(self, estimator, state):
            estimator.set_params(**change)

    parameters = {
        "hidden_layer_sizes": (5,),
        "max_iter": 6,
        "random_state": 0,
        "early_stopping": early_stopping,
    }
    fits = [MLPClassifier(**parameters, callbacks=callbacks).fit(X, Y) for callbacks in ([Sets()], None)]
    assert (
        fits[0].best_loss_ == fits[1].best_loss_
        and fits[0]._no_improvement_count == fits[1]._no_improvement_count
    )
    assert all(np.array_equal(a, b) for a, b in zip(fits[0].coefs_, fits[1].coefs_, strict=True))


def test_scores_without_a_number_leave_a_state_to_go_on_with():
    for schedule in SCHEDULES:
        if schedule == "adaptive":
            continue  # which has no end without a stall
        parameters = {
            "solver": "sgd",
            "learning_rate": schedule,
            "early_stopping": True,
            "max_iter": 3,
            "random_state": 0,
        }
        estimator = MLPRegressor(hidden_layer_sizes=(5,), scoring=Given(np.nan), **parameters)
        with pytest.warns(UserWarning, match="NaN"):
            estimator.fit(X, X[:, 0])
        estimator.set_params(early_stopping=False, warm_start="full").fit(X, X[:, 0])
        estimator.partial_fit(X, X[:, 0])
