"""Batch and layer normalization and the way back: nnfast/normalization.py's passes, in loops, compiled where
a network has one.

Arguments are places of first numbers in `memory`: see LAYER of network.py. z are a layer's pre-activations,
an array of shape (n, units) row by row, and become what the activation is given; dz, the gradient by that,
becomes the gradient by the pre-activations.
"""

import math

from nnfast.kernels.jit.compiling import c_function, inner
from nnfast.kernels.jit.memory import clear, matrix, vector
from numba import carray

FORWARD = "Tiiiiiiiiiiidd"  # memory; sizes, places and whether it trains; eps and momentum
BACKWARD = "Tiiiiiiii"


@inner
def scale_columns(normal, scale, shift, z):
    for row in range(len(z)):
        for unit in range(z.shape[1]):
            z[row, unit] = scale[unit] * normal[row, unit] + shift[unit]


@inner
def add_to_gradient(dz, normal, dscale, dshift):
    """The part of these rows in the gradient by scale and shift."""
    for row in range(len(dz)):
        for unit in range(dz.shape[1]):
            dscale[unit] += dz[row, unit] * normal[row, unit]
            dshift[unit] += dz[row, unit]


# ------------------------------------------------------------------------------------------------------------
# By layer: each row by its own mean and variance, over its units


@c_function(FORWARD)
def normalize_rows(
    memory, n, units, z, normal, root, scale, shift, mean, variance, columns, trains, eps, momentum
):
    memory = carray(memory, 1)
    T, z = memory.dtype.type, matrix(memory, z, n, units)
    normal, roots = matrix(memory, normal, n, units) if trains else z, vector(memory, root, n)
    for row in range(n):
        average, spread = T(0), T(0)
        for unit in range(units):
            average += z[row, unit]
        average /= T(units)
        for unit in range(units):
            spread += (z[row, unit] - average) * (z[row, unit] - average)
        roots[row] = math.sqrt(spread / T(units) + T(eps))
        for unit in range(units):
            normal[row, unit] = (z[row, unit] - average) / roots[row]
    scale_columns(normal, vector(memory, scale, units), vector(memory, shift, units), z)


@c_function(BACKWARD)
def normalize_rows_back(memory, n, units, dz, normal, root, scale, dscale, dshift):
    memory = carray(memory, 1)
    T, dz, normal = memory.dtype.type, matrix(memory, dz, n, units), matrix(memory, normal, n, units)
    scale, roots = vector(memory, scale, units), vector(memory, root, n)
    add_to_gradient(dz, normal, vector(memory, dscale, units), vector(memory, dshift, units))
    for row in range(n):
        average, along = T(0), T(0)
        for unit in range(units):
            dz[row, unit] *= scale[unit]
            average += dz[row, unit]
            along += dz[row, unit] * normal[row, unit]
        average /= T(units)
        along /= T(units)
        for unit in range(units):
            dz[row, unit] = (dz[row, unit] - average - normal[row, unit] * along) / roots[row]


# ------------------------------------------------------------------------------------------------------------
# By batch: each unit by its mean and variance over the batch's rows, which are one chunk; in predictions by
# the running ones


@inner
def take_statistics(z, mean, variance, running_mean, running_variance, momentum):
    """Each unit's mean and variance over the batch, of which the running ones take note."""
    n, units, T = z.shape[0], z.shape[1], z.dtype.type
    clear(mean)
    clear(variance)
    for row in range(n):
        for unit in range(units):
            mean[unit] += z[row, unit]
    for unit in range(units):
        mean[unit] /= T(n)
    for row in range(n):
        for unit in range(units):
            variance[unit] += (z[row, unit] - mean[unit]) * (z[row, unit] - mean[unit])
    for unit in range(units):
        running_mean[unit] += T(momentum) * (mean[unit] - running_mean[unit])
        running_variance[unit] += T(momentum) * (variance[unit] / T(n - 1) - running_variance[unit])
        variance[unit] /= T(n)


@c_function(FORWARD)
def normalize_columns(
    memory, n, units, z, normal, root, scale, shift, mean, variance, columns, trains, eps, momentum
):
    memory = carray(memory, 1)
    T, z = memory.dtype.type, matrix(memory, z, n, units)
    normal, roots = matrix(memory, normal, n, units) if trains else z, vector(memory, root, units)
    average, spread = vector(memory, mean, units), vector(memory, variance, units)
    if trains and n > 1:  # a batch of one row has no variance
        running_average, running_spread = average, spread
        average, spread = vector(memory, columns, units), vector(memory, columns + units, units)
        take_statistics(z, average, spread, running_average, running_spread, momentum)
    for unit in range(units):
        roots[unit] = math.sqrt(spread[unit] + T(eps))
    for row in range(n):
        for unit in range(units):
            normal[row, unit] = (z[row, unit] - average[unit]) / roots[unit]
    scale_columns(normal, vector(memory, scale, units), vector(memory, shift, units), z)


@c_function(BACKWARD)
def normalize_columns_back(memory, n, units, dz, normal, root, scale, dscale, dshift):
    memory = carray(memory, 1)
    T, dz, normal = memory.dtype.type, matrix(memory, dz, n, units), matrix(memory, normal, n, units)
    scale, roots = vector(memory, scale, units), vector(memory, root, units)
    dscale, dshift = vector(memory, dscale, units), vector(memory, dshift, units)
    add_to_gradient(dz, normal, dscale, dshift)
    own = T(n > 1)  # one row was normalised by constants
    for row in range(n):
        for unit in range(units):
            inside = dz[row, unit] - own * (dshift[unit] / T(n) + normal[row, unit] * (dscale[unit] / T(n)))
            dz[row, unit] = scale[unit] * inside / roots[unit]


BY_NAME = {
    "layer": (normalize_rows, normalize_rows_back),
    "batch": (normalize_columns, normalize_columns_back),
}
