"""Files that are replaced as a whole: what a killed process has left of one, links, and what is no file."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from small import QUIET, small, table

from nnfast import tune_results
from nnfast.callbacks import Checkpoint, LiveControl
from nnfast.callbacks.files import replacing

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="locks and links of POSIX"), QUIET]

RANDOM = 16 * "a"


def checkpoint(path):
    small(max_iter=1, callbacks=[Checkpoint(path)]).fit(*table())


def save_order(path):
    control = path.with_name("control.toml")
    control.write_text(f'save = "{path.name}"\n')
    small(max_iter=1, callbacks=[LiveControl(control)]).fit(*table())


def state(path):
    small(max_iter=1, callbacks=[LiveControl(path.with_name("file.toml"))]).fit(*table())


def report(path):
    pytest.importorskip("matplotlib")
    from nnfast.tuning.report import report

    report(GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2).fit(*table()), path)


def parameters(path):
    tune_results.save(path, {"params": {}, "scoring": "accuracy"})


# All that replace a file.
SAVE = pytest.mark.parametrize("save", [checkpoint, save_order, state, report, parameters])


@SAVE
def test_leftovers_go_at_the_next_save(save, tmp_path):
    path = tmp_path / "file.state.toml"
    leftovers = [
        path.with_name(f"{path.name}.{RANDOM}.tmp"),
        path.with_name(f"{path.name}.0123456789abcdef.tmp"),
    ]
    others = [
        tmp_path / name
        for name in (
            f"{path.name}.tmp",
            f"{path.name}.mine.tmp",
            f"other.{RANDOM}.tmp",
            f"{path.name}.{RANDOM}",
        )
    ]
    for each in leftovers + others:
        each.write_text("half a fi")
    save(path)
    assert path.stat().st_size > 20
    assert not any(each.exists() for each in leftovers)
    assert all(each.read_text() == "half a fi" for each in others)


@SAVE
def test_the_target_of_a_link_is_replaced(save, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target, path = folder / "target", tmp_path / "file.state.toml"
    target.touch()
    path.symlink_to("elsewhere/target")
    save(path)
    assert path.is_symlink() and target.stat().st_size > 20
    assert [each.name for each in folder.iterdir()] == ["target"]
    target.unlink()  # what a link leads to may still have to be made
    save(path)
    assert path.is_symlink() and target.stat().st_size > 20


@pytest.mark.parametrize(
    "make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to(os.devnull)], ids=["folder", "pipe", "device"]
)
def test_what_is_no_file_is_not_replaced(make, tmp_path):
    make(tmp_path / "x")
    mode = os.stat(tmp_path / "x").st_mode
    with pytest.raises(OSError, match="is no regular file"), replacing(tmp_path / "x"):
        pytest.fail("begins to write")
    assert os.stat(tmp_path / "x").st_mode == mode and os.listdir(tmp_path) == ["x"]


WRITER = """
import sys
from nnfast.callbacks.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("theirs")
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["finished", "killed"])
def test_what_a_living_process_writes_stays(end, tmp_path):
    path = tmp_path / "file"

    def save():
        with replacing(path) as temporary:
            temporary.write_text("ours")

    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "writing\n"
            save()
            assert path.read_text() == "ours" and len(os.listdir(tmp_path)) == 2
            if end == "killed":
                process.send_signal(signal.SIGKILL)
            process.stdin.close()
            process.wait(60)
        finally:
            process.kill()
    if end == "killed":
        assert len(os.listdir(tmp_path)) == 2
        save()
    assert path.read_text() == ("ours" if end == "killed" else "theirs")
    assert os.listdir(tmp_path) == ["file"]


def test_many_write_one_file(tmp_path):
    path, failures = tmp_path / "file", []

    def save(text):
        try:
            for _ in range(100):
                with replacing(path) as temporary:
                    temporary.write_text(text)
                assert len(set(path.read_text())) == 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=save, args=[100 * letter]) for letter in "abcdefgh"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == [] and os.listdir(tmp_path) == ["file"]
