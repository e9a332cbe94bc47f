"""The process of one library: calls functions by name as long as the parent asks, and answers with what they
return.

Requests and answers are pickles on standard input and output; what a library prints goes to standard error.
"""

import os
import pickle
import sys
import traceback
from importlib import import_module


def serve():
    """Answer (module, function, arguments) with (True, result) or (False, traceback), until the
    input ends.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            module, function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = True, getattr(import_module(module), function)(**arguments)
        except Exception:
            answer = False, traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()


def use_cpus(n_threads):
    """Keep this process, and the thread pools that libraries are about to make, to the last n_threads of its
    CPUs.
    """
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[-n_threads:])


if __name__ == "__main__":
    serve()
