"""Training with 1, 2, 4, ... threads: the five shapes, each library pinned to as many CPUs."""

from bench.parts.training import compare
from bench.shapes import SHAPES
from bench.sides import Side

LIBRARIES = {
    "nnfast": ("float32", "float64"),
    "scikit-learn": ("float32",),
    "PyTorch": ("float32",),
    "JAX": ("float32",),
}


def run(session):
    """Rows as the training part's, with "threads"."""
    counts = sorted({*(2**power for power in range(8) if 2**power < session.n_threads), session.n_threads})
    session.open(
        Side(f"{library} {dtype}, {threads} threads", library, dtype, threads)
        for library, dtypes in LIBRARIES.items()
        for dtype in dtypes
        for threads in counts
    )
    rows = [row for shape in SHAPES.values() for row in compare(session, shape)]
    return [row | {"threads": session.processes[row["side"]].side.threads} for row in rows]
