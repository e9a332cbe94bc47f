"""The pages of docs/: their examples run, their links resolve, and nothing that users can choose is
left out.
"""

import doctest
import importlib
import inspect
import os
import re
import sys
import warnings
from pathlib import Path

import pytest
from sklearn.exceptions import ConvergenceWarning

from nnfast import MLPClassifier, MLPRegressor
from nnfast.activations import ACTIVATIONS, ALIASES
from nnfast.initializers import INITIALIZERS
from nnfast.losses import LOSSES
from nnfast.normalization import NORMALIZATIONS
from nnfast.optimizers import OPTIMIZERS
from nnfast.schedules import SCHEDULES

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}

pytestmark = pytest.mark.skipif(not PAGES, reason="not in a clone of the repository")

# The table of a page, beside the repository or in the folder that the environment names.
ADULT = Path(
    os.environ.get("NNFAST_TABLES", Path(__file__).parents[2] / "shared" / "data"), "adult.parquet"
).absolute()

# Pages that programs of bench/ wrote.
GENERATED = ("benchmark_results", "tabular_results", "tabular_tables")

# The names that each page has to explain.
NAMES = {
    "activations": [*ACTIVATIONS, *ALIASES],
    "initializers": [*INITIALIZERS, "auto"],
    "losses": [*LOSSES],
    "normalization": [*NORMALIZATIONS],
    "solvers": [*OPTIMIZERS, "lbfgs"],
    "schedules": [*SCHEDULES],
}


@pytest.fixture(scope="module")
def extension():
    """The import of a module of docs/_ext."""
    sys.path.insert(0, str(DOCS / "_ext"))
    yield importlib.import_module
    sys.path.remove(str(DOCS / "_ext"))


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED])
def test_examples(page, tmp_path, monkeypatch):
    if page == "own_functions":
        pytest.importorskip("numba")
    if page == "tensorboard":
        pytest.importorskip("tensorboardX")
    if page == "tabular_adult":
        pytest.importorskip("matplotlib")
        if not ADULT.exists():
            pytest.skip(f"{ADULT} is not there")
        (tmp_path / ADULT.name).symlink_to(ADULT)
    monkeypatch.chdir(tmp_path)
    # Fences are no output; blank in their place, they leave line numbers as they are.
    text = re.sub(r"^```.*$", "", PAGES[page], flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, page, f"{page}.md", 0)
    assert test.examples
    report = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # most of these fits are meant to end at max_iter
        doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("page", NAMES)
def test_every_name_is_on_its_page(page, extension):
    text = extension("records").expand(PAGES[page])
    assert [name for name in NAMES[page] if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_every_parameter_is_on_some_page(cls):
    pages = "\n".join(PAGES.values())
    parameters = {*inspect.signature(cls).parameters, *inspect.signature(cls.fit).parameters} - {
        "self",
        "X",
        "y",
    }
    assert [name for name in parameters if not re.search(rf"\b{name}\b", pages)] == []


def test_every_public_class_is_in_the_reference():
    listed = re.findall(r"^   ([\w.]+)$", PAGES["api"], re.MULTILINE)
    for module in ("nnfast.optimizers", "nnfast.schedules", "nnfast.callbacks"):
        for name, each in inspect.getmembers(importlib.import_module(module), inspect.isclass):
            if (
                f"{each.__module__}.".startswith(f"{module}.")
                and not name.startswith("_")
                and name != "Callbacks"
            ):
                assert name in listed


def test_formulas_of_docstrings_become_literal(extension):
    lines = [
        "What it is.",
        "",
        "    w <- m_(t+1)",
        "",
        "|w| and `|w|` of coefs_.",
        "",
        "Parameters",
        "----------",
        "a_ : |w|",
    ]
    made = [
        "What it is.",
        "",
        "::",
        "",
        lines[2],
        "",
        r"\|w\| and `|w|` of coefs\_.",
        "",
        *lines[6:8],
        r"a_ : \|w\|",
    ]
    assert extension("docstrings").to_rst(lines) == made
