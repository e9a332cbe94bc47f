"""Figures with a row a layer, the first layer's on top."""


def with_rows(ax, labels):
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    return ax


def with_shares(ax, labels, **texts):
    """Axes whose bars are shares."""
    ax.set(xlim=(0, 1), **texts)
    ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    if labels:
        # below the axis label, in font sizes, so that it covers no bar
        ax.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            borderaxespad=5,
            ncols=3,
            frameon=False,
            fontsize="small",
        )
    else:
        ax.text(0.5, 0.5, "no hidden layers", transform=ax.transAxes, ha="center")
    return with_rows(ax, labels)
