"""Tables read in blocks: every row once an epoch, and the same bits from memory and from a file."""

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from block_tables import (
    BLOCKS,
    FEATURES,
    LAYOUTS,
    ROWS,
    _small_blocks,  # noqa: F401
    arrays,
    assert_same_bits,
    mapped,
    small,
    table,
)
from small import QUIET

import nnfast.blocks
import nnfast.mapped
from nnfast import DivergenceError, MLPClassifier, MLPRegressor, engines
from nnfast.blocks import BlockOrder, BlockSession, Reader, hold_out
from nnfast.mapped import exceeds_memory
from nnfast.network import Network
from nnfast.optimizers import Adam

pytestmark = QUIET


@pytest.fixture
def little_memory(monkeypatch):
    """Every mapped table is larger than memory."""
    monkeypatch.setattr(nnfast.mapped, "memory", lambda: 100)


# ------------------------------------------------------------------------------------------------------------
# Orders


class Recorder:
    """An engine whose session writes down the rows that it is given; a row is known by its first number."""

    NonFinite, shuffle = engines.get_engine().NonFinite, staticmethod(engines.get_engine().shuffle)

    def Session(self, network, X, y, sample_weight, *, batch_size, **settings):
        self.tables, self.batch_size, self.batches, self.rates = (X, y, sample_weight), batch_size, [], []
        return self

    def check_targets(self):
        pass

    def epoch(self, order, rates):
        X, y, sample_weight = self.tables
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            np.testing.assert_array_equal(X[rows, 0], y[rows, 0])
            np.testing.assert_array_equal(X[rows, 0], sample_weight[rows])
            self.batches.append(X[rows, 0].astype(int))
        self.rates += rates.tolist()
        return float(np.mean(X[order, 0]))


BUFFER = ROWS * BLOCKS
SIZES = (
    1,
    2,
    ROWS - 1,
    ROWS,
    ROWS + 1,
    BUFFER - 1,
    BUFFER,
    BUFFER + 1,
    2 * BUFFER,
    2 * BUFFER + 1,
    5 * BUFFER - 1,
    203,
)


@pytest.mark.parametrize("shuffles", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 7, 8, 16, 40])
@pytest.mark.parametrize("n", SIZES)
def test_every_row_once_an_epoch_in_whole_batches(n, batch_size, shuffles):
    X = np.repeat(np.arange(n, dtype=float)[:, np.newaxis], FEATURES, axis=1)
    engine, held_out = Recorder(), np.arange(n)[:: 1 + n % 3][: n // 2]
    for out in ((), held_out):
        rows, batch = BlockOrder(X, out), min(batch_size, n - len(out))
        expected = np.delete(np.arange(n), np.asarray(out, dtype=int))
        np.testing.assert_array_equal(rows.numbers(), expected)
        session = BlockSession(
            engine,
            Network((FEATURES, 1), "relu", "squared_error"),
            X,
            X[:, :1],
            X[:, 0],
            dtype=float,
            batch_size=batch,
            optimizer=Adam(),
        )
        random_state, epochs = np.random.RandomState(0), []
        for _ in range(2):
            engine.batches.clear()
            engine.rates.clear()
            if shuffles:
                rows.shuffle(random_state)
            n_steps = -(-len(rows) // batch)
            loss = session.epoch(rows, np.arange(float(n_steps)))
            assert [*map(len, engine.batches)] == [batch] * (n_steps - 1) + [
                len(rows) - batch * (n_steps - 1)
            ]
            if n_steps > 1:
                assert engine.rates == [*range(n_steps)]
            order = np.concatenate(engine.batches)
            np.testing.assert_array_equal(np.sort(order), expected)
            assert loss == pytest.approx(expected.mean())
            epochs.append(order.tolist())
        if not shuffles:
            assert epochs == [expected.tolist()] * 2
        elif len(rows) > 20:
            assert epochs[0] != epochs[1] and epochs[0] != expected.tolist()


def test_a_buffer_mixes_its_blocks_and_no_others():
    n = 20 * BUFFER
    X = np.repeat(np.arange(n, dtype=float)[:, np.newaxis], FEATURES, axis=1)
    engine, rows = Recorder(), BlockOrder(X)
    settings = {"dtype": float, "batch_size": ROWS, "optimizer": Adam()}
    session = BlockSession(
        engine, Network((FEATURES, 1), "relu", "squared_error"), X, X[:, :1], X[:, 0], **settings
    )
    rows.shuffle(np.random.RandomState(0))
    session.epoch(rows, 0.1)
    places = np.concatenate(engine.batches).reshape(-1, BUFFER) // ROWS
    assert {len(np.unique(buffer)) for buffer in places} == {BLOCKS}
    assert np.mean(places[:, 1:] != places[:, :-1]) > 0.5  # not block by block
    assert np.mean(np.ptp(places, axis=1) > BLOCKS) > 0.8  # not neighbours


@pytest.mark.parametrize("n", [5, 60, 1999, 2000, 5003])
@pytest.mark.parametrize("fraction", [0.1, 0.4])
def test_what_early_stopping_holds_out(n, fraction):
    X = np.zeros((n, FEATURES))
    rows = hold_out(X, fraction, np.random.RandomState(0))
    assert np.all(np.diff(rows) > 0) and rows[0] >= 0 and rows[-1] < n
    assert fraction * n <= len(rows) <= fraction * n + ROWS
    if n > 1000:  # from everywhere
        share = np.histogram(rows, 10, (0, n))[0] / (n / 10)
        assert np.all(abs(share - fraction) < 0.15)


# ------------------------------------------------------------------------------------------------------------
# Fits

VARIANTS = {
    "plain": {},
    "threads": {"n_threads": 2},
    "weights": {"weighted": True},
    "class weights": {"class_weight": "balanced"},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "early stopping by a scorer": {
        "early_stopping": True,
        "validation_fraction": 0.3,
        "scoring": "neg_log_loss",
        "weighted": True,
    },
    "held out": {"validation_indices": np.r_[70:60:-1, 3, 7]},
    "dropout": {"dropout": 0.3},
    "batch normalization": {"normalization": "batch"},
    "schedule": {"learning_rate": "cosine"},
    "lion": {"solver": "lion"},
    "one batch": {"batch_size": 83},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_same_bits_from_memory_and_from_a_file(variant, n_classes, tmp_path):
    X, signal, weight = table()
    y = np.digitize(signal[:, 0], [-0.5, 0.8][: n_classes - 1])
    parameters = VARIANTS[variant] | {}
    more = {"validation_indices": parameters.pop("validation_indices", None)}
    more["sample_weight"] = weight if parameters.pop("weighted", False) else None
    in_memory = small(**parameters).fit(X, y, **more)
    assert_same_bits(small(**parameters).fit(X, y, **more), in_memory)
    for mode in LAYOUTS:
        X_file = mapped(X, tmp_path, mode)
        fitted = small(**parameters).fit(X_file, y, **more)
        assert_same_bits(fitted, in_memory)
        np.testing.assert_array_equal(fitted.predict_proba(X_file), in_memory.predict_proba(X))
        assert fitted.score(X_file, y) == in_memory.score(X, y)
        if in_memory.n_iter_ and "validation_scores_" in vars(in_memory):
            assert fitted.validation_scores_ == in_memory.validation_scores_
    other_seed = small(**parameters | {"random_state": 1}).fit(X, y, **more)
    assert other_seed.loss_curve_ != in_memory.loss_curve_
    assert in_memory.t_ % in_memory.n_iter_ == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_targets_and_weights_go_with_their_rows(weighted, tmp_path):
    """With a rate of next to nothing, the loss of an epoch is that of the table, and a validation's that of
    its rows.
    """
    X, y, weight = table()
    weight = weight if weighted else np.ones(len(X))
    train = np.r_[0:20, 30:83]
    regr = small(MLPRegressor, learning_rate_init=1e-12, alpha=0, batch_size=1, max_iter=1)
    regr.fit(mapped(X, tmp_path), y, weight, validation_indices=np.arange(20, 30))
    losses = ((regr.predict(X) - y) ** 2).mean(axis=1) / 2
    assert regr.loss_ == pytest.approx(losses[train].mean())  # of batches of one row, whose weights cancel
    assert regr.validation_loss_curve_[0] == pytest.approx(np.average(losses[20:30], weights=weight[20:30]))
    assert regr.validation_scores_[0] == pytest.approx(regr.score(X[20:30], y[20:30], weight[20:30]))


def test_a_part_of_validation_rows_without_weight(tmp_path):
    X, y, weight = table()
    weight[:40] = 0
    held_out, solver = np.arange(0, 80, 2), {"learning_rate_init": 1e-12, "max_iter": 1}
    regr = small(MLPRegressor, **solver).fit(mapped(X, tmp_path), y, weight, validation_indices=held_out)
    losses = ((regr.predict(X) - y) ** 2).mean(axis=1) / 2
    assert regr.validation_loss_curve_[0] == pytest.approx(
        np.average(losses[held_out], weights=weight[held_out])
    )


@pytest.mark.parametrize("mode", LAYOUTS)
@pytest.mark.parametrize("dtype", ["?", "i1", ">i4", "u8", "f2", "f4", ">f4", "f8", ">f8", "g"])
def test_numbers_of_any_dtype(dtype, mode, tmp_path, little_memory):
    X, y, _ = table(dtype=dtype)
    X_file = mapped(X, tmp_path, mode)
    as_read = X.astype(nnfast.blocks.table_dtype(X))
    for cls, target in ((MLPRegressor, y), (MLPClassifier, (y[:, 0] > 0).astype(int))):
        expected = small(cls).fit(as_read, target)
        fitted = small(cls, shuffle=True).fit(X_file, target, X_val=X_file, y_val=target)
        assert_same_bits(fitted, expected)
        ours, theirs = fitted.predict(X_file), fitted.predict(X)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
        assert fitted.validation_scores_[-1] == pytest.approx(fitted.score(X, target))


@pytest.mark.parametrize("shuffle", [True, False])
def test_which_tables_are_read_in_blocks_by_themselves(shuffle, tmp_path, monkeypatch):
    X, y, _ = table(dtype=np.float32)
    X_file = mapped(X, tmp_path, "view")
    expected, by_block = small(MLPRegressor, shuffle=shuffle).fit(X, y), small(MLPRegressor).fit(X, y)
    for available, exceeds in ((2 * X.nbytes, False), (2 * X.nbytes - 1, True)):
        monkeypatch.setattr(nnfast.mapped, "memory", lambda available=available: available)
        assert exceeds_memory(X_file) == exceeds and not exceeds_memory(X)
        fitted = small(MLPRegressor, shuffle=shuffle).fit(X_file, y)
        if shuffle:
            assert_same_bits(fitted, by_block if exceeds else expected)
        else:  # in their order the batches are the same; the losses are added up otherwise
            np.testing.assert_allclose(fitted.loss_curve_, expected.loss_curve_, rtol=1e-6)
            assert all(
                np.array_equal(a, b) for a, b in zip(arrays(fitted)[:-1], arrays(expected)[:-1], strict=True)
            )
    assert (
        small(MLPRegressor).fit(X, y).loss_curve_ != small(MLPRegressor, shuffle=True).fit(X, y).loss_curve_
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs_of_a_table_larger_than_memory(weighted, tmp_path, little_memory):
    X, y, weight = table()
    weight = np.where(np.arange(len(X)) < BUFFER, 0, weight) if weighted else None
    parameters = {"solver": "lbfgs", "alpha": 0.3, "batch_size": "auto", "shuffle": True, "max_iter": 8}
    ours, theirs = (small(MLPRegressor, **parameters).fit(Z, y, weight) for Z in (mapped(X, tmp_path), X))
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-9)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-5)


def test_compiled_predictors_read_large_tables_in_blocks(tmp_path, monkeypatch):
    # too many for the calling thread alone
    X = np.random.RandomState(0).normal(size=(400_000, FEATURES)).astype(np.float32)
    X_file = mapped(X, tmp_path)
    monkeypatch.setattr(nnfast.blocks, "BLOCK_NUMBERS", 200 * (FEATURES + 2))
    for cls, y in ((MLPClassifier, X[:, 0] > 0), (MLPRegressor, X[:, 0]), (MLPRegressor, X[:, :2])):
        compiled = small(cls, batch_size=1000, max_iter=1).fit(X, y).compiled()
        answer = compiled.predict_proba if cls is MLPClassifier else compiled.predict
        expected, sessions = answer(X), []
        with monkeypatch.context() as patch:
            whole = engines.get_engine("auto").Session
            patch.setattr(
                engines.get_engine("auto"),
                "Session",
                lambda network, X, *args, **more: sessions.append(len(X)) or whole(network, X, *args, **more),
            )
            got = answer(X_file)
        assert got.tobytes() == expected.tobytes() and got.shape == expected.shape
        assert sessions and max(sessions) <= 2000


def test_gradient_norms_in_a_callback(tmp_path):
    X, y, weight = table()

    class Norms:
        def on_epoch_end(self, estimator, state):
            self.norms = state.gradient_norms()

    ours, theirs = Norms(), Norms()
    shared = {"learning_rate_init": 1e-12, "max_iter": 1, "alpha": 0.5}
    small(MLPRegressor, callbacks=[ours], **shared).fit(mapped(X, tmp_path), y, weight)
    small(MLPRegressor, callbacks=[theirs], shuffle=False, **shared).fit(X, y, weight)
    for name, norms in theirs.norms.items():
        np.testing.assert_allclose(ours.norms[name], norms, rtol=1e-9)
    with pytest.raises(
        ValueError, match="state.gradients with normalization='batch'.*blocks.*at most 15 rows, got 83 rows"
    ):
        small(MLPRegressor, callbacks=[Norms()], normalization="batch", **shared).fit(X, y, weight)


def test_partial_fit_and_warm_starts_go_on(tmp_path, little_memory):
    X, y, _ = table()
    X_file, random_states = mapped(X, tmp_path), [np.random.RandomState(3) for _ in range(2)]
    pieces = small(MLPRegressor, random_state=random_states[0], max_iter=2, warm_start="full")
    pieces.fit(X_file, y).fit(X_file, y)
    whole = small(MLPRegressor, random_state=random_states[1], max_iter=4).fit(X, y)
    assert_same_bits(pieces, whole)
    assert_same_bits(small(MLPRegressor).partial_fit(X_file, y), small(MLPRegressor).partial_fit(X, y))


def test_a_divergence_names_its_step(tmp_path):
    X, y, _ = table(200)
    X[150] = 1e200
    row_by_row = small(MLPRegressor, shuffle=False, batch_size=1, solver="sgd")
    with pytest.raises(DivergenceError, match="epoch 1, step 151"):
        row_by_row.fit(X, y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nnfast.mapped, "memory", lambda: 100)
        with pytest.raises(DivergenceError, match="epoch 1, step 151"):
            row_by_row.fit(mapped(X, tmp_path), y)


def test_an_interrupt_between_buffers_leaves_the_last_whole_epoch(monkeypatch):
    X, y, _ = table()
    two_epochs, reads, read = small(MLPRegressor, max_iter=2).fit(X, y), [], Reader.read

    def interrupted(reader, rows, out):
        reads.append(len(rows))
        if sum(reads) > 2.5 * len(X):
            raise KeyboardInterrupt
        read(reader, rows, out)

    monkeypatch.setattr(Reader, "read", interrupted)
    regr = small(MLPRegressor)
    with pytest.raises(KeyboardInterrupt):
        regr.fit(X, y)
    assert_same_bits(regr, two_epochs)
    assert regr._optimizer["moments"] is None


def test_class_numbers_are_checked_as_they_come():
    X, y = np.zeros((40, FEATURES)), np.zeros(40, dtype=np.intp)
    y[33] = 3
    network = Network((FEATURES, 3), "relu", "log_loss")
    with BlockSession(
        engines.get_engine(), network, X, y, dtype=float, batch_size=8, optimizer=Adam()
    ) as session:
        session.load(network.blank(float))
        with pytest.raises(ValueError, match="class numbers 0 .. 2, got 0 .. 3"):
            session.epoch(BlockOrder(X), 0.01)


# ------------------------------------------------------------------------------------------------------------
# What is refused


def test_nan_in_the_last_block(tmp_path, little_memory):
    X, y, _ = table(dtype=np.float32)
    fitted = small(MLPRegressor).fit(X, y)
    for bad, words in (
        (np.nan, "Input X contains NaN.*MLPRegressor does not accept"),
        (np.inf, "Input X contains infinity"),
    ):
        X[-1, -1] = bad
        for mode in LAYOUTS:
            X_file = mapped(X, tmp_path, mode)
            for call in (small(MLPRegressor, shuffle=True).fit, small(MLPRegressor).fit):
                with pytest.raises(ValueError, match=f"(?s){words}"):
                    call(X_file, y)
            with pytest.raises(ValueError, match=f"(?s){words}"):
                fitted.predict(X_file)
            with pytest.raises(ValueError, match=f"(?s)X_val, y_val: {words}"):
                small(MLPRegressor).fit(X[:-1], y[:-1], X_val=X_file, y_val=y)


def test_tables_that_cannot_be_read(tmp_path, little_memory):
    X, y, _ = table()
    X_file = mapped(X, tmp_path)
    os.truncate(tmp_path / "r.npy", 1000)
    for call in (small(MLPRegressor).fit, small(MLPRegressor, shuffle=True).fit):
        with pytest.raises(
            ValueError, match=f"r.npy, which was truncated.*1000 bytes, and X needs {128 + X.nbytes}"
        ):
            call(X_file, y)
    empty = np.lib.format.open_memmap(tmp_path / "empty.npy", mode="w+", dtype=float, shape=(0, FEATURES))
    records = np.lib.format.open_memmap(
        tmp_path / "records.npy", mode="w+", dtype=[("a", "f8"), ("b", "i4")], shape=(20,)
    )
    for shuffle in (True, "blocks"):
        with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
            small(MLPRegressor, shuffle=shuffle).fit(empty, y[:0])
        with pytest.raises(TypeError, match=r"Cannot cast array data from dtype\(\[\('a'"):
            small(MLPRegressor, shuffle=shuffle).fit(records, y[:20])
        with pytest.raises(ValueError, match=r"Complex data not supported|inconsistent|features"):
            small(MLPRegressor, shuffle=shuffle).fit(mapped(X.astype(complex), tmp_path, "c"), y)
    with pytest.raises(
        ValueError, match="shuffle='blocks' is for dense tables, got a sparse X. Use shuffle=True"
    ):
        small(MLPRegressor).fit(scipy.sparse.csr_array(X), y)


# What reads a mapped table X: calls with an estimator that is fitted and a y.
READING = {
    "fit": lambda fitted, X, y: small(shuffle=True).fit(X, y),
    "fit in blocks": lambda fitted, X, y: small().fit(X, y),
    "fit on a view": lambda fitted, X, y: small().fit(np.asarray(X)[2:], y[2:]),
    "partial_fit": lambda fitted, X, y: small(shuffle=True).partial_fit(X, y, classes=[False, True]),
    "lbfgs": lambda fitted, X, y: small(solver="lbfgs").fit(X, y),
    "X_val": lambda fitted, X, y: small().fit(np.zeros(X.shape), y, X_val=X, y_val=y),
    "predict": lambda fitted, X, y: fitted.predict(X),
    "predict a row": lambda fitted, X, y: fitted.predict(np.asarray(X)[-1:]),
    "score": lambda fitted, X, y: fitted.score(X, y),
    "hidden_activations": lambda fitted, X, y: fitted.hidden_activations(X),
    "compiled predict": lambda fitted, X, y: fitted.compiled().predict(X),
    "compiled predict_proba": lambda fitted, X, y: fitted.compiled().predict_proba(
        X, out=np.empty((len(X), 2))
    ),
}


@pytest.mark.parametrize("assume_finite", [False, True])
@pytest.mark.parametrize("small_bytes", [0, 1 << 26])
def test_a_truncated_table_is_an_error(small_bytes, assume_finite, tmp_path):
    # By a process of its own, which a read of what the file lacks would end by SIGBUS.
    code = f"""
import os, sys, warnings
import numpy as np
from sklearn import config_context
sys.path.insert(0, {os.path.dirname(__file__)!r})
import nnfast.mapped
from block_tables import FEATURES, small
from test_blocks import READING
warnings.simplefilter("ignore")
nnfast.mapped.SMALL_BYTES = {small_bytes}
X = np.random.RandomState(0).normal(size=(300_000, FEATURES))
y = X[:, 0] > 0
fitted = small(batch_size=1000).fit(X[:1000], y[:1000])
np.save("X.npy", X)
X = np.load("X.npy", mmap_mode="r")
os.truncate("X.npy", 5000)
for name, call in READING.items():
    try:
        with config_context(assume_finite={assume_finite}):
            call(fitted, X, y)
    except ValueError as error:
        expected = f"X.npy, which was truncated since: it has 5000 bytes, and X needs {{128 + X.nbytes}}"
        assert expected in str(error), error
        print(name, flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout.splitlines()) == (0, [*READING]), done.stderr
