"""The vector functions' errors: at most 4 ULP (without FMA one: 4.4) over their whole range, in every
instruction set and dtype; and the activations' slopes'.

The oracle is the libm of a wider type: float64's for float32, x86's 80-bit long double for float64, mpmath
where that has no function.
"""

from functools import cache

import mpmath
import numpy as np
import pytest
from nnfast.kernels import engine
from scipy.special import ndtr

ISAS = engine.instruction_sets()
ANY = "anything"


def logistic(x):
    return 1 / (1 + np.exp(-x))


# name: (oracle, domain, limits in ULP for float32 and float64). All promise 4; these are what was measured
# with GCC 12 (the most of all instruction sets), and a quarter for what another compiler contracts into FMA.
FUNCTIONS = {
    "exp": (np.exp, ANY, 1.3, 1.25),
    "log": (np.log, ANY, 1.1, 1.05),
    "log1p_unit": (np.log1p, "0 to 1", 1.5, 1.45),
    "sqrt": (np.sqrt, "zero and normals", 1.5, 1.5),
    "reciprocal": (lambda x: 1 / x, "normals", 1.65, 3.65),
}

# ------------------------------------------------------------------------------------------------------------
# The activations' formulas, and their derivatives', for x of a wider type; p: the activation's own parameter.
# A gate that has closed wins over any z.


def number(x, digits):
    return x.dtype.type(digits)


def times_gate(x, gate):
    return np.where(np.isneginf(x), number(x, "-0"), x * gate)


def near(x):
    """Where the slopes are what they are for all that lies beyond."""
    return np.clip(x, -5000, 5000)


def swish(x, p):
    return times_gate(x, logistic(p * x))


def swish_slope(x, p):
    x = near(x)
    return logistic(p * x) * (1 + p * x * logistic(-p * x))


def tanh_gate(x):
    """The argument of gelu_tanh's gate as a logistic function, and its slope."""
    linear, cubic = number(x, "1.5957691216057307117597842397375275"), number(x, "0.044715")
    return linear * (x + cubic * x * x * x), linear * (1 + 3 * cubic * x * x)


def gelu_tanh_slope(x, p):
    y, slope = tanh_gate(near(x))
    return logistic(y) * (1 + near(x) * slope * logistic(-y))


def normal(x):
    """Phi, and its density."""
    if x.dtype == np.float64:
        return ndtr(x), np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    with mpmath.workprec(90):
        # in two doubles, scaled so that the second is no subnormal
        tails = [mpmath.ldexp(mpmath.ncdf(v), 300) for v in np.clip(x, -50, 50).astype(np.float64)]
        high = [float(tail) for tail in tails]
        low = [float(tail - h) for tail, h in zip(tails, high, strict=True)]
        root = np.longdouble(str(1 / mpmath.sqrt(2 * mpmath.pi)))
    scale = np.ldexp(np.longdouble(1), -300)
    return (np.array(high, x.dtype) + np.array(low, x.dtype)) * scale, np.exp(-x * x / 2) * root


def gelu_slope(x, p):
    phi, density = normal(near(x))
    return phi + near(x) * density


def through_softplus(x):
    return np.tanh(np.log1p(np.exp(x)))


def mish_slope(x, p):
    """With e = exp(-|x|), so that nothing is subtracted from 1."""
    x = near(x)
    e = np.exp(-abs(x))
    square = np.where(
        x > 0, e * (1 + e) / (1 + 2 * e + 2 * e * e) ** 2 * e, e * (1 + e) / (e * e + 2 * e + 2) ** 2
    )
    return np.tanh(np.maximum(x, 0) + np.log1p(e)) + 4 * x * square


def elu(x, p):
    return np.where(x > 0, x, p * np.expm1(np.where(x > 0, 0, x)))


def elu_slope(x, p):
    return np.where(x > 0, 1, p * np.exp(np.minimum(x, 0)))


def selu_scale(x):
    return number(x, "1.0507009873554804934193349852946")


def selu_alpha(x):
    return number(x, "1.6732632423543772848170429916717")


FORMULAS = {
    "identity": (lambda x, p: x, lambda x, p: np.ones_like(x)),
    "logistic": (lambda x, p: logistic(x), lambda x, p: logistic(x) * logistic(-x)),
    "tanh": (lambda x, p: np.tanh(x), lambda x, p: 1 - np.tanh(x) ** 2),
    "relu": (lambda x, p: np.where(x < 0, 0, x), lambda x, p: np.where(x > 0, 1, 0)),
    "leaky_relu": (lambda x, p: np.where(x > 0, x, p * x), lambda x, p: np.where(x > 0, 1, p)),
    "elu": (elu, elu_slope),
    "selu": (
        lambda x, p: selu_scale(x) * elu(x, selu_alpha(x)),
        lambda x, p: selu_scale(x) * elu_slope(x, selu_alpha(x)),
    ),
    "gelu": (lambda x, p: times_gate(x, normal(x)[0]), gelu_slope),
    "gelu_tanh": (lambda x, p: times_gate(x, logistic(tanh_gate(x)[0])), gelu_tanh_slope),
    "gelu_sigmoid": (
        lambda x, p: swish(x, number(x, "1.702")),
        lambda x, p: swish_slope(x, number(x, "1.702")),
    ),
    "silu": (lambda x, p: swish(x, 1), lambda x, p: swish_slope(x, 1)),
    "mish": (lambda x, p: times_gate(x, through_softplus(x)), mish_slope),
    "hard_swish": (
        lambda x, p: times_gate(x, (np.clip(x, -3, 3) + 3) / 6),
        lambda x, p: np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6)),
    ),
    "softplus": (
        lambda x, p: (np.maximum(p * x, 0) + np.log1p(np.exp(-abs(p * x)))) / p,
        lambda x, p: logistic(p * x),
    ),
}
# name and parameter: limits in ULP for float32 and float64, as above; then in eps for the slope.
# Without FMA, on the baseline, a few arguments in a million have more than 4 ULP in GELU: 4.4 at most, of 30
# million.
WITHOUT_FMA = {"gelu": 4.65}
# Where the tail on the left has gone, GELU is 0 - 0.
ANY_ZERO = ("gelu",)
ACTIVATIONS = {
    "identity": (0, 0, 0),
    "logistic": (2.45, 2.5, 1.0),
    "tanh": (2.5, 2.6, 1.95),
    "relu": (0, 0, 0),
    "leaky_relu 0.01": (0.75, 0.75, 0),
    "leaky_relu 0": (0, 0, 0),
    "leaky_relu 1.5": (0.75, 0.75, 0),
    "elu 1": (1.1, 1.35, 0.7),
    "elu 0.3": (1.65, 2.05, 0.45),
    "elu 3": (1.9, 1.9, 2.15),
    "selu": (2.0, 1.7, 1.4),
    "gelu": (3.9, 3.7, 1.6),
    "gelu_tanh": (3.2, 2.95, 1.8),
    "gelu_sigmoid": (3.6, 3.5, 1.75),
    "silu": (3.45, 3.2, 1.75),
    "mish": (3.85, 3.85, 1.75),
    "hard_swish": (2.5, 2.5, 1.0),
    "softplus 1": (2.1, 2.0, 1.0),
    "softplus 0.5": (2.15, 2.05, 1.0),
    "softplus 3": (2.85, 2.95, 1.0),
}
EVERY = [*FUNCTIONS, *ACTIVATIONS]


def parameter_of(key, dtype):
    """As the kernel has it, in its own dtype."""
    return float(np.dtype(dtype).type(key.partition(" ")[2] or 0))


# Where a function is steep, flat, or changes branches: sampled evenly.
RANGES = {
    "exp": [(-746, 710), (-1, 1), (-104, -87), (88.6, 88.8), (709.7, 709.8), (-746, -708)],
    "log": [(0.5, 2), (0.99, 1.01), (0, 1e-37), (0, 1e-307)],
    "log1p_unit": [(0, 1), (0.41, 0.42), (0, 1e-6)],
    "sqrt": [(0.25, 4)],
    "reciprocal": [(0.5, 2)],
}
OF_ACTIVATIONS = [
    (-1, 1),
    (-1e-3, 1e-3),
    (-40, 40),
    (-14, -2),
    (-110, -80),
    (-760, -690),
    (-450, -405),
    (-8, 0),
    (0, 8),
]


def within(domain, x):
    tiny = np.finfo(x.dtype).smallest_normal
    if domain == "normals":  # whose reciprocals are normal too, with room to spare
        return x[(x >= 8 * tiny) & (x <= 1 / (8 * tiny))]
    if domain == "zero and normals":
        return x[(x == 0) & ~np.signbit(x) | (x >= tiny) & np.isfinite(x)]
    if domain == "0 to 1":
        return x[(x >= 0) & (x <= 1) & ~np.signbit(x)]
    return x


def specials(dtype):
    """Zeros, infinities, NaN, and the neighbours of every border."""
    info = np.finfo(dtype)
    borders = [
        0,
        1,
        2,
        0.5,
        20,
        np.log(2),
        np.sqrt(0.5),
        np.sqrt(2),
        info.max,
        info.smallest_normal,
        info.smallest_subnormal,
        info.eps,
    ]
    # where an activation takes another way
    borders += [12, 16, 22, 40, 50, 120, 800, 1000, 120 / 1.702, 800 / 1.702, 13.2, 38.5]
    lowest = np.log(info.smallest_subnormal)
    borders += [np.log(info.max), np.log(info.smallest_normal), lowest, lowest - np.log(2)]
    at = np.array(borders + [-x for x in borders], dtype).view(f"u{dtype.itemsize}")
    bits = np.concatenate([at + np.array(d).astype(at.dtype) for d in range(-70, 71)])
    return np.concatenate([bits.view(dtype), np.array([np.inf, -np.inf, np.nan, -np.nan, 0.0, -0.0], dtype)])


@cache
def points(name, dtype):
    """Arguments all over the function's domain."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(0)
    is_activation = name in ACTIVATIONS
    if dtype == np.float32:
        everywhere = (
            np.arange(0, 2**32, 8191 if is_activation else 4093, dtype=np.uint64)
            .astype(np.uint32)
            .view(dtype)
        )
        count = 200_001
    else:
        everywhere = rng.integers(0, 2**64, 100_000 if is_activation else 400_000, dtype=np.uint64).view(
            dtype
        )
        count = 100_001
    if is_activation:
        count //= 5
    ranges = [np.linspace(*limits, count).astype(dtype) for limits in RANGES.get(name, OF_ACTIVATIONS)]
    x = np.concatenate([specials(dtype), everywhere, *ranges])
    if name == "gelu" and dtype == np.float64:  # mpmath takes its time
        x = np.concatenate([x[::51], x[-9 * count :: 71], specials(dtype)[-6:]])
    return x if is_activation else within(FUNCTIONS[name][1], x)


_WIDER_THAN_DOUBLE = np.finfo(np.longdouble).nmant >= 63


@cache
def exact(name, dtype, which=0):
    """The function at its points in a wider type; which: 1 for an activation's slope."""
    x = points(name, dtype)
    if x.dtype == np.float64 and not _WIDER_THAN_DOUBLE:
        pytest.skip("numpy's long double is no wider than float64 here")
    with np.errstate(all="ignore"):
        x = x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)
        if name in FUNCTIONS:
            return FUNCTIONS[name][0](x)
        return FORMULAS[name.partition(" ")[0]][which](x, x.dtype.type(parameter_of(name, dtype)))


def compute(isa, name, x):
    table = engine.KernelTable(isa, x.dtype)
    return (
        table.activation(name.partition(" ")[0], x, parameter_of(name, x.dtype))
        if name in ACTIVATIONS
        else table.map(name, x)
    )


def compute_with_slope(isa, name, x):
    return engine.KernelTable(isa, x.dtype).activation_and_slope(
        name.partition(" ")[0], x, parameter_of(name, x.dtype)
    )


def error_in_ulp(got, true, *, any_zero=False):
    """The largest error over the finite results; everything else must be right exactly, the sign of zero
    included, unless any zero will do.
    """
    with np.errstate(all="ignore"):
        nearest = true.astype(got.dtype)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(nearest))
    np.testing.assert_array_equal(
        np.where(np.isinf(nearest) | np.isinf(got), got, 0),
        np.where(np.isinf(nearest) | np.isinf(got), nearest, 0),
    )
    zeros = (nearest == 0) & (got == 0) & (not any_zero)
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(nearest[zeros]))
    finite = np.isfinite(nearest)
    # max has no neighbour above
    ulp = np.spacing(np.minimum(np.abs(nearest[finite]), np.finfo(got.dtype).max / 1.5)).astype(true.dtype)
    return float((np.abs(got[finite].astype(true.dtype) - true[finite]) / ulp).max())


def test_every_activation_has_a_row():
    assert {key.partition(" ")[0] for key in ACTIVATIONS} == set(FORMULAS) == set(engine.ACTIVATIONS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EVERY)
def test_error_is_within_its_limit(name, dtype):
    x, true = points(name, dtype), exact(name, dtype)
    limit = (FUNCTIONS[name][2:] if name in FUNCTIONS else ACTIVATIONS[name])[0 if dtype == "float32" else 1]
    assert limit <= 4
    errors = {isa: error_in_ulp(compute(isa, name, x), true, any_zero=name in ANY_ZERO) for isa in ISAS}
    print(name, dtype, len(x), errors)
    for isa, error in errors.items():
        assert error <= (WITHOUT_FMA.get(name, limit) if isa == "baseline" else limit), errors


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_error_of_the_slope_is_within_its_limit(name, dtype):
    """In eps of the dtype, of the slope or of 1, whichever is more; and the activation is the same with the
    slope as without.
    """
    x, true = points(name, dtype), exact(name, dtype, 1)
    numbers = ~np.isnan(x)
    errors = {}
    for isa in ISAS:
        a, slope = compute_with_slope(isa, name, x)
        assert a[numbers].tobytes() == compute(isa, name, x)[numbers].tobytes()
        assert np.isfinite(slope[numbers]).all()
        error = abs(slope[numbers].astype(true.dtype) - true[numbers]) / np.maximum(1, abs(true[numbers]))
        errors[isa] = float(error.max() / np.finfo(dtype).eps)
    print(name, dtype, "slope", errors)
    assert max(errors.values()) <= ACTIVATIONS[name][2], errors


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", ISAS)
def test_adams_quotient(isa, dtype):
    """m / (sqrt(v) + epsilon), alone in an update that keeps both moments and starts from w = 0."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    exponents = rng.uniform(np.log2(info.smallest_normal), np.log2(info.max), 300_000)
    v = np.concatenate([[0], 2.0**exponents, np.linspace(0.25, 4, 300_000)]).astype(dtype)
    m = rng.uniform(-2, 2, len(v)).astype(dtype)
    epsilon = dtype.type(1e-8)
    w, zeros = np.zeros_like(v), np.zeros_like(v)
    engine.KernelTable(isa, dtype).update(
        "adam", w, zeros, (m, v), rate=1.0, beta_1=1.0, beta_2=1.0, epsilon=float(epsilon)
    )
    wide = np.float64 if dtype == np.float32 else np.longdouble
    true = -m.astype(wide) / (np.sqrt(v.astype(wide)) + epsilon.astype(wide))
    error = error_in_ulp(w, true)
    print(isa, dtype, error)
    assert error <= 6  # as update.h promises


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="needs a CPU with AVX-512")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EVERY)
def test_avx2_and_avx512_return_the_same_bits(name, dtype):
    x = points(name, dtype)
    narrow, wide = (
        (compute_with_slope if name in ACTIVATIONS else compute)(isa, name, x) for isa in ("avx2", "avx512")
    )
    np.testing.assert_array_equal(np.isnan(narrow), np.isnan(wide))
    narrow, wide = np.asarray(narrow), np.asarray(wide)
    numbers = ~np.isnan(narrow)
    assert narrow[numbers].tobytes() == wide[numbers].tobytes()


GATED = ("gelu", "gelu_tanh", "gelu_sigmoid", "silu", "mish", "hard_swish")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", ISAS)
def test_values_that_have_names(isa, dtype):
    info = np.finfo(dtype)
    inf, nan = np.inf, np.nan
    expected = {
        "exp": [
            (0.0, 1),
            (-0.0, 1),
            (-inf, 0),
            (inf, inf),
            (nan, nan),
            (info.max, inf),
            (-info.max, 0),
            (info.smallest_subnormal, 1),
        ],
        "log": [
            (1, 0.0),
            (0.0, -inf),
            (-0.0, -inf),
            (-1, nan),
            (-inf, nan),
            (inf, inf),
            (nan, nan),
            (-info.smallest_subnormal, nan),
        ],
        "log1p_unit": [(0.0, 0.0)],
        "tanh": [(0.0, 0.0), (-0.0, -0.0), (inf, 1), (-inf, -1), (nan, nan), (info.max, 1), (-info.max, -1)],
        "logistic": [(0.0, 0.5), (-0.0, 0.5), (inf, 1), (-inf, 0), (nan, nan), (info.max, 1), (-info.max, 0)],
        "sqrt": [(0.0, 0.0)],
        "relu": [(0.0, 0.0), (inf, inf), (-inf, 0.0), (nan, nan)],
        "leaky_relu 1.5": [(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -inf), (-2, -3), (nan, nan)],
        "elu 3": [(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -3), (-info.max, -3), (nan, nan)],
        "softplus 1": [(inf, inf), (-inf, 0.0), (info.max, info.max), (-info.max, 0.0), (nan, nan)],
        "softplus 3": [(inf, inf), (-inf, 0.0), (info.max, info.max), (-info.max, 0.0), (nan, nan)],
    }
    for name in GATED:
        expected[name] = [(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -0.0), (-info.max, -0.0), (nan, nan)]
    for name, pairs in expected.items():
        x, y = np.array(pairs, dtype).T.copy()
        got = compute(isa, name, x)
        np.testing.assert_array_equal(got, y, err_msg=name)
        signed = (y == 0) & (name not in ANY_ZERO)
        np.testing.assert_array_equal(np.signbit(got[signed]), np.signbit(y[signed]), err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_far_away_and_at_the_kink(name, isa, dtype):
    """0 or 1 or what the formula says at both ends, never NaN; at 0 the slope of the left side (the SELU's is
    its scale times its alpha).
    """
    p = parameter_of(name, dtype)
    kind = name.partition(" ")[0]
    left = {"identity": 1, "leaky_relu": p}.get(kind, 0)
    right = {"logistic": 0, "tanh": 0, "selu": 1.0507009873554805}.get(kind, 1)
    zero = {
        "identity": 1,
        "tanh": 1,
        "logistic": 0.25,
        "relu": 0,
        "leaky_relu": p,
        "elu": p,
        "selu": 1.7580993408473768,
        "mish": 0.6,
    }.get(kind, 0.5)
    x = np.array([-np.inf, -np.finfo(dtype).max, -1e6, 1e6, np.finfo(dtype).max, np.inf, 0.0, -0.0], dtype)
    _, slope = compute_with_slope(isa, name, x)
    expected = np.array([left] * 3 + [right] * 3 + [zero] * 2)
    np.testing.assert_allclose(slope, expected, rtol=4 * np.finfo(dtype).eps, atol=0)


def test_the_measure_sees_an_error():
    """A result five ULP off, a wrong sign of zero, a lost NaN or infinity: none passes."""
    true = np.exp(np.linspace(1, 2, 1001, dtype=np.float32).astype(np.float64))
    assert 4.4 < error_in_ulp((true.astype(np.float32).view(np.int32) + 5).view(np.float32), true) < 5.6
    for wrong, right in (
        (-0.0, 0.0),
        (0.0, np.nan),
        (np.nan, 0.0),
        (np.finfo(np.float32).max, np.inf),
        (np.inf, 1.0),
    ):
        with pytest.raises(AssertionError):
            error_in_ulp(np.array([wrong, 1], np.float32), np.array([right, 1], np.float64))
