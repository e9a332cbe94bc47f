"""What `nnfast.inspect.plan` shows."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnfast import Activation, MLPClassifier, MLPRegressor, engines
from nnfast.inspect import NetworkPlan, plan

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 12)), RNG.normal(size=(60, 3))
SIZES = (20, 9)
OPTIONS = {
    "plain": {},
    "gelu": {"activation": "gelu"},
    "own activation": {"activation": Activation(lambda z: z * z)},
    "batch normalization": {"normalization": "batch"},
    "layer normalization": {"normalization": "layer"},
    "dropout": {"dropout": 0.3, "input_dropout": 0.1},
    "dropout by a schedule": {"dropout": (0.3, "cosine")},
    "alpha dropout": {"activation": "selu", "dropout": 0.3, "alpha_dropout": True},
    "float32": {"precision": "float32"},
    "no momentum": {"solver": "sgd", "momentum": 0},
    "lbfgs": {"solver": "lbfgs"},
    "numba": {"engine": "numba"},
}


def fitted(**options):
    return MLPRegressor(hidden_layer_sizes=SIZES, max_iter=2, tol=1, random_state=0, **options).fit(X, Y)


@pytest.mark.parametrize("options", OPTIONS)
def test_operations_and_costs(options):
    estimator = fitted(**OPTIONS[options])
    weights = np.array([12 * 20, 20 * 9, 9 * 3])
    for n_rows in (1, 200, 1000):
        found = plan(estimator, training=False, n_rows=n_rows)
        assert found.flops.sum() == 2 * n_rows * weights.sum() and found.n_rows == n_rows
        training = plan(estimator, n_rows=n_rows)
        # forward, backward but for the first layer, and the gradients
        assert training.flops.sum() == 2 * n_rows * (3 * weights.sum() - weights[0])
        assert training.segments.max() == (1 if estimator.normalization != "batch" else 8)
        for each in (found, training):
            lengths = {len(value) for name, value in vars(each).items() if name != "n_rows"}
            assert len(lengths) == 1 and (each.bytes > 0).all() and (np.diff(each.segments) >= 0).all()
            products = [shape for shape in each.shapes if len(shape) == 2]
            assert set(products) == {(12, 20), (20, 9), (9, 3)}
            text = repr(each)
            assert (
                text.startswith(f"NetworkPlan: {n_rows} rows")
                and len(text.splitlines()) == len(each.flops) + 2
            )
    names = " ".join((*training.operations, *training.fused))
    drops = "dropout" in options and "schedule" not in options or options == "dropout by a schedule"
    assert ("dropout" in names) == drops
    assert ("normalize" in names) == ("normalization" in options)


def test_bytes_go_by_the_arithmetic():
    wide, narrow = (plan(fitted(precision=precision)) for precision in ("float64", "float32"))
    assert (wide.bytes == 2 * narrow.bytes).all() and (wide.flops == narrow.flops).all()


def test_the_batch_is_the_estimators():
    assert plan(fitted(batch_size=16)).n_rows == 16
    assert plan(fitted()).n_rows == 200


def test_bfloat16_is_shown():
    engine = engines.get_engine("cython")
    if not engine.bfloat16_units():
        pytest.skip("needs a unit for bfloat16 products")
    found = plan(fitted(precision="bfloat16"))
    assert "multiply back (bfloat16)" in found.operations
    assert not any(
        "bfloat16" in name for name in plan(fitted(precision="bfloat16"), training=False).operations
    )


def test_pipelines_and_what_is_not_accepted():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=2, tol=1)).fit(X, Y[:, 0] > 0)
    assert isinstance(plan(pipeline), NetworkPlan)
    with pytest.raises(NotFittedError):
        plan(MLPClassifier())
    with pytest.raises(TypeError, match="estimator must be a fitted MLPClassifier or MLPRegressor"):
        plan(StandardScaler())
    for n_rows in (0, -1, 2.5, True, "auto"):
        with pytest.raises(ValueError, match="n_rows must be a positive integer or None, got"):
            plan(pipeline, n_rows=n_rows)
