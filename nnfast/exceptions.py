"""The exceptions and warnings that nnfast adds to scikit-learn's."""

from sklearn import exceptions

__all__ = [
    "DivergenceError",
    "InconsistentVersionWarning",
    "QuantileCrossingWarning",
    "UnexpectedValuesWarning",
    "UnusedOptionWarning",
]


class DivergenceError(ValueError):
    """The parameters, the loss or a gradient ceased to be finite during a fit.

    The message begins with scikit-learn's sentence for non-finite weights, then names the epoch and the step,
    and the likely cure. It is a `ValueError`, which is what scikit-learn raises at the end of such a fit.

    The estimator that was to be fitted is then as it was before. What was trained so far is not lost:

    Attributes
    ----------
    estimator_ : MLPClassifier, MLPRegressor or None
        An estimator as of the last whole epoch with finite parameters. None where there was no such epoch, or
        it is not known: an overflow in the dtype of the estimator's parameters shows at the end of a fit that
        nobody watches. It is not pickled with the exception.
    """

    estimator_ = None

    def __reduce__(self):
        return type(self), self.args


class QuantileCrossingWarning(UserWarning):
    """Of the quantiles predicted for a row, one is larger than one of a higher level.

    Nothing in loss="quantile" keeps the levels in order. More training or more rows usually do; `np.sort(...,
    axis=1)` always does, and never makes the loss larger.
    """


class UnusedOptionWarning(UserWarning):
    """An option was set to another value than its default and has no effect with the other options.

    Such as `weight_decay` with solver="adam". Every fit warns of each such option, but not `partial_fit`
    after its first call, nor a search of its candidates. `nnfast.option_needs.OPTIONS` has what every option
    needs.
    """


class UnexpectedValuesWarning(UserWarning):
    """A table has what the one that an estimator was fitted to did not have: levels, missing values or
    columns.

    The prediction is made all the same: unseen levels count as none of a column's, and columns too many are
    ignored. Every fitted estimator warns once of each such column.
    """


class InconsistentVersionWarning(exceptions.InconsistentVersionWarning):
    """An object was pickled by another version of nnfast than the one that reads it.

    Its parameters that did not exist then have their defaults now. What it predicts is the same as long as no
    entry of the changelog says otherwise.

    Parameters
    ----------
    estimator_name : str
    original_nnfast_version : str
        Version that wrote the pickle, or "pre-0.1.1": versions before did not say.
    current_nnfast_version : str
    """

    def __init__(self, *, estimator_name, original_nnfast_version, current_nnfast_version):
        super().__init__(
            estimator_name=estimator_name,
            original_sklearn_version=f"nnfast {original_nnfast_version}",
            current_sklearn_version=f"nnfast {current_nnfast_version}",
        )
        self.original_nnfast_version, self.current_nnfast_version = (
            original_nnfast_version,
            current_nnfast_version,
        )

    def __str__(self):
        return (
            f"Trying to unpickle {self.estimator_name} of nnfast {self.original_nnfast_version} with nnfast "
            f"{self.current_nnfast_version}. Predictions may differ from those of that version: see the "
            "changelog. Fit and pickle it anew with this version, or install that one."
        )


def __dir__():
    return __all__
