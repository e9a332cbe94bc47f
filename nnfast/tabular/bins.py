"""Numbers as piecewise-linear bins."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval

from nnfast.tabular.encoder import Encoder


class PiecewiseLinearEncoder(Encoder):
    """Encode numbers by how far they are through each of some bins.

    With edges b_0 < b_1 < ... < b_T, a number x becomes T numbers ::

        v_t = clip((x - b_{t-1}) / (b_t - b_{t-1}), 0, 1)

    ones below the bin that holds x, a fraction in it, zeros above. A linear function of these is a
    piecewise-linear function of x. Half of the edges are quantiles of the rows, half of the distinct values:
    the first follow the mass, the second resolve what a value that fills most rows would hide. Where there
    are few distinct values, each is an edge. A missing number is encoded as the median.

    Parameters
    ----------
    n_bins : int, default=16
        The maximum number of bins of a column.

    Attributes
    ----------
    edges_ : list of ndarray
        The edges of each column; fewer than three where it has no bins, because its values are too few.

    References
    ----------
    Gorishniy, Rubachev and Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, 2022,
    arXiv:2203.05556.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import PiecewiseLinearEncoder
    >>> PiecewiseLinearEncoder(n_bins=2).fit_transform(np.array([[0.0], [1.0], [2.0], [4.0]]))
    array([[0.       , 0.       ],
           [0.6666667, 0.       ],
           [1.       , 0.2      ],
           [1.       , 1.       ]], dtype=float32)
    """

    label = "bins"
    _parameter_constraints: dict = {"n_bins": [Interval(Integral, 2, None, closed="left")]}

    def __init__(self, n_bins=16):
        self.n_bins = n_bins

    def fit_table(self, table, targets=None, weights=None):
        self.medians_ = np.zeros(table.numbers.shape[1])
        self.edges_ = []
        for j, column in enumerate(table.numbers.T):
            there = column[~np.isnan(column)]
            if len(there):
                self.medians_[j] = np.median(there)
            self.edges_.append(edges_of(there, self.n_bins))
        widths = [len(edges) - 1 if len(edges) > 2 else 0 for edges in self.edges_]
        self._ends = np.cumsum([0, *widths])
        return self

    @property
    def sources(self):
        return np.repeat(np.arange(len(self.edges_)), np.diff(self._ends))

    def names(self, reader):
        of_column = zip(reader.number_names, np.diff(self._ends), strict=True)
        return [f"{name}_bin{t}" for name, width in of_column for t in range(width)]

    def encode_block(self, numbers, codes, out):
        for j, edges in enumerate(self.edges_):
            if self._ends[j] == self._ends[j + 1]:
                continue
            column = numbers[:, j]
            column = np.where(np.isnan(column), self.medians_[j], column)
            n_bins = len(edges) - 1
            bins = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, n_bins - 1)
            with np.errstate(over="ignore"):  # of bins that are very narrow
                fractions = (column - edges[bins]) / np.diff(edges)[bins]
            part = out[:, self._ends[j] : self._ends[j + 1]]
            part[:] = np.tri(n_bins, k=-1, dtype=np.float32)[bins]
            part[np.arange(len(part)), bins] = np.clip(fractions, 0, 1)


def edges_of(values, n_bins):
    """Edges of at most `n_bins` bins: half at quantiles of the values, half at quantiles of the distinct
    ones.

    The levels of the second half are halfway between those of the first: the edges differ where no value
    recurs.
    """
    distinct = np.unique(values)
    if len(distinct) <= n_bins + 1:
        return distinct
    half = max(1, n_bins // 2)
    by_rows = np.quantile(values, np.linspace(0, 1, half + 1))
    by_values = np.quantile(distinct, (np.arange(n_bins - half) + 0.5) / max(1, n_bins - half))
    return np.unique(np.concatenate([by_rows, by_values]))
