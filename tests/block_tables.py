"""Tables to read in blocks of a few rows, from memory and from files."""

import numpy as np
import pytest

import nnfast.blocks
import nnfast.mapped
from nnfast import MLPClassifier

# In tables of 4 features, 5 rows a block; 3 blocks a buffer, or more for two batches.
ROWS, BLOCKS, FEATURES = 5, 3, 4
LAYOUTS = ("r", "r+", "c", "view", "fortran")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(nnfast.blocks, "BLOCK_NUMBERS", ROWS * (FEATURES + 2))
    monkeypatch.setattr(nnfast.blocks, "BUFFER_BLOCKS", BLOCKS)
    monkeypatch.setattr(nnfast.blocks, "BUFFER_BATCHES", 2)
    monkeypatch.setattr(nnfast.mapped, "SMALL_BYTES", 0)


def table(n=83, dtype=np.float64):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n, FEATURES))
    return (
        (X if np.dtype(dtype).kind == "f" else 20 * X).astype(dtype),
        rng.normal(size=(n, 2)),
        rng.uniform(0.2, 2, n),
    )


def mapped(X, folder, mode="r"):
    """The same numbers in a file; mode: np.memmap's, or "view" of a larger file's rows and columns, or
    "fortran" order.
    """
    path, whole = folder / f"{mode}.npy", X
    if mode == "view":
        whole = np.full((len(X) + 7, X.shape[1] + 3), 99, X.dtype)
        whole[3:-4, 2:-1] = X
    np.save(path, np.asfortranarray(whole) if mode == "fortran" else whole)
    file = np.load(path, mmap_mode=mode if mode in ("r+", "c") else "r")
    return np.asarray(file)[3:-4, 2:-1] if mode == "view" else file


def small(cls=MLPClassifier, **parameters):
    defaults = {
        "hidden_layer_sizes": (5,),
        "max_iter": 3,
        "random_state": 0,
        "batch_size": 8,
        "shuffle": "blocks",
    }
    return cls(**defaults | parameters)


def arrays(estimator):
    return [*estimator.coefs_, *estimator.intercepts_, np.array(estimator.loss_curve_)]


def assert_same_bits(ours, others):
    for a, b in zip(arrays(ours), arrays(others), strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
