"""What a fitted ensemble is made of, as tables: of its columns, and of its rounds and their networks."""

import textwrap
from dataclasses import dataclass, fields
from html import escape

import numpy as np

from nnfast.tabular.compiled import compiled_network
from nnfast.tabular.trees import TreeRound

_WIDTH = 110


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes
    ----------
    title : str
    headings : tuple of str
    rows : list of tuple of str
    numeric : tuple of bool
        Which columns stand to the right.
    notes : tuple of str
        Sentences below it.
    """

    title: str
    headings: tuple
    rows: list
    numeric: tuple
    notes: tuple = ()


def described(estimator):
    """(headline, tables) of a fitted `TabularClassifier` or `TabularRegressor`."""
    ensemble = estimator._ensemble
    n_networks = sum(len(each.members) for each in ensemble.rounds if not isinstance(each, TreeRound))
    n_trees = sum(len(each.members) for each in ensemble.rounds if isinstance(each, TreeRound))
    parts = [_counted(n_networks, "network"), *([_counted(n_trees, "boosted-tree model")] if n_trees else [])]
    used = sum(each.used for each in estimator.columns_)
    headline = (
        f"{type(estimator).__name__}: {used} of {_counted(len(estimator.columns_), 'column')} used, "
        f"{' and '.join(parts)} in {_counted(len(ensemble.rounds), 'round')}, fitted in "
        f"{estimator.budget_.used:.1f} s"
    )
    return headline, [_columns(estimator.columns_), _rounds(ensemble)]


def _counted(n, what):
    return f"{n:,} {what}{'s' * (n != 1)}"


def _columns(columns):
    rows = [
        (
            one_line(each.name, 40),
            each.taken_for,
            f"{each.n_distinct:,}",
            f"{each.n_missing:,}",
            f"{sum(each.became.values())}" if each.used else "",
            ", ".join(f"{label} {count}" for label, count in each.became.items()),
            one_line(each.note, 60),
        )
        for each in columns
    ]
    headings = ("column", "taken for", "distinct", "missing", "inputs", "by encoding", "note")
    return TextTable("Columns", headings, rows, (False, False, True, True, True, False, False))


def _rounds(ensemble):
    rows, recipes = [], []
    for number, each in enumerate(ensemble.rounds, 1):
        if isinstance(each, TreeRound):
            what = _counted(len(each.members), "boosted-tree model")
            rows.append((str(number), what, f"{each.weight:.3f}", "", "", "", ""))
            continue
        curves = [m.curves for m in each.members]
        losses = [c.validation_loss[c.best_epoch - 1] if c.best_epoch else np.nan for c in curves]
        units = [layer_units(m.network) for m in each.members]
        best = ", ".join(str(c.best_epoch) for c in curves)
        rows.append(
            (
                str(number),
                _counted(len(each.members), "network"),
                f"{each.weight:.3f}",
                f"{best} of {max(len(c.loss) for c in curves)}",
                _span([f"{loss:.4g}" for loss in losses], losses),
                "-".join(_span([str(n) for n in layer], layer) for layer in zip(*units, strict=True)),
                _span(
                    [f"{n_parameters(layers):,}" for layers in units],
                    [n_parameters(layers) for layers in units],
                ),
            )
        )
        recipe = ", ".join(
            f"{field.name}={getattr(each.recipe, field.name)}" for field in fields(each.recipe)
        )
        recipes.append(f"Recipe of round {number}: {recipe}.")
    if ensemble.constant_weight > 0:
        rows.append(("", "constant", f"{ensemble.constant_weight:.3f}", "", "", "", ""))
    headings = (
        "round",
        "members",
        "weight",
        "best epochs",
        "validation loss",
        "units by layer",
        "parameters each",
    )
    return TextTable("Rounds", headings, rows, (True, False, True, False, False, False, True), tuple(recipes))


def _span(texts, values):
    """The text of all values, or those of the smallest and the largest."""
    low, high = texts[int(np.argmin(values))], texts[int(np.argmax(values))]
    return low if low == high else f"{low}..{high}"


def layer_units(network):
    """Inputs, units of the hidden layers and outputs of a member's network."""
    return compiled_network(network).layer_units


def n_parameters(units):
    """Weights and biases of a network of such layers."""
    return sum((n_in + 1) * n_out for n_in, n_out in zip(units[:-1], units[1:], strict=True))


def one_line(text, at_most):
    """A text without line breaks, cut where it is longer than so many characters."""
    text = " ".join(str(text).split())
    return text if len(text) <= at_most else f"{text[: at_most - 3]}..."


# ------------------------------------------------------------------------------------------------------------
# Text


def as_text(headline, tables):
    """Lines of text."""
    return "\n".join([headline, *(line for table in tables for line in ("", *_lines(table)))])


def _lines(table):
    columns = list(zip(table.headings, *table.rows, strict=True))
    widths = [max(map(len, cells)) for cells in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, table.numeric, strict=True)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
    notes = [line for note in table.notes for line in ("", *textwrap.wrap(note, _WIDTH))]
    return [*lines, *notes]


# ------------------------------------------------------------------------------------------------------------
# HTML

# Colours are those of the page, whether it is light or dark; the heading, which rows pass under, has the
# notebook's.
_STYLE = """
.nnfast-summary { font-size: 0.9em; margin: 0.6em 0; max-width: 100%; }
.nnfast-summary summary { cursor: pointer; font-weight: bold; margin: 0.4em 0; }
.nnfast-summary .scrolls { max-height: 22em; overflow: auto; border: 1px solid rgba(128, 128, 128, 0.4); }
.nnfast-summary table { border-collapse: collapse; margin: 0; font-size: inherit; color: inherit; }
.nnfast-summary th, .nnfast-summary td { padding: 0.2em 0.7em; text-align: left; white-space: nowrap;
  border-bottom: 1px solid rgba(128, 128, 128, 0.25); }
.nnfast-summary .number { text-align: right; font-variant-numeric: tabular-nums; }
.nnfast-summary th { position: sticky; top: 0; font-weight: bold;
  color: var(--jp-ui-font-color1, var(--vscode-editor-foreground, CanvasText));
  background: var(--jp-layout-color0, var(--vscode-editor-background, Canvas)); }
.nnfast-summary p { margin: 0.4em 0; max-width: 70em; }
""".strip()


def as_html(headline, tables):
    """An element of HTML, with the style that it needs."""
    inner = "".join(_table_element(table) for table in tables)
    return f'<div class="nnfast-summary"><style>{_STYLE}</style><p>{escape(headline)}</p>{inner}</div>'


def _table_element(table):
    head = _row_element("th", table.headings, table.numeric)
    rows = "".join(_row_element("td", row, table.numeric) for row in table.rows)
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    return (
        f"<details open><summary>{escape(table.title)}</summary>"
        "<div "
        f'class="scrolls"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>{notes}</details>'
    )


def _row_element(tag, cells, numeric):
    kinds = (' class="number"' if right else "" for right in numeric)
    inner = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
    return f"<tr>{''.join(inner)}</tr>"
