"""What `nnfast tune` finds: scores and parameters, printed, and saved as files."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import nnfast
from nnfast import engines, threads
from nnfast.callbacks.files import replacing
from nnfast.tables import TEST_SIZE
from nnfast.tuning.fits import FAILURES
from nnfast.tuning.texts import plain
from nnfast.tuning.trials import count_statuses

ESTIMATORS = {"classification": "MLPClassifier", "regression": "MLPRegressor"}
SCORES = {"classification": "accuracy", "regression": "R2"}


@dataclass(frozen=True)
class Result:
    """A pipeline fitted on all rows to train on, its mean score over the folds, its score on the held-out
    rows.
    """

    pipeline: object
    validation: float
    test: float

    @property
    def parameters(self):
        """The network's parameters that are not at their defaults."""
        network = self.pipeline[-1]
        defaults = type(network)().get_params()
        return {
            name: plain(value)
            for name, value in network.get_params().items()
            if not _same(value, defaults[name])
        }


def save_model(path, table, tuned):
    """Save a pipeline that predicts in the target's own units and classes, by joblib."""
    model = tuned.pipeline
    if table.task == "regression":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = TransformedTargetRegressor(clone(model), transformer=StandardScaler())
            model.fit(table.X_train, table.target_train)
    model.columns_ = table.steps.columns
    with replacing(path) as temporary:
        joblib.dump(model, temporary)


def mean(scores):
    """The mean of those that are there, or NaN."""
    return float(np.mean(scores[np.isfinite(scores)])) if np.isfinite(scores).any() else np.nan


def opening(table, cv):
    n_threads = threads.n_threads_available()
    lines = [
        (
            f"nnfast {nnfast.__version__} ({engines.get_engine().instruction_set()}, {n_threads}"
            f" thread{'s' * (n_threads > 1)})"
        ),
        *table.notes,
        (
            f"{table.name}: {len(table.y_train):,} rows to tune on, in {cv} folds; "
            f"{len(table.y_test):,} rows, {TEST_SIZE:.0%}, held out for the end."
        ),
    ]
    return "\n".join(lines)


def tried(metric, scores, n_epochs, seconds):
    n_scored = int(np.isfinite(scores).sum())
    score = f"{metric} {mean(scores):.4f}" if n_scored else "no score"
    line = f"\nDefaults: {score}, in {seconds:.1f} s of the budget."
    if n_epochs is None:
        return line
    epochs = f"{n_epochs} epoch{'s' * (n_epochs > 1)}"
    return (
        f"{line}\n"
        f"Their cross-validation was cut short: {n_scored} of {len(scores)} folds have a score, after "
        f"{epochs} at most. They are fitted for as long,\n"
        "and nothing is searched."
    )


def trials(search, method, seconds):
    n_trials = len(begun(search))
    if not n_trials:
        return f"{method}: no trial, since the time was over."
    listed = ", ".join(f"{count} {status}" for status, count in count_statuses(begun(search)))
    return f"{method}: {n_trials} trial{'s' * (n_trials > 1)} in {seconds:.1f} s ({listed})."


def begun(search):
    """The status of each trial that was trained at all, or failed at once."""
    status = search.cv_results_["status"]
    return status[(search.cv_results_["n_epochs"] > 0) | np.isin(status, FAILURES)]


def comparison(table, defaults, tuned):
    lines = [""]
    if tuned is defaults:
        lines += ["No trial beats the defaults: they stay. A longer --budget may help.", ""]
    lines += [f"{SCORES[table.task]:<10}{'validation':>12}{'test':>10}"]
    for name, result in {"defaults": defaults, "tuned": tuned}.items():
        lines += [f"{name:<10}{result.validation:>12.4f}{result.test:>10.4f}"]
    return "\n".join(lines)


def loading(path, table):
    """How to use a saved pipeline, as lines of Python."""
    predict = "predict" if table.task == "regression" else "predict_proba"
    return (
        f"Model: {path}, which predicts by\n"
        "    import joblib\n"
        "    from nnfast.tables import read_table\n"
        f"    model = joblib.load({str(path)!r})\n"
        f'    model.{predict}(read_table("other.csv", columns=model.columns_).frame)'
    )


def found(table, defaults, tuned, how):
    scores = {
        name: {
            "validation": None if np.isnan(result.validation) else float(result.validation),
            "test": float(result.test),
        }
        for name, result in {"defaults": defaults, "tuned": tuned}.items()
    }
    return {
        "nnfast": nnfast.__version__,
        "estimator": ESTIMATORS[table.task],
        "params": {} if tuned is defaults else tuned.parameters,
        "scoring": SCORES[table.task].lower(),
        "scores": scores,
        **table.facts,
        **how,
    }


def save(path, found):
    write(path, json.dumps(found, indent=2) + "\n")


def write(path, text):
    with replacing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def _same(value, default):
    return type(value) is type(default) and value == default
