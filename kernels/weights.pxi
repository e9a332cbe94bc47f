# Parameters: their gradients and updates, which are jobs of a block of weights or of a panel of vectors each;
# and what is kept beside them.

cdef void run_weights(State *s, ptrdiff_t number, int worker) noexcept nogil:
    """Some gradients over the rows of the chunk, and in the batch's last chunk their updates."""
    cdef const Job *job = s.jobs + number
    cdef const PlannedParam *planned = s.planned + job.param
    cdef Param *param = s.params + job.param
    cdef double *squares
    cdef ptrdiff_t block
    enter(s, worker, TIMED_GRADIENT if s.phase == WEIGHTS else TIMED_LIMITS, planned.layer)
    if job.block == VECTORS:
        run_vectors(s, job.param, job.panel)
    for block in range(max(job.block, 0), job.end):
        squares = param.squares + job.panel * s.kernels.panel + block * param.square_stride
        if s.phase == UPDATE:
            s.kernels.apply_block(&param.weights, job.panel, block * BLOCK, squares)
            if planned.rule == WEIGHTS_BF16:
                s.bf16.round_weights(&param.weights, job.panel, block * BLOCK)
        elif planned.rule == WEIGHTS_SPARSE:
            s.kernels.gradient_block_sparse(&param.weights, &s.csc, job.panel, block * BLOCK, squares)
        elif planned.rule == WEIGHTS_BF16:
            s.bf16.gradient_block(&param.weights, job.panel, block * BLOCK, squares)
        else:
            s.kernels.gradient_block(&param.weights, job.panel, block * BLOCK, squares)


cdef void run_vectors(State *s, ptrdiff_t number, ptrdiff_t panel) noexcept nogil:
    """One panel of the vectors of a layer, of which this is the first."""
    cdef ptrdiff_t layer = s.planned[number].layer
    cdef double *squares
    while number < s.n_params and s.planned[number].layer == layer:
        if s.planned[number].is_learned:
            squares = s.params[number].squares + panel * s.kernels.panel
            if s.phase == WEIGHTS:
                s.kernels.gradient_vector(&s.params[number].vector, panel, squares)
            else:
                s.kernels.apply_vector(&s.params[number].vector, panel, squares)
        number += 1


cdef void follow_panel(State *s, ptrdiff_t number, ptrdiff_t panel) noexcept nogil:
    """What the updates keep beside the weights, from weights that came otherwise: the copies and the sums of
    squares.
    """
    cdef Param *param = s.params + number
    cdef Weights *w = &param.weights
    cdef ptrdiff_t k, rows
    cdef double *squares
    for k in range(param.square_rows):
        squares = param.squares + k * param.square_stride + panel * s.kernels.panel
        if w.narrow:
            s.kernels.square_sums(w.update, at_panel(s, w.w, panel, w.n_out), w.n_out,
                                  vectors_in(s, w.n_in, panel), squares)
            continue
        rows = min(<ptrdiff_t> BLOCK, w.n_in - k * BLOCK)
        s.kernels.square_sums(w.update, at_row(s, at_panel(s, w.w, panel, w.n_in), k * BLOCK), rows,
                              vectors_in(s, w.n_out, panel), squares)
        if w.wt != NULL:
            s.kernels.transpose_block(w, panel, k * BLOCK, rows)
        if s.planned[number].rule == WEIGHTS_BF16:
            s.bf16.round_weights(w, panel, k * BLOCK)


cdef ptrdiff_t limited_panels(State *s) noexcept nogil:
    """Panels of all hidden units."""
    cdef ptrdiff_t panels = 0
    cdef int i
    for i in range(s.n_params):
        if s.planned[i].kind == PARAM_MATRIX and s.planned[i].layer < s.n_layers - 1:
            panels += s.params[i].panels
    return panels


cdef void limit_panel(State *s, ptrdiff_t panel) noexcept nogil:
    """Limit the norms of a panel of units' incoming weights; panels are counted over all hidden layers."""
    cdef int i = 0
    while s.planned[i].kind != PARAM_MATRIX or panel >= s.params[i].panels:
        if s.planned[i].kind == PARAM_MATRIX:
            panel -= s.params[i].panels
        i += 1
    s.kernels.limit_columns(&s.params[i].weights, panel, s.max_norm)
    follow_panel(s, i, panel)


cdef double sum_squares(State *s, double of_vectors) noexcept nogil:
    """The sum of what the last phase's blocks left behind: of weights, plus `of_vectors` times that of
    biases, scales and shifts. Not finite if any of them is not.
    """
    cdef double total = 0, vectors = 0
    cdef Param *param
    cdef int i
    cdef ptrdiff_t row
    for i in range(s.n_params):
        param = s.params + i
        for row in range(param.square_rows):
            if s.planned[i].kind == PARAM_MATRIX:
                total += add_up(param.squares + row * param.square_stride, param.square_columns)
            else:
                vectors += add_up(param.squares, param.square_columns)
    return total + of_vectors * vectors
