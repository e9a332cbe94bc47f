"""The estimators' contract: what scikit-learn's tools, pickles, interrupts and wrong arguments find."""

import inspect
import os
import pickle
import signal
import sys
import threading
import time
import types
import warnings

import numpy as np
import pytest
import scipy.sparse
import sklearn
import sklearn.neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import estimator_checks_generator

import nnfast
import nnfast.training
from nnfast import DivergenceError, MLPClassifier, MLPRegressor, engines

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
OURS = {"precision", "n_threads", "engine"}
SENTENCE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def table(n_samples=40, n_features=4):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_samples, n_features))
    return X, (X[:, 0] + 0.3 * rng.normal(size=n_samples) > 0).astype(int)


def small(cls=MLPClassifier, **parameters):
    return cls(**{"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0, "batch_size": 16} | parameters)


def scikit_learns(cls):
    return getattr(sklearn.neural_network, cls.__name__)


# Not parametrize_with_checks, which in scikit-learn 1.6 hands pytest a generator that pytest 9 warns of.
CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{getattr(check, 'func', check).__name__}")
    for cls in (MLPClassifier, MLPRegressor)
    for estimator, check in estimator_checks_generator(cls())
]


@pytest.mark.parametrize("estimator, check", CHECKS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# ---------------------------------------------------------------------------------------------------------------------
# Signatures, tags, documentation


@BOTH
def test_constructor_is_scikit_learns_and_more(cls):
    ours = inspect.signature(cls).parameters
    theirs = inspect.signature(scikit_learns(cls)).parameters
    missing = {"loss"} - set(theirs)  # scikit-learn 1.6 has no loss
    assert [name for name in ours if name not in OURS | missing] == list(theirs)
    for name, parameter in theirs.items():
        assert ours[name].kind == parameter.kind or missing, name
        assert ours[name].default == parameter.default, name
    assert all(ours[name].kind == inspect.Parameter.KEYWORD_ONLY for name in OURS)
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
    with pytest.raises(TypeError, match="dropout"):
        cls(dropout=0.5)


@BOTH
def test_methods_take_the_same_arguments(cls):
    for name, method in inspect.getmembers(scikit_learns(cls), callable):
        if not name.startswith("_"):
            theirs, ours = inspect.signature(method), inspect.signature(getattr(cls, name))
            if "sample_weight" in theirs.parameters or "sample_weight" not in ours.parameters:
                assert list(ours.parameters) == list(theirs.parameters), name


@BOTH
def test_tags(cls):
    theirs = sklearn.utils.get_tags(scikit_learns(cls)())
    theirs.input_tags.sparse = True  # scikit-learn 1.6 forgets to say so
    assert sklearn.utils.get_tags(cls()) == theirs


@BOTH
def test_documentation_names_every_parameter_and_attribute(cls):
    X, y = table()
    assert "{" not in cls.__doc__.replace("{'", "")
    public = [name for name in vars(small(cls).fit(X, y)) if name.endswith("_")]
    for name in (*inspect.signature(cls).parameters, *public, "feature_names_in_"):
        assert f"\n    {name} : " in cls.__doc__, name
    assert "precision" in str(inspect.signature(cls.__init__))
    assert "hidden_layer_sizes" in estimator_html_repr(cls(hidden_layer_sizes=(3,)))


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_fitted_attributes_are_scikit_learns(cls, solver, early_stopping):
    X, y = table()
    parameters = {"solver": solver, "early_stopping": early_stopping, "max_iter": 3, "validation_fraction": 0.3}
    public = [
        {name: type(value) for name, value in vars(est.fit(X, y)).items() if name.endswith("_")}
        for est in (cls(**parameters), scikit_learns(cls)(**parameters))
    ]
    assert set(public[0]) == set(public[1])
    for name, kind in public[0].items():
        assert kind is public[1][name] or issubclass(public[1][name], kind), name


def test_nothing_of_an_earlier_fit_is_left():
    X, y = table()
    estimator = small(early_stopping=True).fit(X, y).set_params(solver="lbfgs").fit(X, y)
    assert set(vars(estimator)) == set(vars(small(solver="lbfgs").fit(X, y)))


# ---------------------------------------------------------------------------------------------------------------------
# Cloning, pickling, tools


@BOTH
def test_cloning_and_setting_parameters(cls):
    estimator = small(cls, precision="float32", n_threads=2).set_params(alpha=0.5)
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert "precision='float32'" in repr(copy)


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
        each.set_params(early_stopping=False, solver="adam" if solver == "lbfgs" else solver).partial_fit(X, y)
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


def test_model_selection():
    X, y = table(60)
    search = GridSearchCV(make_pipeline(StandardScaler(), small()), {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2)
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


# ---------------------------------------------------------------------------------------------------------------------
# Errors


@pytest.mark.parametrize(
    "parameters",
    [
        {"precision": "float16"},
        {"n_threads": 0},
        {"engine": "blas"},
        {"activation": "softplus"},
        {"solver": "adamw"},
        {"alpha": -1.0},
        {"batch_size": 0},
        {"max_iter": 0},
        {"momentum": 1.5},
        {"beta_1": 1.0},
        {"n_iter_no_change": 0},
        {"hidden_layer_sizes": (3, 0)},
        {"hidden_layer_sizes": (3, -1)},
        {"hidden_layer_sizes": (3, 2.5)},
        {"hidden_layer_sizes": "wide"},
    ],
)
@BOTH
def test_parameters_out_of_bounds_are_named(cls, parameters):
    X, y = table()
    ((name, value),) = parameters.items()
    with pytest.raises(ValueError, match=name) as caught:
        small(cls, **parameters).fit(X, y)
    assert str(value).strip("()") in str(caught.value)


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


# ---------------------------------------------------------------------------------------------------------------------
# Fits that do not end well


def engine_with(monkeypatch, **methods):
    """Replace methods of the engine's Session for one test."""
    engine = engines.get_engine()
    fake = types.SimpleNamespace(**{name: getattr(engine, name) for name in dir(engine)})
    fake.Session = type("Session", (engine.Session,), methods)
    fake.NonFinite = engine.NonFinite
    monkeypatch.setattr(engines, "get_engine", lambda name="auto": fake)
    return engine


def frozen(estimator):
    """A copy of everything an estimator is."""
    return pickle.dumps(estimator)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@BOTH
def test_a_failure_before_training_changes_nothing(cls, solver, monkeypatch):
    X, y = table()
    fitted, fresh = small(cls, solver=solver).fit(X, y), small(cls, solver=solver)

    def no_memory(self, *args, **kwargs):
        raise MemoryError

    before = frozen(fitted), frozen(fresh)
    engine_with(monkeypatch, __init__=no_memory)
    for estimator in (fitted, fresh):
        with pytest.raises(MemoryError):
            estimator.fit(X[:, :2], y * 2)
    assert (frozen(fitted), frozen(fresh)) == before
    for wrong in (X[:, :2] * np.nan, X[:3], X[0]):
        with pytest.raises(ValueError):
            fitted.fit(wrong, y)
    assert frozen(fitted) == before[0]


def assert_as_of_a_whole_epoch(estimator, X, y):
    """The estimator is, to the bit, what a fit of n_iter_ epochs gives. Returns whether it still has its moments."""
    n_iter = estimator.n_iter_
    assert len(estimator.loss_curve_) == n_iter
    assert estimator.t_ == n_iter * len(X)
    same = clone(estimator).set_params(max_iter=max(1, n_iter), n_iter_no_change=10**6, verbose=False).fit(X, y)
    if n_iter:
        assert estimator.loss_ == same.loss_
        assert estimator.loss_curve_ == same.loss_curve_
        assert estimator.best_loss_ == same.best_loss_
        for mine, other in zip(estimator.coefs_ + estimator.intercepts_, same.coefs_ + same.intercepts_, strict=True):
            assert np.array_equal(mine, other)
    assert estimator.predict(X).shape == y.shape
    has_moments = estimator._optimizer["moments"] is not None
    estimator.partial_fit(X, y)
    assert len(estimator.loss_curve_) == n_iter + 1
    if n_iter and has_moments:
        assert all(np.array_equal(a, b) for a, b in zip(estimator.coefs_, same.partial_fit(X, y).coefs_, strict=True))
    return has_moments


@BOTH
@pytest.mark.parametrize("at", [1, 2, 4])
def test_interrupts_within_an_epoch(cls, at, monkeypatch):
    X, y = table()
    calls = []
    plain = engines.get_engine().Session.epoch

    def epoch(self, order, learning_rate):
        calls.append(None)
        loss = plain(self, order, learning_rate)
        if len(calls) == at:
            raise KeyboardInterrupt
        return loss

    estimator = small(cls)
    with monkeypatch.context() as patch:
        engine_with(patch, epoch=epoch)
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, y)
    assert estimator.n_iter_ == at - 1
    assert_as_of_a_whole_epoch(estimator, X, y)


def test_interrupts_anywhere_in_the_loop():
    # Python raises KeyboardInterrupt between any two lines; here it is raised before each line in turn.
    X, y = table()
    code = nnfast.training.fit_stochastic.__code__
    source, first = inspect.getsourcelines(nnfast.training.fit_stochastic)
    in_loop = range(
        first + next(i for i, line in enumerate(source) if "for n_iter in" in line),
        first + next(i for i, line in enumerate(source) if "except engine.NonFinite" in line),
    )
    reached = -1

    def interrupt(wanted):
        nonlocal reached
        reached = -1

        def local(frame, event, argument):
            nonlocal reached
            if event == "line" and frame.f_lineno in in_loop:
                reached += 1
                if reached == wanted:
                    raise KeyboardInterrupt
            return local

        return lambda frame, event, argument: local if frame.f_code is code else None

    interrupted, kept_moments, tracer = 0, 0, sys.gettrace()
    for wanted in range(200):
        estimator = small(max_iter=3)
        sys.settrace(interrupt(wanted))
        try:
            estimator.fit(X, y)
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.settrace(tracer)
        if reached < wanted:
            break
        kept_moments += assert_as_of_a_whole_epoch(estimator, X, y)
    assert 30 < interrupted < 200
    assert kept_moments > 10


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_control_c(solver):
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGINT"):
        pytest.skip("signals arrive in the main thread")
    X, y = table(4000, 20)
    estimator = small(solver=solver, max_iter=10**8, max_fun=10**9, tol=0, n_iter_no_change=10**9)
    if solver == "lbfgs":
        y = np.random.RandomState(0).randint(0, 2, len(X))
        estimator.set_params(hidden_layer_sizes=(100, 100), tol=1e-300)
    sent = []

    def press():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert time.perf_counter() - sent[0] < 0.5  # 0.2 s, and room for a busy machine
    timer.join()
    assert estimator.n_iter_ > 0
    assert np.isfinite(estimator.loss_)
    assert estimator.predict(X).shape == y.shape
    estimator.set_params(solver="adam").partial_fit(X, y)


def test_an_interrupted_first_epoch_keeps_an_earlier_fit(monkeypatch):
    X, y = table()
    fitted, fresh = small().fit(X, y), small()
    before = frozen(fitted)

    def epoch(self, order, learning_rate):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        engine_with(patch, epoch=epoch)
        for call in (fitted.fit, fitted.partial_fit, fresh.fit):
            with pytest.raises(KeyboardInterrupt):
                call(X, y)
    assert frozen(fitted) == before
    assert fresh.n_iter_ == 0
    assert_as_of_a_whole_epoch(fresh, X, y)


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_divergence_raises_and_names_epoch_and_step(cls, solver):
    X, y = table()
    estimator = small(cls, solver=solver, activation="identity", learning_rate_init=1e200, hidden_layer_sizes=(5, 5))
    with np.errstate(all="ignore"), pytest.raises(DivergenceError) as caught:
        estimator.fit(X, y)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert message.startswith(SENTENCE)
    assert "epoch 1, step " in message
    assert "learning_rate_init" in message
    assert not hasattr(estimator, "coefs_")
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_divergence_later_keeps_the_last_whole_epoch(monkeypatch):
    X, y = table()
    engine = engines.get_engine()
    plain = engine.Session.epoch
    calls = []

    def epoch(self, order, learning_rate):
        calls.append(None)
        loss = plain(self, order, learning_rate)
        if len(calls) == 4:
            raise engine.NonFinite(1)
        return loss

    for early_stopping in (False, True):
        calls.clear()
        estimator = small(early_stopping=early_stopping, validation_fraction=0.3)
        with monkeypatch.context() as patch:
            engine_with(patch, epoch=epoch)
            if early_stopping:
                with pytest.warns(ConvergenceWarning, match="epoch 4, step 2.*best epoch"):
                    estimator.fit(X, y)
                assert len(estimator.validation_scores_) == 3
                assert estimator.best_validation_score_ == max(estimator.validation_scores_)
            else:
                with pytest.raises(DivergenceError, match="epoch 4, step 2"):
                    estimator.fit(X, y)
        assert estimator.n_iter_ == 3
        expected = small(early_stopping=early_stopping, validation_fraction=0.3, max_iter=3).fit(X, y)
        assert estimator.loss_curve_ == expected.loss_curve_
        assert all(np.array_equal(a, b) for a, b in zip(estimator.coefs_, expected.coefs_, strict=True))


def test_lbfgs_from_a_point_without_a_finite_loss():
    X, y = table()
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="Scale X") as caught:
        small(MLPRegressor, solver="lbfgs").fit(X * 1e300, y)
    assert str(caught.value).startswith(SENTENCE)


# ---------------------------------------------------------------------------------------------------------------------
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
        np.testing.assert_allclose(np.exp(estimator.predict_log_proba(X)), estimator.predict_proba(X), rtol=1e-12)


def test_no_hidden_layer_is_logistic_regression():
    X, y = table()
    alpha = 0.7
    ours = MLPClassifier((), solver="lbfgs", alpha=alpha, tol=1e-9, max_iter=1000, random_state=0).fit(X, y)
    theirs = LogisticRegression(C=1 / alpha, tol=1e-9, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(ours.coefs_[0].T, theirs.coef_, rtol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-3)
