"""The fit by L-BFGS: SciPy's, on the loss of the whole table, in float64."""

from contextlib import ExitStack
from time import perf_counter

import numpy as np
import scipy
from scipy.optimize import minimize
from sklearn.utils.optimize import _check_optimize_result

from nnfast.base_fit import BaseFit
from nnfast.epoch_records import Records
from nnfast.exceptions import DivergenceError
from nnfast.holdout import given_split
from nnfast.monitoring import FitState
from nnfast.reporting import NON_FINITE, SCALE, Silence, reporter

# What an earlier fit by minibatches leaves behind that an estimator fitted by L-BFGS does not have.
_NOT_LBFGS = (
    "loss_curve_",
    "learning_rate_curve_",
    "learning_rate_init_",
    "best_loss_",
    "best_validation_score_",
    "_no_improvement_count",
    "_last_parameters",
)
_VALIDATION_CURVES = ("validation_loss_curve_", "validation_scores_")

# SciPy 1.15 rewrote L-BFGS-B in C; before it, the Fortran printed through this option, and now there is none.
_PRINTS = tuple(int(part) for part in scipy.__version__.split(".")[:2]) < (1, 15)


def fit_lbfgs(task, parameters, engine, publish):
    """Train by SciPy's L-BFGS-B on the loss of the whole table, in float64.

    Callbacks are called after every iteration, and a validation set is measured there; it decides nothing.
    The parameters are those of `fit_stochastic`.

    Raises
    ------
    DivergenceError
        If the loss or a gradient is not finite at the start, or a parameter at the end.
    """
    fit, error = LbfgsFit(task, parameters, engine, publish), None
    with ExitStack() as stack:
        fit.open(stack)
        try:
            fit.callbacks.begin(fit.state)
            fit.minimize()
            fit.finish()
        except BaseException as failure:
            error = failure
        try:
            fit.end(error)
            if error is not None:
                raise error
        finally:
            error = None  # see `nnfast.training.TrainingRun.train`
    fit.conclude()


class LbfgsFit(BaseFit):
    """One fit. `reached` is the last whole iteration, (its number, flat parameters, loss), replaced
    at once.
    """

    def __init__(self, task, p, engine, publish):
        super().__init__(task, p, engine, publish)
        self._use_rows(*given_split(task))
        self.dropped = (*_NOT_LBFGS, *(() if self.validator is not None else _VALIDATION_CURVES))
        self.records = Records({}, ["loss", "seconds"], self.validator is not None)
        self.state = FitState(task, p, engine, self.rows, p.max_iter, self.records)
        self.start = task.network.pack(task.parameters)
        self.reached, self.finished, self.n_calls = (0, self.start, None), None, 0
        self.stop_iteration = None

    def open(self, stack):
        """Open what has to be closed."""
        task, p = self.task, self.p
        session = task.session(
            self.engine,
            dtype=np.float64,
            batch_size=len(self.rows),
            regularization=task.regularization,
            n_threads=p.n_threads,
            counts=task.counts,
        )
        self.session = stack.enter_context(session)
        if self.validator is not None:
            stack.enter_context(self.validator)
        bar = isinstance(p.verbose, str)
        self.reporter = reporter(p.verbose, p.max_iter, type(p).__name__) if bar else Silence()
        stack.callback(self.reporter.close)

    def minimize(self):
        """Run SciPy's loop."""
        p = self.p
        options = {"maxfun": p.max_fun, "maxiter": p.max_iter, "gtol": p.tol}
        if _PRINTS:
            options["iprint"] = (
                1 if not isinstance(p.verbose, str) and (p.verbose is True or p.verbose >= 1) else -1
            )
        self.clock = perf_counter()
        self.callbacks.begin_epoch()
        if self.state.stop_reason is not None:
            return  # the estimator gets its initial parameters
        finished = minimize(
            self._loss_gradient,
            self.start,
            method="L-BFGS-B",
            jac=True,
            options=options,
            callback=self._iterated,
        )
        if self.stop_iteration is not None:
            raise self.stop_iteration
        self.reached = min(finished.nit, p.max_iter), finished.x, float(finished.fun)
        self.finished = finished

    def _loss_gradient(self, flat):
        gradient = np.empty_like(flat)
        loss = self.session.loss_gradient(flat, gradient, self.rows)
        # Later calls are trials of the line search, which backs off from a point that is not finite.
        if self.n_calls == 0 and not (np.isfinite(loss) and np.isfinite(gradient).all()):
            raise DivergenceError(
                f"{NON_FINITE} The loss or its gradient is not finite at the initial parameters, in epoch 1, "
                f"step 1. {SCALE}"
            )
        self.n_calls += 1
        return loss, gradient

    def _iterated(self, intermediate_result):
        """After an iteration: SciPy's callback, which SciPy knows by the name of the argument."""
        try:
            self._watch(intermediate_result)
        except StopIteration as error:  # of the user's code, which SciPy would take for its own
            self.stop_iteration = error
        self.clock = perf_counter()
        if self.state.stop_reason is not None or self.stop_iteration is not None:
            raise StopIteration

    def _watch(self, intermediate_result):
        """Note an iteration, measure it, and let others watch."""
        loss = float(intermediate_result.fun)
        n_iter = self.reached[0] + 1
        row = {"loss": loss, "seconds": perf_counter() - self.clock}
        flat = intermediate_result.x.copy()  # SciPy goes on in the same array
        if self.validator is not None:
            self.session.load(self.task.network.unpack(flat))
            row["validation_loss"], row["validation_score"] = self.validator.measure(self.session)
        self.records.append(row)
        self.reached = n_iter, flat, loss
        self._ask_scorer(n_iter, row)
        self.reporter.epoch(n_iter, loss)
        if self.validator is not None:
            self.reporter.validation(row["validation_score"])
        if self.callbacks:
            self._call_back(n_iter, row)

    def _publish_epoch(self, n_iter, row):
        self._publish(self._attributes())

    def _call_back(self, n_iter, row):
        state = self.state
        self._show(n_iter, row)
        state.improved = state.best is None or row["loss"] < state.best
        state.best = row["loss"] if state.improved else state.best
        self._publish_epoch(n_iter, row)
        self.callbacks.end_epoch(state)
        self.callbacks.begin_epoch()

    def _attributes(self):
        n_iter, flat, loss = self.reached
        recorded = self.records.attributes(n_iter)
        attributes = {
            "n_iter_": n_iter,
            "parameters": self.task.network.unpack(flat),
            "_history": recorded["_history"],
            "_optimizer": None,
        }
        if loss is not None:
            attributes["loss_"] = loss
        if self.validator is not None:
            attributes |= {name: recorded[name] for name in _VALIDATION_CURVES}
        attributes["_recorded"] = {
            name: each for name, each in recorded["_recorded"].items() if name in attributes
        }
        return attributes

    def finish(self):
        """Publish the last whole iteration."""
        attributes = self._attributes()
        if not attributes["parameters"].are_finite():
            raise DivergenceError(f"{NON_FINITE} They were reached in epoch {self.reached[0]}. {SCALE}")
        self._publish(attributes)

    def _publish(self, attributes):
        self.state.parameters = attributes["parameters"]
        self.publish(attributes, dropped=self.dropped)

    def _usable_attributes(self):
        """Those of the last whole iteration; None where there is none, or it is not finite."""
        attributes = self._attributes()
        return attributes if attributes["n_iter_"] > 0 and attributes["parameters"].are_finite() else None

    def _keep_whole(self):
        if (attributes := self._usable_attributes()) is None:
            return False
        self._publish(attributes)
        return True

    def _trained(self):
        attributes = self._usable_attributes()
        return None if attributes is None else self.publish.copy(attributes, dropped=self.dropped)

    def conclude(self):
        """Warn where the fit did not end well."""
        if self.state.stop_reason is None:
            _check_optimize_result("lbfgs", self.finished, self.p.max_iter)
