"""The two estimators, by the name that earlier versions' pickles have for their module."""

from nnfast.classifier import MLPClassifier
from nnfast.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
