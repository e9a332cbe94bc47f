"""What a fit publishes stays as it is: calls of other threads see one state of the estimator, not parts of
two.
"""

import copy
import pickle
import sys
import threading

import numpy as np
import pytest
from small import BOTH, QUIET, UNUSED_OPTIONS, table

from nnfast import MLPClassifier, MLPRegressor

pytestmark = [QUIET, UNUSED_OPTIONS]
X, Y = table(64, 6)
MORE = np.digitize(X[:, 0], [-0.7, 0.0, 0.7])  # other classes

# What changes a fitted estimator.
CHANGES = {
    "partial_fit": lambda estimator: estimator.partial_fit(X, Y),
    "fit": lambda estimator: estimator.fit(X, Y + 1),
    "warm start": lambda estimator: estimator.set_params(warm_start=True).fit(X, Y),
    "full warm start": lambda estimator: estimator.set_params(warm_start="full").fit(X, Y),
    "early stopping": lambda estimator: estimator.set_params(warm_start=True, early_stopping=True).fit(X, Y),
    "lbfgs": lambda estimator: estimator.set_params(solver="lbfgs", warm_start=True).fit(X, Y),
    "another network": lambda estimator: estimator.set_params(hidden_layer_sizes=(3, 4)).fit(X[:, :4], MORE),
}
QUESTIONS = {
    "predict": lambda estimator, X: estimator.predict(X),
    "predict_proba": lambda estimator, X: estimator.predict_proba(X),
    "predict_log_proba": lambda estimator, X: estimator.predict_log_proba(X),
    "hidden_activations": lambda estimator, X: estimator.hidden_activations(X, 1),
    "score": lambda estimator, X: np.float64(estimator.score(X, Y)),
    "compiled": lambda estimator, X: estimator.compiled().predict(np.asarray(X)),
}


def made(cls, **parameters):
    return cls(hidden_layer_sizes=(5,), max_iter=3, random_state=0, batch_size=16, **parameters).fit(X, Y)


def arrays_in(value):
    """All arrays in lists and dicts within each other."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, list | tuple):
        return [array for each in value for array in arrays_in(each)]
    return [array for each in value.values() for array in arrays_in(each)] if isinstance(value, dict) else []


class Look:
    """A callback that keeps the states that it sees, and checks them later."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, estimator, state):
        self.note(estimator)

    def note(self, estimator):
        state = vars(estimator)
        self.seen.append((state, dict(state), [(array, array.copy()) for array in arrays_in(state)]))

    def assert_as_they_were(self):
        for state, then, arrays in self.seen:
            assert state == then or all(state[name] is value for name, value in then.items())
            assert all(np.array_equal(array, copy) for array, copy in arrays)

    def __deepcopy__(self, memo):
        return self


@BOTH
@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(
    "method, parameters",
    [
        ("partial_fit", {}),
        ("fit", {}),
        ("fit", {"warm_start": True}),
        ("fit", {"warm_start": "full"}),
        ("fit", {"warm_start": "full", "early_stopping": True}),
    ],
)
def test_what_was_published_is_not_written_to(cls, normalization, watched, method, parameters):
    look = Look()
    estimator = made(cls, normalization=normalization)
    estimator.set_params(callbacks=[look] if watched else None, **parameters)
    for _ in range(2):
        look.note(estimator)
        getattr(estimator, method)(X, Y)
    assert len({id(state) for state, _, _ in look.seen}) == len(look.seen) >= 2
    look.assert_as_they_were()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_change_in_the_middle_of_a_call_is_not_in_its_answer(question, change):
    """As another thread could make it: here while the rows are made an array, after the call has begun."""

    class Rows:
        def __init__(self, estimator=None):
            self.estimator = estimator

        def __len__(self):
            return len(X)

        @property
        def shape(self):
            return X.shape

        def __array__(self, dtype=None, copy=None):
            if self.estimator is not None:
                estimator, self.estimator = self.estimator, None
                CHANGES[change](estimator)
            return np.array(X, dtype)

    estimator, twin = made(MLPClassifier), made(MLPClassifier)
    expected = QUESTIONS[question](twin, X)
    if question == "compiled":
        predictor = estimator.compiled()
        CHANGES[change](estimator)
        answer = predictor.predict(X)
    else:
        answer = QUESTIONS[question](estimator, Rows(estimator))
    assert answer.shape == expected.shape and answer.dtype == expected.dtype
    assert np.array_equal(answer, expected)
    changed = [a for a, b in zip(estimator.coefs_, twin.coefs_, strict=False) if not np.array_equal(a, b)]
    assert changed or not np.array_equal(estimator.classes_, twin.classes_)


@pytest.mark.parametrize("question", ["predict", "hidden_activations"])
def test_numbers_are_not_torn_either(question):
    levels = {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]}
    estimator = MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0).fit(X, X[:, 0])

    class Rows:
        shape = X.shape

        def __len__(self):
            return len(X)

        def __array__(self, dtype=None, copy=None):
            estimator.set_params(**levels).fit(X, X[:, 0])
            return np.array(X, dtype)

    assert QUESTIONS[question](estimator, Rows()).shape == ((64,) if question == "predict" else (64, 5))


@pytest.mark.parametrize("change", ["partial_fit", "warm start", "callbacks"])
def test_threads_that_predict_beside_a_fit(change):
    estimator = MLPClassifier((300, 300), random_state=0, max_iter=4).partial_fit(X, Y, classes=[0, 1])
    states, answers, over = {estimator.predict_proba(X).tobytes()}, set(), threading.Event()

    def ask():
        while not over.is_set():
            answers.add(estimator.predict_proba(X).tobytes())

    class Notes:
        def on_epoch_end(self, estimator, state):
            states.add(estimator.predict_proba(X).tobytes())

    if change != "partial_fit":
        estimator.set_params(warm_start=True, callbacks=[Notes()] if change == "callbacks" else None)
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            estimator.partial_fit(X, Y) if change == "partial_fit" else estimator.fit(X, Y)
            states.add(estimator.predict_proba(X).tobytes())
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert answers <= states


@pytest.mark.parametrize(
    "way",
    [copy.copy, copy.deepcopy, lambda estimator: pickle.loads(pickle.dumps(estimator))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_have_curves_of_their_own(way):
    estimator = made(MLPClassifier)
    other = way(estimator)
    before = pickle.dumps(other)
    for _ in range(3):
        estimator.partial_fit(X, Y)
    assert pickle.dumps(other) == before
    assert other.partial_fit(X, Y).n_iter_ == 1
    for each, n_epochs in ((estimator, 6), (other, 4)):
        assert {len(values) for values in each.history_.values()} == {len(each.loss_curve_)} == {n_epochs}


def test_a_state_that_was_kept_stays_as_long_as_it_was():
    estimator = made(MLPClassifier)
    held = estimator._snapshot()
    for _ in range(3):
        estimator.partial_fit(X, Y)
    assert len(estimator.history_["loss"]) == 6
    assert {len(values) for values in held.history_.values()} == {3}
    kept = copy.deepcopy(held)
    assert len(kept.loss_curve_) == 3
    # As in a thread that began before another one ended: neither writes into the other's curves.
    held.partial_fit(X, Y)
    assert len(held.loss_curve_) == 4 and len(estimator.loss_curve_) == 6
    assert estimator.loss_curve_[-1] == estimator.loss_


def test_copies_beside_a_fit_are_whole():
    estimator, over, copies = made(MLPClassifier), threading.Event(), []

    def train():
        while not over.is_set():
            estimator.partial_fit(X, Y)

    thread = threading.Thread(target=train)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(50):
            copies += [copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))]
            assert len({len(values) for values in estimator.history_.values()}) == 1
    finally:
        sys.setswitchinterval(interval)
        over.set()
        thread.join()
    for each in copies:
        assert {len(values) for values in each.history_.values()} == {len(each.loss_curve_)}
        each.partial_fit(X, Y)
