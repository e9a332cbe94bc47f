"""What a fit works on."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnfast.holdout import Validation
from nnfast.network import Network, Parameters
from nnfast.numeric_table import NumericTable
from nnfast.regularization import Regularization


@dataclass
class Task:
    """What a fit works on.

    `table` has shape (n_samples, n_features), `y` class numbers (n_samples,) for losses of
    classes, else (n_samples, n_outputs) in `dtype`, the arithmetic; `sample_weight` None or float64
    (n_samples,). `parameters` are those to start from, which may be an estimator's: nobody writes to them.
    `optimizer` is None for L-BFGS. `param_groups` is the estimator's, and `schedules` says what has a
    schedule beside the learning rate: see `ScheduledValues`. `stratify` is what a validation split is
    stratified by, and `score(engine, y, sample_weight)` makes its score: see `nnfast.scores`. `validation` is
    a set of the user's, and `labels`
    y as scikit-learn's scorers take it. `estimator` is fitted as far as was published: what scorers and
    callbacks get. `counts` is a list where the fit's time is wanted: see `nnfast.profile`. `rows`, an array
    of intp, or None for all, are those of the table, y, weights and labels that the fit may see; `stratify`
    is of these alone.
    """

    network: Network
    table: NumericTable
    y: np.ndarray
    sample_weight: np.ndarray | None
    dtype: Any
    parameters: Parameters
    optimizer: Any = None
    regularization: Regularization = Regularization()
    param_groups: dict | None = None
    schedules: dict = field(default_factory=dict)
    stratify: np.ndarray | None = None
    score: Callable | None = None
    validation: Validation | None = None
    labels: Any = None
    estimator: Any = None
    counts: list | None = None
    rows: np.ndarray | None = None

    def session(self, engine, **settings):
        """An engine's session over the table."""
        return self.table.session(engine, self.network, self.y, self.sample_weight, **settings)


def batch_size_of(p, n_samples):
    """Rows of an update, of a table of so many."""
    if p.batch_size == "auto":
        return min(200, n_samples)
    if p.batch_size > n_samples:
        warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return min(p.batch_size, n_samples)
