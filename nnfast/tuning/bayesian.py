"""Bayesian optimisation, by Optuna: what was found so far says where to look next."""

import json
import math
import os
from contextlib import contextmanager

import joblib
import numpy as np
from sklearn.utils._param_validation import HasMethods, StrOptions

from nnfast.base import joined_signature
from nnfast.tuning.descriptions import describe
from nnfast.tuning.search import AT_LEAST_ONE, BaseSearch, check_is_network, documented

# Where a study keeps what Optuna has no place for.
_KEPT, _SEARCH = "nnfast", "nnfast search"


@documented
class BayesianSearchCV(BaseSearch):
    """Search where a model of the scores so far expects better ones, with a new study of Optuna's for every
    fit.

    Candidates are asked for `n_together` at a time, and trained side by side. The first fold of a candidate
    is scored after every epoch, and where the pruner finds that it falls behind those before, the candidate
    is given up, and its other folds are spared.

    {ends}

    Parameters
    ----------
    estimator : estimator
        An nnfast estimator or a pipeline that ends with one; with ``pruner=None``, any other, too.

    space : dict
        The scale of every parameter: see `nnfast.tuning.scales`. A list is a choice.

    n_trials : int or None, default=50
        None, with a `time_budget`: until the time is over.

    sampler : {"tpe", "gp"} or optuna.samplers.BaseSampler, default="tpe"
        "tpe", the tree-structured Parzen estimator, or "gp", a Gaussian process, for which Optuna needs
        PyTorch. The first ten candidates, of either, are drawn at random.

    pruner : {"median"}, optuna.pruners.BasePruner or None, default="median"
        "median" gives up a candidate whose best score so far is below the median of the earlier candidates'
        at the same epoch: not before there are five of them, nor in its first five epochs. None: no candidate
        is given up.

    n_together : int, default=4
        Candidates that are asked for at once. The trials depend on it, but not on `n_jobs`.

    storage : str, optuna storage or None, default=None
        Where the study is kept: a URL such as "sqlite:///tuning.db", or the path of a journal, such as
        "tuning.journal". None: in memory.

    study_name : str or None, default=None
        With a `storage`, the study to go on with, or to begin: several processes that search at the same time
        share its trials, and a search that was killed resumes, until `n_trials` of the study's have come to
        an end. The estimator, the space, the scoring, the folds and the table have to be the same. Whoever
        goes on with a study that is there draws candidates of its own, whatever `random_state`: with the same
        seed they would be those that the study has. None: a new study for every fit.

    {parameters}

    Attributes
    ----------
    {attributes}

    study_ : optuna.Study

    References
    ----------
    Bergstra, Bardenet, Bengio and Kegl, Algorithms for Hyper-Parameter Optimization, 2011.

    Akiba, Sano, Yanase, Ohta and Koyama, Optuna: A Next-generation Hyperparameter Optimization Framework,
    2019, arXiv:1907.10902.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nnfast import MLPClassifier
    >>> from nnfast.tuning import BayesianSearchCV, log_uniform
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier(batch_size=16, max_iter=20, tol=1)
    >>> search = BayesianSearchCV(
    ...     network, {"learning_rate_init": log_uniform(1e-5, 1)}, n_trials=12, cv=3, random_state=0
    ... ).fit(X, y)
    >>> bool(search.best_score_ > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **BaseSearch._parameter_constraints,
        "n_trials": [AT_LEAST_ONE, None],
        "sampler": [StrOptions({"tpe", "gp"}), HasMethods(["sample_relative", "reseed_rng"])],
        "pruner": [StrOptions({"median"}), HasMethods(["prune"]), None],
        "n_together": [AT_LEAST_ONE],
        "storage": [str, os.PathLike, HasMethods(["create_new_study"]), None],
        "study_name": [str, None],
    }

    def __init__(
        self,
        *args,
        n_trials=50,
        sampler="tpe",
        pruner="median",
        n_together=4,
        storage=None,
        study_name=None,
        **shared,
    ):
        super().__init__(*args, **shared)
        self.n_trials = n_trials
        self.sampler = sampler
        self.pruner = pruner
        self.n_together = n_together
        self.storage = storage
        self.study_name = study_name

    __init__.__signature__ = joined_signature(__init__, BaseSearch)

    def _check(self):
        if self.pruner is not None:
            check_is_network(self, but=f"; any other needs pruner=None, instead of pruner={self.pruner!r}")
        if self.n_trials is None and self.time_budget is None:
            raise ValueError("n_trials=None needs a time_budget, or there is no end; got time_budget=None.")
        if self.study_name is not None and self.storage is None:
            raise ValueError(
                f"study_name={self.study_name!r} needs a storage to be found in, got storage=None."
            )

    def _n_trials_planned(self):
        return self.n_trials

    def _search(self, run):
        optuna = _optuna()
        with _quiet(optuna):
            self.study_ = study = self._study(optuna, run)
            state = optuna.trial.TrialState
            scored = state.COMPLETE, state.PRUNED
            while not run.over:
                n = self.n_together
                if self.n_trials is not None:
                    n = min(n, self.n_trials - len(study.get_trials(deepcopy=False, states=scored)))
                if n <= 0:
                    break
                self._ask(optuna, run, study, n)
            if self.study_name is not None:
                self._take_all(optuna, run, study.get_trials(deepcopy=False, states=(*scored, state.FAIL)))

    def _ask(self, optuna, run, study, n):
        """Have `n` candidates trained side by side, and tell the study of them in their order."""
        asked = [study.ask() for _ in range(n)]
        trials = [run.begin(run.space.suggest(each)) for each in asked]
        run.train(trials, watches=None if self.pruner is None else [_watch(each) for each in asked])
        for each, trial in zip(asked, trials, strict=True):
            score, status = run.score(trial), trial.status
            each.set_user_attr(_KEPT, json.dumps(_record(trial)))
            # which leaves a place for another among `n_trials`
            if status == "unfinished" and not math.isfinite(score):
                study.tell(each, state=optuna.trial.TrialState.FAIL)
            elif status == "pruned":
                study.tell(each, state=optuna.trial.TrialState.PRUNED)
            else:  # what failed or diverged is worse than all that did not
                study.tell(each, score if math.isfinite(score) else -math.inf)

    def _study(self, optuna, run):
        seed = None if self.random_state is None else int(run.random_state.randint(2**31 - 1))
        if self.sampler == "tpe":
            sampler = optuna.samplers.TPESampler(n_startup_trials=10, multivariate=False, seed=seed)
        elif self.sampler == "gp":
            sampler = _gaussian_process(optuna, seed)
        else:
            sampler = self.sampler
        pruner = self.pruner
        if pruner is None:
            pruner = optuna.pruners.NopPruner()
        elif pruner == "median":
            pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5)
        new = {
            "storage": _storage(optuna, self.storage),
            "study_name": self.study_name,
            "sampler": sampler,
            "pruner": pruner,
            "direction": "maximize",
        }
        if self.study_name is None:
            return optuna.create_study(**new)
        try:
            study = optuna.create_study(**new)
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.create_study(**new, load_if_exists=True)
            sampler.reseed_rng()  # others draw for the study, or have drawn, by the same seed
        self._check_same(run, study)
        return study

    def _check_same(self, run, study):
        """Raise ValueError unless the study is one of the same search; note in a new one what it is of."""
        folds = [(fold.train, fold.test) for fold in run.folds.folds]
        mine = {name: describe(getattr(self, name)) for name in ("estimator", "scoring")}
        mine |= {"space": describe(run.space), "folds": joblib.hash(folds)}
        theirs = study.user_attrs.get(_SEARCH)
        if theirs is None:
            study.set_user_attr(_SEARCH, mine)
            return
        for name, value in mine.items():
            if theirs.get(name) != value:
                raise ValueError(
                    f"study_name={self.study_name!r} is there already, of a search with another {name}: "
                    f"{theirs.get(name)}, now {value}. Use another study_name."
                )

    def _take_all(self, optuna, run, frozen):
        """Have the run's trials be all of the study's, those of other processes and of earlier searches among
        them.
        """
        run.trials = []
        for each in frozen:
            if _KEPT in each.user_attrs:  # those of a process that was killed have nothing to tell
                trial = run.begin(run.space.suggest(optuna.trial.FixedTrial(each.params)))
                _restore(trial, json.loads(each.user_attrs[_KEPT]))


def _watch(asked):
    """What tells Optuna a candidate's score after every epoch, and whether to give it up."""

    def watch(epoch, score):
        if not math.isfinite(score):
            return False
        asked.report(score, epoch)
        return asked.should_prune()

    return watch


# What a fit in a fold leaves behind, as JSON.
_PLAIN = (
    "scores",
    "train_scores",
    "fit_time",
    "score_time",
    "n_epochs",
    "score_epochs",
    "score_curve",
    "status",
    "error",
)


def _record(trial):
    fits = [
        {name: getattr(fit, name) for name in _PLAIN} | {"loss_curve": fit.loss_curve.tolist()}
        for fit in trial.fits
    ]
    return {"fits": fits, "ended": trial.ended}


def _restore(trial, record):
    trial.ended = record["ended"]
    for fit, kept in zip(trial.fits, record["fits"], strict=True):
        for name in _PLAIN:
            setattr(fit, name, kept[name])
        fit.loss_curve = np.array(kept["loss_curve"], dtype=np.float64)


def _optuna():
    try:
        import optuna
    except ImportError as error:
        raise ImportError("BayesianSearchCV needs Optuna: pip install 'nnfast[tune]'") from error
    return optuna


def _gaussian_process(optuna, seed):
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "sampler='gp' needs PyTorch, by which Optuna computes: pip install torch"
        ) from error
    return optuna.samplers.GPSampler(seed=seed)


def _storage(optuna, storage):
    """Optuna's, for what the parameter says: a path is a journal, a URL a database."""
    if isinstance(storage, os.PathLike) or (isinstance(storage, str) and "://" not in storage):
        from optuna.storages.journal import JournalFileBackend

        return optuna.storages.JournalStorage(JournalFileBackend(os.fspath(storage)))
    return storage


@contextmanager
def _quiet(optuna):
    """Without Optuna's own lines about every trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
