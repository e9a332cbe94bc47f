"""Small fits with callbacks that note or do something, and whether two of them are the same."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from nnfast import MLPClassifier, UnusedOptionWarning
from nnfast.callbacks import Callback

SOLVERS = pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UnusedOptionWarning)  # all solvers are given the same
        yield


def table(n_samples=60):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_samples, 4))
    return X, (X[:, 0] + 0.5 * rng.normal(size=n_samples) > 0).astype(int)


def small(cls=MLPClassifier, **parameters):
    return cls(
        **{"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0, "batch_size": 16} | parameters
    )


def same(ours, others):
    pairs = zip(ours.coefs_ + ours.intercepts_, others.coefs_ + others.intercepts_, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


class Log(Callback):
    """Notes every call, and fails where it is told to."""

    def __init__(self, calls, name="", fails_in=None, error=RuntimeError, at=2):
        self.calls, self.name, self.fails_in, self.error, self.at = calls, name, fails_in, error, at

    def note(self, hook, state):
        self.calls.append((self.name, hook, state.epoch))
        if hook == self.fails_in and (hook != "on_epoch_end" or state.epoch == self.at):
            raise self.error(f"{hook} of {self.name}")

    def on_fit_begin(self, estimator, state):
        self.note("on_fit_begin", state)

    def on_epoch_end(self, estimator, state):
        self.note("on_epoch_end", state)

    def on_fit_end(self, estimator, state):
        self.note("on_fit_end", state)
