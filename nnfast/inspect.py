"""Seeing inside a fitted network: how gradients flow, which units are dead or saturated, what the weights are
like.

All functions take a fitted `MLPClassifier` or `MLPRegressor`, or a scikit-learn `Pipeline` that ends in one,
and X as it was given to `fit`. They return numbers, NumPy arrays in the order of `coefs_`, with a table of
them as text and a `plot`. They compute in float64, leave the estimator as it is, and take about the time of
an epoch in NumPy.

>>> from nnfast import MLPClassifier
>>> from nnfast.inspect import gradient_flow
>>> from sklearn.datasets import load_iris
>>> X, y = load_iris(return_X_y=True)
>>> clf = MLPClassifier((20, 20), max_iter=50, tol=1, random_state=0).fit(X, y)
>>> gradient_flow(clf, X, y).verdict
'healthy'
"""

from copy import copy
from numbers import Integral

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from nnfast import engines, learning_curve
from nnfast.base import BaseMLP
from nnfast.class_weight import weigh
from nnfast.findings import DeadUnits, GradientFlow, Saturation, WeightStatistics, layer_names
from nnfast.layers import Step
from nnfast.losses import loss_of
from nnfast.network_plan import NetworkPlan, describe
from nnfast.numpy_network import NumpyNetwork, network_of
from nnfast.optimizers import resolve_optimizer
from nnfast.plan import Use
from nnfast.planner import plan_of
from nnfast.preparation import encode, regularization_of
from nnfast.solvers import solver_of
from nnfast.state import check_state
from nnfast.validation import arithmetic_dtype, check_rows, check_sample_weight, check_table

__all__ = [
    "DeadUnits",
    "GradientFlow",
    "NetworkPlan",
    "Saturation",
    "WeightStatistics",
    "dead_units",
    "gradient_flow",
    "plan",
    "plot_learning_curve",
    "saturation",
    "weight_statistics",
]


def gradient_flow(estimator, X, y, sample_weight=None, *, vanishing=1e-3, exploding=1e3):
    """Follow the loss's gradient from the output layer down to the first.

    What counts is the gradient of every row: sqrt(mean_i |g_i|^2), see `GradientFlow`. Summed over the rows,
    as in the gradient by the weights, they cancel where a fit has come to a minimum; their norms do not.
    Dropout and penalties are left out, class weights are in. Batch normalization goes by the statistics of
    these rows, as in training, which takes memory for all rows' activations: give it a part of a large table.

    Parameters
    ----------
    estimator : fitted MLPClassifier or MLPRegressor, or a Pipeline that ends in one
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows, best those trained on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Their weights, of a positive sum. They are scaled to a mean of 1.
    vanishing, exploding : float, default=1e-3 and 1e3
        The first layer's gradient by the output layer's below which gradients vanish, and above which they
        explode.

    Returns
    -------
    GradientFlow

    References
    ----------
    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    Examples
    --------
    >>> from nnfast import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> deep = MLPClassifier((20,) * 10, "logistic", max_iter=9, tol=1, n_iter_no_change=3, random_state=0)
    >>> gradient_flow(deep.fit(X, y), X, y).verdict
    'vanishing'
    >>> deep.set_params(activation="selu", initializer="auto").fit(X, y)  # doctest: +ELLIPSIS
    MLPClassifier(...)
    >>> gradient_flow(deep, X, y).verdict
    'healthy'
    """
    estimator, X = _last_and_table(estimator, X)
    table, y = check_table(estimator, X, y, reset=False)
    X, sample_weight = table.X, check_sample_weight(sample_weight, table.X)
    targets = encode(estimator, y, np.float64)
    network = NumpyNetwork.of_estimator(estimator)
    n_outputs = network.coefs[-1].shape[1]
    if targets.n_outputs != n_outputs:
        raise ValueError(f"y must have as many outputs as the network, {n_outputs}, got {targets.n_outputs}.")
    weight = weigh(estimator._class_weights(targets.y), targets.y, sample_weight)
    weight = np.ones(len(y)) if weight is None else weight
    if not weight.sum() > 0:
        raise ValueError(f"sample_weight must have a positive sum over the rows, got {weight.sum()}.")
    weight = (weight / weight.mean())[:, np.newaxis]

    n = len(y)
    squares, weight_gradients = (
        np.zeros(network.n_hidden + 1),
        [np.zeros(coef.shape) for coef in network.coefs],
    )
    with np.errstate(over="ignore", invalid="ignore"):  # of gradients that explode
        weight_norms = np.array([np.linalg.norm(coef) for coef in network.coefs])
        for rows in [slice(n)] if network.by_batch else network.chunks(n):
            outputs, caches = network.forward(X[rows], Step())
            logits = outputs[-1]
            by_logits = loss_of(targets.loss).gradient(targets.y[rows], logits, targets.loss_parameters)
            # of a layer's activation's input, and of the logits
            into = {i - 1: layer for layer, i in enumerate(network.activations)}
            into[len(outputs) - 1] = network.n_hidden
            for i, dy, by_values in network.backward(caches, weight[rows] * by_logits):
                if i in into:
                    squares[into[i]] += np.vdot(dy, dy)
                if i in network.dense:
                    weight_gradients[network.dense.index(i)] += by_values["weight"]
        weight_gradients = np.array([np.linalg.norm(dw) / n for dw in weight_gradients])
    return GradientFlow(
        layers=layer_names(network.n_hidden, output=True),
        gradients=np.sqrt(squares / n),
        weight_gradients=weight_gradients,
        weight_norms=weight_norms,
        vanishing=vanishing,
        exploding=exploding,
    )


def dead_units(estimator, X, *, tol=1e-6):
    """Find hidden units that are dead, zero on all rows of X, and those that are constant.

    A unit is dead if on every row neither its activation nor the activation's slope is further than `tol`
    from zero: it says nothing, and learns nothing. For relu that is a pre-activation that is never positive,
    whatever `tol`; a unit of leaky_relu is never dead. A unit is constant if it is not dead and its
    activations differ over the rows by at most `tol` times the largest of them: one stuck at the end of tanh,
    or one without incoming weights.

    Parameters
    ----------
    estimator : fitted MLPClassifier or MLPRegressor, or a Pipeline that ends in one
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Some hundred rows or more: on few rows many units are zero that are not on others.
    tol : float, default=1e-6

    Returns
    -------
    DeadUnits

    References
    ----------
    Lu et al., Dying ReLU and Initialization: Theory and Numerical Examples, 2020, arXiv:1903.06733.

    Examples
    --------
    >>> from nnfast import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> regr = MLPRegressor(
    ...     hidden_layer_sizes=(8, 4), max_iter=9, tol=1e9, n_iter_no_change=3, random_state=0
    ... )
    >>> regr = regr.fit(X, y)
    >>> regr.intercepts_[0][[2, 5]] = -1000
    >>> dead_units(regr, X)  # doctest: +ELLIPSIS
    DeadUnits: dead units
    layer     units  dead  share  constant
    hidden 1      8     2  25.0%         0
    hidden 2      4     0   0.0%         0
    What may help against dead units: ...
    >>> dead_units(regr, X).dead[0]
    array([2, 5])
    """
    network, n_samples, visits = _hidden(estimator, X)
    extremes = [_Extremes(coef.shape[1]) for coef in network.coefs[:-1]]
    for i, a, slope in visits:
        extremes[i].see(a, slope)
    dead = [each.largest_slope <= tol for each in extremes]
    dead = [units & (each.size <= tol) for units, each in zip(dead, extremes, strict=True)]
    constant = [~units & (each.range <= tol * each.size) for units, each in zip(dead, extremes, strict=True)]
    return DeadUnits(
        layers=layer_names(network.n_hidden),
        n_units=np.array([len(units) for units in dead], dtype=int),
        dead=tuple(map(np.flatnonzero, dead)),
        constant=tuple(map(np.flatnonzero, constant)),
    )


class _Extremes:
    """A layer's extremes over the rows, unit by unit."""

    def __init__(self, n_units):
        self.lowest, self.highest, self.largest_slope = np.full((3, n_units), [[np.inf], [-np.inf], [0]])

    def see(self, a, slope):
        np.minimum(self.lowest, a.min(axis=0), out=self.lowest)
        np.maximum(self.highest, a.max(axis=0), out=self.highest)
        np.maximum(self.largest_slope, np.abs(slope).max(axis=0), out=self.largest_slope)

    @property
    def size(self):
        return np.maximum(-self.lowest, self.highest)

    @property
    def range(self):
        return self.highest - self.lowest


def saturation(estimator, X, *, threshold=0.1):
    """Find how often hidden units are on a flat part of their activation, where they learn little.

    A unit is saturated on a row if its activation's slope there is, in size, less than `threshold` times the
    steepest slope that the activation has. With the default that is |a| > 0.949 for tanh, a < 0.026 or a >
    0.974 for logistic, and a = 0 for relu, so that for relu it is the share of zeros.

    An activation that is flat at both ends, such as tanh, is called saturated above one half. One that is
    flat at one end, such as relu, is meant to be there for a good part of the rows: its limit is 0.9.

    Parameters
    ----------
    estimator : fitted MLPClassifier or MLPRegressor, or a Pipeline that ends in one
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    threshold : float, default=0.1

    Returns
    -------
    Saturation

    References
    ----------
    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    Examples
    --------
    >>> from nnfast import MLPClassifier
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = MLPClassifier((30,), "tanh", max_iter=20, tol=1, random_state=0)
    >>> saturation(clf.fit(X, y), X).verdict
    'saturated'
    >>> saturation(clf.fit(scale(X), y), scale(X)).verdict
    'healthy'
    """
    network, n_samples, visits = _hidden(estimator, X)
    layers = [network.layer(i) for i in network.activations]
    slopes = [_slopes(each.record, each.parameter) for each in layers]
    counts = [np.zeros(coef.shape[1]) for coef in network.coefs[:-1]]
    for i, _, slope in visits:
        counts[i] += np.count_nonzero(np.abs(slope) < threshold * slopes[i].max(), axis=0)
    # slopes at both ends
    flat_ends = [np.count_nonzero(each[[0, -1]] < threshold * each.max()) for each in slopes]
    return Saturation(
        layers=layer_names(network.n_hidden),
        activations=tuple(each.record.name for each in layers),
        unit_shares=tuple(count / n_samples for count in counts),
        limits=np.array([0.5 if n == 2 else 0.9 for n in flat_ends]),
    )


def _slopes(activation, parameter):
    """Sizes of an activation's slopes, from one end to the other."""
    half = np.geomspace(1e-6, 1e6, 24_001)
    z = np.concatenate([-half[::-1], [0.0], half])
    slopes = np.abs(activation.derivative(z, activation.function(z, parameter), parameter))
    finite = np.isfinite(slopes)  # where a function of the user's overflows, it is not flat
    return np.where(finite, slopes, slopes[finite].max())


def weight_statistics(estimator, *, bins=50):
    """Summarise the weights of every layer.

    Parameters
    ----------
    estimator : fitted MLPClassifier or MLPRegressor, or a Pipeline that ends in one
    bins : int, default=50
        Of the histograms.

    Returns
    -------
    WeightStatistics

    Examples
    --------
    >>> from nnfast import MLPRegressor
    >>> regr = MLPRegressor(hidden_layer_sizes=(3,), max_iter=9, tol=1e9, n_iter_no_change=3, random_state=0)
    >>> regr = regr.fit([[0.0], [1.0]], [0.0, 1.0])
    >>> regr.coefs_[0][:] = [[3.0, 0.0, -1.5]]
    >>> statistics = weight_statistics(regr)
    >>> float(statistics.mean[0]), float(statistics.max[0]), float(statistics.largest_column_norm[0])
    (0.5, 3.0, 3.0)
    """
    estimator = _last(estimator)
    coefs = [coef.astype(np.float64) for coef in estimator.coefs_]
    per_layer = {
        "mean": np.mean,
        "std": np.std,
        "min": np.min,
        "max": np.max,
        "norm": np.linalg.norm,
        "zeros": lambda coef: np.mean(coef == 0),
        "largest_column_norm": lambda coef: np.linalg.norm(coef, axis=0).max(),
    }
    return WeightStatistics(
        layers=layer_names(len(coefs) - 1, output=True),
        shapes=tuple(coef.shape for coef in coefs),
        **{name: np.array([function(coef) for coef in coefs]) for name, function in per_layer.items()},
        histograms=tuple(np.histogram(coef[coef != 0], bins) for coef in coefs),
    )


def plan(estimator, *, training=True, n_rows=None):
    """Show what is done to a batch: the operations, what is fused with them, and what they cost.

    Parameters
    ----------
    estimator : fitted MLPClassifier or MLPRegressor, or a Pipeline that ends in one
        Its parameters, such as `dropout` and `precision`, say how it would train further on a dense table.
    training : bool, default=True
        Whether to show a training step, or a prediction of many rows.
    n_rows : int, default=None
        Rows of the batch. None: those of `batch_size`, of which "auto" are 200.

    Returns
    -------
    NetworkPlan

    Raises
    ------
    ValueError
        If `n_rows` is not a positive integer.

    Examples
    --------
    >>> from nnfast import MLPClassifier
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier((100,), max_iter=9, tol=1e9, n_iter_no_change=3, random_state=0).fit(X, y)
    >>> found = plan(clf, training=False)
    >>> found.operations
    ('take rows', 'multiply, add bias', 'multiply, add bias', 'output activation')
    >>> found.fused[1]
    'relu'
    >>> found.flops.tolist() == [0, 2 * 200 * 64 * 100, 2 * 200 * 100 * 10, 0]
    True
    """
    estimator = _last(estimator)
    if n_rows is None:
        n_rows = 200 if isinstance(estimator.batch_size, str) else int(estimator.batch_size)
    if isinstance(n_rows, bool) or not isinstance(n_rows, Integral) or n_rows < 1:
        raise ValueError(f"n_rows must be a positive integer or None, got {n_rows!r}.")
    network = network_of(estimator)
    optimizer = resolve_optimizer(estimator) if solver_of(estimator.solver).minibatches else None
    dtype = np.dtype(np.float64)
    if optimizer is not None or not training:
        dtype = arithmetic_dtype(estimator.precision, estimator.coefs_[0].dtype)
    regularization = regularization_of(estimator, len(estimator.coefs_) - 1)
    use = Use(
        trains=training,
        learns=training and optimizer is not None,
        bf16=training and optimizer is not None and estimator.precision == "bfloat16",
        drops=regularization.drops(len(estimator.coefs_) - 1),
        alpha_dropout=regularization.alpha_dropout,
    )
    made = plan_of(network, use, engines.get_engine(estimator.engine).forms(dtype))
    n_moments = 0 if optimizer is None else optimizer.n_moments
    return describe(made, network, training=training, n_rows=int(n_rows), dtype=dtype, n_moments=n_moments)


def plot_learning_curve(estimator, ax=None, *, learning_rate=False):
    """Draw what a fit recorded of every epoch: loss, and validation loss and score, and mark the best epoch.

    With early stopping the best epoch is the one that it went by; otherwise, if there was a validation set,
    that of the lowest validation loss. For `solver="lbfgs"` an epoch is an iteration. Several fits that went
    on from each other (`warm_start`, `partial_fit`) are drawn as one.

    Parameters
    ----------
    estimator : fitted MLPClassifier or MLPRegressor, or a Pipeline that ends in one
    ax : matplotlib axes, optional
        Of the losses; made where there are none. The score gets an axis of its own on the right.
    learning_rate : bool, default=False
        Whether to draw the learning rate, too, on an axis of its own.

    Returns
    -------
    matplotlib axes
        Those of the losses.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        If there is nothing to draw.
    """
    return learning_curve.draw(_last(estimator), ax, learning_rate=learning_rate)


def _last(estimator):
    """The network in what the user gave, if it is fitted: as it is now, whatever a fit in another thread
    does.
    """
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, BaseMLP):
        raise TypeError(
            "estimator must be a fitted MLPClassifier or MLPRegressor of nnfast, or a Pipeline that ends in "
            f"one, got {type(last).__name__}."
        )
    held = last._snapshot()
    check_state(held)
    return held


def _last_and_table(estimator, X):
    """The network, and X as it comes to it."""
    last = _last(estimator)
    if not isinstance(estimator, Pipeline):
        return last, X
    before = copy(estimator)
    # A step that counts as fitted: scikit-learn asks the last one of a pipeline, and those before it may have
    # no state.
    before.steps = [*estimator.steps[:-1], (estimator.steps[-1][0], FunctionTransformer())]
    return last, before.transform(X)


def _hidden(estimator, X):
    """The passes of predictions: the `NumpyNetwork`, and (number, activations, slopes) by hidden layer and
    chunk of rows.
    """
    estimator, X = _last_and_table(estimator, X)
    X, _ = check_rows(estimator, X)
    network = NumpyNetwork.of_estimator(estimator)

    def visits():
        for rows in network.chunks(X.shape[0]) if network.n_hidden else ():
            outputs, caches = network.forward(X[rows])
            for layer, i in enumerate(network.activations):
                yield layer, outputs[i], network.layer(i).slope(caches[i])

    return network, X.shape[0], visits()


def __dir__():
    return __all__
