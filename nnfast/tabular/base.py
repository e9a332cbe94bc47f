"""What `TabularClassifier` and `TabularRegressor` have in common: the checks, the fit, and what it
publishes.
"""

import time
from abc import ABC, abstractmethod
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from nnfast.jobs import Limits, n_jobs_of
from nnfast.tabular import recipe as recipes
from nnfast.tabular import trees
from nnfast.tabular.budget import AsPlanned, AsRecorded, Budget, BySeconds
from nnfast.tabular.column_reader import ColumnReader
from nnfast.tabular.fitting import EnsembleFit
from nnfast.tabular.folds import (
    Fold,
    group_codes,
    group_folds,
    of_weighted_rows,
    random_folds,
    time_folds,
    times,
)
from nnfast.tabular.importances import ValidatedRows
from nnfast.tabular.inspection import Inspection
from nnfast.tabular.progress import reporter
from nnfast.tabular.typed_table import TypedTable
from nnfast.tabular.weights import joined, of_mean_one
from nnfast.validation import HeldOut, check_held_out, check_sample_weight
from nnfast.versions import VersionedPickle

QUALITIES = ("fast", "default", "best")


class BaseTabular(Inspection, VersionedPickle, BaseEstimator, ABC):
    """What both estimators have in common. Not for use by itself."""

    _parameter_constraints: dict = {
        "quality": [StrOptions(set(QUALITIES))],
        "time_budget": [Interval(Real, 0, None, closed="neither"), Budget, None],
        "blend": [StrOptions({"trees"}), None],
        "categorical_features": ["array-like", StrOptions({"auto"}), None],
        "time_column": [str, Integral, None],
        "oof_predictions": ["boolean"],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "random_state": ["random_state"],
        "verbose": ["verbose", StrOptions({"progress"})],
    }

    def __init__(
        self,
        *,
        quality="default",
        time_budget=None,
        blend=None,
        categorical_features="auto",
        time_column=None,
        oof_predictions=False,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.quality = quality
        self.time_budget = time_budget
        self.blend = blend
        self.categorical_features = categorical_features
        self.time_column = time_column
        self.oof_predictions = oof_predictions
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _learn_targets(self, y):
        """A function that makes a `Task` of y and y_val or None; sets on the estimator what it says
        of them.
        """

    @abstractmethod
    def _check_targets(self, y, name):
        """Targets as the task takes them, or an error that names the argument."""

    def _class_weighted(self, task, sample_weight, n_trained):
        """The sample weights times those of classes, of which the first rows are counted."""
        return sample_weight

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, groups=None):
        """Fit the ensemble to a table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table: a DataFrame of pandas, polars, pyarrow or any library that narwhals reads, or an array.
            Columns hold numbers, booleans, categories, text, dates or durations, and may lack values.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        X_val, y_val, sample_weight_val : default=None
            Rows that validate all members, in place of a fold each; all of X is trained on.

        groups : array-like of shape (n_samples,), default=None
            A label for each row: rows of one group are never on both sides of a fold.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If the table or the targets are not as they must be.
        KeyboardInterrupt
            As usual; the estimator is of what has been trained by then, if there is a whole epoch of a
            member.
        """
        start = time.monotonic()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        check_held_out(HeldOut(X_val, y_val, sample_weight_val))
        reader = ColumnReader(self.categorical_features, seed, merges_rare=True)
        table = reader.fit(X)
        n_rows = len(table)
        y = self._checked(y, n_rows, "y")
        draft = clone(self)
        task_of = draft._learn_targets(y)
        sample_weight = check_sample_weight(sample_weight, y)
        when = None if self.time_column is None else times(X, self.time_column)
        if X_val is not None:
            validation = reader.read(X_val, type(self).__name__, "X_val")
            y_val = self._checked(y_val, len(validation), "y_val")
            table = TypedTable.stacked([table, validation])
            weight_val = check_sample_weight(sample_weight_val, y_val, "sample_weight_val")
            sample_weight = joined(sample_weight, weight_val, n_rows, len(y_val))
        task = task_of(y, y_val)
        weights = of_mean_one(draft._class_weighted(task, sample_weight, n_rows))
        folds_of = of_weighted_rows(self._folds(n_rows, len(table), task, groups, when, seed), weights)
        if self.blend == "trees" and (reason := trees.why_not(task)):
            raise ValueError(f"blend='trees' cannot be used here: {reason}. Use blend=None.")

        plan = recipes.plan(task.kind, self.quality, n_rows, len(reader.number_names))
        learns = any(each.used for each in reader.columns) and n_rows > 1 and draft._can_learn
        limits = Limits()
        pace = self._pace(limits, start)
        seconds = self.time_budget if isinstance(self.time_budget, Real) else None
        progress = reporter(self.verbose, sum(each.max_epochs * n_folds for each, n_folds in plan), seconds)
        fit = EnsembleFit(
            table,
            n_rows,
            task,
            weights,
            folds_of,
            plan if learns else [],
            pace,
            seed,
            n_jobs_of(self.n_jobs),
            limits,
            progress,
        )
        try:
            ensemble = fit.run(trees=self.blend == "trees" and learns)
        finally:
            progress.close()
        if ensemble is not None:
            draft._validated = ValidatedRows.of(fit.folds, n_rows, len(table))
            draft._publish(self, reader, ensemble, fit, n_rows, start)
        if limits.interrupted:
            raise KeyboardInterrupt
        return self

    def _checked(self, y, n_rows, name):
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        y = self._check_targets(y, name)
        if len(y) != n_rows:
            table = "X" if name == "y" else "X_val"
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {table} has {n_rows} rows, "
                f"{name} has {len(y)}."
            )
        return y

    def _folds(self, n_rows, n_all, task, groups, when, seed):
        """The function of (round, n_folds) that gives folds."""
        given = [name for name, value in (("groups", groups), ("time_column", when)) if value is not None]
        if n_all > n_rows:
            given.append("X_val")
        if len(given) > 1:
            raise ValueError(f"fit takes one of groups, time_column and X_val, got {' and '.join(given)}.")
        if n_all > n_rows:
            fold = Fold(np.arange(n_rows), np.arange(n_rows, n_all))
            return lambda number, n_folds: [fold] * n_folds
        if groups is not None:
            codes = group_codes(groups, n_rows)
            return lambda number, n_folds: group_folds(codes, n_folds, seed + number)
        if when is not None:
            return lambda number, n_folds: time_folds(when, n_folds)
        return lambda number, n_folds: random_folds(n_rows, n_folds, task.strata, seed + number)

    def _pace(self, limits, start):
        if isinstance(self.time_budget, Budget):
            if not (self.time_budget.members or self.time_budget.trees):
                raise ValueError(
                    "time_budget is a Budget without members: the fit that recorded it had nothing to learn."
                )
            return AsRecorded(self.time_budget)
        return AsPlanned() if self.time_budget is None else BySeconds(start + self.time_budget)

    def _publish(self, estimator, reader, ensemble, fit, n_rows, start):
        """Have `estimator` be fitted as this draft is."""
        self.n_features_in_ = len(reader.columns)
        if reader.named:
            self.feature_names_in_ = np.array([each.name for each in reader.columns], dtype=object)
        self._reader, self._ensemble = reader, ensemble
        self.columns_ = ensemble.described(reader)
        seconds = self.time_budget.seconds if isinstance(self.time_budget, Budget) else self.time_budget
        members = sorted(fit.budget.members, key=lambda each: (each.round, each.fold))
        self.budget_ = Budget(seconds, members, time.monotonic() - start, fit.budget.trees)
        if self.oof_predictions:
            self.oof_predictions_ = self._shaped(fit.blended_out_of_fold(ensemble)[:n_rows])
        # What an earlier fit has set goes; parameters stay, and what scikit-learn hangs on an estimator for a
        # fit.
        others = {name: value for name, value in vars(estimator).items() if not _is_fitted_attribute(name)}
        estimator.__dict__ = {
            name: value for name, value in vars(self).items() if _is_fitted_attribute(name)
        } | others

    def _outputs(self, X):
        check_is_fitted(self)
        return self._ensemble.outputs(self._reader.read(X, type(self).__name__))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _is_fitted_attribute(name):
    return name.endswith("_") or name in (
        "_reader",
        "_ensemble",
        "_validated",
        "_several_labels",
        "_one_output",
    )
