"""The same network in PyTorch, an oracle: its functions, its autograd and its optimizers, in float64.
Importing it needs PyTorch.
"""

import numpy as np
import torch
from torch.nn import functional as F

torch.set_num_threads(1)  # these networks are small

ACTIVATIONS = {
    "identity": lambda z, p: z,
    "logistic": lambda z, p: torch.sigmoid(z),
    "tanh": lambda z, p: torch.tanh(z),
    "relu": lambda z, p: torch.relu(z),
    "leaky_relu": lambda z, p: F.leaky_relu(z, 0.01 if p is None else p),
    "elu": lambda z, p: F.elu(z, 1.0 if p is None else p),
    "selu": lambda z, p: F.selu(z),
    "gelu": lambda z, p: F.gelu(z),
    "gelu_tanh": lambda z, p: F.gelu(z, approximate="tanh"),
    "gelu_sigmoid": lambda z, p: z * torch.sigmoid(1.702 * z),
    "silu": lambda z, p: F.silu(z),
    "mish": lambda z, p: F.mish(z),
    "hard_swish": lambda z, p: F.hardswish(z),
    "softplus": lambda z, p: F.softplus(z, 1.0 if p is None else p, threshold=100),
}


def focal(log_p, gamma):
    return -((1 - log_p.exp()) ** gamma) * log_p


def quantile(z, y, *levels):
    q = torch.tensor(levels or (0.5,), dtype=torch.float64)
    return torch.maximum(q * (y - z), (q - 1) * (y - z)).mean(1)


LOSSES = {
    # of each row, from logits
    "log_loss": lambda z, y, smoothing=0.0: F.cross_entropy(
        z, y, reduction="none", label_smoothing=smoothing
    ),
    "focal": lambda z, y, gamma=2.0: focal(F.log_softmax(z, 1).gather(1, y[:, None])[:, 0], gamma),
    "binary_log_loss": lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none").sum(1),
    "binary_focal": lambda z, y, gamma=2.0: focal(F.logsigmoid(z * (2 * y - 1)), gamma).sum(1),
    "squared_error": lambda z, y: F.mse_loss(z, y, reduction="none").mean(1) / 2,
    "absolute_error": lambda z, y: F.l1_loss(z, y, reduction="none").mean(1),
    "huber": lambda z, y, delta=1.0: F.huber_loss(z, y, reduction="none", delta=delta).mean(1),
    "log_cosh": lambda z, y: torch.log(torch.cosh(z - y)).mean(1),
    "poisson": lambda z, y: (F.poisson_nll_loss(z, y, reduction="none") + torch.xlogy(y, y) - y).sum(1),
    "gamma": lambda z, y: (z + y * torch.exp(-z) - torch.log(y) - 1).sum(1),
    "quantile": quantile,
}


class Twin:
    """An nnfast network from given Parameters, as tensors that know their gradients, in `learned` order."""

    def __init__(self, network, parameters):
        self.network = network
        copies = parameters.map(lambda array: torch.tensor(array.astype(np.float64), requires_grad=True))
        self.coefs, self.intercepts, self.scales, self.shifts = (
            copies.coefs,
            copies.intercepts,
            copies.scales,
            copies.shifts,
        )
        self.learned = copies.learned()
        self.means, self.variances = (
            [array.detach() for array in arrays] for arrays in (copies.means, copies.variances)
        )

    def forward(self, X, training=True):
        """The logits; in training the running statistics follow."""
        network, a = self.network, torch.tensor(X)
        for i, (name, parameter) in enumerate(network.activations):
            a = a @ self.coefs[i] + self.intercepts[i]
            if network.normalization == "batch":
                statistics = self.means[i], self.variances[i]
                a = F.batch_norm(
                    a,
                    *statistics,
                    self.scales[i],
                    self.shifts[i],
                    training,
                    network.norm_momentum,
                    network.norm_eps,
                )
            elif network.normalization == "layer":
                a = F.layer_norm(a, a.shape[1:], self.scales[i], self.shifts[i], network.norm_eps)
            a = ACTIVATIONS[name](a, parameter)
        return a @ self.coefs[-1] + self.intercepts[-1]

    def objective(self, X, y, weight=None, alpha=0.0, scale=1.0):
        """The penalised loss of a batch, whose data term is multiplied by `scale`."""
        rows = LOSSES[self.network.loss](self.forward(X), torch.tensor(y), *self.network.loss_parameters)
        by = torch.ones(len(X), dtype=torch.float64) if weight is None else torch.tensor(weight)
        return (scale * (by * rows).sum() + alpha / 2 * sum((w**2).sum() for w in self.coefs)) / by.sum()

    def arrays(self):
        """In the order of Parameters.arrays()."""
        return [tensor.detach().numpy() for tensor in (*self.learned, *self.means, *self.variances)]
