"""How the trials of a search are drawn; `plots` and `report` say what."""

import re
import textwrap
from itertools import pairwise

import numpy as np

from nnfast.tuning.fits import FAILURES
from nnfast.tuning.texts import text
from nnfast.tuning.trials import count_statuses, worth_a_scale

# What was stopped or has no score; readable on white and on black, as are the colours of the scores.
GREY = "#8c8c8c"
_WORST_TO_BEST = ("#7a93b8", "#7d6fc4", "#b8519c", "#e0593f", "#f08a1d")
# Beyond so many points, lines become pixels in vector files.
_MOST_POINTS = 20_000
# How far the trials of one choice are spread, as a share of the distance between choices.
_SPREAD = 0.6

# How many characters of tick labels have room below a panel.
_CHARACTERS = 34


def colors():
    """The colours of scores, from the worst to the best."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("nnfast_scores", _WORST_TO_BEST)


def _color_of(trials):
    """A function from scores to colours."""
    from matplotlib.colors import Normalize

    low, high = trials.limits or (0.0, 1.0)
    norm, cmap = Normalize(low, high if high > low else low + 1, clip=True), colors()
    return lambda score: cmap(norm(score) if high > low else 1.0)


def _groups(trials):
    """Trials by how they are drawn: those to be grey; the complete ones, the better the later."""
    complete = np.flatnonzero(trials.complete)
    return np.flatnonzero(~trials.complete), complete[np.argsort(trials.scores[complete], kind="stable")]


def shortened(name, at_most=24):
    """A long text without its middle."""
    return name if len(name) <= at_most else f"{name[: at_most // 2]}…{name[-(at_most // 2 - 1) :]}"


def wrapped(name, at_most):
    """A long name on several lines, broken at spaces and after underscores where it can be."""
    lines = [""]
    for part in re.findall(r"\s*[^\s_.]*[_.]?", name):
        if lines[-1] and len(lines[-1] + part) > at_most:
            lines.append("")
            part = part.lstrip()
        lines[-1] += part
    return "\n".join(piece for line in lines for piece in textwrap.wrap(line, max(at_most, 4)))


def legend(where, trials, marker=False, **options):
    """Of axes or a figure: the best, the complete and the other trials, with their numbers."""
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    handles, color, ink = [], _color_of(trials), plt.rcParams["axes.edgecolor"]
    if trials.best is not None:
        look = {"marker": "*", "ls": "", "ms": 10, "mec": ink, "mew": 0.6} if marker else {"lw": 3}
        label = f"best: {text(trials.scores[trials.best])}"
        handles.append(Line2D([], [], color=color(trials.scores[trials.best]), label=label, **look))
    for name, count in count_statuses(trials.status):
        complete = name == "complete"
        shade = color(np.mean(trials.limits)) if complete and trials.limits else GREY
        symbol = "o" if complete else "x" if name in FAILURES else "."
        look = {"marker": symbol, "ls": "", "ms": 5} if marker else {"lw": 1.4 if complete else 0.7}
        handles.append(Line2D([], [], color=shade, label=f"{count} {name}", **look))
    return where.legend(handles=handles, frameon=False, fontsize="small", ncols=4, **options)


# ---- parallel coordinates
# ------------------------------------------------------------------------------------------


def width_of_parallel_coordinates(trials):
    """Inches that leave room for names and ticks."""
    return max(6.4, 1.5 + 1.15 * (len(trials.columns) + 1))


def parallel_coordinates(ax, trials):
    """A line a trial, from axis to axis of its values, to its score."""
    from matplotlib.collections import LineCollection

    n = len(trials.columns)
    score_at, score_ticks = _score_axis(trials)
    y = np.column_stack([*(column.positions for column in trials.columns), score_at])
    rest, complete = _groups(trials)
    color = _color_of(trials)
    x = np.arange(n + 1)
    rasterized = y.size > _MOST_POINTS
    lines = [np.column_stack([x, row]) for row in y]
    few = len(complete) <= 60
    ax.add_collection(
        LineCollection(
            [lines[i] for i in rest], colors=GREY, linewidths=0.6, alpha=0.45, zorder=1, rasterized=rasterized
        )
    )
    ax.add_collection(
        LineCollection(
            [lines[i] for i in complete],
            colors=[color(trials.scores[i]) for i in complete],
            linewidths=1.3 if few else 0.9,
            alpha=0.85 if few else 0.6,
            zorder=2,
            rasterized=rasterized,
        )
    )
    if trials.best is not None:
        ax.plot(
            x, y[trials.best], color=color(trials.scores[trials.best]), lw=3, zorder=4, solid_capstyle="round"
        )
    _rulers(ax, trials, score_ticks)
    return ax


def _score_axis(trials):
    """Where every score is on the last axis, and the ticks of that."""
    from matplotlib.ticker import MaxNLocator

    if trials.limits is None:
        return np.full(len(trials), np.nan), ([], [])
    (low, high), scores = trials.limits, trials.last_scores
    if low == high:
        return np.where(np.isfinite(scores), 0.5, np.nan), ([0.5], [text(low)])
    at = np.clip((scores - low) / (high - low), 0, 1)
    values = MaxNLocator(5).tick_values(low, high)
    values = values[(values >= low) & (values <= high)]
    ticks, labels = (
        [(value - low) / (high - low) for value in values],
        [text(round(value, 12)) for value in values],
    )
    if np.nanmin(scores) < low:
        kept = [(t, label) for t, label in zip(ticks, labels, strict=True) if t > 0.06]
        ticks, labels = [0.0, *(t for t, _ in kept)], [f"≤ {text(low)}", *(label for _, label in kept)]
    return at, (ticks, labels)


def _rulers(ax, trials, score_ticks):
    """The vertical axes with their ticks and names."""
    from matplotlib import pyplot as plt

    n = len(trials.columns)
    ink = plt.rcParams["axes.edgecolor"]
    behind = {
        "facecolor": plt.rcParams["axes.facecolor"],
        "alpha": 0.75,
        "edgecolor": "none",
        "boxstyle": "round,pad=0.08",
    }
    inches = ax.get_position().width * ax.figure.get_figwidth()
    size = 8 if n > 8 else 9
    room = int(inches / (n + 1) * 72 / (0.62 * size))  # characters between two axes
    ax.vlines(np.arange(n), 0, 1, color=ink, lw=0.9, zorder=5)
    _score_ruler(ax, n)
    rulers = [column.ticks() for column in trials.columns] + [score_ticks]
    for at, (ticks, labels) in enumerate(rulers):
        side = 1 if at == n else -1
        ax.hlines(ticks, at, at + side * 0.035, color=ink, lw=0.9, zorder=5)
        for tick, label in zip(ticks, labels, strict=True):
            ax.text(
                at + side * 0.055,
                tick,
                shortened(label, max(room, 12)),
                ha="left" if at == n else "right",
                va="center",
                fontsize=size,
                color=plt.rcParams["ytick.color"],
                bbox=behind,
                zorder=6,
                parse_math=False,
            )
    ax.set_xticks(
        np.arange(n + 1),
        [wrapped(name, room) for name in [*trials.short_names(), trials.metric]],
        parse_math=False,
    )
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", length=0, pad=6, labelsize=size + 0.5)
    ax.get_xticklabels()[n].set_fontweight("bold")
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set(xlim=(-0.65, n + 0.5), ylim=(-0.04, 1.04))
    legend(ax, trials, loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=0.3)


def _score_ruler(ax, at):
    """The last axis, in the colours of the scores."""
    from matplotlib.collections import LineCollection

    ends = np.linspace(0, 1, 41)
    # each goes on under the next: edges that only met would show
    parts = [[(at, low), (at, min(high + 0.01, 1))] for low, high in zip(ends[:-1], ends[1:], strict=True)]
    ax.add_collection(
        LineCollection(parts, colors=colors()((ends[:-1] + ends[1:]) / 2), linewidths=5, zorder=5)
    )


# ---- the others
# ----------------------------------------------------------------------------------------------------


def importance(ax, shares, trials):
    """A bar a parameter, the most important on top."""
    short = dict(zip((column.name for column in trials.columns), trials.short_names(), strict=True))
    names, values = [short[name] for name in shares], np.array(list(shares.values()))
    y = np.arange(len(names))
    bars = ax.barh(y, values, color=colors()(0.35 + 0.65 * values / max(values.max(), 1e-12)), height=0.62)
    ax.bar_label(bars, [f"{100 * value:.1f} %" for value in values], padding=4, fontsize="small")
    ax.set_yticks(y, [shortened(name, 34) for name in names], parse_math=False)
    ax.set(xlim=(0, max(1.18 * values.max(), 0.01)), ylim=(len(names) - 0.45, -0.55))
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
    ax.set_xlabel(f"share of the variance of {trials.metric}", parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def one_slice(ax, trials, column, name):
    """Scores over one axis of the search; what has no score is marked at the bottom."""
    rest, complete = _groups(trials)
    low, high = trials.limits or (0.0, 1.0)
    margin = 0.06 * (high - low) if high > low else 0.05 * max(abs(high), 0.1)
    bottom = low - 2 * margin
    scores = trials.last_scores
    x, scored = spread(column, scores), np.isfinite(scores)
    y = np.where(scored, scores, bottom)
    color = _color_of(trials)
    below = y < low - margin
    stopped = rest[scored[rest] & ~below[rest]]
    lost = rest[~scored[rest]]
    size = 22 if len(trials) <= 100 else 12
    ax.scatter(x[stopped], y[stopped], s=0.5 * size, color=GREY, alpha=0.7, lw=0, zorder=1)
    ax.scatter(x[lost], y[lost], s=size, color=GREY, marker="x", lw=0.9, zorder=1)
    inside, outside = complete[~below[complete]], np.flatnonzero(below & scored)
    ax.scatter(
        x[inside],
        y[inside],
        s=size,
        color=[color(trials.scores[i]) for i in inside],
        alpha=0.8,
        lw=0,
        zorder=2,
    )
    ax.scatter(
        x[outside], np.full(len(outside), low - margin), s=size, color=GREY, marker="v", lw=0, zorder=2
    )
    if trials.best is not None:
        ax.scatter(
            x[trials.best],
            y[trials.best],
            s=110,
            marker="*",
            color=color(trials.scores[trials.best]),
            edgecolors=ax.xaxis.label.get_color(),
            linewidths=0.7,
            zorder=4,
        )
    lowest = bottom - margin if len(lost) else low - 2 * margin if len(outside) else low - margin
    ax.set(xlim=(-0.06, 1.06), ylim=(lowest, high + 1.5 * margin))
    _slice_ticks(ax, column)
    ax.set_xlabel(wrapped(name, 30), parse_math=False)
    if trials.limits is None:
        ax.set_yticks([])
    ax.grid(alpha=0.25, lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _slice_ticks(ax, column):
    ticks, labels = column.ticks(5)
    labels = [shortened(label, 14) for label in labels]
    pairs = zip(pairwise(ticks), pairwise(labels), strict=True)
    tilted = any((len(a) + len(b)) / 2 + 1 > abs(end - start) * _CHARACTERS for (start, end), (a, b) in pairs)
    look = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if tilted else {}
    ax.set_xticks(ticks, labels, parse_math=False, **look)


def spread(column, scores):
    """The column's positions; trials of one choice side by side, by their scores."""
    x = column.positions.copy()
    if column.n_choices < 2:
        return x
    width = _SPREAD / column.n_choices
    for at in np.unique(x[np.isfinite(x)]):
        same = np.flatnonzero(column.positions == at)
        # a low-discrepancy order: neighbours in score are apart, and few trials fill the width as well as
        # many
        ranks = np.argsort(np.argsort(scores[same], kind="stable"))
        x[same] = at + width * ((0.5 + ranks * 0.6180339887498949) % 1 - 0.5) * min(1, len(same) / 8)
    return x


def learning_curves(axes, trials, kinds):
    """A line a trial in each of `axes`: of the loss, or of the score, by epoch."""
    from matplotlib.ticker import MaxNLocator

    rest, complete = _groups(trials)
    color = _color_of(trials)
    drawn = [i for i in [*rest, *complete] if i != trials.best] + (
        [] if trials.best is None else [trials.best]
    )
    for ax, kind in zip(axes, kinds, strict=True):
        rasterized = sum(len(trials.curves[i][kind]) for i in drawn) > _MOST_POINTS
        for i in drawn:
            y = np.asarray(trials.curves[i][kind], dtype=float)
            x = np.arange(1, len(y) + 1) if kind == "loss" else np.asarray(trials.curves[i]["score_epochs"])
            if not len(y):
                continue
            complete_one = trials.complete[i]
            look = {"color": color(trials.scores[i]), "lw": 1.1, "alpha": 0.75} if complete_one else _STOPPED
            if i == trials.best:
                look = {"color": color(trials.scores[i]), "lw": 2.8, "zorder": 4}
            ends = (
                {}
                if complete_one or i == trials.best
                else {"marker": _END.get(trials.status[i], "."), "markevery": [-1]}
            )
            if len(y) == 1:
                ends = {"marker": "o", "ms": 6 if i == trials.best else 3}
            ax.plot(x, y, **(look | ends | {"rasterized": rasterized and i != trials.best}))
        _curve_limits(ax, trials, kind)
        ax.set_xlabel(trials.unit, parse_math=False)
        ax.set_ylabel(
            "training loss" if kind == "loss" else f"{trials.metric} (validation)", parse_math=False
        )
        ax.grid(alpha=0.25, lw=0.6)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.spines[["top", "right"]].set_visible(False)
    return axes


_STOPPED = {"color": GREY, "lw": 0.7, "alpha": 0.6, "ms": 4, "zorder": 1}
_END = dict.fromkeys(FAILURES, "x")


def _curve_limits(ax, trials, kind):
    """The range of the trials that count; logarithmic if their losses are over more than two orders of
    magnitude.
    """
    which = np.flatnonzero(trials.complete) if trials.complete.any() else range(len(trials))
    parts = [np.asarray(trials.curves[i][kind], dtype=float) for i in which]
    values = np.concatenate([*parts, np.empty(0)])
    values = values[np.isfinite(values)]
    if not len(values):
        return
    if kind == "loss":
        high, low = (-end for end in worth_a_scale(-values))
    else:
        low, high = worth_a_scale(values)
    if kind == "loss" and low > 0 and high > 100 * low:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.3, high * 1.3)
    else:
        margin = 0.05 * (high - low) or 0.5
        ax.set_ylim(low - margin, high + margin)
