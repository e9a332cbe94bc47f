"""What the sessions of all engines have in common: the checks of what goes down to compiled code, and the
order in which it is called.
"""

import numpy as np

from nnfast.engines.arrays import (
    FLOATS,
    TINY,
    at_least_tiny,
    checked,
    checked_arrays,
    checked_rates,
    row_numbers,
)
from nnfast.engines.operation_counts import OperationCounts
from nnfast.engines.tables import check_dense, checked_sparse
from nnfast.engines.targets import are_skipped, check_class_numbers, checked_targets, loss_parameters
from nnfast.losses import loss_of
from nnfast.parameter_groups import group_parameters
from nnfast.plan import Use
from nnfast.planner import plan_of
from nnfast.regularization import Regularization
from nnfast.step_scalars import WINDOW, StepDropout, StepScalars
from nnfast.threads import FLOPS_A_THREAD, release_threads, reserve_threads

# A batch goes through the network in chunks of at most this many rows, whose activations stay in the caches.
CHUNK_ROWS = 512


class NonFinite(ArithmeticError):
    """A loss or gradient of a run was not finite.

    Attributes
    ----------
    step : int
        The 0-based step of the epoch in which it showed.
    losses : sequence of float
        Of the whole epochs before it in the same call.
    """

    def __init__(self, step, losses=()):
        super().__init__(f"a loss or gradient was not finite in step {step}")
        self.step, self.losses = step, losses


class BaseSession:
    """One network over one table: packed parameters, buffers and threads, alive for one call. A context
    manager.

    Parameters
    ----------
    network : nnfast.network.Network
    X : ndarray or CSR of shape (n_samples, n_features)
        Any integer, bool, float32 or float64; any strides. Not copied, like y and sample_weight: who
        overwrites what they hold, between calls, calls `check_targets` after. CSR's indptr is a copy, and
        entries whose index has become none of a column are left out.
    y : ndarray or None
        For "log_loss" and "focal" intp class numbers, shape (n_samples,); for the other losses shape
        (n_samples, n_outputs), `dtype`, C-contiguous. None for a session that only predicts.
    sample_weight : float64 ndarray of shape (n_samples,), or None
    dtype : {np.float32, np.float64}
        The arithmetic.
    batch_size : int
        Rows of an update; in a session that only predicts, the rows that one call is likely to have.
    optimizer : record of nnfast.optimizers, or None
        None: the session predicts, or with targets evaluates and differentiates.
    regularization : nnfast.regularization.Regularization
        A session that differentiates knows `alpha` only.
    groups : (list of nnfast.parameter_groups.Group, list of int), or None
        What `group_parameters` returns; None: what it returns without `param_groups`.
    columns : sequence of str
        Names of what the rates have beside the learning rate: see `StepScalars`.
    seed : int
        Of dropout, from 0 to 2^64 - 1.
    n_threads : int or None
        None: as many as the work deserves and the process may use.
    bfloat16 : bool
        Whether training's products take bfloat16 numbers, which needs an optimizer and float32. What a
        session predicts is float32's all the same.
    counts : list or None
        A list, where the session's time is wanted: `close` appends a dict of "n_threads", the name "dtype",
        "seconds" and "operations". The last two are dicts of lists, a number a layer for every phase in
        `PHASES`, of seconds summed over the threads, and for some phases of the multiplications and additions
        of the products.

    Attributes
    ----------
    whole_epochs : bool
        Whether the parameters and moments are there, and those of the end of an epoch.

    Raises
    ------
    MemoryError
        If the buffers cannot be had; nothing has changed then.
    """

    # A subclass has six methods more. `_new_engine` makes the object `_engine` that does the work: Engine of
    # kernels/session.pxi and that of kernels/jit/engine.py have the methods that are called here. `_forms`
    # says what its kernels do in one go, `_attach` gives it memory; `_power` is the C library's pow, on
    # arrays; `_are_rows` tells whether all of an array are numbers of rows, and there is one at least;
    # `_bfloat16_unit` is the engine's bfloat16_unit.
    _flops_a_thread = FLOPS_A_THREAD

    # Whether there is a method `epochs`: see the compiled engine's.
    several_epochs = False

    # What close() finds where __init__ did not come so far.
    _n_threads, _engine, _role, _labels, _counts, _sample_weight = 0, None, "closed", None, None, None

    def __init__(
        self,
        network,
        X,
        y=None,
        sample_weight=None,
        *,
        dtype,
        batch_size,
        optimizer=None,
        regularization=Regularization(),
        groups=None,
        columns=(),
        seed=0,
        n_threads=None,
        bfloat16=False,
        counts=None,
    ):
        dtype = np.dtype(dtype)
        if dtype not in FLOATS:
            raise TypeError(f"dtype must be float32 or float64, got {dtype}")
        if bfloat16 and (optimizer is None or dtype != np.float32):
            raise ValueError("bfloat16 products are for training in float32")
        self._unit = self._bfloat16_unit() if bfloat16 else None
        self._n_samples, n_features = X.shape
        if n_features != network.layer_units[0]:
            raise ValueError(f"X has {n_features} features, the network {network.layer_units[0]} inputs")
        self._network, self._dtype = network, dtype
        self._raised, self.whole_epochs, self._batch_size = None, True, int(batch_size)
        self._columns = tuple(columns)
        # Batch normalization needs the whole batch at once.
        capacity = (
            int(batch_size)
            if network.normalization == "batch" and y is not None
            else min(int(batch_size), CHUNK_ROWS)
        )
        self._n_threads = reserve_threads(n_threads, capacity, network.n_parameters, self._flops_a_thread)
        try:
            self._open(
                X,
                y,
                sample_weight,
                optimizer,
                regularization,
                groups,
                seed,
                capacity,
                int(batch_size),
                counts is not None,
            )
            self._counts = counts
        except BaseException:
            self.close()
            raise

    def _open(
        self, X, y, sample_weight, optimizer, regularization, groups, seed, capacity, batch_size, times
    ):
        trains, network = y is not None, self._network
        n_hidden = len(network.layer_units) - 2
        regularization.check_dropout(n_hidden, network.normalization if optimizer else None)
        entries = None  # the indptr of a sparse table whose first layer goes over the non-zeros
        if isinstance(X, np.ndarray):
            check_dense(X)
        else:
            table = checked_sparse(X, self._dtype, capacity)
            _, _, indptr, goes_over_entries, _ = table
            entries = indptr if goes_over_entries else None
        use = Use(
            trains=trains,
            learns=optimizer is not None,
            sparse=entries is not None,
            bf16=self._unit is not None,
            drops=regularization.drops(n_hidden),
            alpha_dropout=bool(regularization.alpha_dropout),
        )
        self._plan = plan_of(network, use, self._forms(self._dtype))
        self._operations = OperationCounts(self._plan, network, entries) if times else None
        self._engine = self._new_engine(
            optimizer,
            loss_parameters(network),
            capacity=capacity,
            batch_size=batch_size,
            trains=trains,
            times=times,
        )
        if isinstance(X, np.ndarray):
            self._engine.use_dense(X)
        else:
            self._engine.use_csr(*table)
        if trains:
            self._use_targets(y, sample_weight, with_true_gradient=optimizer is None)
            groups, numbers = groups or group_parameters(optimizer, network.learned)
            settings = {
                name: at_least_tiny(float(getattr(regularization, name) or 0.0), self._dtype)
                for name in ("alpha", "l1", "clip_norm", "clip_value", "max_norm")[: None if optimizer else 1]
            }
            self._engine.set_update(numbers, [group.is_penalized for group in groups], **settings)
            if optimizer:
                self._scalars = StepScalars(groups, self._power, TINY[self._dtype.char], self._columns)
                self._dropouts = StepDropout(regularization, n_hidden, self._columns)
                self._engine.use_dropout(self._dropouts.initial, seed)
        self._role = "predict" if not trains else "train" if optimizer else "differentiate"
        self._attach()

    def _use_targets(self, y, sample_weight, with_true_gradient):
        loss = loss_of(self._network.loss)
        y, sample_weight = checked_targets(y, sample_weight, self._network, self._n_samples, self._dtype)
        self._labels = y if loss.of_classes else None
        self._sample_weight = sample_weight
        self.check_targets()
        # Where a loss is a mean over the outputs, steps go along the sum, as scikit-learn's do: right for
        # them, not for a line search.
        scale = 1 / loss.descent_scale(self._network.n_outputs) if with_true_gradient else 1.0
        self._engine.use_targets(y, sample_weight, scale)

    def check_targets(self):
        """Raise ValueError unless all class numbers are those of outputs."""
        if self._labels is not None:
            check_class_numbers(self._labels, self._network.n_outputs)
        # a batch whose weights sum to zero is no step
        weight = self._sample_weight
        self._skips = weight is not None and not (weight > 0).all()

    def _require(self, *roles):
        """Raise unless the session was opened for one of these, and is open."""
        if self._role not in roles:
            raise RuntimeError(
                f"the session must be one for {' or '.join(roles)}, got one for {self._role}: with targets "
                "and an optimizer it is for train, with targets alone for differentiate, with neither for "
                "predict, until it is closed."
            )

    def load(self, parameters, moments=None, t=0):
        """Start from these `Parameters` (arrays of a float dtype) and moments (for each a dict of arrays by
        name; None: zeros).
        """
        self._require("train", "differentiate", "predict")
        learned, statistics = self._checked(parameters)
        if moments is not None:
            if len(moments) != self._engine.n_moments:
                raise ValueError(f"the optimizer has {self._engine.n_moments} moments, got {len(moments)}")
            moments = [checked_arrays(moment, self._network.learned) for moment in moments]
        self._engine.load(learned, statistics, moments, t)

    def store(self, parameters):
        """Write the current parameters into these arrays."""
        self._require("train", "differentiate", "predict")
        learned, statistics = self._checked(parameters, writes=True)
        self._engine.store(learned, statistics)

    def _checked(self, parameters, writes=False):
        """What is learned, and what is not, as the compiled code takes them."""
        network = self._network
        arrays, n = checked_arrays(parameters, network.array_shapes, writes), len(network.learned)
        return arrays[:n], arrays[n:]

    @property
    def t(self):
        """Updates done since the first `load`, whose t they continue."""
        return self._engine.t

    def take_moments(self):
        """The optimizer's moments: for each, a dict of arrays by name. Ends the session, whose memory they
        take over piece by piece: nothing may be called after it.
        """
        self._require("train")
        # whoever is interrupted here finds no moments any more
        self._role, self.whole_epochs = "closed", False
        moments = []
        self._engine.release_weights()
        for which in range(self._engine.n_moments):
            moment = {name: np.empty(shape, self._dtype) for name, shape in self._network.learned.items()}
            self._engine.release_moment(which, list(moment.values()))
            moments.append(moment)
        return moments

    def epoch(self, order, learning_rate):
        """One pass over the rows `order`, an update a batch.

        Parameters
        ----------
        order : ndarray of intp
            Each row at most once: buffers for sparse tables are sized for that.
        learning_rate : float, or float64 ndarray of shape (n_batches,) or (n_batches, 1 + n_columns)
            One for all, or one for each batch, with what has a schedule beside it.

        Returns
        -------
        loss : float
            The mean over the rows of their batches' losses, penalties included.

        Raises
        ------
        NonFinite
            In the step whose loss or gradient was not finite.
        KeyboardInterrupt, or what another signal's handler raised
            Within 0.2 s: from this call, or, where its end was near, from the next one (from leaving the
            session, if there is none). `whole_epochs` tells: it is False where the parameters are those of a
            broken epoch.
        """
        self._require("train")
        self._raise_pending()
        order = self._row_numbers_of_table(order)
        rates = checked_rates(learning_rate, -(-len(order) // self._batch_size), self._columns)
        loss = self._engine.train(order, self._windows(order, rates))
        self._count(order)
        self.whole_epochs = loss is not None and not self._engine.stopped
        if loss is None:
            raise NonFinite(self._engine.step)
        self._after_run()
        return loss

    def _windows(self, order, rates, n_epochs=1):
        """The scalars of the steps over the rows `order`, one epoch after the other, in windows, each
        made when it is asked for.
        """
        for begin in range(0, len(rates), WINDOW):
            now, t = rates[begin : begin + WINDOW], self._engine.t
            steps = np.arange(t + 1.0, t + 1.0 + len(now))
            if self._skips:
                skipped = are_skipped(order, self._sample_weight, self._batch_size, n_epochs, begin, len(now))
                steps -= np.cumsum(skipped) - skipped
            if begin:
                self.whole_epochs = False
            yield self._scalars.table(now, steps), self._dropouts.table(now)

    def _after_run(self):
        """Keep what a signal handler raised, and raise it if the run was left for it."""
        self._raised = self._engine.raised or self._raised
        if self._engine.stopped:
            self._raise_pending()

    def _raise_pending(self):
        if self._raised is not None:
            error, self._raised = self._raised, None
            raise error

    def loss_gradient(self, flat, gradient, order):
        """The loss of the rows `order` as one batch at the parameters `flat`, and its gradient written to
        `gradient`.

        Both are vectors of shape (n_parameters,): see `Network.pack`. With batch normalization the statistics
        are the batch's, which may have at most `batch_size` rows.
        """
        self._require("differentiate")
        self._raise_pending()
        n = self._network.n_parameters
        views = self._network.views(checked(flat, "flat", (np.dtype(np.float64),), (n,)))
        blank = self._network.blank(np.float64)
        self._engine.load(list(views.values()), [*blank.means, *blank.variances], None, 0)
        if self._network.normalization == "batch" and len(order) > self._batch_size:
            raise ValueError(
                f"with batch normalization a batch has at most batch_size={self._batch_size} rows, got"
                f" {len(order)}"
            )
        loss = self._engine.differentiate(self._row_numbers_of_table(order))
        self._count(order)
        self._after_run()
        if loss is None:
            raise ValueError("sample_weight must not sum to zero over the rows of a loss")
        gradient = checked(gradient, "gradient", (np.dtype(np.float64),), (n,), writes=True)
        self._engine.store_gradient(list(self._network.views(gradient).values()))
        return loss

    def evaluate(self, rows=None, out=None):
        """The weighted mean loss of the rows numbered `rows` (None: all) without any penalty, and their
        outputs: (loss, outputs).

        As in predictions there is no dropout, and batch normalization uses the running statistics.
        """
        self._require("train", "differentiate")
        rows, out = self._rows_and_out(rows, out)
        loss = self._engine.evaluate(rows, out)
        self._count(rows, trains=False)
        self._after_run()
        if loss is None:
            raise ValueError("sample_weight must not sum to zero over the rows of a loss")
        return loss, out

    def predict(self, rows=None, out=None):
        """Outputs, with the output activation, of the rows numbered `rows` (None: all), shape (n_rows,
        n_outputs).
        """
        self._require("train", "differentiate", "predict")
        rows, out = self._rows_and_out(rows, out)
        if len(rows):
            self._engine.predict(rows, out)
            self._count(rows, trains=False)
            self._after_run()
        return out

    def _rows_and_out(self, rows, out):
        rows = np.arange(self._n_samples) if rows is None else self._row_numbers_of_table(rows)
        shape = (len(rows), self._network.n_outputs)
        return rows, np.empty(shape, self._dtype) if out is None else checked(
            out, "out", (self._dtype,), shape, writes=True
        )

    def _row_numbers_of_table(self, order):
        order = row_numbers(order)
        if not self._are_rows(order, self._n_samples):
            raise IndexError(f"row numbers must be within 0 .. {self._n_samples - 1}, and at least one")
        return order

    def _count(self, order, *, trains=True):
        """Add the rows of the run that has just ended."""
        if self._counts is not None:
            self._operations.add(order[: self._engine.rows_begun], trains=trains)

    def close(self):
        """Join the threads and free the buffers."""
        self._role = "closed"
        if self._counts is not None:
            counts, self._counts = self._counts, None
            counts.append(
                {
                    "n_threads": self._n_threads,
                    "dtype": self._dtype.name,
                    "seconds": self._engine.phase_seconds(),
                    "operations": self._operations.by_phase(),
                }
            )
        if self._n_threads:
            release_threads()
            self._n_threads = 0
        if self._engine is not None:
            self._engine.close()

    __del__ = close

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.close()
        if kind is None:
            self._raise_pending()
