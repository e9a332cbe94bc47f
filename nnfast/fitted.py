"""The fitted network: from an estimator's attributes to its parameters and predictions."""

from numbers import Integral

from sklearn.utils.validation import check_is_fitted

from nnfast import engines
from nnfast.activations import ACTIVATIONS, ALIASES, resolve_activations
from nnfast.losses import LOSS_BY_OUT_ACTIVATION
from nnfast.network import Network, Parameters
from nnfast.normalization import NORMALIZATIONS, fold
from nnfast.validation import arithmetic_dtype, check_rows, common_dtype

# The fitted attributes that hold a network's parameters. Those without arrays are absent.
PARAMETER_ATTRIBUTES = {
    "coefs": "coefs_",
    "intercepts": "intercepts_",
    "scales": "norm_scales_",
    "shifts": "norm_shifts_",
    "means": "running_means_",
    "variances": "running_variances_",
}


def network_activation(p, n_hidden):
    """The activation of a `Network`: the name, where that is all."""
    if p.activation_params is None and isinstance(p.activation, str):
        return ALIASES.get(p.activation, p.activation)
    return resolve_activations(p.activation, p.activation_params, n_hidden)


class FittedNetwork:
    """What an estimator does with the network that a fit has left in its attributes. Not for use by itself."""

    def _parameters(self):
        fitted = vars(self)
        return Parameters(*(list(fitted.get(name, ())) for name in PARAMETER_ATTRIBUTES.values()))

    def _outputs(self, X, *, logits=False):
        """Output layer of shape (n_samples, n_outputs), in the dtype that scikit-learn would give."""
        if "coefs_" not in vars(self):
            check_is_fitted(self)
        X, given = check_rows(self, X)
        loss = "squared_error" if logits else LOSS_BY_OUT_ACTIVATION[self.out_activation_].name
        activation = network_activation(self, len(self.coefs_) - 1)
        outputs, result = self._compute(X, given, activation, loss, len(self.coefs_))
        return outputs if outputs.dtype == result else outputs.astype(result)

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
        check_is_fitted(self)
        n_hidden = len(self.coefs_) - 1
        if isinstance(layer, bool) or not isinstance(layer, Integral) or not 1 <= abs(layer) <= n_hidden:
            raise ValueError(
                f"layer must be the number of a hidden layer, from 1 for the first, or from -1 for the last, of {n_hidden} "
                f"in all, got {layer!r}."
            )
        layer = int(layer) % (n_hidden + 1)
        X, given = check_rows(self, X)
        activations = resolve_activations(self.activation, self.activation_params, n_hidden)
        z, result = self._compute(X, given, activations[: layer - 1], "squared_error", layer)
        if self._normalization() == "layer":
            scale, shift = (arrays[layer - 1].astype(z.dtype) for arrays in (self.norm_scales_, self.norm_shifts_))
            z = NORMALIZATIONS["layer"].predict(z, scale, shift, float(self.norm_eps))
        name, parameter = activations[layer - 1]
        return ACTIVATIONS[name].function(z, parameter).astype(result, copy=False)

    def _compute(self, X, given, activation, loss, n_layers):
        """Outputs of a network of the first `n_layers` layers, and the dtype they should have."""
        coefs, intercepts = self.coefs_[:n_layers], self.intercepts_[:n_layers]
        normalization = self._normalization()
        norms = ()
        if normalization == "batch":
            coefs, intercepts = self._folded(coefs, intercepts)
        elif normalization is not None:
            norms = self.norm_scales_[: n_layers - 1], self.norm_shifts_[: n_layers - 1]
        network = Network(
            (coefs[0].shape[0], *[coef.shape[1] for coef in coefs]),
            activation,
            loss,
            normalization="layer" if norms else None,
            norm_eps=float(self.norm_eps),
        )
        result = common_dtype(given, coefs[0].dtype)
        dtype = arithmetic_dtype(self.precision, result)
        outputs = engines.get_engine(self.engine).predict(
            network, Parameters(coefs, intercepts, *norms), X, dtype=dtype, n_threads=self.n_threads
        )
        return outputs, result

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
        return coefs, intercepts
