"""What may be wrong with a table, and the libraries that reading one needs."""


class TableError(ValueError):
    """A table that cannot be read or trained on. The message is for the user, and says what would do."""


def import_pandas():
    """pandas, or a `TableError` that says how to install it."""
    try:
        import pandas
    except ImportError:
        raise TableError(
            "Reading a table needs pandas, which is not installed: pip install 'nnfast[table]'."
        ) from None
    return pandas


def shown(value):
    """A value as messages show it: short, and without NumPy's wrapping."""
    text = repr(value.item() if hasattr(value, "item") else value)
    return text if len(text) <= 60 else text[:57] + "..."


def listed(names, most=8):
    """Names as messages list them, in quotes, and how many more there are."""
    names = list(names)
    text = ", ".join(repr(name) for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"
