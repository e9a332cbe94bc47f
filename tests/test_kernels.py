"""Every kernel of the compiled table, alone, in every instruction set and dtype, against NumPy in float64.

CHECKS has a generator for each method of `KernelTable`: it calls the method and yields (what, got, expected,
bound), the bound on the absolute error derived from the number of roundings. Shapes straddle vectors, panels,
and the depth at which products are cut.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import reference
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from nnfast.kernels import engine
from problems import targets

from nnfast.activations import ACTIVATIONS
from nnfast.losses import LOSSES
from nnfast.optimizers import OPTIMIZERS, SGD, AdaBelief, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop
from nnfast.regularization import kept_units

ISAS = engine.instruction_sets()
DTYPES = ("float32", "float64")
SIZES = (1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97)


def shapes():
    """(rows, inputs, outputs): every size in every place, more inputs or outputs than DEPTH = 256, narrow
    outputs.
    """
    for turn in (0, 3, 7):
        for i, rows in enumerate(SIZES):
            yield rows, SIZES[(i * 3 + turn) % 11], SIZES[(i * 7 + 2 * turn + 1) % 11]
    yield from (
        (9, 300, 20),
        (7, 513, 33),
        (5, 20, 300),
        (3, 33, 257),
        (70, 257, 1),
        (12, 5, 2),
        (6, 40, 3),
        (530, 6, 4),
    )


def wide(*arrays):
    return tuple(a.astype(np.float64) for a in arrays)


def product(x, w, b, eps):
    """x @ w + b, and the bound on the error of any order of summation."""
    x, w, b = wide(x, w, b)
    return x @ w + b, (x.shape[1] + 3) * eps * (abs(x) @ abs(w) + abs(b))


def layer(table, rows, n_in, n_out, rng):
    return tuple(
        rng.normal(size=shape).astype(table.dtype)
        for shape in ((rows, n_in), (n_in, n_out), (n_out,), (rows, n_out))
    )


def sparse_table(n_rows, n_in, rng, dtype, index_dtype):
    """CSR with empty rows, entries out of order, and some entries twice."""
    lengths = rng.integers(0, min(n_in, 9) + 1, n_rows) * rng.integers(0, 2, n_rows)
    lengths[-1] = max(lengths[-1], 2)
    indices = rng.integers(0, n_in, lengths.sum())
    indices[-2:] = n_in - 1
    X = scipy.sparse.csr_array((n_rows, n_in), dtype=dtype)
    X.data, X.indices = rng.normal(size=len(indices)).astype(dtype), indices.astype(index_dtype)
    X.indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(index_dtype)
    return X


def dense_of(X):
    """The sum of duplicates in float64 and, per element, of their magnitudes."""
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    values, magnitudes = np.zeros(X.shape), np.zeros(X.shape)
    np.add.at(values, (rows, X.indices), X.data)
    np.add.at(magnitudes, (rows, X.indices), abs(X.data))
    return values, magnitudes


def sparse_kinds(table, rows, n_in, rng):
    for dtype, index_dtype in (("float32", np.int32), ("float64", np.int64), (table.dtype, np.int32)):
        X = sparse_table(rows + 3, n_in, rng, dtype, index_dtype)
        yield X, f"{dtype} {index_dtype.__name__}"


# ------------------------------------------------------------------------------------------------------------
# Tables into panels


def gather(table, rows, n_in, n_out, rng):
    index = rng.integers(0, rows + 2, rows)
    for name in (*engine.SOURCES, "bool"):
        dtype = np.dtype(name)
        if dtype.kind == "f":
            base = rng.normal(size=(rows + 2, 2 * n_in)).astype(dtype)
        else:
            base = rng.integers(0, 256, (rows + 2, 2 * n_in * dtype.itemsize), dtype=np.uint8)
            base = base.view(dtype) if dtype.kind != "b" else base > 127
        read_only = base[:, :n_in].copy()
        read_only.flags.writeable = False
        tables = {
            "C": base[:, :n_in].copy(),
            "F": np.asfortranarray(base[:, :n_in]),
            "sliced": base[:, ::2],
            "negative": base[::-1, ::-2],
            "broadcast": np.broadcast_to(base[0, :n_in], (rows + 2, n_in)),
            "read-only": read_only,
        }
        for layout, X in tables.items():
            yield f"{name} {layout}", table.gather(X, index), X[index].astype(table.dtype), 0


def densify(table, rows, n_in, n_out, rng):
    index = rng.integers(0, rows + 3, rows)
    for X, kind in sparse_kinds(table, rows, n_in, rng):
        values, magnitudes = dense_of(X)
        yield kind, table.densify(X, index), values[index], 9 * np.finfo(table.dtype).eps * magnitudes[index]


# ------------------------------------------------------------------------------------------------------------
# Layers


# Activations with their parameters, of which the first few are done by the products, or give their derivative
# from their values.
PARAMETERS = {"leaky_relu": (0.01, 0.3, 1.5), "elu": (1.0, 0.3, 3.0), "softplus": (1.0, 0.5, 3.0)}
FUSED = ("identity", "relu", "leaky_relu")
FROM_VALUES = ("identity", "logistic", "tanh", "relu", "leaky_relu")


def entries(names, dtype):
    """(record, parameter) of these activations; parameters that the dtype has exactly."""
    for name in names:
        record = ACTIVATIONS[name]
        for parameter in PARAMETERS.get(name, (0.0,)):
            yield record, float(np.dtype(dtype).type(parameter))


def activated(table, record, parameter, z, z_bound):
    """f(z) and the bound on its error: the steepest activation here is an ELU of slope 3."""
    a = record.function(z, parameter)
    # NumPy's are less exact where they are tiny
    return a, 3 * z_bound + 5 * np.finfo(table.dtype).eps * (abs(a) + 0.1)


def dense_forward(table, rows, n_in, n_out, rng):
    x, w, b, _ = layer(table, rows, n_in, n_out, rng)
    z = product(x, w, b, np.finfo(table.dtype).eps)
    for record, p in entries(FUSED, table.dtype):
        yield (
            f"{record.name} {p}",
            table.dense_forward(x, w, b, record.kernel, p),
            *activated(table, record, p, *z),
        )


def dense_forward_narrow(table, rows, n_in, n_out, rng):
    for n_out in range(1, 5):
        x, w, b, _ = layer(table, rows, n_in, n_out, rng)
        yield (
            f"{n_out} outputs",
            table.dense_forward_narrow(x, w, b),
            *product(x, w, b, np.finfo(table.dtype).eps),
        )


def dense_forward_row(table, rows, n_in, n_out, rng):
    x, w, b, _ = layer(table, rows, n_in, n_out, rng)
    padded = np.full((n_in, n_out + 3 * table.panel), np.nan, table.dtype)
    padded[:, :n_out] = w
    for what, weights in (("w", w), ("w with space between its rows", padded[:, :n_out])):
        got = table.dense_forward_row(x, weights, b)
        yield what, got, *product(x, w, b, np.finfo(table.dtype).eps)
        yield f"{what}: the bits of the product by panels", got, table.dense_forward(x, w, b, "identity"), 0


def dropped_inputs(shape, rate, seed, step, row=0):
    """What dropout multiplies the inputs of a batch's rows from `row` on by."""
    return kept_units(rate, row + shape[0], shape[1], seed=seed, step=step, layer=0)[row:] / (1 - rate)


def base_of(seed, step, layer):
    return reference.mix((reference.mix((seed + 0x9E3779B97F4A7C15 * (step + 1)) % 2**64) + layer) % 2**64)


def dense_forward_sparse(table, rows, n_in, n_out, rng):
    index = rng.integers(0, rows + 3, rows)
    _, w, b, _ = layer(table, rows, n_in, n_out, rng)
    for X, kind in sparse_kinds(table, rows, n_in, rng):
        values, magnitudes = dense_of(X)
        for rate, row in ((0, 0), (0.4, 0), (0.9, 1000)):
            factor = dropped_inputs((rows, n_in), rate, 5, 7, row)
            z = values[index] * factor @ w.astype(float) + b
            bound = (
                15 * np.finfo(table.dtype).eps * (magnitudes[index] * factor @ abs(w).astype(float) + abs(b))
            )
            yield (
                f"{kind} {rate}",
                table.dense_forward_sparse(X, index, w, b, rate, base_of(5, 7, 0), row),
                z,
                bound,
            )


def dense_backward(table, rows, n_in, n_out, rng):
    z_below, w, _, dz = layer(table, rows, n_in, n_out, rng)
    eps = np.finfo(table.dtype).eps
    da, bound = product(dz, w.T, np.zeros(n_in), eps)
    for record, p in entries(FROM_VALUES, table.dtype):
        a = record.function(z_below, p).astype(table.dtype)
        slope = record.derivative(*wide(z_below, a), p)
        yield (
            f"{record.name} {p}",
            table.dense_backward(dz, w, a, record.kernel, p),
            da * slope,
            bound * abs(slope) + 6 * eps * abs(da),
        )
    yield (
        "stored",
        table.dense_backward(dz, w, z_below, "stored"),
        da * z_below,
        (bound + eps * abs(da)) * abs(z_below),
    )


RULES = (
    SGD(nesterov=False),
    SGD(),
    Adam(epsilon=1e-3),
    AdamW(epsilon=1e-3, weight_decay=0.3),
    NAdam(epsilon=1e-3),
    RMSprop(epsilon=1e-3),
    Adagrad(epsilon=1e-3),
    Lion(weight_decay=0.3),
    AdaBelief(epsilon=1e-3, epsilon_root=1e-4),
)


def settings_of(rule, rate, t):
    """What the kernels take of a step."""
    own = dict(zip(rule.scalar_names(), rule.rates(rate, t), strict=True))
    return own | {"learning_rate": rate, "shrink": rule.shrink(rate)}


def gradients(call, table, x, magnitudes, dz, w, b, n_terms, rng):
    """The gradients in one chunk and in several; then updates at once or from the completed gradient, by the
    optimizers' own formulas, some of them clipped, with penalties, and with a normalization's vectors.
    """
    # no powers of two: those would hide how products are contracted to FMA
    eps, scale, decay = np.finfo(table.dtype).eps, 0.13, 0.07
    n, n_out = dz.shape
    scales, shifts = 1 + rng.uniform(size=(2, n_out)).astype(table.dtype)
    dout, zhat = rng.normal(size=(2, n, n_out)).astype(table.dtype)
    dz_, w_, dout_, zhat_ = wide(dz, w, dout, zhat)
    learned = {"w": w_, "b": b.astype(float), "scale": scales.astype(float), "shift": shifts.astype(float)}
    sums = {
        "w": scale * x.T @ dz_ + decay * w_,
        "b": scale * dz_.sum(axis=0),
        "scale": scale * (dout_ * zhat_).sum(axis=0),
        "shift": scale * dout_.sum(axis=0),
    }
    terms = {
        "w": scale * magnitudes.T @ abs(dz_) + decay * abs(w_),
        "b": scale * abs(dz_).sum(axis=0),
        "scale": scale * abs(dout_ * zhat_).sum(axis=0),
        "shift": scale * abs(dout_).sum(axis=0),
    }
    bounds = {name: ((n_terms if name == "w" else n) + 6) * eps * terms[name] for name in terms}
    for chunk_rows in (n, 1 + n // 2, 1 + n // 3):
        for known in (None, False, True)[: 3 if chunk_rows == n else 2]:
            norm = None if known is None else (scales, shifts, dout, zhat, known)
            got = call("none", chunk_rows=chunk_rows, norm=norm, scale=scale, decay=decay)
            assert len(got) == (4 if norm else 2)
            for name, gradient in got.items():
                silent = known and name == "db"  # a bias under batch normalization
                yield (
                    f"{name} by {chunk_rows}, {known}",
                    gradient,
                    0 * b if silent else sums[name[1:]],
                    0 if silent else bounds[name[1:]],
                )
        for rule in rng.permutation(np.array(RULES, object))[:2]:
            known = rng.choice([None, False, True] if chunk_rows == n else [None, False])
            norm = None if known is None else (scales, shifts, dout, zhat, known)
            options = {"norm": norm, "factor": rng.choice([None, 0.37]), "clip": rng.choice([0, 0.5])}
            threshold, square, absolute = ((0, 1, 0), (0.02, 0.3, 0.7))[rng.integers(2)]
            names = [name for name in learned if options["norm"] or name in ("w", "b")]
            moments = [[1 + abs(np.sin(k + learned[name])) for name in names] for k in range(rule.n_moments)]
            what = (
                f"{rule} by {chunk_rows}, known sums: {known}, factor: {options['factor']}, clip:"
                f" {options['clip']}, threshold: {threshold}"
            )
            got = call(
                rule.kernel,
                chunk_rows=chunk_rows,
                moments=[[m.astype(table.dtype) for m in moment] for moment in moments],
                scale=scale,
                decay=decay,
                threshold=threshold,
                square_factor=square,
                absolute_factor=absolute,
                **options,
                **settings_of(rule, 0.11, 3),
            )
            total = 0
            for i, name in enumerate(names):
                g, new = sums[name], learned[name].copy()
                own = [moment[i].astype(table.dtype).astype(float) for moment in moments]
                if options["clip"]:
                    g = np.clip(g, -options["clip"], options["clip"])
                if not (known and name == "b"):
                    total += (g**2).sum()
                    g = g * (options["factor"] or 1)
                    # Lion's step jumps where its direction changes sign
                    edge = (
                        abs(0.9 * own[0] + 0.1 * g) < bounds[name] + 10 * eps * (1 + abs(g))
                        if rule.name == "lion"
                        else 0
                    )
                    rule.update(new, own, g, 0.11, 3, decays=name == "w")
                    if name == "w":
                        new = np.sign(new) * np.maximum(abs(new) - threshold, 0)
                else:
                    edge = 0
                slack = (
                    20 * eps * (1 + abs(learned[name]) + abs(g) + abs(new - learned[name]))
                    + 4 * bounds[name]
                    + edge
                )
                yield f"{name}, {what}", got[name], new, slack
                for k, moment in enumerate(own):
                    yield f"moment {k} of {name}, {what}", got["moments"][k][i], moment, slack * (1 + abs(g))
            if got["w_transposed"] is not None:
                yield f"transposed, {what}", got["w_transposed"], got["w"].T, 0
            squares = (square * got["w"].astype(float) ** 2 + absolute * abs(got["w"].astype(float))).sum()
            yield f"squares {what}", got["squares"], squares, 40 * eps * squares
            if options["factor"]:
                bound = (80 + n_terms) * eps * (total + sum((terms[name] ** 2).sum() for name in names))
                yield f"gradient's squares {what}", got["gradient_squares"], total, bound


def dense_gradient(table, rows, n_in, n_out, rng):
    for narrow, n_units in ((False, n_out), (True, 1 + n_out % 4)):
        x, w, b, dz = layer(table, rows, n_in, n_units, rng)

        def call(kind, **arguments):
            return table.dense_gradient(x, dz, w, b, kind, narrow=narrow, **arguments)

        yield from gradients(call, table, x.astype(float), abs(x).astype(float), dz, w, b, rows, rng)


def dense_gradient_sparse(table, rows, n_in, n_out, rng):
    _, w, b, _ = layer(table, rows, n_in, n_out, rng)
    dz = rng.normal(size=(rows + 3, n_out)).astype(table.dtype)
    for X, kind in sparse_kinds(table, rows, n_in, rng):
        rate = rng.choice([0, 0.4])
        factor = dropped_inputs(X.shape, rate, 3, 2)

        def call(kind, **arguments):
            return table.dense_gradient_sparse(
                X, dz, w, b, kind, rate_in=rate, base=base_of(3, 2, 0), **arguments
            )

        values, magnitudes = dense_of(X)
        for what, *rest in gradients(
            call, table, values * factor, magnitudes * factor, dz, w, b, rows + 12, rng
        ):
            yield f"{kind} {rate} {what}", *rest


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


CHECKS = {
    check.__name__.rstrip("_"): check
    for check in (
        gather,
        densify,
        dense_forward,
        dense_forward_narrow,
        dense_forward_row,
        dense_forward_sparse,
        dense_backward,
        dense_gradient,
        dense_gradient_sparse,
        activation,
        derivative,
        drop,
        normalize_columns,
        normalize_by_running,
        normalize_rows,
        loss,
        output,
        update,
        limited,
        squares,
        are_finite,
        packed,
        packed_transposed,
        transposed,
        map_,
        multiply_add,
    )
}


# ------------------------------------------------------------------------------------------------------------
# The properties


def results(method, isa, dtype, shape, seed=0):
    return CHECKS[method](engine.KernelTable(isa, dtype), *shape, np.random.default_rng(seed))


def assert_agrees(method, isa, dtype, shape, seed=0):
    """Returns what was compared, and a digest of its bits."""
    digests = []
    for what, got, expected, bound in results(method, isa, dtype, shape, seed):
        error = np.abs(got - expected)
        assert np.shape(got) == np.shape(expected) and np.all(error <= bound), (
            f"{method} ({isa}, {dtype}) of (rows, inputs, outputs) {shape}: {what} is off by "
            f"{np.max(error)}, {np.nanmax(error / (np.asarray(bound) + 1e-300)):.3g} times its bound"
        )
        digests.append((what, hashlib.sha256(np.asarray(got).tobytes()).digest()))
    return digests


@cache  # two tests read it, and NumPy takes longest
def checked(method, isa, dtype):
    """The digests for each shape, where all agree with NumPy."""
    return [(shape, assert_agrees(method, isa, dtype, shape, seed)) for seed, shape in enumerate(shapes())]


def test_every_kernel_has_a_check():
    assert set(CHECKS) == set(engine.STANDALONE.values())
    header = Path(__file__).parents[1] / "kernels" / "src" / "kernels.h"
    if header.exists():
        table = re.search(
            r"typedef struct \{\n    const char \*isa;(.*?)\} Kernels;", header.read_text(), re.DOTALL
        )[1]
        fields = re.findall(r"\(\*(\w+)\)\(", table) + re.findall(r"gather_fn \*(\w+)\[", table)
        assert len(fields) > 20
        assert set(fields) == set(engine.STANDALONE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("method", CHECKS)
def test_agrees_with_numpy(method, isa, dtype):
    assert checked(method, isa, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", CHECKS)
@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 110), st.integers(1, 110)), seed=st.integers(0, 1000)
)
def test_agrees_with_numpy_at_any_shape(method, dtype, shape, seed):
    for isa in ISAS:
        assert_agrees(method, isa, dtype, shape, seed)


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="needs a CPU with AVX-512")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", CHECKS)
def test_avx2_and_avx512_return_the_same_bits(method, dtype):
    for (shape, narrow), (_, wide) in zip(
        *(checked(method, isa, dtype) for isa in ("avx2", "avx512")), strict=True
    ):
        for (what, a), (_, b) in zip(narrow, wide, strict=True):
            # KernelTable adds these up in an order of its own; the engine's are in test_engine.py's losses
            if "squares " not in what:
                assert a == b, f"{method} of {shape}: {what}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_logit_that_is_not_a_number_shows_in_its_rows_loss_alone(name, isa, dtype):
    rng, record = np.random.default_rng(0), LOSSES[name]
    for rows, n_out in ((17, 3), (33, 40), (5, 1)):
        z = rng.normal(size=(rows, n_out)).astype(dtype)
        z[rows // 2, n_out // 2] = np.nan
        y = np.zeros(rows, np.intp) if record.out_activation == "softmax" else np.ones((rows, n_out), dtype)
        row_loss, _ = engine.KernelTable(isa, dtype).loss(
            name, y, z, parameters=record.defaults * (n_out if name == "quantile" else 1)
        )
        np.testing.assert_array_equal(np.isnan(row_loss), np.arange(rows) == rows // 2)


# What a loss and its dz are far away and on its borders: for targets of classes the label is 0 and there are
# two outputs, of which the second's logit is 0. name, parameters: (y, z, loss, dz).
SPECIAL = {
    ("log_loss", ()): [(0, 1e4, 0, 0), (0, -1e4, 1e4, -1), (0, 0, np.log(2), -0.5)],
    ("log_loss", (0.2,)): [(0, 1e4, 1e3, 0.1), (0, -1e4, 9e3, -0.9), (0, 0, np.log(2), -0.4)],
    ("focal", (2.0,)): [(0, 1e4, 0, 0), (0, -1e4, 1e4, -1), (0, 0, np.log(2) / 4, -0.125 - 0.25 * np.log(2))],
    ("focal", (0.5,)): [(0, 1e4, 0, 0), (0, -1e4, 1e4, -1)],
    ("focal", (0.0,)): [(0, 1e4, 0, 0), (0, -1e4, 1e4, -1), (0, 0, np.log(2), -0.5)],
    ("binary_log_loss", ()): [(1, 1e4, 0, 0), (1, -1e4, 1e4, -1), (0, 1e4, 1e4, 1), (0, -1e4, 0, 0)],
    ("binary_focal", (2.0,)): [
        (1, 1e4, 0, 0),
        (1, -1e4, 1e4, -1),
        (0, 1e4, 1e4, 1),
        (0, -1e4, 0, 0),
        (1, 0, np.log(2) / 4, -0.125 - 0.25 * np.log(2)),
    ],
    ("binary_focal", (0.0,)): [(1, 1e4, 0, 0), (1, -1e4, 1e4, -1), (0, 1e4, 1e4, 1), (0, 0, np.log(2), 0.5)],
    ("absolute_error", ()): [(2, 2, 0, 0), (2, 1e20, 1e20, 1), (2, -1e20, 1e20, -1)],
    ("huber", (0.5,)): [(2, 2.5, 0.125, 0.5), (2, 2, 0, 0), (2, 2.25, 1 / 32, 0.25), (0, -1e20, 5e19, -0.5)],
    ("log_cosh", ()): [
        (2, 2, 0, 0),
        (0, 2.0**-20, 2.0**-41 - 2.0**-80 / 12, 2.0**-20 - 2.0**-60 / 3),
        (0, -1e20, 1e20, -1),
        (0, 0.5, 0.12011450695827752, 0.46211715726000973),
    ],
    ("quantile", (0.9,)): [(2, 2, 0, 0), (0, 1e20, 1e19, 0.1), (0, -1e20, 9e19, -0.9)],
    ("poisson", ()): [(0, 0, 1, 1), (0, -1e4, 0, 0), (1, 0, 0, 0), (3, -1e3, 3 * np.log(3) + 2997, -3)],
    ("gamma", ()): [(1, 0, 0, 0), (2, 1e4, 9999 - np.log(2), 1)],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name, parameters", SPECIAL, ids=str)
def test_losses_far_away_and_on_their_borders(name, parameters, isa, dtype):
    for y, z, value, slope in SPECIAL[name, parameters]:
        classes = LOSSES[name].out_activation == "softmax"
        logits = np.array([[z, 0]] if classes else [[z]], dtype)
        labels = np.array([y], np.intp) if classes else np.array([[y]], dtype)
        row_loss, dz = engine.KernelTable(isa, dtype).loss(name, labels, logits, parameters=parameters)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(
            row_loss, [value], rtol=10 * eps, atol=4 * eps * (1 if name in ("gamma", "poisson") else 0)
        )
        np.testing.assert_allclose(
            dz, [[slope, -slope]] if classes else [[slope]], rtol=10 * eps, atol=eps if classes else 0
        )


def test_every_loss_has_special_values():
    assert {name for name, _ in SPECIAL} == set(LOSSES) - {"squared_error"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
def test_focal_losses_of_gamma_0_are_log_losses(isa, dtype):
    rng = np.random.default_rng(0)
    table, eps = engine.KernelTable(isa, dtype), np.finfo(dtype).eps
    z = (rng.normal(size=(200, 5)) * rng.choice([0.1, 1, 30], (200, 1))).astype(dtype)
    for focal, log_loss in (("focal", "log_loss"), ("binary_focal", "binary_log_loss")):
        y = targets(focal, z.shape, rng, dtype)
        for got, expected in zip(
            table.loss(focal, y, z, parameters=(0.0,)), table.loss(log_loss, y, z), strict=True
        ):
            np.testing.assert_allclose(got, expected, rtol=50 * eps, atol=200 * eps)


NORM_SHAPES = [(rows, n) for rows in (2, 5, 33) for n in SIZES]


@pytest.mark.torch
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("method", ["normalize_columns", "normalize_rows"])
def test_normalizations_are_torchs(method, isa):
    """Outputs, gradients and running statistics, in float64."""
    import torch
    from torch.nn import functional as F

    table = engine.KernelTable(isa, "float64")
    for rows, n in (
        NORM_SHAPES if method == "normalize_columns" else [(1, n) for n in SIZES[1:]] + NORM_SHAPES
    ):
        arrays = norm_arrays(table, rows, n, np.random.default_rng(n))
        z, dout, scale, shift, mean, variance = (torch.tensor(array) for array in arrays)
        for tensor in (z, scale, shift):
            tensor.requires_grad_()
        if method == "normalize_columns":
            out = F.batch_norm(z, mean, variance, scale, shift, training=True, momentum=0.3, eps=1e-3)
            got = table.normalize_columns(*arrays, 1e-3, 0.3)
        else:
            out = F.layer_norm(z, (n,), scale, shift, eps=1e-3)
            got = table.normalize_rows(*arrays[:4], 1e-3)
        out.backward(dout)
        expected = {
            "out": out.detach(),
            "dz": z.grad,
            "dscale": scale.grad,
            "dshift": shift.grad,
            "mean": mean,
            "variance": variance,
        }
        for name in set(got) - {"zhat"}:
            np.testing.assert_allclose(
                got[name],
                expected[name].numpy(),
                rtol=1e-10,
                atol=1e-10 * np.abs(expected[name].numpy()).max() + 1e-12,
            )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rule", [rule() for rule in OPTIMIZERS.values()], ids=lambda rule: rule.name)
def test_updates_do_not_hide_an_overflow(rule, isa):
    """The weight, or a moment that the next step shows, must not be finite where a gradient is not, so that
    the fit stops; nor where g^2 overflows what divides by its root: a step of 0 would be silent.
    """
    table = engine.KernelTable(isa, "float32")
    for g in (np.nan, np.inf, *([1e25] if "epsilon" in settings_of(rule, 0.01, 1) else [])):
        w, *moments = (np.zeros(20, np.float32) for _ in range(1 + rule.n_moments))
        table.update(rule.kernel, w, np.full(20, g, np.float32), moments, **settings_of(rule, 0.01, 1))
        if rule.name == "lion" and g == np.inf:  # whose step is finite in any direction
            assert not np.isfinite(moments[0]).any()
        else:
            assert not np.isfinite(w).any(), g


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
def test_thresholds_make_zeros(isa, dtype):
    w = np.linspace(-1, 1, 41).astype(dtype)
    expected = np.where(abs(w) > 0.52, w, 0)
    table, rng = engine.KernelTable(isa, dtype), np.random.default_rng(0)
    for rule in RULES:
        own = w.copy()
        moments = [np.zeros_like(w) for _ in range(rule.n_moments)]
        table.update(rule.kernel, own, np.zeros_like(w), moments, **settings_of(rule, 0, 1), threshold=0.52)
        np.testing.assert_array_equal(own != 0, expected != 0)
        np.testing.assert_allclose(
            own,
            np.sign(expected) * (abs(expected) - 0.52 * (expected != 0)),
            rtol=0,
            atol=2 * np.finfo(dtype).eps,
        )
    nan = np.full(20, np.nan, dtype)
    table.update(
        "sgd", nan, rng.normal(size=20).astype(dtype), (), learning_rate=0.1, threshold=0.5, clip=0.3
    )
    assert np.isnan(nan).all()
