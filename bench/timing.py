"""Timing on machines that others share: everything compared is measured in turns, in one process, and the best turn counts."""

import threading
import time

import numpy as np

from nnfast.engines import cython as engine
from nnfast.kernels.engine import Table


def seconds(function):
    """Seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(functions, rounds):
    """Seconds of each function, `rounds` times, one after the other: an array of shape (rounds, n_functions)."""
    return np.array([[seconds(function) for function in functions] for _ in range(rounds)])


def peak_gflops(dtype, n_threads, rounds=4_000_000):
    """GFLOP/s of multiply-adds in registers, by n_threads at once, with the instruction set in use."""
    table = Table(engine.instruction_set(), dtype)
    operations = []
    threads = [threading.Thread(target=lambda: operations.append(table.multiply_add(rounds))) for _ in range(n_threads)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(operations) / (time.perf_counter() - start) / 1e9
