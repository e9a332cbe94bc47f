"""Pictures of a fitted search: parallel coordinates, importances, slices and learning curves.

They draw searches of nnfast.tuning, and scikit-learn's too. nnfast's know the scales of their parameters; of
scikit-learn's they are guessed from the values: positive numbers over more than two orders of magnitude are
logarithmic, other numbers linear, and all else is a choice.
"""

import numpy as np

from nnfast import plotting
from nnfast.tuning import drawing
from nnfast.tuning import importance as analysis
from nnfast.tuning.importance import importances
from nnfast.tuning.trials import read

__all__ = [
    "importances",
    "plot_importance",
    "plot_learning_curves",
    "plot_parallel_coordinates",
    "plot_slices",
]

_KINDS = ("loss", "score")


def plot_parallel_coordinates(search, ax=None, *, metric=None):
    """Draw a line a trial, from axis to axis of its hyperparameters, to its score.

    The scores' colours go from the worst to the best of the finished trials, which is drawn bold; trials that
    were stopped early, diverged or failed are thin and grey, to the last score they had; lines without one
    end before its axis. Scores far below the others, an R2 of -1e9 say, are drawn at the lower end, which is
    then marked with "≤".

    Parameters
    ----------
    search : fitted search of nnfast.tuning or scikit-learn
    ax : matplotlib axes, optional
        Made where there are none, wide enough for the names.
    metric : str, optional
        One of the metrics of a search with several; by default the one that it refits by.

    Returns
    -------
    matplotlib axes
        Heights are positions from 0 to 1 on each parameter's scale.

    Raises
    ------
    ImportError
        Without matplotlib.
    NotFittedError
        If the search is not fitted.
    TypeError
        If it is no search.
    ValueError
        If the metric is not one of the search's, or has to be named.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from nnfast.tuning.plots import plot_parallel_coordinates
    >>> X, y = make_classification(random_state=0)
    >>> grid = {"C": [1e-4, 1e-2, 1, 100], "fit_intercept": [True, False]}
    >>> axes = plot_parallel_coordinates(GridSearchCV(LogisticRegression(), grid).fit(X, y))
    >>> [label.get_text() for label in axes.get_xticklabels()]
    ['C', 'fit_intercept', 'score']
    """
    trials = read(search, metric)
    return drawing.parallel_coordinates(
        plotting.axes(ax, (drawing.width_of_parallel_coordinates(trials), 4.4)), trials
    )


def plot_importance(search, ax=None, *, metric=None, random_state=0):
    """Draw a bar a hyperparameter: the share of the scores' variance that it explains by itself (fANOVA).

    Parameters
    ----------
    search : fitted search of nnfast.tuning or scikit-learn
    ax : matplotlib axes, optional
        Made where there are none.
    metric : str, optional
        One of the metrics of a search with several; by default the one that it refits by.
    random_state : int, default=0
        Of the random forest that stands in for the score.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        Without matplotlib or Optuna.
    NotFittedError, TypeError, ValueError
        As `importances`, which gives the same as numbers.

    See Also
    --------
    importances : what is computed.
    """
    trials = read(search, metric)
    shares = analysis.of_trials(trials, random_state)
    return drawing.importance(plotting.axes(ax, (6.4, 1.2 + 0.36 * len(shares))), shares, trials)


def plot_slices(search, axes=None, *, metric=None):
    """Draw the score over each hyperparameter, one panel each, on its own scale.

    The best trial is a star. Trials that were stopped early are small and grey, at the last score they had;
    those that have none are crosses at the bottom, which tell where fits diverge; triangles are scores far
    below the others. The trials of one choice are spread side by side.

    Parameters
    ----------
    search : fitted search of nnfast.tuning or scikit-learn
    axes : sequence of matplotlib axes, optional
        One a hyperparameter; made where there are none.
    metric : str, optional
        One of the metrics of a search with several; by default the one that it refits by.

    Returns
    -------
    ndarray of matplotlib axes
        In the order of the search's parameters. Places along x are positions from 0 to 1 on the parameter's
        scale.

    Raises
    ------
    ImportError
        Without matplotlib.
    NotFittedError, TypeError, ValueError
        As `plot_parallel_coordinates`; a ValueError also if `axes` are not as many as the hyperparameters.
    """
    trials = read(search, metric)
    n = len(trials.columns)
    own = axes is None
    if own:
        n_across = n if n <= 4 else min((4, 3), key=lambda k: -n % k)  # the fewer empty places
        n_down = -(-n // n_across)
        grid = plotting.pyplot().subplots(
            n_down,
            n_across,
            figsize=(max(3.0 * n_across, 6.4), 2.9 * n_down + 0.4),
            sharey=True,
            squeeze=False,
            layout="constrained",
        )[1]
        for unused in grid.flat[n:]:
            unused.remove()
        axes = grid.flat[:n]
    axes = _as_array(axes)
    if len(axes) != n:
        raise ValueError(f"axes must be {n}, one a hyperparameter, got {len(axes)}.")
    for i, (ax, column, name) in enumerate(zip(axes, trials.columns, trials.short_names(), strict=True)):
        drawing.one_slice(ax, trials, column, name)
        if not own or i % n_across == 0:
            ax.set_ylabel(trials.metric, parse_math=False)
    if own and n:
        drawing.legend(axes[0].figure, trials, marker=True, loc="outside lower center")
    return axes


def plot_learning_curves(search, axes=None, *, metric=None):
    """Draw the training loss and, where it was measured, the validation score of every trial by epoch.

    Curves have the colours of the trials' scores, the best trial's is bold. What was stopped early is grey
    and ends in a dot where it was stopped, what diverged in a cross. Of scikit-learn's searches those by
    successive halving have curves, of scores by resource.

    Parameters
    ----------
    search : fitted search of nnfast.tuning, or one of scikit-learn by successive halving
    axes : sequence of matplotlib axes, optional
        As many as there are curves to draw, loss first; made where there are none.
    metric : str, optional
        One of the metrics of a search with several, for the colours; by default the one that it refits by.

    Returns
    -------
    ndarray of matplotlib axes
        One or two: of the loss, of the score.

    Raises
    ------
    ImportError
        Without matplotlib.
    NotFittedError, TypeError, ValueError
        As `plot_parallel_coordinates`; a ValueError also if no trial has a curve.
    """
    trials = read(search, metric)
    kinds = kinds_of_curves(trials)
    if not kinds:
        raise ValueError(
            "search must have recorded learning curves, as the searches of nnfast.tuning do and "
            f"scikit-learn's by successive halving; {type(search).__name__} did not."
        )
    own = axes is None
    if own:
        figsize = (5.4 * len(kinds) + 0.6, 4.0)
        axes = plotting.pyplot().subplots(
            1, len(kinds), figsize=figsize, squeeze=False, layout="constrained"
        )[1]
    axes = _as_array(axes)
    if len(axes) != len(kinds):
        raise ValueError(f"axes must be {len(kinds)}, for {' and '.join(kinds)}, got {len(axes)}.")
    drawing.learning_curves(axes, trials, kinds)
    if own:
        drawing.legend(axes[0].figure, trials, loc="outside lower center")
    return axes


def kinds_of_curves(trials):
    """Which curves some trial has: "loss", "score"."""
    return [kind for kind in _KINDS if any(len(curve[kind]) for curve in trials.curves)]


def _as_array(axes):
    axes = list(axes.flat) if isinstance(axes, np.ndarray) else list(axes) if np.iterable(axes) else [axes]
    made = np.empty(len(axes), dtype=object)
    made[:] = axes
    return made


def __dir__():
    return __all__
