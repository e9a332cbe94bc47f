"""The schedules: torch's step by step, and the properties that all of them share."""

import builtins
import itertools
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from nnfast import schedules
from nnfast.schedules import (
    SCHEDULES,
    Adaptive,
    Constant,
    Cosine,
    CosineRestarts,
    Custom,
    Cyclic,
    Exponential,
    InvScaling,
    Linear,
    OneCycle,
    Plateau,
    Polynomial,
    Schedule,
    Step,
    resolve_schedule,
)

RATE, N_STEPS, N_EPOCHS = 0.1, 7, 12
N_TOTAL = N_STEPS * N_EPOCHS
# What a fit might report: falls, stays, and is negative where it is minus a score.
METRICS = (
    0.9,
    0.7,
    0.7,
    0.71,
    0.69999,
    0.2,
    0.2,
    0.2,
    0.3,
    -0.1,
    -0.1,
    -0.1,
    -0.1,
    -0.1,
    -0.4,
    -0.4,
    -0.4,
    -0.4,
)


def halving(progress):
    return 1 - progress / 2


# Each kind twice, at least: as its name gives it, and with every hyperparameter changed.
KINDS = [
    Constant(),
    InvScaling(),
    InvScaling(power_t=0.1),
    Adaptive(),
    Step(),
    Step(factor=0.5, every=2.5),
    Step(factor=0.3, at=[1, 4.5, 8]),
    Exponential(),
    Exponential(factor=0.7),
    Polynomial(),
    Polynomial(power=2.5),
    Linear(),
    Cosine(),
    CosineRestarts(),
    CosineRestarts(cycle=1.5, multiplier=2),
    CosineRestarts(cycle=1, multiplier=1.5),
    OneCycle(),
    OneCycle(rise=0.5, start_factor=0.1, end_factor=0.01),
    OneCycle(rise=0.0),
    OneCycle(rise=0.9),
    Cyclic(),
    Cyclic(cycle=3, mode="triangular2", start_factor=0.01),
    Cyclic(cycle=2.5, mode="exponential", factor=0.8, start_factor=0.5),
    Plateau(),
    Plateau(factor=0.5, patience=1, threshold=0.01, cooldown=2),
    Custom(halving),
]
every_kind = pytest.mark.parametrize("schedule", KINDS, ids=repr)


def walk(run, n_epochs, first=0):
    """The rates of every step of some epochs, with the bookkeeping of a fit that stalls after every
    fourth.
    """
    rates = []
    for epoch in range(first, first + n_epochs):
        rates.append(run.rates())
        assert rates[-1].dtype == np.float64 and rates[-1].shape == (run.steps_per_epoch,)
        run.after_epoch(100 * (epoch + 1), METRICS[epoch % len(METRICS)])
        if epoch % 4 == 3:
            run.after_stall()
    return np.concatenate(rates)


def fitted_rates(schedule, n_epochs=N_EPOCHS, **changes):
    return walk(replace(schedule, **changes).start(RATE, N_STEPS, N_EPOCHS), n_epochs)


def test_registry():
    kinds = {
        kind for kind in vars(schedules).values() if isinstance(kind, type) and issubclass(kind, Schedule)
    }
    assert kinds - {Schedule, Custom} == set(SCHEDULES.values()) == {type(s) for s in KINDS} - {Custom}
    assert (
        " ".join(SCHEDULES)
        == "constant invscaling adaptive step exponential polynomial cosine cosine_restarts linear one_cycle"
        " cyclic plateau"
    )
    for name, kind in SCHEDULES.items():
        assert kind.name == name and kind().name == name and resolve_schedule(name) == kind()


# ------------------------------------------------------------------------------------------------------------
# Against torch


def torch_rates(make, n=N_TOTAL, rate=RATE):
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for _ in range(n):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def cyclic(L, o, **options):
    return L.CyclicLR(o, max_lr=RATE, cycle_momentum=False, **options)


def one_cycle(L, o, **options):
    return L.OneCycleLR(o, max_lr=RATE, total_steps=N_TOTAL, **options)


def warm(main, n_warmup):
    """A linear climb before torch's own schedule."""
    return lambda L, o: L.SequentialLR(
        o,
        [L.LinearLR(o, start_factor=1 / n_warmup, total_iters=n_warmup - 1), main(L, o)],
        milestones=[n_warmup],
    )


@pytest.mark.parametrize(
    "schedule, make",
    [
        (Step(0.3, 2), lambda L, o: L.StepLR(o, 2 * N_STEPS, gamma=0.3)),
        (Step(every=3), lambda L, o: L.StepLR(o, 3 * N_STEPS)),
        (
            Step(0.3, at=[1, 4, 8]),
            lambda L, o: L.MultiStepLR(o, [N_STEPS, 4 * N_STEPS, 8 * N_STEPS], gamma=0.3),
        ),
        (Exponential(0.9), lambda L, o: L.ExponentialLR(o, 0.9 ** (1 / N_STEPS))),
        (Polynomial(), lambda L, o: L.PolynomialLR(o, N_TOTAL)),
        (Polynomial(2.5), lambda L, o: L.PolynomialLR(o, N_TOTAL, power=2.5)),
        (Cosine(), lambda L, o: L.CosineAnnealingLR(o, N_TOTAL)),
        (Cosine(floor=0.01), lambda L, o: L.CosineAnnealingLR(o, N_TOTAL, eta_min=0.01)),
        (CosineRestarts(2), lambda L, o: L.CosineAnnealingWarmRestarts(o, 2 * N_STEPS)),
        (
            CosineRestarts(1, 2, floor=0.01),
            lambda L, o: L.CosineAnnealingWarmRestarts(o, N_STEPS, T_mult=2, eta_min=0.01),
        ),
        (Linear(), lambda L, o: L.LinearLR(o, 1.0, end_factor=0.0, total_iters=N_TOTAL)),
        (Linear(floor=0.02), lambda L, o: L.LinearLR(o, 1.0, end_factor=0.2, total_iters=N_TOTAL)),
        (OneCycle(), one_cycle),
        (
            OneCycle(rise=0.45, start_factor=0.1, end_factor=0.01),
            lambda L, o: one_cycle(L, o, pct_start=0.45, div_factor=10, final_div_factor=100),
        ),
        (Cyclic(2, start_factor=0.1), lambda L, o: cyclic(L, o, base_lr=0.01, step_size_up=N_STEPS)),
        (
            Cyclic(2, start_factor=0.0, floor=0.03),
            lambda L, o: cyclic(L, o, base_lr=0.03, step_size_up=N_STEPS),
        ),
        (
            Cyclic(4, "triangular2"),
            lambda L, o: cyclic(L, o, base_lr=0.025, step_size_up=2 * N_STEPS, mode="triangular2"),
        ),
        (
            Cyclic(2, "exponential", 0.8),
            lambda L, o: cyclic(
                L, o, base_lr=0.025, step_size_up=N_STEPS, mode="exp_range", gamma=0.8 ** (1 / N_STEPS)
            ),
        ),
        (Constant(warmup=10), lambda L, o: L.LinearLR(o, start_factor=0.1, total_iters=9)),
        (Cosine(warmup=10), warm(lambda L, o: L.CosineAnnealingLR(o, N_TOTAL - 10), 10)),
        (Step(0.3, 2, warmup=10), warm(lambda L, o: L.StepLR(o, 2 * N_STEPS, gamma=0.3), 10)),
        (CosineRestarts(2, warmup=10), warm(lambda L, o: L.CosineAnnealingWarmRestarts(o, 2 * N_STEPS), 10)),
    ],
    ids=repr,
)
@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")  # of torch's own SequentialLR
def test_torch_step_by_step(schedule, make):
    # torch multiplies from step to step, and divides by what cancels near its zeros: absolute there.
    np.testing.assert_allclose(fitted_rates(schedule), torch_rates(make), rtol=1e-12, atol=1e-12 * RATE)


@pytest.mark.torch
@pytest.mark.parametrize("patience, cooldown, factor", list(itertools.product([0, 1, 3], [0, 2], [0.5, 0.1])))
def test_torch_plateau(patience, cooldown, factor):
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=factor, patience=patience, cooldown=cooldown, threshold=0.01, min_lr=0.004
    )
    run = Plateau(factor, patience, 0.01, cooldown, floor=0.004).start(RATE, N_STEPS, N_EPOCHS)
    rng, metric, drops = np.random.default_rng(0), 1.0, set()
    for epoch in range(60):
        np.testing.assert_allclose(run.rates(), optimizer.param_groups[0]["lr"], rtol=1e-12)
        metric *= 1 - rng.choice([-0.02, 0.0, 0.009, 0.02])
        scheduler.step(metric)
        run.after_epoch(epoch, metric)
        drops.add(run.learning_rate)
    assert len(drops) > 2


def test_plateau_of_a_negative_metric_or_none():
    run = Plateau(0.5, patience=0).start(RATE, N_STEPS, N_EPOCHS)
    rates = []
    for metric in (-0.8, -0.8, -0.9, -0.900001, math.nan):
        run.after_epoch(1, metric)
        rates.append(run.learning_rate)
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.05, 0.025, 0.0125])
    run = Plateau(0.5, patience=0).start(RATE, N_STEPS, N_EPOCHS)
    run.after_epoch(1, math.nan)
    run.after_epoch(2, 3.0)  # anything is better than NaN
    assert run.learning_rate == RATE
    with pytest.raises(ValueError, match="plateau.*metric"):
        run.after_epoch(3)


# ------------------------------------------------------------------------------------------------------------
# scikit-learn's three


def test_the_arithmetic_of_scikit_learn():
    optimizers = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    for power_t in (0.5, 0.3):
        oracle = optimizers.SGDOptimizer([], RATE, "invscaling", power_t=power_t)
        run = InvScaling(power_t).start(RATE, N_STEPS, N_EPOCHS)
        for epoch in range(1, 20):
            assert set(run.rates()) == {oracle.learning_rate} and run.learning_rate == oracle.learning_rate
            run.after_epoch(37 * epoch, 1.0)
            oracle.iteration_ends(37 * epoch)
    oracle = optimizers.SGDOptimizer([], RATE, "adaptive")
    run, go_on = Adaptive().start(RATE, N_STEPS, N_EPOCHS), True
    for epoch in range(1, 20):
        assert set(run.rates()) == {oracle.learning_rate}
        if epoch % 2:
            stops = oracle.trigger_stopping("", False)
            go_on, words = run.after_stall()
            assert go_on is not stops
            assert words == (
                f"Setting learning rate to {oracle.learning_rate:f}"
                if go_on
                else "Learning rate too small. Stopping."
            )
        run.after_epoch(100 * epoch, 1.0)
    assert not go_on
    assert set(fitted_rates(Constant())) == {RATE}


@every_kind
def test_only_adaptive_goes_on_after_a_stall(schedule):
    run = schedule.start(RATE, N_STEPS, N_EPOCHS)
    assert run.after_stall() == (
        (True, "Setting learning rate to 0.020000")
        if isinstance(schedule, Adaptive)
        else (False, "Stopping.")
    )


def test_adaptive_stops_at_its_floor():
    run = Adaptive(floor=0.01).start(RATE, N_STEPS, N_EPOCHS)
    assert [run.after_stall()[0] for _ in range(3)] == [True, True, False]
    assert run.learning_rate == 0.01


# ------------------------------------------------------------------------------------------------------------
# What all have


@every_kind
def test_floor(schedule):
    floored, rates = fitted_rates(schedule, 3 * N_EPOCHS, floor=0.04), fitted_rates(schedule, 3 * N_EPOCHS)
    assert floored.min() >= 0.04 and floored.max() <= RATE * (1 + 1e-12)
    assert rates.min() >= 0 and rates.max() <= RATE * (1 + 1e-12)
    # those between the floor and the base
    if isinstance(schedule, Cosine | CosineRestarts | Linear | Polynomial):
        np.testing.assert_allclose(floored, 0.04 + 0.6 * rates, rtol=1e-12)
    elif not isinstance(schedule, OneCycle | Cyclic | Adaptive | Plateau):
        np.testing.assert_array_equal(floored, np.maximum(rates, 0.04))


@every_kind
@pytest.mark.parametrize(
    "n_warmup, warmup, unit",
    [
        (14, 14, "steps"),
        (14, 2, "epochs"),
        (14, 1 / 6, "fraction"),
        (10, 10, "steps"),
        (10, 10 / 7, "epochs"),
        (10, 10 / 84, "fraction"),
        (1, 1, "steps"),
    ],
)
def test_warmup(schedule, n_warmup, warmup, unit):
    rates = fitted_rates(schedule, warmup=warmup, warmup_unit=unit)
    first = replace(schedule).start(RATE, N_STEPS, N_EPOCHS).learning_rate
    ramp = first * np.arange(1, n_warmup + 1) / n_warmup
    np.testing.assert_allclose(rates[:n_warmup], ramp, rtol=1e-12)
    # those that go by epochs alone
    if isinstance(schedule, Constant | Step | Exponential | CosineRestarts | Cyclic):
        np.testing.assert_allclose(
            rates[n_warmup:], fitted_rates(schedule)[: N_TOTAL - n_warmup], rtol=1e-10, atol=1e-15
        )
    # those that fill what remains, here in one epoch
    elif not isinstance(schedule, InvScaling | Adaptive | Plateau):
        rest = walk(schedule.start(RATE, N_TOTAL - n_warmup, 1), 1)
        np.testing.assert_allclose(rates[n_warmup:], rest, rtol=1e-10, atol=1e-15)


@every_kind
@pytest.mark.parametrize("n_warmup", [N_TOTAL, N_TOTAL + 1, 10 * N_TOTAL])
def test_a_warmup_as_long_as_the_run_climbs_to_the_first_rate(schedule, n_warmup):
    rates = fitted_rates(schedule, warmup=n_warmup)
    first = schedule.start(RATE, N_STEPS, N_EPOCHS).learning_rate
    climbs = walk(replace(schedule, warmup=n_warmup).start(RATE, N_STEPS, N_EPOCHS), n_warmup // N_STEPS)
    assert len(rates) == N_TOTAL
    assert first > 0
    if not isinstance(schedule, Adaptive):  # which falls where the fit stalls, in the warmup, too
        for each in (rates, climbs):
            np.testing.assert_allclose(each, first * np.arange(1, len(each) + 1) / n_warmup, rtol=1e-12)
    assert rates.min() > 0


def test_warmup_delays_what_a_run_decides():
    run = InvScaling(warmup=10).start(RATE, N_STEPS, N_EPOCHS)
    rates = walk(run, 4)
    assert (
        set(rates[9:14]) == {RATE}
        and set(rates[14:21]) == {RATE / 101**0.5}
        and set(rates[21:]) == {RATE / 201**0.5}
    )
    run = Plateau(0.5, patience=0, warmup=2, warmup_unit="epochs").start(RATE, N_STEPS, N_EPOCHS)
    for metric, expected in [(1.0, RATE), (2.0, RATE), (2.0, RATE / 2)]:
        run.after_epoch(1, metric)
        assert run.rates()[-1] == pytest.approx(expected)


@every_kind
def test_the_end(schedule):
    rates = fitted_rates(schedule, 4 * N_EPOCHS)[N_TOTAL:]
    ends = {"polynomial": 0.0, "cosine": 0.0, "linear": 0.0, "custom": RATE / 2}
    if schedule.name == "one_cycle":
        ends["one_cycle"] = RATE * schedule.start_factor * schedule.end_factor
    if schedule.name in ends:
        np.testing.assert_allclose(rates, ends[schedule.name], rtol=1e-12, atol=1e-17)
    elif schedule.name not in ("constant", "adaptive", "plateau") and schedule != Step(
        factor=0.3, at=[1, 4.5, 8]
    ):
        assert len(set(rates)) > 1


@every_kind
@pytest.mark.parametrize("warmup", [0, 3, 10, 28, 1000])
def test_a_state_goes_on_as_if_nothing_had_happened(schedule, warmup):
    schedule = replace(schedule, warmup=warmup, floor=1e-5)
    expected = walk(schedule.start(RATE, N_STEPS, N_EPOCHS), 18)
    run, rates = schedule.start(RATE, N_STEPS, N_EPOCHS), []
    for epoch in range(18):
        state = run.state
        assert all(type(value) in (int, float, str) for value in state.values())
        run = schedule.start(RATE, N_STEPS, N_EPOCHS, pickle.loads(pickle.dumps(state)))
        rates.append(walk(run, 1, epoch))
    np.testing.assert_array_equal(np.concatenate(rates), expected)


@every_kind
def test_epochs_of_any_number_of_steps(schedule):
    # In a stream an epoch is a step, and the same schedule is only sampled otherwise.
    schedule = replace(schedule, warmup=9)
    state, rates, n_done = None, [], 0
    for epoch, n_steps in enumerate((4, 1, 9, 3, 30, 2, 8, 1, 1, 5, 6, 3, 4, 2)):
        run = schedule.start(RATE, n_steps, N_EPOCHS, state)
        rates.append(walk(run, 1, epoch))
        state, n_done = run.state, n_done + n_steps
        assert (state["n_steps"], state["n_epochs"]) == (n_done, epoch + 1)
    rates = np.concatenate(rates)
    np.testing.assert_allclose(rates[:9], rates[8] * np.arange(1, 10) / 9, rtol=1e-12)
    assert (rates >= 0).all() and rates.max() <= RATE * (1 + 1e-12)
    if isinstance(schedule, Step | Exponential | Polynomial | Linear | Cosine):
        assert (np.diff(rates[9:]) <= 0).all()


@every_kind
@pytest.mark.parametrize("warmup", [0, 20])
def test_the_rate_can_be_set(schedule, warmup):
    schedule = replace(schedule, warmup=warmup)
    plain, run = (schedule.start(RATE, N_STEPS, N_EPOCHS) for _ in range(2))
    first = walk(plain, 2)
    np.testing.assert_array_equal(walk(run, 2), first)
    assert run.learning_rate == run.rates()[0] == plain.rates()[0]
    for value in (0.02, 0.05):  # the last one counts
        run.learning_rate = value
        assert run.learning_rate == run.rates()[0] == pytest.approx(value, rel=1e-15)
    scale = value / plain.learning_rate
    run = schedule.start(RATE, N_STEPS, N_EPOCHS, run.state)
    np.testing.assert_allclose(walk(run, 1, 2), scale * walk(plain, 1, 2), rtol=1e-14)


def test_what_the_rate_cannot_be_set_to():
    run = Linear().start(RATE, N_STEPS, 1)
    for value in (0, -0.1, math.nan, "a", None):
        with pytest.raises(ValueError, match="learning_rate must be a positive number, got"):
            run.learning_rate = value
    run.after_epoch(1, 1.0)
    with pytest.raises(ValueError, match=r"learning_rate=0.1 .*Linear\(\).*floor"):
        run.learning_rate = 0.1
    assert run.learning_rate == 0 and run.state["scale"] == 1


def test_another_schedule_goes_on_from_a_state():
    run = Plateau(0.5, patience=0).start(RATE, N_STEPS, N_EPOCHS)
    walk(run, 6)
    expected = fitted_rates(Cosine())[6 * N_STEPS :]
    np.testing.assert_allclose(
        walk(Cosine().start(RATE, N_STEPS, N_EPOCHS, run.state), 6, 6), expected, rtol=1e-12
    )


class Holder(BaseEstimator):
    def __init__(self, learning_rate="constant"):
        self.learning_rate = learning_rate


@every_kind
def test_plain_values(schedule):
    schedule = replace(schedule, warmup=0.25, warmup_unit="fraction", floor=1e-4)
    copies = [pickle.loads(pickle.dumps(schedule)), clone(Holder(schedule)).learning_rate, replace(schedule)]
    if not isinstance(schedule, Custom):
        copies.append(eval(repr(schedule)))
    for copy in copies:
        assert copy == schedule and hash(copy) == hash(schedule) and repr(copy) == repr(schedule)
    assert schedule != replace(schedule, floor=2e-4)
    with pytest.raises(AttributeError):
        schedule.floor = 0.1


def test_repr_says_what_is_not_the_default():
    assert repr(Cosine()) == "Cosine()"
    assert (
        repr(Step(0.1, at=[3, 5], warmup=2, warmup_unit="epochs"))
        == "Step(at=(3, 5), warmup=2, warmup_unit='epochs')"
    )


def test_resolve_schedule():
    assert resolve_schedule("invscaling", 0.3) == InvScaling(0.3)
    schedule = Cosine(warmup=5)
    assert resolve_schedule(schedule) is schedule
    assert resolve_schedule(halving) == Custom(halving)


@pytest.mark.parametrize(
    "learning_rate, message",
    [
        ("cosin", r"got 'cosin'\. Did you mean 'cosine'\?"),
        ("OneCycle", r"Did you mean 'one_cycle'\?"),
        ("Cosine restarts", r"Did you mean 'cosine_restarts'\?"),
        ("xyz", r"one of 'constant', .*'plateau', a schedule.*f\(progress\) -> factor, got 'xyz'\.$"),
        (Cosine, r"Did you mean Cosine\(\)\?"),
        (0.01, r"got 0\.01\. The rate itself is learning_rate_init"),
        (None, "got None"),
        (["cosine"], "got"),
    ],
)
def test_resolve_schedule_errors(learning_rate, message):
    with pytest.raises(ValueError, match=message):
        resolve_schedule(learning_rate)


@pytest.mark.parametrize(
    "kind, bad",
    [
        *((Constant, {"warmup": value}) for value in (-1, 2.5, math.inf, math.nan, "3", None, True)),
        (Constant, {"warmup": -0.5, "warmup_unit": "epochs"}),
        (Constant, {"warmup": 1.5, "warmup_unit": "fraction"}),
        (Constant, {"warmup_unit": "batches"}),
        (Constant, {"floor": -1e-3}),
        (Constant, {"floor": "0"}),
        (InvScaling, {"power_t": "0.5"}),
        (Step, {"factor": 0}),
        (Step, {"every": 0}),
        *((Step, {"at": value}) for value in (5, "12", [], [3, 2], [0, 2], [2, 2], [1, "b"])),
        (Exponential, {"factor": -1}),
        (Polynomial, {"power": 0}),
        (CosineRestarts, {"cycle": 0}),
        (CosineRestarts, {"multiplier": 0.5}),
        (OneCycle, {"rise": 1.0}),
        (OneCycle, {"start_factor": 0}),
        (OneCycle, {"end_factor": 2}),
        (Cyclic, {"cycle": -1}),
        (Cyclic, {"mode": "square"}),
        (Cyclic, {"factor": 2}),
        (Cyclic, {"start_factor": -1}),
        (Cyclic, {"warmup": 5, "start_factor": 0}),
        (Plateau, {"factor": 1}),
        (Plateau, {"patience": 1.5}),
        (Plateau, {"threshold": -1}),
        (Plateau, {"cooldown": -1}),
        (Custom, {"function": 3}),
    ],
    ids=repr,
)
def test_errors_name_parameter_and_value(kind, bad):
    with pytest.raises(ValueError) as error:
        kind(**bad)
    parameter, value = next(iter(bad.items()))
    assert str(error.value).startswith(f"{parameter} of {kind.__name__} must be ")
    assert str(error.value).endswith(f", got {value!r}.")


def test_errors_of_a_start():
    with pytest.raises(
        ValueError, match="floor of Cosine must be at most learning_rate_init=0.001, got 0.01"
    ):
        Cosine(floor=0.01).start(0.001, 10, 10)
    for bad in (-1.0, math.nan, math.inf, None):
        with pytest.raises(ValueError, match="learning_rate must return a factor .* at progress 0.0"):
            Custom(lambda progress, bad=bad: bad).start(RATE, N_STEPS, N_EPOCHS).rates()


# ------------------------------------------------------------------------------------------------------------
# The picture


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@every_kind
def test_plot(schedule, pyplot):
    axes = pyplot.subplots()[1]
    assert schedule.plot(RATE, max_epochs=N_EPOCHS, steps_per_epoch=N_STEPS, ax=axes) is axes
    (line,) = axes.get_lines()
    np.testing.assert_allclose(line.get_xdata(), np.arange(N_TOTAL) / N_STEPS)
    run, expected = schedule.start(RATE, N_STEPS, N_EPOCHS), []
    for epoch in range(N_EPOCHS):  # as the title says
        expected.append(run.rates())
        run.after_epoch(200 * N_STEPS * (epoch + 1), metric=0.5)
        if epoch == 10:
            run.after_stall()
    np.testing.assert_array_equal(line.get_ydata(), np.concatenate(expected))
    depends = isinstance(schedule, InvScaling | Adaptive | Plateau)
    assert axes.get_title().startswith(schedule.name) and (", if " in axes.get_title()) == depends


def test_plot_makes_axes_and_ends_with_the_fit(pyplot):
    axes = Adaptive().plot()
    assert axes.get_xlabel() == "epoch" and axes.get_ylabel() == "learning rate"
    x, y = axes.get_lines()[0].get_data()
    assert x[-1] < 11 * 6 and len(set(y)) == 6  # 1e-3, a fifth five times, and the stop below 1e-6


def test_plot_without_matplotlib(monkeypatch):
    real_import = builtins.__import__

    def fail(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ImportError, match=r"pip install 'nnfast\[plot\]'"):
        Cosine().plot()
