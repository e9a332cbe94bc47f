"""What networks are made of: one module a kind of layer, each with its formula, shapes, parameters, and
passes in readable NumPy.
"""

from nnfast.layers.activate import Activate
from nnfast.layers.dense import Dense
from nnfast.layers.dropout import Dropout
from nnfast.layers.layer import ATTRIBUTES, LEARNED, STATISTICS, Layer, Param, Step
from nnfast.layers.normalize import Normalize

__all__ = [
    "ATTRIBUTES",
    "Activate",
    "Dense",
    "Dropout",
    "LEARNED",
    "Layer",
    "Normalize",
    "Param",
    "STATISTICS",
    "Step",
]
