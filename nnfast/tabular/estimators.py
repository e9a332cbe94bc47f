"""`TabularClassifier` and `TabularRegressor`: the scikit-learn contract of the ensembles."""

import time
from abc import ABC, abstractmethod
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_y, check_is_fitted, column_or_1d

from nnfast.class_weight import weigh, weights_by_class
from nnfast.frames import refuse_complex
from nnfast.jobs import Limits, n_jobs_of
from nnfast.losses import LOSSES, REGRESSOR_LOSSES
from nnfast.parameters import check_quantile
from nnfast.state import VersionedPickle
from nnfast.suggestions import did_you_mean
from nnfast.tabular import recipe as recipes
from nnfast.tabular import trees
from nnfast.tabular.answers import labels_of, numbers_of
from nnfast.tabular.budget import AsPlanned, AsRecorded, Budget, BySeconds
from nnfast.tabular.columns import ColumnReader, TypedTable
from nnfast.tabular.compiled import CompiledTabularClassifier, CompiledTabularRegressor, state_of
from nnfast.tabular.documentation import documented
from nnfast.tabular.fitting import EnsembleFit
from nnfast.tabular.folds import Fold, group_folds, random_folds, time_folds
from nnfast.tabular.importances import ValidatedRows
from nnfast.tabular.inspection import Inspection
from nnfast.tabular.progress import reporter
from nnfast.tabular.tasks import ClassTask, NumberTask
from nnfast.tabular.values import as_levels, columns_of, values_of
from nnfast.targets import about_labels, as_labels, as_numbers
from nnfast.validation import blaming, check_held_out, check_sample_weight

QUALITIES = ("fast", "default", "best")


class BaseTabular(Inspection, VersionedPickle, BaseEstimator, ABC):
    """What both estimators have in common. Not for use by itself."""

    _parameter_constraints: dict = {
        "quality": [StrOptions(set(QUALITIES))],
        "time_budget": [Interval(Real, 0, None, closed="neither"), Budget, None],
        "blend": [StrOptions({"trees"}), None],
        "categorical_features": ["array-like", StrOptions({"auto"}), None],
        "time_column": [str, Integral, None],
        "oof_predictions": ["boolean"],
        "n_jobs": [Interval(Integral, None, -1, closed="right"), Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose", StrOptions({"progress"})],
    }

    def __init__(
        self,
        *,
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
        self.quality = quality
        self.time_budget = time_budget
        self.blend = blend
        self.categorical_features = categorical_features
        self.time_column = time_column
        self.oof_predictions = oof_predictions
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _learn_targets(self, y):
        """A function that makes a `Task` of y and y_val or None; sets on the estimator what it says of them."""

    @abstractmethod
    def _check_targets(self, y, name):
        """Targets as the task takes them, or an error that names the argument."""

    def _class_weighted(self, task, sample_weight, n_trained):
        """The sample weights times those of classes, of which the first rows are counted."""
        return sample_weight

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, groups=None):
        """Fit the ensemble to a table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table: a DataFrame of pandas, polars, pyarrow or any library that narwhals reads, or an array. Columns
            hold numbers, booleans, categories, text, dates or durations, and may lack values.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        X_val, y_val, sample_weight_val : default=None
            Rows that validate all members, in place of a fold each; all of X is trained on.

        groups : array-like of shape (n_samples,), default=None
            A label for each row: rows of one group are never on both sides of a fold.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If the table or the targets are not as they must be.
        KeyboardInterrupt
            As usual; the estimator is of what has been trained by then, if there is a whole epoch of a member.
        """
        start = time.monotonic()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        check_held_out(X_val, y_val, sample_weight_val, None)
        reader = ColumnReader(self.categorical_features, seed)
        table = reader.fit(X)
        n_rows = len(table)
        y = self._checked(y, n_rows, "y")
        draft = clone(self)
        task_of = draft._learn_targets(y)
        sample_weight = check_sample_weight(sample_weight, y)
        when = None if self.time_column is None else _times(X, self.time_column)
        if X_val is not None:
            validation = reader.read(X_val)
            y_val = self._checked(y_val, len(validation), "y_val")
            table = TypedTable.stacked([table, validation])
            weight_val = check_sample_weight(sample_weight_val, y_val, "sample_weight_val")
            sample_weight = _joined(sample_weight, weight_val, n_rows, len(y_val))
        task = task_of(y, y_val)
        weights = _of_mean_one(draft._class_weighted(task, sample_weight, n_rows))
        folds_of = _of_weighted_rows(self._folds(n_rows, len(table), task, groups, when, seed), weights)
        if self.blend == "trees" and (reason := trees.why_not(task)):
            raise ValueError(f"blend='trees' cannot be used here: {reason}. Use blend=None.")

        plan = recipes.plan(task.kind, self.quality, n_rows, len(reader.number_names))
        learns = any(each.used for each in reader.columns) and n_rows > 1 and draft._can_learn
        limits = Limits()
        pace = self._pace(limits, start)
        seconds = self.time_budget if isinstance(self.time_budget, Real) else None
        say = reporter(self.verbose, sum(each.max_epochs * n_folds for each, n_folds in plan), seconds)
        fit = EnsembleFit(table, n_rows, task, weights, folds_of, plan if learns else [], pace, seed, n_jobs_of(self.n_jobs), limits, say)
        try:
            ensemble = fit.run(trees=self.blend == "trees" and learns)
        finally:
            say.close()
        if ensemble is not None:
            draft._validated = ValidatedRows.of(fit.folds, n_rows, len(table))
            draft._publish(self, reader, ensemble, fit, n_rows, start)
        if limits.interrupted:
            raise KeyboardInterrupt
        return self

    def _checked(self, y, n_rows, name):
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        try:
            y = self._check_targets(y, name)
        except (TypeError, ValueError) as error:  # of checks that the networks share, whose words name these
            raise (TypeError if isinstance(error, TypeError) else ValueError)(str(error).replace("MLP", "Tabular")) from error
        if len(y) != n_rows:
            table = "X" if name == "y" else "X_val"
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {table} has {n_rows} rows, {name} has {len(y)}."
            )
        return y

    def _folds(self, n_rows, n_all, task, groups, when, seed):
        """The function of (round, n_folds) that gives folds."""
        given = [name for name, value in (("groups", groups), ("time_column", when)) if value is not None]
        if n_all > n_rows:
            given.append("X_val")
        if len(given) > 1:
            raise ValueError(f"fit takes one of groups, time_column and X_val, got {' and '.join(given)}.")
        if n_all > n_rows:
            fold = Fold(np.arange(n_rows), np.arange(n_rows, n_all))
            return lambda number, n_folds: [fold] * n_folds
        if groups is not None:
            codes = _group_codes(groups, n_rows)
            return lambda number, n_folds: group_folds(codes, n_folds, seed + number)
        if when is not None:
            return lambda number, n_folds: time_folds(when, n_folds)
        return lambda number, n_folds: random_folds(n_rows, n_folds, task.strata, seed + number)

    def _pace(self, limits, start):
        if isinstance(self.time_budget, Budget):
            if not (self.time_budget.members or self.time_budget.trees):
                raise ValueError("time_budget is a Budget without members: the fit that recorded it had nothing to learn.")
            return AsRecorded(self.time_budget)
        return AsPlanned() if self.time_budget is None else BySeconds(start + self.time_budget)

    def _publish(self, estimator, reader, ensemble, fit, n_rows, start):
        """Have `estimator` be fitted as this draft is."""
        self.n_features_in_ = len(reader.columns)
        if reader.named:
            self.feature_names_in_ = np.array([each.name for each in reader.columns], dtype=object)
        self._reader, self._ensemble = reader, ensemble
        self.columns_ = ensemble.described(reader)
        seconds = self.time_budget.seconds if isinstance(self.time_budget, Budget) else self.time_budget
        members = sorted(fit.budget.members, key=lambda each: (each.round, each.fold))
        self.budget_ = Budget(seconds, members, time.monotonic() - start, fit.budget.trees)
        if self.oof_predictions:
            self.oof_predictions_ = self._shaped(fit.blended_out_of_fold(ensemble)[:n_rows])
        # What an earlier fit has set goes; parameters stay, and what scikit-learn hangs on an estimator for a fit.
        others = {name: value for name, value in vars(estimator).items() if not _is_fitted_attribute(name)}
        estimator.__dict__ = {name: value for name, value in vars(self).items() if _is_fitted_attribute(name)} | others

    def _outputs(self, X):
        check_is_fitted(self)
        return self._ensemble.outputs(self._reader.read(X, type(self).__name__))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _is_fitted_attribute(name):
    return name.endswith("_") or name in ("_reader", "_ensemble", "_validated", "_several_labels", "_one_output")


def _joined(weights, weights_val, n_rows, n_val):
    if weights is None and weights_val is None:
        return None
    return np.concatenate([
        np.ones(n) if each is None else each for each, n in ((weights, n_rows), (weights_val, n_val))
    ])  # fmt: skip


def _of_mean_one(weights):
    """Weights whose scale is that of no weights, as encodings count rows; None if they are all the same."""
    if weights is None:
        return None
    if (weights < 0).any():
        raise ValueError(f"sample_weight must not be negative, got {weights.min()}.")
    if (weights == weights[0]).all():
        return None
    weights = weights / weights.max()  # whose sum does not overflow
    return weights / weights.mean()


def _of_weighted_rows(folds_of, weights):
    """The same folds without the rows of weight 0, if some are left on both sides."""
    if weights is None or weights.all():
        return folds_of

    def weighted(number, n_folds):
        sides = [
            [rows[weights[rows] > 0] for rows in (each.train, each.validation)] for each in folds_of(number, n_folds)
        ]
        return [Fold(train, validation) for train, validation in sides if len(train) and len(validation)]

    return weighted


def _group_codes(groups, n_rows):
    """Numbers of the groups of the rows."""
    groups = np.asarray(groups)
    if groups.shape != (n_rows,):
        raise ValueError(f"groups must have a label for each of the {n_rows} rows, got shape {groups.shape}.")
    labels = np.array(as_levels(values_of(groups)).values, dtype=object)
    missing = np.equal(labels, None)
    if missing.any():
        raise ValueError(f"groups must have a label for each row, and row {np.flatnonzero(missing)[0]} has none.")
    return np.unique(labels.astype(str), return_inverse=True)[1]


def _times(X, name):
    """The numbers that order rows by time."""
    columns, _ = columns_of(X)
    by_name = dict(enumerate(column for _, column in columns)) | dict(columns)
    if isinstance(name, Integral) and -len(columns) <= name < 0:
        name += len(columns)
    if name not in by_name:
        names = [each for each, _ in columns]
        raise ValueError(
            f"time_column must be the name or the number of a column of X, got {name!r}.{did_you_mean(name, names)}"
        )
    values = values_of(by_name[name])
    if values.kind == "category":
        raise ValueError(f"time_column must hold dates or numbers, got text in column {name!r}.")
    when = values.values
    if np.isnat(when).any() if values.kind == "date" else np.isnan(when).any():
        raise ValueError(f"time_column must have a value in each row, and column {name!r} lacks some.")
    return when


@documented
class TabularClassifier(ClassifierMixin, BaseTabular):
    """Classify the rows of a table by an ensemble of networks.

    {procedure}

    The probabilities of a row are the mean over the members m of each round, of weight w_r, and a constant c, the
    shares of the classes ::

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
        Probabilities of the training rows out of fold, NaN for rows that validated no member; with `oof_predictions`
        alone.

    See Also
    --------
    TabularRegressor : The same for numbers.
    nnfast.MLPClassifier : One network, for tables of numbers.

    Notes
    -----
    {errors}

    References
    ----------
    Gorishniy, Rubachev and Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, 2022,
    arXiv:2203.05556.

    Holzmüller, Grinsztajn and Steinwart, Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data,
    2024, arXiv:2407.04491.

    Micci-Barreca, A Preprocessing Scheme for High-Cardinality Categorical Attributes in Classification and Prediction
    Problems, ACM SIGKDD Explorations 3, 2001.

    Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble Selection from Libraries of Models, 2004.

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
        y = _of_one_type(_checked_array(y, name))
        with about_labels(y, name):
            check_classification_targets(y)
        if type_of_target(y).startswith("multiclass-multioutput"):
            raise ValueError(f"Unknown label type: {name} must be of one class a row, or a matrix of 0 and 1, a column a label.")
        return as_labels(y, name)

    def _learn_targets(self, y):
        self._several_labels = y.ndim == 2
        if self._several_labels:
            self.classes_ = np.arange(y.shape[1])
            self._can_learn = True
            return lambda y, y_val: ClassTask(_stacked(y, y_val).astype(np.intp), 2)
        self.classes_ = np.unique(y)
        self._can_learn = len(self.classes_) > 1
        return lambda y, y_val: ClassTask(
            _stacked(self._codes(y), None if y_val is None else self._codes(y_val)), len(self.classes_)
        )

    def _codes(self, y):
        """The numbers of the classes of some rows."""
        number_of = {label: code for code, label in enumerate(self.classes_.tolist())}
        if y.ndim != 1:
            raise ValueError(f"y_val must hold one class a row, as y does, got shape {y.shape}.")
        labels = y.tolist()
        unknown = [label for label in labels if label not in number_of]
        if unknown:
            raise ValueError(f"y_val has a class that y does not have: {unknown[0]!r}. y has {self.classes_}.")
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

    A prediction is the weighted mean over the members m of each round, of weight w_r, and a constant c, the best one
    for the loss; each member's is clipped to the range of the targets that it trained on ::

        y = sum_r w_r mean_m clip(y_rm, low_m, high_m) + w_c c

    Parameters
    ----------
    {regressor_parameters}

    {parameters}

    Attributes
    ----------
    {attributes}

    oof_predictions_ : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Predictions of the training rows out of fold, NaN for rows that validated no member; with `oof_predictions`
        alone.

    See Also
    --------
    TabularClassifier : The same for classes.
    nnfast.MLPRegressor : One network, for tables of numbers.

    Notes
    -----
    {errors}

    References
    ----------
    Gorishniy, Rubachev and Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, 2022,
    arXiv:2203.05556.

    Holzmüller, Grinsztajn and Steinwart, Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data,
    2024, arXiv:2407.04491.

    Micci-Barreca, A Preprocessing Scheme for High-Cardinality Categorical Attributes in Classification and Prediction
    Problems, ACM SIGKDD Explorations 3, 2001.

    Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble Selection from Libraries of Models, 2004.

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
        y = as_numbers(_checked_array(y, name), name)
        record = LOSSES[self.loss]
        outside = ~record.in_domain(y.ravel())
        if outside.any():
            raise ValueError(f"loss={self.loss!r} needs {record.domain}, got {name} with {y.ravel()[outside][0]}.")
        return y.astype(np.float64)

    def _learn_targets(self, y):
        self._can_learn = bool((y != y[:1]).any())
        self._one_output = y.ndim == 1 and not (self.loss == "quantile" and np.size(self.quantile) > 1)
        parameter = {"quantile": self.quantile, "huber": self.huber_delta}.get(self.loss)
        if self.loss == "quantile":
            check_quantile(self.quantile)
        return lambda y, y_val: NumberTask(_stacked(y, y_val), self.loss, parameter, len(y))

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


def _checked_array(y, name):
    """y as an array of one or two dimensions without missing values."""
    if y is None:
        raise ValueError(f"{name} must be given, got None.")
    refuse_complex(y, name)
    with blaming(name):
        y = _check_y(y, multi_output=True)
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


def _of_one_type(y):
    """y of objects as NumPy has them, where all are integers or all are booleans."""
    types = set(map(type, y.ravel().tolist())) if y.dtype == object else set()
    return y.astype(types.pop()) if len(types) == 1 and types <= {int, bool} else y


def _stacked(y, y_val):
    """The rows of y and those of y_val, if there are any."""
    if y_val is None:
        return y
    if y_val.shape[1:] != y.shape[1:]:
        raise ValueError(f"y_val must have as many columns as y, got shape {y_val.shape} beside {y.shape}.")
    return np.concatenate([y, y_val])
