"""Rows given to `fit` to validate on: what is accepted, and that they are the rows that are measured."""

import pickle
import types

import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import BOTH, QUIET, small, table

from nnfast import MLPClassifier, MLPRegressor

pytestmark = QUIET

WEIGHT = np.linspace(0.1, 2, 10)


def as_table(X, y):
    return {"X_val": X[30:], "y_val": y[30:]}


# What holds out the last ten of forty rows.
HELD_OUT = {
    "table": as_table,
    "list": lambda X, y: {"X_val": X[30:].tolist(), "y_val": y[30:].tolist()},
    "float32": lambda X, y: {"X_val": X[30:].astype(np.float32), "y_val": y[30:]},
    "csr": lambda X, y: {"X_val": scipy.sparse.csr_array(X[30:]), "y_val": y[30:]},
    "fortran": lambda X, y: {"X_val": np.asfortranarray(X[30:]), "y_val": y[30:, np.newaxis].ravel()},
    "indices": lambda X, y: {"validation_indices": list(range(30, 40))},
    "negative": lambda X, y: {"validation_indices": np.arange(-10, 0)},
    "mask": lambda X, y: {"validation_indices": np.arange(40) >= 30},
    "uint8": lambda X, y: {"validation_indices": np.arange(30, 40, dtype=np.uint8)},
}


@pytest.mark.parametrize("kind", HELD_OUT)
@BOTH
def test_kinds_of_held_out_rows(cls, kind):
    X, y = table()
    held_out = HELD_OUT[kind](X, y)
    estimator = small(cls, alpha=0.0)
    if "X_val" in held_out:
        estimator.fit(X[:30], y[:30], **held_out)
    else:
        estimator.fit(X, y, **held_out)
    alone = small(cls, alpha=0.0).fit(X[:30], y[:30])
    rtol = 1e-5 if kind == "float32" else 1e-9
    if "X_val" in held_out:  # the same rows in the same order, so the same run
        np.testing.assert_allclose(estimator.loss_curve_, alone.loss_curve_, rtol=1e-12)
    assert estimator.t_ == alone.t_ == 30 * 5
    expected = (
        log_loss(y[30:], estimator.predict_proba(X[30:]))
        if cls is MLPClassifier
        else (mean_squared_error(y[30:], estimator.predict(X[30:])) / 2)
    )
    assert estimator.validation_loss_curve_[-1] == pytest.approx(expected, rel=rtol)
    assert estimator.validation_scores_[-1] == pytest.approx(estimator.score(X[30:], y[30:]), rel=rtol)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_numbers_that_are_smaller_than_the_table(dtype):
    X, y = table(600)
    numbers = np.arange(-50, 50) if dtype is np.int8 else np.arange(150, 250)
    narrow, wide = (small().fit(X, y, validation_indices=numbers.astype(each)) for each in (dtype, np.int64))
    assert narrow.validation_loss_curve_ == wide.validation_loss_curve_


def test_weights_of_held_out_rows():
    X, y = table()
    weighted = small().fit(X[:30], y[:30], **as_table(X, y), sample_weight_val=WEIGHT)
    expected = weighted.score(X[30:], y[30:], WEIGHT)
    assert weighted.validation_scores_[-1] == pytest.approx(expected)
    by_number = small().fit(X, y, np.r_[np.ones(30), WEIGHT], validation_indices=range(30, 40))
    assert by_number.validation_scores_[-1] == pytest.approx(by_number.score(X[30:], y[30:], WEIGHT))


@pytest.mark.parametrize(
    "held_out, words",
    [
        (
            lambda X, y: as_table(X, y) | {"validation_indices": [1]},
            "X_val and y_val, or validation_indices, not both",
        ),
        (lambda X, y: {"X_val": X}, "X_val without y_val"),
        (lambda X, y: {"y_val": y}, "y_val without X_val"),
        (lambda X, y: {"sample_weight_val": y}, "sample_weight_val without X_val"),
        (lambda X, y: {"sample_weight_val": y, "validation_indices": [1]}, "sample_weight_val without X_val"),
        (lambda X, y: {"X_val": X[:, :3], "y_val": y}, "X_val, y_val: X has 3 features.*4"),
        (lambda X, y: {"X_val": X, "y_val": y[:3]}, "X_val, y_val: .*40, 3"),
        (lambda X, y: {"X_val": X * np.nan, "y_val": y}, "X_val, y_val: .*NaN"),
        (lambda X, y: as_table(X, y) | {"sample_weight_val": y[:3]}, "sample_weight_val: "),
        (
            lambda X, y: as_table(X, y) | {"sample_weight_val": np.zeros(10)},
            "sample_weight_val.*(positive|non-zero)",
        ),
        (lambda X, y: {"validation_indices": [40]}, "validation_indices.*below 40, got 40"),
        (lambda X, y: {"validation_indices": [-41]}, "validation_indices.*got -41"),
        (lambda X, y: {"validation_indices": [3, 4, -37]}, "validation_indices.*row 3 several times"),
        (lambda X, y: {"validation_indices": range(40)}, "validation_indices.*got 40 of 40"),
        (lambda X, y: {"validation_indices": np.zeros(40, bool)}, "validation_indices.*got 0 of 40"),
        (lambda X, y: {"validation_indices": np.ones(39, bool)}, "mask.*n_samples=40.*39"),
        (lambda X, y: {"validation_indices": []}, "validation_indices.*at least one row.*got 0 of 40"),
        (
            lambda X, y: {"validation_indices": next(KFold(4).split(X))},
            "validation_indices.*pair.*pass the second",
        ),
        (
            lambda X, y: {"validation_indices": next(KFold(2).split(X))},
            "validation_indices.*pair.*pass the second",
        ),
        (lambda X, y: {"validation_indices": [[1, 2], [3]]}, "validation_indices: .*inhomogeneous"),
        (
            lambda X, y: {"validation_indices": np.array([2**64 - 1], np.uint64)},
            "validation_indices.*got 18446744073709551615",
        ),
        (lambda X, y: {"validation_indices": [0.5]}, "validation_indices.*float64"),
        (lambda X, y: {"validation_indices": [[1, 2]]}, r"validation_indices.*shape \(1, 2\)"),
        (lambda X, y: {"validation_indices": 3}, r"validation_indices.*shape \(\)"),
    ],
)
@BOTH
def test_held_out_rows_that_do_not_fit(cls, held_out, words):
    X, y = table()
    fitted = small(cls).fit(X, y)
    before = pickle.dumps(fitted)
    with pytest.raises(ValueError, match=f"(?s){words}"):
        fitted.fit(X, y, **held_out(X, y))
    assert pickle.dumps(fitted) == before


def test_targets_of_held_out_rows_that_do_not_fit():
    X, y = table()
    several = np.c_[y, 1 - y]
    for cls, target, y_val, words in [
        (MLPClassifier, y, y + 1, r"y_val: `y` has classes not in"),
        (MLPClassifier, y.astype(str), np.full(40, "c"), r"y_val: `y` has classes not in"),
        (MLPClassifier, y, X[:, 0], "y_val: .*[Uu]nknown label type"),
        (MLPClassifier, several, np.c_[several, y], "y_val: "),
        (MLPClassifier, several, y, "y_val"),
        (MLPRegressor, y, several, "y_val: must have as many outputs as y"),
        (MLPRegressor, several, y, "y_val: must have as many outputs as y"),
    ]:
        with pytest.raises(ValueError, match=words):
            small(cls).fit(X, target, X_val=X, y_val=y_val)
    # some of the classes are enough
    assert len(small().fit(X, y, X_val=X[y == 1], y_val=y[y == 1]).validation_scores_) == 5
    assert (
        len(small(warm_start=True).fit(X, y).fit(X, y, X_val=X[y == 1], y_val=y[y == 1]).validation_scores_)
        == 5
    )


def test_names_of_held_out_features():
    pandas = pytest.importorskip("pandas")
    X, y = table()
    frame = pandas.DataFrame(X, columns=list("abcd"))
    named = small().fit(frame, y, X_val=frame[30:], y_val=y[30:])
    assert named.validation_scores_ == small().fit(X, y, **as_table(X, y)).validation_scores_
    with pytest.raises(ValueError, match="X_val, y_val: .*feature names"):
        small().fit(frame, y, X_val=frame[list("badc")], y_val=y)


def test_held_out_rows_go_through_a_pipeline():
    X, y = table()
    scaler = StandardScaler().fit(X)
    expected = small().fit(scaler.transform(X), y, X_val=scaler.transform(X[30:]), y_val=y[30:])
    with sklearn.config_context(enable_metadata_routing=True):
        mlp = small().set_fit_request(X_val=True, y_val=True, sample_weight_val=True, validation_indices=True)
        pipeline = make_pipeline(StandardScaler(), mlp, transform_input=["X_val"])
        pipeline.fit(X, y, X_val=X[30:], y_val=y[30:])
    assert pipeline[-1].validation_loss_curve_ == pytest.approx(expected.validation_loss_curve_)
    pipeline = make_pipeline(StandardScaler(), small()).fit(
        X, y, mlpclassifier__validation_indices=range(30, 40)
    )
    assert len(pipeline[-1].validation_scores_) == 5


@BOTH
def test_partial_fit_takes_no_held_out_rows(cls):
    X, y = table()
    with pytest.raises(TypeError, match="X_val"):
        small(cls).partial_fit(X, y, X_val=X, y_val=y)


def test_what_is_set_on_an_estimator_while_it_is_fitted_stays():
    X, y = table()
    estimator = small(
        callbacks=[types.SimpleNamespace(on_fit_begin=lambda estimator, state: setattr(estimator, "note", 1))]
    )
    assert estimator.fit(X, y).note == 1
