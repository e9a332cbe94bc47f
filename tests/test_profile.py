"""Profiles: where a fit's time went adds up, the operations are those of the shapes, and a profile changes
nothing else.
"""

import json
import pickle
import time

import numpy as np
import pytest
from scipy.sparse import random as random_sparse
from small import QUIET, small, table

import nnfast.profile
from nnfast import DivergenceError, MLPClassifier, MLPRegressor
from nnfast.callbacks import Callback
from nnfast.engines import cython as engine
from nnfast.optimizers import OPTIMIZERS

pytestmark = QUIET

PHASES = [
    "gather",
    "forward",
    "loss",
    "backward",
    "gradient and update",
    "normalization",
    "limits",
    "evaluation",
    "bookkeeping",
    "waiting",
    "packing",
    "Python",
]
ALWAYS = {
    "gather",
    "forward",
    "loss",
    "backward",
    "gradient and update",
    "bookkeeping",
    "waiting",
    "packing",
    "Python",
}

# Parameters of a fit, and the phases that it has beside those that all have.
CASES = {
    **{solver: ({"solver": solver}, set()) for solver in (*OPTIMIZERS, "lbfgs")},
    "early stopping": ({"early_stopping": True}, {"evaluation"}),
    "batch normalization": ({"normalization": "batch"}, {"normalization"}),
    "layer normalization": ({"normalization": "layer"}, {"normalization"}),
    "lbfgs, layer normalization": ({"solver": "lbfgs", "normalization": "layer"}, {"normalization"}),
    "clip_norm": ({"clip_norm": 1e-3}, {"limits"}),
    "max_norm": ({"max_norm": 0.5}, {"limits"}),
    "dropout": ({"dropout": 0.3, "input_dropout": 0.1, "activation": "gelu"}, set()),
    "chunks": ({"batch_size": 700}, set()),
}


def problem(n_rows=800, n_features=9):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n_rows, n_features)), rng.integers(3, size=n_rows)


def model(**parameters):
    return MLPClassifier(
        **{"hidden_layer_sizes": (11, 7), "max_iter": 3, "random_state": 0, "profile": True} | parameters
    )


def products(rows, entries=None):
    """Multiplications and additions of 9-11-7-3 forward, by layer."""
    return [2 * (9 * rows if entries is None else entries) * 11, 2 * rows * 11 * 7, 2 * rows * 7 * 3]


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_the_phases_add_up(case, n_threads):
    parameters, own = CASES[case]
    start = time.perf_counter()
    profile = model(n_threads=n_threads, **parameters).fit(*problem()).profile_
    assert 0 < profile.seconds < time.perf_counter() - start
    assert [phase.name for phase in profile.phases] == PHASES
    assert {phase.name for phase in profile.phases if phase.seconds > 0} == ALWAYS | own
    assert all(phase.seconds >= 0 for phase in profile.phases + profile.layers)
    assert sum(phase.share for phase in profile.phases) == pytest.approx(1)
    assert sum(phase.seconds for phase in profile.phases) == pytest.approx(profile.seconds)
    for name in ("forward", "backward", "gradient and update", "normalization"):
        parts = [part for part in profile.layers if part.name.rpartition(" ")[0] == name]
        assert sum(part.seconds for part in parts) == pytest.approx(profile[name].seconds)
        assert sum(part.operations for part in parts) == profile[name].operations
    assert (profile.n_threads, profile.dtype) == (n_threads, "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "parameters", [{}, {"batch_size": 37}, {"normalization": "batch"}, {"early_stopping": True}]
)
def test_operations_of_shapes(parameters, dtype):
    X, y = problem()
    profile = model(**parameters).fit(X.astype(dtype), y).profile_
    held_out = 80 if "early_stopping" in parameters else 0
    trained, evaluated = products(3 * (800 - held_out)), products(3 * held_out)
    assert profile["forward"].operations == profile["gradient and update"].operations == sum(trained)
    assert profile["backward"].operations == sum(trained[1:])  # inputs need no gradient
    assert profile["evaluation"].operations == sum(evaluated)
    assert [profile[f"forward {layer}"].operations for layer in (1, 2, 3)] == trained
    assert [profile[f"backward {layer}"].operations for layer in (2, 3)] == trained[1:]
    assert profile.dtype == dtype
    for phase in profile.phases + profile.layers:
        if phase.operations:
            assert phase.gflops == pytest.approx(phase.operations / phase.seconds / 1e9)
            assert phase.percent_of_peak == pytest.approx(100 * phase.gflops / profile.peak_gflops)
        else:
            assert phase.gflops is phase.percent_of_peak is None


def test_operations_of_held_out_tables():
    X, y = problem()
    profile = model().fit(X, y, X_val=X[:50], y_val=y[:50]).profile_
    assert profile["evaluation"].operations == 3 * sum(products(50))


def test_operations_of_lbfgs():
    X, y = problem()
    calls = []
    for max_fun in (1, 6):
        profile = model(solver="lbfgs", max_fun=max_fun, max_iter=50).fit(X, y).profile_
        assert profile["forward"].operations == profile["gradient and update"].operations
        calls.append(profile["forward"].operations / sum(products(800)))
    assert 1 <= calls[0] < calls[1] and all(n == int(n) for n in calls)  # whole passes over the table


@pytest.mark.parametrize(("density", "goes_over_entries"), [(0.05, True), (0.5, False)])
def test_operations_of_sparse_tables(density, goes_over_entries):
    X = random_sparse(400, 9, density=density, format="csr", random_state=0)
    y = np.arange(400) % 3
    profile = model().fit(X, y).profile_
    first, *others = products(3 * 400, 3 * X.nnz if goes_over_entries else None)
    assert profile["forward"].operations == profile["gradient and update"].operations == first + sum(others)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"solver": "lbfgs"}, {"normalization": "layer", "clip_norm": 0.1, "early_stopping": True}],
)
def test_the_same_bits_with_a_profile_and_without(parameters):
    for n_threads in (1, 3):
        fits = [
            model(profile=profile, n_threads=n_threads, **parameters).fit(*problem())
            for profile in (True, False)
        ]
        assert all(np.array_equal(*coefs) for coefs in zip(*(fit.coefs_ for fit in fits), strict=True))
        assert fits[0].loss_ == fits[1].loss_
        assert hasattr(fits[0], "profile_") and not hasattr(fits[1], "profile_")


@pytest.mark.parametrize("parameters", [{}, {"warm_start": True}])
def test_a_profile_is_of_the_last_call(parameters):
    X, y = problem()
    estimator = model(**parameters).fit(X, y)
    assert estimator.profile_["forward"].operations == 3 * sum(products(800))
    estimator.partial_fit(X, y)
    assert estimator.profile_["forward"].operations == sum(products(800))
    estimator.set_params(profile=False).partial_fit(X, y)
    assert not hasattr(estimator, "profile_")
    estimator.set_params(profile=True).fit(X, y)
    assert not hasattr(estimator.set_params(profile=False).fit(X, y), "profile_")


def test_python_is_what_callbacks_take():
    class Sleep(Callback):
        def on_epoch_end(self, estimator, state):
            time.sleep(0.03)

    profile = model(callbacks=[Sleep()]).fit(*problem()).profile_
    assert profile["Python"].seconds >= 0.09


def test_a_thread_without_work_waits():
    # Of a network of no hidden layer over one row at a time, the only jobs are one of rows and two of
    # weights.
    profile = model(hidden_layer_sizes=(), n_threads=7, batch_size=1, max_iter=1).fit(*problem(50)).profile_
    working = sum(
        phase.seconds for phase in profile.phases if phase.name not in ("waiting", "packing", "Python")
    )
    # Seven threads' time, of which at most two work at once: 2 / 7 of it, and 5 / 7 at least wait.
    assert profile["waiting"].seconds >= 5 / 2 * working * 0.999


def test_the_table(capsys, monkeypatch):
    model().fit(*problem())
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("NNFAST_PROFILE", "1")
    estimator = model(profile=False).fit(*problem())
    printed = capsys.readouterr()
    assert printed.err == f"{estimator.profile_}\n" and printed.out == ""
    lines = printed.err.splitlines()
    assert [line.split("  ")[0] for line in lines[2:14]] == PHASES
    for line, phase in zip(lines[2:14], estimator.profile_.phases, strict=True):
        numbers = [float(number) for number in line[22:].split()]
        assert numbers[:2] == [round(phase.seconds, 4), round(100 * phase.share, 1)]
        assert len(numbers) == (4 if phase.operations else 2)
    for value in ("0", ""):
        monkeypatch.setenv("NNFAST_PROFILE", value)
        assert not hasattr(model(profile=False).fit(*problem()), "profile_")
    monkeypatch.setenv("NNFAST_PROFILE", "yes")
    with pytest.raises(ValueError, match="NNFAST_PROFILE must be 0 or 1, got 'yes'"):
        model().fit(*problem())


def test_it_is_plain():
    estimator = model().fit(*problem())
    profile = estimator.profile_
    assert pickle.loads(pickle.dumps(estimator)).profile_ == profile
    made = json.loads(json.dumps(profile.to_dict()))
    assert [phase["name"] for phase in made["phases"]] == PHASES
    assert made["phases"][1] == vars(profile["forward"])
    assert made["peak_gflops"] == profile.peak_gflops > 0
    with pytest.raises(KeyError, match="no phase 'forwards'; there are gather, forward"):
        profile["forwards"]


@pytest.mark.parametrize("n_cores", [1, 2, 100])
def test_the_peak_is_of_no_more_cores_than_there_are(n_cores, monkeypatch):
    asked = []
    monkeypatch.setattr(engine, "peak_gflops", lambda dtype, n: asked.append(n) or 10.0 * n)
    monkeypatch.setattr(nnfast.profile, "n_cores_available", lambda: n_cores)
    for n_threads in (1, 2, 5):
        profile = model(n_threads=n_threads).fit(*problem()).profile_
        cores = min(n_threads, n_cores)
        assert set(asked) == {cores} and profile.peak_gflops == 10 * cores
        for phase in profile.phases + profile.layers:
            if phase.operations:
                assert phase.percent_of_peak == pytest.approx(100 * phase.gflops / (10 * cores))
        asked.clear()


@pytest.mark.parametrize("prints", ["0", "1"])
def test_a_peak_that_cannot_be_measured(prints, monkeypatch, capsys):
    def peak_gflops(dtype, n_threads):
        raise OSError("no more threads")

    monkeypatch.setattr(engine, "peak_gflops", peak_gflops)
    monkeypatch.setenv("NNFAST_PROFILE", prints)
    X, y = problem()
    with pytest.warns(RuntimeWarning, match="peak of 1 cores: OSError.'no more threads'"):
        estimator = model(n_threads=1).fit(X, y)
    profile = estimator.profile_
    assert profile.peak_gflops is None and profile["forward"].gflops > 0
    assert all(phase.percent_of_peak is None for phase in profile.phases + profile.layers)
    assert "peak unknown\n" in str(profile)
    assert capsys.readouterr().err == (f"{profile}\n" if prints == "1" else "")

    class Fail(Callback):
        def on_epoch_end(self, estimator, state):
            raise KeyboardInterrupt("mine")

    # Here a warning is an error, yet not the one that is raised.
    for error, parameters in (
        (DivergenceError, {"learning_rate_init": 1e300, "solver": "sgd"}),
        (KeyboardInterrupt, {"callbacks": [Fail()]}),
    ):
        with pytest.raises(error) as caught:
            model(n_threads=1, **parameters).fit(X, y)
        assert "no more threads" in caught.value.__notes__[0]


def test_a_fit_that_fails():
    X, y = problem()
    estimator = model().fit(X, y)
    before = estimator.profile_
    with pytest.raises(ValueError):
        estimator.fit(X * np.nan, y)
    assert estimator.profile_ is before
    estimator = model(learning_rate_init=1e300, solver="sgd")
    with pytest.raises(DivergenceError):
        estimator.fit(X, y)
    assert not hasattr(estimator, "profile_")


@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_interrupted_fit_has_a_profile(n_threads):
    class Interrupt(Callback):
        def on_epoch_end(self, estimator, state):
            if state.epoch == 2:
                raise KeyboardInterrupt

    estimator = model(callbacks=[Interrupt()], n_threads=n_threads)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(*problem())
    assert estimator.profile_["forward"].operations == 2 * sum(products(800))


def test_regressors():
    X, y = table()
    assert small(MLPRegressor, profile=True).fit(X, y).profile_["loss"].seconds > 0
