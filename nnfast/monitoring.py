"""What a fit measures and keeps of every epoch: records, validation, patience, and the state that callbacks
see.
"""

from dataclasses import replace
from functools import partial
from numbers import Real

import numpy as np

from nnfast import blocks, scores
from nnfast.layers import LEARNED
from nnfast.mapped import is_large
from nnfast.regularization import Regularization

__all__ = ["FitState"]


class Patience:
    """Counts the epochs that brought no progress of at least `tol`, in scikit-learn's arithmetic.

    What it sees is the better the higher: a score, or minus a loss. A NaN neither stalls nor is best.

    Attributes
    ----------
    best : float
        The best value so far; -inf where there is none.
    stalled : int
        Epochs in a row without progress.
    moved : bool
        Whether two of the values that it has seen differ.
    """

    def __init__(self, best, stalled, tol):
        self.best, self.stalled, self.tol = best, stalled, tol
        self.moved, self._last = False, None

    def see(self, value):
        """True where the value is the best so far."""
        self.moved = self.moved or self._last not in (None, value)
        self._last = value
        self.stalled = self.stalled + 1 if value < self.best + self.tol else 0
        if value > self.best:
            self.best = value
            return True
        return False


class Records:
    """The numbers of every epoch, over all fits that went on from each other.

    As attributes: curves, which go on from call to call, and `_history`, a dict of lists of one entry an
    epoch, NaN where a fit has none, of which the estimator makes `history_`. Both start anew after 'lbfgs',
    whose iterations are no epochs. The lists grow in place: a call of `partial_fit` takes as long after a
    million others as after one.

    Parameters
    ----------
    history : dict
        The attributes that earlier calls published.
    names : list of str
        What is recorded, validation apart.
    validates : bool
        Whether there is a validation set in this fit.
    """

    _CURVES = {
        "loss": "loss_curve_",
        "learning_rate": "learning_rate_curve_",
        "validation_loss": "validation_loss_curve_",
        "validation_score": "validation_scores_",
    }

    def __init__(self, history, names, validates):
        names = [*names, *(("validation_loss", "validation_score") if validates else ())]
        if not history.get("loss_curve_"):  # nor has the estimator one after 'lbfgs'
            history = {}
        history = with_own_curves(history, only_if_longer=True)
        self._curves = {name: history.get(self._CURVES[name]) or [] for name in names if name in self._CURVES}
        self._n_before = {name: len(curve) for name, curve in self._curves.items()}
        self._n_epochs_before = n_epochs = self._n_before["loss"]
        earlier = history.get("_history", {})
        self._history = {name: earlier.get(name) or [np.nan] * n_epochs for name in (*names, *earlier)}
        self._given_back = None

    def append(self, row):
        """Note an epoch's numbers, a dict."""
        for name, values in self._history.items():
            values.append(float(row.get(name, np.nan)))
        for name, curve in self._curves.items():
            curve.append(row[name])

    def set_score(self, score):
        """Note the score of the last epoch, where it comes later than the rest."""
        self._history["validation_score"][-1] = self._curves["validation_score"][-1] = score

    def _cut(self, n_epochs):
        """Forget all but the first epochs of this fit."""
        for name, curve in self._curves.items():
            del curve[self._n_before[name] + n_epochs :]
        for values in self._history.values():
            del values[self._n_epochs_before + n_epochs :]

    def give_back(self):
        """Leave the lists as they were before this fit, whose numbers `history` has from then on apart from
        them.
        """
        self._given_back = {name: values[self._n_epochs_before :] for name, values in self._history.items()}
        self._cut(0)

    def history(self, n_epochs):
        """history_ with the first epochs of this fit: a dict of float64 arrays."""
        n_before = self._n_epochs_before
        if self._given_back is None:
            return as_arrays(self._history, n_before + n_epochs)
        parts = self._given_back.items()
        return as_arrays({name: self._history[name][:n_before] + values[:n_epochs] for name, values in parts})

    def attributes(self, n_epochs):
        """Curves, None where there is nothing to record, and `_history`, with the first epochs of this fit.

        `_recorded` has the list, or dict of lists, and its length, for each of them that goes on to grow.
        """
        self._cut(n_epochs)  # what a broken epoch left
        curves = {attribute: self._curves.get(name) for name, attribute in self._CURVES.items()}
        recorded = {name: (curve, len(curve)) for name, curve in curves.items() if curve is not None}
        recorded["_history"] = self._history, self._n_epochs_before + n_epochs
        return {**curves, "_history": self._history, "_recorded": recorded}


def as_arrays(history, n_epochs=None):
    """The first epochs of a dict of lists, as float64 arrays."""
    return {name: np.array(values[:n_epochs], dtype=np.float64) for name, values in history.items()}


def with_own_curves(state, *, only_if_longer=False):
    """An estimator's attributes with copies of its curves, which are as long as when they were published.

    With `only_if_longer` those that have not grown since stay the lists that they are.
    """
    own = {name: value for name, value in state.items() if name != "_recorded"}
    for name, (curve, length) in (state.get("_recorded") or {}).items():
        if own.get(name) is not curve:
            continue  # the user's own by now
        if isinstance(curve, dict):
            if not only_if_longer or any(len(values) != length for values in curve.values()):
                own[name] = {key: values[:length] for key, values in curve.items()}
        elif not only_if_longer or len(curve) != length:
            own[name] = curve[:length]
    return own


class Validator:
    """Measures loss and score of the validation set after every epoch. A context manager.

    Parameters
    ----------
    task : Task
    validation : Validation
    p : estimator
    engine : module

    Attributes
    ----------
    scorer : function without arguments, or None
        The score, where it is scikit-learn's to compute, from the published estimator; `measure` gives NaN
        for it then.
    n_rows : int
        Rows of the validation set.
    finite : bool
        Whether all outputs of the last `measure` were finite.
    """

    def __init__(self, task, validation, p, engine):
        X, y, sample_weight, labels = validation.table(task)
        self._task, self._validation, self._engine, self._n_threads = task, validation, engine, p.n_threads
        self._session = self._score = self._scratch = self.scorer = None
        self.n_rows, self.finite = len(y), True
        self._rows = np.arange(self.n_rows, dtype=np.intp) if validation.rows is None else validation.rows
        self._negates_loss = isinstance(p.scoring, str) and p.scoring == "loss"
        if p.scoring is None:
            self._score = task.score(engine, y, sample_weight)
        elif not self._negates_loss:
            network, dtype = task.network, task.parameters.dtype
            self._score = scores.compiled(
                p.scoring, engine, p, labels, y, network.n_outputs, dtype, sample_weight
            )
        if self._score is None and not self._negates_loss:
            if X is None:
                X = blocks.take(task.X, validation.rows) if task.in_blocks else task.X[validation.rows]
            self.scorer = scores.scikit_learns(p.scoring, task.estimator, X, labels, sample_weight)

    def __enter__(self):
        task, given = self._task, self._validation
        if given.rows is None:
            opened = partial(blocks.BlockSession, self._engine) if is_large(given.X) else self._engine.Session
            self._session = opened(
                task.network,
                given.X,
                given.y,
                given.sample_weight,
                dtype=task.dtype,
                batch_size=min(len(self._rows), 512),  # what it reads at once, not what it computes
                n_threads=self._n_threads,
                counts=task.counts,
            )
            # In the arithmetic's dtype, so that nothing is rounded on the way to the other session.
            self._scratch = task.network.blank(task.dtype)
        return self

    def __exit__(self, *error):
        if self._session is not None:
            self._session.close()

    def measure(self, session):
        """(loss, score) of the validation set, by the parameters of the session of the table that is fitted.

        The score is NaN where an output is not finite, and where `scorer` has to be asked for it. None but
        finite outputs can be asked about, which `finite` tells.
        """
        if self._session is not None:
            session.store(self._scratch)
            session = self._session
            session.load(self._scratch)
        loss, outputs = session.evaluate(self._rows)
        self.finite = bool(np.isfinite(outputs).all())
        if not self.finite:
            return loss, np.nan
        if self._negates_loss:
            return loss, -loss
        return loss, np.nan if self._score is None else self._score(outputs)


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
