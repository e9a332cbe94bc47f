"""nnfast: a CPU neural-network engine for tabular data.

`MLPClassifier` and `MLPRegressor` are drop-ins for scikit-learn's, with compiled kernels:

>>> from nnfast import MLPClassifier
>>> MLPClassifier(hidden_layer_sizes=(64,), precision="float32")
MLPClassifier(hidden_layer_sizes=(64,), precision='float32')
"""

from nnfast.estimators import MLPClassifier, MLPRegressor
from nnfast.exceptions import DivergenceError, InconsistentVersionWarning, QuantileCrossingWarning
from nnfast.own_functions import Activation, Loss

__version__ = "0.1.1"

__all__ = [
    "Activation",
    "DivergenceError",
    "InconsistentVersionWarning",
    "Loss",
    "MLPClassifier",
    "MLPRegressor",
    "QuantileCrossingWarning",
    "show_versions",
]


def __getattr__(name):
    # Looked up late: it reads the versions of every dependency, which an import should not.
    if name == "show_versions":
        from nnfast._info import show_versions

        return show_versions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), "show_versions"])
