"""The figures of a run's results, drawn from the rows of results.json: `draw` knows which part has which."""

from statistics import median

from bench.ratios import percent_of_peak, points, ratio

COLOURS = {
    "nnfast float32": "#0b6e4f", "nnfast float64": "#6bbf59", "scikit-learn float64": "#d1495b", "scikit-learn float32": "#edae49",
    "PyTorch": "#ee6c2c", "torch.compile": "#9c6644", "JAX": "#30638e",
}


def draw(part, rows, folder):
    """Write the part's figures as PNG; their names. None without matplotlib."""
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
    groups = [group for group in COLOURS if group != "nnfast float32" and any(group in each for each in found.values())]
    for number, group in enumerate(groups):
        values = [ratio(each, group, "nnfast float32") or 0 for each in found.values()]
        places = [place + (number - (len(groups) - 1) / 2) * 0.8 / len(groups) for place in range(len(found))]
        bars = axes.bar(places, values, 0.8 / len(groups), label=group, color=COLOURS[group])
        axes.bar_label(bars, [f"{value:.1f}" if value else "" for value in values], fontsize=6)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(yscale="log", ylabel="times the time of nnfast float32", xticks=range(len(found)), title="Training: time of a step relative to nnfast's")
    axes.set_xticklabels(found, fontsize=7)
    axes.legend(fontsize=7)
    return bool(groups)


def _along(axis, value, quantity, **settings):
    """A plot of one quantity over one axis of the grid: a line a group, through the points that differ in that axis alone."""

    def plot(axes, rows):
        rows = [row for row in rows if row.get("axis") == axis]
        for group, colour in COLOURS.items():
            line = {value(each[group]["shape"]): quantity(each[group]) for each in points(rows).values() if group in each}
            if line:
                axes.plot(*zip(*sorted(line.items())), "o-", label=group, color=colour, markersize=3)
        axes.set(xscale="log", **settings)
        axes.legend(fontsize=7)
        return bool(rows)

    return plot


def _us(row):
    return median(row["us"])


FIGURES = {
    "training": {"speed_up_by_shape": speed_up_by_shape},
    "grid": {
        "percent_of_peak_by_width": _along(
            "width", lambda shape: shape["hidden"][0], percent_of_peak, xlabel="units of each of two hidden layers",
            ylabel="percent of the measured FMA peak", title="Training: percent of peak by width"),
        "step_by_batch_size": _along(
            "batch", lambda shape: shape["batch_size"], _us, yscale="log", xlabel="rows of a batch", ylabel="microseconds a step",
            title="Training: a step by batch size"),
    },
    "threads": {
        "scaling_by_threads": None,
    },
    "rows": {
        "fit_time_by_rows": None,
    },
}
FIGURES = {part: {name: plot for name, plot in plots.items() if plot} for part, plots in FIGURES.items()}
