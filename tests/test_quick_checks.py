"""`partial_fit` and warm starts leave out scikit-learn's validation where it would change nothing: then
nothing changes.
"""

import warnings

import numpy as np
import pytest
import scipy.sparse
from small import BOTH, QUIET

from nnfast import MLPClassifier, validation

pd = pytest.importorskip("pandas")
pytestmark = QUIET

N = 12
X = np.random.RandomState(0).standard_normal((N, 3))
Y = np.arange(N) % 2


def changed(array, value):
    array = array.copy()
    array[(0,) * array.ndim] = value
    return array


TABLES = {
    "float64": X,
    "float32": X.astype(np.float32),
    "float16": X.astype(np.float16),
    "integers": (10 * X).astype(int),
    "booleans": X > 0,
    "objects": X.astype(object),
    "big-endian": X.astype(">f8"),
    "Fortran order": np.asfortranarray(X),
    "part of another": np.hstack([X, X])[:, :3],
    "every other row": np.vstack([X, X])[::2],
    "read-only": np.frombuffer(X.tobytes()).reshape(X.shape),
    "list": X.tolist(),
    "matrix": np.ma.masked_array(X),
    "frame": pd.DataFrame(X, columns=list("abc")),
    "sparse": scipy.sparse.csr_array(X),
    "NaN": changed(X, np.nan),
    "infinite": changed(X, np.inf),
    "beyond float32": changed(X, 1e300),
    "no rows": X[:0],
    "another width": X[:, :2],
    "one dimension": X[:, 0],
    "fewer rows": X[:5],
}
TARGETS = {
    "integers": Y,
    "int8": Y.astype(np.int8),
    "booleans": Y > 0,
    "floats": Y.astype(float),
    "big-endian": Y.astype(">i4"),
    "fractions": Y + 0.5,
    "NaN": changed(Y.astype(float), np.nan),
    "column": Y[:, np.newaxis],
    "text": Y.astype(str),
    "objects": Y.astype(object),
    "list": Y.tolist(),
    "series": pd.Series(Y),
    "dates": Y.astype("M8[D]"),
    "complex": Y.astype(complex),
    "other classes": Y + 1,
    "one number": np.array(1),
}


def outcome(cls, X, y, parameters, frame):
    estimator = cls(hidden_layer_sizes=(4,), max_iter=2, random_state=0, **parameters)
    start = pd.DataFrame(TABLES["float64"], columns=list("abc")) if frame else TABLES["float64"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        estimator.partial_fit(start, Y, **({"classes": [0, 1]} if cls is MLPClassifier else {}))
        try:
            estimator.fit(X, y) if "warm_start" in parameters else estimator.partial_fit(X, y)
        except (TypeError, ValueError) as error:
            result = type(error), str(error)
        else:
            result = [array.tobytes() for array in estimator.coefs_], sorted(name for name in vars(estimator))
    return result, [str(warning.message) for warning in said]


@BOTH
@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize("parameters", [{}, {"precision": "float32"}, {"warm_start": True}], ids=str)
def test_the_look_that_is_left_out_would_have_changed_nothing(cls, parameters, frame, monkeypatch):
    quick, judged = validation._needs_no_look, []

    def judge(*arguments):
        judged.append(quick(*arguments))
        return judged[-1]

    pairs = [(table, TARGETS["integers"]) for table in TABLES.values()] + [(X, y) for y in TARGETS.values()]
    for table, y in pairs:
        monkeypatch.setattr(validation, "_needs_no_look", judge)
        mine = outcome(cls, table, y, parameters, frame)
        monkeypatch.setattr(validation, "_needs_no_look", lambda *arguments: False)
        assert mine == outcome(cls, table, y, parameters, frame)
    assert any(judged) != frame and not all(judged)
