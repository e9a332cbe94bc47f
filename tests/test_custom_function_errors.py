"""What is wrong with activations and losses of the user's own, said before a fit begins."""

import copy
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from custom_fits import bent, cross_entropy, data, fitted, gelu, huber, squared
from sklearn.exceptions import ConvergenceWarning

import nnfast
from nnfast import Activation, Loss, MLPClassifier, MLPRegressor

pytest.importorskip("numba")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def spelled_wrong(z):
    return math.exp(z) + expp(z)  # noqa: F821


def of_two(y, z):
    return z


def returns_nothing(z):
    if z > 0:
        return z


def half_defined(z):
    return math.sqrt(z)


def kinked_at_zero(z):
    return math.sqrt(abs(z))


def with_gamma(z):
    return math.gamma(2 + z * z)


def until_done(z):
    while abs(z) > 1:
        z = z / 2
    return z


def overflows(z):
    return z**40


def relative(y, z):
    return abs(z - y) / y


FAULTY = {  # parameter, object: what the message says beside name, file and line
    "misspelled": (
        {"activation": Activation(spelled_wrong)},
        r"raises NameError: name 'expp' is not defined",
    ),
    "arguments": (
        {"activation": Activation(of_two)},
        r"raises TypeError: .*missing 1 required positional argument",
    ),
    "nothing": ({"activation": Activation(returns_nothing)}, r"returns None: it must return a real number"),
    "a string": ({"loss": Loss(lambda y, z: "much")}, r"returns a str: it must return a real number"),
    "a bool": ({"activation": Activation(lambda z: z > 0)}, r"returns a bool: it must return a real number"),
    "an array": (
        {"activation": Activation(lambda z: np.mean(z))},
        r"uses numpy\.mean, which nnfast does not know",
    ),
    "not a number": ({"activation": Activation(half_defined)}, r"gives nan for z=-1e-06 in float64"),
    "a slope": (
        {"activation": Activation(kinked_at_zero)},
        r"gives (inf|nan) for z=0 in float64 \(the derivative, as made from it\)",
    ),
    "too large": ({"activation": Activation(overflows)}, r"gives inf for z=\S+ in float32"),
    "no slope": (
        {"activation": Activation(with_gamma)},
        r"uses math\.gamma, whose derivative nnfast does not know. Give it: Activation\(.*, df\)",
    ),
    "a loop": ({"activation": Activation(until_done)}, r"only loops of a known length"),
    "a df": ({"activation": Activation(math.tanh, returns_nothing)}, r"'returns_nothing' .*returns None"),
    "no loss": ({"loss": Loss(relative)}, r"gives (nan|inf) for y=0, z=0 in float64"),
    "a kind of loss": ({"loss": Loss(lambda y: y)}, r"raises TypeError"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_what_is_wrong(name):
    parameters, words = FAULTY[name]
    ((parameter, own),) = parameters.items()
    X, y = data(MLPRegressor)
    y[3] = 0
    estimator = MLPRegressor(max_iter=1, random_state=0, **parameters)
    with pytest.raises(ValueError, match=words) as caught:
        estimator.fit(X.astype(np.float32) if name == "too large" else X, y)
    message = str(caught.value)
    assert message.startswith(f"{parameter}={own!r}: the function ") and "\n" not in message
    assert f"({__file__}, line " in message
    assert not hasattr(estimator, "coefs_")


def test_the_line_is_that_of_the_fault():
    X, y = data(MLPRegressor)
    for function, line in ((spelled_wrong, 1), (until_done, 1), (half_defined, 0)):
        with pytest.raises(ValueError, match=rf"line {function.__code__.co_firstlineno + line}\)"):
            MLPRegressor(activation=Activation(function)).fit(X, y)


def test_a_df_that_is_none_is_a_warning():
    X, y = data(MLPRegressor)
    own = Activation(lambda z: math.tanh(z), lambda z: 2 * (1 - math.tanh(z) ** 2))
    with pytest.warns(
        UserWarning,
        match=r"is not the derivative of '<lambda>': for z=\S+ it gives \S+, differences of the values",
    ):
        MLPRegressor(max_iter=1, activation=own).fit(X, y)
    with pytest.warns(UserWarning, match=r"loss=Loss.* for y=\S+, z=\S+ it gives"):
        MLPRegressor(max_iter=1, loss=Loss(squared, lambda y, z: y - z)).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Either slope will do at a kink, and none at a jump.
        kinks = Activation(lambda z: max(z, 0) + (z > 1), lambda z: 1 if z >= 0 else 0)
        MLPRegressor(
            max_iter=1, activation=kinks, loss=Loss(lambda y, z: abs(y - z), lambda y, z: np.sign(z - y))
        ).fit(X, y)


def test_what_is_no_function():
    for wrong in ("tanh", 3, None):
        with pytest.raises(TypeError, match=r"f of Activation must be a function of one number, z, got"):
            Activation(wrong)
        with pytest.raises(TypeError, match=r"f of Loss must be a function of two numbers, y and z, got"):
            Loss(wrong)
    with pytest.raises(TypeError, match="df of Loss must be .* or None, got 3"):
        Loss(huber, 3)
    with pytest.raises(
        ValueError, match=r"out_activation of Loss must be one of .*'logistic'.*, got 'softmax'"
    ):
        Loss(huber, out_activation="softmax")
    with pytest.raises(
        ValueError, match="initializer must be one of .*'he_normal'.*Did you mean 'he_normal'"
    ):
        Activation(gelu, initializer="he_norm")


steepness = 1.0


def test_what_a_function_refers_to_is_looked_up_where_a_fit_begins():
    X, y = data(MLPRegressor)
    own = Activation(lambda z: math.tanh(steepness * z))
    estimator = fitted(MLPRegressor, X, y, activation=own)
    first = estimator.predict(X[:2])
    globals()["steepness"] = 2.0
    np.testing.assert_array_equal(estimator.predict(X[:2]), first)
    np.testing.assert_array_equal(
        copy.deepcopy(estimator).partial_fit(X, y).loss_, estimator.partial_fit(X, y).loss_
    )
    again = fitted(MLPRegressor, X, y, activation=own)
    other = fitted(MLPRegressor, X, y, activation=Activation(lambda z: math.tanh(2 * z)))
    np.testing.assert_array_equal(again.predict(X[:2]), other.predict(X[:2]))
    globals()["steepness"] = 1.0


def test_functions_that_are_not_wrapped():
    X, y = data(MLPRegressor)
    mine = r"nnfast\.Activation\(gelu\)"
    for parameters, words in (
        ({"activation": gelu}, mine),
        ({"activation": [gelu]}, mine),
        ({"loss": huber}, r"nnfast\.Loss\(huber\)"),
    ):
        with pytest.raises(ValueError, match=f"Did you mean {words}"):
            MLPRegressor(**parameters).fit(X, y)


def test_losses_of_classifiers():
    X, y = data(MLPClassifier)
    with pytest.raises(
        ValueError, match="for two classes or several labels, got a y of 3 classes.*OneVsRestClassifier"
    ):
        MLPClassifier(loss=Loss(cross_entropy, out_activation="logistic")).fit(X, np.arange(len(y)) % 3)
    with pytest.raises(
        ValueError,
        match=r"a classifier predicts probabilities. Use Loss\(cross_entropy, out_activation='logistic'\)",
    ):
        MLPClassifier(loss=Loss(cross_entropy)).fit(X, y)
    with pytest.raises(
        ValueError, match=r"label_smoothing=0.1 needs loss='log_loss', got loss=Loss\(cross_entropy"
    ):
        MLPClassifier(loss=Loss(cross_entropy, out_activation="logistic"), label_smoothing=0.1).fit(X, y)
    with pytest.raises(ValueError, match="'bent'"):
        MLPClassifier(activation=Activation(bent), alpha_dropout=True, dropout=0.1).fit(X, y)


def test_a_run_that_diverges():
    X, y = data(MLPRegressor)
    with pytest.raises(nnfast.DivergenceError):
        fitted(
            MLPRegressor,
            1e3 * X,
            1e6 * y,
            activation=Activation(lambda z: z * z),
            solver="sgd",
            learning_rate_init=10.0,
        )


def test_targets_that_are_tried_are_those_of_the_fit():
    X, y = data(MLPRegressor)
    logarithmic = Loss(lambda y, z: (math.log(y) - z) ** 2, out_activation="exp")
    fitted(MLPRegressor, X, np.exp(y), loss=logarithmic)
    with pytest.raises(ValueError, match="gives nan for y=-"):
        fitted(MLPRegressor, X, y, loss=logarithmic)


def test_without_numba():
    code = """
import sys
sys.modules["numba"] = None
import numpy as np
import nnfast
nnfast.MLPRegressor(max_iter=2).fit(np.eye(9), np.arange(9.0))
own = nnfast.Activation(abs)
try:
    nnfast.MLPRegressor(activation=own).fit(np.eye(9), np.arange(9.0))
except ImportError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert (
        result.stdout.strip()
        == 'Activation(abs) is compiled by Numba, which is not installed: pip install "nnfast[numba]".'
    ), result.stderr


def test_nothing_is_compiled_before_it_is_needed():
    code = """
import sys
import nnfast
nnfast.MLPRegressor(activation=nnfast.Activation(abs), loss=nnfast.Loss(lambda y, z: abs(y - z)))
print("numba" in sys.modules, "nnfast.kernels.jit" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == [
        "False",
        "False",
    ]
