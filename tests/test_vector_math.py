"""The vector functions' errors: at most 4 ULP over their whole range, in every instruction set and dtype.

The oracle is the libm of a wider type: float64's for float32, x86's 80-bit long double for float64 (mpmath where there is none).
"""

import numpy as np
import pytest

from nnfast.kernels import engine

ISAS = engine.instruction_sets()
ANY = "anything"


def logistic(x):
    return 1 / (1 + np.exp(-x))


# name: (oracle, domain, limits in ULP for float32 and float64). All promise 4; these are what was measured with GCC 12 (the most of all
# instruction sets), and a quarter for what another compiler contracts into FMA.
FUNCTIONS = {
    "exp": (np.exp, ANY, 1.3, 1.25),
    "log": (np.log, ANY, 1.1, 1.05),
    "log1p_unit": (np.log1p, "0 to 1", 1.5, 1.45),
    "tanh": (np.tanh, ANY, 2.5, 2.7),
    "logistic": (logistic, ANY, 2.4, 2.35),
    "sqrt": (np.sqrt, "zero and normals", 1.5, 1.5),
    "reciprocal": (lambda x: 1 / x, "normals", 1.65, 3.65),
}
# Where a function is steep, flat, or changes branches: sampled evenly.
RANGES = {
    "exp": [(-746, 710), (-1, 1), (-104, -87), (88.6, 88.8), (709.7, 709.8), (-746, -708)],
    "log": [(0.5, 2), (0.99, 1.01), (0, 1e-37), (0, 1e-307)],
    "log1p_unit": [(0, 1), (0.41, 0.42), (0, 1e-6)],
    "tanh": [(-1, 1), (-25, 25), (-1e-3, 1e-3)],
    "logistic": [(-1, 1), (-40, 40), (-104, -87), (-746, -708)],
    "sqrt": [(0.25, 4)],
    "reciprocal": [(0.5, 2)],
}


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
    borders = [0, 1, 2, 0.5, 20, np.log(2), np.sqrt(0.5), np.sqrt(2), info.max, info.smallest_normal, info.smallest_subnormal, info.eps]
    lowest = np.log(info.smallest_subnormal)
    borders += [np.log(info.max), np.log(info.smallest_normal), lowest, lowest - np.log(2)]
    at = np.array(borders + [-x for x in borders], dtype).view(f"u{dtype.itemsize}")
    bits = np.concatenate([at + np.array(d).astype(at.dtype) for d in range(-70, 71)])
    return np.concatenate([bits.view(dtype), np.array([np.inf, -np.inf, np.nan, -np.nan, 0.0, -0.0], dtype)])


def points(name, dtype):
    """Arguments all over the function's domain."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(0)
    if dtype == np.float32:
        everywhere = np.arange(0, 2**32, 1021, dtype=np.uint64).astype(np.uint32).view(dtype)
        count = 200_001
    else:
        everywhere = rng.integers(0, 2**64, 400_000, dtype=np.uint64).view(dtype)
        count = 100_001
    ranges = [np.linspace(*limits, count).astype(dtype) for limits in RANGES[name]]
    return within(FUNCTIONS[name][1], np.concatenate([specials(dtype), everywhere, *ranges]))


_WIDER_THAN_DOUBLE = np.finfo(np.longdouble).nmant >= 63


def exact(name, x):
    """The function in a wider type."""
    oracle = FUNCTIONS[name][0]
    with np.errstate(all="ignore"):
        if x.dtype == np.float32:
            return oracle(x.astype(np.float64))
        if _WIDER_THAN_DOUBLE:
            return oracle(x.astype(np.longdouble))
    pytest.skip("numpy's long double is no wider than float64 here")


def compute(isa, name, x):
    table = engine.Table(isa, x.dtype)
    return table.activation(name, x) if name in engine.ACTIVATIONS else table.map(name, x)


def error_in_ulp(got, true):
    """The largest error over the finite results; everything else must be right exactly, the sign of zero included."""
    with np.errstate(all="ignore"):
        nearest = true.astype(got.dtype)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(nearest))
    np.testing.assert_array_equal(np.where(np.isinf(nearest) | np.isinf(got), got, 0), np.where(np.isinf(nearest) | np.isinf(got), nearest, 0))
    zeros = (nearest == 0) & (got == 0)
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(nearest[zeros]))
    finite = np.isfinite(nearest)
    ulp = np.spacing(np.abs(nearest[finite])).astype(true.dtype)
    return float((np.abs(got[finite].astype(true.dtype) - true[finite]) / ulp).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_is_within_its_limit(name, dtype):
    x = points(name, dtype)
    true = exact(name, x)
    limit = FUNCTIONS[name][2 if dtype == "float32" else 3]
    assert limit <= 4
    errors = {isa: error_in_ulp(compute(isa, name, x), true) for isa in ISAS}
    print(name, dtype, len(x), errors)
    assert max(errors.values()) <= limit, errors


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
    engine.Table(isa, dtype).update("adam", w, zeros, (m, v), rate=1.0, beta_1=1.0, beta_2=1.0, epsilon=float(epsilon))
    wide = np.float64 if dtype == np.float32 else np.longdouble
    true = -m.astype(wide) / (np.sqrt(v.astype(wide)) + epsilon.astype(wide))
    error = error_in_ulp(w, true)
    print(isa, dtype, error)
    assert error <= 6  # as update.h promises


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="needs a CPU with AVX-512")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_avx2_and_avx512_return_the_same_bits(name, dtype):
    x = points(name, dtype)
    narrow, wide = (compute(isa, name, x) for isa in ("avx2", "avx512"))
    np.testing.assert_array_equal(np.isnan(narrow), np.isnan(wide))
    numbers = ~np.isnan(narrow)
    assert narrow[numbers].tobytes() == wide[numbers].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", ISAS)
def test_values_that_have_names(isa, dtype):
    info = np.finfo(dtype)
    inf, nan = np.inf, np.nan
    expected = {
        "exp": [(0.0, 1), (-0.0, 1), (-inf, 0), (inf, inf), (nan, nan), (info.max, inf), (-info.max, 0), (info.smallest_subnormal, 1)],
        "log": [(1, 0.0), (0.0, -inf), (-0.0, -inf), (-1, nan), (-inf, nan), (inf, inf), (nan, nan), (-info.smallest_subnormal, nan)],
        "log1p_unit": [(0.0, 0.0)],
        "tanh": [(0.0, 0.0), (-0.0, -0.0), (inf, 1), (-inf, -1), (nan, nan), (info.max, 1), (-info.max, -1)],
        "logistic": [(0.0, 0.5), (-0.0, 0.5), (inf, 1), (-inf, 0), (nan, nan), (info.max, 1), (-info.max, 0)],
        "sqrt": [(0.0, 0.0)],
    }
    for name, pairs in expected.items():
        x, y = np.array(pairs, dtype).T.copy()
        got = compute(isa, name, x)
        np.testing.assert_array_equal(got, y, err_msg=name)
        np.testing.assert_array_equal(np.signbit(got[y == 0]), np.signbit(y[y == 0]), err_msg=name)


def test_the_measure_sees_an_error():
    """A result five ULP off, a wrong sign of zero, a lost NaN or infinity: none passes."""
    x = np.linspace(1, 2, 1001, dtype=np.float32)
    true = exact("exp", x)
    assert 4.4 < error_in_ulp((true.astype(np.float32).view(np.int32) + 5).view(np.float32), true) < 5.6
    for wrong, right in ((-0.0, 0.0), (0.0, np.nan), (np.nan, 0.0), (np.finfo(np.float32).max, np.inf), (np.inf, 1.0)):
        with pytest.raises(AssertionError):
            error_in_ulp(np.array([wrong, 1], np.float32), np.array([right, 1], np.float64))
