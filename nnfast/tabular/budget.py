"""How much an ensemble trains: by a plan, by seconds, or as an earlier fit has recorded it."""

import threading
import time
from dataclasses import dataclass, field

__all__ = ["Budget", "TrainedMember"]


@dataclass(frozen=True)
class TrainedMember:
    """What was trained of a member.

    Attributes
    ----------
    round, fold : int
    max_epochs : int
        Epochs that its schedule was made for.
    n_epochs : int
        Epochs that it trained.
    """

    round: int
    fold: int
    max_epochs: int
    n_epochs: int


@dataclass
class Budget:
    """What a fit has trained: given as `time_budget`, it has another fit train the same.

    Attributes
    ----------
    seconds : float or None
        The seconds that were given.
    members : list of TrainedMember
    used : float
        Seconds that the fit took.
    trees : list of int, or None
        Folds that trees were fitted to; None: no trees were asked for.
    """

    seconds: float | None = None
    members: list = field(default_factory=list)
    used: float = 0.0
    trees: list | None = None

    def find(self, round, fold):
        """What is recorded of a member, or None."""
        return next((each for each in self.members if (each.round, each.fold) == (round, fold)), None)


class AsPlanned:
    """Every member trains as long as its recipe says."""

    needs_probe = False

    def goes_on(self, number, n_planned):
        """Whether a round begins after `number` others, of which `n_planned` are planned."""
        return number < n_planned

    def over(self):
        """Whether members are to end with their epoch."""
        return False

    def begin_round(self, n_members, n_jobs):
        """Before the members of a round."""

    def epochs(self, round, fold, planned):
        """Epochs of a member that begins, at most `planned`; 0 for none."""
        return planned

    def stops(self, round, fold):
        """The epoch that a member ends at before the last of its schedule, or None."""

    def ended(self, n_epochs, seconds):
        """After a member that trained for some seconds."""

    def fits_trees(self, fold):
        """Whether trees are fitted to a fold: to the first one in any case."""
        return fold == 0 or not self.over()


class AsRecorded(AsPlanned):
    """Every member trains as in an earlier fit."""

    def __init__(self, budget):
        self._budget = budget

    def goes_on(self, number, n_planned):
        return any(each.round >= number for each in self._budget.members)

    def epochs(self, round, fold, planned):
        found = self._budget.find(round, fold)
        return 0 if found is None else found.max_epochs

    def stops(self, round, fold):
        return self._budget.find(round, fold).n_epochs

    def fits_trees(self, fold):
        return self._budget.trees is None or fold in self._budget.trees


class BySeconds(AsPlanned):
    """Members train as long as the seconds left allow, by how long an epoch has taken so far.

    Parameters
    ----------
    deadline : float
        On the clock of `time.monotonic`.
    """

    needs_probe = True
    # The share of the seconds left that is for what follows the training.
    RESERVE = 0.06
    # A member that could not have this share of the epochs of the first round's is not begun.
    LEAST = 0.5
    MOST_ROUNDS = 100

    def __init__(self, deadline):
        self._deadline, self._lock = deadline, threading.Lock()
        self._seconds = self._epochs = 0.0
        self._waiting, self._n_jobs, self._longest, self._exhausted = 0, 1, 0, False

    def goes_on(self, number, n_planned):
        return number < self.MOST_ROUNDS and not (self._exhausted or number and self.over())

    def over(self):
        return time.monotonic() >= self._deadline

    def probed(self, seconds):
        """Before the first member, how long an epoch took in a try."""
        self._seconds, self._epochs = seconds * 1e-3, 1e-3  # which counts little once a member has trained

    def begin_round(self, n_members, n_jobs):
        self._waiting, self._n_jobs = n_members, n_jobs

    def epochs(self, round, fold, planned):
        with self._lock:
            waves = -(-self._waiting // self._n_jobs)
            self._waiting -= 1
            left = max(0.0, self._deadline - time.monotonic()) * (1 - self.RESERVE)
            affordable = left / max(self._seconds / self._epochs, 1e-9)
            # In the first round every fold has its share; later members are as long as the longest of these.
            wanted = min(planned, affordable / waves if round == 0 else self._longest)
            if self._longest and affordable < self.LEAST * wanted:
                self._exhausted = True
                return 0
            epochs = max(1, int(min(wanted, affordable)))
            if round == 0:
                self._longest = max(self._longest, epochs)
            return epochs

    def ended(self, n_epochs, seconds):
        with self._lock:
            self._seconds, self._epochs = self._seconds + seconds, self._epochs + n_epochs


def __dir__():
    return __all__
