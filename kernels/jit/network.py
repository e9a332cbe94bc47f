"""A network in training: rows forward through its layers, the loss, and the way back to the gradient. Products are BLAS's, all else is loops.

Read `forward`, `lose` and `backward` first: they are the textbook's. What is done to single numbers (activations, losses) comes from the records' own
formulas, compiled by `elementwise.py` and called by address.

In all of this file: rows are those of one chunk of a batch, n of them; values of layer l, an array of shape (n, units[l]), lie at at[l] in a flat array.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from nnfast.kernels.jit.calls import call
from nnfast.kernels.jit.clock import BACKWARD, FORWARD, GRADIENT, LOSS, NORMALIZATION, enter
from nnfast.kernels.jit.dropout import drop_out, layer_key, row_key
from nnfast.kernels.jit.tables import forward_sparse, gather, gradient_sparse

BY_NONE, BY_BATCH, BY_LAYER = range(3)  # how hidden layers are normalised
OF_OUTPUTS, OF_CLASSES = range(2)  # what a loss is a function of
OUTPUT_AS_IS, OUTPUT_ELEMENTS, OUTPUT_SOFTMAX = range(3)
OUTPUT_KINDS = {"identity": OUTPUT_AS_IS, "logistic": OUTPUT_ELEMENTS, "exp": OUTPUT_ELEMENTS, "softmax": OUTPUT_SOFTMAX}



class Net(NamedTuple):
    """A network and its parameters; T is its dtype. Flat arrays hold all layers', one after the other, and an array of integers where each begins."""

    units: object  # of every layer, inputs first
    w: object  # T: what is learned, in the order of Parameters.learned
    coefs: object  # where these begin in w
    intercepts: object
    scales: object
    shifts: object
    means: object  # T: running statistics, of batch normalization
    variances: object
    hidden: object  # where a hidden layer's begin in these
    normalization: int
    eps: object  # T
    momentum: object  # T
    activations: object  # addresses of kernels, one a hidden layer
    parameters: object  # float64: their own
    loss: object  # Loss
    dropout: object  # Dropout


class Loss(NamedTuple):
    """Addresses of kernels (0: none) and numbers."""

    of: int  # OF_OUTPUTS or OF_CLASSES
    value: int  # OF_CLASSES: the loss of rows; OF_OUTPUTS: of outputs, and their derivatives
    slope: int  # OF_CLASSES: the derivatives of a row
    exp: int
    output: int  # the output activation, where it is one of single numbers
    output_kind: int
    parameters: object  # T: the loss's own, one an output
    mean_factor: float  # by which a row's sum over its outputs becomes its loss
    slope_factor: object  # T: by which derivatives become what is descended along


class Dropout(NamedTuple):
    """What is dropped, inputs first, then hidden layers."""

    limits: object  # uint32: rate * 2^32
    scales: object  # T: what is done to what is kept
    shifts: object
    values: object  # T: of what is dropped
    seed: int


class Buffers(NamedTuple):
    """Room for a chunk of rows, all T but where it says so."""

    at: object  # where layers begin
    a: object  # values of all layers; those of the last become its dz
    slopes: object  # derivatives of the hidden layers' activations
    normal: object  # what is normalised, before scale and shift
    roots: object  # what it was divided by
    dz: object  # of the layer that the way back has come to
    da: object
    g: object  # the gradient's sum over the rows
    part: object  # that of one chunk of several
    row_loss: object  # float64
    log_p: object  # of rows, for losses of classes
    q: object
    mean_log_p: object
    is_y: object  # of classes
    terms: object  # of outputs
    scalars: object  # float64
    clock: object  # int64


@njit(nogil=True)
def layer_values(flat, net, b, layer, n):
    """Shape (n, units of the layer)."""
    units = net.units[layer]
    return flat[b.at[layer] : b.at[layer] + n * units].reshape(n, units)


@njit(nogil=True)
def coef(flat, net, layer):
    """Shape (fan_in, fan_out): the weights, or what else lies as they do."""
    fan_in, fan_out = net.units[layer], net.units[layer + 1]
    return flat[net.coefs[layer] : net.coefs[layer] + fan_in * fan_out].reshape(fan_in, fan_out)


@njit(nogil=True)
def vector(flat, starts, layer, units):
    return flat[starts[layer] : starts[layer] + units]


# ---------------------------------------------------------------------------------------------------------------------
# Forward


@njit(nogil=True)
def forward(net, table, b, rows, first, step, trains, drops):
    """Bring the table's rows through all layers, to the logits.

    first: the number of the first of them in its batch, step: steps done, which dropout goes by; trains: whether slopes are wanted and a batch is
    normalised by its own statistics; drops: whether units are dropped.
    """
    n, n_layers = len(rows), len(net.units) - 1
    gather(net, table, b, rows, first, step, drops)
    for layer in range(n_layers):
        enter(b.clock, FORWARD, layer)
        z = layer_values(b.a, net, b, layer + 1, n)
        if layer == 0 and table.is_sparse:
            forward_sparse(net, table, coef(net.w, net, 0), rows, first, step, drops, z)
        else:
            np.dot(layer_values(b.a, net, b, layer, n), coef(net.w, net, layer), z)
        intercept = vector(net.w, net.intercepts, layer, net.units[layer + 1])
        for row in range(n):
            for unit in range(z.shape[1]):
                z[row, unit] += intercept[unit]
        if layer < n_layers - 1:
            if net.normalization != BY_NONE:
                enter(b.clock, NORMALIZATION, layer)
                normalize(net, b, layer, z, trains)
                enter(b.clock, FORWARD, layer)
            activate(net, b, layer, z, first, step, trains, drops)


@njit(nogil=True)
def activate(net, b, layer, z, first, step, trains, drops):
    """The activation and dropout of a hidden layer, in place."""
    slopes = layer_values(b.slopes, net, b, layer + 1, len(z)) if trains else z
    drops = drops and net.dropout.limits[layer + 1] > 0
    key = layer_key(net.dropout.seed, np.uint64(step), np.uint64(layer + 1))
    for row in range(len(z)):
        address = slopes[row].ctypes.data if trains else 0
        call(net.activations[layer], (z[row].ctypes.data, address, z.shape[1], net.parameters[layer]))
        if drops:
            drop_out(net.dropout, layer + 1, row_key(key, np.uint64(first + row)), z[row], slopes[row] if trains else z[row])


# ---------------------------------------------------------------------------------------------------------------------
# Normalization: nnfast/normalization.py has it in NumPy


@njit(nogil=True, error_model="numpy")
def normalize(net, b, layer, z, trains):
    """z <- scale (z - mean) / root + shift, in place."""
    units = z.shape[1]
    scale, shift = vector(net.w, net.scales, layer, units), vector(net.w, net.shifts, layer, units)
    normal = layer_values(b.normal, net, b, layer + 1, len(z)) if trains else z
    if net.normalization == BY_LAYER:
        normalize_rows(z, normal, vector(b.roots, b.at, layer + 1, len(z)), net.eps)
    else:
        mean, variance = vector(net.means, net.hidden, layer, units), vector(net.variances, net.hidden, layer, units)
        normalize_columns(z, normal, vector(b.roots, b.at, layer + 1, units), mean, variance, net.eps, net.momentum, trains)
    for row in range(len(z)):
        for unit in range(units):
            z[row, unit] = scale[unit] * normal[row, unit] + shift[unit]


@njit(nogil=True, error_model="numpy")
def normalize_rows(z, normal, roots, eps):
    """Each row by its own mean and variance, over its units."""
    units = z.dtype.type(z.shape[1])
    for row in range(len(z)):
        mean = z.dtype.type(0)
        variance = z.dtype.type(0)
        for value in z[row]:
            mean += value
        mean /= units
        for value in z[row]:
            variance += (value - mean) * (value - mean)
        roots[row] = math.sqrt(variance / units + eps)
        for unit in range(z.shape[1]):
            normal[row, unit] = (z[row, unit] - mean) / roots[row]


@njit(nogil=True, error_model="numpy")
def normalize_columns(z, normal, roots, running_mean, running_variance, eps, momentum, trains):
    """Each unit by its mean and variance over the batch, of which the running ones take note; or else, and for a batch of one row, by these."""
    n, units = z.shape
    if trains and n > 1:
        mean, variance = np.zeros(units, z.dtype), np.zeros(units, z.dtype)
        for row in range(n):
            for unit in range(units):
                mean[unit] += z[row, unit]
        mean /= z.dtype.type(n)
        for row in range(n):
            for unit in range(units):
                variance[unit] += (z[row, unit] - mean[unit]) * (z[row, unit] - mean[unit])
        for unit in range(units):
            running_mean[unit] += momentum * (mean[unit] - running_mean[unit])
            running_variance[unit] += momentum * (variance[unit] / z.dtype.type(n - 1) - running_variance[unit])
        variance /= z.dtype.type(n)
    else:
        mean, variance = running_mean, running_variance
    for unit in range(units):
        roots[unit] = math.sqrt(variance[unit] + eps)
    for row in range(n):
        for unit in range(units):
            normal[row, unit] = (z[row, unit] - mean[unit]) / roots[unit]


@njit(nogil=True, error_model="numpy")
def normalize_back(net, b, layer, dz, g):
    """From the gradient by a normalization's output to that by its input, in place; those of scale and shift go to g."""
    n, units = dz.shape
    scale = vector(net.w, net.scales, layer, units)
    dscale, dshift = vector(g, net.scales, layer, units), vector(g, net.shifts, layer, units)
    normal, roots = layer_values(b.normal, net, b, layer + 1, n), b.roots[b.at[layer + 1] :]
    dscale[:] = 0
    dshift[:] = 0
    for row in range(n):
        for unit in range(units):
            dscale[unit] += dz[row, unit] * normal[row, unit]
            dshift[unit] += dz[row, unit]
    if net.normalization == BY_LAYER:
        count = dz.dtype.type(units)
        for row in range(n):
            mean = dz.dtype.type(0)
            along = dz.dtype.type(0)
            for unit in range(units):
                dz[row, unit] *= scale[unit]
                mean += dz[row, unit]
                along += dz[row, unit] * normal[row, unit]
            for unit in range(units):
                dz[row, unit] = (dz[row, unit] - mean / count - normal[row, unit] * (along / count)) / roots[row]
        return
    count = dz.dtype.type(n)
    own = dz.dtype.type(n > 1)  # a batch of one row was normalised by constants
    for row in range(n):
        for unit in range(units):
            inner = dz[row, unit] - own * (dshift[unit] / count + normal[row, unit] * (dscale[unit] / count))
            dz[row, unit] = scale[unit] * inner / roots[unit]


# ---------------------------------------------------------------------------------------------------------------------
# The loss


@njit(nogil=True)
def lose(net, table, b, rows, trains):
    """Write the rows' losses, times their weights, to b.row_loss; their logits become what is sent back where `trains`, else nothing of use."""
    enter(b.clock, LOSS, 0)
    n, last = len(rows), len(net.units) - 1
    z = layer_values(b.a, net, b, last, n)
    if net.loss.of == OF_CLASSES:
        lose_classes(net.loss, b, z, table.labels, rows, trains)
    else:
        lose_outputs(net.loss, b, z, table.y, rows)
    for row in range(n):
        weight = table.weight[rows[row]] if len(table.weight) else 1.0
        b.row_loss[row] *= weight
        factor = net.loss.slope_factor * z.dtype.type(weight)
        if trains and factor != 1:
            for output in range(z.shape[1]):
                z[row, output] *= factor


@njit(nogil=True)
def lose_outputs(loss, b, z, y, rows):
    n_outputs = z.shape[1]
    for row in range(len(rows)):
        call(loss.value, (y[rows[row]].ctypes.data, z[row].ctypes.data, b.terms.ctypes.data, loss.parameters.ctypes.data, n_outputs))
        total = 0.0
        for output in range(n_outputs):
            total += b.terms[output]
        b.row_loss[row] = total * loss.mean_factor


@njit(nogil=True, error_model="numpy")
def lose_classes(loss, b, z, labels, rows, trains):
    """Losses that are functions of softmax's probabilities: see nnfast.losses.Loss."""
    n, n_classes = z.shape
    for row in range(n):
        top = z[row].max()
        z[row] -= top
        b.log_p[row] = z[row, labels[rows[row]]]
        b.mean_log_p[row] = z[row].sum() / z.dtype.type(n_classes)
    call(loss.exp, (z.ctypes.data, z.size))
    for row in range(n):
        total, others = z.dtype.type(0), z.dtype.type(0)
        for k in range(n_classes):
            total += z[row, k]
            if k != labels[rows[row]]:
                others += z[row, k]
        b.q[row] = others / total
        log_total = z.dtype.type(math.log(total))
        b.mean_log_p[row] -= log_total
        b.log_p[row] = math.log1p(-b.q[row]) if b.q[row] < 0.5 else b.log_p[row] - log_total
        for k in range(n_classes):
            z[row, k] /= total
    if trains:
        b.scalars[3] = n_classes
        b.scalars[4] = loss.parameters[0]
        for row in range(n):
            label = labels[rows[row]]
            b.is_y[label] = 1
            b.scalars[0], b.scalars[1], b.scalars[2] = z[row, label], b.q[row], b.log_p[row]
            call(loss.slope, (z[row].ctypes.data, b.is_y.ctypes.data, b.scalars.ctypes.data, n_classes))
            b.is_y[label] = 0
    b.scalars[0] = loss.parameters[0]
    call(loss.value, (b.log_p.ctypes.data, b.q.ctypes.data, b.mean_log_p.ctypes.data, b.scalars.ctypes.data, n))
    for row in range(n):
        b.row_loss[row] = b.log_p[row]


@njit(nogil=True, error_model="numpy")
def outputs(loss, z):
    """The output activation, in place."""
    if loss.output_kind == OUTPUT_ELEMENTS:
        call(loss.output, (z.ctypes.data, z.size))
    elif loss.output_kind == OUTPUT_SOFTMAX:
        for row in range(len(z)):
            z[row] -= z[row].max()
        call(loss.exp, (z.ctypes.data, z.size))
        for row in range(len(z)):
            z[row] /= z[row].sum()


# ---------------------------------------------------------------------------------------------------------------------
# Backward


@njit(nogil=True)
def backward(net, table, b, rows, first, step, drops, g):
    """Write the gradient's sum over the rows to g, from what `forward` and `lose` have left."""
    n, n_layers = len(rows), len(net.units) - 1
    dz = layer_values(b.a, net, b, n_layers, n)
    spare, following = b.da, b.dz
    for layer in range(n_layers - 1, -1, -1):
        enter(b.clock, GRADIENT, layer)
        if layer == 0 and table.is_sparse:
            gradient_sparse(net, table, rows, first, step, drops, dz, coef(g, net, 0))
        else:
            np.dot(layer_values(b.a, net, b, layer, n).T, dz, coef(g, net, layer))
        intercept = vector(g, net.intercepts, layer, dz.shape[1])
        intercept[:] = 0
        if layer == n_layers - 1 or net.normalization != BY_BATCH:  # a batch's mean takes any bias away
            for row in range(n):
                for unit in range(dz.shape[1]):
                    intercept[unit] += dz[row, unit]
        if layer > 0:
            enter(b.clock, BACKWARD, layer)
            units = net.units[layer]
            da = spare[: n * units].reshape(n, units)
            np.dot(dz, coef(net.w, net, layer).T, da)
            slopes = layer_values(b.slopes, net, b, layer, n)
            for row in range(n):
                for unit in range(units):
                    da[row, unit] *= slopes[row, unit]
            if net.normalization != BY_NONE:
                enter(b.clock, NORMALIZATION, layer - 1)
                normalize_back(net, b, layer - 1, da, g)
            dz = da
            spare, following = following, spare
