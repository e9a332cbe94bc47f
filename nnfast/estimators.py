"""The scikit-learn contract: the two estimators, their labels, targets and tags."""

import inspect

import numpy as np
from scipy.special import log_expit, log_softmax
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from nnfast import scores
from nnfast.base import BaseMLP, partial_fit_available
from nnfast.losses import LOSSES
from nnfast.parameters import CONSTRAINTS, documented


@documented(score="Accuracy")
class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron classifier, a drop-in for scikit-learn's.

    With z(x) the output layer's pre-activations, it minimises the mean over the samples of ::

        log(sum_k exp(z_k)) - z_y             three classes or more, probabilities softmax(z)
        sum_k log(1 + exp(z_k)) - y_k z_k     two classes (one output) or several labels, 1 / (1 + exp(-z))

    plus 0.5 * alpha * (sum of squared weights) / n_samples, by minibatches or by L-BFGS.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted.

    {attributes}

    See Also
    --------
    MLPRegressor : The same network for real targets.

    References
    ----------
    Hinton, Connectionist learning procedures, Artificial Intelligence 40, 1989.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, arXiv:1412.6980.

    Examples
    --------
    >>> from nnfast import MLPClassifier
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = make_classification(n_samples=100, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=1)
    >>> clf = MLPClassifier(random_state=1, max_iter=300).fit(X_train, y_train)
    >>> clf.predict(X_test[:5])
    array([1, 0, 1, 0, 1])
    >>> clf.predict_proba(X_test[:1]).round(2)
    array([[0.04, 0.96]])
    """

    loss = "log_loss"

    def _encode(self, y, dtype, *, redefine):
        if redefine:
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        binarizer = self._label_binarizer
        if y.ndim == 2 or binarizer.y_type_.startswith("multilabel"):
            y = np.ascontiguousarray(binarizer.transform(y), dtype=dtype)
            return "binary_log_loss", y, y.shape[1], None, scores.subset_accuracy
        codes = np.searchsorted(binarizer.classes_, y)
        if binarizer.y_type_ == "multiclass":
            return "log_loss", codes.astype(np.intp, copy=False), len(binarizer.classes_), None, scores.accuracy
        score = scores.subset_accuracy if len(binarizer.classes_) == 2 else scores.single_class_accuracy
        return "binary_log_loss", codes[:, np.newaxis].astype(dtype), 1, codes, score

    def _check_classes(self, classes):
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _begin_partial_fit(self, y, classes):
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer().fit(y if type_of_target(y).startswith("multilabel") else classes)

    @available_if(partial_fit_available)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch, going on from the present parameters and moments.

        The optimizer's hyperparameters are those of the call that began, as in scikit-learn.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The table.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The class labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of every row, of a positive sum.

        classes : array of shape (n_classes,), default=None
            All classes that any call will see. Needed in the first call, and only there.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        DivergenceError
            If the loss, a gradient or a parameter is not finite.
        """
        return self._fit(X, y, sample_weight, one_epoch=True, classes=classes)

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The labels; for several labels, 0 or 1 each.
        """
        outputs = self._outputs(X)
        binarizer = self._label_binarizer
        # What inverse_transform gives, without its 100 us of validation.
        if binarizer.y_type_ == "multiclass":
            return binarizer.classes_.take(outputs.argmax(axis=1))
        if binarizer.y_type_ == "binary":
            last = len(binarizer.classes_) - 1
            return binarizer.classes_.take((outputs.ravel() > 0.5) * last)
        return binarizer.inverse_transform(outputs)

    def predict_proba(self, X):
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        y_prob : ndarray of shape (n_samples, n_classes)
            Probability of every class, in the order of `classes_`; for several labels, of each.
        """
        outputs = self._outputs(X)
        if self.n_outputs_ > 1:
            return outputs
        both = np.empty((2, len(outputs)), dtype=outputs.dtype)
        both[1] = outputs[:, 0]
        np.subtract(1, both[1], out=both[0])
        return both.T

    def predict_log_proba(self, X):
        """Predict the logarithms of probabilities, computed from logits: finite where a probability underflows to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        log_y_prob : ndarray of shape (n_samples, n_classes)
            log(predict_proba(X)).
        """
        z = self._outputs(X, logits=True)
        if self.out_activation_ == "softmax":
            return log_softmax(z, axis=1)
        return log_expit(z) if self.n_outputs_ > 1 else log_expit(z * np.array([-1, 1], dtype=z.dtype))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@documented(score="R2")
class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron regressor, a drop-in for scikit-learn's.

    With z(x) the output layer's pre-activations, it minimises the mean over the samples of ::

        mean_k (z_k - y_k)^2 / 2                             squared_error, predicts z
        sum_k y_k log(y_k) - y_k z_k - y_k + exp(z_k)        poisson, predicts exp(z)

    plus 0.5 * alpha * (sum of squared weights) / n_samples, by minibatches or by L-BFGS. For several outputs the
    minibatch solvers descend along the gradient of the sum over the outputs, as scikit-learn's do; L-BFGS along the
    gradient of the loss above.

    Parameters
    ----------
    loss : {'squared_error', 'poisson'}, default='squared_error'
        Half the squared error, or half the Poisson deviance, which needs y >= 0.

    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    MLPClassifier : The same network for classes.

    References
    ----------
    Hinton, Connectionist learning procedures, Artificial Intelligence 40, 1989.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, arXiv:1412.6980.

    Examples
    --------
    >>> from nnfast import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
    >>> regr = MLPRegressor(random_state=1, max_iter=2000, tol=0.1).fit(X_train, y_train)
    >>> round(regr.score(X_test, y_test), 2)
    0.98
    """

    _parameter_constraints: dict = {**CONSTRAINTS, "loss": [StrOptions({"squared_error", "poisson"})]}
    _y_numeric = True

    def __init__(self, loss="squared_error", *args, **parameters):
        super().__init__(*args, **parameters)
        self.loss = loss

    # What this constructor accepts is the base class's list after `loss`: said here for inspect, help and get_params.
    _own = list(inspect.signature(__init__).parameters.values())[:2]
    _shared = list(inspect.signature(BaseMLP.__init__).parameters.values())[1:]
    __init__.__signature__ = inspect.Signature(_own + _shared)
    del _own, _shared

    def _encode(self, y, dtype, *, redefine):
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(f"loss='poisson' needs {LOSSES['poisson'].domain}, got a y of {y.min()}.")
        y = np.ascontiguousarray(y.reshape(len(y), -1), dtype=dtype)
        return self.loss, y, y.shape[1], None, scores.r2

    @available_if(partial_fit_available)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch, going on from the present parameters and moments.

        The optimizer's hyperparameters are those of the call that began, as in scikit-learn.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The table.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of every row, of a positive sum.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        DivergenceError
            If the loss, a gradient or a parameter is not finite.
        """
        return self._fit(X, y, sample_weight, one_epoch=True)

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predictions.
        """
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs
