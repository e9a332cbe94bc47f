"""The scikit-learn contract of the classifier: its labels, targets and tags."""

import numpy as np
from scipy.special import log_expit
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from nnfast import fitting, scores
from nnfast.base import BaseMLP, joined_signature, partial_fit_available
from nnfast.class_weight import weights_by_class
from nnfast.compiled import CompiledClassifier, state_of
from nnfast.custom_functions import Loss
from nnfast.documentation import documented
from nnfast.fitted import labels_of
from nnfast.losses import LOSSES
from nnfast.parameters import CLASSIFIER_CONSTRAINTS
from nnfast.suggestions import suggests_keywords
from nnfast.targets import Targets, about_labels, encoded


@documented
class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron classifier, a drop-in for scikit-learn's.

    With z(x) the output layer's pre-activations, it minimises the mean over the samples of ::

        log(sum_k exp(z_k)) - z_y             three classes or more, probabilities softmax(z)
        sum_k log(1 + exp(z_k)) - y_k z_k     two classes (one output) or several labels, 1 / (1 + exp(-z))

    or what `loss` says, plus 0.5 * alpha * (sum of squared weights) / n_samples, by minibatches or by L-BFGS.

    Parameters
    ----------
    {parameters}

    {classifier_parameters}

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

    _parameter_constraints: dict = CLASSIFIER_CONSTRAINTS

    def __init__(
        self, *args, loss="log_loss", class_weight=None, label_smoothing=0.0, focal_gamma=2.0, **parameters
    ):
        super().__init__(*args, **parameters)
        self.loss = loss
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma

    __init__.__signature__ = joined_signature(__init__)

    def _check_together(self, activation, regularization):
        super()._check_together(activation, regularization)
        if isinstance(self.loss, Loss) and self.loss.out_activation != "logistic":
            raise ValueError(
                f"loss={self.loss!r} predicts by out_activation={self.loss.out_activation!r}, but a "
                f"classifier predicts probabilities. Use Loss({self.loss.name}, out_activation='logistic'): "
                "y is 0 or 1 then, and z the logit."
            )

    def _begin_partial_fit(self, y, classes):
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} is not supported for partial_fit, which sees a part of "
                "the table. Pass the weights as a dict: compute_class_weight('balanced', classes=classes, "
                "y=y) of sklearn.utils.class_weight finds them from a large enough sample y of all targets."
            )
        if classes is not None:
            with about_labels(classes, "classes"):
                unique_labels(classes)
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer().fit(
                y if type_of_target(y, "y").startswith("multilabel") else classes
            )

    def _learn_labels(self, y, *, redefine):
        if redefine:
            self._label_binarizer = _binarizer_of(y)
            self.classes_ = self._label_binarizer.classes_
        elif not self.warm_start:
            self._check_labels(y)
        elif set(classes := unique_labels(y)) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {classes}"
            )

    def _check_labels(self, y):
        with about_labels(y):
            classes = unique_labels(y)
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has"
                f" {classes}."
            )

    @property
    def _several_labels(self):
        return self._label_binarizer.y_type_.startswith("multilabel")

    def _encode(self, y, dtype):
        binarizer = self._label_binarizer
        if y.ndim == 2 or self._several_labels:
            labels = encoded(binarizer.transform(y), dtype, LOSSES["binary_focal"], self.loss)
            return self._binary(labels, None, scores.subset_accuracy)
        codes = np.searchsorted(binarizer.classes_, y)
        if binarizer.y_type_ == "multiclass" and isinstance(self.loss, Loss):
            raise ValueError(
                f"loss={self.loss!r} is a function of one output, for two classes or several labels, got a y "
                f"of {len(binarizer.classes_)} classes, whose probabilities depend on all outputs. Use "
                "'log_loss' or 'focal', or sklearn.multiclass.OneVsRestClassifier."
            )
        if binarizer.y_type_ == "multiclass":
            y = codes.astype(np.intp, copy=False)
            loss_parameters = self.focal_gamma if self.loss == "focal" else self.label_smoothing
            return Targets(
                y, self.loss, (float(loss_parameters),), len(binarizer.classes_), None, scores.accuracy
            )
        score = scores.subset_accuracy if len(binarizer.classes_) == 2 else scores.single_class_accuracy
        # What is kept for a split is a byte a row: of a table larger than memory, y is most of what is in
        # memory.
        return self._binary(codes[:, np.newaxis].astype(dtype), codes.astype(np.int8), score)

    def _binary(self, y, stratify, score):
        """Targets of which each is 0 or 1."""
        if isinstance(self.loss, Loss):
            return Targets(y, self.loss, (), y.shape[1], stratify, score)
        if self.loss == "focal":
            return Targets(y, "binary_focal", (float(self.focal_gamma),), y.shape[1], stratify, score)
        if self.label_smoothing:
            y *= 1 - self.label_smoothing
            y += self.label_smoothing / 2
        return Targets(y, "binary_log_loss", (), y.shape[1], stratify, score)

    def _class_weights(self, y):
        if self.class_weight is None:
            return None
        return weights_by_class(self.class_weight, None if self._several_labels else self.classes_, y)

    @available_if(partial_fit_available)
    @suggests_keywords
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
        return fitting.fit(self, X, y, sample_weight, one_epoch=True, classes=classes)

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
        held = self._snapshot()
        return labels_of(held._outputs(X), held._label_binarizer)

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
        outputs = self._snapshot()._outputs(X)
        if outputs.shape[1] > 1:
            return outputs
        both = np.empty((2, len(outputs)), dtype=outputs.dtype)
        both[1] = outputs[:, 0]
        np.subtract(1, both[1], out=both[0])
        return both.T

    def score(self, X, y, sample_weight=None):
        """Share of rows whose predicted label is the true one; of several labels, rows all of whose labels
        are.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their true labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Their weights.

        Returns
        -------
        score : float
            From 0 to 1.
        """
        labels = self.predict(X)
        if sample_weight is None and _are_integers(y) and _are_integers(labels) and y.shape == labels.shape:
            return float((y == labels).mean())  # without accuracy_score's millisecond of validation
        return accuracy_score(y, labels, sample_weight=sample_weight)

    def predict_log_proba(self, X):
        """Predict the logarithms of probabilities, computed from logits: finite where a probability
        underflows to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        log_y_prob : ndarray of shape (n_samples, n_classes)
            log(predict_proba(X)).
        """
        held = self._snapshot()
        z = held._outputs(X, logits=True)
        if held.out_activation_ == "softmax":
            return _log_softmax(z)
        return log_expit(z) if z.shape[1] > 1 else log_expit(z * np.array([-1, 1], dtype=z.dtype))

    def compiled(self):
        """Make an immutable predictor of classes, for serving.

        {compiled}

        Returns
        -------
        predictor : CompiledClassifier
            See `nnfast.compiled.CompiledClassifier`.

        Raises
        ------
        {compiled_errors}

        Examples
        --------
        >>> from nnfast import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier(max_iter=50, tol=1, random_state=0).fit(X, y)
        >>> bool((clf.compiled().predict(X[:3]) == clf.predict(X[:3])).all())
        True
        """
        return CompiledClassifier(state_of(self._snapshot(), binarizer="_label_binarizer"))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _are_integers(y):
    """Whether y is a NumPy array of integers of shape (n_samples,), which needs no validation as labels."""
    return type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "iu" and len(y) > 0


def _binarizer_of(y):
    """LabelBinarizer().fit(y); of integers, without its millisecond of validation."""
    binarizer = LabelBinarizer()
    if _are_integers(y):
        classes = np.unique(y)
        if 2 * len(classes) <= len(y):  # or else some versions of scikit-learn warn
            binarizer.y_type_ = "binary" if len(classes) <= 2 else "multiclass"
            binarizer.sparse_input_, binarizer.classes_ = False, classes
            return binarizer
    with about_labels(y):
        return binarizer.fit(y)


def _log_softmax(z):
    """scipy.special.log_softmax(z, axis=1), without its 30 microseconds of looking for the kind of array."""
    z = z - np.maximum.reduce(z, axis=1, keepdims=True)
    return z - np.log(np.add.reduce(np.exp(z), axis=1, keepdims=True))
