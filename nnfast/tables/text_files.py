"""Text files with columns: their encoding, comment lines, separator and decimal mark."""

import re
from functools import partial

from nnfast.tables import numbers
from nnfast.tables.errors import TableError, import_pandas

SEPARATORS = ",;\t|"
# Rows that the decimal mark is found from.
SAMPLE = 500

_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"\s*[+-]?\d[\d.,]*\s*")


def read_text(source, *, sep=None, decimal=None, encoding=None):
    """Read a text file whose first line, but for comments, names the columns.

    Parameters
    ----------
    source : Source

    sep, decimal, encoding : as in `nnfast.tables.read_table`

    Returns
    -------
    frame : DataFrame
        Columns of numbers with the decimal mark, of booleans, and of text. Names may occur twice.

    decimal : str
        The decimal mark.

    notes : list of str
        What was found and is not plain.
    """
    notes = []
    head = source.head()
    fallbacks = ("cp1252", "latin-1") if encoding is None else ()  # any bytes are latin-1
    encoding = encoding or _encoding(source, head)
    lines = re.split(r"\r\n|\r|\n", head.decode(encoding, errors="replace").lstrip("\ufeff"))
    skipped, commented_names, sep = _layout(lines, sep, notes)
    parse = partial(_parse, source, skipped=skipped, sep=sep)
    names = parse(encoding, "replace", header=None, nrows=1, dtype=str).iloc[0]
    if decimal is None:
        decimal = _decimal(parse(encoding, "replace", nrows=SAMPLE, dtype=str), sep)
        if decimal == ",":
            notes.append("Decimal mark: ',' (--decimal says otherwise).")
    for each in (encoding, *(fallbacks if encoding == "utf-8" else ())):
        try:
            frame = parse(each, decimal=decimal, low_memory=False)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise TableError(f"{source.name} is not in the encoding {encoding}; --encoding names another.")
    if each != encoding:
        names = parse(each, header=None, nrows=1, dtype=str).iloc[0]
        notes.append(f"The text is no UTF-8, and was read as {each} (--encoding names another).")
    names = [f"Unnamed: {i}" if isinstance(name, float) else name.strip() for i, name in enumerate(names)]
    if commented_names:
        names[0] = names[0].lstrip("#").strip() or "#"
    return _named(frame, names, source.name, notes), decimal, notes


def _parse(source, encoding, errors="strict", *, skipped, **options):
    with source.open_text(encoding, errors, skipped) as file:
        return import_pandas().read_csv(file, skipinitialspace=True, **options)


def _encoding(source, head):
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        raise TableError(
            f"{source.name} is a binary file, and neither Parquet nor Excel. If it is text, name its "
            "encoding, such as --encoding utf-16."
        )
    return "utf-8"


def _layout(lines, sep, notes):
    """(Lines before the names, whether the names are behind a "#", the separator.)"""
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    # as Excel writes and reads it
    if sep is None and (announced := re.fullmatch(r"sep=(.)\s*", lines[first])):
        sep = announced[1]
        first += 1
    comments = []  # their numbers; blank lines may be among them
    for end in range(first, len(lines)):
        if lines[end].startswith("#"):
            comments.append(end)
        elif lines[end].strip():
            break
    else:
        end, comments = first, []
    if sep is None:
        sep = _separator([line for line in lines[end:] if line.strip()] or lines[first:])
    commented_names = bool(comments) and _are_names(lines[comments[-1]], lines[end], sep)
    if commented_names:
        end = comments.pop()
    if comments:
        notes.append(f"{len(comments)} comment line{'s' * (len(comments) > 1)} at the top skipped.")
    return end, commented_names, sep


def _separator(lines):
    """That of most of the first lines, outside quotes; spaces, where it is none of `SEPARATORS`; else the
    comma.
    """
    lines = [_QUOTED.sub("", line) for line in lines[:50]]
    counts = {sep: [line.count(sep) for line in lines] for sep in SEPARATORS}
    agreement = {sep: (each.count(each[0]), each[0]) for sep, each in counts.items() if each[0]}
    if agreement:
        return max(agreement, key=agreement.get)
    n_words = {len(line.split()) for line in lines[:-1]}  # the last one may be a part of a line
    return r"\s+" if len(n_words) == 1 and n_words.pop() > 1 else ","


def _are_names(comment, line, sep):
    """Whether a comment has as many fields as the line below, and no number, and that line has one."""
    mark = sep if len(sep) > 1 else re.escape(sep)
    names, fields = (re.split(mark, _QUOTED.sub("", each)) for each in (comment, line))
    n_numbers = [sum(_NUMBER.fullmatch(field) is not None for field in each) for each in (names, fields)]
    return len(names) == len(fields) > 1 and n_numbers[0] == 0 < n_numbers[1]


def _decimal(sample, sep):
    """The decimal mark that most columns show. Where none does, it is the comma in a file with semicolons."""
    texts = [column.dropna() for _, column in sample.items()]
    if not any(column.str.fullmatch(r"[^A-Za-z]*\d,\d[^A-Za-z]*").any() for column in texts):
        return "."
    marks = [numbers.decimal_mark(column) for column in texts]
    if marks.count(",") == marks.count("."):
        return "," if sep == ";" else "."
    return "," if marks.count(",") > marks.count(".") else "."


def _named(frame, names, file, notes):
    """The frame under the file's own names, of which pandas renames those that occur twice.

    Columns without a name, of which pandas makes an index, are left out.
    """
    n_more = 0 if isinstance(frame.index, import_pandas().RangeIndex) else frame.index.nlevels
    if n_more == 1:
        if frame.iloc[:, -1].isna().all():  # lines that end in a separator
            frame = frame.reset_index().iloc[:, :-1]
        else:
            frame = frame.reset_index(drop=True)
            notes.append("The first column has no name, and is left out.")
    elif n_more:
        raise TableError(f"{file}: the first line has {len(names)} fields, the second {len(names) + n_more}.")
    frame.columns = names
    return frame
