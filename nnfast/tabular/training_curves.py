"""How the members of an ensemble trained, drawn."""

import numpy as np

from nnfast import plotting
from nnfast.tabular.trees import TreeRound


def draw(ensemble, ax):
    """See `TabularClassifier.plot_training`."""
    rounds = [(i, each) for i, each in enumerate(ensemble.rounds) if not isinstance(each, TreeRound)]
    if not rounds:
        raise ValueError("plot_training draws the training of networks, and this ensemble has none.")
    axes = _panels(len(rounds), ax)
    for panel, (i, each) in zip(axes, rounds, strict=True):
        _draw_round(panel, each)
        n = len(each.members)
        panel.set_title(
            f"round {i + 1}: {n} network{'s' * (n > 1)}, weight {each.weight:.2f}", fontsize="medium"
        )
    _limit(axes, [each for _, each in rounds])
    axes[0].set_ylabel("loss")
    # above the axes, as in `nnfast.learning_curve`: within them it would cover curves
    figure = axes[0].figure
    if ax is None:
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=3, frameon=False, fontsize="small")
    else:
        axes[0].legend(frameon=False, fontsize="small")
    return axes


def _panels(n, ax):
    if ax is None:
        size = (max(6.4, 3.2 * n), 4.0)
        return plotting.pyplot().subplots(
            1, n, figsize=size, layout="constrained", sharey=True, squeeze=False
        )[1][0]
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != n:
        raise ValueError(f"ax must have axes for each of the {n} rounds of networks, got {len(axes)}.")
    return axes


def _draw_round(ax, round):
    """Curves of all members: training losses thin, validation losses above them, a point at each
    best epoch.
    """
    for k, member in enumerate(round.members):
        curves = member.curves
        epochs = np.arange(1, len(curves.loss) + 1)
        labels = ("loss", "validation loss", "best epoch") if k == 0 else (None,) * 3
        style = {"marker": "."} if len(epochs) == 1 else {}  # of one point there is no line
        ax.plot(epochs, curves.loss, color="C0", linewidth=0.8, alpha=0.6, label=labels[0], **style)
        ax.plot(epochs, curves.validation_loss, color="C1", linewidth=1.2, label=labels[1], zorder=3, **style)
        if curves.best_epoch:
            best = curves.best_epoch
            ax.plot(
                best,
                curves.validation_loss[best - 1],
                "o",
                color="black",
                markersize=4,
                label=labels[2],
                zorder=4,
            )
    ax.set_xlabel("epoch")
    ax.locator_params(axis="x", integer=True)


def _limit(axes, rounds):
    """Leave out what lies far above the rest, such as the first epochs: the curves would be flat
    otherwise.
    """
    curves = [member.curves for each in rounds for member in each.members]
    losses = np.concatenate([[*each.loss, *each.validation_loss] for each in curves])
    low, high = np.nanmin(losses), np.nanquantile(losses, 0.98)
    if high > low:
        for ax in axes:
            ax.set_ylim(low - 0.05 * (high - low), high + 0.15 * (high - low))
