"""The words that document the estimators' parameters, fitted attributes and `compiled`, those of both
estimators once.

Formulas and advice come from the records: see `nnfast.activations`, `losses`, `optimizers`, `initializers`
and `normalization`.
"""

import re
import textwrap

from nnfast.activations import ACTIVATIONS
from nnfast.initializers import INITIALIZERS
from nnfast.losses import CLASSIFIER_LOSSES, LOSSES, REGRESSOR_LOSSES
from nnfast.normalization import NORMALIZATIONS
from nnfast.optimizers import OPTIMIZERS
from nnfast.option_needs import OPTIONS, listed
from nnfast.schedules import SCHEDULES


def _list(lines):
    """A list of names and words, as it stands in a parameter's description."""
    filled = (
        textwrap.fill(f"- {name!r}: {words}", 112, initial_indent="    ", subsequent_indent="      ")
        for name, words in lines
    )
    return "\n".join(filled)


def _formulas(records):
    return _list((record.name, record.formula) for record in records)


def _advice(records):
    return _list((record.name, record.advice) for record in records)


def _with_needs(words):
    """Descriptions of parameters, each with what the parameter needs to have an effect."""
    described = re.split(r"\n\n(?=\w+ : )", words)
    return "\n\n".join(each + _needs(each.partition(" : ")[0]) for each in described)


def _needs(name):
    option = OPTIONS[name]
    sentences = [
        f"Needs {listed(need.words for need in needs)}; otherwise it {end}."
        for needs, end in ((option.strict, "is an error"), (option.needs, "has no effect"))
        if needs
    ]
    indented = textwrap.fill(" ".join(sentences), 116, initial_indent="    ", subsequent_indent="    ")
    return f"\n\n{indented}" if sentences else ""


_PARAMETERS = f"""\
hidden_layer_sizes : int or array-like of shape (n_layers - 2,), default=(100,)
    Units of the hidden layers, first to last. `()` is a linear model.

activation : str, nnfast.Activation, tuple or list, default='relu'
    Activation of the hidden layers, from the pre-activation z: a name; a function of your own, as in
    nnfast.Activation(softsign); a tuple of a name and its parameter's value, as in ('leaky_relu', 0.2); or a
    list of these, one a hidden layer.

{_formulas(ACTIVATIONS.values())}

    'sigmoid' and 'linear' are other names of 'logistic' and 'identity'.

solver : str or optimizer, default='adam'
    'lbfgs' is SciPy's L-BFGS-B on the whole table, computed in float64: often the best for small tables. The
    others update the parameters after every minibatch:

{_advice(OPTIMIZERS.values())}

    Instead of a name also a record of `nnfast.optimizers`, where the formulas are, as in Lion(beta_2=0.98),
    with hyperparameters of its own.

alpha : float, default=0.0001
    Strength of the L2 term, divided by the sum of the batch's sample weights (without weights, by its rows).

batch_size : int or 'auto', default='auto'
    Rows of a minibatch; 'auto' is min(200, n_samples). The last batch of an epoch may be smaller.

learning_rate : str, schedule or callable, default='constant'
    Schedule of the learning rate: a name, an object of `nnfast.schedules`, or a function of the fit's
    progress from 0 to 1 that gives a factor of `learning_rate_init`. With r the initial rate, e the epochs so
    far and p the share of `max_iter` that is over:

{_list((name, (schedule.__doc__ or "").partition(chr(10))[0]) for name, schedule in SCHEDULES.items())}

learning_rate_init : float or 'auto', default=0.001
    The initial learning rate. 'auto' finds one before the training begins, as `nnfast.tuning.lr_find` does,
    by about 200 steps on a copy of the network and on rows that are trained on; the fit is then that of a
    number, to the bit. `partial_fit` finds it in its first call. A warm start with the same solver keeps the
    rate found; after a fit with a number it finds one, from the parameters as they are.

power_t : float, default=0.5
    Exponent of learning_rate='invscaling'.

max_iter : int, default=200
    Most epochs (passes over the table) of the stochastic solvers; most iterations of 'lbfgs'.

shuffle : bool or 'blocks', default=True
    Whether every epoch takes the rows in another order. With 'blocks', for dense tables, blocks of
    consecutive rows are shuffled, and then the rows of some blocks at a time: the memory of a fit is that of
    a buffer, for which a table may be larger than memory. An X that is mapped from a file and would take more
    than half of the memory is always read in blocks: True is the same as 'blocks' for it, and False takes
    them in order.

random_state : int, RandomState instance or None, default=None
    Draws the initial parameters, the split of early stopping, the shuffles and the seed of dropout, and where
    those are scikit-learn's, as scikit-learn does: the same `random_state` gives the same run.

tol : float, default=1e-4
    Least progress that counts, in the loss, or with early stopping in the validation score or loss, by
    `monitor`; for 'lbfgs', the largest component of the gradient at which to stop.

verbose : bool, int or 'progress', default=False
    Whether to print the loss of every epoch; 'progress' keeps one line up to date instead, which needs tqdm:
    pip install 'nnfast[progress]'.

warm_start : bool or 'full', default=False
    Whether `fit` starts from the parameters of the previous one; with 'full' also from the optimizer's state.

momentum : float, default=0.9
    Momentum, from 0 to 1.

nesterovs_momentum : bool, default=True
    Whether the momentum is Nesterov's.

early_stopping : bool, default=False
    Whether to stop when the score of held-out rows, or their loss, by `monitor`, has not improved by `tol`
    for `n_iter_no_change` epochs, and keep the parameters of the best epoch. The rows are those given to
    `fit`, or else `validation_fraction` of the table, a split that is stratified for two classes, or if the
    table is read in blocks (see `shuffle`) one of pieces of consecutive rows.

validation_fraction : float, default=0.1
    Share of the rows to hold out, from 0 to 1.

beta_1 : float, default=0.9
    Decay of the first moment, in [0, 1).

beta_2 : float, default=0.999
    Decay of the second moment, in [0, 1); with 'lion', of the moment that it keeps.

epsilon : float, default=1e-8
    What is added to the root of the second moment.

n_iter_no_change : int, default=10
    Epochs without progress after which to stop.

max_fun : int, default=15000
    Most evaluations of the loss.

activation_params : dict, default=None
    Activations' own parameters by name, as in {{'negative_slope': 0.2}}, for every hidden layer whose
    activation has them and that has no tuple.

initializer : str, default='glorot_uniform'
    What the weights and biases of a layer of `fan_in` inputs and `fan_out` units are drawn from:

{_formulas(INITIALIZERS.values())}

    'auto' goes by the layer's activation: 'he_normal' for 'relu' and its kin, 'lecun_normal' for 'selu', else
    'glorot_uniform'.

normalization : {{'batch', 'layer'}} or None, default=None
    Normalization of the hidden layers' pre-activations z, before the activation; scale and shift are learned.

{_formulas(NORMALIZATIONS.values())}

norm_momentum : float, default=0.1
    Weight of the new batch in the running means and variances of 'batch', in (0, 1].

norm_eps : float, default=1e-5
    What is added to the variance in a normalization.

dropout : float, (float, schedule), or list of these, default=0.0
    Share of the hidden layers' activations to set to 0 in training, each with that probability, in [0, 1);
    the rest is divided by 1 - dropout. A list has one rate a hidden layer. In a pair, as in (0.3, 'cosine'),
    the rate begins at the number and follows a schedule, which is what `learning_rate` may be, but 'adaptive'
    and 'plateau'.

input_dropout : float or (float, schedule), default=0.0
    The same for the inputs.

alpha_dropout : bool, default=False
    Whether `dropout` sets to the least value of 'selu' in place of 0, and scales and shifts so that mean and
    variance stay. For 'selu' alone, without `normalization`.

l1 : float, default=0.0
    Strength of the L1 term, l1 * sum |w|, divided like that of `alpha`, and taken as a proximal step after
    each update, which makes weights exactly 0.

clip_norm : float, default=None
    Largest Euclidean norm of all gradients together; a longer one is scaled down.

clip_value : float, default=None
    Largest absolute value of a gradient's component, clipped before `clip_norm`.

max_norm : float, default=None
    Largest Euclidean norm of a hidden unit's incoming weights, scaled down after each update.

weight_decay : float or (float, schedule), default=0.01
    Decoupled weight decay: in each update weights are multiplied by 1 - learning_rate * weight_decay. A
    pair has a schedule of its own, as that of `dropout`; the learning rate's is a factor of it anyway.
    `alpha` still counts beside it: set alpha=0 where only this decay is meant.

rho : float, default=0.9
    Decay of the second moment of 'rmsprop', in [0, 1).

param_groups : dict, default=None
    Settings of some of the parameters, by patterns of their names (of `fnmatch`), as in
    {{'*.bias': {{'learning_rate': 2.0}}, 'layers.0.*': {{'schedule': 'cosine'}}}}. The names are
    'layers.<i>.weight' and 'layers.<i>.bias', of the layers from 0 on, and of a hidden layer's normalization
    'layers.<i>.norm.scale' and 'layers.<i>.norm.shift'. Of several patterns that match, the later one wins,
    setting by setting. The settings are 'learning_rate', a factor of the scheduled rate, where 0 learns
    nothing; 'schedule', what `learning_rate` may be, but 'adaptive' and 'plateau', in place of it;
    'weight_decay', a factor of `weight_decay`, by default 1 for weights and 0 for all others; and values of
    'beta_1' and 'beta_2'. `alpha` and `l1` concern all weights alike.

scoring : str, callable or None, default=None
    What scores the held-out rows after every epoch: None, the estimator's own score; a name of
    `sklearn.metrics.get_scorer_names()`; a function of (estimator, X, y); or 'loss', minus the loss.

monitor : {{'score', 'loss'}}, default='score'
    Whether early stopping goes by that score or by the loss of the held-out rows.

restore_best : bool, default=True
    Whether early stopping ends with the parameters of the best epoch; else with those of the last.

callbacks : list, default=None
    Objects whose methods are called as the fit goes on: see `nnfast.callbacks`.

precision : {{'auto', 'float32', 'float64', 'bfloat16'}}, default='auto'
    Arithmetic of the fit and of predictions. 'auto' is what scikit-learn does: float32 for float32 X, else
    float64. 'float32' is about twice as fast. 'bfloat16' is float32 but for the matrix products of a fit,
    whose operands are rounded to 8 significant bits: 1.5 to 2 times as fast again in layers of 128 units and
    more, on CPUs with AMX. It needs AMX or AVX512-BF16, a stochastic solver, and features of about the same
    scale. `coefs_` and predictions have the same dtype for all four.

n_threads : int, default=None
    Most threads to use. None decides by the work at hand and by what the process may use; the results are the
    same bits for any number.

engine : {{'auto', 'cython', 'numba'}}, default='auto'
    What computes. 'auto' is 'cython', the fastest, where its compiled extension is installed, else 'numba',
    with a warning. 'numba' needs the extra of that name.

profile : bool, default=False
    Whether to find out where the fit's time goes: see `profile_`. It costs a few percent, for small networks
    more. The environment variable NNFAST_PROFILE=1 asks for it, too, and prints it."""

_CLASSIFIER_PARAMETERS = f"""\
loss : {{'log_loss', 'focal'}} or nnfast.Loss, default='log_loss'
    What is minimised over the rows, z the output layer's pre-activations. Two classes, which have one output,
    and several labels have the form for 0 and 1, and may have a function of your own, an nnfast.Loss:

{_formulas(LOSSES[name] for loss in CLASSIFIER_LOSSES for name in (loss, f"binary_{loss}"))}

class_weight : dict, list of dict or 'balanced', default=None
    Weight of each class, which multiplies `sample_weight` in training and validation; a class that a dict
    does not name has 1. 'balanced' is n_samples / (n_classes * rows of the class), by the rows given to
    `fit`. For several labels a list has a dict for 0 and 1 a label, and the weights multiply.

label_smoothing : float, default=0.0
    Share of a target that goes evenly to all classes, in [0, 1); of 0 and 1 it makes label_smoothing / 2 and
    1 - label_smoothing / 2.

focal_gamma : float, default=2.0
    How much less the rows count that are right already; 0 is 'log_loss'."""

_REGRESSOR_LOSS = f"""\
loss : str or nnfast.Loss, default='squared_error'
    What is minimised over the rows, z the output layer's pre-activations. But for 'poisson' and 'gamma',
    scale y unless its spread is near 1 anyway: as with TransformedTargetRegressor of `sklearn.compose`.

{_formulas(LOSSES[name] for name in REGRESSOR_LOSSES)}

    'poisson' needs y >= 0 and 'gamma' y > 0; both predict exp(z), the others z. An nnfast.Loss is a function
    of your own."""

_REGRESSOR_PARAMETERS = """\
huber_delta : float, default=1.0
    Error, in units of y, from which 'huber' is linear.

quantile : float or list of float, default=0.5
    Level of loss='quantile', in (0, 1): 0.5 predicts the median. For one target also a list of levels that
    increase, one output each."""

_ATTRIBUTES = """\
loss_ : float
    Loss of the last epoch.

best_loss_ : float or None
    Least loss of an epoch; None with early stopping. Absent after 'lbfgs'.

loss_curve_ : list of float
    Loss of every epoch. Absent after 'lbfgs'.

validation_scores_ : list of float or None
    Score of the held-out rows after every epoch, as `score` gives it or as `scoring` says; None where no rows
    are held out. Absent after 'lbfgs' without held-out rows.

best_validation_score_ : float or None
    The best of them; None where no rows are held out. Absent after 'lbfgs'.

validation_loss_curve_ : list of float or None
    Loss of the held-out rows after every epoch, without penalties; None where no rows are held out. Absent
    after 'lbfgs' without them.

learning_rate_curve_ : list of float
    Learning rate of every epoch's last update. Absent after 'lbfgs'.

learning_rate_init_ : float
    The initial learning rate: `learning_rate_init`, or for 'auto' the one found. In `partial_fit`, that of
    the call that began. Absent after 'lbfgs'.

history_ : dict of str to ndarray
    Numbers of every epoch, or iteration of 'lbfgs', by name: 'loss' and 'seconds', but for 'lbfgs'
    'learning_rate', and with held-out rows 'validation_loss' and 'validation_score'.

t_ : int
    Rows trained on, counting every epoch.

coefs_ : list of n_layers - 1 ndarrays of shape (fan_in, fan_out)
    Weights of every layer, float32 if X was float32, else float64. 'lbfgs' gives float64.

intercepts_ : list of n_layers - 1 ndarrays of shape (fan_out,)
    Biases of every layer.

norm_scales_ : list of n_layers - 2 ndarrays of shape (n_units,)
    Scales of every hidden layer's normalization. Absent without one.

norm_shifts_ : list of n_layers - 2 ndarrays of shape (n_units,)
    Its shifts.

running_means_ : list of n_layers - 2 ndarrays of shape (n_units,)
    Running means of the pre-activations, with normalization='batch' alone.

running_variances_ : list of n_layers - 2 ndarrays of shape (n_units,)
    Their running variances.

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
    Activation of the output layer.

profile_ : nnfast.profile.Profile
    Where the time of the last call of `fit` or `partial_fit` went, with `profile` or NNFAST_PROFILE=1
    alone."""

_COMPILED = """\
It answers what the estimator does, to the bit, from copies of the network's parameters as they are now. A row
of a small network takes it a microsecond or two, where the estimator needs six or more, since it does without
scikit-learn's validation; and it can write its answers into an array that it is given."""

_COMPILED_ERRORS = """\
NotFittedError
    If there has been no fit.

InvalidParameterError
    If a parameter that was set since is not accepted."""

# By the names of the docstrings' marks.
_WORDS = {
    "parameters": _with_needs(_PARAMETERS),
    "classifier_parameters": _with_needs(_CLASSIFIER_PARAMETERS),
    "regressor_loss": _with_needs(_REGRESSOR_LOSS),
    "regressor_parameters": _with_needs(_REGRESSOR_PARAMETERS),
    "attributes": _ATTRIBUTES,
    "compiled": _COMPILED,
    "compiled_errors": _COMPILED_ERRORS,
}


def documented_by(words):
    """A class decorator: put words in place of the marks of the docstrings of a class and its `compiled`.

    Parameters
    ----------
    words : dict of str to str
        By the names of marks: a line with a name in braces, and nothing else but spaces, is one.
    """
    marks = re.compile(rf"^( *){{({'|'.join(words)})}}$", re.MULTILINE)

    def documented(cls):
        for each in (cls, cls.compiled):
            if each.__doc__ is not None:  # python -OO
                each.__doc__ = marks.sub(lambda mark: textwrap.indent(words[mark[2]], mark[1]), each.__doc__)
        return cls

    return documented


documented = documented_by(_WORDS)
