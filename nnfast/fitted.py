"""The fitted network: from an estimator's attributes to its parameters and predictions."""

from numbers import Integral

import numpy as np

from nnfast import engines
from nnfast.activations import ACTIVATIONS, ALIASES, activation_of, resolve_activations
from nnfast.custom_functions import Activation
from nnfast.losses import LOSS_BY_OUT_ACTIVATION
from nnfast.network import Network, Parameters
from nnfast.normalization import NORMALIZATIONS, fold
from nnfast.numeric_table import kind_to_measure
from nnfast.overflow import check_overflow
from nnfast.state import check_state
from nnfast.validation import arithmetic_dtype, check_rows, common_dtype


def network_activation(p, n_hidden):
    """The activation of a `Network`: the name or the user's own, where that is all."""
    if p.activation_params is None:
        if isinstance(p.activation, str) and (name := ALIASES.get(p.activation, p.activation)) in ACTIVATIONS:
            return name
        if isinstance(p.activation, Activation):
            return p.activation
    return resolve_activations(p.activation, p.activation_params, n_hidden)


class FittedNetwork:
    """What an estimator does with the network that a fit has left in its attributes. Not for use by
    itself.
    """

    def _snapshot(self):
        """The estimator as it is now, for a call that looks at it several times: a fit in another thread
        changes the estimator's state in one assignment, see `nnfast.publishing`, and this one keeps the state
        before.
        """
        held = object.__new__(type(self))
        held.__dict__ = self.__dict__
        return held

    def _parameters(self):
        return Parameters.of_attributes(vars(self))

    def _outputs(self, X, *, logits=False):
        """Output layer of shape (n_samples, n_outputs), in the dtype that scikit-learn would give."""
        check_state(self)
        X, given = check_rows(self, X)
        activation, loss = self._predicting_functions()
        if logits:
            loss = "squared_error"
        outputs, result = self._compute(X, given, activation, loss, len(self.coefs_))
        return outputs if outputs.dtype == result else outputs.astype(result)

    def _predicting_functions(self):
        """The hidden layers' activation, and a loss with the output layer's: see `Network`."""
        return network_activation(self, len(self.coefs_) - 1), LOSS_BY_OUT_ACTIVATION[
            self.out_activation_
        ].name

    def hidden_activations(self, X, layer=-1):
        """Compute what the units of a hidden layer make of rows: the features that the network has learned.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        layer : int, default=-1
            The hidden layer: 1 is the first, -1 the last one.

        Returns
        -------
        activations : ndarray of shape (n_samples, n_units)
            Normalised by the running statistics if at all, and without dropout, as in predictions.

        Examples
        --------
        >>> from nnfast import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier((20, 8), max_iter=50, tol=1, random_state=0).fit(X, y)
        >>> clf.hidden_activations(X).shape
        (150, 8)
        """
        return self._snapshot()._hidden_activations(X, layer)

    def _hidden_activations(self, X, layer):
        check_state(self)
        n_hidden = len(self.coefs_) - 1
        if isinstance(layer, bool) or not isinstance(layer, Integral) or not 1 <= abs(layer) <= n_hidden:
            raise ValueError(
                "layer must be the number of a hidden layer, from 1 for the first, or from -1 for the last, "
                f"of {n_hidden} in all, got {layer!r}."
            )
        layer = int(layer) % (n_hidden + 1)
        X, given = check_rows(self, X)
        activations = resolve_activations(self.activation, self.activation_params, n_hidden)
        z, result = self._compute(X, given, activations[: layer - 1], "squared_error", layer)
        if self._normalization() == "layer":
            scale, shift = (
                arrays[layer - 1].astype(z.dtype) for arrays in (self.norm_scales_, self.norm_shifts_)
            )
            z = NORMALIZATIONS["layer"].predict(z, scale, shift, float(self.norm_eps))
        name, parameter = activations[layer - 1]
        return activation_of(name).function(z, parameter).astype(result, copy=False)

    def _compute(self, X, given, activation, loss, n_layers):
        """Outputs of a network of the first `n_layers` layers, and the dtype they should have."""
        arrays = self._predicting_arrays(n_layers)
        result = common_dtype(given, arrays[0][0].dtype)
        dtype = arithmetic_dtype(self.precision, result)
        engine = engines.get_engine(self.engine)
        outputs = engine.predict_few(activation, loss, self.norm_eps, arrays, X, dtype)
        if outputs is None:
            outputs = predict_many(engine, activation, loss, self.norm_eps, arrays, X, dtype, self.n_threads)
        if dtype.itemsize == 4 and not engine.are_finite_rows(outputs):
            check_overflow(X, outputs, loss=loss, arrays=arrays)
        return outputs, result

    def _predicting_arrays(self, n_layers):
        """Coefs, intercepts, scales and shifts of the first `n_layers` layers, batch normalization folded
        into the first two.
        """
        coefs, intercepts = [*self.coefs_[:n_layers]], [*self.intercepts_[:n_layers]]
        normalization = self._normalization()
        if normalization == "batch":
            return *self._folded(coefs, intercepts), [], []
        if normalization == "layer":
            return (
                coefs,
                intercepts,
                [*self.norm_scales_[: n_layers - 1]],
                [*self.norm_shifts_[: n_layers - 1]],
            )
        return coefs, intercepts, [], []

    def _normalization(self):
        """The fitted network's."""
        fitted = vars(self)
        return "batch" if "running_means_" in fitted else "layer" if "norm_scales_" in fitted else None

    def _folded(self, coefs, intercepts):
        """Weights and biases that predict without batch normalization what the network predicts with it."""
        norms = (self.norm_scales_, self.norm_shifts_, self.running_means_, self.running_variances_)
        hidden = zip(coefs, intercepts, *norms, strict=False)  # an output layer has none
        folded = [fold(*arrays, float(self.norm_eps)) for arrays in hidden]
        rest = zip(coefs[len(folded) :], intercepts[len(folded) :], strict=True)
        coefs, intercepts = zip(*folded, *rest, strict=True)
        return list(coefs), list(intercepts)


def predict_many(engine, activation, loss, norm_eps, arrays, X, dtype, n_threads):
    """Outputs of a network of coefs, intercepts, scales and shifts: by threads, of a large mapped table in
    blocks.
    """
    coefs, intercepts, scales, shifts = arrays
    layer_units = (coefs[0].shape[0], *[coef.shape[1] for coef in coefs])
    network = Network(
        layer_units, activation, loss, normalization="layer" if scales else None, norm_eps=float(norm_eps)
    )
    table = kind_to_measure(X)(X)
    parameters = Parameters.of_lists(coefs=coefs, intercepts=intercepts, scales=scales, shifts=shifts)
    return table.predict(engine, network, parameters, dtype=dtype, n_threads=n_threads)


def labels_of(outputs, binarizer):
    """What binarizer.inverse_transform gives for a network's outputs, without its 100 microseconds of
    validation.
    """
    if binarizer.y_type_ == "multiclass":
        return binarizer.classes_.take(outputs.argmax(axis=1))
    if binarizer.y_type_ == "binary":
        last = len(binarizer.classes_) - 1
        return binarizer.classes_.take((outputs.ravel() > 0.5) * last)
    return (
        binarizer.inverse_transform(outputs) if binarizer.sparse_input_ else (outputs > 0.5).astype(np.int64)
    )
