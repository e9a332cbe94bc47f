"""What a word that is not accepted may have meant: other libraries' names, for values and for keyword
arguments.
"""

import inspect
import pickle

import pytest
from sklearn.base import clone
from sklearn.metrics import get_scorer_names
from sklearn.utils.validation import has_fit_parameter
from small import BOTH, small, table

from nnfast import MLPClassifier, MLPRegressor
from nnfast.activations import ACTIVATIONS, resolve_activations
from nnfast.initializers import INITIALIZERS, initializer_for
from nnfast.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from nnfast.normalization import NORMALIZATIONS
from nnfast.optimizers import OPTIMIZERS
from nnfast.schedules import SCHEDULES, resolve_schedule
from nnfast.suggestions import SYNONYMS, did_you_mean

PARAMETERS = {cls: set(inspect.signature(cls).parameters) for cls in (MLPClassifier, MLPRegressor)}
VALUES = {
    *(["activation", "loss", "solver", "learning_rate"]),
    *ACTIVATIONS,
    *CLASSIFIER_LOSSES,
    *REGRESSOR_LOSSES,
    *OPTIMIZERS,
    "lbfgs",
    *SCHEDULES,
    *INITIALIZERS,
    *NORMALIZATIONS,
    *get_scorer_names(),
    "score",
    "loss",
    "float32",
    "float64",
    "bfloat16",
}


def message(call, *args, error=ValueError, **kwargs):
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_synonyms_are_of_names_that_there_are():
    names = VALUES.union(*PARAMETERS.values(), *(inspect.signature(cls.fit).parameters for cls in PARAMETERS))
    for word, meant in SYNONYMS.items():
        assert word == word.lower().replace("_", "").replace("-", "").replace(" ", "")
        assert set(meant) <= names, word


@pytest.mark.parametrize(
    "cls, name, value, meant",
    [
        (MLPClassifier, "activation", "swish", "silu"),
        (MLPClassifier, "activation", "Swish", "silu"),
        (MLPClassifier, "activation", "LReLU", "leaky_relu"),
        (MLPClassifier, "activation", "hardtanh", None),
        (MLPClassifier, "activation", "hard_sigmoid", None),
        (MLPClassifier, "activation", "PReLU", None),
        (MLPClassifier, "loss", "cross_entropy", "log_loss"),
        (MLPClassifier, "loss", "CrossEntropy", "log_loss"),
        (MLPClassifier, "loss", "bce", "log_loss"),
        (MLPClassifier, "loss", "binary_crossentropy", "log_loss"),
        (MLPClassifier, "loss", "mse", None),
        (MLPRegressor, "loss", "mse", "squared_error"),
        (MLPRegressor, "loss", "MAE", "absolute_error"),
        (MLPRegressor, "loss", "l1", "absolute_error"),
        (MLPRegressor, "loss", "l2", "squared_error"),
        (MLPRegressor, "loss", "mean_squared_error", "squared_error"),
        (MLPRegressor, "loss", "smooth_l1", "huber"),
        (MLPRegressor, "loss", "pinball", "quantile"),
        (MLPRegressor, "loss", "cross_entropy", None),
        (MLPClassifier, "initializer", "kaiming", "he_normal"),
        (MLPClassifier, "initializer", "kaiming_uniform", "he_uniform"),
        (MLPClassifier, "initializer", "Xavier", "glorot_uniform"),
        (MLPClassifier, "initializer", "he", "he_normal"),
        (MLPClassifier, "solver", "SGD", "sgd"),
        (MLPClassifier, "solver", "adam_w", "adamw"),
        (MLPClassifier, "solver", "momentum", "sgd"),
        (MLPClassifier, "solver", "BFGS", "lbfgs"),
        (MLPClassifier, "solver", "adadelta", None),
        (MLPClassifier, "learning_rate", "cosine_annealing", "cosine"),
        (MLPClassifier, "learning_rate", "CosineAnnealing", "cosine"),
        (MLPClassifier, "learning_rate", "reduce_on_plateau", "plateau"),
        (MLPClassifier, "learning_rate", "OneCycle", "one_cycle"),
        (MLPClassifier, "normalization", "batchnorm", "batch"),
        (MLPClassifier, "normalization", "bn", "batch"),
        (MLPClassifier, "normalization", "LayerNorm", "layer"),
        (MLPClassifier, "scoring", "auc", "roc_auc"),
        (MLPClassifier, "scoring", "acc", "accuracy"),
        (MLPRegressor, "scoring", "rmse", "neg_root_mean_squared_error"),
        (MLPRegressor, "scoring", "mse", "neg_mean_squared_error"),
        (MLPClassifier, "monitor", "val_loss", "loss"),
        (MLPClassifier, "precision", "bf16", "bfloat16"),
    ],
)
def test_values(cls, name, value, meant):
    said = message(small(cls, **{name: value}).fit, *table())
    assert said.endswith(f" Did you mean {meant!r}?") if meant else "Did you mean" not in said


def test_the_same_words_wherever_a_name_is_looked_up():
    assert message(resolve_activations, ["swish"], None, 1).endswith(" Did you mean 'silu'?")
    assert message(initializer_for, "kaiming").endswith(" Did you mean 'he_normal'?")
    assert message(resolve_schedule, "cosine_annealing").endswith(" Did you mean 'cosine'?")
    assert did_you_mean(None, ["none"]) == did_you_mean(3, ["3"]) == ""


KEYWORDS = {
    "lr": "learning_rate_init",
    "epochs": "max_iter",
    "n_epochs": "max_iter",
    "max_epochs": "max_iter",
    "hidden_layers": "hidden_layer_sizes",
    "hidden_layer_size": "hidden_layer_sizes",
    "batchsize": "batch_size",
    "optimizer": "solver",
    "criterion": "loss",
    "n_jobs": "n_threads",
    "num_threads": "n_threads",
    "patience": "n_iter_no_change",
    "dropout_rate": "dropout",
    "seed": "random_state",
    "batch_norm": "normalization",
    "beta1": "beta_1",
    "eps": "epsilon",
    "metric": "scoring",
    "validation_split": "validation_fraction",
    "l2": "alpha",
    "wd": "weight_decay",
}


@BOTH
@pytest.mark.parametrize("keyword", [*KEYWORDS, "class_weights", "eval_set", "X_val", "sample_weight", "qqq"])
def test_keywords_of_constructors(cls, keyword):
    arguments = {"eval_set": "X_val", "X_val": "X_val", "sample_weight": "sample_weight"}
    python = f"{cls.__name__}.__init__() got an unexpected keyword argument {keyword!r}."
    if keyword == "class_weights" and cls is MLPRegressor:
        assert message(cls, error=TypeError, **{keyword: 3}).startswith(python)
        return
    meant = KEYWORDS.get(keyword, "class_weight" if keyword == "class_weights" else None)
    hint = f" Did you mean {meant!r}?" if meant else ""
    if keyword in arguments:
        hint = f" Did you mean the argument {arguments[keyword]!r} of fit?"
    assert message(cls, error=TypeError, **{keyword: 3}) == python + hint
    estimator = cls()
    said = message(estimator.set_params, **{keyword: 3})
    assert said.startswith(
        f"Invalid parameter {keyword!r} for estimator {cls.__name__}(). Valid parameters are: ["
    )
    assert said.endswith("]." + hint)


@BOTH
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "keyword, meant",
    [
        ("eval_set", "X_val"),
        ("validation_data", "X_val"),
        ("sample_weights", "sample_weight"),
        ("weights", "sample_weight"),
        ("epochs", "max_iter"),
        ("callbacks", "callbacks"),
        ("early_stopping", "early_stopping"),
        ("validation_fraction", "validation_fraction"),
        ("qqq", None),
    ],
)
def test_keywords_of_methods(cls, method, keyword, meant):
    estimator = small(cls)
    said = message(getattr(estimator, method), *table(), error=TypeError, **{keyword: 3})
    hint = ""
    if meant == "X_val" and method == "partial_fit":
        hint = " Did you mean the argument 'X_val' of fit?"
    elif meant in ("X_val", "sample_weight"):
        hint = f" Did you mean {meant!r}?"
    elif meant:
        hint = f" Did you mean the parameter {meant!r} of the constructor, {cls.__name__}({meant}=...)?"
    assert said == f"{cls.__name__}.{method}() got an unexpected keyword argument {keyword!r}." + hint
    assert not hasattr(estimator, "coefs_")


def test_classes_are_for_partial_fit():
    assert message(small().fit, *table(), error=TypeError, classes=[0, 1]).endswith(
        " Did you mean the argument 'classes' of partial_fit?"
    )


@BOTH
def test_signatures_are_what_they_were(cls):
    kinds = {parameter.kind for parameter in inspect.signature(cls).parameters.values()}
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    assert set(inspect.signature(cls).parameters) == set(cls().get_params())
    names = ["self", "X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val", "validation_indices"]
    assert list(inspect.signature(cls.fit).parameters) == names
    assert list(inspect.signature(cls.partial_fit).parameters) == names[:4] + ["classes"] * (
        cls is MLPClassifier
    )
    assert cls.fit.__name__ == "fit" and cls.fit.__doc__.startswith("Fit the network")
    assert has_fit_parameter(cls, "sample_weight")
    # What scikit-learn routes is read from the signatures.
    assert {"sample_weight", "X_val", "y_val"} <= set(cls().get_metadata_routing().fit.requests)
    estimator = small(cls, alpha=0.1)
    assert (
        pickle.loads(pickle.dumps(estimator)).get_params()
        == clone(estimator).get_params()
        == estimator.get_params()
    )
