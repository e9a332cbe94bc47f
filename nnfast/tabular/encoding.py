"""A table as the inputs of a network: the encodings of its columns, side by side."""

from collections import Counter
from dataclasses import replace

import numpy as np

from nnfast.tabular.bins import PiecewiseLinearEncoder
from nnfast.tabular.levels import LevelEncoder
from nnfast.tabular.missing import MissingIndicator
from nnfast.tabular.pairs import PairEncoder
from nnfast.tabular.periodic import PeriodicEncoder
from nnfast.tabular.scaling import SmoothClipScaler
from nnfast.tabular.target_values import TargetValueEncoder


def shared_encoders(recipe):
    """Unfitted encoders that do not use the targets, by the recipe: all members of an ensemble share what
    they give.
    """
    encoders = [SmoothClipScaler(), MissingIndicator()]
    if recipe.n_bins:
        encoders.append(PiecewiseLinearEncoder(recipe.n_bins))
    if recipe.n_frequencies:
        encoders.append(PeriodicEncoder(recipe.n_frequencies, recipe.frequency_scale))
    encoders.append(LevelEncoder(recipe.min_rows, recipe.max_levels))
    return encoders


def supervised_encoders(recipe, seed):
    """Unfitted encoders that use the targets, by the recipe: each member has its own, which know its training
    rows.
    """
    encoders = []
    if recipe.encode_values:
        encoders.append(TargetValueEncoder(random_state=seed))
    if recipe.max_pairs:
        encoders.append(PairEncoder(recipe.max_pairs, random_state=seed))
    return encoders


class Encoders:
    """Fitted encoders, whose inputs stand side by side."""

    def __init__(self, encoders):
        self.encoders = encoders

    @property
    def sources(self):
        """The column of each input: its number among the table's numbers, then codes."""
        return (
            np.concatenate([each.sources for each in self.encoders]).astype(np.intp)
            if self.encoders
            else np.zeros(0, np.intp)
        )

    @property
    def n_inputs(self):
        return len(self.sources)

    def described(self, reader):
        """The columns of a reader, with the number of inputs that each becomes, by encoding."""
        became = [Counter() for _ in reader.columns]
        columns = [*reader.number_columns, *reader.category_columns]
        for each in self.encoders:
            for source in each.sources:
                became[columns[source]][each.label] += 1
        return [
            replace(column, became=dict(counts))
            for column, counts in zip(reader.columns, became, strict=True)
        ]

    def fit(self, table):
        """Fit those that do not use the targets."""
        for each in self.encoders:
            each.fit_table(table)
        return self

    def encode(self, table, out=None):
        """The inputs of a table: float32 of shape (n_samples, n_inputs), in `out` or a new array."""
        widths = [len(each.sources) for each in self.encoders]
        out = np.empty((len(table), sum(widths)), dtype=np.float32) if out is None else out
        for each, last, width in zip(self.encoders, np.cumsum(widths), widths, strict=True):
            each.encode(table, out[:, last - width : last])
        return out

    def fit_encode(self, table, targets, weights, groups=None):
        """Fit those that use the targets, and return the inputs of the table, out of fold."""
        parts = [each.fit_encode_table(table, targets, weights, groups) for each in self.encoders]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(table), 0), dtype=np.float32)
