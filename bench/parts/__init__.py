"""The parts of the comparison: modules with `run(session)`, which returns rows of plain values, kept as
results["parts"][name].
"""

# In the order of a run; each name is a module here.
PARTS = ("training", "grid", "cliffs", "threads", "rows", "estimators", "prediction", "footprint")
