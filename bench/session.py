"""A run of the comparison: the sides' processes, the rounds in which they take turns, and what is noted on the way."""

import time

from bench import machine
from bench.sides import Failed, Process, sides
from bench.timing import QUIET, peak_gflops

PEAK_ROUNDS = 2_000_000
# A sample during which others took more of the CPUs than this is taken again, so often; the least disturbed one counts.
DISTURBED, TRIES = 0.05, 4


class Session:
    """`processes` maps names of sides to their processes; `notes` says what is absent or failed. A context manager."""

    def __init__(self, n_threads, rounds, libraries=None, quick=False):
        self.n_threads, self.rounds, self.quick, self.notes = n_threads, rounds, quick, []
        self.libraries = libraries
        self.processes, self.about = {}, {}

    def __enter__(self):
        kernel = best_kernel()
        for side in sides(self.n_threads, kernel):
            if self.libraries is None or side.library in self.libraries:
                self._start(side)
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.close()

    def _start(self, side):
        try:
            process = Process(side)
        except ModuleNotFoundError as error:
            self.note(f"{side.name}: {error}")
            return
        self.processes[side.name] = process
        self.about[side.name] = {"library": side.library, "dtype": side.dtype, "threads": side.threads, "group": side.group}

    def note(self, line):
        """Keep a line for the report, once."""
        if line not in self.notes:
            self.notes.append(line)
            print(f"note: {line}", flush=True)

    def attempt(self, name, module, function, **arguments):
        """What the side's process answers, or None and a note if it fails there."""
        try:
            return self.processes[name].call(module, function, **arguments)
        except Failed as failure:
            self.note(f"{name}: {function} failed: {str(failure).strip().splitlines()[-1]}")
            return None

    def in_turns(self, calls):
        """Samples of each call, `rounds` of them, one after the other: {name: [answers]}.

        `calls` maps names to functions that return a dict with "company"; to each comes "peak", the GFLOP/s of the dtype (calls' second item)
        around it.
        """
        samples = {name: [] for name in calls}
        for _ in range(self.rounds):
            for name, (call, dtype) in calls.items():
                samples[name].append(min((sample for sample in self._tries(call, dtype)), key=lambda sample: sample["company"]))
        return samples

    def _tries(self, call, dtype):
        for _ in range(TRIES):
            time.sleep(QUIET)
            before = peak_gflops(dtype, self.n_threads, PEAK_ROUNDS)
            sample = call()
            sample["peak"] = (before + peak_gflops(dtype, self.n_threads, PEAK_ROUNDS)) / 2
            yield sample
            if sample["company"] <= DISTURBED:
                return


def best_kernel():
    """OpenBLAS's fastest kernel for this CPU, or None if that is what NumPy's OpenBLAS has chosen, or if there is no OpenBLAS."""
    from nnfast.engines import cython as engine

    chosen = {pool["architecture"] for pool in machine.blas() if "architecture" in pool}
    best = {"avx512": "SkylakeX", "avx2": "Haswell"}.get(engine.instruction_set())
    return best if chosen and best and chosen.isdisjoint({best, "Sapphirerapids", "Cooperlake", "Zen"} if best != "Haswell" else {best, "Zen"}) else None
