"""Errors of the system beside those that handlers of signals raise: TimeoutError, which many raise on an
alarm, is an OSError, too.
"""

import contextlib
import signal
import traceback
from functools import partial


def raised_by_handler(error):
    """Whether the handler of a signal raised this exception; to be asked where it was caught."""
    codes = {_code(signal.getsignal(each)) for each in signal.valid_signals()} - {None}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def _code(handler):
    """The code of a handler that is written in Python: a function, a method, a partial one, or an object that
    can be called.
    """
    while isinstance(handler, partial):
        handler = handler.func
    if not hasattr(handler, "__code__"):
        handler = getattr(handler, "__func__", None) or getattr(type(handler), "__call__", None)
    return getattr(handler, "__code__", None)


class suppress(contextlib.suppress):
    """As contextlib's, but what the handler of a signal raises passes."""

    def __exit__(self, kind, error, trace):
        return super().__exit__(kind, error, trace) and not raised_by_handler(error)
