/* Losses and output activations, from the raw outputs z of the last layer, VL rows at a time with a row in each lane.
 *
 *   log_loss         loss = log(sum_j exp(z_j)) - z_label                     dz = softmax(z) - onehot(label)
 *   binary_log_loss  loss = sum_j max(z, 0) - z y + log(1 + exp(-|z|))        dz = logistic(z) - y
 *   squared_error    loss = sum_j (z - y)^2 / (2 n_out)                       dz = z - y   (scikit-learn's: n_out times the gradient)
 *   poisson          loss = sum_j y log(y) - y z - y + exp(z)                 dz = exp(z) - y
 *
 * Numerical stability: no probability is formed on the way to a loss, so none is clipped; sums over outputs run in a fixed order (for
 * softmax: every fourth output to one of four accumulators), one lane a row, so no bit depends on the vector's width.
 */
#ifndef NNFAST_LOSS_H
#define NNFAST_LOSS_H

#include "dense.h"

/* Copies VL rows of the panels z (fewer at the end: the other lanes get zeros) into columns[n_out][VL]. */
INLINE void load_columns(const REAL *z, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n_out, REAL *columns)
{
    if (n_out <= 2) {
        for (ptrdiff_t j = 0; j < n_out; j++)
            for (int r = 0; r < VL; r++) columns[j * VL + r] = r < rows ? z[r * NR + j] : 0;
        return;
    }
    for (ptrdiff_t j = 0; j < n_out; j += VL) {
        const REAL *from = z + j / NR * stride + j % NR;
        vec square[VL];
        UNROLL for (int r = 0; r < VL; r++) square[r] = r < rows ? load(from + r * NR) : (vec){0};
        transpose(square);
        ptrdiff_t count = n_out - j < VL ? n_out - j : VL;
        for (ptrdiff_t c = 0; c < count; c++) store(columns + (j + c) * VL, square[c]);
    }
}

/* The way back; pads get zeros. */
INLINE void store_columns(const REAL *columns, ptrdiff_t rows, ptrdiff_t n_out, REAL *z, ptrdiff_t stride)
{
    if (n_out <= 2) {
        for (ptrdiff_t j = 0; j < n_out; j++)
            for (int r = 0; r < rows; r++) z[r * NR + j] = columns[j * VL + r];
        return;
    }
    for (ptrdiff_t j = 0; j < n_out; j += VL) {
        REAL *to = z + j / NR * stride + j % NR;
        vec square[VL];
        ptrdiff_t count = n_out - j < VL ? n_out - j : VL;
        UNROLL for (int c = 0; c < VL; c++) square[c] = c < count ? load(columns + (j + c) * VL) : (vec){0};
        transpose(square);
        for (ptrdiff_t r = 0; r < rows; r++) store(to + r * NR, square[r]);
    }
}

/* columns[j] = exp(z_j - max); returns their sum and, in *top, the max. */
INLINE vec exponentials(REAL *columns, ptrdiff_t n_out, vec *top)
{
    vec highest = load(columns), sum[4] = {{0}};
    for (ptrdiff_t j = 1; j < n_out; j++) {
        vec z = load(columns + j * VL);
        highest = choose((z > highest) | (z != z), z, highest); /* NaN wins */
    }
    for (ptrdiff_t j = 0; j < n_out; j += 4)
        UNROLL for (int i = 0; i < 4; i++) {
            if (j + i >= n_out) break;
            vec e = vexp(load(columns + (j + i) * VL) - highest);
            store(columns + (j + i) * VL, e);
            sum[i] += e;
        }
    *top = highest;
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

INLINE void scale_columns(REAL *columns, ptrdiff_t n_out, vec factor)
{
    for (ptrdiff_t j = 0; j < n_out; j++) store(columns + j * VL, load(columns + j * VL) * factor);
}

/* One output of an elementwise loss: the loss, and z replaced by dz. */
INLINE vec lose_one(int loss, vec z, vec y, REAL *dz)
{
    vec p;
    switch (loss) {
    case LOSS_BINARY_LOG: {
        vec e = vexp(-absolute(z));
        store(dz, choose(z < 0, e, splat(1)) / (e + 1) - y);
        return fnmadd(z, y, max_or_second((vec){0}, z)) + vlog1p_unit(e);
    }
    case LOSS_POISSON:
        p = vexp(z);
        store(dz, p - y);
        return choose(y == 0, (vec){0}, y * (vlog(y) - z)) - y + p;
    default:
        p = z - y;
        store(dz, p);
        return (REAL)0.5 * p * p;
    }
}

/* Replaces the outputs z of `rows` rows by dz * gradient_scale * weight, and writes each row's loss * weight to row_loss.
 * index: the rows' numbers in y (row-major [*, n_out]) or label (log_loss), and in weight (NULL: ones). scratch: n_out * VL reals. */
static void lose(int loss, void *z_, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n_out, const void *y_, const ptrdiff_t *label,
                 const ptrdiff_t *index, const double *weight, double gradient_scale, void *scratch, double *row_loss)
{
    REAL *z = z_, *columns = scratch;
    const REAL *y = y_;
    for (; rows > 0; rows -= VL, z += VL * NR, index += VL, row_loss += VL) {
        int lanes = rows < VL ? (int)rows : VL;
        vec total = {0}, factor = splat((REAL)gradient_scale);
        load_columns(z, stride, lanes, n_out, columns);
        if (loss == LOSS_LOG) {
            REAL at_label[VL] = {0};
            vec top;
            for (int r = 0; r < lanes; r++) at_label[r] = columns[label[index[r]] * VL + r];
            vec sum = exponentials(columns, n_out, &top);
            total = vlog(sum) + (top - load(at_label));
            scale_columns(columns, n_out, 1 / sum);
            for (int r = 0; r < lanes; r++) columns[label[index[r]] * VL + r] -= 1;
        } else {
            for (ptrdiff_t j = 0; j < n_out; j++) {
                REAL target[VL] = {0}, *at = columns + j * VL;
                for (int r = 0; r < lanes; r++) target[r] = y[index[r] * n_out + j];
                if (loss == LOSS_BINARY_LOG) total += lose_one(LOSS_BINARY_LOG, load(at), load(target), at);
                else if (loss == LOSS_POISSON) total += lose_one(LOSS_POISSON, load(at), load(target), at);
                else total += lose_one(LOSS_SQUARED_ERROR, load(at), load(target), at);
            }
            if (loss == LOSS_SQUARED_ERROR) total /= (REAL)n_out;
        }
        if (weight)
            for (int r = 0; r < lanes; r++) factor[r] *= (REAL)weight[index[r]];
        if (weight || gradient_scale != 1) scale_columns(columns, n_out, factor);
        store_columns(columns, lanes, n_out, z, stride);
        for (int r = 0; r < lanes; r++) row_loss[r] = (double)total[r] * (weight ? weight[index[r]] : 1);
    }
}

/* The output activation that belongs to the loss (softmax, logistic, exp, identity): row-major rows of n_out from the panels z, which
 * are overwritten. */
static void output(int loss, void *z_, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n_out, void *scratch, void *out_)
{
    REAL *z = z_, *columns = scratch, *out = out_;
    for (; rows > 0; rows -= VL, z += VL * NR, out += VL * n_out) {
        int lanes = rows < VL ? (int)rows : VL;
        if (loss != LOSS_SQUARED_ERROR) {
            load_columns(z, stride, lanes, n_out, columns);
            if (loss == LOSS_LOG) {
                vec top, sum = exponentials(columns, n_out, &top);
                scale_columns(columns, n_out, 1 / sum);
            } else {
                for (ptrdiff_t j = 0; j < n_out; j++) {
                    REAL *at = columns + j * VL;
                    store(at, loss == LOSS_POISSON ? vexp(load(at)) : vlogistic(load(at)));
                }
            }
            store_columns(columns, lanes, n_out, z, stride);
        }
        for (int r = 0; r < lanes; r++)
            for (ptrdiff_t j = 0; j < n_out; j += NR)
                memcpy(out + r * n_out + j, z + j / NR * stride + r * NR, sizeof(REAL) * (size_t)(n_out - j < NR ? n_out - j : NR));
    }
}

#endif
