"""nnfast and scikit-learn: whole fits, with all that a fit does once (validation, labels, initial weights)."""

import numpy as np
import sklearn.neural_network

import nnfast
from bench.work import fit_quietly


class ScikitLearn:
    """`sklearn.neural_network.MLPClassifier` computes in X's dtype."""

    def __init__(self, problem, n_threads):
        self.problem = problem

    def ready(self, epochs):
        estimator = self.problem.estimator(sklearn.neural_network.MLPClassifier, epochs)
        return lambda: fit_quietly(estimator, self.problem.X, self.problem.y).loss_curve_


class Nnfast:
    """`nnfast.MLPClassifier` on a float64 X, as users have it, with `precision` as the one word more."""

    def __init__(self, problem, n_threads):
        self.problem = problem
        self.X = problem.X.astype(np.float64)

    def ready(self, epochs):
        estimator = self.problem.estimator(nnfast.MLPClassifier, epochs, precision=self.problem.dtype)
        return lambda: fit_quietly(estimator, self.X, self.problem.y).loss_curve_
