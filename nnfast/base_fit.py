"""What a fit by minibatches and one by L-BFGS have in common: what measures it, and how it ends."""

from abc import ABC, abstractmethod

from nnfast.callbacks import Callbacks
from nnfast.exceptions import DivergenceError
from nnfast.publishing import ends_whole
from nnfast.validator import Validator


class BaseFit(ABC):
    """One fit. A subclass sets `records` and `state`."""

    def __init__(self, task, p, engine, publish):
        self.task, self.p, self.engine, self.publish = task, p, engine, publish
        self.callbacks = Callbacks(p.callbacks, task)

    def _use_rows(self, rows, validation):
        """Train on these rows, and measure a `nnfast.holdout.Validation`, if there is one."""
        self.rows = rows
        self.validator = None if validation is None else Validator(self.task, validation, self.p, self.engine)

    @abstractmethod
    def _publish_epoch(self, n_iter, row):
        """Have an epoch or iteration be whole, and publish it."""

    @abstractmethod
    def _keep_whole(self):
        """Publish the last whole epoch or iteration as the end, if it can be used. Returns whether it can."""

    @abstractmethod
    def _trained(self):
        """An estimator as of the last finite epoch or iteration, or None."""

    def _ask_scorer(self, n_iter, row):
        """Publish the epoch and have it scored, if a scorer has to be asked. It is a whole one now: if the
        scorer fails, its score is NaN.
        """
        if self.validator is None or self.validator.scorer is None or not self.validator.finite:
            return
        self._publish_epoch(n_iter, row)
        row["validation_score"] = self.validator.scorer()
        self.records.set_score(row["validation_score"])

    def _show(self, n_iter, row):
        """Have the state that callbacks see be of this epoch."""
        state = self.state
        state.epoch, state.loss = n_iter, row["loss"]
        state.validation_loss = row.get("validation_loss")
        state.validation_score = row.get("validation_score")

    def end(self, error):
        """Settle what a fit that failed leaves behind, and tell the callbacks; `error` is what the caller
        raises.
        """
        self.state._keep_rate = None  # what is published now is the end
        try:
            if error is not None:
                self._settle(error)
        finally:
            self.callbacks.end(self.state, error)

    def _settle(self, error):
        """Publish the last whole epoch, or take back what was published: see `nnfast.publishing`."""
        keeps = False
        try:
            if ends_whole(error, self.callbacks):
                keeps = self._keep_whole()
            elif isinstance(error, DivergenceError):
                error.estimator_ = self._trained()
        finally:
            if not keeps:
                self.state.undone = True
                self.records.give_back()
                self.publish.withdraw()
