"""The engines that compute: one module each, all with the same interface, chosen by name.

An engine module provides `Session` (a network over a table, alive for one fit), `predict`, `predict_few` and
`predictor` (few rows, soon), `are_finite_rows`, `fingerprint`, `shuffle`, `NonFinite`, the metrics
`accuracy`, `subset_accuracy`, `log_loss`, `roc_auc` and `squared_errors`, and what it runs on:
`instruction_set`, `instruction_sets`, `bfloat16_unit`, `bfloat16_units`, `peak_gflops`.
"""

import warnings
from importlib import import_module

ENGINES = ("cython", "numba")

_loaded = {}


def get_engine(name="auto"):
    """The module of the engine called `name`.

    Parameters
    ----------
    name : {"auto", "cython", "numba"}
        "auto" is "cython", the fastest, where its compiled part is installed and runs, else "numba", with a
        warning.

    Raises
    ------
    ValueError
        If there is no engine of that name.
    ImportError
        If what the engine needs is missing or does not load.
    """
    try:
        return _loaded[name]
    except KeyError:
        pass
    if name not in ("auto", *ENGINES):
        raise ValueError(f"engine must be one of {('auto', *ENGINES)}, got {name!r}.")
    _loaded[name] = _choose() if name == "auto" else _load(name)
    return _loaded[name]


def _load(name):
    try:
        return import_module(f"nnfast.engines.{name}")
    except ImportError as error:
        raise ImportError(_MISSING[name].format(error)) from error


def _choose():
    try:
        return _load("cython")
    except ImportError as error:
        missing = error
    try:
        engine = _load("numba")
    except ImportError as error:
        raise ImportError(f"{missing} {error}") from error
    warnings.warn(
        f"{missing} Until then engine='numba' computes: about as fast with small networks, half as fast "
        "with large ones, after some seconds of compiling when it is first used; without bfloat16.",
        RuntimeWarning,
        stacklevel=2,
    )
    return engine


_MISSING = {
    "cython": "The compiled part of nnfast (nnfast.kernels) does not load: {}. Install nnfast from a wheel, "
    "or in a checkout build it with `pip install -e .`, which needs a C compiler.",
    "numba": "engine='numba' needs Numba: {}. pip install 'nnfast[numba]'.",
}
