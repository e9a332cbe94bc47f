"""Whole models at their defaults on a table: scikit-learn's MLP and boosted trees, and nnfast's estimators
for tables.
"""

import time
import warnings
from dataclasses import dataclass, field

import numpy as np
import sklearn.ensemble
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error

from nnfast import tabular
from nnfast.exceptions import UnexpectedValuesWarning
from nnfast.tables import DateParts, SplitTable

# Categories of a column that scikit-learn's trees can tell apart.
MOST_CATEGORIES = 254
_KINDS = {"classification": "Classifier", "regression": "Regressor"}


@dataclass(frozen=True)
class WholeModel:
    """A model that was fitted once, and its scores on the rows held out.

    Attributes
    ----------
    package : {"scikit-learn", "nnfast"}
    name : str
        Of its class.
    parameters : dict
        Those that are not at their defaults, but for `random_state`.
    seconds : float
        Of the fit.
    scores : dict of str to float
        "accuracy" and "log_loss", or "r2" and "rmse", which is in the target's own units.
    error : str
        Why there are no scores, where the fit has failed.
    """

    package: str
    name: str
    parameters: dict = field(default_factory=dict)
    seconds: float = float("nan")
    scores: dict = field(default_factory=dict)
    error: str = ""

    @property
    def call(self):
        """Its class, with the parameters that are not at their defaults."""
        parameters = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{self.name}({parameters})" if parameters else self.name

    def record(self):
        """What `--json` says of it."""
        facts = {"package": self.package, "model": self.name, "parameters": self.parameters}
        return facts | (
            {"error": self.error} if self.error else {"seconds": self.seconds, "scores": self.scores}
        )


def fit_whole_models(table: SplitTable, max_iter):
    """Fit each model once, and score it: a `WholeModel` at a time.

    scikit-learn's MLP is given the encoded table, and `max_iter` epochs at most; its trees the table with
    categories as they are; nnfast's estimator the table as it was read.
    """
    kind, raw = _KINDS[table.task], table.raw
    parameters = {} if max_iter == 200 else {"max_iter": max_iter}
    network = getattr(sklearn.neural_network, f"MLP{kind}")(random_state=0, **parameters)
    trees = getattr(sklearn.ensemble, f"HistGradientBoosting{kind}")(random_state=0)
    ensemble = getattr(tabular, f"Tabular{kind}")(random_state=0)
    yield _fitted("scikit-learn", network, table, table.X_train, table.X_test, parameters)
    yield _fitted("scikit-learn", trees, table, *for_trees(raw.X_train, raw.X_test))
    yield _fitted("nnfast", ensemble, table, raw.X_train, raw.X_test)


def _fitted(package, estimator, table, X_train, X_test, parameters=()):
    name, parameters = type(estimator).__name__, dict(parameters)
    try:
        seconds = timed_fit(estimator, X_train, table.y_train)
    except ValueError as error:  # of a class of one row, say
        return WholeModel(package, name, parameters, error=" ".join(str(error).split()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnexpectedValuesWarning)  # a rare level may be on one side alone
        return WholeModel(package, name, parameters, seconds, _scores(estimator, table, X_test))


def timed_fit(estimator, X, y):
    """Seconds of a fit."""
    with warnings.catch_warnings():
        # All stop at the same max_iter, whether or not they have converged by then: that is the comparison.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # scikit-learn takes Ctrl-C for the wish to end this fit, and says so in a warning. Here it means the
        # command.
        warnings.filterwarnings("error", "Training interrupted by user", UserWarning)
        start = time.perf_counter()
        try:
            estimator.fit(X, y)
        except UserWarning as interrupted:
            raise KeyboardInterrupt from interrupted
        return time.perf_counter() - start


def _scores(estimator, table, X):
    y = table.y_test
    if table.task == "regression":
        predicted = estimator.predict(X)
        rmse = root_mean_squared_error(y, predicted) * table.raw.target_train.std()
        return {"r2": float(r2_score(y, predicted)), "rmse": float(rmse)}
    probabilities = estimator.predict_proba(X).astype(np.float64)
    classes = np.union1d(estimator.classes_, y)  # a rare class may be on one side alone
    shares = np.zeros((len(y), len(classes)))
    shares[:, np.searchsorted(classes, estimator.classes_)] = probabilities / probabilities.sum(
        axis=1, keepdims=True
    )
    accuracy = accuracy_score(y, estimator.classes_[probabilities.argmax(axis=1)])
    return {"accuracy": float(accuracy), "log_loss": float(log_loss(y, shares, labels=classes))}


def for_trees(X_train, X_test):
    """Both parts of a table as `HistGradientBoostingClassifier` takes them: with dates as numbers, text as
    categories.

    Of a column of more than 254 categories the most frequent ones stay, and others are missing values.
    """
    if isinstance(X_train, np.ndarray):
        return X_train, X_test
    import pandas

    changed = {}, {}
    for name, column in X_train.items():
        parts = column, X_test[name]
        if column.dtype.kind == "M":
            encoder = DateParts().fit(column.to_frame())
            for columns, part in zip(changed, parts, strict=True):
                columns |= dict(
                    zip(encoder.get_feature_names_out(), encoder.transform(part.to_frame()).T, strict=True)
                )
        elif column.dtype.kind in "biuf":
            for columns, part in zip(changed, parts, strict=True):
                columns[name] = part.to_numpy(np.float64)
        else:
            levels = column.value_counts().index[:MOST_CATEGORIES]
            for columns, part in zip(changed, parts, strict=True):
                columns[name] = pandas.Categorical(part.where(part.isin(levels)), categories=levels)
    return tuple(pandas.DataFrame(columns) for columns in changed)
