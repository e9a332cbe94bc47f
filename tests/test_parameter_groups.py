"""Parameter groups: factors, hyperparameters and schedules of some of a network's arrays."""

import inspect
import pickle

import numpy as np
import pytest
import scipy.sparse
from problems import Problem, arrays_of
from reference_optimizers import Grouped, optimizer_like
from sklearn.base import clone
from small import BOTH, QUIET, small, table

from nnfast import MLPClassifier, MLPRegressor
from nnfast.callbacks import Callback
from nnfast.engines import cython
from nnfast.optimizers import OPTIMIZERS, SGD, Adam, AdamW
from nnfast.parameter_groups import Group, group_parameters, group_schedules
from nnfast.schedules import Cosine, Exponential

try:
    from nnfast.engines import numba
except ImportError:
    numba = None
ENGINES = [cython, *([numba] if numba else [])]
EACH_ENGINE = pytest.mark.parametrize(
    "engine", ENGINES, ids=lambda engine: engine.__name__.rsplit(".", 1)[-1]
)

pytestmark = QUIET

# ------------------------------------------------------------------------------------------------------------
# The path of a run

N_STEPS = 8  # of two epochs


def settings_of(optimizer, dtype=np.float64):
    """param_groups that have all settings that the optimizer knows, and what the reference makes of them: by
    the end of a name, the optimizer, the rates (or their factor) and the factor of the decay.
    """
    betas = {name: 0.7 for name in ("beta_1", "beta_2") if hasattr(optimizer, name)}
    decays = {"weight_decay": 3.0} if hasattr(optimizer, "weight_decay") else {}
    own = np.linspace(0.05, 0.01, N_STEPS)
    groups = {
        "layers.1.*": {"learning_rate": 0.5} | betas,
        "*.bias": {"schedule": Cosine()} | decays,
        "*.scale": {"learning_rate": 0.0},
    }
    expected = {}
    for layer in range(3):
        factor, changes = (0.5, betas) if layer == 1 else (1.0, {})
        record = type(optimizer)(**vars(optimizer) | changes)
        expected |= {
            f"layers.{layer}.weight": (record, factor, 1.0),
            f"layers.{layer}.bias": (record, factor * own, 3.0),
            f"layers.{layer}.norm.scale": (record, 0.0, 0.0),
            f"layers.{layer}.norm.shift": (record, factor, 0.0),
        }
    return groups, expected, own


@EACH_ENGINE
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5}], ids=["plain", "clip_norm"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_groups_go_the_references_path(engine, name, options, dtype, monkeypatch):
    from nnfast.regularization import Regularization

    monkeypatch.setattr("problems.engine", engine)
    optimizer = OPTIMIZERS[name](**({"epsilon": 1e-3} if hasattr(OPTIMIZERS[name], "epsilon") else {}))
    problem = Problem((12, 9, 7, 3), n_samples=60, activation="tanh", normalization="layer", dtype=dtype)
    regularization = Regularization(alpha=0.01, **options)
    param_groups, expected, own = settings_of(optimizer)
    names, rates = problem.network.learned, np.linspace(0.02, 0.01, N_STEPS)
    slow, X, y = problem.reference(regularization)
    rule = Grouped(*zip(*((optimizer_like(o), r, d) for o, r, d in map(expected.get, names)), strict=True))
    with problem.session(
        optimizer=optimizer,
        batch_size=16,
        regularization=regularization,
        groups=group_parameters(optimizer, names, param_groups),
        columns=group_schedules(param_groups),
    ) as session:
        for epoch in range(2):
            now = slice(epoch * 4, epoch * 4 + 4)
            columns = np.column_stack([rates[now], own[now]])
            loss = session.epoch(problem.rows, columns)
            reference = slow.epoch(X, y, problem.rows, 16, rule, rates[now])
            np.testing.assert_allclose(loss, reference, rtol=1e-10 if dtype == np.float64 else 1e-4)
        rtol, atol = (1e-8, 1e-9) if dtype == np.float64 else (2e-3, 2e-4)
        for got, w in zip(problem.stored(session), arrays_of(slow), strict=True):
            np.testing.assert_allclose(got, w, rtol=rtol, atol=atol * np.abs(w).max())


# ------------------------------------------------------------------------------------------------------------
# What estimators cls of them

# param_groups of all parameters: the same fit, to the bit, by another parameter
SAME = {
    "learning_rate": ({"*": {"learning_rate": 2}}, {"learning_rate_init": 0.002}, {}),
    "schedule": ({"*": {"schedule": "cosine"}}, {"learning_rate": "cosine"}, {}),
    "schedule of others": (
        {"*": {"schedule": Exponential(0.5)}},
        {"learning_rate": Exponential(0.5)},
        {"learning_rate": "linear"},
    ),
    "betas": ({"*": {"beta_1": 0.5, "beta_2": 0.6}}, {"beta_1": 0.5, "beta_2": 0.6}, {}),
    "weight_decay": ({"*.weight": {"weight_decay": 4.0}}, {"weight_decay": 0.04}, {"solver": "adamw"}),
    "the later one wins": (
        {"*": {"learning_rate": 7, "beta_1": 0.5}, "layers.*": {"learning_rate": 2}},
        {"learning_rate_init": 0.002, "beta_1": 0.5},
        {},
    ),
    "nothing": ({"*.bias": {}}, {}, {}),
}
KINDS = {
    "plain": {},
    "numba": {"engine": "numba"},
    "float32": {"precision": "float32"},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "batch norm": {"normalization": "batch", "hidden_layer_sizes": (5, 4)},
    "bfloat16": {"precision": "bfloat16", "hidden_layer_sizes": (40,)},
}


def learned(estimator):
    return [
        array
        for name in ("coefs_", "intercepts_", "norm_scales_", "norm_shifts_")
        for array in getattr(estimator, name, [])
    ]


def same(ours, theirs):
    return all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(learned(ours), learned(theirs), strict=True)
    )


def by(estimator, how, X, y):
    """The estimator after one of the ways to train it, some of which go on."""
    if how == "partial_fit":
        more = {"classes": np.unique(y)} if isinstance(estimator, MLPClassifier) else {}
        for _ in range(3):
            estimator.partial_fit(X, y, **more)
    elif how == "sparse":
        estimator.fit(scipy.sparse.csr_array(np.where(np.abs(X) > 1.5, X, 0)), y)
    else:
        estimator.fit(X, y)
        if how == "warm_start":
            pickle.loads(pickle.dumps(estimator.set_params(warm_start="full"))).fit(X, y)
            estimator.fit(X, y)
    return estimator


@BOTH
@pytest.mark.parametrize("how", ["fit", "partial_fit", "warm_start", "sparse"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", SAME)
def test_groups_of_all_are_the_parameters(cls, how, kind, case):
    groups, instead, others = SAME[case]
    kind = KINDS[kind]
    if kind.get("engine") == "numba" and numba is None:
        pytest.skip("needs numba")
    if kind.get("precision") == "bfloat16" and not cython.bfloat16_units():
        pytest.skip("needs a CPU with bfloat16 products")
    if how == "partial_fit" and kind.get("early_stopping"):
        pytest.skip("partial_fit has no early stopping")
    X, y = table()
    options = {"hidden_layer_sizes": (6, 5), "max_iter": 4, "solver": "nadam", **kind, **others}
    ours = by(cls(**options, param_groups=groups, random_state=0), how, X, y)
    assert same(ours, by(cls(**options | instead, random_state=0), how, X, y))
    may_be_equal = not instead or kind.get("early_stopping")  # the first epoch may be the best one
    assert may_be_equal or not same(ours, by(cls(**options, random_state=0), how, X, y))


@BOTH
@EACH_ENGINE
def test_a_rate_of_zero_learns_nothing(cls, engine):
    X, y = table()
    options = {
        "hidden_layer_sizes": (6,),
        "max_iter": 3,
        "random_state": 0,
        "solver": "adamw",
        "engine": engine.__name__.rsplit(".", 1)[-1],
    }
    frozen = {"layers.0.*": {"learning_rate": 0}}
    start = cls(**options, param_groups={"*": {"learning_rate": 0}}).fit(X, y)
    ours = cls(**options, param_groups=frozen).fit(X, y)
    assert np.array_equal(ours.coefs_[0], start.coefs_[0])
    assert np.array_equal(ours.intercepts_[0], start.intercepts_[0])
    assert not np.array_equal(ours.coefs_[1], start.coefs_[1])


def test_biases_decay_where_they_are_asked_to():
    X, y = table()
    options = {"solver": AdamW(weight_decay=1.0), "alpha": 0, "random_state": 0, "max_iter": 1}
    plain = MLPRegressor(hidden_layer_sizes=(6,), **options, batch_size=len(X)).fit(X, y)
    decayed = MLPRegressor(
        hidden_layer_sizes=(6,), **options, batch_size=len(X), param_groups={"*.0.bias": {"weight_decay": 2}}
    )
    decayed.fit(X, y)
    frozen = MLPRegressor(
        hidden_layer_sizes=(6,), **options, batch_size=len(X), param_groups={"*": {"learning_rate": 0}}
    )
    start = frozen.fit(X, y).intercepts_[0]
    np.testing.assert_allclose(plain.intercepts_[0] - decayed.intercepts_[0], 0.002 * start, rtol=1e-9)
    assert np.array_equal(plain.coefs_[0], decayed.coefs_[0])


@BOTH
def test_a_rate_that_a_callback_sets_scales_the_groups_with_a_schedule(cls):
    class Halved(Callback):
        def on_epoch_end(self, estimator, state):
            state.learning_rate = 0.0005

    X, y = table()
    options = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, "callbacks": [Halved()]}
    ours = cls(**options, param_groups={"*": {"schedule": "constant"}}).fit(X, y)
    assert same(ours, cls(**options).fit(X, y))
    assert not same(ours, cls(**options | {"callbacks": None}).fit(X, y))


def test_a_schedule_of_a_group_goes_on():
    X, y = table()
    groups = {"*": {"schedule": Cosine()}}
    options = {"hidden_layer_sizes": (6,), "random_state": 0, "shuffle": False, "max_iter": 4}
    whole = MLPRegressor(**options, learning_rate=Cosine(), warm_start="full")
    ours = MLPRegressor(**options, learning_rate=Cosine(), warm_start="full", param_groups=groups)
    for _ in range(3):
        assert same(whole.fit(X, y), pickle.loads(pickle.dumps(ours.fit(X, y))))
    states = ours._optimizer["scheduled"]
    assert states == {"param_groups['*']": ours._optimizer["schedule"]}


@BOTH
def test_groups_pickle_and_clone(cls):
    X, y = table()
    groups = {"*.bias": {"schedule": Cosine(), "learning_rate": 0.5}}
    estimator = small(cls, param_groups=groups)
    copy = clone(pickle.loads(pickle.dumps(estimator)))
    assert copy.param_groups == groups
    assert same(estimator.fit(X, y), copy.fit(X, y))
    assert (
        estimator.param_groups == groups and inspect.signature(cls).parameters["param_groups"].default is None
    )


# ------------------------------------------------------------------------------------------------------------
# What is refused

NAMES = "layers.0.weight, layers.1.weight, layers.0.bias, layers.1.bias"
WRONG = {
    "no match": ({"layers.2.*": {}}, ["'layers.2.*', which matches none", NAMES]),
    "no pattern": ({3: {}}, ["pattern 3, which matches none", NAMES]),
    "no dict": ({"*": 0.1}, ["param_groups['*'] must be a dict", "got 0.1"]),
    "no setting": ({"*": {"lr": 1}}, ["'learning_rate', 'weight_decay'", "got 'lr'"]),
    "typo": ({"*": {"learning_rat": 1}}, ["Did you mean 'learning_rate'?"]),
    "rate": ({"*": {"learning_rate": -1}}, ["param_groups['*']['learning_rate'] must be a factor", "got -1"]),
    "nan": ({"*": {"weight_decay": np.nan}}, ["must be a factor of the weight decay", "got nan"]),
    "beta": ({"*": {"beta_1": 1.0}}, ["['beta_1'] must be a number in [0, 1), got 1.0"]),
    "schedule": ({"*": {"schedule": "cosin"}}, ["param_groups['*']['schedule']", "'cosin'", "'cosine'"]),
    "reacts": ({"*": {"schedule": "plateau"}}, ["must be a schedule that goes by time alone", "Plateau()"]),
    "no decay": ({"*": {"weight_decay": 1}}, ["needs a solver of 'adamw', 'lion', got 'adam'"]),
}


@BOTH
@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(cls, case):
    X, y = table()
    groups, words = WRONG[case]
    with pytest.raises((TypeError, ValueError)) as error:
        cls(hidden_layer_sizes=(3,), param_groups=groups, max_iter=1).fit(X, y)
    for each in words:
        assert each in str(error.value)


def test_groups_are_of_parameters_that_have_all_in_common():
    names = ["layers.0.weight", "layers.1.weight", "layers.0.bias", "layers.1.bias"]
    for param_groups in (None, {}, {"*.bias": {"learning_rate": 1.0}}, {"*": {"beta_1": 0.9}}):
        groups, numbers = group_parameters(Adam(), names, param_groups)
        assert groups == [Group(Adam(), True, 1.0), Group(Adam(), False, 0.0)] and numbers == [0, 0, 1, 1]
    groups, numbers = group_parameters(SGD(), names, {"layers.0.*": {"learning_rate": 2.0}})
    assert numbers == [0, 1, 2, 3] and [group.learning_rate for group in groups] == [2, 1, 2, 1]
