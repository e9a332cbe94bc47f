"""A network in training: rows forward through its layers, the loss, and the way back to the gradient.
Products are BLAS's, all else is loops.

Read `forward`, `loss_and_gradient` and `backward` first: they are the textbook's. What is done to single
numbers (activations, losses, updates) comes from the records' own formulas, which `elementwise.py` compiles;
those kernels are called by their addresses.

All numbers of the arithmetic, T, lie in one array, `net.memory`: whatever is called "where" is the place of a
first number there. Rows are those of one chunk of a batch, n of them, and a layer's values an array of shape
(n, n_out), row by row.
"""

import math
from typing import NamedTuple

import numpy as np
from nnfast.kernels.jit.clock import BACKWARD, FORWARD, GRADIENT, LOSS, NORMALIZATION, enter
from nnfast.kernels.jit.compiling import inner
from nnfast.kernels.jit.dropout import drop_out, layer_key, row_key
from nnfast.kernels.jit.memory import add_product, address, call, clear, matrix, vector
from nnfast.kernels.jit.tables import forward_sparse, gather, gradient_sparse

OUTPUT_KINDS = ("identity", "logistic", "exp", "softmax")
SOFTMAX = OUTPUT_KINDS.index("softmax")

# A layer. All but the sizes, the activation and dropout's numbers are where something is.
LAYER = np.dtype(
    [
        ("n_in", np.int64),
        ("n_out", np.int64),
        # what it learns: see Net.gradient
        ("w", np.int64),
        ("b", np.int64),
        ("scale", np.int64),
        ("shift", np.int64),
        ("mean", np.int64),
        ("variance", np.int64),  # running statistics
        # its inputs, the values of the layer below, and its own; those of the last become dz
        ("x", np.int64),
        ("a", np.int64),
        ("slope", np.int64),  # derivatives of its activation
        # what was normalised, before scale and shift, and what it was divided by: normalization.py
        ("normal", np.int64),
        ("root", np.int64),
        ("activation", np.int64),
        ("parameter", np.float64),  # the kernel's address, and its own
        # see drop_out
        ("drop_below", np.uint32),
        ("kept_scale", np.float64),
        ("kept_shift", np.float64),
        ("dropped", np.float64),
    ]
)


class Net(NamedTuple):
    """A network, its parameters, and room for what a chunk's rows make of them."""

    layers: object  # LAYER, each
    memory: object  # T
    scalars: object  # float64, for calls of kernels
    losses: object  # float64: of the chunk's rows
    clock: object  # see clock.py
    capacity: int  # rows of a chunk
    n_weights: int  # the first numbers of memory; biases, scales and shifts come next
    n_parameters: int
    gradient: int  # where that by the number at the beginning of memory is; the others follow alike
    m: int  # where the optimizer's moments are
    v: int
    dz: int  # where there is room for one layer's dz, and for another's
    other_dz: int
    columns: int  # where there is room for two numbers of each unit of the widest layer
    of_rows: object  # three places where there is room for a number of each row
    of_outputs: object  # four places where there is room for a number of each row's every output
    gemm: int  # addresses in BLAS
    dot: int
    axpy: int
    normalize: int  # addresses of the kernels of normalization.py; 0: none
    normalize_back: int
    by_batch: bool
    eps: float
    momentum: float  # weight of a batch in the running statistics
    of_classes: bool  # whether the loss is a function of softmax's probabilities
    loss: int  # address of the kernel for outputs, or, of losses of classes, for rows
    slope: int  # address of the kernel for derivatives, of losses of classes
    exp: int  # address
    output: int  # address of the kernel of the output activation, if it is one of single numbers
    output_kind: int
    loss_parameters: int  # where there is one for each row's every output
    mean_factor: float  # by which a row's sum over its outputs becomes its loss
    slope_factor: object  # T: by which its derivatives become what is sent back
    input_drop_below: object  # uint32, in an array of one
    input_scale: object  # T, likewise
    seed: object  # uint64


# ------------------------------------------------------------------------------------------------------------
# Forward


@inner
def forward(net, table, rows, first, step, trains, drops):
    """Bring the table's rows through all layers, to the logits.

    first: the number of the first of them in its batch, step: steps done, which dropout goes by; trains:
    whether slopes are wanted and a batch is normalised by its own statistics; drops: whether units are
    dropped.
    """
    n, last = len(rows), len(net.layers) - 1
    gather(net, table, rows, first, step, drops)
    for i in range(last + 1):
        layer = net.layers[i]
        enter(net.clock, FORWARD, i)
        z = matrix(net.memory, layer.a, n, layer.n_out)
        if i == 0 and table.is_sparse:
            forward_sparse(net, table, rows, first, step, drops)
        else:
            add_product(
                net.gemm,
                n,
                layer.n_out,
                layer.n_in,
                net.memory,
                layer.x,
                False,
                layer.w,
                False,
                net.memory.dtype.type(0),
                layer.a,
            )
        add_to_rows(z, vector(net.memory, layer.b, layer.n_out))
        if i < last:
            if net.normalize:
                enter(net.clock, NORMALIZATION, i)
                learned = (layer.normal, layer.root, layer.scale, layer.shift, layer.mean, layer.variance)
                sizes = (address(net.memory, 0), n, layer.n_out, layer.a)
                call(net.normalize, (*sizes, *learned, net.columns, np.intp(trains), net.eps, net.momentum))
                enter(net.clock, FORWARD, i)
            activate(net, i, n, first, step, trains, drops)


@inner
def add_to_rows(z, b):
    for row in range(len(z)):
        for unit in range(z.shape[1]):
            z[row, unit] += b[unit]


@inner
def activate(net, i, n, first, step, trains, drops):
    """The activation and dropout of hidden layer i, in place."""
    layer, memory = net.layers[i], net.memory
    slopes = address(memory, layer.slope) if trains else 0
    call(layer.activation, (address(memory, layer.a), slopes, n * layer.n_out, layer.parameter))
    if drops and layer.drop_below > 0:
        key = layer_key(net.seed, np.uint64(step), np.uint64(i + 1))
        for row in range(n):
            at = row * layer.n_out
            a, slope = (
                vector(memory, layer.a + at, layer.n_out),
                vector(memory, layer.slope + at, layer.n_out),
            )
            drop_out(layer, row_key(key, np.uint64(first + row)), a, slope)


# ------------------------------------------------------------------------------------------------------------
# The loss


@inner
def loss_and_gradient(net, table, rows, trains):
    """The sum of the rows' losses, times their weights. Logits become what is sent back where `trains`, else
    nothing of use.
    """
    enter(net.clock, LOSS, 0)
    n, n_outputs, logits = len(rows), net.layers[len(net.layers) - 1].n_out, net.layers[len(net.layers) - 1].a
    z, losses = matrix(net.memory, logits, n, n_outputs), vector(net.losses, 0, n)
    if net.of_classes:
        loss_and_gradient_of_classes(net, table.labels, rows, logits, z, trains, losses)
    else:
        loss_and_gradient_of_outputs(net, table.y, rows, logits, n_outputs, losses)
    total = 0.0
    for row in range(n):
        weight = table.weight[rows[row]] if len(table.weight) else 1.0
        total += losses[row] * weight
        factor = net.slope_factor * z.dtype.type(weight)
        if trains and factor != 1:
            for output in range(n_outputs):
                z[row, output] *= factor
    return total


@inner
def loss_and_gradient_of_outputs(net, y, rows, logits, n_outputs, losses):
    """Losses that are sums or means of terms of single outputs."""
    n, memory = len(rows), net.memory
    targets, terms = (
        matrix(memory, net.of_outputs[0], n, n_outputs),
        matrix(memory, net.of_outputs[1], n, n_outputs),
    )
    for row in range(n):
        for output in range(n_outputs):
            targets[row, output] = y[rows[row], output]
    at = (
        address(memory, net.of_outputs[0]),
        address(memory, logits),
        address(memory, net.of_outputs[1]),
        address(memory, net.loss_parameters),
    )
    call(net.loss, (*at, n * n_outputs))
    for row in range(n):
        total = 0.0
        for output in range(n_outputs):
            total += terms[row, output]
        losses[row] = total * net.mean_factor


@inner
def loss_and_gradient_of_classes(net, labels, rows, logits, z, trains, losses):
    """Losses that are functions of softmax's probabilities: see nnfast.losses.LossRecord."""
    n, n_classes = z.shape
    memory, T, (at_log_p, at_q, at_mean) = net.memory, net.memory.dtype.type, net.of_rows
    log_p, q, mean_log_p = vector(memory, at_log_p, n), vector(memory, at_q, n), vector(memory, at_mean, n)
    for row in range(n):
        shift_down(z, row)
        log_p[row] = z[row, labels[rows[row]]]
        total = T(0)
        for k in range(n_classes):
            total += z[row, k]
        mean_log_p[row] = total / T(n_classes)
    call(net.exp, (address(memory, logits), n * n_classes))
    for row in range(n):
        label, others = labels[rows[row]], T(0)
        for k in range(n_classes):
            others += z[row, k] if k != label else T(0)
        total = others + z[row, label]
        q[row] = others / total
        log_total = T(math.log(total))
        mean_log_p[row] -= log_total
        log_p[row] = math.log1p(-q[row]) if q[row] < 0.5 else log_p[row] - log_total
        inverse = T(1) / total
        for k in range(n_classes):
            z[row, k] *= inverse
    net.scalars[0], net.scalars[1] = n_classes, memory[net.loss_parameters]
    if trains:
        slopes_of_classes(net, labels, rows, logits, z, log_p, q)
    parameter = address(net.scalars, 1)
    call(net.loss, (address(memory, at_log_p), address(memory, at_q), address(memory, at_mean), parameter, n))
    for row in range(n):
        losses[row] = log_p[row]


@inner
def slopes_of_classes(net, labels, rows, logits, z, log_p, q):
    """Probabilities z become the derivatives by the logits."""
    n, n_classes = z.shape
    memory, T, (at_is_y, at_p, at_q, at_log_p) = net.memory, net.memory.dtype.type, net.of_outputs
    is_y, p = matrix(memory, at_is_y, n, n_classes), matrix(memory, at_p, n, n_classes)
    own_q, own_log_p = matrix(memory, at_q, n, n_classes), matrix(memory, at_log_p, n, n_classes)
    for row in range(n):
        label = labels[rows[row]]
        for k in range(n_classes):
            is_y[row, k], p[row, k], own_q[row, k], own_log_p[row, k] = (
                T(k == label),
                z[row, label],
                q[row],
                log_p[row],
            )
    at = (
        address(memory, logits),
        address(memory, at_is_y),
        address(memory, at_p),
        address(memory, at_q),
        address(memory, at_log_p),
    )
    call(net.slope, (*at, address(net.scalars, 0), n * n_classes))


@inner
def shift_down(z, row):
    """A row less its largest number."""
    top = z[row, 0]
    for k in range(1, z.shape[1]):
        top = max(top, z[row, k])
    for k in range(z.shape[1]):
        z[row, k] -= top


@inner
def write_outputs(net, logits, out, n_outputs):
    """What the output activation makes of the logits, to `out`."""
    for i in range(len(out)):
        out[i] = logits[i]
    z = matrix(out, 0, len(out) // n_outputs, n_outputs)
    if net.output_kind == SOFTMAX:
        for row in range(len(z)):
            shift_down(z, row)
    if net.output:
        call(net.output, (address(out, 0), len(out)))
    if net.output_kind == SOFTMAX:
        for row in range(len(z)):
            total = z.dtype.type(0)
            for k in range(n_outputs):
                total += z[row, k]
            for k in range(n_outputs):
                z[row, k] /= total


# ------------------------------------------------------------------------------------------------------------
# Backward


@inner
def backward(net, table, rows, first, step, drops):
    """Add the rows' part to the gradient, from what `forward` and `loss_and_gradient` have left; the first
    rows of a batch begin it anew.
    """
    n, memory = len(rows), net.memory
    one, zero = memory.dtype.type(1), memory.dtype.type(0)
    kept = one if first > 0 else zero
    if first == 0:
        clear(vector(memory, net.gradient + net.n_weights, net.n_parameters - net.n_weights))
    at, spare, other = net.layers[len(net.layers) - 1].a, net.dz, net.other_dz
    for i in range(len(net.layers) - 1, -1, -1):
        layer = net.layers[i]
        enter(net.clock, GRADIENT, i)
        dz = matrix(memory, at, n, layer.n_out)
        if i == 0 and table.is_sparse:
            gradient_sparse(net, table, rows, first, step, drops, at)
        else:
            add_product(
                net.gemm,
                layer.n_in,
                layer.n_out,
                n,
                memory,
                layer.x,
                True,
                at,
                False,
                kept,
                net.gradient + layer.w,
            )
        if i == len(net.layers) - 1 or not net.by_batch:  # a batch's mean takes any bias away
            add_up_rows(dz, vector(memory, net.gradient + layer.b, layer.n_out))
        if i > 0:
            enter(net.clock, BACKWARD, i)
            add_product(net.gemm, n, layer.n_in, layer.n_out, memory, at, False, layer.w, True, zero, spare)
            multiply(
                vector(memory, spare, n * layer.n_in), vector(memory, net.layers[i - 1].slope, n * layer.n_in)
            )
            if net.normalize:
                enter(net.clock, NORMALIZATION, i - 1)
                below = net.layers[i - 1]
                gradients = (net.gradient + below.scale, net.gradient + below.shift)
                call(
                    net.normalize_back,
                    (
                        address(memory, 0),
                        n,
                        below.n_out,
                        spare,
                        below.normal,
                        below.root,
                        below.scale,
                        *gradients,
                    ),
                )
            at, spare, other = spare, other, spare


@inner
def add_up_rows(dz, db):
    for row in range(len(dz)):
        for unit in range(dz.shape[1]):
            db[unit] += dz[row, unit]


@inner
def multiply(x, y):
    for i in range(len(x)):
        x[i] *= y[i]
