"""Python functions of one number as vector code: values to a few ULP, derivatives, the forms that functions
may have, and kernels on disk.
"""

import enum
import functools
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy import special

from nnfast.activations import ACTIVATIONS

pytest.importorskip("numba")

from nnfast.kernels.jit import elementwise, vectors
from nnfast.kernels.jit.expressions import NotCompilable

DTYPES = ("float32", "float64")
# Around whole vectors of both dtypes.
SIZES = (1, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65)


def pointer(array):
    return array.ctypes.data


def output_of(function, x):
    y = x.copy()
    elementwise.output(function, x.dtype).call(pointer(y), y.size)
    return y


def activation_of(x, f, df=None, parameter=0.0, **options):
    """Value and slope, after a check that the value alone is the same."""
    kernel = elementwise.activation(f, df, x.dtype, **options)
    a, slope, alone = x.copy(), np.empty_like(x), x.copy()
    kernel.call(pointer(a), pointer(slope), x.size, parameter)
    kernel.call(pointer(alone), None, x.size, parameter)
    np.testing.assert_array_equal(a, alone)
    return a, slope


# ------------------------------------------------------------------------------------------------------------
# Values

# name: (functions that must be the same, oracle, range for float32, for float64, limits in ULP for both):
# measured maxima, and a little.
FUNCTIONS = {
    "exp": ((math.exp, np.exp), np.exp, (-110, 89), (-750, 710), 1.1, 1.1),
    "expm1": ((math.expm1, np.expm1), np.expm1, (-110, 89), (-750, 710), 1.5, 1.75),
    "log": ((math.log, np.log), np.log, (0, 3e38), (0, 1e308), 0.9, 0.9),
    "log1p": ((math.log1p, np.log1p), np.log1p, (-1, 3e38), (-1, 1e308), 1.6, 1.6),
    "sqrt": ((math.sqrt, np.sqrt), np.sqrt, (0, 3e38), (0, 1e308), 0.51, 0.51),
    "tanh": ((math.tanh, np.tanh), np.tanh, (-50, 50), (-50, 50), 2.3, 2.3),
    "sinh": ((math.sinh, np.sinh), np.sinh, (-90, 90), (-711, 711), 2.2, 2.4),
    "cosh": ((math.cosh, np.cosh), np.cosh, (-90, 90), (-711, 711), 1.5, 1.5),
    "sin": ((math.sin, np.sin), np.sin, (-3e5, 3e5), (-3e5, 3e5), 1.7, 1.6),
    "cos": ((math.cos, np.cos), np.cos, (-3e5, 3e5), (-3e5, 3e5), 1.7, 1.6),
    "arctan": ((math.atan, np.arctan), np.arctan, (-1e3, 1e3), (-1e3, 1e3), 2.2, 1.1),
    "expit": ((special.expit,), lambda x: 1 / (1 + np.exp(-x)), (-110, 110), (-750, 750), 2.4, 2.1),
    "softplus": (
        (lambda z: np.logaddexp(0, z),),
        lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))),
        (-110, 110),
        (-750, 750),
        2.0,
        2.0,
    ),
    "erf": ((math.erf, special.erf), "erf", (-7, 7), (-7, 7), 2.7, 2.7),
    "erfc": ((math.erfc, special.erfc), "erfc", (-11, 11), (-27, 27), 3.8, 3.8),
    "ndtr": ((special.ndtr,), "ncdf", (-14.5, 10), (-38.5, 10), 3.6, 3.6),
    "power of a half": (
        (lambda z: math.pow(z, 2.5), lambda z: z**2.5),
        lambda x: x**2 * np.sqrt(x),
        (0, 9),
        (0, 9),
        2.2,
        2.2,
    ),
    # By libm, a lane at a time.
    "tan": ((math.tan, np.tan), np.tan, (-1, 1), (-1, 1), 1, 1),
    "arcsinh": ((math.asinh, np.arcsinh), np.arcsinh, (-9, 9), (-9, 9), 1.5, 1.5),
    "power": (
        (lambda z: math.pow(z, 1.375), lambda z: z**1.375),
        lambda x: x ** x.dtype.type(1.375),
        (0, 9),
        (0, 9),
        1,
        1,
    ),
}
WIDER = {"float32": np.float64, "float64": np.longdouble}


def points(dtype, low, high, n=20_000):
    """Evenly, and at every magnitude down to subnormals."""
    rng = np.random.default_rng(0)
    tiny, highest = float(np.finfo(dtype).smallest_subnormal), max(abs(low), abs(high))
    spread = np.exp(rng.uniform(np.log(tiny), np.log(highest), n))
    x = np.concatenate([rng.uniform(low, high, n), spread, -spread, [0, -0.0]]).astype(dtype)
    return x[(x >= low) & (x <= high)]


def ulps(got, want):
    nearest = want.astype(got.dtype)
    off = abs(got.astype(want.dtype) - want) / np.spacing(abs(nearest)).astype(want.dtype)
    return np.where((got == nearest) | (np.isnan(got) & np.isnan(want)), 0, off)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
@np.errstate(all="ignore")
def test_values(name, dtype):
    functions, oracle, *ranges, float_limit, double_limit = FUNCTIONS[name]
    x = points(dtype, *ranges[dtype == "float64"])
    if isinstance(oracle, str):
        x = x[::13]
        with mpmath.workprec(100):
            exact = [getattr(mpmath, oracle)(v) for v in map(float, x)]
            # in two doubles, so that nothing is rounded twice
            want = np.array([float(v) for v in exact], np.longdouble) + np.array(
                [float(v - float(v)) for v in exact], np.longdouble
            )
    else:
        want = oracle(x.astype(WIDER[dtype]))
    first, *others = (output_of(function, x) for function in functions)
    off = ulps(first, want)
    worst = off.argmax()
    assert off[worst] <= (double_limit if dtype == "float64" else float_limit), (
        x[worst],
        first[worst],
        want[worst],
    )
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", set(FUNCTIONS) - {"tan"})
@np.errstate(all="ignore")
def test_infinities_nan_and_zeros(name, dtype):
    functions, oracle = FUNCTIONS[name][:2]
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e38, -1e38], dtype)
    want = (
        {"erf": special.erf, "erfc": special.erfc, "ncdf": special.ndtr}[oracle](x)
        if isinstance(oracle, str)
        else oracle(x.astype(float))
    )
    got = output_of(functions[0], x)
    np.testing.assert_allclose(got, want.astype(dtype), rtol=1e-5)
    if name not in ("log", "power", "power of a half"):
        assert np.signbit(got[4]) == np.signbit(want[4])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_nothing_but_its_n_elements_is_touched(n, dtype):
    rng = np.random.default_rng(n)
    guarded = rng.standard_normal((2, n + 200)).astype(dtype)
    before = guarded.copy()
    a, slope = guarded[:, 100 : 100 + n]
    elementwise.activation(math.tanh, None, dtype).call(pointer(a), pointer(slope), n, 0.0)
    np.testing.assert_allclose(a, np.tanh(before[0, 100 : 100 + n]), rtol=1e-6)
    np.testing.assert_allclose(slope, 1 - np.tanh(before[0, 100 : 100 + n]) ** 2, rtol=1e-4)
    guarded[:, 100 : 100 + n] = before[:, 100 : 100 + n]
    np.testing.assert_array_equal(guarded, before)


# ------------------------------------------------------------------------------------------------------------
# Forms of functions, each with what it comes to, and derivatives. All are smooth where they are tested.

RATE = 0.7


def bent(z):
    slope = RATE
    if z > 0 and not z > 2:
        slope = 1
    elif z < -1 or z > 2:
        slope = 0.25
    return slope * z


def helper(z, scale=2.0):
    return math.exp(-z * z / scale)


def by_loop(z):
    total = 0
    for k in range(1, 4):
        total += z**k / math.factorial(k)
    return total


def imports_late(z):
    from math import tanh

    return tanh(z) if z >= 0 else -tanh(-z)


def enclosing(steepness):
    return lambda z: z / (1 + math.exp(-steepness * z))


class Side(enum.Enum):
    LEFT = -1
    RIGHT = 1


class Line:
    def __init__(self, slope):
        self.slope = slope

    def __call__(self, z):
        return self.slope * math.fabs(z)


@functools.cache
def remembered(z):
    return math.tanh(z)


largest = max

CASES = {
    "an object": (Line(2.0), lambda x: 2 * abs(x)),
    "what is remembered": (lambda z: remembered(z) + Side.RIGHT.value, lambda x: np.tanh(x) + 1),
    "another name": (lambda z: largest(z, -z) + largest(1, 2), lambda x: abs(x) + 2),
    "a global": (lambda z: RATE * z + math.pi, lambda x: RATE * x + np.pi),
    "if": (bent, lambda x: np.where((x < -1) | (x > 2), 0.25, np.where(x > 0, 1, RATE)) * x),
    "a function": (lambda z: z * helper(z, scale=3.0), lambda x: x * np.exp(-x * x / 3)),
    "a loop": (by_loop, lambda x: x + x**2 / 2 + x**3 / 6),
    "an import": (imports_late, np.tanh),
    "a closure": (enclosing(1.5), lambda x: x / (1 + np.exp(-1.5 * x))),
    "a partial": (functools.partial(helper, scale=5.0), lambda x: np.exp(-x * x / 5)),
    "softsign": (lambda z: z / (1 + abs(z)), lambda x: x / (1 + abs(x))),
    "snake": (lambda z: z + math.sin(3 * z) ** 2 / 3, lambda x: x + np.sin(3 * x) ** 2 / 3),
    "a conditional expression": (
        lambda z: z if z > 0 else math.expm1(z),
        lambda x: np.where(x > 0, x, np.expm1(x)),
    ),
    "a chain": (lambda z: 1.0 if -1.3 < z < 1.3 else z * z, lambda x: np.where(abs(x) < 1.3, 1, x * x)),
    "min and max": (lambda z: min(max(z, -1.3), 1.7, 5), lambda x: np.clip(x, -1.3, 1.7)),
    "where": (lambda z: np.where((z > 1) | (z < -1), z, z**3), lambda x: np.where(abs(x) > 1, x, x**3)),
    "clip": (
        lambda z: np.clip(z, -1.3, 1.3) + np.minimum(z, 2.5) * np.maximum(0, z),
        lambda x: np.clip(x, -1.3, 1.3) + np.minimum(x, 2.5) * np.maximum(0, x),
    ),
    "comparisons as numbers": (lambda z: (z > 0.1) * z + 2 * (z <= 0.1), lambda x: np.where(x > 0.1, x, 2)),
    "powers": (
        lambda z: (1 + z * z) ** -0.5 + abs(z) ** 1.5 + 2**z + z**-2,
        lambda x: (1 + x * x) ** -0.5 + abs(x) ** 1.5 + 2**x + x**-2.0,
    ),
    "logarithms": (
        lambda z: math.log1p(z * z) + special.xlogy(2, 1 + z * z) + np.log2(9 + z),
        lambda x: 3 * np.log1p(x * x) + np.log2(9 + x),
    ),
    "sums of exponentials": (
        lambda z: np.logaddexp(z, -2 * z) + special.erfc(z),
        lambda x: np.logaddexp(x, -2 * x) + special.erfc(x),
    ),
    "other bases": (
        lambda z: math.log(z * z + 1, 3) + special.logit(special.expit(z)),
        lambda x: np.log(x * x + 1) / np.log(3) + x,
    ),
    "hyperbolic": (
        lambda z: math.sinh(z) + np.cosh(z) + math.atan(z),
        lambda x: np.sinh(x) + np.cosh(x) + np.arctan(x),
    ),
    "trigonometric": (lambda z: math.cos(z) * math.tan(z / 3), lambda x: np.cos(x) * np.tan(x / 3)),
    "signs": (
        lambda z: math.copysign(math.sqrt(abs(z)), z) + np.sign(z) * math.fabs(z),
        lambda x: np.sign(x) * np.sqrt(abs(x)) + x,
    ),
    "what jumps": (
        lambda z: z * math.floor(z) + (z % 1) + round(z / 7),
        lambda x: x * np.floor(x) + x - np.floor(x) + np.round(x / 7),
    ),
    "the normal distribution": (
        lambda z: 0.5 * z * (1 + math.erf(z / math.sqrt(2))),
        lambda x: x * special.ndtr(x),
    ),
    "a known number": (lambda z: 3, lambda x: np.full_like(x, 3)),
    "inverses": (
        lambda z: math.asinh(z) + np.cbrt(z + 9) + math.acos(z / 9) + math.atanh(z / 9),
        lambda x: np.arcsinh(x) + np.cbrt(x + 9) + np.arccos(x / 9) + np.arctanh(x / 9),
    ),
}


def away_from_kinks():
    """Points within -4 .. 4 with no border of the functions above near them."""
    x = np.linspace(-4, 4, 157) + 0.0137
    borders = np.concatenate([np.arange(-10, 11), [1.3, -1.3, 1.7, 0.1, 2.5, -3.5, 3.5]])
    return x[abs(x[:, None] - borders).min(axis=1) > 0.01]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_forms_of_functions(name, dtype):
    function, formula = CASES[name]
    x = away_from_kinks().astype(dtype)
    a, slope = activation_of(x, function)
    wide = x.astype(float)
    np.testing.assert_allclose(
        a, formula(wide), rtol=(tolerance := 1e-13 if dtype == "float64" else 3e-5), atol=tolerance / 20
    )
    step = 1e-5
    differences = (formula(wide + step) - formula(wide - step)) / (2 * step)
    np.testing.assert_allclose(slope, differences, rtol=1e-4, atol=2e-8 if dtype == "float64" else 2e-5)


def test_numbers_of_python_take_the_width_of_what_they_meet():
    x = np.linspace(-4, 4, 1000, dtype=np.float32)
    np.testing.assert_array_equal(
        output_of(lambda z: z * 0.1 + 1 / (3 + abs(z)), x), x * np.float32(0.1) + 1 / (3 + abs(x))
    )
    np.testing.assert_array_equal(output_of(lambda z: z * np.float64(0.1), x), x * np.float32(0.1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_code_is_of_vectors(dtype):
    kernel = elementwise.activation(lambda z: math.tanh(z) * math.erf(z) / (1 + math.exp(z)), None, dtype)
    code = kernel.compiled._library.get_asm_str()
    assert not re.search(r"\b(tanh|erf|exp)f?\b", code)
    if "+avx2" in vectors.features():
        assert code.count("zmm" if "+avx512f" in vectors.features() else "ymm") > 100


BITS = """
import hashlib, math
import mpmath
import numpy as np
from scipy import special
from nnfast.kernels.jit import elementwise
rng = np.random.default_rng(0)
for dtype in ("float32", "float64"):
    functions = math.exp, math.log, math.tanh, math.erf, math.sin, math.log1p, math.sinh, math.atan
    for f in (*functions, special.ndtr, special.expit):
        x = np.concatenate([rng.uniform(-20, 20, 5000), rng.uniform(-900, 900, 5000)]).astype(dtype)
        elementwise.output(f, dtype).call(x.ctypes.data, x.size)
        x = np.nan_to_num(x) if np.isnan(x).any() else x + 0.0
        print(f.__name__, dtype, hashlib.sha256(x.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_the_same_bits_from_avx2_and_avx512():
    if "+avx512f" not in vectors.features():
        pytest.skip("the CPU has no AVX-512")
    narrower = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
    results = [
        subprocess.run(
            [sys.executable, "-c", BITS], capture_output=True, text=True, env=os.environ | environment
        )
        for environment in ({}, narrower)
    ]
    assert results[0].stdout.count("\n") == 20, results[0].stderr
    assert results[0].stdout == results[1].stdout


# ------------------------------------------------------------------------------------------------------------
# Refusals


def no_return(z):
    if z > 0:
        return z


def until_small(z):
    while abs(z) > 1e-3:
        z = z / 2
    return z


def many_ways(z):
    return sum((1 if z > k else 2) * z**k for k in range(20)) + sum(
        k if z * k > 3 * z**2 + k**2 else z for k in range(20)
    )


REFUSED = {
    "returns None": no_return,
    "returns a bool": lambda z: z > 0,
    "returns a str": lambda z: "z",
    "returns 2 numbers": lambda z: (z, z),
    "the same count": lambda z: (z, z) if z > 0 else z,
    "same count of": lambda z: z if z > 0 else (z, z),
    "loops of a known length": until_small,
    "numpy.mean": lambda z: np.mean(z),
    "scipy.special.j0": lambda z: special.j0(z),
    "math.remainder": lambda z: math.remainder(z, 2),
    "math.frexp": lambda z: math.frexp(z)[0],
    "one number": lambda z: sum(z),
    "a Python number": lambda z: "%f" % z,  # noqa: UP031
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refusals(reason):
    with pytest.raises(NotCompilable, match=reason):
        elementwise.output(REFUSED[reason], "float64")


def test_too_many_ways():
    with pytest.raises(NotCompilable, match="more than 256 ways"):
        elementwise.output(many_ways, "float64")


def test_an_unknown_derivative():
    x = np.linspace(0.5, 4, 20)
    np.testing.assert_allclose(output_of(math.gamma, x), special.gamma(x))
    with pytest.raises(NotCompilable, match=r"uses math\.gamma, whose derivative nnfast does not know"):
        elementwise.activation(lambda z: z * math.gamma(z), None, "float64")
    a, slope = activation_of(x, math.gamma, lambda z, a: a * 2)
    np.testing.assert_array_equal(slope, a * 2)


def test_errors_of_the_function_go_through():
    with pytest.raises(ZeroDivisionError):
        elementwise.output(lambda z: z + 1 // 0, "float64")


# ------------------------------------------------------------------------------------------------------------
# The kinds of kernel


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_the_records(name, dtype):
    record = ACTIVATIONS[name]
    parameter = record.default and 1.5 * record.default
    x = np.concatenate([np.linspace(-40, 40, 1003), np.linspace(-1, 1, 211), [1e30, -1e30, 0.0]]).astype(
        dtype
    )
    a, slope = activation_of(x, record.f, record.df, parameter or 0.0, has_parameter=parameter is not None)
    wide = x.astype(float)
    want = record.function(wide, parameter)
    eps = float(np.finfo(dtype).eps)
    # far down the formulas themselves lose digits
    np.testing.assert_allclose(a, want, rtol=40 * eps, atol=1e-6 * eps)
    np.testing.assert_allclose(slope, record.derivative(wide, want, parameter), rtol=200 * eps, atol=4 * eps)
    a, slope = activation_of(
        np.array([np.nan, np.inf, -np.inf], dtype),
        record.f,
        record.df,
        parameter or 0.0,
        has_parameter=parameter is not None,
    )
    assert (
        np.isnan(a[0])
        and a[1] == record.function(np.array(np.inf), parameter)
        and np.isfinite(slope[1:]).all()
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("df", [None, lambda y, z, q: np.where(y > z, -q, np.where(y < z, 1 - q, 0))])
def test_a_loss_with_a_parameter(dtype, df):
    rng = np.random.default_rng(0)
    y, z, q = rng.standard_normal((3, 77)).astype(dtype)
    q, dz, value = abs(q) / 5, z.copy(), np.empty_like(z)
    kernel = elementwise.loss(
        lambda y, z, q: np.maximum(q * (y - z), (q - 1) * (y - z)), df, dtype, has_parameter=True
    )
    kernel.call(pointer(y), pointer(dz), pointer(value), pointer(q), z.size)
    np.testing.assert_allclose(value, np.maximum(q * (y - z), (q - 1) * (y - z)), rtol=1e-6)
    np.testing.assert_allclose(dz, np.where(y > z, -q, 1 - q), rtol=1e-6)


def test_a_loss_without_one_reads_none():
    y, z = np.arange(5.0), np.ones(5)
    value = np.empty(5)
    elementwise.loss(lambda y, z: 0.5 * (z - y) ** 2, None, "float64").call(
        pointer(y), pointer(z), pointer(value), None, 5
    )
    np.testing.assert_array_equal(z, 1 - y)
    np.testing.assert_array_equal(value, 0.5 * (1 - y) ** 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_several_arrays_and_scalars(dtype):
    rng = np.random.default_rng(0)
    w, m, g = rng.standard_normal((3, 53)).astype(dtype)

    def step(w, m, g, rate, momentum):
        m = momentum * m - rate * g
        return w + m, m

    want, wanted_moment = step(w, m, g, *map(np.dtype(dtype).type, (0.1, 0.9)))
    scalars, untouched = np.array([0.1, 0.9]), g.copy()
    elementwise.elementwise(step, 3, 2, dtype).call(
        pointer(w), pointer(m), pointer(g), pointer(scalars), w.size
    )
    np.testing.assert_array_equal(w, want)
    np.testing.assert_array_equal(m, wanted_moment)
    np.testing.assert_array_equal(g, untouched)
    with pytest.raises(NotCompilable, match="2 numbers for 1 arrays"):
        elementwise.elementwise(lambda x: (x, x), 1, 0, dtype)


def test_one_kernel_for_what_computes_the_same():
    assert elementwise.output(lambda z: 2 * z, "float32") is elementwise.output(lambda x: x * 2.0, "float32")
    assert (
        elementwise.output(lambda z: 2 * z, "float32").address
        != elementwise.output(lambda z: 2 * z, "float64").address
    )


# ------------------------------------------------------------------------------------------------------------
# On disk

COMPILE = """
import sys
from nnfast.activations import ACTIVATIONS
from nnfast.kernels.jit import elementwise
record = ACTIVATIONS["mish"]
kernel = elementwise.activation(record.f, record.df, "float32", name="mish")
print(kernel.compiled.cache_hits, kernel.address != 0)
"""


def compiled_in(folder):
    """Whether a process found the kernel there, and has one."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    result = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.slow
def test_a_second_process_finds_named_kernels(tmp_path):
    assert compiled_in(tmp_path) == ["0", "True"]
    written = sorted(path.name for path in Path(tmp_path).rglob("*.nb*"))
    assert len(written) == 2 and all("mish_" in name for name in written)
    assert compiled_in(tmp_path) == ["1", "True"]
    assert sorted(path.name for path in Path(tmp_path).rglob("*.nb*")) == written


def test_nowhere_to_write(tmp_path, monkeypatch):
    place = tmp_path / "a file"
    place.write_text("where Numba would have a folder")
    assert compiled_in(place)[1] == "True"
    plain = elementwise.numba.cfunc

    def cfunc(signature, cache=False):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(signature)

    monkeypatch.setattr(elementwise.numba, "cfunc", cfunc)
    monkeypatch.setattr(elementwise, "_made", {})
    assert elementwise.output(np.exp, "float64", name="exp").compiled.cache_hits == 0
