"""How many times faster nnfast is, point by point, and what was asked."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Target:
    """Asked of the ratio peer's time / nnfast's: at least `least` at every point that `applies(shape)`, and
    `typical` in the median.
    """

    words: str
    peer: str  # a group of sides
    ours: str
    least: float
    typical: float | None = None
    applies: object = lambda shape: True


def _widest(shape):
    return max(shape["hidden"])


TARGETS = (
    Target("JAX, up to 100 units", "JAX", "nnfast float32", 3, applies=lambda shape: _widest(shape) <= 100),
    Target(
        "JAX, up to 128x128", "JAX", "nnfast float32", 2, applies=lambda shape: 100 < _widest(shape) <= 128
    ),
    Target("JAX, beyond", "JAX", "nnfast float32", 1.3, applies=lambda shape: _widest(shape) > 128),
    Target(
        "PyTorch, up to 256 units",
        "PyTorch",
        "nnfast float32",
        5,
        applies=lambda shape: _widest(shape) <= 256,
    ),
    Target("PyTorch, beyond", "PyTorch", "nnfast float32", 3.5, applies=lambda shape: _widest(shape) > 256),
    Target(
        "scikit-learn as users run it, precision='float32'", "scikit-learn float64", "nnfast float32", 5, 10
    ),
    Target("scikit-learn, default against default", "scikit-learn float64", "nnfast float64", 3, 6),
)

SEARCH = 8  # asked of GridSearchCV of 60 fits


def points(rows):
    """{point: {group: the row of its fastest setting}}, in the order of the rows: of each group the setting
    with the least median counts.
    """
    found = {}
    for row in rows:
        best = found.setdefault(row["point"], {})
        if row["group"] not in best or median(row["us"]) < median(best[row["group"]]["us"]):
            best[row["group"]] = row
    return found


def ratio(rows, peer, ours):
    """The peer's time over nnfast's at one point, the median of the rounds; None if one of them was not
    measured.
    """
    if peer not in rows or ours not in rows:
        return None
    return median(theirs / mine for theirs, mine in zip(rows[peer]["us"], rows[ours]["us"], strict=True))


def percent_of_peak(row):
    """The median over the rounds of what the products' arithmetic reached of the peak beside it."""
    return median(100 * row["flops"] / us / 1e3 / peak for us, peak in zip(row["us"], row["peak"]))


def verdicts(rows):
    """A dict for each target that the rows tell about: what was asked, measured (least and median, over how
    many points), and whether it was met.
    """
    found = []
    for target in TARGETS:
        measured = {
            point: value
            for point, groups in points(rows).items()
            if target.applies(next(iter(groups.values()))["shape"])
            and (value := ratio(groups, target.peer, target.ours)) is not None
        }
        if not measured:
            continue
        worst = min(measured, key=measured.get)
        typical = median(measured.values())
        met = measured[worst] >= target.least and (target.typical is None or typical >= target.typical)
        found.append(
            {
                "target": target,
                "worst": worst,
                "least": measured[worst],
                "median": typical,
                "n": len(measured),
                "met": met,
            }
        )
    return found
