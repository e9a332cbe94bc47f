"""Where a table's bytes come from: a file or standard input, packed or not."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

from nnfast.tables.errors import TableError

# Bytes that the format, the encoding and the separator are found from.
HEAD = 1 << 16

_OPENERS = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip"}
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


class Source:
    """The bytes of a file, or of standard input by the path "-", which can be read more than once.

    Attributes
    ----------
    name : str
        As messages name it.

    kind : {"Parquet", "Excel", "CSV"}
        By what the bytes begin with, or by the file's name.

    compression : {"gzip", "bz2", "xz", "zip"} or None
    """

    def __init__(self, path):
        self._bytes = sys.stdin.buffer.read() if str(path) == "-" else None
        self._path = Path(path)
        self.name = "standard input" if self._bytes is not None else str(path)
        with self.open() as file:
            start = file.read(6)
        self.compression = next((each for magic, each in _PACKED.items() if start.startswith(magic)), None)
        self.kind = self._find_kind(start)

    def open(self):
        """A binary file, at the start of the bytes as they are."""
        return self._path.open("rb") if self._bytes is None else io.BytesIO(self._bytes)

    def head(self):
        """The first bytes, unpacked."""
        with self._unpacked() as file:
            return file.read(HEAD)

    @contextmanager
    def open_text(self, encoding, errors, skipped):
        """A text file, unpacked, after so many lines."""
        with (
            self._unpacked() as file,
            io.TextIOWrapper(file, encoding=encoding, errors=errors, newline="") as text,
        ):
            for _ in range(skipped):
                text.readline()
            yield text

    @contextmanager
    def _unpacked(self):
        with self.open() as file:
            if self.compression is None:
                yield file
            elif self.compression != "zip":
                with _OPENERS[self.compression](file) as unpacked:
                    yield unpacked
            else:
                with zipfile.ZipFile(file) as archive:
                    files = [each for each in archive.namelist() if not each.endswith("/")]
                    if len(files) != 1:
                        raise TableError(
                            f"{self.name} holds {len(files)} files; a table's archive holds one."
                        )
                    with archive.open(files[0]) as unpacked:
                        yield unpacked

    def _find_kind(self, start):
        suffix = self._path.suffix.lower() if self._bytes is None else ""
        if start.startswith(b"PAR1") or suffix in (".parquet", ".pq"):
            return "Parquet"
        if start.startswith(_OLD_EXCEL) or suffix in (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"):
            return "Excel"
        if self.compression == "zip":
            with self.open() as file, zipfile.ZipFile(file) as archive:
                if "xl/workbook.xml" in archive.namelist():
                    return "Excel"
        return "CSV"
