"""Weights of predictions, by what they give out of fold."""

import numpy as np

# Steps of the search: weights are multiples of 1 / STEPS.
STEPS = 40


def blend_weights(outputs, loss):
    """Weights of several predictions whose mean has the smallest loss.

    By Caruana's greedy selection: in each step one more share goes to the prediction that lowers the loss of
    the mean most. The first goes to the best one.

    Parameters
    ----------
    outputs : list of ndarray of shape (n_samples, n_outputs)
        What is predicted out of fold.
    loss : callable(outputs) -> float

    Returns
    -------
    weights : ndarray of shape (len(outputs),)
        They are not negative and sum to 1.

    References
    ----------
    Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble Selection from Libraries of Models, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[0.0], [1.0], [2.0]])
    >>> blend_weights([y - 0.1, y + 0.3], lambda outputs: float(((outputs - y) ** 2).mean())).round(2)
    array([0.75, 0.25])
    """
    if len(outputs) == 1:
        return np.ones(1)
    counts, total = np.zeros(len(outputs)), np.zeros_like(outputs[0], dtype=np.float64)
    best = None
    for step in range(1, STEPS + 1):
        losses = [loss((total + each) / step) for each in outputs]
        chosen = int(np.argmin(losses))
        counts[chosen] += 1
        total += outputs[chosen]
        if best is None or losses[chosen] <= best[0]:
            best = losses[chosen], counts / step
    return best[1]
