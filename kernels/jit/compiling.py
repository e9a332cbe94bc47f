"""How the functions of this folder are compiled: those that Python calls, those that are called by address,
and those that only these call.

The first two kinds are kept on disk. Numba looks whether a function's own file has changed since, so names
have a digest of all that might be in it.
"""

import hashlib
from functools import cache, wraps
from pathlib import Path

import numpy as np
from numba import cfunc, njit, types

from nnfast import regularization

OPTIONS = {"error_model": "numpy"}


def entry(function):
    """Compiled when it is first called, from Python, with the types that it gets."""
    return njit(**OPTIONS, nogil=True, cache=True)(_named(function))


def inner(function):
    """Compiled for those that call it; not to be called from Python."""
    return njit(**OPTIONS, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def c_function(arguments):
    """Made a function of a dtype, whose answer, compiled when it is first asked for, has the `address` of a C
    function that returns nothing.

    arguments: a letter for each, T for a pointer to the dtype's numbers, i for an integer and d for a
    float64.
    """

    def decorate(function):
        @cache
        def of(name):
            letters = {"T": types.CPointer(getattr(types, name)), "i": types.intp, "d": types.float64}
            return cfunc(types.void(*(letters[letter] for letter in arguments)), **OPTIONS, cache=True)(
                _named(function)
            )

        return wraps(function)(lambda dtype: of(np.dtype(dtype).name))

    return decorate


def _named(function):
    function.__qualname__ = f"{function.__name__}_{_digest()}"
    return function


@cache
def _digest():
    sources = [*sorted(Path(__file__).parent.glob("*.py")), Path(regularization.__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
