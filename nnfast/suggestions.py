"""What a word that is not accepted may have meant: "Did you mean", by spelling and by other
libraries' names.
"""

import inspect
from difflib import get_close_matches
from functools import wraps

# Other libraries' names for values and for options, in lower case and without separators, and the names here:
# where there are several, the one that is accepted at that place is meant. An empty tuple says that there is
# no such thing here, so that nothing is suggested for being spelt alike.
SYNONYMS = {
    # activations
    "swish": ("silu",),
    "lrelu": ("leaky_relu",),
    "rectifier": ("relu",),
    "expit": ("logistic",),
    "newgelu": ("gelu_tanh",),
    "quickgelu": ("gelu_sigmoid",),
    "none": ("identity",),
    **dict.fromkeys(
        (
            "celu",
            "glu",
            "hardsigmoid",
            "hardswish",
            "hardtanh",
            "prelu",
            "relu6",
            "rrelu",
            "softsign",
            "thresholdedrelu",
        ),
        (),
    ),
    # losses, and the scores of the same name
    **dict.fromkeys(
        (
            "bce",
            "binarycrossentropy",
            "categoricalcrossentropy",
            "ce",
            "crossentropy",
            "nll",
            "sparsecategoricalcrossentropy",
        ),
        ("log_loss", "neg_log_loss"),
    ),
    "logloss": ("log_loss", "neg_log_loss"),
    **dict.fromkeys(("meansquarederror", "mse"), ("squared_error", "neg_mean_squared_error")),
    **dict.fromkeys(("rmse", "rootmeansquarederror"), ("squared_error", "neg_root_mean_squared_error")),
    **dict.fromkeys(("mae", "meanabsoluteerror"), ("absolute_error", "neg_mean_absolute_error")),
    "l1": ("absolute_error",),
    "l2": ("squared_error", "alpha"),
    "smoothl1": ("huber",),
    "pinball": ("quantile",),
    "mape": ("neg_mean_absolute_percentage_error",),
    **dict.fromkeys(("auc", "auroc", "rocaucscore"), ("roc_auc",)),
    **dict.fromkeys(("acc", "accuracyscore"), ("accuracy",)),
    "r2score": ("r2",),
    "valloss": ("loss",),
    **dict.fromkeys(("valscore", "valaccuracy"), ("score",)),
    # solvers
    **dict.fromkeys(("momentum", "nag"), ("sgd", "momentum")),
    "nesterov": ("sgd", "nesterovs_momentum"),
    "bfgs": ("lbfgs",),
    **dict.fromkeys(("adadelta", "adamax", "amsgrad", "ftrl", "lamb", "radam", "rprop"), ()),
    # schedules
    **dict.fromkeys(("cosineannealing", "cosinedecay"), ("cosine",)),
    **dict.fromkeys(("cosineannealingwarmrestarts", "cosinewarmrestarts", "sgdr"), ("cosine_restarts",)),
    **dict.fromkeys(("reducelronplateau", "reduceonplateau"), ("plateau",)),
    **dict.fromkeys(("exp", "exponentialdecay"), ("exponential",)),
    **dict.fromkeys(("multistep", "steplr"), ("step",)),
    "triangular": ("cyclic",),
    "poly": ("polynomial",),
    # initializers
    **dict.fromkeys(("he", "kaiming", "kaimingnormal"), ("he_normal",)),
    "kaiminguniform": ("he_uniform",),
    **dict.fromkeys(("glorot", "xavier", "xavieruniform"), ("glorot_uniform",)),
    "xaviernormal": ("glorot_normal",),
    "lecun": ("lecun_normal",),
    # normalizations
    **dict.fromkeys(("batchnorm", "batchnormalization", "bn", "usebatchnorm"), ("batch", "normalization")),
    **dict.fromkeys(("layernorm", "layernormalization", "ln"), ("layer", "normalization")),
    "norm": ("normalization",),
    # arithmetic
    **dict.fromkeys(("f32", "fp32", "single"), ("float32",)),
    **dict.fromkeys(("double", "f64", "fp64"), ("float64",)),
    "bf16": ("bfloat16",),
    "dtype": ("precision",),
    # options
    **dict.fromkeys(
        ("hiddenlayers", "hiddensizes", "hiddenunits", "layers", "units"), ("hidden_layer_sizes",)
    ),
    **dict.fromkeys(("act", "activationfunction", "nonlinearity"), ("activation",)),
    **dict.fromkeys(("optim", "optimizer"), ("solver",)),
    **dict.fromkeys(("criterion", "lossfn", "lossfunction", "objective"), ("loss",)),
    **dict.fromkeys(("eta", "initiallearningrate", "lr", "lrinit"), ("learning_rate_init",)),
    **dict.fromkeys(
        ("learningrateschedule", "lrschedule", "lrscheduler", "schedule", "scheduler"), ("learning_rate",)
    ),
    **dict.fromkeys(("epochs", "iterations", "maxepochs", "nepochs", "niter", "numepochs"), ("max_iter",)),
    **dict.fromkeys(("earlystoppingrounds", "patience"), ("n_iter_no_change",)),
    "mindelta": ("tol",),
    **dict.fromkeys(("reg", "reglambda"), ("alpha",)),
    "wd": ("weight_decay",),
    "dropoutrate": ("dropout",),
    "eps": ("epsilon",),
    **dict.fromkeys(("clipgradnorm", "gradclip", "gradientclipping", "maxgradnorm"), ("clip_norm",)),
    **dict.fromkeys(("init", "kernelinitializer", "weightinit"), ("initializer",)),
    **dict.fromkeys(("njobs", "nthread", "numthreads", "threadcount", "threads"), ("n_threads",)),
    "backend": ("engine",),
    **dict.fromkeys(("randomseed", "seed"), ("random_state",)),
    **dict.fromkeys(("evalmetric", "metric", "metrics"), ("scoring",)),
    **dict.fromkeys(("valsplit", "validationsize", "validationsplit"), ("validation_fraction",)),
    "restorebestweights": ("restore_best",),
    "delta": ("huber_delta",),
    "gamma": ("focal_gamma",),
    **dict.fromkeys(("q", "quantiles", "tau"), ("quantile",)),
    # arguments of fit
    **dict.fromkeys(("evalset", "validationdata", "validationset", "xvalid"), ("X_val",)),
    **dict.fromkeys(("evalsampleweight", "sampleweighteval"), ("sample_weight_val",)),
    **dict.fromkeys(("weight", "weights"), ("sample_weight",)),
}


def did_you_mean(value, accepted):
    """A sentence that names the accepted string that `value` may stand for; none where there is no such
    string.
    """
    meant = (_synonym(value, accepted) or _close(value, accepted)) if isinstance(value, str) else None
    return f" Did you mean {meant!r}?" if meant else ""


def _compact(word):
    return "".join(letter for letter in word.lower() if letter not in "_- ")


def _same(word, accepted):
    return word if word in accepted else None


def _synonym(word, accepted):
    """The first of the synonyms that is accepted, or None."""
    return next((ours for ours in SYNONYMS.get(_compact(word), ()) if ours in accepted), None)


def _close(word, accepted):
    """The accepted string that is spelt most alike, or None."""
    if SYNONYMS.get(_compact(word)) == ():
        return None
    by_lower = {option.lower(): option for option in accepted}
    close = get_close_matches(word.lower(), by_lower, 1)
    return by_lower[close[0]] if close else None


# ------------------------------------------------------------------------------------------------------------
# Keyword arguments

# Where the arguments of an estimator are: those of the constructor are its parameters.
_METHODS = ("__init__", "fit", "partial_fit")


def meant_keyword(cls, method, keyword):
    """A sentence on a keyword argument that a method of an estimator's class does not have; none where
    nothing is close.

    Parameters
    ----------
    cls : type
    method : {"__init__", "fit", "partial_fit"}
    keyword : str
    """
    places = {
        place: list(inspect.signature(getattr(cls, place)).parameters)[1:] for place in (method, *_METHODS)
    }
    # A name that another method has, or that stands for one of ours, comes before one that is only spelt
    # alike.
    for find in (_same, _synonym, _close):
        for place, names in places.items():
            if meant := find(keyword, names):
                if place == method:
                    return f" Did you mean {meant!r}?"
                if place == "__init__":
                    return (
                        f" Did you mean the parameter {meant!r} of the constructor,"
                        f" {cls.__name__}({meant}=...)?"
                    )
                return f" Did you mean the argument {meant!r} of {place}?"
    return ""


def unexpected_keyword(cls, method, keyword):
    """The TypeError for a keyword argument that a method does not have: Python's sentence, and what was
    meant.
    """
    hint = meant_keyword(cls, method, keyword)
    return TypeError(f"{cls.__name__}.{method}() got an unexpected keyword argument {keyword!r}.{hint}")


def suggests_keywords(method):
    """A decorator of a method: an unknown keyword argument is a TypeError that says what was meant.

    To those who inspect the method, its signature is what it was.
    """
    accepted = frozenset(inspect.signature(method).parameters)

    @wraps(method)
    def checked(self, *args, **kwargs):
        if not accepted.issuperset(kwargs):
            raise unexpected_keyword(
                type(self), method.__name__, next(name for name in kwargs if name not in accepted)
            )
        return method(self, *args, **kwargs)

    return checked
