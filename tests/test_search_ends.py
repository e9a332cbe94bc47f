"""How a search ends: by its budget of time, by Ctrl-C, by what raises; and its jobs."""

import signal
import threading
import time
import warnings

import numpy as np
import pytest
from searches import PIPELINE, RATES, SEARCHES, X, Y, every_search, fitted, in_pipeline, network, search
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    KFold,
    StratifiedKFold,
)

import nnfast.jobs
import nnfast.tuning.fits
import nnfast.tuning.progress
from nnfast import MLPClassifier
from nnfast.callbacks import Callback
from nnfast.tuning import (
    log_uniform,
)

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
    Interrupt.left, n_threads = 21, threading.active_count()
    made = search(name, network(callbacks=[Interrupt()]), time_budget=100, n_jobs=n_jobs, **endless)
    with pytest.warns(ConvergenceWarning, match=r"Interrupted: this is the best of \d+ trials"):
        made.fit(X, Y)
    assert len(made.predict(X)) == len(X) and np.isfinite(made.best_score_)
    assert set(made.cv_results_["status"]) & {"complete", "pruned", "unfinished"}
    assert threading.active_count() < n_threads + 20


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
