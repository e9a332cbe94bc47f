"""States that another version pickled: they work, with a warning."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import sklearn
from small import BOTH, QUIET, small, table

import nnfast
from nnfast import (
    InconsistentVersionWarning,
    MLPClassifier,
    MLPRegressor,
)
from nnfast.tuning import CoarseToFineSearchCV

pytestmark = QUIET


def search():
    cls = MLPClassifier((3,), max_iter=2, random_state=0)
    return CoarseToFineSearchCV(cls, {"alpha": [0.1, 1.0]}, cv=2, random_state=0).fit(*table())


PICKLED = {
    "MLPClassifier": lambda: small().fit(*table()),
    "MLPRegressor": lambda: small(MLPRegressor).fit(*table()),
    "CompiledClassifier": lambda: small().fit(*table()).compiled(),
    "CompiledRegressor": lambda: small(MLPRegressor).fit(*table()).compiled(),
    "CoarseToFineSearchCV": search,
}


@pytest.mark.filterwarnings("ignore:.*trials")
@pytest.mark.parametrize("name", PICKLED)
def test_a_pickle_of_another_version_warns(name, monkeypatch):
    made, (rows, _), nnfast_version = PICKLED[name](), table(), nnfast.__version__
    expected = made.predict(rows)
    pickled = pickle.dumps(made)
    assert not any("version" in attribute for attribute in getattr(made, "__dict__", ()))
    for again in (pickle.loads(pickled), copy.copy(made), copy.deepcopy(made)):  # without a warning
        np.testing.assert_array_equal(again.predict(rows), expected)
    with monkeypatch.context() as patch:
        patch.setattr(nnfast, "__version__", "9.8.7")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.predict(rows), expected)
    warning = caught[-1].message  # a search's comes after its best estimator's
    assert isinstance(warning, sklearn.exceptions.InconsistentVersionWarning) and isinstance(
        warning, InconsistentVersionWarning
    )
    assert str(warning).startswith(f"Trying to unpickle {name} of nnfast {nnfast_version} with nnfast 9.8.7.")
    assert (warning.estimator_name, warning.original_nnfast_version, warning.current_nnfast_version) == (
        name,
        nnfast_version,
        "9.8.7",
    )


@BOTH
def test_a_pickle_of_a_version_that_did_not_tell_warns_and_works(cls):
    rows, y = table()
    made = small(cls).fit(rows, y)
    before = dict(made.__getstate__())
    assert before.pop("_nnfast_version") == nnfast.__version__
    again = cls.__new__(cls)
    with pytest.warns(InconsistentVersionWarning, match="pre-0.1.1"):
        again.__setstate__(before)
    np.testing.assert_array_equal(again.predict(rows), made.predict(rows))
    again.partial_fit(rows, y)
    compiled = made.compiled()
    old = {key: value for key, value in compiled._state.items() if key != "nnfast_version"}
    with pytest.warns(InconsistentVersionWarning, match="pre-0.1.1"):
        again = type(compiled)(old)
    np.testing.assert_array_equal(again.predict(rows), made.predict(rows))
