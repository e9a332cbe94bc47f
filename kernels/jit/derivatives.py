"""Derivatives of what `expressions.py` can say, by the chain rule: nodes of the same graph. None stands for
zero, so that no 0 * inf comes up.
"""

import math

from nnfast.kernels.jit.expressions import (
    NotCompilable,
    Number,
    copysign,
    operands_first,
    power,
    select,
    sign,
    unary,
)


def _d_arcsin(y, x):
    return 1 / unary("sqrt", (1 - x) * (1 + x))


_SLOPES = {  # by each operand, of the value y and the operands
    "neg": (lambda y, x: x.graph.constant(-1),),
    "abs": (lambda y, x: sign(x),),
    "add": (lambda y, a, b: a.graph.constant(1),) * 2,
    "sub": (lambda y, a, b: a.graph.constant(1), lambda y, a, b: a.graph.constant(-1)),
    "mul": (lambda y, a, b: b, lambda y, a, b: a),
    "div": (lambda y, a, b: 1 / b, lambda y, a, b: -y / b),
    "exp": (lambda y, x: y,),
    "expm1": (lambda y, x: y + 1,),
    "exp2": (lambda y, x: math.log(2) * y,),
    "log": (lambda y, x: 1 / x,),
    "log1p": (lambda y, x: 1 / (1 + x),),
    "log2": (lambda y, x: 1 / math.log(2) / x,),
    "log10": (lambda y, x: 1 / math.log(10) / x,),
    "sqrt": (lambda y, x: 0.5 / y,),
    "cbrt": (lambda y, x: 1 / (3 * y * y),),
    "tanh": (lambda y, x: 1 - y * y,),
    "sinh": (lambda y, x: unary("cosh", x),),
    "cosh": (lambda y, x: unary("sinh", x),),
    "sin": (lambda y, x: unary("cos", x),),
    "cos": (lambda y, x: -unary("sin", x),),
    "tan": (lambda y, x: 1 + y * y,),
    "arctan": (lambda y, x: 1 / (1 + x * x),),
    "arcsin": (_d_arcsin,),
    "arccos": (lambda y, x: -_d_arcsin(y, x),),
    "arcsinh": (lambda y, x: 1 / unary("sqrt", x * x + 1),),
    "arccosh": (lambda y, x: 1 / unary("sqrt", (x - 1) * (x + 1)),),
    "arctanh": (lambda y, x: 1 / ((1 - x) * (1 + x)),),
    "erf": (lambda y, x: 2 / math.sqrt(math.pi) * unary("exp", -(x * x)),),
    "erfc": (lambda y, x: -2 / math.sqrt(math.pi) * unary("exp", -(x * x)),),
    "expit": (lambda y, x: y * unary("expit", -x),),
    "ndtr": (lambda y, x: 1 / math.sqrt(2 * math.pi) * unary("exp", -0.5 * x * x),),
    "logaddexp": (lambda y, a, b: unary("expit", a - b), lambda y, a, b: unary("expit", b - a)),
    "power": (lambda y, a, b: b * power(a, b - 1), lambda y, a, b: y * unary("log", a)),
    "copysign": (lambda y, a, b: copysign(a.graph.constant(1), b) * sign(a), None),
    "floor": (None,),
    "ceil": (None,),
    "trunc": (None,),
    "rint": (None,),
}
_WITHOUT_SLOPE = {"gamma": "math.gamma", "lgamma": "math.lgamma"}


def differentiate(output, by):
    """The derivative of one node by another, as a node."""
    slopes = {}
    for node in operands_first([output]):
        if node is by:
            slopes[node] = output.graph.constant(1)
        elif isinstance(node, Number):
            slopes[node] = _slope(node, slopes)
    slope = slopes[output]
    return output.graph.constant(0) if slope is None else slope


def _slope(node, slopes):
    if node.op == "select":
        condition, yes, no = node.args
        if slopes[yes] is None and slopes[no] is None:
            return None
        return select(
            condition,
            *(node.graph.constant(0) if slopes[each] is None else slopes[each] for each in (yes, no)),
        )
    total = None
    for operand, each in enumerate(node.args):
        if slopes[each] is None:
            continue
        if node.op not in _SLOPES:
            raise NotCompilable(
                f"uses {_WITHOUT_SLOPE.get(node.op, node.op)}, whose derivative nnfast does not know"
            )
        partial = _SLOPES[node.op][operand]
        if partial is None:
            continue
        term = _product(partial(node, *node.args), slopes[each])
        total = term if total is None else total + term
    return total


def _product(partial, slope):
    if partial.op == "constant" and partial.value == -1:
        return -slope
    if slope.op == "constant" and slope.value == -1:
        return -partial
    return partial * slope
