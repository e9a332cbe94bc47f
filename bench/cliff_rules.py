"""When a size is a cliff."""

# A point may have this share of its neighbours' mean percent of peak, and take this much longer than the next larger multiple of a vector.
NEIGHBOURS, MULTIPLE = 0.75, 1.10
VECTOR = {"float32": 16, "float64": 8}


def judge(rows):
    """The rows, each with "of_neighbours" (its percent of peak over the mean of the values beside it), "of_multiple" (its time over the least
    of the next two multiples of a vector that were measured: it could be padded to these), and "flags": what of this is out of bounds.

    "neighbours" alone is the grain of the vectors: a size just over a multiple takes a vector more, as padding would. "multiple" is a cliff:
    padding by hand would be faster.
    """
    judged = []
    for line in lines(rows).values():
        for number, row in enumerate(line):
            beside = [line[place]["percent"] for place in (number - 1, number + 1) if 0 <= place < len(line)]
            of_neighbours = row["percent"] * len(beside) / sum(beside) if beside else 1.0
            larger = [min(each["us"]) for each in line if each["value"] > row["value"] and each["value"] % VECTOR[row["dtype"]] == 0][:2]
            of_multiple = min(row["us"]) / min(larger) if larger else None
            flags = [name for name, holds in (
                ("neighbours", of_neighbours < NEIGHBOURS), ("multiple", of_multiple is not None and of_multiple > MULTIPLE)) if holds]
            judged.append(row | {"of_neighbours": of_neighbours, "of_multiple": of_multiple, "flags": flags})
    return judged


def lines(rows):
    """{(axis, dtype, threads): rows by value}."""
    found = {}
    for row in sorted(rows, key=lambda row: row["value"]):
        found.setdefault((row["axis"], row["dtype"], row["threads"]), []).append(row)
    return found
