"""Fitted state: what fitted attributes must be before compiled code sees them.

A state may come from a fit, from a pickle, from scikit-learn's estimators, or from a user's hands. All uses
of a fitted network go through `check_state`; `nnfast.history` checks what `partial_fit` and warm starts go on
with.
"""

from functools import partial
from numbers import Integral
from weakref import ref

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from nnfast import engines
from nnfast.layers import ATTRIBUTES
from nnfast.losses import LOSS_BY_OUT_ACTIVATION
from nnfast.validation import FLOATS

# The fitted attributes that hold a network's parameters, lists of arrays. Those without arrays are absent.
PARAMETER_ATTRIBUTES = tuple(attribute for attribute, _ in ATTRIBUTES.values())

# What else a check looks at: in all estimators, in classifiers with their label binarizer, and in regressors.
_COMMON = ("n_features_in_", "n_outputs_", "n_layers_", "out_activation_")
_LABELS = ("classes_", "y_type_")
_OF_CLASSES = (*PARAMETER_ATTRIBUTES, *_COMMON, "classes_", ("_label_binarizer", _LABELS))
_OF_TARGETS = (*PARAMETER_ATTRIBUTES, *_COMMON, "quantiles_")

# The states that have passed a check: by the engine's fingerprint of a state, what keeps the fingerprint
# true. It tells objects by their addresses: so attributes are kept alive, and the entry goes when one of the
# arrays does. The weak references keep no array alive. NumPy does not resize an array that has one, so
# compiled code never reads memory that was given back.
_passed = {}
_MOST_PASSED = 10_000  # a check costs little: beyond so many, all are forgotten


def check_state(estimator, fitted=None):
    """Raise unless a fitted estimator's attributes make a network that can predict.

    A state is checked once: as long as its attributes and arrays are the same objects, of the same dtypes and
    shapes, a call takes about half a microsecond. Numbers that are written into an array after the check are
    not looked at.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    fitted : dict, default=None
        Its attributes; None: ``vars(estimator)``.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted, or an attribute is missing.
    TypeError, ValueError
        If an attribute is not what it has to be. The message says which one and in which layer.
    """
    fitted = vars(estimator) if fitted is None else fitted
    names = _OF_TARGETS if estimator._y_numeric else _OF_CLASSES
    engine = engines.get_engine(estimator.engine)
    if engine.fingerprint(fitted, names) in _passed:
        return
    if "coefs_" not in fitted:
        check_is_fitted(estimator)
    # Of a copy, which no other thread changes.
    attributes = [name if isinstance(name, str) else name[0] for name in names]
    fitted = {name: fitted[name] for name in attributes if name in fitted}
    fitted |= {name: tuple(value) for name, value in fitted.items() if isinstance(value, list)}
    _Check(estimator, fitted, engine).run()
    _pass(fitted, names, engine)


def pass_published(estimator, engine):
    """Spare a state the check that a fit has just published: it is right by the way it was made."""
    names = _OF_TARGETS if estimator._y_numeric else _OF_CLASSES
    _pass(dict(vars(estimator)), names, engine)


def _pass(fitted, names, engine):
    """Remember that a state has passed; `fitted` is kept, but for the arrays."""
    fingerprint = engine.fingerprint(fitted, names)
    forget = partial(_passed.pop, fingerprint)  # in C, where no interrupt gets lost
    if len(_passed) >= _MOST_PASSED:
        _passed.clear()
    arrays = [ref(array, forget) for name in PARAMETER_ATTRIBUTES for array in fitted.pop(name, ())]
    labels = [getattr(fitted.get("_label_binarizer"), name, None) for name in _LABELS]
    _passed[fingerprint] = (
        arrays,
        [fitted.get(name if isinstance(name, str) else name[0]) for name in names],
        labels,
    )


class _Check:
    """One check of one state: see `check_state`."""

    def __init__(self, estimator, fitted, engine):
        self._of_classes = not estimator._y_numeric
        self._name, self._fitted, self._engine = type(estimator).__name__, fitted, engine

    def run(self):
        coefs = self._arrays("coefs_", self._number_of_layers())
        n_layers = len(coefs)
        units = [self._count("n_features_in_")]
        n_outputs = self._count("n_outputs_")
        for i, coef in enumerate(coefs):
            n_out = n_outputs if i == n_layers - 1 else None
            reasons = ["n_features_in_"] * (i == 0) + ["n_outputs_"] * (i == n_layers - 1)
            self._check_array("coefs_", coef, i, n_layers, (units[-1], n_out), reasons)
            units.append(coef.shape[1])
        vectors = {"intercepts_": n_layers}
        vectors |= dict.fromkeys(self._normalizations(), n_layers - 1)
        for name, length in vectors.items():
            for i, array in enumerate(self._arrays(name, length)):
                self._check_array(name, array, i, n_layers, (units[i + 1],))
                if name == "running_variances_" and array.min() < 0:
                    raise ValueError(f"{_place(name, i, n_layers)} must not be negative, got {array.min()}.")
        self._check_out_activation()
        if self._of_classes:
            self._check_labels(n_outputs)
        elif "quantiles_" in self._fitted:
            self._check_quantiles(n_outputs)

    def _get(self, name):
        try:
            return self._fitted[name]
        except KeyError:
            raise NotFittedError(
                f"The fitted state of this {self._name} has no {name}: it is not complete. Set {name}, or"
                " call 'fit'."
            ) from None

    def _count(self, name):
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")
        return value

    def _number_of_layers(self):
        """Layers of weights, as `n_layers_` says, or where it is missing, as there are."""
        if "n_layers_" not in self._fitted:
            return None
        if self._count("n_layers_") < 2:
            raise ValueError("n_layers_ counts inputs and outputs, too, and must be at least 2, got 1.")
        return self._get("n_layers_") - 1

    def _arrays(self, name, length):
        """The list called `name`, if it has so many items (None: one or more)."""
        arrays = self._get(name)
        if not isinstance(arrays, list | tuple):
            raise TypeError(
                f"{name} must be a list or tuple of arrays, one a layer, got {type(arrays).__name__}."
            )
        if length is None and not arrays:
            raise ValueError(f"{name} must have an array for every layer, got none.")
        if length is not None and len(arrays) != length:
            layers = "layer" if name in ("coefs_", "intercepts_") else "hidden layer"
            reason = "n_layers_ - 1" if name == "coefs_" else "as coefs_ says"
            raise ValueError(
                f"{name} must have one array for each {layers}, {length} in all ({reason}), got"
                f" {len(arrays)}."
            )
        return arrays

    def _check_array(self, name, array, i, n_layers, shape, reasons=()):
        """Raise unless item i of a list is a finite float array of the shape, in which None stands for any
        number of units; `reasons` are the attributes that it comes from.
        """
        place = _place(name, i, n_layers)
        wanted = f"({', '.join('n_units' if n is None else str(n) for n in shape)}{',' * (len(shape) == 1)})"
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"{place} must be an array of float32 or float64 and shape {wanted}, got"
                f" {type(array).__name__}."
            )
        if array.dtype not in FLOATS:
            raise TypeError(
                f"{place} must be of dtype float32 or float64, in native byte order, got {array.dtype}: "
                f"{name}[{i}].astype(np.float64) is."
            )
        fits = array.ndim == len(shape) and all(want in (None, got) for got, want in zip(array.shape, shape))
        if not fits or not array.size:
            reason = f" ({' and '.join(reasons)})" if reasons else ""
            raise ValueError(f"{place} must be of shape {wanted}{reason}, got {array.shape}.")
        if not are_finite(self._engine, array):
            where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            raise ValueError(
                f"{place} must be finite, got {array[where]} at {where if array.ndim > 1 else where[0]}."
            )

    def _normalizations(self):
        """Names of the attributes of the normalization; those that go together have to be there together."""
        names = PARAMETER_ATTRIBUTES[2:]
        there = [name in self._fitted for name in names]
        if any(there[2:]):
            return names
        return names[:2] if any(there) else []

    def _check_out_activation(self):
        name = self._get("out_activation_")
        accepted = ["logistic", "softmax"] if self._of_classes else list(LOSS_BY_OUT_ACTIVATION)
        if not (isinstance(name, str) and name in accepted):
            raise ValueError(
                f"out_activation_ must be one of {', '.join(map(repr, accepted))}, got {name!r}."
            )

    def _check_labels(self, n_outputs):
        """Raise unless classes, the binarizer of labels and the output layer go together."""
        classes, binarizer, out_activation = map(
            self._get, ("classes_", "_label_binarizer", "out_activation_")
        )
        for name, value in (
            ("classes_", classes),
            ("_label_binarizer.classes_", getattr(binarizer, "classes_", None)),
        ):
            if not (isinstance(value, np.ndarray) and value.ndim == 1 and len(value)):
                raise TypeError(
                    f"{name} must be an array of class labels, of shape (n_classes,), got {in_words(value)}."
                )
        if classes is not binarizer.classes_ and not np.array_equal(classes, binarizer.classes_):
            raise ValueError(
                f"classes_ and _label_binarizer.classes_ must be the same labels, got {classes} and "
                f"{binarizer.classes_}."
            )
        _check_order(classes)
        kind, n_classes = getattr(binarizer, "y_type_", None), len(classes)
        wanted = {
            "binary": ("logistic", 1),
            "multiclass": ("softmax", n_classes),
            "multilabel-indicator": ("logistic", n_classes),
        }
        if not isinstance(kind, str) or kind not in wanted or (kind == "binary" and n_classes > 2):
            raise ValueError(
                f"_label_binarizer.y_type_ must be {', '.join(map(repr, wanted))}, the first with two "
                f"classes at most, got {kind!r} with {n_classes} classes."
            )
        if (out_activation, n_outputs) != wanted[kind]:
            raise ValueError(
                f"out_activation_ and n_outputs_ must be {wanted[kind][0]!r} and {wanted[kind][1]}, as "
                f"classes_ has {n_classes} labels and _label_binarizer.y_type_ is {kind!r}, got "
                f"{out_activation!r} and {n_outputs}."
            )

    def _check_quantiles(self, n_outputs):
        levels = self._fitted["quantiles_"]
        if not (isinstance(levels, np.ndarray) and levels.ndim == 1 and levels.dtype in FLOATS):
            raise TypeError(f"quantiles_ must be a float array of shape (n_levels,), got {in_words(levels)}.")
        if len(levels) not in {1, n_outputs} or not ((0 < levels) & (levels < 1)).all():
            raise ValueError(
                f"quantiles_ must be one level between 0 and 1, or n_outputs_={n_outputs} of them, got"
                f" {levels}."
            )


def _place(name, i, n_layers):
    return f"{name}[{i}], of layer {i + 1} of {n_layers},"


def are_finite(engine, array):
    """Whether all numbers of an array of one or two dimensions are; mostly by compiled code, which is
    quicker.
    """
    return engine.are_finite_rows(array if array.ndim == 2 else array[np.newaxis]) or bool(
        np.isfinite(array).all()
    )


def in_words(value):
    """What a value is, for an error."""
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _check_order(classes):
    """Raise unless class labels increase, as those that a binarizer learns do."""
    try:
        increase = bool((classes[:-1] < classes[1:]).all())
    except TypeError as error:
        raise TypeError(f"classes_ must be labels that can be sorted, got {classes}.") from error
    if not increase:
        raise ValueError(f"classes_ must be sorted, each label once, got {classes}.")
