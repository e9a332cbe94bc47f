"""Rules of thumb about batch sizes: what a learning rate becomes in batches of another size."""

import math
import warnings
from numbers import Integral, Real

import numpy as np

from nnfast.suggestions import did_you_mean

# The rate is multiplied by that power of how many times the batch is larger.
RULES = {"linear": 1.0, "sqrt": 0.5}

# Above this factor of the rate, a fit without a warmup is warned of. Goyal et al. begin every fit above their
# base with one; it is at large factors that fits without one diverge.
LARGE_FACTOR = 8


def scaled_learning_rate(base_lr, base_batch, batch, rule="linear", *, warmup=False):
    """The learning rate for another batch size: base_lr (batch / base_batch), or by the square root of that.

    A larger batch has a gradient of less noise, and an epoch of it fewer steps: it bears longer ones, and
    needs them to get as far. The rules say where to begin, not where the best rate is:

    - Hyperparameters depend on each other. Who changes the batch size almost always has to tune the rate
      anew.
    - Large batches use the machine better, but may generalise worse (Keskar et al., 2017; Masters and Luschi,
      2018). LeCun's rule: "Friends don't let friends use batches > 32".
    - Large batches with the large rates that belong to them want a warmup, which starts low and climbs:
      ``learning_rate=Cosine(warmup=5, warmup_unit="epochs")``, and so with any other schedule of
      `nnfast.schedules`. They then generalise about as well as small ones, up to a size that depends on the
      table (Goyal et al., 2017).
    - "linear" breaks down where batch and rate are large already.

    Parameters
    ----------
    base_lr : float
        A rate that works, > 0.
    base_batch : int
        Rows of the batches that it works with, 1 or more; for ``batch_size="auto"`` 200, or all rows of a
        smaller table.
    batch : int
        Rows of the batches that a rate is asked for, 1 or more.
    rule : {"linear", "sqrt"}, default="linear"
        "linear" is for "sgd" (Goyal et al.), "sqrt" for "adam" and the others that divide by the size of the
        gradient (Malladi et al.).
    warmup : bool, default=False
        Whether the fit will have a warmup: then there is no warning.

    Returns
    -------
    learning_rate : float

    Warns
    -----
    UserWarning
        If the rate grows more than 8 times, without a warmup.

    Raises
    ------
    ValueError
        If an argument is not what it has to be.

    References
    ----------
    Goyal et al., Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 2017, arXiv:1706.02677.
    Keskar et al., On Large-Batch Training for Deep Learning: Generalization Gap and Sharp Minima, 2017,
    arXiv:1609.04836.
    Malladi et al., On the SDEs and Scaling Rules for Adaptive Gradient Algorithms, 2022, arXiv:2205.10287.
    Masters and Luschi, Revisiting Small Batch Training for Deep Neural Networks, 2018, arXiv:1804.07612.

    Examples
    --------
    >>> scaled_learning_rate(0.1, 32, 128)
    0.4
    >>> scaled_learning_rate(0.001, 32, 128, rule="sqrt")
    0.002

    Sixteen times the rate, with the warmup that it takes:

    >>> from nnfast import MLPClassifier
    >>> from nnfast.schedules import Cosine
    >>> rate = scaled_learning_rate(0.01, 32, 512, warmup=True)
    >>> schedule = Cosine(warmup=5, warmup_unit="epochs")
    >>> clf = MLPClassifier(solver="sgd", batch_size=512, learning_rate_init=rate, learning_rate=schedule)
    >>> clf.learning_rate_init
    0.16
    """
    if not isinstance(base_lr, Real) or isinstance(base_lr, (bool, np.bool_)) or not 0 < base_lr < math.inf:
        raise ValueError(f"base_lr must be a positive number, got {base_lr!r}.")
    if not isinstance(warmup, (bool, np.bool_)):
        raise ValueError(f"warmup must be True or False, got {warmup!r}.")
    check_rule(rule)
    for parameter, value in (("base_batch", base_batch), ("batch", batch)):
        check_rows(parameter, value)
    factor = rate_factor(batch, base_batch, rule)
    if factor > LARGE_FACTOR and not warmup:
        warnings.warn(
            f"A batch of {batch} rows in place of {base_batch} makes the learning rate {factor:g} times as "
            f"large. Above {LARGE_FACTOR} times, fits tend to diverge without a warmup: use a schedule with "
            "one, such as nnfast.schedules.Cosine(warmup=5, warmup_unit='epochs'), and say so by "
            "warmup=True; and tune the rate anew.",
            UserWarning,
            stacklevel=2,
        )
    return float(base_lr * factor)


def rate_factor(batch, base, rule):
    """What a rate for batches of `base` rows is multiplied by for batches of `batch` rows."""
    return (batch / base) ** RULES[rule]


def check_rule(rule):
    """Raise unless it is the name of a rule."""
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"rule must be 'linear' or 'sqrt', got {rule!r}.{did_you_mean(rule, RULES)}")


def check_rows(parameter, value):
    """Raise unless it is a number of rows."""
    if not isinstance(value, Integral) or isinstance(value, (bool, np.bool_)) or value < 1:
        raise ValueError(f"{parameter} must be a number of rows, an integer of 1 or more, got {value!r}.")
