"""What functions of numbers may call, by the names that math, NumPy and SciPy share."""

import math
import operator

import numpy as np
from nnfast.kernels.jit.expressions import (
    Condition,
    Node,
    NotCompilable,
    Number,
    copysign,
    known,
    maximum,
    minimum,
    power,
    select,
    sign,
    unary,
)


def _xlogy(x, y):
    return select((x == 0) & (y == y), x.graph.constant(0), x * unary("log", y))


def _logaddexp(x, y):
    if x.op == y.op == "constant":
        return x.graph.constant(known("logaddexp", x.value, y.value))
    return x.graph.node(Number, "logaddexp", x, y)


def _log(x, base=None):
    return unary("log", x) if base is None else unary("log", x) / unary("log", base)


def _clip(x, low=None, high=None):
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def _isfinite(x):
    return abs(x) < math.inf


def _of(op):
    return lambda x: unary(op, x)


FUNCTIONS = {
    name: _of(name)
    for name in (
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "tanh",
        "sinh",
        "cosh",
        "sin",
        "cos",
        "arctan",
        "erf",
        "erfc",
        "expit",
        "ndtr",
        "floor",
        "ceil",
        "trunc",
        "rint",
        "exp2",
        "log2",
        "log10",
        "cbrt",
        "tan",
        "arcsin",
        "arccos",
        "arcsinh",
        "arccosh",
        "arctanh",
        "gamma",
        "lgamma",
    )
} | {
    "abs": abs,
    "absolute": abs,
    "fabs": abs,
    "negative": operator.neg,
    "positive": operator.pos,
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "true_divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "power": power,
    "pow": power,
    "float_power": power,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "sign": sign,
    "copysign": copysign,
    "maximum": maximum,
    "minimum": minimum,
    "fmax": maximum,
    "fmin": minimum,
    "clip": _clip,
    "log": _log,
    "logit": lambda x: unary("log", x) - unary("log1p", -x),
    "logaddexp": _logaddexp,
    "xlogy": _xlogy,
    "log_expit": lambda x: -_logaddexp(x.graph.constant(0), -x),
    "hypot": lambda x, y: unary("sqrt", x * x + y * y),
    "radians": lambda x: x * (math.pi / 180),
    "degrees": lambda x: x * (180 / math.pi),
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "isnan": lambda x: x != x,
    "isfinite": _isfinite,
    "isinf": lambda x: abs(x) == math.inf,
    "heaviside": lambda x, y: select(
        x > 0, x.graph.constant(1), select(x == 0, y, select(x < 0, x.graph.constant(0), x))
    ),
}
FUNCTIONS |= {
    new: FUNCTIONS[name]
    for new, name in (
        ("atan", "arctan"),
        ("asin", "arcsin"),
        ("acos", "arccos"),
        ("asinh", "arcsinh"),
        ("acosh", "arccosh"),
        ("atanh", "arctanh"),
        ("gammaln", "lgamma"),
        ("loggamma", "lgamma"),
    )
}
_ON_CONDITIONS = {
    "logical_and": operator.and_,
    "logical_or": operator.or_,
    "logical_not": operator.invert,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "invert": operator.invert,
}


def call(name, args, origin="numpy"):
    """The function of this name of nodes and known numbers, at least one of them a node."""
    graph = next(each.graph for each in args if isinstance(each, Node))
    if name in _ON_CONDITIONS:
        return _ON_CONDITIONS[name](*args)
    if name not in FUNCTIONS or (origin, name) == ("math", "remainder"):  # which is another than NumPy's
        raise NotCompilable(f"uses {origin}.{name}, which nnfast does not know")
    blank = graph.constant(0)
    args = [each if each is None and name == "clip" else blank.like(each) for each in args]
    if any(each is None for each in args) and name != "clip":
        raise NotCompilable(f"gives {origin}.{name} what is no number")
    return FUNCTIONS[name](*args)


def call_ufunc(ufunc, method, inputs, options):
    if method != "__call__" or options:
        raise NotCompilable(
            f"uses numpy.{ufunc.__name__} with {', '.join(options) or method}, which has no meaning for one"
            " number"
        )
    return call(
        ufunc.__name__, inputs, "numpy" if getattr(np, ufunc.__name__, None) is ufunc else "scipy.special"
    )


def call_numpy(function, args, options):
    name = function.__name__
    graph = next(each.graph for each in (*args, *options.values()) if isinstance(each, Node))
    if name == "where" and len(args) == 3:
        condition, yes, no = args
        yes, no = graph.constant(0).like(yes), graph.constant(0).like(no)
        if yes is None or no is None:
            raise NotCompilable("gives numpy.where what is no number")
        if isinstance(condition, Number):
            condition = condition != 0
        return select(condition if isinstance(condition, Condition) else bool(condition), yes, no)
    if name in ("ones_like", "zeros_like"):
        return graph.constant(1 if name == "ones_like" else 0)
    if name == "full_like":
        return graph.constant(0).like(args[1])
    if name == "clip":
        bounds = dict(zip(("a", "a_min", "a_max"), args)) | options
        return call(
            "clip",
            [bounds["a"], bounds.get("a_min", bounds.get("min")), bounds.get("a_max", bounds.get("max"))],
        )
    if name in ("abs", "sign", "round", "real"):
        return {"abs": abs, "sign": sign, "round": round, "real": operator.pos}[name](*args)
    raise NotCompilable(f"uses numpy.{name}, which nnfast does not know")
