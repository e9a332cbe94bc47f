"""Whether two versions of nnfast give the same bits: hashes of some hundred runs, of everything that a fit
leaves.

    python tools/bits.py > before.json                 # with the one version
    python tools/bits.py --compare before.json         # with the other: names and fails by what differs
    python tools/bits.py --only dropout --compare before.json

Each run is hashed for each instruction set that the CPU has, with one thread and three, in a process for each
set. Hashes are of one machine: NumPy's own functions differ between CPUs.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import warnings

ATTRIBUTES = (
    "coefs_",
    "intercepts_",
    "norm_scales_",
    "norm_shifts_",
    "running_means_",
    "running_variances_",
    "loss_curve_",
    "validation_scores_",
    "loss_",
    "best_loss_",
    "best_validation_score_",
    "n_iter_",
    "t_",
    "oof_predictions_",
)


def runs():
    """The runs by name: (what fits, options of the estimator), where what fits is a key of `FITS`."""
    from nnfast.activations import ACTIVATIONS
    from nnfast.initializers import INITIALIZERS
    from nnfast.optimizers import OPTIMIZERS
    from nnfast.schedules import SCHEDULES

    single, both = {"precision": "float32"}, ("float32", "float64")
    found = {}

    def add(name, fit, **options):
        found[name] = fit, options

    for precision in both:
        options = {"precision": precision}
        for each in ACTIVATIONS:
            add(f"activation {each} {precision}", "classes", activation=each, **options)
        for each in OPTIMIZERS:
            add(f"solver {each} {precision}", "classes", solver=each, alpha=0.01, **options)
        add(f"solver lbfgs {precision}", "classes", solver="lbfgs", **options)
        for each in ("squared_error", "absolute_error", "huber", "log_cosh", "poisson", "gamma", "quantile"):
            add(f"loss {each} {precision}", "counts", loss=each, **options)
        add(f"quantiles {precision}", "numbers", loss="quantile", quantile=[0.1, 0.5, 0.9], **options)
        for normalization in (None, "batch", "layer"):
            for dropout in (0.0, 0.3):
                more = {"normalization": normalization, "dropout": dropout, "input_dropout": dropout / 2}
                for kind in ("classes", "several numbers", "sparse", "weighted"):
                    add(f"{kind}, {normalization}, dropout {dropout}, {precision}", kind, **more, **options)
        for kind in ("two classes", "labels", "partial fits", "mapped", "more rows", "many units"):
            add(f"{kind} {precision}", kind, **options)
            add(f"{kind} batch {precision}", kind, normalization="batch", dropout=0.2, **options)
    for each in SCHEDULES:
        add(
            f"schedule {each}",
            "early" if each == "plateau" else "classes",
            learning_rate=each,
            solver="sgd",
            **single,
        )
    for each in (*INITIALIZERS, "auto"):
        add(f"initializer {each}", "classes", initializer=each, **single)
    penalties = {
        "l1": 0.01,
        "clip_norm": 0.5,
        "clip_value": 0.01,
        "max_norm": 1.0,
        "weight_decay": 0.1,
        "alpha": 0.1,
    }
    for name, value in penalties.items():
        solver = "adamw" if name == "weight_decay" else "adam"
        for normalization in (None, "batch"):
            add(
                f"{name}, {normalization}",
                "classes",
                solver=solver,
                normalization=normalization,
                **{name: value},
                **single,
            )
        add(f"{name}, sparse", "sparse", solver=solver, **{name: value}, **single)
    for monitor in ("score", "loss"):
        for restore in (True, False):
            options = {"monitor": monitor, "restore_best": restore, "n_iter_no_change": 2}
            add(f"early stopping by {monitor}, {restore}", "early", **options, **single)
    add("two activations", "deep", activation=["gelu", "tanh", "relu"], **single)
    add(
        "parameters of activations",
        "deep",
        activation="leaky_relu",
        activation_params={"negative_slope": 0.2},
        **single,
    )
    add("alpha dropout", "classes", activation="selu", dropout=0.2, alpha_dropout=True, **single)
    add("class weights", "classes", class_weight="balanced", **single)
    add("label smoothing", "classes", label_smoothing=0.1, **single)
    add("focal", "classes", loss="focal", **single)
    add("no shuffle", "classes", shuffle=False, **single)
    add("warm start", "warm", warm_start=True, **single)
    add("warm start in full", "warm", warm_start="full", **single)
    add("nesterov off", "classes", solver="sgd", nesterovs_momentum=False, **single)
    add("own activation", "own activation", **single)
    for kind in ("classes", "numbers", "deep"):
        add(f"bfloat16 {kind}", kind, precision="bfloat16")
        add(f"bfloat16 {kind} batch", kind, precision="bfloat16", normalization="batch", dropout=0.2)
    for kind in ("classes", "several numbers", "sparse"):
        for normalization in (None, "batch", "layer"):
            add(
                f"numba {kind}, {normalization}",
                kind,
                engine="numba",
                normalization=normalization,
                dropout=0.2,
                **single,
            )
    for kind in ("table of classes", "table of numbers"):
        for quality in ("fast", "best"):
            add(f"{kind}, {quality}", kind, quality=quality)
    return found


# ------------------------------------------------------------------------------------------------------------
# What fits: functions of options, a number of threads and a folder for files, which return what is hashed


def _rows(n=233, n_features=13):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng, rng.normal(size=(n, n_features))


def _classifier(options, n_threads, **more):
    from nnfast import MLPClassifier

    return MLPClassifier(**_defaults(n_threads) | more | options)


def _regressor(options, n_threads, **more):
    from nnfast import MLPRegressor

    return MLPRegressor(**_defaults(n_threads) | more | options)


def _defaults(n_threads):
    return {
        "hidden_layer_sizes": (19, 10),
        "batch_size": 32,
        "max_iter": 6,
        "tol": 0.0,
        "random_state": 3,
        "n_threads": n_threads,
    }


def _fitted(estimator, X, y, *given, **more):
    estimator.fit(X, y, *given, **more)
    return [estimator, *_answers(estimator, X)]


def _answers(estimator, X):
    """Predictions of many rows and of one."""
    predict = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict
    return [predict(X), predict(X[:1])]


def classes(options, n_threads, folder):
    rng, X = _rows()
    return _fitted(_classifier(options, n_threads), X, rng.integers(0, 3, len(X)))


def two_classes(options, n_threads, folder):
    _, X = _rows()
    return _fitted(_classifier(options, n_threads), X, X[:, 0] > 0)


def labels(options, n_threads, folder):
    _, X = _rows()
    return _fitted(_classifier(options, n_threads), X, (X[:, :3] > 0).astype(int))


def numbers(options, n_threads, folder):
    _, X = _rows()
    return _fitted(_regressor(options, n_threads), X, X[:, 0] * X[:, 1])


def several_numbers(options, n_threads, folder):
    _, X = _rows()
    return _fitted(_regressor(options, n_threads), X, X[:, :2] * X[:, 1:3])


def counts(options, n_threads, folder):
    rng, X = _rows()
    return _fitted(_regressor(options, n_threads), X, rng.poisson(2, len(X)) + 0.5)


def sparse(options, n_threads, folder):
    import scipy.sparse

    rng, X = _rows(n_features=90)
    X = scipy.sparse.csr_array(X * (rng.random(X.shape) < 0.04))
    return _fitted(_classifier(options, n_threads), X, rng.integers(0, 3, X.shape[0]))


def weighted(options, n_threads, folder):
    rng, X = _rows()
    return _fitted(_classifier(options, n_threads), X, rng.integers(0, 3, len(X)), rng.random(len(X)))


def early(options, n_threads, folder):
    rng, X = _rows()
    return _fitted(_classifier(options, n_threads, early_stopping=True), X, rng.integers(0, 3, len(X)))


def deep(options, n_threads, folder):
    _, X = _rows()
    return _fitted(_regressor(options, n_threads, hidden_layer_sizes=(33, 17, 20)), X, X[:, 0] * X[:, 1])


def warm(options, n_threads, folder):
    rng, X = _rows()
    estimator, y = _classifier(options, n_threads), rng.integers(0, 3, len(X))
    return [*_fitted(estimator, X, y), *_fitted(estimator, X, y)]


def partial_fits(options, n_threads, folder):
    rng, X = _rows()
    estimator, y = _classifier(options, n_threads), rng.integers(0, 3, len(X))
    for first in (0, 100):
        estimator.partial_fit(X[first : first + 100], y[first : first + 100], classes=[0, 1, 2])
    return [estimator, *_answers(estimator, X)]


def mapped(options, n_threads, folder):
    import numpy as np

    rng, X = _rows(2000)
    path = os.path.join(folder, f"{rng.integers(2**40)}.npy")
    np.save(path, X)
    estimator = _classifier(options, n_threads, shuffle="blocks", max_iter=2)
    return _fitted(estimator, np.load(path, mmap_mode="r"), rng.integers(0, 3, len(X)))


def more_rows(options, n_threads, folder):
    rng, X = _rows(3000)
    return _fitted(
        _classifier(options, n_threads, batch_size=1200, max_iter=3), X, rng.integers(0, 11, len(X))
    )


def many_units(options, n_threads, folder):
    rng, X = _rows(900, 70)
    estimator = _classifier(options, n_threads, hidden_layer_sizes=(257, 130), batch_size=200, max_iter=2)
    return _fitted(estimator, X, rng.integers(0, 11, len(X)))


def own_activation(options, n_threads, folder):
    from nnfast import Activation

    return classes(options | {"activation": Activation(_bent)}, n_threads, folder)


def _bent(z):
    return z / (1 + z * z)


def _table():
    import numpy as np

    rng, X = _rows(260, 4)
    table = np.column_stack([X.astype(object), rng.choice(list("abcdefgh"), len(X))])
    table[rng.random(len(X)) < 0.1, 1] = None
    return rng, X, table


def table_of_classes(options, n_threads, folder):
    from nnfast import TabularClassifier

    rng, X, table = _table()
    estimator = TabularClassifier(**options, n_jobs=n_threads, oof_predictions=True, random_state=0)
    return _fitted(estimator, table, X[:, 0] + rng.normal(size=len(X)) > 0)


def table_of_numbers(options, n_threads, folder):
    from nnfast import TabularRegressor

    _, X, table = _table()
    estimator = TabularRegressor(**options, n_jobs=n_threads, oof_predictions=True, random_state=0)
    return _fitted(estimator, table, X[:, 0] * X[:, 1])


FITS = {
    each.__name__.replace("_", " "): each
    for each in (
        classes,
        two_classes,
        labels,
        numbers,
        several_numbers,
        counts,
        sparse,
        weighted,
        early,
        deep,
        warm,
        partial_fits,
        mapped,
        more_rows,
        many_units,
        own_activation,
        table_of_classes,
        table_of_numbers,
    )
}


# ------------------------------------------------------------------------------------------------------------


def digest(results):
    """A hash of estimators' attributes and of arrays, with their dtypes and shapes."""
    import numpy as np

    found = hashlib.sha256()

    def add(value):
        if isinstance(value, list):
            for each in value:
                add(each)
        elif value is not None:
            array = np.ascontiguousarray(value)
            found.update(f"{array.dtype.str} {array.shape}".encode() + array.tobytes())

    for each in results:
        if hasattr(each, "get_params"):
            for name in ATTRIBUTES:
                found.update(name.encode())
                add(getattr(each, name, None))
        else:
            add(each)
    return found.hexdigest()[:24]


def hashes(only):
    """The hash of each run with one thread and three, on the instruction set of this process."""
    import tempfile

    from nnfast.engines import cython as engine

    warnings.simplefilter("ignore")  # of fits that end at max_iter
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (kind, options) in runs().items():
            if only not in name or (options.get("precision") == "bfloat16" and not engine.bfloat16_units()):
                continue
            for n_threads in (1, 3):
                found[f"{name}, {n_threads} threads"] = digest(FITS[kind](options, n_threads, folder))
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="runs whose names hold this text")
    parser.add_argument("--compare", metavar="FILE", help="what another version printed")
    # the process of one instruction set
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(hashes(options.only)))
        return 0
    from nnfast.engines import cython as engine

    found = {}
    for instruction_set in engine.instruction_sets():
        command = [sys.executable, __file__, "--one", "--only", options.only]
        environment = os.environ | {"NNFAST_ISA": instruction_set}
        output = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        found |= {f"{instruction_set}, {name}": value for name, value in json.loads(output).items()}
    if options.compare is None:
        print(json.dumps(found, indent=1))
        return 0
    with open(options.compare) as file:
        before = {name: value for name, value in json.load(file).items() if options.only in name}
    different = [name for name in before if found.get(name, before[name]) != before[name]]
    missing = [name for name in before if name not in found]
    for name in different:
        print("differs:", name)
    for name in missing:
        print("missing:", name)
    new = len(found.keys() - before.keys())
    print(
        f"{len(before) - len(different) - len(missing)} runs are the same, {len(different)} differ, "
        f"{len(missing)} are missing, {new} are new."
    )
    return 1 if different or missing else 0


if __name__ == "__main__":
    sys.exit(main())
