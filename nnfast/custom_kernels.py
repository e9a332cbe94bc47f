"""Kernels of activations and losses for who calls C functions: of records, and of the user's own functions,
which are tried here.

`own` is an `Activation` or a `Loss` of `nnfast.custom_functions`.

Numba is imported when the first is asked for.
"""

import traceback
import warnings
from functools import partial
from pathlib import Path

import numpy as np

# How far df may be from what differences of f say, as a share of their size.
_DERIVATIVE_TOLERANCE = 1e-2
_STEP = 1e-4
MOST_TARGETS = 4096  # that a loss is tried with


def name_of(function):
    """What a function is called, for people."""
    if isinstance(function, partial):
        return name_of(function.func)
    return getattr(function, "__name__", type(function).__name__)


def activation_kernel(activation, dtype):
    """The kernel ``void (T *a, T *slope, intptr n, double parameter)`` of a record of `nnfast.activations`,
    or of the user's own activation.

    a holds z, and becomes f(z); slope, unless it is NULL, f'(z). `dtype` is "float32" or "float64". The
    kernel's `address` is that of the function.

    Raises
    ------
    ImportError
        If Numba is missing.
    ValueError
        If the user's function cannot be compiled.
    """
    if hasattr(activation, "kind"):  # or it is a record
        return _kernel(activation, dtype)
    from nnfast.kernels.jit import of_records

    return of_records.activation(activation, dtype)


def loss_kernel(loss, dtype):
    """The kernel ``void (const T *y, T *z, T *value, const T *parameters, intptr n)`` of the user's own loss;
    it reads no parameters.
    """
    return _kernel(loss, dtype)


_kernels = {}


def _kernel(own, dtype, renew=False):
    """The kernel made before, unless there is none or it is to be renewed: what a function refers to may have
    changed.
    """
    if renew or (own, dtype) not in _kernels:
        compile_kernel = _compile_activation if own.kind == "activation" else _compile_loss
        _kernels[own, dtype] = compile_kernel(own, dtype)
    return _kernels[own, dtype]


def _compile_activation(own, dtype):
    given = own.df
    df = given and (lambda z, a: given(z))
    return _explained(
        own, "activation", 1, dtype, lambda elementwise: elementwise.activation(own.f, df, dtype)
    )


def _compile_loss(own, dtype):
    return _explained(own, "loss", 2, dtype, lambda elementwise: elementwise.loss(own.f, own.df, dtype))


def _elementwise(own=None):
    try:
        from nnfast.kernels.jit import elementwise
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("numba", "llvmlite"):
            raise
        what = "nnfast's functions of Python code are" if own is None else f"{own!r} is"
        raise ImportError(
            f'{what} compiled by Numba, which is not installed: pip install "nnfast[numba]".'
        ) from error
    return elementwise


def activation_values(own, z):
    """f(z) and f'(z) of an array, in its dtype if that is float32, else in float64."""
    z = np.array(z, np.float32 if getattr(z, "dtype", None) == np.float32 else np.float64, order="C")
    slope = np.empty_like(z)
    activation_kernel(own, z.dtype.name).call(z.ctypes.data, slope.ctypes.data, z.size, 0.0)
    return z, slope


def loss_values(own, y, z):
    """f(y, z) and its derivative by z, number by number."""
    y, z = np.broadcast_arrays(y, z)
    z = np.array(z, np.float32 if z.dtype == np.float32 else np.float64, order="C")
    y, value = np.ascontiguousarray(y, z.dtype), np.empty_like(z)
    loss_kernel(own, z.dtype.name).call(y.ctypes.data, z.ctypes.data, value.ctypes.data, None, z.size)
    return value, z


# ------------------------------------------------------------------------------------------------------------
# What is wrong with a function


def _explained(own, parameter, n_arguments, dtype, compile_kernel):
    """The kernel, or a ValueError that says in one line what is wrong with which function, and where."""
    elementwise = _elementwise(own)
    for function in (own.f, own.df):
        if function is None:
            continue
        try:
            elementwise.try_to_trace(function, n_arguments, dtype)
        except elementwise.NotCompilable as error:
            raise _wrong(own, parameter, function, str(error), _CAN_BE_COMPILED, error) from None
        except Exception as error:  # the user's
            raise _wrong(
                own, parameter, function, f"raises {type(error).__name__}: {error}", _CAN_BE_COMPILED, error
            ) from error
    try:
        return compile_kernel(elementwise)
    except elementwise.NotCompilable as error:  # there is no derivative
        raise _wrong(
            own, parameter, own.f, str(error), f"Give it: {type(own).__name__}({name_of(own.f)}, df)"
        ) from None


_CAN_BE_COMPILED = (
    "It may use arithmetic, comparisons, conditions, loops of a known length, and functions of math, numpy"
    " and scipy.special"
)


def _wrong(own, parameter, function, reason, cure, error=None):
    return ValueError(f"{parameter}={own!r}: {_place(function, error)} {reason}. {cure}.")


def _place(function, error=None):
    """A function's name, file and line: that where the error came up, if it was in the user's code."""
    name = name_of(function)
    if isinstance(function, partial):
        function = function.func
    function = getattr(function, "py_func", function)
    code = getattr(function, "__code__", getattr(getattr(type(function), "__call__", None), "__code__", None))
    if code is None:
        return f"the function {name!r}"
    file, line = code.co_filename, code.co_firstlineno
    for frame in traceback.extract_tb(error.__traceback__) if error is not None else ():
        if not _is_library(frame.filename):
            file, line = frame.filename, frame.lineno
    return f"the function {name!r} ({file}, line {line})"


_OWN_FOLDERS = (str(Path(__file__).parent), str(Path(__file__).parents[1] / "kernels"))


def _is_library(filename):
    return filename.startswith(_OWN_FOLDERS) or any(
        f"/{name}/" in filename.replace("\\", "/") for name in ("numpy", "scipy", "numba")
    )


# ------------------------------------------------------------------------------------------------------------
# What a function does with numbers


def _grid():
    small = np.geomspace(1e-6, 0.04, 8)
    return np.concatenate([np.linspace(-10, 10, 401), small, -small])


def is_compiled(own, dtype):
    """Whether this process has a kernel of the user's own function."""
    return (own, dtype) in _kernels


def check_activation(own, dtype):
    """Raise ValueError unless f and its derivative can be compiled and are finite; warn where df is not f's
    derivative.

    What the functions refer to is looked up again.
    """
    z = _grid().astype(dtype)
    _kernel(own, dtype, renew=True)
    _check_finite(own, "activation", activation_values(own, z), dtype, z=z)
    if own.df is not None:
        z = _grid()
        _kernel(own, "float64", renew=True)
        values = [activation_values(own, z + shift)[0] for shift in (-_STEP, 0, _STEP)]
        _compare(own, "activation", values, activation_values(own, z)[1], z=z)


def check_loss(own, y, dtype):
    """The same of a loss, for targets of which these are some: a few with many z, many with few."""
    y = np.asarray(y, dtype).ravel()
    y = np.concatenate([y[:: max(1, len(y) // MOST_TARGETS)], [y.min(), y.max()]])
    few = np.unique(np.quantile(y, np.linspace(0, 1, 17), method="nearest"))
    z, pairs = _grid().astype(dtype), [(y, np.zeros_like(y))]
    if own.out_activation == "identity":
        z = np.concatenate([z, *(few + share * np.ptp(few) for share in (-1, -1e-3, 1e-3, 1))])
        pairs.append((y, y))
    pairs.append([each.ravel() for each in np.meshgrid(few, z)])
    y, z = map(np.concatenate, zip(*pairs, strict=True))
    _kernel(own, dtype, renew=True)
    _check_finite(own, "loss", loss_values(own, y, z), dtype, y=y, z=z)
    if own.df is not None:
        _kernel(own, "float64", renew=True)
        y, z = y.astype(np.float64), z.astype(np.float64)
        values = [loss_values(own, y, z + shift)[0] for shift in (-_STEP, 0, _STEP)]
        _compare(own, "loss", values, loss_values(own, y, z)[1], y=y, z=z)


def _check_finite(own, parameter, values_and_slopes, dtype, **at):
    for function, letters, values in zip(
        (own.f, own.df or own.f), ("f", "df"), values_and_slopes, strict=True
    ):
        wrong = ~np.isfinite(values)
        if wrong.any():
            first = np.flatnonzero(wrong)[np.abs(at["z"][wrong]).argmin()]
            derived = " (the derivative, as made from it)" if letters == "df" and own.df is None else ""
            where = ", ".join(f"{name}={float(numbers[first]):g}" for name, numbers in at.items())
            reason = f"gives {values[first]} for {where} in {dtype}{derived}"
            raise _wrong(
                own,
                parameter,
                function,
                reason,
                "It must be finite there: let a condition treat such numbers by themselves",
            )


def _compare(own, parameter, values, slopes, **at):
    """Warn where slopes are not what differences of the values say, away from kinks and jumps, where those of
    both sides differ.
    """
    before, here, after = values
    left, right, both = (here - before) / _STEP, (after - here) / _STEP, (after - before) / (2 * _STEP)
    size = 1 + np.abs(both)
    off = np.where(
        np.abs(right - left) < _DERIVATIVE_TOLERANCE / 4 * size,
        np.abs(slopes - both) / (size + np.abs(slopes)),
        0,
    )
    worst = off.argmax()
    if off[worst] > _DERIVATIVE_TOLERANCE:
        where = ", ".join(f"{name}={numbers[worst]:g}" for name, numbers in at.items())
        warnings.warn(
            f"{parameter}={own!r}: {_place(own.df)} is not the derivative of {name_of(own.f)!r}: for "
            f"{where} it gives {slopes[worst]:.6g}, differences of the values {both[worst]:.6g}. The fit "
            "goes along df. Leave df out to have it made.",
            UserWarning,
            stacklevel=2,
        )
