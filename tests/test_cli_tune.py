"""`nnfast tune`: a search of a second on small tables, what it prints and saves, each error in one line and
before the search, Ctrl-C.
"""

import itertools
import json
import os
import re
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import _safe_indexing
from test_cli import CSV, columns, run

import nnfast.jobs
import nnfast.stochastic_fit
from nnfast import __main__, tables, tune, tune_results
from nnfast.training import TrainingRun
from nnfast.tuning.run import SearchRun

# For `--budget` where the search ends sooner by itself.
LONG = ("--budget", "10m")
FEW = pytest.mark.usefixtures("few_trials")
QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# Levels of a row each, as in "mixed" of these tables, are not in each part of a table.
LEVELS = pytest.mark.filterwarnings("ignore::nnfast.exceptions.UnexpectedValuesWarning")


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


@pytest.fixture(autouse=True)
def few_epochs(monkeypatch):
    """Trials of a few milliseconds."""
    monkeypatch.setattr(tune, "MOST_TIMES", 1)
    monkeypatch.setattr(tune, "EPOCHS", (2, 6))
    monkeypatch.setattr(tune, "HYPERBAND_EPOCHS", 3)


@pytest.fixture
def few_trials(monkeypatch):
    """The searches come to an end before the time is over, however busy the machine is."""
    few = {
        "coarse-to-fine": {"n_rounds": 2, "n_candidates": 3},
        "hyperband": {"n_iterations": 1},
        "bayes": {"n_trials": 4},
        "random": {"n_rounds": 1, "n_candidates": 5},
    }
    monkeypatch.setattr(tune, "METHODS", {name: (cls, few[name]) for name, (cls, _) in tune.METHODS.items()})


@pytest.fixture
def csv(pandas, tmp_path):
    """A table of both tasks: `label` and `price` can be learned from the other columns."""
    path = tmp_path / "some table.csv"
    pandas.DataFrame(columns(120)).to_csv(path, index=False)
    return path


def scores(lines):
    """{name: (validation, test)} as printed."""
    return {
        name: tuple(map(float, each))
        for name, *each in map(str.split, lines)
        if name in ("defaults", "tuned")
    }


# ------------------------------------------------------------------------------------------------------------
# A search


@FEW
@QUIET
@LEVELS
@pytest.mark.parametrize("target", ["label", "price"])
def test_what_is_printed_and_saved(capsys, csv, tmp_path, target):
    saved = tmp_path / "params.json"
    code, out, err = run(
        capsys, "tune", csv, "--target", target, *LONG, "--tier", "2", "--seed", "3", "--save", saved
    )
    assert (code, err) == (0, [])
    assert max(map(len, out)) <= 120
    assert out[0].startswith(f"nnfast {nnfast.__version__} (")
    assert "some table: 90 rows to tune on, in 3 folds; 30 rows, 25%, held out for the end." in out
    printed = scores(line for line in out if line)
    content = json.loads(saved.read_text())
    assert content["scores"].keys() == printed.keys() == {"defaults", "tuned"}
    for name, both in printed.items():
        assert both == pytest.approx(
            [content["scores"][name][part] for part in ("validation", "test")], abs=5e-5
        )
    expected = {
        "nnfast": nnfast.__version__,
        "table": str(csv),
        "target": target,
        "method": tune.DEFAULT_METHOD,
        "seed": 3,
    }
    assert expected.items() <= content.items()

    # The parameters are the estimator's, and make the scores that are said, as the defaults do theirs.
    cls = getattr(nnfast, content["estimator"])
    assert cls is (nnfast.MLPRegressor if target == "price" else nnfast.MLPClassifier)
    start = out.index(f"network = {cls.__name__}(")
    call = "\n".join(out[start : out.index(")", start) + 1])
    in_script = eval("dict" + call.removeprefix(f"network = {cls.__name__}"))
    expected = content["params"] or {"precision": "float32", "random_state": 3}
    assert json.loads(json.dumps(in_script)) == expected
    table = tables.read_raw(csv, target)
    folds = (KFold if target == "price" else StratifiedKFold)(3, shuffle=True, random_state=3)
    for name, parameters in {"defaults": {}, "tuned": content["params"]}.items():
        pipeline = make_pipeline(
            table.encoder, cls(**{"random_state": 3, "precision": "float32"} | parameters)
        )
        validation = cross_val_score(pipeline, table.X_train, table.y_train, cv=folds).mean()
        test = pipeline.fit(table.X_train, table.y_train).score(table.X_test, table.y_test)
        if name == "defaults":
            assert (validation, test) == pytest.approx(tuple(content["scores"][name].values()), abs=1e-6)
        else:
            assert test == pytest.approx(content["scores"][name]["test"], abs=1e-6)


# What changes the model and the script: the target, and options.
USES = {
    "classes": ("label", []),
    "quantities": ("price", []),
    "truths": ("truth", []),
    "whole classes": ("whole", ["--drop", "mixed"]),
    "rows drawn": ("price", ["--rows", 80]),
    "an identifier kept": ("label", ["--keep", "identifier"]),
}


@FEW
@QUIET
@LEVELS
@pytest.mark.parametrize("use", USES)
def test_a_model_and_a_script_that_can_be_used(capsys, pandas, tmp_path, monkeypatch, use):
    """Both score what was printed, in the target's own units and classes, and so do rows that are
    read anew.
    """
    target, options = USES[use]
    frame = pandas.DataFrame(columns(120))
    frame[target] = frame[target].astype(object).mask(frame.index < 5)
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    monkeypatch.chdir(tmp_path)
    files = ["--model", "m.joblib", "--script", "s.py", "--save", "p.json"]
    code, out, err = run(capsys, "tune", "t.csv", "--target", target, "--tier", "2", *LONG, *options, *files)
    assert (code, err) == (0, [])
    content = json.loads((tmp_path / "p.json").read_text())
    score = content["scores"]["tuned"]["test"]
    assert "Script: s.py" in out and any(line.startswith("Model: m.joblib") for line in out)
    assert content["script"] == (tmp_path / "s.py").read_text()
    assert content["script"] in "\n".join(out)

    model = joblib.load("m.joblib")
    reading = (
        {option.strip("-"): [value] for option, value in [options] if option != "--rows"} if options else {}
    )
    raw = tables.read_raw("t.csv", target, max_rows=content["limits"]["rows"], **reading)
    # of float32 predictions
    assert model.score(raw.X_test, raw.target_test) == pytest.approx(score, abs=1e-6)
    expected = model.predict(raw.X_test)
    if content["task"] == "classification":
        assert set(expected) <= set(raw.target_train)
    else:
        assert abs(expected.mean() - 500) < 100  # dollars, not deviations

    # Rows of a file of their own, few, without the target.
    rows = raw.X_test.index[:3]
    frame.loc[rows].drop(columns=target).to_csv("few.csv", index=False, sep=";", decimal=",")
    few = tables.read_table("few.csv", columns=model.columns_).frame
    if content["task"] == "classification":
        assert model.predict(few).tolist() == expected[:3].tolist()
    else:
        np.testing.assert_allclose(model.predict(few), expected[:3], rtol=1e-6)

    (tmp_path / "m.joblib").unlink()
    runpy.run_path("s.py")
    name = "accuracy" if content["task"] == "classification" else "R2"
    assert capsys.readouterr().out == f"{name} on {len(raw.y_test)} rows held out: {score:.4f}\n"
    again = joblib.load("m.joblib")
    np.testing.assert_array_equal(again.predict(raw.X_test), expected)
    assert again.columns_ == model.columns_


@FEW
@QUIET
@pytest.mark.parametrize("target", ["label", "price"])
def test_json(capsys, csv, tmp_path, target):
    """One document alone on standard output, which `--save` writes as well."""
    saved = tmp_path / "p.json"
    options = (*LONG, "--tier", "1", "--rows", 100, "--jobs", 1, "--save", saved)
    code, out, err = run(capsys, "tune", csv, "--target", target, "--json", *options)
    assert code == 0
    content = json.loads("\n".join(out))
    assert content == json.loads(saved.read_text())
    assert any(line.startswith("Defaults: ") for line in err)
    n_rows = {"read": 120, "without_target": 0, "not_drawn": 20, "used": 100, "train": 75, "held_out": 25}
    assert content["rows"] == n_rows
    assert content["limits"] == {"rows": 100, "seconds": 600.0}
    assert (content["jobs"], content["cv"], content["seed"], content["tier"]) == (1, 3, 0, 1)
    assert {"python", "nnfast", "numpy", "scipy", "scikit-learn", "pandas"} <= content["versions"].keys()
    assert {each["column"]: each["taken_for"] for each in content["columns"]}["identifier"] == "identifier"
    assert [each["column"] for each in content["columns"]] == list(columns(1))


@FEW
@QUIET
@pytest.mark.parametrize("method", tune.METHODS)
def test_methods(capsys, csv, method):
    if method == "bayes":
        pytest.importorskip("optuna")
    options = (*LONG, "--method", method, "--jobs", "1", "--cv", "2")
    code, out, err = run(capsys, "tune", csv, "--target", "label", *options)
    assert (code, err) == (0, [])
    assert any(re.match(rf"{method}: \d+ trials? in \d+\.\d s", line) for line in out)
    printed = scores(line for line in out if line)
    assert printed["tuned"][0] >= printed["defaults"][0]


@QUIET
@LEVELS
@pytest.mark.parametrize("method", tune.METHODS)
@pytest.mark.parametrize("target", ["label", "price"])
def test_a_budget_too_short_for_the_defaults_gives_the_defaults(capsys, csv, tmp_path, method, target):
    if method == "bayes":
        pytest.importorskip("optuna")
    pytest.importorskip("matplotlib")
    saved, report = tmp_path / "p.json", tmp_path / "r.html"
    options = ("--budget", "0.000001s", "--method", method, "--save", saved, "--out", report)
    code, out, err = run(capsys, "tune", csv, "--target", target, *options)
    assert (code, err) == (0, [])
    assert max(map(len, out)) <= 120
    assert any(re.fullmatch(r"Defaults: no score, in \d+\.\d s of the budget\.", line) for line in out)
    assert any(
        "cross-validation was cut short: 0 of 3 folds have a score, after 1 epoch at most" in line
        for line in out
    )
    assert f"{method}: no trial, since the time was over." in out
    content = json.loads(saved.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["params"] == {} and content["trials"] == 0
    cls = nnfast.MLPRegressor if target == "price" else nnfast.MLPClassifier
    table = tables.read_raw(csv, target)
    one_epoch = make_pipeline(table.encoder, cls(max_iter=1, precision="float32", random_state=0)).fit(
        table.X_train, table.y_train
    )
    expected = {
        "validation": None,
        "test": pytest.approx(one_epoch.score(table.X_test, table.y_test), abs=1e-6),
    }
    assert content["scores"] == {"defaults": expected, "tuned": expected}
    assert "</html>" in report.read_text(encoding="utf-8")


@QUIET
@LEVELS
@pytest.mark.parametrize("n_begun", [1, 2, 3])
def test_a_budget_that_ends_within_the_defaults(capsys, csv, tmp_path, monkeypatch, n_begun):
    # By a clock that goes on by a second whenever it is asked: once an epoch, and some times a fold.
    saved, seconds = tmp_path / "p.json", itertools.count()
    monkeypatch.setattr(nnfast.stochastic_fit, "AHEAD_SECONDS", 0)
    monkeypatch.setattr(nnfast.jobs, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    budget = 50 + (n_begun - 1) * 200
    code, out, err = run(
        capsys, "tune", csv, "--target", "label", "--budget", budget, "--jobs", 1, "--cv", 3, "--save", saved
    )
    assert (code, err) == (0, [])
    words = (
        r"Their cross-validation was cut short: (\d) of 3 folds have a score, after (\d+) epochs at most\. .*"
    )
    (told,) = filter(None, (re.fullmatch(words, line) for line in out))
    n_scored, n_epochs = map(int, told.groups())
    assert n_scored == n_begun and (40 < n_epochs < 50 if n_begun == 1 else n_epochs == 200)
    content, table = json.loads(saved.read_text()), tables.read_raw(csv, "label")

    def score(X, y, X_test, y_test):
        network = nnfast.MLPClassifier(max_iter=n_epochs, precision="float32", random_state=0)
        return make_pipeline(table.encoder, network).fit(X, y).score(X_test, y_test)

    assert content["scores"]["tuned"] == content["scores"]["defaults"]
    expected = score(table.X_train, table.y_train, table.X_test, table.y_test)
    assert content["scores"]["defaults"]["test"] == pytest.approx(expected, abs=1e-6)
    if n_begun == 1:
        folds = StratifiedKFold(3, shuffle=True, random_state=0).split(table.X_train, table.y_train)
        train, test = next(folds)
        X, y = table.X_train, table.y_train
        expected = score(_safe_indexing(X, train), y[train], _safe_indexing(X, test), y[test])
        assert content["scores"]["defaults"]["validation"] == pytest.approx(expected, abs=1e-6)


@QUIET
def test_the_defaults_count_in_the_budget(capsys, csv, monkeypatch):
    # By the same clock: what the search gets is what the defaults have left.
    given, seconds = [], itertools.count()
    monkeypatch.setattr(tune, "time", SimpleNamespace(perf_counter=lambda: 10.0 * next(seconds)))
    check = nnfast.tuning.CoarseToFineSearchCV._check

    def noted(self):
        given.append(self.time_budget)
        self.set_params(n_rounds=1, n_candidates=1)
        check(self)

    monkeypatch.setattr(nnfast.tuning.CoarseToFineSearchCV, "_check", noted)
    code, out, err = run(capsys, "tune", csv, "--target", "label", "--budget", "1h")
    assert (code, err) == (0, [])
    assert given == [3600.0, 3590.0]
    assert any(line.endswith("in 10.0 s of the budget.") for line in out)


@FEW
@QUIET
def test_a_report(capsys, csv, tmp_path):
    pytest.importorskip("nnfast.tuning.report")
    pytest.importorskip("matplotlib")
    path = tmp_path / "report.html"
    code, out, err = run(capsys, "tune", csv, "--target", "price", *LONG, "--tier", "2", "--out", path)
    assert (code, err) == (0, [])
    assert f"Report: {path}" in out
    assert "</html>" in path.read_text(encoding="utf-8")


@FEW
@QUIET
@pytest.mark.parametrize("n_diverging", [1, 100])
def test_a_best_candidate_that_diverges_on_all_rows(capsys, csv, tmp_path, monkeypatch, n_diverging):
    pytest.importorskip("matplotlib")
    n_fits, fit = 0, nnfast.MLPClassifier.fit

    def diverging(self, *arguments, **named):
        nonlocal n_fits
        n_fits += 1
        # the first is that of the defaults; trials are trained by other ways
        if 1 < n_fits <= 1 + n_diverging:
            assert report.exists()
            raise nnfast.DivergenceError("on purpose")
        return fit(self, *arguments, **named)

    report, saved = tmp_path / "r.html", tmp_path / "p.json"
    monkeypatch.setattr(nnfast.MLPClassifier, "fit", diverging)
    try_defaults = tune._try_defaults
    monkeypatch.setattr(
        tune, "_try_defaults", lambda *arguments: (try_defaults(*arguments)[0], np.zeros(3), None)
    )
    options = ("--method", "random", "--tier", "1", "--out", report, "--save", saved)
    code, out, err = run(capsys, "tune", csv, "--target", "label", *LONG, *options)
    assert (code, err) == (0, [])
    words = r"Trial \d, 0\.\d{4} in validation, diverges on all rows: the next best is taken\."
    told = [line for line in out if re.fullmatch(words, line)]
    assert len(told) == min(n_diverging, 5)
    content = json.loads(saved.read_text())
    assert (content["params"] == {}) == (n_diverging > 5)
    if n_diverging == 1:
        assert content["scores"]["tuned"]["validation"] <= float(told[0].split()[2]) + 5e-5


def test_saved_parameters_are_a_whole_file(capsys, csv, tmp_path, monkeypatch):
    # Trials of no second, and a disk that is full.
    saved = tmp_path / "p.json"
    saved.write_text("before")

    def full(path, *arguments, **named):
        path.write_bytes(b"{")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        tune_results.save(saved, {})
    assert saved.read_text() == "before" and sorted(each.name for each in tmp_path.iterdir()) == [
        "p.json",
        csv.name,
    ]


def test_the_methods_are_those_of_the_command_line():
    assert tuple(tune.METHODS) == __main__._METHODS


@FEW
def test_the_defaults_stay_where_no_trial_beats_them(capsys, csv, tmp_path, monkeypatch):
    monkeypatch.setattr(
        tune, "_space", lambda base, tier, n_rows: {"mlpclassifier__learning_rate_init": [1e-9]}
    )
    code, out, _ = run(
        capsys, "tune", csv, "--target", "label", "--method", "random", *LONG, "--save", tmp_path / "p.json"
    )
    assert code == 0
    assert "No trial beats the defaults: they stay. A longer --budget may help." in out
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["params"] == {}
    assert content["scores"]["tuned"] == content["scores"]["defaults"]


@FEW
def test_a_table_of_odd_columns_and_rare_classes(capsys, pandas, tmp_path):
    """Gaps and text in a column of numbers, classes that are not in every fold, rows without a target."""
    frame = pandas.DataFrame(columns(40)).drop(columns=["label", "price"])
    frame["number"] = frame["number"].astype(object)
    frame.loc[5, "number"] = "n/a?"
    frame["y"] = ["a", "b"] * 18 + ["c", "d", None, None]
    frame.to_csv(tmp_path / "t.csv", index=False)
    code, out, err = run(capsys, "tune", tmp_path / "t.csv", "--target", "y", *LONG)
    assert (code, err) == (0, [])
    assert "2 rows without a target were left out." in out


@FEW
def test_rows(capsys, csv):
    code, out, _ = run(capsys, "tune", csv, "--target", "label", "--rows", 40, *LONG)
    assert code == 0
    assert "some table: 30 rows to tune on, in 3 folds; 10 rows, 25%, held out for the end." in out


# ------------------------------------------------------------------------------------------------------------
# The table behind it


@LEVELS
def test_a_raw_table_is_a_table_before_the_encoder(csv):
    raw, table = tables.read_raw(csv, "price"), tables.read(csv, "price")
    encoder = raw.encoder
    np.testing.assert_array_equal(raw.encoded().X_train, table.X_train)
    assert not hasattr(encoder, "transformers_")  # still not fitted
    np.testing.assert_array_equal(encoder.fit(raw.X_train, raw.y_train).transform(raw.X_test), table.X_test)
    assert table.raw.X_train.equals(raw.X_train)
    np.testing.assert_array_equal(raw.y_test, table.y_test)
    assert (raw.task, raw.notes, raw.parameters) == (table.task, table.notes, table.parameters)


def test_budgets():
    for text, seconds in {
        "60": 60,
        "60s": 60,
        "2m": 120,
        "1h": 3600,
        "1h30m": 5400,
        "0.5m": 30,
        "1m1.5s": 61.5,
        ".5": 0.5,
    }.items():
        assert __main__._seconds(text) == seconds


# ------------------------------------------------------------------------------------------------------------
# Errors


@pytest.fixture
def no_search(monkeypatch):
    """Whatever fails here fails before any fit."""

    def search(*arguments, **named):
        raise AssertionError("there is something to say before the search")

    for cls in (nnfast.MLPClassifier, nnfast.MLPRegressor):
        monkeypatch.setattr(cls, "fit", search)


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, [], r"t\.csv cannot be read: No such file or directory"),
        ("", [], r"t\.csv is empty"),
        (CSV, ["--target", "z"], r"t\.csv has no column 'z'; it has 'x', 'y'\."),
        ("x,y\n1,a\n", [], r"t\.csv has 1 rows with a target; at least 10 are needed"),
        ("x,y\n" + "1,\n" * 20, [], r"t\.csv has 0 rows with a target"),
        ("x,y\n" + "1,a\n" * 20, [], r"column 'y' has one class only, 'a'; two are needed"),
        (
            "x,y\n" + "1,7.5\n" * 20 + "1,bad\n" * 5,
            ["--task", "regression"],
            r"regression needs numbers .*, got 'bad'",
        ),
        (CSV, ["--cv", "1"], r"--cv must be from 2 to 7, half of the 15 rows to tune on, got 1\."),
        (CSV, ["--cv", "8"], r"--cv must be from 2 to 7, half of the 15 rows to tune on, got 8\."),
        (
            CSV,
            ["--out", "no such folder/r.html"],
            r"--out no such folder/r\.html cannot be written: No such file or directory\.",
        ),
        (CSV, ["--save", "."], r"--save \. cannot be written: Is a directory\."),
        (CSV, ["--save", "/dev/null"], r"--save /dev/null is a device or a pipe; it must be a file"),
        (
            CSV,
            ["--out", "same", "--save", "./same"],
            r"--out and --save must be two files, got same for both\.",
        ),
        (
            CSV,
            ["--model", "same", "--script", "./same"],
            r"--model and --script must be two files, got same for both\.",
        ),
        (
            CSV,
            ["--model", "no such folder/m"],
            r"--model no such folder/m cannot be written: No such file or directory\.",
        ),
        (CSV, ["--script", "t.csv"], r"--script t\.csv is the table itself"),
        (CSV, ["--out", "t.csv"], r"--out t\.csv is the table itself"),
    ],
)
def test_a_search_that_cannot_be(
    capsys, pandas, no_search, tmp_path, monkeypatch, content, arguments, message
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "t.csv").write_text(content)
    code, out, err = run(capsys, "tune", "t.csv", "--target", "y", *arguments)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith("nnfast: error: ")
    assert re.search(message, err[0])
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"] * (content is not None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune"], "required: TABLE, --target"),
        (["tune", "t.csv"], "required: --target"),
        (["tune", "--method", "bays"], "invalid choice: 'bays'"),
        (["tune", "--budget", "soon"], "must be a positive time such as 60, 60s, 2m or 1h30m, got 'soon'"),
        (["tune", "--budget", "0s"], "must be a positive time such as 60, 60s, 2m or 1h30m, got '0s'"),
        (["tune", "--budget=-5"], "must be a positive time such as 60, 60s, 2m or 1h30m, got '-5'"),
        (["tune", "--budget", ""], "must be a positive time such as 60, 60s, 2m or 1h30m, got ''"),
        (["tune", "--budget", "1e3"], "must be a positive time such as 60, 60s, 2m or 1h30m, got '1e3'"),
        (["tune", "--budget", "9" * 400], "must be a positive time"),
        (["tune", "--cv", "0"], "must be a positive integer, got '0'"),
        (["tune", "--seed", "-1"], "must be an integer from 0 to 2**32 - 1, got '-1'"),
        (["tune", "--seed", str(2**32)], "must be an integer from 0 to 2**32 - 1"),
        (["tune", "--tier", "4"], "invalid choice: 4"),
        (["tune", "--jobs", "0"], "must be a positive integer, got '0'"),
    ],
)
def test_a_command_line_that_will_not_do(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, [])
    assert message in err[-1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("option", ["--save", "--out"])
def test_no_pipe_is_waited_for(option, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=f"{option} .*pipe is a device or a pipe"):
        tune.check(tmp_path / "t.csv", **{option[2:]: tmp_path / "pipe"})


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_link_stays_where_its_target_can_be_written(tmp_path):
    (tmp_path / "link").symlink_to("target")
    tune.check(tmp_path / "t.csv", save=tmp_path / "link")
    assert os.listdir(tmp_path) == ["link"]


def test_a_folder_is_no_table(capsys, pandas, tmp_path):
    code, _, err = run(capsys, "tune", tmp_path, "--target", "y")
    assert (code, len(err)) == (2, 1)
    assert "cannot be read: Is a directory" in err[0]


@pytest.mark.parametrize(
    ("missing", "arguments", "words"),
    [
        ("optuna", ["--method", "bayes"], "--method bayes needs Optuna: pip install 'nnfast[tune]'"),
        (
            "matplotlib",
            ["--out", "r.html"],
            "--out draws figures, which needs matplotlib: pip install 'nnfast[plot]'",
        ),
    ],
)
def test_without_a_library(capsys, no_search, csv, monkeypatch, missing, arguments, words):
    monkeypatch.setitem(sys.modules, missing, None)
    code, out, err = run(capsys, "tune", csv, "--target", "label", *arguments)
    assert (code, out, len(err)) == (2, [], 1)
    assert words in err[0]


@FEW
@QUIET
def test_a_file_that_is_there_is_not_touched_until_the_end(capsys, csv, tmp_path):
    saved = tmp_path / "p.json"
    saved.write_text("before")
    assert run(capsys, "tune", csv, "--target", "label", "--cv", "1", "--save", saved)[0] == 2
    assert saved.read_text() == "before"
    assert run(capsys, "tune", csv, "--target", "label", *LONG, "--save", saved)[0] == 0
    json.loads(saved.read_text())


# ------------------------------------------------------------------------------------------------------------
# Ctrl-C


def interrupted(*arguments, **named):
    raise KeyboardInterrupt


@pytest.fixture
def ctrl_c(monkeypatch):
    """Comes when the third trial has ended."""
    finish, n_finished = SearchRun.finish, 0

    def interrupted(self, *arguments, **named):
        nonlocal n_finished
        finish(self, *arguments, **named)
        n_finished += 1
        if n_finished == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SearchRun, "finish", interrupted)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_search(capsys, csv, tmp_path):
    saved = tmp_path / "p.json"
    code, out, err = run(capsys, "tune", csv, "--target", "price", "--budget", "1h", "--save", saved)
    assert (code, err) == (0, [])
    assert scores(line for line in out if line).keys() == {"defaults", "tuned"}
    assert json.loads(saved.read_text())["trials"] >= 3


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_ends_the_command(capsys, csv, tmp_path, monkeypatch):
    monkeypatch.setattr(tune_results, "trials", interrupted)
    code, _, err = run(
        capsys, "tune", csv, "--target", "price", "--budget", "1h", "--save", tmp_path / "p.json"
    )
    assert (code, err) == (130, ["nnfast: interrupted"])
    assert not (tmp_path / "p.json").exists()


@QUIET
def test_ctrl_c_within_the_defaults_ends_them_with_their_epoch(capsys, csv, monkeypatch):
    both, train = threading.Barrier(2), TrainingRun.train

    def interrupted_train(self, until=None, pause=None, **named):
        def asked():
            if self.n_epochs == 5 and both.wait(60) == 0:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            end = time.monotonic() + 60
            while self.n_epochs == 5 and not pause() and time.monotonic() < end:
                time.sleep(0.001)
            return pause()

        return train(self, until, None if pause is None else asked, every_epoch=True)

    monkeypatch.setattr(TrainingRun, "train", interrupted_train)
    code, out, err = run(
        capsys, "tune", csv, "--target", "label", "--budget", "1h", "--jobs", "2", "--cv", "2"
    )
    assert (code, err) == (0, [])
    assert any("cut short: 2 of 2 folds have a score, after 5 epochs at most." in line for line in out)
    assert "coarse-to-fine: no trial, since the time was over." in out


@pytest.mark.parametrize("where", ["_try_defaults", "_search"])
def test_ctrl_c_before_the_search_ends_the_command(capsys, csv, monkeypatch, where):
    monkeypatch.setattr(tune, where, interrupted)
    code, _, err = run(capsys, "tune", csv, "--target", "label")
    assert (code, err) == (130, ["nnfast: interrupted"])
