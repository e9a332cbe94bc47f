"""What the encodings have in common: a scikit-learn transformer of the columns of a table, in
blocks of rows.
"""

from abc import ABC, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from nnfast.tabular.column_reader import ColumnReader
from nnfast.tabular.targets import standardized_targets

# Rows that are encoded at a time: what lies beside a table and its encoding is a block's.
BLOCK = 4096


class Encoder(TransformerMixin, BaseEstimator, ABC):
    """A transformer of some columns of a table to float32. Not for use by itself.

    Subclasses have `fit_table`, which learns of a `TypedTable`, and `encode_block`, which writes the inputs
    of some of its rows. Both are what the estimators call; `fit` and `transform` are for tables of any
    library.
    """

    _parameter_constraints: dict = {}

    def fit(self, X, y=None):
        """Learn the encoding.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        y : default=None
            Not used.
        """
        self._read_and_fit(X, y)
        return self

    def transform(self, X):
        """Encode a table, as an array of float32 of shape (n_samples, n_features_out)."""
        check_is_fitted(self)
        return self.encode(self._reader.read(X, type(self).__name__))

    def fit_transform(self, X, y=None):
        """The same as `fit` and then `transform`."""
        return self.encode(self._read_and_fit(X, y))

    def get_feature_names_out(self, input_features=None):
        """Names of the encoding's columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of the table. None: those of the table that `fit` was given, or x0, x1, ...
        """
        check_is_fitted(self)
        return np.array(
            self.names(self._reader.renamed(_check_feature_names_in(self, input_features))), dtype=object
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _new_reader(self):
        return ColumnReader()

    def _read(self, X, targets=None):
        self._validate_params()
        reader = self._new_reader()
        table = reader.fit(X, targets)
        self._reader, self.n_features_in_ = reader, len(reader.columns)
        if reader.named:
            self.feature_names_in_ = np.array([each.name for each in reader.columns], dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return table

    def _read_and_fit(self, X, y):
        table = self._read(X)
        self.fit_table(table)
        return table

    @abstractmethod
    def fit_table(self, table, targets=None, weights=None):
        """Learn of a `TypedTable`; `targets` are standardized numbers of shape (n_samples, n_targets)."""

    @property
    @abstractmethod
    def sources(self):
        """The column of each input: its number among the table's numbers, then codes, as an array of intp."""

    @abstractmethod
    def encode_block(self, numbers, codes, out):
        """Write the inputs of some rows to `out`, float32 of shape (n_rows, n_inputs)."""

    def encode(self, table, out=None):
        """The inputs of a `TypedTable`, in `out` or a new array."""
        out = np.empty((len(table), len(self.sources)), dtype=np.float32) if out is None else out
        if out.shape[1]:
            for first in range(0, len(table), BLOCK):
                rows = slice(first, first + BLOCK)
                self.encode_block(table.numbers[rows], table.codes[rows], out[rows])
        return out


class SupervisedEncoder(Encoder):
    """An encoding that uses the targets. Not for use by itself.

    `fit_transform` encodes the rows that it learns of out of fold: what a row becomes does not depend on its
    own target. `transform` encodes other rows by all that `fit` was given.
    """

    def fit(self, X, y):
        """Learn the encoding.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets: classes or numbers.
        """
        return super().fit(X, y)

    def fit_transform(self, X, y):
        """Learn the encoding, and encode the same rows out of fold: not the same as `fit` and then
        `transform`.
        """
        table = self._read(X)
        return self.fit_encode_table(table, self._targets(y, len(table)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _read_and_fit(self, X, y):
        table = self._read(X)
        self.fit_table(table, self._targets(y, len(table)))
        return table

    def _targets(self, y, n_rows):
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        targets = standardized_targets(y)
        if len(targets) != n_rows:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: X has {n_rows} rows, y has "
                f"{len(targets)}."
            )
        return targets

    @abstractmethod
    def fit_encode_table(self, table, targets, weights=None, groups=None):
        """Learn of a `TypedTable` as `fit_table` does, and return its inputs, out of fold.

        `groups` are numbers of groups of rows: what a row becomes does not depend on the targets of its
        group.
        """
