"""Fitted state: what fitted attributes must be before compiled code sees them, and which version wrote a
pickle.

A state may come from a fit, from a pickle, from scikit-learn's estimators, or from a user's hands. All uses
of a fitted network go through `check_state`; `check_history` adds what `partial_fit` and warm starts go on
with.
"""

import warnings
from dataclasses import fields
from functools import partial
from numbers import Integral, Real
from weakref import ref

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import nnfast
from nnfast import engines
from nnfast.exceptions import InconsistentVersionWarning
from nnfast.losses import LOSS_BY_OUT_ACTIVATION
from nnfast.optimizers import OPTIMIZERS
from nnfast.schedules import SCHEDULES
from nnfast.validation import FLOATS

# The fitted attributes that hold a network's parameters. Those without arrays are absent.
PARAMETER_ATTRIBUTES = {
    "coefs": "coefs_",
    "intercepts": "intercepts_",
    "scales": "norm_scales_",
    "shifts": "norm_shifts_",
    "means": "running_means_",
    "variances": "running_variances_",
}

# What else a check looks at: in all estimators, in classifiers with their label binarizer, and in regressors.
_COMMON = ("n_features_in_", "n_outputs_", "n_layers_", "out_activation_")
_LABELS = ("classes_", "y_type_")
_OF_CLASSES = (*PARAMETER_ATTRIBUTES.values(), *_COMMON, "classes_", ("_label_binarizer", _LABELS))
_OF_TARGETS = (*PARAMETER_ATTRIBUTES.values(), *_COMMON, "quantiles_")

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
    arrays = [ref(array, forget) for name in PARAMETER_ATTRIBUTES.values() for array in fitted.pop(name, ())]
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
        if not _are_finite(self._engine, array):
            where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            raise ValueError(
                f"{place} must be finite, got {array[where]} at {where if array.ndim > 1 else where[0]}."
            )

    def _normalizations(self):
        """Names of the attributes of the normalization; those that go together have to be there together."""
        names = list(PARAMETER_ATTRIBUTES.values())[2:]
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
                    f"{name} must be an array of class labels, of shape (n_classes,), got {_words(value)}."
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
            raise TypeError(f"quantiles_ must be a float array of shape (n_levels,), got {_words(levels)}.")
        if len(levels) not in {1, n_outputs} or not ((0 < levels) & (levels < 1)).all():
            raise ValueError(
                f"quantiles_ must be one level between 0 and 1, or n_outputs_={n_outputs} of them, got"
                f" {levels}."
            )


def _place(name, i, n_layers):
    return f"{name}[{i}], of layer {i + 1} of {n_layers},"


def _are_finite(engine, array):
    """Whether all numbers of an array of one or two dimensions are; mostly by compiled code, which is
    quicker.
    """
    return engine.are_finite_rows(array if array.ndim == 2 else array[np.newaxis]) or bool(
        np.isfinite(array).all()
    )


def _words(value):
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


# ------------------------------------------------------------------------------------------------------------
# What partial_fit and warm starts go on with

_CURVES = ("loss_curve_", "learning_rate_curve_", "validation_loss_curve_", "validation_scores_")
_COUNTS = ("t_", "n_iter_", "_no_improvement_count")
_NUMBERS = ("best_loss_", "best_validation_score_")

# Of `_optimizer` and of its "schedule": see nnfast.continuation and nnfast.schedules.ScheduleRun.state.
_OPTIMIZER_KEYS = (
    "name",
    "hyperparameters",
    "learning_rate",
    "learning_rate_init",
    "power_t",
    "schedule",
    "t",
    "moments",
    "best",
)
_SCHEDULE_COUNTS = ("n_warmup", "n_steps", "n_epochs")
_TINY = np.finfo(np.float64).tiny


def check_history(history, network, engine, *, goes_on):
    """What an earlier fit has left for the next one, if a fit can go on with it.

    Parameters
    ----------
    history : dict
        Fitted attributes.
    network : nnfast.network.Network
    engine : module
        See `nnfast.engines`.
    goes_on : bool
        Whether the optimizer's moments go on, too. Where they do not, `_optimizer` may be another library's,
        and is left out.

    Returns
    -------
    dict

    Raises
    ------
    TypeError, ValueError
        If an attribute is not what it has to be.
    """
    for name in _COUNTS:
        _check_count(name, history.get(name, 0))
    for name in _NUMBERS:
        if history.get(name) is not None:
            _check_number(name, history[name], "a number or None")
    for name in _CURVES:
        curve = history.get(name)
        if not (curve is None or isinstance(curve, list)):
            raise TypeError(f"{name} must be a list of numbers, one an epoch, or None, got {_words(curve)}.")
    if history.get("loss_curve_"):
        _check_records(history.get("_history", {}), len(history["loss_curve_"]))
    optimizer = history.get("_optimizer")
    if optimizer is None:
        return history
    if not isinstance(optimizer, dict):
        if goes_on:
            raise TypeError(
                "partial_fit and warm_start='full' go on from _optimizer, the dict with the moments that a "
                f"fit of nnfast leaves, got {type(optimizer).__name__}: moments of scikit-learn's optimizers "
                "are not read. Delete the attribute _optimizer, and the moments start from zero."
            )
        return {name: value for name, value in history.items() if name != "_optimizer"}
    _check_optimizer(optimizer, network, engine)
    return history


def _check_number(name, value, accepted="a number", least=-np.inf):
    if isinstance(value, bool) or not isinstance(value, Real) or not value >= least:
        raise ValueError(f"{name} must be {accepted}, got {value!r}.")


def _check_count(name, value):
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= value < 2**62:
        raise ValueError(f"{name} must be an integer from 0 to 2**62, got {value!r}.")


def _check_records(records, n_epochs):
    if not isinstance(records, dict):
        raise TypeError(f"_history must be a dict of lists, got {type(records).__name__}.")
    # of which there may be a million: `partial_fit` does not look at each
    for name, values in records.items():
        if not isinstance(values, list) or len(values) != n_epochs:
            raise ValueError(
                f"_history[{name!r}] must have {n_epochs} numbers, one for each in loss_curve_, got"
                f" {_words(values)}."
            )


def check_last_parameters(kept, engine):
    """Raise unless `_last_parameters` is what early stopping leaves beside its best epoch: see
    `nnfast.continuation`.
    """
    if kept is None:
        return
    if not (isinstance(kept, dict) and kept.keys() == {"published", "last"}):
        raise TypeError(
            f"_last_parameters must be None, or a dict of 'published' and 'last', got {_words(kept)}."
        )
    for key, parameters in kept.items():
        place, names = f"_last_parameters[{key!r}]", ", ".join(map(repr, PARAMETER_ATTRIBUTES))
        if not (isinstance(parameters, dict) and parameters.keys() == PARAMETER_ATTRIBUTES.keys()):
            raise TypeError(f"{place} must be a dict of {names}, got {_words(parameters)}.")
        for name, arrays in parameters.items():
            if not isinstance(arrays, list | tuple):
                raise TypeError(f"{place}[{name!r}] must be a list of arrays, got {_words(arrays)}.")
            for i, array in enumerate(arrays):
                if not isinstance(array, np.ndarray) or array.dtype not in FLOATS:
                    raise TypeError(
                        f"{place}[{name!r}][{i}] must be an array of float32 or float64, got {_words(array)}."
                    )
                if not _are_finite(engine, array):
                    raise ValueError(f"{place}[{name!r}][{i}] must hold finite numbers, got NaN or infinity.")


def _check_optimizer(optimizer, network, engine):
    _check_keys("_optimizer", optimizer, _OPTIMIZER_KEYS)
    name, hyperparameters, moments = optimizer["name"], optimizer["hyperparameters"], optimizer["moments"]
    if not (isinstance(name, str) and name in OPTIMIZERS):
        raise ValueError(
            f"_optimizer['name'] must be one of {', '.join(map(repr, OPTIMIZERS))}, got {name!r}."
        )
    record = OPTIMIZERS[name]
    if not isinstance(hyperparameters, dict) or not hyperparameters.keys() <= {
        field.name for field in fields(record)
    }:
        raise ValueError(
            f"_optimizer['hyperparameters'] must be a dict of those of {record.__name__}, got"
            f" {hyperparameters!r}."
        )
    _check_number(
        "_optimizer['learning_rate_init']", optimizer["learning_rate_init"], "a positive number", least=_TINY
    )
    for key in ("power_t", "best"):
        _check_number(f"_optimizer[{key!r}]", optimizer[key])
    _check_count("_optimizer['t']", optimizer["t"])
    if not isinstance(optimizer.get("found", False), bool) or not isinstance(
        optimizer.get("monitored", {}), dict
    ):
        raise TypeError(
            "_optimizer['found'] must be True or False, and _optimizer['monitored'] a dict, got "
            f"{optimizer.get('found')!r} and {optimizer.get('monitored')!r}."
        )
    _check_schedule(optimizer["schedule"])
    if moments is not None:
        _check_moments(moments, record.n_moments, network.learned_shapes, engine)


def _check_schedule(schedule):
    """Raise unless a dict can be the state of a schedule's run."""
    place = "_optimizer['schedule']"
    if not isinstance(schedule, dict):
        raise TypeError(f"{place} must be a dict, got {type(schedule).__name__}.")
    name = schedule.get("schedule")
    if not isinstance(name, str):
        raise TypeError(f"{place}['schedule'] must be a schedule's name, got {name!r}.")
    memory = SCHEDULES[name]()._memory(1.0) if name in SCHEDULES else {}
    _check_keys(place, schedule, ("n_epochs", *memory))
    for key, value in schedule.items():
        if key in _SCHEDULE_COUNTS:
            _check_count(f"{place}[{key!r}]", value)
        elif key in ("e", "rate"):
            _check_number(f"{place}[{key!r}]", value, "a number of at least 0", least=0)
        elif key in ("scale", "learning_rate_init"):
            _check_number(f"{place}[{key!r}]", value, "a positive number", least=_TINY)
        elif key in memory:
            _check_number(f"{place}[{key!r}]", value)


def _check_keys(name, given, needed):
    missing = [key for key in needed if key not in given]
    if missing:
        needed, missing = (", ".join(map(repr, keys)) for keys in (needed, missing))
        raise ValueError(f"{name} must have the keys {needed}, and lacks {missing}.")


def _check_moments(moments, n_moments, shapes, engine):
    place = "_optimizer['moments']"
    if not isinstance(moments, list | tuple) or len(moments) != n_moments:
        raise ValueError(
            f"{place} must be None, or a list of {n_moments}, as the optimizer has moments, got"
            f" {_length(moments)}."
        )
    for which, arrays in enumerate(moments):
        if not isinstance(arrays, list | tuple) or len(arrays) != len(shapes):
            raise ValueError(
                f"{place}[{which}] must be a list of {len(shapes)} arrays, one for each that is learned, got "
                f"{_length(arrays)}."
            )
        for i, (array, shape) in enumerate(zip(arrays, shapes)):
            if not (isinstance(array, np.ndarray) and array.dtype in FLOATS and array.shape == shape):
                raise ValueError(
                    f"{place}[{which}][{i}] must be an array of float32 or float64 and shape {shape}, got "
                    f"{_words(array)}."
                )
            if not _are_finite(engine, array) and np.isnan(array).any():
                raise ValueError(f"{place}[{which}][{i}] must hold numbers, got NaN.")


def _length(value):
    return (
        f"{type(value).__name__} of {len(value)}" if isinstance(value, list | tuple) else type(value).__name__
    )


# ------------------------------------------------------------------------------------------------------------
# Versions

_BEFORE = "pre-0.1.1"  # when pickles did not tell


def warn_of_version(name, version):
    """Warn if an object called `name` was pickled by another version of nnfast; None where the pickle does
    not tell.
    """
    if version != nnfast.__version__:
        warnings.warn(
            InconsistentVersionWarning(
                estimator_name=name,
                original_nnfast_version=version or _BEFORE,
                current_nnfast_version=nnfast.__version__,
            ),
            stacklevel=3,
        )


class VersionedPickle:
    """A base of estimators whose pickles carry nnfast's version, and warn where another one reads them."""

    def __getstate__(self):
        return {**super().__getstate__(), "_nnfast_version": nnfast.__version__}

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop("_nnfast_version", None)
        # A state of scikit-learn's own estimator has its version in place of ours.
        if state.pop("_sklearn_version", None) is None:
            warn_of_version(type(self).__name__, version)
        super().__setstate__(state)
