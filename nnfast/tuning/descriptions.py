"""Values in words that are the same in every process: to tell whether a search is the one that a study was
begun with.
"""

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial

import joblib
import numpy as np
from sklearn.base import BaseEstimator

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


def describe(value):
    """A value in words: functions by module and name, estimators by what is not at its default, and no
    address of anything.

    Of objects that say no more of themselves than their address, the class is all that is told.

    >>> from functools import partial
    >>> from nnfast.tuning.descriptions import describe
    >>> from sklearn.metrics import fbeta_score
    >>> describe({"scoring": partial(fbeta_score, beta=2)})
    "{'scoring': partial(sklearn.metrics._classification.fbeta_score, beta=2)}"
    """
    if isinstance(value, partial):
        return _call("partial", (value.func, *value.args), value.keywords)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name!r}: {describe(each)}' for name, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(describe, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(describe, value)))}}}"
    if isinstance(value, np.ndarray):
        return f"array {joblib.hash(value)}"  # whose words leave out what is in the middle
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, BaseEstimator):
        return _call(type(value).__name__, (), _not_at_defaults(value))
    words = repr(value)
    if _ADDRESS.search(words) and is_dataclass(value):
        return _call(
            type(value).__name__, (), {each.name: getattr(value, each.name) for each in fields(value)}
        )
    return _ADDRESS.sub("", words)


def _call(name, args, keywords):
    """`name(args, keyword=...)`."""
    words = [describe(each) for each in args] + [
        f"{keyword}={describe(each)}" for keyword, each in keywords.items()
    ]
    return f"{name}({', '.join(words)})"


def _not_at_defaults(estimator):
    """The parameters of an estimator that are not at their defaults."""
    defaults = {
        name: describe(each.default) for name, each in inspect.signature(type(estimator)).parameters.items()
    }
    params = estimator.get_params(deep=False)
    return {name: value for name, value in params.items() if describe(value) != defaults.get(name)}
