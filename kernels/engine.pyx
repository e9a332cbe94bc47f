# cython: language_level=3, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The compiled engine: training, differentiating and running one network, without the GIL.

This module assembles its parts, each a file of its own: team.pxi (threads), network.pxi (what a job does),
run.pxi (what comes next), profile.pxi (where the time goes), shuffle.pxi, metrics.pxi (scores of a validation
set), names.pxi (words for what is compiled in), standalone.pxi and standalone_bf16.pxi (every kernel on
ordinary arrays), predictor.pxi (few rows, soon), fingerprint.pxi (what a fitted state is made of). Only
nnfast.engines.cython calls it, and but for the last two, which do so themselves, has checked all that comes
in.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint64_t, uint32_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from cpython.exc cimport PyErr_CheckSignals
cimport numpy as cnp

from threading import get_ident, main_thread

import numpy as np

cnp.import_array()

include "declarations.pxi"
include "records.pxi"
include "team.pxi"
include "network.pxi"
include "profile.pxi"

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
include "metrics.pxi"
include "standalone.pxi"
include "standalone_bf16.pxi"

cdef enum:
    # Rows of a job at most: few, so that their activations stay in the L2 cache and that others can help; but
    # a job reads all weights, and where those come from further away, fewer jobs are better.
    ROWS_A_JOB = 64
    MORE_ROWS_A_JOB = 128
    L2_BYTES = 1 << 20
    POLL_MILLISECONDS = 20
    FINISH_MILLISECONDS = 100  # a run that is expected to end within this is not interrupted


cdef bint poll_signals(void *context) noexcept nogil:
    """Let Python's signal handlers run (the calling thread only), every now and then: whether this was the
    time.
    """
    cdef Session_ *session = <Session_ *> context
    cdef int64_t now = milliseconds()
    if now < session.next_poll:
        return False
    session.next_poll = now + POLL_MILLISECONDS
    enter(&session.net, 0, TIMED_BOOKKEEPING, 0)
    run_handlers(session, now)
    enter(&session.net, 0, TIMED_WAITING, 0)
    return True


# Apart from the above: Cython has a function that holds Python objects anywhere take the GIL whenever it
# returns.
cdef void run_handlers(Session_ *session, int64_t now) noexcept with gil:
    """Run Python's signal handlers. What one raises ends the run, unless its end is near."""
    cdef int64_t left
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Engine> session.owner).raised = error
        left = session.net.n_rows - session.net.batch
        if session.net.batch == 0 or (now - session.started) * left > FINISH_MILLISECONDS * session.net.batch:
            # several epochs are run where they are expected to be short
            session.net.stop = session.net.epoch_rows == session.net.n_rows


cdef size_t times(size_t a, size_t b) except? 0:
    cdef size_t product
    if __builtin_mul_overflow(a, b, &product):
        raise MemoryError
    return product


def power(double base, const double[::1] exponents):
    """base to each of the exponents, by the C library."""
    cdef double[::1] powers = np.empty(exponents.shape[0])
    cdef ptrdiff_t i
    for i in range(exponents.shape[0]):
        powers[i] = pow(base, exponents[i])
    return powers.base


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

    Built in three steps: the constructor says what there is, measure() how much zeroed memory that takes, and
    attach() takes it, in four pieces that can be let go one after the other. The rest may be called any
    number of times; close() joins the threads.
    """
    cdef Session_ session
    cdef object memory, table, targets, loss_parameters, window
    cdef readonly object raised
    cdef readonly int n_moments
    cdef ptrdiff_t chunk_entries
    cdef bint trains, opened

    def __cinit__(self):
        memset(&self.session, 0, sizeof(Session_))
        self.session.owner = <void *> self

    def __init__(self, isa, bint double_precision, layer_units, activations, int loss, loss_parameters, *,
                 ptrdiff_t capacity,
                 ptrdiff_t batch_size, int n_threads, bint trains, int update=UPDATE_NONE, int n_moments=0,
                 int normalization=NORM_NONE,
                 double norm_eps=0, double norm_momentum=0, bint times=False, unit=None, own_loss=None):
        """activations: (number, parameter, address of an own one or 0) of every hidden layer; times: whether
        there will be phase_seconds(); unit: what does bfloat16 products while training, or None; own_loss: of
        LOSS_OWN, its address, whether a row's is the mean over outputs, and the loss that has its output
        activation.
        """
        cdef Net *net = &self.session.net
        net.kernels = nnfast_kernels(_ISAS[isa], double_precision)
        if net.kernels == NULL:
            raise ValueError(f"instruction set {isa!r} is not available")
        net.row_tile = net.kernels.tile
        if unit is not None:
            net.bf16 = nnfast_bf16_kernels(_UNITS[unit])
            if net.bf16 == NULL or net.kernels.panel != BLOCK:
                raise ValueError(
                    f"the bfloat16 unit {unit!r} is not available to this process: either the machine does "
                    "not have it, or, of 'amx', the operating system refuses it, as Linux does where a "
                    "signal stack is too small for its registers. precision='float32' runs everywhere; the "
                    "environment variable NNFAST_BFLOAT16 names another unit.")
            net.row_tile = net.bf16.tile
        net.n_layers = len(layer_units) - 1
        net.capacity = capacity
        # Panels a multiple of a page apart would share cache sets, and loads would wait for stores to the
        # same offset: 1 KB off it is.
        net.panel_rows = capacity
        if net.bf16 != NULL:
            net.panel_rows = (capacity + net.row_tile - 1) // net.row_tile * net.row_tile
        while net.panel_rows * net.kernels.panel * net.kernels.real_bytes % 4096 != 1024:
            net.panel_rows += 1
        net.stride = net.panel_rows * net.kernels.panel
        net.batch_size = batch_size
        net.n_features = layer_units[0]
        net.loss.kind = net.loss.output = loss
        if own_loss is not None:
            address, net.loss.own_is_mean, net.loss.output = own_loss
            net.loss.own = <own_loss_fn *> <uintptr_t> address
        net.loss.gradient_scale = 1
        if len(loss_parameters):
            self.loss_parameters = np.array(loss_parameters, np.float64)
            net.loss.parameters = <const double *> pointer(self.loss_parameters)
        net.normalization = normalization
        net.kind = update
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
        if times:
            if open_clocks(net, n_threads) == NULL:
                raise MemoryError
            self.session.team.advance = advance_timed
            self.session.team.rest = rest_timed
        cdef Layer *layer
        cdef double weights = 0
        cdef int i, panel = net.kernels.panel
        for i in range(net.n_layers):
            layer = net.layers + i
            layer.gradient.n_in = layer_units[i]
            layer.gradient.n_out = layer_units[i + 1]
            layer.gradient.stride = net.stride
            layer.in_panels = (layer.gradient.n_in + panel - 1) // panel
            layer.out_panels = (layer.gradient.n_out + panel - 1) // panel
            if i < net.n_layers - 1:
                layer.activation, layer.parameter, address = activations[i]
                layer.own = <own_activation_fn *> <uintptr_t> address
            layer.norm.epsilon = norm_eps
            layer.norm.momentum = norm_momentum
            weights += layer.gradient.n_in * layer.gradient.n_out
        net.rows_a_job = MORE_ROWS_A_JOB if weights * net.kernels.real_bytes > L2_BYTES else ROWS_A_JOB
        self.choose_forms()

    cdef void choose_forms(self) noexcept:
        """What depends on the table and on dropout, too.

        The last layer goes by dot products where it is narrow, unless it is also a sparse first one.
        Activations that cost a few instructions are done by the product's epilogue, unless something comes
        between. The derivative is stored where the activation does not tell it.
        """
        cdef Net *net = &self.session.net
        cdef Layer *layer = net.layers + net.n_layers - 1
        cdef bint scales
        cdef int i
        layer.gradient.narrow = layer.gradient.n_out <= NARROW and not (net.n_layers == 1 and net.is_sparse)
        for i in range(net.n_layers):
            layer = net.layers + i
            layer.is_bf16 = net.bf16 != NULL and not layer.gradient.narrow and not (i == 0 and net.is_sparse)
            scales = layer.drops and layer.dropout.shift == 0 and layer.activation == ACTIVATION_RELU
            layer.is_fused = i == net.n_layers - 1 or (can_be_fused(layer.activation)
                                                       and net.normalization == NORM_NONE
                                                       and (scales or not layer.drops)
                                                       and not (i == 0 and net.is_sparse))
            layer.derivative = layer.activation
            if scales:
                layer.derivative = ACTIVATION_DROPPED_RELU
                layer.parameter = layer.dropout.scale
            elif layer.drops or layer.activation > ACTIVATION_STORED:
                layer.derivative = ACTIVATION_STORED

    def use_dense(self, cnp.ndarray x):
        """The table, of a dtype in SOURCES or bool, with any strides."""
        cdef int source = SOURCES["uint8" if x.dtype == bool else x.dtype.name]
        cdef Net *net = &self.session.net
        net.gather = net.kernels.gather[source]
        net.x = <const char *> pointer(x)
        net.row_bytes = cnp.PyArray_STRIDE(x, 0)
        net.column_bytes = cnp.PyArray_STRIDE(x, 1)
        self.table = x

    def use_csr(self, cnp.ndarray data, cnp.ndarray indices, cnp.ndarray indptr, bint is_sparse,
                ptrdiff_t chunk_entries):
        """The table in CSR form; chunk_entries: the most non-zeros that `capacity` rows can hold."""
        cdef Net *net = &self.session.net
        net.csr = Csr(pointer(data), pointer(indices), pointer(indptr), data.itemsize, indices.itemsize)
        net.is_csr = True
        net.is_sparse = is_sparse
        self.chunk_entries = chunk_entries
        self.table = (data, indices, indptr)
        self.choose_forms()

    def use_targets(self, cnp.ndarray y, cnp.ndarray weight, double gradient_scale):
        """Class numbers, or the other losses' rows of targets; weight may be None."""
        cdef Net *net = &self.session.net
        if is_of_classes(net.loss.kind):
            net.label = <const ptrdiff_t *> pointer(y)
        else:
            net.y = <const void *> pointer(y)
        net.weight = NULL if weight is None else <double *> pointer(weight)
        net.loss.gradient_scale = gradient_scale
        self.targets = (y, weight)

    def use_dropout(self, rates, uint64_t seed):
        """For inputs and every hidden layer: the rate, and what is done to units that are kept (scale, shift)
        and dropped (value).
        """
        cdef Net *net = &self.session.net
        cdef Dropout *dropout
        cdef int i
        net.seed = seed
        for i, (rate, scale, shift, value) in enumerate(rates):
            dropout = &net.input_dropout if i == 0 else &net.layers[i - 1].dropout
            dropout[0] = Dropout(<uint32_t> (rate * 4294967296.0), scale, shift, value)
            if i == 0:
                net.drops_inputs = rate > 0
            else:
                net.layers[i - 1].drops = rate > 0
        self.choose_forms()

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
            if piece.shape[0]:
                (<Arena> arena).base = <char *> ((<uintptr_t> &piece[0] + 63) & ~<uintptr_t> 63)
            arenas.append(arena)
        self.lay_out(arenas)
        self.list_jobs()

    cdef lay_out(self, arenas):
        cdef Arena arena = arenas[0], parameters = arenas[1], first = arenas[2], second = arenas[3]
        cdef Net *net = &self.session.net
        cdef Layer *layer
        cdef Gradient *g
        cdef size_t real = net.kernels.real_bytes, panel = net.kernels.panel, rows = net.panel_rows, weights
        cdef size_t biases
        cdef int i
        cdef bint sums = self.trains and (net.kind == UPDATE_NONE or net.batch_size > net.capacity
                                          or net.clip_norm > 0)
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
            if g.narrow:
                weights = times(layer.in_panels * panel, g.n_out)
            else:
                weights = times(layer.out_panels * panel, g.n_in)
            biases = layer.out_panels * panel
            g.w = parameters.take(weights, real)
            self.lay_out_vector(&g.bias, biases, sums, arenas)
            layer.a = arena.take(times(layer.out_panels, rows * panel), real)
            layer.square_rows = 1 if g.narrow else (g.n_in + BLOCK - 1) // BLOCK
            layer.square_columns = g.n_in if g.narrow else g.n_out
            layer.square_stride = max(layer.in_panels if g.narrow else 0, layer.out_panels) * panel
            widest = max(widest, biases)
            if self.trains:
                layer.dz = layer.a if i == net.n_layers - 1 else arena.take(times(layer.out_panels,
                                                                                  rows * panel), real)
                layer.dout = layer.dz
                if layer.is_bf16:
                    self.lay_out_bf16(layer, i > 0, arena)
                elif i > 0 and not g.narrow:
                    g.wt = arena.take(times(layer.in_panels * panel, g.n_out), real)
                if self.n_moments > 0:
                    g.m = first.take(weights, real)
                if self.n_moments > 1:
                    g.v = second.take(weights, real)
                if sums:
                    g.g = arena.take(weights, real)
                layer.squares = <double *> arena.take(times(layer.square_rows + 3, layer.square_stride),
                                                      sizeof(double))
                g.a = net.layers[i - 1].a if i > 0 else net.x_panels
                g.dz = layer.dz
            if is_normalized(net, i):
                self.lay_out_norm(layer, sums, arenas)
            if self.trains:
                layer.slope = layer.a
                if layer.derivative == ACTIVATION_STORED:
                    # Where the product with dz comes next, if it comes whole: one pass over the units of the
                    # layer above.
                    layer.slope = layer.dout
                    if net.layers[i + 1].gradient.n_out > DEPTH:
                        layer.slope = arena.take(times(layer.out_panels, rows * panel), real)
        net.scratch_bytes = widest * panel * real  # n_out columns of one vector, and more
        net.scratch = <char *> arena.take(net.scratch_bytes, self.session.team.n_workers)
        net.row_ends = <ptrdiff_t *> arena.take(self.session.team.n_workers, sizeof(ptrdiff_t))
        if self.trains:
            net.row_loss = <double *> arena.take(rows + panel, sizeof(double))
            net.shares = <ptrdiff_t *> arena.take(self.session.team.n_workers, sizeof(ptrdiff_t))
            net.jobs = <Job *> arena.take(net.n_jobs, sizeof(Job))

    cdef lay_out_vector(self, Vector *vector, size_t n, bint sums, arenas):
        cdef Arena arena = arenas[0], parameters = arenas[1], first = arenas[2], second = arenas[3]
        cdef size_t real = self.session.net.kernels.real_bytes
        vector.w = parameters.take(n, real)
        if self.trains and self.n_moments > 0:
            vector.m = first.take(n, real)
        if self.trains and self.n_moments > 1:
            vector.v = second.take(n, real)
        if sums:
            vector.g = arena.take(n, real)

    cdef lay_out_bf16(self, Layer *layer, bint passes_back, Arena arena):
        cdef Net *net = &self.session.net
        cdef Gradient *g = &layer.gradient
        cdef size_t rows = times(net.panel_rows, BLOCK)
        layer.bf16_in = arena.take(times(layer.in_panels, rows), 2)
        g.bf16_a = arena.take(times(layer.in_panels, rows), 2)
        g.bf16_dz = arena.take(times(layer.out_panels, rows), 2)
        g.bf16_w = arena.take(times(layer.out_panels * BLOCK, bf16_rows(g.n_in)), 2)
        if passes_back:
            layer.bf16_dz = arena.take(times(layer.out_panels, rows), 2)
            g.bf16_wt = arena.take(times(layer.in_panels * BLOCK, bf16_rows(g.n_out)), 2)

    cdef lay_out_norm(self, Layer *layer, bint sums, arenas):
        cdef Arena arena = arenas[0], parameters = arenas[1]
        cdef Net *net = &self.session.net
        cdef Gradient *g = &layer.gradient
        cdef size_t real = net.kernels.real_bytes, panel = net.kernels.panel, n = layer.out_panels * panel
        cdef bint is_batch = net.normalization == NORM_BATCH
        self.lay_out_vector(&g.scale, n, sums, arenas)
        self.lay_out_vector(&g.shift, n, sums, arenas)
        layer.norm.scale, layer.norm.shift = g.scale.w, g.shift.w
        layer.norm.inverse = arena.take(n if is_batch else net.panel_rows, real)
        if is_batch:
            layer.norm.mean = parameters.take(n, real)
            layer.norm.variance = parameters.take(n, real)
        layer.zhat = layer.a  # where it is not wanted
        if self.trains:
            layer.zhat = arena.take(times(layer.out_panels, net.panel_rows * panel), real)
            if is_batch:
                layer.norm.sum_scale = arena.take(n, real)
                layer.norm.sum_shift = arena.take(n, real)
            else:
                layer.dout = arena.take(times(layer.out_panels, net.panel_rows * panel), real)
            g.zhat, g.dout = layer.zhat, layer.dout
            g.sum_scale, g.sum_shift = layer.norm.sum_scale, layer.norm.sum_shift

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
                n += (layer.in_panels if layer.gradient.narrow
                      else layer.out_panels) * ((blocks - 1) // net.blocks_a_job + 1)
                n += layer.out_panels
            if net.blocks_a_job > n and n > MAX_JOBS:
                raise ValueError(f"a network of {n} panels of weights is larger than this engine schedules "
                                 f"({MAX_JOBS})")
        return n

    cdef void list_jobs(self) noexcept:
        """The blocks of weights layer by layer, panel by panel, and cut into one share of equal work a
        worker.
        """
        if not self.trains:
            return
        cdef Net *net = &self.session.net
        cdef Layer *layer
        cdef ptrdiff_t n = 0, panel, block, i
        cdef double total = 0, so_far = 0
        cdef int number, worker = 0, n_workers = self.session.team.n_workers
        for number in range(net.n_layers):
            layer = net.layers + number
            for panel in range(layer.in_panels if layer.gradient.narrow else layer.out_panels):
                for block in range(0, layer.square_rows, net.blocks_a_job):
                    net.jobs[n] = Job(number, panel, block, min(block + net.blocks_a_job, layer.square_rows))
                    n += 1
            for panel in range(layer.out_panels):
                net.jobs[n] = Job(number, panel, VECTORS, VECTORS)
                n += 1
        for i in range(n):
            total += self.cost(net.jobs + i)
        for i in range(n):
            so_far += self.cost(net.jobs + i)
            while worker < n_workers and so_far * n_workers >= total * (worker + 1) * (1 - 1e-12):
                net.shares[worker] = i + 1
                worker += 1
        net.shares[n_workers - 1] = n

    cdef double cost(self, Job *job) noexcept:
        cdef Net *net = &self.session.net
        cdef Gradient *g = &net.layers[job.layer].gradient
        if job.block == VECTORS:
            return 2
        if g.narrow:
            return g.n_out * vectors_in(net, g.n_in, job.panel)
        cdef ptrdiff_t inputs = min((job.end - job.block) * BLOCK, g.n_in - job.block * BLOCK)
        return inputs * vectors_in(net, g.n_out, job.panel)

    cdef Vector *vector(self, int which, int layer) noexcept:
        """Biases, scales or shifts: the three lists of vectors that are learned."""
        cdef Gradient *g = &self.session.net.layers[layer].gradient
        return &g.bias if which == 0 else &g.scale if which == 1 else &g.shift

    cdef visit(self, int moment, bint packs, arrays):
        """Pack row-major float32 or float64 arrays, those of all coefs, then of intercepts, scales and
        shifts; or unpack into them. moment: 0 the parameters themselves, 1 and 2 their moments, 3 their
        gradient.
        """
        cdef Net *net = &self.session.net
        cdef Gradient *g
        cdef Vector *vector
        cdef void *packed
        cdef cnp.ndarray array
        cdef int i, which
        source = iter(arrays)
        for i in range(net.n_layers):
            g = &net.layers[i].gradient
            array = next(source)
            packed = g.w if moment == 0 else g.m if moment == 1 else g.v if moment == 2 else g.g
            if packs:
                if g.narrow:
                    net.kernels.pack_transposed(pointer(array), array.itemsize == 8, g.n_in, g.n_out, packed)
                else:
                    net.kernels.pack(pointer(array), array.itemsize == 8, g.n_out, g.n_in, g.n_out, packed)
            else:
                (net.kernels.unpack_transposed if g.narrow else net.kernels.unpack)(packed, g.n_in, g.n_out,
                                                                                    pointer(array),
                                                                                    array.itemsize == 8)
        for which in range(3 if net.normalization != NORM_NONE else 1):
            for i in range(net.n_layers - (which > 0)):
                vector = self.vector(which, i)
                packed = (vector.w if moment == 0 else vector.m if moment == 1 else vector.v if moment == 2
                          else vector.g)
                self.visit_vector(packed, i, packs, next(source))

    cdef visit_vector(self, void *packed, int layer, bint packs, cnp.ndarray array):
        cdef ptrdiff_t n = self.session.net.layers[layer].gradient.n_out
        if packs:
            self.session.net.kernels.pack(pointer(array), array.itemsize == 8, n, 1, n, packed)
        else:
            self.session.net.kernels.unpack(packed, 1, n, pointer(array), array.itemsize == 8)

    cdef visit_statistics(self, bint packs, means, variances):
        cdef int i
        for i, (mean, variance) in enumerate(zip(means, variances)):
            self.visit_vector(self.session.net.layers[i].norm.mean, i, packs, mean)
            self.visit_vector(self.session.net.layers[i].norm.variance, i, packs, variance)

    cdef clear_moments(self):
        cdef cnp.uint8_t[::1] piece
        for memory in self.memory[2:]:
            piece = memory
            if piece.shape[0]:
                memset(&piece[0], 0, piece.shape[0])

    def load(self, learned, means, variances, moments, int64_t t):
        """Pack row-major float32 or float64 arrays; learned: those of all coefs, intercepts, scales and
        shifts; moments: likewise for each, or None for zeros.
        """
        cdef Net *net = &self.session.net
        cdef Layer *layer
        cdef ptrdiff_t panel
        cdef int i
        start_clocks(net, 1, TIMED_PACKING)
        self.visit(0, True, learned)
        self.visit_statistics(True, means, variances)
        if moments is None:
            self.clear_moments()
        for i in range(len(moments or ())):
            self.visit(i + 1, True, moments[i])
        net.t = t
        if self.trains:
            for i in range(net.n_layers):
                layer = net.layers + i
                # a divergence may have left NaN
                memset(layer.squares, 0, (layer.square_rows + 3) * layer.square_stride * sizeof(double))
                for panel in range(layer.in_panels if layer.gradient.narrow else layer.out_panels):
                    follow_panel(net, layer, panel)
            net.squares = sum_squares(net, 0)
        stop_clocks(net, 1)

    def store(self, learned, means, variances):
        """Unpack the parameters into row-major arrays."""
        start_clocks(&self.session.net, 1, TIMED_PACKING)
        self.visit(0, False, learned)
        self.visit_statistics(False, means, variances)
        stop_clocks(&self.session.net, 1)

    def release_weights(self):
        """Let go of all memory but the moments; after it only release_moment() and close() may be called."""
        self.memory[0] = self.memory[1] = None

    def release_moment(self, int which, arrays):
        """Unpack moment 0 or 1 into arrays, and let go of its memory."""
        start_clocks(&self.session.net, 1, TIMED_PACKING)
        self.visit(which + 1, False, arrays)
        stop_clocks(&self.session.net, 1)
        self.memory[2 + which] = None

    def store_gradient(self, arrays):
        """Unpack what differentiate() left."""
        start_clocks(&self.session.net, 1, TIMED_PACKING)
        self.visit(3, False, arrays)
        stop_clocks(&self.session.net, 1)

    def set_update(self, groups, penalized, *, double alpha=0, double l1=0, double clip_norm=0,
                   double clip_value=0, double max_norm=0):
        """groups: the number of the group of every array that is learned; penalized: whether alpha and l1
        concern a group; limits of 0 are none.
        """
        cdef Net *net = &self.session.net
        cdef Group *group
        cdef int i, which
        net.alpha, net.l1 = alpha, l1
        net.clip_norm, net.clip_value, net.max_norm = clip_norm, clip_value, max_norm
        free(net.groups)
        net.n_groups = 0
        net.groups = <Group *> calloc(len(penalized), sizeof(Group))
        if net.groups == NULL:
            raise MemoryError
        net.n_groups = len(penalized)
        for i in range(net.n_groups):
            group = net.groups + i
            group.alpha, group.l1 = (alpha, l1) if penalized[i] else (0.0, 0.0)
            group.update.square_factor = 0.5 * alpha if group.l1 > 0 else 1.0
            group.update.absolute_factor = group.l1
        each = iter(groups)
        for i in range(net.n_layers):
            net.layers[i].gradient.update = &net.groups[<int> next(each)].update
        for which in range(3 if net.normalization != NORM_NONE else 1):
            for i in range(net.n_layers - (which > 0)):
                self.vector(which, i).update = &net.groups[<int> next(each)].update

    @property
    def t(self):
        return self.session.net.t

    @property
    def step(self):
        """Updates done in the last run."""
        return self.session.net.step

    @property
    def rows_begun(self):
        """Rows of the last run's batches, one that it broke off in included."""
        return self.session.net.batch_end

    def phase_seconds(self):
        """Of every phase of PHASES, the seconds in all runs and loads so far by layer, summed over the
        threads.
        """
        cdef Net *net = &self.session.net
        cdef int phase, layer, worker
        cdef int64_t sum
        seconds = {}
        for phase in range(N_TIMED):
            seconds[PHASES[phase]] = []
            for layer in range(net.n_layers):
                sum = 0
                for worker in range(self.session.team.n_workers):
                    sum += net.clocks[worker * net.clock_stride + SLOTS + phase * net.n_layers + layer]
                seconds[PHASES[phase]].append(sum * 1e-9)
        return seconds

    cdef int run(self, int mode, const ptrdiff_t[::1] order, ptrdiff_t batch_size,
                 ptrdiff_t n_epochs=1, windows=None) except -1:
        cdef Net *net = &self.session.net
        net.mode = mode
        self.session.team.flushes = mode == TRAIN or mode == DIFFERENTIATE
        self.session.team.bf16 = net.bf16 if is_training(net) else NULL
        net.phase = BEFORE
        net.order = &order[0]
        net.n_rows = order.shape[0]
        net.epoch_rows = net.epoch_end = net.n_rows // n_epochs
        net.batch = net.step = net.epoch = 0
        net.total_loss = 0
        net.stop = False
        self.raised = None
        cdef ptrdiff_t usual = net.batch_size
        # Handlers run in the main thread alone: in others, asking would only be waiting for the GIL.
        cdef bint polls = get_ident() == main_thread().ident
        net.batch_size = batch_size
        net.window_end = 0
        self.session.started = milliseconds()
        while True:
            if windows is not None:
                self.use_window(next(windows))
            with nogil:
                self.session.next_poll = milliseconds() + POLL_MILLISECONDS if polls else INT64_MAX
                start_clocks(net, self.session.team.n_workers, TIMED_WAITING)
                run_team(&self.session.team)
                stop_clocks(net, self.session.team.n_workers)
            if net.status != PAUSED:
                break
            net.phase = BEFORE
        net.batch_size = usual
        return net.status

    cdef use_window(self, const double[:, :, ::1] scalars):
        """Go on by these scalars, of shape (n_steps, n_groups, N_SCALARS)."""
        cdef Net *net = &self.session.net
        self.window = scalars
        net.scalars = &scalars[0, 0, 0]
        net.window, net.window_end = net.window_end, net.window_end + scalars.shape[0]

    def train(self, const ptrdiff_t[::1] order, windows):
        """One update a batch over the rows `order`: the mean loss, or None if a loss or gradient was not
        finite, in step `step`. If a signal handler raised, `raised` has the exception, and `stopped` says
        whether the run was left before its end.

        windows: an iterator over the scalars of the steps, arrays of shape (n_steps, n_groups, N_SCALARS),
        which is asked for the next one when the steps of one are done.
        """
        cdef double[1] loss = [0.0]
        self.session.net.losses = loss
        if self.run(TRAIN, order, self.session.net.batch_size, 1, windows) == NON_FINITE:
            return None
        return loss[0]

    def train_epochs(self, const ptrdiff_t[::1] order, windows, double[::1] losses):
        """train() for as many epochs as there are losses, of as many rows each, one after the other in
        `order`: how many were finite. If not all, the parameters are those of the last finite one's end. What
        a signal handler raises is left in `raised`, and ends nothing.
        """
        cdef Net *net = &self.session.net
        memory = self.memory[1]
        kept = np.empty_like(memory)
        net.parameters, net.kept = <char *> pointer(memory), <char *> pointer(kept)
        net.parameter_bytes = memory.nbytes
        net.losses = &losses[0]
        if self.run(TRAIN, order, net.batch_size, losses.shape[0], windows) == NON_FINITE and net.epoch > 0:
            memcpy(net.parameters, net.kept, net.parameter_bytes)
        return net.epoch

    @property
    def stopped(self):
        return self.session.net.status == STOPPED

    def differentiate(self, const ptrdiff_t[::1] order):
        """The loss of all rows as one batch; its gradient is left for store_gradient(). None where the rows'
        weights sum to zero.
        """
        self.run(DIFFERENTIATE, order, order.shape[0])
        return self.session.net.batch_loss if self.session.net.batch_weight != 0 else None

    def predict(self, const ptrdiff_t[::1] order, cnp.ndarray out):
        """Outputs of the rows `order`, row-major, in the engine's dtype."""
        self.session.net.out = <char *> pointer(out)
        self.run(PREDICT, order, order.shape[0])

    def evaluate(self, const ptrdiff_t[::1] order, cnp.ndarray out):
        """predict(), and the mean loss of the rows; None where their weights sum to zero."""
        self.session.net.out = <char *> pointer(out)
        self.run(EVALUATE, order, order.shape[0])
        if self.session.net.batch_weight == 0:
            return None
        return self.session.net.batch_loss / self.session.net.batch_weight

    def close(self):
        """Join the threads and let go of the memory. Nothing else may be called after it."""
        if self.opened:
            self.opened = False
            with nogil:
                close_team(&self.session.team)
        free(self.session.net.layers)
        free(self.session.net.groups)
        free(self.session.net.clocks)
        self.session.net.layers = NULL
        self.session.net.groups = NULL
        self.session.net.clocks = NULL
        self.session.net.n_layers = 0
        self.memory = self.table = self.targets = self.window = None

    def __dealloc__(self):
        if self.opened:
            close_team(&self.session.team)
        free(self.session.net.layers)
        free(self.session.net.groups)
        free(self.session.net.clocks)


include "predictor.pxi"
include "fingerprint.pxi"
