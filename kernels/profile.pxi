# Where a run's time goes: each worker's clock, switched from one phase to the next as its work changes.
#
# A record is one worker's: when it was last switched, the slot it counts in since then (a phase of one
# layer), and nanoseconds a slot. All time of a run is in some slot, so the sums over the workers are the
# run's time, times the workers. Only its worker writes to a record, and the caller where no run is on: a
# worker switches before it says that its jobs are done.

cdef enum:
    TIMED_GATHER, TIMED_FORWARD, TIMED_LOSS, TIMED_BACKWARD, TIMED_GRADIENT, TIMED_NORMALIZATION, TIMED_LIMITS
    TIMED_EVALUATION
    TIMED_BOOKKEEPING, TIMED_WAITING, TIMED_PACKING, N_TIMED
    SINCE = 0
    SLOT = 1
    SLOTS = 2

PHASES = ("gather", "forward", "loss", "backward", "gradient and update", "normalization", "limits",
          "evaluation",
          "bookkeeping", "waiting", "packing")


cdef int64_t *open_clocks(State *s, int n_workers) noexcept nogil:
    """Records of zeros, a cache line apart; NULL when out of memory."""
    s.clock_stride = (SLOTS + N_TIMED * s.n_layers + 2 * LINE - 1) // LINE * LINE
    s.clocks = <int64_t *> calloc(n_workers * s.clock_stride, sizeof(int64_t))
    return s.clocks


cdef void start_clocks(State *s, int n_workers, int phase) noexcept nogil:
    cdef int i
    cdef int64_t now
    if s.clocks != NULL:
        now = nanoseconds()
        for i in range(n_workers):
            s.clocks[i * s.clock_stride + SINCE] = now
            s.clocks[i * s.clock_stride + SLOT] = phase * s.n_layers


cdef void stop_clocks(State *s, int n_workers) noexcept nogil:
    cdef int i
    cdef int64_t now
    if s.clocks != NULL:
        now = nanoseconds()
        for i in range(n_workers):
            count_until(s.clocks + i * s.clock_stride, now)


cdef inline void count_until(int64_t *clock, int64_t now) noexcept nogil:
    clock[SLOTS + clock[SLOT]] += now - clock[SINCE]
    clock[SINCE] = now


cdef inline void enter(State *s, int worker, int phase, int layer) noexcept nogil:
    """What the worker does from here on. Without a profile a branch that is never taken."""
    if s.clocks != NULL:
        switch_clock(s, s.clocks + worker * s.clock_stride, phase, layer)


cdef void switch_clock(State *s, int64_t *clock, int phase, int layer) noexcept nogil:
    if phase < TIMED_EVALUATION and not is_training(s):
        phase, layer = TIMED_EVALUATION, 0
    cdef int64_t slot = phase * s.n_layers + layer
    if clock[SLOT] != slot:  # reading the time is what costs
        count_until(clock, nanoseconds())
        clock[SLOT] = slot


cdef dict seconds_by_phase(State *s, int n_workers):
    """Of every phase of PHASES, the seconds so far by layer, summed over the workers."""
    cdef int phase, layer, worker
    cdef int64_t sum
    seconds = {}
    for phase in range(N_TIMED):
        seconds[PHASES[phase]] = []
        for layer in range(s.n_layers):
            sum = 0
            for worker in range(n_workers):
                sum += s.clocks[worker * s.clock_stride + SLOTS + phase * s.n_layers + layer]
            seconds[PHASES[phase]].append(sum * 1e-9)
    return seconds
