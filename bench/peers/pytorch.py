"""PyTorch: eager with fused Adam, and the same with the network and its loss compiled. The table is a tensor,
and batches are gathered from it.
"""

import torch

from bench.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE


class Eager:
    """The loop that every tutorial shows, with what makes it fast on a CPU: fused Adam, `index_select`, no
    `.item()` within an epoch.
    """

    sets_up = False

    def __init__(self, problem, n_threads):
        torch.set_num_threads(n_threads)
        self.problem, self.dtype = problem, getattr(torch, problem.dtype)
        self.X = torch.from_numpy(problem.X)
        self.binary = problem.shape.layer_units[-1] == 1
        y = torch.from_numpy(problem.y)
        self.y = y.to(self.dtype)[:, None] if self.binary else y
        criterion = torch.nn.BCEWithLogitsLoss() if self.binary else torch.nn.CrossEntropyLoss()
        units = problem.shape.layer_units
        layers = []
        for fan_in, fan_out in zip(units, units[1:]):
            layers += [torch.nn.Linear(fan_in, fan_out, dtype=self.dtype), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.loss = self.prepare(lambda X, y: criterion(self.model(X), y))

    def prepare(self, loss):
        return loss

    def ready(self, epochs):
        coefs, intercepts, orders = self.problem.start(epochs)
        with torch.no_grad():
            for layer, coef, intercept in zip(self.model[::2], coefs, intercepts):
                layer.weight.copy_(torch.from_numpy(coef.T))
                layer.bias.copy_(torch.from_numpy(intercept))
        optimizer = torch.optim.Adam(
            self.model.parameters(), lr=LEARNING_RATE, betas=(BETA_1, BETA_2), eps=EPSILON, fused=True
        )
        return lambda: self.train(optimizer, torch.from_numpy(orders))

    def train(self, optimizer, orders):
        losses = []
        for order in orders:
            total = torch.zeros((), dtype=self.dtype)
            for rows in order:
                optimizer.zero_grad()
                loss = self.loss(self.X.index_select(0, rows), self.y.index_select(0, rows))
                loss.backward()
                optimizer.step()
                total += loss.detach()
            losses.append(total.item() / len(order))
        return losses

    def rows(self, X):
        return torch.from_numpy(X).to(self.dtype)

    @torch.inference_mode()
    def predict(self, X):
        z = self.model(X)
        return (torch.sigmoid(z) if self.binary else torch.softmax(z, dim=1)).numpy()


class Compiled(Eager):
    """With `torch.compile`, which needs a C++ compiler."""

    def prepare(self, loss):
        return torch.compile(loss)
