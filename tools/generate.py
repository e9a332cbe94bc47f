"""Writes what compiled code knows of nnfast's records: `kernels/src/records.h` and `kernels/records.pxi`.

    python tools/generate.py            # write both
    python tools/generate.py --check    # exit with 1 if one of them is not as it would be written

Run it after a change to the names, the order or the kinds of activations, losses or optimizers, and commit
what it writes: the records import SciPy, which a build does not have. The tests run the check.
"""

import sys
import textwrap
from pathlib import Path

from nnfast import plan
from nnfast.activations import ACTIVATIONS
from nnfast.losses import LOSSES
from nnfast.optimizers import OPTIMIZERS, SCALARS

KERNELS = Path(__file__).parents[1] / "kernels"


def enumerators(prefix, names):
    return [f"{prefix}_{name.upper()}" for name in names]


def updates():
    """The kernel of each optimizer: those of one formula share the first one's."""
    first = {}
    return {record.kernel: first.setdefault(record.step, record.kernel) for record in OPTIMIZERS.values()}


def c_list(opening, items, ending):
    lines = textwrap.wrap(", ".join(items), 115, initial_indent="    ", subsequent_indent="    ")
    return [opening, *lines, ending]


def c_macro(name, items):
    """A macro that applies its argument, a macro, to each item."""
    calls = [f"X({item})" for item in items]
    calls = textwrap.wrap(" ".join(call.replace(" ", "\0") for call in calls), 115, break_long_words=False)
    calls = [line.replace("\0", " ") for line in calls]
    return [f"#define {name}(X) \\", *(f"    {line} \\" for line in calls[:-1]), f"    {calls[-1]}"]


def c_question(name, losses):
    """A function that tells whether a loss is one of some."""
    cases = [f"    case {each}:" for each in enumerators("LOSS", losses)]
    head = f"static inline int {name}(int loss)"
    return [
        head,
        "{",
        "    switch (loss) {",
        *cases,
        "        return 1;",
        "    default: return 0;",
        "    }",
        "}",
    ]


def header():
    by_value = [record.kernel for record in ACTIVATIONS.values() if record.by_value]
    stored = [record.kernel for record in ACTIVATIONS.values() if not record.by_value]
    losses = {record.kernel: record for record in LOSSES.values()}
    outputs = sorted({record.out_activation for record in losses.values()})
    kinds = dict.fromkeys(updates().values())
    summed = [name for name, record in losses.items() if not record.of_classes]
    answers = [
        line
        for output in outputs
        for line in (
            *(
                f"    case {each}:"
                for each in enumerators("LOSS", (n for n in losses if losses[n].out_activation == output))
            ),
            f"        return OUTPUT_{output.upper()};",
        )
    ]
    return [
        "/* Written by tools/generate.py from the records of nnfast: see there. */",
        "/* clang-format off */",
        "#ifndef NNFAST_RECORDS_H",
        "#define NNFAST_RECORDS_H",
        "",
        "/* The derivative of those before DROPPED_RELU comes from the activation, and after dropout",
        " * ReLU's does; the others' (STORED stands for all) is stored by the forward pass. OWN is a",
        " * function of the user's. */",
        *c_list(
            "enum {", enumerators("ACTIVATION", [*by_value, "dropped_relu", "stored", *stored, "own"]), "};"
        ),
        *c_macro("FOR_ACTIVATIONS", enumerators("ACTIVATION", [*by_value, *stored])),
        *c_macro("FOR_DERIVATIVES", enumerators("ACTIVATION", [*by_value, "dropped_relu", "stored"])),
        "",
        *c_list("enum {", enumerators("LOSS", [*losses, "own"]), "};"),
        "/* Those that are sums or means over outputs. */",
        *c_macro("FOR_OUTPUT_LOSSES", enumerators("LOSS", summed)),
        "/* One softmax, and labels for targets. */",
        *c_question("is_of_classes", (name for name in losses if losses[name].of_classes)),
        "/* Over outputs. */",
        *c_question("is_mean", (name for name in losses if losses[name].is_mean)),
        *c_list("enum {", enumerators("OUTPUT", outputs), "};"),
        "static inline int output_of(int loss)",
        "{",
        "    switch (loss) {",
        *answers,
        "    default: return OUTPUT_IDENTITY;",
        "    }",
        "}",
        "",
        *c_list("enum {", enumerators("UPDATE", ["none", *kinds]), "};"),
        *c_macro("FOR_UPDATES", enumerators("UPDATE", kinds)),
        "",
        "/* The scalars of a step, in the order of the table that Python makes of them. */",
        *c_list("enum {", [*enumerators("SCALAR", SCALARS), "N_SCALARS"], "};"),
        *c_macro("FOR_SCALARS", map(", ".join, zip(SCALARS, enumerators("SCALAR", SCALARS), strict=True))),
        "",
        "#endif",
    ]


def planned():
    """What the numbers in a plan stand for, by the prefix of their names."""
    return {
        "OPERATION": plan.KINDS,
        "DERIVATIVE": plan.DERIVATIVES,
        "WEIGHTS": plan.MATRIX_RULES,
        "VECTOR": plan.VECTOR_RULES,
        "PARAM": plan.PARAM_KINDS,
        "BUFFER": plan.BUFFER_KINDS,
    }


def cython():
    names = {
        "ACTIVATION": [*(record.kernel for record in ACTIVATIONS.values()), "dropped_relu", "stored", "own"],
        "LOSS": [*(record.kernel for record in LOSSES.values()), "own"],
        "UPDATE": ["none", *dict.fromkeys(updates().values())],
        "SCALAR": SCALARS,
    }
    tables = {
        "ACTIVATIONS": {
            record.kernel: f"ACTIVATION_{record.kernel.upper()}" for record in ACTIVATIONS.values()
        },
        "LOSSES": {record.kernel: f"LOSS_{record.kernel.upper()}" for record in LOSSES.values()},
        "UPDATES": {"none": "UPDATE_NONE"}
        | {name: f"UPDATE_{kind.upper()}" for name, kind in updates().items()},
        "SCALARS": {name: f"SCALAR_{name.upper()}" for name in SCALARS},
    }
    lines = ["# Written by tools/generate.py from the records of nnfast: see there.", ""]
    lines.append('cdef extern from "src/records.h" nogil:')
    for prefix, each in names.items():
        lines += [f"    enum: {name}" for name in enumerators(prefix, each)]
    lines += ["    enum: N_SCALARS", "    bint is_of_classes(int loss)", ""]
    for prefix, each in planned().items():
        lines += ["cdef enum:", *(f"    {name}" for name in enumerators(prefix, each))]
    lines.append("")
    for name, table in tables.items():
        lines += [f"{name} = {{", *(f'    "{key}": {value},' for key, value in table.items()), "}"]
    return lines


def main():
    written = {KERNELS / "src/records.h": header(), KERNELS / "records.pxi": cython()}
    stale = [
        path
        for path, lines in written.items()
        if not path.exists() or path.read_text() != "\n".join(lines) + "\n"
    ]
    for path in stale:
        if "--check" in sys.argv[1:]:
            print(f"{path} is not what `python tools/generate.py` writes: run it.", file=sys.stderr)
        else:
            path.write_text("\n".join(written[path]) + "\n")
    return int(bool(stale) and "--check" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
