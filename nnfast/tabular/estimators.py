"""`TabularClassifier` and `TabularRegressor`: classes and numbers, on the base that both have."""

from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from nnfast.class_weight import weigh, weights_by_class
from nnfast.losses import LOSSES, REGRESSOR_LOSSES
from nnfast.parameters import check_quantile
from nnfast.tabular.answers import labels_of, numbers_of
from nnfast.tabular.base import BaseTabular
from nnfast.tabular.compiled import CompiledTabularClassifier, CompiledTabularRegressor, state_of
from nnfast.tabular.documentation import documented
from nnfast.tabular.targets import checked_array, of_one_type, stacked
from nnfast.tabular.tasks import ClassTask, NumberTask
from nnfast.targets import about_labels, as_labels, as_numbers


@documented
class TabularClassifier(ClassifierMixin, BaseTabular):
    """Classify the rows of a table by an ensemble of networks.

    {procedure}

    The probabilities of a row are the mean over the members m of each round, of weight w_r, and a constant c,
    the shares of the classes ::

        p = sum_r w_r mean_m p_rm + w_c c

    Two classes, more classes and several labels are supported: a matrix y of 0 and 1, a column a label.

    Parameters
    ----------
    {parameters}

    {classifier_parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted; for several labels, the numbers of the columns of y.

    {attributes}

    oof_predictions_ : ndarray of shape (n_samples, n_classes)
        Probabilities of the training rows out of fold, NaN for rows that validated no member; with
        `oof_predictions` alone.

    See Also
    --------
    TabularRegressor : The same for numbers.
    nnfast.MLPClassifier : One network, for tables of numbers.

    Notes
    -----
    {errors}

    References
    ----------
    {references}

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import TabularClassifier
    >>> rng = np.random.default_rng(0)
    >>> colors = rng.choice(["red", "green", "blue"], 300)
    >>> sizes = rng.normal(size=300)
    >>> X = np.column_stack([colors.astype(object), sizes])
    >>> y = np.where((colors == "red") | (sizes > 1), "sold", "kept")
    >>> clf = TabularClassifier(quality="fast", random_state=0).fit(X, y)
    >>> clf.predict([["red", -0.5], ["green", 0.0]])
    array(['sold', 'kept'], dtype='<U4')
    >>> clf.predict_proba([["blue", 2.0]]).shape
    (1, 2)
    """

    _parameter_constraints: dict = BaseTabular._parameter_constraints | {
        "class_weight": [dict, list, StrOptions({"balanced"}), None]
    }

    def __init__(
        self,
        *,
        quality="default",
        time_budget=None,
        blend=None,
        class_weight=None,
        categorical_features="auto",
        time_column=None,
        oof_predictions=False,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        super().__init__(
            quality=quality,
            time_budget=time_budget,
            blend=blend,
            categorical_features=categorical_features,
            time_column=time_column,
            oof_predictions=oof_predictions,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def _check_targets(self, y, name):
        y = of_one_type(checked_array(y, name))
        with about_labels(y, name):
            check_classification_targets(y)
        if type_of_target(y).startswith("multiclass-multioutput"):
            raise ValueError(
                f"Unknown label type: {name} must be of one class a row, or a matrix of 0 and 1, a column a"
                " label."
            )
        return as_labels(y, name)

    def _learn_targets(self, y):
        self._several_labels = y.ndim == 2
        if self._several_labels:
            self.classes_ = np.arange(y.shape[1])
            self._can_learn = True
            return lambda y, y_val: ClassTask(stacked(y, y_val).astype(np.intp), 2)
        self.classes_ = np.unique(y)
        self._can_learn = len(self.classes_) > 1
        return lambda y, y_val: ClassTask(
            stacked(self._codes(y), None if y_val is None else self._codes(y_val)), len(self.classes_)
        )

    def _codes(self, y):
        """The numbers of the classes of some rows."""
        number_of = {label: code for code, label in enumerate(self.classes_.tolist())}
        if y.ndim != 1:
            raise ValueError(f"y_val must hold one class a row, as y does, got shape {y.shape}.")
        labels = y.tolist()
        unknown = [label for label in labels if label not in number_of]
        if unknown:
            raise ValueError(
                f"y_val has a class that y does not have: {unknown[0]!r}. y has {self.classes_}."
            )
        return np.array([number_of[label] for label in labels], dtype=np.intp)

    def _class_weighted(self, task, sample_weight, n_trained):
        if self.class_weight is None:
            return sample_weight
        names = None if task.kind == "multilabel" else self.classes_
        return weigh(weights_by_class(self.class_weight, names, task.y[:n_trained]), task.y, sample_weight)

    def _shaped(self, outputs):
        return outputs

    def predict_proba(self, X):
        """Predict probabilities.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; for several labels, of each.
        """
        return self._outputs(X)

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            For several labels, 0 or 1 each.
        """
        return labels_of(self._outputs(X), self.classes_, self._several_labels)

    def compiled(self):
        """Make an immutable predictor of encoded rows, for serving.

        {compiled}

        Returns
        -------
        predictor : nnfast.tabular.compiled.CompiledTabularClassifier

        Raises
        ------
        {compiled_errors}

        Examples
        --------
        >>> from nnfast.tabular import TabularClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TabularClassifier(quality="fast", random_state=0).fit(X, y)
        >>> predictor = clf.compiled()
        >>> encoded = predictor.encode(X)
        >>> bool((predictor.predict_proba(encoded) == clf.predict_proba(X)).all())
        True
        """
        check_is_fitted(self)
        answers = {"classes": self.classes_, "several_labels": self._several_labels}
        return CompiledTabularClassifier(state_of(self._reader, self._ensemble, **answers))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@documented
class TabularRegressor(RegressorMixin, BaseTabular):
    """Predict numbers for the rows of a table by an ensemble of networks.

    {procedure}

    A prediction is the weighted mean over the members m of each round, of weight w_r, and a constant c, the
    best one for the loss; each member's is clipped to the range of the targets that it trained on ::

        y = sum_r w_r mean_m clip(y_rm, low_m, high_m) + w_c c

    Parameters
    ----------
    {regressor_parameters}

    {parameters}

    Attributes
    ----------
    {attributes}

    oof_predictions_ : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Predictions of the training rows out of fold, NaN for rows that validated no member; with
        `oof_predictions` alone.

    See Also
    --------
    TabularClassifier : The same for classes.
    nnfast.MLPRegressor : One network, for tables of numbers.

    Notes
    -----
    {errors}

    References
    ----------
    {references}

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import TabularRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 3))
    >>> X[::7, 0] = np.nan
    >>> y = 100 + 10 * X[:, 1] * X[:, 2]
    >>> regr = TabularRegressor(quality="fast", random_state=0).fit(X[:400], y[:400])
    >>> regr.score(X[400:], y[400:]) > 0.9
    True
    """

    _parameter_constraints: dict = BaseTabular._parameter_constraints | {
        "loss": [StrOptions(set(REGRESSOR_LOSSES))],
        "quantile": ["array-like", Interval(Real, 0, 1, closed="neither")],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        loss="squared_error",
        quantile=0.5,
        huber_delta=1.0,
        quality="default",
        time_budget=None,
        blend=None,
        categorical_features="auto",
        time_column=None,
        oof_predictions=False,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        super().__init__(
            quality=quality,
            time_budget=time_budget,
            blend=blend,
            categorical_features=categorical_features,
            time_column=time_column,
            oof_predictions=oof_predictions,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.loss = loss
        self.quantile = quantile
        self.huber_delta = huber_delta

    def _check_targets(self, y, name):
        y = as_numbers(checked_array(y, name), name)
        assert_all_finite(y, input_name=name)  # of objects, it has not been checked yet
        record = LOSSES[self.loss]
        outside = ~record.in_domain(y.ravel())
        if outside.any():
            raise ValueError(
                f"loss={self.loss!r} needs {record.domain}, got {name} with {y.ravel()[outside][0]}."
            )
        return y.astype(np.float64)

    def _learn_targets(self, y):
        self._can_learn = bool((y != y[:1]).any())
        self._one_output = y.ndim == 1 and not (self.loss == "quantile" and np.size(self.quantile) > 1)
        parameter = {"quantile": self.quantile, "huber": self.huber_delta}.get(self.loss)
        if self.loss == "quantile":
            check_quantile(self.quantile)
        return lambda y, y_val: NumberTask(stacked(y, y_val), self.loss, parameter, len(y))

    def _shaped(self, outputs):
        return numbers_of(outputs, self._one_output)

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            With several levels of `quantile`, a column each.
        """
        return self._shaped(self._outputs(X))

    def compiled(self):
        """Make an immutable predictor of encoded rows, for serving.

        {compiled}

        Returns
        -------
        predictor : nnfast.tabular.compiled.CompiledTabularRegressor

        Raises
        ------
        {compiled_errors}

        Examples
        --------
        >>> from nnfast.tabular import TabularRegressor
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> regr = TabularRegressor(quality="fast", random_state=0).fit(X, y)
        >>> predictor = regr.compiled()
        >>> bool((predictor.predict(predictor.encode(X)) == regr.predict(X)).all())
        True
        """
        check_is_fitted(self)
        return CompiledTabularRegressor(state_of(self._reader, self._ensemble, one_output=self._one_output))
