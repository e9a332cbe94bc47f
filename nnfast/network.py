"""What a network is: its layers, how they follow each other, and its parameters as named arrays."""

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np

from nnfast.custom_functions import Activation, Loss
from nnfast.layers import ATTRIBUTES, LEARNED, Activate, Dense, Dropout, Layer, Normalize
from nnfast.losses import loss_of

_LISTS = {plural: role for role, (_, plural) in ATTRIBUTES.items()}


@cache
def role_of(name):
    """What the array called `name` is in its layer: "weight" of "layers.0.weight"."""
    return name.split(".", 2)[2]


class Parameters(dict):
    """All arrays of a network by name: what it learns, and what batch normalization has seen.

    Names are "layers.0.weight", "layers.0.bias", with normalization also "layers.0.norm.scale" and
    "layers.0.norm.shift", and with batch normalization "layers.0.norm.mean" and "layers.0.norm.variance".

    Attributes
    ----------
    coefs, intercepts, scales, shifts, means, variances : list of ndarray
        The arrays of one kind, layer by layer.
    """

    @classmethod
    def of_lists(cls, **lists):
        """From lists of arrays called coefs, intercepts, scales, shifts, means and variances."""
        return cls(
            (f"layers.{i}.{role}", array)
            for plural, role in _LISTS.items()
            for i, array in enumerate(lists.get(plural, ()))
        )

    @classmethod
    def of_attributes(cls, fitted):
        """From fitted attributes, a dict."""
        return cls.of_lists(**{plural: fitted.get(name, ()) for name, plural in ATTRIBUTES.values()})

    def by_attribute(self):
        """The lists of arrays by the fitted attributes that have them."""
        lists = {}
        for name, array in self.items():
            lists.setdefault(ATTRIBUTES[role_of(name)][0], []).append(array)
        return lists

    def __getattr__(self, plural):
        if plural not in _LISTS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {plural!r}")
        return [array for name, array in self.items() if role_of(name) == _LISTS[plural]]

    def __setstate__(self, state):
        self.update(Parameters.of_lists(**state))  # version 0.1 pickled lists

    def learned(self):
        """What the optimizer moves, in the order that gradients, moments and flat vectors have."""
        return list(self.only_learned().values())

    def only_learned(self):
        """The parameters without running statistics."""
        return Parameters((name, array) for name, array in self.items() if role_of(name) in LEARNED)

    def arrays(self):
        """All arrays."""
        return list(self.values())

    @property
    def dtype(self):
        """The dtype of the arrays."""
        return next(iter(self.values())).dtype

    def map(self, function):
        """The parameters whose arrays are function(array)."""
        return Parameters((name, function(array)) for name, array in self.items())

    def copy(self):
        """Copies of all arrays."""
        return self.map(np.copy)

    def are_finite(self):
        """Whether all numbers are."""
        return all(np.isfinite(array).all() for array in self.values())


@dataclass(frozen=True)
class Node:
    """A layer and where its input comes from.

    Parameters
    ----------
    name : str
        What the names of the layer's parameters begin with.
    layer : nnfast.layers.Layer
    inputs : tuple of int
        Numbers of nodes; -1 is the table.
    """

    name: str
    layer: Layer
    inputs: tuple[int, ...]

    def values(self, parameters):
        """The layer's own arrays, by the names in its `params`."""
        return {param.name: parameters[f"{self.name}.{param.name}"] for param in self.layer.params}


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron without its parameters.

    Parameters
    ----------
    layer_units : tuple of int
        Units of every layer, inputs first, outputs last.
    activation : str, nnfast.Activation or tuple of (one of these, float or None)
        Activation of all hidden layers, a name in `nnfast.activations` or the user's own; or each one's, with
        its own parameter (None: the default).
    loss : str or nnfast.Loss
        A name in `nnfast.losses`, or the user's own; it decides the output activation.
    loss_parameters : tuple of float, default=()
        The loss's own: see its record.
    normalization : {"batch", "layer"} or None, default=None
        Of the hidden layers' pre-activations: see `nnfast.normalization`.
    norm_eps, norm_momentum : float, default=1e-5 and 0.1
        What is added to a variance, and the weight of a batch in the running statistics.
    """

    layer_units: tuple[int, ...]
    activation: str | Activation | tuple
    loss: str | Loss
    loss_parameters: tuple[float, ...] = ()
    normalization: str | None = None
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1

    @property
    def activations(self):
        """Name and parameter (or None) of every hidden layer's activation."""
        if isinstance(self.activation, tuple):
            return self.activation
        return ((self.activation, None),) * (len(self.layer_units) - 2)

    @property
    def out_activation(self):
        """Name of the output activation."""
        return loss_of(self.loss).out_activation

    @property
    def n_outputs(self):
        """Units of the output layer."""
        return self.layer_units[-1]

    @property
    def shapes(self):
        """Shape (fan_in, fan_out) of every layer's weights."""
        return list(pairwise(self.layer_units))

    def nodes(self, initializer="glorot_uniform", dropout=(), input_dropout=0.0, alpha_dropout=False):
        """The layers in the order in which rows go through them: a tuple of `Node`.

        Parameters
        ----------
        initializer : str
            See `nnfast.initializers`.
        dropout, input_dropout, alpha_dropout
            See `nnfast.regularization.Regularization`.
        """
        names = [name for name, _ in self.activations]
        # The output layer is drawn as the last hidden one by scikit-learn's rule, and as a linear one by
        # "auto".
        last = names[-1] if names else "identity"
        if not isinstance(self.activation, tuple):
            last = self.activation
        nodes = []

        def add(name, layer):
            nodes.append(Node(name, layer, (len(nodes) - 1,)))

        if input_dropout:
            add("inputs.dropout", Dropout(input_dropout, 0))
        for i, (fan_in, fan_out) in enumerate(self.shapes):
            hidden = i < len(names)
            name, follows = f"layers.{i}", names[i] if hidden else "identity"
            add(name, Dense(fan_in, fan_out, initializer, follows, follows if hidden else last))
            if hidden and self.normalization:
                add(f"{name}.norm", Normalize(self.normalization, fan_out, self.norm_eps))
            if hidden:
                add(f"{name}.activation", Activate(*self.activations[i]))
            if hidden and dropout and dropout[i]:
                add(f"{name}.dropout", Dropout(dropout[i], i + 1, alpha_dropout))
        return tuple(nodes)

    @property
    def params(self):
        """Every parameter by its name, a `nnfast.layers.Param`, in the order of `Parameters`."""
        return _params(self.layer_units, self.normalization)

    @property
    def array_shapes(self):
        """The shape of every array by its name, in the order of `Parameters`."""
        return _shapes(self.layer_units, self.normalization)[0]

    @property
    def learned(self):
        """The shape of every array that is learned by its name, in the order of gradients, moments and flat
        vectors.
        """
        return _shapes(self.layer_units, self.normalization)[1]

    @property
    def n_parameters(self):
        """How many numbers are learned."""
        return sum(map(math.prod, self.learned.values()))

    def initialize(self, random_state, dtype, initializer="glorot_uniform"):
        """Draw what a fit starts from, layer by layer as scikit-learn does: `Parameters`."""
        drawn = {
            f"{node.name}.{name}": array
            for node in self.nodes(initializer)
            for name, array in node.layer.initialize(random_state, None, dtype).items()
        }
        return Parameters((name, drawn[name]) for name in self.params)

    def blank(self, dtype):
        """Parameters of the right shapes: zero weights and biases, and normalization as it starts."""
        return Parameters((name, each.blank(dtype)) for name, each in self.params.items())

    def check(self, parameters):
        """Raise ValueError if an earlier fit's parameters are those of another network."""
        shapes = {name: array.shape for name, array in parameters.items()}
        if shapes != self.array_shapes:
            coefs = parameters.coefs
            layer_units = (coefs[0].shape[0], *(coef.shape[1] for coef in coefs))
            normalization = "batch" if parameters.means else "layer" if parameters.scales else None
            raise ValueError(
                "warm_start and partial_fit go on with a network of the same layers. Previously it had "
                f"{layer_units} units, inputs first, and normalization={normalization!r}; "
                f"hidden_layer_sizes, X and y ask for {self.layer_units}, with "
                f"normalization={self.normalization!r}."
            )

    def pack(self, parameters):
        """What is learned as one float64 vector of shape (n_parameters,), each array in row-major order."""
        return np.concatenate([parameters[name].ravel() for name in self.learned], dtype=np.float64)

    def unpack(self, flat):
        """The inverse of `pack`, as copies, with the running statistics of the start."""
        parameters = self.blank(np.float64)
        for name, view in self.views(flat).items():
            parameters[name][...] = view
        return parameters

    def views(self, flat):
        """The pieces of a vector of shape (n_parameters,) by name, each of its array's shape."""
        views, start = {}, 0
        for name, shape in self.learned.items():
            end = start + math.prod(shape)
            views[name], start = flat[start:end].reshape(shape), end
        return views


# Of the last architectures, since `partial_fit` and short fits ask again and again.
@lru_cache(64)
def _params(layer_units, normalization):
    nodes = Network(layer_units, "identity", "squared_error", normalization=normalization).nodes()
    found = {f"{node.name}.{each.name}": each for node in nodes for each in node.layer.params}
    order = list(ATTRIBUTES)
    return {name: found[name] for name in sorted(found, key=lambda name: order.index(role_of(name)))}


@lru_cache(64)
def _shapes(layer_units, normalization):
    params = _params(layer_units, normalization)
    learned = {name: each.shape for name, each in params.items() if each.group is not None}
    return {name: each.shape for name, each in params.items()}, learned
