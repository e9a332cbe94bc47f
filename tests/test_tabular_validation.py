"""The rows that validate the members of tabular ensembles: folds, groups, times, `X_val`; and that nothing
leaks.
"""

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from small_tables import BOTH, CODES, NAN, X, Z, outputs, quick, table, targets

from nnfast.tabular import TabularClassifier, fitting
from nnfast.tabular.folds import group_folds, of_weighted_rows, random_folds, time_folds

pd = pytest.importorskip("pandas")


def is_partition(folds, n, *, whole=True):
    held = np.concatenate([each.validation for each in folds])
    return len(np.unique(held)) == len(held) and (len(held) == n or not whole)


@pytest.mark.parametrize("n", [2, 3, 5, 17, 100])
@pytest.mark.parametrize("n_folds", [2, 5])
def test_random_folds(n, n_folds):
    rng = np.random.default_rng(n)
    for strata in (None, rng.integers(0, 3, n), np.arange(n), np.where(np.arange(n) == 0, 1, 0)):
        folds = random_folds(n, n_folds, strata, 0)
        assert len(folds) == min(n, n_folds) and is_partition(folds, n)
        for each in folds:
            assert np.array_equal(np.sort(np.concatenate([each.train, each.validation])), np.arange(n))
            assert len(each.validation) in (n // len(folds), n // len(folds) + 1)
            if strata is not None and n >= 17:
                for stratum in np.unique(strata):
                    assert (
                        abs(
                            np.sum(strata[each.validation] == stratum)
                            - np.sum(strata == stratum) / len(folds)
                        )
                        <= 1
                    )


@pytest.mark.parametrize("n_groups", [2, 3, 40])
def test_no_group_is_on_both_sides(n_groups):
    groups = np.random.default_rng(0).integers(0, n_groups, 100)
    folds = group_folds(groups, 5, 0)
    assert len(folds) == min(5, len(np.unique(groups))) and is_partition(folds, 100)
    assert all(not set(groups[each.train]) & set(groups[each.validation]) for each in folds)


@pytest.mark.parametrize(
    "make", [partial(group_folds, np.arange(100) // 4, seed=0), partial(time_folds, np.arange(100))]
)
def test_folds_without_the_rows_of_weight_0_keep_groups(make):
    weights = (np.arange(100) % 3 > 0).astype(float)
    kept = of_weighted_rows(lambda number, n_folds: make(n_folds=n_folds), weights)(0, 5)
    for fold, whole in zip(kept, make(n_folds=5), strict=True):
        assert fold.train.tolist() == [row for row in whole.train if row % 3]
        assert fold.validation.tolist() == [row for row in whole.validation if row % 3]
        assert fold.groups.tolist() == [
            group for row, group in zip(whole.train, whole.groups, strict=True) if row % 3
        ]


@pytest.mark.parametrize(
    "when",
    [
        np.arange(100.0),
        np.arange(100) // 7,
        np.array([0] * 60 + [1] * 40),
        np.array([0] * 10 + [1] * 90),
        np.arange(2),
        np.datetime64("2020-01-01") + np.arange(50) % 13,
    ],
    ids=str,
)
def test_validation_rows_are_later(when):
    order = np.random.default_rng(0).permutation(len(when))
    folds = time_folds(when[order], 5)
    assert 1 <= len(folds) <= 5 and is_partition(folds, len(when), whole=False)
    assert all(when[order][each.train].max() < when[order][each.validation].min() for each in folds)


@pytest.fixture
def seen(monkeypatch):
    """The folds of the members that are trained."""
    folds, plain = [], fitting.train_network

    def train(recipe, task, X, factors, fold, *args, **kwargs):
        folds.append(fold)
        return plain(recipe, task, X, factors, fold, *args, **kwargs)

    monkeypatch.setattr(fitting, "train_network", train)
    return folds


GROUPS = {
    "integers": np.arange(120) // 10,
    "text": [f"g{i // 10}" for i in range(120)],
    "series": pd.Series([f"g{i // 10}" for i in range(120)]),
    "mixed": np.array([i // 10 if i < 60 else f"g{i // 10}" for i in range(120)], dtype=object),
    "categories": pd.Series(pd.Categorical([f"g{i // 10}" for i in range(120)])),
}


@BOTH
@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.usefixtures("short_networks")
def test_groups(cls, kind, seen):
    quick(cls).fit(X, targets(cls, Z), groups=GROUPS[kind])
    assert seen
    for fold in seen:
        assert not set(fold.train // 10) & set(fold.validation // 10)


@BOTH
@pytest.mark.parametrize("column", ["when", "a", 3, "when as text name"])
@pytest.mark.usefixtures("short_networks")
def test_time_columns(cls, column, seen):
    frame = X.rename(columns={"when": column}) if column == "when as text name" else X
    quick(cls, time_column=column).fit(frame, targets(cls, Z))
    when = X.a if column == "a" else X.when
    assert seen and all(when[each.train].max() < when[each.validation].min() for each in seen)


@BOTH
@pytest.mark.usefixtures("short_networks")
def test_own_validation_rows(cls, seen):
    X_val, z_val = table(40, seed=1)
    y, y_val = targets(cls, Z), targets(cls, z_val)
    estimator = quick(cls).fit(X, y, X_val=X_val, y_val=y_val)
    assert seen and all(np.array_equal(each.train, np.arange(120)) for each in seen)
    assert all(np.array_equal(each.validation, np.arange(120, 160)) for each in seen)
    assert len(estimator.predict(X_val)) == 40
    weighted = quick(cls).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=np.ones(40))
    assert np.array_equal(outputs(estimator, X), outputs(weighted, X))


X_VAL, Z_VAL = table(40, seed=1)
WRONG_FITS = {
    "X_val alone": ({"X_val": X_VAL}, "X_val without y_val"),
    "y_val alone": ({"y_val": CODES}, "y_val without X_val"),
    "weights alone": ({"sample_weight_val": np.ones(40)}, "sample_weight_val without X_val"),
    "lengths": ({"X_val": X_VAL, "y_val": CODES[:7]}, "X_val has 40 rows, y_val has 7"),
    "weights of another length": (
        {"X_val": X_VAL, "y_val": CODES[:40], "sample_weight_val": [1.0]},
        "sample_weight",
    ),
    "an unknown class": ({"X_val": X_VAL, "y_val": CODES[:40] + 5}, "y_val has a class that y does not have"),
    "classes of another kind": (
        {"X_val": X_VAL, "y_val": ["0"] * 40},
        "y_val has a class that y does not have: '0'",
    ),
    "labels for classes": ({"X_val": X_VAL, "y_val": np.eye(40, 2, dtype=int)}, "y_val"),
    "groups and X_val": (
        {"X_val": X_VAL, "y_val": CODES[:40], "groups": CODES},
        "one of groups, time_column and X_val, got groups and X_val",
    ),
    "columns": ({"X_val": X_VAL[["a"]], "y_val": CODES[:40]}, "X_val lacks columns"),
    "groups of another length": ({"groups": [1, 2]}, "groups must have a label for each of the 120 rows"),
    "missing groups": (
        {"groups": np.where(np.isnan(NAN), np.nan, 1)},
        "groups must have a label for each row, and row 3",
    ),
    "one group": ({"groups": np.ones(120)}, "groups must have at least two"),
}


@pytest.mark.parametrize("case", WRONG_FITS)
@pytest.mark.usefixtures("short_networks")
def test_wrong_validation_rows_are_errors_that_change_nothing(case):
    more, said = WRONG_FITS[case]
    fitted = quick(TabularClassifier).fit(X, CODES)
    before = fitted.predict_proba(X), sorted(vars(fitted))
    for estimator in (fitted, quick(TabularClassifier)):
        with pytest.raises(ValueError, match=said):
            estimator.fit(X, CODES, **more)
    assert np.array_equal(fitted.predict_proba(X), before[0]) and sorted(vars(fitted)) == before[1]
    assert not hasattr(estimator, "classes_")


def test_time_and_groups_are_one_too_many():
    with pytest.raises(ValueError, match="got groups and time_column"):
        quick(TabularClassifier, time_column="when").fit(X, CODES, groups=CODES)
    with pytest.raises(ValueError, match="two different times"):
        quick(TabularClassifier, time_column="same").fit(X.assign(same=1), CODES)


# ------------------------------------------------------------------------------------------------------------
# Leaks

LEAKS = {
    "pairs of rows": lambda rng, n: pd.DataFrame({"c": [f"{i // 2}" for i in rng.permutation(n)]}),
    "levels": lambda rng, n: pd.DataFrame(rng.integers(0, 30, (n, 3)).astype(str), columns=list("abc")),
    "numbers": lambda rng, n: pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd")),
    "recurring numbers": lambda rng, n: pd.DataFrame(rng.integers(0, 30, (n, 3)) / 7, columns=list("abc")),
}


@pytest.mark.filterwarnings("ignore::nnfast.exceptions.UnexpectedValuesWarning")
@pytest.mark.parametrize("name", LEAKS)
@BOTH
def test_noise_is_predicted_by_chance(cls, name):
    scores = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X, y = LEAKS[name](rng, 1200), rng.normal(size=1200)
        y = (y > 0).astype(int) if cls is TabularClassifier else y
        estimator = quick(cls, oof_predictions=True).fit(X[:600], y[:600])
        for predicted, true in (
            (estimator.oof_predictions_, y[:600]),
            (outputs(estimator, X[600:]), y[600:]),
        ):
            predicted = predicted[:, 1] if predicted.ndim == 2 else predicted
            scores.append(roc_auc_score(true > 0, predicted) if predicted.std() > 1e-9 else 0.5)
    out_of_fold, held_out = np.mean(scores[::2]), np.mean(scores[1::2])
    error = 0.0236 / 2**0.5  # the standard error of an AUC of 600 rows, twice
    assert abs(held_out - 0.5) < 3.5 * error
    assert (
        0.5 - 3.5 * error < out_of_fold < 0.5 + 6 * error
    )  # the best epochs, and the shares, are chosen by these rows


@BOTH
@pytest.mark.usefixtures("short_networks")
def test_no_targets_of_validation_rows_reach_the_inputs_of_a_member(cls, monkeypatch):
    """The inputs of a member, of training and of validation rows, do not change with the targets of its
    validation rows.
    """
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 12, (400, 3)) / 7, columns=list("abc")).assign(
        d=rng.choice(list("uvwxyz"), 400)
    )
    y = targets(cls, (X.a > 0.8) * (X.d > "w") + X.b + 0.1 * rng.normal(size=400))
    X_val, inputs, plain = X[300:], [], fitting.train_network

    def train(recipe, task, X, *args, **kwargs):
        inputs.append(X.copy())
        return plain(recipe, task, X, *args, **kwargs)

    monkeypatch.setattr(fitting, "train_network", train)
    for y_val in (y[300:], y[300:][::-1]):
        quick(cls).fit(X[:300], y[:300], X_val=X_val, y_val=y_val)
    half = len(inputs) // 2
    assert half and all(np.array_equal(*pair) for pair in zip(inputs[:half], inputs[half:], strict=True))
