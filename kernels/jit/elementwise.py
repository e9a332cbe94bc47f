"""Kernels over arrays, made of functions of one number and compiled by Numba to functions that C can call.

What a function computes is traced (`tracing.py`), written as vector operations (`vector_math.py`) and given
to LLVM as such, 64 bytes at a time, so that no loop waits for a compiler to see that it can be vectorised. A
kernel allocates nothing, raises nothing and needs no GIL; it is compiled for the CPU that it runs on. T is
float32 or float64; pointers must be aligned as T is, and arrays may be the same but not overlap otherwise.

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
import numpy as np
from llvmlite import ir
from nnfast.kernels.jit.derivatives import differentiate
from nnfast.kernels.jit.expressions import Graph, Integer, NotCompilable, operands_first
from nnfast.kernels.jit.tracing import run
from nnfast.kernels.jit.vector_math import lowered
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

VECTOR_BYTES = 64


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
                _emit_loop(builder, graph, n, {0: a}, scalars, [(only, a)])
            with with_slope:
                _emit_loop(builder, graph, n, {0: a}, scalars, [(both[0], a), (both[1], slope)])

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
        _emit_loop(builder, graph, n, inputs, {}, [(outputs[0], value), (outputs[1], z)])

    return _compiled(emit, f"TTTTn {graph.dtype}", outputs, name)


def output(f, dtype, *, name=None):
    """``void (T *z, intptr n)``: z becomes f(z)."""
    graph = Graph(dtype)
    outputs = lowered([one(run(f, graph, (graph.input(0),)))])
    return _compiled(
        lambda builder, arguments: _emit_loop(
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
        _emit_loop(builder, graph, n, dict(enumerate(arrays)), loaded, list(zip(outputs, arrays)))

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
    """The digest of this file, which writes the code of what others have put together."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


# ------------------------------------------------------------------------------------------------------------
# Vector code


def _emit_loop(builder, graph, n, inputs, scalars, outputs):
    """Over n elements: `inputs` are pointers and `scalars` float64 numbers, by the number of the input that
    they are; outputs (node, pointer).

    In two rounds: whole vectors, where nothing but the operations is in the loop, then the rest by way of one
    vector on the stack.
    """
    real = ir.DoubleType() if graph.is_double else ir.FloatType()
    size = graph.dtype.itemsize
    vector = ir.VectorType(real, VECTOR_BYTES // size)
    width, zero = n.type(vector.count), n.type(0)
    given = {}
    for node, value in _of_scalars(builder, [node for node, _ in outputs], scalars).items():
        given[node] = _splat(builder, vector, value if graph.is_double else builder.fptrunc(value, real))
    needed = {node.value for node in operands_first([node for node, _ in outputs]) if node.op == "input"}
    inputs = {number: pointer for number, pointer in inputs.items() if number in needed}
    pointers = [*inputs.values(), *(pointer for _, pointer in outputs)]
    buffers = [builder.bitcast(cgutils.alloca_once(builder, vector), real.as_pointer()) for _ in pointers]
    left = builder.srem(n, width)
    whole = builder.sub(n, left)
    with cgutils.for_range(builder, n.type(2)) as loop:
        is_rest = builder.icmp_signed("!=", loop.index, zero)
        copied = builder.select(is_rest, left, zero)
        ends = [builder.gep(pointer, [whole]) for pointer in pointers]
        for end, buffer in zip(ends[: len(inputs)], buffers):
            _copy(builder, end, buffer, copied)
        chosen = [builder.select(is_rest, buffer, pointer) for buffer, pointer in zip(buffers, pointers)]
        with cgutils.for_range_slice(builder, zero, builder.select(is_rest, left, whole), width, n.type) as (
            start,
            _,
        ):
            places = [
                builder.bitcast(builder.gep(pointer, [start]), vector.as_pointer()) for pointer in chosen
            ]
            loaded = {number: builder.load(place, align=size) for number, place in zip(inputs, places)}
            values = _Vectors(builder, graph, vector).values([node for node, _ in outputs], loaded, given)
            for value, place in zip(values, places[len(inputs) :]):
                builder.store(value, place, align=size)
        for end, buffer in zip(ends[len(inputs) :], buffers[len(inputs) :]):
            _copy(builder, buffer, end, copied)


def _of_scalars(builder, outputs, scalars):
    """What there is in float64 of the nodes that are made of scalars alone, which are rounded last: 1 - beta
    has all digits of T so, as in NumPy.
    """
    made = {}
    for node in operands_first(outputs):
        if node.op == "input" and node.value in scalars:
            made[node] = scalars[node.value]
        elif (
            node.op in _OF_SCALARS
            and any(each in made for each in node.args)
            and all(each in made or each.op == "constant" for each in node.args)
        ):
            operands = [
                made[each] if each in made else ir.Constant(ir.DoubleType(), each.value) for each in node.args
            ]
            made[node] = getattr(builder, _OF_SCALARS[node.op])(*operands)
    return made


def _copy(builder, source, target, n):
    with cgutils.for_range(builder, n) as loop:
        builder.store(builder.load(builder.gep(source, [loop.index])), builder.gep(target, [loop.index]))


def _splat(builder, vector, value):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(
        first,
        ir.Constant(vector, ir.Undefined),
        ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None),
    )


# Functions of libm, called a lane at a time: name of the float64 one by operation, whose float32 twin ends in
# f.
_LIBM = {
    "power": "pow",
    "gamma": "tgamma",
    "lgamma": "lgamma",
    "exp2": "exp2",
    "log2": "log2",
    "log10": "log10",
    "cbrt": "cbrt",
    "tan": "tan",
    "arcsin": "asin",
    "arccos": "acos",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
}
_OF_SCALARS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "neg": "fneg"}
_COMPARISONS = {"lt": "<", "le": "<=", "eq": "=="}
_ARITHMETIC = {
    "add": "fadd",
    "sub": "fsub",
    "mul": "fmul",
    "div": "fdiv",
    "iadd": "add",
    "isub": "sub",
    "iand": "and_",
    "shl": "shl",
    "ashr": "ashr",
    "and": "and_",
    "or": "or_",
}
_INSTRUCTIONS = {"abs": "fabs"} | {
    name: name for name in ("sqrt", "floor", "ceil", "trunc", "rint", "fma", "copysign")
}


@cache
def _features():
    """Of the CPU that Numba compiles for, as LLVM writes them: "+avx2" and the like."""
    return frozenset(cpu_target.target_context.codegen().magic_tuple()[2].split(","))


def _has_scalef():
    return "+avx512f" in _features()


@cache
def _has_fma():
    return "+fma" in _features() or "+neon" in _features()


class _Vectors:
    """Writes nodes as operations on vectors."""

    def __init__(self, builder, graph, vector):
        self.builder, self.graph, self.vector = builder, graph, vector
        self.real, self.lanes = vector.element, vector.count
        self.bits = ir.IntType(64 if graph.is_double else 32)
        self.integers, self.mask = (
            ir.VectorType(self.bits, self.lanes),
            ir.VectorType(ir.IntType(1), self.lanes),
        )
        self.suffix = f"v{self.lanes}f{self.bits.width}"

    def values(self, outputs, inputs, given):
        """Those of the nodes `outputs`, from inputs by their number, and nodes that are given."""
        made = dict(given)
        for node in operands_first(outputs):
            if node not in made:
                made[node] = (
                    inputs[node.value]
                    if node.op == "input"
                    else self._value(node, [made[each] for each in node.args])
                )
        return [made[node] for node in outputs]

    def _value(self, node, args):
        builder, op = self.builder, node.op
        if op == "constant":
            return self._constant(node.value) if not isinstance(node, Integer) else self._integer(node.value)
        if op in _ARITHMETIC:
            return getattr(builder, _ARITHMETIC[op])(*args)
        # a call of libm for each lane would take too long: tails of erfc and ndtr lose some digits
        if op == "fma" and not _has_fma():
            return builder.fadd(builder.fmul(*args[:2]), args[2])
        if op in _INSTRUCTIONS:
            return self._call(f"llvm.{_INSTRUCTIONS[op]}.{self.suffix}", self.vector, args)
        if op in _COMPARISONS:
            return builder.fcmp_ordered(_COMPARISONS[op], *args)
        if op == "ne":
            return builder.fcmp_unordered("!=", *args)
        if op == "select":
            return builder.select(*args)
        if op == "neg":
            return builder.fneg(*args)
        if op == "not":
            return builder.xor(*args, ir.Constant(self.mask, [1] * self.lanes))
        if op == "izero":
            return builder.icmp_signed("==", *args, self._integer(0))
        if op in ("bits", "from_bits"):
            return builder.bitcast(*args, self.integers if op == "bits" else self.vector)
        if op == "scaled":
            return self._scaled(*args)
        if op == "unless_beyond":
            return self._unless_beyond(*args, *node.value)
        return self._lane_by_lane(_LIBM[op], args)

    def _constant(self, value):
        with np.errstate(over="ignore"):
            value = float(self.graph.dtype.type(value))
        return ir.Constant(self.vector, [ir.Constant(self.real, value)] * self.lanes)

    def _integer(self, value):
        return ir.Constant(self.integers, [ir.Constant(self.bits, value)] * self.lanes)

    def _function(self, name, result, args):
        return cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(result, [each.type for each in args]), name
        )

    def _call(self, name, result, args):
        return self.builder.call(self._function(name, result, args), args)

    def _lane_by_lane(self, name, args):
        builder, result = self.builder, ir.Constant(self.vector, ir.Undefined)
        name += "" if self.graph.is_double else "f"
        for lane in range(self.lanes):
            at = ir.IntType(32)(lane)
            value = self._call(name, self.real, [builder.extract_element(each, at) for each in args])
            result = builder.insert_element(result, value, at)
        return result

    def _scaled(self, x, n, k):
        """AVX-512 has an instruction for it; elsewhere by two powers of two."""
        builder = self.builder
        if _has_scalef():
            name = f"llvm.x86.avx512.mask.scalef.{'pd' if self.graph.is_double else 'ps'}.512"
            mask = ir.IntType(self.lanes)(-1)
            return self._call(name, self.vector, [x, n, x, mask, ir.IntType(32)(4)])
        bias, mantissa = (1023, 52) if self.graph.is_double else (127, 23)
        half = builder.ashr(k, self._integer(1))
        for part in (half, builder.sub(k, half)):
            factor = builder.shl(builder.add(part, self._integer(bias)), self._integer(mantissa))
            x = builder.fmul(x, builder.bitcast(factor, self.vector))
        return x

    def _unless_beyond(self, x, y, limit, name):
        """y, or where some |x| is beyond the limit, what libm has for the whole vector."""
        builder = self.builder
        size = self._call(f"llvm.fabs.{self.suffix}", self.vector, [x])
        beyond = builder.fcmp_ordered(">", size, self._constant(limit if _has_fma() else 0.5))
        somewhere = builder.icmp_unsigned(
            "!=", builder.bitcast(beyond, ir.IntType(self.lanes)), ir.IntType(self.lanes)(0)
        )
        before = builder.block
        with builder.if_then(somewhere, likely=False):
            slow = self._lane_by_lane(name, [x])
            after = builder.block
        result = builder.phi(self.vector)
        result.add_incoming(y, before)
        result.add_incoming(slow, after)
        return result
