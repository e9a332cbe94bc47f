"""Checks what Sphinx made: python tools/check_docs.py HTML

Pages load nothing from other machines, so that they can be read offline, and formulas are MathML.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

ELSEWHERE = re.compile(r"\s*(?:\w+:)?//")
# Links are followed by readers, all else by the browser at once.
LINKS = {("a", "href")}
LOADING_CSS = re.compile(r"""(?:@import\s*|url\(\s*)["']?((?:\w+:)?//[^"')\s]+)""")


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.loaded, self.formulas = [], 0

    def handle_starttag(self, tag, attributes):
        self.formulas += tag == "math"
        for name, value in attributes:
            if (
                name in ("src", "href", "data", "poster")
                and (tag, name) not in LINKS
                and ELSEWHERE.match(value or "")
            ):
                self.loaded.append(value)


def main(folder):
    problems, n_formulas = [], 0
    pages = sorted(Path(folder).rglob("*.html"))
    for path in pages:
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        n_formulas += page.formulas
        problems += [f"{path} loads {each}" for each in page.loaded]
    for path in sorted(Path(folder).rglob("*.css")):
        problems += [f"{path} loads {each}" for each in LOADING_CSS.findall(path.read_text(encoding="utf-8"))]
    if not n_formulas:
        problems.append(f"{folder} has no formula in MathML in {len(pages)} pages")
    for problem in problems:
        print(problem)
    if problems:
        return 1
    print(f"{len(pages)} pages with {n_formulas} formulas load nothing from elsewhere")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
