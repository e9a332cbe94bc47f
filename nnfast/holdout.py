"""Which rows a fit trains on and which validate it, and the checks of their weights."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from nnfast.numeric_table import NumericTable


@dataclass
class Validation:
    """A validation set: either `rows`, numbers (intp) of rows held out of the fitted table, or a table of its
    own.

    `table`, `y` and `sample_weight` are as in `Task`; `labels` is y as scikit-learn's
    scorers take it.
    """

    rows: np.ndarray | None = None
    table: NumericTable | None = None
    y: np.ndarray | None = None
    sample_weight: np.ndarray | None = None
    labels: Any = None

    def targets(self, task):
        """(y, sample_weight, labels) of the validation rows."""
        if self.rows is None:
            return self.y, self.sample_weight, self.labels
        labels = None if task.labels is None else task.labels[self.rows]
        return task.y[self.rows], take(task.sample_weight, self.rows), labels

    def taken(self, task):
        """The validation rows, as X."""
        return self.table.X if self.rows is None else task.table.take(self.rows)


def split(task, p, random_state):
    """The rows trained on, in the order of the first epoch before any shuffle, and the Validation or None.

    Only early stopping without a validation set of its own draws one, as scikit-learn does, or of a table
    that is read in blocks as `nnfast.blocks.hold_out` does.
    """
    if task.validation is None and p.early_stopping:
        n_samples = task.table.n_samples if task.rows is None else len(task.rows)
        try:
            rows, held_out = task.table.draw(p.validation_fraction, task.rows, task.stratify, random_state)
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True cannot hold out validation_fraction={p.validation_fraction} of "
                f"{n_samples} samples: {_obstacle(task, p.validation_fraction, n_samples) or error} Use "
                "another validation_fraction or more rows, or give fit X_val and y_val."
            ) from error
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your "
                f"dataset. Got validation_fraction={p.validation_fraction} of {n_samples} samples."
            )
        _check_weights_of(task, rows)
        check_weights(
            take(task.sample_weight, held_out), "sample_weight over the rows held out for early stopping"
        )
        return rows, Validation(held_out)
    return given_split(task)


def _obstacle(task, fraction, n_samples):
    """Why such a share of the rows cannot be drawn, or None if it is something else."""
    n_held_out = ceil(fraction * n_samples)
    if not 0 < n_held_out < n_samples:
        return f"that is {n_held_out}, and leaves {n_samples - n_held_out} to train on."
    if task.stratify is None or not task.table.stratifies:
        return None
    classes, first, counts = np.unique(task.stratify, return_index=True, return_counts=True)
    if counts.min() < 2:
        label = task.labels[task.table.rows(task.rows)][first[counts.argmin()]]
        return f"every class needs a row in both parts, and class {label} has one row in all."
    if min(n_held_out, n_samples - n_held_out) < len(classes):
        return (
            f"that is {n_held_out}, and leaves {n_samples - n_held_out} to train on: too few for the"
            f" {len(classes)} classes."
        )
    return None


def given_split(task):
    """The same where nothing is drawn: all rows, but for those that the task's own validation set
    holds out.
    """
    table, validation = task.table, task.validation
    if validation is None or validation.rows is None:
        check_weights(task.sample_weight, "sample_weight over all rows")
        if validation is not None:
            check_weights(validation.sample_weight, "sample_weight_val over all rows")
        return table.rows(task.rows), validation
    if len(unseen := np.intersect1d(validation.rows, table.unseen(task.rows))):
        raise ValueError(f"validation_indices must be among the rows that the fit sees, got row {unseen[0]}.")
    validation = replace(validation, rows=table.in_order(validation.rows))
    rows = table.rows(task.rows, validation.rows)
    _check_weights_of(task, rows)
    held_out = take(task.sample_weight, validation.rows)
    check_weights(held_out, "sample_weight over the rows of validation_indices")
    return rows, validation


def _check_weights_of(task, rows):
    """Raise unless the weights of the rows trained on have a positive sum."""
    check_weights(
        take(task.sample_weight, task.table.numbers(rows)), "sample_weight over the rows trained on"
    )


def check_weights(sample_weight, which):
    """Raise unless the weights, if there are any, have a positive sum."""
    if sample_weight is not None and not (total := sample_weight.sum()) > 0:
        raise ValueError(f"The sum of {which} must be positive, got {total}.")


def scatter(values, rows, n_samples):
    """The values of some rows in an array of all of them, zeros elsewhere; None of None."""
    if values is None:
        return None
    scattered = np.zeros((n_samples, *values.shape[1:]), dtype=values.dtype)
    scattered[rows] = values
    return scattered


def take(sample_weight, rows):
    """The weights of some rows; None of none."""
    return None if sample_weight is None else sample_weight[rows]
