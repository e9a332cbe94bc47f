"""The command `nnfast tune`: a search within a budget of time, beside the defaults.

It gives the scores of both on held-out rows, and the best as parameters, a script and a fitted pipeline.
"""

import sys
import time
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline

import nnfast
from nnfast import threads, tune_results, tuning
from nnfast._info import versions
from nnfast.exceptions import DivergenceError, UnexpectedValuesWarning
from nnfast.script import write_script
from nnfast.tables import RawTable, TableError
from nnfast.tune_results import Result
from nnfast.tuning import default_space, int_log_uniform, layers, log_uniform, tied
from nnfast.tuning.networks import network_of

# What needs no library beside those of nnfast comes first, and is the default. Each goes on until the time is
# over.
METHODS = {
    "coarse-to-fine": ("CoarseToFineSearchCV", {"n_rounds": None}),
    "hyperband": ("HyperbandSearchCV", {"n_iterations": None}),
    "bayes": ("BayesianSearchCV", {"n_trials": None}),
    "random": ("CoarseToFineSearchCV", {"n_rounds": 1, "n_candidates": None}),
}
DEFAULT_METHOD = next(iter(METHODS))
MOST_ROWS = 50_000
# The arithmetic of all fits, those of the defaults too: about twice as fast as float64.
ARITHMETIC = {"precision": "float32"}
# What the search starts from, for what it does not vary. On adult, california, letter and magic, the best of
# 20 candidates was better than that of the same 20 with a constant rate and early stopping, and on the last
# three than with "relu".
FIXED = {
    "hidden_layer_sizes": (128, 128),
    "activation": "gelu",
    "initializer": "auto",
    "learning_rate": "cosine",
}
# Epochs of a fit to the end of its schedule, from and to, for tables of so many rows. Fewer rows make fewer
# steps an epoch, and get more epochs for it, up to so many times as many.
EPOCHS, EPOCHS_ROWS, MOST_TIMES = (9, 45), 10_000, 10
# Hyperband's epochs are a power of 3, so that all its brackets are whole; 81 would take a minute for little
# more than the first.
HYPERBAND_EPOCHS = 27

# A budget of time for a search that there is no time for.
_NO_TIME = 1e-9


def check(path, *, method=DEFAULT_METHOD, out=None, save=None, model=None, script=None):
    """Raise what would otherwise come after the search: a missing library, or a file that cannot be written.

    Parameters
    ----------
    path : str or Path
        The file of the table, which is not to be written to.

    method, out, save, model, script : as in `run`.

    Raises
    ------
    ImportError
        If the method, or the report, needs a library that is not installed.

    ValueError
        If a file cannot be written.
    """
    if method == "bayes":
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            others = ", ".join(name for name in METHODS if name != method)
            raise ImportError(
                f"--method bayes needs Optuna: pip install 'nnfast[tune]'; without it there are {others}."
            ) from error
    if out is not None:
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "--out draws figures, which needs matplotlib: pip install 'nnfast[plot]'."
            ) from error
    files = {"--out": out, "--save": save, "--model": model, "--script": script}
    written = {option: Path(file) for option, file in files.items() if file is not None}
    for (first, file), (second, other) in combinations(written.items(), 2):
        if file.resolve() == other.resolve():
            raise ValueError(f"{first} and {second} must be two files, got {file} for both.")
    for option, file in written.items():
        if str(path) != "-" and file.resolve() == Path(path).resolve():
            raise ValueError(f"{option} {file} is the table itself; the file must be another one.")
        _check_writable(option, file)


def _check_writable(option, path):
    place = path.resolve()  # the target of a symbolic link
    new = not place.exists()
    if not (new or place.is_file() or place.is_dir()):  # a pipe would have to wait for its reader
        raise ValueError(
            f"{option} {path} is a device or a pipe; it must be a file, which is replaced as a whole."
        )
    try:
        place.open("ab").close()
        if new:
            place.unlink()
    except OSError as error:
        raise ValueError(f"{option} {path} cannot be written: {error.strerror or error}.") from None


def run(
    table: RawTable,
    *,
    budget,
    method=DEFAULT_METHOD,
    tier=3,
    cv=3,
    seed=0,
    jobs=None,
    out=None,
    save=None,
    model=None,
    script=None,
    max_rows=None,
):
    """Print the defaults' scores, what a search finds within a time, and its scores.

    Parameters
    ----------
    table : RawTable

    budget : float
        Seconds for the defaults' cross-validation and the search. Where they end within the first, there is
        no search, and the defaults are fitted for as many epochs as they came to in the folds. Two fits on
        all rows come on top.

    method : {"coarse-to-fine", "hyperband", "bayes", "random"}

    tier : {1, 2, 3}
        How much to tune: see `nnfast.tuning.default_space`.

    cv : int
        Folds of the rows to train on. They are the same for the defaults and for every trial.

    seed : int
        Draws the folds, the trials, and each network's weights.

    jobs : int, default=None
        Most fits at a time. None: as many as there are cores.

    out, save, model, script : str or Path, default=None
        Files to write: the report of the search, what was found, the fitted pipeline, and the script that
        trains it.

    max_rows : int, default=None
        Most rows that the table might have, which is saved among the limits.

    Returns
    -------
    found : dict
        What `save` writes: parameters, scores, columns, rows, limits, versions.
    """
    jobs = threads.n_threads_available() if jobs is None else jobs
    folds = _folds(table, cv, seed)
    print(tune_results.opening(table, cv), flush=True)

    with warnings.catch_warnings():
        # Trials are meant to end when the method says, and a rare class, or level, is not in every fold.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UnexpectedValuesWarning)
        start = time.perf_counter()
        base, scores, n_epochs = _try_defaults(table, folds, cv, seed, jobs, budget)
        spent = time.perf_counter() - start
        print(tune_results.tried(tune_results.SCORES[table.task], scores, n_epochs, spent), flush=True)
        base.fit(table.X_train, table.y_train)
        defaults = Result(base, tune_results.mean(scores), base.score(table.X_test, table.y_test))

        start = time.perf_counter()
        search = _search(table, method, tier, cv, seed)
        # The best is fitted here: in full, where the time was over before its trial was, so that its
        # parameters stand for it.
        left = max(budget - spent, _NO_TIME) if n_epochs is None else _NO_TIME
        search.set_params(cv=folds, n_jobs=jobs, time_budget=left, refit=False, verbose=_verbose())
        search.fit(table.X_train, table.y_train)
        seconds = time.perf_counter() - start
        print(tune_results.trials(search, method, seconds))
        if out is not None:  # before what may yet fail or be interrupted
            search.report(out)
            print(f"Report: {out}", flush=True)
        tuned = _tuned(table, search, defaults)

    print(tune_results.comparison(table, defaults, tuned))
    text = write_script(
        table, tune_results.ESTIMATORS[table.task], tuned.parameters, str(model or f"{table.name}.joblib")
    )
    print(f"\nA script that trains it again:\n\n{text}")
    how = {
        "method": method,
        "budget": budget,
        "seconds": round(seconds, 3),
        "trials": len(tune_results.begun(search)),
        "tier": tier,
        "cv": cv,
        "seed": seed,
        "jobs": jobs,
        "limits": {"rows": max_rows, "seconds": budget},
        "files": {"report": _path(out), "model": _path(model), "script": _path(script)},
        "versions": versions(),
        "script": text,
    }
    found = tune_results.found(table, defaults, tuned, how)
    if script is not None:
        tune_results.write(script, text)
        print(f"Script: {script}")
    if save is not None:
        tune_results.save(save, found)
        print(f"Parameters: {save}")
    if model is not None:
        tune_results.save_model(model, table, tuned)
        print(tune_results.loading(model, table))
    return found


def _try_defaults(table, folds, cv, seed, jobs, budget):
    """Cross-validate the defaults: (their pipeline, a score a fold, most epochs of a fold if they were cut
    short, or None).

    Folds that there was no time for have the score NaN. The pipeline is to be fitted for no more epochs than
    the folds.
    """
    base = _pipeline(table, {"random_state": seed})
    varied = _prefixed(base, {"random_state": [seed]})
    # As a search of one candidate, since its fits end with their epoch once the time is over.
    tried = tuning.CoarseToFineSearchCV(
        base, varied, n_rounds=1, n_candidates=1, error_score="raise", refit=False
    )
    results = (
        tried.set_params(cv=folds, n_jobs=jobs, time_budget=budget)
        .fit(table.X_train, table.y_train)
        .cv_results_
    )
    scores = np.array([results[f"split{i}_test_score"][0] for i in range(cv)])
    if results["status"][0] != "unfinished":
        return base, scores, None
    n_epochs = max(1, int(results["n_epochs"][0]))
    return base.set_params(**_prefixed(base, {"max_iter": n_epochs})), scores, n_epochs


def _tuned(table, search, defaults):
    """The best candidate that beats the defaults, fitted on all rows to train on, or else the defaults."""
    scores, params = search.cv_results_["mean_test_score"], search.cv_results_["params"]
    for number in np.argsort(-scores, kind="stable"):
        if not scores[number] > defaults.validation:
            break
        pipeline = clone(search.estimator).set_params(**params[number])
        try:
            pipeline.fit(table.X_train, table.y_train)
        # where the time was over before its trial was, or by the rows that the folds had left out
        except DivergenceError:
            print(
                f"Trial {number}, {scores[number]:.4f} in validation, diverges on all rows: the next best is"
                " taken.",
                flush=True,
            )
            continue
        return Result(pipeline, scores[number], pipeline.score(table.X_test, table.y_test))
    return defaults


def _pipeline(table, parameters):
    network = getattr(nnfast, tune_results.ESTIMATORS[table.task])
    return make_pipeline(clone(table.encoder), network(**table.parameters | ARITHMETIC | parameters))


def _search(table, method, tier, cv, seed):
    n_rows = len(table.y_train) * (cv - 1) // cv
    times = min(MOST_TIMES, max(1, EPOCHS_ROWS / n_rows))
    fewest, most = (round(times * epochs) for epochs in EPOCHS)
    base = _pipeline(table, FIXED | {"random_state": seed, "max_iter": round((fewest * most) ** 0.5)})
    space = _space(base, tier, n_rows)
    name, options = METHODS[method]
    if method == "hyperband":
        options = options | {"max_epochs": round(HYPERBAND_EPOCHS * times)}
    elif tier == 3:
        space |= _prefixed(base, {"max_iter": int_log_uniform(fewest, most)})
    return getattr(tuning, name)(base, space, random_state=seed, **options)


def _space(base, tier, n_rows):
    """`default_space`, narrower, so that a minute goes a long way; in the third tier, classes with batch
    normalization or without.
    """
    space = dict(default_space(base, tier=tier, n_samples=n_rows))
    rate = log_uniform(1e-3, 3e-2)
    narrow = {
        "learning_rate_init": rate if tier == 1 else tied(rate, rule="sqrt"),
        "hidden_layer_sizes": layers(depth=2 if tier == 2 else (1, 3), width=(32, 256)),
        "alpha": log_uniform(1e-5, 1.0),
    }
    space |= {name: scale for name, scale in _prefixed(base, narrow).items() if name in space}
    if tier == 3 and is_classifier(base):
        # Not for quantities: on a table with outliers, "batch" was worse by far, and on held-out rows worse
        # than in validation.
        space |= _prefixed(base, {"normalization": [None, "batch"]})
    return space


def _prefixed(base, parameters):
    """Names as the pipeline has them."""
    _, prefix = network_of(base)
    return {prefix + name: value for name, value in parameters.items()}


def _folds(table, cv, seed):
    n_rows = len(table.y_train)
    if not 2 <= cv <= n_rows // 2:
        raise TableError(
            f"{table.name}: --cv must be from 2 to {n_rows // 2}, half of the {n_rows:,} rows to tune on, got"
            f" {cv}."
        )
    stratified = (
        table.task == "classification" and np.unique(table.y_train, return_counts=True)[1].min() >= cv
    )
    return (StratifiedKFold if stratified else KFold)(cv, shuffle=True, random_state=seed)


def _verbose():
    """ "progress" where somebody watches and tqdm is there, else False."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return "progress"


def _path(path):
    return None if path is None else str(path)
