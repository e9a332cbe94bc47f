"""What users see of a fitted ensemble: its summary, importances, training and a predictor for serving."""

from numbers import Integral

from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from nnfast.tabular import importances as permutation
from nnfast.tabular import summary, training_curves
from nnfast.validation import check_sample_weight


class Inspection:
    """Methods of `BaseTabular` that show what a fit has made. Not for use by itself."""

    def summary(self):
        """Describe the columns, the rounds and the networks of the ensemble.

        Returns
        -------
        text : str
            A line a column: its name, what it was taken for, its distinct and missing values, how many inputs
            of the networks it became, by encoding, without those that use the targets, and a note. Then a
            line a round: its members, its weight in the prediction, their best epochs and validation losses
            there, the units of the networks from inputs to outputs, and the number of their parameters; and
            the recipe by which they were trained.

        Raises
        ------
        NotFittedError
            If there has been no fit.

        Examples
        --------
        >>> from nnfast.tabular import TabularRegressor
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> regr = TabularRegressor(quality="fast", random_state=0).fit(X, y)
        >>> print(regr.summary())  # doctest: +ELLIPSIS
        TabularRegressor: 10 of 10 columns used, ...
        """
        check_is_fitted(self)
        return summary.as_text(*summary.described(self))

    @property
    def _repr_html_(self):
        diagram = super()._repr_html_  # an AttributeError where scikit-learn's `display` is "text"
        return lambda: diagram() + self._html_summary()

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._html_summary()
        return bundle

    def _html_summary(self):
        return summary.as_html(*summary.described(self)) if hasattr(self, "columns_") else ""

    def importances(
        self, X, y, *, n_repeats=5, scoring=None, sample_weight=None, random_state=None, n_jobs=None
    ):
        """Measure how much worse the ensemble predicts when the values of a column change places.

        Of each column, the mean over the repeats of ::

            score of the out-of-fold predictions - score after a permutation of the column among the rows

        Each row is predicted by the members that it validated, which have not trained on it. All inputs that
        are made of a column are permuted together, those of pairs of columns and of parts of a date among
        them. Columns that tell the same share their importance: each seems less important than both are
        together.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table that `fit` was given, rows in the same order; or its `X_val`, if it was given one. For
            other tables `sklearn.inspection.permutation_importance` does the same with the whole ensemble.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.

        n_repeats : int, default=5
            Permutations of each column.

        scoring : str, callable or None, default=None
            The score. None is what goes with the loss that is minimised: minus the log-loss of classes, and
            of several labels minus the sum of theirs; R² of numbers, D² with loss='absolute_error',
            'quantile', 'poisson' and 'gamma'. Else a name of `sklearn.metrics.get_scorer_names()`, or a
            function of (estimator, X, y) that goes by the estimator's predictions of X, whatever X is: an
            array of row numbers.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the score.

        random_state : int, RandomState instance or None, default=None
            Draws the permutations.

        n_jobs : int or None, default=None
            Columns and repeats that are measured side by side; None: as many as there are cores. The results
            are the same bits for any number.

        Returns
        -------
        importances : nnfast.tabular.importances.Importances

        Raises
        ------
        NotFittedError
            If there has been no fit.
        ValueError
            If X does not have as many rows as the table that it must be, or `scoring` is none.

        Notes
        -----
        The encoded table is held in memory, as in `fit`.

        References
        ----------
        Breiman, Random Forests, Machine Learning 45, 2001.

        Fisher, Rudin and Dominici, All Models are Wrong, but Many are Useful, 2019, arXiv:1801.01489.

        Examples
        --------
        >>> import numpy as np
        >>> from nnfast.tabular import TabularRegressor
        >>> X = np.random.default_rng(0).normal(size=(300, 3))
        >>> y = X[:, 1] + X[:, 2] / 2
        >>> regr = TabularRegressor(quality="fast", random_state=0).fit(X, y)
        >>> regr.importances(X, y, random_state=0).sorted().columns
        (1, 2, 0)
        """
        check_is_fitted(self)
        if isinstance(n_repeats, bool) or not isinstance(n_repeats, Integral) or n_repeats < 1:
            raise ValueError(f"n_repeats must be a whole number of at least 1, got {n_repeats!r}.")
        table, rows = self._reader.read(X, type(self).__name__), self._validated
        if len(table) != rows.n_rows:
            raise ValueError(
                f"X must be the {rows.name} that fit was given, of {rows.n_rows:,} rows in the same order: "
                f"its rows are predicted by the members that they validated. Got {len(table):,} rows. For "
                "other tables use sklearn.inspection.permutation_importance."
            )
        y = self._checked(y, len(table), "y")
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        return permutation.permutation_importances(
            self,
            table,
            y,
            n_repeats=int(n_repeats),
            scoring=scoring,
            sample_weight=check_sample_weight(sample_weight, y),
            seed=seed,
            n_jobs=n_jobs,
        )

    def plot_training(self, ax=None):
        """Draw the loss and the validation loss of each member by epoch, a panel a round, and mark the best
        epochs.

        The loss is that of training, under dropout, so it may lie above the validation loss. A member's
        parameters are those of its best epoch. Rounds of trees are left out.

        Parameters
        ----------
        ax : matplotlib axes or array of them, default=None
            As many as there are rounds of networks. None: those of a new figure.

        Returns
        -------
        axes : ndarray of matplotlib axes, shape (n_rounds,)

        Raises
        ------
        NotFittedError
            If there has been no fit.
        ImportError
            Without matplotlib.
        ValueError
            If there are no networks, or another number of axes.
        """
        check_is_fitted(self)
        return training_curves.draw(self._ensemble, ax)
