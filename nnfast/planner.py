"""Makes plans: see `nnfast.plan`."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from nnfast.activations import activation_of
from nnfast.custom_functions import Activation
from nnfast.layers import Activate, Dense, Dropout, Normalize
from nnfast.network import Network
from nnfast.plan import Buffer, Operation, Plan, PlannedNorm, PlannedParam, Segment


def plan_of(network, use, forms):
    """The `Plan` of a network. Plans of the same architecture are made once.

    Parameters
    ----------
    network : nnfast.network.Network
    use : Use
    forms : Forms
    """
    kinds = tuple(_kind(activation_of(name)) for name, _ in network.activations)
    return _plan(network.layer_units, kinds, network.normalization, use, forms)


def _kind(activation):
    """All that a plan depends on: how an activation is computed, and whether its value tells the
    derivative.
    """
    return ("own", False) if isinstance(activation, Activation) else (activation.kernel, activation.by_value)


@lru_cache(64)
def _plan(layer_units, activations, normalization, use, forms):
    network = Network(layer_units, "identity", "squared_error", normalization=normalization)
    return _Planner(network, activations, use, forms).plan()


class _Block(NamedTuple):
    """A dense layer and what comes after it, up to the next one."""

    name: str
    dense: Dense
    norm: str | None
    activates: bool
    drops: bool


def _blocks(nodes):
    """Whether the inputs are dropped, and the blocks."""
    blocks, drops_inputs = [], False
    for node in nodes:
        layer = node.layer
        if isinstance(layer, Dense):
            blocks.append(_Block(node.name, layer, None, False, False))
        elif isinstance(layer, Normalize):
            blocks[-1] = blocks[-1]._replace(norm=layer.kind)
        elif isinstance(layer, Activate):
            blocks[-1] = blocks[-1]._replace(activates=True)
        elif isinstance(layer, Dropout) and blocks:
            blocks[-1] = blocks[-1]._replace(drops=True)
        elif isinstance(layer, Dropout):
            drops_inputs = True
        else:
            raise TypeError(f"there is no operation for a layer {type(layer).__name__}")
    return drops_inputs, blocks


class _Planner:
    """Makes one plan."""

    def __init__(self, network, activations, use, forms):
        drops = use.drops if use.learns and use.drops else (False,) * (len(activations) + 1)
        nodes = network.nodes(dropout=drops[1:], input_dropout=drops[0], alpha_dropout=use.alpha_dropout)
        self._drops_inputs, self._blocks = _blocks(nodes)
        self._activations, self._use, self._forms = activations, use, forms
        self._network = network
        self._n_features, self._last = network.layer_units[0], len(self._blocks) - 1
        self._buffers, self._operations, self._params, self._norms, self._number = [], [], [], [], {}

    def plan(self):
        use = self._use
        self._take_buffers()
        self._list_params()
        training = self._training() if use.trains else ()
        prediction = self._prediction()
        jobs = weight_jobs(self._params, self._forms) if use.trains and self._forms.block else Plan().jobs
        number = {param.name: i for i, param in enumerate(self._params)}
        return Plan(
            tuple(self._buffers),
            tuple(self._params),
            tuple(number[name] for name in self._network.learned),
            tuple(number[name] for name in self._network.params if name not in self._network.learned),
            tuple(self._norms),
            tuple(self._operations),
            training,
            prediction,
            jobs,
        )

    # What is chosen for a layer

    def _is_sparse(self, i):
        return i == 0 and self._use.sparse

    def _is_narrow(self, i):
        # A sparse first layer goes over non-zeros, however narrow.
        return (
            i == self._last and self._blocks[i].dense.n_out <= self._forms.narrow and not self._is_sparse(i)
        )

    def _is_bf16(self, i):
        return self._use.bf16 and not self._is_narrow(i) and not self._is_sparse(i)

    def _scales(self, i):
        """Whether dropout goes into ReLU's derivative, since a unit that is 0 has none either way."""
        return self._blocks[i].drops and not self._use.alpha_dropout and self._activations[i][0] == "relu"

    def _is_fused(self, i, training):
        """Whether the product does all that follows it up to dropout."""
        block = self._blocks[i]
        if not block.activates:
            return True
        may_drop = block.drops and training
        is_plain = block.norm is None and not self._is_sparse(i) and (not may_drop or self._scales(i))
        return self._activations[i][0] in self._forms.fused and is_plain

    def _derivative(self, i):
        if not self._forms.fuses_derivative:
            return "stored"
        if self._scales(i):
            return "dropped_relu"
        return "stored" if self._blocks[i].drops or not self._activations[i][1] else "by_value"

    def _needs_pads_cleared(self, i):
        return self._blocks[i].dense.n_out % self._forms.panel != 0

    # Buffers and parameters

    def _take(self, name, kind, n):
        self._number[name] = len(self._buffers)
        self._buffers.append(Buffer(name, kind, n))

    def _take_buffers(self):
        use, number = self._use, self._number
        if use.sparse:
            number["x"] = -1
        else:
            self._take("x", "panels", self._n_features)
        for i, block in enumerate(self._blocks):
            n, above = block.dense.n_out, self._blocks[i + 1].dense.n_out if i < self._last else 0
            self._take(f"a{i}", "panels", n)
            if i == self._last:
                number[f"dz{i}"] = number[f"a{i}"]
            elif use.trains:
                self._take(f"dz{i}", "panels", n)
            if use.trains and self._is_bf16(i):
                self._take(f"in16_{i}", "bf16", block.dense.n_in)
                self._take(f"in16_columns_{i}", "bf16", block.dense.n_in)
                self._take(f"dz16_pairs_{i}", "bf16", n)
                number[f"dz16_{i}"] = -1
                if i:
                    self._take(f"dz16_{i}", "bf16", n)
            number[f"zhat{i}"] = number[f"a{i}"]  # where it is not wanted
            number[f"dout{i}"] = number.get(f"dz{i}", -1)
            if block.norm is not None:
                self._take_for_norm(i, block)
            number[f"slope{i}"] = number[f"a{i}"]
            if use.trains and block.activates and self._derivative(i) == "stored":
                # Where the product with dz comes next, if it comes whole: one pass over the units above.
                number[f"slope{i}"] = number[f"dout{i}"]
                if above > self._forms.depth:
                    self._take(f"slope{i}", "panels", n)

    def _take_for_norm(self, i, block):
        n, is_batch = block.dense.n_out, block.norm == "batch"
        self._take(f"inverse{i}", "units" if is_batch else "rows", n)
        if not self._use.trains:
            return
        self._take(f"zhat{i}", "panels", n)
        if is_batch:
            self._take(f"sum_scale{i}", "units", n)
            self._take(f"sum_shift{i}", "units", n)
        else:
            self._take(f"dout{i}", "panels", n)

    def _list_params(self):
        number = self._number
        for i, block in enumerate(self._blocks):
            self._add_matrix(i, block)
            is_batch, dz = block.norm == "batch", number.get(f"dz{i}", -1)
            self._add_vector("bias", i, "zero" if is_batch else "sum", dz)
            if block.norm is not None:
                self._add_norm(i, is_batch)

    def _add_matrix(self, i, block):
        number, trains = self._number, self._use.trains
        rule = "sparse" if self._is_sparse(i) else "narrow" if self._is_narrow(i) else "dense"
        is_bf16 = self._is_bf16(i) and trains
        number[f"weight{i}"] = len(self._params)
        self._params.append(
            PlannedParam(
                f"{block.name}.weight",
                "matrix",
                i,
                block.dense.n_in,
                block.dense.n_out,
                x=number[f"a{i - 1}" if i else "x"],
                y=number.get(f"dz{i}", -1),
                rule="bf16" if is_bf16 else rule,
                transposed=trains and i > 0 and rule == "dense" and not is_bf16 and self._forms.panel > 1,
                bf16=(number[f"in16_columns_{i}"], number[f"dz16_pairs_{i}"]) if is_bf16 else (),
            )
        )

    def _add_vector(self, name, i, rule, x=-1, y=-1, is_learned=True):
        self._number[f"{name}{i}"], block = len(self._params), self._blocks[i]
        self._params.append(
            PlannedParam(f"{block.name}.{name}", "vector", i, 1, block.dense.n_out, is_learned, x, y, rule)
        )

    def _add_norm(self, i, is_batch):
        number, trains = self._number, self._use.trains
        dout, zhat = number[f"dout{i}"], number[f"zhat{i}"]
        sums = [number[f"{name}{i}"] if is_batch and trains else -1 for name in ("sum_scale", "sum_shift")]
        if is_batch:
            self._add_vector("norm.scale", i, "known", sums[0])
            self._add_vector("norm.shift", i, "known", sums[1])
            self._add_vector("norm.mean", i, "zero", is_learned=False)
            self._add_vector("norm.variance", i, "zero", is_learned=False)
        else:
            self._add_vector("norm.scale", i, "sum_of_products", dout, zhat)
            self._add_vector("norm.shift", i, "sum", dout)
        params = [number.get(f"norm.{name}{i}", -1) for name in ("scale", "shift", "mean", "variance")]
        self._norms.append(PlannedNorm(i, *params, number[f"inverse{i}"], *sums))

    # Operations

    def _add(self, kind, i, **fields):
        dense = self._blocks[i].dense
        self._operations.append(Operation(kind, i, **{"n_in": dense.n_in, "n_out": dense.n_out} | fields))

    def _with_tail(self, head, add):
        """Add what add() adds, as the tail of the operation `head`."""
        add()
        tail = len(self._operations) - head - 1
        self._operations[head] = Operation(**vars(self._operations[head]) | {"tail": tail})

    def _gather(self, training):
        if self._use.sparse:
            return
        n, x = self._n_features, self._number["x"]
        head = len(self._operations)
        self._add("gather", 0, n_in=n, n_out=n, y=x)
        if self._drops_inputs and training:
            self._with_tail(head, lambda: self._add("drop", 0, n_in=n, n_out=n, y=x, unit=0))

    def _forward(self, i, training):
        """Layer i up to what follows its product panel by panel, and whether the rest is left to
        `_follow`.
        """
        number, block = self._number, self._blocks[i]
        inputs = number[f"a{i - 1}" if i else "x"]
        is_bf16 = training and self._is_bf16(i)
        if is_bf16:
            n = block.dense.n_in
            places = {"x": inputs, "y": number[f"in16_{i}"], "z": number[f"in16_columns_{i}"]}
            self._add("round_inputs", i, n_in=n, n_out=n, **places)
            inputs = number[f"in16_{i}"]
        kind = (
            "dense_bf16"
            if is_bf16
            else f"dense{'_sparse' * self._is_sparse(i)}{'_narrow' * self._is_narrow(i)}"
        )
        head = len(self._operations)
        unit = i if block.activates and self._is_fused(i, training) else -1
        self._add(kind, i, x=inputs, y=number[f"a{i}"], weights=number[f"weight{i}"], unit=unit)
        if block.norm == "layer":
            self._add(
                "normalize_rows", i, y=number[f"a{i}"], z=number[f"zhat{i}" if training else f"a{i}"], unit=i
            )
            self._with_tail(len(self._operations) - 1, lambda: self._follow(i, training))
        elif block.norm is None or not training:
            self._with_tail(head, lambda: self._follow(i, training))

    def _follow(self, i, training):
        """What comes after a product, panel by panel."""
        number, block = self._number, self._blocks[i]
        a = number[f"a{i}"]
        if block.norm == "batch" and training:
            self._add("normalize_columns", i, y=a, z=number[f"zhat{i}"], unit=i)
        elif block.norm == "batch":
            self._add("normalize_by_running", i, y=a, unit=i)
        if not block.activates:
            return
        is_fused = self._is_fused(i, training)
        slope = number[f"slope{i}"] if training and self._derivative(i) == "stored" else -1
        if not is_fused and (self._activations[i][0] != "identity" or slope >= 0):
            self._add("activate", i, y=a, z=slope, unit=i)
        if block.drops and training:
            self._add("drop", i, y=a, z=slope, unit=i + 1)
        if not is_fused and self._needs_pads_cleared(i):
            self._add("clear_pads", i, y=a)

    def _backward(self, i):
        """From dz of layer i to that of the layer below, but for batch normalization."""
        number, below = self._number, self._blocks[i - 1]
        is_bf16 = self._is_bf16(i)
        kind = "backward_bf16" if is_bf16 else f"backward{'_narrow' * self._is_narrow(i)}"
        self._round_gradients(i)
        self._add(
            kind,
            i,
            x=number[f"dz16_{i}" if is_bf16 else f"dz{i}"],
            y=number[f"dout{i - 1}"],
            z=number[f"slope{i - 1}"],
            weights=number[f"weight{i}"],
            unit=i - 1,
            derivative=self._derivative(i - 1),
        )
        if below.norm == "layer":
            dout, dz, zhat = (number[f"{name}{i - 1}"] for name in ("dout", "dz", "zhat"))
            self._add("normalize_rows_back", i - 1, x=dout, y=dz, z=zhat, unit=i - 1)

    def _round_gradients(self, i):
        if self._is_bf16(i):
            number, n = self._number, self._blocks[i].dense.n_out
            places = {"x": number[f"dz{i}"], "y": number[f"dz16_{i}"], "z": number[f"dz16_pairs_{i}"]}
            self._add("round_gradients", i, n_in=n, n_out=n, **places)

    def _training(self):
        number, segments, first = self._number, [], len(self._operations)

        def close(panels=0):
            nonlocal first
            segments.append(Segment(first, len(self._operations), panels))
            first = len(self._operations)

        self._gather(training=True)
        for i, block in enumerate(self._blocks):
            self._forward(i, training=True)
            if block.norm == "batch":
                close()
                self._follow(i, training=True)
                close(panels=block.dense.n_out)
        self._add("loss", self._last, y=number[f"a{self._last}"])
        for i in range(self._last, 0, -1):
            self._backward(i)
            if self._blocks[i - 1].norm == "batch":
                close()
                places = {"y": number[f"dz{i - 1}"], "z": number[f"zhat{i - 1}"]}
                self._add("normalize_columns_back", i - 1, **places, unit=i - 1)
                if i == 1:
                    self._round_gradients(0)
                close(panels=self._blocks[i - 1].dense.n_out)
        if len(self._operations) > first:
            self._round_gradients(0)
            close()
        return tuple(segments)

    def _prediction(self):
        first, last = len(self._operations), self._number[f"a{self._last}"]
        self._gather(training=False)
        for i in range(len(self._blocks)):
            self._forward(i, training=False)
        if self._use.trains:
            self._add("loss", self._last, y=last)
        self._add("output", self._last, y=last)
        return (Segment(first, len(self._operations)),)


def weight_jobs(params, forms):
    """The attribute `jobs` of a `Plan`: a block of weights each, or several where a queue cannot
    number them.
    """
    cuts = [_cut(param, forms) for param in params]
    blocks_a_job = 1
    while (n := sum(panels * -(-blocks // blocks_a_job) for panels, blocks in cuts)) > forms.most_jobs:
        if blocks_a_job > n:
            raise ValueError(
                f"a network of {n} panels of weights is larger than this engine schedules ({forms.most_jobs})"
            )
        blocks_a_job *= 2
    return np.concatenate(
        [_jobs_of(number, param, *cuts[number], forms, blocks_a_job) for number, param in enumerate(params)]
    )


def _cut(param, forms):
    """Panels, and blocks of inputs, of a parameter; a bias stands for all vectors of its layer."""
    if param.kind == "vector":
        return (-(-param.n_out // forms.panel) if param.name.endswith(".bias") else 0), 1
    if param.rule == "narrow":
        return -(-param.n_in // forms.panel), 1
    return -(-param.n_out // forms.panel), -(-param.n_in // forms.block)


def _jobs_of(number, param, n_panels, n_blocks, forms, blocks_a_job):
    starts = np.arange(0, n_blocks, blocks_a_job)
    panel, block = np.repeat(np.arange(n_panels), len(starts)), np.tile(starts, n_panels)
    end = np.minimum(block + blocks_a_job, n_blocks)
    if param.kind == "vector":
        block, end, cost = -1, -1, 2
    else:
        narrow = param.rule == "narrow"
        n, rows = (param.n_in, param.n_out) if narrow else (param.n_out, param.n_in)
        if not narrow:
            rows = np.minimum(end * forms.block, rows) - block * forms.block
        cost = rows * np.where(n - panel * forms.panel > forms.panel // 2, 2, 1)
    columns = np.broadcast_arrays(number, panel, block, end, cost)
    return np.stack(columns, axis=1).astype(np.int64)
