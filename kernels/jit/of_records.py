"""Kernels made of what the records of nnfast state: activations, losses and their outputs, the updates of
optimizers.
"""

from functools import lru_cache
from inspect import signature

import numpy as np
from nnfast.kernels.jit import elementwise
from nnfast.kernels.jit.run import RATES

from nnfast.regularization import soft_threshold


@lru_cache
def activation(record, dtype):
    """The kernel of `elementwise.activation`."""
    return elementwise.activation(
        record.f, record.df, dtype, has_parameter=record.parameter_name is not None, name=record.name
    )


def _exp(z):
    return np.exp(z)


@lru_cache
def output(record, dtype):
    """(The kernel of exp, and that of the loss's output activation: None for the identity, and for softmax
    that of exp.)
    """
    exp = elementwise.output(_exp, dtype, name="exp")
    if record.out_activation in ("identity", "softmax"):
        return exp, exp if record.out_activation == "softmax" else None
    return exp, elementwise.output(record.output, dtype, name=f"{record.name}_output")


@lru_cache
def loss(record, dtype):
    """(The kernel of the values, and for losses of classes that of the slopes, else None): see `Net` in
    network.py.
    """
    if not record.of_classes:
        return elementwise.loss(
            record.f, record.df, dtype, has_parameter=record.parameter_name is not None, name=record.name
        ), None
    n_own = len(record.defaults)
    value = elementwise.elementwise(record.f, 3, n_own, dtype, name=record.name)
    return value, elementwise.elementwise(record.df, 5, 1 + n_own, dtype, name=f"{record.name}_slope")


@lru_cache
def update(optimizer, dtype):
    """Of weights, their moments and gradients, with SCALE, DECAY, CLIP, THRESHOLD and SHRINK of run.py, then
    the optimizer's rates.
    """
    n_moments = optimizer.n_moments
    n_rates = len(signature(optimizer.step).parameters) - 2 - n_moments

    def step(w, *others):
        moments, g = others[:n_moments], others[n_moments]
        scale, decay, clip, threshold, shrink, *rates = others[n_moments + 1 :]
        g = np.clip(g * scale + w * decay, -clip, clip)
        w, *moments = optimizer.step(w * shrink, g, *moments, *rates)
        return soft_threshold(w, threshold), *moments

    return elementwise.elementwise(step, n_moments + 2, RATES + n_rates, dtype, name=optimizer.name)
