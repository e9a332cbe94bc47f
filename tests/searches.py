"""The searches that the tests of nnfast.tuning train: few trials of small networks on a small table."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from nnfast import MLPClassifier
from nnfast.tuning import (
    BayesianSearchCV,
    CoarseToFineSearchCV,
    HyperbandSearchCV,
    layers,
    log_uniform,
)

X, Y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
RATES = {"learning_rate_init": log_uniform(1e-4, 1.0)}
RATES_AND_LAYERS = RATES | {"hidden_layer_sizes": layers((1, 2), (4, 12))}
# Few trials each.
SEARCHES = {
    "coarse to fine": (CoarseToFineSearchCV, {"n_rounds": 2, "n_candidates": 4}),
    "hyperband": (HyperbandSearchCV, {"max_epochs": 9}),
    "bayes": (BayesianSearchCV, {"n_trials": 13}),
}


def network(**parameters):
    return MLPClassifier(
        **{"hidden_layer_sizes": (8,), "batch_size": 32, "max_iter": 12, "tol": 1, "random_state": 0}
        | parameters
    )


def search(name, estimator=None, space=RATES, **parameters):
    cls, few = SEARCHES[name]
    estimator = network() if estimator is None else estimator
    return cls(estimator, space, **few | {"cv": 3, "random_state": 0} | parameters)


def fitted(made, *args, **kwargs):
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return made.fit(*args, **kwargs)


def in_pipeline(space):
    return {f"mlp__{name}": scale for name, scale in space.items()}


PIPELINE = Pipeline([("scale", StandardScaler()), ("mlp", network())])


every_search = pytest.mark.parametrize("name", SEARCHES)
WEIGHTS = np.random.RandomState(0).uniform(0.1, 1, len(X))
