"""A run of one part: the sides' processes, the rounds in which they take turns, and what is noted
on the way.
"""

import time
from functools import partial

from bench.sides import Failed, Process
from bench.timing import QUIET, peak_gflops
from bench.work import UnequalWork

PEAK_ROUNDS = 2_000_000
# A sample during which others took more of the CPUs than this is taken again, so often, unless it takes so
# many seconds; the least disturbed one counts.
DISTURBED, TRIES, SLOW = 0.05, 4, 3
# Seconds after which no further round begins; there are always two.
LONG = 40


class Session:
    """`processes` maps the names of sides to their processes, `notes` says what is absent, `failures` what
    failed, `unequal` what was not the same work. A context manager.
    """

    def __init__(self, n_threads, rounds, libraries=None, quick=False):
        self.n_threads, self.rounds, self.libraries, self.quick = n_threads, rounds, libraries, quick
        self.processes, self.notes, self.failures, self.unequal = {}, [], [], []

    def open(self, sides):
        """Start the processes of these sides, but for libraries that are absent or were not asked for."""
        for side in sides:
            if self.libraries is None or side.framework in self.libraries:
                try:
                    self.processes[side.name] = Process(side)
                except ModuleNotFoundError as error:
                    self.note(f"{side.framework}: {error}")

    def close(self):
        """End the processes."""
        while self.processes:
            self.processes.popitem()[1].close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def note(self, line):
        """Keep a line for the report, once."""
        if line not in self.notes:
            self.notes.append(line)
            print(f"note: {line}", flush=True)

    def check(self, check, *arguments):
        """What the check returns, or None and a line for the report if it raises UnequalWork: a long run goes
        on, and fails at its end.
        """
        try:
            return check(*arguments)
        except UnequalWork as error:
            self.unequal.append(str(error))
            print(f"unequal work: {error}", flush=True)
            return None

    def attempt(self, name, module, function, /, **arguments):
        """What the side's process answers, or None if it fails there, which goes to the failures."""
        try:
            return self.processes[name].call(module, function, **arguments)
        except Failed as failure:
            self.failures.append(f"{name}: {function} failed: {str(failure).strip().splitlines()[-1]}")
            print(self.failures[-1], flush=True)
            return None

    def in_turns(self, module, function, arguments, rounds=None):
        """Samples of each side, one after the other, round by round: {name: [samples]}, without the sides
        that failed, which are noted.

        Parameters
        ----------
        module, function : str
            What a side's process is asked: a dict with "company", a share of the CPUs. To it comes "peak",
            the GFLOP/s of as many threads in the side's dtype just before and after, in the mean.
        arguments : dict of dicts by the names of sides
        rounds : int, default: the session's
        """
        samples, start = {name: [] for name in arguments}, time.perf_counter()
        for number in range(rounds or self.rounds):
            if number >= 2 and time.perf_counter() - start > LONG:
                break
            for name in [*samples]:
                sample = self._sample(name, module, function, arguments[name])
                if sample is None:
                    del samples[name]
                else:
                    samples[name].append(sample)
        return samples

    def _sample(self, name, module, function, arguments):
        """The least disturbed of some tries, or None if one failed."""
        side, tries = self.processes[name].side, []
        peak = partial(peak_gflops, side.dtype, side.threads or self.n_threads, PEAK_ROUNDS)
        for _ in range(TRIES):
            time.sleep(QUIET)
            start = time.perf_counter()
            before = peak()
            sample = self.attempt(name, module, function, **arguments)
            if sample is None:
                return None
            tries.append(sample | {"peak": (before + peak()) / 2})
            if sample["company"] <= DISTURBED or time.perf_counter() - start > SLOW:
                break
        return min(tries, key=lambda sample: sample["company"])
