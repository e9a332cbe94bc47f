"""What the table of solvers says is what fits by them do."""

import warnings

import numpy as np
import pytest

from nnfast import MLPRegressor
from nnfast.inspect import plot_learning_curve
from nnfast.optimizers import OPTIMIZERS
from nnfast.solvers import SOLVERS, solver_of, solvers_with

X = np.random.RandomState(0).normal(size=(40, 3))
Y = X[:, 0]

# An option that only solvers with the capability take: others refuse it.
ASKING = {
    "regularizers": {"dropout": 0.1},
    "batch_statistics": {"normalization": "batch"},
    "low_precision": {"precision": "bfloat16"},
}


def small(solver, **parameters):
    parameters = {"max_iter": 3, "tol": 0.0, "random_state": 0, "n_threads": 1} | parameters
    return MLPRegressor(hidden_layer_sizes=(4,), solver=solver, **parameters)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("capability", ASKING)
@pytest.mark.parametrize("solver", SOLVERS)
def test_options_are_taken_where_the_solver_is_capable(solver, capability):
    estimator = small(solver, **ASKING[capability])
    if getattr(SOLVERS[solver], capability):
        estimator.fit(X, Y)
    else:
        with pytest.raises(ValueError, match=f"solver.*{solver}"):
            estimator.fit(X, Y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_trains_by_minibatches_trains_by_parts(solver):
    assert hasattr(small(solver), "partial_fit") == SOLVERS[solver].minibatches


@pytest.mark.parametrize("solver", SOLVERS)
def test_max_fun_is_for_line_searches(solver):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(solver, max_fun=99).fit(X, Y)
    assert any("max_fun=99" in str(each.message) for each in caught) != SOLVERS[solver].line_search


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", SOLVERS)
def test_curves_are_drawn_over_what_the_solver_counts(solver):
    pytest.importorskip("matplotlib")
    assert plot_learning_curve(small(solver).fit(X, Y)).get_xlabel() == SOLVERS[solver].round


def test_records_and_what_is_no_solver_train_by_minibatches():
    for record in OPTIMIZERS.values():
        assert solver_of(record()) is SOLVERS[record.name]
    assert solver_of("no solver").minibatches and solver_of(None).minibatches
    assert solvers_with("minibatches") == list(OPTIMIZERS)
