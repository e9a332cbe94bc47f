"""From a typed table to features: a scikit-learn transformer of numbers, dates and categories."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.feature_selection import f_classif
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

# A column of text with more categories than this keeps the most frequent ones; the others count as one.
MOST_CATEGORIES = 50


def _whole(dates, unit):
    return dates.astype(f"M8[{unit}]").astype(np.int64)


# Name and function of each part of datetime64[us], beside the days since the first date.
_PARTS = {
    "year": lambda dates: _whole(dates, "Y") + 1970,
    "month": lambda dates: _whole(dates, "M") % 12 + 1,
    "weekday": lambda dates: (_whole(dates, "D") + 3) % 7,  # Monday is 0; 1970-01-01 was a Thursday
    "hour": lambda dates: (dates - dates.astype("M8[D]")) / np.timedelta64(1, "h"),
}


class DateParts(TransformerMixin, BaseEstimator):
    """Dates as numbers: days since the first one, and the year, the month, the weekday and the hour where they help.

    Days count from the earliest date of each column in `fit`. The weekday is 0 on Mondays. A missing date is NaN in all
    of its parts. A part is left out where it does not vary and, if `fit` knows the targets, where it tells nothing of them
    that a straight line over the days does not tell: by an analysis of variance, p >= 0.01.

    Attributes
    ----------
    origins_ : ndarray of datetime64[us], shape (n_columns,)
        The earliest date of each column.

    parts_ : list of list of str
        The parts of each column, beside its days.

    Examples
    --------
    >>> import numpy as np
    >>> dates = np.array([["2024-01-31"], ["2024-03-04"], ["NaT"]], dtype="datetime64[D]")
    >>> encoder = DateParts().fit(dates)
    >>> encoder.get_feature_names_out(["when"]).tolist()
    ['when_days', 'when_month', 'when_weekday']
    >>> encoder.transform(dates)
    array([[ 0.,  1.,  2.],
           [33.,  3.,  0.],
           [nan, nan, nan]])
    """

    def fit(self, X, y=None):
        """Find the earliest date and the parts that vary.

        Parameters
        ----------
        X : DataFrame of datetime64 columns, or ndarray of datetime64, shape (n_samples, n_columns)

        y : array-like of shape (n_samples,), default=None
            Targets: numbers, or classes, which are text, booleans or at most 20 different whole numbers. None keeps all
            parts that vary.
        """
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        columns = _columns(X)
        self.n_features_in_ = len(columns)
        origins = [np.fmin.reduce(column) if len(column) else np.datetime64("NaT") for column in columns]
        self.origins_ = np.array(origins, dtype="M8[us]")
        targets = None if y is None else _targets(np.asarray(y))
        self.parts_ = [_parts(column, origin, targets) for column, origin in zip(columns, self.origins_)]
        return self

    def transform(self, X):
        """The parts of each column, as float64."""
        check_is_fitted(self)
        columns = _columns(X)
        if len(columns) != self.n_features_in_:
            raise ValueError(f"X has {len(columns)} columns, but DateParts was fitted on {self.n_features_in_}.")
        features = []
        for column, origin, parts in zip(columns, self.origins_, self.parts_):
            missing = np.isnat(column)
            numbers = [(column - origin) / np.timedelta64(1, "D"), *(_PARTS[name](column) for name in parts)]
            features += [np.where(missing, np.nan, each) for each in numbers]
        return np.column_stack(features)

    def get_feature_names_out(self, input_features=None):
        """The column's name with "_days", "_year" and so on."""
        check_is_fitted(self)
        if input_features is None:
            input_features = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        pairs = zip(input_features, self.parts_, strict=True)
        return np.array([f"{name}_{part}" for name, parts in pairs for part in ("days", *parts)], dtype=object)


def _parts(column, origin, targets):
    """Names of the parts of a column that vary and, where there are targets, tell of them."""
    there = ~np.isnat(column)
    column = column[there]
    days = (column - origin) / np.timedelta64(1, "D")
    found = []
    for name, part in _PARTS.items():
        groups = np.floor(part(column))
        if len(np.unique(groups)) > 1 and (targets is None or _tells(groups, days, targets[there])):
            found.append(name)
    return found


def _targets(y):
    """Numbers to explain, of shape (n_samples, n_targets): y, or 0 and 1 for each of its classes."""
    if y.ndim == 1 and (y.dtype.kind not in "biuf" or len(classes := np.unique(y)) <= 20 and (classes == np.floor(classes)).all()):
        return (y[:, np.newaxis] == np.unique(y)).astype(np.float64)
    return y.reshape(len(y), -1).astype(np.float64)


def _tells(groups, days, targets):
    """Whether the means of some target differ between the groups, by more than chance, once a line over the days is taken away."""
    line = np.column_stack([np.ones(len(days)), days])
    residuals = targets - line @ np.linalg.lstsq(line, targets, rcond=None)[0]
    if len(np.unique(groups)) >= len(groups):
        return False
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of targets that a line explains wholly
        _, p = f_classif(residuals, groups)
    return bool((p * targets.shape[1] < 0.01).any())


def _columns(X):
    if hasattr(X, "columns"):
        return [X[name].to_numpy(dtype="M8[us]") for name in X.columns]
    return list(np.asarray(X).astype("M8[us]").T)


def make_encoder(X):
    """An unfitted transformer that makes features of the columns of a frame from `read_table`.

    Numbers and booleans are imputed with the median and scaled, dates become `DateParts` and are treated alike, and
    everything else is one-hot encoded, the 50 most frequent categories of a column by themselves and the others as one.

    Parameters
    ----------
    X : DataFrame

    Returns
    -------
    encoder : ColumnTransformer
        Columns that a later frame has in addition are ignored.

    Examples
    --------
    >>> import pandas
    >>> X = pandas.DataFrame({"size": [1.0, 3.0], "colour": ["red", "green"]})
    >>> make_encoder(X).fit_transform(X)
    array([[-1.,  0.,  1.],
           [ 1.,  1.,  0.]])
    """
    kinds = {name: dtype.kind for name, dtype in X.dtypes.items()}
    numbers = [name for name, kind in kinds.items() if kind in "biuf"]
    dates = [name for name, kind in kinds.items() if kind == "M"]
    categories = [name for name in X.columns if name not in {*numbers, *dates}]
    steps = (
        (make_pipeline(*_impute_and_scale()), numbers),
        (make_pipeline(DateParts(), *_impute_and_scale()), dates),
        (OneHotEncoder(max_categories=MOST_CATEGORIES, handle_unknown="ignore"), categories),
    )
    return make_column_transformer(*((step, names) for step, names in steps if names), sparse_threshold=0)


def _impute_and_scale():
    return SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
