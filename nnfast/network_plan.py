"""A plan as `nnfast.inspect.plan` shows it: what is done to a batch of rows, step by step."""

from dataclasses import dataclass

import numpy as np

from nnfast.result import Result

_DOES = {
    "gather": "take rows",
    "dense": "multiply, add bias",
    "dense_narrow": "multiply, add bias (dot products)",
    "dense_sparse": "multiply, add bias (non-zeros)",
    "dense_bf16": "multiply, add bias (bfloat16)",
    "normalize_rows": "normalize rows",
    "loss": "loss and its gradient",
    "output": "output activation",
    "backward": "multiply back",
    "backward_narrow": "multiply back (dot products)",
    "backward_bf16": "multiply back (bfloat16)",
    "normalize_rows_back": "normalize rows, back",
    "clear_pads": "clear pads",
    "activate": "activation",
    "drop": "dropout",
    "round_inputs": "round inputs to bfloat16",
    "round_gradients": "round gradients to bfloat16",
    "normalize_columns": "normalize by the batch",
    "normalize_by_running": "normalize by running statistics",
    "normalize_columns_back": "normalize by the batch, back",
}


@dataclass(frozen=True, eq=False, repr=False)
class NetworkPlan(Result):
    """What is done to a batch of rows.

    Attributes
    ----------
    operations : tuple of str
        In order. The last ones of a plan for training are the gradients and updates of all parameters.
    layers : tuple of str
        Name of the layer of weights that each belongs to, such as "layers.0".
    shapes : tuple of tuple of int
        (n_in, n_out) of a product, (n_units,) of all others.
    fused : tuple of str
        What an operation does along with it: on registers, or on the units that it has just written.
    segments : ndarray of shape (n_operations,)
        All threads end one segment before the next one begins; they share its rows, or its units.
    cut : tuple of {"rows", "units", "weights"}
        What the jobs of the operation's segment are.
    flops : ndarray of shape (n_operations,)
        Multiplications and additions of products.
    bytes : ndarray of shape (n_operations,)
        Of the numbers that are read and written, each counted once.
    n_rows : int
        Rows of the batch.
    """

    operations: tuple
    layers: tuple
    shapes: tuple
    fused: tuple
    segments: np.ndarray
    cut: tuple
    flops: np.ndarray
    bytes: np.ndarray
    n_rows: int

    @property
    def verdict(self):
        """All of it in a line."""
        return (
            f"{self.n_rows} rows, {self.flops.sum() / 1e6:.3g} MFLOP, {self.bytes.sum() / 1e6:.3g} MB, "
            f"{self.segments.max() + 1} segments"
        )

    def _columns(self):
        return {
            "operation": self.operations,
            "layer": self.layers,
            "shape": [" x ".join(map(str, shape)) for shape in self.shapes],
            "segment": [f"{i} by {cut}" for i, cut in zip(self.segments, self.cut, strict=True)],
            "MFLOP": [f"{n / 1e6:.3g}" if n else "" for n in self.flops],
            "MB": [f"{n / 1e6:.3g}" for n in self.bytes],
            "fused": self.fused,
        }


def describe(plan, network, *, training, n_rows, dtype, n_moments):
    """The `NetworkPlan` of a `nnfast.plan.Plan`.

    Parameters
    ----------
    plan : nnfast.plan.Plan
    network : nnfast.network.Network
    training : bool
        Whether it is a training step, or a prediction.
    n_rows : int
    dtype : dtype
    n_moments : int
        Of the optimizer.
    """
    names = [getattr(name, "name", name) for name, _ in network.activations]
    rows, segments = [], plan.training if training else plan.prediction
    for number, segment in enumerate(segments):
        i = segment.first
        while i < segment.end:
            operation = plan.operations[i]
            tail = operation.tail if operation.needs_rows or not segment.panels else 0
            followers = plan.operations[i + 1 : i + 1 + tail]
            i += 1 + tail
            if operation.kind == "loss" and not training:
                continue
            fused = [_own(operation, names), *(_does(each, names) for each in followers)]
            shape = (operation.n_in, operation.n_out) if operation.weights >= 0 else (operation.n_out,)
            numbers = _numbers(operation, n_rows) + sum(_numbers(each, n_rows) for each in followers)
            rows.append(
                (
                    _does(operation, names),
                    f"layers.{operation.layer}",
                    shape,
                    ", then ".join(filter(None, fused)),
                    number,
                    "units" if segment.panels else "rows",
                    operation.flops * n_rows,
                    numbers * dtype.itemsize,
                )
            )
    for param in plan.params if training else ():
        if param.is_learned and param.rule != "zero":
            rows.append(_update(param, len(segments), n_rows, dtype, n_moments))
    columns = list(zip(*rows, strict=True))
    return NetworkPlan(*columns[:4], np.array(columns[4]), columns[5], *map(np.array, columns[6:]), n_rows)


def _does(operation, names):
    """What an operation does, with the activation's name."""
    return names[operation.unit] if operation.kind == "activate" else _DOES[operation.kind]


def _own(operation, names):
    """What a product does by itself to what it gives."""
    if operation.weights < 0 or operation.unit < 0:
        return ""
    name = names[operation.unit]
    if "backward" not in operation.kind:
        return name
    how = {
        "by_value": f"derivative of {name}",
        "dropped_relu": "derivative of relu and dropout",
        "stored": "stored derivative",
    }
    return how[operation.derivative]


def _numbers(operation, n_rows):
    """How many numbers an operation reads and writes."""
    if operation.weights >= 0:
        sides = operation.n_in + operation.n_out + (operation.n_in if operation.z >= 0 else 0)
        return n_rows * sides + operation.n_in * operation.n_out + operation.n_out
    return n_rows * operation.n_out * (1 + sum(i >= 0 for i in (operation.x, operation.y, operation.z)))


def _update(param, segment, n_rows, dtype, n_moments):
    is_matrix = param.kind == "matrix"
    n = param.n_in * param.n_out
    flops = 2 * n * n_rows if is_matrix else 0
    numbers = n_rows * (param.n_in * is_matrix + param.n_out) + n * (2 + 2 * n_moments + param.transposed)
    shape = (param.n_in, param.n_out) if is_matrix else (param.n_out,)
    name = param.name.removeprefix(f"layers.{param.layer}.")
    return (
        f"gradient and update of {name}",
        f"layers.{param.layer}",
        shape,
        "transposed copy" if param.transposed else "",
        segment,
        "weights",
        flops,
        numbers * dtype.itemsize,
    )
