"""The tests' own ground: they pass however they are started."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def test_ctrl_c_is_raised_here_and_in_child_processes():
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    code = "import signal; signal.raise_signal(signal.SIGINT)"
    assert (
        "KeyboardInterrupt"
        in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    )


@pytest.mark.skipif(os.name != "posix", reason="starts a shell")
def test_the_suite_passes_however_it_is_started(tmp_path):
    """With -v, with SIGINT ignored, without a standard input, and from another folder."""
    chosen = [
        f"{__file__}::{test_ctrl_c_is_raised_here_and_in_child_processes.__name__}",
        f"{TESTS}/test_cli_tune.py::test_ctrl_c_ends_the_search",
        f"{TESTS}/test_docs.py::test_examples[sizing]",
    ]
    started = [
        "sh",
        "-c",
        "trap '' INT; exec \"$@\" <&-",
        "sh",
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        *chosen,
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    result = subprocess.run(
        started, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_pytorch_is_left_to_the_marker():
    """A test that skips itself without PyTorch would run nowhere: CI has PyTorch for those with the marker
    `torch` alone.
    """
    skips = re.compile(r"importorskip\(\W*torch")
    assert [
        path.name for path in sorted(TESTS.glob("*.py")) if skips.search(path.read_text(encoding="utf-8"))
    ] == ["conftest.py"]
