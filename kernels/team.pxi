# Threads that share the jobs of one phase after another.
#
# A phase is a number of independent jobs. Each worker has a queue of them, which it empties first, so that
# the same weights and rows stay in the same core's cache; then it takes from the others'. The phase is over
# when all jobs are done, not when all workers have come by: one that the system has descheduled between two
# jobs holds nobody up. Whoever completes the last job runs `advance`, which sets up the next phase (or says
# that there is none), and publishes it.
#
# A queue is one 64-bit ticket, phase : 24 | next : 20 | end : 20 bits. Taking a job is one compare-and-swap
# that fails if the phase has moved on, and nothing that `advance` writes is read before a job was taken: a
# late worker can neither run an old job nor see half of a new phase. (To be fooled it would have to sleep
# through exactly 2^24 phases.)
#
# Workers spin for some microseconds, then yield, then sleep. The caller is worker 0, starts the others and
# joins them: none outlives it.

cdef enum:
    SPINS = 50          # pauses, some 50 ns each
    YIELDS = 100        # sched_yield calls, some 0.3 us each where nobody else wants the core
    LINE = 8            # uint64 a cache line
    MAX_JOBS = (1 << 20) - 1

ctypedef void (*job_function)(void *context, ptrdiff_t job, int worker) noexcept nogil
ctypedef bint (*advance_function)(void *context, int worker) noexcept nogil
ctypedef void (*rest_function)(void *context, int worker) noexcept nogil
ctypedef bint (*poll_function)(void *context) noexcept nogil

cdef struct Worker:
    Team *team
    int number
    pthread_t thread

cdef struct Team:
    int n_workers              # queues; the caller's included
    int n_started              # threads that exist
    Worker *workers
    uint64_t *tickets          # one a cache line
    uint64_t *phase            # counts phases, published last
    uint64_t *done             # jobs of this phase that are finished
    uint64_t *sleepers
    uint64_t n_jobs            # of this phase
    bint running, closing
    bint flushes               # subnormals count as zeros in this run's jobs
    pthread_mutex_t mutex
    pthread_cond_t condition
    job_function run
    advance_function advance
    rest_function rest         # by each worker when it has done its jobs of a phase; or NULL
    # by the caller, after each of its jobs and phases; true where other code may have run in its thread
    poll_function poll
    const Bf16Kernels *bf16    # whose products this run's jobs have, or NULL
    void *context


cdef bint open_team(Team *team, int n_workers) noexcept nogil:
    """Memory only; threads are started by the first run. False when out of memory."""
    memset(team, 0, sizeof(Team))
    team.n_workers = n_workers
    team.workers = <Worker *> calloc(n_workers, sizeof(Worker))
    team.tickets = <uint64_t *> calloc((n_workers + 4) * LINE, sizeof(uint64_t))
    if team.workers == NULL or team.tickets == NULL:
        free(team.workers)
        free(team.tickets)
        return False
    team.phase = team.tickets + n_workers * LINE
    team.done = team.phase + LINE
    team.sleepers = team.done + LINE
    team.n_started = 1
    pthread_mutex_init(&team.mutex, NULL)
    pthread_cond_init(&team.condition, NULL)
    return True


cdef void close_team(Team *team) noexcept nogil:
    cdef int i
    if team.tickets == NULL:
        return
    team.closing = True
    publish(team)
    for i in range(1, team.n_started):
        pthread_join(team.workers[i].thread, NULL)
    pthread_cond_destroy(&team.condition)
    pthread_mutex_destroy(&team.mutex)
    free(team.workers)
    free(team.tickets)
    team.tickets = NULL


cdef void publish(Team *team) noexcept nogil:
    atomic_add(team.phase, 1)
    if atomic_get(team.sleepers):
        pthread_mutex_lock(&team.mutex)
        pthread_cond_broadcast(&team.condition)
        pthread_mutex_unlock(&team.mutex)


cdef void deal(Team *team, const ptrdiff_t *ends) noexcept nogil:
    """Hand out the jobs 0 .. ends[-1] of the phase that publish() will announce: ends[i] is where queue i
    ends.
    """
    cdef uint64_t tag = ((atomic_get(team.phase) + 1) & 0xFFFFFF) << 40
    cdef ptrdiff_t start = 0
    cdef int i
    team.n_jobs = ends[team.n_workers - 1]
    atomic_set(team.done, 0)
    for i in range(team.n_workers):
        atomic_set(team.tickets + i * LINE, tag | <uint64_t> start << 20 | <uint64_t> ends[i])
        start = ends[i]


cdef uint64_t await_phase(Team *team, uint64_t seen) noexcept nogil:
    """The number of the first phase after `seen` that is found published."""
    cdef uint64_t phase
    cdef int i
    for i in range(SPINS + YIELDS):
        phase = atomic_get(team.phase)
        if phase != seen:
            return phase
        if i < SPINS:
            pause_briefly()
        else:
            sched_yield()
    pthread_mutex_lock(&team.mutex)
    atomic_add(team.sleepers, 1)
    while atomic_get(team.phase) == seen:
        pthread_cond_wait(&team.condition, &team.mutex)
    atomic_add(team.sleepers, <uint64_t> -1)
    pthread_mutex_unlock(&team.mutex)
    return atomic_get(team.phase)


cdef void work(Team *team, int worker, uint64_t phase) noexcept nogil:
    """Take and run jobs of `phase` until none is left; complete the phase if these were its last."""
    cdef uint64_t tag = phase & 0xFFFFFF, ticket, finished = 0, n_jobs = 0, before = 0
    cdef bint flushes = team.flushes
    cdef uint64_t *queue
    cdef ptrdiff_t job
    cdef int i
    # read once: the team may be in another run when this worker is done
    cdef const Bf16Kernels *bf16 = team.bf16
    if flushes:
        before = flush_subnormals()
    if bf16 != NULL:
        bf16.start_products()
    for i in range(team.n_workers):
        queue = team.tickets + ((worker + i) % team.n_workers) * LINE
        while True:
            ticket = atomic_get(queue)
            job = (ticket >> 20) & 0xFFFFF
            if ticket >> 40 != tag or job >= <ptrdiff_t> (ticket & 0xFFFFF):
                break
            if atomic_swap_if(queue, ticket, ticket + (1 << 20)):
                # now, while the phase waits for this job: once it is counted, it may be another's number
                n_jobs = team.n_jobs
                team.run(team.context, job, worker)
                finished += 1
                if worker == 0 and team.poll(team.context) and bf16 != NULL:
                    # anew: a signal's handler may have used the CPU's tiles for its own products
                    bf16.start_products()
    if finished and team.rest != NULL:
        team.rest(team.context, worker)
    if finished and atomic_add(team.done, finished) == n_jobs:
        team.running = team.advance(team.context, worker)
        publish(team)
    if bf16 != NULL:
        bf16.finish_products()
    if flushes:
        restore_subnormals(before)


cdef void *worker_main(void *argument) noexcept nogil:
    cdef Worker *me = <Worker *> argument
    cdef uint64_t phase = 0
    while True:
        phase = await_phase(me.team, phase)
        if me.team.closing:
            return NULL
        work(me.team, me.number, phase)


cdef void start_threads(Team *team) noexcept nogil:
    """As many as asked for, or as the system allows: their jobs are done by the others."""
    cdef Worker *worker
    while team.n_started < team.n_workers:
        worker = team.workers + team.n_started
        worker.team = team
        worker.number = team.n_started
        if pthread_create(&worker.thread, NULL, worker_main, worker):
            return
        team.n_started += 1


cdef void run_team(Team *team) noexcept nogil:
    """Run phases from the one that `advance` sets up first until it says that there is no more."""
    cdef uint64_t phase
    start_threads(team)
    team.running = team.advance(team.context, 0)
    publish(team)
    phase = atomic_get(team.phase)
    while team.running:
        work(team, 0, phase)
        team.poll(team.context)
        phase = await_phase(team, phase)
