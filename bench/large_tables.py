"""Time and memory of a fit as the table grows: in memory, and mapped from a file and read in blocks.

    python -m bench.large_tables --figure docs/_static/large_tables.png --json large_tables.json

Each fit has a process of its own, so that its peak of resident memory is its own. Sizes come in turns,
smallest first, `--rounds` times over; the best epoch of all rounds counts, and the largest peak. The file is
in the page cache where memory allows: what is timed is nnfast, not the disk.
"""

import argparse
import json
import multiprocessing
import platform
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np

N_FEATURES, HIDDEN, BATCH, EPOCHS = 20, (64,), 200, 3
WAYS = {
    "in memory, shuffle=True": (False, True),
    'in memory, shuffle="blocks"': (False, "blocks"),
    'mapped, shuffle="blocks"': (True, "blocks"),
}


def fill(path, n_rows):
    """Write a table of normal numbers, a million rows at a time."""
    X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n_rows, N_FEATURES))
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 10**6):
        part = X[start : start + 10**6]
        part[...] = rng.standard_normal(part.shape, dtype=np.float32)


def resident(which):
    """Megabytes, from the kernel's account of this process: VmRSS now, VmHWM at its peak."""
    return int(re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000


def fit(path, is_mapped, shuffle):
    """Fit in this process: (seconds of the best epoch, megabytes that became resident since NumPy and nnfast
    had been imported).
    """
    from nnfast import MLPClassifier

    warnings.simplefilter("ignore")  # of fits that end before they converge
    model = MLPClassifier(HIDDEN, batch_size=BATCH, max_iter=EPOCHS, shuffle=shuffle, random_state=0)
    model.fit(np.zeros((BATCH, N_FEATURES), np.float32), np.arange(BATCH) % 2)  # what is paid once
    before = resident("VmRSS")
    X = np.load(path, mmap_mode="r" if is_mapped else None)
    y = np.empty(len(X), np.int8)
    for start in range(0, len(X), 10**5):
        y[start : start + 10**5] = np.load(path, mmap_mode="r")[start : start + 10**5, 0] > 0
    model.fit(X, y)
    return float(model.history_["seconds"].min()), resident("VmHWM") - before


def measure(sizes, rounds, folder):
    """For every way and size: rows, seconds of an epoch, megabytes at the peak."""
    results = {way: {} for way in WAYS}
    context = multiprocessing.get_context("spawn")
    for n_rows in sizes:
        fill(folder / f"{n_rows}.npy", n_rows)
    for turn in range(rounds):
        for n_rows in sizes:
            for way, (is_mapped, shuffle) in WAYS.items():
                with context.Pool(1) as pool:
                    seconds, megabytes = pool.apply(fit, (folder / f"{n_rows}.npy", is_mapped, shuffle))
                best = results[way].setdefault(n_rows, [seconds, megabytes])
                best[:] = min(best[0], seconds), max(best[1], megabytes)
                print(
                    f"{turn + 1}: {n_rows:>11,} rows, {way:28} {seconds:9.4f} s an epoch,"
                    f" {megabytes:7.0f} MB",
                    flush=True,
                )
    return {way: [[n, *numbers] for n, numbers in of_way.items()] for way, of_way in results.items()}


def draw(results, path):
    """The two panels: seconds of an epoch and megabytes, by rows."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (way, points), style in zip(results.items(), ("o-", "s--", "^:"), strict=True):
        rows, seconds, megabytes = np.array(points).T
        left.loglog(rows, seconds, style, label=way)
        right.loglog(rows, megabytes, style, label=way)
    rows, seconds, _ = np.array(results['mapped, shuffle="blocks"']).T
    left.loglog(
        rows, seconds[-1] * rows / rows[-1], color="gray", linewidth=0.8, label="proportional to rows"
    )
    right.loglog(rows, rows * N_FEATURES * 4 / 1e6, color="gray", linewidth=0.8, label="the table itself")
    left.set(
        xlabel="rows",
        ylabel="seconds an epoch",
        title=f"{N_FEATURES} features, float32, {HIDDEN[0]} hidden units, batches of {BATCH}",
    )
    right.set(xlabel="rows", ylabel="MB", title="peak of resident memory over that of the imports")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--rows", type=float, nargs="+", default=[1e4, 1e5, 1e6, 1e7], help="sizes of the tables"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("large_tables.json"))
    parser.add_argument("--figure", type=Path, help="PNG; needs matplotlib")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure([int(n) for n in arguments.rows], arguments.rounds, Path(folder))
    arguments.json.write_text(
        json.dumps({"machine": platform.processor() or platform.machine(), "results": results}, indent=1)
    )
    if arguments.figure:
        draw(results, arguments.figure)


if __name__ == "__main__":
    main()
