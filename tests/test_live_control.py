"""Steering a long fit: LiveControl and its files, clipping that changes between epochs, and going on after an
interrupt.
"""

import functools
import importlib
import math
import os
import pickle
import signal
import tomllib
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import small as small_ones
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from nnfast import MLPRegressor, engines
from nnfast.callbacks import Callback, Checkpoint, LiveControl
from nnfast.callbacks.live_control import _toml
from nnfast.schedules import Adaptive, Cosine, InvScaling, Plateau

table = functools.partial(small_ones.table, n_samples=60)
small = functools.partial(small_ones.small, max_iter=6, shuffle=False)

ENGINES = pytest.mark.parametrize("engine", ["cython", "numba"])


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def same(ours, others):
    pairs = zip(ours.coefs_ + ours.intercepts_, others.coefs_ + others.intercepts_, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def agree(ours, others):
    """Whether two fits are one: to the bit, or with Numba's engine, whose sums go by where arrays begin, to
    rounding.
    """
    if ours.engine != "numba":
        return same(ours, others) and ours.loss_curve_ == others.loss_curve_
    pairs = zip(ours.coefs_ + ours.intercepts_, others.coefs_ + others.intercepts_, strict=True)
    return all(np.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in pairs) and np.allclose(
        ours.loss_curve_, others.loss_curve_
    )


class At(Callback):
    """Does something after some epochs: a dict of epoch -> function(state), or an exception to raise."""

    def __init__(self, acts):
        self.acts = acts

    def __getstate__(self):
        return {"acts": {}}  # functions do not pickle

    def on_fit_begin(self, estimator, state):
        self.on_epoch_end(estimator, state)

    def on_epoch_end(self, estimator, state):
        act = self.acts.get(state.epoch)
        if isinstance(act, BaseException):
            raise act
        if act is not None:
            act(state)


def setting(**values):
    def act(state):
        for name, value in values.items():
            setattr(state, name, value)
            assert getattr(state, name) == value

    return act


def writing(path, texts):
    """A callback that writes these texts (bytes, or None to delete) to the control file after these
    epochs.
    """

    def act(text):
        return lambda state: (
            path.unlink()
            if text is None
            else path.write_bytes(text if isinstance(text, bytes) else text.encode())
        )

    return At({epoch: act(text) for epoch, text in texts.items()})


def told(path):
    return tomllib.loads(path.with_suffix(".state.toml").read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------------------
# Clipping that changes during a fit


@ENGINES
@pytest.mark.parametrize(
    "clip", [{"clip_norm": 0.01}, {"clip_value": 0.002}, {"clip_norm": 0.01, "clip_value": 0.002}]
)
@pytest.mark.parametrize(
    "more",
    [
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "adam", "batch_size": 60},
        {"solver": "nadam", "normalization": "batch"},
        {"solver": "adamw", "n_threads": 2},
        {"solver": "adam", "sparse": True},
    ],
    ids=lambda more: more["solver"] + "".join(f" {name}" for name in [*more][1:]),
)
def test_a_fit_with_other_clipping_is_two_fits(engine, clip, more):
    if engine == "numba":
        pytest.importorskip("numba")
    X, y = table()
    if more.get("sparse"):
        X = csr_array(X * (np.abs(X) > 1.5))
    X = X.astype(np.float32)
    parameters = {name: value for name, value in more.items() if name != "sparse"} | {"engine": engine}
    changed = small(callbacks=[At({3: setting(**clip)})], **parameters).fit(X, y)
    pieces = small(max_iter=3, warm_start="full", **parameters).fit(X, y).set_params(**clip).fit(X, y)
    assert agree(changed, pieces)
    assert not agree(changed, small(**parameters).fit(X, y))
    back = small(
        callbacks=[At({0: setting(**dict.fromkeys(clip)), 4: setting(**clip)})], **parameters, **clip
    )
    pieces = (
        small(max_iter=4, warm_start="full", **parameters).fit(X, y).set_params(max_iter=2, **clip).fit(X, y)
    )
    assert agree(back.fit(X, y), pieces)
    assert {name: back.get_params()[name] for name in clip} == clip


@ENGINES
def test_changing_to_limits_that_nothing_reaches_changes_nothing(engine):
    if engine == "numba":
        pytest.importorskip("numba")
    X, y = table()
    X = X.astype(np.float32)
    parameters = {
        "dropout": 0.3,
        "shuffle": True,
        "engine": engine,
        "early_stopping": True,
        "precision": "float64",
    }
    changed = small(callbacks=[At({n: setting(clip_value=1e6 + n) for n in range(4)})], **parameters).fit(
        X, y
    )
    plain = small(**parameters).fit(X, y)
    assert agree(changed, plain)
    assert changed.validation_scores_ == plain.validation_scores_


def test_clipping_changes_in_tables_read_in_blocks():
    X, y = table()
    parameters = {"shuffle": "blocks", "solver": "sgd"}
    changed = small(callbacks=[At({3: setting(clip_norm=0.01)})], **parameters).fit(X, y)
    plain = small(**parameters).fit(X, y)
    assert changed.loss_curve_[:3] == plain.loss_curve_[:3]
    assert changed.loss_curve_[3] != plain.loss_curve_[3] or changed.loss_curve_[4] != plain.loss_curve_[4]


def test_clipping_of_a_state():
    X, y = table()
    seen = []

    def look(state):
        seen.append((state.clip_norm, state.clip_value, pickle.loads(pickle.dumps(state)).clip_norm))
        for value in (0, -1.0, "1", True, math.nan):
            with pytest.raises(
                ValueError, match=f"clip_norm must be None or a positive number, got {value!r}"
            ):
                state.clip_norm = value
        with pytest.raises(AttributeError, match="cannot set clip_value: .* not the fit"):
            pickle.loads(pickle.dumps(state)).clip_value = 1

    small(callbacks=[At({1: look})], clip_norm=2).fit(X, y)
    assert seen == [(2, None, 2)]

    def refuse(state):
        with pytest.raises(AttributeError, match="lbfgs"):
            state.clip_norm = 1

    small(solver="lbfgs", shuffle=True, callbacks=[At({1: refuse})]).fit(X, y)


@pytest.mark.parametrize("where", ["load", "take_moments", "close"])
def test_an_interrupt_while_clipping_changes(where, monkeypatch):
    X, y = table()
    expected = small(max_iter=3).fit(X, y)
    engine = engines.get_engine()
    called = getattr(engine.Session, where)

    def interrupted(self, *arguments):
        called(self, *arguments)
        raise KeyboardInterrupt

    def act(state):
        state.clip_norm = 0.1
        monkeypatch.setattr(engine.Session, where, interrupted)

    callbacks = [At({3: act})]
    estimator = small(callbacks=callbacks)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    monkeypatch.undo()
    assert same(estimator, expected)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 3
    assert len(estimator.set_params(callbacks=None).partial_fit(X, y).loss_curve_) == 4


# ------------------------------------------------------------------------------------------------------------
# The control file


def test_what_the_file_says_is_done(tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    texts = {
        1: "learning_rate = 0.02\n",
        2: 'learning_rate = 0.02\nsave = "a.joblib"\nclip_norm = 0.5\n',
        3: 'save = "a.joblib"\nclip_norm = 0.5\nclip_value = 0.25\n',
        4: 'learning_rate = 0.01\nsave = "b.joblib"\nclip_norm = inf\nstop = false',
        6: "clip_value = 0.125\nstop = true\n",
    }
    seen = []
    watch = At(
        {
            n: lambda state: seen.append((state.learning_rate, state.clip_norm, state.clip_value))
            for n in range(9)
        }
    )
    estimator = small(
        max_iter=100, callbacks=[writing(path, texts), LiveControl(path), watch], clip_norm=2.0
    ).fit(X, y)
    assert estimator.n_iter_ == 6
    assert estimator.learning_rate_curve_ == pytest.approx([0.001, 0.02, 0.02, 0.02, 0.01, 0.01])
    assert [each[1:] for each in seen] == [
        (2.0, None),
        (2.0, None),
        (0.5, None),
        (0.5, 0.25),
        (None, None),
        (None, None),
        (2.0, 0.125),
    ]
    acts = {1: setting(learning_rate=0.02), 2: setting(clip_norm=0.5), 3: setting(clip_value=0.25)}
    acts |= {4: setting(learning_rate=0.01, clip_norm=None, clip_value=None)}
    assert same(estimator, small(callbacks=[At(acts)], clip_norm=2.0).fit(X, y))
    for name, n in (("a", 2), ("b", 4)):
        saved = joblib.load(tmp_path / f"{name}.joblib")
        assert same(saved, small(max_iter=n, callbacks=[At(acts)], clip_norm=2.0).fit(X, y))
        assert saved.n_iter_ == n
    state = told(path)
    assert [(each["epoch"], each["what"]) for each in state.pop("applied")] == [
        (1, "learning_rate = 0.02"),
        (2, "clip_norm = 0.5"),
        (2, 'save = "a.joblib"'),
        (3, "clip_value = 0.25"),
        (4, "learning_rate = 0.01"),
        (4, "clip_norm = inf"),
        (4, "clip_value = inf"),
        (4, 'save = "b.joblib"'),
        (6, "clip_norm = 2.0"),
        (6, "clip_value = 0.125"),
        (6, "stop = true"),
    ]
    assert state.pop("time").tzinfo is not None
    assert state.pop("seconds") >= 0
    assert state == {
        "status": "ended",
        "epoch": 6,
        "max_epochs": 100,
        "epochs_before": 0,
        "loss": estimator.loss_,
        "best": estimator.best_loss_,
        "n_stalled": 0,
        "learning_rate": pytest.approx(0.01),
        "clip_norm": 2.0,
        "clip_value": 0.125,
        "stop_reason": "stop = true in control.toml",
        "control": {"clip_value": 0.125, "stop": True},
    }
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "a.joblib",
        "b.joblib",
        "control.state.toml",
        "control.toml",
    ]


def test_the_state_is_that_of_every_epoch(tmp_path):
    X, y = table()
    path = tmp_path / "control"
    states = []
    callbacks = [LiveControl(path), At({n: lambda state: states.append(told(path)) for n in range(1, 7)})]
    estimator = small(callbacks=callbacks, learning_rate="cosine", batch_size=60).fit(X, y, X_val=X, y_val=y)
    for name, curve in (
        ("loss", estimator.loss_curve_),
        ("validation_loss", estimator.validation_loss_curve_),
        ("validation_score", estimator.validation_scores_),
        ("epoch", [1, 2, 3, 4, 5, 6]),
        ("status", 6 * ["running"]),
        ("learning_rate", estimator.learning_rate_curve_[1:]),  # of the next epoch
    ):
        assert [state[name] for state in states][: len(curve)] == curve
    assert tomllib.loads(path.read_text()) == {}  # the template
    assert all(
        f"# {key} = " in path.read_text()
        for key in ("learning_rate", "clip_norm", "clip_value", "stop", "save")
    )


BROKEN = {
    "half-written": 'learning_rate = 0.05\nsave = "net.job',
    "no TOML": "learning_rate: 0.5\n",
    "empty": "",
    "no UTF-8": b"learning_rate = 0.1 # \xff\n",
    "deleted": None,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_read_again_later(name, tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    errors = []
    texts = {
        0: "learning_rate = 0.02\nclip_norm = 0.5\n",
        2: BROKEN[name],
        4: "learning_rate = 0.05\nclip_norm = 0.5\n",
    }
    look = At(
        {n: lambda state: errors.append((told(path).get("error", ""), state.clip_norm)) for n in range(1, 7)}
    )
    with pytest.warns(UserWarning, match="control.toml could not be read") as caught:  # the second time
        estimator = small(callbacks=[writing(path, texts), LiveControl(path), look]).fit(X, y)
    assert len([each for each in caught if each.category is UserWarning]) == 1
    assert estimator.learning_rate_curve_ == pytest.approx(4 * [0.02] + 2 * [0.05])
    assert [bool(error) for error, _ in errors] == [False, True, True, False, False, False]
    assert errors[1][0].startswith("control.toml could not be read, and what was read before is in force: ")
    assert {clip for _, clip in errors} == {0.5}
    assert [each["what"] for each in told(path)["applied"]] == [
        "learning_rate = 0.02",
        "clip_norm = 0.5",
        "learning_rate = 0.05",
    ]


def test_a_file_that_is_broken_once_is_no_matter_for_a_warning(tmp_path):
    path = tmp_path / "control.toml"
    texts = {
        1: "learning",
        2: "learning_rate =",
        3: "learning_rate = 0.02\n",
        4: "learning_rate =",
        5: "learning_rate = 0.02\n",
        6: "",
    }
    estimator = small(callbacks=[writing(path, texts), LiveControl(path)]).fit(*table())
    assert estimator.learning_rate_curve_ == pytest.approx(3 * [0.001] + 3 * [0.02])


def test_a_byte_order_mark_is_read_over(tmp_path):
    path = tmp_path / "control.toml"
    path.write_text("learning_rate = 0.02\n", encoding="utf-8-sig")
    assert small(callbacks=[LiveControl(path)]).fit(*table()).learning_rate_curve_ == 6 * [0.02]


IGNORED = {
    "learning_rat = 0.1": "learning_rat is no key: there are learning_rate, .*Did you mean 'learning_rate'",
    'learning_rate = "0.1"': "learning_rate must be a positive number, got '0.1'",
    "learning_rate = 0": "learning_rate must be a positive number, got 0",
    "learning_rate = inf": "learning_rate must be a positive number, got inf",
    "learning_rate = nan": "learning_rate must be a positive number, got nan",
    f"learning_rate = {10**400}": "learning_rate must be a positive number, got an integer of 1329 bits",
    f"learning_rate = 0x{'f' * 9000}": (
        "learning_rate must be a positive number, got an integer of 36000 bits"
    ),
    f"clip_norm = {10**400}": (
        "clip_norm must be a positive number; inf is no clipping, got an integer of 1329 bits"
    ),
    "learning_rate = true": "learning_rate must be a positive number, got True",
    "clip_norm = -1": "clip_norm must be a positive number; inf is no clipping, got -1",
    "stop = 1": "stop must be true or false, got 1",
    "save = true": "save must be a path in quotes, got True",
    'save = "nowhere/net.joblib"': "save = .* could not be done: .*nowhere",
    'save = "control.toml"': "save = .* could not be done: the file has another purpose",
    'save = "../control/control.state.toml"': "save = .* could not be done: the file has another purpose",
    "[section]\nstop = true": "section is no key",
}
OUTSIDE = {
    "../net.joblib": "must stay within the folder of control.toml",
    "../../net.joblib": "must stay within",
    "..": "must stay within",
    "inside/../../net.joblib": "must stay within",
    "/nowhere/net.joblib": "must be relative to the folder of control.toml",
    "{tmp_path}/net.joblib": "must be relative",
    "{tmp_path}/control/net.joblib": "must be relative",
    "link_to_folder/net.joblib": "must stay within",
    "link_to_file": "must stay within",
    "link_to_nothing": "must stay within",
    "link_to_link": "must stay within",
    ".": "is no regular file",
    "pipe": "is no regular file",
    "link_to_device": "must stay within",
}


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
@pytest.mark.parametrize("save", OUTSIDE)
def test_nothing_is_saved_outside_the_folder(save, tmp_path):
    folder, outside = tmp_path / "control", tmp_path / "outside"
    for each in (folder, folder / "inside", outside):
        each.mkdir()
    (outside / "file").touch()
    (folder / "link_to_folder").symlink_to("../outside")
    (folder / "link_to_file").symlink_to("../outside/file")
    (folder / "link_to_nothing").symlink_to("../outside/nothing")
    (folder / "link_to_link").symlink_to("link_to_file")
    (folder / "link_to_device").symlink_to(os.devnull)
    os.mkfifo(folder / "pipe")
    path = folder / "control.toml"
    path.write_text(f'save = "{save.format(tmp_path=tmp_path)}"\nlearning_rate = 0.02\n')
    before = sorted((each, each.lstat().st_size) for each in tmp_path.rglob("*") if not each.is_dir())
    with pytest.warns(UserWarning, match=f"save = .* could not be done: .*{OUTSIDE[save]}") as caught:
        estimator = small(callbacks=[LiveControl(path)]).fit(*table())
    assert sum(each.category is UserWarning for each in caught) == 1
    assert estimator.n_iter_ == 6 and estimator.learning_rate_curve_ == pytest.approx(6 * [0.02])
    assert OUTSIDE[save] in told(path)["ignored"][0]
    state = path.with_suffix(".state.toml")
    assert before == sorted(
        (each, each.lstat().st_size) for each in tmp_path.rglob("*") if not each.is_dir() and each != state
    )


@pytest.mark.parametrize(
    "save", ["net.joblib", "inside/net.joblib", "inside/../net.joblib", "link/net.joblib"]
)
def test_what_stays_within_the_folder_is_saved(save, tmp_path):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    (tmp_path / "folder" / "link").symlink_to("inside")
    (tmp_path / "linked").symlink_to("folder")
    path = tmp_path / "linked" / "control.toml"
    path.write_text(f'save = "{save}"\n')
    small(callbacks=[LiveControl(path)]).fit(*table())
    assert joblib.load(path.parent / save).n_iter_ == 1


def test_a_state_outside_the_folder_is_not_written(tmp_path):
    folder, target = tmp_path / "control", tmp_path / "target"
    folder.mkdir()
    target.write_text("a = 1\n")
    path = folder / "control.toml"
    path.with_suffix(".state.toml").symlink_to("../target")
    with pytest.warns(
        UserWarning, match="state.toml cannot be written, .*must stay within the folder of control.toml"
    ):
        small(callbacks=[LiveControl(path)]).fit(*table())
    assert target.read_text() == "a = 1\n"


# What is no regular file, and would have a fit wait, or give it bytes without end.
NO_FILES = {
    "pipe": os.mkfifo if os.name == "posix" else None,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to(os.ttyname(os.openpty()[1])),
}


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")
@pytest.mark.parametrize("since", ["the beginning", "epoch 2"])
@pytest.mark.parametrize("kind", NO_FILES)
def test_a_fit_waits_for_no_pipe(kind, since, tmp_path):
    path = tmp_path / "control.toml"
    if since == "the beginning" and kind == "folder":
        pytest.skip("is an error of the parameter")

    def swap(state):
        path.unlink(missing_ok=True)
        NO_FILES[kind](path)

    callbacks = [LiveControl(path)] if since == "the beginning" else [At({2: swap}), LiveControl(path)]
    if since == "the beginning":
        swap(None)
    else:
        path.write_text("learning_rate = 0.02\n")
    with pytest.warns(UserWarning, match="control.toml could not be read.*is no regular file"):
        estimator = small(callbacks=callbacks).fit(*table())
    assert estimator.learning_rate_curve_ == pytest.approx(6 * [0.001 if since == "the beginning" else 0.02])
    assert "is no regular file" in told(path)["error"]


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_state_that_is_a_pipe_is_neither_waited_for_nor_replaced(tmp_path):
    path = tmp_path / "control.toml"
    state = path.with_suffix(".state.toml")
    os.mkfifo(state)
    with pytest.warns(UserWarning, match="state.toml cannot be (read|written).*is no regular file"):
        assert small(callbacks=[LiveControl(path)]).fit(*table()).n_iter_ == 6
    assert state.is_fifo()


# ------------------------------------------------------------------------------------------------------------
# What handlers of signals raise


class Handler:
    def __init__(self, error):
        self.error = error

    def method(self, signum, frame):
        raise self.error

    __call__ = method


def handlers(error):
    def function(signum, frame):
        deeper()

    def deeper():
        raise error

    def of_three(what, signum, frame):
        raise what

    return {
        "function": function,
        "method": Handler(error).method,
        "object": Handler(error),
        "partial": functools.partial(of_three, error),
        "lambda": lambda signum, frame: deeper(),
    }


# What a fit is doing when the signal comes: a name to patch.
MOMENTS = {
    "reads the control file": "nnfast.callbacks.live_control.read_file",
    "opens a file": "os.open",
    "parses": "tomllib.loads",
    "saves": "joblib.dump",
    "replaces": "os.replace",
    "locks": "fcntl.flock",
}


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    "arguments",
    [
        (TimeoutError, "time is up"),
        (OSError, 5, "no file's"),
        (ValueError,),
        (RuntimeError,),
        (KeyboardInterrupt,),
    ],
)
@pytest.mark.parametrize("kind", handlers(None))
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_handler_raises_passes(moment, kind, arguments, tmp_path, monkeypatch):
    error = arguments[0](*arguments[1:])
    module, _, name = MOMENTS[moment].rpartition(".")
    patched = getattr(importlib.import_module(module), name)

    def signalled(*given, **named):
        signal.raise_signal(signal.SIGUSR1)
        return patched(*given, **named)

    def act(state):
        path.write_text('save = "net.joblib"\n')
        patch.setattr(MOMENTS[moment], signalled)

    path = tmp_path / "control.toml"
    before = signal.signal(signal.SIGUSR1, handlers(error)[kind])
    try:
        with monkeypatch.context() as patch, pytest.raises(type(error)) as raised:
            small(callbacks=[At({1: act}), LiveControl(path)]).fit(*table())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert raised.value is error


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_a_handler_raises_passes_while_the_state_is_read(tmp_path, monkeypatch):
    path, error = tmp_path / "control.toml", TimeoutError()
    small(callbacks=[LiveControl(path)]).fit(*table())

    def signalled(*arguments):
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr("nnfast.callbacks.live_control.read_file", signalled)
    before = signal.signal(signal.SIGUSR1, Handler(error))
    try:
        with pytest.raises(TimeoutError) as raised:
            small(callbacks=[LiveControl(path)]).fit(*table())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert raised.value is error


@pytest.mark.parametrize("text", IGNORED)
def test_what_cannot_be_is_told_once_and_the_rest_is_done(text, tmp_path):
    X, y = table()
    path = tmp_path / "control" / "control.toml"
    path.parent.mkdir()
    path.write_text("clip_value = 0.125\n" + text)
    states = []
    callbacks = [
        LiveControl(path),
        At({n: lambda state: states.append((told(path), state.clip_value)) for n in (1, 2)}),
    ]
    with pytest.warns(UserWarning, match=IGNORED[text]) as caught:
        estimator = small(callbacks=callbacks).fit(X, y)
    caught = [each for each in caught if not issubclass(each.category, ConvergenceWarning)]
    assert len(caught) == 1
    assert estimator.learning_rate_curve_ == 6 * [0.001]
    for state, clip_value in states:
        assert len(state["ignored"]) == 1
        assert state["ignored"][0] in str(caught[0].message)
        assert clip_value == 0.125
    path.write_text("clip_value = 0.125\n")
    small(callbacks=[LiveControl(path)]).fit(X, y)
    assert "ignored" not in told(path)


def test_what_the_fit_cannot_do_is_told(tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    path.write_text("learning_rate = 0.5\nclip_norm = 1\n")
    with pytest.warns(UserWarning, match="could not be done: solver='lbfgs'"):
        small(solver="lbfgs", shuffle=True, callbacks=[LiveControl(path)]).fit(X, y)
    assert [each.split(" ")[0] for each in told(path)["ignored"]] == ["learning_rate", "clip_norm"]

    class Local(Callback):
        pass

    class Failing(Callback):
        def __getstate__(self):
            raise ZeroDivisionError("no pickle of this")

    path.write_text('save = "unpicklable.joblib"\n')
    for unpicklable in (Local(), Failing()):
        with pytest.warns(UserWarning, match="save = .* could not be done: .*pickle"):
            small(callbacks=[LiveControl(path), unpicklable]).fit(X, y)
        assert not (tmp_path / "unpicklable.joblib").exists()


def test_a_file_too_deep_to_parse_is_told(tmp_path):
    path = tmp_path / "control.toml"
    path.write_text("stop = " + 10**5 * "[")
    with pytest.warns(UserWarning, match="could not be read"):
        small(callbacks=[LiveControl(path)]).fit(*table())
    assert "error" in told(path)


@pytest.mark.skipif(os.name != "posix", reason="names of other systems are no bytes")
def test_names_that_are_no_text(tmp_path, capsys):
    path = tmp_path / os.fsdecode(b"caf\xe9.toml")
    callbacks = [LiveControl(path), writing(path, {3: "stop = true\n"})]
    assert small(callbacks=callbacks, verbose=True).fit(*table()).n_iter_ == 4
    assert told(path)["stop_reason"] == "stop = true in caf?.toml"
    assert "in caf?.toml" in capsys.readouterr().out


def test_every_control_file_has_a_state_file(tmp_path):
    for name in ("run.1", "run.2", "run.toml", "run.toml.txt"):
        small(callbacks=[LiveControl(tmp_path / name)]).fit(*table())
    states = {
        name.removesuffix(".state.toml") for name in os.listdir(tmp_path) if name.endswith(".state.toml")
    }
    assert states == {"run.1", "run.2", "run", "run.toml.txt"}


def test_the_rest_of_a_fit_survives_a_state_that_cannot_be_written(tmp_path, monkeypatch):
    X, y = table()
    path = tmp_path / "control.toml"

    def full(state):
        def touch(*arguments, **more):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "touch", touch)

    with pytest.warns(UserWarning, match="cannot be written.*No space left") as caught:
        estimator = small(
            callbacks=[At({2: full, 5: lambda state: monkeypatch.undo()}), LiveControl(path)]
        ).fit(X, y)
    assert sum("cannot be written" in str(each.message) for each in caught) == 1
    assert told(path)["epoch"] == 6
    assert same(estimator, small().fit(X, y))


def test_an_interrupt_while_the_state_is_written_ends_the_fit(tmp_path, monkeypatch):
    path = tmp_path / "control.toml"
    replace = os.replace

    def interrupted(*paths):
        replace(*paths)
        raise KeyboardInterrupt

    patch = At({3: lambda state: monkeypatch.setattr(os, "replace", interrupted)})
    estimator = small(callbacks=[patch, LiveControl(path), At({3: lambda state: pytest.fail("goes on")})])
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(*table())
    assert estimator.n_iter_ == 3
    assert sorted(os.listdir(tmp_path)) == ["control.state.toml", "control.toml"]


@pytest.mark.parametrize("path", ["nowhere/control.toml", "."])
def test_paths_that_cannot_be(path, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="path of LiveControl must be a file in a folder that is there, got"
    ):
        small(callbacks=[LiveControl(tmp_path / path)]).fit(*table())


@pytest.mark.parametrize(
    "text", ["half a st", "applied = 3", "control = 3", "[control]\nepoch = 1", "applied = [{}]"]
)
def test_an_unreadable_state_file_is_replaced(text, tmp_path):
    path = tmp_path / "control.toml"
    path.with_suffix(".state.toml").write_text(text)
    with pytest.warns(UserWarning, match="control.state.toml cannot be read and is replaced"):
        small(callbacks=[LiveControl(path)]).fit(*table())
    assert told(path)["epoch"] == 6


def test_clones_pickles_and_copies(tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    callback = LiveControl(path)
    assert (
        eval(repr(callback), {"LiveControl": LiveControl, "PosixPath": Path, "WindowsPath": Path}) == callback
    )
    copies = []

    class Copy(Callback):
        def on_epoch_end(self, estimator, state):
            copies.append(pickle.loads(pickle.dumps(callback)))

    estimator = small(callbacks=[callback, Copy()]).fit(X, y)
    assert copies == 6 * [callback]
    assert pickle.loads(pickle.dumps(callback)) == callback == clone(estimator).callbacks[0]


@pytest.mark.parametrize(
    "value",
    [
        True,
        0,
        -3,
        1e-05,
        1e300,
        math.inf,
        "",
        'a "b" \\ \n\t\x00\x7f',
        "é🐼",
        ["a", "b"],
        np.float32(0.1),
        np.int64(3),
    ],
)
def test_toml(value):
    assert tomllib.loads(f"a = {_toml(value)}")["a"] == value


# ------------------------------------------------------------------------------------------------------------
# Fits that are interrupted and resumed


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


def test_regressors_are_steered_too(tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    path.write_text("learning_rate = 0.1\n")
    regr = small(MLPRegressor, callbacks=[LiveControl(path)]).fit(X, y.astype(float))
    assert regr.learning_rate_curve_ == pytest.approx(6 * [0.1])
