"""What users see of fitted tabular ensembles: summaries, HTML, importances, training curves, compiled
predictors.
"""

import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss, r2_score, roc_auc_score

from nnfast.exceptions import InconsistentVersionWarning
from nnfast.tabular import TabularClassifier, TabularRegressor

N = 360


def table(n=N, seed=0):
    """(X, y): y depends on columns 0 and 1 and on nothing else; 1 and 2 are duplicates, 5 is constant."""
    rng = np.random.default_rng(seed)
    a, b, noise = rng.normal(size=(3, n))
    noise[::9] = np.nan
    color = rng.choice(["red", "green", "blue", "grey"], n)
    X = np.empty((n, 6), dtype=object)
    X[:, 0], X[:, 1], X[:, 2], X[:, 3], X[:, 4], X[:, 5] = a, b, b, noise, color, 7
    return X, 2 * a + b + 0.3 * rng.normal(size=n)


X, NUMBERS = table()
CLASSES = np.where(NUMBERS > 0, "yes", "no")
STEPS = 5.0 * ((X[:, 0].astype(float) > 0.5) != (X[:, 1].astype(float) > 0))  # which trees find
LABELS = np.stack([NUMBERS > 0, NUMBERS > 1], axis=1).astype(int)
QUICK = {"quality": "fast", "random_state": 0}
X_VAL, NUMBERS_VAL = table(120, seed=1)

# (estimator, y, what fit is given beside them): all kinds of tasks, and of rows that validate members.
CASES = {
    "two classes": (TabularClassifier(**QUICK), CLASSES, {}),
    "three classes": (TabularClassifier(**QUICK), np.digitize(NUMBERS, [-1, 1]), {}),
    "labels": (TabularClassifier(**QUICK), LABELS, {}),
    "numbers": (TabularRegressor(**QUICK), NUMBERS, {}),
    "several outputs": (TabularRegressor(**QUICK), np.stack([NUMBERS, -NUMBERS], axis=1), {}),
    "quantiles": (TabularRegressor(loss="quantile", quantile=[0.1, 0.5, 0.9], **QUICK), NUMBERS, {}),
    "counts": (TabularRegressor(loss="poisson", **QUICK), np.round(np.exp(NUMBERS / 2)), {}),
    "trees": (TabularRegressor(blend="trees", n_jobs=1, **QUICK), STEPS, {}),
    "groups": (TabularRegressor(**QUICK), NUMBERS, {"groups": np.arange(N) % 40}),
    "time": (TabularRegressor(time_column=0, **QUICK), NUMBERS, {}),
    "validation rows": (TabularRegressor(**QUICK), NUMBERS, {"X_val": X_VAL, "y_val": NUMBERS_VAL}),
    "constant": (TabularRegressor(**QUICK), np.ones(N), {}),
}
NETWORKS = [name for name in CASES if name != "trees"]
_FITTED = {}


@pytest.fixture
def fitted(request):
    """(estimator, y) of a case, fitted once for all tests."""
    name = request.param
    if name not in _FITTED:
        estimator, y, more = CASES[name]
        _FITTED[name] = estimator.fit(X, y, **more), y
    return _FITTED[name]


def cases(*names):
    return pytest.mark.parametrize("fitted", names, indirect=True)


def rows_of(estimator, y):
    """(X, y) of the rows that `importances` needs."""
    return (X_VAL, NUMBERS_VAL) if estimator._validated.name == "X_val" else (X, y)


METHODS = {
    "summary": lambda estimator: estimator.summary(),
    "importances": lambda estimator: estimator.importances(X, NUMBERS),
    "plot_training": lambda estimator: estimator.plot_training(),
    "compiled": lambda estimator: estimator.compiled(),
}


@pytest.mark.parametrize("cls", [TabularClassifier, TabularRegressor])
@pytest.mark.parametrize("method", METHODS)
def test_all_need_a_fit(cls, method):
    with pytest.raises(NotFittedError):
        METHODS[method](cls())


# ------------------------------------------------------------------------------------------------------------
# Summaries


@cases(*CASES)
def test_the_summary_tells_of_columns_rounds_and_networks(fitted):
    estimator, _ = fitted
    text = estimator.summary()
    assert type(estimator).__name__ in text and max(map(len, text.splitlines())) <= 160
    for column in estimator.columns_:
        line = next(line for line in text.splitlines() if line.split()[:1] == [str(column.name)])
        assert column.taken_for in line
        assert not column.used or re.search(rf"\b{sum(column.became.values())}\b", line)
        for label, count in column.became.items():
            assert f"{label} {count}" in line
    for each in estimator._ensemble.rounds:
        assert f"{each.weight:.3f}" in text


@cases("two classes", "numbers", "quantiles")
def test_the_summary_counts_what_networks_have(fitted):
    estimator, _ = fitted
    text = estimator.summary()
    for _, _, members in estimator.compiled().__reduce__()[1][0]["rounds"]:
        arrays = [network.__reduce__()[1][0]["arrays"] for _, network, _ in members]
        counts = [sum(array.size for kind in each for array in kind) for each in arrays]
        low, high = min(counts), max(counts)
        assert re.search(rf" {low:,}{f'..{high:,}' if high > low else ''}$", text, re.MULTILINE)


class _Reader(HTMLParser):
    """Checks that elements close in order; collects text and tags."""

    VOID = ("br", "input", "meta", "link", "img", "hr", "path")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def test_html_shows_the_columns_once_fitted():
    pd = pytest.importorskip("pandas")
    name = "<script>alert('&')</script>"
    frame = pd.DataFrame({name: NUMBERS, "b": X[:, 4]})
    for estimator, y in ((TabularRegressor(**QUICK), NUMBERS), (TabularClassifier(**QUICK), CLASSES)):
        before = estimator._repr_html_()
        assert "nnfast-summary" not in before and type(estimator).__name__ in before
        estimator.fit(frame, y)
        for html in (estimator._repr_html_(), estimator._repr_mimebundle_()["text/html"]):
            summary = read(html[html.index('<div class="nnfast-summary">') :])
            assert name in "".join(summary.text) and "script" not in summary.tags
            assert "units by layer" in "".join(summary.text)
        with config_context(display="text"):
            assert not hasattr(estimator, "_repr_html_") and list(estimator._repr_mimebundle_()) == [
                "text/plain"
            ]


# ------------------------------------------------------------------------------------------------------------
# Importances


@cases(*(name for name in CASES if name != "constant"))
def test_informative_columns_come_first_and_noise_is_none(fitted):
    estimator, y = fitted
    found = estimator.importances(*rows_of(estimator, y), random_state=0)
    assert found.columns == tuple(range(6)) and found.importances.shape == (6, 5)
    assert found.order[0] == 0 and set(found.order[:3]) == {0, 1, 2}
    top = found.means[0]
    assert abs(found.means[[3, 4]]).max() < 0.1 * top
    assert (found.importances[5] == 0).all()  # a constant column is not used
    assert (found.means == found.importances.mean(axis=1)).all() and (found.deviations >= 0).all()
    assert list(found.sorted().means) == sorted(found.means, reverse=True)


def test_duplicates_share_their_importance():
    numbers = X[:, [0, 1]].astype(float)
    alone = TabularRegressor(**QUICK).fit(numbers, NUMBERS).importances(numbers, NUMBERS, random_state=0)
    estimator = TabularRegressor(**QUICK).fit(X, NUMBERS)
    shared = estimator.importances(X, NUMBERS, random_state=0)
    assert 0 < shared.means[1] < 0.7 * alone.means[1] and 0 < shared.means[2] < 0.7 * alone.means[1]


def test_constant_predictions_need_no_column():
    estimator = TabularRegressor(**QUICK).fit(X, np.ones(N))
    found = estimator.importances(X, np.ones(N), random_state=0)
    assert not found.importances.any()


@pytest.mark.parametrize("name, scoring", [("two classes", "neg_log_loss"), ("numbers", "r2")])
def test_they_agree_with_scikit_learns_on_a_fresh_table(name, scoring):
    estimator, y, _ = CASES[name]
    estimator.fit(X, y)
    fresh, numbers = table(2000, seed=2)
    targets = np.where(numbers > 0, "yes", "no") if name == "two classes" else numbers
    ours = estimator.importances(X, y, n_repeats=20, random_state=0)
    theirs = permutation_importance(estimator, fresh, targets, n_repeats=5, scoring=scoring, random_state=0)
    assert np.argsort(-theirs.importances_mean)[0] == ours.order[0]
    expected = theirs.importances_mean
    np.testing.assert_allclose(ours.means, expected, rtol=0.25, atol=0.03 * expected.max())


@cases("two classes", "numbers", "trees", "validation rows")
def test_the_score_is_that_of_the_rows_out_of_fold(fitted):
    estimator, y = fitted
    scored, y = rows_of(estimator, y)
    found = estimator.importances(scored, y, n_repeats=1, random_state=0)
    if estimator._validated.name == "X_val":
        expected = r2_score(y, estimator.predict(scored))
    else:
        kept = TabularClassifier if isinstance(estimator, TabularClassifier) else TabularRegressor
        kept = kept(**{**estimator.get_params(), "oof_predictions": True}).fit(X, y).oof_predictions_
        kept = kept / kept.sum(axis=1, keepdims=True) if kept.ndim == 2 else kept
        expected = -log_loss(y, kept) if isinstance(estimator, TabularClassifier) else r2_score(y, kept)
    assert found.score == pytest.approx(expected, rel=1e-6)


@cases("two classes", "trees")
def test_any_number_of_jobs_gives_the_same_bits(fitted):
    estimator, y = fitted
    ones, twos, others = (
        estimator.importances(X, y, n_repeats=2, random_state=seed, n_jobs=n_jobs)
        for seed, n_jobs in ((0, 1), (0, 3), (1, 1))
    )
    assert (ones.importances == twos.importances).all() and (ones.importances != others.importances).any()


@cases("two classes")
def test_scorers_see_out_of_fold_predictions(fitted):
    estimator, y = fitted
    by_name = estimator.importances(X, y, n_repeats=1, scoring="roc_auc", random_state=0)

    def own(model, rows, targets):
        return roc_auc_score(targets, model.predict_proba(rows)[:, 1])

    by_function = estimator.importances(X, y, n_repeats=1, scoring=own, random_state=0)
    assert (by_name.importances == by_function.importances).all() and by_name.scoring == "roc_auc"
    accuracy = estimator.importances(X, y, n_repeats=1, scoring="accuracy", random_state=0)
    assert accuracy.score * N == pytest.approx(round(accuracy.score * N))
    none, ones, some = (
        estimator.importances(X, y, n_repeats=1, sample_weight=weights, random_state=0)
        for weights in (None, np.ones(N), np.linspace(0.5, 2, N))
    )
    assert none.score == pytest.approx(ones.score) and some.score != pytest.approx(ones.score)


@cases("two classes")
@pytest.mark.parametrize(
    "changes, error",
    [
        ({"X": X[1:], "y": CLASSES[1:]}, "X must be the X that fit was given, of 360 rows.*Got 359"),
        ({"y": CLASSES[1:]}, "inconsistent numbers of samples"),
        ({"y": np.where(np.arange(N), CLASSES, "perhaps")}, "a class that fit has not seen.*perhaps"),
        ({"n_repeats": 0}, "n_repeats must be a whole number of at least 1, got 0"),
        ({"scoring": ["r2"]}, "scoring must be None, a name"),
        ({"scoring": "auc"}, "auc"),
    ],
)
def test_errors_name_what_is_wrong(fitted, changes, error):
    with pytest.raises(ValueError, match=error):
        fitted[0].importances(**{"X": X, "y": CLASSES} | changes)


@cases("numbers")
def test_importances_as_text_frame_and_figure(fitted):
    pytest.importorskip("matplotlib").use("Agg")
    estimator, y = fitted
    found = estimator.importances(X, y, n_repeats=2, random_state=0)
    lines = repr(found).splitlines()
    assert "R²" in lines[0] and [line.split()[0] for line in lines[2:]] == [str(j) for j in found.order]
    frame = pytest.importorskip("pandas") and found.to_frame()
    assert list(frame.index) == list(found.order) and (frame["mean"] == found.sorted().means).all()
    ax = found.plot()
    assert [bar.get_width() for bar in ax.patches] == list(found.sorted().means)
    assert [label.get_text() for label in ax.get_yticklabels()] == [str(j) for j in found.order]
    assert len(found.plot(n_columns=2).patches) == 2


@cases("groups", "time")
def test_rows_are_kept_in_a_byte_each(fitted):
    estimator, _ = fitted
    members = estimator._validated.members
    assert all(each.dtype == np.uint8 and each.shape == (N,) for each in members)
    if estimator.time_column is None:  # every row of a group validated one member
        assert all(len(set(members[0][group::40])) == 1 for group in range(40))
    else:  # the first half validated none, later rows later members
        assert (members[0] > 0).sum() == N // 2
        assert (np.diff(members[0][np.argsort(X[:, 0].astype(float))].astype(int)) >= 0).all()


# ------------------------------------------------------------------------------------------------------------
# Curves of the training


@cases("two classes", "trees")
def test_training_curves_have_a_panel_a_round(fitted):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    estimator, _ = fitted
    networks = [each for each in estimator._ensemble.rounds if hasattr(each, "recipe")]
    axes = estimator.plot_training()
    assert axes.shape == (len(networks),)
    for ax, each in zip(axes, networks, strict=True):
        lines = [line.get_ydata().tolist() for line in ax.lines]
        for member in each.members:
            curves = member.curves
            assert curves.loss in lines and curves.validation_loss in lines
            assert [min(curves.validation_loss)] in [np.ravel(each).tolist() for each in lines]
    own = plt.subplots(len(networks))[1]
    assert estimator.plot_training(own)[0] is np.ravel(own)[0]
    with pytest.raises(ValueError, match="ax must have axes for each"):
        estimator.plot_training(plt.subplots(7)[1])
    plt.close("all")


@cases("constant")
def test_without_networks_there_are_no_curves(fitted):
    with pytest.raises(ValueError, match="this ensemble has none"):
        fitted[0].plot_training()


# ------------------------------------------------------------------------------------------------------------
# Compiled predictors


def answers(predictor, X):
    return [getattr(predictor, name)(X) for name in ("predict_proba", "predict") if hasattr(predictor, name)]


@cases(*NETWORKS)
def test_compiled_answers_are_the_estimators_to_the_bit(fitted):
    estimator, _ = fitted
    fresh, _ = table(50, seed=3)
    expected = answers(estimator, fresh)
    compiled = estimator.compiled()
    encoded = compiled.encode(fresh)
    assert (
        encoded.dtype == np.float32
        and encoded.flags.c_contiguous
        and encoded.shape == (50, compiled.n_inputs_)
    )
    for predictor in (compiled, pickle.loads(pickle.dumps(compiled))):
        for rows in (encoded, np.asfortranarray(encoded), encoded.repeat(2, axis=0)[::2]):
            assert all(map(np.array_equal, answers(predictor, rows), expected))
        one_by_one = (answers(predictor, encoded[[i]]) for i in range(50))
        by_row = [np.concatenate(each) for each in zip(*one_by_one, strict=True)]
        assert all(map(np.array_equal, by_row, expected))
        assert [each.dtype for each in by_row] == [each.dtype for each in expected]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: answers(compiled, encoded), range(20)):
            assert all(map(np.array_equal, found, expected))


@cases("two classes")
def test_compiled_ensembles_cannot_be_changed(fitted):
    estimator, y = fitted
    compiled = estimator.compiled()
    encoded = compiled.encode(X)
    before = compiled.predict_proba(encoded)
    with pytest.raises(AttributeError, match="cannot be changed"):
        compiled.classes_ = None
    with pytest.raises(AttributeError, match="cannot be changed"):
        del compiled.n_inputs_
    with pytest.raises(ValueError, match="read-only"):
        compiled.classes_[0] = "maybe"
    pickle.loads(pickle.dumps(estimator)).fit(X[:100], y[:100])
    assert (compiled.predict_proba(encoded) == before).all()
    sizes = rf"6 columns, {compiled.n_inputs_} inputs, \d+ networks"
    assert re.fullmatch(f"<nnfast CompiledTabularClassifier {sizes}>", repr(compiled))
    state = {**compiled.__reduce__()[1][0], "nnfast_version": "0.0.1"}
    with pytest.warns(InconsistentVersionWarning, match="CompiledTabularClassifier"):
        type(compiled)(state)


@cases("numbers")
def test_encoded_rows_are_checked(fitted):
    compiled = fitted[0].compiled()
    encoded = compiled.encode(X[:2])
    for wrong in (encoded.astype(np.float64), encoded.tolist()):
        with pytest.raises(TypeError, match="encoded must be an array of float32"):
            compiled.predict(wrong)
    for wrong in (encoded[0], encoded[:, 1:]):
        with pytest.raises(
            ValueError, match=rf"encoded must be of shape \(n_samples, {compiled.n_inputs_}\)"
        ):
            compiled.predict(wrong)
    assert compiled.predict(encoded[:0]).shape == (0,)


@cases("trees")
def test_trees_are_not_compiled(fitted):
    estimator, _ = fitted
    assert any(each.weight > 0 and not hasattr(each, "recipe") for each in estimator._ensemble.rounds)
    with pytest.raises(ValueError, match="blend='trees'.*Fit with blend=None"):
        estimator.compiled()
