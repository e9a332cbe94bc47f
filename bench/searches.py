"""`python -m bench.searches DATA`: the best score in cross-validation by the second, of each way to search,
and a figure of it.

DATA is a folder of Parquet files with a column "target". On each table, every contender has the same seconds
on the same cores, the same space, the same three folds, rows of float32, and networks of at most 27 epochs;
each runs in a process of its own, in turns, by several seeds. The time begins when all that is needed has
been imported and the processes have been started. A candidate counts once, by its score after most epochs,
from the moment when its last fold was scored so. nnfast's searches use threads; scikit-learn's and Optuna's
cross-validations use loky's processes, one for each core.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench import machine

TABLES = ("adult", "california", "letter")
MOST_ROWS = 20_000
N_FOLDS, MOST_EPOCHS = 3, 27
CONTENDERS = {
    "nnfast Hyperband": "C0-",
    "nnfast coarse to fine": "C2-",
    "nnfast Bayes": "C4-",
    "nnfast random": "C5-",
    "scikit-learn HalvingRandomSearchCV": "C1--",
    "Optuna, scikit-learn's MLP": "C3--",
}
SCIKIT_LEARNS = [name for name in CONTENDERS if not name.startswith("nnfast")]
# the file that scikit-learn's estimators, in whatever process, note their scores in
_LOG = "NNFAST_BENCH_SCORES"


def space():
    """What all contenders draw from."""
    from nnfast.tuning import Space, int_log_uniform, layers, log_uniform

    return Space(
        {
            "learning_rate_init": log_uniform(1e-5, 0.1),
            "hidden_layer_sizes": layers((1, 3), (32, 256)),
            "batch_size": int_log_uniform(32, 512),
            "alpha": log_uniform(1e-5, 1.0),
        }
    )


def table(path):
    """(X, y, whether it is a regression), encoded and scaled as `nnfast demo` does."""
    from nnfast import tables

    read = tables.read(path, "target", max_rows=MOST_ROWS)
    return read.X_train.astype(np.float32), read.y_train, read.task == "regression"


class _Noted:
    def score(self, X, y, sample_weight=None):
        score = super().score(X, y, sample_weight)
        names = ("learning_rate_init", "hidden_layer_sizes", "batch_size", "alpha")
        candidate = repr([getattr(self, name) for name in names])
        line = json.dumps(
            {"at": time.time(), "candidate": candidate, "max_iter": self.max_iter, "score": score}
        )
        # one write of a line, which no other process's comes between
        with open(os.environ[_LOG], "a") as file:
            file.write(line + "\n")
        return score


class NotedClassifier(_Noted, MLPClassifier):
    """scikit-learn's, which notes its scores."""


class NotedRegressor(_Noted, MLPRegressor):
    """scikit-learn's, which notes its scores."""


def search(contender, path, seconds, seed):
    """Search, and return [[seconds, score], ...] of the candidates, in the order of time."""
    warnings.simplefilter("ignore")
    X, y, regresses = table(path)
    if contender.startswith("nnfast"):
        return _by_nnfast(contender, X, y, regresses, seconds, seed)
    with tempfile.TemporaryDirectory() as folder:
        scores, started = Path(folder, "scores"), Path(folder, "started")
        # In a process of its own, since nothing else ends what scikit-learn has begun.
        begun = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench.searches",
                "--endless",
                contender,
                str(path),
                str(seed),
                str(started),
            ],
            start_new_session=True,
            env=os.environ | {_LOG: str(scores)},
        )
        while not started.exists() and begun.poll() is None:
            time.sleep(0.01)
        start = float(started.read_text()) if started.exists() else 0.0
        time.sleep(max(0, start + seconds - time.time()))
        if begun.poll() is not None:
            raise RuntimeError(f"{contender} ended by itself, with {begun.returncode}")
        os.killpg(begun.pid, 9)
        begun.wait()
        return scored(
            [json.loads(line) for line in scores.read_text().splitlines() if line.endswith("}")],
            start,
            seconds,
        )


def scored(notes, start, seconds):
    """[[seconds, score], ...] from what was noted of folds: of every candidate the mean of its folds after
    most epochs, where all were scored in time.
    """
    rungs, last = {}, {}
    for note in notes:
        if note["at"] < start:
            continue
        scores = rungs.setdefault((note["candidate"], note["max_iter"]), [])
        scores.append(note["score"])
        if len(scores) == N_FOLDS and note["at"] - start <= seconds:
            last[note["candidate"]] = [note["at"] - start, float(np.mean(scores))]
    return sorted(last.values())


def _by_nnfast(contender, X, y, regresses, seconds, seed):
    import optuna  # noqa: F401

    import nnfast
    from nnfast.tuning import BayesianSearchCV, CoarseToFineSearchCV, HyperbandSearchCV

    network = (nnfast.MLPRegressor if regresses else nnfast.MLPClassifier)(max_iter=MOST_EPOCHS)
    common = {"cv": N_FOLDS, "refit": False, "time_budget": seconds, "random_state": seed}
    made = {
        "nnfast Hyperband": lambda: HyperbandSearchCV(
            network, space(), max_epochs=MOST_EPOCHS, n_iterations=None, **common
        ),
        "nnfast coarse to fine": lambda: CoarseToFineSearchCV(network, space(), n_rounds=None, **common),
        "nnfast Bayes": lambda: BayesianSearchCV(network, space(), n_trials=None, **common),
        "nnfast random": lambda: CoarseToFineSearchCV(
            network, space(), n_rounds=1, n_candidates=2000, **common
        ),
    }[contender]()
    results = made.fit(X, y).cv_results_
    found = [
        [at, float(score)]
        for at, score in zip(results["ended"], results["mean_test_score"])
        if np.isfinite(score)
    ]
    return sorted(each for each in found if each[0] <= seconds)


def endless(contender, path, seed, started):
    """scikit-learn's search, or Optuna's, until the process is killed; when it began is in the file
    `started`, once it has.
    """
    import optuna
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingRandomSearchCV, cross_val_score

    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    X, y, regresses = table(path)
    network = (NotedRegressor if regresses else NotedClassifier)(max_iter=MOST_EPOCHS, random_state=seed)
    n_jobs = machine.n_cpus()
    # Loky's processes are started before the time is.
    cross_val_score(network.set_params(max_iter=1), X[:500], y[:500], cv=N_FOLDS, n_jobs=n_jobs)
    network.set_params(max_iter=MOST_EPOCHS)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    started.with_suffix(".part").write_text(str(time.time()))
    started.with_suffix(".part").rename(started)
    if contender.startswith("Optuna"):

        def objective(trial):
            return cross_val_score(
                network.set_params(**space().suggest(trial)), X, y, cv=N_FOLDS, n_jobs=n_jobs
            ).mean()

        optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)).optimize(
            objective
        )
    while True:
        HalvingRandomSearchCV(
            network,
            dict(space()),
            resource="max_iter",
            min_resources=1,
            max_resources=MOST_EPOCHS,
            n_candidates=MOST_EPOCHS,
            factor=3,
            cv=N_FOLDS,
            refit=False,
            return_train_score=False,
            n_jobs=n_jobs,
            random_state=seed,
        ).fit(X, y)
        seed += 1000


def draw(results, path):
    """The figure: a panel a table, the median over the seeds of the best score so far."""
    import matplotlib.pyplot as plt

    names = list(results["tables"])
    figure, axes = plt.subplots(
        1, len(names), figsize=(4.4 * len(names), 3.6), layout="constrained", squeeze=False
    )
    for ax, name in zip(axes[0], names):
        at = np.geomspace(0.3, results["seconds"], 200)
        lowest = []
        for contender, style in CONTENDERS.items():
            best = np.median([best_by(run, at) for run in results["tables"][name][contender]], axis=0)
            ax.plot(at, best, style, label=contender)
            lowest.append(best[len(at) // 2])
        top, low = np.nanmax([line.get_ydata() for line in ax.lines]), np.nanmin(lowest)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set(xlabel="seconds", title=name, ylim=(low - 0.1 * (top - low), top + 0.03 * (top - low)))
    axes[0, 0].set_ylabel("best score so far, 3 folds")
    figure.legend(
        *ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize="small"
    )
    figure.savefig(path, dpi=100)


def best_by(run, at):
    """The best score of a run at these times; NaN where there is none yet."""
    times, scores = np.array(run or np.empty((0, 2))).T
    best = np.maximum.accumulate(scores) if len(scores) else scores
    places = np.searchsorted(times, at, side="right") - 1
    return np.where(places >= 0, best[places] if len(best) else np.nan, np.nan)


def rows(results):
    """A table in Markdown, of medians over the seeds: the best score after a sixth of the time and at the
    end, candidates, and how soon one of nnfast's had the best score that any of the others had at the end.
    """
    yield (
        "| table | contender | best after a sixth | best at the end | candidates | has the others' best"
        " after |"
    )
    yield "|---|---|---|---|---|---|"
    seconds = results["seconds"]
    for name, by_contender in results["tables"].items():
        by_seed = zip(*(by_contender[each] for each in SCIKIT_LEARNS))
        others = [max((score for run in runs for _, score in run), default=-np.inf) for runs in by_seed]
        for contender, runs in by_contender.items():
            early, last = (
                np.median([best_by(run, [seconds * part])[0] for run in runs]) for part in (1 / 6, 1)
            )
            soon = np.median(
                [
                    next((at for at, score in run if score >= other), np.inf)
                    for run, other in zip(runs, others)
                ]
            )
            words = "" if contender in SCIKIT_LEARNS else f"{soon:.1f} s" if np.isfinite(soon) else "never"
            yield (
                f"| {name} | {contender} | {early:.4f} | {last:.4f} |"
                f" {np.median([len(run) for run in runs]):.0f} | {words} |"
            )


def main(arguments=None):
    """Run everything in turns, and write searches.json, searches.md and searches.png."""
    parser = argparse.ArgumentParser("python -m bench.searches", description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="the folder of the tables")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    results = {
        "seconds": options.seconds,
        "facts": machine.facts(machine.n_cpus()),
        "tables": {name: {each: [] for each in CONTENDERS} for name in TABLES},
    }
    for seed in range(options.seeds):
        for name in TABLES:
            for contender in CONTENDERS:
                arguments = [
                    "--one",
                    contender,
                    str(options.data / f"{name}.parquet"),
                    str(seed),
                    str(options.seconds),
                ]
                answer = subprocess.run(
                    [sys.executable, "-m", "bench.searches", *arguments],
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                results["tables"][name][contender].append(json.loads(answer.stdout.splitlines()[-1]))
                best = max(
                    (score for _, score in results["tables"][name][contender][-1]), default=float("nan")
                )
                print(
                    f"{name}, seed {seed}, {contender}: {best:.4f},"
                    f" {len(results['tables'][name][contender][-1])} candidates",
                    flush=True,
                )
        (options.out / "searches.json").write_text(json.dumps(results))
        (options.out / "searches.md").write_text("\n".join(rows(results)) + "\n")
        draw(results, options.out / "searches.png")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(search(sys.argv[2], Path(sys.argv[3]), float(sys.argv[5]), int(sys.argv[4]))))
    elif sys.argv[1:2] == ["--endless"]:
        endless(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
    else:
        main()
