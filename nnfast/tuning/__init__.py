"""Choosing hyperparameters: scales to draw them from, searches, the learning-rate finder, and pictures of all of it."""

from nnfast.tuning.axes import Axis
from nnfast.tuning.bayesian import BayesianSearchCV
from nnfast.tuning.batches import scaled_learning_rate
from nnfast.tuning.coarse_to_fine import CoarseToFineSearchCV
from nnfast.tuning.hyperband import HyperbandSearchCV
from nnfast.tuning.priorities import default_space
from nnfast.tuning.scales import (
    Scale,
    choice,
    int_log_uniform,
    int_uniform,
    layers,
    log_uniform,
    one_minus_log_uniform,
    uniform,
)
from nnfast.tuning.spaces import Space, tied

__all__ = [
    "Axis",
    "BayesianSearchCV",
    "CoarseToFineSearchCV",
    "HyperbandSearchCV",
    "Scale",
    "Space",
    "choice",
    "default_space",
    "int_log_uniform",
    "int_uniform",
    "layers",
    "log_uniform",
    "one_minus_log_uniform",
    "scaled_learning_rate",
    "tied",
    "uniform",
]
