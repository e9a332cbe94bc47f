"""What a function of numbers computes, as a graph of operations: made by running it on `Number`s.

Operations of one graph with equal operands are one node, so a and f'(z) (`derivatives.py`) share what they
have in common. Python's numbers take the width of what they meet, as in NumPy 2: a graph has one width for
all. Comparisons are `Condition`s, and `if` asks its graph what to take them for: see `tracing.py`, which
takes every path in turn.
"""

import operator
from numbers import Real

import numpy as np

LARGEST_POWER = 64  # of x**n by multiplications


class NotCompilable(Exception):
    """Why a function cannot be compiled or differentiated, in words that follow "it"."""


class Graph:
    """Nodes by what they are; `real` is the NumPy type of its numbers."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.is_double = self.dtype.itemsize == 8
        self._nodes = {}
        self.decide = None  # what takes a Condition for True or False

    def node(self, kind, op, *args, value=None):
        key = (kind, op, repr(value), *map(id, args))
        if key not in self._nodes:
            self._nodes[key] = kind(self, op, args, value, len(self._nodes))
        return self._nodes[key]

    def input(self, number):
        return self.node(Number, "input", value=number)

    def constant(self, value):
        return self.node(Number, "constant", value=float(value))


class Node:
    """`op` of the nodes `args`; `value` is what a constant is; `number` counts the graph's nodes, so that
    operands come first.
    """

    __slots__ = ("graph", "op", "args", "value", "number")
    __hash__ = object.__hash__

    def __init__(self, graph, op, args, value, number):
        self.graph, self.op, self.args, self.value, self.number = graph, op, args, value, number


class Condition(Node):
    """A comparison, or several joined; in arithmetic 1 where it is true, and 0 elsewhere."""

    __slots__ = ()

    def __bool__(self):
        if self.graph.decide is None:
            raise NotCompilable("takes a comparison for True or False where its values are not known")
        return self.graph.decide(self)

    def __invert__(self):
        return self.args[0] if self.op == "not" else self.graph.node(Condition, "not", self)

    def __and__(self, other):
        if isinstance(other, Condition):
            return self.graph.node(Condition, "and", self, other)
        return self if other else False

    def __or__(self, other):
        if isinstance(other, Condition):
            return self.graph.node(Condition, "or", self, other)
        return True if other else self

    __rand__, __ror__ = __and__, __or__

    def astype(self, dtype):
        return self.number_of()

    def number_of(self):
        return select(self, self.graph.constant(1), self.graph.constant(0))

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        from nnfast.kernels.jit.functions import call_ufunc  # which needs these classes

        return call_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function, types, args, options):
        from nnfast.kernels.jit.functions import call_numpy

        return call_numpy(function, args, options)


def _arithmetic_of_condition(name):
    return lambda self, *others: getattr(operator, name)(self.number_of(), *others)


def _reflected_of_condition(name):
    return lambda self, other: getattr(operator, name)(other, self.number_of())


for _name in ("add", "sub", "mul", "truediv", "pow", "neg", "pos", "abs", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Condition, f"__{_name}__", _arithmetic_of_condition(_name))
for _name in ("add", "sub", "mul", "truediv"):
    setattr(Condition, f"__r{_name}__", _reflected_of_condition(_name))
Condition.__hash__ = object.__hash__


def _binary(op):
    def apply(self, other):
        other = self.like(other)
        return NotImplemented if other is None else arithmetic(op, self, other)

    def reflected(self, other):
        other = self.like(other)
        return NotImplemented if other is None else arithmetic(op, other, self)

    return apply, reflected


def _comparison(op):
    def apply(self, other):
        other = self.like(other)
        return NotImplemented if other is None else compare(op, self, other)

    return apply


class Number(Node):
    """A real number that is not known yet. Everything that a function may do with one is here or in
    `functions.py`.
    """

    __slots__ = ()
    __hash__ = object.__hash__

    def like(self, other):
        """Another operand as a node, or None if it is no number."""
        if isinstance(other, Number):
            return other
        if isinstance(other, Condition):
            return other.number_of()
        if isinstance(other, (Real, np.generic)) or (isinstance(other, np.ndarray) and other.ndim == 0):
            return self.graph.constant(other)
        return None

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("sub")
    __mul__, __rmul__ = _binary("mul")
    __truediv__, __rtruediv__ = _binary("div")
    __lt__, __le__, __gt__, __ge__ = map(_comparison, ("lt", "le", "gt", "ge"))
    __eq__, __ne__ = map(_comparison, ("eq", "ne"))

    def __neg__(self):
        return self.args[0] if self.op == "neg" else self._of("neg")

    def __pos__(self):
        return self

    def __abs__(self):
        return self if self.op == "abs" else abs(self.args[0]) if self.op == "neg" else self._of("abs")

    def _of(self, op):
        if self.op == "constant":
            return self.graph.constant({"neg": -self.value, "abs": abs(self.value)}[op])
        return self.graph.node(Number, op, self)

    def __pow__(self, exponent):
        exponent = self.like(exponent)
        return NotImplemented if exponent is None else power(self, exponent)

    def __rpow__(self, base):
        base = self.like(base)
        return NotImplemented if base is None else power(base, self)

    def __floordiv__(self, other):
        return unary("floor", self / other)

    def __rfloordiv__(self, other):
        return unary("floor", other / self)

    def __mod__(self, other):
        return self - self // other * other

    def __rmod__(self, other):
        return self.like(other) % self

    def __round__(self, digits=None):
        if digits:
            raise NotCompilable("rounds to digits: only round(x) is known")
        return unary("rint", self)

    def __floor__(self):
        return unary("floor", self)

    def __bool__(self):
        return bool(self != 0)

    def __float__(self):
        raise NotCompilable(
            "turns a number that is not known yet into a Python number, or gives it to a function that nnfast"
            " does not know"
        )

    __int__ = __index__ = __complex__ = __float__

    def __array__(self, dtype=None, copy=None):
        raise NotCompilable("makes an array of its argument, which is one number")

    def __iter__(self):
        raise NotCompilable("treats its argument, which is one number, as a sequence")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        from nnfast.kernels.jit.functions import call_ufunc  # which needs these classes

        return call_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function, types, args, options):
        from nnfast.kernels.jit.functions import call_numpy

        return call_numpy(function, args, options)


class Integer(Node):
    """The bits of a number, as wide; of expansions alone (`vector_math.py`)."""

    __slots__ = ()

    def _with(self, op, other):
        if isinstance(other, int):
            other = integer(self.graph, other)
        return self.graph.node(Integer, op, self, other)

    def __add__(self, other):
        return self._with("iadd", other)

    def __sub__(self, other):
        return self._with("isub", other)

    def __and__(self, other):
        return self._with("iand", other)

    def __lshift__(self, other):
        return self._with("shl", other)

    def __rshift__(self, other):
        return self._with("ashr", other)

    def is_zero(self):
        return self.graph.node(Condition, "izero", self)


def integer(graph, value):
    return graph.node(Integer, "constant", value=value)


# ------------------------------------------------------------------------------------------------------------
# Operations; what is known already is computed, in float64

_ARITHMETIC = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}
_COMPARISONS = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}


def arithmetic(op, x, y):
    if x.op == y.op == "constant" and (op != "div" or y.value != 0):
        return x.graph.constant(x.value / y.value if op == "div" else _ARITHMETIC[op](x.value, y.value))
    if op == "mul" and x.op == "constant" and y.op != "constant":
        x, y = y, x
    if op in ("mul", "div") and y.op == "constant" and y.value == 1:
        return x
    if op in ("add", "mul") and y.op != "constant" and x.number > y.number:
        x, y = y, x  # either order is one node
    return x.graph.node(Number, op, x, y)


def compare(op, x, y):
    if x.op == y.op == "constant":
        return _COMPARISONS[op](x.value, y.value)
    if op in ("gt", "ge"):
        op, x, y = {"gt": "lt", "ge": "le"}[op], y, x
    return x.graph.node(Condition, op, x, y)


def select(condition, yes, no):
    """yes where the condition holds, else no. Where both are one operation of operands that differ in one
    place, the operands are selected.
    """
    if condition is True or condition is False:
        return yes if condition else no
    if yes is no:
        return yes
    if condition.op == "not":
        return select(condition.args[0], no, yes)
    if (
        yes.op == no.op
        and yes.args
        and type(yes) is type(no)
        and len(yes.args) == len(no.args)
        and yes.value == no.value
    ):
        differing = [i for i, (a, b) in enumerate(zip(yes.args, no.args)) if a is not b]
        if len(differing) == 1 and isinstance(yes.args[differing[0]], Number):
            args = list(yes.args)
            args[differing[0]] = select(condition, args[differing[0]], no.args[differing[0]])
            return yes.graph.node(type(yes), yes.op, *args, value=yes.value)
    return condition.graph.node(type(yes), "select", condition, yes, no)


def unary(op, x):
    if x.op == "constant":
        return x.graph.constant(known(op, x.value))
    return x.graph.node(Number, op, x)


def known(op, *values):
    from scipy import special

    with np.errstate(all="ignore"):
        return float(
            getattr(np, op, None)(*values)
            if hasattr(np, op)
            else getattr(special, {"lgamma": "gammaln"}.get(op, op))(*values)
        )


def power(x, y):
    """x**y, for a small whole or half y known now by multiplications and a square root."""
    if y.op == "constant":
        if x.op == "constant":
            return x.graph.constant(known("power", x.value, y.value))
        if abs(y.value) <= LARGEST_POWER and y.value == int(y.value):
            whole = whole_power(x, int(abs(y.value)))
            return whole if y.value >= 0 else 1 / whole
        if y.value in (0.5, -0.5):
            return unary("sqrt", x) if y.value > 0 else 1 / unary("sqrt", x)
    return x.graph.node(Number, "power", x, y)


def whole_power(x, n):
    if n == 0:
        return x.graph.constant(1)
    half = whole_power(x, n // 2) if n > 1 else None
    return x if n == 1 else half * half * x if n % 2 else half * half


def maximum(x, y):
    """The larger one; NaN where one is. Where they are equal the slope is that of the one that is
    not known.
    """
    if x.op == "constant":
        x, y = y, x
    return select((x > y) | (x != x), x, y)


def minimum(x, y):
    if x.op == "constant":
        x, y = y, x
    return select((x < y) | (x != x), x, y)


def sign(x):
    return select(x > 0, x.graph.constant(1), select(x < 0, x.graph.constant(-1), x))


def copysign(x, y):
    return x.graph.node(Number, "copysign", x, y)


def fma(x, y, z):
    """x y + z, rounded once."""
    graph = next(each.graph for each in (x, y, z) if isinstance(each, Node))
    return graph.node(
        Number, "fma", *(each if isinstance(each, Number) else graph.constant(each) for each in (x, y, z))
    )


def operands_first(outputs):
    """All nodes that the outputs need."""
    needed, stack = {}, list(outputs)
    while stack:
        node = stack.pop()
        if node.number not in needed:
            needed[node.number] = node
            stack.extend(node.args)
    return [needed[number] for number in sorted(needed)]
