"""Pairs of columns encoded by what the targets do in them beyond the columns by themselves."""

from itertools import combinations
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval

from nnfast.tabular.encoder import SupervisedEncoder
from nnfast.tabular.out_of_fold import FoldSums, fold_numbers

# Cycles of the additive model.
_CYCLES = 3


class PairEncoder(SupervisedEncoder):
    """Encode the pairs of columns that tell of the targets what the columns by themselves do not.

    Each column of numbers is cut at quantiles into `n_bins` bins, and of a column of categories the most
    frequent levels are bins. A model that adds up an effect of each column's bins leaves residuals r of the
    targets. A cell of a pair of columns then has the value ::

        c = sum of r over the rows in the cell / (number of these rows + smoothing)

    and the gain of a pair is the mean of 2 c r - c^2 over a fold of rows that its cells did not see. The
    pairs of the largest gains are encoded, where the gain is more than `min_t` of its standard errors.
    `fit_transform` encodes out of fold.

    Parameters
    ----------
    max_pairs : int, default=8
        The maximum number of pairs.

    n_bins : int, default=32
        The maximum number of bins of a column.

    min_t : float, default=3.0
        The least gain, in standard errors.

    smoothing : float, default=10.0
        Rows of the mean that are added to each cell's own.

    max_columns : int, default=24
        The maximum number of columns that are paired: those of the strongest effects by themselves.

    max_rows : int, default=50_000
        The maximum number of rows, drawn at random, by which pairs are chosen. All rows fill the cells.

    n_folds : int, default=5
        Folds of `fit_transform`.

    random_state : int, default=0
        Seed of the folds.

    Attributes
    ----------
    pairs_ : list of tuple of int
        The pairs: numbers of columns, those of numbers first and then those of categories.

    gains_ : list of float
        Of each pair, as a share of the variance of the targets.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import PairEncoder
    >>> X = np.random.default_rng(0).integers(0, 4, (1000, 3)).astype(float)
    >>> y = (X[:, 0] == X[:, 2]) * 1.5
    >>> PairEncoder().fit(X, y).pairs_
    [(0, 2)]
    """

    def __init__(
        self,
        max_pairs=8,
        n_bins=32,
        min_t=3.0,
        smoothing=10.0,
        max_columns=24,
        max_rows=50_000,
        n_folds=5,
        random_state=0,
    ):
        self.max_pairs, self.n_bins, self.min_t, self.smoothing = max_pairs, n_bins, min_t, smoothing
        self.max_columns, self.max_rows, self.n_folds, self.random_state = (
            max_columns,
            max_rows,
            n_folds,
            random_state,
        )

    label = "targets by pair"
    _parameter_constraints: dict = {
        "max_pairs": [Interval(Integral, 0, None, closed="left")],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "min_t": [Interval(Real, 0, None, closed="left")],
        "smoothing": [Interval(Real, 0, None, closed="left")],
        "max_columns": [Interval(Integral, 2, None, closed="left")],
        "max_rows": [Interval(Integral, 2, None, closed="left")],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def fit_table(self, table, targets=None, weights=None):
        self._learn(table, targets, weights)
        return self

    def fit_encode_table(self, table, targets, weights=None, groups=None):
        cells, codes, bins = self._learn(table, targets, weights, groups)
        out = np.empty((len(table), len(self.sources)), dtype=np.float32)
        if not cells:
            return out
        folds = fold_numbers(len(table), self.n_folds, self.random_state, groups)
        k = targets.shape[1]
        for fold in range(self.n_folds):
            # Residuals, too, are of the other folds: the effects of columns would tell of a row's own target.
            own = folds == fold
            others = ~own * (1.0 if weights is None else weights)
            residuals = _additive_residuals(codes, bins, targets, others, self.smoothing)
            for i, cell in enumerate(cells):
                values = FoldSums(cell, len(self._values[i]), residuals, others).means(self.smoothing)
                out[own, i * k : (i + 1) * k] = values[cell[own]] / self._deviations[i]
        return out

    def _learn(self, table, targets, weights, groups=None):
        """Choose pairs, and learn their values; returns the rows' cells in each, and codes and bins of
        columns.
        """
        self.pairs_, self.gains_, self._values, self._deviations, self._bins = [], [], [], [], {}
        self._n_targets = 0 if targets is None else targets.shape[1]
        if self._n_targets == 0 or self.max_pairs == 0:
            return [], {}, {}
        bins = {}
        for j, column in enumerate(table.numbers.T):
            bins[j] = _NumberBins(column, self.n_bins)
        for j, column in enumerate(table.codes.T):
            bins[table.numbers.shape[1] + j] = _LevelBins(column, self.n_bins)
        codes = {
            j: each.codes(_column(table.numbers, table.codes, j)).astype(np.int32)
            for j, each in bins.items()
            if each.n > 2
        }
        codes = self._strongest(codes, bins, targets, weights)
        if len(codes) < 2:
            return [], {}, {}
        residuals = _additive_residuals(codes, bins, targets, weights, self.smoothing)
        chosen = self._choose(codes, bins, residuals, weights, groups)
        cells = []
        for gain, i, j in chosen:
            cell = codes[i] * bins[j].n + codes[j]
            values = FoldSums(cell, bins[i].n * bins[j].n, residuals, weights).means(self.smoothing)
            deviation = np.maximum(values[cell].std(axis=0), 1e-6)
            self.pairs_.append((i, j))
            self.gains_.append(float(gain))
            self._values.append((values / deviation).astype(np.float32))
            self._deviations.append(deviation)
            self._bins |= {i: bins[i], j: bins[j]}
            cells.append(cell)
        return cells, codes, bins

    def _strongest(self, codes, bins, targets, weights):
        """The codes of the columns that are paired."""
        if len(codes) <= self.max_columns:
            return codes
        effects = {}
        for j, each in codes.items():
            counts = np.bincount(each, minlength=bins[j].n)[:, np.newaxis]
            effects[j] = float((FoldSums(each, bins[j].n, targets, weights).means(20.0) ** 2 * counts).sum())
        kept = sorted(effects, key=effects.get, reverse=True)[: self.max_columns]
        return {j: codes[j] for j in sorted(kept)}

    def _choose(self, codes, bins, residuals, weights, groups):
        """(gain, column, column) of the pairs to encode."""
        n_rows = len(residuals)
        rows = np.random.default_rng(self.random_state + 1).permutation(n_rows)[: self.max_rows]
        folds = fold_numbers(n_rows, self.n_folds, self.random_state + 1, groups)[rows]
        seen, fresh = rows[folds > 0], rows[folds == 0]
        if len(fresh) < 2 or not len(seen):
            return []
        r_seen, r_fresh = residuals[seen], residuals[fresh]
        w_seen = None if weights is None else weights[seen]
        at_seen, at_fresh = ({j: each[part] for j, each in codes.items()} for part in (seen, fresh))
        found = []
        for i, j in combinations(codes, 2):
            sums = FoldSums(at_seen[i] * bins[j].n + at_seen[j], bins[i].n * bins[j].n, r_seen, w_seen)
            c = sums.means(self.smoothing)[at_fresh[i] * bins[j].n + at_fresh[j]]
            gains = ((2 * r_fresh - c) * c).sum(axis=1)
            gain, deviation = gains.mean(), gains.std()
            if gain > 0 and gain * len(fresh) ** 0.5 > self.min_t * deviation:
                found.append((gain, i, j))
        return sorted(found, key=lambda each: -each[0])[: self.max_pairs]

    @property
    def sources(self):
        """The first column of each pair."""
        return np.repeat(np.array([i for i, _ in self.pairs_], dtype=np.intp), self._n_targets)

    def names(self, reader):
        names = [*reader.number_names, *reader.category_names]
        return [
            f"{names[i]}_and_{names[j]}_target{k}" for i, j in self.pairs_ for k in range(self._n_targets)
        ]

    def encode_block(self, numbers, codes, out):
        binned = {j: each.codes(_column(numbers, codes, j)) for j, each in self._bins.items()}
        k = self._n_targets
        for p, ((i, j), values) in enumerate(zip(self.pairs_, self._values, strict=True)):
            out[:, p * k : (p + 1) * k] = values[binned[i] * self._bins[j].n + binned[j]]


def _column(numbers, codes, j):
    return numbers[:, j] if j < numbers.shape[1] else codes[:, j - numbers.shape[1]]


class _NumberBins:
    """Bins of numbers at quantiles, or between the values where they are few; the last bin is of missing
    ones.
    """

    def __init__(self, column, n_bins):
        there = column[~np.isnan(column)]
        many = len(np.unique(there[:10_000])) > n_bins  # which spares sorting all
        distinct = None if many else np.unique(there)
        if many or len(distinct) > n_bins:
            self._edges = np.unique(np.quantile(there, np.linspace(0, 1, n_bins + 1)[1:-1]))
        else:
            self._edges = distinct[:-1] / 2 + distinct[1:] / 2
        self.n = len(self._edges) + 2

    def codes(self, column):
        codes = np.searchsorted(self._edges, column, side="right")
        return np.where(np.isnan(column), len(self._edges) + 1, codes)


class _LevelBins:
    """Bins of the most frequent levels; the last but one is of other levels, the last of missing ones."""

    def __init__(self, codes, n_bins):
        counts = np.bincount(codes[codes >= 0]) if (codes >= 0).any() else np.zeros(0, dtype=int)
        frequent = np.argsort(-counts, kind="stable")[:n_bins]
        frequent = frequent[counts[frequent] > 0]
        # codes are from -2; the last is of codes beyond
        self._bin_of = np.full(len(counts) + 3, len(frequent))
        self._bin_of[0] = self._bin_of[1] = len(frequent) + 1
        self._bin_of[frequent + 2] = np.arange(len(frequent))
        self.n = len(frequent) + 2

    def codes(self, column):
        return self._bin_of[np.minimum(column + 2, len(self._bin_of) - 1)]


def _additive_residuals(codes, bins, targets, weights, smoothing):
    """What a sum of effects of single columns leaves of the targets, by backfitting."""
    residuals = targets - np.average(targets, axis=0, weights=weights)
    effects = {j: np.zeros((bins[j].n, targets.shape[1])) for j in codes}
    for _ in range(_CYCLES):
        for j, each in codes.items():
            residuals = residuals + effects[j][each]
            effects[j] = FoldSums(each, bins[j].n, residuals, weights).means(smoothing)
            residuals -= effects[j][each]
    return residuals
