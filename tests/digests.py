"""A hash of all that a session of the engine computes."""

import hashlib

import numpy as np

from nnfast.engines import cython as engine


def digest(problem, arguments, n_threads, epochs=3):
    """A hash of every loss, parameter, moment and output."""
    random_state, rows, results = np.random.RandomState(0), problem.rows.copy(), []
    with problem.session(n_threads=n_threads, **arguments) as session:
        for _ in range(epochs):
            engine.shuffle(rows, random_state)
            results.append(np.float64(session.epoch(rows, 0.01)))
        loss, outputs = session.evaluate()
        results += [np.float64(loss), outputs, session.predict(), *problem.stored(session)]
        results += [array for moment in session.take_moments() for array in moment.values()]
    assert all(np.isfinite(array).all() for array in results)
    return hashlib.sha256(b"".join(array.tobytes() for array in results)).hexdigest()
