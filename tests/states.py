"""The table that states are fitted to and predict."""

import numpy as np

RNG = np.random.RandomState(0)
X = RNG.normal(size=(12, 4))
THREE = np.arange(12) % 3
