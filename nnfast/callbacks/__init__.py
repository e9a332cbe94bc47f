"""Callbacks: code of the user that watches and steers a fit, and those that most users want.

A callback has any of three methods, called with the estimator and a `nnfast.monitoring.FitState`: see
`Callback`.
"""

from nnfast.callbacks.live_control import LiveControl
from nnfast.callbacks.protocol import HOOKS, Callback, Callbacks
from nnfast.callbacks.ready_made import Checkpoint, CSVLog, StopAt, TimeLimit
from nnfast.callbacks.tensorboard import TensorBoard

__all__ = [
    "HOOKS",
    "CSVLog",
    "Callback",
    "Callbacks",
    "Checkpoint",
    "LiveControl",
    "StopAt",
    "TensorBoard",
    "TimeLimit",
]


def __dir__():
    return __all__
