"""What the estimators make of y: losses and their parameters, class weights, quantiles, domains."""

import pickle
import warnings

import numpy as np
import pytest
import reference
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.metrics import d2_pinball_score, mean_pinball_loss
from sklearn.model_selection import cross_val_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.fixes import parse_version
from small import BOTH, QUIET, UNUSED_OPTIONS, small, table

from nnfast import MLPClassifier, MLPRegressor, QuantileCrossingWarning, scores
from nnfast.losses import LOSSES, REGRESSOR_LOSSES

pytestmark = QUIET

TARGETS = ("binary", "multiclass", "multilabel")


def labels(kind, n_samples=60):
    X, _ = table(n_samples)
    rng = np.random.RandomState(1)
    signal = X[:, :3] + 0.5 * rng.normal(size=(n_samples, 3))
    y = {
        "binary": np.where(signal[:, 0] > 0.8, "b", "a"),
        "multiclass": np.array([4, 7, -1])[(signal + [0.5, 0, -0.8]).argmax(axis=1)],
        "multilabel": (signal > [0, 0.5, -0.5]).astype(int),
    }[kind]
    return X, y


def still(cls=MLPClassifier, **parameters):
    """An estimator of which one epoch leaves the parameters as they were drawn."""
    return small(cls, max_iter=1, batch_size=20, learning_rate_init=1e-300, alpha=0.0, **parameters)


def same_run(a, b):
    assert a.loss_curve_ == pytest.approx(b.loss_curve_, rel=1e-12)
    for mine, other in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------------------
# Losses of classes


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize(
    "parameters", [{}, {"label_smoothing": 0.2}, {"loss": "focal"}, {"loss": "focal", "focal_gamma": 0.5}]
)
def test_losses_of_classes_are_the_formulas(kind, parameters):
    X, y = labels(kind)
    estimator = still(**parameters).fit(X, y)
    p = estimator.predict_proba(X)
    onehot = y if kind == "multilabel" else (y[:, np.newaxis] == estimator.classes_)
    pairs = (
        [(p, onehot)]
        if kind != "multilabel"
        else [(np.c_[1 - p[:, k], p[:, k]], np.c_[1 - y[:, k], y[:, k]]) for k in range(3)]
    )
    expected = 0
    for probabilities, hits in pairs:
        if parameters.get("loss") == "focal":
            share = probabilities[hits.astype(bool)]
            expected += np.mean(-((1 - share) ** parameters.get("focal_gamma", 2.0)) * np.log(share))
        else:
            e = parameters.get("label_smoothing", 0.0)
            smooth = (1 - e) * hits + e / hits.shape[1]
            expected -= np.mean((smooth * np.log(probabilities)).sum(axis=1))
    assert estimator.loss_ == pytest.approx(expected, rel=1e-9)


def test_focal_loss_without_focus_is_log_loss():
    for kind in TARGETS:
        X, y = labels(kind)
        same_run(small(loss="focal", focal_gamma=0).fit(X, y), small().fit(X, y))


@pytest.mark.parametrize("kind", TARGETS)
def test_smoothed_targets_have_the_accuracy_of_the_plain_ones(kind):
    X, y = labels(kind)
    estimator = small(label_smoothing=0.3, early_stopping=True, restore_best=False).fit(
        X, y, X_val=X, y_val=y
    )
    assert estimator.validation_scores_[-1] == pytest.approx(estimator.score(X, y))


# ------------------------------------------------------------------------------------------------------------
# Class weights

WEIGHTS = {
    "binary": {"a": 0.5, "b": 3.0},
    "multiclass": {4: 2.0, 7: 0.0, -1: 0.25},
    "multilabel": [{0: 1.0, 1: 2.0}, {0: 0.5, 1: 0.5}, {1: 4.0}],
}


@UNUSED_OPTIONS
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", TARGETS)
def test_class_weights_are_sample_weights(kind, solver, early_stopping, balanced):
    X, y = labels(kind)
    class_weight = "balanced" if balanced else WEIGHTS[kind]
    full = [{0: 1.0} | each for each in class_weight] if isinstance(class_weight, list) else class_weight
    by_row = compute_sample_weight(full, y)
    parameters = {"solver": solver, "early_stopping": early_stopping, "validation_fraction": 0.3}
    weight = np.linspace(0.1, 2, len(y))
    for given in (None, weight):
        ours = small(class_weight=class_weight, **parameters).fit(X, y, given)
        expected = small(**parameters).fit(X, y, by_row if given is None else by_row * given)
        if solver == "adam":
            same_run(ours, expected)
            assert ours.validation_scores_ == (
                pytest.approx(expected.validation_scores_) if early_stopping else None
            )
        else:
            assert ours.loss_ == pytest.approx(expected.loss_, rel=1e-9)


def test_validation_rows_are_weighed_by_the_training_rows_classes():
    X, y = labels("multiclass")
    weight = np.linspace(0.1, 2, 20)
    vectors = dict(zip(np.unique(y), len(y) / 3 / np.unique(y, return_counts=True)[1], strict=True))
    by_row = np.array([vectors[each] for each in y])
    ours = small(class_weight="balanced").fit(X, y, X_val=X[:20], y_val=y[:20], sample_weight_val=weight)
    expected = small().fit(X, y, by_row, X_val=X[:20], y_val=y[:20], sample_weight_val=by_row[:20] * weight)
    assert ours.validation_loss_curve_ == pytest.approx(expected.validation_loss_curve_, rel=1e-12)
    assert ours.validation_scores_ == pytest.approx(expected.validation_scores_, rel=1e-12)


def test_class_weights_of_partial_fit():
    X, y = labels("multiclass")
    plain = small()
    weighted = small(class_weight=WEIGHTS["multiclass"])
    for rows in (y != -1, y != 4):  # batches that lack a class
        weighted.partial_fit(X[rows], y[rows], classes=np.unique(y))
        plain.partial_fit(
            X[rows], y[rows], compute_sample_weight(WEIGHTS["multiclass"], y)[rows], np.unique(y)
        )
    same_run(weighted, plain)
    with pytest.raises(ValueError, match="class_weight='balanced' is not supported for partial_fit"):
        small(class_weight="balanced").partial_fit(X, y, classes=np.unique(y))


def test_class_weights_that_do_not_fit():
    X, y = labels("multiclass")
    _, several = labels("multilabel")
    assert small(class_weight={4: 1, 7: 1, -1: 1, 99: 1}).fit(X, y).n_iter_ == 5  # a fold that lacks a class
    for class_weight, target, words in [
        ({4: 2, 99: 1}, y, r"class_weight names \[99\], and not \[-1, 7\]"),
        ([{4: 2}], y, "class_weight must be a dict"),
        ({0: 2}, several, "a list with one dict"),
        ([{0: 2}], several, "3 labels"),
        ([{0: 2}, {}, 3], several, "got 3"),
        ({4: np.nan}, y, "nan for 4"),
        ({4: 0, 7: 0, -1: 0}, y, "positive"),
    ]:
        with pytest.raises(ValueError, match=words):
            small(class_weight=class_weight).fit(X, target)


def test_kinds_of_labels_with_class_weights():
    X, y = labels("multilabel")
    dense = small(class_weight="balanced").fit(X, y)
    same_run(dense, small(class_weight="balanced").fit(X, scipy.sparse.csr_array(y)))
    booleans = y[:, 0] > 0
    same_run(
        small(class_weight={True: 3.0}).fit(X, booleans),
        small(class_weight={1: 3.0}).fit(X, booleans.astype(int)),
    )
    assert small(class_weight="balanced").fit(X, np.zeros(len(X))).n_iter_ == 5


# ------------------------------------------------------------------------------------------------------------
# Losses of real targets

PARAMETERS = {"huber": ({"huber_delta": 0.3}, (0.3,)), "quantile": ({"quantile": 0.8}, (0.8, 0.8))}


@pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
def test_losses_of_real_targets_are_the_formulas(loss):
    X, _ = table()
    y = np.abs(X[:, :2]) + 0.1
    parameters, loss_parameters = PARAMETERS.get(loss, ({}, ()))
    estimator = still(MLPRegressor, loss=loss, **parameters).fit(X, y)
    p = estimator.predict(X)
    z = np.log(p) if LOSSES[loss].out_activation == "exp" else p
    assert estimator.loss_ == pytest.approx(
        reference.row_losses(loss, y, z, loss_parameters).mean(), rel=1e-9
    )
    assert p.shape == y.shape
    if LOSSES[loss].out_activation == "exp":
        assert (p > 0).all()


@pytest.mark.parametrize(
    "loss, value, domain", [("poisson", -0.5, "y >= 0"), ("gamma", 0.0, "y > 0"), ("gamma", -2.0, "y > 0")]
)
def test_targets_out_of_the_losss_domain(loss, value, domain):
    X, y = table()
    y = y + 1.0
    bad = y.copy()
    bad[7] = value
    fitted = small(MLPRegressor, loss=loss).fit(X, y)
    before = pickle.dumps(fitted)
    with pytest.raises(ValueError, match=f"^loss='{loss}' needs {domain}, got a y of {value}"):
        fitted.fit(X, bad)
    with pytest.raises(ValueError, match=f"^y_val: loss='{loss}' needs {domain}, got a y of {value}"):
        fitted.fit(X, y, X_val=X, y_val=bad)
    assert pickle.dumps(fitted) == before


# ------------------------------------------------------------------------------------------------------------
# Quantiles


def spread(n_samples=300):
    """Rows whose quantile q is q exactly: y is uniform."""
    rng = np.random.RandomState(0)
    return rng.normal(size=(n_samples, 2)), rng.uniform(size=n_samples)


def test_quantiles_are_learned_and_in_order():
    X, y = spread()
    levels = [0.1, 0.5, 0.9]
    estimator = MLPRegressor(
        "quantile", (), quantile=levels, max_iter=300, learning_rate_init=0.01, random_state=0, alpha=0, tol=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", QuantileCrossingWarning)
        predicted = estimator.fit(X, y).predict(X)
    assert predicted.shape == (300, 3)
    assert estimator.n_outputs_ == 3
    assert estimator.quantiles_.tolist() == levels
    np.testing.assert_allclose((y[:, np.newaxis] < predicted).mean(axis=0), levels, atol=0.05)
    one = clone(estimator).set_params(quantile=0.9).fit(X, y)
    assert one.predict(X).shape == (300,)
    assert np.mean(y < one.predict(X)) == pytest.approx(0.9, abs=0.05)
    listed = clone(estimator).set_params(quantile=[0.9]).fit(X, y)
    assert np.array_equal(listed.predict(X), one.predict(X))
    assert not hasattr(listed.set_params(loss="huber", quantile=0.5).fit(X, y), "quantiles_")


def test_the_loss_of_quantiles_is_their_mean():
    X, y = spread()
    levels = [0.2, 0.6, 0.7]
    estimator = still(MLPRegressor, loss="quantile", quantile=levels).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuantileCrossingWarning)
        predicted = estimator.predict(X)
    expected = [mean_pinball_loss(y, predicted[:, k], alpha=q) for k, q in enumerate(levels)]
    assert estimator.loss_ == pytest.approx(np.mean(expected))


def test_crossing_quantiles_are_told():
    X, y = spread(40)
    estimator = small(MLPRegressor, loss="quantile", quantile=[0.1, 0.5, 0.9]).fit(X, y)
    for coef, intercept, values in ((estimator.coefs_[-1], estimator.intercepts_[-1], [0.1, 0.7, 0.5]),):
        coef[...] = 0
        intercept[...] = values
    with pytest.warns(QuantileCrossingWarning, match="in 40 of 40 rows: 0.5 and 0.9 in 40"):
        assert estimator.predict(X).shape == (40, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.score(X, y)
        estimator.intercepts_[-1][...] = [0.1, 0.5, 0.5]
        estimator.predict(X)


@pytest.mark.parametrize("quantile", [0.3, [0.3], [0.2, 0.9]])
@pytest.mark.parametrize("weighted", [False, True])
def test_quantiles_are_scored_by_pinball_loss(quantile, weighted):
    X, y = spread(60)
    y[:5] = y[5]  # ties
    weight = np.linspace(0, 2, 60) if weighted else None
    estimator = small(
        MLPRegressor, loss="quantile", quantile=quantile, early_stopping=True, restore_best=False
    )
    estimator.fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuantileCrossingWarning)
        predicted = estimator.predict(X).reshape(60, -1)
    levels = np.ravel(quantile)
    expected = np.mean(
        [d2_pinball_score(y, predicted[:, k], alpha=q, sample_weight=weight) for k, q in enumerate(levels)]
    )
    assert estimator.score(X, y, weight) == pytest.approx(expected)
    # scikit-learn interpolated the quantile of y in another way once.
    rel = 1e-9 if parse_version(sklearn.__version__) >= parse_version("1.8") else 0.05
    assert estimator.validation_scores_[-1] == pytest.approx(expected, rel=rel)
    assert (
        len(cross_val_score(estimator.set_params(early_stopping=False, restore_best=True), X, y, cv=2)) == 2
    )


def test_scores_by_pinball_loss_of_special_cases():
    y = np.c_[np.ones(5), np.arange(5.0)]
    score = scores.pinball_d2((0.5, 0.5), None, y)
    assert score(y) == 1
    assert score(np.c_[y[:, :1] + 1, y[:, 1:]]) == 0.5
    assert np.isnan(score(np.full((5, 2), np.nan)))
    assert score(np.full((5, 2), np.inf)) != score(y)


def test_one_level_serves_several_targets():
    X, y = spread()
    several = np.c_[y, -y]
    estimator = small(MLPRegressor, loss="quantile", quantile=0.7, early_stopping=True).fit(X, several)
    assert estimator.predict(X).shape == (300, 2)
    assert estimator.score(X, several) == pytest.approx(
        d2_pinball_score(several, estimator.predict(X), alpha=0.7)
    )
    with pytest.raises(ValueError, match=r"quantile=\[0.1, 0.2\] has several levels.* a y of 2"):
        estimator.set_params(quantile=[0.1, 0.2]).fit(X, several)


@BOTH
def test_a_warm_start_may_change_the_loss(cls):
    X, y = table()
    estimator = small(cls, warm_start=True).fit(X, y)
    estimator.set_params(loss="focal" if cls is MLPClassifier else "quantile").fit(X, y)
    assert len(estimator.loss_curve_) == 10
    assert hasattr(estimator, "quantiles_") == (cls is MLPRegressor)
