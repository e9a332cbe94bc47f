"""LiveControl and what goes wrong: files that are no regular ones, handlers of signals that raise, what
cannot be done or written.
"""

import functools
import importlib
import os
import signal
from pathlib import Path

import pytest
from sklearn.exceptions import ConvergenceWarning
from steered_fits import (
    At,
    _quiet,  # noqa: F401
    same,
    small,
    table,
    told,
)

from nnfast.callbacks import Callback, LiveControl

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
