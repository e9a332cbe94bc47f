"""What the estimators accept as y: numbers for the regressor, class labels or matrices of 0 and 1 for the
classifier.

The kind of y's dtype is looked at before any cast, and what the engine is given is checked against the loss's
domain.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from scipy.sparse import issparse

from nnfast.frames import DATES, days_of


@dataclass(frozen=True)
class Targets:
    """What is learned of a table's y.

    `y` is as the engine takes it, of `n_outputs` outputs; `stratify` and `score` are those of
    `nnfast.task.Task`.
    """

    y: np.ndarray
    loss: str
    loss_parameters: tuple
    n_outputs: int
    stratify: np.ndarray | None
    score: Callable


def as_numbers(y, name="y"):
    """The targets of a regressor: y itself where it holds numbers or booleans, or float64 from an array of
    objects.

    Parameters
    ----------
    y : ndarray or sparse matrix
        As scikit-learn's validation gives it, without a cast.
    name : str
        What the caller knows it by.

    Raises
    ------
    TypeError
        If it holds dates, durations or records, or is sparse.
    ValueError
        If it holds text that is no number.
    """
    if issparse(y):
        raise TypeError(f"{name} must be a dense array of numbers, got a sparse one. Use {name}.toarray().")
    if y.dtype.kind in "biuf":
        return y
    if y.dtype.kind in "mM":
        what = "dates" if y.dtype.kind == "M" else "durations"
        raise TypeError(
            f"{name} must be numbers, got {what} of dtype {y.dtype}. Use {days_of(name, y.dtype.kind)}, which"
            " are days."
        )
    if y.dtype.kind == "O":
        for value in y.ravel():
            if isinstance(value, DATES):
                kind = "m" if isinstance(value, timedelta | np.timedelta64) else "M"
                raise TypeError(
                    f"{name} must be numbers, got {value!r}. Use {days_of(name, kind)}, which are days."
                )
        try:
            return y.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise _error(error)(
                f"{name} must be numbers, got {_first_without_float(y)!r}. {_FOR_CLASSES}"
            ) from error
    kind = TypeError if y.dtype.kind == "V" else ValueError
    raise kind(f"{name} must be numbers, got {y.ravel()[0]!r} of dtype {y.dtype}. {_FOR_CLASSES}")


_FOR_CLASSES = "Text that stands for classes is for a classifier."


def _error(error):
    """TypeError where that is what it is, else ValueError: subclasses may want other arguments than a
    sentence.
    """
    return TypeError if isinstance(error, TypeError) else ValueError


def _first_without_float(y):
    for value in y.ravel():
        try:
            np.float64(value)
        except (TypeError, ValueError, OverflowError):
            return value
    return y


def as_labels(y, name="y"):
    """The labels of a classifier in native byte order, in which `classes_` are; ValueError if y has columns
    of others than 0 and 1.
    """
    if not y.dtype.isnative:
        y = y.astype(y.dtype.newbyteorder("="))
    if y.ndim < 2:
        return y
    values = np.unique(y.data if issparse(y) else y) if y.dtype.kind in "biuf" else None
    if values is None:
        found = f"dtype {y.dtype}"
    elif np.isin(values, (0, 1)).all():
        return y
    else:
        found = "the values " + ", ".join(map(str, values[:5].tolist())) + ", ..." * (len(values) > 5)
    remedy = "A regressor is for several targets that are numbers"
    if values is not None and len(values) == 2:
        remedy = f"({name} == {values[1]}).astype(int) is such a matrix. {remedy}"
    raise ValueError(
        f"{name} of several columns must be a matrix of 0 and 1, a column a label, got {found} in a {name} "
        f"of shape {y.shape}. {remedy}; one class a row is a {name} of shape (n_samples,)."
    )


@contextmanager
def about_labels(y, name="y"):
    """Say of an error that scikit-learn raises about labels which argument it is about, and what is
    accepted.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise _error(error)(
            "Unknown label type: "
            f"{name} must be class labels, which are integers, strings or booleans, all of one kind, or "
            f"whole numbers as floats; got {_described(np.asarray(y))}. A regressor is for targets that are "
            "numbers."
        ) from error


def _described(y):
    values = y.ravel()
    if y.dtype.kind == "f":
        values = values[values != np.floor(values)]
        return f"{values[0]!r} of dtype {y.dtype}" if len(values) else f"dtype {y.dtype}"
    kinds = {type(value).__name__: value for value in values}
    return f"dtype {y.dtype} with " + " and ".join(
        f"{value!r} ({kind})" for kind, value in list(kinds.items())[:3]
    )


def encoded(y, dtype, loss, named):
    """y as the engine takes it: shape (n_samples, n_outputs), in the arithmetic's dtype, and in the domain of
    the loss.

    Parameters
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    dtype : dtype
    loss : record of `nnfast.losses`, or the user's own
    named : str or Loss
        The loss as the estimator's parameter has it.
    """
    _check_domain(y, y, loss, f"loss={named!r} needs {loss.domain}, got a y of {{}}.")
    with np.errstate(over="ignore"):
        out = np.require(y.reshape(len(y), -1), dtype=dtype, requirements="CA")
    if out.dtype != y.dtype:
        accepted = (
            f"loss={named!r} needs {loss.domain}, and y of {{}} is {{}} in {np.dtype(dtype)}, the dtype of"
            " the arithmetic."
        )
        _check_domain(out, y, loss, f"{accepted} Scale y, or use precision='float64'.")
    return out


def _check_domain(numbers, y, loss, message):
    outside = ~loss.in_domain(numbers)
    if outside.any():
        raise ValueError(message.format(y.reshape(numbers.shape)[outside][0], numbers[outside][0]))
