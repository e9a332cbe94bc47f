"""Scores of the validation set, and what is monitored."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer, make_scorer, max_error
from small_fits import (
    HELD_OUT,
    TASKS,
    _quiet,  # noqa: F401
    same,
    small,
    table,
)

from nnfast import DivergenceError, engines


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
