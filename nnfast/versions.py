"""Which version of nnfast wrote a pickle."""

import warnings

import nnfast
from nnfast.exceptions import InconsistentVersionWarning

_BEFORE = "pre-0.1.1"  # when pickles did not tell


def warn_of_version(name, version):
    """Warn if an object called `name` was pickled by another version of nnfast; None where the pickle does
    not tell.
    """
    if version != nnfast.__version__:
        warnings.warn(
            InconsistentVersionWarning(
                estimator_name=name,
                original_nnfast_version=version or _BEFORE,
                current_nnfast_version=nnfast.__version__,
            ),
            stacklevel=3,
        )


class VersionedPickle:
    """A base of estimators whose pickles carry nnfast's version, and warn where another one reads them."""

    def __getstate__(self):
        return {**super().__getstate__(), "_nnfast_version": nnfast.__version__}

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop("_nnfast_version", None)
        # A state of scikit-learn's own estimator has its version in place of ours.
        if state.pop("_sklearn_version", None) is None:
            warn_of_version(type(self).__name__, version)
        super().__setstate__(state)
