"""From an ensemble's outputs to what an estimator predicts."""


def labels_of(outputs, classes, several_labels):
    """Labels by probabilities: the class of the largest one of a row, or for several labels 0 or 1 each."""
    return (outputs > 0.5).astype(int) if several_labels else classes[outputs.argmax(axis=1)]


def numbers_of(outputs, one_output):
    """Predicted numbers: of one output an array of one dimension."""
    return outputs[:, 0] if one_output else outputs
