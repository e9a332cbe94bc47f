"""Files that callbacks leave: always whole ones, and folders that no other fit has."""

import copy
import os
import tempfile
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import joblib

from nnfast.scikit_learn_callbacks import TRANSIENT


@contextmanager
def replacing(path):
    """The name of a file to write, beside its place: it becomes `path` at the end, or is deleted after an exception."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def save(estimator, path):
    """Save an estimator by joblib, without what it has for the time of a fit alone."""
    saved = copy.copy(estimator)
    for name in TRANSIENT:
        vars(saved).pop(name, None)
    with replacing(path) as temporary:
        joblib.dump(saved, temporary)


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
