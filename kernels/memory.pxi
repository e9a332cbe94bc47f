# Where a state's numbers are: memory handed out in pieces.

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


cdef class Layout:
    """Lays out the memory of a state in four arenas: for buffers, for parameters, and for two moments.

    trains: whether there will be gradients; sums: whether they are added up over chunks, or wanted whole;
    n_moments: of the optimizer; chunk_entries: the most non-zeros of a sparse table that a chunk can have.
    """
    cdef Program program
    cdef list arenas
    cdef bint trains, sums
    cdef int n_moments, n_workers
    cdef ptrdiff_t chunk_entries

    def __init__(self, Program program, *, bint trains, bint sums, int n_moments, int n_workers,
                 ptrdiff_t chunk_entries):
        self.program, self.trains, self.sums, self.n_moments = program, trains, sums, n_moments
        self.n_workers, self.chunk_entries = n_workers, chunk_entries

    cdef lay_out(self, State *s, list arenas):
        """Give the state its places in the arenas, or without memory, add up what they take."""
        self.arenas = arenas
        self.lay_out_buffers(s)
        self.lay_out_params(s)
        self.lay_out_norms(s)
        self.lay_out_rest(s)

    cdef void *take(self, int which, size_t n) except? NULL:
        """Room for n numbers of the arithmetic."""
        return (<Arena> self.arenas[which]).take(n, self.program.kernels.real_bytes)

    cdef size_t padded(self, ptrdiff_t n) noexcept:
        return (n + self.program.kernels.panel - 1) // self.program.kernels.panel * self.program.kernels.panel

    cdef lay_out_buffers(self, State *s):
        cdef Arena arena = self.arenas[0]
        cdef const Buffer *buffer
        cdef size_t size
        cdef int i
        for i in range(self.program.n_buffers):
            buffer = self.program.buffers + i
            if buffer.kind == BUFFER_PANELS:
                s.buffers[i] = self.take(0, times(self.padded(buffer.n), s.panel_rows))
            elif buffer.kind == BUFFER_BF16:
                s.buffers[i] = arena.take(times(self.padded(buffer.n), s.panel_rows), 2)
            else:
                size = self.padded(buffer.n) if buffer.kind == BUFFER_UNITS else s.panel_rows
                s.buffers[i] = self.take(0, size)

    cdef lay_out_params(self, State *s):
        cdef const PlannedParam *planned
        cdef int i
        for i in range(self.program.n_params):
            planned = self.program.params + i
            if planned.kind == PARAM_MATRIX:
                self.lay_out_matrix(s, planned, s.params + i)
            else:
                self.lay_out_vector(s, planned, s.params + i)

    cdef lay_out_matrix(self, State *s, const PlannedParam *planned, Param *param):
        cdef Weights *w = &param.weights
        cdef bint narrow = planned.rule == WEIGHTS_NARROW
        cdef size_t size = times(self.padded(w.n_in if narrow else w.n_out), w.n_out if narrow else w.n_in)
        w.w = self.take(1, size)
        if not self.trains:
            return
        w.m, w.v, w.g = self.moment(1, size), self.moment(2, size), self.sum(size)
        w.a, w.dz = s.buffers[planned.x] if planned.x >= 0 else NULL, s.buffers[planned.y]
        if planned.transposed:
            w.wt = self.take(0, times(self.padded(w.n_in), w.n_out))
        if planned.rule == WEIGHTS_BF16:
            w.bf16_a, w.bf16_dz = s.buffers[planned.bf16_x], s.buffers[planned.bf16_y]
            w.bf16_w = (<Arena> self.arenas[0]).take(times(self.padded(w.n_out), bf16_rows(w.n_in)), 2)
            if planned.layer > 0:
                w.bf16_wt = (<Arena> self.arenas[0]).take(times(self.padded(w.n_in), bf16_rows(w.n_out)), 2)
        param.square_rows = 1 if narrow else (w.n_in + BLOCK - 1) // BLOCK
        param.square_columns = w.n_in if narrow else w.n_out
        self.lay_out_squares(param)

    cdef lay_out_vector(self, State *s, const PlannedParam *planned, Param *param):
        cdef Vector *v = &param.vector
        cdef size_t size = self.padded(v.n)
        v.w = self.take(1, size)
        if not (self.trains and planned.is_learned):
            return
        v.m, v.v, v.g = self.moment(1, size), self.moment(2, size), self.sum(size)
        if planned.rule == VECTOR_KNOWN:
            v.sum = s.buffers[planned.x]
        elif planned.rule != VECTOR_ZERO:
            v.x = s.buffers[planned.x]
            v.y = s.buffers[planned.y] if planned.rule == VECTOR_SUM_OF_PRODUCTS else NULL
        param.square_rows, param.square_columns = 1, v.n
        self.lay_out_squares(param)

    cdef lay_out_squares(self, Param *param):
        cdef Arena arena = self.arenas[0]
        param.square_stride = self.padded(param.square_columns)
        param.squares = <double *> arena.take(times(param.square_rows, param.square_stride), sizeof(double))

    cdef void *moment(self, int which, size_t size) except? NULL:
        return self.take(1 + which, size) if which <= self.n_moments else NULL

    cdef void *sum(self, size_t size) except? NULL:
        return self.take(0, size) if self.sums else NULL

    cdef lay_out_norms(self, State *s):
        """What normalizations take of buffers and parameters: see `norms` of Program."""
        cdef const NormPlaces *places
        cdef Norm *norm
        cdef int i
        for i in range(self.program.n_norms):
            places, norm = self.program.norms + i, s.norms + self.program.norms[i].unit
            norm.scale, norm.shift = s.params[places.scale].vector.w, s.params[places.shift].vector.w
            norm.inverse = s.buffers[places.inverse]
            if places.mean >= 0:
                norm.mean, norm.variance = s.params[places.mean].vector.w, s.params[places.variance].vector.w
            if places.sum_scale >= 0:
                norm.sum_scale, norm.sum_shift = s.buffers[places.sum_scale], s.buffers[places.sum_shift]

    cdef lay_out_rest(self, State *s):
        cdef Arena arena = self.arenas[0]
        cdef size_t widest = 0
        cdef int i
        if s.is_sparse and self.trains:
            s.csc.start = <ptrdiff_t *> arena.take(s.n_features + 1, sizeof(ptrdiff_t))
            s.csc.row = <int32_t *> arena.take(self.chunk_entries, sizeof(int32_t))
            s.csc.value = self.take(0, self.chunk_entries)
        for i in range(self.program.n_params):
            widest = max(widest, self.padded(self.program.params[i].n_out))
        # n_out columns of one vector, and more
        s.scratch_bytes = widest * self.program.kernels.panel * self.program.kernels.real_bytes
        s.scratch = <char *> arena.take(s.scratch_bytes, self.n_workers)
        s.row_ends = <ptrdiff_t *> arena.take(self.n_workers, sizeof(ptrdiff_t))
        if self.trains:
            s.row_loss = <double *> arena.take(s.panel_rows + self.program.kernels.panel, sizeof(double))
            s.shares = <ptrdiff_t *> arena.take(self.n_workers, sizeof(ptrdiff_t))
