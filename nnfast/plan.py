"""The plan of a network: its layers as operations on buffers, what is fused, and what waits for what.

An engine runs a plan. A run of operations between two barriers is a segment, and is cut into jobs: by rows,
where each row goes its own way, or by panels of units, where all rows are needed, as for batch normalization.
After the last segment of a training step the gradients and updates of all parameters are jobs, too.

Nothing here computes: a plan depends on the architecture and on how the table comes, never on numbers. So
plans are made once for an architecture, and tested without an engine.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

# What an operation does, with its buffers x, y and z. Those before "clear_pads" need whole rows; it and the
# rest go over one panel of units at a time.
KINDS = (
    "gather",  # rows of the table to y
    "dense",  # x times weights plus bias to y, with an activation
    "dense_narrow",  # likewise, of few units, by dot products
    "dense_sparse",  # likewise, from the non-zeros of the table
    "dense_bf16",  # likewise, of bfloat16 x
    "normalize_rows",  # layer normalization of y, in place; normalized values to z
    "loss",  # of logits y, and their gradient in place
    "output",  # the output activation of logits y, to the answers
    "backward",  # x times transposed weights, times the derivative of an activation from z, to y
    "backward_narrow",  # likewise, of few units
    "backward_bf16",  # likewise, of bfloat16 x
    "normalize_rows_back",  # from x and normalized values z to y
    "clear_pads",  # of y
    "activate",  # y in place; the derivative to z, if there is a z
    "drop",  # units of y in place, and of the derivative z
    "round_inputs",  # x in bfloat16 to y, in rows, and z, in columns
    "round_gradients",  # x in bfloat16 to y, in rows, if there is a y, and z, in pairs
    "normalize_columns",  # batch normalization of y by the batch, in place; normalized values to z
    "normalize_by_running",  # batch normalization of y by running statistics, in place
    "normalize_columns_back",  # from y and normalized values z, in place
)
_FIRST_OF_PANELS = KINDS.index("clear_pads")

# How a derivative is known.
DERIVATIVES = ("by_value", "dropped_relu", "stored")
# How the gradient of a matrix is made of its inputs x and output gradients y.
MATRIX_RULES = ("dense", "narrow", "sparse", "bf16")
# How that of a vector is made: it is zero; the sum over rows of x, or of x times y; or known, in x.
VECTOR_RULES = ("zero", "sum", "sum_of_products", "known")
PARAM_KINDS = ("matrix", "vector")
BUFFER_KINDS = ("panels", "bf16", "units", "rows")


class Forms(NamedTuple):
    """What an engine's kernels can do in one go.

    Parameters
    ----------
    panel : int
        Units that are computed together.
    narrow : int
        Units up to which a last layer goes by dot products.
    depth : int
        Units of a layer up to which its product with the weights comes whole.
    fused : frozenset of str
        Activations that a product does at its end.
    fuses_derivative : bool
        Whether a product backward multiplies by the derivative.
    block : int
        Inputs of a block of weights, whose gradient and update are one job; 0 for no jobs.
    most_jobs : int
        How many jobs can be dealt.
    """

    panel: int = 1
    narrow: int = 0
    depth: int = 0
    fused: frozenset = frozenset()
    fuses_derivative: bool = True
    block: int = 0
    most_jobs: int = 0


class Use(NamedTuple):
    """What a network is planned for.

    Parameters
    ----------
    trains : bool
        Whether there will be gradients.
    learns : bool
        Whether there will be updates, so that running statistics and dropout matter.
    sparse : bool
        Whether the first layer goes over the non-zeros of the table.
    bf16 : bool
        Whether products take bfloat16 numbers while the network trains.
    drops : tuple of bool
        Of the inputs and of every hidden layer: whether units may be dropped.
    alpha_dropout : bool
    """

    trains: bool = False
    learns: bool = False
    sparse: bool = False
    bf16: bool = False
    drops: tuple[bool, ...] = ()
    alpha_dropout: bool = False


class Buffer(NamedTuple):
    """Memory for the rows of a chunk, or for one number a unit or row.

    `kind` is "panels" or "bf16" (numbers of n units for every row), "units" (n numbers) or "rows" (one a
    row).
    """

    name: str
    kind: str
    n: int


@dataclass(frozen=True)
class Operation:
    """One operation: see `KINDS`.

    Parameters
    ----------
    kind : str
    layer : int
        Number of the layer of weights that its time belongs to.
    n_in, n_out : int
        Units that it reads and that it writes.
    x, y, z : int, default=-1
        Buffers, -1 for none.
    weights : int, default=-1
        Number of a parameter.
    unit : int, default=-1
        Number of the hidden layer whose activation, normalization or dropout it applies; of dropout 0 is the
        inputs' and 1 the first hidden layer's.
    derivative : str, default="by_value"
        See `DERIVATIVES`.
    tail : int, default=0
        So many of the next operations go over each of its panels as it is done.
    """

    kind: str
    layer: int
    n_in: int
    n_out: int
    x: int = -1
    y: int = -1
    z: int = -1
    weights: int = -1
    unit: int = -1
    derivative: str = DERIVATIVES[0]
    tail: int = 0

    @property
    def needs_rows(self):
        """Whether it works on whole rows, not on panels of units."""
        return KINDS.index(self.kind) < _FIRST_OF_PANELS

    @property
    def flops(self):
        """Of its products, for a row: two a weight. Of a sparse one, for a non-zero: two a unit."""
        if self.kind == "dense_sparse":
            return 2 * self.n_out
        return 2 * self.n_in * self.n_out if self.weights >= 0 else 0


class Segment(NamedTuple):
    """The operations first .. end, between two barriers.

    `panels` is 0 where the jobs are some rows each; else a job is a panel of units, of so many units in all.
    """

    first: int
    end: int
    panels: int = 0


@dataclass(frozen=True)
class PlannedParam:
    """A parameter, and what its gradient is made from.

    Parameters
    ----------
    name : str
    kind : {"matrix", "vector"}
    layer : int
        Number of the layer of weights that it belongs to.
    n_in, n_out : int
        Of a vector n_in is 1.
    is_learned : bool
    x, y : int
        Buffers: see `rule`.
    rule : str
        See `MATRIX_RULES` and `VECTOR_RULES`.
    transposed : bool
        Whether a transposed copy is kept, which the backward pass reads.
    bf16 : tuple of int
        Roundings of x in columns and of y in pairs, buffers; or ().
    """

    name: str
    kind: str
    layer: int
    n_in: int
    n_out: int
    is_learned: bool = True
    x: int = -1
    y: int = -1
    rule: str = "sum"
    transposed: bool = False
    bf16: tuple[int, ...] = ()


class PlannedNorm(NamedTuple):
    """Where the numbers of hidden layer `unit`'s normalization are: parameters, and buffers; -1 for none."""

    unit: int
    scale: int
    shift: int
    mean: int
    variance: int
    inverse: int
    sum_scale: int
    sum_shift: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Operations on buffers, and parameters. A plan is equal to itself alone.

    Attributes
    ----------
    buffers : tuple of Buffer
    params : tuple of PlannedParam
        Layer by layer, each bias after its weights.
    learned, statistics : tuple of int
        Numbers of parameters, in the order in which the arrays of `Network.params` come.
    norms : tuple of PlannedNorm
    operations : tuple of Operation
    training, prediction : tuple of Segment
        What is run of them in training and otherwise.
    jobs : int64 ndarray of shape (n_jobs, 5)
        Of gradients and updates: a parameter, the number of a panel, the first block of inputs and the end of
        blocks, and the cost. Of a vector the first block is -1, and the job is that of all vectors of its
        layer.
    """

    buffers: tuple = ()
    params: tuple = ()
    learned: tuple = ()
    statistics: tuple = ()
    norms: tuple = ()
    operations: tuple = ()
    training: tuple = ()
    prediction: tuple = ()
    jobs: np.ndarray = field(default_factory=lambda: np.zeros((0, 5), np.int64))

    def flops(self, *kinds, training=True):
        """Of the products of operations of these kinds, by layer of weights."""
        n_layers = 1 + max(operation.layer for operation in self.operations)
        found = np.zeros(n_layers, np.int64)
        for segment in self.training if training else self.prediction:
            for operation in self.operations[segment.first : segment.end]:
                if operation.kind in kinds:
                    found[operation.layer] += operation.flops
        return found
