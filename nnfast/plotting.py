"""matplotlib, imported only where something is drawn."""


def pyplot():
    """matplotlib.pyplot; ImportError names the extra that installs it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install 'nnfast[plot]'") from error
    return plt


def axes(ax=None, figsize=None):
    """`ax`, or the axes of a new figure of `figsize` inches; ImportError names the extra that installs
    matplotlib.
    """
    return pyplot().subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax
