"""The script that `nnfast tune` prints: it reads and splits the table, and trains the network that
was found.
"""

from nnfast.tables import TEST_SIZE

_SCORES = {"classification": "accuracy", "regression": "R2"}

_HEADER = '''\
"""Train the network that nnfast tune found, and save it. Needs nnfast[table]."""

import joblib
{imports}
from nnfast import {estimator}
from nnfast.tables import make_encoder, read_table

TABLE = {path!r}
TARGET = {target!r}

{read}
{rows}
X, y = frame.drop(columns=TARGET), frame[TARGET]{astype}.to_numpy()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size={test_size}, random_state=0{stratify})

network = {network}
{model}
model.fit(X_train, y_train)
print(f"{score} on {{len(y_test):,}} rows held out: {{model.score(X_test, y_test):.4f}}")

# For other rows: model.predict(read_table("other.csv", columns=model.columns_).frame)
model.columns_ = table.columns
joblib.dump(model, {file!r})
'''


def write_script(table, estimator, parameters, file):
    """The text of a script that trains a network for a table, prints its score, and saves the pipeline.

    It calls public functions alone, and repeats what the command has done, to the same score.

    Parameters
    ----------
    table : RawTable
        From a file.

    estimator : str
        "MLPClassifier" or "MLPRegressor".

    parameters : dict
        The network's.

    file : str
        Where the script saves the pipeline.
    """
    steps = table.steps
    regresses = table.task == "regression"
    modules = {
        "sklearn.compose": "TransformedTargetRegressor" if regresses else None,
        "sklearn.model_selection": "train_test_split",
        "sklearn.pipeline": "make_pipeline",
        "sklearn.preprocessing": "StandardScaler" if regresses else None,
    }
    rows = ["frame = table.frame.dropna(subset=[TARGET])"]
    if steps.sampled is not None:
        rows += [f"frame = frame.sample({steps.sampled}, random_state=0)"]
    model = ["model = make_pipeline(make_encoder(X), network)"]
    if regresses:
        scaled = "model = TransformedTargetRegressor(model, transformer=StandardScaler())"
        model += [f"{scaled}  # a target of mean 0, variance 1"]
    return _HEADER.format(
        imports="".join(f"from {module} import {name}\n" for module, name in modules.items() if name),
        estimator=estimator,
        path=steps.path,
        target=steps.target,
        read=call("table = read_table", ["TABLE"], steps.options),
        rows="\n".join(rows),
        astype=f".astype({steps.dtype!r})" if steps.dtype else "",
        test_size=TEST_SIZE,
        stratify=", stratify=y" if steps.stratified else "",
        network=call(estimator, [], parameters),
        model="\n".join(model),
        score=_SCORES[table.task],
        file=file,
    )


def call(function, positional, named):
    """A call as Python code, an argument a line."""
    arguments = [*positional, *(f"{name}={value!r}" for name, value in named.items())]
    return f"{function}(\n" + "".join(f"    {each},\n" for each in arguments) + ")"
