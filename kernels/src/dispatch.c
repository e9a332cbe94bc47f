#include "dispatch.h"

/* NNFAST_BASELINE, NNFAST_AVX2 and NNFAST_AVX512 say what is compiled in: see setup.py. */
#ifdef NNFAST_BASELINE
extern const Kernels nnfast_baseline_float, nnfast_baseline_double;
#endif
#ifdef NNFAST_AVX2
extern const Kernels nnfast_avx2_float, nnfast_avx2_double;
#endif
#ifdef NNFAST_AVX512
extern const Kernels nnfast_avx512_float, nnfast_avx512_double;
#endif

const char *nnfast_isa_name(int isa)
{
    static const char *const names[N_ISAS] = {"baseline", "avx2", "avx512"};
    return names[isa];
}

int nnfast_isa_runs(int isa)
{
    switch (isa) {
    /* The libc's own answer to "may the operating system save these registers" is part of each of these. */
#if defined(NNFAST_BASELINE) && defined(__x86_64__)
    case ISA_BASELINE: return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
#elif defined(NNFAST_BASELINE)
    case ISA_BASELINE: return 1;
#endif
#ifdef NNFAST_AVX2
    case ISA_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#endif
#ifdef NNFAST_AVX512
    case ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#endif
    default: return 0;
    }
}

const Kernels *nnfast_kernels(int isa, int double_precision)
{
    if (!nnfast_isa_runs(isa)) return 0;
    switch (isa) {
#ifdef NNFAST_BASELINE
    case ISA_BASELINE: return double_precision ? &nnfast_baseline_double : &nnfast_baseline_float;
#endif
#ifdef NNFAST_AVX2
    case ISA_AVX2: return double_precision ? &nnfast_avx2_double : &nnfast_avx2_float;
#endif
#ifdef NNFAST_AVX512
    case ISA_AVX512: return double_precision ? &nnfast_avx512_double : &nnfast_avx512_float;
#endif
    default: return 0;
    }
}
