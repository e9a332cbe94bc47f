"""Numbers as periodic functions of themselves."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval

from nnfast.tabular.encoder import Encoder
from nnfast.tabular.scaling import SmoothClipScaler


class PeriodicEncoder(Encoder):
    """Encode numbers by cosines of random frequencies.

    A number x becomes ::

        cos(2 pi w_k z + b_k),   k = 1 ... n_frequencies

    where z is what `SmoothClipScaler` makes of it, w_k is drawn from N(0, scale^2) and b_k from U(-pi, pi),
    for each column by themselves.

    Parameters
    ----------
    n_frequencies : int, default=8
    scale : float, default=0.5
        The standard deviation of the frequencies: small ones give smooth functions.
    random_state : int, default=0
        Seed of the frequencies.

    Attributes
    ----------
    frequencies_, phases_ : ndarray of shape (n_numbers, n_frequencies)

    References
    ----------
    Gorishniy, Rubachev and Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, 2022,
    arXiv:2203.05556.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import PeriodicEncoder
    >>> PeriodicEncoder(n_frequencies=4).fit_transform(np.arange(10.0)[:, np.newaxis]).shape
    (10, 4)
    """

    label = "cosines"
    _parameter_constraints: dict = {
        "n_frequencies": [Interval(Integral, 1, None, closed="left")],
        "scale": [Interval(Real, 0, None, closed="neither")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, n_frequencies=8, scale=0.5, random_state=0):
        self.n_frequencies, self.scale, self.random_state = n_frequencies, scale, random_state

    def fit_table(self, table, targets=None, weights=None):
        self._scaler = SmoothClipScaler().fit_table(table)
        shape = table.numbers.shape[1], self.n_frequencies
        generator = np.random.default_rng(self.random_state)
        self.frequencies_ = generator.normal(0, self.scale, shape)
        self.phases_ = generator.uniform(-np.pi, np.pi, shape)
        return self

    @property
    def sources(self):
        return np.repeat(np.arange(len(self.frequencies_)), self.n_frequencies)

    def names(self, reader):
        return [f"{name}_cos{k}" for name in reader.number_names for k in range(self.n_frequencies)]

    def encode_block(self, numbers, codes, out):
        z = np.empty(numbers.shape, dtype=np.float32)
        self._scaler.encode_block(numbers, codes, z)
        angles = 2 * np.pi * z[:, :, np.newaxis] * self.frequencies_.astype(np.float32) + self.phases_.astype(
            np.float32
        )
        np.cos(angles.reshape(len(out), -1), out=out)
