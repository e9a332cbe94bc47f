"""Choosing hyperparameters: scales to draw them from, searches, the learning-rate finder, and pictures of all of it."""

from nnfast.tuning.rates import lr_find

__all__ = ["lr_find"]
