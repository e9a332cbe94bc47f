"""The fit: validation sets, scorers, what is monitored, records, going on, and interrupts between any two
lines.
"""

import copy
import pickle
import sys
import warnings
from itertools import product

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer, make_scorer, max_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

import nnfast.lbfgs
import nnfast.stochastic_fit
from nnfast import DivergenceError, MLPClassifier, MLPRegressor, UnusedOptionWarning, engines
from nnfast.callbacks import Callback
from nnfast.schedules import Cosine, Plateau, Step

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
STOCHASTIC = ("adam", "sgd", "rmsprop", "adamw", "nadam", "adagrad", "lion", "adabelief")
TASKS = ("multiclass", "binary", "multilabel", "regression", "multi_output")


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UnusedOptionWarning)  # many fits are given the same
        yield


def table(task="binary", n_samples=60):
    """(X, y, sample_weight) of a task that cannot be learned perfectly."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_samples, 4))
    signal = X[:, :3] + 0.8 * rng.normal(size=(n_samples, 3))
    y = {
        "multiclass": np.array(["b", "c", "a"])[signal.argmax(axis=1)],
        "binary": np.where(signal[:, 0] > 0, 3, -1),
        "multilabel": (signal > 0).astype(int),
        "regression": signal[:, 0],
        "multi_output": signal[:, :2],
    }[task]
    return X, y, rng.uniform(0.2, 2, n_samples)


def small(task="binary", **parameters):
    cls = MLPRegressor if task in ("regression", "multi_output") else MLPClassifier
    defaults = {
        "hidden_layer_sizes": (5,),
        "max_iter": 5,
        "random_state": 0,
        "batch_size": 16,
        "learning_rate_init": 0.01,
    }
    return cls(**defaults | parameters)


def arrays(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


def same(ours, others):
    return all(np.array_equal(a, b) for a, b in zip(arrays(ours), arrays(others), strict=True))


HELD_OUT = np.r_[3:15, 40:48]


# ------------------------------------------------------------------------------------------------------------
# Validation sets


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_a_table_and_indices_and_a_mask_are_the_same_validation_set(task, early_stopping, weighted):
    X, y, weight = table(task)
    train = np.setdiff1d(np.arange(len(X)), HELD_OUT)
    mask = np.isin(np.arange(len(X)), HELD_OUT)
    parameters = {"early_stopping": early_stopping, "n_iter_no_change": 2, "max_iter": 8, "shuffle": False}
    w = (lambda rows: weight[rows]) if weighted else lambda rows: None
    by_table = small(task, **parameters).fit(
        X[train], y[train], w(train), X_val=X[HELD_OUT], y_val=y[HELD_OUT], sample_weight_val=w(HELD_OUT)
    )
    for indices in (HELD_OUT, HELD_OUT - len(X), mask):
        by_rows = small(task, **parameters).fit(X, y, w(slice(None)), validation_indices=indices)
        assert same(by_rows, by_table)
        assert by_rows.loss_curve_ == by_table.loss_curve_
        np.testing.assert_allclose(
            by_rows.validation_loss_curve_, by_table.validation_loss_curve_, rtol=1e-12
        )
        np.testing.assert_allclose(by_rows.validation_scores_, by_table.validation_scores_, rtol=1e-12)
    sparse = small(task, **parameters).fit(
        X[train],
        y[train],
        w(train),
        X_val=scipy.sparse.csr_array(X[HELD_OUT]),
        y_val=y[HELD_OUT],
        sample_weight_val=w(HELD_OUT),
    )
    np.testing.assert_allclose(sparse.validation_loss_curve_, by_table.validation_loss_curve_, rtol=1e-12)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("sparse", [False, True])
def test_validation_losses_are_the_data_losses_of_the_predictions(task, sparse):
    X, y, weight = table(task)
    estimator = small(task, alpha=10.0, max_iter=1).fit(
        X,
        y,
        X_val=scipy.sparse.csr_array(X[:20]) if sparse else X[:20],
        y_val=y[:20],
        sample_weight_val=weight[:20],
    )
    if task == "multiclass":
        rows = -np.log(estimator.predict_proba(X[:20]))[
            np.arange(20), np.searchsorted(estimator.classes_, y[:20])
        ]
    elif task == "binary":
        rows = -np.log(estimator.predict_proba(X[:20]))[np.arange(20), (y[:20] > 0).astype(int)]
    elif task == "multilabel":
        p = estimator.predict_proba(X[:20])
        rows = -np.log(np.where(y[:20] == 1, p, 1 - p)).sum(axis=1)
    else:
        rows = ((estimator.predict(X[:20]) - y[:20]) ** 2).reshape(20, -1).mean(axis=1) / 2
    assert estimator.validation_loss_curve_[0] == pytest.approx(
        np.average(rows, weights=weight[:20]), rel=1e-9
    )


@pytest.mark.parametrize("solver", STOCHASTIC)
def test_a_validation_set_alone_decides_nothing(solver):
    X, y, _ = table()
    plain = small(solver=solver).fit(X, y)
    watched = small(solver=solver, monitor="loss", scoring="loss").fit(X, y, X_val=X[:20], y_val=y[:20])
    assert same(plain, watched)
    assert plain.loss_curve_ == watched.loss_curve_
    assert plain.best_loss_ == watched.best_loss_
    assert plain.validation_scores_ is plain.validation_loss_curve_ is plain.best_validation_score_ is None
    assert len(watched.validation_scores_) == 5
    assert watched.best_validation_score_ == max(watched.validation_scores_)


@BOTH
def test_early_stopping_with_a_given_set_draws_no_split(cls):
    X, y, _ = table("binary" if cls is MLPClassifier else "regression")
    rows, held_out = train_test_split(np.arange(len(X)), random_state=0, test_size=0.1)
    estimator = cls(hidden_layer_sizes=(5,), early_stopping=True, random_state=0, max_iter=3).fit(
        X, y, validation_indices=held_out
    )
    plain = cls(hidden_layer_sizes=(5,), random_state=0, max_iter=3).fit(X[np.sort(rows)], y[np.sort(rows)])
    np.testing.assert_allclose(estimator.loss_curve_, plain.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_one_row_validates(early_stopping):
    X, y, _ = table()
    estimator = small(early_stopping=early_stopping).fit(X, y, validation_indices=[7])
    assert set(estimator.validation_scores_) <= {0.0, 1.0}


def test_weights_of_the_validation_set_must_sum_to_something():
    X, y, _ = table()
    with pytest.raises(ValueError, match="[Ss]ample.weight"):
        small().fit(X, y, X_val=X[:9], y_val=y[:9], sample_weight_val=np.zeros(9))
    weight = np.ones(len(X))
    weight[:9] = 0
    with pytest.raises(ValueError, match="validation_indices"):
        small().fit(X, y, weight, validation_indices=np.arange(9))
    with pytest.raises(ValueError, match="rows trained on"):
        small().fit(X, y, 1 - weight, validation_indices=np.arange(9))


# ------------------------------------------------------------------------------------------------------------
# Scores, and what is monitored


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("task", "scoring"),
    [
        ("binary", "accuracy"),
        ("binary", "roc_auc"),
        ("binary", "neg_log_loss"),
        ("multiclass", "balanced_accuracy"),
        ("multiclass", "neg_log_loss"),
        ("multilabel", "f1_macro"),
        ("regression", "r2"),
        ("regression", "neg_median_absolute_error"),
        ("multi_output", "neg_mean_squared_error"),
        ("regression", make_scorer(max_error, greater_is_better=False)),
        ("regression", lambda estimator, X, y: -np.abs(estimator.predict(X) - y).sum()),
        (
            "regression",
            lambda estimator, X, y, sample_weight=None: 0 if sample_weight is None else sample_weight.sum(),
        ),
    ],
)
def test_scorers_give_what_they_give_the_fitted_estimator(task, scoring, weighted):
    X, y, weight = table(task)
    X_val, y_val, w = X[30:], y[30:], weight[30:] if weighted else None
    estimator = small(task, scoring=scoring).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=w)
    scorer = get_scorer(scoring)
    with_weights = {"sample_weight": w} if weighted else {}
    try:
        expected = scorer(estimator, X_val, y_val, **with_weights)
    except TypeError:  # it takes no weights
        expected = scorer(estimator, X_val, y_val)
    assert estimator.validation_scores_[-1] == pytest.approx(expected, rel=1e-12)
    assert len(estimator.validation_scores_) == 5
    assert all(type(score) is float for score in estimator.validation_scores_)
    assert same(estimator, small(task).fit(X, y))
    by_rows = small(task, scoring=scoring).fit(
        X, y, weight if weighted else None, validation_indices=np.arange(30, 60)
    )
    with_weights = dict.fromkeys(with_weights, weight[30:])
    assert np.isfinite(by_rows.validation_scores_).all()


@pytest.mark.parametrize("task", TASKS)
def test_the_scorer_of_score_is_the_default(task):
    X, y, weight = table(task)
    scoring = "r2" if task in ("regression", "multi_output") else "accuracy"
    for sample_weight in (None, weight):
        ours, theirs = (
            small(task, scoring=name, early_stopping=True, validation_fraction=0.4).fit(X, y, sample_weight)
            for name in (None, scoring)
        )
        np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-12, atol=1e-12)
        assert same(ours, theirs)


def test_scores_of_a_table_with_names_do_not_warn_of_them():
    pandas = pytest.importorskip("pandas")
    X, y, _ = table()
    frame = pandas.DataFrame(X, columns=list("abcd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = small(scoring="roc_auc").fit(frame, y, X_val=frame[:30], y_val=y[:30])
    assert list(estimator.feature_names_in_) == list("abcd")


@pytest.mark.parametrize("value", ["high", None, {"a": 1.0}, np.zeros(2), 1j])
def test_scorers_that_give_no_number(value):
    X, y, _ = table()
    with pytest.raises(ValueError, match="scoring.*must give a number"):
        small(scoring=lambda estimator, X, y: value, early_stopping=True).fit(X, y)


def test_a_score_of_nan_neither_stalls_nor_is_best():
    X, y, _ = table()
    given = iter([np.nan, 0.5, np.nan, np.nan, 0.4, np.nan])
    estimator = small(
        scoring=lambda *_: next(given), early_stopping=True, max_iter=6, n_iter_no_change=1
    ).fit(X, y)
    assert estimator.n_iter_ == 6
    assert estimator.best_validation_score_ == 0.5


def test_unknown_scorers_are_named():
    X, y, _ = table()
    with pytest.raises(ValueError, match="scoring"):
        small(scoring="precission").fit(X, y, X_val=X, y_val=y)


@pytest.mark.parametrize("scoring", [None, "loss", "neg_log_loss"])
@pytest.mark.parametrize("monitor", ["score", "loss"])
@pytest.mark.parametrize("restore_best", [False, True])
def test_the_best_epoch_is_that_of_what_is_monitored(scoring, monitor, restore_best):
    X, y, _ = table()
    parameters = {
        "scoring": scoring,
        "monitor": monitor,
        "learning_rate_init": 0.3,
        "n_iter_no_change": 4,
        "max_iter": 60,
    }
    estimator = small(early_stopping=True, restore_best=restore_best, **parameters).fit(
        X, y, validation_indices=HELD_OUT
    )
    n_iter = estimator.n_iter_
    assert n_iter < 60
    losses, scores = np.array(estimator.validation_loss_curve_), np.array(estimator.validation_scores_)
    assert estimator.best_validation_score_ == scores.max()
    assert estimator.best_loss_ is None
    if scoring == "loss":
        assert np.array_equal(scores, -losses)
    values = scores if monitor == "score" else -losses
    best = int(values.argmax())
    assert best + 1 < n_iter
    n_epochs = best + 1 if restore_best else n_iter
    expected = small(**parameters | {"max_iter": n_epochs, "n_iter_no_change": 1000}).fit(
        X, y, validation_indices=HELD_OUT
    )
    assert same(estimator, expected)
    # scikit-learn's rule of patience, said anew
    stalled, top = 0, -np.inf
    for value in values:
        stalled = stalled + 1 if value < top + estimator.tol else 0
        top = max(top, value)
    assert stalled == 5


@pytest.mark.parametrize("monitor", ["score", "loss"])
def test_what_is_said_of_a_stall_names_what_is_monitored(monitor, capsys):
    X, y, _ = table()
    small(early_stopping=True, monitor=monitor, tol=10.0, n_iter_no_change=1, verbose=True).fit(X, y)
    said = capsys.readouterr().out
    assert (
        f"Validation {monitor} did not improve more than tol=10.000000 for 1 consecutive epochs. Stopping."
        in said
    )


@pytest.mark.parametrize("monitor", ["score", "loss"])
@pytest.mark.parametrize("restore_best", [False, True])
def test_divergence_restores_the_best_epoch_if_it_is_kept(monitor, restore_best, monkeypatch):
    X, y, _ = table()
    engine = engines.get_engine()
    plain, calls = engine.Session.epoch, []

    def epoch(self, order, rates):
        calls.append(None)
        loss = plain(self, order, rates)
        if len(calls) == 4:
            raise engine.NonFinite(1)
        return loss

    monkeypatch.setattr(engine.Session, "epoch", epoch)
    estimator = small(early_stopping=True, monitor=monitor, restore_best=restore_best)
    if restore_best:
        with pytest.warns(ConvergenceWarning, match=f"best epoch, with validation {monitor}"):
            estimator.fit(X, y)
    else:
        with pytest.raises(DivergenceError, match="epoch 4, step 2") as caught:
            estimator.fit(X, y)
        assert not hasattr(estimator, "coefs_")
        estimator = caught.value.estimator_
    assert estimator.n_iter_ == len(estimator.validation_loss_curve_) == 3
    monkeypatch.undo()
    if not restore_best:
        assert same(estimator, small(early_stopping=True, restore_best=False, max_iter=3).fit(X, y))


# ------------------------------------------------------------------------------------------------------------
# Records


def assert_records(estimator, n_epochs, validates, *, validated=False):
    names = {"loss": "loss_curve_", "learning_rate": "learning_rate_curve_"}
    if validates:
        names |= {"validation_loss": "validation_loss_curve_", "validation_score": "validation_scores_"}
    validation = ["validation_loss", "validation_score"] if validates or validated else []
    assert list(estimator.history_) == ["loss", "learning_rate", "seconds", *validation]
    for name, values in estimator.history_.items():
        assert values.dtype == np.float64
        assert values.shape == (n_epochs,)
        if name in names:
            curve = getattr(estimator, names[name])
            assert isinstance(curve, list)
            assert all(type(value) is float for value in curve)
            assert np.array_equal(values[n_epochs - len(curve) :], curve)
            assert validated or np.isnan(values[: n_epochs - len(curve)]).all()
    assert (estimator.history_["seconds"] > 0).all()


@pytest.mark.parametrize("validates", [False, True])
@pytest.mark.parametrize("warm_start", [True, "full"])
@BOTH
def test_records_go_on_as_the_loss_curve_does(cls, warm_start, validates):
    X, y, _ = table("binary" if cls is MLPClassifier else "regression")
    held_out = {"validation_indices": HELD_OUT} if validates else {}
    estimator = cls(hidden_layer_sizes=(5,), max_iter=3, warm_start=warm_start, batch_size=16, random_state=0)
    for n_epochs in (3, 6):
        assert_records(estimator.fit(X, y, **held_out), n_epochs, validates)
    assert_records(estimator.partial_fit(X, y), 7, False, validated=validates)
    assert_records(estimator.fit(X, y, validation_indices=HELD_OUT), 10, True, validated=validates)
    assert list(np.isnan(estimator.history_["validation_loss"])) == [not validates] * 6 + [True] + [False] * 3
    assert_records(pickle.loads(pickle.dumps(estimator)).fit(X, y, **held_out), 13, validates, validated=True)
    assert_records(estimator.set_params(warm_start=False).fit(X, y), 3, False)


def test_learning_rates_are_those_of_the_last_updates():
    X, y, _ = table()
    sgd = {"solver": "sgd", "learning_rate_init": 0.5}
    inv = small(**sgd, learning_rate="invscaling", power_t=0.3).fit(X, y)
    expected = [0.5] + [0.5 / (60 * epoch + 1) ** 0.3 for epoch in range(1, 5)]
    np.testing.assert_allclose(inv.learning_rate_curve_, expected, rtol=1e-14)
    # 'adam' does not use it
    assert small(learning_rate="invscaling").fit(X, y).learning_rate_curve_ == [0.01] * 5
    linear = small(learning_rate=lambda progress: 1 - progress).fit(X, y).learning_rate_curve_
    np.testing.assert_allclose(
        linear, [0.01 * (1 - (4 * epoch - 1) / 20) for epoch in range(1, 6)], rtol=1e-12
    )


def test_lbfgs_keeps_a_history_and_measures_a_validation_set():
    X, y, _ = table()
    plain = small(solver="lbfgs", max_iter=8).fit(X, y)
    assert list(plain.history_) == ["loss", "seconds"]
    assert len(plain.history_["loss"]) == plain.n_iter_
    assert plain.history_["loss"][-1] == plain.loss_
    assert (np.diff(plain.history_["loss"]) <= 0).all()
    for more in ({"validation_indices": HELD_OUT}, {"X_val": X[HELD_OUT], "y_val": y[HELD_OUT]}):
        for scoring in (None, "accuracy"):
            watched = small(solver="lbfgs", max_iter=8, scoring=scoring).fit(X, y, **more)
            assert len(watched.validation_loss_curve_) == len(watched.validation_scores_) == watched.n_iter_
            assert watched.validation_scores_[-1] == watched.score(X[HELD_OUT], y[HELD_OUT])
    train = np.setdiff1d(np.arange(60), HELD_OUT)
    by_rows = small(solver="lbfgs", max_iter=8).fit(X, y, validation_indices=HELD_OUT)
    np.testing.assert_allclose(
        by_rows.loss_, small(solver="lbfgs", max_iter=8).fit(X[train], y[train]).loss_, rtol=1e-9
    )
    assert (
        len(plain.set_params(solver="adam").partial_fit(X, y).loss_curve_) == len(plain.history_["loss"]) == 1
    )


@pytest.mark.parametrize("validates", [False, True])
def test_lbfgs_and_other_solvers_do_not_mix_their_records(validates):
    X, y, _ = table()
    more = {"validation_indices": HELD_OUT} if validates else {}
    estimator = small(max_iter=3, warm_start=True).fit(X, y, validation_indices=HELD_OUT)
    estimator.set_params(solver="lbfgs").fit(X, y, **more)
    plain = small(max_iter=3, solver="lbfgs").fit(X, y, **more)
    assert vars(estimator).keys() == vars(plain).keys()
    assert list(estimator.history_) == list(plain.history_)
    assert_records(estimator.set_params(solver="sgd").fit(X, y, **more), 3, validates)


# ------------------------------------------------------------------------------------------------------------
# Going on


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


# ------------------------------------------------------------------------------------------------------------
# Interrupts


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
