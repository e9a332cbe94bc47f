/* The few atomic operations that the team of threads needs (Cython has no words for them). */
#ifndef NNFAST_ATOMICS_H
#define NNFAST_ATOMICS_H

#include <stdint.h>

static inline uint64_t atomic_get(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline void atomic_set(uint64_t *p, uint64_t x) { __atomic_store_n(p, x, __ATOMIC_SEQ_CST); }
static inline uint64_t atomic_add(uint64_t *p, uint64_t x) { return __atomic_add_fetch(p, x, __ATOMIC_SEQ_CST); }
static inline int atomic_swap_if(uint64_t *p, uint64_t expected, uint64_t x)
{
    return __atomic_compare_exchange_n(p, &expected, x, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
