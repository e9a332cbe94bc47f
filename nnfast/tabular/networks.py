"""How a network of an ensemble is trained: the one place where the ensembles know of networks."""

import time
from dataclasses import dataclass, field

import numpy as np

from nnfast.classifier import MLPClassifier
from nnfast.exceptions import DivergenceError
from nnfast.fitting import training_run
from nnfast.optimizers import AdamW
from nnfast.option_needs import OPTIONS, not_told
from nnfast.regressor import MLPRegressor
from nnfast.tabular.folds import Fold
from nnfast.tabular.recipe import cosine_log4
from nnfast.validation import HeldOut


@dataclass
class Curves:
    """How a network trained: an entry an epoch.

    Attributes
    ----------
    loss, validation_loss : list of float
    best_epoch : int
        The epoch that the network is of; 0 of one that did not train.
    """

    loss: list = field(default_factory=list)
    validation_loss: list = field(default_factory=list)
    best_epoch: int = 0


def train_network(recipe, task, X, factors, fold, weights, *, seed, max_epochs, pause, interrupted):
    """Train a member.

    Parameters
    ----------
    recipe : Recipe
    task : Task
    X : ndarray of float32, shape (n_samples, n_inputs)
        The whole table, encoded, times the factors.
    factors : ndarray of float32, shape (n_inputs,)
        Of the inputs: the network that is returned has them in its weights, and takes inputs without them.
    fold : Fold
    weights : ndarray or None
    seed : int
    max_epochs : int
    pause : callable(n_epochs) that returns bool
        Asked after each epoch: whether to end there.
    interrupted : callable()
        Told of Ctrl-C, after which the network is as of the last whole epoch.

    Returns
    -------
    network : CompiledClassifier, CompiledRegressor or None
        Of its best epoch. None if it diverged, or was interrupted, in its first.
    curves : Curves
    """
    kind = MLPClassifier if task.classifies else MLPRegressor
    network = kind(
        hidden_layer_sizes=recipe.hidden_layer_sizes,
        activation=recipe.activation,
        normalization=recipe.normalization,
        solver=AdamW(beta_2=0.95, weight_decay=recipe.weight_decay),
        alpha=0.0,
        batch_size=min(recipe.batch_size, len(fold.train)),
        learning_rate=cosine_log4,
        learning_rate_init=recipe.learning_rate_init,
        max_iter=max_epochs,
        random_state=seed,
        dropout=recipe.dropout,
        initializer="auto",
        tol=0.0,
        n_iter_no_change=10**9,
        early_stopping=True,
        monitor="loss",
        precision="float32",
        n_threads=1,
        **task.network_parameters,
    )
    # not all rows, where they are in order of time
    seen = np.sort(np.concatenate([fold.train, fold.validation]))
    rows = seen if len(seen) < len(X) else None
    try:
        with not_told(OPTIONS):
            run = training_run(network, X, task.y, weights, HeldOut(indices=fold.validation), rows=rows)
            run.train(None, lambda: pause(run.n_epochs))
            if not run.finished:
                run.publish()
                run.close()
    except DivergenceError:
        return None, Curves()
    except KeyboardInterrupt:
        interrupted()
        if not hasattr(network, "coefs_"):
            return None, Curves()
    history = network.history_
    losses, validation_losses = history["loss"].tolist(), network.validation_loss_curve_
    network.coefs_ = [network.coefs_[0] * factors[:, np.newaxis], *network.coefs_[1:]]
    network.n_threads = None  # predictions may have more than one
    curves = Curves(losses, list(validation_losses), int(np.nanargmin(validation_losses)) + 1)
    return network.compiled(), curves


def seconds_of_epoch(recipe, task, X, factors, fold, weights, *, interrupted):
    """How long an epoch takes, by three epochs of a few batches."""
    few = Fold(fold.train[: 32 * recipe.batch_size], fold.validation[: 32 * recipe.batch_size])
    ends = []

    def pause(n_epochs):
        ends.append(time.monotonic())
        return n_epochs == 3

    train_network(
        recipe,
        task,
        X,
        factors,
        few,
        weights,
        seed=0,
        max_epochs=recipe.max_epochs + 3,
        pause=pause,
        interrupted=interrupted,
    )
    if len(ends) < 3:
        return 0.0
    return (ends[-1] - ends[-2]) * len(fold.train) / len(few.train)
