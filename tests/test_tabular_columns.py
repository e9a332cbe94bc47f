"""Columns of tables: what they are taken for, the same in all libraries; and tables that differ from the one
of fit.
"""

import datetime as dt
import threading
import warnings
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from nnfast.exceptions import UnexpectedValuesWarning
from nnfast.tabular import PiecewiseLinearEncoder, TabularClassifier, TabularRegressor
from nnfast.tabular.column_reader import ColumnReader

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

N = 40
RNG = np.random.default_rng(0)
HOLES = RNG.random(N) < 0.2
NUMBERS = RNG.normal(size=N).round(3)
UTC = dt.UTC


def with_holes(values):
    return [None if hole else value for hole, value in zip(HOLES, values, strict=True)]


def moments(zone=None):
    return [dt.datetime(2020, 1, 1, tzinfo=zone) + dt.timedelta(hours=7 * i) for i in range(N)]


# Values as Python objects, and what the column is taken for.
COLUMNS = {
    "floats": (NUMBERS.tolist(), "number"),
    "floats with holes": (with_holes(NUMBERS.tolist()), "number"),
    "infinite": ([float("inf") if i == 3 else x for i, x in enumerate(NUMBERS.tolist())], "number"),
    "integers": ([i * 2**40 for i in range(N)], "number"),
    "integers with holes": (with_holes(range(N)), "number"),
    "decimals": ([Decimal(i) / 100 for i in range(N)], "number"),
    "decimals with holes": (with_holes([Decimal(i) / 100 for i in range(N)]), "number"),
    "booleans": ((NUMBERS > 0).tolist(), "boolean"),
    "booleans with holes": (with_holes((NUMBERS > 0).tolist()), "boolean"),
    "text": (list("abcd" * (N // 4)), "category"),
    "text with holes": (with_holes("abcd" * (N // 4)), "category"),
    "digits": (list("0123" * (N // 4)), "category"),
    "unicode": (["é", "日本", "", " "] * (N // 4), "category"),
    "dates": ([dt.date(2020, 1, 30) + dt.timedelta(days=i) for i in range(N)], "date"),
    "dates with holes": (with_holes([dt.date(2020, 1, 30) + dt.timedelta(days=i) for i in range(N)]), "date"),
    "times": (moments(), "date"),
    "times with holes": (with_holes(moments()), "date"),
    "zoned": (moments(UTC), "date"),
    "durations": ([dt.timedelta(hours=i) for i in range(N)], "duration"),
    "durations with holes": (with_holes([dt.timedelta(hours=i) for i in range(N)]), "duration"),
    "times of day": ([dt.time(i % 24, 30) for i in range(N)], "duration"),
    "constant": ([1.5] * N, "constant"),
    "constant text": (["x"] * N, "constant"),
    "missing": ([None] * N, "empty"),
}
VALUES = {name: values for name, (values, _) in COLUMNS.items()}


def as_array():
    table = np.empty((N, len(VALUES)), dtype=object)
    for j, values in enumerate(VALUES.values()):
        table[:, j] = values
    return table


LIBRARIES = {
    "pandas": lambda: pd.DataFrame(VALUES),
    "pandas, nullable": lambda: pd.DataFrame(VALUES).convert_dtypes(),
    "pandas, of objects": lambda: pd.DataFrame(
        {name: pd.Series(values, dtype=object) for name, values in VALUES.items()}
    ),
    "pandas, of Arrow": lambda: pa.table(VALUES).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda: pl.DataFrame(VALUES),
    "pyarrow": lambda: pa.table(VALUES),
    "pyarrow, in pieces": lambda: pa.concat_tables([pa.table(VALUES).slice(0, 7), pa.table(VALUES).slice(7)]),
    "NumPy": as_array,
    "lists": lambda: as_array().tolist(),
}
Y = np.where(NUMBERS > 0, "yes", "no")


@pytest.fixture(scope="module")
def expected():
    return TabularClassifier(quality="fast", random_state=0).fit(pd.DataFrame(VALUES), Y)


def described(columns):
    return [replace(each, name=j, dtype="") for j, each in enumerate(columns)]


@pytest.mark.parametrize("library", LIBRARIES)
def test_all_libraries_give_the_same(library, expected):
    X = LIBRARIES[library]()
    assert [each.taken_for for each in expected.columns_] == [kind for _, kind in COLUMNS.values()]
    estimator = TabularClassifier(quality="fast", random_state=0).fit(X, Y)
    assert described(estimator.columns_) == described(expected.columns_)
    assert np.array_equal(estimator.predict_proba(X), expected.predict_proba(pd.DataFrame(VALUES)))
    if estimator._reader.named:  # tables of two libraries may stand for each other
        assert np.array_equal(expected.predict_proba(X), estimator.predict_proba(X))


@pytest.mark.parametrize("column", VALUES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_each_column_by_itself(library, column):
    """In blocks of rows, each of which may lack what another has, a column is read as all at once."""
    j = list(VALUES).index(column)
    X = LIBRARIES[library]()
    one = (
        X[column].to_frame()
        if library == "polars"
        else X.select([column])
        if library.startswith("pyarrow")
        else None
    )
    if one is None:
        one = X[[column]] if library.startswith("pandas") else [[row[j]] for row in X]
    reader = ColumnReader()
    table = reader.fit(one)
    assert reader.columns[0].taken_for == COLUMNS[column][1]
    whole = reader.read(one)
    rows = [one[i : i + 3] if not library.startswith("pyarrow") else one.slice(i, 3) for i in range(0, N, 3)]
    parts = [reader.read(each) for each in rows]
    for name in ("numbers", "codes"):
        assert np.array_equal(getattr(table, name), getattr(whole, name), equal_nan=name == "numbers")
        in_parts = np.concatenate([getattr(each, name) for each in parts])
        assert np.array_equal(getattr(table, name), in_parts, equal_nan=name == "numbers")


CATEGORIES = {
    "pandas, of text": pd.DataFrame({"c": pd.Categorical(["b", "a", None, "b"], categories=["z", "b", "a"])}),
    "pandas, of numbers": pd.DataFrame({"c": pd.Categorical([2, 1, None, 2])}),
    "pandas, of floats": pd.DataFrame({"c": pd.Categorical([2.0, 1.0, None, 2.0])}),
    "polars, Categorical": pl.DataFrame({"c": pl.Series(["b", "a", None, "b"], dtype=pl.Categorical)}),
    "polars, Enum": pl.DataFrame({"c": pl.Series(["b", "a", None, "b"], dtype=pl.Enum(["z", "b", "a"]))}),
    "pyarrow": pa.table({"c": pa.array(["b", "a", None, "b"]).dictionary_encode()}),
    "pyarrow, of numbers": pa.table({"c": pa.array([2, 1, None, 2]).dictionary_encode()}),
    "mixed": pd.DataFrame({"c": pd.Series(["b", 1, None, "b"], dtype=object)}),
    "mixed dates": pd.DataFrame({"c": pd.Series(["b", dt.date(2020, 1, 1), None, "b"], dtype=object)}),
    "mixed huge": pd.DataFrame({"c": pd.Series(["b", 10**30, float("nan"), "b"], dtype=object)}),
    "lists": pd.DataFrame({"c": pd.Series(["b", [1, 2], float("inf"), "b"], dtype=object)}),
    "arrays": pd.DataFrame({"c": pd.Series(["b", np.arange(2), float("nan"), "b"], dtype=object)}),
    "bytes": [[b"b"], [b"a"], [None], [b"b"]],
}


@pytest.mark.parametrize("X", CATEGORIES.values(), ids=CATEGORIES)
def test_categories(X):
    reader = ColumnReader()
    table = reader.fit(X)
    assert [each.taken_for for each in reader.columns] == ["category"]
    assert table.codes.ravel().tolist() == [0, 1, -1, 0]
    assert reader.columns[0].n_distinct == 2 and reader.columns[0].n_missing == 1
    for k in range(4):  # a row by itself may look like a column of another kind
        part = X.slice(k, 1) if hasattr(X, "slice") else X[k : k + 1]
        assert reader.read(part).codes.ravel().tolist() == [[0, 1, -1, 0][k]]


FORCED = [
    ("auto", ""),
    (None, ""),
    ([], ""),
    (["n"], "n"),
    ([0], "n"),
    ([-2], "n"),
    ([True, False], "n"),
    (np.array([False, True]), "d"),
    (("n", "d"), "nd"),
    (np.array(["d"]), "d"),
    (np.array([1]), "d"),
    (["n", 1], "nd"),
]


@pytest.mark.parametrize("wanted, chosen", FORCED, ids=str)
@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_categorical_features(make, wanted, chosen):
    X = make({"n": [3, 1, 2, 3, None], "d": [dt.date(2020, 1, i) for i in range(1, 6)]})
    estimator = TabularRegressor(quality="fast", categorical_features=wanted, random_state=0).fit(
        X, [1.0, 2, 3, 1, 5]
    )
    found = {each.name for each in estimator.columns_ if each.taken_for == "category"}
    assert found == {*chosen}
    if "n" in found:
        assert estimator._reader.levels[0] == ["3", "1", "2"]


@pytest.mark.parametrize(
    "wanted, said",
    [
        (["m"], "categorical_features must be .* got 'm'"),
        ([7], "got 7"),
        ([True], "a boolean for each of the 2 columns of X, got 1"),
        ([1.5], "got 1.5"),
        ("n", "categorical_features"),
        ([["n"]], "got "),
    ],
)
def test_wrong_categorical_features(wanted, said):
    with pytest.raises(ValueError, match=said):
        TabularRegressor(categorical_features=wanted).fit(pd.DataFrame({"n": [1, 2], "d": [1, 2]}), [1, 2])


def test_dates_become_days_and_the_parts_that_vary():
    when = np.array(["2021-03-01T05", "2021-03-02T05", "NaT", "2021-04-01T05"], dtype="M8[h]")
    reader = ColumnReader()
    table = reader.fit(when[:, np.newaxis])
    assert reader.number_names == ["0_days", "0_month", "0_weekday"]
    stamps = [pd.Timestamp(each) for each in when]
    for row, stamp in zip(table.numbers, stamps, strict=True):
        expected = [np.nan] * 3
        if stamp is not pd.NaT:
            expected = [(stamp - stamps[0]).days, stamp.month, stamp.weekday()]
        np.testing.assert_array_equal(row, expected)
    hours = ColumnReader().fit(
        np.array(["2021-03-01T05:30", "2021-03-02T23:45"], dtype="M8[m]")[:, np.newaxis]
    )
    assert hours.numbers[:, -1].tolist() == [5.5, 23.75]


def test_time_zones_are_brought_to_one():
    here = pd.DataFrame({"t": pd.to_datetime(moments(UTC))})
    there = pd.DataFrame({"t": here.t.dt.tz_convert("Asia/Tokyo")})
    naive = pd.DataFrame({"t": here.t.dt.tz_localize(None)})
    numbers = [ColumnReader().fit(each).numbers for each in (here, there, naive)]
    assert np.array_equal(numbers[0], numbers[1]) and np.array_equal(numbers[0], numbers[2])


def test_periods_are_dates_and_masked_values_are_missing():
    reader = ColumnReader()
    reader.fit(pd.DataFrame({"p": pd.period_range("2020-01", periods=3, freq="M")}))
    assert reader.columns[0].taken_for == "date"
    for dtype in (int, float):
        masked = np.ma.array([[1, 2], [3, 4], [5, 6]], mask=[[0, 1], [0, 0], [0, 0]], dtype=dtype)
        np.testing.assert_array_equal(ColumnReader().fit(masked).numbers, [[1, np.nan], [3, 4], [5, 6]])


@pytest.mark.parametrize("names", [[1, 2], [("a", 1), ("a", 2)], [1.5, dt.date(2020, 1, 1)]])
def test_names_that_are_no_text(names):
    X = pd.DataFrame([[1.0, 2], [3, 4], [5, 7]])
    X.columns = pd.Index(names, tupleize_cols=False)
    estimator = TabularRegressor(quality="fast", random_state=0).fit(X, [1.0, 2, 3])
    assert not hasattr(estimator, "feature_names_in_")
    assert [each.name for each in estimator.columns_] == [0, 1]
    assert np.array_equal(estimator.predict(X), estimator.predict(X.to_numpy()))


def test_names_of_several_types_count_as_text():
    X = pd.DataFrame([[1.0, 2], [3, 4], [5, 7]], columns=["a", 1])
    estimator = TabularRegressor(quality="fast", random_state=0).fit(X, [1.0, 2, 3])
    assert estimator.feature_names_in_.tolist() == ["a", "1"]
    assert np.array_equal(estimator.predict(X), estimator.predict(X[[1, "a"]]))


BAD_TABLES = {
    "duplicate names": (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "'a' 2 times"),
    "one dimension": ([1, 2], ValueError, "Expected 2D array, got 1D"),
    "three dimensions": (np.ones((2, 2, 2)), ValueError, "Expected 2D array, got 3D"),
    "a series": (pd.Series([1, 2]), ValueError, "Expected 2D array, got 1D"),
    "no rows": (np.ones((0, 2)), ValueError, r"0 sample\(s\)"),
    "a frame without rows": (pd.DataFrame({"a": []}), ValueError, r"0 sample\(s\)"),
    "no columns": (np.ones((2, 0)), ValueError, r"0 feature\(s\)"),
    "a frame without columns": (pd.DataFrame(index=[0, 1]), ValueError, r"0 feature\(s\)"),
    "rows of several lengths": ([[1, 2], [3]], ValueError, r"rows of one length.*\[1, 2\]"),
    "complex": (np.ones((2, 1)) * 1j, ValueError, "Complex data not supported"),
    "a column of complex": (pd.DataFrame({"a": [1j, 2]}), ValueError, "Complex data not supported"),
    "complex objects": ([[1j], [2]], ValueError, "Complex data not supported"),
    "lazy": (pl.LazyFrame({"a": [1, 2]}), TypeError, r"LazyFrame. Use X.collect\(\)"),
    "a number": (3, TypeError, "got int"),
    "text": ("ab", TypeError, "got str"),
    "a dict": ({"a": [1, 2]}, TypeError, "got dict"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_what_is_no_table(case):
    X, error, said = BAD_TABLES[case]
    with pytest.raises(error, match=said):
        TabularRegressor().fit(X, [1.0, 2])


# ------------------------------------------------------------------------------------------------------------
# Tables that differ from the one of fit

FIT = {
    "n": [1.0, 2, 3, 4] * 5,
    "c": list("abca") * 5,
    "d": [dt.date(2020, 1, 1 + i) for i in range(20)],
    "b": [True, False] * 10,
}
MAKERS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.fixture
def fitted(make):
    return TabularClassifier(quality="fast", random_state=0).fit(make(FIT), [0, 1] * 10)


def row(**changes):
    return {name: [values[0]] for name, values in FIT.items()} | {
        name: [value] for name, value in changes.items()
    }


DIFFERENT = {
    "unseen level": (row(c="z"), "Column 'c' has levels that fit did not see, in 1 row;"),
    "missing number": (row(n=None), "Column 'n' has missing values in 1 row, and had none"),
    "NaN": (row(n=float("nan")), "Column 'n' has missing values"),
    "infinite number": (row(n=float("-inf")), "Column 'n' has missing values"),
    "missing category": (row(c=None), "Column 'c' has missing values"),
    "missing date": (row(d=None), "Column 'd' has missing values"),
    "missing boolean": (row(b=None), "Column 'b' has missing values"),
    "one column more": (row(more=1), "X has columns that it did not have in fit, which are ignored: 'more'"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_is_unexpected_is_warned_of_once(case, fitted, make):
    X, said = DIFFERENT[case]
    with pytest.warns(UnexpectedValuesWarning, match=said) as caught:
        p = fitted.predict_proba(make(X))
    assert len(caught) == 1 and caught[0].filename == __file__
    assert np.isfinite(p).all()
    assert np.array_equal(fitted.predict_proba(make(X)), p)  # without a warning
    if case == "one column more":
        assert np.array_equal(p, fitted.predict_proba(make(row())))
        with pytest.warns(UnexpectedValuesWarning, match="'another'"):
            fitted.predict(make(X | {"another": [1]}))
    if case == "unseen level":  # counts as missing
        with pytest.warns(UnexpectedValuesWarning, match="missing values"):
            assert np.array_equal(fitted.predict_proba(make(row(c=None))), p)


def test_one_thread_of_many_warns(fitted, make):
    X, barrier = make(row(c="z", n=None, more=1)), threading.Barrier(8)

    def predict():
        barrier.wait()
        fitted.predict(X)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=predict) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert len({str(each.message) for each in caught}) == len(caught) == 3


def test_another_order_of_columns_is_the_same(fitted, make):
    X = make(FIT)
    names = list(FIT)[::-1]
    other = X.select(names) if hasattr(X, "select") and make is not pd.DataFrame else X[names]
    assert np.array_equal(fitted.predict_proba(other), fitted.predict_proba(X))


WRONG = {
    "a missing column": (
        {k: v for k, v in row().items() if k != "c"},
        "X lacks columns that it had in fit: 'c'",
    ),
    "several missing columns": ({"n": [1.0]}, "'c', 'd', 'b'"),
    "a misspelt column": ({("N" if k == "n" else k): v for k, v in row().items()}, "'n'.*Did you mean 'N'"),
    "text for a number": (row(n="many"), "Column 'n' of X holds text such as 'many'.* a number"),
    "a date for a number": (row(n=dt.date(2020, 1, 1)), "Column 'n' of X holds dates .* a number"),
    "text for a date": (row(d="2020-01-01"), "Column 'd' of X holds text such as '2020-01-01' .* a date"),
    "a number for a date": (row(d=1.5), "Column 'd' of X holds numbers .* a date"),
    "text for a boolean": (row(b="yes"), "Column 'b' of X holds text such as 'yes' .* a boolean"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_an_error_that_names_the_column(case, fitted, make):
    X, said = WRONG[case]
    with pytest.raises(ValueError, match=said):
        fitted.predict(make(X))


@pytest.mark.parametrize("width", [1, 3])
def test_arrays_of_another_width(width):
    estimator = TabularRegressor(quality="fast").fit(
        np.random.default_rng(0).normal(size=(20, 2)), np.arange(20.0)
    )
    with pytest.raises(
        ValueError, match=f"X has {width} features, but TabularRegressor is expecting 2 features as input"
    ):
        estimator.predict(np.ones((4, width)))


@pytest.mark.parametrize(
    "estimator", [TabularRegressor(quality="fast", random_state=0), PiecewiseLinearEncoder()]
)
def test_names_in_one_of_two_tables_are_warned_of(estimator):
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["a", "b"])
    use = "predict" if hasattr(estimator, "predict") else "transform"
    for of_fit, other, said in (
        (X, X.to_numpy(), "does not have valid feature names"),
        (X.to_numpy(), X, "has feature names"),
    ):
        expected = getattr(estimator.fit(of_fit, np.arange(20.0)), use)(of_fit)
        with pytest.warns(UnexpectedValuesWarning, match=said):
            assert np.array_equal(getattr(estimator, use)(other), expected)
        getattr(estimator, use)(other)


def test_columns_that_are_not_used_may_be_missing():
    X = pd.DataFrame({"a": [1.0, 2, 3, 4], "constant": 1, "empty": None})
    estimator = TabularRegressor(quality="fast", random_state=0).fit(X, [1.0, 2, 3, 4])
    assert np.array_equal(estimator.predict(X[["a"]]), estimator.predict(X))
    only = TabularRegressor(quality="fast").fit(X[["constant", "empty"]], [1.0, 2, 3, 4])
    assert only.predict(X[["constant"]]).tolist() == [2.5] * 4


# ------------------------------------------------------------------------------------------------------------
# Levels of one row


def names_of(n):
    return [f"person {i:04}" for i in range(n)]


def test_levels_of_one_row_count_as_one_where_they_are_many():
    X = pd.DataFrame(
        {"few": [*"ab" * 15, *names_of(9)], "many": [*"aab" * 9, *names_of(12)], "all": names_of(39)}
    )
    reader = ColumnReader(merges_rare=True)
    table = reader.fit(X)
    assert reader.levels == [["a", "b", *names_of(9)], ["a", "b", "rare"]]
    assert table.codes[:, 1].tolist() == [0, 0, 1] * 9 + [2] * 12
    assert [each.taken_for for each in reader.columns] == ["category", "category", "constant"]
    assert [each.note for each in reader.columns[1:]] == [
        "a, b; 12 in one row each, as one",
        "all differ",
    ]
    assert ColumnReader().fit(X).codes[:, 1].max() == 13  # where they are not merged


def test_all_different_or_missing_tells_which_are_missing():
    reader = ColumnReader(merges_rare=True)
    table = reader.fit(pd.DataFrame({"name": [*names_of(20), None, None]}))
    assert table.codes.ravel().tolist() == [0] * 20 + [-1] * 2 and reader.columns[0].note == "each in one row"


def test_unseen_levels_are_rare_ones_and_warned_of_where_they_are_more_than_expected():
    reader = ColumnReader(merges_rare=True)
    reader.fit(pd.DataFrame({"c": [*"ab" * 40, *names_of(20)]}))  # a fifth of the rows
    # of 100 rows, 10 and three times as many as in fit are expected
    for new, n_warnings in ((20, 0), (70, 0), (71, 1), (72, 0)):
        X = pd.DataFrame({"c": [*"a" * (100 - new), *(f"new {i}" for i in range(new))]})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            codes = reader.read(X).codes.ravel()
        assert codes.tolist() == [0] * (100 - new) + [2] * new
        assert [str(each.message) for each in caught] == n_warnings * [
            f"Column 'c' has levels that fit saw in one row or not at all, in {new} rows; they count as one"
            " level."
        ]
