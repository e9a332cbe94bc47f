"""How much of a search's scores each hyperparameter explains: functional analysis of variance."""

import numpy as np

from nnfast.tuning.trials import ROUNDING, read, worth_a_scale

# Of the forest's trees. Deeper ones give the same shares within 1 %, at two to four times the time from 150
# trials on.
_DEPTH = 6
# The name of no parameter.
_BUDGET = "how long it was trained"


def importances(search, *, metric=None, random_state=0):
    """Share of the scores' variance that each hyperparameter explains by itself (fANOVA).

        share of p = Var_p(E[score | p]) / Var(score)

    with all other hyperparameters drawn uniformly on their scales. A random forest of Optuna's, fitted to the
    trials, stands in for the score. The shares sum to at most 1; the rest is what hyperparameters do
    together. Scores that are far below the others, as those of fits that nearly diverged, count as the lowest
    of the others. A trial that was stopped early counts with the score it had, and the part of the variance
    that epochs explain is taken out; a trial without a score does not count.

    Parameters
    ----------
    search : fitted search of nnfast.tuning or scikit-learn
    metric : str, optional
        One of the metrics of a search with several; by default the one that it refits by.
    random_state : int, default=0
        Of the forest.

    Returns
    -------
    dict of str to float
        By falling share. Parameters that some scored trials do not have are left out.

    Raises
    ------
    ImportError
        Without Optuna.
    NotFittedError
        If the search is not fitted.
    ValueError
        If fewer than two trials differ in their scores, or no parameter belongs to all trials.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from nnfast.tuning.plots import importances
    >>> X, y = make_classification(random_state=0)
    >>> grid = {"C": [1e-4, 1e-2, 1, 100], "fit_intercept": [True, False]}
    >>> shares = importances(GridSearchCV(LogisticRegression(), grid).fit(X, y))
    >>> list(shares)
    ['C', 'fit_intercept']

    References
    ----------
    Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance, 2014.
    """
    return of_trials(read(search, metric), random_state)


def of_trials(trials, random_state=0):
    """See `importances`."""
    try:
        import optuna
        from optuna.distributions import CategoricalDistribution, FloatDistribution
    except ImportError as error:
        raise ImportError("importances need optuna: pip install 'nnfast[tune]'") from error
    scored = np.flatnonzero(np.isfinite(trials.scores))
    scores = trials.scores[scored]
    if len(scored) < 2 or np.ptp(scores) <= ROUNDING * np.abs(scores).max():
        got = f"{len(scored)} scored, all alike" if len(scored) > 1 else f"{len(scored)} scored"
        raise ValueError(
            f"search must have trials with different scores, for importances to be told; got {got}."
        )
    columns = [column for column in trials.columns if np.isfinite(column.positions[scored]).all()]
    if not columns:
        raise ValueError(
            "search must have a parameter that all trials have, for importances to be told; got none."
        )
    constant = {column.name: 0.0 for column in columns if column.constant}
    columns = [column for column in columns if not column.constant]
    if not columns:
        return constant

    # Positions, not values: Optuna's forest draws numbers uniformly between their bounds, whatever their
    # scale.
    distributions, rows = {}, {}
    for column in columns:
        units = column.positions[scored]
        if column.n_choices:
            distributions[column.name] = CategoricalDistribution(range(column.n_choices))
            rows[column.name] = np.floor(units * column.n_choices).astype(int)
        else:
            distributions[column.name] = FloatDistribution(0.0, 1.0)
            rows[column.name] = units
    budgets = trials.resources[scored] if trials.resources is not None else np.ones(1)
    if np.ptp(budgets):
        # How long a trial was trained decides its score, too: it is a parameter, whose part is then taken
        # out.
        distributions[_BUDGET] = FloatDistribution(0.0, 1.0)
        rows[_BUDGET] = np.log(budgets / budgets.min()) / np.log(budgets.max() / budgets.min())
    lowest = worth_a_scale(scores)[0]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study
    try:
        study = optuna.create_study(direction="maximize")
        study.add_trials(
            optuna.create_trial(
                params={name: values[i].item() for name, values in rows.items()},
                distributions=distributions,
                value=float(max(score, lowest)),
            )
            for i, score in enumerate(scores)
        )
        # get_param_importances, made for users, normalizes the shares, or warns that not to do so is
        # experimental
        found = optuna.importance.FanovaImportanceEvaluator(max_depth=_DEPTH, seed=random_state).evaluate(
            study
        )
    finally:
        optuna.logging.set_verbosity(verbosity)
    rest = 1 - found.pop(_BUDGET, 0.0)
    return {name: float(share / rest) if rest > 0 else 0.0 for name, share in found.items()} | constant
