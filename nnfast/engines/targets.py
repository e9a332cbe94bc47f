"""Targets and weights on their way down to compiled code, and what their loss takes."""

import numpy as np

from nnfast.engines.arrays import ROW_NUMBERS, checked
from nnfast.losses import loss_of


def checked_targets(y, sample_weight, network, n_samples, dtype):
    """(y, sample_weight), if compiled code can take them as they are; the latter may be None."""
    labels = loss_of(network.loss).of_classes
    shape = (n_samples,) if labels else (n_samples, network.n_outputs)
    y = checked(y, "y", ROW_NUMBERS if labels else (dtype,), shape)
    if sample_weight is not None:
        sample_weight = checked(sample_weight, "sample_weight", (np.dtype(np.float64),), (n_samples,))
    return y, sample_weight


def check_class_numbers(y, n_classes):
    """Raise ValueError unless all class numbers are those of outputs."""
    if len(y) and not 0 <= y.min() <= y.max() < n_classes:
        raise ValueError(f"y must hold class numbers 0 .. {n_classes - 1}, got {y.min()} .. {y.max()}")


def are_skipped(order, sample_weight, batch_size, n_epochs, begin, n_steps):
    """Whether the weights of so many batches from the one numbered `begin` sum to zero: of the rows `order`,
    one epoch after the other.
    """
    n_rows = len(order) // n_epochs
    firsts = np.arange(n_epochs)[:, np.newaxis] * n_rows + np.arange(0, n_rows, batch_size)
    firsts = firsts.ravel()[begin:]
    weights = sample_weight[order[firsts[0] :]]
    return np.add.reduceat(weights, firsts - firsts[0])[:n_steps] == 0


def loss_parameters(network):
    """The loss's own parameters: one, or one an output; the record's where the network has none."""
    loss = loss_of(network.loss)
    parameters = network.loss_parameters or loss.defaults
    expected = network.n_outputs if network.loss == "quantile" else len(loss.defaults)
    if network.loss == "quantile" and len(parameters) == 1:
        parameters = parameters * expected
    if len(parameters) not in (0, expected):
        raise ValueError(f"loss {network.loss!r} takes {expected} parameters, got {parameters!r}")
    return parameters
