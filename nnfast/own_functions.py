"""The name that `nnfast.custom_functions` had until version 0.2, for pickles of earlier versions."""

from nnfast.custom_functions import Activation, Loss

__all__ = ["Activation", "Loss"]
