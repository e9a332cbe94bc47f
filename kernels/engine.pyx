# cython: language_level=3, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The compiled engine: training, differentiating and running one network, without the GIL.

This module assembles its parts, each a file of its own: team.pxi (threads), network.pxi (what a job does), run.pxi (what comes next), shuffle.pxi,
names.pxi (words for what is compiled in), standalone.pxi (every kernel on ordinary arrays). Only nnfast.engines.cython calls it, and has checked everything that comes in.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t, uint32_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from cpython.exc cimport PyErr_CheckSignals
cimport numpy as cnp

import numpy as np

cnp.import_array()

include "declarations.pxi"
include "team.pxi"
include "network.pxi"

cdef inline void *pointer(cnp.ndarray x) noexcept:
    return cnp.PyArray_DATA(x)


cdef struct Session_:
    Net net
    Team team
    void *owner                # the Engine, borrowed: where a signal handler's exception is kept
    int64_t next_poll          # milliseconds
    int64_t started            # when this run began, milliseconds

include "run.pxi"
include "shuffle.pxi"
include "names.pxi"
include "standalone.pxi"

cdef enum:
    # Rows of a job at most: few, so that their activations stay in the L2 cache and that others can help; but a job reads all weights, and
    # where those come from further away, fewer jobs are better.
    ROWS_A_JOB = 64
    MORE_ROWS_A_JOB = 128
    L2_BYTES = 1 << 20
    POLL_MILLISECONDS = 20
    FINISH_MILLISECONDS = 100  # a run that is expected to end within this is not interrupted


cdef void poll_signals(void *context) noexcept nogil:
    """Let Python's signal handlers run (the calling thread only). What one raises ends the run, unless its end is near."""
    cdef Session_ *session = <Session_ *> context
    cdef int64_t now = milliseconds(), left
    if now < session.next_poll:
        return
    session.next_poll = now + POLL_MILLISECONDS
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            (<Engine> session.owner).raised = error
            left = session.net.n_rows - session.net.batch
            if session.net.batch == 0 or (now - session.started) * left > FINISH_MILLISECONDS * session.net.batch:
                session.net.stop = True


cdef size_t times(size_t a, size_t b) except? 0:
    cdef size_t product
    if __builtin_mul_overflow(a, b, &product):
        raise MemoryError
    return product


cdef class Arena:
    """Memory handed out in aligned pieces; without memory, only the sum is made."""
    cdef char *base
    cdef size_t used

    cdef void *take(self, size_t n, size_t size) except? NULL:
        cdef size_t bytes = times(n, size)
        cdef void *piece = self.base + self.used if self.base != NULL else NULL
        if __builtin_add_overflow(self.used, (bytes + 127) & ~<size_t> 63, &self.used):
            raise MemoryError
        return piece


cdef class Engine:
    """One network in packed form, its buffers and its threads.

    Built in three steps: the constructor says what there is, measure() how much zeroed memory that takes, and attach() takes it, in four
    pieces that can be let go one after the other. The rest may be called any number of times; close() joins the threads.
    """
    cdef Session_ session
    cdef object memory, table, targets
    cdef readonly object raised
    cdef readonly int n_moments
    cdef ptrdiff_t chunk_entries
    cdef bint trains, opened

    def __cinit__(self):
        memset(&self.session, 0, sizeof(Session_))
        self.session.owner = <void *> self

    def __init__(self, isa, bint double_precision, layer_units, int activation, int loss, *, ptrdiff_t capacity, ptrdiff_t batch_size,
                 int n_threads, bint trains, int update=UPDATE_NONE, int n_moments=0):
        cdef Net *net = &self.session.net
        net.kernels = nnfast_kernels(_ISAS[isa], double_precision)
        if net.kernels == NULL:
            raise ValueError(f"instruction set {isa!r} is not available")
        net.n_layers = len(layer_units) - 1
        net.loss = loss
        net.capacity = capacity
        # Panels a multiple of a page apart would share cache sets, and loads would wait for stores to the same offset: 1 KB off it is.
        net.panel_rows = capacity
        while net.panel_rows * net.kernels.panel * net.kernels.real_bytes % 4096 != 1024:
            net.panel_rows += 1
        net.stride = net.panel_rows * net.kernels.panel
        net.batch_size = batch_size
        net.n_features = layer_units[0]
        net.gradient_scale = 1
        net.update.kind = update
        self.n_moments = n_moments
        self.trains = trains
        net.layers = <Layer *> calloc(net.n_layers, sizeof(Layer))
        if net.layers == NULL or not open_team(&self.session.team, n_threads):
            raise MemoryError
        self.opened = True
        self.session.team.run = run_job
        self.session.team.advance = advance
        self.session.team.poll = poll_signals
        self.session.team.context = &self.session
        cdef Layer *layer
        cdef double weights = 0
        cdef int i, panel = net.kernels.panel
        for i in range(net.n_layers):
            layer = net.layers + i
            layer.gradient.n_in = layer_units[i]
            layer.gradient.n_out = layer_units[i + 1]
            layer.gradient.stride = net.stride
            layer.gradient.update = &net.update
            layer.in_panels = (layer.gradient.n_in + panel - 1) // panel
            layer.out_panels = (layer.gradient.n_out + panel - 1) // panel
            layer.activation = activation if i < net.n_layers - 1 else ACTIVATION_IDENTITY
            weights += layer.gradient.n_in * layer.gradient.n_out
        net.rows_a_job = MORE_ROWS_A_JOB if weights * net.kernels.real_bytes > L2_BYTES else ROWS_A_JOB
        self.choose_narrow()

    cdef void choose_narrow(self) noexcept:
        """The last layer goes by dot products where it is narrow, unless it is also a sparse first one."""
        cdef Net *net = &self.session.net
        cdef Layer *last = net.layers + net.n_layers - 1
        last.gradient.narrow = last.gradient.n_out <= NARROW and not (net.n_layers == 1 and net.is_sparse)

    def use_dense(self, int source, cnp.ndarray x):
        """The table, of the number type SOURCE_*, with any strides."""
        cdef Net *net = &self.session.net
        net.gather = net.kernels.gather[source]
        net.x = <const char *> pointer(x)
        net.row_bytes = cnp.PyArray_STRIDE(x, 0)
        net.column_bytes = cnp.PyArray_STRIDE(x, 1)
        self.table = x

    def use_csr(self, cnp.ndarray data, cnp.ndarray indices, cnp.ndarray indptr, bint is_sparse, ptrdiff_t chunk_entries):
        """The table in CSR form; chunk_entries: the most non-zeros that `capacity` rows can hold."""
        cdef Net *net = &self.session.net
        net.csr = Csr(pointer(data), pointer(indices), pointer(indptr), data.itemsize, indices.itemsize)
        net.is_csr = True
        net.is_sparse = is_sparse
        self.chunk_entries = chunk_entries
        self.table = (data, indices, indptr)
        self.choose_narrow()

    def use_targets(self, cnp.ndarray y, cnp.ndarray weight, double gradient_scale):
        """Class numbers, or the other losses' rows of targets; weight may be None."""
        cdef Net *net = &self.session.net
        if net.loss == LOSS_LOG:
            net.label = <const ptrdiff_t *> pointer(y)
        else:
            net.y = <const void *> pointer(y)
        net.weight = NULL if weight is None else <double *> pointer(weight)
        net.gradient_scale = gradient_scale
        self.targets = (y, weight)

    def measure(self):
        """Bytes of zeroed memory that attach() takes: for buffers, weights, and each of two moments."""
        arenas = [Arena() for _ in range(4)]
        self.lay_out(arenas)
        return [(<Arena> arena).used + 64 if (<Arena> arena).used else 0 for arena in arenas]

    def attach(self, memory):
        cdef cnp.uint8_t[::1] piece
        self.memory = list(memory)
        arenas = []
        for piece in memory:
            arena = Arena()
            (<Arena> arena).base = <char *> (((<uintptr_t> &piece[0]) + 63) & ~<uintptr_t> 63) if piece.shape[0] else NULL
            arenas.append(arena)
        self.lay_out(arenas)
        self.list_jobs()

    cdef lay_out(self, arenas):
        cdef Arena arena = arenas[0], parameters = arenas[1], first = arenas[2], second = arenas[3]
        cdef Net *net = &self.session.net
        cdef Layer *layer
        cdef Gradient *g
        cdef size_t real = net.kernels.real_bytes, panel = net.kernels.panel, rows = net.panel_rows, weights, biases, stride
        cdef int i
        cdef bint sums = self.trains and (net.update.kind == UPDATE_NONE or net.batch_size > net.capacity)
        cdef size_t widest = 0
        if not net.is_sparse:
            net.x_panels = arena.take(times(net.layers[0].in_panels, rows * panel), real)
        elif self.trains:
            net.csc.start = <ptrdiff_t *> arena.take(net.n_features + 1, sizeof(ptrdiff_t))
            net.csc.row = <int32_t *> arena.take(self.chunk_entries, sizeof(int32_t))
            net.csc.value = arena.take(self.chunk_entries, real)
        net.n_jobs = self.count_jobs() if self.trains else 0
        for i in range(net.n_layers):
            layer = net.layers + i
            g = &layer.gradient
            weights = times(layer.in_panels * panel, g.n_out) if g.narrow else times(layer.out_panels * panel, g.n_in)
            biases = layer.out_panels * panel
            g.w = parameters.take(weights, real)
            g.b = parameters.take(biases, real)
            layer.a = arena.take(times(layer.out_panels, rows * panel), real)
            layer.square_rows = 1 if g.narrow else (g.n_in + BLOCK - 1) // BLOCK
            layer.square_columns = g.n_in if g.narrow else g.n_out
            layer.square_stride = (layer.in_panels if g.narrow else layer.out_panels) * panel
            widest = max(widest, biases)
            if self.trains:
                layer.dz = layer.a if i == net.n_layers - 1 else arena.take(times(layer.out_panels, rows * panel), real)
                if i > 0 and not g.narrow:
                    g.wt = arena.take(times(layer.in_panels * panel, g.n_out), real)
                if self.n_moments > 0:
                    g.m = first.take(weights, real)
                    g.bm = first.take(biases, real)
                if self.n_moments > 1:
                    g.v = second.take(weights, real)
                    g.bv = second.take(biases, real)
                if sums:
                    g.g = arena.take(weights, real)
                    g.bg = arena.take(biases, real)
                stride = layer.square_stride
                layer.squares = <double *> arena.take(times(layer.square_rows + 1, max(stride, biases)), sizeof(double))
                g.a = net.layers[i - 1].a if i > 0 else net.x_panels
                g.dz = layer.dz
        net.scratch_bytes = widest * panel * real  # n_out columns of one vector, and more
        net.scratch = <char *> arena.take(net.scratch_bytes, self.session.team.n_workers)
        net.row_ends = <ptrdiff_t *> arena.take(self.session.team.n_workers, sizeof(ptrdiff_t))
        if self.trains:
            net.row_loss = <double *> arena.take(rows + panel, sizeof(double))
            net.shares = <ptrdiff_t *> arena.take(self.session.team.n_workers, sizeof(ptrdiff_t))
            net.jobs = <Job *> arena.take(net.n_jobs, sizeof(Job))

    cdef ptrdiff_t count_jobs(self) except -1:
        """How many jobs the weights are: a block each, or several where a queue could not number them all."""
        cdef Net *net = &self.session.net
        cdef Layer *layer
        cdef ptrdiff_t n = MAX_JOBS + 1, blocks
        cdef int i
        net.blocks_a_job = 0
        while n > MAX_JOBS:
            net.blocks_a_job = max(1, 2 * net.blocks_a_job)
            n = 0
            for i in range(net.n_layers):
                layer = net.layers + i
                blocks = 1 if layer.gradient.narrow else (layer.gradient.n_in + BLOCK - 1) // BLOCK
                n += (layer.in_panels if layer.gradient.narrow else layer.out_panels) * ((blocks - 1) // net.blocks_a_job + 1)
                n += layer.out_panels
            if net.blocks_a_job > n and n > MAX_JOBS:
                raise ValueError(f"a network of {n} panels of weights is larger than this engine schedules ({MAX_JOBS})")
        return n

    cdef void list_jobs(self) noexcept:
        """The blocks of weights layer by layer, panel by panel, and cut into one share of equal work a worker."""
        if not self.trains:
            return
        cdef Net *net = &self.session.net
        cdef Layer *layer
        cdef ptrdiff_t n = 0, panel, block, i
        cdef double total = 0, so_far = 0
        cdef int number, worker = 0
        for number in range(net.n_layers):
            layer = net.layers + number
            for panel in range(layer.in_panels if layer.gradient.narrow else layer.out_panels):
                for block in range(0, layer.square_rows, net.blocks_a_job):
                    net.jobs[n] = Job(number, panel, block, min(block + net.blocks_a_job, layer.square_rows))
                    n += 1
            for panel in range(layer.out_panels):
                net.jobs[n] = Job(number, panel, BIASES, BIASES)
                n += 1
        for i in range(n):
            total += self.cost(net.jobs + i)
        for i in range(n):
            so_far += self.cost(net.jobs + i)
            while worker < self.session.team.n_workers and so_far * self.session.team.n_workers >= total * (worker + 1) * (1 - 1e-12):
                net.shares[worker] = i + 1
                worker += 1
        net.shares[self.session.team.n_workers - 1] = n

    cdef double cost(self, Job *job) noexcept:
        cdef Net *net = &self.session.net
        cdef Gradient *g = &net.layers[job.layer].gradient
        if job.block == BIASES:
            return 2
        if g.narrow:
            return g.n_out * vectors_in(net, g.n_in, job.panel)
        return min((job.end - job.block) * BLOCK, g.n_in - job.block * BLOCK) * vectors_in(net, g.n_out, job.panel)

    def load(self, coefs, intercepts, moments, int64_t t):
        """Pack row-major float32 or float64 arrays; moments: for each, the arrays of all coefs, then of all intercepts, or None for zeros."""
        cdef Net *net = &self.session.net
        cdef Gradient *g
        cdef Gradient shape
        cdef int i
        cdef ptrdiff_t panel, k
        for i in range(net.n_layers):
            g = &net.layers[i].gradient
            self.pack(g, g.w, coefs[i])
            self.pack_biases(g, g.b, intercepts[i])
            if self.n_moments > 0:
                self.load_moment(net.layers + i, g.m, g.bm, moments and moments[0][i], moments and moments[0][net.n_layers + i])
            if self.n_moments > 1:
                self.load_moment(net.layers + i, g.v, g.bv, moments and moments[1][i], moments and moments[1][net.n_layers + i])
            if self.trains:
                self.follow(net.layers + i)
        net.t = t
        if self.trains:
            net.squares = sum_squares(net)

    cdef load_moment(self, Layer *layer, void *m, void *bm, coef, intercept):
        cdef Gradient *g = &layer.gradient
        cdef size_t panel_bytes = self.session.net.kernels.panel * self.session.net.kernels.real_bytes
        if coef is None:
            memset(m, 0, panel_bytes * (layer.in_panels * g.n_out if g.narrow else layer.out_panels * g.n_in))
            memset(bm, 0, panel_bytes * layer.out_panels)
        else:
            self.pack(g, m, coef)
            self.pack_biases(g, bm, intercept)

    cdef void follow(self, Layer *layer) noexcept:
        """What the updates keep beside the weights, from weights that were loaded: the transposed copy and the sums of squares."""
        cdef Net *net = &self.session.net
        cdef Gradient *g = &layer.gradient
        cdef ptrdiff_t panel, k
        cdef double *squares
        for panel in range(layer.in_panels if g.narrow else layer.out_panels):
            for k in range(layer.square_rows):
                squares = layer.squares + k * layer.square_stride + panel * net.kernels.panel
                if g.narrow:
                    net.kernels.square_sums(at_panel(net, g.w, panel, g.n_out), g.n_out, vectors_in(net, g.n_in, panel), squares)
                else:
                    net.kernels.square_sums(at_row(net, at_panel(net, g.w, panel, g.n_in), k * BLOCK), min(<ptrdiff_t> BLOCK, g.n_in - k * BLOCK),
                                            vectors_in(net, g.n_out, panel), squares)
                    if g.wt != NULL:
                        net.kernels.transpose_block(g, panel, k * BLOCK, min(<ptrdiff_t> BLOCK, g.n_in - k * BLOCK))

    cdef pack(self, Gradient *g, void *packed, cnp.ndarray rows):
        (self.session.net.kernels.pack_transposed if g.narrow else self.session.net.kernels.pack)(
            pointer(rows), rows.itemsize == 8, g.n_in, g.n_out, packed)

    cdef pack_biases(self, Gradient *g, void *packed, cnp.ndarray row):
        self.session.net.kernels.pack(pointer(row), row.itemsize == 8, 1, g.n_out, packed)

    cdef unpack(self, Gradient *g, void *packed, cnp.ndarray rows):
        (self.session.net.kernels.unpack_transposed if g.narrow else self.session.net.kernels.unpack)(
            packed, g.n_in, g.n_out, pointer(rows), rows.itemsize == 8)

    cdef unpack_biases(self, Gradient *g, void *packed, cnp.ndarray row):
        self.session.net.kernels.unpack(packed, 1, g.n_out, pointer(row), row.itemsize == 8)

    def store(self, coefs, intercepts):
        """Unpack the parameters into row-major arrays."""
        cdef int i
        for i in range(self.session.net.n_layers):
            self.unpack(&self.session.net.layers[i].gradient, self.session.net.layers[i].gradient.w, coefs[i])
            self.unpack_biases(&self.session.net.layers[i].gradient, self.session.net.layers[i].gradient.b, intercepts[i])

    def release_weights(self):
        """Let go of all memory but the moments; after it only release_moment() and close() may be called."""
        self.memory[0] = self.memory[1] = None

    def release_moment(self, int which, arrays):
        """Unpack moment 0 or 1 into arrays, those of all coefs, then of all intercepts, and let go of its memory."""
        cdef Gradient *g
        cdef int i
        for i in range(self.session.net.n_layers):
            g = &self.session.net.layers[i].gradient
            self.unpack(g, g.v if which else g.m, arrays[i])
            self.unpack_biases(g, g.bv if which else g.bm, arrays[self.session.net.n_layers + i])
        self.memory[2 + which] = None

    def store_gradient(self, coefs, intercepts):
        """Unpack what differentiate() left."""
        cdef Gradient *g
        cdef int i
        for i in range(self.session.net.n_layers):
            g = &self.session.net.layers[i].gradient
            self.unpack(g, g.g, coefs[i])
            self.unpack_biases(g, g.bg, intercepts[i])

    def set_update(self, *, double alpha=0, double momentum=0, bint nesterov=False, double beta_1=0, double beta_2=0, double epsilon=0):
        cdef Net *net = &self.session.net
        net.alpha = alpha
        net.update.momentum = momentum
        net.update.nesterov = nesterov
        net.update.beta_1 = beta_1
        net.update.beta_2 = beta_2
        net.update.epsilon = epsilon

    @property
    def t(self):
        return self.session.net.t

    @property
    def step(self):
        """Updates done in the last run."""
        return self.session.net.step

    cdef int run(self, int mode, const ptrdiff_t[::1] order, ptrdiff_t batch_size) except -1:
        cdef Net *net = &self.session.net
        net.mode = mode
        self.session.team.flushes = mode != PREDICT
        net.phase = BEFORE
        net.order = &order[0]
        net.n_rows = order.shape[0]
        net.batch = net.step = 0
        net.total_loss = 0
        net.stop = False
        self.raised = None
        cdef ptrdiff_t usual = net.batch_size
        net.batch_size = batch_size
        with nogil:
            self.session.started = milliseconds()
            self.session.next_poll = self.session.started + POLL_MILLISECONDS
            run_team(&self.session.team)
        net.batch_size = usual
        return net.status

    def train(self, const ptrdiff_t[::1] order, double learning_rate):
        """One update a batch over the rows `order`: the mean loss, or None if a loss or gradient was not finite, in step `step`. If a signal
        handler raised, `raised` has the exception, and `stopped` says whether the run was left before its end."""
        self.session.net.learning_rate = learning_rate
        if self.run(TRAIN, order, self.session.net.batch_size) == NON_FINITE:
            return None
        return self.session.net.total_loss / self.session.net.n_rows

    @property
    def stopped(self):
        return self.session.net.status == STOPPED

    def differentiate(self, const ptrdiff_t[::1] order):
        """The loss of all rows as one batch; its gradient is left for store_gradient(). None where the rows' weights sum to zero."""
        self.session.net.squares = sum_squares(&self.session.net)
        self.run(DIFFERENTIATE, order, order.shape[0])
        return self.session.net.batch_loss if self.session.net.batch_weight != 0 else None

    def predict(self, const ptrdiff_t[::1] order, cnp.ndarray out):
        """Outputs of the rows `order`, row-major, in the engine's dtype."""
        self.session.net.out = <char *> pointer(out)
        self.run(PREDICT, order, order.shape[0])

    def close(self):
        """Join the threads and let go of the memory. Nothing else may be called after it."""
        if self.opened:
            self.opened = False
            with nogil:
                close_team(&self.session.team)
        free(self.session.net.layers)
        self.session.net.layers = NULL
        self.session.net.n_layers = 0
        self.memory = self.table = self.targets = None

    def __dealloc__(self):
        if self.opened:
            close_team(&self.session.team)
        free(self.session.net.layers)
