"""How a fit shows in its estimator: it publishes whole epochs, or takes back what it has published.

===========================================  =================================================================
a call of `fit` or `partial_fit` ends by     the estimator is then
===========================================  =================================================================
returning, or a warning made an error when   fitted
the fit has ended
KeyboardInterrupt, an exception of a         as of the last whole epoch of the call; as it was before the call
callback                                     if there is none, or if its parameters are not finite
any other exception                          as it was before the call, to the bit
===========================================  =================================================================

So the parameters of an estimator are finite, whatever happens. What has been drawn from a generator that was
given as `random_state` stays drawn.

An estimator's state is its `__dict__`. Publishing replaces it by a new dict in one assignment, and arrays
that have been published are never written to. Only the curves are lists that later epochs append to, and
`_recorded` tells how long they were. So a call in another thread that looks at `vars(estimator)` once sees
one state: that is what `FittedNetwork._snapshot` is for.
"""

from nnfast.epoch_records import with_own_curves
from nnfast.scikit_learn_callbacks import TRANSIENT
from nnfast.state import pass_published


def ends_whole(error, callbacks):
    """Whether a fit that ends by this exception keeps its whole epochs: an interrupt, or an exception of a
    callback.
    """
    return not isinstance(error, Exception) or callbacks.raised(error)


class Snapshot:
    """Parameters of an engine's session, in arrays that are never written to again once they have been given
    out.
    """

    def __init__(self, network, parameters):
        self._network, self.parameters, self._given = network, parameters, True

    def take(self, session):
        """Hold what the session has reached."""
        parameters = self._network.blank(self.parameters.dtype) if self._given else self.parameters
        session.store(parameters)
        self.parameters, self._given = parameters, False

    def give(self):
        """The parameters, for others to keep."""
        self._given = True
        return self.parameters


class Publisher:
    """Publishes the state of one fit. Call it with a dict of fitted attributes, among them "parameters".

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        As it is before the fit.
    draft : estimator
        A copy of it, on which the fit has set what it knows before its first epoch.
    engine : module
        See `nnfast.engines`.
    """

    def __init__(self, estimator, draft, engine):
        self._estimator, self._before, self._engine = estimator, vars(estimator), engine
        drafted, before = vars(draft), self._before
        self._set = {
            name: value for name, value in drafted.items() if name not in before or before[name] is not value
        }
        # The names that the fit sets or removes. All others may be set by others meanwhile: scikit-learn's
        # callbacks do.
        self._owned = {*self._set, *(name for name in before if name not in drafted)}

    def __call__(self, attributes, *, dropped=()):
        """Have the estimator be as of these attributes, and without those dropped."""
        if attributes["n_iter_"] == 0 and "coefs_" in vars(self._estimator):
            return  # a callback stopped the fit before its first epoch
        self._estimator.__dict__ = self._state(attributes, dropped)
        pass_published(self._estimator, self._engine)

    def withdraw(self):
        """Have the estimator be as it was before the fit."""
        state = vars(self._estimator)
        if state is not self._before:
            self._before.update((name, value) for name, value in state.items() if name not in self._owned)
            self._estimator.__dict__ = self._before

    def copy(self, attributes, *, dropped=()):
        """An estimator of its own as of these attributes."""
        return self._estimator_of(self._state(attributes, dropped))

    def published(self):
        """An estimator of its own as of what was published last; None if nothing was."""
        state = vars(self._estimator)
        return None if state is self._before else self._estimator_of(state)

    def _estimator_of(self, state):
        estimator = object.__new__(type(self._estimator))
        estimator.__dict__ = with_own_curves(
            {name: value for name, value in state.items() if name not in TRANSIENT}
        )
        return estimator

    def _state(self, attributes, dropped):
        arrived = {name: value for name, value in attributes.items() if name != "parameters"}
        arrived |= attributes["parameters"].by_attribute()
        self._owned.update(arrived, dropped)
        others = {name: value for name, value in vars(self._estimator).items() if name not in self._owned}
        return others | self._set | arrived
