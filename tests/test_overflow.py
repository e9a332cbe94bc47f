"""Finite numbers that the arithmetic cannot hold: an error that names X, where there were NaN
without a word.
"""

import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn import config_context
from small import QUIET

import nnfast.blocks
import nnfast.mapped
from nnfast import MLPClassifier, MLPRegressor

pd = pytest.importorskip("pandas")
pytestmark = QUIET

N, FEATURES = 60, 4
X = np.random.RandomState(0).standard_normal((N, FEATURES))
Y = (X[:, 0] > 0).astype(int)


def spoiled(value, n=N):
    table = np.resize(X, (n, FEATURES))
    table[n // 2, 1] = value
    return table


def in_file(table, folder):
    np.save(folder / "table.npy", table)
    return np.load(folder / "table.npy", mmap_mode="r")


LAYOUTS = {
    "rows": lambda table, _: table,
    "columns": lambda table, _: np.asfortranarray(table),
    "every second number": lambda table, _: np.repeat(table, 2, axis=1)[:, ::2],
    "many rows": lambda table, _: np.concatenate([table] * 2000),
    "a list": lambda table, _: table.tolist(),
    "a frame": lambda table, _: pd.DataFrame(table),
    "sparse": lambda table, _: scipy.sparse.csr_matrix(table),
    "mapped": in_file,
    "mapped, in blocks": in_file,
}
METHODS = {
    MLPClassifier: ("predict", "predict_proba", "predict_log_proba", "hidden_activations"),
    MLPRegressor: ("predict", "hidden_activations"),
}
IN_FLOAT32 = r"X has -?1e\+39.*float32.*3.40282e\+38.*precision='float64'"


@pytest.fixture
def blocks(monkeypatch):
    monkeypatch.setattr(nnfast.blocks, "BLOCK_NUMBERS", 6 * (FEATURES + 2))
    monkeypatch.setattr(nnfast.mapped, "SMALL_BYTES", 0)


def network(cls, **parameters):
    return cls(
        **{"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, "precision": "float32"} | parameters
    )


@pytest.mark.parametrize("value", [1e39, -1e39])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cls", METHODS)
def test_rows_that_float32_cannot_hold(cls, layout, value, tmp_path, request):
    if layout == "mapped, in blocks":
        request.getfixturevalue("blocks")
    table = LAYOUTS[layout](spoiled(value), tmp_path)
    y = np.resize(Y, table.shape[0] if hasattr(table, "shape") else len(table))
    for activation in ("relu", "tanh"):
        fitted = network(cls, activation=activation).fit(X, Y)
        for method in METHODS[cls]:
            with pytest.raises(ValueError, match=IN_FLOAT32):
                getattr(fitted, method)(table)
        with pytest.raises(ValueError, match=IN_FLOAT32):
            fitted.score(table, y)
        if isinstance(table, np.ndarray):
            for predict in (fitted.predict, fitted.compiled().predict):
                with pytest.raises(ValueError, match=IN_FLOAT32) as caught:
                    predict(table)
                assert f"in row {N // 2}, column 1," in str(caught.value)
    calls = [
        network(cls).fit,
        network(cls).partial_fit if cls is MLPRegressor else network(cls, warm_start=True).fit,
    ]
    if layout.startswith("mapped"):
        calls.append(network(cls, shuffle="blocks").fit)
    for call in calls:
        with pytest.raises(ValueError, match=IN_FLOAT32):
            call(table, y)
    with pytest.raises(ValueError, match=IN_FLOAT32.replace("X has", "X(_val)?:? .*has")):
        network(cls).fit(X, Y, X_val=table, y_val=y)


@pytest.mark.parametrize("engine", ["cython", "numba"])
@pytest.mark.parametrize("n", [1, 2, 64, 65, 5000])
def test_any_number_of_rows(n, engine):
    fitted = network(MLPClassifier, engine=engine).fit(X, Y)
    table = spoiled(1e39, n)
    for predict in (fitted.predict_proba, fitted.compiled().predict_proba, fitted.compiled().predict):
        with pytest.raises(ValueError, match=IN_FLOAT32):
            predict(table)
    with pytest.raises(ValueError, match=rf"in row {n // 2}, column 1"):
        fitted.predict(table)


@pytest.mark.parametrize("engine", ["cython", "numba"])
@pytest.mark.parametrize("n", [1, 64, 5000])
@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_rows_that_overflow_within_the_network(precision, n, engine):
    """They are finite, but the products with the weights are not."""
    dtype = np.float32 if precision == "auto" else np.float64  # of X
    largest = np.finfo(np.float32).max
    for cls in METHODS:
        fitted = network(cls, precision=precision, engine=engine).fit(X.astype(dtype), Y)
        fitted.coefs_[0] *= 100
        table = spoiled(0.0, n).astype(dtype)
        table[n // 2, :2] = largest / 2, -largest / 2
        for method in METHODS[cls][-2:]:
            with pytest.raises(ValueError, match=rf"X: row {n // 2} overflows.*float32.*Scale X.*precision"):
                getattr(fitted, method)(table)
        with pytest.raises(ValueError, match=f"X: row {n // 2} overflows"):
            fitted.compiled().predict(table)
        if dtype == np.float64:
            with pytest.raises(ValueError, match=f"X: row {n // 2} overflows"):
                fitted.predict(scipy.sparse.csr_matrix(table))


def test_what_float32_holds_is_predicted():
    fitted = network(MLPClassifier, activation="tanh").fit(X, Y)
    for value in (np.finfo(np.float32).max, np.finfo(np.float32).min, 1e38, 1e-300):
        assert np.isfinite(fitted.predict_proba(spoiled(value))).all()
        assert np.isfinite(fitted.compiled().predict_proba(spoiled(value))).all()
    for precision, solver in (("auto", "adam"), ("float64", "adam"), ("float32", "lbfgs")):
        network(MLPRegressor, precision=precision, solver=solver, activation="tanh").fit(spoiled(1e39), Y)


def test_poisson_may_predict_infinity():
    fitted = network(MLPRegressor, loss="poisson", activation="identity", precision="float64").fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fitted.predict(X * 1e6).max() == np.inf


def test_assume_finite_spares_the_look():
    with config_context(assume_finite=True):
        network(MLPClassifier, activation="tanh").fit(X, Y).predict(
            pd.DataFrame(spoiled(1e39)).values.tolist()
        )


def test_compiled_predictors_still_let_nan_and_infinity_pass():
    predictor = network(MLPRegressor).fit(X, Y).compiled()
    for value in (np.nan, np.inf):
        for n in (3, 5000):
            predicted = predictor.predict(spoiled(value, n))
            assert not np.isfinite(predicted[n // 2]) and np.isfinite(predicted[0])


def test_long_doubles_beyond_float64():
    if np.finfo(np.longdouble).max <= np.finfo(np.float64).max:
        pytest.skip("long doubles are float64 here")
    table = X.astype(np.longdouble)
    table[3, 1] = np.longdouble(10) ** 400
    fitted = network(MLPClassifier, precision="auto").fit(X, Y)
    with pytest.raises(ValueError, match=r"X has 1e\+400 in row 3, column 1"):
        fitted.predict(table)
    with pytest.raises(ValueError, match="X contains infinity"), np.errstate(over="ignore"):
        network(MLPClassifier).fit(table, Y)


def test_integers_beyond_float64():
    table = X.astype(object)
    table[3, 1] = 10**400
    fitted = network(MLPClassifier, precision="auto").fit(X, Y)
    for call in (fitted.predict, lambda rows: network(MLPClassifier).fit(rows, Y)):
        with pytest.raises(ValueError, match=r"X must have.*infinite.*column 1"):
            call(table)
