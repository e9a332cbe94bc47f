"""Callbacks: code of the user that watches and steers a fit, and those that most users want.

A callback has any of three methods, called with the estimator and a `nnfast.monitoring.FitState`: see `Callback`.
"""

import copy
import csv
import os
import tempfile
import time
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path

import joblib

from nnfast.scikit_learn_callbacks import TRANSIENT, Bridge

HOOKS = ("on_fit_begin", "on_epoch_end", "on_fit_end")


class Callback:
    """What a callback can do. Subclasses override what they need; other objects with any of these methods do as well.

    Callbacks are called in their order. What one raises ends the fit: the others are not called for that epoch, the
    estimator is as of the last whole epoch and usable, and the exception is the fit's.
    """

    def on_fit_begin(self, estimator, state):
        """Called before the first epoch, with the estimator as it was before the fit."""

    def on_epoch_end(self, estimator, state):
        """Called after every epoch (iteration of 'lbfgs'), with the estimator fitted as far as that."""

    def on_fit_end(self, estimator, state):
        """Called once the estimator is as the fit leaves it, however the fit ended.

        That is also after an exception (of this callback, too), an interrupt or a divergence: for every callback
        whose `on_fit_begin` returned. The exceptions of several are told as notes of the first.
        """


class Callbacks:
    """The callbacks of one fit, and scikit-learn's beside them.

    Raises
    ------
    TypeError
        If `callbacks` is not None or a list of objects with at least one of the three methods.
    """

    def __init__(self, callbacks, task):
        callbacks = [] if callbacks is None else callbacks
        if not isinstance(callbacks, list | tuple):
            raise TypeError(f"callbacks must be a list of callbacks, got {callbacks!r}.")
        for callback in callbacks:
            if isinstance(callback, type) or not any(hasattr(callback, hook) for hook in HOOKS):
                meant = f" Did you mean {callback.__name__}()?" if isinstance(callback, type) else ""
                raise TypeError(
                    f"callbacks must be a list of objects with a method {', '.join(HOOKS[:2])} or {HOOKS[2]}, got "
                    f"{callback!r} in it.{meant}"
                )
        self._callbacks, self._estimator = callbacks, task.estimator
        self._begun = []
        self._bridge = Bridge(task)

    def __bool__(self):
        """Whether anybody wants to see the estimator of every epoch."""
        return bool(self._callbacks or self._bridge)

    def begin(self, state):
        """Before the first epoch."""
        self._bridge.begin()
        for callback in self._callbacks:
            _call(callback, "on_fit_begin", self._estimator, state)
            self._begun.append(callback)

    def begin_epoch(self):
        """Before an epoch."""
        self._bridge.begin_epoch()

    def end_epoch(self, state):
        """After an epoch."""
        for callback in self._callbacks:
            _call(callback, "on_epoch_end", self._estimator, state)
        if self._bridge.end_epoch():
            state.stop("a callback of scikit-learn")

    def end(self, state, error=None):
        """After the last epoch; `error` is what the fit ended with, if with one, and is left to the caller to raise."""
        first = error
        begun, self._begun = self._begun, []
        for callback in begun:
            try:
                _call(callback, "on_fit_end", self._estimator, state)
            except BaseException as failure:  # the other callbacks still have files to close
                if first is None:
                    first = failure
                else:
                    first.add_note(f"on_fit_end of {callback!r} failed, too: {failure!r}")
        if first is None:
            self._bridge.end()
        elif error is None:
            raise first


def _call(callback, hook, estimator, state):
    method = getattr(callback, hook, None)
    if method is not None:
        method(estimator, state)


# ---------------------------------------------------------------------------------------------------------------------
# Ready-made callbacks


@dataclass
class StopAt(Callback):
    """Stop the fit when it is good enough.

    Parameters
    ----------
    loss, validation_loss : float, default=None
        Stop at a loss as low as this.
    score : float, default=None
        Stop at a validation score as high as this.

    Examples
    --------
    >>> from nnfast import MLPRegressor
    >>> from nnfast.callbacks import StopAt
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
    >>> regr = MLPRegressor(max_iter=10000, random_state=0, learning_rate_init=0.01, callbacks=[StopAt(loss=0.1)])
    >>> regr.fit(X, y).loss_ <= 0.1
    True
    """

    loss: float | None = None
    validation_loss: float | None = None
    score: float | None = None

    def on_fit_begin(self, estimator, state):
        if self.loss is self.validation_loss is self.score is None:
            raise ValueError("StopAt needs one of loss, validation_loss and score, got none.")

    def on_epoch_end(self, estimator, state):
        for name in ("loss", "validation_loss"):
            limit, value = getattr(self, name), getattr(state, name)
            if limit is not None and self._measured(value, name) <= limit:
                state.stop(f"{name}={value:.6g} is at most {limit}")
        if self.score is not None and self._measured(state.validation_score, "score") >= self.score:
            state.stop(f"score={state.validation_score:.6g} is at least {self.score}")

    def _measured(self, value, name):
        if value is None:
            raise ValueError(
                f"StopAt({name}={getattr(self, name)!r}) needs a validation set: early_stopping=True, X_val or "
                "validation_indices."
            )
        return value


@dataclass
class TimeLimit(Callback):
    """Stop the fit after the first epoch that ends later than `seconds` after its beginning."""

    seconds: float
    _start: float = field(default=0.0, init=False, repr=False, compare=False)

    def on_fit_begin(self, estimator, state):
        self._start = time.monotonic()

    def on_epoch_end(self, estimator, state):
        if time.monotonic() - self._start >= self.seconds:
            state.stop(f"{self.seconds} seconds are over")


@dataclass
class Checkpoint(Callback):
    """Save the estimator by joblib, so that a fit that is killed is not lost: `joblib.load(path)` is as of that epoch.

    A file is written beside its place and then renamed: there is always a whole one. The optimizer's moments are not
    in what is saved during a fit: one that goes on from there (warm_start, partial_fit) has them restart from zero.

    Parameters
    ----------
    path : str or Path
        Where to; "{epoch}" in it becomes the epoch's number, as in "net-{epoch:04d}.joblib", for a file each.
    best_only : bool, default=False
        Save only epochs that are the best so far (see `monitor`; without early stopping, by training loss).
    every : int, default=1
        Save every so many epochs and, at the end, the estimator as the fit leaves it: with early stopping, as of the
        best epoch, and with the moments.
    """

    path: str | os.PathLike
    best_only: bool = False
    every: int = 1

    def __post_init__(self):
        if not (isinstance(self.every, Integral) and self.every > 0):
            raise ValueError(f"every of Checkpoint must be an integer, 1 or more, got {self.every!r}.")

    def on_fit_begin(self, estimator, state):
        folder = self._place(1).parent
        if folder == Path(self.path).parent and not folder.is_dir():
            raise FileNotFoundError(f"path of Checkpoint must be in a folder that is there, got {str(self.path)!r}.")

    def on_epoch_end(self, estimator, state):
        if self.best_only:
            if state.improved:
                self._save(estimator, state)
        elif state.epoch % self.every == 0:
            self._save(estimator, state)

    def on_fit_end(self, estimator, state):
        if not self.best_only and state.epoch:
            self._save(estimator, state)

    def _place(self, epoch):
        return Path(str(self.path).format(epoch=epoch))

    def _save(self, estimator, state):
        path = self._place(state.epoch)
        saved = copy.copy(estimator)
        for name in TRANSIENT:
            vars(saved).pop(name, None)
        handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
        os.close(handle)
        try:
            joblib.dump(saved, temporary)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


@dataclass
class CSVLog(Callback):
    """Write a line of CSV an epoch: epoch, loss, learning rate, seconds and, with a validation set, its loss and score.

    Parameters
    ----------
    path : str or Path
    append : bool, default=False
        Whether to go on with a file that is there, rather than replace it; one with other columns is an error. Every
        call of `partial_fit` is a fit of its own: without `append`, the file has the last call's line alone.
    """

    path: str | os.PathLike
    append: bool = False

    def on_fit_begin(self, estimator, state):
        names = ["epoch", *state.history]
        if not (self.append and os.path.exists(self.path) and os.path.getsize(self.path)):
            self._write(names, "w")
            return
        with open(self.path, newline="", encoding="utf-8") as file:
            there = next(csv.reader(file))
        if there != names:
            raise ValueError(
                f"CSVLog(append=True) goes on with a file of the same columns. {str(self.path)!r} has "
                f"{', '.join(there)}; this fit writes {', '.join(names)}."
            )

    def on_epoch_end(self, estimator, state):
        self._write([state.epoch, *(repr(float(values[-1])) for values in state.history.values())], "a")

    def _write(self, row, mode):
        # Opened for every line: an open file neither pickles with the estimator nor shows its last lines.
        with open(self.path, mode, newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)
