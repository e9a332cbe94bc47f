/* Vectors of REAL, as wide as the instruction set has them, through GCC's vector extensions.
 *
 * kernels.c is compiled once for each instruction set and dtype; REAL (float or double) and VECTOR_BYTES (16, 32 or
 * 64) come from the compiler's command line or follow from what it may use. Everything here is element by element,
 * so the bits of a result do not depend on the vector's width, except in horizontal_sum() of dense.h, which folds a
 * fixed 64 bytes of lanes in a fixed order.
 */
#ifndef NNFAST_VECTOR_H
#define NNFAST_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef VECTOR_BYTES
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#endif

#ifdef NNFAST_DOUBLE
typedef double REAL;
typedef int64_t INT;
typedef uint64_t UINT;
#define REAL_BYTES 8
#else
typedef float REAL;
typedef int32_t INT;
typedef uint32_t UINT;
#define REAL_BYTES 4
#endif

enum {
    VL = VECTOR_BYTES / REAL_BYTES, /* lanes of a vector */
    NR = 2 * VL,                    /* columns of a panel */
    MR = VECTOR_BYTES == 64 ? 8 : 4 /* rows of the largest tile: MR x 2 accumulators fill the registers */
};

typedef REAL vec __attribute__((vector_size(VECTOR_BYTES)));
typedef INT ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef UINT uvec __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL vec_in_memory __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BYTES), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define UNROLLED(i, n) UNROLL for (int i = 0; i < (n); i++)

INLINE vec load(const REAL *p) { return *(const vec_in_memory *)p; }
INLINE void store(REAL *p, vec x) { *(vec_in_memory *)p = x; }
INLINE vec splat(REAL x) { return x - (vec){0}; }
INLINE uvec usplat(UINT x) { return x - (uvec){0}; }
INLINE uvec bits(vec x) { return (uvec)x; }
INLINE vec from_bits(uvec x) { return (vec)x; }
INLINE vec choose(ivec test, vec yes, vec no) { return (vec)((test & (ivec)yes) | (~test & (ivec)no)); }
/* fmadd = a * b + c and fnmadd = c - a * b, rounded once where the instruction set can: asked for by name, since a
 * compiler that contracts a * b + c * d on its own chooses the product to fuse differently from one instruction set
 * to the next. The larger and the smaller of two; the second where either is NaN (C has no ?: for vectors). */
#if VECTOR_BYTES == 64 && !defined(NNFAST_DOUBLE)
INLINE vec fmadd(vec a, vec b, vec c) { return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE vec fnmadd(vec a, vec b, vec c) { return (vec)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE vec max_or_second(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vec min_or_second(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
#elif VECTOR_BYTES == 64
INLINE vec fmadd(vec a, vec b, vec c) { return (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
INLINE vec fnmadd(vec a, vec b, vec c) { return (vec)_mm512_fnmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
INLINE vec max_or_second(vec a, vec b) { return (vec)_mm512_max_pd((__m512d)a, (__m512d)b); }
INLINE vec min_or_second(vec a, vec b) { return (vec)_mm512_min_pd((__m512d)a, (__m512d)b); }
#elif VECTOR_BYTES == 32 && !defined(NNFAST_DOUBLE)
INLINE vec fmadd(vec a, vec b, vec c) { return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE vec fnmadd(vec a, vec b, vec c) { return (vec)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE vec max_or_second(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vec min_or_second(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
#elif VECTOR_BYTES == 32
INLINE vec fmadd(vec a, vec b, vec c) { return (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
INLINE vec fnmadd(vec a, vec b, vec c) { return (vec)_mm256_fnmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
INLINE vec max_or_second(vec a, vec b) { return (vec)_mm256_max_pd((__m256d)a, (__m256d)b); }
INLINE vec min_or_second(vec a, vec b) { return (vec)_mm256_min_pd((__m256d)a, (__m256d)b); }
#else /* x86-64-v2 has no FMA; elsewhere the compiler contracts these */
INLINE vec fmadd(vec a, vec b, vec c) { return a * b + c; }
INLINE vec fnmadd(vec a, vec b, vec c) { return c - a * b; }
INLINE vec max_or_second(vec a, vec b) { return choose(a > b, a, b); }
INLINE vec min_or_second(vec a, vec b) { return choose(a < b, a, b); }
#endif
/* a * b - p exactly, for p = a * b rounded; nothing may overflow or underflow on the way. */
#if VECTOR_BYTES > 16
INLINE vec product_error(vec a, vec b, vec p) { return fmadd(a, b, -p); }
#elif defined(__x86_64__) /* no FMA: Dekker's products of halves (Veltkamp's splitting) */
INLINE vec product_error(vec a, vec b, vec p)
{
    const REAL splitter = REAL_BYTES == 8 ? (REAL)134217729.0 : (REAL)4097.0; /* 2^27 + 1, 2^12 + 1 */
    vec ta = a * splitter, tb = b * splitter;
    vec a1 = ta - (ta - a), b1 = tb - (tb - b), a2 = a - a1, b2 = b - b1;
    return ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2;
}
#else
INLINE vec product_error(vec a, vec b, vec p)
{
    for (int i = 0; i < VL; i++)
        p[i] = REAL_BYTES == 8 ? (REAL)__builtin_fma(a[i], b[i], -p[i])
                               : (REAL)__builtin_fmaf((float)a[i], (float)b[i], (float)-p[i]);
    return p;
}
#endif
INLINE vec absolute(vec x) { return from_bits(bits(x) & ~bits(splat((REAL)-0.0))); }
INLINE vec with_sign_of(vec magnitude, vec x)
{
    return from_bits(bits(magnitude) | (bits(x) & bits(splat((REAL)-0.0))));
}
/* The first `bytes` bytes from p, then zeros up to `room`, a multiple of 64. (A memcpy of a few bytes costs a call
 * and a branch for each size.) */
INLINE void copy_first(void *to, const void *p, ptrdiff_t bytes, ptrdiff_t room)
{
#if VECTOR_BYTES == 64
    for (ptrdiff_t at = 0; at < room; at += 64) {
        ptrdiff_t left = bytes - at;
        __mmask64 wanted = left <= 0 ? 0 : left < 64 ? ((__mmask64)1 << left) - 1 : ~(__mmask64)0;
        _mm512_storeu_si512((char *)to + at, _mm512_maskz_loadu_epi8(wanted, (const char *)p + at));
    }
#elif VECTOR_BYTES == 32
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (ptrdiff_t at = 0; at < room; at += 32) {
        ptrdiff_t left = bytes - at < 0 ? 0 : bytes - at < 32 ? (bytes - at) / 4 : 8;
        __m256i wanted = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)left), lanes);
        _mm256_storeu_si256((__m256i *)((char *)to + at),
                            _mm256_maskload_epi32((const int *)((const char *)p + at), wanted));
    }
    for (ptrdiff_t at = bytes & ~(ptrdiff_t)3; at < bytes; at++) ((char *)to)[at] = ((const char *)p)[at];
#else
    memset(to, 0, (size_t)room);
    memcpy(to, p, (size_t)bytes);
#endif
}

/* The first n lanes from p, `rest` in the others. */
INLINE vec load_first(const REAL *p, ptrdiff_t n, REAL rest)
{
    REAL lanes[VL];
    for (int i = 0; i < VL; i++) lanes[i] = rest;
    memcpy(lanes, p, sizeof(REAL) * (size_t)n);
    return load(lanes);
}
INLINE void store_first(REAL *p, ptrdiff_t n, vec x)
{
    REAL lanes[VL];
    store(lanes, x);
    memcpy(p, lanes, sizeof(REAL) * (size_t)n);
}

#if VECTOR_BYTES / REAL_BYTES == 16
#define LANES ((ivec){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
#elif VECTOR_BYTES / REAL_BYTES == 8
#define LANES ((ivec){0, 1, 2, 3, 4, 5, 6, 7})
#elif VECTOR_BYTES / REAL_BYTES == 4
#define LANES ((ivec){0, 1, 2, 3})
#else
#define LANES ((ivec){0, 1})
#endif

/* x[i][j] <-> x[j][i], in log2(VL) rounds: round d swaps, in every pair of rows d apart, the off-diagonal blocks of
 * d x d lanes. */
INLINE void transpose(vec x[VL])
{
    UNROLL for (int d = 1; d < VL; d *= 2)
    {
        ivec low = LANES + (((LANES & d) != 0) & (VL - d)), high = low + d; /* lane i & d comes from b's lane i - d */
        UNROLLED (i, VL) {
            if (i & d) continue;
            vec a = x[i], b = x[i + d];
            x[i] = __builtin_shuffle(a, b, low);
            x[i + d] = __builtin_shuffle(a, b, high);
        }
    }
}

#endif
