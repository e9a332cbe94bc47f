"""Draw the figures of docs/search_pictures.md: python docs/make_search_figures.py, which takes a minute.

The search is seeded, and so are its figures; those of the repository are redrawn when the drawing changes.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnfast import MLPClassifier
from nnfast.tuning import BayesianSearchCV, choice, int_log_uniform, log_uniform, one_minus_log_uniform
from nnfast.tuning.plots import plot_learning_curves, plot_parallel_coordinates, plot_slices

STATIC = Path(__file__).parent / "_static"


def search():
    X, y = load_digits(return_X_y=True)
    space = {
        "mlpclassifier__learning_rate_init": log_uniform(1e-3, 10),
        "mlpclassifier__momentum": one_minus_log_uniform(0.5, 0.999),
        "mlpclassifier__hidden_layer_sizes": choice((16,), (64,), (32, 32), (64, 32)),
        "mlpclassifier__batch_size": int_log_uniform(16, 512),
        "mlpclassifier__activation": choice("relu", "tanh", "logistic"),
    }
    network = MLPClassifier(solver="sgd", max_iter=30, precision="float32")
    pipeline = make_pipeline(StandardScaler(), network)
    return BayesianSearchCV(pipeline, space, n_trials=60, cv=3, scoring="accuracy", random_state=0).fit(
        X[:900], y[:900]
    )


def main():
    found = search()
    for name, plot in {
        "search_parallel_coordinates": plot_parallel_coordinates,
        "search_slices": plot_slices,
        "search_learning_curves": plot_learning_curves,
    }.items():
        drawn = plot(found)
        figure = (drawn if hasattr(drawn, "figure") else drawn[0]).figure
        path = STATIC / f"{name}.png"
        figure.savefig(path, dpi=100, metadata={"Software": None})
        _reduce(path)
        print(path, path.stat().st_size)


def _reduce(path):
    """To 256 colours, a third of the bytes."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)


if __name__ == "__main__":
    main()
