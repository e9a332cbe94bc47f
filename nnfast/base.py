"""What both estimators have in common: parameters, the way from a table to a fit, and predictions."""

import inspect
from abc import ABC, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, _fit_context

from nnfast import fitting
from nnfast.earlier_states import upgrade
from nnfast.epoch_records import as_arrays, with_own_curves
from nnfast.fitted import FittedNetwork
from nnfast.parameters import CONSTRAINTS, check_parameters, check_together
from nnfast.scikit_learn_callbacks import CallbackSupportMixin, open_context
from nnfast.solvers import solvers_with
from nnfast.suggestions import meant_keyword, suggests_keywords, unexpected_keyword
from nnfast.validation import HeldOut, check_held_out
from nnfast.versions import VersionedPickle


def partial_fit_available(estimator):
    if isinstance(estimator.solver, str) and estimator.solver not in solvers_with("minibatches"):
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class BaseMLP(FittedNetwork, CallbackSupportMixin, VersionedPickle, BaseEstimator, ABC):
    """What both estimators have in common. Not for use by itself."""

    _parameter_constraints: dict = CONSTRAINTS
    _y_numeric = False

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        activation_params=None,
        initializer="glorot_uniform",
        normalization=None,
        norm_momentum=0.1,
        norm_eps=1e-5,
        dropout=0.0,
        input_dropout=0.0,
        alpha_dropout=False,
        l1=0.0,
        clip_norm=None,
        clip_value=None,
        max_norm=None,
        weight_decay=0.01,
        rho=0.9,
        param_groups=None,
        scoring=None,
        monitor="score",
        restore_best=True,
        callbacks=None,
        precision="auto",
        n_threads=None,
        engine="auto",
        profile=False,
        **unknown,
    ):
        if unknown:
            raise unexpected_keyword(type(self), "__init__", next(iter(unknown)))
        parameters = locals()
        for name in _SHARED_PARAMETERS:
            setattr(self, name, parameters[name])

    def __setstate__(self, state):
        # An estimator that was pickled before a parameter existed has its default.
        parameters = inspect.signature(type(self)).parameters.values()
        super().__setstate__(
            {each.name: each.default for each in parameters if each.default is not each.empty} | state
        )
        upgrade(vars(self))

    def __getstate__(self):
        # Of one moment, in which a fit in another thread may append to the lists.
        return with_own_curves(super().__getstate__())

    @property
    def history_(self):
        if "_history" not in vars(self):
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute 'history_': it is not fitted."
            )
        return as_arrays(with_own_curves(vars(self))["_history"])

    @history_.setter
    def history_(self, history):
        self._history = {
            name: np.asarray(values, dtype=np.float64).tolist() for name, values in history.items()
        }

    def _validate_params(self):
        check_parameters(self)

    # What the subclasses do with parameters and y, for `nnfast.preparation`. `_learn_labels` comes first,
    # `_encode` may come several times.

    def _check_together(self, activation, regularization):
        """Raise ValueError where parameters contradict each other."""
        check_together(self, activation, regularization)

    def _begin_partial_fit(self, y, classes):
        """Note what only `partial_fit` is told."""

    def _learn_labels(self, y, *, redefine):
        """Note what y is made of, or check that it is of the same if not `redefine`."""

    def _check_labels(self, y):
        """Raise ValueError where y has a class that has not been learned."""

    @abstractmethod
    def _encode(self, y, dtype):
        """y as `nnfast.targets.Targets`, in the dtype of the arithmetic."""

    def _class_weights(self, y):
        """See `nnfast.class_weight.weights_by_class`."""
        return None

    def set_params(self, **params):
        try:
            return super().set_params(**params)
        except ValueError as error:
            unknown = next((name for name in params if name not in self.get_params()), "")
            raise ValueError(f"{error}{meant_keyword(type(self), '__init__', unknown)}") from None

    @suggests_keywords
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        validation_indices=None,
    ):
        """Fit the network to a table.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The table. Any float, integer or boolean dtype; never copied whole, except from CSC, from Fortran
            order in memory, and from dtypes other than these. An np.memmap may be larger than memory: see
            `shuffle`.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of every row, of a positive sum. Penalties are divided by the sum of a batch's weights, as
            in scikit-learn, so weights should be about 1; where the largest is below 1e-12 or above 1e12, all
            are divided by their mean. A row of less than 1e-18 counts as none.

        X_val : {array-like, sparse matrix} of shape (n_held_out, n_features), default=None
            Rows to validate on after every epoch, in place of a split of X; all of X is trained on then.

        y_val : array-like of shape (n_held_out,) or (n_held_out, n_outputs), default=None
            Their targets. A class that y does not have is an error.

        sample_weight_val : array-like of shape (n_held_out,), default=None
            Their weights.

        validation_indices : array-like of shape (n_held_out,) or mask of shape (n_samples,), default=None
            Rows of X to validate on and not to train on: their numbers, from the end if negative, or a mask
            of booleans. Not together with `X_val`.

        Returns
        -------
        self : estimator

        Raises
        ------
        DivergenceError
            If the loss, a gradient or a parameter is not finite. With early stopping and a finite best epoch,
            that epoch is restored instead, with a ConvergenceWarning.
        KeyboardInterrupt
            As usual.

        Warns
        -----
        UnusedOptionWarning
            If a parameter was set that has no effect with the others. The table of `nnfast.option_needs` says
            what each one needs.

        Notes
        -----
        An exception leaves the estimator as it was before the call. After an interrupt, or an exception of a
        callback, it is as of the last whole epoch, if there is one, and `predict` and `partial_fit` work; the
        optimizer's moments restart from zero if it came within an epoch.
        """
        open_context(self, self.max_iter)
        held_out = HeldOut(X_val, y_val, sample_weight_val, validation_indices)
        check_held_out(held_out)
        return fitting.fit(self, X, y, sample_weight, held_out)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


_SHARED_PARAMETERS = tuple(inspect.signature(BaseMLP.__init__).parameters)[1:-1]


def joined_signature(init, base=BaseMLP):
    """A constructor's signature where its own parameters are joined with those of the base class.

    Said here for inspect, help and get_params: what may be given by position comes first.
    """
    own, shared = (list(inspect.signature(each).parameters.values()) for each in (init, base.__init__))
    first = [parameter for parameter in own if parameter.kind == parameter.POSITIONAL_OR_KEYWORD]
    last = [parameter for parameter in own if parameter.kind == parameter.KEYWORD_ONLY]
    return inspect.Signature(sorted(first + shared[1:-1] + last, key=lambda parameter: parameter.kind))
