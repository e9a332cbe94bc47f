"""Collects the rows that benchmarks report, and prints them as tables when all are done."""

import pytest

from bench.machine import cpu

_tables = {}


@pytest.fixture
def report():
    """report(title, **cells): one more row of the table `title`."""
    return lambda title, **cells: _tables.setdefault(title, []).append(
        {name: str(cell) for name, cell in cells.items()}
    )


def pytest_terminal_summary(terminalreporter):
    from nnfast.engines import cython as engine
    from nnfast.threads import n_threads_available

    write = terminalreporter.write_line
    if _tables:
        write("")
        write(
            f"CPU: {cpu()}; instruction set {engine.instruction_set()}; {n_threads_available()} threads"
            " available"
        )
    for title, rows in _tables.items():
        write("")
        write(title)
        widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
        for row in [
            {name: name for name in widths},
            {name: "-" * width for name, width in widths.items()},
            *rows,
        ]:
            write("| " + " | ".join(row[name].rjust(width) for name, width in widths.items()) + " |")
