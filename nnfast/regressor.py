"""The scikit-learn contract of the regressor: its targets and scores."""

import warnings
from functools import partial

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import d2_pinball_score
from sklearn.utils.metaestimators import available_if

from nnfast import fitting, scores
from nnfast.base import BaseMLP, joined_signature, partial_fit_available
from nnfast.compiled import CompiledRegressor, state_of
from nnfast.documentation import documented
from nnfast.exceptions import QuantileCrossingWarning
from nnfast.losses import loss_of
from nnfast.parameters import REGRESSOR_CONSTRAINTS, check_quantile
from nnfast.suggestions import suggests_keywords
from nnfast.targets import Targets, encoded


@documented
class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron regressor, a drop-in for scikit-learn's.

    With z(x) the output layer's pre-activations, it minimises the mean over the samples of ::

        mean_k (z_k - y_k)^2 / 2

    or what `loss` says, plus 0.5 * alpha * (sum of squared weights) / n_samples, by minibatches or by L-BFGS.
    Where a loss is a mean over several outputs, the minibatch solvers descend along the gradient of their
    sum, as scikit-learn's do; L-BFGS along the gradient of the loss.

    Parameters
    ----------
    {regressor_loss}

    {parameters}

    {regressor_parameters}

    Attributes
    ----------
    {attributes}

    quantiles_ : ndarray of shape (n_levels,)
        Levels of the quantiles that are predicted, with loss='quantile' alone.

    See Also
    --------
    MLPClassifier : The same network for classes.

    References
    ----------
    Hinton, Connectionist learning procedures, Artificial Intelligence 40, 1989.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, arXiv:1412.6980.

    Examples
    --------
    >>> from nnfast import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
    >>> regr = MLPRegressor(random_state=1, max_iter=2000, tol=0.1).fit(X_train, y_train)
    >>> round(regr.score(X_test, y_test), 2)
    0.98
    """

    _parameter_constraints: dict = REGRESSOR_CONSTRAINTS
    _y_numeric = True

    def __init__(self, loss="squared_error", *args, huber_delta=1.0, quantile=0.5, **parameters):
        super().__init__(*args, **parameters)
        self.loss = loss
        self.huber_delta = huber_delta
        self.quantile = quantile

    __init__.__signature__ = joined_signature(__init__)

    def _check_together(self, activation, regularization):
        super()._check_together(activation, regularization)
        if self.loss == "quantile":
            check_quantile(self.quantile)

    def _learn_labels(self, y, *, redefine):
        vars(self).pop("quantiles_", None)
        if self.loss == "quantile":
            self.quantiles_ = np.array(check_quantile(self.quantile))

    def _encode(self, y, dtype):
        y = encoded(y, dtype, loss_of(self.loss), self.loss)
        if self.loss == "quantile":
            return self._encode_for_quantiles(y)
        loss_parameters = (float(self.huber_delta),) if self.loss == "huber" else ()
        return Targets(y, self.loss, loss_parameters, y.shape[1], None, scores.r2)

    def _encode_for_quantiles(self, y):
        levels = tuple(self.quantiles_.tolist())
        if len(levels) == 1:
            levels *= y.shape[1]
        elif y.shape[1] > 1:
            raise ValueError(
                f"quantile={self.quantile!r} has several levels, which are for one target, got a y of "
                f"{y.shape[1]}. Use one level, or a regressor a target: see "
                "sklearn.multioutput.MultiOutputRegressor."
            )
        else:
            y = np.repeat(y, len(levels), axis=1)
        return Targets(y, "quantile", levels, len(levels), None, partial(scores.pinball_d2, levels))

    @available_if(partial_fit_available)
    @suggests_keywords
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch, going on from the present parameters and moments.

        The optimizer's hyperparameters are those of the call that began, as in scikit-learn.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The table.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of every row, of a positive sum.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        DivergenceError
            If the loss, a gradient or a parameter is not finite.
        """
        return fitting.fit(self, X, y, sample_weight, one_epoch=True)

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        y : ndarray of shape (n_samples,), (n_samples, n_outputs) or (n_samples, n_levels)
            The predictions; with several levels of `quantile`, one column each.

        Warns
        -----
        QuantileCrossingWarning
            If the quantiles of a row do not increase with the level.
        """
        held = self._snapshot()
        outputs = held._outputs(X)
        if outputs.shape[1] == 1:
            return outputs.ravel()
        if len(vars(held).get("quantiles_", ())) > 1:
            _warn_of_crossing(outputs, held.quantiles_)
        return outputs

    def compiled(self):
        """Make an immutable predictor of targets, for serving.

        {compiled}

        Returns
        -------
        predictor : CompiledRegressor
            See `nnfast.compiled.CompiledRegressor`.

        Raises
        ------
        {compiled_errors}

        Examples
        --------
        >>> from nnfast import MLPRegressor
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> regr = MLPRegressor(max_iter=50, tol=1e9, random_state=0).fit(X, y)
        >>> bool((regr.compiled().predict(X[:3]) == regr.predict(X[:3])).all())
        True
        """
        return CompiledRegressor(state_of(self._snapshot()))

    def score(self, X, y, sample_weight=None):
        """Score predictions by the coefficient of determination, R2, averaged over the targets.

        With loss='quantile' it is the share of the pinball loss explained, D2, averaged over the levels: see
        `sklearn.metrics.d2_pinball_score`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Their weights.

        Returns
        -------
        score : float
            1 is the best, 0 that of a constant: of the mean, or of the quantile.
        """
        if "quantiles_" not in vars(self):
            return super().score(X, y, sample_weight)
        held = self._snapshot()
        outputs, levels = held._outputs(X), held.quantiles_
        by_level = [outputs] if len(levels) == 1 else outputs.T
        return float(
            np.mean(
                [
                    d2_pinball_score(y, predicted, sample_weight=sample_weight, alpha=level)
                    for predicted, level in zip(by_level, levels, strict=True)
                ]
            )
        )


def _warn_of_crossing(outputs, levels):
    crosses = outputs[:, 1:] < outputs[:, :-1]
    if crosses.any():
        where = ", ".join(
            f"{lower:g} and {upper:g} in {count}"
            for lower, upper, count in zip(levels, levels[1:], crosses.sum(axis=0), strict=False)
            if count
        )
        warnings.warn(
            f"The predicted quantiles cross in {crosses.any(axis=1).sum()} of {len(outputs)} rows: {where}. "
            "Sort them, np.sort(..., axis=1), or train longer.",
            QuantileCrossingWarning,
            stacklevel=3,
        )
