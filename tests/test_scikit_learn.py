"""The same random_state gives scikit-learn's run: curves, scores, stopping, parameters, over a grid of
everything.
"""

import inspect
import warnings
from functools import cache, partial
from itertools import product

import numpy as np
import pytest
import reference
import scipy.optimize
import scipy.sparse
import sklearn.neural_network
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import unique_labels

import nnfast

RTOL = 1e-9
# scikit-learn 1.7 brought both to its estimators.
HAS_WEIGHTS = "sample_weight" in inspect.signature(sklearn.neural_network.MLPRegressor.fit).parameters
HAS_POISSON = "loss" in inspect.signature(sklearn.neural_network.MLPRegressor).parameters

TASKS = ("multiclass", "binary", "multilabel", "regression", "multi_output", "poisson")
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
SOLVERS = {
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "constant": {"solver": "sgd", "learning_rate_init": 0.02},
    "invscaling": {"solver": "sgd", "learning_rate_init": 0.1, "learning_rate": "invscaling", "power_t": 0.2},
    "adaptive": {"solver": "sgd", "learning_rate_init": 0.02, "learning_rate": "adaptive"},
}


@cache
def table(task, n_samples=61):
    """(X, y, sample_weight) of a task, with classes that overlap, so that losses and scores are not
    trivial.
    """
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_samples, 5))
    signal = X @ rng.normal(size=(5, 3)) + 0.5 * rng.normal(size=(n_samples, 3))
    y = {
        "multiclass": np.array([5, 8, -1])[signal.argmax(axis=1)],
        "binary": np.where(signal[:, 0] > 0.3, 7, -2),
        "multilabel": (signal > 0).astype(int),
        "regression": signal[:, 0],
        "multi_output": signal,
        "poisson": np.floor(np.exp(0.5 * signal[:, 0])),
    }[task]
    weight = rng.uniform(0.1, 3.0, n_samples)
    weight[3:6] = 0
    return X, y, weight


def pair(task, **parameters):
    """scikit-learn's estimator for a task, and nnfast's, of the same parameters."""
    name = "MLPClassifier" if task in TASKS[:3] else "MLPRegressor"
    if task == "poisson":
        if not HAS_POISSON:
            pytest.skip("this scikit-learn has no loss='poisson'")
        parameters["loss"] = "poisson"
    parameters = {"hidden_layer_sizes": (7,), "random_state": 3, "max_iter": 12, "tol": 1e-2} | parameters
    return getattr(sklearn.neural_network, name)(**parameters), getattr(nnfast, name)(**parameters)


def train(estimator, X, y, sample_weight=None, method="fit", **more):
    if sample_weight is not None:
        more["sample_weight"] = sample_weight
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", nnfast.UnusedOptionWarning)  # of which scikit-learn tells nothing
        return getattr(estimator, method)(X, y, **more)


def assert_same_run(ours, theirs, rtol=RTOL):
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("loss_", "loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_"):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        expected = getattr(theirs, name, None)
        if expected is None:
            assert getattr(ours, name, None) is None, name
        else:
            # Scores cross zero, where only their absolute error means something.
            atol = rtol if "score" in name else 0
            np.testing.assert_allclose(getattr(ours, name), expected, rtol=rtol, atol=atol, err_msg=name)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert mine.dtype == other.dtype
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=0, atol=100 * rtol)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_stochastic_runs_are_equal(task, solver):
    X, y, weight = table(task)
    # Any three options in all combinations; all five too, of a solver: a task has the half that its
    # neighbours lack, since scikit-learn takes long.
    half = (TASKS.index(task) + list(SOLVERS).index(solver)) % 2
    n_stopped = 0
    for levels in product(range(len(ACTIVATIONS)), *4 * [(0, 1)]):
        if sum(levels) % 2 != half:
            continue
        activation, batch_size = list(ACTIVATIONS)[levels[0]], (16, "auto")[levels[1]]
        early_stopping, sample_weight, shuffle = bool(levels[2]), (None, weight)[levels[3]], bool(levels[4])
        if sample_weight is not None and not HAS_WEIGHTS:
            continue
        theirs, ours = pair(
            task,
            **SOLVERS[solver],
            activation=activation,
            batch_size=batch_size,
            early_stopping=early_stopping,
            validation_fraction=0.2,
            shuffle=shuffle,
            n_iter_no_change=2,
            tol=0.05,
        )
        assert_same_run(train(ours, X, y, sample_weight), train(theirs, X, y, sample_weight))
        n_stopped += ours.n_iter_ < ours.max_iter
    assert n_stopped > 0 or solver == "adaptive"  # which goes on with another rate


@pytest.mark.parametrize("batch_size", [1, 2, 60, 61])
@pytest.mark.parametrize("hidden_layer_sizes", [(), 4, (3, 1, 5)])
def test_depths_and_batch_sizes(hidden_layer_sizes, batch_size):
    for task in TASKS:
        X, y, _ = table(task)
        theirs, ours = pair(
            task,
            hidden_layer_sizes=hidden_layer_sizes,
            batch_size=batch_size,
            max_iter=4,
            learning_rate_init=0.003,
        )
        assert_same_run(train(ours, X, y), train(theirs, X, y))


@pytest.mark.parametrize("momentum, nesterovs_momentum", [(0, True), (0, False), (0.7, False), (1, True)])
def test_momentum(momentum, nesterovs_momentum):
    X, y, _ = table("multiclass")
    theirs, ours = pair(
        "multiclass", solver="sgd", momentum=momentum, nesterovs_momentum=nesterovs_momentum, batch_size=17
    )
    assert_same_run(train(ours, X, y), train(theirs, X, y))


def test_adam_and_l2_parameters():
    X, y, _ = table("regression")
    theirs, ours = pair("regression", beta_1=0.5, beta_2=0.6, epsilon=1e-2, alpha=3.0, batch_size=17)
    assert_same_run(train(ours, X, y), train(theirs, X, y))


def test_the_learning_rate_adapts_until_it_is_too_small():
    X, y, _ = table("binary")
    theirs, ours = pair("binary", **SOLVERS["adaptive"] | {"tol": 10.0, "n_iter_no_change": 1}, max_iter=100)
    assert_same_run(train(ours, X, y), train(theirs, X, y))
    assert ours.n_iter_ < 100


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", [task for task in TASKS if task != "multi_output"])
def test_lbfgs_runs_are_equal(task, activation):
    X, y, weight = table(task)
    for sample_weight in (None, weight) if HAS_WEIGHTS else (None,):
        theirs, ours = pair(task, solver="lbfgs", activation=activation, max_iter=8, alpha=0.1)
        assert_same_run(train(ours, X, y, sample_weight), train(theirs, X, y, sample_weight))


def test_lbfgs_of_several_outputs_descends_the_loss():
    # scikit-learn's gradient lacks the 1 / n_outputs of its loss, so the oracle here is the reference's own
    # descent.
    X, y, _ = table("multi_output")
    _, ours = pair("multi_output", solver="lbfgs", activation="tanh", max_iter=8, alpha=0.1)
    _, start = pair("multi_output", activation="tanh", max_iter=1, learning_rate_init=1e-300)
    train(start, X, y)
    shapes = [array.shape for array in start.coefs_ + start.intercepts_]

    def loss_gradient(flat):
        split = np.split(flat, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
        arrays = [part.reshape(shape) for part, shape in zip(split, shapes, strict=True)]
        value, gradients = reference.loss_and_gradients(
            arrays[:2], arrays[2:], X, y, "tanh", "squared_error", 0.1, as_scikit_learn=False
        )
        return value, np.concatenate([gradient.ravel() for gradient in gradients])

    flat = np.concatenate([array.ravel() for array in start.coefs_ + start.intercepts_])
    options = {"maxiter": 8, "gtol": 1e-3}
    expected = scipy.optimize.minimize(loss_gradient, flat, method="L-BFGS-B", jac=True, options=options)
    assert train(ours, X, y).loss_ == pytest.approx(expected.fun, rel=RTOL)


# ------------------------------------------------------------------------------------------------------------
# Kinds of table


def _strided(X):
    wide = np.zeros((2 * X.shape[0], 3 * X.shape[1]))
    wide[::2, ::3] = X
    return wide[::2, ::3]


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def _unaligned(X):
    record = np.zeros(X.shape, dtype=np.dtype([("pad", "i1"), ("x", "f8")]))
    record["x"] = X
    return record["x"]


TABLES = {
    "fortran": np.asfortranarray,
    "csr": scipy.sparse.csr_array,
    "csc": scipy.sparse.csc_matrix,
    "csr of int": lambda X: scipy.sparse.csr_matrix(X.round().astype(np.int32)),
    "strided": _strided,
    "reversed": lambda X: X[::-1, ::-1],
    "read-only": _read_only,
    "list": lambda X: X.tolist(),
    "object": lambda X: X.astype(object),
    "big-endian": lambda X: X.astype(">f8"),
    "float16": lambda X: X.astype(np.float16),
    "longdouble": lambda X: X.astype(np.longdouble),
    "unaligned": _unaligned,
    "bool": lambda X: X > 0,
    **{
        f"{dtype}": lambda X, dtype=dtype: (10 * abs(X)).astype(dtype) for dtype in ("int8", "uint8", "int64")
    },
    "fortran int32": lambda X: np.asfortranarray((10 * X).astype(np.int32)),
}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", TABLES)
def test_kinds_of_tables(kind, solver):
    X, y, _ = table("multiclass")
    X = TABLES[kind](X)
    theirs, ours = pair("multiclass", solver=solver, max_iter=6, batch_size=16, early_stopping=True)
    before = X.copy() if isinstance(X, np.ndarray) else None
    assert_same_run(train(ours, X, y), train(theirs, X, y))
    assert before is None or np.array_equal(X, before)
    mine, other = ours.predict_proba(X), theirs.predict_proba(X)
    np.testing.assert_allclose(mine, other, rtol=1e-7)
    assert mine.dtype == other.dtype
    assert np.array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize("order", "CF")
def test_memory_mapped_tables(tmp_path, order):
    X, y, _ = table("regression")
    np.save(tmp_path / "X.npy", np.asarray(X, order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    theirs, ours = pair("regression", max_iter=6)
    assert_same_run(train(ours, mapped, y), train(theirs, X, y))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", TASKS)
def test_float32_runs_agree(task, solver):
    X, y, _ = table(task)
    X = X.astype(np.float32)
    theirs, ours = pair(task, **SOLVERS[solver], max_iter=5, batch_size=16)
    assert_same_run(train(ours, X, y), train(theirs, X, y), rtol=1e-4)
    assert ours.coefs_[0].dtype == np.float32


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_changes_the_arithmetic_alone(precision, dtype):
    X, y, _ = table("binary")
    X = X.astype(dtype)
    theirs, ours = pair("binary", max_iter=5, batch_size=16)
    ours.set_params(precision=precision)
    assert_same_run(train(ours, X, y), train(theirs, X, y), rtol=1e-4)
    assert ours.predict_proba(X).dtype == theirs.predict_proba(X).dtype == dtype


@pytest.mark.parametrize("fitted", [np.float32, np.float64])
@pytest.mark.parametrize(
    "given", [np.float16, np.float32, np.float64, np.longdouble, np.int8, np.int64, bool]
)
def test_dtypes_of_predictions(fitted, given):
    X, y, _ = table("regression")
    theirs, ours = (train(estimator, X.astype(fitted), y) for estimator in pair("regression", max_iter=2))
    rows = X.astype(given)
    assert ours.predict(rows).dtype == theirs.predict(rows).dtype
    rtol = 1e-5 if np.result_type(fitted, given).itemsize < 8 else 1e-9
    np.testing.assert_allclose(ours.predict(rows), theirs.predict(rows).astype(float), rtol=rtol, atol=rtol)


# ------------------------------------------------------------------------------------------------------------
# Going on


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_partial_fit(task, solver):
    X, y, weight = table(task)
    theirs, ours = pair(task, **SOLVERS[solver], batch_size=16, n_iter_no_change=2, tol=1e-2)
    for i, rows in enumerate([slice(None), slice(0, 40), slice(20, 61), slice(20), slice(None)]):
        more = {"classes": unique_labels(y)} if task in TASKS[:3] and i == 0 else {}
        sample_weight = weight[rows] if HAS_WEIGHTS and i != 1 else None
        for estimator in (ours, theirs):
            train(estimator, X[rows], y[rows], sample_weight, "partial_fit", **more)
        assert_same_run(ours, theirs)


@pytest.mark.parametrize("solver", [*SOLVERS, "lbfgs"])
def test_partial_fit_after_fit(solver):
    X, y, _ = table("multiclass")
    theirs, ours = pair("multiclass", **SOLVERS.get(solver, {"solver": solver}), max_iter=5)
    for estimator in (ours, theirs):
        train(estimator, X, y)
        estimator.set_params(**SOLVERS.get(solver, SOLVERS["adam"]))
        if solver != "lbfgs":  # where scikit-learn's has no loss_curve_ to append to
            train(estimator, X, y, None, "partial_fit")
    assert_same_run(ours, theirs)
    train(ours, X, y, None, "partial_fit")


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", [*SOLVERS, "lbfgs"])
@pytest.mark.parametrize("task", [task for task in TASKS if task != "multi_output"])
def test_warm_start(task, solver, early_stopping):
    X, y, _ = table(task)
    theirs, ours = pair(
        task,
        **SOLVERS.get(solver, {"solver": solver}),
        warm_start=True,
        early_stopping=early_stopping,
        validation_fraction=0.2,
        max_iter=4,
    )
    for estimator in (ours, theirs):
        train(estimator, X, y)
    assert_same_run(ours, theirs)
    if not early_stopping:  # with it, see the next test
        assert_same_run(*(train(estimator, X, y) for estimator in (ours, theirs)))


# which goes by all rows ever seen
@pytest.mark.parametrize("solver", [solver for solver in SOLVERS if solver != "invscaling"])
@pytest.mark.parametrize("task", [task for task in TASKS if task != "multi_output"])
def test_a_warm_start_with_early_stopping_is_a_fit_from_the_last_weights(task, solver):
    # scikit-learn trains on in the very arrays that hold its best epoch, and compares with an earlier fit's
    # scores. So the oracle is its first fit from the weights that our first one ended with.
    X, y, _ = table(task)
    theirs, ours = pair(
        task,
        **SOLVERS[solver],
        early_stopping=True,
        validation_fraction=0.2,
        max_iter=6,
        n_iter_no_change=100,
    )
    last = train(clone(ours).set_params(restore_best=False), X, y)
    train(ours.set_params(warm_start=True), X, y)
    n_before = len(ours.loss_curve_)
    train(ours, X, y)
    layers = iter(zip(last.coefs_, last.intercepts_, strict=True))
    theirs._init_coef = lambda *shape_and_dtype: [array.copy() for array in next(layers)]
    train(theirs, X, y)
    np.testing.assert_allclose(ours.loss_curve_[n_before:], theirs.loss_curve_, rtol=RTOL)
    np.testing.assert_allclose(
        ours.validation_scores_[n_before:], theirs.validation_scores_, rtol=RTOL, atol=RTOL
    )
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=100 * RTOL)


# What is done in turn to one estimator of each library: a parameter is set, or it is trained on one of two
# tables.
SETTINGS = {
    "max_iter": [1, 2, 5],
    "n_iter_no_change": [1, 3, 10],
    "tol": [1e-4, 0.05],
    "learning_rate_init": [0.003, 0.02],
    "batch_size": ["auto", 16],
    "shuffle": [True, False],
    "alpha": [1e-4, 0.5],
    "warm_start": [True, True, False],
    "solver": ["adam", "sgd"],
    "momentum": [0.5, 0.9],
}


def sequence(rng):
    """A random sequence of ("set", name, value), ("fit", table) and ("partial_fit", table)."""
    steps = []
    for _ in range(rng.integers(3, 10)):
        kind = rng.choice(["set", "fit", "partial_fit"], p=[0.35, 0.4, 0.25])
        name = rng.choice(list(SETTINGS))
        steps.append(
            (kind, name, SETTINGS[name][rng.integers(len(SETTINGS[name]))])
            if kind == "set"
            else (kind, int(rng.integers(2)))
        )
    return [("fit", 0), *steps]


def assert_sequences_are_equal(seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        task = TASKS[seed % 5 if seed % 5 < 4 else 0]
        tables = [table(task, n_samples)[:2] for n_samples in (61, 43)]
        theirs, ours = pair(task, warm_start=True, learning_rate_init=0.01, max_iter=3)
        for step in sequence(rng):
            for estimator in (ours, theirs):
                if step[0] == "set":
                    estimator.set_params(**{step[1]: step[2]})
                else:
                    train(estimator, *tables[step[1]], method=step[0])
            if step[0] != "set":
                assert_same_run(ours, theirs, rtol=1e-8)


def test_sequences_of_calls_are_equal():
    assert_sequences_are_equal(range(200))


@pytest.mark.slow
def test_many_sequences_of_calls_are_equal():
    assert_sequences_are_equal(range(200, 3000))


# ------------------------------------------------------------------------------------------------------------
# What is drawn, said and predicted


@pytest.mark.parametrize("stratified", [False, True])
def test_splitting_indices_is_splitting_the_table(stratified):
    X, y, _ = table("binary")
    codes = (y == 7).astype(int)
    split = partial(train_test_split, test_size=0.2, random_state=5)
    _, held_out = split(np.arange(len(X)), stratify=codes if stratified else None)
    _, X_val = split(X, stratify=codes[:, np.newaxis].astype(bool) if stratified else None)
    assert np.array_equal(X[held_out], X_val)


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_iter": 3},
        {"max_iter": 50, "tol": 10.0, "n_iter_no_change": 2},
        {"max_iter": 50, "tol": 10.0, "n_iter_no_change": 2, "early_stopping": True},
        {"max_iter": 60, "tol": 10.0, "n_iter_no_change": 1, "solver": "sgd", "learning_rate": "adaptive"},
        {"max_iter": 3, "batch_size": 1000},
        {"max_iter": 2, "solver": "lbfgs"},
    ],
)
def test_the_same_words(parameters, capsys):
    X, y, _ = table("multiclass")
    said = []
    for estimator in pair("multiclass", **parameters, verbose=True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator.fit(X, y)
        # nnfast alone says where a score never moves.
        heard = [(w.category, str(w.message)) for w in caught if "nothing to go by" not in str(w.message)]
        said.append((capsys.readouterr().out, heard))
    assert said[0] == said[1]


@pytest.mark.parametrize("task", TASKS)
def test_predictions_and_scores(task):
    X, y, weight = table(task)
    theirs, ours = (train(estimator, X, y) for estimator in pair(task, max_iter=40, learning_rate_init=0.01))
    mine, other = ours.predict(X), theirs.predict(X)
    assert mine.dtype == other.dtype
    assert mine.shape == other.shape
    if is_classifier(ours):
        assert np.array_equal(mine, other)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=RTOL)
        np.testing.assert_allclose(
            ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=RTOL, atol=RTOL
        )
    else:
        np.testing.assert_allclose(mine, other, rtol=RTOL, atol=RTOL)
    for sample_weight in (None, weight):
        assert ours.score(X, y, sample_weight) == pytest.approx(theirs.score(X, y, sample_weight), rel=RTOL)


@pytest.mark.parametrize("kind", [str, object, bool, float, np.int8])
def test_kinds_of_labels(kind):
    X, y, _ = table("binary")
    y = {
        str: np.array(["b", "a"]),
        object: np.array(["b", "a"], dtype=object),
        bool: np.array([True, False]),
    }.get(kind, np.array([3, 1], dtype=kind))[(y > 0).astype(int)]
    theirs, ours = (train(estimator, X, y) for estimator in pair("binary"))
    assert_same_run(ours, theirs)
    assert ours.classes_.dtype == theirs.classes_.dtype
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    assert np.array_equal(ours.predict(X), theirs.predict(X))


def test_a_class_alone():
    X, _, _ = table("binary")
    y = np.full(len(X), 3)
    for early_stopping in (False, True):
        theirs, ours = pair("binary", early_stopping=early_stopping, max_iter=3)
        assert_same_run(train(ours, X, y), train(theirs, X, y))
        assert np.array_equal(ours.predict(X), theirs.predict(X))
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=RTOL)


def test_sparse_labels_come_back_sparse():
    X, y, _ = table("multilabel")
    theirs, ours = (train(estimator, X, scipy.sparse.csr_array(y)) for estimator in pair("multilabel"))
    assert_same_run(ours, theirs)
    mine, other = ours.predict(X), theirs.predict(X)
    assert type(mine) is type(other)
    assert np.array_equal(mine.toarray(), other.toarray())
