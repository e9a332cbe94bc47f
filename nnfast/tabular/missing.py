"""Which numbers are missing, as inputs."""

import numpy as np

from nnfast.tabular.encoder import Encoder


class MissingIndicator(Encoder):
    """An input for each column of numbers that lacks some: 1 where the number is missing, else 0.

    Attributes
    ----------
    columns_ : ndarray of int
        The columns, of those of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import MissingIndicator
    >>> MissingIndicator().fit_transform(np.array([[1.0, np.nan], [2.0, 3.0]])).ravel()
    array([1., 0.], dtype=float32)
    """

    label = "missing"

    def fit_table(self, table, targets=None, weights=None):
        self.columns_ = np.flatnonzero(np.isnan(table.numbers).any(axis=0))
        return self

    @property
    def sources(self):
        return self.columns_

    def names(self, reader):
        return [f"{reader.number_names[j]}_missing" for j in self.columns_]

    def encode_block(self, numbers, codes, out):
        out[:] = np.isnan(numbers[:, self.columns_])
