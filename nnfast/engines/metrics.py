"""Metrics of a network's outputs: what is checked and arranged before compiled code goes over the rows."""

from itertools import pairwise

import numpy as np

from nnfast.engines.arrays import FLOATS, ROW_NUMBERS, checked


class Metrics:
    """Metrics by the compiled functions of an engine, those of kernels/metrics.pxi and
    kernels/jit/metrics.py.

    Outputs are of shape (n_samples, n_outputs) and float32 or float64, weights float64, or None for 1 a row.
    Sums are in float64.
    """

    def __init__(self, compiled):
        self._compiled = compiled

    def accuracy(self, outputs, y, sample_weight=None):
        """Weighted share of rows whose first largest output is number y (intp, shape (n_samples,))."""
        hits, total = self._compiled.accuracy(
            *_outputs_and_numbers(self._compiled, outputs, y), _weights(outputs, sample_weight)
        )
        return hits / total

    def subset_accuracy(self, outputs, labels, sample_weight=None):
        """Weighted share of rows all of whose outputs are above 0.5 where the labels (bool, of outputs'
        shape) are true, and not where they are false.
        """
        labels = checked(labels, "labels", (np.dtype(bool),), outputs.shape).view(np.uint8)
        hits, total = self._compiled.subset_accuracy(
            _outputs(outputs), labels, _weights(outputs, sample_weight)
        )
        return hits / total

    def log_loss(self, outputs, y, sample_weight=None):
        """Weighted mean of -log(p), p a row's probability of class number y (intp), kept from 0 and 1 by the
        outputs' machine epsilon. One column of outputs is that of class 1 of 2.
        """
        epsilon = float(np.finfo(outputs.dtype).eps)
        loss, total = self._compiled.log_loss(
            *_outputs_and_numbers(self._compiled, outputs, y), _weights(outputs, sample_weight), epsilon
        )
        return loss / total

    def roc_auc(self, outputs, y, sample_weight=None):
        """Areas under the ROC curves, one a class, of telling its rows (y, intp, shape (n_samples,)) from the
        others: shape (n_outputs,), or of one output, which is that of class 1 of 2, (1,). NaN where the
        weights of one of the two kinds are zero.
        """
        outputs, y = _outputs_and_numbers(self._compiled, outputs, y)
        n_rows, n_outputs = outputs.shape
        if sample_weight is not None:
            weight, number = _weights(outputs, sample_weight), n_outputs == 1
            orders = (column.argsort().astype(np.intp, copy=False) for column in outputs.T)
            return np.array(
                [
                    self._compiled.weighted_roc_auc(outputs, k, order, y, k + number, weight)
                    for k, order in enumerate(orders)
                ]
            )
        if n_outputs == 1:
            own, columns = outputs[:, 0][y == 1], outputs.reshape(1, -1).copy()
            start = np.array([0, len(own)])
        else:
            own, columns = np.empty(n_rows, outputs.dtype), np.empty_like(outputs.T, order="C")
            start = np.zeros(n_outputs + 1, np.intp)
            np.bincount(y, minlength=n_outputs).cumsum(out=start[1:])
            self._compiled.split_columns(outputs, y, own, start[:-1].copy(), columns)
        for first, last in pairwise(start.tolist()):
            own[first:last].sort()
        columns.sort(axis=1)
        areas = np.empty(n_outputs)
        self._compiled.areas_under_roc(own, start, columns, areas)
        return areas

    def squared_errors(self, outputs, y, sample_weight=None):
        """Weighted mean over the rows of (y - output)^2 for each output: shape (n_outputs,); y is float64 and
        of outputs' shape.
        """
        errors = np.empty(outputs.shape[1])
        y = checked(y, "y", (np.dtype(np.float64),), outputs.shape)
        total = self._compiled.squared_errors(_outputs(outputs), y, _weights(outputs, sample_weight), errors)
        return errors / total


def _outputs(outputs):
    return checked(outputs, "outputs", FLOATS, (*np.shape(outputs)[:1], max(1, np.shape(outputs)[-1])))


def _outputs_and_numbers(compiled, outputs, y):
    outputs = _outputs(outputs)
    y = checked(y, "y", ROW_NUMBERS, (len(outputs),))
    if not compiled.are_rows(y, max(2, outputs.shape[1])):
        raise ValueError(f"y must hold class numbers 0 .. {max(2, outputs.shape[1]) - 1}, and one at least")
    return outputs, y


def _weights(outputs, sample_weight):
    return (
        None
        if sample_weight is None
        else checked(sample_weight, "sample_weight", (np.dtype(np.float64),), (len(outputs),))
    )
