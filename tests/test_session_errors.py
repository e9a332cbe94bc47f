"""A session of the engine does what it was opened for, and refuses wrong arrays and numbers."""

import numpy as np
import pytest
from problems import Problem

from nnfast.network import Network, Parameters
from nnfast.regularization import Regularization


def test_a_session_does_what_it_was_opened_for():
    """And says so, where the compiled code would read what is not there."""
    problem = Problem()
    flat = np.zeros(problem.network.n_parameters)
    with problem.predicting(problem.table) as session:
        for call in (lambda: session.epoch(problem.rows, 0.1), lambda: session.take_moments()):
            with pytest.raises(RuntimeError, match="must be one for train, got one for predict"):
                call()
        with pytest.raises(RuntimeError, match="must be one for train or differentiate, got one for predict"):
            session.evaluate()
    with problem.session() as session:
        with pytest.raises(RuntimeError, match="must be one for differentiate, got one for train"):
            session.loss_gradient(flat, flat.copy(), problem.rows)
        session.take_moments()
        with pytest.raises(RuntimeError, match="got one for closed"):
            session.epoch(problem.rows, 0.1)
    with pytest.raises(RuntimeError, match="got one for closed"):
        session.predict()


def test_a_session_that_differentiates_evaluates_and_predicts():
    problem = Problem(normalization="batch", weighted=True)
    slow, X, y = problem.reference(Regularization())
    with problem.session(optimizer=None) as session:
        loss, outputs = session.evaluate()
        np.testing.assert_allclose(loss, slow.evaluate(X, y, problem.weight), rtol=1e-12)
        np.testing.assert_allclose(outputs, slow.predict(X), rtol=1e-12)
        flat = problem.network.pack(problem.parameters())
        assert np.isfinite(session.loss_gradient(flat, flat.copy(), problem.rows))


def changed(parameters, **lists):
    kinds = ("coefs", "intercepts", "scales", "shifts", "means", "variances")
    return Parameters.of_lists(**{kind: getattr(parameters, kind) for kind in kinds} | lists)


@pytest.mark.parametrize("normalization", [None, "layer", "batch"])
def test_wrong_arrays_are_errors(normalization):
    problem = Problem((12, 9, 8, 3), normalization=normalization, dtype=np.float64)
    p = problem.parameters()
    wrong = [
        changed(p, coefs=p.coefs[:-1]),
        changed(p, intercepts=[*p.intercepts, p.intercepts[0]]),
        changed(p, coefs=[w.T.copy() for w in p.coefs]),
        changed(p, intercepts=[p.intercepts[0][:-1], *p.intercepts[1:]]),
        Network((12, 9, 7, 3), "relu", "log_loss", (), normalization).blank(np.float64),
    ]
    for other in {None: ("layer", "batch"), "layer": (None,), "batch": (None, "layer")}[normalization]:
        wrong.append(Network((12, 9, 8, 3), "relu", "log_loss", (), other).blank(np.float64))
    if normalization:
        wrong += [changed(p, scales=p.shifts[:1]), changed(p, shifts=[*p.shifts[:1], np.zeros(3)])]
    if normalization == "batch":
        wrong += [
            changed(p, means=[]),
            changed(p, variances=p.variances[::-1]),
            changed(p, variances=p.variances[:1]),
        ]
    with problem.session(batch_size=20) as session, problem.predicting() as predicting:
        session.epoch(problem.rows, 0.01)
        expected = session.predict()
        for parameters in wrong:
            for call in (session.load, session.store, predicting.load):
                with pytest.raises(
                    ValueError, match="such arrays, got|must be of dtype float32 or float64 and shape"
                ):
                    call(parameters)
        moment = {name: np.zeros(shape) for name, shape in problem.network.learned.items()}
        shorter = {name: array for name, array in moment.items() if name != "layers.1.bias"}
        for moments in (
            [moment],
            [moment] * 3,
            [],
            [moment, shorter],
            [moment, moment | {"layers.1.bias": np.zeros(77)}],
        ):
            with pytest.raises(
                ValueError, match="the optimizer has 2 moments, got|such arrays, got|and shape"
            ):
                session.load(p, moments)
        for array in p.arrays():
            array.flags.writeable = False
        with pytest.raises(ValueError, match="and writable"):
            session.store(p)
        with pytest.raises(ValueError, match="must be C-contiguous"):
            session.store(changed(problem.parameters(), coefs=[np.asfortranarray(w) for w in p.coefs]))
        np.testing.assert_array_equal(session.predict(), expected)


@pytest.mark.parametrize(
    "loss, parameters",
    [("log_loss", (0.1, 0.2)), ("huber", (1.0, 2.0)), ("squared_error", (1.0,)), ("quantile", (0.1, 0.9))],
)
def test_wrong_numbers_of_loss_parameters_are_errors(loss, parameters):
    with pytest.raises(ValueError, match=f"loss '{loss}' takes . parameters, got"):
        Problem(loss=loss, loss_parameters=parameters).session()
