"""The tabular estimators: scikit-learn's contract, targets, weights, interrupts, pickles."""

import os
import pickle
import re
import signal
import threading

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator
from small_tables import BOTH, CODES, NAN, X, Z, outputs, quick, table, targets

from nnfast.tabular import TabularClassifier, TabularRegressor, fitting
from nnfast.tabular.encoding import Encoders

pd = pytest.importorskip("pandas")

NOT_REPEATED = {
    "check_sample_weight_equivalence_on_dense_data": (
        "folds are drawn at random, in which a row twice is not one of weight 2"
    )
}
CHECKS = [
    pytest.param(estimator, check, id=f"{cls.__name__}-{getattr(check, 'func', check).__name__}")
    for cls in (TabularClassifier, TabularRegressor)
    for estimator, check in estimator_checks_generator(
        cls(quality="fast"), expected_failed_checks=NOT_REPEATED, mark="skip"
    )
]


@pytest.mark.parametrize("estimator, check", CHECKS)
def test_scikit_learns_checks(estimator, check, request):
    if not re.search(
        "_train|class_weight", getattr(check, "func", check).__name__
    ):  # which are about how well it predicts
        request.getfixturevalue("short_networks")
    check(estimator)


# ------------------------------------------------------------------------------------------------------------
# Targets

LABELS = {
    "integers": CODES - 5,
    "int8": CODES.astype(np.int8),
    "whole floats": CODES * 2.0,
    "booleans": CODES > 0,
    "text": np.array(["low", "mid", "high"])[CODES],
    "objects of text": np.array(["low", "mid", "high"], dtype=object)[CODES],
    "objects of integers": CODES.astype(object),
    "objects of booleans": (CODES > 0).astype(object),
    "a list": CODES.tolist(),
    "a list of text": [["low", "mid", "high"][code] for code in CODES],
    "a series": pd.Series(CODES, index=range(7, 7 + len(X))),
    "nullable": pd.Series(CODES, dtype="Int64"),
    "nullable booleans": pd.Series(CODES > 0, dtype="boolean"),
    "nullable text": pd.Series(np.array(["low", "mid", "high"])[CODES], dtype="string"),
    "Categorical of text": pd.Series(
        pd.Categorical(np.array(["low", "mid", "high"])[CODES], categories=["none", "low", "mid", "high"])
    ),
    "Categorical of integers": pd.Series(pd.Categorical(CODES)),
    "a column": CODES[:, np.newaxis],
    "a class of one row": np.where(np.arange(len(X)) == 5, 9, CODES),
    "many classes": np.arange(len(X)) // 3,
    "a class a row": np.arange(len(X)),
    "unicode": np.array(["é", "日本", ""])[CODES],
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.filterwarnings("ignore:The number of unique classes is greater than 50%:UserWarning")
@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(kind):
    y = LABELS[kind]
    estimator = quick(TabularClassifier).fit(X, y)
    plain = np.asarray(y).ravel()
    assert estimator.classes_.tolist() == sorted(set(plain.tolist()))
    p = estimator.predict_proba(X)
    assert p.shape == (len(X), len(estimator.classes_))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    predicted = estimator.predict(X)
    assert predicted.dtype == estimator.classes_.dtype and set(predicted.tolist()) <= set(plain.tolist())
    # which warns of probabilities that do not sum to 1
    log_loss(plain.tolist(), p, labels=estimator.classes_)
    if len(estimator.classes_) < 5:
        assert estimator.score(X, plain.tolist()) > 0.6


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
@pytest.mark.usefixtures("short_networks")
def test_labels_of_other_libraries(library):
    module = pytest.importorskip(library)
    for values in (CODES.tolist(), np.array(["low", "mid", "high"])[CODES].tolist(), (CODES > 0).tolist()):
        y = module.Series(values) if library == "polars" else module.array(values)
        estimator = quick(TabularClassifier).fit(X, y)
        assert estimator.classes_.tolist() == sorted(set(values))
        assert np.array_equal(
            estimator.predict_proba(X), quick(TabularClassifier).fit(X, np.array(values)).predict_proba(X)
        )


@pytest.mark.parametrize("y", [np.zeros(len(X), dtype=int), np.full(len(X), "only")])
def test_one_class_is_what_is_predicted(y):
    estimator = quick(TabularClassifier).fit(X, y)
    assert np.array_equal(estimator.predict(X), y) and (estimator.predict_proba(X) == 1).all()


def test_several_labels():
    y = np.stack([Z > 0, Z > 1, Z < 5], axis=1).astype(int)  # the last one is constant
    estimator = quick(TabularClassifier, quality="default").fit(X, y)
    p = estimator.predict_proba(X)
    assert p.shape == y.shape and np.array_equal(estimator.predict(X), (p > 0.5).astype(int))
    assert roc_auc_score(y[:, :2], p[:, :2]) > 0.8 and (p[:, 2] > 0.85).all()


LOSSES = {
    "squared_error": {},
    "absolute_error": {},
    "huber": {"huber_delta": 0.5},
    "log_cosh": {},
    "quantile": {"quantile": 0.9},
    "poisson": {},
    "gamma": {},
}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss):
    y = np.exp(Z) if loss in ("poisson", "gamma") else Z
    estimator = quick(TabularRegressor, loss=loss, **LOSSES[loss]).fit(X, y)
    predicted = estimator.predict(X)
    assert predicted.shape == y.shape and predicted.dtype == np.float64
    assert np.corrcoef(predicted, y)[0, 1] > 0.7
    assert y.min() <= predicted.min() and predicted.max() <= y.max()
    if loss == "quantile":
        assert 0.75 < np.mean(y <= predicted) <= 1


@pytest.mark.parametrize("levels", [[0.1, 0.5, 0.9], (0.1, 0.9), np.array([0.2, 0.8])])
def test_several_quantiles_do_not_cross(levels):
    predicted = quick(TabularRegressor, loss="quantile", quantile=levels).fit(X, Z).predict(X)
    assert predicted.shape == (len(X), len(levels)) and (np.diff(predicted, axis=1) >= 0).all()


def test_several_outputs_keep_their_units():
    y = np.stack([Z, 1e6 - 1e3 * Z, np.full(len(X), 4.0)], axis=1)
    predicted = quick(TabularRegressor).fit(X, y).predict(X)
    assert predicted.shape == y.shape and (predicted[:, 2] == 4).all()
    for k in range(2):
        assert np.corrcoef(predicted[:, k], y[:, k])[0, 1] > 0.7 and y[:, k].min() <= predicted[:, k].min()


@pytest.mark.parametrize(
    "loss, value",
    [("squared_error", 3.5), ("absolute_error", 3.5), ("poisson", 0.0), ("gamma", 1e-9), ("huber", -1e9)],
)
def test_a_constant_target_is_what_is_predicted(loss, value):
    predicted = quick(TabularRegressor, loss=loss).fit(X, np.full(len(X), value)).predict(X)
    np.testing.assert_allclose(predicted, value, rtol=1e-12)


@pytest.mark.parametrize(
    "loss, value",
    [
        ("squared_error", np.mean),
        ("absolute_error", np.median),
        ("quantile", lambda y: np.quantile(y, 0.5)),
        ("poisson", np.mean),
        ("gamma", np.mean),
        ("huber", None),
        ("log_cosh", None),
    ],
)
def test_what_is_predicted_without_columns_to_use(loss, value):
    y = np.exp(2 * Z)
    predicted = quick(TabularRegressor, loss=loss).fit(np.ones((len(X), 1)), y).predict(np.ones((2, 1)))
    if value is not None:
        np.testing.assert_allclose(predicted, value(y), rtol=1e-9)
    else:  # between the median and the mean
        assert np.median(y) < predicted[0] < np.mean(y)


WRONG = {
    "None": (None, "y"),
    "too few": (CODES[:5], "X has 120 rows, y has 5"),
    "three dimensions": (np.ones((120, 1, 1)), "y"),
    "NaN": (NAN, "y.*NaN"),
    "infinite": (np.where(np.isnan(NAN), np.inf, NAN), "y.*infinity"),
    "complex": (Z * 1j, "Complex.* y"),
    "objects with None": (np.where(np.isnan(NAN), None, CODES), "y.*(NaN|class labels)"),
    "dates": (X.when, "y"),
    "sparse": ("sparse", "y"),
}


@BOTH
@pytest.mark.parametrize("case", WRONG)
def test_targets_that_are_none(cls, case):
    y, said = WRONG[case]
    if case == "sparse":
        from scipy.sparse import csr_array

        y = csr_array(np.eye(120, 2))
    if case == "dates" and cls is TabularClassifier:
        pytest.skip("dates are labels like others")
    with pytest.raises((ValueError, TypeError), match=said):
        quick(cls).fit(X, y)


@pytest.mark.parametrize(
    "cls, more, y, said",
    [
        (TabularRegressor, {}, LABELS["text"], "y must be numbers, got .*"),
        (TabularClassifier, {}, Z, "Unknown label type: y"),
        (TabularClassifier, {}, np.stack([CODES, CODES], axis=1), "Unknown label type: y"),
        (TabularClassifier, {}, np.array([1, "a"] * 60, dtype=object), "y"),
        (TabularRegressor, {"loss": "poisson"}, Z, "loss='poisson' needs y >= 0, got y with -"),
        (TabularRegressor, {"loss": "gamma"}, np.maximum(Z, 0), "loss='gamma' needs y > 0, got y with 0.0"),
        (TabularRegressor, {"loss": "mse"}, Z, "'loss' parameter of TabularRegressor"),
        (TabularRegressor, {"loss": "quantile", "quantile": 1.5}, Z, "quantile.* 1.5"),
        (TabularRegressor, {"loss": "quantile", "quantile": [0.1, 1.5]}, Z, "quantile.* 1.5"),
        (
            TabularRegressor,
            {"loss": "quantile", "quantile": [0.1, 0.9]},
            np.stack([Z, Z], axis=1),
            "quantile",
        ),
        (TabularRegressor, {"loss": "quantile", "quantile": [0.9, 0.1]}, Z, "quantile must increase"),
        (TabularRegressor, {"loss": "huber", "huber_delta": 0}, Z, "'huber_delta' parameter"),
        (TabularClassifier, {"class_weight": {7: 1}}, CODES, "class_weight"),
        (TabularClassifier, {"class_weight": {0: -1, 1: 1, 2: 1}}, CODES, "class_weight.*-1"),
        (TabularClassifier, {"quality": "good"}, CODES, "'quality' parameter of TabularClassifier"),
        (TabularClassifier, {"time_budget": 0}, CODES, "'time_budget' parameter"),
        (
            TabularRegressor,
            {"blend": "trees"},
            np.stack([Z, Z], axis=1),
            "blend='trees' cannot be used here: y has several outputs",
        ),
        (TabularClassifier, {"time_column": "wen"}, CODES, "time_column .*'wen'. Did you mean 'when'"),
        (TabularClassifier, {"time_column": 7}, CODES, "time_column must be the name or the number .* got 7"),
        (
            TabularClassifier,
            {"time_column": "c"},
            CODES,
            "time_column must hold dates or numbers, got text in column 'c'",
        ),
        (TabularClassifier, {"time_column": "b"}, CODES, "time_column must have a value in each row"),
    ],
)
def test_wrong_parameters_and_targets_are_named(cls, more, y, said):
    estimator = quick(cls, **more)
    before = pickle.dumps(estimator)
    with pytest.raises((ValueError, TypeError), match=said):
        estimator.fit(X, y)
    assert pickle.dumps(estimator) == before


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame])
def test_time_columns_of_tables_without_names(make):
    with pytest.raises(
        ValueError, match="time_column must be the name or the number of a column of X, got 'when'"
    ):
        quick(TabularRegressor, time_column="when").fit(
            make(np.random.default_rng(0).normal(size=(120, 2))), Z
        )


# ------------------------------------------------------------------------------------------------------------
# Weights


@BOTH
@pytest.mark.usefixtures("short_networks")
def test_equal_weights_change_no_bit_and_their_scale_neither(cls):
    y = targets(cls, Z)
    expected = outputs(quick(cls).fit(X, y), X)
    for weights in (np.ones(len(X)), np.full(len(X), 7.0), [3] * len(X)):
        assert np.array_equal(outputs(quick(cls).fit(X, y, sample_weight=weights), X), expected)
    uneven = np.where(X.c == "x", 2.0, 1.0)
    assert np.array_equal(
        *(outputs(quick(cls).fit(X, y, sample_weight=uneven * scale), X) for scale in (1, 1024))
    )


@pytest.mark.parametrize(
    "cls, more",
    [
        (TabularClassifier, {}),
        *[(TabularRegressor, {"loss": loss}) for loss in LOSSES if loss != "gamma"],
        (TabularClassifier, {"blend": "trees"}),
    ],
)
@pytest.mark.parametrize("columns", [["c", "a"], ["nothing"]])
def test_predictions_move_towards_rows_of_more_weight(cls, more, columns):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=200), "c": rng.choice(list("xy"), 200), "nothing": 1})[columns]
    y = (rng.random(200) < 0.5).astype(int) * (1 if cls is TabularClassifier else 1.5)
    means = [
        quick(cls, **more).fit(X, y, sample_weight=np.where(y > 0, weight, 3 - weight)) for weight in (1, 2)
    ]
    low, high = (
        outputs(each, X)[:, 1].mean() if cls is TabularClassifier else each.predict(X).mean()
        for each in means
    )
    assert low < high


@pytest.mark.parametrize(
    "weights, said",
    [
        ([1.0] * 5, "sample_weight"),
        ([np.nan] * 120, "sample_weight"),
        ([-1.0] + [1] * 119, "sample_weight"),
        ([0.0] * 120, "sample_weight"),
    ],
)
@BOTH
def test_wrong_weights(cls, weights, said):
    with pytest.raises(ValueError, match=said):
        quick(cls).fit(X, targets(cls, Z), sample_weight=weights)


@BOTH
@pytest.mark.usefixtures("short_networks")
def test_rows_of_no_weight(cls):
    y, weights = targets(cls, Z), np.zeros(len(X))
    weights[:7] = 1
    assert np.isfinite(outputs(quick(cls).fit(X, y, sample_weight=weights), X)).all()


def test_class_weights():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 2)), (rng.random(300) < 0.15).astype(int)
    shares = {
        name: quick(TabularClassifier, class_weight=each).fit(X, y).predict_proba(X)[:, 1].mean()
        for name, each in {
            "none": None,
            "balanced": "balanced",
            "more": {0: 1, 1: 20},
            "ones": {0: 1, 1: 1},
        }.items()
    }
    assert shares["none"] == shares["ones"] < 0.3 < shares["balanced"] < shares["more"]
    labels = np.stack([y, 1 - y], axis=1)
    both = quick(TabularClassifier, class_weight=[{0: 1, 1: 5}, {0: 1, 1: 1}]).fit(X, labels).predict_proba(X)
    assert np.isfinite(both).all()
    assert quick(TabularClassifier, class_weight="balanced").fit(X, labels).predict_proba(X).shape == (300, 2)


# ------------------------------------------------------------------------------------------------------------
# scikit-learn's tools, threads, pickles


@BOTH
@pytest.mark.parametrize("blend", [None, "trees"])
@pytest.mark.usefixtures("short_networks", "few_trees")
def test_the_same_bits_for_any_number_of_jobs(cls, blend):
    y = targets(cls, Z)
    found = [outputs(quick(cls, n_jobs=n_jobs, blend=blend).fit(X, y), X) for n_jobs in (1, 2, 3)]
    assert all(np.array_equal(each, found[0]) for each in found)
    assert not np.array_equal(outputs(quick(cls, random_state=1).fit(X, y), X), found[0])


@BOTH
@pytest.mark.usefixtures("short_networks")
def test_scikit_learns_tools(cls):
    y = targets(cls, Z)
    assert np.isfinite(cross_val_score(quick(cls), X, y, cv=3)).all()
    search = GridSearchCV(quick(cls), {"categorical_features": ["auto", ["c"]]}, cv=2).fit(X, y)
    assert search.best_params_.keys() == {"categorical_features"}
    pipe = make_pipeline(FunctionTransformer(lambda frame: frame.assign(more=frame.a**2)), quick(cls)).fit(
        X, y
    )
    assert len(pipe.predict(X)) == len(X)
    again = clone(search.best_estimator_)
    assert again.get_params() == search.best_estimator_.get_params() and not hasattr(again, "n_features_in_")
    assert again.set_params(quality="best").quality == "best"


@BOTH
@pytest.mark.usefixtures("short_networks")
def test_a_second_fit_is_as_a_first_one(cls):
    y = targets(cls, Z)
    estimator = quick(cls).fit(X, y)
    other = X[["a", "b"]].to_numpy()
    assert np.array_equal(outputs(estimator.fit(other, y), other), outputs(quick(cls).fit(other, y), other))
    assert not hasattr(estimator, "feature_names_in_") and estimator.n_features_in_ == 2


def arrays_in(value, found=None, known=None):
    """All arrays and lists that an object holds."""
    found, known = [] if found is None else found, set() if known is None else known
    if id(value) in known or isinstance(value, str | bytes | int | float | type(None) | type):
        return found
    known.add(id(value))
    if isinstance(value, np.ndarray):
        found.append(value)
    elif isinstance(value, dict):
        for each in value.values():
            arrays_in(each, found, known)
    elif isinstance(value, list | tuple | set | frozenset):
        if isinstance(value, list):
            found.append(value)
        for each in value:
            arrays_in(each, found, known)
    elif hasattr(value, "__dict__"):
        arrays_in(vars(value), found, known)
    return found


@BOTH
@pytest.mark.parametrize("blend", [None, "trees"])
@pytest.mark.usefixtures("few_trees")
def test_pickles_do_not_hold_the_table(cls, blend):
    sizes = []
    for n in (377, 754):
        X, z = table(n)
        y = targets(cls, z)
        estimator = quick(cls, blend=blend).fit(X[["a", "c", "when"]].assign(v=np.arange(n) % 40 / 7), y)
        data = pickle.dumps(estimator)
        again = pickle.loads(data)
        rows = X.assign(v=1 / 7)
        assert np.array_equal(
            outputs(again, rows[["a", "c", "when", "v"]]), outputs(estimator, rows[["a", "c", "when", "v"]])
        )
        # What importances need to know of the rows is a byte a round.
        assert [(each.dtype, each.shape) for each in vars(again).pop("_validated").members] == [
            (np.uint8, (n,))
        ] * (1 + (blend is not None))
        lengths = {len(each) for each in arrays_in(again) if isinstance(each, list) or each.ndim}
        # rows, and those of the sides of a fold
        assert not lengths & {n, *range(int(0.75 * n), n), n // 5, n // 5 + 1}
        sizes.append(len(data))
    if blend is None:
        assert sizes[1] < 1.1 * sizes[0]  # one may have a pair of columns or two that the other has not


@BOTH
@pytest.mark.parametrize("blend", [None, "trees"])
@pytest.mark.usefixtures("few_trees")
def test_pickles_do_not_hold_texts_of_one_row(cls, blend):
    X, z = table(200)
    X = X[["a", "c"]].assign(
        name=[f"Person {i};" for i in range(200)], place=[f"Place {i % 120};" for i in range(200)]
    )
    data = pickle.dumps(quick(cls, blend=blend, oof_predictions=True).fit(X, targets(cls, z)))
    assert {text for text in [*X["name"], *X["place"]] if text.encode() in data} == {
        f"Place {i};" for i in range(80)
    }
    few = X[["a"]].assign(who=["nobody"] * 180 + [f"Person {i};" for i in range(20)])
    assert b"Person" not in pickle.dumps(quick(cls, blend=blend).fit(few, targets(cls, z)))


def test_there_are_no_encodings_of_targets_where_there_is_nothing_to_encode():
    assert Encoders([]).n_inputs == 0


# ------------------------------------------------------------------------------------------------------------
# What does not end well


@BOTH
@pytest.mark.parametrize("fitted", [False, True])
def test_a_fit_that_fails_changes_nothing(cls, fitted, monkeypatch):
    y = targets(cls, Z)
    estimator = quick(cls)
    if fitted:
        estimator.fit(X, y)
    before = pickle.dumps(estimator)
    for error in (MemoryError, RuntimeError):
        with monkeypatch.context() as patch:
            patch.setattr(
                fitting, "train_network", lambda *args, error=error, **kwargs: (_ for _ in ()).throw(error())
            )
            for n_jobs in (1, 2):
                with pytest.raises(error):
                    estimator.set_params(n_jobs=n_jobs).fit(X[["a"]], y)
        estimator.set_params(n_jobs=1)
        assert pickle.dumps(estimator) == before


@BOTH
def test_members_that_all_diverge_leave_a_constant(cls, monkeypatch):
    monkeypatch.setattr(fitting, "train_network", lambda *args, **kwargs: (None, None))
    y = targets(cls, Z)
    predicted = outputs(quick(cls).fit(X, y), X)
    np.testing.assert_allclose(predicted[:, 1] if predicted.ndim == 2 else predicted, y.mean(), rtol=0.02)


@BOTH
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_control_c(cls, n_jobs, monkeypatch):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals arrive in the main thread")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 4))
    y = targets(cls, X[:, 0] + X[:, 1])
    estimator, plain, pressed = quick(cls, n_jobs=n_jobs), fitting.train_network, []

    def train(*args, pause, **kwargs):
        def press(n_epochs):
            if n_epochs == 3 and not pressed:
                pressed.append(True)
                os.kill(os.getpid(), signal.SIGINT)
            return pause(n_epochs)

        return plain(*args, pause=press, **kwargs)

    monkeypatch.setattr(fitting, "train_network", train)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert estimator.budget_.members and all(
        each.n_epochs < each.max_epochs for each in estimator.budget_.members
    )
    assert estimator.score(X, y) > 0.5
    again = quick(cls, time_budget=estimator.budget_)
    assert len(again.fit(X, y).budget_.members) == len(estimator.budget_.members)


@BOTH
def test_control_c_before_an_epoch_changes_nothing(cls, monkeypatch):
    y = targets(cls, Z)
    estimator = quick(cls).fit(X, y)
    before = pickle.dumps(estimator)
    monkeypatch.setattr(fitting, "train_network", lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert pickle.dumps(estimator) == before
