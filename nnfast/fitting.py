"""The two ways to fit an estimator: at one go, or in a run that can pause after any epoch."""

from nnfast.lbfgs import fit_lbfgs
from nnfast.option_needs import warn_of_unused_options
from nnfast.parameters import check_parameters
from nnfast.preparation import prepare
from nnfast.profile import profiled
from nnfast.training import TrainingRun, fit_stochastic
from nnfast.validation import NOTHING_HELD_OUT, check_held_out


@profiled
def fit(estimator, X, y, sample_weight=None, held_out=NOTHING_HELD_OUT, *, one_epoch=False, **more):
    """Fit an estimator whose parameters have been checked, and return it. The arguments are those of
    `nnfast.preparation.prepare`.
    """
    ready = prepare(estimator, X, y, sample_weight, held_out, one_epoch=one_epoch, **more)
    if not (one_epoch and hasattr(estimator, "coefs_")):
        warn_of_unused_options(estimator, held_out)
    if ready.task.optimizer is None:
        fit_lbfgs(ready.task, estimator, ready.engine, ready.publish)
    else:
        fit_stochastic(**vars(ready), one_epoch=one_epoch)
    return estimator


def training_run(
    estimator,
    X,
    y,
    sample_weight=None,
    held_out=NOTHING_HELD_OUT,
    *,
    rows=None,
    counts=None,
    shared=lambda array: array,
):
    """A fit by minibatches that can pause after any epoch: see `nnfast.training.TrainingRun`.

    The arguments are those of `nnfast.preparation.prepare`, and `shared`, which takes an array of targets or
    weights and returns an equal one, which others may have.
    """
    check_parameters(estimator)
    check_held_out(held_out)
    ready = prepare(estimator, X, y, sample_weight, held_out, counts=counts, rows=rows)
    warn_of_unused_options(estimator, held_out)
    task = ready.task
    task.y = shared(task.y)
    if task.sample_weight is not None:
        task.sample_weight = shared(task.sample_weight)
    return TrainingRun(**vars(ready))
