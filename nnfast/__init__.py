"""nnfast: a CPU neural-network engine for tabular data.

`MLPClassifier` and `MLPRegressor` are drop-ins for scikit-learn's, with compiled kernels:

>>> from nnfast import MLPClassifier
>>> MLPClassifier(hidden_layer_sizes=(64,), precision="float32")
MLPClassifier(hidden_layer_sizes=(64,), precision='float32')
"""

TYPE_CHECKING = False  # as typing's, which takes milliseconds to import
if TYPE_CHECKING:  # for tools that read the code: see `__getattr__`
    from nnfast._info import show_versions
    from nnfast.classifier import MLPClassifier
    from nnfast.custom_functions import Activation, Loss
    from nnfast.exceptions import (
        DivergenceError,
        InconsistentVersionWarning,
        QuantileCrossingWarning,
        UnexpectedValuesWarning,
        UnusedOptionWarning,
    )
    from nnfast.regressor import MLPRegressor
    from nnfast.tabular import TabularClassifier, TabularRegressor

__version__ = "0.2.0"

__all__ = [
    "Activation",
    "DivergenceError",
    "InconsistentVersionWarning",
    "Loss",
    "MLPClassifier",
    "MLPRegressor",
    "QuantileCrossingWarning",
    "TabularClassifier",
    "TabularRegressor",
    "UnexpectedValuesWarning",
    "UnusedOptionWarning",
    "show_versions",
]

# The module of each public name. They are imported when they are used, as the package's modules are, so that
# the command `nnfast` begins at once, and Ctrl-C ends it from then on.
_HOMES = {
    "Activation": "custom_functions",
    "DivergenceError": "exceptions",
    "InconsistentVersionWarning": "exceptions",
    "Loss": "custom_functions",
    "MLPClassifier": "classifier",
    "MLPRegressor": "regressor",
    "QuantileCrossingWarning": "exceptions",
    "TabularClassifier": "tabular",
    "TabularRegressor": "tabular",
    "UnexpectedValuesWarning": "exceptions",
    "UnusedOptionWarning": "exceptions",
    "show_versions": "_info",
}


def __getattr__(name):
    from importlib import import_module
    from importlib.util import find_spec

    if name in _HOMES:
        value = getattr(import_module(f"nnfast.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and find_spec(f"nnfast.{name}") is not None:
        return import_module(f"nnfast.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    from pkgutil import iter_modules

    return [*__all__, "__version__", *(module.name for module in iter_modules(__path__))]
