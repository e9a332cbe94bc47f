/* Batch and layer normalization of the pre-activations z, and the way back. The formulas stand in
 * nnfast/normalization.py.
 *
 *   out = scale * zhat + shift,  zhat = (z - mean) / sqrt(variance + epsilon)
 *   dz  = (g - mean(g) - zhat mean(g zhat)) / sqrt(variance + epsilon),  g = dout * scale
 *
 * over the rows of a batch for each column (batch: one panel at a time, all rows by one thread), or over the columns
 * for each row (layer: all panels of some rows). Numerical stability: the variance is the mean square of z - mean in
 * a second pass, never a difference of squares. Sums over rows have four accumulators, every fourth row to one; sums
 * over columns have 64 bytes of lanes, folded in one order: no bit depends on the vector's width or on threads.
 */
#ifndef NNFAST_NORM_H
#define NNFAST_NORM_H

#include "gradient.h"

/* The sums over rows of (x - center)^2 in one panel, in the order of sum_rows. */
INLINE void sum_squares_of_rows(const REAL *x, ptrdiff_t rows, const vec center[2], vec total[2])
{
    vec sum[4][2] = {{{0}}};
    for (ptrdiff_t i = 0; i < rows; i += 4)
        UNROLLED (r, 4) {
            if (i + r >= rows) break;
            UNROLLED (c, 2) {
                vec v = load(x + (i + r) * NR + c * VL) - center[c];
                sum[r][c] = fmadd(v, v, sum[r][c]);
            }
        }
    UNROLLED (c, 2) total[c] = (sum[0][c] + sum[1][c]) + (sum[2][c] + sum[3][c]);
}

INLINE vec inverse_root(vec variance, REAL epsilon) { return vreciprocal(vsqrt(variance + epsilon)); }

/* Batch statistics of one panel of z: zhat, out (which may be z), and 1 / sqrt(variance + epsilon) for the way back.
 * With `learn` the running statistics take them in. One row has no variance: it is normalised by the running
 * statistics, and they stay. */
static void normalize_columns(const void *z_, void *out_, void *zhat_, ptrdiff_t rows, int vectors, const Norm *norm,
                              ptrdiff_t panel, int learn)
{
    const REAL *z = z_, *scale = (const REAL *)norm->scale + panel * NR,
               *shift = (const REAL *)norm->shift + panel * NR;
    REAL *out = out_, *zhat = zhat_, *inverse = (REAL *)norm->inverse + panel * NR;
    REAL *running_mean = (REAL *)norm->mean + panel * NR, *running_variance = (REAL *)norm->variance + panel * NR;
    vec mean[2], variance[2], root[2];
    if (rows > 1) {
        sum_rows(z, NULL, rows, mean);
        for (int c = 0; c < 2; c++) mean[c] /= (REAL)rows;
        sum_squares_of_rows(z, rows, mean, variance);
        for (int c = 0; c < 2; c++) variance[c] /= (REAL)rows;
    }
    for (int c = 0; c < vectors; c++) {
        vec old_mean = load(running_mean + c * VL), old_variance = load(running_variance + c * VL);
        const vec weight = splat((REAL)norm->momentum);
        if (rows == 1) mean[c] = old_mean, variance[c] = old_variance;
        else if (learn) {
            vec unbiased = variance[c] * ((REAL)rows / (REAL)(rows - 1));
            store(running_mean + c * VL, fmadd(weight, mean[c] - old_mean, old_mean));
            store(running_variance + c * VL, fmadd(weight, unbiased - old_variance, old_variance));
        }
        root[c] = inverse_root(variance[c], (REAL)norm->epsilon);
        store(inverse + c * VL, root[c]);
    }
    for (ptrdiff_t r = 0; r < rows; r++, z += NR, out += NR, zhat += NR)
        for (int c = 0; c < vectors; c++) {
            vec x = (load(z + c * VL) - mean[c]) * root[c];
            store(zhat + c * VL, x);
            store(out + c * VL, fmadd(x, load(scale + c * VL), load(shift + c * VL)));
        }
}

/* Prediction: z <- scale (z - mean) / sqrt(variance + epsilon) + shift by the running statistics, some rows of one
 * panel. */
static void normalize_by_running(void *z_, ptrdiff_t rows, int vectors, const Norm *norm, ptrdiff_t panel)
{
    REAL *z = z_;
    vec factor[2], mean[2], shift[2];
    for (int c = 0; c < vectors; c++) {
        ptrdiff_t at = panel * NR + c * VL;
        mean[c] = load((const REAL *)norm->mean + at), shift[c] = load((const REAL *)norm->shift + at);
        factor[c] = inverse_root(load((const REAL *)norm->variance + at), (REAL)norm->epsilon) *
                    load((const REAL *)norm->scale + at);
    }
    for (ptrdiff_t r = 0; r < rows; r++, z += NR)
        for (int c = 0; c < vectors; c++) store(z + c * VL, fmadd(load(z + c * VL) - mean[c], factor[c], shift[c]));
}

/* The way back through normalize_columns, in place, for one panel; the sums over rows of dout and dout * zhat, the
 * gradients of shift and scale, are left in norm->sum_shift and sum_scale. */
static void normalize_columns_back(void *dz_, const void *zhat_, ptrdiff_t rows, int vectors, const Norm *norm,
                                   ptrdiff_t panel)
{
    REAL *dz = dz_, *sum_scale = (REAL *)norm->sum_scale + panel * NR,
         *sum_shift = (REAL *)norm->sum_shift + panel * NR;
    const REAL *zhat = zhat_, *scale = (const REAL *)norm->scale + panel * NR,
               *inverse = (const REAL *)norm->inverse + panel * NR;
    vec sums[2], products[2], factor[2];
    sum_rows(dz, NULL, rows, sums);
    sum_rows(dz, zhat, rows, products);
    for (int c = 0; c < vectors; c++) {
        store(sum_shift + c * VL, sums[c]);
        store(sum_scale + c * VL, products[c]);
        factor[c] = load(scale + c * VL) * load(inverse + c * VL);
        sums[c] = rows > 1 ? sums[c] / (REAL)rows : (vec){0}; /* the statistics of one row are constants */
        products[c] = rows > 1 ? products[c] / (REAL)rows : (vec){0};
    }
    for (ptrdiff_t r = 0; r < rows; r++, dz += NR, zhat += NR)
        for (int c = 0; c < vectors; c++)
            store(dz + c * VL, factor[c] * (load(dz + c * VL) - sums[c] - load(zhat + c * VL) * products[c]));
}

/* Runs `call` for each panel of a row, with its offset `at`, its first `column`, and `pads`, a constant: whether it
 * may have pads. */
#define FOR_ROW(n, call) \
    do { \
        ptrdiff_t column = 0, at = 0; \
        for (; column + NR <= n; column += NR, at += stride) { \
            enum { pads = 0 }; \
            { \
                call \
            } \
        } \
        if (column < n) { \
            enum { pads = 1 }; \
            { \
                call \
            } \
        } \
    } while (0)

/* x in the lanes of columns below n, else 0; the second vector of a panel may be all pads. */
INLINE vec without_pads(int pads, ptrdiff_t n, ptrdiff_t column, vec x)
{
    ptrdiff_t left = n - column < VL ? n - column : VL;
    return pads ? choose(LANES < (INT)left, x, (vec){0}) : x;
}

/* Adds the two vectors of a panel to a sum over columns, in the order of horizontal_sum. */
INLINE void add_panel(vec acc[FOLDED], vec first, vec second)
{
    acc[0] += first;
    acc[FOLDED - 1] += second;
}

/* Layer normalization of some rows of z, in place, with zhat and 1 / sqrt(variance + epsilon) by row for the way
 * back. n columns; pads of z must be zero, and are again, since those of scale and shift are. */
static void normalize_rows(void *z_, void *zhat_, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n, const Norm *norm,
                           ptrdiff_t first_row)
{
    const REAL *scale = norm->scale, *shift = norm->shift;
    for (ptrdiff_t r = 0; r < rows; r++) {
        REAL *z = (REAL *)z_ + r * NR, *zhat = (REAL *)zhat_ + r * NR;
        vec sum[FOLDED] = {{0}}, squares[FOLDED] = {{0}};
        FOR_ROW(n, add_panel(sum, load(z + at), load(z + at + VL)););
        vec mean = splat(horizontal_sum(sum) / (REAL)n);
        FOR_ROW(n, vec x = without_pads(pads, n, column, load(z + at) - mean);
                vec y = without_pads(pads, n, column + VL, load(z + at + VL) - mean);
                add_panel(squares, x * x, y * y););
        vec root = inverse_root(splat(horizontal_sum(squares) / (REAL)n), (REAL)norm->epsilon);
        ((REAL *)norm->inverse)[first_row + r] = root[0];
        FOR_ROW(
            n, UNROLLED (c, 2) {
                vec x = without_pads(pads, n, column + c * VL, (load(z + at + c * VL) - mean) * root);
                store(zhat + at + c * VL, x);
                store(z + at + c * VL, fmadd(x, load(scale + column + c * VL), load(shift + column + c * VL)));
            });
    }
}

/* The way back: dz from dout, some rows. */
static void normalize_rows_back(const void *dout_, const void *zhat_, void *dz_, ptrdiff_t stride, ptrdiff_t rows,
                                ptrdiff_t n, const Norm *norm, ptrdiff_t first_row)
{
    const REAL *scale = norm->scale;
    for (ptrdiff_t r = 0; r < rows; r++) {
        const REAL *dout = (const REAL *)dout_ + r * NR, *zhat = (const REAL *)zhat_ + r * NR;
        REAL *dz = (REAL *)dz_ + r * NR;
        vec sums[FOLDED] = {{0}}, products[FOLDED] = {{0}}, root = splat(((const REAL *)norm->inverse)[first_row + r]);
        FOR_ROW(n, vec x = load(dout + at) * load(scale + column); /* pads of scale are zero */
                vec y = load(dout + at + VL) * load(scale + column + VL); add_panel(sums, x, y);
                add_panel(products, x * load(zhat + at), y * load(zhat + at + VL)););
        vec mean = splat(horizontal_sum(sums) / (REAL)n), product = splat(horizontal_sum(products) / (REAL)n);
        FOR_ROW(
            n, UNROLLED (c, 2) {
                vec g = load(dout + at + c * VL) * load(scale + column + c * VL);
                store(dz + at + c * VL,
                      without_pads(pads, n, column + c * VL, root * (g - mean - load(zhat + at + c * VL) * product)));
            });
    }
}

#endif
