/* In and out of panels: rows of the user's table (any number type and strides, or sparse) gathered into activations,
 * weights packed from scikit-learn's row-major arrays and unpacked to them. One pass: gather, conversion and
 * blocking together.
 */
#ifndef NNFAST_TABLES_H
#define NNFAST_TABLES_H

#include "gradient.h"
#include "dropout.h"

enum { PREFETCHED_ROWS = 4 }; /* rows come from all over the table: ask for them before they are needed */

/* out[:, r] = x[index[r]], pads zero; strides of x in bytes. */
#define DEFINE_GATHER(name, T) \
    static void name(const char *x, ptrdiff_t row_bytes, ptrdiff_t column_bytes, const ptrdiff_t *index, \
                     ptrdiff_t rows, ptrdiff_t n_features, void *out_, ptrdiff_t stride) \
    { \
        for (ptrdiff_t r = 0; r < rows; r++) { \
            const char *row = x + index[r] * row_bytes; \
            REAL *out = (REAL *)out_ + r * NR; \
            if (r + PREFETCHED_ROWS < rows && column_bytes == sizeof(T)) \
                for (size_t at = 0; at < sizeof(T) * (size_t)n_features && at < 1024; at += 64) \
                    __builtin_prefetch(x + index[r + PREFETCHED_ROWS] * row_bytes + at); \
            for (ptrdiff_t k = 0; k < n_features; k += NR, out += stride) { \
                ptrdiff_t count = n_features - k < NR ? n_features - k : NR; \
                if (column_bytes != sizeof(T)) { \
                    for (ptrdiff_t j = 0; j < count; j++) out[j] = (REAL) * (const T *)(row + (k + j) * column_bytes); \
                    for (ptrdiff_t j = count; j < NR; j++) out[j] = 0; \
                    continue; \
                } \
                const T *from = (const T *)row + k; \
                T last[64]; /* NR at most, and whole vectors */ \
                if (count < NR) { \
                    copy_first(last, from, count * (ptrdiff_t)sizeof(T), NR * sizeof(T) < 64 ? 64 : NR * sizeof(T)); \
                    from = last; \
                } \
                for (int j = 0; j < NR; j++) out[j] = (REAL)from[j]; \
            } \
        } \
    }
DEFINE_GATHER(gather_float32, float)
DEFINE_GATHER(gather_float64, double)
DEFINE_GATHER(gather_int8, int8_t)
DEFINE_GATHER(gather_int16, int16_t)
DEFINE_GATHER(gather_int32, int32_t)
DEFINE_GATHER(gather_int64, int64_t)
DEFINE_GATHER(gather_uint8, uint8_t)
DEFINE_GATHER(gather_uint16, uint16_t)
DEFINE_GATHER(gather_uint32, uint32_t)
DEFINE_GATHER(gather_uint64, uint64_t)

INLINE ptrdiff_t csr_index(const void *p, int bytes, ptrdiff_t i)
{
    return bytes == 4 ? (ptrdiff_t)((const int32_t *)p)[i] : (ptrdiff_t)((const int64_t *)p)[i];
}
/* The column of entry i, n_features or more if it is none; read once, so that what is checked is what is used. */
INLINE size_t csr_column(const Csr *x, ptrdiff_t i)
{
    if (x->index_bytes == 4) return (size_t)__atomic_load_n((const int32_t *)x->indices + i, __ATOMIC_RELAXED);
    return (size_t)__atomic_load_n((const int64_t *)x->indices + i, __ATOMIC_RELAXED);
}
INLINE REAL csr_value(const Csr *x, ptrdiff_t i)
{
    return x->data_bytes == 4 ? (REAL)((const float *)x->data)[i] : (REAL)((const double *)x->data)[i];
}

/* Sparse rows into dense panels; duplicate entries add up. */
static void densify(const Csr *x, const ptrdiff_t *index, ptrdiff_t rows, ptrdiff_t n_features, void *out_,
                    ptrdiff_t stride)
{
    REAL *out = out_;
    for (ptrdiff_t k = 0; k < n_features; k += NR) memset(out + k / NR * stride, 0, sizeof(REAL) * (size_t)(rows * NR));
    for (ptrdiff_t r = 0; r < rows; r++) {
        ptrdiff_t end = csr_index(x->indptr, x->index_bytes, index[r] + 1);
        for (ptrdiff_t i = csr_index(x->indptr, x->index_bytes, index[r]); i < end; i++) {
            size_t k = csr_column(x, i);
            if (k < (size_t)n_features)
                out[(ptrdiff_t)(k / NR) * stride + r * NR + (ptrdiff_t)(k % NR)] += csr_value(x, i);
        }
    }
}

/* Entry i of a row, of column k, after dropout (NULL: none), which makes it zero or scales it. */
INLINE REAL csr_input(const Csr *x, ptrdiff_t i, size_t k, const Dropout *dropout, uint64_t key)
{
    REAL value = csr_value(x, i);
    if (!dropout) return value;
    return is_kept(key, (uint32_t)k, dropout->threshold) ? value * (REAL)dropout->scale : 0;
}

/* The rows of a chunk by columns (a counting sort: rows stay in order within a column). `row` is the batch's row of
 * the first one. */
static void transpose_csr(const Csr *x, const ptrdiff_t *index, ptrdiff_t rows, ptrdiff_t n_features,
                          const Dropout *dropout, uint64_t base, ptrdiff_t row, Csc *out)
{
    ptrdiff_t *start = out->start;
    memset(start, 0, sizeof(ptrdiff_t) * (size_t)(n_features + 1));
    for (ptrdiff_t r = 0; r < rows; r++) {
        ptrdiff_t end = csr_index(x->indptr, x->index_bytes, index[r] + 1);
        for (ptrdiff_t i = csr_index(x->indptr, x->index_bytes, index[r]); i < end; i++) {
            size_t k = csr_column(x, i);
            if (k < (size_t)n_features) start[k]++;
        }
    }
    /* start[k] = where column k ends, then filled from its end backwards */
    for (ptrdiff_t k = 0, sum = 0; k <= n_features; k++) {
        sum += start[k];
        start[k] = sum;
    }
    for (ptrdiff_t r = rows - 1; r >= 0; r--) {
        ptrdiff_t begin = csr_index(x->indptr, x->index_bytes, index[r]);
        uint64_t key = key_of_row(base, row + r);
        for (ptrdiff_t i = csr_index(x->indptr, x->index_bytes, index[r] + 1) - 1; i >= begin; i--) {
            size_t k = csr_column(x, i);
            if (k >= (size_t)n_features || start[k] == 0) continue; /* the latter: it was none when they were counted */
            ptrdiff_t at = --start[k];
            out->row[at] = (int32_t)r;
            ((REAL *)out->value)[at] = csr_input(x, i, k, dropout, key);
        }
    }
}

/* Rows of a sparse first layer for `panels` adjacent panels of outputs, in work proportional to the non-zeros. */
INLINE void forward_sparse_row(int panels, const Csr *x, ptrdiff_t begin, ptrdiff_t end, const REAL *w, ptrdiff_t n_in,
                               const REAL *b, REAL *out, ptrdiff_t stride, const Dropout *dropout, uint64_t key)
{
    vec acc[4][2];
    UNROLLED (p, panels) acc[p][0] = load(b + p * NR), acc[p][1] = load(b + p * NR + VL);
    for (ptrdiff_t i = begin; i < end; i++) {
        size_t k = csr_column(x, i);
        if (k >= (size_t)n_in) continue;
        vec value = splat(csr_input(x, i, k, dropout, key));
        const REAL *row = w + k * NR;
        UNROLLED (p, panels) {
            acc[p][0] = fmadd(value, load(row + p * n_in * NR), acc[p][0]);
            acc[p][1] = fmadd(value, load(row + p * n_in * NR + VL), acc[p][1]);
        }
    }
    UNROLLED (p, panels) store(out + p * stride, acc[p][0]), store(out + p * stride + VL, acc[p][1]);
}

/* out = x @ w + b, all panels of outputs. `row` is the batch's row of the first one. */
static void forward_sparse(const Csr *x, const ptrdiff_t *index, ptrdiff_t rows, const void *w_, ptrdiff_t n_in,
                           ptrdiff_t n_out, const void *b_, void *out_, ptrdiff_t stride, const Dropout *dropout,
                           uint64_t base, ptrdiff_t row)
{
    ptrdiff_t panels = (n_out + NR - 1) / NR;
    for (ptrdiff_t r = 0; r < rows; r++) {
        ptrdiff_t begin = csr_index(x->indptr, x->index_bytes, index[r]),
                  end = csr_index(x->indptr, x->index_bytes, index[r] + 1);
        uint64_t key = key_of_row(base, row + r);
        const REAL *w = w_, *b = b_;
        REAL *out = (REAL *)out_ + r * NR;
        ptrdiff_t p = 0;
        for (; p + 4 <= panels; p += 4, w += 4 * n_in * NR, b += 4 * NR, out += 4 * stride)
            forward_sparse_row(4, x, begin, end, w, n_in, b, out, stride, dropout, key);
        for (; p < panels; p++, w += n_in * NR, b += NR, out += stride)
            forward_sparse_row(1, x, begin, end, w, n_in, b, out, stride, dropout, key);
    }
}

/* gradient_block for a sparse first layer: the sum of each input runs over its non-zeros. */
static void gradient_block_sparse(const Weights *l, const Csc *x, ptrdiff_t panel, ptrdiff_t k, double *squares)
{
    Epilogue e = epilogue_of(l);
    int vectors = vectors_of(l->n_out, panel);
    ptrdiff_t count = l->n_in - k < BLOCK ? l->n_in - k : BLOCK;
    const REAL *dz = (const REAL *)l->dz + panel * l->stride;
    for (ptrdiff_t j = 0; j < count; j++) {
        vec acc[1][2] = {{{0}}};
        for (ptrdiff_t i = x->start[k + j]; i < x->start[k + j + 1]; i++) {
            vec value = splat(((const REAL *)x->value)[i]);
            acc[0][0] = fmadd(value, load(dz + x->row[i] * (ptrdiff_t)NR), acc[0][0]);
            acc[0][1] = fmadd(value, load(dz + x->row[i] * (ptrdiff_t)NR + VL), acc[0][1]);
        }
        ptrdiff_t at = (panel * l->n_in + k + j) * NR;
        finish_tile(&e, 1, vectors, acc, at);
    }
    if (reports(l)) write_squares(&e, vectors, squares);
}

/* Whether each of n numbers times `scale` is finite. */
static int are_finite(const void *x_, ptrdiff_t n, double scale)
{
    const REAL *x = x_;
    vec by = splat((REAL)scale);
    vec zero[4] = {{0}}; /* zero times x is NaN where x is not finite, and so is what it is added to */
    for (; n >= 4 * VL; n -= 4 * VL, x += 4 * VL)
        UNROLLED (i, 4) zero[i] += load(x + i * VL) * by * (REAL)0;
    for (; n > 0; n -= VL, x += VL) zero[0] += (n >= VL ? load(x) : load_first(x, n, 0)) * by * (REAL)0;
    vec sum = (zero[0] + zero[1]) + (zero[2] + zero[3]);
    for (int i = 0; i < VL; i++)
        if (sum[i] != sum[i]) return 0;
    return 1;
}

INLINE REAL read_real(const void *p, int is_double, ptrdiff_t i)
{
    return is_double ? (REAL)((const double *)p)[i] : (REAL)((const float *)p)[i];
}
INLINE void write_real(void *p, int is_double, ptrdiff_t i, REAL x)
{
    if (is_double) ((double *)p)[i] = (double)x;
    else ((float *)p)[i] = (float)x;
}

/* COPY(type, count) of one panel, with a count that the compiler knows where it is that of a whole panel. */
#define COPY_PANEL(is_double, count) \
    { \
        ptrdiff_t left = count; \
        if (left >= NR && is_double) { \
            COPY(double, NR) \
        } else if (left >= NR) { \
            COPY(float, NR) \
        } else if (is_double) { \
            COPY(double, left) \
        } else { \
            COPY(float, left) \
        } \
    }

/* Row-major [n_in][n_out], `step` numbers from a row to the next -> panels [ceil(n_out / NR)][n_in][NR]. Pads are
 * left as they are: zero since their allocation. */
static void pack(const void *rows, int from_double, ptrdiff_t step, ptrdiff_t n_in, ptrdiff_t n_out, void *panels)
{
    enum { ROWS_AHEAD = 16 }; /* each on a page of its own, where processors do not look ahead themselves */
#define COPY(type, count) \
    for (ptrdiff_t k = 0; k < n_in; k++) { \
        const type *from = (const type *)rows + k * step + j; \
        for (ptrdiff_t c = 0; c < count; c += LINE / sizeof(type)) \
            __builtin_prefetch(from + ROWS_AHEAD * step + c, 0, 2); \
        for (ptrdiff_t c = 0; c < count; c++) ((REAL *)panels)[j * n_in + k * NR + c] = (REAL)from[c]; \
    }
    for (ptrdiff_t j = 0; j < n_out; j += NR) COPY_PANEL(from_double, n_out - j)
#undef COPY
}
static void unpack(const void *panels, ptrdiff_t n_in, ptrdiff_t n_out, void *rows, int to_double)
{
#define COPY(type, count) \
    for (ptrdiff_t k = 0; k < n_in; k++) \
        for (ptrdiff_t c = 0; c < count; c++) \
            ((type *)rows)[k * n_out + j + c] = (type)((const REAL *)panels)[j * n_in + k * NR + c];
    for (ptrdiff_t j = 0; j < n_out; j += NR) COPY_PANEL(to_double, n_out - j)
#undef COPY
}

/* Row-major [n_in][n_out] -> transposed panels [ceil(n_in / NR)][n_out][NR]. */
static void pack_transposed(const void *rows, int from_double, ptrdiff_t n_in, ptrdiff_t n_out, void *panels)
{
    for (ptrdiff_t k = 0; k < n_in; k++)
        for (ptrdiff_t j = 0; j < n_out; j++)
            ((REAL *)panels)[(k / NR * n_out + j) * NR + k % NR] = read_real(rows, from_double, k * n_out + j);
}
static void unpack_transposed(const void *panels, ptrdiff_t n_in, ptrdiff_t n_out, void *rows, int to_double)
{
    for (ptrdiff_t k = 0; k < n_in; k++)
        for (ptrdiff_t j = 0; j < n_out; j++)
            write_real(rows, to_double, k * n_out + j, ((const REAL *)panels)[(k / NR * n_out + j) * NR + k % NR]);
}

#endif
