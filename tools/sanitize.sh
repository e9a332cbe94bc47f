#!/bin/sh
# Builds the package twice in scratch copies, once with AddressSanitizer and UBSan, once with Cython's checked indices, and runs the
# engine's tests in each.
#
#   tools/sanitize.sh            both builds, all of these tests
#   tools/sanitize.sh --quick    the sanitizers only, of one instruction set (AVX2, or what NNFAST_ISAS says): every kernel of it once, whole
#                                trainings with every option, and all kinds of tables; for the bfloat16 units, NNFAST_ISAS=avx512,avx512_bf16,amx
#
# $PYTHON (default: python3) needs what pyproject.toml lists to build and to test. Other arguments go to pytest.
set -eu

PYTHON=${PYTHON:-python3}
PYTHON=$(command -v "$PYTHON")
TESTS="tests/test_kernels.py tests/test_bfloat16.py tests/test_engine.py tests/test_engine_threads.py tests/test_session_errors.py tests/test_options.py tests/test_tables.py tests/test_gradients.py"
MODES="sanitize boundscheck"
QUICK=false
if [ "${1:-}" = --quick ]; then
    shift
    QUICK=true
    MODES=sanitize
    export NNFAST_ISAS="${NNFAST_ISAS:-avx2}"
fi

root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

for mode in $MODES; do
    copy=$scratch/$mode
    mkdir "$copy"
    (cd "$root" && tar -cf - --exclude='*.so' --exclude=__pycache__ --exclude=kernels/engine.c kernels nnfast tests setup.py pyproject.toml) |
        tar -xf - -C "$copy"
    ln -s ../kernels "$copy/nnfast/kernels" # where an installation has it
    cd "$copy"
    echo "== $mode: build"
    if ! NNFAST_BUILD=$mode "$PYTHON" setup.py -q build_clib build_ext --inplace > build.log 2>&1; then
        cat build.log
        exit 1
    fi

    preload=
    if [ "$mode" = sanitize ]; then
        # The C++ library too, or the sanitizer misses the exceptions of libraries that load it later.
        preload="$(${CC:-gcc} -print-file-name=libasan.so) $(${CC:-gcc} -print-file-name=libstdc++.so)"
    elif ! grep -q RaiseBufferIndexError kernels/engine.c; then
        echo "NNFAST_BUILD=boundscheck did not make Cython check an index" >&2
        exit 1
    fi
    echo "== $mode: tests"
    run() {
        PYTHONPATH=$copy PYTHONDONTWRITEBYTECODE=1 PYTHONMALLOC=malloc LD_PRELOAD=$preload \
            ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=65536 \
            UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 OPENBLAS_NUM_THREADS=1 "$PYTHON" "$@"
    }
    run -c "import nnfast.kernels.engine as e; assert e.__file__.startswith('$copy'), e.__file__"
    if $QUICK; then
        run -m pytest -q -p no:cacheprovider $TESTS -k "test_agrees_with or test_same_bits or test_tables" --deselect tests/test_kernels.py::test_agrees_with_numpy_at_any_shape "$@"
    else
        run -m pytest -q -p no:cacheprovider $TESTS "$@"
    fi
done
echo "== passed"
