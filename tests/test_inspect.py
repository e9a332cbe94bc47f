"""Inspection of fitted networks: against the reference network, PyTorch and closed forms."""

import pickle

import numpy as np
import pytest
import reference
import scipy.sparse
from inspections import LOOKS, every_look
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from small import BOTH, QUIET, small, table

from nnfast import MLPClassifier, MLPRegressor, numpy_network
from nnfast.activations import ACTIVATIONS
from nnfast.callbacks import Callback
from nnfast.inspect import dead_units, gradient_flow, saturation, weight_statistics

pytestmark = QUIET

every_normalization = pytest.mark.parametrize("normalization", [None, "batch", "layer"])
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def problem(kind, n_samples=40):
    """An estimator class, its parameters, a table, and y as the reference network takes it, with its loss."""
    X, y = table(n_samples)
    rng = np.random.RandomState(1)
    codes, two, several = (
        rng.randint(0, 3, n_samples),
        rng.normal(size=(n_samples, 2)),
        rng.randint(0, 2, (n_samples, 3)),
    )
    return {
        "binary": (MLPClassifier, {}, X, np.array(["no", "yes"])[y], y[:, np.newaxis], "binary_log_loss", ()),
        "classes": (MLPClassifier, {}, X, np.array([3, 5, 7])[codes], codes, "log_loss", ()),
        "focal": (MLPClassifier, {"loss": "focal", "focal_gamma": 1.5}, X, codes, codes, "focal", (1.5,)),
        "labels": (MLPClassifier, {}, X, several, several, "binary_log_loss", ()),
        "one": (MLPRegressor, {}, X, two[:, 0], two[:, :1], "squared_error", ()),
        "two": (MLPRegressor, {"loss": "huber", "huber_delta": 0.7}, X, two, two, "huber", (0.7,)),
        "quantiles": (
            MLPRegressor,
            {"loss": "quantile", "quantile": [0.2, 0.7]},
            X,
            two[:, 0],
            two[:, [0, 0]],
            "quantile",
            (0.2, 0.7),
        ),
    }[kind]


def twin(estimator, loss="squared_error", parameters=(), activations=None):
    """The same network in NumPy, with the penalty left out."""
    norms = {name: getattr(estimator, f"norm_{name}_", ()) for name in ("scales", "shifts")}
    norms |= {name: getattr(estimator, f"running_{name}_", ()) for name in ("means", "variances")}
    return reference.Network(
        estimator.coefs_,
        estimator.intercepts_,
        activations or estimator.activation,
        loss,
        parameters,
        normalization=estimator.normalization,
        eps=estimator.norm_eps,
        **norms,
    )


# ------------------------------------------------------------------------------------------------------------
# Gradient flow


@pytest.mark.parametrize("weighted", [False, True])
@every_normalization
@pytest.mark.parametrize("kind", ["binary", "classes", "focal", "labels", "one", "two", "quantiles"])
def test_gradients_are_the_reference_networks(kind, normalization, weighted):
    cls, parameters, X, y, encoded, loss, loss_parameters = problem(kind)
    weight = np.random.RandomState(2).uniform(0, 2, len(X)) if weighted else np.ones(len(X))
    activation = ["tanh", ("leaky_relu", 0.3), "gelu"]
    estimator = small(
        cls, hidden_layer_sizes=(6, 5, 3), activation=activation, normalization=normalization, **parameters
    )
    estimator.fit(X, y)
    flow = gradient_flow(estimator, X, y, weight if weighted else None)
    oracle = twin(estimator, loss, loss_parameters)
    _, gradients = oracle.loss_and_gradients(X, encoded, weight, as_scikit_learn=False)
    np.testing.assert_allclose(flow.weight_gradients, [np.linalg.norm(dw) for dw in gradients[:4]], rtol=1e-9)
    np.testing.assert_allclose(
        flow.weight_norms, [np.linalg.norm(coef) for coef in estimator.coefs_], rtol=1e-12
    )
    np.testing.assert_allclose(flow.relative_weight_gradients, flow.weight_gradients / flow.weight_norms)
    assert flow.layers == ("hidden 1", "hidden 2", "hidden 3", "output")
    if normalization == "batch":
        return
    # A single row's gradient by a bias, or by a shift after normalization, is that by what goes into the
    # activation.
    squares = np.zeros(4)
    for i in range(len(X)):
        _, gradients = oracle.loss_and_gradients(X[i : i + 1], encoded[i : i + 1], as_scikit_learn=False)
        by_input = [*gradients[-3:], gradients[7]] if normalization else gradients[4:8]
        squares += [(weight[i] / weight.mean()) ** 2 * (du**2).sum() for du in by_input]
    np.testing.assert_allclose(flow.gradients, np.sqrt(squares / len(X)), rtol=1e-9)
    assert flow.ratio == flow.gradients[0] / flow.gradients[3]


@pytest.mark.torch
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_gradients_are_those_of_autograd(normalization):
    import torch

    X, y = load_iris(return_X_y=True)
    estimator = small(hidden_layer_sizes=(6, 4), activation="silu", normalization=normalization).fit(X, y)
    weight = np.random.RandomState(2).uniform(0, 2, len(X))
    a, inputs, coefs = (
        torch.tensor(X),
        [],
        [torch.tensor(coef, requires_grad=True) for coef in estimator.coefs_],
    )
    for i, coef in enumerate(coefs):
        u = a @ coef + torch.tensor(estimator.intercepts_[i])
        if normalization and i < 2:
            axis = {"batch": 0, "layer": 1}[normalization]
            centred = u - u.mean(axis, keepdim=True)
            u = centred / (u.var(axis, correction=0, keepdim=True) + estimator.norm_eps).sqrt()
            u = u * torch.tensor(estimator.norm_scales_[i]) + torch.tensor(estimator.norm_shifts_[i])
        u.retain_grad()
        inputs.append(u)
        a = torch.nn.functional.silu(u)
    rows = torch.nn.functional.cross_entropy(inputs[-1], torch.tensor(y), reduction="none")
    ((torch.tensor(weight) * rows).sum() / weight.sum()).backward()
    flow = gradient_flow(estimator, X, y, weight)
    expected = [u.grad.norm().item() * len(X) ** 0.5 for u in inputs]
    np.testing.assert_allclose(flow.gradients, expected, rtol=1e-8)
    np.testing.assert_allclose(flow.weight_gradients, [coef.grad.norm().item() for coef in coefs], rtol=1e-8)


@BOTH
def test_weight_gradients_are_the_engines(cls):
    X, y = table()
    seen = []

    class Look(Callback):
        def on_epoch_end(self, estimator, state):
            seen.append((state.gradient_norms()["coefs"], gradient_flow(estimator, X, y).weight_gradients))

    small(cls, hidden_layer_sizes=(6, 3), alpha=0, callbacks=[Look()]).fit(X, y)
    assert len(seen) == 5
    for engines, ours in seen:
        np.testing.assert_allclose(ours, engines, rtol=1e-9)


def test_the_first_layers_gradients_vanish_and_explode():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    sizes = (20,) * 8
    logistic = gradient_flow(small(hidden_layer_sizes=sizes, activation="logistic").fit(X, y), X, y)
    assert logistic.verdict == "vanishing" and logistic.ratio < 1e-4 and "relu" in logistic.advice
    assert (np.diff(logistic.gradients) > 0).all()
    for more in (
        {"activation": "selu"},
        {"activation": "relu"},
        {"activation": "logistic", "normalization": "batch"},
    ):
        more |= {"initializer": "auto"}
        flow = gradient_flow(small(hidden_layer_sizes=sizes, **more).fit(X, y), X, y)
        assert flow.verdict == "healthy" and flow.advice == ""
    large = small(hidden_layer_sizes=sizes).fit(X, y)
    for coef in large.coefs_:
        coef *= 5
    flow = gradient_flow(large, X, y)
    assert flow.verdict == "exploding" and flow.ratio > 1e3 and "clip_norm" in flow.advice
    assert gradient_flow(large, X, y, exploding=2 * flow.ratio).verdict == "healthy"
    assert gradient_flow(large, X, y, vanishing=2 * flow.ratio).verdict == "vanishing"
    for coef in large.coefs_:
        coef *= 1e200
    assert gradient_flow(large, X, y).verdict == "exploding"
    for coef in large.coefs_:
        coef[...] = 0
    dead = gradient_flow(large, X, y)
    assert dead.verdict == "vanishing" and dead.ratio == 0


def test_rows_that_are_fitted_exactly_have_no_gradient(pyplot):
    X, y = table()
    estimator = small(MLPRegressor).fit(X, y)
    for array in estimator.coefs_ + estimator.intercepts_:
        array[...] = 0
    flow = gradient_flow(estimator, X, np.zeros(len(X)))
    assert flow.verdict == "no gradient" and np.isnan(flow.ratio)
    assert "no gradient" in repr(flow) and flow.plot().get_yscale() == "linear"


@BOTH
def test_class_weights_and_sample_weights(cls):
    X, y = table()
    weight = np.where(y == 1, 3.0, 1.0)
    expected = gradient_flow(small(cls).fit(X, y), X, y, weight)
    by_double = gradient_flow(small(cls).fit(X, y), X, y, 2 * weight)
    np.testing.assert_allclose(by_double.gradients, expected.gradients, rtol=1e-12)
    np.testing.assert_allclose(by_double.weight_gradients, expected.weight_gradients, rtol=1e-12)
    if cls is MLPClassifier:
        estimator = small(cls).fit(X, y).set_params(class_weight={0: 1, 1: 3})
        np.testing.assert_allclose(gradient_flow(estimator, X, y).gradients, expected.gradients, rtol=1e-12)
    with pytest.raises(ValueError, match="at least one non-zero"):
        gradient_flow(small(cls).fit(X, y), X, y, np.zeros(len(y)))
    with pytest.raises(ValueError, match=r"sample_weight must have a positive sum over the rows, got -\d"):
        gradient_flow(small(cls).fit(X, y), X, y, weight - 10)


# ------------------------------------------------------------------------------------------------------------
# Dead and constant units

# What a unit becomes of whose pre-activation is far below zero, and far above.
FATES = {
    **dict.fromkeys(("identity", "leaky_relu"), (None, None)),
    **dict.fromkeys(
        ("relu", "gelu", "gelu_tanh", "gelu_sigmoid", "silu", "mish", "hard_swish", "softplus"),
        ("dead", None),
    ),
    **dict.fromkeys(("elu", "selu"), ("constant", None)),
    "tanh": ("constant", "constant"),
    "logistic": ("dead", "constant"),
}


@every_normalization
@every_activation
def test_units_that_die_or_stick(activation, normalization):
    X, y = table()
    estimator = small(hidden_layer_sizes=(6, 5), activation=activation, normalization=normalization).fit(X, y)
    biases = estimator.norm_shifts_ if normalization else estimator.intercepts_
    biases[0][:], biases[1][:] = 1, 1
    assert dead_units(estimator, X).verdict == "healthy"
    biases[0][1], biases[1][[0, 3]] = -100, 100
    found = dead_units(estimator, X)
    below, above = FATES[activation]
    assert [units.tolist() for units in found.dead] == [[1] if below == "dead" else [], []]
    assert [units.tolist() for units in found.constant] == [
        [1] * (below == "constant"),
        [0, 3] if above else [],
    ]
    assert found.layers == ("hidden 1", "hidden 2") and found.n_units.tolist() == [6, 5]
    for layer, units in enumerate(found.dead, start=1):
        assert (np.abs(estimator.hidden_activations(X, layer)[:, units]) < 1e-12).all()
    assert found.counts.tolist() == [len(units) for units in found.dead]
    np.testing.assert_allclose(found.shares, found.counts / [6, 5])
    fates = {"dead units": len(found.dead[0]), "constant units": sum(map(len, found.constant))}
    assert found.verdict == next((verdict for verdict, count in fates.items() if count), "healthy")
    assert bool(found.advice) == (found.verdict != "healthy")


def test_dead_is_what_is_zero_on_every_row():
    X, y = table(400)
    estimator = small(hidden_layer_sizes=(30,)).fit(X, y)
    estimator.intercepts_[0][:] = np.linspace(-4, 0, 30)
    expected = np.flatnonzero(~estimator.hidden_activations(X).any(axis=0))
    assert 0 < len(expected) < 30
    found = dead_units(estimator, X)
    np.testing.assert_array_equal(found.dead[0], expected)
    # however small the activations are: the slope tells a quiet unit from a dead one
    estimator.coefs_[0] *= 1e-12
    estimator.intercepts_[0] *= 1e-12
    np.testing.assert_array_equal(dead_units(estimator, X).dead[0], expected)
    few = dead_units(estimator, X[:3])
    assert set(found.dead[0]) < set(few.dead[0])


def test_units_without_weights_are_constant():
    X, y = table()
    estimator = small(activation="leaky_relu").fit(X, y)
    estimator.coefs_[0][:, 2], estimator.intercepts_[0][2] = 0, 0.1
    found = dead_units(estimator, X)
    assert (
        found.verdict == "constant units"
        and found.constant[0].tolist() == [2]
        and found.constant_counts.tolist() == [1]
    )


# ------------------------------------------------------------------------------------------------------------
# Saturation


@every_activation
def test_saturated_shares_are_those_of_the_references_slopes(activation):
    X, y = table(200)
    estimator = small(hidden_layer_sizes=(6, 5), activation=activation).fit(5 * X, y)
    _, slope = reference.ACTIVATIONS[activation]
    p = reference.ACTIVATION_DEFAULTS.get(activation)
    steepest = np.abs(slope(np.linspace(-30, 30, 600_001), p)).max()
    _, tape = twin(estimator).forward(5 * X)
    found = saturation(estimator, 5 * X)
    for units, layer in zip(found.unit_shares, tape, strict=False):
        np.testing.assert_allclose(
            units, (np.abs(slope(layer["z"], p)) < 0.1 * steepest).mean(axis=0), atol=1e-12
        )
    np.testing.assert_allclose(found.shares, [units.mean() for units in found.unit_shares])
    assert found.activations == (activation,) * 2
    assert found.limits.tolist() == [0.5 if activation in ("tanh", "logistic") else 0.9] * 2


def test_saturation_as_documented():
    X = np.linspace(-4, 4, 8001)[:, np.newaxis]
    estimator = MLPRegressor(hidden_layer_sizes=(1,), max_iter=1).fit(X[:10], X[:10, 0])
    estimator.coefs_[0][:], estimator.intercepts_[0][:] = 1, 0
    ends = {
        "tanh": lambda a: np.abs(a) > 0.949,
        "logistic": lambda a: (a < 0.026) | (a > 0.974),
        "relu": lambda a: a == 0,
    }
    for activation, at_end in ends.items():
        a = estimator.set_params(activation=activation).hidden_activations(X)
        assert abs(saturation(estimator, X).shares[0] - at_end(a).mean()) < 4e-3
        assert saturation(estimator, X, threshold=1e-9).shares[0] == (
            0.5 + 1 / 16002 if activation == "relu" else 0
        )


def test_saturation_is_named():
    X, y = table()
    for activation, bias in (
        ("tanh", 100),
        ("logistic", -100),
        ("relu", -100),
        ("elu", -100),
        ("silu", -100),
    ):
        estimator = small(hidden_layer_sizes=(6, 5), activation=activation).fit(X, y)
        assert saturation(estimator, X).verdict == "healthy"
        estimator.intercepts_[1][:] = bias
        found = saturation(estimator, X)
        assert found.verdict == "saturated" and found.shares[1] == 1 and "standardised" in found.advice


# ------------------------------------------------------------------------------------------------------------
# Weights


def test_weight_statistics():
    X, y = table()
    estimator = small(MLPRegressor, hidden_layer_sizes=(3, 2), precision="float32").fit(
        X.astype(np.float32), y
    )
    estimator.coefs_[1][:] = [[3, 0], [4, 0], [0, -2]]
    found = weight_statistics(estimator, bins=5)
    assert found.layers == ("hidden 1", "hidden 2", "output") and found.shapes == ((4, 3), (3, 2), (2, 1))
    second = {
        name: getattr(found, name)[1] for name in ("mean", "min", "max", "zeros", "largest_column_norm")
    }
    assert second == {"mean": 5 / 6, "min": -2, "max": 4, "zeros": 0.5, "largest_column_norm": 5}
    np.testing.assert_allclose([found.norm[1], found.std[1]], [29**0.5, (29 / 6 - 25 / 36) ** 0.5])
    counts, edges = found.histograms[1]
    assert counts.tolist() == [1, 0, 0, 0, 2] and edges[[0, -1]].tolist() == [-2, 4]
    first = estimator.coefs_[0].astype(float)
    np.testing.assert_allclose(
        [found.mean[0], found.std[0], found.norm[0]], [first.mean(), first.std(), np.sqrt((first**2).sum())]
    )
    assert "3 x 2" in repr(found) and "50.0%" in repr(found)


def flat(value):
    return [part for each in value for part in flat(each)] if isinstance(value, tuple) else [value]


def assert_same(one, other):
    for a, b in zip(flat(tuple(vars(one).values())), flat(tuple(vars(other).values())), strict=True):
        if isinstance(a, str):
            assert a == b
        else:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@every_look
@BOTH
def test_tables_of_any_kind(cls, look):
    X, y = table()
    X = np.round(X * 2)
    estimator = small(cls, hidden_layer_sizes=(6, 3)).fit(X, y)
    before = pickle.dumps(estimator)
    expected = look(estimator, X, y)
    for each in (
        scipy.sparse.csr_array(X),
        scipy.sparse.csc_matrix(X),
        X.astype(np.int8),
        X.astype("f4"),
        np.asfortranarray(X),
        X.tolist(),
    ):
        assert_same(look(estimator, each, y), expected)
    assert_same(look(estimator, X[::-1][::-1], list(y)), expected)
    assert pickle.dumps(estimator) == before
    for solver in ("lbfgs", "lion"):
        assert look(
            small(cls, solver=solver, dropout=0.2 * (solver == "lion"), engine="cython").fit(X, y), X, y
        ).layers


@every_normalization
@every_look
def test_chunks_make_no_difference(look, normalization, monkeypatch):
    X, y = table()
    estimator = small(hidden_layer_sizes=(6, 3), normalization=normalization).fit(X, y)
    expected = look(estimator, X, y)
    monkeypatch.setattr(numpy_network, "_CHUNK", 42)
    assert len(numpy_network.NumpyNetwork.of_estimator(estimator).chunks(len(X))) == 6
    assert_same(look(estimator, X, y), expected)
    assert look(estimator, X[:1], y[:1]).layers[0] == "hidden 1"


class Stateless(TransformerMixin, BaseEstimator):
    """A step that learns nothing, and so has no fitted attributes."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


@every_look
@BOTH
def test_pipelines(cls, look):
    X, y = table()
    inner = make_pipeline(StandardScaler(), PCA(3), small(cls)).fit(X, y)
    assert_same(look(inner, X, y), look(inner[-1], inner[:-1].transform(X), y))
    stateless = make_pipeline(StandardScaler(), Stateless(), small(cls)).fit(X, y)
    assert_same(look(stateless, X, y), look(stateless[-1], stateless[0].transform(X), y))
    alone = Pipeline([("mlp", small(cls).fit(X, y))])
    assert_same(look(alone, X, y), look(alone[-1], X, y))


@every_look
def test_networks_without_hidden_layers(look, pyplot):
    X, y = table()
    found = look(small(hidden_layer_sizes=()).fit(X, y), X, y)
    assert found.layers in ((), ("output",)) and found.verdict in ("healthy", "no hidden layers", "")
    assert repr(found).startswith(type(found).__name__)
    axes = found.plot()
    assert found.layers or axes.texts[0].get_text() == "no hidden layers"
    axes.figure.canvas.draw()


@every_look
@BOTH
def test_what_is_not_accepted(cls, look):
    X, y = table()
    for unfitted in (small(cls), make_pipeline(StandardScaler(), small(cls))):
        with pytest.raises(NotFittedError):
            look(unfitted, X, y)
    for other in (
        LinearRegression().fit(X, y),
        make_pipeline(StandardScaler(), LinearRegression()).fit(X, y),
        None,
    ):
        with pytest.raises(
            TypeError, match="estimator must be .*MLPClassifier or MLPRegressor.*, got (Linear|None)"
        ):
            look(other, X, y)
    estimator = small(cls).fit(X, y)
    if look is not LOOKS["weight_statistics"]:
        with pytest.raises(ValueError, match="3 features"):
            look(estimator, X[:, :3], y)
        with pytest.raises(ValueError, match="NaN"):
            look(estimator, X * np.nan, y)


def test_targets_that_are_not_accepted():
    X, y = table()
    with pytest.raises(ValueError, match="classes not in"):
        gradient_flow(small().fit(X, y), X, y + 1)
    with pytest.raises(ValueError, match="y must have as many outputs as the network, 1, got 2"):
        gradient_flow(small(MLPRegressor).fit(X, y), X, np.c_[y, y])
    with pytest.raises(ValueError, match="loss='gamma' needs"):
        gradient_flow(small(MLPRegressor, loss="gamma").fit(X, y + 1), X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        gradient_flow(small().fit(X, y), X, y[1:])


@every_look
def test_tables_are_readable(look):
    X, y = table()
    found = look(small(hidden_layer_sizes=(6,) * 12).fit(X, y), X, y)
    head, columns, *rows = repr(found).splitlines()
    assert head.startswith(type(found).__name__) and found.verdict in head
    rows = rows[: len(found.layers)]
    assert {len(row) for row in rows} == {len(columns)}
    first = {row[:9].strip() for row in rows}
    assert first == set(found.layers)
