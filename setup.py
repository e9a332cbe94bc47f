"""Builds the compiled engine: one Cython module, and the vector code once for each instruction set and dtype.

Where that fails, as without a C compiler, the package is installed without it, for engine="numba"; with
NNFAST_BUILD set, or where a distribution is built for others, that would be no help, and fails
(NNFAST_BUILD=release asks for that alone).

NNFAST_BUILD=trial compiles at -O1, in half the time, for tests of what is around the code: never for speed,
nor for a release. NNFAST_BUILD=boundscheck makes Cython check every index; NNFAST_BUILD=sanitize adds
AddressSanitizer and UBSan (tools/sanitize.sh uses both). NNFAST_ISAS=avx2,avx512 compiles these instruction
sets alone, which saves time; avx512_bf16 and amx are units for bfloat16 products beside avx512.
"""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import Cython
import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, CompileError
from setuptools.modified import newer_group

MODE = os.environ.get("NNFAST_BUILD", "")
MUST_COMPILE = bool(MODE)
X86 = platform.machine().lower() in ("x86_64", "amd64")

COMMON = [
    "-std=gnu11",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-Wno-unused-function",
]
# Where vector.h asks for FMA by name, the compiler must not choose others: it would choose differently for
# each instruction set.
COMMON += ["-ffp-contract=off" if X86 else "-ffp-contract=fast"]
if MODE == "sanitize":
    # Lines, which reports of errors name, but not variables: these take GCC twice as long as all the rest.
    COMMON += [
        "-g1",
        "-O1",
        "-fno-omit-frame-pointer",
        "-fsanitize=address,undefined",
        "-fno-sanitize=float-divide-by-zero",
    ]
else:
    COMMON += ["-O1"] if MODE == "trial" else []
    COMMON += ["-g0"]  # Python's own flags say -g: 6 MB of debugging data, five times the code
LINK = ["-fsanitize=address,undefined"] if MODE == "sanitize" else []


def accepts(flags):
    """Whether the compiler knows the flags; where there is none, nothing is compiled anyway."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    return (
        not shutil.which(command[0])
        or not subprocess.run(
            [*command, *flags, "-fsyntax-only", "-xc", os.devnull], capture_output=True
        ).returncode
    )


# Instruction set -> compiler flags (x86-64-v2, v3, v4 by their parts, which older compilers know too).
ISAS = {"baseline": ["-msse4.2", "-mpopcnt"] if X86 else []}
if X86:
    AVX2 = ["-mavx2", "-mfma", "-mbmi", "-mbmi2", "-mlzcnt", "-mmovbe", "-mf16c", "-mprfchw"]
    ISAS["avx2"] = AVX2
    ISAS["avx512"] = AVX2 + [
        "-mavx512f",
        "-mavx512bw",
        "-mavx512cd",
        "-mavx512dq",
        "-mavx512vl",
        "-mprefer-vector-width=512",
    ]

    # Units for bfloat16 products, in the code of AVX-512: compilers from GCC 11 on know both, GCC 10 the
    # first.
    UNITS = {"avx512_bf16": ["-mavx512bf16"], "amx": ["-mavx512bf16", "-mamx-tile", "-mamx-bf16"]}
    ISAS |= {unit: ISAS["avx512"] + flags for unit, flags in UNITS.items() if accepts(flags)}
else:
    UNITS = {}

if os.environ.get("NNFAST_ISAS"):
    ISAS = {isa: ISAS[isa] for isa in os.environ["NNFAST_ISAS"].split(",")}

# setuptools compares the times of files alone: this one changes when the flags or the tools do.
FLAGS = Path("build/flags.json")
chosen = json.dumps(
    [
        MODE,
        COMMON,
        ISAS,
        *map(os.environ.get, ("CC", "CFLAGS", "LDFLAGS")),
        Cython.__version__,
        np.__version__,
    ]
)
if not FLAGS.exists() or FLAGS.read_text() != chosen:
    FLAGS.parent.mkdir(exist_ok=True)
    FLAGS.write_text(chosen)

SOURCES = "kernels/src"
HEADERS = [f"{SOURCES}/{name}" for name in sorted(os.listdir(SOURCES)) if name.endswith(".h")]
INCLUDED = [f"{SOURCES}/kernels.c", f"{SOURCES}/bf16_kernels.c"]
TABLES = {
    isa: [f"{SOURCES}/tables/{isa}{kind}.c" for kind in ([""] if isa in UNITS else ["_float", "_double"])]
    for isa in ISAS
}


def library(isa):
    """The vector code of one instruction set: a static library with its own flags, linked into the engine."""
    return f"nnfast_{isa}", {
        "sources": TABLES[isa],
        "obj_deps": {"": [str(FLAGS), *HEADERS, *INCLUDED]},
        "cflags": COMMON + ISAS[isa],
    }


class BuildLibraries(build_clib):
    """Compiles the libraries at the same time, since they take most of a build, into a folder that stays: an
    editable installation would put them into a temporary one, and compile anew what has not changed.
    """

    def finalize_options(self):
        super().finalize_options()
        self.build_clib = self.build_temp = os.path.join("build", MODE or "release")

    def build_libraries(self, libraries):
        try:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda library: build_clib.build_libraries(self, [library]), libraries))
        except (CCompilerError, BaseError, OSError) as error:
            if MUST_COMPILE:
                raise
            # The extension, which is optional, will not link, and setuptools goes on without it.
            print(
                f"nnfast: its C code does not compile here: {error}. Installed without it, nnfast computes by"
                " engine='numba', which needs nnfast[numba]."
            )


class BuildExtension(build_ext):
    """Keeps the extension where the libraries are kept, for an editable installation too; and lets an
    optional one fail where there is no compiler at all, as it does where there is one that refuses.
    """

    def build_extension(self, extension):
        made = Path(self.get_ext_fullpath(extension.name))
        kept = Path("build", MODE or "release", made.name)
        if not self.force and not newer_group([*extension.sources, *extension.depends], kept):
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(kept, made)
            return
        try:
            super().build_extension(extension)
        except OSError as error:
            raise CompileError(str(error)) from error
        shutil.copy2(made, kept)


NAME = "nnfast.kernels.engine"
GENERATED = "kernels/engine.c"
CYTHON = [
    "kernels/engine.pyx",
    *(f"kernels/{name}" for name in sorted(os.listdir("kernels")) if name.endswith(".pxi")),
]

# By itself cythonize would look at NumPy's declarations too, whose files are new in every isolated build.
if newer_group([str(FLAGS), *CYTHON], GENERATED):
    cythonize(
        [Extension(NAME, CYTHON[:1])],
        force=True,
        compiler_directives=dict.fromkeys(("boundscheck", "wraparound"), MODE == "boundscheck"),
    )

engine = Extension(
    NAME,
    [GENERATED, f"{SOURCES}/dispatch.c"],
    include_dirs=["kernels", np.get_include()],
    define_macros=[
        ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
        *((f"NNFAST_{isa.upper()}", None) for isa in ISAS),
    ],
    extra_compile_args=COMMON,
    extra_link_args=LINK + ["-lpthread"],
    # What the libraries are made of, too: setuptools does not link anew because a library is newer.
    depends=[str(FLAGS), *HEADERS, *INCLUDED, *sum(TABLES.values(), [])],
    optional=not MUST_COMPILE,
)

setup(
    cmdclass={"build_clib": BuildLibraries, "build_ext": BuildExtension},
    libraries=[library(isa) for isa in reversed(ISAS)],  # the widest takes longest
    ext_modules=[engine],
)
