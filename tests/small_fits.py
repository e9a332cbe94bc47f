"""Small fits of every task, and whether two of them are the same."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from nnfast import MLPClassifier, MLPRegressor, UnusedOptionWarning

STOCHASTIC = ("adam", "sgd", "rmsprop", "adamw", "nadam", "adagrad", "lion", "adabelief")
TASKS = ("multiclass", "binary", "multilabel", "regression", "multi_output")


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UnusedOptionWarning)  # many fits are given the same
        yield


def table(task="binary", n_samples=60):
    """(X, y, sample_weight) of a task that cannot be learned perfectly."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_samples, 4))
    signal = X[:, :3] + 0.8 * rng.normal(size=(n_samples, 3))
    y = {
        "multiclass": np.array(["b", "c", "a"])[signal.argmax(axis=1)],
        "binary": np.where(signal[:, 0] > 0, 3, -1),
        "multilabel": (signal > 0).astype(int),
        "regression": signal[:, 0],
        "multi_output": signal[:, :2],
    }[task]
    return X, y, rng.uniform(0.2, 2, n_samples)


def small(task="binary", **parameters):
    cls = MLPRegressor if task in ("regression", "multi_output") else MLPClassifier
    defaults = {
        "hidden_layer_sizes": (5,),
        "max_iter": 5,
        "random_state": 0,
        "batch_size": 16,
        "learning_rate_init": 0.01,
    }
    return cls(**defaults | parameters)


def arrays(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


def same(ours, others):
    return all(np.array_equal(a, b) for a, b in zip(arrays(ours), arrays(others), strict=True))


HELD_OUT = np.r_[3:15, 40:48]
