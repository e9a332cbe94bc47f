"""The parts of the comparison: each a module with `run(session)`, which returns rows of plain values; `python -m bench PART` names them."""
