"""Tables for the command line: those in files, and those that scikit-learn bundles, made ready to
train on.
"""

from nnfast.tables.columns import Column
from nnfast.tables.encoder import make_encoder
from nnfast.tables.errors import TableError
from nnfast.tables.reading import ReadTable, read_table
from nnfast.tables.split import TEST_SIZE, RawTable, SplitTable, bundled, read, read_raw
from nnfast.tabular.dates import DateParts

__all__ = [
    "TEST_SIZE",
    "Column",
    "DateParts",
    "RawTable",
    "ReadTable",
    "SplitTable",
    "TableError",
    "bundled",
    "make_encoder",
    "read",
    "read_raw",
    "read_table",
]


def __dir__():
    return __all__
