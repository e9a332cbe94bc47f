"""What Numba has no words for: calling a C function by its address, reading memory by its address, the processor's clock."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def call(typing_context, address, arguments):
    """Call the C function at an address with a tuple of integers (addresses among them) and numbers; it returns nothing."""

    def generate(context, builder, signature, values):
        address, arguments = values
        arguments = cgutils.unpack_tuple(builder, arguments)
        function = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        builder.call(builder.inttoptr(address, function.as_pointer()), arguments)
        return context.get_dummy_value()

    return types.void(types.intp, arguments), generate


@intrinsic
def load(typing_context, address, dtype):
    """The number of a dtype (such as `np.float32`) at an address."""
    loaded = dtype.dtype

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], context.get_data_type(loaded).as_pointer())
        return context.unpack_value(builder, loaded, pointer)

    return loaded(types.intp, dtype), generate


@intrinsic
def ticks(typing_context):
    """The processor's cycle counter: what a profile counts time in."""

    def generate(context, builder, signature, values):
        function = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.readcyclecounter"), [])

    return types.int64(), generate
