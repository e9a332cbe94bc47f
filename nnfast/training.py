"""The fit by minibatches: epochs and their bookkeeping, stopping, divergence, interrupts.

A fit works on a `Task` and reports to a `nnfast.publishing.Publisher`: when it ends, and after every epoch
that somebody watches. What it publishes is always the state after a whole epoch (or a whole iteration of
L-BFGS), and finite. What a fit that fails leaves behind is said there, too.

`nnfast.holdout` splits the table, `nnfast.continuation` takes up earlier fits, `nnfast.validator` measures,
`nnfast.epoch_records` keeps the numbers, `nnfast.reporting` speaks, `nnfast.callbacks` calls the user's code;
`nnfast.lbfgs` is the fit by L-BFGS.
"""

from contextlib import ExitStack

from nnfast.holdout import Validation, split
from nnfast.lbfgs import fit_lbfgs
from nnfast.rate_finder import range_test
from nnfast.stochastic_fit import Overflowed, StochasticFit
from nnfast.task import Task, batch_size_of

__all__ = ["Task", "TrainingRun", "Validation", "fit_lbfgs", "fit_stochastic", "try_rates"]


def fit_stochastic(task, parameters, engine, random_state, history, publish, *, one_epoch=False):
    """Train by minibatches until what is monitored stalls, a callback stops it, or for `max_iter` epochs.

    Parameters
    ----------
    task : Task
    parameters : estimator
        Read for the hyperparameters that the task does not hold.
    engine : module
        See `nnfast.engines`.
    random_state : numpy.random.RandomState
        Draws the validation split, the seed of dropout, and every epoch's order.
    history : dict
        The attributes that earlier calls published and this one goes on with; empty for a fit from scratch.
    publish : nnfast.publishing.Publisher
    one_epoch : bool, default=False
        True in `partial_fit`.

    Raises
    ------
    DivergenceError
        If the loss, a gradient or a parameter is not finite, and early stopping has no finite best epoch.
    """
    run = TrainingRun(task, parameters, engine, random_state, history, publish, one_epoch=one_epoch)
    run.train()
    run.conclude()


class TrainingRun:
    """A fit that can pause after any epoch and continue to the same bits. While it is paused it keeps the
    network's arrays, but no session.

    The parameters are those of `fit_stochastic`.

    Attributes
    ----------
    finished : bool
        Whether there is nothing to go on with: the fit has ended, by itself or by an exception.
    """

    def __init__(self, task, parameters, engine, random_state, history, publish, *, one_epoch=False):
        self._fit = StochasticFit(task, parameters, engine, random_state, history, publish, one_epoch)
        self._begun = self.finished = False

    @property
    def n_epochs(self):
        """Whole epochs done."""
        return self._fit.whole["n_iter"]

    @property
    def loss_curve(self):
        """Training losses of the epochs done, an array."""
        return self._fit.records.history(self.n_epochs)["loss"]

    @property
    def warning(self):
        """How a fit overflowed that went back to its best epoch, or None."""
        return self._fit.warning

    def train(self, until=None, pause=None, *, every_epoch=True):
        """Go on to the end of an epoch, or of the fit.

        Parameters
        ----------
        until : int, default=None
            The number of the epoch. None: to the end of the fit, for which this method need not be called
            again.
        pause : callable without arguments, default=None
            Asked after every epoch that is not the last; the fit pauses there if it returns something true.
            `publish` lets it see the estimator.
        every_epoch : bool, default=True
            False: where epochs are short, `pause` is asked after some of them only, `AHEAD_SECONDS` apart at
            most.

        Raises
        ------
        DivergenceError
            See `fit_stochastic`.
        """
        fit, error, paused = self._fit, None, False
        with ExitStack() as stack:
            fit.open(stack)
            try:
                try:
                    paused = self._go_on(until, pause, every_epoch)
                except (fit.engine.NonFinite, Overflowed) as failure:
                    error = failure
                    error = fit.diverge(failure)  # or None, with a warning
            except BaseException as failure:
                error = failure
            try:
                if not paused:
                    self.finished = True
                    fit.reporter.close()
                    fit.end(error)
                if error is not None:
                    raise error
            finally:
                # or its traceback would keep this frame, and the fit with its table, until the next
                # collection of garbage
                error = None

    def _go_on(self, until, pause, every_epoch):
        """Train as `train` says. Returns whether the fit is paused."""
        fit, paused = self._fit, False
        if not self._begun:
            fit.begin()
            self._begun = True
        while not (fit.over or paused):
            if paused := self.n_epochs == until:
                break
            fit.go_on(until, watched=pause is not None and every_epoch)
            paused = pause is not None and not fit.over and pause()
        if paused:
            fit.pause()
        else:
            fit.finish()
        return paused

    def publish(self):
        """Have the estimator be as a fit that ended here would leave it, but for the optimizer's moments."""
        self._fit.publish_reached()

    def close(self):
        """End a fit that is paused: its callbacks are told."""
        if self._begun and not self.finished:
            self.finished = True
            self._fit.callbacks.end(self._fit.state)
        self._fit.reporter.close()

    def conclude(self):
        """Say how a fit without an error ended, by warnings."""
        self._fit.conclude()


def try_rates(task, parameters, engine, random_state, **settings):
    """The learning-rate range test of what `fit_stochastic` would train: see
    `nnfast.rate_finder.range_test`.
    """
    rows, _ = split(task, parameters, random_state)
    return range_test(
        task, rows, batch_size_of(parameters, len(rows)), parameters, engine, random_state, **settings
    )
