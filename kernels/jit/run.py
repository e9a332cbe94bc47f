"""What the engine calls: `run`, for an epoch of updates, a gradient, the evaluation or the outputs
of rows.
"""

import math
from typing import NamedTuple

import numpy as np
from nnfast.kernels.jit.clock import BOOKKEEPING, GRADIENT, LIMITS, enter
from nnfast.kernels.jit.compiling import entry, inner
from nnfast.kernels.jit.memory import address, call, clear, dot, matrix, vector
from nnfast.kernels.jit.network import backward, forward, loss_and_gradient, write_outputs

TRAIN, DIFFERENTIATE, EVALUATE, PREDICT = range(4)  # what a run does
FINISHED, NON_FINITE = range(2)  # how it ended
BLOCK = 4096  # parameters that are moved at a time
# What the kernel of the update takes before the optimizer's own numbers: see `update` of of_records.py. Until
# the weight of the batch is known, THRESHOLD is the learning rate.
SCALE, DECAY, CLIP, THRESHOLD, SHRINK, RATES = range(6)


class Update(NamedTuple):
    """How parameters move; limits of 0 are none."""

    kernel: int  # address
    n_moments: int
    alpha: float
    l1: float
    clip_norm: float
    clip_value: float
    max_norm: float
    ranges: object  # int64 (n, 3): first and end of parameters of one group, and the group's number
    penalized: object  # float64: whether alpha and l1 concern a group, 1 or 0


@entry
def power(base, exponents):
    """base to each of the exponents, by the C library."""
    powers = np.empty_like(exponents)
    for i in range(len(exponents)):
        powers[i] = math.pow(base, exponents[i])
    return powers


@inner
def sum_squares(net, first, end):
    """Of the numbers first .. end of the memory, in double precision, block by block as `step` takes them."""
    squares = 0.0
    for start in range(first, end, BLOCK):
        x = address(net.memory, start)
        squares += dot(net.dot, min(BLOCK, end - start), x, x)
    return squares


@inner
def penalty(net, update, squares):
    """The L2 and L1 terms of the objective, times the batch's weight; squares: the sum of the weights'."""
    total = 0.5 * update.alpha * squares
    if update.l1 > 0:
        absolute = 0.0
        for i in range(net.n_weights):
            absolute += abs(net.memory[i])
        total += update.l1 * absolute
    return total


@inner
def weight_of(table, rows):
    """The sum of the rows' weights."""
    if not len(table.weight):
        return np.float64(len(rows))
    total = 0.0
    for row in range(len(rows)):
        total += table.weight[rows[row]]
    return total


@inner
def move(net, update, weight, rates):
    """The update of all parameters, from the gradient's sum over a batch of this weight; rates: a row for
    each group. Returns the sum of the weights' squares; it is not finite if any parameter, or the gradient's
    norm where that has a limit, is not.
    """
    scalars, squares = net.scalars, 0.0
    scale, alpha = 1 / weight, update.alpha / weight
    limit = update.clip_value if update.clip_value > 0 else math.inf
    if update.clip_norm > 0:
        enter(net.clock, LIMITS, 0)
        scalars[SCALE], scalars[DECAY], scalars[CLIP] = scale, alpha, limit
        norm = finish_gradient(net)
        if not math.isfinite(norm):
            return norm
        scale, alpha, limit = min(1.0, update.clip_norm / (norm + 1e-6)), 0.0, math.inf
    enter(net.clock, GRADIENT, 0)
    for i in range(len(update.ranges)):
        first, end, group = update.ranges[i]
        for j in range(rates.shape[1]):
            scalars[j] = rates[group, j]
        is_penalized = update.penalized[group]
        scalars[SCALE], scalars[DECAY], scalars[CLIP] = scale, alpha * is_penalized, limit
        scalars[THRESHOLD] *= update.l1 / weight * is_penalized
        is_counted = 1.0 if end <= net.n_weights else 0.0
        squares += is_counted * step(net, update, first, end)
    if update.max_norm > 0:
        enter(net.clock, LIMITS, 0)
        for i in range(len(net.layers) - 1):
            layer = net.layers[i]
            norms = vector(net.memory, net.columns, layer.n_out)
            limit_norms(
                matrix(net.memory, layer.w, layer.n_in, layer.n_out),
                norms,
                net.memory.dtype.type(update.max_norm),
            )
        squares = sum_squares(net, 0, net.n_weights) + 0.0 * squares
    enter(net.clock, BOOKKEEPING, 0)
    return squares


@inner
def step(net, update, first, end):
    """Hand the parameters first .. end, their moments and gradients to the optimizer's kernel. Returns the
    sum of the parameters' squares, which are taken block by block while they are in the cache.
    """
    squares, scalars = 0.0, address(net.scalars, 0)
    for start in range(first, end, BLOCK):
        n = min(BLOCK, end - start)
        w, m, v = (
            address(net.memory, start),
            address(net.memory, net.m + start),
            address(net.memory, net.v + start),
        )
        g = address(net.memory, net.gradient + start)
        if update.n_moments == 1:
            call(update.kernel, (w, m, g, scalars, n))
        else:
            call(update.kernel, (w, m, v, g, scalars, n))
        squares += dot(net.dot, n, w, w)
    return squares


@inner
def finish_gradient(net):
    """The gradient's sum becomes the gradient, with penalty and limit of values; returns its norm."""
    g, T = vector(net.memory, net.gradient, net.n_parameters), net.memory.dtype.type
    scale, decay, limit = T(net.scalars[SCALE]), T(net.scalars[DECAY]), T(net.scalars[CLIP])
    for i in range(len(g)):
        g[i] *= scale
    for i in range(net.n_weights):
        g[i] += decay * net.memory[i]
    for i in range(len(g)):
        g[i] = limit if g[i] > limit else -limit if g[i] < -limit else g[i]
    return math.sqrt(sum_squares(net, net.gradient, net.gradient + net.n_parameters))


@inner
def limit_norms(w, squares, max_norm):
    """Scale each unit's incoming weights, a column, down to a norm of max_norm where it is above."""
    clear(squares)
    for row in range(w.shape[0]):
        for unit in range(w.shape[1]):
            squares[unit] += w[row, unit] * w[row, unit]
    for unit in range(w.shape[1]):
        norm = squares.dtype.type(math.sqrt(squares[unit]))
        squares[unit] = max_norm / norm if norm > max_norm else squares.dtype.type(1)
    for row in range(w.shape[0]):
        for unit in range(w.shape[1]):
            w[row, unit] *= squares[unit]


@inner
def set_dropout(net, rows):
    """Drop inputs and the units of each hidden layer at these rates; rows: of each, the rate, scale and shift
    of what is kept, and the value of what is dropped.
    """
    net.input_drop_below[0] = np.uint32(rows[0, 0] * 4294967296.0)
    net.input_scale[0] = rows[0, 1]
    for i in range(1, len(rows)):
        layer = net.layers[i - 1]
        layer.drop_below = np.uint32(rows[i, 0] * 4294967296.0)
        layer.kept_scale, layer.kept_shift, layer.dropped = rows[i, 1], rows[i, 2], rows[i, 3]


@entry
def run(mode, net, table, update, order, batch_size, rates, dropouts, t, total, out):
    """Run the network over the rows `order`, in batches, and these in chunks. One function does it all: what
    several share would be compiled for each.

    Parameters
    ----------
    mode : int
        TRAIN, DIFFERENTIATE, EVALUATE or PREDICT.
    net : Net
    table : TableArrays
    update : Update
    order : ndarray of intp
        Numbers of rows.
    batch_size : int
        But for TRAIN, all rows are one batch.
    rates : float64 ndarray of shape (n_batches, n_groups, n_scalars)
        TRAIN's: what the update's kernel takes.
    dropouts : float64 ndarray of shape (n_batches, n_layers, 4)
        TRAIN's, where dropout has a schedule: see `set_dropout`; else empty.
    t : int
        TRAIN's: updates done before.
    total : float
        The loss that a run before has returned, which these batches are added to; or 0.
    out : ndarray of T, one-dimensional
        Where EVALUATE and PREDICT write the outputs.

    Returns
    -------
    status : int
        FINISHED or NON_FINITE.
    batches, updates : int
        How many were done.
    loss : float
        `total` and the sum of the batches' losses, penalties included, times their rows; EVALUATE: the sum of
        the rows' losses times their weights.
    weight : float
        The sum of the last batch's weights.
    """
    trains, differentiates = mode == TRAIN, mode == TRAIN or mode == DIFFERENTIATE
    weight, batches, begun, last = 0.0, 0, t, net.layers[len(net.layers) - 1]
    squares = sum_squares(net, 0, net.n_weights) if differentiates else 0.0
    for start in range(0, len(order), batch_size):
        batch, loss = order[start : start + batch_size], 0.0
        weight = weight_of(table, batch)
        if len(dropouts):
            set_dropout(net, dropouts[batches])
        for first in range(0, len(batch), net.capacity):
            rows = batch[first : first + net.capacity]
            forward(net, table, rows, first, t, differentiates, trains)
            if not differentiates:
                n = len(rows) * last.n_out
                write_outputs(
                    net,
                    vector(net.memory, last.a, n),
                    vector(out, (start + first) * last.n_out, n),
                    last.n_out,
                )
            if mode != PREDICT:
                loss += loss_and_gradient(net, table, rows, differentiates)
            if differentiates:
                backward(net, table, rows, first, t, trains)
        enter(net.clock, BOOKKEEPING, 0)
        if not differentiates:
            total += loss
        elif weight != 0:  # else there is nothing to learn from
            loss = (loss + penalty(net, update, squares)) / weight
            if trains:
                squares = move(net, update, weight, rates[batches]) if math.isfinite(loss) else loss
                if not math.isfinite(squares):
                    return NON_FINITE, batches, t - begun, total, weight
                t += 1
            else:
                net.scalars[SCALE], net.scalars[DECAY], net.scalars[CLIP] = (
                    1 / weight,
                    update.alpha / weight,
                    math.inf,
                )
                finish_gradient(net)
            total += loss * len(batch)
        batches += 1
    return FINISHED, batches, t - begun, total, weight
