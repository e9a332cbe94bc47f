"""What a library costs before and beside training: seconds to import it, megabytes installed, megabytes of
memory while shape l trains.
"""

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path

from bench import machine
from bench.shapes import SHAPES
from bench.sides import PACKAGES, Side
from bench.work import Problem

IMPORTS = {
    "nnfast": "from nnfast import MLPClassifier",
    "scikit-learn": "from sklearn.neural_network import MLPClassifier",
    "PyTorch": "import torch",
    "JAX": "import jax.numpy",
    "skorch": "from skorch import NeuralNetClassifier",
    "LightGBM": "from lightgbm import LGBMClassifier",
    "XGBoost": "from xgboost import XGBClassifier",
}
# Sources beside the compiled code of a checkout, which wheels do not have.
NOT_INSTALLED = {".c", ".h", ".pyx", ".pxi", ".md", ".pyc"}
TRAIN = ("nnfast", "scikit-learn", "PyTorch", "JAX")


def run(session):
    """A row for each library that is installed."""
    libraries = [
        library
        for library in IMPORTS
        if machine.version_of(PACKAGES[library]) and (not session.libraries or library in session.libraries)
    ]
    for library in IMPORTS.keys() - libraries:
        session.note(f"{library}: not measured")
    seconds = {library: [] for library in ("Python alone", *libraries)}
    for _ in range(1 + session.rounds):
        for library in [*seconds]:
            start = time.perf_counter()
            if subprocess.run([sys.executable, "-c", IMPORTS.get(library, "")]).returncode:
                session.note(f"{library}: its import failed")
                del seconds[library]
            else:
                seconds[library].append(time.perf_counter() - start)
    rows = [
        {
            "library": "Python alone",
            "import_seconds": seconds["Python alone"][1:],
            "megabytes": None,
            "with_dependencies": None,
            "training_megabytes": None,
        }
    ]
    for library in [*seconds][1:]:
        rows.append(
            {
                "library": library,
                "import_seconds": seconds[library][1:],  # the first brought the files into memory
                "megabytes": installed_bytes(PACKAGES[library]) / 1e6,
                "with_dependencies": sum(map(installed_bytes, closure(PACKAGES[library]))) / 1e6,
                "training_megabytes": _training_megabytes(session, library) if library in TRAIN else None,
            }
        )
        print(rows[-1], flush=True)
    return rows


def installed_bytes(package):
    """Bytes of the package's files, without byte code."""
    if package == "nnfast":  # which may be a checkout, of which only a part would be installed
        folders = {
            Path(folder)
            for name in ("nnfast", "nnfast.kernels")
            for folder in importlib.util.find_spec(name).submodule_search_locations
        }
        files = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    else:
        files = {Path(file.locate()) for file in importlib.metadata.files(package) or ()}
    return sum(path.stat().st_size for path in files if path.suffix not in NOT_INSTALLED and path.is_file())


def closure(package):
    """Names of the package and of all that it requires, as far as it is installed."""
    found, waiting = set(), [package]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found or machine.version_of(name) is None:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            if "extra ==" not in line:
                waiting.append(re.match(r"[\w.-]+", line)[0])
    return found


def _training_megabytes(session, library):
    """The most memory a fresh process takes for two epochs of shape l, beyond what it took with the table."""
    session.open([Side(library, library, "float32", session.n_threads)])
    try:
        return session.attempt(
            library, __name__, "measure_memory", library=library, n_threads=session.n_threads
        )
    finally:
        session.close()


# ------------------------------------------------------------------------------------------------------------
# In the side's process


def measure_memory(library, n_threads):
    """Megabytes by which two epochs raise the process's peak of resident memory; None where Linux does not
    tell.
    """
    from bench.peers import trainer

    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not clear.exists():
        return None
    kind, problem = trainer(library), Problem(SHAPES["l"], "float32")
    clear.write_text("5")  # the peak becomes what is resident now
    before = _status(status, "VmRSS")
    kind(problem, n_threads).ready(2)()
    return (_status(status, "VmHWM") - before) / 1e3


def _status(status, name):
    return int(re.search(rf"^{name}:\s+(\d+) kB", status.read_text(), re.MULTILINE)[1])
