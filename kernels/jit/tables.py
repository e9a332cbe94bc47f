"""Rows of a table: gathered into a chunk's inputs, or, of a sparse table, taken as they are by the first
layer.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from nnfast.kernels.jit.clock import GATHER, enter
from nnfast.kernels.jit.compiling import inner
from nnfast.kernels.jit.dropout import layer_key, row_key, unit_hash
from nnfast.kernels.jit.memory import add_multiple, address, call, clear, load, matrix, vector
from numba import cfunc, types
from numba.np.numpy_support import from_dtype


class TableArrays(NamedTuple):
    """X by its address, or in CSR form; y or labels, and weights: arrays that there are not have no
    elements.
    """

    x: int
    row_bytes: int
    column_bytes: int
    gather: int  # the kernel for X's dtype, `gatherer`'s
    is_csr: bool
    is_sparse: bool  # in CSR form, and so sparse that the first layer goes over the non-zeros
    data: object
    # the user's, whose other threads may write to them at any time: entries that are in no column are left
    # out
    indices: object
    indptr: object
    y: object  # T
    labels: object
    weight: object  # float64


@cache
def gatherer(source, dtype):
    """Address of a kernel that writes rows of a table of numbers of one dtype to an array of another, and
    what keeps it alive.
    """
    source, target = from_dtype(source), from_dtype(dtype)
    number, result = np.dtype(source.name if source.name != "bool" else "uint8").type, np.dtype(dtype).type

    @cfunc(
        types.void(
            types.intp,
            types.intp,
            types.intp,
            types.CPointer(types.intp),
            types.intp,
            types.intp,
            types.CPointer(target),
        )
    )
    def gather(start, row_bytes, column_bytes, rows, n_rows, n_columns, out):
        for row in range(n_rows):
            at = start + rows[row] * row_bytes
            for column in range(n_columns):
                out[row * n_columns + column] = result(load(at + column * column_bytes, number))

    return gather.address, gather


@inner
def gather(net, table, rows, first, step, drops):
    """The rows of a chunk to where its inputs lie, and dropout of inputs."""
    enter(net.clock, GATHER, 0)
    if table.is_sparse:
        return
    n, units, at = len(rows), net.layers[0].n_in, net.layers[0].x
    if table.is_csr:
        densify(table, rows, matrix(net.memory, at, n, units))
    else:
        call(
            table.gather,
            (
                table.x,
                table.row_bytes,
                table.column_bytes,
                address(rows, 0),
                n,
                units,
                address(net.memory, at),
            ),
        )
    if drops and net.input_drop_below[0] > 0:
        key, zero = layer_key(net.seed, np.uint64(step), np.uint64(0)), net.memory.dtype.type(0)
        for row in range(n):
            x, own = vector(net.memory, at + row * units, units), row_key(key, np.uint64(first + row))
            for column in range(units):
                x[column] = (
                    x[column] * net.input_scale[0]
                    if unit_hash(own, np.uint32(column)) >= net.input_drop_below[0]
                    else zero
                )


@inner
def densify(table, rows, x):
    for row in range(len(rows)):
        for column in range(x.shape[1]):
            x[row, column] = 0
        for entry in range(table.indptr[rows[row]], table.indptr[rows[row] + 1]):
            column = table.indices[entry]
            if 0 <= column < x.shape[1]:
                x[row, column] += table.data[entry]


@inner
def entry_factor(net, key, column):
    """What input dropout multiplies a non-zero by."""
    return (
        net.input_scale[0]
        if unit_hash(key, np.uint32(column)) >= net.input_drop_below[0]
        else net.memory.dtype.type(0)
    )


@inner
def forward_sparse(net, table, rows, first, step, drops):
    """z <- X @ w of the first layer, for a chunk's rows, over their non-zeros."""
    layer, memory, bytes_a_unit = net.layers[0], net.memory, net.memory.itemsize
    z, w = address(memory, layer.a), address(memory, layer.w)
    clear(vector(memory, layer.a, len(rows) * layer.n_out))
    add_sparse(net, table, rows, first, step, drops, z, w, True, layer.n_out * bytes_a_unit)


@inner
def gradient_sparse(net, table, rows, first, step, drops, dz):
    """Add X.T @ dz to the first layer's gradient likewise; the first rows of a batch begin it anew. dz: where
    it is.
    """
    layer, memory, bytes_a_unit = net.layers[0], net.memory, net.memory.itemsize
    if first == 0:
        clear(vector(memory, net.gradient + layer.w, layer.n_in * layer.n_out))
    g = address(memory, net.gradient + layer.w)
    add_sparse(
        net, table, rows, first, step, drops, address(memory, dz), g, False, layer.n_out * bytes_a_unit
    )


@inner
def add_sparse(net, table, rows, first, step, drops, of_rows, of_columns, to_rows, stride):
    """For each non-zero, add its multiple of its column's vector to its row's, or the other way round. They
    begin at two addresses, a stride apart.
    """
    drops = drops and net.input_drop_below[0] > 0
    key, n_out, one = (
        layer_key(net.seed, np.uint64(step), np.uint64(0)),
        net.layers[0].n_out,
        net.memory.dtype.type(1),
    )
    for row in range(len(rows)):
        own, of_row = row_key(key, np.uint64(first + row)), of_rows + row * stride
        for entry in range(table.indptr[rows[row]], table.indptr[rows[row] + 1]):
            column = table.indices[entry]
            if not 0 <= column < net.layers[0].n_in:
                continue
            value, of_column = (
                table.data[entry] * (entry_factor(net, own, column) if drops else one),
                of_columns + column * stride,
            )
            if to_rows:
                add_multiple(net.axpy, n_out, value, of_column, of_row)
            else:
                add_multiple(net.axpy, n_out, value, of_row, of_column)
