"""From results.json to results.md and figures."""

import json
from statistics import median

from bench import figures
from bench.ratios import percent_of_peak, points, ratio, verdicts

TITLES = {
    "training": "Training, five shapes",
    "grid": "Training over a grid",
    "cliffs": "Cliffs",
    "threads": "Threads",
    "rows": "Rows",
    "estimators": "Estimators, end to end",
    "prediction": "Prediction",
    "footprint": "Footprint",
}


def write_report(folder):
    """Write results.md, and the figures if there is matplotlib, beside the results.json of the folder."""
    results = json.loads((folder / "results.json").read_text())
    lines = ["# nnfast and other libraries", ""]
    for part, rows in results["parts"].items():
        lines += [f"## {TITLES[part]}", "", *_conditions(results["runs"][part]), "", *SECTIONS[part](rows), ""]
        lines += [f"![{name}]({name}.png)\n" for name in figures.draw(part, rows, folder)]
    (folder / "results.md").write_text("\n".join(lines))


def table(rows):
    """Lines of a Markdown table of dicts with the same keys."""
    if not rows:
        return ["Nothing was measured."]
    cells = [list(rows[0]), ["---"] * len(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    return ["| " + " | ".join(row) + " |" for row in cells]


def _conditions(run):
    facts = run["facts"]
    versions = ", ".join(f"{name} {facts[name]}" for name in ("nnfast", "python", "numpy", "scikit-learn", "torch", "jax") if facts.get(name))
    yield (f"{facts['cpu']}, {facts['threads']} threads of {facts['cpus']} CPUs, {facts['instruction set']}; {versions}; {facts['date']}; "
           f"{run['rounds']} rounds{', quick' * run['quick']}, {run['minutes']:.1f} minutes.")
    for note in run["notes"]:
        yield f"\nNote: {note}."


def _targets(rows):
    def cell(asked, value):
        return f"{value:.1f}x" + (f" ({asked:g}x)" if asked else "")

    return table([
        {
            "against": verdict["target"].words,
            "least (asked)": f"{cell(verdict['target'].least, verdict['least'])} at {verdict['worst']}",
            "median (asked)": cell(verdict["target"].typical, verdict["median"]),
            "points": verdict["n"],
            "": "met" if verdict["met"] else "**missed**",
        }
        for verdict in verdicts(rows)
    ])


def _training(rows):
    yield "Microseconds a step, median (minimum) of the rounds, of each library's fastest setting; times nnfast's float32."
    yield ""
    for point, groups in points(rows).items():
        yield from (f"### {point}", "")
        yield from table([
            {
                "library": group,
                "setting": row["side"],
                "us a step": f"{median(row['us']):.1f} ({min(row['us']):.1f})",
                "of peak": f"{percent_of_peak(row):.0f} %",
                "times slower": "" if (value := ratio(groups, group, "nnfast float32")) is None else f"{value:.2f}",
                "loss apart": f"{row['difference']:.0e}",
                "BLAS kernel": "/".join(sorted({pool.get("architecture", "") for pool in row["pools"]} - {""})),
            }
            for group, row in groups.items()
        ])
        yield ""
    yield from ("### Targets", "")
    yield from _targets(rows)


SECTIONS = {"training": _training}
