"""`nnfast.tables.read_table`: one table in many formats."""

import io
import json
import re
import sys

import numpy as np
import pytest
from test_cli import run
from written_tables import N, T, comma, parquet, text

from nnfast import tables
from nnfast.tables import read_raw, read_table

pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.usefixtures("quick_models")


def german(value):
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def junk(*signs, every=40):
    """A function of values that puts one of some signs in place of every so many of them."""
    counts = iter(range(10**6))
    return lambda value: signs[i // every % len(signs)] if (i := next(counts)) % every == 7 else value


def excel(frame):
    pytest.importorskip("openpyxl")
    buffer = io.BytesIO()
    with pandas.ExcelWriter(buffer) as book:
        pandas.DataFrame({"nothing": []}).to_excel(book, sheet_name="first", index=False)
        frame.to_excel(book, sheet_name="prices", index=False)
    return buffer.getvalue()


def packed(kind):
    def pack(frame):
        buffer = io.BytesIO()
        frame.to_csv(
            buffer,
            index=False,
            compression={"method": kind, **({"archive_name": "t.csv"} if kind == "zip" else {})},
        )
        return buffer.getvalue()

    return pack


MONTHS = "%d %b %Y", "%B %d, %Y", "%a, %d %b %Y"
# Name of the file: (what writes it, options of the command line, columns that have missing values, what is
# said).
FORMATS = {
    "plain.csv": (text, [], [], None),
    "table.parquet": (parquet, [], [], None),
    "table.xlsx": (excel, ["--sheet", "prices"], [], None),
    "table.csv.gz": (packed("gzip"), [], [], None),
    "table.csv.bz2": (packed("bz2"), [], [], None),
    "table.csv.xz": (packed("xz"), [], [], None),
    "table.zip": (packed("zip"), [], [], None),
    "semicolons.csv": (lambda T: text(T, ";"), [], [], None),
    "tabs.tsv": (lambda T: text(T, "\t"), [], [], None),
    "bars.txt": (lambda T: text(T, "|"), [], [], None),
    "carets.txt": (lambda T: text(T, "^"), ["--sep", "^"], [], None),
    "spaces.txt": (lambda T: text(T, " "), [], [], None),
    "announced.csv": (lambda T: "sep=;\n" + text(T, ";"), [], [], None),
    "spaces after commas.csv": (lambda T: text(T).replace(",", ", "), [], [], None),
    "separators at the end.csv": (
        lambda T: text(T).replace("\n", ",\n").replace(",\n", "\n", 1),
        [],
        [],
        None,
    ),
    "separators at all ends.csv": (lambda T: text(T).replace("\n", ",\n"), [], [], "left out: 1 empty"),
    "carriage returns.csv": (lambda T: text(T).replace("\n", "\r\n"), [], [], None),
    "quoted.csv": (
        lambda T: '"when";"a";"b";"colour";"price"\n' + text(T, ";").partition("\n")[2],
        [],
        [],
        None,
    ),
    "comments.csv": (
        lambda T: "# made by hand\n\n# 2024-03-01, by us, for a test, of comments, here\n" + text(T),
        [],
        [],
        "2 comment lines",
    ),
    "comment before names.csv": (
        lambda T: "# made by hand\n#" + text(T),
        [],
        [],
        "1 comment line at the top",
    ),
    "utf-8 with a mark.csv": (lambda T: text(T).encode("utf-8-sig"), [], [], None),
    "utf-16.csv": (lambda T: text(T).encode("utf-16"), [], [], None),
    "utf-16 without a mark.csv": (
        lambda T: text(T).encode("utf-16-le"),
        ["--encoding", "utf-16-le"],
        [],
        None,
    ),
    "cp1252.csv": (lambda T: text(T).encode("cp1252"), [], [], "no UTF-8, and was read as cp1252"),
    "latin1.csv": (lambda T: text(T).encode("latin1"), ["--encoding", "latin1"], [], None),
    "day first.csv": (lambda T: text(T, day="%d.%m.%Y"), [], [], "day-first"),
    "day first, slashes.csv": (lambda T: text(T, day="%d/%m/%y"), [], [], "day-first"),
    "month first.csv": (lambda T: text(T, day="%m/%d/%Y"), [], [], "month-first"),
    "year first, slashes.csv": (lambda T: text(T, day="%Y/%m/%d"), [], [], "year-first"),
    "compact dates.csv": (lambda T: text(T, day="%Y%m%d"), [], [], "YYYYMMDD"),
    "dates with times.csv": (lambda T: text(T, day="%d.%m.%Y 00:00:00"), [], [], "day-first"),
    "dates with zones.csv": (lambda T: text(T, day="%Y-%m-%dT02:00:00+02:00"), [], [], "year-first"),
    "dates with halves of a day.csv": (lambda T: text(T, day="%m/%d/%Y 12:00 AM"), [], [], "month-first"),
    **{
        f"months by name {i}.csv": (lambda T, day=day: text(T, ";", day), [], [], "day-first")
        for i, day in enumerate(MONTHS)
    },
    "junk in dates.csv": (
        lambda T: text(T.assign(when=T["when"].dt.strftime("%d.%m.%Y")), when=junk("soon", "?", "0.0.0000")),
        [],
        ["when"],
        "6 taken for missing: '",
    ),
    "junk in numbers.csv": (
        lambda T: text(T, a=junk("?", "n/a", "-", "unknown", "#N/A", "oops")),
        [],
        ["a"],
        "taken for missing: '.*' and . more",
    ),
    "decimal commas.csv": (lambda T: text(T, ";", a=comma, price=comma), [], [], "Decimal mark: ','"),
    "decimal commas in quotes.csv": (lambda T: text(T, a=comma, price=comma), [], [], "Decimal mark: ','"),
    "decimal commas, said.csv": (lambda T: text(T, ";", a=comma, price=comma), ["--decimal", ","], [], None),
    "thousands.csv": (lambda T: text(T, b="{:,.0f}".format), [], [], "',' groups thousands"),
    "thousands in semicolons.csv": (
        lambda T: text(T, ";", b="{:,.0f}".format),
        [],
        [],
        "',' groups thousands",
    ),
    "points group.csv": (
        lambda T: text(T, ";", b=german, a=comma, price=comma),
        [],
        [],
        r"'\.' groups thousands",
    ),
    "apostrophes group.csv": (
        lambda T: text(T, b=lambda value: f"{value:,.0f}".replace(",", "'")),
        [],
        [],
        None,
    ),
    "narrow spaces group.csv": (
        lambda T: text(T, b=lambda value: f"{value:,.0f}".replace(",", "\u202f")),
        [],
        [],
        None,
    ),
    "currencies.csv": (lambda T: text(T, b="€ {:,.2f}".format, price="{} EUR".format), [], [], None),
    "percent.csv": (lambda T: text(T, a="{} %".format, b="{:.0f}%".format), [], [], None),
    "accountants.csv": (
        lambda T: text(T, a=lambda value: f"({-value:.4f})" if value < 0 else f"{value:.4f}"),
        [],
        [],
        None,
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for name, (write, *_) in FORMATS.items():
        if name.endswith(("xlsx", "parquet")):
            continue
        content = write(T)
        folder.joinpath(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def written(folder, name):
    path = folder / name
    if not path.exists():
        path.write_bytes(FORMATS[name][0](T))
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_is_the_same_in_all_formats(capsys, folder, name):
    """The same columns, values and, by `nnfast demo`, scores."""
    _, options, gaps, said = FORMATS[name]
    arguments = ["demo", "--table", written(folder, name), "--target", "price", *options, "--json"]
    arguments += ["--hidden", 32, "--max-iter", 200]
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    (found,) = json.loads("\n".join(out))["tables"]
    columns = {each["column"]: each for each in found["columns"] if each["used"]}
    assert {column: each["taken_for"] for column, each in columns.items()} == {
        "when": "date",
        "a": "number",
        "b": "number",
        "colour": "category",
        "price": "number",
    }
    assert [column for column, each in columns.items() if each["missing"]] == gaps
    n_rows = {"read": N, "used": N, "train": N * 3 // 4, "held_out": N // 4}
    assert found["rows"] == n_rows | {"without_target": 0, "not_drawn": 0}
    assert min(min(each["scores"].values()) for each in found["fits"]) > 0.9
    assert said is None or re.search(said, "\n".join(err))

    given = dict(zip((option.strip("-") for option in options[::2]), options[1::2]))
    frame = read_table(written(folder, name), **given).frame[T.columns]
    expected = T.assign(**{column: T[column].where(frame[column].notna()) for column in gaps})
    assert_same(frame, expected)


def assert_same(frame, expected):
    """Whole numbers may be int64 or float64; which type text has by itself is up to the version of pandas."""
    assert frame["colour"].dtype == object
    pandas.testing.assert_frame_equal(frame.astype({"b": float}), expected.astype({"colour": object}))


def test_standard_input(capsys, monkeypatch):
    for content in (text(T).encode(), packed("gzip")(T)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert_same(read_table("-").frame, T)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text(T).encode())))
    assert read_raw("-", "price").name == "stdin"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    code, _, err = run(capsys, "demo", "--table", "-", "--target", "price")
    assert (code, err) == (2, ["nnfast: error: standard input is empty: it has no header and no rows."])


def test_sheets(folder):
    path = written(folder, "table.xlsx")
    with pytest.raises(tables.TableError, match=r"has no sheet 'x' \(--sheet\); it has 'first', 'prices'"):
        read_table(path, sheet="x")
    with pytest.raises(tables.TableError, match="--sep is for CSV files; .*table.xlsx is Excel"):
        read_table(path, sep=";")
    with pytest.raises(tables.TableError, match="is empty: it has 0 rows"):
        read_table(path)


def test_an_archive_of_several_files(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.csv", text(T))
        archive.writestr("b.csv", text(T))
    with pytest.raises(tables.TableError, match="holds 2 files; a table's archive holds one"):
        read_table(tmp_path / "t.zip")


def test_units_of_the_target_do_not_matter(tmp_path):
    scores = []
    for factor in (1, 1e5, 1e-5):
        T.assign(price=T["price"] * factor).to_csv(tmp_path / "t.csv", index=False)
        raw = read_raw(tmp_path / "t.csv", "price")
        scores.append(raw.y_train)
        np.testing.assert_allclose(raw.target_test, read_raw(tmp_path / "t.csv", "price").target_test)
    for scaled in scores[1:]:
        np.testing.assert_allclose(scaled, scores[0], rtol=1e-7, atol=1e-9)
