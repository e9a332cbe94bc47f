/* A clock that costs nanoseconds to read, fine to milliseconds; and one to the nanosecond, which costs tens of them. */
#ifndef NNFAST_CLOCK_H
#define NNFAST_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t milliseconds(void)
{
    struct timespec now;
#ifdef CLOCK_MONOTONIC_COARSE
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
