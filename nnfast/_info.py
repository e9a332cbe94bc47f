"""What is installed and what it runs on, as `nnfast.show_versions` and `nnfast info` print it."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import nnfast
from nnfast import engines, threads

_DEPENDENCIES = ("numpy", "scipy", "scikit-learn", "narwhals")


def show_versions():
    """Print versions, instruction sets, threads and engines: what a report of a problem should contain.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.show_versions()  # doctest: +ELLIPSIS
    python             ...
    """
    for name, value in facts():
        print(f"{name:<18} {value}")


def versions():
    """The versions that results depend on, by name."""
    libraries = {name: _attempt(lambda name=name: version(name)) for name in (*_DEPENDENCIES, "pandas")}
    return {"python": platform.python_version(), "nnfast": nnfast.__version__, **libraries}


def facts():
    """Name and value of each line, without raising: what is broken says so in its line."""
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "platform", platform.platform()
    yield "nnfast", nnfast.__version__
    for name in _DEPENDENCIES:
        yield name, _attempt(lambda name=name: version(name))
    yield "numba", _attempt(lambda: version("numba"))
    yield "instruction set", _attempt(lambda: _engine().instruction_set())
    yield "available", _attempt(lambda: ", ".join(_engine().instruction_sets()))
    yield "bfloat16 units", _attempt(lambda: ", ".join(_engine().bfloat16_units()) or "none")
    yield "threads available", _attempt(threads.n_threads_available)
    yield "engine", _attempt(lambda: _engine().__name__.rpartition(".")[2])
    for name in engines.ENGINES:
        yield f"engine {name}", _attempt(lambda name=name: engines.get_engine(name) and "runs")


def _engine():
    return engines.get_engine()


def _attempt(find):
    try:
        return find()
    except (ImportError, PackageNotFoundError, ValueError) as error:
        return f"unknown: {error}"
