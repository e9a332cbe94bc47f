"""Both engines: one interface, and the same runs to rounding, of everything that a session can do."""

import inspect
import math
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import problems
import pytest
import scipy.sparse
import sklearn.utils
from problems import Problem
from sklearn.datasets import load_diabetes, load_iris
from sklearn.utils.estimator_checks import estimator_checks_generator
from test_engine import RUNS

from nnfast import Activation, Loss, MLPClassifier, MLPRegressor, engines
from nnfast.engines import cython
from nnfast.optimizers import SGD
from nnfast.regularization import Regularization

numba = pytest.importorskip("nnfast.engines.numba", reason="needs numba", exc_type=ImportError)
BOTH = pytest.mark.parametrize("engine", [cython, numba], ids=["cython", "numba"])

# ------------------------------------------------------------------------------------------------------------
# One interface


def interface(engine):
    """Names and signatures of what a module offers, and of the methods and attributes of its Session."""
    found = {}
    for name, value in vars(engine).items():
        if not name.startswith("_") and getattr(value, "__module__", None) in (
            engine.__name__,
            "nnfast.engines.metrics",
            "nnfast.engines.session",
        ):
            found[name] = str(inspect.signature(value))
    session = engine.Session
    for name in dir(session):
        if not name.startswith("_") or name in ("__enter__", "__exit__", "__del__"):
            value = getattr(session, name)
            found[f"Session.{name}"] = (
                str(inspect.signature(value)) if callable(value) else type(value).__name__
            )
    return found


def test_the_engines_offer_the_same():
    ours, theirs = interface(numba), interface(cython)
    # Which several_epochs tells.
    assert (
        cython.Session.several_epochs
        and not numba.Session.several_epochs
        and "orders" in theirs.pop("Session.epochs")
    )
    assert ours == theirs
    assert {
        "Session",
        "predict",
        "predictor",
        "shuffle",
        "roc_auc",
        "Session.epoch",
        "Session.take_moments",
    } <= set(ours)
    assert engines.ENGINES == ("cython", "numba")


# ------------------------------------------------------------------------------------------------------------
# The same runs


def run(engine, monkeypatch, problem, arguments, rate, epochs=20):
    """Losses of epochs, then everything else that a session tells."""
    monkeypatch.setattr(problems, "engine", engine)
    random_state, rows, losses = np.random.RandomState(0), problem.rows.copy(), []
    with problem.session(**arguments) as session:
        for _ in range(epochs):
            engine.shuffle(rows, random_state)
            losses.append(session.epoch(rows, rate))
        loss, outputs = session.evaluate()
        answers = [np.float64(loss), outputs, session.predict(rows[:7]), *problem.stored(session)]
        assert (
            session.t == epochs * -(-len(rows) // arguments["batch_size"])
            if "batch_size" in arguments
            else session.t == epochs
        )
        return losses, [*answers, *(array for each in session.take_moments() for array in each.values())]


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("name", RUNS)
def test_the_same_runs(name, dtype, rtol, monkeypatch):
    made, arguments = RUNS[name]
    problem = Problem(**made, dtype=np.dtype(dtype).type)
    # Lion goes by signs: where a rounding turns one round, a weight moves by twice the rate.
    rate = 1e-4 if "Lion" in name else 0.01
    (losses, others), (expected, expected_others) = (
        run(engine, monkeypatch, problem, arguments, rate) for engine in (numba, cython)
    )
    np.testing.assert_allclose(losses, expected, rtol=rtol)
    if dtype == "float64":
        for ours, theirs in zip(others, expected_others, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def snake(z):
    return z + math.sin(z) ** 2


def asymmetric(y, z):
    return (3 if z < y else 1) * (z - y) ** 2


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize(
    "made",
    [
        {"activation": ((Activation(snake), None), ("relu", None))},
        {"loss": Loss(asymmetric)},
        {"loss": Loss(asymmetric, out_activation="exp")},
    ],
    ids=["activation", "loss", "loss of exp"],
)
def test_the_same_runs_of_own_functions(made, dtype, rtol, monkeypatch):
    problem = Problem((12, 9, 6, 2), dtype=np.dtype(dtype).type, **{"loss": "squared_error"} | made)
    losses, expected = (
        run(engine, monkeypatch, problem, {"batch_size": 16}, 0.01)[0] for engine in (numba, cython)
    )
    np.testing.assert_allclose(losses, expected, rtol=rtol)


# ------------------------------------------------------------------------------------------------------------
# What runs are made of


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-11), ("float32", 1e-4)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "squared_error"},
        {"loss": "focal"},
        {"normalization": "batch"},
        {"normalization": "layer"},
        {"weighted": True},
        {"kind": "csr"},
        {"kind": "sparse", "units": (60, 9, 3)},
        {"n_samples": numba.CHUNK_ROWS + 40},
    ],
    ids=str,
)
@BOTH
def test_gradients_and_evaluations_are_the_references(engine, options, dtype, rtol, monkeypatch):
    monkeypatch.setattr(problems, "engine", engine)
    problem = Problem(**options, dtype=np.dtype(dtype).type)
    regularization = Regularization(alpha=0.01)
    slow, X, y = problem.reference(regularization)
    flat = problem.network.pack(problem.parameters())
    gradient = np.full_like(flat, np.nan)
    with problem.session(optimizer=None, regularization=regularization) as session:
        loss = session.loss_gradient(flat, gradient, problem.rows)
    expected, gradients = slow.loss_and_gradients(X, y, problem.weight, as_scikit_learn=False)
    assert loss == pytest.approx(expected, rel=rtol)
    expected = np.concatenate([array.ravel() for array in gradients])
    np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=rtol * abs(expected).max())
    with problem.session(optimizer=None, regularization=regularization) as session:
        loss, outputs = session.evaluate(problem.rows[::-1].copy())
    slow, X, y = problem.reference(regularization)
    assert loss == pytest.approx(slow.evaluate(X, y, problem.weight), rel=rtol)
    np.testing.assert_allclose(outputs, slow.predict(X)[::-1], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("source", ["float64", "float32", "bool", "int8", "uint64", "int32"])
@BOTH
def test_tables_of_any_dtype_and_strides(engine, source, monkeypatch):
    monkeypatch.setattr(problems, "engine", engine)
    problem = Problem((6, 5, 2), 40)
    X = np.random.default_rng(0).integers(0, 2, (40, 6)).astype(source)
    wide = np.zeros((80, 18), source)
    wide[::2, ::3] = X
    frozen = X.copy()
    frozen.flags.writeable = False
    tables = X, np.asfortranarray(X), wide[::2, ::3], X[::-1][::-1], frozen
    with problem.predicting(X.astype(float)) as session:
        expected = session.predict()
    for table in tables:
        with problem.predicting(table) as session:
            np.testing.assert_array_equal(session.predict(), expected)
    with problem.session(frozen, batch_size=16) as session:
        assert np.isfinite(session.epoch(problem.rows, 0.01))


@BOTH
def test_shuffles_are_scikit_learns(engine):
    ours, theirs = np.arange(1000), np.arange(1000)
    engine.shuffle(ours, np.random.RandomState(3))
    np.testing.assert_array_equal(ours, sklearn.utils.shuffle(theirs, random_state=np.random.RandomState(3)))
    with pytest.raises(ValueError, match="order must be"):
        engine.shuffle(np.arange(3.0), np.random.RandomState(3))


@pytest.mark.parametrize("rate, step", [(1e300, 1), (np.nan, 0)])
@BOTH
def test_a_loss_that_is_not_finite_ends_its_step(engine, rate, step, monkeypatch):
    monkeypatch.setattr(problems, "engine", engine)
    problem = Problem(loss="squared_error")
    with (
        problem.session(batch_size=10, optimizer=SGD()) as session,
        pytest.raises(engine.NonFinite) as raised,
    ):
        session.epoch(problem.rows, rate)
    assert raised.value.step <= step and not session.whole_epochs


@BOTH
def test_what_is_wrong_is_refused(engine, monkeypatch):
    monkeypatch.setattr(problems, "engine", engine)
    problem = Problem()
    with problem.session() as session:
        with pytest.raises(IndexError, match="row numbers"):
            session.epoch(np.array([0, 50]), 0.1)
        with pytest.raises(ValueError, match="learning_rate"):
            session.epoch(problem.rows, np.ones(7))
        with pytest.raises(ValueError, match="moments"):
            session.load(problem.parameters(), [[]])
        with pytest.raises(RuntimeError, match="differentiate"):
            session.loss_gradient(np.zeros(3), np.zeros(3), problem.rows)
    with pytest.raises(RuntimeError, match="closed"):
        session.predict()
    with pytest.raises(TypeError, match="X must be"):
        problem.session(problem.X.astype(complex))
    with pytest.raises(ValueError, match="class numbers"):
        problem.y[3] = 3
        problem.session()
    with pytest.raises(ValueError, match="CSR"):
        table = scipy.sparse.csr_array(problem.X)
        table.indices[0] = 12
        problem.session(table)


def test_bfloat16_is_the_other_engines():
    with pytest.raises(ValueError, match="engine='cython'"):
        MLPClassifier(engine="numba", precision="bfloat16", max_iter=1).fit(np.eye(4), [0, 1, 0, 1])
    assert numba.bfloat16_units() == () and numba.instruction_set() in numba.instruction_sets()


@BOTH
def test_an_interrupt_ends_an_epoch(engine, monkeypatch):
    monkeypatch.setattr(problems, "engine", engine)
    problem = Problem((200, 300, 3), 20_000)
    with problem.session(batch_size=20) as session:
        session.epoch(problem.rows[:100], 1e-5)
        timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
        timer.start()
        began = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            for _ in range(100):
                session.epoch(problem.rows, 1e-5)
        assert time.perf_counter() - began < 5
    timer.join()


@BOTH
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_profiles_tell_phases(engine):
    X, y = np.random.default_rng(0).normal(size=(4000, 20)), np.arange(4000) % 2
    estimator = MLPClassifier(
        (50,), engine=engine.__name__.rpartition(".")[2], profile=True, max_iter=11, tol=1, random_state=0
    ).fit(X, y)
    seconds = {phase.name: phase.seconds for phase in estimator.profile_.phases}
    assert seconds["forward"] > 0 and seconds["gradient and update"] > 0 and sum(seconds.values()) < 60


# ------------------------------------------------------------------------------------------------------------
# Estimators


@pytest.mark.parametrize("solver", ["adam", "lbfgs", "lion"])
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_fit_alike(cls, solver):
    X, y = (load_iris if cls is MLPClassifier else load_diabetes)(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    options = {
        "solver": solver,
        "max_iter": 8,
        "random_state": 0,
        "early_stopping": solver != "lbfgs",
        "dropout": 0.2 if solver != "lbfgs" else 0.0,
    }
    ours, theirs = (
        cls(hidden_layer_sizes=(9, 5), engine=engine, **options).fit(X, y) for engine in engines.ENGINES
    )
    np.testing.assert_allclose(ours.history_["loss"], theirs.history_["loss"], rtol=1e-9)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-6)
    again = pickle.loads(pickle.dumps(theirs))
    np.testing.assert_array_equal(again.predict(X), theirs.predict(X))
    compiled = theirs.compiled()
    np.testing.assert_array_equal(compiled.predict(X[:3]), theirs.predict(X[:3]))
    for wrong, error in (
        (X[0], ValueError),
        (X[:, :2], ValueError),
        (X.tolist(), TypeError),
        (X.astype(int), TypeError),
    ):
        with pytest.raises(error, match="X must"):
            compiled.predict(wrong)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_how_many_batches_a_run_has_changes_no_bit(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(533, 40)), rng.integers(0, 3, 533)
    # 7,090 weights
    estimator = MLPClassifier((100, 30), engine="numba", batch_size=32, max_iter=2, alpha=0.1, random_state=3)
    curves = []
    for batches in (1, 3, 5, 100):
        monkeypatch.setattr(numba._compiled.Engine, "_expected_seconds", lambda self, n_rows: np.inf)
        monkeypatch.setattr(numba._compiled.Engine, "_batches_a_poll", lambda self, batches=batches: batches)
        curves.append(estimator.fit(X, y).loss_curve_)
    assert curves == curves[:1] * 4


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_in_threads_are_those_of_one():
    X, y = np.random.default_rng(0).normal(size=(400, 10)), np.arange(400) % 2

    def fit(seed):
        return (
            MLPClassifier(
                (20,), engine="numba", max_iter=30, tol=1, n_iter_no_change=30, random_state=seed % 3
            )
            .fit(X, y)
            .loss_
        )

    expected = [fit(seed) for seed in range(3)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fit, range(12))) == expected * 4


CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{getattr(check, 'func', check).__name__}")
    for cls in (MLPClassifier, MLPRegressor)
    for estimator, check in estimator_checks_generator(cls(engine="numba"))
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator, check", CHECKS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
