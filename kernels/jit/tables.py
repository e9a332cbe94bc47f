"""Rows of a table: gathered into a chunk's inputs, or, of a sparse table, taken as they are by the first layer."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import cfunc, njit, types
from numba.np.numpy_support import from_dtype

from nnfast.kernels.jit.calls import call, load
from nnfast.kernels.jit.clock import GATHER, enter
from nnfast.kernels.jit.dropout import layer_key, row_key, unit_hash


class Table(NamedTuple):
    """X by its address, or in CSR form; y or labels, and weights: what there is not has no elements."""

    address: int  # of X
    row_bytes: int
    column_bytes: int
    gather: int  # the kernel for X's dtype, `gatherer`'s
    is_csr: bool
    is_sparse: bool  # in CSR form, and so sparse that the first layer goes over the non-zeros
    data: object
    indices: object
    indptr: object
    y: object
    labels: object
    weight: object  # float64


@cache
def gatherer(source, dtype):
    """Address of a kernel that writes rows of a table of numbers of one dtype to an array of another, and what keeps it alive."""
    source, target = from_dtype(source), from_dtype(dtype)
    number, result = np.dtype(source.name if source.name != "bool" else "uint8").type, np.dtype(dtype).type

    @cfunc(types.void(types.intp, types.intp, types.intp, types.CPointer(types.intp), types.intp, types.intp, types.CPointer(target)))
    def gather(address, row_bytes, column_bytes, rows, n_rows, n_columns, out):
        for row in range(n_rows):
            at = address + rows[row] * row_bytes
            for column in range(n_columns):
                out[row * n_columns + column] = result(load(at + column * column_bytes, number))

    return gather.address, gather


@njit(nogil=True)
def gather(net, table, b, rows, first, step, drops):
    """The rows of a chunk to where its inputs lie, and dropout of inputs."""
    enter(b.clock, GATHER, 0)
    if table.is_sparse:
        return
    n, units = len(rows), net.units[0]
    x = b.a[: n * units].reshape(n, units)
    if table.is_csr:
        x[:] = 0
        for row in range(n):
            for entry in range(table.indptr[rows[row]], table.indptr[rows[row] + 1]):
                x[row, table.indices[entry]] += table.data[entry]
    else:
        call(table.gather, (table.address, table.row_bytes, table.column_bytes, rows.ctypes.data, n, units, x.ctypes.data))
    limit, scale, zero = net.dropout.limits[0], net.dropout.scales[0], x.dtype.type(0)
    if drops and limit > 0:
        key = layer_key(net.dropout.seed, np.uint64(step), np.uint64(0))
        for row in range(n):
            own = row_key(key, np.uint64(first + row))
            for column in range(units):
                x[row, column] = x[row, column] * scale if unit_hash(own, np.uint32(column)) >= limit else zero


@njit(nogil=True)
def entry_factor(dropout, drops, key, column):
    """What input dropout multiplies a non-zero by."""
    if not drops or unit_hash(key, np.uint32(column)) >= dropout.limits[0]:
        return dropout.scales[0] if drops else dropout.values.dtype.type(1)
    return dropout.values.dtype.type(0)


@njit(nogil=True)
def forward_sparse(net, table, w, rows, first, step, drops, z):
    """z <- X @ w, for a chunk's rows, over their non-zeros."""
    drops = drops and net.dropout.limits[0] > 0
    key = layer_key(net.dropout.seed, np.uint64(step), np.uint64(0))
    z[:] = 0
    for row in range(len(rows)):
        own = row_key(key, np.uint64(first + row))
        for entry in range(table.indptr[rows[row]], table.indptr[rows[row] + 1]):
            column = table.indices[entry]
            value = table.data[entry] * entry_factor(net.dropout, drops, own, column)
            for unit in range(z.shape[1]):
                z[row, unit] += value * w[column, unit]


@njit(nogil=True)
def gradient_sparse(net, table, rows, first, step, drops, dz, g):
    """g <- X.T @ dz likewise."""
    drops = drops and net.dropout.limits[0] > 0
    key = layer_key(net.dropout.seed, np.uint64(step), np.uint64(0))
    g[:] = 0
    for row in range(len(rows)):
        own = row_key(key, np.uint64(first + row))
        for entry in range(table.indptr[rows[row]], table.indptr[rows[row] + 1]):
            column = table.indices[entry]
            value = table.data[entry] * entry_factor(net.dropout, drops, own, column)
            for unit in range(dz.shape[1]):
                g[column, unit] += value * dz[row, unit]
