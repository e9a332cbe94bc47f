"""A readable network in NumPy, the tests' oracle: one row-major matrix product a layer, every formula as in a
book.

It shares no code with nnfast. `Network` does everything; the functions below it are its short forms. The
losses of classes take class numbers as y, the others an array of shape (n_samples, n_outputs). Formulas are
the textbooks', so logits and pre-activations should be moderate.
"""

import numpy as np
from reference_optimizers import SGD, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop, optimizer_like  # noqa: F401
from scipy.special import erf

# ------------------------------------------------------------------------------------------------------------
# Activations


def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def elu(z, p):
    return np.where(z > 0, z, p * (np.exp(np.minimum(z, 0)) - 1))


def elu_slope(z, p):
    return np.where(z > 0, 1, p * np.exp(np.minimum(z, 0)))


def swish(z, p):
    return z * sigmoid(p * z)


def swish_slope(z, p):
    s = sigmoid(p * z)
    return s + p * z * s * (1 - s)


def gelu_tanh(z, p):
    return 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


def gelu_tanh_slope(z, p):
    t = np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t**2) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * z**2)


def mish(z, p):
    return z * np.tanh(softplus(z))


def mish_slope(z, p):
    t = np.tanh(softplus(z))
    return t + z * (1 - t**2) * sigmoid(z)


SELU_LAMBDA, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

ACTIVATIONS = {
    # name: a(z, p), da/dz(z, p), p the activation's own parameter
    "identity": (lambda z, p: z, lambda z, p: np.ones_like(z)),
    "logistic": (lambda z, p: sigmoid(z), lambda z, p: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (lambda z, p: np.tanh(z), lambda z, p: 1 - np.tanh(z) ** 2),
    "relu": (lambda z, p: np.where(z > 0, z, 0), lambda z, p: np.where(z > 0, 1, 0)),
    "leaky_relu": (lambda z, p: np.where(z > 0, z, p * z), lambda z, p: np.where(z > 0, 1, p)),
    "elu": (elu, elu_slope),
    "selu": (
        lambda z, p: SELU_LAMBDA * elu(z, SELU_ALPHA),
        lambda z, p: SELU_LAMBDA * elu_slope(z, SELU_ALPHA),
    ),
    "gelu": (
        lambda z, p: 0.5 * z * (1 + erf(z / np.sqrt(2))),
        lambda z, p: 0.5 * (1 + erf(z / np.sqrt(2))) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi),
    ),
    "gelu_tanh": (gelu_tanh, gelu_tanh_slope),
    "gelu_sigmoid": (lambda z, p: swish(z, 1.702), lambda z, p: swish_slope(z, 1.702)),
    "silu": (lambda z, p: swish(z, 1), lambda z, p: swish_slope(z, 1)),
    "mish": (mish, mish_slope),
    "hard_swish": (
        lambda z, p: z * np.minimum(np.maximum(z + 3, 0), 6) / 6,
        lambda z, p: np.where(z <= -3, 0, np.where(z >= 3, 1, (2 * z + 3) / 6)),
    ),
    "softplus": (lambda z, p: softplus(p * z) / p, lambda z, p: sigmoid(p * z)),
}
ACTIVATION_DEFAULTS = {"leaky_relu": 0.01, "elu": 1.0, "softplus": 1.0}

# ------------------------------------------------------------------------------------------------------------
# Losses


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(z):
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def one_hot(y, z):
    return np.eye(z.shape[1])[y]


def log_loss(y, z, smoothing=0.0):
    return -((1 - smoothing) * one_hot(y, z) + smoothing / z.shape[1]) * log_softmax(z)


def log_loss_slope(y, z, smoothing=0.0):
    return softmax(z) - (1 - smoothing) * one_hot(y, z) - smoothing / z.shape[1]


def focal(y, z, gamma=2.0):
    return -one_hot(y, z) * (1 - softmax(z)) ** gamma * log_softmax(z)


def focal_slope(y, z, gamma=2.0):
    p = softmax(z)[np.arange(len(y)), y][:, np.newaxis]
    by_p = gamma * (1 - p) ** (gamma - 1) * np.log(p) - (1 - p) ** gamma / p
    return by_p * p * (one_hot(y, z) - softmax(z))


def binary_focal(y, z, gamma=2.0):
    p = np.where(y == 1, sigmoid(z), sigmoid(-z))
    return -((1 - p) ** gamma) * np.log(p)


def binary_focal_slope(y, z, gamma=2.0):
    p = np.where(y == 1, sigmoid(z), sigmoid(-z))
    by_p = gamma * (1 - p) ** (gamma - 1) * np.log(p) - (1 - p) ** gamma / p
    return by_p * p * (1 - p) * np.where(y == 1, 1, -1)


def huber(y, z, delta=1.0):
    error = np.abs(z - y)
    return np.where(error <= delta, 0.5 * error**2, delta * error - 0.5 * delta**2)


def quantile(y, z, *levels):
    q = np.array(levels or (0.5,))
    return np.maximum(q * (y - z), (q - 1) * (y - z))


def quantile_slope(y, z, *levels):
    q = np.array(levels or (0.5,))
    return np.where(y > z, -q, np.where(y < z, 1 - q, 0))


LOSSES = {
    # name: output activation, loss of each output, its slope, whether a row's loss is the mean over its
    # outputs (else the sum)
    "log_loss": (softmax, log_loss, log_loss_slope, False),
    "binary_log_loss": (sigmoid, lambda y, z: softplus(z) - y * z, lambda y, z: sigmoid(z) - y, False),
    "focal": (softmax, focal, focal_slope, False),
    "binary_focal": (sigmoid, binary_focal, binary_focal_slope, False),
    "squared_error": (lambda z: z, lambda y, z: (z - y) ** 2 / 2, lambda y, z: z - y, True),
    "absolute_error": (lambda z: z, lambda y, z: np.abs(z - y), lambda y, z: np.sign(z - y), True),
    "huber": (lambda z: z, huber, lambda y, z, delta=1.0: np.clip(z - y, -delta, delta), True),
    "log_cosh": (lambda z: z, lambda y, z: np.log(np.cosh(z - y)), lambda y, z: np.tanh(z - y), True),
    "poisson": (
        np.exp,
        lambda y, z: y * np.log(np.where(y > 0, y, 1)) - y * z - y + np.exp(z),
        lambda y, z: np.exp(z) - y,
        False,
    ),
    "gamma": (
        np.exp,
        lambda y, z: z + y * np.exp(-z) - np.log(y) - 1,
        lambda y, z: 1 - y * np.exp(-z),
        False,
    ),
    "quantile": (lambda z: z, quantile, quantile_slope, True),
}
OUTPUTS = {name: output for name, (output, *_) in LOSSES.items()}


def row_losses(loss, y, z, parameters=()):
    """The loss of each row, from logits."""
    _, value, _, is_mean = LOSSES[loss]
    return value(y, z, *parameters).sum(axis=1) / (z.shape[1] if is_mean else 1)


def output_delta(loss, y, z, parameters=()):
    """What the stochastic solvers send back from the output layer; for squared error and the like, whose
    rows' losses are means, that is n_outputs times the gradient of `row_losses`, as in scikit-learn.
    """
    return LOSSES[loss][2](y, z, *parameters)


def row_gradients(loss, y, z, parameters=()):
    """The gradient of `row_losses` by z."""
    return output_delta(loss, y, z, parameters) / (z.shape[1] if LOSSES[loss][3] else 1)


# ------------------------------------------------------------------------------------------------------------
# Dropout's masks, in Python's whole numbers


def mix(x):
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 % 2**64
    x ^= x >> 27
    x = x * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def is_kept(rate, seed, step, layer, row, unit):
    base = mix((mix((seed + 0x9E3779B97F4A7C15 * (step + 1)) % 2**64) + layer) % 2**64)
    key = mix((base + 0x9E3779B97F4A7C15 * row) % 2**64)
    low, high = key % 2**32, key >> 32
    h = (unit * 0x9E3779B1 + low) % 2**32
    h ^= h >> 16
    h = h * 0x7FEB352D % 2**32
    h ^= h >> 15
    h ^= high
    h = h * 0x846CA68B % 2**32
    h ^= h >> 16
    return h >= int(rate * 2**32)


def kept_units(rate, n_rows, n_units, seed, step, layer):
    return np.array(
        [[is_kept(rate, seed, step, layer, row, unit) for unit in range(n_units)] for row in range(n_rows)]
    )


# ------------------------------------------------------------------------------------------------------------
# The network


class Network:
    """A network and its parameters, which are changed in place; `t` counts its steps, for dropout's masks.

    activations: one name, or one name or (name, parameter) a hidden layer. dropout: one rate a hidden layer,
    or ().
    """

    def __init__(
        self,
        coefs,
        intercepts,
        activations="relu",
        loss="log_loss",
        loss_parameters=(),
        *,
        normalization=None,
        eps=1e-5,
        momentum=0.1,
        scales=(),
        shifts=(),
        means=(),
        variances=(),
        alpha=0.0,
        l1=0.0,
        clip_value=None,
        clip_norm=None,
        max_norm=None,
        dropout=(),
        input_dropout=0.0,
        alpha_dropout=False,
        seed=0,
        t=0,
    ):
        self.coefs, self.intercepts, self.n_hidden = coefs, intercepts, len(coefs) - 1
        entries = [activations] * self.n_hidden if isinstance(activations, str) else activations
        pairs = [(entry, None) if isinstance(entry, str) else entry for entry in entries]
        self.activations = [
            (*ACTIVATIONS[name], ACTIVATION_DEFAULTS.get(name) if p is None else p) for name, p in pairs
        ]
        self.loss, self.loss_parameters = loss, loss_parameters
        self.normalization, self.eps, self.momentum = normalization, eps, momentum
        hidden = [w.shape[1] for w in coefs[:-1]] if normalization else []
        self.scales, self.shifts = (
            list(scales) or [np.ones(n) for n in hidden],
            list(shifts) or [np.zeros(n) for n in hidden],
        )
        hidden = hidden if normalization == "batch" else []
        self.means, self.variances = (
            list(means) or [np.zeros(n) for n in hidden],
            list(variances) or [np.ones(n) for n in hidden],
        )
        self.alpha, self.l1, self.clip_value, self.clip_norm, self.max_norm = (
            alpha,
            l1,
            clip_value,
            clip_norm,
            max_norm,
        )
        self.rates = [input_dropout, *(dropout or [0.0] * self.n_hidden)]
        self.alpha_dropout, self.seed, self.t = alpha_dropout, seed, t

    def learned(self):
        return [*self.coefs, *self.intercepts, *self.scales, *self.shifts]

    def operand(self, i, array, factor=1.0):
        """What layer i's products take of an array in training, where an engine has `factor` times it."""
        return array

    # ---- forward

    def drop(self, a, layer, training):
        """Values after dropout, and their derivative by the values before."""
        rate = self.rates[layer]
        if not training or rate == 0:
            return a, np.ones_like(a)
        kept, q = kept_units(rate, *a.shape, self.seed, self.t, layer), 1 - rate
        if self.alpha_dropout and layer:
            floor = -SELU_LAMBDA * SELU_ALPHA
            scale = (q + floor**2 * q * rate) ** -0.5
            return scale * np.where(kept, a, floor) - scale * floor * rate, scale * kept
        return a * kept / q, kept / q

    def normalize(self, z, i, training):
        """zhat, the root that it was divided by, and the axis averaged over (None: mean and root are
        constants).
        """
        if self.normalization == "layer":
            mean, variance, axis = z.mean(axis=1, keepdims=True), z.var(axis=1, keepdims=True), 1
        elif training and len(z) > 1:
            mean, variance, axis = z.mean(axis=0), z.var(axis=0), 0
        else:
            mean, variance, axis = self.means[i], self.variances[i], None
        root = np.sqrt(variance + self.eps)
        return (z - mean) / root, root, axis

    def forward(self, X, training=False):
        """The logits, and of every layer what the backward pass needs."""
        a, dropped = self.drop(X, 0, training)
        tape = []
        for i, (w, b) in enumerate(zip(self.coefs, self.intercepts, strict=True)):
            if training:
                a, w = self.operand(i, a), self.operand(i, w)
            layer = {"input": a, "z": a @ w + b}
            tape.append(layer)
            if i < self.n_hidden:
                u = layer["z"]
                if self.normalization:
                    layer["normal"], layer["root"], layer["axis"] = self.normalize(u, i, training)
                    u = self.scales[i] * layer["normal"] + self.shifts[i]
                function, derivative, p = self.activations[i]
                a, dropped = self.drop(function(u, p), i + 1, training)
                layer["slope"] = derivative(u, p) * dropped
        return tape[-1]["z"], tape

    def predict(self, X):
        return OUTPUTS[self.loss](self.forward(X)[0])

    def evaluate(self, X, y, weight=None):
        """The weighted mean of the rows' losses, in prediction mode, without penalties."""
        return np.average(row_losses(self.loss, y, self.forward(X)[0], self.loss_parameters), weights=weight)

    # ---- backward

    def loss_and_gradients(self, X, y, weight=None, *, as_scikit_learn=True, training=True, tape=None):
        """The penalised loss of a batch, and its gradients in the order of `learned`.

        With `as_scikit_learn` the gradient is the one that the stochastic solvers descend along, else the
        loss's own.
        """
        weight = np.ones(len(X)) if weight is None else weight
        W = weight.sum()
        z, tape = self.forward(X, training) if tape is None else tape
        value = (weight * row_losses(self.loss, y, z, self.loss_parameters)).sum()
        value += sum(self.alpha / 2 * (w**2).sum() + self.l1 * np.abs(w).sum() for w in self.coefs)

        delta = (output_delta if as_scikit_learn else row_gradients)(self.loss, y, z, self.loss_parameters)
        delta = delta * weight[:, np.newaxis] / W
        dw, db, dscale, dshift = [], [], [], []
        for i in reversed(range(len(self.coefs))):
            layer = tape[i]
            if i < self.n_hidden:
                delta = (
                    self.operand(i + 1, delta, W) @ self.operand(i + 1, self.coefs[i + 1].T) * layer["slope"]
                )
                if self.normalization:
                    normal, axis = layer["normal"], layer["axis"]
                    dscale.insert(0, (delta * normal).sum(axis=0))
                    dshift.insert(0, delta.sum(axis=0))
                    delta = delta * self.scales[i]
                    if axis is not None:
                        along = normal * (delta * normal).mean(axis=axis, keepdims=True)
                        delta = delta - delta.mean(axis=axis, keepdims=True) - along
                    delta = delta / layer["root"]
            dw.insert(0, layer["input"].T @ self.operand(i, delta, W) + self.alpha * self.coefs[i] / W)
            # a batch's mean takes any bias away
            learns_bias = i == self.n_hidden or self.normalization != "batch"
            db.insert(0, delta.sum(axis=0) if learns_bias else np.zeros(delta.shape[1]))
        return value / W, [*dw, *db, *dscale, *dshift]

    # ---- training

    def step(self, X, y, weight, optimizer, learning_rate):
        """One step; the loss before it."""
        W = len(X) if weight is None else weight.sum()
        tape = self.forward(X, training=True)
        value, gradients = self.loss_and_gradients(X, y, weight, tape=tape)
        if self.clip_value is not None:
            gradients = [np.clip(g, -self.clip_value, self.clip_value) for g in gradients]
        if self.clip_norm is not None:
            norm = np.sqrt(sum((g**2).sum() for g in gradients))
            gradients = [g * min(1, self.clip_norm / (norm + 1e-6)) for g in gradients]
        optimizer.step(self.learned(), gradients, learning_rate, n_weights=len(self.coefs))
        for w in self.coefs:
            w[...] = np.sign(w) * np.maximum(np.abs(w) - learning_rate * self.l1 / W, 0)
        if self.max_norm is not None:
            for w in self.coefs[:-1]:
                norms = np.sqrt((w**2).sum(axis=0))
                w *= self.max_norm / np.maximum(norms, self.max_norm)
        if self.normalization == "batch" and len(X) > 1:
            for mean, variance, layer in zip(self.means, self.variances, tape[1], strict=False):
                mean += self.momentum * (layer["z"].mean(axis=0) - mean)
                variance += self.momentum * (layer["z"].var(axis=0, ddof=1) - variance)
        self.t += 1
        return value

    def epoch(self, X, y, order, batch_size, optimizer, learning_rate, weight=None):
        """One pass over the rows `order`; the mean loss over the rows, each batch's before its step.

        learning_rate: a number, or one a batch.
        """
        starts = range(0, len(order), batch_size)
        total = 0.0
        for start, rate in zip(starts, np.broadcast_to(learning_rate, len(starts)), strict=True):
            rows = order[start : start + batch_size]
            total += self.step(
                X[rows], y[rows], None if weight is None else weight[rows], optimizer, rate
            ) * len(rows)
        return total / len(order)


# ------------------------------------------------------------------------------------------------------------
# Short forms, for plain networks


def predict(coefs, intercepts, X, activation, loss):
    return Network(coefs, intercepts, activation, loss).predict(X)


def forward(coefs, intercepts, X, activation):
    """All layers' values, X first; the last is the logits."""
    z, tape = Network(coefs, intercepts, activation).forward(X)
    return [*(layer["input"] for layer in tape), z]


def loss_and_gradients(
    coefs, intercepts, X, y, activation, loss, alpha=0.0, sample_weight=None, *, as_scikit_learn=True
):
    """(loss, gradients of coefs then of intercepts) of one batch."""
    network = Network(coefs, intercepts, activation, loss, alpha=alpha)
    return network.loss_and_gradients(X, y, sample_weight, as_scikit_learn=as_scikit_learn)


def epoch(
    coefs, intercepts, X, y, order, batch_size, optimizer, learning_rate, activation, loss, alpha, weight=None
):
    network = Network(coefs, intercepts, activation, loss, alpha=alpha)
    return network.epoch(X, y, order, batch_size, optimizer, learning_rate, weight)
