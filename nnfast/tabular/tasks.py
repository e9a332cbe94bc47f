"""What is to be predicted: classes, labels or numbers, as networks and encodings take them, and how it is
scored.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import xlogy

from nnfast.losses import LOSSES
from nnfast.tabular.targets import indicators, scaled

_TINY = 1e-7  # the least probability in a logarithm
_HUGE = 1e15  # of scaled targets: their squares are finite in float32


class Task(ABC):
    """What is to be predicted. Not for use by itself.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel", "regression"}
    y : ndarray
        As the networks take it: shape (n_samples,) or (n_samples, n_outputs).
    n_outputs : int
        Columns of the outputs: probabilities of each class, or numbers.
    strata : ndarray of int or None
        What folds are stratified by.
    network_parameters : dict
        Parameters of `MLPClassifier` or `MLPRegressor`.
    """

    strata = None

    @property
    def classifies(self):
        return self.kind != "regression"

    @abstractmethod
    def encoding_targets(self, rows):
        """Numbers of mean 0 and variance 1, over some rows, that encodings use: shape (n_rows, n_targets)."""

    @abstractmethod
    def readout(self, rows):
        """What makes outputs of the predictions of a model that was fitted to `y` of some rows: it knows no
        targets.
        """

    @abstractmethod
    def losses(self, outputs, rows):
        """The loss of outputs at each of some rows."""

    @abstractmethod
    def constant(self, rows, weights):
        """The outputs of the best predictor that does not look at X."""


class ClassTask(Task):
    """Classes or labels. `codes` are numbers of classes, or 0 and 1 a label."""

    def __init__(self, codes, n_classes):
        self.kind = "multilabel" if codes.ndim == 2 else "binary" if n_classes == 2 else "multiclass"
        self.y, self.n_outputs = codes, codes.shape[1] if codes.ndim == 2 else n_classes
        self.strata = None if codes.ndim == 2 else codes
        self.network_parameters = {}

    def encoding_targets(self, rows):
        y = self.y[rows]
        if self.kind == "multilabel":
            return scaled(y.astype(np.float64))
        return scaled(np.eye(self.n_outputs)[y] if self.n_outputs > 2 else indicators(y))

    def readout(self, rows):
        return ClassReadout(self.n_outputs, self.kind == "multilabel")

    def losses(self, outputs, rows):
        y = self.y[rows]
        if self.kind == "multilabel":
            p = np.clip(outputs, _TINY, 1 - _TINY)
            return -(xlogy(y, p) + xlogy(1 - y, 1 - p)).sum(axis=1)
        return -np.log(np.maximum(outputs[np.arange(len(y)), y], _TINY))

    def constant(self, rows, weights):
        # Shares of classes, with one row more that is a bit of each: a class that these rows lack is not
        # impossible.
        y, n_rows = self.y[rows], len(rows) if weights is None else weights.sum()
        if self.kind == "multilabel":
            return ((y if weights is None else y * weights[:, np.newaxis]).sum(axis=0) + 0.5) / (n_rows + 1)
        return (np.bincount(y, weights, minlength=self.n_outputs) + 1 / self.n_outputs) / (n_rows + 1)


@dataclass(frozen=True)
class ClassReadout:
    """Probabilities of all classes, or of all labels."""

    n_outputs: int
    several_labels: bool

    def outputs(self, model, X):
        """What a fitted classifier predicts, of shape (n_samples, n_outputs)."""
        predicted = model.predict_proba(X).astype(np.float64)
        if self.several_labels:
            return predicted
        predicted /= predicted.sum(axis=1, keepdims=True)  # which is 1 in float32
        if predicted.shape[1] == self.n_outputs:
            return predicted
        outputs = np.zeros((len(X), self.n_outputs))
        outputs[:, model.classes_] = predicted  # the rows that it was fitted to lack the others
        return outputs


# Losses whose outputs may be shifted and scaled with y, and those that are of ratios, whose y may be scaled.
_SHIFTED = ("squared_error", "absolute_error", "huber", "log_cosh", "quantile")


@dataclass(frozen=True)
class NumberReadout:
    """Numbers in the units of y, within the range of those that a model was fitted to."""

    shift: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    quantiles: bool = False  # whether the outputs are quantiles of rising levels

    def outputs(self, model, X):
        """What a fitted regressor predicts, of shape (n_samples, n_outputs)."""
        predicted = model.predict(X).reshape(len(X), -1).astype(np.float64)
        outputs = np.clip(predicted, self.low, self.high) * self.scale + self.shift
        return np.sort(outputs, axis=1) if self.quantiles else outputs  # which never makes the loss larger


class NumberTask(Task):
    """Numbers: one or several outputs, by any loss of `MLPRegressor`.

    Parameters
    ----------
    y : ndarray of float64, shape (n_samples,) or (n_samples, n_outputs)
    loss : str
    parameter : float, ndarray or None
        The loss's own parameter: `huber_delta`, in units of y, or `quantile`.
    n_trained : int, default=None
        The rows of y to train on, which decide its scale: the first ones, the others validate. None: all.
    """

    kind = "regression"

    def __init__(self, y, loss="squared_error", parameter=None, n_trained=None):
        self._loss, self._columns = LOSSES[loss], y.reshape(len(y), -1)
        shifted = loss in _SHIFTED
        # Of numbers up to 1, or sums of large ones would overflow.
        largest = np.maximum(np.abs(self._columns).max(axis=0), np.finfo(np.float64).tiny)
        units = self._columns / largest
        trained = units[:n_trained]
        shift = trained.mean(axis=0) if shifted else np.zeros(units.shape[1])
        scale = trained.std(axis=0) if shifted else trained.mean(axis=0)
        scale = np.where(scale > 1e-14, scale, 1.0)
        if loss == "huber":  # whose parameter is one for all outputs
            scale = np.full(len(scale), (scale * (largest / largest.max())).mean()) / (
                largest / largest.max()
            )
        self._shift, self._scale = shift * largest, scale * largest
        if loss == "huber":
            parameter = float(parameter / self._scale[0])
        y_scaled = np.clip((units - shift) / scale, -_HUGE, _HUGE).astype(np.float32)
        if loss == "gamma":  # whose targets are more than 0
            y_scaled = np.maximum(y_scaled, np.finfo(np.float32).tiny)
        self.y = y_scaled.reshape(y.shape)
        self._parameters = () if parameter is None else (parameter,)
        self.n_outputs = np.size(parameter) if loss == "quantile" and np.size(parameter) > 1 else len(scale)
        self.network_parameters = {"loss": loss}
        if parameter is not None:
            self.network_parameters[self._loss.parameter_name] = parameter

    def encoding_targets(self, rows):
        return scaled(self._columns[rows])

    def readout(self, rows):
        seen = self.y[rows].reshape(len(rows), -1)
        quantiles = self.n_outputs > len(self._scale)
        return NumberReadout(self._shift, self._scale, seen.min(axis=0), seen.max(axis=0), quantiles)

    def losses(self, outputs, rows):
        z = (outputs - self._shift) / self._scale
        if self._loss.out_activation == "exp":
            z = np.log(np.maximum(z, _TINY))
        y = self.y[rows].reshape(len(rows), -1).astype(np.float64)
        return self._loss.value(np.broadcast_to(y, z.shape), z, self._parameters)

    def constant(self, rows, weights):
        y = self._columns[rows]
        if weights is not None and not weights.sum() > 0:
            weights = None
        if self._loss.name in ("absolute_error", "quantile"):
            levels = np.atleast_1d(self._parameters[0]) if self._parameters else [0.5]
            return np.concatenate([_quantile(y, level, weights) for level in levels])
        if self._loss.name in ("huber", "log_cosh"):
            return np.array([self._center(rows, weights, k) for k in range(y.shape[1])])
        return np.average(y, axis=0, weights=weights)

    def _center(self, rows, weights, k):
        """The number of the smallest loss for an output, which lies between its median and its mean or close
        by.
        """
        y = self.y[rows].reshape(len(rows), -1)[:, [k]].astype(np.float64)
        found = minimize_scalar(
            lambda z: np.average(self._loss.value(y, np.full_like(y, z), self._parameters), weights=weights),
            bounds=(y.min(), y.max()),
            method="bounded",
        )
        return found.x * self._scale[k] + self._shift[k]


def _quantile(y, level, weights):
    """A quantile of each column."""
    if weights is None:
        return np.quantile(y, level, axis=0)
    return np.quantile(y, level, axis=0, weights=weights, method="inverted_cdf")
