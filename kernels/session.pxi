# The class that runs a program over a table.

cdef enum:
    # Rows of a job at most: few, so that their activations stay in the L2 cache and that others can help; but
    # a job reads all weights, and where those come from further away, fewer jobs are better.
    ROWS_A_JOB = 64
    MORE_ROWS_A_JOB = 128
    L2_BYTES = 1 << 20


cdef class Engine:
    """A program with a state of its own: parameters, buffers and threads.

    Built in three steps: the constructor says what there is, measure() how much zeroed memory that takes, and
    attach() takes it, in four pieces that can be let go one after the other. The rest may be called any
    number of times; close() joins the threads.
    """
    cdef Session_ session
    cdef Program program
    cdef object memory, table, targets, window
    cdef readonly object raised
    cdef readonly int n_moments
    cdef ptrdiff_t chunk_entries
    cdef bint trains, opened

    def __cinit__(self):
        memset(&self.session, 0, sizeof(Session_))
        self.session.owner = <void *> self

    def __init__(self, Program program, *, ptrdiff_t capacity, ptrdiff_t batch_size, int n_threads,
                 bint trains, int update=UPDATE_NONE, int n_moments=0, double norm_eps=0,
                 double norm_momentum=0, bint times=False):
        """times: whether there will be phase_seconds()."""
        cdef State *s = &self.session.state
        cdef int i
        self.program, self.n_moments, self.trains = program, n_moments, trains
        s.kernels, s.bf16, s.row_tile = program.kernels, program.bf16, program.row_tile
        s.operations, s.planned, s.jobs = program.operations, program.params, program.jobs
        s.activations, s.loss = program.activations, program.loss
        s.n_params, s.n_layers, s.n_features, s.n_outputs = (program.n_params, program.n_layers,
                                                             program.n_features, program.n_outputs)
        s.kind, s.batch_size, s.capacity = update, batch_size, capacity
        # Panels a multiple of a page apart would share cache sets, and loads would wait for stores to the
        # same offset: 1 KB off it is.
        s.panel_rows = capacity
        if s.bf16 != NULL:
            s.panel_rows = (capacity + s.row_tile - 1) // s.row_tile * s.row_tile
        while s.panel_rows * s.kernels.panel * s.kernels.real_bytes % 4096 != 1024:
            s.panel_rows += 1
        s.stride = s.panel_rows * s.kernels.panel
        s.buffers = <void **> calloc(program.n_buffers, sizeof(void *))
        s.params = <Param *> calloc(program.n_params, sizeof(Param))
        s.norms = <Norm *> calloc(program.n_layers, sizeof(Norm))
        s.dropouts = <Dropout *> calloc(program.n_layers, sizeof(Dropout))
        s.dropout_bases = <uint64_t *> calloc(program.n_layers, sizeof(uint64_t))
        if (s.buffers == NULL or s.params == NULL or s.norms == NULL or s.dropouts == NULL
                or s.dropout_bases == NULL or not open_team(&self.session.team, n_threads)):
            raise MemoryError
        self.opened = True
        self.session.team.run = run_job
        self.session.team.advance = advance
        self.session.team.poll = poll_signals
        self.session.team.context = &self.session
        if times:
            if open_clocks(s, n_threads) == NULL:
                raise MemoryError
            self.session.team.advance = advance_timed
            self.session.team.rest = rest_timed
        for i in range(program.n_layers):
            s.norms[i].epsilon, s.norms[i].momentum = norm_eps, norm_momentum
        self.size_params()

    cdef void size_params(self) noexcept:
        cdef State *s = &self.session.state
        cdef const PlannedParam *planned
        cdef Weights *w
        cdef double weights = 0
        cdef int i
        for i in range(s.n_params):
            planned, w = s.planned + i, &s.params[i].weights
            if planned.kind == PARAM_MATRIX:
                w.n_in, w.n_out, w.stride = planned.n_in, planned.n_out, s.stride
                w.narrow = planned.rule == WEIGHTS_NARROW
                s.params[i].panels = panels_of(s, planned.n_in if w.narrow else planned.n_out)
                weights += w.n_in * w.n_out
            else:
                s.params[i].vector.n, s.params[i].vector.stride = planned.n_out, s.stride
                s.params[i].panels = panels_of(s, planned.n_out)
        s.rows_a_job = MORE_ROWS_A_JOB if weights * s.kernels.real_bytes > L2_BYTES else ROWS_A_JOB

    # --------------------------------------------------------------------------------------------------------
    # What it works on

    def use_dense(self, cnp.ndarray x):
        """The table, of a dtype in SOURCES or bool, with any strides."""
        cdef int source = SOURCES["uint8" if x.dtype == bool else x.dtype.name]
        cdef State *s = &self.session.state
        s.gather = s.kernels.gather[source]
        s.x = <const char *> pointer(x)
        s.row_bytes = cnp.PyArray_STRIDE(x, 0)
        s.column_bytes = cnp.PyArray_STRIDE(x, 1)
        self.table = x

    def use_csr(self, cnp.ndarray data, cnp.ndarray indices, cnp.ndarray indptr, bint is_sparse,
                ptrdiff_t chunk_entries):
        """The table in CSR form; is_sparse: the program takes it so; chunk_entries: the most non-zeros that
        `capacity` rows can hold.
        """
        cdef State *s = &self.session.state
        s.csr = Csr(pointer(data), pointer(indices), pointer(indptr), data.itemsize, indices.itemsize)
        s.is_csr = True
        s.is_sparse = is_sparse
        self.chunk_entries = chunk_entries
        self.table = (data, indices, indptr)

    def use_targets(self, cnp.ndarray y, cnp.ndarray weight, double gradient_scale):
        """Class numbers, or the other losses' rows of targets; weight may be None."""
        cdef State *s = &self.session.state
        if is_of_classes(s.loss.kind):
            s.label = <const ptrdiff_t *> pointer(y)
        else:
            s.y = <const void *> pointer(y)
        s.weight = NULL if weight is None else <double *> pointer(weight)
        s.loss.gradient_scale = gradient_scale
        self.targets = (y, weight)

    def use_dropout(self, rates, uint64_t seed):
        """For inputs and every hidden layer: the rate, and what is done to units that are kept (scale, shift)
        and dropped (value).
        """
        cdef State *s = &self.session.state
        cdef int i
        s.seed = seed
        for i, (rate, scale, shift, value) in enumerate(rates):
            s.dropouts[i] = Dropout(<uint32_t> (rate * 4294967296.0), scale, shift, value)
        s.drops_inputs = s.dropouts[0].threshold > 0

    def set_update(self, groups, penalized, *, double alpha=0, double l1=0, double clip_norm=0,
                   double clip_value=0, double max_norm=0):
        """groups: the number of the group of every array that is learned; penalized: whether alpha and l1
        concern a group; limits of 0 are none.
        """
        cdef State *s = &self.session.state
        cdef Group *group
        cdef const Update *update
        cdef int i, number
        s.alpha, s.l1 = alpha, l1
        s.clip_norm, s.clip_value, s.max_norm = clip_norm, clip_value, max_norm
        free(s.groups)
        s.n_groups = 0
        s.groups = <Group *> calloc(len(penalized), sizeof(Group))
        if s.groups == NULL:
            raise MemoryError
        s.n_groups = len(penalized)
        for i in range(s.n_groups):
            group = s.groups + i
            group.alpha, group.l1 = (alpha, l1) if penalized[i] else (0.0, 0.0)
            group.update.square_factor = 0.5 * alpha if group.l1 > 0 else 1.0
            group.update.absolute_factor = group.l1
        for i, number in enumerate(groups):
            update = &s.groups[number].update
            s.params[self.program.learned[i]].weights.update = update
            s.params[self.program.learned[i]].vector.update = update

    def measure(self):
        """Bytes of zeroed memory that attach() takes: for buffers, weights, and each of two moments."""
        arenas = [Arena() for _ in range(4)]
        self.layout().lay_out(&self.session.state, arenas)
        return [(<Arena> arena).used + 64 if (<Arena> arena).used else 0 for arena in arenas]

    def attach(self, memory):
        """Take the memory, a list of arrays of uint8."""
        cdef cnp.uint8_t[::1] piece
        self.memory = list(memory)
        arenas = []
        for piece in memory:
            arena = Arena()
            if piece.shape[0]:
                (<Arena> arena).base = <char *> ((<uintptr_t> &piece[0] + 63) & ~<uintptr_t> 63)
            arenas.append(arena)
        self.layout().lay_out(&self.session.state, arenas)
        if self.trains:
            self.share_jobs()

    cdef Layout layout(self):
        cdef State *s = &self.session.state
        cdef bint sums = s.kind == UPDATE_NONE or s.batch_size > s.capacity or s.clip_norm > 0
        return Layout(self.program, trains=self.trains, sums=sums, n_moments=self.n_moments,
                      n_workers=self.session.team.n_workers, chunk_entries=self.chunk_entries)

    cdef void share_jobs(self) noexcept:
        """Cut the jobs of gradients and updates into one share of equal cost a worker."""
        cdef State *s = &self.session.state
        cdef double total = 0, so_far = 0
        cdef ptrdiff_t i
        cdef int worker = 0, n_workers = self.session.team.n_workers
        for i in range(self.program.n_jobs):
            total += s.jobs[i].cost
        for i in range(self.program.n_jobs):
            so_far += s.jobs[i].cost
            while worker < n_workers and so_far * n_workers >= total * (worker + 1) * (1 - 1e-12):
                s.shares[worker] = i + 1
                worker += 1
        s.shares[n_workers - 1] = self.program.n_jobs

    # --------------------------------------------------------------------------------------------------------
    # Parameters

    cdef visit(self, int moment, bint packs, arrays):
        """Pack row-major float32 or float64 arrays, those of all that is learned; or unpack into them.
        moment: 0 the parameters themselves, 1 and 2 their moments, 3 their gradient.
        """
        cdef int i
        for i, array in enumerate(arrays):
            self.visit_array(self.program.learned[i], moment, packs, array)

    cdef visit_statistics(self, bint packs, arrays):
        cdef int i
        for i, array in enumerate(arrays):
            self.visit_array(self.program.statistics[i], 0, packs, array)

    cdef visit_array(self, ptrdiff_t number, int moment, bint packs, cnp.ndarray array):
        cdef const Kernels *kernels = self.program.kernels
        cdef Weights *w = &self.session.state.params[number].weights
        cdef Vector *v = &self.session.state.params[number].vector
        cdef bint is_double = array.itemsize == 8
        cdef void *packed
        if self.program.params[number].kind == PARAM_VECTOR:
            packed = v.w if moment == 0 else v.m if moment == 1 else v.v if moment == 2 else v.g
            if packs:
                kernels.pack(pointer(array), is_double, v.n, 1, v.n, packed)
            else:
                kernels.unpack(packed, 1, v.n, pointer(array), is_double)
            return
        packed = w.w if moment == 0 else w.m if moment == 1 else w.v if moment == 2 else w.g
        if packs and w.narrow:
            kernels.pack_transposed(pointer(array), is_double, w.n_in, w.n_out, packed)
        elif packs:
            kernels.pack(pointer(array), is_double, w.n_out, w.n_in, w.n_out, packed)
        else:
            (kernels.unpack_transposed if w.narrow else kernels.unpack)(packed, w.n_in, w.n_out,
                                                                        pointer(array), is_double)

    cdef clear_moments(self):
        cdef cnp.uint8_t[::1] piece
        for memory in self.memory[2:]:
            piece = memory
            if piece.shape[0]:
                memset(&piece[0], 0, piece.shape[0])

    def load(self, learned, statistics, moments, int64_t t):
        """Pack row-major float32 or float64 arrays, in the program's order; moments: likewise for each, or
        None for zeros.
        """
        cdef State *s = &self.session.state
        cdef Param *param
        cdef ptrdiff_t panel
        cdef int i
        start_clocks(s, 1, TIMED_PACKING)
        self.visit(0, True, learned)
        self.visit_statistics(True, statistics)
        if moments is None:
            self.clear_moments()
        for i in range(len(moments or ())):
            self.visit(i + 1, True, moments[i])
        s.t = t
        if self.trains:
            for i in range(s.n_params):
                param = s.params + i
                if param.square_rows:  # a divergence may have left NaN
                    memset(param.squares, 0, param.square_rows * param.square_stride * sizeof(double))
                if s.planned[i].kind == PARAM_MATRIX:
                    for panel in range(param.panels):
                        follow_panel(s, i, panel)
            s.squares = sum_squares(s, 0)
        stop_clocks(s, 1)

    def store(self, learned, statistics):
        """Unpack the parameters into row-major arrays."""
        start_clocks(&self.session.state, 1, TIMED_PACKING)
        self.visit(0, False, learned)
        self.visit_statistics(False, statistics)
        stop_clocks(&self.session.state, 1)

    def release_weights(self):
        """Let go of all memory but the moments; after it only release_moment() and close() may be called."""
        self.memory[0] = self.memory[1] = None

    def release_moment(self, int which, arrays):
        """Unpack moment 0 or 1 into arrays, and let go of its memory."""
        start_clocks(&self.session.state, 1, TIMED_PACKING)
        self.visit(which + 1, False, arrays)
        stop_clocks(&self.session.state, 1)
        self.memory[2 + which] = None

    def store_gradient(self, arrays):
        """Unpack what differentiate() left."""
        start_clocks(&self.session.state, 1, TIMED_PACKING)
        self.visit(3, False, arrays)
        stop_clocks(&self.session.state, 1)

    # --------------------------------------------------------------------------------------------------------
    # Runs

    @property
    def t(self):
        return self.session.state.t

    @property
    def step(self):
        """Updates done in the last run."""
        return self.session.state.step

    @property
    def rows_begun(self):
        """Rows of the last run's batches, one that it broke off in included."""
        return self.session.state.batch_end

    def phase_seconds(self):
        """Of every phase of PHASES, the seconds in all runs and loads so far by layer, summed over the
        threads.
        """
        return seconds_by_phase(&self.session.state, self.session.team.n_workers)

    cdef int run(self, int mode, const ptrdiff_t[::1] order, ptrdiff_t batch_size,
                 ptrdiff_t n_epochs=1, windows=None) except -1:
        cdef State *s = &self.session.state
        s.mode = mode
        if is_training(s):
            s.segments, s.n_segments = self.program.training, self.program.n_training
        else:
            s.segments, s.n_segments = self.program.prediction, self.program.n_prediction
        self.session.team.flushes = mode == TRAIN or mode == DIFFERENTIATE
        self.session.team.bf16 = s.bf16 if is_training(s) else NULL
        s.phase = BEFORE
        s.order = &order[0]
        s.n_rows = order.shape[0]
        s.epoch_rows = s.epoch_end = s.n_rows // n_epochs
        s.batch = s.step = s.epoch = 0
        s.total_loss = 0
        s.stop = False
        self.raised = None
        cdef ptrdiff_t usual = s.batch_size
        # Handlers run in the main thread alone: in others, asking would only be waiting for the GIL.
        cdef bint polls = get_ident() == main_thread().ident
        s.batch_size = batch_size
        s.window_end = 0
        self.session.started = milliseconds()
        while True:
            if windows is not None:
                scalars, dropouts = next(windows)
                self.use_window(scalars, dropouts)
            with nogil:
                self.session.next_poll = milliseconds() + POLL_MILLISECONDS if polls else INT64_MAX
                start_clocks(s, self.session.team.n_workers, TIMED_WAITING)
                run_team(&self.session.team)
                stop_clocks(s, self.session.team.n_workers)
            if s.status != PAUSED:
                break
            s.phase = BEFORE
        s.batch_size = usual
        return s.status

    cdef use_window(self, const double[:, :, ::1] scalars, const double[:, :, ::1] dropouts):
        """Go on by these scalars and, unless it is None, this dropout."""
        cdef State *s = &self.session.state
        self.window = scalars, dropouts
        s.scalars = &scalars[0, 0, 0]
        s.dropout_window = NULL if dropouts is None else &dropouts[0, 0, 0]
        s.window, s.window_end = s.window_end, s.window_end + scalars.shape[0]

    def train(self, const ptrdiff_t[::1] order, windows):
        """One update a batch over the rows `order`: the mean loss, or None if a loss or gradient was not
        finite, in step `step`. If a signal handler raised, `raised` has the exception, and `stopped` says
        whether the run was left before its end.

        windows: an iterator over pairs of the scalars of some steps, (n_steps, n_groups, N_SCALARS), and if
        dropout has a schedule, what `use_dropout` takes, (n_steps, n_layers, 4), else None. It is asked for
        the next one when the steps of one are done.
        """
        cdef double[1] loss = [0.0]
        self.session.state.losses = loss
        if self.run(TRAIN, order, self.session.state.batch_size, 1, windows) == NON_FINITE:
            return None
        return loss[0]

    def train_epochs(self, const ptrdiff_t[::1] order, windows, double[::1] losses):
        """train() for as many epochs as there are losses, of as many rows each, one after the other in
        `order`: how many were finite. If not all, the parameters are those of the last finite one's end. What
        a signal handler raises is left in `raised`, and ends nothing.
        """
        cdef State *s = &self.session.state
        memory = self.memory[1]
        kept = np.empty_like(memory)
        s.parameters, s.kept = <char *> pointer(memory), <char *> pointer(kept)
        s.parameter_bytes = memory.nbytes
        s.losses = &losses[0]
        if self.run(TRAIN, order, s.batch_size, losses.shape[0], windows) == NON_FINITE and s.epoch > 0:
            memcpy(s.parameters, s.kept, s.parameter_bytes)
        return s.epoch

    @property
    def stopped(self):
        return self.session.state.status == STOPPED

    def differentiate(self, const ptrdiff_t[::1] order):
        """The loss of all rows as one batch; its gradient is left for store_gradient(). None where the rows'
        weights sum to zero.
        """
        self.run(DIFFERENTIATE, order, order.shape[0])
        return self.session.state.batch_loss if self.session.state.batch_weight != 0 else None

    def predict(self, const ptrdiff_t[::1] order, cnp.ndarray out):
        """Outputs of the rows `order`, row-major, in the engine's dtype."""
        self.session.state.out = <char *> pointer(out)
        self.run(PREDICT, order, order.shape[0])

    def evaluate(self, const ptrdiff_t[::1] order, cnp.ndarray out):
        """predict(), and the mean loss of the rows; None where their weights sum to zero."""
        self.session.state.out = <char *> pointer(out)
        self.run(EVALUATE, order, order.shape[0])
        if self.session.state.batch_weight == 0:
            return None
        return self.session.state.batch_loss / self.session.state.batch_weight

    def close(self):
        """Join the threads and let go of the memory. Nothing else may be called after it."""
        self.free_all()
        self.memory = self.table = self.targets = self.window = None

    def __dealloc__(self):
        self.free_all()

    cdef void free_all(self) noexcept:
        cdef State *s = &self.session.state
        if self.opened:
            self.opened = False
            with nogil:
                close_team(&self.session.team)
        free_state(s)
