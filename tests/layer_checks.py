"""Checks of the kernels of tables and layers, for CHECKS of test_kernels.py."""

import numpy as np
from kernel_data import (
    FROM_VALUES,
    FUSED,
    RULES,
    activated,
    base_of,
    dense_of,
    dropped_inputs,
    entries,
    layer,
    product,
    settings_of,
    sparse_kinds,
    wide,
)
from nnfast.kernels import engine

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
