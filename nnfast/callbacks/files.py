"""Files that callbacks leave: always whole ones, and folders that no other fit has."""

import copy
import os
import re
import secrets
import shutil
import stat
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import joblib

from nnfast.callbacks.signals import suppress
from nnfast.scikit_learn_callbacks import TRANSIENT

try:
    import fcntl
except ImportError:  # not POSIX: leftovers stay there
    fcntl = None


def check_path(path, name, *, file=True):
    """Raise unless the parameter, of this name, is the path of a file, or of a folder where `file`
    is false.
    """
    is_path = isinstance(path, str | os.PathLike) and isinstance(os.fspath(path), str)
    if not (is_path and (Path(path).name if file else os.fspath(path))):
        raise ValueError(f"{name} must be the path of a {'file' if file else 'folder'}, got {path!r}.")


def read_file(path):
    """The bytes of a regular file; OSError for all else: a pipe would have the fit wait until somebody writes
    to it.
    """
    # To wait for nothing, not even at a pipe or a terminal. Not all systems have these flags.
    descriptor = os.open(
        path, os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
    )
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path):
    """The name of a file to write, beside its place: it becomes `path` at the end, or is deleted after an
    exception.

    Who may read it is as the umask says, or as of the file that it replaces. What a process that was killed
    has left of an earlier attempt is deleted first. If `path` is a symbolic link, its target is replaced.
    """
    path = Path(os.path.realpath(path))
    there = path.exists()
    if there:
        _check_regular(path, path.stat().st_mode)
    _delete_leftovers(path)
    temporary = lock = None
    try:
        while lock is None:
            # A new name each time: whoever has opened a leftover deletes it by its name, and that must not be
            # another file's by then.
            temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
            temporary.touch(0o600 if there else 0o666, exist_ok=False)
            lock = _lock(temporary)
        yield temporary
        if there:
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        if temporary is not None:
            with suppress(FileNotFoundError):  # an interrupt may come once it is in its place
                temporary.unlink()
        raise
    finally:
        if lock is not None:
            lock.close()


def _check_regular(path, mode):
    if not stat.S_ISREG(mode):
        raise OSError(f"{str(path)!r} is no regular file")


# A temporary file is locked by `flock` as long as it is written. The system unlocks it however the process
# ends, so one that is not locked is a leftover. Numbers of processes would not tell: they are given again,
# and mean nothing to other machines that share the folder.


def _lock(temporary):
    """The file, open, and locked until it is closed. None if another process has deleted it just before, as a
    leftover.
    """
    with suppress(FileNotFoundError), ExitStack() as stack:
        file = stack.enter_context(open(temporary, "rb+"))
        if fcntl is None:
            return file  # closed: other systems rename no open file
        with suppress(OSError):  # a file system without locks, where nothing is deleted
            fcntl.flock(file, fcntl.LOCK_EX)
        if temporary.exists():
            stack.pop_all()
            return file
    return None


def _delete_leftovers(path):
    """Delete the temporary files for `path` that no process is writing."""
    if fcntl is None:
        return
    named = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.tmp")
    with suppress(OSError):  # of a folder that cannot be listed: what is to be saved matters more
        for each in os.listdir(path.parent):
            if named.fullmatch(each):
                _delete_unless_locked(path.with_name(each))


def _delete_unless_locked(path):
    # It may have gone meanwhile, be another user's, or be locked.
    with suppress(OSError), open(path, "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def save(estimator, path):
    """Save an estimator by joblib, without what it has for the time of a fit alone."""
    saved = copy.copy(estimator)
    for name in TRANSIENT:
        vars(saved).pop(name, None)
    with replacing(path) as temporary:
        joblib.dump(saved, temporary)
        with open(temporary, "rb+") as file:
            # or a machine that goes down may leave an empty file in place of the one before
            os.fsync(file.fileno())


def new_folder(parent, name):
    """Make and return the folder `name`-1 of `parent`, or the first of the next numbers that is not there
    yet.

    Fits that ask at the same time, in other threads and processes too, get folders of their own.
    """
    Path(parent).mkdir(parents=True, exist_ok=True)
    for number in count(1):
        folder = Path(parent, f"{name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
