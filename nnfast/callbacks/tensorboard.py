"""TensorBoard: curves, norms and histograms of a fit, by tensorboardX."""

import os
import secrets
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from nnfast.callbacks.files import check_path, new_folder
from nnfast.callbacks.protocol import Callback
from nnfast.layers import LEARNED
from nnfast.monitoring import norms

# Seconds until what was written can be seen in TensorBoard.
_FLUSH_SECONDS = 10


def require_tensorboardx():
    """The module tensorboardX; ImportError names the extra that installs it."""
    try:
        import tensorboardX
    except ImportError as error:
        raise ImportError("logs for TensorBoard need tensorboardX: pip install 'nnfast[tune]'") from error
    return tensorboardX


@dataclass
class TensorBoard(Callback):
    """Write what TensorBoard shows of a fit: its curves, the norms of its weights, and histograms.

    ===============================  =========================================================================
    tag                              what, by epoch
    ===============================  =========================================================================
    ``loss``, ``learning_rate``, …   everything that `history_` has
    ``weight_norm/coefs_0``, …       Euclidean norm of every array: coefs, intercepts, and normalization's
                                     scales and shifts, layer by layer
    ``weights/coefs_0``, …           histograms of the same, where `histograms` asks for them
    ``gradient_norm/coefs_0``, …     norms, where `gradients` asks for them
    ``gradients/coefs_0``, …         and histograms of the gradient of the loss over all rows trained on
    ===============================  =========================================================================

    Every fit gets a folder of its own in `logdir`, "MLPClassifier-1", "MLPClassifier-2" and so on, so that
    the fits of a search do not mix; TensorBoard calls it a run. `partial_fit` and a warm start go on in the
    folder of the fit that they go on from, and with its count of epochs: also after the estimator was
    pickled, as long as the callback came before the `Checkpoint` in the list, or else in a folder of their
    own. Files are closed when the fit ends, however it ends.

    Parameters
    ----------
    logdir : str or Path
        As in `tensorboard --logdir`; made where there is none.
    name : str, default=None
        What the folders are called, in place of the estimator's class.
    histograms : int, default=0
        Write histograms of the weights every so many epochs; 0 for none.
    gradients : int, default=0
        Write norms and histograms of the gradient every so many epochs; 0 for none. Each takes about the time
        of an epoch: see `FitState.gradients`.

    Raises
    ------
    ImportError
        At the beginning of a fit, without tensorboardX.
    NotADirectoryError
        At the beginning of a fit, where `logdir` is a file or within one.

    Examples
    --------
    >>> import tempfile
    >>> from nnfast import MLPRegressor
    >>> from nnfast.callbacks import TensorBoard
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
    >>> with tempfile.TemporaryDirectory() as logdir:
    ...     callback = TensorBoard(logdir, histograms=10)
    ...     regr = MLPRegressor(random_state=0, tol=1, callbacks=[callback]).fit(X, y)
    ...     callback.folder.name, len(list(callback.folder.iterdir()))
    ('MLPRegressor-1', 1)
    """

    logdir: str | os.PathLike
    name: str | None = None
    histograms: int = 0
    gradients: int = 0
    folder: Path | None = field(default=None, init=False, repr=False, compare=False)
    _n_epochs: int = field(default=0, init=False, repr=False, compare=False)  # that the folder has
    _n_before: int = field(default=0, init=False, repr=False, compare=False)  # of them, those of earlier fits
    _writer: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self):
        check_path(self.logdir, "logdir of TensorBoard", file=False)
        for name in ("histograms", "gradients"):
            every = getattr(self, name)
            if not (isinstance(every, Integral) and not isinstance(every, bool) and every >= 0):
                raise ValueError(f"{name} of TensorBoard must be a number of epochs, or 0, got {every!r}.")
        if not (
            self.name is None or isinstance(self.name, str) and self.name == os.path.basename(self.name) != ""
        ):
            raise ValueError(f"name of TensorBoard must be None or that of a folder, got {self.name!r}.")

    def __getstate__(self):
        return vars(self) | {"_writer": None}  # an open file: a copy goes on in another file of the folder

    def on_fit_begin(self, estimator, state):
        self._close()
        self._n_before = len(state.history["loss"])
        goes_on = self.folder is not None and 0 < self._n_before == self._n_epochs
        if goes_on:
            # Hides what a process wrote that was killed before it saved the estimator.
            self._open(purge_step=self._n_before + 1)
            return
        require_tensorboardx()  # before there is a folder for it
        try:
            self.folder = new_folder(self.logdir, self.name or type(estimator).__name__)
        except (FileExistsError, NotADirectoryError) as error:
            message = (
                f"logdir of TensorBoard must be a folder, or a path for a new one, got {str(self.logdir)!r}."
            )
            raise NotADirectoryError(message) from error
        self._n_epochs = self._n_before
        self._open()
        # scikit-learn's, which is cut at 700 characters otherwise
        described = estimator.__repr__(N_CHAR_MAX=100_000)
        self._writer.add_text("estimator", f"```\n{described}\n```", self._n_before)

    def on_epoch_end(self, estimator, state):
        step = self._n_epochs = self._n_before + state.epoch
        for name, values in state.history.items():
            self._writer.add_scalar(name, values[-1], step)
        self._write_norms("weight_norm", state.weight_norms(), step)
        if self.histograms and step % self.histograms == 0:
            self._write_histograms("weights", state.parameters, step)
        if self.gradients and step % self.gradients == 0:
            gradients = state.gradients()
            self._write_norms("gradient_norm", norms(gradients), step)
            self._write_histograms("gradients", gradients, step)

    def on_fit_end(self, estimator, state):
        self._close()

    def _open(self, purge_step=None):
        # tensorboardX names a file by the second, and replaces one that is there: calls of partial_fit take
        # less, and copies of an estimator may go on at once. TensorBoard reads files in the order of their
        # names.
        suffix = f".{self._n_before:08d}.{os.getpid()}.{secrets.token_hex(4)}"
        self._writer = require_tensorboardx().SummaryWriter(
            str(self.folder), purge_step=purge_step, flush_secs=_FLUSH_SECONDS, filename_suffix=suffix
        )

    def _close(self):
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _write_norms(self, tag, groups, step):
        for group, values in groups.items():
            for layer, value in enumerate(values):
                self._writer.add_scalar(f"{tag}/{group}_{layer}", value, step)

    def _write_histograms(self, tag, parameters, step):
        for _, group in LEARNED.values():
            for layer, array in enumerate(getattr(parameters, group)):
                if np.isfinite(array).all():  # a histogram has no place for the rest
                    self._writer.add_histogram(f"{tag}/{group}_{layer}", array, step)
