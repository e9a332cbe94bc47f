"""The report of the study of tables: from records of `python -m bench.tabular` to tabular_results.md and
figures.
"""

from collections import Counter

import numpy as np
import pandas as pd

from bench import tabular_figures
from bench.development_tables import BY_NAME
from bench.report import table
from bench.tabular_methods import METHODS

REFERENCE = "catboost"  # what times, errors and probabilities are compared with
OURS = ["nnfast", "nnfast-fast", "nnfast-best", "nnfast-trees"]  # each is ranked with the rivals alone
RIVALS = ["catboost", "lightgbm", "xgboost"]
TIE = 0.005  # errors that differ by less are equal in wins, ties and losses
LEAST_ERROR = 1e-9  # so that ratios of errors exist
LEAST_SHARE = 0.5  # of all tables and splits: methods that have fewer are not in the ranks of all methods


def write(records, folder, threads=None):
    """Write tabular_results.md to a folder, and the figures to _static/tabular within it."""
    pictures = folder / "_static" / "tabular"
    pictures.mkdir(parents=True, exist_ok=True)
    fits = [record for record in records if "table" in record and record["table"] in BY_NAME]
    costs = [record for record in records if "axis" in record]
    lines = [
        "# Results of the study of tables",
        "",
        "`python -m bench.tabular report` wrote this page. [The study of tables](tabular_study.md) tells "
        "what was compared, and how.",
        "",
    ]
    if fits:
        lines += of_fits(fits, pictures, threads)
    if costs:
        lines += of_costs(costs, pictures, threads)
    (folder / "tabular_results.md").write_text("\n".join(lines).rstrip() + "\n")


def of_fits(records, pictures, threads):
    scored, timed = latest(records), latest(of_threads(records, threads))
    if not scored:
        yield from failures_section(records, scored)
        return
    errors = pivot(scored, lambda record: max(record["error_rate"], LEAST_ERROR))
    fit_seconds = pivot(timed, lambda record: record["seconds"]["fit"])
    ranked = [method for method in errors if errors[method].count() >= LEAST_SHARE * len(errors)]
    yield from conditions(scored, timed)
    yield from ranks_section(errors, ranked)
    if tabular_figures.ranks_by_seconds(*mean_ranks(errors, ranked), fit_seconds, pictures / "ranks.png"):
        yield from (
            "![Mean rank of each method and the total seconds of its fits](_static/tabular/ranks.png)",
            "",
        )
    yield from outcomes_section(errors)
    if REFERENCE in errors and tabular_figures.error_ratios(
        ratios_by_table(errors, REFERENCE), REFERENCE, pictures / "error_ratios.png"
    ):
        yield from (
            "![Error of each method divided by CatBoost's, by table](_static/tabular/error_ratios.png)",
            "",
        )
    yield from seconds_section(timed, fit_seconds)
    yield from probabilities_section(scored)
    yield from values_section(scored, errors)
    yield from failures_section(records, scored)


# Which records count


def label(record):
    tag = record["configuration"].get("tag")
    return f"{record['method']} ({tag})" if tag else record["method"]


def of_threads(records, threads=None):
    """The records whose seconds count: those of fits that had the CPUs to themselves, with equal numbers of
    threads.

    By default the number of threads is the one that most of them had.
    """
    alone = [record for record in records if not record["pinned"]]
    if threads is None and alone:
        threads = Counter(record["threads"] for record in alone).most_common(1)[0][0]
    return [record for record in alone if record["threads"] == threads]


def latest(records):
    """By (table, split, method) the last record that is no failure. What is later in the files counts."""
    return {
        (record["table"], record["split"], label(record)): record
        for record in records
        if "error" not in record
    }


def pivot(records, quantity):
    """A row for each table and split, a column for each method; tables and methods in the order of their
    lists.
    """
    tables, methods = list(BY_NAME), list(METHODS)
    names = sorted(
        {method for *_, method in records}, key=lambda name: (methods.index(name.partition(" (")[0]), name)
    )
    rows = sorted(
        {(name, split) for name, split, _ in records}, key=lambda row: (tables.index(row[0]), row[1])
    )
    values = [
        [quantity(records[*row, name]) if (*row, name) in records else np.nan for name in names]
        for row in rows
    ]
    return pd.DataFrame(values, pd.MultiIndex.from_tuples(rows, names=["table", "split"]), names, dtype=float)


# What is computed


def mean_ranks(errors, methods):
    """The mean ranks of methods over the rows where all have an error, and the number of these rows.

    Equal errors share the mean of their ranks.
    """
    shared = errors[methods].dropna()
    return shared.rank(axis=1).mean(), len(shared)


def outcomes(errors, method, peer):
    """How often a method wins, ties and loses: a tie where the larger error is at most TIE above the smaller
    one.
    """
    pairs = errors[[method, peer]].dropna()
    is_tie = pairs.max(axis=1) <= (1 + TIE) * pairs.min(axis=1)
    is_win = ~is_tie & (pairs[method] < pairs[peer])
    return int(is_win.sum()), int(is_tie.sum()), int((~is_tie & ~is_win).sum())


def by_table(errors):
    """The geometric mean of the errors over the splits of each table that all methods of the frame have."""
    return np.exp(np.log(errors.dropna()).groupby(level="table", sort=False).mean())


def geometric_mean_ratio(values, method, reference):
    pairs = values[[method, reference]].dropna()
    return float(np.exp(np.log(pairs[method] / pairs[reference]).mean()))


def ratios_by_table(errors, reference):
    """Each method's error divided by the reference's: geometric means over the splits that both have."""
    peers = [method for method in errors if method not in (reference, "trivial")]
    means = {method: by_table(errors[[method, reference]]) for method in peers}
    return pd.DataFrame({method: mean[method] / mean[reference] for method, mean in means.items()})


# What is written


def several(values):
    return ", ".join(sorted({str(value) for value in values}))


def conditions(scored, timed):
    """On what machine, with which versions."""
    tables = {name for name, *_ in scored}
    splits = several(split for _, split, _ in scored)
    versions = {
        method: several(
            record["configuration"].get(METHODS[record["method"]][1])
            for record in scored.values()
            if label(record) == method
        )
        for *_, method in scored
    }
    cpus, dates = (several(record[name] for record in scored.values()) for name in ("cpu", "date"))
    yield f"{len(tables)} tables, splits {splits}; {cpus}; {dates}."
    if timed:
        yield f"Seconds are of fits with {several(record['threads'] for record in timed.values())} thread(s)."
    yield (
        "Versions of the packages: "
        + ", ".join(f"{method} {version}" for method, version in versions.items())
        + "."
    )
    yield ""


def ranks_section(errors, ranked):
    yield from (
        "## Mean ranks",
        "",
        "Rank 1 has the smallest error: 1 - AUC for two classes, log-loss for more, RMSE for numbers. "
        "Equal errors share the mean of their ranks. A ranking is over the tables and splits that all its "
        "methods have.",
        "",
    )
    rankings = [[first, *RIVALS] for first in OURS] + [ranked]
    for methods in rankings:
        if set(methods) <= set(errors):
            ranks, n_rows = mean_ranks(errors, methods)
            cells = {method: f"{ranks[method]:.2f}" for method in ranks.sort_values().index}
            yield from (
                f"Over {n_rows} tables and splits:",
                "",
                *table([{"method": "mean rank", **cells}]),
                "",
            )
    if few := [method for method in errors if method not in ranked]:
        yield from (
            "Methods that have results on fewer than half of the tables and splits are in no ranking of all: "
            f"{', '.join(few)}.",
            "",
        )


def outcomes_section(errors):
    if "nnfast" not in errors:
        return
    yield from (
        "## nnfast beside each of the others",
        "",
        "Wins, ties and losses of the first of two methods. A tie: the larger error is at most "
        f"{100 * TIE:g} % above the smaller one. "
        '"Tables" takes the geometric mean of a table\'s errors over its splits. The ratio is the geometric '
        "mean of the "
        "first method's error divided by the other's: below 1, the first is better.",
        "",
    )

    def cells(method, peer):
        pair = errors[[method, peer]].dropna()
        return {
            "methods": f"{method} to {peer}",
            "tables and splits": "{} / {} / {}".format(*outcomes(pair, method, peer)),
            "tables": "{} / {} / {}".format(*outcomes(by_table(pair), method, peer)),
            "ratio of errors": f"{geometric_mean_ratio(pair, method, peer):.3f}",
        }

    ours = [method for method in errors if method in OURS]
    peers = [method for method in errors if method not in ours]
    pairs = [*((method, peer) for method in ours for peer in peers), *(("nnfast", each) for each in ours[1:])]
    yield from (*table([cells(*pair) for pair in pairs]), "")


def seconds_section(timed, seconds):
    if seconds.empty:
        return
    cpu, memory = (
        pivot(timed, lambda record: record["cpu_seconds"]["fit"]),
        pivot(timed, lambda record: record["peak_megabytes"]),
    )
    predict = pivot(timed, lambda record: 1e3 * record["seconds"]["predict"] / record["n_test"])
    yield from (
        "## Time and memory",
        "",
        "Seconds of wall time, and of all CPUs, of the fits. Fits that shared the CPUs with other fits of "
        "the study do not count. Totals are compared with CatBoost's over the tables and splits that both "
        "have. Memory is the peak of the fit above what the process had before it.",
        "",
    )

    def cells(method):
        both = seconds[method].notna() & seconds[REFERENCE].notna() if REFERENCE in seconds else []
        return {
            "method": method,
            "fits": seconds[method].count(),
            "total, s": f"{seconds[method].sum():,.1f}",
            "median, s": f"{seconds[method].median():.2f}",
            "CPU total, s": f"{cpu[method].sum():,.1f}",
            "total / CatBoost's": f"{seconds[method][both].sum() / seconds[REFERENCE][both].sum():.3f}"
            if any(both)
            else "",
            "predict, ms a row": f"{predict[method].median():.3f}",
            "memory: median, MB": f"{memory[method].median():,.0f}",
            "largest, MB": f"{memory[method].max():,.0f}",
        }

    yield from (*table([cells(method) for method in seconds]), "")


def probabilities_section(scored):
    classes = {place: record for place, record in scored.items() if "log_loss" in record["scores"]}
    if not any(method == REFERENCE for *_, method in classes):
        return
    losses, calibration = (
        pivot(classes, lambda record, name=name: record["scores"][name]) for name in ("log_loss", "ece")
    )
    yield from (
        "## Probabilities",
        "",
        "Log-loss, and the expected calibration error (15 bins of equal width), of the tables with "
        "classes, beside CatBoost's over the tables and splits that both have. The ratio is the geometric "
        "mean of the log-losses divided by CatBoost's.",
        "",
    )

    def cells(method):
        shared = calibration[[method, REFERENCE]].dropna()
        return {
            "method": method,
            "tables and splits": len(shared),
            "log-loss / CatBoost's": f"{geometric_mean_ratio(losses, method, REFERENCE):.3f}",
            "mean calibration error": f"{shared[method].mean():.4f}",
            "CatBoost's": f"{shared[REFERENCE].mean():.4f}",
        }

    yield from (*table([cells(method) for method in losses if method != REFERENCE]), "")
    ours = [method for method in ("nnfast", "nnfast-trees") if method in losses]
    if ours:
        means = {
            name: frame.groupby(level="table", sort=False).mean()
            for name, frame in (("log-loss", losses), ("calibration error", calibration))
        }
        yield from table(
            [
                {
                    "table": row,
                    **{
                        f"{name}, {method}": number(mean.loc[row, method])
                        for name, mean in means.items()
                        for method in [*ours, REFERENCE]
                    },
                }
                for row in losses.index.unique("table")
            ]
        )
        yield ""


def values_section(scored, errors):
    values = pivot(scored, lambda record: record["value"])
    yield from (
        "## Table by table",
        "",
        "The value of each method's metric on the test rows; the best in bold. Of AUC more is better, of "
        "the others less.",
        "",
    )
    rows = []
    for place in values.index:
        best = errors.loc[place].min() if errors.loc[place].count() > 1 else None
        shown = {method: number(values.loc[place, method]) for method in values}
        cells = {
            method: f"**{text}**" if errors.loc[place, method] == best else text
            for method, text in shown.items()
        }
        rows.append({"table": place[0], "metric": BY_NAME[place[0]].metric, "split": place[1], **cells})
    yield from (*table(rows), "")


def failures_section(records, scored):
    failed = {
        (record["table"], record["split"], label(record)): record["error"]
        for record in records
        if "error" in record
    }
    failed = {place: error for place, error in failed.items() if place not in scored}
    if failed:
        yield from ("## Failures", "")
        yield from table(
            [
                {
                    "method": method,
                    "table": name,
                    "split": split,
                    "error": error.strip().splitlines()[-1].replace("|", "\\|"),
                }
                for (name, split, method), error in failed.items()
            ]
        )
        yield ""


def number(value):
    """Four digits, or whole numbers; nothing for a value that is missing."""
    return "" if np.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}"


def of_costs(records, pictures, threads):
    """Time and memory by rows and by columns, on made-up tables."""
    found = {
        (record["axis"], record["task"], record["rows"], record["columns"], label(record)): record
        for record in of_threads(records, threads)
        if "error" not in record
    }
    if not found:
        return
    methods = list(dict.fromkeys(method for *_, method in found))
    yield from (
        "## Time and memory by size",
        "",
        "Fits of made-up tables of numbers and categories (`bench/tabular_cost.py`), of two classes and of "
        "numbers: seconds, and the peak of memory above what the process had before. "
        f"{several(record['cpu'] for record in found.values())}, "
        f"{several(record['threads'] for record in found.values())} thread(s).",
        "",
    )
    if tabular_figures.costs(found, pictures / "costs.png"):
        yield from ("![Seconds and megabytes of a fit by rows and by columns](_static/tabular/costs.png)", "")
    rows = []
    for axis, task, n_rows, n_columns in sorted(
        {place[:-1] for place in found}, key=lambda place: (place[0] != "rows", place[1:])
    ):
        of_methods = {method: found.get((axis, task, n_rows, n_columns, method)) for method in methods}
        seconds = {
            f"{method}, s": "" if record is None else f"{record['seconds']['fit']:.2f}"
            for method, record in of_methods.items()
        }
        megabytes = {
            f"{method}, MB": "" if record is None else f"{record['peak_megabytes']:,.0f}"
            for method, record in of_methods.items()
        }
        rows.append(
            {
                "varied": axis,
                "task": task,
                "rows": f"{n_rows:,}",
                "columns": n_columns,
                **seconds,
                **megabytes,
            }
        )
    yield from (*table(rows), "")
