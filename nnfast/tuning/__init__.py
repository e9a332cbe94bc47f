"""Choosing hyperparameters: scales to draw them from, searches, the learning-rate finder, and pictures of all
of it.
"""

from nnfast.tuning import report  # noqa: F401, a module that is called as nnfast.tuning.report
from nnfast.tuning.axes import Axis
from nnfast.tuning.batches import scaled_learning_rate
from nnfast.tuning.bayesian import BayesianSearchCV
from nnfast.tuning.coarse_to_fine import CoarseToFineSearchCV
from nnfast.tuning.hyperband import HyperbandSearchCV
from nnfast.tuning.plots import (
    importances,
    plot_importance,
    plot_learning_curves,
    plot_parallel_coordinates,
    plot_slices,
)
from nnfast.tuning.priorities import default_space
from nnfast.tuning.rates import lr_find
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
    "importances",
    "int_log_uniform",
    "int_uniform",
    "layers",
    "log_uniform",
    "lr_find",
    "one_minus_log_uniform",
    "plot_importance",
    "plot_learning_curves",
    "plot_parallel_coordinates",
    "plot_slices",
    "scaled_learning_rate",
    "tied",
    "uniform",
]


def __dir__():
    return [*__all__, "plots", "report", "tensorboard"]
