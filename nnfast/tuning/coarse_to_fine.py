"""From coarse to fine: random draws, round by round from the part where the good ones were."""

import itertools

from nnfast.base import joined_signature
from nnfast.jobs import n_jobs_of
from nnfast.tuning.search import AT_LEAST_ONE, BaseSearch, documented

# Where every axis has been narrowed to less than this share of the whole, there is nothing to refine.
_FINEST = 0.01
# Candidates that a round without an end draws at a time, for each job: so many that jobs seldom wait for each
# other.
_PER_JOB = 8


@documented
class CoarseToFineSearchCV(BaseSearch):
    """Search at random, then again where the best candidates were, and so on.

    The first round draws from the whole space. Each further one draws from the smallest box, on each
    parameter's own scale, that holds the `n_best` best candidates of all rounds so far, and a margin: the box
    before, divided by twice `n_best`, on either side, so that it can still move. Of choices, those are kept
    that are among the best. A parameter that does not matter has its best values all over its range, and
    stays as wide. ``n_rounds=1`` is random search.

    {ends}

    Parameters
    ----------
    estimator : estimator
        An nnfast estimator, a pipeline, or any other.

    space : dict
        The scale of every parameter: see `nnfast.tuning.scales`. A list is a choice.

    n_rounds : int or None, default=3
        None, with a `time_budget`: until the time is over, beginning again with the whole space where there
        is nothing left to refine.

    n_candidates : int or None, default=16
        Of each round. None, with ``n_rounds=1`` and a `time_budget`: until the time is over.

    n_best : int or None, default=None
        How many candidates the next round goes by. None: a quarter of `n_candidates`, two at least.

    {parameters}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nnfast import MLPClassifier
    >>> from nnfast.tuning import CoarseToFineSearchCV, log_uniform
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier(batch_size=16, max_iter=20, tol=1)
    >>> space = {"learning_rate_init": log_uniform(1e-5, 1)}
    >>> search = CoarseToFineSearchCV(network, space, n_rounds=2, n_candidates=6, cv=3, random_state=0)
    >>> search = search.fit(X, y)
    >>> bool(search.best_score_ > 0.9)
    True
    >>> search.cv_results_["round"].tolist()
    [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    """

    _parameter_constraints: dict = {
        **BaseSearch._parameter_constraints,
        "n_rounds": [AT_LEAST_ONE, None],
        "n_candidates": [AT_LEAST_ONE, None],
        "n_best": [AT_LEAST_ONE, None],
    }

    def __init__(self, *args, n_rounds=3, n_candidates=16, n_best=None, **shared):
        super().__init__(*args, **shared)
        self.n_rounds = n_rounds
        self.n_candidates = n_candidates
        self.n_best = n_best

    __init__.__signature__ = joined_signature(__init__, BaseSearch)
    _numbered_by = ("round",)

    def _check(self):
        for name in ("n_rounds", "n_candidates"):
            if getattr(self, name) is None and self.time_budget is None:
                raise ValueError(
                    f"{name}=None needs a time_budget, or there is no end; got time_budget=None."
                )
        if self.n_candidates is None and self.n_rounds != 1:
            raise ValueError(
                "n_candidates=None needs n_rounds=1, or the first round has no end; got"
                f" n_rounds={self.n_rounds!r}."
            )

    def _n_trials_planned(self):
        return (
            None if self.n_rounds is None or self.n_candidates is None else self.n_rounds * self.n_candidates
        )

    def _search(self, run):
        if self.n_candidates is None:
            n_together = _PER_JOB * n_jobs_of(self.n_jobs)
            while not run.over:
                run.evaluate([run.space.sample(run.random_state) for _ in range(n_together)], round=0)
            return
        region, drawn = run.space, []
        for number in itertools.count() if self.n_rounds is None else range(self.n_rounds):
            candidates = [region.sample(run.random_state) for _ in range(self.n_candidates)]
            drawn += run.evaluate(candidates, round=number)
            if run.over or number + 1 == self.n_rounds:
                return
            region, widest = _zoomed(run, drawn, region, self.n_best or max(2, self.n_candidates // 4))
            if self.n_rounds is None and widest < _FINEST:
                region, drawn = run.space, []


def _zoomed(run, drawn, region, n_best):
    """(The space around the best trials of those drawn, the share of the whole that its widest axis has)."""
    best = [run.space.split(trial.params) for trial in run.best(n_best, drawn)]
    if not best:
        return region, 1.0
    axes, widest = {}, 0.0
    for name, axis in run.space.axes.items():
        values = [point[name] for point in best]
        if axis.warp == "choice":
            axes[name] = axis.keep(values)
            continue
        places = [axis.to_unit(value) for value in values]
        before = region.axes[name]
        width = axis.to_unit(before.high) - axis.to_unit(before.low)
        low, high = (
            min(1, max(0, place))
            for place in (min(places) - width / (2 * n_best), max(places) + width / (2 * n_best))
        )
        axes[name] = axis.zoom(low, high)
        widest = max(widest, high - low)
    return run.space.replace(axes), widest
