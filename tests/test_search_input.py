"""Wrong parameters and spaces of a search, told before the first trial."""

import numpy as np
import pytest
from scipy.stats import gamma, norm, randint
from searches import PIPELINE, RATES, X, Y, every_search, fitted, in_pipeline, network, search
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import nnfast.jobs
import nnfast.tuning.progress
from nnfast import MLPClassifier
from nnfast.callbacks import Callback
from nnfast.optimizers import SGD
from nnfast.schedules import Cosine
from nnfast.tuning import (
    Space,
    choice,
    default_space,
    int_uniform,
    layers,
    log_uniform,
    tied,
    uniform,
)
from nnfast.tuning.checks import check_space


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("hyperband", {"estimator": LogisticRegression()}, "needs an estimator that trains by epochs"),
        (
            "hyperband",
            {"estimator": MLPClassifier(solver="lbfgs")},
            "needs an estimator that trains by epochs",
        ),
        (
            "bayes",
            {"estimator": make_pipeline(StandardScaler(), LogisticRegression())},
            "needs an estimator that trains by epochs",
        ),
        (
            "bayes",
            {"estimator": MLPClassifier(solver="lbfgs")},
            "any other needs pruner=None, instead of pruner='median', got MLP",
        ),
        ("bayes", {"study_name": "s"}, "study_name='s' needs a storage"),
        ("bayes", {"sampler": "grid"}, "sampler"),
        ("hyperband", {"eta": 1}, "eta"),
        (
            "hyperband",
            {"space": {"solver": ["adam", "lbfgs"]}},
            "solver of the space must be stochastic solvers.* got 'lbfgs'",
        ),
        (
            "hyperband",
            {"space": RATES | {"max_iter": int_uniform(1, 9)}},
            r"max_iter must not be in the space.*got int_uniform\(1, 9\)",
        ),
        (
            "hyperband",
            {"estimator": PIPELINE, "space": in_pipeline({"solver": ["lbfgs"]})},
            "mlp__solver of the space must be",
        ),
        (
            "hyperband",
            {"estimator": PIPELINE, "space": {"mlp__max_iter": [3]}},
            "mlp__max_iter must not be in the space",
        ),
        (
            "hyperband",
            {"estimator": PIPELINE, "space": {"mlp": [network(solver="lbfgs")]}},
            "mlp of the space must be networks",
        ),
        ("coarse to fine", {"n_candidates": 0}, "n_candidates"),
        (
            "coarse to fine",
            {"n_candidates": None, "time_budget": 1},
            "n_candidates=None needs n_rounds=1, .*; got n_rounds=2",
        ),
        ("coarse to fine", {"time_budget": 0}, "time_budget"),
        ("coarse to fine", {"space": {}}, "one or more parameters"),
        ("coarse to fine", {"space": {"alpha": 1.0}}, "alpha of a space must be"),
        ("coarse to fine", {"cv": 1}, "n_splits"),
        ("coarse to fine", {"scoring": "acuracy"}, "scoring"),
    ],
)
def test_wrong_parameters(name, parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        search(name, **parameters).fit(X, Y)


# A space, of an estimator or of `network()`, and what is said of it.
WRONG_SPACES = {
    "typo": (
        {"alhpa": [1]},
        None,
        "space must have parameters of the estimator, .* got 'alhpa'. Did you mean 'alpha'?",
    ),
    "beside others": (RATES | {"batchsize": [8]}, None, "got 'batchsize'. Did you mean 'batch_size'"),
    "without the prefix": ({"alpha": [1]}, PIPELINE, "got 'alpha'. Did you mean 'mlp__alpha'"),
    "typo without the prefix": ({"alhpa": [1]}, PIPELINE, "got 'alhpa'. Did you mean 'mlp__alpha'"),
    "another prefix": ({"mpl__alpha": [1]}, PIPELINE, "got 'mpl__alpha'. Did you mean 'mlp__alpha'"),
    "prefix of no pipeline": ({"mlp__alpha": [1]}, None, "got 'mlp__alpha'. Did you mean 'alpha'"),
    "name of another step": (
        {"scale__with_maen": [True]},
        PIPELINE,
        "got 'scale__with_maen'. Did you mean 'scale__with_mean'",
    ),
    "name of a pipeline": ({"memroy": [None]}, PIPELINE, "got 'memroy'. Did you mean 'memory'"),
    "step": ({"scaler": [StandardScaler()]}, PIPELINE, "got 'scaler'"),
    "pipeline within a pipeline": (
        {"mlp__alpha": [1]},
        Pipeline([("rest", PIPELINE)]),
        "got 'mlp__alpha'. Did you mean 'rest__mlp__alpha'",
    ),
    "of none of the choices": (
        {"mlp": [network(), network(alpha=1.0)], "mlp__alhpa": [1]},
        PIPELINE,
        "got 'mlp__alhpa'. Did you mean 'mlp__alpha'",
    ),
    "default space of another estimator": (default_space(PIPELINE), None, "got 'mlp__learning_rate_init'"),
    "choice": (
        {"activation": choice("relu", "tahn")},
        None,
        "activation of the space: .* Got 'tahn' instead. Did you mean 'tanh'",
    ),
    "choice in a pipeline": (
        in_pipeline({"solver": ["sgd", "adma"]}),
        PIPELINE,
        "mlp__solver of the space: .*'adma'.* mean 'adam'",
    ),
    "choice of lists": ({"activation": [["relu"], ["tahn"]]}, None, "activation of the space: .*'tahn'"),
    "choice of layers": (
        {"hidden_layer_sizes": [(8,), (8, 0)]},
        None,
        r"hidden_layer_sizes of the space: .*> 0, got \[8, 0\]",
    ),
    "layers of another parameter": ({"batch_size": layers()}, None, "batch_size of the space: "),
    "list of rates": (
        {"dropout": [[0.1], [1.5]]},
        None,
        r"dropout of the space: dropout must be rates in \[0, 1\)",
    ),
    "callbacks that are none": ({"callbacks": [None, Callback()]}, None, "callbacks of the space: "),
    "low end": (
        {"learning_rate_init": uniform(-1.0, 0.1)},
        None,
        r"learning_rate_init of the space: .*Got -0.99",
    ),
    "high end": ({"momentum": uniform(0.5, 1.5)}, None, "momentum of the space: .*Got 1.4"),
    "low end of integers": (
        {"n_iter_no_change": int_uniform(0, 9)},
        None,
        "n_iter_no_change of the space: .*Got 0 instead",
    ),
    "numbers that are no integers": ({"batch_size": log_uniform(8, 64)}, None, "batch_size of the space: "),
    "a distribution": (
        {"learning_rate_init": norm(0.001, 0.01)},
        None,
        "learning_rate_init of the space: .*Got -0.0",
    ),
    "a tied rate": (
        {"alpha": tied(log_uniform(2, 3)), "beta_1": tied(log_uniform(2, 3)), "batch_size": [9]},
        None,
        "beta_1 of the space",
    ),
    "network of a choice": (
        {"mlp": [network(), network(activation="tahn")]},
        PIPELINE,
        "mlp of the space: .*Did you mean 'tanh'",
    ),
    "what the space does not vary": (
        RATES,
        network(activation="tahn"),
        "'activation' parameter .*Got 'tahn' instead. Did you mean",
    ),
    "what a step does not vary": (
        in_pipeline(RATES),
        Pipeline([("mlp", network(alpha=-1.0))]),
        "'alpha' parameter .*Got -1.0",
    ),
}


@every_search
@pytest.mark.parametrize("case", WRONG_SPACES)
def test_wrong_spaces_are_told_before_the_first_trial(name, case, monkeypatch):
    def begin(*args, **kwargs):
        raise AssertionError("there is something to say before the first trial")

    monkeypatch.setattr(nnfast.tuning.search, "SearchRun", begin)
    space, estimator, message = WRONG_SPACES[case]
    with pytest.raises(ValueError, match=message):
        search(name, estimator, space).fit(X, Y)


def test_names_are_asked_of_any_estimator():
    for estimator, space, message in (
        (LogisticRegression(), {"c": [1]}, "got 'c'. Did you mean 'C'"),
        (
            make_pipeline(StandardScaler(), LogisticRegression()),
            {"C": [1]},
            "got 'C'. Did you mean 'logisticregression__C'",
        ),
        (
            BaggingClassifier(network(), n_estimators=2),
            {"estimator__activation": ["relu", "tahn"]},
            "estimator__activation of the space: ",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            search("coarse to fine", estimator, space).fit(X, Y)


class Keywords(LogisticRegression):
    """Takes parameters that it does not list, as some estimators do."""

    def set_params(self, **params):
        return super().set_params(**{name.removeprefix("any__"): value for name, value in params.items()})


@pytest.mark.parametrize(
    ("estimator", "space"),
    [
        (None, {"learning_rate": [lambda epoch, rate: rate, Cosine(), "constant"]}),
        (
            None,
            {"solver": ["sgd", SGD(momentum=0.5)], "loss": ["log_loss"], "callbacks": [None, [Callback()]]},
        ),
        (
            None,
            {
                "dropout": uniform(0.0, 1.0),
                "learning_rate_init": uniform(0.0, 0.1),
                "beta_1": uniform(0.0, 1.0),
            },
        ),
        (
            None,
            {"learning_rate_init": gamma(2, scale=0.01), "alpha": norm(2, 0.8), "batch_size": randint(8, 64)},
        ),
        (None, {"batch_size": ["auto", *range(8, 600)], "n_iter_no_change": [3, np.inf], "verbose": [False]}),
        (network(activation=None), {"activation": ["relu", ("elu", 0.5)]}),
        (
            PIPELINE,
            in_pipeline(RATES) | {"scale": ["passthrough", StandardScaler()], "scale__with_mean": [True]},
        ),
        (PIPELINE, in_pipeline(RATES) | {"memory": [None]}),
        (
            Pipeline([("mlp", None)]),
            {"mlp": [network(activation=None), network()], "mlp__activation": ["relu"]},
        ),
        (PIPELINE, {"mlp": [network(), LogisticRegression()], "mlp__C": log_uniform(0.1, 1)}),
        (PIPELINE, {"mlp": [network(), LogisticRegression()], "mlp__alpha": log_uniform(0.1, 1)}),
        (
            Pipeline([("rest", PIPELINE)]),
            {"rest": [PIPELINE, network()], "rest__mlp": [network()], "rest__mlp__alpha": [1.0]},
        ),
        (Keywords(), {"any__C": [1.0]}),
        (BaggingClassifier(network()), {"estimator__alpha": [1.0]}),
    ],
)
def test_spaces_that_work_are_accepted(estimator, space):
    check_space(network() if estimator is None else estimator, Space(space))


@every_search
def test_a_space_of_steps_and_of_their_parameters(name):
    # The parameter is one of a choice's alone: the other choice fails with it, as it would have to.
    space = in_pipeline(RATES) | {
        "scale": ["passthrough", StandardScaler()],
        "scale__with_mean": [True, False],
    }
    with pytest.warns(FitFailedWarning, match="set_params"):
        made = fitted(search(name, PIPELINE, space), X, Y)
    failed = made.cv_results_["status"] == "failed"
    assert [params["scale"] == "passthrough" for params in made.cv_results_["params"]] == failed.tolist()


@every_search
def test_wrong_tables(name):
    broken = X.copy()
    broken[3, 3] = np.nan
    for table, y, message in (
        (broken, Y, "NaN"),
        (X, Y[:5], "inconsistent"),
        (X[:1], Y[:1], "n_splits|samples"),
        (X[:, 0], Y, "2D"),
    ):
        with pytest.raises(ValueError, match=message):
            search(name).fit(table, y)
    with pytest.raises(ValueError, match="fit takes no validation_indices"):
        search(name).fit(X, Y, validation_indices=np.arange(7))
