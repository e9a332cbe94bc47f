"""Optimizers: how a gradient moves a parameter.

A record holds an optimizer's hyperparameters; `update` is one step as readable NumPy, the definition that the
compiled kernels are tested against. `n_moments` arrays of a parameter's shape go on from step to step.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Adam:
    """Adam, with scikit-learn's place for epsilon: outside the root, and not corrected for bias.

        m <- beta_1 m + (1 - beta_1) g
        v <- beta_2 v + (1 - beta_2) g^2
        w <- w - learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)

    Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, arXiv:1412.6980 (the efficient form that closes
    its section 2).
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    name: ClassVar[str] = "adam"
    kernel: ClassVar[str] = "adam"
    n_moments: ClassVar[int] = 2

    def update(self, w, moments, g, learning_rate, t):
        """One step: w and moments = (m, v) are updated in place; t counts steps from 1."""
        m, v = moments
        m[...] = self.beta_1 * m + (1 - self.beta_1) * g
        v[...] = self.beta_2 * v + (1 - self.beta_2) * g * g
        rate = learning_rate * np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        w -= rate * m / (np.sqrt(v) + self.epsilon)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum, optionally Nesterov's.

        v <- momentum v - learning_rate g
        w <- w + v                                   without nesterov
        w <- w + momentum v - learning_rate g        with nesterov

    Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum in deep learning, 2013.
    """

    momentum: float = 0.9
    nesterov: bool = True

    name: ClassVar[str] = "sgd"
    kernel: ClassVar[str] = "sgd"
    n_moments: ClassVar[int] = 1

    def update(self, w, moments, g, learning_rate, t):
        """One step: w and moments = (v,) are updated in place; t is not used."""
        (v,) = moments
        v[...] = self.momentum * v - learning_rate * g
        w += self.momentum * v - learning_rate * g if self.nesterov else v


OPTIMIZERS = {optimizer.name: optimizer for optimizer in (Adam, SGD)}
