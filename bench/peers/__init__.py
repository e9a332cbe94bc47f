"""How each library does the work. Each has a class made of (problem, n_threads) whose `ready(epochs)` returns
what is to be timed: a function that trains for so many epochs from the start and returns their losses.
`predict(X)` then gives the probabilities of the classes, or of the second of two, for an X of the library's
own that `rows` has made of a float64 one.

Not timed, and so favoured, are what the constructor and `ready` do for the peers (tables, weights and orders
as the library's own arrays), and compilation, which a first run has done. All of a `fit` is timed of nnfast
and scikit-learn.
"""

from importlib import import_module

# Library -> module here, class.
TRAINERS = {
    "nnfast": ("estimators", "Nnfast"),
    "nnfast compiled": ("estimators", "NnfastCompiled"),
    "scikit-learn": ("estimators", "ScikitLearn"),
    "PyTorch": ("pytorch", "Eager"),
    "torch.compile": ("pytorch", "Compiled"),
    "JAX": ("xla", "Scan"),
}


def trainer(library):
    """The class that trains with this library; imports the library."""
    module, name = TRAINERS[library]
    return getattr(import_module(f"bench.peers.{module}"), name)
