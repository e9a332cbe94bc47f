/* The optimizers' updates, on one vector of weights whose gradient is in a register.
 *
 * Numerical stability: square roots and quotients are done by Newton's iterations from a bit trick rather than by
 * the divider, which is not pipelined and would take a fourth of a step; the error of m / (sqrt(v) + epsilon) is at
 * most 6 ULP for v = 0 and for v from the smallest normal up (a subnormal sqrt(v), under 1.1e-19 in float32, is
 * underestimated, which epsilon hides). Only additions, multiplications and FMA are used, so AVX2 and AVX-512 return
 * the same bits.
 */
#ifndef NNFAST_UPDATE_H
#define NNFAST_UPDATE_H

#include "kernels.h"
#include "vector.h"

/* sqrt(x), x >= 0: y ~ 1/sqrt(x) from the exponent's bits (Lomont 2003; constants and first iteration of Moroz et
 * al. 2018, error 7e-4), then one iteration of third order (7e-10), in float64 one more of second, the last folded
 * into x * y. */
INLINE vec vsqrt(vec x)
{
#ifdef NNFAST_DOUBLE
    vec y = from_bits(usplat(0x5fe3ffffffffffffULL) - (bits(x) >> 1));
#else
    vec y = from_bits(usplat(0x5f1ffff9U) - (bits(x) >> 1));
#endif
    const vec one = splat(1), half = splat((REAL)0.5);
    y = y * fnmadd(x * y, y, splat((REAL)2.38924456)) * (REAL)0.703952253;
    vec s = x * y, e = fnmadd(s, y, one), correction = e * fmadd(splat((REAL)0.375), e, half);
#ifdef NNFAST_DOUBLE
    y = fmadd(y, correction, y);
    s = x * y;
    return fmadd(s, half * fnmadd(s, y, one), s);
#else
    return fmadd(s, correction, s);
#endif
}

/* 1 / x for normal x > 0: the exponent's bits (error 0.06), then an iteration of third order and one (float64: two)
 * of second. */
INLINE vec vreciprocal(vec x)
{
#ifdef NNFAST_DOUBLE
    vec y = from_bits(usplat(0x7fde623822fc16e6ULL) - bits(x));
#else
    vec y = from_bits(usplat(0x7ef311c3U) - bits(x));
#endif
    const vec one = splat(1);
    vec e = fnmadd(x, y, one);
    y = fmadd(y, fmadd(e, e, e), y);
#ifdef NNFAST_DOUBLE
    y = fmadd(y, fnmadd(x, y, one), y);
#endif
    return fmadd(y, fnmadd(x, y, one), y);
}

/* An Update in the dtype of the kernel. */
typedef struct {
    REAL scale, decay, clip, threshold, square_factor, absolute_factor;
#define FIELD(name, number) REAL name;
    FOR_SCALARS(FIELD)
#undef FIELD
    REAL one_minus_beta_1, one_minus_beta_2, one_minus_rho;
    int kind;
} Rates;

INLINE Rates rates_of(const Update *u)
{
    return (Rates){.scale = (REAL)u->scale,
                   .decay = (REAL)u->decay,
                   .clip = (REAL)u->clip,
                   .threshold = (REAL)u->threshold,
                   .square_factor = (REAL)u->square_factor,
                   .absolute_factor = (REAL)u->absolute_factor,
#define SET(name, number) .name = (REAL)u->scalars[number],
                   FOR_SCALARS(SET)
#undef SET
                       .one_minus_beta_1 = (REAL)(1 - u->scalars[SCALAR_BETA_1]),
                   .one_minus_beta_2 = (REAL)(1 - u->scalars[SCALAR_BETA_2]),
                   .one_minus_rho = (REAL)(1 - u->scalars[SCALAR_RHO]),
                   .kind = u->kind};
}

/* The gradient of weights w from the sum over the batch's rows. */
INLINE vec gradient_of(const Rates *u, vec sum, vec w)
{
    vec g = fmadd(splat(u->decay), w, u->scale * sum);
    return u->clip > 0 ? max_or_second(splat(-u->clip), min_or_second(splat(u->clip), g)) : g; /* NaN passes */
}

/* The new weights; the moments at m and v are updated in place. `kind` is a constant where this is inlined. The
 * rates hold what depends on the step alone, the bias corrections included.
 *   SGD:      m = momentum m - learning_rate g;   w += m, or with Nesterov w += momentum m - learning_rate g
 *   Adam:     m = beta_1 m + (1 - beta_1) g;   v = beta_2 v + (1 - beta_2) g^2;   w -= rate m / (sqrt(v) + epsilon)
 *   NAdam:    likewise, and w -= (momentum_rate m + gradient_rate g) / (sqrt(v) + epsilon)
 *   RMSprop:  m = rho m + (1 - rho) g^2;   w -= learning_rate g / (sqrt(m) + epsilon)
 *   Adagrad:  m += g^2;   w -= learning_rate g / (sqrt(m) + epsilon)
 *   Lion:     w -= learning_rate sign(beta_1 m + (1 - beta_1) g);   m = beta_2 m + (1 - beta_2) g
 *   AdaBelief: as Adam, and v = beta_2 v + (1 - beta_2) (g - m)^2 + epsilon_root, with the new m */
INLINE vec updated(int kind, const Rates *u, vec w, vec g, REAL *m, REAL *v)
{
    vec first, second, direction;
    switch (kind) {
    case UPDATE_SGD:
        direction = u->learning_rate * g;
        if (!m) return w - direction; /* no momentum */
        first = fmadd(splat(u->momentum), load(m), -direction);
        store(m, first);
        return w + (u->nesterov > 0 ? fmadd(splat(u->momentum), first, -direction) : first);
    case UPDATE_RMSPROP:
    case UPDATE_ADAGRAD:
        second =
            kind == UPDATE_ADAGRAD ? fmadd(g, g, load(m)) : fmadd(splat(u->rho), load(m), u->one_minus_rho * (g * g));
        store(m, second);
        return fnmadd(u->learning_rate * g, vreciprocal(vsqrt(second) + u->epsilon), w);
    case UPDATE_LION:
        first = load(m);
        direction = fmadd(splat(u->beta_1), first, u->one_minus_beta_1 * g);
        store(m, fmadd(splat(u->beta_2), first, u->one_minus_beta_2 * g));
        second = direction - direction; /* 0, or NaN where the gradient is not finite, which must show */
        return w - choose(direction == 0, direction, with_sign_of(splat(u->learning_rate), direction) + second);
    default:
        first = fmadd(splat(u->beta_1), load(m), u->one_minus_beta_1 * g);
        direction = kind == UPDATE_ADABELIEF ? g - first : g;
        second = fmadd(splat(u->beta_2), load(v), u->one_minus_beta_2 * (direction * direction));
        if (kind == UPDATE_ADABELIEF) second += u->epsilon_root;
        store(m, first);
        store(v, second);
        direction = (kind == UPDATE_NADAM ? u->momentum_rate : u->rate) * first;
        if (kind == UPDATE_NADAM) direction = fmadd(splat(u->gradient_rate), g, direction);
        return fnmadd(direction, vreciprocal(vsqrt(second) + u->epsilon), w);
    }
}

/* The proximal step of an L1 term: towards zero by `threshold`, and to zero itself where that is nearer. */
INLINE vec shrunk(const Rates *u, vec w)
{
    return with_sign_of(max_or_second((vec){0}, absolute(w) - u->threshold), w);
}

/* Adds what the objective and the limits want to know of new weights. */
INLINE vec add_penalty(const Rates *u, vec w, vec sum)
{
    if (u->absolute_factor == 0 && u->square_factor == 1) return fmadd(w, w, sum);
    return fmadd(splat(u->absolute_factor), absolute(w), fmadd(u->square_factor * w, w, sum));
}

#endif
