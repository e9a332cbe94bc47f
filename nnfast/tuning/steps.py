"""The steps of a pipeline before its network, fitted on a fold's rows for all candidates that do not differ
in them.
"""

import copy
import threading

from sklearn.base import BaseEstimator, clone
from sklearn.utils import _safe_indexing

from nnfast.tuning.networks import pipelines_of


class _Recorder(BaseEstimator):
    """Stands at a pipeline's end for the network: keeps what that would be fitted with, and lets rows pass.

    The pipeline then counts as fitted, also where its other steps have no state: scikit-learn asks the last
    one.
    """

    def __init__(self, network=None):
        self.network = network

    def fit(self, X, y=None, **fit_params):
        self.given_ = X, y, fit_params
        return self

    def transform(self, X):
        return X

    def get_metadata_routing(self):
        return self.network.get_metadata_routing()


class Steps:
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
                self._to_score = self._pipeline.transform(_safe_indexing(self._table, self._fold.test))
            return self._to_score

    def followed_by(self, network):
        """The fitted pipeline, with a network at its end."""
        ending = network
        for each in reversed(pipelines_of(self._pipeline)):
            pipeline = copy.copy(each)  # with all its settings
            pipeline.steps = [*each.steps[:-1], (each.steps[-1][0], ending)]
            ending = pipeline
        return ending
