"""What Numba has no words for: arrays at an offset of a larger one, products by BLAS, calls of C functions by
address, the processor's clock.

Each of these is a few instructions; nothing counts references or allocates.
"""

from llvmlite import ir
from nnfast.kernels.jit.compiling import inner
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic
from numba.np.arrayobj import make_array, populate_array


def _view(context, builder, typ, memory, at, lengths):
    """An array of these lengths, in row-major order, of the numbers of `memory` from number `at` on."""
    view = make_array(typ)(context, builder)
    size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(typ.dtype)))
    steps = [size] if len(lengths) == 1 else [builder.mul(size, lengths[1]), size]
    populate_array(
        view,
        data=cgutils.gep(builder, memory.data, at),
        shape=lengths,
        strides=steps,
        itemsize=size,
        meminfo=None,
        parent=None,
    )
    return view._getvalue()


@intrinsic
def vector(typing_context, memory, at, n):
    """Shape (n,): n numbers of `memory`."""
    typ = types.Array(memory.dtype, 1, "C")

    def generate(context, builder, signature, values):
        return _view(
            context, builder, typ, make_array(memory)(context, builder, values[0]), values[1], [values[2]]
        )

    return typ(memory, types.intp, types.intp), generate


@intrinsic
def matrix(typing_context, memory, at, n, m):
    """Shape (n, m): n m numbers of `memory`, row by row."""
    typ = types.Array(memory.dtype, 2, "C")

    def generate(context, builder, signature, values):
        return _view(
            context, builder, typ, make_array(memory)(context, builder, values[0]), values[1], values[2:]
        )

    return typ(memory, types.intp, types.intp, types.intp), generate


@inner
def clear(x):
    """Set all numbers to zero."""
    for i in range(len(x)):
        x[i] = 0


@intrinsic
def address(typing_context, memory, at):
    """Of number `at` of a one-dimensional array."""

    def generate(context, builder, signature, values):
        data = make_array(memory)(context, builder, values[0]).data
        return builder.ptrtoint(cgutils.gep(builder, data, values[1]), values[1].type)

    return types.intp(memory, types.intp), generate


@intrinsic
def load(typing_context, address, dtype):
    """The number of a dtype (such as `np.float32`) at an address."""
    loaded = dtype.dtype

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], context.get_data_type(loaded).as_pointer())
        return context.unpack_value(builder, loaded, pointer)

    return loaded(types.intp, dtype), generate


@intrinsic
def call(typing_context, function, arguments):
    """Call the C function at an address with a tuple of integers (addresses among them) and numbers; it
    returns nothing.
    """

    def generate(context, builder, signature, values):
        function, arguments = values
        arguments = cgutils.unpack_tuple(builder, arguments)
        prototype = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        builder.call(builder.inttoptr(function, prototype.as_pointer()), arguments)
        return context.get_dummy_value()

    return types.void(types.intp, arguments), generate


def blas(dtype):
    """Addresses in BLAS, as SciPy offers it: of products of matrices, of vectors in double precision, and of
    a number and a vector.
    """
    names = ("dgemm", "ddot", "daxpy") if dtype.itemsize == 8 else ("sgemm", "dsdot", "saxpy")
    return [get_cython_function_address("scipy.linalg.cython_blas", name) for name in names]


@intrinsic
def add_product(typing_context, gemm, n, m, k, memory, a, a_transposed, b, b_transposed, factor, out):
    """out <- factor out + A @ B, of shapes (n, m), (n, k) and (k, m), all row by row from numbers a, b and
    out of `memory` on; where they are said to be transposed, A lies there as (k, n) and B as (m, k).
    """

    def generate(context, builder, signature, values):
        gemm, n, m, k, memory_, a, a_transposed, b, b_transposed, factor, out = values
        data = make_array(memory)(context, builder, memory_).data
        number, small, letter = context.get_data_type(memory.dtype), ir.IntType(32), ir.IntType(8)

        def by_address(value):
            return cgutils.alloca_once_value(builder, value)

        def integer(value):
            return by_address(builder.trunc(value, small))

        def letters(transposed):
            return by_address(builder.select(transposed, letter(ord("T")), letter(ord("N"))))

        def first(at):
            return cgutils.gep(builder, data, at)

        # BLAS goes column by column: what it takes for the transposes of A, B and out, in its words out.T =
        # B.T @ A.T.
        arguments = [
            letters(b_transposed),
            letters(a_transposed),
            integer(m),
            integer(n),
            integer(k),
            by_address(number(1)),
            first(b),
            integer(builder.select(b_transposed, k, m)),
            first(a),
            integer(builder.select(a_transposed, n, k)),
            by_address(factor),
            first(out),
            integer(m),
        ]
        prototype = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        builder.call(builder.inttoptr(gemm, prototype.as_pointer()), arguments)
        return context.get_dummy_value()

    size = types.intp
    return types.void(
        size, size, size, size, memory, size, types.boolean, size, types.boolean, memory.dtype, size
    ), generate


@intrinsic
def dot(typing_context, function, n, x, y):
    """The sum of the products of n numbers at two addresses."""

    def generate(context, builder, signature, values):
        function, n, x, y = values
        small = ir.IntType(32)
        length, step = (
            cgutils.alloca_once_value(builder, builder.trunc(n, small)),
            cgutils.alloca_once_value(builder, small(1)),
        )
        arguments = [length, x, step, y, step]
        prototype = ir.FunctionType(ir.DoubleType(), [argument.type for argument in arguments])
        return builder.call(builder.inttoptr(function, prototype.as_pointer()), arguments)

    return types.float64(*[types.intp] * 4), generate


@intrinsic
def add_multiple(typing_context, axpy, n, factor, x, y):
    """y <- y + factor x, of n numbers at two addresses."""

    def generate(context, builder, signature, values):
        axpy, n, factor, x, y = values
        small = ir.IntType(32)
        length, step = (
            cgutils.alloca_once_value(builder, builder.trunc(n, small)),
            cgutils.alloca_once_value(builder, small(1)),
        )
        arguments = [length, cgutils.alloca_once_value(builder, factor), x, step, y, step]
        prototype = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        builder.call(builder.inttoptr(axpy, prototype.as_pointer()), arguments)
        return context.get_dummy_value()

    size = types.intp
    return types.void(size, size, factor, size, size), generate


@intrinsic
def ticks(typing_context):
    """The processor's cycle counter: what a profile counts time in."""

    def generate(context, builder, signature, values):
        function = ir.FunctionType(ir.IntType(64), [])
        return builder.call(
            cgutils.get_or_insert_function(builder.module, function, "llvm.readcyclecounter"), []
        )

    return types.int64(), generate
