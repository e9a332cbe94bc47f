"""Fitted networks of every kind, and the table that they predict."""

import numpy as np

from nnfast import MLPClassifier, MLPRegressor
from nnfast.activations import ACTIVATIONS
from nnfast.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from nnfast.normalization import NORMALIZATIONS

DTYPES = ["float32", "float64"]
ROWS = (1, 2, 4, 5, 33, 128, 129, 1000)  # one at a time, together, and in several parts
N_FEATURES, HIDDEN = 17, (33, 20)
RNG = np.random.RandomState(0)
X = RNG.normal(size=(ROWS[-1], N_FEATURES))
CLASSES = {
    "three classes": np.array(["a", "b", "c"])[RNG.randint(0, 3, len(X))],
    "two classes": RNG.randint(0, 2, len(X)),
    "one class": np.zeros(len(X), int),
    "several labels": RNG.randint(0, 2, (len(X), 6)),
    "forty classes": RNG.randint(0, 40, len(X)),
}
TARGETS = {"one target": np.abs(X[:, 0]) + 0.1, "several targets": np.abs(X[:, :5]) + 0.1}

FITS = {
    **{
        f"{loss}, {what}": (MLPClassifier, {"loss": loss}, y)
        for loss in CLASSIFIER_LOSSES
        for what, y in CLASSES.items()
    },
    **{
        f"{loss}, {what}": (MLPRegressor, {"loss": loss}, y)
        for loss in REGRESSOR_LOSSES
        for what, y in TARGETS.items()
    },
    "several quantiles": (
        MLPRegressor,
        {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]},
        TARGETS["one target"],
    ),
    **{
        f"{activation}, {normalization}": (
            MLPClassifier,
            {"activation": activation, "normalization": normalization},
            CLASSES["three classes"],
        )
        for activation in ACTIVATIONS
        for normalization in (None, *NORMALIZATIONS)
    },
    "no hidden layer": (MLPClassifier, {"hidden_layer_sizes": ()}, CLASSES["three classes"]),
    "no hidden layer, many classes": (MLPClassifier, {"hidden_layer_sizes": ()}, CLASSES["forty classes"]),
    "deep": (MLPRegressor, {"hidden_layer_sizes": (1, 300, 270, 3)}, TARGETS["several targets"]),
    "an activation a layer": (
        MLPRegressor,
        {"activation": [("leaky_relu", 0.3), "tanh"]},
        TARGETS["one target"],
    ),
    **{
        f"precision {dtype}": (MLPClassifier, {"precision": dtype}, CLASSES["three classes"])
        for dtype in DTYPES
    },
    **{
        f"two classes, precision {dtype}": (MLPClassifier, {"precision": dtype}, CLASSES["two classes"])
        for dtype in DTYPES
    },
    "lbfgs": (MLPRegressor, {"solver": "lbfgs", "batch_size": "auto"}, TARGETS["several targets"]),
}


def fitted(what="three classes", dtype="float64", **parameters):
    cls, own, y = FITS.get(what) or (MLPClassifier, {}, CLASSES[what])
    estimator = cls(
        **{"hidden_layer_sizes": HIDDEN, "max_iter": 1, "batch_size": 50, "random_state": 0}
        | own
        | parameters
    )
    return estimator.fit(X.astype(dtype)[:100], y[:100])


def answers(predictor):
    """The methods of an estimator or compiled predictor that give numbers, of an array of rows."""
    return predictor.predict_proba if hasattr(predictor, "classes_") else predictor.predict


def assert_same_bits(got, expected):
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert np.ascontiguousarray(got).tobytes() == np.ascontiguousarray(expected).tobytes()
