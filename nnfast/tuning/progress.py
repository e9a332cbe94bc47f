"""What a search says while it runs: nothing, a line a trial, or a live bar."""

import time

from nnfast.reporting import progress_bar


def reporter(verbose, title, n_trials, seconds):
    """What `verbose` asks for: False or 0, True or a number, or "progress"."""
    if verbose == "progress":
        return Bar(title, n_trials, seconds)
    return Lines() if verbose else Silence()


class Silence:
    """Says nothing; what the other reporters say more."""

    def trial(self, trial, score, best):
        """After a trial, with its score and the best score so far."""

    def close(self):
        """At the end, however it comes."""


class Lines(Silence):
    """A line a trial, on stdout."""

    def trial(self, trial, score, best):
        params = ", ".join(f"{name}={_short(value)}" for name, value in trial.params.items())
        print(
            f"Trial {trial.number + 1}: score {score:.6g}, {trial.status}, {trial.n_epochs} epochs; {params}",
            flush=True,
        )


class Bar(Silence):
    """tqdm's bar, on stderr: trials, the best score so far, and the time left, of the budget where there is
    one.
    """

    def __init__(self, title, n_trials, seconds):
        self._end = None if seconds is None else time.monotonic() + seconds
        self._bar = progress_bar(total=n_trials, desc=title, unit="trial")

    def trial(self, trial, score, best):
        shown = {"best": f"{best:.4g}"}
        if self._end is not None:
            shown["left"] = f"{max(0, self._end - time.monotonic()):.0f}s"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def close(self):
        self._bar.refresh()
        self._bar.close()


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
