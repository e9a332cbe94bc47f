"""Fits that were steered, interrupted and resumed."""

import pickle

import joblib
import numpy as np
import pytest
from steered_fits import (
    ENGINES,
    At,
    _quiet,  # noqa: F401
    agree,
    setting,
    small,
    table,
    told,
    writing,
)

from nnfast.callbacks import Checkpoint, LiveControl
from nnfast.schedules import Adaptive, Cosine, InvScaling, Plateau


def test_an_order_is_not_carried_out_again_when_the_fit_goes_on(tmp_path):
    X, y = table()
    path, saved = tmp_path / "control.toml", tmp_path / "net.joblib"
    path.write_text('learning_rate = 0.02\nclip_norm = 0.5\nsave = "net.joblib"\nstop = true\n')
    estimator = small(callbacks=[LiveControl(path)], warm_start="full", learning_rate="cosine").fit(X, y)
    assert estimator.n_iter_ == 0
    assert not saved.exists()
    estimator.fit(X, y)  # from scratch but for `stop`, and the file has to wait for an epoch
    assert joblib.load(saved).n_iter_ == 1
    assert told(path)["skipped"] == ["stop = true"]
    saved.unlink()
    estimator.fit(X, y)
    assert estimator.n_iter_ == 6
    assert not saved.exists()
    plain = small(
        warm_start="full", learning_rate="cosine", callbacks=[At({0: setting(learning_rate=0.02)})]
    ).fit(X, y)
    plain.set_params(callbacks=None).fit(X, y)
    assert estimator.learning_rate_curve_ == pytest.approx(plain.learning_rate_curve_)
    state = told(path)
    assert state["epochs_before"] == 6
    assert state["clip_norm"] == 0.5
    assert state["skipped"] == ["learning_rate = 0.02", 'save = "net.joblib"', "stop = true"]
    assert [each["what"] for each in state["applied"]] == [
        "learning_rate = 0.02",
        "clip_norm = 0.5",
        'save = "net.joblib"',
    ]
    path.write_text("learning_rate = 0.01\n")
    estimator.fit(X, y)
    assert "skipped" not in told(path)


def test_a_fit_from_scratch_obeys_what_is_not_stop(tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    path.write_text("learning_rate = 0.02\nclip_norm = 0.5\n")
    estimator = small(
        callbacks=[LiveControl(path), writing(path, {3: "learning_rate = 0.02\nstop = true\n"})]
    )
    for n_epochs in (4, 6):
        estimator.fit(X, y)
        assert estimator.learning_rate_curve_ == pytest.approx(n_epochs * [0.02])
    state = told(path)
    assert state["skipped"] == ["stop = true"]
    assert [each["what"] for each in state["applied"]] == ["learning_rate = 0.02"]


@pytest.mark.parametrize("first", ["LiveControl", "the other"])
@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("at", [0, 3])
def test_a_rate_outlives_a_callback_that_fails_in_its_epoch(at, resumed, first, tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    estimator = small(warm_start="full")
    if resumed:
        estimator.fit(X, y)
    n_before = 6 * resumed
    callbacks = [
        writing(path, {at: "learning_rate = 0.02\n"}),
        LiveControl(path),
        At({at: KeyboardInterrupt()}),
    ]
    estimator.set_params(
        callbacks=callbacks if first == "LiveControl" else [callbacks[0], callbacks[2], callbacks[1]]
    )
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    estimator.set_params(callbacks=[LiveControl(path)]).fit(X, y)
    assert estimator.learning_rate_curve_ == pytest.approx((n_before + at) * [0.001] + 6 * [0.02])


@pytest.mark.parametrize("epoch", [3, 4])
def test_a_fit_that_goes_on_from_before_a_rate_was_set_sets_it(epoch, tmp_path):
    X, y = table()
    path, text = tmp_path / "control.toml", 'learning_rate = 0.02\nsave = "net.joblib"\n'
    callbacks = [
        writing(path, {1: "learning_rate = 0.02\n", 3: "learning_rate = 0.01\n", 4: text}),
        LiveControl(path),
    ]
    small(callbacks=[*callbacks, Checkpoint(tmp_path / "net-{epoch}.joblib")], warm_start="full").fit(X, y)
    (tmp_path / "net.joblib").unlink()
    resumed = (
        joblib.load(tmp_path / f"net-{epoch}.joblib").set_params(callbacks=[LiveControl(path)]).fit(X, y)
    )
    rates = [0.001, 0.02, 0.02, 0.01]
    assert resumed.learning_rate_curve_ == pytest.approx(rates[:epoch] + 6 * [0.02])
    state = told(path)
    orders = [(each["epoch"], each["what"]) for each in state["applied"] if "save" not in each["what"]]
    assert orders == [
        (1, "learning_rate = 0.02"),
        (3, "learning_rate = 0.01"),
        (epoch, "learning_rate = 0.02"),
    ]
    # What was saved is there, of a network that had come farther.
    assert state["skipped"] == [*(["learning_rate = 0.02"] if epoch == 4 else []), 'save = "net.joblib"']
    assert not (tmp_path / "net.joblib").exists()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_rate_is_set_again_where_the_schedule_begins_anew(schedule, tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    path.write_text("learning_rate = 0.02\n")
    estimator = (
        small(callbacks=[LiveControl(path)], warm_start=True, learning_rate=schedule).fit(X, y).fit(X, y)
    )
    assert ("skipped" in told(path)) == (schedule == "cosine")  # which goes on
    plain = small(
        callbacks=[At({0: setting(learning_rate=0.02)})], warm_start=True, learning_rate=schedule
    ).fit(X, y)
    if schedule == "cosine":
        plain.set_params(callbacks=None)
    assert estimator.learning_rate_curve_ == pytest.approx(plain.fit(X, y).learning_rate_curve_)


def test_an_interrupt_while_an_order_is_carried_out_forgets_no_other(tmp_path, monkeypatch):
    X, y = table()
    path = tmp_path / "control.toml"
    path.write_text("stop = true\n")
    estimator = small(callbacks=[LiveControl(path)], warm_start="full").fit(X, y)
    path.write_text('save = "net.joblib"\nstop = true\n')

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(joblib, "dump", interrupted)
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, y)
    estimator.fit(X, y)
    assert told(path)["skipped"] == ["stop = true"]
    assert len(joblib.load(tmp_path / "net.joblib").loss_curve_) == 2


def test_an_order_that_could_not_be_carried_out_is_tried_again_by_the_next_fit(tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    path.write_text('save = "there/net.joblib"\n')
    estimator = small(callbacks=[LiveControl(path)], warm_start="full")
    with pytest.warns(UserWarning, match="save = .* could not be done"):
        estimator.fit(X, y)
    (tmp_path / "there").mkdir()
    estimator.fit(X, y)
    assert len(joblib.load(tmp_path / "there" / "net.joblib").loss_curve_) == 7


@pytest.mark.parametrize("calls", ["partial_fit", "warm start"])
def test_pieces_remember_what_was_read(calls, tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    path.write_text('learning_rate = 0.02\nclip_norm = 0.5\nsave = "net.joblib"\n')
    estimator = small(callbacks=[LiveControl(path)], solver="sgd", max_iter=1, warm_start="full")
    for n in range(4):
        if n == 2:
            path.write_text("learning_rate = 0.01\nclip_norm = 0.5\n")
        estimator.partial_fit(X, y, classes=[0, 1]) if calls == "partial_fit" else estimator.fit(X, y)
    assert estimator.learning_rate_curve_ == pytest.approx([0.02, 0.02, 0.01, 0.01])
    assert joblib.load(tmp_path / "net.joblib").n_iter_ == 1
    orders = [(each["epoch"], each["what"]) for each in told(path)["applied"]]
    assert [each for each in orders if "clip" not in each[1]] == [
        (0, "learning_rate = 0.02"),
        (1, 'save = "net.joblib"'),
        (2, "learning_rate = 0.01"),
    ]
    assert [each for each in orders if "clip" in each[1]] == [(0, "clip_norm = 0.5")]
    assert told(path)["clip_norm"] == 0.5
    path.write_text("clip_norm = 0.25\n")
    estimator.fit(X, y)
    path.write_text("# none\n")
    estimator.fit(X, y)
    orders = [(each["epoch"], each["what"]) for each in told(path)["applied"]]
    assert orders[-2:] == [(4, "clip_norm = 0.25"), (5, "clip_norm = inf")]


SCHEDULES = {
    "constant": "constant",
    "invscaling": InvScaling(power_t=0.2),
    "adaptive": Adaptive(),
    "cosine": Cosine(floor=1e-4),
    "plateau": Plateau(patience=0, threshold=1.0),
}


@ENGINES
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_interrupted_fit_goes_on_with_what_was_changed(schedule, engine):
    if engine == "numba":
        pytest.importorskip("numba")
    X, y = table()
    parameters = {
        "learning_rate": SCHEDULES[schedule],
        "solver": "sgd",
        "warm_start": "full",
        "engine": engine,
        "tol": 0.05,
        "n_iter_no_change": 2,
        "learning_rate_init": 0.04,
    }
    estimator = small(callbacks=[At({4: KeyboardInterrupt()})], **parameters)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    plain = (
        small(callbacks=[At({4: lambda state: state.stop()})], **parameters)
        .fit(X, y)
        .set_params(callbacks=None)
    )
    assert agree(estimator, plain)
    assert len(estimator.loss_curve_) == 4
    before, copied = list(estimator.loss_curve_), pickle.loads(pickle.dumps(estimator))
    unchanged = copied.set_params(callbacks=None).fit(X, y)
    estimator.set_params(callbacks=None, learning_rate_init=0.01, clip_norm=0.05).fit(X, y)
    for name, curve in estimator.history_.items():
        assert len(curve) == len(estimator.history_["loss"]) > 4, name
    assert estimator.loss_curve_[:4] == before
    n = min(len(estimator.loss_curve_), len(unchanged.loss_curve_), 5)
    # The first epoch: later ones depend on stalls, which depend on the losses.
    ours, theirs = (each.learning_rate_curve_[4:n] for each in (estimator, unchanged))
    if schedule == "cosine":  # whose floor stays
        ours, theirs = np.subtract(ours, 1e-4), np.subtract(theirs, 1e-4)
        assert ours == pytest.approx(theirs * (0.01 - 1e-4) / (0.04 - 1e-4))
    else:
        assert ours == pytest.approx([rate / 4 for rate in theirs])
    same_start = small(**parameters | {"learning_rate_init": 0.01, "clip_norm": 0.05})
    same_start.__dict__ |= {
        name: value for name, value in vars(plain).items() if name.endswith("_") or name.startswith("_")
    }
    assert agree(same_start.fit(X, y), estimator)


def test_a_new_learning_rate_init_takes_the_place_of_a_rate_that_was_set():
    X, y = table()
    first = small(warm_start="full", callbacks=[At({2: setting(learning_rate=0.05)})]).fit(X, y)
    kept = pickle.dumps(first.set_params(callbacks=None))
    assert pickle.loads(kept).fit(X, y).learning_rate_curve_ == pytest.approx(2 * [0.001] + 10 * [0.05])
    changed = pickle.loads(kept).set_params(learning_rate_init=0.002).fit(X, y)
    assert changed.learning_rate_curve_ == pytest.approx(2 * [0.001] + 4 * [0.05] + 6 * [0.002])
    # partial_fit has the hyperparameters of the call that began
    assert pickle.loads(kept).set_params(learning_rate_init=0.002).partial_fit(X, y).learning_rate_curve_[
        -1
    ] == pytest.approx(0.05)


def test_an_estimator_that_was_pickled_before_the_rate_was_noted_goes_on():
    X, y = table()
    estimator = small(warm_start="full", learning_rate=Plateau()).fit(X, y)
    del estimator._optimizer["schedule"]["learning_rate_init"]
    assert len(estimator.fit(X, y).loss_curve_) == 12
