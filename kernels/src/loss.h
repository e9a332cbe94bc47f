/* Losses and output activations, from the raw outputs z of the last layer, VL rows at a time with a row in each lane.
 *
 *   log_loss         log(sum_j exp(z_j)) - sum_j t_j z_j, t = (1 - e) onehot(label) + e / n_out        dz =
 *   softmax(z) - t
 *   focal            -(1 - p)^gamma log(p), p = softmax(z)_label                              dz = c (softmax(z) -
 *   onehot(label))
 *   binary_log_loss  sum_j max(z, 0) - z y + log(1 + exp(-|z|))                               dz = logistic(z) - y
 *   binary_focal     sum_j -(1 - p)^gamma log(p), p = logistic(+-z)                           dz = -+ c (1 - p)
 *   squared_error    mean_j (z - y)^2 / 2                                                     dz = z - y
 *   absolute_error   mean_j |z - y|                                                           dz = sign(z - y)
 *   huber            mean_j e^2 / 2 or, from |e| = delta on, delta |e| - delta^2 / 2          dz = e within -delta
 *   .. delta
 *   log_cosh         mean_j log(cosh(z - y))                                                  dz = tanh(z - y)
 *   quantile         mean_j max(q (y - z), (q - 1) (y - z))                                   dz = -q, 1 - q or,
 *   where y = z, 0
 *   poisson          sum_j y log(y) - y z - y + exp(z)                                        dz = exp(z) - y
 *   gamma            sum_j z + y exp(-z) - log(y) - 1                                         dz = 1 - y exp(-z)
 *
 * with c = (1 - p)^gamma (1 - gamma p log(p) / (1 - p)). Where the loss is a mean over outputs dz is that of the
 * sum, as scikit-learn has it.
 *
 * Numerical stability: no probability is formed on the way to a loss, so none is clipped; sums over outputs run in a
 * fixed order (for softmax: every fourth output to one of four accumulators), one lane a row, so no bit depends on
 * the vector's width.
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
        UNROLLED (r, VL) square[r] = r < rows ? load(from + r * NR) : (vec){0};
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
        UNROLLED (c, VL) square[c] = c < count ? load(columns + (j + c) * VL) : (vec){0};
        transpose(square);
        for (ptrdiff_t r = 0; r < rows; r++) store(to + r * NR, square[r]);
    }
}

/* columns[j] = exp(z_j - max); returns their sum and, in *top, the max, and in *shifted unless it is NULL, the sum
 * of z_j - max. */
INLINE vec exponentials(REAL *columns, ptrdiff_t n_out, vec *top, vec *shifted)
{
    vec highest = load(columns), sum[4] = {{0}};
    for (ptrdiff_t j = 1; j < n_out; j++) {
        vec z = load(columns + j * VL);
        highest = choose((z > highest) | (z != z), z, highest); /* NaN wins */
    }
    if (shifted) {
        *shifted = (vec){0};
        for (ptrdiff_t j = 0; j < n_out; j++) *shifted += load(columns + j * VL) - highest;
    }
    for (ptrdiff_t j = 0; j < n_out; j += 4)
        UNROLLED (i, 4) {
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

/* The focal loss from log(p), p and q = 1 - p, each computed without cancellation; *c is its derivative by log(p),
 * negated. */
INLINE vec focal(vec log_p, vec p, vec q, vec gamma, vec *c)
{
    vec power = choose(gamma == 0, splat(1), choose(q == 0, (vec){0}, vexp(gamma * vlog(q))));
    vec ratio = choose(q == 0, splat(-1), log_p / q);
    *c = choose(power == 0, (vec){0}, power * fnmadd(gamma * p, ratio, splat(1)));
    return choose(power == 0, (vec){0}, -power * log_p);
}

/* One output of an elementwise loss: the loss, and z replaced by dz. p: the loss's parameter. */
INLINE vec loss_and_gradient_of_one(int loss, vec z, vec y, vec p, REAL *dz)
{
    vec e, size;
    switch (loss) {
    case LOSS_BINARY_LOG_LOSS:
        e = vexp(-absolute(z));
        store(dz, choose(z < 0, e, splat(1)) / (e + 1) - y);
        return fnmadd(z, y, max_or_second((vec){0}, z)) + vlog1p_unit(e);
    case LOSS_BINARY_FOCAL: {
        vec s = choose(y > (REAL)0.5, z, -z), c; /* the logit of the true label */
        e = vexp(-absolute(s));
        vec inverse = 1 / (e + 1), prob = choose(s < 0, e, splat(1)) * inverse,
            q = choose(s < 0, splat(1), e) * inverse;
        vec value = focal(min_or_second((vec){0}, s) - vlog1p_unit(e), prob, q, p, &c);
        c *= q;
        store(dz, choose(y > (REAL)0.5, -c, c));
        return value;
    }
    case LOSS_ABSOLUTE_ERROR:
        e = z - y;
        store(dz, choose((e == 0) | (e != e), e, with_sign_of(splat(1), e)));
        return absolute(e);
    case LOSS_HUBER:
        e = z - y, size = absolute(e);
        store(dz, max_or_second(-p, min_or_second(p, e)));
        return choose(size <= p, (REAL)0.5 * e * e, p * (size - (REAL)0.5 * p));
    case LOSS_LOG_COSH: { /* near zero cosh(e) - 1 = m^2 / (2 m + 2), m = exp(|e|) - 1 */
        e = z - y, size = absolute(e);
        /* 1 - exp(-|e|): the same quotient is m^2 / (2 - 2 m) */
        vec m = -expm1_moderate(max_or_second(splat(-50), -size));
        vec near = vlog1p_unit(min_or_second(splat(1), m * m / (2 - 2 * m)));
        store(dz, vtanh(e));
        return choose(size < (REAL)0.5, near, size - (REAL)0.69314718055994530942 + vlog1p_unit(vexp(-2 * size)));
    }
    case LOSS_QUANTILE:
        e = y - z;
        store(dz, choose(e > 0, -p, choose(e < 0, 1 - p, e)));
        return max_or_second(p * e, (p - 1) * e);
    case LOSS_POISSON:
        e = vexp(z);
        store(dz, e - y);
        return choose(y == 0, (vec){0}, y * (vlog(y) - z)) - y + e;
    case LOSS_GAMMA:
        e = y * vexp(-z);
        store(dz, 1 - e);
        return (z - vlog(y)) + (e - 1);
    default:
        e = z - y;
        store(dz, e);
        return (REAL)0.5 * e * e;
    }
}

/* Softmax, in columns: the loss of each lane's row, and columns replaced by dz. */
INLINE vec loss_and_gradient_of_class(const Loss *loss, REAL *columns, ptrdiff_t n_out, const ptrdiff_t *label,
                                      const ptrdiff_t *index, int lanes)
{
    REAL at_label[VL] = {0}, others[VL] = {0};
    const REAL parameter = loss->parameters ? (REAL)loss->parameters[0] : 0;
    const int smooths = loss->kind == LOSS_LOG_LOSS && parameter > 0;
    vec top, total, shifted = {0};
    for (int r = 0; r < lanes; r++) at_label[r] = columns[label[index[r]] * VL + r];
    vec sum = exponentials(columns, n_out, &top, smooths ? &shifted : NULL), own = load(at_label) - top;
    if (loss->kind == LOSS_FOCAL) {
        for (int r = 0; r < lanes; r++) { /* exp of the label's logit moves out of its column */
            REAL *at = columns + label[index[r]] * VL + r;
            at_label[r] = *at, *at = 0;
        }
        vec e = load(at_label), rest = {0}, c;
        for (ptrdiff_t j = 0; j < n_out; j++) rest += load(columns + j * VL);
        vec inverse = 1 / (e + rest);
        vec log_p = choose(rest <= e, -vlog1p_unit(min_or_second(splat(1), rest / e)), own - vlog(sum));
        total = focal(log_p, e * inverse, rest * inverse, splat(parameter), &c);
        scale_columns(columns, n_out, c * inverse);
        store(others, -c * rest * inverse);
        for (int r = 0; r < lanes; r++) columns[label[index[r]] * VL + r] = others[r];
        return total;
    }
    total = vlog(sum) - own;
    scale_columns(columns, n_out, 1 / sum);
    if (smooths) {
        const REAL share = parameter / (REAL)n_out;
        total += parameter * own - shifted * share;
        for (ptrdiff_t j = 0; j < n_out; j++) store(columns + j * VL, load(columns + j * VL) - share);
    }
    for (int r = 0; r < lanes; r++) columns[label[index[r]] * VL + r] -= 1 - parameter;
    return total;
}

/* The user's own loss of VL rows: the sum over outputs, and columns replaced by dz. Lanes of no row have a y of 0,
 * and are not looked at. */
INLINE vec loss_and_gradient_of_own(const Loss *loss, REAL *columns, ptrdiff_t n_out, const REAL *y,
                                    const ptrdiff_t *index, int lanes)
{
    enum { TOGETHER = 4 }; /* columns of a call */
    REAL target[TOGETHER * VL] = {0}, value[TOGETHER * VL];
    vec total = {0};
    for (ptrdiff_t j = 0; j < n_out; j += TOGETHER) {
        ptrdiff_t count = n_out - j < TOGETHER ? n_out - j : TOGETHER;
        for (ptrdiff_t c = 0; c < count; c++)
            for (int r = 0; r < lanes; r++) target[c * VL + r] = y[index[r] * n_out + j + c];
        loss->own(target, columns + j * VL, value, NULL, count * VL);
        for (ptrdiff_t c = 0; c < count; c++) total += load(value + c * VL);
    }
    return loss->own_is_mean ? total / (REAL)n_out : total;
}

/* Writes each row's loss * weight to row_loss and, with `differentiates`, replaces the outputs z of `rows` rows by
 * dz * gradient_scale * weight. index: the rows' numbers in y (row-major [*, n_out]) or label (classes), and in
 * weight (NULL: ones). scratch: n_out * VL reals. */
static void loss_and_gradient(const Loss *loss, void *z_, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n_out,
                              const void *y_, const ptrdiff_t *label, const ptrdiff_t *index, const double *weight,
                              int differentiates, void *scratch, double *row_loss)
{
    REAL *z = z_, *columns = scratch;
    const REAL *y = y_;
    for (; rows > 0; rows -= VL, z += VL * NR, index += VL, row_loss += VL) {
        int lanes = rows < VL ? (int)rows : VL;
        vec total = {0}, factor = splat((REAL)loss->gradient_scale);
        load_columns(z, stride, lanes, n_out, columns);
        if (is_of_classes(loss->kind)) {
            total = loss_and_gradient_of_class(loss, columns, n_out, label, index, lanes);
        } else if (loss->kind == LOSS_OWN) {
            total = loss_and_gradient_of_own(loss, columns, n_out, y, index, lanes);
        } else {
            for (ptrdiff_t j = 0; j < n_out; j++) {
                REAL target[VL] = {0}, *at = columns + j * VL;
                vec p = splat(loss->parameters ? (REAL)loss->parameters[loss->kind == LOSS_QUANTILE ? j : 0] : 0);
                for (int r = 0; r < lanes; r++) target[r] = y[index[r] * n_out + j];
#define LOSS_OF(kind) \
    case kind: total += loss_and_gradient_of_one(kind, load(at), load(target), p, at); break;
                switch (loss->kind) {
                    FOR_OUTPUT_LOSSES(LOSS_OF)
                }
#undef LOSS_OF
            }
            if (is_mean(loss->kind)) total /= (REAL)n_out;
        }
        for (int r = 0; r < lanes; r++) row_loss[r] = (double)total[r] * (weight ? weight[index[r]] : 1);
        if (!differentiates) continue;
        if (weight)
            for (int r = 0; r < lanes; r++) factor[r] *= (REAL)weight[index[r]];
        if (weight || loss->gradient_scale != 1) scale_columns(columns, n_out, factor);
        store_columns(columns, lanes, n_out, z, stride);
    }
}

/* The same of one row whose panels lie side by side, an output in each lane: the same operations on each, in the
 * same order. */
INLINE void output_row(int kind, REAL *z, ptrdiff_t n_out, REAL *out)
{
    REAL highest = z[0], sum[4] = {0}, factor = 1;
    if (kind == OUTPUT_SOFTMAX) {
        for (ptrdiff_t j = 1; j < n_out; j++)
            if (z[j] > highest || z[j] != z[j]) highest = z[j];
        for (ptrdiff_t j = 0; j < n_out; j += VL) store(z + j, vexp(load(z + j) - highest));
        for (ptrdiff_t j = 0; j < n_out; j++) sum[j & 3] += z[j];
        factor = 1 / ((sum[0] + sum[1]) + (sum[2] + sum[3]));
        for (ptrdiff_t j = 0; j < n_out; j += VL) store(z + j, load(z + j) * factor);
    } else if (kind != OUTPUT_IDENTITY) {
        for (ptrdiff_t j = 0; j < n_out; j += VL)
            store(z + j, kind == OUTPUT_EXP ? vexp(load(z + j)) : vlogistic(load(z + j)));
    }
    memcpy(out, z, sizeof(REAL) * (size_t)n_out);
}

/* The output activation that belongs to the loss (softmax, logistic, exp, identity): row-major rows of n_out from
 * the panels z, which are overwritten. */
static void output(int loss, void *z_, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n_out, void *scratch, void *out_)
{
    REAL *z = z_, *columns = scratch, *out = out_;
    const int kind = output_of(loss);
    if (rows == 1 && stride == NR) {
        output_row(kind, z, n_out, out);
        return;
    }
    for (; rows > 0; rows -= VL, z += VL * NR, out += VL * n_out) {
        int lanes = rows < VL ? (int)rows : VL;
        if (kind != OUTPUT_IDENTITY) {
            load_columns(z, stride, lanes, n_out, columns);
            if (kind == OUTPUT_SOFTMAX) {
                vec top, sum = exponentials(columns, n_out, &top, NULL);
                scale_columns(columns, n_out, 1 / sum);
            } else {
                for (ptrdiff_t j = 0; j < n_out; j++) {
                    REAL *at = columns + j * VL;
                    store(at, kind == OUTPUT_EXP ? vexp(load(at)) : vlogistic(load(at)));
                }
            }
            store_columns(columns, lanes, n_out, z, stride);
        }
        for (int r = 0; r < lanes; r++)
            for (ptrdiff_t j = 0; j < n_out; j += NR)
                memcpy(out + r * n_out + j, z + j / NR * stride + r * NR,
                       sizeof(REAL) * (size_t)(n_out - j < NR ? n_out - j : NR));
    }
}

#endif
