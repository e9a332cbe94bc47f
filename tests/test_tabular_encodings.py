"""The encodings: scikit-learn transformers, checked against formulas in NumPy and scikit-learn's own
encoders.
"""

import pickle
import tracemalloc
import warnings
from itertools import combinations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, TargetEncoder
from sklearn.utils.estimator_checks import estimator_checks_generator

from nnfast.tabular import (
    LevelEncoder,
    MissingIndicator,
    PairEncoder,
    PeriodicEncoder,
    PiecewiseLinearEncoder,
    SmoothClipScaler,
    TargetValueEncoder,
)
from nnfast.tabular.column_reader import ColumnReader
from nnfast.tabular.encoder import BLOCK
from nnfast.tabular.out_of_fold import fold_numbers
from nnfast.tabular.targets import scaled

pd = pytest.importorskip("pandas")

SUPERVISED = [TargetValueEncoder, PairEncoder]
ENCODERS = [
    SmoothClipScaler,
    MissingIndicator,
    PiecewiseLinearEncoder,
    PeriodicEncoder,
    LevelEncoder,
    *SUPERVISED,
]
ALL = pytest.mark.parametrize("cls", ENCODERS)

# What `fit_transform` of these gives is out of fold, as scikit-learn's TargetEncoder's is.
OUT_OF_FOLD = {
    "check_transformer_general": "fit_transform encodes out of fold",
    "check_transformer_data_not_an_array": "fit_transform encodes out of fold",
}
CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{getattr(check, 'func', check).__name__}")
    for cls in ENCODERS
    for estimator, check in estimator_checks_generator(
        cls(), expected_failed_checks=OUT_OF_FOLD if cls in SUPERVISED else None, mark="skip"
    )
]


@pytest.mark.parametrize("estimator, check", CHECKS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def table(n=600, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "normal": rng.normal(size=n),
            "rounded": rng.integers(0, 30, n) / 4,
            "holes": np.where(rng.random(n) < 0.2, np.nan, rng.exponential(size=n)),
            "colour": rng.choice(["red", "green", "blue"], n),
            "town": rng.choice([f"town {i}" for i in range(25)] + [None], n),
            "answer": rng.choice(["yes", "no"], n),
        }
    )
    y = X.normal * (X.answer == "yes") + X.rounded.isin([0.25, 3]) + 0.1 * rng.normal(size=n)
    return X, y.to_numpy()


@ALL
def test_transformers_have_scikit_learns_contract(cls):
    X, y = table()
    encoder = cls()
    with pytest.raises(NotFittedError):
        encoder.transform(X)
    with pytest.raises(NotFittedError):
        encoder.get_feature_names_out()
    assert encoder.fit(X, y) is encoder
    Z = encoder.transform(X)
    names = encoder.get_feature_names_out()
    assert Z.dtype == np.float32 and Z.shape == (len(X), len(names)) and np.isfinite(Z).all()
    assert len(set(names)) == len(names)
    assert all(any(name.startswith(column) for column in X) for name in names)
    assert len(encoder.sources) == len(names)
    others = [f"f{j}" for j in range(X.shape[1])]
    unnamed = clone(encoder).fit(X.to_numpy(dtype=object), y)
    assert (
        unnamed.get_feature_names_out(others).tolist()
        == [
            next(
                name.replace(column, other, 1)
                for column, other in zip(X, others, strict=True)
                if name.startswith(column)
            )
            for name in unnamed.get_feature_names_out().tolist()
            for name in [name.replace(f"x{name[1]}", list(X)[int(name[1])], 1)]
        ]
        or cls is PairEncoder
    )
    with pytest.raises(ValueError, match="input_features"):
        encoder.get_feature_names_out(["a"])
    assert np.array_equal(pickle.loads(pickle.dumps(encoder)).transform(X), Z)
    assert np.array_equal(clone(encoder).fit(X, y).transform(X), Z)
    if cls not in SUPERVISED:
        assert np.array_equal(clone(encoder).fit_transform(X), Z)
    # Rows are encoded by themselves, in whatever blocks they come.
    assert np.array_equal(np.concatenate([encoder.transform(X[i : i + 7]) for i in range(0, len(X), 7)]), Z)
    many = pd.concat([X] * (2 * BLOCK // len(X) + 1), ignore_index=True)
    assert np.array_equal(encoder.transform(many), np.tile(Z, (len(many) // len(X), 1)))


@ALL
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_come_out_where_they_are_asked_for(cls, library):
    frames = pytest.importorskip(library)
    X, y = table()
    encoder = cls().set_output(transform=library)
    Z = encoder.fit(X, y).transform(X)
    assert isinstance(Z, frames.DataFrame) and list(Z.columns) == encoder.get_feature_names_out().tolist()
    pipe = make_pipeline(
        ColumnTransformer(
            [("e", cls(), list(X)), ("more", SmoothClipScaler(), make_column_selector(dtype_include=float))]
        ),
        LinearRegression(),
    ).set_output(transform="pandas")
    assert np.isfinite(pipe.fit(X, y).predict(X)).all()


PARAMETERS = [(cls, name) for cls in ENCODERS for name in cls().get_params()]


@pytest.mark.parametrize("cls, name", PARAMETERS)
@pytest.mark.parametrize("value", [-1, "x", None, np.nan, [1]])
def test_wrong_parameters_are_named(cls, name, value):
    X, y = table(20)
    encoder = cls(**{name: value})  # as scikit-learn wants it
    for call in (encoder.fit, encoder.fit_transform):
        with pytest.raises(ValueError, match=f"The '{name}' parameter of {cls.__name__} must be"):
            call(X, y)


@pytest.mark.parametrize(
    "cls, name",
    [
        (PiecewiseLinearEncoder, "n_bins"),
        (PeriodicEncoder, "n_frequencies"),
        (LevelEncoder, "min_rows"),
        (SmoothClipScaler, "clip"),
        (LevelEncoder, "max_levels"),
        (TargetValueEncoder, "n_folds"),
        (PairEncoder, "n_folds"),
        (PairEncoder, "n_bins"),
    ],
)
def test_zero_is_too_few(cls, name):
    with pytest.raises(ValueError, match=f"'{name}' parameter .* Got 0"):
        cls(**{name: 0}).fit(*table(20))


WRONG_TARGETS = {
    "none": (None, "y"),
    "too few": ([1.0, 2.5], "20 rows, y has 2"),
    "NaN": ([np.nan] * 20, "NaN"),
    "infinite": ([np.inf] * 20, "infinity"),
    "three dimensions": (np.ones((20, 1, 1)), "y"),
}


@pytest.mark.parametrize("cls", SUPERVISED)
@pytest.mark.parametrize("case", WRONG_TARGETS)
def test_wrong_targets(cls, case):
    y, said = WRONG_TARGETS[case]
    for call in (cls().fit, cls().fit_transform):
        with pytest.raises(ValueError, match=said):
            call(table(20)[0], y)


# ------------------------------------------------------------------------------------------------------------
# Formulas


def columns_of_numbers():
    rng = np.random.default_rng(0)
    return {
        "normal": rng.normal(size=500),
        "far away": 1e6 + rng.normal(size=500),
        "heavy tails": rng.standard_cauchy(500),
        "mostly zero": np.where(rng.random(500) < 0.8, 0, rng.normal(size=500)),
        "integers": rng.integers(0, 5, 500).astype(float),
        "two": rng.integers(0, 2, 500).astype(float),
        "holes": np.where(rng.random(500) < 0.3, np.nan, rng.normal(size=500)),
        "1e30": rng.normal(size=500) * 10 ** rng.uniform(-30, 30, 500),
    }


NUMBERS = pytest.mark.parametrize("name", columns_of_numbers())


@NUMBERS
@pytest.mark.parametrize("clip", [0.5, 3])
def test_smooth_clipping(name, clip):
    x = columns_of_numbers()[name]
    there = x[~np.isnan(x)]
    low, median, high = np.percentile(there, [25, 50, 75])
    z = (x - median) / (high - low) if high > low else (x - median) * 2 / (there.max() - there.min())
    expected = np.where(np.isnan(z), 0, z / np.sqrt(1 + (z / clip) ** 2))
    found = SmoothClipScaler(clip).fit_transform(x[:, np.newaxis])[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert np.abs(found).max() <= clip


@NUMBERS
@pytest.mark.parametrize("n_bins", [2, 3, 4, 16, 48])
def test_piecewise_linear_bins(name, n_bins):
    x = columns_of_numbers()[name]
    encoder = PiecewiseLinearEncoder(n_bins)
    found = encoder.fit_transform(x[:, np.newaxis])
    edges, there = encoder.edges_[0], x[~np.isnan(x)]
    assert (np.diff(edges) > 0).all() and len(edges) <= n_bins + 1
    assert edges[0] == there.min() and edges[-1] == there.max()
    distinct = np.unique(there)
    if len(distinct) <= n_bins + 1:
        assert np.array_equal(edges, distinct)
    if len(edges) < 3:
        assert found.shape[1] == 0
        return
    grid = np.concatenate([there, np.linspace(there.min() - 1, there.max() + 1, 400), edges])
    filled = np.append(grid, np.median(there))
    expected = np.clip((filled[:, np.newaxis] - edges[:-1]) / (edges[1:] - edges[:-1]), 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a missing value where fit had none
        found = encoder.transform(np.append(grid, np.nan)[:, np.newaxis])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_bins_resolve_what_a_frequent_value_would_hide():
    x = np.concatenate([np.zeros(9000), np.linspace(1, 2, 1000)])[:, np.newaxis]
    edges = PiecewiseLinearEncoder(16).fit(x).edges_[0]
    assert np.sum((edges > 1) & (edges < 2)) >= 6
    steps = np.diff(edges)
    mass = np.quantile(x, np.linspace(0, 1, 9))
    assert set(mass) <= set(edges) and (steps > 0).all()


@NUMBERS
def test_periodic(name):
    x = columns_of_numbers()[name][:, np.newaxis]
    encoder = PeriodicEncoder(n_frequencies=5, scale=2.0, random_state=3).fit(x)
    z = SmoothClipScaler().fit_transform(x).astype(np.float64)
    expected = np.cos(2 * np.pi * z * encoder.frequencies_[0] + encoder.phases_[0])
    np.testing.assert_allclose(encoder.transform(x), expected, atol=2e-5)
    many = PeriodicEncoder(4000, scale=0.7).fit(x)
    assert many.frequencies_.std() == pytest.approx(0.7, rel=0.05) and abs(many.phases_).max() <= np.pi


@pytest.mark.parametrize("min_rows, max_levels", [(1, 256), (10, 256), (25, 256), (1, 4), (1000, 256)])
def test_levels_are_scikit_learns_one_hot_columns(min_rows, max_levels):
    X, _ = table()
    found = (
        LevelEncoder(min_rows, max_levels).set_output(transform="pandas").fit_transform(X[["colour", "town"]])
    )
    filled = X[["colour", "town"]].fillna("missing")
    theirs = OneHotEncoder(sparse_output=False).set_output(transform="pandas").fit_transform(filled)
    for column in ("colour", "town"):
        counts = filled[column].value_counts()
        mine = [name for name in found if name.startswith(column)]
        frequent = counts[counts >= min_rows]
        assert len(mine) == min(len(frequent), max_levels)
        assert all(
            counts[name.removeprefix(f"{column}_")] >= frequent.nlargest(max_levels).min() for name in mine
        )
        assert (found[mine] == theirs[mine]).all(axis=None)


def test_two_levels_are_one_input():
    X = pd.DataFrame({"two": ["a", "b", "b", "b"], "one and none": ["a", None, "a", "a"]})
    found = LevelEncoder().fit_transform(X)
    assert found.shape == (4, 2)
    for column, first in zip(found.T, (X.two == "a", X["one and none"] == "a"), strict=True):
        assert set(column) == {-1, 1} and abs(np.corrcoef(column, first)[0, 1]) == pytest.approx(1)


def test_missing_indicators():
    X, _ = table()
    encoder = MissingIndicator().fit(X)
    assert encoder.get_feature_names_out().tolist() == ["holes_missing"]
    assert np.array_equal(encoder.transform(X)[:, 0], X.holes.isna())


TARGETS = {
    "numbers": lambda rng, y: y,
    "two classes": lambda rng, y: np.where(y > 0.5, "b", "a"),
    "three classes": lambda rng, y: np.digitize(y, [0, 1]),
    "booleans": lambda rng, y: y > 0.5,
    "two outputs": lambda rng, y: np.stack([y, rng.normal(size=len(y))], axis=1),
    "1e300": lambda rng, y: y * 1e300,
}


def standardized(y):
    if y.ndim == 1 and y.dtype != np.float64:
        classes = np.unique(y)
        y = (y[:, np.newaxis] == (classes[1:] if len(classes) == 2 else classes)).astype(float)
    y = y.reshape(len(y), -1) / np.abs(y).max()
    return (y - y.mean(axis=0)) / y.std(axis=0)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("smoothing", [0.5, 20.0])
def test_targets_by_value(kind, smoothing):
    X, y = table()
    y = TARGETS[kind](np.random.default_rng(0), y)
    t = standardized(y)
    encoder = TargetValueEncoder(smoothing=smoothing, n_folds=4, random_state=5)
    out_of_fold = encoder.fit_transform(X, y)
    found = encoder.transform(X)
    k = t.shape[1]
    assert [name.split("_target")[0] for name in encoder.get_feature_names_out()[::k]] == [
        "rounded",
        "colour",
        "town",
    ]
    fold_of = fold_numbers(len(X), 4, 5)
    assert np.bincount(fold_of).tolist() == [150] * 4
    for j, column in enumerate(["rounded", "colour", "town"]):
        values = X[column].fillna("missing").to_numpy()
        for i in range(0, len(X), 29):
            same = values == values[i]
            others = same & (fold_of != fold_of[i])
            np.testing.assert_allclose(
                found[i, j * k : j * k + k], t[same].sum(axis=0) / (same.sum() + smoothing), atol=1e-5
            )
            expected = (t[others] - t[fold_of != fold_of[i]].mean(axis=0)).sum(axis=0) / (
                others.sum() + smoothing
            )
            np.testing.assert_allclose(out_of_fold[i, j * k : j * k + k], expected, atol=1e-5)


def test_targets_by_value_are_scikit_learns_target_encoder():
    X, y = table()
    t = (y - y.mean()) / y.std()
    theirs = (
        TargetEncoder(smooth=20.0, target_type="continuous").fit(X[["colour"]], t).transform(X[["colour"]])
    )
    ours = TargetValueEncoder(smoothing=20.0).fit(X[["colour"]], y).transform(X[["colour"]])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_values_that_fit_did_not_see_are_the_mean():
    X, y = table()
    encoder = TargetValueEncoder().fit(X[["rounded", "holes"]], y)
    assert encoder.transform(
        pd.DataFrame({"rounded": [0.1, 99, -1e30], "holes": [0.0] * 3})
    ).ravel().tolist() == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("make", [float, str])
def test_values_of_one_row_are_the_mean_as_out_of_fold(make):
    values = [*(i // 10 for i in range(300)), *range(100, 120)]
    X = pd.DataFrame({"v": list(map(make, values))})
    encoder = TargetValueEncoder(smoothing=0)
    out_of_fold = encoder.fit_transform(X, np.arange(320.0)).ravel()
    assert not out_of_fold[300:].any() and not encoder.transform(X)[300:].any()
    assert encoder.transform(X)[:300].all()


@pytest.mark.parametrize("values", [np.arange(60.0), [f"v{i}" for i in range(60)]])
def test_values_of_which_none_recurs_are_not_encoded(values):
    encoder = TargetValueEncoder(min_rows=1, min_distinct=0).fit(pd.DataFrame({"v": values}), np.arange(60.0))
    assert encoder.columns_ == [] and encoder.transform(pd.DataFrame({"v": values})).shape == (60, 0)


def test_pairs_are_found_where_a_product_counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 6))
    y = X[:, 1] * X[:, 4] + X[:, 0] + 0.3 * rng.normal(size=3000)
    encoder = PairEncoder().fit(X, y)
    assert encoder.pairs_[0] == (1, 4) and encoder.gains_ == sorted(encoder.gains_, reverse=True)
    column = encoder.transform(X)[:, 0]
    assert np.corrcoef(column, X[:, 1] * X[:, 4])[0, 1] > 0.8
    assert PairEncoder().fit(X, X @ rng.normal(size=6) + rng.normal(size=3000)).pairs_ == []


def test_pairs_of_levels_are_means_by_cell():
    """In a balanced design without main effects, the residual is the target."""
    a, b = np.repeat(list("abc"), 300), np.tile(np.repeat(list("xyz"), 100), 3)
    y = np.where((a == "a") == (b == "x"), 1.1, -1.1) * np.where(
        (a == "a") | (b == "x"), np.where((a == "a") & (b == "x"), 4, 2), 1
    )
    X = np.stack([a, b], axis=1)
    encoder = PairEncoder(smoothing=10.0).fit(X, y)
    assert encoder.pairs_ == [(0, 1)]
    cells = pd.Series(y - y.mean()).groupby([a, b]).transform("sum") / 110
    assert np.corrcoef(encoder.transform(X)[:, 0], cells)[0, 1] == pytest.approx(1, abs=1e-6)
    assert encoder.transform(X)[:, 0].std() == pytest.approx(1, rel=1e-5)


# ------------------------------------------------------------------------------------------------------------
# Leaks


NOISE_TABLES = {
    "pairs of rows": lambda rng, n: np.array([f"{i // 2}" for i in rng.permutation(n)])[:, np.newaxis],
    "small levels": lambda rng, n: rng.integers(0, n // 8, (n, 2)).astype(str),
    "large levels": lambda rng, n: rng.integers(0, 5, (n, 2)).astype(str),
    "recurring numbers": lambda rng, n: rng.integers(0, n // 20, (n, 2)) / 7,
    "numbers": lambda rng, n: rng.normal(size=(n, 3)),
}


@pytest.fixture
def all_pairs(monkeypatch):
    """Have PairEncoder encode all pairs: which it chooses tells of the targets, too."""
    monkeypatch.setattr(
        PairEncoder, "_choose", lambda self, codes, *more: [(1.0, *pair) for pair in combinations(codes, 2)]
    )


@pytest.mark.parametrize("cls", SUPERVISED)
@pytest.mark.parametrize("name", NOISE_TABLES)
def test_encodings_of_noise_tell_nothing_of_the_rows_own_targets(name, cls, all_pairs):
    """Over many tables, the mean AUC of an encoded column is a half out of fold, and more in rows that were
    learned of.

    Among rows of one fold: those of another were encoded by their targets.
    """
    out_of_fold, learned = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X, y = NOISE_TABLES[name](rng, 400), rng.integers(0, 2, 400)
        encoder = cls(random_state=seed)
        Z, folds = encoder.fit_transform(X, y), fold_numbers(400, 5, seed)
        out_of_fold += [
            [roc_auc_score(y[folds == k], column[folds == k]) for column in Z.T for k in range(5)]
        ]
        learned += [[roc_auc_score(y, column) for column in encoder.transform(X).T]]
    if out_of_fold[0]:
        means = np.mean(out_of_fold, axis=1)
        assert abs(means.mean() - 0.5) < 3.5 * means.std() / len(means) ** 0.5
        assert np.mean(learned) > 0.54


@pytest.mark.parametrize("cls", SUPERVISED)
@pytest.mark.parametrize("weighted", [False, True])
def test_what_a_row_becomes_does_not_depend_on_the_targets_of_its_fold(cls, weighted, all_pairs):
    rng = np.random.default_rng(0)
    X, y = pd.DataFrame(rng.integers(0, 6, (500, 3)).astype(str)), rng.normal(size=500)
    weights = rng.uniform(0.5, 2, 500) if weighted else None
    folds = fold_numbers(500, 5, 0)
    for fold in range(5):
        own = np.flatnonzero(folds == fold)
        other = y.copy()
        other[own] = rng.permutation(other[own])  # the mean and the scale of the targets stay
        before, after = (
            cls().fit_encode_table(ColumnReader().fit(X), scaled(targets[:, np.newaxis]), weights)
            for targets in (y, other)
        )
        # Of pairs, a column is divided by its deviation, which is one number.
        norms = [np.linalg.norm(each[own], axis=0) for each in (before, after)]
        ratios = norms[0] / norms[1] if cls is PairEncoder else 1.0
        np.testing.assert_allclose(before[own], after[own] * ratios, atol=1e-6)
        assert np.abs(before - after).max() > 0.01


# ------------------------------------------------------------------------------------------------------------
# Memory


@ALL
def test_memory_beside_the_table_and_its_encoding_is_a_blocks(cls):
    rng = np.random.default_rng(0)
    n = 16 * BLOCK
    X, y = rng.normal(size=(n, 6)), rng.normal(size=n)
    X[:, :2] = np.round(X[:, :2])
    X[::9, 2] = np.nan
    encoder = cls().fit(X[: n // 16], y[: n // 16])
    typed = n * 8 * 6
    tracemalloc.start()
    Z = encoder.transform(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    columns = max(1, Z.shape[1])
    # The numbers as float64 in columns, two of them on their way, and a few arrays of a block.
    assert peak < Z.nbytes + typed * 1.4 + 6 * BLOCK * 8 * (columns + 6) + 2**20
