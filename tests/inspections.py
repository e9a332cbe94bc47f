"""Every inspection of a fitted network, as a function of the estimator and a table."""

import pytest

from nnfast.inspect import dead_units, gradient_flow, saturation, weight_statistics

LOOKS = {
    "gradient_flow": gradient_flow,
    "dead_units": lambda estimator, X, y: dead_units(estimator, X),
    "saturation": lambda estimator, X, y: saturation(estimator, X),
    "weight_statistics": lambda estimator, X, y: weight_statistics(estimator),
}
every_look = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
