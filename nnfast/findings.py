"""What `nnfast.inspect` finds: numbers, a verdict, advice, and a figure."""

from dataclasses import dataclass

import numpy as np

from nnfast import plotting
from nnfast.layer_plots import with_rows, with_shares
from nnfast.result import Result, number_texts, percentage_texts


def layer_names(n_hidden, *, output=False):
    """ "hidden 1", ..., and "output" if asked for."""
    return (*(f"hidden {i + 1}" for i in range(n_hidden)), *(["output"] if output else []))


@dataclass(frozen=True, eq=False, repr=False)
class GradientFlow(Result):
    """How the loss's gradient comes down from the output layer to the first.

    Attributes
    ----------
    layers : tuple of str
        "hidden 1", ..., "output".
    gradients : ndarray of shape (n_layers,)
        Of every layer, sqrt(mean_i |g_i|^2), g_i the gradient of row i's loss by what goes into the
        activations: the pre-activations, normalised where the network normalises, and for the output layer
        the logits.
    weight_gradients : ndarray of shape (n_layers,)
        Norms of the gradient of the mean loss by the weights.
    weight_norms : ndarray of shape (n_layers,)
        Norms of the weights.
    vanishing, exploding : float
        Limits of `ratio`.
    """

    layers: tuple
    gradients: np.ndarray
    weight_gradients: np.ndarray
    weight_norms: np.ndarray
    vanishing: float
    exploding: float

    @property
    def ratio(self):
        """The first layer's gradient by the output layer's; NaN where the latter is 0."""
        return _divide(self.gradients[0], self.gradients[-1]).item()

    @property
    def relative_weight_gradients(self):
        """`weight_gradients` by `weight_norms`."""
        return _divide(self.weight_gradients, self.weight_norms)

    @property
    def verdict(self):
        """By `ratio`, "vanishing", "exploding" or "healthy"; "no gradient" where the output layer
        has none.
        """
        if not np.isfinite(self.gradients).all():
            return "exploding"
        if self.gradients[-1] == 0:
            return "no gradient"
        if self.ratio < self.vanishing:
            return "vanishing"
        return "exploding" if self.ratio > self.exploding else "healthy"

    @property
    def advice(self):
        """What may help."""
        return {
            "vanishing": "The first layers hardly learn. What may help: an activation like 'relu' or 'selu' "
            "in place of 'logistic' or 'tanh', initializer='auto', normalization='batch' or 'layer', fewer "
            "hidden layers.",
            "exploding": "The first layers' steps are erratic. What may help: clip_norm=1.0, a lower "
            "learning_rate_init, initializer='auto', normalization='batch' or 'layer', a larger alpha.",
            "no gradient": "These rows are fitted exactly: the loss has no gradient to send down.",
        }.get(self.verdict, "")

    def _columns(self):
        from_output = slice(None, None, -1)
        return {
            "layer": self.layers[from_output],
            "gradient": number_texts(self.gradients[from_output]),
            "of the output's": number_texts(_divide(self.gradients, self.gradients[-1])[from_output]),
            "weight gradient": number_texts(self.weight_gradients[from_output]),
            "of the weights": number_texts(self.relative_weight_gradients[from_output]),
        }

    def plot(self, ax=None):
        """Draw `gradients` from the output layer to the first, and the range in which the first layer's is
        healthy.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Made where there are none.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        ax = plotting.axes(ax)
        values, last = self.gradients[::-1], self.gradients[-1]
        ax.plot(range(len(values)), values, "o-", label="gradient")
        visible = values[np.isfinite(values) & (values > 0)]
        if np.isfinite(last) and last > 0:
            band = self.vanishing * last, self.exploding * last
            ax.axhspan(*band, color="C2", alpha=0.15, linewidth=0, label="healthy at hidden 1")
            visible = np.append(visible, band)
        if len(visible):
            ax.set(yscale="log", ylim=(visible.min() / 3, visible.max() * 3))
        few = len(values) <= 8
        labels = [layer.replace(" ", "\n") if few else layer for layer in self.layers[::-1]]
        ax.set_xticks(range(len(values)), labels, rotation=0 if few else 90)
        ax.set(xlabel="layer, from output to input", ylabel="norm of the rows' gradients")
        ax.set_title(f"Gradient flow: {self.verdict}")
        ax.legend()
        return ax


@dataclass(frozen=True, eq=False, repr=False)
class DeadUnits(Result):
    """Hidden units that make nothing of any row, or the same of all.

    Attributes
    ----------
    layers : tuple of str
        "hidden 1", ...
    n_units : ndarray of int, shape (n_hidden,)
        Units of every hidden layer.
    dead, constant : tuple of ndarray of int
        Numbers of the units, from 0, of every hidden layer. No unit is in both.
    """

    layers: tuple
    n_units: np.ndarray
    dead: tuple
    constant: tuple

    @property
    def counts(self):
        """How many are dead in every hidden layer."""
        return np.array([len(units) for units in self.dead], dtype=int)

    @property
    def constant_counts(self):
        """How many are constant, and not dead, in every hidden layer."""
        return np.array([len(units) for units in self.constant], dtype=int)

    @property
    def shares(self):
        """`counts` by `n_units`."""
        return self.counts / self.n_units

    @property
    def verdict(self):
        """ "dead units" if there are any, or else "constant units", or else "healthy"; or "no
        hidden layers".
        """
        if not self.layers:
            return "no hidden layers"
        return (
            "dead units"
            if self.counts.any()
            else "constant units"
            if self.constant_counts.any()
            else "healthy"
        )

    @property
    def advice(self):
        """What may help."""
        return {
            "dead units": "What may help against dead units: a lower learning_rate_init, initializer='auto', "
            "standardised X, normalization='batch' or 'layer', or activation='leaky_relu', whose units do "
            "not die.",
            "constant units": "They add to the next layer's biases, and nothing else. What may help if they "
            "are saturated: standardised X, initializer='auto', normalization='batch' or 'layer'.",
        }.get(self.verdict, "")

    def _columns(self):
        return {
            "layer": self.layers,
            "units": map(str, self.n_units),
            "dead": map(str, self.counts),
            "share": percentage_texts(self.shares),
            "constant": map(str, self.constant_counts),
        }

    def plot(self, ax=None):
        """Draw the shares of dead and of constant units, a bar a hidden layer.

        Parameters and errors are those of `GradientFlow.plot`.
        """
        ax = plotting.axes(ax)
        positions = range(len(self.layers))
        ax.barh(positions, self.shares, color="C3", label="dead")
        ax.barh(
            positions, self.constant_counts / self.n_units, left=self.shares, color="C1", label="constant"
        )
        rows = zip(self.layers, self.counts, self.constant_counts, self.n_units, strict=True)
        labels = [f"{layer}\n{d} of {n} dead" + (f", {c} constant" if c else "") for layer, d, c, n in rows]
        return with_shares(ax, labels, title=f"Hidden units: {self.verdict}", xlabel="share of the units")


@dataclass(frozen=True, eq=False, repr=False)
class Saturation(Result):
    """Where hidden units are on a flat part of their activation.

    Attributes
    ----------
    layers : tuple of str
        "hidden 1", ...
    activations : tuple of str
        Every hidden layer's.
    unit_shares : tuple of ndarray of shape (n_units,)
        Share of the rows on which each unit is saturated.
    limits : ndarray of shape (n_hidden,)
        The share above which a layer is called saturated.
    """

    layers: tuple
    activations: tuple
    unit_shares: tuple
    limits: np.ndarray

    @property
    def shares(self):
        """Share of all rows and units of every hidden layer."""
        return np.array([units.mean() for units in self.unit_shares])

    @property
    def verdict(self):
        """ "saturated" if a hidden layer is above its limit, or else "healthy"; or "no hidden layers"."""
        if not self.layers:
            return "no hidden layers"
        return "saturated" if (self.shares > self.limits).any() else "healthy"

    @property
    def advice(self):
        """What may help."""
        if self.verdict != "saturated":
            return ""
        return (
            "What may help: standardised X, initializer='auto', a lower learning_rate_init, "
            "normalization='batch' or 'layer', another activation."
        )

    def _columns(self):
        return {
            "layer": self.layers,
            "activation": self.activations,
            "units": [str(len(units)) for units in self.unit_shares],
            "saturated": percentage_texts(self.shares),
            "limit": percentage_texts(self.limits),
            "worst unit": percentage_texts([units.max() for units in self.unit_shares]),
        }

    def plot(self, ax=None):
        """Draw the saturated shares, a bar a hidden layer, with a tick for every unit and the layer's limit.

        Parameters and errors are those of `GradientFlow.plot`.
        """
        ax = plotting.axes(ax)
        rows = np.arange(len(self.layers))
        ax.barh(rows, self.shares, color="C0", alpha=0.6, label="layer")
        numbers = [np.full(len(units), row) for row, units in zip(rows, self.unit_shares, strict=True)]
        if numbers:
            marks = {"marker": "|", "markersize": 10, "linestyle": "none", "color": "black", "alpha": 0.4}
            ax.plot(
                np.concatenate(self.unit_shares),
                np.concatenate(numbers),
                **marks,
                clip_on=False,
                label="units",
            )
            ax.vlines(self.limits, rows - 0.4, rows + 0.4, "C3", linestyle="--", label="limit")
        labels = [f"{layer}, {name}" for layer, name in zip(self.layers, self.activations, strict=True)]
        labels = [
            f"{label}\n{share}" for label, share in zip(labels, percentage_texts(self.shares), strict=True)
        ]
        return with_shares(ax, labels, title=f"Saturation: {self.verdict}", xlabel="share of the rows")


@dataclass(frozen=True, eq=False, repr=False)
class WeightStatistics(Result):
    """What the weights of every layer are like.

    Attributes
    ----------
    layers : tuple of str
        "hidden 1", ..., "output".
    shapes : tuple of (int, int)
        (fan_in, fan_out) of every layer.
    mean, std, min, max : ndarray of shape (n_layers,)
        Of the weights, biases apart.
    norm : ndarray of shape (n_layers,)
        sqrt(sum of squares).
    zeros : ndarray of shape (n_layers,)
        Share of weights that are exactly zero, as `l1` makes them.
    largest_column_norm : ndarray of shape (n_layers,)
        Largest norm of a unit's incoming weights, which `max_norm` limits.
    histograms : tuple of (counts, edges)
        Of every layer's weights other than the exact zeros, as of `numpy.histogram`.
    """

    layers: tuple
    shapes: tuple
    mean: np.ndarray
    std: np.ndarray
    min: np.ndarray
    max: np.ndarray
    norm: np.ndarray
    zeros: np.ndarray
    largest_column_norm: np.ndarray
    histograms: tuple

    def _columns(self):
        return {
            "layer": self.layers,
            "shape": [f"{fan_in} x {fan_out}" for fan_in, fan_out in self.shapes],
            **{name: number_texts(getattr(self, name)) for name in ("mean", "std", "min", "max", "norm")},
            "largest column": number_texts(self.largest_column_norm),
            "zeros": percentage_texts(self.zeros),
        }

    def plot(self, ax=None):
        """Draw the histograms, each in a row of its own and to its own height.

        Parameters and errors are those of `GradientFlow.plot`.
        """
        ax = plotting.axes(ax)
        low, high = min(0, self.min.min()), max(0, self.max.max())
        for i, (counts, edges) in enumerate(self.histograms):
            heights = counts / max(counts.max(), 1)
            ax.stairs(i + 0.4 - 0.8 * heights, edges, baseline=i + 0.4, fill=True, color="C0", alpha=0.7)
        ax.axvline(0, color="black", linewidth=0.8, alpha=0.5)
        margin = 0.05 * (high - low) or 1.0
        ax.set(xlim=(low - margin, high + margin), xlabel="weight", title="Weights")
        rows = zip(self.layers, self.std, self.zeros, strict=True)
        labels = [
            f"{layer}\nstd {std:.2g}" + (f", {zeros:.0%} zeros" if zeros else "")
            for layer, std, zeros in rows
        ]
        return with_rows(ax, labels)


def _divide(a, b):
    """a / b, inf or NaN where b is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(a, b)
