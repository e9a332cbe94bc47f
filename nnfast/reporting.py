"""What a fit says: a line an epoch or a progress bar, its warnings, and its words for what went wrong."""

import sys
import warnings

from sklearn.base import is_regressor
from sklearn.exceptions import ConvergenceWarning

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
    " preprocessed."
)
SCALE = "Scale X, for example with sklearn.preprocessing.StandardScaler."


def cure(p, rate):
    """What to do about a stochastic fit that diverged; `rate` is the one that learning_rate_init="auto"
    found.
    """
    now = f"'auto', which is {rate:g} here" if isinstance(p.learning_rate_init, str) else p.learning_rate_init
    what = "X and y" if is_regressor(p) else "X"
    return f"Lower learning_rate_init, now {now}, or scale {what}, for example with StandardScaler."


def warn(message):
    """Give a ConvergenceWarning."""
    # The caller that a user knows is fit or partial_fit, far up a stack of varying depth: no stacklevel is
    # right.
    warnings.warn(message, ConvergenceWarning)


def reporter(verbose, max_epochs, title):
    """What says the epochs as the parameter `verbose` wants: nothing, scikit-learn's lines, or a progress
    bar.
    """
    if isinstance(verbose, str):
        return ProgressBar(max_epochs, title)
    return Lines() if verbose else Silence()


class Silence:
    """Says nothing; what the other reporters say more."""

    def epoch(self, n_iter, loss):
        """After the training of an epoch."""

    def validation(self, score):
        """After its validation."""

    def remark(self, *words):
        """On a learning rate that was found, a stall, or a stop that a callback asked for."""

    def close(self):
        """At the end, however it comes."""


class Lines(Silence):
    """scikit-learn's lines, on stdout."""

    def epoch(self, n_iter, loss):
        print(f"Iteration {n_iter}, loss = {loss:.8f}")

    def validation(self, score):
        print(f"Validation score: {score:f}")

    def remark(self, *words):
        print(*words)


class ProgressBar(Silence):
    """tqdm's bar, on stderr: epochs, loss, validation score, and the time left if no epoch is saved."""

    def __init__(self, max_epochs, title):
        self._bar = progress_bar(total=max_epochs, desc=title, unit="epoch")
        self._shown = {}

    def epoch(self, n_iter, loss):
        self._shown["loss"] = f"{loss:.4g}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update()

    def validation(self, score):
        self._shown["score"] = f"{score:.4g}"
        self._bar.set_postfix(self._shown, refresh=False)

    def remark(self, *words):
        if not self._bar.disable:
            self._bar.write(" ".join(words), file=self._bar.fp)

    def close(self):
        self._bar.refresh()  # the last epochs may have come too fast to be shown
        self._bar.close()


def progress_bar(**parameters):
    """A tqdm bar on stderr, which shows nothing where there is no stderr; ImportError names the extra that
    installs tqdm.
    """
    try:
        from tqdm.std import tqdm
    except ImportError as error:
        raise ImportError("verbose='progress' needs tqdm: pip install 'nnfast[progress]'") from error
    if sys.stderr is None:
        parameters["disable"] = True
    return tqdm(**parameters)
