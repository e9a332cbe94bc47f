"""Fits that pause and go on, and fits that see a part of a table's rows."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning

import nnfast.blocks
from nnfast import MLPClassifier, MLPRegressor
from nnfast.callbacks import Callback
from nnfast.schedules import Cosine, Plateau

N = 90
X, LABELS = make_classification(N, 7, n_informative=5, n_classes=3, random_state=0)
X32 = X.astype(np.float32)
WEIGHTS = np.random.RandomState(1).uniform(0.2, 2, N)
ROWS = np.sort(np.random.RandomState(2).permutation(N)[:61])

# Options that leave something from one epoch to the next.
OPTIONS = {
    "adam": {},
    "sgd": {"solver": "sgd", "momentum": 0.9},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1},
    "lion": {"solver": "lion", "learning_rate_init": 1e-4},
    "cosine": {"learning_rate": Cosine(warmup=2, warmup_unit="epochs")},
    "plateau": {"learning_rate": Plateau(patience=1), "tol": 0.1, "n_iter_no_change": 20},
    "dropout": {"dropout": 0.3, "input_dropout": 0.1},
    "batch normalization": {"normalization": "batch"},
    "layer normalization": {"normalization": "layer", "clip_norm": 0.1},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2},
    "early stopping by loss": {"early_stopping": True, "monitor": "loss", "validation_fraction": 0.3, "class_weight": "balanced"},
    "scorer": {"early_stopping": True, "scoring": "f1_macro", "restore_best": False},
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "ordered": {"shuffle": False, "l1": 0.01, "max_norm": 1.0},
    "blocks": {"shuffle": "blocks"},
    "numba": {"engine": "numba", "dropout": 0.2},
}
FITTED = ("n_iter_", "t_", "loss_", "loss_curve_", "learning_rate_curve_", "validation_scores_", "best_validation_score_", "best_loss_")


def classifier(options, **more):
    parameters = {"hidden_layer_sizes": (9, 5), "batch_size": 16, "max_iter": 9, "random_state": 3} | options | more
    return MLPClassifier(**parameters)


def fitted(estimator, *args, **kwargs):
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return estimator.fit(*args, **kwargs)


def assert_same(one, other, names=FITTED):
    # The last bits of BLAS's products, which engine="numba" takes, depend on where arrays lie in memory.
    rtol, atol = (1e-10, 1e-12) if one.engine == "numba" else (0, 0)
    for name in names:
        a, b = (np.array(getattr(each, name, None), dtype=np.float64) for each in (one, other))
        np.testing.assert_allclose(a, b, rtol, atol, err_msg=name)
    for a, b in zip(one._parameters().arrays(), other._parameters().arrays(), strict=True):
        np.testing.assert_allclose(a, b, rtol, atol)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(nnfast.blocks, "BLOCK_NUMBERS", 50)


@pytest.mark.parametrize("table", [X, X32, csr_matrix(X)], ids=["float64", "float32", "sparse"])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_course_that_pauses_is_the_fit_that_does_not(name, table):
    if name == "blocks" and not isinstance(table, np.ndarray):
        return
    options = OPTIONS[name]
    if name == "float32" and table.dtype == np.float32:
        options = {"precision": "float64"}  # where what is published is rounded, and what goes on is not
    alone = fitted(classifier(options), table, LABELS, WEIGHTS)
    paused = classifier(options)
    course = paused._course(table, LABELS, WEIGHTS)
    for until in (1, 4, 5):
        course.train(until)
        if not course.finished:
            # As a fit that ends there, which is what survives a round of halving.
            if not getattr(options.get("learning_rate"), "plans_end", False):
                assert_same(paused, fitted(classifier(options, max_iter=until), table, LABELS, WEIGHTS))
            assert course.n_epochs == until
            np.testing.assert_array_equal(course.loss_curve, paused.loss_curve_)
    course.train()
    assert course.finished
    assert_same(paused, alone)


@pytest.mark.parametrize("name", OPTIONS)
def test_rows_of_a_table_are_a_table(name):
    options = OPTIONS[name]
    weights = WEIGHTS if name != "adam" else None
    of_rows = classifier(options)
    of_rows._course(X, LABELS, weights, rows=ROWS).train()
    assert of_rows.n_iter_ > 1
    if name == "blocks":
        return  # whose places are those of the whole table
    assert_same(of_rows, fitted(classifier(options), X[ROWS], LABELS[ROWS], None if weights is None else weights[ROWS]))


def test_rows_in_blocks_leave_the_others_alone():
    # Rows that are not seen have targets that would ruin the fit.
    y = X[:, 0].copy()
    y[np.delete(np.arange(N), ROWS)] = 1e6
    for early_stopping in (False, True):
        regr = MLPRegressor(hidden_layer_sizes=(5,), shuffle="blocks", max_iter=5, random_state=0, early_stopping=early_stopping)
        regr._course(X, y, rows=ROWS).train()
        assert max(regr.loss_curve_) < 10
        assert regr.t_ == 5 * len(ROWS) if not early_stopping else regr.t_ < 5 * len(ROWS)


def test_rows_decide_on_the_classes():
    rows = np.flatnonzero(LABELS != 2)
    clf = classifier({})
    clf._course(X, LABELS, rows=rows).train()
    assert list(clf.classes_) == [0, 1]
    assert_same(clf, fitted(classifier({}), X[rows], LABELS[rows]))


def test_lbfgs_sees_the_rows_alone():
    options = {"solver": "lbfgs", "max_iter": 20}
    clf = classifier(options)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        clf._fit(X, LABELS, WEIGHTS, rows=ROWS)
    assert_same(clf, fitted(classifier(options), X[ROWS], LABELS[ROWS], WEIGHTS[ROWS]), ["loss_", "n_iter_"])


class Log(Callback):
    def __init__(self):
        self.calls = []

    def on_fit_begin(self, estimator, state):
        self.calls.append("begin")

    def on_epoch_end(self, estimator, state):
        self.calls.append(state.epoch)

    def on_fit_end(self, estimator, state):
        self.calls.append("end")


def test_callbacks_see_one_fit():
    log = Log()
    course = classifier({}, callbacks=[log])._course(X, LABELS)
    course.train(2)
    course.train(3)
    assert log.calls == ["begin", 1, 2, 3]
    course.close()
    course.close()
    assert log.calls == ["begin", 1, 2, 3, "end"] and course.finished


def test_pause_is_asked_after_every_epoch():
    clf, seen = classifier({}, early_stopping=True, n_iter_no_change=100), []
    course = clf._course(X, LABELS)

    def pause():
        course.publish()
        seen.append((clf.n_iter_, clf.score(X, LABELS)))
        return len(seen) == 3

    course.train(pause=pause)
    assert [n for n, _ in seen] == [1, 2, 3] and course.n_epochs == 3 and not course.finished
    best = fitted(classifier({}, early_stopping=True, max_iter=3), X, LABELS)
    assert seen[-1][1] == best.score(X, LABELS)


def test_a_course_that_diverges_ends():
    course = classifier({"solver": "sgd", "learning_rate_init": 1e300})._course(X, LABELS)
    with pytest.raises(ValueError, match="not finite in epoch 1"):
        course.train(5)
    assert course.finished


def test_a_course_checks_its_parameters():
    with pytest.raises(ValueError, match="alpha"):
        classifier({"alpha": -1})._course(X, LABELS)
