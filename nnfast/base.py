"""What both estimators have in common: parameters, the way from a table to a fit, and predictions."""

import inspect
from abc import ABC, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from nnfast import engines
from nnfast.losses import LOSS_BY_OUT_ACTIVATION
from nnfast.network import Network
from nnfast.parameters import CONSTRAINTS, STOCHASTIC_SOLVERS
from nnfast.training import Task, fit_lbfgs, fit_stochastic
from nnfast.validation import (
    arithmetic_dtype,
    check_hidden_layer_sizes,
    check_rows,
    check_sample_weight,
    check_table,
    common_dtype,
)

# What a fit leaves behind that the next one goes on with, or if it starts from scratch must not find.
_HISTORY = (
    "loss_",
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "t_",
    "n_iter_",
    "_no_improvement_count",
    "_optimizer",
)


def partial_fit_available(estimator):
    if estimator.solver not in STOCHASTIC_SOLVERS:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class BaseMLP(BaseEstimator, ABC):
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
        precision="auto",
        n_threads=None,
        engine="auto",
    ):
        parameters = locals()
        for name in _SHARED_PARAMETERS:
            setattr(self, name, parameters[name])

    @abstractmethod
    def _encode(self, y, dtype, *, redefine):
        """What is learned of y: (loss, y as the engine takes it, n_outputs, stratify, score)."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the network to a table.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The table. Any float, integer or boolean dtype; never copied whole, except from CSC, from Fortran order
            in memory, and from dtypes other than these.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of every row, of a positive sum.

        Returns
        -------
        self : estimator

        Raises
        ------
        DivergenceError
            If the loss, a gradient or a parameter is not finite. With early stopping and a finite best epoch, that
            epoch is restored instead, with a ConvergenceWarning.
        KeyboardInterrupt
            As usual. The estimator is then as of the last whole epoch, and `predict` and `partial_fit` work; if the
            interrupt came within an epoch, the optimizer's moments restart from zero. Before the first whole epoch
            a fitted estimator stays as it was, and another one has its initial parameters.
        """
        return self._fit(X, y, sample_weight)

    def _fit(self, X, y, sample_weight, *, one_epoch=False, classes=None):
        engine = engines.get_engine(self.engine)
        if one_epoch and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        hidden_layer_sizes = check_hidden_layer_sizes(self.hidden_layer_sizes)
        from_scratch = not hasattr(self, "coefs_") or not (self.warm_start or one_epoch)

        # Everything is set on a draft, which takes this estimator's place when the fit publishes: until then, whatever
        # fails leaves the estimator as it was.
        draft = object.__new__(type(self))
        vars(draft).update(vars(self))
        if from_scratch:
            for name in _HISTORY:
                vars(draft).pop(name, None)
        if one_epoch:
            draft._begin_partial_fit(y, classes)

        X, y = check_table(draft, X, y, y_numeric=self._y_numeric, reset=from_scratch)
        sample_weight = check_sample_weight(sample_weight, X)
        parameter_dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        if self.solver == "lbfgs":
            dtype = np.dtype(np.float64)
        else:
            common = parameter_dtype if from_scratch else common_dtype(X.dtype, self.coefs_[0].dtype)
            dtype = arithmetic_dtype(self.precision, common)
        redefine = not hasattr(draft, "classes_") or not (self.warm_start or one_epoch)
        loss, y, n_outputs, stratify, score = draft._encode(y, dtype, redefine=redefine)

        network = Network((X.shape[1], *hidden_layer_sizes, n_outputs), self.activation, loss)
        random_state = check_random_state(self.random_state)
        if from_scratch:
            coefs, intercepts = network.initialize(random_state, parameter_dtype)
            draft.t_ = draft.n_iter_ = 0
        else:
            _check_shapes(network, self.coefs_)
            coefs = [np.require(coef, requirements="CW") for coef in self.coefs_]
            intercepts = [np.require(intercept, requirements="CW") for intercept in self.intercepts_]
        draft.n_outputs_ = n_outputs
        draft.n_layers_ = len(network.layer_units)
        draft.out_activation_ = network.out_activation

        def publish(attributes):
            if attributes["n_iter_"] == 0 and hasattr(self, "coefs_"):
                return
            vars(draft).update(attributes)
            self.__dict__ = vars(draft)  # one step: an interrupt finds either all of it or nothing

        task = Task(network, X, y, sample_weight, dtype, coefs, intercepts, stratify, score)
        if self.solver == "lbfgs":
            fit_lbfgs(task, self, engine, publish)
        else:
            history = {name: vars(draft)[name] for name in _HISTORY if name in vars(draft)}
            fit_stochastic(task, self, engine, random_state, history, publish, one_epoch=one_epoch)
        return self

    def _begin_partial_fit(self, y, classes):
        """Note what only `partial_fit` is told."""

    def _outputs(self, X, *, logits=False):
        """Output layer of shape (n_samples, n_outputs), in the dtype that scikit-learn would give."""
        if "coefs_" not in vars(self):
            check_is_fitted(self)
        X, given = check_rows(self, X)
        coefs = self.coefs_
        loss = "squared_error" if logits else LOSS_BY_OUT_ACTIVATION[self.out_activation_].name
        network = Network((coefs[0].shape[0], *[coef.shape[1] for coef in coefs]), self.activation, loss)
        result = common_dtype(given, coefs[0].dtype)
        dtype = arithmetic_dtype(self.precision, result)
        outputs = engines.get_engine(self.engine).predict(
            network, coefs, self.intercepts_, X, dtype=dtype, n_threads=self.n_threads
        )
        return outputs if dtype == result else outputs.astype(result)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


_SHARED_PARAMETERS = tuple(inspect.signature(BaseMLP.__init__).parameters)[1:]


def _check_shapes(network, coefs):
    layer_units = (coefs[0].shape[0], *(coef.shape[1] for coef in coefs))
    if network.layer_units != layer_units:
        raise ValueError(
            "warm_start and partial_fit go on with a network of the same layers. Previously it had "
            f"{layer_units} units, inputs first; hidden_layer_sizes, X and y ask for {network.layer_units}."
        )
