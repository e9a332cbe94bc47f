"""What a callback can do, and the callbacks of one fit."""

from contextlib import contextmanager

from nnfast.scikit_learn_callbacks import Bridge

HOOKS = ("on_fit_begin", "on_epoch_end", "on_fit_end")


class Callback:
    """What a callback can do. Subclasses override what they need; other objects with any of these methods do
    as well.

    Callbacks are called in their order. What one raises ends the fit: the others are not called for that
    epoch, the estimator is as of the last whole epoch, and the exception is the fit's.
    """

    def on_fit_begin(self, estimator, state):
        """Called before the first epoch, with the estimator as it was before the fit."""

    def on_epoch_end(self, estimator, state):
        """Called after every epoch (iteration of 'lbfgs'), with the estimator fitted as far as that."""

    def on_fit_end(self, estimator, state):
        """Called once the estimator is as the fit leaves it, however the fit ended.

        That is also after an exception (of this callback, too), an interrupt or a divergence: for every
        callback whose `on_fit_begin` returned. Where the fit was undone, and the estimator is as it was
        before, `state.undone` is True. The exceptions of several callbacks are told as notes of the first.
        """


class Callbacks:
    """The callbacks of one fit, and scikit-learn's beside them.

    Raises
    ------
    TypeError
        If `callbacks` is not None or a list of objects with at least one of the three methods.
    """

    def __init__(self, callbacks, task):
        callbacks = [] if callbacks is None else callbacks
        if not isinstance(callbacks, list | tuple):
            raise TypeError(f"callbacks must be a list of callbacks, got {callbacks!r}.")
        for callback in callbacks:
            if isinstance(callback, type) or not any(hasattr(callback, hook) for hook in HOOKS):
                meant = f" Did you mean {callback.__name__}()?" if isinstance(callback, type) else ""
                raise TypeError(
                    f"callbacks must be a list of objects with a method {', '.join(HOOKS[:2])} or "
                    f"{HOOKS[2]}, got {callback!r} in it.{meant}"
                )
        self._callbacks, self._estimator = callbacks, task.estimator
        self._begun, self._failure = [], None
        self._bridge = Bridge(task)

    def __bool__(self):
        """Whether anybody wants to see the estimator of every epoch."""
        return bool(self._callbacks or self._bridge)

    def raised(self, error):
        """Whether a callback raised this exception, before the fit or after an epoch."""
        return error is not None and error is self._failure

    @contextmanager
    def _noting_failure(self):
        try:
            yield
        except BaseException as failure:
            self._failure = failure
            raise

    def begin(self, state):
        """Before the first epoch."""
        with self._noting_failure():
            self._bridge.begin()
            for callback in self._callbacks:
                _call(callback, "on_fit_begin", self._estimator, state)
                self._begun.append(callback)

    def begin_epoch(self):
        """Before an epoch."""
        with self._noting_failure():
            self._bridge.begin_epoch()

    def end_epoch(self, state):
        """After an epoch."""
        with self._noting_failure():
            for callback in self._callbacks:
                _call(callback, "on_epoch_end", self._estimator, state)
            if self._bridge.end_epoch():
                state.stop("a callback of scikit-learn")

    def end(self, state, error=None):
        """After the last epoch; `error` is what the fit ended with, if with one, and is left to the caller to
        raise.
        """
        first = error
        begun, self._begun, self._failure = self._begun, [], None
        for callback in begun:
            try:
                _call(callback, "on_fit_end", self._estimator, state)
            except BaseException as failure:  # the other callbacks still have files to close
                if first is None:
                    first = failure
                else:
                    first.add_note(f"on_fit_end of {callback!r} failed, too: {failure!r}")
        if first is None:
            self._bridge.end()
        elif error is None:
            raise first


def _call(callback, hook, estimator, state):
    method = getattr(callback, hook, None)
    if method is not None:
        method(estimator, state)
