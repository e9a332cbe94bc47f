"""Floating-point numbers by their parts: bits, powers of two, rounding; choices without branches."""

from collections import namedtuple

from nnfast.kernels.jit.expressions import (
    Integer,
    Number,
    fma,
)

Width = namedtuple(
    "Width",
    "mantissa bias rounder exp_highest exp_lowest ln2_high ln2_low smallest scale_bits sqrt_half_bits"
    " tail_closed epsilon",
)
FLOAT = Width(
    23,
    127,
    12582912.0,
    88.72283935546875,
    -103.98,
    0.693359375,
    -2.12194440e-4,
    2.0**-126,
    25,
    0x3F3504F3,
    16.0,
    2.0**-24,
)
DOUBLE = Width(
    52,
    1023,
    6755399441055744.0,
    709.782712893384,
    -745.2,
    6.93147180369123816490e-01,
    1.90821492927058770002e-10,
    2.0**-1022,
    54,
    0x3FE6A09E667F3BCD,
    40.0,
    2.0**-53,
)


def width_of(x):
    return DOUBLE if x.graph.is_double else FLOAT


def bits(x):
    return x.graph.node(Integer, "bits", x)


def from_bits(k):
    return k.graph.node(Number, "from_bits", k)


def polynomial(x, coefficients):
    """The highest first."""
    total = x.graph.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = fma(total, x, coefficient)
    return total


def choose(condition, yes, no):
    """`select` as it stands: operands of the two are not selected instead."""
    graph = condition.graph
    yes, no = (each if isinstance(each, (Number, Integer)) else graph.constant(each) for each in (yes, no))
    return graph.node(type(yes), "select", condition, yes, no)


def at_most(x, limit):
    return choose(x > limit, limit, x)  # NaN passes


def at_least(x, limit):
    return choose(x < limit, limit, x)


def scaled(x, n, k):
    """x 2^k, -2 bias < k < 2 bias; n is the same number as k."""
    return x.graph.node(Number, "scaled", x, n, k)


def power_of_two(k):
    w = width_of(k)
    return from_bits((k + w.bias) << w.mantissa)


def as_number(k):
    """A small integer, exactly."""
    rounder = k.graph.constant(width_of(k).rounder)
    return from_bits(k + bits(rounder)) - rounder


def rounded(x, factor):
    """The integer nearest to x factor, as a number and as an integer."""
    rounder = x.graph.constant(width_of(x).rounder)
    shifted = fma(x, factor, rounder)
    return shifted - rounder, x.graph.node(Integer, "isub", bits(shifted), bits(rounder))
