"""From results.json to results.md and figures."""

import json
from statistics import median

from bench import figures
from bench.cliff_rules import judge
from bench.ratios import SEARCH, percent_of_peak, points, ratio, verdicts
from bench.session import DISTURBED


def write_report(folder):
    """Write results.md, and the figures if there is matplotlib, beside the results.json of the folder."""
    results = json.loads((folder / "results.json").read_text())
    lines = ["# nnfast and other libraries", ""]
    for part, (title, section) in SECTIONS.items():
        if part in results["parts"]:
            rows = results["parts"][part]
            lines += [f"## {title}", "", *_conditions(results["runs"][part], rows), "", *section(rows), ""]
            lines += [f"![{name}]({name}.png)\n" for name in figures.draw(part, rows, folder)]
    (folder / "results.md").write_text("\n".join(lines))


def table(rows):
    """Lines of a Markdown table of dicts with the same keys."""
    if not rows:
        return ["Nothing to tell."]
    cells = [list(rows[0]), ["---"] * len(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    return ["| " + " | ".join(row) + " |" for row in cells]


def rounds_taken(rows):
    """In words, how many samples the rows have: parts and slow sides may take fewer than were asked for."""
    counts = {len(row["us" if "us" in row else "import_seconds"]) for row in rows} or {0}
    least, most = min(counts), max(counts)
    return f"{f'{least} to ' * (least < most)}{most} round{'s' * (most != 1)}"


def _conditions(run, rows):
    facts = run["facts"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version)
    yield (
        f"{facts['cpu']}, {facts['threads']} threads of {facts['cpus']} CPUs, {facts['instruction set']}; "
        f"{versions}; {facts['date']}; {rounds_taken(rows)}{', quick' * run['quick']}, {run['minutes']:.1f} "
        "minutes."
    )
    shares = [share for row in rows for share in row.get("company", ())]
    if disturbed := sum(share > DISTURBED for share in shares):
        yield (
            f"\n**{disturbed} of {len(shares)} samples were disturbed:** other processes took more than"
            f" {DISTURBED:.0%} of the CPUs."
        )
    for note in run["notes"]:
        yield f"\nNote: {note}."
    for failure in run.get("failures", ()):
        yield f"\n**Failed:** {failure}."
    for error in run["unequal"]:
        yield f"\n**Not the same work:** {error}."


def _targets(rows):
    def cell(asked, value):
        return f"{value:.1f}x" + (f" ({asked:g}x)" if asked else "")

    return table(
        [
            {
                "against": verdict["target"].words,
                "least (asked)": f"{cell(verdict['target'].least, verdict['least'])} at {verdict['worst']}",
                "median (asked)": cell(verdict["target"].typical, verdict["median"]),
                "points": verdict["n"],
                "": "met" if verdict["met"] else "**missed**",
            }
            for verdict in verdicts(rows)
        ]
    )


def _times(value):
    return "" if value is None else f"{value:.2f}"


def _median_and_least(samples, digits):
    return f"{median(samples):.{digits}f} ({min(samples):.{digits}f})"


def _blas_kernels(row):
    return "/".join(sorted({pool.get("architecture", "") for pool in row["pools"]} - {""}))


def _training(rows):
    yield (
        "Microseconds a step, median (least) of the rounds, of each library's fastest setting, and how many"
        " times nnfast's in float32 "
    )
    yield "that is, the median of the rounds' ratios."
    yield ""
    for point, groups in points(rows).items():
        yield from (f"### {point}", "")
        yield from table(
            [
                {
                    "library": group,
                    "setting": row["side"],
                    "us a step": _median_and_least(row["us"], 1),
                    "of peak": f"{percent_of_peak(row):.0f} %",
                    "times nnfast": _times(ratio(groups, group, "nnfast float32")),
                    "loss apart": "**too far**" if row["difference"] is None else f"{row['difference']:.0e}",
                    # The frameworks bring their own kernels, and NumPy's beside them.
                    "BLAS kernel": _blas_kernels(row) if "scikit-learn" in group else "",
                }
                for group, row in groups.items()
            ]
        )
        yield ""
    yield from ("### Targets", "", *_targets(rows))


def _grid(rows):
    yield "Median microseconds a step; of the others how many times nnfast's in float32 that is "
    yield "(scikit-learn float64 against nnfast float64 in brackets)."
    yield ""
    found = []
    for point, groups in points(rows).items():
        default = ratio(groups, "scikit-learn float64", "nnfast float64")
        ours = f"{median(groups['nnfast float32']['us']):.1f}" if "nnfast float32" in groups else ""
        cells = {"net, batch": point, "nnfast float32, us": ours}
        for group in ("nnfast float64", "scikit-learn float64", "scikit-learn float32", "PyTorch", "JAX"):
            cells[group] = _times(ratio(groups, group, "nnfast float32"))
        cells["scikit-learn float64"] += f" ({default:.2f})" if default else ""
        found.append(cells)
    yield from (*table(found), "", "### Targets", "", *_targets(rows))


def _cliffs(rows):
    judged = judge(rows)
    cliffs = [row for row in judged if row["flags"]]
    steep, grain = (
        sum("multiple" in row["flags"] for row in judged),
        sum(row["flags"] == ["neighbours"] for row in judged),
    )
    yield (
        f"{len(judged)} points; {steep} take over 10 % longer than a larger multiple of a vector (cliffs), "
        f"{grain} others are more than 25 % under their neighbours' percent of peak "
        "(the grain of vectors: padding would not be faster)."
    )
    yield ""
    yield from table(
        [
            {
                "size": f"{row['axis']} {row['value']}",
                "dtype": row["dtype"],
                "threads": row["threads"],
                "us a step": f"{min(row['us']):.1f}",
                "percent of peak": f"{row['percent']:.1f}",
                "of its neighbours'": _times(row["of_neighbours"]),
                "time of a larger multiple's": _times(row["of_multiple"]),
                "flags": ", ".join(row["flags"]),
            }
            for row in cliffs
        ]
    )


def _threads(rows):
    return table(
        [
            {
                "net, batch": row["point"],
                "library": row["group"],
                "threads": row["threads"],
                "us a step": _median_and_least(row["us"], 1),
            }
            for row in rows
        ]
    )


def _rows(rows):
    return table(
        [
            {
                "rows": f"{row['rows']:,}",
                "library": row["side"],
                "seconds of five epochs": _median_and_least(row["seconds"], 3),
            }
            for row in rows
        ]
    )


def _estimators(rows):
    yield (
        "Median (least) seconds, and how many times faster than scikit-learn. A first search with two jobs"
        " starts their processes, "
    )
    yield "a second has them."
    yield ""
    found = []
    for point, sides in points(rows).items():
        for name, row in sides.items():
            cells = {
                "task": point,
                "library": name,
                "seconds": _median_and_least(row["seconds"], 3),
                "score": f"{row['score']:.4f}",
            }
            times = ratio(sides, "scikit-learn float64", name)
            cells["times faster than scikit-learn"] = _times(times)
            if times is not None and point.startswith("GridSearchCV") and name.startswith("nnfast"):
                cells["times faster than scikit-learn"] += (
                    f" ({SEARCH}x: {'met' if times >= SEARCH else '**missed**'})"
                )
            found.append(cells)
    yield from table(found)


def _prediction(rows):
    return table(
        [
            {
                "net, rows": point,
                "library": group,
                "setting": row["side"],
                "us a call": _median_and_least(row["us"], 1),
                "of peak": f"{percent_of_peak(row):.1f} %",
                "times nnfast": _times(ratio(groups, group, "nnfast float32")),
            }
            for point, groups in points(rows).items()
            for group, row in groups.items()
        ]
    )


def _footprint(rows):
    def megabytes(value):
        return "" if value is None else f"{value:,.1f}"

    return table(
        [
            {
                "library": row["library"],
                "import, s": _median_and_least(row["import_seconds"], 2),
                "installed, MB": megabytes(row["megabytes"]),
                "with what it requires, MB": megabytes(row["with_dependencies"]),
                "more memory while shape l trains, MB": megabytes(row["training_megabytes"]),
            }
            for row in rows
        ]
    )


# In the order of the report.
SECTIONS = {
    "training": ("Training, five shapes", _training),
    "grid": ("Training over a grid", _grid),
    "cliffs": ("Sizes that are no multiple of a vector", _cliffs),
    "threads": ("Threads", _threads),
    "rows": ("Rows", _rows),
    "estimators": ("Estimators, end to end", _estimators),
    "prediction": ("Prediction", _prediction),
    "footprint": ("Footprint", _footprint),
}
