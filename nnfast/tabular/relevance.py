"""Factors of the inputs by what their columns tell of the targets."""

import numpy as np

# So many rows tell enough: more are not looked at.
ENOUGH_ROWS = 20_000
LOWEST, HIGHEST = 0.15, 3.0
# Inputs that are looked at at a time, at most: memory beside the table is that of so many, in float64.
BLOCK = 256
_FLOOR = 1e-4


def relevance_factors(X, targets, sources, strength, rows=slice(None)):
    """Factors by which inputs are multiplied before a network is trained.

    A network learns fastest from its largest inputs. So the inputs of a column that tells much of the targets
    get larger, and the others smaller: those of column c are multiplied by ::

        clip((r_c / mean of r)^(strength / 2), 0.15, 3)

    where r_c is the largest square of the correlation of one of its inputs with a target, less what chance
    would give.

    Parameters
    ----------
    X : ndarray of float32, shape (n_samples, n_inputs)
    targets : ndarray of shape (n_samples, n_targets)
        Of mean 0 and variance 1.
    sources : ndarray of int, shape (n_inputs,)
        The column of each input.
    strength : float
        0 leaves the inputs as they are.
    rows : ndarray of int or slice
        The rows of X that the targets are of, on which the network is trained.

    Returns
    -------
    factors : ndarray of float32, shape (n_inputs,)

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], dtype=np.float32)
    >>> relevance_factors(x, x[:, :1].astype(float), np.array([0, 1]), 1.0).round(2)
    array([1.41, 0.15], dtype=float32)
    """
    if not X.size or strength == 0:
        return np.ones(len(sources), dtype=np.float32)
    squares = [
        _squared_correlations(X[rows, each[0] : each[-1] + 1], targets)
        for each in np.array_split(np.arange(X.shape[1]), -(-X.shape[1] // BLOCK))
    ]
    relevance = np.zeros(sources.max(initial=-1) + 1)
    np.maximum.at(relevance, sources, np.concatenate(squares))
    relevance = np.maximum(relevance - 2 / len(targets), _FLOOR)
    factors = (relevance / relevance[np.unique(sources)].mean()) ** (strength / 2)
    return np.clip(factors, LOWEST, HIGHEST)[sources].astype(np.float32)


def _squared_correlations(X, targets):
    """Of each input, the largest one with a target."""
    X = X - X.mean(axis=0, dtype=np.float64)
    deviations = np.maximum(X.std(axis=0), 1e-6)
    # Not by BLAS, whose sums depend on how many threads it has.
    correlations = np.einsum("ij,ik->jk", X, targets) / len(X) / deviations[:, np.newaxis]
    return (correlations**2).max(axis=1)
