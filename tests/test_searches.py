"""The searches of nnfast.tuning: scikit-learn's contract, and its scores as the oracle."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from searches import RATES, WEIGHTS, X, Y, every_search, fitted, in_pipeline, network, search
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnfast import MLPClassifier, MLPRegressor
from nnfast.tuning import (
    BayesianSearchCV,
    CoarseToFineSearchCV,
    HyperbandSearchCV,
    choice,
    int_uniform,
    log_uniform,
)

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
