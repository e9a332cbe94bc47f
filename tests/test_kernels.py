"""Every kernel of the compiled table, alone, in every instruction set and dtype, against NumPy in float64.

CHECKS has a generator for each method of `KernelTable`: it calls the method and yields (what, got, expected,
bound), the bound on the absolute error derived from the number of roundings.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_data import DTYPES, ISAS, RULES, SIZES, settings_of, shapes
from layer_checks import (
    dense_backward,
    dense_forward,
    dense_forward_narrow,
    dense_forward_row,
    dense_forward_sparse,
    dense_gradient,
    dense_gradient_sparse,
    densify,
    gather,
)
from nnfast.kernels import engine
from problems import targets
from value_checks import (
    activation,
    are_finite,
    derivative,
    drop,
    limited,
    loss,
    map_,
    multiply_add,
    norm_arrays,
    normalize_by_running,
    normalize_columns,
    normalize_rows,
    output,
    packed,
    packed_transposed,
    squares,
    transposed,
    update,
)

from nnfast.losses import LOSSES
from nnfast.optimizers import OPTIMIZERS

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
