"""Small fits that are steered after some of their epochs, and whether two of them are the same."""

import functools
import tomllib
import warnings

import numpy as np
import pytest
import small as small_ones
from sklearn.exceptions import ConvergenceWarning

from nnfast.callbacks import Callback

table = functools.partial(small_ones.table, n_samples=60)
small = functools.partial(small_ones.small, max_iter=6, shuffle=False)

ENGINES = pytest.mark.parametrize("engine", ["cython", "numba"])


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def same(ours, others):
    pairs = zip(ours.coefs_ + ours.intercepts_, others.coefs_ + others.intercepts_, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def agree(ours, others):
    """Whether two fits are one: to the bit, or with Numba's engine, whose sums go by where arrays begin, to
    rounding.
    """
    if ours.engine != "numba":
        return same(ours, others) and ours.loss_curve_ == others.loss_curve_
    pairs = zip(ours.coefs_ + ours.intercepts_, others.coefs_ + others.intercepts_, strict=True)
    return all(np.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in pairs) and np.allclose(
        ours.loss_curve_, others.loss_curve_
    )


class At(Callback):
    """Does something after some epochs: a dict of epoch -> function(state), or an exception to raise."""

    def __init__(self, acts):
        self.acts = acts

    def __getstate__(self):
        return {"acts": {}}  # functions do not pickle

    def on_fit_begin(self, estimator, state):
        self.on_epoch_end(estimator, state)

    def on_epoch_end(self, estimator, state):
        act = self.acts.get(state.epoch)
        if isinstance(act, BaseException):
            raise act
        if act is not None:
            act(state)


def setting(**values):
    def act(state):
        for name, value in values.items():
            setattr(state, name, value)
            assert getattr(state, name) == value

    return act


def writing(path, texts):
    """A callback that writes these texts (bytes, or None to delete) to the control file after these
    epochs.
    """

    def act(text):
        return lambda state: (
            path.unlink()
            if text is None
            else path.write_bytes(text if isinstance(text, bytes) else text.encode())
        )

    return At({epoch: act(text) for epoch, text in texts.items()})


def told(path):
    return tomllib.loads(path.with_suffix(".state.toml").read_text(encoding="utf-8"))
