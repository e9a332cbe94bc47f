"""Search spaces: what is drawn together, what is split into axes and joined again, and the spaces for an
estimator.
"""

import copy
import pickle

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier as ScikitMLPClassifier
from sklearn.neural_network import MLPRegressor as ScikitMLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import nnfast.tuning
from nnfast import MLPClassifier, MLPRegressor
from nnfast.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Lion, RMSprop
from nnfast.schedules import Cosine
from nnfast.tuning import (
    Axis,
    Space,
    choice,
    default_space,
    int_log_uniform,
    int_uniform,
    layers,
    log_uniform,
    one_minus_log_uniform,
    scaled_learning_rate,
    tied,
    uniform,
)

RATE, ROWS = log_uniform(1e-4, 0.1), int_log_uniform(32, 512)

SPACES = {
    "one": Space({"alpha": log_uniform(1e-4, 10)}),
    "all": Space(
        {
            "dropout": uniform(0.1, 0.5),
            "learning_rate_init": RATE,
            "momentum": one_minus_log_uniform(0.9, 0.999),
            "batch_size": ROWS,
            "n_iter_no_change": int_uniform(3, 9),
            "activation": ["relu", "gelu"],
            "hidden_layer_sizes": layers((1, 4), (16, 128), "wider_first"),
        }
    ),
    "tied": Space({"learning_rate_init": tied(RATE, base=64), "batch_size": ROWS}),
    "tied by the root": Space(
        {"batch_size": [16, 64, "auto"], "learning_rate_init": tied(RATE, rule="sqrt")}
    ),
    "tied in a pipeline": Space(
        {"a__b__learning_rate_init": tied(RATE), "a__b__batch_size": ROWS, "batch_size": [1]}
    ),
    "of SciPy": Space(
        {
            "learning_rate_init": tied(stats.loguniform(1e-4, 0.1)),
            "batch_size": stats.randint(10, 20),
            "dropout": stats.uniform(0.1, 0.3),
            "alpha": stats.expon(scale=0.01),
            "max_iter": stats.poisson(20, loc=1),
            "tol": stats.norm(1, 0.1),
            "beta_1": stats.beta(9, 1),
        }
    ),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def approximately(params):
    return {
        name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        for name, value in params.items()
    }


# ------------------------------------------------------------------------------------------------------------
# Spaces


@every_space
def test_samples_are_repeatable_whatever_the_order(space):
    reverse = Space({name: space[name] for name in reversed(list(space))})
    for seed in range(10):
        params = space.sample(seed)
        assert list(params) == list(space)
        assert params == space.sample(np.random.RandomState(seed)) == reverse.sample(seed)
        assert not any(isinstance(value, np.generic) for value in params.values())
    random = np.random.RandomState(0)
    drawn = [space.sample(random) for _ in range(30)]
    for name in space:
        if space[name] != choice([1]):
            assert len({repr(params[name]) for params in drawn}) > 1
    np.random.seed(3)
    random = np.random.RandomState(3)
    assert [space.sample(), space.sample()] == [space.sample(random), space.sample(random)]
    assert space.sample(np.random.default_rng(0)) == space.sample(np.random.default_rng(0))


@every_space
def test_split_and_join_are_inverse(space):
    axes = space.axes
    for seed in range(20):
        params = space.sample(seed)
        values = space.split(params)
        assert list(values) == list(axes)
        assert space.join(values) == approximately(params)
        units = {name: axis.to_unit(values[name]) for name, axis in axes.items()}
        assert all(0 <= u <= 1 for u in units.values())
        again = space.join({name: axis.from_unit(units[name]) for name, axis in axes.items()})
        assert again == approximately(params)


@every_space
def test_spaces_are_plain_values(space):
    assert Space(space) == space == Space(dict(space)) and repr(Space(space)) == repr(space)
    if "Distribution" not in repr(space):  # SciPy's compare by identity
        assert pickle.loads(pickle.dumps(space)) == copy.deepcopy(space) == clone(space, safe=False) == space
        assert eval(repr(space), vars(nnfast.tuning).copy()) == space
    assert pickle.loads(pickle.dumps(space)).sample(0) == space.sample(0)
    samples = list(ParameterSampler(dict(space), 3, random_state=0))
    assert all(params.keys() == set(space) for params in samples)


@every_space
def test_spaces_are_replaced_by_axis(space):
    assert repr(space.replace({})) == repr(space.replace(space.axes)) == repr(space)
    parts = {
        name: axis.keep(axis.choices[:1]) if axis.warp == "choice" else axis.zoom(0.4, 0.6)
        for name, axis in space.axes.items()
    }
    part = space.replace(parts)
    assert part.axes == parts and list(part) == list(space)
    for seed in range(10):
        values = part.split(part.sample(seed))
        for name, axis in space.axes.items():
            if axis.warp == "choice":
                assert values[name] == axis.choices[0]
            elif name != "max_iter.quantile":  # quantiles of counts are the middles of their cells
                assert parts[name].low * (1 - 1e-9) <= values[name] <= parts[name].high * (1 + 1e-9)
    with pytest.raises(ValueError, match="axes must be named as those of the space, .*, got 'gamma'"):
        space.replace({"gamma": Axis(0, 1)})


@every_space
def test_optuna_suggests_candidates(space):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=3))
    suggested = []
    study.optimize(lambda trial: suggested.append(space.suggest(trial)) or 0.0, n_trials=5)
    for trial, params in zip(study.trials, suggested, strict=True):
        assert list(params) == list(space)
        assert {name.removeprefix("1 - ") for name in trial.params} == space.axes.keys()
        assert space.suggest(optuna.trial.FixedTrial(trial.params)) == params
        values = space.split(params)
        for name in trial.params.keys() & values.keys() - {"max_iter.quantile"}:
            assert approximately({name: values[name]}) == {name: trial.params[name]}


def test_scipys_distributions_become_scales():
    space = SPACES["of SciPy"]
    assert space["learning_rate_init"] == tied(RATE)
    assert [space.axes["batch_size"].low, space.axes["batch_size"].high] == [10, 19]
    assert repr(space["dropout"]) == "uniform(0.1, 0.4)"
    draws = {name: space[name].rvs(1000, random_state=0) for name in ("alpha", "tol", "beta_1", "max_iter")}
    for name, scipys in (
        ("alpha", stats.expon(scale=0.01)),
        ("tol", stats.norm(1, 0.1)),
        ("beta_1", stats.beta(9, 1)),
    ):
        assert stats.kstest(draws[name], scipys.cdf).pvalue > 0.01
        assert np.isfinite(space[name].grid(3)).all()
    poisson = stats.poisson(20, loc=1)
    assert draws["max_iter"].dtype == int and draws["max_iter"].min() >= 1
    assert draws["max_iter"].mean() == pytest.approx(poisson.mean(), abs=0.5)
    assert space["max_iter"].grid(3)[:2] == [1, int(poisson.median())]
    moved = Space({"x": stats.loguniform(1, 10, loc=5)})  # no longer uniform in the logarithm
    assert list(moved.axes) == ["x.quantile"] and moved["x"].grid(3) == pytest.approx([6, 5 + 10**0.5, 15])


@pytest.mark.parametrize(
    ("scales", "error", "words"),
    [
        (
            [("alpha", uniform(0, 1))],
            TypeError,
            "a space must be a mapping of parameter names to scales, got",
        ),
        ({}, ValueError, "a space must have one or more parameters, got none"),
        ({1: uniform(0, 1)}, TypeError, "the names of a space must be those of parameters, str, got 1"),
        (
            {"alpha": 0.1},
            TypeError,
            r"alpha of a space must be a scale of .*got 0.1. For one value, use \[0.1\]",
        ),
        (
            {"solver": "sgd"},
            TypeError,
            r"solver of a space must be .*got 'sgd'. For one value, use \['sgd'\]",
        ),
        ({"alpha": stats.norm}, TypeError, "alpha of a space must be .*a frozen distribution of scipy.stats"),
        (
            {"alpha": stats.dirichlet([1, 1])},
            TypeError,
            "alpha of a space must be .*with rvs, cdf and ppf, got",
        ),
        ({"alpha": {}}, TypeError, "alpha of a space must be .*got {}.$"),
        ({"alpha": []}, ValueError, "alpha of a space: choice must have one or more values"),
        ({"alpha": [1, 2, 1]}, ValueError, "alpha of a space: The values of choice must differ, got 1 twice"),
        (
            {"alpha": tied(RATE)},
            ValueError,
            "alpha is tied to 'batch_size', which must be in the space too, got alpha",
        ),
        (
            {"a__rate": tied(RATE), "batch_size": ROWS},
            ValueError,
            "a__rate is tied to 'a__batch_size', which must be in the space too, .*Did you mean 'batch_size'",
        ),
        ({"rate": tied(RATE, to="rate")}, ValueError, "rate, which rate is tied to, must be a scale of rows"),
        (
            {"rate": tied(RATE), "batch_size": RATE},
            ValueError,
            "batch_size, which rate is tied to, must be a scale of rows",
        ),
        ({"rate": tied(RATE), "batch_size": [32, None]}, ValueError, r"batch_size, .*got choice\(32, None\)"),
        (
            {"rate": tied(RATE), "batch_size": int_uniform(0, 9)},
            ValueError,
            r"batch_size, .*got int_uniform\(0, 9\)",
        ),
    ],
)
def test_spaces_check(scales, error, words):
    with pytest.raises(error, match=words):
        Space(scales)


def test_split_and_join_check_names():
    space = SPACES["tied"]
    with pytest.raises(ValueError, match="params must be those of the space, .*: 'batch_size' is missing"):
        space.split({"learning_rate_init": 0.1})
    with pytest.raises(ValueError, match="values must be those of the space, .*: 'alpha' is none of them"):
        space.join({"learning_rate_init": 0.1, "batch_size": 32, "alpha": 1})


# ------------------------------------------------------------------------------------------------------------
# Ties


@pytest.mark.parametrize("rule", ["linear", "sqrt"])
def test_tied_rates_are_scaled(rule):
    space = Space({"m__learning_rate_init": tied(RATE, base=64, rule=rule), "m__batch_size": ROWS})
    for seed in range(10):
        params = space.sample(seed)
        values = space.split(params)
        rate = scaled_learning_rate(
            values["m__learning_rate_init"], 64, params["m__batch_size"], rule=rule, warmup=True
        )
        assert params["m__learning_rate_init"] == pytest.approx(rate)
        assert 1e-4 <= values["m__learning_rate_init"] <= 0.1
    # The rate by itself knows of no batch, and is spread over its own range whatever the batches.
    untied = [space.split(space.sample(seed))["m__learning_rate_init"] for seed in range(500)]
    assert stats.kstest(untied, stats.loguniform(1e-4, 0.1).cdf).pvalue > 0.01
    assert np.isin(space["m__learning_rate_init"].rvs(5, random_state=0), RATE.rvs(5, random_state=0)).all()


def test_auto_counts_as_200_rows():
    space = Space({"rate": tied(RATE, base=100), "batch_size": ["auto", 100]})
    assert space.join({"rate": 0.01, "batch_size": "auto"}) == {"rate": 0.02, "batch_size": "auto"}
    assert space.split({"rate": 0.02, "batch_size": "auto"}) == {"rate": 0.01, "batch_size": "auto"}


# ------------------------------------------------------------------------------------------------------------
# The priorities

MOMENTA = {"sgd": "momentum", "rmsprop": "rho"}


def estimators():
    """Everything that there is a default space for."""
    for solver in (*OPTIMIZERS, "lbfgs", *(record() for record in OPTIMIZERS.values())):
        yield MLPClassifier(solver=solver)
    for cls in (MLPRegressor, ScikitMLPClassifier, ScikitMLPRegressor):
        for solver in ("adam", "sgd", "lbfgs"):
            yield cls(solver=solver)
    yield MLPClassifier(hidden_layer_sizes=())
    yield MLPClassifier(hidden_layer_sizes=30, learning_rate="cosine")
    yield MLPClassifier((30, 30), activation=["relu", "tanh"], dropout=[0.1, 0.2])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("tier", [1, 2, 3])
@pytest.mark.parametrize("estimator", [*estimators()], ids=repr)
def test_default_spaces_fit(estimator, tier):
    X, y = np.random.RandomState(0).normal(size=(40, 3)), [0, 1] * 20
    space = default_space(estimator, tier, n_samples=40)
    assert isinstance(space, Space) and set(space) <= set(estimator.get_params())
    clone(estimator).set_params(**space.sample(tier), max_iter=1).fit(X, y)


def is_lbfgs(estimator):
    return isinstance(estimator.solver, str) and estimator.solver == "lbfgs"


def n_free(space):
    return sum(axis.low != axis.high or axis.warp == "choice" for axis in space.axes.values())


def test_tiers_follow_each_other():
    for estimator in estimators():
        spaces = [default_space(estimator, tier) for tier in (1, 2, 3)]
        lbfgs = is_lbfgs(estimator)
        assert list(spaces[0]) == ["alpha" if lbfgs else "learning_rate_init"]
        for lower, upper in zip(spaces, spaces[1:], strict=False):
            assert set(lower) <= set(upper)
            assert n_free(upper) > n_free(lower)
        for space in spaces:
            assert not {"beta_1", "beta_2", "epsilon"} & set(space)


def test_priorities_by_solver():
    for solver in OPTIMIZERS:
        space = default_space(MLPClassifier(solver=solver), tier=3)
        second = {"hidden_layer_sizes", "batch_size"} | ({MOMENTA[solver]} if solver in MOMENTA else set())
        third = {"learning_rate", "weight_decay" if solver in ("adamw", "lion") else "alpha"}
        assert set(space) == {"learning_rate_init"} | second | third
        assert space["learning_rate_init"].rule == ("linear" if solver == "sgd" else "sqrt")
    lbfgs = default_space(
        make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(9, 9), solver="lbfgs")), tier=2
    )
    assert set(lbfgs) == {"mlpregressor__alpha", "mlpregressor__hidden_layer_sizes"}
    assert lbfgs.axes["mlpregressor__hidden_layer_sizes.depth"].low == 2


def test_records_vary_themselves():
    for record, parameter, tier in (
        (SGD(momentum=0.8, nesterov=False), "momentum", 2),
        (RMSprop(epsilon=1e-6), "rho", 2),
        (AdamW(), "weight_decay", 3),
        (Lion(weight_decay=0.5), "weight_decay", 3),
    ):
        space = default_space(MLPClassifier(solver=record), tier)
        records = space["solver"].axis.choices
        assert (
            record in records
            and parameter not in space
            and {type(each) for each in records} == {type(record)}
        )
        assert len({getattr(each, parameter) for each in records}) == len(records) >= 5
        assert "solver" not in default_space(MLPClassifier(solver=record), tier - 1)
    assert "solver" not in default_space(MLPClassifier(solver=Adam()), 3)


def test_what_the_user_chose_stays():
    assert "learning_rate" not in default_space(MLPClassifier(learning_rate=Cosine()), 3)
    assert default_space(MLPClassifier(batch_size=32))["learning_rate_init"].base == 32
    assert default_space(MLPClassifier((9, 9)), 3).axes["hidden_layer_sizes.depth"] == int_uniform(1, 6).axis
    for by_layer in ({"activation": ["relu", "tanh"]}, {"dropout": [0.1, 0.2]}):
        depth = default_space(MLPClassifier((9, 9), **by_layer), 3).axes["hidden_layer_sizes.depth"]
        assert depth.low == depth.high == 2


def test_batches_suit_the_table():
    for n_samples in (1, 5, 10, 100, 1000, 2048, 10**6):
        axis = default_space(MLPClassifier(), n_samples=n_samples).axes["batch_size"]
        assert axis.high <= max(2, n_samples // 4, 2) and axis.low < axis.high
    assert (axis.low, axis.high) == (32, 512)


def test_pipelines_in_pipelines():
    pipeline = make_pipeline(
        StandardScaler(), make_pipeline(StandardScaler(), ScikitMLPClassifier(solver="sgd"))
    )
    space = default_space(pipeline, 3)
    assert set(space) <= set(pipeline.get_params())
    assert {name.rpartition("__")[0] for name in space} == {"pipeline__mlpclassifier"}
    assert space["pipeline__mlpclassifier__learning_rate"] == choice("constant", "adaptive")
    assert "learning_rate" not in default_space(ScikitMLPClassifier(), 3)


def test_a_default_space_goes_into_scikit_learns_search():
    X = np.random.RandomState(0).normal(size=(120, 3))
    pipeline = make_pipeline(
        StandardScaler(), MLPRegressor(max_iter=3, tol=10, n_iter_no_change=1, random_state=0)
    )
    space = default_space(pipeline, 2, n_samples=len(X))
    search = RandomizedSearchCV(pipeline, dict(space), n_iter=2, cv=2, random_state=0).fit(X, X[:, 0])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((SVC(),), TypeError, r"estimator must be an MLPClassifier or MLPRegressor .*got SVC\(\)"),
        ((make_pipeline(StandardScaler()),), TypeError, "or a Pipeline that ends in one, got Pipeline"),
        ((MLPClassifier, 1), TypeError, "estimator must be an MLPClassifier .*got <class"),
        ((MLPClassifier(), 0), ValueError, "tier must be 1, 2 or 3, got 0"),
        ((MLPClassifier(), True), ValueError, "tier must be 1, 2 or 3, got True"),
        ((MLPClassifier(), "1"), ValueError, "tier must be 1, 2 or 3, got '1'"),
        (
            (MLPClassifier(solver="adm"),),
            ValueError,
            "solver must be one of 'adam', .*got 'adm'. Did you mean 'adam'",
        ),
        (
            (ScikitMLPClassifier(solver="lion"),),
            ValueError,
            "solver must be one of 'adam', 'sgd', 'lbfgs', .*got 'lion'",
        ),
    ],
)
def test_default_spaces_check(arguments, error, words):
    with pytest.raises(error, match=words):
        default_space(*arguments)
    with pytest.raises(
        ValueError, match="n_samples must be a number of rows, an integer of 1 or more, or None, got 0"
    ):
        default_space(MLPClassifier(), n_samples=0)
