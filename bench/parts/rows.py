"""Fit time by the rows of the table: shape m, five epochs, the whole fit."""

from dataclasses import replace

from bench.parts.training import compare
from bench.shapes import SHAPES
from bench.sides import usual_sides

EPOCHS = 5
ROWS = (1_000, 10_000, 100_000, 300_000)


def run(session):
    """Rows as the training part's, with "rows" and the "seconds" of a fit."""
    session.open(usual_sides(session.n_threads))
    found = []
    for n_rows in ROWS[:3] if session.quick else ROWS:
        shape = replace(
            SHAPES["m"], name=f"{n_rows:,} rows", batches=max(1, n_rows // SHAPES["m"].batch_size)
        )
        for row in compare(session, shape, epochs=EPOCHS, whole=True, rounds=min(session.rounds, 3)):
            found.append(
                row | {"rows": n_rows, "seconds": [us * 1e-6 * EPOCHS * shape.batches for us in row["us"]]}
            )
    return found
