"""Class weights: what `class_weight` makes of the sample weights of labelled rows."""

from numbers import Real

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from nnfast.weights import in_range


def weights_by_class(class_weight, classes, y):
    """The weights that `class_weight` stands for, by class number: one array for every column of class
    numbers.

    Parameters
    ----------
    class_weight : dict, list of dict or "balanced"
        See the classifier. A list has one dict a label.
    classes : ndarray of shape (n_classes,), or None
        The classes; None for several labels, each 0 or 1.
    y : ndarray
        The rows that "balanced" counts, as the engine takes them: class numbers of shape (n_samples,), or
        numbers on the sides of 0.5 of shape (n_samples, n_outputs).

    Returns
    -------
    weights : list of ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If a weight is not a number from 0 on, or if a dict leaves out a class and names one that there is
        not.
    """
    columns = _class_numbers(y)
    names = [np.array([0, 1])] * len(columns) if classes is None else [classes]
    if isinstance(class_weight, str):
        return [_balanced(column, len(each)) for column, each in zip(columns, names, strict=True)]
    if isinstance(class_weight, dict) == (classes is None):
        raise ValueError(
            "class_weight must be a dict, or for several labels a list with one dict for 0 and 1 a label, or "
            f"'balanced', got {class_weight!r}."
        )
    dicts = [class_weight] if classes is not None else class_weight
    if len(dicts) != len(columns):
        raise ValueError(
            f"class_weight must have a dict for each of the {len(columns)} labels, got {class_weight!r}."
        )
    return [_named(each, weights) for each, weights in zip(names, dicts, strict=True)]


def weigh(weights, y, sample_weight):
    """The sample weights of the rows y, as in `weights_by_class`, times those of their classes, if there are
    any.

    Of a scale that the arithmetic can compute with: see `nnfast.weights`.
    """
    product = in_range(sample_weight)
    if weights is None:
        return product
    product = 1.0 if product is None else product
    for by_class, column in zip(weights, _class_numbers(y), strict=True):
        product = in_range(product * in_range(by_class)[column])
    return product


def _class_numbers(y):
    return [y] if y.ndim == 1 else [(column > 0.5).astype(np.intp) for column in y.T]


def _balanced(column, n_classes):
    present = np.unique(column)
    weights = np.ones(n_classes)
    weights[present] = compute_class_weight("balanced", classes=present, y=column)
    return weights


def _named(classes, weights):
    if not isinstance(weights, dict):
        raise ValueError(f"class_weight must hold a dict for every label, got {weights!r} among them.")
    for name, weight in weights.items():
        if not isinstance(weight, Real) or not 0 <= weight < np.inf:
            raise ValueError(
                f"class_weight must be a number from 0 on for every class, got {weight!r} for {name!r}."
            )
    classes = classes.tolist()
    missing, unknown = [c for c in classes if c not in weights], [c for c in weights if c not in classes]
    if missing and unknown:  # weights for classes that this table happens to lack do no harm
        raise ValueError(f"class_weight names {unknown}, and not {missing}: the classes are {classes}.")
    return np.array([weights.get(c, 1.0) for c in classes], dtype=np.float64)
