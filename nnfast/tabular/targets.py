"""Targets as estimators and encodings take them."""

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y, column_or_1d

from nnfast.frames import refuse_complex
from nnfast.targets import about_labels, as_numbers
from nnfast.validation import blaming


def standardized_targets(y):
    """Numbers of mean 0 and variance 1 that stand for the targets: y, or 0 and 1 for each of its classes.

    Of two classes the second alone. Classes are text, booleans or at most 20 different whole numbers.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)

    Returns
    -------
    targets : ndarray of shape (n_samples, n_targets)
    """
    y = checked_array(y, "y")
    if y.ndim == 1 and _are_classes(y):
        with about_labels(y):
            check_classification_targets(y)
            codes = np.unique(y, return_inverse=True)[1]
        return scaled(indicators(codes))
    return scaled(as_numbers(y).reshape(len(y), -1).astype(np.float64))


def indicators(codes):
    """0 and 1 for each class number, of two classes for the second alone."""
    n_classes = int(codes.max()) + 1
    columns = np.eye(n_classes)[:, 1:] if n_classes == 2 else np.eye(n_classes)
    return columns[codes]


def scaled(targets):
    """Columns of mean 0 and variance 1, of numbers however large; of a constant, zeros."""
    targets = targets / np.maximum(np.abs(targets).max(axis=0), np.finfo(np.float64).tiny)
    targets -= targets.mean(axis=0)
    deviations = targets.std(axis=0)
    return targets / np.where(deviations > 1e-14, deviations, np.inf)


def _are_classes(y):
    if y.dtype.kind not in "iuf":
        return True
    distinct = np.unique(y)
    return len(distinct) <= 20 and bool((distinct == np.floor(distinct)).all())


def checked_array(y, name):
    """y as an array of one or two dimensions without missing values."""
    if y is None:
        raise ValueError(f"{name} must be given, got None.")
    refuse_complex(y, name)
    with blaming(name):
        y = _check_y(y, multi_output=True)
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


def of_one_type(y):
    """y of objects as NumPy has them, where all are integers or all are booleans."""
    types = set(map(type, y.ravel().tolist())) if y.dtype == object else set()
    return y.astype(types.pop()) if len(types) == 1 and types <= {int, bool} else y


def stacked(y, y_val):
    """The rows of y and those of y_val, if there are any."""
    if y_val is None:
        return y
    if y_val.shape[1:] != y.shape[1:]:
        raise ValueError(f"y_val must have as many columns as y, got shape {y_val.shape} beside {y.shape}.")
    return np.concatenate([y, y_val])
