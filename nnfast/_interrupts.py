"""Ctrl-C while libraries are imported, and nothing is there yet that could answer it. It is imported first, and imports little."""

import os
import signal
from contextlib import contextmanager


@contextmanager
def quiet_interrupts():
    """End the process on Ctrl-C at once, without an exception: half-imported libraries print it, or turn it into other errors."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's
        yield
        return
    try:
        signal.signal(signal.SIGINT, _leave)
    except ValueError:  # not the main thread, which alone is told of signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_):
    os.write(2, b"nnfast: interrupted\n")
    os._exit(130)
