"""The optimizers' formulas: against PyTorch and papers' equations."""

import numpy as np
import pytest
import reference

from nnfast.optimizers import (
    OPTIMIZERS,
    SGD,
    AdaBelief,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    NAdam,
    RMSprop,
    resolve_optimizer,
)

RULES = [
    SGD(0.7, True),
    SGD(0.7, False),
    SGD(0.0, False),
    Adam(0.8, 0.95, 1e-3),
    AdamW(0.8, 0.95, 1e-3, 0.1),
    AdamW(weight_decay=0.0),
    NAdam(0.8, 0.95, 1e-3),
    NAdam(momentum_decay=0.1),
    RMSprop(0.8, 1e-3),
    Adagrad(1e-3),
    Lion(0.8, 0.95, 0.1),
    Lion(),
    AdaBelief(0.8, 0.95, 1e-3),
    AdaBelief(epsilon_root=1e-3),
]


def run(record, gradients, rates, decays=True):
    """A parameter's path: its values after every step."""
    w = np.random.default_rng(2).normal(size=gradients.shape[1:])
    moments = [np.zeros_like(w) for _ in range(record.n_moments)]
    path = [w.copy()]
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        record.update(w, moments, g, rate, t, decays)
        path.append(w.copy())
    return np.array(path)


@pytest.mark.parametrize("decays", [True, False])
@pytest.mark.parametrize("record", RULES, ids=str)
def test_optimizers(record, decays):
    rng = np.random.default_rng(3)
    gradients, rates = rng.normal(size=(40, 3, 4)), rng.uniform(0.01, 0.1, 40)
    path = run(record, gradients, rates, decays)
    slow, w = reference.optimizer_like(record), path[0].copy()
    for g, rate in zip(gradients, rates, strict=True):
        slow.step([w], [g], rate, n_weights=int(decays))
    np.testing.assert_allclose(path[-1], w, rtol=1e-12)
    assert OPTIMIZERS[record.name] is type(record) and slow.n_moments == record.n_moments


@pytest.fixture
def torch64():
    """PyTorch computing even scalars, such as NAdam's product, in float64."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.torch
@pytest.mark.parametrize("record", RULES, ids=str)
def test_optimizers_agree_with_torch(record, torch64):
    torch = torch64
    make = {
        # PyTorch's nesterov is scikit-learn's for a constant rate
        "sgd": lambda w: torch.optim.SGD(
            w, 0.05, record.momentum, nesterov=record.nesterov and record.momentum > 0
        ),
        "adamw": lambda w: torch.optim.AdamW(
            w, 0.05, (record.beta_1, record.beta_2), record.epsilon, record.weight_decay
        ),
        "nadam": lambda w: torch.optim.NAdam(
            w, 0.05, (record.beta_1, record.beta_2), record.epsilon, momentum_decay=record.momentum_decay
        ),
        "rmsprop": lambda w: torch.optim.RMSprop(w, 0.05, record.rho, record.epsilon),
        "adagrad": lambda w: torch.optim.Adagrad(w, 0.05, eps=record.epsilon),
    }
    if record.name not in make:
        pytest.skip("not in PyTorch, or not with scikit-learn's epsilon")
    gradients = np.random.default_rng(4).normal(size=(100, 3, 4))
    path = run(record, gradients, np.full(100, 0.05))
    tensor = torch.tensor(path[0].copy(), requires_grad=True)
    theirs = make[record.name]([tensor])
    for g, expected in zip(gradients, path[1:], strict=True):
        tensor.grad = torch.tensor(g)
        theirs.step()
        np.testing.assert_allclose(expected, tensor.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_adam_and_lion_are_their_papers():
    rng = np.random.default_rng(5)
    gradients, rates = rng.normal(size=(100, 6)), rng.uniform(0.01, 0.1, 100)
    for decays in (True, False):
        adam, lion = Adam(0.8, 0.95, 1e-3), Lion(0.8, 0.95, 0.1)
        path, other = run(adam, gradients, rates, decays), run(lion, gradients, rates, decays)
        theta, m, v = path[0].copy(), 0, 0
        for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
            # Kingma and Ba, section 2: alpha_t = alpha sqrt(1 - beta_2^t) / (1 - beta_1^t), theta -= alpha_t
            # m_t / (sqrt(v_t) + epsilon)
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
            theta = theta - rate * np.sqrt(1 - 0.95**t) / (1 - 0.8**t) * m / (np.sqrt(v) + 1e-3)
            np.testing.assert_allclose(path[t], theta, rtol=1e-12, atol=1e-13)
        theta, m = other[0].copy(), 0
        for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
            # Chen et al., algorithm 2: c = beta_1 m + (1 - beta_1) g, theta -= eta (sign(c) + lambda theta),
            # m = beta_2 m + (1 - beta_2) g
            c = 0.8 * m + 0.2 * g
            theta = theta - rate * (np.sign(c) + (0.1 * theta if decays else 0))
            m = 0.95 * m + 0.05 * g
            np.testing.assert_allclose(other[t], theta, rtol=1e-12, atol=1e-13)


def test_momentum_as_textbooks_write_it_is_a_smaller_rate():
    gradients, w, v = np.random.default_rng(6).normal(size=(50, 4)), None, 0
    path = run(SGD(0.9, False), gradients, np.full(50, 0.1 * (1 - 0.9)))
    w = path[0]
    for t, g in enumerate(gradients, 1):
        v = 0.9 * v + (1 - 0.9) * g
        w = w - 0.1 * v
        np.testing.assert_allclose(path[t], w, rtol=1e-12)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SGD(momentum=1.5), ["momentum of SGD", "[0, 1]", "1.5"]),
        (lambda: SGD(nesterov=3), ["nesterov of SGD", "True or False", "3"]),
        (lambda: Adam(beta_1=1.0), ["beta_1 of Adam", "[0, 1)", "1.0"]),
        (lambda: NAdam(beta_2=-0.1), ["beta_2 of NAdam"]),
        (lambda: AdamW(weight_decay=-1), ["weight_decay of AdamW", ">= 0", "-1"]),
        (lambda: RMSprop(rho="x"), ["rho of RMSprop", "'x'"]),
        (lambda: Adagrad(epsilon=0), ["epsilon of Adagrad", "> 0"]),
        (lambda: Lion(beta_2=np.nan), ["beta_2 of Lion", "nan"]),
    ],
)
def test_hyperparameters_that_are_not_accepted(make, words):
    with pytest.raises(ValueError) as error:
        make()
    for word in words:
        assert word in str(error.value)


class Parameters:
    """An estimator, as far as optimizers see it."""

    momentum, nesterovs_momentum, beta_1, beta_2, epsilon, rho, weight_decay = (
        0.8,
        False,
        0.7,
        0.95,
        1e-6,
        0.85,
        0.02,
    )

    def __init__(self, solver):
        self.solver = solver


@pytest.mark.parametrize(
    "expected",
    [
        SGD(0.8, False),
        Adam(0.7, 0.95, 1e-6),
        AdamW(0.7, 0.95, 1e-6, 0.02),
        NAdam(0.7, 0.95, 1e-6),
        RMSprop(0.85, 1e-6),
        Adagrad(1e-6),
        Lion(0.7, 0.95, 0.02),
        AdaBelief(0.7, 0.95, 1e-6),
    ],
    ids=lambda record: record.name,
)
def test_resolving_optimizers(expected):
    assert resolve_optimizer(Parameters(expected.name)) == expected
    assert resolve_optimizer(Parameters(expected)) is expected
    for solver in ("adamm", 3):
        with pytest.raises(ValueError, match=f"solver must be one of .*'nadam'.*got {solver!r}"):
            resolve_optimizer(Parameters(solver))
