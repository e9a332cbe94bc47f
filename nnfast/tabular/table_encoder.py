"""All encodings of a table side by side, as one scikit-learn transformer: for networks of one's own."""

from numbers import Integral

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_consistent_length

from nnfast.tabular.column_reader import ColumnReader
from nnfast.tabular.encoder import Encoder
from nnfast.tabular.encoding import Encoders, shared_encoders, supervised_encoders
from nnfast.tabular.recipe import Recipe
from nnfast.tabular.targets import standardized_targets

# A level needs this share of the rows to have an input, or `min_rows` rows where these are fewer.
MIN_SHARE = 0.02


class TableEncoder(Encoder):
    """Encode a table as it is for an MLP: numbers, categories, dates and missing values become float32
    features.

    Columns are read as `TabularClassifier` and `TabularRegressor` read them. Their encodings stand side by
    side:

    - `SmoothClipScaler`: each number, each boolean, and of each date the days since the first one and its
      parts that vary and, where `fit` knows the targets, tell of them;
    - `MissingIndicator`: where numbers are missing;
    - `PiecewiseLinearEncoder`: bins of numbers;
    - `LevelEncoder`: one-hot columns of the levels that recur;
    - with `encode_targets`, `TargetValueEncoder` and `PairEncoder`: values, and pairs of columns, by their
      targets.

    Columns without any value, and constant ones, are left out. Where `fit` knows the targets, parts of dates
    that tell nothing of them are left out as well.

    Parameters
    ----------
    n_bins : int, default=4
        The maximum number of bins of a column of numbers; 0 for none. More bins resolve more, and cost more.

    min_rows : int, default=10
        The fewest rows of a level that has an input. In a table of fewer than 500 rows two in a hundred rows
        will do, and at least two.

    max_levels : int, default=256
        The maximum number of levels of a column that have an input.

    encode_targets : bool, default=False
        Whether there are encodings by the targets too. `fit_transform` then encodes out of fold: a row's
        features do not depend on its own target.

    categorical_features : "auto" or array-like of str, int or bool, default="auto"
        Columns that are taken for categories whatever they hold: names, numbers, or a mask.

    random_state : int, default=0
        Seed of the folds of `encode_targets`.

    Attributes
    ----------
    columns_ : list of Column
        What each column is taken for, and how many features of each encoding it became.

    n_features_in_ : int

    feature_names_in_ : ndarray of str
        Where X has names that are all strings.

    See Also
    --------
    nnfast.tabular.TabularClassifier : An ensemble of networks on these encodings.

    Examples
    --------
    >>> import pandas as pd
    >>> from nnfast.tabular import TableEncoder
    >>> X = pd.DataFrame({"size": [1.0, 3.0, None, 2.0], "colour": ["red", "green", "red", "green"]})
    >>> encoder = TableEncoder(n_bins=0).fit(X)
    >>> encoder.get_feature_names_out().tolist()
    ['size', 'size_missing', 'colour_green']
    >>> encoder.transform(X).round(2)
    array([[-0.95,  0.  , -1.  ],
           [ 0.95,  0.  ,  1.  ],
           [ 0.  ,  1.  , -1.  ],
           [ 0.  ,  0.  ,  1.  ]], dtype=float32)

    Before a network:

    >>> from sklearn.pipeline import make_pipeline
    >>> from nnfast import MLPClassifier
    >>> network = MLPClassifier(learning_rate="cosine", batch_size=4, random_state=0)
    >>> model = make_pipeline(TableEncoder(), network)
    >>> model.fit(X, ["big", "small", "big", "small"]).predict(X).tolist()
    ['big', 'small', 'big', 'small']
    """

    _parameter_constraints: dict = {
        "n_bins": [Interval(Integral, 0, None, closed="left")],
        "min_rows": [Interval(Integral, 1, None, closed="left")],
        "max_levels": [Interval(Integral, 0, None, closed="left")],
        "encode_targets": ["boolean"],
        "categorical_features": ["array-like", StrOptions({"auto"})],
        "random_state": [Interval(Integral, 0, 2**32 - 2, closed="both")],
    }

    def __init__(
        self,
        *,
        n_bins=4,
        min_rows=10,
        max_levels=256,
        encode_targets=False,
        categorical_features="auto",
        random_state=0,
    ):
        self.n_bins = n_bins
        self.min_rows = min_rows
        self.max_levels = max_levels
        self.encode_targets = encode_targets
        self.categorical_features = categorical_features
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the encodings.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table: a DataFrame of pandas, polars, pyarrow or any library that narwhals reads, or an array.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The targets: numbers, or classes, which are text, booleans or at most 20 different whole numbers.

        Returns
        -------
        self : TableEncoder
        """
        self.fit_table(*self._read_with_targets(X, y))
        return self._described()

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Learn the encodings, and encode the same table: with `encode_targets` out of fold, else as
        `transform` does.

        Parameters
        ----------
        X, y : as in `fit`

        Returns
        -------
        features : ndarray of float32, shape (n_samples, n_features_out)
        """
        features = self.fit_encode_table(*self._read_with_targets(X, y))
        self._described()
        return features

    def transform(self, X):
        """Encode a table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            With the columns of `fit`, in any order where they have names. Levels that `fit` has not seen
            count as missing.

        Returns
        -------
        features : ndarray of float32, shape (n_samples, n_features_out)

        Raises
        ------
        ValueError
            If a column is missing, or holds values of another kind than in `fit`.

        Warns
        -----
        UnexpectedValuesWarning
            Once a column: of unseen levels, and of missing values where `fit` saw none.
        """
        return super().transform(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.target_tags.required = self.encode_targets
        tags.transformer_tags.preserves_dtype = []
        return tags

    # --------------------------------------------------------------------------------------------------------
    # As an encoder of a `TypedTable`

    def fit_table(self, table, targets=None, weights=None):
        self._choose(len(table))
        for each in self._encoders.encoders:
            each.fit_table(table, targets, weights)
        return self

    def fit_encode_table(self, table, targets, weights=None, groups=None):
        """Learn of a `TypedTable`, and return its inputs, those by the targets out of fold."""
        self._choose(len(table))
        shared = Encoders(self._encoders.encoders[: self._n_shared]).fit(table).encode(table)
        supervised = Encoders(self._encoders.encoders[self._n_shared :])
        own = supervised.fit_encode(table, targets, weights, groups)
        return np.concatenate([shared, own], axis=1) if own.shape[1] else shared

    @property
    def sources(self):
        return self._encoders.sources

    def names(self, reader):
        return [name for each in self._encoders.encoders for name in each.names(reader)]

    def encode_block(self, numbers, codes, out):
        first = 0
        for each in self._encoders.encoders:
            last = first + len(each.sources)
            if last > first:
                each.encode_block(numbers, codes, out[:, first:last])
            first = last

    def _read_with_targets(self, X, y):
        """(`TypedTable`, targets or None)."""
        if self.encode_targets and y is None:
            raise ValueError(
                "TableEncoder(encode_targets=True) requires y to be passed, but the target y is None."
            )
        if y is not None:
            check_consistent_length(X, y)
        targets = None if y is None else standardized_targets(y)
        return self._read(X, targets), targets

    def _new_reader(self):
        return ColumnReader(self.categorical_features, self.random_state)

    def _choose(self, n_rows):
        """Unfitted encoders."""
        recipe = Recipe(
            n_bins=self.n_bins,
            min_rows=min(self.min_rows, max(2, round(MIN_SHARE * n_rows))),
            max_levels=self.max_levels,
            encode_values=self.encode_targets,
            max_pairs=Recipe.max_pairs if self.encode_targets else 0,
        )
        shared = shared_encoders(recipe)
        self._n_shared = len(shared)
        self._encoders = Encoders([*shared, *supervised_encoders(recipe, self.random_state)])

    def _described(self):
        self.columns_ = self._encoders.described(self._reader)
        return self
