"""The command `nnfast`: the demonstration on bundled tables and on a user's, each error in one
line, Ctrl-C.
"""

import datetime
import decimal
import itertools
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import sklearn.ensemble
import sklearn.neural_network
from sklearn.base import clone
from sklearn.metrics import log_loss, r2_score

import nnfast
from nnfast import demo, tables, whole_models
from nnfast.__main__ import main

QUICK = ("--hidden", "3", "4,2", "--max-iter", "2")

pytestmark = pytest.mark.usefixtures("quick_models")


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


def run(capsys, *arguments):
    """Exit code, lines of stdout, lines of stderr."""
    try:
        code = main([str(each) for each in arguments])
    except SystemExit as stop:  # argparse's way out
        code = stop.code
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.splitlines()


def results(lines, part=0):
    """The rows of one of the demonstration's two tables, of networks and of whole models, as lists
    of cells.
    """
    start = [i for i, line in enumerate(lines) if line.startswith("table ")][part] + 1
    rows = itertools.takewhile(bool, lines[start:])
    return [re.split(r" {1,}", line) for line in rows]


def columns(n_rows=40):
    """Columns of every kind, with gaps, and targets that depend on them."""
    rng = np.random.RandomState(0)
    number = rng.normal(size=n_rows)
    start = datetime.date(2026, 1, 1)
    return {
        "number": np.where(rng.uniform(size=n_rows) < 0.2, np.nan, number),
        "whole": rng.randint(0, 9, n_rows),
        "infinite": np.where(np.arange(n_rows) == 3, np.inf, number),
        "empty": np.full(n_rows, np.nan),
        "truth": number > 0.3,
        "text": [None if i % 7 == 0 else "abc"[i % 3] for i in range(n_rows)],
        "identifier": [f"row {i}" for i in range(n_rows)],
        "date": [None if i % 11 == 0 else start + datetime.timedelta(days=i) for i in range(n_rows)],
        "decimal": [decimal.Decimal(i) / 4 for i in range(n_rows)],
        "mixed": [i if i % 2 else "even" for i in range(n_rows)],
        "label": np.where(number > 0, "yes", "no"),
        "price": 100 * number + 500,
    }


# ------------------------------------------------------------------------------------------------------------
# Bundled tables


def test_bundled_tables(capsys):
    code, out, err = run(capsys, "demo", *QUICK)
    assert (code, err) == (0, [])
    assert max(map(len, out)) <= 100
    assert nnfast.__version__ in out[0]
    rows = results(out)
    assert [row[:3] for row in rows[::4]] == [
        ["digits", "1,797", "64"],
        ["breast", "cancer", "569"],
        ["diabetes", "442", "10"],
    ]
    assert len(rows) == 3 * 2 * 2
    for row in rows:
        layout, max_iter, precision, theirs, ours, ratio, their_score, our_score = row[-8:]
        assert layout in ("3", "4-2")
        assert max_iter == "2"
        theirs, ours, rounding = float(theirs), float(ours), 0.0005
        assert (theirs - rounding) / (ours + rounding) - 0.05 <= float(ratio[:-1])
        assert ours <= rounding or float(ratio[:-1]) <= (theirs + rounding) / (ours - rounding) + 0.05
        if precision == "auto":
            assert their_score == our_score
        else:
            assert precision == "float32"
            assert float(their_score) == pytest.approx(float(our_score), abs=0.02)


def test_whole_models_of_the_bundled_tables(capsys):
    code, out, err = run(capsys, "demo", *QUICK)
    assert (code, err) == (0, [])
    models = [
        *[
            ("scikit-learn", "MLPClassifier(max_iter=2)"),
            ("scikit-learn", "HistGradientBoostingClassifier"),
            ("nnfast", "TabularClassifier"),
        ]
        * 2,
        *[
            ("scikit-learn", "MLPRegressor(max_iter=2)"),
            ("scikit-learn", "HistGradientBoostingRegressor"),
            ("nnfast", "TabularRegressor"),
        ],
    ]
    rows = results(out, 1)
    assert [tuple(row[-5:-3]) for row in rows] == models
    assert all(float(seconds) > 0 and float(loss) > 0 for *_, seconds, score, loss in rows)


@pytest.mark.parametrize("target", ["label", "price"])
def test_scores_of_whole_models(capsys, pandas, tmp_path, monkeypatch, target):
    """They are those of the same models fitted here, to frames made ready by hand."""
    monkeypatch.undo()  # the models as they are
    frame = pandas.DataFrame(columns(80)).drop(columns=["identifier", "empty", "date", "mixed", "infinite"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    code, out, _ = run(capsys, "demo", "--table", tmp_path / "t.csv", "--target", target, "--json", *QUICK)
    assert code == 0
    (found,) = json.loads("\n".join(out))["tables"]
    raw = tables.read_raw(tmp_path / "t.csv", target)
    texts = raw.X_train.select_dtypes(exclude=["number", "bool"]).columns
    X_train, X_test = raw.X_train.copy(), raw.X_test.copy()
    for name in texts:
        known = raw.X_train[name].dropna().unique()
        for part in (X_train, X_test):
            part[name] = part[name].where(part[name].isin(known)).astype(pandas.CategoricalDtype(known))
    y_train, y_test = raw.target_train, raw.target_test
    kind = "Classifier" if target == "label" else "Regressor"
    trees = getattr(sklearn.ensemble, f"HistGradientBoosting{kind}")(random_state=0).fit(X_train, y_train)
    ensemble = getattr(nnfast.tabular, f"Tabular{kind}")(random_state=0).fit(raw.X_train, y_train)
    table = raw.encoded()
    network = getattr(sklearn.neural_network, f"MLP{kind}")(random_state=0, max_iter=2)
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        network.fit(table.X_train, table.y_train)
    names = [f"MLP{kind}", f"HistGradientBoosting{kind}", f"Tabular{kind}"]
    assert [each["model"] for each in found["models"]] == names
    assert found["models"][0]["parameters"] == {"max_iter": 2}
    for model, X, each in zip(
        (network, trees, ensemble), (table.X_test, X_test, raw.X_test), found["models"], strict=True
    ):
        if target == "label":
            y = table.y_test if model is network else y_test
            shares = model.predict_proba(X)
            expected = {
                "accuracy": model.score(X, y),
                "log_loss": log_loss(y, shares / shares.sum(axis=1, keepdims=True)),
            }
        else:
            predicted = model.predict(X)
            if model is network:
                predicted = predicted * y_train.std() + y_train.mean()
            expected = {"r2": r2_score(y_test, predicted), "rmse": ((y_test - predicted) ** 2).mean() ** 0.5}
        assert each["scores"] == pytest.approx(expected, rel=1e-4, abs=1e-4), each["model"]
        assert each["seconds"] > 0


def test_a_whole_model_that_fails_ends_nothing(capsys, quick_models, monkeypatch):
    def fit(self, X, y):
        raise ValueError("The least populated\nclass has one member.")

    monkeypatch.setattr("nnfast.tabular.TabularClassifier.fit", fit)
    code, out, err = run(capsys, "demo", *QUICK, "--json")
    assert code == 0
    failed = [line for line in err if "TabularClassifier" in line]
    assert len(failed) == 2 and all(
        line.endswith(" fails: The least populated class has one member.") for line in failed
    )
    found = [
        each for table in json.loads("\n".join(out))["tables"] for each in table["models"] if "error" in each
    ]
    assert [each["model"] for each in found] == ["TabularClassifier"] * 2
    assert found[0].keys() == {"package", "model", "parameters", "error"}


def test_trees_are_given_as_many_categories_as_they_take(pandas):
    rng = np.random.default_rng(0)
    ranks = np.minimum(rng.geometric(0.005, 5000), 600)
    X = pandas.DataFrame(
        {"many": [f"c{i}" for i in ranks], "when": pandas.Timestamp("2024-01-01"), "truth": ranks > 3}
    )
    X.loc[7, "many"] = None
    X_train, X_test = whole_models.for_trees(X, X.assign(many="never seen"))
    sklearn.ensemble.HistGradientBoostingClassifier(max_iter=1).fit(X_train, ranks > 100)
    counts = X["many"].value_counts()
    assert X_train["many"].nunique() == 254 < len(counts)
    assert set(X_train["many"].dropna()) <= set(counts[counts >= counts.iloc[253]].index)
    assert X_test["many"].isna().all()
    assert X_train.columns.tolist() == ["many", "when_days", "truth"]


def test_long_fits_are_shortened():
    digits, cancer, _ = tables.bundled()
    assert demo.affordable_epochs(digits, (256, 256)) == 200
    assert 3 < demo.affordable_epochs(digits, (1024, 1024)) < 200
    assert demo.affordable_epochs(digits, (2**14, 2**14)) == 3
    assert (digits.n_outputs, cancer.n_outputs) == (10, 1)


def test_bundled_tables_are_split_and_scaled():
    for table in tables.bundled():
        assert table.X_train.mean(axis=0) == pytest.approx(0, abs=1e-9)
        assert len(table.y_test) == pytest.approx(table.n_rows / 4, abs=1)
        if table.task == "regression":
            assert (table.y_train.mean(), table.y_train.std()) == pytest.approx((0, 1))
        else:
            shares = [np.bincount(y) / len(y) for y in (table.y_train, table.y_test)]
            assert shares[0] == pytest.approx(shares[1], abs=0.01)


# ------------------------------------------------------------------------------------------------------------
# Tables of the user


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv(capsys, pandas, tmp_path, separator):
    path = tmp_path / "some table.csv"
    pandas.DataFrame(columns()).to_csv(path, sep=separator, index=False)
    code, out, err = run(capsys, "demo", "--table", path, "--target", "label", *QUICK)
    assert (code, err) == (0, [])
    assert "Task: classification, guessed from 2 distinct values in 'label' (--task says otherwise)." in out
    counts = "5 numbers, 1 boolean, 2 categories, 1 date; left out: 1 empty, 1 identifier"
    assert f"Columns: {counts} (--keep NAME uses it)." in out
    rows = results(out)
    assert len(rows) == 4
    assert rows[0][:3] == ["some", "table", "40"]


def test_parquet(capsys, pandas, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(columns()).drop(columns="mixed")
    frame["category"] = frame["text"].astype("category")
    frame["nullable"] = frame["whole"].astype("Int64").where(frame["whole"] > 2)
    frame["time"] = pandas.to_datetime(frame["date"])
    frame["span"] = frame["time"] - frame["time"].min()
    for name in ("table.parquet", "no suffix"):
        frame.to_parquet(tmp_path / "table.parquet")
        (tmp_path / "table.parquet").rename(tmp_path / name)
        code, out, err = run(capsys, "demo", "--table", tmp_path / name, "--target", "price", *QUICK)
        assert (code, err) == (0, [])
        assert "Task: regression, guessed from 40 distinct values in 'price' (--task says otherwise)." in out
        counts = "5 numbers, 1 boolean, 3 categories, 2 dates, 1 duration; left out: 1 empty, 1 identifier"
        assert f"Columns: {counts} (--keep NAME uses it)." in out


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 20, "classification"),
        ([True, False] * 20, "classification"),
        ([1, 2, 3, 4] * 10, "classification"),
        ([0.0, 1.0] * 20, "classification"),
        ([0.5, 1.0] * 20, "regression"),
        (list(range(40)), "regression"),
        ([1, 2, "two", 2.5] * 10, "classification"),
    ],
)
def test_the_task_is_guessed(pandas, tmp_path, values, task):
    pandas.DataFrame({"x": range(40), "y": values}).to_csv(tmp_path / "t.csv", index=False)
    table = tables.read(tmp_path / "t.csv", "y")
    assert table.task == task
    assert any(task in note for note in table.notes)


def test_the_task_is_said(pandas, tmp_path):
    pandas.DataFrame({"x": range(40), "y": [1.5, 2, 3.5, 4] * 10}).to_csv(tmp_path / "t.csv", index=False)
    assert tables.read(tmp_path / "t.csv", "y", task="classification").n_outputs == 4
    table = tables.read(tmp_path / "t.csv", "y", task="regression")
    assert (table.task, table.n_outputs) == ("regression", 1)
    assert not any("guessed" in note for note in table.notes)


def test_what_becomes_of_columns(pandas, tmp_path):
    frame = pandas.DataFrame(columns(400))
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = tables.read(tmp_path / "t.csv", "price")
    for part in (table.X_train, table.X_test):
        assert np.isfinite(part).all() and part.dtype == np.float64  # scikit-learn computes in what it gets
    raw = tables.read_raw(tmp_path / "t.csv", "price")
    names = clone(raw.encoder).fit(raw.X_train, raw.y_train).get_feature_names_out()
    assert table.n_features == len(names)
    # no other part of the date tells of the price
    scaled = {"number", "whole", "infinite", "truth", "decimal", "date_days"}
    missing = {"number_missing", "infinite_missing", "date_days_missing"}
    levels = {"text_a", "text_b", "text_c", "text_missing", "mixed_even"}  # the others are of a row each
    found = {name for name in names if "_bin" not in name}
    assert found - {"label_yes", "label_no"} == scaled | missing | levels
    assert len(found) == len(scaled | missing | levels) + 1


def test_rows(capsys, pandas, tmp_path):
    frame = pandas.DataFrame(columns())
    frame.loc[:4, "label"] = None
    frame.to_csv(tmp_path / "t.csv", index=False)
    code, out, _ = run(
        capsys, "demo", "--table", tmp_path / "t.csv", "--target", "label", "--rows", 20, *QUICK
    )
    assert code == 0
    assert "5 rows without a target were left out." in out
    assert "20 of 35 rows, drawn at random (--rows takes more)." in out
    assert {row[1] for row in results(out)} == {"20"}


def test_rare_classes_do_not_matter(pandas, tmp_path):
    pandas.DataFrame({"x": range(60), "y": ["a", "b"] * 29 + ["c", "d"]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    table = tables.read(tmp_path / "t.csv", "y")
    for contender in demo.race(table, (3,), 2):
        assert 0 <= contender.score <= 1


# ------------------------------------------------------------------------------------------------------------
# Errors


CSV = "x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20))


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, ["y"], r"t\.csv cannot be read: No such file or directory"),
        (CSV, ["z"], r"t\.csv has no column 'z'; it has 'x', 'y'\."),
        (",".join(f"c{i}" for i in range(20)) + "\n" + ",".join("1" * 20), ["z"], r"'c7' and 12 more"),
        ("", ["y"], r"t\.csv is empty"),
        ("\n\n", ["y"], r"t\.csv is empty"),
        ("x,y\n", ["y"], r"t\.csv is empty: it has 0 rows and 2 columns"),
        ("x,y\n1,a\n2,b\n", ["y"], r"t\.csv has 2 rows with a target; at least 10 are needed"),
        ("x,y\n" + "1,\n" * 20, ["y"], r"t\.csv has 0 rows with a target"),
        ("x,y\n" + "1,a\n" * 20, ["y"], r"column 'y' has one class only, 'a'; two are needed"),
        ("x,y\n" + "1,7\n" * 20, ["y"], r"column 'y' has one class only, 7; two are needed"),
        ("x,y\n" + "1,7\n" * 20, ["y", "--task", "regression"], r"column 'y' has one value only, 7"),
        (CSV, ["y", "--task", "regression"], r"regression needs numbers in column 'y', got 'a'"),
        (
            "x,y\n" + "1,7.5\n" * 20 + "1,bad\n" * 5,
            ["y", "--task", "regression"],
            r"regression needs numbers .*, got 'bad'",
        ),
        (
            "x,y\n" + "".join(f"{i % 3},{i}.5\n" for i in range(60)) + "1,bad\n",
            ["y"],
            r"column 'y', the target, holds a number in most rows, but also 'bad'; rows where it is empty "
            "would be left out",
        ),
        (
            "x,y\n" + "1,7.5\n" * 20 + "1,inf\n",
            ["y", "--task", "regression"],
            r"needs finite numbers in column 'y'",
        ),
        (
            "x,y\n" + "".join(f"1,t{i}\n" for i in range(20)),
            ["y"],
            r"'y' has 20 classes in 20 rows, such as 't0'",
        ),
        ("y\n" + "a\nb\n" * 20, ["y"], r"no column to learn from beside the target"),
        ("x,y\n" + ",a\n,b\n" * 20, ["y"], r"no column to learn from beside the target"),
        ('x,y\n1,2\n"3,4\n5,6\n', ["y"], r"t\.csv cannot be read as CSV or Parquet: "),
        ("x,y\n1,2\n1,2,3,4\n", ["y"], r"t\.csv cannot be read as CSV or Parquet: .*line 3"),
        (
            b"x,y\n1,\xff\xfe\n",
            ["y", "--encoding", "utf-8"],
            r"t\.csv is not in the encoding utf-8; --encoding names another",
        ),
        (
            b"x,y\n1,2\n",
            ["y", "--encoding", "utf-9"],
            r"t\.csv cannot be read as CSV or Parquet: unknown encoding: utf-9",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0\0", ["y"], r"t\.csv is a binary file, and neither Parquet nor Excel"),
        (b"x\0,\0y\0\n\0", ["y"], r"t\.csv is a binary file.*--encoding utf-16"),
        (b"\x1f\x8b and no more", ["y"], r"t\.csv cannot be read"),
        (b"BZh and no more", ["y"], r"t\.csv cannot be read"),
        (
            b"PK\x03\x04 and no more",
            ["y"],
            r"t\.csv cannot be read as CSV or Parquet: File is not a zip file",
        ),
        ("x,y,x\n" + "1,2,3\n" * 20, ["y"], r"more than one column 'x'; names must differ.*\(--drop 'x'\)"),
        (
            "x,y,y\n" + "1,2,3\n" * 20,
            ["y"],
            r"more than one column 'y'; names must differ, and a copy of the target",
        ),
        (
            "x,y,y.1\n" + "".join(f"1,{i}.5,{i}.5\n" for i in range(20)),
            ["y"],
            r"the target 'y' twice, also as 'y\.1': the copy gives",
        ),
        (CSV, ["Y"], r"has no column 'Y'; it has 'x', 'y'\. Did you mean 'y'\?"),
        (CSV, ["y", "--drop", "z"], r"has no column 'z'"),
        (CSV, ["y", "--keep", "z"], r"has no column 'z'"),
        (CSV, ["y", "--drop", "x"], r"no column to learn from beside the target"),
        (CSV, ["y", "--drop", "y"], r"--drop 'y' is the target"),
        (CSV, ["y", "--sheet", "a"], r"--sheet is for Excel files; .*t\.csv is CSV"),
        (
            "id,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20)),
            ["y"],
            r"no column to learn from .* 'id' was left out as identifier \(--keep 'id' uses it\)",
        ),
        (
            "x,y\n" + "".join(f"{i % 3},{i + 1}.1.2024\n" for i in range(25)),
            ["y"],
            r"column 'y' holds dates.*--task classification",
        ),
        ("x,y\n1,2,3,4\n", ["y"], r"the first line has 2 fields, the second 4"),
    ],
)
def test_a_table_that_will_not_do(capsys, pandas, tmp_path, content, arguments, message):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = run(capsys, "demo", "--table", path, "--target", *arguments)
    assert (code, out) == (2, [])
    assert len(err) == 1
    assert err[0].startswith("nnfast: error: ")
    assert re.search(message, err[0])


def test_parquet_that_will_not_do(capsys, pandas, tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and then nothing of the sort")
    code, _, err = run(capsys, "demo", "--table", path, "--target", "y")
    assert (code, len(err)) == (2, 1)
    assert "cannot be read as CSV or Parquet" in err[0]

    pandas.DataFrame([[1, 2]] * 20, columns=[6, 7]).to_parquet(path)
    code, _, err = run(capsys, "demo", "--table", path, "--target", 7)
    assert (code, len(err)) == (2, 1)
    assert "column '7' has one class only, 2" in err[0]


def test_a_folder_is_no_table(capsys, pandas, tmp_path):
    code, _, err = run(capsys, "demo", "--table", tmp_path, "--target", "y")
    assert (code, len(err)) == (2, 1)
    assert "cannot be read: Is a directory" in err[0]


@pytest.mark.parametrize(("missing", "words"), [("pandas", "needs pandas"), ("pyarrow", "needs pyarrow")])
def test_without_the_libraries_that_read_tables(capsys, monkeypatch, tmp_path, missing, words):
    if missing == "pyarrow":
        pytest.importorskip("pandas")
        monkeypatch.setattr("pandas.read_parquet", lambda path: __import__("pyarrow"))
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, missing, None)
    code, out, err = run(capsys, "demo", "--table", tmp_path / "t.parquet", "--target", "y")
    assert (code, out, len(err)) == (2, [], 1)
    assert words in err[0]
    assert "pip install 'nnfast[table]'" in err[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["train"], "invalid choice: 'train'"),
        (["demo", "--table", "t.csv"], "--table needs --target COLUMN"),
        (["demo", "--target", "y"], "--target needs --table FILE"),
        (["demo", "--task", "regression"], "--task needs --table FILE"),
        (["demo", "--rows", "9"], "--rows needs --table FILE"),
        (["demo", "--sep", ";"], "--sep needs --table FILE"),
        (["demo", "--drop", "x"], "--drop needs --table FILE"),
        (["demo", "--sep", ";;", "--table", "t.csv"], "must be one character, such as ; or tab, got ';;'"),
        (["demo", "--decimal", "x", "--table", "t.csv"], "invalid choice: 'x'"),
        (["demo", "--max-iter", "0"], "must be a positive integer, got '0'"),
        (["demo", "--max-iter", "x"], "must be a positive integer, got 'x'"),
        (["demo", "--hidden", "3", "4,"], "must be units of hidden layers, such as 100 or 256,256, got '4,'"),
        (["demo", "--task", "ranking", "--table", "t.csv"], "invalid choice: 'ranking'"),
    ],
)
def test_a_command_line_that_will_not_do(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, [])
    assert message in err[-1]


def test_an_engine_that_does_not_load(capsys, monkeypatch):
    def get_engine(name="auto"):
        raise ImportError("The compiled part of nnfast (nnfast.kernels) does not load: gone.\nReinstall.")

    monkeypatch.setattr("nnfast.engines.get_engine", get_engine)
    code, _, err = run(capsys, "demo", *QUICK)
    assert (code, err) == (
        2,
        ["nnfast: error: The compiled part of nnfast (nnfast.kernels) does not load: gone. Reinstall."],
    )


def test_a_fit_that_fails(capsys, monkeypatch):
    def fit(self, X, y):
        raise nnfast.DivergenceError("Solver produced non-finite parameter weights.")

    monkeypatch.setattr(nnfast.MLPClassifier, "fit", fit)
    code, _, err = run(capsys, "demo", *QUICK)
    assert code == 2
    assert err == [
        "nnfast: error: digits: nnfast's MLPClassifier fails on this table: Solver produced non-finite"
        " parameter weights."
    ]


def test_help_and_version(capsys):
    for arguments in (["--help"], ["demo", "--help"], ["info", "--help"]):
        code, out, _ = run(capsys, *arguments)
        assert code == 0
        assert "usage: nnfast" in out[0]
    assert run(capsys, "--version")[1] == [f"nnfast {nnfast.__version__}"]


# ------------------------------------------------------------------------------------------------------------
# Ctrl-C


IN_FITS = {
    "nnfast's network": "nnfast.fitting.fit_stochastic",
    "scikit-learn's network": "sklearn.neural_network.MLPClassifier._backprop",
    "trees": "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.TreeGrower",
    "an ensemble": "nnfast.tabular.fitting.train_network",
}


@pytest.mark.parametrize("where", IN_FITS.values(), ids=IN_FITS)
def test_an_interrupt_ends_the_command_in_any_fit(capsys, monkeypatch, where):
    # scikit-learn's fit would swallow it and go on to the next.
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    code, _, err = run(capsys, "demo", *QUICK)
    assert (code, err) == (130, ["nnfast: interrupted"])


def default_sigint():
    """In a child, also where this process ignores SIGINT, as one in the background of a shell does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C is something else on Windows")
@pytest.mark.parametrize(
    "arguments", [["demo"], ["tune", "t.csv", "--target", "y"]], ids=lambda arguments: arguments[0]
)
@pytest.mark.parametrize(
    "module", ["argparse", "numpy.linalg", "scipy.sparse", "sklearn.base", "nnfast.tables.errors"]
)
def test_ctrl_c_while_libraries_are_imported(tmp_path, arguments, module):
    """`-X importtime` says on standard error which modules have been imported so far."""
    (tmp_path / "t.csv").write_text(CSV)
    command = [sys.executable, "-X", "importtime", "-m", "nnfast", *arguments]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=default_sigint, **pipes) as process:
        for line in process.stderr:
            if line.rpartition("|")[2].strip() == module:
                break
        process.send_signal(signal.SIGINT)
        rest = [line for line in process.stderr.read().splitlines() if not line.startswith("import time:")]
        assert process.wait(60) == 130
    assert rest == ["nnfast: interrupted"]


def test_the_handler_of_ctrl_c_is_as_before(capsys):
    before = signal.getsignal(signal.SIGINT)
    assert run(capsys, "demo", *QUICK)[0] == 0
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C is something else on Windows")
def test_ctrl_c(tmp_path):
    command = [sys.executable, "-u", "-m", "nnfast", "demo", "--hidden", "1024,1024", "--max-iter", "1000"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=default_sigint, **pipes) as process:
        for line in process.stdout:
            if line.startswith("table"):
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read().splitlines() == ["nnfast: interrupted"]


def test_nothing_is_said_of_a_pipe_that_closes(tmp_path):
    command = f"'{sys.executable}' -m nnfast demo --hidden 3 --max-iter 2 | true"
    result = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert result.stderr == ""
