"""The folds of a cross-validation as networks train on them: rows of one table that is never copied.

A network by itself sees a fold as numbers of rows of X. Before a network at the end of a pipeline, the other steps are
fitted on the fold's rows to train on, and on no others, once for all candidates that do not differ in them. Any other
estimator gets rows of its own, as in scikit-learn's searches.
"""

import threading
import weakref
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params

from nnfast.mapped import exceeds_memory
from nnfast.tuning.networks import network_of, pipelines_of
from nnfast.validation import check_table


@dataclass(frozen=True)
class Fold:
    """Rows to train on and rows to score, arrays of intp."""

    number: int
    train: np.ndarray
    test: np.ndarray


class _Recorder(BaseEstimator):
    """Stands at a pipeline's end for the network: keeps what that would be fitted with."""

    def __init__(self, network=None):
        self.network = network

    def fit(self, X, y=None, **fit_params):
        self.given_ = X, y, fit_params
        return self

    def get_metadata_routing(self):
        return self.network.get_metadata_routing()


class _Steps:
    """The steps before a network, fitted on the rows that a fold trains on, or on all where it is None.

    Attributes
    ----------
    X, y, fit_params
        What the network is fitted with.
    """

    def __init__(self, estimator, X, y, fit_params, fold):
        pipeline = clone(estimator)
        innermost = pipelines_of(pipeline)[-1]
        name, network = innermost.steps[-1]
        innermost.steps[-1] = name, _Recorder(network)
        self._table, self._fold = X, fold
        if fold is not None:
            X, y = _safe_indexing(X, fold.train), _safe_indexing(y, fold.train)
        self._pipeline = pipeline.fit(X, y, **fit_params)
        self.X, self.y, self.fit_params = innermost.steps[-1][1].given_
        self._lock, self._to_score = threading.Lock(), None

    def to_score(self):
        """The rows to score as they come to the network."""
        with self._lock:
            if self._to_score is None:
                rows = _safe_indexing(self._table, self._fold.test)
                for each in pipelines_of(self._pipeline):
                    rows = each[:-1].transform(rows) if len(each.steps) > 1 else rows
                self._to_score = rows
            return self._to_score

    def followed_by(self, network):
        """The fitted pipeline, with a network at its end."""
        ending = network
        for each in reversed(pipelines_of(self._pipeline)):
            ending = Pipeline([*each.steps[:-1], (each.steps[-1][0], ending)])
        return ending


@dataclass
class Material:
    """What one candidate trains on and is scored by, in one fold.

    `network` is to be fitted by `network._course(X, y, rows=rows, **fit_params)`, or `estimator` with
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
        path = self._prefix.split("__")[:-1]
        holders = ["__".join(path[:i]) for i in range(1, len(path) + 1)]
        # The parameters of a pipeline that the network is a part of.
        self._holders = {"steps", *holders, *(f"{name}__steps" for name in holders)}
        self._X, self._given_X, self._given_y = X, X, y
        self._kind = "any" if network is None else "pipeline" if self._prefix else "network"
        if self._kind == "network":
            unknown = set(fit_params) - {"sample_weight", "X_val", "y_val", "sample_weight_val"}
            if unknown:
                raise ValueError(f"a search fits on folds of X: fit takes no {', '.join(sorted(unknown))} there.")
            # Once for all fits: a data frame, say, becomes an array.
            in_blocks = isinstance(network.shuffle, str) or exceeds_memory(X)
            self._X, self._y = check_table(
                clone(network), X, y, y_numeric=network._y_numeric, reset=True, in_blocks=in_blocks
            )
        # A scorer of the user's may look at X and at the estimator's steps.
        self._scores_network = not _routing_enabled() and _is_plain(scorer)
        self.folds = [Fold(i, _row_numbers(train, X), _row_numbers(test, X)) for i, (train, test) in enumerate(splits)]
        self.shared = _Interned()  # what networks need of targets and weights
        self._fitted_steps, self._lock = OrderedDict(), threading.Lock()
        self._rows_to_score, self._tests, self._targets_to_score = weakref.WeakValueDictionary(), {}, {}

    def material(self, estimator, fold):
        """The `Material` of a candidate, an unfitted estimator, in a fold; `fold` None is for all rows.

        It belongs to the caller, but for tables, which others have, too.
        """
        X, y, rows = (self._given_X, self._given_y, None) if fold is None else (self._X, self._y, fold.train)
        fit_params = self._fit_params if rows is None else _check_method_params(self._given_X, self._fit_params, rows)
        if self._kind == "network":
            weights = {name: self._fit_params[name] for name in ("sample_weight",) if name in self._fit_params}
            held_out = tuple(self._fit_params.get(name) for name in ("X_val", "y_val", "sample_weight_val"))
            return Material(estimator, estimator, X, y, rows, {**weights, "held_out": (*held_out, None)})
        if self._kind == "pipeline":
            steps = self._steps(estimator, fold, fit_params)
            given = dict(steps.fit_params)
            held_out = tuple(given.pop(name, None) for name in ("X_val", "y_val", "sample_weight_val", "validation_indices"))
            network, _ = network_of(estimator)
            return Material(estimator, network, steps.X, steps.y, None, {**given, "held_out": held_out}, steps)
        if rows is not None:
            X, y = _safe_split(estimator, X, y, rows)
        return Material(estimator, None, X, y, None, fit_params)

    def to_score(self, material, fold, *, train=False):
        """(Estimator, X, y, score parameters) that a scorer is called with: of the rows to score, or those trained on."""
        rows = fold.train if train else fold.test
        score_params = _check_method_params(self._given_X, self._score_params, rows)
        y = self._targets(fold, rows, train)
        if self._kind == "network":
            return material.network, self._shared_rows(material.X, fold, rows, train), y, score_params
        if self._kind == "pipeline" and self._scores_network:
            X = material.X if train else material.steps.to_score()
            return material.network, X, y, score_params
        if self._kind == "pipeline":
            return material.fitted(), _safe_indexing(self._given_X, rows), y, score_params
        X, y = _safe_split(material.estimator, self._given_X, self._y, rows, fold.train)
        return material.estimator, X, y, score_params

    def _steps(self, estimator, fold, fit_params):
        """The `_Steps` of a candidate in a fold."""
        # Nothing but the network's own parameters can differ where the others' hash is the same.
        of_steps = {k: v for k, v in estimator.get_params().items() if not k.startswith(self._prefix)}
        of_steps = {k: v for k, v in of_steps.items() if k not in self._holders}
        key = None if fold is None else fold.number, joblib.hash(of_steps)
        with self._lock:
            shared = self._fitted_steps.setdefault(key, _Shared())
            self._fitted_steps.move_to_end(key)
            while len(self._fitted_steps) > len(self.folds):
                self._fitted_steps.popitem(last=False)
        with shared.lock:
            if shared.value is None:
                shared.value = _Steps(estimator, self._given_X, self._y, fit_params, fold)
            return shared.value

    def _targets(self, fold, rows, train):
        """Of these rows; those to score are taken once."""
        if self._y is None or train:
            return None if self._y is None else _safe_indexing(self._y, rows)
        if fold.number not in self._targets_to_score:
            self._targets_to_score[fold.number] = _safe_indexing(self._y, rows)
        return self._targets_to_score[fold.number]

    def _shared_rows(self, X, fold, rows, train):
        """Rows of X: a view where they follow each other, or else one copy for all who need them at this time."""
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


def _row_numbers(rows, X):
    """What a splitter gave, numbers or a mask, as numbers of rows."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp, copy=False)
