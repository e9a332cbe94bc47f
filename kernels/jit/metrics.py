"""What metrics sum over the rows of a validation set: kernels/metrics.pxi, in Numba."""

import math

import numpy as np
from nnfast.kernels.jit.compiling import entry

PART = 256  # rows whose sums are added up by themselves, so that rounding does not grow with the rows


@entry
def are_rows(x, n):
    """Whether all of x are within 0 .. n - 1, and there is one at least."""
    bad = 0
    for number in x:
        bad += number < 0 or number >= n
    return len(x) > 0 and bad == 0


@entry
def _add_up(hits, weight):
    """The sums of weight * hit, and of the weights."""
    total, whole = 0.0, 0.0
    for first in range(0, len(hits), PART):
        of_hits, of_all = 0.0, 0.0
        for row in range(first, min(first + PART, len(hits))):
            w = weight[row] if len(weight) else 1.0
            of_hits += hits[row] * w
            of_all += w
        total += of_hits
        whole += of_all
    return total, whole


_NO_WEIGHT = np.zeros(0)


def _takes_weight(function):
    """`function` with None for no weights."""

    def taking(*arguments):
        return function(*(_NO_WEIGHT if argument is None else argument for argument in arguments))

    return taking


@_takes_weight
@entry
def accuracy(outputs, y, weight):
    """The sums of the weights of the rows whose first largest output is number y, and of all."""
    hits = np.empty(len(outputs))
    for row in range(len(outputs)):
        best = 0
        for k in range(1, outputs.shape[1]):
            if outputs[row, k] > outputs[row, best]:
                best = k
        hits[row] = best == y[row]
    return _add_up(hits, weight)


@_takes_weight
@entry
def subset_accuracy(outputs, labels, weight):
    """The sums of the weights of the rows all of whose outputs are above 0.5 where the labels are 1, and not
    where they are 0, and of all.
    """
    hits = np.empty(len(outputs))
    for row in range(len(outputs)):
        hit = True
        for k in range(outputs.shape[1]):
            hit &= (outputs[row, k] > 0.5) == (labels[row, k] != 0)
        hits[row] = hit
    return _add_up(hits, weight)


@_takes_weight
@entry
def log_loss(outputs, y, weight, epsilon):
    """The sums of weight * -log(probability of y), and of the weights. Probabilities are kept within epsilon
    .. 1 - epsilon; a single column is that of y = 1.
    """
    losses = np.empty(len(outputs))
    one = outputs.dtype.type(1)
    least = outputs.dtype.type(epsilon)
    for row in range(len(outputs)):
        if outputs.shape[1] > 1:
            p = outputs[row, y[row]]
        else:
            p = outputs[row, 0] if y[row] else one - outputs[row, 0]
        losses[row] = -math.log(np.float64(min(max(p, least), one - least)))
    return _add_up(losses, weight)


@entry
def areas_under_roc(positives, start, all, areas):
    """Writes the areas of several columns, a row of `all` each, ascending; the outputs of the positive rows
    of column k, ascending, are positives[start[k] : start[k + 1]]. NaN where all rows are of one kind.
    """
    n = all.shape[1]
    for k in range(len(all)):
        below, not_above, area = 0, 0, 0.0
        for value in positives[start[k] : start[k + 1]]:
            while below < n and all[k, below] < value:
                below += 1
            not_above = max(not_above, below)
            while not_above < n and all[k, not_above] <= value:
                not_above += 1
            area += below + not_above
        n_positives = float(start[k + 1] - start[k])
        areas[k] = (area - n_positives * n_positives) / (2 * n_positives * (n - n_positives))


@entry
def split_columns(outputs, y, own, following, columns):
    """Writes each row's output of class y to own[following[y]], which moves on, and the outputs by
    columns.
    """
    for row in range(len(outputs)):
        own[following[y[row]]] = outputs[row, y[row]]
        following[y[row]] += 1
        for k in range(outputs.shape[1]):
            columns[k, row] = outputs[row, k]


@entry
def weighted_roc_auc(outputs, column, order, y, positive, weight):
    """The area of one column, where rows have weights, from `order`, the rows by its ascending outputs. NaN
    if the weights of one kind are zero.
    """
    area, positives, others, at = 0.0, 0.0, 0.0, 0
    while at < len(order):
        value, equal_positives, equal_others = outputs[order[at], column], 0.0, 0.0
        while True:
            row = order[at]
            if y[row] == positive:
                equal_positives += weight[row]
            else:
                equal_others += weight[row]
            at += 1
            if at == len(order) or not outputs[order[at], column] == value:
                break
        area += equal_positives * (others + equal_others / 2)
        positives += equal_positives
        others += equal_others
    return area / (positives * others) if positives > 0 and others > 0 else math.nan


@_takes_weight
@entry
def squared_errors(outputs, y, weight, errors):
    """Writes the sum over the rows of weight * (y - output)^2 of each output, and returns the sum of the
    weights.
    """
    squares, total = np.empty(len(outputs)), 0.0
    for k in range(outputs.shape[1]):
        for row in range(len(outputs)):
            error = y[row, k] - outputs[row, k]
            squares[row] = error * error
        errors[k], total = _add_up(squares, weight)
    return total
