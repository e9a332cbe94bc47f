"""A table, and the ways to write it to a file."""

import numpy as np
import pytest

pandas = pytest.importorskip("pandas")
N = 240


def table(n_rows=N):
    """Dates, numbers and colours that a price is nearly a linear function of, with numbers of a few
    decimals.
    """
    rng = np.random.RandomState(0)
    when = np.datetime64("2020-01-01") + rng.randint(0, 1500, n_rows)
    a, b = rng.normal(size=n_rows).round(4), (1000 + 90_000 * rng.uniform(size=n_rows)).round()
    colour = rng.choice(["green", "grün", "red"], n_rows)
    price = 2 * a + b / 10_000 + (when - when.min()).astype(int) / 200 + 3 * (colour == "red") + 10
    when = pandas.Series(when).astype("datetime64[us]")
    return pandas.DataFrame(
        {"when": when, "a": a, "b": b, "colour": colour.astype(object), "price": price.round(3)}
    )


def text(frame, sep=",", day="%Y-%m-%d", **formats):
    """The frame as CSV, its columns formatted by functions of a value."""
    formats = {"when": lambda value: value.strftime(day)} | formats
    cells = frame.assign(**{name: frame[name].map(change) for name, change in formats.items()})
    return cells.to_csv(index=False, sep=sep)


def comma(value):
    return str(value).replace(".", ",")


def parquet(frame):
    pytest.importorskip("pyarrow")
    return frame.to_parquet()


T = table()
