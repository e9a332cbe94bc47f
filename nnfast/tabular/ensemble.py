"""Ensembles: members that train on folds of a table, and whose outputs are averaged."""

from dataclasses import dataclass, field

import numpy as np

from nnfast.tabular.encoding import Encoders
from nnfast.tabular.networks import Curves

# Rows that are encoded and predicted at a time.
BLOCK = 32_768


@dataclass
class Member:
    """A fitted member: its encodings that use the targets, its network, and how it trained."""

    encoders: Encoders
    network: object
    readout: object
    curves: Curves

    def outputs(self, table, shared):
        """What it predicts for a `TypedTable`, whose shared inputs are `shared`."""
        own = self.encoders.encode(table)
        X = np.concatenate([shared, own], axis=1) if own.shape[1] else shared
        return self.readout.outputs(self.network, X)


@dataclass
class Round:
    """Members of one recipe, one a fold.

    Attributes
    ----------
    recipe : Recipe
    encoders : Encoders
        The encodings that its members share.
    members : list of Member
    weight : float
        Of the mean of its members' outputs.
    """

    recipe: object
    encoders: Encoders
    members: list = field(default_factory=list)
    weight: float = 1.0

    def outputs(self, table):
        shared = self.encoders.encode(table)
        return sum(member.outputs(table, shared) for member in self.members) / len(self.members)


@dataclass
class Ensemble:
    """Fitted rounds, and the outputs of a constant predictor, with their weights."""

    rounds: list
    constant: np.ndarray
    constant_weight: float = 1.0

    def outputs(self, table):
        """What it predicts for a `TypedTable`, float64 of shape (n_samples, n_outputs)."""
        out = np.empty((len(table), len(self.constant)))
        for first in range(0, len(table), BLOCK):
            rows = np.arange(first, min(first + BLOCK, len(table)))
            part = table.take(rows) if len(rows) < len(table) else table
            total = self.constant_weight * np.broadcast_to(self.constant, (len(rows), len(self.constant)))
            for each in self.rounds:
                if each.weight > 0:
                    total = total + each.weight * each.outputs(part)
            out[rows] = total
        return out

    def described(self, reader):
        """The columns of the reader, with what each becomes in the first round of networks."""
        shared = next((each.encoders for each in self.rounds if isinstance(each, Round)), Encoders([]))
        return shared.described(reader)
