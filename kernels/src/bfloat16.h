/* The three products of a dense layer in bfloat16: operands rounded to 8 bits of mantissa, products exact, sums in
 * float32.
 *
 * Everything else stays float32: activations, gradients, the weights that are updated and their moments. The
 * operands are copies of these, in blocks of 32 x 32 numbers (2 KB) that the CPU's dot products take as they are:
 *   rows     [ceil(n / 32)][capacity][32]                      a row's numbers side by side: left operand of the
 *                                                              forward and the backward product
 *   columns  [ceil(n / 32)][capacity / 32][32 units][32 rows]  a unit's numbers side by side: left operand of the
 *                                                              gradient, a.T
 *   pairs    [ceil(n / 32)][capacity / 2][32][2]               two rows' numbers side by side: right operand of the
 *                                                              gradient, dz
 *   weights  [ceil(n_out / 32)][ceil(n_in / 32) * 16][32][2]   two inputs' weights side by side: right operand of the
 *                                                              forward product
 *                                                              and, with n_in and n_out changed over, of the
 *                                                              backward one
 * Rows of the last block beyond those of the chunk are zeros in columns and pairs; pads of units are zeros everywhere.
 *
 * Two units do the dot products, AMX tiles and AVX512-BF16 vectors; `multiply` hides which. Both round to nearest
 * even and take subnormals as zeros. They differ in the order of summation, so in the last bits: AMX adds up the
 * products of even and of odd indices of 32, each in order, then their sum to the accumulator; AVX512-BF16 adds to
 * it, pair by pair, the odd product and then the even one.
 */
#ifndef NNFAST_BFLOAT16_H
#define NNFAST_BFLOAT16_H

#include "gradient.h"

typedef uint16_t bf16; /* a bfloat16: the upper half of a float */

enum { SIDE = 32, SQUARE = SIDE * SIDE }; /* of a block; SIDE is the panel's width and BLOCK, too */
_Static_assert((int)SIDE == (int)NR && (int)SIDE == (int)BLOCK,
               "a block of bfloat16 is a panel wide and a block of weights");

INLINE ptrdiff_t sides(ptrdiff_t n) { return (n + SIDE - 1) / SIDE; }

/* 32 floats as bfloat16, in order. */
INLINE ivec rounded(const REAL *p) { return (ivec)_mm512_cvtne2ps_pbh((__m512)load(p + VL), (__m512)load(p)); }

/* Numbers j of two rows side by side, for j from 16 * c. */
INLINE ivec paired(ivec even, ivec odd, int c)
{
    const __m512i order = (__m512i)((LANES + c * VL) | ((LANES + c * VL + SIDE) << 16)); /* words j and 32 + j */
    return (ivec)_mm512_permutex2var_epi16((__m512i)even, order, (__m512i)odd);
}

/* Rows of one panel in those of the three forms that are not NULL. `rows` need not fill the last block. */
static void round_panel(const void *x_, ptrdiff_t rows, void *as_rows, void *as_columns, void *as_pairs)
{
    const REAL *x = x_;
    for (ptrdiff_t first = 0; first < rows; first += SIDE, x += SQUARE) {
        ptrdiff_t n = rows - first < SIDE ? rows - first : SIDE;
        vec pairs[2][VL];
        for (int r = 0; r < SIDE; r += 2) {
            ivec even = r < n ? rounded(x + r * NR) : (ivec){0},
                 odd = r + 1 < n ? rounded(x + (r + 1) * NR) : (ivec){0};
            if (as_rows) {
                memcpy((bf16 *)as_rows + (first + r) * SIDE, &even, sizeof even);
                memcpy((bf16 *)as_rows + (first + r + 1) * SIDE, &odd, sizeof odd);
            }
            UNROLLED (c, 2) pairs[c][r / 2] = (vec)paired(even, odd, c);
        }
        if (as_pairs)
            for (int r = 0; r < VL; r++)
                UNROLLED (c, 2) store((REAL *)((bf16 *)as_pairs + first * SIDE) + r * NR + c * VL, pairs[c][r]);
        if (as_columns)
            for (int c = 0; c < 2; c++) {
                transpose(pairs[c]);
                UNROLLED (j, VL) store((REAL *)((bf16 *)as_columns + first * SIDE) + (c * VL + j) * VL, pairs[c][j]);
            }
    }
}

/* Both bfloat16 copies of the weights k .. k + 32 of one panel: k is a multiple of 32. */
static void round_weights(const Weights *l, ptrdiff_t panel, ptrdiff_t k)
{
    ptrdiff_t rows = l->n_in - k < SIDE ? l->n_in - k : SIDE;
    const REAL *w = (const REAL *)l->w + (panel * l->n_in + k) * NR;
    bf16 *block = (bf16 *)l->bf16_w + (panel * sides(l->n_in) + k / SIDE) * SQUARE;
    round_panel(w, rows, NULL, NULL, block);
    if (!l->bf16_wt) return;
    block = (bf16 *)l->bf16_wt + (k / SIDE * sides(l->n_out) + panel) * SQUARE;
    for (int c = 0; c < 2; c++) { /* inputs 16 * c ...: a row of 16 pairs of outputs each, transposed */
        vec pairs[VL];
        for (int r = 0; r < VL; r++) pairs[r] = c * VL + r < rows ? (vec)rounded(w + (c * VL + r) * NR) : (vec){0};
        transpose(pairs);
        UNROLLED (j, VL) store((REAL *)block + j * NR + c * VL, pairs[j]);
    }
}

#ifdef __AMX_BF16__

/* Eight tiles of 16 rows of 64 bytes, in this thread, from start to finish. (Not a variable on the stack: GCC 12
 * believes that the instruction reads no more than 8 bytes.) */
static void start_products(void)
{
    static const struct {
        uint8_t palette, start_row, zeros[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } tiles = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&tiles);
}
static void finish_products(void) { _tile_release(); }

/* out = start + left @ right for 32 rows (16, unless `tall`) and 32 columns (16, unless `wide`): left and right in
 * `steps` blocks, `left_step` and SQUARE apart; out with rows of NR; start is a row of NR that stands for all, or
 * NULL for zeros. */
INLINE void multiply_bf16(int tall, int wide, const bf16 *left, ptrdiff_t left_step, const bf16 *right, ptrdiff_t steps,
                          const REAL *start, REAL *out)
{
    const ptrdiff_t row = NR * sizeof(REAL);
    /* to GCC 12, a tile load reads no memory, and might come before what stores it */
    __asm__ volatile("" ::: "memory");
    if (start) {
        _tile_loadd(0, start, 0);
        _tile_loadd(1, start + VL, 0);
        _tile_loadd(2, start, 0);
        _tile_loadd(3, start + VL, 0);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (ptrdiff_t i = 0; i < steps; i++, left += left_step, right += SQUARE) {
        _tile_loadd(4, left, 64);
        _tile_loadd(6, right, 128);
        _tile_dpbf16ps(0, 4, 6);
        if (wide) {
            _tile_loadd(7, right + SIDE, 128);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (tall) {
            _tile_loadd(5, left + SQUARE / 2, 64);
            _tile_dpbf16ps(2, 5, 6);
            if (wide) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, out, row);
    if (wide) _tile_stored(1, out + VL, row);
    if (tall) _tile_stored(2, out + VL * NR, row);
    if (tall && wide) _tile_stored(3, out + VL * NR + VL, row);
}

#else

static void start_products(void) {}
static void finish_products(void) {}

INLINE void multiply_bf16(int tall, int wide, const bf16 *left, ptrdiff_t left_step, const bf16 *right, ptrdiff_t steps,
                          const REAL *start, REAL *out)
{
    for (int row = 0; row < (tall ? SIDE : SIDE / 2); row += MR) {
        __m512 acc[MR][2];
        UNROLLED (r, MR)
            UNROLLED (c, 2) acc[r][c] = (__m512)(start ? load(start + c * VL) : (vec){0});
        const bf16 *x = left + row * SIDE, *y = right;
        for (ptrdiff_t i = 0; i < steps; i++, x += left_step)
            for (int pair = 0; pair < SIDE / 2; pair++, y += 2 * SIDE) {
                __m512bh y0 = (__m512bh)load((const REAL *)y), y1 = wide ? (__m512bh)load((const REAL *)y + VL) : y0;
                UNROLLED (r, MR) {
                    int32_t two;
                    memcpy(&two, x + r * SIDE + 2 * pair, sizeof two);
                    __m512bh xr = (__m512bh)_mm512_set1_epi32(two);
                    acc[r][0] = _mm512_dpbf16_ps(acc[r][0], xr, y0);
                    if (wide) acc[r][1] = _mm512_dpbf16_ps(acc[r][1], xr, y1);
                }
            }
        UNROLLED (r, MR)
            UNROLLED (c, 2)
                if (c == 0 || wide) store(out + (row + r) * NR + c * VL, (vec)acc[r][c]);
    }
}

#endif

/* out = activation(a @ w + b) for one panel of outputs, as `forward` of dense.h; a in rows. Rows beyond the last go
 * up to a multiple of 16. */
static void forward_bf16(const void *a_, ptrdiff_t stride, ptrdiff_t rows, const void *w, ptrdiff_t n_in, const void *b,
                         void *out_, int vectors, int activation, double parameter)
{
    const bf16 *a = a_;
    const vec p = splat((REAL)parameter);
    REAL *out = out_;
    for (ptrdiff_t row = 0; row < rows; row += SIDE, a += SQUARE, out += SQUARE) {
        ptrdiff_t n = rows - row < SIDE ? rows - row : SIDE;
        vec d;
        multiply_bf16(n > SIDE / 2, vectors > 1, a, stride, w, sides(n_in), b, out);
#define ACTIVATED(kind) \
    for (ptrdiff_t i = 0; i < n * NR; i += VL) store(out + i, activated(kind, load(out + i), p, &d));
        switch (activation) {
        case ACTIVATION_RELU: ACTIVATED(ACTIVATION_RELU) break;
        case ACTIVATION_LEAKY_RELU: ACTIVATED(ACTIVATION_LEAKY_RELU) break;
        }
#undef ACTIVATED
    }
}

/* dz_below = (dz @ w.T) * activation'(below) for one panel of inputs, as `backward` of dense.h; dz in rows. */
static void backward_bf16(const void *dz_, ptrdiff_t stride, ptrdiff_t rows, const void *wt, ptrdiff_t n_out,
                          const void *a_below_, void *dz_below_, int vectors, int activation, double parameter)
{
    const bf16 *dz = dz_;
    const vec p = splat((REAL)parameter);
    const REAL *a_below = a_below_;
    REAL *dz_below = dz_below_;
    for (ptrdiff_t row = 0; row < rows; row += SIDE, dz += SQUARE, a_below += SQUARE, dz_below += SQUARE) {
        ptrdiff_t n = rows - row < SIDE ? rows - row : SIDE;
        REAL sums[SQUARE] __attribute__((aligned(64))); /* a_below may be where dz_below goes */
        multiply_bf16(n > SIDE / 2, vectors > 1, dz, stride, wt, sides(n_out), NULL, sums);
#define DERIVED(kind) \
    case kind: \
        for (ptrdiff_t r = 0; r < n; r++) \
            UNROLLED (c, 2) \
                if (c < vectors) \
                    store(dz_below + r * NR + c * VL, \
                          derived(kind, load(a_below + r * NR + c * VL), load(sums + r * NR + c * VL), p)); \
        break;
        switch (activation) {
            FOR_DERIVATIVES(DERIVED)
        default: __builtin_trap(); /* an activation whose line is missing here */
        }
#undef DERIVED
    }
}

/* dw = a.T @ dz of one block, then the update and the copies, as `gradient_block` of gradient.h: a in columns, dz in
 * pairs. Not for narrow layers. */
static void gradient_block_bf16(const Weights *l, ptrdiff_t panel, ptrdiff_t k, double *squares)
{
    Epilogue e = epilogue_of(l);
    REAL sums[SQUARE] __attribute__((aligned(64)));
    int vectors = vectors_of(l->n_out, panel);
    ptrdiff_t count = l->n_in - k < SIDE ? l->n_in - k : SIDE, at = (panel * l->n_in + k) * NR;
    for (ptrdiff_t row = 0; row < count; row++) prefetch_tile(1, 2, &e, at + row * NR);
    multiply_bf16(count > SIDE / 2, vectors > 1, (const bf16 *)l->bf16_a + k / SIDE * l->stride, SQUARE,
                  (const bf16 *)l->bf16_dz + panel * l->stride, sides(l->rows), NULL, sums);
    finish_tile(&e, (int)count, vectors, (vec(*)[2])sums, at);
    if (!reports(l)) return;
    write_squares(&e, vectors, squares);
    if (l->update->kind != UPDATE_NONE) round_weights(l, panel, k);
}

#endif
