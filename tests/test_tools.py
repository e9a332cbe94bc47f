"""The programs of tools/: two versions compared, here a version with itself, and what is generated."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"

pytestmark = pytest.mark.skipif(not TOOLS.exists(), reason="not in a clone of the repository")


def run(tool, *arguments):
    return subprocess.run([sys.executable, TOOLS / tool, *arguments], capture_output=True, text=True)


def test_bits_are_the_same_and_what_differs_is_named(tmp_path):
    printed = run("bits.py", "--only", "solver lion float32")
    found = json.loads(printed.stdout)
    assert {name.partition(", ")[2] for name in found} == {
        f"solver lion float32, {n} threads" for n in (1, 3)
    }
    before = tmp_path / "before.json"
    before.write_text(printed.stdout)
    again = run("bits.py", "--only", "solver lion float32", "--compare", before)
    assert again.returncode == 0 and again.stdout.startswith(f"{len(found)} runs are the same, 0 differ")
    changed = next(iter(found))
    before.write_text(json.dumps(found | {changed: "another", "gone: solver lion float32": "some"}))
    again = run("bits.py", "--only", "solver lion float32", "--compare", before)
    assert again.returncode == 1
    assert f"differs: {changed}\n" in again.stdout and "missing: gone: solver lion float32\n" in again.stdout


def test_speeds_of_a_version_and_itself():
    done = run(
        "speed.py", sys.executable, sys.executable, "--rounds", "1", "--only", "compiled", "--most", "1e-9"
    )
    name, old, new, ratio = done.stdout.splitlines()[1].rsplit(maxsplit=3)
    assert name == "compiled, a row" and all(float(each.replace(",", "")) > 0 for each in (old, new, ratio))
    assert done.returncode == 1 and "slower by more than 1e-09: compiled, a row" in done.stdout
    done = run(
        "speed.py", sys.executable, sys.executable, "--rounds", "1", "--only", "compiled", "--most", "1e9"
    )
    assert done.returncode == 0


def test_what_compiled_code_knows_of_the_records_is_generated_from_them():
    done = run("generate.py", "--check")
    assert done.returncode == 0, done.stderr
