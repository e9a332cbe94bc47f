"""The callbacks that nnfast has ready-made."""

import csv
import math
import os
import pickle
import re
import stat
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from watched_fits import (
    SOLVERS,
    Log,
    _quiet,  # noqa: F401
    same,
    small,
    table,
)

import nnfast.callbacks
from nnfast.callbacks import Checkpoint, CSVLog, LiveControl, StopAt, TimeLimit

READY_MADE = {
    "StopAt": lambda folder: StopAt(loss=0.1),
    "TimeLimit": lambda folder: TimeLimit(3.5),
    "Checkpoint": lambda folder: Checkpoint(str(folder / "net.joblib"), every=2),
    "CSVLog": lambda folder: CSVLog(str(folder / "log.csv")),
}


@pytest.mark.parametrize("name", READY_MADE)
def test_ready_made_callbacks_clone_pickle_and_print(name, tmp_path):
    callback = READY_MADE[name](tmp_path)
    estimator = small(callbacks=[callback])
    assert clone(estimator).get_params() == estimator.get_params()
    assert pickle.loads(pickle.dumps(callback)) == callback
    assert eval(repr(callback), vars(nnfast.callbacks)) == callback
    search = GridSearchCV(
        make_pipeline(StandardScaler(), estimator), {"mlpclassifier__alpha": [0.1, 1]}, cv=2, n_jobs=2
    )
    assert 0 <= search.fit(*table()).best_score_ <= 1


@pytest.mark.parametrize("name", ["loss", "validation_loss", "score"])
def test_stop_at(name):
    X, y = table()
    plain = small(max_iter=200, learning_rate_init=0.01).fit(X, y, X_val=X, y_val=y)
    curve = {
        "loss": "loss_curve_",
        "validation_loss": "validation_loss_curve_",
        "score": "validation_scores_",
    }[name]
    curve = np.array(getattr(plain, curve))
    limit = curve[60]
    estimator = clone(plain).set_params(callbacks=[StopAt(**{name: limit})]).fit(X, y, X_val=X, y_val=y)
    reached = curve >= limit if name == "score" else curve <= limit
    assert estimator.n_iter_ == 1 + int(reached.argmax())
    if name != "loss":
        with pytest.raises(ValueError, match=f"StopAt.{name}=.*validation set"):
            small(callbacks=[StopAt(**{name: limit})]).fit(X, y)
    with pytest.raises(ValueError, match="StopAt needs one of"):
        small(callbacks=[StopAt()]).fit(X, y)


def test_time_limit():
    X, y = table()
    start = time.monotonic()
    estimator = small(max_iter=10**7, n_iter_no_change=10**7, callbacks=[TimeLimit(0.1)]).fit(X, y)
    assert 0.1 <= time.monotonic() - start < 5
    assert estimator.n_iter_ < 10**7
    assert small(callbacks=[TimeLimit(0)]).fit(X, y).n_iter_ == 1


@SOLVERS
def test_checkpoints(solver, tmp_path):
    X, y = table()
    path = tmp_path / "net-{epoch}.joblib"
    estimator = small(solver=solver, callbacks=[Checkpoint(path, every=2)]).fit(X, y)
    assert sorted(os.listdir(tmp_path)) == [f"net-{n}.joblib" for n in (2, 4, 5)]
    for n in (2, 4, 5):
        saved = joblib.load(str(path).format(epoch=n))
        assert same(saved, small(solver=solver, max_iter=n).fit(X, y))
        assert saved.n_iter_ == n
        assert len(saved.set_params(solver="adam").partial_fit(X, y).predict(X)) == len(X)
    assert same(saved, estimator) is False  # it went on


def test_checkpoints_of_the_best_alone(tmp_path):
    X, y = table()
    parameters = {
        "max_iter": 60,
        "learning_rate_init": 0.5,
        "early_stopping": True,
        "monitor": "loss",
        "n_iter_no_change": 99,
    }
    estimator = small(callbacks=[Checkpoint(tmp_path / "best.joblib", best_only=True)], **parameters)
    estimator.fit(X, y, validation_indices=np.arange(20))
    saved = joblib.load(tmp_path / "best.joblib")
    assert same(saved, estimator)
    assert saved.n_iter_ < 60
    assert saved.n_iter_ == 1 + int(np.argmin(estimator.validation_loss_curve_))


def test_a_checkpoint_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    X, y = table()
    dump, calls = joblib.dump, []

    def fails_later(value, path):
        calls.append(path)
        if len(calls) >= 3:
            with open(path, "w") as file:
                file.write("half")
            raise OSError("disk full")
        return dump(value, path)

    monkeypatch.setattr(joblib, "dump", fails_later)
    with pytest.raises(OSError, match="disk full"):
        small(callbacks=[Checkpoint(tmp_path / "net.joblib")]).fit(X, y)
    assert os.listdir(tmp_path) == ["net.joblib"]
    assert joblib.load(tmp_path / "net.joblib").n_iter_ == 2


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
def test_checkpoints_have_the_mode_of_other_files(tmp_path):
    X, y = table()
    path = tmp_path / "net.joblib"
    before = os.umask(0o027)
    try:
        for mode in (0o640, 0o640, 0o604, 0o444):
            if path.exists():
                path.chmod(mode)
            small(callbacks=[Checkpoint(path)]).fit(X, y)
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)


def test_checkpoints_are_on_the_disk_before_they_replace_others(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: calls.append(os.fstat(file).st_ino) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *paths: calls.append(paths[0].stat().st_ino) or replace(*paths))
    small(callbacks=[Checkpoint(tmp_path / "net.joblib", every=5)], max_iter=9).fit(*table())
    assert len(calls) == 4
    assert calls[::2] == calls[1::2]


def test_a_checkpoint_ends_with_what_the_fit_returns(tmp_path):
    X, y = table()
    parameters = {
        "max_iter": 30,
        "learning_rate_init": 0.5,
        "early_stopping": True,
        "monitor": "loss",
        "n_iter_no_change": 99,
    }
    estimator = small(callbacks=[Checkpoint(tmp_path / "net.joblib")], **parameters)
    estimator.fit(X, y, validation_indices=np.arange(20))
    assert np.argmin(estimator.validation_loss_curve_) < 29
    saved = joblib.load(tmp_path / "net.joblib")
    assert same(saved, estimator)
    assert saved._optimizer["moments"] is not None


@pytest.mark.parametrize("path", [None, 5, "", ".", "/", b"net", Path()])
@pytest.mark.parametrize("callback", [Checkpoint, CSVLog, LiveControl])
def test_paths_are_those_of_files(callback, path):
    message = f"path of {callback.__name__} must be the path of a file, got {path!r}."
    with pytest.raises(ValueError, match=re.escape(message)):
        callback(path)


@pytest.mark.parametrize("value", ["a", math.nan, True, [1]])
def test_limits_are_numbers(value):
    for name in ("loss", "validation_loss", "score"):
        with pytest.raises(
            ValueError, match=re.escape(f"{name} of StopAt must be a number, or None, got {value!r}.")
        ):
            StopAt(**{name: value})
    with pytest.raises(ValueError, match=re.escape(f"seconds of TimeLimit must be a number, got {value!r}.")):
        TimeLimit(value)
    assert TimeLimit(np.float32(0.5)) == TimeLimit(0.5)


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_checkpoints_are_some_epochs_apart(every):
    with pytest.raises(ValueError, match=f"every of Checkpoint must be an integer, 1 or more, got {every}"):
        Checkpoint("net.joblib", every=every)


def test_a_checkpoint_needs_its_folder_before_the_first_epoch(tmp_path):
    path, calls = tmp_path / "there" / "net-{epoch}.joblib", []
    with pytest.raises(FileNotFoundError, match="path of Checkpoint.*there"):
        small(callbacks=[Checkpoint(path), Log(calls)]).fit(*table())
    assert not calls


@pytest.mark.parametrize("validates", [False, True])
@SOLVERS
def test_csv_log(solver, validates, tmp_path):
    X, y = table()
    path = tmp_path / "log.csv"
    more = {"X_val": X, "y_val": y} if validates else {}
    for append, n_fits in ((False, 1), (False, 1), (True, 2)):
        estimator = small(solver=solver, callbacks=[CSVLog(path, append=append)]).fit(X, y, **more)
        with open(path, newline="", encoding="utf-8") as file:
            names, *rows = csv.reader(file)
        assert names == ["epoch", *estimator.history_]
        assert len(rows) == n_fits * estimator.n_iter_
        values = np.array(rows[-estimator.n_iter_ :], dtype=float)
        assert np.array_equal(values[:, 0], np.arange(1, estimator.n_iter_ + 1))
        assert np.array_equal(values[:, 1:], np.column_stack(list(estimator.history_.values())))


def test_csv_log_of_other_columns_is_not_gone_on_with(tmp_path):
    X, y = table()
    path = tmp_path / "log.csv"
    estimator = small(callbacks=[CSVLog(path, append=True)]).fit(X, y)
    before = path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="log.csv' has epoch, loss.*this fit writes .*validation_loss"):
        estimator.fit(X, y, X_val=X, y_val=y)
    assert path.read_text(encoding="utf-8") == before
