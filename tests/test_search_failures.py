"""Trials of a search that diverge, overflow or fail."""

import warnings

import numpy as np
import pandas as pd
import pytest
import searches
from searches import RATES, X, Y, every_search, fitted, in_pipeline, network, search
from sklearn.compose import make_column_transformer
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import (
    KFold,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from nnfast.callbacks import Callback
from nnfast.tuning import (
    log_uniform,
)


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
    assert {each.filename for each in caught if each.category is FitFailedWarning} == {searches.__file__}
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
