"""Tables of all kinds: the rows that they train on and hold out, and that their sessions compute the same."""

import numpy as np
import pytest
import scipy.sparse

import nnfast.blocks
from nnfast import engines
from nnfast.network import Network
from nnfast.numeric_table import BlockTable, NumericTable, kind_to_train_on

N, FEATURES = 43, 4
X = np.random.RandomState(0).normal(size=(N, FEATURES))
Y = X[:, :1] - 2 * X[:, 1:2]
NETWORK = Network((FEATURES, 5, 1), "tanh", "squared_error")
SEEN = np.sort(np.random.RandomState(1).permutation(N)[:31])

TABLES = {
    "dense": lambda: NumericTable(X),
    "sparse": lambda: NumericTable(scipy.sparse.csr_array(X)),
    "in blocks": lambda: BlockTable(X),
}
every_table = pytest.mark.parametrize("table", [make() for make in TABLES.values()], ids=TABLES)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(nnfast.blocks, "BLOCK_NUMBERS", 3 * (FEATURES + 2))
    monkeypatch.setattr(nnfast.blocks, "BUFFER_BLOCKS", 2)


def dense(rows):
    return rows.toarray() if scipy.sparse.issparse(rows) else rows


@every_table
@pytest.mark.parametrize("seen", [None, SEEN], ids=["all rows", "some rows"])
def test_rows_are_those_seen_without_those_held_out(table, seen):
    expected = np.arange(N) if seen is None else seen
    held_out = expected[::4]
    for out in ((), held_out):
        rows = table.rows(seen, out)
        numbers = table.numbers(rows)
        assert numbers.dtype == np.intp and len(rows) == len(numbers)
        np.testing.assert_array_equal(numbers, np.setdiff1d(expected, out))
    np.testing.assert_array_equal(table.unseen(seen), np.setdiff1d(np.arange(N), expected))


@every_table
@pytest.mark.parametrize("seen", [None, SEEN], ids=["all rows", "some rows"])
def test_what_is_drawn_and_what_stays_are_all_that_is_seen(table, seen):
    stratify = (Y[:, 0] > 0)[slice(None) if seen is None else seen] if table.stratifies else None
    rows, held_out = table.draw(0.3, seen, stratify, np.random.RandomState(0))
    stays, expected = table.numbers(rows), np.arange(N) if seen is None else seen
    np.testing.assert_array_equal(np.sort(np.concatenate([stays, held_out])), expected)
    assert 0.1 * len(expected) < len(held_out) < 0.6 * len(expected)


@every_table
def test_rows_are_the_same_after_a_pause(table):
    rows = table.rows(SEEN)
    table.shuffle(rows, engines.get_engine(), np.random.RandomState(0))
    before = table.numbers(rows).copy()
    again = table.expanded(table.compact(rows))
    np.testing.assert_array_equal(table.numbers(again), before)
    np.testing.assert_array_equal(np.sort(before), SEEN)


@every_table
def test_taken_rows_are_rows_of_the_table(table):
    np.testing.assert_array_equal(dense(table.take(SEEN)), X[SEEN])
    parts = [dense(rows).copy() for _, rows in table.parts()]
    np.testing.assert_array_equal(np.concatenate(parts), X)


@every_table
def test_sessions_and_predictions_are_of_the_same_numbers(table):
    engine, weight = engines.get_engine(), np.linspace(0.5, 2, N)
    parameters = NETWORK.initialize(np.random.RandomState(2), np.float64)
    hidden = np.tanh(X @ parameters.coefs[0] + parameters.intercepts[0])
    expected = hidden @ parameters.coefs[1] + parameters.intercepts[1]
    outputs = table.predict(engine, NETWORK, parameters, dtype=np.float64, n_threads=1)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12)
    rows = table.in_order(np.random.RandomState(3).permutation(N)[:20])
    with table.session(engine, NETWORK, Y, weight, dtype=np.float64, batch_size=N, n_threads=1) as session:
        session.load(parameters)
        loss, outputs = session.evaluate(rows)
    np.testing.assert_allclose(outputs, expected[rows], rtol=1e-12)
    of_rows = 0.5 * (expected - Y)[rows, 0] ** 2
    assert loss == pytest.approx(np.average(of_rows, weights=weight[rows]), rel=1e-12)


@every_table
def test_a_sample_to_try_rates_on_is_of_the_rows_trained_on(table):
    rows, weight = table.rows(SEEN), (np.arange(N) % 3).astype(float)
    sample = table.sample(rows, 6, 3, np.random.RandomState(0))
    if sample is None:  # all that can be told is told before
        np.testing.assert_array_equal(table.numbers(table.weighed(rows, weight)), SEEN[weight[SEEN] > 0])
    else:
        assert 6 <= len(sample) < len(SEEN)
        assert set(sample) <= set(SEEN.tolist()) and (np.diff(sample) > 0).all()


def test_blocks_are_asked_for_by_shuffle():
    assert kind_to_train_on(X, "blocks") is BlockTable
    assert kind_to_train_on(X, True) is kind_to_train_on(X, False) is NumericTable
