/* The activations: a = f(z) and f'(z), together, since they share their exponentials. The formulas stand in
 * nnfast/activations.py.
 *
 * In: any z, NaN and infinities included; `p` is the activation's own parameter, where it has one. Error of a: at
 * most 4 ULP of the dtype over the whole range, subnormal results included (measured maxima stand in
 * tests/test_vector_math.py; GELU without FMA, on the baseline: 4.4); of f': a few ULP of 1.
 *
 * Numerical stability: what is small and multiplied by z is carried as mantissa and power of two until the end; an
 * exponent whose rounding would show (z^2 / 2 at z = -13 is wrong by 4e-6) is carried in two numbers. As in vmath.h
 * only IEEE operations are used, in a fixed order.
 *
 * Two ways lead to the backward pass. The first five activations give their derivative from a, as scikit-learn has
 * it (`derived`). The others store it in the forward pass, where it costs least.
 */
#ifndef NNFAST_ACTIVATION_H
#define NNFAST_ACTIVATION_H

#include "kernels.h"
#include "vmath.h"

#ifdef NNFAST_DOUBLE
#define GATE_CLOSED 800                /* exp(-800) is 0, and so is its product with 1000 */
#define TAIL_CLOSED 40                 /* exp(-40^2 / 2) */
#define MISH_OPEN 22                   /* tanh(log(1 + exp(22))) is 1 */
#define QUICK_LOW 4.26325641456e-17    /* 1.702 = (REAL)1.702 + QUICK_LOW */
#define TANH_LINEAR 1.5957691216057308 /* 2 sqrt(2 / pi), and 0.044715 times it, each in two numbers */
#define TANH_LINEAR_LOW -9.96930880911e-17
#define TANH_CUBIC 0.07135481627260025
#define TANH_CUBIC_LOW -6.17514991816e-19
#else
#define GATE_CLOSED 120
#define TAIL_CLOSED 16
#define MISH_OPEN 12
#define QUICK_LOW -2.19345092773e-8f
#define TANH_LINEAR 1.5957691669464111f
#define TANH_LINEAR_LOW -4.53406804211e-8f
#define TANH_CUBIC 0.07135481387376785f
#define TANH_CUBIC_LOW 2.39883239599e-9f
#endif
#define FAR 1000 /* beyond it, z may stand for infinity where that would meet a zero */
#define SELU_SCALE ((REAL)1.0507009873554804934193349852946)
#define SELU_SCALE_ALPHA ((REAL)1.758099340847376859940218)
#define INVERSE_SQRT_2PI ((REAL)0.39894228040143267794)

/* NaN passes */
INLINE vec between(REAL low, REAL high, vec x) { return max_or_second(splat(low), min_or_second(splat(high), x)); }

INLINE vec relu(vec z) { return max_or_second((vec){0}, z); } /* NaN stays NaN */

/* z * logistic(y + y_low), where y has the sign of z, and slope = dy/dz. */
INLINE vec gated(vec z, vec y, vec y_low, vec slope, vec *derivative)
{
    vec size = absolute(y);
    ivec negative = y < 0, inside = size < GATE_CLOSED;
    y_low = choose(inside, choose(negative, y_low, -y_low), (vec){0});
    Exponential e = exp_in_parts(-min_or_second(splat(GATE_CLOSED), size), y_low);
    vec power = times_exp(splat(1), e), q = 1 / (power + 1);
    *derivative = fmadd(between(-FAR, FAR, z) * (power * q * q), slope, choose(negative, power * q, q));
    /* where a subnormal is rounded, q is 1 or z has been exact */
    return choose(negative, times_exp(max_or_second(splat(-FAR), z), e), z) * q;
}

INLINE vec gelu_quick(vec z, vec *derivative)
{
    const vec c = splat((REAL)1.702);
    vec y = z * c;
    return gated(z, y, fmadd(z, splat(QUICK_LOW), product_error(z, c, y)), c, derivative);
}

/* 0.5 z (1 + tanh(y / 2)) = z logistic(y), y = z (A + B z^2) to twice the precision. */
INLINE vec gelu_tanh(vec z, vec *derivative)
{
    const vec linear = splat(TANH_LINEAR), cubic = splat(TANH_CUBIC);
    vec x = between(-FAR, FAR, z);
    vec square = x * x, square_low = product_error(x, x, square);
    vec term = cubic * square;
    vec term_low = product_error(cubic, square, term) + fmadd(cubic, square_low, square * TANH_CUBIC_LOW);
    vec sum = term + linear, part = sum - linear; /* Knuth's TwoSum: what the sum lost */
    vec sum_low = ((linear - (sum - part)) + (term - part)) + (term_low + TANH_LINEAR_LOW);
    vec y = x * sum;
    return gated(z, y, fmadd(x, sum_low, product_error(x, sum, y)), fmadd(splat(3), term, linear), derivative);
}

/* P(v), v = u / (u + 4), with v P(v) = u Phi(-u) exp(u^2 / 2), u >= 0: an interpolation at Chebyshev nodes in
 * t = 2 v - 1, of relative error 3e-9 (float64: 4e-17), made with mpmath. */
INLINE vec gelu_tail(vec t)
{
#ifdef NNFAST_DOUBLE
    vec p = splat(-9.990624160023276e-10);
    p = fmadd(p, t, splat(-1.01529571764961797e-11));
    p = fmadd(p, t, splat(1.39765281559508218e-8));
    p = fmadd(p, t, splat(1.48423900727513431e-8));
    p = fmadd(p, t, splat(-7.63471284344108608e-8));
    p = fmadd(p, t, splat(-1.54619681912219187e-7));
    p = fmadd(p, t, splat(2.63543105606844541e-7));
    p = fmadd(p, t, splat(1.02007133925684645e-6));
    p = fmadd(p, t, splat(-6.24990699536978521e-7));
    p = fmadd(p, t, splat(-5.91901318615404412e-6));
    p = fmadd(p, t, splat(7.14930832547840089e-7));
    p = fmadd(p, t, splat(0.0000351442149682578036));
    p = fmadd(p, t, splat(-1.90784340592487053e-6));
    p = fmadd(p, t, splat(-0.00023109482414997104));
    p = fmadd(p, t, splat(0.000133344249783584282));
    p = fmadd(p, t, splat(0.00163081844248058856));
    p = fmadd(p, t, splat(-0.00347969236180405956));
    p = fmadd(p, t, splat(-0.00754018896562501684));
    p = fmadd(p, t, splat(0.0603965748906766544));
    p = fmadd(p, t, splat(-0.186521857959693392));
    p = fmadd(p, t, splat(0.387137400742219335));
    p = fmadd(p, t, splat(-0.607896641971891764));
    return fmadd(p, t, splat(0.755285130415751478));
#else
    vec p = splat(-5.15565933e-5f);
    p = fmadd(p, t, splat(-0.0002317986783f));
    p = fmadd(p, t, splat(0.0001710546116f));
    p = fmadd(p, t, splat(0.001645219297f));
    p = fmadd(p, t, splat(-0.003489317276f));
    p = fmadd(p, t, splat(-0.007545268266f));
    p = fmadd(p, t, splat(0.06039753309f));
    p = fmadd(p, t, splat(-0.1865212814f));
    p = fmadd(p, t, splat(0.387137368f));
    p = fmadd(p, t, splat(-0.6078966591f));
    return fmadd(p, t, splat(0.7552851306f));
#endif
}

/* z Phi(z) = max(z, 0) - t, t = |z| Phi(-|z|) = v P(v) exp(-z^2 / 2), z^2 in two numbers. Its derivative,
 * Phi(z) + z Phi'(z), has the same exponential: it is g = Phi(-|z|) - |z| Phi'(z) for z < 0, else 1 - g. */
INLINE vec gelu(vec z, vec *derivative)
{
    const vec four = splat(4);
    vec u = min_or_second(splat(TAIL_CLOSED), absolute(z)), s = 1 / (u + 4);
#if VECTOR_BYTES > 16
    vec v = u * s;
    v = fmadd(s, fnmadd(v, four, fnmadd(v, u, u)), v); /* the rounding of u + 4 and of s */
#else
    vec v = u / (u + four); /* without FMA the correction would be as inexact as what it corrects */
#endif
    vec p = gelu_tail(fmadd(splat(2), v, splat(-1)));
    vec half = u * (REAL)-0.5, exponent = half * u;
    Exponential e = exp_in_parts(exponent, product_error(half, u, exponent));
    vec g = times_exp(splat(1), e) * fnmadd(u, splat(INVERSE_SQRT_2PI), p * s);
    *derivative = choose(z < 0, g, 1 - g);
    return relu(z) - times_exp(p * v, e);
}

/* scale z for z > 0, else scale_alpha (exp(z) - 1). */
INLINE vec elu(vec z, vec scale, vec scale_alpha, vec *derivative)
{
    ivec positive = z > 0;
    vec e = expm1_moderate(min_or_second((vec){0}, max_or_second(splat(-50), z)));
    *derivative = choose(positive, scale, fmadd(scale_alpha, e, scale_alpha));
    return choose(positive, scale * z, with_sign_of(scale_alpha * absolute(e), z));
}

/* z n / (n + 2), n = e (e + 2), e = exp(z); as z (1 - 2 / (n + 2)), or where that cancels, z e (1 - w),
 * w = e (e + 1) / (n + 2). */
INLINE vec mish(vec z, vec *derivative)
{
    const vec one = splat(1), two = splat(2);
    vec x = between(-GATE_CLOSED, MISH_OPEN, z);
    Exponential e = exp_in_parts(x, (vec){0});
    vec power = times_exp(one, e), q = 1 / fmadd(power, power + two, two), w = power * (power + one) * q,
        t = fnmadd(two, q, one);
    *derivative = fmadd(4 * x * w, q, t);
    return choose(z > (REAL)-0.5, z * t, times_exp(max_or_second(splat(-FAR), z) * (one - w), e));
}

/* log(1 + exp(p z)) / p, p z in two numbers. */
INLINE vec softplus(vec z, vec p, vec *derivative)
{
    vec y = p * z, y_low = product_error(p, z, y), size = absolute(y);
    ivec negative = y < 0, inside = size < GATE_CLOSED;
    y_low = choose(inside, choose(negative, y_low, -y_low), (vec){0});
    Exponential e = exp_in_parts(-min_or_second(splat(GATE_CLOSED), size), y_low);
    vec power = times_exp(splat(1), e);
    *derivative = choose(negative, power, splat(1)) / (power + 1);
    return choose(negative | inside, (relu(y) + vlog1p_unit(power)) / p, z); /* p z may overflow where z does not */
}

/* z (clip(z, -3, 3) + 3) / 6 */
INLINE vec hard_swish(vec z, vec *derivative)
{
    const vec three = splat(3);
    *derivative = choose(absolute(z) < 3, z / three + (REAL)0.5, choose(z > 0, splat(1), (vec){0}));
    return max_or_second(splat(-FAR), z) * ((between(-3, 3, z) + three) / 6);
}

/* f(z) and f'(z). `activation` is a constant where this is inlined, and a derivative that nobody reads is not
 * computed. */
INLINE vec activated(int activation, vec z, vec p, vec *derivative)
{
    vec a;
    switch (activation) {
    case ACTIVATION_LOGISTIC:
        a = vlogistic(z);
        *derivative = a * (1 - a);
        return a;
    case ACTIVATION_TANH:
        a = vtanh(z);
        *derivative = fnmadd(a, a, splat(1));
        return a;
    case ACTIVATION_RELU: *derivative = choose(z > 0, splat(1), (vec){0}); return relu(z);
    case ACTIVATION_LEAKY_RELU: *derivative = choose(z > 0, splat(1), p); return choose(z > 0, z, p * z);
    case ACTIVATION_ELU: return elu(z, splat(1), p, derivative);
    case ACTIVATION_SELU: return elu(z, splat(SELU_SCALE), splat(SELU_SCALE_ALPHA), derivative);
    case ACTIVATION_GELU: return gelu(z, derivative);
    case ACTIVATION_GELU_TANH: return gelu_tanh(z, derivative);
    case ACTIVATION_GELU_SIGMOID: return gelu_quick(z, derivative);
    case ACTIVATION_SILU: return gated(z, z, (vec){0}, splat(1), derivative);
    case ACTIVATION_MISH: return mish(z, derivative);
    case ACTIVATION_HARD_SWISH: return hard_swish(z, derivative);
    case ACTIVATION_SOFTPLUS: return softplus(z, p, derivative);
    default: *derivative = splat(1); return z;
    }
}

/* da * f'(z) from a = f(z), or from what the forward pass stored there (ReLU: da where a is not zero, as
 * scikit-learn does). */
INLINE vec derived(int activation, vec a, vec da, vec p)
{
    switch (activation) {
    case ACTIVATION_IDENTITY: return da;
    case ACTIVATION_LOGISTIC: return da * a * (1 - a);
    case ACTIVATION_TANH: return da * fnmadd(a, a, splat(1));
    case ACTIVATION_RELU: return choose(a == 0, (vec){0}, da);
    case ACTIVATION_DROPPED_RELU: return choose(a == 0, (vec){0}, da * p); /* p: what kept units were scaled by */
    case ACTIVATION_LEAKY_RELU: return choose(a > 0, da, p * da);
    default: return da * a; /* stored */
    }
}

/* a = f(z), and where `derivative` is not NULL, f'(z) there; a may be z. n numbers. */
static void activate(int activation, double parameter, const void *z_, void *a_, void *derivative_, ptrdiff_t n)
{
    const REAL *z = z_;
    REAL *a = a_, *derivative = derivative_;
    const vec p = splat((REAL)parameter);
    vec d;
#define LOOP(kind) \
    case kind: \
        if (derivative) \
            for (; n >= VL; n -= VL, z += VL, a += VL, derivative += VL) { \
                store(a, activated(kind, load(z), p, &d)); \
                store(derivative, d); \
            } \
        else \
            for (; n >= VL; n -= VL, z += VL, a += VL) store(a, activated(kind, load(z), p, &d)); \
        if (n) { \
            store_first(a, n, activated(kind, load_first(z, n, 0), p, &d)); \
            if (derivative) store_first(derivative, n, d); \
        } \
        break;
    switch (activation) {
        FOR_ACTIVATIONS(LOOP)
    }
#undef LOOP
}

/* dz = da * f'(z), from a or the stored derivative: see `derived`. */
static void derive(int activation, double parameter, const void *a_, const void *da_, void *dz_, ptrdiff_t n)
{
    const REAL *a = a_, *da = da_;
    REAL *dz = dz_;
    const vec p = splat((REAL)parameter);
    for (; n >= VL; n -= VL, a += VL, da += VL, dz += VL) store(dz, derived(activation, load(a), load(da), p));
    if (n) store_first(dz, n, derived(activation, load_first(a, n, 0), load_first(da, n, 0), p));
}

#endif
