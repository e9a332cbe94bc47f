"""Activations and losses of the user's own: they train as built-in ones do, and go wherever those go."""

import copy
import functools
import json
import math
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from custom_fits import bent, cross_entropy, data, fitted, gelu, huber, poisson, squared
from problems import Problem
from scipy import special
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnfast import Activation, Loss, MLPClassifier, MLPRegressor, inspect
from nnfast.activations import ACTIVATIONS, resolve_activations
from nnfast.engines import cython as engine
from nnfast.losses import LOSSES, loss_of
from nnfast.network import Network
from nnfast.normalization import NORMALIZATIONS
from nnfast.regularization import Regularization

pytest.importorskip("numba")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DTYPES = (np.float32, np.float64)


def gelu_slope(z):
    return special.ndtr(z) + z * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def softsign(z):
    return z / (1 + abs(z))


def snake(z, frequency=1.0):
    return z + math.sin(frequency * z) ** 2 / frequency


def squared_slope(y, z):
    return z - y


def asymmetric(y, z):
    return (3 if z < y else 1) * (z - y) ** 2


# ------------------------------------------------------------------------------------------------------------
# As built-in ones

TWINS = {  # own, the same built in, and what the estimator is
    "gelu": ({"activation": Activation(gelu)}, {"activation": "gelu"}, MLPClassifier),
    "gelu with df": ({"activation": Activation(gelu, gelu_slope)}, {"activation": "gelu"}, MLPRegressor),
    "tanh": ({"activation": Activation(math.tanh)}, {"activation": "tanh"}, MLPClassifier),
    "softplus": (
        {"activation": Activation(lambda z: np.logaddexp(0, z))},
        {"activation": "softplus"},
        MLPRegressor,
    ),
    "a layer of two": (
        {"activation": ["elu", Activation(np.tanh)]},
        {"activation": ["elu", "tanh"]},
        MLPClassifier,
    ),
    "squared_error": ({"loss": Loss(squared)}, {"loss": "squared_error"}, MLPRegressor),
    "squared_error with df": (
        {"loss": Loss(squared, squared_slope)},
        {"loss": "squared_error"},
        MLPRegressor,
    ),
    "huber": ({"loss": Loss(huber)}, {"loss": "huber"}, MLPRegressor),
    "poisson": ({"loss": Loss(poisson, out_activation="exp")}, {"loss": "poisson"}, MLPRegressor),
    "log_loss": (
        {"loss": Loss(cross_entropy, out_activation="logistic")},
        {"loss": "log_loss"},
        MLPClassifier,
    ),
}
SETTINGS = {
    "plain": {},
    "lbfgs": {"solver": "lbfgs", "batch_size": "auto", "n_iter_no_change": 10},
    "batch normalization": {"normalization": "batch"},
    "layer normalization": {"normalization": "layer"},
    "dropout": {"dropout": 0.2},
    "early stopping": {"early_stopping": True, "scoring": "loss", "monitor": "loss"},
    "blocks": {"shuffle": "blocks"},
    "sgd": {"solver": "sgd", "momentum": 0.5, "clip_norm": 1.0},
}


def predictions(estimator, X):
    return estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.predict(X)


@pytest.mark.parametrize(("dtype", "n_outputs"), [(np.float64, 1), (np.float64, 3), (np.float32, 3)])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", TWINS)
def test_they_train_as_what_is_built_in(name, setting, n_outputs, dtype):
    own, builtin, cls = TWINS[name]
    X, y = data(cls, builtin.get("loss"), n_outputs)
    X, tolerance = X.astype(dtype), 1e-10 if dtype == np.float64 else 1e-4
    mine, theirs = (fitted(cls, X, y, **SETTINGS[setting], **each) for each in (own, builtin))
    assert mine.out_activation_ == theirs.out_activation_
    np.testing.assert_allclose(mine.loss_, theirs.loss_, rtol=tolerance)
    if setting != "lbfgs":
        np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=tolerance)
    np.testing.assert_allclose(
        predictions(mine, X), predictions(theirs, X), rtol=100 * tolerance, atol=10 * tolerance
    )


@pytest.mark.parametrize("kind", ["dense", "csr", "sparse"])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_same_bits_on_any_number_of_threads(n_threads, kind):
    def bits(n_threads):
        activation = ((Activation(gelu), None), (Activation(snake), None))
        problem = Problem(
            (40, 70, 33, 2), 700, activation=activation, loss="squared_error", kind=kind, dtype=np.float32
        )
        problem.network = Network((40, 70, 33, 2), activation, Loss(huber))
        with problem.session(batch_size=300, n_threads=n_threads) as session:
            return session.epoch(problem.rows, 0.01), [array.tobytes() for array in problem.stored(session)]

    assert bits(n_threads) == bits(1)


# ------------------------------------------------------------------------------------------------------------
# Gradients

GRADIENTS = {
    "gelu": {"activation": Activation(gelu)},
    "softsign": {"activation": Activation(softsign)},
    "snake": {"activation": Activation(functools.partial(snake, frequency=2.0))},
    "bent": {"activation": Activation(bent)},
    "a power": {"activation": Activation(lambda z: z / (1 + z * z) ** 0.5)},
    "with df": {"activation": Activation(gelu, gelu_slope)},
    "squared": {"loss": Loss(squared)},
    "squared with df": {"loss": Loss(squared, squared_slope)},
    "asymmetric": {"loss": Loss(asymmetric)},
    "poisson": {"loss": Loss(poisson, out_activation="exp")},
    "both": {"activation": Activation(snake), "loss": Loss(lambda y, z: math.log(math.cosh(z - y)))},
}


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("n_outputs", [1, 2, 5])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name, n_outputs, normalization):
    own = {"activation": "tanh", "loss": "squared_error"} | GRADIENTS[name]
    activation = ((own["activation"], None),) * 2
    rng = np.random.default_rng(0)
    network = Network(
        (4, 5, 3, n_outputs), activation, own["loss"], normalization=normalization, norm_eps=0.01
    )
    X, y = rng.normal(size=(11, 4)), rng.gamma(2.0, size=(11, n_outputs))
    flat = rng.normal(size=network.n_parameters) / 2
    rows, gradient, other = np.arange(11), np.empty_like(flat), np.empty_like(flat)
    numeric = np.empty_like(flat)
    regularization = Regularization(alpha=0.1)
    with engine.Session(
        network, X, y, dtype=np.float64, batch_size=11, regularization=regularization, n_threads=1
    ) as session:
        loss = session.loss_gradient(flat, gradient, rows)
        for i in range(len(flat)):
            there, back = flat.copy(), flat.copy()
            there[i] += 1e-5
            back[i] -= 1e-5
            numeric[i] = (
                session.loss_gradient(there, other, rows) - session.loss_gradient(back, other, rows)
            ) / (there[i] - back[i])
        if normalization is None:  # the loss itself, from what `inspect` and others compute with
            parameters = network.unpack(flat)
            a = X
            for coef, intercept in list(zip(parameters.coefs, parameters.intercepts, strict=True))[:-1]:
                z = a @ coef + intercept
                a = np.tanh(z) if own["activation"] == "tanh" else own["activation"].function(z)
            z = a @ parameters.coefs[-1] + parameters.intercepts[-1]
            penalty = 0.05 * sum((coef**2).sum() for coef in parameters.coefs) / 11
            np.testing.assert_allclose(loss, loss_of(own["loss"]).value(y, z).mean() + penalty, rtol=1e-12)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7 * np.abs(gradient).max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_closed_forms(dtype):
    z = np.linspace(-5, 5, 101, dtype=dtype)
    own = Activation(softsign)
    a, slope = own.function(z), own.derivative(z, None)
    assert a.dtype == slope.dtype == dtype
    np.testing.assert_allclose(a, z / (1 + abs(z)), rtol=1e-6)
    np.testing.assert_allclose(slope, 1 / (1 + abs(z)) ** 2, rtol=1e-6)
    y, z = np.ones((4, 2), dtype), np.array([[0, 3], [1, 1], [-2, 2], [5, 1]], dtype)
    loss = Loss(asymmetric)
    np.testing.assert_allclose(
        loss.value(y, z), np.where(z < y, 3, 1).astype(dtype).__mul__((z - y) ** 2).mean(axis=1)
    )
    np.testing.assert_allclose(loss.gradient(y, z), np.where(z < y, 3, 1) * (z - y))
    for out_activation, output in (("identity", lambda z: z), ("exp", np.exp), ("logistic", special.expit)):
        np.testing.assert_array_equal(Loss(squared, out_activation=out_activation).output(z), output(z))


# ------------------------------------------------------------------------------------------------------------
# Wherever activations and losses go


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_rows", [1, 3, 5, 64, 65, 300])
def test_every_way_of_predicting_gives_the_same_bits(n_rows, dtype):
    X, y = data(MLPRegressor)
    for parameters in ({}, {"normalization": "layer"}, {"normalization": "batch"}):
        estimator = fitted(
            MLPRegressor, X.astype(dtype), y, activation=Activation(gelu), loss=Loss(huber), **parameters
        )
        rows = X[:n_rows].astype(dtype)
        whole = estimator.predict(X.astype(dtype))[:n_rows]
        for got in (
            estimator.predict(rows),
            estimator.compiled().predict(rows),
            pickle.loads(pickle.dumps(estimator.compiled())).predict(rows),
        ):
            np.testing.assert_array_equal(got, whole)
        np.testing.assert_allclose(estimator.predict(rows.astype(np.float64)), whole, rtol=1e-4, atol=1e-4)


def test_what_looks_inside():
    X, y = data(MLPRegressor)
    own = fitted(MLPRegressor, X, y, activation=["relu", Activation(gelu)], loss=Loss(squared))
    same = fitted(MLPRegressor, X, y, activation=["relu", "gelu"])
    for layer in (1, 2):
        np.testing.assert_allclose(
            own.hidden_activations(X, layer), same.hidden_activations(X, layer), rtol=1e-9, atol=1e-12
        )
    np.testing.assert_allclose(
        inspect.gradient_flow(own, X, y).gradients, inspect.gradient_flow(same, X, y).gradients, rtol=1e-8
    )
    assert inspect.saturation(own, X).activations == ("relu", "gelu")
    assert [len(each) for each in inspect.dead_units(own, X).dead] == [
        len(each) for each in inspect.dead_units(same, X).dead
    ]


@pytest.mark.parametrize("out_activation", ["identity", "exp", "logistic"])
def test_output_activations_of_regressors(out_activation):
    X, y = data(MLPRegressor, n_outputs=2)
    loss = Loss(squared, out_activation=out_activation)
    estimator = fitted(MLPRegressor, X, y, loss=loss, early_stopping=True)
    assert estimator.out_activation_ == out_activation
    np.testing.assert_allclose(
        estimator.predict(X), loss.output(estimator._outputs(X, logits=True)), rtol=1e-12
    )


def test_partial_fit_warm_starts_weights_and_sparse_tables():
    X, y = data(MLPClassifier)
    X[abs(X) < 1.9] = 0
    weight = np.linspace(0.1, 2, len(X))
    for table in (X, scipy.sparse.csr_array(X)):
        pair = []
        for parameters in (
            {"activation": Activation(gelu), "loss": Loss(cross_entropy, out_activation="logistic")},
            {"activation": "gelu"},
        ):
            estimator = MLPClassifier(
                (20,), random_state=0, max_iter=3, warm_start=True, class_weight={0: 1, 1: 3}, **parameters
            )
            estimator.fit(table, y, weight).fit(table, y, weight)
            estimator.partial_fit(table, y)
            pair.append(estimator.predict_proba(table))
        np.testing.assert_allclose(*pair, rtol=1e-9)


def test_bfloat16_products():
    if not engine.bfloat16_units():
        pytest.skip("the CPU has none")
    X, y = data(MLPRegressor)
    X = X.astype(np.float32)
    losses = [
        fitted(MLPRegressor, X, y, precision="bfloat16", activation=each).loss_
        for each in (Activation(gelu), "gelu")
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("isa", engine.instruction_sets())
def test_every_instruction_set(isa):
    code = f"""
import json, warnings
import numpy as np
warnings.simplefilter("ignore")
import sys
sys.path[:0] = {[os.path.dirname(__file__)]!r}
from test_custom_functions import *
X, y = data(MLPRegressor, n_outputs=3)
pairs = (Activation(gelu), Loss(huber)), ("gelu", "huber")
fits = [fitted(MLPRegressor, X.astype(t), y, activation=a, loss=l) for t in DTYPES for a, l in pairs]
print(json.dumps([engine.instruction_set(), *(each.loss_ for each in fits)]))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"NNFAST_ISA": isa}
    )
    assert result.returncode == 0, result.stderr
    used, *losses = json.loads(result.stdout)
    assert used == isa
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    np.testing.assert_allclose(losses[2], losses[3], rtol=1e-10)


@pytest.mark.parametrize(
    "own",
    [
        Activation(gelu),
        Activation(gelu, gelu_slope, initializer="he_normal", name="mine"),
        Loss(huber),
        Loss(poisson, out_activation="exp"),
    ],
)
def test_copies_are_equal(own):
    for other in (copy.copy(own), copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
        assert other == own and hash(other) == hash(own) and repr(other) == repr(own)
    parameter = "activation" if isinstance(own, Activation) else "loss"
    estimator = MLPRegressor(**{parameter: own})
    assert clone(estimator).get_params()[parameter] == own
    with pytest.raises(AttributeError):
        own.f = math.tanh


def test_what_differs_is_not_equal():
    different = [
        Activation(gelu),
        Activation(softsign),
        Activation(gelu, gelu_slope),
        Activation(gelu, name="other"),
        Loss(huber),
        Loss(squared),
    ]
    assert len(set(different)) == len(different)
    assert Activation(gelu) != "gelu" and Loss(huber) != "huber"


def test_shown_shortly():
    assert repr(Activation(softsign)) == "Activation(softsign)"
    assert (
        repr(Activation(gelu, gelu_slope, initializer="he_normal"))
        == "Activation(gelu, gelu_slope, initializer='he_normal')"
    )
    assert repr(Activation(lambda z: z, name="same")) == "Activation(<lambda>, name='same')"
    assert repr(Loss(huber, out_activation="exp")) == "Loss(huber, out_activation='exp')"
    assert repr(MLPClassifier(activation=Activation(np.tanh))) == "MLPClassifier(activation=Activation(tanh))"


def test_initializers_of_auto():
    X, y = data(MLPRegressor)
    coefs = [
        fitted(
            MLPRegressor, X, y, initializer="auto", activation=each, max_iter=1, learning_rate_init=1e-12
        ).coefs_[0]
        for each in ("relu", Activation(lambda z: max(z, 0), initializer="he_normal"), Activation(math.tanh))
    ]
    np.testing.assert_allclose(coefs[0], coefs[1], rtol=1e-9)
    assert not np.allclose(coefs[0], coefs[2])


def test_a_fitted_model_goes_through_a_pickle():
    X, y = data(MLPRegressor)
    estimator = fitted(MLPRegressor, X, y, activation=Activation(snake), loss=Loss(asymmetric))
    other = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(other.predict(X), estimator.predict(X))
    other.partial_fit(X, y)


def test_grid_search_in_other_processes():
    X, y = data(MLPRegressor)
    steepness = 1.5
    grid = {
        "mlpregressor__activation": [
            "tanh",
            Activation(softsign),
            Activation(lambda z: math.tanh(steepness * z), name="steep"),
        ]
    }
    pipeline = make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0, loss=Loss(huber))
    )
    searches = [
        GridSearchCV(pipeline, grid, n_jobs=n_jobs, cv=2, error_score="raise").fit(X, y) for n_jobs in (1, 2)
    ]
    one, two = (search.cv_results_["mean_test_score"] for search in searches)
    np.testing.assert_array_equal(one, two)
    assert len(set(one)) == 3


def test_lists_tuples_and_names():
    own = Activation(softsign)
    assert resolve_activations(own, None, 2) == ((own, None),) * 2
    assert resolve_activations(["relu", own, ("elu", 0.5)], None, 3) == (
        ("relu", None),
        (own, None),
        ("elu", 0.5),
    )
    assert resolve_activations([own, "elu"], {"alpha": 0.2}, 2) == ((own, None), ("elu", 0.2))
    for wrong, words in (
        ((own, 0.5), r"Activation\(softsign\) has no parameter, got 0.5"),
        ((own, {"a": 1}), "no parameter 'a'"),
    ):
        with pytest.raises(ValueError, match=words):
            resolve_activations(wrong, None, 1)
    with pytest.raises(ValueError, match=r"no activation of this network has \(softsign\)"):
        resolve_activations(own, {"alpha": 1}, 1)


# ------------------------------------------------------------------------------------------------------------
# For engines


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_of_records(dtype):
    from nnfast.custom_kernels import activation_kernel

    z = np.linspace(-5, 5, 33).astype(dtype)
    for record in ACTIVATIONS.values():
        a, slope = z.copy(), np.empty_like(z)
        activation_kernel(record, dtype).call(a.ctypes.data, slope.ctypes.data, z.size, record.default or 0.0)
        np.testing.assert_allclose(a, record.function(z), rtol=3e-5, atol=1e-6)
        np.testing.assert_allclose(slope, record.derivative(z, a), rtol=3e-5, atol=1e-6)


def test_records_are_found_by_name_and_own_ones_are_themselves():
    own = Loss(huber)
    assert loss_of("huber") is LOSSES["huber"] and loss_of(own) is own
