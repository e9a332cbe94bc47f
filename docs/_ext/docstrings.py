"""Makes nnfast's docstrings reStructuredText, and leaves out what others document.

In these docstrings an indented block is a formula, as in Markdown, and neither | nor a last _ means anything.
The lists of numpydoc's sections, whose descriptions are indented as well, keep their form.
"""

import re

_TITLE = re.compile(r"-{3,}$")
# Code, which stays; the name of a parameter, which numpydoc reads; or what has to be escaped.
_SPECIAL = re.compile(r"(``?[^`]*``?|^\w+ : )|(\||_(?!\w))")


def _is_formula(lines, i):
    """Whether an indented block of a formula begins at line i, after the blank line that divides it from a
    text.
    """
    before = next((line for line in reversed(lines[:i]) if line), "")
    return (
        lines[i].startswith("    ")
        and not lines[i - 1]
        and not before.startswith(" ")
        and not before.endswith("::")
    )


def to_rst(lines):
    """The lines of a docstring, with its formulas literal and its special characters escaped."""
    out, in_sections, in_literal = [], False, False
    for i, line in enumerate(lines):
        in_sections = in_sections or (i + 1 < len(lines) and bool(_TITLE.fullmatch(lines[i + 1])))
        if line and not line.startswith("    "):
            in_literal = line.endswith("::")
        if i and not in_sections and not in_literal and _is_formula(lines, i):
            out += ["::", ""]
            in_literal = True
        code = in_literal and not in_sections or line.lstrip().startswith((">>>", "..."))
        out.append(line if code else _SPECIAL.sub(lambda found: found[1] or "\\" + found[2], line))
    return out


def _process(app, what, name, obj, options, lines):
    lines[:] = to_rst(lines)


def _skip(app, what, name, obj, skip, options):
    """True for methods that come from scikit-learn; None leaves it to Sphinx."""
    return True if (getattr(obj, "__module__", None) or "nnfast").partition(".")[0] != "nnfast" else None


def setup(app):
    app.connect("autodoc-process-docstring", _process, priority=100)  # before numpydoc's
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}
