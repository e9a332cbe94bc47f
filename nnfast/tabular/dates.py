"""Dates as numbers: days since the first one, and those of year, month, weekday and hour that vary."""

import numpy as np


def _whole(when, unit):
    return when.astype(f"M8[{unit}]").astype(np.int64)


# Name and function of each part of datetime64[us], beside the days since the first date.
PARTS = {
    "year": lambda when: _whole(when, "Y") + 1970,
    "month": lambda when: _whole(when, "M") % 12 + 1,
    "weekday": lambda when: (_whole(when, "D") + 3) % 7,  # Monday is 0; 1970-01-01 was a Thursday
    "hour": lambda when: (when - when.astype("M8[D]")) / np.timedelta64(1, "h"),
}


def varying_parts(when):
    """Names of the parts that are not the same in all of some dates, none of them missing."""
    return [name for name, part in PARTS.items() if len(np.unique(np.floor(part(when)))) > 1]
