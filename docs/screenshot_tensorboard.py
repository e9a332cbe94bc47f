"""Screenshots of TensorBoard with trials of nnfast in it, made by headless Chromium.

    pip install 'nnfast[tune]' tensorboard playwright pillow
    python docs/screenshot_tensorboard.py screenshots
    python docs/screenshot_tensorboard.py screenshots --browser /opt/chromium/chrome

A search tries some networks, TensorBoard is started on its logs, and the browser looks at the HPARAMS tab
(the table, and the parallel coordinates), at the scalars and at the histograms. docs/_static/tensorboard.png
is parallel_coordinates.png.
"""

import argparse
import contextlib
import io
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from scipy.stats import loguniform
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from nnfast import MLPClassifier
from nnfast.callbacks import TensorBoard
from nnfast.tuning.tensorboard import log_search

# A browser without a screen that calls nobody; Playwright gives it an empty profile, deleted at the end.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = {"width": 1280, "height": 840}
WAIT_SECONDS = 60
SETTLE_MILLISECONDS = 2000
N_COLOURS = 64


def write_logs(logdir, n_trials):
    """Logs of a search, and of a fit with histograms."""
    X, y = load_breast_cancer(return_X_y=True)
    network = MLPClassifier(max_iter=30, random_state=0)
    space = {
        "net__learning_rate_init": loguniform(1e-4, 1e-1),
        "net__alpha": loguniform(1e-5, 10),
        "net__hidden_layer_sizes": [(8,), (32,), (64,), (32, 32)],
    }
    pipeline = Pipeline([("scale", StandardScaler()), ("net", network)])
    search = RandomizedSearchCV(
        pipeline, space, n_iter=n_trials, cv=3, scoring="neg_log_loss", random_state=0
    )
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        log_search(search.fit(X, y), logdir / "search")
        callback = TensorBoard(logdir / "fit", histograms=2, gradients=2)
        pipeline.set_params(net__callbacks=[callback]).fit(X, y)


@contextlib.contextmanager
def tensorboard(logdir):
    """The address of a TensorBoard on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        logdir,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    server, address = subprocess.Popen([str(part) for part in command]), f"http://127.0.0.1:{port}/"
    try:
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                runs = urllib.request.urlopen(f"{address}data/runs").read()
                if b"fit" in runs and b"search" in runs:
                    break
            except urllib.error.URLError:
                pass
            if time.monotonic() > end or server.poll() is not None:
                raise RuntimeError(f"TensorBoard did not show the logs in {WAIT_SECONDS} seconds")
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait()


def take(page, address, out):
    """All pictures."""
    page.goto(f"{address}#hparams")
    page.get_by_text("trial-0000").first.wait_for()
    shoot(page, out / "table.png")
    page.get_by_text("Parallel Coordinates View").click()
    for name in ("net__alpha", "net__learning_rate_init"):
        page.locator(f"#logScaleButton_{name}:visible").click()
    page.locator("paper-dropdown-menu:visible", has_text="Color by").click()
    page.locator("paper-item:visible").get_by_text("score", exact=True).click()
    shoot(page, out / "parallel_coordinates.png")
    for tab in ("scalars", "histograms"):
        page.goto(f"{address}#{tab}")
        shoot(page, out / f"{tab}.png")


def shoot(page, path):
    """Take a picture once nothing moves any more, in few colours: a third of the bytes."""
    page.mouse.move(0, 0)  # out of the way of tooltips
    before, now = None, page.screenshot()
    while now != before:
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        before, now = now, page.screenshot()
    Image.open(io.BytesIO(now)).convert("RGB").quantize(N_COLOURS, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument(
        "--browser", default=shutil.which("chromium"), help="Chromium or Chrome [chromium on PATH]"
    )
    parser.add_argument("--trials", type=int, default=24, help="networks to try [24]")
    arguments = parser.parse_args()
    if arguments.browser is None:
        parser.error("no chromium on PATH: give --browser")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_logs(Path(folder), arguments.trials)
        with tensorboard(folder) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=arguments.browser, args=FLAGS)
            take(browser.new_page(viewport=SIZE), address, arguments.out)
            browser.close()


if __name__ == "__main__":
    main()
