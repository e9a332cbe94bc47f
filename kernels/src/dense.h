/* The three products of a dense layer, each with its epilogue fused, over the panels that kernels.h describes.
 *
 * A tile is `rows` (at most MR) x `vectors` (1 or 2) accumulators in registers; both are constants where a tile is inlined. Each element
 * of a result has one accumulator that runs over k (or over the chunk's rows) in order, so its bits depend on neither tile nor thread.
 * Rows are cut into tiles of nearly equal height, so that a count that MR does not divide costs in proportion.
 */
#ifndef NNFAST_DENSE_H
#define NNFAST_DENSE_H

#include "update.h"
#include "vmath.h"

enum { DEPTH = 256 }; /* k of a pass: DEPTH x NR weights stay in the L1 cache while all row tiles go over them */

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

/* Runs `call` with the constant ROWS and the variable `row` over tiles that cover 0 .. count. */
#define FOR_TILES(count, call) \
    do { \
        ptrdiff_t tiles_ = ((count) + MR - 1) / MR, row = 0; \
        for (ptrdiff_t left_ = (count); left_ > 0; tiles_--) { \
            ptrdiff_t height_ = (left_ + tiles_ - 1) / tiles_; \
            CALL_WITH_ROWS(height_, call) \
            row += height_, left_ -= height_; \
        } \
    } while (0)

/* Asks for a row of a panel to be brought into the L2 cache. */
INLINE void prefetch_row(const REAL *p)
{
    for (int c = 0; c < NR; c += 64 / REAL_BYTES) __builtin_prefetch(p + c, 0, 2);
}

/* acc[r] += a[r, :k] @ w[:k]: a in panels of row stride NR, w one panel. The weights `ahead` of these, which the next call wants and another
 * core may have written, are fetched meanwhile. */
INLINE void multiply(int rows, int vectors, vec acc[MR][2], const REAL *a, ptrdiff_t stride, const REAL *w, ptrdiff_t k, ptrdiff_t ahead)
{
    for (; k > 0; k -= NR, a += stride) {
        ptrdiff_t len = k < NR ? k : NR;
        for (ptrdiff_t j = 0; j < len; j++, w += NR) {
            vec w0 = load(w), w1 = vectors > 1 ? load(w + VL) : w0;
            if (ahead) prefetch_row(w + ahead);
            UNROLL for (int r = 0; r < rows; r++) {
                vec x = splat(a[r * NR + j]);
                acc[r][0] = fmadd(x, w0, acc[r][0]);
                if (vectors > 1) acc[r][1] = fmadd(x, w1, acc[r][1]);
            }
        }
    }
}

INLINE vec relu(vec z) { return max_or_second((vec){0}, z); } /* NaN stays NaN */

INLINE vec activated(int activation, vec z)
{
    switch (activation) {
    case ACTIVATION_LOGISTIC: return vlogistic(z);
    case ACTIVATION_TANH: return vtanh(z);
    case ACTIVATION_RELU: return relu(z);
    default: return z;
    }
}

/* da * f'(z), f' written by the activation a = f(z) as scikit-learn does (ReLU: da where a is not zero). */
INLINE vec derived(int activation, vec a, vec da)
{
    switch (activation) {
    case ACTIVATION_LOGISTIC: return da * a * (1 - a);
    case ACTIVATION_TANH: return da * fnmadd(a, a, splat(1));
    case ACTIVATION_RELU: return choose(a == 0, (vec){0}, da);
    default: return da;
    }
}

static void activate(int activation, const void *z_, void *a_, ptrdiff_t n)
{
    const REAL *z = z_;
    REAL *a = a_;
#define LOOP(kind) \
    case kind: \
        for (; n >= VL; n -= VL, z += VL, a += VL) store(a, activated(kind, load(z))); \
        if (n) store_first(a, n, activated(kind, load_first(z, n, 0))); \
        break;
    switch (activation) {
        LOOP(ACTIVATION_LOGISTIC)
        LOOP(ACTIVATION_TANH)
        LOOP(ACTIVATION_RELU)
    default: if (a != z) memcpy(a, z, sizeof(REAL) * (size_t)n);
    }
#undef LOOP
}

static void derive(int activation, const void *a_, const void *da_, void *dz_, ptrdiff_t n)
{
    const REAL *a = a_, *da = da_;
    REAL *dz = dz_;
    for (; n >= VL; n -= VL, a += VL, da += VL, dz += VL) store(dz, derived(activation, load(a), load(da)));
    if (n) store_first(dz, n, derived(activation, load_first(a, n, 0), load_first(da, n, 0)));
}

INLINE void forward_tile(int rows, int vectors, const REAL *a, ptrdiff_t stride, const REAL *w, ptrdiff_t k, const REAL *b, REAL *out,
                         int first, int rectify, ptrdiff_t ahead)
{
    vec acc[MR][2];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < vectors; c++) acc[r][c] = load(first ? b + c * VL : out + r * NR + c * VL);
    multiply(rows, vectors, acc, a, stride, w, k, ahead);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < vectors; c++) store(out + r * NR + c * VL, rectify ? relu(acc[r][c]) : acc[r][c]);
}

/* out = activation(a @ w + b) for one panel of outputs. Reads a, w, b; writes `rows` rows of the panel out, which may not overlap them. */
static void forward(const void *a_, ptrdiff_t stride, ptrdiff_t rows, const void *w_, ptrdiff_t n_in, const void *b, void *out_,
                    int vectors, int activation)
{
    const REAL *a = a_, *w = w_;
    REAL *out = out_;
    for (ptrdiff_t k = 0; k < n_in; k += DEPTH, a += DEPTH / NR * stride, w += DEPTH * NR) {
        ptrdiff_t depth = n_in - k < DEPTH ? n_in - k : DEPTH;
        int first = k == 0, rectify = activation == ACTIVATION_RELU && k + depth == n_in;
        if (vectors > 1) FOR_TILES(rows, forward_tile(ROWS, 2, a + row * NR, stride, w, depth, b, out + row * NR, first, rectify, row ? 0 : depth * NR));
        else FOR_TILES(rows, forward_tile(ROWS, 1, a + row * NR, stride, w, depth, b, out + row * NR, first, rectify, row ? 0 : depth * NR));
    }
    if (activation == ACTIVATION_LOGISTIC || activation == ACTIVATION_TANH) activate(activation, out, out, rows * NR);
}

/* The sum of 64 bytes of lanes (of NR lanes, where NR is less), folded in halves: one order for AVX2 and AVX-512. */
enum { FOLDED = VL * REAL_BYTES == 64 ? 1 : 2 };
INLINE REAL horizontal_sum(const vec acc[FOLDED])
{
    REAL lanes[FOLDED * VL];
    UNROLL for (int i = 0; i < FOLDED; i++) store(lanes + i * VL, acc[i]);
    UNROLL for (int half = FOLDED * VL / 2; half > 0; half /= 2)
        UNROLL for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* out[:, :n_out] = a @ w + b for a narrow layer, by dot products along the inputs. Pads of a must be zero; out is one panel. */
static void forward_narrow(const void *a_, ptrdiff_t stride, ptrdiff_t rows, const void *w_, ptrdiff_t n_in, ptrdiff_t n_out,
                           const void *b_, void *out_)
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

INLINE void backward_tile(int rows, int vectors, const REAL *dz, ptrdiff_t stride, const REAL *wt, ptrdiff_t k, const REAL *a_below,
                          REAL *dz_below, int first, int activation, ptrdiff_t ahead)
{
    vec acc[MR][2];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < vectors; c++) acc[r][c] = first ? (vec){0} : load(dz_below + r * NR + c * VL);
    multiply(rows, vectors, acc, dz, stride, wt, k, ahead);
#define DERIVED(kind) \
    UNROLL for (int r = 0; r < rows; r++) \
        UNROLL for (int c = 0; c < vectors; c++) \
            store(dz_below + r * NR + c * VL, derived(kind, load(a_below + r * NR + c * VL), acc[r][c]));
    switch (activation) {
    case ACTIVATION_LOGISTIC: DERIVED(ACTIVATION_LOGISTIC) break;
    case ACTIVATION_TANH: DERIVED(ACTIVATION_TANH) break;
    case ACTIVATION_RELU: DERIVED(ACTIVATION_RELU) break;
    default: DERIVED(ACTIVATION_IDENTITY)
    }
#undef DERIVED
}

/* dz_below = (dz @ w.T) * activation'(below) for one panel of inputs, from the transposed weights. */
static void backward(const void *dz_, ptrdiff_t stride, ptrdiff_t rows, const void *wt_, ptrdiff_t n_out, const void *a_below_,
                     void *dz_below_, int vectors, int activation)
{
    const REAL *dz = dz_, *wt = wt_, *a_below = a_below_;
    REAL *dz_below = dz_below_;
    for (ptrdiff_t k = 0; k < n_out; k += DEPTH, dz += DEPTH / NR * stride, wt += DEPTH * NR) {
        ptrdiff_t depth = n_out - k < DEPTH ? n_out - k : DEPTH;
        int first = k == 0, kind = k + depth == n_out ? activation : ACTIVATION_IDENTITY;
#define TILE(vectors) \
    FOR_TILES(rows, backward_tile(ROWS, vectors, dz + row * NR, stride, wt, depth, a_below + row * NR, dz_below + row * NR, first, kind, row ? 0 : depth * NR))
        if (vectors > 1) TILE(2);
        else TILE(1);
#undef TILE
    }
}

/* Zeros in the pads of the last panel of an activation with f(0) != 0, where the next layer reads whole vectors. */
static void clear_pads(void *a, ptrdiff_t rows, ptrdiff_t n)
{
    size_t used = (size_t)(n % NR ? n % NR : NR);
    for (ptrdiff_t r = 0; r < rows; r++) memset((REAL *)a + r * NR + used, 0, (NR - used) * sizeof(REAL));
}

/* Where the finished sums of a tile of gradients go: added to those of earlier chunks, stored, or turned into the update at once.
 * Offsets are those of the tile's first weight; `squares` gathers the columns' sums of the new weights' squares. */
typedef struct {
    REAL *w, *m, *v, *g;
    Rates rates;
    int add, finish;
    vec squares[2];
} Epilogue;

INLINE Epilogue epilogue_of(const Gradient *l)
{
    return (Epilogue){.w = l->w, .m = l->m, .v = l->v, .g = l->g, .rates = rates_of(l->update), .add = l->add, .finish = l->finish};
}

INLINE void finish_vector(Epilogue *e, int kind, ptrdiff_t at, vec sum, int c)
{
    if (e->add) sum += load(e->g + at);
    if (!e->finish) {
        store(e->g + at, sum);
        return;
    }
    vec w = load(e->w + at), g = gradient_of(&e->rates, sum, w);
    if (kind == UPDATE_NONE) {
        store(e->g + at, g);
        return;
    }
    w = updated(kind, &e->rates, w, g, e->m ? e->m + at : NULL, e->v ? e->v + at : NULL);
    store(e->w + at, w);
    e->squares[c] = fmadd(w, w, e->squares[c]);
}

INLINE void finish_tile(Epilogue *e, int rows, int vectors, vec acc[MR][2], ptrdiff_t at)
{
#define FINISH(kind) \
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++) finish_vector(e, kind, at + r * NR + c * VL, acc[r][c], c);
    switch (e->rates.kind) {
    case UPDATE_ADAM: FINISH(UPDATE_ADAM) break;
    case UPDATE_SGD: FINISH(UPDATE_SGD) break;
    default: FINISH(UPDATE_NONE)
    }
#undef FINISH
}

INLINE void write_squares(const Epilogue *e, int vectors, double *squares)
{
    for (int c = 0; c < vectors; c++)
        for (int i = 0; i < VL; i++) squares[c * VL + i] = (double)e->squares[c][i];
}

/* Asks for the weights and moments of a tile before its products start, where those take longer than a fetch. */
INLINE void prefetch_tile(int rows, int vectors, const Epilogue *e, ptrdiff_t at)
{
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < vectors; c++) {
            ptrdiff_t i = at + r * NR + c * VL;
            __builtin_prefetch(e->w + i, 1);
            if (e->m) __builtin_prefetch(e->m + i, 1);
            if (e->v) __builtin_prefetch(e->v + i, 1);
            if (e->g) __builtin_prefetch(e->g + i, 1);
        }
}

/* Sums over the chunk of rows: x[:, :rows].T @ y, x broadcast, y in vectors; both in panels of row stride NR. */
INLINE void gradient_tile(int rows, int vectors, Epilogue *e, const REAL *x, const REAL *y, ptrdiff_t n, ptrdiff_t at, ptrdiff_t ahead)
{
    vec acc[MR][2];
    UNROLL for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = (vec){0};
    if (n >= 64) prefetch_tile(rows, vectors, e, at);
    for (ptrdiff_t i = 0; i < n; i++, x += NR, y += NR) {
        vec y0 = load(y), y1 = vectors > 1 ? load(y + VL) : y0;
        if (ahead) prefetch_row(x + ahead);
        UNROLL for (int r = 0; r < rows; r++) {
            vec xr = splat(x[r]);
            acc[r][0] = fmadd(xr, y0, acc[r][0]);
            if (vectors > 1) acc[r][1] = fmadd(xr, y1, acc[r][1]);
        }
    }
    finish_tile(e, rows, vectors, acc, at);
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
            UNROLL for (int r = 0; r < VL; r++) square[r] = i + r < count ? load(w + r * NR + c) : (vec){0};
            transpose(square);
            if (columns == VL) { UNROLL for (int j = 0; j < VL; j++) store(wt + (c + j) * NR, square[j]); }
            else for (ptrdiff_t j = 0; j < columns; j++) store(wt + (c + j) * NR, square[j]);
        }
    }
}

/* How many vectors of a panel hold columns below n. */
INLINE int vectors_of(ptrdiff_t n, ptrdiff_t panel) { return n - panel * NR > VL ? 2 : 1; }

/* dw = a.T @ dz of one block: BLOCK inputs from k (fewer at the end) x one panel of outputs; or, in a narrow layer, all outputs x one
 * panel of inputs, where a is read in vectors and dz broadcast (k is unused). Then the update, and the transposed copy. */
static void gradient_block(const Gradient *l, ptrdiff_t panel, ptrdiff_t k, double *squares)
{
    Epilogue e = epilogue_of(l);
    int vectors = vectors_of(l->narrow ? l->n_in : l->n_out, panel);
    ptrdiff_t count = l->narrow ? l->n_out : l->n_in - k < BLOCK ? l->n_in - k : BLOCK;
    const REAL *y = (const REAL *)(l->narrow ? l->a : l->dz) + panel * l->stride;
    for (ptrdiff_t part = 0; part < count; part += NR) { /* a block may span panels of a */
        ptrdiff_t rows = count - part < NR ? count - part : NR;
        const REAL *x = l->narrow ? (const REAL *)l->dz : (const REAL *)l->a + (k + part) / NR * l->stride + (k + part) % NR;
        ptrdiff_t ahead = l->narrow || k + part + NR >= l->n_in ? 0 : l->stride; /* the next block's panel of a */
        ptrdiff_t at = l->narrow ? panel * l->n_out * NR : (panel * l->n_in + k + part) * NR;
        if (vectors > 1) FOR_TILES(rows, gradient_tile(ROWS, 2, &e, x + row, y, l->rows, at + row * NR, row ? 0 : ahead));
        else FOR_TILES(rows, gradient_tile(ROWS, 1, &e, x + row, y, l->rows, at + row * NR, row ? 0 : ahead));
    }
    if (!l->finish || l->update->kind == UPDATE_NONE) return;
    if (l->wt) transpose_block(l, panel, k, count);
    write_squares(&e, vectors, squares);
}

/* db = the column sums of dz for one panel of outputs (every fourth row to one of four accumulators), then the update. */
static void gradient_bias(const Gradient *l, ptrdiff_t panel, double *squares)
{
    Epilogue e = epilogue_of(l);
    e.w = l->b, e.m = l->bm, e.v = l->bv, e.g = l->bg, e.rates.decay = 0;
    int vectors = vectors_of(l->n_out, panel);
    const REAL *dz = (const REAL *)l->dz + panel * l->stride;
    vec sum[4][2] = {{{0}}}, acc[MR][2];
    for (ptrdiff_t i = 0; i < l->rows; i += 4)
        UNROLL for (int r = 0; r < 4; r++) {
            if (i + r >= l->rows) break;
            sum[r][0] += load(dz + (i + r) * NR);
            sum[r][1] += load(dz + (i + r) * NR + VL);
        }
    UNROLL for (int c = 0; c < 2; c++) acc[0][c] = (sum[0][c] + sum[1][c]) + (sum[2][c] + sum[3][c]);
    if (vectors > 1) finish_tile(&e, 1, 2, acc, panel * NR);
    else finish_tile(&e, 1, 1, acc, panel * NR);
    if (l->finish && l->update->kind != UPDATE_NONE) write_squares(&e, vectors, squares);
}

/* One optimizer step on plain arrays of n weights, from the sums of their gradients. */
static void update(const Update *u, void *w_, const void *sum_, void *m_, void *v_, ptrdiff_t n)
{
    Rates rates = rates_of(u);
    REAL *w = w_, *m = m_, *v = v_;
    const REAL *sum = sum_;
    for (ptrdiff_t i = 0; i < n; i += VL) {
        ptrdiff_t lanes = n - i < VL ? n - i : VL;
        REAL buffer[3][VL];
        store(buffer[1], m ? load_first(m + i, lanes, 0) : (vec){0});
        store(buffer[2], v ? load_first(v + i, lanes, 0) : (vec){0});
        vec weights = load_first(w + i, lanes, 0);
        vec g = gradient_of(&rates, load_first(sum + i, lanes, 0), weights);
        store(buffer[0], updated(rates.kind == UPDATE_ADAM ? UPDATE_ADAM : UPDATE_SGD, &rates, weights, g, m ? buffer[1] : NULL, buffer[2]));
        memcpy(w + i, buffer[0], sizeof(REAL) * (size_t)lanes);
        if (m) memcpy(m + i, buffer[1], sizeof(REAL) * (size_t)lanes);
        if (v) memcpy(v + i, buffer[2], sizeof(REAL) * (size_t)lanes);
    }
}

/* What write_squares would have written for `rows` weights of a panel: where weights are loaded rather than updated. */
static void square_sums(const void *w_, ptrdiff_t rows, int vectors, double *squares)
{
    const REAL *w = w_;
    Epilogue e = {.squares = {{0}}};
    for (ptrdiff_t r = 0; r < rows; r++, w += NR)
        for (int c = 0; c < vectors; c++) {
            vec x = load(w + c * VL);
            e.squares[c] = fmadd(x, x, e.squares[c]);
        }
    write_squares(&e, vectors, squares);
}

#endif
