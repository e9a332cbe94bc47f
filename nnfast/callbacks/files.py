"""Files that callbacks leave: always whole ones, and folders that no other fit has."""

import copy
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import joblib

from nnfast.scikit_learn_callbacks import TRANSIENT


def check_path(path, name, *, file=True):
    """Raise unless the parameter, of this name, is the path of a file, or of a folder where `file` is false."""
    is_path = isinstance(path, str | os.PathLike) and isinstance(os.fspath(path), str)
    if not (is_path and (Path(path).name if file else os.fspath(path))):
        raise ValueError(f"{name} must be the path of a {'file' if file else 'folder'}, got {path!r}.")


@contextmanager
def replacing(path):
    """The name of a file to write, beside its place: it becomes `path` at the end, or is deleted after an exception.

    Who may read it is as the umask says, or as of the file that it replaces.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    there = path.exists()
    try:
        temporary.touch(0o600 if there else 0o666, exist_ok=False)
        yield temporary
        if there:
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):  # an interrupt may come once it is in its place
            temporary.unlink()
        raise


def save(estimator, path):
    """Save an estimator by joblib, without what it has for the time of a fit alone."""
    saved = copy.copy(estimator)
    for name in TRANSIENT:
        vars(saved).pop(name, None)
    with replacing(path) as temporary:
        joblib.dump(saved, temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # or a machine that goes down may leave an empty file in place of the one before


def new_folder(parent, name):
    """Make and return the folder `name`-1 of `parent`, or the first of the next numbers that is not there yet.

    Fits that ask at the same time, in other threads and processes too, get folders of their own.
    """
    Path(parent).mkdir(parents=True, exist_ok=True)
    for number in count(1):
        folder = Path(parent, f"{name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
