"""The state of a fit that callbacks are given to read, and to steer by."""

from dataclasses import replace
from numbers import Real

import numpy as np

from nnfast.layers import LEARNED
from nnfast.regularization import Regularization

__all__ = ["FitState"]


class FitState:
    """Where a fit is: what callbacks are given to read, and to steer by.

    Attributes
    ----------
    epoch : int
        Epochs done (iterations of 'lbfgs'); 0 in `on_fit_begin`.
    max_epochs : int
        Most that there will be.
    loss : float or None
        Training loss of the epoch, penalties included.
    validation_loss, validation_score : float or None
        Of the validation set after the epoch; None without one.
    best : float or None
        Best value so far of what is monitored: without early stopping the training loss, with it the
        validation score, or the validation loss with monitor="loss".
    improved : bool
        Whether this epoch's is the best.
    n_stalled : int
        Epochs in a row without progress of `tol`.
    parameters : nnfast.network.Parameters
        The network's arrays as of this epoch, which are the estimator's. Later epochs have arrays of their
        own, and writing to these changes nothing for them.
    history : dict of ndarray
        `history_` as of this epoch.
    learning_rate : float or None
        Rate of the next update; None for 'lbfgs'. Setting it takes effect with the next epoch: all later
        rates of the schedule are scaled alike.
    rate_goes_on : bool
        Whether the schedule goes on where an earlier fit left it, with the rate that was set there; else it
        began anew.
    clip_norm, clip_value : float or None
        What gradients are clipped to, as of the estimator's parameters. Setting it, to None for no clipping,
        takes effect with the next epoch and lasts until the end of this fit. Not for 'lbfgs'.
    stop_reason : str or None
        Not None once the fit has been asked to stop.
    undone : bool
        In `on_fit_end`: whether the fit failed, and the estimator is as it was before: see
        `nnfast.publishing`.
    """

    def __init__(self, task, p, engine, rows, max_epochs, records, run=None, keep_rate=None):
        self.epoch, self.max_epochs = 0, max_epochs
        self.loss = self.validation_loss = self.validation_score = self.best = self.stop_reason = None
        self.improved, self.n_stalled, self.undone = False, 0, False
        self._kept = None  # of a copy: what properties gave
        self.parameters = task.parameters
        self._task, self._p, self._engine, self._rows, self._records, self._run = (
            task,
            p,
            engine,
            rows,
            records,
            run,
        )
        # a weak reference to what is called once a rate is set: the fit has this state
        self._keep_rate = keep_rate
        self.rate_goes_on = run is not None and run.n_epochs > 0

    def __getstate__(self):
        # A callback that keeps its state still pickles and copies with its estimator: the numbers, not the
        # fit.
        links = ("_task", "_p", "_engine", "_rows", "_records", "_run", "_keep_rate")
        numbers = {name: None if name in links else value for name, value in vars(self).items()}
        names = ("history", "learning_rate", "clip_norm", "clip_value")
        return numbers | {"_kept": {name: getattr(self, name) for name in names}}

    @property
    def history(self):
        return self._kept["history"] if self._kept else self._records.history(self.epoch)

    @property
    def learning_rate(self):
        if self._kept:
            return self._kept["learning_rate"]
        return None if self._run is None else self._run.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self._need_fit("set learning_rate")
        if self._run is None:
            raise AttributeError("solver='lbfgs' has no learning rate to set")
        self._run.learning_rate = value
        if self._keep_rate is not None:
            self._keep_rate()()

    @property
    def clip_norm(self):
        return self._clip("clip_norm")

    @clip_norm.setter
    def clip_norm(self, value):
        self._set_clip("clip_norm", value)

    @property
    def clip_value(self):
        return self._clip("clip_value")

    @clip_value.setter
    def clip_value(self, value):
        self._set_clip("clip_value", value)

    def _clip(self, name):
        return self._kept[name] if self._kept else getattr(self._task.regularization, name)

    def _set_clip(self, name, value):
        self._need_fit(f"set {name}")
        if self._run is None:
            raise AttributeError(f"solver='lbfgs' has no {name} to set")
        if value is not None and not (isinstance(value, Real) and not isinstance(value, bool) and value > 0):
            raise ValueError(f"{name} must be None or a positive number, got {value!r}.")
        if value != self._clip(name):
            self._task.regularization = replace(self._task.regularization, **{name: value})

    def _need_fit(self, what):
        if self._kept:
            raise AttributeError(
                f"cannot {what}: a FitState that was pickled or copied has the numbers, not the fit"
            )

    def stop(self, reason=""):
        """End the fit after this epoch, as if it had converged: with no warning. `reason` is printed if
        `verbose`.
        """
        self.stop_reason = str(reason)

    def weight_norms(self):
        """Euclidean norms of the parameters: dict of float64 arrays, one number a layer.

        The keys are "coefs" and "intercepts", with normalization also "scales" and "shifts".
        """
        return norms(self.parameters)

    def gradients(self):
        """The gradient of the loss over all rows trained on: a `Parameters` of float64 arrays, as
        `parameters` is.

        The loss is the mean over the rows plus the L2 term; dropout and `l1` are left out, and batch
        normalization goes by the statistics of all rows, which takes memory for the whole table's
        activations, and of a table that is read in blocks can be had of one buffer at most. Computing it
        takes a pass forth and back over the table, about the time of an epoch.
        """
        self._need_fit("compute gradients")
        task = self._task
        gradient = np.empty(task.network.n_parameters)
        with task.session(
            self._engine,
            dtype=task.dtype,
            batch_size=len(self._rows),
            regularization=Regularization(alpha=task.regularization.alpha),
            n_threads=self._p.n_threads,
        ) as session:
            session.loss_gradient(task.network.pack(self.parameters), gradient, self._rows)
        return task.network.unpack(gradient).only_learned()

    def gradient_norms(self):
        """Norms of `gradients`, as `weight_norms` gives those of the parameters."""
        return norms(self.gradients())


def norms(parameters):
    """Euclidean norms of the arrays of `Parameters`: see `FitState.weight_norms`."""
    lists = {name: getattr(parameters, name) for _, name in LEARNED.values()}
    return {
        name: np.array([np.linalg.norm(array.astype(np.float64)) for array in arrays])
        for name, arrays in lists.items()
        if arrays
    }


def __dir__():
    return __all__
