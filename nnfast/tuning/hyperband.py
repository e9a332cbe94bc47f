"""Hyperband: many candidates for few epochs, the better ones for more; survivors go on where they stopped."""

import itertools
import math
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import Interval

from nnfast.base import BaseMLP, joined_signature
from nnfast.fitting import training_run
from nnfast.profile import profiled
from nnfast.schedules import resolve_schedule
from nnfast.solvers import solver_of
from nnfast.tuning.networks import network_of
from nnfast.tuning.search import AT_LEAST_ONE, BaseSearch, check_is_network, documented
from nnfast.tuning.spaces import Space


def brackets(max_epochs, eta):
    """The brackets of Hyperband, each a list of rounds (candidates, epochs), the boldest bracket first.

    With s from the integer part of log_eta(R) down to 0, of R = max_epochs, a bracket begins with
    ceil((s_max + 1) / (s + 1) * eta^s) candidates for R / eta^s epochs; a round keeps one in eta, for eta
    times the epochs.

    Examples
    --------
    >>> for bracket in brackets(9, 3):
    ...     print(bracket)
    [(9, 1), (3, 3), (1, 9)]
    [(5, 3), (1, 9)]
    [(3, 9)]
    """
    s_max = 0
    while eta ** (s_max + 1) <= max_epochs:
        s_max += 1
    planned = []
    for s in range(s_max, -1, -1):
        n = math.ceil((s_max + 1) / (s + 1) * eta**s)
        planned.append([(n // eta**i, max(1, round(max_epochs / eta ** (s - i)))) for i in range(s + 1)])
    return planned


@documented
class HyperbandSearchCV(BaseSearch):
    """Search by brackets of successive halving over epochs.

    A bracket draws candidates at random, trains all of them for a few epochs, keeps the best one in `eta`,
    trains these to `eta` times the epochs, and so on to `max_epochs`. Brackets differ in how few epochs they
    judge by first. Those that survive go on: with the optimizer's moments, the schedule, the order of rows
    and dropout where they were, so that what is scored is to the bit the network that was trained so far by
    itself. A candidate's schedule is planned for `max_epochs`.

    {ends}

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor, or a Pipeline that ends with one
        With a stochastic solver. Its `max_iter` is not used.

    space : dict
        The scale of every parameter: see `nnfast.tuning.scales`. A list is a choice.

    max_epochs : int, default=81
        The most that a candidate is trained.

    eta : int, default=3
        One candidate in so many goes on.

    n_iterations : int or None, default=1
        How often to go through all brackets. None, with a `time_budget`: until the time is over.

    {parameters}

    Attributes
    ----------
    {attributes}
        "bracket" is the number of the bracket, from 0. The parameters of a trial have `max_iter`, the epochs
        it was allowed in the last of its rounds; or `max_epochs`, where the schedule plans for an end.
        `best_estimator_` was trained as long as its trial.

    References
    ----------
    Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, Hyperband: A Novel Bandit-Based Approach to
    Hyperparameter Optimization, 2018, arXiv:1603.06560.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nnfast import MLPClassifier
    >>> from nnfast.tuning import HyperbandSearchCV, log_uniform
    >>> X, y = load_iris(return_X_y=True)
    >>> space = {"learning_rate_init": log_uniform(1e-5, 1)}
    >>> search = HyperbandSearchCV(
    ...     MLPClassifier(batch_size=16), space, max_epochs=9, cv=3, random_state=0
    ... ).fit(X, y)
    >>> bool(search.best_score_ > 0.9)
    True
    >>> search.cv_results_["n_epochs"].tolist()
    [9, 1, 1, 3, 3, 1, 1, 1, 1, 3, 3, 9, 3, 3, 9, 9, 9]
    """

    _parameter_constraints: dict = {
        **BaseSearch._parameter_constraints,
        "max_epochs": [AT_LEAST_ONE],
        "eta": [Interval(Integral, 2, None, closed="left")],
        "n_iterations": [AT_LEAST_ONE, None],
    }

    def __init__(self, *args, max_epochs=81, eta=3, n_iterations=1, **shared):
        super().__init__(*args, **shared)
        self.max_epochs = max_epochs
        self.eta = eta
        self.n_iterations = n_iterations

    __init__.__signature__ = joined_signature(__init__, BaseSearch)
    _numbered_by = ("bracket",)

    def _check(self):
        check_is_network(self)
        self._check_space()
        if self.n_iterations is None and self.time_budget is None:
            raise ValueError(
                "n_iterations=None needs a time_budget, or there is no end; got time_budget=None."
            )

    def _check_space(self):
        """Raise ValueError where candidates would not train by epochs, or not for as many as a round has."""
        space, prefix = Space(self.space), network_of(self.estimator)[1]
        if f"{prefix}max_iter" in space:
            raise ValueError(
                f"{prefix}max_iter must not be in the space of HyperbandSearchCV, which sets it to the "
                f"epochs of a round, at most max_epochs={self.max_epochs}; got "
                f"{space[f'{prefix}max_iter']!r}."
            )
        axes = space.axes
        for value in _choices(axes, f"{prefix}solver"):
            if not solver_of(value).minibatches:
                raise ValueError(
                    f"{prefix}solver of the space must be stochastic solvers, which train by epochs, got "
                    f"{value!r}. CoarseToFineSearchCV takes it."
                )
        for value in _choices(axes, prefix[:-2]):
            if not isinstance(value, BaseMLP) or not solver_of(value.solver).minibatches:
                raise ValueError(
                    f"{prefix[:-2]} of the space must be networks that train by epochs, got {value!r}."
                )

    def _n_trials_planned(self):
        if self.n_iterations is None:
            return None
        return self.n_iterations * sum(rounds[0][0] for rounds in brackets(self.max_epochs, self.eta))

    def _search(self, run):
        planned, max_iter = brackets(self.max_epochs, self.eta), f"{network_of(run.estimator)[1]}max_iter"
        for iteration in itertools.count() if self.n_iterations is None else range(self.n_iterations):
            for number, rounds in enumerate(planned):
                candidates = [run.space.sample(run.random_state) for _ in range(rounds[0][0])]
                more = {"bracket": iteration * len(planned) + number}
                trials = [run.begin({**params, max_iter: self.max_epochs}, **more) for params in candidates]
                self._halve(run, trials, rounds, max_iter)
                if run.over:
                    return

    def _halve(self, run, trials, rounds, max_iter):
        """Train the trials of a bracket, fewer and fewer."""
        for i, (_, n_epochs) in enumerate(rounds):
            n_kept, done = rounds[i + 1][0] if i + 1 < len(rounds) else 0, []

            def drop(trial, n_epochs=n_epochs, n_kept=n_kept, done=done):
                # As soon as there are enough better ones: so no more networks wait than will go on.
                if trial.status != "failed":  # of which nothing may be plain, not even its schedule
                    trial.params = {**trial.params, max_iter: self._planned(run, trial, n_epochs)}
                done.append(trial)
                kept = run.best(n_kept, done)
                for each in [each for each in done if each not in kept]:
                    done.remove(each)
                    if np.isnan(each.ended):
                        run.finish(each, "pruned" if n_kept else "complete")

            run.train(trials, n_epochs, then=drop)
            trials = [] if run.over else done
            trials = [
                trial for trial in sorted(trials, key=lambda each: each.number) if np.isnan(trial.ended)
            ]

    def _planned(self, run, trial, n_epochs):
        """The `max_iter` of a network that is trained so far as this one."""
        network, _ = network_of(clone(run.estimator).set_params(**clone(trial.params, safe=False)))
        plans_end = resolve_schedule(network.learning_rate, network.power_t).plans_end
        return self.max_epochs if plans_end else n_epochs

    def _refitted(self, run, estimator, X, y, fit_params):
        # no candidate was trained to the end of a round: the estimator as it was given
        if not self.best_params_:
            return super()._refitted(run, estimator, X, y, fit_params)
        material = run.folds.material(estimator, self.best_params_, None)
        _train(material.network, material, int(self.cv_results_["n_epochs"][self.best_index_]))
        return material.fitted()


def _choices(axes, name):
    """The choices of an axis; none where it has none, or where there is no such axis."""
    return (axes[name].choices or ()) if name in axes else ()


@profiled
def _train(network, material, n_epochs, counts=None):
    """Train to the end of an epoch, and no further."""
    run = training_run(network, material.X, material.y, **material.fit_params, counts=counts)
    run.train(n_epochs)
    if run.warning is not None:  # that it ends before the network has converged is as planned
        run.conclude()
    run.close()
