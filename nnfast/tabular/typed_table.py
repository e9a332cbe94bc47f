"""A table as the encodings take it: numbers, and codes of levels."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TypedTable:
    """A table as the encodings take it.

    Attributes
    ----------
    numbers : ndarray of float64, shape (n_samples, n_numbers), Fortran-ordered
        NaN where a value is missing.
    codes : ndarray of int32, shape (n_samples, n_categories), Fortran-ordered
        Numbers of levels; -1 where the value is missing, -2 where `fit` saw no such level.
    """

    numbers: np.ndarray
    codes: np.ndarray

    def __len__(self):
        return len(self.numbers)

    def take(self, rows):
        """Some of its rows."""
        return TypedTable(_taken(self.numbers, rows), _taken(self.codes, rows))

    @staticmethod
    def stacked(tables):
        """The rows of several tables, one after the other."""
        return TypedTable(
            np.asfortranarray(np.concatenate([each.numbers for each in tables])),
            np.asfortranarray(np.concatenate([each.codes for each in tables])),
        )


def _taken(matrix, rows):
    out = np.empty((len(rows), matrix.shape[1]), dtype=matrix.dtype, order="F")
    for j in range(matrix.shape[1]):
        np.take(matrix[:, j], rows, out=out[:, j], mode="clip")
    return out


def side_by_side(arrays, n_rows, dtype):
    """Arrays as the columns of one; the list is emptied meanwhile, or all would be in memory twice."""
    out = np.empty((n_rows, len(arrays)), dtype=dtype, order="F")
    for j in reversed(range(len(arrays))):
        out[:, j] = arrays.pop()
    return out
