"""Losses: what a fit minimises, each with the output activation that makes its gradient simple.

Every loss is a function of the targets y and of the logits z (the output layer's pre-activations, one row a
sample), never of probabilities: from logits nothing needs clipping. A batch's loss is the weighted mean of
its rows' losses, plus the penalties of `nnfast.regularization`, divided by the sum of the batch's sample
weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_softmax, softmax, xlogy

__all__ = ["LOSSES", "LossRecord"]


@dataclass(frozen=True)
class LossRecord:
    """One loss.

    `value(y, z)` is the loss of each row, shape (n,); `gradient(y, z)` its derivative by z, shape (n,
    n_outputs); `output(z)` the output activation, called `out_activation` in scikit-learn's attribute
    `out_activation_`. The stochastic solvers descend along `descent_scale(n_outputs)` times the gradient.
    `in_domain(y)` tells, number by number, which targets the loss is defined for.

    `f` and `df` are the formulas, element by element, from which the engine in Numba is made, too; the loss's
    own parameter, where it has one, is their last argument, and `defaults` stand in for none. It is called
    `parameter_name` in the estimators. Of most losses they are `f(y, z)`, an output's term, and `df(y, z)`,
    its derivative by z; a row's loss is their sum over its outputs, or with `is_mean` their mean. With
    `of_classes`, where y holds class numbers, they are functions of softmax's probabilities p, with q = 1 - p
    of the row's class: `f(log_p, q, mean_log_p)` the loss of a row, `mean_log_p` over all classes, and
    `df(p_k, is_y, p, q, log_p, n_outputs)` its derivative by z_k, `is_y` 1 where k is the row's class and 0
    elsewhere.
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
    of_classes: bool = False
    is_mean: bool = False
    parameter_name: str | None = None
    defaults: tuple[float, ...] = ()
    parameter_domain: str | None = None
    in_parameter_domain: Callable[[float], bool] | None = None

    def descent_scale(self, n_outputs):
        """What the stochastic solvers descend along is so many times the gradient.

        scikit-learn reports squared error's mean over the outputs and descends along the sum's gradient; so
        do all losses here that are means, so that one learning rate suits them all.
        """
        return float(n_outputs) if self.is_mean else 1.0

    def value(self, y, z, parameters=()):
        """The loss of each row, shape (n,)."""
        own = self._own(parameters, z)
        if self.of_classes:
            _, q, log_p, of_all = _class_probability(y, z)
            return self.f(log_p, q, of_all.mean(axis=1), *own)
        terms = self.f(y, z, *own)
        return terms.mean(axis=1) if self.is_mean else terms.sum(axis=1)

    def gradient(self, y, z, parameters=()):
        """The derivative of `value` by z, shape (n, n_outputs)."""
        own = self._own(parameters, z)
        if self.of_classes:
            p, q, log_p, _ = (each.reshape(len(z), -1) for each in _class_probability(y, z))
            return self.df(softmax(z, axis=1), _one_hot(y, z), p, q, log_p, z.shape[1], *own)
        slopes = self.df(y, z, *own)
        return slopes / z.shape[1] if self.is_mean else slopes

    def _own(self, parameters, z):
        """The loss's own parameter as the formulas take it: of one number, or of one an output."""
        own = tuple(parameters) or self.defaults
        return (np.array(own, z.dtype),) if own else ()

    def check(self, parameters):
        """The parameters as a tuple of floats; ValueError if one is not accepted."""
        if parameters and self.parameter_name is None:
            raise ValueError(f"loss {self.name!r} has no parameters, got {parameters!r}.")
        for parameter in parameters:
            if not (np.isfinite(parameter) and self.in_parameter_domain(parameter)):
                raise ValueError(f"{self.parameter_name} must be {self.parameter_domain}, got {parameter!r}.")
        return tuple(map(float, parameters))


# ------------------------------------------------------------------------------------------------------------
# Classes: y holds class numbers, or 0 and 1


def _one_hot(y, z):
    return (np.arange(z.shape[1]) == y[:, np.newaxis]).astype(z.dtype)


def _class_probability(y, z):
    """p of the row's class, q = 1 - p to full relative precision, log(p), and the logarithms of all
    classes.
    """
    classes, of_all, is_y = softmax(z, axis=1), log_softmax(z, axis=1), _one_hot(y, z).astype(bool)
    q = (classes * ~is_y).sum(axis=1)
    return classes[is_y], q, np.where(q < 0.5, np.log1p(-np.minimum(q, 0.5)), of_all[is_y]), of_all


def _log_loss(log_p, q, mean_log_p, smoothing):
    return -(1 - smoothing) * log_p - smoothing * mean_log_p


def _log_loss_gradient(p_k, is_y, p, q, log_p, n_outputs, smoothing):
    return p_k - (1 - smoothing) * is_y - smoothing / n_outputs


def _focus(gamma, p, q, log_loss):
    """-d focal / dz = _focus * dp/dz / p, from p, q = 1 - p and -log(p), whose ratio by q tends to 1 where p
    does.
    """
    ratio = np.where(q > 0, log_loss / np.where(q > 0, q, 1), 1)
    return q**gamma * (1 + gamma * p * ratio)


def _focal(log_p, q, mean_log_p, gamma):
    return -(q**gamma) * log_p


def _focal_gradient(p_k, is_y, p, q, log_p, n_outputs, gamma):
    return _focus(gamma, p, q, -log_p) * np.where(is_y > 0, -q, p_k)


def _binary_focal(y, z, gamma):
    margin = np.where(y > 0.5, z, -z)
    return expit(-margin) ** gamma * np.logaddexp(0, -margin)


def _binary_focal_gradient(y, z, gamma):
    sign = np.where(y > 0.5, np.ones_like(z), -1)
    p, q, log_loss = expit(sign * z), expit(-sign * z), np.logaddexp(0, -sign * z)
    return -sign * q * _focus(gamma, p, q, log_loss)


def _is_class(y):
    return (y >= 0) & (y == np.floor(y))


def _is_label(y):
    return (y == 0) | (y == 1)


# ------------------------------------------------------------------------------------------------------------
# Real targets


def _huber(y, z, delta):
    error = np.abs(z - y)
    return np.where(error <= delta, 0.5 * error * error, delta * (error - 0.5 * delta))


_LOG_2 = float(np.log(2))


def _log_cosh(y, z):
    error = np.abs(z - y)
    near = 0.5 * np.log1p(np.sinh(np.minimum(error, 1)) ** 2)
    far = error + np.log1p(np.exp(-2 * error)) - _LOG_2
    return np.where(error < 1, near, far)


def _quantile(y, z, level):
    return np.maximum(level * (y - z), (level - 1) * (y - z))


def _quantile_gradient(y, z, level):
    return np.where(y > z, -level, np.where(y < z, 1 - level, 0))


def _softmax(z):
    return softmax(z, axis=1)


def _identity(z):
    return z


_ALL = (
    LossRecord(
        name="log_loss",
        formula=(
            "-sum_k t_k log(p_k), p = softmax(z), "
            "t_k = (1 - label_smoothing) [k = y] + label_smoothing / n_outputs"
        ),
        domain="y: the number of the class, 0 <= y < n_outputs",
        in_domain=_is_class,
        out_activation="softmax",
        output=_softmax,
        f=_log_loss,
        df=_log_loss_gradient,
        of_classes=True,
        kernel="log_loss",
        advice=(
            "The loss for classes: probabilities that fit tend to be calibrated. Some label smoothing, 0.05"
            " to 0.1, makes them less sure of themselves and is of use where labels are wrong."
        ),
        reference=(
            "Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, 1990; label"
            " smoothing: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016,"
            " arXiv:1512.00567"
        ),
        parameter_name="label_smoothing",
        defaults=(0.0,),
        parameter_domain="a number in [0, 1)",
        in_parameter_domain=lambda smoothing: 0 <= smoothing < 1,
    ),
    LossRecord(
        name="binary_log_loss",
        formula="sum_k log(1 + exp(z_k)) - y_k z_k",
        domain="y: 0 or 1 for every output; one output is a binary problem, several are labels",
        # smoothed labels lie between
        in_domain=lambda y: (y >= 0) & (y <= 1),
        out_activation="logistic",
        output=expit,
        f=lambda y, z: np.logaddexp(0, z) - y * z,
        df=lambda y, z: expit(z) - y,
        kernel="binary_log_loss",
        advice="What loss='log_loss' means for two classes and for several labels.",
        reference="Cox, The Regression Analysis of Binary Sequences, 1958",
    ),
    LossRecord(
        name="focal",
        formula="-(1 - p_y)^focal_gamma log(p_y), p = softmax(z)",
        domain="y: the number of the class, 0 <= y < n_outputs",
        in_domain=_is_class,
        out_activation="softmax",
        output=_softmax,
        f=_focal,
        df=_focal_gradient,
        of_classes=True,
        kernel="focal",
        advice=(
            "For rare classes among many easy rows: the larger focal_gamma, the less rows count that are"
            " right already; 0 is log_loss. Its probabilities are not calibrated."
        ),
        reference="Lin et al., Focal Loss for Dense Object Detection, 2017, arXiv:1708.02002",
        parameter_name="focal_gamma",
        defaults=(2.0,),
        parameter_domain="a number >= 0",
        in_parameter_domain=lambda gamma: gamma >= 0,
    ),
    LossRecord(
        name="binary_focal",
        formula=(
            "sum_k -(1 - p_k)^focal_gamma log(p_k), p_k = 1 / (1 + exp(-z_k)) where y_k = 1, "
            "1 / (1 + exp(z_k)) where y_k = 0"
        ),
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
    LossRecord(
        name="squared_error",
        formula="mean_k (z_k - y_k)^2 / 2",
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=lambda y, z: 0.5 * (z - y) ** 2,
        df=lambda y, z: z - y,
        kernel="squared_error",
        advice="Predicts the mean; the choice where errors are roughly normal.",
        reference="Gauss, Theoria motus corporum coelestium, 1809",
        is_mean=True,
    ),
    LossRecord(
        name="absolute_error",
        formula="mean_k |z_k - y_k|",
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=lambda y, z: np.abs(z - y),
        df=lambda y, z: np.sign(z - y),
        kernel="absolute_error",
        advice=(
            "Predicts the median, and so does not mind outliers; let the learning rate decay, since the"
            " gradient does not."
        ),
        reference="Laplace, Memoire sur la probabilite des causes par les evenements, 1774",
        is_mean=True,
    ),
    LossRecord(
        name="huber",
        formula=(
            "mean_k (e_k^2 / 2 if |e_k| <= huber_delta else huber_delta |e_k| - huber_delta^2 / 2), e = z - y"
        ),
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=_huber,
        df=lambda y, z, delta: np.clip(z - y, -delta, delta),
        kernel="huber",
        advice=(
            "Squared error for most rows, absolute error for outliers; huber_delta is the error, in units of"
            " y, from which a row counts as one."
        ),
        reference="Huber, Robust Estimation of a Location Parameter, 1964",
        is_mean=True,
        parameter_name="huber_delta",
        defaults=(1.0,),
        parameter_domain="a number > 0",
        in_parameter_domain=lambda delta: delta > 0,
    ),
    LossRecord(
        name="log_cosh",
        formula="mean_k log(cosh(z_k - y_k))",
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=_log_cosh,
        df=lambda y, z: np.tanh(z - y),
        kernel="log_cosh",
        advice="Much like huber with huber_delta=1, with all derivatives continuous: suits solver='lbfgs'.",
        reference=(
            "Green, Bayesian reconstructions from emission tomography data using a modified EM algorithm,"
            " 1990"
        ),
        is_mean=True,
    ),
    LossRecord(
        name="poisson",
        formula="sum_k y_k log(y_k) - y_k z_k - y_k + exp(z_k), half the Poisson deviance",
        domain="y >= 0",
        in_domain=lambda y: (y >= 0) & np.isfinite(y),
        out_activation="exp",
        output=np.exp,
        f=lambda y, z: xlogy(y, y) - y * z - y + np.exp(z),
        df=lambda y, z: np.exp(z) - y,
        kernel="poisson",
        advice=(
            "For counts and frequencies: the spread grows as the root of the mean, predictions are positive."
        ),
        reference="Nelder and Wedderburn, Generalized Linear Models, 1972",
    ),
    LossRecord(
        name="gamma",
        formula="sum_k z_k + y_k exp(-z_k) - log(y_k) - 1, half the gamma deviance",
        domain="y > 0",
        in_domain=lambda y: (y > 0) & np.isfinite(y),
        out_activation="exp",
        output=np.exp,
        f=lambda y, z: z + y * np.exp(-z) - np.log(y) - 1,
        df=lambda y, z: 1 - y * np.exp(-z),
        kernel="gamma",
        advice=(
            "For positive amounts such as costs and durations: the spread grows with the mean, errors are"
            " ratios."
        ),
        reference="Nelder and Wedderburn, Generalized Linear Models, 1972",
    ),
    LossRecord(
        name="quantile",
        formula="mean_k max(q_k (y_k - z_k), (q_k - 1) (y_k - z_k)), q_k the quantile of output k",
        domain="y: any real number",
        in_domain=np.isfinite,
        out_activation="identity",
        output=_identity,
        f=_quantile,
        df=_quantile_gradient,
        kernel="quantile",
        advice=(
            "Predicts a quantile, or with a list of them an interval; let the learning rate decay, since the "
            "gradient does not."
        ),
        reference="Koenker and Bassett, Regression Quantiles, 1978",
        is_mean=True,
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
    LOSSES[name].out_activation: LOSSES[name]
    for name in ("log_loss", "binary_log_loss", "squared_error", "poisson")
}

# What the estimators accept; the classifier's become the binary ones where there is one output, or labels.
CLASSIFIER_LOSSES = ("log_loss", "focal")
REGRESSOR_LOSSES = ("squared_error", "absolute_error", "huber", "log_cosh", "poisson", "gamma", "quantile")


def __dir__():
    return __all__
