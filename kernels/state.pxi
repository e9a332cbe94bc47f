# What a run of a program has: buffers, parameters, the table, the batch that it is at.

cdef enum:
    # what a run does: outputs; and losses; one update a batch; the gradient of one batch
    PREDICT, EVALUATE, TRAIN, DIFFERENTIATE
    BEFORE, SEGMENT, WEIGHTS, UPDATE, LIMIT    # phases
    FINISHED, NON_FINITE, STOPPED    # how a run ended
    PAUSED                           # until it has the scalars of further steps
    LANES = 8                        # accumulators of a fixed-order sum

cdef struct Param:
    Weights weights            # of a matrix: itself, its moments and sums, as the kernels take them
    Vector vector              # or of a vector
    ptrdiff_t panels           # of its units; of a narrow matrix of its inputs
    # column sums of penalties: of a matrix a row for each block of inputs
    double *squares
    ptrdiff_t square_rows, square_columns, square_stride

cdef struct Group:
    Update update              # of the present step
    double alpha, l1           # penalties

cdef struct State:
    const Kernels *kernels
    const Bf16Kernels *bf16
    const Operation *operations
    const Segment *segments    # of this run
    const PlannedParam *planned
    const Job *jobs
    const Activation *activations
    int n_segments, n_params, n_layers
    ptrdiff_t n_features, n_outputs, row_tile
    int mode, phase, segment, status
    # memory
    void **buffers
    Param *params
    Norm *norms                # of every hidden layer
    ptrdiff_t capacity         # rows of a chunk
    ptrdiff_t panel_rows       # rows that a panel has room for
    ptrdiff_t stride           # numbers from a panel to the next
    double *row_loss
    char *scratch
    ptrdiff_t scratch_bytes    # a worker
    # the table
    gather_fn *gather
    const char *x
    ptrdiff_t row_bytes, column_bytes
    Csr csr
    bint is_csr, is_sparse     # in CSR form; so sparse that the first layer goes over the non-zeros
    Csc csc
    const void *y
    const ptrdiff_t *label
    const double *weight
    Loss loss
    # jobs, cut into one share a worker
    ptrdiff_t *shares
    ptrdiff_t *row_ends        # likewise for the rows of a chunk
    ptrdiff_t n_row_jobs, rows_a_job    # rows of a job are a multiple of the tile
    # the update
    Group *groups              # of parameters
    int n_groups
    int kind                   # of the optimizer
    double alpha, l1, clip_value, clip_norm, max_norm
    # SCALAR_* of each group, of the steps from `window` to `window_end`
    const double *scalars
    int64_t window, window_end
    # and, where dropout has a schedule: of inputs and every hidden layer, the rate, and the rest of Dropout
    const double *dropout_window
    double squares             # of the weights, or what Update says
    Dropout *dropouts          # of the inputs and of every hidden layer
    uint64_t *dropout_bases    # of this step
    bint drops_inputs
    uint64_t seed
    # the run: batches of `order`, and the chunk of rows at `chunk` in it
    const ptrdiff_t *order
    ptrdiff_t n_rows, batch_size, batch, batch_end, chunk, chunk_rows
    double batch_weight, batch_loss, total_loss
    ptrdiff_t epoch_rows, epoch_end    # epochs follow each other in `order`
    double *losses             # of every epoch of a TRAIN run
    int64_t epoch              # whole ones
    char *parameters           # all that store() reads, and room to keep it in between epochs
    char *kept
    size_t parameter_bytes
    int64_t t                  # updates done
    int64_t step               # of this run
    char *out
    bint stop
    int64_t *clocks            # a record a worker, where a profile is wanted: see profile.pxi
    ptrdiff_t clock_stride


cdef inline char *at_row(State *s, void *panels, ptrdiff_t row) noexcept nogil:
    return <char *> panels + row * s.kernels.panel * s.kernels.real_bytes


cdef inline char *at_panel(State *s, void *panels, ptrdiff_t panel, ptrdiff_t rows) noexcept nogil:
    return <char *> panels + panel * rows * s.kernels.panel * s.kernels.real_bytes


cdef inline char *buffer(State *s, ptrdiff_t number, ptrdiff_t panel, ptrdiff_t row) noexcept nogil:
    """One panel of a buffer from a row on; NULL where there is no buffer."""
    if number < 0:
        return NULL
    return <char *> s.buffers[number] + (panel * s.stride + row * s.kernels.panel) * s.kernels.real_bytes


cdef inline char *bf16_buffer(State *s, ptrdiff_t number, ptrdiff_t panel, ptrdiff_t row) noexcept nogil:
    """Likewise of bfloat16 numbers, in any of their forms; the row is a multiple of the tile."""
    if number < 0:
        return NULL
    return <char *> s.buffers[number] + (panel * s.stride + row * s.kernels.panel) * 2


cdef inline char *at_bf16_weights(void *weights, ptrdiff_t panel, ptrdiff_t n) noexcept nogil:
    """One panel of bfloat16 weights; n is the length of the sums."""
    return <char *> weights + panel * bf16_rows(n) * BLOCK * 2


cdef inline size_t bf16_rows(size_t n) noexcept nogil:
    return (n + BLOCK - 1) // BLOCK * BLOCK


cdef inline ptrdiff_t panels_of(State *s, ptrdiff_t n) noexcept nogil:
    return (n + s.kernels.panel - 1) // s.kernels.panel


cdef inline int vectors_in(State *s, ptrdiff_t n, ptrdiff_t panel) noexcept nogil:
    """How many vectors of a panel hold columns below n: the same as the kernels' vectors_of."""
    return 2 if n - panel * s.kernels.panel > s.kernels.panel // 2 else 1


cdef inline bint is_training(State *s) noexcept nogil:
    return s.mode == TRAIN or s.mode == DIFFERENTIATE


cdef inline ptrdiff_t job_edge(State *s, ptrdiff_t job) noexcept nogil:
    """The chunk's row at which a job begins: whole tiles, shared evenly."""
    cdef ptrdiff_t tile = s.row_tile
    return min(s.chunk_rows, (s.chunk_rows + tile - 1) // tile * job // s.n_row_jobs * tile)


cdef double add_up(const double *x, ptrdiff_t n) noexcept nogil:
    """The sum of x in an order that depends on n alone."""
    cdef double lanes[LANES]
    cdef ptrdiff_t i
    cdef int lane
    for lane in range(LANES):
        lanes[lane] = 0
    i = 0
    while i + LANES <= n:
        for lane in range(LANES):
            lanes[lane] += x[i + lane]
        i += LANES
    while i < n:
        lanes[i % LANES] += x[i]
        i += 1
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))


cdef void free_state(State *s) noexcept nogil:
    """Free what a state has allocated; it may be called again."""
    free(s.buffers)
    free(s.params)
    free(s.norms)
    free(s.dropouts)
    free(s.dropout_bases)
    free(s.groups)
    free(s.clocks)
    s.buffers = NULL
    s.params = NULL
    s.norms = NULL
    s.dropouts = NULL
    s.dropout_bases = NULL
    s.groups = NULL
    s.clocks = NULL
    s.n_params = s.n_groups = s.n_layers = 0
