"""Reports of searches: one page that shows what was found."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from found_trials import (
    ODD,
    closed_figures,  # noqa: F401
    drawn,
    found,
    grid,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

from nnfast.tuning.report import report
from nnfast.tuning.texts import text


class Page(HTMLParser):
    """The rows of the table, the code, the attributes; an error where a tag is closed that is not open."""

    VOID = {"meta", "path", "use", "image", "rect", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.code, self.attributes, self.words, self.heads = [], [], "", [], "", 0
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag in self.VOID:
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
        self.heads += tag == "th"

    def handle_startendtag(self, tag, attributes):
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert tag in self.VOID or self.open.pop() == tag

    def handle_data(self, data):
        self.words += data
        if self.open[-1:] == ["td"]:
            self.rows[-1][-1] += data
        if self.open[-1:] == ["pre"]:
            self.code += data


def test_report(tmp_path):
    search = drawn()
    path = tmp_path / "out.html"
    report(search, path)
    page = path.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["out.html"]
    assert len(page) < 400_000 and not re.search(r"https?:|src=|@import|<link", page)
    assert all(re.fullmatch(r"url\(#\w+\)", each) for each in re.findall(r"url\([^)]*\)", page))
    parsed = Page(page)
    rows = parsed.rows[1:]
    assert [row[0] for row in rows] == [str(i) for i in range(40)] and parsed.heads == len(rows[0])
    for row, params, score in zip(
        rows, search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        assert row[1] == ("" if np.isnan(score) else text(score))
        assert row[-len(params) :] == [text(value) for value in params.values()]
    names = {}
    exec(parsed.code, names)  # what is copied is Python
    assert names["params"] == search.cv_results_["params"][search.best_index_]
    ids = [
        value for name, value in parsed.attributes if name == "id" and value[0] in "mp" and len(value) == 11
    ]
    assert len(ids) == len(set(ids))


def test_report_is_the_same_every_time(tmp_path):
    search = found([{"a": 1}, {"a": 2}, {"a": 3}], [1, 2, 0])
    path = tmp_path / "out.html"
    report(search, path)
    first = path.read_text(encoding="utf-8")
    report(search, str(path))
    assert path.read_text(encoding="utf-8") == first


def test_report_escapes(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>\"'&"
    search = found([{f"p{evil}": evil}, {f"p{evil}": "b"}, {f"p{evil}": "c"}], [1, 2, 0], scoring=evil)
    report(search, tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    parsed = Page(page)
    assert "<img" not in page and page.count("</script>") == 1 and parsed.rows[1][-1] == evil


@pytest.mark.parametrize("search", ODD.values(), ids=ODD)
def test_report_of_odd_searches(search, tmp_path, monkeypatch):
    figures = SimpleNamespace(count=0)

    def lightly(name, draw, figsize):
        figures.count += 1
        return "<svg></svg>"

    monkeypatch.setattr("nnfast.tuning.report._figure", lightly)  # they are drawn above
    report(search, tmp_path / "out.html")
    parsed = Page((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert len(parsed.rows) == 1 + len(search.cv_results_["params"]) and figures.count
    assert "did not record them" in parsed.words


def test_report_of_scikit_learns_search(tmp_path):
    report(grid(scoring=["accuracy", "neg_log_loss"], refit="accuracy"), tmp_path / "out.html")
    parsed = Page((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert (
        len(parsed.rows) == 9
        and "GridSearchCV of DecisionTreeClassifier" in parsed.words
        and "neg_log_loss" in parsed.words
    )


def test_where_a_report_cannot_go(tmp_path, monkeypatch):
    search = grid()
    with pytest.raises(
        FileNotFoundError, match=r"^path must be in a folder that is there, got '.*none/out\.html'"
    ):
        report(search, tmp_path / "none" / "out.html")
    with pytest.raises(IsADirectoryError, match="^path must be that of a file, got the folder"):
        report(search, tmp_path)
    with pytest.raises(TypeError, match="^path must be a str or a Path to an HTML file, got None"):
        report(search, None)

    (tmp_path / "out.html").write_text("old")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("no")))
    monkeypatch.setattr("nnfast.tuning.report._figure", lambda *arguments: "")
    with pytest.raises(OSError, match="^no$"):
        report(search, tmp_path / "out.html")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("out.html", "old")]
