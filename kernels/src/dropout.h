/* Dropout: which units of a row are kept, from a hash of where they are. The definition stands in
 * nnfast/regularization.py.
 *
 * A counter, not a stream: the mask depends on seed, step, layer, row and unit alone, so on no thread, tile or
 * instruction set, and any part of it can be made again. `base` is the hash of seed, step and layer; rows are
 * counted from the beginning of the batch.
 */
#ifndef NNFAST_DROPOUT_H
#define NNFAST_DROPOUT_H

#include "kernels.h"
#include "mix.h"
#include "vector.h"

typedef uint32_t words __attribute__((vector_size(VL * 4)));

INLINE uint64_t key_of_row(uint64_t base, ptrdiff_t row)
{
    return mix_bits(base + 0x9E3779B97F4A7C15u * (uint64_t)row);
}

/* 32 bits for a unit, from the multiple of GOLDEN that it is the number of (a scalar, or a vector of them): the
 * rounds are Wellons's lowbias32, with the row's key in two places. */
#define GOLDEN 0x9E3779B1u
#define HASH_UNIT(x, key) \
    x += (uint32_t)(key); \
    x ^= x >> 16; \
    x *= 0x7FEB352Du; \
    x ^= x >> 15; \
    x ^= (uint32_t)((key) >> 32); \
    x *= 0x846CA68Bu; \
    x ^= x >> 16;

INLINE int is_kept(uint64_t key, uint32_t unit, uint32_t threshold)
{
    uint32_t hash = unit * GOLDEN;
    HASH_UNIT(hash, key)
    return hash >= threshold;
}

/* a[r] = kept ? a scale + shift : dropped, and derivative[r] = kept ? derivative scale : 0 (unless NULL), for `rows`
 * rows of the panel whose first unit is `unit`; `row` is the batch's row of the first one. */
static void drop(const Dropout *dropout, uint64_t base, ptrdiff_t row, ptrdiff_t unit, ptrdiff_t rows, int vectors,
                 void *a_, void *derivative_)
{
    REAL *a = a_, *derivative = derivative_;
    const vec scale = splat((REAL)dropout->scale), shift = splat((REAL)dropout->shift),
              dropped = splat((REAL)dropout->dropped);
    words units[2];
    for (int c = 0; c < 2; c++)
        for (uint32_t i = 0; i < VL; i++) units[c][i] = ((uint32_t)unit + (uint32_t)c * VL + i) * GOLDEN;
    for (ptrdiff_t r = 0; r < rows; r++, a += NR) {
        uint64_t key = key_of_row(base, row + r);
        for (int c = 0; c < vectors; c++) {
            words hash = units[c];
            HASH_UNIT(hash, key)
            ivec kept = __builtin_convertvector(hash >= dropout->threshold, ivec);
            store(a + c * VL, choose(kept, fmadd(load(a + c * VL), scale, shift), dropped));
            if (derivative)
                store(derivative + r * NR + c * VL, choose(kept, load(derivative + r * NR + c * VL) * scale, (vec){0}));
        }
    }
}

#endif
