"""The fit of an ensemble: rounds of members, side by side, and the weights of what they predict out
of fold.
"""

import threading
import time

import numpy as np

from nnfast.jobs import Jobs
from nnfast.tabular.blending import blend_weights
from nnfast.tabular.budget import Budget, TrainedMember
from nnfast.tabular.encoding import Encoders, shared_encoders, supervised_encoders
from nnfast.tabular.ensemble import Ensemble, Member, Round
from nnfast.tabular.networks import seconds_of_epoch, train_network
from nnfast.tabular.relevance import ENOUGH_ROWS, relevance_factors
from nnfast.tabular.trees import TreeRound, fit_trees


class EnsembleFit:
    """Fits an ensemble.

    Parameters
    ----------
    table : TypedTable
        All rows, those of a validation set of its own last.
    n_trained : int
        The rows before these.
    task : Task
    weights : ndarray or None
    folds_of : callable(round, n_folds) -> list of Fold
    recipes : list of (Recipe, int)
        The recipe and the number of folds of each round.
    pace : AsPlanned
        See `nnfast.tabular.budget`.
    seed : int
    n_jobs : int
    limits : nnfast.jobs.Limits
    reporter
        See `nnfast.tabular.progress`.

    Attributes
    ----------
    budget : Budget
        What has been trained.
    rounds : list of Round or TreeRound
        What has been trained.
    folds : list of list of Fold
        The fold of each member of each round.
    out_of_fold : list of ndarray
        Of each round, the mean of what its members predict for the rows that validate them; NaN elsewhere.
    """

    def __init__(
        self, table, n_trained, task, weights, folds_of, recipes, pace, seed, n_jobs, limits, reporter
    ):
        self._table, self._n_trained, self._task, self._weights = table, n_trained, task, weights
        self._folds_of, self._recipes, self._pace = folds_of, recipes, pace
        self._seed, self._n_jobs, self._limits, self._reporter = seed, n_jobs, limits, reporter
        self._lock, self._shared = threading.Lock(), (None, None, None)
        self.budget, self.rounds, self.folds, self.out_of_fold = Budget(), [], [], []
        self._constants = np.full((len(table), task.n_outputs), np.nan)

    def run(self, trees):
        """Train; returns the `Ensemble`, or None if the fit was interrupted before anything was trained.

        Parameters
        ----------
        trees : bool
            Whether to begin with boosted trees.
        """
        try:
            self._train(trees)
        except KeyboardInterrupt:
            self._limits.interrupt()
        if self.rounds:
            return self._blended()
        if self._limits.interrupted:
            return None
        return Ensemble([], self._constant(), 1.0)  # nothing can be learned, or all members diverged

    # --------------------------------------------------------------------------------------------------------

    def _train(self, trees):
        if not self._recipes:
            return
        if trees:
            self._train_trees(self._folds_of(0, self._recipes[0][1]))
        number = 0
        while self._pace.goes_on(number, len(self._recipes)) and not self._limits.over:
            recipe, n_folds = self._recipes[number % len(self._recipes)]
            if folds := self._folds_of(number, n_folds):
                self._train_round(number, recipe, folds)
            number += 1

    def _constant(self):
        rows = np.arange(self._n_trained)
        return self._task.constant(rows, _of(self._weights, rows))

    def _train_round(self, number, recipe, folds):
        key = recipe.encoding
        if self._shared[0] != key:
            self._shared = None, None, None  # or both tables would be in memory
            encoders = Encoders(shared_encoders(recipe)).fit(self._table)
            self._shared = key, encoders, encoders.encode(self._table)
        _, encoders, inputs = self._shared
        fitted, trained, predicted = Round(recipe, encoders), {}, {}
        if number == 0 and self._pace.needs_probe:
            # Inputs that use the targets are not there yet; where there are no others, an epoch takes little.
            given = (
                recipe,
                self._task,
                inputs,
                np.ones(inputs.shape[1], dtype=np.float32),
                folds[0],
                self._weights,
            )
            probed = seconds_of_epoch(*given, interrupted=self._limits.interrupt) if inputs.shape[1] else 0.0
            self._pace.probed(probed)
        self._pace.begin_round(len(folds), min(self._n_jobs, len(folds)))

        def train(k):
            start = time.monotonic()
            max_epochs = self._pace.epochs(number, k, recipe.max_epochs)
            if max_epochs == 0:
                return
            result = self._train_member(number, k, recipe, folds[k], inputs, encoders.sources, max_epochs)
            if result is not None:
                trained[k], predicted[k] = result
                n_epochs = len(trained[k].curves.loss)
                self._pace.ended(n_epochs, time.monotonic() - start)
                with self._lock:
                    self.budget.members.append(TrainedMember(number, k, max_epochs, n_epochs))

        Jobs(self._n_jobs, self._limits).run(
            train, range(len(folds)), lambda k: self._reporter.member(number, k, trained.get(k))
        )
        if trained:
            fitted.members = [trained[k] for k in sorted(trained)]
            self.rounds.append(fitted)
            self._note_out_of_fold(folds, predicted)

    def _train_member(self, number, k, recipe, fold, inputs, shared_sources, max_epochs):
        """The `Member` and its outputs for the rows that validate it, or None if it has not ended
        an epoch.
        """
        task, table, seed = self._task, self._table, self._member_seed(number, k)
        encoders, targets = Encoders(supervised_encoders(recipe, seed)), task.encoding_targets(fold.train)
        own = encoders.fit_encode(
            table.take(fold.train), targets, _of(self._weights, fold.train), fold.groups
        )
        n_shared = inputs.shape[1]
        X = np.empty((len(table), n_shared + own.shape[1]), dtype=np.float32)
        X[:, :n_shared] = inputs
        X[fold.train, n_shared:] = own
        X[fold.validation, n_shared:] = encoders.encode(table.take(fold.validation))
        few = slice(None, None, -(-len(fold.train) // ENOUGH_ROWS))
        sources = np.concatenate([shared_sources, encoders.sources])
        factors = relevance_factors(X, targets[few], sources, recipe.relevance, fold.train[few])
        X *= factors
        if not X.shape[1]:
            return None
        recorded = self._pace.stops(number, k)

        def pause(n_epochs):
            self._reporter.epoch(number, k, n_epochs, max_epochs)
            return self._limits.over or (n_epochs == recorded if recorded else self._pace.over())

        network, curves = train_network(
            recipe,
            task,
            X,
            factors,
            fold,
            self._weights,
            seed=seed,
            max_epochs=max_epochs,
            pause=pause,
            interrupted=self._limits.interrupt,
        )
        if network is None:
            return None
        if len(curves.loss) == max_epochs:  # after which `pause` is not asked
            self._reporter.epoch(number, k, max_epochs, max_epochs)
        member = Member(encoders, network, task.readout(fold.train), curves)
        return member, member.readout.outputs(network, X[fold.validation] / factors)

    def _member_seed(self, number, k):
        return int(np.random.SeedSequence([self._seed, number, k]).generate_state(1)[0] >> 1)

    def _train_trees(self, folds):
        # of validation rows of their own there is one
        folds = list({id(each): each for each in folds}.values())
        trained, predicted = {}, {}
        n_threads = max(1, self._n_jobs // max(1, len(folds)))

        def train(k):
            if self._pace.fits_trees(k):
                trained[k] = fit_trees(
                    self._table, self._task, folds[k], self._weights, self._seed, n_threads
                )
                predicted[k] = TreeRound([trained[k]]).outputs(self._table.take(folds[k].validation))

        Jobs(self._n_jobs, self._limits).run(train, range(len(folds)), lambda k: None)
        if trained:
            self.budget.trees = sorted(trained)
            self.rounds.append(TreeRound([trained[k] for k in sorted(trained)]))
            self._note_out_of_fold(folds, predicted)

    def _note_out_of_fold(self, folds, predicted):
        """Keep the folds of members, and the means of what they predict: the same whichever member ended
        first.
        """
        totals, counts = np.zeros((len(self._table), self._task.n_outputs)), np.zeros((len(self._table), 1))
        for k in sorted(predicted):
            totals[folds[k].validation] += predicted[k]
            counts[folds[k].validation] += 1
        self.folds.append([folds[k] for k in sorted(predicted)])
        self.out_of_fold.append(np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0))

    def _blended(self):
        """The ensemble, weighted by what its rounds and a constant predict out of fold."""
        task, constants = self._task, self._constants
        for fold in self.folds[0]:
            constants[fold.validation] = task.constant(fold.train, _of(self._weights, fold.train))
        groups = self._groups()
        candidates = [*(self._mean_out_of_fold(group) for group in groups), constants]
        rows = np.flatnonzero(np.all([np.isfinite(each).all(axis=1) for each in candidates], axis=0))
        weights = _of(self._weights, rows)
        if len(rows) and (weights is None or weights.sum() > 0):
            found = blend_weights(
                [each[rows] for each in candidates],
                lambda outputs: float(np.average(task.losses(outputs, rows), weights=weights)),
            )
        else:  # no row has been predicted by all of them
            found = np.append(np.full(len(groups), 1 / len(groups)), 0.0)
        for group, weight in zip(groups, found, strict=False):
            n_members = sum(len(each.members) for each in group)
            for each in group:
                each.weight = float(weight * len(each.members) / n_members)
        return Ensemble(self.rounds, self._constant(), float(found[-1]))

    def _groups(self):
        """The rounds in lists: those of one recipe count as one, since the last of them may lack folds."""
        groups = {}
        for each in self.rounds:
            groups.setdefault(getattr(each, "recipe", None), []).append(each)
        return list(groups.values())

    def _mean_out_of_fold(self, group):
        """The mean of what the members of some rounds predict out of fold; NaN where none does."""
        outputs = [
            out
            for each, out in zip(self.rounds, self.out_of_fold, strict=True)
            if any(each is one for one in group)
        ]
        there = np.array([np.isfinite(out).all(axis=1) for out in outputs])
        total = sum(
            np.where(is_there[:, np.newaxis], out, 0.0) for is_there, out in zip(there, outputs, strict=True)
        )
        counts = there.sum(axis=0)
        return np.where(counts[:, np.newaxis] > 0, total / np.maximum(counts, 1)[:, np.newaxis], np.nan)

    def blended_out_of_fold(self, ensemble):
        """What the ensemble predicts out of fold; NaN for rows that no member was validated on."""
        if not self.rounds:
            return np.tile(ensemble.constant, (len(self._table), 1))
        total = ensemble.constant_weight * self._constants
        for group in self._groups():
            if weight := sum(each.weight for each in group):
                total = total + weight * self._mean_out_of_fold(group)
        return total


def _of(weights, rows):
    return None if weights is None else weights[rows]
