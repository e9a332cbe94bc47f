"""States made by hand: they predict, or the error names what is wrong.

The oracle is the rule that every method gives finite numbers of the right shape or raises an error that names
the attribute.
"""

import copy
import faulthandler
import gc
import pickle
import sys
import warnings
from itertools import islice

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import LabelBinarizer
from small import QUIET
from states import RNG, THREE, X

from nnfast import (
    DivergenceError,
    MLPClassifier,
    MLPRegressor,
    engines,
    inspect,
    state,
)

pytestmark = QUIET
FITS = {
    "two classes": (MLPClassifier, {}, THREE > 0),
    "three classes, layer": (MLPClassifier, {"normalization": "layer"}, np.array(["a", "b", "c"])[THREE]),
    "labels, batch": (MLPClassifier, {"normalization": "batch"}, RNG.randint(0, 2, (12, 3))),
    "one target": (MLPRegressor, {"solver": "sgd", "learning_rate": "adaptive"}, X[:, 0]),
    "several targets": (MLPRegressor, {"hidden_layer_sizes": ()}, X[:, :2]),
    "best epoch restored": (
        MLPRegressor,
        {"early_stopping": True, "learning_rate_init": 1.0, "max_iter": 4},
        X[:, 0],
    ),
    "quantiles, batch": (
        MLPRegressor,
        {"loss": "quantile", "quantile": [0.2, 0.8], "normalization": "batch"},
        X[:, 0],
    ),
}


def fitted(what):
    cls, parameters, y = FITS[what]
    parameters = {
        "hidden_layer_sizes": (5, 3),
        "max_iter": 2,
        "random_state": 0,
        "batch_size": 6,
    } | parameters
    # which partial_fit refuses
    estimator = cls(**parameters).fit(X, y, X_val=X[:6], y_val=y[:6]).set_params(early_stopping=False)
    assert (estimator._last_parameters is not None) == (what == "best epoch restored")
    return estimator, y


# ------------------------------------------------------------------------------------------------------------
# Mutations

_PRIVATE = ("_label_binarizer", "_optimizer", "_no_improvement_count", "_history", "_last_parameters")
MISSING = object()
WHOLE = [
    MISSING,
    None,
    0,
    -1,
    2.5,
    float("nan"),
    10**30,
    True,
    "x",
    b"x",
    [],
    (),
    {},
    [None],
    [[1.0]],
    [1, "x"],
    {"x": 1},
    object(),
    LabelBinarizer,
    LabelBinarizer(),
    np.float64(3),
    np.array(3.0),
    np.zeros(0),
    np.zeros(2),
    np.zeros((2, 2)),
    np.array(["a", "b"]),
    np.array([1, "a"], object),
    [np.zeros((4, 4))],
    [np.zeros(3)] * 9,
]
OF_LISTS = {
    "a tuple": tuple,
    "an array of objects": lambda items: np.array([*items, None], dtype=object)[:-1],
    "one less": lambda items: items[:-1],
    "one more": lambda items: [*items, items[-1]],
    "the other way round": lambda items: items[::-1],
}
OF_DICTS = {
    "a list": lambda items: list(items.values()),
    "one less": lambda items: dict(list(items.items())[:-1]),
    "one more": lambda items: items | {"layers.9.weight": np.zeros(2)},
    "other names": lambda items: {name[::-1]: array for name, array in items.items()},
}


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[...] = array
    return memory


def with_one(value):
    def change(array):
        array = array.copy()
        array.flat[-1] = value
        return array

    return change


OF_ARRAYS = {
    "None": lambda array: None,
    "a list": np.ndarray.tolist,
    "a string": lambda array: "x",
    "transposed": lambda array: array.T.copy(),
    "one column less": lambda array: array[..., :-1],
    "one column more": lambda array: np.concatenate([array, array[..., :1]], axis=-1),
    "one row more": lambda array: np.concatenate([array, array[:1]]),
    "no rows": lambda array: array[:0],
    "one number": lambda array: np.array(1.0),
    "a dimension more": lambda array: array[np.newaxis],
    "flat": np.ravel,
    "Fortran order": np.asfortranarray,
    "strided": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "unaligned": unaligned,
    "read-only": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
    "NaN": with_one(np.nan),
    "inf": with_one(-np.inf),
    "negative": lambda array: -1 - np.abs(array),
    "huge": with_one(1e30),
    **{
        dtype: lambda array, dtype=dtype: array.astype(dtype)
        for dtype in ("f2", ">f8", "f4", "g", "c16", "i8", "i1", "?", "O", "U9", "S9")
    },
}


def replaced(container, key, value):
    if value is MISSING:
        del container[key]
    else:
        container[key] = value


def mutations(estimator):
    """For each: what is changed, its name, and a function that changes it in an estimator of the
    same state.
    """
    names = [name for name in vars(estimator) if name.endswith("_") or name in _PRIVATE]
    for name in names:
        value = vars(estimator)[name]
        for other in WHOLE:
            yield name, other, lambda e, name=name, other=other: replaced(vars(e), name, other)
        if isinstance(value, list):
            for how, change in OF_LISTS.items():
                yield (
                    name,
                    how,
                    lambda e, name=name, change=change: replaced(vars(e), name, change(vars(e)[name])),
                )
        if isinstance(value, list) and isinstance(value[0], np.ndarray):
            for i in range(len(value)):
                for how, change in OF_ARRAYS.items():
                    yield (
                        name,
                        how,
                        lambda e, name=name, i=i, change=change: replaced(
                            vars(e)[name], i, change(vars(e)[name][i])
                        ),
                    )
        if isinstance(value, dict):
            for key in value:
                for other in WHOLE:
                    yield (
                        name,
                        (key, other),
                        lambda e, name=name, key=key, other=other: replaced(vars(e)[name], key, other),
                    )
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            for how, change in OF_ARRAYS.items():
                yield (
                    name,
                    how,
                    lambda e, name=name, change=change: replaced(vars(e), name, change(vars(e)[name])),
                )
    if "_optimizer" in names:
        for which in range(len(estimator._optimizer["moments"])):
            for how, change in (*OF_DICTS.items(), *OF_ARRAYS.items()):
                whole = change in OF_DICTS.values()

                def change_moments(e, which=which, change=change, whole=whole):
                    container, key = (
                        (e._optimizer["moments"], which)
                        if whole
                        else (e._optimizer["moments"][which], "layers.0.weight")
                    )
                    container[key] = change(container[key])

                yield "_optimizer", ("moments", how), change_moments
        for key in estimator._optimizer["schedule"]:
            for other in WHOLE:
                yield (
                    "_optimizer",
                    ("schedule", key, other),
                    lambda e, key=key, other=other: replaced(e._optimizer["schedule"], key, other),
                )
    if "_label_binarizer" in names:
        for key in ("classes_", "y_type_"):
            for other in WHOLE:
                yield (
                    "_label_binarizer",
                    (key, other),
                    lambda e, key=key, other=other: replaced(vars(e._label_binarizer), key, other),
                )


def shape_of_predictions(estimator, y):
    return (len(X), 2) if estimator.__class__ is MLPRegressor and estimator.loss == "quantile" else y.shape


def gives(call, shape):
    """A method's name, and a function of the estimator and y that checks its answer."""

    def check(estimator, y):
        answer = np.asarray(call(estimator, y))
        expected = shape(estimator, y) if callable(shape) else shape
        assert answer.shape == expected, (answer.shape, expected)
        assert answer.dtype.kind not in "fc" or np.isfinite(answer).all()

    return check


def trains(**parameters):
    def check(estimator, y):
        if parameters:
            estimator.set_params(**parameters).fit(X, y)
        else:
            estimator.partial_fit(X, y)
        assert all(np.isfinite(array).all() for array in (*estimator.coefs_, *estimator.intercepts_))
        assert estimator.predict(X).shape == shape_of_predictions(estimator, y)

    return check


def n_classes(estimator, y):
    return (len(X), y.shape[1] if y.ndim == 2 else len(np.unique(y)))


PREDICTIONS = {
    "predict": gives(lambda e, y: e.predict(X), shape_of_predictions),
    "predict sparse": gives(lambda e, y: e.predict(scipy.sparse.csr_array(X)), shape_of_predictions),
    "compiled": gives(lambda e, y: e.compiled().predict(X), shape_of_predictions),
    "pickled": gives(lambda e, y: pickle.loads(pickle.dumps(e)).predict(X), shape_of_predictions),
    "score": gives(lambda e, y: e.score(X, y), ()),
    "predict_proba": gives(lambda e, y: e.predict_proba(X), n_classes),
    "predict_log_proba": gives(lambda e, y: e.predict_log_proba(X), n_classes),
    "hidden_activations": gives(lambda e, y: e.hidden_activations(X, 1), (len(X), 5)),
    "weight_statistics": gives(lambda e, y: inspect.weight_statistics(e).norm, lambda e, y: (len(e.coefs_),)),
    "dead_units": gives(lambda e, y: inspect.dead_units(e, X).n_units, lambda e, y: (len(e.coefs_) - 1,)),
    "saturation": gives(lambda e, y: inspect.saturation(e, X).shares, lambda e, y: (len(e.coefs_) - 1,)),
    "gradient_flow": gives(
        lambda e, y: inspect.gradient_flow(e, X, y).weight_norms, lambda e, y: (len(e.coefs_),)
    ),
}
TRAININGS = {
    "partial_fit": trains(),
    "warm": trains(warm_start=True),
    "full": trains(warm_start="full"),
    "anew": trains(warm_start=False),
}


def outcomes(what, methods, step=1):
    """What is wrong with the methods of mutated states, in words; of every so many mutations, one
    is tried.
    """
    estimator, y = fitted(what)
    frozen, wrong = pickle.dumps(estimator), []
    for name, how, change in islice(mutations(estimator), 0, None, step):
        for method, check in methods.items():
            if not hasattr(estimator, method) and method.startswith("predict_"):
                continue
            if method == "hidden_activations" and len(estimator.coefs_) == 1:
                continue
            again = pickle.loads(frozen)
            again.predict(X)  # which a check of the whole state comes before
            change(again)
            try:
                check(again, y)
            except DivergenceError as error:
                if not (
                    how == "huge" or (name == "_optimizer" and how[-1] in ("huge", "inf", "negative", 10**30))
                ):
                    wrong.append(f"{name} {how!r} {method}: {error!r}")
            except (ValueError, TypeError, AttributeError) as error:
                # a network of the same shape, for other targets
                fewer_levels = name == "quantiles_" and "output" in str(error)
                if method == "anew" or not (name in str(error) or fewer_levels):
                    wrong.append(f"{name} {how!r} {method}: {error!r}")
            except Exception as error:
                wrong.append(f"{name} {how!r} {method}: {error!r}")
    return wrong


# All take two minutes: the slow test, or this module as a script, which shows where compiled code crashes.
@pytest.mark.filterwarnings("ignore::nnfast.QuantileCrossingWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("methods", [PREDICTIONS, TRAININGS], ids=["predictions", "trainings"])
@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", FITS)
def test_mutated_states_work_or_say_what_is_wrong(what, step, methods):
    assert not outcomes(what, methods, step)


# Name of the attribute in the message, layer, what it is, and what it should be.
ERRORS = {
    "too many outputs": (
        lambda e: replaced(e.coefs_, 2, np.zeros((3, 6))),
        ValueError,
        r"coefs_\[2\], of layer 3 of 3, must be of shape \(3, 3\) \(n_outputs_\), got \(3, 6\)",
    ),
    "a layer short": (
        lambda e: (e.coefs_.pop(), e.intercepts_.pop()),
        ValueError,
        r"coefs_ must have one array for each layer, 3 in all .* got 2",
    ),
    "transposed": (
        lambda e: replaced(e.coefs_, 1, e.coefs_[1].T),
        ValueError,
        r"coefs_\[1\], of layer 2 of 3, .* \(5, n_units\), got \(3, 5\)",
    ),
    "too few inputs": (
        lambda e: replaced(e.coefs_, 0, e.coefs_[0][1:]),
        ValueError,
        r"coefs_\[0\], .* \(4, n_units\) \(n_features_in_\), got \(3, 5\)",
    ),
    "integers": (
        lambda e: replaced(e.coefs_, 0, np.ones((4, 5), int)),
        TypeError,
        r"coefs_\[0\], .* float32 or float64.* got int64: .*astype",
    ),
    "NaN": (
        lambda e: replaced(e.intercepts_, 0, np.array([0, 0, np.nan, 0, 0])),
        ValueError,
        r"intercepts_\[0\], .* finite, got nan at 2",
    ),
    "no biases": (lambda e: replaced(vars(e), "intercepts_", MISSING), NotFittedError, "no intercepts_"),
    "other labels": (
        lambda e: replaced(vars(e), "classes_", np.array(["a", "b"])),
        ValueError,
        "classes_ and _label_binarizer.classes_ .* same",
    ),
    "output": (
        lambda e: replaced(vars(e), "out_activation_", "logistic"),
        ValueError,
        "out_activation_ and n_outputs_ must be 'softmax' and 3",
    ),
}


@pytest.mark.parametrize("wrong", ERRORS)
def test_errors_say_what_is_there_and_what_should_be(wrong):
    change, error, message = ERRORS[wrong]
    estimator, _ = fitted("three classes, layer")
    change(estimator)
    with pytest.raises(error, match=message):
        estimator.predict_proba(X)


# ------------------------------------------------------------------------------------------------------------
# A state is checked once

AFTER_A_CHECK = {
    "an item of coefs_": lambda e: replaced(e.coefs_, 1, np.zeros((5, 4))),
    "an item of intercepts_": lambda e: replaced(e.intercepts_, 0, np.full(5, np.nan)),
    "an item of norm_scales_": lambda e: replaced(e.norm_scales_, 0, np.zeros(4)),
    "all of coefs_": lambda e: replaced(vars(e), "coefs_", e.coefs_[:2]),
    "fewer items": lambda e: e.coefs_.pop(),
    "from one list to another": lambda e: e.intercepts_.insert(0, e.coefs_.pop()),
    "a count": lambda e: replaced(vars(e), "n_outputs_", 4),
    "the inputs": lambda e: replaced(vars(e), "n_features_in_", 5),
    "the output activation": lambda e: replaced(vars(e), "out_activation_", "logistic"),
    "classes": lambda e: replaced(vars(e), "classes_", e.classes_[:2]),
    "the binarizer": lambda e: replaced(vars(e), "_label_binarizer", LabelBinarizer().fit([0, 1])),
    "the binarizer's classes": lambda e: replaced(vars(e._label_binarizer), "classes_", e.classes_[:2]),
    "the binarizer's kind": lambda e: replaced(vars(e._label_binarizer), "y_type_", "binary"),
    "batch normalization": lambda e: replaced(vars(e), "running_means_", [np.zeros(5)]),
    "less normalization": lambda e: replaced(vars(e), "norm_shifts_", MISSING),
    "a dtype": lambda e: replaced(e.coefs_, 0, e.coefs_[0].astype("f2")),
    "a dtype in place": lambda e: e.coefs_[0].setfield(0, "f8") or e.coefs_[0].__setattr__("dtype", np.int64),
    "a shape in place": lambda e: e.coefs_[0].__setattr__("shape", (5, 4)),
}


@pytest.mark.filterwarnings("ignore:Setting the (shape|dtype):DeprecationWarning")
@pytest.mark.parametrize("engine", engines.ENGINES)
@pytest.mark.parametrize("change", AFTER_A_CHECK)
def test_what_changes_after_a_check_is_checked(change, engine):
    if engine == "numba":
        pytest.importorskip("numba")
    estimator, _ = fitted("three classes, layer")
    estimator.set_params(engine=engine)
    for _ in range(2):
        state.check_state(estimator)
    AFTER_A_CHECK[change](estimator)
    for _ in range(2):
        with pytest.raises((ValueError, TypeError)):
            state.check_state(estimator)


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_a_state_is_checked_once_and_forgotten_with_its_arrays(engine, monkeypatch):
    if engine == "numba":
        pytest.importorskip("numba")
    checks, run = [], state._Check.run
    monkeypatch.setattr(state._Check, "run", lambda check: checks.append(run(check)))
    estimator, y = fitted("three classes, layer")
    estimator = pickle.loads(pickle.dumps(estimator)).set_params(engine=engine)
    monkeypatch.setattr(state, "_passed", {})
    for _ in range(3):
        (
            estimator.predict(X),
            estimator.predict_proba(X[:1]),
            estimator.score(X, y),
            estimator.hidden_activations(X),
            estimator.compiled(),
        )
        vars(estimator)["__dict__"] = 1  # an attribute that does not count
        estimator.__dict__ = {
            name: list(value) if isinstance(value, list) else value for name, value in vars(estimator).items()
        }
    assert len(checks) == 1 and len(state._passed) == 1
    with pytest.raises(ValueError, match="resize"):  # compiled code reads them without the GIL
        estimator.coefs_[0].resize((400, 500), refcheck=False)
    del estimator
    gc.collect()
    assert not state._passed


@pytest.mark.filterwarnings("ignore::nnfast.QuantileCrossingWarning")
@pytest.mark.parametrize("what", FITS)
def test_what_a_fit_publishes_has_passed(what, monkeypatch):
    checks, run = [], state._Check.run
    monkeypatch.setattr(state._Check, "run", lambda check: checks.append(run(check)))
    estimator, y = fitted(what)
    estimator.predict(X)
    estimator.partial_fit(X, y).predict(X)
    assert checks == []
    estimator.coefs_[0] = estimator.coefs_[0].copy()
    estimator.predict(X)
    assert len(checks) == 1


def test_a_state_of_the_other_estimator_is_checked_anew():
    for what, cls, missing in (
        ("one target", MLPClassifier, "out_activation_|classes_"),
        ("two classes", MLPRegressor, None),
    ):
        estimator, _ = fitted(what)
        estimator.predict(X)
        other = cls(hidden_layer_sizes=(5, 3))
        vars(other).update({name: value for name, value in vars(estimator).items() if name.endswith("_")})
        if missing is None:
            assert np.isfinite(other.predict(X)).all()
        else:
            with pytest.raises(ValueError, match=missing):
                other.predict(X)


def test_the_states_that_are_remembered_have_a_limit(monkeypatch):
    monkeypatch.setattr(state, "_passed", {})
    monkeypatch.setattr(state, "_MOST_PASSED", 5)
    estimator, _ = fitted("two classes")
    for _ in range(20):
        estimator._label_binarizer = copy.copy(estimator._label_binarizer)
        estimator.predict(X)
        assert 0 < len(state._passed) <= 5


if __name__ == "__main__":
    faulthandler.enable()
    warnings.simplefilter("ignore")
    for what in sys.argv[1:] or FITS:
        for methods in (PREDICTIONS, TRAININGS):
            print(what, *outcomes(what, methods), sep="\n    ")
