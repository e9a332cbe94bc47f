"""Searches by Optuna's studies: going on, sharing, and what a study knows of its search."""

import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from scipy.stats import gamma, norm
from searches import RATES, RATES_AND_LAYERS, X, Y, fitted, network, search
from sklearn.metrics import accuracy_score, make_scorer

from nnfast.callbacks import Callback


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
from searches import X, Y, search
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
