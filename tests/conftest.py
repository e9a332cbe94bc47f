"""What all tests share: a process in a known state, and the marker of those that compare with PyTorch."""

import signal
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

# --doctest-modules would import the helpers of the tests, too, and torch_network.py needs PyTorch.
collect_ignore = [
    path.name for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")
]


@pytest.hookimpl(tryfirst=True)  # before the fixtures
def pytest_runtest_setup(item):
    if item.get_closest_marker("torch"):
        pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _ctrl_c_is_raised():
    """Python's own handler of SIGINT, for child processes as well: a process that a script starts may ignore
    the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if before is not None:  # or it was none of Python's
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def quick_models(monkeypatch):
    """The whole models of `nnfast demo` are fitted for a moment: the trees twice, the ensembles to a few
    rows.
    """
    import sklearn.ensemble

    import nnfast.tabular

    def to_few_rows(cls):
        return type(cls.__name__, (cls,), {"fit": lambda self, X, y: cls.fit(self, X[:60], y[:60])})

    for kind in ("Classifier", "Regressor"):
        trees, ensemble = f"HistGradientBoosting{kind}", f"Tabular{kind}"
        monkeypatch.setattr(sklearn.ensemble, trees, partial(getattr(sklearn.ensemble, trees), max_iter=2))
        monkeypatch.setattr(nnfast.tabular, ensemble, to_few_rows(getattr(nnfast.tabular, ensemble)))


@pytest.fixture
def short_networks(monkeypatch):
    """The networks of the ensembles for tables are small and train for some epochs: where it is not about how
    well they predict.
    """
    from nnfast.tabular import recipe

    plain = recipe.default_recipe
    monkeypatch.setattr(
        recipe,
        "default_recipe",
        lambda *given: replace(plain(*given), max_epochs=9, hidden_layer_sizes=(16, 16)),
    )


@pytest.fixture
def few_trees(monkeypatch):
    """The trees beside the networks of the ensembles are five."""
    from nnfast.tabular import trees

    for kind in ("Classifier", "Regressor"):
        name = f"HistGradientBoosting{kind}"
        monkeypatch.setattr(trees, name, partial(getattr(trees, name), max_iter=5))


@pytest.fixture
def pyplot():
    """matplotlib.pyplot without a display, whose figures are closed afterwards."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")
