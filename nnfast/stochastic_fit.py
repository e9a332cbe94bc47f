"""One fit by minibatches: what an epoch does and leaves behind, and how the fit ends."""

from time import perf_counter
from weakref import WeakMethod

import numpy as np

from nnfast.base_fit import BaseFit
from nnfast.continuation import apart, comparable, go_on, go_on_with_values, initial_rate, monitored
from nnfast.criterion import Criterion
from nnfast.epoch_records import Records
from nnfast.exceptions import DivergenceError
from nnfast.holdout import split
from nnfast.monitoring import FitState
from nnfast.parameter_groups import check_param_groups, group_parameters
from nnfast.patience import Patience
from nnfast.publishing import Snapshot
from nnfast.rate_finder import range_test
from nnfast.reporting import NON_FINITE, Silence, cure, reporter, warn
from nnfast.task import batch_size_of

# An engine that can goes on for so long before it comes back to Python, where nobody watches.
AHEAD_SECONDS = 0.02


class Overflowed(Exception):
    """The parameters after a whole epoch are not finite in the dtype that the estimator has them in."""


class StochasticFit(BaseFit):
    """One fit: what it works with is set up here, then come what an epoch does, and how it ends.

    An interrupt can come between any two lines. So what a whole epoch leaves behind is one dict, `whole`,
    replaced in one assignment, and `stored` is the epoch whose parameters `last` holds.
    """

    def __init__(self, task, p, engine, random_state, history, publish, one_epoch):
        super().__init__(task, p, engine, publish)
        self.random_state, self.one_epoch = random_state, one_epoch
        self.max_iter = 1 if one_epoch else p.max_iter
        self._use_rows(*split(task, p, random_state))
        self.batch_size = batch_size_of(p, len(self.rows))
        earlier = history.get("_optimizer")
        rate_init = initial_rate(earlier, p, task.optimizer, one_epoch=one_epoch)
        self.found = None  # a rate that is to be told
        if rate_init is None:
            self.found = rate_init = range_test(
                task, self.rows, self.batch_size, p, engine, random_state
            ).suggestion
        self.seed = task.regularization.draw_seed(random_state)
        steps_per_epoch = -(-len(self.rows) // self.batch_size)
        self.optimizer, self.run, self.continuation = go_on(
            earlier, p, task.optimizer, rate_init, steps_per_epoch, one_epoch=one_epoch
        )
        self.continuation["monitored"] = monitored(task, p)
        check_param_groups(task.param_groups, self.optimizer, task.network.learned)
        self.groups = group_parameters(self.optimizer, task.network.learned, task.param_groups)
        self.values = go_on_with_values(earlier, p, task.schedules, self.run, one_epoch=one_epoch)

        self.records = Records(history, ["loss", "learning_rate", "seconds"], self.validator is not None)
        self.t, self.best_score = history.get("t_", 0), -np.inf
        if comparable(earlier, self.continuation["monitored"]):
            self.patience = Patience(earlier["best"], history.get("_no_improvement_count", 0), p.tol)
        else:
            self.patience = Patience(-np.inf, 0, p.tol)
            self.run.measure_anew()
        self.criterion = Criterion(p)
        self.keeps_best = self.criterion.early_stopping and p.restore_best
        self.last, self.best = (Snapshot(task.network, task.parameters) for _ in range(2))
        self.best_epoch = 0
        self.state = FitState(
            task, p, engine, self.rows, self.max_iter, self.records, self.run, WeakMethod(self._keep_rate)
        )
        self.stalled_out, self.warning, self.remark = False, None, None
        self.reporter, self.seconds = Silence(), 0.0  # those of an epoch
        # What the engine goes on with: parameters in the arithmetic's dtype or of the task, moments, and
        # steps done.
        self.reached = task.parameters, self.continuation["moments"], self.continuation["t"]
        self.stored = 0
        self._complete(0)

    # --------------------------------------------------------------------------------------------------------
    # The way of a fit

    def open(self, stack):
        """Open what has to be closed: the engine's sessions, and a progress bar."""
        self.stack = stack
        self._hold_rows(self.task.table.expanded(self.rows))
        self._open_session()
        if self.validator is not None:
            stack.enter_context(self.validator)
        if self.whole["n_iter"] == 0:
            self.reporter = reporter(self.p.verbose, self.max_iter, type(self.p).__name__)
            if self.found is not None:
                self.reporter.remark(
                    f"The learning-rate range test found learning_rate_init = {self.found:g}"
                )
                self.found = None

    def _open_session(self):
        task, p = self.task, self.p
        session = task.session(
            self.engine,
            dtype=task.dtype,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            regularization=task.regularization,
            groups=self.groups,
            columns=task.schedules,
            seed=self.seed,
            n_threads=p.n_threads,
            bfloat16=p.precision == "bfloat16",
            counts=task.counts,
        )
        self.stack.enter_context(session)
        session.load(*self.reached)
        self.session, self.regularization = session, task.regularization

    def _keep_reached(self):
        """Take over what the engine has reached, which ends its session."""
        kept = self.task.network.blank(self.task.dtype)  # in which nothing is rounded
        self.session.store(kept)
        t, moments = self.session.t, self.session.take_moments()
        self.reached = kept, moments, t

    def _hold_rows(self, rows):
        self.rows = self.state._rows = rows

    def _change_regularization(self):
        """Go on in another session, since a session's memory is laid out for what it regularizes."""
        self._keep_reached()
        self.session.__exit__(None, None, None)  # raises what a signal handler raised as the epoch ended
        self._open_session()

    def begin(self):
        """Tell the callbacks that a fit begins."""
        self.callbacks.begin(self.state)

    @property
    def over(self):
        """Whether there is no further epoch."""
        return self.stops or self.whole["n_iter"] == self.max_iter

    @property
    def stops(self):
        """Whether the fit ends for another reason than `max_iter`."""
        return self.stalled_out or self.state.stop_reason is not None

    def go_on(self, until=None, *, watched=False):
        """Train the next epoch, or as many as the engine can do in one call: up to `until`, if nobody watches
        each.
        """
        n = 1 if watched else self._n_ahead(until)
        if n > 1:
            self._several_epochs(n)
        else:
            self._epoch(self.whole["n_iter"] + 1)

    def _n_ahead(self, until):
        """How many epochs there are, from the next one on, after which there is nothing to decide, the last
        one apart.
        """
        alone = (
            self.validator is None
            and not self.callbacks
            and type(self.reporter) is Silence
            and not self.run.schedule.reacts
        )
        if not (alone and self.session.several_epochs and self.seconds):
            return 1
        left = (self.max_iter if until is None else until) - self.whole["n_iter"]
        before_stall = self.p.n_iter_no_change + 1 - self.patience.stalled
        return int(min(left, before_stall, AHEAD_SECONDS / self.seconds))

    def _several_epochs(self, n):
        """Train epochs in one call of the engine, then do what comes after each."""
        start, n_rows, error = perf_counter(), len(self.rows), None
        orders = np.empty((n, n_rows), np.intp)
        for order in orders:
            if self.p.shuffle:
                self.task.table.shuffle(self.rows, self.engine, self.random_state)
            order[:] = self.task.table.numbers(self.rows)
        rates = self.run.rates_ahead(n, self.t, n_rows)
        columns = self.values.ahead(rates, self.t, n_rows)
        try:
            losses = self.session.epochs(orders, columns)
        except self.engine.NonFinite as non_finite:
            losses, error = non_finite.losses, non_finite
        self.seconds = (perf_counter() - start) / n
        for i, (loss, rate) in enumerate(zip(losses, rates[:, -1], strict=False)):
            self.t += n_rows
            row = {"loss": float(loss), "learning_rate": float(rate), "seconds": self.seconds}
            self.records.append(row)
            self._watch(self.whole["n_iter"] + i + 1, row)
        if len(losses):
            self._complete(self.whole["n_iter"] + len(losses), loss=row["loss"], n_steps=self.session.t)
        if error is not None:
            raise error

    def _epoch(self, n_iter):
        """Train an epoch, measure it, steer by it, and let others watch."""
        if self.task.regularization is not self.regularization:
            self._change_regularization()
        self.callbacks.begin_epoch()
        row = self._train(n_iter)
        if self.validator is not None:
            self._ask_scorer(n_iter, row)
            self.reporter.validation(row["validation_score"])
        improved = self._watch(n_iter, row)
        self._complete(n_iter, loss=row["loss"], n_steps=self.session.t)
        if self.callbacks:
            self._call_back(n_iter, row, improved)

    def pause(self):
        """Keep what the engine has reached, for the next `open`, and publish it."""
        self.publish_reached()
        self._keep_reached()
        # many fits may wait, each with an order of its own
        self._hold_rows(self.task.table.compact(self.rows))

    @property
    def has_best(self):
        """Whether there is a best epoch to go back to."""
        return self.keeps_best and self.patience.best > -np.inf

    def publish_reached(self):
        """Publish the last whole epoch or, where early stopping keeps it, the best one, as if the fit ended
        here.
        """
        self._publish(self.best if self.has_best else self.last)

    def finish(self):
        """Publish what a fit that has come to its end leaves behind: the best epoch, where early stopping
        keeps it.
        """
        if not self.whole["n_iter"]:  # stopped before the first
            self._publish(self.last, self.continuation["t"], self.continuation["moments"])
            return
        self.remark = self.criterion.remark(
            self.patience, self.whole["n_iter"], self.validator, self.stalled_out
        )
        goes_back = self.has_best and self.best_epoch != self.whole["n_iter"]
        keeps_last = goes_back and self.last.parameters.are_finite()
        continues_from = self.last if keeps_last else None
        self._publish(self.best if goes_back else self.last, *self._moments(), continues_from=continues_from)

    def _moments(self):
        """(t, moments) of the optimizer, if they are those of the last whole epoch's end: others restart from
        zero.
        """
        session = self.session
        if session.whole_epochs and session.t == self.whole["n_steps"]:
            return session.t, session.take_moments()
        return 0, None

    def diverge(self, failure):
        """Go back to a finite best epoch, for a warning; or else return the error to raise."""
        if isinstance(failure, Overflowed):
            where = str(failure)
        else:
            epoch, step = self.whole["n_iter"] + 1, failure.step + 1
            where = f"The loss or a gradient was not finite in epoch {epoch}, step {step}."
        if not (self.has_best and self._trains_on(self.best.parameters)):
            return DivergenceError(f"{NON_FINITE} {where} {self._cure()}")
        name, best = self.criterion.name.lower(), self.criterion.in_own_sign(self.patience.best)
        self.warning = (
            f"{where} Training stopped there, and the parameters of the best epoch, with {name} {best:f}, "
            f"were restored. {self._cure()}"
        )
        self._publish(self.best)
        return None

    def _trains_on(self, parameters):
        """Whether the parameters are finite, and their loss on the rows trained on is: outputs on others may
        be.
        """
        if not parameters.are_finite():
            return False
        rows = np.sort(self.task.table.numbers(self.rows))
        self.session.load(parameters)
        return bool(np.isfinite(self.session.evaluate(rows)[0]))

    def _keep_whole(self):
        if self._holds_last():
            self._publish(self.last, *self._moments())
            return True
        return False

    def _holds_last(self):
        """Have `last` hold the last whole epoch. Returns whether there is one, and it is finite."""
        if self.stored != self.whole["n_iter"]:
            self.last.take(self.session)
        return self.whole["n_iter"] > 0 and self.last.parameters.are_finite()

    def _trained(self):
        """An estimator as of the last finite epoch: the last whole one or, if that overflowed, the one
        published last; else None.
        """
        if self._holds_last():
            return self.publish.copy(self._attributes(self.last))
        return self.publish.published()

    def conclude(self):
        """Say how a fit without an error ended."""
        if self.remark is not None:
            warn(self.remark)
        if self.warning is not None:
            warn(self.warning)
        elif not (self.one_epoch or self.stops or self.run.schedule.plans_end):
            warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                "hasn't converged yet."
            )

    # --------------------------------------------------------------------------------------------------------
    # The parts of an epoch

    def _train(self, n_iter):
        """Train and measure; the epoch's numbers as a dict, which is also recorded."""
        start, rates = perf_counter(), self.run.rates()
        if self.p.shuffle:
            self.task.table.shuffle(self.rows, self.engine, self.random_state)
        loss = self.session.epoch(self.rows, self.values.beside(rates))
        self.t += len(self.rows)
        self.reporter.epoch(n_iter, loss)
        row = {"loss": loss, "learning_rate": float(rates[-1])}
        if self.validator is not None:
            row["validation_loss"], row["validation_score"] = self.validator.measure(self.session)
        row["seconds"] = self.seconds = perf_counter() - start
        self.records.append(row)
        return row

    def _publish_epoch(self, n_iter, row):
        self._complete(n_iter, loss=row["loss"], n_steps=self.session.t)
        self._publish(self.last)

    def _watch(self, n_iter, row):
        """Judge the epoch, keep it if it is the best, and have the schedule react. Returns whether it is the
        best.
        """
        p, value = self.p, self.criterion.value(row, self.validator)
        if self.validator is not None and row["validation_score"] > self.best_score:
            self.best_score = row["validation_score"]
        improved = self.patience.see(value)
        if improved and self.keeps_best:
            self.best.take(self.session)
            self.best_epoch = n_iter

        self.run.after_epoch(self.t, -value)
        self.values.after_epoch(self.t)
        if self.patience.stalled > p.n_iter_no_change:
            goes_on, words = self.run.after_stall()
            self.reporter.remark(
                f"{self.criterion.name} did not improve more than tol={p.tol:f} for {p.n_iter_no_change} "
                "consecutive epochs.",
                words,
            )
            if goes_on:
                self.patience.stalled = 0
            else:
                self.stalled_out = True
        return improved

    def _complete(self, n_iter, **more):
        """Note that an epoch is whole, and have its parameters written to the task's arrays."""
        self.whole = {
            "n_iter": n_iter,
            "t": self.t,
            "best": self.patience.best,
            "best_score": self.best_score,
            "n_stalled": self.patience.stalled,
            "schedule": self.run.state,
            "scheduled": self.values.state,
            **more,
        }
        if self.stored != n_iter:
            self.last.take(self.session)
            self.stored = n_iter

    def _call_back(self, n_iter, row, improved):
        """Publish the epoch for the callbacks, and do as they say."""
        self._show(n_iter, row)
        state = self.state
        state.improved, state.n_stalled = improved, self.patience.stalled
        state.best = self.criterion.in_own_sign(self.patience.best)
        self._publish(self.last)
        self.callbacks.end_epoch(state)
        if state.stop_reason is not None:
            self.reporter.remark("Stopped by a callback" + f": {state.stop_reason}" * bool(state.stop_reason))

    def _keep_rate(self):
        """Have the last whole epoch be one with the rate that a callback has set, whatever the next callback
        does.
        """
        self.whole = {**self.whole, "schedule": self.run.state}
        if self.state.epoch:
            self._publish(self.last)

    # --------------------------------------------------------------------------------------------------------
    # In words and attributes

    def _publish(self, snapshot, t=0, moments=None, *, continues_from=None):
        """Publish the last whole epoch with the parameters of a snapshot.

        Raises
        ------
        Overflowed
            If they are not finite; nothing is published then.
        """
        if not snapshot.parameters.are_finite():
            raise Overflowed(f"They overflowed in the last step of epoch {self.whole['n_iter']}.")
        attributes = self._attributes(snapshot, t, moments, continues_from)
        self.state.parameters = attributes["parameters"]
        self.publish(attributes)

    def _attributes(self, snapshot, t=0, moments=None, continues_from=None):
        """The fitted attributes as of the last whole epoch."""
        whole, early_stopping = self.whole, self.criterion.early_stopping
        attributes = {
            "n_iter_": whole["n_iter"],
            "t_": whole["t"],
            "learning_rate_init_": self.run.learning_rate_init,
            "parameters": snapshot.give(),
            "_last_parameters": None
            if continues_from is None
            else apart(snapshot.give(), continues_from.give()),
            **self.records.attributes(whole["n_iter"]),
            "best_loss_": None if early_stopping else -whole["best"],
            "best_validation_score_": None if self.validator is None else whole["best_score"],
            "_optimizer": {
                **self.continuation,
                "best": whole["best"],
                "schedule": whole["schedule"],
                "scheduled": whole["scheduled"],
                "t": t,
                "moments": moments,
            },
        }
        if whole["n_iter"]:
            attributes |= {"loss_": whole["loss"], "_no_improvement_count": whole["n_stalled"]}
        return attributes

    def _cure(self):
        return cure(self.p, self.run.learning_rate_init)
