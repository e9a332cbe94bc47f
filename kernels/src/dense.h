/* The three products of a dense layer, each with its epilogue fused, over the panels that kernels.h describes.
 *
 * A tile is `rows` (at most MR) x `vectors` (1 or 2) accumulators in registers; both are constants where a tile is
 * inlined. Each element of a result has one accumulator that runs over k (or over the chunk's rows) in order, so its
 * bits depend on neither tile nor thread. Rows are cut into tiles of nearly equal height, so that a count that MR
 * does not divide costs in proportion.
 */
#ifndef NNFAST_DENSE_H
#define NNFAST_DENSE_H

#include "activation.h"
#include "update.h"

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

/* Where the finished sums of a tile of gradients go: added to those of earlier chunks, stored, or turned into the
 * update at once. Offsets are those of the tile's first weight; `squares` gathers the columns' sums of the new
 * weights' squares. */
typedef struct {
    REAL *w, *m, *v, *g;
    Rates rates;
    int add, finish;
    vec squares[2];
} Epilogue;

INLINE Epilogue epilogue_of(const Gradient *l)
{
    return (Epilogue){
        .w = l->w, .m = l->m, .v = l->v, .g = l->g, .rates = rates_of(l->update), .add = l->add, .finish = l->finish};
}

/* The epilogue of `rows` x `vectors` sums, once a tile: not inlined, since each optimizer would be there for each
 * shape of tile. */
static __attribute__((noinline)) void finish_tile(Epilogue *e, int rows, int vectors, vec sums[][2], ptrdiff_t at)
{
    const Rates u = e->rates;
    REAL *w = e->w + at, *m = e->m ? e->m + at : NULL, *v = e->v ? e->v + at : NULL, *g = e->g ? e->g + at : NULL;
    for (int c = 0; c < vectors; c++) {
        vec squares = e->squares[c];
#define EACH_ROW() for (ptrdiff_t i = c * VL, r = 0; r < rows; r++, i += NR)
#define SUM (e->add ? sums[r][c] + load(g + i) : sums[r][c])
#define UPDATED(optimizer) \
    case optimizer: \
        EACH_ROW () { \
            vec old = load(w + i), gradient = gradient_of(&u, SUM, old); \
            vec new = updated(optimizer, &u, u.shrink == 1 ? old : old * u.shrink, gradient, m ? m + i : NULL, \
                              v ? v + i : NULL); \
            if (u.threshold > 0) new = shrunk(&u, new); \
            store(w + i, new); \
            squares = add_penalty(&u, new, squares); \
        } \
        break;
        if (!e->finish) {
            EACH_ROW () store(g + i, SUM);
            continue;
        }
        switch (u.kind) {
            FOR_UPDATES(UPDATED)
        default:
            EACH_ROW () {
                vec gradient = gradient_of(&u, SUM, load(w + i));
                store(g + i, gradient);
                squares = fmadd(gradient, gradient, squares);
            }
        }
        e->squares[c] = squares;
    }
#undef EACH_ROW
#undef SUM
#undef UPDATED
}

/* Whether an update leaves squares behind. */
INLINE int reports(const Gradient *l) { return l->finish && (l->update->kind != UPDATE_NONE || l->update->measures); }

INLINE void write_squares(const Epilogue *e, int vectors, double *squares)
{
    for (int c = 0; c < vectors; c++)
        for (int i = 0; i < VL; i++) squares[c * VL + i] = (double)e->squares[c][i];
}

/* Asks for the weights and moments of a tile before its products start, where those take longer than a fetch. */
INLINE void prefetch_tile(int rows, int vectors, const Epilogue *e, ptrdiff_t at)
{
    UNROLLED (r, rows)
        UNROLLED (c, vectors) {
            ptrdiff_t i = at + r * NR + c * VL;
            __builtin_prefetch(e->w + i, 1);
            if (e->m) __builtin_prefetch(e->m + i, 1);
            if (e->v) __builtin_prefetch(e->v + i, 1);
            if (e->g) __builtin_prefetch(e->g + i, 1);
        }
}

/* Sums over the chunk of rows: x[:, :rows].T @ y, x broadcast, y in vectors; both in panels of row stride NR. */
INLINE void gradient_tile(int rows, int vectors, Epilogue *e, const REAL *x, const REAL *y, ptrdiff_t n, ptrdiff_t at,
                          Ahead ahead)
{
    vec acc[MR][2], sums[MR][2];
    UNROLLED (r, rows) acc[r][0] = acc[r][1] = (vec){0};
    if (n >= 64) prefetch_tile(rows, vectors, e, at);
    for (ptrdiff_t left = n; left > 0; left -= BURST) {
        ptrdiff_t len = left < BURST ? left : BURST;
        fetch_some(&ahead);
        for (ptrdiff_t i = 0; i < len; i++, x += NR, y += NR) {
            vec y0 = load(y), y1 = vectors > 1 ? load(y + VL) : y0;
            UNROLLED (r, rows) {
                vec xr = splat(x[r]);
                acc[r][0] = fmadd(xr, y0, acc[r][0]);
                if (vectors > 1) acc[r][1] = fmadd(xr, y1, acc[r][1]);
            }
        }
    }
    UNROLLED (r, rows) sums[r][0] = acc[r][0], sums[r][1] = acc[r][1]; /* a copy: acc stays in registers */
    finish_tile(e, rows, vectors, sums, at);
}

/* Copies updated weights k .. k + count of a panel into the transposed weights, through registers. */
static void transpose_block(const Gradient *l, ptrdiff_t panel, ptrdiff_t k, ptrdiff_t count)
{
    const REAL *w = (const REAL *)l->w + (panel * l->n_in + k) * NR;
    for (ptrdiff_t i = 0; i < count; i += VL, w += VL * NR) {
        REAL *wt = (REAL *)l->wt + ((k + i) / NR * l->n_out + panel * NR) * NR + (k + i) % NR;
        for (ptrdiff_t c = 0; c < NR && panel * NR + c < l->n_out; c += VL) {
            ptrdiff_t columns = l->n_out - panel * NR - c < VL ? l->n_out - panel * NR - c : VL;
            vec square[VL];
            UNROLLED (r, VL) square[r] = i + r < count ? load(w + r * NR + c) : (vec){0};
            transpose(square);
            if (columns == VL) {
                UNROLLED (j, VL) store(wt + (c + j) * NR, square[j]);
            } else
                for (ptrdiff_t j = 0; j < columns; j++) store(wt + (c + j) * NR, square[j]);
        }
    }
}

/* How many vectors of a panel hold columns below n. */
INLINE int vectors_of(ptrdiff_t n, ptrdiff_t panel) { return n - panel * NR > VL ? 2 : 1; }

/* dw = a.T @ dz of one block: BLOCK inputs from k (fewer at the end) x one panel of outputs; or, in a narrow layer,
 * all outputs x one panel of inputs, where a is read in vectors and dz broadcast (k is unused). Then the update, and
 * the transposed copy. */
static void gradient_block(const Gradient *l, ptrdiff_t panel, ptrdiff_t k, double *squares)
{
    Epilogue e = epilogue_of(l);
    int vectors = vectors_of(l->narrow ? l->n_in : l->n_out, panel);
    ptrdiff_t count = l->narrow ? l->n_out : l->n_in - k < BLOCK ? l->n_in - k : BLOCK;
    const REAL *y = (const REAL *)(l->narrow ? l->a : l->dz) + panel * l->stride;
    for (ptrdiff_t part = 0; part < count; part += NR) { /* a block may span panels of a */
        ptrdiff_t rows = count - part < NR ? count - part : NR;
        const REAL *x =
            l->narrow ? (const REAL *)l->dz : (const REAL *)l->a + (k + part) / NR * l->stride + (k + part) % NR;
        /* for the next block: of a, or of dz */
        const REAL *next = l->narrow ? NULL : k + part + NR < l->n_in ? x - (k + part) % NR + l->stride : y + l->stride;
        ptrdiff_t lines = lines_of(tiles_of(rows));
        ptrdiff_t at = l->narrow ? panel * l->n_out * NR : (panel * l->n_in + k + part) * NR;
#define TILE(vectors) \
    FOR_TILES(rows, gradient_tile(ROWS, vectors, &e, x + row, y, l->rows, at + row * NR, \
                                  ahead_of(next, l->rows, tile, lines)))
        if (vectors > 1) TILE(2);
        else TILE(1);
#undef TILE
    }
    if (!reports(l)) return;
    write_squares(&e, vectors, squares);
    if (l->wt && l->update->kind != UPDATE_NONE) transpose_block(l, panel, k, count);
}

/* The epilogue of a vector of one number a unit, for one panel. */
INLINE void finish_vector(const Gradient *l, const Vector *vector, ptrdiff_t panel, vec sum[2], double *squares)
{
    int vectors = vectors_of(l->n_out, panel);
    Epilogue e = {.w = vector->w,
                  .m = vector->m,
                  .v = vector->v,
                  .g = vector->g,
                  .rates = rates_of(vector->update),
                  .add = l->add,
                  .finish = l->finish};
    finish_tile(&e, 1, vectors, (vec(*)[2])sum, panel * NR);
    if (reports(l)) write_squares(&e, vectors, squares);
}

/* The sums over rows of x, or of x * y, in one panel: every fourth row to one of four accumulators. */
INLINE void sum_rows(const REAL *x, const REAL *y, ptrdiff_t rows, vec total[2])
{
    vec sum[4][2] = {{{0}}};
    for (ptrdiff_t i = 0; i < rows; i += 4)
        UNROLLED (r, 4) {
            if (i + r >= rows) break;
            UNROLLED (c, 2) {
                ptrdiff_t at = (i + r) * NR + c * VL;
                sum[r][c] = y ? fmadd(load(x + at), load(y + at), sum[r][c]) : sum[r][c] + load(x + at);
            }
        }
    UNROLLED (c, 2) total[c] = (sum[0][c] + sum[1][c]) + (sum[2][c] + sum[3][c]);
}

/* The gradients of bias, scale and shift for one panel of outputs, then their updates; `squares` has a row for each
 * of the three. */
static void gradient_vectors(const Gradient *l, ptrdiff_t panel, double *squares, ptrdiff_t square_stride)
{
    vec sum[2];
    if (!l->sum_scale) { /* else batch normalization subtracts the bias: its gradient is zero */
        sum_rows((const REAL *)l->dz + panel * l->stride, NULL, l->rows, sum);
        finish_vector(l, &l->bias, panel, sum, squares);
    } else if (l->finish && l->update->kind == UPDATE_NONE) {
        for (int c = 0; c < vectors_of(l->n_out, panel); c++) store((REAL *)l->bias.g + panel * NR + c * VL, (vec){0});
    }
    if (!l->scale.w) return;
    const REAL *dout = (const REAL *)l->dout + panel * l->stride, *zhat = (const REAL *)l->zhat + panel * l->stride;
    if (l->sum_scale)
        sum[0] = load((const REAL *)l->sum_scale + panel * NR),
        sum[1] = load((const REAL *)l->sum_scale + panel * NR + VL);
    else sum_rows(dout, zhat, l->rows, sum);
    finish_vector(l, &l->scale, panel, sum, squares + square_stride);
    if (l->sum_shift)
        sum[0] = load((const REAL *)l->sum_shift + panel * NR),
        sum[1] = load((const REAL *)l->sum_shift + panel * NR + VL);
    else sum_rows(dout, NULL, l->rows, sum);
    finish_vector(l, &l->shift, panel, sum, squares + 2 * square_stride);
}

/* What gradient_block and gradient_vectors leave to be done where the whole gradient, in g, was wanted first: the
 * updates, from g. */
static void apply_block(const Gradient *l, ptrdiff_t panel, ptrdiff_t k, double *squares)
{
    Epilogue e = epilogue_of(l);
    int vectors = vectors_of(l->narrow ? l->n_in : l->n_out, panel);
    ptrdiff_t count = l->narrow ? l->n_out : l->n_in - k < BLOCK ? l->n_in - k : BLOCK;
    ptrdiff_t at = l->narrow ? panel * l->n_out * NR : (panel * l->n_in + k) * NR;
    e.add = 0;
    for (ptrdiff_t r = 0; r < count; r++, at += NR) {
        vec g[1][2] = {{load(e.g + at), load(e.g + at + VL)}};
        finish_tile(&e, 1, vectors, g, at);
    }
    write_squares(&e, vectors, squares);
    if (l->wt) transpose_block(l, panel, k, count);
}

static void apply_vectors(const Gradient *l, ptrdiff_t panel, double *squares, ptrdiff_t square_stride)
{
    const Vector *vectors[] = {&l->bias, &l->scale, &l->shift};
    Gradient whole = *l;
    whole.add = 0;
    for (int i = l->sum_scale ? 1 : 0; i < (l->scale.w ? 3 : 1); i++) {
        const REAL *g = (const REAL *)vectors[i]->g + panel * NR;
        vec sum[2] = {load(g), load(g + VL)};
        finish_vector(&whole, vectors[i], panel, sum, squares + i * square_stride);
    }
}

/* Scales the incoming weights of each unit of one panel, a column, to a norm of at most max_norm. */
static void limit_columns(const Gradient *l, ptrdiff_t panel, double max_norm)
{
    REAL *w = (REAL *)l->w + panel * l->n_in * NR;
    const vec limit = splat((REAL)max_norm);
    for (int c = 0; c < vectors_of(l->n_out, panel); c++) {
        vec sum = {0};
        for (ptrdiff_t k = 0; k < l->n_in; k++) sum = fmadd(load(w + k * NR + c * VL), load(w + k * NR + c * VL), sum);
        vec norm = vsqrt(sum), factor = choose(norm > limit, limit / norm, splat(1));
        for (ptrdiff_t k = 0; k < l->n_in; k++) store(w + k * NR + c * VL, load(w + k * NR + c * VL) * factor);
    }
}

/* One optimizer step on plain arrays of n weights, from the sums of their gradients. */
static void update(const Update *u, void *w_, const void *sum_, void *m_, void *v_, ptrdiff_t n)
{
    REAL *w = w_, *m = m_, *v = v_;
    const REAL *sum = sum_;
    for (ptrdiff_t i = 0; i < n; i += VL) {
        ptrdiff_t lanes = n - i < VL ? n - i : VL;
        REAL buffer[3][VL];
        vec sums[1][2] = {{load_first(sum + i, lanes, 0)}};
        store(buffer[0], load_first(w + i, lanes, 0));
        store(buffer[1], m ? load_first(m + i, lanes, 0) : (vec){0});
        store(buffer[2], v ? load_first(v + i, lanes, 0) : (vec){0});
        Epilogue e = {.w = buffer[0], .m = m ? buffer[1] : NULL, .v = buffer[2], .rates = rates_of(u), .finish = 1};
        finish_tile(&e, 1, 1, sums, 0);
        memcpy(w + i, buffer[0], sizeof(REAL) * (size_t)lanes);
        if (m) memcpy(m + i, buffer[1], sizeof(REAL) * (size_t)lanes);
        if (v) memcpy(v + i, buffer[2], sizeof(REAL) * (size_t)lanes);
    }
}

/* What write_squares would have written for `rows` weights of a panel: where weights are loaded rather than updated. */
static void square_sums(const Update *u, const void *w_, ptrdiff_t rows, int vectors, double *squares)
{
    const REAL *w = w_;
    Epilogue e = {.rates = rates_of(u)};
    for (ptrdiff_t r = 0; r < rows; r++, w += NR)
        for (int c = 0; c < vectors; c++) e.squares[c] = add_penalty(&e.rates, load(w + c * VL), e.squares[c]);
    write_squares(&e, vectors, squares);
}

#endif
