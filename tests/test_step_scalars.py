"""The scalars of every step: one table for both engines, whatever the windows that it is made in."""

import math

import numpy as np
import pytest
from problems import Problem, same

from nnfast.engines import cython, session
from nnfast.optimizers import OPTIMIZERS, SCALARS, Adam, NAdam
from nnfast.parameter_groups import group_parameters
from nnfast.step_scalars import StepScalars

try:
    from nnfast.engines import numba
except ImportError:
    numba = None
ENGINES = [cython, *([numba] if numba else [])]
BOTH = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__.rsplit(".", 1)[-1])
EACH = pytest.mark.parametrize("optimizer", [record() for record in OPTIMIZERS.values()], ids=OPTIMIZERS)


def opened(engine, problem, monkeypatch, **arguments):
    monkeypatch.setattr("problems.engine", engine)
    return problem.session(**{"batch_size": 8, "n_threads": 1} | arguments)


@BOTH
def test_powers_are_those_of_the_c_library(engine):
    exponents = np.arange(1.0, 5000.0)
    for base in (0.9, 0.999, 0.96, 1e-300, 0.0):
        powers = engine.Session._power(base, exponents)
        assert powers.tolist() == [math.pow(base, exponent) for exponent in exponents]


@EACH
def test_a_table_has_what_the_record_says_of_each_step(optimizer):
    groups, _ = group_parameters(optimizer, ["layers.0.weight", "layers.0.bias"])
    steps, rates = np.arange(7.0, 31.0), np.linspace(0.1, 0.01, 24)[:, np.newaxis]
    table = StepScalars(groups, np.power, 1e-300).table(rates, steps)
    for step, [rate], (weights, vectors) in zip(steps, rates, table, strict=True):
        own = dict(zip(optimizer.scalar_names(), optimizer.rates(rate, int(step)), strict=True))
        own |= {"learning_rate": rate, "shrink": optimizer.shrink(rate)}
        for name, value in own.items():
            assert weights[SCALARS.index(name)] == pytest.approx(value, rel=1e-13), name
            expected = 1 if name == "shrink" else value
            assert vectors[SCALARS.index(name)] == pytest.approx(expected, rel=1e-13), name


@EACH
def test_windows_do_not_show_in_a_table(optimizer):
    groups, _ = group_parameters(optimizer, ["layers.0.weight", "layers.0.bias"])
    steps, rates = np.arange(5.0, 6005.0), np.full((6000, 1), 0.01)
    whole = StepScalars(groups, cython.Session._power, 1e-300).table(rates, steps)
    parts = StepScalars(groups, cython.Session._power, 1e-300)
    parts = [parts.table(rates[i : i + 700], steps[i : i + 700]).copy() for i in range(0, 6000, 700)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_momenta_multiply_one_by_one():
    product = 1.0
    for t in range(1, 9001):
        product *= 0.9 * (1 - 0.5 * math.pow(0.96, t * 0.004))
        if t in (1, 2, 100, 4096, 4097):
            assert NAdam().accumulate(t, cython.Session._power) == (t, product)
    assert NAdam().accumulate(9000.0)[1] < 1e-300


@BOTH
@EACH
def test_windows_do_not_show_in_a_run(engine, optimizer, monkeypatch):
    problem, found = Problem(), []
    for window in (4096, 3):
        monkeypatch.setattr(session, "WINDOW", window)
        with opened(engine, problem, monkeypatch, optimizer=optimizer) as run:
            losses = [run.epoch(problem.rows, np.linspace(0.01, 0.002, 7)) for _ in range(2)]
            assert run.whole_epochs and run.t == 14
            found.append((losses, problem.stored(run)))
    assert found[0][0] == found[1][0] and same(found[0][1], found[1][1])


def test_windows_do_not_show_in_several_epochs(monkeypatch):
    problem, found = Problem(), []
    orders = np.array([np.random.default_rng(i).permutation(problem.rows) for i in range(4)])
    for window in (4096, 3, 7):
        monkeypatch.setattr(session, "WINDOW", window)
        with opened(cython, problem, monkeypatch, optimizer=NAdam()) as run:
            losses = run.epochs(orders, np.linspace(0.01, 0.002, 28).reshape(4, 7))
            assert run.whole_epochs
            found.append((losses.tolist(), problem.stored(run)))
    with opened(cython, problem, monkeypatch, optimizer=NAdam()) as run:
        rates = np.linspace(0.01, 0.002, 28).reshape(4, 7)
        losses = [run.epoch(order, rate) for order, rate in zip(orders, rates, strict=True)]
        found.append((losses, problem.stored(run)))
    for losses, arrays in found[1:]:
        assert losses == found[0][0] and same(arrays, found[0][1])


@BOTH
def test_parameters_are_of_no_whole_epoch_after_an_interrupt_between_windows(engine, monkeypatch):
    monkeypatch.setattr(session, "WINDOW", 3)
    problem = Problem()
    with opened(engine, problem, monkeypatch) as run:
        run.epoch(problem.rows, 0.01)
        made = []

        def table(rates, t, made=made, make=run._scalars.table):
            made.append(t)
            if len(made) == 2:
                raise KeyboardInterrupt
            return make(rates, t)

        monkeypatch.setattr(run._scalars, "table", table)
        with pytest.raises(KeyboardInterrupt):
            run.epoch(problem.rows, 0.01)
        assert not run.whole_epochs and run.t == 7 + 3


@BOTH
@pytest.mark.parametrize("optimizer", [Adam(), NAdam()], ids=["adam", "nadam"])
@pytest.mark.parametrize("window", [4096, 2])
def test_a_batch_without_weight_is_no_step(engine, optimizer, window, monkeypatch):
    monkeypatch.setattr(session, "WINDOW", window)
    problem = Problem(n_samples=48, weighted=True)
    problem.weight[8:16] = problem.weight[40:48] = 0
    found = []
    for rows in (problem.rows, np.delete(problem.rows, np.r_[8:16, 40:48])):
        with opened(engine, problem, monkeypatch, optimizer=optimizer) as run:
            for _ in range(2):
                run.epoch(rows, 0.01)
            assert run.t == 8
            found.append(problem.stored(run))
    assert same(*found)
