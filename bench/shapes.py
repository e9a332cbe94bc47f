"""Nets that figures of speed are given for, the five above all, and tables to train them on."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse


@dataclass(frozen=True)
class Shape:
    """A classifier net: inputs, hidden layers, classes, rows of a batch; `batches` an epoch of the benchmark.
    A `density` below 1: X is CSR.
    """

    name: str
    n_features: int
    hidden: tuple[int, ...]
    n_classes: int
    batch_size: int
    batches: int
    density: float = 1.0

    def __str__(self):
        units = "-".join(map(str, (self.n_features, *self.hidden, self.n_classes)))
        return (
            f"{self.name} {units},"
            f" {self.batch_size}{f', {self.density:.0%} dense' if self.density < 1 else ''}".strip()
        )

    @property
    def layer_units(self):
        """Two classes are one output, in scikit-learn as here."""
        return (self.n_features, *self.hidden, 1 if self.n_classes == 2 else self.n_classes)

    @property
    def flops_a_step(self):
        """Multiplications and additions of the products of one step: three a layer, but two in the first,
        whose inputs need no gradient and whose zeros in a sparse table need none at all.
        """
        return sum(
            2 * n_in * n_out * self.batch_size * (2 * self.density if layer == 0 else 3)
            for layer, (n_in, n_out) in enumerate(zip(self.layer_units, self.layer_units[1:]))
        )

    @property
    def flops_a_row(self):
        """Multiplications and additions of the products of a prediction of one row."""
        return sum(2 * n_in * n_out for n_in, n_out in zip(self.layer_units, self.layer_units[1:]))

    @property
    def n_parameters(self):
        return sum((n_in + 1) * n_out for n_in, n_out in zip(self.layer_units, self.layer_units[1:]))

    def table(self, dtype, n_rows=None, seed=0):
        """X and y of `batches` whole batches (or n_rows): a linear problem with noise, learnable and never
        finished. Every class occurs.
        """
        rng = np.random.default_rng(seed)
        n_rows = n_rows or self.batch_size * self.batches
        if self.density < 1:
            X = scipy.sparse.random(n_rows, self.n_features, self.density, "csr", dtype, rng)
        else:
            X = rng.standard_normal((n_rows, self.n_features), dtype=np.float64).astype(dtype)
        scores = X @ rng.standard_normal((self.n_features, self.n_classes)).astype(dtype)
        scores += rng.standard_normal(scores.shape) * np.sqrt(self.n_features)
        y = scores.argmax(axis=1)
        y[: self.n_classes] = np.arange(self.n_classes)
        return X, y


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("xs", 20, (64,), 2, 32, 400),
        Shape("s", 64, (100,), 10, 200, 100),
        Shape("m", 50, (128, 128), 2, 256, 60),
        Shape("t", 100, (256, 256, 256), 7, 256, 20),
        Shape("l", 784, (512, 512, 256), 10, 256, 8),
    )
}
