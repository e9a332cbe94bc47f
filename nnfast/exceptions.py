"""The exceptions and warnings that nnfast adds to scikit-learn's."""


class DivergenceError(ValueError):
    """The parameters, the loss or a gradient ceased to be finite during a fit.

    The message begins with scikit-learn's sentence for non-finite weights, then names the epoch and the step, and
    the likely cure. It is a `ValueError`, which is what scikit-learn raises at the end of such a fit.

    The estimator that was to be fitted is then as it was before. What was trained so far is not lost:

    Attributes
    ----------
    estimator_ : MLPClassifier, MLPRegressor or None
        An estimator as of the last whole epoch, with finite parameters; None where there was no such epoch. It is not
        pickled with the exception.
    """

    estimator_ = None

    def __reduce__(self):
        return type(self), self.args


class QuantileCrossingWarning(UserWarning):
    """Of the quantiles predicted for a row, one is larger than one of a higher level.

    Nothing in loss="quantile" keeps the levels in order. More training or more rows usually do; `np.sort(..., axis=1)`
    always does, and never makes the loss larger.
    """


class UnusedOptionWarning(UserWarning):
    """An option was set to another value than its default and has no effect with the other options.

    Such as `weight_decay` with solver="adam". Every fit warns of each such option, but not `partial_fit` after its first
    call, nor a search of its candidates. `nnfast.option_needs.OPTIONS` has what every option needs.
    """
