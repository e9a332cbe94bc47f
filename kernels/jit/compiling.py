"""How the functions of this folder are compiled: those that Python calls, and those that only they call."""

from numba import njit

OPTIONS = {"nogil": True, "error_model": "numpy"}


def entry(function):
    """Compiled when it is first called, and kept on disk."""
    return njit(**OPTIONS, cache=True)(function)


def inner(function):
    """Compiled for those that call it; not to be called from Python."""
    return njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
