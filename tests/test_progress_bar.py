"""The progress bar."""

import pytest
from watched_fits import (
    SOLVERS,
    Log,
    _quiet,  # noqa: F401
    same,
    small,
    table,
)


@SOLVERS
@pytest.mark.parametrize("validates", [False, True])
def test_the_progress_bar(solver, validates, capsys):
    pytest.importorskip("tqdm")
    X, y = table()
    more = {"X_val": X, "y_val": y} if validates else {}
    estimator = small(solver=solver, verbose="progress").fit(X, y, **more)
    out, err = capsys.readouterr()
    last = err.rstrip().rpartition("\r")[2]
    assert out == ""
    assert "MLPClassifier" in last
    assert f"{estimator.n_iter_}/5" in last
    assert f"loss={estimator.loss_:.4g}" in last
    assert "<" in last  # time left
    assert ("score=" in last) == validates
    assert same(estimator, small(solver=solver).fit(X, y, **more))


def test_the_progress_bar_is_closed_by_whatever_ends_the_fit(capsys):
    tqdm = pytest.importorskip("tqdm.std").tqdm
    X, y = table()
    with pytest.raises(RuntimeError):
        small(verbose="progress", callbacks=[Log([], fails_in="on_epoch_end")]).fit(X, y)
    assert not list(tqdm._instances)
    assert "2/5" in capsys.readouterr().err


def test_the_progress_bar_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm.std", None)
    estimator = small(verbose="progress")
    with pytest.raises(ImportError, match=r"pip install 'nnfast\[progress\]'"):
        estimator.fit(*table())
    assert not hasattr(estimator, "coefs_")
