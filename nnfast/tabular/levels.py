"""Categories as one-hot columns of the levels that recur."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval

from nnfast.tabular.columns import MISSING
from nnfast.tabular.encoder import Encoder


class LevelEncoder(Encoder):
    """One-hot columns of the levels that recur.

    Of a column with two levels, or one and missing values, there is one input, -1 or 1; 0 for others. Else a
    level of at least `min_rows` rows has an input of its own, 1 where the row has it and else 0. A rarer
    level, a missing value and an unseen level have none; missing values have one if they recur.

    Parameters
    ----------
    min_rows : int, default=10
        The fewest rows of a level that has an input.

    max_levels : int, default=256
        The maximum number of levels of a column that have one: the most frequent.

    Attributes
    ----------
    levels_ : list of ndarray of int32
        The codes of the levels that have an input, for each column of categories; -1 is a missing value.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import LevelEncoder
    >>> X = np.array([["red"], ["green"], ["red"], ["green"], ["blue"]])
    >>> encoder = LevelEncoder(min_rows=2).fit(X)
    >>> encoder.get_feature_names_out().tolist()
    ['x0_green', 'x0_red']
    >>> encoder.transform([["red"], ["blue"]])
    array([[0., 1.],
           [0., 0.]], dtype=float32)
    """

    label = "levels"
    _parameter_constraints: dict = {
        "min_rows": [Interval(Integral, 1, None, closed="left")],
        "max_levels": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, min_rows=10, max_levels=256):
        self.min_rows, self.max_levels = min_rows, max_levels

    def fit_table(self, table, targets=None, weights=None):
        self.levels_, self._others, self._positions = [], [], []
        for codes in table.codes.T:
            counts = np.bincount(codes + 1)  # the first is of missing values
            there = np.flatnonzero(counts)
            binary = len(there) == 2
            if not binary:
                frequent = np.argsort(-counts[there], kind="stable")[: self.max_levels]
                there = there[frequent]
                there = there[counts[there] >= self.min_rows]
            levels = (there[:1] if binary else there).astype(np.int32) - 1
            # codes are from -2; the last is of codes beyond
            positions = np.full(len(counts) + 2, -1, dtype=np.int32)
            positions[levels + 2] = np.arange(len(levels))
            self.levels_.append(levels)
            self._others.append(int(there[1]) - 1 if binary else None)
            self._positions.append(positions)
        self._ends = np.cumsum([0, *map(len, self.levels_)])
        self._n_numbers = table.numbers.shape[1]
        return self

    @property
    def sources(self):
        return self._n_numbers + np.repeat(np.arange(len(self.levels_)), np.diff(self._ends))

    def names(self, reader):
        of_column = zip(reader.category_names, reader.levels, self.levels_, strict=True)
        return [
            f"{name}_{'missing' if code == MISSING else names[code]}"
            for name, names, codes in of_column
            for code in codes
        ]

    def encode_block(self, numbers, codes, out):
        out[:] = 0
        for j, (levels, positions) in enumerate(zip(self.levels_, self._positions, strict=True)):
            if self._others[j] is not None:
                part = out[:, self._ends[j]]
                part[codes[:, j] == levels[0]] = 1
                part[codes[:, j] == self._others[j]] = -1
            elif len(levels):
                at = positions[np.minimum(codes[:, j] + 2, len(positions) - 1)]
                rows = np.flatnonzero(at >= 0)
                out[rows, self._ends[j] + at[rows]] = 1
