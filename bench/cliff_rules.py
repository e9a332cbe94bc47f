"""When a size is a cliff: judged from rounds in which all sizes had their turn within moments, so that a
machine that changes speed changes all.
"""

from statistics import median

from bench.ratios import percent_of_peak

# A point may have this share of its neighbours' mean percent of peak, and take this much longer than a larger
# multiple of a vector.
NEIGHBOURS, MULTIPLE = 0.75, 1.10
VECTOR = {"float32": 16, "float64": 8}


def judge(rows):
    """The rows by axis, dtype, threads and value, each with

    - "percent" of the peak beside it, the median of the rounds,
    - "of_neighbours", its useful arithmetic a second over the mean of the two values' beside it, the median
      of the rounds that all three have,
    - "of_multiple", its time over that of the quicker of the next two multiples of a vector that were
      measured: it could be padded to these,
    - "flags", which of these two is out of bounds. "neighbours" alone is the grain of the vectors: a size
      just over a multiple takes another vector, as it would with padding. "multiple" is a cliff: padding by
      hand would be faster.
    """
    return [judged for line in lines(rows).values() for judged in _judge_line(line)]


def compared(rows):
    """The values that are flagged, and those that they are compared with."""
    values = set()
    for line in lines(judge(rows)).values():
        for number, row in enumerate(line):
            if row["flags"]:
                values |= {
                    each["value"]
                    for each in (*line[max(0, number - 1) : number + 2], *_larger_multiples(row, line))
                }
    return sorted(values)


def lines(rows):
    """{(axis, dtype, threads): rows by value}."""
    found = {}
    for row in sorted(rows, key=lambda row: row["value"]):
        found.setdefault((row["axis"], row["dtype"], row["threads"]), []).append(row)
    return found


def _judge_line(line):
    for number, row in enumerate(line):
        of_neighbours = None
        if 0 < number < len(line) - 1:
            speeds = [
                {turn: each["flops"] / us for turn, us in _rounds(each).items()}
                for each in line[number - 1 : number + 2]
            ]
            of_neighbours = median(
                2 * speeds[1][turn] / (speeds[0][turn] + speeds[2][turn])
                for turn in set.intersection(*map(set, speeds))
            )
        of_multiple = max((_times(row, each) for each in _larger_multiples(row, line)), default=None)
        flags = ["neighbours"] * (of_neighbours is not None and of_neighbours < NEIGHBOURS)
        flags += ["multiple"] * (of_multiple is not None and of_multiple > MULTIPLE)
        yield row | {
            "percent": percent_of_peak(row),
            "of_neighbours": of_neighbours,
            "of_multiple": of_multiple,
            "flags": flags,
        }


def _rounds(row):
    """Microseconds by round."""
    return dict(zip(row["round"], row["us"], strict=True))


def _times(row, other):
    """How many times the other's time the row's is, the median of the rounds that both have."""
    ours, theirs = _rounds(row), _rounds(other)
    return median(ours[turn] / theirs[turn] for turn in ours.keys() & theirs.keys())


def _larger_multiples(row, line):
    return [
        each for each in line if each["value"] > row["value"] and each["value"] % VECTOR[row["dtype"]] == 0
    ][:2]
