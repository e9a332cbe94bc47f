"""Initializers: the parameters that a fit starts from."""

import numpy as np

# Glorot and Bengio derive 6 for units of slope 1 at zero; scikit-learn uses 2 for the logistic, whatever the layer.
_GLOROT_FACTORS = {"logistic": 2.0}
_GLOROT_FACTOR = 6.0


def glorot_uniform(fan_in, fan_out, activation, random_state, dtype):
    """Draw one layer's weights and biases from U(-bound, bound), bound = sqrt(factor / (fan_in + fan_out)).

    The numbers are drawn as float64, weights first, exactly as scikit-learn draws them, and then rounded to `dtype`.

    Parameters
    ----------
    fan_in, fan_out : int
        Units of the layer below, and of this layer.
    activation : str
        Activation of the hidden layers; the factor is 2 for "logistic" and 6 for the others.
    random_state : numpy.random.RandomState
    dtype : numpy dtype

    Returns
    -------
    coef : ndarray of shape (fan_in, fan_out)
    intercept : ndarray of shape (fan_out,)

    References
    ----------
    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.
    """
    bound = np.sqrt(_GLOROT_FACTORS.get(activation, _GLOROT_FACTOR) / (fan_in + fan_out))
    coef = random_state.uniform(-bound, bound, (fan_in, fan_out))
    intercept = random_state.uniform(-bound, bound, fan_out)
    return coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)
