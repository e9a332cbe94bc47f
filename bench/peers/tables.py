"""End to end on real tables: one fit of each library, timed whole, and its score on the rows held out.

nnfast, scikit-learn and skorch train the same network for the same number of epochs; LightGBM and XGBoost do
what their defaults say.
"""

import numpy as np

from bench.work import LEARNING_RATE

HIDDEN, BATCH_SIZE = (128, 128), 200


def estimator(library, dtype, table, epochs):
    """An unfitted estimator of the library for the table's task."""
    classifies = table.task == "classification"
    if library in ("nnfast", "scikit-learn"):
        import sklearn.neural_network

        import nnfast

        kinds = nnfast if library == "nnfast" else sklearn.neural_network
        words = {"precision": dtype} if library == "nnfast" else {}
        kind = kinds.MLPClassifier if classifies else kinds.MLPRegressor
        return kind(
            hidden_layer_sizes=HIDDEN,
            batch_size=BATCH_SIZE,
            max_iter=epochs,
            tol=0.0,
            n_iter_no_change=10**9,
            random_state=0,
            **words,
        )
    if library == "skorch":
        return _skorch(table, epochs, classifies)
    if library == "LightGBM":
        import lightgbm

        return (lightgbm.LGBMClassifier if classifies else lightgbm.LGBMRegressor)(verbose=-1, random_state=0)
    import xgboost

    return (xgboost.XGBClassifier if classifies else xgboost.XGBRegressor)(random_state=0)


def data(library, table):
    """(X_train, y_train, X_test, y_test) as the library takes them: float64, as users have it,
    where it can.
    """
    X_train, y_train, X_test, y_test = table.X_train, table.y_train, table.X_test, table.y_test
    if library == "skorch":
        X_train, X_test = X_train.astype(np.float32), X_test.astype(np.float32)
        y_train = (
            y_train.astype(np.int64)
            if table.task == "classification"
            else y_train.astype(np.float32)[:, None]
        )
    return X_train, y_train, X_test, y_test


def _skorch(table, epochs, classifies):
    import skorch
    import torch

    units = (table.n_features, *HIDDEN, int(table.y_train.max()) + 1 if classifies else 1)
    layers = []
    for fan_in, fan_out in zip(units, units[1:]):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    torch.manual_seed(0)
    return (skorch.NeuralNetClassifier if classifies else skorch.NeuralNetRegressor)(
        torch.nn.Sequential(*layers[:-1]),
        criterion=torch.nn.CrossEntropyLoss if classifies else torch.nn.MSELoss,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        max_epochs=epochs,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
    )
