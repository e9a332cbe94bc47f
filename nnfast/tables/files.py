"""Files as frames: CSV, Parquet or Excel, whichever a file is."""

import lzma
import zipfile
import zlib
from dataclasses import dataclass

from nnfast.tables.errors import TableError, import_pandas, listed
from nnfast.tables.sources import Source
from nnfast.tables.text_files import read_text

_LIBRARIES = {"Parquet": "pyarrow", "Excel": "openpyxl"}


@dataclass(frozen=True)
class FileFrame:
    """A file's columns as the library that reads it gives them: numbers, dates and text.

    Attributes
    ----------
    name : str
        The file, as messages name it.

    frame : DataFrame

    decimal : str
        The decimal mark of numbers in text columns that do not show theirs.

    notes : tuple of str
        What was found of the file, and is not plain.
    """

    name: str
    frame: object
    decimal: str = "."
    notes: tuple[str, ...] = ()


def read_file(path, *, sep=None, decimal=None, encoding=None, sheet=None):
    """The columns in a file; the parameters, and the error, are those of `nnfast.tables.read_table`."""
    pandas = import_pandas()
    name, kind = str(path), "CSV"
    try:
        source = Source(path)
        name, kind = source.name, source.kind
        _check_options(name, kind, {"--sep": sep, "--encoding": encoding}, sheet)
        if kind == "CSV":
            frame, decimal, notes = read_text(source, sep=sep, decimal=decimal, encoding=encoding)
            return FileFrame(name, frame, decimal, tuple(notes))
        with source.open() as file:
            frame, notes = _read_excel(file, name, sheet) if kind == "Excel" else (_read_parquet(file), ())
        return FileFrame(name, frame, decimal or ".", notes)
    except TableError:
        raise
    except pandas.errors.EmptyDataError:
        raise TableError(f"{name} is empty: it has no header and no rows.") from None
    except ImportError as error:
        library = _LIBRARIES.get(kind, "a library")
        raise TableError(
            f"Reading {kind} needs {library}, which is not installed: pip install 'nnfast[table]'."
            f" {_first_line(error)}"
        ) from None
    except OSError as error:
        raise TableError(f"{name} cannot be read: {error.strerror or error}.") from None
    # ValueError: also pyarrow's errors; LookupError: an encoding that Python does not know.
    except (ValueError, LookupError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        form = "Excel" if kind == "Excel" else "CSV or Parquet"
        raise TableError(f"{name} cannot be read as {form}: {_first_line(error)}") from None


def _first_line(error):
    return str(error).strip().partition("\n")[0]


def _check_options(name, kind, text_options, sheet):
    given = next((option for option, value in text_options.items() if value is not None), None)
    if given and kind != "CSV":
        raise TableError(f"{given} is for CSV files; {name} is {kind}.")
    if sheet is not None and kind != "Excel":
        raise TableError(f"--sheet is for Excel files; {name} is {kind}.")


def _read_parquet(file):
    """The columns, among them the named levels of an index, which a CSV file has as columns."""
    frame = import_pandas().read_parquet(file)
    names = [name for name in frame.index.names if name is not None]
    return frame.reset_index(names) if names else frame.reset_index(drop=True)


def _read_excel(file, name, sheet):
    pandas = import_pandas()
    with pandas.ExcelFile(file) as book:
        sheets = [str(each) for each in book.sheet_names]
        chosen = sheets[0] if sheet is None else str(sheet)
        if chosen not in sheets:
            raise TableError(f"{name} has no sheet {chosen!r} (--sheet); it has {listed(sheets)}.")
        rows = pandas.read_excel(book, sheet_name=chosen, header=None).dropna(how="all")
    if rows.empty:
        raise TableError(f"{name} is empty: sheet {chosen!r} has no header and no rows.")
    # The names are read as a row, since pandas would rename those that occur twice.
    frame = rows.iloc[1:].reset_index(drop=True).infer_objects()
    frame.columns = [
        f"Unnamed: {i}" if pandas.isna(each) else str(each).strip() for i, each in enumerate(rows.iloc[0])
    ]
    is_choice = sheet is None and len(sheets) > 1
    return frame, ((f"Sheet {chosen!r}, of {listed(sheets)} (--sheet names another).",) if is_choice else ())
