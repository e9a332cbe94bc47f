"""Tables that are mapped from files: which pages stay, and memory that stays bounded."""

import ctypes
import mmap
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse
from block_tables import (
    FEATURES,
    LAYOUTS,
    _small_blocks,  # noqa: F401
    assert_same_bits,
    mapped,
    small,
    table,
)
from small import QUIET

import nnfast.blocks
import nnfast.mapped
from nnfast import MLPRegressor
from nnfast.mapped import Pages, is_large, memory, root_of

pytestmark = QUIET


@pytest.mark.parametrize("mode", LAYOUTS)
def test_every_array_on_a_mapping_is_known(mode, tmp_path):
    X, _, _ = table()
    file = mapped(X, tmp_path, mode)
    strided = np.lib.stride_tricks.as_strided(file, (3, 2))
    for view in (
        file,
        file[5:],
        file.T,
        file[::-1],
        np.asarray(file),
        strided,
        file[2:].view(np.ndarray)[:, 1:],
    ):
        assert isinstance(root_of(view), np.memmap) and is_large(view)
    for copy in (
        X,
        file.copy(),
        file + 1,
        file[[1, 2]],
        np.frombuffer(X.tobytes()),
        [[1.0]],
        scipy.sparse.csr_array(X),
    ):
        assert root_of(copy) is None and not is_large(copy)


def test_small_mapped_tables_are_read_like_any_other(tmp_path, monkeypatch):
    X, y, _ = table()
    monkeypatch.setattr(nnfast.mapped, "SMALL_BYTES", X.nbytes)
    X_file = mapped(X, tmp_path)
    assert not is_large(X_file)
    assert_same_bits(
        small(MLPRegressor, shuffle=True).fit(X_file, y), small(MLPRegressor, shuffle=True).fit(X, y)
    )


def test_changes_to_a_mapping_outlive_its_pages(tmp_path):
    X, y, _ = table()
    for mode in ("r+", "c"):
        X_file = mapped(X, tmp_path, mode)
        X_file[7] = 3.0
        changed = X.copy()
        changed[7] = 3.0
        assert_same_bits(small(MLPRegressor).fit(X_file, y), small(MLPRegressor).fit(changed, y))
        np.testing.assert_array_equal(X_file, changed)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="no advice on this system")
def test_the_advice_covers_the_rows_and_stays_within_the_mapping(tmp_path, monkeypatch):
    X = np.arange(40_000.0).reshape(-1, FEATURES)
    for mode in LAYOUTS:
        file = mapped(X, tmp_path, mode)
        for view in (file, file[::-1], file[11:, 1:]):
            pages, advised = Pages(view), []
            size = len(root_of(view).base)
            start = np.frombuffer(root_of(view).base, np.uint8).__array_interface__["data"][0]
            methods = {
                "madvise": lambda self, *advice, to=advised: to.append(advice),
                "__len__": lambda self, size=size: size,
            }
            monkeypatch.setattr(pages, "_mapping", type("Mapping", (), methods)())
            for first, last in ((0, 1), (500, 900), (len(view) - 1, len(view)), (0, len(view))):
                advised.clear()
                pages.release(first, last)
                if mode == "c":
                    assert not advised
                    continue
                ((advice, low, length),) = advised
                assert (
                    advice == mmap.MADV_DONTNEED
                    and low % mmap.PAGESIZE == 0
                    and 0 <= low < low + length <= size
                )
                for row in (first, last - 1):
                    for column in (0, -1):
                        place = view[row:, column:].__array_interface__["data"][0] - start
                        assert low <= place < low + length
            del pages
    Pages(X).release(0, 5)  # nothing


@pytest.mark.skipif(sys.platform != "linux", reason="what mlock does to advice is Linux's")
def test_pages_that_are_locked_in_memory_stay(tmp_path):
    X, y, _ = table()
    X_file = mapped(X, tmp_path)
    address = np.frombuffer(root_of(X_file).base, np.uint8).__array_interface__["data"][0]
    if ctypes.CDLL(None).mlock(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE)):
        pytest.skip("this process may lock no pages")
    with pytest.raises(OSError):
        root_of(X_file).base.madvise(mmap.MADV_DONTNEED)
    fit = small(MLPRegressor).fit(X_file, y)
    assert_same_bits(fit, small(MLPRegressor).fit(X, y))
    np.testing.assert_array_equal(fit.predict(X_file), fit.predict(X))


def test_memory_is_what_control_groups_leave(tmp_path, monkeypatch):
    physical = memory()
    assert 2**20 < physical < 2**50
    for limit, expected in (("max", physical), (str(2**70), physical), (str(2**20), 2**20)):
        monkeypatch.setattr(
            nnfast.mapped, "_GROUPS", {"": (tmp_path, "memory.max"), "memory": (tmp_path, "memory.max")}
        )
        (tmp_path / "memory.max").write_text(limit + "\n")
        assert memory() == (expected if os.path.exists("/proc/self/cgroup") else physical)


PROGRAM = """
    import re, sys, warnings
    import numpy as np
    from nnfast import MLPClassifier

    def peak():
        return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

    warnings.simplefilter("ignore")
    more = eval(sys.argv[2])
    MLPClassifier((4,), max_iter=1).fit(np.zeros((1000, 1000), np.float32), np.arange(1000) % 2)
    X = np.load(sys.argv[1], mmap_mode="r")
    y = (np.arange(len(X)) % 2).astype(np.int8)
    before = peak()
    fitted = MLPClassifier((4,), max_iter=2, shuffle="blocks", random_state=0, n_threads=1, **more).fit(X, y)
    fitted.score(X, y)
    print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
@pytest.mark.parametrize("dtype, early_stopping", [("f4", False), ("f2", True)])
def test_resident_memory_is_that_of_a_buffer(dtype, early_stopping, tmp_path):
    """Of a table of 300 MB, or of 600 once it is converted to float64, what becomes resident is a buffer, 32
    MB or 64, and small change.
    """
    n = 300 * 2**20 // 4000
    X = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=dtype, shape=(n, 1000))
    X[::100] = 1
    del X
    program = [
        sys.executable,
        "-c",
        textwrap.dedent(PROGRAM),
        str(tmp_path / "X.npy"),
        str({"early_stopping": early_stopping}),
    ]
    grown = float(subprocess.run(program, check=True, capture_output=True, text=True, timeout=120).stdout)
    buffer = 2**17 * 64 * (8 if dtype == "f2" else 4) / 2**20
    assert 0.8 * buffer < grown < 1.2 * buffer + 20
