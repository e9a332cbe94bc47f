"""A run: one fit of a search, the trials that it trains, which of them are best, and what is said of them."""

from threading import Lock

import numpy as np
from sklearn.metrics._scorer import _MultimetricScorer

from nnfast.jobs import Jobs, Limits, n_jobs_of
from nnfast.tuning.fits import FoldFit, Trial
from nnfast.tuning.progress import reporter
from nnfast.tuning.spaces import Space
from nnfast.tuning.tensorboard import metrics_of


class SearchRun:
    """One `fit` of a search: its folds, its limits, and the trials so far.

    Attributes
    ----------
    estimator : estimator
        What candidates are clones of.
    space : Space
    random_state : numpy.random.RandomState
        Draws the candidates.
    trials : list of Trial
    limits : Limits
    preparing : threading.Lock
        To be held by whoever makes a fit ready.
    """

    def __init__(self, search, estimator, folds, scorer, refit_metric, random_state, log):
        self.estimator, self.folds, self.scorer, self.random_state = estimator, folds, scorer, random_state
        self.space = Space(search.space)
        self.error_score, self.return_train_score = search.error_score, search.return_train_score
        self.trials, self.limits = [], Limits(search.time_budget)
        # Of a function that returns several metrics, the others do not know the names.
        self._refit_metric = search.refit if isinstance(search.refit, str) else refit_metric
        # To prepare a fit is Python nearly throughout: threads at once would take its lock from each other
        # all the time.
        self.preparing = Lock()
        self._log, self._best_score = log, np.nan
        self._jobs = Jobs(n_jobs_of(search.n_jobs), self.limits)
        self.reporter = reporter(
            search.verbose, type(search).__name__, search._n_trials_planned(), search.time_budget
        )

    @property
    def over(self):
        """Whether the time is over, or the user has interrupted."""
        return self.limits.over

    def refit_score(self, scores):
        """The score that candidates are compared by: of several metrics, that of `refit`, or the
        first one.
        """
        if not isinstance(scores, dict):
            return scores
        return scores[self._refit_metric if self._refit_metric in scores else next(iter(scores))]

    @property
    def metrics(self):
        """The names of the metrics; None where scores are single numbers, or a function has not returned any
        yet.
        """
        if isinstance(self.scorer, _MultimetricScorer):
            return list(self.scorer._scorers)
        scores = (fit.scores for trial in self.trials for fit in trial.fits)
        return next((list(each) for each in scores if isinstance(each, dict)), None)

    def score(self, trial):
        """The mean over the folds; NaN where one of them has none."""
        return float(
            np.mean([np.nan if fit.scores is None else self.refit_score(fit.scores) for fit in trial.fits])
        )

    def best(self, n, trials=None):
        """The `n` best of the trials, of all by default, best first; those without a score are none."""
        scored = [(self.score(trial), trial) for trial in (self.trials if trials is None else trials)]
        scored = [(-score, trial.number, trial) for score, trial in scored if np.isfinite(score)]
        return [trial for *_, trial in sorted(scored)[:n]]

    def begin(self, params, **more):
        """A new trial, not yet trained."""
        trial = Trial(len(self.trials), params, [FoldFit(fold, params) for fold in self.folds.folds], more)
        self.trials.append(trial)
        return trial

    def evaluate(self, candidates, **more):
        """Train and score candidates, dicts of parameters, and return their trials."""
        trials = [self.begin(params, **more) for params in candidates]
        self.train(trials)
        return trials

    def train(self, trials, until=None, watches=None, then=None):
        """Train trials to an epoch, or by None to the end of their fits.

        Parameters
        ----------
        trials : list of Trial
        until : int or None
        watches : list of callable(epoch, score), default=None
            For each trial what is told the score of its first fold after every epoch, and gives the trial up
            by returning True: the other folds are trained only where it does not.
        then : callable(trial), default=None
            Called for every trial that has come so far in all its folds. Not together with `watches`.
        """
        if watches is not None and then is not None:
            raise TypeError("train takes watches or then, got both.")
        if watches is None:
            self._train([(trial, fit, None) for trial in trials for fit in trial.fits], until, then)
        else:
            first = [(trial, trial.fits[0], watch) for trial, watch in zip(trials, watches, strict=True)]
            self._train(first, until)
            passed = [trial for trial in trials if trial.fits[0].status == "complete"]
            self._train([(trial, fit, None) for trial in passed for fit in trial.fits[1:]], until)
            for trial in trials:
                if trial.fits[0].status not in ("complete", None) and np.isnan(trial.ended):
                    self.finish(trial, trial.fits[0].status)

    def _train(self, work, until, then=None):
        n_left = {id(trial): 0 for trial, _, _ in work}
        for trial, _, _ in work:
            n_left[id(trial)] += 1

        def done(item):
            trial = item[0]
            n_left[id(trial)] -= 1
            if not n_left[id(trial)]:
                if all(fit.status for fit in trial.fits):
                    self.finish(trial)
                if then is not None:
                    then(trial)

        self._jobs.run(lambda item: item[1].train(self, until, item[2]), work, done)

    def finish(self, trial, status="complete"):
        """Nothing goes on from a trial: its networks are let go, with this status where they wait, and it is
        reported.
        """
        for fit in trial.fits:
            fit.release(status)
        trial.ended = self.limits.elapsed
        score = self.score(trial)
        self._best_score = np.fmax(self._best_score, score)
        self.reporter.trial(trial, score, self._best_score)
        if self._log is not None:
            self._log.write(
                trial.number, trial.params, metrics_of(trial), trial.learning_curve(), trial.status
            )

    def close(self):
        """Let go of the networks that wait, whose callbacks are told that their fits end, and of what is
        shown.
        """
        self.reporter.close()
        if not self._jobs.busy:
            for trial in self.trials:
                for fit in trial.fits:
                    fit.release(None)
