"""nnfast and scikit-learn: fits, with all that a fit does once (validation, labels, initial weights)."""

import numpy as np
import sklearn.neural_network

import nnfast
from bench.work import fit_quietly


class ScikitLearn:
    """`sklearn.neural_network.MLPClassifier` computes in X's dtype."""

    kind = sklearn.neural_network.MLPClassifier
    sets_up = True  # what `ready` returns begins with what a fit does once

    def __init__(self, problem, n_threads):
        self.problem, self.X, self.parameters = problem, problem.X, {}

    def ready(self, epochs):
        estimator = self.estimator = self.problem.estimator(self.kind, epochs, **self.parameters)
        return lambda: fit_quietly(estimator, self.X, self.problem.y).loss_curve_

    def rows(self, X):
        return X.astype(self.X.dtype)

    def predict(self, X):
        return self.estimator.predict_proba(X)


class Nnfast(ScikitLearn):
    """`nnfast.MLPClassifier` on a float64 X, as users have it, with `precision` as the one word more."""

    kind = nnfast.MLPClassifier

    def __init__(self, problem, n_threads):
        super().__init__(problem, n_threads)
        self.X, self.parameters = problem.X.astype(np.float64), {"precision": problem.dtype}


class NnfastCompiled(Nnfast):
    """Predictions by `compiled()`, of float32 rows: without validation, like those of the frameworks."""

    def ready(self, epochs):
        fit, estimator = super().ready(epochs), self.estimator

        def fit_and_compile():
            losses = fit()
            self.compiled = estimator.compiled()
            return losses

        return fit_and_compile

    def rows(self, X):
        return X.astype(np.float32)

    def predict(self, X):
        return self.compiled.predict_proba(X)
