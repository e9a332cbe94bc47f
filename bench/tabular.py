"""The study of tables: scores, time and memory of nnfast's estimators of tables and of their peers.

    python -m bench.tabular run                      # all peers and nnfast, all tables, splits 0 and 1
    python -m bench.tabular run --methods nnfast --tables adult ames --splits 0 --tag bins
    python -m bench.tabular run --parallel 2         # scores sooner: two fits at a time, a thread each
    python -m bench.tabular cost                     # time and memory by rows and columns: made-up tables
    python -m bench.tabular report --out docs        # docs/tabular_results.md and figures, of both
    python -m bench.tabular tables --out docs        # docs/tabular_tables.md, of the development tables

`run` and `cost` append lines of JSON to a file. What an earlier run has is left out: the same method,
configuration, table and split. Failures are recorded, and tried again with `--retry`. Each fit has a process
of its own, so that a crash or a time-out is a record, and memory is its own. Fits of `--parallel 2` are
marked "pinned": their scores count, their seconds do not, and a run without it, or with another number of
threads, measures them again.
"""

import argparse
import json
import multiprocessing
import os
import platform
import re
import resource
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RESULTS, COSTS = Path("bench-results/tabular.jsonl"), Path("bench-results/tabular_cost.jsonl")
N_CONFIDENCE_BINS = 15


def main(arguments=None):
    from bench.development_tables import BY_NAME
    from bench.tabular_methods import METHODS, PEERS

    parser = argparse.ArgumentParser(
        prog="python -m bench.tabular",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, dest="command")
    of_fits = argparse.ArgumentParser(add_help=False)
    of_fits.add_argument(
        "--threads", type=int, default=None, help="of each fit; all CPUs by default, 1 with --parallel 2"
    )
    of_fits.add_argument("--timeout", type=float, default=1800.0, help="seconds for a fit and its prediction")
    of_fits.add_argument("--retry", action="store_true", help="try again what failed")
    of_fits.add_argument("--tag", default="", help="of a version of nnfast, kept with the configuration")

    run = commands.add_parser("run", parents=[of_fits], help="fit and score")
    run.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=[*PEERS, "nnfast"],
        metavar="NAME",
        help=f"of {', '.join(METHODS)}",
    )
    run.add_argument(
        "--tables",
        nargs="+",
        choices=BY_NAME,
        default=list(BY_NAME),
        metavar="NAME",
        help=f"of {', '.join(BY_NAME)}",
    )
    run.add_argument("--splits", nargs="+", type=int, default=[0, 1])
    run.add_argument("--out", type=Path, default=RESULTS)
    run.add_argument(
        "--parallel",
        type=int,
        choices=(1, 2),
        default=1,
        help="fits at a time; 2 pins each to a CPU and gives it a thread",
    )
    run.set_defaults(act=run_fits)

    cost = commands.add_parser(
        "cost", parents=[of_fits], help="time and memory of fits by rows and by columns"
    )
    cost.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["nnfast", "catboost", "lightgbm"], metavar="NAME"
    )
    cost.add_argument("--quick", action="store_true", help="small tables, to try the command")
    cost.add_argument("--out", type=Path, default=COSTS)
    cost.set_defaults(act=run_costs, parallel=1)

    report = commands.add_parser("report", help="write tabular_results.md and its figures")
    report.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help=f"lines of `run` and `cost`; {RESULTS} and {COSTS} by default",
    )
    report.add_argument("--out", type=Path, default=RESULTS.parent, help="a folder")
    report.add_argument(
        "--threads",
        type=int,
        default=None,
        help="seconds of fits with so many threads count; by default the number that most fits had",
    )
    report.set_defaults(act=report_results)

    tables = commands.add_parser(
        "tables", help="write tabular_tables.md: all development tables have to be there"
    )
    tables.add_argument("--out", type=Path, default=RESULTS.parent, help="a folder")
    tables.set_defaults(act=report_tables)
    options = parser.parse_args(arguments)
    options.act(options)


def run_fits(options):
    names = [
        (method, table, split)
        for split in options.splits
        for method in options.methods
        for table in options.tables
    ]
    do(
        [{"method": method, "table": table, "split": split} for method, table, split in names],
        options,
        measure,
    )


def run_costs(options):
    from bench import tabular_cost

    points = tabular_cost.points(options.quick)
    do(
        [{"method": method, **point} for point in points for method in options.methods],
        options,
        tabular_cost.measure,
    )


def report_results(options):
    from bench import tabular_report

    files = options.files or [path for path in (RESULTS, COSTS) if path.exists()]
    if not files:
        raise SystemExit(
            f"there is neither {RESULTS} nor {COSTS}: `run` and `cost` write them, or name other files"
        )
    tabular_report.write([record for path in files for record in read(path)], options.out, options.threads)


def report_tables(options):
    from bench import tabular_tables

    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "tabular_tables.md").write_text(tabular_tables.page())


def do(jobs, options, work):
    """Do the jobs that the file has no records of, in processes of their own, and append their
    records to it.
    """
    from bench.tabular_methods import configuration

    cpus = (
        sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count()))
    )
    is_pinned = options.parallel > 1
    threads = 1 if is_pinned else options.threads or len(cpus)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # Scores do not depend on threads, seconds do.
    records = [
        record
        for record in read(options.out)
        if is_pinned or (record["threads"] == threads and not record["pinned"])
    ]
    done = {key(record) for record in records if not (options.retry and "error" in record)}
    jobs = [
        {
            **job,
            "configuration": configuration(job["method"], options.tag),
            "threads": threads,
            "pinned": is_pinned,
        }
        for job in jobs
    ]
    jobs = [job for job in jobs if key(job) not in done]
    lock, free_cpus = threading.Lock(), list(cpus)

    def do_one(numbered):
        number, job = numbered
        with lock:
            cpu = free_cpus.pop(0) if is_pinned else None
        record = in_a_process(job, cpu, options.timeout, work)
        with lock:
            if is_pinned:
                free_cpus.append(cpu)
            with options.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(f"{number}/{len(jobs)} {describe(record)}", flush=True)

    with ThreadPoolExecutor(options.parallel) as pool:
        list(pool.map(do_one, enumerate(jobs, 1)))


def read(path):
    """The records of a file, or none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def place(record):
    """What was fitted: a table and a split, or a made-up table."""
    return tuple(
        record[name] for name in ("table", "split", "task", "axis", "rows", "columns") if name in record
    )


def key(record):
    return record["method"], place(record), json.dumps(record["configuration"], sort_keys=True)


def describe(record):
    start = f"{record['method']:18} {' '.join(map(str, place(record))):24}"
    if "error" in record:
        return f"{start} failed: {record['error'].strip().splitlines()[-1]}"
    seconds, megabytes = record["seconds"], record["peak_megabytes"]
    score = f"{record['metric']:9}{record['value']:10.4f}"
    return (
        f"{start} {score}  fit {seconds['fit']:7.1f} s, predict {seconds['predict']:6.2f} s,"
        f" {megabytes:6.0f} MB"
    )


def in_a_process(job, cpu, timeout, work):
    """The record of a fit in a fresh process, or one that tells how it failed."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(there, job, cpu, work))
    process.start()
    there.close()
    try:
        if not here.poll(timeout):
            return {**job, "error": f"no result within {timeout:.0f} seconds"}
        return {**job, **here.recv()}
    except EOFError:
        process.join()
        return {**job, "error": f"the process ended with exit code {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def answer(pipe, job, cpu, work=None):
    """Send what `work` makes of a job. Threads are set before any library is imported."""
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "NNFAST_NUM_THREADS",
    ):
        os.environ[name] = str(job["threads"])
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        pipe.send((work or measure)(job))
    except Exception:  # a failure of any library is a result of the study
        pipe.send({"error": traceback.format_exc()})


def measure(job):
    """Fit a development table and predict once: scores, seconds, memory, and what they were measured on."""
    from bench.development_tables import BY_NAME, split

    table = BY_NAME[job["table"]]
    return measure_fit(job, table.metric, *split(table, job["split"]))


def measure_fit(job, metric, X_train, X_test, y_train, y_test):
    import warnings

    import numpy as np

    from bench import machine
    from bench.tabular_methods import make

    warnings.simplefilter("ignore")  # of libraries, on columns and convergence
    is_regression = metric == "rmse"
    model = make(job["method"], "regression" if is_regression else "classification", job["threads"])
    if is_regression:
        y_train, y_test = y_train.to_numpy(float), y_test.to_numpy(float)
    else:
        labels, truth = np.unique(y_train, return_inverse=True)
        truth_test = np.searchsorted(labels, y_test)
        y_train = y_train if model.takes_labels else truth
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    with Clock() as fitting:
        model.fit(X_train, y_train)
    peak = resident("VmHWM")
    with Clock() as predicting:
        prediction = model.predict(X_test) if is_regression else model.predict_proba(X_test)
    scores = (
        regression_scores(y_test, prediction)
        if is_regression
        else classification_scores(truth_test, prediction)
    )
    return {
        "metric": metric,
        "value": scores[metric],
        # what is ranked: less is better
        "error_rate": 1 - scores["auc"] if metric == "auc" else scores[metric],
        "scores": scores,
        "seconds": {"fit": fitting.seconds, "predict": predicting.seconds},
        "cpu_seconds": {"fit": fitting.cpu_seconds, "predict": predicting.cpu_seconds},
        "peak_megabytes": peak - before,
        "n_train": len(X_train),
        "n_test": len(X_test),
        "n_columns": X_train.shape[1],
        "n_classes": None if is_regression else len(labels),
        "fit": model.facts() if hasattr(model, "facts") else {},
        "cpu": machine.cpu(),
        "cpus": machine.n_cpus(),
        "platform": platform.platform(),
        "versions": {
            name: machine.version_of(name)
            for name in ("nnfast", "numpy", "pandas", "scikit-learn", "lightgbm", "catboost", "xgboost")
        },
        "date": time.strftime("%Y-%m-%d"),
    }


class Clock:
    """Seconds of wall and of CPU within a `with` block; of this process and of processes it has
    waited for.
    """

    def __enter__(self):
        self.start = time.perf_counter(), cpu_seconds()
        return self

    def __exit__(self, *error):
        self.seconds, self.cpu_seconds = time.perf_counter() - self.start[0], cpu_seconds() - self.start[1]


def cpu_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def resident(which):
    """Megabytes, from the kernel's account of this process: VmRSS now, VmHWM at its peak."""
    return int(re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000


def regression_scores(truth, prediction):
    import numpy as np

    squared = float(np.mean((truth - np.ravel(prediction)) ** 2))
    return {"rmse": squared**0.5, "r2": 1 - squared / float(truth.var())}


def classification_scores(truth, shares):
    """Of two classes also the area under the curve. Probabilities are kept 1e-7 from 0, where log-loss is
    infinite.
    """
    import numpy as np
    from sklearn.metrics import log_loss, roc_auc_score

    shares = np.clip(np.asarray(shares, float), 1e-7, 1)
    shares /= shares.sum(1, keepdims=True)
    is_right = shares.argmax(1) == truth
    scores = {
        "log_loss": float(log_loss(truth, shares, labels=np.arange(shares.shape[1]))),
        "accuracy": float(is_right.mean()),
        "ece": calibration_error(shares.max(1), is_right),
    }
    return {"auc": float(roc_auc_score(truth, shares[:, 1])), **scores} if shares.shape[1] == 2 else scores


def calibration_error(confidence, is_right):
    """The expected calibration error: the mean over equal bins, weighted by rows, of |accuracy - mean
    confidence|.
    """
    import numpy as np

    bins = np.minimum((confidence * N_CONFIDENCE_BINS).astype(int), N_CONFIDENCE_BINS - 1)
    gaps = np.bincount(bins, is_right - confidence, N_CONFIDENCE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


if __name__ == "__main__":
    main()
