"""Fits of tables in order of time: no member sees what comes after the rows that validate it."""

import numpy as np
import pytest

from nnfast.tabular import TabularClassifier


@pytest.mark.parametrize("blend", [None, "trees"])
def test_members_do_not_train_on_later_rows(blend):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    X[:, 0] = np.arange(300)
    y = (X[:, 1] + 0.3 * rng.normal(size=300) > 0).astype(int)
    other = y.copy()
    other[180:] = 1 - other[180:]  # the first member is validated on rows 150 to 179
    fits = [
        TabularClassifier(quality="fast", time_column=0, blend=blend, n_jobs=1, random_state=0).fit(
            X, targets
        )
        for targets in (y, other)
    ]
    first = [each._ensemble.rounds[-1].members[0] for each in fits]
    assert first[0].curves == first[1].curves
    if blend:
        trees = [each._ensemble.rounds[0].members[0][0] for each in fits]
        assert (trees[0].predict_proba(X) == trees[1].predict_proba(X)).all()
    last = [each._ensemble.rounds[-1].members[-1] for each in fits]
    assert last[0].curves != last[1].curves
