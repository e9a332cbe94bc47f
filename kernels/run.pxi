# A run of a network over rows: which batch, chunk and phase comes next. The state machine that the team's
# last worker of each phase turns.

cdef extern from "<math.h>" nogil:
    bint isfinite(double)
    double sqrt(double)
    double pow(double, double)

cdef void deal_evenly(Net *net, Team *team, int phase, ptrdiff_t n_jobs) noexcept nogil:
    cdef int i
    for i in range(team.n_workers):
        net.row_ends[i] = n_jobs * (i + 1) // team.n_workers
    net.phase = phase
    deal(team, net.row_ends)


cdef void begin_rows(Net *net, Team *team, int phase, int at) noexcept nogil:
    """Deal the rows of the chunk, from layer `at` on; ROWS at 0 is a new chunk."""
    cdef ptrdiff_t units, jobs
    net.at = at
    if phase == ROWS and at == 0:
        net.chunk_rows = min(net.capacity, net.batch_end - net.chunk)
        units = (net.chunk_rows + net.row_tile - 1) // net.row_tile
        jobs = (net.chunk_rows
                + team.n_workers * net.rows_a_job - 1) // (team.n_workers * net.rows_a_job) * team.n_workers
        net.n_row_jobs = min(units, jobs, <ptrdiff_t> MAX_JOBS - 1)
    # One more transposes a sparse chunk.
    deal_evenly(net, team, phase, net.n_row_jobs
                + (phase == ROWS and at == 0 and net.is_sparse and is_training(net)))


cdef void seed_dropout(Net *net) noexcept nogil:
    """The bases of this step's masks, one a layer, inputs first."""
    cdef uint64_t base = mix_bits(net.seed + <uint64_t> 0x9E3779B97F4A7C15 * <uint64_t> (net.t + 1))
    cdef int i
    net.input_base = mix_bits(base)
    for i in range(net.n_layers):
        net.layers[i].dropout_base = mix_bits(base + <uint64_t> (i + 1))


cdef void begin_batch(Net *net, Team *team) noexcept nogil:
    cdef ptrdiff_t i
    net.batch_end = min(net.batch + net.batch_size, net.epoch_end)
    net.chunk = net.batch
    net.batch_loss = 0
    if net.weight == NULL:
        net.batch_weight = <double> (net.batch_end - net.batch)
    else:
        net.batch_weight = 0
        for i in range(net.batch, net.batch_end):
            net.batch_weight += net.weight[net.order[i]]
    seed_dropout(net)
    begin_rows(net, team, ROWS, 0)


cdef void set_scalars(Net *net) noexcept nogil:
    """Give each group the scalars of this step, and what the batch's weight makes of the penalties."""
    cdef const double *row = net.scalars + (net.step - net.window) * net.n_groups * N_SCALARS
    cdef Group *group
    cdef int i
    for i in range(net.n_groups):
        group = net.groups + i
        group.update.kind = net.kind
        memcpy(group.update.scalars, row + i * N_SCALARS, N_SCALARS * sizeof(double))
        group.update.threshold = group.update.scalars[SCALAR_LEARNING_RATE] * group.l1 / net.batch_weight


cdef void begin_weights(Net *net, Team *team) noexcept nogil:
    """Deal the blocks of weights; in the batch's last chunk they are updated, or their gradients
    completed.
    """
    cdef Gradient *gradient
    cdef Update *update
    cdef int i
    cdef bint last = net.chunk + net.chunk_rows == net.batch_end
    if last:
        if net.mode == TRAIN:
            set_scalars(net)
        for i in range(net.n_groups):
            update = &net.groups[i].update
            update.scale = 1 / net.batch_weight
            update.decay = net.groups[i].alpha / net.batch_weight
            update.clip = net.clip_value
            update.measures = net.mode == TRAIN and net.clip_norm > 0
            if update.measures or net.mode == DIFFERENTIATE:
                update.kind = UPDATE_NONE
    for i in range(net.n_layers):
        gradient = &net.layers[i].gradient
        gradient.rows = net.chunk_rows
        gradient.add = net.chunk > net.batch
        gradient.finish = last
    net.phase = WEIGHTS
    deal(team, net.shares)


cdef void begin_update(Net *net, Team *team, double gradient_norm) noexcept nogil:
    """Deal the blocks of weights again, for updates from gradients whose norm is limited."""
    cdef int i
    set_scalars(net)
    for i in range(net.n_groups):
        net.groups[i].update.scale = min(1.0, net.clip_norm / (gradient_norm + 1e-6))
        net.groups[i].update.decay = net.groups[i].update.clip = 0
    net.phase = UPDATE
    deal(team, net.shares)


cdef void begin_limit(Net *net, Team *team) noexcept nogil:
    cdef ptrdiff_t panels = 0
    cdef int i
    for i in range(net.n_layers - 1):
        panels += net.layers[i].out_panels
    deal_evenly(net, team, LIMIT, panels)


cdef bint end_run(Net *net, int status) noexcept nogil:
    net.status = status
    return False


cdef void end_epoch(Net *net) noexcept nogil:
    """Note the loss, and keep the parameters where the next epoch may turn out not to be finite."""
    net.losses[net.epoch] = net.total_loss / <double> net.epoch_rows
    net.total_loss = 0
    net.epoch += 1
    if net.batch < net.n_rows:
        memcpy(net.kept, net.parameters, net.parameter_bytes)
        net.epoch_end += net.epoch_rows


cdef bint end_batch(Net *net, Team *team) noexcept nogil:
    """On to the next batch, if there is one."""
    net.step += 1
    net.batch = net.batch_end
    if net.batch == net.epoch_end and net.mode == TRAIN:
        end_epoch(net)
    if net.batch >= net.n_rows:
        return end_run(net, FINISHED)
    if net.mode == TRAIN and net.step == net.window_end:
        return end_run(net, PAUSED)
    begin_batch(net, team)
    return True


cdef bint end_rows(Net *net, Team *team) noexcept nogil:
    """All rows of a chunk have been through the network."""
    cdef bint last = net.chunk + net.chunk_rows == net.batch_end
    if net.mode != PREDICT:
        net.batch_loss += add_up(net.row_loss, net.chunk_rows)
    if is_training(net):
        if last:
            # nothing to learn from: no loss, no update (running statistics have taken it in)
            if net.batch_weight == 0:
                return end_batch(net, team)
            net.batch_loss = (net.batch_loss + penalty(net)) / net.batch_weight
            if net.mode == TRAIN and not isfinite(net.batch_loss):
                return end_run(net, NON_FINITE)
            net.total_loss += net.batch_loss * <double> (net.batch_end - net.batch)
        begin_weights(net, team)
        return True
    return end_chunk(net, team)


cdef double penalty(Net *net) noexcept nogil:
    """The L2 and L1 terms of the objective, times the batch's weight: see add_penalty in update.h."""
    return net.squares if net.l1 > 0 else 0.5 * net.alpha * net.squares


cdef bint end_chunk(Net *net, Team *team) noexcept nogil:
    net.chunk += net.chunk_rows
    if net.chunk == net.batch_end:
        return end_batch(net, team)
    begin_rows(net, team, ROWS, 0)
    return True


cdef bint end_step(Net *net, Team *team) noexcept nogil:
    """The weights have been updated."""
    net.t += 1
    net.squares = sum_squares(net, 0)
    if not isfinite(net.squares):
        return end_run(net, NON_FINITE)
    return end_batch(net, team)


cdef bint advance(void *context, int worker) noexcept nogil:
    """Called when all jobs of a phase are done: add up what they left, and deal the next phase. False: the
    run has ended.
    """
    cdef Session_ *session = <Session_ *> context
    cdef Net *net = &session.net
    cdef Team *team = &session.team
    cdef int last = net.n_layers - 1
    cdef bint in_parts = net.normalization == NORM_BATCH and is_training(net) and last > 0
    cdef double norm
    if net.stop:
        return end_run(net, STOPPED)
    if net.phase == BEFORE:
        begin_batch(net, team)
    elif net.phase == ROWS and in_parts and net.at < last:
        deal_evenly(net, team, NORMALIZE, net.layers[net.at].out_panels)
    elif net.phase == NORMALIZE:
        begin_rows(net, team, ROWS, net.at + 1)
    elif (net.phase == ROWS or net.phase == ROWS_BACK) and in_parts:
        net.at -= 1
        deal_evenly(net, team, NORMALIZE_BACK, net.layers[net.at].out_panels)
    elif net.phase == NORMALIZE_BACK and net.at > 0:
        begin_rows(net, team, ROWS_BACK, net.at)
    elif net.phase == ROWS or net.phase == NORMALIZE_BACK:
        return end_rows(net, team)
    elif net.phase == WEIGHTS and net.chunk + net.chunk_rows < net.batch_end or net.mode != TRAIN:
        return end_chunk(net, team)
    elif net.phase == WEIGHTS and net.clip_norm > 0:
        norm = sqrt(sum_squares(net, 1))
        if not isfinite(norm):
            return end_run(net, NON_FINITE)
        begin_update(net, team, norm)
    elif net.phase != LIMIT and net.max_norm > 0 and last > 0:
        begin_limit(net, team)
    else:
        return end_step(net, team)
    return True


cdef bint advance_timed(void *context, int worker) noexcept nogil:
    cdef Net *net = <Net *> context
    cdef bint goes_on
    enter(net, worker, TIMED_BOOKKEEPING, 0)
    goes_on = advance(context, worker)
    enter(net, worker, TIMED_WAITING, 0)
    return goes_on


cdef void rest_timed(void *context, int worker) noexcept nogil:
    enter(<Net *> context, worker, TIMED_WAITING, 0)
