"""The searches of nnfast.tuning: scikit-learn's contract, its scores as the oracle, how they end, and what
they find.
"""

import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import gamma, norm, randint
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris, make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, Normalizer, OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import nnfast.jobs
import nnfast.tuning.fits
import nnfast.tuning.progress
from nnfast import MLPClassifier, MLPRegressor
from nnfast.callbacks import Callback
from nnfast.optimizers import SGD
from nnfast.schedules import Cosine
from nnfast.tuning import (
    BayesianSearchCV,
    CoarseToFineSearchCV,
    HyperbandSearchCV,
    Space,
    choice,
    default_space,
    int_uniform,
    layers,
    log_uniform,
    tied,
    uniform,
)
from nnfast.tuning.checks import check_space
from nnfast.tuning.hyperband import brackets

X, Y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
RATES = {"learning_rate_init": log_uniform(1e-4, 1.0)}
RATES_AND_LAYERS = RATES | {"hidden_layer_sizes": layers((1, 2), (4, 12))}
# Few trials each.
SEARCHES = {
    "coarse to fine": (CoarseToFineSearchCV, {"n_rounds": 2, "n_candidates": 4}),
    "hyperband": (HyperbandSearchCV, {"max_epochs": 9}),
    "bayes": (BayesianSearchCV, {"n_trials": 13}),
}


def network(**parameters):
    return MLPClassifier(
        **{"hidden_layer_sizes": (8,), "batch_size": 32, "max_iter": 12, "tol": 1, "random_state": 0}
        | parameters
    )


def search(name, estimator=None, space=RATES, **parameters):
    cls, few = SEARCHES[name]
    estimator = network() if estimator is None else estimator
    return cls(estimator, space, **few | {"cv": 3, "random_state": 0} | parameters)


def fitted(made, *args, **kwargs):
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return made.fit(*args, **kwargs)


def in_pipeline(space):
    return {f"mlp__{name}": scale for name, scale in space.items()}


PIPELINE = Pipeline([("scale", StandardScaler()), ("mlp", network())])


every_search = pytest.mark.parametrize("name", SEARCHES)


CHECKED = {
    "hidden_layer_sizes": (8,),
    "batch_size": 4,
    "learning_rate_init": 0.02,
    "max_iter": 8,
    "tol": 1,
    "n_iter_no_change": 8,
}


@parametrize_with_checks(
    [
        CoarseToFineSearchCV(
            MLPClassifier(**CHECKED),
            {"alpha": log_uniform(1e-4, 1)},
            cv=2,
            n_jobs=1,
            n_rounds=2,
            n_candidates=1,
        ),
        HyperbandSearchCV(
            MLPRegressor(**CHECKED), {"alpha": log_uniform(1e-4, 1)}, cv=2, n_jobs=1, max_epochs=8, eta=8
        ),
        BayesianSearchCV(
            MLPClassifier(**CHECKED), {"alpha": log_uniform(1e-4, 1)}, cv=2, n_jobs=1, n_trials=2
        ),
    ]
)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        # scikit-learn's splitters ask what kind of target one with an infinite number is, before anything is
        # checked.
        warnings.filterwarnings("ignore", "invalid value encountered in cast", RuntimeWarning)
        check(estimator)


# ------------------------------------------------------------------------------------------------------------
# The scores are scikit-learn's


class Absolute(TransformerMixin, BaseEstimator):
    """A step that learns nothing, and so has no fitted attributes."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.abs(X)


class AbsoluteAndFitted(Absolute):
    def __sklearn_is_fitted__(self):
        return True


STATELESS = {
    "function": FunctionTransformer(np.abs),
    "normalizer": Normalizer(),
    "own": Absolute(),
    "own that counts as fitted": AbsoluteAndFitted(),
    "passthrough": "passthrough",
    "None": None,
    "pipeline": make_pipeline(Absolute(), Normalizer()),
    "pipeline of pipelines": make_pipeline(make_pipeline(Absolute(), AbsoluteAndFitted())),
    "union": make_union(Absolute(), Normalizer()),
    "columns": make_column_transformer((Absolute(), [0, 1]), remainder="passthrough"),
}
GROUPS = np.arange(len(X)) // 10
WEIGHTS = np.random.RandomState(0).uniform(0.1, 1, len(X))
CASES = {
    "plain": {},
    "float32": {"X": X.astype(np.float32)},
    "sparse": {"X": csr_matrix(X)},
    "list": {"X": X.tolist(), "y": Y.tolist()},
    "Fortran": {"X": np.asfortranarray(X)},
    "data frame": {
        "X": pd.DataFrame(X, columns=list("abcdef")),
        "y": pd.Series(Y, index=np.arange(len(Y))[::-1]),
    },
    "words": {"y": np.array(["no", "yes", "maybe"], dtype=object)[Y]},
    "early stopping": {"estimator": network(early_stopping=True, max_iter=9)},
    "lbfgs": {
        "estimator": network(solver="lbfgs", batch_size="auto"),
        "space": {"alpha": log_uniform(1e-4, 1)},
        "not_for": ["hyperband", "bayes"],
    },
    "weights": {"fit": {"sample_weight": WEIGHTS}},
    "groups": {"cv": GroupKFold(3), "fit": {"groups": GROUPS}},
    "masks": {"cv": [(GROUPS != i, GROUPS == i) for i in range(2)]},
    "one split": {"cv": ShuffleSplit(1, random_state=0)},
    "ordered folds": {"cv": KFold(4)},
    "a scorer": {"scoring": "neg_log_loss"},
    "several scorers": {"scoring": ["accuracy", "f1_macro"], "refit": "f1_macro"},
    "train scores": {"return_train_score": True},
    "own scorer": {
        "scoring": lambda estimator, X, y: -np.abs(estimator.predict_proba(X)[:, 0] - (y == 0)).mean()
    },
    "own scorers": {
        "scoring": lambda estimator, X, y: {"a": estimator.score(X, y), "b": float(len(y))},
        "refit": "a",
    },
    "pipeline": {
        "estimator": Pipeline([("scale", StandardScaler()), ("mlp", network())]),
        "space": in_pipeline(RATES),
    },
    "pipeline of more": {
        "estimator": Pipeline(
            [("scale", StandardScaler()), ("pca", PCA(random_state=0)), ("mlp", network())]
        ),
        "space": in_pipeline(RATES)
        | {"pca__n_components": int_uniform(2, 5), "scale": choice("passthrough", StandardScaler())},
        "X": pd.DataFrame(X, columns=list("abcdef")),
        # the frame is what it sees
        "scoring": lambda estimator, X, y: estimator.score(X, y) + 0 * X["a"].sum(),
    },
    "pipeline with weights": {
        "estimator": Pipeline([("scale", StandardScaler()), ("mlp", network())]),
        "space": in_pipeline(RATES),
        "fit": {"mlp__sample_weight": WEIGHTS, "scale__sample_weight": WEIGHTS},
    },
    "pipeline in a pipeline": {
        "estimator": Pipeline(
            [
                ("scale", StandardScaler()),
                ("rest", Pipeline([("pca", PCA(random_state=0)), ("mlp", network())])),
            ]
        ),
        "space": {f"rest__mlp__{name}": scale for name, scale in RATES.items()}
        | {"rest__pca__n_components": int_uniform(2, 5)},
        "fit": {"rest__mlp__sample_weight": WEIGHTS},
        "scoring": lambda estimator, X, y: estimator.score(X, y) + 0 * len(estimator[-1][-1].coefs_),
    },
    "pipeline of pipelines alone": {
        "estimator": Pipeline([("all", Pipeline([("mlp", network())]))]),
        "space": {f"all__mlp__{name}": scale for name, scale in RATES.items()},
    },
    "pipeline of the network alone": {
        "estimator": Pipeline([("mlp", network())]),
        "space": in_pipeline(RATES),
    },
    "pipeline of what does not pickle": {
        "estimator": Pipeline(
            [("log", FunctionTransformer(lambda table: np.log1p(np.abs(table)))), ("mlp", network())]
        ),
        "space": in_pipeline(RATES),
    },
    "choice of what does not pickle": {
        "estimator": Pipeline([("log", FunctionTransformer(np.abs)), ("mlp", network())]),
        "space": in_pipeline(RATES) | {"log__func": [np.abs, lambda table: table**2]},
    },
    **{
        f"step without state: {each}": {
            "estimator": Pipeline([("scale", StandardScaler()), ("step", step), ("mlp", network())]),
            "space": in_pipeline(RATES),
        }
        for each, step in STATELESS.items()
    },
    "no step with a state": {
        "estimator": Pipeline([("step", Absolute()), ("mlp", network())]),
        "space": in_pipeline(RATES),
    },
    "steps without state in pipelines in pipelines": {
        "estimator": Pipeline(
            [
                ("a", Absolute()),
                ("rest", Pipeline([("b", Normalizer()), ("c", Absolute()), ("mlp", network())])),
            ]
        ),
        "space": {f"rest__{name}": scale for name, scale in in_pipeline(RATES).items()},
    },
    "choice of steps without state": {
        "estimator": Pipeline([("step", None), ("mlp", network())]),
        "space": in_pipeline(RATES) | {"step": choice(Absolute(), "passthrough", StandardScaler())},
    },
    "own scorer after a step without state": {
        "estimator": Pipeline([("step", Absolute()), ("mlp", network())]),
        "space": in_pipeline(RATES),
        "scoring": lambda estimator, X, y: estimator.score(X, y),
    },
    "own scorer of a data frame": {
        "X": pd.DataFrame(X, columns=list("abcdef"), index=np.arange(len(X)) + 1000),
        "y": pd.Series(Y, index=np.arange(len(X)) + 1000),
        "scoring": lambda estimator, X, y: estimator.score(X, y) + X["a"].mean() + y.index.to_numpy().mean(),
    },
    "another estimator": {
        "estimator": LogisticRegression(),
        "space": {"C": log_uniform(1e-3, 10)},
        "pruner": None,
        "not_for": ["hyperband"],
    },
}


# How a table is read and scored is the same code for all searches: one is enough.
SAME_FOR_ALL = {
    "float32",
    "list",
    "Fortran",
    "words",
    "masks",
    "ordered folds",
    "a scorer",
    "train scores",
    "own scorer",
    "groups",
    "sparse",
    "data frame",
}


@every_search
@pytest.mark.parametrize("case", CASES)
def test_the_scores_are_those_of_scikit_learns_search(name, case):
    options = {"X": X, "y": Y, "fit": {}, "not_for": []} | CASES[case]
    table, y, fit_params, not_for = (options.pop(each) for each in ("X", "y", "fit", "not_for"))
    if name in not_for or (name != "coarse to fine" and case in SAME_FOR_ALL):
        return
    options.pop("pruner", None)
    # Few, and none that is given up: of such, scikit-learn knows nothing.
    options |= {
        "coarse to fine": {"n_candidates": 2},
        "hyperband": {"max_epochs": 3},
        "bayes": {"n_trials": 4, "pruner": None},
    }[name]
    ours = fitted(search(name, **options), table, y, **fit_params)
    results = ours.cv_results_
    for each in ("n_candidates", "max_epochs", "n_trials", "pruner", "space"):
        options.pop(each, None)
    estimator = options.pop("estimator", network())
    grid = [{k: [v] for k, v in params.items()} for params in results["params"]]
    theirs = fitted(GridSearchCV(estimator, grid, **{"cv": 3} | options), table, y, **fit_params)
    assert set(theirs.cv_results_) <= set(results)
    for key, values in theirs.cv_results_.items():
        if "_time" not in key and key != "params" and not key.startswith("param_"):
            np.testing.assert_allclose(results[key], values, rtol=1e-12, err_msg=key)
    assert ours.best_index_ == theirs.best_index_ and ours.best_params_ == theirs.best_params_
    np.testing.assert_array_equal(ours.predict(table), theirs.predict(table))
    assert ours.score(table, y) == theirs.score(table, y)
    assert set(vars(theirs)) - {"param_grid", "pre_dispatch", "_checked_cv_orig"} <= set(vars(ours))


def test_metadata_is_routed():
    with config_context(enable_metadata_routing=True):
        pipe = Pipeline(
            [
                ("scale", StandardScaler().set_fit_request(sample_weight=False)),
                ("mlp", network().set_fit_request(sample_weight=True)),
            ]
        )
        options = {
            "scoring": make_scorer(accuracy_score).set_score_request(sample_weight=True),
            "cv": GroupKFold(3),
        }
        made = search("hyperband", pipe, in_pipeline(RATES), **options)
        made.fit(X, Y, sample_weight=WEIGHTS, groups=GROUPS)
        grid = [{k: [v] for k, v in params.items()} for params in made.cv_results_["params"]]
        theirs = fitted(GridSearchCV(pipe, grid, **options), X, Y, sample_weight=WEIGHTS, groups=GROUPS)
    np.testing.assert_allclose(
        made.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-12
    )


# ------------------------------------------------------------------------------------------------------------
# The trials


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


# ------------------------------------------------------------------------------------------------------------
# How a search ends


@every_search
def test_what_diverges_is_recorded_and_stops_nothing(name):
    space = {"learning_rate_init": [1e-2, 0.1, 1e200], "solver": ["sgd"]}
    made = fitted(search(name, space=space), X, Y)
    results = made.cv_results_
    diverged = results["status"] == "diverged"
    assert 0 < diverged.sum() < len(diverged)
    assert np.isnan(results["mean_test_score"][diverged]).all()
    assert (results["rank_test_score"][diverged] > results["rank_test_score"][~diverged].max()).all()
    made = fitted(search(name, space=space, error_score=-5.0), X, Y)
    assert (made.cv_results_["mean_test_score"][made.cv_results_["status"] == "diverged"] == -5).all()


@every_search
def test_what_diverges_ranks_last_whatever_its_error_score(name):
    space = {"learning_rate_init": [1e-2, 0.1, 1e200], "solver": ["sgd"]}
    made = fitted(
        search(
            name,
            network(),
            space,
            scoring=["neg_log_loss", "accuracy"],
            refit="neg_log_loss",
            error_score=0.0,
        ),
        X,
        Y,
    )
    results = made.cv_results_
    diverged = results["status"] == "diverged"
    assert (
        diverged.any()
        and (results["mean_test_neg_log_loss"][diverged] == 0).all()
        and not diverged[made.best_index_]
    )
    for metric in ("neg_log_loss", "accuracy"):
        assert (
            results[f"rank_test_{metric}"][diverged].min() > results[f"rank_test_{metric}"][~diverged].max()
        )
    assert made.best_score_ == results["mean_test_neg_log_loss"][~diverged].max() < 0
    first = search(name, network(), space, refit=lambda results: 0)
    assert fitted(first, X, Y).best_index_ == 0


@every_search
def test_a_function_of_several_metrics_is_searched_by_that_of_refit(name):
    def scores(estimator, X, y):
        accuracy = estimator.score(X, y)
        if estimator.learning_rate_init > 0.1:
            raise RuntimeError("too fast")
        return {"worse": -accuracy, "better": accuracy}

    with warnings.catch_warnings(action="ignore"):
        made = search(name, scoring=scores, refit="better").fit(X, Y)
    assert made.multimetric_ and made.best_score_ == np.nanmax(made.cv_results_["mean_test_better"])
    if name == "hyperband":  # which keeps the better ones
        longest = made.cv_results_["n_epochs"] == 9
        assert made.cv_results_["mean_test_better"][longest].max() == made.best_score_


@every_search
def test_a_search_in_which_all_diverge_says_so(name):
    space = {"learning_rate_init": log_uniform(1e199, 1e200), "solver": ["sgd"]}
    with pytest.raises(
        ValueError, match=r"All the \d+ trials failed or diverged.*(.|\n)*not finite in epoch 1"
    ):
        search(name, space=space).fit(X, Y)
    with pytest.raises(ValueError, match="not finite"):
        search(name, space=space, error_score="raise").fit(X, Y)


@every_search
@pytest.mark.parametrize(
    "wrong", [{"activation": ["tanh", ["relu", "tanh"]]}, {"alpha_dropout": [False, True]}], ids=str
)
def test_what_fails_is_told(name, wrong):
    # Values that are accepted, but not together with the others.
    space, (parameter, (right, _)) = RATES | wrong, *wrong.items()
    with pytest.warns(FitFailedWarning, match=rf"\d+ of \d+ trials failed(.|\n)*{parameter}"):
        made = fitted(search(name, space=space), X, Y)
    failed = np.array([params[parameter] != right for params in made.cv_results_["params"]])
    np.testing.assert_array_equal(made.cv_results_["status"] == "failed", failed)
    with pytest.raises(ValueError, match=parameter):
        search(name, space=space, error_score="raise", n_jobs=2).fit(X, Y)


@every_search
def test_rows_to_score_that_the_steps_do_not_take_fail_a_trial(name):
    # The last fold has a category that the others do not.
    table = pd.DataFrame({"color": ["red", "blue"] * 59 + ["blue", "green"], "x": X[:, 0]})
    encode = make_column_transformer((OneHotEncoder(), ["color"]), remainder="passthrough")
    estimator = Pipeline([("encode", encode), ("mlp", network())])
    unknown = "encode__onehotencoder__handle_unknown"
    made = search(name, estimator, in_pipeline(RATES) | {unknown: ["error", "ignore"]}, cv=KFold(3))
    with pytest.warns(
        FitFailedWarning, match=r"\d+ of \d+ trials failed(.|\n)*Found unknown categories \['green'\]"
    ) as caught:
        fitted(made, table, Y)
    assert {each.filename for each in caught if each.category is FitFailedWarning} == {__file__}
    failed = np.array([params[unknown] == "error" for params in made.cv_results_["params"]])
    np.testing.assert_array_equal(made.cv_results_["status"] == "failed", failed)
    with pytest.raises(ValueError, match="Found unknown categories"):
        fitted(made.set_params(error_score="raise"), table, Y)


class RateAt(Callback):
    """Another learning rate from the end of an epoch on, of fits that have seen so many rows by then."""

    def __init__(self, epoch, rate, n_seen=0):
        self.epoch, self.rate, self.n_seen = epoch, rate, n_seen

    def on_epoch_end(self, estimator, state):
        if state.epoch == self.epoch and estimator.t_ >= self.n_seen:
            state.learning_rate = self.rate


@every_search
def test_what_diverges_keeps_its_curves(name):
    space = RATES | {"callbacks": [None, [RateAt(3, 1e200)]]}
    made = fitted(search(name, network(solver="sgd"), space), X, Y)
    results = made.cv_results_
    diverged = results["status"] == "diverged"
    assert diverged.any() and (results["n_epochs"][diverged] == 3).all()
    for curve in results["learning_curve"][diverged]:
        assert len(curve["loss"]) == 3 and np.isfinite(curve["loss"]).all()
    assert np.isnan(results["mean_test_score"][diverged]).all()


@every_search
def test_what_overflows_and_goes_back_to_its_best_epoch_counts_with_a_warning(name):
    of_trials, of_a_fit = (
        "trials overflowed, and are scored by their best epochs",
        "The loss or a gradient was not finite in epoch 4",
    )
    for n_seen, expected in ((0, of_trials), (300, of_a_fit)):  # the whole table is more rows than a fold
        estimator = network(early_stopping=True, solver="sgd", callbacks=[RateAt(3, 1e200, n_seen)])
        with warnings.catch_warnings(record=True, action="always") as caught:
            made = search(name, estimator).fit(X, Y)
        said = [str(each.message) for each in caught]
        assert "complete" in made.cv_results_["status"] and "diverged" not in made.cv_results_["status"]
        assert sum(of_trials in each for each in said) == (n_seen == 0)
        told = [each for each in said if expected in each]
        assert told and all(of_a_fit in each and "were restored" in each for each in told)


LONG = {"n_rounds": None}, {"n_iterations": None, "max_epochs": 27}, {"n_trials": None}
RANDOM = "coarse to fine", {"n_rounds": 1, "n_candidates": None}
without_end = pytest.mark.parametrize(
    ("name", "endless"), [*zip(SEARCHES, LONG, strict=True), RANDOM], ids=[*SEARCHES, "random"]
)


@without_end
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_ends_when_its_time_is_over(name, endless, n_jobs):
    start = time.monotonic()
    made = fitted(search(name, time_budget=1.0, n_jobs=n_jobs, **endless), X, Y)
    assert 1 <= time.monotonic() - start < 30  # and not never
    assert made.best_score_ > 0.4 and len(made.predict(X)) == len(X)
    assert (made.cv_results_["ended"] < 30).all()


def test_fits_that_run_when_the_time_is_over_count():
    # One that would take days has the score of the epochs that it came to.
    made = fitted(
        search(
            "coarse to fine",
            network(max_iter=10**9, tol=0, n_iter_no_change=10**9),
            time_budget=0.7,
            n_jobs=3,
            refit=False,
        ),
        X,
        Y,
    )
    assert made.cv_results_["status"][0] == "unfinished" and made.cv_results_["n_epochs"][0] > 1
    assert np.isfinite(made.best_score_)


@without_end
def test_no_end_needs_a_budget(name, endless):
    with pytest.raises(ValueError, match="=None needs a time_budget"):
        search(name, **endless).fit(X, Y)


# Of a search whose time is over before a trial has a score.
TOO_SHORT = {
    "plain": {},
    "pipeline": {"estimator": PIPELINE, "space": in_pipeline(RATES)},
    "in turn": {"n_jobs": 1},
    "without refit": {"refit": False},
    "several scorers": {"scoring": ["accuracy", "f1_macro"], "refit": "f1_macro"},
    "several scorers without refit": {"scoring": ["accuracy", "f1_macro"], "refit": False},
    "own scorers": {"scoring": lambda estimator, X, y: {"a": estimator.score(X, y), "b": 1.0}, "refit": "a"},
    "own choice": {"refit": lambda results: 0},
    "train scores": {"return_train_score": True},
    "error score": {"error_score": "raise"},
    "lbfgs": {
        "estimator": network(solver="lbfgs", batch_size="auto"),
        "space": {"alpha": log_uniform(1e-4, 1)},
    },
    "another estimator": {"estimator": LogisticRegression(), "space": {"C": log_uniform(1e-3, 10)}},
}


@every_search
@pytest.mark.parametrize("case", TOO_SHORT)
def test_a_budget_too_short_for_a_trial_gives_the_estimator_as_it_was_given(
    name, case, tmp_path, monkeypatch
):
    if case in ("lbfgs", "another estimator") and name == "hyperband":
        return
    options = TOO_SHORT[case] | ({"pruner": None} if name == "bayes" else {})
    made = search(name, **options, time_budget=1e-9)
    with pytest.warns(
        ConvergenceWarning, match=r"time_budget=1e-09 seconds were over before .* as it was given"
    ) as caught:
        made.fit(X, Y)
    assert [each.filename for each in caught if "time_budget" in str(each.message)] == [__file__]
    results = made.cv_results_
    assert (
        results["params"] == [{}]
        and results["status"].tolist() == ["unfinished"]
        and results["n_epochs"].tolist() == [0]
    )
    assert all(len(each) == 1 for each in results.values()) and np.isfinite(results["ended"]).all()
    scores = [key for key in results if ("_test_" in key or "_train_" in key) and not key.startswith("rank")]
    assert scores and all(np.isnan(results[key]).all() for key in scores)
    expected = {"coarse to fine": {"round"}, "hyperband": {"bracket"}, "bayes": set()}[name]
    assert {key for key in ("round", "bracket") if key in results} == expected and all(
        results[key][0] == -1 for key in expected
    )
    if case == "several scorers without refit":
        assert not hasattr(made, "best_params_")
    else:
        assert made.best_params_ == {} and made.best_index_ == 0
    if case.startswith("several"):
        assert "mean_test_f1_macro" in results and "mean_test_accuracy" in results
    if not options.get("refit", True):
        return
    alone = fitted(clone(options.get("estimator", network())), X, Y)
    np.testing.assert_array_equal(made.predict(X), alone.predict(X))
    if case != "own choice":
        assert np.isnan(made.best_score_)
    monkeypatch.setattr("nnfast.tuning.report._figure", lambda *arguments: "")
    pytest.importorskip("matplotlib")
    made.report(tmp_path / "report.html")
    assert "No trial has a score" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_failed_within_a_budget_too_short_for_a_trial_is_told():
    # By this seed, the first candidate fails at once. The second would take days, and only one of its folds
    # begins.
    endless = network(max_iter=10**9, tol=0, n_iter_no_change=10**9)
    space = {"activation": [["tanh"] * 5, "tanh"]}
    made = search(
        "coarse to fine",
        endless,
        space,
        n_rounds=1,
        n_candidates=2,
        n_jobs=1,
        random_state=2,
        time_budget=0.5,
        refit=False,
    )
    with warnings.catch_warnings(record=True, action="always") as caught:
        made.fit(X, Y)
    said = {each.category: str(each.message) for each in caught}
    assert "the estimator as it was given" in said[ConvergenceWarning]
    assert "1 of 2 trials failed" in said[FitFailedWarning] and "activation must be" in said[FitFailedWarning]
    assert made.best_params_ == {} and made.cv_results_["params"][made.best_index_] == {}
    assert made.cv_results_["status"].tolist() == ["failed", "unfinished", "unfinished"]


@pytest.mark.parametrize("budget", [0, 0.0, -1, np.nan, np.inf, -np.inf, "60s", "60", [60]], ids=repr)
def test_budgets_that_are_none(budget):
    with pytest.raises(
        ValueError, match="'time_budget' parameter of CoarseToFineSearchCV must be a float .*Got"
    ):
        search("coarse to fine", time_budget=budget).fit(X, Y)


def test_fits_by_lbfgs_end_with_the_budget():
    # As far as it comes, a fit is the one that stops there by itself.
    parameters = {
        "hidden_layer_sizes": (50,),
        "max_iter": 10**9,
        "max_fun": 10**9,
        "tol": 0,
        "batch_size": "auto",
    }
    endless = network(solver="lbfgs", callbacks=[Slow()], **parameters)
    made = search(
        "coarse to fine",
        endless,
        {"alpha": [1e-4]},
        cv=2,
        n_rounds=1,
        n_candidates=1,
        n_jobs=2,
        time_budget=0.5,
        refit=False,
    )
    results = fitted(made, X, Y).cv_results_
    assert results["status"].tolist() == ["unfinished"] and np.isfinite(made.best_score_)
    made.set_params(n_jobs=1)  # so that one fold begins
    results = fitted(made, X, Y).cv_results_
    assert results["status"].tolist() == ["unfinished"] * 2 and np.isnan(results["split1_test_score"]).all()
    train, test = next(StratifiedKFold(2).split(X, Y))
    alone = fitted(
        clone(endless).set_params(max_iter=int(results["n_epochs"][0]), callbacks=None), X[train], Y[train]
    )
    assert results["split0_test_score"][0] == alone.score(X[test], Y[test])


@every_search
def test_an_iterator_of_splits_that_is_used_up_is_told(name):
    made = search(name, cv=iter(list(KFold(3).split(X))))
    fitted(made, X, Y)
    with pytest.raises(
        ValueError, match="cv must give one split of X or more, got none of .* used up by one fit: use a list"
    ):
        made.fit(X, Y)


@every_search
def test_one_candidate_and_more_jobs_than_that(name):
    one = {
        "coarse to fine": {"n_rounds": 1, "n_candidates": 1},
        "hyperband": {"max_epochs": 1},
        "bayes": {"n_trials": 1},
    }[name]
    made = fitted(search(name, n_jobs=20, **one), X, Y)
    assert len(made.cv_results_["params"]) == 1 and made.best_index_ == 0 and made.score(X, Y) > 0


class Slow(Callback):
    """Epochs of some milliseconds."""

    def on_epoch_end(self, estimator, state):
        time.sleep(0.005)


class Interrupt(Callback):
    """Ctrl-C in the midst of the so-many-th fit."""

    left = 0

    def on_fit_begin(self, estimator, state):
        Interrupt.left -= 1
        if Interrupt.left == 0:
            signal.raise_signal(signal.SIGINT)

    def __deepcopy__(self, memo):
        return self


@without_end
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_ends_with_the_best_so_far(name, endless, n_jobs):
    Interrupt.left = 21
    made = search(name, network(callbacks=[Interrupt()]), time_budget=100, n_jobs=n_jobs, **endless)
    with pytest.warns(ConvergenceWarning, match=r"Interrupted: this is the best of \d+ trials"):
        made.fit(X, Y)
    assert len(made.predict(X)) == len(X) and np.isfinite(made.best_score_)
    assert set(made.cv_results_["status"]) & {"complete", "pruned", "unfinished"}
    assert threading.active_count() < 20


def test_a_second_ctrl_c_does_not_wait_for_what_runs():
    release = threading.Event()

    def press():
        for _ in range(2):
            time.sleep(0.2)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    jobs = nnfast.jobs.Jobs(2, nnfast.jobs.Limits())
    start = time.monotonic()
    presses = threading.Thread(target=press)
    presses.start()
    with pytest.raises(KeyboardInterrupt):
        jobs.run(lambda item: release.wait(60), range(2), lambda item: None)
    presses.join()
    assert time.monotonic() - start < 30 and jobs.busy
    release.set()


class Ends(Callback):
    """Counts the fits that have begun and not ended."""

    open = 0

    def on_fit_begin(self, estimator, state):
        Ends.open += 1

    def on_fit_end(self, estimator, state):
        Ends.open -= 1

    def __deepcopy__(self, memo):
        return self


@every_search
def test_a_search_that_raises_ends_its_fits_and_its_bar(name, monkeypatch):
    closed = []
    monkeypatch.setattr(nnfast.tuning.progress.Silence, "close", lambda self: closed.append(1))
    Ends.open = 0
    calls = []

    def breaks(estimator, X, y):
        calls.append(1)
        if len(calls) == 7:
            raise RuntimeError("no score for you")
        return 0.5

    with pytest.raises(RuntimeError, match="no score for you"):
        fitted(search(name, network(callbacks=[Ends()]), scoring=breaks, error_score="raise", n_jobs=1), X, Y)
    assert Ends.open == 0 and len(calls) >= 7 and closed


@every_search
def test_ctrl_c_before_there_is_a_score_is_raised(name):
    Interrupt.left = 1
    made = search(name, network(callbacks=[Interrupt()]), n_jobs=1)
    with pytest.raises(KeyboardInterrupt):
        made.fit(X, Y)
    assert not hasattr(made, "cv_results_")


def test_a_report_of_several_metrics_shows_the_one_it_is_told(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("nnfast.tuning.report._figure", lambda *arguments: "")
    made = fitted(search("coarse to fine", scoring=["accuracy", "neg_log_loss"], refit=False), X, Y)
    made.report(tmp_path / "out.html", metric="neg_log_loss")
    assert "neg_log_loss" in (tmp_path / "out.html").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="metric"):
        made.report(tmp_path / "out.html")


# ------------------------------------------------------------------------------------------------------------
# On threads


def test_jobs_that_outnumber_the_cores_have_one_thread_each(monkeypatch):
    seen = []
    monkeypatch.setattr(nnfast.jobs, "n_threads_available", lambda: 6)
    limits = nnfast.jobs.Limits()

    def look(_):
        seen.append(nnfast.threads._thread.share)

    nnfast.jobs.Jobs(4, limits).run(look, range(9), lambda item: None)
    nnfast.jobs.Jobs(9, limits).run(look, range(9), lambda item: None)
    nnfast.jobs.Jobs(9, limits).run(look, range(2), lambda item: None)
    assert seen == [1] * 18 + [3] * 2
    assert getattr(nnfast.threads._thread, "share", None) is None
    assert nnfast.jobs.n_jobs_of(None) == 6 and nnfast.jobs.n_jobs_of(3) == 3


def test_the_table_is_not_copied(monkeypatch):
    # What fits have of X is X itself: memory grows by models.
    seen, plain = [], nnfast.tuning.fits.training_run

    def look(network, X, y, *args, **kwargs):
        seen.append(X)
        return plain(network, X, y, *args, **kwargs)

    monkeypatch.setattr(nnfast.tuning.fits, "training_run", look)
    fitted(search("hyperband", MLPClassifier((8,)), RATES, refit=False), X, Y)
    assert len(seen) > 20 and all(each is X for each in seen)


# ------------------------------------------------------------------------------------------------------------
# Optuna's studies


def test_every_fit_is_a_new_study():
    made = search("bayes")
    first = fitted(made, X, Y).study_
    assert fitted(made, X, Y).study_ is not first and len(made.study_.trials) == 13


def test_a_search_goes_on_from_its_storage(tmp_path):
    storage = f"{tmp_path}/s.journal"
    kept = {"storage": storage, "study_name": "s"}
    first = fitted(search("bayes", n_trials=8, **kept), X, Y)
    more = fitted(search("bayes", n_trials=13, **kept), X, Y)
    assert len(first.cv_results_["params"]) == 8 and len(more.cv_results_["params"]) == 13
    assert more.cv_results_["params"][:8] == first.cv_results_["params"]
    for key in ("mean_test_score", "split1_test_score", "status", "n_epochs", "mean_fit_time"):
        np.testing.assert_array_equal(more.cv_results_[key][:8], first.cv_results_[key])
    # there is nothing left to do but to fit the best
    done = fitted(search("bayes", n_trials=13, **kept), X, Y)
    assert (
        done.best_params_ == more.best_params_
        and done.cv_results_["ended"].tolist() == more.cv_results_["ended"].tolist()
    )
    with pytest.raises(ValueError, match="study_name='s' is there already, of a search with another space"):
        search("bayes", space=RATES_AND_LAYERS, **kept).fit(X, Y)
    with pytest.raises(ValueError, match="another folds"):
        search("bayes", cv=4, **kept).fit(X, Y)


def test_who_goes_on_with_a_study_draws_other_candidates(tmp_path):
    rates = lambda made: [params["learning_rate_init"] for params in made.cv_results_["params"]]
    whole = rates(fitted(search("bayes", n_trials=9), X, Y))
    kept = {"storage": f"{tmp_path}/s.journal", "study_name": "s"}
    # who begins it, those of the seed
    assert rates(fitted(search("bayes", n_trials=4, **kept), X, Y)) == whole[:4]
    more = rates(fitted(search("bayes", n_trials=9, **kept), X, Y))
    assert more[:4] == whole[:4] and len(set(more)) == 9


class InterruptedScore:
    """A scorer that is Ctrl-C at one of its calls."""

    def __init__(self, at):
        self.n_left = at

    def __call__(self, estimator, X, y):
        self.n_left -= 1
        if not self.n_left:
            raise KeyboardInterrupt
        return estimator.score(X, y)


def test_trials_that_never_began_do_not_count_among_n_trials(tmp_path):
    kept = {"storage": f"{tmp_path}/s.journal", "study_name": "s", "n_trials": 8, "n_jobs": 1, "pruner": None}
    # the second of the four asked for
    first = fitted(search("bayes", scoring=InterruptedScore(4), **kept), X, Y)
    assert first.cv_results_["status"].tolist() == ["complete", "unfinished"]
    more = fitted(search("bayes", scoring=InterruptedScore(0), **kept), X, Y)
    assert (more.cv_results_["status"] == "complete").sum() == 8
    assert len(more.cv_results_["status"]) == 9  # the unfinished one is told, too


def _own_score(estimator, X, y, sign=1):
    return sign * estimator.score(X, y)


@pytest.mark.parametrize(
    "changed",
    [
        {"scoring": partial(_own_score, sign=-1)},
        {"scoring": make_scorer(accuracy_score)},
        {"space": RATES | {"alpha": gamma(3, scale=0.01)}},
        {"space": RATES | {"alpha": norm(2, 0.01)}},
        {"estimator": network(callbacks=[Callback()], alpha=1.0)},
        {"estimator": network()},
    ],
)
def test_a_study_knows_its_search_in_another_process(tmp_path, changed):
    # Nothing of it is the same object, as in a process that resumes.
    def make(**other):
        own = {"estimator": network(callbacks=[Callback()]), "scoring": partial(_own_score, sign=1)}
        return own | {"space": RATES | {"alpha": gamma(2, scale=0.01)}} | other

    kept = {"storage": f"{tmp_path}/s.journal", "study_name": "s", "cv": 2}
    for n_trials in (1, 2):
        made = fitted(search("bayes", n_trials=n_trials, **make(), **kept), X, Y)
    assert len(made.cv_results_["params"]) == 2
    with pytest.raises(
        ValueError, match=f"study_name='s' is there already, of a search with another {next(iter(changed))}: "
    ):
        search("bayes", **make(**changed), **kept).fit(X, Y)


@pytest.mark.torch
def test_a_gaussian_process_asks():
    made = fitted(search("bayes", sampler="gp", cv=2), X, Y)
    assert len(made.cv_results_["params"]) == 13 and made.best_score_ > 0.5
    assert (
        fitted(search("bayes", sampler="gp", cv=2), X, Y).cv_results_["params"] == made.cv_results_["params"]
    )


_KILLED = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {tests!r})
from test_searches import X, Y, search
search("bayes", n_trials=10**6, storage={storage!r}, study_name="s", n_jobs=1).fit(X, Y)
"""


@pytest.mark.slow
def test_processes_share_a_study_and_a_killed_one_resumes(tmp_path):
    import optuna

    storage = f"sqlite:///{tmp_path}/s.db"
    code = _KILLED.format(tests=str(__file__).rpartition("/")[0], storage=storage)
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    n_done, end = 0, time.monotonic() + 60
    while n_done < 6 and time.monotonic() < end:
        time.sleep(0.2)
        try:
            n_done = sum(
                trial.state.is_finished()
                for trial in optuna.load_study(study_name="s", storage=storage).trials
            )
        except (KeyError, AssertionError, optuna.exceptions.StorageInternalError):
            pass  # not there yet
    for process in both:
        process.kill()
        process.wait()
    assert n_done >= 6
    made = fitted(search("bayes", n_trials=n_done + 6, storage=storage, study_name="s"), X, Y)
    assert len(made.cv_results_["params"]) >= n_done + 6 - 4
    assert set(made.cv_results_["status"]) <= {"complete", "pruned"}
    assert len({params["learning_rate_init"] for params in made.cv_results_["params"]}) == len(
        made.cv_results_["params"]
    )


# ------------------------------------------------------------------------------------------------------------
# Wrong input


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("hyperband", {"estimator": LogisticRegression()}, "needs an estimator that trains by epochs"),
        (
            "hyperband",
            {"estimator": MLPClassifier(solver="lbfgs")},
            "needs an estimator that trains by epochs",
        ),
        (
            "bayes",
            {"estimator": make_pipeline(StandardScaler(), LogisticRegression())},
            "needs an estimator that trains by epochs",
        ),
        (
            "bayes",
            {"estimator": MLPClassifier(solver="lbfgs")},
            "any other needs pruner=None, instead of pruner='median', got MLP",
        ),
        ("bayes", {"study_name": "s"}, "study_name='s' needs a storage"),
        ("bayes", {"sampler": "grid"}, "sampler"),
        ("hyperband", {"eta": 1}, "eta"),
        (
            "hyperband",
            {"space": {"solver": ["adam", "lbfgs"]}},
            "solver of the space must be stochastic solvers.* got 'lbfgs'",
        ),
        (
            "hyperband",
            {"space": RATES | {"max_iter": int_uniform(1, 9)}},
            r"max_iter must not be in the space.*got int_uniform\(1, 9\)",
        ),
        (
            "hyperband",
            {"estimator": PIPELINE, "space": in_pipeline({"solver": ["lbfgs"]})},
            "mlp__solver of the space must be",
        ),
        (
            "hyperband",
            {"estimator": PIPELINE, "space": {"mlp__max_iter": [3]}},
            "mlp__max_iter must not be in the space",
        ),
        (
            "hyperband",
            {"estimator": PIPELINE, "space": {"mlp": [network(solver="lbfgs")]}},
            "mlp of the space must be networks",
        ),
        ("coarse to fine", {"n_candidates": 0}, "n_candidates"),
        (
            "coarse to fine",
            {"n_candidates": None, "time_budget": 1},
            "n_candidates=None needs n_rounds=1, .*; got n_rounds=2",
        ),
        ("coarse to fine", {"time_budget": 0}, "time_budget"),
        ("coarse to fine", {"space": {}}, "one or more parameters"),
        ("coarse to fine", {"space": {"alpha": 1.0}}, "alpha of a space must be"),
        ("coarse to fine", {"cv": 1}, "n_splits"),
        ("coarse to fine", {"scoring": "acuracy"}, "scoring"),
    ],
)
def test_wrong_parameters(name, parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        search(name, **parameters).fit(X, Y)


# A space, of an estimator or of `network()`, and what is said of it.
WRONG_SPACES = {
    "typo": (
        {"alhpa": [1]},
        None,
        "space must have parameters of the estimator, .* got 'alhpa'. Did you mean 'alpha'?",
    ),
    "beside others": (RATES | {"batchsize": [8]}, None, "got 'batchsize'. Did you mean 'batch_size'"),
    "without the prefix": ({"alpha": [1]}, PIPELINE, "got 'alpha'. Did you mean 'mlp__alpha'"),
    "typo without the prefix": ({"alhpa": [1]}, PIPELINE, "got 'alhpa'. Did you mean 'mlp__alpha'"),
    "another prefix": ({"mpl__alpha": [1]}, PIPELINE, "got 'mpl__alpha'. Did you mean 'mlp__alpha'"),
    "prefix of no pipeline": ({"mlp__alpha": [1]}, None, "got 'mlp__alpha'. Did you mean 'alpha'"),
    "name of another step": (
        {"scale__with_maen": [True]},
        PIPELINE,
        "got 'scale__with_maen'. Did you mean 'scale__with_mean'",
    ),
    "name of a pipeline": ({"memroy": [None]}, PIPELINE, "got 'memroy'. Did you mean 'memory'"),
    "step": ({"scaler": [StandardScaler()]}, PIPELINE, "got 'scaler'"),
    "pipeline within a pipeline": (
        {"mlp__alpha": [1]},
        Pipeline([("rest", PIPELINE)]),
        "got 'mlp__alpha'. Did you mean 'rest__mlp__alpha'",
    ),
    "of none of the choices": (
        {"mlp": [network(), network(alpha=1.0)], "mlp__alhpa": [1]},
        PIPELINE,
        "got 'mlp__alhpa'. Did you mean 'mlp__alpha'",
    ),
    "default space of another estimator": (default_space(PIPELINE), None, "got 'mlp__learning_rate_init'"),
    "choice": (
        {"activation": choice("relu", "tahn")},
        None,
        "activation of the space: .* Got 'tahn' instead. Did you mean 'tanh'",
    ),
    "choice in a pipeline": (
        in_pipeline({"solver": ["sgd", "adma"]}),
        PIPELINE,
        "mlp__solver of the space: .*'adma'.* mean 'adam'",
    ),
    "choice of lists": ({"activation": [["relu"], ["tahn"]]}, None, "activation of the space: .*'tahn'"),
    "choice of layers": (
        {"hidden_layer_sizes": [(8,), (8, 0)]},
        None,
        r"hidden_layer_sizes of the space: .*> 0, got \[8, 0\]",
    ),
    "layers of another parameter": ({"batch_size": layers()}, None, "batch_size of the space: "),
    "list of rates": (
        {"dropout": [[0.1], [1.5]]},
        None,
        r"dropout of the space: dropout must be rates in \[0, 1\)",
    ),
    "callbacks that are none": ({"callbacks": [None, Callback()]}, None, "callbacks of the space: "),
    "low end": (
        {"learning_rate_init": uniform(-1.0, 0.1)},
        None,
        r"learning_rate_init of the space: .*Got -0.99",
    ),
    "high end": ({"momentum": uniform(0.5, 1.5)}, None, "momentum of the space: .*Got 1.4"),
    "low end of integers": (
        {"n_iter_no_change": int_uniform(0, 9)},
        None,
        "n_iter_no_change of the space: .*Got 0 instead",
    ),
    "numbers that are no integers": ({"batch_size": log_uniform(8, 64)}, None, "batch_size of the space: "),
    "a distribution": (
        {"learning_rate_init": norm(0.001, 0.01)},
        None,
        "learning_rate_init of the space: .*Got -0.0",
    ),
    "a tied rate": (
        {"alpha": tied(log_uniform(2, 3)), "beta_1": tied(log_uniform(2, 3)), "batch_size": [9]},
        None,
        "beta_1 of the space",
    ),
    "network of a choice": (
        {"mlp": [network(), network(activation="tahn")]},
        PIPELINE,
        "mlp of the space: .*Did you mean 'tanh'",
    ),
    "what the space does not vary": (
        RATES,
        network(activation="tahn"),
        "'activation' parameter .*Got 'tahn' instead. Did you mean",
    ),
    "what a step does not vary": (
        in_pipeline(RATES),
        Pipeline([("mlp", network(alpha=-1.0))]),
        "'alpha' parameter .*Got -1.0",
    ),
}


@every_search
@pytest.mark.parametrize("case", WRONG_SPACES)
def test_wrong_spaces_are_told_before_the_first_trial(name, case, monkeypatch):
    def begin(*args, **kwargs):
        raise AssertionError("there is something to say before the first trial")

    monkeypatch.setattr(nnfast.tuning.search, "SearchRun", begin)
    space, estimator, message = WRONG_SPACES[case]
    with pytest.raises(ValueError, match=message):
        search(name, estimator, space).fit(X, Y)


def test_names_are_asked_of_any_estimator():
    for estimator, space, message in (
        (LogisticRegression(), {"c": [1]}, "got 'c'. Did you mean 'C'"),
        (
            make_pipeline(StandardScaler(), LogisticRegression()),
            {"C": [1]},
            "got 'C'. Did you mean 'logisticregression__C'",
        ),
        (
            BaggingClassifier(network(), n_estimators=2),
            {"estimator__activation": ["relu", "tahn"]},
            "estimator__activation of the space: ",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            search("coarse to fine", estimator, space).fit(X, Y)


class Keywords(LogisticRegression):
    """Takes parameters that it does not list, as some estimators do."""

    def set_params(self, **params):
        return super().set_params(**{name.removeprefix("any__"): value for name, value in params.items()})


@pytest.mark.parametrize(
    ("estimator", "space"),
    [
        (None, {"learning_rate": [lambda epoch, rate: rate, Cosine(), "constant"]}),
        (
            None,
            {"solver": ["sgd", SGD(momentum=0.5)], "loss": ["log_loss"], "callbacks": [None, [Callback()]]},
        ),
        (
            None,
            {
                "dropout": uniform(0.0, 1.0),
                "learning_rate_init": uniform(0.0, 0.1),
                "beta_1": uniform(0.0, 1.0),
            },
        ),
        (
            None,
            {"learning_rate_init": gamma(2, scale=0.01), "alpha": norm(2, 0.8), "batch_size": randint(8, 64)},
        ),
        (None, {"batch_size": ["auto", *range(8, 600)], "n_iter_no_change": [3, np.inf], "verbose": [False]}),
        (network(activation=None), {"activation": ["relu", ("elu", 0.5)]}),
        (
            PIPELINE,
            in_pipeline(RATES) | {"scale": ["passthrough", StandardScaler()], "scale__with_mean": [True]},
        ),
        (PIPELINE, in_pipeline(RATES) | {"memory": [None]}),
        (
            Pipeline([("mlp", None)]),
            {"mlp": [network(activation=None), network()], "mlp__activation": ["relu"]},
        ),
        (PIPELINE, {"mlp": [network(), LogisticRegression()], "mlp__C": log_uniform(0.1, 1)}),
        (PIPELINE, {"mlp": [network(), LogisticRegression()], "mlp__alpha": log_uniform(0.1, 1)}),
        (
            Pipeline([("rest", PIPELINE)]),
            {"rest": [PIPELINE, network()], "rest__mlp": [network()], "rest__mlp__alpha": [1.0]},
        ),
        (Keywords(), {"any__C": [1.0]}),
        (BaggingClassifier(network()), {"estimator__alpha": [1.0]}),
    ],
)
def test_spaces_that_work_are_accepted(estimator, space):
    check_space(network() if estimator is None else estimator, Space(space))


@every_search
def test_a_space_of_steps_and_of_their_parameters(name):
    # The parameter is one of a choice's alone: the other choice fails with it, as it would have to.
    space = in_pipeline(RATES) | {
        "scale": ["passthrough", StandardScaler()],
        "scale__with_mean": [True, False],
    }
    with pytest.warns(FitFailedWarning, match="set_params"):
        made = fitted(search(name, PIPELINE, space), X, Y)
    failed = made.cv_results_["status"] == "failed"
    assert [params["scale"] == "passthrough" for params in made.cv_results_["params"]] == failed.tolist()


@every_search
def test_wrong_tables(name):
    broken = X.copy()
    broken[3, 3] = np.nan
    for table, y, message in (
        (broken, Y, "NaN"),
        (X, Y[:5], "inconsistent"),
        (X[:1], Y[:1], "n_splits|samples"),
        (X[:, 0], Y, "2D"),
    ):
        with pytest.raises(ValueError, match=message):
            search(name).fit(table, y)
    with pytest.raises(ValueError, match="fit takes no validation_indices"):
        search(name).fit(X, Y, validation_indices=np.arange(7))


def test_validation_rows_of_its_own():
    made = fitted(
        search("hyperband", network(early_stopping=True)), X[20:], Y[20:], X_val=X[:20], y_val=Y[:20]
    )
    assert len(made.best_estimator_.validation_scores_) == made.best_estimator_.n_iter_
    names = list("abcdef")
    of_frames = fitted(
        search("hyperband", network(early_stopping=True)),
        pd.DataFrame(X[20:], columns=names),
        Y[20:],
        X_val=pd.DataFrame(X[:20], columns=names),
        y_val=pd.Series(Y[:20]),
    )
    np.testing.assert_array_equal(
        of_frames.cv_results_["mean_test_score"], made.cv_results_["mean_test_score"]
    )
    for held_out, message in (
        ({"X_val": X[:20, 1:], "y_val": Y[:20]}, "X_val, y_val: X has 5 features"),
        ({"X_val": X[:20]}, "y_val"),
    ):
        with pytest.raises(ValueError, match=message):
            made.fit(X[20:], Y[20:], **held_out)


@every_search
def test_validation_rows_of_a_pipeline_are_no_rows_of_x(name):
    # As many as X has, they are not cut into folds.
    estimator = Pipeline([("scale", StandardScaler()), ("mlp", network(early_stopping=True, max_iter=9))])
    own = {"mlp__X_val": X + 1, "mlp__y_val": Y, "mlp__sample_weight_val": WEIGHTS}
    made = fitted(
        search(name, estimator, in_pipeline(RATES), **{"bayes": {"pruner": None}}.get(name, {})), X, Y, **own
    )
    for number, params in enumerate(made.cv_results_["params"]):
        for split, (train, test) in enumerate(StratifiedKFold(3).split(X, Y)):
            alone = fitted(clone(estimator).set_params(**params), X[train], Y[train], **own)
            assert made.cv_results_[f"split{split}_test_score"][number] == alone.score(X[test], Y[test])
    with pytest.raises(ValueError, match="fit takes no mlp__validation_indices"):
        made.fit(X, Y, mlp__validation_indices=np.arange(7))


class NamedPipeline(Pipeline):
    """A user's own."""


@every_search
def test_pipelines_stay_what_they_are(name, tmp_path):
    seen = []

    def look(estimator, X, y):
        seen.append((type(estimator), estimator.memory, len(estimator.steps)))
        return estimator.score(X, y)

    estimator = NamedPipeline([("scale", StandardScaler()), ("mlp", network())], memory=str(tmp_path))
    made = fitted(search(name, estimator, in_pipeline(RATES), scoring=look), X, Y)
    best = made.best_estimator_
    assert {*seen, (type(best), best.memory, len(best.steps))} == {(NamedPipeline, str(tmp_path), 2)}


@every_search
def test_the_best_is_profiled(name):
    made = fitted(search(name, network(profile=True)), X, Y)
    assert made.best_estimator_.profile_["forward"].seconds > 0


@every_search
def test_the_network_of_a_pipeline_may_give_way_to_another_estimator(name):
    estimator, space = (
        Pipeline([("scale", StandardScaler()), ("mlp", network())]),
        {"mlp": [network(), LogisticRegression()]},
    )
    if name == "hyperband":
        with pytest.raises(
            ValueError,
            match=r"mlp of the space must be networks that train by epochs.*got LogisticRegression",
        ):
            search(name, estimator, space).fit(X, Y)
        return
    made = fitted(search(name, estimator, space, random_state=1), X, Y)
    expected = {type(each): fitted_scores(clone(estimator).set_params(mlp=each)) for each in space["mlp"]}
    chosen = [type(params["mlp"]) for params in made.cv_results_["params"]]
    assert set(chosen) == set(expected)
    for split in range(3):
        np.testing.assert_array_equal(
            made.cv_results_[f"split{split}_test_score"], [expected[each][split] for each in chosen]
        )


def fitted_scores(estimator):
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return cross_val_score(estimator, X, Y, cv=3)


@every_search
def test_a_scorer_without_a_finite_score_is_told(name):
    def broken(estimator, X, y):
        raise RuntimeError("no score for you")

    with warnings.catch_warnings(action="ignore"):
        with pytest.raises(
            ValueError, match=r"scoring must give finite numbers, got none (.|\n)*no score for you"
        ):
            search(name, scoring=broken).fit(X, Y)
        with pytest.raises(ValueError, match=r"scoring must give finite numbers, got none .*lambda.*>\.$"):
            search(name, scoring=lambda estimator, X, y: np.nan).fit(X, Y)


def test_nested_cross_validation():
    X_iris, y_iris = load_iris(return_X_y=True)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        scores = cross_val_score(search("hyperband", max_epochs=27, n_jobs=1), X_iris, y_iris, cv=3)
    assert scores.mean() > 0.85
