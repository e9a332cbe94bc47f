"""Values encoded by the targets of the rows that have them, out of fold."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval

from nnfast.tabular.encoder import SupervisedEncoder
from nnfast.tabular.out_of_fold import FoldSums, fold_numbers


class TargetValueEncoder(SupervisedEncoder):
    """Encode exact values by the targets of the rows that have them.

    A value v becomes, for each target t of mean 0 and variance 1 ::

        sum of t over the rows with v / (number of these rows + smoothing)

    a number for quantities and two classes, one a class for more. `fit_transform` encodes out of fold: for a
    row, the sums leave out the rows of its own fold. Values that `fit` has not seen, or in one row alone,
    become 0, the mean. A missing value is one of the values.

    Columns of categories with more than two levels, one of which recurs, are encoded, and columns of numbers
    that carry sharp exact values: more distinct ones than `min_distinct`, and at least half of the rows with
    values that recur `min_rows` times.

    Parameters
    ----------
    smoothing : float, default=20.0
        Rows of the mean that are added to each value's own.

    min_distinct : int, default=8
        Columns of numbers with so many different values or fewer are left out.

    min_rows : int, default=10
        Rows from which on a number's value recurs; 1 is as 2.

    max_targets : int, default=10
        With more targets, say more classes, nothing is encoded.

    n_folds : int, default=5
        Folds of `fit_transform`.

    random_state : int, default=0
        Seed of the folds.

    Attributes
    ----------
    columns_ : list of int
        The columns that are encoded: their numbers among those of numbers, then those of categories.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import TargetValueEncoder
    >>> X = np.repeat(["a", "b", "c"], 100)[:, np.newaxis]
    >>> y = np.repeat([1.5, 2.5, 6.5], 100)
    >>> encoder = TargetValueEncoder(smoothing=0).fit(X, y)
    >>> encoder.transform([["a"], ["b"], ["c"]]).round(2).ravel()
    array([-0.93, -0.46,  1.39], dtype=float32)
    """

    label = "targets by value"
    _parameter_constraints: dict = {
        "smoothing": [Interval(Real, 0, None, closed="left")],
        "min_distinct": [Interval(Integral, 0, None, closed="left")],
        "min_rows": [Interval(Integral, 1, None, closed="left")],
        "max_targets": [Interval(Integral, 1, None, closed="left")],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self, smoothing=20.0, min_distinct=8, min_rows=10, max_targets=10, n_folds=5, random_state=0
    ):
        self.smoothing, self.min_distinct, self.min_rows = smoothing, min_distinct, min_rows
        self.max_targets, self.n_folds, self.random_state = max_targets, n_folds, random_state

    def fit_table(self, table, targets=None, weights=None):
        self._learn(table, targets, weights)
        return self

    def fit_encode_table(self, table, targets, weights=None, groups=None):
        codes = self._learn(table, targets, weights)
        folds = fold_numbers(len(table), self.n_folds, self.random_state, groups)
        out = np.empty((len(table), len(self.sources)), dtype=np.float32)
        k = targets.shape[1]
        for i, each in enumerate(codes):
            sums = FoldSums(each, int(each.max()) + 1, targets, weights, folds)
            out[:, i * k : (i + 1) * k] = sums.means_without_own_fold(self.smoothing)
        return out

    def _learn(self, table, targets, weights):
        """Choose columns and learn their means; returns the codes of the rows in each."""
        n_numbers = table.numbers.shape[1]
        self.columns_, self._values, self._means = [], [], []
        found = []
        self._n_targets = 0 if targets is None else targets.shape[1]
        if not 0 < self._n_targets <= self.max_targets:
            return found
        for j, column in enumerate(table.numbers.T):
            values, counts = np.unique(column, return_counts=True)
            if (
                len(values) > self.min_distinct
                and counts[counts >= max(2, self.min_rows)].sum() >= len(column) / 2
            ):
                codes = np.searchsorted(values, column)  # NaN is the last value
                self._add(j, values, codes, targets, weights)
                found.append(codes)
        for j, column in enumerate(table.codes.T):
            codes = column + 2
            counts = np.bincount(codes)
            if np.count_nonzero(counts) > 2 and counts.max() > 1:
                self._add(n_numbers + j, None, codes, targets, weights)
                found.append(codes)
        return found

    def _add(self, column, values, codes, targets, weights):
        n_codes = int(codes.max()) + 1 if values is None else len(values)
        means = FoldSums(codes, n_codes, targets, weights).means(self.smoothing)
        # out of fold, the others are never encoded by a target
        recur = np.bincount(codes, minlength=n_codes) > 1
        if values is None:
            means[~recur] = 0
        else:
            values, means = values[recur], means[recur]
        self.columns_.append(column)
        self._values.append(values)
        self._means.append(
            np.vstack([means, np.zeros(means.shape[1])]).astype(np.float32)
        )  # the last is of unseen values

    @property
    def sources(self):
        return np.repeat(np.array(self.columns_, dtype=np.intp), self._n_targets)

    def names(self, reader):
        names = [*reader.number_names, *reader.category_names]
        return [f"{names[j]}_target{k}" for j in self.columns_ for k in range(self._n_targets)]

    def encode_block(self, numbers, codes, out):
        k = self._n_targets
        for i, (j, values, means) in enumerate(zip(self.columns_, self._values, self._means, strict=True)):
            if values is None:
                which = codes[:, j - numbers.shape[1]] + 2
                which = np.where(which < len(means), which, len(means) - 1)
            else:
                column = numbers[:, j]
                which = np.minimum(np.searchsorted(values, column), len(values) - 1)
                found = (values[which] == column) | (np.isnan(values[which]) & np.isnan(column))
                which = np.where(found, which, len(means) - 1)
            out[:, i * k : (i + 1) * k] = means[which]
