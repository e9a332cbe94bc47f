"""Programs without a standard output or a standard error, where Python has None for it: what would be printed
there is not, and all else is done.
"""

import sys

import pytest
from small import QUIET, small, table
from test_cli import columns
from test_cli_tune import few_epochs, few_trials  # noqa: F401

from nnfast.__main__ import main
from nnfast.tuning import CoarseToFineSearchCV, log_uniform

SPACE = {"learning_rate_init": log_uniform(1e-3, 1e-1)}


def fit(**parameters):
    small(**parameters).fit(*table())


def search(verbose):
    CoarseToFineSearchCV(small(), SPACE, n_candidates=2, cv=2, random_state=0, verbose=verbose, n_jobs=1).fit(
        *table()
    )


def command(*arguments, code=0):
    assert main(arguments) == code


# name: what prints, and a part of what it prints on stdout and on stderr.
PRINTS = {
    "lines": (lambda: fit(verbose=True), "Iteration 1, loss = ", ""),
    "progress": (lambda: fit(verbose="progress"), "", "loss="),
    "progress, validated": (lambda: fit(verbose="progress", early_stopping=True), "", "score="),
    "progress of lbfgs": (lambda: fit(verbose="progress", solver="lbfgs"), "", "loss="),
    "remark": (lambda: fit(verbose="progress", learning_rate_init="auto"), "", "range test found"),
    "profile": (fit, "", "% of peak"),
    "search, lines": (lambda: search(True), "Trial 1: ", ""),
    "search, progress": (lambda: search("progress"), "", "best="),
    "info": (lambda: command("info"), "scikit-learn", ""),
    "demo": (lambda: command("demo", "--hidden", "3", "--max-iter", "2"), "digits", ""),
    "error": (lambda: command("tune", "nowhere.csv", "--target", "price", code=2), "", "nnfast: error: "),
    "tune": (lambda: command("tune", "table.csv", "--target", "price", "--budget", "10m"), "tuned", ""),
}


@QUIET
@pytest.mark.usefixtures("few_trials", "quick_models")
@pytest.mark.parametrize("missing", [None, "stdout", "stderr"])
@pytest.mark.parametrize("name", PRINTS)
def test_without_a_stream(name, missing, capsys, monkeypatch, tmp_path):
    prints, *expected = PRINTS[name]
    if "progress" in name:
        pytest.importorskip("tqdm")
    if name == "profile":
        monkeypatch.setenv("NNFAST_PROFILE", "1")
    if name == "tune":
        pytest.importorskip("pandas").DataFrame(columns(60)).to_csv(tmp_path / "table.csv", index=False)
        monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patched:
        if missing is not None:
            patched.setattr(sys, missing, None)
        prints()
    for stream, part, printed in zip(("stdout", "stderr"), expected, capsys.readouterr(), strict=True):
        if stream == missing or not part:
            assert printed == ""
        else:
            assert part in printed
