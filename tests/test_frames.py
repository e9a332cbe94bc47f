"""Tables with columns that are no numbers: errors that name the columns, and remedies that work as they
stand.
"""

import re
import subprocess
import sys
from datetime import date, time

import numpy as np
import pytest
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.fixes import parse_version

from nnfast import MLPClassifier, MLPRegressor
from nnfast.tabular import TableEncoder, TabularClassifier, TabularRegressor

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

N = 12
AGE = np.arange(float(N))
HOLES = np.where(np.arange(N) % 4 == 1, np.nan, AGE)
WHEN = np.arange(N).astype("M8[D]").astype("M8[us]")
JOB = ["cook", "smith", "baker"] * (N // 3)
Y = np.arange(N) % 2


def polars():
    return pytest.importorskip("polars")


def categories():
    return polars().DataFrame({"age": AGE, "job": polars().Series(JOB, dtype=polars().Categorical)})


# name: (table, what of its columns the error tells)
TABLES = {
    "pandas: text": (lambda: pd.DataFrame({"age": AGE, "job": JOB}), [r"'job' \(str\)"]),
    "pandas: objects": (
        lambda: pd.DataFrame({"age": AGE, "job": np.array(JOB, object)}),
        [r"'job' \((object|str)\)"],
    ),
    "pandas: category": (
        lambda: pd.DataFrame({"age": AGE, "job": JOB}).astype({"job": "category"}),
        [r"'job' \(category\)"],
    ),
    "pandas: text and missing": (
        lambda: pd.DataFrame({"age": HOLES, "job": JOB}),
        [r"text or categories in 'job'", r"missing values in 'age' \(float64\)"],
    ),
    "pandas: missing text": (lambda: pd.DataFrame({"age": AGE, "job": [None, *JOB[1:]]}), [r"'job' \(str\)"]),
    "pandas: Int64": (
        lambda: pd.DataFrame({"age": pd.array([1, None] * (N // 2), dtype="Int64")}),
        [r"missing values in 'age' \(Int64\)"],
    ),
    "pandas: boolean": (
        lambda: pd.DataFrame({"old": pd.array([True, None] * (N // 2), dtype="boolean"), "age": AGE}),
        [r"missing values in 'old' \(boolean\)"],
    ),
    "pandas: infinite": (
        lambda: pd.DataFrame({"age": AGE, "pay": np.where(AGE > 3, np.inf, AGE)}),
        [r"infinite or too large numbers in 'pay'"],
    ),
    "pandas: dates": (lambda: pd.DataFrame({"age": AGE, "when": WHEN}), [r"'when' \(datetime64\[us\]\)"]),
    "pandas: dates alone": (
        lambda: pd.DataFrame({"when": WHEN, "then": WHEN}),
        [r"'when' \(datetime64\[us\]\), 'then'"],
    ),
    "pandas: a time zone": (
        lambda: pd.DataFrame({"when": pd.Series(WHEN).dt.tz_localize("UTC")}),
        [r"'when' \(datetime64\[us, UTC\]\)"],
    ),
    "pandas: durations": (
        lambda: pd.DataFrame({"age": AGE, "for": WHEN - WHEN[0]}),
        [r"'for' \(timedelta64"],
    ),
    "pandas: periods": (
        lambda: pd.DataFrame({"when": pd.period_range("2020", periods=N)}),
        [r"'when' \(period\[D\]\)"],
    ),
    "pandas: date objects": (
        lambda: pd.DataFrame({"age": AGE, "when": [date(2020, 1, 1 + i) for i in range(N)]}),
        [r"'when' \(object\)"],
    ),
    "pandas: of pyarrow": (
        lambda: pd.DataFrame({"age": AGE, "when": pd.array(WHEN, dtype=pd.ArrowDtype(pa.timestamp("us")))}),
        [r"'when' \(timestamp\[us\]\[pyarrow\]\)"],
    ),
    "pandas: names that are numbers": (lambda: pd.DataFrame({0: AGE, 1: JOB}), [r"column 1 \(str\)"]),
    "polars: text": (lambda: polars().DataFrame({"age": AGE, "job": JOB}), [r"'job' \(String\)"]),
    "polars: category": (categories, [r"'job' \(Categorical"]),
    "polars: null": (
        lambda: polars().DataFrame({"age": [1, None] * (N // 2), "pay": AGE}),
        [r"missing values in 'age' \(Int64\)"],
    ),
    "polars: NaN": (
        lambda: polars().DataFrame({"age": HOLES, "pay": AGE}),
        [r"missing values in 'age' \(Float64\)"],
    ),
    "polars: dates": (lambda: polars().DataFrame({"age": AGE, "when": WHEN}), [r"'when' \(Datetime"]),
    "polars: dates and durations": (
        lambda: polars().DataFrame({"when": WHEN, "for": WHEN - WHEN[0]}),
        [r"'when' \(Datetime", r"'for' \(Duration"],
    ),
    "polars: days": (
        lambda: polars().DataFrame({"when": polars().Series([date(2020, 1, 1 + i) for i in range(N)])}),
        [r"'when' \(Date\)"],
    ),
    "pyarrow: text": (lambda: pa.table({"age": AGE, "job": JOB}), [r"'job' \(string\)"]),
    "pyarrow: dictionary": (
        lambda: pa.table({"age": AGE, "job": pa.array(JOB).dictionary_encode()}),
        [r"'job' \(dictionary"],
    ),
    "pyarrow: null": (
        lambda: pa.table({"age": [1, None] * (N // 2)}),
        [r"missing values in 'age' \(int64\)"],
    ),
    "pyarrow: dates": (
        lambda: pa.table({"age": AGE, "when": pa.array(WHEN)}),
        [r"'when' \(timestamp\[us\]\)"],
    ),
    "pyarrow: days": (
        lambda: pa.table({"when": pa.array(WHEN).cast("date32"), "age": AGE}),
        [r"'when' \(date32"],
    ),
    "NumPy: objects": (lambda: np.array([AGE, JOB], dtype=object).T, [r"column 1 \(str\)"]),
    "NumPy: None": (
        lambda: np.array([AGE, [1, None] * (N // 2)], dtype=object).T,
        [r"missing values in column 1 \(NoneType\)"],
    ),
    "NumPy: text": (lambda: np.array([JOB, JOB]).T, [r"column 0 \(str\), column 1 \(str\)"]),
    "NumPy: dates": (lambda: np.array([WHEN, WHEN]).T, [r"column 0 \(datetime64\[us\]\)"]),
    "NumPy: nanoseconds": (
        lambda: np.array([WHEN, WHEN]).T.astype("M8[ns]"),
        [r"column 0 \(datetime64\[ns\]\)"],
    ),
    "NumPy: durations": (lambda: np.array([WHEN - WHEN[0]]).T, [r"column 0 \(timedelta64\[us\]\)"]),
    "NumPy: datetime64 objects": (
        lambda: np.array([[each, 1.0] for each in WHEN], dtype=object),
        [r"column 0 \(datetime64\)"],
    ),
    "NumPy: lists": (
        lambda: np.array([[[1]], [[1, 2]]] * (N // 2), dtype=object),
        [r"what is no number in column 0 \(list\)"],
    ),
    "a list": (lambda: [[age, job] for age, job in zip(AGE, JOB, strict=True)], [r"column 1 \(str\)"]),
    "a list of times": (lambda: [[age, time(1)] for age in AGE], [r"column 1 \(time\)"]),
}
# There is no one line that would make numbers of these.
WITHOUT_REMEDY = ("pandas: infinite", "NumPy: lists", "NumPy: datetime64 objects", "a list of times")


def message(call, *arguments, **keywords):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(*arguments, **keywords)
    return str(caught.value)


def fitted(table):
    """A classifier that has learned a table of numbers with the columns of another one."""
    width = np.shape(table)[1]
    names = getattr(table, "column_names", None) or list(getattr(table, "columns", range(width)))
    numbers = pd.DataFrame(np.random.RandomState(0).rand(N, width), columns=names)
    return MLPClassifier(max_iter=1, tol=1e9).fit(
        numbers if all(isinstance(each, str) for each in names) else numbers.values, Y
    )


@pytest.mark.filterwarnings("ignore:.*iterations:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:X (has|does not have) (valid )?feature names:UserWarning")
@pytest.mark.parametrize("name", TABLES)
def test_errors_name_the_columns(name):
    make, wanted = TABLES[name]
    table, numbers = make(), np.random.RandomState(0).rand(N, np.shape(make())[1])
    classifier = fitted(table)
    said = [
        message(MLPClassifier().fit, table, Y),
        message(MLPRegressor(solver="lbfgs").fit, table, Y),
        message(MLPClassifier().partial_fit, table, Y, classes=[0, 1]),
        *(
            message(getattr(classifier, method), table)
            for method in ("predict", "predict_proba", "predict_log_proba", "hidden_activations")
        ),
        message(classifier.score, table, Y),
    ]
    for words in wanted:
        for each in said:
            if name != "NumPy: text" or "dtype='numeric'" not in each:
                assert re.search(rf"(?s)X must have columns.*{words}", each), each
        assert re.search(
            rf"X_val must have columns.*{words}",
            message(MLPClassifier().fit, numbers, Y, X_val=table, y_val=Y),
        )


@pytest.mark.filterwarnings("ignore:.*iterations:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Skipping features without any observed values:UserWarning")
@pytest.mark.parametrize("name", [name for name in TABLES if name not in WITHOUT_REMEDY])
def test_remedies_work_as_they_stand(name):
    table = TABLES[name][0]()
    if (
        name.startswith("polars")
        and parse_version(sklearn.__version__) < parse_version("1.8")
        and not hasattr(table, "__dataframe__")
    ):
        pytest.skip("this ColumnTransformer does not know this polars")
    said = message(MLPClassifier(max_iter=2).fit, table, Y)
    for change in re.findall(
        r"(X\.(?:assign|with_columns|to_pandas).*?\)) has|\. (\(?np\.asarray.*\)) are days", said
    ):
        table = eval("".join(change), {"X": table, "np": np})
    if given := re.search(r"give it (X.*\))\.", said):
        table = eval(given[1], {"X": table})
    classifier = MLPClassifier(max_iter=2)
    for transformer in re.findall(r"(ColumnTransformer\(.*\)) before", said):
        names = {each.__name__: each for each in (ColumnTransformer, OneHotEncoder, SimpleImputer)}
        classifier = make_pipeline(eval(transformer, names), classifier)
    classifier.fit(table, Y).predict(table)


@pytest.mark.parametrize(
    "name", [name for name in TABLES if name not in ("pandas: infinite", "NumPy: lists", "a list of times")]
)
def test_the_estimators_for_tables_come_first(name):
    """By the kind of the network; they take the table as it is, and `TableEncoder` makes numbers of it."""
    table = TABLES[name][0]()
    for network, cls in ((MLPClassifier(), TabularClassifier), (MLPRegressor(), TabularRegressor)):
        said = message(network.fit, table, Y)
        words = (
            f"nnfast.tabular.{cls.__name__} takes such tables as they are, and TableEncoder() makes numbers"
            " of them."
        )
        assert words in said
        assert said.index(words) < min(
            [said.find(each) for each in ("ColumnTransformer", "X.assign(") if each in said],
            default=len(said),
        )
        assert "Tabular" not in said.replace(words, "")
        cls(random_state=0).fit(table, Y).predict(table)
    assert np.isfinite(TableEncoder().fit_transform(table)).all()


def test_the_estimators_for_tables_are_not_named_where_they_do_not_help():
    for name in ("pandas: infinite", "NumPy: lists"):
        assert "Tabular" not in message(MLPClassifier().fit, TABLES[name][0](), Y)
    dates = np.arange(N).astype("M8[D]")
    assert "Tabular" not in message(MLPRegressor().fit, AGE[:, None], dates)  # of y


def test_dates_that_are_missing_stay_missing():
    dates = pd.DataFrame({"a": AGE, "d": [pd.NaT, *pd.date_range("2020", periods=N - 1)]})
    for table in (
        dates,
        dates[["d"]].to_numpy(dtype="M8[s]"),
        dates[["d"]].to_numpy(dtype="M8[s]") - np.datetime64(0, "s"),
    ):
        remedy = re.search(
            r"(X\.assign.*?\)) has|\. (\(?np\.asarray.*\)) are days", message(MLPClassifier().fit, table, Y)
        )
        days = np.asarray(eval("".join(filter(None, remedy.groups())), {"X": table, "np": np}))[:, -1]
        assert np.isnan(days[0]) and np.allclose(np.diff(days[1:]), 1)


def test_many_columns_are_counted():
    table = pd.DataFrame({f"c{i}": JOB for i in range(30)})
    assert re.search(
        r"'c0' \(str\), 'c1' \(str\), 'c2' \(str\), 'c3' \(str\), 'c4' \(str\) and 25 more",
        message(MLPClassifier().fit, table, Y),
    )


@pytest.mark.filterwarnings("ignore:.*iterations:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": AGE, "b": AGE > 2, "c": AGE.astype(int)}),
        pd.DataFrame({"a": ["1", "2"] * (N // 2), "b": pd.Categorical([1, 2] * (N // 2))}),
        pd.DataFrame({"a": pd.array(AGE, dtype="Float64"), "time_of_day": AGE}),
        pa.table({"date": AGE, "b": AGE > 2}),
        np.array([AGE, AGE > 2], dtype=object).T,
    ],
    ids=["numbers", "numbers in text and categories", "nullable", "pyarrow", "objects"],
)
def test_columns_that_scikit_learn_makes_numbers_of_are_accepted(table):
    numbers = np.asarray(table if not hasattr(table, "to_pandas") else table.to_pandas()).astype(np.float64)
    got, expected = (MLPClassifier(max_iter=2, random_state=0).fit(each, Y) for each in (table, numbers))
    np.testing.assert_array_equal(got.coefs_[0], expected.coefs_[0])


def test_other_errors_of_scikit_learn_are_left_alone():
    table = pd.DataFrame({"age": AGE, "job": JOB})
    classifier = MLPClassifier(max_iter=1, tol=1e9).partial_fit(table[["age"]], Y, classes=[0, 1])
    assert message(classifier.predict, table).startswith("The feature names should match")
    with pytest.warns(UserWarning, match="feature names"):
        said = message(classifier.predict, np.ones((2, 3)))
    assert said == "X has 3 features, but MLPClassifier is expecting 1 features as input."
    assert "NaN" in message(classifier.fit, HOLES[:, None], Y)


def test_narwhals_is_not_imported_for_arrays():
    code = (
        "import sys, numpy as np, sklearn.utils.validation; had = 'narwhals' in sys.modules; import nnfast; "
        "nnfast.MLPRegressor(max_iter=1, tol=1e9).partial_fit(np.ones((4, 2)), "
        "np.ones(4)).predict(np.ones((1, 2))); assert ('narwhals' in sys.modules) == had"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
