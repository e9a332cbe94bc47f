"""Clipping that changes between epochs."""

import math
import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array
from steered_fits import (
    ENGINES,
    At,
    _quiet,  # noqa: F401
    agree,
    same,
    setting,
    small,
    table,
)

from nnfast import engines


@ENGINES
@pytest.mark.parametrize(
    "clip", [{"clip_norm": 0.01}, {"clip_value": 0.002}, {"clip_norm": 0.01, "clip_value": 0.002}]
)
@pytest.mark.parametrize(
    "more",
    [
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "adam", "batch_size": 60},
        {"solver": "nadam", "normalization": "batch"},
        {"solver": "adamw", "n_threads": 2},
        {"solver": "adam", "sparse": True},
    ],
    ids=lambda more: more["solver"] + "".join(f" {name}" for name in [*more][1:]),
)
def test_a_fit_with_other_clipping_is_two_fits(engine, clip, more):
    if engine == "numba":
        pytest.importorskip("numba")
    X, y = table()
    if more.get("sparse"):
        X = csr_array(X * (np.abs(X) > 1.5))
    X = X.astype(np.float32)
    parameters = {name: value for name, value in more.items() if name != "sparse"} | {"engine": engine}
    changed = small(callbacks=[At({3: setting(**clip)})], **parameters).fit(X, y)
    pieces = small(max_iter=3, warm_start="full", **parameters).fit(X, y).set_params(**clip).fit(X, y)
    assert agree(changed, pieces)
    assert not agree(changed, small(**parameters).fit(X, y))
    back = small(
        callbacks=[At({0: setting(**dict.fromkeys(clip)), 4: setting(**clip)})], **parameters, **clip
    )
    pieces = (
        small(max_iter=4, warm_start="full", **parameters).fit(X, y).set_params(max_iter=2, **clip).fit(X, y)
    )
    assert agree(back.fit(X, y), pieces)
    assert {name: back.get_params()[name] for name in clip} == clip


@ENGINES
def test_changing_to_limits_that_nothing_reaches_changes_nothing(engine):
    if engine == "numba":
        pytest.importorskip("numba")
    X, y = table()
    X = X.astype(np.float32)
    parameters = {
        "dropout": 0.3,
        "shuffle": True,
        "engine": engine,
        "early_stopping": True,
        "precision": "float64",
    }
    changed = small(callbacks=[At({n: setting(clip_value=1e6 + n) for n in range(4)})], **parameters).fit(
        X, y
    )
    plain = small(**parameters).fit(X, y)
    assert agree(changed, plain)
    assert changed.validation_scores_ == plain.validation_scores_


def test_clipping_changes_in_tables_read_in_blocks():
    X, y = table()
    parameters = {"shuffle": "blocks", "solver": "sgd"}
    changed = small(callbacks=[At({3: setting(clip_norm=0.01)})], **parameters).fit(X, y)
    plain = small(**parameters).fit(X, y)
    assert changed.loss_curve_[:3] == plain.loss_curve_[:3]
    assert changed.loss_curve_[3] != plain.loss_curve_[3] or changed.loss_curve_[4] != plain.loss_curve_[4]


def test_clipping_of_a_state():
    X, y = table()
    seen = []

    def look(state):
        seen.append((state.clip_norm, state.clip_value, pickle.loads(pickle.dumps(state)).clip_norm))
        for value in (0, -1.0, "1", True, math.nan):
            with pytest.raises(
                ValueError, match=f"clip_norm must be None or a positive number, got {value!r}"
            ):
                state.clip_norm = value
        with pytest.raises(AttributeError, match="cannot set clip_value: .* not the fit"):
            pickle.loads(pickle.dumps(state)).clip_value = 1

    small(callbacks=[At({1: look})], clip_norm=2).fit(X, y)
    assert seen == [(2, None, 2)]

    def refuse(state):
        with pytest.raises(AttributeError, match="lbfgs"):
            state.clip_norm = 1

    small(solver="lbfgs", shuffle=True, callbacks=[At({1: refuse})]).fit(X, y)


@pytest.mark.parametrize("where", ["load", "take_moments", "close"])
def test_an_interrupt_while_clipping_changes(where, monkeypatch):
    X, y = table()
    expected = small(max_iter=3).fit(X, y)
    engine = engines.get_engine()
    called = getattr(engine.Session, where)

    def interrupted(self, *arguments):
        called(self, *arguments)
        raise KeyboardInterrupt

    def act(state):
        state.clip_norm = 0.1
        monkeypatch.setattr(engine.Session, where, interrupted)

    callbacks = [At({3: act})]
    estimator = small(callbacks=callbacks)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    monkeypatch.undo()
    assert same(estimator, expected)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 3
    assert len(estimator.set_params(callbacks=None).partial_fit(X, y).loss_curve_) == 4
