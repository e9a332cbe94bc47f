"""The fit: validation sets, and what is recorded of every epoch."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.model_selection import train_test_split
from small_fits import (
    HELD_OUT,
    STOCHASTIC,
    TASKS,
    _quiet,  # noqa: F401
    same,
    small,
    table,
)

from nnfast import MLPClassifier, MLPRegressor

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])


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
