"""The estimators' contract: what scikit-learn's tools, pickles, tables and wrong calls find."""

import inspect
import pickle

import numpy as np
import pytest
import scipy.sparse
import sklearn
import sklearn.neural_network
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler
from sklearn.utils import estimator_html_repr
from small import BOTH, QUIET, UNUSED_OPTIONS, small, table

from nnfast import MLPClassifier, MLPRegressor, engines

pytestmark = QUIET

# What the estimators have beyond scikit-learn's.
OWN_ATTRIBUTES = {"validation_loss_curve_", "learning_rate_curve_", "learning_rate_init_", "history_"}
OWN_ARGUMENTS = {"X_val", "y_val", "sample_weight_val", "validation_indices"}


def scikit_learns(cls):
    return getattr(sklearn.neural_network, cls.__name__)


# ------------------------------------------------------------------------------------------------------------
# Signatures, tags, documentation


@BOTH
def test_constructor_is_scikit_learns_and_more(cls):
    ours = inspect.signature(cls).parameters
    theirs = inspect.signature(scikit_learns(cls)).parameters
    assert [name for name in ours if name in theirs] == list(theirs)
    for name, parameter in ours.items():
        if name in theirs:
            has_loss = "loss" in theirs or cls is MLPClassifier  # scikit-learn 1.6's regressor has none
            assert parameter.kind == theirs[name].kind or not has_loss, name
            assert parameter.default == theirs[name].default, name
        elif name != "loss" or cls is MLPClassifier:
            assert parameter.kind == inspect.Parameter.KEYWORD_ONLY, name
    assert set(cls().get_params()) == set(ours) == set(cls._parameter_constraints)


@BOTH
def test_parameters_reach_their_names(cls):
    parameters = {name: object() for name in inspect.signature(cls).parameters}
    assert cls(**parameters).get_params() == parameters
    positional = [object() for _ in range(2 + (cls is MLPRegressor))]
    names = ["loss", "hidden_layer_sizes", "activation"][-len(positional) :]
    estimator = cls(*positional)
    assert [getattr(estimator, name) for name in names] == positional
    with pytest.raises(TypeError):
        cls(*positional, "adam")
    with pytest.raises(TypeError, match="drop_out"):
        cls(drop_out=0.5)


@BOTH
def test_methods_take_the_same_arguments(cls):
    for name, method in inspect.getmembers(scikit_learns(cls), callable):
        if not name.startswith("_"):
            theirs, ours = inspect.signature(method), inspect.signature(getattr(cls, name))
            if "sample_weight" in theirs.parameters or "sample_weight" not in ours.parameters:
                names = [each for each in ours.parameters if each not in OWN_ARGUMENTS]
                assert names == list(theirs.parameters), name
    own = inspect.signature(cls.fit).parameters
    assert all(own[name].kind == inspect.Parameter.KEYWORD_ONLY for name in OWN_ARGUMENTS)


@BOTH
def test_tags(cls):
    theirs = sklearn.utils.get_tags(scikit_learns(cls)())
    theirs.input_tags.sparse = True  # scikit-learn 1.6 forgets to say so
    assert sklearn.utils.get_tags(cls()) == theirs


@BOTH
def test_documentation_names_every_parameter_and_attribute(cls):
    X, y = table()
    assert "{" not in cls.__doc__.replace("{'", "")
    estimators = [
        small(cls),
        small(cls, normalization="batch"),
        small(cls, loss="focal" if cls is MLPClassifier else "quantile"),
    ]
    public = {name for estimator in estimators for name in vars(estimator.fit(X, y)) if name.endswith("_")}
    assert {"norm_scales_", "running_means_"} < public
    for name in (*inspect.signature(cls).parameters, *public, "feature_names_in_"):
        assert f"\n    {name} : " in cls.__doc__, name
    assert "precision" in str(inspect.signature(cls.__init__))
    assert "hidden_layer_sizes" in estimator_html_repr(cls(hidden_layer_sizes=(3,)))


@UNUSED_OPTIONS
@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_fitted_attributes_are_scikit_learns(cls, solver, early_stopping):
    X, y = table()
    parameters = {
        "solver": solver,
        "early_stopping": early_stopping,
        "max_iter": 3,
        "validation_fraction": 0.3,
    }
    public = [
        {name: type(value) for name, value in vars(est.fit(X, y)).items() if name.endswith("_")}
        for est in (cls(**parameters), scikit_learns(cls)(**parameters))
    ]
    assert set(public[0]) - OWN_ATTRIBUTES == set(public[1])
    for name, kind in public[0].items():
        if name in OWN_ATTRIBUTES:
            continue
        assert kind is public[1][name] or issubclass(public[1][name], kind), name


@UNUSED_OPTIONS
def test_nothing_of_an_earlier_fit_is_left():
    X, y = table()
    estimator = small(early_stopping=True).fit(X, y).set_params(solver="lbfgs").fit(X, y)
    assert set(vars(estimator)) == set(vars(small(solver="lbfgs").fit(X, y)))


# ------------------------------------------------------------------------------------------------------------
# Cloning, pickling, tools


@BOTH
def test_cloning_and_setting_parameters(cls):
    estimator = small(cls, precision="float32", n_threads=2).set_params(alpha=0.5)
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert "precision='float32'" in repr(copy)


@UNUSED_OPTIONS
@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_pickles_hold_plain_state_and_go_on(cls, solver):
    X, y = table(400)
    estimator = small(cls, solver=solver, early_stopping=True).fit(X, y)
    pickled = pickle.dumps(estimator)
    n_parameters = sum(array.size for array in estimator.coefs_ + estimator.intercepts_)
    assert len(pickled) < 8 * 3 * n_parameters + 4096
    assert b"nnfast.kernels" not in pickled
    assert b"nnfast.engines" not in pickled
    for name, value in vars(estimator).items():
        if name != "_label_binarizer":
            assert_plain(value)

    copy = pickle.loads(pickled)
    assert np.array_equal(copy.predict(X), estimator.predict(X))
    for each in (copy, estimator):
        each.set_params(early_stopping=False, solver="adam" if solver == "lbfgs" else solver).partial_fit(
            X, y
        )
    assert all(np.array_equal(a, b) for a, b in zip(copy.coefs_, estimator.coefs_, strict=True))


def assert_plain(value):
    if isinstance(value, list | tuple):
        for item in value:
            assert_plain(item)
    elif isinstance(value, dict):
        assert_plain([*value, *value.values()])
    else:
        assert value is None or isinstance(value, np.ndarray | np.generic | int | float | str), type(value)


def test_feature_names():
    pandas = pytest.importorskip("pandas")
    X, y = table()
    frame = pandas.DataFrame(X, columns=list("abcd"))
    estimator = small().fit(frame, y)
    assert list(estimator.feature_names_in_) == list("abcd")
    expected = small().fit(X, y).predict_proba(X)
    assert np.array_equal(estimator.predict_proba(frame), expected)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        estimator.predict_proba(X)
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(frame[["b", "a", "c", "d"]])
    assert not hasattr(estimator.fit(X, y), "feature_names_in_")
    mixed = frame.assign(a=frame["a"].astype(np.float32), b=(frame["b"] * 10).astype(int))
    assert np.isfinite(small().fit(mixed, y).predict_proba(mixed)).all()


LABELS = {
    "binary": np.array([3, 1, 3, 3, 1, 1, 3, 1]),
    "one class": np.zeros(8, dtype=int),
    "three classes": np.array([5, -1, 0, 0, -1, 5, 5, 0], dtype=np.int8),
    "unsigned": np.array([0, 200, 100, 0, 200, 100, 200, 0], dtype=np.uint8),
    "strided": None,
    "booleans": np.array([True, False] * 4),
    "floats": np.array([1.0, 2.0] * 4),
    "strings": np.array(["b", "a"] * 4),
    "objects": np.array(["b", "a"] * 4, dtype=object),
    "several": np.array([[0, 1], [1, 1]] * 4),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_scikit_learns(kind):
    y = np.concatenate(3 * [LABELS[kind]]) if kind != "strided" else np.arange(48)[::-2] % 3
    X = np.random.RandomState(0).standard_normal((len(y), 4))
    estimator = small().fit(X, y)
    binarizer, expected = estimator._label_binarizer, LabelBinarizer().fit(y)
    assert vars(binarizer).keys() == vars(expected).keys()
    assert (binarizer.y_type_, binarizer.sparse_input_) == (expected.y_type_, expected.sparse_input_)
    assert binarizer.classes_.dtype == expected.classes_.dtype and np.array_equal(
        binarizer.classes_, expected.classes_
    )
    wrong = y[::-1].copy()
    for labels in (y, wrong, wrong.tolist()):
        for sample_weight in (None, np.arange(1, 1 + len(y))):
            score = estimator.score(X, labels, sample_weight)
            assert type(score) is float and score == accuracy_score(
                labels, estimator.predict(X), sample_weight=sample_weight
            )
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        estimator.score(X, y[:-1])


def test_model_selection():
    X, y = table(60)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small()), {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2
    )
    assert 0 <= search.fit(X, y).best_score_ <= 1
    scores = cross_validate(small(MLPRegressor), X, y, cv=2, scoring="r2")
    assert np.isfinite(scores["test_score"]).all()


def test_metadata_routing():
    X, y = table()
    weight = np.linspace(0.1, 2, len(y))
    expected = small().fit(StandardScaler().fit_transform(X), y, weight)
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        mlp = small().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        mlp.set_partial_fit_request(sample_weight=True, classes=True)
        pipeline = make_pipeline(scaler, mlp).fit(X, y, sample_weight=weight)
    assert pipeline[-1].loss_curve_ == expected.loss_curve_


def test_the_base_of_a_subclass_can_be_extended():
    class Wider(MLPRegressor):
        def __init__(self, width=3, alpha=0.1):
            super().__init__(hidden_layer_sizes=(width,), alpha=alpha, max_iter=2)
            self.width = width

    X, y = table()
    assert Wider(width=7).fit(X, y).coefs_[0].shape == (4, 7)
    assert Wider().get_params() == {"width": 3, "alpha": 0.1}


# ------------------------------------------------------------------------------------------------------------
# Errors


def test_engines_are_named():
    with pytest.raises(ValueError, match="'blas'") as caught:
        engines.get_engine("blas")
    assert "cython" in str(caught.value)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sample_weights_that_sum_to_nothing(solver):
    X, y = table()
    for weight in (np.zeros(40), np.full(40, -1.0)):
        with pytest.raises(ValueError, match=r"[Ss]ample.weight"):
            small(solver=solver).fit(X, y, weight)
    weight = np.r_[1.0, np.zeros(39)]
    assert np.isfinite(small(solver=solver).fit(X, y, weight).loss_)
    if solver == "adam":
        with pytest.raises(ValueError, match="sample_weight over the rows held out"):
            small(early_stopping=True).fit(X, y, np.r_[1.0, np.zeros(39)])


@pytest.mark.parametrize("weight", [np.ones(39), np.ones((40, 1)), np.full(40, np.nan)])
def test_sample_weights_of_the_wrong_kind(weight):
    X, y = table()
    with pytest.raises(ValueError, match=r"[Ss]ample.weight"):
        small().fit(X, y, weight)


def test_errors_of_single_estimators():
    X, y = table()
    with pytest.raises(ValueError, match="poisson.*-1"):
        small(MLPRegressor, loss="poisson").fit(X, y - 1)
    with pytest.raises(ValueError, match="validation_fraction"):
        small(MLPRegressor, early_stopping=True, validation_fraction=0.01).fit(X, y)
    with pytest.raises(ValueError, match="early_stopping"):
        small(early_stopping=True).partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="classes must be passed"):
        small().partial_fit(X, y)
    with pytest.raises(ValueError, match="Unknown label type"):
        small().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="classes"):
        small().partial_fit(X, y, classes=[0, 1]).partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="same classes"):
        small(warm_start=True).fit(X, y).fit(X, y + 1)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        small(warm_start=True).fit(X, y).set_params(hidden_layer_sizes=(6,)).fit(X, y)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        small(MLPRegressor).partial_fit(X, y).partial_fit(X, np.c_[y, y])
    assert not hasattr(small(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        small(MLPRegressor, solver="lbfgs").partial_fit(X, y)


def test_rows_that_cannot_be_predicted():
    X, y = table()
    with pytest.raises(NotFittedError):
        small().predict(X)
    for estimator in (small().fit(X, y), small(MLPRegressor).fit(X, y)):
        for value in (np.nan, np.inf, -np.inf):
            bad = X.copy()
            bad[7, 2] = value
            for rows in (bad, np.tile(bad, (100, 1)), scipy.sparse.csr_array(bad)):
                with pytest.raises(ValueError, match="NaN|infinity"):
                    estimator.predict(rows)
            with sklearn.config_context(assume_finite=True), np.errstate(all="ignore"):
                assert len(estimator.predict(bad)) == len(X)
        huge = np.full((1000, 4), 1e308)
        assert len(estimator.predict(np.vstack([huge, -huge]) * 1e-300)) == 2000
        for rows in (X[:, :3], X[0], X[:0], X.tolist()[0]):
            with pytest.raises(ValueError):
                estimator.predict(rows)
        with pytest.raises(ValueError, match="3 features"):
            estimator.predict(X[:, :3])


@BOTH
def test_quick_and_thorough_validation_give_the_same(cls):
    X, y = table()
    estimator = small(cls).fit(X, y)
    for rows in (X, X[:1], X.astype(np.float32), np.asfortranarray(X), X[::2, :]):
        assert np.array_equal(estimator.predict(rows), estimator.predict(np.array(rows).view(Subclass)))


class Subclass(np.ndarray):
    """An array that the quick validation leaves to the thorough one."""


# ------------------------------------------------------------------------------------------------------------
# partial_fit and warm_start


def test_partial_fit_sees_classes_that_a_batch_lacks():
    X, _ = table()
    y = np.arange(40) % 3
    estimator = small().partial_fit(X[:20], y[:20] % 2, classes=[0, 1, 2])
    assert estimator.predict_proba(X).shape == (40, 3)
    assert len(estimator.partial_fit(X, y).loss_curve_) == 2


def test_partial_fit_does_not_reach_into_a_read_only_model():
    X, y = table()
    estimator = small().fit(X, y)
    for coef in estimator.coefs_:
        coef.flags.writeable = False
    before = [coef.copy() for coef in estimator.coefs_]
    held = estimator.coefs_
    estimator.partial_fit(X, y)
    assert all(np.array_equal(a, b) for a, b in zip(held, before, strict=True))
    assert not np.array_equal(estimator.coefs_[0], before[0])


def test_log_probabilities_stay_finite():
    X, y = table()
    estimator = small(max_iter=1).fit(X, y)
    far = np.full((1, 4), 1e5) * np.sign(estimator.coefs_[0][:, 0])
    for classes in (y, np.arange(40) % 3, np.c_[y, 1 - y]):
        estimator = small(max_iter=1, activation="identity").fit(X, classes)
        assert np.isfinite(estimator.predict_log_proba(far)).all()
        np.testing.assert_allclose(
            np.exp(estimator.predict_log_proba(X)), estimator.predict_proba(X), rtol=1e-12
        )


def test_no_hidden_layer_is_logistic_regression():
    X, y = table()
    alpha = 0.7
    ours = MLPClassifier((), solver="lbfgs", alpha=alpha, tol=1e-9, max_iter=1000, random_state=0).fit(X, y)
    theirs = LogisticRegression(C=1 / alpha, tol=1e-9, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(ours.coefs_[0].T, theirs.coef_, rtol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-3)
