"""The estimators end to end, as users run them: fits of real tables, fits to a loss, `GridSearchCV` of 60
fits, `cross_val_score`.
"""

import functools
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nnfast.tables
from bench import machine
from bench.peers import tables
from bench.sides import MULTILAYER, ROOT, Side
from bench.work import check_apart, fit_quietly

# Used where they are; without them, the tables that come with scikit-learn.
SHARED = {"adult": "classification", "california": "regression", "letter": "classification"}
EPOCHS = {"quick": 5, "full": 20}
# Of a fit to a loss: this share of the first epoch's, and where it is to be reached.
SHARE, MOST_EPOCHS = 0.1, 200
GRID = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 3e-3, 1e-2]}  # with 5 folds, 60 fits
GRID_EPOCHS = {"quick": 20, "full": 100}
SCORES_APART = 0.05  # of two implementations of the same network, at most


def run(session):
    """A row for each task and side, with "seconds" and what came of it. scikit-learn is run as users run it,
    in float64.
    """
    session.open(
        [
            *(
                Side(f"{library} {dtype}", library, dtype)
                for library, dtype in (
                    ("nnfast", "float32"),
                    ("nnfast", "float64"),
                    ("scikit-learn", "float64"),
                )
            ),
            *(Side(library, library, "float32") for library in ("skorch", "LightGBM", "XGBoost")),
        ]
    )
    size = "quick" if session.quick else "full"
    found = []
    for name in table_names()[: 1 if session.quick else None]:
        found += measure(
            session, f"fit of {name}", "fit_table", None, rounds=2, name=name, epochs=EPOCHS[size]
        )
    epochs = _epochs_to_loss(session)
    found += measure(
        session, f"digits, to {SHARE:.0%} of the first epoch's loss", "fit_to_loss", MULTILAYER, epochs=epochs
    )
    for n_jobs in (1, 2):
        words = f"GridSearchCV, 60 fits of digits, n_jobs={n_jobs}"
        found += measure(
            session,
            words,
            "search",
            MULTILAYER,
            rounds=2,
            warm_up=False,
            n_jobs=n_jobs,
            epochs=GRID_EPOCHS[size],
        )
    return found + measure(
        session,
        "cross_val_score, StandardScaler and MLP, digits",
        "cross_validate",
        MULTILAYER,
        epochs=GRID_EPOCHS[size],
    )


def table_names():
    """Of the shared tables, those that are there; else of the bundled ones."""
    shared = [name for name in SHARED if _shared(name).exists()]
    return shared or [table.name for table in nnfast.tables.bundled()]


def _shared(name):
    return ROOT.parent / "shared" / "data" / f"{name}.parquet"


def _epochs_to_loss(session):
    """Epochs after which scikit-learn, or without it the first side, is at SHARE of its first loss; at most
    MOST_EPOCHS.
    """
    names = [name for name, process in session.processes.items() if process.side.framework in MULTILAYER]
    for name in sorted(names, key=lambda name: name != "scikit-learn float64"):
        library = session.processes[name].side.framework
        answer = session.attempt(
            name, __name__, "fit_to_loss", library=library, dtype="float64", epochs=MOST_EPOCHS
        )
        if answer is not None:
            losses = answer["losses"]
            return next(
                (epoch for epoch, loss in enumerate(losses, 1) if loss <= SHARE * losses[0]), len(losses)
            )
    return MOST_EPOCHS


def measure(session, words, function, libraries, rounds=None, warm_up=True, **arguments):
    """Rows of one task: samples in turns, and scores of equal networks compared. Sides that fail are left
    out.
    """
    sides = [
        process.side
        for process in session.processes.values()
        if libraries is None or process.side.framework in libraries
    ]
    calls = {side.name: {"library": side.framework, "dtype": side.dtype} | arguments for side in sides}
    if warm_up:  # imports, and reads the table
        calls = {
            name: call
            for name, call in calls.items()
            if session.attempt(name, __name__, function, **call) is not None
        }
    rows = []
    for name, taken in session.in_turns(__name__, function, calls, rounds).items():
        seconds = [sample["seconds"] for sample in taken]
        rows.append(
            {
                "point": words,
                "side": name,
                "group": name,
                "seconds": seconds,
                "us": [1e6 * each for each in seconds],
                "company": [sample["company"] for sample in taken],
                "score": taken[-1]["score"],
            }
        )
        print(f"{words:50} {name:24} {min(seconds):8.3f} s  score {rows[-1]['score']:.4f}", flush=True)
    scores = [row["score"] for row in rows if row["side"].startswith(MULTILAYER)]
    if scores:
        session.check(
            check_apart, f"{words}: scores of equal networks", max(scores) - min(scores), SCORES_APART
        )
    if not rows:
        session.note(f"{words}: not measured")
    return rows


# ------------------------------------------------------------------------------------------------------------
# In the side's process


def fit_table(library, dtype, name, epochs):
    """Fit one table; its score on the rows held out."""
    table = _table(name)
    X_train, y_train, X_test, y_test = tables.data(library, table)
    estimator = tables.estimator(library, dtype, table, epochs)
    return _timed(lambda: fit_quietly(estimator, X_train, y_train), lambda _: estimator.score(X_test, y_test))


def fit_to_loss(library, dtype, epochs):
    """Fit digits for so many epochs; the losses."""
    X, y = _digits()
    estimator = _network(library, dtype, epochs)
    return _timed(lambda: fit_quietly(estimator, X, y), lambda _: estimator.score(X, y)) | {
        "losses": [float(loss) for loss in estimator.loss_curve_]
    }


def search(library, dtype, n_jobs, epochs):
    """The 60 fits, and that of the best parameters."""
    search = GridSearchCV(_network(library, dtype, epochs), GRID, cv=5, n_jobs=n_jobs)
    sample = _timed(lambda: _ignoring_warnings(search.fit, *_digits()), lambda _: search.best_score_)
    # the jobs are other processes, too: nobody can tell
    return sample if n_jobs == 1 else sample | {"company": 0.0}


def cross_validate(library, dtype, epochs):
    """Five folds of a pipeline."""
    pipeline = make_pipeline(StandardScaler(), _network(library, dtype, epochs))
    return _timed(lambda: _ignoring_warnings(cross_val_score, pipeline, *_digits(), cv=5), np.mean)


def _timed(call, score):
    with machine.Company() as company:
        start = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "company": company.share, "score": float(score(result))}


def _ignoring_warnings(function, *arguments, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **settings)


@functools.cache
def _table(name):
    if _shared(name).exists():
        return nnfast.tables.read(_shared(name), "target", task=SHARED[name])
    return next(table for table in nnfast.tables.bundled() if table.name == name)


def _digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def _network(library, dtype, epochs):
    if library == "nnfast":
        return nnfast.MLPClassifier(max_iter=epochs, random_state=0, precision=dtype)
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(max_iter=epochs, random_state=0)
