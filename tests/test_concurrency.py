"""Fits and predictions at the same time: threads, forks, joblib's workers and Ctrl-C leave nothing hanging
and nothing behind.
"""

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from problems import Problem, in_child, n_tasks
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from nnfast import MLPClassifier, MLPRegressor, threads
from nnfast.engines import cython as engine
from nnfast.regularization import Regularization

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.skipif(os.name != "posix", reason="signals, forks and /proc"),
]
RNG = np.random.RandomState(0)
X = RNG.normal(size=(400, 20))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


@pytest.fixture(autouse=True)
def no_hang(capfd):
    """A test that takes this long is stuck: show where, past pytest's capture, and end it all."""
    with capfd.disabled():
        stderr = os.dup(2)
    faulthandler.dump_traceback_later(150, exit=True, file=stderr)
    yield
    faulthandler.cancel_dump_traceback_later()
    os.close(stderr)


def model(cls=MLPClassifier, **parameters):
    return cls(
        **{"hidden_layer_sizes": (60, 40), "max_iter": 8, "random_state": 0, "n_threads": 3} | parameters
    )


def bits(fitted):
    return b"".join(array.tobytes() for array in (*fitted.coefs_, *fitted.intercepts_))


# ------------------------------------------------------------------------------------------------------------
# Nothing is left behind


def test_no_thread_outlives_a_call():
    fitted = model().fit(X, Y)  # after it, whatever NumPy starts has been started
    before = n_tasks()
    for _ in range(3):
        fitted.fit(X, Y)
        fitted.partial_fit(X, Y)
        fitted.predict(X)
        model(solver="lbfgs").fit(X, Y)
        with pytest.raises(ValueError), np.errstate(over="ignore"):
            model(MLPRegressor, solver="sgd", learning_rate_init=1e30).fit(X, Y)
        assert n_tasks() == before


def test_an_abandoned_session_leaves_no_thread():
    problem, before = Problem((40, 60, 3), 200), n_tasks()
    session = problem.session(n_threads=4)
    session.epoch(problem.rows, 0.01)
    if before:
        assert n_tasks() == before + 3
    cycle = [session]
    cycle.append(cycle)
    del session, cycle
    assert n_tasks() == before


def test_a_session_may_be_closed_twice():
    problem, before = Problem(), n_tasks()
    with problem.session(n_threads=2) as session:
        session.epoch(problem.rows, 0.01)
        session.close()
    session.close()
    assert n_tasks() == before
    assert threads._calls == 0


LIMITED = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
from problems import Problem
problem, libc = Problem((40, 60, 3), 200), ctypes.CDLL(None)
with problem.session(n_threads=1, batch_size=30) as session:
    expected = session.epoch(problem.rows, 0.01)
attributes = ctypes.create_string_buffer(64)
libc.pthread_attr_init(attributes)
libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(1 << 46))
assert libc.pthread_setattr_default_np(attributes) == 0
before = len(os.listdir("/proc/self/task"))
with problem.session(n_threads=4, batch_size=30) as session:
    assert session.epoch(problem.rows, 0.01) == expected
    print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "pthread_setattr_default_np"), reason="needs glibc")
def test_threads_that_cannot_be_started_are_not_missed():
    """Stacks larger than the address space stop pthread_create: the caller does all the work."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, os.path.dirname(__file__)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert answer.stdout.strip() == "0", answer.stderr


# ------------------------------------------------------------------------------------------------------------
# Forks


def test_fork_after_a_fit():
    expected = bits(model().fit(X, Y))
    for _ in range(3):
        assert in_child(lambda: bits(model().fit(X, Y)) == expected) == 0


def test_fork_while_another_thread_fits():
    expected, stop = bits(model().fit(X, Y)), threading.Event()

    def keep_fitting():
        while not stop.is_set():
            model().fit(X, Y)

    other = threading.Thread(target=keep_fitting)
    other.start()
    try:
        for _ in range(5):
            with threadpool_limits(1):  # NumPy's own pool may not survive a fork
                assert in_child(lambda: bits(model().fit(X, Y)) == expected) == 0
    finally:
        stop.set()
        other.join()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start_a_process(method):
    expected = model().fit(X, Y)
    with multiprocessing.get_context(method).Pool(1) as pool:
        again = pool.apply_async(clone(expected).fit, (X, Y)).get(50)
    assert bits(again) == bits(expected)


# ------------------------------------------------------------------------------------------------------------
# Threads


def test_fits_and_predictions_in_threads_at_once():
    models = [
        model(hidden_layer_sizes=(10 * i + 5,), n_threads=1 + i % 3, activation=("relu", "tanh")[i % 2])
        for i in range(8)
    ]

    def fit_and_predict(estimator):
        fitted = clone(estimator).fit(X, Y)
        return bits(fitted) + fitted.predict_proba(X).tobytes()

    serial = [fit_and_predict(estimator) for estimator in models]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(fit_and_predict, models)) == serial
    assert threads._calls == 0


def test_one_estimator_predicts_in_eight_threads():
    fitted = model(n_threads=2).fit(X, Y)
    expected, start = fitted.predict_proba(X), threading.Barrier(8)

    def predict(_):
        start.wait()
        return all(np.array_equal(fitted.predict_proba(X[i:]), expected[i:]) for i in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(predict, range(8)))


EVERY_PHASE = Regularization(alpha=0.01, clip_norm=0.5, max_norm=2.0, dropout=(0.2, 0.2, 0.2))


@pytest.mark.parametrize(
    "n_epochs, units, normalization, arguments",
    [
        (2000, (4, 8, 2), None, {}),
        (150, (4, 8, 6, 5, 2), "batch", {"regularization": EVERY_PHASE}),
    ],
    ids=["two", "eighteen"],
)
def test_many_short_phases(n_epochs, units, normalization, arguments):
    """Half a million meetings of more threads than there are cores, in phases of as many jobs as others have
    threads, two a step or eighteen.
    """
    problem = Problem(units, 4000, normalization=normalization)
    losses = set()
    for n_threads in (1, 2, 6):
        with problem.session(batch_size=64, n_threads=n_threads, **arguments) as session:
            losses.add(tuple(session.epoch(problem.rows, 0.001) for _ in range(n_epochs)))
    assert len(losses) == 1


# ------------------------------------------------------------------------------------------------------------
# joblib


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_grid_search(backend):
    grid = {"alpha": [1e-4, 1e-1], "hidden_layer_sizes": [(20,), (300, 300)]}

    def search(n_jobs):
        return GridSearchCV(model(n_threads=None, max_iter=3), grid, n_jobs=n_jobs, cv=2).fit(X, Y)

    with joblib.parallel_backend(backend):
        parallel = search(2)
    serial = search(1)
    np.testing.assert_array_equal(
        parallel.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"]
    )
    assert bits(parallel.best_estimator_) == bits(serial.best_estimator_)


def in_worker():
    n_threads = threads.reserve_threads(None, engine.CHUNK_ROWS, 10**7)
    threads.release_threads()
    return n_threads, os.environ.get("OMP_NUM_THREADS")


@pytest.mark.parametrize("inner", [1, 3])
def test_a_worker_of_loky_takes_its_share(inner, monkeypatch):
    for name in ("NNFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=inner):
        answers = joblib.Parallel()(joblib.delayed(in_worker)() for _ in range(4))
    assert answers == [(inner, str(inner))] * 4


# ------------------------------------------------------------------------------------------------------------
# Ctrl-C

INTERRUPTED = """
import signal, sys, threading, time, warnings
import numpy as np
from nnfast import MLPClassifier
warnings.simplefilter("ignore")
rng = np.random.RandomState(0)
X = rng.normal(size=({n_samples}, 50))
y = (X[:, 0] > 0).astype(int)
model = MLPClassifier(max_iter=1, tol=0, n_iter_no_change=10**6, batch_size=200, random_state=0, {parameters})
model.fit(X[:200], y[:200]).set_params(max_iter=10**6)  # as of which it stays, where no epoch becomes whole
print("fitting", flush=True)
try:
    model.fit(X, y)
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert model.predict(X[:10]).shape == (10,)
if model.solver != "lbfgs":
    assert len(model.loss_curve_) == model.n_iter_
    model.partial_fit(X, y)
print("usable")
"""
FITS = {
    "short epochs": (500, "hidden_layer_sizes=(10,)"),
    "long epochs": (60_000, "hidden_layer_sizes=(300, 300), n_threads=2"),
    "lbfgs": (20_000, "hidden_layer_sizes=(300, 300), solver='lbfgs', max_fun=10**6"),
}


@pytest.mark.parametrize("fit", FITS)
def test_ctrl_c(fit):
    """Within 0.2 s on a quiet machine; a second here, where others may run."""
    n_samples, parameters = FITS[fit]
    code = INTERRUPTED.format(n_samples=n_samples, parameters=parameters)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "fitting\n", process.stderr.read()
            time.sleep(0.7)
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n", process.stderr.read()
            assert time.monotonic() - start < 1
            # Not communicate(), which would miss what readline() has buffered.
            assert process.stdout.read() == "usable\n", process.stderr.read()
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


def test_a_fit_in_a_thread_needs_the_gil_no_step(monkeypatch):
    # An epoch, of fewer steps than a window of scalars has, goes on while another thread holds the GIL, and
    # does not give it away.
    spans, inside, epoch = [], threading.Event(), engine.Session.epoch

    def noted(session, order, learning_rate):
        start = time.monotonic()
        inside.set()
        loss = epoch(session, order, learning_rate)
        spans.append((start, time.monotonic()))
        return loss

    def fit():
        MLPClassifier((900,), batch_size=1, max_iter=1, random_state=0, n_threads=1).fit(
            np.tile(X, (10, 1)), np.tile(Y, 10)
        )

    monkeypatch.setattr(engine.Session, "epoch", noted)
    fit()
    alone = spans[0][1] - spans[0][0]
    inside.clear()
    worker = threading.Thread(target=fit)
    worker.start()
    inside.wait()
    time.sleep(alone / 10)
    ctypes.PyDLL(None).usleep(round(3e6 * alone))
    held_until = time.monotonic()
    worker.join()
    assert spans[1][1] - held_until < alone / 2
