"""How many threads the engine takes."""

import os

import pytest
from digests import digest
from problems import Problem

from nnfast import threads


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
