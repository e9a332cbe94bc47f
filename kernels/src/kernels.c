/* All vector code of one instruction set and one dtype, gathered in a table. The files in tables/ include it, one
 * for each pair; setup.py compiles each with its instruction set's flags. */
#include "kernels.h"
#include "vector.h"
#include "vmath.h"
#include "activation.h"
#include "update.h"
#include "dropout.h"
#include "dense.h"
#include "gradient.h"
#include "norm.h"
#include "loss.h"
#include "tables.h"

static void map(int function, const void *x_, void *y_, ptrdiff_t n)
{
    const REAL *x = x_;
    REAL *y = y_;
    for (ptrdiff_t i = 0; i < n; i += VL) {
        ptrdiff_t lanes = n - i < VL ? n - i : VL;
        vec v = load_first(x + i, lanes, 0);
        switch (function) {
        case FUNCTION_EXP: v = vexp(v); break;
        case FUNCTION_LOG: v = vlog(v); break;
        case FUNCTION_LOG1P_UNIT: v = vlog1p_unit(v); break;
        case FUNCTION_SQRT: v = vsqrt(v); break;
        default: v = vreciprocal(v);
        }
        store_first(y + i, lanes, v);
    }
}

/* `rounds` of independent multiply-adds that touch no memory: what the core can do at most, for benchmarks. Returns
 * the operations done. */
static double multiply_add(ptrdiff_t rounds, double *result)
{
    enum { CHAINS = 12 };
    vec x = splat((REAL)0.999999), y = splat((REAL)1e-7), acc[CHAINS];
    UNROLL for (int i = 0; i < CHAINS; i++) acc[i] = splat((REAL)i);
    for (ptrdiff_t n = 0; n < rounds; n++) {
        UNROLL for (int i = 0; i < CHAINS; i++) acc[i] = fmadd(acc[i], x, y);
#if defined(__x86_64__)
        __asm__ volatile("" : "+v"(x)); /* or rounds could be computed at once */
#endif
    }
    vec sum = {0};
    UNROLL for (int i = 0; i < CHAINS; i++) sum += acc[i];
    *result = (double)sum[0];
    return 2.0 * CHAINS * VL * (double)rounds;
}

const Kernels NNFAST_TABLE = {
    .isa = NNFAST_ISA,
    .real_bytes = REAL_BYTES,
    .panel = NR,
    .tile = MR,
    .gather = {gather_float32, gather_float64, gather_int8, gather_int16, gather_int32, gather_int64, gather_uint8,
               gather_uint16, gather_uint32, gather_uint64},
    .densify = densify,
    .transpose_csr = transpose_csr,
    .forward = forward,
    .forward_narrow = forward_narrow,
    .forward_row = forward_row,
    .forward_sparse = forward_sparse,
    .backward = backward,
    .clear_pads = clear_pads,
    .activate = activate,
    .derive = derive,
    .drop = drop,
    .normalize_columns = normalize_columns,
    .normalize_by_running = normalize_by_running,
    .normalize_columns_back = normalize_columns_back,
    .normalize_rows = normalize_rows,
    .normalize_rows_back = normalize_rows_back,
    .loss_and_gradient = loss_and_gradient,
    .output = output,
    .gradient_block = gradient_block,
    .gradient_block_sparse = gradient_block_sparse,
    .gradient_vector = gradient_vector,
    .apply_block = apply_block,
    .apply_vector = apply_vector,
    .limit_columns = limit_columns,
    .transpose_block = transpose_block,
    .update = update,
    .square_sums = square_sums,
    .are_finite = are_finite,
    .pack = pack,
    .unpack = unpack,
    .pack_transposed = pack_transposed,
    .unpack_transposed = unpack_transposed,
    .map = map,
    .multiply_add = multiply_add,
};
