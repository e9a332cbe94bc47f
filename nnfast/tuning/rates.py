"""The learning-rate finder: the range test of an estimator, or of a pipeline that ends in one."""

import sys
from numbers import Integral, Real

from sklearn.base import clone

from nnfast.base import BaseMLP
from nnfast.parameters import check_parameters
from nnfast.preparation import prepare
from nnfast.rate_finder import HIGH, LOWS, SMOOTHING
from nnfast.solvers import solver_of
from nnfast.training import try_rates
from nnfast.tuning.networks import last_step, pipelines_of
from nnfast.validation import HeldOut

# Times the lowest rate that the highest is at least: slopes are taken over a decade of them.
_FEWEST = 100


def lr_find(
    estimator,
    X,
    y,
    sample_weight=None,
    *,
    validation_indices=None,
    low=None,
    high=HIGH,
    n_epochs=None,
    smoothing=SMOOTHING,
    random_state=None,
):
    """Find a learning rate: train with rates that climb, and see which brings the loss down fastest.

    Step i of n has the rate ::

        low (high / low)^(i / (n - 1))

    and the loss of its batch is noted before the step. The test ends where the loss explodes: where the
    average so far and three losses in a row exceed the least average by three times its value, or by three
    times the way down to it.

    What is trained is what `fit` would train, on the rows that it would train on: the same initial
    parameters, batch size, solver, penalties and dropout. The schedule has no part in it, nor have callbacks;
    the order of the rows is drawn at random, whatever `shuffle`. learning_rate_init="auto" is the same within
    `fit`, and with the same `random_state` comes to the same rate, `learning_rate_init_`.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor, or a Pipeline that ends in one
        Fitted or not, it stays as it is: a clone is trained, and of a pipeline's steps, clones are fitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The table, as for `fit`. Of one that `fit` would read in blocks, some are read.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of every row for the network, of a positive sum.
    validation_indices : array-like of shape (n_held_out,) or mask of shape (n_samples,), default=None
        Rows to hold out, as in `fit`: the test does not train on them.
    low : float, default=None
        The lowest rate. None is 1e-6, and less where the loss explodes within a decade of it.
    high : float, default=10.0
        The highest rate, at least a hundred times `low`.
    n_epochs : int, default=None
        Passes over the rows. None is as many, or such a part of one, as 32 steps a decade take: 225 steps by
        default, of 45000 rows if a batch has 200.
    smoothing : float, default=0.8
        Weight of the average so far in the exponential moving average of the loss, in [0, 1).
    random_state : int, RandomState instance or None, default=None
        In place of the estimator's; None: the estimator's.

    Returns
    -------
    RateCurve
        See `nnfast.rate_finder.RateCurve`: rates, losses, the rates that follow from them, and `plot`.

    Raises
    ------
    TypeError
        If the estimator is another one.
    ValueError
        If an argument is not accepted, by this function or by `fit`, or if the solver is 'lbfgs', which has
        no rate.
    DivergenceError
        If the loss explodes within a decade of the lowest rate.

    References
    ----------
    Smith, Cyclical Learning Rates for Training Neural Networks, 2017, arXiv:1506.01186.

    Examples
    --------
    >>> from nnfast import MLPClassifier
    >>> from nnfast.tuning import lr_find
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier(solver="sgd", random_state=0)
    >>> found = lr_find(clf, X / 16, y)
    >>> 0.01 < found.suggestion < found.minimum < found.diverged_at
    True
    >>> clf = clf.set_params(learning_rate_init="auto", max_iter=50, tol=1).fit(X / 16, y)
    >>> clf.learning_rate_init_ == found.suggestion
    True
    """
    _check(low, high, n_epochs, smoothing)
    last, _ = last_step(estimator)
    if not isinstance(last, BaseMLP):
        raise TypeError(
            "estimator must be an MLPClassifier or MLPRegressor of nnfast, or a Pipeline that ends in one, "
            f"got {type(last).__name__}."
        )
    if not solver_of(last.solver).minibatches:
        raise ValueError(
            "lr_find needs a solver with a learning rate, such as 'adam' or 'sgd', got "
            f"solver={last.solver!r}."
        )
    check_parameters(last)  # before the other steps are fitted, which may take long
    for pipeline in pipelines_of(estimator):
        if len(pipeline.steps) > 1:
            X = clone(pipeline[:-1]).fit_transform(X, y)
    last = clone(last).set_params(profile=False)
    if random_state is not None:
        last.set_params(random_state=random_state)
        check_parameters(last)

    ready = prepare(last, X, y, sample_weight, HeldOut(indices=validation_indices))
    settings = {"low": low, "high": high, "n_epochs": n_epochs, "smoothing": smoothing}
    return try_rates(ready.task, last, ready.engine, ready.random_state, **settings)


def _check(low, high, n_epochs, smoothing):
    """Raise ValueError unless these are what `lr_find` takes."""
    checks = (
        (
            "low",
            low,
            low is None or _is_number(low) and 0 < low <= sys.float_info.max,
            "a positive number, or None",
        ),
        ("high", high, _is_number(high) and 0 < high <= sys.float_info.max, "a positive number"),
        (
            "n_epochs",
            n_epochs,
            n_epochs is None or _is_number(n_epochs, Integral) and n_epochs >= 1,
            "1 or more, or None",
        ),
        ("smoothing", smoothing, _is_number(smoothing) and 0 <= smoothing < 1, "a number in [0, 1)"),
    )
    for name, value, accepted, words in checks:
        if not accepted:
            raise ValueError(f"{name} must be {words}, got {value!r}.")
    low = LOWS[0] if low is None else low
    if high < low * _FEWEST:
        raise ValueError(f"high must be at least {_FEWEST} times low={low!r}, got {high!r}.")


def _is_number(value, kind=Real):
    return isinstance(value, kind) and not isinstance(value, bool)
