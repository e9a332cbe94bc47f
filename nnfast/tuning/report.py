"""A fitted search as one self-contained HTML page: the best, the figures, and a sortable table of
the trials.
"""

import html
import io
import itertools
import os
import re
import warnings
from pathlib import Path

import numpy as np

import nnfast
from nnfast import plotting
from nnfast.callbacks.files import replacing
from nnfast.tuning import drawing
from nnfast.tuning import importance as analysis
from nnfast.tuning.page import PAGE
from nnfast.tuning.plots import kinds_of_curves
from nnfast.tuning.texts import plain, text, without_steps
from nnfast.tuning.trials import count_statuses, metrics, read

__all__ = ["report"]

# Colours of the figures that the page replaces by those of its light or dark mode: text and lines, and what
# is behind.
_INK, _PAPER = "#010203", "#fdfeff"
# What a trial does not have.
_ABSENT = object()
# More panels of slices make the page long and add little.
_MOST_SLICES = 24

_LOOK = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 10,
    "text.usetex": False,
    "axes.facecolor": _PAPER,
    "grid.color": drawing.GREY,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    **{f"{name}.color": _INK for name in ("text", "xtick", "ytick")},
    **{f"axes.{name}": _INK for name in ("edgecolor", "labelcolor", "titlecolor")},
}


def report(search, path, *, metric=None):
    """Write a fitted search as one HTML page that needs no network and no other file.

    It has the best score and parameters, ready to be copied as Python code, the figures of
    `nnfast.tuning.plots` and a table of all trials that a click on a column's head sorts. Without Optuna the
    importances are left out. The file is written beside its place and then renamed: there is always a whole
    one.

    Parameters
    ----------
    search : fitted search of nnfast.tuning or scikit-learn
    path : str or Path
        Where to; a file that is there is replaced.
    metric : str, optional
        What the figures show of a search with several metrics; by default the one that it refits by.

    Raises
    ------
    ImportError
        Without matplotlib.
    FileNotFoundError, IsADirectoryError
        If there is no folder to write to, or if `path` is one.
    NotFittedError, TypeError, ValueError
        As `plot_parallel_coordinates`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from nnfast.tuning.report import report
    >>> X, y = make_classification(random_state=0)
    >>> search = GridSearchCV(LogisticRegression(), {"C": [1e-4, 1e-2, 1, 100]}).fit(X, y)
    >>> with TemporaryDirectory() as folder:
    ...     report(search, Path(folder) / "search.html")
    ...     print((Path(folder) / "search.html").read_text(encoding="utf-8")[:15])
    <!doctype html>
    """
    path = _checked(path)
    text = page(search, metric)
    with replacing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def page(search, metric=None):
    """The page of `report`, a str."""
    trials = read(search, metric)
    title = f"{type(search).__name__} of {_estimator_name(search.estimator)}"
    return PAGE.substitute(
        title=html.escape(title),
        facts=_facts(search, trials),
        best=_best(search, trials),
        figures="\n".join(_figures(trials)),
        count=len(trials),
        table=_table(search, trials),
        version=html.escape(nnfast.__version__),
    )


# ---- the file
# ------------------------------------------------------------------------------------------------------


def _checked(path):
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or a Path to an HTML file, got {path!r}.")
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"path must be that of a file, got the folder {str(path)!r}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path must be in a folder that is there, got {str(path)!r}.")
    return path


# ---- the top
# -------------------------------------------------------------------------------------------------------


def _estimator_name(estimator):
    steps = getattr(estimator, "steps", None)
    return " + ".join(type(step).__name__ for _, step in steps) if steps else type(estimator).__name__


def _facts(search, trials):
    counted = ", ".join(f"{n} {name}" for name, n in count_statuses(trials.status))
    facts = [("Trials", f"{len(trials)} ({counted})"), *_seconds(search)]
    if getattr(search, "n_splits_", None):
        facts.append(("Folds", str(search.n_splits_)))
    if trials.best is not None:
        score = text(trials.scores[trials.best])
        spread = search.cv_results_.get(f"std_test_{trials.key}")
        if spread is not None and np.isfinite(spread[trials.best]):
            score += f" ± {spread[trials.best]:.2g}"
        facts.insert(0, (f"Best {trials.metric}", score))
    return "\n".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts
    )


def _seconds(search):
    """What is known of the time: [(name, value)]."""
    results = search.cv_results_
    if "ended" in results:
        ended = np.asarray(results["ended"], dtype=float)
        return [("Time", _duration(np.nanmax(ended)))] if np.isfinite(ended).any() else []
    if "mean_fit_time" not in results:
        return []
    seconds = np.nansum(results["mean_fit_time"]) + np.nansum(results["mean_score_time"])
    return [("Time of all fits", _duration(seconds * getattr(search, "n_splits_", 1)))]


def _duration(seconds):
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _best(search, trials):
    if trials.best is None:
        return "<p>No trial has a score.</p>"
    params = search.cv_results_["params"][trials.best]
    lines = [f"    {name!r}: {plain(value)!r}," for name, value in params.items()]
    code = html.escape("\n".join(["params = {", *lines, "}"]))
    return (
        f"<p>Trial {trials.best}. Use it by <code>estimator.set_params(**params)</code>.</p>\n"
        '<div class="code"><button type="button" id="copy">Copy</button><pre id="params" '
        f'tabindex="0">{code}</pre></div>'
    )


# ---- the figures
# ---------------------------------------------------------------------------------------------------


def _figures(trials):
    """Sections of the page, each with a heading and a figure or the reason why there is none."""
    plt = plotting.pyplot()
    with plt.rc_context(_LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the browser has it
        yield _section("Parallel coordinates", _PARALLEL, [_parallel_coordinates(trials)], "wide")
        yield _importance(trials)
        names = trials.short_names()
        panels = [
            _slice(trials, *each)
            for each in itertools.islice(zip(trials.columns, names, strict=True), _MOST_SLICES)
        ]
        more = f" The first {_MOST_SLICES} of {len(names)} are shown." if len(names) > _MOST_SLICES else ""
        yield _section("Slices", _SLICES + more, panels, "panels")
        yield _curves(trials)


_PARALLEL = (
    "A line a trial, from its hyperparameters to its score; the best is bold. Thin and grey: stopped early,"
    " diverged or failed."
)
_IMPORTANCE = (
    "The share of the score's variance that each hyperparameter explains by itself (fANOVA); the rest is what"
    " they do together."
)
_SLICES = (
    "The score over each hyperparameter. Star: the best. Grey: stopped early; crosses at the bottom have no "
    "score, triangles one far below the others."
)
_CURVES = (
    "Every trial by {}, in the colour of its score. Grey: stopped early, at the dot, or diverged, at the"
    " cross."
)


def _section(title, words, figures, kind):
    head = f"<section>\n<h2>{html.escape(title)}</h2>\n<p>{html.escape(words)}</p>\n"
    scrolls = f' role="region" aria-label="{html.escape(title)}" tabindex="0"' if kind == "wide" else ""
    return (
        f'{head}<div class="{kind}"{scrolls}>{"".join(figures)}</div>\n</section>'
        if figures
        else f"{head}</section>"
    )


def _figure(name, draw, figsize):
    """What `draw` draws on axes of its own, as SVG whose colours are those of the page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout="constrained")
    draw(figure.subplots())
    file = io.StringIO()
    # ids of one figure are none of another's, and the same every time
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(
            file,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
            dpi=110,
        )
    svg = _compact(file.getvalue()).replace(_INK, "var(--ink)").replace(_PAPER, "var(--paper)")
    svg = re.sub(r'^<svg ([^>]*?)width="([\d.]+)pt" height="[\d.]+pt"', _sized, svg)
    label = html.escape(name, quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _compact(svg):
    """SVG as HTML takes it in: without namespaces, in the page's font, to a tenth of a point."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| font-family: [^;"]*;', "", svg)
    svg = re.sub(r'(?<= d=")[^"]*', lambda path: " ".join(re.sub(r"(\.\d)\d+", r"\1", path[0]).split()), svg)
    svg = re.sub(r'(?<= [xy]=")-?\d+\.\d+', lambda number: f"{float(number[0]):.1f}", svg)
    return re.sub(r">\s+<", "><", svg)


def _sized(match):
    return f'<svg {match[1]}style="--width: {float(match[2]) * 4 / 3:.0f}px"'


def _parallel_coordinates(trials):
    figsize = drawing.width_of_parallel_coordinates(trials), 4.4
    return _figure("parallel coordinates", lambda ax: drawing.parallel_coordinates(ax, trials), figsize)


def _importance(trials):
    try:
        shares = analysis.of_trials(trials)
    except (ImportError, ValueError) as error:
        return _section("Importances", f"There are none: {error}", [], "")
    figsize = 5.0, 0.9 + 0.32 * len(shares)
    figure = _figure("importances", lambda ax: drawing.importance(ax, shares, trials), figsize)
    return _section("Importances", _IMPORTANCE, [figure], "figure")


def _slice(trials, column, name):
    def draw(ax):
        drawing.one_slice(ax, trials, column, name)
        ax.set_ylabel(trials.metric, parse_math=False)

    return _figure(f"{trials.metric} over {column.name}", draw, (3.6, 2.9))


def _curves(trials):
    kinds = kinds_of_curves(trials)
    if not kinds:
        return _section("Learning curves", "There are none: this search did not record them.", [], "")
    figures = [
        _figure(
            f"learning curves: {kind}",
            lambda ax, kind=kind: drawing.learning_curves([ax], trials, [kind]),
            (4.6, 3.3),
        )
        for kind in kinds
    ]
    return _section("Learning curves", _CURVES.format(trials.unit), figures, "panels large")


# ---- the table
# -----------------------------------------------------------------------------------------------------


def _table(search, trials):
    columns = _table_columns(search, trials)
    scores = {f"mean_test_{key}" for key in metrics(search)}
    heads = ""
    for i, (name, key, _) in enumerate(columns):
        # sorted by number at first; by score, the best come first
        look = ' aria-sort="ascending"' if i == 0 else ' data-first="descending"' if key in scores else ""
        full = f' title="{html.escape(key, quote=True)}"' if key else ""
        heads += f'<th scope="col"{look}><button type="button"{full}>{html.escape(name)}</button></th>'
    rows = []
    for i in range(len(trials)):
        cells = "".join(_cell(values[i]) for *_, values in columns)
        look = ' class="best"' if i == trials.best else "" if trials.complete[i] else ' class="rest"'
        rows.append(f"<tr{look}>{cells}</tr>")
    body = "\n".join(rows)
    return f'<table id="trials">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def _table_columns(search, trials):
    """[(name, key of cv_results_ or parameter, values)]."""
    results, several = search.cv_results_, len(metrics(search)) > 1
    columns = [("trial", "", list(range(len(trials))))]
    shown = {}
    for key in metrics(search):
        name = key if several else trials.metric
        shown |= {f"mean_test_{key}": name, f"std_test_{key}": f"± {name}" if several else "±"}
    shown |= {
        "status": "status",
        "n_epochs": "epochs",
        "round": "round",
        "bracket": "bracket",
        "iter": "iteration",
    }
    shown |= {"n_resources": "resources", "mean_fit_time": "fit, s", "ended": "ended, s"}
    results = results | {"status": trials.status}
    columns += [(name, key, list(results[key])) for key, name in shown.items() if key in results]
    names = list(dict.fromkeys(name for params in results["params"] for name in params))
    for name, short in zip(names, without_steps(names), strict=True):
        columns.append((short, name, [params.get(name, _ABSENT) for params in results["params"]]))
    return columns


def _cell(value):
    """A cell; numbers carry themselves in full for sorting, and what is absent or NaN carries nothing."""
    value = plain(value)
    if value is _ABSENT:
        return "<td data-n></td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        key = "" if np.isnan(value) else f'="{value!r}"'
        return f"<td data-n{key}>{'' if np.isnan(value) else html.escape(text(value))}</td>"
    shown = text(value)
    cut = drawing.shortened(shown, 60)
    full = f' title="{html.escape(shown, quote=True)}"' if cut != shown else ""
    return f"<td{full}>{html.escape(cut)}</td>"


def __dir__():
    return __all__
