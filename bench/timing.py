"""Timing on machines that others share: everything compared is measured in turns, in one process, and the
best turn counts.

A turn begins when the threads of the one before have gone to sleep: OpenBLAS's keep their cores busy for a
tenth of a second after a product.
"""

import threading
import time

import numpy as np
from nnfast.kernels.engine import KernelTable

from nnfast.engines import cython as engine

QUIET = 0.2  # seconds


def seconds(function):
    """Seconds of one call, after a moment of rest."""
    time.sleep(QUIET)
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(functions, rounds):
    """Seconds of each function, `rounds` times, one after the other: an array of shape (rounds,
    n_functions).
    """
    return np.array([[seconds(function) for function in functions] for _ in range(rounds)])


def peak_gflops(dtype, n_threads, rounds=10_000_000):
    """GFLOP/s of multiply-adds in registers, by n_threads at once, with the instruction set in use."""
    table = KernelTable(engine.instruction_set(), dtype)
    operations = []
    threads = [
        threading.Thread(target=lambda: operations.append(table.multiply_add(rounds)))
        for _ in range(n_threads)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(operations) / (time.perf_counter() - start) / 1e9


def beside_peak(function, dtype, n_threads):
    """Seconds of one call, and the GFLOP/s of the peak just before and after it, in the mean: shared cores
    change speed within seconds.
    """
    before = peak_gflops(dtype, n_threads)
    time_taken = seconds(function)
    return time_taken, (before + peak_gflops(dtype, n_threads)) / 2


def percent_of_peak(flops, turns):
    """Median over the turns of beside_peak()."""
    return float(np.median([100 * flops / time_taken / 1e9 / peak for time_taken, peak in turns]))
