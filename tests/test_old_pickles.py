"""Pickles of earlier versions predict the same bits and train on to the same bits: see `tools/pickles.py`."""

import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from nnfast import InconsistentVersionWarning, engines

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools"))
from pickles import answers, continued  # noqa: E402

FILES = sorted((ROOT / "tests/files").glob("*/*.pkl"))


def assert_same(now, then):
    # Instruction sets without fused multiply-adds have bits of their own.
    exact = engines.get_engine("auto").instruction_set() != "baseline"
    assert now.keys() == then.keys()
    for method, wanted in then.items():
        assert now[method].dtype == wanted.dtype
        if exact or wanted.dtype.kind != "f":
            assert np.array_equal(now[method], wanted), method
        else:
            np.testing.assert_allclose(now[method], wanted, rtol=1e-4, atol=1e-6)


def test_there_are_files():
    assert len(FILES) >= 15


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}, {path.stem}")
def test_pickle(path):
    if "tabular" in path.stem:
        pytest.importorskip("pandas")
    content = pickle.loads(path.read_bytes())
    with warnings.catch_warnings():
        # of this package's version, and scikit-learn's of its own
        warnings.filterwarnings("ignore", category=InconsistentVersionWarning)
        warnings.filterwarnings("ignore", "Trying to unpickle")
        warnings.filterwarnings("ignore", "The predicted quantiles cross")
        estimator = pickle.loads(content["estimator"])
        assert_same(answers(estimator, content["X"]), content["answers"])
        if "continued" in content:
            warnings.filterwarnings("ignore", "Stochastic Optimizer: Maximum iterations")
            assert_same(continued(estimator, content["X"], content["y"]), content["continued"])
