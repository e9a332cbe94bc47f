"""The estimators' constructor parameters and fitted attributes: what is accepted, and the words that document them.

Names and defaults stand in `BaseMLP.__init__`, where Python and its tools look for them. `documented` writes the
words into a class's docstring, so that those both estimators share stand once.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from nnfast.activations import ACTIVATIONS
from nnfast.engines import ENGINES
from nnfast.optimizers import OPTIMIZERS
from nnfast.schedules import SCHEDULES

STOCHASTIC_SOLVERS = frozenset(OPTIMIZERS)

CONSTRAINTS = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "solver": [StrOptions({"lbfgs", *STOCHASTIC_SOLVERS})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions(set(SCHEDULES))],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "precision": [StrOptions({"auto", "float32", "float64"})],
    "n_threads": [None, Interval(Integral, 1, None, closed="left")],
    "engine": [StrOptions({"auto", *ENGINES})],
}

_PARAMETERS = """\
hidden_layer_sizes : int or array-like of shape (n_layers - 2,), default=(100,)
    Units of the hidden layers, first to last. `()` is a linear model.

activation : {'identity', 'logistic', 'tanh', 'relu'}, default='relu'
    Activation of the hidden layers: a = z, 1 / (1 + exp(-z)), tanh(z), or max(0, z).

solver : {'lbfgs', 'sgd', 'adam'}, default='adam'
    'adam' and 'sgd' update the parameters after every minibatch. 'lbfgs' is SciPy's L-BFGS-B on the whole table,
    computed in float64: often the better one for small tables.

alpha : float, default=0.0001
    Strength of the L2 term, divided by the sum of the batch's sample weights (without weights, by its rows).

batch_size : int or 'auto', default='auto'
    Rows of a minibatch; 'auto' is min(200, n_samples). The last batch of an epoch may be smaller. Not used by 'lbfgs'.

learning_rate : {'constant', 'invscaling', 'adaptive'}, default='constant'
    Schedule of the learning rate, for solver='sgd'.

    - 'constant': `learning_rate_init` throughout.
    - 'invscaling': learning_rate_init / (t + 1)^power_t after every epoch, t the rows trained on so far.
    - 'adaptive': divided by 5 whenever more than `n_iter_no_change` consecutive epochs bring no progress of `tol`,
      in place of stopping; the fit stops when that finds a rate of 1e-6 or less.

learning_rate_init : float, default=0.001
    The initial learning rate. Not used by 'lbfgs'.

power_t : float, default=0.5
    Exponent of 'invscaling'.

max_iter : int, default=200
    Most epochs (passes over the table) of 'sgd' and 'adam'; most iterations of 'lbfgs'.

shuffle : bool, default=True
    Whether every epoch takes the rows in another order. Not used by 'lbfgs'.

random_state : int, RandomState instance or None, default=None
    Draws the initial parameters, the split of early stopping, and the shuffles, just as scikit-learn does: the same
    `random_state` gives the same run.

tol : float, default=1e-4
    Least progress in loss, or with early stopping in validation score, that counts as progress; for 'lbfgs', the
    largest component of the gradient at which to stop.

verbose : bool or int, default=False
    Whether to print the loss of every epoch.

warm_start : bool, default=False
    Whether `fit` starts from the parameters of the previous one.

momentum : float, default=0.9
    Momentum of 'sgd', from 0 to 1.

nesterovs_momentum : bool, default=True
    Whether the momentum is Nesterov's.

early_stopping : bool, default=False
    Whether to hold out `validation_fraction` of the rows, stop when their score has not improved by `tol` for
    `n_iter_no_change` epochs, and keep the parameters of the best epoch. The split is stratified for two classes.
    Not used by 'lbfgs'.

validation_fraction : float, default=0.1
    Share of the rows to hold out, from 0 to 1.

beta_1 : float, default=0.9
    Decay of Adam's first moment, in [0, 1).

beta_2 : float, default=0.999
    Decay of Adam's second moment, in [0, 1).

epsilon : float, default=1e-8
    What Adam adds to the root of the second moment.

n_iter_no_change : int, default=10
    Epochs without progress after which to stop. Not used by 'lbfgs'.

max_fun : int, default=15000
    Most evaluations of the loss by 'lbfgs'.

precision : {'auto', 'float32', 'float64'}, default='auto'
    Arithmetic of the fit and of predictions. 'auto' is what scikit-learn does: float32 for float32 X, else float64.
    'float32' is about twice as fast. `coefs_` and predictions have the same dtype for all three.

n_threads : int, default=None
    Most threads to use. None decides by the work at hand and by what the process may use; the results are the same
    bits for any number.

engine : {'auto', 'cython'}, default='auto'
    What computes."""

_ATTRIBUTES = """\
loss_ : float
    Loss of the last epoch.

best_loss_ : float or None
    Least loss of an epoch; None with early stopping. Absent after 'lbfgs'.

loss_curve_ : list of float
    Loss of every epoch. Absent after 'lbfgs'.

validation_scores_ : list of float or None
    {score} of the held-out rows after every epoch; None without early stopping. Absent after 'lbfgs'.

best_validation_score_ : float or None
    The best of them.

t_ : int
    Rows trained on, counting every epoch.

coefs_ : list of n_layers - 1 ndarrays of shape (fan_in, fan_out)
    Weights of every layer, float32 if X was float32, else float64. 'lbfgs' gives float64.

intercepts_ : list of n_layers - 1 ndarrays of shape (fan_out,)
    Biases of every layer.

n_features_in_ : int
    Features of the X fitted on.

feature_names_in_ : ndarray of shape (n_features_in_,)
    Their names, where X had names that are all strings.

n_iter_ : int
    Epochs, or iterations of 'lbfgs', of the last fit.

n_layers_ : int
    Layers, inputs and outputs included.

n_outputs_ : int
    Units of the output layer.

out_activation_ : str
    Activation of the output layer."""


def documented(score):
    """A class decorator: put the shared words in place of {parameters} and {attributes} of a docstring."""

    def decorate(cls):
        if cls.__doc__ is not None:  # python -OO
            words = {"{parameters}": _PARAMETERS, "{attributes}": _ATTRIBUTES.replace("{score}", score)}
            for mark, text in words.items():
                cls.__doc__ = cls.__doc__.replace(mark, text.replace("\n", "\n    ").replace("\n    \n", "\n\n"))
        return cls

    return decorate
