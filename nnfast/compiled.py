"""Fitted networks set apart for serving: immutable objects that answer a row in a microsecond or two, and
validate little.
"""

import copy

import numpy as np

import nnfast
from nnfast import engines
from nnfast.fitted import labels_of, predict_many
from nnfast.mapped import check_whole
from nnfast.numeric_table import kind_to_measure
from nnfast.overflow import check_held, check_overflow
from nnfast.parameters import check_parameters
from nnfast.state import check_state
from nnfast.validation import FLOATS, arithmetic_dtype, common_dtype
from nnfast.versions import warn_of_version

__all__ = ["CompiledClassifier", "CompiledRegressor"]


class CompiledNetwork:
    """What both compiled predictors have in common. Not for use by itself."""

    __slots__ = ("n_features_in_", "n_outputs_", "_state", "_answer_few")

    def __init__(self, state):
        # A state of another version comes out of a pickle.
        warn_of_version(type(self).__name__, state.get("nnfast_version"))
        arrays = tuple([_own(array) for array in kind] for kind in state["arrays"])
        state = state | {"arrays": arrays}
        given = arrays[0][0].dtype
        dtypes = [arithmetic_dtype(state["precision"], common_dtype(dtype, given)) for dtype in FLOATS]
        network = state["activation"], state["loss"], state["norm_eps"]
        few = engines.get_engine(state["engine"]).predictor(
            *network, arrays, dtypes, common_dtype(FLOATS[0], given)
        )
        sizes = {"n_features_in_": arrays[0][0].shape[0], "n_outputs_": len(arrays[1][-1])}
        values = sizes | {"_state": state, "_answer_few": few.predict}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        raise AttributeError(
            f"a {type(self).__name__} cannot be changed: {name} is what it was when `compiled` made it."
        )

    def __delattr__(self, name):
        self.__setattr__(name, None)

    def __reduce__(self):
        return type(self), (self._state,)

    @property
    def layer_units(self):
        """Units of each layer: inputs, hidden layers, outputs."""
        return self.n_features_in_, *map(len, self._state["arrays"][1])

    def __repr__(self):
        units = "-".join(map(str, self.layer_units))
        return f"<nnfast {type(self).__name__} {units}, {self._state['arrays'][0][0].dtype}>"

    # `_answer_few` and `_answer_many` answer rows X in `out` or, if that is None, in a new array. `columns`
    # are those of the answer: as many as the network has outputs; or where it has one, p, 2 for 1 - p and p,
    # or 0 for one dimension. `_answer_few`, the method of a compiled object, answers None where the rows are
    # many. Each caller tries it and goes on to `_answer_many` by itself: a call of a method that does both
    # would show in a row's microsecond.

    def _answer_many(self, X, out, columns):
        """The answers to many rows, by threads. `_answer_few` has checked X and out."""
        check_whole(X)
        state = self._state
        arrays = state["arrays"]
        result = common_dtype(X.dtype, arrays[0][0].dtype)
        dtype = arithmetic_dtype(state["precision"], result)
        if dtype.itemsize < X.dtype.itemsize:
            for first, rows in kind_to_measure(X)(X).parts():
                check_held(rows, dtype, first=first)
        engine, loss = engines.get_engine(state["engine"]), state["loss"]
        outputs = predict_many(
            engine, state["activation"], loss, state["norm_eps"], arrays, X, dtype, state["n_threads"]
        )
        if dtype.itemsize == 4 and len(X) and not engine.are_finite_rows(outputs):
            check_overflow(X, outputs, loss=loss, arrays=arrays)
        if out is None:
            out = np.empty((len(X), columns) if columns else len(X), result)
        answer = out.reshape(len(X), -1)
        answer[:, -self.n_outputs_ :] = outputs
        if columns > self.n_outputs_:
            np.subtract(1, answer[:, 1], out=answer[:, 0])
        return out


class CompiledClassifier(CompiledNetwork):
    """A fitted `MLPClassifier` for serving: immutable, for any number of threads at once, and quick with few
    rows.

    What `MLPClassifier.compiled` returns. Its answers are the estimator's, to the bit, but of scikit-learn's
    validation it does only what keeps it from answering nonsense about shapes and dtypes: it takes NumPy
    arrays of float32 or float64, of any strides, does not know feature names, and lets infinite numbers and
    NaN pass, for which the answers are what arithmetic makes of them. No rows give no answers. It has copies
    of the parameters, so nothing that happens to the estimator reaches it. It can be copied and pickled.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted.

    n_features_in_ : int
        Features of a row.

    n_outputs_ : int
        Units of the output layer.

    See Also
    --------
    MLPClassifier.compiled : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(max_iter=50, tol=1, random_state=0).fit(X, y)
    >>> compiled = clf.compiled()
    >>> compiled
    <nnfast CompiledClassifier 4-100-3, float64>
    >>> out = np.empty((1, 3))
    >>> np.array_equal(compiled.predict_proba(X[:1], out=out), clf.predict_proba(X[:1]))
    True
    """

    __slots__ = ("classes_", "_columns")

    def __init__(self, state):
        super().__init__(state)
        object.__setattr__(self, "classes_", _own(state["binarizer"].classes_))
        object.__setattr__(self, "_columns", max(self.n_outputs_, 2))

    def predict_proba(self, X, out=None):
        """Predict probabilities.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features), float32 or float64
            The rows.

        out : ndarray of shape (n_samples, n_classes), default=None
            Where to write the probabilities: C-contiguous, of the dtype that they have without it, and apart
            from X in memory. None: a new array.

        Returns
        -------
        y_prob : ndarray of shape (n_samples, n_classes)
            `out`, or a new array: the probability of every class, in the order of `classes_`; for several
            labels, of each. float32 if X and the network are, else float64.

        Raises
        ------
        TypeError
            If X or `out` is not an array, or X is neither float32 nor float64.
        ValueError
            If the shape of X is not right, or anything of `out`; or if the arithmetic is float32 and a finite
            number is beyond it, or a row of finite numbers overflows on the way.
        """
        answer = self._answer_few(X, out, self._columns)
        return self._answer_many(X, out, self._columns) if answer is None else answer

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features), float32 or float64
            The rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The labels; for several labels, 0 or 1 each.

        Raises
        ------
        TypeError, ValueError
            As `predict_proba`.
        """
        outputs = self._answer_few(X, None, self.n_outputs_)
        if outputs is None:
            outputs = self._answer_many(X, None, self.n_outputs_)
        return labels_of(outputs, self._state["binarizer"])


class CompiledRegressor(CompiledNetwork):
    """A fitted `MLPRegressor` for serving: immutable, for any number of threads at once, and quick with few
    rows.

    What `MLPRegressor.compiled` returns. Its answers are the estimator's, to the bit; what it does without is
    said at `CompiledClassifier`. It does not look whether quantiles cross, either.

    Attributes
    ----------
    n_features_in_ : int
        Features of a row.

    n_outputs_ : int
        Units of the output layer.

    See Also
    --------
    MLPRegressor.compiled : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast import MLPRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regr = MLPRegressor(max_iter=50, tol=1e9, random_state=0).fit(X, y)
    >>> compiled = regr.compiled()
    >>> np.array_equal(compiled.predict(X), regr.predict(X))
    True
    """

    __slots__ = ("_columns",)

    def __init__(self, state):
        super().__init__(state)
        object.__setattr__(self, "_columns", self.n_outputs_ if self.n_outputs_ > 1 else 0)

    def predict(self, X, out=None):
        """Predict targets.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features), float32 or float64
            The rows.

        out : ndarray of shape (n_samples,), (n_samples, n_outputs) or (n_samples, n_levels), default=None
            Where to write the predictions: C-contiguous, of the dtype that they have without it, and apart
            from X in memory. None: a new array.

        Returns
        -------
        y : ndarray of shape (n_samples,), (n_samples, n_outputs) or (n_samples, n_levels)
            `out`, or a new array: the predictions; with several levels of `quantile`, one column each.
            float32 if X and the network are, else float64.

        Raises
        ------
        TypeError
            If X or `out` is not an array, or X is neither float32 nor float64.
        ValueError
            If the shape of X is not right, or anything of `out`; or if the arithmetic is float32 and a finite
            number is beyond it, or a row of finite numbers overflows on the way.
        """
        answer = self._answer_few(X, out, self._columns)
        return self._answer_many(X, out, self._columns) if answer is None else answer


def state_of(estimator, **more):
    """What a fitted estimator's compiled predictor is made of; `more` adds copies of the attributes that it
    names.
    """
    check_parameters(estimator)  # some may have been set after the fit
    check_state(estimator)
    activation, loss = estimator._predicting_functions()
    return {
        "activation": activation,
        "loss": loss,
        "norm_eps": float(estimator.norm_eps),
        "arrays": estimator._predicting_arrays(len(estimator.coefs_)),
        "precision": estimator.precision,
        "n_threads": estimator.n_threads,
        "engine": estimator.engine,
        "nnfast_version": nnfast.__version__,
    } | {key: copy.deepcopy(getattr(estimator, name)) for key, name in more.items()}


def _own(array):
    """A copy that nobody can write to. It is a view: NumPy lets an array that owns its numbers become
    writable again.
    """
    array = np.array(array, order="C")
    array.flags.writeable = False
    return array.view()


def __dir__():
    return __all__
