# One network in packed form, and what a job does: a block of rows through all layers and back, or a block of
# one layer's weights.
#
# A batch goes through in chunks of at most `capacity` rows, a chunk in two phases:
#   ROWS     gather, forward, loss, backward; a job is some rows, and needs nothing of other rows
#   WEIGHTS  gradients; a job is one block of a layer's weights, or the biases, scales and shifts of one
#            panel, over all rows of the chunk. In the batch's last chunk the sums are complete and become the
#            update at once; before it they are added up in g.
# Some options need more phases:
#   NORMALIZE, NORMALIZE_BACK
#            batch normalization of one layer; a job is one panel of units, over all rows: the batch is one
#            chunk then, and ROWS ends before each such layer, and goes on after it, forward and (ROWS_BACK)
#            backward
#   UPDATE   where the norm of the whole gradient is limited: WEIGHTS leaves the gradient in g, and the
#            updates come after it
#   LIMIT    the norms of units' incoming weights; a job is one panel
# Everything that is summed over jobs (losses, squares of weights) is written where it belongs and added up in
# a fixed order by `advance`, so no bit depends on which thread did what, or on how many there are.

cdef enum:
    # what a run does: outputs; and losses; one update a batch; the gradient of one batch
    PREDICT, EVALUATE, TRAIN, DIFFERENTIATE
    BEFORE, ROWS, NORMALIZE, NORMALIZE_BACK, ROWS_BACK, WEIGHTS, UPDATE, LIMIT    # phases
    NORM_NONE, NORM_BATCH, NORM_LAYER
    VECTORS = -1
    FINISHED, NON_FINITE, STOPPED    # how a run ended
    PAUSED                           # until it has the scalars of further steps
    LANES = 8                        # accumulators of a fixed-order sum

cdef struct Layer:
    Gradient gradient          # the weights, moments and sums, as the kernels take them
    ptrdiff_t in_panels, out_panels
    int activation
    int derivative             # how the backward pass gets it: the activation, DROPPED_RELU or STORED
    double parameter           # of the activation
    own_activation_fn *own     # ACTIVATION_OWN
    bint is_fused              # the product's epilogue does the activation
    bint is_bf16               # while training, the products are those of net.bf16
    Norm norm
    bint drops                 # units, while training
    Dropout dropout
    uint64_t dropout_base      # of this step
    void *a                    # outputs of this layer; those of the last one become its dz
    void *dz
    # gradient with respect to the normalization's output, where the layer above leaves it; else dz
    void *dout
    void *slope                # what the derivative comes from: a, or where it is stored
    void *zhat                 # the normalization's
    # Where the products are bfloat16's, roundings of the layer's inputs and of dz, in the forms of
    # bfloat16.h.
    void *bf16_in              # in rows; g.bf16_a has them in columns
    void *bf16_dz              # in rows; g.bf16_dz has them in pairs
    # column sums of the weights' penalties, a row for each block of inputs, then one of the biases, scales
    # and shifts
    double *squares
    ptrdiff_t square_rows, square_columns, square_stride

cdef struct Job:
    ptrdiff_t layer, panel
    ptrdiff_t block, end       # blocks of inputs; VECTORS: the panel's biases, scales and shifts

cdef struct Group:
    Update update              # of the present step
    double alpha, l1           # penalties

cdef struct Net:
    const Kernels *kernels
    const Bf16Kernels *bf16    # NULL: all products are the kernels'
    int n_layers, mode, phase, status, normalization
    # the layer of NORMALIZE and NORMALIZE_BACK, or that ROWS and ROWS_BACK begin with
    int at
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
    Loss loss
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
    ptrdiff_t n_row_jobs, rows_a_job, row_tile    # rows of a job are a multiple of the tile
    # the update
    Group *groups              # of parameters
    int n_groups
    int kind                   # of the optimizer
    double alpha, l1, clip_value, clip_norm, max_norm
    # SCALAR_* of each group, of the steps from `window` to `window_end`
    const double *scalars
    int64_t window, window_end
    double squares             # of the weights, or what Update says
    bint drops_inputs
    Dropout input_dropout
    uint64_t input_base, seed
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


cdef inline char *at_row(Net *net, void *panels, ptrdiff_t row) noexcept nogil:
    return <char *> panels + row * net.kernels.panel * net.kernels.real_bytes


cdef inline char *at_panel(Net *net, void *panels, ptrdiff_t panel, ptrdiff_t rows) noexcept nogil:
    return <char *> panels + panel * rows * net.kernels.panel * net.kernels.real_bytes


cdef inline int vectors_in(Net *net, ptrdiff_t n, ptrdiff_t panel) noexcept nogil:
    """How many vectors of a panel hold columns below n: the same as the kernels' vectors_of."""
    return 2 if n - panel * net.kernels.panel > net.kernels.panel // 2 else 1


cdef inline bint can_be_fused(int activation) noexcept nogil:
    """Whether `forward` does it."""
    return (activation == ACTIVATION_IDENTITY or activation == ACTIVATION_RELU
            or activation == ACTIVATION_LEAKY_RELU)


cdef inline void activate(const Kernels *kernels, int activation, double parameter, own_activation_fn *own,
                          void *a, void *slope,
                          ptrdiff_t n) noexcept nogil:
    """n pre-activations become activations, and where slope is not NULL, their derivatives are
    stored there.
    """
    if own != NULL:
        own(a, slope, n, parameter)
    else:
        kernels.activate(activation, parameter, a, a, slope, n)


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
    cdef ptrdiff_t tile = net.row_tile
    return min(net.chunk_rows, (net.chunk_rows + tile - 1) // tile * job // net.n_row_jobs * tile)


cdef inline bint is_training(Net *net) noexcept nogil:
    return net.mode == TRAIN or net.mode == DIFFERENTIATE


cdef inline bint is_normalized(Net *net, int i) noexcept nogil:
    return net.normalization != NORM_NONE and i < net.n_layers - 1


cdef void gather_rows(Net *net, ptrdiff_t first, ptrdiff_t rows) noexcept nogil:
    """Inputs of some rows of the chunk into panels, unless the first layer takes them sparse."""
    cdef const ptrdiff_t *index = net.order + net.chunk + first
    cdef char *x
    cdef ptrdiff_t p
    if net.is_sparse:
        return
    x = at_row(net, net.x_panels, first)
    if net.is_csr:
        net.kernels.densify(&net.csr, index, rows, net.n_features, x, net.stride)
    else:
        net.gather(net.x, net.row_bytes, net.column_bytes, index, rows, net.n_features, x, net.stride)
    if net.drops_inputs and net.mode == TRAIN:
        for p in range(net.layers[0].in_panels):
            net.kernels.drop(&net.input_dropout, net.input_base, net.chunk - net.batch + first,
                             p * net.kernels.panel, rows,
                             vectors_in(net, net.n_features, p), at_panel(net, x, p, net.panel_rows), NULL)


cdef void activate_panel(Net *net, int i, ptrdiff_t p, ptrdiff_t first, ptrdiff_t rows) noexcept nogil:
    """Activation of some rows of one panel, where the product's epilogue did not do it, and dropout."""
    cdef Layer *layer = net.layers + i
    cdef char *a = at_row(net, at_panel(net, layer.a, p, net.panel_rows), first)
    cdef void *slope = NULL
    cdef ptrdiff_t used = layer.gradient.n_out - p * net.kernels.panel
    if is_training(net) and layer.derivative == ACTIVATION_STORED:
        slope = at_row(net, at_panel(net, layer.slope, p, net.panel_rows), first)
    if not layer.is_fused and (layer.activation != ACTIVATION_IDENTITY or slope != NULL):
        activate(net.kernels, layer.activation, layer.parameter, layer.own, a, slope,
                 rows * net.kernels.panel)
        if layer.own != NULL and slope != NULL and used < net.kernels.panel:
            net.kernels.clear_pads(slope, rows, used)  # where it may be anything, and meets zeros
    if layer.drops and net.mode == TRAIN:
        net.kernels.drop(&layer.dropout, layer.dropout_base, net.chunk - net.batch + first,
                         p * net.kernels.panel, rows,
                         vectors_in(net, layer.gradient.n_out, p), a, slope)
    if not layer.is_fused and used < net.kernels.panel:
        net.kernels.clear_pads(a, rows, used)


cdef inline bint takes_bf16(Net *net, int i) noexcept nogil:
    """Whether the layer's products take bfloat16 numbers in this run: predictions are float32's."""
    return net.layers[i].is_bf16 and is_training(net)


cdef inline char *at_bf16(Net *net, void *halves, ptrdiff_t panel, ptrdiff_t row) noexcept nogil:
    """One panel's roundings of the rows from `row`, a multiple of the tile, in any of their forms."""
    return <char *> halves + (panel * net.stride + row * net.kernels.panel) * 2 if halves != NULL else NULL


cdef inline char *at_bf16_weights(void *weights, ptrdiff_t panel, ptrdiff_t n) noexcept nogil:
    """One panel of bfloat16 weights; n is the length of the sums."""
    return <char *> weights + panel * bf16_rows(n) * BLOCK * 2


cdef inline size_t bf16_rows(size_t n) noexcept nogil:
    return (n + BLOCK - 1) // BLOCK * BLOCK


cdef void round_inputs(Net *net, int i, ptrdiff_t first, ptrdiff_t rows) noexcept nogil:
    cdef Layer *layer = net.layers + i
    cdef void *a = at_row(net, net.layers[i - 1].a if i > 0 else net.x_panels, first)
    cdef ptrdiff_t p
    for p in range(layer.in_panels):
        net.bf16.round_panel(at_panel(net, a, p, net.panel_rows), rows, at_bf16(net, layer.bf16_in, p, first),
                             at_bf16(net, <void *> layer.gradient.bf16_a, p, first), NULL)


cdef void round_dz(Net *net, int i, ptrdiff_t p, ptrdiff_t first, ptrdiff_t rows) noexcept nogil:
    cdef Layer *layer = net.layers + i
    net.bf16.round_panel(at_row(net, at_panel(net, layer.dz, p, net.panel_rows), first), rows,
                         at_bf16(net, layer.bf16_dz, p, first), NULL,
                         at_bf16(net, <void *> layer.gradient.bf16_dz, p, first))


cdef void forward_layer(Net *net, int i, ptrdiff_t first, ptrdiff_t rows, int worker) noexcept nogil:
    """Some rows through one layer, but for batch normalization in training and all that follows it there."""
    cdef const Kernels *kernels = net.kernels
    cdef Layer *layer = net.layers + i
    cdef Gradient *g = &layer.gradient
    cdef void *a = at_row(net, net.layers[i - 1].a if i > 0 else net.x_panels, first)
    cdef void *out = at_row(net, layer.a, first)
    cdef bint drops = net.drops_inputs and net.mode == TRAIN, takes_sparse = i == 0 and net.is_sparse
    # all panels are needed before the first can go on
    cdef bint is_whole = takes_sparse or is_normalized(net, i)
    cdef int activation = layer.activation if layer.is_fused else ACTIVATION_IDENTITY
    cdef bint is_bf16 = takes_bf16(net, i)
    cdef ptrdiff_t p
    enter(net, worker, TIMED_FORWARD, i)
    if is_bf16:
        round_inputs(net, i, first, rows)
    if takes_sparse:
        kernels.forward_sparse(&net.csr, net.order + net.chunk + first, rows, g.w, g.n_in, g.n_out, g.bias.w,
                               out, net.stride,
                               &net.input_dropout if drops else NULL, net.input_base,
                               net.chunk - net.batch + first)
    elif g.narrow:
        kernels.forward_narrow(a, net.stride, rows, g.w, g.n_in, g.n_out, g.bias.w, out)
    else:
        for p in range(layer.out_panels):
            if is_bf16:
                net.bf16.forward(at_bf16(net, layer.bf16_in, 0, first), net.stride, rows,
                                 at_bf16_weights(g.bf16_w, p, g.n_in), g.n_in,
                                 at_panel(net, g.bias.w, p, 1), at_panel(net, out, p, net.panel_rows),
                                 vectors_in(net, g.n_out, p),
                                 activation, layer.parameter)
            else:
                kernels.forward(a, net.stride, rows, at_panel(net, g.w, p, g.n_in), g.n_in,
                                at_panel(net, g.bias.w, p, 1),
                                at_panel(net, out, p, net.panel_rows), vectors_in(net, g.n_out, p),
                                activation, layer.parameter)
            if not is_whole:
                activate_panel(net, i, p, first, rows)
    if is_normalized(net, i):
        if net.normalization == NORM_LAYER:
            enter(net, worker, TIMED_NORMALIZATION, i)
            kernels.normalize_rows(out, at_row(net, layer.zhat, first), net.stride, rows, g.n_out,
                                   &layer.norm, first)
        elif is_training(net):
            return
        else:
            for p in range(layer.out_panels):
                kernels.normalize_by_running(at_panel(net, out, p, net.panel_rows), rows,
                                             vectors_in(net, g.n_out, p), &layer.norm, p)
    if is_whole:
        enter(net, worker, TIMED_FORWARD, i)
        for p in range(layer.out_panels):
            activate_panel(net, i, p, first, rows)


cdef void backward_layer(Net *net, int i, ptrdiff_t first, ptrdiff_t rows, int worker) noexcept nogil:
    """Some rows from dz of layer i > 0 to dz of the layer below, or with batch normalization, to the gradient
    by its output.
    """
    cdef Layer *layer = net.layers + i
    cdef Layer *lower = layer - 1
    cdef Gradient *g = &layer.gradient
    cdef void *slope
    cdef void *out
    cdef ptrdiff_t p
    enter(net, worker, TIMED_BACKWARD, i)
    if layer.is_bf16:
        for p in range(layer.out_panels):
            round_dz(net, i, p, first, rows)
    for p in range(layer.in_panels):
        slope = at_row(net, at_panel(net, lower.slope, p, net.panel_rows), first)
        out = at_row(net, at_panel(net, lower.dout, p, net.panel_rows), first)
        if layer.is_bf16:
            net.bf16.backward(at_bf16(net, layer.bf16_dz, 0, first), net.stride, rows,
                              at_bf16_weights(g.bf16_wt, p, g.n_out), g.n_out,
                              slope, out, vectors_in(net, g.n_in, p), lower.derivative, lower.parameter)
        else:
            net.kernels.backward(at_row(net, layer.dz, first), net.stride, rows,
                                 at_panel(net, g.w if g.narrow else g.wt, p, g.n_out), g.n_out,
                                 slope, out, vectors_in(net, g.n_in, p), lower.derivative, lower.parameter)
    if net.normalization == NORM_LAYER:
        enter(net, worker, TIMED_NORMALIZATION, i - 1)
        net.kernels.normalize_rows_back(at_row(net, lower.dout, first), at_row(net, lower.zhat, first),
                                        at_row(net, lower.dz, first), net.stride,
                                        rows, g.n_in, &lower.norm, first)


cdef void run_rows(Net *net, ptrdiff_t job, int worker) noexcept nogil:
    """Rows of the chunk: gather, forward, and either the outputs or the loss and dz of every layer; or, with
    batch normalization, a part of it.
    """
    cdef ptrdiff_t first = job_edge(net, job)
    cdef ptrdiff_t rows = job_edge(net, job + 1) - first
    cdef const ptrdiff_t *index = net.order + net.chunk + first
    cdef void *scratch = net.scratch + worker * net.scratch_bytes
    cdef int i, last = net.n_layers - 1
    cdef ptrdiff_t n_out = net.layers[last].gradient.n_out, p
    cdef void *z = at_row(net, net.layers[last].a, first)
    cdef bint in_parts = net.normalization == NORM_BATCH and is_training(net)
    if net.phase == ROWS_BACK:
        backward_layer(net, net.at, first, rows, worker)
        return
    if net.at == 0:
        enter(net, worker, TIMED_GATHER, 0)
        gather_rows(net, first, rows)
    for i in range(net.at, net.n_layers):
        forward_layer(net, i, first, rows, worker)
        if in_parts and i < last:
            return
    enter(net, worker, TIMED_LOSS, last)
    if net.mode != PREDICT:
        net.kernels.loss_and_gradient(&net.loss, z, net.stride, rows, n_out, net.y, net.label, index,
                                      net.weight, is_training(net), scratch, net.row_loss + first)
    if not is_training(net):
        net.kernels.output(net.loss.output, z, net.stride, rows, n_out, scratch,
                           net.out + (net.chunk + first) * n_out * net.kernels.real_bytes)
        return
    for i in range(last, 0, -1):
        backward_layer(net, i, first, rows, worker)
        if in_parts:
            return
    if net.layers[0].is_bf16:
        enter(net, worker, TIMED_BACKWARD, 0)
        for p in range(net.layers[0].out_panels):
            round_dz(net, 0, p, first, rows)


cdef void normalize_panel(Net *net, ptrdiff_t p, int worker) noexcept nogil:
    """Batch normalization of one panel of layer `at`, and what follows it."""
    cdef Layer *layer = net.layers + net.at
    cdef void *a = at_panel(net, layer.a, p, net.panel_rows)
    cdef void *zhat = at_panel(net, layer.zhat, p, net.panel_rows)
    cdef int vectors = vectors_in(net, layer.gradient.n_out, p)
    enter(net, worker, TIMED_NORMALIZATION, net.at)
    if net.phase == NORMALIZE:
        net.kernels.normalize_columns(a, a, zhat, net.chunk_rows, vectors, &layer.norm, p, net.mode == TRAIN)
        activate_panel(net, net.at, p, 0, net.chunk_rows)
    else:
        net.kernels.normalize_columns_back(at_panel(net, layer.dz, p, net.panel_rows), zhat, net.chunk_rows,
                                           vectors, &layer.norm, p)
        if net.at == 0 and layer.is_bf16:
            round_dz(net, 0, p, 0, net.chunk_rows)


cdef void run_weights(Net *net, ptrdiff_t number, int worker) noexcept nogil:
    """Some gradients over the rows of the chunk, and in the batch's last chunk their updates."""
    cdef Job *job = net.jobs + number
    cdef Layer *layer = net.layers + job.layer
    cdef Gradient *g = &layer.gradient
    cdef double *squares = layer.squares + job.panel * net.kernels.panel
    cdef ptrdiff_t block
    enter(net, worker, TIMED_GRADIENT if net.phase == WEIGHTS else TIMED_LIMITS, job.layer)
    if job.block == VECTORS:
        (net.kernels.gradient_vectors if net.phase == WEIGHTS else net.kernels.apply_vectors)(
            g, job.panel, squares + layer.square_rows * layer.square_stride, layer.square_stride)
    for block in range(max(job.block, 0), job.end):
        if net.phase == UPDATE:
            net.kernels.apply_block(g, job.panel, block * BLOCK, squares + block * layer.square_stride)
            if layer.is_bf16:
                net.bf16.round_weights(g, job.panel, block * BLOCK)
        elif job.layer == 0 and net.is_sparse:
            net.kernels.gradient_block_sparse(g, &net.csc, job.panel, block * BLOCK,
                                              squares + block * layer.square_stride)
        elif layer.is_bf16:
            net.bf16.gradient_block(g, job.panel, block * BLOCK, squares + block * layer.square_stride)
        else:
            net.kernels.gradient_block(g, job.panel, block * BLOCK, squares + block * layer.square_stride)


cdef void follow_panel(Net *net, Layer *layer, ptrdiff_t panel) noexcept nogil:
    """What the updates keep beside the weights, from weights that came otherwise: the copies and the sums of
    squares.
    """
    cdef Gradient *g = &layer.gradient
    cdef ptrdiff_t k, rows
    cdef double *squares
    for k in range(layer.square_rows):
        squares = layer.squares + k * layer.square_stride + panel * net.kernels.panel
        if g.narrow:
            net.kernels.square_sums(g.update, at_panel(net, g.w, panel, g.n_out), g.n_out,
                                    vectors_in(net, g.n_in, panel), squares)
            continue
        rows = min(<ptrdiff_t> BLOCK, g.n_in - k * BLOCK)
        net.kernels.square_sums(g.update, at_row(net, at_panel(net, g.w, panel, g.n_in), k * BLOCK), rows,
                                vectors_in(net, g.n_out, panel),
                                squares)
        if g.wt != NULL:
            net.kernels.transpose_block(g, panel, k * BLOCK, rows)
        if layer.is_bf16:
            net.bf16.round_weights(g, panel, k * BLOCK)


cdef void limit_panel(Net *net, ptrdiff_t panel) noexcept nogil:
    """Limit the norms of a panel of units' incoming weights; panels are counted over all hidden layers."""
    cdef Layer *layer = net.layers
    while panel >= layer.out_panels:
        panel -= layer.out_panels
        layer += 1
    net.kernels.limit_columns(&layer.gradient, panel, net.max_norm)
    follow_panel(net, layer, panel)


cdef void run_job(void *context, ptrdiff_t job, int worker) noexcept nogil:
    cdef Net *net = <Net *> context
    if net.stop:  # what this run leaves behind is given up anyway
        return
    if net.phase == WEIGHTS or net.phase == UPDATE:
        run_weights(net, job, worker)
    elif net.phase == NORMALIZE or net.phase == NORMALIZE_BACK:
        normalize_panel(net, job, worker)
    elif net.phase == LIMIT:
        enter(net, worker, TIMED_LIMITS, 0)
        limit_panel(net, job)
    elif job < net.n_row_jobs:
        run_rows(net, job, worker)
    else:  # a sparse chunk's non-zeros by columns, which its weights need
        enter(net, worker, TIMED_GATHER, 0)
        net.kernels.transpose_csr(&net.csr, net.order + net.chunk, net.chunk_rows, net.n_features,
                                  &net.input_dropout if net.drops_inputs and net.mode == TRAIN else NULL,
                                  net.input_base,
                                  net.chunk - net.batch, &net.csc)


cdef double sum_squares(Net *net, double of_vectors) noexcept nogil:
    """The sum of what the last phase's blocks left behind: of weights, plus `of_vectors` times that of
    biases, scales and shifts. Not finite if any of them is not.
    """
    cdef double total = 0, vectors = 0
    cdef Layer *layer
    cdef int i
    cdef ptrdiff_t row
    for i in range(net.n_layers):
        layer = net.layers + i
        for row in range(layer.square_rows):
            total += add_up(layer.squares + row * layer.square_stride, layer.square_columns)
        for row in range(3 if is_normalized(net, i) else 1):
            vectors += add_up(layer.squares + (layer.square_rows + row) * layer.square_stride,
                              layer.gradient.n_out)
    return total + of_vectors * vectors
