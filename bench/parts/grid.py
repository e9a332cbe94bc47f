"""Training over a grid of networks and tables: each axis by itself from two centres, then points drawn from
the whole grid.
"""

from dataclasses import replace

import numpy as np

from bench.parts.training import compare
from bench.shapes import Shape
from bench.sides import MULTILAYER, usual_sides

AXES = {
    "width": (16, 32, 64, 128, 256, 512, 1024),
    "depth": (1, 2, 3, 4, 5),
    "batch": (16, 64, 256, 1024, 4096),
    "classes": (2, 10, 100, 1000),
    "features": (8, 50, 500, 5000),
    "density": (1.0, 0.2, 0.01),  # of tables with 500 features or more; 1: dense
}
CENTRES = (
    {"width": 64, "depth": 1, "batch": 64, "classes": 2, "features": 50, "density": 1.0},
    {"width": 256, "depth": 2, "batch": 256, "classes": 10, "features": 500, "density": 1.0},
)
DRAWN = 12
ROUNDS = 2  # there are many points
# Beyond it, scikit-learn would take minutes for a sample.
MOST_FLOPS_A_STEP = 4e9
# Of an epoch: arithmetic, and bytes of X in float64.
FLOPS, BYTES = 2e9, 1.6e8


def run(session):
    """Rows as the training part's; those along an axis from a centre have "axis" and "centre", the others
    None.
    """
    session.open(usual_sides(session.n_threads))
    rows, measured = [], {}  # the centres lie on several axes, but are measured once
    for axis, centre, shape in points(session.quick):
        if shape not in measured:
            measured[shape] = compare(
                session, shape, libraries=None if shape.density == 1 else MULTILAYER, rounds=ROUNDS
            )
            if shape.density < 1 and not measured[shape]:
                session.note(f"sparse tables: only {' and '.join(MULTILAYER)} train on them")
        rows += [row | {"axis": axis, "centre": centre} for row in measured[shape]]
    return rows


def points(quick):
    """(axis, number of the centre, shape) of every point."""
    found = []
    for number, centre in enumerate(CENTRES):
        if quick and number == 0:
            continue
        for axis, values in AXES.items():
            for value in values[:: 2 if quick else 1]:
                point = centre | {axis: value}
                if axis == "density":
                    point["features"] = 5000
                found.append((axis, number, shape_of(point)))
    rng = np.random.default_rng(0)
    drawn = []
    while not quick and len(drawn) < DRAWN:
        point = {axis: rng.choice(values).item() for axis, values in AXES.items()}
        shape = shape_of(point | ({"density": 1.0} if point["features"] < 500 else {}))
        if shape.flops_a_step <= MOST_FLOPS_A_STEP:
            drawn.append((None, None, shape))
    return found + drawn


def shape_of(point):
    """The Shape of a point of the grid; an epoch has batches enough to be timed, for a table that fits."""
    shape = Shape(
        "",
        point["features"],
        (point["width"],) * point["depth"],
        point["classes"],
        point["batch"],
        1,
        point["density"],
    )
    batches = min(
        FLOPS / shape.flops_a_step, BYTES / (8 * shape.n_features * shape.density * shape.batch_size)
    )
    # A table has a row of every class.
    return replace(shape, batches=int(max(2, -(-shape.n_classes // shape.batch_size), min(batches, 100))))
