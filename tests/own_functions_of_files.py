"""Functions that the pickles of `tests/files/` refer to: neither their names nor this module's may change."""


def softsign(z):
    return z / (1 + abs(z))


def cost(y, z):
    return max(y - z, 0) * 3 + max(z - y, 0)
