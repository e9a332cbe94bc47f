"""The learning-rate finder: lr_find, and learning_rate_init="auto"."""

import functools
import pickle
import types

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import BOTH, QUIET, UNUSED_OPTIONS, frozen, small, table

import nnfast.blocks
import nnfast.mapped
from nnfast import DivergenceError, Loss, MLPClassifier, MLPRegressor, engines
from nnfast.optimizers import SGD
from nnfast.rate_finder import LOWS, STEPS_PER_DECADE, RateCurve, range_test
from nnfast.schedules import Cosine
from nnfast.tuning import lr_find

pytestmark = QUIET

CURVE = ("rates", "losses", "smoothed")
SELECTED = ("steepest", "minimum", "suggestion", "diverged_at")


def logistic(y, z):
    return np.log(1 + np.exp(-np.abs(z))) + np.maximum(z, 0) - y * z


# What may be asked of a fit, beside the table: (estimator's parameters, arguments of fit). Each finds its
# rate its own way.
FITS = {
    "plain": ({}, {}),
    "sgd": ({"solver": "sgd"}, {}),
    "record": ({"solver": SGD(momentum=0.0)}, {}),
    "lion": ({"solver": "lion"}, {}),
    "in order": ({"shuffle": False}, {}),
    "dropout": ({"dropout": 0.3, "input_dropout": 0.1}, {}),
    "batch normalization": ({"normalization": "batch"}, {}),
    "layer normalization": ({"normalization": "layer", "activation": "tanh"}, {}),
    "penalties": ({"alpha": 1.0, "l1": 0.1, "clip_norm": 0.1, "max_norm": 1.0}, {}),
    "schedule": ({"learning_rate": Cosine(warmup=3)}, {}),
    "function": ({"learning_rate": abs}, {}),
    "linear": ({"hidden_layer_sizes": ()}, {}),
    "early stopping": ({"early_stopping": True}, {}),
    "rows held out": ({}, {"validation_indices": np.arange(0, 40, 4)}),
    "weights": ({}, {"sample_weight": np.arange(40) % 4}),
    "float32": ({"precision": "float32"}, {}),
    "one batch": ({"batch_size": 40}, {}),
    "small batches": ({"batch_size": 3}, {}),
    "blocks": ({"shuffle": "blocks"}, {}),
    "blocks held out": ({"shuffle": "blocks", "early_stopping": True}, {"sample_weight": np.arange(40) % 4}),
}
ALL_FITS = pytest.mark.parametrize("name", FITS)


def assert_same_fit(one, other):
    for name in ("loss_curve_", "learning_rate_curve_", "learning_rate_init_", "validation_scores_", "t_"):
        assert getattr(one, name) == getattr(other, name), name
    for arrays, others in ((one.coefs_, other.coefs_), (one.intercepts_, other.intercepts_)):
        assert all(np.array_equal(a, b) for a, b in zip(arrays, others, strict=True))


# ------------------------------------------------------------------------------------------------------------
# The test and its curve


@pytest.mark.parametrize("curvature", [1.0, 30.0, 1e4])
def test_on_a_quadratic_the_loss_turns_where_the_rate_is_two_by_the_curvature(curvature):
    # A linear model by whole batches of columns that are orthogonal: all that can be learned is multiplied by
    # 1 - rate * curvature in every step, and grows above that rate. The bias, of curvature 1, is right from
    # the start, and what is left at the minimum is orthogonal to the columns.
    rng = np.random.RandomState(0)
    X = rng.normal(size=(60, 5))
    basis = np.linalg.qr(X - X.mean(axis=0))[0] * np.sqrt(60 * curvature)
    X, left = basis[:, :4], basis[:, 4] / np.sqrt(curvature)
    plain = small(
        MLPRegressor, hidden_layer_sizes=(), solver=SGD(momentum=0.0), alpha=0, batch_size=60, max_iter=1
    )
    start = clone(plain).set_params(learning_rate_init=1e-300).fit(X, left)
    to_learn = X @ rng.normal(size=4) + start.intercepts_[0]
    found = lr_find(plain, X, to_learn + left, low=1.3e-5 / curvature, high=1.3e2 / curvature, n_epochs=57)
    at = int(np.argmin(found.losses))
    assert found.rates[at - 1] < 2 / curvature <= found.rates[at]
    # it came down by orders, and has to come up again
    assert 2 / curvature < found.diverged_at < 40 / curvature
    assert found.suggestion < 2 / curvature
    factors = np.cumprod(np.concatenate([[1], 1 - found.rates * curvature]))[: len(found.losses)]
    expected = np.mean((start.predict(X) - to_learn) ** 2) / 2 * factors**2 + np.mean(left**2) / 2
    np.testing.assert_allclose(found.losses, expected, rtol=1e-9)


@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop"])
def test_the_curve_says_how_its_rates_come_about(solver):
    X, y = load_digits(return_X_y=True)
    found = lr_find(small(solver=solver, batch_size=100), X / 16, y, low=1e-5, high=100.0, smoothing=0.9)
    n = len(found.rates)
    assert n == len(found.losses) == len(found.smoothed) < 7 * STEPS_PER_DECADE + 1
    np.testing.assert_allclose(found.rates, np.geomspace(1e-5, 100.0, 7 * STEPS_PER_DECADE + 1)[:n])
    weights = 0.9 ** np.arange(n)
    averages = [found.losses[: i + 1][::-1] @ weights[: i + 1] / weights[: i + 1].sum() for i in range(n)]
    np.testing.assert_allclose(found.smoothed, averages)
    assert found.minimum == found.rates[np.argmin(averages)]
    half, decades = STEPS_PER_DECADE // 2, np.log10(found.rates)
    slopes = {
        found.rates[i]: np.polyfit(decades[i - half : i + half + 1], averages[i - half : i + half + 1], 1)[0]
        for i in range(half, min(np.argmin(averages) + 1, n - half))
    }
    assert found.steepest == min(slopes, key=slopes.get)
    assert found.suggestion == pytest.approx(min(found.steepest, found.minimum / 10), rel=0.05)
    assert found.diverged_at in (found.rates[-1], found.rates[-1] * 10 ** (1 / STEPS_PER_DECADE))
    assert "RateCurve: suggestion" in repr(found) and "diverged at" in repr(found)


def test_by_the_suggestion_a_network_learns():
    X, y = load_digits(return_X_y=True)
    for solver in ("adam", "sgd", "rmsprop", "adagrad", "lion"):
        fitted = MLPClassifier(
            (30,), solver=solver, learning_rate_init="auto", max_iter=10, random_state=0
        ).fit(X / 16, y)
        assert fitted.score(X / 16, y) > 0.9


@pytest.mark.parametrize("scale, fits", [(1e3, True), (1e6, True), (1e15, False)])
def test_large_values_have_it_begin_lower(scale, fits):
    X, y = table()
    regressor = small(MLPRegressor, solver="sgd", learning_rate_init="auto")
    if fits:
        found = lr_find(regressor, X * scale, y)
        assert found.suggestion < 1 / scale
        assert np.isfinite(regressor.fit(X * scale, y).loss_)
    else:
        with pytest.raises(
            DivergenceError, match="within a decade of the lowest learning rate tried, 1e-18. Scale X"
        ):
            regressor.fit(X * scale, y)
        assert not hasattr(regressor, "coefs_")
    with pytest.raises(
        DivergenceError, match="within a decade of the lowest learning rate tried, 0.1. Scale X"
    ):
        lr_find(regressor, X * scale, y, low=0.1)


def test_an_odd_batch_is_no_explosion():
    X, y = table(400)
    y = X[:, 0] + np.where(np.arange(400) == 7, 100.0, 0.0)
    found = lr_find(small(MLPRegressor, batch_size=10), X, y)
    assert found.losses.max() > 100 and found.diverged_at > 0.01


@pytest.mark.parametrize("n_epochs, n_steps", [(None, 225), (3, 39), (20, 260)])
def test_length(n_epochs, n_steps):
    X, y = table(40)
    found = lr_find(
        small(hidden_layer_sizes=(), batch_size=3, solver="sgd", alpha=0.0), X, y, n_epochs=n_epochs
    )
    expected = np.geomspace(LOWS[0], 10.0, n_steps)
    np.testing.assert_allclose(found.rates, expected[: len(found.rates)])


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_rows_of_weight_zero_have_no_say(cls):
    X, y = table()
    weight = np.arange(40) % 3
    with_them, without = (
        lr_find(small(cls), X, y, weight),
        lr_find(small(cls), X[weight > 0], y[weight > 0], weight[weight > 0]),
    )
    assert np.array_equal(with_them.losses, without.losses)


# ------------------------------------------------------------------------------------------------------------
# What is left alone


@ALL_FITS
@BOTH
def test_the_estimator_is_untouched(cls, name):
    X, y = table()
    parameters, arguments = FITS[name]
    for estimator in (
        small(cls, **parameters),
        small(cls, **parameters, random_state=np.random.RandomState(3)),
        small(cls, **parameters, warm_start=True).fit(X, y),
        make_pipeline(StandardScaler(), small(cls, **parameters, learning_rate_init="auto")).fit(X, y),
    ):
        before = frozen(estimator)
        found = lr_find(estimator, X, y, arguments.get("sample_weight"))
        assert isinstance(found, RateCurve) and np.isfinite(found.suggestion)
        assert frozen(estimator) == before


def test_neither_callbacks_nor_what_is_global_see_it():
    X, y = table()
    state = np.random.get_state()[1].copy()
    lr_find(small(callbacks=[types.SimpleNamespace(on_fit_begin=pytest.fail)], profile=True), X, y)
    assert np.array_equal(np.random.get_state()[1], state)


def test_ranges_whose_ratio_overflows():
    X, y = table()
    found = lr_find(small(), X, y, low=1e-200, high=1e200)
    assert found.rates[0] == pytest.approx(1e-200) and np.diff(np.log10(found.rates)) == pytest.approx(
        1 / STEPS_PER_DECADE
    )
    assert 1e-4 < found.suggestion < found.diverged_at < 1e4


def test_epochs_too_few_for_a_lower_start_become_more():
    X, y = table()
    estimator = small(MLPRegressor, solver="sgd")
    assert len(lr_find(estimator, X, y, n_epochs=15, low=1e-6).rates) <= 30
    found = lr_find(estimator, X * 1e3, y, n_epochs=15)  # two steps an epoch
    decades = np.diff(np.log10(found.rates))[0]
    assert found.rates[0] == LOWS[1]
    assert decades == pytest.approx(11 / 45)
    with pytest.raises(ValueError, match="n_epochs must be enough for 45 steps.*got 15"):
        lr_find(estimator, X * 1e3, y, n_epochs=15, low=LOWS[1])


def test_steps_of_a_pipeline_are_fitted_on_the_table():
    X, y = table()
    network = small()
    pipeline = make_pipeline(StandardScaler(), SelectKBest(k=2), network)
    by_hand = SelectKBest(k=2).fit_transform(StandardScaler().fit_transform(X), y)
    assert np.array_equal(lr_find(pipeline, X, y).losses, lr_find(network, by_hand, y).losses)
    assert np.array_equal(lr_find(make_pipeline(network), X, y).losses, lr_find(network, X, y).losses)
    within = make_pipeline(StandardScaler(), make_pipeline(SelectKBest(k=2), network))
    assert np.array_equal(lr_find(within, X, y).losses, lr_find(network, by_hand, y).losses)


def test_random_state_is_the_estimators_or_its_own():
    X, y = table()
    of = functools.partial(lr_find, X=X, y=y)
    assert np.array_equal(of(small(random_state=3)).losses, of(small(random_state=5), random_state=3).losses)
    assert not np.array_equal(of(small(random_state=3)).losses, of(small(random_state=5)).losses)


# ------------------------------------------------------------------------------------------------------------
# The same for all


@pytest.mark.parametrize(
    "name", ["plain", "sgd", "dropout", "batch normalization", "early stopping", "blocks"]
)
def test_threads_change_nothing(name):
    X, y = table()
    curves = [lr_find(small(**FITS[name][0], n_threads=n), X, y) for n in (1, 2, 5)]
    for curve in curves[1:]:
        assert all(np.array_equal(getattr(curve, each), getattr(curves[0], each)) for each in CURVE)
        assert all(getattr(curve, each) == getattr(curves[0], each) for each in SELECTED)


@pytest.mark.parametrize("name", ["plain", "sgd", "dropout", "early stopping"])
def test_engines_agree(name):
    pytest.importorskip("nnfast.engines.numba", reason="needs numba", exc_type=ImportError)
    X, y = table()
    one, other = (lr_find(small(**FITS[name][0], engine=engine), X, y) for engine in ("cython", "numba"))
    n = np.searchsorted(one.rates, one.minimum)
    np.testing.assert_allclose(one.losses[:n], other.losses[:n], rtol=1e-6)
    assert one.suggestion == other.suggestion


def test_dense_and_sparse_agree():
    X, y = table(200)
    X[np.random.RandomState(0).uniform(size=X.shape) < 0.95] = 0
    dense, sparse = (lr_find(small(), Z, y) for Z in (X, scipy.sparse.csr_array(X)))
    n = np.searchsorted(dense.rates, dense.minimum)
    np.testing.assert_allclose(dense.losses[:n], sparse.losses[:n], rtol=1e-9)
    assert dense.suggestion == sparse.suggestion


@pytest.mark.parametrize("parameters", [{}, {"normalization": "batch", "early_stopping": True}])
def test_tables_mapped_from_files(tmp_path, monkeypatch, parameters):
    X, y = table(500)
    np.save(tmp_path / "X.npy", X)
    monkeypatch.setattr(nnfast.mapped, "SMALL_BYTES", 1 << 10)
    monkeypatch.setattr(nnfast.blocks, "BLOCK_NUMBERS", 60)  # of 10 rows
    monkeypatch.setattr(nnfast.mapped, "memory", lambda: 100)
    X_file = np.load(tmp_path / "X.npy", mmap_mode="r")
    read, take = [], nnfast.blocks.take
    monkeypatch.setattr(nnfast.blocks, "take", lambda X, rows: read.append(len(rows)) or take(X, rows))
    for blocks, n_rows in ((64, 500), (3, 130)):  # eight batches of 16 rows or more have to fit in
        monkeypatch.setattr(nnfast.blocks, "BUFFER_BLOCKS", blocks)
        found = lr_find(small(learning_rate_init="auto", **parameters), X_file, y)
        assert n_rows * 0.85 <= read[-1] <= n_rows
        fitted = small(learning_rate_init="auto", **parameters).fit(X_file, y)
        assert fitted.learning_rate_init_ == found.suggestion
        in_memory = lr_find(small(shuffle="blocks", **parameters), X, y)
        assert np.array_equal(in_memory.losses, found.losses)


@pytest.mark.parametrize(
    "parameters, y",
    [
        ({"loss": "focal"}, np.arange(40) % 3),
        ({"class_weight": "balanced", "label_smoothing": 0.1}, np.arange(40) % 3),
        ({"class_weight": {0: 0.0}}, np.arange(40) % 3),
        ({}, np.eye(40)[:, :3].astype(int)),
        ({"loss": "poisson"}, np.arange(40) % 5),
        ({"loss": "quantile", "quantile": [0.1, 0.9]}, np.linspace(-1, 1, 40)),
        ({"loss": "gamma"}, np.exp(np.linspace(-1, 1, 40))),
    ],
)
def test_losses_and_targets(parameters, y):
    X, _ = table()
    cls = MLPRegressor if y.dtype.kind == "f" or parameters.get("loss") == "poisson" else MLPClassifier
    estimator = small(cls, learning_rate_init="auto", **parameters)
    assert estimator.fit(X, y).learning_rate_init_ == lr_find(estimator, X, y).suggestion


def test_losses_of_ones_own():
    pytest.importorskip("numba")
    X, y = table()
    own = lr_find(small(loss=Loss(logistic, out_activation="logistic")), X, y)
    theirs = lr_find(small(), X, y)
    assert own.suggestion == pytest.approx(theirs.suggestion, rel=0.1)


def test_bfloat16():
    if not engines.get_engine("auto").bfloat16_units():
        pytest.skip("needs a unit for bfloat16")
    X, y = table()
    rounding, exact = (lr_find(small(precision=precision), X, y) for precision in ("bfloat16", "float32"))
    assert not np.array_equal(rounding.losses, exact.losses)
    np.testing.assert_allclose(rounding.losses[:100], exact.losses[:100], rtol=0.02)


# ------------------------------------------------------------------------------------------------------------
# learning_rate_init="auto"


@ALL_FITS
@BOTH
def test_auto_is_the_same_fit_as_the_number_it_finds(cls, name):
    X, y = table()
    parameters, arguments = FITS[name]
    auto = small(cls, **parameters, learning_rate_init="auto").fit(X, y, **arguments)
    number = small(cls, **parameters, learning_rate_init=auto.learning_rate_init_).fit(X, y, **arguments)
    assert_same_fit(auto, number)
    states = [np.random.RandomState(3) for _ in range(2)]
    auto = small(cls, **parameters, learning_rate_init="auto", random_state=states[0]).fit(X, y, **arguments)
    number = small(
        cls, **parameters, learning_rate_init=auto.learning_rate_init_, random_state=states[1]
    ).fit(X, y, **arguments)
    assert_same_fit(auto, number)
    assert states[0].randint(2**31) == states[1].randint(2**31)


@ALL_FITS
@BOTH
def test_auto_finds_what_lr_find_finds(cls, name):
    X, y = table()
    parameters, arguments = FITS[name]
    auto = small(cls, **parameters, learning_rate_init="auto")
    assert lr_find(auto, X, y, **arguments).suggestion == auto.fit(X, y, **arguments).learning_rate_init_


def test_rows_to_validate_on_are_not_trained_on(monkeypatch):
    X, y = table()
    engine = engines.get_engine()
    trained, measured = set(), set()

    class Session(engine.Session):
        def epoch(self, order, rate):
            trained.update(order.tolist())
            return super().epoch(order, rate)

        def evaluate(self, rows, *more):
            measured.update(rows.tolist())
            return super().evaluate(rows, *more)

    monkeypatch.setattr(engine, "Session", Session)
    small(learning_rate_init="auto", early_stopping=True).fit(X, y)
    assert trained | measured == set(range(40)) and not trained & measured
    held_out = np.arange(0, 40, 4)
    other, other_y = X.copy(), y.copy()
    other[held_out] *= 1e6
    other_y[held_out] = 1 - other_y[held_out]
    rates = {
        small(learning_rate_init="auto").fit(*a, validation_indices=held_out).learning_rate_init_
        for a in ((X, y), (other, other_y))
    }
    given = {
        small(learning_rate_init="auto").fit(X, y, **more).learning_rate_init_
        for more in ({}, {"X_val": other, "y_val": y})
    }
    assert len(rates) == len(given) == 1


@BOTH
def test_partial_fit_keeps_what_its_first_call_found(cls):
    X, y = table()
    classes = {"classes": [0, 1]} if cls is MLPClassifier else {}
    auto = small(cls, learning_rate_init="auto").partial_fit(X[:20], y[:20], **classes)
    rate = auto.learning_rate_init_
    number = small(cls, learning_rate_init=rate).partial_fit(X[:20], y[:20], **classes)
    for _ in range(3):
        assert_same_fit(auto, number)
        auto, number = (pickle.loads(pickle.dumps(each)).partial_fit(X, y) for each in (auto, number))
    assert auto.learning_rate_init_ == rate


@pytest.mark.parametrize("warm_start", [True, "full"])
def test_warm_starts_keep_it_unless_the_solver_is_another(warm_start, monkeypatch):
    X, y = table()
    found = []
    monkeypatch.setattr(
        "nnfast.stochastic_fit.range_test", lambda *args: found.append(range_test(*args)) or found[-1]
    )
    sgd = functools.partial(small, warm_start=warm_start, solver="sgd")
    auto = sgd(learning_rate_init="auto").fit(X, y)
    number = sgd(learning_rate_init=auto.learning_rate_init_).fit(X, y)
    for _ in range(2):
        assert_same_fit(auto.fit(X[:30], y[:30]), number.fit(X[:30], y[:30]))
    assert len(found) == 1

    def refit(estimator, **parameters):
        assert estimator.set_params(**parameters).fit(X, y).learning_rate_init_ == found[-1].suggestion
        return len(found)

    assert refit(auto, solver="adam") == refit(auto) == 2
    assert refit(number, learning_rate_init="auto") == refit(number) == 3  # where it was given before
    assert refit(number, warm_start=False) == 4
    before = number.set_params(learning_rate_init=0.5).fit(X, y).learning_rate_init_
    assert before == 0.5 and len(found) == 4


@UNUSED_OPTIONS
def test_parameters_keep_the_word():
    X, y = table()
    auto = small(learning_rate_init="auto").fit(X, y)
    for each in (auto, clone(auto), pickle.loads(pickle.dumps(auto))):
        assert each.get_params()["learning_rate_init"] == "auto"
    assert auto.learning_rate_curve_[0] == auto.learning_rate_init_
    assert type(auto.learning_rate_init_) is float
    assert small(learning_rate_init=1e-2).fit(X, y).learning_rate_init_ == 1e-2
    assert not hasattr(auto.set_params(solver="lbfgs", warm_start=True).fit(X, y), "learning_rate_init_")
    assert auto.set_params(solver="sgd").fit(X, y).learning_rate_init_ > 0


@pytest.mark.parametrize("verbose", [False, True, "progress"])
def test_the_rate_found_is_told_once(verbose, capsys):
    if verbose == "progress":
        pytest.importorskip("tqdm")
    X, y = table()
    auto = small(learning_rate_init="auto", verbose=verbose, warm_start=True).fit(X, y)
    out, err = capsys.readouterr()
    line = f"The learning-rate range test found learning_rate_init = {auto.learning_rate_init_:g}\n"
    assert out.startswith(line) == (verbose is True)
    assert [out.count(line), err.count(line)] == [verbose is True, verbose == "progress"]
    auto.fit(X, y)  # keeps it
    small(learning_rate_init=0.01, verbose=verbose).fit(X, y)
    assert "range test" not in "".join(capsys.readouterr())


def test_a_divergence_says_which_rate_was_found(monkeypatch):
    X, y = table()
    monkeypatch.setattr(
        "nnfast.stochastic_fit.range_test", lambda *args: types.SimpleNamespace(suggestion=1e200)
    )
    with pytest.raises(
        DivergenceError, match=r"Lower learning_rate_init, now 'auto', which is 1e\+200 here, or scale X"
    ):
        small(MLPRegressor, learning_rate_init="auto", solver="sgd").fit(X, y)


def test_an_interrupt_while_it_searches_changes_nothing(monkeypatch):
    X, y = table()
    fitted = small(warm_start=True).fit(X, y).set_params(learning_rate_init="auto")
    before, engine = frozen(fitted), engines.get_engine()

    class Session(engine.Session):
        def epoch(self, order, rate):
            raise KeyboardInterrupt

    monkeypatch.setattr(engine, "Session", Session)
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(X, y)
    assert frozen(fitted) == before


# ------------------------------------------------------------------------------------------------------------
# Errors and drawings


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"low": 0}, "low must be a positive number, or None, got 0"),
        ({"low": "auto"}, "low must be a positive number, or None, got 'auto'"),
        ({"high": np.inf}, "high must be a positive number, got inf"),
        ({"high": 10**400}, "high must be a positive number, got 1000"),
        ({"low": 10**400}, "low must be a positive number, or None, got 1000"),
        ({"low": 0.1, "high": 1.0}, "high must be at least 100 times low=0.1, got 1.0"),
        ({"high": 1e-5}, "high must be at least 100 times low=1e-06, got 1e-05"),
        ({"n_epochs": 0}, "n_epochs must be 1 or more, or None, got 0"),
        ({"n_epochs": 1.5}, "n_epochs must be 1 or more, or None, got 1.5"),
        (
            {"n_epochs": 1},
            r"n_epochs must be enough for 29 steps.*got 1, which are 2 steps of 16 rows. Accepted is 15 or "
            "more",
        ),
        ({"smoothing": 1.0}, r"smoothing must be a number in \[0, 1\), got 1.0"),
        ({"smoothing": True}, r"smoothing must be a number in \[0, 1\), got True"),
        ({"random_state": "zero"}, "random_state"),
        ({"sample_weight": np.zeros(40)}, "Sample weights must contain at least one non-zero number"),
        ({"sample_weight": np.ones(39)}, "sample_weight"),
    ],
)
def test_arguments_that_are_not_accepted(arguments, message):
    with pytest.raises(ValueError, match=message):
        lr_find(small(), *table(), **arguments)


@pytest.mark.parametrize(
    "estimator, error, message",
    [
        (small(solver="lbfgs"), ValueError, "needs a solver with a learning rate, .* got solver='lbfgs'"),
        (small(batch_size=0), ValueError, "The 'batch_size' parameter of MLPClassifier"),
        (small(learning_rate_init="autos"), ValueError, "Did you mean 'auto'?"),
        (small(alpha_dropout=True), ValueError, "alpha_dropout=True keeps"),
        (
            KMeans(),
            TypeError,
            "estimator must be an MLPClassifier or MLPRegressor of nnfast, or a Pipeline .* got KMeans",
        ),
        (make_pipeline(StandardScaler()), TypeError, "got StandardScaler"),
        (make_pipeline(StandardScaler(), "passthrough"), TypeError, "got str"),
        (TransformedTargetRegressor(small(MLPRegressor)), TypeError, "got TransformedTargetRegressor"),
    ],
)
def test_estimators_that_are_not_accepted(estimator, error, message):
    with pytest.raises(error, match=message):
        lr_find(estimator, *table())


class NeverFitted(StandardScaler):
    def fit(self, X, y=None):
        raise AssertionError("there is something to say before the steps are fitted")


def test_a_wrong_parameter_is_told_before_the_steps_are_fitted():
    with pytest.raises(ValueError, match="'activation' parameter .*Got 'tahn' instead. Did you mean 'tanh'"):
        lr_find(make_pipeline(NeverFitted(), small(activation="tahn")), *table())


@pytest.mark.parametrize(
    "change", [lambda X, y: (X * np.nan, y), lambda X, y: (X[:3], y), lambda X, y: (X[0], y)]
)
def test_wrong_tables_are_the_errors_of_fit(change):
    X, y = change(*table())
    with pytest.raises(ValueError) as ours:
        lr_find(small(), X, y)
    with pytest.raises(ValueError) as theirs:
        small().fit(X, y)
    assert str(ours.value) == str(theirs.value)


def test_drawings():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    X, y = table()
    for found in (lr_find(small(), X, y), lr_find(small(), X, y, high=1e-3)):
        ax = found.plot()
        lines = {line.get_label(): line for line in ax.get_lines()}
        assert np.array_equal(lines["smoothed"].get_data(), (found.rates, found.smoothed))
        assert ax.get_xscale() == "log" and ax.get_xlabel() == "learning rate"
        marks = {
            label.partition(":")[0]: line.get_xdata()[0] for label, line in lines.items() if ":" in label
        }
        expected = {
            "steepest": found.steepest,
            "minimum / 10": found.minimum / 10,
            "diverged": found.diverged_at,
        }
        assert marks == {name: rate for name, rate in expected.items() if rate is not None}
        assert sum("suggested" in label for label in lines) == 1
        assert ax.get_ylim()[0] < found.smoothed.min() <= found.smoothed[0] < ax.get_ylim()[1]
        ax.figure.canvas.draw()
        assert found.plot(ax) is ax
        pyplot.close(ax.figure)
