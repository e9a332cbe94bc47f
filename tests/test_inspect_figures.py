"""What the figures of inspections and the learning curve show."""

import builtins

import numpy as np
import pytest
from inspections import LOOKS, every_look
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import BOTH, QUIET, UNUSED_OPTIONS, small, table

from nnfast import MLPClassifier, MLPRegressor
from nnfast.callbacks import Callback
from nnfast.inspect import dead_units, gradient_flow, plot_learning_curve, saturation, weight_statistics

pytestmark = QUIET


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


@every_look
def test_figures_go_where_they_are_told(look, pyplot):
    X, y = table()
    found = look(small(hidden_layer_sizes=(6, 3)).fit(X, y), X, y)
    axes = pyplot.subplots()[1]
    assert found.plot(axes) is axes and found.plot(ax=axes) is axes and len(pyplot.get_fignums()) == 1
    assert found.plot() is not axes and len(pyplot.get_fignums()) == 2
    axes.figure.canvas.draw()


def test_figure_of_gradient_flow(pyplot):
    X, y = table()
    flow = gradient_flow(small(hidden_layer_sizes=(6, 3)).fit(X, y), X, y)
    axes = flow.plot()
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), flow.gradients[::-1])
    assert tick_labels(axes.xaxis) == ["output", "hidden\n2", "hidden\n1"]
    low, high = axes.get_ylim()
    assert axes.get_yscale() == "log" and low < 1e-3 * flow.gradients[-1] < 1e3 * flow.gradients[-1] < high
    assert axes.get_title() == "Gradient flow: healthy" and legend(axes)[1] == "healthy at hidden 1"


def test_figure_of_dead_units(pyplot):
    X, y = table()
    estimator = small(hidden_layer_sizes=(6, 4)).fit(X, y)
    estimator.intercepts_[0][:3] = -1e3
    np.abs(estimator.coefs_[1], out=estimator.coefs_[1])
    estimator.coefs_[1][:, 0], estimator.intercepts_[1][0] = 0, 1
    axes = dead_units(estimator, X).plot()
    dead, constant = axes.containers
    assert [bar.get_width() for bar in dead] == [0.5, 0] and [bar.get_width() for bar in constant] == [
        0,
        0.25,
    ]
    assert [bar.get_x() for bar in constant] == [0.5, 0] and legend(axes) == ["dead", "constant"]
    assert tick_labels(axes.yaxis) == ["hidden 1\n3 of 6 dead", "hidden 2\n0 of 4 dead, 1 constant"]
    low, high = axes.get_ylim()
    assert low > high  # the first layer on top


def test_figure_of_saturation(pyplot):
    X, y = table()
    found = saturation(small(hidden_layer_sizes=(6, 4), activation=["relu", "tanh"]).fit(X, y), X)
    axes = found.plot()
    np.testing.assert_allclose([bar.get_width() for bar in axes.containers[0]], found.shares)
    units = axes.get_lines()[0]
    np.testing.assert_allclose(units.get_xdata(), np.concatenate(found.unit_shares))
    assert units.get_ydata().tolist() == [0] * 6 + [1] * 4
    assert [segment[0, 0] for segment in axes.collections[0].get_segments()] == [0.9, 0.5]
    assert [label.split("\n")[0] for label in tick_labels(axes.yaxis)] == ["hidden 1, relu", "hidden 2, tanh"]


def test_figure_of_weights(pyplot):
    X, y = table()
    estimator = small(hidden_layer_sizes=(6, 4)).fit(X, y)
    estimator.coefs_[1][:3] = 0
    found = weight_statistics(estimator)
    axes = found.plot()
    for i, (patch, (counts, edges)) in enumerate(zip(axes.patches, found.histograms, strict=True)):
        data = patch.get_data()
        np.testing.assert_array_equal(data.edges, edges)
        np.testing.assert_allclose(i + 0.4 - data.values, 0.8 * counts / counts.max())
    labels = tick_labels(axes.yaxis)
    assert [label.split("\n")[0] for label in labels] == ["hidden 1", "hidden 2", "output"]
    assert [label.endswith(", 50% zeros") for label in labels] == [False, True, False]
    for coef in estimator.coefs_:
        coef[...] = 0
    weight_statistics(estimator).plot().figure.canvas.draw()


def test_without_matplotlib(monkeypatch):
    X, y = table()
    estimator = small().fit(X, y)
    real_import = builtins.__import__

    def fail(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    found = [look(estimator, X, y) for look in LOOKS.values()]
    for plot in (*(each.plot for each in found), lambda: plot_learning_curve(estimator)):
        with pytest.raises(ImportError, match=r"^drawing needs matplotlib: pip install 'nnfast\[plot\]'"):
            plot()


# ------------------------------------------------------------------------------------------------------------
# The learning curve


def drawn(axes):
    """All lines of a figure by their label."""
    return {line.get_label(): line for each in axes.figure.axes for line in each.get_lines()}


@pytest.mark.parametrize("monitor", ["score", "loss"])
@BOTH
def test_learning_curve_with_early_stopping(cls, monitor, pyplot):
    X, y = table(200)
    parameters = {"early_stopping": True, "monitor": monitor, "max_iter": 40, "learning_rate": "cosine"}
    estimator = small(cls, learning_rate_init=0.02, **parameters).fit(X, y)
    axes = plot_learning_curve(estimator, learning_rate=True)
    lines, score = drawn(axes), f"validation {'accuracy' if cls is MLPClassifier else 'R²'}"
    best = (
        np.argmax(estimator.validation_scores_)
        if monitor == "score"
        else np.argmin(estimator.validation_loss_curve_)
    )
    best_label = f"best epoch: {best + 1}"
    assert legend(axes) == ["loss", "validation loss", score, "learning rate", best_label] and set(
        lines
    ) == set(legend(axes))
    curves = (
        estimator.loss_curve_,
        estimator.validation_loss_curve_,
        estimator.validation_scores_,
        estimator.learning_rate_curve_,
    )
    for label, curve in zip(legend(axes), curves, strict=False):
        np.testing.assert_array_equal(lines[label].get_ydata(), curve)
        np.testing.assert_array_equal(lines[label].get_xdata(), np.arange(1, estimator.n_iter_ + 1))
    assert lines[best_label].get_xdata()[0] == best + 1
    assert [each.get_ylabel() for each in axes.figure.axes] == ["loss", score, "learning rate"]
    given = pyplot.subplots()[1]
    assert plot_learning_curve(make_pipeline(StandardScaler(), estimator).fit(X, y), given) is given
    assert [each.get_ylabel() for each in given.figure.axes] == ["loss", score]
    for each in (axes, given):
        each.figure.canvas.draw()


def test_learning_curves_of_other_fits(pyplot):
    X, y = table()
    plain = small().fit(X, y)
    assert legend(plot_learning_curve(plain)) == ["loss"]
    assert len(plot_learning_curve(plain, learning_rate=True).figure.axes) == 2
    by_loss = small(scoring="loss").fit(X, y, validation_indices=np.arange(10))
    best = np.argmin(by_loss.validation_loss_curve_) + 1
    assert legend(plot_learning_curve(by_loss)) == ["loss", "validation loss", f"best epoch: {best}"]

    def gain(estimator, X, y):
        return estimator.score(X, y)

    for scoring, name in (("roc_auc", "roc_auc"), (gain, "gain")):
        estimator = small(scoring=scoring).fit(X, y, validation_indices=np.arange(10))
        assert f"validation {name}" in legend(plot_learning_curve(estimator))
    quantile = small(MLPRegressor, loss="quantile").fit(X, y, validation_indices=np.arange(10))
    assert "validation D²" in legend(plot_learning_curve(quantile))


@UNUSED_OPTIONS
def test_learning_curve_of_lbfgs(pyplot):
    X, y = table()
    estimator = small(solver="lbfgs", early_stopping=True).fit(X, y, validation_indices=np.arange(10))
    axes = plot_learning_curve(estimator)
    lines = drawn(axes)
    np.testing.assert_array_equal(lines["loss"].get_ydata(), estimator.history_["loss"])
    assert axes.get_xlabel() == "iteration"
    assert f"best iteration: {np.argmin(estimator.validation_loss_curve_) + 1}" in lines
    with pytest.raises(ValueError, match="learning_rate=True .*, got solver='lbfgs'"):
        plot_learning_curve(estimator, learning_rate=True)


def test_learning_curve_of_fits_that_went_on(pyplot):
    X, y = table()
    estimator = small(warm_start=True).fit(X, y)
    estimator.fit(X, y, validation_indices=np.arange(10))
    axes = plot_learning_curve(estimator)
    lines = drawn(axes)
    np.testing.assert_array_equal(lines["loss"].get_ydata(), estimator.loss_curve_)
    assert np.isnan(lines["validation loss"].get_ydata()[:5]).all() and len(estimator.loss_curve_) == 10
    assert any(label == f"best epoch: {6 + np.argmin(estimator.validation_loss_curve_)}" for label in lines)
    one = plot_learning_curve(small().partial_fit(X, y, classes=[0, 1]))
    assert one.get_lines()[0].get_marker() == "o"


def test_learning_curve_of_nothing(pyplot):
    X, y = table()
    with pytest.raises(NotFittedError):
        plot_learning_curve(small())
    with pytest.raises(TypeError, match="got LinearRegression"):
        plot_learning_curve(LinearRegression())

    class Stop(Callback):
        def on_fit_begin(self, estimator, state):
            state.stop()

    estimator = small(callbacks=[Stop()]).fit(X, y)
    with pytest.raises(ValueError, match="history_ .*got none"):
        plot_learning_curve(estimator)
