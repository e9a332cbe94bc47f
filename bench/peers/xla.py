"""JAX: an epoch is one compiled call, a `scan` over its batches, with the gather inside and the parameters
donated.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bench.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE


class Scan:
    """Its threads are those of the CPUs that the process may use."""

    sets_up = False

    def __init__(self, problem, n_threads):
        if problem.dtype == "float64":
            jax.config.update("jax_enable_x64", True)
        self.problem = problem
        self.X = jnp.asarray(problem.X)
        self.y = jnp.asarray(problem.y.astype(np.int32))
        binary = problem.shape.layer_units[-1] == 1
        self.epoch = jax.jit(partial(_epoch, binary=binary), donate_argnums=0)
        self.probabilities = jax.jit(
            lambda parameters, X: (jax.nn.sigmoid if binary else jax.nn.softmax)(_outputs(parameters, X))
        )

    def ready(self, epochs):
        coefs, intercepts, orders = self.problem.start(epochs)
        parameters = [
            (jnp.asarray(coef), jnp.asarray(intercept)) for coef, intercept in zip(coefs, intercepts)
        ]
        state = (
            parameters,
            jax.tree.map(jnp.zeros_like, parameters),
            jax.tree.map(jnp.zeros_like, parameters),
            jnp.zeros((), self.X.dtype),
        )
        state, orders = jax.block_until_ready(state), orders.astype(np.int32)
        return lambda: self.train(state, orders)

    def train(self, state, orders):
        losses = []
        for order in orders:
            state, loss = self.epoch(state, self.X, self.y, order)
            losses.append(loss)
        self.parameters = state[0]
        return [float(loss) for loss in losses]

    def rows(self, X):
        return jnp.asarray(X.astype(self.problem.dtype))

    def predict(self, X):
        return np.asarray(self.probabilities(self.parameters, X))


def _outputs(parameters, X):
    for coef, intercept in parameters[:-1]:
        X = jax.nn.relu(X @ coef + intercept)
    coef, intercept = parameters[-1]
    return X @ coef + intercept


def _loss(parameters, X, y, binary):
    z = _outputs(parameters, X)
    if binary:
        z = z[:, 0]
        return jnp.mean(jax.nn.softplus(z) - y * z)
    return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0])


def _epoch(state, X, y, order, binary):
    def step(state, rows):
        parameters, m, v, t = state
        loss, gradients = jax.value_and_grad(_loss)(parameters, X[rows], y[rows], binary)
        t = t + 1
        rate = LEARNING_RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, gradients)
        v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, v, gradients)
        parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON), parameters, m, v)
        return (parameters, m, v, t), loss

    state, losses = jax.lax.scan(step, state, order)
    return state, jnp.mean(losses)
