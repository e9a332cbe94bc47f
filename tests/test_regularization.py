"""Regularization: dropout's masks against the reference and against chance; clipping, thresholds
and norms.
"""

import numpy as np
import pytest
import reference

from nnfast import regularization
from nnfast.activations import ACTIVATIONS
from nnfast.regularization import Regularization


def kept(rate=0.3, n_rows=64, n_units=64, seed=1, step=5, layer=1):
    return regularization.kept_units(rate, n_rows, n_units, seed=seed, step=step, layer=layer)


@pytest.mark.parametrize(
    "rate, seed, step, layer",
    [(0.5, 0, 0, 0), (0.1, 2**64 - 1, 3, 1), (0.9, 12345678901234567890, 10**9, 7), (0.0, 1, 1, 1)],
)
def test_dropout_is_the_references(rate, seed, step, layer):
    mask = regularization.kept_units(rate, 6, 9, seed=seed, step=step, layer=layer)
    np.testing.assert_array_equal(mask, reference.kept_units(rate, 6, 9, seed, step, layer))
    assert mask.all() or rate
    # a mask's corner is the smaller mask
    np.testing.assert_array_equal(
        mask[:3, :5], regularization.kept_units(rate, 3, 5, seed=seed, step=step, layer=layer)
    )


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_dropout_has_its_rate(rate):
    def within_four_sigma(mask, axis):
        share, n = (~mask).mean(axis=axis), mask.size / np.delete(mask.shape, axis).prod()
        deviation = np.abs(share - rate) / np.sqrt(rate * (1 - rate) / n)
        # of thousands of shares some exceed four sigma by chance; five is what none does
        assert (deviation < (4 if np.ndim(share) == 0 else 5)).all(), (axis, deviation.max())

    masks = np.array(
        [[kept(rate, 256, 300, seed=7, step=step, layer=layer) for step in range(20)] for layer in range(4)]
    )
    within_four_sigma(masks, (0, 1, 2, 3))
    if rate * masks[0, 0].size > 100:  # else a share is not normal
        within_four_sigma(masks, (0, 1, 2))  # of a unit
        within_four_sigma(masks, (0, 1, 3))  # of a row
        within_four_sigma(masks, (0, 2, 3))  # of a step
        within_four_sigma(masks, (1, 2, 3))  # of a layer


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_is_uncorrelated(rate):
    def correlation(a, b):
        return abs(np.mean((a - (1 - rate)) * (b - (1 - rate)))) / (rate * (1 - rate)) * np.sqrt(a.size)

    mask = kept(rate, 512, 1000)
    for distance in (1, 2, 3, 16, 64, 256):
        assert correlation(mask[:-distance], mask[distance:]) < 4.5
        assert correlation(mask[:, :-distance], mask[:, distance:]) < 4.5
        assert correlation(mask[:-distance, :-distance], mask[distance:, distance:]) < 4.5
        assert correlation(mask[:-distance, distance:], mask[distance:, :-distance]) < 4.5
        for other in ({"step": 5 + distance}, {"layer": 1 + distance}, {"seed": 1 + distance}):
            assert correlation(mask, kept(rate, 512, 1000, **other)) < 4.5
    # pairs of neighbours, rows' and units' at once, and three units in a row
    centred = (mask - (1 - rate)) / np.sqrt(rate * (1 - rate))
    assert abs((centred[:, :-2] * centred[:, 1:-1] * centred[:, 2:]).mean()) * np.sqrt(mask.size) < 4.5
    assert (
        abs((centred[:-1, :-1] * centred[1:, :-1] * centred[:-1, 1:] * centred[1:, 1:]).mean())
        * np.sqrt(mask.size)
        < 4.5
    )


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_means_and_alpha_dropout_variances_too(rate):
    mask = kept(rate, 2000, 500)
    x = np.random.default_rng(10).normal(size=mask.shape)
    np.testing.assert_allclose(regularization.drop_out(x + 1, mask, rate).mean(), 1, atol=5e-3)
    dropped = regularization.alpha_drop_out(x, mask, rate)
    np.testing.assert_allclose((dropped.mean(), dropped.var()), (0, 1), atol=1e-2)
    a, b = regularization.alpha_dropout_constants(rate)
    assert b == pytest.approx(a * 1.7580993408473766 * rate)
    np.testing.assert_allclose(ACTIVATIONS["selu"].function(np.array([-1e3])), regularization.SELU_FLOOR)


@pytest.mark.torch
def test_clipping_agrees_with_torch():
    import torch

    rng = np.random.default_rng(11)
    for limit in (0.1, 100.0):
        gradients = [rng.normal(size=(3, 4)), rng.normal(size=5)]
        for ours, theirs in [
            (regularization.clip_norm, torch.nn.utils.clip_grad_norm_),
            (regularization.clip_values, torch.nn.utils.clip_grad_value_),
        ]:
            tensors = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients]
            for tensor, g in zip(tensors, gradients, strict=True):
                tensor.grad = torch.tensor(g)
            theirs(tensors, limit)
            ours(gradients, limit)
            for tensor, g in zip(tensors, gradients, strict=True):
                np.testing.assert_allclose(g, tensor.grad.numpy(), rtol=1e-14)


def test_thresholds_and_norms_are_projections():
    w = np.array([[3.0, 0.3, 0.0], [-4.0, -0.4, 0.0]])
    np.testing.assert_allclose(regularization.soft_threshold(w, 0.35), [[2.65, 0, 0], [-3.65, -0.05, 0]])
    np.testing.assert_allclose(regularization.limit_norms(w, 1.0), [[0.6, 0.3, 0], [-0.8, -0.4, 0]])
    assert Regularization() == Regularization(0.0, 0.0, None, None, None, (), 0.0, False)
