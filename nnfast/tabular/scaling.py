"""Numbers as the networks take them: centered, scaled by their quartiles, and clipped smoothly."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from nnfast.tabular.encoder import Encoder

_LARGEST_FACTOR = 1e300


class SmoothClipScaler(Encoder):
    """Scale numbers by their quartiles, and clip them smoothly.

    A number x becomes ::

        z / sqrt(1 + (z / clip)^2),   z = (x - median) * factor

    which is close to z where z is small, and stays between -clip and clip whatever x is. The factor is
    1 / (q75 - q25), or where the quartiles are equal 2 / (max - min), or 0 for a constant. A missing number
    becomes 0, as the median does.

    Parameters
    ----------
    clip : float, default=3.0
        The largest absolute value.

    Attributes
    ----------
    medians_, factors_ : ndarray of shape (n_numbers,)

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart, Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
    Tabular Data, 2024, arXiv:2407.04491.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.tabular import SmoothClipScaler
    >>> SmoothClipScaler().fit_transform(np.array([[0.0], [1.0], [2.0], [3.0], [1e30]])).round(2).ravel()
    array([-0.95, -0.49,  0.  ,  0.49,  3.  ], dtype=float32)
    """

    label = "scaled"
    _parameter_constraints: dict = {"clip": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, clip=3.0):
        self.clip = clip

    def fit_table(self, table, targets=None, weights=None):
        numbers = table.numbers
        n = numbers.shape[1]
        self.medians_, self.factors_ = np.zeros(n), np.zeros(n)
        for j in range(n):
            there = numbers[:, j][~np.isnan(numbers[:, j])]
            if not len(there):
                continue
            low, self.medians_[j], high = np.quantile(there, [0.25, 0.5, 0.75])
            with np.errstate(over="ignore"):  # of denormal numbers
                if high > low:
                    self.factors_[j] = min(1 / (high - low), _LARGEST_FACTOR)
                elif there.max() > there.min():
                    self.factors_[j] = min(2 / (there.max() - there.min()), _LARGEST_FACTOR)
        return self

    @property
    def sources(self):
        return np.arange(len(self.medians_))

    def names(self, reader):
        return list(reader.number_names)

    def encode_block(self, numbers, codes, out):
        with np.errstate(over="ignore"):
            z = np.clip((numbers - self.medians_) * self.factors_, -1e9, 1e9)
        z[np.isnan(z)] = 0
        out[:] = z / np.sqrt(1 + (z / self.clip) ** 2)
