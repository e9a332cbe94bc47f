"""The user's own activations and losses, from Python functions of one number.

They stand where names of `nnfast.activations` and `nnfast.losses` do, and present what the records there
present. Numba compiles them, which is done and explained in `nnfast.custom_kernels`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from nnfast import custom_kernels
from nnfast.custom_kernels import name_of
from nnfast.initializers import initializer_for
from nnfast.losses import LOSS_BY_OUT_ACTIVATION

__all__ = ["Activation", "Loss"]

OUT_ACTIVATIONS = ("identity", "exp", "logistic")


def _check_function(function, what, optional=False):
    if not callable(function) and not (optional and function is None):
        raise TypeError(f"{what}, got {function!r}.")


@dataclass(frozen=True, repr=False)
class Activation:
    """An activation of your own: a = f(z), for `activation` of MLPClassifier and MLPRegressor, alone or in a
    list of one a hidden layer.

    Parameters
    ----------
    f : function
        Of one number z, the pre-activation. It may use arithmetic, comparisons, `if`, `and`, `or`, `not`,
        local variables, loops of a known length, functions of `math`, `numpy` and `scipy.special`, and other
        functions of yours that do. It is run a few times on numbers that stand for any, and what they went
        through is compiled: float32 stays float32.

    df : function, default=None
        Its derivative, of z. None: made from what f does, by the chain rule.

    initializer : str, default='glorot_uniform'
        What initializer='auto' draws the weights below such units with.

    name : str, default=None
        What it is called; None: what f is called.

    Raises
    ------
    TypeError
        If f or df is no function.

    See Also
    --------
    Loss : A loss of your own.

    Notes
    -----
    It is compiled by Numba, an extra (`pip install "nnfast[numba]"`), when a fit or a prediction first needs
    it, for the CPU that it runs on: in a tenth of a second or two, once a process. What it takes from
    outside, numbers and other functions, is looked up where a fit begins. Only the functions are pickled. Two
    are equal if their functions and options are.

    Where a fit begins, f and its derivative are computed for z from -10 to 10. A ValueError says where they
    are not finite, or what in them cannot be compiled or differentiated; a UserWarning, that df is not the
    derivative of f.

    Examples
    --------
    >>> import nnfast
    >>> def softsign(z):
    ...     return z / (1 + abs(z))
    >>> nnfast.MLPRegressor(activation=nnfast.Activation(softsign))
    MLPRegressor(activation=Activation(softsign))
    """

    f: Callable
    df: Callable | None = None
    initializer: str = field(default="glorot_uniform", kw_only=True)
    name: str | None = field(default=None, kw_only=True)

    kind = "activation"
    # As a record of nnfast.activations has them.
    parameter_name = None
    default = None

    def __post_init__(self):
        _check_function(self.f, "f of Activation must be a function of one number, z")
        _check_function(
            self.df, "df of Activation must be a function of one number, z, or None", optional=True
        )
        initializer_for(self.initializer)
        if self.name is None:
            object.__setattr__(self, "name", name_of(self.f))

    def __repr__(self):
        options = {} if self.initializer == "glorot_uniform" else {"initializer": self.initializer}
        return _shown(self, options | ({} if self.name == name_of(self.f) else {"name": self.name}))

    def function(self, z, parameter=None):
        """f(z), number by number, of z's shape and dtype."""
        return self._values(z)[0]

    def derivative(self, z, a, parameter=None):
        """f'(z), number by number, of z's shape and dtype."""
        return self._values(z)[1]

    def check(self, parameter):
        """None for None; ValueError for anything else: it has no parameter."""
        if parameter is not None:
            raise ValueError(
                f"activation {self!r} has no parameter, got {parameter!r}: let its function enclose it, as in"
                " a closure."
            )

    def _values(self, z):
        return custom_kernels.activation_values(self, z)


@dataclass(frozen=True, repr=False)
class Loss:
    """A loss of your own: f(y, z) for each output, for `loss` of MLPRegressor, and of MLPClassifier with two
    classes or several labels.

    Parameters
    ----------
    f : function
        Of two numbers, the target y and the output layer's pre-activation z. What it may use is said at
        `Activation`. A classifier's y is 0 or 1.

    df : function, default=None
        Its derivative by z, of y and z. None: made from what f does, by the chain rule.

    out_activation : {'identity', 'exp', 'logistic'}, default='identity'
        What predictions make of z: z itself, exp(z), which is positive, or 1 / (1 + exp(-z)), which is a
        probability. A classifier needs 'logistic'. With 'identity' the loss of a row is the mean of f over
        the outputs, and the stochastic solvers descend along the gradient of their sum, as for the other
        losses that are means; with the others it is the sum.

    Raises
    ------
    TypeError
        If f or df is no function.
    ValueError
        If out_activation is not one of these.

    See Also
    --------
    Activation : An activation of your own, where more is said of compiling, errors and pickles.

    Notes
    -----
    Where a fit begins, f and its derivative are computed for numbers that y has, and z from -10 to 10 and,
    with 'identity', near those. A ValueError says where they are not finite.

    Examples
    --------
    To forecast too little costs three times as much as to forecast too much:

    >>> import nnfast
    >>> def asymmetric(y, z):
    ...     return (3 if z < y else 1) * (z - y) ** 2
    >>> nnfast.MLPRegressor(loss=nnfast.Loss(asymmetric))
    MLPRegressor(loss=Loss(asymmetric))
    """

    f: Callable
    df: Callable | None = None
    out_activation: str = field(default="identity", kw_only=True)

    kind = "loss"
    # As a record of nnfast.losses has them.
    parameter_name = None
    defaults = ()
    of_classes = False
    domain = "finite numbers"

    def __post_init__(self):
        _check_function(self.f, "f of Loss must be a function of two numbers, y and z")
        _check_function(
            self.df, "df of Loss must be a function of two numbers, y and z, or None", optional=True
        )
        if self.out_activation not in OUT_ACTIVATIONS:
            raise ValueError(
                f"out_activation of Loss must be one of {OUT_ACTIVATIONS}, got {self.out_activation!r}."
            )

    def __repr__(self):
        return _shown(
            self, {} if self.out_activation == "identity" else {"out_activation": self.out_activation}
        )

    @property
    def name(self):
        """What f is called."""
        return name_of(self.f)

    @property
    def is_mean(self):
        """Whether a row's loss is the mean over the outputs, not the sum."""
        return self.out_activation == "identity"

    def descent_scale(self, n_outputs):
        """By what the stochastic solvers multiply the gradient."""
        return float(n_outputs) if self.is_mean else 1.0

    def in_domain(self, y):
        """Whether each target is a number at all."""
        return np.isfinite(y)

    def value(self, y, z, parameters=()):
        """The loss of each row, shape (n,)."""
        values = self._values(y, z)[0]
        return values.mean(axis=1) if self.is_mean else values.sum(axis=1)

    def gradient(self, y, z, parameters=()):
        """The derivative of `value` by z, shape (n, n_outputs)."""
        return self._values(y, z)[1] / z.dtype.type(self.descent_scale(z.shape[1]))

    def output(self, z):
        """The predictions."""
        return LOSS_BY_OUT_ACTIVATION[self.out_activation].output(z)

    def _values(self, y, z):
        return custom_kernels.loss_values(self, y, z)


def _shown(own, options):
    functions = [name_of(each) for each in (own.f, own.df) if each is not None]
    arguments = ", ".join([*functions, *(f"{name}={value!r}" for name, value in options.items())])
    return f"{type(own).__name__}({arguments})"


def check_own_functions(network, y, dtype, *, goes_on):
    """Compile what of a network is the user's own and try it, before a fit begins: see
    `nnfast.custom_kernels`.

    With `goes_on`, for a fit that goes on with another, only what is not compiled yet.
    """
    own = dict.fromkeys(each for each, _ in network.activations if isinstance(each, Activation))
    if not own and not isinstance(network.loss, Loss):
        return
    dtype = np.dtype(dtype).name
    for each in own:
        if not (goes_on and custom_kernels.is_compiled(each, dtype)):
            custom_kernels.check_activation(each, dtype)
    if isinstance(network.loss, Loss) and not (goes_on and custom_kernels.is_compiled(network.loss, dtype)):
        custom_kernels.check_loss(network.loss, y, dtype)


def __dir__():
    return __all__
