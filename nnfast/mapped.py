"""Memory-mapped tables: which arrays are mapped from a file, how large that is, and letting go of their
pages.

What has been read of a mapping counts as resident until its pages are let go of. That is done by advice to
the kernel on the mapping itself rather than by reading the file: a mapping stays that of its file when the
file is renamed or replaced, while its name may by then be that of another one.
"""

import mmap
import os
from pathlib import Path

import numpy as np

# Mapped tables up to this many bytes are read like any other: a buffer of `nnfast.blocks` is about as large.
SMALL_BYTES = 1 << 26

# Bytes that one page table covers on most machines. A page that is used brings neighbours in its table, if in
# the cache, along (Linux's fault_around_bytes), and a table with no pages left is let go of, too (from Linux
# 6.14 on).
_TABLE = 1 << 21

# A table is larger than memory if it would take more than this share of it: others use memory as well.
_SHARE = 0.5

# Where a control group says how much memory its processes may use: version 2, and 1 with its controller for
# memory.
_GROUPS = {"": ("/sys/fs/cgroup", "memory.max"), "memory": ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")}


def root_of(X):
    """The np.memmap that an array is, or is a view of; None for an array in memory of its own."""
    base = getattr(X, "base", None)
    while base is not None:
        if isinstance(base, mmap.mmap) and isinstance(X, np.memmap):
            return X
        X, base = base, getattr(base, "base", None)
    return None


def is_large(X):
    """Whether X is a table of numbers, mapped from a file, that is worth reading in blocks."""
    return (
        isinstance(X, np.ndarray)
        and X.nbytes > SMALL_BYTES
        and X.ndim == 2
        and X.dtype.kind in "biuf"
        and root_of(X) is not None
    )


def exceeds_memory(X):
    """Whether X is a mapped table that is larger than memory, by the bytes of its numbers."""
    return is_large(X) and X.nbytes > _SHARE * memory()


def memory():
    """Bytes of memory that this process may use: the machine's, or the limits of its control groups
    if less.
    """
    try:
        limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError):  # not on this system
        return float("inf")
    groups = Path("/proc/self/cgroup")
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, group = line.split(":", 2)
        for controller in _GROUPS.keys() & controllers.split(","):
            folder, name = _GROUPS[controller]
            # A group's limit holds for the groups in it. Within a container the group may go by a name from
            # outside.
            for path in (Path(group), *Path(group).parents):
                file = Path(folder, str(path).lstrip("/"), name)
                if file.exists() and (words := file.read_text().strip()).isdecimal():
                    limits.append(int(words))
    return min(limits)


def check_whole(X):
    """Raise ValueError if X is mapped from a file that was cut short since: to read what it lacks would end
    Python.
    """
    root = root_of(X)
    if root is not None:
        start = root.offset - root.offset % mmap.ALLOCATIONGRANULARITY
        needed, there = start + len(root.base), root.base.size()
        if there < needed:
            raise ValueError(
                f"X is mapped from {root.filename or 'a file'}, which was truncated since: it has {there} "
                f"bytes, and X needs {needed}."
            )


class Pages:
    """The pages that a table's rows are mapped to. For an array in memory of its own, nothing happens.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    """

    def __init__(self, X):
        self._X, root = X, root_of(X)
        self._mapping = None if root is None else root.base
        self._advises = root is not None and hasattr(mmap.mmap, "madvise")
        # Changes to a copy-on-write mapping are in its pages alone and would go with them.
        self._releases = self._advises and root.mode != "c"
        if self._advises:
            self._start = _span(np.frombuffer(self._mapping, np.uint8))[0]

    def will_need(self, first, last):
        """Have the pages of rows first .. last - 1 read while this process goes on."""
        # or rows are all over the file
        if self._advises and abs(self._X.strides[0]) >= abs(self._X.strides[1]):
            self._advise(mmap.MADV_WILLNEED, first, last, mmap.PAGESIZE)

    def release(self, first, last):
        """Let go of the pages of rows first .. last - 1. They are read again, from the file or its cache,
        when used.
        """
        if self._releases:
            self._advise(mmap.MADV_DONTNEED, first, last, _TABLE)

    def _advise(self, advice, first, last, unit):
        """Advise on these rows and what else is in the same units of addresses."""
        low, high = _span(self._X[first:last])
        low, high = (
            max(0, low - low % unit - self._start),
            min(len(self._mapping), high + -high % unit - self._start),
        )
        try:
            self._mapping.madvise(advice, low, high - low)
        except OSError:
            # The kernel may refuse, as for pages that mlock keeps in memory. All that advice would change is
            # which pages are resident, and the next rows would be refused, too.
            self._advises = self._releases = False


def _span(X):
    """Addresses of the first byte of an array and of that after its last, for any strides."""
    start = X.__array_interface__["data"][0]
    reach = [(n - 1) * stride for n, stride in zip(X.shape, X.strides, strict=True)]
    return start + sum(min(r, 0) for r in reach), start + sum(max(r, 0) for r in reach) + X.itemsize
