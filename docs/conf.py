"""How Sphinx builds these pages: python -m sphinx -W --keep-going -b html docs docs/_build/html"""

import sys
from pathlib import Path

import nnfast

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "nnfast"
version = release = nnfast.__version__

# Nothing here reads the network. The pages themselves load MathJax when they are looked at.
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
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
smartquotes = False  # quotes here are mostly Python's
highlight_language = "none"
default_role = "py:obj"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
