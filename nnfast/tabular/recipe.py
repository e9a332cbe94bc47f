"""Recipes: how the members of an ensemble encode a table and train, by its rows and its task."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Recipe:
    """How a member encodes a table and trains.

    Attributes
    ----------
    n_bins : int
        Piecewise-linear bins of a number; 0 for none.
    n_frequencies : int
        Cosines of a number; 0 for none.
    frequency_scale : float
    min_rows : int
        Rows of a level that has an input of its own.
    max_levels : int
    encode_values : bool
        Whether exact values and levels are encoded by the targets.
    max_pairs : int
        Pairs of columns that are encoded by the targets.
    relevance : float
        How strongly inputs are scaled by what they tell of the targets.
    hidden_layer_sizes : tuple of int
    activation : str
    normalization : str or None
    learning_rate_init : float
    weight_decay : float
    dropout : float
    batch_size : int
    max_epochs : int
    """

    n_bins: int = 16
    n_frequencies: int = 0
    frequency_scale: float = 0.5
    min_rows: int = 10
    max_levels: int = 256
    encode_values: bool = True
    max_pairs: int = 8
    relevance: float = 0.5
    hidden_layer_sizes: tuple = (128, 128, 128)
    activation: str = "selu"
    normalization: str | None = "batch"
    learning_rate_init: float = 0.0035
    weight_decay: float = 0.32
    dropout: float = 0.15
    batch_size: int = 256
    max_epochs: int = 48

    @property
    def encoding(self):
        """What the encodings that do not use the targets depend on."""
        return self.n_bins, self.n_frequencies, self.frequency_scale, self.min_rows, self.max_levels


def cosine_log4(progress):
    """The rate's factor: (1 - cos(2 pi log2(1 + 15 p))) / 2, four ever longer cycles from 0 over 1 to 0."""
    return 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * progress)))


# Inputs that the bins of all numbers may make.
MOST_BINS = 2400
# Steps that a member trains at least, whatever the rows, within the bounds of its epochs.
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 1250, 24, 64
# Folds of a round, and of one of a table with more rows than `MANY_ROWS`.
FOLDS, FOLDS_OF_MANY, MANY_ROWS = 10, 5, 30_000


def default_recipe(task, n_rows, n_numbers):
    """The recipe for a table.

    Parameters
    ----------
    task : {"regression", "binary", "multiclass", "multilabel"}
    n_rows : int
    n_numbers : int
        Columns of numbers.
    """
    regression = task == "regression"
    batch_size = 256 if n_rows > 7500 else 128
    steps_an_epoch = 0.8 * n_rows / batch_size
    return Recipe(
        n_bins=int(np.clip(MOST_BINS // max(1, n_numbers), 4, 32)),
        max_pairs=0 if task == "multiclass" else 8,
        activation="mish" if regression else "relu",
        learning_rate_init=(0.2 if regression else 0.02) / 128**0.5,
        batch_size=batch_size,
        max_epochs=int(np.clip(STEPS / steps_an_epoch, FEWEST_EPOCHS, MOST_EPOCHS)),
    )


def others(recipe, task):
    """Recipes that see a table otherwise than the default one: together they predict better than
    alike ones.
    """
    activation = "relu" if task == "regression" else "selu"
    return [
        replace(recipe, n_bins=8, relevance=1.0, activation=activation),
        replace(recipe, n_bins=0, relevance=1.0, learning_rate_init=2 * recipe.learning_rate_init),
        replace(recipe, n_bins=0, relevance=1.0, n_frequencies=recipe.n_bins // 2),
    ]


def plan(task, quality, n_rows, n_numbers):
    """The rounds of an ensemble: a list of (`Recipe`, number of folds).

    Parameters
    ----------
    task : {"regression", "binary", "multiclass", "multilabel"}
    quality : {"fast", "default", "best"}
    n_rows : int
        Rows of the table.
    n_numbers : int
        Columns of numbers.
    """
    recipe = default_recipe(task, n_rows, n_numbers)
    n_folds = FOLDS if n_rows <= MANY_ROWS else FOLDS_OF_MANY
    if quality == "fast":
        return [(replace(recipe, max_epochs=-(-2 * recipe.max_epochs // 3)), (n_folds + 1) // 2)]
    if quality == "default":
        return [(recipe, n_folds)]
    return [(each, n_folds) for each in (recipe, *others(recipe, task), recipe)]
