"""Ctrl-C while the command's libraries are imported. This module is the first one, and imports
little itself.
"""

import os
import signal
from contextlib import contextmanager


@contextmanager
def quiet_interrupts():
    """End the process at once on Ctrl-C: an exception would be printed, or become another one, in
    an import.
    """
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
