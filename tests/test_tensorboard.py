"""Logs for TensorBoard, read back by TensorBoard's own reader."""

import math
import pickle
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import UNUSED_OPTIONS, small, table

import nnfast.callbacks
from nnfast import MLPRegressor
from nnfast.callbacks import Callback, Checkpoint, TensorBoard
from nnfast.tuning import HyperbandSearchCV
from nnfast.tuning.tensorboard import TrialLog, log_search

tensorboardX = pytest.importorskip("tensorboardX")
pytest.importorskip("tensorboard")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TensorBoard's own
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups, metadata
    from tensorboard.util import tensor_util


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def read(folder):
    """TensorBoard's reader of a run."""
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0}).Reload()


def scalar(reader, tag):
    events = reader.Scalars(tag)
    return [event.step for event in events], [event.value for event in events]


def runs(logdir):
    return sorted(
        str(path.relative_to(logdir))
        for path in Path(logdir).rglob("*")
        if path.is_dir() and any(path.glob("events*"))
    )


def callback_of(estimator):
    return next(each for each in estimator.callbacks if isinstance(each, TensorBoard))


class Fail(Callback):
    """Raises after an epoch."""

    def __init__(self, at, error):
        self.at, self.error = at, error

    def on_epoch_end(self, estimator, state):
        if state.epoch == self.at:
            raise self.error


# ------------------------------------------------------------------------------------------------------------
# The callback


@UNUSED_OPTIONS
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("validates", [False, True])
def test_curves(solver, validates, tmp_path):
    X, y = table()
    estimator = small(solver=solver, batch_size=16, callbacks=[TensorBoard(tmp_path)])
    estimator.fit(X, y, **({"X_val": X, "y_val": y} if validates else {}))
    assert runs(tmp_path) == ["MLPClassifier-1"]
    assert callback_of(estimator).folder == tmp_path / "MLPClassifier-1"
    reader = read(tmp_path / "MLPClassifier-1")
    for name, values in estimator.history_.items():
        steps, read_values = scalar(reader, name)
        assert steps == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(read_values, values, rtol=1e-6)
    norms = {f"weight_norm/{kind}_{layer}" for kind in ("coefs", "intercepts") for layer in (0, 1)}
    assert set(reader.Tags()["scalars"]) == {*estimator.history_, *norms}
    assert len(estimator.history_) == (3 if solver == "adam" else 2) + 2 * validates
    for layer in (0, 1):
        last = scalar(reader, f"weight_norm/coefs_{layer}")[1][-1]
        assert last == pytest.approx(np.linalg.norm(estimator.coefs_[layer]), rel=1e-6)
    assert reader.Tags()["histograms"] == []
    text = tensor_util.make_ndarray(reader.Tensors("estimator/text_summary")[0].tensor_proto).item().decode()
    assert text.startswith("```\nMLPClassifier(batch_size=16,")
    assert "max_iter=5" in text


@pytest.mark.parametrize("normalization", [None, "layer"])
def test_histograms_and_gradients(normalization, tmp_path):
    X, y = table()
    seen = {}

    class Look(Callback):
        def on_epoch_end(self, estimator, state):
            arrays = state.parameters.copy()
            seen[state.epoch] = arrays, state.gradients(), state.gradient_norms()

    callbacks = [TensorBoard(tmp_path, name="net", histograms=2, gradients=3), Look()]
    estimator = small(max_iter=6, normalization=normalization, callbacks=callbacks).fit(X, y)
    plain = small(max_iter=6, normalization=normalization).fit(X, y)
    assert all(np.array_equal(a, b) for a, b in zip(estimator.coefs_, plain.coefs_, strict=True))
    reader = read(tmp_path / "net-1")
    groups = {"coefs": 2, "intercepts": 2} | ({"scales": 1, "shifts": 1} if normalization else {})
    arrays = {f"{group}_{layer}" for group, n in groups.items() for layer in range(n)}
    assert set(reader.Tags()["histograms"]) == {
        f"{kind}/{name}" for kind in ("weights", "gradients") for name in arrays
    }
    for kind, which, epochs in (("weights", 0, [2, 4, 6]), ("gradients", 1, [3, 6])):
        for name in arrays:
            group, layer = name.split("_")
            events = reader.Histograms(f"{kind}/{name}")
            assert [event.step for event in events] == epochs
            for event in events:
                array = getattr(seen[event.step][which], group)[int(layer)]
                histogram = event.histogram_value
                assert histogram.num == array.size == sum(histogram.bucket)
                assert histogram.min == pytest.approx(array.min())
                assert histogram.max == pytest.approx(array.max())
                assert histogram.sum == pytest.approx(array.sum(), abs=1e-6)
                assert histogram.sum_squares == pytest.approx((array**2).sum())
    for name in arrays:
        group, layer = name.split("_")
        steps, values = scalar(reader, f"gradient_norm/{name}")
        assert steps == [3, 6]
        expected = [np.linalg.norm(getattr(seen[n][1], group)[int(layer)]) for n in steps]
        assert values == pytest.approx(expected, rel=1e-6)
        assert expected == pytest.approx([seen[n][2][group][int(layer)] for n in steps])


@pytest.mark.parametrize("where", ["callback", "epoch 1", "interrupt", "divergence", "beginning"])
def test_files_are_closed_however_a_fit_ends(where, tmp_path):
    X, y = table()
    fail = {
        "callback": Fail(3, KeyError()),
        "epoch 1": Fail(1, ValueError()),
        "interrupt": Fail(3, KeyboardInterrupt()),
    }
    estimator = small(callbacks=[TensorBoard(tmp_path), *([fail[where]] if where in fail else [])])
    if where == "divergence":
        estimator.set_params(solver="sgd", learning_rate_init=1e30, precision="float32")
    if where == "beginning":
        estimator.callbacks.append(Begin())
    with pytest.raises((KeyError, ValueError, KeyboardInterrupt, ArithmeticError, RuntimeError)):
        estimator.fit(X, y)
    callback = callback_of(estimator)
    assert callback._writer is None
    n_epochs = {"callback": 3, "epoch 1": 1, "interrupt": 3}.get(where, 0)
    reader = read(callback.folder)
    assert ("loss" in reader.Tags()["scalars"]) == (n_epochs > 0)
    if n_epochs:
        assert scalar(reader, "loss")[0] == list(range(1, n_epochs + 1))
    assert pickle.loads(pickle.dumps(callback)) == callback


class Begin(Callback):
    def on_fit_begin(self, estimator, state):
        raise RuntimeError


@pytest.mark.parametrize("how", ["partial_fit", "warm start", "pickled"])
def test_a_fit_that_goes_on_does_so_in_its_run(how, tmp_path):
    X, y = table()
    estimator = small(max_iter=2, warm_start="full", callbacks=[TensorBoard(tmp_path, histograms=2)])
    for _ in range(3):
        if how == "partial_fit":
            estimator.partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
        else:
            estimator.fit(X, y)
        if how == "pickled":
            estimator = pickle.loads(pickle.dumps(estimator))
    assert runs(tmp_path) == ["MLPClassifier-1"]
    reader = read(tmp_path / "MLPClassifier-1")
    steps, losses = scalar(reader, "loss")
    assert steps == [1, 2, 3, 4, 5, 6]
    assert losses == pytest.approx(estimator.loss_curve_, rel=1e-6)
    assert [event.step for event in reader.Histograms("weights/coefs_0")] == [2, 4, 6]
    clone(estimator).fit(X, y)
    estimator.set_params(warm_start=False).fit(X, y)
    assert runs(tmp_path) == [f"MLPClassifier-{n}" for n in (1, 2, 3)]


def test_copies_that_go_on_at_once_write_files_of_their_own(tmp_path, monkeypatch):
    X, y = table()
    monkeypatch.setattr(tensorboardX.event_file_writer.time, "time", lambda: 1.7e9)
    kept = pickle.dumps(small(max_iter=2, warm_start="full", callbacks=[TensorBoard(tmp_path)]).fit(X, y))
    copies = [pickle.loads(kept).set_params(learning_rate_init=rate).fit(X, y) for rate in (0.01, 0.1)]
    files = sorted((tmp_path / "MLPClassifier-1").iterdir())
    assert len(files) == 3
    losses = {tuple(np.float32(scalar(read(file), "loss")[1])) for file in files[1:]}
    assert losses == {tuple(np.float32(each.loss_curve_[2:])) for each in copies}


def test_a_fit_goes_on_from_a_checkpoint_as_if_it_had_not_been_killed(tmp_path):
    X, y = table()
    callbacks = [
        TensorBoard(tmp_path),
        Checkpoint(tmp_path / "net-{epoch}.joblib", every=2),
        Fail(5, KeyboardInterrupt()),
    ]
    estimator = small(max_iter=9, warm_start="full", callbacks=callbacks)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    resumed = joblib.load(tmp_path / "net-4.joblib").set_params(max_iter=3)
    resumed.set_params(callbacks=[callback_of(resumed)]).fit(X, y)
    reader = read(tmp_path / "MLPClassifier-1")
    steps, losses = scalar(reader, "loss")
    assert steps == [1, 2, 3, 4, 5, 6, 7]  # 5 is the resumed fit's
    assert losses == pytest.approx(resumed.loss_curve_, rel=1e-6)


def test_runs_do_not_mix(tmp_path):
    X, y = table()
    shared = TensorBoard(tmp_path)
    a, b = small(callbacks=[shared], max_iter=2), small(MLPRegressor, callbacks=[shared], max_iter=3)
    a.fit(X, y)
    b.fit(X, y)
    a.partial_fit(X, y)  # the callback was elsewhere meanwhile
    assert runs(tmp_path) == ["MLPClassifier-1", "MLPClassifier-2", "MLPRegressor-1"]
    assert scalar(read(tmp_path / "MLPClassifier-2"), "loss")[0] == [3]
    for n_jobs, backend in ((1, "sequential"), (4, "threading")):
        logdir = tmp_path / backend
        pipeline = make_pipeline(StandardScaler(), small(callbacks=[TensorBoard(logdir)]))
        with joblib.parallel_config(backend):
            search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1, 1]}, cv=2, n_jobs=n_jobs).fit(X, y)
        assert runs(logdir) == [f"MLPClassifier-{n}" for n in range(1, 6)]
        for run in runs(logdir):
            assert scalar(read(logdir / run), "loss")[0] == [1, 2, 3, 4, 5]
        assert callback_of(search.best_estimator_[-1]).folder == logdir / "MLPClassifier-5"


def test_the_callback_clones_pickles_and_prints(tmp_path):
    callback = TensorBoard("logs", name="net", histograms=3, gradients=1)
    assert eval(repr(callback), vars(nnfast.callbacks)) == callback
    assert repr(callback) == "TensorBoard(logdir='logs', name='net', histograms=3, gradients=1)"
    assert clone(small(callbacks=[callback])).callbacks[0] == callback == pickle.loads(pickle.dumps(callback))
    cross_validate(small(callbacks=[TensorBoard(tmp_path)]), *table(), cv=2)
    assert len(runs(tmp_path)) == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"histograms": -1}, "histograms of TensorBoard must be a number of epochs, or 0, got -1"),
        ({"gradients": 0.5}, "gradients of TensorBoard must be a number of epochs, or 0, got 0.5"),
        ({"name": "a/b"}, "name of TensorBoard must be None or that of a folder, got 'a/b'"),
        ({"name": ""}, "name of TensorBoard must be"),
        ({"histograms": True}, "histograms of TensorBoard must be a number of epochs, or 0, got True"),
        ({"logdir": None}, "logdir of TensorBoard must be the path of a folder, got None"),
        ({"logdir": ""}, "logdir of TensorBoard must be the path of a folder, got ''"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        TensorBoard(**{"logdir": "logs"} | parameters)


@pytest.mark.parametrize("place", ["logs", "logs/deeper"])
def test_logs_need_a_folder(place, tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(NotADirectoryError, match=f"logdir of TensorBoard must be a folder, .*{place}'"):
        small(callbacks=[TensorBoard(tmp_path / place)]).fit(*table())


def test_without_tensorboardx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"need tensorboardX: pip install 'nnfast\[tune\]'"):
        small(callbacks=[TensorBoard(tmp_path / "logs")]).fit(*table())
    with pytest.raises(ImportError, match=r"nnfast\[tune\]"):
        TrialLog(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


# ------------------------------------------------------------------------------------------------------------
# Trials


def hparams(logdir):
    """What the HPARAMS tab gets from TensorBoard: (experiment, {trial: its session}, {trial: {metric:
    value}}).
    """
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logdir)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = RequestContext()
    contents = context.hparams_metadata(request, "")
    experiment = context.experiment_from_metadata(
        request, "", True, contents, context.hparams_from_data_provider(request, "", None)
    )
    wanted = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=1000,
        allowed_statuses=list(api_pb2.Status.values()),
        include_metrics=True,
        col_params=[api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos]
        + [api_pb2.ColParams(hparam=info.name) for info in experiment.hparam_infos],
    )
    groups = list_session_groups.Handler(request, context, "", wanted).run().session_groups
    sessions = {group.name: group for group in groups}
    values = {
        name: {each.name.tag: each.value for each in group.metric_values} for name, group in sessions.items()
    }
    return experiment, contents, sessions, values


def value_of(message):
    return getattr(message, message.WhichOneof("kind"))


def test_trials(tmp_path):
    log = TrialLog(tmp_path)
    assert not any(tmp_path.iterdir())
    curve = {
        "loss": np.array([0.9, 0.5, 0.25]),
        "score_epochs": np.array([2, 3]),
        "score": np.array([0.5, 0.75]),
    }
    trials = [
        (
            {"alpha": 0.5, "solver": "adam", "hidden_layer_sizes": (64, 32), "early_stopping": True},
            {"score": 0.625, "auc": 2},
            curve,
        ),
        (
            {
                "alpha": np.float32(0.25),
                "solver": "sgd",
                "hidden_layer_sizes": [16],
                "early_stopping": np.False_,
            },
            {"score": 0.5},
            None,
        ),
        (
            {"alpha": 1, "solver": "sgd", "momentum": 0.5, "random_state": None},
            {"score": math.nan},
            {"loss": [1.0, math.inf], "score_epochs": [1], "score": [0.5]},
        ),
        ({"alpha": math.inf, "hidden_layer_sizes": np.array([3, 4]), "steps": (1.5, "a")}, {}, {}),
    ]
    statuses = ["complete", "pruned", "diverged", "failed"]
    for number, ((params, metrics, curve), status) in enumerate(zip(trials, statuses, strict=True)):
        log.write(number, params, metrics, curve, status)
    assert log.folder == tmp_path / "search-1"
    names = [f"trial-{number:04d}" for number in range(4)]
    assert runs(log.folder) == names
    _, contents, _, values = hparams(log.folder)
    expected = [
        {"alpha": 0.5, "solver": "adam", "hidden_layer_sizes": "64-32", "early_stopping": True},
        {"alpha": 0.25, "solver": "sgd", "hidden_layer_sizes": "16", "early_stopping": False},
        {"alpha": 1, "solver": "sgd", "momentum": 0.5, "random_state": "None"},
        {"alpha": "inf", "hidden_layer_sizes": "3-4", "steps": "(1.5, 'a')"},
    ]
    ends = []
    for name, params in zip(names, expected, strict=True):
        start = metadata.parse_session_start_info_plugin_data(contents[name][metadata.SESSION_START_INFO_TAG])
        end = metadata.parse_session_end_info_plugin_data(contents[name][metadata.SESSION_END_INFO_TAG])
        assert {key: value_of(value) for key, value in start.hparams.items()} == params
        ends.append(api_pb2.Status.Name(end.status))
    assert ends == 2 * ["STATUS_SUCCESS"] + 2 * ["STATUS_FAILURE"]
    assert values == {
        names[0]: {"score": 0.625, "auc": 2, "training_loss": 0.25},
        names[1]: {"score": 0.5},
        names[2]: {"training_loss": 1.0},
        names[3]: {},
    }
    reader = read(log.folder / names[0])
    assert scalar(reader, "training_loss") == ([1, 2, 3], [pytest.approx(0.9), 0.5, 0.25])
    assert scalar(reader, "score") == ([2, 3], [0.5, 0.625])
    assert scalar(reader, "auc") == ([3], [2])
    texts = [
        read(log.folder / name).Tensors("status/text_summary")[0].tensor_proto.string_val[0].decode()
        for name in names
    ]
    assert texts == statuses
    again = TrialLog(tmp_path)
    again.write(7, {}, {})
    assert again.folder == tmp_path / "search-2"


def test_a_finished_search_of_scikit_learn(tmp_path):
    X, y = table()
    space = {
        "learning_rate_init": loguniform(1e-3, 1e-1),
        "hidden_layer_sizes": [(4,), (8, 4)],
        "solver": ["adam", "sgd"],
    }
    search = RandomizedSearchCV(
        small(max_iter=3),
        space,
        n_iter=6,
        cv=2,
        random_state=0,
        return_train_score=True,
        scoring={"accuracy": "accuracy", "loss": "neg_log_loss"},
        refit="loss",
    ).fit(X, y)
    folder = log_search(search, tmp_path)
    assert folder == tmp_path / "search-1"
    experiment, contents, sessions, values = hparams(tmp_path)
    assert len(sessions) == 6
    kinds = {info.name: info for info in experiment.hparam_infos}
    assert set(kinds) == set(space)
    assert kinds["learning_rate_init"].type == api_pb2.DATA_TYPE_FLOAT64
    rates = [params["learning_rate_init"] for params in search.cv_results_["params"]]
    interval = kinds["learning_rate_init"].domain_interval
    assert (interval.min_value, interval.max_value) == (min(rates), max(rates))
    assert {each.string_value for each in kinds["hidden_layer_sizes"].domain_discrete.values} <= {"4", "8-4"}
    tags = {info.name.tag for info in experiment.metric_infos}
    assert tags == {"accuracy", "loss", "train_accuracy", "train_loss", "fit_seconds"}
    for number in range(6):
        of_trial = values[f"search-1/trial-{number:04d}"]
        assert of_trial["accuracy"] == pytest.approx(search.cv_results_["mean_test_accuracy"][number])
        assert of_trial["train_loss"] == pytest.approx(
            search.cv_results_["mean_train_loss"][number], rel=1e-6
        )


def test_trials_that_failed(tmp_path):
    X, y = table()
    search = GridSearchCV(small(max_iter=2), {"alpha": [1, -1]}, cv=2)
    with pytest.warns(FitFailedWarning), pytest.warns(UserWarning, match="non-finite"):
        search.fit(X, y)
    folder = log_search(search, tmp_path)
    _, contents, _, values = hparams(folder)
    ends = [
        metadata.parse_session_end_info_plugin_data(contents[name][metadata.SESSION_END_INFO_TAG]).status
        for name in sorted(contents)
    ]
    assert ends == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]
    assert ["score" in values[name] for name in sorted(values)] == [True, False]


def test_searches_with_curves_and_statuses(tmp_path):
    search = GridSearchCV(small(), {"alpha": [1.0, 2.0]})
    search.cv_results_ = {
        "params": [{"alpha": 1.0}, {"alpha": 2.0}],
        "mean_fit_time": np.array([0.5, 0.25]),
        "mean_test_score": np.array([0.5, np.nan]),
        "status": np.array(["complete", "pruned"]),
        "learning_curve": np.array(
            [
                {
                    "loss": np.array([3.0, 2.0]),
                    "score_epochs": np.array([1, 2]),
                    "score": np.array([0.25, 0.75]),
                },
                {"loss": np.array([4.0]), "score_epochs": np.array([1]), "score": np.array([0.125])},
            ]
        ),
    }

    folder = log_search(search, tmp_path)
    _, contents, _, values = hparams(folder)
    assert values["trial-0000"] == {"fit_seconds": 0.5, "score": 0.5, "training_loss": 2.0}
    assert values["trial-0001"] == {"fit_seconds": 0.25, "score": 0.125, "training_loss": 4.0}
    assert scalar(read(folder / "trial-0000"), "score") == ([1, 2], [0.25, 0.5])


@pytest.mark.parametrize(
    "scorers",
    [{}, {"scoring": ["accuracy", "neg_log_loss"], "refit": "accuracy", "return_train_score": True}],
    ids=["one", "several"],
)
def test_searches_write_the_same_while_they_run_and_afterwards(scorers, tmp_path):
    space = {"learning_rate_init": [1e-3, 1e-2, 0.1, 1e200], "solver": ["sgd"]}
    search = HyperbandSearchCV(
        small(),
        space,
        max_epochs=3,
        cv=2,
        random_state=1,
        n_jobs=1,
        tensorboard=tmp_path / "during",
        error_score=-5.0,
        **scorers,
    ).fit(*table())
    assert {"complete", "pruned", "diverged"} == set(search.cv_results_["status"])
    log_search(search, tmp_path / "after")
    (_, _, _, during), (_, _, _, after) = hparams(tmp_path / "during"), hparams(tmp_path / "after")
    assert during == after
    names = ["accuracy", "neg_log_loss", "train_accuracy", "train_neg_log_loss"] if scorers else []
    best = during[f"search-1/trial-{search.best_index_:04d}"]
    assert set(best) == {"score", "training_loss", "fit_seconds", *names}
    failed = int(np.flatnonzero(search.cv_results_["status"] == "diverged")[0])
    assert (
        "score" not in during[f"search-1/trial-{failed:04d}"]
        and "accuracy" not in during[f"search-1/trial-{failed:04d}"]
    )


def test_what_is_no_fitted_search(tmp_path):
    with pytest.raises(TypeError, match=r"search must be a fitted search of .*, got str\."):
        log_search("x", tmp_path)
    with pytest.raises(NotFittedError, match="GridSearchCV instance is not fitted"):
        log_search(GridSearchCV(small(), {"alpha": [1]}), tmp_path)
    assert not any(tmp_path.iterdir())


def test_searches_at_the_same_time_have_folders_of_their_own(tmp_path):
    def write(n):
        log = TrialLog(tmp_path)
        log.write(0, {"n": n}, {"score": n})
        return log.folder

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(write, range(8)))
    assert len(set(folders)) == 8
    assert runs(tmp_path) == sorted(f"search-{n}/trial-0000" for n in range(1, 9))
