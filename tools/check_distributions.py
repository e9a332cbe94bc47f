"""Checks what `python -m build` made: python tools/check_distributions.py DIST

The wheel holds the package and nothing that it was built from; the sdist holds all that building and testing
take.
"""

import sys
import tarfile
import zipfile
from pathlib import Path

LARGEST_WHEEL = 3_000_000  # bytes
SOURCES = (".c", ".h", ".pyx", ".pxd", ".pxi")
IN_SDIST = (
    *("pyproject.toml", "setup.py", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
    *(
        "nnfast/py.typed",
        "nnfast/estimators.py",
        "kernels/engine.pyx",
        "kernels/README.md",
        "kernels/src/dense.h",
        "kernels/jit/elementwise.py",
    ),
    *(
        "tests/reference.py",
        "tests/test_package.py",
        "bench/conftest.py",
        "docs/index.md",
        "tools/check_distributions.py",
    ),
)


def main(folder):
    (wheel,), (sdist,) = Path(folder).glob("*.whl"), Path(folder).glob("*.tar.gz")
    problems = [*_problems_of_wheel(wheel), *_problems_of_sdist(sdist)]
    for problem in problems:
        print(problem)
    if problems:
        return 1
    print(
        f"{wheel.name}: {wheel.stat().st_size:,} bytes; {sdist.name}: {sdist.stat().st_size:,} bytes; both as"
        " they should be"
    )
    return 0


def _problems_of_wheel(path):
    size = path.stat().st_size
    if size >= LARGEST_WHEEL:
        yield f"{path.name}: {size:,} bytes, must be less than {LARGEST_WHEEL:,}"
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    info = next(name for name in names if name.endswith(".dist-info/METADATA")).removesuffix("METADATA")
    for name in names:
        if not name.startswith(("nnfast/", info)):
            yield f"{path.name}: {name} is neither in nnfast/ nor in {info}"
        if name.endswith(SOURCES):
            yield f"{path.name}: {name} is source, which an installed package does not need"
    for name in (
        "nnfast/py.typed",
        "nnfast/kernels/__init__.py",
        "nnfast/kernels/jit/elementwise.py",
        f"{info}licenses/LICENSE",
    ):
        if name not in names:
            yield f"{path.name}: {name} is missing"
    if not any(name.startswith("nnfast/kernels/engine.") for name in names):
        yield f"{path.name}: the compiled engine is missing"


def _problems_of_sdist(path):
    root = path.name.removesuffix(".tar.gz")
    with tarfile.open(path) as file:
        names = {name.removeprefix(f"{root}/") for name in file.getnames()}
    here = Path(__file__).parents[1]
    tables = [
        str(table.relative_to(here)) for table in here.glob("kernels/**/*.[ch]") if table.name != "engine.c"
    ]
    included = [str(each.relative_to(here)) for each in here.glob("kernels/*.pxi")]
    for name in (*IN_SDIST, *tables, *included):
        if name not in names:
            yield f"{path.name}: {name} is missing"
    for name in names:
        if name.endswith((".so", ".o", ".a", ".pyc")) or name == "kernels/engine.c":
            yield f"{path.name}: {name} is a product of a build"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
