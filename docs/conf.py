"""How Sphinx builds these pages: python -m sphinx -W --keep-going -b html docs docs/_build/html"""

import sys
from pathlib import Path

from docutils.writers.html5_polyglot import HTMLTranslator

import nnfast

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "nnfast"
version = release = nnfast.__version__

# Neither the build nor a page that is looked at reads the network.
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "myst_parser",
    "numpydoc",
    "docstrings",
    "records",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["nnfast.css"]
html_title = f"nnfast {version}"
html_show_copyright = False
html_math_renderer = "docutils"
smartquotes = False  # quotes here are mostly Python's
highlight_language = "none"
default_role = "py:obj"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False


def setup(app):
    # docutils' own formulas, which docutils.conf makes MathML, in place of Sphinx's, which load MathJax.
    app.add_html_math_renderer(
        "docutils",
        (HTMLTranslator.visit_math, HTMLTranslator.depart_math),
        (HTMLTranslator.visit_math_block, HTMLTranslator.depart_math_block),
    )
