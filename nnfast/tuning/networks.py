"""The network that an estimator is or ends in, also at the end of pipelines within each other."""

from sklearn.pipeline import Pipeline

from nnfast.base import BaseMLP


def pipelines_of(estimator):
    """The pipelines that an estimator is and ends in, the outermost first; none where it is no pipeline."""
    pipelines = []
    while isinstance(estimator, Pipeline):
        pipelines.append(estimator)
        estimator = estimator.steps[-1][1]
    return pipelines


def last_step(estimator):
    """(What an estimator is or, of pipelines, ends in; the prefix of its parameters, such as "mlp__")."""
    pipelines = pipelines_of(estimator)
    prefix = "".join(f"{each.steps[-1][0]}__" for each in pipelines)
    return pipelines[-1].steps[-1][1] if pipelines else estimator, prefix


def network_of(estimator):
    """(The network that an estimator is or ends in, or None; the prefix of its parameters, such as "mlp__",
    or "").
    """
    last, prefix = last_step(estimator)
    return (last, prefix) if isinstance(last, BaseMLP) else (None, "")
