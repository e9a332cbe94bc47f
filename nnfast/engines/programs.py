"""Plans as compiled engines take them: tables of whole numbers."""

from functools import lru_cache

import numpy as np

from nnfast import plan as plans

# The part of a profile that the time of an operation belongs to.
_TIMED = {
    "gather": "gather",
    "loss": "loss",
    "output": "loss",
    "backward": "backward",
    "backward_narrow": "backward",
    "backward_bf16": "backward",
    "round_gradients": "backward",
    "normalize_rows": "normalization",
    "normalize_columns": "normalization",
    "normalize_by_running": "normalization",
    "normalize_rows_back": "normalization",
    "normalize_columns_back": "normalization",
}


@lru_cache(64)
def tables(plan, columns, phases):
    """A plan as int64 arrays by what they hold; made once.

    Parameters
    ----------
    plan : nnfast.plan.Plan
    columns : tuple of (str, tuple of str)
        Of "operations", "segments", "buffers", "params" and "norms", what the engine's columns are.
    phases : tuple of str
        The parts of a profile.
    """
    columns = dict(columns)
    operations = [
        vars(each)
        | {
            "kind": plans.KINDS.index(each.kind),
            "timed": phases.index(_TIMED.get(each.kind, "forward")),
            "derivative": plans.DERIVATIVES.index(each.derivative),
        }
        for each in plan.operations
    ]
    params = [vars(each) | _param_numbers(each) for each in plan.params]
    buffers = [each._asdict() | {"kind": plans.BUFFER_KINDS.index(each.kind)} for each in plan.buffers]
    return {
        "operations": _table(operations, columns["operations"]),
        "training": _table([each._asdict() for each in plan.training], columns["segments"]),
        "prediction": _table([each._asdict() for each in plan.prediction], columns["segments"]),
        "buffers": _table(buffers, columns["buffers"]),
        "params": _table(params, columns["params"]),
        "norms": _table([each._asdict() for each in plan.norms], columns["norms"]),
        "jobs": plan.jobs,
        "learned": np.array(plan.learned, np.intp),
        "statistics": np.array(plan.statistics, np.intp),
    }


def _param_numbers(param):
    rules = plans.MATRIX_RULES if param.kind == "matrix" else plans.VECTOR_RULES
    bf16_x, bf16_y = param.bf16 or (-1, -1)
    return {
        "kind": plans.PARAM_KINDS.index(param.kind),
        "rule": rules.index(param.rule),
        "bf16_x": bf16_x,
        "bf16_y": bf16_y,
    }


def _table(rows, columns):
    return np.array([[row[name] for name in columns] for row in rows], np.intp).reshape(-1, len(columns))
