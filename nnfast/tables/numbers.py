"""Numbers written as text: decimal points and commas, grouped thousands, currencies, percent signs,
parentheses.
"""

import numpy as np

from nnfast.tables.errors import import_pandas

_CURRENCY = r"(?:[€$£¥₹]|EUR|USD|GBP|CHF|JPY)"
_GROUPS = "'’ \u00a0\u2009\u202f"  # beside the comma or the point: apostrophes, and spaces of several widths


def parse(texts, decimal):
    """Texts as float64; NaN where a text is no number.

    Parameters
    ----------
    texts : Series of str
    decimal : {".", ","}
        The decimal mark. The other one groups thousands.

    Examples
    --------
    >>> import pandas
    >>> parse(pandas.Series(["1,234.5", "€ -5", "12 %", "(7)", "1,23", "x"]), ".")
    array([1234.5,   -5. ,   12. ,   -7. ,    nan,    nan])
    >>> parse(pandas.Series(["1.234,5", "1,5"]), ",")
    array([1234.5,    1.5])
    """
    texts = texts.str.strip()
    values = _plain(texts, decimal)
    odd = np.isnan(values)
    if odd.any():
        values[odd] = _plain(_without_signs(texts[odd]), decimal)
    return values


def _plain(texts, decimal):
    """As `parse`, for numbers without currencies, percent signs and parentheses."""
    pandas = import_pandas()
    point, comma = (r"\.", ",") if decimal == "." else (",", r"\.")
    grouped = "|".join(rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})+" for group in (comma, *_GROUPS))
    pattern = rf"[+-]?(?:(?:\d+|{grouped})(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
    values = np.full(len(texts), np.nan)
    fits = texts.str.fullmatch(pattern).to_numpy(dtype=bool, na_value=False)
    if fits.any():
        numbers = (
            texts[fits]
            .str.replace(rf"[{comma}{_GROUPS}]", "", regex=True)
            .str.replace(decimal, ".", regex=False)
        )
        values[fits] = pandas.to_numeric(numbers).to_numpy(dtype=np.float64)
    return values


def _without_signs(texts):
    texts = texts.str.replace("−", "-", regex=False)
    texts = texts.str.replace(r"^\((.+)\)$", r"-\1", regex=True)
    texts = texts.str.replace(rf"^([+-]?)\s*{_CURRENCY}\s*([+-]?)", r"\1\2", regex=True)
    return texts.str.replace(rf"\s*(?:{_CURRENCY}|%)$", "", regex=True)


def decimal_mark(texts):
    """The decimal mark, "." or ",", of texts of which more are numbers with it; None where both do, or
    neither.

    Examples
    --------
    >>> import pandas
    >>> [decimal_mark(pandas.Series(texts)) for texts in (["1,5", "2,345"], ["1,234.5"], ["1,234"], ["7"])]
    [',', '.', None, None]
    """
    with_point, with_comma = (np.count_nonzero(~np.isnan(parse(texts, mark))) for mark in ".,")
    if with_point == with_comma:
        return None
    return "." if with_point > with_comma else ","


def groups_thousands(texts, decimal):
    """Whether the mark that is not the decimal one is in any of the texts, which are numbers."""
    return bool(texts.str.contains("," if decimal == "." else ".", regex=False).any())
