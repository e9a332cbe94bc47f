"""The page of the development tables, docs/tabular_tables.md.

It tells of each what it is, where it comes from and what was left out, and which quotas they fill.
"""

from bench.development_tables import (
    MANY_MISSING,
    MOST_ROWS,
    MOST_ROWS_OF_LARGE,
    QUOTAS,
    TABLES,
    kinds,
    traits,
)
from bench.report import table as markdown


def page():
    """The page's Markdown. All tables are read, which takes half a minute."""
    return "\n".join(lines([(table, *table.load()) for table in TABLES])) + "\n"


def lines(loaded):
    """From triples of a table, its X and its y."""
    having = {trait: [table.name for table, X, _ in loaded if trait in traits(table, X)] for trait in QUOTAS}
    yield from (
        "# The development tables",
        "",
        "`python -m bench.tabular tables` wrote this page. [The study of tables](tabular_study.md) tells "
        "what they are used for.",
        "",
        f"A table of more than {MOST_ROWS:,} rows was sampled to that many, but for the large ones, which "
        f"keep up to {MOST_ROWS_OF_LARGE:,}. Numbers include booleans. Where the target says log, log(1 + "
        "target) is predicted.",
        "",
    )
    yield from (*markdown([described(*each) for each in loaded]), "")
    yield from (
        "## Sources",
        "",
        *markdown(
            [
                {"table": table.name, "from": table.source, "first published by": table.origin}
                for table, _, _ in loaded
            ]
        ),
        "",
    )
    yield from ("## Quotas", "", f"Many missing values: more than {MANY_MISSING:.0%} of all.", "")
    yield from (
        *markdown(
            [
                {"trait": trait, "asked": QUOTAS[trait], "there are": len(names), "tables": ", ".join(names)}
                for trait, names in having.items()
            ]
        ),
        "",
    )
    yield from ("## Columns left out", "", "With the reason. Row names are left out of all tables.", "")
    reasons = [(table.name, reason, name) for table, _, _ in loaded for name, reason in table.dropped.items()]
    grouped = {}
    for table, reason, name in reasons:
        grouped.setdefault((table, reason), []).append(f"`{name}`")
    yield from markdown(
        [
            {"table": table, "columns": ", ".join(names), "reason": reason}
            for (table, reason), names in grouped.items()
        ]
    )


def described(table, X, y):
    task = (
        f"{y.nunique()} classes"
        if table.task == "classification"
        else "numbers, log"
        if table.log_target
        else "numbers"
    )
    return {
        "table": table.name,
        "target": task,
        "metric": table.metric,
        "rows": f"{len(X):,}",
        "columns": X.shape[1],
        **kinds(X),
        "missing": f"{X.isna().to_numpy().mean():.1%}",
    }
