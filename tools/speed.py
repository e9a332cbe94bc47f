"""Whether one version of nnfast is slower than another: both in turns, each in a process of its own.

    python tools/speed.py OLD NEW                      # the Pythons of two environments, each with its own
    python tools/speed.py OLD NEW --rounds 21 --only predict
    python tools/speed.py OLD NEW --most 1.03          # fails if the median ratio of anything is above

Of each thing the fastest seconds of both are shown, and the median over the rounds of new / old: a round
measures both, one after the other, and who begins alternates, so that what the machine does besides falls on
both.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

# Units of the layers, rows of a batch, rows of the table and epochs: some tenths of a second each.
SHAPES = {
    "10-32-2, 32": ((10, 32, 2), 32, 3200, 60),
    "xs 20-64-2, 32": ((20, 64, 2), 32, 3200, 40),
    "s 64-100-10, 200": ((64, 100, 10), 200, 8000, 20),
    "m 50-128-128-2, 256": ((50, 128, 128, 2), 256, 8192, 12),
    "t 100-256-256-256-7, 256": ((100, 256, 256, 256, 7), 256, 8192, 4),
    "l 784-512-512-256-10, 256": ((784, 512, 512, 256, 10), 256, 4096, 2),
}
PREDICTIONS = ("predict_proba of a row", "predict_proba of 10,000 rows", "compiled, a row")


def things():
    """What is measured, in order."""
    steps = [f"step of {name}, {dtype}" for name in SHAPES for dtype in ("float32", "float64")]
    return [*steps, *PREDICTIONS, "import"]


# ------------------------------------------------------------------------------------------------------------
# The process of a version: reads what to measure, a line each, and answers with seconds


def serve():
    prepared = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in prepared:
            prepared[name] = prepare(name)
            prepared[name]()  # once to warm up
        print(json.dumps(prepared[name]()), flush=True)


def prepare(name):
    """A function that does the thing, and returns the seconds of one."""
    import warnings

    import numpy as np

    warnings.simplefilter("ignore")  # of fits that end at max_iter
    rng = np.random.default_rng(0)
    if name == "import":
        return lambda: timed(lambda: subprocess.run([sys.executable, "-c", "import nnfast"], check=True))
    from nnfast import MLPClassifier

    if name in PREDICTIONS:
        X = rng.normal(size=(10_000, 30)).astype(np.float32)
        fitted = MLPClassifier((64, 64), max_iter=2, random_state=0).fit(X, X[:, 0] > 0)
        predict = (fitted.compiled() if name.startswith("compiled") else fitted).predict_proba
        rows, repeats = (X, 20) if "10,000" in name else (X[:1], 2000)
        return lambda: timed(lambda: [predict(rows) for _ in range(repeats)]) / repeats
    shape, dtype = name.removeprefix("step of ").rsplit(", ", 1)
    units, batch_size, n_rows, n_epochs = SHAPES[shape]
    X, y = rng.normal(size=(n_rows, units[0])).astype(dtype), rng.integers(0, units[-1], n_rows)
    estimator = MLPClassifier(
        units[1:-1],
        batch_size=batch_size,
        max_iter=n_epochs,
        tol=0.0,
        n_iter_no_change=10**6,
        precision=dtype,
        random_state=0,
    )
    return lambda: timed(lambda: estimator.fit(X, y)) / (n_epochs * -(-n_rows // batch_size))


def timed(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


# ------------------------------------------------------------------------------------------------------------


class Version:
    """A version's process."""

    def __init__(self, python):
        self._process = subprocess.Popen(
            [python, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, name):
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the process that measured {name!r} has ended: see above")
        return json.loads(answer)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def main():
    if sys.argv[1:] == ["--serve"]:
        return serve()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", help="a Python that has the one version")
    parser.add_argument("new", help="a Python that has the other")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", default="", help="things whose names hold this text")
    parser.add_argument("--most", type=float, help="fail if the median of new / old of anything is above")
    options = parser.parse_args()
    versions = [Version(options.old), Version(options.new)]
    slower = []
    print(f"{'':38}{'old, us':>12}{'new, us':>12}{'new / old':>11}")
    try:
        for name in filter(lambda name: options.only in name, things()):
            seconds = [[], []]
            for round in range(options.rounds):
                for k in (0, 1) if round % 2 == 0 else (1, 0):
                    seconds[k].append(versions[k].seconds(name))
            ratio = statistics.median(new / old for old, new in zip(*seconds, strict=True))
            old, new = (min(each) * 1e6 for each in seconds)
            print(f"{name:38}{old:12,.2f}{new:12,.2f}{ratio:11.3f}", flush=True)
            if options.most is not None and ratio > options.most:
                slower.append(name)
    finally:
        for each in versions:
            each.close()
    if slower:
        print(f"slower by more than {options.most:g}: {', '.join(slower)}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
