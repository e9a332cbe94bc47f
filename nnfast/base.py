"""What both estimators have in common: parameters, the way from a table to a fit, and predictions."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state

from nnfast import engines
from nnfast.class_weight import weigh
from nnfast.continuation import parameters_to_go_on_from
from nnfast.custom_functions import check_own_functions
from nnfast.earlier_states import upgrade
from nnfast.epoch_records import as_arrays, with_own_curves
from nnfast.fitted import FittedNetwork, network_activation
from nnfast.history import check_history, check_last_parameters
from nnfast.holdout import scatter, take
from nnfast.network import Network
from nnfast.numeric_table import kind_to_measure, kind_to_train_on
from nnfast.optimizers import OPTIMIZERS, resolve_optimizer
from nnfast.option_needs import warn_of_unused_options
from nnfast.parameters import CONSTRAINTS, check_dropout, check_parameters, check_together
from nnfast.profile import profiled
from nnfast.publishing import Publisher
from nnfast.regularization import Regularization
from nnfast.scikit_learn_callbacks import CallbackSupportMixin, open_context
from nnfast.state import PARAMETER_ATTRIBUTES, check_state
from nnfast.suggestions import meant_keyword, suggests_keywords, unexpected_keyword
from nnfast.task import Task
from nnfast.training import TrainingRun, Validation, fit_lbfgs, fit_stochastic
from nnfast.validation import (
    arithmetic_dtype,
    blaming,
    check_held_out,
    check_hidden_layer_sizes,
    check_memory,
    check_sample_weight,
    check_table,
    check_validation_indices,
    common_dtype,
)
from nnfast.versions import VersionedPickle

# What a fit leaves behind that the next one goes on with, or if it starts from scratch must not find.
_HISTORY = (
    "loss_",
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "validation_loss_curve_",
    "learning_rate_curve_",
    "learning_rate_init_",
    "_history",
    "_recorded",
    "t_",
    "n_iter_",
    "_no_improvement_count",
    "_optimizer",
    "_last_parameters",
)


@dataclass(frozen=True)
class Targets:
    """What is learned of a table's y.

    `y` is as the engine takes it, of `n_outputs` outputs; `stratify` and `score` are those of
    `nnfast.task.Task`.
    """

    y: np.ndarray
    loss: str
    loss_parameters: tuple
    n_outputs: int
    stratify: np.ndarray | None
    score: Callable


def partial_fit_available(estimator):
    if isinstance(estimator.solver, str) and estimator.solver not in OPTIMIZERS:
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

    # What the subclasses do with parameters and y. `_learn_labels` comes first, `_encode` may come several
    # times.

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
        """y as `Targets`, in the dtype of the arithmetic."""

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
        check_held_out(X_val, y_val, sample_weight_val, validation_indices)
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val, validation_indices))

    @profiled
    def _fit(
        self,
        X,
        y,
        sample_weight,
        held_out=(None,) * 4,
        *,
        one_epoch=False,
        classes=None,
        counts=None,
        rows=None,
    ):
        arguments = self._prepared(
            X, y, sample_weight, held_out, one_epoch=one_epoch, classes=classes, counts=counts, rows=rows
        )
        if not (one_epoch and hasattr(self, "coefs_")):
            warn_of_unused_options(self, held_out)
        if arguments["task"].optimizer is None:
            fit_lbfgs(**arguments)
        else:
            fit_stochastic(**arguments, one_epoch=one_epoch)
        return self

    def _course(
        self,
        X,
        y,
        sample_weight=None,
        held_out=(None,) * 4,
        *,
        rows=None,
        counts=None,
        shared=lambda array: array,
    ):
        """A fit by minibatches that can pause after any epoch: see `nnfast.training.TrainingRun`.

        Parameters are those of `fit`, and `rows`, an array of intp: numbers of the rows of X that are all
        that the fit sees of it. X is not copied for that, and the network is to the bit that of
        ``fit(X[rows], y[rows])``. X and y are what `check_table` has given then. Weights are of all rows.
        `shared` takes an array of targets or weights and returns an equal one, which others may have.
        """
        self._validate_params()
        check_held_out(*held_out)
        arguments = self._prepared(X, y, sample_weight, held_out, counts=counts, rows=rows)
        warn_of_unused_options(self, held_out)
        task = arguments["task"]
        task.y = shared(task.y)
        if task.sample_weight is not None:
            task.sample_weight = shared(task.sample_weight)
        return TrainingRun(**arguments)

    def _prepared(
        self, X, y, sample_weight, held_out, *, one_epoch=False, classes=None, counts=None, rows=None
    ):
        """What `fit_stochastic` and `fit_lbfgs` are called with, as a dict."""
        engine = engines.get_engine(self.engine)
        if one_epoch and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        hidden_layer_sizes = check_hidden_layer_sizes(self.hidden_layer_sizes)
        activation = network_activation(self, len(hidden_layer_sizes))
        regularization = self._regularization(len(hidden_layer_sizes))
        self._check_together(activation, regularization)
        lbfgs = isinstance(self.solver, str) and self.solver == "lbfgs"
        optimizer = None if lbfgs else resolve_optimizer(self)
        from_scratch = not hasattr(self, "coefs_") or not (self.warm_start or one_epoch)
        if not from_scratch:
            check_state(self)

        # Everything is set on a draft, which takes this estimator's place when the fit publishes: until then,
        # whatever fails leaves the estimator as it was.
        draft = object.__new__(type(self))
        vars(draft).update(vars(self))
        vars(draft).pop("profile_", None)
        if from_scratch:
            for name in (*_HISTORY, *PARAMETER_ATTRIBUTES):
                vars(draft).pop(name, None)
        if one_epoch:
            draft._begin_partial_fit(y, classes)

        kind = kind_to_train_on(X, False if lbfgs else self.shuffle)
        if rows is None:
            table, y = check_table(draft, X, y, y_numeric=self._y_numeric, reset=from_scratch, kind=kind)
        else:
            table = kind(X)
            draft.n_features_in_ = table.n_features
        sample_weight = check_sample_weight(sample_weight, table.X)
        n_samples, all_labels = table.n_samples, y
        if rows is not None:
            y, sample_weight = y[rows], take(sample_weight, rows)
        given = table.dtype
        parameter_dtype = given if given in (np.float32, np.float64) else np.dtype(np.float64)
        if lbfgs:
            dtype = np.dtype(np.float64)
        else:
            common = parameter_dtype if from_scratch else common_dtype(given, self.coefs_[0].dtype)
            dtype = arithmetic_dtype(self.precision, common)
        draft._learn_labels(y, redefine=not hasattr(draft, "classes_") or not (self.warm_start or one_epoch))
        targets = draft._encode(y, dtype)
        class_weights = draft._class_weights(targets.y)

        network = Network(
            (table.n_features, *hidden_layer_sizes, targets.n_outputs),
            activation,
            targets.loss,
            targets.loss_parameters,
            normalization=self.normalization,
            norm_eps=float(self.norm_eps),
            norm_momentum=float(self.norm_momentum),
        )
        check_memory(network.layer_units, parameter_dtype)
        check_own_functions(network, targets.y, dtype, goes_on=one_epoch)
        random_state = check_random_state(self.random_state)
        if from_scratch:
            parameters = network.initialize(random_state, parameter_dtype, self.initializer)
            draft.t_ = draft.n_iter_ = 0
        else:
            kept = vars(self).get("_last_parameters")
            check_last_parameters(kept, engine)
            parameters = parameters_to_go_on_from(self._parameters(), kept)
            network.check(parameters)
            parameters = parameters.map(lambda array: np.require(array, requirements="CA"))
        draft.n_outputs_ = targets.n_outputs
        draft.n_layers_ = len(network.layer_units)
        draft.out_activation_ = network.out_activation

        sample_weight = weigh(class_weights, targets.y, sample_weight)
        task = Task(
            network=network,
            table=table,
            y=targets.y if rows is None else scatter(targets.y, rows, n_samples),
            sample_weight=sample_weight if rows is None else scatter(sample_weight, rows, n_samples),
            dtype=dtype,
            parameters=parameters,
            optimizer=optimizer,
            regularization=regularization,
            stratify=targets.stratify,
            score=targets.score,
            validation=draft._validation(held_out, table, targets, class_weights, dtype),
            labels=all_labels,
            estimator=self,
            counts=counts,
            rows=rows,
        )
        arguments = {
            "task": task,
            "parameters": self,
            "engine": engine,
            "publish": Publisher(self, draft, engine),
        }
        if not lbfgs:
            history = {name: vars(draft)[name] for name in _HISTORY if name in vars(draft)}
            history = check_history(history, network, engine, goes_on=one_epoch or self.warm_start == "full")
            arguments |= {"random_state": random_state, "history": history}
        return arguments

    def _regularization(self, n_hidden):
        return Regularization(
            alpha=self.alpha,
            l1=self.l1,
            clip_norm=self.clip_norm,
            clip_value=self.clip_value,
            max_norm=self.max_norm,
            dropout=check_dropout(self.dropout, n_hidden),
            input_dropout=self.input_dropout,
            alpha_dropout=bool(self.alpha_dropout),
        )

    def _validation(self, held_out, table, targets, class_weights, dtype):
        """The rows that `fit` was told to hold out, or None."""
        X_val, y_val, sample_weight_val, indices = held_out
        if indices is not None:
            return Validation(rows=check_validation_indices(indices, table.n_samples))
        if X_val is None:
            return None
        names = ("X_val", "y_val")
        table_val, y_val = check_table(
            self,
            X_val,
            y_val,
            y_numeric=self._y_numeric,
            reset=False,
            kind=kind_to_measure(X_val),
            names=names,
        )
        sample_weight = check_sample_weight(sample_weight_val, table_val.X, "sample_weight_val")
        with blaming("y_val"):
            self._check_labels(y_val)
            y = self._encode(y_val, dtype).y
            if y.shape[1:] != targets.y.shape[1:]:
                raise ValueError(f"must have as many outputs as y, got shape {y_val.shape}.")
        weights = weigh(class_weights, y, sample_weight)
        return Validation(table=table_val, y=y, sample_weight=weights, labels=y_val)

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
