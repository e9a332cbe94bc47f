"""How much an ensemble trains: by a plan, by seconds, or as an earlier fit has recorded it."""

import threading
import time
from dataclasses import dataclass, field


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
    """

    seconds: float | None = None
    members: list = field(default_factory=list)
    used: float = 0.0

    def find(self, round, fold):
        """What is recorded of a member, or None."""
        return next((each for each in self.members if (each.round, each.fold) == (round, fold)), None)


class AsPlanned:
    """Every member trains as long as its recipe says."""

    more_rounds = False

    def begin_round(self, n_members, n_jobs):
        """Before the members of a round."""

    def epochs(self, round, fold, planned):
        """Epochs of a member that begins, at most `planned`; 0 for none."""
        return planned

    def stops(self, round, fold):
        """The epoch that a member ends at before the last of its schedule, or None."""

    def ended(self, n_epochs, seconds):
        """After a member that trained for some seconds."""


class AsRecorded(AsPlanned):
    """Every member trains as in an earlier fit."""

    def __init__(self, budget):
        self.budget = budget
        self.more_rounds = True

    def epochs(self, round, fold, planned):
        found = self.budget.find(round, fold)
        return 0 if found is None else found.max_epochs

    def stops(self, round, fold):
        return self.budget.find(round, fold).n_epochs


class BySeconds(AsPlanned):
    """Members train as long as the seconds left allow, by how long an epoch has taken so far."""

    # What is left for what follows the training, as a share of what is left.
    RESERVE = 0.05
    # A member that cannot have this share of its epochs is not begun, unless it is the first.
    LEAST = 0.15
    more_rounds = True

    def __init__(self, deadline):
        self._deadline, self._lock = deadline, threading.Lock()
        self._seconds = self._epochs = 0.0
        self._waiting, self._n_jobs, self._begun = 0, 1, 0

    def probed(self, seconds):
        """How long an epoch took in a try."""
        self._first = seconds

    def begin_round(self, n_members, n_jobs):
        self._waiting, self._n_jobs = n_members, n_jobs

    def epochs(self, round, fold, planned):
        with self._lock:
            waves = -(-self._waiting // self._n_jobs)
            self._waiting -= 1
            seconds = max(0.0, self._deadline - time.monotonic()) * (1 - self.RESERVE) / waves
            an_epoch = self._seconds / self._epochs if self._epochs else self._first
            affordable = int(seconds / max(an_epoch, 1e-9))
            if affordable < self.LEAST * planned and self._begun:
                return 0
            self._begun += 1
            return max(1, min(planned, affordable))

    def ended(self, n_epochs, seconds):
        with self._lock:
            self._seconds, self._epochs = self._seconds + seconds, self._epochs + n_epochs
