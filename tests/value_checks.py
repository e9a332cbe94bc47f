"""Checks of the kernels of activations, normalizations, losses, updates and layouts, for CHECKS of
test_kernels.py.
"""

import numpy as np
import reference
from kernel_data import DTYPES, FROM_VALUES, activated, base_of, entries, settings_of, wide
from nnfast.kernels import engine
from problems import targets

from nnfast.activations import ACTIVATIONS
from nnfast.losses import LOSSES
from nnfast.optimizers import OPTIMIZERS, SGD, AdamW
from nnfast.regularization import kept_units

# ------------------------------------------------------------------------------------------------------------
# Elementwise, losses, updates, layouts


def activation(table, rows, n_in, n_out, rng):
    z = (4 * rng.normal(size=(rows, n_in))).astype(table.dtype)
    for record, p in entries(ACTIVATIONS, table.dtype):
        a, a_bound = activated(table, record, p, z.astype(float), 0)
        yield f"{record.name} {p}", table.activation(record.kernel, z, p), a, a_bound
        got, slope = table.activation_and_slope(record.kernel, z, p)
        yield f"{record.name} {p} again", got, a, a_bound
        yield (
            f"slope of {record.name} {p}",
            slope,
            record.derivative(z.astype(float), a, p),
            np.finfo(table.dtype).eps * (7 + abs(z)),
        )


def derivative(table, rows, n_in, n_out, rng):
    z, da = rng.normal(size=(2, rows, n_in)).astype(table.dtype)
    for record, p in entries(FROM_VALUES, table.dtype):
        a = record.function(z, p).astype(table.dtype)
        slope = record.derivative(*wide(z, a), p)
        yield (
            f"{record.name} {p}",
            table.derivative(record.kernel, a, da, p),
            da * slope,
            4 * np.finfo(table.dtype).eps * abs(da),
        )
    yield "stored", table.derivative("stored", z, da), z * da, 0


def drop(table, rows, n_in, n_out, rng):
    a, slope = rng.normal(size=(2, rows, n_in)).astype(table.dtype)
    seed, step, number = (
        int(rng.integers(0, 2**63)) * 2 + 1,
        int(rng.integers(0, 10**9)),
        int(rng.integers(0, 5)),
    )
    masks = (
        reference.kept_units
        if rows * n_in < 600
        else lambda *where: kept_units(*where[:3], seed=where[3], step=where[4], layer=where[5])
    )
    rates = {0.25: (0, 4 / 3, 0, 0), 0.999: (2, 1000, 0, 0), 0.5: (1, 0.9, 0.4, -1.2), 2.0**-32: (0, 1, 0, 0)}
    for rate, (row, scale, shift, dropped) in rates.items():
        kept = masks(rate, row + rows, n_in, seed, step, number)[row:]
        got, got_slope = table.drop(a, slope, rate, base_of(seed, step, number), row, scale, shift, dropped)
        eps = np.finfo(table.dtype).eps
        yield (
            f"{rate}",
            got,
            np.where(kept, a * scale + shift, dropped),
            2 * eps * (abs(a * scale) + abs(shift) + abs(dropped)),
        )
        yield f"slope {rate}", got_slope, kept * slope * scale, 2 * eps * abs(slope * scale)


# ------------------------------------------------------------------------------------------------------------
# Normalization


def norm_arrays(table, rows, n, rng):
    """z, dout, scale, shift, mean and variance; z has means far from 0."""
    z, dout = (rng.normal(size=(2, rows, n)) + 3 * rng.normal(size=(2, 1, n))).astype(table.dtype)
    scale, variance = rng.uniform(0.5, 2, (2, n)).astype(table.dtype)
    shift, mean = rng.normal(size=(2, n)).astype(table.dtype)
    return z, dout, scale, shift, mean, variance


def normalized(z, dout, scale, shift, mean, variance, epsilon, axis, eps):
    """zhat, output and dz, each with the bound on its error. axis None: mean and variance are constants."""
    root = np.sqrt(variance + epsilon)
    size = eps * (12 + (0 if axis is None else 4 * z.shape[axis])) * (1 + abs(z).max() / root)
    zhat, g = (z - mean) / root, dout * scale
    along, terms = 0, abs(g)
    if axis is not None:
        along = g.mean(axis=axis, keepdims=True) + zhat * (g * zhat).mean(axis=axis, keepdims=True)
        terms = abs(g) + abs(g).mean(axis=axis, keepdims=True)
        terms = terms + (1 + abs(zhat)) * (1 + abs(zhat).max()) * abs(g * zhat).mean(axis=axis, keepdims=True)
    return {
        "zhat": (zhat, size * (1 + abs(zhat))),
        "out": (scale * zhat + shift, (size * (1 + abs(zhat)) + 2 * eps) * (abs(scale) + abs(shift))),
        "dz": ((g - along) / root, size * (1 + abs(zhat)) * terms / root),
    }


def normalize_columns(table, rows, n_in, n_out, rng):
    arrays = norm_arrays(table, rows, n_in, rng)
    z, dout, scale, shift, mean, variance = wide(*arrays)
    eps, momentum = np.finfo(table.dtype).eps, 0.3
    own = (z.mean(axis=0), z.var(axis=0), 0) if rows > 1 else (mean, variance, None)
    for epsilon, learn in ((0.01, True), (2.0, False)):
        got = table.normalize_columns(*arrays, epsilon, momentum, learn)
        expected = normalized(z, dout, scale, shift, *own[:2], epsilon, own[2], eps)
        zhat, zhat_bound = expected["zhat"]
        size = (rows + 10) * eps
        expected["dshift"] = dout.sum(axis=0), size * abs(dout).sum(axis=0)
        expected["dscale"] = (
            (dout * zhat).sum(axis=0),
            (abs(dout) * (zhat_bound + size * abs(zhat))).sum(axis=0),
        )
        gain = momentum * (learn and rows > 1)
        expected["mean"] = mean + gain * (own[0] - mean), size * (abs(z).max() + abs(mean))
        unbiased = own[1] * rows / max(1, rows - 1)
        expected["variance"] = (
            variance + gain * (unbiased - variance),
            2 * size * (unbiased + variance + (eps * abs(z).max()) ** 2),
        )
        assert set(got) == set(expected)
        for name, numbers in got.items():
            yield f"{name} {learn}", numbers, *expected[name]


def normalize_by_running(table, rows, n_in, n_out, rng):
    z, dout, *vectors = norm_arrays(table, rows, n_in, rng)
    for epsilon in (1e-5, 2.0):
        expected = normalized(*wide(z, dout, *vectors), epsilon, None, np.finfo(table.dtype).eps)
        yield f"{epsilon}", table.normalize_by_running(z, *vectors, epsilon), *expected["out"]


def normalize_rows(table, rows, n_in, n_out, rng):
    z, dout, scale, shift, _, _ = norm_arrays(table, rows, n_in, rng)
    for epsilon in (0.01, 2.0):
        wider = wide(z, dout, scale, shift)
        statistics = (f(wider[0], axis=1, keepdims=True) for f in (np.mean, np.var))
        expected = normalized(*wider, *statistics, epsilon, 1, np.finfo(table.dtype).eps)
        for name, numbers in table.normalize_rows(z, dout, scale, shift, epsilon).items():
            yield f"{name} {epsilon}", numbers, *expected[name]


# ------------------------------------------------------------------------------------------------------------
# Losses


def output_bound(record, z, p, eps):
    """Bound on the error of the output activation at logits z with value p."""
    distance = abs(z - z.max(axis=1, keepdims=True)) if record.out_activation == "softmax" else 0
    # 1e-44: float32's subnormals
    return eps * (10 + z.shape[1] + distance) * p + 1e-44 if record.out_activation != "identity" else 0 * p


LOSS_PARAMETERS = {
    "log_loss": [(), (0.1,)],
    "focal": [(2.0,), (0.5,), (0.0,), (5.0,)],
    "huber": [(1.0,), (0.3,)],
}
LOSS_PARAMETERS["binary_focal"] = LOSS_PARAMETERS["focal"]


def loss_entries(n_out, rng):
    for record in LOSSES.values():
        for parameters in (
            LOSS_PARAMETERS.get(record.name, [()])
            if record.name != "quantile"
            else [tuple(rng.uniform(0.01, 0.99, n_out))]
        ):
            yield record, parameters


def loss(table, rows, n_in, n_out, rng):
    for record, parameters in loss_entries(n_out, rng):
        name = record.name
        z = (
            rng.normal(size=(rows, n_out))
            * rng.choice([1, 10 if record.out_activation == "exp" else 100], (rows, 1))
        ).astype(table.dtype)
        y = targets(name, z.shape, rng, table.dtype)
        z_, y_ = z.astype(float), y if record.out_activation == "softmax" else y.astype(float)
        eps, p = np.finfo(table.dtype).eps, record.output(z_)
        value, dz = (
            record.value(y_, z_, parameters),
            record.gradient(y_, z_, parameters) * record.descent_scale(n_out),
        )
        terms = 1 + abs(z_).sum(axis=1) + value  # the magnitudes that are added up to the loss
        if record.out_activation == "exp":
            terms = terms + (
                p + abs(y_ * z_) + y_ * (1 + np.log(y_ + 1)) + y_ / p + abs(np.log(y_ + 1e-300))
            ).sum(axis=1) * (1 + (y_.min() > 0))
        elif record.out_activation == "identity":
            terms = terms + (z_**2 + y_**2).sum(axis=1)
        dz_bound = output_bound(record, z_, abs(p), eps) + 3 * eps * (
            1 if record.out_activation == "softmax" else abs(y_) + abs(p)
        )
        if "focal" in name:  # products of positive numbers
            far = abs(z_).max(axis=1, keepdims=True)
            dz_bound = 4 * eps * (10 + n_out + 4 * far) * (1 + parameters[0]) * abs(dz) + (
                1e-18 if table.dtype == np.float32 else 1e-290
            )
        elif name == "gamma":
            dz_bound = 5 * eps * (1 + y_ / p)
        for weight, scale in ((None, 1.0), (rng.uniform(0, 3, rows) * rng.integers(0, 2, rows), 0.5)):
            by = np.ones(rows) if weight is None else weight
            row_loss, got = table.loss(
                record.kernel,
                y,
                z,
                weight,
                scale,
                parameters or record.defaults * (n_out if name == "quantile" else 1),
            )
            what = f"{name} {parameters}" if weight is None else f"{name} {parameters}, weighted"
            yield f"{what}: rows", row_loss, value * by, (10 + n_out) * eps * terms * by
            factor = scale * by[:, None]
            yield f"{what}: dz", got, dz * factor, factor * (dz_bound + 3 * eps * abs(dz)) + 1e-44


def output(table, rows, n_in, n_out, rng):
    for name, record in LOSSES.items():
        z = (5 * rng.normal(size=(rows, n_out))).astype(table.dtype)
        p = record.output(z.astype(float))
        got = table.output(record.kernel, z)
        yield name, got, p, output_bound(record, z.astype(float), p, np.finfo(table.dtype).eps)
        yield (
            f"{name}: the bits of a row alone",
            np.concatenate([table.output(record.kernel, row) for row in z[:, np.newaxis]]),
            got,
            0,
        )


# ------------------------------------------------------------------------------------------------------------
# Updates, layouts


def update(table, rows, n_in, n_out, rng):
    """Several steps; among the weights some whose gradient is always zero, some whose gradients are tiny or
    huge.
    """
    size, eps = rows * n_in, np.finfo(table.dtype).eps
    extremes = np.array(
        [0, 1e-30, 1e-19, 1e-6, 1e6, 1e18]
        if table.dtype == np.float32
        else [0, 1e-200, 1e-160, 1e-6, 1e6, 1e150]
    )
    size_of = np.where(rng.random(size) < 0.5, 1, extremes[rng.integers(0, 6, size)])
    for rule in (
        *(record() for record in OPTIMIZERS.values()),
        SGD(nesterov=False),
        SGD(momentum=0, nesterov=False),
        AdamW(weight_decay=10),
    ):
        plain = rule == SGD(momentum=0, nesterov=False)
        w = rng.normal(size=size).astype(table.dtype)
        moments = [np.zeros_like(w) for _ in range(rule.n_moments)]
        w_, moments_ = w.astype(float), [m.astype(float) for m in moments]
        path, moment_path = abs(w_), [0 * w_ for _ in moments]
        for t in range(1, 5):
            g = (rng.normal(size=size) * size_of).astype(table.dtype)
            before = w_.copy()
            rule.update(w_, moments_, g.astype(float), 0.01, t)
            table.update(rule.kernel, w, g, () if plain else moments, **settings_of(rule, 0.01, t))
            path = (
                path
                + abs(w_ - before)
                + (0.01 * abs(g) + sum(abs(m) for m in moments_) if rule.name == "sgd" else 0.1)
            )
            for i, m in enumerate(moments_):
                moment_path[i] = moment_path[i] + abs(m) + (abs(g) if i == 0 else 0)
        yield f"{rule}: w", w, w_, 20 * eps * path
        tiny = np.finfo(table.dtype).smallest_normal
        for i, m in enumerate(() if plain else moments):
            yield f"{rule}: moment {i}", m, moments_[i], 20 * eps * moment_path[i] + tiny


def limited(table, rows, n_in, n_out, rng):
    w = (rng.normal(size=(n_in, n_out)) * rng.choice([0, 1e-3, 1, 100], n_out)).astype(table.dtype)
    for max_norm in (0.5, 20.0):
        norms = np.sqrt((w.astype(float) ** 2).sum(axis=0))
        got = table.limited(w, max_norm)
        eps = np.finfo(table.dtype).eps
        expected = w * np.where(norms > max_norm, max_norm / np.maximum(norms, 1e-300), 1)
        yield f"{max_norm}", got, expected, (n_in + 8) * eps * abs(expected)
        inside = norms < max_norm * (1 - n_in * eps)
        yield f"{max_norm}: columns within it", got[:, inside], w[:, inside], 0


def squares(table, rows, n_in, n_out, rng):
    w = rng.normal(size=(min(n_in, 32), n_out)).astype(table.dtype)
    for square, absolute in ((1, 0), (0.3, 0.7), (0, 2)):
        expected = (square * w.astype(float) ** 2 + absolute * abs(w.astype(float))).sum(axis=0)
        got = table.squares(w, square_factor=square, absolute_factor=absolute)
        yield f"columns {square} {absolute}", got, expected, 35 * np.finfo(table.dtype).eps * expected


def are_finite(table, rows, n_in, n_out, rng):
    x = rng.choice(
        np.array([0.0, -0.0, 1.0, np.finfo(table.dtype).max, np.finfo(table.dtype).min, 1e-40]).astype(
            table.dtype
        ),
        rows * n_in,
    )
    yield "finite", float(table.are_finite(x)), 1.0, 0
    for value in (np.nan, np.inf, -np.inf):
        for at in (0, x.size - 1, rng.integers(x.size)):
            other = x.copy()
            other[at] = value
            yield f"{value} at {at}", float(table.are_finite(other)), 0.0, 0
    other = (rng.standard_normal(x.size) / 8).astype(table.dtype)
    for value, expected in ((1.0, 1.0), (4.0, 0.0), (-4.0, 0.0)):
        other[rng.integers(x.size)] = value
        yield (
            f"{value} times the largest number",
            float(table.are_finite(other, np.finfo(table.dtype).max)),
            expected,
            0,
        )


def packed(table, rows, n_in, n_out, rng):
    for dtype in DTYPES:
        w = rng.normal(size=(n_in, n_out)).astype(dtype)
        yield dtype, table.packed(w), w.astype(table.dtype).astype(dtype), 0


def packed_transposed(table, rows, n_in, n_out, rng):
    for dtype in DTYPES:
        w = rng.normal(size=(n_in, n_out)).astype(dtype)
        yield dtype, table.packed_transposed(w), w.astype(table.dtype).astype(dtype), 0


def transposed(table, rows, n_in, n_out, rng):
    w = rng.normal(size=(n_in, n_out)).astype(table.dtype)
    yield "w", table.transposed(w), w.T, 0


def map_(table, rows, n_in, n_out, rng):
    x = rng.uniform(0.01, 1, rows * n_in).astype(table.dtype)
    oracles = {
        "exp": np.exp,
        "log": np.log,
        "log1p_unit": np.log1p,
        "sqrt": np.sqrt,
        "reciprocal": np.reciprocal,
    }
    for name in engine.FUNCTIONS:
        expected = oracles[name](x.astype(float))
        yield name, table.map(name, x), expected, 5 * np.finfo(table.dtype).eps * abs(expected)


def multiply_add(table, rows, n_in, n_out, rng):
    yield "operations a vector and round", table.multiply_add(rows) / (table.panel * rows), 12.0, 0
