"""Estimators for tables as they are, and the encodings that they are made of."""

from nnfast.tabular.bins import PiecewiseLinearEncoder
from nnfast.tabular.estimators import TabularClassifier, TabularRegressor
from nnfast.tabular.levels import LevelEncoder
from nnfast.tabular.missing import MissingIndicator
from nnfast.tabular.pairs import PairEncoder
from nnfast.tabular.periodic import PeriodicEncoder
from nnfast.tabular.scaling import SmoothClipScaler
from nnfast.tabular.table_encoder import TableEncoder
from nnfast.tabular.target_values import TargetValueEncoder

__all__ = [
    "LevelEncoder",
    "MissingIndicator",
    "PairEncoder",
    "PeriodicEncoder",
    "PiecewiseLinearEncoder",
    "SmoothClipScaler",
    "TableEncoder",
    "TabularClassifier",
    "TabularRegressor",
    "TargetValueEncoder",
]


def __dir__():
    return __all__
