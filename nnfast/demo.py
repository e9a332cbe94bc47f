"""The demonstration: nnfast and scikit-learn train the same networks on the same tables, and then whole
models.
"""

import time
from dataclasses import dataclass

import sklearn
import sklearn.neural_network

import nnfast
from nnfast import engines, threads
from nnfast.tables import TEST_SIZE, SplitTable, TableError
from nnfast.whole_models import fit_whole_models, timed_fit

DEFAULT_LAYOUT = (100,)
LAYOUTS = (DEFAULT_LAYOUT, (256, 256))
MOST_ROWS = 50_000
# Floating-point operations of the longest fit: up to ten seconds of scikit-learn on two cores.
MOST_WORK = 1.5e11
# Every fit is done three times, unless one round of them has taken more than 30 seconds, or two more than 8.
# One is not enough where it can be helped: when another process takes a core for a moment, a fit by threads
# that wait for each other, as those of scikit-learn's BLAS do, can take ten times as long.
ROUNDS, LONG = 3, {0: float("inf"), 1: 30.0, 2: 8.0}

_ESTIMATORS = {"classification": "MLPClassifier", "regression": "MLPRegressor"}
_SCORES = {"classification": "accuracy", "regression": "r2"}
_COLUMNS = "{:<13} {:>6} {:>8} {:>8} {:>8}  {:<9} {:>7} {:>7} {:>8}  {:>7} {:>7}"  # 100 wide
_TITLES = _COLUMNS.format(
    *("table", "rows", "features", "hidden", "max_iter", "precision"),
    *("sklearn", "nnfast", "speed-up"),
    *("sklearn", "nnfast"),
)
_FIT, _SCORE = _TITLES.index("nnfast"), _TITLES.rindex("nnfast")
_GROUPS = f"{'fit, seconds':>{_FIT + 6}}{'score':>{_SCORE - _FIT}}"


_MODEL_COLUMNS = "{:<13} {:>6}  {:<12} {:<37} {:>7} {:>8} {:>9}"  # 98 wide
_MODELS = (
    "Whole models at their defaults, a fit each: scikit-learn's MLP on the table as it was encoded above,\n"
    "its trees with categories as they are, nnfast's ensembles on the table as it was read."
)
_MODEL_GROUPS = f"{'fit,':>{len(_MODEL_COLUMNS.format(*[''] * 6, '')) - 19}} {'accuracy':>8} {'log-loss':>9}"
_MODEL_TITLES = _MODEL_COLUMNS.format("table", "rows", "package", "model", "seconds", "or R2", "or RMSE")


@dataclass
class Contender:
    """One of the estimators that race, its fastest fit in seconds, and its score on the rows held out."""

    estimator: object
    seconds: float = float("inf")
    score: float = float("nan")


def run(tables, *, layouts=LAYOUTS, max_iter=None):
    """Print, for every table and layout, what scikit-learn and nnfast make of it; then what whole models make
    of it.

    Parameters
    ----------
    tables : iterable of SplitTable

    layouts : iterable of tuple of int
        The `hidden_layer_sizes` to train.

    max_iter : int, default=None
        Most epochs of a fit. None: 200, scikit-learn's default, or fewer where scikit-learn would take long.

    Returns
    -------
    results : list of dict
        For each table what `--json` says of it, and of its fits.
    """
    print(_opening())
    titled, done, results = False, [], []
    for table in tables:
        for note in table.notes:
            print(note)
        if not titled:
            print("", _GROUPS, _TITLES, sep="\n")
            titled = True
        fits = []
        for layout in layouts:
            epochs = max_iter or affordable_epochs(table, layout)
            theirs, *ours = race(table, layout, epochs)
            for each in ours:
                print(_row(table, layout, epochs, theirs, each), flush=True)
                fits.append(_record(layout, epochs, theirs, each))
        results.append(
            {**table.facts, "features": table.n_features, "scoring": _SCORES[table.task], "fits": fits}
        )
        done.append(table)
    print("", _MODELS, "", _MODEL_GROUPS, _MODEL_TITLES, sep="\n")
    for table, result in zip(done, results, strict=True):
        epochs = max_iter or affordable_epochs(table, DEFAULT_LAYOUT)
        result["models"] = []
        for model in fit_whole_models(table, epochs):
            print(_model_row(table, model), flush=True)
            result["models"].append(model.record())
    return results


def _opening():
    engine = engines.get_engine()
    n_threads = threads.n_threads_available()
    return (
        f"nnfast {nnfast.__version__} ({engine.instruction_set()}, {n_threads} "
        f"thread{'s' * (n_threads > 1)}) beside scikit-learn {sklearn.__version__}: the same parameters and "
        "random_state.\n"
        f"Fits are interleaved; seconds are those of the fastest of up to {ROUNDS}. scikit-learn computes "
        "in\n"
        "float64, as nnfast does with precision='auto'. Scores are accuracy, or R2 of a regression, on\n"
        f"{TEST_SIZE:.0%} of the rows, held out."
    )


def affordable_epochs(table: SplitTable, layout):
    """The most epochs, from 3 to 200, that scikit-learn gets through in about ten seconds."""
    units = (table.n_features, *layout, table.n_outputs)
    n_parameters = sum((n_in + 1) * n_out for n_in, n_out in zip(units, units[1:]))
    return int(min(200, max(3, MOST_WORK / (6 * len(table.y_train) * n_parameters))))


def race(table: SplitTable, layout, max_iter):
    """Fit scikit-learn's estimator, nnfast's, and nnfast's in float32 in turn, several times.

    Returns
    -------
    contenders : list of three Contender

    Raises
    ------
    TableError
        If a fit fails, say because it diverges.
    """
    name = _ESTIMATORS[table.task]
    parameters = {"hidden_layer_sizes": layout, "max_iter": max_iter, "random_state": 0, **table.parameters}
    ours = getattr(nnfast, name)
    contenders = [
        Contender(getattr(sklearn.neural_network, name)(**parameters)),
        Contender(ours(**parameters)),
        Contender(ours(**parameters, precision="float32")),
    ]
    start = time.perf_counter()
    for done in range(ROUNDS):
        if time.perf_counter() - start > LONG[done]:
            break
        for each in contenders:
            each.seconds = min(each.seconds, _time_fit(each.estimator, table))
    for each in contenders:
        each.score = each.estimator.score(table.X_test, table.y_test)
    return contenders


def _time_fit(estimator, table):
    try:
        return timed_fit(estimator, table.X_train, table.y_train)
    except ValueError as error:
        whose = type(estimator).__module__.partition(".")[0]
        raise TableError(
            f"{table.name}: {whose}'s {type(estimator).__name__} fails on this table: {error}"
        ) from error


def _short(name):
    return name if len(name) <= 13 else name[:10] + "..."


def _row(table, layout, max_iter, theirs, ours):
    return _COLUMNS.format(
        _short(table.name),
        f"{table.n_rows:,}",
        table.n_features,
        "-".join(map(str, layout)),
        max_iter,
        ours.estimator.precision,
        f"{theirs.seconds:.3f}",
        f"{ours.seconds:.3f}",
        f"{theirs.seconds / ours.seconds:.1f}x",
        f"{theirs.score:.4f}",
        f"{ours.score:.4f}",
    )


def _model_row(table, model):
    start = _short(table.name), f"{table.n_rows:,}", model.package, model.call
    if model.error:
        return _MODEL_COLUMNS.format(*start, "", "", "")[:58].rstrip() + f" fails: {model.error}"
    score, loss = model.scores.values()
    loss = f"{loss:.4f}" if table.task == "classification" else f"{loss:.5g}"
    return _MODEL_COLUMNS.format(*start, f"{model.seconds:.3f}", f"{score:.4f}", loss)


def _record(layout, max_iter, theirs, ours):
    return {
        "hidden_layer_sizes": list(layout),
        "max_iter": max_iter,
        "precision": ours.estimator.precision,
        "seconds": {"scikit-learn": theirs.seconds, "nnfast": ours.seconds},
        "scores": {"scikit-learn": float(theirs.score), "nnfast": float(ours.score)},
    }
