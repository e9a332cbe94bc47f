"""The package as installed: what it holds, what importing it costs, and what it says of itself."""

import importlib.metadata
import importlib.resources
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nnfast

ROOT = Path(__file__).parents[1]


def python(*arguments, **environment):
    """What another interpreter prints, started away from the checkout."""
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        cwd=Path(sys.executable).parent,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_names():
    assert set(nnfast.__all__) <= set(dir(nnfast))
    for name in nnfast.__all__:
        assert getattr(nnfast, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'MLPTransformer'"):
        _ = nnfast.MLPTransformer


def test_metadata():
    distribution = importlib.metadata.distribution("nnfast")
    assert distribution.version == nnfast.__version__
    assert distribution.read_text("top_level.txt").split() == ["nnfast"]
    assert {"table", "numba", "plot", "bench", "test", "dev"} <= set(
        distribution.metadata.get_all("Provides-Extra")
    )
    needed = {re.match(r"[\w-]+", line)[0] for line in distribution.requires if "extra ==" not in line}
    assert needed == {"narwhals", "numpy", "scipy", "scikit-learn"}
    assert importlib.resources.files("nnfast").joinpath("py.typed").is_file()


def test_a_bare_import_loads_nothing():
    """The command can be interrupted as soon as it begins."""
    loaded = python(
        "-c",
        "import sys; before = set(sys.modules); import nnfast; print(*sorted(set(sys.modules) - before))",
    ).split()
    assert loaded == ["nnfast"]


def test_an_import_gives_the_modules():
    for name in ("losses", "tuning.default_space", "callbacks", "inspect", "engines.get_engine"):
        assert python("-c", f"import nnfast; print(nnfast.{name})")


def test_an_import_loads_nothing_that_scikit_learns_does_not():
    # That keeps it within milliseconds of it. Neither the compiled engine nor the demonstration is loaded
    # before it is needed.
    code = """
import sys, sklearn.neural_network
before = set(sys.modules)
from nnfast import MLPClassifier
print(*sorted(set(sys.modules) - before))
"""
    loaded = python("-c", code).split()
    assert [name for name in loaded if name.partition(".")[0] != "nnfast"] == []
    late = {"kernels", "engines.cython", "demo", "tables", "_info", "inspect", "tuning"}
    assert {f"nnfast.{name}" for name in late}.isdisjoint(loaded)


# Every module, class and function that the documentation names, by its whole name.
NAMED = sorted(
    {
        name
        for page in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"\bnnfast(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8"))
    }
)


@pytest.mark.skipif(not NAMED, reason="not in a clone of the repository")
def test_an_import_of_nnfast_reaches_all_that_the_documentation_names():
    code = """
import sys, functools, nnfast
listed = dir(nnfast)
for name in sys.argv[1:]:
    parts = name.split(".")[1:]
    assert parts[0] in listed, name
    functools.reduce(getattr, parts, nnfast)
"""
    assert {"nnfast.inspect", "nnfast.tuning", "nnfast.callbacks"} < set(NAMED)
    python("-c", code, *NAMED)


def test_versions(capsys):
    nnfast.show_versions()
    lines = dict(re.split(r" {2,}", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["nnfast"] == nnfast.__version__
    for name in ("numpy", "scipy", "scikit-learn"):
        assert lines[name] == importlib.metadata.version(name)
    assert lines["instruction set"] in lines["available"].split(", ")
    assert lines["bfloat16 units"] == "none" or set(lines["bfloat16 units"].split(", ")) <= {
        "avx512_bf16",
        "amx",
    }
    assert int(lines["threads available"]) >= 1
    assert lines["engine"] == "cython" and lines["engine cython"] == "runs"
    assert lines["engine numba"] == "runs" or "nnfast[numba]" in lines["engine numba"]


FALLS_BACK = """
import sys, warnings
sys.modules["nnfast.kernels.engine"] = None
{}
warnings.simplefilter("error", RuntimeWarning)
import numpy as np
from nnfast import MLPClassifier
try:
    MLPClassifier(max_iter=1).fit(np.eye(4), [0, 1, 0, 1])
except (RuntimeWarning, ImportError) as told:
    print(type(told).__name__, told)
warnings.simplefilter("ignore")
"""


def test_without_the_extension_numba_computes_and_says_so():
    pytest.importorskip("numba")
    out = python(
        "-c",
        FALLS_BACK.format("")
        + "print(MLPClassifier(max_iter=3).fit(np.eye(4), [0, 1, 0, 1]).predict(np.eye(4)).shape)",
    )
    told, shape = out.splitlines()
    assert (
        told.startswith("RuntimeWarning The compiled part of nnfast")
        and "C compiler" in told
        and "engine='numba'" in told
    )
    assert shape == "(4,)"


def test_without_either_engine_an_error_says_how_to_get_one():
    out = python("-c", FALLS_BACK.format('sys.modules["numba"] = None'))
    assert out.startswith("ImportError The compiled part of nnfast") and "pip install 'nnfast[numba]'" in out


def test_without_numba_its_engine_is_an_error_that_names_the_extra():
    code = (
        "import sys; sys.modules['numba'] = None; import nnfast;"
        " nnfast.MLPRegressor(engine='numba').fit([[1.0], [2.0]], [1.0, 2.0])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (
        "ImportError: engine='numba' needs Numba" in result.stderr
        and "pip install 'nnfast[numba]'" in result.stderr
    )


def test_versions_of_a_broken_set_up():
    out = python("-m", "nnfast", "info", NNFAST_ISA="mmx", NNFAST_NUM_THREADS="many")
    assert re.search(r"^instruction set +unknown: .*NNFAST_ISA='mmx' is not available", out, re.MULTILINE)
    assert re.search(
        r"^threads available +unknown: .*NNFAST_NUM_THREADS must be a positive integer", out, re.MULTILINE
    )


@pytest.mark.skipif(not (ROOT / ".ci" / "run").exists(), reason="not in a clone of the repository")
def test_ci_runs_what_the_readme_says():
    commands = [
        line.strip()
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("python3 -m venv ")
    ]
    assert len(commands) == 2
    run = (ROOT / ".ci" / "run").read_text().splitlines()
    for command in commands:
        # In an environment that nothing is in, with nothing that changes what the command does.
        at = run.index(command)
        assert run[at - 2 : at] == ["rm -rf .venv", "{"] and run[at + 1] == "} || exit 1"
    assert not re.search("PYTEST_|torch", "\n".join(run[:at]))


def documented():
    """The public names of docs/api.md by module."""
    names, module = {}, None
    for line in (ROOT / "docs/api.md").read_text().splitlines():
        if match := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.fullmatch(r"   (?:(\S+)\.)?(\w+)", line):
            names.setdefault(f"{module}.{match[1]}" if match[1] else module, set()).add(match[2])
    return names


@pytest.mark.parametrize("name", documented())
def test_modules_show_what_is_public(name):
    """`dir` of a documented module has what it says is public, and nothing that it only uses."""
    module = importlib.import_module(name)
    assert documented()[name] <= set(module.__all__)
    for each in module.__all__:
        assert getattr(module, each) is not None
    shown = {each for each in dir(module) if not each.startswith("_")} - set(module.__all__)
    assert all(inspect.ismodule(getattr(module, each)) and each not in ("np", "math") for each in shown)
