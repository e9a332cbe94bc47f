"""`read_table`: a file's columns, each taken for what it is."""

from typing import NamedTuple

from nnfast.suggestions import did_you_mean
from nnfast.tables.columns import Column, convert, take
from nnfast.tables.errors import TableError, import_pandas, listed
from nnfast.tables.files import read_file


class ReadTable(NamedTuple):
    """A table as `read_table` reads it.

    Attributes
    ----------
    frame : DataFrame
        The columns that are used: int64, float64, bool, datetime64[us], or str objects with NaN where they
        are missing.

    columns : list of Column
        What each of the file's columns was taken for, those among them that are not used.

    notes : list of str
        What was found of the file itself, such as its encoding, and is not plain.
    """

    frame: object
    columns: list[Column]
    notes: list[str]


def read_table(path, *, sep=None, decimal=None, encoding=None, drop=(), keep=(), sheet=None, columns=None):
    """Read a CSV, Parquet or Excel file, and decide what each column is taken for.

    Numbers, booleans, dates, durations and categories become columns of their type. Text counts as numbers or
    dates where at least 95 % of the values are; the others, such as "?" or "n/a", are missing then.
    Identifiers (distinct whole numbers under a name like "id", or texts that all differ), free text,
    constants and empty columns are left out.

    Parameters
    ----------
    path : str or Path
        A file, or "-" for standard input: Parquet, Excel, or text whose first line names the columns, which
        may be packed with gzip, bzip2, xz or zip.

    sep : str, default=None
        What separates the fields of a text file; None finds it among the comma, the semicolon, the tab, the
        bar and spaces.

    decimal : {".", ","}, default=None
        The decimal mark of numbers that do not show it themselves, as "1,234" does not; None finds it in the
        other columns.

    encoding : str, default=None
        Of a text file; None takes UTF-8, what a byte order mark says, or cp1252.

    drop, keep : sequence of str
        Columns to leave out, and columns to use whatever they are taken for.

    sheet : str, default=None
        Of an Excel file; None takes the first one.

    columns : sequence of Column, default=None
        What the columns of an earlier table were taken for, which is then done with this one: what does not
        fit is missing. Columns that are not in the file are passed over.

    Returns
    -------
    table : ReadTable
        (frame, columns, notes)

    Raises
    ------
    TableError
        If the file cannot be read, is empty, or has two columns of one name, or none of a name in `drop` or
        `keep`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "sales.csv")
    >>> rows = "".join(f"{i};{i % 28 + 1}.1.2024;{i},5\\n" for i in range(100))
    >>> _ = path.write_text("id;when;price\\n" + rows)
    >>> frame, columns, _ = read_table(path)
    >>> frame.head(2)
            when  price
    0 2024-01-01    0.5
    1 2024-01-02    1.5
    >>> for each in columns:
    ...     print(f"{each.column}: {each.taken_for} {each.note}".rstrip())
    id: identifier 100 different whole numbers, and its name
    when: date 2024-01-01 to 2024-01-28, day-first
    price: number
    """
    file = read_file(path, sep=sep, decimal=decimal, encoding=encoding, sheet=sheet)
    frame = file.frame
    if 0 in frame.shape:
        raise TableError(f"{file.name} is empty: it has {frame.shape[0]} rows and {frame.shape[1]} columns.")
    frame.columns = [str(name) for name in frame.columns]
    for name in (*drop, *keep):
        check_name(name, frame.columns, file.name)
    frame = frame.drop(columns=list(drop))
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise TableError(
            f"{file.name} has more than one column {twice!r}; names must differ, and a copy of the target "
            "would give the answer away. Rename one of them, or leave both out if neither is the target "
            f"(--drop {twice!r})."
        )
    if columns is None:
        taken = [take(column, decimal=file.decimal, keep=name in keep) for name, column in frame.items()]
    else:
        taken = [
            (each, convert(frame[each.column], each))
            for each in columns
            if each.used and each.column in frame
        ]
    used = {decision.column: values for decision, values in taken if decision.used}
    typed = import_pandas().DataFrame(used, index=frame.index)
    return ReadTable(typed, [decision for decision, _ in taken], list(file.notes))


def check_name(name, names, file):
    """Raise a `TableError` if a table has no column of a name."""
    if name not in names:
        raise TableError(f"{file} has no column {name!r}; it has {listed(names)}.{did_you_mean(name, names)}")
