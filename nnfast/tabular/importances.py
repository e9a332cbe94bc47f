"""Permutation importances of columns, on rows that validated the members of an ensemble."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.metrics import (
    check_scoring,
    d2_absolute_error_score,
    d2_pinball_score,
    d2_tweedie_score,
    r2_score,
)
from threadpoolctl import threadpool_limits

from nnfast import plotting
from nnfast.jobs import Jobs, Limits, n_jobs_of
from nnfast.result import Result
from nnfast.tabular.answers import labels_of, numbers_of
from nnfast.tabular.summary import one_line
from nnfast.tabular.tasks import ClassTask
from nnfast.tabular.trees import TreeRound

__all__ = ["Importances"]


@dataclass(frozen=True)
class ValidatedRows:
    """Which rows validated which members.

    Attributes
    ----------
    n_rows : int
        Rows of the table that they are rows of: X, or X_val where `fit` was given one.
    name : {"X", "X_val"}
    members : list of ndarray of uint8, or None
        For each round and row the number of the member that it validated, from 1; 0 for none. None: each row
        validated all members.
    """

    n_rows: int
    name: str
    members: list | None

    @classmethod
    def of(cls, folds, n_rows, n_all):
        """Of a fit of `n_rows` rows, and of as many of `X_val` as make `n_all`; `folds` has those of each
        round.
        """
        if n_all > n_rows:
            return cls(n_all - n_rows, "X_val", None)
        members = []
        for of_round in folds:
            numbers = np.zeros(n_rows, dtype=np.uint8)
            for k, fold in enumerate(of_round):
                numbers[fold.validation] = k + 1
            members.append(numbers)
        return cls(n_rows, "X", members)

    def rows(self, round, member):
        """Numbers of the rows that validated a member."""
        return (
            np.arange(self.n_rows)
            if self.members is None
            else np.flatnonzero(self.members[round] == member + 1)
        )


@dataclass(frozen=True, eq=False, repr=False)
class Importances(Result):
    """How much worse an ensemble predicts when a column is permuted.

    Its text is a table of the columns, the most important one first.

    Attributes
    ----------
    columns : tuple of str or int
        Names of the columns, in the order of the table.
    importances : ndarray of shape (n_columns, n_repeats)
        Falls of the score.
    score : float
        Without a permutation.
    scoring : str
        What the score is.
    n_samples : int
        Rows that were scored.
    """

    columns: tuple
    importances: np.ndarray
    score: float
    scoring: str
    n_samples: int

    @property
    def means(self):
        """The mean fall of the score by column."""
        return self.importances.mean(axis=1)

    @property
    def deviations(self):
        """The standard deviation of the fall over the repeats, by column."""
        return self.importances.std(axis=1)

    @property
    def order(self):
        """Numbers of the columns, the most important one first."""
        return np.argsort(-self.means, kind="stable")

    def sorted(self):
        """The same with the most important column first."""
        order = self.order
        return replace(
            self, columns=tuple(self.columns[j] for j in order), importances=self.importances[order]
        )

    def to_frame(self):
        """A pandas DataFrame: "mean" and "deviation" by column, the most important one first.

        Raises
        ------
        ImportError
            Without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_frame needs pandas: pip install 'nnfast[table]'") from error
        first = self.sorted()
        index = pd.Index(list(first.columns), name="column")
        return pd.DataFrame({"mean": first.means, "deviation": first.deviations}, index=index)

    def plot(self, ax=None, *, n_columns=30):
        """Draw the means as bars, the most important column on top, with the deviations as error bars.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Made where there are none.
        n_columns : int, default=30
            The maximum number of columns.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        order = self.order[:n_columns]
        ax = plotting.axes(ax, figsize=(6.4, 1.2 + 0.26 * max(len(order), 4)))
        ax.barh(
            range(len(order)),
            self.means[order],
            xerr=self.deviations[order],
            color="C0",
            ecolor="C7",
            capsize=2,
        )
        ax.axvline(0, color="C7", linewidth=0.8)
        # without this, matplotlib reads text between dollars as formulas
        names = [one_line(self.columns[j], 40).replace("$", r"\$") for j in order]
        ax.set_yticks(range(len(order)), names)
        ax.set_ylim(max(len(order), 1) - 0.5, -0.5)
        more = f" ({len(order)} of {len(self.columns)} columns)" if len(order) < len(self.columns) else ""
        ax.set(xlabel=f"fall of the {self.scoring}", title=f"Permutation importances{more}")
        return ax

    def _columns(self):
        order = self.order
        return {
            "column": [one_line(self.columns[j], 40) for j in order],
            "mean": [f"{self.means[j]:.4g}" for j in order],
            "deviation": [f"{self.deviations[j]:.2g}" for j in order],
        }

    @property
    def verdict(self):
        """The score without a permutation, as text."""
        return f"falls of the {self.scoring}, which is {self.score:.4g} on {self.n_samples:,} rows"


def permutation_importances(estimator, table, y, *, n_repeats, scoring, sample_weight, seed, n_jobs):
    """See `TabularClassifier.importances`; `table` and y are of the rows that it needs."""
    reader, ensemble = estimator._reader, estimator._ensemble
    out_of_fold = OutOfFold(ensemble, table, estimator._validated)
    score, name = _scorer(estimator, y, scoring, sample_weight)
    seen = out_of_fold.seen
    falls = np.zeros((len(reader.columns), n_repeats))
    base = score(out_of_fold.outputs(), seen)
    of_column = np.array([*reader.number_columns, *reader.category_columns], dtype=np.intp)

    def measure(item):
        column, repeat = item
        # Its own generator for each, so that the numbers do not depend on which job comes first.
        permuted = np.random.default_rng([seed, column, repeat]).permutation(seen)
        taken = np.arange(out_of_fold.n_rows)
        taken[seen] = permuted
        # trees would use as many threads as there are cores, in each job
        with threadpool_limits(1, "openmp"):
            outputs = out_of_fold.outputs(np.flatnonzero(of_column == column), taken)
        falls[item] = base - score(outputs, seen)

    limits = Limits()
    items = [(column, repeat) for column in np.unique(of_column).tolist() for repeat in range(n_repeats)]
    Jobs(n_jobs_of(n_jobs), limits).run(measure, items, lambda item: None)
    if limits.interrupted:
        raise KeyboardInterrupt
    return Importances(tuple(each.name for each in reader.columns), falls, float(base), name, len(seen))


class OutOfFold:
    """What the members of an ensemble predict for the rows of a table that validated them, averaged.

    Attributes
    ----------
    n_rows : int
    seen : ndarray of int
        Numbers of the rows that validated a member.
    """

    def __init__(self, ensemble, table, validated):
        self._ensemble, self._table, self.n_rows = ensemble, table, len(table)
        self._parts, self._encoded = [], {}
        shares = np.zeros(self.n_rows)
        for number, each in enumerate(ensemble.rounds):
            if each.weight == 0:
                continue
            rows = [validated.rows(number, k) for k in range(len(each.members))]
            counts = np.bincount(np.concatenate(rows), minlength=self.n_rows)
            shares += each.weight * (counts > 0)
            self._parts += [(each, k, part, each.weight / counts[part]) for k, part in enumerate(rows)]
            encoders = getattr(each, "encoders", None)  # trees take the table as it is
            if encoders is not None and id(encoders) not in self._encoded:
                self._encoded[id(encoders)] = encoders.encode(table)
        self.seen = np.flatnonzero(shares > 0) if self._parts else np.arange(self.n_rows)
        self._shares = shares + ensemble.constant_weight  # less than 1 where a round lacks the row

    def outputs(self, sources=(), taken=None):
        """The outputs, of shape (n_rows, n_outputs); those of rows that are not `seen` mean nothing.

        Parameters
        ----------
        sources : array of int
            Columns of the table, those of numbers first, that have other rows' values.
        taken : ndarray of int, shape (n_rows,)
            For each row, the row whose values it has there.
        """
        constant = self._ensemble.constant
        total = np.tile(self._ensemble.constant_weight * constant, (self.n_rows, 1))
        for each, k, rows, weights in self._parts:
            outputs = self._member_outputs(each, k, rows, sources, None if taken is None else taken[rows])
            total[rows] += weights[:, np.newaxis] * outputs
        seen = self.seen
        total[seen] /= self._shares[seen, np.newaxis]
        return total

    def _member_outputs(self, round, k, rows, sources, taken):
        table, part = self._table, self._table.take(rows)
        n_numbers = table.numbers.shape[1]
        for j in sources:
            if j < n_numbers:
                part.numbers[:, j] = table.numbers[taken, j]
            else:
                part.codes[:, j - n_numbers] = table.codes[taken, j - n_numbers]
        if isinstance(round, TreeRound):
            return TreeRound([round.members[k]]).outputs(part)
        encoded = self._encoded[id(round.encoders)]
        shared = encoded[rows]
        if len(sources):  # an input of one column: its values change places with the column's
            inputs = np.flatnonzero(np.isin(round.encoders.sources, sources))
            shared[:, inputs] = encoded[np.ix_(taken, inputs)]
        return round.members[k].outputs(part, shared)


# ------------------------------------------------------------------------------------------------------------
# Scores

# For a loss of `MLPRegressor`, the share of it that is explained, and what that is called; R² for the others.
_EXPLAINED = {
    "absolute_error": (d2_absolute_error_score, "D² of absolute errors"),
    "poisson": (partial(d2_tweedie_score, power=1), "D² of Poisson deviances"),
    "gamma": (partial(d2_tweedie_score, power=2), "D² of gamma deviances"),
}


class _ClassAnswers(ClassifierMixin, BaseEstimator):
    """Predictions that have been made, as scorers ask for them: X are row numbers, of shape
    (n_samples, 1).
    """

    def __init__(self, outputs, classes, several_labels):
        self._outputs, self.classes_, self._several_labels = outputs, classes, several_labels

    def predict_proba(self, X):
        return self._outputs[X[:, 0]]

    def predict(self, X):
        return labels_of(self._outputs[X[:, 0]], self.classes_, self._several_labels)


class _NumberAnswers(RegressorMixin, BaseEstimator):
    """The same of numbers."""

    def __init__(self, outputs, one_output):
        self._outputs, self._one_output = outputs, one_output

    def predict(self, X):
        return numbers_of(self._outputs[X[:, 0]], self._one_output)


def _scorer(estimator, y, scoring, weights):
    """(function of all outputs and the numbers of the rows to score, what it is)."""
    if scoring is None:
        score, name = _class_score(estimator, y) if is_classifier(estimator) else _number_score(estimator, y)
        return lambda outputs, rows: score(outputs, rows, None if weights is None else weights[rows]), name
    if not isinstance(scoring, str) and not callable(scoring):
        raise ValueError(
            f"scoring must be None, a name of a scorer or a function (estimator, X, y), got {scoring!r}."
        )
    scorer = check_scoring(estimator, scoring)

    def by_scorer(outputs, rows):
        if is_classifier(estimator):
            answers = _ClassAnswers(outputs, estimator.classes_, estimator._several_labels)
        else:
            answers = _NumberAnswers(outputs, estimator._one_output)
        weighted = {} if weights is None else {"sample_weight": weights[rows]}
        return scorer(answers, rows[:, np.newaxis], y[rows], **weighted)

    return by_scorer, scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")


def _class_score(estimator, y):
    """Minus the log-loss: for several labels, the sum of theirs."""
    classes, n_classes = estimator.classes_, 2
    if not estimator._several_labels:
        codes, n_classes = np.minimum(np.searchsorted(classes, y), len(classes) - 1), len(classes)
        if (unknown := classes[codes] != y).any():
            raise ValueError(
                f"y has a class that fit has not seen: {y[unknown][0]!r}. It has seen {classes}."
            )
        y = codes
    task = ClassTask(y.astype(np.intp), n_classes)
    return (
        lambda outputs, rows, w: -float(np.average(task.losses(outputs[rows], rows), weights=w)),
        "negative log-loss",
    )


def _number_score(estimator, y):
    """The share of the loss that is explained, averaged over the outputs."""
    function, name = _EXPLAINED.get(estimator.loss, (r2_score, "R²"))
    functions = [function]
    if estimator.loss == "quantile":
        functions = [partial(d2_pinball_score, alpha=level) for level in np.atleast_1d(estimator.quantile)]
        name = "D² of pinball losses"

    def score(outputs, rows, w):
        targets = y[rows].reshape(len(rows), -1)
        pairs = [
            (
                functions[k if len(functions) > 1 else 0],
                targets[:, k if targets.shape[1] > 1 else 0],
                outputs[rows, k],
            )
            for k in range(outputs.shape[1])
        ]
        return float(np.mean([each(true, predicted, sample_weight=w) for each, true, predicted in pairs]))

    return score, name


def __dir__():
    return __all__
