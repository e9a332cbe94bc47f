"""The engines that compute: one module each, all with the same interface, chosen by name.

An engine module provides `Session` (a network over a table, alive for one fit), `predict`, `predict_few` and
`predictor` (few rows, soon), `are_finite_rows`, `shuffle`, `NonFinite`, the metrics `accuracy`,
`subset_accuracy`, `log_loss`, `roc_auc` and `squared_errors`, and what it runs on: `instruction_set`, `instruction_sets`, `bfloat16_unit`,
`bfloat16_units`, `peak_gflops`.
"""

from importlib import import_module

ENGINES = ("cython",)

_loaded = {}


def get_engine(name="auto"):
    """The module of the engine called `name`.

    Parameters
    ----------
    name : {"auto", "cython"}
        "auto" is the fastest engine, "cython".

    Raises
    ------
    ValueError
        If there is no engine of that name.
    ImportError
        If the engine's compiled part is missing or does not load.
    """
    try:
        return _loaded[name]
    except KeyError:
        pass
    if name != "auto" and name not in ENGINES:
        raise ValueError(f"engine must be one of {('auto', *ENGINES)}, got {name!r}.")
    module = "cython" if name == "auto" else name
    try:
        _loaded[name] = import_module(f"nnfast.engines.{module}")
    except ImportError as error:
        raise ImportError(
            f"The compiled part of nnfast (nnfast.kernels) does not load: {error}. Install nnfast from a wheel, or in "
            "a checkout build it with `pip install -e .`, which needs a C compiler."
        ) from error
    return _loaded[name]
