"""Loops over arrays, in LLVM's operations on vectors of 64 bytes: what `elementwise.py` compiles."""

from functools import cache

import numpy as np
from llvmlite import ir
from nnfast.kernels.jit.expressions import Integer, operands_first
from numba.core import cgutils
from numba.core.registry import cpu_target

VECTOR_BYTES = 64


def emit_loop(builder, graph, n, inputs, scalars, outputs):
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
def features():
    """Of the CPU that Numba compiles for, as LLVM writes them: "+avx2" and the like."""
    return frozenset(cpu_target.target_context.codegen().magic_tuple()[2].split(","))


def _has_scalef():
    return "+avx512f" in features()


@cache
def _has_fma():
    return "+fma" in features() or "+neon" in features()


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
