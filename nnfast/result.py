"""What a result is: numbers that show as a table of text."""

from textwrap import wrap


class Result:
    """What all results have: a table as their text. Not for use by itself."""

    verdict = advice = ""

    def __repr__(self):
        head = type(self).__name__ + (self.verdict and f": {self.verdict}")
        return "\n".join([head, *_table(self._columns()), *wrap(self.advice, 100)])


def _table(columns):
    """Lines of a table, from cells by heading; the first column to the left."""
    columns = [[heading, *cells] for heading, cells in columns.items()]
    widths = [max(map(len, cells)) for cells in columns]
    widths[0] *= -1
    rows = zip(*columns, strict=True)
    return ["  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def _padded(cell, width):
    return cell.rjust(width) if width > 0 else cell.ljust(-width)


def number_texts(values):
    return [f"{value:.3g}" for value in values]


def percentage_texts(values):
    return [f"{value:.1%}" for value in values]
