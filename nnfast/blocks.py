"""Tables read in blocks of consecutive rows, for fits and predictions whose memory does not grow with the
table.

An epoch takes the blocks in an order drawn anew, reads many at once into a buffer, from the front of the file
to its end, and shuffles the buffer's rows. Minibatches come from there. Rows that do not fill the last of
them stay for the next buffer, so an epoch has as many steps as any other: only its last batch may be smaller.

What is in a block, a buffer and a minibatch depends on the table's shape, `batch_size` and `random_state`
alone: not on memory, threads, or where the table is.
"""

from dataclasses import replace

import numpy as np
from sklearn import get_config
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite

from nnfast.mapped import Pages, check_whole
from nnfast.overflow import check_held
from nnfast.regularization import Regularization

# Numbers in a block, 1 MB in float64. A row is counted as two more than its features, for its target and its
# place.
BLOCK_NUMBERS = 1 << 17
# A buffer has this many blocks, so that every batch has rows from as many places, but no less than so many
# batches.
BUFFER_BLOCKS = 64
BUFFER_BATCHES = 8
# Of about so many pieces of a table, or more, early stopping holds out its share.
HELD_OUT_PIECES = 1000
# Rows read at once are this many blocks apart at most, which bounds the pages that they are on.
_SPREAD = 16

# What the engine reads as it is. Everything else (float16, long double, object, foreign byte order) is
# converted.
KEPT = frozenset(np.dtype(code) for code in "?bhilqBHILQfd")


def table_dtype(X):
    """The dtype of the numbers of a table as the engine takes them."""
    return X.dtype if X.dtype in KEPT else np.dtype(np.float64)


def block_rows(X):
    """Rows of a block."""
    return max(1, BLOCK_NUMBERS // (X.shape[1] + 2))


def buffer_blocks(X, batch_size):
    """Blocks of a buffer that batches are taken from."""
    return max(BUFFER_BLOCKS, -(-BUFFER_BATCHES * batch_size // block_rows(X)))


class BlockOrder:
    """The order in which an epoch takes the blocks of a table, without an array of the rows' numbers.

    What is cut into blocks are the rows that are not held out.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    held_out : ndarray of intp, ascending
        Numbers of the rows to leave out.

    Attributes
    ----------
    order : ndarray of intp
        The blocks by number.
    seed : int or None
        Of the shuffles of an epoch's buffers; None: rows stay in order.
    """

    def __init__(self, X, held_out=()):
        held_out = np.asarray(held_out, dtype=np.intp)
        # How many rows that are not held out come before each one that is.
        self._before = held_out - np.arange(len(held_out))
        self._n, self.block_rows = X.shape[0] - len(held_out), block_rows(X)
        self.order, self.seed = np.arange(-(-self._n // self.block_rows)), None

    def __len__(self):
        return self._n

    def numbers(self, first=0, last=None):
        """Numbers of the rows from the first to before the last, without those held out: an array of intp,
        ascending.
        """
        places = np.arange(first, self._n if last is None else min(last, self._n))
        return places + np.searchsorted(self._before, places, side="right")

    def shuffle(self, random_state):
        """Draw another epoch."""
        self.order = random_state.permutation(len(self.order))
        self.seed = int(random_state.randint(2**32, dtype=np.uint64))

    def block(self, number):
        """Numbers of the rows of a block."""
        return self.numbers(number * self.block_rows, (number + 1) * self.block_rows)

    def buffers(self, n_blocks):
        """An epoch's blocks, some for each buffer, ascending: a buffer's rows are shuffled, so its order is
        free.
        """
        return [np.sort(self.order[i : i + n_blocks]) for i in range(0, len(self.order), n_blocks)]


def hold_out(X, fraction, random_state):
    """Numbers (intp, ascending) of rows for early stopping to hold out: pieces of consecutive rows, drawn at
    random.

    A piece is a block, or of a smaller table a thousandth; of one below 2000 rows, a row. Single rows drawn
    at random would have every block of the table read for them.
    """
    n = X.shape[0]
    length = min(block_rows(X), max(1, n // HELD_OUT_PIECES))
    starts = np.arange(0, n, length, dtype=np.intp)
    _, drawn = train_test_split(starts, random_state=random_state, test_size=fraction)
    rows = (np.sort(drawn)[:, np.newaxis] + np.arange(length)).ravel()
    return rows[rows < n]


class Reader:
    """Copies rows of a table, and lets go of the pages that a mapped one was read from.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Any numbers, any strides. One in Fortran order is read a piece of a column at a time, which is slower.
    """

    def __init__(self, X):
        check_whole(X)
        self._X, self._block_rows, self.pages = X, block_rows(X), Pages(X)

    def read(self, rows, out):
        """Write the rows, by ascending numbers, to an array of shape (n_rows, n_features)."""
        start, n = 0, len(rows)
        while start < n:
            first = rows[start]
            near = np.searchsorted(rows[start : start + self._block_rows], first + _SPREAD * self._block_rows)
            end = start + int(near)
            last = rows[end - 1] + 1
            consecutive = last - first == end - start
            out[start:end] = self._X[first:last] if consecutive else self._X[rows[start:end]]
            self.pages.release(first, last)
            start = end


def take(X, rows):
    """Rows of a table by ascending numbers, as the engine takes them."""
    out = np.empty((len(rows), X.shape[1]), table_dtype(X))
    Reader(X).read(rows, out)
    return out


def check_finite(X, estimator_name, dtype=np.float64):
    """Raise scikit-learn's ValueError if there is a NaN or an infinity in X, or another one if there is in
    the dtype of the arithmetic.
    """
    if X.dtype.kind != "f" or get_config()["assume_finite"]:
        return
    for first, rows in copies(X):
        assert_all_finite(rows, estimator_name=estimator_name, input_name="X")
        check_held(rows, dtype, first=first)


def copies(X):
    """(number of the first row, a copy of its rows) of one block after the other; all copies are in the same
    memory.
    """
    reader, n, step = Reader(X), X.shape[0], block_rows(X)
    buffer = np.empty((min(n, step), X.shape[1]), table_dtype(X))
    for first in range(0, n, step):
        rows = np.arange(first, min(n, first + step))
        reader.read(rows, buffer[: len(rows)])
        yield first, buffer[: len(rows)]


class BlockSession:
    """The engine's `Session` over a table that is read in blocks: what it has in memory is a buffer of some
    of them.

    Parameters
    ----------
    engine : module
    network, X, y, sample_weight, dtype, batch_size, optimizer, regularization, settings
        Those of `Session`. X is dense, but may be of any dtype of numbers.
    """

    def __init__(
        self,
        engine,
        network,
        X,
        y=None,
        sample_weight=None,
        *,
        dtype,
        batch_size,
        optimizer=None,
        regularization=Regularization(),
        **settings,
    ):
        self._n_samples, self._n_blocks, left_over = X.shape[0], BUFFER_BLOCKS, 0
        if optimizer is None:  # whose penalty loss_gradient adds up
            self._alpha, regularization = regularization.alpha, replace(regularization, alpha=0.0)
        else:
            self._n_blocks = buffer_blocks(X, batch_size)
            left_over = batch_size - 1
        self._capacity = min(self._n_samples, self._n_blocks * block_rows(X) + left_over)
        if network.normalization == "batch" and batch_size > self._capacity:
            # Only state.gradients asks for such batches: those of epochs fit.
            raise ValueError(
                "state.gradients with normalization='batch' takes the statistics of all rows trained on at "
                f"once: of a table read in blocks that may be at most {self._capacity} rows, got "
                f"{batch_size} rows."
            )
        self._engine, self._network, self._dtype = engine, network, np.dtype(dtype)
        self._batch_size, self._reader = min(batch_size, self._capacity), Reader(X)
        # The table, targets and weights of the session, and where their rows come from.
        self._buffer = np.empty((self._capacity, X.shape[1]), table_dtype(X))
        self._pairs = [
            (None if whole is None else np.zeros((self._capacity, *whole.shape[1:]), whole.dtype), whole)
            for whole in (y, sample_weight)
        ]
        self._session = engine.Session(
            network,
            self._buffer,
            *(part for part, _ in self._pairs),
            dtype=dtype,
            batch_size=self._batch_size,
            optimizer=optimizer,
            regularization=regularization,
            **settings,
        )

    # What has nothing to do with the table

    several_epochs = False  # as every epoch reads the table

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._session.__exit__(*error)

    def close(self):
        self._session.close()

    def load(self, *arguments):
        self._session.load(*arguments)

    def store(self, parameters):
        self._session.store(parameters)

    def take_moments(self):
        return self._session.take_moments()

    @property
    def t(self):
        return self._session.t

    @property
    def whole_epochs(self):
        """Whether the parameters are those of the end of a buffer; t tells whether that is the end of an
        epoch.
        """
        return self._session.whole_epochs

    # What has

    def _fill(self, rows, at=0):
        """Read rows, by ascending numbers, into the buffer from row `at` on, and return where they end."""
        end = at + len(rows)
        self._reader.read(rows, self._buffer[at:end])
        for part, whole in self._pairs:
            if part is not None:
                part[at:end] = whole[rows]
        self._session.check_targets()
        return end

    def _parts(self, n_rows, numbers):
        """Fill the buffer with part after part of some rows, of which `numbers(first, last)` are to be had;
        yields the places (first, last) of each.
        """
        for first in range(0, n_rows, self._capacity):
            last = min(n_rows, first + self._capacity)
            self._fill(numbers(first, last))
            yield first, last

    def _weight(self, n):
        """The sum of the weights of the buffer's first rows."""
        weights = self._pairs[1][0]
        return float(n) if weights is None else float(weights[:n].sum())

    def epoch(self, rows, learning_rate):
        """See `Session.epoch`; `rows` are a `BlockOrder`."""
        rates = np.atleast_1d(np.asarray(learning_rate, np.float64))
        generator = None if rows.seed is None else np.random.RandomState(rows.seed)
        buffers, loss, step, n = rows.buffers(self._n_blocks), 0.0, 0, 0
        for i, blocks in enumerate(buffers):
            for block in blocks:
                n = self._fill(rows.block(block), n)
            is_last = i + 1 == len(buffers)
            if not is_last:
                for block in buffers[i + 1]:
                    ahead = rows.block(block)
                    self._reader.pages.will_need(ahead[0], ahead[-1] + 1)
            order = np.arange(n)
            if generator is not None:
                self._engine.shuffle(order, generator)
            n_now = n if is_last else n - n % self._batch_size
            n_steps = -(-n_now // self._batch_size)
            if n_steps:
                now = rates if len(rates) == 1 else rates[step : step + n_steps]
                loss += n_now * self._train(order[:n_now], now, step)
                step += n_steps
            n -= n_now
            for array in (self._buffer, *(part for part, _ in self._pairs)):
                if array is not None:
                    array[:n] = array[order[n_now:]]
        return loss / len(rows)

    def _train(self, order, rates, step):
        try:
            return self._session.epoch(order, rates)
        except self._engine.NonFinite as error:
            raise self._engine.NonFinite(step + error.step) from None

    def evaluate(self, rows):
        """See `Session.evaluate`; `rows`, an array, ascend."""
        out, loss, weight = np.empty((len(rows), self._network.n_outputs), self._dtype), 0.0, 0.0
        for first, last in self._parts(len(rows), lambda first, last: rows[first:last]):
            order, of_part = np.arange(last - first), self._weight(last - first)
            if of_part:
                loss += of_part * self._session.evaluate(order, out[first:last])[0]
            else:
                self._session.predict(order, out[first:last])
            weight += of_part
        return loss / weight, out

    def predict(self):
        """See `Session.predict`: the outputs of all rows."""
        out = np.empty((self._n_samples, self._network.n_outputs), self._dtype)
        for first, last in self._parts(self._n_samples, np.arange):
            self._session.predict(np.arange(last - first), out[first:last])
        return out

    def loss_gradient(self, flat, gradient, rows):
        """See `Session.loss_gradient`; `rows` are a `BlockOrder`, whose numbers ascend."""
        loss, weight, of_rows = 0.0, 0.0, np.empty_like(gradient)
        gradient[:] = 0
        for first, last in self._parts(len(rows), rows.numbers):
            of_part = self._weight(last - first)
            if of_part:
                loss += of_part * self._session.loss_gradient(flat, of_rows, np.arange(last - first))
                gradient += of_part * of_rows
                weight += of_part
        # The penalty, which counts once: weights come first in the flat vectors.
        weights = slice(sum(n_in * n_out for n_in, n_out in self._network.shapes))
        loss += 0.5 * self._alpha * (flat[weights] @ flat[weights])
        gradient[weights] += self._alpha * flat[weights]
        gradient /= weight
        return loss / weight
