"""`python -m bench [PART ...]`: run the comparison, or with `report DIR` render again what a run
has saved.
"""

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path

from bench import machine
from bench.parts import PARTS
from bench.report import write_report
from bench.session import Session
from bench.sides import PACKAGES


def main(arguments=None):
    options = parse(arguments)
    if options.parts[:1] == ["report"]:
        write_report(Path(options.parts[1]))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    # Parts of an earlier run stay, so that one can be measured anew.
    results = json.loads(path.read_text()) if path.exists() else {"parts": {}, "runs": {}}
    wrong = []
    for part in options.parts or PARTS:
        start = time.perf_counter()
        with Session(options.threads, options.rounds, options.libraries, options.quick) as session:
            results["parts"][part] = import_module(f"bench.parts.{part}").run(session)
            if not results["parts"][part]:
                session.note("nothing was measured: none of the libraries takes part")
            results["runs"][part] = {
                "facts": machine.facts(options.threads),
                "notes": session.notes,
                "failures": session.failures,
                "unequal": session.unequal,
                "rounds": session.rounds,
                "quick": options.quick,
                "minutes": (time.perf_counter() - start) / 60,
            }
        path.write_text(json.dumps(results, indent=1, allow_nan=False))
        write_report(options.out)
        wrong += [*session.failures, *(f"not the same work: {error}" for error in session.unequal)]
    if wrong:
        sys.exit("\n".join(wrong))


def parse(arguments):
    parser = argparse.ArgumentParser(
        "python -m bench", description="Compare nnfast with other libraries: see docs/benchmarks.md."
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"some of: {', '.join(PARTS)} (default: all); or: report DIR"
    )
    parser.add_argument("--quick", action="store_true", help="fewer points and rounds")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("bench-results"),
        metavar="DIR",
        help="where results.json, results.md and figures go",
    )
    parser.add_argument(
        "--libraries",
        nargs="+",
        choices=list(PACKAGES),
        metavar="NAME",
        help=f"only these of: {', '.join(PACKAGES)}",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=machine.n_cpus(),
        metavar="N",
        help="at most so many threads and CPUs a library (default: all)",
    )
    parser.add_argument(
        "--rounds", type=int, metavar="R", help="how often each sample is taken (default: 5, quick 3)"
    )
    options = parser.parse_args(arguments)
    if options.parts[:1] == ["report"]:
        if len(options.parts) != 2:
            parser.error("report takes one folder, of an earlier run")
    elif unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if not 1 <= options.threads <= machine.n_cpus():
        parser.error(f"--threads must be from 1 to {machine.n_cpus()}, got {options.threads}")
    options.rounds = options.rounds or (3 if options.quick else 5)
    return options


if __name__ == "__main__":
    main()
