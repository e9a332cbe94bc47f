"""The fit: epochs and their bookkeeping, stopping, divergence, interrupts.

Both fits work on a `Task` and report through `publish`, a function that takes a dict of fitted attributes. It is
called once, when the fit ends in whatever way: what it is given is always the state after a whole epoch (or a whole
iteration of L-BFGS), so an interrupted estimator is a usable one. What fails in setting up, or diverges before there
is a whole epoch, publishes nothing.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.optimize import _check_optimize_result

from nnfast.exceptions import DivergenceError
from nnfast.network import Network
from nnfast.optimizers import OPTIMIZERS
from nnfast.schedules import SCHEDULES

# SciPy 1.15 rewrote L-BFGS-B in C; before it, the Fortran printed through this option, and now there is none.
_LBFGS_PRINTS = tuple(int(part) for part in scipy.__version__.split(".")[:2]) < (1, 15)


@dataclass
class Task:
    """What a fit works on.

    `X` is an ndarray or CSR of shape (n_samples, n_features), `y` class numbers (n_samples,) for "log_loss", else
    (n_samples, n_outputs) in `dtype`, the arithmetic; `sample_weight` None or float64 (n_samples,). `coefs` and
    `intercepts` hold the parameters to start from and, as epochs end, those reached. `stratify` is what the
    validation split is stratified by, and `score(y, sample_weight)` makes its score: see `nnfast.scores`.
    """

    network: Network
    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    dtype: Any
    coefs: list
    intercepts: list
    stratify: np.ndarray | None
    score: Callable


class _Patience:
    """Counts the epochs that brought no progress of at least `tol`, in scikit-learn's arithmetic."""

    __slots__ = ("best", "stalled", "tol")

    def __init__(self, best, stalled, tol):
        self.best, self.stalled, self.tol = best, stalled, tol

    def see_loss(self, loss):
        self.stalled = self.stalled + 1 if loss > self.best - self.tol else 0
        if loss < self.best:
            self.best = loss

    def see_score(self, score):
        """True where the score is the best so far. A NaN neither stalls nor is best."""
        self.stalled = self.stalled + 1 if score < self.best + self.tol else 0
        if score > self.best:
            self.best = score
            return True
        return False


# ---------------------------------------------------------------------------------------------------------------------
# Stochastic solvers


def fit_stochastic(task, parameters, engine, random_state, history, publish, *, one_epoch=False):
    """Train by Adam or SGD until the loss or the validation score stalls, or for `max_iter` epochs.

    Parameters
    ----------
    task : Task
    parameters : estimator
        Read for scikit-learn's hyperparameters.
    engine : module
        See `nnfast.engines`.
    random_state : numpy.random.RandomState
        Draws the validation split and every epoch's order.
    history : dict
        The attributes that earlier calls published and this one goes on with; empty for a fit from scratch.
    publish : function of a dict of attributes
    one_epoch : bool, default=False
        True in `partial_fit`.

    Raises
    ------
    DivergenceError
        If the loss, a gradient or a parameter is not finite, and early stopping has no finite best epoch.
    """
    p = parameters
    rows, held_out = _split(task, p, random_state)
    n_samples = len(rows)
    batch_size = _batch_size(p, n_samples)
    rule, schedule, state = _optimizer(p, history.get("_optimizer") if one_epoch else None)
    learning_rate, max_iter = state["learning_rate"], 1 if one_epoch else p.max_iter
    coefs, intercepts = task.coefs, task.intercepts

    loss_curve = history.get("loss_curve_", [])
    scores = history.get("validation_scores_") or []
    n_losses, n_scores = len(loss_curve), len(scores)
    t = history.get("t_", 0)
    n_stalled = history.get("_no_improvement_count", 0)
    if held_out is None:
        patience = _Patience(_or(history.get("best_loss_"), np.inf), n_stalled, p.tol)
    else:
        patience = _Patience(_or(history.get("best_validation_score_"), -np.inf), n_stalled, p.tol)
        best = [coef.copy() for coef in coefs], [intercept.copy() for intercept in intercepts]
        score = task.score(task.y[held_out], _take(task.sample_weight, held_out))

    # `whole` is what the last whole epoch leaves behind, replaced in one assignment: wherever an interrupt lands, it
    # is one epoch's. `stored` is the same record once the engine's parameters have been written to coefs too.
    whole = stored = {"n_iter_": 0, "t_": t}
    diverged, stopping = None, False

    with engine.Session(
        task.network,
        task.X,
        task.y,
        task.sample_weight,
        dtype=task.dtype,
        batch_size=batch_size,
        optimizer=rule,
        alpha=p.alpha,
        n_threads=p.n_threads,
    ) as session:
        session.load(coefs, intercepts, state["moments"], state["t"])
        try:
            for n_iter in range(1, max_iter + 1):
                if p.shuffle:
                    engine.shuffle(rows, random_state)
                loss = session.epoch(rows, learning_rate)
                t += n_samples
                loss_curve.append(loss)
                if p.verbose:
                    print(f"Iteration {n_iter}, loss = {loss:.8f}")

                if held_out is None:
                    patience.see_loss(loss)
                else:
                    scores.append(score(session.predict(held_out)))
                    if p.verbose:
                        print(f"Validation score: {scores[-1]:f}")
                    if patience.see_score(scores[-1]):
                        session.store(*best)

                learning_rate = schedule.after_epoch(learning_rate, t)
                if patience.stalled > p.n_iter_no_change:
                    next_rate, words = schedule.after_stall(learning_rate)
                    if p.verbose:
                        print(_stall_message(p, held_out is not None), words)
                    if next_rate is None:
                        stopping = True
                    else:
                        learning_rate, patience.stalled = next_rate, 0

                whole = {
                    "n_iter_": n_iter,
                    "t_": t,
                    "loss_": loss,
                    "best": patience.best,
                    "_no_improvement_count": patience.stalled,
                    "learning_rate": learning_rate,
                    "n_steps": session.t,
                }
                session.store(coefs, intercepts)
                stored = whole
                if stopping:
                    break
            if held_out is not None:
                coefs, intercepts = best
        except engine.NonFinite as error:
            diverged = error
            if held_out is not None and patience.best > -np.inf:
                coefs, intercepts = best
        finally:
            if stored is not whole:
                session.store(coefs, intercepts)
            n_iter = whole["n_iter_"]
            del loss_curve[n_losses + n_iter :], scores[n_scores + n_iter :]
            if n_iter or diverged is None:
                best_value = whole.pop("best", patience.best)
                if n_iter:
                    n_steps, state = whole.pop("n_steps"), {**state, "learning_rate": whole.pop("learning_rate")}
                    if diverged is None and session.whole_epochs and session.t == n_steps:
                        state.update(t=n_steps, moments=session.take_moments())
                    else:  # the moments are not of the last whole epoch's end, and restart from zero
                        state.update(t=0, moments=None)
                publish(
                    {
                        **whole,
                        "coefs_": coefs,
                        "intercepts_": intercepts,
                        "loss_curve_": loss_curve,
                        "validation_scores_": None if held_out is None else scores,
                        "best_loss_": best_value if held_out is None else None,
                        "best_validation_score_": None if held_out is None else best_value,
                        "_optimizer": state,
                    }
                )

    if diverged is not None:
        where = f"The loss or a gradient was not finite in epoch {n_iter + 1}, step {diverged.step + 1}."
        if held_out is None or patience.best == -np.inf:
            raise DivergenceError(f"{_NON_FINITE} {where} {_cure(p)}")
        _warn(
            f"{where} Training stopped there, and the parameters of the best epoch, with validation score "
            f"{patience.best:f}, were restored. {_cure(p)}"
        )
    elif not one_epoch and not stopping:
        _warn(
            f"Stochastic Optimizer: Maximum iterations ({max_iter}) reached and the optimization hasn't converged yet."
        )
    _check_finite(coefs, intercepts, f"They overflowed in the last step of epoch {n_iter}. {_cure(p)}")


def _split(task, p, random_state):
    """The rows trained on, in the order of the first epoch before any shuffle; the rows held out, or None."""
    rows = np.arange(task.X.shape[0], dtype=np.intp)
    if not p.early_stopping:
        _check_weights(task.sample_weight, None, "all rows")
        return rows, None
    rows, held_out = train_test_split(
        rows, random_state=random_state, test_size=p.validation_fraction, stratify=task.stratify
    )
    if len(held_out) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset. Got "
            f"validation_fraction={p.validation_fraction} of {task.X.shape[0]} samples."
        )
    _check_weights(task.sample_weight, rows, "the rows trained on")
    _check_weights(task.sample_weight, held_out, "the rows held out for early stopping")
    return rows, held_out


def _check_weights(sample_weight, rows, which):
    if sample_weight is None:
        return
    total = _take(sample_weight, slice(None) if rows is None else rows).sum()
    if not total > 0:
        raise ValueError(f"The sum of sample_weight over {which} must be positive, got {total}.")


def _take(sample_weight, rows):
    return None if sample_weight is None else sample_weight[rows]


def _or(value, default):
    return default if value is None else value


def _batch_size(p, n_samples):
    if p.batch_size == "auto":
        return min(200, n_samples)
    if p.batch_size > n_samples:
        warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return min(p.batch_size, n_samples)


def _optimizer(p, state):
    """The update rule, the schedule, and the plain state that `partial_fit` goes on with: (rule, schedule, state).

    As in scikit-learn, the hyperparameters are those of the call that made the state.
    """
    if state is None:
        adam = p.solver == "adam"
        state = {
            "name": p.solver,
            "hyperparameters": {"beta_1": p.beta_1, "beta_2": p.beta_2, "epsilon": p.epsilon}
            if adam
            else {"momentum": p.momentum, "nesterov": p.nesterovs_momentum},
            "schedule": "constant" if adam else p.learning_rate,
            "learning_rate_init": float(p.learning_rate_init),
            "power_t": p.power_t,
            "learning_rate": float(p.learning_rate_init),
            "t": 0,
            "moments": None,
        }
    rule = OPTIMIZERS[state["name"]](**state["hyperparameters"])
    schedule = SCHEDULES[state["schedule"]](state["learning_rate_init"], state["power_t"])
    return rule, schedule, state


# ---------------------------------------------------------------------------------------------------------------------
# L-BFGS


def fit_lbfgs(task, parameters, engine, publish):
    """Train by SciPy's L-BFGS-B on the loss of the whole table, in float64.

    The parameters are those of `fit_stochastic`.

    Raises
    ------
    DivergenceError
        If the loss or a gradient is not finite at the start, or a parameter at the end.
    """
    p = parameters
    _check_weights(task.sample_weight, None, "all rows")
    n_samples = task.X.shape[0]
    rows = np.arange(n_samples, dtype=np.intp)
    start = task.network.pack(task.coefs, task.intercepts)
    options = {"maxfun": p.max_fun, "maxiter": p.max_iter, "gtol": p.tol}
    if _LBFGS_PRINTS:
        options["iprint"] = 1 if p.verbose is True or p.verbose >= 1 else -1
    n_calls, finished, reached = 0, None, None

    def remember(intermediate_result):
        nonlocal reached
        reached = (0 if reached is None else reached[0]) + 1, intermediate_result

    with engine.Session(
        task.network,
        task.X,
        task.y,
        task.sample_weight,
        dtype=np.float64,
        batch_size=n_samples,
        alpha=p.alpha,
        n_threads=p.n_threads,
    ) as session:

        def loss_gradient(flat):
            nonlocal n_calls
            gradient = np.empty_like(flat)
            loss = session.loss_gradient(flat, gradient, rows)
            # Later calls are trials of the line search, which backs off from a point that is not finite.
            if n_calls == 0 and not (np.isfinite(loss) and np.isfinite(gradient).all()):
                raise DivergenceError(
                    f"{_NON_FINITE} The loss or its gradient is not finite at the initial parameters, in epoch 1, "
                    f"step 1. {_SCALE}"
                )
            n_calls += 1
            return loss, gradient

        try:
            finished = minimize(loss_gradient, start, method="L-BFGS-B", jac=True, options=options, callback=remember)
            n_iter, flat, loss = min(finished.nit, p.max_iter), finished.x, float(finished.fun)
        except KeyboardInterrupt:
            n_calls += 1  # interrupted in the first, too, the estimator gets its initial parameters
            raise
        finally:
            if finished is None:
                n_iter, flat, loss = 0, start, None
                if reached is not None:
                    n_iter, flat, loss = reached[0], reached[1].x, float(reached[1].fun)
            if n_calls:
                coefs, intercepts = task.network.unpack(flat)
                attributes = {"n_iter_": n_iter, "coefs_": coefs, "intercepts_": intercepts, "_optimizer": None}
                publish(attributes if loss is None else {**attributes, "loss_": loss})

    _check_optimize_result("lbfgs", finished, p.max_iter)
    _check_finite(coefs, intercepts, f"They were reached in epoch {n_iter}. {_SCALE}")


# ---------------------------------------------------------------------------------------------------------------------
# What a fit says

_NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
_SCALE = "Scale X, for example with sklearn.preprocessing.StandardScaler."


def _cure(p):
    return f"Lower learning_rate_init, now {p.learning_rate_init}, or scale X, for example with StandardScaler."


def _warn(message):
    # The caller that a user knows is fit or partial_fit, far up a stack of varying depth: no stacklevel is right.
    warnings.warn(message, ConvergenceWarning)


def _stall_message(p, early_stopping):
    what = "Validation score" if early_stopping else "Training loss"
    return f"{what} did not improve more than tol={p.tol:f} for {p.n_iter_no_change} consecutive epochs."


def _check_finite(coefs, intercepts, where):
    if not all(np.isfinite(array).all() for array in (*coefs, *intercepts)):
        raise DivergenceError(f"{_NON_FINITE} {where}")
