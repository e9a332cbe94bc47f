"""What a fit works on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nnfast.blocks import BlockSession
from nnfast.holdout import Validation
from nnfast.network import Network, Parameters
from nnfast.regularization import Regularization


@dataclass
class Task:
    """What a fit works on.

    `X` is an ndarray or CSR of shape (n_samples, n_features), `y` class numbers (n_samples,) for losses of
    classes, else (n_samples, n_outputs) in `dtype`, the arithmetic; `sample_weight` None or float64
    (n_samples,). `parameters` are those to start from, which may be an estimator's: nobody writes to them.
    `optimizer` is None for L-BFGS. `stratify` is what a validation split is stratified by, and `score(engine,
    y, sample_weight)` makes its score: see `nnfast.scores`. `validation` is a set of the user's, and `labels`
    y as scikit-learn's scorers take it. `estimator` is fitted as far as was published: what scorers and
    callbacks get. `in_blocks` is whether X, of any dtype of numbers then, is read as `nnfast.blocks` says.
    `counts` is a list where the fit's time is wanted: see `nnfast.profile`. `rows`, an array of intp, or None
    for all, are those of X, y, weights and labels that the fit may see; `stratify` is of these alone.
    """

    network: Network
    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    dtype: Any
    parameters: Parameters
    optimizer: Any = None
    regularization: Regularization = Regularization()
    stratify: np.ndarray | None = None
    score: Callable | None = None
    validation: Validation | None = None
    labels: Any = None
    estimator: Any = None
    in_blocks: bool = False
    counts: list | None = None
    rows: np.ndarray | None = None

    def session(self, engine, **settings):
        """The engine's `Session` over the table, or one that reads it in blocks."""
        opened = partial(BlockSession, engine) if self.in_blocks else engine.Session
        return opened(self.network, self.X, self.y, self.sample_weight, **settings)
