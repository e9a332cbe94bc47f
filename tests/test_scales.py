"""The scales of nnfast.tuning: one table of them, and what all of them have to be and to do."""

import copy
import inspect
import itertools
import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid, ParameterSampler, RandomizedSearchCV
from sklearn.tree import DecisionTreeClassifier

import nnfast.tuning
from nnfast import MLPRegressor
from nnfast.schedules import Cosine, Step
from nnfast.tuning import (
    Axis,
    choice,
    int_log_uniform,
    int_uniform,
    layers,
    log_uniform,
    one_minus_log_uniform,
    scaled_learning_rate,
    tied,
    uniform,
)


def log_integers(low, high):
    """P(k): the share of log((high + 1/2) / (low - 1/2)) that lies between k - 1/2 and k + 1/2."""
    borders = np.log(np.arange(low, high + 2) - 0.5)
    return dict(zip(range(low, high + 1), np.diff(borders) / (borders[-1] - borders[0]), strict=True))


# Each with the distribution of its draws: a function of the cumulative probability, or a dict of the
# probabilities.
NUMBERS = {
    uniform(-1, 3): stats.uniform(-1, 4).cdf,
    uniform(0.1, 0.5): stats.uniform(0.1, 0.4).cdf,
    log_uniform(1e-4, 1): stats.loguniform(1e-4, 1).cdf,
    log_uniform(3, 4): stats.loguniform(3, 4).cdf,
    one_minus_log_uniform(0.9, 0.999): lambda b: 1 - stats.loguniform(1 - 0.999, 1 - 0.9).cdf(1 - b),
    one_minus_log_uniform(-1, 0.5): lambda b: 1 - stats.loguniform(0.5, 2).cdf(1 - b),
}
COUNTS = {
    int_uniform(1, 6): dict.fromkeys(range(1, 7), 1 / 6),
    int_uniform(-2, 1): dict.fromkeys(range(-2, 2), 1 / 4),
    int_log_uniform(1, 8): log_integers(1, 8),
    int_log_uniform(5, 30): log_integers(5, 30),
}
CHOICES = {
    choice("relu", "gelu", "tanh"): dict.fromkeys(["relu", "gelu", "tanh"], 1 / 3),
    choice([(32,), (64, 64)]): dict.fromkeys([(32,), (64, 64)], 1 / 2),
    choice(None, 0.5): dict.fromkeys([None, 0.5], 1 / 2),
    choice([7]): {7: 1.0},
    choice([(7, 7)]): {(7, 7): 1.0},
    choice("constant", Cosine(), Step(every=3)): dict.fromkeys(["constant", Cosine(), Step(every=3)], 1 / 3),
    layers(2, (3, 9)): {(k, k): p for k, p in log_integers(3, 9).items()},
    layers((1, 3), 8): {(8,): 1 / 3, (8, 8): 1 / 3, (8, 8, 8): 1 / 3},
    layers((1, 2), choice(4, 10), "wider_first"): dict.fromkeys([(8,), (20,), (8, 4), (20, 10)], 1 / 4),
    layers(4, choice(2, 8, 17), "pyramid"): dict.fromkeys([(2, 2, 2, 2), (8, 4, 2, 2), (17, 8, 4, 2)], 1 / 3),
    layers(3, choice(2, 8), "pyramid", narrowest=3): dict.fromkeys([(2, 2, 2), (8, 4, 3)], 1 / 2),
}
TIED = tied(log_uniform(1e-4, 1), to="rows", base=32, rule="sqrt")
SCALES = [*NUMBERS, *COUNTS, *CHOICES, TIED]
every_scale = pytest.mark.parametrize("scale", SCALES, ids=repr)
numbers = pytest.mark.parametrize("scale", [*NUMBERS, *COUNTS], ids=repr)


def is_within(scale, value):
    """Whether a value can come from a scale, by the scale's own words."""
    axes, values = scale.axes("x"), scale.split("x", value)
    return axes.keys() == values.keys() and all(
        values[name] in axis.choices if axis.warp == "choice" else axis.low <= values[name] <= axis.high
        for name, axis in axes.items()
    )


# ------------------------------------------------------------------------------------------------------------
# Draws


@pytest.mark.parametrize("scale", NUMBERS, ids=repr)
def test_draws_of_numbers_have_their_distribution(scale):
    draws = scale.rvs(2000, random_state=0)
    assert draws.dtype == np.float64 and draws.min() >= scale.axis.low and draws.max() <= scale.axis.high
    assert stats.kstest(draws, NUMBERS[scale]).pvalue > 0.01


@pytest.mark.parametrize("scale", [*COUNTS, *CHOICES], ids=repr)
def test_draws_of_counts_and_choices_have_their_probabilities(scale):
    probabilities = (COUNTS | CHOICES)[scale]
    draws = scale.rvs(2000, random_state=0).tolist()
    assert set(draws) == set(probabilities)  # both ends are drawn, and nothing else
    if len(probabilities) > 1:
        expected = 2000 * np.array(list(probabilities.values()))
        assert stats.chisquare([draws.count(value) for value in probabilities], expected).pvalue > 0.01


@every_scale
def test_draws_are_plain_and_repeatable(scale):
    values = [scale.rvs(random_state=np.random.RandomState(seed)) for seed in range(20)]
    assert values == [scale.rvs(random_state=seed) for seed in range(20)]
    for value in values:
        plain = value if isinstance(value, tuple) else (value,)
        assert not any(isinstance(each, np.generic) for each in plain)
        assert is_within(scale, value)
    one, table = scale.rvs(1, random_state=3), scale.rvs((2, 3), random_state=3)
    assert one.shape == (1,) and table.shape == (2, 3) and one[0] == table[0, 0]
    assert is_within(scale, scale.rvs(random_state=np.random.default_rng(0)))
    np.random.seed(5)
    first = scale.rvs(4).tolist()
    np.random.seed(5)
    assert scale.rvs(4).tolist() == first


# ------------------------------------------------------------------------------------------------------------
# Unit coordinates


@numbers
def test_unit_coordinates_and_values_are_inverse(scale):
    axis = scale.axis
    for value in (axis.low, axis.high, *scale.rvs(50, random_state=1).tolist()):
        u = axis.to_unit(value)
        assert 0 <= u <= 1
        assert axis.from_unit(u) == (value if axis.integer else pytest.approx(value, rel=1e-12))
    units = np.linspace(0, 1, 101)
    values = [axis.from_unit(u) for u in units]
    assert values == sorted(values) and (values[0], values[-1]) == (axis.low, axis.high)
    if not axis.integer:
        assert [axis.to_unit(value) for value in values] == pytest.approx(units, abs=1e-12)
    assert axis.to_unit(axis.low - 1) == axis.to_unit(axis.low)
    assert axis.to_unit(axis.high + 1) == axis.to_unit(axis.high)
    assert {type(value) for value in values} == {int if axis.integer else float}


@pytest.mark.parametrize("scale", NUMBERS, ids=repr)
def test_unit_coordinates_are_probabilities(scale):
    for value in scale.rvs(20, random_state=2):
        assert scale.axis.to_unit(value) == pytest.approx(NUMBERS[scale](value), abs=1e-9)


@pytest.mark.parametrize("scale", COUNTS, ids=repr)
def test_integers_have_the_middle_of_their_cell(scale):
    axis = scale.axis
    ends = np.concatenate([[0], np.cumsum(list(COUNTS[scale].values()))])
    for value, start, end in zip(COUNTS[scale], ends, ends[1:], strict=False):
        assert start < axis.to_unit(value) < end
        assert {axis.from_unit(u) for u in np.linspace(start + 1e-9, end - 1e-9, 7)} == {value}


@numbers
def test_zoom_takes_a_part(scale):
    axis = scale.axis
    assert axis.zoom(0, 1) == axis
    for low_u, high_u in ((0.2, 0.7), (0, 0.1), (0.5, 0.5), (0.95, 1)):
        part = axis.zoom(low_u, high_u)
        inside = {axis.from_unit(u) for u in np.linspace(low_u, high_u, 60)[1:-1]}
        assert (part.warp, part.integer) == (axis.warp, axis.integer)
        assert axis.low <= part.low <= min(inside) <= max(inside) <= part.high <= axis.high
        assert part.low <= part.from_unit(part.to_unit(part.low)) <= part.high
        if axis.integer:  # no more than the cells that it touches
            assert set(range(part.low, part.high + 1)) <= inside | {
                axis.from_unit(low_u),
                axis.from_unit(high_u),
            }
        else:
            assert (axis.to_unit(part.low), axis.to_unit(part.high)) == pytest.approx(
                (low_u, high_u), abs=1e-9
            )
    with pytest.raises(ValueError, match="zoom takes 0 <= low_u <= high_u <= 1, got low_u=0.7, high_u=0.2"):
        axis.zoom(0.7, 0.2)
    with pytest.raises(ValueError, match="keep is for choices"):
        axis.keep([axis.low])


def test_zoom_of_integers_takes_whole_cells():
    axis = int_uniform(1, 10).axis
    part = axis.zoom(0.2, 0.6)  # from 2.5 to 6.5, on the borders of cells
    assert (part.low, part.high) == (3, 6)
    assert (axis.zoom(0.19, 0.61).low, axis.zoom(0.19, 0.61).high) == (2, 7)
    assert (axis.zoom(0.31, 0.32).low, axis.zoom(0.31, 0.32).high) == (4, 4)
    fixed = axis.zoom(0.31, 0.32)
    assert fixed.to_unit(4) == 0.5 and fixed.from_unit(0.9) == 4 and fixed.grid(5) == [4]


def test_choices_are_kept():
    axis = choice("a", "b", "c", "d").axis
    assert axis.keep(["d", "b"]).choices == ("b", "d")
    assert [axis.to_unit(value) for value in "abcd"] == [0.125, 0.375, 0.625, 0.875]
    assert [axis.from_unit(u) for u in (0, 0.24, 0.26, 0.99, 1)] == ["a", "a", "b", "d", "d"]
    for fails in (lambda: axis.to_unit("e"), lambda: axis.keep(["e"])):
        with pytest.raises(ValueError, match=r"must be one of the choices \['a', 'b', 'c', 'd'\], got 'e'"):
            fails()
    with pytest.raises(ValueError, match="choices of an Axis must be a tuple of one or more"):
        axis.keep([])
    with pytest.raises(ValueError, match="zoom is for numbers"):
        axis.zoom(0, 0.5)


def test_choices_tell_types_apart():
    axis = choice(1, True, 1.0, "1").axis
    assert [axis.choices[int(4 * axis.to_unit(value))] for value in axis.choices] == [1, True, 1.0, "1"]
    assert axis.to_unit(np.int64(1)) == axis.to_unit(1)  # what equals one of them is one of them
    arrays = choice([np.arange(2), np.arange(3)]).axis
    assert arrays.to_unit(np.arange(3)) == 0.75


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (lambda: Axis(2, 1), "low of an Axis must be at most high=1, got 2"),
        (lambda: Axis(), "low of an Axis with warp='linear' must be a finite number, got None"),
        (lambda: Axis(0, np.inf), "high of an Axis with warp='linear' must be a finite number, got inf"),
        (lambda: Axis("0", "1"), "low of an Axis with warp='linear' must be a finite number, got '0'"),
        (lambda: Axis(0.0, 1.0, "log"), "low of an Axis with warp='log' must be positive, got 0.0"),
        (lambda: Axis(0, 8, "log", integer=True), "low of an Axis with warp='log' must be positive, got 0"),
        (
            lambda: Axis(0.5, 1.0, "one_minus_log"),
            "high of an Axis with warp='one_minus_log' must be below 1, got 1.0",
        ),
        (lambda: Axis(1, 2, "loga"), "warp of an Axis must be one of 'linear', 'log', .*got 'loga'"),
        (lambda: Axis(warp="choice"), "choices of an Axis must be a tuple of one or more values, got None"),
        (lambda: Axis(1.0, 2.0).from_unit(1.5), "u must be a number from 0 to 1, got 1.5"),
    ],
)
def test_axes_check(fails, words):
    with pytest.raises(ValueError, match=words):
        fails()


# ------------------------------------------------------------------------------------------------------------
# Grids


@pytest.mark.parametrize(
    ("scale", "n", "expected"),
    [
        (uniform(0, 1), 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (uniform(0, 1), 1, [0.5]),
        (log_uniform(1e-4, 1), 5, [1e-4, 1e-3, 1e-2, 0.1, 1.0]),
        (log_uniform(1e-4, 1), 1, [0.01]),
        (one_minus_log_uniform(0.9, 0.999), 3, [0.9, 0.99, 0.999]),
        (int_uniform(1, 10), 4, [1, 4, 7, 10]),
        (int_uniform(1, 3), 9, [1, 2, 3]),
        (int_uniform(1, 9), 1, [5]),
        (int_log_uniform(16, 512), 6, [16, 32, 64, 128, 256, 512]),
        (int_log_uniform(1, 4), 10, [1, 2, 3, 4]),
        (int_log_uniform(4, 64), 1, [16]),
        (choice("a", "b", "c"), 2, ["a", "b", "c"]),
        (layers(2, (64, 256)), 3, [(64, 64), (128, 128), (256, 256)]),
        (layers((1, 3), (8, 32)), 2, [(8,), (32,), (8, 8, 8), (32, 32, 32)]),
        (layers(3, (8, 32), "wider_first"), 2, [(16, 8, 8), (64, 32, 32)]),
        (layers(4, (8, 32), "pyramid"), 2, [(8, 8, 8, 8), (32, 16, 8, 8)]),
    ],
    ids=str,
)
def test_grids(scale, n, expected):
    grid = scale.grid(n)
    assert grid == expected and list(map(type, grid)) == list(map(type, expected))


@numbers
@pytest.mark.parametrize("n", [1, 2, 3, 7, 50])
def test_grids_are_even(scale, n):
    axis, grid = scale.axis, scale.grid(n)
    assert grid == sorted(set(grid)) and len(grid) <= n
    if n > 1:
        assert (grid[0], grid[-1]) == (axis.low, axis.high)
    if not axis.integer:
        units = [axis.to_unit(value) for value in grid]
        assert units == pytest.approx(np.linspace(0, 1, n) if n > 1 else [0.5])


@pytest.mark.parametrize("n", [0, 2.5, True, None])
def test_grids_check_n(n):
    with pytest.raises(ValueError, match=f"n of grid must be an integer, 1 or more, got {n!r}"):
        uniform(0, 1).grid(n)


# ------------------------------------------------------------------------------------------------------------
# Plain values


@every_scale
def test_scales_are_plain_values(scale):
    assert eval(repr(scale), vars(nnfast.tuning) | {"Cosine": Cosine, "Step": Step}) == scale
    assert pickle.loads(pickle.dumps(scale)) == copy.deepcopy(scale) == clone(scale) == scale
    assert hash(scale) == hash(copy.deepcopy(scale))
    assert (
        clone(GridSearchCV(MLPRegressor(), {"alpha": [1]}))
        .set_params(param_grid={"x": scale})
        .param_grid["x"]
        == scale
    )
    assert [other for other in SCALES if other == scale] == [scale]
    for name in vars(scale):
        with pytest.raises(AttributeError):
            setattr(scale, name, None)
    if "Cosine" not in repr(scale):
        json.dumps(scale.rvs(random_state=0))


@every_scale
def test_axes_split_and_join(scale):
    for name in ("x", "step__x"):
        axes = scale.axes(name)
        assert all(each == name or each.startswith(f"{name}.") for each in axes)
        for value in scale.rvs(20, random_state=4).tolist():
            values = scale.split(name, value)
            assert scale.join(name, values) == value and values.keys() == axes.keys()
            by_units = {each: axis.from_unit(axis.to_unit(values[each])) for each, axis in axes.items()}
            joined = scale.join(name, by_units)
            assert joined == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)
    assert scale.replace("x", {}) == scale == scale.replace("x", scale.axes("x"))


def test_layers_are_replaced_by_axis():
    scale = layers((1, 5), (16, 256), "pyramid")
    assert scale.axes("h") == {"h.depth": int_uniform(1, 5).axis, "h.width": int_log_uniform(16, 256).axis}
    part = scale.replace(
        "h", {"h.width": Axis(64, 128, "log", integer=True), "h.depth": Axis(4, 4, integer=True)}
    )
    assert repr(part) == "layers(depth=4, width=(64, 128), shape='pyramid', narrowest=16)"
    # As wide as the whole range allows: a part of it has no other pyramids.
    assert part.grid(2) == [(64, 32, 16, 16), (128, 64, 32, 16)]
    assert part.split("h", (100, 50, 25, 16)) == {"h.depth": 4, "h.width": 100}
    assert layers(1, 8).split("h", 8) == {"h.depth": 1, "h.width": 8}
    for not_of_it in ((64, 64), (), (100, 50, 20, 16)):
        with pytest.raises(ValueError, match=r"h must be hidden layers of the shape 'pyramid'.*got \("):
            part.split("h", not_of_it)


def test_one_value_prints_as_a_choice():
    axis = int_uniform(1, 5).axis.zoom(0.5, 0.5)
    assert repr(int_uniform(1, 5).replace("x", {"x": axis})) == "choice(3)"


# ------------------------------------------------------------------------------------------------------------
# scikit-learn and Optuna


@every_scale
def test_scikit_learn_samples_and_takes_grids(scale):
    samples = [params["x"] for params in ParameterSampler({"x": scale}, 6, random_state=0)]
    assert samples == [params["x"] for params in ParameterSampler({"x": scale}, 6, random_state=0)]
    assert all(is_within(scale, value) for value in samples)
    grid = [params["x"] for params in ParameterGrid({"x": scale.grid(3)})]
    assert grid == scale.grid(3) and all(is_within(scale, value) for value in grid)


def test_randomized_search():
    X = np.random.RandomState(0).normal(size=(60, 3))
    space = {
        "max_depth": int_log_uniform(1, 8),
        "ccp_alpha": log_uniform(1e-4, 0.1),
        "criterion": choice("gini", "entropy"),
    }
    search = RandomizedSearchCV(DecisionTreeClassifier(random_state=0), space, n_iter=5, cv=2, random_state=0)
    results = search.fit(X, X[:, 0] > 0).cv_results_
    assert clone(search).param_distributions == space
    for name, scale in space.items():
        assert all(is_within(scale, value) for value in results[f"param_{name}"].tolist())


def test_randomized_search_over_layers():
    X = np.random.RandomState(0).normal(size=(40, 3))
    network = MLPRegressor(solver="lbfgs", max_iter=400, tol=0.1, random_state=0)
    search = RandomizedSearchCV(
        network, {"hidden_layer_sizes": layers((1, 2), (2, 6))}, n_iter=3, cv=2, random_state=1
    )
    best = search.fit(X, X[:, 0]).best_params_["hidden_layer_sizes"]
    assert (
        search.best_estimator_.coefs_[0].shape[1] == best[0]
        and len(search.best_estimator_.coefs_) == len(best) + 1
    )


@every_scale
def test_optuna_suggests(scale):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    suggested = []
    study.optimize(lambda trial: suggested.append(scale.suggest(trial, "x")) or 0.0, n_trials=8)
    assert all(is_within(scale, value) for value in suggested)
    assert not any(isinstance(value, np.generic) for value in suggested)
    if len(scale.grid(3)) > 1:
        assert len(set(map(repr, suggested))) > 1
    for trial, value in zip(study.trials, suggested, strict=True):  # what the trial says, again
        assert scale.suggest(optuna.trial.FixedTrial(trial.params), "x") == value
        assert {name.removeprefix("1 - ") for name in trial.params} == scale.axes("x").keys()


@pytest.mark.parametrize(
    ("scale", "params", "value"),
    [
        (log_uniform(1e-4, 1), {"x": 0.01}, 0.01),
        (one_minus_log_uniform(0.9, 0.999), {"1 - x": 0.01}, 0.99),
        (int_log_uniform(1, 8), {"x": 3}, 3),
        (choice(None, "a"), {"x": None}, None),
        (choice([(32,), (64, 64)]), {"x": "(64, 64)"}, (64, 64)),
        (choice(Cosine(), Step(every=3)), {"x": "Step(every=3)"}, Step(every=3)),
        (choice(math.sin, len), {"x": "<built-in function len>"}, len),
        (choice(1, True), {"x": "True"}, True),
        (layers((1, 4), (2, 8), "wider_first"), {"x.depth": 3, "x.width": 5}, (10, 5, 5)),
        (choice(None, is_within), {"x": 1}, is_within),
    ],
    ids=str,
)
def test_optuna_trials_are_named_and_valued(scale, params, value):
    optuna = pytest.importorskip("optuna")
    suggested = scale.suggest(optuna.trial.FixedTrial(params), "x")
    assert suggested == value and type(suggested) is type(value)


def test_optuna_draws_on_the_same_scales():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    scales = {"a": log_uniform(1e-4, 1), "b": one_minus_log_uniform(0.9, 0.999), "c": uniform(-1, 3)}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    draws = []
    study.optimize(
        lambda trial: draws.append([s.suggest(trial, name) for name, s in scales.items()]) or 0.0,
        n_trials=300,
    )
    for scale, values in zip(scales.values(), np.transpose(draws), strict=True):
        assert stats.kstest(values, NUMBERS[scale]).pvalue > 0.01


def test_tpe_finds_the_best_layers():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    scale = layers((1, 6), (16, 512))
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))

    def miss(trial):
        sizes = scale.suggest(trial, "sizes")
        return abs(len(sizes) - 3) + abs(math.log2(sizes[0] / 100))

    study.optimize(miss, n_trials=60)
    assert study.best_value < 0.3


def test_the_package_and_its_tuning_load_no_optuna():
    code = "import sys, nnfast.tuning; print('optuna' in sys.modules, 'matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


# ------------------------------------------------------------------------------------------------------------
# Errors


@pytest.mark.parametrize(
    ("scale", "accepted", "not_accepted"),
    [
        (uniform, "a number", ["0", None, True, math.nan, math.inf, -math.inf, 1j]),
        (log_uniform, "a positive number", ["0", None, False, math.nan, math.inf, 0, -1e-3]),
        (int_uniform, "an integer", ["0", None, True, math.nan, 1.0]),
        (int_log_uniform, "an integer, 1 or more", ["0", None, True, 2.0, 0, -3]),
        (one_minus_log_uniform, "a number below 1", ["0", None, True, math.nan, 1, 1.5, -math.inf]),
    ],
)
def test_ends_are_checked(scale, accepted, not_accepted):
    good = {int_log_uniform: 3, int_uniform: 3}.get(scale, 0.5)
    for bad in not_accepted:
        for position, parameter in enumerate(("low", "high")):
            ends = [good, good]
            ends[position] = bad
            with pytest.raises(ValueError) as error:
                scale(*ends)
            assert str(error.value) == f"{parameter} of {scale.__name__} must be {accepted}, got {bad!r}."
    for low, high in ((good, good), (good, good - type(good)(0.25 + isinstance(good, int)))):
        with pytest.raises(
            ValueError, match=rf"low of {scale.__name__} must be below high={high!r}, got {low!r}"
        ):
            scale(low, high)


def test_numbers_of_numpy_become_pythons():
    for scale in (
        uniform(np.float32(1), np.int64(2)),
        int_uniform(np.int32(1), np.uint8(9)),
        choice(np.logspace(0, 1, 2)),
    ):
        assert "np." not in repr(scale)
        assert {type(value) for value in scale.grid(3)} <= {int, float}


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (lambda: choice(), "choice must have one or more values, got none"),
        (lambda: choice([]), "choice must have one or more values, got none"),
        (lambda: choice("a", "b", "a"), "The values of choice must differ, got 'a' twice"),
        (
            lambda: layers(shape="pyramide"),
            "shape of layers must be one of 'constant', .*'pyramide'. Did you mean 'pyramid'?",
        ),
        (lambda: layers(depth=0), "depth of layers must be an integer, 1 or more, a pair .*got 0"),
        (lambda: layers(depth=(0, 3)), r"depth of layers must be .*got \(0, 3\)"),
        (lambda: layers(depth=(3, 1)), "low of int_uniform must be below high=1, got 3"),
        (
            lambda: layers(width=[32, 64, 128]),
            r"width of layers must be .*choice\(1, 2, 4\), got \[32, 64, 128\]",
        ),
        (lambda: layers(width=uniform(1, 2)), r"width of layers must be .*got uniform\(1.0, 2.0\)"),
        (lambda: layers(width=choice(32, "64")), r"width of layers must be .*got choice\(32, '64'\)"),
        (lambda: layers(width=int_uniform(0, 3)), r"width of layers must be .*got int_uniform\(0, 3\)"),
        (lambda: layers(width=True), "width of layers must be .*got True"),
        (lambda: layers(narrowest=0), "narrowest of layers must be an integer, 1 or more, got 0"),
        (
            lambda: tied(uniform(-1, 1)),
            r"scale of tied must be a scale of positive numbers .*got uniform\(-1.0, 1.0\)",
        ),
        (lambda: tied(0.1), "scale of tied must be a scale of positive numbers .*got 0.1"),
        (lambda: tied(layers()), "scale of tied must be a scale of positive numbers .*got layers"),
        (
            lambda: tied(uniform(1, 2), to="a__b"),
            "to of tied must be the name of a parameter without a prefix, got 'a__b'",
        ),
        (
            lambda: tied(uniform(1, 2), base=0),
            "base of tied must be a number of rows, an integer of 1 or more, got 0",
        ),
        (
            lambda: tied(uniform(1, 2), rule="Linear"),
            "rule must be 'linear' or 'sqrt', got 'Linear'. Did you mean 'linear'?",
        ),
    ],
)
def test_other_arguments_are_checked(fails, words):
    with pytest.raises(ValueError, match=words):
        fails()


# ------------------------------------------------------------------------------------------------------------
# Rates for batches


@pytest.mark.parametrize(("rule", "power"), [("linear", 1), ("sqrt", 0.5)])
def test_rates_scale_with_batches(rule, power):
    for base, batch in itertools.product((8, 32, 200), (1, 8, 32, 200)):
        rate = scaled_learning_rate(0.02, base, batch, rule, warmup=True)
        assert type(rate) is float and rate == pytest.approx(0.02 * (batch / base) ** power)
        assert scaled_learning_rate(rate, batch, base, rule, warmup=True) == pytest.approx(0.02)


def test_large_factors_want_a_warmup():
    assert scaled_learning_rate(0.01, 32, 256) == pytest.approx(0.08)
    with pytest.warns(
        UserWarning, match="A batch of 512 rows in place of 32 makes the learning rate 16 times as large"
    ) as told:
        assert scaled_learning_rate(0.01, 32, 512) == pytest.approx(0.16)
    assert told[0].filename == __file__ and "Cosine(warmup=5" in str(told[0].message)
    assert scaled_learning_rate(0.01, 32, 512, warmup=True) == pytest.approx(0.16)
    assert scaled_learning_rate(0.01, 32, 512, "sqrt") == pytest.approx(0.04)
    assert scaled_learning_rate(0.01, 512, 32) == pytest.approx(0.01 / 16)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"base_lr": 0}, "base_lr must be a positive number, got 0"),
        ({"base_lr": math.inf}, "base_lr must be a positive number, got inf"),
        ({"base_lr": "0.1"}, "base_lr must be a positive number, got '0.1'"),
        ({"base_batch": 0}, "base_batch must be a number of rows, an integer of 1 or more, got 0"),
        ({"batch": 2.5}, "batch must be a number of rows, an integer of 1 or more, got 2.5"),
        ({"batch": "auto"}, "batch must be a number of rows, an integer of 1 or more, got 'auto'"),
        ({"rule": "root"}, "rule must be 'linear' or 'sqrt', got 'root'"),
        ({"warmup": 5}, "warmup must be True or False, got 5"),
    ],
)
def test_rates_for_batches_check(changed, words):
    with pytest.raises(ValueError, match=words):
        scaled_learning_rate(**{"base_lr": 0.1, "base_batch": 32, "batch": 64} | changed)


def test_all_is_documented():
    for name in nnfast.tuning.__all__:
        assert inspect.getdoc(getattr(nnfast.tuning, name))
