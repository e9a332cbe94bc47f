"""The words that document `TabularClassifier` and `TabularRegressor`, those of both once."""

from nnfast.documentation import documented_by

_PROCEDURE = """\
1. Each column is taken for numbers, booleans, categories, dates or durations by its values: see `columns_`.
   Text is a category. If at least ten levels of a column occur in one row only, they count as one level, and
   so do levels that `fit` has not seen. Columns of one value, or of text that is different in each row, are
   left out.
2. Columns become inputs of the networks: numbers are scaled and cut into piecewise-linear bins, levels of ten
   rows or more have an input each, missing numbers have an indicator. Exact values, levels and pairs of
   columns that tell of the targets are encoded by the targets of the training rows. The encoders are in
   `nnfast.tabular`.
3. The rows are dealt out to ten folds, or with quality='fast' and more than 30,000 rows to fewer. For each, a
   network trains on the others, and keeps the parameters of the epoch with the least loss on the fold. Its
   encodings that use the targets know its training rows alone. Its inputs are scaled by what their columns
   tell of the targets.
4. A prediction is the mean of the networks'. Where there are several rounds of networks or trees, and for a
   constant prediction beside them, the weights are those that make the loss out of fold smallest.

The table may be as it is: it needs no scaling, and no imputing of missing values. Levels and missing values
that `fit` has not seen do not stop a prediction."""

_PARAMETERS = """\
quality : {'fast', 'default', 'best'}, default='default'
    How much is trained: 'fast' costs about a third of 'default', 'best' four to five times as much. 'best'
    adds rounds of networks that see the table otherwise; what they predict out of fold decides their weights.

time_budget : float, Budget or None, default=None
    Seconds that `fit` may take: members train for fewer epochs, or not at all, where the time is short, and
    further rounds are trained where it is not. Then the result depends on the machine. A `Budget`, the
    attribute `budget_` of an earlier fit, has this fit train as long as that one, epoch by epoch, whatever
    time that takes. None: as long as `quality` says.

blend : {'trees'} or None, default=None
    'trees' fits scikit-learn's HistGradientBoosting to each fold, too, and adds them with the weight that
    makes the loss out of fold smallest. It is for one output, and for the losses that scikit-learn's trees
    have.

categorical_features : 'auto', array-like of str, int or bool, or None, default='auto'
    Columns that are taken for categories although they hold numbers: their names, their numbers, or a mask.
    With 'auto' and None, columns of text and of categorical dtype are. Whole numbers of few different values
    stay numbers: each of their values is an edge of the bins, so that the networks can tell them apart.

time_column : str, int or None, default=None
    A column of dates or numbers by which the rows are in order: members are validated on rows that come later
    than those that they train on. The first half of the rows validates none. None: folds are drawn at random.

oof_predictions : bool, default=False
    Whether to keep the predictions of the training rows out of fold, as `oof_predictions_`.

n_jobs : int or None, default=None
    Members that train side by side, each on one thread. None: as many as there are cores; -1 as well. The
    result does not depend on it, except with seconds of `time_budget`.

random_state : int, RandomState instance or None, default=None
    Draws the folds, the initial parameters, the batches and dropout: the same value gives the same run.

verbose : bool, int or 'progress', default=False
    Whether to print a line a member; 'progress' shows a bar instead, which needs tqdm: pip install
    'nnfast[progress]'."""

_CLASSIFIER_PARAMETERS = """\
class_weight : dict, list of dict or 'balanced', default=None
    Weight of each class, which multiplies `sample_weight` in training and validation; a class that a dict
    does not name has 1. 'balanced' is n_samples / (n_classes * rows of the class). For several labels a list
    has a dict for 0 and 1 a label."""

_REGRESSOR_PARAMETERS = """\
loss : str, default='squared_error'
    What is minimised: a loss of `MLPRegressor`: 'squared_error', 'absolute_error', 'huber', 'log_cosh',
    'poisson', 'gamma' or 'quantile'. y needs no scaling: the networks see it scaled. 'poisson' needs y >= 0
    and 'gamma' y > 0.

quantile : float or list of float, default=0.5
    Level of loss='quantile', in (0, 1): 0.5 predicts the median. For one target also a list of levels that
    increase, one column of the predictions each.

huber_delta : float, default=1.0
    Error, in units of y, from which loss='huber' is linear."""

_ATTRIBUTES = """\
columns_ : list of nnfast.tabular.columns.Column
    What each column was taken for: its name, `taken_for`, `dtype`, `n_distinct`, `n_missing`, `note`, and
    `became`, the number of inputs by encoding.

budget_ : nnfast.tabular.budget.Budget
    What was trained, for the parameter `time_budget` of another fit; `used` are the seconds that the fit
    took.

n_features_in_ : int
    Columns of X.

feature_names_in_ : ndarray of str, shape (n_features_in_,)
    Their names, where X has names that are all strings."""

_ERRORS = """\
`fit` and `predict` raise ValueError if X has no rows or columns, lacks columns that it had in `fit`, or has
values of another kind in one, and TypeError if X is sparse. `fit` raises ValueError if y lacks values or is
not what the estimator predicts. UnexpectedValuesWarning tells, once a column, of levels or missing values
that `fit` has not seen; in a column with rare levels that count as one, where they are more than expected."""

_REFERENCES = """\
Gorishniy, Rubachev and Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, 2022,
arXiv:2203.05556.

Holzmüller, Grinsztajn and Steinwart, Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular
Data, 2024, arXiv:2407.04491.

Micci-Barreca, A Preprocessing Scheme for High-Cardinality Categorical Attributes in Classification and
Prediction Problems, ACM SIGKDD Explorations 3, 2001.

Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble Selection from Libraries of Models, 2004."""

_COMPILED = """\
Its method `encode` makes encoded rows of a table, once; `predict` and its kin answer them in microseconds,
where the estimator takes milliseconds a call to look at the columns of the table. The answers are the
estimator's, to the bit. An encoded row has for each round of the ensemble the inputs that its members share,
and then those of each member's own, which are encoded by the targets of its training rows."""

_COMPILED_ERRORS = """\
NotFittedError
    If there has been no fit.

ValueError
    If the ensemble has trees, of blend='trees'."""

documented = documented_by(
    {
        "procedure": _PROCEDURE,
        "parameters": _PARAMETERS,
        "classifier_parameters": _CLASSIFIER_PARAMETERS,
        "regressor_parameters": _REGRESSOR_PARAMETERS,
        "attributes": _ATTRIBUTES,
        "errors": _ERRORS,
        "references": _REFERENCES,
        "compiled": _COMPILED,
        "compiled_errors": _COMPILED_ERRORS,
    }
)
