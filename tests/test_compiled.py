"""Predictions of few rows and compiled predictors: the same bits as those of many rows.

The oracle for bits is the way of many rows, a Session, which tests/test_engine.py holds against NumPy.
"""

import copy
import pickle
import threading

import numpy as np
import pytest
import scipy.sparse
from compiled_fits import (
    CLASSES,
    DTYPES,
    FITS,
    HIDDEN,
    N_FEATURES,
    RNG,
    ROWS,
    TARGETS,
    X,
    answers,
    assert_same_bits,
    fitted,
)
from sklearn.utils._param_validation import InvalidParameterError
from small import BOTH, QUIET

from nnfast import MLPClassifier, MLPRegressor
from nnfast.compiled import CompiledClassifier
from nnfast.engines import cython as engine

pytestmark = [QUIET, pytest.mark.filterwarnings("ignore::nnfast.QuantileCrossingWarning")]

ISAS = engine.instruction_sets()


def by_session(method, rows, monkeypatch):
    """What an estimator's method gives where no rows are few."""
    with monkeypatch.context() as patch:
        patch.setattr(engine, "predict_few", lambda *arguments: None)
        return method(rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("what", FITS)
def test_same_bits_for_any_number_of_rows_and_compiled(what, dtype, monkeypatch):
    estimator = fitted(what, dtype)
    compiled = estimator.compiled()
    for given in DTYPES:
        rows = X.astype(given)
        expected = by_session(answers(estimator), rows, monkeypatch)
        labels = by_session(estimator.predict, rows, monkeypatch)
        for n in ROWS:
            assert_same_bits(answers(estimator)(rows[:n]), expected[:n])
            assert_same_bits(answers(compiled)(rows[:n]), expected[:n])
            out = np.full_like(expected[:n], 7, order="C")
            assert answers(compiled)(rows[:n], out=out) is out
            assert_same_bits(out, expected[:n])
            np.testing.assert_array_equal(estimator.predict(rows[:n]), labels[:n])
            np.testing.assert_array_equal(compiled.predict(rows[:n]), labels[:n])


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_of_so_many_rows_that_a_session_takes_them(dtype, monkeypatch):
    estimator = fitted("deep", dtype)
    many = np.tile(X, (2, 1))
    products = 2000 * sum(coef.size for coef in estimator.coefs_)
    assert products > 1e8 and products < 3e8  # beyond FEW_PRODUCTS of row_network.pxi
    expected = by_session(estimator.predict, many, monkeypatch)
    assert_same_bits(estimator.predict(many), expected)
    assert_same_bits(estimator.compiled().predict(many), expected)
    assert_same_bits(estimator.predict(X), expected[:1000])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", [(1,), (70000,)])
def test_same_bits_of_wide_tables_and_layers(hidden, dtype, monkeypatch):
    rows = np.random.RandomState(0).normal(size=(60, 6000 if hidden == (1,) else 3)).astype(dtype)
    estimator = MLPRegressor(hidden_layer_sizes=hidden, max_iter=1, random_state=0).fit(rows[:5], rows[:5, 0])
    expected = by_session(estimator.predict, rows, monkeypatch)
    assert_same_bits(estimator.predict(rows), expected)
    assert_same_bits(estimator.compiled().predict(rows), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("what", ["three classes", "two classes", "gelu, layer", "softplus, batch", "deep"])
def test_same_bits_with_every_instruction_set(what, dtype, monkeypatch):
    estimator, few, many = fitted(what, dtype), {}, {}
    for isa in ISAS:
        monkeypatch.setattr(engine, "_isa", isa)
        compiled = estimator.compiled()
        rows = X.astype(dtype)[:40]
        many[isa] = by_session(answers(estimator), rows, monkeypatch)
        few[isa] = np.concatenate([answers(compiled)(row) for row in rows[:, np.newaxis]])
        assert_same_bits(few[isa], many[isa])
        for n in (3, 40):
            assert_same_bits(answers(estimator)(rows[:n]), many[isa][:n])
    if {"avx2", "avx512"} <= set(ISAS):
        assert_same_bits(few["avx2"], few["avx512"])


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "backwards": lambda rows: np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1],
    "every other column": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
    "every other row": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "transposed rows apart": lambda rows: np.repeat(rows.T, 2, axis=0)[::2].T,
    "one row many times": lambda rows: np.broadcast_to(rows[:1], rows.shape),
    "read-only": lambda rows: np.frombuffer(rows.tobytes(), rows.dtype).reshape(rows.shape),
    "subclass": lambda rows: rows.view(np.recarray),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides(layout):
    estimator = fitted()
    for n in (1, 5, 1000):
        rows = LAYOUTS[layout](X[:n])
        expected = estimator.predict_proba(np.array(rows, order="C"))
        assert_same_bits(estimator.predict_proba(rows), expected)
        assert_same_bits(estimator.compiled().predict_proba(rows), expected)


# ------------------------------------------------------------------------------------------------------------
# What reaches whom


@BOTH
def test_what_happens_to_the_estimator_does_not_reach_a_compiled_predictor(cls):
    y = CLASSES["three classes"] if cls is MLPClassifier else TARGETS["several targets"]
    estimator = cls(hidden_layer_sizes=HIDDEN, max_iter=1, random_state=0).fit(X, y)
    compiled = estimator.compiled()
    before = [answers(compiled)(X[:n]).copy() for n in ROWS]
    for array in (*estimator.coefs_, *estimator.intercepts_):
        array[...] = 0
    assert not np.array_equal(answers(estimator)(X[:1]), before[0])
    estimator.set_params(hidden_layer_sizes=(3,), activation="tanh").fit(X[:, :2], y)
    for n, expected in zip(ROWS, before, strict=True):
        assert_same_bits(answers(compiled)(X[:n]), expected)


def test_a_compiled_predictor_cannot_be_changed():
    estimator = fitted()
    compiled = estimator.compiled()
    for name in ("classes_", "n_features_in_", "n_outputs_", "_state", "new"):
        with pytest.raises(AttributeError, match=f"cannot be changed: {name}"):
            setattr(compiled, name, 1)
        with pytest.raises(AttributeError):
            delattr(compiled, name)
    with pytest.raises(ValueError, match="read-only"):
        compiled.classes_[0] = "z"
    with pytest.raises(ValueError, match="WRITEABLE"):
        compiled.classes_.setflags(write=True)
    estimator.classes_[0] = "z"
    assert compiled.classes_[0] == "a" and set(compiled.predict(X)) <= {"a", "b", "c"}


@pytest.mark.parametrize(
    "what",
    [
        "three classes",
        "two classes",
        "gelu, layer",
        "precision float32",
        "relu, batch",
        "squared_error, one target",
    ],
)
def test_an_estimators_predictions_follow_its_parameters(what):
    estimator = fitted(what)
    methods = [
        estimator.predict,
        *([estimator.predict_proba, estimator.predict_log_proba] if hasattr(estimator, "classes_") else []),
    ]

    def look(few):
        rows = X[:1] if few else X
        return [method(rows)[:1] for method in methods]

    def change_in_place():
        for name, arrays in vars(estimator).items():
            if name in ("coefs_", "intercepts_", "norm_scales_", "norm_shifts_", "running_means_"):
                for array in arrays:
                    array += 0.1 * np.arange(array.size).reshape(array.shape) / array.size
            if name == "running_variances_":
                arrays[0] *= 2

    def replace_one():
        estimator.coefs_[0] = np.asfortranarray(estimator.coefs_[0] * 3)

    def replace_all():
        estimator.intercepts_ = [intercept + np.arange(len(intercept)) for intercept in estimator.intercepts_]

    def go_on():
        estimator.partial_fit(X, FITS[what][2] if what in FITS else CLASSES[what])

    for change in (change_in_place, replace_one, replace_all, go_on):
        before = look(True)
        change()
        assert any(not np.array_equal(a, b) for a, b in zip(before, look(True), strict=True)), change.__name__
        for a, b in zip(look(True), look(False), strict=True):
            if a.dtype.kind == "f":
                assert_same_bits(a, b)
            np.testing.assert_array_equal(a, b)


def test_parameters_that_do_not_fit_together_are_an_error():
    for change in (
        lambda e: e.coefs_.__setitem__(1, e.coefs_[1][1:]),
        lambda e: e.intercepts_.__setitem__(0, e.intercepts_[0][1:]),
        lambda e: e.coefs_.__setitem__(0, e.coefs_[0][1:]),
        lambda e: e.intercepts_.__setitem__(1, np.zeros((1, 20))),
    ):
        estimator = fitted()
        change(estimator)
        with pytest.raises(ValueError):
            estimator.predict_proba(X[:1])
    estimator = fitted("relu, layer")
    estimator.norm_scales_[1] = np.ones(3)
    with pytest.raises(ValueError):
        estimator.compiled()


def test_predictions_leave_nothing_on_the_estimator():
    estimator = fitted()
    before = pickle.dumps(estimator)
    estimator.predict_proba(X[:1])
    estimator.compiled().predict_proba(X[:1])
    assert pickle.dumps(estimator) == before


@pytest.mark.parametrize(
    "what",
    [
        "three classes",
        "several labels",
        "several quantiles",
        "gelu, layer",
        "softplus, batch",
        "precision float32",
    ],
)
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda compiled: pickle.loads(pickle.dumps(compiled))]
)
def test_copies_and_pickles(what, again):
    compiled = fitted(what).compiled()
    state = dict(compiled._state)
    other = again(compiled)
    assert all(compiled._state[name] is value for name, value in state.items())
    assert repr(other) == repr(compiled)
    assert (other.n_features_in_, other.n_outputs_) == (
        compiled.n_features_in_,
        compiled.n_outputs_,
    ) and compiled.n_features_in_ == N_FEATURES
    for n in (1, 1000):
        np.testing.assert_array_equal(other.predict(X[:n]), compiled.predict(X[:n]))
        assert_same_bits(answers(other)(X[:n]), answers(compiled)(X[:n]))
    if isinstance(compiled, CompiledClassifier):
        np.testing.assert_array_equal(other.classes_, compiled.classes_)


@pytest.mark.parametrize(
    "parameters", [{"precision": "bogus"}, {"n_threads": -3}, {"norm_eps": 0}, {"engine": "none"}]
)
@BOTH
def test_parameters_set_since_the_fit_are_checked(cls, parameters):
    estimator = (
        cls(hidden_layer_sizes=HIDDEN, max_iter=1)
        .fit(X[:50], CLASSES["two classes"][:50])
        .set_params(**parameters)
    )
    ((name, value),) = parameters.items()
    with pytest.raises(
        InvalidParameterError, match=rf"'{name}' parameter of {cls.__name__} must be.*Got {value!r}"
    ):
        estimator.compiled()


def test_labels_learned_from_a_sparse_table_stay_sparse():
    y = scipy.sparse.csr_array(CLASSES["several labels"])
    estimator = MLPClassifier(hidden_layer_sizes=HIDDEN, max_iter=1, random_state=0).fit(X, y)
    expected, got = estimator.predict(X[:3]), estimator.compiled().predict(X[:3])
    assert scipy.sparse.issparse(expected) == scipy.sparse.issparse(got)
    assert (expected != got).sum() == 0


def test_threads_share_a_compiled_predictor():
    for what, n in (("three classes", 1), ("two classes", 3), ("gelu, layer", 200), ("deep", 1000)):
        estimator = fitted(what)
        compiled, tables = estimator.compiled(), [RNG.normal(size=(n, N_FEATURES)) for _ in range(4)]
        expected, wrong = [answers(estimator)(table) for table in tables], []

        def work(number, compiled=compiled, tables=tables, expected=expected, wrong=wrong, n=n):
            out = np.empty_like(expected[number], order="C")
            for _ in range(20 if n > 100 else 300):
                answers(compiled)(tables[number], out=out)
                if not np.array_equal(out, expected[number]) or not np.array_equal(
                    answers(compiled)(tables[number]), expected[number]
                ):
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
