# The operations of a program. A job of a segment is some rows of the chunk through all of its operations, or
# one panel of units over all rows.

cdef inline void activate(const Kernels *kernels, int activation, double parameter, own_activation_fn *own,
                          void *a, void *slope, ptrdiff_t n) noexcept nogil:
    """n pre-activations become activations; where slope is not NULL, their derivatives are stored there."""
    if own != NULL:
        own(a, slope, n, parameter)
    else:
        kernels.activate(activation, parameter, a, a, slope, n)


cdef inline bint can_be_fused(int activation) noexcept nogil:
    """Whether `forward` does it."""
    return (activation == ACTIVATION_IDENTITY or activation == ACTIVATION_RELU
            or activation == ACTIVATION_LEAKY_RELU)


cdef void gather_rows(State *s, const Operation *op, ptrdiff_t first, ptrdiff_t rows) noexcept nogil:
    cdef const ptrdiff_t *index = s.order + s.chunk + first
    cdef char *x = buffer(s, op.y, 0, first)
    if s.is_csr:
        s.kernels.densify(&s.csr, index, rows, op.n_out, x, s.stride)
    else:
        s.gather(s.x, s.row_bytes, s.column_bytes, index, rows, op.n_out, x, s.stride)


cdef void multiply(State *s, const Operation *op, ptrdiff_t first, ptrdiff_t rows) noexcept nogil:
    """A product forward, and what follows each of its panels."""
    cdef Weights *w = &s.params[op.weights].weights
    cdef void *bias = s.params[op.weights + 1].vector.w
    cdef int activation = ACTIVATION_IDENTITY
    cdef double parameter = 0
    cdef ptrdiff_t p
    if op.unit >= 0:
        activation, parameter = s.activations[op.unit].kind, s.activations[op.unit].parameter
    for p in range(panels_of(s, op.n_out)):
        if op.kind == OPERATION_DENSE_BF16:
            s.bf16.forward(bf16_buffer(s, op.x, 0, first), s.stride, rows,
                           at_bf16_weights(w.bf16_w, p, op.n_in), op.n_in, at_panel(s, bias, p, 1),
                           buffer(s, op.y, p, first), vectors_in(s, op.n_out, p), activation, parameter)
        else:
            s.kernels.forward(buffer(s, op.x, 0, first), s.stride, rows,
                              at_panel(s, w.w, p, op.n_in), op.n_in, at_panel(s, bias, p, 1),
                              buffer(s, op.y, p, first), vectors_in(s, op.n_out, p), activation, parameter)
        run_tail(s, op, p, first, rows)


cdef void multiply_back(State *s, const Operation *op, ptrdiff_t first, ptrdiff_t rows) noexcept nogil:
    """A product backward, times the derivative of what the layer below ends with."""
    cdef Weights *w = &s.params[op.weights].weights
    cdef void *wt = w.w if op.kind == OPERATION_BACKWARD_NARROW else w.wt
    cdef int derivative = s.activations[op.unit].kind
    cdef double parameter = s.activations[op.unit].parameter
    cdef ptrdiff_t p
    if op.derivative == DERIVATIVE_DROPPED_RELU:
        derivative, parameter = ACTIVATION_DROPPED_RELU, s.dropouts[op.unit + 1].scale
    elif op.derivative == DERIVATIVE_STORED:
        derivative = ACTIVATION_STORED
    for p in range(panels_of(s, op.n_in)):
        if op.kind == OPERATION_BACKWARD_BF16:
            s.bf16.backward(bf16_buffer(s, op.x, 0, first), s.stride, rows,
                            at_bf16_weights(w.bf16_wt, p, op.n_out), op.n_out, buffer(s, op.z, p, first),
                            buffer(s, op.y, p, first), vectors_in(s, op.n_in, p), derivative, parameter)
        else:
            s.kernels.backward(buffer(s, op.x, 0, first), s.stride, rows, at_panel(s, wt, p, op.n_out),
                               op.n_out, buffer(s, op.z, p, first), buffer(s, op.y, p, first),
                               vectors_in(s, op.n_in, p), derivative, parameter)


cdef void run_operation(State *s, const Operation *op, ptrdiff_t first, ptrdiff_t rows,
                        int worker) noexcept nogil:
    """One operation, and its tail, on some rows."""
    cdef const ptrdiff_t *index = s.order + s.chunk + first
    cdef void *scratch = s.scratch + worker * s.scratch_bytes
    cdef Weights *w
    cdef ptrdiff_t p
    enter(s, worker, op.timed, op.layer)
    if op.kind == OPERATION_DENSE or op.kind == OPERATION_DENSE_BF16:
        multiply(s, op, first, rows)
        return
    if OPERATION_BACKWARD <= op.kind <= OPERATION_BACKWARD_BF16:
        multiply_back(s, op, first, rows)
    elif op.kind == OPERATION_GATHER:
        gather_rows(s, op, first, rows)
    elif op.kind == OPERATION_DENSE_NARROW:
        w = &s.params[op.weights].weights
        s.kernels.forward_narrow(buffer(s, op.x, 0, first), s.stride, rows, w.w, op.n_in, op.n_out,
                                 s.params[op.weights + 1].vector.w, buffer(s, op.y, 0, first))
    elif op.kind == OPERATION_DENSE_SPARSE:
        w = &s.params[op.weights].weights
        s.kernels.forward_sparse(&s.csr, index, rows, w.w, op.n_in, op.n_out,
                                 s.params[op.weights + 1].vector.w, buffer(s, op.y, 0, first), s.stride,
                                 dropped_inputs(s), s.dropout_bases[0], s.chunk - s.batch + first)
    elif op.kind == OPERATION_LOSS:
        if s.mode != PREDICT:
            s.kernels.loss_and_gradient(&s.loss, buffer(s, op.y, 0, first), s.stride, rows, op.n_out, s.y,
                                        s.label, index, s.weight, is_training(s), scratch,
                                        s.row_loss + first)
    elif op.kind == OPERATION_OUTPUT:
        s.kernels.output(s.loss.output, buffer(s, op.y, 0, first), s.stride, rows, op.n_out, scratch,
                         s.out + (s.chunk + first) * op.n_out * s.kernels.real_bytes)
    elif op.kind == OPERATION_NORMALIZE_ROWS:
        s.kernels.normalize_rows(buffer(s, op.y, 0, first), buffer(s, op.z, 0, first), s.stride, rows,
                                 op.n_out, s.norms + op.unit, first)
    elif op.kind == OPERATION_NORMALIZE_ROWS_BACK:
        s.kernels.normalize_rows_back(buffer(s, op.x, 0, first), buffer(s, op.z, 0, first),
                                      buffer(s, op.y, 0, first), s.stride, rows, op.n_out,
                                      s.norms + op.unit, first)
    else:
        for p in range(panels_of(s, op.n_out)):
            run_panel(s, op, p, first, rows)
            run_tail(s, op, p, first, rows)
        return
    if op.tail > 0:
        for p in range(panels_of(s, op.n_out)):
            run_tail(s, op, p, first, rows)


cdef inline const Dropout *dropped_inputs(State *s) noexcept nogil:
    return s.dropouts if s.drops_inputs and s.mode == TRAIN else NULL


cdef inline void run_tail(State *s, const Operation *op, ptrdiff_t p, ptrdiff_t first,
                          ptrdiff_t rows) noexcept nogil:
    cdef ptrdiff_t i
    for i in range(op.tail):
        run_panel(s, op + 1 + i, p, first, rows)


cdef void run_panel(State *s, const Operation *op, ptrdiff_t p, ptrdiff_t first,
                    ptrdiff_t rows) noexcept nogil:
    """One operation on some rows of one panel."""
    cdef char *y = buffer(s, op.y, p, first) if not is_rounding(op) else NULL
    cdef char *z = buffer(s, op.z, p, first) if not is_rounding(op) else NULL
    cdef const Activation *activation = s.activations + op.unit
    cdef ptrdiff_t used = op.n_out - p * s.kernels.panel
    cdef int vectors = vectors_in(s, op.n_out, p)
    if op.kind == OPERATION_ACTIVATE:
        activate(s.kernels, activation.kind, activation.parameter, activation.own, y, z,
                 rows * s.kernels.panel)
        if activation.own != NULL and z != NULL and used < s.kernels.panel:
            s.kernels.clear_pads(z, rows, used)  # where it may be anything, and meets zeros
    elif op.kind == OPERATION_DROP:
        s.kernels.drop(s.dropouts + op.unit, s.dropout_bases[op.unit], s.chunk - s.batch + first,
                       p * s.kernels.panel, rows, vectors, y, z)
    elif op.kind == OPERATION_CLEAR_PADS:
        if used < s.kernels.panel:
            s.kernels.clear_pads(y, rows, used)
    elif op.kind == OPERATION_NORMALIZE_COLUMNS:
        s.kernels.normalize_columns(y, y, z, rows, vectors, s.norms + op.unit, p, s.mode == TRAIN)
    elif op.kind == OPERATION_NORMALIZE_BY_RUNNING:
        s.kernels.normalize_by_running(y, rows, vectors, s.norms + op.unit, p)
    elif op.kind == OPERATION_NORMALIZE_COLUMNS_BACK:
        s.kernels.normalize_columns_back(y, z, rows, vectors, s.norms + op.unit, p)
    elif op.kind == OPERATION_ROUND_INPUTS:
        s.bf16.round_panel(buffer(s, op.x, p, first), rows, bf16_buffer(s, op.y, p, first),
                           bf16_buffer(s, op.z, p, first), NULL)
    elif op.kind == OPERATION_ROUND_GRADIENTS:
        s.bf16.round_panel(buffer(s, op.x, p, first), rows, bf16_buffer(s, op.y, p, first), NULL,
                           bf16_buffer(s, op.z, p, first))


cdef inline bint is_rounding(const Operation *op) noexcept nogil:
    return op.kind == OPERATION_ROUND_INPUTS or op.kind == OPERATION_ROUND_GRADIENTS


cdef void run_rows(State *s, ptrdiff_t job, int worker) noexcept nogil:
    """Some rows of the chunk through a segment."""
    cdef const Segment *segment = s.segments + s.segment
    cdef ptrdiff_t first = job_edge(s, job), i = segment.first
    cdef ptrdiff_t rows = job_edge(s, job + 1) - first
    while i < segment.end:
        run_operation(s, s.operations + i, first, rows, worker)
        i += 1 + s.operations[i].tail


cdef void run_columns(State *s, ptrdiff_t panel, int worker) noexcept nogil:
    """All rows of the chunk, one panel, through a segment."""
    cdef const Segment *segment = s.segments + s.segment
    cdef ptrdiff_t i
    for i in range(segment.first, segment.end):
        enter(s, worker, s.operations[i].timed, s.operations[i].layer)
        run_panel(s, s.operations + i, panel, 0, s.chunk_rows)


cdef void run_job(void *context, ptrdiff_t job, int worker) noexcept nogil:
    cdef State *s = <State *> context
    if s.stop:  # what this run leaves behind is given up anyway
        return
    if s.phase == WEIGHTS or s.phase == UPDATE:
        run_weights(s, job, worker)
    elif s.phase == LIMIT:
        enter(s, worker, TIMED_LIMITS, 0)
        limit_panel(s, job)
    elif s.segments[s.segment].panels:
        run_columns(s, job, worker)
    elif job < s.n_row_jobs:
        run_rows(s, job, worker)
    else:  # a sparse chunk's non-zeros by columns, which its weights need
        enter(s, worker, TIMED_GATHER, 0)
        s.kernels.transpose_csr(&s.csr, s.order + s.chunk, s.chunk_rows, s.n_features, dropped_inputs(s),
                                s.dropout_bases[0], s.chunk - s.batch, &s.csc)
