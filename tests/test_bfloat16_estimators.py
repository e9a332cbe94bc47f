"""precision="bfloat16" of the estimators: what they compute, say, refuse and leave behind."""

import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
from nnfast.kernels import engine as compiled
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from small import BOTH, QUIET, frozen, small, table

from nnfast import MLPClassifier
from nnfast.engines import cython as engine

UNITS = engine.bfloat16_units()
needs_a_unit = pytest.mark.skipif(
    not UNITS, reason="needs a CPU with AVX512-BF16 or AMX, and NNFAST_ISA=avx512"
)


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def fitted(cls=MLPClassifier, X=None, y=None, **parameters):
    own_X, own_y = table(300, 12)
    X, y = own_X if X is None else X, own_y if y is None else y
    return small(
        cls, **{"hidden_layer_sizes": (40, 33), "batch_size": 50, "precision": "bfloat16"} | parameters
    ).fit(X, y)


def learned(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


@needs_a_unit
@QUIET
@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_fits_are_near_float32s_and_of_its_dtypes(cls, dtype):
    X, y = table(300, 12)
    X = (3 * X).astype(dtype)
    rounding, plain = (fitted(cls, X, y, precision=precision) for precision in ("bfloat16", "float32"))
    for ours, theirs in zip(learned(rounding), learned(plain), strict=True):
        assert ours.dtype == theirs.dtype and not np.array_equal(ours, theirs)
    predict = "predict_proba" if cls is MLPClassifier else "predict"
    assert getattr(rounding, predict)(X).dtype == getattr(plain, predict)(X).dtype
    np.testing.assert_allclose(rounding.loss_curve_, plain.loss_curve_, rtol=0.02)
    # Predictions are float32's of the same weights.
    expected = getattr(rounding, predict)(X)
    assert np.array_equal(getattr(rounding.set_params(precision="float32"), predict)(X), expected)


@needs_a_unit
@QUIET
@BOTH
def test_copies_and_further_training(cls):
    X, y = table(300, 12)
    model = fitted(cls)
    assert np.array_equal(pickle.loads(frozen(model)).predict(X), model.predict(X))
    again = clone(model).fit(X, y)
    assert all(np.array_equal(a, b) for a, b in zip(learned(again), learned(model), strict=True))
    for other in (
        again.partial_fit(X, y),
        clone(model).set_params(warm_start=True).fit(X, y).fit(X, y),
        fitted(cls, early_stopping=True),
    ):
        assert np.isfinite(other.loss_) and not any(
            np.array_equal(a, b) for a, b in zip(learned(other)[:2], learned(model)[:2], strict=True)
        )


@needs_a_unit
@QUIET
def test_a_grid_search_in_other_processes():
    X, y = table(300, 12)
    search = GridSearchCV(
        small(hidden_layer_sizes=(40, 33)),
        {"precision": ["float32", "bfloat16"], "alpha": [1e-4, 1.0]},
        cv=2,
        n_jobs=2,
    ).fit(X, y)
    single, rounding = (
        search.cv_results_["mean_test_score"][search.cv_results_["param_precision"] == p]
        for p in ("float32", "bfloat16")
    )
    np.testing.assert_allclose(rounding, single, atol=0.05)
    assert search.best_estimator_.predict(X).shape == y.shape


@BOTH
def test_lbfgs_is_refused(cls):
    with pytest.raises(ValueError, match="solver='lbfgs' computes in float64, got precision='bfloat16'"):
        fitted(cls, solver="lbfgs")


@BOTH
def test_without_a_unit_a_fit_says_what_it_needs(cls, monkeypatch):
    monkeypatch.setattr(engine, "bfloat16_units", tuple)
    model = small(cls, precision="bfloat16")
    before = frozen(model)
    with pytest.raises(
        ValueError,
        match="precision='bfloat16' needs a CPU with AVX512-BF16 or AMX.*precision='float32' runs everywhere",
    ):
        model.fit(*table())
    assert frozen(model) == before


@needs_a_unit
@QUIET
def test_without_a_unit_a_fitted_model_still_predicts(monkeypatch):
    X, _ = table(300, 12)
    model = fitted()
    expected = model.predict_proba(X)
    monkeypatch.setattr(engine, "bfloat16_units", tuple)
    assert np.array_equal(model.predict_proba(X), expected)


FIT = """
from sklearn.datasets import load_iris
from nnfast import MLPClassifier
MLPClassifier(precision="bfloat16", max_iter=2).fit(*load_iris(return_X_y=True))
"""


@pytest.mark.skipif("avx2" not in compiled.instruction_sets(), reason="needs AVX2")
def test_other_instruction_sets_have_no_unit():
    assert "in use is 'avx2', and no such unit" in python(FIT, NNFAST_ISA="avx2").stderr


@needs_a_unit
def test_the_environment_chooses_the_unit(monkeypatch):
    for unit in engine.bfloat16_units():
        monkeypatch.setenv("NNFAST_BFLOAT16", unit)
        assert engine.bfloat16_unit() == unit
    monkeypatch.setenv("NNFAST_BFLOAT16", "")
    assert engine.bfloat16_unit() == engine.bfloat16_units()[-1]
    error = python(FIT, NNFAST_BFLOAT16="nonsense").stderr
    assert (
        "NNFAST_BFLOAT16='nonsense' is not available on this machine; available are:"
        f" {', '.join(engine.bfloat16_units())}." in error
    )


INTERRUPTED = """
import signal, time
import numpy as np
from nnfast import MLPClassifier
# long epochs, so that handlers run during them
X = np.random.RandomState(0).normal(size=(60_000, 40)).astype(np.float32)
other = MLPClassifier((40,), precision="bfloat16", max_iter=1, n_threads=1)
count = 0
def handler(*_):
    global count
    count += 1
    other.fit(X[:100], X[:100, 0] > 0)  # uses the same registers, in the same thread, between two jobs
signal.signal(signal.SIGALRM, handler)
fits = []
for interval in (0, 0.01):
    signal.setitimer(signal.ITIMER_REAL, interval, interval)
    clf = MLPClassifier((200, 200), precision="bfloat16", max_iter=3, random_state=0, n_threads=1)
    fits.append(clf.fit(X, X[:, 0] > 0))
signal.setitimer(signal.ITIMER_REAL, 0)
assert count, count
assert all(np.array_equal(a, b) for a, b in zip(fits[0].coefs_, fits[1].coefs_))
print("same")
"""


@needs_a_unit
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_a_signals_handler_may_train_in_bfloat16_too(unit):
    answer = python(INTERRUPTED, NNFAST_BFLOAT16=unit)
    assert answer.stdout == "same\n", answer.stderr


@needs_a_unit
@QUIET
@BOTH
@pytest.mark.parametrize("options", [{}, {"n_threads": 3}, {"normalization": "batch"}, {"clip_norm": 0.1}])
def test_a_profile_counts_the_same_operations(cls, options):
    plain, profiled, float32s = (
        fitted(cls, **options | chosen)
        for chosen in ({}, {"profile": True}, {"profile": True, "precision": "float32"})
    )
    assert all(map(np.array_equal, learned(plain), learned(profiled)))
    profile = profiled.profile_
    assert profile.dtype == "float32"
    assert sum(phase.seconds for phase in profile.phases) == pytest.approx(profile.seconds)
    if not options.get("normalization"):  # which rounds what it leaves behind itself
        assert profile["backward 1"].seconds > 0  # dz is rounded for the gradient by the weights
    for ours, theirs in zip(profile.phases, float32s.profile_.phases, strict=True):
        assert ours.operations == theirs.operations


@needs_a_unit
@QUIET
@BOTH
def test_tables_in_files_and_compiled_predictors(cls, tmp_path):
    X, y = table(300, 12)
    np.save(tmp_path / "X.npy", X)
    from_memory, from_file = (
        fitted(cls, given, y, shuffle="blocks") for given in (X, np.load(tmp_path / "X.npy", mmap_mode="r"))
    )
    assert all(map(np.array_equal, learned(from_memory), learned(from_file)))
    predict = "predict_proba" if cls is MLPClassifier else "predict"
    for rows in (X[:1], X):
        assert np.array_equal(getattr(from_file.compiled(), predict)(rows), getattr(from_file, predict)(rows))
