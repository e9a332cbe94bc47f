"""What comes before the first epoch: from an estimator's parameters and a table to a task, stage by stage."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from nnfast import engines
from nnfast.class_weight import weigh
from nnfast.continuation import parameters_to_go_on_from
from nnfast.custom_functions import check_own_functions
from nnfast.fitted import network_activation
from nnfast.history import check_history, check_last_parameters
from nnfast.holdout import Validation, scatter, take
from nnfast.network import Network
from nnfast.numeric_table import kind_to_measure, kind_to_train_on
from nnfast.optimizers import resolve_optimizer
from nnfast.parameter_groups import check_param_groups, group_schedules
from nnfast.parameters import check_dropout, scheduled_values
from nnfast.publishing import Publisher
from nnfast.regularization import Regularization
from nnfast.schedules.values import initial_value
from nnfast.solvers import solver_of
from nnfast.state import PARAMETER_ATTRIBUTES, check_state
from nnfast.task import Task
from nnfast.validation import (
    NOTHING_HELD_OUT,
    arithmetic_dtype,
    blaming,
    check_hidden_layer_sizes,
    check_memory,
    check_sample_weight,
    check_table,
    check_validation_indices,
    common_dtype,
)

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


@dataclass
class PreparedFit:
    """What `nnfast.training.fit_stochastic` and `nnfast.lbfgs.fit_lbfgs` start with. `history` is empty for
    L-BFGS.
    """

    task: Task
    parameters: Any
    engine: Any
    random_state: np.random.RandomState
    history: dict
    publish: Publisher


def prepare(
    estimator,
    X,
    y,
    sample_weight=None,
    held_out=NOTHING_HELD_OUT,
    *,
    one_epoch=False,
    classes=None,
    counts=None,
    rows=None,
):
    """Go through all stages before a fit, in their order.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Stays as it is.
    X, y, sample_weight : as for `fit`
    held_out : HeldOut
    one_epoch, classes
        True in `partial_fit`, and what only it is told.
    counts : list, optional
        See `nnfast.profile`.
    rows : ndarray of intp, optional
        Numbers of the rows of X that are all that the fit sees of it. X is not copied for that, and the
        network is to the bit that of ``fit(X[rows], y[rows])``. X and y are what `check_table` has given
        then. Weights are of all rows.

    Returns
    -------
    PreparedFit
    """
    stages = Preparation(estimator, one_epoch)
    stages.check_parameters()
    stages.draft_estimator(y, classes)
    stages.check_table(X, y, sample_weight, rows)
    stages.encode_targets()
    stages.make_network()
    stages.start()
    return stages.prepared(held_out, counts)


class Preparation:
    """The stages, each a method: see `prepare`.

    Everything is set on a draft of the estimator, which takes its place when the fit publishes: until then,
    whatever fails leaves the estimator as it was.
    """

    def __init__(self, estimator, one_epoch):
        self._estimator, self._one_epoch = estimator, one_epoch

    def check_parameters(self):
        """Check what can be told without the table."""
        p = self._estimator
        self._engine = engines.get_engine(p.engine)
        if self._one_epoch and p.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        self._hidden_layer_sizes = check_hidden_layer_sizes(p.hidden_layer_sizes)
        n_hidden = len(self._hidden_layer_sizes)
        self._activation = network_activation(p, n_hidden)
        self._regularization = regularization_of(p, n_hidden)
        p._check_together(self._activation, self._regularization)
        self._solver = solver_of(p.solver)
        self._optimizer = resolve_optimizer(p) if self._solver.minibatches else None
        self._from_scratch = not hasattr(p, "coefs_") or not (p.warm_start or self._one_epoch)
        if not self._from_scratch:
            check_state(p)

    def draft_estimator(self, y, classes):
        """Make the draft, without what a fit from scratch must not find."""
        p = self._estimator
        self._draft = draft = object.__new__(type(p))
        vars(draft).update(vars(p))
        vars(draft).pop("profile_", None)
        if self._from_scratch:
            for name in (*_HISTORY, *PARAMETER_ATTRIBUTES):
                vars(draft).pop(name, None)
        if self._one_epoch:
            draft._begin_partial_fit(y, classes)

    def check_table(self, X, y, sample_weight, rows):
        """Check table, targets and weights, or take them as they are where only some rows are seen."""
        p, self._rows = self._estimator, rows
        kind = kind_to_train_on(X, p.shuffle if self._solver.minibatches else False)
        if rows is None:
            self._table, y = check_table(self._draft, X, y, reset=self._from_scratch, kind=kind)
        else:
            self._table = kind(X)
            self._draft.n_features_in_ = self._table.n_features
        sample_weight = check_sample_weight(sample_weight, self._table.X)
        self._labels = y
        self._seen_y, self._sample_weight = y, sample_weight
        if rows is not None:
            self._seen_y, self._sample_weight = y[rows], take(sample_weight, rows)

    def encode_targets(self):
        """Choose the arithmetic, and encode the targets in it."""
        p, draft, given = self._estimator, self._draft, self._table.dtype
        self._parameter_dtype = given if given in (np.float32, np.float64) else np.dtype(np.float64)
        common = self._parameter_dtype if self._from_scratch else common_dtype(given, p.coefs_[0].dtype)
        precision = p.precision if self._solver.low_precision else "float64"
        self._dtype = arithmetic_dtype(precision, common)
        redefine = not hasattr(draft, "classes_") or not (p.warm_start or self._one_epoch)
        draft._learn_labels(self._seen_y, redefine=redefine)
        self._targets = draft._encode(self._seen_y, self._dtype)
        self._class_weights = draft._class_weights(self._targets.y)

    def make_network(self):
        """Say what the network is, and check that it can be had."""
        p, targets = self._estimator, self._targets
        self._network = network = Network(
            (self._table.n_features, *self._hidden_layer_sizes, targets.n_outputs),
            self._activation,
            targets.loss,
            targets.loss_parameters,
            normalization=p.normalization,
            norm_eps=float(p.norm_eps),
            norm_momentum=float(p.norm_momentum),
        )
        self._schedules = {}
        if self._solver.minibatches:
            check_param_groups(p.param_groups, self._optimizer, network.learned)
            self._schedules = _schedules(p, len(self._hidden_layer_sizes))
        check_memory(network.layer_units, self._parameter_dtype)
        check_own_functions(network, targets.y, self._dtype, goes_on=self._one_epoch)

    def start(self):
        """Draw the parameters to start from, or take those of an earlier fit."""
        p, draft, network = self._estimator, self._draft, self._network
        self._random_state = check_random_state(p.random_state)
        if self._from_scratch:
            self._parameters = network.initialize(self._random_state, self._parameter_dtype, p.initializer)
            draft.t_ = draft.n_iter_ = 0
        else:
            kept = vars(p).get("_last_parameters")
            check_last_parameters(kept, self._engine)
            parameters = parameters_to_go_on_from(p._parameters(), kept)
            network.check(parameters)
            self._parameters = parameters.map(lambda array: np.require(array, requirements="CA"))
        draft.n_outputs_ = self._targets.n_outputs
        draft.n_layers_ = len(network.layer_units)
        draft.out_activation_ = network.out_activation

    def prepared(self, held_out, counts):
        """Put together what the fit works on, and what it goes on with."""
        p, draft, targets, rows = self._estimator, self._draft, self._targets, self._rows
        y, sample_weight = targets.y, weigh(self._class_weights, targets.y, self._sample_weight)
        if rows is not None:
            n_samples = self._table.n_samples
            y, sample_weight = scatter(y, rows, n_samples), scatter(sample_weight, rows, n_samples)
        task = Task(
            network=self._network,
            table=self._table,
            y=y,
            sample_weight=sample_weight,
            dtype=self._dtype,
            parameters=self._parameters,
            optimizer=self._optimizer,
            regularization=self._regularization,
            param_groups=p.param_groups,
            schedules=self._schedules,
            stratify=targets.stratify,
            score=targets.score,
            validation=self._validation(held_out),
            labels=self._labels,
            estimator=p,
            counts=counts,
            rows=rows,
        )
        publish, history = Publisher(p, draft, self._engine), {}
        if self._solver.minibatches:
            goes_on = self._one_epoch or p.warm_start == "full"
            history = {name: vars(draft)[name] for name in _HISTORY if name in vars(draft)}
            history = check_history(history, self._network, self._engine, goes_on=goes_on)
        return PreparedFit(task, p, self._engine, self._random_state, history, publish)

    def _validation(self, held_out):
        """The rows that `fit` was told to hold out, or None."""
        if held_out.indices is not None:
            return Validation(rows=check_validation_indices(held_out.indices, self._table.n_samples))
        if held_out.X is None:
            return None
        draft, X, y = self._draft, held_out.X, held_out.y
        table, labels = check_table(
            draft, X, y, reset=False, kind=kind_to_measure(X), names=("X_val", "y_val")
        )
        sample_weight = check_sample_weight(held_out.sample_weight, table.X, "sample_weight_val")
        with blaming("y_val"):
            y = encode(draft, labels, self._dtype).y
            if y.shape[1:] != self._targets.y.shape[1:]:
                raise ValueError(f"must have as many outputs as y, got shape {labels.shape}.")
        weights = weigh(self._class_weights, y, sample_weight)
        return Validation(table=table, y=y, sample_weight=weights, labels=labels)


def encode(estimator, y, dtype):
    """`Targets` of a y that `check_table` has given, for an estimator that has learned what its y is made
    of.
    """
    estimator._check_labels(y)
    return estimator._encode(y, dtype)


def _schedules(p, n_hidden):
    """What has a schedule beside the learning rate: see `ScheduledValues`."""
    of_groups = group_schedules(p.param_groups, p.power_t)
    return scheduled_values(p, n_hidden) | {key: (None, schedule) for key, schedule in of_groups.items()}


def regularization_of(p, n_hidden):
    """The `Regularization` of an estimator's parameters."""
    return Regularization(
        alpha=p.alpha,
        l1=p.l1,
        clip_norm=p.clip_norm,
        clip_value=p.clip_value,
        max_norm=p.max_norm,
        dropout=check_dropout(p.dropout, n_hidden),
        input_dropout=initial_value(p.input_dropout),
        alpha_dropout=bool(p.alpha_dropout),
    )
