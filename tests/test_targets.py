"""What the estimators accept as y: numbers, class labels, matrices of 0 and 1; and what they say of
everything else.
"""

import datetime
import re

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier as TheirClassifier

from nnfast import MLPClassifier, MLPRegressor

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*iterations:sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:lbfgs failed:sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:A column-vector y:sklearn.exceptions.DataConversionWarning"),
]

N = 24
X = np.random.RandomState(0).standard_normal((N, 3))
DAYS = np.arange(N).astype("M8[D]").astype("M8[us]")
ZERO_ONE = (X > 0).astype(int)

REGRESSORS = {
    "adam": {"max_iter": 1, "tol": 1e9},
    "lbfgs": {"solver": "lbfgs", "max_iter": 200, "tol": 1e9},
    "float32": {"max_iter": 1, "tol": 1e9, "precision": "float32"},
}


def polars():
    return pytest.importorskip("polars")


# name: (y, the error, what it says)
NO_NUMBERS = {
    "dates": (lambda: DAYS, TypeError, "dates"),
    "durations": (lambda: DAYS - DAYS[0], TypeError, "durations"),
    "dates in nanoseconds": (lambda: DAYS.astype("M8[ns]"), TypeError, "dates"),
    "a column of dates": (lambda: DAYS.reshape(-1, 1), TypeError, "dates"),
    "two columns of dates": (lambda: np.column_stack([DAYS, DAYS]), TypeError, "dates"),
    "date objects": (
        lambda: np.array([datetime.date(2020, 1, 1)] * N, dtype=object),
        TypeError,
        "datetime.date",
    ),
    "datetime64 objects": (lambda: np.array([*DAYS], dtype=object), TypeError, "datetime64"),
    "timedelta64 objects": (lambda: np.array([*(DAYS - DAYS[0])], dtype=object), TypeError, "timedelta64"),
    "series of dates": (lambda: pd.Series(DAYS), TypeError, "dates"),
    "series with a time zone": (lambda: pd.Series(DAYS).dt.tz_localize("UTC"), TypeError, "Timestamp"),
    "frame of dates": (lambda: pd.DataFrame({"when": DAYS}), TypeError, "'when'"),
    "frame of numbers and dates": (
        lambda: pd.DataFrame({"much": X[:, 0], "when": DAYS}),
        TypeError,
        "'when'",
    ),
    "polars series of dates": (lambda: polars().Series(DAYS), TypeError, "dates"),
    "polars frame of numbers and dates": (
        lambda: polars().DataFrame({"much": X[:, 0], "when": DAYS}),
        TypeError,
        "'when'",
    ),
    "pyarrow array of dates": (lambda: pa.array(DAYS), TypeError, "dates"),
    "pyarrow table of numbers and dates": (
        lambda: pa.table({"much": X[:, 0], "when": DAYS}),
        TypeError,
        "'when'",
    ),
    "text": (lambda: np.array(["a", "b"] * (N // 2)), ValueError, "'a'"),
    "a list of text": (lambda: ["a", "b"] * (N // 2), ValueError, "'a'"),
    "text objects": (lambda: np.array([1.0, "b"] * (N // 2), dtype=object), ValueError, "'b'"),
    "bytes": (lambda: np.array([b"a", b"b"] * (N // 2)), ValueError, "b'a'"),
    "series of text": (lambda: pd.Series(["a", "b"] * (N // 2)), ValueError, "'a'"),
    "series of categories": (lambda: pd.Series(["a", "b"] * (N // 2), dtype="category"), ValueError, "'a'"),
    "polars series of text": (lambda: polars().Series(["a", "b"] * (N // 2)), ValueError, "'a'"),
    "pyarrow array of text": (lambda: pa.array(["a", "b"] * (N // 2)), ValueError, "'a'"),
    "frame of text": (lambda: pd.DataFrame({"name": ["a", "b"] * (N // 2)}), ValueError, "'a'"),
    "complex": (lambda: X[:, 0] * 1j, ValueError, "complex128"),
    "complex series": (lambda: pd.Series(X[:, 0] * 1j), ValueError, "complex128"),
    "records": (lambda: np.zeros(N, dtype=[("a", float)]), TypeError, "'a'"),
    "sparse": (lambda: scipy.sparse.csr_matrix(X[:, :2]), TypeError, "toarray"),
    "None among numbers": (lambda: [1.0, None] * (N // 2), ValueError, "nan"),
    "an integer beyond float64": (lambda: [1, 10**400] * (N // 2), ValueError, "1000"),
}


@pytest.mark.parametrize("solver", REGRESSORS)
@pytest.mark.parametrize("name", NO_NUMBERS)
def test_targets_that_are_no_numbers(name, solver):
    make, kind, words = NO_NUMBERS[name]
    y = make()
    regressor = MLPRegressor(hidden_layer_sizes=(2,), random_state=0, **REGRESSORS[solver])
    with pytest.raises(kind, match=rf"(?s)\by\b.*{words}"):
        regressor.fit(X, y)
    assert not hasattr(regressor, "coefs_")
    with pytest.raises(kind, match=rf"(?s)y_val.*{words}"):
        regressor.fit(X, X[:, 0], X_val=X, y_val=y)
    if solver != "lbfgs":
        with pytest.raises(kind, match=rf"(?s)\by\b.*{words}"):
            regressor.partial_fit(X, y)


NUMBERS = {
    "integers": np.arange(N) % 5,
    "booleans": X[:, 0] > 0,
    "big endian": X[:, 0].astype(">f8"),
    "float16": X[:, 0].astype(np.float16),
    "objects": X[:, 0].astype(object),
    "text of numbers in objects": np.array([str(value) for value in X[:, 0]], dtype=object),
    "nullable": pd.Series(X[:, 0], dtype="Float64"),
    "frame": pd.DataFrame(X[:, :2], columns=["a", "b"]),
    "pyarrow": pa.table({"a": X[:, 0], "b": X[:, 1]}),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_targets_that_are_numbers_train_as_their_floats(name):
    y = NUMBERS[name]
    floats = np.asarray(y).astype(np.float64)
    regressor = MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, tol=1e9, random_state=0)
    got, expected = (clone(regressor).fit(X, each) for each in (y, floats))
    np.testing.assert_array_equal(got.coefs_[0], expected.coefs_[0])


@pytest.mark.parametrize("value", [1e300, -1e39])
@pytest.mark.parametrize("parameters", [{"precision": "float32"}, {}])
def test_targets_that_float32_cannot_hold(value, parameters):
    table = X if parameters else X.astype(np.float32)  # "auto" is the table's
    y = np.where(np.arange(N) == 3, value, X[:, 0])
    regressor = MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, tol=1e9, **parameters)
    with pytest.raises(ValueError, match=r"y.*1e\+(300|39).*float32.*precision"):
        regressor.fit(table, y)
    with pytest.raises(ValueError, match=r"y_val.*1e\+(300|39).*float32"):
        regressor.fit(table, X[:, 0], X_val=table, y_val=y)
    MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", max_iter=2, tol=1e9).fit(
        X, np.where(y == value, 1e100, y)
    )


def test_targets_that_float32_makes_zero_are_outside_of_gammas_domain():
    y = np.full(N, 1e-100)
    with pytest.raises(ValueError, match=r"loss='gamma' needs y > 0.*1e-100 is 0.0 in float32.*precision"):
        MLPRegressor(loss="gamma", precision="float32").fit(X, y)


# ------------------------------------------------------------------------------------------------------------
# Labels

MATRICES = {
    "doubled": 2 * ZERO_ONE,
    "shifted": ZERO_ONE + 1,
    "signed": 2 * ZERO_ONE - 1,
    "as floats": 100.0 * ZERO_ONE,
    "fractions": ZERO_ONE / 2,
    "three values": ZERO_ONE + (X > 1),
    "sparse": scipy.sparse.csr_matrix(2 * ZERO_ONE),
    "text": ZERO_ONE.astype(str),
    "objects": (2 * ZERO_ONE).astype(object),
    "frame": pd.DataFrame(2 * ZERO_ONE),
}


@pytest.mark.parametrize("loss", ["log_loss", "focal"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("name", MATRICES)
def test_a_label_matrix_is_of_zero_and_one_or_refused(name, solver, loss):
    classifier = MLPClassifier((2,), solver=solver, loss=loss, max_iter=200, tol=1e9)
    with pytest.raises(ValueError, match=r"y of several columns must be a matrix of 0 and 1.*\(24, 3\)"):
        classifier.fit(X, MATRICES[name])
    with pytest.raises(ValueError, match="y_val of several columns must be a matrix of 0 and 1"):
        classifier.fit(X, ZERO_ONE, X_val=X, y_val=MATRICES[name])
    if solver == "adam":
        classifier.partial_fit(X, ZERO_ONE, classes=[0, 1, 2])
        with pytest.raises(ValueError, match="y of several columns must be a matrix of 0 and 1"):
            classifier.partial_fit(X, MATRICES[name])


@pytest.mark.parametrize(
    "y",
    [
        ZERO_ONE.astype(bool),
        ZERO_ONE.astype(float),
        ZERO_ONE.astype(np.uint8),
        ZERO_ONE.astype(">i4"),
        scipy.sparse.csr_matrix(ZERO_ONE),
        ZERO_ONE.tolist(),
        pd.DataFrame(ZERO_ONE),
    ],
    ids=["bool", "float", "uint8", "big endian", "sparse", "list", "frame"],
)
def test_label_matrices_of_zero_and_one_train_alike(y):
    got, expected = (
        MLPClassifier((3,), max_iter=3, tol=1e9, random_state=0).fit(X, each) for each in (y, ZERO_ONE)
    )
    np.testing.assert_array_equal(got.coefs_[0], expected.coefs_[0])


def test_all_labels_or_none_are_label_matrices():
    for y in (np.zeros((N, 2), int), np.ones((N, 2), int)):
        assert MLPClassifier((3,), max_iter=3, tol=1e9).fit(X, y).predict(X).shape == (N, 2)


BITS = (X[:, 0] > 0).astype(int)
DTYPES = [
    "?",
    "i1",
    "<i4",
    ">i2",
    ">i4",
    ">i8",
    "u1",
    ">u8",
    "f2",
    "<f4",
    ">f4",
    ">f8",
    "g",
    "<U3",
    ">U3",
    "O",
    "M8[D]",
    "m8[s]",
]
SERIES = {
    "str": pd.Series(np.array(["no", "yes"])[BITS]),
    "category": pd.Series(np.array(["no", "yes"])[BITS], dtype="category"),
    "Int64": pd.Series(BITS, dtype="Int64"),
    "boolean": pd.Series(BITS, dtype="boolean"),
    "object text": np.array(["no", "yes"], dtype=object)[BITS],
    "pyarrow text": pa.array(np.array(["no", "yes"])[BITS]),
    "list of text": np.array(["no", "yes"])[BITS].tolist(),
}
LABELS = {dtype: BITS.astype(dtype) for dtype in DTYPES if dtype != "O"} | SERIES
LABELS |= {f"three {dtype}": (np.arange(N) % 3).astype(dtype) for dtype in ("i1", ">i4", ">f8", "<U2", "u2")}


@pytest.mark.parametrize("name", LABELS)
def test_labels_have_scikit_learns_dtype(name):
    y = LABELS[name]
    ours, theirs = (
        cls((3,), max_iter=2, random_state=0).fit(X, y) for cls in (MLPClassifier, TheirClassifier)
    )
    in_parts = MLPClassifier((3,), random_state=0).partial_fit(X, y, classes=theirs.classes_)
    for classifier in (ours, in_parts):
        assert classifier.classes_.dtype == theirs.classes_.dtype
        np.testing.assert_array_equal(classifier.classes_, theirs.classes_)
        assert classifier.predict(X).dtype == theirs.predict(X).dtype
    assert ours.compiled().predict(X).dtype == theirs.predict(X).dtype
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


NO_LABELS = {
    "fractions": (X[:, 0], ValueError, "float64"),
    "mixed objects": (np.array([1, "a"] * (N // 2), dtype=object), (TypeError, ValueError), "str"),
    "None among labels": (np.array([1, None] * (N // 2), dtype=object), (TypeError, ValueError), "None"),
    "records": (np.zeros(N, dtype=[("a", float)]), TypeError, "'a'"),
    "Timestamps": (np.array([pd.Timestamp(0)] * N, dtype=object), ValueError, "Timestamp"),
    "complex": (X[:, 0] * 1j, ValueError, "complex128"),
}


@pytest.mark.parametrize("name", NO_LABELS)
def test_targets_that_are_no_labels(name):
    y, kind, words = NO_LABELS[name]
    for solver in ("adam", "lbfgs"):
        with pytest.raises(kind, match=rf"(?s)\by\b.*{words}") as caught:
            MLPClassifier((2,), solver=solver).fit(X, y)
        assert len(str(caught.value)) < 400
        with pytest.raises(kind, match=rf"(?s)y_val.*{words}"):
            MLPClassifier((2,), solver=solver).fit(X, BITS, X_val=X, y_val=y)
    if name != "complex":
        with pytest.raises(kind, match=rf"classes.*{words}"):
            MLPClassifier((2,)).partial_fit(X, BITS, classes=y)


def test_a_frame_of_labels_and_dates():
    with pytest.raises(TypeError, match=r"y must have columns.*'when' \(datetime64"):
        MLPClassifier().fit(X, pd.DataFrame({"a": BITS, "when": DAYS}))


DATES = {
    "series": lambda: pd.Series(DAYS),
    "series with a time zone": lambda: pd.Series(DAYS).dt.tz_localize("UTC"),
    "durations": lambda: pd.Series(DAYS - DAYS[0]),
    "array": lambda: DAYS,
    "dates of Python": lambda: DAYS.astype("M8[D]").tolist(),
    "polars": lambda: polars().Series(DAYS),
}


@pytest.mark.filterwarnings("ignore:no explicit representation of timezones:UserWarning")
@pytest.mark.parametrize("kind", DATES)
def test_the_remedy_for_targets_that_are_dates_works_as_it_stands(kind):
    y = DATES[kind]()
    with pytest.raises(TypeError) as caught:
        MLPRegressor().fit(X, y)
    remedy = re.search(r"Use (.*), which are days|\. (\(?np\.asarray.*\)) are days", str(caught.value))
    days = eval("".join(filter(None, remedy.groups())), {"y": y, "np": np})
    np.testing.assert_allclose(np.asarray(days, float), np.arange(N))
