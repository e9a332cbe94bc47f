/* The products of a dense layer on the way forward and back, each with its epilogue fused, over the panels that
 * kernels.h describes; the third, of the weights' gradient, is in gradient.h.
 *
 * A tile is `rows` (at most MR) x `vectors` (1 or 2) accumulators in registers; both are constants where a tile is
 * inlined. Each element of a result has one accumulator that runs over k (or over the chunk's rows) in order, so its
 * bits depend on neither tile nor thread. Rows are cut into tiles of nearly equal height, so that a count that MR
 * does not divide costs in proportion.
 */
#ifndef NNFAST_DENSE_H
#define NNFAST_DENSE_H

#include "activation.h"

/* A line a case. */
/* clang-format off */
#if VECTOR_BYTES == 64
#define CALL_WITH_ROWS(n, call) \
    switch (n) { \
    case 1: { enum { ROWS = 1 }; call; } break; \
    case 2: { enum { ROWS = 2 }; call; } break; \
    case 3: { enum { ROWS = 3 }; call; } break; \
    case 4: { enum { ROWS = 4 }; call; } break; \
    case 5: { enum { ROWS = 5 }; call; } break; \
    case 6: { enum { ROWS = 6 }; call; } break; \
    case 7: { enum { ROWS = 7 }; call; } break; \
    default: { enum { ROWS = 8 }; call; } break; \
    }
#else
#define CALL_WITH_ROWS(n, call) \
    switch (n) { \
    case 1: { enum { ROWS = 1 }; call; } break; \
    case 2: { enum { ROWS = 2 }; call; } break; \
    case 3: { enum { ROWS = 3 }; call; } break; \
    default: { enum { ROWS = 4 }; call; } break; \
    }
#endif
/* clang-format on */

/* Runs `call` with the constant ROWS and the variables `row` and `tile` over tiles that cover 0 .. count. */
#define FOR_TILES(count, call) \
    do { \
        ptrdiff_t tiles_ = tiles_of(count), row = 0, tile = 0; \
        for (ptrdiff_t left_ = (count); left_ > 0; tiles_--, tile++) { \
            ptrdiff_t height_ = (left_ + tiles_ - 1) / tiles_; \
            CALL_WITH_ROWS(height_, call) \
            row += height_, left_ -= height_; \
        } \
    } while (0)
INLINE ptrdiff_t tiles_of(ptrdiff_t rows) { return (rows + MR - 1) / MR; }

/* What the next product wants of a panel, which another core may have written, is asked for while this product is
 * under way: its tiles ask for equal shares, a few lines every BURST rows of the panel. (A core waits for some 16
 * lines at a time. One tile that asked for all would be held up by it.) */
enum { LINE = 64 / REAL_BYTES, BURST = 16 };
typedef struct {
    const REAL *next;
    ptrdiff_t lines; /* a burst */
} Ahead;

/* The lines that each of so many tiles asks for in a burst; and the share of one of them in `rows` rows of the panel
 * at p. */
INLINE ptrdiff_t lines_of(ptrdiff_t tiles) { return (BURST * NR / LINE + tiles - 1) / tiles; }
INLINE Ahead ahead_of(const REAL *p, ptrdiff_t rows, ptrdiff_t tile, ptrdiff_t lines)
{
    return (Ahead){p + tile * (rows / BURST * lines * LINE), p ? lines : 0};
}
INLINE void fetch_some(Ahead *ahead)
{
    for (ptrdiff_t i = 0; i < ahead->lines; i++, ahead->next += LINE) __builtin_prefetch(ahead->next, 0, 2);
}

/* acc[r] += a[r, :k] @ w[:k]: a in panels of row stride NR, w one panel. */
INLINE void multiply(int rows, int vectors, vec acc[MR][2], const REAL *a, ptrdiff_t stride, const REAL *w, ptrdiff_t k,
                     Ahead ahead)
{
    const ptrdiff_t step = (int)NR < (int)BURST ? NR : BURST;
    for (ptrdiff_t i = 0, at = 0; i < k; i += step) {
        ptrdiff_t len = k - i < step ? k - i : step;
        if (i % BURST == 0) fetch_some(&ahead);
        for (ptrdiff_t j = at; j < at + len; j++, w += NR) {
            vec w0 = load(w), w1 = vectors > 1 ? load(w + VL) : w0;
            UNROLLED (r, rows) {
                vec x = splat(a[r * NR + j]);
                acc[r][0] = fmadd(x, w0, acc[r][0]);
                if (vectors > 1) acc[r][1] = fmadd(x, w1, acc[r][1]);
            }
        }
        at += step;
        if (at == NR) at = 0, a += stride;
    }
}

INLINE void forward_tile(int rows, int vectors, const REAL *a, ptrdiff_t stride, const REAL *w, ptrdiff_t k,
                         const REAL *b, REAL *out, int first, int activation, vec p, Ahead ahead)
{
    vec acc[MR][2], d;
    UNROLLED (r, rows)
        UNROLLED (c, vectors) acc[r][c] = load(first ? b + c * VL : out + r * NR + c * VL);
    multiply(rows, vectors, acc, a, stride, w, k, ahead);
#define ACTIVATED(kind) \
    UNROLLED (r, rows) \
        UNROLLED (c, vectors) store(out + r * NR + c * VL, activated(kind, acc[r][c], p, &d));
    switch (activation) {
    case ACTIVATION_RELU: ACTIVATED(ACTIVATION_RELU) break;
    case ACTIVATION_LEAKY_RELU: ACTIVATED(ACTIVATION_LEAKY_RELU) break;
    default: ACTIVATED(ACTIVATION_IDENTITY)
    }
#undef ACTIVATED
}

/* out = activation(a @ w + b) for one panel of outputs, the activation one of identity, ReLU and leaky ReLU. Reads
 * a, w, b; writes `rows` rows of the panel out, which may not overlap them. */
static void forward(const void *a_, ptrdiff_t stride, ptrdiff_t rows, const void *w_, ptrdiff_t n_in, const void *b,
                    void *out_, int vectors, int activation, double parameter)
{
    const REAL *a = a_, *w = w_;
    const vec p = splat((REAL)parameter);
    const ptrdiff_t lines = lines_of(tiles_of(rows));
    REAL *out = out_;
    for (ptrdiff_t k = 0; k < n_in; k += DEPTH, a += DEPTH / NR * stride, w += DEPTH * NR) {
        ptrdiff_t depth = n_in - k < DEPTH ? n_in - k : DEPTH;
        int first = k == 0, kind = k + depth == n_in ? activation : ACTIVATION_IDENTITY;
#define TILE(vectors) \
    FOR_TILES(rows, forward_tile(ROWS, vectors, a + row * NR, stride, w, depth, b, out + row * NR, first, kind, p, \
                                 ahead_of(w + depth * NR, depth, tile, lines)))
        if (vectors > 1) TILE(2);
        else TILE(1);
#undef TILE
    }
}

/* acc[p] += a[:k] @ w[:k] for some adjacent panels of columns; w row-major, `step` numbers from a row to the next. */
INLINE void multiply_row(int panels, vec acc[MR][2], const REAL *a, const REAL *w, ptrdiff_t step, ptrdiff_t k)
{
    for (ptrdiff_t i = 0; i < k; i++, w += step) {
        vec x = splat(a[i]);
        UNROLLED (p, panels)
            UNROLLED (c, 2) acc[p][c] = fmadd(x, load(w + p * NR + c * VL), acc[p][c]);
    }
}

/* The panels of columns from `column` on. Where they reach beyond a row of w, the next one stands in the pads; of
 * the last rows, behind which w may end, copies are read. */
INLINE void forward_row_tile(int panels, const REAL *a, const REAL *w, ptrdiff_t step, ptrdiff_t n_in, ptrdiff_t n_out,
                             ptrdiff_t column, REAL *out)
{
    ptrdiff_t beyond = column + panels * NR - step, copied = beyond > 0 ? (beyond + step - 1) / step : 0;
    if (copied > n_in) copied = n_in;
    vec acc[MR][2];
    UNROLLED (p, panels)
        UNROLLED (c, 2) acc[p][c] = load(out + column + p * NR + c * VL);
    multiply_row(panels, acc, a, w + column, step, n_in - copied);
    if (copied) {
        REAL copy[MR * NR] = {0};
        for (ptrdiff_t k = n_in - copied; k < n_in; k++) {
            memcpy(copy, w + k * step + column, sizeof(REAL) * (size_t)(n_out - column));
            multiply_row(panels, acc, a + k, copy, 0, 1);
        }
    }
    UNROLLED (p, panels)
        UNROLLED (c, 2) store(out + column + p * NR + c * VL, acc[p][c]);
}

/* out += a @ w for one row and row-major weights, n_out or more from a row to the next: where out starts as the
 * biases, what `forward` makes of them, to the bit. A tile is several panels of columns, since the products of one
 * would wait for each other. Writes anything to the pads of out. */
static void forward_row(const void *a, const void *w, ptrdiff_t step, ptrdiff_t n_in, ptrdiff_t n_out, void *out)
{
    FOR_TILES((n_out + NR - 1) / NR, forward_row_tile(ROWS, a, w, step, n_in, n_out, row * NR, out));
}

/* The sum of 64 bytes of lanes (of NR lanes, where NR is less), folded in halves: one order for AVX2 and AVX-512. */
enum { FOLDED = VL * REAL_BYTES == 64 ? 1 : 2 };
INLINE REAL horizontal_sum(const vec acc[FOLDED])
{
    vec sum = FOLDED == 2 ? acc[0] + acc[FOLDED - 1] : acc[0];
    /* only the first lanes matter */
    UNROLL for (int half = VL / 2; half > 0; half /= 2) sum += __builtin_shuffle(sum, (LANES + half) & (VL - 1));
    return sum[0];
}

/* out[:, :n_out] = a @ w + b for a narrow layer, by dot products along the inputs. Pads of a must be zero; out is
 * one panel. */
static void forward_narrow(const void *a_, ptrdiff_t stride, ptrdiff_t rows, const void *w_, ptrdiff_t n_in,
                           ptrdiff_t n_out, const void *b_, void *out_)
{
    const REAL *b = b_;
    for (ptrdiff_t j = 0; j < n_out; j++)
        for (ptrdiff_t r = 0; r < rows; r++) {
            const REAL *a = (const REAL *)a_ + r * NR, *w = (const REAL *)w_ + j * NR;
            vec acc[FOLDED] = {{0}};
            for (ptrdiff_t k = 0; k < n_in; k += NR, a += stride, w += n_out * NR) {
                acc[0] = fmadd(load(a), load(w), acc[0]);
                acc[FOLDED - 1] = fmadd(load(a + VL), load(w + VL), acc[FOLDED - 1]);
            }
            ((REAL *)out_)[r * NR + j] = b[j] + horizontal_sum(acc);
        }
}

INLINE void backward_tile(int rows, int vectors, const REAL *dz, ptrdiff_t stride, const REAL *wt, ptrdiff_t k,
                          const REAL *a_below, REAL *dz_below, int first, int activation, vec p, Ahead ahead)
{
    vec acc[MR][2];
    UNROLLED (r, rows)
        UNROLLED (c, vectors) acc[r][c] = first ? (vec){0} : load(dz_below + r * NR + c * VL);
    multiply(rows, vectors, acc, dz, stride, wt, k, ahead);
#define DERIVED(kind) \
    case kind: \
        UNROLLED (r, rows) \
            UNROLLED (c, vectors) \
                store(dz_below + r * NR + c * VL, derived(kind, load(a_below + r * NR + c * VL), acc[r][c], p)); \
        break;
    switch (activation) {
        FOR_DERIVATIVES(DERIVED)
    }
#undef DERIVED
}

/* dz_below = (dz @ w.T) * activation'(below) for one panel of inputs, from the transposed weights; a_below as
 * `derived` wants it. */
static void backward(const void *dz_, ptrdiff_t stride, ptrdiff_t rows, const void *wt_, ptrdiff_t n_out,
                     const void *a_below_, void *dz_below_, int vectors, int activation, double parameter)
{
    const REAL *dz = dz_, *wt = wt_, *a_below = a_below_;
    const vec p = splat((REAL)parameter);
    const ptrdiff_t lines = lines_of(tiles_of(rows));
    REAL *dz_below = dz_below_;
    for (ptrdiff_t k = 0; k < n_out; k += DEPTH, dz += DEPTH / NR * stride, wt += DEPTH * NR) {
        ptrdiff_t depth = n_out - k < DEPTH ? n_out - k : DEPTH;
        int first = k == 0, kind = k + depth == n_out ? activation : ACTIVATION_IDENTITY;
#define TILE(vectors) \
    FOR_TILES(rows, backward_tile(ROWS, vectors, dz + row * NR, stride, wt, depth, a_below + row * NR, \
                                  dz_below + row * NR, first, kind, p, ahead_of(wt + depth * NR, depth, tile, lines)))
        if (vectors > 1) TILE(2);
        else TILE(1);
#undef TILE
    }
}

/* Zeros in the pads of the last panel, where the next layer reads whole vectors: after an activation with f(0) != 0. */
static void clear_pads(void *a, ptrdiff_t rows, ptrdiff_t n)
{
    size_t used = (size_t)(n % NR ? n % NR : NR);
    for (ptrdiff_t r = 0; r < rows; r++) memset((REAL *)a + r * NR + used, 0, (NR - used) * sizeof(REAL));
}

#endif
