"""Trials: a candidate's fits in all folds, how far they came, and their scores."""

import time
from dataclasses import dataclass, field
from functools import partial
from traceback import format_exc

import numpy as np
from sklearn.base import clone
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection._validation import _score

from nnfast.callbacks import Callback
from nnfast.exceptions import DivergenceError
from nnfast.fitting import fit, training_run
from nnfast.option_needs import OPTIONS, not_told
from nnfast.parameters import check_parameters
from nnfast.solvers import solver_of

# From best to worst: a trial is what the worst of its folds is.
STATUSES = ("complete", "pruned", "unfinished", "diverged", "failed")
# Those without a score of their own: theirs is error_score, and they rank last.
FAILURES = ("diverged", "failed")


@dataclass(eq=False)
class FoldFit:
    """A candidate in one fold: its fit as far as it has come, and what was measured of it.

    Attributes
    ----------
    scores, train_scores : float, dict of floats by metric, or None where nothing was scored
    score_epochs, score_curve : list
        Epochs after which the fold was scored, and the scores.
    loss_curve : ndarray
        Training loss by epoch.
    status : str or None
        One of `STATUSES`; None of a fit that has not been told to train, or that waits to go on.
    error : str or None
        The traceback of a fit that diverged or failed, or of a scorer that did.
    warning : str or None
        How a fit overflowed that went back to its best epoch.
    """

    fold: object
    params: dict
    scores: object = None
    train_scores: object = None
    fit_time: float = 0.0
    score_time: float = 0.0
    n_epochs: int = 0
    loss_curve: np.ndarray = field(default_factory=lambda: np.empty(0))
    score_epochs: list = field(default_factory=list)
    score_curve: list = field(default_factory=list)
    status: str | None = None
    error: str | None = None
    warning: str | None = None
    _material: object = None
    _training_run: object = None

    def train(self, run, until=None, watch=None):
        """Train to the end of an epoch or, by None, of the fit, and score.

        Parameters
        ----------
        run : nnfast.tuning.run.SearchRun
        until : int or None
        watch : callable(epoch, score) or None
            Is told the score after every epoch; where it returns True, the candidate is given up.
        """
        start = time.perf_counter()
        try:
            try:
                with not_told(OPTIONS):  # a search tells of its best candidate, once
                    self.status = self._train(run, until, watch)
            finally:
                self.fit_time += time.perf_counter() - start
            self._score(run)
        except Exception as error:
            if run.error_score == "raise":
                raise
            self.error, self.scores, self.train_scores, self.status = format_exc(), None, None, None
            self.release("diverged" if isinstance(error, DivergenceError) else "failed")
            return
        if until is None or self.status is not None or self._training_run is None:
            self.release("complete")

    def release(self, status):
        """Forget the network, since nothing goes on from here; the status, where there is none yet."""
        if self._training_run is not None:
            self._training_run.close()
        self._training_run = self._material = None
        self.status = self.status or status

    def _train(self, run, until, watch):
        """Returns "pruned" if `watch` has given the candidate up, "unfinished" if the search ended the fit,
        or None.
        """
        if self._material is None:
            estimator = clone(run.estimator).set_params(**clone(self.params, safe=False))
            self._material = run.folds.material(estimator, self.params, self.fold)
        material = self._material
        if material.network is None:
            arguments = (material.X,) if material.y is None else (material.X, material.y)
            material.estimator.fit(*arguments, **material.fit_params)
            self._note_epochs(material.estimator)
            return None
        if not solver_of(material.network.solver).minibatches:
            return self._train_at_one_go(run.limits, material)
        if self._training_run is None:
            arguments = {**material.fit_params, "rows": material.rows, "shared": run.folds.shared}
            with run.preparing:
                self._training_run = training_run(material.network, material.X, material.y, **arguments)
        fold_run, given_up = self._training_run, False

        def pause():
            nonlocal given_up
            if watch is not None:
                fold_run.publish()
                self._note_scores(run, fold_run.n_epochs)
                given_up = watch(fold_run.n_epochs, self.score_curve[-1])
            return given_up or run.limits.over

        try:
            if not fold_run.finished:
                fold_run.train(until, pause, every_epoch=watch is not None)
        finally:
            self.n_epochs, self.loss_curve = fold_run.n_epochs, fold_run.loss_curve
            self.warning = fold_run.warning
        if given_up:
            return "pruned"
        came_to_end = fold_run.finished or fold_run.n_epochs == until
        return "unfinished" if run.limits.over and not came_to_end else None

    def _train_at_one_go(self, limits, material):
        network, ends = material.network, _EndsWith(limits)
        check_parameters(network)
        given = network.callbacks
        if limits.timed:  # only then: a callback costs a fit of a small table up to a third of its time
            network.callbacks = [*(given or ()), ends]
        try:
            fit(network, material.X, material.y, **material.fit_params, rows=material.rows)
        finally:
            network.callbacks = given
            self._note_epochs(network)
        return "unfinished" if ends.ended else None

    def _note_epochs(self, estimator):
        """Of an estimator that was fitted at one go."""
        self.n_epochs = (
            getattr(estimator, "n_iter_", 0) if np.isscalar(getattr(estimator, "n_iter_", None)) else 0
        )
        self.loss_curve = np.array(getattr(estimator, "history_", {}).get("loss", ()))

    def _score(self, run):
        """Score the fit as far as it has come, unless that has been done."""
        start = time.perf_counter()
        if self.scores is None or self.score_epochs[-1:] != [self.n_epochs]:
            self._note_scores(run, self.n_epochs)
        if run.return_train_score and self.train_scores is None:
            self.train_scores = self._measured(run, train=True)
        self.score_time += time.perf_counter() - start

    def _note_scores(self, run, epoch):
        self.scores, self.train_scores = self._measured(run), None
        if epoch:
            self.score_epochs.append(epoch)
            self.score_curve.append(run.refit_score(self.scores))

    def _measured(self, run, train=False):
        estimator, X, y, score_params = run.folds.to_score(self._material, self.fold, train=train)
        # which does not raise, but with error_score="raise"
        several = isinstance(run.scorer, _MultimetricScorer)
        return _score(
            estimator,
            X,
            y,
            run.scorer if several else partial(self._ask, run.scorer),
            score_params,
            run.error_score,
        )

    def _ask(self, scorer, *args, **score_params):
        """The scorer's answer; what it raises, for which scikit-learn puts error_score, is noted."""
        try:
            return scorer(*args, **score_params)
        except Exception:
            self.error = format_exc()
            raise


class _EndsWith(Callback):
    """Ends a fit that cannot pause, one by L-BFGS, with its iteration once the search is over."""

    def __init__(self, limits):
        self._limits, self.ended = limits, False

    def on_epoch_end(self, estimator, state):
        if self._limits.over and state.stop_reason is None:
            self.ended = True
            state.stop("the search is over")


@dataclass(eq=False)
class Trial:
    """A candidate: its parameters, its fits, and what a search says of it (see `cv_results_`).

    Attributes
    ----------
    more : dict
        Of the search, such as the round that the candidate was drawn in.
    ended : float
        Seconds since the search began.
    """

    number: int
    params: dict
    fits: list
    more: dict = field(default_factory=dict)
    ended: float = np.nan

    @property
    def status(self):
        """One of `STATUSES`."""
        return max((fit.status or "unfinished" for fit in self.fits), key=STATUSES.index)

    @property
    def begun(self):
        """Whether one of its fits has come to an end, to an epoch, or to an error."""
        return any(fit.fit_time for fit in self.fits)

    @property
    def n_epochs(self):
        """The most that one of its folds was trained."""
        return max(fit.n_epochs for fit in self.fits)

    @property
    def error(self):
        """The first fold's that has one, or None."""
        return next((fit.error for fit in self.fits if fit.error), None)

    @property
    def warning(self):
        """The first fold's that has one, or None."""
        return next((fit.warning for fit in self.fits if fit.warning), None)

    def learning_curve(self):
        """Means over the folds, by epoch: of the training loss, and of scores where the folds have them
        alike.
        """
        curves = [fit.loss_curve for fit in self.fits if len(fit.loss_curve)]
        longest = max(map(len, curves), default=0)
        padded = np.full((len(curves), longest), np.nan)
        for row, curve in zip(padded, curves, strict=True):
            row[: len(curve)] = curve
        # Where one of the folds ended earlier, the others' mean would be of other folds.
        n_shared = min(map(len, curves), default=0)
        scored = [
            dict(zip(fit.score_epochs, fit.score_curve, strict=True)) for fit in self.fits if fit.score_epochs
        ]
        epochs = sorted(set.intersection(*map(set, scored))) if scored else []
        if not epochs and len(scored) == len(self.fits) > 0:  # every fold ended at an epoch of its own
            epochs, scored = [self.n_epochs], [{self.n_epochs: list(each.values())[-1]} for each in scored]
        return {
            "loss": padded[:, :n_shared].mean(axis=0) if n_shared else np.empty(0),
            "score_epochs": np.array(epochs, dtype=np.intp),
            "score": np.array(
                [np.mean([each[epoch] for each in scored]) for epoch in epochs], dtype=np.float64
            ),
        }
