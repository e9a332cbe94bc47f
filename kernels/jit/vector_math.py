"""exp, log, tanh, erf and the rest as operations that every vector unit has: no branches, no tables, no
calls.

In: any number, NaN, infinities and subnormals included. Out: the function, to a few ULP of the dtype over its
whole range (tests/test_jit_scalars.py holds each to what was measured); NaN gives NaN. The methods are those
of kernels/src/vmath.h and activation.h, where more is said of them; sin, cos and arctan are those of Cephes.

Numerical stability: only IEEE additions, multiplications, divisions, square roots and FMA in a fixed order,
so that all CPUs with FMA give the same bits. What is here in words of x * 2^k is rounded once, and once more
where the result is subnormal.
"""

import math
from collections import namedtuple

from nnfast.kernels.jit.expressions import (
    LARGEST_POWER,
    Integer,
    Number,
    copysign,
    fma,
    maximum,
    operands_first,
    unary,
    whole_power,
)
from nnfast.kernels.jit.floating_point import (
    as_number,
    at_least,
    at_most,
    bits,
    choose,
    from_bits,
    polynomial,
    power_of_two,
    rounded,
    scaled,
    width_of,
)

LOG2E = 1.4426950408889634074


def reduced_by_ln2(x):
    """x = k ln(2) + r: (r, n, k)."""
    w = width_of(x)
    n, k = rounded(x, LOG2E)
    return fma(n, -w.ln2_low, fma(n, -w.ln2_high, x)), n, k


def expm1_reduced(r):
    degree = 13 if r.graph.is_double else 7
    return fma(polynomial(r, [1 / math.factorial(i) for i in range(degree, 1, -1)]), r * r, r)


def exp(x):
    w = width_of(x)
    r, n, k = reduced_by_ln2(at_least(at_most(x, w.exp_highest), w.exp_lowest))
    return choose(x > w.exp_highest, math.inf, scaled(expm1_reduced(r) + 1, n, k))


Exponential = namedtuple("Exponential", "m n k")


def exp_in_parts(high, low):
    """exp(high + low) = (1 + m) 2^k, low being far below high, which is within twice exp's range."""
    r, n, k = reduced_by_ln2(high)
    return Exponential(expm1_reduced(r if low is None else r + low), n, k)


def times_exp(x, e):
    return scaled(fma(x, e.m, x), e.n, e.k)


def expm1_moderate(x):
    """|x| <= 50."""
    r, _, k = reduced_by_ln2(x)
    two_to_k = power_of_two(k)
    return fma(two_to_k, expm1_reduced(r), two_to_k - 1)


def half_expm1(x):
    """(exp(x) - 1) / 2, where it is finite."""
    r, _, k = reduced_by_ln2(x)
    half = power_of_two(k - 1)
    return fma(half, expm1_reduced(r), half - 0.5)


def expm1(x):
    w = width_of(x)
    y = 2 * half_expm1(at_least(at_most(x, w.exp_highest), -50))
    return choose(abs(x) < w.epsilon, x, choose(x > w.exp_highest, math.inf, y))


def log1p_reduced(f, k):
    """log(1 + f) + k ln(2), 1 + f in [sqrt(1/2), sqrt(2)); coefficients of FreeBSD's e_log.c and its float
    twin.
    """
    w = width_of(f)
    s = f / (f + 2)
    z, half_square = s * s, (f * 0.5) * f
    if f.graph.is_double:
        p = polynomial(
            z,
            [
                1.479819860510658591e-01,
                1.531383769920937332e-01,
                1.818357216161805012e-01,
                2.222219843214978396e-01,
                2.857142874366239149e-01,
                3.999999999940941908e-01,
                6.666666666666735130e-01,
            ],
        )
    else:
        p = polynomial(z, [0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693])
    tail = fma(s, fma(p, z, half_square), k * w.ln2_low)
    return fma(k, w.ln2_high, f - (half_square - tail))


def _reduced_log(x, tiny):
    """log of a positive x, which is subnormal where `tiny`, if that is not None."""
    w = width_of(x)
    y = x if tiny is None else choose(tiny, x * 2.0**w.scale_bits, x)
    k = (bits(y) - w.sqrt_half_bits) >> w.mantissa
    mantissa = from_bits(x.graph.node(Integer, "isub", bits(y), k << w.mantissa))
    if tiny is not None:
        k = choose(tiny, k - w.scale_bits, k)
    return log1p_reduced(mantissa - 1, as_number(k))


def log(x):
    y = _reduced_log(x, x < width_of(x).smallest)
    y = choose(x == 0, -math.inf, choose(x < 0, math.nan, y))
    return choose((x == math.inf) | (x != x), x, y)


def log1p(x):
    """The logarithm of u = 1 + x, and what the rounding of u lost, divided by u."""
    u = x + 1
    lost = choose(abs(x) < 1, x - (u - 1), 1 - (u - x))
    y = _reduced_log(u, None) + lost / u
    y = choose(u == 0, -math.inf, choose(u < 0, math.nan, y))
    return choose((x == math.inf) | (x != x) | (abs(x) < width_of(x).epsilon), x, y)


def log1p_unit(e):
    """log(1 + e), 0 <= e <= 1."""
    u = e + 1
    above = u > math.sqrt(2)
    one, zero = e.graph.constant(1), e.graph.constant(0)
    return log1p_reduced(choose(above, u * 0.5, u) - 1, choose(above, one, zero)) + (e - (u - 1)) / u


def logaddexp(x, y):
    """max + log(1 + exp(-|x - y|))."""
    one = x == y  # of infinities the difference is NaN
    return choose(one, x + math.log(2), maximum(x, y) + log1p_unit(exp(-abs(x - y))))


def tanh(x):
    e = expm1_moderate(2 * at_most(abs(x), 20))
    return copysign(e / (e + 2), x)


def expit(x):
    e = exp(-abs(x))
    return choose(x < 0, e, 1) / (e + 1)


def _half_exp(x):
    """exp(x) / 2 for x >= 0, which overflows later than exp(x)."""
    w = width_of(x)
    limit = w.exp_highest + math.log(2)
    m, n, k = exp_in_parts(at_most(x, limit), None)
    return choose(x > limit, math.inf, scaled(m + 1, n - 1, k - 1))


def sinh(x):
    size = abs(x)
    q = half_expm1(at_most(size, 30))
    return copysign(choose(size > 30, _half_exp(size), q + q / (2 * q + 1)), x)


def cosh(x):
    half = _half_exp(abs(x))
    return half + 0.25 / half


# pi / 2 in three numbers, the product of whose first with a moderate integer FMA takes from x exactly; up to
# this x they are enough.
_HALF_PI = {
    False: (1.57079637050628662109375, -4.371139000186241e-08, -1.7151245100059e-15),
    True: (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33),
}
_SIN = {
    False: [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1],
    True: [
        1.58962301576546568060e-10,
        -2.50507477628578072866e-8,
        2.75573136213857245213e-6,
        -1.98412698295895385996e-4,
        8.33333333332211858878e-3,
        -1.66666666666666307295e-1,
    ],
}
_COS = {
    False: [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2],
    True: [
        -1.13585365213876817300e-11,
        2.08757008419747316778e-9,
        -2.75573141792967388112e-7,
        2.48015872888517045348e-5,
        -1.38888888888730564116e-3,
        4.16666666666665929218e-2,
    ],
}
LARGEST_ANGLE = 1e5


def _sine(x, quarters, name):
    """The sine of x and so many quarters of a turn; by libm where a lane's x is beyond LARGEST_ANGLE."""
    double = x.graph.is_double
    n, k = rounded(x, 2 / math.pi)
    r = x
    for part in _HALF_PI[double]:
        r = fma(n, -part, r)
    z = r * r
    sine = fma(polynomial(z, _SIN[double]), z * r, r)
    cosine = fma(polynomial(z, _COS[double]), z * z, fma(z, -0.5, 1))
    k = k + quarters
    y = choose((k & 1).is_zero(), sine, cosine)
    y = choose((k & 2).is_zero(), y, -y)
    return x.graph.node(Number, "unless_beyond", x, y, value=(LARGEST_ANGLE, name))


def sin(x):
    return _sine(x, 0, "sin")


def cos(x):
    return _sine(x, 1, "cos")


def arctan(x):
    size = abs(x)
    far, middle = size > 2.414213562373095, size > (0.66 if x.graph.is_double else 0.4142135623730950)
    y = choose(far, -1, choose(middle, size - 1, size)) / choose(far, size, choose(middle, size + 1, 1))
    start = choose(far, math.pi / 2, choose(middle, math.pi / 4, 0))
    z = y * y
    if x.graph.is_double:
        top = polynomial(
            z,
            [
                -8.750608600031904122785e-1,
                -1.615753718733365076637e1,
                -7.500855792314704667340e1,
                -1.228866684490136173410e2,
                -6.485021904942025371773e1,
            ],
        )
        bottom = polynomial(
            z,
            [
                1.0,
                2.485846490142306297962e1,
                1.650270098316988542046e2,
                4.328810604912902668951e2,
                4.853903996359136964868e2,
                1.945506571482613964425e2,
            ],
        )
        p = top / bottom
        lost = choose(far, 6.123233995736765886130e-17, choose(middle, 3.061616997868383e-17, 0))
    else:
        p = polynomial(z, [8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1])
        lost = choose(far, -4.371139000186241e-08, choose(middle, -2.1855695000931205e-08, 0))
    return copysign(start + (fma(p, z * y, y) + lost), x)


# P(v), v = u / (u + 4), with v P(v) = u Phi(-u) exp(u^2 / 2), in t = 2 v - 1: as in activation.h.
_TAIL = {
    False: [
        -5.15565933e-5,
        -0.0002317986783,
        0.0001710546116,
        0.001645219297,
        -0.003489317276,
        -0.007545268266,
        0.06039753309,
        -0.1865212814,
        0.387137368,
        -0.6078966591,
        0.7552851306,
    ],
    True: [
        -9.990624160023276e-10,
        -1.01529571764961797e-11,
        1.39765281559508218e-8,
        1.48423900727513431e-8,
        -7.63471284344108608e-8,
        -1.54619681912219187e-7,
        2.63543105606844541e-7,
        1.02007133925684645e-6,
        -6.24990699536978521e-7,
        -5.91901318615404412e-6,
        7.14930832547840089e-7,
        0.0000351442149682578036,
        -1.90784340592487053e-6,
        -0.00023109482414997104,
        0.000133344249783584282,
        0.00163081844248058856,
        -0.00347969236180405956,
        -0.00754018896562501684,
        0.0603965748906766544,
        -0.186521857959693392,
        0.387137400742219335,
        -0.607896641971891764,
        0.755285130415751478,
    ],
}


def _tail(u):
    """Phi(-u) exp(u^2 / 2) for u >= 0."""
    s = 1 / (u + 4)
    return polynomial(fma(2, u * s, -1), _TAIL[u.graph.is_double]) * s


def ndtr(x):
    u = at_most(abs(x), width_of(x).tail_closed)
    half = u * -0.5
    exponent = half * u
    tail = times_exp(_tail(u), exp_in_parts(exponent, fma(half, u, -exponent)))
    return choose(x < 0, tail, 1 - tail)


def erfc(x):
    size = at_most(abs(x), width_of(x).tail_closed / math.sqrt(2))
    exponent = -(size * size)
    tail = times_exp(2 * _tail(size * math.sqrt(2)), exp_in_parts(exponent, fma(-size, size, -exponent)))
    return choose(x < 0, 2 - tail, tail)


def erf(x):
    """Near zero its series, elsewhere 1 - erfc, whose exp(-x^2) is that of its derivative."""
    size, z = abs(x), x * x
    near = 0.5 if x.graph.is_double else 0.7
    series = [
        2 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1))
        for n in range(12 if x.graph.is_double else 7, -1, -1)
    ]
    tail = 2 * _tail(at_most(size, width_of(x).tail_closed) * math.sqrt(2)) * exp(-z)
    return choose(size < near, x * polynomial(z, series), copysign(1 - tail, x))


def power(x, y):
    """x**y: by libm, unless y is known and so many and a half."""
    if y.op == "constant" and abs(y.value) <= LARGEST_POWER and (2 * y.value) % 2 == 1:
        p = whole_power(x, int(abs(y.value))) * unary("sqrt", x)
        return p if y.value > 0 else 1 / p
    return x.graph.node(Number, "power", x, y)


_ONE = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "expit": expit,
    "sinh": sinh,
    "cosh": cosh,
    "sin": sin,
    "cos": cos,
    "arctan": arctan,
    "ndtr": ndtr,
    "erf": erf,
    "erfc": erfc,
    "logaddexp": logaddexp,
    "power": power,
}


def lowered(outputs):
    """The same numbers by the operations that `vectors.py` has vector instructions or, slowly,
    libm for.
    """
    new = {}
    for node in operands_first(outputs):
        args = [new[each] for each in node.args]
        if node.op in _ONE:
            new[node] = _ONE[node.op](*args)
        elif not args or all(map(_same, args, node.args)):
            new[node] = node
        else:
            new[node] = node.graph.node(type(node), node.op, *args, value=node.value)
    return [new[output] for output in outputs]


def _same(new, old):
    return new is old
