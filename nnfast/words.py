"""Words for errors: what a misspelt one may have meant."""

from difflib import get_close_matches


def did_you_mean(value, accepted):
    """A sentence that names the accepted string closest to `value`; none where nothing is close."""
    by_lower = {option.lower(): option for option in accepted}
    close = get_close_matches(value.lower(), by_lower, 1) if isinstance(value, str) else ()
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""
