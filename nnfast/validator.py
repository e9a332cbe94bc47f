"""Loss and score of the validation set after every epoch."""

import numpy as np

from nnfast import scores


class Validator:
    """Measures loss and score of the validation set after every epoch. A context manager.

    Parameters
    ----------
    task : Task
    validation : Validation
    p : estimator
    engine : module

    Attributes
    ----------
    scorer : function without arguments, or None
        The score, where it is scikit-learn's to compute, from the published estimator; `measure` gives NaN
        for it then.
    n_rows : int
        Rows of the validation set.
    finite : bool
        Whether all outputs of the last `measure` were finite.
    """

    def __init__(self, task, validation, p, engine):
        y, sample_weight, labels = validation.targets(task)
        self._task, self._validation, self._engine, self._n_threads = task, validation, engine, p.n_threads
        self._session = self._score = self._scratch = self.scorer = None
        self.n_rows, self.finite = len(y), True
        self._rows = np.arange(self.n_rows, dtype=np.intp) if validation.rows is None else validation.rows
        self._negates_loss = isinstance(p.scoring, str) and p.scoring == "loss"
        if p.scoring is None:
            self._score = task.score(engine, y, sample_weight)
        elif not self._negates_loss:
            network, dtype = task.network, task.parameters.dtype
            self._score = scores.compiled(
                p.scoring, engine, p, labels, y, network.n_outputs, dtype, sample_weight
            )
        if self._score is None and not self._negates_loss:
            X = validation.taken(task)
            self.scorer = scores.scikit_learns(p.scoring, task.estimator, X, labels, sample_weight)

    def __enter__(self):
        task, given = self._task, self._validation
        if given.rows is None:
            self._session = given.table.session(
                self._engine,
                task.network,
                given.y,
                given.sample_weight,
                dtype=task.dtype,
                batch_size=min(len(self._rows), 512),  # what it reads at once, not what it computes
                n_threads=self._n_threads,
                counts=task.counts,
            )
            # In the arithmetic's dtype, so that nothing is rounded on the way to the other session.
            self._scratch = task.network.blank(task.dtype)
        return self

    def __exit__(self, *error):
        if self._session is not None:
            self._session.close()

    def measure(self, session):
        """(loss, score) of the validation set, by the parameters of the session of the table that is fitted.

        The score is NaN where an output is not finite, and where `scorer` has to be asked for it. None but
        finite outputs can be asked about, which `finite` tells.
        """
        if self._session is not None:
            session.store(self._scratch)
            session = self._session
            session.load(self._scratch)
        loss, outputs = session.evaluate(self._rows)
        self.finite = bool(np.isfinite(outputs).all())
        if not self.finite:
            return loss, np.nan
        if self._negates_loss:
            return loss, -loss
        return loss, np.nan if self._score is None else self._score(outputs)
