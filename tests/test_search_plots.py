"""Pictures of searches: what is drawn is what was found, whatever the search."""

import builtins

import numpy as np
import pytest
from found_trials import (
    ODD,
    PLOTS,
    closed_figures,  # noqa: F401
    drawn,
    found,
    grid,
    table,
)
from matplotlib import pyplot
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nnfast
from nnfast.tuning import (
    HyperbandSearchCV,
    log_uniform,
    tied,
)
from nnfast.tuning.drawing import wrapped
from nnfast.tuning.plots import (
    importances,
    plot_importance,
    plot_learning_curves,
    plot_parallel_coordinates,
    plot_slices,
)
from nnfast.tuning.report import report
from nnfast.tuning.texts import text
from nnfast.tuning.trials import read, worth_a_scale


class Formula(ClassifierMixin, BaseEstimator):
    """Scores what its parameters say."""

    def __init__(self, a=0.0, b=0.0, layers=(8,)):
        self.a, self.b, self.layers = a, b, layers

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        if self.a < 0:
            raise ValueError("a is negative")
        return self

    def score(self, X, y):
        return float(self.a + self.b)


# ---- what is drawn
# ---------------------------------------------------------------------------------------------------


def lines_of(axes):
    """All polygons of a parallel-coordinates plot."""
    n = len(axes.get_xticks())
    paths = [
        path.vertices for each in axes.collections for path in each.get_paths() if len(path.vertices) == n
    ]
    return [vertices[np.isfinite(vertices[:, 1])] for vertices in paths]


def test_parallel_coordinates_are_the_trials():
    search = drawn()
    axes = plot_parallel_coordinates(search)
    names = [label.get_text().replace("\n", "") for label in axes.get_xticklabels()]
    short = [
        "learning_rate_init",
        "momentum",
        "dropout",
        "activation",
        "hidden_layer_sizes.depth",
        "hidden_layer_sizes.width",
    ]
    assert names == [*short, "accuracy"]
    results = search.cv_results_
    low = min(
        score for score, status in zip(results["mean_test_score"], results["status"]) if status == "complete"
    )
    expected = []
    for params, score in zip(results["params"], results["mean_test_score"], strict=True):
        sizes = params["step__hidden_layer_sizes"]
        expected.append(
            [
                (np.log10(params["step__learning_rate_init"]) + 4) / 4,
                (-np.log10(1 - params["step__momentum"]) - 1) / 2,
                params["step__dropout"] / 0.5,
                0.25 if params["step__activation"] == "relu" else 0.75,
                (len(sizes) - 0.5) / 3,
                np.log(sizes[0] / 15.5) / np.log(64.5 / 15.5),
                np.clip(
                    (score - low) / (max(results["mean_test_score"][results["status"] == "complete"]) - low),
                    0,
                    1,
                ),
            ]
        )
    vertices = lines_of(axes)
    assert len(vertices) == len(expected)
    key = lambda row: tuple(np.round(row[:6], 6))
    for line, wanted in zip(
        sorted((v[:, 1] for v in vertices), key=key), sorted(expected, key=key), strict=True
    ):
        np.testing.assert_allclose(line, wanted[: len(line)], atol=1e-9)
        assert len(line) == (7 if np.isfinite(wanted[6]) else 6)  # no score: the line ends before its axis
    best = [line for line in axes.lines if line.get_linewidth() > 2]
    np.testing.assert_allclose(best[0].get_ydata(), expected[search.best_index_], atol=1e-9)


def test_stopped_trials_are_grey_and_thin():
    axes = plot_parallel_coordinates(drawn())
    rest, complete = axes.collections[:2]
    assert len(rest.get_paths()) == (drawn().cv_results_["status"] != "complete").sum()
    assert np.ptp(rest.get_colors()[0][:3]) == 0 and rest.get_linewidths()[0] < complete.get_linewidths()[0]


@pytest.mark.parametrize(
    "values, ticks",
    [
        ([1e-4, 1e-3, 1e-2, 1e-1], ["0.0001", "0.001", "0.01", "0.1"]),
        ([0.5, 0.9, 0.99, 0.5], ["0.6", "0.8"]),
        ([(64, 64), (32,), (64,), (32,)], ["32", "64", "64-64"]),
        ([0, 1e-4, 1e-1, 0], ["0", "0.0001", "0.1"]),
        ([None, 3, 5, None], ["3", "5", "None"]),
        ([True, False, True, False], ["False", "True"]),
        (["$a$ <b>", "c\nd", "c\nd", "c\nd"], ["$a$ <b>", "c d"]),
        ([7, 7, 7, 7], ["7"]),
        ([1, 2, 3, 4], ["1", "2", "3", "4"]),
        ([1e-5, 1e-5, 1e-5, 1.0], ["0.0001", "0.01", "1"]),
        ([np.float32(0.5), 0.5, 0.5, 0.75], ["0.5", "0.6", "0.7"]),
    ],
)
def test_scales_are_guessed(values, ticks):
    search = found([{"p": value} for value in values], [0.1, 0.2, 0.3, 0.4])
    axes = plot_slices(search)[0]
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert shown == ticks
    axes.figure.canvas.draw()
    plot_parallel_coordinates(search).figure.canvas.draw()


def test_choices_are_in_the_users_order():
    search = RandomizedSearchCV(
        Formula(a=0.5),
        {"layers": ["small", "medium", "large"], "a": log_uniform(1e-3, 1.0), "b": loguniform(0.1, 0.2)},
        n_iter=9,
    )
    search.set_params(random_state=0).fit(*table())
    columns = {column.name: column for column in read(search).columns}
    assert columns["layers"].axis.choices == ("small", "medium", "large")
    assert (columns["a"].axis.warp, columns["a"].axis.low, columns["a"].axis.high) == ("log", 1e-3, 1.0)
    assert (columns["b"].axis.warp, columns["b"].axis.low, columns["b"].axis.high) == ("log", 0.1, 0.2)


def test_tied_rates_are_as_they_were_drawn():
    space = {"learning_rate_init": tied(log_uniform(1e-3, 1e-1), base=32), "batch_size": [32, 128]}
    search = found([{"learning_rate_init": 0.04, "batch_size": 128}], [0.5], space=space)
    trials = read(search)
    np.testing.assert_allclose(trials.columns[0].positions, 0.5)
    assert trials.short_names() == ["learning_rate_init at 32 rows", "batch_size"]


def test_slices_are_the_scores():
    search = drawn()
    axes = plot_slices(search)
    assert (
        len(axes) == 6 and axes[0].get_xlabel() == "learning_rate_init" and axes[0].get_ylabel() == "accuracy"
    )
    results = search.cv_results_
    points = np.concatenate([each.get_offsets().data for each in axes[0].collections])
    for params, score in zip(results["params"], results["mean_test_score"], strict=True):
        at = (np.log10(params["step__learning_rate_init"]) + 4) / 4
        near = points[np.isclose(points[:, 0], at)]
        low = axes[0].get_ylim()[0]
        assert len(near) and (
            np.isclose(near[:, 1], score).any() if np.isfinite(score) else (near[:, 1] > low).all()
        )


def test_learning_curves_are_the_curves():
    search = drawn()
    loss, score = plot_learning_curves(search)
    assert loss.get_ylabel() == "training loss" and score.get_ylabel() == "accuracy (validation)"
    n_epochs = sorted(len(curve["loss"]) for curve in search.cv_results_["learning_curve"])
    assert sorted(len(line.get_xdata()) for line in loss.lines) == n_epochs
    assert all(line.get_xdata()[0] == 1 and line.get_ydata()[0] == 1 for line in loss.lines)
    assert sum(line.get_linewidth() > 2 for line in loss.lines) == 1
    crosses = [line for line in loss.lines if line.get_marker() == "x"]
    assert len(crosses) == (search.cv_results_["status"] == "diverged").sum()


def test_learning_curves_of_successive_halving():
    search = HalvingRandomSearchCV(
        LogisticRegression(), {"C": loguniform(1e-4, 10)}, n_candidates=6, min_resources=18, cv=2
    )
    search.set_params(random_state=0).fit(*table())
    (axes,) = plot_learning_curves(search)
    assert axes.get_xlabel() == "samples" and len(axes.lines) == 6
    longest = max(axes.lines, key=lambda line: len(line.get_xdata()))
    assert list(longest.get_xdata()) == search.n_resources_
    trials = read(search)
    assert (
        set(trials.status[search.cv_results_["iter"] == 0]) == {"pruned"}
        and trials.best == search.best_index_
    )


def test_axes_may_be_given():
    search = drawn()
    for plot in (plot_parallel_coordinates, plot_importance):
        ax = pyplot.figure().subplots()
        assert plot(search, ax) is ax and plot(search, ax=ax) is ax
    axes = pyplot.figure().subplots(3, 3)
    assert list(plot_slices(search, axes[:2])) == list(axes[:2].flat)
    assert list(plot_learning_curves(search, axes[2, :2])) == list(axes[2, :2])
    with pytest.raises(ValueError, match=r"axes must be 6, one a hyperparameter, got 1\."):
        plot_slices(search, axes[0, 0])
    with pytest.raises(ValueError, match=r"axes must be 2, for loss and score, got 9\."):
        plot_learning_curves(search, axes)


def test_searches_of_nnfast():
    X, y = table()
    space = {"learning_rate_init": log_uniform(1e-3, 1e-1), "batch_size": [8, 16]}
    network = nnfast.MLPClassifier(hidden_layer_sizes=(4,))
    search = HyperbandSearchCV(network, space, max_epochs=9, cv=2, random_state=0).fit(X, y)
    trials = read(search)
    assert [column.name for column in trials.columns] == list(space)  # and not max_iter, which Hyperband sets
    assert trials.best == search.best_index_ and set(trials.status) == {"complete", "pruned"}
    for curve, n_epochs in zip(trials.curves, search.cv_results_["n_epochs"], strict=True):
        assert len(curve["loss"]) == n_epochs and curve["score_epochs"][-1] == n_epochs
    assert len(plot_learning_curves(search)) == 2


@pytest.mark.filterwarnings("ignore:Glyph .* missing from:UserWarning")
@pytest.mark.parametrize("search", ODD.values(), ids=ODD)
def test_odd_searches_are_drawn(search):
    plot_parallel_coordinates(search).figure.canvas.draw()
    plot_slices(search)[0].figure.canvas.draw()
    with pytest.raises(ValueError, match="^search must have recorded learning curves"):
        plot_learning_curves(search)


@pytest.mark.parametrize("n", [1, 3, 4, 10, 100])
def test_outliers_do_not_squash_the_scale(n):
    scores = np.linspace(0.5, 0.9, max(n, 2))
    assert worth_a_scale(scores) == (0.5, 0.9)
    low, high = worth_a_scale(np.append(np.repeat(scores, 2), [-1e9] * n))
    assert high == 0.9 and -2 < low <= 0.5
    assert worth_a_scale(np.full(n, 0.3)) == (0.3, 0.3)


def test_stopped_trials_are_at_their_last_score():
    nothing = {"loss": np.empty(0), "score_epochs": np.empty(0, int), "score": np.empty(0)}
    curves = [nothing, nothing, {"score_epochs": np.array([1, 2]), "score": np.array([0.1, 0.5])}]
    search = found(
        [{"a": i, "b": i} for i in range(3)], [0.0, 1.0, np.nan], ["complete", "complete", "pruned"], curves
    )
    assert sorted(line[-1, 1] for line in lines_of(plot_parallel_coordinates(search))) == [0, 0.5, 1]
    points = [point for each in plot_slices(search)[0].collections for point in each.get_offsets().tolist()]
    assert any(np.allclose(point, [5 / 6, 0.5]) for point in points)


def test_outliers_are_marked():
    search = ODD["outliers"]
    axes = plot_parallel_coordinates(search)
    assert any(label.get_text().startswith("≤ ") for label in axes.texts)
    heights = sorted(line[-1, 1] for line in lines_of(axes))
    assert heights[:4] == [0, 0, 0, 0] and heights[-1] == 1
    triangles = [each for each in plot_slices(search)[0].collections if len(each.get_offsets()) == 4]
    assert len(triangles) == 1


def test_failed_candidates_of_scikit_learn():
    search = GridSearchCV(Formula(), {"a": [-1.0, 0.5, 0.6]}, cv=2)
    with pytest.warns(match="fits failed|non-finite"):
        search.fit(*table())
    trials = read(search)
    assert trials.status.tolist() == ["failed", "complete", "complete"] and trials.best == 2
    plot_parallel_coordinates(search)


def test_several_metrics():
    search = grid(scoring=["accuracy", "neg_log_loss"], refit="neg_log_loss")
    assert read(search).metric == "neg_log_loss" and read(search).best == search.best_index_
    assert plot_slices(search, metric="accuracy")[0].get_ylabel() == "accuracy"
    assert read(search, "accuracy").best == np.argmax(search.cv_results_["mean_test_accuracy"])
    with pytest.raises(
        ValueError,
        match=r"metric must be one of accuracy, neg_log_loss, got 'acuracy'. Did you mean 'accuracy'",
    ):
        plot_slices(search, metric="acuracy")
    unnamed = grid(scoring=["accuracy", "neg_log_loss"], refit=False)
    with pytest.raises(ValueError, match="metric must name one of accuracy, neg_log_loss"):
        plot_parallel_coordinates(unnamed)
    assert read(unnamed, "accuracy").best is not None
    single = grid(scoring="accuracy")
    assert read(single).metric == "accuracy" == read(single, "accuracy").metric
    assert read(grid()).metric == "score"


def test_pipelines_and_many_grids():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=2, solver="lbfgs"))
    grids = [
        {"mlpclassifier__hidden_layer_sizes": [(2,), (2, 2)]},
        {"mlpclassifier__alpha": [1e-4, 1e-1], "mlpclassifier__hidden_layer_sizes": [(3,)]},
    ]
    with pytest.warns():
        search = GridSearchCV(pipeline, grids, cv=2).fit(*table())
    axes = plot_parallel_coordinates(search)
    assert [label.get_text().replace("\n", "") for label in axes.get_xticklabels()][0] == "hidden_layer_sizes"
    axes.figure.canvas.draw()


# ---- words
# -----------------------------------------------------------------------------------------------------------


def test_long_names_are_broken():
    assert wrapped("hidden_layer_sizes.depth at 32 rows", 14) == "hidden_layer_\nsizes.depth at\n32 rows"
    assert (
        wrapped("a" * 20, 8) == "aaaaaaaa\naaaaaaaa\naaaa"
        and wrapped("alpha", 4) == "alph\na"
        and wrapped("", 4) == ""
    )


def test_values_as_text():
    pairs = {
        0.001: "0.001",
        1e-5: "1e-5",
        1.5e10: "1.5e10",
        0.99952: "0.99952",
        0.9: "0.9",
        1 / 3: "0.3333",
        12345: "12345",
    }
    assert {value: text(value) for value in pairs} == pairs
    assert [text(each) for each in ((64, 32), (8,), (), None, np.True_, np.float64(0.5), -0.0, "a\n b")] == [
        "64-32",
        "8",
        "()",
        "None",
        "True",
        "0.5",
        "-0",
        "a b",
    ]


def without(monkeypatch, library):
    real = builtins.__import__

    def fake(name, *rest, **more):
        if name.partition(".")[0] == library:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", fake)


def test_without_optuna(monkeypatch, tmp_path):
    search = grid()
    without(monkeypatch, "optuna")
    with pytest.raises(ImportError, match=r"^importances need optuna: pip install 'nnfast\[tune\]'$"):
        importances(search)
    monkeypatch.setattr("nnfast.tuning.report._figure", lambda *arguments: "")
    report(search, tmp_path / "out.html")
    assert "pip install &#x27;nnfast[tune]&#x27;" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_without_matplotlib(monkeypatch, tmp_path):
    search = drawn()
    without(monkeypatch, "matplotlib")
    for draw in (
        *(plot for plot in PLOTS if plot is not plot_importance),
        lambda search: report(search, tmp_path / "o.html"),
    ):
        with pytest.raises(ImportError, match=r"^drawing needs matplotlib: pip install 'nnfast\[plot\]'"):
            draw(search)
    assert not list(tmp_path.iterdir())
