"""Searches by threads of one process: how much two jobs gain over one, beside processes, and what memory
candidates take.

Promised: with two cores, two jobs are at least 1.8 times one, and never slower than loky's processes; memory
grows by models, not by tables. The candidates are the same for all, and so are the scores. Each search is
made in turns with the others, the best turn counts; what is compared with loky is scikit-learn's GridSearchCV
over the same candidates, its processes started and warm.
"""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from bench.timing import in_turns
from nnfast import MLPClassifier
from nnfast.threads import n_cores_available
from nnfast.tuning import CoarseToFineSearchCV, log_uniform

ROUNDS = 3
GAIN = 1.8
# (rows, features, hidden layers, batch, epochs, candidates)
SIZES = {
    "small": (2_000, 20, (64,), 200, 20, 24),
    "medium": (10_000, 50, (128, 128), 200, 8, 8),
    "wide": (5_000, 100, (256, 256, 256), 200, 4, 4),
    "large table": (100_000, 50, (32,), 200, 3, 4),
}


def searches(size):
    """Functions that search by one thread, by two, and by two processes, and a dict that they put their
    scores in.
    """
    rows, features, hidden, batch, epochs, n = SIZES[size]
    X, y = make_classification(rows, features, n_informative=features // 2, random_state=0)
    X = X.astype(np.float32)
    network = MLPClassifier(
        hidden, batch_size=batch, max_iter=epochs, n_iter_no_change=epochs, random_state=0
    )
    space = {"learning_rate_init": log_uniform(1e-4, 1e-2)}
    found, candidates = {}, []

    def threads(n_jobs):
        def run():
            one_core = clone(network).set_params(n_threads=1) if n_jobs == 1 else network
            made = CoarseToFineSearchCV(
                one_core, space, n_rounds=1, n_candidates=n, cv=4, random_state=0, refit=False, n_jobs=n_jobs
            )
            found[n_jobs] = made.fit(X, y).cv_results_["mean_test_score"]
            candidates[:] = [
                {name: [value] for name, value in params.items()} for params in made.cv_results_["params"]
            ]

        return run

    def processes():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            made = GridSearchCV(network, candidates, cv=4, refit=False, n_jobs=2).fit(X, y)
        found["loky"] = made.cv_results_["mean_test_score"]

    return [threads(1), threads(2), processes], found


@pytest.mark.skipif(n_cores_available() < 2, reason="needs two cores")
@pytest.mark.parametrize("size", SIZES)
def test_threads_beside_processes(size, report):
    functions, found = searches(size)
    for function in functions:
        function()
    np.testing.assert_array_equal(found[1], found[2])
    np.testing.assert_allclose(found[1], found["loky"], rtol=1e-6)
    turns = in_turns(functions, ROUNDS)
    one, two, loky = turns.min(axis=0)
    report(
        "searches: two threads of one process",
        size=size,
        one=f"{one:.3f} s",
        two=f"{two:.3f} s",
        loky=f"{loky:.3f} s",
        gain=f"{one / two:.2f}x",
        median=f"{np.median(turns[:, 0] / turns[:, 1]):.2f}x",
        processes=f"{loky / two:.2f}x",
    )
    assert two <= loky
    assert one / two >= GAIN


_MEMORY = """
import sys, tracemalloc
import numpy as np
from nnfast import MLPClassifier
from nnfast.tuning import HyperbandSearchCV, log_uniform
n_jobs, max_epochs = int(sys.argv[1]), int(sys.argv[2])
random = np.random.default_rng(0)
X = random.standard_normal((100_000, 100), dtype=np.float32)
y = (X[:, 0] > 0).astype(int)
tracemalloc.start()
search = HyperbandSearchCV(
    MLPClassifier((16,), batch_size=1000), {"alpha": log_uniform(1e-4, 1)}, max_epochs=max_epochs, cv=4,
    refit=False, n_jobs=n_jobs, random_state=0
).fit(X, y)
print(tracemalloc.get_traced_memory()[1] / X.nbytes, len(search.cv_results_["params"]))
"""


def test_memory_grows_by_models(report):
    """Five candidates or forty-nine, in four folds each. What NumPy and Python allocate at most, in sizes of
    the table.
    """
    grown = {}
    for n_jobs, max_epochs in ((1, 3), (2, 3), (2, 9), (2, 27)):
        answer = subprocess.run(
            [sys.executable, "-c", _MEMORY, str(n_jobs), str(max_epochs)],
            capture_output=True,
            text=True,
            check=True,
        )
        grown[n_jobs, max_epochs], n = map(float, answer.stdout.split())
        report(
            "searches: memory",
            jobs=n_jobs,
            candidates=int(n),
            folds=4,
            more=f"{grown[n_jobs, max_epochs]:.2f} tables",
        )
    # Rows to score are a quarter of the table, once for every fold that is scored at the time; a fit that
    # waits keeps an order of its rows.
    assert all(more < 1.2 for more in grown.values())
    assert grown[2, 27] - grown[2, 9] < 0.4
