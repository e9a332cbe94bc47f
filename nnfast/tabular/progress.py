"""What a fit of an ensemble says: nothing, a line a member, or a progress bar."""

import threading
import time

from nnfast.reporting import progress_bar


def reporter(verbose, n_epochs, seconds):
    """What `verbose` asks for: False or 0, True or a number, or "progress".

    `n_epochs` are those of all members, `seconds` those of a time budget, or None.
    """
    if verbose == "progress":
        return Bar(n_epochs) if seconds is None else Clock(seconds)
    return Lines() if verbose else Silence()


class Silence:
    """Says nothing; what the other reporters say more."""

    def epoch(self, number, fold, n_epochs, max_epochs):
        """After an epoch of a member; any thread may call it."""

    def member(self, number, fold, member):
        """After a member, or None of one that was not trained."""

    def close(self):
        """At the end, however it comes."""


class Lines(Silence):
    """A line a member, on stdout."""

    def __init__(self):
        self._start = time.monotonic()

    def member(self, number, fold, member):
        if member is not None:
            best = member.curves.best_epoch
            loss = member.curves.validation_loss[best - 1]
            print(
                f"Round {number + 1}, fold {fold + 1}: validation loss {loss:.6g} at epoch {best} of "
                f"{len(member.curves.loss)}; {time.monotonic() - self._start:.1f} s",
                flush=True,
            )


class Bar(Silence):
    """tqdm's bar, on stderr: epochs of all members, and the time left."""

    def __init__(self, n_epochs):
        self._bar, self._lock = progress_bar(total=n_epochs, desc="fit", unit="epoch"), threading.Lock()

    def epoch(self, number, fold, n_epochs, max_epochs):
        with self._lock:
            self._bar.update()

    def close(self):
        self._bar.refresh()
        self._bar.close()


class Clock(Silence):
    """tqdm's bar, on stderr: the seconds of a time budget that are over, and those left."""

    def __init__(self, seconds):
        self._start, self._seconds, self._lock = time.monotonic(), round(seconds, 1), threading.Lock()
        self._bar = progress_bar(total=self._seconds, desc="fit", unit="s")

    def epoch(self, number, fold, n_epochs, max_epochs):
        with self._lock:
            over = min(round(time.monotonic() - self._start, 1), self._seconds)
            self._bar.update(over - self._bar.n)

    def close(self):
        self._bar.refresh()
        self._bar.close()
