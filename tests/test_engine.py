"""A session of the engine: its training, the same bits however it runs, and how many threads it takes."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import reference
import sklearn.utils
from problems import Problem

from nnfast import threads
from nnfast.activations import ACTIVATIONS
from nnfast.engines import cython as engine
from nnfast.kernels import engine as compiled
from nnfast.losses import LOSSES
from nnfast.optimizers import SGD, Adam

ISAS = engine.instruction_sets()
CHUNK = engine.CHUNK_ROWS


# ---------------------------------------------------------------------------------------------------------------------
# The same bits

RUNS = {
    "odd batches": ({"units": (33, 40, 17, 3), "n_samples": 203}, {"batch_size": 32}),
    "one row a batch": ({"n_samples": 9}, {"batch_size": 1}),
    "chunks": ({"units": (20, 33, 2), "n_samples": 2 * CHUNK + 300, "weighted": True}, {"batch_size": CHUNK + 200}),
    "sgd, wide outputs": ({"units": (12, 40, 70), "loss": "squared_error"}, {"batch_size": 24, "optimizer": SGD()}),
    "no hidden layer": ({"units": (70, 2)}, {"batch_size": 20, "optimizer": SGD(nesterov=False)}),
    "deep, logistic": ({"units": (300, 65, 33, 5), "activation": "logistic", "loss": "poisson"}, {"batch_size": 30}),
    "sparse": ({"units": (150, 40, 3), "kind": "sparse", "n_samples": 120}, {"batch_size": 50}),
    "sparse, chunks, tanh": ({"units": (60, 20, 1), "kind": "sparse", "n_samples": CHUNK + 88, "activation": "tanh", "loss": "binary_log_loss"}, {}),
    "sparse, no hidden layer": ({"units": (60, 2), "kind": "sparse", "n_samples": 90, "loss": "binary_log_loss"}, {"batch_size": 32}),
    "densified": ({"units": (33, 20, 4), "kind": "csr"}, {"batch_size": 20}),
}


def digest(problem, arguments, n_threads, epochs=3):
    """A hash of every loss, parameter, moment and output."""
    random_state, rows, results = np.random.RandomState(0), problem.rows.copy(), []
    with problem.session(n_threads=n_threads, **arguments) as session:
        for _ in range(epochs):
            engine.shuffle(rows, random_state)
            results.append(np.float64(session.epoch(rows, 0.01)))
        results += [session.predict(), *problem.stored(session), *(array for moment in session.take_moments() for array in moment)]
    assert all(np.isfinite(array).all() for array in results)
    return hashlib.sha256(b"".join(array.tobytes() for array in results)).hexdigest()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("run", RUNS)
def test_same_bits_for_any_number_of_threads_and_vector_width(run, dtype, monkeypatch):
    made, arguments = RUNS[run]
    problem = Problem(**made, dtype=np.dtype(dtype).type)
    digests = {}
    for isa in ISAS:
        monkeypatch.setattr(engine, "_isa", isa)
        digests[isa] = {digest(problem, arguments, n_threads) for n_threads in (1, 2, 3, 5)}
        assert len(digests[isa]) == 1, isa
    if {"avx2", "avx512"} <= set(ISAS):
        assert digests["avx2"] == digests["avx512"]


def test_same_bits_again():
    problem = Problem()
    assert len({digest(problem, {"batch_size": batch_size}, 1) for batch_size in (7, 7, 8)}) == 2


FIT = """
import hashlib, warnings
import numpy as np
from nnfast import MLPClassifier
from nnfast.engines.cython import instruction_set
warnings.simplefilter("ignore")
X = np.random.RandomState(0).normal(size=(100, 20))
model = MLPClassifier((20,), max_iter=5, random_state=0).fit(X, X[:, 0] > 0)
print(instruction_set(), hashlib.sha256(model.predict_proba(X).tobytes()).hexdigest())
"""


def python(code, **environment):
    return subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="needs a CPU with AVX-512")
def test_the_environment_chooses_the_instruction_set():
    answers = {isa: python(FIT, NNFAST_ISA=isa) for isa in ("avx2", "avx512")}
    used, bits = zip(*(answer.stdout.split() for answer in answers.values()))
    assert used == tuple(answers), [answer.stderr for answer in answers.values()]
    assert len(set(bits)) == 1


def test_an_unknown_instruction_set_is_an_error_that_names_the_available():
    answer = python("import nnfast.engines; nnfast.engines.get_engine()", NNFAST_ISA="mmx")
    assert answer.returncode != 0
    assert "NNFAST_ISA='mmx'" in answer.stderr and all(isa in answer.stderr for isa in ISAS)


# ---------------------------------------------------------------------------------------------------------------------
# Training


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-10), (np.float32, 2e-3)], ids=["float64", "float32"])
@pytest.mark.parametrize("run", RUNS)
def test_training_is_the_references(run, dtype, rtol):
    made, arguments = RUNS[run]
    problem = Problem(**made, dtype=dtype)
    arguments = {"batch_size": len(problem.rows), "optimizer": Adam(), "alpha": 0.01} | arguments
    coefs, intercepts = ([array.astype(np.float64) for array in arrays] for arrays in problem.parameters())
    X, y = problem.X.astype(np.float64), problem.y if problem.y.dtype.kind == "i" else problem.y.astype(np.float64)
    rule = arguments["optimizer"]
    slow = reference.SGD(rule.momentum, rule.nesterov) if rule.name == "sgd" else reference.Adam(rule.beta_1, rule.beta_2, rule.epsilon)
    random_state, rows = np.random.RandomState(0), problem.rows.copy()
    with problem.session(**arguments) as session:
        for _ in range(4):
            engine.shuffle(rows, random_state)
            loss = session.epoch(rows, 0.01)
            expected = reference.epoch(
                coefs, intercepts, X, y, rows, arguments["batch_size"], slow, 0.01, problem.network.activation, problem.network.loss,
                arguments["alpha"], problem.weight,
            )
            np.testing.assert_allclose(loss, expected, rtol=rtol / 10)
        assert session.t == slow.t
        for got, w in zip(problem.stored(session), coefs + intercepts, strict=True):
            np.testing.assert_allclose(got, w, rtol=rtol, atol=rtol * np.abs(w).max())
        outputs = reference.predict(coefs, intercepts, X, problem.network.activation, problem.network.loss)
        np.testing.assert_allclose(session.predict(), outputs, rtol=rtol, atol=rtol * np.abs(outputs).max())
        if dtype == np.float64:
            for moment, slow_moment in zip(session.take_moments(), slow.moments, strict=True):
                for got, m in zip(moment, slow_moment, strict=True):
                    np.testing.assert_allclose(got, m, rtol=rtol, atol=rtol * np.abs(m).max())


@pytest.mark.parametrize("rule", [Adam(0.8, 0.9, 1e-4), SGD(0.5, False), SGD(0.5, True), SGD(0, False)], ids=str)
def test_a_run_goes_on_from_loaded_moments(rule):
    problem = Problem()
    with problem.session(batch_size=16, optimizer=rule) as session:
        session.epoch(problem.rows, 0.01)
        session.epoch(problem.rows, 0.02)
        expected = problem.stored(session)
    with problem.session(batch_size=16, optimizer=rule) as session:
        session.epoch(problem.rows, 0.01)
        halfway, t, moments = problem.stored(session), session.t, session.take_moments()
    with problem.session(batch_size=16, optimizer=rule, load=False) as session:
        n = len(halfway) // 2
        session.load(halfway[:n], halfway[n:], moments, t)
        session.epoch(problem.rows, 0.02)
        assert all(np.array_equal(a, b) for a, b in zip(problem.stored(session), expected, strict=True))


def test_loading_without_moments_starts_from_zeros():
    problem = Problem()
    with problem.session(batch_size=16) as session:
        first = session.epoch(problem.rows, 0.01), session.epoch(problem.rows, 0.01)
        session.load(*problem.parameters())
        assert (session.epoch(problem.rows, 0.01), session.epoch(problem.rows, 0.01)) == first


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", [Adam(), SGD()], ids=["adam", "sgd"])
@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_not_finite_stops_in_its_step(loss, rule, dtype, n_threads):
    problem = Problem((12, 9, 3), 50, loss=loss, dtype=dtype, activation="identity")
    problem.table = problem.X.copy()
    problem.table[33] = np.finfo(dtype).max
    with problem.session(batch_size=10, optimizer=rule, n_threads=n_threads) as session:
        with pytest.raises(engine.NonFinite) as raised:
            session.epoch(problem.rows, 0.01)
        assert raised.value.step == 3
        session.load(*problem.parameters())
        assert np.isfinite(session.epoch(problem.rows[:30], 0.01))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_rows_of_no_weight_are_no_rows(n_threads):
    """A batch of them makes no update and no loss; t does not count it."""
    problem = Problem(n_samples=80, weighted=True)
    problem.weight[20:40] = 0
    others = np.concatenate([problem.rows[:20], problem.rows[40:]])
    with problem.session(batch_size=20, n_threads=n_threads) as session, problem.session(batch_size=20) as without:
        losses = [session.epoch(problem.rows, 0.01) * 80 for _ in range(2)]
        expected = [without.epoch(others, 0.01) * 60 for _ in range(2)]
        np.testing.assert_allclose(losses, expected, rtol=1e-14)
        assert session.t == without.t == 6
        assert all(np.array_equal(a, b) for a, b in zip(problem.stored(session), problem.stored(without), strict=True))
        before = problem.stored(session)
        assert session.epoch(problem.rows[20:40], 0.01) == 0
        assert all(np.array_equal(a, b) for a, b in zip(problem.stored(session), before, strict=True))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_predict_any_rows(loss, activation):
    problem = Problem((20, 17, 33), CHUNK + 50, loss=loss, activation=activation)
    coefs, intercepts = problem.parameters()
    expected = reference.predict(coefs, intercepts, problem.X, activation, loss)
    with problem.predicting(n_threads=2) as session:
        np.testing.assert_allclose(session.predict(), expected, rtol=1e-12, atol=1e-13)
        for rows in (np.array([5, 5, 0]), problem.rows[::-1].copy(), np.array([], dtype=np.intp)[:0]):
            if len(rows):
                np.testing.assert_array_equal(session.predict(rows), session.predict()[rows])
    whole = engine.predict(problem.network, coefs, intercepts, problem.table, dtype=np.float64, n_threads=1)
    np.testing.assert_array_equal(whole[7:8], engine.predict(problem.network, coefs, intercepts, problem.table[7:8], dtype=np.float64))


@pytest.mark.parametrize("make", [np.random.RandomState, lambda seed: np.random.RandomState(np.random.PCG64(seed))], ids=["MT19937", "PCG64"])
def test_shuffle_is_scikit_learns(make):
    for n in (*range(1, 40), 63, 64, 65, 127, 128, 129, 1000, 1025, 70_000):
        ours, theirs = make(n), make(n)
        order = np.arange(n, dtype=np.intp)[::-1].copy()
        expected = order
        for _ in range(2):
            expected = sklearn.utils.shuffle(expected, random_state=theirs)
            engine.shuffle(order, ours)
            np.testing.assert_array_equal(order, expected)
        assert ours.randint(1 << 30) == theirs.randint(1 << 30)
        np.testing.assert_equal(ours.get_state(legacy=False), theirs.get_state(legacy=False))


def test_the_compiled_names_are_those_of_the_records():
    assert set(compiled.ACTIVATIONS) == {record.kernel for record in ACTIVATIONS.values()}
    assert set(compiled.LOSSES) == {record.kernel for record in LOSSES.values()}
    assert engine.instruction_set() in ISAS


# ---------------------------------------------------------------------------------------------------------------------
# How many threads


def reserved(*arguments):
    n_threads = threads.reserve_threads(*arguments)
    threads.release_threads()
    return n_threads


@pytest.fixture
def no_limits(monkeypatch):
    for name in ("NNFAST_NUM_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", ["NNFAST_NUM_THREADS", "OMP_NUM_THREADS"])
def test_the_environment_bounds_the_threads(variable, no_limits, monkeypatch):
    for value, expected in (("3", 3), (" 4 , 2", 4), ("1", 1)):
        monkeypatch.setenv(variable, value)
        assert threads.n_threads_available() == expected == reserved(None, 512, 10**7)
        assert reserved(None, 32, 100) == 1
        assert reserved(7, 1, 1) == 7
    for value in ("0", "-1", "two", "1.5", "²"):
        monkeypatch.setenv(variable, value)
        with pytest.raises(ValueError, match=f"{variable} must be a positive integer, got '{value}'"):
            threads.n_threads_available()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("NNFAST_NUM_THREADS", "5")
    assert threads.n_threads_available() == 5


def test_calls_at_the_same_time_share_the_threads(no_limits, monkeypatch):
    monkeypatch.setenv("NNFAST_NUM_THREADS", "6")
    problem = Problem((100, 300, 300, 2), 64)
    with problem.predicting():
        assert reserved(None, 512, 10**7) == 3
        with pytest.raises(ValueError), problem.session(n_threads=0):
            pass
        with problem.predicting(), problem.predicting():
            assert reserved(None, 512, 10**7) == 1
    abandoned = problem.predicting()
    del abandoned
    assert reserved(None, 512, 10**7) == 6


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_the_affinity_bounds_the_threads(no_limits):
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    try:
        assert threads.n_threads_available() == 1
    finally:
        os.sched_setaffinity(0, usual)


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, "2"])
def test_a_wrong_number_of_threads(n_threads):
    with pytest.raises(ValueError, match=f"n_threads must be None or a positive integer, got {n_threads!r}"):
        Problem().session(n_threads=n_threads)


def test_more_threads_than_work():
    problem = Problem()
    assert digest(problem, {"batch_size": 4}, 1) == digest(problem, {"batch_size": 4}, 40)


def test_a_session_does_what_it_was_opened_for():
    """And says so, where the compiled code would read what is not there."""
    problem = Problem()
    flat = np.zeros(problem.network.n_parameters)
    with problem.predicting(problem.table) as session:
        with pytest.raises(RuntimeError, match="must be one for train, got one for predict"):
            session.epoch(problem.rows, 0.1)
    with problem.session() as session:
        with pytest.raises(RuntimeError, match="must be one for differentiate, got one for train"):
            session.loss_gradient(flat, flat.copy(), problem.rows)
    with pytest.raises(RuntimeError, match="got one for closed"):
        session.predict()
