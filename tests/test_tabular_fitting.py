"""How ensembles are fitted: budgets, qualities, weights of rounds, factors of inputs, predictions out of
fold.
"""

import itertools
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest

from nnfast.tabular import TabularClassifier, TabularRegressor, base, budget
from nnfast.tabular import recipe as recipes
from nnfast.tabular.blending import blend_weights
from nnfast.tabular.relevance import HIGHEST, LOWEST, relevance_factors

BOTH = pytest.mark.parametrize("cls", [TabularClassifier, TabularRegressor])


def table(n=120):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    return X, X[:, 0] + np.round(X[:, 1]) ** 2 + 0.3 * rng.normal(size=n)


X, Z = table()


def targets(cls, z=Z):
    return (z > 0.8).astype(int) if cls is TabularClassifier else z


def quick(cls, **more):
    return cls(**{"quality": "fast", "random_state": 0, "n_jobs": 1} | more)


def outputs(estimator, X=X):
    return estimator.predict_proba(X) if hasattr(estimator, "classes_") else estimator.predict(X)


def trained(estimator):
    return [(each.round, each.fold, each.max_epochs, each.n_epochs) for each in estimator.budget_.members]


# ------------------------------------------------------------------------------------------------------------
# Budgets


@pytest.fixture
def ticking(monkeypatch):
    """A clock on which each look at the time takes a second, so that a fit on one thread repeats."""
    clock = SimpleNamespace(monotonic=itertools.count(1000.0).__next__)
    monkeypatch.setattr(budget, "time", clock)
    monkeypatch.setattr(base, "time", clock)


@BOTH
@pytest.mark.parametrize(
    "blend, seconds",
    [(None, 1), (None, 12), (None, 40), (None, 250), ("trees", 1), ("trees", 6), ("trees", 150)],
)
def test_a_budget_repeats_a_fit_that_was_stopped_early(cls, blend, seconds, ticking, few_trees):
    y = targets(cls)
    first = quick(cls, time_budget=seconds, blend=blend, oof_predictions=True).fit(X, y)
    assert first.budget_.seconds == seconds
    assert first.budget_.members and (first.budget_.trees is None) == (blend is None)
    for n_jobs in (1, 2):
        again = quick(cls, time_budget=first.budget_, blend=blend, oof_predictions=True, n_jobs=n_jobs).fit(
            X, y
        )
        assert trained(again) == trained(first) and again.budget_.seconds == seconds
        assert np.array_equal(outputs(again), outputs(first))
        assert np.array_equal(again.oof_predictions_, first.oof_predictions_, equal_nan=True)


def test_members_end_at_the_deadline(ticking):
    """On a clock of looks at the time, a member looks once an epoch."""
    estimator = quick(TabularRegressor, time_budget=30).fit(X, Z)
    stopped = [each for each in estimator.budget_.members if each.n_epochs < each.max_epochs]
    assert stopped and estimator.budget_.used < 60


@BOTH
def test_a_budget_repeats_a_fit_as_planned(cls):
    y = targets(cls)
    first = quick(cls).fit(X, y)
    again = quick(cls, time_budget=first.budget_, n_jobs=2).fit(X, y)
    assert first.budget_.seconds is None and trained(again) == trained(first)
    assert all(n_epochs == max_epochs for _, _, max_epochs, n_epochs in trained(first))
    assert np.array_equal(outputs(again), outputs(first))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_budget_of_seconds_ends_in_time(n_jobs):
    """Of a fit that would take many times as long. The bound allows for a machine that does other
    things too.
    """
    X, z = table(5000)
    start = time.monotonic()
    estimator = quick(TabularRegressor, quality="best", time_budget=0.7, n_jobs=n_jobs).fit(X, z)
    assert time.monotonic() - start < 5 * 0.7
    assert estimator.budget_.seconds == 0.7 and estimator.budget_.members and estimator.score(X, z) > 0


def test_more_seconds_than_the_plan_needs_train_more_rounds(ticking):
    estimator = quick(TabularRegressor, time_budget=400).fit(X, Z)
    assert len({each.round for each in estimator.budget_.members}) > len(
        recipes.plan("regression", "fast", 120, 3)
    )


# ------------------------------------------------------------------------------------------------------------
# Qualities


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("n_rows", [10, 1000, 7501, 25_000, 200_000])
def test_qualities_differ_in_how_much_they_train(task, n_rows):
    fast, default, best = (
        sum(recipe.max_epochs * n_folds for recipe, n_folds in recipes.plan(task, quality, n_rows, 10))
        for quality in ("fast", "default", "best")
    )
    assert fast < default < best
    assert 0.3 < fast / default < 0.42 and best / default == pytest.approx(5, rel=0.1)


def test_the_recipes_of_the_best_quality_see_numbers_otherwise():
    found = [recipe for recipe, _ in recipes.plan("binary", "best", 5000, 10)]
    assert found[0] == found[-1] == recipes.default_recipe("binary", 5000, 10)
    assert [(each.n_bins, each.n_frequencies) for each in found] == [
        (32, 0),
        (8, 0),
        (0, 0),
        (0, 16),
        (32, 0),
    ]


@pytest.mark.parametrize("quality, n_folds", [("fast", 5), ("default", 10)])
def test_a_quality_trains_its_plan(quality, n_folds):
    estimator = quick(TabularRegressor, quality=quality).fit(X, Z)
    [(recipe, _)] = recipes.plan("regression", quality, len(X), 3)
    assert trained(estimator) == [(0, k, recipe.max_epochs, recipe.max_epochs) for k in range(n_folds)]


# ------------------------------------------------------------------------------------------------------------
# Weights of rounds


@BOTH
def test_rounds_and_a_constant_share_a_weight_of_one(cls):
    y = targets(cls)
    estimator = quick(cls, blend="trees", time_budget=quick(cls).fit(X, y).budget_).fit(X, y)
    ensemble, read = estimator._ensemble, estimator._reader.read(X)
    weights = [each.weight for each in ensemble.rounds]
    assert [type(each).__name__ for each in ensemble.rounds] == ["TreeRound", "Round"]
    assert min(*weights, ensemble.constant_weight) >= 0 and sum(
        weights
    ) + ensemble.constant_weight == pytest.approx(1)
    constant = np.array([np.mean(y == k) for k in (0, 1)]) if cls is TabularClassifier else y.mean()
    np.testing.assert_allclose(ensemble.constant, np.atleast_1d(constant), atol=0.01)
    by_hand = (
        sum(each.weight * each.outputs(read) for each in ensemble.rounds)
        + ensemble.constant_weight * ensemble.constant
    )
    np.testing.assert_allclose(outputs(estimator), by_hand.reshape(outputs(estimator).shape), rtol=1e-12)


def test_trees_help_where_networks_cannot_see():
    """A target that jumps at many places of a number, of which the trees' round has the larger weight."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(1500, 2))
    y = np.random.default_rng(1).normal(size=100)[(100 * X[:, 0]).astype(int)]
    estimator = quick(TabularRegressor, blend="trees").fit(X, y)
    by_trees, by_networks = estimator._ensemble.rounds
    assert by_trees.weight > by_networks.weight


LOSSES = {
    "squares": lambda z, y: np.mean((z - y) ** 2),
    "absolute values": lambda z, y: np.mean(np.abs(z - y)),
    "logarithms": lambda z, y: np.mean(np.log(np.cosh(z - y))),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("n_outputs", [1, 2, 3, 7])
def test_a_blend_is_no_worse_than_the_best_of_its_parts(name, n_outputs):
    rng = np.random.default_rng(n_outputs)
    for scale in (0.0, 0.1, 1.0, 100.0):
        y = rng.normal(size=(50, 2))
        parts = [
            y + scale * rng.exponential() * rng.normal(size=y.shape) + rng.normal() for _ in range(n_outputs)
        ]
        weights = blend_weights(parts, lambda z, y=y: LOSSES[name](z, y))
        assert weights.shape == (n_outputs,) and (weights >= 0).all() and weights.sum() == pytest.approx(1)
        blended = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        assert LOSSES[name](blended, y) <= min(LOSSES[name](part, y) for part in parts) * (1 + 1e-12)


@pytest.mark.parametrize("below, above", [(1.0, 1.0), (1.0, 3.0), (0.2, 1.0), (1.0, 39.0)])
def test_weights_of_two_parts_are_those_of_the_closed_form(below, above):
    """Errors of -below and +above cancel at weights above and below, over their sum."""
    y = np.arange(5.0)[:, np.newaxis]
    weights = blend_weights([y - below, y + above], lambda z: float(np.mean((z - y) ** 2)))
    np.testing.assert_allclose(weights, np.array([above, below]) / (above + below), atol=1 / 40)


def test_a_part_that_is_right_has_all_the_weight():
    y = np.arange(5.0)[:, np.newaxis]
    weights = blend_weights([y + 1, y, -y], lambda z: float(np.mean((z - y) ** 2)))
    assert weights.tolist() == [0, 1, 0]


# ------------------------------------------------------------------------------------------------------------
# Factors of inputs

# Eight columns of +-1, orthogonal to each other: the correlation of one with a mean of them is its share's
# root.
SIGNS = np.array([[(-1) ** bin(i & j).count("1") for j in range(8)] for i in range(8)])
LARGE = np.tile(SIGNS, (50, 1))  # 400 rows


def by_formula(relevance, strength):
    relevance = np.maximum(relevance, 1e-4)
    return np.clip((relevance / relevance.mean()) ** (strength / 2), LOWEST, HIGHEST)


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0, 2.0])
def test_factors_of_inputs_are_those_of_the_closed_form(strength):
    share = np.array([0.6, 0.3, 0.1])
    target = LARGE[:, 1:4] @ np.sqrt(share)  # of mean 0 and variance 1
    factors = relevance_factors(
        LARGE[:, 1:4].astype(np.float32), target[:, np.newaxis], np.arange(3), strength
    )
    assert factors.dtype == np.float32
    np.testing.assert_allclose(factors, by_formula(share - 2 / 400, strength), rtol=1e-5)
    # Neither scale nor shift of an input counts, nor the number of a column.
    moved = (LARGE[:, 1:4] * [1e-3, -1, 50] + [0, 7, 300]).astype(np.float32)
    np.testing.assert_allclose(
        relevance_factors(moved, target[:, np.newaxis], np.array([0, 3, 8]), strength), factors, rtol=1e-4
    )


def test_inputs_of_a_column_have_the_factor_of_the_best_of_them_for_any_target():
    targets = np.stack([LARGE[:, 1], np.sqrt(0.5) * (LARGE[:, 2] + LARGE[:, 3])], axis=1)
    inputs = LARGE[:, [3, 1, 2, 5]].astype(np.float32)  # relevances 0.5, 1, 0.5 and 0
    factors = relevance_factors(inputs, targets, np.array([0, 0, 1, 2]), 1.0)
    np.testing.assert_allclose(
        factors, by_formula(np.array([1, 0.5, 0]) - 2 / 400, 1.0)[[0, 0, 1, 2]], rtol=1e-5
    )


def test_factors_of_many_inputs_are_those_of_each_by_the_same_rows():
    rng = np.random.default_rng(0)
    rows, X = np.arange(0, 120, 3), rng.normal(size=(120, 700)).astype(np.float32)
    targets, sources = rng.normal(size=(40, 2)) + X[rows][:, [5, 650]], np.arange(700) // 2
    r = np.array([[np.corrcoef(x, t)[0, 1] ** 2 for t in targets.T] for x in X[rows].T]).max(axis=1)
    by_column = r.reshape(-1, 2).max(axis=1) - 2 / 40
    targets = (targets - targets.mean(axis=0)) / targets.std(axis=0)
    factors = relevance_factors(X, targets, sources, 1.0, rows)
    np.testing.assert_allclose(factors, by_formula(by_column, 1.0).repeat(2), rtol=1e-4)
    assert factors.argmax() // 2 in (5 // 2, 650 // 2)


def test_factors_without_anything_to_tell():
    target, sources = LARGE[:, :1] * 0 + LARGE[:, 1:2], np.arange(2)
    assert relevance_factors(LARGE[:, 1:3].astype(np.float32), target, sources, 0).tolist() == [1, 1]
    constant = np.ones((400, 2), dtype=np.float32)
    assert relevance_factors(constant, target, sources, 0.5).tolist() == [1, 1]
    assert relevance_factors(constant[:, :0], target, sources[:0], 0.5).shape == (0,)


@BOTH
def test_predictions_out_of_fold_are_those_of_the_member_that_a_row_validated(cls):
    """Members train on inputs times factors, and predict inputs without."""
    estimator = quick(cls, oof_predictions=True).fit(X, targets(cls))
    for fold, member in enumerate(estimator._ensemble.rounds[0].members):
        rows = estimator._validated.rows(0, fold)
        inputs = estimator._reader.read(X[rows])
        shared = estimator._ensemble.rounds[0].encoders.encode(inputs)
        weight, constant = (
            estimator._ensemble.rounds[0].weight,
            estimator._ensemble.constant_weight * estimator._ensemble.constant,
        )
        expected = weight * member.outputs(inputs, shared) + constant
        found = estimator.oof_predictions_[rows]
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------
# Predictions out of fold


@BOTH
def test_predictions_out_of_fold_have_the_shape_of_predictions(cls):
    estimator = quick(cls, oof_predictions=True).fit(X, targets(cls))
    assert (
        estimator.oof_predictions_.shape == outputs(estimator).shape
        and np.isfinite(estimator.oof_predictions_).all()
    )
    assert not hasattr(quick(cls).fit(X, targets(cls)), "oof_predictions_")
    several = np.stack([targets(cls), 1 - targets(cls), targets(cls)], axis=1)
    assert quick(cls, oof_predictions=True).fit(X, several).oof_predictions_.shape == several.shape


def test_predictions_out_of_fold_are_of_members_that_have_not_seen_a_row():
    """What is of a group's own is predicted where its rows were trained on, and by chance out of fold."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 10)
    signal, own = 3 * rng.normal(size=300), rng.normal(size=30)[groups]
    X = np.column_stack([signal, np.eye(30)[groups]])
    estimator = quick(TabularRegressor, quality="default", oof_predictions=True).fit(
        X, signal + own, groups=groups
    )
    assert np.corrcoef(estimator.oof_predictions_ - signal, own)[0, 1] < 0.5
    assert np.corrcoef(estimator.predict(X) - signal, own)[0, 1] > 0.6


@BOTH
def test_rows_that_validate_nothing_have_no_predictions_out_of_fold(cls):
    order = np.random.default_rng(0).permutation(len(X))
    estimator = quick(cls, time_column=3, oof_predictions=True).fit(np.column_stack([X, order]), targets(cls))
    missing = np.isnan(estimator.oof_predictions_.reshape(len(X), -1)).any(axis=1)
    assert 0 < missing.sum() < len(X) and order[missing].max() < order[~missing].min()


@BOTH
def test_rows_of_their_own_that_validate_leave_no_predictions_out_of_fold(cls):
    y = targets(cls)
    estimator = quick(cls, oof_predictions=True).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    assert estimator.oof_predictions_.shape == outputs(estimator, X[:80]).shape
    assert np.isnan(estimator.oof_predictions_).all()


# ------------------------------------------------------------------------------------------------------------
# What a fit says


@BOTH
def test_a_fit_says_nothing_or_a_line_a_member(cls, capsys):
    y = targets(cls)
    quick(cls).fit(X, y)
    assert capsys.readouterr() == ("", "")
    estimator = quick(cls, verbose=True, n_jobs=2).fit(X, y)
    out, err = capsys.readouterr()
    assert err == ""
    pattern = r"Round 1, fold (\d): validation loss (\S+) at epoch (\d+) of (\d+); \d+\.\d s"
    said = sorted(re.fullmatch(pattern, line).groups() for line in out.splitlines())
    members = estimator._ensemble.rounds[0].members
    assert said == [
        (
            str(k),
            f"{min(each.curves.validation_loss):.6g}",
            str(1 + int(np.argmin(each.curves.validation_loss))),
            str(len(each.curves.loss)),
        )
        for k, each in enumerate(members, 1)
    ]


@BOTH
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_bar_counts_epochs(cls, n_jobs, capsys):
    pytest.importorskip("tqdm")
    estimator = quick(cls, verbose="progress", n_jobs=n_jobs).fit(X, targets(cls))
    out, err = capsys.readouterr()
    n_epochs = sum(each.n_epochs for each in estimator.budget_.members)
    assert out == "" and err.startswith("\rfit:") and f"| {n_epochs}/{n_epochs} [" in err.split("\r")[-1]


def test_a_bar_of_a_budget_counts_its_seconds(capsys):
    pytest.importorskip("tqdm")
    quick(TabularRegressor, verbose="progress", time_budget=0.4).fit(X, Z)
    out, err = capsys.readouterr()
    last = err.split("\r")[-1]
    assert out == "" and last.startswith("fit: ") and re.search(r"\| 0\.\d/0\.4 \[", last)
