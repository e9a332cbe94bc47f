"""scikit-learn's callback protocol."""

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from watched_fits import (
    SOLVERS,
    Log,
    _quiet,  # noqa: F401
    same,
    small,
    table,
)

from nnfast.callbacks import Checkpoint


class Recorder:
    """A callback of scikit-learn's protocol that notes what it is told, here and in clones."""

    max_propagation_depth = None
    stop_after = None

    def __init__(self):
        self.calls, self.kept = [], []

    def __deepcopy__(self, memo):
        return self

    def setup(self, estimator, context):
        self.calls.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.calls.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        loss = None
        if context.task_name == "epoch" and fitted_estimator is not None:
            loss = fitted_estimator.loss_
            assert np.array_equal(fitted_estimator.coefs_[0], estimator.coefs_[0])
            assert fitted_estimator.predict(X).shape == y.shape
            self.kept.append((fitted_estimator.coefs_[0], fitted_estimator.coefs_[0].copy()))
        self.calls.append(("end", context.task_name, context.task_id, loss, metadata))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


@SOLVERS
def test_scikit_learns_hooks_are_called(solver):
    pytest.importorskip("sklearn.callback")
    X, y = table()
    weight = np.ones(len(y))
    recorder = Recorder()
    estimator = small(solver=solver).set_callbacks(recorder)
    assert same(estimator.fit(X, y, weight), small(solver=solver).fit(X, y, weight))
    epochs = [call for call in recorder.calls if call[0] == "end" and call[1] == "epoch"]
    assert [call[3] for call in epochs[: estimator.n_iter_]] == list(estimator.history_["loss"])
    assert all(np.array_equal(kept, then) for kept, then in recorder.kept)  # no later epoch has written there
    assert all(
        call[4]["sample_weight"] is weight or np.array_equal(call[4]["sample_weight"], weight)
        for call in epochs
    )
    assert recorder.calls[:3] == [("setup", "fit"), ("begin", "fit", 0), ("begin", "epoch", 0)]
    assert recorder.calls[-1] == ("teardown", "fit")
    assert recorder.calls[-2][:2] == ("end", "fit")
    begun = sum(call[:2] == ("begin", "epoch") for call in recorder.calls)
    assert begun == len(epochs) or solver == "lbfgs"
    assert [name for name in vars(estimator) if "callback" in name] == ["callbacks", "_skl_callbacks"]
    recorder.stop_after, recorder.calls = 2, []
    assert estimator.fit(X, y).n_iter_ == 2
    assert not [name for name in vars(estimator.set_callbacks()) if "skl" in name]
    assert estimator.fit(X, y).n_iter_ == small(solver=solver).fit(X, y).n_iter_


@SOLVERS
def test_scikit_learns_callbacks_are_torn_down_after_a_failure(solver):
    pytest.importorskip("sklearn.callback")
    X, y = table()
    recorder = Recorder()
    estimator = small(solver=solver, callbacks=[Log([], fails_in="on_epoch_end")]).set_callbacks(recorder)
    with pytest.raises(RuntimeError):
        estimator.fit(X, y)
    assert recorder.calls[-1] == ("teardown", "fit")
    assert [name for name in vars(estimator) if "callback" in name] == ["callbacks", "_skl_callbacks"]
    with pytest.raises(ValueError, match="samples"):
        estimator.fit(X[:3], y)
    assert recorder.calls[-1] == ("teardown", "fit")


def test_checkpoints_beside_scikit_learns_callbacks(tmp_path):
    pytest.importorskip("sklearn.callback")
    X, y = table()
    estimator = (
        small(callbacks=[Checkpoint(tmp_path / "net.joblib", every=2)]).set_callbacks(Recorder()).fit(X, y)
    )
    saved = joblib.load(tmp_path / "net.joblib")
    assert "_callback_fit_ctx" not in vars(saved)
    assert same(saved.fit(X, y), estimator)


def test_scoring_monitor():
    callback = pytest.importorskip("sklearn.callback")
    X, y = table()
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    estimator = small().set_callbacks(monitor).fit(X, y)
    scores = [row["neg_log_loss"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    expected = [
        -np.mean(-np.log(small(max_iter=n).fit(X, y).predict_proba(X)[np.arange(60), y])) for n in range(1, 6)
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-9)
    assert estimator.n_iter_ == 5


@pytest.mark.parametrize("n_jobs", [1, 2])
@SOLVERS
def test_scikit_learns_progress_bar(solver, n_jobs, capsys):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    X, y = table()
    small(solver=solver).set_callbacks(callback.ProgressBar()).fit(X, y)
    assert "MLPClassifier" in capsys.readouterr().out
    search = GridSearchCV(small(solver=solver), {"alpha": [0.1, 1]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, y)
    out = capsys.readouterr().out
    assert "GridSearchCV" in out
    assert "MLPClassifier" in out
    assert "100%" in out


def test_callbacks_of_scikit_learn_reach_pipelines():
    pytest.importorskip("sklearn.callback")
    X, y = table()
    recorder = Recorder()
    make_pipeline(StandardScaler(), small()).set_callbacks(recorder).fit(X, y)
    assert sum(call[:2] == ("begin", "epoch") for call in recorder.calls) == 5
