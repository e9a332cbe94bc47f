"""The numbers of every epoch, as a fit records them and as its estimator has them."""

import numpy as np


class Records:
    """The numbers of every epoch, over all fits that went on from each other.

    As attributes: curves, which go on from call to call, and `_history`, a dict of lists of one entry an
    epoch, NaN where a fit has none, of which the estimator makes `history_`. Both start anew after 'lbfgs',
    whose iterations are no epochs. The lists grow in place: a call of `partial_fit` takes as long after a
    million others as after one.

    Parameters
    ----------
    history : dict
        The attributes that earlier calls published.
    names : list of str
        What is recorded, validation apart.
    validates : bool
        Whether there is a validation set in this fit.
    """

    _CURVES = {
        "loss": "loss_curve_",
        "learning_rate": "learning_rate_curve_",
        "validation_loss": "validation_loss_curve_",
        "validation_score": "validation_scores_",
    }

    def __init__(self, history, names, validates):
        names = [*names, *(("validation_loss", "validation_score") if validates else ())]
        if not history.get("loss_curve_"):  # nor has the estimator one after 'lbfgs'
            history = {}
        history = with_own_curves(history, only_if_longer=True)
        self._curves = {name: history.get(self._CURVES[name]) or [] for name in names if name in self._CURVES}
        self._n_before = {name: len(curve) for name, curve in self._curves.items()}
        self._n_epochs_before = n_epochs = self._n_before["loss"]
        earlier = history.get("_history", {})
        self._history = {name: earlier.get(name) or [np.nan] * n_epochs for name in (*names, *earlier)}
        self._given_back = None

    def append(self, row):
        """Note an epoch's numbers, a dict."""
        for name, values in self._history.items():
            values.append(float(row.get(name, np.nan)))
        for name, curve in self._curves.items():
            curve.append(row[name])

    def set_score(self, score):
        """Note the score of the last epoch, where it comes later than the rest."""
        self._history["validation_score"][-1] = self._curves["validation_score"][-1] = score

    def _cut(self, n_epochs):
        """Forget all but the first epochs of this fit."""
        for name, curve in self._curves.items():
            del curve[self._n_before[name] + n_epochs :]
        for values in self._history.values():
            del values[self._n_epochs_before + n_epochs :]

    def give_back(self):
        """Leave the lists as they were before this fit, whose numbers `history` has from then on apart from
        them.
        """
        self._given_back = {name: values[self._n_epochs_before :] for name, values in self._history.items()}
        self._cut(0)

    def history(self, n_epochs):
        """history_ with the first epochs of this fit: a dict of float64 arrays."""
        n_before = self._n_epochs_before
        if self._given_back is None:
            return as_arrays(self._history, n_before + n_epochs)
        parts = self._given_back.items()
        return as_arrays({name: self._history[name][:n_before] + values[:n_epochs] for name, values in parts})

    def attributes(self, n_epochs):
        """Curves, None where there is nothing to record, and `_history`, with the first epochs of this fit.

        `_recorded` has the list, or dict of lists, and its length, for each of them that goes on to grow.
        """
        self._cut(n_epochs)  # what a broken epoch left
        curves = {attribute: self._curves.get(name) for name, attribute in self._CURVES.items()}
        recorded = {name: (curve, len(curve)) for name, curve in curves.items() if curve is not None}
        recorded["_history"] = self._history, self._n_epochs_before + n_epochs
        return {**curves, "_history": self._history, "_recorded": recorded}


def as_arrays(history, n_epochs=None):
    """The first epochs of a dict of lists, as float64 arrays."""
    return {name: np.array(values[:n_epochs], dtype=np.float64) for name, values in history.items()}


def with_own_curves(state, *, only_if_longer=False):
    """An estimator's attributes with copies of its curves, which are as long as when they were published.

    With `only_if_longer` those that have not grown since stay the lists that they are.
    """
    own = {name: value for name, value in state.items() if name != "_recorded"}
    for name, (curve, length) in (state.get("_recorded") or {}).items():
        if own.get(name) is not curve:
            continue  # the user's own by now
        if isinstance(curve, dict):
            if not only_if_longer or any(len(values) != length for values in curve.values()):
                own[name] = {key: values[:length] for key, values in curve.items()}
        elif not only_if_longer or len(curve) != length:
            own[name] = curve[:length]
    return own
