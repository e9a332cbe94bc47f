"""How many epochs brought no progress."""


class Patience:
    """Counts the epochs that brought no progress of at least `tol`, in scikit-learn's arithmetic.

    What it sees is the better the higher: a score, or minus a loss. A NaN neither stalls nor is best.

    Attributes
    ----------
    best : float
        The best value so far; -inf where there is none.
    stalled : int
        Epochs in a row without progress.
    moved : bool
        Whether two of the values that it has seen differ.
    """

    def __init__(self, best, stalled, tol):
        self.best, self.stalled, self.tol = best, stalled, tol
        self.moved, self._last = False, None

    def see(self, value):
        """True where the value is the best so far."""
        self.moved = self.moved or self._last not in (None, value)
        self._last = value
        self.stalled = self.stalled + 1 if value < self.best + self.tol else 0
        if value > self.best:
            self.best = value
            return True
        return False
