# A run of a program over rows: which batch, chunk, segment and phase comes next. The state machine that the
# team's last worker of each phase turns.
#
# A batch goes through in chunks of at most `capacity` rows. The phases of a chunk:
#   SEGMENT  one segment of the program after the other; a job is some rows, which need nothing of other rows,
#            or a panel of units over all rows (batch normalization: the batch is one chunk then)
#   WEIGHTS  gradients; a job is one block of a matrix, or one panel of a layer's vectors, over all rows of
#            the chunk. In the batch's last chunk the sums are complete and become the update at once; before
#            it they are added up in g.
# Some options need more phases:
#   UPDATE   where the norm of the whole gradient is limited: WEIGHTS leaves the gradient in g, and the
#            updates come after it
#   LIMIT    the norms of units' incoming weights; a job is one panel
# Everything that is summed over jobs (losses, squares of weights) is written where it belongs and added up in
# a fixed order by `advance`, so no bit depends on which thread did what, or on how many there are.

cdef extern from "<math.h>" nogil:
    bint isfinite(double)
    double sqrt(double)
    double pow(double, double)

cdef void deal_evenly(State *s, Team *team, int phase, ptrdiff_t n_jobs) noexcept nogil:
    cdef int i
    for i in range(team.n_workers):
        s.row_ends[i] = n_jobs * (i + 1) // team.n_workers
    s.phase = phase
    deal(team, s.row_ends)


cdef void begin_chunk(State *s, Team *team) noexcept nogil:
    cdef ptrdiff_t units, jobs
    s.chunk_rows = min(s.capacity, s.batch_end - s.chunk)
    units = (s.chunk_rows + s.row_tile - 1) // s.row_tile
    jobs = team.n_workers * s.rows_a_job
    jobs = (s.chunk_rows + jobs - 1) // jobs * team.n_workers
    s.n_row_jobs = min(units, jobs, <ptrdiff_t> MAX_JOBS - 1)
    begin_segment(s, team, 0)


cdef void begin_segment(State *s, Team *team, int number) noexcept nogil:
    """Deal the rows of the chunk, or its panels, for a segment of the program."""
    cdef ptrdiff_t n_jobs = panels_of(s, s.segments[number].panels)
    s.segment = number
    if n_jobs == 0:
        # One more transposes a sparse chunk.
        n_jobs = s.n_row_jobs + (number == 0 and s.is_sparse and is_training(s))
    deal_evenly(s, team, SEGMENT, n_jobs)


cdef void set_dropout(State *s) noexcept nogil:
    """Give inputs and hidden layers the rates of dropout of this step."""
    cdef const double *row = s.dropout_window + (s.step - s.window) * s.n_layers * 4
    cdef int i
    for i in range(s.n_layers):
        s.dropouts[i] = Dropout(<uint32_t> (row[0] * 4294967296.0), row[1], row[2], row[3])
        row += 4


cdef void seed_dropout(State *s) noexcept nogil:
    """The bases of this step's masks, one a layer, inputs first."""
    cdef uint64_t base = mix_bits(s.seed + <uint64_t> 0x9E3779B97F4A7C15 * <uint64_t> (s.t + 1))
    cdef int i
    for i in range(s.n_layers):
        s.dropout_bases[i] = mix_bits(base + <uint64_t> i)


cdef void begin_batch(State *s, Team *team) noexcept nogil:
    cdef ptrdiff_t i
    s.batch_end = min(s.batch + s.batch_size, s.epoch_end)
    s.chunk = s.batch
    s.batch_loss = 0
    if s.weight == NULL:
        s.batch_weight = <double> (s.batch_end - s.batch)
    else:
        s.batch_weight = 0
        for i in range(s.batch, s.batch_end):
            s.batch_weight += s.weight[s.order[i]]
    if s.mode == TRAIN and s.dropout_window != NULL:
        set_dropout(s)
    seed_dropout(s)
    begin_chunk(s, team)


cdef void set_scalars(State *s) noexcept nogil:
    """Give each group the scalars of this step, and what the batch's weight makes of the penalties."""
    cdef const double *row = s.scalars + (s.step - s.window) * s.n_groups * N_SCALARS
    cdef Group *group
    cdef int i
    for i in range(s.n_groups):
        group = s.groups + i
        group.update.kind = s.kind
        memcpy(group.update.scalars, row + i * N_SCALARS, N_SCALARS * sizeof(double))
        group.update.threshold = group.update.scalars[SCALAR_LEARNING_RATE] * group.l1 / s.batch_weight


cdef void begin_weights(State *s, Team *team) noexcept nogil:
    """Deal the blocks of weights; in the batch's last chunk they are updated, or their gradients
    completed.
    """
    cdef Update *update
    cdef Weights *weights
    cdef Vector *vector
    cdef int i
    cdef bint last = s.chunk + s.chunk_rows == s.batch_end
    if last:
        if s.mode == TRAIN:
            set_scalars(s)
        for i in range(s.n_groups):
            update = &s.groups[i].update
            update.scale = 1 / s.batch_weight
            update.decay = s.groups[i].alpha / s.batch_weight
            update.clip = s.clip_value
            update.measures = s.mode == TRAIN and s.clip_norm > 0
            if update.measures or s.mode == DIFFERENTIATE:
                update.kind = UPDATE_NONE
    for i in range(s.n_params):
        weights, vector = &s.params[i].weights, &s.params[i].vector
        weights.rows = vector.rows = s.chunk_rows
        weights.add = vector.add = s.chunk > s.batch
        weights.finish = vector.finish = last
    s.phase = WEIGHTS
    deal(team, s.shares)


cdef void begin_update(State *s, Team *team, double gradient_norm) noexcept nogil:
    """Deal the blocks of weights again, for updates from gradients whose norm is limited."""
    cdef int i
    set_scalars(s)
    for i in range(s.n_groups):
        s.groups[i].update.scale = min(1.0, s.clip_norm / (gradient_norm + 1e-6))
        s.groups[i].update.decay = s.groups[i].update.clip = 0
    s.phase = UPDATE
    deal(team, s.shares)


cdef bint end_run(State *s, int status) noexcept nogil:
    s.status = status
    return False


cdef void end_epoch(State *s) noexcept nogil:
    """Note the loss, and keep the parameters where the next epoch may turn out not to be finite."""
    s.losses[s.epoch] = s.total_loss / <double> s.epoch_rows
    s.total_loss = 0
    s.epoch += 1
    if s.batch < s.n_rows:
        memcpy(s.kept, s.parameters, s.parameter_bytes)
        s.epoch_end += s.epoch_rows


cdef bint end_batch(State *s, Team *team) noexcept nogil:
    """On to the next batch, if there is one."""
    s.step += 1
    s.batch = s.batch_end
    if s.batch == s.epoch_end and s.mode == TRAIN:
        end_epoch(s)
    if s.batch >= s.n_rows:
        return end_run(s, FINISHED)
    if s.mode == TRAIN and s.step == s.window_end:
        return end_run(s, PAUSED)
    begin_batch(s, team)
    return True


cdef bint end_rows(State *s, Team *team) noexcept nogil:
    """All rows of a chunk have been through the network."""
    cdef bint last = s.chunk + s.chunk_rows == s.batch_end
    if s.mode != PREDICT:
        s.batch_loss += add_up(s.row_loss, s.chunk_rows)
    if is_training(s):
        if last:
            # nothing to learn from: no loss, no update (running statistics have taken it in)
            if s.batch_weight == 0:
                return end_batch(s, team)
            s.batch_loss = (s.batch_loss + penalty(s)) / s.batch_weight
            if s.mode == TRAIN and not isfinite(s.batch_loss):
                return end_run(s, NON_FINITE)
            s.total_loss += s.batch_loss * <double> (s.batch_end - s.batch)
        begin_weights(s, team)
        return True
    return end_chunk(s, team)


cdef double penalty(State *s) noexcept nogil:
    """The L2 and L1 terms of the objective, times the batch's weight: see add_penalty in update.h."""
    return s.squares if s.l1 > 0 else 0.5 * s.alpha * s.squares


cdef bint end_chunk(State *s, Team *team) noexcept nogil:
    s.chunk += s.chunk_rows
    if s.chunk == s.batch_end:
        return end_batch(s, team)
    begin_chunk(s, team)
    return True


cdef bint end_step(State *s, Team *team) noexcept nogil:
    """The weights have been updated."""
    s.t += 1
    s.squares = sum_squares(s, 0)
    if not isfinite(s.squares):
        return end_run(s, NON_FINITE)
    return end_batch(s, team)


cdef bint advance(void *context, int worker) noexcept nogil:
    """Called when all jobs of a phase are done: add up what they left, and deal the next phase. False: the
    run has ended.
    """
    cdef Session_ *session = <Session_ *> context
    cdef State *s = &session.state
    cdef Team *team = &session.team
    cdef double norm
    if s.stop:
        return end_run(s, STOPPED)
    if s.phase == BEFORE:
        begin_batch(s, team)
    elif s.phase == SEGMENT and s.segment + 1 < s.n_segments:
        begin_segment(s, team, s.segment + 1)
    elif s.phase == SEGMENT:
        return end_rows(s, team)
    elif s.phase == WEIGHTS and s.chunk + s.chunk_rows < s.batch_end or s.mode != TRAIN:
        return end_chunk(s, team)
    elif s.phase == WEIGHTS and s.clip_norm > 0:
        norm = sqrt(sum_squares(s, 1))
        if not isfinite(norm):
            return end_run(s, NON_FINITE)
        begin_update(s, team, norm)
    elif s.phase != LIMIT and s.max_norm > 0 and s.n_layers > 1:
        deal_evenly(s, team, LIMIT, limited_panels(s))
    else:
        return end_step(s, team)
    return True


cdef bint advance_timed(void *context, int worker) noexcept nogil:
    cdef State *s = <State *> context
    cdef bint goes_on
    enter(s, worker, TIMED_BOOKKEEPING, 0)
    goes_on = advance(context, worker)
    enter(s, worker, TIMED_WAITING, 0)
    return goes_on


cdef void rest_timed(void *context, int worker) noexcept nogil:
    enter(<State *> context, worker, TIMED_WAITING, 0)
