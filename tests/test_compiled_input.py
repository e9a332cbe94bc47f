"""Predictions of few rows and compiled predictors, of input that is not as it should be.

The oracle for errors and warnings is scikit-learn's validate_data.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from compiled_fits import CLASSES, DTYPES, HIDDEN, N_FEATURES, X, answers, assert_same_bits, fitted
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from small import BOTH, QUIET

from nnfast import MLPClassifier
from nnfast.engines import cython as engine

pytestmark = [QUIET, pytest.mark.filterwarnings("ignore::nnfast.QuantileCrossingWarning")]


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
