"""What a session reads and what it refuses: tables of every type and layout, wrong arguments, networks too
large.
"""

import re
import threading

import numpy as np
import problems
import pytest
import scipy.sparse
from nnfast.kernels import engine as compiled
from problems import Problem, in_child, n_tasks

from nnfast import engines
from nnfast.engines import cython as engine
from nnfast.network import Network, Parameters
from nnfast.regularization import Regularization

NUMBERS = (*compiled.SOURCES, "bool")


def trained(problem, table, n_epochs=2):
    """The bits of a short training and of its predictions."""
    with problem.session(table, batch_size=16, n_threads=2) as session:
        losses = [session.epoch(problem.rows, 0.01) for _ in range(n_epochs)]
        return [np.float64(losses), session.predict(), *problem.stored(session)]


def assert_same_bits(a, b):
    assert all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def of_type(name, shape, rng):
    if name.startswith("float"):
        return rng.normal(size=shape).astype(name)
    x = rng.randint(-127, 128, shape)
    return x > 0 if name == "bool" else (abs(x) if name.startswith("u") else x).astype(name)


# ------------------------------------------------------------------------------------------------------------
# Dense tables


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_dense_table_of_any_type_and_layout(name, dtype, tmp_path):
    problem = Problem((19, 9, 2), 45, dtype=dtype)
    X = of_type(name, (90, 38), np.random.RandomState(0))
    expected = X[::2, ::2].astype(dtype)
    X_file = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=X.dtype, shape=expected.shape)
    X_file[...] = X[::2, ::2]
    X_file.flush()
    read_only = X[::2, ::2].copy()
    read_only.flags.writeable = False
    tables = {
        "C": X[::2, ::2].copy(),
        "F": np.asfortranarray(X[::2, ::2]),
        "sliced": X[::2, ::2],
        "read-only": read_only,
        "backwards": X[::2, ::2][::-1, ::-1].copy()[::-1, ::-1],
        "mapped": np.load(tmp_path / "X.npy", mmap_mode="r"),
    }
    bits = trained(problem, expected)
    for table in tables.values():
        assert_same_bits(trained(problem, table), bits)


def test_large_integers_are_rounded_once():
    problem = Problem((3, 2), 4, dtype=np.float32, activation="identity", loss="squared_error")
    X = np.array([[2**53 + 1, 2**62 + 2**38 + 1, -(2**60) - 2**36 - 1]] * 4)
    with problem.predicting(X) as session:
        expected = problem.predicting(X.astype(np.float32))
        np.testing.assert_array_equal(session.predict(), expected.predict())


def test_the_table_is_read_not_copied():
    """What is in the table when an epoch starts is what the epoch sees."""
    problem = Problem()
    with problem.predicting() as session:
        before = session.predict()
        problem.table[7] += 1
        after = session.predict()
    assert ((before != after).any(axis=1) == (problem.rows == 7)).all()


# ------------------------------------------------------------------------------------------------------------
# Sparse tables


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("density", [0.04, 0.5])
def test_a_sparse_table_of_any_type(density, dtype):
    problem = Problem((60, 9, 2), 45, dtype=dtype)
    rng = np.random.RandomState(0)
    keep = rng.uniform(size=problem.X.shape) < density
    for name in NUMBERS:
        X = of_type(name, problem.X.shape, rng) * keep
        dense = trained(problem, X.astype(dtype))
        reference = scipy.sparse.csr_array(X.astype(dtype))
        bits = trained(problem, reference)
        for a, b in zip(bits, dense, strict=True):
            np.testing.assert_allclose(
                a, b, rtol=1e-3 if dtype == np.float32 else 1e-10, atol=1e-4 if dtype == np.float32 else 1e-12
            )
        if density > engine.SPARSE_BELOW:
            assert_same_bits(bits, dense)
        for index_dtype in (np.int32, np.int64):
            table = scipy.sparse.csr_matrix(X)
            table.indices, table.indptr = table.indices.astype(index_dtype), table.indptr.astype(index_dtype)
            assert_same_bits(trained(problem, table), bits)


def test_a_sparse_table_with_duplicates_empty_rows_and_unused_space():
    problem = Problem((60, 5, 2), 4)
    indices, indptr = np.array([5, 5, 0, 59, 1, 7]), np.array([0, 3, 3, 4, 4])
    table = scipy.sparse.csr_array((np.arange(1.0, 7.0), indices, indptr), shape=(4, 60))
    dense = np.zeros((4, 60))
    dense[0, 5], dense[0, 0], dense[2, 59] = 3, 3, 4
    with problem.predicting(table) as session, problem.predicting(dense) as expected:
        np.testing.assert_allclose(session.predict(), expected.predict(), rtol=1e-14)


def csr(data=(1.0, 2.0, 3.0), indices=(0, 11, 3), indptr=(0, 2, 3), index_dtype=np.int32):
    """A CSR array of shape (2, 12) that nobody has checked."""
    X = scipy.sparse.csr_array((2, 12))
    X.data, X.indices, X.indptr = (
        np.array(data),
        np.array(indices, index_dtype),
        np.array(indptr, index_dtype),
    )
    return X


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize(
    "wrong",
    [
        {"indices": (0, 12, 3)},
        {"indices": (0, -1, 3)},
        {"indptr": (0, 3, 2)},
        {"indptr": (0, 2, 4)},
        {"indptr": (1, 2, 3)},
        {"indptr": (0, 3)},
        {"indptr": (0, 2, 3, 3)},
        {"data": (1.0, 2.0)},
    ],
    ids=str,
)
def test_an_invalid_sparse_table(wrong, index_dtype):
    problem = Problem(n_samples=2)
    with pytest.raises(ValueError, match="X is not a valid CSR matrix"):
        problem.predicting(csr(**wrong, index_dtype=index_dtype))


@pytest.mark.parametrize("index_dtype", ["int8", "int16", "uint16", "uint32", "uint64", ">i4", ">i8"])
def test_a_sparse_table_with_indices_of_another_type(index_dtype):
    """They are converted, whatever numbers they are. In a child: reading them as they are is a crash."""
    problem = Problem(n_samples=2)
    with problem.predicting(csr()) as session:
        expected = session.predict()

    def same():
        with problem.predicting(csr(index_dtype=np.dtype(index_dtype))) as session:
            return (session.predict() == expected).all()

    assert in_child(same) == 0


# ------------------------------------------------------------------------------------------------------------
# Wrong arguments


def misaligned(x):
    buffer = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    buffer[...] = x
    return buffer


P = Problem()
WRONG_TABLES = {
    "float16": P.X.astype(np.float16),
    "object": P.X.astype(object),
    "complex128": P.X.astype(complex),
    ">f8": P.X.astype(">f8"),
    "float64": misaligned(P.X),
    "float128" if np.dtype(np.longdouble).itemsize == 16 else "longdouble": P.X.astype(np.longdouble),
}


@pytest.mark.parametrize("name", WRONG_TABLES)
def test_a_table_that_cannot_be_read(name):
    with pytest.raises(
        TypeError,
        match=f"X must be an aligned array of a native integer type, bool, float32 or float64, got {name}",
    ):
        P.predicting(WRONG_TABLES[name])


def test_a_table_of_another_width():
    with pytest.raises(ValueError, match="X has 11 features, the network 12 inputs"):
        P.predicting(P.X[:, :11])


@pytest.mark.parametrize("dtype", [np.int32, np.float16])
def test_arithmetic_in_another_type(dtype):
    with pytest.raises(TypeError, match=f"dtype must be float32 or float64, got {np.dtype(dtype)}"):
        P.session(dtype=dtype)


def with_targets(y, weight=None, loss="log_loss", dtype=np.float64):
    return engine.Session(Network((12, 3), "relu", loss), P.X, y, weight, dtype=dtype, batch_size=10)


W = np.ones(50)
WRONG_TARGETS = {
    "y .* int64 .*got int32": (lambda: with_targets(P.y.astype(np.int32))),
    r"y .*\(50,\).*got int64 .*\(49,\)": (lambda: with_targets(P.y[:49])),
    "y must hold class numbers 0 .. 2, got 0 .. 3": (lambda: with_targets(np.arange(50) % 4)),
    "y must hold class numbers 0 .. 2, got -1 .. 1": (lambda: with_targets(np.arange(50) % 3 - 1)),
    "y must be C-contiguous": (lambda: with_targets(np.zeros(100, np.intp)[::2])),
    "y .* float32 .*got float64": (
        lambda: with_targets(np.zeros((50, 3)), loss="squared_error", dtype=np.float32)
    ),
    r"y .*\(50, 3\).*got float64 .*\(50, 2\)": (lambda: with_targets(np.zeros((50, 2)), loss="poisson")),
    "y must be C-contiguous and aligned": (lambda: with_targets(np.zeros((3, 50)).T, loss="poisson")),
    "sample_weight .* float64 .*got float32": (lambda: with_targets(P.y, W.astype(np.float32))),
    r"sample_weight .*\(50,\).*\(51,\)": (lambda: with_targets(P.y, np.ones(51))),
    "sample_weight must be C-contiguous": (lambda: with_targets(P.y, np.ones(100)[::2])),
}


@pytest.mark.parametrize("message", WRONG_TARGETS)
def test_wrong_targets(message):
    with pytest.raises(ValueError, match=message):
        WRONG_TARGETS[message]()


def frozen(x):
    x.flags.writeable = False
    return x


PARAMETERS = P.parameters()
coefs, intercepts, of_lists = PARAMETERS.coefs, PARAMETERS.intercepts, Parameters.of_lists
WRONG_CALLS = {
    r"order .* int64 .*got float64": lambda s: s.epoch(P.rows.astype(float), 0.1),
    r"order must be C-contiguous": lambda s: s.epoch(P.rows[::2], 0.1),
    r"row numbers must be within 0 .. 49": lambda s: s.epoch(np.array([0, 50]), 0.1),
    r"row numbers must be within 0 .. 49.*": lambda s: s.epoch(np.array([-1, 4]), 0.1),
    r"row numbers must be within 0 .. 49, and at least one": lambda s: s.epoch(P.rows[:0], 0.1),
    r"row numbers must be within 0 .. 49.*.*": lambda s: s.predict(np.array([50])),
    r"out .* float64 .*got float32": lambda s: s.predict(out=np.empty((50, 3), np.float32)),
    r"out .*\(50, 3\).*\(50, 2\)": lambda s: s.predict(out=np.empty((50, 2))),
    r"out .*writable": lambda s: s.predict(out=frozen(np.empty((50, 3)))),
    r"has 4 such arrays, got 3": lambda s: s.load(of_lists(coefs=coefs[:1], intercepts=intercepts)),
    r"\(12, 9\).*\(9, 12\)": lambda s: s.load(of_lists(coefs=[coefs[0].T, coefs[1]], intercepts=intercepts)),
    r"\(3,\).*\(2,\)": lambda s: s.load(of_lists(coefs=coefs, intercepts=[intercepts[0], intercepts[1][:2]])),
    r"C-contiguous and aligned, and writable": lambda s: s.store(
        of_lists(coefs=[frozen(coefs[0].copy()), coefs[1]], intercepts=intercepts)
    ),
    r"float32 or float64.*got int64": lambda s: s.store(
        of_lists(coefs=[coefs[0].astype(int), coefs[1]], intercepts=intercepts)
    ),
}


@pytest.mark.parametrize("message", WRONG_CALLS)
def test_wrong_calls(message):
    """Nothing that a method refuses leaves a trace: the session goes on as if it had not been asked."""
    with P.session(batch_size=10) as session, P.session(batch_size=10) as expected:
        with pytest.raises((ValueError, IndexError), match=message):
            WRONG_CALLS[message](session)
        assert session.epoch(P.rows, 0.01) == expected.epoch(P.rows, 0.01)


@pytest.mark.parametrize(
    "flat, gradient, message",
    [
        (np.zeros(3), None, r"flat .*\(147,\).*\(3,\)"),
        (np.zeros(147, np.float32), None, "flat .* float64 .*got float32"),
        (None, np.zeros(5), r"gradient .*\(147,\).*\(5,\)"),
        (None, frozen(np.zeros(147)), "gradient .*writable"),
    ],
)
def test_wrong_vectors(flat, gradient, message):
    with P.session(optimizer=None) as session, pytest.raises(ValueError, match=message):
        session.loss_gradient(
            np.zeros(147) if flat is None else flat, np.zeros(147) if gradient is None else gradient, P.rows
        )


@pytest.mark.parametrize(
    "order", [[1, 2], np.arange(4, dtype=np.int32), np.arange(8)[::2]], ids=["list", "int32", "strided"]
)
def test_wrong_orders_to_shuffle(order):
    with pytest.raises((TypeError, ValueError), match="order must be"):
        engine.shuffle(order, np.random.RandomState(0))


# ------------------------------------------------------------------------------------------------------------
# Too large


@pytest.mark.parametrize("hidden", [(2**23, 2**23), (2**33, 2**33), (2**31, 2**31), (2**61, 8)], ids=str)
@pytest.mark.parametrize("trains", [False, True])
def test_a_network_too_large_for_memory(hidden, trains):
    """MemoryError, or the engine's own limit; never a size that has wrapped around."""
    before = n_tasks()
    network = Network((4, *hidden, 2), "relu", "log_loss")
    with pytest.raises((MemoryError, ValueError) if trains else MemoryError) as raised:
        engine.Session(
            network,
            np.zeros((3, 4)),
            np.zeros(3, np.intp) if trains else None,
            dtype=np.float64,
            batch_size=3,
            n_threads=4,
        )
    if not isinstance(raised.value, MemoryError):
        assert re.search(r"larger than this engine schedules \(\d+\)", str(raised.value))
    elif "Unable to allocate" in str(raised.value):
        asked = int(re.search(r"\((\d+),\)", str(raised.value))[1])
        assert asked >= 8 * network.n_parameters
    assert n_tasks() == before


def test_no_memory_for_the_buffers_leaves_nothing_behind(monkeypatch):
    problem, before = Problem((40, 50, 3)), n_tasks()

    def no_memory(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(np, "zeros", no_memory)
        with pytest.raises(MemoryError):
            problem.session(n_threads=4)
    assert n_tasks() == before
    assert len(trained(problem, problem.table)) == 6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("name", engines.ENGINES)
@pytest.mark.parametrize("density", [0.05, 0.3])
def test_indices_that_change_while_a_session_is_open(density, name, index_dtype, dtype, monkeypatch):
    """Another thread may write to them in the midst of a run. Entries in no column are left out. In a child:
    reading them is a crash.
    """
    if name == "numba":
        pytest.importorskip("numba")
    monkeypatch.setattr(problems, "engine", engines.get_engine(name))
    problem, rng = Problem((60, 40, 2), 80, dtype=dtype), np.random.RandomState(0)
    table = scipy.sparse.csr_array(problem.X * (rng.uniform(size=problem.X.shape) < density))
    table.indices, table.indptr = table.indices.astype(index_dtype), table.indptr.astype(index_dtype)
    indices, indptr, largest = table.indices.copy(), table.indptr.copy(), np.iinfo(index_dtype).max
    regularization = Regularization(input_dropout=0.3)

    def predictions(session):
        session.load(problem.parameters())
        return session.predict()

    def survives():
        with problem.session(table, batch_size=32, regularization=regularization) as session:
            expected = predictions(session)
            for wrong in (largest, -largest - 1, -1, 60):
                table.indices[::3] = wrong
                left = table.data.copy()
                left[::3] = 0
                with problem.predicting(
                    scipy.sparse.csr_array((left, indices, indptr), shape=table.shape)
                ) as other:
                    without = predictions(other)
                got = predictions(session)
                # Indices of another dtype than the engine's are copies.
                assert np.allclose(got, without, rtol=1e-5) or (
                    name == "numba" and index_dtype == np.int32 and np.array_equal(got, expected)
                )
                session.epoch(problem.rows, 0.01)
                session.evaluate()
                table.indices[:] = indices
                table.indptr[1:] = wrong
                assert np.array_equal(predictions(session), expected)
                session.epoch(problem.rows, 0.01)
                table.indptr[:] = indptr
        return True

    def survives_a_thread():
        stop = threading.Event()

        def write():
            while not stop.is_set():
                for value in (largest, -largest, 7):
                    table.indices[rng.randint(len(indices), size=20)] = value
                table.indices[:] = indices

        writer = threading.Thread(target=write)
        with problem.session(table, batch_size=32, regularization=regularization, n_threads=2) as session:
            writer.start()
            for _ in range(300 if name == "cython" else 20):
                session.epoch(problem.rows, 1e-6)
                session.evaluate()
            stop.set()
            writer.join()
        return True

    assert in_child(survives) == 0
    assert in_child(survives_a_thread) == 0
