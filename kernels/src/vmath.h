/* exp, log, log1p(exp(-x)), tanh and the logistic function on vectors of REAL, and the parts that activation.h is
 * made of.
 *
 * In: any value, NaN, infinities and subnormals included. Out: the function of the dtype's own width.
 * Error: at most 4 ULP of the dtype over the whole range (measured maxima stand in tests/test_vector_math.py); NaN
 * gives NaN; exp overflows to infinity and underflows gradually through the subnormals to zero, as libm's does.
 *
 * Numerical stability: no table and no hardware estimate is used, only IEEE additions, multiplications, divisions
 * and FMA in a fixed order, so that every instruction set that has FMA returns the same bits.
 */
#ifndef NNFAST_VMATH_H
#define NNFAST_VMATH_H

#include "vector.h"

#ifdef NNFAST_DOUBLE
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer, kept in the low bits */
#define EXP_HIGHEST 709.782712893384
#define EXP_LOWEST -745.2
#define LN2_HIGH 6.93147180369123816490e-01 /* 32 leading bits; their product with an exponent is exact */
#define LN2_LOW 1.90821492927058770002e-10
#define LOG2E 1.4426950408889634074
#define SMALLEST_NORMAL 2.2250738585072014e-308
#define SCALE_SUBNORMAL 18014398509481984.0 /* 2^54 */
#define SCALE_SUBNORMAL_BITS 54
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcdULL
#else
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define ROUNDER 12582912.0f
#define EXP_HIGHEST 88.72283935546875f
#define EXP_LOWEST -103.98f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define LOG2E 1.44269504088896341f
#define SMALLEST_NORMAL 1.17549435e-38f
#define SCALE_SUBNORMAL 33554432.0f /* 2^25 */
#define SCALE_SUBNORMAL_BITS 25
#define SQRT_HALF_BITS 0x3f3504f3U
#endif

/* 2^k, -2 * bias < k < 2 * bias, as the number k and as integers: AVX-512 has an instruction for the one, elsewhere
 * it takes the other. */
typedef struct {
    vec n;
    ivec k;
} Power;

/* x * 2^k, a subnormal result rounded once. */
INLINE vec scaled(vec x, Power power)
{
#if VECTOR_BYTES == 64 && defined(NNFAST_DOUBLE)
    return (vec)_mm512_scalef_pd((__m512d)x, (__m512d)power.n);
#elif VECTOR_BYTES == 64
    return (vec)_mm512_scalef_ps((__m512)x, (__m512)power.n);
#else
    ivec half = power.k >> 1;
    vec first = from_bits((uvec)((half + EXPONENT_BIAS) << MANTISSA_BITS));
    vec second = from_bits((uvec)((power.k - half + EXPONENT_BIAS) << MANTISSA_BITS));
    return x * first * second;
#endif
}

/* exp(r) - 1 on |r| <= ln(2) / 2, by its Taylor polynomial (degree 13 in float64, 7 in float32); the remainder is
 * below an ULP. */
INLINE vec expm1_reduced(vec r)
{
#ifdef NNFAST_DOUBLE
    vec p = splat(1.0 / 6227020800.0);
    p = fmadd(p, r, splat(1.0 / 479001600.0));
    p = fmadd(p, r, splat(1.0 / 39916800.0));
    p = fmadd(p, r, splat(1.0 / 3628800.0));
    p = fmadd(p, r, splat(1.0 / 362880.0));
    p = fmadd(p, r, splat(1.0 / 40320.0));
    p = fmadd(p, r, splat(1.0 / 5040.0));
    p = fmadd(p, r, splat(1.0 / 720.0));
    p = fmadd(p, r, splat(1.0 / 120.0));
    p = fmadd(p, r, splat(1.0 / 24.0));
    p = fmadd(p, r, splat(1.0 / 6.0));
#else
    vec p = splat(1.0f / 5040.0f);
    p = fmadd(p, r, splat(1.0f / 720.0f));
    p = fmadd(p, r, splat(1.0f / 120.0f));
    p = fmadd(p, r, splat(1.0f / 24.0f));
    p = fmadd(p, r, splat(1.0f / 6.0f));
#endif
    p = fmadd(p, r, splat((REAL)0.5));
    return fmadd(p, r * r, r);
}

/* x = k ln(2) + r with integer k, |r| <= ln(2) / 2; x within the range of exp. */
INLINE vec reduce_by_ln2(vec x, Power *power)
{
    vec shifted = fmadd(x, splat(LOG2E), splat(ROUNDER));
    power->n = shifted - ROUNDER;
    power->k = (ivec)bits(shifted) - (ivec)bits(splat(ROUNDER));
    return fnmadd(power->n, splat(LN2_LOW), fnmadd(power->n, splat(LN2_HIGH), x));
}

INLINE vec vexp(vec x)
{
    Power power;
    vec clamped = max_or_second(splat(EXP_LOWEST), min_or_second(splat(EXP_HIGHEST), x)); /* NaN passes both */
    vec r = reduce_by_ln2(clamped, &power);
    vec y = scaled(expm1_reduced(r) + 1, power);
    return choose(x > EXP_HIGHEST, splat((REAL)__builtin_inf()), y);
}

/* exp(high + low) = (1 + m) * 2^k, |m| < 0.42. low corrects the rounding of high, which is within twice the range of
 * exp. */
typedef struct {
    vec m;
    Power power;
} Exponential;
INLINE Exponential exp_in_parts(vec high, vec low)
{
    Exponential e;
    e.m = expm1_reduced(reduce_by_ln2(high, &e.power) + low);
    return e;
}
/* x times it: rounded once, and once more where the result is subnormal. */
INLINE vec times_exp(vec x, Exponential e) { return scaled(fmadd(x, e.m, x), e.power); }

/* exp(x) - 1 for |x| <= 50, of which the leading term is kept apart, so that small x lose nothing. */
INLINE vec expm1_moderate(vec x)
{
    Power power;
    vec r = reduce_by_ln2(x, &power), two_to_k = from_bits((uvec)((power.k + EXPONENT_BIAS) << MANTISSA_BITS));
    return fmadd(two_to_k, expm1_reduced(r), two_to_k - 1);
}

/* log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)), plus k ln(2): s = f / (2 + f), log(1 + f) = f - (f^2/2 - s (f^2/2 +
 * R(s^2))), R the series of 2 atanh(s) / s - 2 (coefficients of FreeBSD's e_log.c, by K.C. Ng, and of its float
 * twin). */
INLINE vec log1p_reduced(vec f, vec k)
{
    vec s = f / (f + 2), z = s * s, bf16_square = (f * (REAL)0.5) * f;
#ifdef NNFAST_DOUBLE
    vec p = splat(1.479819860511658591e-01);
    p = fmadd(p, z, splat(1.531383769920937332e-01));
    p = fmadd(p, z, splat(1.818357216161805012e-01));
    p = fmadd(p, z, splat(2.222219843214978396e-01));
    p = fmadd(p, z, splat(2.857142874366239149e-01));
    p = fmadd(p, z, splat(3.999999999940941908e-01));
    p = fmadd(p, z, splat(6.666666666666735130e-01));
#else
    vec p = splat(0.24279078841f);
    p = fmadd(p, z, splat(0.28498786688f));
    p = fmadd(p, z, splat(0.40000972152f));
    p = fmadd(p, z, splat(0.66666662693f));
#endif
    vec tail = fmadd(s, fmadd(p, z, bf16_square), k * LN2_LOW);
    return fmadd(k, splat(LN2_HIGH), f - (bf16_square - tail));
}

INLINE vec vlog(vec x)
{
    ivec tiny = x < SMALLEST_NORMAL;
    vec scaled = choose(tiny, x * SCALE_SUBNORMAL, x);
    /* Exponent counted from sqrt(1/2), so that the mantissa lies in [sqrt(1/2), sqrt(2)). */
    uvec offset = bits(scaled) - (UINT)SQRT_HALF_BITS;
    ivec k = (ivec)offset >> MANTISSA_BITS;
    vec mantissa = from_bits(bits(scaled) - ((uvec)k << MANTISSA_BITS));
    k -= tiny & SCALE_SUBNORMAL_BITS;
    vec y = log1p_reduced(mantissa - 1, __builtin_convertvector(k, vec));
    y = choose(x == 0, splat((REAL)-__builtin_inf()), y);
    y = choose(x < 0, splat((REAL)__builtin_nan("")), y);
    return choose((x == (REAL)__builtin_inf()) | (x != x), x, y);
}

/* log(1 + e) for 0 <= e <= 1, accurate where e is small: the rounding of 1 + e is put back. */
INLINE vec vlog1p_unit(vec e)
{
    vec u = e + 1, lost = e - (u - 1);
    ivec above = u > (REAL)1.4142135623730951;
    vec f = choose(above, u * (REAL)0.5, u) - 1;
    return log1p_reduced(f, choose(above, splat(1), splat(0))) + lost / u;
}

/* tanh(x) = e / (e + 2) with e = exp(2|x|) - 1. */
INLINE vec vtanh(vec x)
{
    vec e = expm1_moderate(2 * min_or_second(splat(20), absolute(x))); /* tanh(20) is 1 in both dtypes; NaN passes */
    return with_sign_of(e / (e + 2), x);
}

INLINE vec vlogistic(vec x)
{
    /* e <= 1: nothing overflows, and both branches keep full relative precision */
    vec e = vexp(-absolute(x)), d = e + 1;
    return choose(x < 0, e, splat(1)) / d;
}

#endif
