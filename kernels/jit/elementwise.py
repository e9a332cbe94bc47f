"""Kernels over arrays, made of functions of one number and compiled by Numba to functions that C can call.

What a function computes is traced (`tracing.py`), written as vector operations (`vector_math.py`) and given
to LLVM as such, 64 bytes at a time (`vectors.py`), so that no loop waits for a compiler to see that it can be
vectorised. A kernel allocates nothing, raises nothing and needs no GIL; it is compiled for the CPU that it
runs on. T is float32 or float64; pointers must be aligned as T is, and arrays may be the same but not overlap
otherwise.

Kernels with a name, those of the records, are kept on disk where Numba keeps what it caches, found by a
digest of all that they are made of.
"""

import ctypes
import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import RLock

import numba
from llvmlite import ir
from nnfast.kernels.jit import vectors
from nnfast.kernels.jit.derivatives import differentiate
from nnfast.kernels.jit.expressions import Graph, NotCompilable, operands_first
from nnfast.kernels.jit.tracing import run
from nnfast.kernels.jit.vector_math import lowered
from nnfast.kernels.jit.vectors import emit_loop
from numba.core import cgutils, types
from numba.extending import intrinsic


@dataclass(frozen=True)
class Kernel:
    """`address` is that of the C function, for as long as the process runs; `call` the same for ctypes."""

    address: int
    call: object = field(repr=False)
    compiled: object = field(repr=False)


# ------------------------------------------------------------------------------------------------------------
# The kernels


def activation(f, df, dtype, *, has_parameter=False, name=None):
    """``void (T *a, T *slope, intptr n, double parameter)``: a holds z, and becomes f(z); slope, unless it is
    NULL, f'(z).

    Parameters
    ----------
    f : callable of (z) or (z, parameter)
    df : callable of (z, a) or (z, a, parameter), or None
        None: the derivative is made from f's own operations.
    name : str or None
        A name under which the kernel is kept on disk.
    """
    graph = Graph(dtype)
    z = graph.input(0)
    own = (graph.input(1),) if has_parameter else ()
    a = one(run(f, graph, (z, *own)))
    slope = differentiate(a, z) if df is None else one(run(df, graph, (z, a, *own)))
    (only,), both = lowered([a]), lowered([a, slope])

    def emit(builder, arguments):
        a, slope, n, parameter = arguments
        scalars = {1: parameter} if has_parameter else {}
        with builder.if_else(cgutils.is_null(builder, slope)) as (alone, with_slope):
            with alone:
                emit_loop(builder, graph, n, {0: a}, scalars, [(only, a)])
            with with_slope:
                emit_loop(builder, graph, n, {0: a}, scalars, [(both[0], a), (both[1], slope)])

    return _compiled(emit, f"TTnd {graph.dtype}", both, name)


def loss(f, df, dtype, *, has_parameter=False, name=None):
    """``void (const T *y, T *z, T *value, const T *parameters, intptr n)``: value becomes f(y, z), and z
    df(y, z), the derivative by z.

    parameters holds a number for each element if f and df take one after y and z, and is not read otherwise.
    df may be None as above.
    """
    graph = Graph(dtype)
    y, z = graph.input(0), graph.input(1)
    own = (graph.input(2),) if has_parameter else ()
    value = one(run(f, graph, (y, z, *own)))
    slope = differentiate(value, z) if df is None else one(run(df, graph, (y, z, *own)))
    outputs = lowered([value, slope])

    def emit(builder, arguments):
        y, z, value, parameters, n = arguments
        inputs = {0: y, 1: z, 2: parameters} if has_parameter else {0: y, 1: z}
        emit_loop(builder, graph, n, inputs, {}, [(outputs[0], value), (outputs[1], z)])

    return _compiled(emit, f"TTTTn {graph.dtype}", outputs, name)


def output(f, dtype, *, name=None):
    """``void (T *z, intptr n)``: z becomes f(z)."""
    graph = Graph(dtype)
    outputs = lowered([one(run(f, graph, (graph.input(0),)))])
    return _compiled(
        lambda builder, arguments: emit_loop(
            builder, graph, arguments[1], {0: arguments[0]}, {}, [(outputs[0], arguments[0])]
        ),
        f"Tn {graph.dtype}",
        outputs,
        name,
    )


def elementwise(function, n_arrays, n_scalars, dtype, *, name=None):
    """``void (T *x0, T *x1, ..., const double *scalars, intptr n)``: x0, x1, ... become what ``function(x0,
    x1, ..., *scalars)`` returns.

    That is a tuple of numbers for the first arrays, or one number for the first. What is made of scalars
    alone, of which there are n_scalars, is rounded to T last.
    """
    graph = Graph(dtype)
    inputs = [graph.input(i) for i in range(n_arrays + n_scalars)]
    returned = run(function, graph, inputs)
    outputs = lowered(returned if isinstance(returned, list) else [returned])
    if len(outputs) > n_arrays:
        raise NotCompilable(f"returns {len(outputs)} numbers for {n_arrays} arrays")

    def emit(builder, arguments):
        *arrays, scalars, n = arguments
        loaded = {
            n_arrays + i: builder.load(builder.gep(scalars, [ir.IntType(64)(i)])) for i in range(n_scalars)
        }
        emit_loop(builder, graph, n, dict(enumerate(arrays)), loaded, list(zip(outputs, arrays)))

    return _compiled(emit, f"{'T' * n_arrays}Dn {graph.dtype}", outputs, name)


def try_to_trace(function, n_arguments, dtype):
    """Raise what is wrong with a function of so many numbers that should return one."""
    graph = Graph(dtype)
    one(run(function, graph, [graph.input(i) for i in range(n_arguments)]))


def one(result):
    if isinstance(result, list):
        raise NotCompilable(f"returns {len(result)} numbers: it must return one")
    return result


# ------------------------------------------------------------------------------------------------------------
# Compiling

_NUMBA_TYPES = {"n": types.intp, "d": types.float64, "D": types.CPointer(types.float64)}
_C_TYPES = {"n": ctypes.c_ssize_t, "d": ctypes.c_double}
_made = {}
_lock = RLock()


def _compiled(emit, signature, outputs, name):
    """The kernel that `emit` writes; `signature` is a letter an argument, and the dtype. Made once for all
    that compute the same.
    """
    digest = hashlib.sha256(f"{signature}\n{_listing(outputs)}\n{_sources()}".encode()).hexdigest()
    with _lock:
        if digest not in _made:
            _made[digest] = _compile(emit, signature, name and f"{name}_{digest[:24]}")
        return _made[digest]


def _compile(emit, signature, kept_as):
    letters, dtype = signature.split()
    pointer = types.CPointer(getattr(types, dtype))
    arguments = [_NUMBA_TYPES.get(letter, pointer) for letter in letters]

    def typed(*given):
        def generate(context, builder, signature, values):
            emit(builder, values)
            return context.get_dummy_value()

        return types.void(*given), generate

    function = _template(len(letters), typed, kept_as or "kernel")
    declared = types.void(*arguments)
    if kept_as:
        try:
            compiled = numba.cfunc(declared, cache=True)(function)
        except (RuntimeError, OSError):  # nowhere to write, or not to be written
            compiled = numba.cfunc(declared)(function)
    else:
        compiled = numba.cfunc(declared)(function)
    prototype = ctypes.CFUNCTYPE(None, *(_C_TYPES.get(letter, ctypes.c_void_p) for letter in letters))
    return Kernel(compiled.address, prototype(compiled.address), compiled)


def _template(n_arguments, typed, name):
    """A function of so many arguments that is the vector code. Numba finds what it has cached by the
    qualified name and this file.
    """
    names = ", ".join(f"x{i}" for i in range(n_arguments))
    namespace = {"typed": typed, "__name__": __name__}
    code = (
        f"def body(context, {names}):\n    return typed({names})\ndef kernel({names}):\n    body({names})\n"
    )
    exec(compile(code, __file__, "exec"), namespace)
    namespace["body"] = intrinsic(namespace["body"])
    function = namespace["kernel"]
    function.__qualname__ = name
    return function


def _listing(outputs):
    """Everything that the operations are, as text."""
    lines = (
        f"{node.number} {type(node).__name__} {node.op} {node.value} {[each.number for each in node.args]}"
        for node in operands_first(outputs)
    )
    return "\n".join([*lines, str([node.number for node in outputs])])


@cache
def _sources():
    """The digest of the files that write the code of what others have put together."""
    return hashlib.sha256(
        b"".join(Path(file).read_bytes() for file in (__file__, vectors.__file__))
    ).hexdigest()
