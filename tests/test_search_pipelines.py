"""Searches of pipelines, and with validation rows of their own."""

import warnings

import numpy as np
import pandas as pd
import pytest
from searches import RATES, WEIGHTS, X, Y, every_search, fitted, in_pipeline, network, search
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


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
