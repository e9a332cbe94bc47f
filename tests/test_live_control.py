"""LiveControl: what its file asks for is done, and what it writes of every epoch."""

import math
import os
import pickle
import tomllib
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from steered_fits import (
    At,
    _quiet,  # noqa: F401
    same,
    setting,
    small,
    table,
    told,
    writing,
)

from nnfast import MLPRegressor
from nnfast.callbacks import Callback, LiveControl
from nnfast.callbacks.live_control import _toml

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


def test_regressors_are_steered_too(tmp_path):
    X, y = table()
    path = tmp_path / "control.toml"
    path.write_text("learning_rate = 0.1\n")
    regr = small(MLPRegressor, callbacks=[LiveControl(path)]).fit(X, y.astype(float))
    assert regr.learning_rate_curve_ == pytest.approx(6 * [0.1])
