#include "dispatch.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#undef NNFAST_AMX /* whose registers Linux alone is known to lend */
#endif

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
#ifdef NNFAST_AVX512_BF16
extern const Bf16Kernels nnfast_avx512_bf16;
#endif
#ifdef NNFAST_AMX
extern const Bf16Kernels nnfast_amx;
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
    case ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#endif
#ifdef NNFAST_AVX512
    case ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
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

const char *nnfast_unit_name(int unit)
{
    static const char *const names[N_UNITS] = {"avx512_bf16", "amx"};
    return names[unit];
}

#ifdef NNFAST_AMX
/* GCC 12's __builtin_cpu_supports knows no "amx-bf16": leaf 7, EDX, bits 22 (AMX-BF16) and 24 (AMX-TILE). */
static int has_amx(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) && (d >> 24 & 1);
}

/* Linux gives a process the tiles' 8 KB of state on request: not if its signal stacks are too small for them, and
 * once it has them, none may be. */
enum { ARCH_GET_XCOMP_SUPP = 0x1021, ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
static int offers_tiles(void)
{
    unsigned long long features = 0;
    return syscall(SYS_arch_prctl, ARCH_GET_XCOMP_SUPP, &features) == 0 && (features >> XFEATURE_XTILEDATA & 1);
}
static int may_use_tiles(void) { return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0; }
#endif

int nnfast_unit_runs(int unit)
{
    if (!nnfast_isa_runs(ISA_AVX512)) return 0;
    switch (unit) {
#ifdef NNFAST_AVX512_BF16
    case UNIT_AVX512_BF16: return __builtin_cpu_supports("avx512bf16");
#endif
#ifdef NNFAST_AMX
    case UNIT_AMX: return __builtin_cpu_supports("avx512bf16") && has_amx() && offers_tiles();
#endif
    default: return 0;
    }
}

const Bf16Kernels *nnfast_bf16_kernels(int unit)
{
    if (!nnfast_unit_runs(unit)) return 0;
    switch (unit) {
#ifdef NNFAST_AVX512_BF16
    case UNIT_AVX512_BF16: return &nnfast_avx512_bf16;
#endif
#ifdef NNFAST_AMX
    case UNIT_AMX: return may_use_tiles() ? &nnfast_amx : 0;
#endif
    default: return 0;
    }
}
