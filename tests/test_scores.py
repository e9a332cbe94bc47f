"""Validation scores by compiled code: scikit-learn's metrics, to rounding, of outputs and in fits."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.metrics import get_scorer

from nnfast import MLPClassifier, MLPRegressor, engines, scores

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
ENGINE = engines.get_engine()
ROWS = (2, 7, 255, 256, 257, 5000)


@pytest.fixture(params=engines.ENGINES)
def engine(request):
    if request.param == "numba":
        pytest.importorskip("numba")
    return engines.get_engine(request.param)


def draw(n_rows, n_outputs, dtype, weighted, *, ties=False):
    """Probabilities, class numbers of which every one occurs, and weights of which some are 0."""
    rng = np.random.default_rng(n_rows + n_outputs)
    raw = rng.standard_normal((n_rows, n_outputs))
    raw = np.round(raw, 1) if ties else raw
    p = 1 / (1 + np.exp(-raw)) if n_outputs == 1 else np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    n_classes = max(2, n_outputs)
    y = np.r_[np.arange(n_classes), rng.integers(0, n_classes, n_rows)][:n_rows].astype(np.intp)
    weight = rng.random(n_rows) * (np.arange(n_rows) % 5 != 3) if weighted else None
    return p.astype(dtype), y, weight


def columns(p):
    return np.hstack([1 - p, p]) if p.shape[1] == 1 else p


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 2, 5])
@pytest.mark.parametrize("n_rows", [n for n in ROWS if n >= 7])
def test_metrics_of_classes(engine, n_rows, n_outputs, weighted, dtype):
    p, y, weight = draw(n_rows, n_outputs, dtype, weighted)
    predicted = (p[:, 0] > 0.5).astype(int) if n_outputs == 1 else p.argmax(axis=1)
    expected = metrics.accuracy_score(y, predicted, sample_weight=weight)
    if n_outputs == 1:
        assert engine.subset_accuracy(p, y[:, None] == 1, weight) == pytest.approx(expected, rel=1e-12)
    else:
        assert engine.accuracy(p, y, weight) == pytest.approx(expected, rel=1e-12)
    expected = metrics.log_loss(y, columns(p), sample_weight=weight)
    assert engine.log_loss(p, y, weight) == pytest.approx(expected, rel=1e-12 if dtype == "float64" else 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("n_rows", ROWS)
def test_roc_auc(engine, n_rows, n_outputs, ties, weighted, dtype):
    p, y, weight = draw(n_rows, n_outputs, dtype, weighted, ties=ties)
    areas = engine.roc_auc(p, y, weight)
    for column in range(n_outputs):
        positive = 1 if n_outputs == 1 else column
        if len(np.unique((y == positive)[slice(None) if weight is None else weight > 0])) == 2:
            expected = metrics.roc_auc_score(y == positive, p[:, column], sample_weight=weight)
            assert areas[column] == pytest.approx(expected, rel=1e-12)
        else:
            assert np.isnan(areas[column])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("n_rows", ROWS)
def test_metrics_of_numbers(engine, n_rows, n_outputs, weighted, dtype):
    rng = np.random.default_rng(n_rows)
    y = 1e3 + rng.standard_normal((n_rows, n_outputs))
    p = (y + rng.standard_normal(y.shape)).astype(dtype)
    weight = rng.random(n_rows) if weighted else None
    wide = p.astype(np.float64)
    expected = metrics.mean_squared_error(y, wide, sample_weight=weight, multioutput="raw_values")
    np.testing.assert_allclose(engine.squared_errors(p, y, weight), expected, rtol=1e-12)
    assert scores.r2(engine, y, weight)(p) == pytest.approx(
        metrics.r2_score(y, wide, sample_weight=weight), rel=1e-12, abs=1e-12
    )


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("accuracy", (np.zeros((3, 2)), np.array([0, 1, 2]))),
        ("accuracy", (np.zeros((3, 2)), np.array([0, 1]))),
        ("accuracy", (np.zeros((0, 2)), np.array([], dtype=np.intp))),
        ("accuracy", (np.zeros((3, 2))[:, ::-1], np.array([0, 1, 1]))),
        ("subset_accuracy", (np.zeros((3, 2)), np.zeros((3, 1), bool))),
        ("log_loss", (np.zeros((3, 1)), np.array([0, 1, -1]))),
        ("log_loss", (np.zeros((3, 2)), np.array([0, 1, 1]), np.ones(2))),
        ("roc_auc", (np.zeros((3, 1)), np.array([0, 1, 2]))),
        ("squared_errors", (np.zeros((3, 1)), np.zeros((3, 1), np.float32))),
    ],
)
def test_what_does_not_fit_is_refused(engine, function, arguments):
    with pytest.raises(ValueError, match="must"):
        getattr(engine, function)(*arguments)


BINARY, CLASSES, NUMBERS = (load(return_X_y=True) for load in (load_breast_cancer, load_iris, load_diabetes))
SEVERAL = NUMBERS[0], np.c_[NUMBERS[1], NUMBERS[1] ** 0.5]
SCORINGS = {
    "accuracy": (BINARY, CLASSES),
    "neg_log_loss": (BINARY, CLASSES),
    "roc_auc": (BINARY,),
    "roc_auc_ovr": (BINARY, CLASSES),
    "roc_auc_ovr_weighted": (BINARY, CLASSES),
    "r2": (NUMBERS, SEVERAL),
    "neg_mean_squared_error": (NUMBERS, SEVERAL),
    "neg_root_mean_squared_error": (NUMBERS, SEVERAL),
}
CASES = [(scoring, number) for scoring, tables in SCORINGS.items() for number in range(len(tables))]


def fitted(scoring, table, **more):
    X, y = table
    kind = MLPClassifier if y.ndim == 1 and y.dtype.kind in "iU" else MLPRegressor
    weight = 0.5 + np.random.default_rng(0).random(len(y))
    stopping = {"early_stopping": True, "validation_fraction": 0.3, "scoring": scoring}
    estimator = kind(
        hidden_layer_sizes=(9,), max_iter=5, learning_rate_init=0.01, random_state=1, **stopping, **more
    )
    return estimator.fit((X - X.mean(axis=0)) / X.std(axis=0), y, weight)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("scoring", "number"), CASES)
# to float64's rounding, float32's do not
@pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one")
def test_fits_are_scored_as_by_scikit_learns_scorer(monkeypatch, scoring, number, precision):
    table = SCORINGS[scoring][number]
    expected = fitted(get_scorer(scoring), table, precision=precision)  # an object: not compiled
    monkeypatch.setattr(scores, "scikit_learns", None)
    estimator = fitted(scoring, table, precision=precision)
    np.testing.assert_allclose(estimator.validation_scores_, expected.validation_scores_, rtol=1e-12)
    assert estimator.best_validation_score_ == max(estimator.validation_scores_)
    assert len(set(estimator.validation_scores_)) > 1


@pytest.mark.parametrize(
    ("scoring", "y"),
    [
        ("accuracy", np.zeros(40, int)),
        ("neg_log_loss", np.r_[np.arange(3), np.zeros(37, int)]),
        ("roc_auc_ovo", np.arange(40) % 3),
        ("f1_macro", np.arange(40) % 3),
        ("accuracy", np.c_[np.arange(40) % 2, np.arange(40) % 3 == 0].astype(int)),
    ],
)
def test_other_scores_are_scikit_learns(scoring, y):
    y, n_outputs = y[3:], 3 if y.max() > 1 else 1
    found = scores.compiled(
        scoring,
        ENGINE,
        MLPClassifier(),
        y,
        y if n_outputs > 1 else y.reshape(37, -1) * 1.0,
        n_outputs,
        np.float64,
    )
    assert found is None
