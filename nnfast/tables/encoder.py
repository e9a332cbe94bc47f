"""From a frame of a file to features: the encoder that the commands use."""

from sklearn.compose import make_column_transformer

from nnfast.tabular.table_encoder import TableEncoder


def make_encoder(X):
    """An unfitted transformer that makes features of the columns of a frame from `read_table`.

    It is `nnfast.tabular.TableEncoder` for these columns: numbers are scaled, and have bins; missing ones are
    marked; dates become numbers; categories are one-hot encoded, the levels that recur.

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
    >>> X = pandas.DataFrame({"size": [1.0, 3.0, 2.0, 2.0], "colour": ["red", "green", "red", "red"]})
    >>> encoder = make_encoder(X).fit(X)
    >>> encoder.get_feature_names_out().tolist()
    ['size', 'size_bin0', 'size_bin1', 'colour_red']
    >>> encoder.transform(X).round(2)
    array([[-1.66,  0.  ,  0.  ,  1.  ],
           [ 1.66,  1.  ,  1.  , -1.  ],
           [ 0.  ,  1.  ,  0.  ,  1.  ],
           [ 0.  ,  1.  ,  0.  ,  1.  ]], dtype=float32)
    """
    return make_column_transformer((TableEncoder(), list(X.columns)), verbose_feature_names_out=False)
