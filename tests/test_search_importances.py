"""The importances of a search's parameters."""

import numpy as np
import pytest
from found_trials import (
    GRID,
    PLOTS,
    closed_figures,  # noqa: F401
    drawn,
    found,
)
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from nnfast.tuning import (
    choice,
    log_uniform,
    uniform,
)
from nnfast.tuning.plots import (
    importances,
    plot_importance,
)
from nnfast.tuning.report import report
from nnfast.tuning.trials import read


def even_points(n):
    """Points that fill the unit square evenly."""
    return (np.arange(n) + 0.5) / n, np.arange(n) * 0.6180339887498949 % 1


@pytest.mark.parametrize("warp", ["linear", "log", "choice"])
def test_importances_are_shares_of_variance(warp):
    """Of 2 u + v with uniform u and v, u has 4/5 of the variance, whatever scale u is the coordinate of."""
    pytest.importorskip("optuna")
    u, v = even_points(100)
    if warp == "choice":
        u, v = np.floor(u * 4) / 3, np.floor(v * 4) / 3
    scale = {"linear": uniform(0, 1), "log": log_uniform(1e-6, 1), "choice": choice(*range(4))}[warp]
    value = {"linear": lambda u: u, "log": lambda u: 10 ** (6 * u - 6), "choice": lambda u: round(3 * u)}[
        warp
    ]
    params = [{"v": value(each), "u": value(other)} for each, other in zip(v, u, strict=True)]
    search = found(params, 2 * u + v, space={"v": scale, "u": scale})
    shares = importances(search)
    assert list(shares) == ["u", "v"]
    assert sum(shares.values()) <= 1 + 1e-9
    np.testing.assert_allclose([shares["u"], shares["v"]], [0.8, 0.2], atol=0.1 if warp == "choice" else 0.05)


def test_epochs_are_no_importance_of_parameters():
    pytest.importorskip("optuna")
    u, v = even_points(100)
    stopped = np.arange(100) % 3 > 0
    status = np.where(stopped, "pruned", "complete")
    search = found([{"u": a, "v": b} for a, b in zip(u, v, strict=True)], 2 * u + v - 2 * stopped, status)
    search.cv_results_["n_epochs"] = np.where(stopped, 1, 81)
    # of all variance, with the epochs', u has but (4 / 12) / (5 / 12 + 4 * 2 / 9) = 0.26
    np.testing.assert_allclose(list(importances(search).values()), [0.8, 0.2], atol=0.12)


def test_bars_are_importances():
    pytest.importorskip("optuna")
    search = drawn()
    shares = importances(search)
    axes = plot_importance(search)  # and they are the same every time
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        name.removeprefix("step__") for name in shares
    ]
    np.testing.assert_array_equal([bar.get_width() for bar in axes.patches], list(shares.values()))
    assert next(iter(shares)) == "step__learning_rate_init" and list(shares.values()) == sorted(
        shares.values(), reverse=True
    )
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first on top


def test_outliers_do_not_decide_importances():
    pytest.importorskip("optuna")
    u, v = even_points(60)
    scores = 2 * u + v
    scores[np.argmin(abs(v - 0.5))] = -1e9
    search = found([{"u": a, "v": b} for a, b in zip(u, v, strict=True)], scores)
    shares = importances(search)
    assert list(shares) == ["u", "v"] and shares["u"] > 0.5


def test_the_best_scores_may_be_equal_but_for_rounding():
    pytest.importorskip("optuna")
    scores = [0.34, 0.337, 0.677, 0.603, 0.7866666666666667, 0.7866666666666666]
    search = found([{"a": a} for a in range(6)], scores)
    assert importances(search)["a"] > 0.5
    assert read(search).limits == (0.337, 0.7866666666666667)
    with pytest.raises(ValueError, match="got 2 scored, all alike"):
        importances(found([{"a": 0}, {"a": 1}], scores[4:]))


def test_importance_of_a_constant_is_zero():
    pytest.importorskip("optuna")
    shares = importances(found([{"a": a, "c": 1} for a in range(8)], range(8)))
    assert shares["c"] == 0 and shares["a"] > 0.9
    assert importances(found([{"c": 1}] * 3, range(3))) == {"c": 0.0}
    plot_importance(found([{"c": 1}] * 3, range(3)))


def test_optuna_stays_as_talkative_as_it_was(capfd):
    optuna = pytest.importorskip("optuna")
    before = optuna.logging.get_verbosity()
    importances(found([{"a": a} for a in range(8)], range(8)))
    assert optuna.logging.get_verbosity() == before and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "search, got",
    [
        (found([{"a": 1}], [0.5]), "1 scored"),
        (found([{"a": 1}, {"a": 2}], [0.5, 0.5]), "2 scored, all alike"),
        (found([{"a": 1}, {"a": 2}], [np.nan, np.nan]), "0 scored"),
    ],
)
def test_too_little_for_importances(search, got):
    pytest.importorskip("optuna")
    with pytest.raises(ValueError, match=rf"^search must have trials with different scores, .* got {got}\.$"):
        importances(search)


def test_no_parameter_in_common():
    pytest.importorskip("optuna")
    with pytest.raises(ValueError, match="^search must have a parameter that all trials have"):
        importances(found([{"a": 1}, {"b": 2}], [0.5, 0.6]))


# ---- odd searches
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [*PLOTS, importances, lambda search: report(search, "never.html")])
def test_what_is_no_fitted_search(draw):
    with pytest.raises(NotFittedError):
        draw(GridSearchCV(LogisticRegression(), GRID))
    with pytest.raises(TypeError, match="^search must be a fitted search .* got LogisticRegression"):
        draw(LogisticRegression())
