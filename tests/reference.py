"""A readable network in NumPy, the tests' oracle: one row-major matrix product a layer, every formula as in a book.

It shares no code with nnfast. A network here is (layer_units, activation, loss) and its parameters two lists of
arrays; "log_loss" takes class numbers as y, the other losses an array of shape (n_samples, n_outputs).
"""

import numpy as np

# ---------------------------------------------------------------------------------------------------------------------
# Activations and losses


def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


ACTIVATIONS = {
    # name: a(z), da/dz as a function of a
    "identity": (lambda z: z, lambda a: np.ones_like(a)),
    "logistic": (sigmoid, lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a**2),
    "relu": (lambda z: np.where(z > 0, z, 0), lambda a: (a > 0).astype(a.dtype)),
}

OUTPUTS = {"log_loss": softmax, "binary_log_loss": sigmoid, "squared_error": lambda z: z, "poisson": np.exp}


def row_losses(loss, y, z):
    """The loss of each row, from logits."""
    if loss == "log_loss":
        shifted = z - z.max(axis=1, keepdims=True)
        return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]
    if loss == "binary_log_loss":
        return (np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))).sum(axis=1)
    if loss == "squared_error":
        return ((z - y) ** 2).mean(axis=1) / 2
    if loss == "poisson":
        return (y * np.log(np.where(y > 0, y, 1)) - y * z - y + np.exp(z)).sum(axis=1)
    raise ValueError(loss)


def output_delta(loss, y, z):
    """What scikit-learn sends back from the output layer: output(z) - y.

    The gradient of `row_losses` by z, but for squared_error, where it is n_outputs times that.
    """
    delta = OUTPUTS[loss](z)
    if loss == "log_loss":
        delta[np.arange(len(y)), y] -= 1
        return delta
    return delta - y


# ---------------------------------------------------------------------------------------------------------------------
# The network


def forward(coefs, intercepts, X, activation):
    """All layers' values, X first; the last is the output layer's pre-activation, the logits."""
    function, _ = ACTIVATIONS[activation]
    layers = [X]
    for i, (w, b) in enumerate(zip(coefs, intercepts, strict=True)):
        z = layers[-1] @ w + b
        layers.append(function(z) if i < len(coefs) - 1 else z)
    return layers


def predict(coefs, intercepts, X, activation, loss):
    return OUTPUTS[loss](forward(coefs, intercepts, X, activation)[-1])


def loss_and_gradients(
    coefs, intercepts, X, y, activation, loss, alpha=0.0, sample_weight=None, *, as_scikit_learn=True
):
    """(loss, gradients of coefs then of intercepts) of one batch.

    The loss is sum(weight * row loss) / sum(weight) + alpha / 2 * sum(w^2) / sum(weight). With `as_scikit_learn` the
    gradient of several outputs' squared error is the one its stochastic solvers use, else the loss's own.
    """
    weight = np.ones(len(X), dtype=X.dtype) if sample_weight is None else sample_weight.astype(X.dtype)
    layers = forward(coefs, intercepts, X, activation)
    z = layers[-1]
    squares = sum((w**2).sum() for w in coefs)
    value = ((weight * row_losses(loss, y, z)).sum() + alpha / 2 * squares) / weight.sum()

    delta = output_delta(loss, y, z) * weight[:, np.newaxis]
    if loss == "squared_error" and not as_scikit_learn:
        delta /= z.shape[1]
    _, derivative = ACTIVATIONS[activation]
    dw, db = [None] * len(coefs), [None] * len(coefs)
    for i in reversed(range(len(coefs))):
        dw[i] = (layers[i].T @ delta + alpha * coefs[i]) / weight.sum()
        db[i] = delta.sum(axis=0) / weight.sum()
        if i:
            delta = (delta @ coefs[i].T) * derivative(layers[i])
    return value, dw + db


# ---------------------------------------------------------------------------------------------------------------------
# Optimizers: `step(parameters, gradients, learning_rate)` moves the parameters in place


class Adam:
    def __init__(self, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.t, self.moments = 0, None

    def step(self, parameters, gradients, learning_rate):
        if self.moments is None:
            self.moments = [[np.zeros_like(w) for w in parameters] for _ in range(2)]
        self.t += 1
        rate = learning_rate * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        for w, g, m, v in zip(parameters, gradients, *self.moments, strict=True):
            m += (1 - self.beta_1) * (g - m)
            v += (1 - self.beta_2) * (g**2 - v)
            w -= rate * m / (np.sqrt(v) + self.epsilon)


class SGD:
    def __init__(self, momentum=0.9, nesterov=True):
        self.momentum, self.nesterov = momentum, nesterov
        self.t, self.moments = 0, None

    def step(self, parameters, gradients, learning_rate):
        if self.moments is None:
            self.moments = [[np.zeros_like(w) for w in parameters]]
        self.t += 1
        for w, g, v in zip(parameters, gradients, self.moments[0], strict=True):
            v *= self.momentum
            v -= learning_rate * g
            w += self.momentum * v - learning_rate * g if self.nesterov else v


def epoch(coefs, intercepts, X, y, order, batch_size, optimizer, learning_rate, activation, loss, alpha, weight=None):
    """One pass over the rows `order`, one step a batch; the mean loss over the rows, each batch's before its step."""
    total = 0.0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        value, gradients = loss_and_gradients(
            coefs, intercepts, X[rows], y[rows], activation, loss, alpha, None if weight is None else weight[rows]
        )
        optimizer.step(coefs + intercepts, gradients, learning_rate)
        total += value * len(rows)
    return total / len(order)
