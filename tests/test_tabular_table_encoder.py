"""`TableEncoder`: the encodings side by side are those by themselves; names, kinds of tables, targets."""

import datetime
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnfast import MLPClassifier
from nnfast.exceptions import UnexpectedValuesWarning
from nnfast.tabular import (
    LevelEncoder,
    MissingIndicator,
    PairEncoder,
    PiecewiseLinearEncoder,
    SmoothClipScaler,
    TableEncoder,
    TargetValueEncoder,
)

N = 600


def make_table(n=N):
    """Columns of each kind, as lists: rows beyond a block of the encoders are in another test."""
    rng = np.random.default_rng(0)
    day = datetime.datetime(2024, 1, 1)
    return {
        "number": np.where(rng.uniform(size=n) < 0.1, np.nan, rng.normal(size=n)),
        "whole": rng.integers(0, 5, n),
        "truth": rng.uniform(size=n) < 0.3,
        "text": [
            None if i % 50 == 0 else ("red", "green", "blue", "grey")[(i + i // 4) % 4] for i in range(n)
        ],
        "sex": [("f", "m")[i % 2] for i in range(n)],
        "when": [day + datetime.timedelta(days=int(i), hours=int(i) % 24) for i in rng.integers(0, 700, n)],
        "constant": np.ones(n),
        "empty": np.full(n, np.nan),
    }


def frame(n=N):
    return pytest.importorskip("pandas").DataFrame(make_table(n))


@parametrize_with_checks([TableEncoder()])
def test_check_estimator(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [TableEncoder(encode_targets=True)],
    expected_failed_checks=lambda estimator: {
        "check_transformer_general": "fit_transform encodes out of fold, as TargetEncoder's does",
        "check_transformer_data_not_an_array": "fit_transform encodes out of fold",
    },
)
def test_check_estimator_with_targets(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_bins", [0, 4, 16])
def test_the_encodings_stand_side_by_side(n_bins):
    X = frame()
    encoder = TableEncoder(n_bins=n_bins)
    features = encoder.fit_transform(X)
    parts = [SmoothClipScaler(), MissingIndicator(), PiecewiseLinearEncoder(n_bins), LevelEncoder()]
    parts = parts if n_bins else [each for each in parts if not isinstance(each, PiecewiseLinearEncoder)]
    expected = np.hstack([each.fit_transform(X) for each in parts])
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, expected)
    np.testing.assert_array_equal(encoder.transform(X), expected)
    names = [name for each in parts for name in each.get_feature_names_out()]
    assert encoder.get_feature_names_out().tolist() == names
    assert len(set(names)) == len(names)
    assert not any(name.startswith(("constant", "empty")) for name in names)


def test_what_columns_became():
    encoder = TableEncoder().fit(frame())
    became = {each.name: each.became for each in encoder.columns_}
    assert sum(count for each in became.values() for count in each.values()) == len(
        encoder.get_feature_names_out()
    )
    bins = PiecewiseLinearEncoder(4).fit(frame()[["number"]]).get_feature_names_out()
    assert became["number"] == {"scaled": 1, "missing": 1, "bins": len(bins)}
    assert became["sex"] == {"levels": 1}
    assert became["text"]["levels"] == 5  # missing values recur
    assert became["constant"] == became["empty"] == {}


@pytest.mark.parametrize("kind", ["classes", "numbers", "several"])
def test_encodings_by_the_targets_are_out_of_fold_in_fit_transform_alone(kind):
    X, rng = frame().drop(columns="when"), np.random.default_rng(1)
    signal = (X["text"] == "red").to_numpy() * 2 + rng.normal(size=N)
    y = {
        "classes": np.digitize(signal, [0, 1]),
        "numbers": signal + 0.5,
        "several": np.column_stack([signal, -signal]),
    }[kind]
    encoder = TableEncoder(encode_targets=True, random_state=3)
    features = encoder.fit_transform(X, y)
    names = encoder.get_feature_names_out().tolist()
    assert features.shape == (N, len(names))
    by_target = np.array(["_target" in name for name in names])
    assert by_target.any()
    for each in (TargetValueEncoder(random_state=3), PairEncoder(random_state=3)):
        own = [names.index(name) for name in each.fit(X, y).get_feature_names_out()]
        np.testing.assert_array_equal(encoder.transform(X)[:, own], each.transform(X))
        np.testing.assert_array_equal(features[:, own], each.fit_transform(X, y))
    np.testing.assert_array_equal(clone(encoder).fit(X, y).transform(X), encoder.transform(X))
    assert (features[:, by_target] != encoder.transform(X)[:, by_target]).any()
    np.testing.assert_array_equal(features[:, ~by_target], encoder.transform(X)[:, ~by_target])


def test_targets_of_noise_tell_a_network_nothing():
    """A level a row or two, encoded in fold, would tell each row its own target."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"who": [f"w{i}" for i in rng.integers(0, 200, N)], "x": rng.normal(size=N)})
    y = rng.integers(0, 2, N)
    features = TableEncoder(encode_targets=True).fit_transform(X, y)
    correlations = [abs(np.corrcoef(column, y)[0, 1]) for column in features.T if column.std() > 0]
    assert max(correlations) < 0.2


def test_parts_of_dates_that_tell_nothing_of_the_targets_are_left_out():
    pandas = pytest.importorskip("pandas")
    when = pandas.date_range("2022-01-01", periods=N, freq="1D")
    X = pandas.DataFrame({"when": when})
    weekend = (when.day_of_week > 4).astype(float) + 0.1 * np.random.default_rng(0).normal(size=N)

    def numbers(y):
        return list(TableEncoder(n_bins=0).fit(X, y).get_feature_names_out())

    assert numbers(None) == ["when_days", "when_year", "when_month", "when_weekday"]
    assert numbers(weekend) == ["when_days", "when_weekday"]


def test_whole_numbers_stay_numbers():
    """One-hot columns of a number's values, in place of the number, lose their order."""
    X = np.arange(200)[:, np.newaxis] % 7
    y = np.isin(X[:, 0], [0, 3, 6]) + np.random.default_rng(0).normal(size=200)
    encoder = TableEncoder(n_bins=0).fit(X, y)
    assert encoder.get_feature_names_out().tolist() == ["x0"]


@pytest.mark.parametrize("n", [12, 100, 499])
def test_levels_of_small_tables_need_fewer_rows(n):
    few, X = max(2, round(0.02 * n)), np.full((n, 1), "many", dtype=object)
    X[:few, 0], X[few : 2 * few - 1, 0] = "enough", "too few"
    assert TableEncoder().fit(X).get_feature_names_out().tolist() == ["x0_many", "x0_enough"]
    assert TableEncoder(min_rows=few + 1).fit(X).get_feature_names_out().tolist() == ["x0_many", "x0_enough"]


@pytest.mark.parametrize("library", ["polars", "pyarrow", "array", "list"])
def test_tables_of_any_library_give_the_same(library):
    columns = make_table()
    expected = TableEncoder().fit_transform(frame())
    if library in ("array", "list"):
        X = np.array(list(columns.values()), dtype=object).T
        X = X.tolist() if library == "list" else X
    else:
        X = getattr(pytest.importorskip(library), {"polars": "DataFrame", "pyarrow": "table"}[library])(
            columns
        )
    np.testing.assert_array_equal(TableEncoder().fit_transform(X), expected)


def test_rows_beyond_a_block_and_other_rows():
    encoder = TableEncoder().fit(frame(10_000))
    all_at_once = encoder.transform(frame(10_000))
    rows = np.arange(0, 10_000, 7)
    np.testing.assert_array_equal(encoder.transform(frame(10_000).iloc[rows]), all_at_once[rows])
    shuffled = frame(10_000)[["sex", "when", "text", "truth", "whole", "number", "empty", "constant"]]
    np.testing.assert_array_equal(encoder.transform(shuffled), all_at_once)


def test_values_that_fit_did_not_see():
    X = frame()
    encoder = TableEncoder().fit(X)
    row = X.iloc[[1]].assign(text="violet", whole=np.nan, number=1e300)
    with pytest.warns(UnexpectedValuesWarning) as told:
        features = encoder.transform(row)
    assert len(told) == 2
    assert np.isfinite(features).all()
    levels = [i for i, name in enumerate(encoder.get_feature_names_out()) if name.startswith("text_")]
    assert (features[0, levels] == 0).all()


def test_in_a_pipeline_pickled_and_as_a_frame():
    pandas = pytest.importorskip("pandas")
    X = frame()
    y = np.where(X["text"].eq("red") | X["truth"], "yes", "no")
    model = make_pipeline(
        TableEncoder(), MLPClassifier(max_iter=30, batch_size=32, random_state=0, learning_rate="cosine")
    )
    assert cross_val_score(model, X, y, cv=3).mean() > 0.95
    model.fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))
    out = TableEncoder().set_output(transform="pandas").fit(X).transform(X)
    assert isinstance(out, pandas.DataFrame)
    assert list(out.columns) == TableEncoder().fit(X).get_feature_names_out().tolist()


def test_categories_can_be_said():
    encoder = TableEncoder(categorical_features=["whole"]).fit(frame())
    assert {each.name: each.taken_for for each in encoder.columns_}["whole"] == "category"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_bins": -1}, "'n_bins' parameter of TableEncoder must be an int in the range"),
        ({"min_rows": 0}, "'min_rows' parameter"),
        ({"max_levels": 1.5}, "'max_levels' parameter"),
        ({"random_state": None}, "'random_state' parameter"),
        ({"categorical_features": ["wole"]}, "got 'wole'. Did you mean 'whole'"),
        ({"encode_targets": True}, "requires y to be passed"),
    ],
)
def test_errors(parameters, message):
    for method in ("fit", "fit_transform"):
        with pytest.raises(ValueError, match=message):
            getattr(TableEncoder(**parameters), method)(frame(20))


def test_other_tables_that_will_not_do():
    encoder = TableEncoder().fit(frame())
    with pytest.raises(ValueError, match="X lacks columns that it had in fit: 'text'"):
        encoder.transform(frame().drop(columns="text"))
    with (
        pytest.raises(ValueError, match="X has 2 features, but TableEncoder is expecting 8 features"),
        pytest.warns(UnexpectedValuesWarning, match="TableEncoder was fitted with feature names"),
    ):
        encoder.transform(np.ones((3, 2)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TableEncoder().fit(frame(), np.ones(3))
