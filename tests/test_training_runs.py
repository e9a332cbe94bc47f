"""Fits that pause and go on, and fits that see a part of a table's rows."""

import gc
import warnings
import weakref

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from small import UNUSED_OPTIONS

import nnfast.blocks
import nnfast.stochastic_fit
from nnfast import DivergenceError, MLPClassifier, MLPRegressor, engines
from nnfast.callbacks import Callback
from nnfast.fitting import fit, training_run
from nnfast.schedules import Cosine, Plateau
from nnfast.validation import HeldOut

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
    "early stopping by loss": {
        "early_stopping": True,
        "monitor": "loss",
        "validation_fraction": 0.3,
        "class_weight": "balanced",
    },
    "scorer": {"early_stopping": True, "scoring": "f1_macro", "restore_best": False},
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "ordered": {"shuffle": False, "l1": 0.01, "max_norm": 1.0},
    "blocks": {"shuffle": "blocks"},
    "numba": {"engine": "numba", "dropout": 0.2},
}
FITTED = (
    "n_iter_",
    "t_",
    "loss_",
    "loss_curve_",
    "learning_rate_curve_",
    "validation_scores_",
    "best_validation_score_",
    "best_loss_",
)


def classifier(options, **more):
    parameters = (
        {"hidden_layer_sizes": (9, 5), "batch_size": 16, "max_iter": 9, "random_state": 3} | options | more
    )
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


TABLES = {"float64": X, "float32": X32, "sparse": csr_matrix(X)}
# All but those that there are not: tables read in blocks are dense.
OPTIONS_AND_TABLES = [
    (name, table) for name in OPTIONS for table in TABLES if (name, table) != ("blocks", "sparse")
]
# Those of blocks that a fit of some rows has are the whole table's.
BUT_BLOCKS = [name for name in OPTIONS if name != "blocks"]


@pytest.mark.parametrize(("name", "table"), OPTIONS_AND_TABLES)
def test_a_training_run_that_pauses_is_the_fit_that_does_not(name, table):
    table = TABLES[table]
    options = OPTIONS[name]
    if name == "float32" and table.dtype == np.float32:
        options = {"precision": "float64"}  # where what is published is rounded, and what goes on is not
    alone = fitted(classifier(options), table, LABELS, WEIGHTS)
    paused = classifier(options)
    run = training_run(paused, table, LABELS, WEIGHTS)
    for until in (1, 4, 5):
        run.train(until)
        if not run.finished:
            # As a fit that ends there, which is what survives a round of halving.
            if not getattr(options.get("learning_rate"), "plans_end", False):
                assert_same(paused, fitted(classifier(options, max_iter=until), table, LABELS, WEIGHTS))
            assert run.n_epochs == until
            np.testing.assert_array_equal(run.loss_curve, paused.loss_curve_)
    run.train()
    assert run.finished
    assert_same(paused, alone)


@pytest.mark.parametrize("name", BUT_BLOCKS)
def test_rows_of_a_table_are_a_table(name):
    options = OPTIONS[name]
    weights = WEIGHTS if name != "adam" else None
    of_rows = classifier(options)
    training_run(of_rows, X, LABELS, weights, rows=ROWS).train()
    assert of_rows.n_iter_ > 1
    assert_same(
        of_rows,
        fitted(classifier(options), X[ROWS], LABELS[ROWS], None if weights is None else weights[ROWS]),
    )


@UNUSED_OPTIONS
@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]], ids=["ascending", "descending"])
@pytest.mark.parametrize("name", BUT_BLOCKS)
def test_rows_held_out_of_rows_of_a_table(name, rows):
    # The same as of a table of these rows, where they have other numbers.
    options, places = OPTIONS[name], np.arange(0, len(rows), 4)
    of_rows = classifier(options)
    training_run(of_rows, X, LABELS, WEIGHTS, HeldOut(indices=rows[places]), rows=rows).train()
    alone = fitted(classifier(options), X[rows], LABELS[rows], WEIGHTS[rows], validation_indices=places)
    assert_same(of_rows, alone)
    assert of_rows.t_ == of_rows.n_iter_ * (len(rows) - len(places))


def test_rows_held_out_are_rows_that_are_seen():
    unseen = np.delete(np.arange(N), ROWS)[0]
    for options in ({}, {"shuffle": "blocks"}):
        with pytest.raises(
            ValueError, match=f"validation_indices must be among the rows that the fit sees, got row {unseen}"
        ):
            held_out = HeldOut(indices=[ROWS[0], unseen])
            training_run(classifier(options), X, LABELS, held_out=held_out, rows=ROWS)


def test_too_few_rows_to_hold_out_are_counted():
    regr = MLPRegressor(early_stopping=True, validation_fraction=0.05)
    with pytest.raises(ValueError, match="validation_fraction=0.05 of 12 samples"):
        training_run(regr, X, X[:, 0], rows=ROWS[:12])


@pytest.mark.parametrize("held_out", ["none", "drawn", "given"])
def test_rows_in_blocks_leave_the_others_alone(held_out):
    # Rows that are not seen have targets that would ruin the fit.
    y = X[:, 0].copy()
    y[np.delete(np.arange(N), ROWS)] = 1e6
    parameters = {"hidden_layer_sizes": (5,), "shuffle": "blocks", "max_iter": 5, "random_state": 0}
    regr = MLPRegressor(early_stopping=held_out == "drawn", **parameters)
    indices = ROWS[::-7] if held_out == "given" else None
    training_run(regr, X, y, held_out=HeldOut(indices=indices), rows=ROWS).train()
    assert max(regr.loss_curve_) < 10
    assert held_out == "none" or max(regr.validation_loss_curve_) < 10
    n_rows = len(ROWS) - (0 if indices is None else len(indices))
    assert regr.t_ < 5 * n_rows if held_out == "drawn" else regr.t_ == 5 * n_rows


def test_rows_decide_on_the_classes():
    rows = np.flatnonzero(LABELS != 2)
    clf = classifier({})
    training_run(clf, X, LABELS, rows=rows).train()
    assert list(clf.classes_) == [0, 1]
    assert_same(clf, fitted(classifier({}), X[rows], LABELS[rows]))


def test_lbfgs_sees_the_rows_alone():
    options = {"solver": "lbfgs", "batch_size": "auto", "max_iter": 20}
    clf = classifier(options)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        fit(clf, X, LABELS, WEIGHTS, rows=ROWS)
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
    run = training_run(classifier({}, callbacks=[log]), X, LABELS)
    run.train(2)
    run.train(3)
    assert log.calls == ["begin", 1, 2, 3]
    run.close()
    run.close()
    assert log.calls == ["begin", 1, 2, 3, "end"] and run.finished


def test_pause_is_asked_after_every_epoch():
    clf, seen = classifier({}, early_stopping=True, n_iter_no_change=100), []
    run = training_run(clf, X, LABELS)

    def pause():
        run.publish()
        seen.append((clf.n_iter_, clf.score(X, LABELS)))
        return len(seen) == 3

    run.train(pause=pause)
    assert [n for n, _ in seen] == [1, 2, 3] and run.n_epochs == 3 and not run.finished
    best = fitted(classifier({}, early_stopping=True, max_iter=3), X, LABELS)
    assert seen[-1][1] == best.score(X, LABELS)


def test_a_training_run_that_diverges_ends():
    run = training_run(classifier({"solver": "sgd", "learning_rate_init": 1e300}), X, LABELS)
    with pytest.raises(ValueError, match="not finite in epoch 1"):
        run.train(5)
    assert run.finished


@pytest.mark.parametrize("until", [2, None])
def test_a_training_run_that_is_let_go_is_gone(until):
    # Of searches many wait: what is dropped must not wait for the garbage collector, too.
    run = training_run(classifier({}, callbacks=[Log()], early_stopping=True), X, LABELS)
    run.train(until)
    run.close()
    gone = weakref.ref(run._fit)
    gc.disable()
    try:
        del run
        assert gone() is None
    finally:
        gc.enable()


def test_a_training_run_checks_its_parameters():
    with pytest.raises(ValueError, match="alpha"):
        training_run(classifier({"alpha": -1}), X, LABELS)


# ------------------------------------------------------------------------------------------------------------
# Several epochs in one call of the engine

# What has something to do between any two epochs, or an engine that cannot.
ONE_BY_ONE = {"early stopping", "early stopping by loss", "scorer", "plateau", "blocks", "numba"}


@pytest.fixture
def in_one_call(monkeypatch):
    """A function: an estimator fitted with as many epochs a call as are allowed, or one by one; and how many
    there were in each call.
    """
    numbers, epochs = [], engines.get_engine("cython").Session.epochs

    def noted(session, orders, rates):
        numbers.append(len(orders))
        return epochs(session, orders, rates)

    monkeypatch.setattr(engines.get_engine("cython").Session, "epochs", noted)

    def fit(estimator, *args, seconds, **kwargs):
        numbers.clear()
        monkeypatch.setattr(nnfast.stochastic_fit, "AHEAD_SECONDS", seconds)
        try:
            return fitted(estimator, *args, **kwargs), list(numbers)
        except DivergenceError as error:
            reached = error.estimator_
            reached.error = str(error)
            return reached, list(numbers)

    return fit


@pytest.mark.parametrize(
    "table",
    [X, X32, csr_matrix(X), np.asfortranarray(X)[::-1]],
    ids=["float64", "float32", "sparse", "strided"],
)
@pytest.mark.parametrize("name", BUT_BLOCKS)
def test_epochs_in_one_call_are_epochs(name, table, in_one_call):
    options = {"max_iter": 40, "n_iter_no_change": 3, "tol": 0.02} | OPTIONS[name]
    alone, calls_alone = in_one_call(classifier(options), table, LABELS, WEIGHTS, seconds=0)
    ahead, calls = in_one_call(classifier(options), table, LABELS, WEIGHTS, seconds=1e9)
    assert calls_alone == []
    assert (max(calls, default=1) > 1) == (name not in ONE_BY_ONE)
    assert_same(alone, ahead)
    # whose moments are the same
    partial = [
        each.set_params(early_stopping=False, class_weight=None).partial_fit(table, LABELS)
        for each in (alone, ahead)
    ]
    assert_same(*partial)


def test_a_generator_is_left_as_by_epochs_one_by_one(in_one_call):
    generators = [np.random.RandomState(5) for _ in range(2)]
    for generator, seconds in zip(generators, (0, 1e9), strict=True):
        clf, _ = in_one_call(
            classifier({}, random_state=generator, max_iter=60, n_iter_no_change=2, tol=0.01),
            X,
            LABELS,
            seconds=seconds,
        )
        assert 5 < clf.n_iter_ < 60
    assert generators[0].randint(2**31) == generators[1].randint(2**31)


@pytest.mark.parametrize("normalization", [None, "batch"])
def test_divergence_within_a_call_has_the_last_whole_epoch(normalization, in_one_call):
    # The weights grow by a factor in every step, until they overflow in some epoch.
    options = {
        "solver": "sgd",
        "learning_rate_init": 1.0,
        "alpha": 200.0,
        "momentum": 0,
        "activation": "tanh",
        "normalization": normalization,
    }
    more = {"max_iter": 200, "n_iter_no_change": 300, "precision": "float64"}
    alone, _ = in_one_call(classifier(options, **more), X, LABELS, seconds=0)
    ahead, calls = in_one_call(classifier(options, **more), X, LABELS, seconds=1e9)
    assert alone.error == ahead.error and max(calls) > 100
    assert 1 < ahead.n_iter_ < 200
    assert_same(alone, ahead, ["n_iter_", "t_", "loss_", "loss_curve_", "learning_rate_curve_"])
    assert all(np.isfinite(array).all() for array in ahead._parameters().arrays())


def test_pause_may_be_asked_now_and_then(monkeypatch):
    monkeypatch.setattr(nnfast.stochastic_fit, "AHEAD_SECONDS", 1e9)
    seen, clf = [], classifier({}, max_iter=50, n_iter_no_change=50)
    run = training_run(clf, X, LABELS)
    run.train(30, lambda: seen.append(run.n_epochs), every_epoch=False)
    assert seen == [1, 30] and run.n_epochs == 30
    run.train(pause=lambda: seen.append(run.n_epochs))
    assert seen[2:] == list(range(31, 50))
    assert_same(clf, fitted(classifier({}, max_iter=50, n_iter_no_change=50), X, LABELS))
