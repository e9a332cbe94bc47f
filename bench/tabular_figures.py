"""The figures of the study of tables.

Each function draws one and returns whether it did: not without matplotlib, or where there is nothing to draw.
"""

from functools import wraps

import numpy as np

COLOURS = {
    "nnfast": "#0b6e4f",
    "nnfast-trees": "#6bbf59",
    "nnfast-fast": "#2a9d8f",
    "nnfast-best": "#264653",
    "catboost": "#edae49",
    "lightgbm": "#30638e",
    "xgboost": "#d1495b",
    "hgb": "#9c6644",
    "linear": "#7a7a7a",
    "trivial": "#b0b0b0",
    "catboost-tabarena": "#ee6c2c",
}
NAMES = {
    "catboost": "CatBoost",
    "lightgbm": "LightGBM",
    "xgboost": "XGBoost",
    "hgb": "HistGradientBoosting",
    "linear": "linear model",
    "catboost-tabarena": "CatBoost, eight folds",
}
LARGEST_RATIO = 1.5  # of errors: beyond it, a point is drawn at the edge


def colour(method):
    return COLOURS[method.partition(" (")[0]]


def name(method):
    return NAMES.get(method, method)


def figure(draw):
    """With matplotlib, call `draw` with it."""

    @wraps(draw)
    def drawn(*arguments):
        try:
            import matplotlib
        except ModuleNotFoundError:
            return False
        matplotlib.use("Agg")
        from matplotlib import pyplot

        return draw(pyplot, *arguments)

    return drawn


def save(pyplot, shape, path):
    shape.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(shape)
    return True


@figure
def ranks_by_seconds(pyplot, ranks, n_rows, seconds, path):
    """A point for each method but the trivial one: its mean rank, and the total seconds of its fits.

    Seconds are of the tables and splits that all these methods have.
    """
    methods = [method for method in ranks.index if method != "trivial" and method in seconds]
    total = seconds[methods].dropna().sum()
    if not n_rows or not total.any():
        return False
    shape, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    labelled = []
    for method in sorted(methods, key=ranks.get):
        is_ours, place = method.startswith("nnfast"), (np.log10(total[method]), ranks[method])
        axes.plot(total[method], ranks[method], "o", color=colour(method), markersize=11 if is_ours else 8)
        crowded = any(abs(place[0] - x) < 0.5 and abs(place[1] - y) < 0.4 for x, y in labelled)
        axes.annotate(
            name(method),
            (total[method], ranks[method]),
            xytext=(9, -14 if crowded else 5),
            textcoords="offset points",
            weight="bold" if is_ours else "normal",
        )
        labelled.append(place)
    axes.set(
        xscale="log",
        xlabel=f"seconds of all fits ({len(seconds[methods].dropna())} tables and splits)",
        ylabel="mean rank (1 is the best)",
    )
    axes.set_title(f"Mean rank of {len(ranks)} methods over {n_rows} tables and splits, and their time")
    axes.invert_yaxis()
    axes.margins(x=0.2, y=0.12)
    axes.grid(alpha=0.3)
    return save(pyplot, shape, path)


@figure
def error_ratios(pyplot, ratios, reference, path):
    """A row for each table, a dot for each method: its error divided by the reference's."""
    if ratios.empty:
        return False
    first = "nnfast" if "nnfast" in ratios else ratios.columns[0]
    methods = [
        method
        for method in ("linear", "hgb", "xgboost", "lightgbm", "catboost-tabarena", "nnfast-trees", "nnfast")
        if method in ratios
    ]
    ratios = ratios.sort_values(first, ascending=False)
    shape, axes = pyplot.subplots(figsize=(8, 1.5 + 0.2 * len(ratios)), layout="constrained")
    for method in methods:
        values, places, is_ours = ratios[method].to_numpy(), np.arange(len(ratios)), method == "nnfast"
        settings = {
            "color": colour(method),
            "markersize": 8 if is_ours else 5,
            "zorder": 3 if is_ours else 2,
            "linestyle": "",
        }
        below, above = values < 1 / LARGEST_RATIO, values > LARGEST_RATIO
        axes.plot(values[~below & ~above], places[~below & ~above], "o", label=name(method), **settings)
        for beyond, edge, marker in ((below, 1 / LARGEST_RATIO, "<"), (above, LARGEST_RATIO, ">")):
            axes.plot(np.full(beyond.sum(), edge), places[beyond], marker, **settings)
    axes.axvline(1, color="black", linewidth=0.8)
    ticks = [0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4]
    axes.set(
        xscale="log",
        xlim=(0.97 / LARGEST_RATIO, 1.03 * LARGEST_RATIO),
        yticks=range(len(ratios)),
        ylim=(-0.7, len(ratios) - 0.3),
    )
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_yticklabels(ratios.index, fontsize=8)
    axes.set_xlabel(
        f"error divided by {name(reference)}'s: left of 1 is better; triangles lie beyond the edge"
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, fontsize=8)
    return save(pyplot, shape, path)


@figure
def costs(pyplot, records, path):
    """Seconds and megabytes of a fit, by rows and by columns: lines for classes, dashes for numbers."""
    panels, grid = pyplot.subplots(2, 2, figsize=(9, 6.5), layout="constrained", sharey="row", sharex="col")
    quantities = {
        "seconds": lambda record: record["seconds"]["fit"],
        "MB": lambda record: record["peak_megabytes"],
    }
    for row, (what, quantity) in zip(grid, quantities.items(), strict=True):
        for axes, axis in zip(row, ("rows", "columns"), strict=True):
            for task, style in (("classification", "o-"), ("regression", "o--")):
                for method in dict.fromkeys(place[-1] for place in records):
                    line = sorted(
                        (record[axis], quantity(record))
                        for place, record in records.items()
                        if place[:2] == (axis, task) and place[-1] == method
                    )
                    if line:
                        axes.plot(
                            *zip(*line, strict=True),
                            style,
                            color=colour(method),
                            markersize=3,
                            label=f"{name(method)}, {task}",
                        )
            axes.set(xscale="log", yscale="log")
            axes.grid(alpha=0.3)
        row[0].set_ylabel(what)
    for axes, axis, other in zip(grid[1], ("rows", "columns"), ("columns", "rows"), strict=True):
        fixed = {record[other] for place, record in records.items() if place[0] == axis}
        axes.set_xlabel(f"{axis} (at {', '.join(f'{n:,}' for n in sorted(fixed))} {other})")
    lines, labels = grid[0, 0].get_legend_handles_labels()
    panels.legend(lines, labels, loc="outside upper center", ncols=3, fontsize=8)
    return save(pyplot, panels, path)
