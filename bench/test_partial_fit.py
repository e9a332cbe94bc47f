"""Online learning: what a call of `partial_fit` costs beside scikit-learn's, and after a million calls beside
the first ones.
"""

import numpy as np
import pytest
import sklearn.neural_network

import nnfast
from bench.timing import in_turns

CALLS, ROUNDS = 100, 9


def call_many_times(estimator, X, y):
    return lambda: [estimator.partial_fit(X, y) for _ in range(CALLS)]


@pytest.mark.parametrize("name", ["MLPRegressor", "MLPClassifier"])
def test_few_rows(name, report):
    """The default network, which has 100 hidden units."""
    rng = np.random.RandomState(0)
    for n_rows in (1, 2, 4, 8, 16, 32):
        X = rng.standard_normal((n_rows, 20))
        y, classes = (
            (X.sum(1), {}) if name == "MLPRegressor" else (np.arange(n_rows) % 2, {"classes": [0, 1]})
        )
        sides = [
            getattr(library, name)(random_state=0).partial_fit(X, y, **classes)
            for library in (sklearn.neural_network, nnfast)
        ]
        theirs, ours = 1e6 * in_turns([call_many_times(side, X, y) for side in sides], ROUNDS).T / CALLS
        cells = {
            "scikit-learn": f"{theirs.min():.0f}",
            "nnfast": f"{ours.min():.0f}",
            "times faster": f"{theirs.min() / ours.min():.2f}",
        }
        report("partial_fit, microseconds a call", estimator=name, rows=n_rows, **cells)
        assert ours.min() < 1.2 * theirs.min()


def test_after_a_million_calls(report):
    X = np.random.RandomState(0).standard_normal((5, 4))
    young, old = (
        nnfast.MLPRegressor(hidden_layer_sizes=(8,), random_state=0).partial_fit(X, X.sum(1))
        for _ in range(2)
    )
    n = 1_000_000
    for name in ("loss_curve_", "learning_rate_curve_"):
        setattr(old, name, getattr(old, name) * n)
    old.history_ = {name: np.resize(values, n) for name, values in old.history_.items()}
    first, last = (
        1e6 * in_turns([call_many_times(each, X, X.sum(1)) for each in (young, old)], ROUNDS).T / CALLS
    )
    cells = {"the first": f"{first.min():.0f}", f"after {n:,} others": f"{last.min():.0f}"}
    report("partial_fit of 5 rows, microseconds a call", estimator="MLPRegressor", **cells)
    assert len(old.loss_curve_) == len(old.history_["seconds"]) == n + ROUNDS * CALLS
    assert last.min() < 1.3 * first.min()
