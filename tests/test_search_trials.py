"""What the trials of a search are: what is recorded, leaks, known optima, and what is pruned."""

import pickle
from functools import cache

import numpy as np
import pytest
from searches import RATES, RATES_AND_LAYERS, X, Y, every_search, fitted, in_pipeline, network, search
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from nnfast import MLPClassifier, MLPRegressor
from nnfast.callbacks import Callback
from nnfast.schedules import Cosine
from nnfast.tuning import (
    BayesianSearchCV,
    CoarseToFineSearchCV,
    HyperbandSearchCV,
    int_uniform,
    log_uniform,
    uniform,
)
from nnfast.tuning.hyperband import brackets


@every_search
def test_trials_depend_on_the_seed_alone(name):
    both = [
        fitted(search(name, network(random_state=None, dropout=0.1), RATES_AND_LAYERS, n_jobs=n), X, Y)
        for n in (1, 3)
    ]
    for key in ("params", "mean_test_score", "status", "n_epochs"):
        np.testing.assert_array_equal(*(each.cv_results_[key] for each in both))
    for a, b in zip(*(each.best_estimator_.coefs_ for each in both), strict=True):
        np.testing.assert_array_equal(a, b)
    other = fitted(search(name, space=RATES_AND_LAYERS, random_state=1), X, Y)
    assert other.cv_results_["params"] != both[0].cv_results_["params"]


@every_search
def test_what_is_recorded(name):
    made = fitted(search(name, space=RATES_AND_LAYERS, cv=2), X, Y)
    results = made.cv_results_
    n = len(results["params"])
    assert (
        set(results["status"]) <= {"complete", "pruned"} and (np.diff(np.sort(results["ended"])) >= 0).all()
    )
    for i in range(n):
        curve = results["learning_curve"][i]
        assert (
            len(curve["loss"])
            and np.isfinite(curve["loss"]).all()
            and len(curve["loss"]) <= results["n_epochs"][i]
        )
        assert len(curve["score_epochs"]) == len(curve["score"]) >= 1
        if results["status"][i] == "complete":
            np.testing.assert_allclose(curve["score"][-1], results["mean_test_score"][i])
    assert all(len(values) == n for key, values in results.items())
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.predict(X), made.predict(X))
    assert clone(made).get_params()["estimator"].get_params() == made.estimator.get_params()


@pytest.mark.parametrize("in_steps", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"early_stopping": True, "n_iter_no_change": 2},
        {"learning_rate": Cosine()},
        {"dropout": 0.3, "solver": "sgd"},
        {"normalization": "batch"},
    ],
    ids=lambda options: ", ".join(options) or "plain",
)
def test_survivors_are_trained_as_if_alone(options, in_steps):
    estimator, space = network(**options), RATES
    if in_steps:
        estimator, space = Pipeline([("scale", StandardScaler()), ("mlp", estimator)]), in_pipeline(RATES)
    made = search("hyperband", estimator, space).fit(X, Y)
    results, longest = made.cv_results_, 9
    assert max(results["n_epochs"]) == longest or "early_stopping" in options
    for number, params in enumerate(results["params"]):
        alone = clone(estimator).set_params(**params)
        if "learning_rate" in options:  # which plans for nine epochs, and was stopped before
            assert set(params.values()) & {longest}
            end = alone.set_params(**{f"{'mlp__' * in_steps}callbacks": [Until(results["n_epochs"][number])]})
            alone = end
        for split, (train, test) in enumerate(StratifiedKFold(3).split(X, Y)):
            score = fitted(clone(alone), X[train], Y[train]).score(X[test], Y[test])
            assert results[f"split{split}_test_score"][number] == score
    best = fitted(clone(estimator).set_params(**made.best_params_), X, Y)
    if "learning_rate" not in options:
        np.testing.assert_array_equal(made.predict_proba(X), best.predict_proba(X))


class Until(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, estimator, state):
        if state.epoch == self.epoch:
            state.stop()


def test_brackets_are_those_of_the_paper():
    assert brackets(81, 3) == [  # Table 1 of Li et al.
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    assert brackets(1, 3) == [[(1, 1)]]
    made = search("hyperband", max_epochs=10, eta=2, n_iterations=2).fit(X, Y)
    planned = [rounds[0][0] for rounds in brackets(10, 2)]
    np.testing.assert_array_equal(np.bincount(made.cv_results_["bracket"]), planned * 2)


def test_a_round_refines_the_one_before():
    made = fitted(search("coarse to fine", n_rounds=4, n_candidates=8), X, Y)
    rates = np.log10([params["learning_rate_init"] for params in made.cv_results_["params"]])
    spread = [np.ptp(rates[made.cv_results_["round"] == number]) for number in range(4)]
    assert spread[3] < spread[0] / 2


def test_choices_that_are_arrays_are_refined_by():
    class Norm(Known):
        def score(self, X, y):
            return -np.abs(np.sum(self.kind) - 2)

    choices = [np.array([1.0, 1.0]), np.array([5.0, 5.0]), np.array([7.0, 7.0])]
    made = search("coarse to fine", Norm(), {"kind": choices}, n_candidates=9, n_best=2).fit(X, Y)
    drawn = [params["kind"].sum() for params in made.cv_results_["params"]]
    assert set(drawn[:9]) == {2, 10, 14} and set(drawn[9:]) == {2}


# ------------------------------------------------------------------------------------------------------------
# No leaks


@every_search
def test_what_only_leakage_can_predict_is_scored_as_chance(name):
    # The best of 2000 columns of noise predict the rows that they were chosen by, and no others.
    random = np.random.RandomState(0)
    noise, y = random.standard_normal((120, 2000)), np.arange(120) % 2
    leaking = cross_val_score(LogisticRegression(), SelectKBest(k=20).fit_transform(noise, y), y, cv=3)
    assert leaking.mean() > 0.75
    estimator = Pipeline([("select", SelectKBest(k=20)), ("mlp", network())])
    made = fitted(search(name, estimator, in_pipeline(RATES)), noise, y)
    scores = made.cv_results_["mean_test_score"]
    assert abs(np.nanmean(scores) - 0.5) < 0.08


@every_search
def test_networks_do_not_see_the_rows_that_score_them(name):
    # Those rows would ruin every fit that saw them.
    table, y = X.copy(), X[:, 0].copy()
    test = np.arange(40)
    y[test] = 1e12
    made = fitted(
        search(
            name,
            MLPRegressor(max_iter=12, early_stopping=True, random_state=0),
            cv=[(np.arange(40, 120), test)],
            refit=False,
            scoring=lambda estimator, X, y: -np.abs(estimator.predict(X)).max(),
        ),
        table,
        y,
    )
    assert made.best_score_ > -100


# ------------------------------------------------------------------------------------------------------------
# Known optima


class Known(RegressorMixin, BaseEstimator):
    """An estimator whose score is a function of its parameters: the best is 0, at 0.01, (32, 32) and "b"."""

    def __init__(self, rate=1.0, units=1, kind="a", nothing=0.0):
        self.rate, self.units, self.kind, self.nothing = rate, units, kind, nothing

    def fit(self, X, y):
        return self

    def score(self, X, y):
        return -((np.log10(self.rate) + 2) ** 2) - (np.log2(self.units) - 5) ** 2 / 4 - (self.kind != "b")


class KnownNetwork(MLPClassifier):
    """The same of a network, which a longer training brings closer."""

    def score(self, X, y):
        return -((np.log10(self.learning_rate_init) + 2) ** 2) - 1 / self.n_iter_


KNOWN = {
    "rate": log_uniform(1e-6, 1),
    "units": int_uniform(1, 256),
    "kind": ["a", "b", "c"],
    "nothing": uniform(0, 1),
}


@cache
def random_best(n):
    """The median, over seeds, of the best of so many random draws."""
    bests = [
        CoarseToFineSearchCV(Known(), KNOWN, n_rounds=1, n_candidates=n, cv=2, random_state=seed, n_jobs=1)
        .fit(X, Y)
        .best_score_
        for seed in range(5)
    ]
    return np.median(bests)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: CoarseToFineSearchCV(
            Known(), KNOWN, n_rounds=4, n_candidates=15, cv=2, random_state=seed, n_jobs=1
        ),
        lambda seed: BayesianSearchCV(
            Known(), KNOWN, n_trials=60, pruner=None, cv=2, random_state=seed, n_jobs=1
        ),
    ],
    ids=["coarse to fine", "bayes"],
)
def test_the_best_is_found_within_60_trials(make):
    bests = [make(seed).fit(X, Y).best_score_ for seed in range(5)]
    assert np.median(bests) > -0.15 and np.median(bests) > random_best(60) / 2


def test_hyperband_finds_the_best_in_the_epochs_of_fewer_candidates():
    made = [
        HyperbandSearchCV(
            KnownNetwork((2,), n_iter_no_change=100),
            {"learning_rate_init": log_uniform(1e-6, 100)},
            max_epochs=27,
            cv=2,
            random_state=seed,
        ).fit(X, Y)
        for seed in range(5)
    ]
    # As many epochs, of candidates drawn at random and trained to the end.
    n_whole = int(made[0].cv_results_["n_epochs"].sum() / 27)
    random = [
        CoarseToFineSearchCV(
            KnownNetwork((2,), n_iter_no_change=100, max_iter=27),
            {"learning_rate_init": log_uniform(1e-6, 100)},
            n_rounds=1,
            n_candidates=n_whole,
            cv=2,
            random_state=seed,
            refit=False,
        )
        .fit(X, Y)
        .best_score_
        for seed in range(5)
    ]
    bests = [each.best_score_ for each in made]
    assert np.median(bests) > -0.12 and np.median(bests) > np.median(random)


def test_the_pruner_gives_up_what_falls_behind():
    space = {"learning_rate_init": log_uniform(1e-6, 0.1)}
    made = fitted(search("bayes", network(max_iter=40, tol=0), space, n_trials=24), X, Y)
    results = made.cv_results_
    pruned = results["status"] == "pruned"
    assert pruned.any() and (results["n_epochs"][pruned] < 40).all() and not pruned[made.best_index_]
    assert np.isnan(results["mean_test_score"][pruned]).all()
    assert all(len(curve["score"]) > 1 for curve in results["learning_curve"][pruned])


def test_a_pruned_candidate_is_scored_once_an_epoch():
    optuna = pytest.importorskip("optuna")

    class AfterThree(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number > 0 and trial.last_step == 3

    calls = []

    def count(estimator, X, y):
        calls.append(estimator.n_iter_)
        return estimator.score(X, y)

    made = fitted(
        search("bayes", scoring=count, pruner=AfterThree(), n_trials=4, n_jobs=1, return_train_score=True),
        X,
        Y,
    )
    assert made.cv_results_["status"].tolist() == ["complete"] + ["pruned"] * 3
    # The first one after each of 12 epochs in the first fold and at the end in two, with the rows trained on
    # for each fold.
    assert len(calls) == 12 + 2 + 3 + 3 * (3 + 1)
