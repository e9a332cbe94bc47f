"""The methods that `python -m bench.tabular` compares.

Each is made from a table's task, and fits a DataFrame of mixed columns as its library asks for it.
"""

from dataclasses import asdict
from importlib.metadata import version

import numpy as np
import pandas as pd

MOST_LEVELS_OF_HGB = 250  # scikit-learn refuses more than 255


class Columns:
    """Numbers, categories and dates as trees take them, with levels and first dates of the training rows."""

    def fit(self, X):
        self.names = list(X.columns)
        self.dates = [name for name in self.names if pd.api.types.is_datetime64_any_dtype(X[name])]
        self.categories = [
            name
            for name in self.names
            if name not in self.dates and not pd.api.types.is_numeric_dtype(X[name])
        ]
        self.levels = {
            name: X[name].astype(object).dropna().value_counts().index for name in self.categories
        }  # most frequent first
        self.first_dates = {name: X[name].min() for name in self.dates}
        return self

    def transform(self, X):
        """Columns c0, c1, ...: some libraries refuse signs in names.

        Dates become days since the first, year, month, day of week and hour.
        """
        columns = []
        for name in self.names:
            values = X[name]
            if name in self.dates:
                days = (values - self.first_dates[name]).dt.total_seconds() / 86400
                columns += [days, values.dt.year, values.dt.month, values.dt.day_of_week, values.dt.hour]
            elif name in self.categories:
                columns.append(
                    pd.Series(
                        pd.Categorical(values.astype(object), categories=self.levels[name]), index=X.index
                    )
                )
            else:
                columns.append(values.astype(float))
        frame = pd.concat(columns, axis=1)
        frame.columns = [f"c{i}" for i in range(frame.shape[1])]
        return frame


class OnColumns:
    """A library's estimator behind `Columns`. `prepare` changes the frame further."""

    takes_labels = False  # classes are 0, 1, ...

    def __init__(self, model, prepare=lambda frame: frame, categories_as=None):
        self.model, self.prepare, self.categories_as = model, prepare, categories_as

    def frame(self, X):
        return self.prepare(self.columns.transform(X))

    def fit(self, X, y):
        self.columns = Columns().fit(X)
        frame = self.frame(X)
        options = {self.categories_as: categorical(frame)} if self.categories_as else {}
        self.model.fit(frame, y, **options)

    def predict(self, X):
        return self.model.predict(self.frame(X))

    def predict_proba(self, X):
        return self.model.predict_proba(self.frame(X))


def categorical(frame):
    return [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]


def lightgbm(task, threads):
    import lightgbm

    make = lightgbm.LGBMRegressor if task == "regression" else lightgbm.LGBMClassifier
    return OnColumns(make(n_jobs=threads, random_state=0, verbose=-1))


def xgboost(task, threads):
    import xgboost

    make = xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier
    return OnColumns(make(n_jobs=threads, random_state=0, enable_categorical=True))


def catboost(task, threads, **options):
    import catboost

    make = catboost.CatBoostRegressor if task == "regression" else catboost.CatBoostClassifier
    model = make(thread_count=threads, random_seed=0, verbose=False, allow_writing_files=False, **options)
    return OnColumns(model, missing_as_level, "cat_features")


def missing_as_level(frame):
    """CatBoost wants strings; a missing category is a level of its own, an unseen one stays missing."""
    return frame.assign(
        **{name: frame[name].astype(object).fillna("missing").astype(str) for name in categorical(frame)}
    )


class EightFolds:
    """CatBoost as TabArena runs it: rate 0.05, eight folds, each stopped early; the mean of their
    predictions.
    """

    takes_labels = False
    FOLDS, ITERATIONS, PATIENCE = 8, 10_000, 50

    def __init__(self, task, threads):
        self.task, self.threads = task, threads

    def fit(self, X, y):
        from sklearn.model_selection import KFold, StratifiedKFold

        folds = (KFold if self.task == "regression" else StratifiedKFold)(
            self.FOLDS, shuffle=True, random_state=0
        )
        self.columns = Columns().fit(X)
        frame, self.models = missing_as_level(self.columns.transform(X)), []
        for train, validation in folds.split(frame, y):
            options = {
                "learning_rate": 0.05,
                "iterations": self.ITERATIONS,
                "early_stopping_rounds": self.PATIENCE,
            }
            model = catboost(self.task, self.threads, **options).model
            model.fit(
                frame.iloc[train],
                y[train],
                cat_features=categorical(frame),
                eval_set=(frame.iloc[validation], y[validation]),
            )
            self.models.append(model)

    def mean(self, X, name):
        frame = missing_as_level(self.columns.transform(X))
        return np.mean([getattr(model, name)(frame) for model in self.models], axis=0)

    def predict(self, X):
        return self.mean(X, "predict")

    def predict_proba(self, X):
        return self.mean(X, "predict_proba")


def hgb(task, threads):  # its threads are OpenMP's, which the environment sets
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    make = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return OnColumns(make(random_state=0, categorical_features="from_dtype"), most_frequent_levels)


def most_frequent_levels(frame):
    """Levels beyond the most frequent ones become one level."""
    changed = {}
    for name in categorical(frame):
        levels = frame[name].cat.categories
        if len(levels) > MOST_LEVELS_OF_HGB:
            kept = (
                frame[name]
                .astype(object)
                .where(frame[name].isna() | frame[name].isin(levels[:MOST_LEVELS_OF_HGB]), "(other)")
            )
            changed[name] = pd.Categorical(kept, categories=[*levels[:MOST_LEVELS_OF_HGB], "(other)"])
    return frame.assign(**changed)


class Linear(OnColumns):
    """Ridge or logistic regression on scaled numbers and one-hot categories.

    Missing numbers become the median, with an indicator.
    """

    def __init__(self, task, threads):
        from sklearn.linear_model import LogisticRegression, Ridge

        super().__init__(Ridge() if task == "regression" else LogisticRegression(max_iter=300))

    def fit(self, X, y):
        from sklearn.compose import make_column_transformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        self.columns = Columns().fit(X)
        frame = self.columns.transform(X)
        names = categorical(frame)
        numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
        levels = OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist")
        self.prepare = (
            make_column_transformer((numbers, [name for name in frame if name not in names]), (levels, names))
            .fit(frame)
            .transform
        )
        self.model.fit(self.prepare(frame), y)


class Trivial:
    """The shares of the classes, or the mean."""

    takes_labels = False

    def __init__(self, task, threads):
        pass

    def fit(self, X, y):
        self.shares, self.mean = np.bincount(y) / len(y) if y.dtype.kind == "i" else None, y.mean()

    def predict(self, X):
        return np.full(len(X), self.mean)

    def predict_proba(self, X):
        return np.tile(self.shares, (len(X), 1))


class NNFast:
    """nnfast's estimators of tables, which take the frame and the labels as they are."""

    takes_labels = True

    def __init__(self, task, threads, **options):
        from nnfast import TabularClassifier, TabularRegressor

        make = TabularRegressor if task == "regression" else TabularClassifier
        self.model = make(random_state=0, n_jobs=threads, **options)

    def fit(self, X, y):
        self.model.fit(X, y)

    def predict(self, X):
        return self.model.predict(X)

    def predict_proba(self, X):
        return self.model.predict_proba(X)

    def facts(self):
        """What the fit says of itself, and which kernels it ran on."""
        from nnfast.engines import cython as engine

        budget = asdict(self.model.budget_)
        return {
            "n_members": len(budget["members"]),
            "budget": budget,
            "instruction_set": engine.instruction_set(),
        }


# name: what makes it, the package whose version counts, options
METHODS = {
    "lightgbm": (lightgbm, "lightgbm", {}),
    "catboost": (catboost, "catboost", {}),
    "xgboost": (xgboost, "xgboost", {}),
    "hgb": (hgb, "scikit-learn", {}),
    "linear": (Linear, "scikit-learn", {}),
    "trivial": (Trivial, "scikit-learn", {}),
    "nnfast": (NNFast, "nnfast", {}),
    "nnfast-fast": (NNFast, "nnfast", {"quality": "fast"}),
    "nnfast-best": (NNFast, "nnfast", {"quality": "best"}),
    "nnfast-trees": (NNFast, "nnfast", {"blend": "trees"}),
    "catboost-tabarena": (EightFolds, "catboost", {}),
}
PEERS = ["lightgbm", "catboost", "xgboost", "hgb", "linear", "trivial"]


def configuration(name, tag=""):
    """What tells runs of a method apart: its options, the package's version, and a tag of the caller's."""
    _, package, options = METHODS[name]
    return {**options, package: version(package), **({"tag": tag} if tag else {})}


def make(name, task, threads):
    factory, _, options = METHODS[name]
    return factory(task, threads, **options)
