"""Writes small pickles of fitted estimators and what they predict, which later versions load.

    python tools/pickles.py FOLDER

Run it by each released version, in an environment of its own, and commit the folder tests/files/VERSION.
`tests/test_old_pickles.py` loads what is there.
"""

import pickle
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def estimators():
    """(name, fitted estimator, table to predict, target to train on or None) of each file."""
    import pandas as pd
    from own_functions_of_files import cost, softsign

    from nnfast import Activation, Loss, MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor
    from nnfast.callbacks import StopAt
    from nnfast.optimizers import Lion
    from nnfast.schedules import Cosine

    rng = np.random.RandomState(0)
    X = rng.normal(size=(60, 3))
    y = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)]
    quiet = {"hidden_layer_sizes": (4, 3), "max_iter": 3, "tol": 1e9, "random_state": 0}
    classifiers = {
        "plain": {"warm_start": "full"},
        "float32": {"precision": "float32", "solver": "nadam", "activation": "gelu", "warm_start": "full"},
        "batch normalization": {"normalization": "batch", "learning_rate": "cosine", "warm_start": "full"},
        "layer normalization": {"normalization": "layer", "solver": "lbfgs"},
        "early stopping": {
            "early_stopping": True,
            "solver": Lion(beta_2=0.98),
            "dropout": 0.2,
            "scoring": "accuracy",
        },
        "callbacks": {
            "callbacks": [StopAt(loss=0.1)],
            "learning_rate": Cosine(warmup=2),
            "warm_start": "full",
        },
        "own activation": {"activation": Activation(softsign)},
    }
    for name, changes in classifiers.items():
        yield name, MLPClassifier(**quiet | changes).fit(X, y), X, y if "warm_start" in changes else None
    yield "two classes", MLPClassifier(**quiet, loss="focal").fit(X, y == "a"), X, None
    labels = np.stack([y == "a", y == "b"], axis=1).astype(int)
    yield "labels", MLPClassifier(**quiet).fit(X, labels), X, None
    target = X @ [1.0, 2.0, 3.0]
    yield "regressor", MLPRegressor(**quiet).fit(X, target), X, None
    yield "partial fit", MLPRegressor(**quiet).partial_fit(X, target).partial_fit(X, target), X, target
    yield "quantiles", MLPRegressor(**quiet, loss="quantile", quantile=[0.1, 0.9]).fit(X, target), X, None
    yield "own loss", MLPRegressor(Loss(cost), **quiet).fit(X, target), X, None
    table = {"n": X[:, 0].tolist(), "c": np.where(X[:, 1] > 0, "u", "v").tolist(), "m": X[:, 2].tolist()}
    table["m"][::7] = [None] * len(table["m"][::7])
    frame = pd.DataFrame(table)
    yield "tabular classifier", TabularClassifier(quality="fast", random_state=0).fit(frame, y), table, None
    yield (
        "tabular regressor",
        TabularRegressor(quality="fast", random_state=0).fit(frame, target),
        table,
        None,
    )


def answers(estimator, X):
    """What the estimator predicts, by method."""
    import pandas as pd

    X = pd.DataFrame(X) if isinstance(X, dict) else X
    methods = [each for each in ("predict", "predict_proba") if hasattr(estimator, each)]
    return {each: getattr(estimator, each)(X) for each in methods}


def continued(estimator, X, y):
    """What the estimator predicts after it was trained on."""
    estimator = pickle.loads(pickle.dumps(estimator))
    return answers((estimator.fit if estimator.warm_start else estimator.partial_fit)(X, y), X)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    for name, estimator, X, y in estimators():
        content = {"estimator": pickle.dumps(estimator, 4), "X": X, "answers": answers(estimator, X)}
        if y is not None:
            content |= {"y": y, "continued": continued(estimator, X, y)}
        (folder / f"{name.replace(' ', '_')}.pkl").write_bytes(pickle.dumps(content, 4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
