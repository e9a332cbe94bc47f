"""A small table of all kinds of columns, and small tabular estimators, for their tests."""

import numpy as np
import pytest

from nnfast.tabular import TabularClassifier, TabularRegressor

pd = pytest.importorskip("pandas")

BOTH = pytest.mark.parametrize("cls", [TabularClassifier, TabularRegressor])


def table(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
            "c": rng.choice(list("xyz"), n),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.permutation(n), "D"),
        }
    )
    return X, X.a.to_numpy() + (X.c == "x") + 0.3 * rng.normal(size=n)


def quick(cls, **more):
    return cls(**{"quality": "fast", "random_state": 0, "n_jobs": 1} | more)


def targets(cls, z):
    return (z > 0.3).astype(int) if cls is TabularClassifier else z


def outputs(estimator, X):
    return estimator.predict_proba(X) if hasattr(estimator, "classes_") else estimator.predict(X)


X, Z = table()
CODES = np.digitize(Z, [0, 1])
NAN = np.where(np.arange(len(X)) == 3, np.nan, Z)
