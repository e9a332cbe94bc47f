"""Values and names of parameters as they are written at an axis, in a table or in a file."""

import math
import re
from numbers import Integral, Real

import numpy as np


def without_steps(names):
    """Names of parameters without the steps of a pipeline, where they stay different."""
    short = [name.rpartition("__")[2] for name in names]
    return [s if short.count(s) == 1 else name for s, name in zip(short, names, strict=True)]


def plain(value):
    """NumPy's scalars as Python's, within tuples and lists too, and its arrays as lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if type(value) in (tuple, list):
        return type(value)(plain(item) for item in value)
    return value


def text(value):
    """A value as it is written at an axis or in a table: 0.001, 1e-5, relu, 64-64."""
    value = plain(value)
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, Integral):
        return str(value)
    if isinstance(value, Real):
        shown = f"{float(value):.4g}"
        if 0.9 < value < 1:  # what matters of 0.9995 is how far it is from 1
            shown = f"{round(value, 2 - math.floor(math.log10(1 - value))):.15g}"
        return re.sub(r"e([+-])0*", lambda exponent: "e" + exponent[1].replace("+", ""), shown)
    if isinstance(value, tuple | list) and value and all(isinstance(item, Integral) for item in value):
        return "-".join(map(str, value))
    return " ".join(repr(value).split())
