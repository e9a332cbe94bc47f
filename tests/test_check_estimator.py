"""scikit-learn's own checks of an estimator."""

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator
from small import QUIET

from nnfast import MLPClassifier, MLPRegressor

pytestmark = QUIET

# Not parametrize_with_checks, which in scikit-learn 1.6 hands pytest a generator that pytest 9 warns of.
CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{getattr(check, 'func', check).__name__}")
    for cls in (MLPClassifier, MLPRegressor)
    for estimator, check in estimator_checks_generator(cls())
]


@pytest.mark.parametrize("estimator, check", CHECKS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
