/* The gradient of a layer's weights and vectors, the product of its inputs and dz, with the optimizer's update as its
 * epilogue: tiles and their order of summation are those of dense.h.
 */
#ifndef NNFAST_GRADIENT_H
#define NNFAST_GRADIENT_H

#include "dense.h"
#include "update.h"

/* Where the finished sums of a tile of gradients go: added to those of earlier chunks, stored, or turned into the
 * update at once. Offsets are those of the tile's first weight; `squares` gathers the columns' sums of the new
 * weights' squares. */
typedef struct {
    REAL *w, *m, *v, *g;
    Rates rates;
    int add, finish;
    vec squares[2];
} Epilogue;

INLINE Epilogue epilogue_of(const Weights *l)
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
INLINE int reports(const Weights *l) { return l->finish && (l->update->kind != UPDATE_NONE || l->update->measures); }

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
static void transpose_block(const Weights *l, ptrdiff_t panel, ptrdiff_t k, ptrdiff_t count)
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
static void gradient_block(const Weights *l, ptrdiff_t panel, ptrdiff_t k, double *squares)
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
INLINE void finish_vector(const Vector *v, int add, ptrdiff_t panel, vec sum[2], double *squares)
{
    int vectors = vectors_of(v->n, panel);
    Epilogue e = {
        .w = v->w, .m = v->m, .v = v->v, .g = v->g, .rates = rates_of(v->update), .add = add, .finish = v->finish};
    finish_tile(&e, 1, vectors, (vec(*)[2])sum, panel * NR);
    if (v->finish && (v->update->kind != UPDATE_NONE || v->update->measures)) write_squares(&e, vectors, squares);
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

/* The gradient of one panel of a vector, then its update. One without a gradient, as the bias before batch
 * normalization, which subtracts it, stays as it is. */
static void gradient_vector(const Vector *v, ptrdiff_t panel, double *squares)
{
    vec sum[2];
    if (v->sum) {
        const REAL *known = (const REAL *)v->sum + panel * NR;
        sum[0] = load(known), sum[1] = load(known + VL);
    } else if (v->x) {
        const REAL *y = v->y ? (const REAL *)v->y + panel * v->stride : NULL;
        sum_rows((const REAL *)v->x + panel * v->stride, y, v->rows, sum);
    } else {
        if (v->finish && v->update->kind == UPDATE_NONE)
            for (int c = 0; c < vectors_of(v->n, panel); c++) store((REAL *)v->g + panel * NR + c * VL, (vec){0});
        return;
    }
    finish_vector(v, v->add, panel, sum, squares);
}

/* What gradient_block and gradient_vector leave to be done where the whole gradient, in g, was wanted first: the
 * updates, from g. */
static void apply_block(const Weights *l, ptrdiff_t panel, ptrdiff_t k, double *squares)
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

static void apply_vector(const Vector *v, ptrdiff_t panel, double *squares)
{
    const REAL *g = (const REAL *)v->g + panel * NR;
    vec sum[2] = {load(g), load(g + VL)};
    if (v->sum || v->x) finish_vector(v, 0, panel, sum, squares);
}

/* Scales the incoming weights of each unit of one panel, a column, to a norm of at most max_norm. */
static void limit_columns(const Weights *l, ptrdiff_t panel, double max_norm)
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
