"""Dates as numbers: days since the first one, and those of year, month, weekday and hour that vary
and help.
"""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import f_classif
from sklearn.utils.validation import check_is_fitted

from nnfast.tabular.targets import standardized_targets


def _whole(when, unit):
    return when.astype(f"M8[{unit}]").astype(np.int64)


# Name and function of each part of datetime64[us], beside the days since the first date.
PARTS = {
    "year": lambda when: _whole(when, "Y") + 1970,
    "month": lambda when: _whole(when, "M") % 12 + 1,
    "weekday": lambda when: (_whole(when, "D") + 3) % 7,  # Monday is 0; 1970-01-01 was a Thursday
    "hour": lambda when: (when - when.astype("M8[D]")) / np.timedelta64(1, "h"),
}


def parts_of(when, origin, parts):
    """Days since an origin, and some parts, of datetime64[us]: float64 arrays, NaN where a date is
    missing.
    """
    missing = np.isnat(when)
    numbers = [(when - origin) / np.timedelta64(1, "D"), *(PARTS[name](when) for name in parts)]
    return [np.where(missing, np.nan, each) for each in numbers]


def useful_parts(when, targets=None):
    """Names of the parts that vary and, where there are targets, tell of them more than a line over the days
    does.

    Parameters
    ----------
    when : ndarray of datetime64[us], shape (n_samples,)
        None of them missing.

    targets : ndarray of shape (n_samples, n_targets), default=None
    """
    if len(when) == 0:
        return []
    days = (when - when.min()) / np.timedelta64(1, "D")
    found = []
    for name, part in PARTS.items():
        groups = np.floor(part(when))
        if len(np.unique(groups)) > 1 and (targets is None or _tells(groups, days, targets)):
            found.append(name)
    return found


def _tells(groups, days, targets):
    """Whether the means of a target differ between groups by more than chance, beside a line over
    the days.
    """
    line = np.column_stack([np.ones(len(days)), days])
    residuals = targets - line @ np.linalg.lstsq(line, targets, rcond=None)[0]
    if len(np.unique(groups)) >= len(groups):
        return False
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of targets that a line explains wholly
        _, p = f_classif(residuals, groups)
    return bool((p * targets.shape[1] < 0.01).any())


class DateParts(TransformerMixin, BaseEstimator):
    """Dates as numbers: days since the first one, and the year, the month, the weekday and the hour where
    they help.

    Days count from the earliest date of each column in `fit`. The weekday is 0 on Mondays. A missing date is
    NaN in all of its parts. A part is left out where it does not vary and, if `fit` knows the targets, where
    it tells nothing of them that a straight line over the days does not tell: by an analysis of variance, p
    >= 0.01.

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
            Targets: numbers, or classes, which are text, booleans or at most 20 different whole numbers. None
            keeps all parts that vary.
        """
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        columns = _columns(X)
        self.n_features_in_ = len(columns)
        origins = [np.fmin.reduce(column) if len(column) else np.datetime64("NaT") for column in columns]
        self.origins_ = np.array(origins, dtype="M8[us]")
        targets = None if y is None else standardized_targets(y)
        self.parts_ = [_parts(column, targets) for column in columns]
        return self

    def transform(self, X):
        """The parts of each column, as float64."""
        check_is_fitted(self)
        columns = _columns(X)
        if len(columns) != self.n_features_in_:
            raise ValueError(
                f"X has {len(columns)} columns, but DateParts was fitted on {self.n_features_in_}."
            )
        features = []
        for column, origin, parts in zip(columns, self.origins_, self.parts_, strict=True):
            features += parts_of(column, origin, parts)
        return np.column_stack(features)

    def get_feature_names_out(self, input_features=None):
        """The column's name with "_days", "_year" and so on."""
        check_is_fitted(self)
        if input_features is None:
            input_features = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        pairs = zip(input_features, self.parts_, strict=True)
        return np.array(
            [f"{name}_{part}" for name, parts in pairs for part in ("days", *parts)], dtype=object
        )


def _parts(column, targets):
    there = ~np.isnat(column)
    return useful_parts(column[there], None if targets is None else targets[there])


def _columns(X):
    if hasattr(X, "columns"):
        return [X[name].to_numpy(dtype="M8[us]") for name in X.columns]
    return list(np.asarray(X).astype("M8[us]").T)
