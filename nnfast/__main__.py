"""The command `nnfast`: `nnfast demo` and `nnfast info`."""

import argparse
import os
import sys

import nnfast

_TABLE_ONLY = ("target", "task", "rows")


def main(arguments=None):
    """Run the command line, and return its exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options, parser)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone, as in `nnfast demo | head`. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("nnfast: interrupted", file=sys.stderr)
        return 130
    except (ImportError, ValueError) as error:
        print("nnfast: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="nnfast", description="Neural networks for tables on CPUs.")
    parser.add_argument("--version", action="version", version=f"nnfast {nnfast.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="train beside scikit-learn, and print times and scores",
        description="Train nnfast and scikit-learn side by side, on tables that scikit-learn bundles or on one of yours.",
    )
    demo.set_defaults(run=_demo)
    demo.add_argument("--table", metavar="FILE", help="a CSV or Parquet file to train on")
    demo.add_argument("--target", metavar="COLUMN", help="the column of FILE to predict")
    demo.add_argument("--task", choices=("classification", "regression"), help="default: guessed from the target")
    demo.add_argument("--rows", type=_positive, metavar="N", help="most rows of FILE to use, at random; default: 50000")
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

    commands.add_parser(
        "info",
        help="print versions, instruction sets, threads and engines",
        description="Print versions, instruction sets, threads and engines.",
    ).set_defaults(run=_info)
    return parser


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {text!r}")
    return int(text)


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

    # Imported late: what takes long to import can be interrupted without a traceback here.
    from nnfast import demo, tables

    if options.table is None:
        chosen = tables.bundled()
    else:
        rows = demo.MOST_ROWS if options.rows is None else options.rows
        chosen = [tables.read(options.table, options.target, task=options.task, max_rows=rows)]
    demo.run(chosen, layouts=options.hidden or demo.LAYOUTS, max_iter=options.max_iter)


def _info(options, parser):
    nnfast.show_versions()


if __name__ == "__main__":
    sys.exit(main())
