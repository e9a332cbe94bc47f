"""What early stopping and `best_loss_` go by."""

import numpy as np


class Criterion:
    """What patience watches, as the parameters were when the fit began: with early stopping the validation
    score or loss, without it the training loss.

    Attributes
    ----------
    early_stopping : bool
    """

    def __init__(self, p):
        self._p = p
        # whatever callbacks set meanwhile
        self.early_stopping, self._monitor = bool(p.early_stopping), p.monitor

    @property
    def name(self):
        """What is watched, in words."""
        return f"Validation {self._monitor}" if self.early_stopping else "Training loss"

    def value(self, row, validator):
        """The value of an epoch's record, the better the higher: NaN where outputs were not finite."""
        if validator is None or not self.early_stopping:
            return -row["loss"]
        value = row["validation_score"] if self._monitor == "score" else -row["validation_loss"]
        return value if validator.finite else np.nan

    def in_own_sign(self, value):
        """A value that patience watched: a loss is positive to users."""
        return value if self.early_stopping and self._monitor == "score" else -value

    def remark(self, patience, n_epochs, validator, stalled_out):
        """What to say at the end of what early stopping went by, or None."""
        if not self.early_stopping:
            return None
        epochs = f"all {n_epochs} epochs"
        what, remedy = f"{self.name} of {validator.n_rows} rows", self._other_measures()
        if patience.best == -np.inf:
            return (
                f"{what} was NaN or infinite in {epochs}, so there is no best epoch to restore: the "
                f"parameters are those of the last epoch. {remedy}"
            )
        if not patience.moved and (stalled_out or patience.best == np.inf):
            value = self.in_own_sign(patience.best)
            return (
                f"{what} was {value:g} in {epochs}, so early_stopping had nothing to go by and ended the"
                f" fit. {remedy}"
            )
        return None

    def _other_measures(self):
        by_score = self._monitor == "score"
        measure = f"scoring={self._p.scoring!r}" if by_score else "loss"
        other = "monitor='loss' or another scoring" if by_score else "monitor='score'"
        return f"Validate on more rows, or on rows that {measure} can tell apart; or use {other}."
