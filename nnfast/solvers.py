"""What each solver can do: those of `nnfast.optimizers`, which train by minibatches, and L-BFGS."""

from dataclasses import dataclass

from nnfast.optimizers import OPTIMIZERS


@dataclass(frozen=True)
class Solver:
    """What a solver can do, whatever its hyperparameters.

    Attributes
    ----------
    minibatches : bool
        Whether it trains by epochs of minibatches, each with a learning rate. Only then are there schedules,
        shuffles, tables read in blocks, early stopping, `partial_fit`, and fits that pause.
    regularizers : bool
        Whether it knows others than `alpha`: dropout, `l1`, `max_norm` and clipping.
    batch_statistics : bool
        Whether there are batches to take statistics of, as normalization="batch" does.
    low_precision : bool
        Whether it computes in less than float64 where `precision` asks for it.
    line_search : bool
        Whether it evaluates the loss several times an iteration, which `max_fun` limits.
    round : str
        What `max_iter` counts, in a word.
    """

    minibatches: bool = True
    regularizers: bool = True
    batch_statistics: bool = True
    low_precision: bool = True
    line_search: bool = False
    round: str = "epoch"


BY_MINIBATCHES = Solver()

SOLVERS = {
    **dict.fromkeys(OPTIMIZERS, BY_MINIBATCHES),
    "lbfgs": Solver(
        minibatches=False,
        regularizers=False,
        batch_statistics=False,
        low_precision=False,
        line_search=True,
        round="iteration",
    ),
}


def solver_of(solver):
    """What the value of a parameter `solver` can do.

    Parameters
    ----------
    solver : str or record of nnfast.optimizers
        Anything else, which an estimator refuses, counts as a solver by minibatches.
    """
    return SOLVERS.get(solver, BY_MINIBATCHES) if isinstance(solver, str) else BY_MINIBATCHES


def solvers_with(capability, value=True):
    """Names of the solvers that have a capability, an attribute of `Solver`; or that have not, by False."""
    return [name for name, solver in SOLVERS.items() if getattr(solver, capability) == value]
