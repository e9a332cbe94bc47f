"""When a size is a cliff."""

# A point may have this share of its neighbours' mean percent of peak, and take this much longer than a larger multiple of a vector.
NEIGHBOURS, MULTIPLE = 0.75, 1.10
VECTOR = {"float32": 16, "float64": 8}


def judge(rows):
    """The rows by axis, dtype, threads and value, each with

    - "percent", of the highest peak that was measured for its axis, dtype and threads, by the fastest round,
    - "of_neighbours", that over the mean of the values beside it,
    - "of_multiple", its time over the lesser of the next two multiples of a vector that were measured: it could be padded to these,
    - "flags", which of these two is out of bounds. "neighbours" alone is the grain of the vectors: a size just over a multiple takes another
      vector, as it would with padding. "multiple" is a cliff: padding by hand would be faster.
    """
    return [judged for line in lines(rows).values() for judged in _judge_line(line)]


def compared(rows):
    """The values that are flagged, and those that they are compared with."""
    values = set()
    for line in lines(judge(rows)).values():
        for number, row in enumerate(line):
            if row["flags"]:
                values |= {each["value"] for each in (*line[max(0, number - 1) : number + 2], *_larger_multiples(row, line))}
    return sorted(values)


def lines(rows):
    """{(axis, dtype, threads): rows by value}."""
    found = {}
    for row in sorted(rows, key=lambda row: row["value"]):
        found.setdefault((row["axis"], row["dtype"], row["threads"]), []).append(row)
    return found


def _judge_line(line):
    peak = max(peak for row in line for peak in row["peak"])
    percents = [100 * row["flops"] / min(row["us"]) / 1e3 / peak for row in line]
    for number, row in enumerate(line):
        beside = [percents[place] for place in (number - 1, number + 1) if 0 <= place < len(line)]
        of_neighbours = percents[number] * len(beside) / sum(beside) if beside else 1.0
        larger = _larger_multiples(row, line)
        of_multiple = min(row["us"]) / min(min(each["us"]) for each in larger) if larger else None
        flags = ["neighbours"] * (of_neighbours < NEIGHBOURS) + ["multiple"] * (of_multiple is not None and of_multiple > MULTIPLE)
        yield row | {"percent": percents[number], "of_neighbours": of_neighbours, "of_multiple": of_multiple, "flags": flags}


def _larger_multiples(row, line):
    return [each for each in line if each["value"] > row["value"] and each["value"] % VECTOR[row["dtype"]] == 0][:2]
