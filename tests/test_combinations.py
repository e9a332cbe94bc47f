"""Options together: whatever is combined, a fit gives the same bits on any number of threads, goes on,
pickles, and predicts what the reference does.
"""

import pickle
import warnings

import numpy as np
import pytest
import reference
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from small import QUIET, UNUSED_OPTIONS

from nnfast import MLPClassifier, MLPRegressor
from nnfast.activations import ACTIVATIONS, ALIASES, resolve_activations
from nnfast.initializers import INITIALIZERS
from nnfast.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from nnfast.optimizers import OPTIMIZERS
from nnfast.schedules import SCHEDULES

pytestmark = [QUIET, UNUSED_OPTIONS]

# What a combination is drawn from. The first of each is the default.
SHARED = {
    "hidden_layer_sizes": [(12,), (9, 17), (33, 8, 5)],
    "activation": [
        "relu",
        *(name for name in (*ACTIVATIONS, *ALIASES) if name != "relu"),
        ("leaky_relu", 0.2),
        ("elu", {"alpha": 0.5}),
    ],
    "initializer": ["glorot_uniform", "auto", *(name for name in INITIALIZERS if name != "glorot_uniform")],
    "normalization": [None, "batch", "layer"],
    "dropout": [0.0, 0.3],
    "input_dropout": [0.0, 0.2],
    "solver": ["adam", *(name for name in OPTIMIZERS if name != "adam")],
    "learning_rate": ["constant", *(name for name in SCHEDULES if name != "constant")],
    "l1": [0.0, 0.05],
    "clip_norm": [None, 0.5],
    "clip_value": [None, 0.1],
    "max_norm": [None, 1.0],
    "batch_size": [16, 32, 49],
    "early_stopping": [False, True],
    "precision": ["auto", "float32"],
}
CLASSIFIER = {"loss": CLASSIFIER_LOSSES, "class_weight": [None, "balanced"], "label_smoothing": [0.0, 0.1]}
REGRESSOR = {"loss": REGRESSOR_LOSSES}
TABLES = ["dense", "sparse", "float32", "integers"]
N_COMBINATIONS = 60


def draw(seed):
    """A combination and its table: (estimator, X, y, sample_weight)."""
    rng = np.random.RandomState(seed)
    pick = lambda values: values[0 if rng.uniform() < 0.4 else rng.randint(len(values))]
    classifies = seed % 2
    options = {
        name: pick(values) for name, values in (SHARED | (CLASSIFIER if classifies else REGRESSOR)).items()
    }
    if options.get("loss") == "focal":
        options["label_smoothing"] = 0.0
    X = rng.normal(size=(98, 11))
    signal = X[:, 0] + 0.3 * rng.normal(size=len(X))
    kind = TABLES[rng.randint(len(TABLES))]
    if kind == "sparse":
        X = scipy.sparse.csr_matrix(X * (rng.uniform(size=X.shape) < 0.08))
    elif kind == "float32":
        X = X.astype(np.float32)
    elif kind == "integers":
        X = (4 * X).astype(np.int16)
    if classifies:
        y = np.digitize(signal, [0.0] if rng.uniform() < 0.5 else [-0.7, 0.7])
    else:
        y = np.exp(signal / 2)
    weight = rng.uniform(0.1, 2, X.shape[0]) if rng.uniform() < 0.5 else None
    make = MLPClassifier if classifies else MLPRegressor
    return make(max_iter=3, random_state=seed, **options), X, y, weight


def learned(estimator):
    names = ("coefs_", "intercepts_", "norm_scales_", "norm_shifts_", "running_means_", "running_variances_")
    return [array for name in names for array in getattr(estimator, name, ())]


def outputs(estimator, X):
    return estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.predict(X)


@pytest.mark.parametrize("seed", range(N_COMBINATIONS))
def test_any_combination(seed):
    estimator, X, y, weight = draw(seed)
    fits = [clone(estimator).set_params(n_threads=n).fit(X, y, weight) for n in (1, 3)]
    assert [a.tobytes() for a in learned(fits[0])] == [a.tobytes() for a in learned(fits[1])]
    assert fits[0].loss_curve_ == fits[1].loss_curve_
    assert all(np.isfinite(a).all() for a in learned(fits[0])) and np.isfinite(fits[0].loss_curve_).all()

    fitted = fits[0]
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(outputs(again, X), outputs(fitted, X))
    one_by_one = np.concatenate([outputs(fitted, X[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(
        one_by_one, outputs(fitted, X)[:5], rtol=1e-5 if fitted.precision == "float32" else 1e-9, atol=1e-6
    )
    # which partial_fit refuses
    if not fitted.early_stopping and getattr(fitted, "class_weight", None) is None:
        before = learned(fitted)[0].copy()
        fitted.partial_fit(X, y)
        again.partial_fit(X, y)
        assert [a.tobytes() for a in learned(fitted)] == [a.tobytes() for a in learned(again)]
        if fitted.learning_rate_curve_[-1] > 0:  # a schedule may have come to its end
            assert not np.array_equal(before, learned(fitted)[0])


@pytest.mark.parametrize("seed", range(N_COMBINATIONS))
def test_any_combination_predicts_what_the_reference_does(seed):
    estimator, X, y, weight = draw(seed)
    estimator.fit(X, y, weight)
    dense = np.asarray(X.todense() if scipy.sparse.issparse(X) else X, np.float64)
    parameters = estimator._parameters()
    for arrays in vars(parameters).values():
        arrays[:] = [array.astype(np.float64) for array in arrays]
    n_hidden = len(parameters.coefs) - 1
    activations = resolve_activations(estimator.activation, estimator.activation_params, n_hidden)
    loss = {
        "softmax": "log_loss",
        "logistic": "binary_log_loss",
        "identity": "squared_error",
        "exp": "poisson",
    }[estimator.out_activation_]
    network = reference.Network(
        parameters.coefs,
        parameters.intercepts,
        activations,
        loss,
        normalization=estimator.normalization,
        eps=estimator.norm_eps,
        scales=parameters.scales,
        shifts=parameters.shifts,
        means=parameters.means,
        variances=parameters.variances,
    )
    expected = network.predict(dense)
    got = outputs(estimator, X).reshape(len(dense), -1)
    if loss == "binary_log_loss":
        got = got[:, 1:]
    single = estimator.precision == "float32" or X.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=2e-3 if single else 1e-9, atol=1e-4 if single else 1e-11)


def test_options_in_a_grid_search():
    _, X, y, _ = draw(1)
    grid = {
        "activation": ["relu", "gelu", ("elu", 0.5)],
        "normalization": [None, "batch"],
        "dropout": [0.0, 0.2],
        "learning_rate": ["constant", SCHEDULES["cosine"](warmup=2)],
        "solver": ["adam", OPTIMIZERS["lion"](beta_2=0.99)],
    }
    search = GridSearchCV(MLPClassifier((10,), max_iter=2, random_state=0), grid, cv=2, n_jobs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.cv_results_["params"]) == 48
