"""Callbacks that most users want: they stop a fit, save it, and note its numbers."""

import csv
import os
import time
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

from nnfast.callbacks.files import check_path, save
from nnfast.callbacks.protocol import Callback


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool) and value == value  # no NaN


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
    >>> stop = StopAt(loss=0.1)
    >>> regr = MLPRegressor(max_iter=10000, random_state=0, learning_rate_init=0.01, callbacks=[stop])
    >>> regr.fit(X, y).loss_ <= 0.1
    True
    """

    loss: float | None = None
    validation_loss: float | None = None
    score: float | None = None

    def __post_init__(self):
        for name in ("loss", "validation_loss", "score"):
            limit = getattr(self, name)
            if not (limit is None or _is_number(limit)):
                raise ValueError(f"{name} of StopAt must be a number, or None, got {limit!r}.")

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
                f"StopAt({name}={getattr(self, name)!r}) needs a validation set: early_stopping=True, X_val "
                "or validation_indices."
            )
        return value


@dataclass
class TimeLimit(Callback):
    """Stop the fit after the first epoch that ends later than `seconds` after its beginning."""

    seconds: float
    _start: float = field(default=0.0, init=False, repr=False, compare=False)

    def __post_init__(self):
        if not _is_number(self.seconds):
            raise ValueError(f"seconds of TimeLimit must be a number, got {self.seconds!r}.")

    def on_fit_begin(self, estimator, state):
        self._start = time.monotonic()

    def on_epoch_end(self, estimator, state):
        if time.monotonic() - self._start >= self.seconds:
            state.stop(f"{self.seconds} seconds are over")


@dataclass
class Checkpoint(Callback):
    """Save the estimator by joblib, so that a fit that is killed is not lost: `joblib.load(path)` is as of
    that epoch.

    A file is written beside its place and then renamed: there is always a whole one. The optimizer's moments
    are not in what is saved during a fit: one that goes on from there (warm_start, partial_fit) has them
    restart from zero.

    Parameters
    ----------
    path : str or Path
        Where to; "{epoch}" in it becomes the epoch's number, as in "net-{epoch:04d}.joblib", for a file each.
    best_only : bool, default=False
        Save only epochs that are the best so far (see `monitor`; without early stopping, by training loss).
    every : int, default=1
        Save every so many epochs and, at the end, the estimator as the fit leaves it: with early stopping, as
        of the best epoch, and with the moments.
    """

    path: str | os.PathLike
    best_only: bool = False
    every: int = 1

    def __post_init__(self):
        check_path(self.path, "path of Checkpoint")
        if not (isinstance(self.every, Integral) and not isinstance(self.every, bool) and self.every > 0):
            raise ValueError(f"every of Checkpoint must be an integer, 1 or more, got {self.every!r}.")

    def on_fit_begin(self, estimator, state):
        folder = self._place(1).parent
        if folder == Path(self.path).parent and not folder.is_dir():
            raise FileNotFoundError(
                f"path of Checkpoint must be in a folder that is there, got {str(self.path)!r}."
            )

    def on_epoch_end(self, estimator, state):
        if self.best_only:
            if state.improved:
                self._save(estimator, state)
        elif state.epoch % self.every == 0:
            self._save(estimator, state)

    def on_fit_end(self, estimator, state):
        if not self.best_only and state.epoch and not state.undone:
            self._save(estimator, state)

    def _place(self, epoch):
        return Path(str(self.path).format(epoch=epoch))

    def _save(self, estimator, state):
        save(estimator, self._place(state.epoch))


@dataclass
class CSVLog(Callback):
    """Write a line of CSV an epoch: epoch, loss, learning rate, seconds and, with a validation set, its loss
    and score.

    Parameters
    ----------
    path : str or Path
    append : bool, default=False
        Whether to go on with a file that is there, rather than replace it; one with other columns is an
        error. Every call of `partial_fit` is a fit of its own: without `append`, the file has the last call's
        line alone.
    """

    path: str | os.PathLike
    append: bool = False

    def __post_init__(self):
        check_path(self.path, "path of CSVLog")

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
