"""Small tables and small estimators, which train in milliseconds, for the tests of the estimators."""

import pickle

import numpy as np
import pytest

from nnfast import MLPClassifier, MLPRegressor

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Of tests that give options values whether or not they have an effect.
UNUSED_OPTIONS = pytest.mark.filterwarnings("ignore::nnfast.exceptions.UnusedOptionWarning")
QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def table(n_samples=40, n_features=4):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_samples, n_features))
    return X, (X[:, 0] + 0.3 * rng.normal(size=n_samples) > 0).astype(int)


def small(cls=MLPClassifier, **parameters):
    batches = {} if parameters.get("solver") == "lbfgs" else {"batch_size": 16}
    return cls(**{"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0} | batches | parameters)


def frozen(estimator):
    """A copy of everything an estimator is."""
    return pickle.dumps(estimator)
