"""The folds of a cross-validation as networks train on them: rows of one table that is never copied.

A network by itself sees a fold as numbers of rows of X. Before a network at the end of a pipeline, the other
steps are fitted on the fold's rows to train on, and on no others, once for all candidates that do not differ
in them. Any other estimator gets rows of its own, as in scikit-learn's searches.
"""

import threading
import weakref
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer
from sklearn.utils import _safe_indexing
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params

from nnfast.numeric_table import kind_to_measure, kind_to_train_on
from nnfast.tuning.networks import network_of
from nnfast.tuning.steps import Steps
from nnfast.validation import HeldOut, check_held_out, check_table

# What `fit` takes to validate on: rows of their own.
HELD_OUT = ("X_val", "y_val", "sample_weight_val")


@dataclass(frozen=True)
class Fold:
    """Rows to train on and rows to score, arrays of intp."""

    number: int
    train: np.ndarray
    test: np.ndarray


@dataclass
class FoldData:
    """What one candidate trains on and is scored by, in one fold.

    `network` is to be fitted by `training_run(network, X, y, rows=rows, **fit_params)`, or `estimator` with
    ``fit(X, y, **fit_params)`` where `network` is None.
    """

    estimator: Any
    network: Any
    X: Any
    y: Any
    rows: np.ndarray | None
    fit_params: dict
    steps: Any = None

    def fitted(self):
        """The estimator, as fitted."""
        return self.estimator if self.steps is None else self.steps.followed_by(self.network)


@dataclass
class _Shared:
    """Something made once by the first thread that needs it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    value: Any = None


class _Interned:
    """Arrays that are equal are one array, for as long as somebody has it."""

    def __init__(self):
        self._arrays, self._lock = weakref.WeakValueDictionary(), threading.Lock()

    def __call__(self, array):
        key = array.dtype.str, array.shape, zlib.crc32(np.ascontiguousarray(array))
        with self._lock:
            there = self._arrays.get(key)
            if there is None or not np.array_equal(there, array):
                there = self._arrays[key] = array
            return there


class Folds:
    """A table, and the folds of it.

    Parameters
    ----------
    estimator : estimator
        The candidates are clones of it.
    X, y : as the user gave them
    splits : list of (train, test)
        From scikit-learn's splitters.
    fit_params, score_params : dict
        What goes to `fit` and to scorers; what has a number a row is cut into folds.
    scorer : scorer of scikit-learn's
    """

    def __init__(self, estimator, X, y, splits, fit_params, score_params, scorer):
        self._estimator, self._y = estimator, y
        self._fit_params, self._score_params = fit_params, score_params
        network, self._prefix = network_of(estimator)
        self._X, self._given_X, self._given_y = X, X, y
        self._kind = "any" if network is None else "pipeline" if self._prefix else "network"
        unknown = (
            [name for name in fit_params if _last_part(name) == "validation_indices"]
            if self._kind == "pipeline"
            else []
        )
        if self._kind == "network":
            unknown = set(fit_params) - {"sample_weight", *HELD_OUT}
        if unknown:
            raise ValueError(f"a search fits on folds of X: fit takes no {', '.join(sorted(unknown))} there.")
        if self._kind == "network":
            # Once for all fits: a data frame, say, becomes an array.
            self._checked, kind = clone(network), kind_to_train_on(X, network.shuffle)
            table, self._y = check_table(self._checked, X, y, reset=True, kind=kind)
            self._X = table.X
            self._held_out = self._given_held_out = HeldOut(*map(fit_params.get, HELD_OUT))
            check_held_out(self._held_out)
            X_val, y_val, sample_weight_val, _ = self._held_out
            if X_val is not None:
                table_val, y_val = check_table(
                    self._checked,
                    X_val,
                    y_val,
                    reset=False,
                    kind=kind_to_measure(X_val),
                    names=("X_val", "y_val"),
                )
                self._held_out = HeldOut(table_val.X, y_val, sample_weight_val)
        # A scorer of the user's may look at X, y and the estimator's steps: it is given what the user gave.
        self._scores_plainly = _is_plain(scorer)
        self._scores_network = self._scores_plainly and not _routing_enabled()
        self._scored_y = self._y if self._scores_plainly else y
        self.folds = [
            Fold(i, _row_numbers(train, X), _row_numbers(test, X)) for i, (train, test) in enumerate(splits)
        ]
        self.shared = _Interned()  # what networks need of targets and weights
        self._fitted_steps, self._lock = OrderedDict(), threading.Lock()
        self._rows_to_score, self._tests, self._targets_to_score = weakref.WeakValueDictionary(), {}, {}

    def material(self, estimator, params, fold):
        """The `FoldData` of a candidate in a fold; `fold` None is for all rows.

        `estimator`, unfitted, has the parameters `params` in place of the template's. The material belongs to
        the caller, but for tables, which others have, too.
        """
        X, y, rows = (self._given_X, self._given_y, None) if fold is None else (self._X, self._y, fold.train)
        fit_params = self._fit_params if rows is None else self._of_rows(rows)
        if self._kind == "network":
            weights = {
                name: self._fit_params[name] for name in ("sample_weight",) if name in self._fit_params
            }
            held_out = self._given_held_out if rows is None else self._held_out
            if (
                self._scores_rows_as_given
                and rows is not None
                and hasattr(self._checked, "feature_names_in_")
            ):
                estimator.feature_names_in_ = self._checked.feature_names_in_  # the scorer's rows have them
            return FoldData(estimator, estimator, X, y, rows, {**weights, "held_out": held_out})
        if self._kind == "pipeline" and network_of(estimator)[0] is not None:
            steps = self._steps(estimator, params, fold, fit_params)
            given = dict(steps.fit_params)
            held_out = HeldOut(*(given.pop(name, None) for name in HELD_OUT))
            network, _ = network_of(estimator)
            return FoldData(
                estimator, network, steps.X, steps.y, None, {**given, "held_out": held_out}, steps
            )
        if rows is not None:
            X, y = _safe_split(estimator, X, y, rows)
        return FoldData(estimator, None, X, y, None, fit_params)

    def _of_rows(self, rows):
        """The parameters of `fit`, those with an entry a row of X cut to these rows; rows to validate on are
        no rows of X.
        """
        whole = {name: value for name, value in self._fit_params.items() if _last_part(name) in HELD_OUT}
        rest = {name: value for name, value in self._fit_params.items() if name not in whole}
        return _check_method_params(self._given_X, rest, rows) | whole

    def to_score(self, material, fold, *, train=False):
        """(Estimator, X, y, score parameters) that a scorer is called with: of the rows to score, or those
        trained on.
        """
        rows = fold.train if train else fold.test
        score_params = _check_method_params(self._given_X, self._score_params, rows)
        y = self._targets(fold, rows, train)
        if self._kind == "network" and self._scores_rows_as_given:
            return material.network, _safe_indexing(self._given_X, rows), y, score_params
        if self._kind == "network":
            return material.network, self._shared_rows(material.X, fold, rows, train), y, score_params
        if material.steps is not None and self._scores_network:
            X = material.X if train else material.steps.to_score()
            return material.network, X, y, score_params
        if material.steps is not None:
            return material.fitted(), _safe_indexing(self._given_X, rows), y, score_params
        X, y = _safe_split(material.estimator, self._given_X, self._given_y, rows, fold.train)
        return material.estimator, X, y, score_params

    @property
    def _scores_rows_as_given(self):
        """Whether a network's scorer is given rows of the user's table, where that is none of the
        engine's.
        """
        return not self._scores_plainly and self._X is not self._given_X

    def _steps(self, estimator, params, fold, fit_params):
        """The `Steps` of a candidate in a fold."""
        # Nothing but the network's own parameters can differ where the others' hash is the same.
        of_steps = {
            k: v for k, v in params.items() if not k.startswith(self._prefix) and k != self._prefix[:-2]
        }
        try:
            hashed = joblib.hash(of_steps)
        except Exception:  # they do not pickle: their steps are this candidate's alone
            hashed = object()
        key = None if fold is None else fold.number, hashed
        with self._lock:
            shared = self._fitted_steps.setdefault(key, _Shared())
            self._fitted_steps.move_to_end(key)
            while len(self._fitted_steps) > len(self.folds):
                self._fitted_steps.popitem(last=False)
        with shared.lock:
            if shared.value is None:
                shared.value = Steps(estimator, self._given_X, self._y, fit_params, fold)
            return shared.value

    def _targets(self, fold, rows, train):
        """Of these rows; those to score are taken once."""
        y = self._scored_y
        if y is None or train:
            return None if y is None else _safe_indexing(y, rows)
        if fold.number not in self._targets_to_score:
            self._targets_to_score[fold.number] = _safe_indexing(y, rows)
        return self._targets_to_score[fold.number]

    def _shared_rows(self, X, fold, rows, train):
        """Rows of X: a view where they follow each other, or else one copy for all who need them at this
        time.
        """
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return X[rows[0] : rows[-1] + 1]
        if train or not isinstance(X, np.ndarray):
            return X[rows]
        with self._lock:
            shared = self._tests.setdefault(fold.number, _Shared())
        with shared.lock:
            copy = self._rows_to_score.get(fold.number)
            if copy is None:
                copy = self._rows_to_score[fold.number] = X[rows]
            return copy


def _is_plain(scorer):
    """Whether a scorer asks nothing of an estimator but predictions, and looks at nothing of X."""
    if isinstance(scorer, _MultimetricScorer):
        return all(map(_is_plain, scorer._scorers.values()))
    return isinstance(scorer, _BaseScorer | _PassthroughScorer)


def _last_part(name):
    """The name of a parameter without the names of steps."""
    return name.rpartition("__")[2]


def _row_numbers(rows, X):
    """What a splitter gave, numbers or a mask, as numbers of rows."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp, copy=False)
