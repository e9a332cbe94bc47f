"""The optimizers of the reference network in `reference.py`, which are found there too."""

import numpy as np


class Optimizer:
    """step(parameters, gradients, learning_rate) moves the parameters in place; the first n_weights are
    weights, which decay. A subclass says what to add to a parameter, given its gradient, the rate and its
    moments.
    """

    n_moments, weight_decay, defaults = 1, 0.0, {}

    def __init__(self, *values, **named):
        vars(self).update(self.defaults | dict(zip(self.defaults, values, strict=False)) | named)
        self.t, self.moments = 0, None

    def step(self, parameters, gradients, learning_rate, n_weights=None):
        if self.moments is None:
            self.moments = [[np.zeros_like(w) for w in parameters] for _ in range(self.n_moments)]
        self.t += 1
        for i, (w, g) in enumerate(zip(parameters, gradients, strict=True)):
            if n_weights is None or i < n_weights:
                w *= 1 - learning_rate * self.weight_decay
            w += self.change(g, learning_rate, *(moment[i] for moment in self.moments))


class SGD(Optimizer):
    defaults = {"momentum": 0.9, "nesterov": True}

    def change(self, g, rate, v):
        v *= self.momentum
        v -= rate * g
        return self.momentum * v - rate * g if self.nesterov else v


class Adam(Optimizer):
    n_moments = 2
    defaults = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}

    def change(self, g, rate, m, v):
        m += (1 - self.beta_1) * (g - m)
        v += (1 - self.beta_2) * (g**2 - v)
        return -rate * self.direction(g, m, v)

    def direction(self, g, m, v):
        return np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t) * m / (np.sqrt(v) + self.epsilon)


class AdamW(Adam):
    defaults = Adam.defaults | {"weight_decay": 0.01}

    def direction(self, g, m, v):
        m_hat, v_hat = m / (1 - self.beta_1**self.t), v / (1 - self.beta_2**self.t)
        return m_hat / (np.sqrt(v_hat) + self.epsilon)


class NAdam(Adam):
    defaults = Adam.defaults | {"momentum_decay": 0.004}

    def direction(self, g, m, v):
        mu = [self.beta_1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay)) for t in range(1, self.t + 2)]
        m_hat = mu[-1] * m / (1 - np.prod(mu)) + (1 - mu[-2]) * g / (1 - np.prod(mu[:-1]))
        return m_hat / (np.sqrt(v / (1 - self.beta_2**self.t)) + self.epsilon)


class RMSprop(Optimizer):
    defaults = {"rho": 0.9, "epsilon": 1e-8}

    def change(self, g, rate, v):
        v += (1 - self.rho) * (g**2 - v)
        return -rate * g / (np.sqrt(v) + self.epsilon)


class Adagrad(Optimizer):
    defaults = {"epsilon": 1e-8}

    def change(self, g, rate, v):
        v += g**2
        return -rate * g / (np.sqrt(v) + self.epsilon)


class Lion(Optimizer):
    defaults = {"beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.01}

    def change(self, g, rate, m):
        direction = np.sign(self.beta_1 * m + (1 - self.beta_1) * g)
        m += (1 - self.beta_2) * (g - m)
        return -rate * direction


class AdaBelief(Adam):
    defaults = Adam.defaults | {"epsilon_root": 1e-16}

    def change(self, g, rate, m, s):
        m += (1 - self.beta_1) * (g - m)
        s += (1 - self.beta_2) * ((g - m) ** 2 - s) + self.epsilon_root
        m_hat, s_hat = m / (1 - self.beta_1**self.t), s / (1 - self.beta_2**self.t)
        return -rate * m_hat / (np.sqrt(s_hat) + self.epsilon)


class Grouped:
    """An optimizer an array, each with factors of its own: of the rate, or the rates of all steps, and of the
    weight decay.
    """

    def __init__(self, optimizers, rates, decays):
        self.optimizers, self.rates, self.t = optimizers, rates, 0
        for optimizer, decay in zip(optimizers, decays, strict=True):
            optimizer.weight_decay *= decay

    def step(self, parameters, gradients, learning_rate, n_weights=None):
        for optimizer, own, w, g in zip(self.optimizers, self.rates, parameters, gradients, strict=True):
            optimizer.step([w], [g], own[self.t] if np.ndim(own) else own * learning_rate)
        self.t += 1


def optimizer_like(record):
    """The optimizer here that has the name and the hyperparameters of an nnfast record."""
    optimizers = {
        optimizer.__name__.lower(): optimizer
        for optimizer in (SGD, Adam, AdamW, NAdam, RMSprop, Adagrad, Lion, AdaBelief)
    }
    return optimizers[record.name](**vars(record))
