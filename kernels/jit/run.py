"""What the engine calls: an epoch of updates, a gradient, the evaluation and the outputs of rows. Each goes through its rows in batches and chunks."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from nnfast.kernels.jit.calls import call
from nnfast.kernels.jit.clock import BOOKKEEPING, EVALUATION, GRADIENT, LIMITS, enter
from nnfast.kernels.jit.network import backward, coef, forward, layer_values, lose, outputs

FINISHED, NON_FINITE = range(2)  # how a run ended
LANES = 8
# Numbers that the kernel of the update takes before the optimizer's own: see `update_of` in nnfast/engines/numba.py.
SCALE, DECAY, CLIP, THRESHOLD, SHRINK, RATES = range(6)


class Update(NamedTuple):
    """How weights move; limits of 0 are none."""

    kernel: int  # address
    m: object  # T: moments, of w's size where there are any
    v: object
    n_moments: int
    alpha: float
    l1: float
    clip_norm: float
    clip_value: float
    max_norm: float


@njit(nogil=True)
def n_weights(net):
    """How many of the parameters are weights, which come first; the others are spared by penalties and decay."""
    return net.intercepts[0]


@njit(nogil=True)
def sum_squares(x):
    """In double precision, in eight sums that run abreast."""
    sums = np.zeros(LANES)
    whole = len(x) // LANES * LANES
    for i in range(0, whole, LANES):
        for lane in range(LANES):
            sums[lane] += np.float64(x[i + lane]) * np.float64(x[i + lane])
    total = sums.sum()
    for i in range(whole, len(x)):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


@njit(nogil=True)
def penalty(net, update):
    """The L2 and L1 terms of the objective, times the batch's weight."""
    weights = net.w[: n_weights(net)]
    total = 0.0
    if update.alpha > 0:
        total += 0.5 * update.alpha * sum_squares(weights)
    if update.l1 > 0:
        absolute = 0.0
        for weight in weights:
            absolute += abs(weight)
        total += update.l1 * absolute
    return total


@njit(nogil=True)
def weight_of(table, rows):
    """The sum of the rows' weights."""
    if not len(table.weight):
        return np.float64(len(rows))
    total = 0.0
    for row in rows:
        total += table.weight[row]
    return total


@njit(nogil=True)
def differentiate(net, table, b, batch, step, drops):
    """Write the gradient's sum over a batch's rows to b.g; return the sum of their losses."""
    capacity, loss = len(b.row_loss), 0.0
    for first in range(0, len(batch), capacity):
        rows = batch[first : first + capacity]
        forward(net, table, b, rows, first, step, True, drops)
        lose(net, table, b, rows, True)
        loss += b.row_loss[: len(rows)].sum()
        if first == 0:
            backward(net, table, b, rows, first, step, drops, b.g)
        else:
            backward(net, table, b, rows, first, step, drops, b.part)
            for i in range(len(b.g)):
                b.g[i] += b.part[i]
    return loss


@njit(nogil=True, error_model="numpy")
def train(net, table, b, update, order, batch_size, rates, t):
    """One update a batch of the rows `order`.

    rates: what the update's kernel takes, a row for each step, but for SCALE, DECAY, CLIP and THRESHOLD, where the last holds the learning rate; t: updates
    done before.

    Returns (status, steps done, sum of the batches' losses times their rows).
    """
    total, steps = 0.0, 0
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        weight = weight_of(table, batch)
        loss = differentiate(net, table, b, batch, t, True)
        enter(b.clock, BOOKKEEPING, 0)
        if weight > 0:
            loss = (loss + penalty(net, update)) / weight
            if not math.isfinite(loss) or not move(net, b, update, weight, rates[steps]):
                return NON_FINITE, steps, total
            total += loss * len(batch)
            t += 1
        steps += 1
    return FINISHED, steps, total


@njit(nogil=True, error_model="numpy")
def move(net, b, update, weight, rates):
    """The update of all parameters, from the gradient's sum over a batch of this weight: whether all is finite."""
    b.scalars[: len(rates)] = rates
    b.scalars[SCALE], b.scalars[DECAY] = 1 / weight, update.alpha / weight
    b.scalars[CLIP] = update.clip_value if update.clip_value > 0 else math.inf
    b.scalars[THRESHOLD] = rates[THRESHOLD] * update.l1 / weight
    if update.clip_norm > 0:
        enter(b.clock, LIMITS, 0)
        norm = finish_gradient(net, b)
        if not math.isfinite(norm):
            return False
        b.scalars[SCALE], b.scalars[DECAY], b.scalars[CLIP] = min(1.0, update.clip_norm / (norm + 1e-6)), 0.0, math.inf
    enter(b.clock, GRADIENT, 0)
    n = n_weights(net)
    step(net, b, update, 0, n)
    b.scalars[DECAY], b.scalars[THRESHOLD], b.scalars[SHRINK] = 0.0, 0.0, 1.0
    step(net, b, update, n, len(net.w))
    if update.max_norm > 0:
        enter(b.clock, LIMITS, 0)
        for layer in range(len(net.units) - 2):
            limit_norms(coef(net.w, net, layer), update.max_norm)
    enter(b.clock, BOOKKEEPING, 0)
    return math.isfinite(sum_squares(net.w))


@njit(nogil=True)
def step(net, b, update, first, end):
    """Hand the parameters first .. end, their moments and gradients to the optimizer's kernel."""
    m = update.m[first:].ctypes.data if update.n_moments > 0 else 0
    v = update.v[first:].ctypes.data if update.n_moments > 1 else 0
    w, g, scalars = net.w[first:].ctypes.data, b.g[first:].ctypes.data, b.scalars.ctypes.data
    if update.n_moments == 1:
        call(update.kernel, (w, m, g, scalars, end - first))
    else:
        call(update.kernel, (w, m, v, g, scalars, end - first))


@njit(nogil=True, error_model="numpy")
def finish_gradient(net, b):
    """b.g becomes the gradient, penalty and clipping of values included; returns its norm."""
    g, limit = b.g, b.g.dtype.type(b.scalars[CLIP])
    scale, decay = g.dtype.type(b.scalars[SCALE]), g.dtype.type(b.scalars[DECAY])
    for i in range(len(g)):
        g[i] *= scale
    for i in range(n_weights(net)):
        g[i] += decay * net.w[i]
    for i in range(len(g)):
        g[i] = limit if g[i] > limit else -limit if g[i] < -limit else g[i]
    return math.sqrt(sum_squares(g))


@njit(nogil=True, error_model="numpy")
def limit_norms(w, max_norm):
    """Scale each unit's incoming weights, a column, down to a norm of max_norm where it is above."""
    squares = np.zeros(w.shape[1])
    for row in range(w.shape[0]):
        for unit in range(w.shape[1]):
            squares[unit] += np.float64(w[row, unit]) * np.float64(w[row, unit])
    factors = np.ones(w.shape[1], w.dtype)
    for unit in range(w.shape[1]):
        norm = math.sqrt(squares[unit])
        if norm > max_norm:
            factors[unit] = max_norm / norm
    for row in range(w.shape[0]):
        for unit in range(w.shape[1]):
            w[row, unit] *= factors[unit]


@njit(nogil=True, error_model="numpy")
def loss_gradient(net, table, b, update, order):
    """(the penalised mean loss of the rows as one batch, their weight); its gradient is in b.g."""
    loss = differentiate(net, table, b, order, 0, False)
    weight = weight_of(table, order)
    b.scalars[SCALE], b.scalars[DECAY], b.scalars[CLIP] = 1 / weight, update.alpha / weight, math.inf
    finish_gradient(net, b)
    return (loss + penalty(net, update)) / weight, weight


@njit(nogil=True, error_model="numpy")
def evaluate(net, table, b, order, out, loses):
    """Write the outputs of the rows; return (the sum of their losses where these are wanted, the sum of their weights)."""
    enter(b.clock, EVALUATION, 0)
    capacity, loss, last = len(b.row_loss), 0.0, len(net.units) - 1
    for first in range(0, len(order), capacity):
        rows = order[first : first + capacity]
        forward(net, table, b, rows, first, 0, False, False)
        out[first : first + len(rows)] = layer_values(b.a, net, b, last, len(rows))
        outputs(net.loss, out[first : first + len(rows)])
        if loses:
            lose(net, table, b, rows, False)
            loss += b.row_loss[: len(rows)].sum()
    return loss, weight_of(table, order)
