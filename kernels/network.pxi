# One network in packed form, and what a job does: a block of rows through all layers and back, or a block of one layer's weights.
#
# A batch goes through in chunks of at most `capacity` rows, a chunk in two phases:
#   ROWS     gather, forward, loss, backward; a job is some rows, and needs nothing of other rows
#   WEIGHTS  gradients; a job is one block of a layer's weights, or the biases of one panel, over all rows of the chunk. In the batch's last
#            chunk the sums are complete and become the update at once; before it they are added up in g.
# Everything that is summed over jobs (losses, squares of weights) is written where it belongs and added up in a fixed order by `advance`,
# so no bit depends on which thread did what, or on how many there are.

cdef enum:
    PREDICT, TRAIN, DIFFERENTIATE    # what a run does: outputs; one update a batch; the gradient of one batch
    BEFORE, ROWS, WEIGHTS            # phases
    BIASES = -1
    FINISHED, NON_FINITE, STOPPED    # how a run ended
    LANES = 8                        # accumulators of a fixed-order sum

cdef struct Layer:
    Gradient gradient          # the weights, moments and sums, as the kernels take them
    ptrdiff_t in_panels, out_panels
    int activation
    void *a                    # outputs of this layer; those of the last one become its dz
    void *dz
    double *squares            # column sums of the squares of the weights, a row for each block of inputs, then one of the biases
    ptrdiff_t square_rows, square_columns, square_stride

cdef struct Job:
    ptrdiff_t layer, panel
    ptrdiff_t block, end       # blocks of inputs; BIASES: the panel's biases

cdef struct Net:
    const Kernels *kernels
    int loss, n_layers, mode, phase, status
    Layer *layers
    # the table
    gather_fn *gather
    const char *x
    ptrdiff_t row_bytes, column_bytes, n_features
    Csr csr
    bint is_csr, is_sparse     # in CSR form; so sparse that the first layer goes over the non-zeros
    Csc csc
    const void *y
    const ptrdiff_t *label
    const double *weight
    double gradient_scale
    # buffers for one chunk
    ptrdiff_t capacity         # rows of a chunk
    ptrdiff_t panel_rows       # rows that a panel has room for
    ptrdiff_t stride           # numbers from a panel to the next
    void *x_panels
    double *row_loss
    char *scratch
    ptrdiff_t scratch_bytes    # a worker
    # the weights' blocks, cut into one share a worker
    Job *jobs
    ptrdiff_t n_jobs, blocks_a_job
    ptrdiff_t *shares
    ptrdiff_t *row_ends        # likewise for the rows of a chunk
    ptrdiff_t n_row_jobs, rows_a_job
    Update update
    double alpha, squares
    # the run: batches of `order`, and the chunk of rows at `chunk` in it
    const ptrdiff_t *order
    ptrdiff_t n_rows, batch_size, batch, batch_end, chunk, chunk_rows
    double batch_weight, batch_loss, total_loss, learning_rate
    int64_t t                  # updates done
    int64_t step               # of this run
    char *out
    bint stop


cdef inline char *at_row(Net *net, void *panels, ptrdiff_t row) noexcept nogil:
    return <char *> panels + row * net.kernels.panel * net.kernels.real_bytes


cdef inline char *at_panel(Net *net, void *panels, ptrdiff_t panel, ptrdiff_t rows) noexcept nogil:
    return <char *> panels + panel * rows * net.kernels.panel * net.kernels.real_bytes


cdef inline int vectors_in(Net *net, ptrdiff_t n, ptrdiff_t panel) noexcept nogil:
    """How many vectors of a panel hold columns below n: the same as the kernels' vectors_of."""
    return 2 if n - panel * net.kernels.panel > net.kernels.panel // 2 else 1


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


cdef inline ptrdiff_t job_edge(Net *net, ptrdiff_t job) noexcept nogil:
    """The chunk's row at which a job begins: whole tiles, shared evenly."""
    cdef ptrdiff_t tile = net.kernels.tile
    return min(net.chunk_rows, (net.chunk_rows + tile - 1) // tile * job // net.n_row_jobs * tile)


cdef void run_rows(Net *net, ptrdiff_t job, int worker) noexcept nogil:
    """Rows of the chunk: gather, forward, and either the outputs or the loss and dz of every layer."""
    cdef const Kernels *kernels = net.kernels
    cdef ptrdiff_t first = job_edge(net, job)
    cdef ptrdiff_t rows = job_edge(net, job + 1) - first
    cdef const ptrdiff_t *index = net.order + net.chunk + first
    cdef void *scratch = net.scratch + worker * net.scratch_bytes
    cdef Layer *layer
    cdef Layer *last = net.layers + net.n_layers - 1
    cdef Layer *below
    cdef void *a = net.x_panels
    cdef ptrdiff_t p
    cdef int i
    if net.is_csr and not net.is_sparse:
        kernels.densify(&net.csr, index, rows, net.n_features, at_row(net, a, first), net.stride)
    elif not net.is_csr:
        net.gather(net.x, net.row_bytes, net.column_bytes, index, rows, net.n_features, at_row(net, a, first), net.stride)
    for i in range(net.n_layers):
        layer = net.layers + i
        if i == 0 and net.is_sparse:
            kernels.forward_sparse(&net.csr, index, rows, layer.gradient.w, layer.gradient.n_in, layer.gradient.n_out, layer.gradient.b,
                                   at_row(net, layer.a, first), net.stride, layer.activation)
        elif layer.gradient.narrow:
            kernels.forward_narrow(at_row(net, a, first), net.stride, rows, layer.gradient.w, layer.gradient.n_in, layer.gradient.n_out,
                                   layer.gradient.b, at_row(net, layer.a, first))
        else:
            for p in range(layer.out_panels):
                kernels.forward(at_row(net, a, first), net.stride, rows, at_panel(net, layer.gradient.w, p, layer.gradient.n_in),
                                layer.gradient.n_in, at_panel(net, layer.gradient.b, p, 1),
                                at_row(net, at_panel(net, layer.a, p, net.panel_rows), first),
                                vectors_in(net, layer.gradient.n_out, p), layer.activation)
        if layer.activation == ACTIVATION_LOGISTIC:  # the one with f(0) != 0
            p = layer.out_panels - 1
            kernels.clear_pads(at_row(net, at_panel(net, layer.a, p, net.panel_rows), first), rows,
                               layer.gradient.n_out - p * kernels.panel)
        a = layer.a
    if net.mode == PREDICT:
        kernels.output(net.loss, at_row(net, a, first), net.stride, rows, last.gradient.n_out, scratch,
                       net.out + (net.chunk + first) * last.gradient.n_out * kernels.real_bytes)
        return
    kernels.lose(net.loss, at_row(net, a, first), net.stride, rows, last.gradient.n_out, net.y, net.label, index, net.weight,
                 net.gradient_scale, scratch, net.row_loss + first)
    for i in range(net.n_layers - 1, 0, -1):
        layer = net.layers + i
        below = layer - 1
        for p in range(layer.in_panels):
            kernels.backward(at_row(net, layer.dz, first), net.stride, rows,
                             at_panel(net, layer.gradient.w if layer.gradient.narrow else layer.gradient.wt, p, layer.gradient.n_out),
                             layer.gradient.n_out, at_row(net, at_panel(net, below.a, p, net.panel_rows), first),
                             at_row(net, at_panel(net, below.dz, p, net.panel_rows), first), vectors_in(net, layer.gradient.n_in, p),
                             below.activation)


cdef void run_weights(Net *net, ptrdiff_t number) noexcept nogil:
    """Some gradients over the rows of the chunk, and in the batch's last chunk their updates."""
    cdef Job *job = net.jobs + number
    cdef Layer *layer = net.layers + job.layer
    cdef double *squares = layer.squares + job.panel * net.kernels.panel
    cdef ptrdiff_t block
    if job.block == BIASES:
        net.kernels.gradient_bias(&layer.gradient, job.panel, squares + layer.square_rows * layer.square_stride)
    for block in range(max(job.block, 0), job.end):
        if job.layer == 0 and net.is_sparse:
            net.kernels.gradient_block_sparse(&layer.gradient, &net.csc, job.panel, block * BLOCK, squares + block * layer.square_stride)
        else:
            net.kernels.gradient_block(&layer.gradient, job.panel, block * BLOCK, squares + block * layer.square_stride)


cdef void run_job(void *context, ptrdiff_t job, int worker) noexcept nogil:
    cdef Net *net = <Net *> context
    if net.stop:  # what this run leaves behind is given up anyway
        return
    if net.phase == WEIGHTS:
        run_weights(net, job)
    elif job < net.n_row_jobs:
        run_rows(net, job, worker)
    else:  # a sparse chunk's non-zeros by columns, which its weights need
        net.kernels.transpose_csr(&net.csr, net.order + net.chunk, net.chunk_rows, net.n_features, &net.csc)


cdef double sum_squares(Net *net) noexcept nogil:
    """The sum of all squared weights, from what the last update's blocks left behind; not finite if any weight or bias is not."""
    cdef double total = 0, biases = 0
    cdef Layer *layer
    cdef int i
    cdef ptrdiff_t row
    for i in range(net.n_layers):
        layer = net.layers + i
        for row in range(layer.square_rows):
            total += add_up(layer.squares + row * layer.square_stride, layer.square_columns)
        biases += add_up(layer.squares + layer.square_rows * layer.square_stride, layer.gradient.n_out)
    return total + 0 * biases
