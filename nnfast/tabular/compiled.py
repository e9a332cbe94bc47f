"""Fitted ensembles set apart for serving: tables are encoded once, and encoded rows are answered in
microseconds.
"""

import numpy as np

import nnfast
from nnfast.compiled import CompiledNetwork
from nnfast.tabular.answers import labels_of, numbers_of
from nnfast.tabular.ensemble import BLOCK
from nnfast.tabular.trees import TreeRound
from nnfast.versions import warn_of_version

__all__ = ["CompiledTabularClassifier", "CompiledTabularRegressor"]


class CompiledEnsemble:
    """What both compiled ensembles have in common. Not for use by itself."""

    __slots__ = ("n_features_in_", "n_inputs_", "_state", "_plan", "_base")

    def __init__(self, state):
        warn_of_version(type(self).__name__, state["nnfast_version"])  # of another version in a pickle
        plan, n_inputs = _plan(state["rounds"])
        base = state["constant_weight"] * state["constant"]
        base.flags.writeable = False
        sizes = {"n_features_in_": len(state["reader"].columns), "n_inputs_": n_inputs}
        for name, value in (sizes | {"_state": state, "_plan": plan, "_base": base}).items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        made = f"{name} is what it was when `compiled` made it"
        raise AttributeError(f"a {type(self).__name__} cannot be changed: {made}.")

    def __delattr__(self, name):
        self.__setattr__(name, None)

    def __reduce__(self):
        return type(self), (self._state,)

    def __repr__(self):
        n_networks = sum(len(members) for _, members in self._plan)
        sizes = f"{self.n_features_in_} columns, {self.n_inputs_} inputs, {n_networks} networks"
        return f"<nnfast {type(self).__name__} {sizes}>"

    def encode(self, X):
        """Encode a table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            As `fit` takes it.

        Returns
        -------
        encoded : ndarray of float32, shape (n_samples, n_inputs), C-contiguous
            For each round of the ensemble the inputs that its members share, and then those of each member's
            own: the encodings that use the targets of its training rows. Rows may be stacked, sliced and
            stored.

        Raises
        ------
        ValueError
            If X lacks columns, or a column holds values of another kind than in `fit`.

        Warns
        -----
        UnexpectedValuesWarning
            As the estimator does, once a column: of levels or missing values that `fit` has not seen.
        """
        table = self._state["reader"].read(X, type(self).__name__)
        encoded = np.empty((len(table), self.n_inputs_), dtype=np.float32)
        for first in range(0, len(table), BLOCK):
            rows = np.arange(first, min(first + BLOCK, len(table)))
            part, end = table.take(rows), 0
            for _, shared, members in self._state["rounds"]:
                for encoders in (shared, *(own for own, _, _ in members)):
                    start, end = end, end + encoders.n_inputs
                    encoders.encode(part, encoded[first : first + len(rows), start:end])
        return encoded

    def _outputs(self, encoded):
        """What `Ensemble.outputs` gives, by the same operations in the same order."""
        if not isinstance(encoded, np.ndarray) or encoded.dtype != np.float32:
            got = f"dtype {encoded.dtype}" if isinstance(encoded, np.ndarray) else type(encoded).__name__
            raise TypeError(
                f"encoded must be an array of float32, as `encode` makes it of a table, got {got}."
            )
        if encoded.ndim != 2 or encoded.shape[1] != self.n_inputs_:
            raise ValueError(
                f"encoded must be of shape (n_samples, {self.n_inputs_}), as `encode` makes it of a table, "
                f"got shape {encoded.shape}."
            )
        out = np.empty((len(encoded), len(self._base)))
        out[:] = self._base
        if not len(encoded):
            return out
        for weight, members in self._plan:
            total = 0
            for shared, own, network, readout in members:
                X = encoded[:, shared]
                if own is not None:
                    X = np.concatenate((X, encoded[:, own]), axis=1)
                total = total + readout.outputs(network, X)
            out += weight * (total / len(members))
        return out


class CompiledTabularClassifier(CompiledEnsemble):
    """A fitted `TabularClassifier` for serving: immutable, and quick with few rows.

    What `TabularClassifier.compiled` returns. `encode` reads a table as the estimator does, which takes
    milliseconds; `predict_proba` and `predict` take encoded rows, and answer one in microseconds. The answers
    are the estimator's, to the bit. Any number of threads may use it at once, and it can be copied and
    pickled. Nothing that happens to the estimator reaches it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted.

    n_features_in_ : int
        Columns of a table.

    n_inputs_ : int
        Numbers of an encoded row.

    See Also
    --------
    TabularClassifier.compiled : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import TabularClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> clf = TabularClassifier(quality="fast", random_state=0).fit(X, y)
    >>> compiled = clf.compiled()
    >>> encoded = compiled.encode(X)
    >>> np.array_equal(compiled.predict_proba(encoded), clf.predict_proba(X))
    True
    """

    __slots__ = ("classes_",)

    def __init__(self, state):
        super().__init__(state)
        classes = state["classes"].copy()
        classes.flags.writeable = False
        object.__setattr__(self, "classes_", classes.view())

    def predict_proba(self, encoded):
        """Predict probabilities of encoded rows.

        Parameters
        ----------
        encoded : ndarray of float32, shape (n_samples, n_inputs)
            Rows that `encode` has made.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; for several labels, of each.

        Raises
        ------
        TypeError
            If they are not an array of float32.
        ValueError
            If their shape is another one.
        """
        return self._outputs(encoded)

    def predict(self, encoded):
        """Predict classes of encoded rows.

        Parameters
        ----------
        encoded : ndarray of float32, shape (n_samples, n_inputs)
            Rows that `encode` has made.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            For several labels, 0 or 1 each.

        Raises
        ------
        TypeError, ValueError
            As `predict_proba`.
        """
        return labels_of(self._outputs(encoded), self.classes_, self._state["several_labels"])


class CompiledTabularRegressor(CompiledEnsemble):
    """A fitted `TabularRegressor` for serving: immutable, and quick with few rows.

    What `TabularRegressor.compiled` returns. See `CompiledTabularClassifier` for what it does.

    Attributes
    ----------
    n_features_in_ : int
        Columns of a table.

    n_inputs_ : int
        Numbers of an encoded row.

    See Also
    --------
    TabularRegressor.compiled : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import TabularRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> regr = TabularRegressor(quality="fast", random_state=0).fit(X, y)
    >>> compiled = regr.compiled()
    >>> np.array_equal(compiled.predict(compiled.encode(X)), regr.predict(X))
    True
    """

    __slots__ = ()

    def predict(self, encoded):
        """Predict targets of encoded rows.

        Parameters
        ----------
        encoded : ndarray of float32, shape (n_samples, n_inputs)
            Rows that `encode` has made.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            With several levels of `quantile`, a column each.

        Raises
        ------
        TypeError
            If they are not an array of float32.
        ValueError
            If their shape is another one.
        """
        return numbers_of(self._outputs(encoded), self._state["one_output"])


def state_of(reader, ensemble, **more):
    """What a compiled ensemble is made of; `more` is added."""
    rounds = [each for each in ensemble.rounds if each.weight > 0]
    if any(isinstance(each, TreeRound) for each in rounds):
        raise ValueError(
            "compiled() needs an ensemble of networks alone, and this one has trees, of blend='trees': "
            "their answers come from scikit-learn, a call of which takes milliseconds. Fit with blend=None."
        )
    return {
        "reader": reader,
        "rounds": [
            (
                each.weight,
                each.encoders,
                [(m.encoders, compiled_network(m.network), m.readout) for m in each.members],
            )
            for each in rounds
        ],
        "constant": np.array(ensemble.constant, dtype=np.float64),
        "constant_weight": ensemble.constant_weight,
        "nnfast_version": nnfast.__version__,
    } | more


def compiled_network(network):
    """The network of a member as a `CompiledClassifier` or `CompiledRegressor`."""
    return network if isinstance(network, CompiledNetwork) else network.compiled()


def _plan(rounds):
    """(weight, members) of each round, a member as (its shared inputs, its own, network, readout); and all
    inputs.
    """
    plan, end = [], 0
    for weight, encoders, members in rounds:
        start, end = end, end + encoders.n_inputs
        shared, parts = slice(start, end), []
        for own, network, readout in members:
            start, end = end, end + own.n_inputs
            parts.append((shared, slice(start, end) if end > start else None, network, readout))
        plan.append((weight, parts))
    return plan, end


def __dir__():
    return __all__
