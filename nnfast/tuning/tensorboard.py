"""Trials for TensorBoard: a run each, with what its HPARAMS tab wants to compare them by."""

import math
from numbers import Real

import numpy as np

from nnfast.callbacks.files import new_folder
from nnfast.callbacks.tensorboard import require_tensorboardx
from nnfast.tuning.fits import FAILURES
from nnfast.tuning.texts import plain, text
from nnfast.tuning.trials import check_search, metrics, statuses

__all__ = ["TrialLog", "log_search"]


class TrialLog:
    """Writes the trials of one search, a run each, for TensorBoard's HPARAMS tab: its table and parallel
    coordinates.

    Of every trial there are, in a folder "trial-0000" and so on: its parameters, its metrics, its curves by
    epoch as scalars, which are metrics, too, by their last values, and its status as a text. A trial is
    written as a whole, and no file stays open. What is not finite is left out. TensorBoard's parallel
    coordinates show the trials that have a value on every axis: untick an axis, and those without one appear.

    Parameters
    ----------
    logdir : str or Path
        As in `tensorboard --logdir`. The trials are in a folder of their own there, "search-1", "search-2"
        and so on, so that searches do not mix.

    Attributes
    ----------
    folder : Path or None
        That folder, once there is a trial in it.

    Raises
    ------
    ImportError
        Without tensorboardX.

    Examples
    --------
    >>> import tempfile
    >>> from nnfast.tuning.tensorboard import TrialLog
    >>> with tempfile.TemporaryDirectory() as logdir:
    ...     log = TrialLog(logdir)
    ...     log.write(0, {"hidden_layer_sizes": (64, 64), "alpha": 0.001}, {"score": 0.9})
    ...     log.write(1, {"hidden_layer_sizes": (32,), "alpha": 0.1}, {"score": 0.8}, {"loss": [0.7, 0.5]})
    ...     sorted(str(folder.relative_to(logdir)) for folder in log.folder.iterdir())
    ['search-1/trial-0000', 'search-1/trial-0001']
    """

    def __init__(self, logdir):
        require_tensorboardx()
        self.logdir, self.folder = logdir, None

    def write(self, number, params, metrics, curve=None, status="complete"):
        """Write a trial.

        Parameters
        ----------
        number : int
        params : dict
            Its parameters. Values that are no bool, number or string are written as strings, tuples of
            integers like `hidden_layer_sizes` as "64-64".
        metrics : dict of str to float
            What trials are compared by, such as {"score": 0.9}.
        curve : dict, default=None
            As an entry of the searches' `cv_results_["learning_curve"]`: "loss", of every epoch, which
            becomes "training_loss", and "score_epochs" and "score", scores and the epochs that they were
            measured after, which lead up to the metric "score". Any may be missing.
        status : str, default="complete"
            "diverged" and "failed" are failures in the HPARAMS tab, all others successes. Failures have no
            scores.
        """
        if self.folder is None:
            self.folder = new_folder(self.logdir, "search")
        start, end = _summaries(params, status)
        with require_tensorboardx().SummaryWriter(str(self.folder / f"trial-{number:04d}")) as writer:
            writer.file_writer.add_summary(start)
            for name, points in _scalars(metrics, curve or {}, status).items():
                for epoch, value in sorted(points.items()):
                    if math.isfinite(value):
                        writer.add_scalar(name, value, epoch)
            writer.add_text("status", status)
            writer.file_writer.add_summary(end)


def log_search(search, logdir):
    """Write the trials of a search that is over, scikit-learn's `GridSearchCV` say, as a `TrialLog` does.

    The metrics are the mean scores over the folds, by the names of several scorers or as "score", with
    `return_train_score` also as "train_score", and the mean "fit_seconds": the same as the searches of
    `nnfast.tuning` write by their parameter `tensorboard`.

    Parameters
    ----------
    search : fitted search
        One with `cv_results_`. Curves and statuses are written where it has them; else a trial without a
        score failed.
    logdir : str or Path

    Returns
    -------
    Path
        The folder of the search in `logdir`.

    Raises
    ------
    ImportError
        Without tensorboardX.
    TypeError
        If `search` is not a search.
    NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from nnfast import MLPClassifier
    >>> from nnfast.tuning.tensorboard import log_search
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(learning_rate_init=0.1, tol=0.1)
    >>> search = GridSearchCV(clf, {"alpha": [1e-4, 1e-2]}, cv=2).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as logdir:
    ...     len(list(log_search(search, logdir).iterdir()))
    2
    """
    check_search(search)
    results, log, names = search.cv_results_, TrialLog(logdir), metrics(search)
    status = statuses(search, results[f"mean_test_{names[0]}"])
    curves = results.get("learning_curve", [None] * len(status))

    def means(kind, number):
        columns = {name: results.get(f"mean_{kind}_{name}") for name in names}
        return {name: column[number] for name, column in columns.items() if column is not None}

    for number, params in enumerate(results["params"]):
        seconds, scores, train_scores = (
            results["mean_fit_time"][number],
            means("test", number),
            means("train", number),
        )
        log.write(
            number,
            params,
            _metrics(status[number], seconds, scores, train_scores),
            curves[number],
            str(status[number]),
        )
    return log.folder


def metrics_of(trial):
    """The metrics of a `nnfast.tuning.fits.Trial` that has ended, dict of name -> mean over the folds."""

    def means(scores):
        if any(each is None for each in scores):
            return {}
        scores = [each if isinstance(each, dict) else {"score": each} for each in scores]
        return {name: np.mean([each[name] for each in scores]) for name in scores[0]}

    fits = trial.fits
    seconds = np.mean([fit.fit_time for fit in fits])
    return _metrics(
        trial.status, seconds, means([fit.scores for fit in fits]), means([fit.train_scores for fit in fits])
    )


def _metrics(status, seconds, scores, train_scores):
    """The metrics of a trial from means over the folds, of scores by the scorers' names; those of failures
    are no scores.
    """
    named = (
        {}
        if status in FAILURES
        else scores | {f"train_{name}": score for name, score in train_scores.items()}
    )
    return {name: float(value) for name, value in {"fit_seconds": seconds, **named}.items()}


def _scalars(metrics, curve, status):
    """The scalars of a trial: dict of name -> dict of epoch -> value. Metrics come after the last epoch."""
    scalars = {"training_loss": dict(enumerate(curve.get("loss", ()), 1))}
    if status not in FAILURES:  # whose last score would be taken for theirs
        scalars["score"] = dict(zip(curve.get("score_epochs", ()), curve.get("score", ()), strict=True))
    last = max((epoch for points in scalars.values() for epoch in points), default=0)
    for name, value in metrics.items():
        if math.isfinite(value):
            scalars.setdefault(name, {})[last] = value
    return scalars


def _summaries(params, status):
    """tensorboardX's summaries of the beginning and the end of a trial."""
    from tensorboardX.proto.api_pb2 import Status
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
    from tensorboardX.summary import hparams

    # There is one of the experiment, too. It would name the parameters of one trial and hide those that only
    # others have; without it TensorBoard gathers them, and their ranges, from all trials, and takes all
    # scalars for metrics.
    _, start, end = hparams({name: _plain(value) for name, value in params.items()}, {})
    if status in FAILURES:
        plugin_data = end.value[0].metadata.plugin_data
        content = HParamsPluginData.FromString(plugin_data.content)
        content.session_end_info.status = Status.Value("STATUS_FAILURE")
        plugin_data.content = content.SerializeToString()
    return start, end


def _plain(value):
    """A parameter's value as a bool, a finite number or a string."""
    value = plain(value)
    if isinstance(value, bool | str) or isinstance(value, Real) and math.isfinite(value):
        return value
    return text(value)


def __dir__():
    return __all__
