"""Predictions of few rows and compiled predictors: the same bits as those of many rows, and the errors and
warnings of scikit-learn's validation.

The oracle for bits is the way of many rows, a Session, which tests/test_engine.py holds against NumPy; for
errors, scikit-learn's validate_data.
"""

import copy
import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError
from small import BOTH, QUIET

from nnfast import MLPClassifier, MLPRegressor
from nnfast.activations import ACTIVATIONS
from nnfast.compiled import CompiledClassifier
from nnfast.engines import cython as engine
from nnfast.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from nnfast.normalization import NORMALIZATIONS

pytestmark = [QUIET, pytest.mark.filterwarnings("ignore::nnfast.QuantileCrossingWarning")]

ISAS = engine.instruction_sets()
DTYPES = ["float32", "float64"]
ROWS = (1, 2, 4, 5, 33, 128, 129, 1000)  # one at a time, together, and in several parts
N_FEATURES, HIDDEN = 17, (33, 20)
RNG = np.random.RandomState(0)
X = RNG.normal(size=(ROWS[-1], N_FEATURES))
CLASSES = {
    "three classes": np.array(["a", "b", "c"])[RNG.randint(0, 3, len(X))],
    "two classes": RNG.randint(0, 2, len(X)),
    "one class": np.zeros(len(X), int),
    "several labels": RNG.randint(0, 2, (len(X), 6)),
    "forty classes": RNG.randint(0, 40, len(X)),
}
TARGETS = {"one target": np.abs(X[:, 0]) + 0.1, "several targets": np.abs(X[:, :5]) + 0.1}

FITS = {
    **{
        f"{loss}, {what}": (MLPClassifier, {"loss": loss}, y)
        for loss in CLASSIFIER_LOSSES
        for what, y in CLASSES.items()
    },
    **{
        f"{loss}, {what}": (MLPRegressor, {"loss": loss}, y)
        for loss in REGRESSOR_LOSSES
        for what, y in TARGETS.items()
    },
    "several quantiles": (
        MLPRegressor,
        {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]},
        TARGETS["one target"],
    ),
    **{
        f"{activation}, {normalization}": (
            MLPClassifier,
            {"activation": activation, "normalization": normalization},
            CLASSES["three classes"],
        )
        for activation in ACTIVATIONS
        for normalization in (None, *NORMALIZATIONS)
    },
    "no hidden layer": (MLPClassifier, {"hidden_layer_sizes": ()}, CLASSES["three classes"]),
    "no hidden layer, many classes": (MLPClassifier, {"hidden_layer_sizes": ()}, CLASSES["forty classes"]),
    "deep": (MLPRegressor, {"hidden_layer_sizes": (1, 300, 270, 3)}, TARGETS["several targets"]),
    "an activation a layer": (
        MLPRegressor,
        {"activation": [("leaky_relu", 0.3), "tanh"]},
        TARGETS["one target"],
    ),
    **{
        f"precision {dtype}": (MLPClassifier, {"precision": dtype}, CLASSES["three classes"])
        for dtype in DTYPES
    },
    **{
        f"two classes, precision {dtype}": (MLPClassifier, {"precision": dtype}, CLASSES["two classes"])
        for dtype in DTYPES
    },
    "lbfgs": (MLPRegressor, {"solver": "lbfgs", "batch_size": "auto"}, TARGETS["several targets"]),
}


def fitted(what="three classes", dtype="float64", **parameters):
    cls, own, y = FITS.get(what) or (MLPClassifier, {}, CLASSES[what])
    estimator = cls(
        **{"hidden_layer_sizes": HIDDEN, "max_iter": 1, "batch_size": 50, "random_state": 0}
        | own
        | parameters
    )
    return estimator.fit(X.astype(dtype)[:100], y[:100])


def answers(predictor):
    """The methods of an estimator or compiled predictor that give numbers, of an array of rows."""
    return predictor.predict_proba if hasattr(predictor, "classes_") else predictor.predict


def by_session(method, rows, monkeypatch):
    """What an estimator's method gives where no rows are few."""
    with monkeypatch.context() as patch:
        patch.setattr(engine, "predict_few", lambda *arguments: None)
        return method(rows)


def assert_same_bits(got, expected):
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert np.ascontiguousarray(got).tobytes() == np.ascontiguousarray(expected).tobytes()


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
    assert products > 1e8 and products < 3e8  # beyond FEW_PRODUCTS of predictor.pxi
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


# ------------------------------------------------------------------------------------------------------------
# Input that is not as it should be


def unaligned(rows):
    memory = np.zeros(rows.nbytes + 1, np.uint8)
    array = memory[1:].view(rows.dtype).reshape(rows.shape)
    array[...] = rows
    return array


ODD = {
    "NaN": lambda: np.where(np.arange(N_FEATURES) == 3, np.nan, X[:1]),
    "NaN among many": lambda: np.where(np.arange(X.size).reshape(X.shape) == 12345, np.nan, X),
    "infinite": lambda: np.where(np.arange(N_FEATURES) == N_FEATURES - 1, -np.inf, X[:1]),
    "infinite float32, strides": lambda: np.where(np.arange(N_FEATURES) == 0, np.inf, X[:4]).astype("f")[
        ::2, ::-1
    ],
    "NaN, every other column": lambda: np.repeat(
        np.where(np.arange(N_FEATURES) == 2, np.nan, X[:2]), 2, axis=1
    )[:, ::2],
    "finite, its sum not": lambda: np.full((1, N_FEATURES), 1e308),
    "one dimension": lambda: X[0],
    "three dimensions": lambda: X[np.newaxis],
    "no dimension": lambda: np.array(1.0),
    "no rows": lambda: X[:0],
    "no features": lambda: X[:, :0],
    "too few features": lambda: X[:1, 1:],
    "too many features": lambda: np.hstack([X, X]),
    "float16": lambda: X[:1].astype(np.float16),
    "long double": lambda: X[:1].astype(np.longdouble),
    "integers": lambda: X[:2].astype(int),
    "int8": lambda: X[:2].astype(np.int8),
    "booleans": lambda: X[:2] > 0,
    "complex": lambda: X[:1].astype(complex),
    "objects": lambda: X[:1].astype(object),
    "text": lambda: X[:1].astype(str),
    "words": lambda: np.full((1, N_FEATURES), "word"),
    "dates": lambda: np.zeros((1, N_FEATURES), "datetime64[s]"),
    "other byte order": lambda: X[:1].astype(X.dtype.newbyteorder()),
    "unaligned": lambda: unaligned(X[:2]),
    "list": lambda: X[:1].tolist(),
    "ragged list": lambda: [[1.0], [1.0, 2.0]],
    "frame": lambda: pd.DataFrame(X[:2]),
    "frame with names": lambda: pd.DataFrame(X[:2], columns=[f"x{i}" for i in range(N_FEATURES)]),
    "CSR": lambda: scipy.sparse.csr_array(X[:2]),
    "CSC": lambda: scipy.sparse.csc_array(X[:2]),
    "masked": lambda: np.ma.masked_array(X[:2], X[:2] > 0),
    "None": lambda: None,
    "number": lambda: 1.0,
    "string": lambda: "X",
}


def outcome(function, *arguments):
    """What a call gives: the array or the error, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            answer = function(*arguments)
        except Exception as error:
            answer = type(error), str(error)
    return answer, [(warning.category, str(warning.message)) for warning in caught]


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("assume_finite", [False, True])
@pytest.mark.parametrize("odd", [*ODD, "as it should be"])
def test_an_estimator_says_what_scikit_learns_validation_says(odd, assume_finite, names, monkeypatch):
    rows = ODD[odd]() if odd in ODD else X[:1]
    table = pd.DataFrame(X, columns=[f"x{i}" for i in range(N_FEATURES)]) if names else X
    for dtype in DTYPES:
        estimator = MLPClassifier(hidden_layer_sizes=HIDDEN, max_iter=1, random_state=0)
        estimator.fit(table.astype(dtype), CLASSES["three classes"])
        for method in (estimator.predict_proba, estimator.predict, estimator.predict_log_proba):
            with config_context(assume_finite=assume_finite):
                got = outcome(method, rows)
                with monkeypatch.context() as patch:
                    patch.setattr(engine, "are_finite_rows", lambda *_: False)
                    expected = outcome(method, rows)
            assert got[1] == expected[1]
            assert type(got[0]) is type(expected[0])
            if isinstance(got[0], tuple):
                assert got[0] == expected[0]
            else:
                np.testing.assert_array_equal(got[0], expected[0])
                assert got[0].dtype == expected[0].dtype


@BOTH
def test_an_unfitted_estimator_says_so(cls):
    for method in (
        "predict",
        "compiled",
        *(("predict_proba", "predict_log_proba") if cls is MLPClassifier else ()),
    ):
        arguments = () if method == "compiled" else (X[:1],)
        with pytest.raises(NotFittedError, match=f"This {cls.__name__} instance is not fitted yet"):
            getattr(cls(), method)(*arguments)


REFUSED = {
    "one dimension": (ValueError, r"X must have two dimensions.*got shape \(17,\).*reshape"),
    "three dimensions": (ValueError, "X must have two dimensions"),
    "no dimension": (ValueError, "X must have two dimensions"),
    "no features": (ValueError, "X must have 17 features.*got 0"),
    "too few features": (ValueError, "X must have 17 features.*got 16"),
    "too many features": (ValueError, "X must have 17 features.*got 34"),
    "other byte order": (TypeError, "X must be of dtype float32 or float64.*byte order, got [<>]f8"),
    "unaligned": (TypeError, "X must be.*got float64, not aligned"),
    **{
        odd: (TypeError, f"X must be of dtype float32 or float64.*got {dtype}")
        for odd, dtype in {
            "float16": "float16",
            "long double": "(float128|longdouble|float96)",
            "integers": "int64",
            "int8": "int8",
            "booleans": "bool",
            "complex": "complex128",
            "objects": "object",
            "text": "<U",
            "words": "<U",
            "dates": "datetime64",
        }.items()
    },
    **{
        odd: (TypeError, f"X must be a NumPy array of float32 or float64, got {name}")
        for odd, name in {
            "list": "list",
            "ragged list": "list",
            "frame": "DataFrame",
            "frame with names": "DataFrame",
            "CSR": "csr_array",
            "CSC": "csc_array",
            "None": "NoneType",
            "number": "float",
            "string": "str",
        }.items()
    },
}
ANSWERED = {
    "NaN",
    "NaN among many",
    "infinite",
    "infinite float32, strides",
    "NaN, every other column",
    "finite, its sum not",
    "no rows",
    "masked",
}


@pytest.mark.parametrize("odd", ODD)
def test_a_compiled_predictor_takes_arrays_of_floats_alone(odd):
    assert (odd in REFUSED) != (odd in ANSWERED)
    for compiled in (fitted().compiled(), fitted("several quantiles").compiled()):
        methods = [answers(compiled), compiled.predict]
        rows = ODD[odd]()
        for method in methods:
            if odd in REFUSED:
                with pytest.raises(REFUSED[odd][0], match=REFUSED[odd][1]):
                    method(rows)
            else:
                assert len(method(rows)) == len(rows)


def test_what_is_not_a_number_shows_in_its_row_alone():
    estimator = fitted("tanh, None")
    compiled, expected = estimator.compiled(), estimator.predict_proba(X)
    for n in (2, 1000):
        rows = X[:n].copy()
        rows[1, 3] = np.nan
        got = compiled.predict_proba(rows)
        assert np.isnan(got[1]).all()
        assert_same_bits(np.delete(got, 1, axis=0), np.delete(expected[:n], 1, axis=0))


WRONG_OUT = {
    "a list": (lambda out, rows: out.tolist(), TypeError, "out must be a NumPy array, got list"),
    "another dtype": (
        lambda out, rows: out.astype("f"),
        ValueError,
        r"out must be of dtype float64 and shape \(\d+, 3\), got float32",
    ),
    "too short": (lambda out, rows: out[1:], ValueError, "out must be of dtype float64 and shape"),
    "too wide": (
        lambda out, rows: np.hstack([out, out]),
        ValueError,
        "out must be of dtype float64 and shape",
    ),
    "flat": (lambda out, rows: out.ravel(), ValueError, "out must be of dtype float64 and shape"),
    "Fortran order": (lambda out, rows: np.asfortranarray(out), ValueError, "out must be C-contiguous"),
    "other byte order": (
        lambda out, rows: out.astype(out.dtype.newbyteorder()),
        ValueError,
        "native byte order",
    ),
    "read-only": (lambda out, rows: np.frombuffer(out.tobytes()).reshape(out.shape), ValueError, "writable"),
    "in X": (
        lambda out, rows: rows.ravel()[5 : 5 + out.size].reshape(out.shape),
        ValueError,
        "out must not share memory with X",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_OUT)
@pytest.mark.parametrize("n", [4, 1000])
def test_out_that_cannot_be_written_to(wrong, n):
    make, error, match = WRONG_OUT[wrong]
    compiled, rows = fitted().compiled(), X[:n].copy()
    out = make(np.zeros((n, 3)), rows)
    before = np.array(out)
    with pytest.raises(error, match=match):
        compiled.predict_proba(rows, out=out)
    np.testing.assert_array_equal(out, before)
    regressor = fitted("squared_error, one target").compiled()
    with pytest.raises(
        ValueError, match=rf"out must be of dtype float64 and shape \({n},\), got float64 and \({n}, 1\)"
    ):
        regressor.predict(rows, out=np.zeros((n, 1)))


def test_out_beside_x_in_one_array():
    memory = np.zeros((4, N_FEATURES + 3))
    rows, compiled = memory[::-1, :N_FEATURES][:3], fitted().compiled()
    rows[...] = X[:3]
    out = memory[:1].reshape(-1)[: 3 * 3].reshape(3, 3)  # the row of memory that `rows` leaves out
    assert_same_bits(compiled.predict_proba(rows, out=out), compiled.predict_proba(X[:3]))


@pytest.mark.parametrize("name", ["intercepts_", "norm_scales_", "norm_shifts_"])
def test_attributes_of_the_wrong_length(name):
    estimator = fitted("gelu, layer")
    setattr(estimator, name, getattr(estimator, name)[:-1])
    for predict in (
        estimator.predict,
        estimator.predict_proba,
        lambda rows: estimator.compiled().predict(rows),
    ):
        with pytest.raises(ValueError, match=f"{name} must have one array"):
            predict(X[:2])


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    ("given", "precision"), [("float64", "float32"), ("float32", "float64"), ("float64", "float64")]
)
@pytest.mark.parametrize("normalization", [None, "layer"])
def test_a_row_of_many_weights_has_the_bits_of_many_rows(given, precision, normalization):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 261)).astype(given)
    clf = MLPClassifier(
        (515, 37),
        activation="tanh",
        precision=precision,
        normalization=normalization,
        max_iter=1,
        random_state=0,
    )
    clf.fit(X, np.arange(300) % 11)
    expected = clf.predict_proba(X)
    for row in range(3):
        np.testing.assert_array_equal(clf.predict_proba(X[row : row + 1]), expected[row : row + 1])
