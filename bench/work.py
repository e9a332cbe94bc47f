"""The same work for every library: a table, initial weights, the order of every epoch's rows; and the proof
that it was the same.

All descend along the mean log loss of each batch with Adam (0.001, 0.9, 0.999, 1e-8), without a penalty, in
ReLU networks. nnfast and scikit-learn draw weights and orders from `random_state=0` themselves; the others
are given what these draw.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from bench.shapes import Shape

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-8

# Relative differences of a loss after some epochs that rounding explains: it grows with every step, a wrong
# rate or batch shows at once.
TOLERANCES = {"float32": 1e-3, "float64": 1e-6}


class UnequalWork(AssertionError):
    """Two libraries' results differ by more than rounding."""


@dataclass
class Problem:
    """A shape's table in one dtype, for any number of epochs."""

    shape: Shape
    dtype: str

    def __post_init__(self):
        # Drawn in float64 whatever the dtype, so that the labels are the same.
        X, self.y = self.shape.table(np.float64)
        self.X = X.astype(self.dtype)

    def estimator(self, kind, epochs, **parameters):
        """One of the two estimators, set to train for so many epochs exactly."""
        return kind(
            self.shape.hidden,
            alpha=0.0,
            learning_rate_init=LEARNING_RATE,
            beta_1=BETA_1,
            beta_2=BETA_2,
            epsilon=EPSILON,
            batch_size=self.shape.batch_size,
            max_iter=epochs,
            tol=0.0,
            n_iter_no_change=10**9,
            random_state=0,
            **parameters,
        )

    def start(self, epochs):
        """(coefs, intercepts, orders) as scikit-learn draws them; orders has shape (epochs, batches,
        batch_size).
        """
        random_state = np.random.RandomState(0)
        coefs, intercepts = [], []
        units = self.shape.layer_units
        for fan_in, fan_out in zip(units, units[1:]):
            bound = np.sqrt(6.0 / (fan_in + fan_out))
            coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)).astype(self.dtype))
            intercepts.append(random_state.uniform(-bound, bound, fan_out).astype(self.dtype))
        order, orders = np.arange(len(self.y)), []
        for _ in range(epochs):
            # sklearn.utils.shuffle, of the order so far
            positions = np.arange(len(order))
            random_state.shuffle(positions)
            order = order[positions]
            orders.append(order.reshape(-1, self.shape.batch_size))
        return coefs, intercepts, np.array(orders)


def fit_quietly(estimator, *data):
    """The estimator, fitted to X and y, without the warning that `max_iter` was reached: that is what is
    being measured.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*data)


def check_losses(name, losses, reference, dtype):
    """The relative difference of two curves of training losses (the reference is scikit-learn's) after the
    last epoch that both have.

    Raises UnequalWork if it is more than rounding in the dtype explains.
    """
    epoch = min(len(losses), len(reference)) - 1
    difference = abs(losses[epoch] - reference[epoch]) / abs(reference[epoch])
    check_apart(
        f"{name}: training loss of epoch {epoch + 1}, {losses[epoch]:.6g} and {reference[epoch]:.6g}",
        difference,
        TOLERANCES[dtype],
    )
    return difference


def check_apart(words, apart, limit):
    """Raise UnequalWork, with these words, if the difference is more than the limit, or no number."""
    if not apart <= limit:
        raise UnequalWork(f"{words}: {apart:.2g} apart, more than {limit:g}")
