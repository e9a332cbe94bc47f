"""Puts nnfast's records into the pages: names, formulas, defaults, advice and papers stand in the code alone.

A line such as `<!-- records: activations -->` of a page becomes what one of the functions of `MARKS` makes of
its words, as Markdown. So a new record documents itself.
"""

import inspect
import re
import textwrap
from dataclasses import fields

import numpy as np

from nnfast import MLPClassifier, MLPRegressor
from nnfast.activations import ACTIVATIONS, ALIASES
from nnfast.initializers import INITIALIZERS
from nnfast.losses import CLASSIFIER_LOSSES, LOSSES, REGRESSOR_LOSSES
from nnfast.normalization import NORMALIZATIONS
from nnfast.optimizers import OPTIMIZERS
from nnfast.option_needs import OPTIONS
from nnfast.schedules import SCHEDULES, Adaptive

_MARK = re.compile(r"^<!-- (records|parameters|curves): (.+?) -->$", re.MULTILINE)


def expand(text):
    """A page with every mark replaced."""
    return _MARK.sub(lambda mark: MARKS[mark[1]](*re.split(r",? ", mark[2])), text)


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _block(formula):
    return f"```text\n{textwrap.fill(formula, 84, subsequent_indent='    ')}\n```"


def _linked(reference):
    return re.sub(r"arXiv:([\d.]+\d)", r"[arXiv:\1](https://arxiv.org/abs/\1)", reference.rstrip("."))


def _section(record, *details):
    return "\n\n".join(
        [
            f"### {record.name}",
            _block(record.formula),
            record.advice,
            *details,
            f"*{_linked(record.reference)}.*",
        ]
    )


# ------------------------------------------------------------------------------------------------------------
# Records


def _activations():
    others = {name: [alias for alias, of in ALIASES.items() if of == name] for name in ACTIVATIONS}
    rows = [
        [
            " or ".join([f"[`{each.name}`](#{each.name})", *(f"`{alias}`" for alias in others[each.name])]),
            f"`{each.range}`",
            f"`{each.parameter_name}={each.default}`, {each.domain}" if each.parameter_name else "",
            f"`{each.initializer}`",
        ]
        for each in ACTIVATIONS.values()
    ]
    head = ["name", "range", "its parameter", '`initializer="auto"`']
    return "\n\n".join([_table(head, rows), *map(_section, ACTIVATIONS.values())])


def _losses(estimator):
    names = CLASSIFIER_LOSSES if estimator == "classifier" else REGRESSOR_LOSSES
    sections = []
    for name in names:
        forms = [LOSSES[form] for form in (name, f"binary_{name}") if form in LOSSES]
        for record in forms:
            details = [f"For {record.domain}. The output layer's activation is {record.out_activation}."]
            if record.parameter_name:
                details.append(
                    f"`{record.parameter_name}`: {record.parameter_domain}, by default {record.defaults[0]}."
                )
            sections.append(_section(record, *details))
    return "\n\n".join(sections)


def _optimizers():
    sections = []
    for name, cls in OPTIMIZERS.items():
        words, _, rest = inspect.cleandoc(cls.__doc__).partition("\nParameters\n----------\n")
        title, formula, *more = words.strip().split("\n\n")
        own = ", ".join(f"{field.name}={field.default}" for field in fields(cls))
        reference = " ".join(rest.partition("\nReferences\n----------\n")[2].split())
        sections += [
            f"### {name}",
            title,
            f"```text\n{textwrap.dedent(formula)}\n```",
            *(" ".join(each.split()) for each in more),
            cls.advice,
            f"As a record: {{py:obj}}`{cls.__name__}({own}) <nnfast.optimizers.{cls.__name__}>`.",
            f"*{_linked(reference)}.*",
        ]
    return "\n\n".join(sections)


def _initializers():
    return "\n\n".join(map(_section, INITIALIZERS.values()))


def _normalizations():
    return "\n\n".join(map(_section, NORMALIZATIONS.values()))


def _options():
    rows = [
        [
            f"`{name}`",
            *("; ".join(need.words for need in needs) for needs in (option.needs, option.strict)),
            option.note,
        ]
        for name, option in OPTIONS.items()
    ]
    return _table(["option", "has no effect without", "is an error without", "remarks"], rows)


_RECORDS = {
    "activations": _activations,
    "losses": _losses,
    "optimizers": _optimizers,
    "initializers": _initializers,
    "normalizations": _normalizations,
    "options": _options,
}


def _records(what, *words):
    return _RECORDS[what](*words)


# ------------------------------------------------------------------------------------------------------------
# Parameters of the estimators


def _parameters(*names):
    """A table of what parameters accept and of their defaults, from the docstrings."""
    documented = {}
    for cls in (MLPRegressor, MLPClassifier):
        words = inspect.cleandoc(cls.__doc__).partition("\nAttributes\n")[0]
        documented |= {m[1]: m for m in re.finditer(r"^(\w+) : (.*), default=(.*)$", words, re.MULTILINE)}
    rows = [
        [f"`{name}`", documented[name][2].replace("{", "").replace("}", ""), f"`{documented[name][3]}`"]
        for name in names
    ]
    return _table(["parameter", "accepts", "default"], rows)


# ------------------------------------------------------------------------------------------------------------
# Curves, as small drawings beside each other


def _drawing(name, x, solid, dashed=None, limits=None):
    low, high = limits or (min(0, solid.min()), solid.max())

    def points(y):
        across = 2 + 116 * (x - x[0]) / (x[-1] - x[0])
        up = 82 - 76 * (y - low) / (high - low)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up, strict=True) if 0 <= b <= 88)

    zero = 82 + 76 * low / (high - low)
    lines = [f'<line x1="2" x2="118" y1="{zero:.1f}" y2="{zero:.1f}" stroke-width="0.7" opacity="0.5"/>']
    if dashed is not None:
        lines.append(f'<polyline points="{points(dashed)}" stroke-dasharray="3 3" opacity="0.7"/>')
    lines.append(f'<polyline points="{points(solid)}" stroke-width="2"/>')
    svg = (
        '<svg viewBox="0 0 120 88" fill="none" stroke="currentColor"'
        f' aria-label="{name}">{"".join(lines)}</svg>'
    )
    return f'<figure style="margin:0">{svg}<figcaption>{name}</figcaption></figure>'


def _activation_curves():
    z = np.linspace(-4, 4, 161)
    for each in ACTIVATIONS.values():
        a = each.function(z)
        yield _drawing(each.name, z, a, each.derivative(z, a), limits=(-2, 4))


def _loss_curves():
    prediction, y = np.linspace(0.05, 4, 160)[:, np.newaxis], np.ones((160, 1))
    for each in (LOSSES[name] for name in REGRESSOR_LOSSES):
        z = np.log(prediction) if each.out_activation == "exp" else prediction
        level = (0.9,) if each.name == "quantile" else ()
        words = each.name + "".join(f" {number}" for number in level)
        yield _drawing(words, prediction.ravel(), each.value(y, z, level), limits=(0, 3))


def _schedule_curves(n_epochs=60, stall=15):
    for each in SCHEDULES.values():
        run, rates = each().start(1.0, 10, n_epochs), []
        for epoch in range(1, n_epochs + 1):
            rates.append(run.rates())
            run.after_epoch(epoch * 100, metric=1.0)
            if each is Adaptive and epoch % stall == 0:
                run.after_stall()
        rates = np.concatenate(rates)
        yield _drawing(each.name, np.arange(len(rates)), rates, limits=(0, 1))


_CURVES = {"activations": _activation_curves, "losses": _loss_curves, "schedules": _schedule_curves}


def _curves(what):
    style = (
        "display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:0.8rem;text-align:center"
    )
    return f'<div style="{style}">{"".join(_CURVES[what]())}</div>'


MARKS = {"records": _records, "parameters": _parameters, "curves": _curves}


def _read(app, name, source):
    # doctest needs the blank line that ends an example's output; readers do not
    source[0] = expand(source[0]).replace("\n\n```\n", "\n```\n")


def setup(app):
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
