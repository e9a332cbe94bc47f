"""What all searches have in common: scikit-learn's contract, and how it ends."""

import inspect
import os
import time
import warnings
from abc import ABC, abstractmethod
from contextlib import closing
from numbers import Integral, Real

import numpy as np
from scipy.stats import rankdata
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state, indexable
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_method_params

from nnfast.option_needs import not_told
from nnfast.solvers import solver_of
from nnfast.tuning.checks import check_space
from nnfast.tuning.fits import FAILURES
from nnfast.tuning.folds import Folds
from nnfast.tuning.networks import network_of
from nnfast.tuning.run import SearchRun
from nnfast.tuning.spaces import Space
from nnfast.tuning.tensorboard import TrialLog
from nnfast.versions import VersionedPickle

_PARAMETERS = """\
scoring : str, callable, list, tuple, dict or None, default=None
    As in scikit-learn's searches. None: the estimator's `score`.

cv : int, cross-validation generator, iterable or None, default=None
    As in scikit-learn's searches: None is for 5 folds.

refit : bool, str or callable, default=True
    Whether to fit the best candidate on all rows at the end; with several metrics, the one to go by.

n_jobs : int or None, default=None
    Fits at once, on threads of this process, each with its share of the threads that nnfast may use: one,
    where there are as many jobs. None is for as many as there are. Trials do not depend on it.

random_state : int, RandomState or None, default=None
    Draws the candidates. By an integer, estimators whose own `random_state` is None get one, too, all the
    same.

time_budget : float or None, default=None
    Seconds after which the search ends with the best so far. The fits that run end with their epoch
    (iteration of L-BFGS) and count as they are, with status "unfinished", where all their folds have a score.
    If no trial has a score by then, the best is the estimator as it was given, with a warning: see
    `best_params_`. `refit` comes after the budget, and takes as long as a fit does.

error_score : "raise" or float, default=nan
    The score of a fold whose fit fails or diverges, in `cv_results_`; whatever it is, the trial ranks last.

return_train_score : bool, default=False
    Whether to score the rows trained on, too.

verbose : bool, int or "progress", default=False
    "progress" shows a bar: trials, the best score so far, the time left (with the extra `progress`). True
    prints a line a trial.

tensorboard : str, Path or None, default=None
    A folder to write a run for TensorBoard to for every trial, for its HPARAMS tab (with the extra
    `tune`)."""

_ATTRIBUTES = """\
cv_results_ : dict of arrays
    scikit-learn's, a place a trial, and beside them "status" ("complete", "pruned", "unfinished", "diverged"
    or "failed"), "n_epochs", "ended" (seconds after the beginning) and "learning_curve": for each trial a
    dict with means over the folds, of the training "loss" by epoch, and of the "score" after "score_epochs".

best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
    As in scikit-learn's searches, with the methods `predict`, `predict_proba`, `score`, ... of the best
    estimator. Where the time was over before a trial had a score, `best_params_` is {}, `best_score_` is NaN,
    and the last place of `cv_results_` is that of the estimator as it was given: status "unfinished", no
    score, and -1 for "round" or "bracket"."""

_ENDS = """\
Ctrl-C ends the search with the best so far, too, which is then fitted on all rows; a second one is raised. A
candidate that diverges is recorded as that, ranks last, and stops nothing."""

_WORDS = {"parameters": _PARAMETERS, "attributes": _ATTRIBUTES, "ends": _ENDS}


def documented(cls):
    """A class decorator: put the words that all searches share in place of the docstring's marks."""
    if cls.__doc__ is not None:  # python -OO
        for name, words in _WORDS.items():
            cls.__doc__ = cls.__doc__.replace(f"{{{name}}}", words.replace("\n", "\n    "))
    return cls


class BaseSearch(VersionedPickle, BaseSearchCV, ABC):
    """What the searches have in common. Not for use by itself."""

    _parameter_constraints: dict = {
        **{
            name: each for name, each in BaseSearchCV._parameter_constraints.items() if name != "pre_dispatch"
        },
        "space": [dict, Space],
        "random_state": ["random_state"],
        "time_budget": [Interval(Real, 0, None, closed="neither"), None],
        "verbose": ["verbose", StrOptions({"progress"})],
        "tensorboard": [str, os.PathLike, None],
    }

    def __init__(
        self,
        estimator,
        space,
        *,
        scoring=None,
        cv=None,
        refit=True,
        n_jobs=None,
        random_state=None,
        time_budget=None,
        error_score=np.nan,
        return_train_score=False,
        verbose=False,
        tensorboard=None,
    ):
        parameters = locals()
        for name in inspect.signature(BaseSearch.__init__).parameters:
            if name != "self":
                setattr(self, name, parameters[name])

    _numbered_by = ()  # keys of `cv_results_` that tell where in the search a trial was

    @abstractmethod
    def _search(self, run):
        """Draw candidates and have `run` train them, until there are enough or `run.over`."""

    @abstractmethod
    def _n_trials_planned(self):
        """How many trials there will be, or None."""

    def _check(self):
        """Raise ValueError where parameters contradict each other."""

    def _refitted(self, run, estimator, X, y, fit_params):
        """The best candidate, fitted on all rows."""
        return estimator.fit(X, **fit_params) if y is None else estimator.fit(X, y, **fit_params)

    @_fit_context(prefer_skip_nested_validation=False)  # of the estimator
    def fit(self, X, y=None, **params):
        """Search, and fit the best candidate on all rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The table.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The targets.

        **params : dict
            For the estimator's `fit`, the splitter (`groups`) and the scorer, as in scikit-learn's searches:
            what has an entry a row is cut into folds. With `X_val` and `y_val`, every network is validated on
            these while it trains; those for the network of a pipeline, ``mlpclassifier__X_val`` say, come to
            it as they are, not through the other steps.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If the estimator does not have a parameter of the space, or a network does not take one of its
            values, before any trial. At the end, if no trial has a score though there was time: all of them
            failed, or the scorer gave none.
        KeyboardInterrupt
            If it comes before a trial has a score, or a second time.

        Warns
        -----
        ConvergenceWarning
            If the time was over before a trial had a score, or the user interrupted the search.
        FitFailedWarning
            If trials failed.
        """
        self._check()
        check_space(self.estimator, Space(self.space))
        scorer, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(cv.split(X, y, **routed.splitter.split))
        self.n_splits_ = cv.get_n_splits(X, y, **routed.splitter.split)
        if not splits:
            raise ValueError(
                f"cv must give one split of X or more, got none of {self.cv!r}. An iterator is used up by "
                "one fit: use a list."
            )
        if len(splits) != self.n_splits_:
            raise ValueError(
                f"cv must split X as often as it says, {self.n_splits_} times, got {len(splits)} splits."
            )

        random_state = check_random_state(self.random_state)
        estimator = clone(self.estimator)
        if self.random_state is not None:
            _seed(estimator, random_state)
        folds = Folds(estimator, X, y, splits, routed.estimator.fit, routed.scorer.score, scorer)
        log = None if self.tensorboard is None else TrialLog(self.tensorboard)
        with closing(SearchRun(self, estimator, folds, scorer, refit_metric, random_state, log)) as run:
            try:
                self._search(run)
            except KeyboardInterrupt:
                if run.limits.interrupted:
                    raise
                run.limits.interrupt()
            run.trials = [trial for trial in run.trials if trial.begun]
            for trial in run.trials:
                if np.isnan(trial.ended):
                    run.finish(trial, "unfinished")
        self._conclude(run, refit_metric)
        if self.refit:
            start = time.time()
            best = clone(estimator).set_params(**clone(self.best_params_, safe=False))
            with not_told(self.best_params_):
                self.best_estimator_ = self._refitted(run, best, X, y, routed.estimator.fit)
            self.refit_time_ = time.time() - start
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        self.scorer_ = scorer._scorers if isinstance(scorer, _MultimetricScorer) else scorer
        return self

    def _conclude(self, run, refit_metric):
        """Set the attributes that tell of the trials."""
        trials, too_short = list(run.trials), False
        if not run.best(1):
            if run.limits.interrupted:
                raise KeyboardInterrupt("before a trial had a score")
            too_short = run.over and all(trial.status in ("unfinished", *FAILURES) for trial in trials)
            if too_short:
                run.begin({}, **dict.fromkeys(self._numbered_by, -1)).ended = run.limits.elapsed
                warnings.warn(
                    f"time_budget={self.time_budget} seconds were over before a trial had a score in every "
                    "fold: the best is the estimator as it was given, without a score. Allow more, or use "
                    "fewer folds or epochs.",
                    ConvergenceWarning,
                    stacklevel=4,
                )
        n_failed = {
            status: sum(trial.status == status for trial in trials) for status in ("failed", "diverged")
        }
        # A trial that failed tells more than one that diverged, and one that only its scorer failed for has
        # an error, too.
        errors = [
            trial.error
            for status in (*n_failed, "complete")
            for trial in trials
            if trial.status == status and trial.error
        ]
        first = errors[0] if errors else None
        if not run.best(1) and not too_short:
            if all(trial.status in FAILURES for trial in trials):
                raise ValueError(
                    f"All the {len(trials)} trials failed or diverged. The first error:\n\n{first}"
                )
            more = "" if first is None else f" The first error:\n\n{first}"
            raise ValueError(
                f"scoring must give finite numbers, got none in all folds of any of the {len(trials)} trials;"
                f" scoring={self.scoring!r}.{more}"
            )
        if run.limits.interrupted:
            warnings.warn(
                f"Interrupted: this is the best of {len(trials)} trials.", ConvergenceWarning, stacklevel=4
            )
        if n_failed["failed"]:
            warnings.warn(
                f"{n_failed['failed']} of {len(trials)} trials failed, and their scores are "
                f"error_score={self.error_score}. The first error:\n"
                "\n"
                f"{first}",
                FitFailedWarning,
                stacklevel=4,
            )
        overflowed = [trial.warning for trial in trials if trial.warning and trial.status not in FAILURES]
        if overflowed:
            warnings.warn(
                f"{len(overflowed)} of {len(trials)} trials overflowed, and are scored by their best "
                "epochs. The first:\n"
                "\n"
                f"{overflowed[0]}",
                ConvergenceWarning,
                stacklevel=4,
            )
        results = self._results(run)
        self.multimetric_ = run.metrics is not None
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(run.metrics)
            refit_metric = self.refit
        if self.refit or not self.multimetric_:
            last = len(run.trials) - 1
            self.best_index_ = (
                last if too_short else self._select_best_index(self.refit, refit_metric, results)
            )
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        self.cv_results_ = results

    def _results(self, run):
        """`cv_results_`."""

        def filled(scores, status):
            if scores is None:
                scores = self.error_score if status in FAILURES else np.nan
            return (
                scores
                if run.metrics is None or isinstance(scores, dict)
                else dict.fromkeys(run.metrics, scores)
            )

        out = []
        for trial in run.trials:
            for fit in trial.fits:
                times = {
                    "fit_time": fit.fit_time,
                    "score_time": fit.score_time,
                    "n_test_samples": len(fit.fold.test),
                }
                out.append({"fit_error": fit.error, "test_scores": filled(fit.scores, fit.status), **times})
                if self.return_train_score:
                    out[-1]["train_scores"] = filled(fit.train_scores, fit.status)
        more = {name: [trial.more[name] for trial in run.trials] for name in run.trials[0].more}
        more["status"] = [trial.status for trial in run.trials]
        more["n_epochs"] = [trial.n_epochs for trial in run.trials]
        more["ended"] = [trial.ended for trial in run.trials]
        with warnings.catch_warnings():
            # Which have none, "status" tells.
            warnings.filterwarnings("ignore", "One or more of the .* scores are non-finite", UserWarning)
            results = self._format_results([trial.params for trial in run.trials], self.n_splits_, out, more)
        for key in [key for key in results if key.startswith("mean_test_")]:
            results[key.replace("mean", "rank")] = _ranks(results[key], results["status"])
        results["learning_curve"] = np.empty(len(run.trials), dtype=object)
        results["learning_curve"][:] = [trial.learning_curve() for trial in run.trials]
        return results

    @property
    def n_features_in_(self):
        """Features of the X fitted on, where the best candidate was refitted."""
        return super().n_features_in_

    def report(self, path, *, metric=None):
        """Write a page of HTML: the best candidate, all trials in a table, and figures; see
        `nnfast.tuning.report`.

        Parameters
        ----------
        path : str or Path
            Where to; a file that is there is replaced.

        metric : str, default=None
            What the figures show of a search with several metrics. None: the one that it refits by.
        """
        from nnfast.tuning.report import report

        report(self, path, metric=metric)


def check_is_network(search, but=""):
    """Raise ValueError unless a search's estimator trains by epochs; `but` says what else would do."""
    network, _ = network_of(search.estimator)
    if network is None or not solver_of(network.solver).minibatches:
        raise ValueError(
            f"{type(search).__name__} needs an estimator that trains by epochs: nnfast.MLPClassifier or "
            f"nnfast.MLPRegressor with a stochastic solver, or a Pipeline that ends with one{but}, got "
            f"{search.estimator!r}."
        )


def _seed(estimator, random_state):
    """Give all parts of an estimator that have none a random_state."""
    seed = int(random_state.randint(2**31 - 1))
    parameters = estimator.get_params(deep=True)
    without = [
        k
        for k, v in parameters.items()
        if v is None and (k == "random_state" or k.endswith("__random_state"))
    ]
    if without:
        estimator.set_params(**dict.fromkeys(without, seed))


def _ranks(scores, status):
    """1 for the best mean score; trials without one of their own share the last rank, whatever error_score
    is.
    """
    counts = np.isfinite(scores) & ~np.isin(status, FAILURES)
    return rankdata(-np.where(counts, scores, -np.inf), method="min").astype(np.int32)


AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
