"""Optimizers: how a gradient moves a parameter.

A record holds an optimizer's hyperparameters. `rates` gives the scalars of a step, and `step` is what is done
with them to every element: the definition that the compiled kernels are tested against, and from which the
engine in Numba is made. Both engines take the scalars from here: `nnfast.step_scalars` makes a table of them.
`n_moments` arrays of a parameter's shape go on from step to step.

In the formulas g is the gradient, t counts steps from 1, and the learning rate is what the schedule makes of
it. `decays` is False for biases and for the scales and shifts of a normalization, which no weight decay
shrinks.
"""

from dataclasses import dataclass, fields
from inspect import signature
from numbers import Real
from typing import ClassVar

import numpy as np

from nnfast.schedules.values import initial_value
from nnfast.suggestions import did_you_mean

__all__ = [
    "AdaBelief",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "NAdam",
    "OPTIMIZERS",
    "Optimizer",
    "RMSprop",
    "SGD",
]

_TINY = 1e-300

# What each hyperparameter has to be, in words and as a check.
_DOMAINS = {
    "momentum": ("a number in [0, 1]", lambda value: 0 <= value <= 1),
    "beta_1": ("a number in [0, 1)", lambda value: 0 <= value < 1),
    "beta_2": ("a number in [0, 1)", lambda value: 0 <= value < 1),
    "rho": ("a number in [0, 1)", lambda value: 0 <= value < 1),
    "epsilon": ("a number > 0", lambda value: 0 < value < np.inf),
    "epsilon_root": ("a number >= 0", lambda value: 0 <= value < np.inf),
    "weight_decay": ("a number >= 0", lambda value: 0 <= value < np.inf),
    "momentum_decay": ("a number >= 0", lambda value: 0 <= value < np.inf),
}


@dataclass(frozen=True)
class Optimizer:
    """What all optimizers have in common: the checks of their hyperparameters, and their formula in a line.

    Raises
    ------
    ValueError
        If a hyperparameter is not what it has to be.
    """

    name: ClassVar[str]
    kernel: ClassVar[str]
    n_moments: ClassVar[int]
    advice: ClassVar[str]
    formula: ClassVar[str]

    def __init_subclass__(cls):
        blocks = (cls.__doc__ or "").split("\n\n")  # python -OO has no docstrings
        cls.formula = "; ".join(
            " ".join(line.split()) for block in blocks[1:2] for line in block.splitlines()
        )

    def rates(self, learning_rate, t, power=np.power, accumulated=None):
        """The scalars that `step` takes in step t, counted from 1; of steps and their rates, arrays of these.

        Parameters
        ----------
        learning_rate : float or ndarray of shape (n_steps,)
        t : float or ndarray of shape (n_steps,)
            Steps that never fall, and skip none.
        power : callable, default=numpy.power
            power(base, exponents). The engines give the C library's, whose last bit NumPy's need not have.
        accumulated : object
            What `accumulate` returns for the step before the first one. None: it is asked for here.

        Returns
        -------
        tuple of (float or ndarray of shape (n_steps,))
            Those that depend on the step are arrays.
        """
        raise NotImplementedError

    def accumulate(self, t, power=np.power, earlier=None):
        """What the scalars of steps after t owe to all steps up to t, or None if they owe them nothing;
        earlier: the answer for an earlier step, from which it is quicker found.
        """
        return None

    @classmethod
    def scalar_names(cls):
        """Names of the scalars that `step` takes."""
        return tuple(signature(cls.step).parameters)[2 + cls.n_moments :]

    @staticmethod
    def step(w, g, *moments_and_rates):
        """w and the moments after a step of one element, or of arrays, from those before it, without weight
        decay.
        """
        raise NotImplementedError

    def shrink(self, learning_rate):
        """What weights are multiplied by before a step: 1 without weight decay."""
        return 1 - learning_rate * self.weight_decay if hasattr(self, "weight_decay") else 1.0

    def update(self, w, moments, g, learning_rate, t, decays=True):
        """One step: w and the moments, arrays, are updated in place; t counts steps from 1."""
        if decays:
            w *= self.shrink(learning_rate)
        stepped = self.step(w, g, *moments, *self.rates(learning_rate, t))
        for array, values in zip((w, *moments), stepped, strict=True):
            array[...] = values

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _DOMAINS:
                words, accepts = _DOMAINS[field.name]
                if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)) or not accepts(value):
                    raise ValueError(f"{field.name} of {type(self).__name__} must be {words}, got {value!r}.")
            elif not isinstance(value, (bool, np.bool_)):
                raise ValueError(
                    f"{field.name} of {type(self).__name__} must be True or False, got {value!r}."
                )


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum, optionally Nesterov's.

        v <- momentum v - learning_rate g
        w <- w + v                               (without nesterov)
        w <- w + momentum v - learning_rate g    (with nesterov)

    Textbooks also write v <- momentum v + (1 - momentum) g, w <- w - learning_rate v: the same path, without
    nesterov, as here at a learning rate of (1 - momentum) times theirs.

    Parameters
    ----------
    momentum : float, default=0.9
        In [0, 1]; 0 is plain gradient descent.
    nesterov : bool, default=True
        Whether the gradient's step is looked ahead over.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum in deep learning,
    2013.
    """

    momentum: float = 0.9
    nesterov: bool = True

    name: ClassVar[str] = "sgd"
    kernel: ClassVar[str] = "sgd"
    n_moments: ClassVar[int] = 1
    advice: ClassVar[str] = "With a tuned rate and a schedule as good as any, but sensitive to the rate."

    def rates(self, learning_rate, t, power=np.power, accumulated=None):
        return learning_rate, self.momentum, float(self.nesterov)

    @staticmethod
    def step(w, g, v, learning_rate, momentum, nesterov):
        v = momentum * v - learning_rate * g
        return w + np.where(nesterov > 0, momentum * v - learning_rate * g, v), v


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam, with scikit-learn's place for epsilon: outside the root, and not corrected for bias.

        m <- beta_1 m + (1 - beta_1) g
        v <- beta_2 v + (1 - beta_2) g^2
        w <- w - learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of the first and of the second moment, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the root of the second moment, more than 0.

    References
    ----------
    Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, arXiv:1412.6980 (the efficient form that
    closes its section 2).
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    name: ClassVar[str] = "adam"
    kernel: ClassVar[str] = "adam"
    n_moments: ClassVar[int] = 2
    advice: ClassVar[str] = "The one to start with: good over a wide range of rates."

    def rates(self, learning_rate, t, power=np.power, accumulated=None):
        root = np.sqrt(1 - power(self.beta_2, t))
        return learning_rate * root / (1 - power(self.beta_1, t)), self.beta_1, self.beta_2, self.epsilon

    @staticmethod
    def step(w, g, m, v, rate, beta_1, beta_2, epsilon):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        return w - rate * m / (np.sqrt(v) + epsilon), m, v


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, as in PyTorch: epsilon is added to the corrected root.

        w <- (1 - learning_rate weight_decay) w    (weights only)
        m, v as Adam's
        w <- w - learning_rate / (1 - beta_1^t) m / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Parameters
    ----------
    beta_1, beta_2, epsilon : float, default=0.9, 0.999 and 1e-8
        Adam's.
    weight_decay : float, default=0.01
        Share of a weight that a step at learning rate 1 takes away, at least 0.

    References
    ----------
    Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, arXiv:1711.05101.
    """

    weight_decay: float = 0.01

    name: ClassVar[str] = "adamw"
    kernel: ClassVar[str] = "adamw"
    advice: ClassVar[str] = "As adam, where weights should be held small: its decay treats all weights alike."

    def rates(self, learning_rate, t, power=np.power, accumulated=None):
        # with the root that v is corrected by on both sides of the quotient, which is Adam's then
        root = np.sqrt(1 - power(self.beta_2, t))
        rate = learning_rate * root / (1 - power(self.beta_1, t))
        return rate, self.beta_1, self.beta_2, self.epsilon * root


@dataclass(frozen=True)
class NAdam(Adam):
    """Adam with Nesterov's momentum, as in PyTorch.

        mu_t = beta_1 (1 - 0.5 0.96^(t momentum_decay)),    P_t = mu_1 mu_2 ... mu_t
        m, v as Adam's
        s = mu_(t+1) m / (1 - P_(t+1)) + (1 - mu_t) g / (1 - P_t)
        w <- w - learning_rate s / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Parameters
    ----------
    beta_1, beta_2, epsilon : float, default=0.9, 0.999 and 1e-8
        Adam's.
    momentum_decay : float, default=0.004
        How fast the momentum grows to beta_1, at least 0.

    References
    ----------
    Dozat, Incorporating Nesterov Momentum into Adam, 2016.
    """

    momentum_decay: float = 0.004

    name: ClassVar[str] = "nadam"
    kernel: ClassVar[str] = "nadam"
    advice: ClassVar[str] = "As adam, sometimes in fewer epochs."

    def momenta(self, t, power=np.power, accumulated=None):
        """(mu_t, mu_(t+1), P_t), t a step or an array of steps as `rates` takes them."""
        steps = np.atleast_1d(t)
        _, product = accumulated or self.accumulate(steps[0] - 1, power)
        mu = self._mu(np.arange(steps[0], steps[-1] + 2), power)
        products = np.cumprod(np.concatenate(([product], mu)))[1:]  # one after the other, whatever the steps
        at = (steps - steps[0]).astype(np.intp)
        momenta = mu[at], mu[at + 1], products[at]
        return momenta if np.ndim(t) else tuple(each[0] for each in momenta)

    def accumulate(self, t, power=np.power, earlier=None):
        """(t, P_t)."""
        done, product = earlier if earlier is not None and earlier[0] <= t else (0, 1.0)
        while done < t and product > _TINY:  # as good as 0, after some thousand steps
            end = min(done + 4096, t)
            product = np.cumprod(np.concatenate(([product], self._mu(np.arange(done + 1, end + 1), power))))[
                -1
            ]
            done = end
        return t, product

    def _mu(self, t, power):
        return self.beta_1 * (1 - 0.5 * power(0.96, t * self.momentum_decay))

    def rates(self, learning_rate, t, power=np.power, accumulated=None):
        # as AdamW's
        mu, following, product = self.momenta(t, power, accumulated)
        root = np.sqrt(1 - power(self.beta_2, t))
        momentum_rate = learning_rate * root * following / (1 - product * following)
        gradient_rate = learning_rate * root * (1 - mu) / (1 - product)
        return momentum_rate, gradient_rate, self.beta_1, self.beta_2, self.epsilon * root

    @staticmethod
    def step(w, g, m, v, momentum_rate, gradient_rate, beta_1, beta_2, epsilon):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        return w - (momentum_rate * m + gradient_rate * g) / (np.sqrt(v) + epsilon), m, v


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop: steps measured by the root of a running mean of squared gradients.

        v <- rho v + (1 - rho) g^2
        w <- w - learning_rate g / (sqrt(v) + epsilon)

    Parameters
    ----------
    rho : float, default=0.9
        Decay of the second moment, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the root of the second moment, more than 0.

    References
    ----------
    Tieleman and Hinton, Lecture 6.5: RMSprop, COURSERA: Neural Networks for Machine Learning, 2012.
    """

    rho: float = 0.9
    epsilon: float = 1e-8

    name: ClassVar[str] = "rmsprop"
    kernel: ClassVar[str] = "rmsprop"
    n_moments: ClassVar[int] = 1
    advice: ClassVar[str] = "As adam without its first moment; a classic for targets that drift."

    def rates(self, learning_rate, t, power=np.power, accumulated=None):
        return learning_rate, self.rho, self.epsilon

    @staticmethod
    def step(w, g, v, learning_rate, rho, epsilon):
        v = rho * v + (1 - rho) * g * g
        return w - learning_rate * g / (np.sqrt(v) + epsilon), v


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Adagrad: steps measured by the root of the sum of all squared gradients.

        v <- v + g^2
        w <- w - learning_rate g / (sqrt(v) + epsilon)

    Parameters
    ----------
    epsilon : float, default=1e-8
        What is added to the root, more than 0.

    References
    ----------
    Duchi, Hazan and Singer, Adaptive Subgradient Methods for Online Learning and Stochastic Optimization,
    2011.
    """

    epsilon: float = 1e-8

    name: ClassVar[str] = "adagrad"
    kernel: ClassVar[str] = "adagrad"
    n_moments: ClassVar[int] = 1
    advice: ClassVar[str] = "For sparse tables whose rare features matter; start at a rate of 0.01 or more."

    def rates(self, learning_rate, t, power=np.power, accumulated=None):
        return learning_rate, self.epsilon

    @staticmethod
    def step(w, g, v, learning_rate, epsilon):
        v = v + g * g
        return w - learning_rate * g / (np.sqrt(v) + epsilon), v


@dataclass(frozen=True)
class Lion(Optimizer):
    """Lion: steps of one size, along the sign of a momentum, with decoupled weight decay.

        w <- (1 - learning_rate weight_decay) w    (weights only)
        w <- w - learning_rate sign(beta_1 m + (1 - beta_1) g)
        m <- beta_2 m + (1 - beta_2) g

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.99
        Weight of the momentum in the step, and its decay, in [0, 1). The defaults are the paper's;
        solver="lion" takes the estimator's `beta_2`, whose default is 0.999.
    weight_decay : float, default=0.01
        Share of a weight that a step at learning rate 1 takes away, at least 0.

    References
    ----------
    Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, arXiv:2302.06675.
    """

    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.01

    name: ClassVar[str] = "lion"
    kernel: ClassVar[str] = "lion"
    n_moments: ClassVar[int] = 1
    advice: ClassVar[str] = (
        "Wants a rate 3 to 10 times smaller than adam's, more weight decay, and large batches."
    )

    def rates(self, learning_rate, t, power=np.power, accumulated=None):
        return learning_rate, self.beta_1, self.beta_2

    @staticmethod
    def step(w, g, m, learning_rate, beta_1, beta_2):
        w = w - learning_rate * np.sign(beta_1 * m + (1 - beta_1) * g)
        return w, beta_2 * m + (1 - beta_2) * g


@dataclass(frozen=True)
class AdaBelief(Adam):
    """AdaBelief: Adam with steps measured by how far gradients are from their running mean.

        m <- beta_1 m + (1 - beta_1) g
        s <- beta_2 s + (1 - beta_2) (g - m)^2 + epsilon_root
        w <- w - learning_rate / (1 - beta_1^t) m / (sqrt(s / (1 - beta_2^t)) + epsilon)

    Parameters
    ----------
    beta_1, beta_2, epsilon : float, default=0.9, 0.999 and 1e-8
        As Adam's.
    epsilon_root : float, default=1e-16
        What is added to the second moment in every step, at least 0.

    References
    ----------
    Zhuang et al., AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients, 2020,
    arXiv:2010.07468. There `epsilon_root` and `epsilon` are one.
    """

    epsilon_root: float = 1e-16

    name: ClassVar[str] = "adabelief"
    kernel: ClassVar[str] = "adabelief"
    advice: ClassVar[str] = "As adam, with longer steps where gradients agree: try a smaller rate first."

    def rates(self, learning_rate, t, power=np.power, accumulated=None):
        # as AdamW's
        root = np.sqrt(1 - power(self.beta_2, t))
        rate = learning_rate * root / (1 - power(self.beta_1, t))
        return rate, self.beta_1, self.beta_2, self.epsilon * root, self.epsilon_root

    @staticmethod
    def step(w, g, m, s, rate, beta_1, beta_2, epsilon, epsilon_root):
        m = beta_1 * m + (1 - beta_1) * g
        s = beta_2 * s + (1 - beta_2) * (g - m) * (g - m) + epsilon_root
        return w - rate * m / (np.sqrt(s) + epsilon), m, s


OPTIMIZERS = {
    optimizer.name: optimizer for optimizer in (Adam, SGD, AdamW, NAdam, RMSprop, Adagrad, Lion, AdaBelief)
}

# All scalars of a step, by the names that the records' `step` has for them; each optimizer takes some. The
# learning rate itself and what weights are multiplied by concern all.
SCALARS = tuple(
    dict.fromkeys(
        ("learning_rate", "shrink", *(name for each in OPTIMIZERS.values() for name in each.scalar_names()))
    )
)

# The estimators' words, where they are not the records'.
ESTIMATOR_NAMES = {"nesterov": "nesterovs_momentum"}


def resolve_optimizer(p):
    """The record that an estimator's parameters ask for.

    Parameters
    ----------
    p : object
        Has `solver`, a name in `OPTIMIZERS` or a record, and for a name the hyperparameters `momentum`,
        `nesterovs_momentum`, `beta_1`, `beta_2`, `epsilon`, `rho` and `weight_decay`, as far as it has them;
        of one with a schedule the record has the initial value.

    Raises
    ------
    ValueError
        If `solver` is neither, or if a hyperparameter is not what it has to be.
    """
    if isinstance(p.solver, Optimizer):
        return p.solver
    if not isinstance(p.solver, str) or p.solver not in OPTIMIZERS:
        raise ValueError(
            f"solver must be one of {', '.join(map(repr, OPTIMIZERS))}, or a record of nnfast.optimizers "
            f"such as Lion(), got {p.solver!r}.{did_you_mean(p.solver, OPTIMIZERS)}"
        )
    record = OPTIMIZERS[p.solver]
    names = {field.name: ESTIMATOR_NAMES.get(field.name, field.name) for field in fields(record)}
    return record(
        **{own: initial_value(getattr(p, theirs)) for own, theirs in names.items() if hasattr(p, theirs)}
    )


def __dir__():
    return __all__
