"""The learning curve of a fit, drawn."""

import numpy as np
from sklearn.base import is_classifier

from nnfast import plotting
from nnfast.solvers import solver_of

# How far the second of two right axes stands from the first, in points.
_FAR = 55


def draw(estimator, ax, *, learning_rate):
    """See `nnfast.inspect.plot_learning_curve`; the estimator is fitted."""
    history = estimator.history_
    n_epochs = len(history["loss"])
    if not n_epochs:
        raise ValueError("estimator must have recorded an epoch in history_ for a learning curve, got none.")
    if learning_rate and "learning_rate" not in history:
        raise ValueError(f"learning_rate=True needs a fit by minibatches, got solver={estimator.solver!r}.")
    ax, epochs, unit = (
        plotting.axes(ax),
        np.arange(1, n_epochs + 1),
        solver_of(estimator.solver).round,
    )
    style = {"marker": "o"} if n_epochs == 1 else {}  # of one point there is no line

    handles = ax.plot(epochs, history["loss"], "C0", label="loss", **style)
    if "validation_loss" in history:
        handles += ax.plot(epochs, history["validation_loss"], "C1", label="validation loss", **style)
    ax.set(xlabel=unit, ylabel="loss")
    ax.locator_params(axis="x", integer=True)
    draws_score = "validation_score" in history and not _is_loss(estimator.scoring)
    if draws_score:
        name = _score_name(estimator)
        handles += _right_axes(ax, name).plot(epochs, history["validation_score"], "C2", label=name, **style)
    if learning_rate:
        right = _right_axes(ax, "learning rate")
        right.yaxis.set_major_formatter(lambda rate, _: f"{rate:.3g}")
        if draws_score:
            right.spines.right.set_position(("outward", _FAR))
        handles += right.plot(epochs, history["learning_rate"], "C7--", label="learning rate", **style)
    best = _best(estimator, history)
    if best is not None:
        label = f"best {unit}: {epochs[best]}"
        handles.append(ax.axvline(epochs[best], color="black", linestyle=":", label=label))
    # above the axes: within them, those on the right would be drawn over it
    ax.legend(
        handles=handles, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize="small"
    )
    return ax


def _right_axes(ax, label):
    right = ax.twinx()
    right.set_ylabel(label)
    return right


def _best(estimator, history):
    """The best epoch, from 0, or None."""
    stops_early = estimator.early_stopping and solver_of(estimator.solver).minibatches
    goes_by_score = stops_early and estimator.monitor == "score"
    name = "validation_score" if goes_by_score else "validation_loss"
    values = history.get(name, np.array([np.nan]))
    if np.isnan(values).all():
        return None
    return np.nanargmax(values) if goes_by_score else np.nanargmin(values)


def _score_name(estimator):
    scoring = estimator.scoring
    if scoring is None:
        scoring = (
            "accuracy" if is_classifier(estimator) else "D²" if hasattr(estimator, "quantiles_") else "R²"
        )
    return f"validation {scoring if isinstance(scoring, str) else getattr(scoring, '__name__', 'score')}"


def _is_loss(scoring):
    return isinstance(scoring, str) and scoring == "loss"
