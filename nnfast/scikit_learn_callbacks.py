"""scikit-learn's own callback protocol (1.9, experimental): its ProgressBar and others, through GridSearchCV,
too.

scikit-learn hangs a tree of contexts on the estimators of a fit; an estimator adds a context for each of its
epochs and calls the hooks of its callbacks there. Older versions have none of it, and here nothing happens
then.
"""

from nnfast.state import PARAMETER_ATTRIBUTES

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before 1.9

    class CallbackSupportMixin:
        """Nothing: this version of scikit-learn has no callbacks."""


# What scikit-learn puts on an estimator for the time of a fit: no part of what is saved.
TRANSIENT = ("_callback_fit_ctx", "_skl_callbacks_to_teardown", "_parent_callback_ctx")


def open_context(estimator, max_epochs):
    """Begin scikit-learn's context of a fit, where there are callbacks; its decorator of `fit` ends it.

    To be called first in `fit`, on the estimator itself: it sets attributes that have to last until `fit`
    returns.
    """
    if "_skl_callbacks" in vars(estimator):
        estimator._init_callback_context(max_subtasks=max_epochs)


class Bridge:
    """Calls scikit-learn's hooks for a fit and its epochs; does nothing if `open_context` did not."""

    def __init__(self, task):
        self._estimator = task.estimator
        self._context = vars(task.estimator).get("_callback_fit_ctx") if task.estimator is not None else None
        metadata = None if task.sample_weight is None else {"sample_weight": task.sample_weight}
        self._data = {"estimator": self._estimator, "X": task.table.X, "y": task.labels, "metadata": metadata}
        self._epoch, self._n_left = None, 0

    def __bool__(self):
        return self._context is not None

    def begin(self):
        """Before the first epoch."""
        if self:
            self._n_left = self._context.max_subtasks
            self._context.call_on_fit_task_begin(**self._data)

    def begin_epoch(self):
        """Before an epoch."""
        if self and self._n_left > 0:  # iterations of L-BFGS can be more than were announced
            self._n_left -= 1
            self._epoch = self._context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._data)

    def end_epoch(self):
        """After an epoch, with its estimator published. True if a callback wants the fit to stop."""
        if self._epoch is None:
            return False
        epoch, self._epoch = self._epoch, None
        return epoch.call_on_fit_task_end(**self._data, reconstruction_attributes=self._fitted)

    def end(self):
        """After the last epoch of a fit that succeeded."""
        if self:
            self._context.call_on_fit_task_end(**self._data, reconstruction_attributes=dict)

    def _fitted(self):
        published = vars(self._estimator)
        return {name: published[name] for name in PARAMETER_ATTRIBUTES if name in published}
