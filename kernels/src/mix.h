/* A hash of 64 bits: the finalizer of splitmix64 (Steele, Lea and Flood 2014). */
#ifndef NNFAST_MIX_H
#define NNFAST_MIX_H

#include <stdint.h>

static inline uint64_t mix_bits(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

#endif
