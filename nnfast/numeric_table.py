"""Tables of numbers as a fit and the engine read them: rows in any order, or blocks of consecutive rows.

A table says how its rows are taken, shuffled and held out, and which session is opened over it, so that
nobody else needs to know which kind it is.
"""

import numpy as np
from scipy.sparse import issparse
from sklearn.model_selection import train_test_split

from nnfast import blocks
from nnfast.mapped import exceeds_memory, is_large


class NumericTable:
    """A dense table, or CSR, whose rows are read in any order.

    The rows to train on, which `rows` and `draw` give, are an array of their numbers (intp) in the order in
    which an epoch takes them. Who gets them only passes them on: to the table's methods, and to its sessions.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_samples, n_features)
    """

    # Whether the engine is given copies of rows, for which any dtype of numbers will do.
    keeps_any_dtype = False
    # Whether rows that are drawn can be stratified.
    stratifies = True

    def __init__(self, X):
        self.X = X
        self.n_samples, self.n_features = X.shape

    @property
    def dtype(self):
        """The dtype of the numbers as the engine takes them."""
        return blocks.table_dtype(self.X)

    # Sessions and predictions

    def session(self, engine, network, y, sample_weight, **settings):
        """An engine's session over the table: see `nnfast.engines.session.BaseSession`."""
        return engine.Session(network, self.X, y, sample_weight, **settings)

    def predict(self, engine, network, parameters, **settings):
        """Outputs of all rows: see `nnfast.engines.cython.predict`."""
        return engine.predict(network, parameters, self.X, **settings)

    def parts(self):
        """(number of the first row, rows) of one part after the other, each to be used before the next."""
        yield 0, self.X

    def take(self, numbers):
        """Rows by their numbers, as a table of the same kind as X."""
        return self.X[numbers]

    # Rows to train on

    def rows(self, seen=None, held_out=()):
        """The rows `seen`, an array of intp, or None for all, without those held out."""
        rows = np.arange(self.n_samples, dtype=np.intp) if seen is None else np.array(seen, dtype=np.intp)
        if len(held_out):
            stays = np.ones(self.n_samples, dtype=bool)
            stays[held_out] = False
            rows = rows[stays[rows]]
        return rows

    def draw(self, fraction, seen, stratify, random_state):
        """(Rows to train on, numbers of the rows held out) where a fraction of those seen is held out."""
        return train_test_split(
            self.rows(seen), random_state=random_state, test_size=fraction, stratify=stratify
        )

    def unseen(self, seen):
        """Numbers of the rows that are not among these, ascending; none where `seen` is None."""
        if seen is None:
            return np.empty(0, dtype=np.intp)
        return np.setdiff1d(np.arange(self.n_samples, dtype=np.intp), seen)

    def in_order(self, numbers):
        """The numbers of rows to measure, in the order in which a session may read them."""
        return numbers

    def numbers(self, rows):
        """The numbers of rows to train on, an array."""
        return rows

    def shuffle(self, rows, engine, random_state):
        """Draw the order of another epoch, in place."""
        engine.shuffle(rows, random_state)

    def compact(self, rows):
        """The rows in as little memory as they can be kept in."""
        return rows.astype(np.min_scalar_type(self.n_samples), copy=False)

    def expanded(self, rows):
        """The rows that `compact` has made small, as a session takes them."""
        return rows.astype(np.intp, copy=False)

    # For the learning-rate range test

    def weighed(self, rows, sample_weight):
        """The rows of a positive weight, where that can be told before they are read."""
        return rows if sample_weight is None else rows[sample_weight[rows] > 0]

    def sample(self, rows, n_rows, batch_size, random_state):
        """Numbers of about `n_rows` of the rows, ascending, to be read into memory; None where no row needs
        to be.
        """
        return None


class BlockTable(NumericTable):
    """A dense table, of any dtype of numbers, that is read in blocks: see `nnfast.blocks`.

    The rows to train on are a `nnfast.blocks.BlockOrder`.
    """

    keeps_any_dtype, stratifies = True, False

    def __init__(self, X):
        if issparse(X):
            raise ValueError("shuffle='blocks' is for dense tables, got a sparse X. Use shuffle=True.")
        super().__init__(X)

    def session(self, engine, network, y, sample_weight, **settings):
        return blocks.BlockSession(engine, network, self.X, y, sample_weight, **settings)

    def predict(self, engine, network, parameters, **settings):
        settings["batch_size"] = self.n_samples
        with self.session(engine, network, None, None, **settings) as session:
            session.load(parameters)
            return session.predict()

    def parts(self):
        return blocks.copies(self.X)

    def take(self, numbers):
        """Rows by their numbers, which ascend, as an array."""
        return blocks.take(self.X, numbers)

    def rows(self, seen=None, held_out=()):
        held_out = np.asarray(held_out, dtype=np.intp)
        return blocks.BlockOrder(self.X, np.union1d(held_out, self.unseen(seen)))

    def draw(self, fraction, seen, stratify, random_state):
        held_out = blocks.hold_out(self.X, fraction, random_state)
        if seen is not None:
            held_out = np.intersect1d(held_out, seen)
        return self.rows(seen, held_out), held_out

    def in_order(self, numbers):
        return np.sort(numbers)

    def numbers(self, rows):
        return rows.numbers()

    def shuffle(self, rows, engine, random_state):
        rows.shuffle(random_state)

    def compact(self, rows):
        return rows

    def expanded(self, rows):
        return rows

    def weighed(self, rows, sample_weight):
        return rows

    def sample(self, rows, n_rows, batch_size, random_state):
        most = blocks.buffer_blocks(self.X, batch_size)
        n_blocks = min(most, len(rows.order), -(-n_rows // rows.block_rows))
        drawn = np.sort(random_state.permutation(len(rows.order))[:n_blocks])
        return np.concatenate([rows.block(block) for block in drawn])


def kind_to_train_on(X, shuffle):
    """The class of a table that is trained on, by the parameter `shuffle`: in blocks where that asks for it,
    or where the table is larger than memory.
    """
    return BlockTable if isinstance(shuffle, str) or exceeds_memory(X) else NumericTable


def kind_to_measure(X):
    """The class of a table that is read from its first row to its last, as predictions and validation do."""
    return BlockTable if is_large(X) else NumericTable
