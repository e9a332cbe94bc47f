"""matplotlib, imported only where something is drawn."""


def axes(ax=None):
    """`ax`, or the axes of a new figure; ImportError names the extra that installs matplotlib."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install 'nnfast[plot]'") from error
    return plt.subplots(layout="constrained")[1]
