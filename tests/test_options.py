"""The engine's options, each by what it promises: optimizers beside PyTorch's and the papers', dropout's
masks, limits, penalties, normalization.
"""

import numpy as np
import pytest
import reference
from nnfast.kernels import engine as compiled
from problems import Problem, same

from nnfast.engines import cython as engine
from nnfast.losses import LOSSES
from nnfast.network import Network, Parameters
from nnfast.normalization import fold
from nnfast.optimizers import SGD, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop
from nnfast.regularization import Regularization

PLAIN = Regularization()


def flat(arrays):
    return np.concatenate([array.ravel() for array in arrays])


# ------------------------------------------------------------------------------------------------------------
# Optimizers

STEPS = 100


@pytest.fixture
def torch_network():
    """With all of PyTorch in float64: its NAdam keeps the product of its momenta in the default dtype."""
    import torch_network as twins

    usual = twins.torch.get_default_dtype()
    twins.torch.set_default_dtype(twins.torch.float64)
    yield twins
    twins.torch.set_default_dtype(usual)


def groups(twin, weight_decay):
    """Weights, which decay, and the rest."""
    n = len(twin.coefs)
    return [
        {"params": twin.learned[:n], "weight_decay": weight_decay},
        {"params": twin.learned[n:], "weight_decay": 0.0},
    ]


TORCH_OPTIMIZERS = {
    # a rule: the optimizer's name in PyTorch, and its arguments
    SGD(momentum=0, nesterov=False): ("SGD", {}),
    SGD(momentum=0.8, nesterov=False): ("SGD", {"momentum": 0.8}),
    SGD(momentum=0.9, nesterov=True): ("SGD", {"momentum": 0.9, "nesterov": True}),
    AdamW(): ("AdamW", {}),
    AdamW(0.8, 0.95, 1e-4, 0.5): ("AdamW", {"betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.5}),
    AdamW(weight_decay=0): ("Adam", {}),
    NAdam(): ("NAdam", {}),
    NAdam(0.7, 0.95, 1e-4, 0.02): ("NAdam", {"betas": (0.7, 0.95), "eps": 1e-4, "momentum_decay": 0.02}),
    RMSprop(): ("RMSprop", {"alpha": 0.9}),
    RMSprop(0.6, 1e-3): ("RMSprop", {"alpha": 0.6, "eps": 1e-3}),
    Adagrad(): ("Adagrad", {"eps": 1e-8}),
}


def assert_path_is_torchs(
    twin,
    problem,
    steps_of,
    rule,
    rate,
    regularization=Regularization(alpha=0.1),
    n_steps=STEPS,
    batch_size=20,
):
    """Losses, parameters and running statistics, over n_steps; steps_of() makes one step from the
    gradients.
    """
    batches = [problem.rows[start : start + batch_size] for start in range(0, len(problem.rows), batch_size)]
    scale = {"squared_error": problem.network.n_outputs}.get(problem.network.loss, 1)
    with problem.session(batch_size=batch_size, optimizer=rule, regularization=regularization) as session:
        for number in range(n_steps):
            rows = batches[number % len(batches)]
            for tensor in twin.learned:
                tensor.grad = None
            weight = None if problem.weight is None else problem.weight[rows]
            value = twin.objective(problem.X[rows], problem.y[rows], weight, regularization.alpha, scale)
            value.backward()
            steps_of()
            loss = session.epoch(rows, rate)
            if scale == 1:
                np.testing.assert_allclose(loss, float(value.detach()), rtol=1e-10)
        assert session.t == n_steps
        for got, expected in zip(problem.stored(session), twin.arrays(), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
        logits = twin.forward(problem.X, training=False).detach().numpy()
        np.testing.assert_allclose(
            session.predict(), reference.OUTPUTS[problem.network.loss](logits), rtol=1e-9, atol=1e-10
        )


@pytest.mark.torch
@pytest.mark.parametrize("rule", TORCH_OPTIMIZERS, ids=str)
def test_optimizers_are_torchs(rule, torch_network):
    name, arguments = TORCH_OPTIMIZERS[rule]
    problem = Problem(n_samples=60, activation="tanh", weighted=True)
    twin = torch_network.Twin(problem.network, problem.parameters())
    weight_decay = arguments.get("weight_decay", getattr(rule, "weight_decay", 0.0))
    others = {key: value for key, value in arguments.items() if key != "weight_decay"}
    theirs = getattr(torch_network.torch.optim, name)(groups(twin, weight_decay), lr=0.01, **others)
    assert_path_is_torchs(twin, problem, theirs.step, rule, 0.01)


def by_hand(twin, change):
    """A step that adds change(i, gradient, whether it is of weights) to each parameter."""

    def step():
        for i, tensor in enumerate(twin.learned):
            tensor.data += change(i, tensor.grad, i < len(twin.coefs), tensor.data)

    return step


@pytest.mark.torch
@pytest.mark.parametrize("rule", [Adam(), Adam(0.6, 0.9, 1e-3)], ids=str)
def test_adam_is_the_papers_efficient_form(rule, torch_network):
    """Kingma and Ba, the end of section 2: epsilon beside the uncorrected root."""
    problem = Problem(n_samples=60, activation="tanh")
    twin = torch_network.Twin(problem.network, problem.parameters())
    m, v, t = [0] * 4, [0] * 4, [0]

    def change(i, g, is_weight, w):
        t[0] += i == 0
        m[i] = rule.beta_1 * m[i] + (1 - rule.beta_1) * g
        v[i] = rule.beta_2 * v[i] + (1 - rule.beta_2) * g**2
        rate = 0.01 * (1 - rule.beta_2 ** t[0]) ** 0.5 / (1 - rule.beta_1 ** t[0])
        return -rate * m[i] / (v[i] ** 0.5 + rule.epsilon)

    assert_path_is_torchs(twin, problem, by_hand(twin, change), rule, 0.01)


@pytest.mark.torch
@pytest.mark.parametrize("rule", [Lion(), Lion(0.8, 0.9, 2.0)], ids=str)
def test_lion_is_the_papers(rule, torch_network):
    """Chen et al., algorithm 2: w <- w - rate (sign(c) + decay w), the decay of weights only."""
    problem = Problem(n_samples=60, activation="tanh")
    twin = torch_network.Twin(problem.network, problem.parameters())
    m = [0] * 4

    def change(i, g, is_weight, w):
        c = rule.beta_1 * m[i] + (1 - rule.beta_1) * g
        m[i] = rule.beta_2 * m[i] + (1 - rule.beta_2) * g
        return -0.001 * (c.sign() + rule.weight_decay * is_weight * w)

    assert_path_is_torchs(twin, problem, by_hand(twin, change), rule, 0.001)


@pytest.mark.torch
def test_the_textbooks_momentum_is_sgds_at_a_smaller_rate(torch_network):
    """v <- b v + (1 - b) g, w <- w - rate v, is our path at (1 - b) rate, without nesterov."""
    b, rate = 0.9, 0.5
    problem = Problem(n_samples=60, activation="tanh")
    twin = torch_network.Twin(problem.network, problem.parameters())
    v = [0] * 4

    def change(i, g, is_weight, w):
        v[i] = b * v[i] + (1 - b) * g
        return -rate * v[i]

    assert_path_is_torchs(twin, problem, by_hand(twin, change), SGD(b, nesterov=False), (1 - b) * rate)


@pytest.mark.torch
@pytest.mark.parametrize("rule", [SGD(momentum=0, nesterov=False), SGD(), AdamW()], ids=str)
@pytest.mark.parametrize("limit", [{"clip_norm": 0.05}, {"clip_norm": 3.0}, {"clip_value": 0.01}], ids=str)
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_clipping_is_torchs(limit, rule, normalization, torch_network):
    torch = torch_network.torch
    problem = Problem((12, 9, 6, 3), 60, activation="tanh", normalization=normalization)
    twin = torch_network.Twin(problem.network, problem.parameters())
    theirs = {
        "sgd": lambda *own: torch.optim.SGD(*own, momentum=rule.momentum, nesterov=rule.nesterov),
        "adamw": torch.optim.AdamW,
    }[rule.name]
    optimizer = theirs(groups(twin, getattr(rule, "weight_decay", 0.0)), 0.05)
    clipped = []

    def step():
        if normalization == "batch":
            for bias in twin.intercepts[:-1]:
                bias.grad[:] = 0  # which it is but for rounding
        norm = torch.nn.utils.clip_grad_norm_(twin.learned, limit.get("clip_norm", np.inf))
        largest = max(tensor.grad.abs().max() for tensor in twin.learned)
        clipped.append(norm > limit.get("clip_norm", np.inf) or largest > limit.get("clip_value", np.inf))
        torch.nn.utils.clip_grad_value_(twin.learned, limit.get("clip_value", np.inf))
        optimizer.step()

    assert_path_is_torchs(twin, problem, step, rule, 0.05, Regularization(alpha=0.1, **limit), n_steps=40)
    assert all(clipped) if limit != {"clip_norm": 3.0} else not all(clipped)


def test_the_norm_is_clipped_to_its_limit():
    """A step of plain SGD is then as long as rate times limit, all parameters together."""
    for n_samples, batch_size in ((30, 30), (engine.CHUNK_ROWS + 40, engine.CHUNK_ROWS + 40)):
        problem = Problem((12, 40, 3), n_samples)
        for limit in (1e-3, 0.1):
            with problem.session(
                batch_size=batch_size, optimizer=SGD(0, False), regularization=Regularization(clip_norm=limit)
            ) as session:
                before = flat(problem.stored(session))
                session.epoch(problem.rows, 2.0)
                np.testing.assert_allclose(
                    np.linalg.norm(flat(problem.stored(session)) - before), 2.0 * limit, rtol=1e-5
                )


# ------------------------------------------------------------------------------------------------------------
# Dropout

SEED = 2**64 - 59


def mask_of_inputs(rate, n_rows, n_units, *, seed=SEED, t=0, n_threads=1, dtype=np.float64):
    """What one step keeps, read off the weights: inputs of ones, an output a row, and only that row's error
    on it.
    """
    problem = Problem((n_units, n_rows), n_rows, loss="squared_error", dtype=dtype)
    problem.X[...] = 1
    problem.table = problem.X
    problem.y = np.eye(n_rows, dtype=dtype)
    regularization = Regularization(input_dropout=rate)
    with problem.session(
        optimizer=SGD(0, False), regularization=regularization, seed=seed, n_threads=n_threads, load=False
    ) as session:
        session.load(problem.network.blank(dtype), t=t)
        session.epoch(problem.rows, 1.0)
        return problem.stored(session)[0].T


def mask_of_units(layer, rate, n_rows, n_units, *, seed=SEED, t=0, alpha_dropout=False):
    """Likewise for a hidden layer: units that are 1, and weights out of them of 0."""
    units = (2, 5, n_units, n_rows) if layer == 2 else (2, n_units, n_rows)
    problem = Problem(units, n_rows, loss="squared_error", activation="identity")
    problem.y = np.eye(n_rows)
    start = problem.network.blank(np.float64)
    start.intercepts[layer - 1][:] = 1
    regularization = Regularization(dropout=(0.0,) * (layer - 1) + (rate,), alpha_dropout=alpha_dropout)
    with problem.session(
        optimizer=SGD(0, False), regularization=regularization, seed=seed, load=False
    ) as session:
        session.load(start, t=t)
        session.epoch(problem.rows, 1.0)
        return problem.stored(session)[layer].T


@pytest.mark.parametrize("t", [0, 3, 10**12])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.93])
def test_the_masks_are_the_specified(rate, t):
    for n_rows, n_units in ((1, 1), (5, 70), (19, 33)):
        for seed in (0, 12345, SEED):
            expected = reference.kept_units(rate, n_rows, n_units, seed, t, 0) / (1 - rate) / n_rows
            np.testing.assert_allclose(
                mask_of_inputs(rate, n_rows, n_units, seed=seed, t=t), expected, rtol=1e-14
            )
            for layer in (1, 2):
                expected = reference.kept_units(rate, n_rows, n_units, seed, t, layer) / (1 - rate) / n_rows
                np.testing.assert_allclose(
                    mask_of_units(layer, rate, n_rows, n_units, seed=seed, t=t), expected, rtol=1e-14
                )


def test_masks_depend_on_nothing_else():
    """Not on threads, on the dtype, or on the chunk that a row is in."""
    n_rows = engine.CHUNK_ROWS + 70
    whole = mask_of_inputs(0.3, n_rows, 40) > 0
    assert np.array_equal(whole, mask_of_inputs(0.3, n_rows, 40, n_threads=3) > 0)
    assert np.array_equal(whole, mask_of_inputs(0.3, n_rows, 40, dtype=np.float32) > 0)
    assert np.array_equal(whole[:31], mask_of_inputs(0.3, 31, 40) > 0)
    assert np.array_equal(whole[:31, :3], mask_of_inputs(0.3, 31, 3) > 0)
    for other in (
        mask_of_inputs(0.3, 31, 40, seed=1),
        mask_of_inputs(0.3, 31, 40, t=1),
        mask_of_units(1, 0.3, 31, 40),
    ):
        assert abs(np.corrcoef(whole[:31].ravel(), (other > 0).ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_is_the_rate(rate):
    kept = mask_of_inputs(rate, 400, 300) > 0
    sigma = np.sqrt(rate * (1 - rate))
    assert abs(kept.mean() - (1 - rate)) < 4 * sigma / np.sqrt(kept.size)
    for axis in (0, 1):  # each row and unit as often as any other
        deviations = (kept.mean(axis=axis) - (1 - rate)) / (sigma / np.sqrt(kept.shape[axis]))
        assert abs(deviations).max() < 4.5 and 0.8 < deviations.std() < 1.2


def test_alpha_dropout_keeps_mean_and_variance():
    """Of units of mean 0 and variance 1, as it was made for; here of ones, whose images are two numbers."""
    rate, floor = 0.3, -1.7580993408473766
    got = mask_of_units(1, rate, 21, 50, alpha_dropout=True) * 21
    kept = reference.kept_units(rate, 21, 50, SEED, 0, 1)
    q = 1 - rate
    a = (q + floor**2 * q * rate) ** -0.5
    np.testing.assert_allclose(got, a * np.where(kept, 1, floor) - a * floor * rate, rtol=1e-13)
    x = np.random.default_rng(0).normal(size=10**6)
    dropped = a * np.where(np.random.default_rng(1).random(10**6) < q, x, floor) - a * floor * rate
    assert abs(dropped.mean()) < 5e-3 and abs(dropped.std() - 1) < 5e-3


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_no_dropout_in_predictions(normalization, kind):
    problem = Problem((40, 9, 8, 3), kind=kind, normalization=normalization)
    dropping = Regularization(dropout=(0.5, 0.5), input_dropout=0.5)
    with problem.session(regularization=dropping) as session, problem.predicting() as predicting:
        assert np.array_equal(session.predict(), predicting.predict())
        assert np.array_equal(session.evaluate()[1], predicting.predict())
        trained = problem.session(regularization=PLAIN)
        assert session.evaluate()[0] == trained.evaluate()[0]
        assert session.epoch(problem.rows, 0.1) != trained.epoch(problem.rows, 0.1)
        trained.close()


def test_seeds_make_runs():
    problem = Problem((12, 9, 8, 3))
    regularization = Regularization(dropout=(0.5, 0.0))

    def run(seed):
        with problem.session(batch_size=16, regularization=regularization, seed=seed) as session:
            return tuple(session.epoch(problem.rows, 0.01) for _ in range(3))

    assert run(0) == run(0) and run(SEED) == run(SEED)
    assert len({run(seed) for seed in (0, 1, 2**32, SEED)}) == 4


# ------------------------------------------------------------------------------------------------------------
# Penalties and limits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", [SGD(0, False), SGD(), Adam(), RMSprop(), Lion()], ids=str)
def test_l1_makes_weights_exactly_zero(rule, dtype):
    """Some, more the larger it is, and by SGD those of inputs that say nothing first; never biases."""
    problem = Problem((20, 16, 2), 200, dtype=dtype, loss="squared_error")
    problem.X[:, 10:] *= 1e-3
    problem.y[...] = problem.X[:, :2]
    zeros = []
    for l1 in (0.0, 3.0, 30.0, 1e6):
        with problem.session(batch_size=50, optimizer=rule, regularization=Regularization(l1=l1)) as session:
            for _ in range(30):
                session.epoch(problem.rows, 0.01)
            first, second, *biases = problem.stored(session)
        zeros.append((first == 0).sum() + (second == 0).sum())
        if l1 == 3.0 and rule.name == "sgd":
            assert (first[10:] == 0).mean() > (first[:10] == 0).mean()
        assert all(np.count_nonzero(bias) for bias in biases[1:])
    assert zeros[0] == 0 <= zeros[1] < zeros[2] <= zeros[3] == 20 * 16 + 16 * 2


@pytest.mark.parametrize("batch_size", [50, engine.CHUNK_ROWS + 40])
@pytest.mark.parametrize("alpha, l1", [(0.7, 0), (0, 0.7), (0.3, 0.7)])
def test_a_batchs_loss_has_the_penalties_of_the_weights_before_it(alpha, l1, batch_size):
    problem = Problem((12, 9, 3), batch_size, weighted=True)
    parameters = problem.parameters()
    squares, sizes = (
        sum((w**2).sum() for w in parameters.coefs),
        sum(np.abs(w).sum() for w in parameters.coefs),
    )
    for rate in (0.0, 0.1):
        with problem.session(regularization=Regularization(alpha=alpha, l1=l1)) as session:
            loss = session.evaluate()[0]
            expected = loss + (alpha / 2 * squares + l1 * sizes) / problem.weight.sum()
            np.testing.assert_allclose(session.epoch(problem.rows, rate), expected, rtol=1e-13)
            parameters = problem.network.blank(np.float64)
            session.store(parameters)
            loss = session.evaluate()[0]
            now = sum(alpha / 2 * (w**2).sum() + l1 * np.abs(w).sum() for w in parameters.coefs)
            np.testing.assert_allclose(
                session.epoch(problem.rows, 0.0), loss + now / problem.weight.sum(), rtol=1e-13
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", [SGD(), AdamW(), Lion()], ids=str)
@pytest.mark.parametrize("normalization", [None, "layer"])
def test_max_norm_bounds_hidden_units_incoming_weights(normalization, rule, dtype):
    problem = Problem((33, 40, 3, 17, 2), 60, dtype=dtype, normalization=normalization)
    with problem.session(
        batch_size=20, optimizer=rule, regularization=Regularization(max_norm=0.4), n_threads=2
    ) as session:
        for _ in range(5):
            session.epoch(problem.rows, 0.05)
        *hidden, last = problem.stored(session)[:4]
    norms = np.concatenate([np.linalg.norm(w.astype(np.float64), axis=0) for w in hidden])
    assert norms.max() <= 0.4 * (1 + 40 * np.finfo(dtype).eps)
    assert (norms > 0.399).any()
    assert np.linalg.norm(last, axis=0).max() > 0.4


# ------------------------------------------------------------------------------------------------------------
# Normalization


@pytest.mark.torch
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("activation", ["tanh", "mish"])
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_training_normalized_layers_is_torchs(normalization, activation, kind, weighted, torch_network):
    """BatchNorm1d's running statistics and predictions from them, too."""
    made = {
        "activation": activation,
        "kind": kind,
        "weighted": weighted,
        "normalization": normalization,
        "norm_eps": 1e-3,
        "norm_momentum": 0.2,
    }
    problem = Problem((40, 18, 35, 3), 100, **made)
    twin = torch_network.Twin(problem.network, problem.parameters())
    theirs = torch_network.torch.optim.SGD(twin.learned, lr=0.02, momentum=0.9, nesterov=True)

    def step():
        if normalization == "batch":
            for bias in twin.intercepts[:-1]:
                bias.grad[:] = 0  # which it is but for rounding
        theirs.step()

    assert_path_is_torchs(twin, problem, step, SGD(), 0.02, n_steps=30)


def test_running_statistics_are_those_of_batches():
    """Of the whole batch, whatever the chunks are; a batch of one row, which has no variance, leaves them
    alone.
    """
    for n_rows in (60, engine.CHUNK_ROWS + 60):
        problem = Problem((12, 9, 8, 3), n_rows, normalization="batch", norm_momentum=1.0)
        with problem.session() as session:
            session.epoch(problem.rows, 0.0)
            *_, mean, _, variance, _ = statistics = problem.stored(session)
            z = problem.X @ problem.parameters().coefs[0]  # of biases of 0
            np.testing.assert_allclose(mean, z.mean(axis=0), rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(variance, z.var(axis=0, ddof=1), rtol=1e-12)
            session.epoch(problem.rows[:1], 0.01)
            after = problem.stored(session)
            assert same(after[-4:], statistics[-4:]) and not np.array_equal(after[0], statistics[0])


def test_biases_under_batch_normalization_stay():
    """Their gradient is 0, also where gradients are clipped, weights decay and chunks would be several."""
    problem = Problem((12, 9, 8, 3), engine.CHUNK_ROWS + 30, normalization="batch")
    limits = Regularization(alpha=0.1, l1=0.1, clip_norm=0.1, clip_value=0.01, max_norm=1.0)
    parameters = problem.parameters()
    for bias in parameters.intercepts:
        bias[...] = 0.7
    for regularization in (PLAIN, limits):
        with problem.session(regularization=regularization, optimizer=AdamW(), load=False) as session:
            session.load(parameters)
            session.epoch(problem.rows, 0.1)
            first, second, third = problem.stored(session)[3:6]
            assert (first == 0.7).all() and (second == 0.7).all() and (third != 0.7).all()
            moments = session.take_moments()
        assert all(not moment[f"layers.{i}.bias"].any() for moment in moments for i in (0, 1))


def test_batch_normalization_folds_into_the_weights_in_predictions():
    problem = Problem((33, 40, 17, 3), normalization="batch", norm_eps=0.1)
    with problem.session(batch_size=20) as session:
        session.epoch(problem.rows, 0.1)
        trained = problem.network.blank(np.float64)
        session.store(trained)
        expected = session.predict()
    hidden = zip(
        trained.coefs,
        trained.intercepts,
        trained.scales,
        trained.shifts,
        trained.means,
        trained.variances,
        strict=False,
    )
    folded = [fold(*layer, eps=0.1) for layer in hidden]
    plain = Network(problem.network.layer_units, "relu", "log_loss")
    coefs, intercepts = zip(*folded, (trained.coefs[2], trained.intercepts[2]), strict=True)
    parameters = Parameters.of_lists(coefs=coefs, intercepts=intercepts)
    np.testing.assert_allclose(
        engine.predict(plain, parameters, problem.X, dtype=np.float64), expected, rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize("n_units", [1, 2, 17])
def test_layer_normalization_of_few_units(n_units):
    """One unit is always its shift."""
    problem = Problem((12, n_units, 3), normalization="layer", activation="identity")
    z, tape = problem.reference()[0].forward(problem.X)
    with problem.predicting() as session:
        np.testing.assert_allclose(session.predict(), reference.softmax(z), rtol=1e-11)
        if n_units == 1:
            assert np.unique(session.predict(), axis=0).shape[0] == 1


def test_alpha_dropout_goes_with_no_normalization():
    problem = Problem(normalization="layer", activation="selu")
    with pytest.raises(ValueError, match="alpha dropout goes with no normalization"):
        problem.session(regularization=Regularization(dropout=(0.5,), alpha_dropout=True))


# ------------------------------------------------------------------------------------------------------------
# Far numbers


def test_a_load_after_a_divergence_starts_clean():
    problem = Problem((12, 9, 3), 40)
    with problem.session(batch_size=10) as session:
        with pytest.raises(engine.NonFinite):
            for _ in range(3):
                session.epoch(problem.rows, 1e200)
        session.load(problem.parameters())
        with problem.session(batch_size=10) as fresh:
            assert session.epoch(problem.rows, 0.01) == fresh.epoch(problem.rows, 0.01)


def test_nadam_goes_on_from_any_step():
    """Its product of momentums is a power of the step's number, and has come to 0 long before."""
    problem = Problem((12, 9, 3), 40)
    with problem.session(batch_size=10, optimizer=NAdam()) as session:
        session.load(problem.parameters(), None, 10**13)
        assert np.isfinite(session.epoch(problem.rows, 0.01))
        assert session.t == 10**13 + 4


@pytest.mark.parametrize("rates", [(0.1, 0.1), (0.1, 0.1, 0.1)])
def test_dropout_has_a_rate_for_each_hidden_layer(rates):
    with pytest.raises(
        ValueError, match=r"dropout must have one rate for each of 1 hidden layers, or none, got \(0.1"
    ):
        Problem((12, 9, 3), 40).session(regularization=Regularization(dropout=rates))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_too_small_for_the_dtype_stay_positive(dtype):
    problem = Problem((12, 9, 3), 40, dtype=dtype)
    first = []
    for penalties in ({}, {"l1": 1e-46}, {"l1": 1e-39}):
        with problem.session(batch_size=10, regularization=Regularization(**penalties)) as session:
            first.append(session.epoch(problem.rows, 1e-6))
    np.testing.assert_allclose(first, first[0], rtol=1e-6)
    with problem.session(
        batch_size=10, optimizer=SGD(), regularization=Regularization(clip_value=1e-300)
    ) as session:
        session.epoch(problem.rows, 1.0)
        for got, start in zip(problem.stored(session), problem.parameters().learned(), strict=True):
            np.testing.assert_allclose(got, start, atol=1e-30)
    with problem.session(batch_size=10, optimizer=RMSprop(epsilon=1e-300)) as session:
        assert np.isfinite(session.epoch(problem.rows, 0.001))


def test_lion_sees_gradients_that_are_infinite():
    problem = Problem((3, 1), 20, dtype=np.float32, loss="absolute_error")
    problem.table = np.full_like(problem.X, 3e38)
    problem.y[:] = 1
    with problem.session(batch_size=20, optimizer=Lion()) as session:
        session.load(problem.parameters().map(np.zeros_like))
        with pytest.raises(engine.NonFinite):
            session.epoch(problem.rows, 0.01)


@pytest.mark.parametrize("isa", engine.instruction_sets())
def test_label_smoothing_of_far_logits(isa):
    # three times the largest overflows
    z = np.array([[1.5e38, 1.4e38, 1.3e38], [1000, 1001, 999.0], [-2e37, 3e37, 2e37]])
    y = np.array([0, 1, 2])
    loss, _ = compiled.KernelTable(isa, np.float32).loss(
        "log_loss", y, z.astype(np.float32), parameters=(0.3,)
    )
    np.testing.assert_allclose(loss, LOSSES["log_loss"].value(y, z, (0.3,)), rtol=1e-6)
