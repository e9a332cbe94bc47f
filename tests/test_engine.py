"""A session of the engine: its training, and the same bits however it runs."""

import os
import subprocess
import sys

import numpy as np
import pytest
import reference
import sklearn.utils
from digests import digest
from nnfast.kernels import engine as compiled
from problems import Problem, arrays_of, same

from nnfast.activations import ACTIVATIONS
from nnfast.engines import cython as engine
from nnfast.losses import LOSSES
from nnfast.optimizers import OPTIMIZERS, SCALARS, SGD, AdaBelief, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop
from nnfast.regularization import Regularization

ISAS = engine.instruction_sets()
CHUNK = engine.CHUNK_ROWS


# ------------------------------------------------------------------------------------------------------------
# The same bits

# What each run is of: a Problem's arguments, and a session's.
RUNS = {
    "odd batches": ({"units": (33, 40, 17, 3), "n_samples": 203}, {"batch_size": 32}),
    "one row a batch": ({"n_samples": 9}, {"batch_size": 1}),
    "chunks": (
        {"units": (20, 33, 2), "n_samples": 2 * CHUNK + 300, "weighted": True},
        {"batch_size": CHUNK + 200},
    ),
    "sgd, wide outputs": (
        {"units": (12, 40, 70), "loss": "squared_error"},
        {"batch_size": 24, "optimizer": SGD()},
    ),
    "no hidden layer": ({"units": (70, 2)}, {"batch_size": 20, "optimizer": SGD(nesterov=False)}),
    "deep, logistic": (
        {"units": (300, 65, 33, 5), "activation": "logistic", "loss": "poisson"},
        {"batch_size": 30},
    ),
    "sparse": ({"units": (150, 40, 3), "kind": "sparse", "n_samples": 120}, {"batch_size": 50}),
    "sparse, chunks, tanh": (
        {
            "units": (60, 20, 1),
            "kind": "sparse",
            "n_samples": CHUNK + 88,
            "activation": "tanh",
            "loss": "binary_log_loss",
        },
        {},
    ),
    "sparse, no hidden layer": (
        {"units": (60, 2), "kind": "sparse", "n_samples": 90, "loss": "binary_log_loss"},
        {"batch_size": 32},
    ),
    "densified": ({"units": (33, 20, 4), "kind": "csr"}, {"batch_size": 20}),
}
# Options alone and together; the last batch of some has one row, and some batches are several chunks.
DEEP = {"units": (33, 40, 17, 3), "n_samples": 97}
LARGE = {"units": (20, 33, 3), "n_samples": CHUNK + 61, "weighted": True}
SPARSE = {"units": (150, 40, 18, 3), "kind": "sparse", "n_samples": 120}
EVERYTHING = {
    "alpha": 0.02,
    "l1": 0.03,
    "clip_norm": 0.8,
    "clip_value": 0.2,
    "max_norm": 1.0,
    "dropout": (0.2, 0.4),
    "input_dropout": 0.3,
}
OPTIONS = {
    "batch norm": (DEEP | {"normalization": "batch"}, {}),
    "batch norm, large batch": (LARGE | {"normalization": "batch"}, {"batch_size": CHUNK + 31}),
    "batch norm, sparse": (SPARSE | {"normalization": "batch", "activation": "gelu"}, {}),
    "batch norm, one row a batch": ({"n_samples": 9, "normalization": "batch"}, {"batch_size": 1}),
    "layer norm": (DEEP | {"normalization": "layer", "activation": "tanh"}, {}),
    "layer norm, chunks": (LARGE | {"normalization": "layer"}, {"batch_size": CHUNK + 31}),
    "layer norm, sparse": (SPARSE | {"normalization": "layer", "activation": "silu"}, {}),
    "dropout": (DEEP, {"dropout": (0.3, 0.5)}),
    "dropout of one layer": (DEEP | {"activation": "mish"}, {"dropout": (0.0, 0.5)}),
    "dropout, chunks": (LARGE, {"dropout": (0.3,), "input_dropout": 0.2, "batch_size": CHUNK + 31}),
    "dropout, sparse": (SPARSE, {"dropout": (0.3, 0.1), "input_dropout": 0.4}),
    "dropout, sparse, chunks": (
        SPARSE | {"n_samples": CHUNK + 61},
        {"input_dropout": 0.4, "batch_size": CHUNK + 31},
    ),
    "dropout, densified": (DEEP | {"kind": "csr"}, {"input_dropout": 0.4}),
    "dropout, no hidden layer": ({"units": (20, 3)}, {"input_dropout": 0.4}),
    "alpha dropout": (
        DEEP | {"activation": "selu"},
        {"dropout": (0.3, 0.2), "alpha_dropout": True, "input_dropout": 0.1},
    ),
    "clip_norm": (DEEP, {"clip_norm": 0.3}),
    "clip_norm, chunks": (LARGE, {"clip_norm": 0.3, "batch_size": CHUNK + 31}),
    "clip_norm, no hidden layer": ({"units": (70, 2)}, {"clip_norm": 0.1}),
    "clip_norm that is never reached": (DEEP, {"clip_norm": 1e6}),
    "clip_value": (DEEP | {"weighted": True}, {"clip_value": 0.01}),
    "max_norm": (DEEP, {"max_norm": 0.5}),
    "max_norm, narrow": ({"units": (20, 3, 2)}, {"max_norm": 0.5}),
    "l1": (DEEP | {"weighted": True}, {"l1": 0.5, "alpha": 0.0}),
    "l1 and alpha, chunks": (LARGE, {"l1": 0.5, "alpha": 0.3, "batch_size": CHUNK + 31}),
    "everything": (DEEP | {"weighted": True}, EVERYTHING | {"optimizer": NAdam()}),
    "everything, batch norm": (
        DEEP | {"normalization": "batch", "weighted": True},
        EVERYTHING | {"optimizer": AdamW(weight_decay=1.0)},
    ),
    "everything, layer norm, chunks": (
        LARGE | {"units": (20, 33, 18, 3), "normalization": "layer"},
        EVERYTHING | {"batch_size": CHUNK + 31},
    ),
    "everything, batch norm, sparse": (
        SPARSE | {"normalization": "batch", "activation": "elu"},
        EVERYTHING | {"optimizer": RMSprop()},
    ),
    "norm_eps and norm_momentum": (
        DEEP | {"normalization": "batch", "norm_eps": 0.3, "norm_momentum": 0.7},
        {},
    ),
    "layers of their own": (DEEP | {"activation": (("leaky_relu", 0.2), ("softplus", 3.0))}, {}),
    "layers of their own, layer norm": (
        DEEP | {"activation": (("elu", 0.4), ("identity", None)), "normalization": "layer"},
        {},
    ),
}
OTHER_RULES = SGD(momentum=0), AdamW(), NAdam(), RMSprop(rho=0.8), Adagrad(), Lion(), AdaBelief(epsilon=1e-3)
OPTIONS |= {f"optimizer {rule}": (DEEP | {"weighted": True}, {"optimizer": rule}) for rule in OTHER_RULES}
OPTIONS |= {
    f"activation {name}": (DEEP | {"activation": name}, {})
    for name in ACTIVATIONS
    if name not in ("relu", "logistic", "tanh")
}
OPTIONS |= {f"loss {name}": (DEEP | {"loss": name, "weighted": True}, {}) for name in LOSSES}
OPTIONS |= {
    "label smoothing": (DEEP | {"loss": "log_loss", "loss_parameters": (0.2,)}, {}),
    "focal of gamma 0.5": (DEEP | {"loss": "focal", "loss_parameters": (0.5,)}, {}),
    "quantiles": (DEEP | {"loss": "quantile", "loss_parameters": (0.1, 0.5, 0.9)}, {}),
    "huber of 0.3": (DEEP | {"loss": "huber", "loss_parameters": (0.3,)}, {}),
}
for name, (made, arguments) in OPTIONS.items():
    own = {key: value for key, value in arguments.items() if key in ("batch_size", "optimizer")}
    limits = {key: value for key, value in arguments.items() if key not in own}
    RUNS[name] = made, {"batch_size": 32, "regularization": Regularization(**{"alpha": 0.01} | limits)} | own


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("run", RUNS)
def test_same_bits_for_any_number_of_threads_and_vector_width(run, dtype, monkeypatch):
    made, arguments = RUNS[run]
    problem = Problem(**made, dtype=np.dtype(dtype).type)
    digests = {}
    for isa in ISAS:
        monkeypatch.setattr(engine, "_isa", isa)
        digests[isa] = {digest(problem, arguments, n_threads) for n_threads in (1, 2, 3, 5)}
        assert len(digests[isa]) == 1, isa
    if {"avx2", "avx512"} <= set(ISAS):
        assert digests["avx2"] == digests["avx512"]


def test_same_bits_again():
    problem = Problem()
    assert len({digest(problem, {"batch_size": batch_size}, 1) for batch_size in (7, 7, 8)}) == 2


FIT = """
import hashlib, warnings
import numpy as np
from nnfast import MLPClassifier
from nnfast.engines.cython import instruction_set
warnings.simplefilter("ignore")
X = np.random.RandomState(0).normal(size=(100, 20))
model = MLPClassifier((20,), max_iter=5, random_state=0).fit(X, X[:, 0] > 0)
print(instruction_set(), hashlib.sha256(model.predict_proba(X).tobytes()).hexdigest())
"""


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="needs a CPU with AVX-512")
def test_the_environment_chooses_the_instruction_set():
    answers = {isa: python(FIT, NNFAST_ISA=isa) for isa in ("avx2", "avx512")}
    used, bits = zip(*(answer.stdout.split() for answer in answers.values()))
    assert used == tuple(answers), [answer.stderr for answer in answers.values()]
    assert len(set(bits)) == 1


def test_an_unknown_instruction_set_is_an_error_that_names_the_available():
    answer = python("import nnfast.engines; nnfast.engines.get_engine()", NNFAST_ISA="mmx")
    assert answer.returncode != 0
    assert "NNFAST_ISA='mmx'" in answer.stderr and all(isa in answer.stderr for isa in ISAS)


# ------------------------------------------------------------------------------------------------------------
# Training


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-10), (np.float32, 2e-3)], ids=["float64", "float32"])
@pytest.mark.parametrize("run", RUNS)
def test_training_is_the_references(run, dtype, rtol):
    made, arguments = RUNS[run]
    problem = Problem(**made, dtype=dtype)
    arguments = {
        "batch_size": len(problem.rows),
        "optimizer": Adam(),
        "regularization": Regularization(alpha=0.01),
    } | arguments
    slow, X, y = problem.reference(arguments["regularization"])
    rule = reference.optimizer_like(arguments["optimizer"])
    random_state, rows = np.random.RandomState(0), problem.rows.copy()
    with problem.session(**arguments, n_threads=2) as session:
        for _ in range(3):
            engine.shuffle(rows, random_state)
            loss = session.epoch(rows, 0.01)
            expected = slow.epoch(X, y, rows, arguments["batch_size"], rule, 0.01, problem.weight)
            np.testing.assert_allclose(loss, expected, rtol=rtol / 10)
        assert session.t == rule.t == slow.t
        for got, w in zip(problem.stored(session), arrays_of(slow), strict=True):
            np.testing.assert_allclose(got, w, rtol=rtol, atol=rtol * np.abs(w).max())
        outputs = slow.predict(X)
        np.testing.assert_allclose(session.predict(), outputs, rtol=rtol, atol=rtol * np.abs(outputs).max())
        assert_evaluates(problem, session, slow, rtol)
        if dtype == np.float64:
            for moment, slow_moment in zip(session.take_moments(), rule.moments, strict=True):
                for got, m in zip(moment.values(), slow_moment, strict=True):
                    np.testing.assert_allclose(got, m, rtol=rtol, atol=rtol * np.abs(m).max())


def assert_evaluates(problem, session, slow, rtol):
    """The loss of some rows in prediction mode and without penalties; predictions beside it."""
    rows = np.concatenate([problem.rows[::-1], problem.rows[:3]])
    loss, outputs = session.evaluate(rows)
    X, y = problem.X.astype(np.float64), problem.y
    expected = slow.evaluate(X[rows], y[rows], None if problem.weight is None else problem.weight[rows])
    np.testing.assert_allclose(loss, expected, rtol=rtol)
    np.testing.assert_array_equal(outputs, session.predict(rows))
    into = np.empty_like(outputs)
    assert session.evaluate(rows, into)[1] is into
    np.testing.assert_array_equal(into, outputs)
    t, before = session.t, problem.stored(session)
    session.evaluate()
    assert session.t == t and same(problem.stored(session), before)


RULES = [record() for record in OPTIMIZERS.values()]
RULES += [Adam(0.8, 0.9, 1e-4), SGD(0.5, False), SGD(0.5, True), SGD(0, False), NAdam(0.5, 0.9, 1e-3, 0.1)]


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_run_goes_on_from_loaded_moments(rule, normalization):
    """And from t, of which bias corrections, NAdam's momenta and dropout's masks are made."""
    problem = Problem(normalization=normalization)
    arguments = {
        "batch_size": 16,
        "optimizer": rule,
        "regularization": Regularization(alpha=0.01, dropout=(0.3,), clip_norm=1.0),
    }
    with problem.session(**arguments) as session:
        session.epoch(problem.rows, 0.01)
        session.epoch(problem.rows, 0.02)
        expected, expected_t = problem.stored(session), session.t
    with problem.session(**arguments) as session:
        session.epoch(problem.rows, 0.01)
        halfway, t = problem.network.blank(problem.dtype), session.t
        session.store(halfway)
        moments = session.take_moments()
    assert len(moments) == rule.n_moments
    shapes = problem.network.learned
    assert all({name: array.shape for name, array in moment.items()} == shapes for moment in moments)
    with problem.session(**arguments, load=False) as session:
        session.load(halfway, moments, t)
        session.epoch(problem.rows, 0.02)
        assert same(problem.stored(session), expected) and session.t == expected_t
    if rule.name not in ("sgd", "rmsprop", "adagrad", "lion"):  # without t, another path
        with problem.session(**arguments, load=False) as session:
            session.load(halfway, moments)
            session.epoch(problem.rows, 0.02)
            assert not same(problem.stored(session), expected)


def test_loading_without_moments_starts_from_zeros():
    problem = Problem()
    with problem.session(batch_size=16) as session:
        first = session.epoch(problem.rows, 0.01), session.epoch(problem.rows, 0.01)
        session.load(problem.parameters())
        assert (session.epoch(problem.rows, 0.01), session.epoch(problem.rows, 0.01)) == first


def test_what_is_loaded_in_another_dtype_or_order_is_the_same():
    problem = Problem((12, 9, 8, 3), dtype=np.float32, normalization="batch")
    parameters = problem.parameters()
    wider = parameters.map(lambda array: array.astype(np.float64))
    with problem.session(batch_size=16) as session:
        expected = session.epoch(problem.rows, 0.01)
        for others in (
            wider,
            wider.map(np.asfortranarray),
            parameters.map(lambda array: np.repeat(array, 2, axis=0)[::2]),
        ):
            session.load(others)
            assert session.epoch(problem.rows, 0.01) == expected
        session.store(wider)
        assert same(wider.arrays(), problem.stored(session))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    "made, arguments",
    [({}, {}), *(RUNS[name] for name in ("everything, batch norm", "l1", "clip_norm", "batch norm"))],
    ids=["plain", "everything", "l1", "clip_norm", "batch norm"],
)
def test_a_learning_rate_a_batch(made, arguments, n_threads):
    problem = Problem(**made)
    arguments = arguments | {"batch_size": 20, "n_threads": n_threads}
    rates = np.linspace(0.03, 0, -(-len(problem.rows) // 20))
    regularization = arguments.get("regularization", Regularization(alpha=0.01))
    slow, X, y = problem.reference(regularization)
    rule = reference.optimizer_like(arguments.get("optimizer", Adam()))
    with problem.session(**arguments) as session, problem.session(**arguments) as constant:
        loss = session.epoch(problem.rows, rates)
        np.testing.assert_allclose(
            loss, slow.epoch(X, y, problem.rows, 20, rule, rates, problem.weight), rtol=1e-10
        )
        for got, w in zip(problem.stored(session), arrays_of(slow), strict=True):
            np.testing.assert_allclose(got, w, rtol=1e-9, atol=1e-10 * np.abs(w).max())
        for scalar in (0.01, np.float32(0.01), np.array([0.01])):
            session.load(problem.parameters())
            constant.load(problem.parameters())
            assert session.epoch(
                problem.rows, np.full(len(rates), np.float64(scalar).item())
            ) == constant.epoch(problem.rows, scalar)
            assert same(problem.stored(session), problem.stored(constant))
        for wrong in (rates[:-1], rates[:0], np.ones((len(rates), 1))):
            with pytest.raises(
                ValueError,
                match=f"learning_rate must be a number, or have one for each of {len(rates)} batches, got",
            ):
                session.epoch(problem.rows, wrong)


def epochs_of(problem, n):
    """Orders of rows and learning rates of epochs, other ones in each."""
    random = np.random.RandomState(7)
    n_batches = -(-len(problem.rows) // 20)
    return np.array([random.permutation(problem.rows) for _ in range(n)]), random.uniform(
        0.001, 0.03, (n, n_batches)
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("run", RUNS)
def test_epochs_in_one_call_are_epochs(run, isa, monkeypatch):
    monkeypatch.setattr(engine, "_isa", isa)
    made, arguments = RUNS[run]
    problem, arguments = Problem(**made), arguments | {"batch_size": 20, "n_threads": 2}
    orders, rates = epochs_of(problem, 4)
    with problem.session(**arguments) as session, problem.session(**arguments) as one_by_one:
        expected = [one_by_one.epoch(*epoch) for epoch in zip(orders, rates, strict=True)]
        assert session.epochs(orders, rates).tolist() == expected
        assert same(problem.stored(session), problem.stored(one_by_one))
        assert session.t == one_by_one.t and session.whole_epochs
        # And on from there, either way: the moments are the same.
        assert session.epoch(orders[0], rates[0]) == one_by_one.epochs(orders[:1], rates[:1])[0]
        ours, others = session.take_moments(), one_by_one.take_moments()
        assert all(same(mine.values(), its.values()) for mine, its in zip(ours, others, strict=True))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_an_epoch_that_is_not_finite_leaves_the_one_before(normalization, dtype, n_threads):
    problem = Problem((12, 9, 3), 50, dtype=dtype, normalization=normalization, weighted=True)
    problem.table = problem.X.copy()
    problem.table[33] = np.nan
    orders, rates = epochs_of(problem, 5)
    orders = np.where(orders == 33, 32, orders)  # the row is in the fourth epoch alone, in its last step
    orders[3, -1] = 33
    with (
        problem.session(batch_size=20, n_threads=n_threads) as session,
        problem.session(batch_size=20, n_threads=n_threads) as fewer,
    ):
        expected = fewer.epochs(orders[:3], rates[:3])
        with pytest.raises(engine.NonFinite) as raised:
            session.epochs(orders, rates)
        assert raised.value.losses == expected.tolist() and raised.value.step == 2
        assert not session.whole_epochs
        assert same(problem.stored(session), problem.stored(fewer))


def test_epochs_in_one_call_are_checked():
    problem = Problem()
    orders, rates = epochs_of(problem, 2)
    with problem.session(batch_size=20) as session:
        for wrong in (rates[:1], rates[:, :-1], rates[0]):
            with pytest.raises(
                ValueError,
                match=f"learning_rates must have one for each of 2 times {rates.shape[1]} batches, got",
            ):
                session.epochs(orders, wrong)
        for row in (-1, len(problem.X)):
            with pytest.raises(IndexError, match="row numbers must be within"):
                session.epochs(np.where(orders == 0, row, orders), rates)
    with pytest.raises(RuntimeError, match="must be one for train"):
        session.epochs(orders, rates)


def assert_stops_in_step_3(problem, **arguments):
    """At the batch of row 33, which is too large for any network; and goes on when loaded again."""
    problem.table = problem.X.copy()
    problem.table[33] = np.finfo(problem.dtype).max
    with problem.session(batch_size=10, **arguments) as session:
        with pytest.raises(engine.NonFinite) as raised:
            session.epoch(problem.rows, 0.01)
        assert raised.value.step == 3
        assert not session.whole_epochs
        session.load(problem.parameters())
        assert np.isfinite(session.epoch(problem.rows[:30], 0.01))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", [Adam(), SGD()], ids=["adam", "sgd"])
@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_not_finite_stops_in_its_step(loss, rule, dtype, n_threads):
    assert_stops_in_step_3(
        Problem((12, 9, 3), 50, loss=loss, dtype=dtype, activation="identity"),
        optimizer=rule,
        n_threads=n_threads,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("rule", [record() for record in OPTIMIZERS.values()], ids=lambda rule: rule.name)
@pytest.mark.parametrize(
    "limits", [{}, {"clip_norm": 1.0}, {"clip_value": 0.1, "l1": 0.1, "max_norm": 1.0}], ids=str
)
def test_what_is_not_finite_stops_with_every_option(limits, rule, normalization, dtype):
    problem = Problem((12, 9, 8, 3), 50, dtype=dtype, activation="identity", normalization=normalization)
    assert_stops_in_step_3(
        problem, optimizer=rule, regularization=Regularization(alpha=0.01, **limits), n_threads=2
    )


@pytest.mark.parametrize("n_threads", [1, 2])
def test_rows_of_no_weight_are_no_rows(n_threads):
    """A batch of them makes no update and no loss; t does not count it."""
    problem = Problem(n_samples=80, weighted=True)
    problem.weight[20:40] = 0
    others = np.concatenate([problem.rows[:20], problem.rows[40:]])
    with (
        problem.session(batch_size=20, n_threads=n_threads) as session,
        problem.session(batch_size=20) as without,
    ):
        losses = [session.epoch(problem.rows, 0.01) * 80 for _ in range(2)]
        expected = [without.epoch(others, 0.01) * 60 for _ in range(2)]
        np.testing.assert_allclose(losses, expected, rtol=1e-14)
        assert session.t == without.t == 6
        assert same(problem.stored(session), problem.stored(without))
        before = problem.stored(session)
        assert session.epoch(problem.rows[20:40], 0.01) == 0
        assert same(problem.stored(session), before)


@pytest.mark.parametrize("n_samples", [1, 50, CHUNK + 61])
def test_evaluate_rows_of_no_weight(n_samples):
    problem = Problem(n_samples=n_samples, weighted=True)
    problem.weight[:] = 0
    with problem.session() as session, pytest.raises(ValueError, match="sample_weight must not sum to zero"):
        session.evaluate()


PREDICTED = {
    f"{loss}, {activation}": {"loss": loss, "activation": activation}
    for loss in LOSSES
    for activation in ("relu", "tanh")
}
PREDICTED |= {
    f"{activation}, {norm}": {"activation": activation, "normalization": norm}
    for activation in ACTIVATIONS
    for norm in (None, "batch", "layer")
}
PREDICTED |= {
    f"sparse, {norm}": {"kind": "sparse", "activation": "gelu", "normalization": norm}
    for norm in (None, "batch", "layer")
}
PREDICTED |= {"narrow": {"units": (20, 3, 2, 1), "loss": "binary_log_loss", "normalization": "batch"}}


@pytest.mark.parametrize("made", PREDICTED)
def test_predict_any_rows(made):
    problem = Problem(**{"units": (20, 17, 33), "n_samples": CHUNK + 50} | PREDICTED[made])
    expected = problem.reference()[0].predict(problem.X)
    with problem.predicting(n_threads=2) as session:
        np.testing.assert_allclose(session.predict(), expected, rtol=1e-12, atol=1e-13)
        for rows in (np.array([5, 5, 0]), problem.rows[::-1].copy(), np.array([7])):
            np.testing.assert_array_equal(session.predict(rows), session.predict()[rows])
    whole = engine.predict(
        problem.network, problem.parameters(), problem.table, dtype=np.float64, n_threads=1
    )
    one = engine.predict(problem.network, problem.parameters(), problem.table[7:8], dtype=np.float64)
    np.testing.assert_array_equal(whole[7:8], one)


@pytest.mark.parametrize(
    "make",
    [np.random.RandomState, lambda seed: np.random.RandomState(np.random.PCG64(seed))],
    ids=["MT19937", "PCG64"],
)
def test_shuffle_is_scikit_learns(make):
    for n in (*range(1, 40), 63, 64, 65, 127, 128, 129, 1000, 1025, 70_000):
        ours, theirs = make(n), make(n)
        order = np.arange(n, dtype=np.intp)[::-1].copy()
        expected = order
        for _ in range(2):
            expected = sklearn.utils.shuffle(expected, random_state=theirs)
            engine.shuffle(order, ours)
            np.testing.assert_array_equal(order, expected)
        assert ours.randint(1 << 30) == theirs.randint(1 << 30)
        np.testing.assert_equal(ours.get_state(legacy=False), theirs.get_state(legacy=False))


def test_the_compiled_names_are_those_of_the_records():
    assert set(compiled.ACTIVATIONS) == {record.kernel for record in ACTIVATIONS.values()}
    assert set(compiled.LOSSES) == {record.kernel for record in LOSSES.values()}
    assert set(compiled.UPDATES) == {"none"} | {record.kernel for record in OPTIMIZERS.values()}
    assert tuple(compiled.SCALARS) == SCALARS and list(compiled.SCALARS.values()) == [*range(len(SCALARS))]
    assert engine.instruction_set() in ISAS
