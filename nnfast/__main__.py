"""The command `nnfast`: `nnfast demo`, `nnfast tune` and `nnfast info`."""

from nnfast._interrupts import quiet_interrupts

with quiet_interrupts():
    import argparse
    import json
    import math
    import os
    import re
    import sys
    from contextlib import nullcontext, redirect_stdout

    import nnfast

# Options of a table, as `nnfast.tables.read_table` has them.
_READING = ("sep", "decimal", "encoding", "sheet", "drop", "keep")
_TABLE_ONLY = ("target", "task", "rows", *_READING)
_TASKS = ("classification", "regression")
_METHODS = ("coarse-to-fine", "hyperband", "bayes", "random")


def main(arguments=None):
    """Run the command line, and return its exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    try:
        parser = _parser()
        options = parser.parse_args(arguments)
        options.run(options, parser)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone, as in `nnfast demo | head`. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except (ImportError, MemoryError, OSError, ValueError) as error:
        _complain(f"error: {' '.join(str(error).split()) or 'the memory is too small for that.'}")
        return 2
    return 0


def _complain(message):
    if sys.stderr is not None:  # or print() would take stdout
        print(f"nnfast: {message}", file=sys.stderr)


def _parser():
    parser = argparse.ArgumentParser(prog="nnfast", description="Neural networks for tables on CPUs.")
    parser.add_argument("--version", action="version", version=f"nnfast {nnfast.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="train beside scikit-learn, and print times and scores",
        description=(
            "Train nnfast and scikit-learn side by side, on tables that scikit-learn bundles or on one of"
            " yours."
        ),
    )
    demo.set_defaults(run=_demo)
    demo.add_argument(
        "--table", metavar="FILE", help="a CSV, Parquet or Excel file to train on; - for standard input"
    )
    _add_table_options(demo, "FILE", target_required=False)
    demo.add_argument(
        "--hidden",
        type=_layout,
        nargs="+",
        metavar="UNITS",
        help="layouts of hidden layers to train; default: 100 256,256",
    )
    demo.add_argument(
        "--max-iter",
        type=_positive,
        metavar="N",
        help="most epochs of a fit; default: 200, or as many as scikit-learn does in about ten seconds",
    )

    tune = commands.add_parser(
        "tune",
        help="search for parameters within a time, and print scores beside the defaults'",
        description=(
            "Search for the parameters of a network for a table of yours, within a budget of time, by "
            "cross-validation on three quarters of its rows. Print the best, and its score beside the "
            "defaults', on the folds and on the last quarter."
        ),
    )
    tune.set_defaults(run=_tune)
    tune.add_argument("table", metavar="TABLE", help="a CSV, Parquet or Excel file; - for standard input")
    _add_table_options(tune, "TABLE", target_required=True)
    tune.add_argument(
        "--budget",
        type=_seconds,
        default=60.0,
        metavar="TIME",
        help="time for the defaults' cross-validation and the search, such as 60s, 2m or 1h; default: 60s",
    )
    tune.add_argument(
        "--method", choices=_METHODS, default=_METHODS[0], help="how to search; default: %(default)s"
    )
    tune.add_argument("--out", metavar="HTML", help="write a page with all trials and figures to this file")
    tune.add_argument(
        "--save", metavar="JSON", help="write the best parameters and how they were found to this file"
    )
    tune.add_argument("--model", metavar="JOBLIB", help="write the fitted pipeline to this file")
    tune.add_argument("--script", metavar="PY", help="write the script that trains the pipeline to this file")
    tune.add_argument(
        "--tier",
        type=int,
        choices=(1, 2, 3),
        default=3,
        help="how much to tune: from the learning rate alone to all that matters; default: 3",
    )
    tune.add_argument(
        "--cv", type=_positive, default=3, metavar="N", help="folds of the cross-validation; default: 3"
    )
    tune.add_argument(
        "--seed", type=_natural, default=0, metavar="N", help="draws folds, trials and weights; default: 0"
    )
    tune.add_argument(
        "--jobs", type=_positive, metavar="N", help="fits at a time; default: as many as there are cores"
    )

    commands.add_parser(
        "info",
        help="print versions, instruction sets, threads and engines",
        description="Print versions, instruction sets, threads and engines.",
    ).set_defaults(run=_info)
    return parser


def _add_table_options(parser, file, *, target_required):
    """Add the options of all commands that read a table."""
    options = parser.add_argument_group(f"how {file} is read")
    options.add_argument(
        "--target", metavar="COLUMN", required=target_required, help=f"the column of {file} to predict"
    )
    options.add_argument("--task", choices=_TASKS, help="default: guessed from the target")
    options.add_argument(
        "--rows", type=_positive, metavar="N", help=f"most rows of {file} to use, at random; default: 50000"
    )
    options.add_argument("--drop", nargs="+", action="extend", metavar="COLUMN", help="columns to leave out")
    options.add_argument(
        "--keep",
        nargs="+",
        action="extend",
        metavar="COLUMN",
        help="columns to use, though they look like identifiers or free text",
    )
    options.add_argument(
        "--sep", type=_separator, metavar="MARK", help="what separates fields of a text file; default: found"
    )
    options.add_argument(
        "--decimal", choices=(".", ","), help="the decimal mark of numbers in text; default: found"
    )
    options.add_argument("--encoding", metavar="NAME", help="of a text file; default: UTF-8, else cp1252")
    options.add_argument("--sheet", metavar="NAME", help="of an Excel file; default: the first")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document, and the text to standard error"
    )


def _separator(text):
    mark = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if len(mark) != 1:
        raise argparse.ArgumentTypeError(f"must be one character, such as ; or tab, got {text!r}")
    return mark


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {text!r}")
    return int(text)


def _natural(text):
    # Most seeds that NumPy takes.
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 2**32 - 1, got {text!r}")
    return int(text)


def _seconds(text):
    number = r"(\d+\.?\d*|\.\d+)"
    parts = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s?)?", text.strip(), re.ASCII)
    seconds = (
        sum(float(part or 0) * unit for part, unit in zip(parts.groups(), (3600, 60, 1))) if parts else 0
    )
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(
            f"must be a positive time such as 60, 60s, 2m or 1h30m, got {text!r}"
        )
    return seconds


def _layout(text):
    try:
        return tuple(_positive(units) for units in text.split(","))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"must be units of hidden layers, such as 100 or 256,256, got {text!r}"
        ) from None


def _demo(options, parser):
    if options.table is None:
        for name in _TABLE_ONLY:
            if getattr(options, name) is not None:
                parser.error(f"--{name} needs --table FILE")
    elif options.target is None:
        parser.error("--table needs --target COLUMN")

    with quiet_interrupts():
        from nnfast import demo, tables

    limits = {"rows": None, "max_iter": options.max_iter}
    if options.table is None:
        chosen = tables.bundled()
    else:
        limits["rows"] = demo.MOST_ROWS if options.rows is None else options.rows
        reading = {"task": options.task, "max_rows": limits["rows"], **_reading(options)}
        chosen = [tables.read(options.table, options.target, **reading)]
    with _text_output(options):
        results = demo.run(chosen, layouts=options.hidden or demo.LAYOUTS, max_iter=options.max_iter)
    if options.json:
        from nnfast._info import versions

        _print_json({"versions": versions(), "limits": limits, "tables": results})


def _tune(options, parser):
    with quiet_interrupts():
        from nnfast import tables, tune

    files = {name: getattr(options, name) for name in ("out", "save", "model", "script")}
    tune.check(options.table, method=options.method, **files)
    rows = tune.MOST_ROWS if options.rows is None else options.rows
    table = tables.read_raw(
        options.table, options.target, task=options.task, max_rows=rows, **_reading(options)
    )
    with _text_output(options):
        found = tune.run(
            table,
            budget=options.budget,
            method=options.method,
            tier=options.tier,
            cv=options.cv,
            seed=options.seed,
            jobs=options.jobs,
            max_rows=rows,
            **files,
        )
    if options.json:
        _print_json(found)


def _reading(options):
    return {name: value for name in _READING if (value := getattr(options, name)) is not None}


def _text_output(options):
    """Text goes to standard error where standard output is for JSON."""
    return redirect_stdout(sys.stderr) if options.json else nullcontext()


def _print_json(document):
    print(json.dumps(document, indent=2))


def _info(options, parser):
    nnfast.show_versions()


if __name__ == "__main__":
    sys.exit(main())
