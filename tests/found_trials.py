"""Fitted searches of trials that are made up, and what is drawn of them."""

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from nnfast.tuning import (
    Space,
    choice,
    layers,
    log_uniform,
    one_minus_log_uniform,
    uniform,
)
from nnfast.tuning.plots import (
    plot_importance,
    plot_learning_curves,
    plot_parallel_coordinates,
    plot_slices,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

PLOTS = [plot_parallel_coordinates, plot_importance, plot_slices, plot_learning_curves]


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    pyplot.close("all")


class Found(BaseSearchCV):
    """A search of nnfast as it is once it is fitted."""

    multimetric_ = False

    def __init__(self, space=None, scoring="accuracy", refit=True):
        super().__init__(LogisticRegression(), scoring=scoring, refit=refit)
        self.space = space


def found(params, scores, status=None, curves=None, space=None, **parameters):
    search = Found(space, **parameters)
    scores = np.array(scores, dtype=float)
    n = len(scores)
    status = np.where(np.isfinite(scores), "complete", "diverged") if status is None else np.array(status)
    empty = {"loss": np.empty(0), "score_epochs": np.empty(0, int), "score": np.empty(0)}
    learning_curve = np.empty(n, dtype=object)
    learning_curve[:] = [empty] * n if curves is None else curves
    search.cv_results_ = {
        "params": params,
        "mean_test_score": scores,
        "std_test_score": np.full(n, 0.01),
        "mean_fit_time": np.linspace(0.1, 0.2, n),
        "mean_score_time": np.zeros(n),
        "status": status,
        "n_epochs": np.full(n, 3),
        "ended": np.arange(1.0, n + 1),
        "learning_curve": learning_curve,
    }
    if (complete := np.isfinite(scores) & (status == "complete")).any():
        search.best_index_ = int(np.nanargmax(np.where(complete, scores, np.nan)))
    return search


def drawn(n=40, seed=0):
    """A search over a space with every kind of scale, with curves, some trials pruned and some diverged."""
    space = {
        "step__learning_rate_init": log_uniform(1e-4, 1.0),
        "step__momentum": one_minus_log_uniform(0.9, 0.999),
        "step__dropout": uniform(0.0, 0.5),
        "step__activation": choice("relu", "tanh"),
        "step__hidden_layer_sizes": layers(depth=(1, 3), width=(16, 64)),
    }
    random = np.random.RandomState(seed)
    params = [Space(space).sample(random) for _ in range(n)]
    scores = np.array([1 - (np.log10(each["step__learning_rate_init"]) + 2) ** 2 / 4 for each in params])
    status = np.array(["complete"] * n, dtype="U10")
    status[1::5], status[2::7] = "pruned", "diverged"
    scores[2::7] = np.nan
    curves = []
    for i in range(n):
        loss = np.linspace(1, 0.1, 4 if status[i] == "complete" else 2)
        curves.append({"loss": loss, "score_epochs": np.array([2]), "score": np.array([0.5])})
    return found(params, scores, status, curves, space)


def table():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(60, 3))
    return X, (X[:, 0] + 0.5 * rng.normal(size=60) > 0).astype(int)


GRID = {"min_samples_leaf": [1, 4, 16, 30], "splitter": ["best", "random"]}


def grid(**parameters):
    return GridSearchCV(DecisionTreeClassifier(random_state=0), GRID, cv=3, **parameters).fit(*table())


ODD = {
    "one trial": found([{"a": 1, "b": "x"}], [0.5]),
    "no score": found([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [np.nan, np.nan]),
    "one score": found([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [np.nan, 0.3]),
    "the same score": found([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [0.3, 0.3]),
    "none complete": found([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [0.3, 0.4], ["pruned", "unfinished"]),
    "constant": found([{"a": 1, "b": "x"}] * 5, [1, 2, 3, 4, 5]),
    "missing": found([{"a": 1}, {"b": 0.5}, {"a": 3, "b": 0.7}], [1, 2, 3]),
    "infinite": found([{"a": 1}, {"a": 2}, {"a": 3}], [1, -np.inf, 3]),
    "objects": found(
        [{"a": StandardScaler()}, {"a": object()}, {"a": make_pipeline(StandardScaler())}], [1, 2, 3]
    ),
    "user's text": found(
        [{"a_$x$": "<b>&$y$</b>" * 9}, {"a_$x$": "\N{SNOWMAN}\n漢"}, {"a_$x$": ""}], [1, 2, 3]
    ),
    "many choices": found([{"a": f"choice {i}"} for i in range(26)], range(26)),
    "outliers": found([{"a": i} for i in range(20)], [*np.linspace(0.5, 0.9, 16), -1e9, -1e9, -3e8, -1e12]),
}
