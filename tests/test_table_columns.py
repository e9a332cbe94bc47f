"""`nnfast.tables.read_table`: what columns are taken for, text as numbers and dates, features of dates."""

import json
import re

import numpy as np
import pytest
from sklearn.base import clone
from written_tables import N, T, comma, text

from nnfast import tables
from nnfast.exceptions import UnexpectedValuesWarning
from nnfast.tables import DateParts, dates, make_encoder, numbers, read_raw, read_table

pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.usefixtures("quick_models")


# ------------------------------------------------------------------------------------------------------------
# What columns are taken for

R = np.random.RandomState(1)
ROWS = np.arange(100)
WORDS = [f"the customer wrote that number {i} works as it should" for i in ROWS]
COLUMNS = {
    "distinct whole numbers": ("amount", R.permutation(100_000)[:100], "number"),
    "whole numbers in steps": ("year", 1900 + ROWS, "number"),
    "distinct fractions under an identifier's name": ("id", R.normal(size=100), "number"),
    "repeated whole numbers under an identifier's name": ("id", ROWS // 2, "number"),
    "a name with an identifier's letters": ("humid", R.permutation(1000)[:100], "number"),
    "an index that does not ascend": ("index", R.permutation(1000)[:100], "number"),
    "whole numbers as floats": ("size", np.where(ROWS == 3, np.nan, ROWS), "number"),
    "an identifier": ("id", 100_000 + 7 * ROWS, "identifier"),
    "an identifier without order": ("customer_id", R.permutation(100_000)[:100], "identifier"),
    "an identifier in camel case": ("PassengerId", ROWS + 1, "identifier"),
    "pandas' index": ("Unnamed: 0", ROWS, "identifier"),
    "distinct texts": ("ticket", [f"A{i}" for i in ROWS], "identifier"),
    "free text": ("note", WORDS, "text"),
    "free text, of which some is missing": (
        "note",
        [None if i % 3 else word for i, word in enumerate(WORDS)],
        "text",
    ),
    "texts that recur": ("ticket", [f"A{i // 2}" for i in ROWS], "category"),
    "long texts that recur": ("note", [WORDS[i // 10] for i in ROWS], "category"),
    "words and numbers": ("size", [i if i % 2 else "even" for i in ROWS], "category"),
    "a few levels beside numbers": (
        "children",
        ["3+" if i % 25 == 0 else str(i % 3) for i in ROWS],
        "category",
    ),
    "one number": ("x", np.full(100, 7), "constant"),
    "one number, or none": ("x", np.where(ROWS % 2, 7, np.nan), "constant"),
    "one text": ("x", ["a"] * 100, "constant"),
    "one text, or none": ("x", ["a" if i % 2 else None for i in ROWS], "category"),
    "nothing": ("x", [None] * 100, "empty"),
    "truths": ("x", ROWS % 3 == 0, "boolean"),
    "truths and gaps": ("x", [None if i % 7 == 0 else bool(i % 2) for i in ROWS], "boolean"),
    "truths in capitals": ("x", [["TRUE", "False", "true"][i % 3] for i in ROWS], "boolean"),
    "durations": ("x", [f"{i % 5} days {i % 24:02}:{i % 60:02}:00" for i in ROWS], "duration"),
    "times of day": ("x", [f"{i % 24}:{i % 60:02}" for i in ROWS], "duration"),
    "months": ("x", [f"{1990 + i // 12}-{i % 12 + 1:02}" for i in ROWS], "date"),
    "timestamps": ("x", [f"2024-01-01T00:{i // 60:02}:{i % 60:02}.125Z" for i in ROWS], "date"),
    "versions": ("x", [f"1.{i % 20}.{i % 4}" for i in ROWS], "category"),
    "addresses": ("x", [f"10.0.{i % 20}.{i % 4}" for i in ROWS], "category"),
    "signs for missing values alone": ("x", ["?" if i % 2 else "-" for i in ROWS], "category"),
    "eight digits that are no dates": ("x", 12_340_000 + 97 * ROWS, "number"),
}


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("case", COLUMNS)
def test_what_a_column_is_taken_for(tmp_path, case, form):
    name, values, expected = COLUMNS[case]
    frame = pandas.DataFrame({name: values, "other": ROWS % 7})
    if form == "parquet":
        pytest.importorskip("pyarrow")
        if case == "words and numbers":
            frame[name] = frame[name].astype(str)
        frame.to_parquet(tmp_path / "t")
    else:
        frame.to_csv(tmp_path / "t", index=False)
    used, columns, _ = read_table(tmp_path / "t")
    (column,) = [each for each in columns if each.column == name]
    assert column.taken_for == expected
    assert column.used == (name in used) == (expected not in ("identifier", "text", "constant", "empty"))
    assert column.missing == frame[name].isna().sum()
    assert column.used or column.note
    assert json.loads(json.dumps(column.record())) == column.record()
    # What was kept is used whatever it is, and what was dropped is not there at all.
    assert name in read_table(tmp_path / "t", keep=[name]).frame
    assert [each.column for each in read_table(tmp_path / "t", drop=[name]).columns] == ["other"]


def test_days_and_months_that_do_not_show(tmp_path):
    """The rest of the column decides; where none of it does, the day comes first, and that is said."""
    for rows, order, said in (
        (["03/04/2024"] * 30 + ["05/06/2024"] * 30, "day-first", True),
        (["03/04/2024"] * 30 + ["13/06/2024"], "day-first", False),
        (["03/04/2024"] * 30 + ["06/13/2024"], "month-first", False),
    ):
        pandas.DataFrame({"when": rows, "x": range(len(rows))}).to_csv(tmp_path / "t.csv", index=False)
        frame, (when, _), _ = read_table(tmp_path / "t.csv")
        assert frame["when"][0] == pandas.Timestamp(2024, *((4, 3) if order == "day-first" else (3, 4)))
        assert (when.format, "which day and month do not show" in when.note) == (order, said)


def test_a_copy_of_the_target_is_said_loudly(tmp_path):
    T.assign(cost=T["price"]).to_csv(tmp_path / "t.csv", index=False)
    notes = read_raw(tmp_path / "t.csv", "price").notes
    assert (
        "WARNING: column 'cost' equals the target 'price' in each row: it gives the answer away (--drop"
        " 'cost')." in notes
    )
    assert not any("WARNING" in note for note in read_raw(tmp_path / "t.csv", "price", drop=["cost"]).notes)


def test_a_target_is_read_as_it_is_asked_for(tmp_path):
    """Signs for a missing value leave a row out, and classes are as the file has them."""
    for values, classes in (
        ([1, 2, 3], [1, 2, 3]),
        (["yes", "no", None], ["no", "yes"]),
        ([True, False, None], [False, True]),
        ([1, 2, None], [1, 2]),
        ([1, 2, "?"], [1, 2]),
        ([1.5, 2.5, 3.0], ["1.5", "2.5", "3.0"]),
    ):
        pandas.DataFrame({"x": ROWS, "y": [values[i % 3] for i in ROWS]}).to_csv(
            tmp_path / "t.csv", index=False
        )
        raw = read_raw(tmp_path / "t.csv", "y", task="classification")
        assert np.unique(raw.y_train).tolist() == classes
        n_missing = sum(i % 3 == 2 for i in ROWS) if len(classes) == 2 else 0
        assert raw.facts["rows"]["without_target"] == n_missing


def test_new_rows_are_read_as_those_before(tmp_path):
    """However few they are, and whatever they look like by themselves."""
    path, few = tmp_path / "t.csv", tmp_path / "few.csv"
    frame = T.assign(id=range(N), level=["3+" if i % 25 == 0 else str(i % 3) for i in range(N)])
    path.write_text(text(frame, ";", "%d/%m/%Y", a=comma, price=comma))
    whole, columns, _ = read_table(path)
    assert "id" not in whole
    early = (whole["when"].dt.day <= 12) & (frame["level"] != "3+")
    for rows in (whole.index[early][:3], whole.index[:1], whole.index[:30]):
        part = frame.loc[rows].drop(columns="price")
        few.write_text(text(part, ";", "%d/%m/%Y", a=comma))
        found, read, _ = read_table(few, columns=columns)
        pandas.testing.assert_frame_equal(
            found, whole.loc[rows, found.columns].reset_index(drop=True), check_dtype=False
        )
        assert [each.column for each in read] == ["when", "a", "b", "colour", "level"]
    # What does not fit is missing.
    few.write_text("when;a;b;colour;level\nsoon;much;1;red;1\n")
    found = read_table(few, columns=columns).frame
    assert found[["when", "a"]].isna().all(axis=None) and found["b"][0] == 1


@pytest.mark.parametrize(
    "cell, value",
    [
        ("12 %", 12),
        ("€ 5", 5),
        ('"0,5"', 0.5),
        ('"1,200.5"', 1200.5),
        ("1 200", 1200),
        ("1.234.567", 1234567),
        ("soon", np.nan),
    ],
)
def test_numbers_are_read_as_such_where_those_before_were_plain(cell, value, tmp_path):
    (tmp_path / "t.csv").write_text("a,price\n" + "".join(f"{i}.5,{i}\n" for i in range(40)))
    _, columns, _ = read_table(tmp_path / "t.csv")
    (tmp_path / "other.csv").write_text(f"a,price\n{cell},1\n")
    found = read_table(tmp_path / "other.csv", columns=columns).frame["a"].to_numpy(float)
    np.testing.assert_array_equal(found, [value])


def test_few_rows_leave_nothing_out(tmp_path):
    T.head(3).assign(id=range(3), one=1, note=WORDS[:3]).to_csv(tmp_path / "t.csv", index=False)
    assert {"id", "one", "note"} < set(read_table(tmp_path / "t.csv").frame)


# ------------------------------------------------------------------------------------------------------------
# Text as numbers and dates


@pytest.mark.parametrize("decimal", [".", ","])
def test_numbers_of_all_sizes(decimal):
    rng = np.random.RandomState(0)
    values = (rng.normal(size=500) * 10.0 ** rng.randint(-3, 9, 500)).round(5)
    swap = str.maketrans(",.", ",." if decimal == "." else ".,")
    for form in (
        "{:,.5f}",
        "{:.5f}",
        "{:+.5f}",
        "{:.17e}",
        "{!r}",
        " {:.5f} ",
        "$ {:,.5f}",
        "{:.5f} %",
        "{:,.5f} USD",
    ):
        texts = pandas.Series([form.format(value).translate(swap) for value in values.tolist()])
        np.testing.assert_allclose(numbers.parse(texts, decimal), values, rtol=1e-15)
    few = "0,123" if decimal == "." else "0.123"
    for wrong in (
        few,
        *["-", ".", ",", "1.2.3", "1,2,3", "e5", "1e", "12,34,567", "0x10", "1_000", "$", "inf"],
        "",
        "1 2",
    ):
        assert np.isnan(numbers.parse(pandas.Series([wrong]), decimal)).all(), wrong


@pytest.mark.parametrize("n_rows", [50, 2000])  # fewer and more than are looked at for a common format
@pytest.mark.parametrize(
    ("form", "order"),
    [
        ("%Y-%m-%d", "year-first"),
        ("%Y-%m-%d %H:%M:%S", "year-first"),
        ("%Y-%m-%dT%H:%M:%S.%f", "year-first"),
        ("%Y/%m/%d %H:%M", "year-first"),
        ("%d.%m.%Y", "day-first"),
        ("%d.%m.%y", "day-first"),
        ("%d/%m/%Y %H:%M", "day-first"),
        ("%d-%b-%Y", "day-first"),
        ("%d %B %Y %I:%M:%S %p", "day-first"),
        ("%m/%d/%Y", "month-first"),
        ("%m-%d-%y %H:%M:%S", "month-first"),
        ("%b %d, %Y", "day-first"),
        ("%Y-%m-%dT%H:%M:%SZ", "year-first"),
        ("%d.%m.%Y, %H:%M:%S", "day-first"),
    ],
)
def test_dates_of_all_forms(form, order, n_rows):
    """The oracle is Python's own reading of what it has written."""
    rng = np.random.RandomState(0)
    microseconds = rng.randint(0, 60 * 365 * 24 * 3600, n_rows) * 1_000_000 + rng.randint(0, 10**6, n_rows)
    days = [
        pandas.Timestamp(int(each), unit="us").to_pydatetime().replace(year=1972 + i % 60 // 4 * 4)
        for i, each in enumerate(microseconds)
    ]
    texts = pandas.Series([each.strftime(form) for each in days])
    expected = np.array([type(days[0]).strptime(each, form) for each in texts], dtype="M8[us]")
    assert dates.order_of(texts) == (order, False)
    np.testing.assert_array_equal(dates.parse(texts, order), expected)
    mixed = pandas.concat(
        [texts, pandas.Series(["soon", "31.02.2024", "2024-13-01", "99"])], ignore_index=True
    )
    found = dates.parse(mixed, order)
    np.testing.assert_array_equal(found[:n_rows], expected)
    assert np.isnat(found[n_rows:]).all()


def test_dates_of_other_zones_and_ages():
    texts = pandas.Series(
        [
            "2024-01-01T12:00+02:00",
            "2024-01-01 12:00 -0530",
            "01.02.0500",
            "31.12.9999",
            "1.1.2024 24:00",
            "29.2.2023",
        ]
    )
    expected = np.array(
        ["2024-01-01T10:00", "2024-01-01T17:30", "0500-02-01", "9999-12-31", "2024-01-02", "NaT"],
        dtype="M8[us]",
    )
    np.testing.assert_array_equal(dates.parse(texts, "day-first"), expected)


# ------------------------------------------------------------------------------------------------------------
# Features


def test_parts_of_dates_are_those_of_pandas():
    when = pandas.Series(pandas.date_range("1950-03-01", "2051-01-01", 997)).astype("datetime64[us]")
    when[5] = pandas.NaT
    steady = pandas.Series(pandas.Timestamp("2024-01-01"), index=when.index).astype("datetime64[us]")
    frame = pandas.DataFrame({"when": when, "steady": steady})
    encoder = clone(DateParts()).fit(frame)
    names = encoder.get_feature_names_out().tolist()
    assert names == ["when_days", "when_year", "when_month", "when_weekday", "when_hour", "steady_days"]
    features = pandas.DataFrame(encoder.transform(frame), columns=names)
    assert features.iloc[5, :5].isna().all()
    assert (features["steady_days"] == 0).all()
    day = when.dt.normalize()
    expected = {
        "when_days": (when - when.min()) / pandas.Timedelta(days=1),
        "when_year": when.dt.year,
        "when_month": when.dt.month,
        "when_weekday": when.dt.day_of_week,
        "when_hour": (when - day) / pandas.Timedelta(hours=1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(features[name], values.astype(float), rtol=1e-12)
    with pytest.raises(ValueError, match="X has 1 columns, but DateParts was fitted on 2"):
        encoder.transform(frame[["when"]])


WHEN = pandas.Series(pandas.date_range("2019-01-01", "2023-12-31", 400)).astype("datetime64[us]")
NOISE = np.random.RandomState(0).normal(size=len(WHEN))
TOLD = {
    "nothing": (NOISE, []),
    "a trend": (WHEN.dt.year - 2000 + WHEN.dt.day_of_year / 365.25 + 0.1 * NOISE, []),
    "a season": (np.cos(2 * np.pi * WHEN.dt.month / 12) + 0.3 * NOISE, ["month"]),
    "weekends": ((WHEN.dt.day_of_week > 4) + 0.3 * NOISE, ["weekday"]),
    "opening hours": (WHEN.dt.hour.between(9, 17) + 0.3 * NOISE, ["hour"]),
    "a year apart": ((WHEN.dt.year == 2021) + 0.3 * NOISE, ["year"]),
    "classes": (
        np.where(WHEN.dt.day_of_week > 4, "closed", np.where(NOISE > 0, "open", "late")),
        ["weekday"],
    ),
    "numbers of classes": ((WHEN.dt.month > 6) * 1, ["month"]),
    "two targets": (np.column_stack([NOISE, (WHEN.dt.day_of_week > 4) + 0.3 * NOISE]), ["weekday"]),
}


@pytest.mark.parametrize("what", TOLD)
def test_parts_of_dates_that_tell_nothing_of_the_targets_are_left_out(what):
    y, parts = TOLD[what]
    gaps = WHEN.copy()
    gaps[::50] = pandas.NaT
    for dates_ in (WHEN, gaps):
        assert DateParts().fit(dates_.to_frame("when"), np.asarray(y)).parts_ == [parts]
    assert DateParts().fit(WHEN.to_frame("when")).parts_ == [["year", "month", "weekday", "hour"]]


def test_dates_of_few_rows_have_no_parts_to_tell_of():
    for n in (1, 2, 3):
        assert DateParts().fit(WHEN[:n].to_frame("when"), np.arange(n) + 0.5).parts_ == [[]]
    assert DateParts().fit(WHEN[:9].to_frame("when"), np.full(9, 2.5)).parts_ == [[]]


def test_an_encoder_takes_new_categories_and_gaps(tmp_path):
    encoder = make_encoder(T.drop(columns="price")).fit(T)
    assert not any(name.startswith("price") for name in encoder.get_feature_names_out())
    row = pandas.DataFrame(
        {"when": [pandas.NaT], "a": [np.nan], "b": [1.0], "colour": ["blue"], "more": [1]}
    ).astype({"when": "datetime64[us]"})
    with pytest.warns(UnexpectedValuesWarning) as told:  # once
        features = encoder.transform(row)
    assert [re.search("'(.*?)' has (.*?) (that|in)", str(each.message)).groups()[:2] for each in told] == [
        ("when", "missing values"),
        ("a", "missing values"),
        ("colour", "levels"),
    ]
    assert np.isfinite(features).all()
    assert len(encoder.get_feature_names_out()) == encoder.transform(row).shape[1]


@pytest.mark.parametrize("column, remedy", [("a", "or leave it out (--drop 'a')"), ("price", "scale it.")])
def test_numbers_whose_squares_overflow_are_named(column, remedy, tmp_path):
    frame = T.copy()
    frame.loc[3, column] = 1e300
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        tables.TableError, match=f"column '{column}' has numbers as large as 1e\\+300"
    ) as caught:
        read_raw(tmp_path / "t.csv", "price")
    assert remedy in str(caught.value)
