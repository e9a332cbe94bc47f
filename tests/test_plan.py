"""Plans: their structure, and what they compute when they are run operation by operation in NumPy."""

from itertools import product

import numpy as np
import pytest
from problems import Problem

from nnfast.activations import activation_of
from nnfast.custom_functions import Activation
from nnfast.layers import Normalize, Step
from nnfast.losses import loss_of
from nnfast.network import Network
from nnfast.numpy_network import NumpyNetwork
from nnfast.plan import KINDS, Forms, Use
from nnfast.planner import plan_of

FUSED = frozenset(["identity", "relu", "leaky_relu"])
FORMS = {
    "wide": Forms(32, 4, 128, FUSED, True, 32, 1000),
    "narrow": Forms(4, 4, 8, FUSED, True, 32, 1000),
    "plain": Forms(fuses_derivative=False),
}
UNITS = [(12, 3), (12, 9, 3), (12, 40, 17, 5), (3, 8, 8, 8, 1)]
USES = {
    "prediction": Use(),
    "prediction of sparse rows": Use(sparse=True),
    "gradient": Use(trains=True),
    "training": Use(trains=True, learns=True),
    "training on sparse rows": Use(trains=True, learns=True, sparse=True),
    "dropout": Use(trains=True, learns=True, drops=(True,) * 4),
    "alpha dropout": Use(trains=True, learns=True, drops=(False,) + (True,) * 3, alpha_dropout=True),
    "bfloat16": Use(trains=True, learns=True, bf16=True),
}
CASES = [
    (units, activation, normalization, use, forms)
    for units, activation, normalization, use, forms in product(
        UNITS, ("relu", "tanh", "gelu"), (None, "layer", "batch"), USES, FORMS
    )
    if not (use == "bfloat16" and forms != "wide")
]


def planned(units, activation, normalization, use, forms):
    network = Network(units, activation, "squared_error", normalization=normalization)
    use = USES[use]
    use = use._replace(drops=use.drops[: len(units) - 1])
    return network, use, plan_of(network, use, FORMS[forms])


def operations_of(plan, segments):
    """(segment, operation) in order, heads and tails."""
    return [(each, plan.operations[i]) for each in segments for i in range(each.first, each.end)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(map(str, case)))
def test_structure(case):
    network, use, plan = planned(*case)
    n_matrices = len(case[0]) - 1
    covered = [i for each in (*plan.training, *plan.prediction) for i in range(each.first, each.end)]
    assert covered == list(range(len(plan.operations)))
    assert bool(plan.training) == use.trains
    for segment in (*plan.training, *plan.prediction):
        tail = 0
        for operation in plan.operations[segment.first : segment.end]:
            assert operation.kind in KINDS
            assert not (operation.needs_rows and (tail or segment.panels))
            tail = max(tail - 1, operation.tail)
            assert not segment.panels or operation.n_out == segment.panels
            for number in (operation.x, operation.y, operation.z):
                assert -1 <= number < len(plan.buffers)
        assert tail == 0
    # Nothing is read before it is written.
    for segments in (plan.training, plan.prediction):
        written = set()
        for _, operation in operations_of(plan, segments):
            reads_z = "back" in operation.kind
            assert (
                operation.x in written or operation.x < 0 or (use.sparse and operation.kind == "dense_sparse")
            )
            assert not reads_z or operation.z in written
            written |= {operation.y, operation.z}
    # Two operations a weight and row forward, as many back, but for the inputs, and as many for the gradient.
    weights = [n_in * n_out for n_in, n_out in network.shapes]
    if use.sparse:
        weights[0] = network.shapes[0][1]
    products = [kind for kind in KINDS if kind.startswith("dense")]
    for training in (True, False)[not use.trains :]:
        assert plan.flops(*products, training=training).tolist() == [2 * n for n in weights]
    back = [kind for kind in KINDS if kind.startswith("backward")]
    assert plan.flops(*back).tolist() == [0, *(2 * n for n in weights[1:])][
        : n_matrices if use.trains else 0
    ] or (not use.trains and not plan.flops(*back).any())
    assert sorted(param.name for param in plan.params) == sorted(network.params)
    assert {param.name for param in plan.params if param.is_learned} == set(network.learned)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(map(str, case)))
def test_jobs_are_each_weight_once(case):
    network, use, plan = planned(*case)
    forms = FORMS[case[-1]]
    if not (use.trains and forms.block):
        assert plan.jobs.shape == (0, 5)
        return
    assert len(plan.jobs) <= forms.most_jobs and (plan.jobs[:, 4] > 0).all()
    for number, param in enumerate(plan.params):
        jobs = plan.jobs[plan.jobs[:, 0] == number]
        if param.kind == "vector":
            n = -(-param.n_out // forms.panel) if param.name.endswith("bias") else 0
            assert jobs[:, 1].tolist() == list(range(n)) and (jobs[:, 2] == -1).all()
            continue
        narrow = param.rule == "narrow"
        n, inputs = (param.n_in, 1) if narrow else (param.n_out, param.n_in)
        done = [(panel, block) for _, panel, block, end, _ in jobs for block in range(block, end)]
        assert done == list(product(range(-(-n // forms.panel)), range(-(-inputs // forms.block))))


def test_more_jobs_than_can_be_dealt_are_put_together():
    network = Network((4000, 64, 2), "relu", "squared_error")
    use = Use(trains=True, learns=True)
    for most, blocks in [(1000, 1), (200, 2), (100, 4)]:
        forms = FORMS["wide"]._replace(most_jobs=most)
        jobs = plan_of(network, use, forms).jobs
        assert len(jobs) <= most
        assert (jobs[:, 3] - jobs[:, 2]).max() == blocks
        assert jobs[jobs[:, 0] == 0, 4].sum() == 4000 * 2 * 2
    with pytest.raises(ValueError, match="larger than this engine schedules"):
        plan_of(network, use, FORMS["wide"]._replace(most_jobs=3))


def test_plans_of_one_architecture_are_made_once():
    def network(units=(4, 8, 8, 2), activation="tanh", loss="log_loss", **options):
        return Network(units, activation, loss, **options)

    plan = plan_of(network(), Use(), Forms())
    assert plan_of(network(), Use(), Forms()) is plan
    assert plan_of(network(loss="squared_error"), Use(), Forms()) is plan
    assert plan_of(network(activation=(("tanh", None), ("tanh", None))), Use(), Forms()) is plan
    for other in (network((4, 8, 9, 2)), network(activation="relu"), network(normalization="layer")):
        assert plan_of(other, Use(), Forms()) is not plan
    first, second = (network(activation=Activation(lambda z: factor * z)) for factor in (2, 3))
    assert plan_of(first, Use(), Forms()) is plan_of(second, Use(), Forms())


class Interpreter:
    """Runs a plan in NumPy, a buffer an array of shape (rows, units)."""

    def __init__(self, plan, network, parameters, dropouts=()):
        self.plan, self.network, self.dropouts = plan, network, dropouts
        self.parameters = parameters.map(lambda array: array.astype(np.float64))
        self.buffers, self.caches = {}, {}

    def run(self, segments, X, y, training):
        self.X, self.y, self.training = X, y, training
        for _, operation in operations_of(self.plan, segments):
            getattr(self, f"do_{operation.kind.split('_')[0]}")(operation)

    def weight(self, operation):
        return self.parameters[self.plan.params[operation.weights].name]

    def activation(self, operation):
        name, parameter = self.network.activations[operation.unit]
        return activation_of(name), parameter

    def norm(self, operation):
        layer = Normalize(self.network.normalization, operation.n_out, self.network.norm_eps)
        return layer, {
            param.name: self.parameters[f"layers.{operation.unit}.norm.{param.name}"]
            for param in layer.params
        }

    def do_gather(self, o):
        self.buffers[o.y] = self.X

    def do_round(self, o):
        self.buffers[o.y] = self.buffers[o.z] = self.buffers[o.x]

    def do_dense(self, o):
        x = self.X if o.kind == "dense_sparse" else self.buffers[o.x]
        bias = self.plan.params[o.weights + 1].name
        self.buffers[o.y] = x @ self.weight(o) + self.parameters[bias]
        if o.unit >= 0:
            self.do_activate(o)

    def do_activate(self, o):
        (record, parameter), z = self.activation(o), self.buffers[o.y]
        a = record.function(z, parameter)
        self.buffers[o.y] = a
        if o.kind == "activate" and o.z >= 0:
            self.buffers[o.z] = record.derivative(z, a, parameter)

    def do_normalize(self, o):
        layer, values = self.norm(o)
        if "back" in o.kind:
            dy = self.buffers[o.x if o.x >= 0 else o.y]
            self.buffers[o.y], gradients = layer.backward(values, self.caches[o.unit], dy)
            for param in self.plan.params:
                if param.layer == o.unit and param.rule == "known":
                    self.buffers[param.x] = gradients[param.name.rsplit(".", 1)[1]][np.newaxis]
            return
        y = self.buffers[o.y]
        if self.training:
            record, scale, shift = layer.record, values["scale"], values["shift"]
            running = (values.get("mean"), values.get("variance"))
            self.buffers[o.y], self.caches[o.unit] = record.forward(y, scale, shift, layer.eps, running)
            self.buffers[o.z] = self.caches[o.unit][0]
        else:
            self.buffers[o.y] = layer.forward(values, y)[0]

    def do_clear(self, o):
        pass

    def do_drop(self, o):
        layer = self.dropouts[o.unit]
        self.buffers[o.y], kept = layer.forward({}, self.buffers[o.y], self.step)
        if o.z >= 0:
            self.buffers[o.z] = layer.backward({}, kept, self.buffers[o.z])[0]

    def do_loss(self, o):
        if self.training:
            self.buffers[o.y] = loss_of("squared_error").gradient(self.y, self.buffers[o.y], ()) / len(self.y)

    def do_output(self, o):
        self.outputs = self.buffers[o.y]

    def do_backward(self, o):
        dx, z = self.buffers[o.x] @ self.weight(o).T, self.buffers[o.z]
        record, parameter = self.activation(o)
        if o.derivative == "stored":
            slope = z
        elif o.derivative == "dropped_relu":
            slope = (z > 0) / (1 - self.dropouts[o.unit + 1].rate)
        else:
            slope = record.derivative(z, z, parameter)
        self.buffers[o.y] = dx * slope

    def gradients(self):
        found = {}
        for param in self.plan.params:
            if not param.is_learned:
                continue
            if param.kind == "matrix":
                x, y = param.bf16 or (param.x, param.y)
                found[param.name] = (self.X if x < 0 else self.buffers[x]).T @ self.buffers[y]
            elif param.rule == "zero":
                found[param.name] = np.zeros(param.n_out)
            elif param.rule == "known":
                found[param.name] = self.buffers[param.x][0]
            else:
                x = self.buffers[param.x]
                found[param.name] = (x * self.buffers[param.y] if "products" in param.rule else x).sum(axis=0)
        return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(map(str, case)))
def test_running_a_plan_gives_what_the_layers_give(case):
    network, use, plan = planned(*case)
    problem = Problem(case[0], 23, activation=case[1], loss="squared_error", normalization=case[2])
    parameters, drops = problem.parameters(), use.drops or (False,) * (len(case[0]) - 1)
    rates = {"dropout": [0.4 * each for each in drops[1:]], "input_dropout": 0.4 * drops[0]}
    records = NumpyNetwork(network, parameters, **rates, alpha_dropout=use.alpha_dropout)
    dropouts = {node.layer.number: node.layer for node in records.nodes if hasattr(node.layer, "number")}
    interpreter = Interpreter(plan, network, parameters, dropouts)
    interpreter.run(plan.prediction, problem.X, problem.y, training=False)
    np.testing.assert_allclose(interpreter.outputs, records.forward(problem.X)[0][-1], rtol=1e-12)
    if not use.trains:
        return
    interpreter.step = Step(seed=3, number=5)
    interpreter.run(plan.training, problem.X, problem.y, training=True)
    expected = records.gradient(
        problem.X, lambda z: loss_of("squared_error").gradient(problem.y, z, ()) / len(z), interpreter.step
    )
    for name, gradient in interpreter.gradients().items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-13, err_msg=name)
