"""The figures of a run's results, drawn from the rows of results.json: `draw` knows which part has which."""

from statistics import median

from bench.cliff_rules import judge, lines
from bench.ratios import percent_of_peak, points, ratio

# Of a group of sides; who is not here is in no figure.
COLOURS = {
    "nnfast float32": "#0b6e4f",
    "nnfast float64": "#6bbf59",
    "scikit-learn float64": "#d1495b",
    "scikit-learn float32": "#edae49",
    "PyTorch": "#ee6c2c",
    "torch.compile": "#9c6644",
    "JAX": "#30638e",
}


def draw(part, rows, folder):
    """Write the part's figures as PNG, and return their names: none without matplotlib, or where there is
    nothing to draw.
    """
    if not rows:
        return []
    try:
        import matplotlib
    except ModuleNotFoundError:
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = []
    for name, plot in FIGURES.get(part, {}).items():
        figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
        if plot(axes, rows):
            figure.savefig(folder / f"{name}.png", dpi=120)
            names.append(name)
        pyplot.close(figure)
    return names


def speed_up_by_shape(axes, rows):
    """Bars: how many times longer each library takes than nnfast in float32."""
    found = points(rows)
    ours = "nnfast float32"
    groups = [
        group
        for group in COLOURS
        if group != ours and any({group, ours} <= each.keys() for each in found.values())
    ]
    if not groups:
        return False
    for number, group in enumerate(groups):
        values = [ratio(each, group, ours) or 0 for each in found.values()]
        places = [place + (number - (len(groups) - 1) / 2) * 0.8 / len(groups) for place in range(len(found))]
        bars = axes.bar(places, values, 0.8 / len(groups), label=group, color=COLOURS[group])
        axes.bar_label(bars, [f"{value:.1f}" if value else "" for value in values], fontsize=6)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(
        yscale="log",
        ylabel="times the time of nnfast float32",
        xticks=range(len(found)),
        title="Training: time of a step relative to nnfast's",
    )
    axes.set_xticklabels(found, fontsize=7)
    axes.legend(fontsize=7)
    return True


def _along(axis, value, quantity, **settings):
    """A plot of one quantity over one axis of the grid: a line a group, through the points that differ in
    that axis alone.
    """

    def plot(axes, rows):
        rows = [row for row in rows if row["axis"] == axis and row["centre"] == 1]
        if not rows:
            return False
        for group, colour in COLOURS.items():
            line = {
                value(each[group]["shape"]): quantity(each[group])
                for each in points(rows).values()
                if group in each
            }
            if line:
                axes.plot(*zip(*sorted(line.items())), "o-", label=group, color=colour, markersize=3)
        axes.set(xscale="log", **settings)
        axes.legend(fontsize=7)
        return True

    return plot


def _us(row):
    return median(row["us"])


def scaling_by_threads(axes, rows):
    """Times faster than with one thread, of nnfast and the others, on the largest net."""
    last = rows[-1]["point"]
    for group, colour in COLOURS.items():
        line = {row["threads"]: _us(row) for row in rows if row["group"] == group and row["point"] == last}
        if 1 in line:
            axes.plot(
                sorted(line),
                [line[1] / line[threads] for threads in sorted(line)],
                "o-",
                label=group,
                color=colour,
            )
    counts = sorted({row["threads"] for row in rows})
    axes.plot(counts, counts, ":", color="grey", label="in proportion")
    axes.set(
        xlabel="threads",
        xticks=counts,
        ylabel="times faster than with one thread",
        title=f"Training: scaling by threads, {last}",
    )
    axes.legend(fontsize=7)
    return True


def fit_time_by_rows(axes, rows):
    """Seconds of a fit of five epochs."""
    for group, colour in COLOURS.items():
        line = {
            found[group]["rows"]: median(found[group]["seconds"])
            for found in points(rows).values()
            if group in found
        }
        if line:
            axes.plot(*zip(*sorted(line.items())), "o-", label=group, color=colour, markersize=3)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="rows",
        ylabel="seconds",
        title="A fit of five epochs by rows, shape m",
    )
    axes.legend(fontsize=7)
    return True


def _cliffs(axis):
    def plot(axes, rows):
        judged = judge([row for row in rows if row["axis"] == axis])
        if not judged:
            return False
        for (_, dtype, threads), line in lines(judged).items():
            # Of a machine that changes its speed, the best times beside the best peak.
            peak = max(max(row["peak"]) for row in line)
            percent = {row["value"]: 100 * row["flops"] / min(row["us"]) / 1e3 / peak for row in line}
            axes.plot(
                percent.keys(),
                percent.values(),
                ".-",
                label=f"{dtype}, {threads} thread{'s' * (threads > 1)}",
                linewidth=0.8,
                markersize=3,
            )
            flagged = [row["value"] for row in line if "multiple" in row["flags"]]
            axes.plot(flagged, [percent[value] for value in flagged], "x", color="red")
        axes.set(
            xlabel=axis,
            ylabel="percent of the measured FMA peak",
            title=f"Useful arithmetic by {axis} (red: padding would be faster)",
        )
        axes.legend(fontsize=7)
        return True

    return plot


FIGURES = {
    "training": {"speed_up_by_shape": speed_up_by_shape},
    "grid": {
        "percent_of_peak_by_width": _along(
            "width",
            lambda shape: shape["hidden"][0],
            percent_of_peak,
            xlabel="units of each of two hidden layers",
            ylabel="percent of the measured FMA peak",
            title="Training: percent of peak by width",
        ),
        "step_by_batch_size": _along(
            "batch",
            lambda shape: shape["batch_size"],
            _us,
            yscale="log",
            xlabel="rows of a batch",
            ylabel="microseconds a step",
            title="Training: a step by batch size",
        ),
    },
    "cliffs": {f"cliffs_{axis}": _cliffs(axis) for axis in ("width", "batch", "features", "classes")},
    "threads": {"scaling_by_threads": scaling_by_threads},
    "rows": {"fit_time_by_rows": fit_time_by_rows},
}
