"""Losses: what a fit minimises, each with the output activation that makes its gradient simple.

Every loss is a function of the targets y and of the logits z (the output layer's pre-activations, one row a sample),
never of probabilities: from logits nothing needs clipping. A batch's loss is the weighted mean of its rows' losses,
plus the penalties of `nnfast.regularization`, divided by the sum of the batch's sample weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_softmax, softmax, xlogy


@dataclass(frozen=True)
class Loss:
    """One loss.

    `value(y, z)` is the loss of each row, shape (n,); `gradient(y, z)` its derivative by z, shape (n, n_outputs);
    `output(z)` the output activation, called `out_activation` in scikit-learn's attribute `out_activation_`.
    The stochastic solvers descend along `descent_scale(n_outputs)` times the gradient. `in_domain(y)` tells, number by
    number, which targets the loss is defined for.

    `f` and `df` are the formulas, with the loss's own parameters after y and z; `defaults` stand in for none. The
    parameter is called `parameter_name` in the estimators.
    """

    name: str
    formula: str
    domain: str
    in_domain: Callable[[np.ndarray], np.ndarray]
    out_activation: str
    output: Callable[[np.ndarray], np.ndarray]
    f: Callable[..., np.ndarray]
    df: Callable[..., np.ndarray]
    kernel: str
    advice: str
    reference: str
    descent_scale: Callable[[int], float] = lambda n_outputs: 1.0
    parameter_name: str | None = None
    defaults: tuple[float, ...] = ()
    parameter_domain: str | None = None
    in_parameter_domain: Callable[[float], bool] | None = None

    def value(self, y, z, parameters=()):
        """The loss of each row, shape (n,)."""
        return self.f(y, z, *(tuple(parameters) or self.defaults))

    def gradient(self, y, z, parameters=()):
        """The derivative of `value` by z, shape (n, n_outputs)."""
        return self.df(y, z, *(tuple(parameters) or self.defaults))

    def check(self, parameters):
        """The parameters as a tuple of floats; ValueError if one is not accepted."""
        if parameters and self.parameter_name is None:
            raise ValueError(f"loss {self.name!r} has no parameters, got {parameters!r}.")
        for parameter in parameters:
            if not (np.isfinite(parameter) and self.in_parameter_domain(parameter)):
                raise ValueError(f"{self.parameter_name} must be {self.parameter_domain}, got {parameter!r}.")
        return tuple(map(float, parameters))


# ---------------------------------------------------------------------------------------------------------------------
# Classes: y holds class numbers, or 0 and 1


def _one_hot(y, z):
    return (np.arange(z.shape[1]) == y[:, np.newaxis]).astype(z.dtype)


def _log_loss(y, z, smoothing):
    log_p = log_softmax(z, axis=1)
    return -(1 - smoothing) * log_p[np.arange(len(y)), y] - smoothing * log_p.mean(axis=1)


def _log_loss_gradient(y, z, smoothing):
    return softmax(z, axis=1) - (1 - smoothing) * _one_hot(y, z) - smoothing / z.shape[1]


def _focus(gamma, p, q, log_loss):
    """-d focal / dz = _focus * dp/dz / p, from p, q = 1 - p and -log(p), whose ratio by q tends to 1 where p does."""
    ratio = np.divide(log_loss, q, out=np.ones_like(q), where=q > 0)
    return q**gamma * (1 + gamma * p * ratio)


def _class_probability(y, z):
    """p of the row's class, q = 1 - p to full relative precision, and -log(p)."""
    classes, others = softmax(z, axis=1), ~_one_hot(y, z).astype(bool)
    p, q = classes[~others], (classes * others).sum(axis=1)
    rows = np.arange(len(y))
    return p, q, np.where(q < 0.5, -np.log1p(-np.minimum(q, 0.5)), -log_softmax(z, axis=1)[rows, y])


def _focal(y, z, gamma):
    _, q, log_loss = _class_probability(y, z)
    return q**gamma * log_loss


def _focal_gradient(y, z, gamma):
    p, q, log_loss = _class_probability(y, z)
    slope = softmax(z, axis=1)
    slope[np.arange(len(y)), y] = -q
    return _focus(gamma, p, q, log_loss)[:, np.newaxis] * slope


def _binary_focal(y, z, gamma):
    margin = np.where(y > 0.5, z, -z)
    return (expit(-margin) ** gamma * np.logaddexp(0, -margin)).sum(axis=1)


def _binary_focal_gradient(y, z, gamma):
    sign = np.where(y > 0.5, z.dtype.type(1), z.dtype.type(-1))
    p, q, log_loss = expit(sign * z), expit(-sign * z), np.logaddexp(0, -sign * z)
    return -sign * q * _focus(gamma, p, q, log_loss)


def _is_class(y):
    return (y >= 0) & (y == np.floor(y))


def _is_label(y):
    return (y == 0) | (y == 1)


# ---------------------------------------------------------------------------------------------------------------------
# Real targets. scikit-learn reports squared error's mean over the outputs and descends along the sum's gradient; so do
# all losses here that are means, so that one learning rate suits them all.


def _huber(y, z, delta):
    error = np.abs(z - y)
    return np.where(error <= delta, 0.5 * error * error, delta * (error - 0.5 * delta)).mean(axis=1)


def _log_cosh(y, z):
    error = np.abs(z - y)
    near = 0.5 * np.log1p(np.sinh(np.minimum(error, 1)) ** 2)
    far = error + np.log1p(np.exp(-2 * error)) - float(np.log(2))
    return np.where(error < 1, near, far).mean(axis=1)


def _quantile(y, z, *levels):
    levels = np.asarray(levels, z.dtype)
    return np.maximum(levels * (y - z), (levels - 1) * (y - z)).mean(axis=1)


def _quantile_gradient(y, z, *levels):
    levels = np.asarray(levels, z.dtype)
    return np.where(y > z, -levels, np.where(y < z, 1 - levels, 0)) / z.shape[1]


def _softmax(z):
    return softmax(z, axis=1)


def _identity(z):
    return z


_ALL = (
    Loss(
        name="log_loss",
        formula="-sum_k t_k log(p_k), p = softmax(z), "
        "t_k = (1 - label_smoothing) [k = y] + label_smoothing / n_outputs",
        domain="y: the number of the class, 0 <= y < n_outputs",
        in_domain=_is_class,
        out_activation="softmax",
        output=_softmax,
        f=_log_loss,
        df=_log_loss_gradient,
        kernel="log_loss",
        advice="The loss for classes: probabilities that fit tend to be calibrated. Some label smoothing, 0.05 to 0.1, "
        "makes them less sure of themselves and is of use where labels are wrong.",
        reference="Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, 1990; label "
        "smoothing: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016, arXiv:1512.00567",
        parameter_name="label_smoothing",
        defaults=(0.0,),
        parameter_domain="a number in [0, 1)",
        in_parameter_domain=lambda smoothing: 0 <= smoothing < 1,
    ),
    Loss(
        name="binary_log_loss",
        formula="sum_k log(1 + exp(z_k)) - y_k z_k",
        domain="y: 0 or 1 for every output; one output is a binary problem, several are labels",
        # smoothed labels lie between
        in_domain=lambda y: (y >= 0) & (y <= 1),
        out_activation="logistic",
        output=expit,
        f=lambda y, z: (np.logaddexp(0, z) - y * z).sum(axis=1),
        df=lambda y, z: expit(z) - y,
        kernel="binary_log_loss",
        advice="What loss='log_loss' means for two classes and for several labels.",
        reference="Cox, The Regression Analysis of Binary Sequences, 1958",
    ),
    Loss(
        name="focal",
        formula="-(1 - p_y)^focal_gamma log(p_y), p = softmax(z)",
        domain="y: the number of the class, 0 <= y < n_outputs",
        in_domain=_is_class,
        out_activation="softmax",
        output=_softmax,
        f=_focal,
        df=_focal_gradient,
        kernel="focal",
        advice="For rare classes among many easy rows: the larger focal_gamma, the less rows count that are right "
        "already; 0 is log_loss. Its probabilities are not calibrated.",
        reference="Lin et al., Focal Loss for Dense Object Detection, 2017, arXiv:1708.02002",
        parameter_name="focal_gamma",
        defaults=(2.0,),
        parameter_domain="a number >= 0",
        in_parameter_domain=lambda gamma: gamma >= 0,
    ),
    Loss(
        name="binary_focal",
        formula="sum_k -(1 - p_k)^focal_gamma log(p_k), p_k = 1 / (1 + exp(-z_k)) where y_k = 1, "
        "1 / (1 + exp(z_k)) where y_k = 0",
        domain="y: 0 or 1 for every output; one output is a binary problem, several are labels",
        in_domain=_is_label,
        out_activation="logistic",
        output=expit,
        f=_binary_focal,
        df=_binary_focal_gradient,
        kernel="binary_focal",
        advice="What loss='focal' means for two classes and for several labels.",
        reference="Lin et al., Focal Loss for Dense Object Detection, 2017, arXiv:1708.02002",
        parameter_name="focal_gamma",
        defaults=(2.0,),
        parameter_domain="a number >= 0",
        in_parameter_domain=lambda gamma: gamma >= 0,
    ),
    Loss(
        name="squared_error",
        formula="mean_k (z_k - y_k)^2 / 2",
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=lambda y, z: 0.5 * ((z - y) ** 2).mean(axis=1),
        df=lambda y, z: (z - y) / z.shape[1],
        kernel="squared_error",
        advice="Predicts the mean; the choice where errors are roughly normal.",
        reference="Gauss, Theoria motus corporum coelestium, 1809",
        descent_scale=float,
    ),
    Loss(
        name="absolute_error",
        formula="mean_k |z_k - y_k|",
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=lambda y, z: np.abs(z - y).mean(axis=1),
        df=lambda y, z: np.sign(z - y) / z.shape[1],
        kernel="absolute_error",
        advice="Predicts the median, and so does not mind outliers; let the learning rate decay, since the gradient "
        "does not.",
        reference="Laplace, Memoire sur la probabilite des causes par les evenements, 1774",
        descent_scale=float,
    ),
    Loss(
        name="huber",
        formula="mean_k (e_k^2 / 2 if |e_k| <= huber_delta else huber_delta |e_k| - huber_delta^2 / 2), e = z - y",
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=_huber,
        df=lambda y, z, delta: np.clip(z - y, -delta, delta) / z.shape[1],
        kernel="huber",
        advice="Squared error for most rows, absolute error for outliers; huber_delta is the error, in units of y, "
        "from which a row counts as one.",
        reference="Huber, Robust Estimation of a Location Parameter, 1964",
        descent_scale=float,
        parameter_name="huber_delta",
        defaults=(1.0,),
        parameter_domain="a number > 0",
        in_parameter_domain=lambda delta: delta > 0,
    ),
    Loss(
        name="log_cosh",
        formula="mean_k log(cosh(z_k - y_k))",
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=_log_cosh,
        df=lambda y, z: np.tanh(z - y) / z.shape[1],
        kernel="log_cosh",
        advice="Much like huber with huber_delta=1, with all derivatives continuous: suits solver='lbfgs'.",
        reference="Green, Bayesian reconstructions from emission tomography data using a modified EM algorithm, 1990",
        descent_scale=float,
    ),
    Loss(
        name="poisson",
        formula="sum_k y_k log(y_k) - y_k z_k - y_k + exp(z_k), half the Poisson deviance",
        domain="y >= 0",
        in_domain=lambda y: (y >= 0) & np.isfinite(y),
        out_activation="exp",
        output=np.exp,
        f=lambda y, z: (xlogy(y, y) - y * z - y + np.exp(z)).sum(axis=1),
        df=lambda y, z: np.exp(z) - y,
        kernel="poisson",
        advice="For counts and frequencies: the spread grows as the root of the mean, predictions are positive.",
        reference="Nelder and Wedderburn, Generalized Linear Models, 1972",
    ),
    Loss(
        name="gamma",
        formula="sum_k z_k + y_k exp(-z_k) - log(y_k) - 1, half the gamma deviance",
        domain="y > 0",
        in_domain=lambda y: (y > 0) & np.isfinite(y),
        out_activation="exp",
        output=np.exp,
        f=lambda y, z: (z + y * np.exp(-z) - np.log(y) - 1).sum(axis=1),
        df=lambda y, z: 1 - y * np.exp(-z),
        kernel="gamma",
        advice="For positive amounts such as costs and durations: the spread grows with the mean, errors are ratios.",
        reference="Nelder and Wedderburn, Generalized Linear Models, 1972",
    ),
    Loss(
        name="quantile",
        formula="mean_k max(q_k (y_k - z_k), (q_k - 1) (y_k - z_k)), q_k the quantile of output k",
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=_quantile,
        df=_quantile_gradient,
        kernel="quantile",
        advice="Predicts a quantile, or with a list of them an interval; let the learning rate decay, since the "
        "gradient does not.",
        reference="Koenker and Bassett, Regression Quantiles, 1978",
        descent_scale=float,
        # one an output, or one for all
        parameter_name="quantile",
        defaults=(0.5,),
        parameter_domain="a number in (0, 1)",
        in_parameter_domain=lambda level: 0 < level < 1,
    ),
)

LOSSES = {loss.name: loss for loss in _ALL}


def loss_of(named):
    """The record of a name, or the user's own loss itself, which presents what a record does."""
    return LOSSES[named] if isinstance(named, str) else named


# A loss whose `output` an output activation is.
LOSS_BY_OUT_ACTIVATION = {
    LOSSES[name].out_activation: LOSSES[name] for name in ("log_loss", "binary_log_loss", "squared_error", "poisson")
}

# What the estimators accept; the classifier's become the binary ones where there is one output, or labels.
CLASSIFIER_LOSSES = ("log_loss", "focal")
REGRESSOR_LOSSES = ("squared_error", "absolute_error", "huber", "log_cosh", "poisson", "gamma", "quantile")
