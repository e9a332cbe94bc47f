"""Losses: what a fit minimises, each with the output activation that makes its gradient simple.

Every loss is a function of the targets y and of the logits z (the output layer's pre-activations, one row a sample),
never of probabilities: from logits nothing needs clipping. A batch's loss is the weighted mean of its rows' losses,
plus 0.5 * alpha * (sum of squared weights) / (sum of the batch's sample weights).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_softmax, softmax, xlogy


@dataclass(frozen=True)
class Loss:
    """One loss.

    `value(y, z)` is the loss of each row, shape (n,); `gradient(y, z)` its derivative by z, shape (n, n_outputs);
    `output(z)` the output activation, called `out_activation` in scikit-learn's attribute `out_activation_`.
    The stochastic solvers descend along `descent_scale(n_outputs)` times the gradient.
    """

    name: str
    formula: str
    domain: str
    out_activation: str
    output: Callable[[np.ndarray], np.ndarray]
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]
    kernel: str
    descent_scale: Callable[[int], float] = lambda n_outputs: 1.0
    reference: str = ""


def _log_loss_gradient(y, z):
    dz = softmax(z, axis=1)
    dz[np.arange(len(y)), y] -= 1
    return dz


_ALL = (
    Loss(
        name="log_loss",
        formula="log(sum_k exp(z_k)) - z_y",
        domain="y: the number of the class, 0 <= y < n_outputs",
        out_activation="softmax",
        output=lambda z: softmax(z, axis=1),
        value=lambda y, z: -log_softmax(z, axis=1)[np.arange(len(y)), y],
        gradient=_log_loss_gradient,
        kernel="log_loss",
        reference="Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, 1990",
    ),
    Loss(
        name="binary_log_loss",
        formula="sum_k log(1 + exp(z_k)) - y_k z_k",
        domain="y: 0 or 1 for every output; one output is a binary problem, several are labels",
        out_activation="logistic",
        output=expit,
        value=lambda y, z: (np.logaddexp(0, z) - y * z).sum(axis=1),
        gradient=lambda y, z: expit(z) - y,
        kernel="binary_log_loss",
    ),
    Loss(
        name="squared_error",
        formula="mean_k (z_k - y_k)^2 / 2",
        domain="y: any real number",
        out_activation="identity",
        output=lambda z: z,
        value=lambda y, z: 0.5 * ((z - y) ** 2).mean(axis=1),
        gradient=lambda y, z: (z - y) / z.shape[1],
        kernel="squared_error",
        # scikit-learn reports the mean over the outputs and descends along the sum's gradient
        descent_scale=float,
    ),
    Loss(
        name="poisson",
        formula="sum_k y_k log(y_k) - y_k z_k - y_k + exp(z_k), half the Poisson deviance",
        domain="y >= 0",
        out_activation="exp",
        output=np.exp,
        value=lambda y, z: (xlogy(y, y) - y * z - y + np.exp(z)).sum(axis=1),
        gradient=lambda y, z: np.exp(z) - y,
        kernel="poisson",
        reference="Nelder and Wedderburn, Generalized Linear Models, 1972",
    ),
)

LOSSES = {loss.name: loss for loss in _ALL}
LOSS_BY_OUT_ACTIVATION = {loss.out_activation: loss for loss in _ALL}
