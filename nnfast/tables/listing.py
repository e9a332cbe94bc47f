"""What is printed of a table's columns: a line each, below a line of counts."""

from collections import Counter


def column_lines(columns, target):
    """Lines that say what each column was taken for.

    Parameters
    ----------
    columns : sequence of Column

    target : str
        The name of the column to predict.

    Examples
    --------
    >>> from nnfast.tables import Column
    >>> columns = [
    ...     Column("id", "identifier", False, "int64", 0, "300 different whole numbers, and its name"),
    ...     Column("size", "number", True, "float64", 3, "3 taken for missing: '?'"),
    ...     Column("price", "number", True, "float64", 0),
    ... ]
    >>> print(*column_lines(columns, "price"), sep="\\n")
    Columns: 1 number; left out: 1 identifier (--keep NAME uses it).
      id     left out  identifier: 300 different whole numbers, and its name
      size   number    3 missing; 3 taken for missing: '?'
      price  number    target
    """
    used, left_out = (
        Counter(each.taken_for for each in columns if each.used == is_used and each.column != target)
        for is_used in (True, False)
    )
    total = f"Columns: {_counted(used) or 'none'}"
    if left_out:
        total += f"; left out: {_counted(left_out)} (--keep NAME uses it)"
    cells = [
        (each.column, each.taken_for if each.used else "left out", _remark(each, target)) for each in columns
    ]
    widths = [min(40, max(len(row[i]) for row in cells)) for i in (0, 1)]
    return [
        f"{total}.",
        *(f"  {name:<{widths[0]}}  {taken:<{widths[1]}}  {remark}".rstrip() for name, taken, remark in cells),
    ]


def _counted(kinds):
    plurals = {"category": "categories", "empty": "empty", "constant": "constant"}
    return ", ".join(
        f"{count} {kind if count == 1 else plurals.get(kind, kind + 's')}" for kind, count in kinds.items()
    )


def _remark(column, target):
    missing = f"{column.missing:,} missing" if column.missing and column.taken_for != "empty" else ""
    note = column.note if column.used else f"{column.taken_for}: {column.note}"
    return "; ".join(filter(None, ("target" if column.column == target else "", missing, note)))
