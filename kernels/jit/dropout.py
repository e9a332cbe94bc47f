"""Dropout: the masks of nnfast/regularization.py, a row at a time."""

from types import FunctionType

import numpy as np
from nnfast.kernels.jit.compiling import inner

from nnfast import regularization


def _compiled(function, **others):
    """A function of regularization.py, compiled, and those that it calls."""
    return inner(FunctionType(function.__code__, vars(regularization) | others, function.__name__))


_mix = _compiled(regularization.mix)
layer_key = _compiled(regularization.layer_key, mix=_mix)
row_key = _compiled(regularization.row_key, mix=_mix)
unit_hash = _compiled(regularization.unit_hash)


@inner
def drop_out(layer, key, a, slope):
    """Drop units of one row, and scale and shift the others; their slopes likewise."""
    scale, shift, dropped, zero = (
        a.dtype.type(layer.kept_scale),
        a.dtype.type(layer.kept_shift),
        a.dtype.type(layer.dropped),
        a.dtype.type(0),
    )
    for unit in range(len(a)):
        kept = unit_hash(key, np.uint32(unit)) >= layer.drop_below
        slope[unit] = slope[unit] * scale if kept else zero
        a[unit] = a[unit] * scale + shift if kept else dropped
